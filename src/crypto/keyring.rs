//! Who may sign what, and when: the public keys with their windows, and the secret keys that this process holds.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::hash;
use super::sign::{PublicKey, PublicKeyError, SigningKey};
pub use crate::codec::event::{Algorithm, KeyRecord, Role};
pub use crate::codec::leaf::KeyId;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::KEYRING_KEYS_MAX;

/// The public keys of a log, by id.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(BTreeMap<KeyId, Enrolled>);

/// A public key and what was logged of it.
#[derive(Clone, Copy, Debug)]
pub struct Enrolled {
    /// Role and window.
    pub record: KeyRecord,
    /// Decoded.
    pub key: PublicKey,
}

/// How a signature fares against the keys. The four that are not `Valid` differ for whoever must act on them, not for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// Right key, right role, within its window, and the signature fits.
    Valid,
    /// No such key; offline it means "update your keys", never "forged".
    UnknownKey,
    /// The key serves another role.
    OtherRole,
    /// The key was not valid at that time.
    OutsideWindow,
    /// The signature does not fit.
    WrongSignature,
}

impl PublicKeys {
    /// No keys yet.
    pub fn new() -> PublicKeys {
        PublicKeys::default()
    }

    /// Takes in a key; a later record of the same key replaces its window. Weak keys are refused.
    pub fn enrol(&mut self, record: KeyRecord) -> Result<(), PublicKeyError> {
        let key = PublicKey::parse(record.public())?;
        self.0.insert(record.key_id(), Enrolled { record, key });
        Ok(())
    }

    /// The key with this id.
    pub fn get(&self, key_id: KeyId) -> Option<&Enrolled> {
        self.0.get(&key_id)
    }

    /// Every key, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Enrolled> {
        self.0.values()
    }

    /// Checks a signature that was made, or logged, at `time`.
    pub fn check(&self, role: Role, key_id: KeyId, time: UnixMillis, message: &[u8], signature: &[u8; 64]) -> SignatureCheck {
        let Some(enrolled) = self.get(key_id) else { return SignatureCheck::UnknownKey };
        if enrolled.record.role() != role {
            SignatureCheck::OtherRole
        } else if !enrolled.record.is_valid_at(time) {
            SignatureCheck::OutsideWindow
        } else if !enrolled.key.verify(message, signature) {
            SignatureCheck::WrongSignature
        } else {
            SignatureCheck::Valid
        }
    }
}

/// A secret key of any role: an Ed25519 seed, an HMAC key or a sealing key.
#[derive(Clone)]
pub struct SecretKey {
    role: Role,
    key_id: KeyId,
    secret: Zeroizing<[u8; 32]>,
}

impl SecretKey {
    /// A signing key of this role, from its seed; its id is that of its public key. `None` for the roles tag and data.
    pub fn signing(role: Role, seed: [u8; 32]) -> Option<SecretKey> {
        let public = SigningKey::from_seed(&seed).public();
        let key_id = hash::key_id(Algorithm::Ed25519, role, &public);
        (role.algorithm() == Algorithm::Ed25519).then(|| SecretKey { role, key_id, secret: Zeroizing::new(seed) })
    }

    /// A tag or data key, with a random id. `None` for the signing roles.
    pub fn symmetric(role: Role, key_id: KeyId, secret: [u8; 32]) -> Option<SecretKey> {
        (role.algorithm() != Algorithm::Ed25519).then(|| SecretKey { role, key_id, secret: Zeroizing::new(secret) })
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its id.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The secret bytes, for the key file.
    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} key {}", self.role.name(), self.key_id)
    }
}

/// Why keys do not make a keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No key of a role that a ledger needs.
    #[error("no {} key", .0.name())]
    Missing(Role),
    /// A second tag key: the tag key never rotates.
    #[error("two tag keys")]
    TwoTagKeys,
    /// Issuers hold their own keys.
    #[error("an issuer key does not belong here")]
    IssuerKey,
    /// The same id twice.
    #[error("key {0} is there twice")]
    Twice(KeyId),
    /// More keys than rotations make.
    #[error("too many keys")]
    TooMany,
}

