//! `fapiao doctor`: what is the matter with a data directory, and what to do about it. It changes nothing.

use clap::Args;
use serde_json::json;

use super::open::DataOptions;
use super::{Exit, Failure, print, runbook};
use crate::engine::{Checkup, Engine, KeyTrouble};
use crate::ledger::{Obstacle, Symptom};

/// `fapiao doctor`
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A symptom's code, what it is, and what to do, in Chinese and English.
struct Advice {
    code: &'static str,
    what: String,
    zh: &'static str,
    en: String,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let directory = &self.data.data;
        let passphrase = self.data.passphrase_from_file()?;
        let tried = passphrase.is_some();
        let Checkup { ledger: found, keys } = Engine::examine(&self.data.config_to_sign(passphrase)?);
        let mut advice: Vec<Advice> = found.symptoms.iter().map(|symptom| self.advise(symptom)).collect();
        advice.extend(keys.map(|trouble| of_keys(&trouble)));
        let has_ledger = !found.symptoms.iter().any(|symptom| matches!(symptom, Symptom::NoLedger));
        let size = found.checkpoint.as_ref().map(|checkpoint| checkpoint.size);
        let locked = found.locked.as_ref().map(|checkpoint| checkpoint.size);
        let told = |one: &Advice| json!({ "code": one.code, "what": one.what, "zh": one.zh, "en": one.en, "runbook": runbook::headings(one.code).collect::<Vec<_>>() });
        let value = json!({
            "healthy": advice.is_empty(),
            "origin": found.checkpoint.as_ref().map(|checkpoint| checkpoint.origin.as_str()),
            "size": size,
            "locked": locked,
            "symptoms": advice.iter().map(told).collect::<Vec<_>>(),
        });
        let known = |size: Option<u64>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let mut lines = vec![format!("{}  size {}, lock record {}", directory.display(), known(size), known(locked))];
        for one in &advice {
            let Advice { code, what, zh, en } = one;
            lines.push(format!("{code}: {what}\n  怎么办 {zh}\n  do     {en}\n  手册   fapiao runbook {code}"));
        }
        if advice.is_empty() {
            let signs = if tried { "signs" } else { "given its passphrase, signs" };
            lines.push(format!("正常 healthy: it opens and {signs}. A full check: fapiao ledger fsck"));
        }
        print(self.json, &value, &lines.join("\n"))?;
        Ok(match (advice.is_empty(), has_ledger) {
            (true, _) => Exit::Fine,
            (false, true) => Exit::Other,
            (false, false) => Exit::Usage,
        })
    }

    fn advise(&self, symptom: &Symptom) -> Advice {
        let data = self.data.data.display();
        let (code, what, zh, en) = match symptom {
            Symptom::NoLedger => (
                "no_ledger",
                format!("there is no ledger in {data}"),
                "请检查路径；新建用 keys create，从备份恢复用 ledger restore",
                format!("check the path; make a ledger with `fapiao keys create --data {data}`, or restore one with `fapiao ledger restore`"),
            ),
            Symptom::InUse => {
                ("in_use", format!("{data} is in use by another process"), "请停止该进程后再检查", "stop that process first, or ask it".to_owned())
            }
            Symptom::Unreadable(reason) => (
                "unreadable",
                reason.clone(),
                "请先复制整个目录保留现场；放回所指文件，或从备份恢复到新目录（ledger restore）",
                format!(
                    "keep a copy of {data} as it is; put the named file back as it was, or restore a backup into a new directory: fapiao ledger restore \
                     --from BACKUPS --data NEW. If the file {data}/closed itself is at fault, removing it skips only this comparison"
                ),
            ),
            Symptom::RebuildPending(table) => (
                "rebuild_pending",
                format!("the table {table} is incomplete"),
                "下次打开时自动重建",
                "nothing: it is rebuilt from the log when the ledger is opened next".to_owned(),
            ),
            Symptom::ClockBehind { now, head } => (
                "clock_behind",
                format!("the clock ({now}) is behind the newest entry ({head})"),
                "校准系统时钟；时钟赶上账本最新记录后自动恢复签名",
                "put the clock right; signing goes on by itself once it has caught up with the newest entry".to_owned(),
            ),
            Symptom::Refuses(obstacle) => {
                let (zh, en) = match obstacle {
                    Obstacle::NoKey { .. } => (
                        "密钥文件是旧副本或属于其他账本：放回最新的 keys/keyring",
                        format!("bring back the newest copy of {data}/keys/keyring; backups have one each"),
                    ),
                    Obstacle::KeysLocked => unreachable!("examining asks of the lock record and the place, not of keys"),
                    Obstacle::LockMissing { .. } | Obstacle::Copied { .. } | Obstacle::Unsaid { .. } | Obstacle::LockBehind { .. } => (
                        "确认没有更新的副本后执行 ledger adopt；若有更新的记录已签出而丢失，执行 ledger reopen",
                        format!(
                            "if nothing newer was ever signed: fapiao ledger adopt --data {data}; if something newer was signed and is lost: fapiao \
                             ledger reopen --data {data} --reason …"
                        ),
                    ),
                    Obstacle::LockUnreadable { path, .. } | Obstacle::LockForeign { path, .. } => (
                        "锁记录不可用：移走它，确认没有更新的副本后执行 ledger adopt，否则执行 ledger reopen",
                        format!(
                            "move {} away; then, if nothing newer was ever signed: fapiao ledger adopt --data {data}; else: fapiao ledger reopen \
                             --data {data} --reason …",
                            path.display()
                        ),
                    ),
                    Obstacle::LockAhead { .. } | Obstacle::LockUnnamed { .. } | Obstacle::TwoHistories { .. } | Obstacle::Disputed { .. } => (
                        "此副本不是最后签名的那个：找回最新副本或更新的备份；确已丢失时执行 ledger reopen，由开票方重新提交回执",
                        format!(
                            "find the copy that signed last, or a newer backup; only if it is lost: fapiao ledger reopen --data {data} --reason …, \
                             and issuers submit their receipts again (fapiao resubmit)"
                        ),
                    ),
                };
                (obstacle.symptom(), obstacle.to_string(), zh, en)
            }
        };
        Advice { code, what, zh, en }
    }
}

fn of_keys(trouble: &KeyTrouble) -> Advice {
    match trouble {
        KeyTrouble::Missing(path) => Advice {
            code: "keys_missing",
            what: format!("{} is missing", path.display()),
            zh: "账本可读、可查验，但不能签名；请从备份的 keys 目录取回密钥文件",
            en: "the ledger can be read and verified and does not sign; bring the key file back from the keys directory of a backup".to_owned(),
        },
        KeyTrouble::Unreadable(error) => Advice {
            code: "keys_unreadable",
            what: error.to_string(),
            zh: "请核对口令；密钥文件损坏时从备份的 keys 目录取回",
            en: "check the passphrase; if it is the right one, bring the key file back from the keys directory of a backup".to_owned(),
        },
        KeyTrouble::Token(error) => Advice {
            code: "token_away",
            what: error.to_string(),
            zh: "账本可读、可查验，但不能签名；请恢复密码机（模块、标签、口令），恢复后自动继续签名",
            en: "the ledger can be read and verified and does not sign; bring the token back, or say how it is reached: a server goes on by itself"
                .to_owned(),
        },
    }
}
