//! Rotation (密钥轮换) and revocation (吊销): a new secret key goes into the key file first, then the log names it and closes the window of the one it
//! replaces, in one commit. A key that is to lie in a token (PKCS#11) is made there before; a crash then leaves one in the token that no file names.
//!
//! A crash in between leaves a key in the file that the log does not name: it signs nothing, and the next rotation of that role takes it. A key that the
//! log names is in the file, because the file is on disk before anything is submitted. Keys that were replaced stay in the file: a backup from before the
//! rotation knows no others.

use std::sync::{PoisonError, RwLockWriteGuard};

use super::audit::DONE;
use super::submitting::Submitted;
use super::{Engine, EngineError, KeyInToken, keyring_path, new_key, random, reaching, read_bounded, replace_private};
use crate::codec::event::{EventData, KeyRecord, Role, Withdrawal};
use crate::codec::leaf::KeyId;
use crate::crypto::keyring::{Keyring, PublicKeys, SecretKey};
use crate::domain::audit::Act;
use crate::domain::caller::Caller;
use crate::domain::time::UnixMillis;
use crate::issue;
use crate::ledger::Submission;
use crate::limits::{KEY_FILE_BYTES_MAX, KEY_OVERLAP_MAX_MS, KEY_OVERLAP_MIN_MS, KEYRING_DATA_KEYS_MAX, PUBLIC_KEYS_MAX};

/// A key that took the place of another.
#[derive(Debug)]
pub struct Rotated {
    /// What both are for.
    pub role: Role,
    /// The key that is in use from now on.
    pub key_id: KeyId,
    /// The key that was.
    pub replaced: KeyId,
    /// First instant at which the replaced key counts no more. None of a compromised one, which counts no more from the leaf that says so; none of a data
    /// key, which goes on to open what it sealed.
    pub until: Option<UnixMillis>,
    /// Leaf that names the new key; data keys are not in the log.
    pub index: Option<u64>,
    /// Why the log does not tell of all answers that a stolen answering key signed, if so: those that it does not tell of count no more.
    pub untold: Option<EngineError>,
}

/// A key that was withdrawn.
#[derive(Debug)]
pub struct Revoked {
    /// Leaf that says so: what a compromised key signed counts only if it was logged before.
    pub index: u64,
    /// As in [`Rotated`].
    pub untold: Option<EngineError>,
}

/// Answering keys are about to change: nothing is signed with them until this goes away.
struct Change<'a> {
    _alone: RwLockWriteGuard<'a, ()>,
    untold: Option<EngineError>,
}

/// Where a secret key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the key file.
    File,
    /// In the token; the key file says so.
    Token,
}

impl KeyPlace {
    /// Both.
    pub const ALL: [KeyPlace; 2] = [KeyPlace::File, KeyPlace::Token];

    /// Its name: `file` or `token`.
    pub fn name(self) -> &'static str {
        match self {
            KeyPlace::File => "file",
            KeyPlace::Token => "token",
        }
    }

    fn of(key: &SecretKey) -> KeyPlace {
        if key.token_key().is_some() { KeyPlace::Token } else { KeyPlace::File }
    }
}

/// A secret key at hand, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// What it is for.
    pub role: Role,
    /// Its id.
    pub key_id: KeyId,
    /// Whether new signatures are made, or new bodies sealed, with it.
    pub in_use: bool,
    /// The token, and its CKA_ID there, unless it lies in the file.
    pub token: Option<(String, Vec<u8>)>,
}

