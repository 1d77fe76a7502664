//! What is told to a verifier, as bytes that are signed; what was asked, as bytes that are hashed; and two proofs about the log, as text: that a
//! leaf is in it, and that it only grew.

use data_encoding::BASE64;

use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::crypto::hash;
use crate::crypto::merkle::Hash;
use crate::crypto::note::{Origin, decode_base64, parse_decimal};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::limits::{NOTE_BYTES_MAX, PROOF_EXTRA_MAX, PROOF_HASHES_MAX, QR_TEXT_MAX, QUERY_FIELD_MAX};

/// The verdicts that exist, by number: they are signed and never change.
pub const VERDICTS: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 20, 21, 30, 40];

/// An answer. Its bytes are signed by the answering key.
///
/// ```text
/// +--------------------+---------+--------------+--------+----------+---------+---------+-----------+------------+--------+-----------+
/// | fapiao/answer/1\0  | verdict | query digest | origin | size u64 | root 32 | time ms | count u64 | first ms   | commit | remaining |
/// | 16 bytes           | u8      | 32 bytes     | text   |          |         | u64     |           | u64 or all | opt 32 | opt fen   |
/// |                    |         |              |        |          |         |         |           | ones       |        | and fen   |
/// +--------------------+---------+--------------+--------+----------+---------+---------+-----------+------------+--------+-----------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One of [`VERDICTS`].
    pub verdict: u8,
    /// [`Query::digest`] of what was asked.
    pub query_digest: [u8; 32],
    /// The log it was looked up in.
    pub origin: Origin,
    /// Leaves of the log then.
    pub size: u64,
    /// Root of the log then.
    pub root: Hash,
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

impl Answer {
    /// The bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        writer.bytes(hash::ANSWER_LABEL).u8(self.verdict).bytes(&self.query_digest).text(self.origin.as_str());
        writer.u64(self.size).bytes(&self.root).u64(self.time.0);
        let Answer { count, first, commit, remaining, .. } = *self;
        Findings { count, first, commit, remaining }.write(&mut writer);
        writer.into_bytes()
    }

    /// The answer in these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
        Reader::all(bytes, |reader| {
            if reader.array::<16>()? != *hash::ANSWER_LABEL {
                return reader.fault(0, DecodeReason::Version);
            }
            let verdict = read_verdict(reader)?;
            let query_digest = reader.array()?;
            let origin = reader.value("origin", |reader| reader.text("origin"), Origin::parse)?;
            let (size, root, time) = (reader.u64()?, reader.array()?, UnixMillis(reader.u64()?));
            let Findings { count, first, commit, remaining } = Findings::read(reader)?;
            Ok(Answer { verdict, query_digest, origin, size, root, time, count, first, commit, remaining })
        })
    }
}

pub(super) fn read_verdict(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    reader.value("verdict", Reader::u8, |verdict| VERDICTS.contains(&verdict).then_some(verdict))
}

/// What was found of an invoice: the end of an answer and of a row.
pub(super) struct Findings {
    pub(super) count: u64,
    pub(super) first: Option<UnixMillis>,
    pub(super) commit: Option<[u8; 32]>,
    pub(super) remaining: Option<(Fen, Fen)>,
}

