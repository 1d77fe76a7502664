//! What an administrator does to a ledger as a whole: back up, restore, adopt, reopen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, Engine, EngineError, keyring_path, random, reach, reaching, read_bounded, read_keyring, replace_private};
use crate::codec::event::{EventData, Notice};
use crate::crypto::keyring::{Keyring, PublicKeys};
use crate::crypto::note::Checkpoint;
use crate::crypto::sign::SignError;
use crate::domain::time::UnixMillis;
use crate::issue;
use crate::ledger::{self, Backup, BackupError, Examination, Home, Ledger, LedgerError, Opening, Reopening, Restored, StoreSizes, Symptom};
use crate::limits::{KEY_FILE_BYTES_MAX, PROOF_FILE_BYTES_MAX, REASON_BYTES_MAX};

/// What of the keys a backup holds: the encrypted key file and the public keys. Never the passphrase.
const KEY_FILES: [(&str, usize); 2] = [("keyring", KEY_FILE_BYTES_MAX), ("public.json", PROOF_FILE_BYTES_MAX)];

/// What was found in a data directory.
#[derive(Debug)]
pub struct Checkup {
    /// Of the ledger.
    pub ledger: Examination,
    /// Of its keys, if there is anything the matter with them.
    pub keys: Option<KeyTrouble>,
}

/// Why the keys cannot be used, so that the ledger answers and does not sign.
#[derive(Debug)]
pub enum KeyTrouble {
    /// There is no key file.
    Missing(PathBuf),
    /// The passphrase does not open it.
    Unreadable(EngineError),
    /// It opens, and the token that has its signing keys does not sign.
    Token(SignError),
}

impl Engine {
    /// Examines a data directory without changing anything in it. Without a passphrase the key file is only looked for; with one, a token that has signing
    /// keys is made to sign something that means nothing.
    pub fn examine(config: &Config) -> Checkup {
        let path = keyring_path(&config.directory);
        let (keyring, trouble) = match read_keyring(config) {
            _ if !path.exists() => (None, Some(KeyTrouble::Missing(path))),
            Ok(Some(keyring)) => {
                let tried = reach(config.token.as_ref()).and_then(|token| Ok(reaching(keyring.clone(), token.as_ref())?.try_to_sign()?));
                let trouble = tried.err().map(|error| match error {
                    EngineError::Unsigned(error) => KeyTrouble::Token(error),
                    other => KeyTrouble::Unreadable(other),
                });
                (Some(keyring), trouble)
            }
            Ok(None) => (None, None),
            Err(error) => (None, Some(KeyTrouble::Unreadable(error))),
        };
        let ledger = ledger::examine(&config.directory.clone().into(), config.sizes, keyring.as_ref(), (config.clock)());
        let of_a_ledger = !matches!(ledger.symptoms[..], [Symptom::NoLedger]);
        Checkup { ledger, keys: trouble.filter(|_| of_a_ledger) }
    }

    /// Makes a backup of ledger and key files while everything else goes on, and keeps the newest `keep`.
    pub fn back_up(&self, to: &Path, keep: usize) -> Result<Backup, EngineError> {
        self.ledger.own_backups(to)?;
        // Before, so that there is no backup without keys; and after, because a key that was made meanwhile is named by the log that is backed up.
        copy_keys(self.ledger.directory(), to)?;
        let backup = self.ledger.back_up(to, keep)?;
        copy_keys(self.ledger.directory(), to)?;
        Ok(backup)
    }

    /// Restores a backup with its key files into a new directory: the newest or the numbered one, whole or as it was at a published size.
    pub fn restore(from: &Path, number: Option<u32>, size: Option<u64>, into: &Path) -> Result<Restored, EngineError> {
        let restored = ledger::restore(from, number, size, &Home::from(into.to_owned()), StoreSizes::default())?;
        copy_keys(from, into)?;
        Ok(restored)
    }

    /// Says that this copy is the newest and may sign.
    pub fn adopt(config: &Config) -> Result<Checkpoint, EngineError> {
        let keyring = read_keyring(config)?.ok_or(EngineError::Locked)?;
        Ok(Ledger::adopt(&config.directory.clone().into(), config.sizes, &keyring)?)
    }

    /// Goes on from a copy that is older than what was signed, under another origin. Returns the notice and its leaf.
    pub fn reopen(config: &Config, reason: &str) -> Result<(u64, Notice), EngineError> {
        let token = reach(config.token.as_ref())?;
        let keyring = Arc::new(reaching(read_keyring(config)?.ok_or(EngineError::Locked)?, token.as_ref())?);
        let reason = reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(EngineError::Reason);
        }
        let salt = random()?;
        let sign = |data: &EventData, keyring: &Keyring| issue::event_of(data, salt, keyring);
        let opening = Opening {
            home: config.directory.clone().into(),
            sizes: config.sizes,
            keyring: Some(keyring),
            clock: Arc::clone(&config.clock),
            observer: config.observer.clone(),
        };
        let (now, seed) = ((config.clock)(), random()?);
        let keys = |keyring: &Keyring, log: &PublicKeys, end: UnixMillis| issue::lost_keys(keyring, log, end, now, &seed);
        Ok(Ledger::reopen(Reopening { opening, log_id: random()?, reason: reason.to_owned(), sign: &sign, keys: &keys })?)
    }
}

impl From<BackupError> for EngineError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Ledger(error) => EngineError::Ledger(error),
            BackupError::Absent(_)
            | BackupError::NotEmpty(_)
            | BackupError::OtherLog { .. }
            | BackupError::Checkpoint { .. }
            | BackupError::OtherHistory { .. }
            | BackupError::NoSuchSize { .. } => EngineError::Backup(error),
        }
    }
}

/// Copies the key files of one directory into another. One that is there already must be the same or is replaced by way of a new file.
fn copy_keys(from: &Path, to: &Path) -> Result<(), EngineError> {
    for (name, limit) in KEY_FILES {
        let (source, target) = (from.join("keys").join(name), to.join("keys").join(name));
        if !source.exists() {
            continue;
        }
        let bytes = read_bounded(&source, limit)?;
        if target.exists() && read_bounded(&target, limit)? == bytes {
            continue;
        }
        replace_private(&target, &bytes)?;
    }
    // A ledger without its keys can be read and verified for ever, and never signs again.
    if to.join("keys").exists() || !keyring_path(from).exists() {
        Ok(())
    } else {
        Err(LedgerError::Stopped("the key files were not copied".into()).into())
    }
}
