//! The root a second time, as a bookkeeper adds up the columns after the rows: from the leaves' bytes, as a stack of complete subtrees (a "compact
//! range"), with no function in common with [`super::merkle`]. A slip or a flipped bit in one of the two makes them disagree, and then nothing is
//! signed.

use std::convert::Infallible;

use sha2::{Digest, Sha256};

/// Complete subtrees from left to right, each higher than the next.
#[derive(Clone, Debug, Default)]
pub struct Crossfoot {
    subtrees: Vec<(u32, [u8; 32])>,
    size: u64,
}

/// What is stored does not make a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossfootError<E = Infallible> {
    /// Reading a tile failed.
    #[error("{0}")]
    Read(E),
    /// A full tile has not 8,192 bytes.
    #[error("tile {level}/{n} has {bytes} bytes")]
    Tile {
        /// Row.
        level: u8,
        /// Place in the row.
        n: u64,
        /// Its length.
        bytes: usize,
    },
    /// Not `size % 256` leaves were given.
    #[error("{given} last leaves, not {expected}")]
    Leaves {
        /// How many were given.
        given: u64,
        /// How many there must be.
        expected: u64,
    },
}

impl Crossfoot {
    /// Without leaves.
    pub fn new() -> Crossfoot {
        Crossfoot::default()
    }

    /// The state after `size` leaves, from the full tiles and the bytes of the last `size % 256` leaves: every complete subtree of 256 leaves or more
    /// is recomputed from the row of tiles below its top.
    pub fn from_right_edge<E, T: AsRef<[u8]>, L: AsRef<[u8]>>(
        size: u64,
        last_leaves: &[L],
        mut read: impl FnMut(u8, u64) -> Result<T, E>,
    ) -> Result<Crossfoot, CrossfootError<E>> {
        let (given, expected) = (last_leaves.len() as u64, size & 0xff);
        if given != expected {
            return Err(CrossfootError::Leaves { given, expected });
        }
        let mut sums = Crossfoot::new();
        for row in (1..8u8).rev() {
            // Digit `row` of the size in base 256 counts the tiles of the row below whose roots stand alone there.
            let shift = 8 * u32::from(row);
            let first = size.checked_shr(shift + 8).unwrap_or(0) << 8;
            for n in first..size >> shift {
                let tile = read(row - 1, n).map_err(CrossfootError::Read)?;
                let bytes = tile.as_ref();
                if bytes.len() != 8192 {
                    return Err(CrossfootError::Tile { level: row - 1, n, bytes: bytes.len() });
                }
                let mut within = Crossfoot::new();
                for hash in bytes.as_chunks::<32>().0 {
                    within.add(0, *hash);
                }
                sums.add(shift, within.root());
            }
        }
        sums.size = size - expected;
        last_leaves.iter().for_each(|leaf| sums.push(leaf.as_ref()));
        Ok(sums)
    }

    /// Adds a leaf by its bytes.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hasher = Sha256::new_with_prefix(b"\x00");
        hasher.update(leaf);
        self.add(0, hasher.finalize().into());
        self.size += 1;
    }

    /// Adds a subtree on the right and joins neighbours of equal height.
    fn add(&mut self, height: u32, hash: [u8; 32]) {
        let (mut height, mut hash) = (height, hash);
        while let Some((_, left)) = self.subtrees.pop_if(|(left_height, _)| *left_height == height) {
            hash = join(left, hash);
            height += 1;
        }
        self.subtrees.push((height, hash));
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the leaves so far, as RFC 6962 has it.
    pub fn root(&self) -> [u8; 32] {
        let mut from_right = self.subtrees.iter().rev();
        let Some((_, mut root)) = from_right.next().copied() else { return Sha256::digest(b"").into() };
        for (_, left) in from_right {
            root = join(*left, root);
        }
        root
    }
}

fn join(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    let mut node = [1; 65];
    let (_, children) = node.split_at_mut(1);
    let (to_left, to_right) = children.split_at_mut(32);
    to_left.copy_from_slice(&left);
    to_right.copy_from_slice(&right);
    Sha256::digest(node).into()
}
