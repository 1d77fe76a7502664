//! The ledger's tables as typed column families. Keys are big-endian, so that key order is value order.
//!
//! ```text
//! leaf   | index u64                                    | 96-byte leaf
//! seal   | index u64                                    | Seal
//! body   | index u64                                    | stored body (formats: "Stored bodies")
//! tile   | level u8 | n u64                             | 256 hashes of 32 bytes, full tiles only
//! head   | size u64                                     | HeadRecord
//! inv    | InvoiceId: code 6 | number 4                 | InvRecord
//! allot  | what u8 | code 6 | last 4 | index u64        | AllotRecord; what: 0 allotment, 1 mark
//! key    | index u64                                    | data of the key event, as signed
//! tax    | taxpayer id, 20 bytes, zero-padded | date u32 | index u64 | nothing
//! count  | InvoiceId                                    | CountRecord
//! reopen | index u64                                    | data of the reopen event, as signed
//! meta   | name                                         | bytes
//! cosigned | size u64                                   | the checkpoint as a note with cosignatures
//! caller | caller id, 8 bytes                           | CallerRecord
//! audit  | sequence u64                                 | AuditRecord
//! answer | number u64                                   | hash of the signed answer, 32 bytes | time ms u64
//! answer_hash | hash of a signed answer, 32 bytes       | number u64
//! answer_root | first number u64 | index u64            | data of the answers event, as signed
//! policy | index u64                                    | data of the policy event, as signed
//! ```

use super::value::{self, AllotRecord, AuditRecord, CallerRecord, CountRecord, HeadRecord, InvRecord, Seal, ValueError};
use crate::domain::caller::CallerId;
use crate::domain::number::InvoiceId;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// One column family: how its keys and values are written.
pub trait Table {
    /// Name of the column family.
    const NAME: &'static str;
    /// What a row is found by.
    type Key;
    /// What a row holds.
    type Value;
    /// Key bytes, in the order of the keys.
    fn key(key: &Self::Key) -> Vec<u8>;
    /// Value bytes.
    fn encode(value: &Self::Value) -> Vec<u8>;
    /// The value in these bytes.
    fn decode(bytes: &[u8]) -> Result<Self::Value, ValueError>;
}

