//! Receipts as JSON: everything that proves that something is in the log.

use serde_json::{Value, json};

use super::log_proof::{self, Continued, LogProofFault};
use super::{json, keys, qr};
use crate::codec::canonical;
use crate::codec::event::Role;
use crate::codec::leaf::Leaf;
use crate::crypto::keyring::{PublicKeys, SignatureCheck};
use crate::crypto::note::{Checkpoint, Host, Note};
use crate::crypto::{hash, merkle};
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError, Erased, FullReceipt, Logged, Submitted};
use crate::ledger::{Receipt, Remark, Sealed};
use crate::limits::PROOF_HASHES_MAX;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The receipt of one leaf. The same bytes each time it is asked for.
pub fn to_json(full: &FullReceipt) -> Value {
    let receipt = &full.receipt;
    let sealed = match &receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => {
            json!({ "face": hex(face), "rest_digest": hex(rest_digest), "signature": hex(signature) })
        }
        Sealed::Event { data, signature, .. } => json!({ "data": hex(data), "signature": hex(signature) }),
    };
    let mut value = json!({
        "index": receipt.index,
        "event": receipt.leaf.event.name(),
        "leaf": hex(&receipt.leaf.encode()),
        "salt": full.salt.map(|salt| hex(&salt)),
        "checkpoint": receipt.note,
        "inclusion": receipt.path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
    });
    if let (Some(value), Value::Object(sealed)) = (value.as_object_mut(), sealed) {
        value.extend(sealed);
    }
    value
}

/// Why JSON is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt: {0}")]
pub struct NoReceipt(&'static str);

/// The receipt in what [`to_json`] wrote, or in a line that holds it as its member `receipt`. Nothing is verified yet.
pub fn parse(value: &Value) -> Result<FullReceipt, NoReceipt> {
    let value = value.get("receipt").unwrap_or(value);
    let text = |member: &'static str| value.get(member).and_then(Value::as_str).ok_or(NoReceipt(member));
    let bytes = |member: &'static str, hex: &str| data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| NoReceipt(member));
    let index = value.get("index").and_then(Value::as_u64).ok_or(NoReceipt("index"))?;
    let leaf = Leaf::decode(&bytes("leaf", text("leaf")?)?).map_err(|_| NoReceipt("leaf"))?;
    let salt = match value.get("salt") {
        None | Some(Value::Null) => None,
        Some(_) => Some(keys::bytes::<16>(text("salt")?).ok_or(NoReceipt("salt"))?),
    };
    let signature = keys::bytes::<64>(text("signature")?).ok_or(NoReceipt("signature"))?;
    let sealed = match (value.get("face"), salt) {
        (Some(_), _) => Sealed::Invoice {
            face: bytes("face", text("face")?)?,
            rest_digest: keys::bytes::<32>(text("rest_digest")?).ok_or(NoReceipt("rest_digest"))?,
            signature,
        },
        (None, Some(salt)) => Sealed::Event { salt, data: bytes("data", text("data")?)?, signature },
        (None, None) => return Err(NoReceipt("salt")),
    };
    let path = value.get("inclusion").and_then(Value::as_array).filter(|path| path.len() <= PROOF_HASHES_MAX).ok_or(NoReceipt("inclusion"))?;
    let path = path.iter().map(|hash| hash.as_str().and_then(keys::bytes::<32>)).collect::<Option<Vec<_>>>().ok_or(NoReceipt("inclusion"))?;
    let note = text("checkpoint")?.to_owned();
    let size = Note::parse(&note).and_then(|note| Checkpoint::parse(note.text())).map_err(|_| NoReceipt("checkpoint"))?.size;
    Ok(FullReceipt { receipt: Receipt { index, leaf, sealed, note, size, path }, salt })
}

/// Why a receipt does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// What was signed is not what the leaf commits to.
    #[error("the leaf does not commit to what the receipt shows")]
    Commit,
    /// The authority's signature.
    #[error("the authority's signature does not hold: {0}")]
    Signature(&'static str),
    /// The list of keys does not have the key that signed.
    #[error("it is signed by a key that the list does not have: update your keys")]
    UpdateKeys,
    /// The checkpoint, or the head that continues it.
    #[error(transparent)]
    Checkpoint(#[from] LogProofFault),
}

/// What a receipt that holds says, beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The invoice, if it is one's.
    pub id: Option<InvoiceId>,
    /// The log.
    pub checkpoint: Checkpoint,
}

/// Checks a receipt offline: what was signed, by whom, and that it is in the log. A head that continues its checkpoint vouches for that.
pub fn verify(receipt: &Receipt, keys: &PublicKeys, head: Option<&Continued>) -> Result<Received, ReceiptFault> {
    let leaf = &receipt.leaf;
    let (commit, message, signature, id) = match &receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => {
            let id = canonical::decode_face(face).map_err(|_| ReceiptFault::Commit)?.id;
            (hash::commit(face, rest_digest), hash::invoice_message(face, rest_digest), signature, Some(id))
        }
        Sealed::Event { salt, data, signature } => {
            (hash::event_commit(leaf.event, salt, data), hash::event_message(leaf.event, salt, data), signature, None)
        }
    };
    if commit != leaf.commit {
        return Err(ReceiptFault::Commit);
    }
    let checkpoint = log_proof::open_before(&receipt.note, keys, head, UnixMillis(receipt.leaf.time_ms))?;
    let (index, size) = (receipt.index, checkpoint.size);
    if !merkle::verify_inclusion(&merkle::leaf_hash(&leaf.encode()), index, size, &receipt.path, &checkpoint.root) {
        return Err(LogProofFault::NotIncluded { index, size }.into());
    }
    let place = crate::crypto::keyring::Logged::At(index);
    match keys.check(Role::Authority, leaf.key_id, UnixMillis(leaf.time_ms), place, &message, signature) {
        SignatureCheck::Valid => Ok(Received { id, checkpoint }),
        SignatureCheck::UnknownKey => Err(ReceiptFault::UpdateKeys),
        SignatureCheck::OtherRole => Err(ReceiptFault::Signature("the key is not an authority key")),
        SignatureCheck::OutsideWindow => Err(ReceiptFault::Signature("the key was not valid then")),
        SignatureCheck::Compromised => Err(ReceiptFault::Signature("the log said before that the key was compromised")),
        SignatureCheck::WrongSignature => Err(ReceiptFault::Signature("wrong signature")),
    }
}

