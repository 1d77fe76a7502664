//! A kept answer, or a single row of a bulk result, as a file, and its check without a network: what was signed, the signed checkpoint, and the path that
//! ties the invoice to it or the row to what was signed; and, where it is there, what the log has of that itself.

use serde_json::{Value, json};

use super::keys::{self, KeysError};
use super::log_proof::{self, Continued, LogProofFault};
use super::logged::{self, LoggedFault, Search, ShownRoot};
use crate::codec::event::Role;
use crate::codec::leaf::{KeyId, Leaf};
use crate::codec::proof::{Answer, answer_hash};
use crate::codec::rows::{Row, Rows, row_hash};
use crate::crypto::keyring::{Logged, PublicKeys, SignatureCheck};
use crate::crypto::merkle::{self, Hash};
use crate::crypto::note::{Checkpoint, Origin};
use crate::domain::time::UnixMillis;
use crate::engine::{SignedAnswer, SignedRows};
use crate::limits::PROOF_HASHES_MAX;
use crate::verify::verdict::Verdict;

/// What a kept answer is written as.
const FORMAT: &str = "fapiao-proof/1";
/// What is signed over the rows of a bulk result.
const ROWS_FORMAT: &str = "fapiao-rows/1";
/// A single row with its path.
const ROW_FORMAT: &str = "fapiao-row/1";

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The file is not a proof.
    #[error("not a proof: {0}")]
    Malformed(&'static str),
    /// Its keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The signature over the answer, or over all rows.
    #[error("the signature does not hold: {0}")]
    Signature(&'static str),
    /// The list of keys does not have the key that signed: it is older than the proof, or of another log.
    #[error("it is signed by a key that the list does not have: update your keys")]
    UpdateKeys,
    /// Signed by a key that was stolen: whether it was signed before is for the log to say.
    #[error("it is signed by a key that was compromised: ask online, for what the log has of it (fapiao proof log)")]
    AskOnline,
    /// Signed by a key that was stolen, and in the log only after the log said so.
    #[error("it is signed by a key that was compromised, and in the log (leaf {logged}) only after the log said so (leaf {told}): it counts no more")]
    LoggedLate {
        /// The leaf that has it.
        logged: u64,
        /// The leaf that says that the key was stolen.
        told: u64,
    },
    /// What the log has of the answer.
    #[error("what is said of the answer and the log does not hold: {0}")]
    Logged(#[from] LoggedFault),
    /// The log has no such answer.
    #[error(
        "the log does not have it: of the roots over answers of that time, {}, none is over this one. It was not signed then by the server that logged \
         them: whoever signed it has the key, and the time is false", roots_text(.0)
    )]
    NotLogged(Vec<ShownRoot>),
    /// The log had it, or not: it was reopened from an older copy since.
    #[error("the log does not have it, but was reopened from an older copy since, under another origin, and may have lost it")]
    Reopened,
    /// The log may come to have it.
    #[error(
        "the roots do not go far enough beyond its time to say that the log does not have it: get newer ones. They go on with the next answer that is signed: \
         where nobody asks for any, have one signed (fapiao verify --proof), and get them again after answers.minutes"
    )]
    NotLoggedYet,
    /// What ties it to a later log.
    #[error("the head does not hold: {0}")]
    Head(LogProofFault),
    /// The checkpoint.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(&'static str),
    /// The row among those that were signed.
    #[error("the row is not shown to be one of those that were signed: {0}")]
    Row(&'static str),
    /// The invoice in the log.
    #[error("the invoice is not shown to be in the log: {0}")]
    Inclusion(&'static str),
}

/// What a proof that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The verdict.
    pub verdict: Verdict,
    /// Everything that was signed.
    pub answer: Answer,
    /// Place of the invoice in the log, where one is shown.
    pub index: Option<u64>,
    /// The root that covers the answer, where it is shown.
    pub logged: Option<ShownRoot>,
    /// Checked against keys that the file itself brought: then somebody must say that these are the authority's.
    pub own_keys: bool,
}

/// What the proof of a row that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRow {
    /// The verdict.
    pub verdict: Verdict,
    /// The row.
    pub row: Row,
    /// Its place among the rows of the result, from 0.
    pub place: u64,
    /// Everything that was signed.
    pub rows: Rows,
    /// The root that covers what was signed, where it is shown.
    pub logged: Option<ShownRoot>,
    /// As of [`Proven`].
    pub own_keys: bool,
}

