//! What the log has of a signed answer, as JSON, and its check without a network: below which root it is, or that no root of its time is over it.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::event::{self, EventFault, Shown};
use super::log_proof::{self, LogProofFault, hash_list, hex};
use crate::codec::event::{AnswersNotice, Event, EventData};
use crate::crypto::keyring::PublicKeys;
use crate::crypto::merkle::{self, Hash};
use crate::crypto::note::{Checkpoint, Origin};
use crate::domain::time::UnixMillis;
use crate::engine::{AnswerInLog, LoggedEvent, RootsAround};
use crate::limits::{ANSWER_DELAY_MAX_MS, ANSWER_ROOTS_MAX, ANSWERS_PER_ROOT_MAX};

/// What roots over answers are written as.
pub const ROOTS_FORMAT: &str = "fapiao-roots/1";

/// What the log has of an answer, as JSON.
pub fn to_json(found: &AnswerInLog) -> Value {
    match found {
        AnswerInLog::Logged(logged) => json!({
            "status": "logged",
            "place": logged.place,
            "path": hex(&logged.path),
            "root": event::to_json(&logged.event),
            "checkpoint": logged.checkpoint,
        }),
        AnswerInLog::NotYet { due } => json!({ "status": "not_yet", "due": due.to_string() }),
        AnswerInLog::Never { origin } => json!({ "status": "never", "origin": origin.as_str() }),
    }
}

/// The roots of one time, as JSON.
pub fn roots_json(around: &RootsAround) -> Value {
    let one = |(root, hashes): &(LoggedEvent, Option<Vec<Hash>>)| {
        let mut value = event::to_json(root);
        value["hashes"] = hashes.as_ref().map(|hashes| BASE64.encode(hashes.as_flattened())).into();
        value
    };
    json!({
        "format": ROOTS_FORMAT,
        "time": around.time.0,
        "roots": around.roots.iter().map(one).collect::<Vec<_>>(),
        "checkpoint": around.checkpoint,
    })
}

/// Why what is said of an answer and the log does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoggedFault {
    /// A member is missing or is none.
    #[error("not what a log has of answers: {0}")]
    Malformed(&'static str),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] LogProofFault),
    /// The leaf of a root.
    #[error("leaf {0} is not shown to be in the log with this root over answers")]
    Root(u64),
    /// The path below the root.
    #[error("the path does not lead from the answer to the root in leaf {0}")]
    Place(u64),
    /// The root cannot cover it.
    #[error("the root in leaf {0} is over answers of other times than this one's")]
    OtherTime(u64),
    /// What is shown below a root.
    #[error("the hashes shown below leaf {0} do not give its root")]
    Hashes(u64),
    /// Not all roots.
    #[error("the roots do not follow each other: leaf {0} does not go on where the one before it ends")]
    Gap(u64),
    /// Not far enough.
    #[error("the roots do not reach back to before the time of the answer")]
    Reach,
}

impl From<EventFault> for LoggedFault {
    fn from(fault: EventFault) -> LoggedFault {
        match fault {
            EventFault::Malformed(what) => LoggedFault::Malformed(what),
            EventFault::NotThere(index) => LoggedFault::Root(index),
        }
    }
}

/// A root over answers that is shown to be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRoot {
    /// Its leaf.
    pub index: u64,
    /// When that was logged.
    pub time: UnixMillis,
    /// What it says.
    pub notice: AnswersNotice,
}

/// What was found of an answer among all roots that could be over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// It is below this root.
    Found(ShownRoot),
    /// It is below none of these, and no other is over answers of its time.
    Absent(Vec<ShownRoot>),
    /// It is below none of these, and it is of a log that was reopened from an older copy since, under another origin: it may be lost.
    Reopened,
    /// It is below none so far, and the roots do not yet go far enough beyond its time.
    NotYet,
}

