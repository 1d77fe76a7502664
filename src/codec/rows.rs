//! What is told in bulk: a row for each question, and what is signed over all rows of one result, so that any of them can be proved later without the
//! others.

use super::proof::{Findings, read_verdict};
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::crypto::hash::{ROW_LABEL, ROWS_LABEL, Salt};
use crate::crypto::merkle::{self, Hash};
use crate::crypto::note::Origin;
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// A row: what an answer says, of the log of some size.
///
/// ```text
/// +-----------------+---------+---------+--------------+----------+---------+-----------+------------+--------+-----------+
/// | fapiao/row/1\0  | salt 16 | verdict | query digest | size u64 | time ms | count u64 | first ms   | commit | remaining |
/// | 13 bytes        |         | u8      | 32 bytes     |          | u64     |           | u64 or all | opt 32 | opt fen   |
/// |                 |         |         |              |          |         |           | ones       |        | and fen   |
/// +-----------------+---------+---------+--------------+----------+---------+-----------+------------+--------+-----------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Random: the path of one row shows hashes of others, which tell nothing of them.
    pub salt: Salt,
    /// One of [`VERDICTS`](super::proof::VERDICTS).
    pub verdict: u8,
    /// [`Query::digest`](super::proof::Query::digest) of what was asked, or [`line_digest`](crate::crypto::hash::line_digest) where that cannot be read.
    pub query_digest: [u8; 32],
    /// Leaves of the log in which it was looked up.
    pub size: u64,
    /// When it was answered.
    pub time: UnixMillis,
    /// Times verified, this one included.
    pub count: u64,
    /// When it was verified first; none if never before.
    pub first: Option<UnixMillis>,
    /// Commit of the invoice.
    pub commit: Option<[u8; 32]>,
    /// Amount excluding tax, and tax, that are not taken back by red-letter invoices.
    pub remaining: Option<(Fen, Fen)>,
}

impl Row {
    /// The bytes that are hashed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(192);
        writer.bytes(ROW_LABEL).bytes(&self.salt).u8(self.verdict).bytes(&self.query_digest).u64(self.size).u64(self.time.0);
        let Row { count, first, commit, remaining, .. } = *self;
        Findings { count, first, commit, remaining }.write(&mut writer);
        writer.into_bytes()
    }

    /// The row in these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Row, DecodeError> {
        Reader::all(bytes, |reader| {
            if reader.array()? != *ROW_LABEL {
                return reader.fault(0, DecodeReason::Version);
            }
            let (salt, verdict, query_digest) = (reader.array()?, read_verdict(reader)?, reader.array()?);
            let (size, time) = (reader.u64()?, UnixMillis(reader.u64()?));
            let Findings { count, first, commit, remaining } = Findings::read(reader)?;
            Ok(Row { salt, verdict, query_digest, size, time, count, first, commit, remaining })
        })
    }
}

/// What stands for a row in the tree over all rows, from its bytes.
pub fn row_hash(row: &[u8]) -> Hash {
    merkle::leaf_hash(row)
}

/// All rows of a result. Its bytes are signed by the answering key.
///
/// ```text
/// +------------------+--------+----------+---------+---------+-----------+--------------+
/// | fapiao/rows/1\0  | origin | size u64 | root 32 | time ms | count u64 | root of rows |
/// | 14 bytes         | text   |          |         | u64     | not 0     | 32           |
/// +------------------+--------+----------+---------+---------+-----------+--------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The log they were looked up in.
    pub origin: Origin,
    /// Leaves of the log when they were signed: no row is about a larger one.
    pub size: u64,
    /// Root of the log then.
    pub root: Hash,
    /// When they were signed: no row is later.
    pub time: UnixMillis,
    /// How many rows.
    pub count: u64,
    /// RFC 6962 root over the [`row_hash`] of each, in their order.
    pub rows_root: Hash,
}

impl Rows {
    /// The bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(192);
        writer.bytes(ROWS_LABEL).text(self.origin.as_str()).u64(self.size).bytes(&self.root);
        writer.u64(self.time.0).u64(self.count).bytes(&self.rows_root);
        writer.into_bytes()
    }

    /// The rows in these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Rows, DecodeError> {
        Reader::all(bytes, |reader| {
            if reader.array()? != *ROWS_LABEL {
                return reader.fault(0, DecodeReason::Version);
            }
            Ok(Rows {
                origin: reader.value("origin", |reader| reader.text("origin"), Origin::parse)?,
                size: reader.u64()?,
                root: reader.array()?,
                time: UnixMillis(reader.u64()?),
                count: reader.value("count", Reader::u64, |count| (count > 0).then_some(count))?,
                rows_root: reader.array()?,
            })
        })
    }
}
