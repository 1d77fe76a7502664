//! The tree a third time, with hashes of its own: which stored tiles and which leaves are those of the signed root.
//!
//! Where a leaf and the tile above it disagree, one of them is damaged. The newest signed root tells which: with the other one it comes out right, and
//! then every checkpoint can still be checked.

use std::collections::HashMap;

use super::Run;
use super::findings::{At, FOREIGN_KEY, UNREADABLE};
use super::layout::{Hash, sha256};
use super::leaves::Survey;
use super::sweep::{Step, Sweep};
use crate::crypto::note::{Checkpoint, Note};
use crate::ledger::store::StoreError;
use crate::ledger::tables::{Heads, Leaves, Table as _, Tiles};
use crate::ledger::value::{self, HeadRecord};

/// Hashes in a full tile.
pub(super) const TILE: u64 = 256;

pub(super) fn leaf_hash(leaf: &[u8; 96]) -> Hash {
    sha256(&[&[0], leaf])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// Root over a power of two of hashes.
pub(super) fn perfect(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node(left, right)).collect();
    }
    row.first().copied().unwrap_or_default()
}

/// The complete subtrees of the leaves so far, from left to right, each with its height.
#[derive(Clone, Default)]
pub(super) struct Peaks(Vec<(u32, Hash)>);

impl Peaks {
    /// Adds a complete subtree on the right.
    pub(super) fn push(&mut self, height: u32, hash: Hash) {
        let (mut height, mut hash) = (height, hash);
        while let Some((_, left)) = self.0.pop_if(|(left, _)| *left == height) {
            hash = node(&left, &hash);
            height += 1;
        }
        self.0.push((height, hash));
    }

    /// Root as RFC 6962 has it.
    pub(super) fn root(&self) -> Hash {
        let hashes = self.0.iter().rev().map(|(_, hash)| *hash);
        hashes.reduce(|right, left| node(&left, &right)).unwrap_or_else(|| sha256(&[]))
    }
}

/// A full tile that is not as the leaves below it.
pub(super) struct Dispute {
    pub(super) n: u64,
    /// Root with the leaves, if all were read; those that were not are taken from the tile.
    pub(super) by_leaves: Option<Hash>,
    /// Root by the tile as it is stored, if it was read.
    pub(super) by_tile: Option<Hash>,
    /// Leaves that were read and are not the tile's, and the tile's hashes in their place.
    pub(super) differing: Vec<(u64, Hash)>,
    /// Leaves that were not read, and the tile's hashes in their place.
    pub(super) filled: Vec<(u64, Hash)>,
}

/// The tree of the log, settled.
pub(super) struct Tree {
    /// Roots of the full tiles on the lowest level.
    tiles: Vec<Hash>,
    /// The subtrees before each part of the log.
    before: Vec<Peaks>,
    /// Hashes of leaves that are damaged or missing, as the signed tree has them.
    instead: HashMap<u64, Hash>,
    /// The first leaf whose hash nothing says.
    pub(super) unknown: Option<u64>,
}

impl Tree {
    /// Puts together what was found below each tile, and reports what does not fit.
    pub(super) fn settle(run: &Run<'_>, surveys: &mut [Survey], newest_root: Option<Hash>) -> Tree {
        let mut tree = Tree { tiles: Vec::new(), before: Vec::new(), instead: HashMap::new(), unknown: None };
        let (mut disputes, mut edge) = (Vec::new(), Vec::new());
        for survey in surveys.iter_mut() {
            tree.tiles.append(&mut survey.tiles);
            disputes.append(&mut survey.disputes);
            edge.append(&mut survey.edge);
        }
        let full = tree.tiles.len() as u64 * TILE;
        let mut by_tiles = if disputes.is_empty() { Vec::new() } else { tree.tiles.clone() };
        for dispute in &disputes {
            let at = usize::try_from(dispute.n).unwrap_or(usize::MAX);
            for (tiles, hash) in [(&mut tree.tiles, dispute.by_leaves), (&mut by_tiles, dispute.by_tile)] {
                if let (Some(tile), Some(hash)) = (tiles.get_mut(at), hash.or(dispute.by_leaves).or(dispute.by_tile)) {
                    *tile = hash;
                }
            }
            if dispute.by_leaves.is_none() && dispute.by_tile.is_none() {
                tree.unknown.get_or_insert(dispute.n * TILE);
            }
        }
        let missing = edge.iter().position(Option::is_none).map(|at| full + at as u64);
        tree.unknown = tree.unknown.into_iter().chain(missing).min();

        let root = |tiles: &[Hash]| {
            let mut peaks = Peaks::default();
            tiles.iter().for_each(|tile| peaks.push(8, *tile));
            edge.iter().flatten().for_each(|leaf| peaks.push(0, *leaf));
            Some(peaks.root())
        };
        let leaves_are_damaged =
            disputes.iter().any(|dispute| !dispute.differing.is_empty()) && root(&tree.tiles) != newest_root && root(&by_tiles) == newest_root;
        if leaves_are_damaged {
            tree.tiles = by_tiles;
        }
        for dispute in disputes {
            tree.instead.extend(dispute.filled);
            if leaves_are_damaged {
                for (index, hash) in dispute.differing {
                    run.findings.add(Leaves::NAME, At::Number(index), "the leaf is not the one in the signed tree");
                    tree.instead.insert(index, hash);
                }
            } else if !dispute.differing.is_empty() {
                report_tile(run, 0, dispute.n);
            }
        }
        let mut peaks = Peaks::default();
        let part = usize::try_from(run.part / TILE).unwrap_or(usize::MAX);
        for tiles in tree.tiles.chunks(part) {
            tree.before.push(peaks.clone());
            tiles.iter().for_each(|tile| peaks.push(8, *tile));
        }
        tree.before.push(peaks);
        tree
    }

