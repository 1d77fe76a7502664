//! How much anybody may ask (限流), and how often anybody may be wrong about an invoice (防猜测).
//!
//! Both belong to whoever asks and never to the invoice: nobody can use an invoice's quota up for its owner. Kept in memory of fixed size, under
//! a secret; time is an argument. The published numbers are in [limits](crate::manual::_06_limits).

mod guesses;
mod rate;

use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

use super::check::Checked;
use super::query::{Query, Question};
use crate::crypto::hash::sha256;
use crate::domain::caller::CallerId;
use crate::domain::kind::{Derived, Factor};
use crate::domain::time::UnixMillis;
use guesses::{Guess, Guesses};
use rate::Buckets;

pub use rate::{Policies, Policy, Rate};

/// Who asks, as far as quotas go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// Somebody without a token.
    Anonymous(Prefix),
    /// A phone number, by a tag that says nothing about it.
    Phone([u8; 16]),
    /// Somebody with a token.
    Key(CallerId),
    /// The operator at the machine itself: no limits.
    Console,
}

/// Addresses that count as one: a whole IPv4 address, the first 64 bits of an IPv6 address, which is the least that a household gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix([u8; 9]);

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Prefix {
        let mut prefix = [0; 9];
        // An IPv4 address is the same one in its IPv6 dress, which a socket for both shows.
        match address.to_canonical() {
            IpAddr::V4(address) => {
                prefix[0] = 4;
                prefix[1..5].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                prefix[0] = 6;
                prefix[1..].copy_from_slice(&address.octets()[..8]);
            }
        }
        Prefix(prefix)
    }
}

impl fmt::Debug for Prefix {
    /// Addresses are personal and do not get into logs by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefix(..)")
    }
}

/// Whom a quota is shared among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    Address = 0,
    Phone = 1,
    Key = 2,
}

/// An asker under a quota, by a tag that only this process can make: nothing here remembers an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    class: Class,
    tag: [u8; 16],
}

impl Known {
    /// A signed QR code cannot be guessed and is what every owner has, so without a token it is free, whoever else uses up the address.
    fn is_free(&self, question: &Question) -> bool {
        self.class == Class::Address && matches!(question.query, Ok(Query::Signed(_)))
    }
}

/// Why a question was not answered, and what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Why.
    pub reason: Reason,
    /// When to ask again, in seconds.
    pub retry_after: u64,
    /// What helps at once: the members of one of these lists, beside those that were asked with.
    pub needed: &'static [&'static [&'static str]],
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// This asker asked too much.
    TooManyQuestions,
    /// This asker was wrong about this invoice too often today.
    WaitOnInvoice,
    /// Strangers were wrong about this invoice too often today: a stranger shows more of the paper.
    StrongerFactors,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 3] = [Reason::TooManyQuestions, Reason::WaitOnInvoice, Reason::StrongerFactors];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::TooManyQuestions => "too_many_questions",
            Reason::WaitOnInvoice => "wait_on_invoice",
            Reason::StrongerFactors => "stronger_factors",
        }
    }
}

const BY_DIGITS: &[&str] = &["check (20 digits)"];
const BY_AMOUNTS: &[&str] = &["total", "seller_id", "buyer_id"];

impl Throttled {
    fn too_many(rate: Rate) -> Throttled {
        Throttled { reason: Reason::TooManyQuestions, retry_after: rate.retry_after.unwrap_or_default(), needed: &[] }
    }

