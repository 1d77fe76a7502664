//! A question about an invoice, parsed once at the edge: typed fields, a classic QR code or a signed one.

use crate::codec::canonical;
use crate::codec::leaf::KeyId;
use crate::codec::proof;
use crate::domain::invoice::Face;
use crate::domain::kind::{Agreement, Derived, Factor, Kind, Unsupported};
use crate::domain::money::Fen;
use crate::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// A question as it reaches the engine, whichever way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked, or why it cannot be.
    pub query: Result<Query, Unanswerable>,
    /// Digest of the question as asked, for the signed answer; none if it is longer than any question.
    pub digest: Option<[u8; 32]>,
    /// Whether a classic QR code's CRC is right; `None` where there is none.
    pub crc_ok: Option<bool>,
}

/// What was typed: all of it text, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// 发票代码.
    pub code: String,
    /// 发票号码.
    pub number: String,
    /// 开票日期.
    pub date: Option<String>,
    /// Amount excluding tax.
    pub amount: Option<String>,
    /// Check code: all 20 digits or the last six.
    pub check: Option<String>,
    /// Total including tax.
    pub total: Option<String>,
    /// The seller's tax id.
    pub seller_id: Option<String>,
    /// The buyer's tax id, or [`BuyerId::NONE_WORDS`] where the paper shows none.
    pub buyer_id: Option<String>,
}

/// A question that can be answered from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// By factors: typed, or out of a classic QR code.
    Factors(Factors),
    /// By a signed QR code, which needs no other factor.
    Signed(Box<SignedClaim>),
}

/// Code, number and what else is claimed. Every claim is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Code and number.
    pub id: InvoiceId,
    /// 开票日期.
    pub date: Day,
    /// An amount, if claimed.
    pub amount: Option<Fen>,
    /// Whether the amount may also be the total including tax: classic QR codes of types that are seldom seen.
    pub amount_may_include_tax: bool,
    /// Check digits, if claimed.
    pub check: Option<CheckDigits>,
    /// Total including tax, if claimed.
    pub total: Option<Fen>,
    /// The seller's tax id, if claimed.
    pub seller_id: Option<TaxpayerId>,
    /// The buyer's tax id, if anything is claimed of it.
    pub buyer_id: Option<BuyerId>,
    /// The type that a QR code states; never a factor.
    pub stated_kind: Option<Kind>,
}

/// All check digits or the last six.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckDigits {
    /// All 20.
    All(CheckCode),
    /// The last six, as typed.
    LastSix(String),
}

/// What is claimed of the buyer's tax id (购买方纳税人识别号). Invoices to persons show none, and that it is so is something that the paper shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuyerId {
    /// The paper shows this one.
    Stated(TaxpayerId),
    /// The paper shows none.
    Absent,
}

/// How much of the paper somebody who asks by factors has shown to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// What every question needs: for the types with a check code six digits of it, which a million tries exhaust.
    Plain,
    /// Total including tax and both tax ids besides.
    Amounts,
    /// All 20 check digits: nobody guesses those.
    Digits,
}

/// What a signed QR code claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedClaim {
    /// Key that is said to have signed.
    pub key_id: KeyId,
    /// The face that is claimed.
    pub face: Face,
    /// Digest of the rest.
    pub rest_digest: [u8; 32],
    /// The signature over both.
    pub signature: [u8; 64],
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// Something is missing or wrong: where and why, in Chinese and English.
    Malformed {
        /// The member or field.
        place: &'static str,
        /// Chinese reason.
        zh: &'static str,
        /// English reason.
        en: &'static str,
    },
    /// A document of another kind, by its name in Chinese and English.
    Unsupported {
        /// Chinese name.
        zh: &'static str,
        /// English name.
        en: &'static str,
    },
}

fn malformed(place: &'static str, zh: &'static str, en: &'static str) -> Unanswerable {
    Unanswerable::Malformed { place, zh, en }
}

