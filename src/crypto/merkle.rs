//! The tree of RFC 6962, section 2.1, in the tiles of C2SP tlog-tiles: rows of hashes at heights 0, 8, 16, …, 256 hashes to a tile.
//!
//! A row holds the roots of complete subtrees only. [`Tree`] appends; the proof functions read tiles through a closure; the `verify` functions need
//! neither. [`super::crossfoot`] computes the same roots another way, and the two must agree before anything is signed.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// Root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Height of a tile: its 256 hashes are the leaves of a subtree of this height.
pub const TILE_HEIGHT: u32 = 8;
/// Bytes of a full tile.
pub const TILE_BYTES: usize = 8192;

/// SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tile that has just become full and never changes again.
#[derive(Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Row: 0 holds leaf hashes, each one above holds the roots of the tiles below.
    pub level: u8,
    /// Place in the row.
    pub n: u64,
    /// 256 hashes, joined.
    pub bytes: Box<[u8; TILE_BYTES]>,
}

impl std::fmt::Debug for FullTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tile {}/{}", self.level, self.n)
    }
}

/// A tile that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// Reading it failed.
    #[error("{0}")]
    Read(E),
    /// It has fewer hashes than the tree's size says, or half a hash.
    #[error("tile {level}/{n} is too short")]
    Short {
        /// Row.
        level: u8,
        /// Place in the row.
        n: u64,
    },
    /// The index or size asked for lies outside the tree.
    #[error("outside the tree")]
    Outside,
}

/// A tile as a proof reads it.
pub trait Tile {
    /// Root of the complete subtree of this height (below 8) at this place among those of its height; `None` if the tile has not all its hashes.
    fn subtree(&self, height: u32, place: usize) -> Option<Hash>;
}

/// The hashes, joined.
impl<T: AsRef<[u8]>> Tile for T {
    fn subtree(&self, height: u32, place: usize) -> Option<Hash> {
        let first = place.checked_shl(height)?;
        self.as_ref().as_chunks::<32>().0.get(first..first.checked_add(1 << height)?).map(perfect_root)
    }
}

/// The right-most tile of a row, which is not full: its hashes, fewer than 256, and the roots of all complete subtrees that they make.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// By height, each from left to right.
    roots: [Vec<Hash>; TILE_HEIGHT as usize],
}

impl Edge {
    /// The hashes themselves.
    pub fn hashes(&self) -> &[Hash] {
        let [hashes, ..] = &self.roots;
        hashes
    }

    /// Appends a hash; the root of the tile if that makes it full.
    fn push(&mut self, hash: Hash) -> Option<Hash> {
        let mut root = hash;
        for roots in &mut self.roots {
            roots.push(root);
            // One without a right neighbour waits for it.
            let ([.., left, right], true) = (roots.as_slice(), roots.len().is_multiple_of(2)) else { return None };
            root = node_hash(left, right);
        }
        Some(root)
    }

    /// The complete subtrees that are in no larger one, smallest first.
    fn peaks(&self) -> impl Iterator<Item = &Hash> {
        self.roots.iter().filter(|roots| !roots.len().is_multiple_of(2)).filter_map(|roots| roots.last())
    }
}

impl Tile for Edge {
    fn subtree(&self, height: u32, place: usize) -> Option<Hash> {
        self.roots.get(height as usize)?.get(place).copied()
    }
}

/// The growing tree: what is needed to append and to know the root, at most 255 hashes a row.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    edges: Vec<Edge>,
}

impl Tree {
    /// The tree without leaves.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// The tree of `size` leaves from the hashes of [`Tree::right_edge`], row by row; `None` if they are not as many as such a tree has.
    pub fn at(size: u64, rows: &[Vec<Hash>]) -> Option<Tree> {
        let mut edges = Vec::with_capacity(rows.len());
        for (level, row) in (0u32..).zip(rows) {
            let there = size.checked_shr(TILE_HEIGHT * level).unwrap_or(0);
            let mut edge = Edge::default();
            if row.len() as u64 != there % TILE_WIDTH || row.iter().any(|hash| edge.push(*hash).is_some()) {
                return None;
            }
            edges.push(edge);
        }
        let above = u32::try_from(rows.len()).ok().and_then(|rows| size.checked_shr(TILE_HEIGHT * rows)).unwrap_or(0);
        (above == 0).then_some(Tree { size, edges })
    }