/// The file of a signed answer, with the public keys of its log.
pub fn to_json(signed: &SignedAnswer, log_keys: &PublicKeys) -> Value {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let inclusion = signed.inclusion.as_ref().map(|inclusion| {
        json!({
            "index": inclusion.index,
            "leaf": hex(&inclusion.leaf),
            "path": inclusion.path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        })
    });
    json!({
        "format": FORMAT,
        "answer": hex(&signed.bytes),
        "signature": hex(&signed.signature),
        "key_id": signed.key_id.to_string(),
        "checkpoint": signed.checkpoint,
        "inclusion": inclusion,
        "keys": keys::to_json(log_keys),
    })
}

/// What is brought to a proof, beside the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'e> {
    /// The roots over answers of its time ([`logged::roots_json`]): that it is below none of them is what exposes it.
    pub roots: Option<&'e Value>,
    /// A later head of the log, which continues the one that the answer is about.
    pub head: Option<&'e Continued>,
}

/// What was signed over the rows of a bulk result, with the public keys of its log.
pub fn rows_json(signed: &SignedRows, log_keys: &PublicKeys) -> Value {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    json!({
        "format": ROWS_FORMAT,
        "rows": hex(&signed.bytes),
        "signature": hex(&signed.signature),
        "key_id": signed.key_id.to_string(),
        "checkpoint": signed.checkpoint,
        "keys": keys::to_json(log_keys),
    })
}

/// The file of a single row: what was signed over all of them ([`rows_json`]), the row, and its path from its place.
pub fn row_json(signed: &Value, row: &[u8], place: u64, path: &[Hash]) -> Value {
    let mut file = signed.clone();
    file["format"] = ROW_FORMAT.into();
    file["row"] = data_encoding::HEXLOWER.encode(row).into();
    file["place"] = place.into();
    file["path"] = path.iter().map(|hash| data_encoding::HEXLOWER.encode(hash)).collect::<Vec<_>>().into();
    file
}

/// Whether a file says that it is the proof of a single row.
pub fn is_row(value: &Value) -> bool {
    text(value, "format") == Some(ROW_FORMAT)
}

/// Checks a proof offline. `trusted` are keys that the reader already has; without them those in the file are used, and that is said.
pub fn verify(file: &[u8], trusted: Option<&PublicKeys>) -> Result<Proven, ProofFault> {
    verify_with(file, trusted, Evidence::default())
}

/// As [`verify`], with more to hold it against.
pub fn verify_with(file: &[u8], trusted: Option<&PublicKeys>, evidence: Evidence<'_>) -> Result<Proven, ProofFault> {
    let value = parse(file)?;
    let Signed { said, checkpoint, logged, own_keys } = check_signed(&value, trusted, evidence)?;
    let Statement::Answer(answer) = said else { return Err(ProofFault::Malformed("format is not fapiao-proof/1")) };
    let verdict = Verdict::from_number(answer.verdict).ok_or(ProofFault::Malformed("verdict"))?;
    let index = match (&answer.commit, value.get("inclusion").filter(|inclusion| !inclusion.is_null())) {
        (None, None) => None,
        (Some(_), None) => return Err(ProofFault::Inclusion("the path is missing")),
        (None, Some(_)) => return Err(ProofFault::Inclusion("the answer shows no invoice")),
        (Some(commit), Some(inclusion)) => Some(check_inclusion(inclusion, commit, &checkpoint)?),
    };
    Ok(Proven { verdict, answer, index, logged, own_keys })
}

/// Checks the proof of a single row offline, as [`verify_with`] does that of an answer.
pub fn verify_row(file: &[u8], trusted: Option<&PublicKeys>, evidence: Evidence<'_>) -> Result<ProvenRow, ProofFault> {
    let value = parse(file)?;
    if !is_row(&value) {
        return Err(ProofFault::Malformed("format is not fapiao-row/1"));
    }
    let Signed { said, logged, own_keys, .. } = check_signed(&value, trusted, evidence)?;
    let Statement::Rows(rows) = said else { return Err(ProofFault::Malformed("format is not fapiao-row/1")) };
    let bytes = hex(&value, "row").ok_or(ProofFault::Malformed("row"))?;
    let row = Row::decode(&bytes).map_err(|_| ProofFault::Malformed("the row's bytes do not decode"))?;
    let verdict = Verdict::from_number(row.verdict).ok_or(ProofFault::Malformed("verdict"))?;
    let place = value.get("place").and_then(Value::as_u64).ok_or(ProofFault::Malformed("place"))?;
    let path = hashes(&value, "path").ok_or(ProofFault::Malformed("path"))?;
    if !merkle::verify_inclusion(&row_hash(&bytes), place, rows.count, &path, &rows.rows_root) {
        return Err(ProofFault::Row("the path does not lead to the root"));
    }
    if row.size > rows.size || row.time > rows.time {
        return Err(ProofFault::Row("it is about a later log than they are"));
    }
    Ok(ProvenRow { verdict, row, place, rows, logged, own_keys })
}