impl Findings {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.count).u64(self.first.map_or(u64::MAX, |first| first.0));
        writer.opt(self.commit, |writer, commit| {
            writer.bytes(&commit);
        });
        writer.opt(self.remaining, |writer, (amount, tax)| {
            writer.fen(amount).fen(tax);
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Findings, DecodeError> {
        Ok(Findings {
            count: reader.u64()?,
            first: Some(reader.u64()?).filter(|first| *first != u64::MAX).map(UnixMillis),
            commit: reader.opt("commit", Reader::array)?,
            // Sums, not stated amounts: their range is that of the type.
            remaining: reader.opt("remaining", |reader| Ok((Fen(reader.i64()?), Fen(reader.i64()?))))?,
        })
    }
}

/// What stands for a signed answer, or for signed rows, in the log: the RFC 6962 leaf hash of the bytes and their signature.
pub fn answer_hash(bytes: &[u8], signature: &[u8; 64]) -> Hash {
    hash::sha256(&[&[0], bytes, signature])
}

/// What was asked, as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query<'a> {
    /// By typed fields.
    Typed {
        /// 发票代码.
        code: &'a str,
        /// 发票号码.
        number: &'a str,
        /// 开票日期.
        date: Option<&'a str>,
        /// 金额.
        amount: Option<&'a str>,
        /// 校验码.
        check: Option<&'a str>,
        /// 价税合计.
        total: Option<&'a str>,
        /// 销售方纳税人识别号.
        seller_id: Option<&'a str>,
        /// 购买方纳税人识别号.
        buyer_id: Option<&'a str>,
    },
    /// By the text of a QR code.
    Qr(&'a str),
}

/// A question longer than any that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the question is too long")]
pub struct QueryTooLong;

impl Query<'_> {
    /// The bytes that are hashed.
    pub fn encode(&self) -> Result<Vec<u8>, QueryTooLong> {
        let mut writer = Writer::with_capacity(128);
        match *self {
            Query::Typed { code, number, date, amount, check, total, seller_id, buyer_id } => {
                let more = [total, seller_id, buyer_id];
                if [Some(code), Some(number), date, amount, check].into_iter().chain(more).flatten().any(|field| field.len() > QUERY_FIELD_MAX) {
                    return Err(QueryTooLong);
                }
                // Questions that carry none of the later fields are written as before there were any: their digests stay.
                let none_of_them = more.iter().all(Option::is_none);
                writer.u8(if none_of_them { 1 } else { 3 }).text(code).text(number).opt_text(date).opt_text(amount).opt_text(check);
                if !none_of_them {
                    writer.opt_text(total).opt_text(seller_id).opt_text(buyer_id);
                }
                &mut writer
            }
            Query::Qr(text) if text.len() > QR_TEXT_MAX => return Err(QueryTooLong),
            Query::Qr(text) => writer.u8(2).text(text),
        };
        Ok(writer.into_bytes())
    }

    /// What a signed answer says it answers.
    pub fn digest(&self) -> Result<[u8; 32], QueryTooLong> {
        self.encode().map(|bytes| hash::query_digest(&bytes))
    }
}

/// Inclusion of a leaf in a checkpointed tree, as one text that is checked offline (c2sp.org/tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Application data that nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// Place of the leaf.
    pub index: u64,
    /// Sibling of the leaf first, child of the root last.
    pub hashes: Vec<Hash>,
    /// The signed note, as it is.
    pub checkpoint: String,
}

/// That the log at one checkpoint continues the log at another, as one text that is checked offline: ours, in the manner of c2sp.org/tlog-proof.
///
/// ```text
/// fapiao/consistency@v1\n
/// from <size in decimal>\n
/// to <size in decimal>\n
/// <hash, base64>\n                     none or more
/// \n
/// <older signed note: text, \n, signature lines>
/// \n
/// <newer signed note: text, \n, signature lines>
/// ```
///
/// A checkpoint's text has no empty line, so there are four in all, and each part is where they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves of the older tree.
    pub from: u64,
    /// Leaves of the newer tree.
    pub to: u64,
    /// RFC 6962 consistency proof; empty from size 0 or between equal sizes.
    pub hashes: Vec<Hash>,
    /// The older signed note, as it is.
    pub older: String,
    /// The newer signed note, as it is.
    pub newer: String,
}

/// Why a text is no such proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofError {
    /// Longer than any.
    #[error("the proof is too long")]
    TooLong,
    /// Another format, or another version of it.
    #[error("the first line is not {0}")]
    Header(&'static str),
    /// A line is not what it should be.
    #[error("line {0} of the proof is malformed")]
    Line(usize),
    /// No empty line, or nothing after it.
    #[error("the proof carries no checkpoint")]
    NoCheckpoint,
    /// Something else than two notes follows.
    #[error("the proof does not end in two signed notes")]
    NotTwoCheckpoints,
}

impl LogProof {
    /// First line of the text.
    pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

