//! Receipts: what proves to anybody that a leaf is in the log, rebuilt from the ledger so that a repeated submission gets the same bytes.

use super::tables::Heads;
use super::value::Seal;
use super::{Ledger, LedgerError};
use crate::codec::leaf::Leaf;
use crate::crypto::merkle;

/// A leaf, what was signed for it, the first checkpoint that covers it, and the path from one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Place in the log.
    pub index: u64,
    /// As logged.
    pub leaf: Leaf,
    /// What was signed.
    pub sealed: Sealed,
    /// The smallest published checkpoint that covers the leaf, as a signed note.
    pub note: String,
    /// Leaves that it covers.
    pub size: u64,
    /// RFC 6962 inclusion proof of the leaf in that tree.
    pub path: Vec<[u8; 32]>,
}

/// What was signed for a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Of an issue or a red.
    Invoice {
        /// Canonical face.
        face: Vec<u8>,
        /// Digest that hides the rest.
        rest_digest: [u8; 32],
        /// The authority's signature.
        signature: [u8; 64],
    },
    /// Of another event.
    Event {
        /// Makes the commit hiding.
        salt: [u8; 16],
        /// As signed.
        data: Vec<u8>,
        /// The authority's signature.
        signature: [u8; 64],
    },
}

impl Ledger {
    /// The receipt of the leaf at `index`; `None` if it is not published.
    pub fn receipt(&self, index: u64) -> Result<Option<Receipt>, LedgerError> {
        let Some((leaf, sealed)) = self.sealed(index)? else { return Ok(None) };
        let Some((size, note)) = self.first_checkpoint_covering(index)? else { return Ok(None) };
        let path = self.inclusion(index, size)?;
        Ok(Some(Receipt { index, leaf, sealed, note, size, path }))
    }

    /// The leaf at `index` and what was signed for it, without proof that it is in the log; `None` if it is not published.
    pub fn sealed(&self, index: u64) -> Result<Option<(Leaf, Sealed)>, LedgerError> {
        let Some(leaf) = self.leaf(index)? else { return Ok(None) };
        let sealed = match self.seal(index)? {
            Seal::Invoice(seal) => Sealed::Invoice { face: seal.face, rest_digest: seal.rest_digest, signature: seal.signature },
            Seal::Event(seal) => Sealed::Event { salt: seal.salt, data: seal.data, signature: seal.signature },
        };
        Ok(Some((leaf, sealed)))
    }

    /// RFC 6962 inclusion proof of the leaf at `index` in the tree of `size` leaves, at most the published size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<[u8; 32]>, LedgerError> {
        let (published, read) = self.published_tiles();
        merkle::inclusion_proof(index, size.min(published), read).map_err(|error| LedgerError::of_tile(index, error))
    }

    /// The published sizes next to `size`: the largest below it and the smallest above.
    pub fn sizes_around(&self, size: u64) -> Result<(Option<u64>, Option<u64>), LedgerError> {
        // A checkpoint is stored a moment before it is published, and not to be seen before.
        let published = self.published().size;
        let below = match self.store.before::<Heads>(&size.min(published.saturating_add(1)))? {
            Some((key, _)) => Some(key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| LedgerError::broken(size, "key of head".into()))?),
            None => None,
        };
        Ok((below, self.first_checkpoint_covering(size)?.map(|(size, _)| size)))
    }

    /// RFC 6962 consistency proof between two published sizes.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<[u8; 32]>, LedgerError> {
        let (published, read) = self.published_tiles();
        merkle::consistency_proof(old, new.min(published), read).map_err(|error| LedgerError::of_tile(old, error))
    }
}
