//! A disk in memory that breaks by seed: it loses, tears, reorders and flips what was written, lies about fsync, fails, fills up and crashes at any
//! step. Only in test builds.
//!
//! It keeps RocksDB's contract, not its files: a batch is a record of a log; what a process wrote it reads back at once; after a crash the synced
//! records and some beginning of the others are there; a row carries a checksum, so that a flipped bit is an error and not another value. Told to,
//! it breaks that contract as well: [`Disk::set_lying`] and [`Disk::set_tearing`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{RawRow, StoreError};
use crate::crypto::hash::sha256;
use crate::limits::SCAN_PAGE_ROWS;

/// What the disk says is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The machine is gone; nothing happens any more until [`Disk::crash`].
    #[error("crashed")]
    Crashed,
    /// EIO.
    #[error("input/output error")]
    Io,
    /// ENOSPC.
    #[error("no space left on device")]
    NoSpace,
    /// As RocksDB: after a failed write nothing is written until the database is opened again.
    #[error("not written, because an earlier write failed")]
    Broken,
    /// A bit of a row was flipped. The row's table is the file.
    #[error("block checksum mismatch")]
    Checksum,
    /// Not simulated.
    #[error("not simulated")]
    Unsupported,
}

/// A change of rows.
#[derive(Clone, Debug)]
pub enum Write {
    /// Adds or replaces.
    Put(&'static str, Vec<u8>, Vec<u8>),
    /// Removes.
    Delete(&'static str, Vec<u8>),
    /// Removes all rows of a table.
    Clear(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    bytes: Vec<u8>,
    /// Of the bytes as they were written.
    sum: u64,
}

type Rows = BTreeMap<(&'static str, Vec<u8>), Stored>;

/// What a file holds, and whether that would survive a crash as it is.
type Content = (Vec<u8>, bool);

#[derive(Clone, Debug, Default)]
struct File {
    durable: Option<Content>,
    /// Renamed to this name, and the directory not yet synced.
    renamed: Option<Content>,
}

#[derive(Clone, Debug)]
struct State {
    random: u64,
    /// What would survive a crash for certain.
    base: Rows,
    /// Records that a crash may take, oldest first.
    log: Vec<Vec<Write>>,
    /// A record whose write failed: it may turn up again when the database is opened.
    limbo: Option<Vec<Write>>,
    /// What a process reads: base and log.
    view: Rows,
    files: BTreeMap<PathBuf, File>,
    steps: u64,
    crash_at: Option<u64>,
    fail_at: Option<u64>,
    fail_read: bool,
    full: bool,
    lying: bool,
    tearing: bool,
    dead: bool,
    broken: bool,
}

/// The disk. Clones are handles on the same one; [`Disk::image`] makes another.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk; equal seeds break alike.
    pub fn new(seed: u64) -> Disk {
        let state = State {
            random: seed,
            base: Rows::new(),
            log: Vec::new(),
            limbo: None,
            view: Rows::new(),
            files: BTreeMap::new(),
            steps: 0,
            crash_at: None,
            fail_at: None,
            fail_read: false,
            full: false,
            lying: false,
            tearing: false,
            dead: false,
            broken: false,
        };
        Disk(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of everything, as a backup of the whole machine, that breaks by another seed.
    pub fn image(&self, seed: u64) -> Disk {
        let mut state = self.state().clone();
        state.random = seed;
        Disk(Arc::new(Mutex::new(state)))
    }

    /// Puts the rows of another disk in place of its own and leaves the files alone: an older copy of the data directory is restored.
    pub fn restore_rows(&self, from: &Disk) {
        let rows = from.state().view.clone();
        let mut state = self.state();
        (state.base, state.view) = (rows.clone(), rows);
        state.log.clear();
        state.limbo = None;
    }

    /// Steps (writes, syncs, renames) so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// The machine goes down at this many steps from now: in the middle of that step.
    pub fn crash_in(&self, steps: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.steps + steps.max(1));
    }

    /// One step fails with EIO, this many steps from now.
    pub fn fail_in(&self, steps: u64) {
        let mut state = self.state();
        state.fail_at = Some(state.steps + steps.max(1));
    }

    /// The next read of a row fails with EIO.
    pub fn fail_next_read(&self) {
        self.state().fail_read = true;
    }

    /// Whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether fsync claims what it did not do.
    pub fn set_lying(&self, lying: bool) {
        self.state().lying = lying;
    }

    /// Whether a crash may keep a part of a batch.
    pub fn set_tearing(&self, tearing: bool) {
        self.state().tearing = tearing;
    }

    /// Whether the machine is down.
    pub fn is_down(&self) -> bool {
        self.state().dead
    }

    /// What a power cut leaves behind, and a machine that is up again.
    pub fn crash(&self) {
        let mut state = self.state();
        let mut log = std::mem::take(&mut state.log);
        log.extend(state.limbo.take());
        let kept = state.below(log.len() as u64 + 1);
        let mut records = log.into_iter();
        for _ in 0..kept {
            records.next().unwrap_or_default().into_iter().for_each(|write| apply(&mut state.base, write));
        }
        if let Some(torn) = records.next().filter(|_| state.tearing) {
            let part = state.below(torn.len() as u64 + 1);
            torn.into_iter().zip(0..part).for_each(|(write, _)| apply(&mut state.base, write));
        }
        state.view = state.base.clone();
        let mut files = std::mem::take(&mut state.files);
        for file in files.values_mut() {
            let content = match file.renamed.take() {
                Some(renamed) if state.below(2) == 0 => Some(renamed),
                _ => file.durable.take(),
            };
            // What was not synced may be there in part.
            file.durable = content.map(|(mut bytes, synced)| {
                if !synced {
                    let part = state.below(bytes.len() as u64 + 1);
                    bytes.truncate(usize::try_from(part).unwrap_or(usize::MAX));
                }
                (bytes, true)
            });
        }
        state.files = files;
        (state.dead, state.broken, state.crash_at, state.fail_at, state.fail_read) = (false, false, None, None, false);
    }

    /// Flips a bit of a stored row without its checksum; the row is chosen at random. `false` if the table is empty.
    pub fn flip_row(&self, table: &'static str) -> bool {
        let mut state = self.state();
        let keys: Vec<_> = state.base.keys().filter(|(name, _)| *name == table).cloned().collect();
        let Some(key) = keys.get(state.index(keys.len())).cloned() else { return false };
        let length = state.base.get(&key).map_or(0, |stored| stored.bytes.len());
        let (at, bit) = (state.index(length), state.below(8));
        let State { base, view, .. } = &mut *state;
        for rows in [base, view] {
            if let Some(byte) = rows.get_mut(&key).and_then(|stored| stored.bytes.get_mut(at)) {
                *byte ^= 1 << bit;
            }
        }
        length > 0
    }

    /// Flips a bit of a file.
    pub fn flip_file(&self, path: &Path) {
        let mut state = self.state();
        let length = state.files.get(path).and_then(|file| file.durable.as_ref()).map_or(0, |(bytes, _)| bytes.len());
        let (at, bit) = (state.index(length), state.below(8));
        if let Some(byte) = state.files.get_mut(path).and_then(|file| file.durable.as_mut()).and_then(|(bytes, _)| bytes.get_mut(at)) {
            *byte ^= 1 << bit;
        }
    }

    /// Puts a file there, or takes it away.
    pub fn set_file(&self, path: &Path, content: Option<Vec<u8>>) {
        let file = File { durable: content.map(|bytes| (bytes, true)), renamed: None };
        self.state().files.insert(path.into(), file);
    }

    /// The file as a crash at this moment would certainly leave it.
    pub fn durable_file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.files.get(path)?;
        file.durable.as_ref().filter(|(_, synced)| *synced && file.renamed.is_none()).map(|(bytes, _)| bytes.clone())
    }

    /// Hash of all that is on it.
    pub fn digest(&self) -> [u8; 32] {
        let state = self.state();
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for ((table, key), stored) in &state.view {
            parts.push([table.as_bytes(), &[0], key, &[0], &stored.bytes].concat());
        }
        for (path, file) in &state.files {
            let content = file.renamed.as_ref().or(file.durable.as_ref()).map(|(bytes, _)| bytes.clone());
            parts.push([path.as_os_str().as_encoded_bytes(), &[0], &content.unwrap_or_default()].concat());
        }
        let digests: Vec<[u8; 32]> = parts.iter().map(|part| sha256(&[part])).collect();
        sha256(&[digests.as_flattened()])
    }

    /// Every row of a table as a process reads it, for a model that recomputes.
    pub fn rows(&self, table: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let state = self.state();
        let of_table = state.view.iter().filter(|((name, _), _)| *name == table);
        of_table.map(|((_, key), stored)| (key.clone(), stored.bytes.clone())).collect()
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.state().view.is_empty()
    }

    pub(super) fn opened(&self) -> Result<Disk, StoreError> {
        self.reopen()?;
        Ok(self.clone())
    }

    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.dead {
            return Err(StoreError::Simulated(Fault::Crashed));
        }
        if state.full {
            return Err(StoreError::Simulated(Fault::NoSpace));
        }
        state.broken = false;
        if let Some(record) = state.limbo.take()
            && state.below(2) == 0
        {
            record.iter().cloned().for_each(|write| apply(&mut state.view, write));
            state.log.push(record);
        }
        Ok(())
    }

    pub(super) fn get<R>(&self, table: &'static str, key: &[u8], decode: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StoreError> {
        let mut state = self.state();
        state.read()?;
        let stored = state.view.get(&(table, key.to_vec()));
        stored.map(|stored| sound(stored).map(decode)).transpose()
    }

    pub(super) fn get_many<R>(&self, table: &'static str, keys: &[Vec<u8>], decode: impl Fn(&[u8]) -> R) -> Result<Vec<Option<R>>, StoreError> {
        keys.iter().map(|key| self.get(table, key, &decode)).collect()
    }

    pub(super) fn page(&self, table: &'static str, from: &[u8]) -> Result<Vec<RawRow>, StoreError> {
        let mut state = self.state();
        state.read()?;
        let rows = state.view.range((table, from.to_vec())..).take_while(|((name, _), _)| *name == table);
        rows.take(SCAN_PAGE_ROWS).map(|((_, key), stored)| Ok((key.clone().into(), sound(stored)?.into()))).collect()
    }

    pub(super) fn before(&self, table: &'static str, key: Option<&[u8]>) -> Result<Option<RawRow>, StoreError> {
        let mut state = self.state();
        state.read()?;
        let mut rows = state.view.iter().rev().filter(|((name, at), _)| *name == table && key.is_none_or(|key| at.as_slice() < key));
        rows.next().map(|((_, key), stored)| Ok((key.clone().into(), sound(stored)?.into()))).transpose()
    }

    pub(super) fn write(&self, writes: Vec<Write>, durable: bool) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.broken && !state.dead {
            return Err(StoreError::Simulated(Fault::Broken));
        }
        // Written to the log, then synced: either may be the last thing that happens.
        if let Err((fault, effect)) = state.step(true) {
            state.broken = true;
            state.limbo = effect.then_some(writes);
            return Err(StoreError::Simulated(fault));
        }
        if durable && let Err((fault, _)) = state.step(false) {
            state.broken = true;
            state.limbo = Some(writes);
            return Err(StoreError::Simulated(fault));
        }
        writes.iter().cloned().for_each(|write| apply(&mut state.view, write));
        state.log.push(writes);
        if durable && !state.lying {
            let log = std::mem::take(&mut state.log);
            log.into_iter().flatten().for_each(|write| apply(&mut state.base, write));
        }
        Ok(())
    }

    pub(in crate::ledger) fn read_file(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        if state.dead {
            return Err(io::Error::other(Fault::Crashed));
        }
        let file = state.files.get(path);
        Ok(file.and_then(|file| file.renamed.as_ref().or(file.durable.as_ref())).map(|(bytes, _)| bytes.clone()))
    }

    pub(in crate::ledger) fn probe(&self) -> io::Result<()> {
        self.state().step(true).map_err(|(fault, _)| io::Error::other(fault))
    }

    pub(in crate::ledger) fn replace_file(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut state = self.state();
        let failed = |(fault, _): (Fault, bool)| io::Error::other(fault);
        state.step(true).map_err(failed)?;
        if sync {
            state.step(false).map_err(failed)?;
        }
        let content = (bytes.to_vec(), sync && !state.lying);
        let renamed = state.step(false);
        if matches!(renamed, Ok(()) | Err((_, true))) {
            let file = state.files.entry(path.into()).or_default();
            // An earlier rename that was never synced is synced with the directory, or lost with this one.
            if let Some(earlier) = file.renamed.replace(content.clone()) {
                file.durable = Some(earlier);
            }
        }
        renamed.map_err(failed)?;
        if sync {
            state.step(false).map_err(failed)?;
            if !state.lying {
                let file = state.files.entry(path.into()).or_default();
                (file.durable, file.renamed) = (Some(content), None);
            }
        }
        Ok(())
    }
}

impl State {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One thing that the disk does. An error comes with whether it was done all the same.
    fn step(&mut self, grows: bool) -> Result<(), (Fault, bool)> {
        if self.dead {
            return Err((Fault::Crashed, false));
        }
        self.steps += 1;
        if self.crash_at.is_some_and(|at| self.steps >= at) {
            self.dead = true;
            return Err((Fault::Crashed, self.below(2) == 0));
        }
        if self.fail_at.is_some_and(|at| self.steps >= at) {
            self.fail_at = None;
            return Err((Fault::Io, self.below(2) == 0));
        }
        if self.full && grows {
            return Err((Fault::NoSpace, false));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), StoreError> {
        if self.dead {
            return Err(StoreError::Simulated(Fault::Crashed));
        }
        if std::mem::take(&mut self.fail_read) { Err(StoreError::Simulated(Fault::Io)) } else { Ok(()) }
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn sound(stored: &Stored) -> Result<&[u8], StoreError> {
    if sum(&stored.bytes) == stored.sum { Ok(&stored.bytes) } else { Err(StoreError::Simulated(Fault::Checksum)) }
}

fn apply(rows: &mut Rows, write: Write) {
    match write {
        Write::Put(table, key, bytes) => {
            let sum = sum(&bytes);
            rows.insert((table, key), Stored { bytes, sum });
        }
        Write::Delete(table, key) => {
            rows.remove(&(table, key));
        }
        Write::Clear(table) => rows.retain(|(name, _), _| *name != table),
    }
}
