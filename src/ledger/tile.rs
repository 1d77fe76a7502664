//! The published tree as tiles, which are all that a stranger needs to follow the log.

use std::sync::Arc;

use super::tables::{Leaves, Tiles};
use super::{Ledger, LedgerError};
use crate::codec::leaf::Leaf;
use crate::crypto::merkle::{self, TILE_HEIGHT, TILE_WIDTH};

impl Ledger {
    /// The first `width` hashes of a tile, joined; `None` if the published tree has not as many there.
    pub fn tile(&self, level: u8, n: u64, width: u16) -> Result<Option<Vec<u8>>, LedgerError> {
        let (size, read) = self.published_tiles();
        if !reaches(size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0), n, width) {
            return Ok(None);
        }
        let tile = read(level, n)?;
        let hashes = tile.bytes().get(..32 * usize::from(width));
        hashes.map(|hashes| Some(hashes.to_vec())).ok_or_else(|| LedgerError::broken(n, format!("tile {level}/{n} is too short")))
    }

    /// The first `width` leaves under tile `n` of the bottom row; `None` if as many are not published.
    pub fn leaves_of_tile(&self, n: u64, width: u16) -> Result<Option<Vec<[u8; Leaf::LEN]>>, LedgerError> {
        if !reaches(self.published().size, n, width) {
            return Ok(None);
        }
        let first = n * TILE_WIDTH;
        let indexes: Vec<u64> = (first..first + u64::from(width)).collect();
        let rows = self.store.get_many::<Leaves>(&indexes)?.into_iter().zip(&indexes);
        let leaves = rows.map(|(row, index)| row.and_then(|row| row.try_into().ok()).ok_or_else(|| LedgerError::broken(*index, "no leaf".into())));
        leaves.collect::<Result<_, _>>().map(Some)
    }

    /// The published size, and how to read the tiles of that tree. They serve every smaller tree as well: a row only grows to the right.
    pub(super) fn published_tiles(&self) -> (u64, impl Fn(u8, u64) -> Result<PublishedTile, LedgerError>) {
        let (size, edge) = {
            let front = self.shared.front();
            (front.published.size, Arc::clone(&front.edge))
        };
        let read = move |level: u8, n: u64| {
            if size.checked_shr(TILE_HEIGHT * (u32::from(level) + 1)).unwrap_or(0) == n {
                return Ok(PublishedTile::Edge(Arc::clone(&edge), level.into()));
            }
            let stored = self.store.get::<Tiles>(&(level, n))?;
            stored.map(PublishedTile::Full).ok_or_else(|| LedgerError::broken(n, format!("tile {level}/{n} is missing")))
        };
        (size, read)
    }
}

/// Whether a row of so many has the first `width` of its tile `n`.
fn reaches(row: u64, n: u64, width: u16) -> bool {
    n.checked_mul(TILE_WIDTH).and_then(|first| first.checked_add(width.into())).is_some_and(|end| end <= row)
}

/// A tile of the published tree.
pub(super) enum PublishedTile {
    Full(Vec<u8>),
    /// Of these, the one of this row.
    Edge(Arc<Vec<merkle::Edge>>, usize),
}

impl PublishedTile {
    fn bytes(&self) -> &[u8] {
        match self {
            PublishedTile::Full(tile) => tile,
            PublishedTile::Edge(edge, level) => edge.get(*level).map_or(&[], |edge| edge.hashes().as_flattened()),
        }
    }
}

impl merkle::Tile for PublishedTile {
    fn subtree(&self, height: u32, place: usize) -> Option<merkle::Hash> {
        match self {
            PublishedTile::Full(tile) => tile.subtree(height, place),
            PublishedTile::Edge(edge, level) => edge.get(*level)?.subtree(height, place),
        }
    }
}
