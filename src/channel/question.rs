//! From what a channel received to a question that the engine answers.

use serde::Deserialize;

use super::qr::{self, QrFault, Scanned};
use crate::codec::proof;
use crate::crypto::hash;
use crate::crypto::note::Host;
use crate::domain::kind::Kind;
use crate::limits::BULK_QUESTION_BYTES_MAX;
use crate::verify::query::{CheckDigits, Factors, Query, Question, SignedClaim, Typed, Unanswerable, unsupported};

/// A question as JSON: a QR text, or what is printed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    qr: Option<String>,
    code: Option<String>,
    number: Option<String>,
    date: Option<String>,
    amount: Option<String>,
    check: Option<String>,
    total: Option<String>,
    seller_id: Option<String>,
    buyer_id: Option<String>,
    /// Whether the answer is to be signed.
    pub proof: bool,
    /// Whether lines and parties are asked for.
    pub details: bool,
}

/// Why members are not those of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuestion {
    /// A QR text carries all there is to say.
    #[error("qr stands alone; it carries its own factors")]
    Both,
    /// Nothing says which invoice.
    #[error("give qr, or code and number")]
    Neither,
}

impl NoQuestion {
    /// The same in Chinese.
    pub const fn chinese(self) -> &'static str {
        match self {
            NoQuestion::Both => "qr 与其他要素不能同时提供",
            NoQuestion::Neither => "请提供 qr，或 code 与 number",
        }
    }
}

impl Asked {
    /// The question, if the members are those of one.
    pub fn question(self) -> Result<Question, NoQuestion> {
        let typed = [&self.code, &self.number, &self.date, &self.amount, &self.check, &self.total, &self.seller_id, &self.buyer_id];
        let (qr, is_typed) = (self.qr, typed.iter().any(|member| member.is_some()));
        match (qr, self.code, self.number) {
            (Some(_), ..) if is_typed => Err(NoQuestion::Both),
            (Some(text), ..) => Ok(of_qr(&text)),
            (None, Some(code), Some(number)) => Ok(Typed {
                code,
                number,
                date: self.date,
                amount: self.amount,
                check: self.check,
                total: self.total,
                seller_id: self.seller_id,
                buyer_id: self.buyer_id,
            }
            .question()),
            (None, ..) => Err(NoQuestion::Neither),
        }
    }
}

/// A line of a list of questions.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it asks, or that it is no question.
    pub question: Question,
    /// Of the question or, where it has none, of the line.
    pub digest: [u8; 32],
}

/// The question on a line, as JSON. What is asked for all lines together is not said on each.
pub fn of_line(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_whole = line.len() <= BULK_QUESTION_BYTES_MAX;
    let kept = line.get(..BULK_QUESTION_BYTES_MAX).unwrap_or(line).trim_ascii();
    let asked = Some(kept).filter(|line| is_whole && line.starts_with(b"{")).and_then(|line| serde_json::from_slice::<Asked>(line).ok());
    let question = asked.filter(|asked| !asked.proof && !asked.details).and_then(|asked| asked.question().ok());
    let question = question.unwrap_or(Question {
        query: Err(Unanswerable::Malformed {
            place: "line",
            zh: "此行不是查验问题：应为一个 JSON 对象，含 qr，或 code 与 number 等要素",
            en: "the line is no question: a JSON object with qr, or with code, number and what the type needs",
        }),
        digest: None,
        crc_ok: None,
    });
    let digest = question.digest.unwrap_or_else(|| hash::line_digest(kept));
    Line { question, digest }
}

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
