//! A disk in memory that breaks by seed: it loses, tears, reorders and flips what was written, lies about fsync, fails, fills up and crashes at any
//! step. Only in test builds.
//!
//! It keeps RocksDB's contract, not its files: a batch is a record of a log; what a process wrote it reads back at once; after a crash the synced
//! records and some beginning of the others are there; opening makes durable what the log still held; a row carries a checksum, so that a flipped
//! bit is an error and not another value. Told to, it breaks that contract as well: [`Disk::set_lying`] and [`Disk::set_tearing`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{RawRow, StoreError, Stretch};
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

/// What the disk does at one time. At each it can fail, fill up or lose its power, with the thing done or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A batch is added to the log.
    Append,
    /// The log is synced.
    Sync,
    /// What the log still held is written into tables as the database is opened.
    Flush,
    /// A temporary file is written.
    Temporary,
    /// The temporary file is synced.
    TemporarySync,
    /// It is renamed to the file it replaces.
    Rename,
    /// A file that is there already is synced.
    FileSync,
    /// The directory is synced.
    DirectorySync,
    /// It is tried whether the disk takes anything.
    Probe,
    /// The directory is said to lie here.
    Settle,
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
    /// Whether this is the directory that was last said to lie here; `None` if none was.
    settled: Option<bool>,
    steps: u64,
    crash_at: Option<u64>,
    /// In the middle of which step the power last went, and whether that step was done.
    crashed: Option<(Step, bool)>,
    fail_at: Option<u64>,
    /// Reads until one fails.
    fail_read: Option<u64>,
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
            settled: None,
            steps: 0,
            crash_at: None,
            crashed: None,
            fail_at: None,
            fail_read: None,
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
        state.settled = state.settled.map(|_| false);
    }

    /// Puts one table of another disk in place of its own, as a copy does that was made file by file while the ledger was written.
    pub fn restore_table(&self, table: &'static str, from: &Disk) {
        let rows: Vec<_> = of_table(&from.state().view, table, None).map(|(key, stored)| (key.clone(), stored.clone())).collect();
        let State { base, view, .. } = &mut *self.state();
        for all in [base, view] {
            all.retain(|(name, _), _| *name != table);
            all.extend(rows.iter().cloned());
        }
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

    /// One read of a row or a file fails with EIO, this many reads from now.
    pub fn fail_read_in(&self, reads: u64) {
        self.state().fail_read = Some(reads.max(1));
    }

    /// Whether a read was made to fail and has not failed yet.
    pub fn is_read_failing(&self) -> bool {
        self.state().fail_read.is_some()
    }

    /// Takes a failing read back that has not failed yet.
    pub fn calm_reads(&self) {
        self.state().fail_read = None;
    }

    /// Whether nothing was made to fail that has not failed yet.
    pub fn is_calm(&self) -> bool {
        let state = self.state();
        state.crash_at.is_none() && state.fail_at.is_none() && state.fail_read.is_none()
    }

    /// Takes back what was made to fail and has not failed yet.
    pub fn calm(&self) {
        let mut state = self.state();
        (state.crash_at, state.fail_at, state.fail_read) = (None, None, None);
    }

    /// Whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether fsync claims what it did not do.
    pub fn set_lying(&self, lying: bool) {
        self.state().lying = lying;
    }

    /// Whether a crash may keep a part of a batch: a beginning, or all but one row.
    pub fn set_tearing(&self, tearing: bool) {
        self.state().tearing = tearing;
    }

    /// Whether the machine is down.
    pub fn is_down(&self) -> bool {
        self.state().dead
    }

    /// In the middle of which step the power last went, if it went during one, and whether that step was done.
    pub fn crashed(&self) -> Option<(Step, bool)> {
        self.state().crashed
    }

    /// What a killed process leaves behind while the machine goes on: whatever it wrote.
    pub fn kill(&self) {
        let mut state = self.state();
        let mut view = state.base.clone();
        state.log.iter().flatten().cloned().for_each(|write| apply(&mut view, write));
        state.view = view;
        state.come_up();
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
            let (lost, all_after) = (state.index(torn.len()), state.below(2) == 0);
            tear(torn, lost, all_after).for_each(|write| apply(&mut state.base, write));
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
        state.come_up();
    }

    /// A power cut that leaves the batch whose write failed, torn in this way; `false` if there is none with so many rows.
    pub fn crash_torn(&self, lost: usize, all_after: bool) -> bool {
        let mut state = self.state();
        let Some(batch) = state.limbo.take().filter(|batch| lost < batch.len()) else { return false };
        tear(batch, lost, all_after).for_each(|write| apply(&mut state.base, write));
        drop(state);
        self.crash();
        true
    }

    /// Flips a bit of a stored row without its checksum; the row is chosen at random. `false` if the table is empty.
    pub fn flip_row(&self, table: &'static str) -> bool {
        let mut state = self.state();
        let keys: Vec<_> = of_table(&state.base, table, None).map(|(key, _)| key.clone()).collect();
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

    /// The file as a process reads it.
    pub fn file(&self, path: &Path) -> Option<Vec<u8>> {
        self.state().visible(path)
    }

    /// What a power cut at this moment could make of the file; `None` for one that is missing or there in part.
    pub fn left_by_power_cut(&self, path: &Path) -> Vec<Option<Vec<u8>>> {
        let state = self.state();
        let Some(File { durable, renamed }) = state.files.get(path) else { return vec![None] };
        let whole = |content: &Option<Content>| content.as_ref().filter(|(_, synced)| *synced).map(|(bytes, _)| bytes.clone());
        std::iter::once(whole(durable)).chain(renamed.is_some().then(|| whole(renamed))).collect()
    }

    /// Hash of all that is on it.
    pub fn digest(&self) -> [u8; 32] {
        let state = self.state();
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for ((table, key), stored) in &state.view {
            parts.push([table.as_bytes(), &[0], key, &[0], &stored.bytes].concat());
        }
        for path in state.files.keys() {
            parts.push([path.as_os_str().as_encoded_bytes(), &[0], &state.visible(path).unwrap_or_default()].concat());
        }
        let digests: Vec<[u8; 32]> = parts.iter().map(|part| sha256(&[part])).collect();
        sha256(&[digests.as_flattened()])
    }

    /// Every row of a table as a process reads it, for a model that recomputes.
    pub fn rows(&self, table: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
        of_table(&self.state().view, table, None).map(|((_, key), stored)| (key.clone(), stored.bytes.clone())).collect()
    }

    /// Whether the directory is the one that was last said to lie here; `None` if none was.
    pub fn settled(&self) -> Option<bool> {
        self.state().settled
    }

    pub(in crate::ledger) fn settle(&self) -> io::Result<()> {
        let mut state = self.state();
        let settled = state.step(Step::Settle);
        // The old word is removed before the new one is written.
        state.settled = matches!(settled, Ok(()) | Err((_, true))).then_some(true);
        settled.map_err(|(fault, _)| io::Error::other(fault))
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
        if let Some(record) = state.limbo.take()
            && state.below(2) == 0
        {
            record.iter().cloned().for_each(|write| apply(&mut state.view, write));
            state.log.push(record);
        }
        let flushed = state.step(Step::Flush);
        if matches!(flushed, Ok(()) | Err((_, true))) {
            state.sync();
        }
        flushed.map_err(|(fault, _)| StoreError::Simulated(fault))?;
        state.broken = false;
        Ok(())
    }

    pub(super) fn get<R>(&self, table: &'static str, key: &[u8], decode: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StoreError> {
        let mut state = self.state();
        state.read().map_err(StoreError::Simulated)?;
        let stored = state.view.get(&(table, key.to_vec()));
        stored.map(|stored| sound(stored).map(decode)).transpose()
    }

    pub(super) fn get_many<R>(&self, table: &'static str, keys: &[Vec<u8>], decode: impl Fn(&[u8]) -> R) -> Result<Vec<Option<R>>, StoreError> {
        keys.iter().map(|key| self.get(table, key, &decode)).collect()
    }

    pub(super) fn page(&self, table: &'static str, from: &[u8]) -> Result<Vec<RawRow>, StoreError> {
        let mut state = self.state();
        state.read().map_err(StoreError::Simulated)?;
        let rows = state.view.range((table, from.to_vec())..).take_while(|((name, _), _)| *name == table);
        rows.take(SCAN_PAGE_ROWS).map(|((_, key), stored)| Ok((key.clone().into(), sound(stored)?.into()))).collect()
    }

    pub(super) fn stretch(&self, table: &'static str, from: &[u8], until: Option<&[u8]>, stretch: &mut Stretch) -> Result<(), StoreError> {
        let mut state = self.state();
        state.read().map_err(StoreError::Simulated)?;
        let rows = state.view.range((table, from.to_vec())..).take_while(|((name, _), _)| *name == table);
        for ((_, key), stored) in rows.take_while(|((_, key), _)| until.is_none_or(|until| key.as_slice() < until)) {
            if !stretch.push(key, sound(stored)?) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn get_raw(&self, table: &'static str, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, StoreError>> {
        keys.iter().map(|key| self.get(table, key, <[u8]>::to_vec)).collect()
    }

    pub(super) fn before(&self, table: &'static str, key: Option<&[u8]>) -> Result<Option<RawRow>, StoreError> {
        let mut state = self.state();
        state.read().map_err(StoreError::Simulated)?;
        let mut rows = of_table(&state.view, table, key);
        rows.next_back().map(|((_, key), stored)| Ok((key.clone().into(), sound(stored)?.into()))).transpose()
    }

    pub(super) fn write(&self, writes: Vec<Write>, durable: bool) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.broken && !state.dead {
            return Err(StoreError::Simulated(Fault::Broken));
        }
        // Written to the log, then synced: either may be the last thing that happens.
        if let Err((fault, effect)) = state.step(Step::Append) {
            state.broken = true;
            state.limbo = effect.then_some(writes);
            return Err(StoreError::Simulated(fault));
        }
        if durable && let Err((fault, effect)) = state.step(Step::Sync) {
            state.broken = true;
            if effect && fault == Fault::Crashed {
                state.log.push(writes);
                state.sync();
            } else {
                state.limbo = Some(writes);
            }
            return Err(StoreError::Simulated(fault));
        }
        writes.iter().cloned().for_each(|write| apply(&mut state.view, write));
        state.log.push(writes);
        if durable {
            state.sync();
        }
        Ok(())
    }

    pub(in crate::ledger) fn read_file(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        state.read().map_err(io::Error::other)?;
        Ok(state.visible(path))
    }

    pub(in crate::ledger) fn probe(&self) -> io::Result<()> {
        self.state().step(Step::Probe).map_err(|(fault, _)| io::Error::other(fault))
    }

    pub(in crate::ledger) fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let failed = |(fault, _): (Fault, bool)| io::Error::other(fault);
        state.step(Step::FileSync).map_err(failed)?;
        let synced = state.step(Step::DirectorySync);
        if !state.lying
            && matches!(synced, Ok(()) | Err((_, true)))
            && let Some(content) = state.visible(path)
        {
            state.files.insert(path.into(), File { durable: Some((content, true)), renamed: None });
        }
        synced.map_err(failed)
    }

    pub(in crate::ledger) fn replace_file(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut state = self.state();
        let failed = |(fault, _): (Fault, bool)| io::Error::other(fault);
        state.step(Step::Temporary).map_err(failed)?;
        if sync {
            state.step(Step::TemporarySync).map_err(failed)?;
        }
        let content = (bytes.to_vec(), sync && !state.lying);
        let renamed = state.step(Step::Rename);
        if matches!(renamed, Ok(()) | Err((_, true))) {
            let file = state.files.entry(path.into()).or_default();
            // An earlier rename that was never synced is synced with the directory, or lost with this one.
            if let Some(earlier) = file.renamed.replace(content.clone()) {
                file.durable = Some(earlier);
            }
        }
        renamed.map_err(failed)?;
        if sync {
            let synced = state.step(Step::DirectorySync);
            if !state.lying && matches!(synced, Ok(()) | Err((_, true))) {
                let file = state.files.entry(path.into()).or_default();
                (file.durable, file.renamed) = (Some(content), None);
            }
            synced.map_err(failed)?;
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

    fn come_up(&mut self) {
        (self.dead, self.broken, self.crash_at, self.fail_at, self.fail_read) = (false, false, None, None, None);
    }

    /// What was written before is durable now, unless the disk lies.
    fn sync(&mut self) {
        if !self.lying {
            let log = std::mem::take(&mut self.log);
            log.into_iter().flatten().for_each(|write| apply(&mut self.base, write));
        }
    }

    fn visible(&self, path: &Path) -> Option<Vec<u8>> {
        let file = self.files.get(path)?;
        file.renamed.as_ref().or(file.durable.as_ref()).map(|(bytes, _)| bytes.clone())
    }

    /// One thing that the disk does. An error comes with whether it was done all the same.
    fn step(&mut self, step: Step) -> Result<(), (Fault, bool)> {
        if self.dead {
            return Err((Fault::Crashed, false));
        }
        self.steps += 1;
        if self.crash_at.is_some_and(|at| self.steps >= at) {
            let effect = self.below(2) == 0;
            (self.dead, self.crashed) = (true, Some((step, effect)));
            return Err((Fault::Crashed, effect));
        }
        if self.fail_at.is_some_and(|at| self.steps >= at) {
            self.fail_at = None;
            return Err((Fault::Io, self.below(2) == 0));
        }
        let takes_space = match step {
            Step::Append | Step::Flush | Step::Temporary | Step::Probe | Step::Settle => true,
            Step::Sync | Step::TemporarySync | Step::Rename | Step::FileSync | Step::DirectorySync => false,
        };
        if self.full && takes_space { Err((Fault::NoSpace, false)) } else { Ok(()) }
    }

    fn read(&mut self) -> Result<(), Fault> {
        if self.dead {
            return Err(Fault::Crashed);
        }
        self.fail_read = match self.fail_read {
            Some(1) => {
                self.fail_read = None;
                return Err(Fault::Io);
            }
            reads => reads.map(|reads| reads - 1),
        };
        Ok(())
    }
}

/// The rows of a table in key order, up to a key.
fn of_table<'a>(
    rows: &'a Rows,
    table: &'static str,
    before: Option<&[u8]>,
) -> impl DoubleEndedIterator<Item = (&'a (&'static str, Vec<u8>), &'a Stored)> {
    // No key is longer than 32 bytes.
    let end = before.map_or_else(|| vec![0xff; 33], <[u8]>::to_vec);
    rows.range((table, Vec::new())..(table, end))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn sound(stored: &Stored) -> Result<&[u8], StoreError> {
    if sum(&stored.bytes) == stored.sum { Ok(&stored.bytes) } else { Err(StoreError::Simulated(Fault::Checksum)) }
}

/// A batch without one of its rows, or without that one and all after it.
fn tear(batch: Vec<Write>, lost: usize, all_after: bool) -> impl Iterator<Item = Write> {
    batch.into_iter().enumerate().filter(move |(at, _)| if all_after { *at < lost } else { *at != lost }).map(|(_, write)| write)
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
