//! Public keys as JSON: what a verifier needs offline, and what `DIR/keys/public.json` holds.

use serde_json::{Value, json};

use crate::codec::event::{KeyRecord, Role, Withdrawal};
use crate::codec::leaf::KeyId;
use crate::crypto::keyring::{Enrolled, PublicKeys};
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError, Rotated, read_bounded, replace_private};
use crate::limits::{PROOF_FILE_BYTES_MAX, PUBLIC_KEYS_MAX};

/// A list of public keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not JSON, or not a list of keys.
    #[error("not a list of public keys: {0}")]
    Malformed(&'static str),
    /// More keys than a log can have.
    #[error("more than {PUBLIC_KEYS_MAX} keys")]
    TooMany,
    /// A weak key, which anybody could sign for.
    #[error("key {0} is weak or no Ed25519 key")]
    Weak(usize),
}

/// The keys with role, window and bytes.
pub fn to_json(keys: &PublicKeys) -> Value {
    let one = |Enrolled { record, compromised_at, .. }: &Enrolled| {
        json!({
            "role": record.role().name(),
            "algorithm": "Ed25519",
            "key_id": record.key_id().to_string(),
            "public_key": data_encoding::HEXLOWER.encode(record.public()),
            "valid_from": record.valid_from().0,
            "valid_until": record.valid_until().map(|until| until.0),
            "revoked": record.withdrawn().map(|reason| match compromised_at {
                Some(at) => json!({ "reason": reason.name(), "counts_before": at }),
                None => json!({ "reason": reason.name() }),
            }),
        })
    };
    keys.iter().map(one).collect()
}

/// A role whose keys rotate.
pub fn role(name: &str) -> Option<Role> {
    [Role::Authority, Role::Answering, Role::Checkpoint, Role::Data].into_iter().find(|role| role.name() == name)
}

/// A rotation as it is told.
pub fn rotated(rotated: &Rotated) -> Value {
    json!({
        "role": rotated.role.name(),
        "key_id": rotated.key_id.to_string(),
        "replaced": rotated.replaced.to_string(),
        "until": rotated.until.map(|until| until.to_string()),
        "index": rotated.index,
    })
}

/// A revocation as it is told.
pub fn revoked(key_id: KeyId, reason: Withdrawal, index: u64) -> Value {
    json!({ "key_id": key_id.to_string(), "reason": reason.name(), "index": index })
}

/// Writes `DIR/keys/public.json` anew, if it is not what the log says.
pub fn publish(engine: &Engine) -> Result<(), EngineError> {
    let path = engine.ledger().directory().join("keys").join("public.json");
    let text = format!("{:#}\n", to_json(&engine.ledger().keys()));
    match read_bounded(&path, PROOF_FILE_BYTES_MAX) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        Ok(_) | Err(_) => replace_private(&path, text.as_bytes()),
    }
}

/// Reads what [`to_json`] wrote; the key ids are computed, and must be the ones that are stated.
pub fn parse(value: &Value) -> Result<PublicKeys, KeysError> {
    let list = value.as_array().ok_or(KeysError::Malformed("not an array"))?;
    if list.len() > PUBLIC_KEYS_MAX {
        return Err(KeysError::TooMany);
    }
    let mut keys = PublicKeys::new();
    for (at, key) in list.iter().enumerate() {
        let text = |member: &str| key.get(member).and_then(Value::as_str);
        let role = text("role").and_then(|name| Role::ALL.into_iter().find(|role| role.name() == name)).ok_or(KeysError::Malformed("role"))?;
        let public = text("public_key").and_then(bytes::<32>).ok_or(KeysError::Malformed("public_key"))?;
        let from = key.get("valid_from").and_then(Value::as_u64).ok_or(KeysError::Malformed("valid_from"))?;
        let until = match key.get("valid_until") {
            None | Some(Value::Null) => None,
            Some(until) => Some(UnixMillis(until.as_u64().ok_or(KeysError::Malformed("valid_until"))?)),
        };
        let record = KeyRecord::new(role, public, UnixMillis(from), until).ok_or(KeysError::Malformed("role or window"))?;
        let (record, index) = match key.get("revoked") {
            None | Some(Value::Null) => (record, 0),
            Some(revoked) => {
                let reason = revoked.get("reason").and_then(Value::as_str).and_then(Withdrawal::from_name);
                let record = reason.and_then(|reason| record.withdrawn_for(reason)).ok_or(KeysError::Malformed("revoked"))?;
                let before = revoked.get("counts_before").and_then(Value::as_u64);
                let index = before.or((reason != Some(Withdrawal::Compromised)).then_some(0)).ok_or(KeysError::Malformed("revoked.counts_before"))?;
                (record, index)
            }
        };
        if text("key_id") != Some(record.key_id().to_string().as_str()) {
            return Err(KeysError::Malformed("key_id is not that of the key"));
        }
        keys.enrol(record, index).map_err(|_| KeysError::Weak(at))?;
    }
    Ok(keys)
}

/// Exactly `N` bytes out of lower-case hex.
pub(super) fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}
