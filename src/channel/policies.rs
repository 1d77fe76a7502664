//! The policies (见证策略) by which a log's checkpoints are published, as the log tells of them: as JSON, and their check without a network.

use serde_json::{Value, json};

use super::event::{self, EventFault, Shown};
use super::log_proof::{self, Continued, LogProofFault};
use crate::codec::event::{Event, EventData, PolicyNotice};
use crate::crypto::keyring::PublicKeys;
use crate::crypto::note::Checkpoint;
use crate::domain::time::UnixMillis;
use crate::engine::PoliciesInLog;
use crate::limits::POLICIES_SHOWN_MAX;

/// What policies are written as.
pub const POLICIES_FORMAT: &str = "fapiao-policies/1";

/// The policies that the log tells of, as JSON.
pub fn to_json(told: &PoliciesInLog) -> Value {
    let policies: Vec<Value> = told.policies.iter().map(event::to_json).collect();
    json!({ "format": POLICIES_FORMAT, "policies": policies, "checkpoint": told.checkpoint })
}

/// Why policies are not shown to be the log's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoliciesFault {
    /// A member is missing or is none.
    #[error("not the policies of a log: {0}")]
    Malformed(&'static str),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] LogProofFault),
    /// One of them.
    #[error("leaf {0} is not shown to be in the log with this policy")]
    Policy(u64),
    /// One is left out, or they are in another order.
    #[error("leaf {0} is not the policy before the one that is listed before it")]
    Gap(u64),
}

impl From<EventFault> for PoliciesFault {
    fn from(fault: EventFault) -> PoliciesFault {
        match fault {
            EventFault::Malformed(what) => PoliciesFault::Malformed(what),
            EventFault::NotThere(index) => PoliciesFault::Policy(index),
        }
    }
}

/// A policy that the log tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPolicy {
    /// The leaf from which on it holds.
    pub index: u64,
    /// When that was logged.
    pub time: UnixMillis,
    /// The leaf that told of the one before, if there was one.
    pub previous: Option<u64>,
    /// The text of c2sp.org/tlog-policy.
    pub text: String,
}

/// Checks that these policies are in the log, each with the one before it, and returns them with its checkpoint. Whether there is a newer one than the first
/// only the log's leaves show.
pub fn verify(value: &Value, keys: &PublicKeys, head: Option<&Continued>) -> Result<(Vec<ShownPolicy>, Checkpoint), PoliciesFault> {
    if value.get("format").and_then(Value::as_str) != Some(POLICIES_FORMAT) {
        return Err(PoliciesFault::Malformed("format is not fapiao-policies/1"));
    }
    let note = value.get("checkpoint").and_then(Value::as_str).ok_or(PoliciesFault::Malformed("checkpoint"))?;
    let listed = value.get("policies").and_then(Value::as_array).filter(|policies| policies.len() <= POLICIES_SHOWN_MAX);
    let listed = listed.ok_or(PoliciesFault::Malformed("policies"))?;
    let newest = listed.first().and_then(event::time_of).unwrap_or(UnixMillis(0));
    let checkpoint = log_proof::open_before(note, keys, head, newest)?;
    let mut policies: Vec<ShownPolicy> = Vec::with_capacity(listed.len());
    let mut expected = None;
    for value in listed {
        let Shown { index, time, data } = event::open(value, Event::Policy, &checkpoint)?;
        let EventData::Policy(PolicyNotice { previous, text }) = data else { return Err(PoliciesFault::Policy(index)) };
        if expected.is_some_and(|expected| expected != Some(index)) {
            return Err(PoliciesFault::Gap(index));
        }
        expected = Some(previous);
        policies.push(ShownPolicy { index, time, previous, text });
    }
    Ok((policies, checkpoint))
}

/// The size of the checkpoint that policies are shown in.
pub fn size(value: &Value) -> Option<u64> {
    Some(log_proof::stated(value.get("checkpoint")?.as_str()?).ok()?.size)
}
