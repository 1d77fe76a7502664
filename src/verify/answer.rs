//! The answer: one content for every channel. Rendering and signing happen above; what is said is decided here.

use std::sync::Arc;

use super::check::{Checked, Verified, remaining};
use super::query::{Query, Question, Unanswerable, unsupported_by_code};
use super::quota::Throttled;
use super::verdict::Verdict;
use crate::domain::allotment::Mark;
use crate::domain::invoice::Invoice;
use crate::domain::kind::Derived;
use crate::domain::money::Fen;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::ledger::{InvRecord, Published};

/// What is said to whoever asked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// Code and number that were asked about, if they could be read.
    pub id: Option<InvoiceId>,
    /// The ledger state that the answer is about.
    pub as_of: AsOf,
    /// How often a matching question was asked, this one included; 0 without a match.
    pub count: u64,
    /// When the first of the earlier ones was asked.
    pub first_verified: Option<UnixMillis>,
    /// Where and why a question could not be read.
    pub unanswerable: Option<Unanswerable>,
    /// Why it was not answered.
    pub throttled: Option<Throttled>,
    /// Code and stated type disagree.
    pub type_conflict: bool,
    /// Whether a classic QR code's CRC is right; `None` where there is none.
    pub crc_ok: Option<bool>,
    /// The mark behind [`Verdict::BlankMarked`].
    pub mark: Option<Mark>,
    /// What is registered; only with a match.
    pub registered: Option<Registered>,
}

/// A published state of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsOf {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: [u8; 32],
    /// When the answer was given.
    pub time: UnixMillis,
}

/// What a matching question is shown.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Only [`super::check::check`] makes one.
    pub verified: Verified,
    /// Leaf of the invoice.
    pub index: u64,
    /// The public commit.
    pub commit: [u8; 32],
    /// Amount excluding tax and tax that reds have left; blue invoices only.
    pub remaining: Option<(Fen, Fen)>,
    /// When the newest event on it was logged, if it is not the issue itself.
    pub changed: Option<UnixMillis>,
    /// Brought in by import.
    pub imported: bool,
    /// Everything else on it, where the data key is at hand and the body was not erased. To be masked.
    pub invoice: Option<Arc<Invoice>>,
}

impl Answer {
    /// The answer to a question that could not be read.
    pub fn unanswerable(why: Unanswerable, as_of: AsOf) -> Answer {
        let verdict = match why {
            Unanswerable::Malformed { .. } => Verdict::Malformed,
            Unanswerable::Unsupported { .. } => Verdict::Unsupported,
        };
        Answer {
            verdict,
            id: None,
            as_of,
            count: 0,
            first_verified: None,
            unanswerable: Some(why),
            throttled: None,
            type_conflict: false,
            crc_ok: None,
            mark: None,
            registered: None,
        }
    }

    /// The answer to a question that was not looked into: it echoes which invoice was asked about, and nothing registered.
    pub fn throttled(question: &Question, why: Throttled, as_of: AsOf) -> Answer {
        Answer {
            verdict: Verdict::Throttled,
            id: question.query.as_ref().ok().map(Query::id),
            as_of,
            count: 0,
            first_verified: None,
            unanswerable: None,
            throttled: Some(why),
            type_conflict: false,
            crc_ok: None,
            mark: None,
            registered: None,
        }
    }

    /// The answer to a question that was checked. Without a match it echoes the question and shows nothing registered.
    pub fn checked(query: &Query, checked: Checked, row: Option<&InvRecord>, mark: Option<Mark>, as_of: AsOf) -> Answer {
        let registered = checked.verified.zip(row).map(|(verified, row)| Registered {
            verified,
            index: row.index,
            commit: row.commit,
            remaining: row.original.is_none().then(|| remaining(row)),
            changed: (row.last_event != row.index).then_some(UnixMillis(row.last_event_ms)),
            imported: row.imported,
            invoice: None,
        });
        let unanswerable = match checked.verdict {
            Verdict::Unsupported => unsupported_by_code(Derived::of(&query.id().code)),
            _ => None,
        };
        Answer {
            verdict: checked.verdict,
            id: Some(query.id()),
            as_of,
            count: 0,
            first_verified: None,
            unanswerable,
            throttled: None,
            type_conflict: query.type_conflict(),
            crc_ok: None,
            mark: mark.filter(|_| checked.verdict == Verdict::BlankMarked),
            registered,
        }
    }

    /// Whether the person should also compare the paper: the code was read from it, and a genuine code can be copied onto a false invoice.
    pub fn compare_with_paper(&self) -> bool {
        self.verdict.matched()
    }
}

impl AsOf {
    /// An answer about `published`, given at `now`.
    pub fn new(published: &Published, now: UnixMillis) -> AsOf {
        AsOf { size: published.size, root: published.root, time: now }
    }
}