    /// The text.
    pub fn encode(&self) -> String {
        let mut text = format!("{}\n", LogProof::HEADER);
        if let Some(extra) = &self.extra {
            text.extend(["extra ", &BASE64.encode(extra), "\n"]);
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.extend([&BASE64.encode(hash), "\n"]);
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Parses the text. The checkpoint is taken as it is: [`crate::crypto::note::Checkpoint::open`] judges it.
    pub fn parse(text: &str) -> Result<LogProof, LogProofError> {
        if text.len() > NOTE_BYTES_MAX + PROOF_HASHES_MAX * 45 + 2 * PROOF_EXTRA_MAX {
            return Err(LogProofError::TooLong);
        }
        let (proof, checkpoint) = text.split_once("\n\n").filter(|(_, checkpoint)| !checkpoint.is_empty()).ok_or(LogProofError::NoCheckpoint)?;
        let mut lines = (1..).zip(proof.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != LogProof::HEADER) {
            return Err(LogProofError::Header(LogProof::HEADER));
        }
        let extra = match lines.next_if(|(_, line)| line.starts_with("extra ")) {
            Some((at, line)) => {
                let extra = line.strip_prefix("extra ").and_then(decode_base64);
                Some(extra.filter(|extra| !extra.is_empty() && extra.len() <= PROOF_EXTRA_MAX).ok_or(LogProofError::Line(at))?)
            }
            None => None,
        };
        let index = number_line(lines.next(), "index ", 2)?;
        Ok(LogProof { extra, index, hashes: hash_lines(lines)?, checkpoint: checkpoint.to_owned() })
    }
}

impl ConsistencyProof {
    /// First line of the text.
    pub const HEADER: &str = "fapiao/consistency@v1";

    /// The text.
    pub fn encode(&self) -> String {
        let mut text = format!("{}\nfrom {}\nto {}\n", ConsistencyProof::HEADER, self.from, self.to);
        for hash in &self.hashes {
            text.extend([&BASE64.encode(hash), "\n"]);
        }
        text.extend(["\n", &self.older, "\n", &self.newer]);
        text
    }

    /// Parses the text. The notes are taken apart and else as they are: [`crate::crypto::note::Note::parse`] judges them.
    pub fn parse(text: &str) -> Result<ConsistencyProof, LogProofError> {
        if text.len() > 2 * NOTE_BYTES_MAX + (PROOF_HASHES_MAX + 3) * 45 {
            return Err(LogProofError::TooLong);
        }
        let parts: Vec<&str> = text.splitn(6, "\n\n").collect();
        let mut lines = (1..).zip(parts.first().copied().unwrap_or_default().split('\n'));
        if lines.next().is_none_or(|(_, line)| line != ConsistencyProof::HEADER) {
            return Err(LogProofError::Header(ConsistencyProof::HEADER));
        }
        let from = number_line(lines.next(), "from ", 2)?;
        let to = number_line(lines.next(), "to ", 3)?;
        let hashes = hash_lines(lines)?;
        let [_, older, older_signatures, newer, newer_signatures] = parts[..] else { return Err(LogProofError::NotTwoCheckpoints) };
        // Two empty lines in a row could belong to either side of them.
        if [older, older_signatures, newer, newer_signatures].iter().any(|part| part.is_empty() || part.starts_with('\n')) {
            return Err(LogProofError::NotTwoCheckpoints);
        }
        if !newer_signatures.ends_with('\n') {
            return Err(LogProofError::NotTwoCheckpoints);
        }
        Ok(ConsistencyProof { from, to, hashes, older: format!("{older}\n\n{older_signatures}\n"), newer: format!("{newer}\n\n{newer_signatures}") })
    }
}

/// The number on a line that begins with `name`; `at` is where the line should be if it is missing.
fn number_line(line: Option<(usize, &str)>, name: &str, at: usize) -> Result<u64, LogProofError> {
    let (at, line) = line.ok_or(LogProofError::Line(at))?;
    line.strip_prefix(name).and_then(parse_decimal).ok_or(LogProofError::Line(at))
}

fn hash_lines<'t>(lines: impl Iterator<Item = (usize, &'t str)>) -> Result<Vec<Hash>, LogProofError> {
    let hash = |line: &str| decode_base64(line).and_then(|hash| Hash::try_from(hash).ok());
    let hashes = lines.map(|(at, line)| hash(line).ok_or(LogProofError::Line(at))).collect::<Result<Vec<Hash>, _>>()?;
    if hashes.len() > PROOF_HASHES_MAX { Err(LogProofError::TooLong) } else { Ok(hashes) }
}
