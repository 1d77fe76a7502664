//! Whether an answer is right. Common answers are read without copying; receipts, of which a share is asked for, are verified as a stranger would.

use serde::Deserialize;
use serde_json::Value;

use super::drafts::Expected;
use crate::channel::{keys, receipt};
use crate::codec::canonical;
use crate::crypto::keyring::{Logged, PublicKeys};
use crate::crypto::note::Origin;
use crate::issue;
use crate::ledger::{Origins, Sealed};
use crate::verify::verdict::Verdict;

/// What of an answer is held against what was expected.
#[derive(Deserialize)]
struct Said<'a> {
    verdict: u8,
    #[serde(borrow, default)]
    face: Option<FaceSaid<'a>>,
    as_of: AsOfSaid<'a>,
    #[serde(default)]
    index: Option<u64>,
}

#[derive(Deserialize)]
struct FaceSaid<'a> {
    code: &'a str,
    number: &'a str,
    date: &'a str,
    amount: &'a str,
    total: &'a str,
    seller_id: &'a str,
}

#[derive(Deserialize)]
struct AsOfSaid<'a> {
    size: u64,
    root: &'a str,
}

#[derive(Deserialize)]
struct Submitted<'a> {
    status: &'a str,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    line: Option<u64>,
}

/// A line of a problem, for a person to read.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(400)).unwrap_or_default());
    text.trim_end().to_owned()
}

fn not_right(about: &Expected<'_>, what: &str, body: &[u8]) -> String {
    format!("{} {}: {what}: {}", about.code, about.number(), excerpt(body))
}

/// Holds an answer against the invoice that was asked about, which was acknowledged as leaf `index`; returns the ledger's size.
pub(super) fn genuine(body: &[u8], about: &Expected<'_>, index: u64) -> Result<u64, String> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|error| not_right(about, &format!("no answer ({error})"), body))?;
    if said.verdict != Verdict::Genuine.number() {
        return Err(not_right(about, &format!("verdict {} instead of 1", said.verdict), body));
    }
    let face = said.face.ok_or_else(|| not_right(about, "no face", body))?;
    let date = about.date.to_string();
    let right = [
        ("code", face.code == about.code.to_string()),
        ("number", face.number == about.number()),
        ("date", face.date == date),
        ("amount", face.amount == about.amount),
        ("total", face.total == about.total),
        ("seller", face.seller_id == about.seller.as_str()),
        ("index", said.index.is_none_or(|said| said == index)),
        ("size of the ledger", said.as_of.size > index),
        ("root", said.as_of.root.len() == 64),
    ];
    match right.iter().find(|(_, right)| !right) {
        Some((what, _)) => Err(not_right(about, &format!("another {what}"), body)),
        None => Ok(said.as_of.size),
    }
}

/// Holds an answer against the verdict that was expected.
pub(super) fn has_verdict(body: &[u8], expected: u64, about: &str) -> Result<u64, String> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|error| format!("{about}: no answer ({error}): {}", excerpt(body)))?;
    match u64::from(said.verdict) == expected {
        true => Ok(said.as_of.size),
        false => Err(format!("{about}: verdict {} instead of {expected}: {}", said.verdict, excerpt(body))),
    }
}

/// The leaf of an invoice that was issued. That it was there before is right only if it was submitted before.
pub(super) fn logged(body: &[u8], about: &Expected<'_>, may_repeat: bool, line: Option<u64>) -> Result<u64, String> {
    let said: Submitted<'_> = serde_json::from_slice(body).map_err(|error| not_right(about, &format!("no outcome ({error})"), body))?;
    if said.status != "logged" && !(may_repeat && said.status == "repeated") {
        return Err(not_right(about, &format!("status {}", said.status), body));
    }
    if line.is_some() && said.line != line {
        return Err(not_right(about, "another line", body));
    }
    said.index.ok_or_else(|| not_right(about, "no index", body))
}

/// What is needed to verify receipts.
#[derive(Debug)]
pub(super) struct Verifier {
    keys: PublicKeys,
    origins: Origins,
}

impl Verifier {
    /// From what `GET /v1/keys` says.
    pub(super) fn parse(body: &[u8]) -> Result<Verifier, String> {
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let origin = value.get("origin").and_then(Value::as_str).and_then(Origin::parse).ok_or("no origin")?;
        let keys = keys::parse(value.get("keys").unwrap_or(&Value::Null)).map_err(|error| error.to_string())?;
        Ok(Verifier { keys, origins: Origins::of(origin) })
    }

    /// Verifies the receipt of this invoice: that it is of it, signed, and included under a signed checkpoint. Returns its signed QR code.
    pub(super) fn check(&self, body: &[u8], about: &Expected<'_>, index: u64) -> Result<String, String> {
        let wrong = |what: String| not_right(about, &what, body);
        let value: Value = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
        let full = receipt::parse(&value).map_err(|error| wrong(error.to_string()))?;
        let Sealed::Invoice { face, .. } = &full.receipt.sealed else { return Err(wrong("a receipt of another event".into())) };
        let face = canonical::decode_face(face).map_err(|error| wrong(error.to_string()))?;
        let same = face.id.code == *about.code
            && face.id.number.to_string() == about.number()
            && Some(face.totals.amount) == about.amount_fen()
            && face.date == about.date
            && face.seller_id == *about.seller
            && full.receipt.index == index;
        if !same {
            return Err(wrong("the receipt of another invoice".into()));
        }
        issue::is_acknowledged(&full.receipt, &self.keys, &self.origins, Logged::At(full.receipt.index))
            .map_err(|fault| wrong(format!("receipt: {fault}")))?;
        let code = value.get("signed_qr").and_then(Value::as_str).ok_or_else(|| wrong("no signed QR code".into()))?;
        Ok(code.to_owned())
    }
}