/// Checks where the log has the answer of this hash and time.
pub fn verify(value: &Value, hash: &Hash, time: UnixMillis, keys: &PublicKeys) -> Result<ShownRoot, LoggedFault> {
    if value.get("status").and_then(Value::as_str) != Some("logged") {
        return Err(LoggedFault::Malformed("status is not logged"));
    }
    let checkpoint = checkpoint(value, keys, time)?;
    let root = open_root(value.get("root").unwrap_or(&Value::Null), &checkpoint)?;
    let place = value.get("place").and_then(Value::as_u64).ok_or(LoggedFault::Malformed("place"))?;
    let path = value.get("path").and_then(hash_list).ok_or(LoggedFault::Malformed("path"))?;
    if !merkle::verify_inclusion(hash, place, u64::from(root.notice.count), &path, &root.notice.root) {
        return Err(LoggedFault::Place(root.index));
    }
    if root.notice.spans(time) { Ok(root) } else { Err(LoggedFault::OtherTime(root.index)) }
}

/// Looks for the answer of this hash, time and log below the roots of its time, and makes sure that none is left out: an answer leaves within
/// [`ANSWER_DELAY_MAX_MS`] of its time, so that one below an earlier or a later root than these would have another time.
pub fn search(value: &Value, hash: &Hash, time: UnixMillis, origin: &Origin, keys: &PublicKeys) -> Result<Search, LoggedFault> {
    if value.get("format").and_then(Value::as_str) != Some(ROOTS_FORMAT) {
        return Err(LoggedFault::Malformed("format is not fapiao-roots/1"));
    }
    let checkpoint = checkpoint(value, keys, time)?;
    let listed = value.get("roots").and_then(Value::as_array).filter(|roots| roots.len() <= ANSWER_ROOTS_MAX);
    let listed = listed.ok_or(LoggedFault::Malformed("roots"))?;
    let mut shown: Vec<ShownRoot> = Vec::new();
    for value in listed {
        let root = open_root(value, &checkpoint)?;
        match shown.last() {
            Some(before) if before.index >= root.index || before.notice.end() != root.notice.first => return Err(LoggedFault::Gap(root.index)),
            None if root.notice.first > 0 && root.notice.latest.0.saturating_add(ANSWER_DELAY_MAX_MS) >= time.0 => return Err(LoggedFault::Reach),
            Some(_) | None => {}
        }
        if root.notice.spans(time) && below(value, &root)?.contains(hash) {
            return Ok(Search::Found(root));
        }
        shown.push(root);
    }
    let goes_beyond = |root: &ShownRoot| root.notice.earliest.0 > time.0.saturating_add(ANSWER_DELAY_MAX_MS);
    Ok(match shown.last() {
        Some(last) if goes_beyond(last) && checkpoint.origin == *origin => Search::Absent(shown),
        Some(last) if goes_beyond(last) => Search::Reopened,
        Some(_) | None => Search::NotYet,
    })
}

/// The hashes below a root, as they are shown.
fn below(value: &Value, root: &ShownRoot) -> Result<Vec<Hash>, LoggedFault> {
    let text = value.get("hashes").and_then(Value::as_str).filter(|text| text.len() <= ANSWERS_PER_ROOT_MAX * 44);
    let bytes = text.and_then(|text| BASE64.decode(text.as_bytes()).ok()).ok_or(LoggedFault::Malformed("hashes"))?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    let fits = rest.is_empty() && hashes.len() as u64 == u64::from(root.notice.count) && merkle::root_of(hashes) == root.notice.root;
    if fits { Ok(hashes.to_vec()) } else { Err(LoggedFault::Hashes(root.index)) }
}

fn checkpoint(value: &Value, keys: &PublicKeys, covered: UnixMillis) -> Result<Checkpoint, LoggedFault> {
    let note = value.get("checkpoint").and_then(Value::as_str).ok_or(LoggedFault::Malformed("checkpoint"))?;
    Ok(log_proof::open(note, keys, covered)?)
}

fn open_root(value: &Value, checkpoint: &Checkpoint) -> Result<ShownRoot, LoggedFault> {
    let Shown { index, time, data } = event::open(value, Event::AnswersRoot, checkpoint)?;
    match data {
        EventData::AnswersRoot(notice) => Ok(ShownRoot { index, time, notice }),
        _ => Err(LoggedFault::Root(index)),
    }
}