/// The name of a document that an invoice code shows to be none of the six types. Codes contradict types in the wild, so a registered invoice is
/// answered whatever its code; this is what is said where there is none.
pub fn unsupported_by_code(derived: Derived) -> Option<Unanswerable> {
    match derived {
        Derived::Kind(_) | Derived::Unknown => None,
        Derived::Toll => Some(unsupported(Unsupported::Toll)),
        Derived::UsedCar => Some(unsupported(Unsupported::UsedCar)),
        Derived::ElectronicSpecial => Some(unsupported(Unsupported::ElectronicSpecial)),
    }
}

/// A document of another kind, by its name.
pub const fn unsupported(what: Unsupported) -> Unanswerable {
    Unanswerable::Unsupported { zh: what.chinese(), en: what.english() }
}

/// What is in a field that may be left empty.
fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

impl Typed {
    /// Parses what was typed. Spaces around a value and inside a check code are forgiven; anything else is not guessed at.
    pub fn parse(&self) -> Result<Query, Unanswerable> {
        if self.number.trim().len() == 20 && self.number.trim().bytes().all(|b| b.is_ascii_digit()) {
            return Err(unsupported(Unsupported::FullyDigital));
        }
        let code =
            InvoiceCode::parse(self.code.trim()).ok_or(malformed("code", "发票代码应为10位或12位数字", "an invoice code has 10 or 12 digits"))?;
        let number = InvoiceNumber::parse(self.number.trim()).ok_or(malformed(
            "number",
            "发票号码应为8位数字",
            "an invoice number has 8 digits, not all zero",
        ))?;
        let derived = Derived::of(&code);
        let date = filled(self.date.as_deref()).ok_or(malformed("date", "请填写开票日期", "the date of issue is missing"))?;
        let date = Day::parse(date).ok_or(malformed("date", "日期应为YYYY-MM-DD或YYYYMMDD", "a date is YYYY-MM-DD or YYYYMMDD"))?;
        let amount = match filled(self.amount.as_deref()) {
            Some(amount) => {
                Some(Fen::parse(amount).ok_or(malformed("amount", "金额应为最多两位小数的数字", "an amount has at most 11 digits and 2 decimals"))?)
            }
            None => None,
        };
        let check = match self.check.as_deref().map(|check| check.replace(' ', "")).filter(|check| !check.is_empty()) {
            Some(check) => Some(CheckDigits::parse(&check).ok_or(malformed(
                "check",
                "校验码应为后6位或全部20位数字",
                "a check code is its last 6 or all 20 digits",
            ))?),
            None => None,
        };
        let total = match filled(self.total.as_deref()) {
            Some(total) => Some(Fen::parse(total).ok_or(malformed(
                "total",
                "价税合计应为最多两位小数的数字",
                "the total including tax has at most 11 digits and 2 decimals",
            ))?),
            None => None,
        };
        let tax_id = |text: &str, place| {
            TaxpayerId::parse(&text.to_ascii_uppercase()).ok_or(malformed(
                place,
                "纳税人识别号应为15、17、18或20位数字或大写字母",
                "a tax id has 15, 17, 18 or 20 digits and letters",
            ))
        };
        let seller_id = filled(self.seller_id.as_deref()).map(|text| tax_id(text, "seller_id")).transpose()?;
        let buyer_id = match filled(self.buyer_id.as_deref()) {
            Some(text) if BuyerId::NONE_WORDS.contains(&text) => Some(BuyerId::Absent),
            Some(text) => Some(BuyerId::Stated(tax_id(text, "buyer_id")?)),
            None => None,
        };
        let id = InvoiceId { code, number };
        let factors = Factors { id, date, amount, amount_may_include_tax: false, check, total, seller_id, buyer_id, stated_kind: None };
        match (factors.complete(), unsupported_by_code(derived)) {
            (Ok(()), _) => Ok(Query::Factors(factors)),
            (Err(_), Some(unsupported)) => Err(unsupported),
            (Err(missing), None) => Err(missing),
        }
    }

