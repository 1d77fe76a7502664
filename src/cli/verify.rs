//! `fapiao verify`: one question, one answer.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::open::{Place, PlaceOptions};
use super::remote::Remote;
use super::{Exit, Failure, print};
use crate::channel::{answer, proof, question};
use crate::engine::write_private;
use crate::verify::query::{Question, Typed};
use crate::verify::verdict::Verdict;

/// `fapiao verify`
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    asked: Asked,
    /// Keep the signed answer in FILE; `fapiao proof verify FILE` checks it without a network
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is asked.
#[derive(Args)]
struct Asked {
    /// Text of a QR code, signed or classic 二维码内容
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["code", "number", "date", "amount", "check", "total", "seller_id", "buyer_id"])]
    qr: Option<String>,
    /// Invoice code 发票代码
    #[arg(long, required_unless_present = "qr")]
    code: Option<String>,
    /// Invoice number 发票号码
    #[arg(long, required_unless_present = "qr")]
    number: Option<String>,
    /// Date of issue 开票日期: YYYY-MM-DD or YYYYMMDD
    #[arg(long)]
    date: Option<String>,
    /// Amount excluding tax 不含税金额: for 01, 02 and 03
    #[arg(long, allow_hyphen_values = true)]
    amount: Option<String>,
    /// Check code 校验码: its last 6 or all 20 digits, for 04, 10 and 11
    #[arg(long)]
    check: Option<String>,
    /// Total including tax 价税合计; compared if given
    #[arg(long, allow_hyphen_values = true)]
    total: Option<String>,
    /// Seller's tax id 销售方纳税人识别号; compared if given
    #[arg(long)]
    seller_id: Option<String>,
    /// Buyer's tax id 购买方纳税人识别号, or 无 (none) where the paper shows none; compared if given, which needs the passphrase
    #[arg(long, allow_hyphen_values = true)]
    buyer_id: Option<String>,
}

impl Verify {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Verify { place, asked, proof, json } = self;
        let data = match place.place()? {
            Place::Data(data) => data,
            Place::Server(remote) => return asked.ask(&remote, proof.as_deref(), json),
        };
        let question = asked.question();
        let engine = if proof.is_some() { data.open()? } else { data.open_to_read()? };
        let answer = engine.with_details(engine.verify(&question)?)?;
        if let Some(path) = &proof {
            let signed = engine.sign_answer(&question, &answer)?;
            write_proof(path, &proof::to_json(&signed, &engine.ledger().keys()))?;
        }
        print(json, &answer::to_json(&answer), &answer::to_text(&answer))?;
        if proof.is_some() {
            // Nobody else will for as long as nobody opens the ledger.
            engine.log_answers()?;
        }
        Ok(exit(answer.verdict))
    }
}

impl Asked {
    /// Asks a server. It says the same as a data directory would, and counts the question among its verifications.
    fn ask(&self, remote: &Remote, proof: Option<&Path>, json: bool) -> Result<Exit, Failure> {
        let mut body = json!({
            "qr": self.qr,
            "code": self.code,
            "number": self.number,
            "date": self.date,
            "amount": self.amount,
            "check": self.check,
            "total": self.total,
            "seller_id": self.seller_id,
            "buyer_id": self.buyer_id,
            "details": true,
            "proof": proof.is_some(),
        });
        if let Some(object) = body.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        let mut answer = remote.ask("/v1/verify", &body)?;
        let unknown = || Failure::Server { exit: Exit::Unavailable, text: "the server's reply is no answer".to_owned() };
        let number = answer.get("verdict").and_then(Value::as_u64).and_then(|number| u8::try_from(number).ok());
        let verdict = number.and_then(Verdict::from_number).ok_or_else(unknown)?;
        if let Some(path) = proof {
            let signed = answer.as_object_mut().and_then(|object| object.remove("proof")).ok_or_else(unknown)?;
            write_proof(path, &signed)?;
        }
        print(json, &answer, &answer::text_of(&answer))?;
        Ok(exit(verdict))
    }

    fn question(&self) -> Question {
        match &self.qr {
            Some(text) => question::of_qr(text),
            None => Typed {
                code: self.code.clone().unwrap_or_default(),
                number: self.number.clone().unwrap_or_default(),
                date: self.date.clone(),
                amount: self.amount.clone(),
                check: self.check.clone(),
                total: self.total.clone(),
                seller_id: self.seller_id.clone(),
                buyer_id: self.buyer_id.clone(),
            }
            .question(),
        }
    }
}

fn write_proof(path: &Path, proof: &Value) -> Result<(), Failure> {
    Ok(write_private(path, format!("{proof:#}\n").as_bytes())?)
}

/// 0 genuine, 1 another answer, 2 not understood, 3 could not be asked.
pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Genuine => Exit::Fine,
        Verdict::Malformed => Exit::Usage,
        Verdict::NotYet | Verdict::Throttled | Verdict::Unavailable => Exit::Unavailable,
        Verdict::Voided
        | Verdict::RedFlushed
        | Verdict::PartlyRedFlushed
        | Verdict::Suspended
        | Verdict::BlankMarked
        | Verdict::RedLetter
        | Verdict::Mismatch
        | Verdict::NotFound
        | Verdict::Forged
        | Verdict::Unsupported => Exit::Other,
    }
}
