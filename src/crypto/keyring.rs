//! Who may sign what, and when: the public keys with their windows, and the secret keys that this process holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::hash;
use super::note::{Checkpoint, Note, NoteError, Origin};
use super::sign::{Key, PublicKey, PublicKeyError, SignError, SigningKey, Token, TokenKey};
pub use crate::codec::event::{Algorithm, KeyRecord, Role, Withdrawal};
pub use crate::codec::leaf::KeyId;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::{FORMER_CHECKPOINT_KEYS_MAX, KEYRING_KEYS_MAX};

/// The public keys of a log, by id.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(BTreeMap<KeyId, Enrolled>);

/// A public key and what was logged of it.
#[derive(Clone, Copy, Debug)]
pub struct Enrolled {
    /// Role and window.
    pub record: KeyRecord,
    /// Leaf from which on its signatures count no more: where it was withdrawn as compromised.
    pub compromised_at: Option<u64>,
    /// Decoded.
    pub key: PublicKey,
}

impl Enrolled {
    /// Whether it can still make signatures that count: its window is open, and it was not withdrawn.
    pub fn is_in_force(&self) -> bool {
        self.record.valid_until().is_none() && self.record.withdrawn().is_none()
    }

    /// Whether a signature counts that was made, or logged, at `time`; of a compromised key it must have been logged before it was withdrawn.
    pub fn counts_at(&self, time: UnixMillis, logged: Logged) -> bool {
        self.record.is_valid_at(time) && self.is_sound_at(logged)
    }

    /// Whether a checkpoint signed by it may cover what was logged, or said, at `time`: one that is retired signs nothing any more.
    pub fn lasted_beyond(&self, time: UnixMillis) -> bool {
        self.record.valid_until().is_none_or(|until| time < until)
    }

    /// Whether a checkpoint of this size cannot be the work of somebody who stole the key.
    pub fn is_sound_of_size(&self, size: u64) -> bool {
        self.compromised_at.is_none_or(|at| size <= at)
    }

    /// Whether what was logged there cannot be the work of somebody who stole the key.
    pub fn is_sound_at(&self, logged: Logged) -> bool {
        match (self.compromised_at, logged) {
            (None, _) => true,
            (Some(at), Logged::At(index)) => index < at,
            (Some(_), Logged::Unknown) => false,
        }
    }
}

/// What is known of where something signed stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// It is this leaf.
    At(u64),
    /// Nothing: the log is not at hand.
    Unknown,
}

/// How a signature fares against the keys. Those that are not `Valid` differ for whoever must act on them, not for the verdict.
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
    /// The signature fits, and the key was stolen: it counts only if the log says that it had this before. Offline it means "ask online".
    Compromised,
    /// The signature does not fit.
    WrongSignature,
}

impl PublicKeys {
    /// No keys yet.
    pub fn new() -> PublicKeys {
        PublicKeys::default()
    }

    /// Takes in a key as logged at leaf `index`; a later record of the same key replaces its window. Weak keys are refused.
    pub fn enrol(&mut self, record: KeyRecord, index: u64) -> Result<(), PublicKeyError> {
        let key = PublicKey::parse(record.public())?;
        let known = self.get(record.key_id()).and_then(|known| known.compromised_at);
        let stolen = (record.withdrawn() == Some(Withdrawal::Compromised)).then_some(index);
        // What was once known to be stolen stays so.
        self.0.insert(record.key_id(), Enrolled { record, key, compromised_at: known.or(stolen) });
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this role.
    pub fn names(&self, role: Role) -> bool {
        self.iter().any(|key| key.record.role() == role)
    }

    /// The key with this id.
    pub fn get(&self, key_id: KeyId) -> Option<&Enrolled> {
        self.0.get(&key_id)
    }

    /// Every key, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Enrolled> {
        self.0.values()
    }