    /// The subtrees of the leaves before a part of the log.
    pub(super) fn before(&self, part: usize) -> Peaks {
        self.before.get(part).cloned().unwrap_or_default()
    }

    /// The hash of a leaf as the signed tree has it, where that is not the stored one's.
    pub(super) fn instead_of(&self, index: u64) -> Option<Hash> {
        if self.instead.is_empty() { None } else { self.instead.get(&index).copied() }
    }

    /// Compares the tiles above the lowest level, and looks for rows that no tile of this tree has.
    pub(super) fn check_upper(&self, run: &Run<'_>) -> Result<(), StoreError> {
        let complete = self.unknown.is_none();
        let mut row = self.tiles.clone();
        let mut expected = Vec::new();
        for level in 1u8.. {
            let tiles = row.as_chunks::<256>().0;
            if tiles.is_empty() {
                break;
            }
            expected.extend(tiles.iter().zip(0u64..).map(|(tile, n)| ((level, n), *tile)));
            row = tiles.iter().map(|tile| perfect(tile)).collect();
        }
        let mut expected = expected.into_iter().peekable();
        let lowest = self.tiles.len() as u64;
        let mut stored = Sweep::new(run.store, Tiles::NAME, [&[0][..], &lowest.to_be_bytes()].concat(), None);
        let mut hidden = false;
        while let Some(step) = stored.next()? {
            let (key, tile) = match step {
                Step::Row(key, tile) => (key, tile),
                Step::Gap(gap) => {
                    run.findings.add_with(Tiles::NAME, At::After(gap.after), UNREADABLE, gap.reason);
                    hidden = true;
                    continue;
                }
            };
            let Some((level, n)) = key.split_first().and_then(|(level, n)| Some((*level, u64::from_be_bytes(n.try_into().ok()?)))) else {
                run.findings.add(Tiles::NAME, At::Key(key.to_vec()), FOREIGN_KEY);
                continue;
            };
            while let Some(((level, n), _)) = expected.next_if(|(place, _)| *place < (level, n)) {
                if !hidden {
                    report_tile(run, level, n);
                }
            }
            hidden = false;
            match expected.next_if(|(place, _)| *place == (level, n)) {
                Some((_, hashes)) if complete && hashes.as_flattened() != tile => report_tile(run, level, n),
                Some(_) => {}
                None if run.live => {}
                None => run.findings.add(Tiles::NAME, At::Tile(level, n), "the tile is beyond the newest checkpoint"),
            }
        }
        for ((level, n), _) in expected.filter(|_| !hidden) {
            report_tile(run, level, n);
        }
        Ok(())
    }
}

pub(super) fn report_tile(run: &Run<'_>, level: u8, n: u64) {
    if run.checks(Tiles::NAME) {
        run.findings.add(Tiles::NAME, At::Tile(level, n), "the tile is not that of the leaves");
    }
}

/// The root that the checkpoint of this size states, whoever signed it.
pub(super) fn stated_root(run: &Run<'_>, size: u64) -> Option<Hash> {
    let row = run.store.get_raw(Heads::NAME, &[size.to_be_bytes().to_vec()]).pop()?.ok().flatten()?;
    let head: HeadRecord = value::decode(&row).ok()?;
    let note = Note::parse(&head.note).ok()?;
    Checkpoint::parse(note.text()).ok().map(|checkpoint| checkpoint.root)
}
