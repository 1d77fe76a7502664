//! Receipts as JSON: everything that proves that something is in the log.

use serde_json::{Value, json};

use super::{json, qr};
use crate::codec::canonical;
use crate::crypto::note::Host;
use crate::engine::{FullReceipt, Logged};
use crate::ledger::{Remark, Sealed};

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

/// The two codes of an invoice.
pub struct QrCodes {
    /// Signed: opens the page that verifies it.
    pub signed: String,
    /// As printed on paper, for the types that print one.
    pub classic: Option<String>,
}

/// The codes of the invoice that a receipt is of; `None` for other events.
pub fn qr_codes(full: &FullReceipt, host: &Host) -> Option<QrCodes> {
    let Sealed::Invoice { face, rest_digest, signature } = &full.receipt.sealed else { return None };
    let signed = qr::print_signed(host, full.receipt.leaf.key_id, face, rest_digest, signature);
    let classic = canonical::decode_face(face).ok().and_then(|face| qr::print_classic(&face));
    Some(QrCodes { signed, classic })
}