/// Why a key is not rotated or revoked like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationFault {
    /// It links the events of one invoice.
    #[error("the tag key never rotates: with another one nobody could find the events of an older invoice")]
    TagKey,
    /// It is not ours.
    #[error("issuers hold their own keys; register another one with the caller")]
    IssuerKey,
    /// Its bytes are needed all the time.
    #[error("a {} key does not lie in a token: its bytes are needed for every number and every body", .0.name())]
    NotInToken(Role),
    /// Nobody would have heard of the new key.
    #[error("an overlap is {} s to 366 days", KEY_OVERLAP_MIN_MS / 1_000)]
    Overlap,
    /// There is nothing to revoke.
    #[error("a data key is not revoked: what it sealed stays sealed with it; rotate it, and new bodies are sealed with another")]
    DataKey,
    /// Nothing could be signed without it.
    #[error("key {0} is in use; replace it in the same act: fapiao keys rotate --role {role} --revoke REASON", role = .1.name())]
    InUse(KeyId, Role),
    /// The log names none of this role that is in force.
    #[error("the log names no {role} key that is in force, so there is none to replace", role = .0.name())]
    NothingToReplace(Role),
    /// The log names no such key.
    #[error("the log names no key {0}")]
    NoSuchKey(KeyId),
    /// Once and for ever.
    #[error("key {0} was revoked before")]
    Revoked(KeyId),
    /// The key file is an older one than what is held in memory: written again, it would lose keys.
    #[error("the key file lacks key {0}, which this process holds: an older file was put in its place; put back the newest keys/keyring first")]
    OlderFile(KeyId),
    /// Room is left for keys that sign.
    #[error("the key file has {KEYRING_DATA_KEYS_MAX} data keys and takes no more of them: what is left is for keys that sign")]
    DataKeysFull,
    /// More than a list of keys holds.
    #[error("the log names {PUBLIC_KEYS_MAX} keys, and a list of keys holds no more")]
    TooMany,
    /// Answered otherwise than key events are.
    #[error("the key event was not logged")]
    NotLogged,
}

impl Engine {
    /// The secret keys at hand, oldest first.
    pub fn held_keys(&self) -> Result<Vec<HeldKey>, EngineError> {
        let ring = self.keyring()?;
        let in_use = [ring.authority().key_id, ring.answering().key_id, ring.checkpoint().key_id, ring.data().0];
        let held = |key: &SecretKey| HeldKey {
            role: key.role(),
            key_id: key.key_id(),
            in_use: key.role() == Role::Tag || in_use.contains(&key.key_id()),
            token: key.token_key().map(|at| (at.token.clone(), at.id.clone())),
        };
        Ok(ring.keys().iter().map(held).collect())
    }

    /// Our keys in the token that the key file does not name: left by a crash, or by a rotation that came to nothing.
    pub fn unclaimed_keys(&self) -> Result<Vec<KeyInToken>, EngineError> {
        let ring = self.keyring()?;
        let mut found = self.token.as_ref().ok_or(EngineError::NoToken)?.keys()?;
        found.retain(|found| !ring.keys().iter().filter_map(SecretKey::token_key).any(|named| named.id == found.id));
        Ok(found)
    }

    /// Puts a new key in the place of the one of this role that is in use, and revokes that one if a reason is given. The new one lies where the replaced
    /// one does, unless told where `to` put it. The replaced key counts on for
    /// `overlap_ms`, if it is not revoked; signatures that were made in time count for ever, but those of a compromised key only as far as they are in the
    /// log by now.
    pub fn rotate(&self, role: Role, to: Option<KeyPlace>, overlap_ms: u64, revoke: Option<Withdrawal>, by: &Caller) -> Result<Rotated, EngineError> {
        let _turn = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        match (role, revoke) {
            (Role::Tag, _) => return Err(EngineError::Rotation(RotationFault::TagKey)),
            (Role::Issuer, _) => return Err(EngineError::Rotation(RotationFault::IssuerKey)),
            (Role::Data, Some(_)) => return Err(EngineError::Rotation(RotationFault::DataKey)),
            (Role::Authority | Role::Answering | Role::Checkpoint | Role::Data, _) => {}
        }
        if !(KEY_OVERLAP_MIN_MS..=KEY_OVERLAP_MAX_MS).contains(&overlap_ms) {
            return Err(EngineError::Rotation(RotationFault::Overlap));
        }
        let (in_use, log) = (self.keyring()?, self.ledger.keys());
        self.ledger.may_write()?;
        let rotated = if role == Role::Data {
            if in_use.keys().iter().filter(|key| key.role() == Role::Data).count() >= KEYRING_DATA_KEYS_MAX {
                return Err(EngineError::Rotation(RotationFault::DataKeysFull));
            }
            let (replaced, _) = in_use.data();
            if to == Some(KeyPlace::Token) {
                return Err(EngineError::Rotation(RotationFault::NotInToken(role)));
            }
            let key_id = self.add_key(role, KeyPlace::File, &log, revoke)?;
            Rotated { role, key_id, replaced, until: None, index: None, untold: None }
        } else {
            if log.len() >= PUBLIC_KEYS_MAX {
                return Err(EngineError::Rotation(RotationFault::TooMany));
            }
            // Asked before anything is changed: a key in the file that replaces nothing would be in use although the log does not name it.
            if !log.iter().any(|key| key.record.role() == role && key.is_in_force()) {
                return Err(EngineError::Rotation(RotationFault::NothingToReplace(role)));
            }
            let place = to.unwrap_or_else(|| in_use.signer_of(role).map_or(KeyPlace::File, KeyPlace::of));
            // What fails here fails before there is another key in the file.
            let change = self.before_answering_keys_change(role, revoke)?;
            let key_id = self.add_key(role, place, &log, revoke)?;
            let rotated = self.replace(role, key_id, if revoke.is_some() { KEY_OVERLAP_MIN_MS } else { overlap_ms }, revoke, &in_use, &log)?;
            Rotated { untold: change.and_then(|change| change.untold), ..rotated }
        };
        let subject = format!("rotate {} {} {}", role.name(), rotated.replaced, rotated.key_id);
        let recorded = self.record(by, Act::KeysUsed, &subject, revoke.map_or(DONE, Withdrawal::name));
        recorded.map_err(|error| EngineError::Unrecorded { done: subject, error: Box::new(error) })?;
        Ok(rotated)
    }

