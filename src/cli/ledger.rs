//! `fapiao ledger`: checking, proving and looking after the ledger.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::backup;
use super::events::Id;
use super::open::{DataOptions, Place, PlaceOptions};
use super::prove::{Prove, ProveConsistency};
use super::{Exit, Failure, fsck, print};
use crate::channel::receipt;
use crate::crypto::keyring::{Enrolled, Logged, Role};
use crate::crypto::note::verifier_key;
use crate::domain::caller::Caller;
use crate::engine::{Engine, EngineError};
use crate::ledger::{self, Ledger, StoreSizes};

/// `fapiao ledger …`
#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// Recompute every hash, signature, state and index, and compare with what is stored
    Fsck(Plain),
    /// Print the newest signed checkpoint, or the keys by which others know this log. 检查点
    Checkpoint(Newest),
    /// Print the proof that a leaf is in the log, as c2sp.org/tlog-proof text. 包含证明
    Prove(Prove),
    /// Print the proof that the log at one published size continues the log at another. 一致性证明
    ProveConsistency(ProveConsistency),
    /// Back up ledger and key files: incremental, checked, and never with the lock record. 备份
    Backup(backup::Backup),
    /// List the backups in a directory
    Backups(backup::Backups),
    /// Restore a backup into a new directory, whole or as of a ledger size. 恢复
    Restore(backup::Restore),
    /// Rehearse a restore: into a scratch directory, with a full check, and away with it. 恢复演练
    Drill(backup::Drill),
    /// Say that this copy is the newest and may sign: rewrites a missing or older lock record after checking the history. 确认
    Adopt(Plain),
    /// Go on from a copy that is older than what was signed, under a new origin and with a signed notice. 重开
    Reopen(Reopen),
    /// Make derived tables anew from the log
    Rebuild(Rebuild),
    /// Erase what only the encrypted body of an invoice knows, for good: by legal duty only. Its face, QR code, proofs and state stay 删除
    Erase(Erase),
    /// Sizes and counts
    Info(Plain),
}

#[derive(Args)]
pub(super) struct Newest {
    #[command(flatten)]
    plain: Plain,
    /// Print a line `log <verifier key>` for each checkpoint key that counts now, for witnesses and trust policies 输出日志验证密钥
    #[arg(long, conflicts_with = "json")]
    keys: bool,
}

#[derive(Args)]
pub(super) struct Plain {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao ledger reopen`
#[derive(Args)]
pub(super) struct Reopen {
    #[command(flatten)]
    data: DataOptions,
    /// Why, for everybody to read: one line, free of personal text
    #[arg(long)]
    reason: String,
    /// Print JSON, with the notice's receipt
    #[arg(long)]
    json: bool,
}

/// `fapiao ledger rebuild`
#[derive(Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    data: DataOptions,
    /// Table to make anew, or several: tile, inv, allot, tax, key, reopen
    #[arg(long, required = true, value_delimiter = ',')]
    table: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao ledger erase`
#[derive(Args)]
pub(super) struct Erase {
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    id: Id,
    /// Why, for the audit trail: the number of a file in printable ASCII, no names 依据
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LedgerCommand {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            LedgerCommand::Fsck(plain) => fsck::run(&plain.data, plain.json),
            LedgerCommand::Checkpoint(Newest { plain, keys: true }) => {
                let engine = plain.data.open_to_read()?;
                let (ledger, now) = (engine.ledger(), engine.now());
                let counts = |key: &&Enrolled| key.record.role() == Role::Checkpoint && key.counts_at(now, Logged::Unknown);
                for key in ledger.keys().iter().filter(counts) {
                    print(false, &Value::Null, &format!("log {}", verifier_key(ledger.origin().as_str(), key.record.public())))?;
                }
                Ok(Exit::Fine)
            }
            LedgerCommand::Checkpoint(Newest { plain, keys: false }) => {
                let engine = plain.data.open_to_read()?;
                let published = engine.ledger().published();
                let value = json!({ "size": published.size, "root": data_encoding::HEXLOWER.encode(&published.root), "note": published.note });
                print(plain.json, &value, published.note.trim_end())?;
                Ok(Exit::Fine)
            }
            LedgerCommand::Prove(prove) => prove.run(),
            LedgerCommand::ProveConsistency(prove) => prove.run(),
            LedgerCommand::Backup(backup) => backup.run(),
            LedgerCommand::Backups(backups) => backups.run(),
            LedgerCommand::Restore(restore) => restore.run(),
            LedgerCommand::Drill(drill) => drill.run(),
            LedgerCommand::Adopt(plain) => adopt(&plain),
            LedgerCommand::Reopen(reopen) => reopen.run(),
            LedgerCommand::Rebuild(rebuild) => rebuild.run(),
            LedgerCommand::Erase(erase) => erase.run(),
            LedgerCommand::Info(plain) => info(&plain),
        }
    }
}