/// Declares a table whose values are bincode records.
macro_rules! record_table {
    ($(#[$doc:meta])* $table:ident, $name:literal, $key:ty, $record:ty, |$k:ident| $bytes:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $table;
        impl Table for $table {
            const NAME: &'static str = $name;
            type Key = $key;
            type Value = $record;
            fn key($k: &$key) -> Vec<u8> {
                $bytes
            }
            fn encode(value: &$record) -> Vec<u8> {
                value::encode(value)
            }
            fn decode(bytes: &[u8]) -> Result<$record, ValueError> {
                value::decode(bytes)
            }
        }
    };
}

/// Declares a table whose values are bytes with a layout of their own.
macro_rules! raw_table {
    ($(#[$doc:meta])* $table:ident, $name:literal, $key:ty, |$k:ident| $bytes:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $table;
        impl Table for $table {
            const NAME: &'static str = $name;
            type Key = $key;
            type Value = Vec<u8>;
            fn key($k: &$key) -> Vec<u8> {
                $bytes
            }
            fn encode(value: &Vec<u8>) -> Vec<u8> {
                value.clone()
            }
            fn decode(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
                Ok(bytes.to_vec())
            }
        }
    };
}

raw_table!(
    /// The log itself.
    Leaves, "leaf", u64, |index| index.to_be_bytes().to_vec()
);
record_table!(
    /// What was signed for each leaf; with `leaf`, the source of all derived tables.
    Seals, "seal", u64, Seal, |index| index.to_be_bytes().to_vec()
);
raw_table!(
    /// Compressed and encrypted contents; erasable.
    Bodies, "body", u64, |index| index.to_be_bytes().to_vec()
);
raw_table!(
    /// Full tiles of the tree.
    Tiles, "tile", (u8, u64), |key| [&[key.0][..], &key.1.to_be_bytes()].concat()
);
record_table!(
    /// Every signed checkpoint.
    Heads, "head", u64, HeadRecord, |size| size.to_be_bytes().to_vec()
);
record_table!(
    /// The state of each invoice.
    Invoices, "inv", InvoiceId, InvRecord, |id| id.to_bytes().to_vec()
);
record_table!(
    /// Allotments and marks.
    Allotments, "allot", AllotKey, AllotRecord, |key| key.to_bytes()
);
raw_table!(
    /// Invoices by seller and date.
    ByTaxpayer, "tax", TaxKey, |key| key.to_bytes()
);
record_table!(
    /// How often each invoice was verified. Not derivable from the log.
    Counts, "count", InvoiceId, CountRecord, |id| id.to_bytes().to_vec()
);
raw_table!(
    /// Public keys, in log order.
    Keys, "key", u64, |index| index.to_be_bytes().to_vec()
);
raw_table!(
    /// Where the log went on under another origin.
    Reopens, "reopen", u64, |index| index.to_be_bytes().to_vec()
);
raw_table!(
    /// Facts about the ledger as a whole.
    Meta, "meta", &'static str, |name| name.as_bytes().to_vec()
);
raw_table!(
    /// Checkpoints as witnesses cosigned them. Not derivable from the log.
    Cosigned, "cosigned", u64, |size| size.to_be_bytes().to_vec()
);
record_table!(
    /// Who may call. Not derivable from the log.
    Callers, "caller", CallerId, CallerRecord, |id| id.0.to_vec()
);
record_table!(
    /// What was done with a privilege; only ever appended to. Not derivable from the log.
    Audit, "audit", u64, AuditRecord, |sequence| sequence.to_be_bytes().to_vec()
);

raw_table!(
    /// Every signed answer, in the order in which they were signed: [`answer_value`]. Not derivable from the log, which has their roots.
    Answers, "answer", u64, |number| number.to_be_bytes().to_vec()
);
raw_table!(
    /// The number of a signed answer by its hash.
    AnswerHashes, "answer_hash", [u8; 32], |hash| hash.to_vec()
);
raw_table!(
    /// Which leaf tells of which answers, under the number of the first of them and the leaf.
    AnswerRoots, "answer_root", (u64, u64), |key| [key.0.to_be_bytes(), key.1.to_be_bytes()].concat()
);

raw_table!(
    /// Trust policies by which checkpoints were published, in log order.
    Policies, "policy", u64, |index| index.to_be_bytes().to_vec()
);

/// A row of `answer`: the hash that stands for it in the tree, and its time in milliseconds.
pub fn answer_value(hash: &[u8; 32], time_ms: u64) -> Vec<u8> {
    [&hash[..], &time_ms.to_be_bytes()].concat()
}

/// What [`answer_value`] made.
pub fn parse_answer(row: &[u8]) -> Option<([u8; 32], u64)> {
    let (hash, time) = row.split_first_chunk::<32>()?;
    Some((*hash, u64::from_be_bytes(time.try_into().ok()?)))
}

/// Every column family, in the order of this page.
pub const NAMES: [&str; 19] = [
    Leaves::NAME,
    Seals::NAME,
    Bodies::NAME,
    Tiles::NAME,
    Heads::NAME,
    Invoices::NAME,
    Allotments::NAME,
    ByTaxpayer::NAME,
    Counts::NAME,
    Keys::NAME,
    Reopens::NAME,
    Meta::NAME,
    Callers::NAME,
    Audit::NAME,
    Cosigned::NAME,
    Answers::NAME,
    AnswerHashes::NAME,
    AnswerRoots::NAME,
    Policies::NAME,
];

/// Tables that the first version did not have and of which it had nothing: a ledger without them gets them, empty, when it is opened for writing.
pub const LATER: [&str; 7] = [Callers::NAME, Audit::NAME, Cosigned::NAME, Answers::NAME, AnswerHashes::NAME, AnswerRoots::NAME, Policies::NAME];

/// Name in `meta` that says that a table of [`LATER`] was made: missing after that, it is lost.
pub fn made(table: &str) -> Option<&'static str> {
    const MADE: [&str; 7] =
        ["table/caller", "table/audit", "table/cosigned", "table/answer", "table/answer_hash", "table/answer_root", "table/policy"];
    LATER.iter().position(|name| *name == table).and_then(|at| MADE.get(at).copied())
}

/// The tables that follow from leaves and seals, and can be rebuilt from them at any time.
pub const DERIVED: [&str; 8] =
    [Tiles::NAME, Invoices::NAME, Allotments::NAME, ByTaxpayer::NAME, Keys::NAME, Reopens::NAME, AnswerRoots::NAME, Policies::NAME];

/// Whether a table follows from leaves and seals.
pub fn is_derived(table: &str) -> bool {
    DERIVED.contains(&table)
}

/// Name in `meta` of how far a derived table that is being rebuilt has come. Without such a row it is complete.
pub fn watermark(table: &str) -> Option<&'static str> {
    const WATERMARKS: [&str; 8] =
        ["rebuilt/tile", "rebuilt/inv", "rebuilt/allot", "rebuilt/tax", "rebuilt/key", "rebuilt/reopen", "rebuilt/answer_root", "rebuilt/policy"];
    DERIVED.iter().position(|name| *name == table).and_then(|at| WATERMARKS.get(at).copied())
}

/// Key of `allot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllotKey {
    /// A mark on part of a range, rather than an allotment.
    pub mark: bool,
    /// Code and last number.
    pub last: InvoiceId,
    /// Leaf of the event: marks on the same range follow each other.
    pub index: u64,
}

impl AllotKey {
    fn to_bytes(self) -> Vec<u8> {
        [&[u8::from(self.mark)][..], &self.last.to_bytes(), &self.index.to_be_bytes()].concat()
    }
}

/// Key of `tax`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxKey {
    /// The seller.
    pub taxpayer: TaxpayerId,
    /// 开票日期.
    pub date: Day,
    /// Leaf of the invoice.
    pub index: u64,
}

impl TaxKey {
    fn to_bytes(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(TaxpayerId::MAX_LEN + 12);
        key.extend_from_slice(self.taxpayer.as_str().as_bytes());
        key.resize(TaxpayerId::MAX_LEN, 0);
        key.extend_from_slice(&self.date.yyyymmdd().to_be_bytes());
        key.extend_from_slice(&self.index.to_be_bytes());
        key
    }
}
