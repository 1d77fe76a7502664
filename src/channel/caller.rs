//! Callers and the audit trail as JSON. No token and no hash of one is ever in it.

use serde_json::{Value, json};

use super::keys;
use crate::codec::event::{Algorithm, Role};
use crate::crypto::hash;
use crate::domain::audit::Entry;
use crate::domain::time::{Day, UnixMillis};
use crate::engine::Listed;

/// A caller as it is listed.
pub fn to_json(listed: &Listed) -> Value {
    let caller = &listed.caller;
    json!({
        "id": listed.id.to_string(),
        "role": caller.role.name(),
        "taxpayers": caller.taxpayers.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "regions": caller.regions.iter().map(|region| region.as_str()).collect::<Vec<_>>(),
        "issuer_key_id": caller.issuer_key.map(|key| key_id(&key)),
        "label": listed.label,
        "created": listed.created.to_string(),
        "expires": listed.expires.map(|time| time.to_string()),
        "revoked": listed.revoked.map(|time| time.to_string()),
    })
}

/// An entry of the audit trail.
pub fn entry_json(number: u64, entry: &Entry) -> Value {
    json!({
        "number": number,
        "time": entry.time.to_string(),
        "time_ms": entry.time.0,
        "by": entry.by.map(|id| id.to_string()),
        "role": entry.role.name(),
        "act": entry.act.name(),
        "subject": entry.subject,
        "outcome": entry.outcome,
    })
}

/// Name of an issuer's key.
pub fn key_id(key: &[u8; 32]) -> String {
    hash::key_id(Algorithm::Ed25519, Role::Issuer, key).to_string()
}

/// The first instant after a day: what is good until that day ends then.
pub fn end_of(day: &str) -> Option<UnixMillis> {
    Some(Day::parse(day)?.start().next_day())
}

/// An Ed25519 public key in hex.
pub fn key(hex: &str) -> Option<[u8; 32]> {
    keys::bytes(hex)
}
