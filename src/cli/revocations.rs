//! `fapiao revocations`: the list of what is no longer in force, and what a signed QR code is worth by it, without a network.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::open::DataOptions;
use super::proof::read_public_keys;
use super::{Exit, Failure, print};
use crate::channel::question;
use crate::codec::revocations::SignedList;
use crate::engine::{now, read_bounded, replace_public};
use crate::limits::{REVOCATIONS_AGE_HOURS, REVOCATIONS_BYTES_MAX};
use crate::verify::offline::{self, Checker, Finding};
use crate::verify::query::Query;

/// `fapiao revocations …`
#[derive(Subcommand)]
pub(super) enum Revocations {
    /// Make and sign a list of everything up to now; a server does so by itself and serves it at /v1/revocations. 生成清单
    Make(Make),
    /// Print what a list says of itself, and whether it is the authority's. 查看清单
    Show(Show),
    /// Judge a signed QR code by keys and list, without a network. 离线核验
    Check(Check),
}

/// `fapiao revocations make`
#[derive(Args)]
pub(super) struct Make {
    #[command(flatten)]
    data: DataOptions,
    /// Write the list to FILE as well as to DIR/revocations
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// When the next one is due, in minutes from now
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    next: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao revocations show`
#[derive(Args)]
pub(super) struct Show {
    /// The list
    #[arg(value_name = "FILE")]
    list: PathBuf,
    /// Public keys: what `fapiao keys show` prints or /v1/keys says 公钥
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit status: 0 genuine, 1 revoked or forged, 2 no such code, list or keys, 3 it cannot be told offline (list too old, unknown key, no list): ask online.
退出码：0 一致，1 已撤销或伪造，2 格式有误，3 离线无法判断，请联网查验。";

/// `fapiao revocations check`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Check {
    /// Text of the signed QR code 二维码内容
    #[arg(long, value_name = "TEXT")]
    qr: String,
    /// Public keys: what `fapiao keys show` prints or /v1/keys says 公钥
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The list; without one only the signature is judged 撤销清单
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// How old the list may be, in hours 清单最长有效小时数
    #[arg(long, default_value_t = REVOCATIONS_AGE_HOURS, value_name = "HOURS")]
    max_age: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Revocations {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Revocations::Make(make) => make.run(),
            Revocations::Show(show) => show.run(),
            Revocations::Check(check) => check.run(),
        }
    }
}

impl Make {
    fn run(self) -> Result<Exit, Failure> {
        let engine = self.data.open()?;
        let Some(signed) = engine.renew_revocations(u64::from(self.next) * 60_000, &|| true)? else { return Ok(Exit::Unavailable) };
        if let Some(out) = &self.out {
            replace_public(out, signed.as_bytes())?;
        }
        print(self.json, &to_json(&signed), &to_text(&signed))?;
        Ok(Exit::Fine)
    }
}

impl Show {
    fn run(self) -> Result<Exit, Failure> {
        let (keys, signed) = (read_public_keys(&self.keys)?, read_list(&self.list)?);
        let found = offline::judge_list(&signed, &keys);
        let mut value = to_json(&signed);
        value["holds"] = found.is_none().into();
        let text = format!("{}\n{}", found.map_or("签名有效 signed by the authority".to_owned(), in_words), to_text(&signed));
        print(self.json, &value, &text)?;
        Ok(found.map_or(Exit::Fine, exit))
    }
}

impl Check {
    fn run(self) -> Result<Exit, Failure> {
        let keys = read_public_keys(&self.keys)?;
        let list = self.list.as_deref().map(read_list).transpose()?;
        let claim = match question::of_qr(&self.qr).query {
            Ok(Query::Signed(claim)) => claim,
            Ok(Query::Factors(_)) => return Err(Failure::Usage("--qr: not a signed code; a classic one can only be asked about".to_owned())),
            Err(_) => return Err(Failure::Usage("--qr: not the text of a signed code".to_owned())),
        };
        let finding = Checker::new(&keys, list.as_ref()).check(&claim, now(), self.max_age.saturating_mul(3_600_000));
        let value = json!({
            "finding": finding.name(),
            "as_of": finding.as_of().map(|time| time.to_string()),
            "size": finding.as_of().and(list.as_ref()).map(|signed| signed.list.size),
            "code": claim.face.id.code.to_string(),
            "number": claim.face.id.number.to_string(),
        });
        print(self.json, &value, &in_words(finding))?;
        Ok(exit(finding))
    }
}

fn read_list(path: &Path) -> Result<SignedList, Failure> {
    let bytes = read_bounded(path, REVOCATIONS_BYTES_MAX)?;
    SignedList::decode(&bytes).map_err(|error| Failure::Usage(format!("{}: no revocation list: {error}", path.display())))
}

fn to_json(signed: &SignedList) -> Value {
    let list = &signed.list;
    json!({
        "origin": list.origin.as_str(),
        "size": list.size,
        "root": data_encoding::HEXLOWER.encode(&list.root),
        "made": list.made.to_string(),
        "next": list.next.to_string(),
        "tokens": list.tokens().len(),
        "bytes": signed.as_bytes().len(),
        "key_id": signed.key_id.to_string(),
    })
}

fn to_text(signed: &SignedList) -> String {
    let list = &signed.list;
    let (tokens, bytes) = (list.tokens().len(), signed.as_bytes().len());
    format!("{} at size {}\n  made {}, next {}\n  {tokens} invoices in {bytes} bytes", list.origin, list.size, list.made, list.next)
}

fn in_words(finding: Finding) -> String {
    let as_of = finding.as_of().map(|time| time.to_string()).unwrap_or_default();
    match finding {
        Finding::Genuine { .. } => format!("一致，未撤销 genuine, and in force as of {as_of}"),
        Finding::Revoked { .. } => format!("已作废、红冲或异常 void, red-flushed or suspended as of {as_of}; which of them, only asking tells"),
        Finding::ListTooOld { .. } => {
            format!("签名有效；清单过旧，请更新 signed by the authority; the list is too old ({as_of}): fetch a new one, or ask online")
        }
        Finding::ClockBehind { .. } => {
            format!("签名有效；本机时钟落后于清单 signed by the authority; the list is from {as_of} and the clock here is behind it")
        }
        Finding::NoList => {
            "签名有效；无清单，请联网查验 signed by the authority; without a list nobody can tell whether it is still in force: ask online".to_owned()
        }
        Finding::UpdateKeys => {
            "公钥未知，请更新公钥，或为另一账本所签 signed by a key that is not at hand: fetch the keys anew, unless it is of another log".to_owned()
        }
        Finding::AskOnline => {
            "密钥已泄露，请联网查验 signed by a key that was compromised; only the log knows whether that was before: ask online".to_owned()
        }
        Finding::ListForged => "清单签名无效 the list is not the authority's: fetch it anew".to_owned(),
        Finding::Forged => "伪造 forged: the authority did not sign this".to_owned(),
    }
}

fn exit(finding: Finding) -> Exit {
    match finding {
        Finding::Genuine { .. } => Exit::Fine,
        Finding::Revoked { .. } | Finding::Forged => Exit::Other,
        Finding::ListTooOld { .. }
        | Finding::ClockBehind { .. }
        | Finding::NoList
        | Finding::UpdateKeys
        | Finding::AskOnline
        | Finding::ListForged => Exit::Unavailable,
    }
}