    /// Why and what to do, in Chinese.
    pub const fn chinese(&self) -> &'static str {
        match (self.reason, self.needed.len()) {
            (Reason::TooManyQuestions, _) => "查询过于频繁，请稍后再试",
            (Reason::WaitOnInvoice, 0) => "您今日对此发票的核对多次不符，请明日再查，或扫描票面上的签名二维码",
            (Reason::WaitOnInvoice, _) => "您今日对此发票的核对多次不符，请填写全部20位校验码，或扫描票面上的二维码，或明日再查",
            (Reason::StrongerFactors, 0 | 1) => {
                "此发票今日被多次错误核对。请再填写价税合计、销售方和购买方纳税人识别号（票面没有购买方识别号的填“无”），或扫描票面上的签名二维码"
            }
            (Reason::StrongerFactors, _) => {
                "此发票今日被多次错误核对。请填写全部20位校验码，或再填写价税合计、销售方和购买方纳税人识别号（票面没有购买方识别号的填“无”），或扫描票面上的二维码"
            }
        }
    }

    /// Why and what to do, in English.
    pub const fn english(&self) -> &'static str {
        match (self.reason, self.needed.len()) {
            (Reason::TooManyQuestions, _) => "too many questions; try again later",
            (Reason::WaitOnInvoice, 0) => "too many of your tries on this invoice failed today: ask again tomorrow, or scan the signed QR code on it",
            (Reason::WaitOnInvoice, _) => {
                "too many of your tries on this invoice failed today: give all 20 digits of the check code, or scan the QR code on it, or ask again tomorrow"
            }
            (Reason::StrongerFactors, 0 | 1) => {
                "too many tries on this invoice failed today: give also its total and the tax ids of seller and buyer (\"none\" where it shows no buyer's), or \
                 scan the signed QR code on it"
            }
            (Reason::StrongerFactors, _) => {
                "too many tries on this invoice failed today: give all 20 digits of the check code, or also its total and the tax ids of seller and buyer \
                 (\"none\" where it shows no buyer's), or scan the QR code on it"
            }
        }
    }
}

/// Which of some questions may be asked.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What is left; none where nothing was taken.
    pub rate: Option<Rate>,
    /// Of each question in turn why it may not be asked.
    pub refused: Vec<Option<Throttled>>,
}

impl Admission {
    /// Of somebody without a quota.
    pub fn of_all(questions: &[Question]) -> Admission {
        Admission { rate: None, refused: vec![None; questions.len()] }
    }
}

/// The quotas of one process.
#[derive(Debug)]
pub struct Quota {
    secret: Secret,
    policies: Policies,
    buckets: Buckets,
    /// Made for the first asker under a quota, or before: whoever works at the console needs none of it.
    guesses: OnceLock<Guesses>,
}