    /// The question that this asks.
    pub fn question(&self) -> Question {
        fn stated(field: &Option<String>) -> Option<&str> {
            field.as_deref().filter(|text| !text.is_empty())
        }
        let asked = proof::Query::Typed {
            code: &self.code,
            number: &self.number,
            date: stated(&self.date),
            amount: stated(&self.amount),
            check: stated(&self.check),
            total: stated(&self.total),
            seller_id: stated(&self.seller_id),
            buyer_id: stated(&self.buyer_id),
        };
        let digest = asked.digest().ok();
        Question { query: self.parse(), digest, crc_ok: None }
    }
}

impl Factors {
    /// Whether the factor is there that the code's type requires or, where the code does not say, the stated type.
    pub fn complete(&self) -> Result<(), Unanswerable> {
        let required = match Derived::of(&self.id.code) {
            Derived::Kind(kind) => Some(kind.profile().factor),
            Derived::Toll => Some(Factor::CheckCode),
            Derived::UsedCar | Derived::ElectronicSpecial | Derived::Unknown => self.stated_kind.map(|kind| kind.profile().factor),
        };
        match (required, &self.amount, &self.check) {
            (Some(Factor::Amount), None, _) => Err(malformed("amount", "此票种请填写不含税金额", "for this type the amount excluding tax is needed")),
            (Some(Factor::CheckCode), _, None) => {
                Err(malformed("check", "此票种请填写校验码后六位", "for this type the last six digits of the check code are needed"))
            }
            (None, None, None) => Err(malformed("check", "请填写校验码后六位或不含税金额", "the check code or the amount excluding tax is needed")),
            _ => Ok(()),
        }
    }
}

impl Factors {
    /// How much of the paper they show.
    pub fn strength(&self) -> Strength {
        match (&self.check, self.total, &self.seller_id, &self.buyer_id) {
            (Some(CheckDigits::All(_)), ..) => Strength::Digits,
            (_, Some(_), Some(_), Some(_)) => Strength::Amounts,
            _ => Strength::Plain,
        }
    }
}

impl BuyerId {
    /// How somebody writes that the paper shows none. An empty field says nothing about the paper, and is not compared.
    pub const NONE_WORDS: [&str; 3] = ["无", "-", "none"];
}

impl CheckDigits {
    /// Six or twenty ASCII digits.
    pub fn parse(text: &str) -> Option<CheckDigits> {
        match text.len() {
            6 if text.bytes().all(|b| b.is_ascii_digit()) => Some(CheckDigits::LastSix(text.to_owned())),
            20 => CheckCode::parse(text).map(CheckDigits::All),
            _ => None,
        }
    }

    /// Whether these are digits of `registered`.
    pub fn agree_with(&self, registered: CheckCode) -> bool {
        match self {
            CheckDigits::All(check) => *check == registered,
            CheckDigits::LastSix(digits) => *digits == registered.last_six(),
        }
    }
}

impl Query {
    /// The invoice that is asked about.
    pub fn id(&self) -> InvoiceId {
        match self {
            Query::Factors(factors) => factors.id,
            Query::Signed(claim) => claim.face.id,
        }
    }

    /// Whether code and stated type disagree: a warning, never a factor.
    pub fn type_conflict(&self) -> bool {
        let stated = match self {
            Query::Factors(factors) => factors.stated_kind,
            Query::Signed(claim) => Some(claim.face.kind),
        };
        stated.is_some_and(|kind| Derived::of(&self.id().code).agreement(kind) == Agreement::Conflict)
    }
}

impl SignedClaim {
    /// The bytes that were signed after the label: face, rest digest.
    pub fn face_bytes(&self) -> Vec<u8> {
        canonical::encode_face(&self.face)
    }
}