fn adopt(plain: &Plain) -> Result<Exit, Failure> {
    let checkpoint = Engine::adopt(&plain.data.config(plain.data.passphrase_for_writing()?))?;
    let value = json!({ "origin": checkpoint.origin.as_str(), "size": checkpoint.size });
    let text = format!("已确认 adopted {} at size {}: this copy signs from here on", checkpoint.origin, checkpoint.size);
    print(plain.json, &value, &text)?;
    Ok(Exit::Fine)
}

impl Reopen {
    fn run(&self) -> Result<Exit, Failure> {
        let config = self.data.config_to_sign(self.data.passphrase_for_writing()?)?;
        let (index, notice) = Engine::reopen(&config, &self.reason)?;
        let engine = self.data.open()?;
        let receipt = engine.receipt(index)?.map(|full| receipt::to_json(&full));
        let value = json!({
            "previous": notice.previous.as_str(),
            "origin": notice.origin.as_str(),
            "size": notice.size,
            "lost": notice.lost.map(|(size, root)| json!({ "size": size, "root": data_encoding::HEXLOWER.encode(&root) })),
            "reason": notice.reason,
            "notice": receipt,
        });
        let lost = match notice.lost {
            Some((size, _)) if size > notice.size => {
                format!(
                    "leaves {} to {} of the old log are lost; their issuers submit their receipts again (`fapiao resubmit`)",
                    notice.size,
                    size - 1
                )
            }
            Some((size, _)) => {
                format!("another history up to size {size} was signed; what it had beyond this one is submitted again (`fapiao resubmit`)")
            }
            None => format!(
                "no checkpoint is known that was signed beyond this copy ({}); whoever holds a receipt that is not found here submits it again\n  (`fapiao resubmit`)",
                notice.reason
            ),
        };
        let text = format!(
            "已重开 reopened at size {}\n  old origin  {}\n  new origin  {}\n  notice      leaf {index}; publish its receipt (--json)\n  {lost}",
            notice.size, notice.previous, notice.origin
        );
        // The notice is one leaf; what follows it at once are keys.
        let keys = engine.ledger().published().size.saturating_sub(index + 1);
        let text = match keys {
            0 => text,
            _ => format!(
                "{text}\n  the key file is newer than this copy: its keys are named again, and in use. Revoke again what was revoked in the lost part\n  \
                 (fapiao keys revoke --key-id … --reason compromised), before receipts are submitted again"
            ),
        };
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }
}

impl Erase {
    fn run(self) -> Result<Exit, Failure> {
        let id = self.id.parse()?;
        let value = match self.place.place()? {
            Place::Data(data) => match data.open()?.erase(id, &self.reason, &Caller::CONSOLE)? {
                Some(erased) => receipt::erased(&erased),
                None => return Err(Failure::Usage(format!("there is no invoice {id}"))),
            },
            // The same again is answered with the first time.
            Place::Server(remote) => remote.ask(&format!("/v1/invoices/{id}/erase"), &json!({ "reason": self.reason }))?,
        };
        let said = value.get("erased").and_then(Value::as_str).unwrap_or_default();
        let text = format!(
            "已删除 erased at {said}: no file of the ledger has the body of {id} any more\n  backups from before have it until they are purged or \
             destroyed (fapiao runbook)"
        );
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }
}

impl Rebuild {
    fn run(&self) -> Result<Exit, Failure> {
        let home = self.data.data.clone().into();
        for table in &self.table {
            let known = Ledger::rebuild(&home, StoreSizes::default(), table).map_err(EngineError::from)?;
            if !known {
                let derived = ledger::DERIVED.join(", ");
                return Err(Failure::Usage(format!("{table} is no derived table; these can be rebuilt: {derived}")));
            }
        }
        let text = format!("已重建 rebuilt {}", self.table.join(", "));
        print(self.json, &json!({ "rebuilt": self.table }), &text)?;
        Ok(Exit::Fine)
    }
}

fn info(plain: &Plain) -> Result<Exit, Failure> {
    let engine = plain.data.open_to_read()?;
    let ledger = engine.ledger();
    let published = ledger.published();
    let tables = ledger.table_bytes();
    let value = json!({
        "origin": ledger.origin().as_str(),
        "origins": ledger.origins().iter().map(|(size, origin)| json!({ "from_size": size, "origin": origin.as_str() })).collect::<Vec<_>>(),
        "size": published.size,
        "time": published.time.to_string(),
        "signs": ledger.may_write().err().map_or_else(|| "yes".to_owned(), |error| error.to_string()),
        "tables": tables.iter().map(|(name, bytes)| (name.to_string(), json!(bytes))).collect::<serde_json::Map<_, _>>(),
    });
    let mut lines = vec![format!("{}  size {}  {}", ledger.origin(), published.size, published.time)];
    if let Err(error) = ledger.may_write() {
        lines.push(format!("does not sign: {error}"));
    }
    lines.extend(
        ledger.origins().iter().skip(1).map(|(size, origin)| format!("  since size {size} under {origin}, after a part of the log was lost")),
    );
    lines.extend(tables.iter().map(|(name, bytes)| format!("  {name:<6} {bytes:>12} bytes on disk")));
    print(plain.json, &value, &lines.join("\n"))?;
    Ok(Exit::Fine)
}
