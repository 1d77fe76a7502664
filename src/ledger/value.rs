//! Stored values: the one caller of bincode. Nothing encoded here is ever signed or hashed.
//!
//! Every value begins with a version byte; decoding has a limit (a hostile length must not allocate) and must consume all bytes.

use bincode::config;
use bincode::{Decode, Encode};

use crate::domain::number::InvoiceId;
use crate::limits::VALUE_BYTES_MAX;

const VERSION: u8 = 1;
/// Room for a seal or a row of `inv`, the records that are written for every invoice.
const RECORD_BYTES_USUAL: usize = 256;

/// A stored value that is not what this version writes.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Written by another version, or not by us.
    #[error("stored value has version {0:?}, this program knows {VERSION}")]
    Version(Option<u8>),
    /// The bytes do not decode.
    #[error("stored value does not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// A number or a text that stands for nothing.
    #[error("stored value has no such {0}")]
    OutOfRange(&'static str),
    /// More bytes than the value needs.
    #[error("stored value has {0} bytes left over")]
    LeftOver(usize),
}

/// What may be stored: everything here.
pub trait Record: Encode + Decode<()> + PartialEq + std::fmt::Debug {}

impl Record for Seal {}
impl Record for InvRecord {}
impl Record for AllotRecord {}
impl Record for HeadRecord {}
impl Record for CountRecord {}
impl Record for CallerRecord {}
impl Record for AuditRecord {}

fn format() -> impl config::Config {
    config::standard().with_limit::<VALUE_BYTES_MAX>()
}

/// The bytes of a record, version first.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES_USUAL);
    bytes.push(VERSION);
    match bincode::encode_into_std_write(record, &mut bytes, format()) {
        Ok(_) => bytes,
        // Writing to memory cannot fail, and every record is far below the limit by the limits of drafts and of policies.
        Err(error) => unreachable!("record does not encode: {error}"),
    }
}

/// The record in these bytes.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, ValueError> {
    let (version, rest) = bytes.split_first().ok_or(ValueError::Version(None))?;
    if *version != VERSION {
        return Err(ValueError::Version(Some(*version)));
    }
    let (record, used) = bincode::decode_from_slice(rest, format())?;
    if used != rest.len() {
        return Err(ValueError::LeftOver(rest.len() - used));
    }
    Ok(record)
}

/// A row of `seal`: what was signed for one leaf, and what the derived tables need. Permanent and private.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Seal {
    /// Of an issue or a red.
    Invoice(InvoiceSeal),
    /// Of any other event.
    Event(EventSeal),
}

/// What was signed for an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InvoiceSeal {
    /// Canonical face.
    pub face: Vec<u8>,
    /// Digest that hides the rest.
    pub rest_digest: [u8; 32],
    /// The authority's signature.
    pub signature: [u8; 64],
    /// For recognising "the same again".
    pub content_digest: [u8; 32],
    /// The check code was drawn by us, not stated by the submitter.
    pub check_code_generated: bool,
    /// InvoiceId of the original, on red-letter invoices.
    pub original: Option<[u8; InvoiceId::LEN]>,
}

/// What was signed for an event without an invoice of its own.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EventSeal {
    /// Random bytes that make the public commit hiding.
    pub salt: [u8; 16],
    /// The event's data.
    pub data: Vec<u8>,
    /// The authority's signature.
    pub signature: [u8; 64],
}

/// A row of `inv`: everything a verification needs, in one point read.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InvRecord {
    /// Leaf of the issue or red.
    pub index: u64,
    /// When that leaf was written, ms since 1970.
    pub time_ms: u64,
    /// Canonical face.
    pub face: Vec<u8>,
    /// The public commit.
    pub commit: [u8; 32],
    /// For recognising "the same again".
    pub content_digest: [u8; 32],
    /// The check code was drawn by us.
    pub check_code_generated: bool,
    /// Brought in by `import`.
    pub imported: bool,
    /// InvoiceId of the original; present exactly on red-letter invoices.
    pub original: Option<[u8; InvoiceId::LEN]>,
    /// Leaf of the void, if void.
    pub voided: Option<u64>,
    /// Number of the [`Mark`](crate::domain::allotment::Mark) in force (lost, stolen, abnormal) and its leaf.
    pub suspended: Option<(u8, u64)>,
    /// Red-letter invoices in force against this one.
    pub live_reds: u32,
    /// Amount excluding tax not taken back by reds, fen.
    pub remaining_amount: i64,
    /// Tax not taken back by reds, fen.
    pub remaining_tax: i64,
    /// Leaf of the newest event on this invoice.
    pub last_event: u64,
    /// Time of that leaf, ms since 1970.
    pub last_event_ms: u64,
}

/// A row of `allot`, under (code, last).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AllotRecord {
    /// First number, BCD.
    pub first: [u8; 4],
    /// Taxpayer the numbers belong to; empty on a mark.
    pub taxpayer: String,
    /// Number of the type; 0 on a mark.
    pub kind: u8,
    /// Number of the mark; 0 on an allotment.
    pub mark: u8,
    /// Leaf of the event.
    pub index: u64,
}

/// A row of `head`: a checkpoint as published.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeadRecord {
    /// The signed note.
    pub note: String,
    /// Time of the frame, ms since 1970.
    pub time_ms: u64,
}

/// A row of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CountRecord {
    /// Verifications that matched.
    pub count: u64,
    /// The first of them, ms since 1970.
    pub first_ms: u64,
}

/// A row of `caller`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CallerRecord {
    /// Number of the [`Role`](crate::domain::caller::Role).
    pub role: u8,
    /// Whom it acts for.
    pub taxpayers: Vec<String>,
    /// Where it may act; empty for the whole country.
    pub regions: Vec<String>,
    /// Registered Ed25519 key.
    pub issuer_key: Option<[u8; 32]>,
    /// Hash of the token's secret.
    pub token_hash: [u8; 32],
    /// What an administrator calls it.
    pub label: String,
    /// When it was enrolled, ms since 1970.
    pub created_ms: u64,
    /// First instant at which its token counts no more.
    pub expires_ms: Option<u64>,
    /// When its token was revoked.
    pub revoked_ms: Option<u64>,
}

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AuditRecord {
    /// When, ms since 1970.
    pub time_ms: u64,
    /// By whom; `None` at the console.
    pub caller: Option<[u8; 8]>,
    /// Number of the role it had.
    pub role: u8,
    /// Number of the [`Act`](crate::domain::audit::Act).
    pub act: u8,
    /// To what: ids.
    pub subject: String,
    /// What came of it: a code.
    pub outcome: String,
}
