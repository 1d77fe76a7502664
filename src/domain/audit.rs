//! The audit trail (审计): what was done with a privilege, by whom, and what came of it. Ids and codes only: no names, amounts, tokens or keys.

use super::caller::{CallerId, Role};
use super::time::UnixMillis;
use crate::limits::{AUDIT_OUTCOME_BYTES_MAX, AUDIT_SUBJECT_BYTES_MAX};

/// What was done. Numbers are stored and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Act {
    /// A caller was enrolled.
    CallerAdded = 1,
    /// A caller's token counts no more.
    CallerRevoked = 2,
    /// An issuer's key was set, or taken away.
    IssuerKeySet = 3,
    /// Numbers were allotted.
    Allotted = 4,
    /// Allotted numbers were marked, or a mark lifted.
    AllotmentMarked = 5,
    /// An invoice was voided.
    InvoiceVoided = 6,
    /// One invoice was marked, or its mark lifted.
    InvoiceMarked = 7,
    /// What only the encrypted body knows was shown.
    InvoiceDisclosed = 8,
    /// Historic invoices were brought in.
    InvoiceImported = 9,
    /// The audit trail itself was read.
    AuditRead = 10,
    /// The list of callers was read.
    CallersRead = 11,
    /// Secret keys were used outside of their daily work, or changed.
    KeysUsed = 12,
    /// A backup was made.
    BackedUp = 13,
    /// What only the encrypted body knew was erased.
    InvoiceErased = 14,
}

impl Act {
    /// Every act, by number.
    pub const ALL: [Act; 14] = [
        Act::CallerAdded,
        Act::CallerRevoked,
        Act::IssuerKeySet,
        Act::Allotted,
        Act::AllotmentMarked,
        Act::InvoiceVoided,
        Act::InvoiceMarked,
        Act::InvoiceDisclosed,
        Act::InvoiceImported,
        Act::AuditRead,
        Act::CallersRead,
        Act::KeysUsed,
        Act::BackedUp,
        Act::InvoiceErased,
    ];

    /// The stable number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The act with this number.
    pub fn from_number(number: u8) -> Option<Act> {
        Act::ALL.into_iter().find(|act| act.number() == number)
    }

    /// The word of the interfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Act::CallerAdded => "caller_added",
            Act::CallerRevoked => "caller_revoked",
            Act::IssuerKeySet => "issuer_key_set",
            Act::Allotted => "allotted",
            Act::AllotmentMarked => "allotment_marked",
            Act::InvoiceVoided => "invoice_voided",
            Act::InvoiceMarked => "invoice_marked",
            Act::InvoiceDisclosed => "invoice_disclosed",
            Act::InvoiceImported => "invoice_imported",
            Act::AuditRead => "audit_read",
            Act::CallersRead => "callers_read",
            Act::KeysUsed => "keys_used",
            Act::BackedUp => "backed_up",
            Act::InvoiceErased => "invoice_erased",
        }
    }
}

/// One line of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: UnixMillis,
    /// By whom; `None` at the console.
    pub by: Option<CallerId>,
    /// In which role.
    pub role: Role,
    /// What.
    pub act: Act,
    /// To what: ids.
    pub subject: String,
    /// What came of it: a code.
    pub outcome: String,
}

impl Entry {
    /// Whether subject and outcome are what may be kept: printable ASCII, within their limits. Names and free text are neither.
    pub fn is_admissible(&self) -> bool {
        let plain = |text: &str, limit| text.len() <= limit && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        plain(&self.subject, AUDIT_SUBJECT_BYTES_MAX) && plain(&self.outcome, AUDIT_OUTCOME_BYTES_MAX)
    }
}
