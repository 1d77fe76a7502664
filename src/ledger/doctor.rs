//! What is the matter with a data directory, found without changing anything in it.

use super::lock::LockFile;
use super::place::{self, Place};
use super::recovery::{self, Obstacle};
use super::store::{Access, Home, Store, StoreError, StoreSizes};
use super::tables::{self, DERIVED, Meta};
use crate::crypto::keyring::Keyring;
use crate::crypto::note::{Checkpoint, Note};
use crate::domain::time::UnixMillis;
use crate::limits::CLOCK_BEHIND_MAX_MS;

/// Something that keeps a ledger from being opened or from signing, or that somebody should know.
#[derive(Debug)]
pub enum Symptom {
    /// There is no ledger in the directory.
    NoLedger,
    /// Another process has it open; what is seen may be out of date by now.
    InUse,
    /// It cannot be opened at all.
    Unreadable(String),
    /// It can be opened and does not sign.
    Refuses(Obstacle),
    /// A derived table is incomplete and is rebuilt at the next opening.
    RebuildPending(&'static str),
    /// The clock is behind the newest leaf, and signing waits until it has caught up.
    ClockBehind {
        /// What the clock says.
        now: UnixMillis,
        /// Time of the newest leaf.
        head: UnixMillis,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub struct Examination {
    /// The newest signed checkpoint in the directory.
    pub checkpoint: Option<Checkpoint>,
    /// What the lock record says, signature unchecked.
    pub locked: Option<Checkpoint>,
    /// What is the matter; empty if the ledger opens and, given its keys, signs.
    pub symptoms: Vec<Symptom>,
}

/// Examines a data directory as it is at `now`. With keys, a log that names none yet can be judged too.
pub fn examine(home: &Home, sizes: StoreSizes, keyring: Option<&Keyring>, now: UnixMillis) -> Examination {
    let mut found = Examination::default();
    let lock = LockFile::beside(home);
    if let Ok(Some(note)) = lock.read() {
        found.locked = Note::parse(&note).and_then(|note| Checkpoint::parse(note.text())).ok();
    }
    if !Store::exists(home) {
        found.symptoms.push(Symptom::NoLedger);
        return found;
    }
    if Store::is_in_use(home) {
        found.symptoms.push(Symptom::InUse);
        return found;
    }
    let store = match Store::open(home, sizes, Access::Look) {
        Ok(store) => store,
        // A derived table is made and filled at the next opening.
        Err(StoreError::TableMissing { table, .. }) if tables::is_derived(table) => {
            found.symptoms.push(Symptom::RebuildPending(table));
            return found;
        }
        Err(error) => {
            found.symptoms.push(Symptom::Unreadable(error.to_string()));
            return found;
        }
    };
    for table in DERIVED {
        if let Some(watermark) = tables::watermark(table)
            && matches!(store.get::<Meta>(&watermark), Ok(Some(_)))
        {
            found.symptoms.push(Symptom::RebuildPending(table));
        }
    }
    if !found.symptoms.is_empty() {
        return found;
    }
    let obstacle = recovery::recover(&store, keyring).and_then(|recovered| {
        found.checkpoint = Some(recovered.checkpoint.clone());
        let head = UnixMillis(recovered.head.time_ms);
        if now.0 + CLOCK_BEHIND_MAX_MS < head.0 {
            found.symptoms.push(Symptom::ClockBehind { now, head });
        }
        let directory = home.directory.clone();
        let of_lock = recovery::lock_obstacle(&store, &lock, &recovered, keyring)?;
        let unusable = keyring.and_then(|keyring| keyring.settled(&recovered.keys).err()).map(|role| Obstacle::NoKey { role });
        Ok(match (of_lock.or(unusable), place::check(home)?) {
            (Some(obstacle), _) => Some(obstacle),
            (None, Place::Same) => None,
            (None, Place::Copied) => Some(Obstacle::Copied { directory }),
            (None, Place::Unsaid) => Some(Obstacle::Unsaid { directory }),
        })
    });
    match obstacle {
        Ok(obstacle) => found.symptoms.extend(obstacle.map(Symptom::Refuses)),
        Err(error) => found.symptoms.push(Symptom::Unreadable(error.to_string())),
    }
    found
}