    /// The tree of `size` leaves from what was stored of it: `last` are the leaf hashes of the last `size % 256` leaves, `read` gives the full tile
    /// (level, n). Reads at most 255 tiles a row. The caller compares the root with the signed one.
    pub fn rebuild<E, T: AsRef<[u8]>>(size: u64, last: &[Hash], mut read: impl FnMut(u8, u64) -> Result<T, E>) -> Result<Tree, TileError<E>> {
        let mut tree = Tree { size, edges: Vec::new() };
        let mut bottom = Edge::default();
        for hash in last {
            bottom.push(*hash);
        }
        if last.len() as u64 != size % TILE_WIDTH {
            return Err(TileError::Outside);
        }
        tree.edges.push(bottom);
        // A row's right-most tile holds the roots of the full tiles at the end of the row below.
        let mut full_below = size / TILE_WIDTH;
        let mut level = 0;
        while full_below > 0 {
            let mut edge = Edge::default();
            for n in full_below - full_below % TILE_WIDTH..full_below {
                let tile = read(level, n).map_err(TileError::Read)?;
                let (hashes, []) = tile.as_ref().as_chunks::<32>() else { return Err(TileError::Short { level, n }) };
                if hashes.len() as u64 != TILE_WIDTH {
                    return Err(TileError::Short { level, n });
                }
                edge.push(perfect_root(hashes));
            }
            tree.edges.push(edge);
            full_below /= TILE_WIDTH;
            level += 1;
        }
        Ok(tree)
    }

    /// Appends a leaf by its hash; returns the tiles it fills, bottom row first (almost always none).
    pub fn append(&mut self, leaf_hash: Hash) -> Vec<FullTile> {
        let mut full = Vec::new();
        let mut carry = Some(leaf_hash);
        let mut level = 0u8;
        while let Some(hash) = carry.take() {
            if self.edges.len() == usize::from(level) {
                self.edges.push(Edge::default());
            }
            let Some(edge) = self.edges.get_mut(usize::from(level)) else { break };
            carry = edge.push(hash);
            if carry.is_some() {
                let n = self.size >> (TILE_HEIGHT * (u32::from(level) + 1));
                let mut bytes = Box::new([0; TILE_BYTES]);
                for (to, hash) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(edge.hashes()) {
                    *to = *hash;
                }
                full.push(FullTile { level, n, bytes });
                *edge = Edge::default();
            }
            level += 1;
        }
        self.size += 1;
        full
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the leaves so far, from the complete subtrees, smallest first.
    pub fn root(&self) -> Hash {
        let peaks = self.edges.iter().flat_map(Edge::peaks);
        peaks.copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
    }

    /// Each row's right-most tile, which is not full and not stored, bottom row first.
    pub fn right_edge(&self) -> Vec<Edge> {
        self.edges.clone()
    }

    /// The hashes of a row's right-most tile, which is not full and not stored. Its place in the row is `size >> 8 (level + 1)`.
    pub fn partial_tile(&self, level: u8) -> &[Hash] {
        self.edges.get(usize::from(level)).map_or(&[], Edge::hashes)
    }
}

/// Root over a power of two of hashes, pair by pair.
fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or(EMPTY_ROOT)
}

/// Root over the 256 hashes of a full tile, which stands in the row above; `None` if these bytes are not one.
pub fn root_of_full_tile(tile: &[u8]) -> Option<Hash> {
    (tile.len() == TILE_BYTES).then(|| perfect_root(tile.as_chunks::<32>().0))
}