    /// Withdraws a key that is no longer in use.
    pub fn revoke_key(&self, key_id: KeyId, reason: Withdrawal, by: &Caller) -> Result<Revoked, EngineError> {
        let _turn = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_use, log) = (self.keyring()?, self.ledger.keys());
        self.ledger.may_write()?;
        let known = *log.get(key_id).ok_or(EngineError::Rotation(RotationFault::NoSuchKey(key_id)))?;
        if known.is_in_force() {
            return Err(EngineError::Rotation(RotationFault::InUse(key_id, known.record.role())));
        }
        // That it was stolen may turn out later.
        if known.compromised_at.is_some() || (known.record.withdrawn().is_some() && reason != Withdrawal::Compromised) {
            return Err(EngineError::Rotation(RotationFault::Revoked(key_id)));
        }
        let record = closing(&known.record, UnixMillis(self.now().0 + KEY_OVERLAP_MIN_MS)).and_then(|record| record.withdrawn_for(reason));
        let record = record.ok_or(EngineError::Rotation(RotationFault::NotLogged))?;
        let change = self.before_answering_keys_change(record.role(), Some(reason))?;
        let event = self.signed(issue::event_of(&EventData::Key(record), random()?, &in_use))?;
        let index = self.log_keys(vec![event])?;
        let subject = format!("revoke {} {key_id}", record.role().name());
        let recorded = self.record(by, Act::KeysUsed, &subject, reason.name());
        recorded.map_err(|error| EngineError::Unrecorded { done: subject, error: Box::new(error) })?;
        Ok(Revoked { index, untold: change.and_then(|change| change.untold) })
    }

    /// Has answers wait until the log, as published, has the change, so that each is signed with a key that counts at its time. What a stolen key signed up
    /// to now counts on only if the log has it before it has the theft; but answers that cannot be read do not leave the key to the thief.
    fn before_answering_keys_change(&self, role: Role, reason: Option<Withdrawal>) -> Result<Option<Change<'_>>, EngineError> {
        if role != Role::Answering {
            return Ok(None);
        }
        let alone = self.answering.signing.write().unwrap_or_else(PoisonError::into_inner);
        let told = if reason == Some(Withdrawal::Compromised) { self.log_answers().map(drop) } else { Ok(()) };
        let untold = match told {
            Ok(()) => None,
            Err(error @ (EngineError::Ledger(_) | EngineError::NotAnnounced)) => Some(error),
            Err(error) => return Err(error),
        };
        Ok(Some(Change { _alone: alone, untold }))
    }

    /// Puts another key of this role into the key file, or finds the one that an interrupted rotation left there; but whoever stole the key that is to be
    /// replaced may have that one too.
    fn add_key(&self, role: Role, place: KeyPlace, log: &PublicKeys, revoke: Option<Withdrawal>) -> Result<KeyId, EngineError> {
        let passkey = self.passkey.as_ref().ok_or(EngineError::Locked)?;
        let path = keyring_path(self.ledger.directory());
        let failed = |error| EngineError::Keyring { path: path.clone(), error };
        let ring = passkey.open(&read_bounded(&path, KEY_FILE_BYTES_MAX)?).map_err(failed)?;
        // An older file that was put back would be written again without the keys that came since, and nothing else has those.
        if let Some(lost) = self.keyring()?.keys().iter().find(|held| ring.keys().iter().all(|key| key.key_id() != held.key_id())) {
            return Err(EngineError::Rotation(RotationFault::OlderFile(lost.key_id())));
        }
        let left =
            ring.unnamed(role, log).filter(|left| revoke != Some(Withdrawal::Compromised) && KeyPlace::of(left) == place).map(SecretKey::key_id);
        let (ring, key_id) = match left {
            Some(left) => (ring, left),
            None => {
                let key = new_key(role, place, self.token.as_ref())?;
                let key_id = key.key_id();
                let ring = ring.with(key, log, self.now())?;
                let sealed = passkey.seal(&ring, &random()?).map_err(failed)?;
                // A file that could not be opened again would be the end of the ledger.
                let ring = passkey.open(&sealed).map_err(failed)?;
                replace_private(&path, &sealed)?;
                (ring, key_id)
            }
        };
        self.ledger.hold(reaching(ring, self.token.as_ref())?);
        Ok(key_id)
    }

    /// Logs that the key of this id, which is in the file, replaces those of its role that are in force.
    fn replace(
        &self,
        role: Role,
        key_id: KeyId,
        overlap_ms: u64,
        revoke: Option<Withdrawal>,
        in_use: &Keyring,
        log: &PublicKeys,
    ) -> Result<Rotated, EngineError> {
        let not_logged = || EngineError::Rotation(RotationFault::NotLogged);
        let now = self.now();
        let until = UnixMillis(now.0 + overlap_ms);
        let held = self.keyring()?;
        let newer = held.keys().iter().find(|key| key.key_id() == key_id).ok_or_else(not_logged)?;
        let record = newer.public().and_then(|public| KeyRecord::new(role, public, now, None)).ok_or_else(not_logged)?;
        // The old authority vouches for its successor; the end of the old key is said by the new one, as nothing that a stolen key says may count.
        let mut events = vec![self.signed(issue::event_of(&EventData::Key(record), random()?, in_use))?];
        let successor = if role == Role::Authority { newer.signer() } else { in_use.authority().clone() };
        let replaced = log.iter().filter(|key| key.record.role() == role && key.is_in_force());
        let (mut last, mut ends) = (None, until);
        for key in replaced {
            let closed = closing(&key.record, until).ok_or_else(not_logged)?;
            ends = closed.valid_until().unwrap_or(until);
            let closed = match revoke {
                Some(reason) => closed.withdrawn_for(reason).ok_or_else(not_logged)?,
                None => closed,
            };
            events.push(self.signed(issue::event_by(&EventData::Key(closed), random()?, &successor))?);
            last = Some(closed.key_id());
        }
        let replaced = last.ok_or_else(not_logged)?;
        let index = self.log_keys(events)?;
        let until = (revoke != Some(Withdrawal::Compromised)).then_some(ends);
        Ok(Rotated { role, key_id, replaced, until, index: Some(index), untold: None })
    }

    fn log_keys(&self, events: Vec<crate::ledger::SealedEvent>) -> Result<u64, EngineError> {
        match self.decide(Submission::Keys { events })? {
            Submitted::Logged(logged) => Ok(logged.index),
            Submitted::Faulty(_) | Submitted::Refused(_) => Err(EngineError::Rotation(RotationFault::NotLogged)),
        }
    }
}

/// The record with its window ending at `until`, or where it ends already.
fn closing(record: &KeyRecord, until: UnixMillis) -> Option<KeyRecord> {
    record.closed(record.valid_until().map_or(until, |ends| ends.min(until)).max(UnixMillis(record.valid_from().0 + 1)))
}
