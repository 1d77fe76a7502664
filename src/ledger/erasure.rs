//! Erasing a body (删除): by legal duty, and for good. Nothing that is signed, hashed or published stands in a body, so tree, QR codes and proofs stay.
//!
//! What is put in its place, the entry in the audit trail and the note that files are still to be cleaned are one synced write. Then the files of the
//! database are written anew without the body, and only then is it said to be erased. After a crash in between, the note has that done at the next
//! opening.

use std::sync::TryLockError;

use super::store::{Store, StoreError};
use super::tables::{Bodies, Meta};
use super::{Ledger, LedgerError, SubmitError};
use crate::crypto::body::{Erasure, Kept};
use crate::domain::audit::Entry;

/// Name in `meta` of the leaf whose body was erased and may still lie in files of the database.
pub(super) const ERASING: &str = "erasing";

/// Why a body cannot be erased now.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The ledger or its files.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nothing is written now, or it is not known whether it was.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Its files are being copied.
    #[error("a backup, which would keep a copy, or another erasure is under way; ask again when it is done")]
    Busy,
    /// There is none, and nobody erased it.
    #[error("leaf {0} has no body, and nobody erased it: it was lost (fapiao ledger fsck)")]
    Lost(u64),
}

impl From<StoreError> for EraseError {
    fn from(error: StoreError) -> EraseError {
        EraseError::Ledger(error.into())
    }
}

impl Ledger {
    /// The leaf whose body was erased and may still lie in files of the database, because a crash or a full disk came between: they are cleaned at the
    /// next start or erasure.
    pub fn unfinished_erasure(&self) -> Result<Option<u64>, LedgerError> {
        Ok(pending(&self.store)?)
    }

    /// Erases the body of the invoice at `index` for good. Returns what is left of it, and whether that had been done before: then nothing is written
    /// that was not still to be done.
    pub fn erase(&self, index: u64, entry: Entry, left: impl FnOnce(&[u8]) -> Erasure) -> Result<(Erasure, bool), EraseError> {
        self.may_write()?;
        let _alone = match self.backing_up.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(EraseError::Busy),
        };
        // The note has room for one.
        finish(&self.store)?;
        let (erasure, repeated) = match self.body(index)? {
            None => return Err(EraseError::Lost(index)),
            Some(Kept::Erased(erasure)) => (erasure, true),
            Some(Kept::Sealed(body)) => {
                let erasure = left(&body);
                self.registry.erase(entry, index, erasure.clone())?;
                (erasure, false)
            }
        };
        finish(&self.store)?;
        Ok((erasure, repeated))
    }
}

fn pending(store: &Store) -> Result<Option<u64>, StoreError> {
    Ok(store.get::<Meta>(&ERASING)?.and_then(|row| row.try_into().ok()).map(u64::from_be_bytes))
}

/// Cleans the files of what was erased, if that is still to be done.
pub(super) fn finish(store: &Store) -> Result<(), StoreError> {
    let Some(index) = pending(store)? else { return Ok(()) };
    // A journal is replaced by another only if something was written to it, which at an opening nothing was.
    let mut batch = store.batch();
    batch.put::<Meta>(&ERASING, &index.to_be_bytes().to_vec());
    batch.commit(true)?;
    store.scour::<Bodies>(&index)?;
    let mut batch = store.batch();
    batch.delete::<Meta>(&ERASING);
    batch.commit(true)
}
