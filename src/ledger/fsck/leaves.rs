//! The first pass over a part of the log: its hashes, its times, and what it says beside plain issues. What the second pass needs to know of the parts
//! before its own.

use std::collections::VecDeque;

use super::Run;
use super::findings::{At, LEAF_MISSING};
use super::history::Gathered;
use super::layout::{Hash, ISSUE, Leaf};
use super::sweep::{Cell, Column, read_many};
use super::tree::{Dispute, TILE, leaf_hash, perfect, report_tile};
use crate::ledger::store::StoreError;
use crate::ledger::tables::{Leaves, Seals, Table as _, Tiles};
use crate::ledger::value;
use crate::limits::FSCK_POINT_READS;

/// What the first pass says of the leaves of one part.
#[derive(Default)]
pub(super) struct Survey {
    /// Leaves that are there.
    pub(super) leaves: u64,
    /// Roots of the full tiles, by the leaves.
    pub(super) tiles: Vec<Hash>,
    pub(super) disputes: Vec<Dispute>,
    /// Hashes of the leaves after the last full tile of the log.
    pub(super) edge: Vec<Option<Hash>>,
    pub(super) gathered: Gathered,
    /// Of the first and the last leaf.
    pub(super) times: Option<(u64, u64)>,
}

/// Looks at the leaves from `from` on and before `until`.
pub(super) fn survey(run: &Run<'_>, from: u64, until: u64) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut leaves = Column::new(run, Leaves::NAME, &[], from, until);
    let mut tiles = Column::new(run, Tiles::NAME, &[0], from / TILE, until.div_ceil(TILE));
    let mut hashes: Vec<Option<Hash>> = Vec::with_capacity(256);
    let mut events = VecDeque::new();
    let mut missing = Missing { run, span: None };
    for index in from..until {
        let leaf = match leaves.row(index)? {
            Cell::Row(bytes) => {
                let leaf = Leaf::of(bytes);
                if leaf.is_none() {
                    run.findings.add(Leaves::NAME, At::Number(index), "a leaf is not 96 bytes long");
                }
                leaf
            }
            Cell::Absent => {
                missing.add(index);
                None
            }
            Cell::Unreadable => None,
        };
        if let Some(leaf) = &leaf {
            survey.leaves += 1;
            let time = leaf.time_ms();
            let (first, last) = *survey.times.get_or_insert((time, time));
            if time < last {
                report_time(run, index);
            }
            survey.times = Some((first, time));
            if leaf.event() != ISSUE {
                events.push_back((index, *leaf));
                if events.len() == FSCK_POINT_READS {
                    gather(run, &mut events, &mut survey.gathered)?;
                }
            }
        }
        hashes.push(leaf.map(|leaf| leaf_hash(&leaf.0)));
        if hashes.len() as u64 == TILE {
            let n = index / TILE;
            survey.tile(run, n, &hashes, tiles.row(n)?);
            hashes.clear();
            run.progress.first(TILE);
        }
    }
    gather(run, &mut events, &mut survey.gathered)?;
    run.progress.first(hashes.len() as u64);
    survey.edge = hashes;
    Ok(survey)
}

pub(super) fn report_time(run: &Run<'_>, index: u64) {
    run.findings.add(Leaves::NAME, At::Number(index), "its time is before that of the leaf before");
}

impl Survey {
    fn tile(&mut self, run: &Run<'_>, n: u64, leaves: &[Option<Hash>], stored: Cell<'_>) {
        let all: Option<Vec<Hash>> = leaves.iter().copied().collect();
        let by_leaves = all.as_deref().map(perfect);
        self.tiles.push(by_leaves.unwrap_or_default());
        let tile = match stored {
            Cell::Row(tile) => match (&all, tile.as_chunks::<32>()) {
                (Some(all), _) if all.as_flattened() == tile => return,
                (_, (hashes, [])) if hashes.len() as u64 == TILE => hashes,
                _ => {
                    report_tile(run, 0, n);
                    &[]
                }
            },
            Cell::Absent => {
                report_tile(run, 0, n);
                &[]
            }
            Cell::Unreadable => &[],
        };
        let mut dispute = Dispute { n, by_leaves, by_tile: None, differing: Vec::new(), filled: Vec::new() };
        if !tile.is_empty() {
            let mut mixed = Vec::with_capacity(leaves.len());
            for ((index, leaf), hash) in (n * TILE..).zip(leaves).zip(tile) {
                match leaf {
                    None => dispute.filled.push((index, *hash)),
                    Some(leaf) if leaf != hash => dispute.differing.push((index, *hash)),
                    Some(_) => {}
                }
                mixed.push(leaf.unwrap_or(*hash));
            }
            (dispute.by_leaves, dispute.by_tile) = (Some(perfect(&mixed)), Some(perfect(tile)));
        }
        if dispute.by_leaves.is_none() || dispute.by_tile.is_some() {
            self.disputes.push(dispute);
        }
    }
}

/// Reads the seals of these leaves and takes in what they say.
fn gather(run: &Run<'_>, events: &mut VecDeque<(u64, Leaf)>, gathered: &mut Gathered) -> Result<(), StoreError> {
    let keys: Vec<_> = events.iter().map(|(index, _)| index.to_be_bytes().to_vec()).collect();
    for ((index, leaf), seal) in events.drain(..).zip(read_many(run.store, Seals::NAME, &keys)?) {
        if let Some(seal) = seal.flatten().and_then(|bytes| value::decode(&bytes).ok()) {
            gathered.take(index, &leaf, &seal);
        }
    }
    Ok(())
}

/// Leaves that are not there, next to each other.
struct Missing<'a> {
    run: &'a Run<'a>,
    span: Option<(u64, u64)>,
}

impl Missing<'_> {
    fn add(&mut self, index: u64) {
        match &mut self.span {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => {
                self.report();
                self.span = Some((index, index));
            }
        }
    }

    fn report(&mut self) {
        if let Some((first, last)) = self.span.take() {
            self.run.findings.add(Leaves::NAME, At::Span(first, last), LEAF_MISSING);
        }
    }
}

impl Drop for Missing<'_> {
    fn drop(&mut self) {
        self.report();
    }
}