fn parse(file: &[u8]) -> Result<Value, ProofFault> {
    serde_json::from_slice(file).map_err(|_| ProofFault::Malformed("not JSON"))
}

/// What was signed, and by a key that counts.
struct Signed {
    said: Statement,
    checkpoint: Checkpoint,
    logged: Option<ShownRoot>,
    own_keys: bool,
}

/// Checks what answers and rows have in common: key and signature, what the log has of it, and the checkpoint.
fn check_signed(value: &Value, trusted: Option<&PublicKeys>, evidence: Evidence<'_>) -> Result<Signed, ProofFault> {
    let Stated { bytes, said, signature, hash } = stated(value)?;
    let own;
    let log_keys = match trusted {
        Some(trusted) => trusted,
        None => {
            own = keys::parse(value.get("keys").unwrap_or(&Value::Null))?;
            &own
        }
    };
    let (origin, time) = (said.origin(), said.time());
    let key_id = text(value, "key_id").and_then(KeyId::parse).ok_or(ProofFault::Malformed("key_id"))?;
    let shown = value.get("logged").filter(|logged| !logged.is_null());
    let mut logged = shown.map(|logged| logged::verify(logged, &hash, time, log_keys)).transpose()?;
    let mut judged = log_keys.check(Role::Answering, key_id, time, since(logged.as_ref()), &bytes, &signature);
    // What does not fit its key is nobody's, and not looked for.
    let fits = matches!(judged, SignatureCheck::Valid | SignatureCheck::Compromised);
    if let (true, None, Some(roots)) = (fits, &logged, evidence.roots) {
        match logged::search(roots, &hash, time, origin, log_keys)? {
            Search::Found(root) => logged = Some(root),
            Search::Absent(roots) => return Err(ProofFault::NotLogged(roots)),
            Search::Reopened => return Err(ProofFault::Reopened),
            Search::NotYet => return Err(ProofFault::NotLoggedYet),
        }
        judged = log_keys.check(Role::Answering, key_id, time, since(logged.as_ref()), &bytes, &signature);
    }
    match judged {
        SignatureCheck::Valid => {}
        SignatureCheck::UnknownKey => return Err(ProofFault::UpdateKeys),
        SignatureCheck::Compromised => {
            let told = log_keys.get(key_id).and_then(|key| key.compromised_at);
            return Err(logged.zip(told).map_or(ProofFault::AskOnline, |(root, told)| ProofFault::LoggedLate { logged: root.index, told }));
        }
        SignatureCheck::OtherRole => return Err(ProofFault::Signature("the key is not an answering key")),
        SignatureCheck::OutsideWindow => return Err(ProofFault::Signature("the key was not valid then")),
        SignatureCheck::WrongSignature => return Err(ProofFault::Signature("wrong signature")),
    }

    let note = text(value, "checkpoint").ok_or(ProofFault::Malformed("checkpoint"))?;
    let checkpoint = log_proof::open_before(note, log_keys, evidence.head, time).map_err(|fault| match fault {
        LogProofFault::AskOnline { .. } => ProofFault::AskOnline,
        LogProofFault::OtherHead { .. } => ProofFault::Head(fault),
        _ => ProofFault::Checkpoint("not signed by the log's checkpoint key"),
    })?;
    if checkpoint.origin != *origin {
        return Err(ProofFault::Checkpoint("it is of another log"));
    }
    if (checkpoint.size, checkpoint.root) != (said.size(), *said.root()) {
        return Err(ProofFault::Checkpoint("size or root is not what was signed"));
    }
    Ok(Signed { said, checkpoint, logged, own_keys: trusted.is_none() })
}