    /// The checkpoint in a note of this log, signed by one of its checkpoint keys; by a compromised one only where `is_sound` says so of the size.
    pub fn open_checkpoint(&self, note: &str, origin: &Origin, is_sound: impl Fn(&Enrolled, u64) -> bool) -> Result<Checkpoint, CheckpointFault> {
        let mut failure = CheckpointFault::NoKey;
        for key in self.iter().filter(|key| key.record.role() == Role::Checkpoint) {
            match Checkpoint::open(note, origin, &key.key) {
                Ok((checkpoint, _)) if is_sound(key, checkpoint.size) => return Ok(checkpoint),
                Ok(_) => failure = CheckpointFault::Compromised,
                Err(error) if failure != CheckpointFault::Compromised => failure = CheckpointFault::Note(error),
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Checks a signature that was made, or logged, at `time`.
    pub fn check(&self, role: Role, key_id: KeyId, time: UnixMillis, logged: Logged, message: &[u8], signature: &[u8; 64]) -> SignatureCheck {
        let Some(enrolled) = self.get(key_id) else { return SignatureCheck::UnknownKey };
        if enrolled.record.role() != role {
            SignatureCheck::OtherRole
        } else if !enrolled.record.is_valid_at(time) {
            SignatureCheck::OutsideWindow
        } else if !enrolled.key.verify(message, signature) {
            SignatureCheck::WrongSignature
        } else if !enrolled.is_sound_at(logged) {
            SignatureCheck::Compromised
        } else {
            SignatureCheck::Valid
        }
    }
}

/// Why a note is no checkpoint to believe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// There is nothing to check it with.
    #[error("the log names no checkpoint key")]
    NoKey,
    /// No key fits.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Only a stolen key fits, and it cannot be told that the note was signed before.
    #[error("it is signed by a compromised key only; ask the log online")]
    Compromised,
}

/// A secret key of any role: an Ed25519 seed, an HMAC key or a sealing key; or where a signing key lies whose bytes nobody has.
#[derive(Clone)]
pub struct SecretKey {
    role: Role,
    key_id: KeyId,
    material: Material,
}

/// What is kept of a secret key.
#[derive(Clone)]
pub(super) enum Material {
    Bytes(Zeroizing<[u8; 32]>),
    /// With the way there, if it is known.
    Token(Arc<TokenKey>, Option<Arc<dyn Token>>),
}

impl SecretKey {
    /// A signing key of this role, from its seed; its id is that of its public key. `None` for the roles tag and data.
    pub fn signing(role: Role, seed: impl Into<Zeroizing<[u8; 32]>>) -> Option<SecretKey> {
        let seed = seed.into();
        let public = SigningKey::from_seed(&seed).public();
        let key_id = hash::key_id(Algorithm::Ed25519, role, &public);
        (role.algorithm() == Algorithm::Ed25519).then_some(SecretKey { role, key_id, material: Material::Bytes(seed) })
    }

    /// A tag or data key, with a random id. `None` for the signing roles.
    pub fn symmetric(role: Role, key_id: KeyId, secret: impl Into<Zeroizing<[u8; 32]>>) -> Option<SecretKey> {
        (role.algorithm() != Algorithm::Ed25519).then(|| SecretKey { role, key_id, material: Material::Bytes(secret.into()) })
    }

    /// A signing key of this role that lies in a token. `None` for the roles tag and data: their bytes are needed for every number and every body.
    pub fn in_token(role: Role, key: TokenKey) -> Option<SecretKey> {
        let key_id = hash::key_id(Algorithm::Ed25519, role, &key.public.to_bytes());
        let material = Material::Token(Arc::new(key), None);
        (role.algorithm() == Algorithm::Ed25519).then_some(SecretKey { role, key_id, material })
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its id.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// As something that signs, of a signing role.
    pub fn signer(&self) -> Signer {
        let key = match &self.material {
            Material::Bytes(seed) => Key::File(SigningKey::from_seed(seed)),
            Material::Token(key, token) => Key::Token(Arc::clone(key), token.clone()),
        };
        Signer { key_id: self.key_id, key }
    }

    /// The public key, of a signing role.
    pub fn public(&self) -> Option<[u8; 32]> {
        (self.role.algorithm() == Algorithm::Ed25519).then(|| self.signer().key.public())
    }

    /// Where it lies, if that is a token.
    pub fn token_key(&self) -> Option<&TokenKey> {
        match &self.material {
            Material::Bytes(_) => None,
            Material::Token(key, _) => Some(key),
        }
    }

    /// For the key file.
    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// The bytes of a tag or data key.
    fn bytes(&self) -> &[u8; 32] {
        match &self.material {
            Material::Bytes(bytes) => bytes,
            Material::Token(..) => unreachable!("tag and data keys lie in the file"),
        }
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

/// The secret keys of a ledger, oldest first. Of tag and data the last one is in use; of the signing roles the last one, until [`Keyring::settled`] has
/// asked the log: a key that the log does not name yet is one whose rotation was interrupted.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: Vec<SecretKey>,
    authority: Signer,
    answering: Signer,
    checkpoint: Signer,
    /// Checkpoint keys before the one in use, newest first: they sign along while their windows last.
    former_checkpoint: Vec<Signer>,
}

/// A signing key that is in use, and its id.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Beginning of the hash of algorithm, role and public key.
    pub key_id: KeyId,
    /// Signs.
    pub key: Key,
}

/// What a token signs to show that it does: nothing that means anything starts like this.
const PROBE: &[u8] = b"fapiao/probe/1\0";

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
        let signer = |role| newest(&keys, role).map(SecretKey::signer);
        let (authority, answering, checkpoint) = (signer(Role::Authority)?, signer(Role::Answering)?, signer(Role::Checkpoint)?);
        Ok(Keyring { keys, authority, answering, checkpoint, former_checkpoint: Vec::new() })
    }

    /// The same keys with the way to those that are in a token. What is in use is not settled yet.
    pub fn reaching(self, token: &Arc<dyn Token>) -> Result<Keyring, KeyringError> {
        let reach = |key: SecretKey| match key.material {
            Material::Token(at, _) => SecretKey { material: Material::Token(at, Some(Arc::clone(token))), ..key },
            Material::Bytes(_) => key,
        };
        Keyring::new(self.keys.into_iter().map(reach).collect())
    }

    /// Whether what the log is signed with signs now: a token is made to.
    pub fn try_to_sign(&self) -> Result<(), SignError> {
        for signer in [&self.authority, &self.checkpoint] {
            match &signer.key {
                Key::File(_) => {}
                Key::Token(..) => drop(signer.key.sign(PROBE)?),
            }
        }
        Ok(())
    }

    /// Whether anything of the log is signed by a token, the checkpoints of former keys included.
    pub fn signs_by_token(&self) -> bool {
        [&self.authority, &self.checkpoint].into_iter().chain(&self.former_checkpoint).any(|signer| matches!(signer.key, Key::Token(..)))
    }

    /// The same keys, those in use that the log says are: of each signing role the newest that it names and that is in force. A role of which the log
    /// names no key yet has its newest one in use. The error is a role without any key that may sign.
    pub fn settled(&self, log: &PublicKeys) -> Result<Keyring, Role> {
        let in_force = |key: &SecretKey| log.get(key.key_id).is_some_and(Enrolled::is_in_force);
        let signer = |role| {
            let named = log.names(role);
            let chosen = self.keys.iter().rfind(|key| key.role == role && (!named || in_force(key)));
            chosen.map(SecretKey::signer).ok_or(role)
        };
        let (authority, answering, checkpoint) = (signer(Role::Authority)?, signer(Role::Answering)?, signer(Role::Checkpoint)?);
        let former = |key: &&SecretKey| {
            let closing = log.get(key.key_id).is_some_and(|key| key.record.withdrawn().is_none() && !key.is_in_force());
            key.role == Role::Checkpoint && key.key_id != checkpoint.key_id && closing
        };
        let former_checkpoint = self.keys.iter().rev().filter(former).map(SecretKey::signer).collect();
        Ok(Keyring { keys: self.keys.clone(), authority, answering, checkpoint, former_checkpoint })
    }

    /// The newest key of a signing role that the log does not name: one whose rotation was interrupted.
    pub fn unnamed(&self, role: Role, log: &PublicKeys) -> Option<&SecretKey> {
        self.keys.iter().rfind(|key| key.role == role).filter(|key| log.names(role) && log.get(key.key_id).is_none())
    }

    /// The same keys and one more, the newest. If there are as many as a file holds, the oldest signing key that counts no more by `now` makes room.
    pub fn with(&self, key: SecretKey, log: &PublicKeys, now: UnixMillis) -> Result<Keyring, KeyringError> {
        let mut keys = self.keys.clone();
        if keys.len() >= KEYRING_KEYS_MAX {
            let ended = |key: &SecretKey| log.get(key.key_id).is_some_and(|key| key.record.valid_until().is_some_and(|until| until <= now));
            if let Some(at) = keys.iter().position(ended) {
                keys.remove(at);
            }
        }
        keys.push(key);
        Keyring::new(keys)
    }

    /// The keyring of a new ledger, all its randomness given: seeds of authority, answering and checkpoint, then tag and data key with their ids.
    pub fn found<S: Into<Zeroizing<[u8; 32]>>>(seeds: [S; 3], tag: (KeyId, S), data: (KeyId, S)) -> Result<Keyring, KeyringError> {
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

    /// The key of a signing role that is in use.
    pub fn signer_of(&self, role: Role) -> Option<&SecretKey> {
        let in_use = [&self.authority, &self.answering, &self.checkpoint];
        self.keys.iter().find(|key| key.role == role && in_use.iter().any(|signer| signer.key_id == key.key_id))
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

    /// A checkpoint as it is published at `time`: signed by the key in use and by those before it whose windows last, so that whoever has an older list
    /// of keys can still check it. The log does not wait for one of those: it may be in a token that was taken away, or hangs.
    pub fn sign_checkpoint(&self, checkpoint: &Checkpoint, log: &PublicKeys, time: UnixMillis) -> Result<Note, SignError> {
        let mut note = checkpoint.sign_by(&self.checkpoint.key)?;
        let lasting = self.former_checkpoint.iter().filter(|key| log.get(key.key_id).is_some_and(|key| key.record.is_valid_at(time)));
        for key in lasting.take(FORMER_CHECKPOINT_KEYS_MAX) {
            note.cosign(checkpoint.origin.as_str(), &key.key);
        }
        Ok(note)
    }

    /// The answering key to sign an answer of `time` with: the newest that counted then, so that an answer that a rotation overtakes still holds.
    pub fn answering_at(&self, time: UnixMillis, log: &PublicKeys) -> Option<Signer> {
        let in_use_counts = log.get(self.answering.key_id).is_some_and(|key| key.counts_at(time, Logged::Unknown));
        if in_use_counts || !log.names(Role::Answering) {
            return Some(self.answering.clone());
        }
        let counts = |key: &&SecretKey| log.get(key.key_id).is_some_and(|key| key.counts_at(time, Logged::Unknown));
        self.keys.iter().rev().filter(|key| key.role == Role::Answering).find(counts).map(SecretKey::signer)
    }

    /// The tag of an invoice.
    pub fn id_tag(&self, id: InvoiceId) -> [u8; 32] {
        hash::id_tag(self.tag_key(), id)
    }

    /// The key behind the tags, for whoever recomputes them by other means.
    pub fn tag_key(&self) -> &[u8; 32] {
        match newest(&self.keys, Role::Tag) {
            Ok(key) => key.bytes(),
            Err(_) => unreachable!("a keyring has a tag key"),
        }
    }

    /// The key that new bodies are sealed with, and its id.
    pub fn data(&self) -> (KeyId, &[u8; 32]) {
        match newest(&self.keys, Role::Data) {
            Ok(key) => (key.key_id, key.bytes()),
            Err(_) => unreachable!("a keyring has a data key"),
        }
    }

    /// The data key with this id, in use or retired: old bodies stay readable.
    pub fn data_key(&self, key_id: KeyId) -> Option<&[u8; 32]> {
        self.keys.iter().find(|key| key.role == Role::Data && key.key_id == key_id).map(SecretKey::bytes)
    }

    /// Every key, oldest first.
    pub fn keys(&self) -> &[SecretKey] {
        &self.keys
    }
}

fn newest(keys: &[SecretKey], role: Role) -> Result<&SecretKey, KeyringError> {
    keys.iter().rfind(|key| key.role == role).ok_or(KeyringError::Missing(role))
}