/// The largest power of two below `n` (> 1): where RFC 6962 splits a list of `n`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Root over leaf hashes that lie in memory.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => EMPTY_ROOT,
        [hash] => *hash,
        _ => {
            let (left, right) = halves(hashes);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// `PATH` of RFC 6962 among leaf hashes that lie in memory, sibling of the leaf first; `None` outside of them.
pub fn path_of(index: usize, hashes: &[Hash]) -> Option<Vec<Hash>> {
    let (mut index, mut hashes) = (index, hashes);
    if index >= hashes.len() {
        return None;
    }
    let mut path = Vec::new();
    while hashes.len() > 1 {
        let (left, right) = halves(hashes);
        if index < left.len() {
            path.push(root_of(right));
            hashes = left;
        } else {
            path.push(root_of(left));
            (index, hashes) = (index - left.len(), right);
        }
    }
    path.reverse();
    Some(path)
}

/// As RFC 6962 splits two hashes or more.
fn halves(hashes: &[Hash]) -> (&[Hash], &[Hash]) {
    hashes.split_at(usize::try_from(split(hashes.len() as u64)).unwrap_or(hashes.len()).min(hashes.len()))
}

/// Tiles as one proof sees them: each is read once.
struct Tiles<R, T> {
    read: R,
    seen: Vec<(u8, u64, T)>,
}

impl<E, T: Tile, R: FnMut(u8, u64) -> Result<T, E>> Tiles<R, T> {
    /// `MTH(D[from..to])`, as RFC 6962 splits it.
    fn range_root(&mut self, from: u64, to: u64) -> Result<Hash, TileError<E>> {
        let n = to - from;
        if n.is_power_of_two() && from.is_multiple_of(n) {
            return self.perfect(n.ilog2(), from / n);
        }
        let middle = from + split(n);
        Ok(node_hash(&self.range_root(from, middle)?, &self.range_root(middle, to)?))
    }

    /// Root of the complete subtree of this height at this place among those of its height.
    fn perfect(&mut self, height: u32, place: u64) -> Result<Hash, TileError<E>> {
        #[expect(clippy::cast_possible_truncation, reason = "heights are below 64")]
        let level = (height / TILE_HEIGHT) as u8;
        let height = height % TILE_HEIGHT;
        let n = place >> (TILE_HEIGHT - height);
        let at = match self.seen.iter().position(|(l, m, _)| (*l, *m) == (level, n)) {
            Some(at) => at,
            None => {
                self.seen.push((level, n, (self.read)(level, n).map_err(TileError::Read)?));
                self.seen.len() - 1
            }
        };
        let within = usize::try_from(place - (n << (TILE_HEIGHT - height))).unwrap_or(usize::MAX);
        self.seen.get(at).and_then(|(_, _, tile)| tile.subtree(height, within)).ok_or(TileError::Short { level, n })
    }
}

/// Root of the first `size` leaves. `read` gives tile (level, n), full or with at least the hashes that a tree of `size` leaves has there.
pub fn root_at<E, T: Tile>(size: u64, read: impl FnMut(u8, u64) -> Result<T, E>) -> Result<Hash, TileError<E>> {
    if size == 0 { Ok(EMPTY_ROOT) } else { Tiles { read, seen: Vec::new() }.range_root(0, size) }
}

/// `PATH(index, D[size])` of RFC 6962, section 2.1.1, sibling of the leaf first. Tiles as for [`root_at`].
pub fn inclusion_proof<E, T: Tile>(index: u64, size: u64, read: impl FnMut(u8, u64) -> Result<T, E>) -> Result<Vec<Hash>, TileError<E>> {
    if index >= size {
        return Err(TileError::Outside);
    }
    let mut tiles = Tiles { read, seen: Vec::new() };
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(tiles.range_root(middle, to)?);
            to = middle;
        } else {
            proof.push(tiles.range_root(from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// `PROOF(old, D[new])` of RFC 6962, section 2.1.2; empty if `old` is 0 or equals `new`. Tiles as for [`root_at`], of the new tree.
pub fn consistency_proof<E, T: Tile>(old: u64, new: u64, read: impl FnMut(u8, u64) -> Result<T, E>) -> Result<Vec<Hash>, TileError<E>> {
    if old > new {
        return Err(TileError::Outside);
    }
    let mut tiles = Tiles { read, seen: Vec::new() };
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, new);
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(tiles.range_root(middle, to)?);
            to = middle;
        } else {
            proof.push(tiles.range_root(from, middle)?);
            from = middle;
        }
    }
    // The old tree's last complete subtree; left out where it is the old tree itself, whose root the verifier has.
    if from != 0 {
        proof.push(tiles.range_root(from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that `leaf_hash` is leaf `index` of the tree with this size and root (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf_hash: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place % 2 == 0 && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place /= 2;
        last /= 2;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the old tree is the beginning of the new one (RFC 9162, section 2.1.4.2). The empty tree begins every tree.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root && (old > 0 || *old_root == EMPTY_ROOT);
    }
    if old == 0 {
        return proof.is_empty() && *old_root == EMPTY_ROOT;
    }
    let mut hashes = proof.iter();
    let start = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(start) = start else { return false };
    let (mut place, mut last) = (old - 1, new - 1);
    while place % 2 == 1 {
        place /= 2;
        last /= 2;
    }
    let (mut old_hash, mut new_hash) = (*start, *start);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if place % 2 == 1 || place == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while place % 2 == 0 && place != 0 {
                place /= 2;
                last /= 2;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        place /= 2;
        last /= 2;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}