/// What makes the places of askers and invoices in memory unforeseeable.
struct Secret([u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A keyed hash of at most 38 bytes, which together are one block. No `what` is used with two lengths.
    fn digest(&self, what: u8, parts: [&[u8]; 2]) -> [u8; 32] {
        sha256(&[&self.0, &[what], parts[0], parts[1]])
    }
}

const ASKER: u8 = 1;
const INVOICE: u8 = 2;
const ASKER_AND_INVOICE: u8 = 3;

impl Quota {
    /// Quotas of which nothing is used up; `secret` is random and lasts as long as the process.
    pub fn new(policies: Policies, secret: [u8; 16]) -> Quota {
        Quota { secret: Secret(secret), policies, buckets: Buckets::new(), guesses: OnceLock::new() }
    }

    /// Makes what the first asker under a quota would make.
    pub fn make_ready(&self) {
        self.guesses.get_or_init(Guesses::new);
    }

    /// The asker, unless nothing limits it.
    pub fn known(&self, asker: &Asker) -> Option<Known> {
        let mut bytes = [0; 16];
        let class = match asker {
            Asker::Anonymous(Prefix(prefix)) => {
                bytes[..9].copy_from_slice(prefix);
                Class::Address
            }
            Asker::Phone(tag) => {
                bytes = *tag;
                Class::Phone
            }
            Asker::Key(CallerId(id)) => {
                bytes[..8].copy_from_slice(id);
                Class::Key
            }
            Asker::Console => return None,
        };
        let [tag, _] = halves(self.secret.digest(ASKER, [&[class as u8], &bytes]));
        Some(Known { class, tag })
    }

    /// Takes what questions cost from the asker's quota; the first ones may be asked as far as it goes.
    pub fn admit(&self, known: &Known, questions: &[Question], now: UnixMillis) -> Admission {
        let wanted = questions.iter().filter(|question| !known.is_free(question)).count();
        let rate = match u32::try_from(wanted).unwrap_or(u32::MAX) {
            0 => None,
            wanted => self.take(known, wanted, now),
        };
        let Some(rate) = rate else { return Admission::of_all(questions) };
        let mut left = rate.granted;
        let refused = questions.iter().map(|question| {
            if known.is_free(question) {
                None
            } else if left > 0 {
                left -= 1;
                None
            } else {
                Some(Throttled::too_many(rate))
            }
        });
        let refused = refused.collect();
        Admission { rate: Some(rate), refused }
    }

    /// As [`Quota::admit`], for one question.
    pub fn admit_one(&self, known: &Known, question: &Question, now: UnixMillis) -> (Option<Rate>, Option<Throttled>) {
        if known.is_free(question) {
            return (None, None);
        }
        self.charge(known, now)
    }

    /// Takes what one question costs, or says when it can be taken.
    pub fn charge(&self, known: &Known, now: UnixMillis) -> (Option<Rate>, Option<Throttled>) {
        let rate = self.take(known, 1, now);
        (rate, rate.filter(|rate| rate.granted == 0).map(Throttled::too_many))
    }

    /// How many askers' buckets are not full: at most [`QUOTA_ASKERS_MAX`](crate::limits::QUOTA_ASKERS_MAX).
    pub fn askers(&self) -> usize {
        self.buckets.len()
    }

    /// Takes as many of `wanted` questions from the asker's quota as it has; none where the asker's class has no quota.
    pub fn take(&self, known: &Known, wanted: u32, now: UnixMillis) -> Option<Rate> {
        let policy = self.policies.of(known.class)?;
        Some(self.buckets.take(known, policy, wanted, now))
    }

    /// Runs `check`, which compares factors, unless the asker, or everybody without a token, was wrong about the invoice too often today. A mismatch
    /// is remembered before anybody else may try: however many try at once, not one more than is allowed is compared.
    pub fn guarded(&self, known: &Known, query: &Query, now: UnixMillis, check: impl FnOnce() -> Checked) -> Result<Checked, Throttled> {
        let factors = match query {
            // Its signature is no guess.
            Query::Signed(_) => return Ok(check()),
            Query::Factors(factors) => factors,
        };
        let id = factors.id.to_bytes();
        let own = self.secret.digest(ASKER_AND_INVOICE, [&known.tag, &id]);
        let guess = match known.class {
            Class::Address => {
                Guess::Anonymous { tag: known.tag, invoice: self.secret.digest(INVOICE, [&id, &[]]), own, strength: factors.strength() }
            }
            Class::Phone | Class::Key => Guess::Accountable { tag: known.tag, own },
        };
        self.guesses.get_or_init(Guesses::new).compared(&guess, now, check).map_err(|reason| {
            let by_digits = may_have_check_code(query);
            let needed: &[&[&str]] = match (reason, known.class) {
                (Reason::TooManyQuestions, _) | (Reason::WaitOnInvoice, Class::Phone | Class::Key) => &[],
                (Reason::WaitOnInvoice, Class::Address) if by_digits => &[BY_DIGITS],
                (Reason::WaitOnInvoice, Class::Address) => &[],
                (Reason::StrongerFactors, _) if by_digits => &[BY_DIGITS, BY_AMOUNTS],
                (Reason::StrongerFactors, _) => &[BY_AMOUNTS],
            };
            Throttled { reason, retry_after: seconds_until(now.next_day(), now), needed }
        })
    }
}

/// By the question alone: nothing registered shows in what a throttled asker is told.
fn may_have_check_code(query: &Query) -> bool {
    let by_code = Derived::of(&query.id().code);
    match (by_code, query) {
        (Derived::Kind(kind), _) => kind.profile().factor == Factor::CheckCode,
        (Derived::Unknown, Query::Factors(factors)) => factors.stated_kind.is_none_or(|kind| kind.profile().factor == Factor::CheckCode),
        (Derived::Toll | Derived::UsedCar | Derived::ElectronicSpecial | Derived::Unknown, _) => true,
    }
}

fn halves(digest: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(digest.chunks(16)) {
        half.copy_from_slice(bytes);
    }
    halves
}

/// Whole seconds, rounded up.
fn seconds_until(then: UnixMillis, now: UnixMillis) -> u64 {
    then.0.saturating_sub(now.0).div_ceil(1_000)
}
