//! The invoices of a load: any number of drafts at the cost of copying them, and for each what is asked about it and what has to be answered. A
//! draft's number alone is its own; the rest is that of one of a thousand samples, in turn.

use serde_json::Value;

use crate::cli::sample;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// Drafts that differ in more than their number.
const VARIETY: u64 = 1_024;
/// Invoices at most: the numbers of one code.
pub(super) const DRAFTS_MAX: u32 = 99_999_999;
/// Special invoices: the amount is their factor, which is known before they are issued.
pub(super) const KIND: Kind = Kind::Special;

/// Where a draft has its number.
const NUMBER: &str = "\"number\":\"";

/// Invoices 0, 1, 2, … of one seller under one code.
#[derive(Debug)]
pub struct Drafts {
    code: InvoiceCode,
    date: Day,
    seller: TaxpayerId,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    before: Vec<u8>,
    behind: Vec<u8>,
    amount: String,
    total: String,
}

/// What an answer about an invoice has to say.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) code: &'a InvoiceCode,
    pub(super) number: [u8; 8],
    pub(super) date: Day,
    pub(super) seller: &'a TaxpayerId,
    pub(super) amount: &'a str,
    pub(super) total: &'a str,
}

impl Drafts {
    /// The same for the same arguments.
    pub fn new(code: InvoiceCode, date: Day, seller: TaxpayerId) -> Drafts {
        let first = InvoiceNumber::from_ordinal(1).unwrap_or_else(|| unreachable!("one is a number"));
        let sample = |seed| {
            let draft = sample::draft(KIND, seed, InvoiceId { code, number: first }, date, &seller);
            let at = draft.find(NUMBER).map_or(0, |at| at + NUMBER.len());
            let (before, behind) = draft.split_at(at);
            let value: Value = serde_json::from_str(&draft).unwrap_or_default();
            let text = |member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
            Sample {
                before: before.into(),
                behind: behind.as_bytes().get(8..).unwrap_or_default().into(),
                amount: text("amount"),
                total: text("total"),
            }
        };
        let samples = (0..VARIETY).map(sample).collect();
        Drafts { code, date, seller, samples }
    }

    /// Invoice code.
    pub fn code(&self) -> InvoiceCode {
        self.code
    }

    /// Date of issue.
    pub fn date(&self) -> Day {
        self.date
    }

    /// Who issues them.
    pub fn seller(&self) -> &TaxpayerId {
        &self.seller
    }

    fn sample(&self, nth: u32) -> &Sample {
        &self.samples[nth as usize % self.samples.len()]
    }

    /// Appends the draft.
    pub fn append_draft(&self, nth: u32, out: &mut Vec<u8>) {
        let sample = self.sample(nth);
        out.extend_from_slice(&sample.before);
        out.extend_from_slice(&number(nth));
        out.extend_from_slice(&sample.behind);
    }

    /// Bytes of the draft.
    pub fn draft_len(&self, nth: u32) -> usize {
        let sample = self.sample(nth);
        sample.before.len() + 8 + sample.behind.len()
    }

    /// Appends the question that whoever holds the paper types.
    pub fn append_question(&self, nth: u32, out: &mut Vec<u8>) {
        let digits = number(nth);
        let digits = std::str::from_utf8(&digits).unwrap_or_default();
        let text = format!(r#"{{"code":"{}","number":"{digits}","date":"{}","amount":"{}"}}"#, self.code, self.date, self.sample(nth).amount);
        out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn expected(&self, nth: u32) -> Expected<'_> {
        let sample = self.sample(nth);
        Expected { code: &self.code, number: number(nth), date: self.date, seller: &self.seller, amount: &sample.amount, total: &sample.total }
    }
}

impl Expected<'_> {
    pub(super) fn number(&self) -> &str {
        std::str::from_utf8(&self.number).unwrap_or_default()
    }

    pub(super) fn amount_fen(&self) -> Option<Fen> {
        Fen::parse(self.amount)
    }
}

/// The eight digits of the invoice number: they begin with 1.
pub(super) fn number(nth: u32) -> [u8; 8] {
    let (mut digits, mut rest) = ([b'0'; 8], nth.saturating_add(1).min(DRAFTS_MAX));
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::json::parse_draft;
    use crate::domain::number::CheckCode;
    use crate::domain::rules::{self, Mode, Terms};

    #[test]
    fn each_draft_is_accepted_and_is_what_is_expected() {
        let date = Day::parse("2026-02-28").expect("a day");
        let code = InvoiceCode::parse("3300261130").expect("a code");
        let seller = TaxpayerId::parse("91330106MA27QH5C5E").expect("an id");
        let drafts = Drafts::new(code, date, seller.clone());
        let terms = Terms { today: date, mode: Mode::Issue { days_back: 31 }, check_code: CheckCode::from_random([1, 2]), original_date: None };
        for nth in (0..3_000).chain([DRAFTS_MAX - 1]) {
            let mut draft = Vec::new();
            drafts.append_draft(nth, &mut draft);
            assert_eq!(draft.len(), drafts.draft_len(nth));
            let invoice = rules::accept(&parse_draft(&draft).expect("JSON"), &terms).expect("no fault").invoice;
            let (face, expected) = (invoice.face(), drafts.expected(nth));
            assert_eq!(face.id.number.to_string(), expected.number());
            assert_eq!((face.id.code, face.date, &face.seller_id), (code, date, &seller));
            assert_eq!((Some(face.totals.amount), face.totals.total.to_string()), (expected.amount_fen(), expected.total.to_owned()));
        }
        let mut question = Vec::new();
        drafts.append_question(41, &mut question);
        let question: Value = serde_json::from_slice(&question).expect("JSON");
        assert_eq!(question["number"], "00000042");
    }
}