/// What the answering key signs: one answer, or all rows of a bulk result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// An answer.
    Answer(Answer),
    /// All rows.
    Rows(Rows),
}

impl Statement {
    /// The log that it is about.
    pub fn origin(&self) -> &Origin {
        match self {
            Statement::Answer(answer) => &answer.origin,
            Statement::Rows(rows) => &rows.origin,
        }
    }

    /// Leaves of the log.
    pub fn size(&self) -> u64 {
        match self {
            Statement::Answer(answer) => answer.size,
            Statement::Rows(rows) => rows.size,
        }
    }

    /// Root of the log.
    pub fn root(&self) -> &Hash {
        match self {
            Statement::Answer(answer) => &answer.root,
            Statement::Rows(rows) => &rows.root,
        }
    }

    /// When it was signed.
    pub fn time(&self) -> UnixMillis {
        match self {
            Statement::Answer(answer) => answer.time,
            Statement::Rows(rows) => rows.time,
        }
    }
}

/// What was signed as its file states it, not checked.
#[derive(Clone, Debug)]
pub struct Stated {
    bytes: Vec<u8>,
    /// What is signed.
    pub said: Statement,
    signature: [u8; 64],
    /// What stands for it in the log.
    pub hash: [u8; 32],
}

/// What was signed, as a kept answer, a result's last line or the proof of a row states it.
pub fn stated(value: &Value) -> Result<Stated, ProofFault> {
    let (bytes, said) = match text(value, "format") {
        Some(FORMAT) => {
            let bytes = hex(value, "answer").ok_or(ProofFault::Malformed("answer"))?;
            let answer = Answer::decode(&bytes).map_err(|_| ProofFault::Malformed("the answer's bytes do not decode"))?;
            (bytes, Statement::Answer(answer))
        }
        Some(ROWS_FORMAT | ROW_FORMAT) => {
            let bytes = hex(value, "rows").ok_or(ProofFault::Malformed("rows"))?;
            let rows = Rows::decode(&bytes).map_err(|_| ProofFault::Malformed("the bytes of what was signed do not decode"))?;
            (bytes, Statement::Rows(rows))
        }
        Some(_) | None => return Err(ProofFault::Malformed("format is neither fapiao-proof/1 nor fapiao-row/1")),
    };
    let signature = text(value, "signature").and_then(keys::bytes::<64>).ok_or(ProofFault::Malformed("signature"))?;
    let hash = answer_hash(&bytes, &signature);
    Ok(Stated { bytes, said, signature, hash })
}

fn since(logged: Option<&ShownRoot>) -> Logged {
    logged.map_or(Logged::Unknown, |root| Logged::At(root.index))
}

/// The leaves of these roots, and the times that they are over.
fn roots_text(roots: &[ShownRoot]) -> String {
    let one = |root: &ShownRoot| format!("leaf {} ({} to {})", root.index, root.notice.earliest, root.notice.latest);
    roots.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn check_inclusion(inclusion: &Value, commit: &[u8; 32], checkpoint: &Checkpoint) -> Result<u64, ProofFault> {
    let index = inclusion.get("index").and_then(Value::as_u64).ok_or(ProofFault::Malformed("inclusion.index"))?;
    let leaf_bytes = text(inclusion, "leaf").and_then(keys::bytes::<96>).ok_or(ProofFault::Malformed("inclusion.leaf"))?;
    let leaf = Leaf::decode(&leaf_bytes).map_err(|_| ProofFault::Malformed("inclusion.leaf"))?;
    let path = hashes(inclusion, "path").ok_or(ProofFault::Malformed("inclusion.path"))?;
    if leaf.commit != *commit {
        return Err(ProofFault::Inclusion("the leaf commits to another invoice"));
    }
    if !merkle::verify_inclusion(&merkle::leaf_hash(&leaf_bytes), index, checkpoint.size, &path, &checkpoint.root) {
        return Err(ProofFault::Inclusion("the path does not lead to the root"));
    }
    Ok(index)
}

fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member).and_then(Value::as_str)
}

fn hex(value: &Value, member: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text(value, member)?.as_bytes()).ok()
}

fn hashes(value: &Value, member: &str) -> Option<Vec<Hash>> {
    let list = value.get(member)?.as_array().filter(|list| list.len() <= PROOF_HASHES_MAX)?;
    list.iter().map(|hash| hash.as_str().and_then(keys::bytes::<32>)).collect()
}
