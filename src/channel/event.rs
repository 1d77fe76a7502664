//! An event of the log, opened: as JSON, and its check without a network.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::keys;
use super::log_proof::{hash_list, hex};
use crate::codec::event::{Event, EventData};
use crate::codec::leaf::Leaf;
use crate::crypto::hash;
use crate::crypto::merkle;
use crate::crypto::note::Checkpoint;
use crate::domain::time::UnixMillis;
use crate::engine::LoggedEvent;

/// An event, its leaf and the path from there to the root of a checkpoint, as JSON.
pub(super) fn to_json(event: &LoggedEvent) -> Value {
    json!({
        "index": event.index,
        "leaf": HEXLOWER.encode(&event.leaf),
        "salt": HEXLOWER.encode(&event.salt),
        "data": HEXLOWER.encode(&event.data),
        "inclusion": hex(&event.path),
    })
}

/// Why an event is not shown to be in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventFault {
    /// A member is missing or is none.
    Malformed(&'static str),
    /// What is shown of this leaf does not hold.
    NotThere(u64),
}

/// An event that is shown to be in a log.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// Its leaf.
    pub(super) index: u64,
    /// When that was logged.
    pub(super) time: UnixMillis,
    /// What it says.
    pub(super) data: EventData,
}

/// When an event was logged, as its leaf says: nothing is checked.
pub(super) fn time_of(value: &Value) -> Option<UnixMillis> {
    let leaf = keys::bytes::<{ Leaf::LEN }>(value.get("leaf")?.as_str()?)?;
    Some(UnixMillis(Leaf::decode(&leaf).ok()?.time_ms))
}

/// Checks that an event of this kind is in the log of a checkpoint, and that its data are those that its leaf commits to.
pub(super) fn open(value: &Value, of: Event, checkpoint: &Checkpoint) -> Result<Shown, EventFault> {
    let text = |member: &'static str| value.get(member).and_then(Value::as_str).ok_or(EventFault::Malformed(member));
    let index = value.get("index").and_then(Value::as_u64).ok_or(EventFault::Malformed("index"))?;
    let bytes = keys::bytes::<{ Leaf::LEN }>(text("leaf")?).ok_or(EventFault::Malformed("leaf"))?;
    let leaf = Leaf::decode(&bytes).map_err(|_| EventFault::Malformed("leaf"))?;
    let salt = keys::bytes::<16>(text("salt")?).ok_or(EventFault::Malformed("salt"))?;
    let data = HEXLOWER.decode(text("data")?.as_bytes()).map_err(|_| EventFault::Malformed("data"))?;
    let path = value.get("inclusion").and_then(hash_list).ok_or(EventFault::Malformed("inclusion"))?;
    let is_there = leaf.event == of
        && hash::event_commit(of, &salt, &data) == leaf.commit
        && merkle::verify_inclusion(&merkle::leaf_hash(&bytes), index, checkpoint.size, &path, &checkpoint.root);
    match EventData::decode(of, &data) {
        Ok(data) if is_there => Ok(Shown { index, time: UnixMillis(leaf.time_ms), data }),
        Ok(_) | Err(_) => Err(EventFault::NotThere(index)),
    }
}
