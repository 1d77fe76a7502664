//! Events of the log that everybody may open.

use super::{Engine, EngineError};
use crate::codec::leaf::Leaf;
use crate::crypto::merkle::Hash;
use crate::ledger::Sealed;

/// An event of the log, opened, with its path to a checkpoint.
#[derive(Clone, Debug)]
pub struct LoggedEvent {
    /// Place of its leaf.
    pub index: u64,
    /// The leaf.
    pub leaf: [u8; Leaf::LEN],
    /// Opens the commit in the leaf.
    pub salt: [u8; 16],
    /// What the commit is of: [`crate::codec::event::EventData`].
    pub data: Vec<u8>,
    /// Path from the leaf to the root of the checkpoint.
    pub path: Vec<Hash>,
}

impl Engine {
    /// Opens an event, with its path to the published checkpoint of this size.
    pub(super) fn logged_event(&self, index: u64, size: u64) -> Result<LoggedEvent, EngineError> {
        match self.ledger.sealed(index)? {
            Some((leaf, Sealed::Event { salt, data, .. })) => {
                Ok(LoggedEvent { index, leaf: leaf.encode(), salt, data, path: self.ledger.inclusion(index, size)? })
            }
            Some((_, Sealed::Invoice { .. })) | None => Err(EngineError::NoSuchEvent(index)),
        }
    }
}