/// What follows a submission, beside its receipt.
pub fn logged_json(logged: &Logged) -> Value {
    let mut value = json!({ "status": if logged.repeated { "repeated" } else { "logged" }, "index": logged.index });
    if let Some(object) = value.as_object_mut() {
        if !logged.warnings.is_empty() {
            object.insert("warnings".into(), json::faults(&logged.warnings));
        }
        if let Some(Remark::PartialMotorVehicleRed) = logged.remark {
            let remark = json!({ "zh": "机动车发票通常全额冲红", "en": "a motor-vehicle invoice is usually taken back in full" });
            object.insert("remark".into(), remark);
        }
    }
    value
}

/// What came of erasing a body.
pub fn erased(erased: &Erased) -> Value {
    json!({ "index": erased.index, "erased": erased.time.to_string(), "repeated": erased.repeated })
}

/// How much is said of what was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The receipt and the codes.
    Receipt,
    /// Its place and the codes (`Prefer: return=minimal`, RFC 7240).
    Minimal,
}

/// What the answer to a submission means for the whole of which it is a part, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// Done.
    Fine,
    /// Refused or faulty.
    Other,
    /// Not understood.
    Malformed,
    /// Not decided.
    Unavailable,
}

/// What became of a submission.
pub fn outcome(engine: &Engine, submitted: &Submitted, detail: Detail) -> Result<(Value, Gravity), EngineError> {
    Ok(match submitted {
        Submitted::Logged(logged) => (self::logged(engine, logged, detail)?.0, Gravity::Fine),
        Submitted::Faulty(faults) => (json!({ "status": "faulty", "faults": json::faults(faults) }), Gravity::Other),
        Submitted::Refused(refusal) => {
            let value = json!({ "status": "refused", "code": refusal.code(), "zh": refusal.chinese(), "en": refusal.english() });
            (value, Gravity::Other)
        }
    })
}

/// What is said of something that is in the log, and which invoice it is, if it is one.
pub fn logged(engine: &Engine, logged: &Logged, detail: Detail) -> Result<(Value, Option<InvoiceId>), EngineError> {
    let mut value = logged_json(logged);
    let (receipt, sealed) = match detail {
        Detail::Receipt => {
            let full = engine.receipt(logged.index)?;
            (full.as_ref().map(to_json), full.map(|full| (full.receipt.leaf, full.receipt.sealed)))
        }
        // The path through the tree and the opening of the body are most of what a receipt costs.
        Detail::Minimal => (None, engine.ledger().sealed(logged.index)?),
    };
    let mut id = None;
    if let (Some(object), Some((leaf, sealed))) = (value.as_object_mut(), sealed) {
        object.extend(receipt.map(|receipt| ("receipt".to_owned(), receipt)));
        if let Some(codes) = qr_codes(&leaf, &sealed, engine.host()) {
            object.insert("signed_qr".into(), codes.signed.into());
            object.insert("classic_qr".into(), codes.classic.into());
        }
        if let Sealed::Invoice { face, .. } = &sealed {
            id = canonical::decode_face(face).ok().map(|face| face.id);
        }
    }
    Ok((value, id))
}

/// The two codes of an invoice.
pub struct QrCodes {
    /// Signed: opens the page that verifies it.
    pub signed: String,
    /// As printed on paper, for the types that print one.
    pub classic: Option<String>,
}

/// The codes of the invoice that was sealed; `None` for other events.
pub fn qr_codes(leaf: &Leaf, sealed: &Sealed, host: &Host) -> Option<QrCodes> {
    let Sealed::Invoice { face, rest_digest, signature } = sealed else { return None };
    let signed = qr::print_signed(host, leaf.key_id, face, rest_digest, signature);
    let classic = canonical::decode_face(face).ok().and_then(|face| qr::print_classic(&face));
    Some(QrCodes { signed, classic })
}
