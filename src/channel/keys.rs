//! Public keys as JSON: what a verifier needs offline, and what `DIR/keys/public.json` holds.

use serde_json::{Value, json};

use crate::codec::event::{KeyRecord, Role};
use crate::crypto::keyring::PublicKeys;
use crate::domain::time::UnixMillis;
use crate::limits::PUBLIC_KEYS_MAX;

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
    let one = |record: &KeyRecord| {
        json!({
            "role": record.role().name(),
            "algorithm": "Ed25519",
            "key_id": record.key_id().to_string(),
            "public_key": data_encoding::HEXLOWER.encode(record.public()),
            "valid_from": record.valid_from().0,
            "valid_until": record.valid_until().map(|until| until.0),
        })
    };
    keys.iter().map(|key| one(&key.record)).collect()
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
        if text("key_id") != Some(record.key_id().to_string().as_str()) {
            return Err(KeysError::Malformed("key_id is not that of the key"));
        }
        keys.enrol(record).map_err(|_| KeysError::Weak(at))?;
    }
    Ok(keys)
}

/// Exactly `N` bytes out of lower-case hex.
pub(super) fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}