/// The secret keys of a ledger, oldest first; of each role the last one is in use.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<SecretKey>,
    authority: Signer,
    answering: Signer,
    checkpoint: Signer,
}

/// A signing key that is in use, and its id.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Beginning of the hash of algorithm, role and public key.
    pub key_id: KeyId,
    /// Signs.
    pub key: SigningKey,
}

impl Keyring {
    /// Needs one key or more of authority, answering, checkpoint and data, and exactly one tag key.
    pub fn new(keys: Vec<SecretKey>) -> Result<Keyring, KeyringError> {
        if keys.len() > KEYRING_KEYS_MAX {
            return Err(KeyringError::TooMany);
        }
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().take(at).any(|earlier| earlier.key_id == key.key_id) {
                return Err(KeyringError::Twice(key.key_id));
            }
        }
        if keys.iter().any(|key| key.role == Role::Issuer) {
            return Err(KeyringError::IssuerKey);
        }
        if keys.iter().filter(|key| key.role == Role::Tag).count() > 1 {
            return Err(KeyringError::TwoTagKeys);
        }
        for role in [Role::Tag, Role::Data] {
            newest(&keys, role)?;
        }
        let signer = |role| newest(&keys, role).map(|key| Signer { key_id: key.key_id, key: SigningKey::from_seed(&key.secret) });
        let (authority, answering, checkpoint) = (signer(Role::Authority)?, signer(Role::Answering)?, signer(Role::Checkpoint)?);
        Ok(Keyring { keys, authority, answering, checkpoint })
    }

    /// The keyring of a new ledger, all its randomness given: seeds of authority, answering and checkpoint, then tag and data key with their ids.
    pub fn found(seeds: [[u8; 32]; 3], tag: (KeyId, [u8; 32]), data: (KeyId, [u8; 32])) -> Result<Keyring, KeyringError> {
        let [authority, answering, checkpoint] = seeds;
        let keys = [
            SecretKey::signing(Role::Authority, authority),
            SecretKey::signing(Role::Answering, answering),
            SecretKey::signing(Role::Checkpoint, checkpoint),
            SecretKey::symmetric(Role::Tag, tag.0, tag.1),
            SecretKey::symmetric(Role::Data, data.0, data.1),
        ];
        Keyring::new(keys.into_iter().flatten().collect())
    }

    /// Signs invoices and events.
    pub fn authority(&self) -> &Signer {
        &self.authority
    }

    /// Signs answers.
    pub fn answering(&self) -> &Signer {
        &self.answering
    }

    /// Signs checkpoints.
    pub fn checkpoint(&self) -> &Signer {
        &self.checkpoint
    }

    /// The tag of an invoice.
    pub fn id_tag(&self, id: InvoiceId) -> [u8; 32] {
        hash::id_tag(self.tag_key(), id)
    }

    /// The key behind the tags, for whoever recomputes them by other means.
    pub fn tag_key(&self) -> &[u8; 32] {
        match newest(&self.keys, Role::Tag) {
            Ok(key) => &key.secret,
            Err(_) => unreachable!("a keyring has a tag key"),
        }
    }

    /// The key that new bodies are sealed with, and its id.
    pub fn data(&self) -> (KeyId, &[u8; 32]) {
        match newest(&self.keys, Role::Data) {
            Ok(key) => (key.key_id, &key.secret),
            Err(_) => unreachable!("a keyring has a data key"),
        }
    }

    /// The data key with this id, in use or retired: old bodies stay readable.
    pub fn data_key(&self, key_id: KeyId) -> Option<&[u8; 32]> {
        self.keys.iter().find(|key| key.role == Role::Data && key.key_id == key_id).map(|key| &*key.secret)
    }

    /// Every key, oldest first.
    pub fn keys(&self) -> &[SecretKey] {
        &self.keys
    }
}

fn newest(keys: &[SecretKey], role: Role) -> Result<&SecretKey, KeyringError> {
    keys.iter().rfind(|key| key.role == role).ok_or(KeyringError::Missing(role))
}
