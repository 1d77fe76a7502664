//! From what a channel received to a question that the engine answers.

use super::qr::{self, QrFault, Scanned};
use crate::codec::proof;
use crate::crypto::note::Host;
use crate::domain::kind::Kind;
use crate::verify::query::{CheckDigits, Factors, Query, Question, SignedClaim, Unanswerable, unsupported};

/// The question in the text of a QR code, signed or classic. Blanks around it are forgiven.
pub fn of_qr(text: &str) -> Question {
    let text = text.trim();
    let digest = proof::Query::Qr(text).digest().ok();
    match qr::classify(text) {
        Ok(Scanned::Signed(signed)) => {
            let claim = SignedClaim { key_id: signed.key_id, face: signed.face, rest_digest: signed.rest_digest, signature: signed.signature };
            Question { query: Ok(Query::Signed(Box::new(claim))), digest, crc_ok: None }
        }
        Ok(Scanned::Classic(classic)) => {
            let factors = Factors {
                id: classic.id,
                date: classic.date,
                amount: Some(classic.amount),
                amount_may_include_tax: matches!(classic.kind, Kind::Freight | Kind::MotorVehicle | Kind::Roll),
                check: classic.check.map(CheckDigits::All),
                total: None,
                seller_id: None,
                buyer_id: None,
                stated_kind: Some(classic.kind),
            };
            let query = factors.complete().map(|()| Query::Factors(factors));
            Question { query, digest, crc_ok: classic.crc_ok }
        }
        Err(QrFault::Malformed { place, reason }) => {
            let why = Unanswerable::Malformed { place, zh: "二维码内容无法识别", en: reason };
            Question { query: Err(why), digest, crc_ok: None }
        }
        Err(QrFault::Unsupported(what)) => Question { query: Err(unsupported(what)), digest, crc_ok: None },
    }
}

/// The question in what stands behind `/Q/`: the same as that of the whole text.
pub fn of_payload(host: &Host, payload: &str) -> Question {
    of_qr(&qr::print_address(host, payload))
}
