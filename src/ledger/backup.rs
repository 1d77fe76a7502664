//! Backups: online, incremental, and restored through the same code that wrote the ledger.
//!
//! RocksDB keeps the files (a table that two backups share is there once, every file with its checksum); beside them lies, for each backup, the
//! signed checkpoint that it is known to hold. The lock record and the place are never part of a backup: a restored ledger does not sign until
//! somebody says that nothing newer exists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{PUBLIC, read_bounded, replace_file};
use super::frame::{self, Entry, Frame};
use super::recovery::{self, Recovered, index_of};
use super::state::{self, StoredRows};
use super::store::{self, Access, Home, Store, StoreError, StoreSizes};
use super::tables::{AnswerHashes, Answers, Audit, Bodies, Callers, Cosigned, Counts, Heads, Invoices, Leaves, Meta, Seals, Table};
use super::{Ledger, LedgerError};
use crate::codec::leaf::Leaf;
use crate::crypto::merkle::{self, Tree};
use crate::crypto::note::{Checkpoint, Note, Origin};
use crate::domain::number::InvoiceId;
use crate::limits::{NOTE_BYTES_MAX, REBUILD_CHUNK};

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its number, ascending.
    pub number: u32,
    /// When it was made, seconds since 1970.
    pub time_s: i64,
    /// What restoring it takes, bytes.
    pub bytes: u64,
    /// The checkpoint that was published before it was begun: it holds that much, and perhaps a little more.
    pub checkpoint: Checkpoint,
    /// The signed note of that checkpoint.
    pub note: String,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// From which backup.
    pub backup: Backup,
    /// The newest checkpoint of the restored ledger.
    pub checkpoint: Checkpoint,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database or a file.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No backup, or not that one.
    #[error("{directory} holds no such backup", directory = .0.display())]
    Absent(PathBuf),
    /// Something lies where the ledger would be restored.
    #[error("{directory} is not empty; restore into a new directory", directory = .0.display())]
    NotEmpty(PathBuf),
    /// The directory holds backups of another log; ours would push them out, and our keys take the place of theirs.
    #[error("{directory} holds backups of another log, {origin}; each ledger has a directory of backups of its own", directory = .directory.display())]
    OtherLog {
        /// The directory of backups.
        directory: PathBuf,
        /// Whose they are.
        origin: Origin,
    },
    /// A backup without a readable checkpoint beside it.
    #[error("{path}: {reason}", path = .path.display())]
    Checkpoint {
        /// The note's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The restored leaves are not those of the checkpoint.
    #[error("the restored ledger does not hold the checkpoint of size {size} that lies beside the backup; use another backup")]
    OtherHistory {
        /// Leaves.
        size: u64,
    },
    /// No checkpoint of that size was ever published.
    #[error("no checkpoint of size {asked} was published; the nearest are {below} and {above}", above = .above.map_or("none".to_owned(), |above| above.to_string()))]
    NoSuchSize {
        /// What was asked for.
        asked: u64,
        /// The largest below.
        below: u64,
        /// The smallest above, if any.
        above: Option<u64>,
    },
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        BackupError::Ledger(error.into())
    }
}

/// RocksDB's part of a directory of backups.
fn files(directory: &Path) -> PathBuf {
    directory.join("db")
}

/// The checkpoint of a backup.
fn note_path(directory: &Path, number: u32) -> PathBuf {
    directory.join("checkpoints").join(number.to_string())
}

impl Ledger {
    /// The backups that a directory holds, if it holds none of another log: where this ledger may be backed up to.
    pub fn own_backups(&self, directory: &Path) -> Result<Vec<Backup>, BackupError> {
        if !files(directory).is_dir() {
            return Ok(Vec::new());
        }
        let backups = backups(directory)?;
        match backups.iter().find(|backup| !self.origins.contains(&backup.checkpoint.origin)) {
            Some(other) => Err(BackupError::OtherLog { directory: directory.into(), origin: other.checkpoint.origin.clone() }),
            None => Ok(backups),
        }
    }

    /// Makes a backup while reads and writes go on, and keeps the newest `keep`. Tables that an earlier backup holds are not copied again.
    pub fn back_up(&self, to: &Path, keep: usize) -> Result<Backup, BackupError> {
        let _alone = self.backing_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.own_backups(to)?;
        for directory in [files(to), to.join("checkpoints")] {
            fs::create_dir_all(&directory).map_err(failed(&directory))?;
        }
        let published = self.published();
        let number = self.store.back_up(&files(to))?;
        let path = note_path(to, number);
        replace_file(&path, published.note.as_bytes(), PUBLIC, true).map_err(failed(&path))?;
        // Only now is it a backup, so only now may another one go.
        let kept = keep_newest(to, keep)?;
        kept.into_iter().find(|backup| backup.number == number).ok_or_else(|| BackupError::Absent(to.into()))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::File { path, error }
}

/// Removes all but the newest `keep` backups. One that was interrupted does not count.
fn keep_newest(directory: &Path, keep: usize) -> Result<Vec<Backup>, BackupError> {
    let complete = backups(directory)?;
    let oldest = complete.get(complete.len().saturating_sub(keep)).map_or(0, |backup| backup.number);
    let newer = store::backups(&files(directory))?.iter().filter(|backup| backup.number >= oldest).count();
    store::purge(&files(directory), newer)?;
    let kept = backups(directory)?;
    let notes = directory.join("checkpoints");
    for note in fs::read_dir(&notes).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed(&notes))? {
        let of_kept = kept.iter().any(|backup| note.file_name().to_str() == Some(&backup.number.to_string()));
        if !of_kept {
            fs::remove_file(note.path()).map_err(failed(&note.path()))?;
        }
    }
    Ok(kept)
}

/// The backups in a directory, oldest first. One without a checkpoint was interrupted and is left out.
pub fn backups(directory: &Path) -> Result<Vec<Backup>, BackupError> {
    if !files(directory).is_dir() {
        return Err(BackupError::Absent(directory.into()));
    }
    let mut backups = Vec::new();
    for store::BackupFiles { number, time_s, bytes } in store::backups(&files(directory))? {
        let path = note_path(directory, number);
        let read = read_bounded(&path, NOTE_BYTES_MAX).map_err(|error| StoreError::File { path: path.clone(), error })?;
        let Some(note) = read else { continue };
        let note = String::from_utf8_lossy(&note).into_owned();
        let checkpoint = Note::parse(&note).and_then(|note| Checkpoint::parse(note.text()));
        let checkpoint = checkpoint.map_err(|error| BackupError::Checkpoint { path, reason: error.to_string() })?;
        backups.push(Backup { number, time_s, bytes, checkpoint, note });
    }
    Ok(backups)
}

/// Restores a backup into a new directory: the newest one, or the numbered one; whole, or as the ledger was when it had `size` leaves. The restored
/// ledger has neither lock record nor place and does not sign until it is adopted or reopened.
pub fn restore(from: &Path, number: Option<u32>, size: Option<u64>, home: &Home, sizes: StoreSizes) -> Result<Restored, BackupError> {
    let directory = &home.directory;
    let is_empty = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_empty {
        return Err(BackupError::NotEmpty(directory.clone()));
    }
    let backups = backups(from)?;
    let chosen = match (number, size) {
        (Some(number), _) => backups.into_iter().find(|backup| backup.number == number),
        // The smallest that is known to hold it, or the newest, which may hold a little more than is known. Those from before the log was reopened
        // may hold what was given up then.
        (None, Some(size)) => backups.last().cloned().map(|newest| {
            let of_this_history = backups.iter().filter(|backup| backup.checkpoint.origin == newest.checkpoint.origin);
            of_this_history.into_iter().find(|backup| backup.checkpoint.size >= size).cloned().unwrap_or(newest)
        }),
        (None, None) => backups.into_iter().next_back(),
    };
    let backup = chosen.ok_or_else(|| BackupError::Absent(from.into()))?;
    let restored = restore_into(from, backup, size, home, sizes);
    if restored.is_err() {
        // The directory was empty before: nothing in it is anybody's but ours. What cannot be removed is in the way of the next attempt, which says so.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            drop(if entry.path().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) });
        }
    }
    restored
}

fn restore_into(from: &Path, backup: Backup, size: Option<u64>, home: &Home, sizes: StoreSizes) -> Result<Restored, BackupError> {
    let directory = &home.directory;
    store::restore(&files(from), backup.number, directory)?;

    let store = Store::open(home, sizes, Access::Write)?;
    let recovered = recovery::recover(&store, None)?;
    holds(&store, &recovered, &backup)?;
    let Some(size) = size.filter(|size| *size != recovered.checkpoint.size) else {
        return Ok(Restored { backup, checkpoint: recovered.checkpoint });
    };
    published_size(&store, size)?;
    let partial = Home::from(directory.join("partial"));
    let shorter = Store::open(&partial, sizes, Access::Create)?;
    copy(&store, &shorter, size)?;
    drop((store, shorter));
    let put_in_place = || -> io::Result<()> {
        let db = directory.join("db");
        fs::remove_dir_all(&db)?;
        fs::rename(partial.directory.join("db"), &db)?;
        for leftover in ["closed", "grown", "partial"] {
            let path = directory.join(leftover);
            match if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) } {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::File::open(directory)?.sync_all()
    };
    put_in_place().map_err(|error| StoreError::File { path: directory.clone(), error })?;
    let store = Store::open(home, sizes, Access::Write)?;
    let checkpoint = recovery::recover(&store, None)?.checkpoint;
    Ok(Restored { backup, checkpoint })
}

/// The restored ledger holds, under a key of its own, what the backup was said to hold.
fn holds(store: &Store, recovered: &Recovered, backup: &Backup) -> Result<(), BackupError> {
    let Backup { checkpoint, note, .. } = backup;
    let Recovered { origins, keys, .. } = recovered;
    let signed = recovery::open_checkpoint(note, origins.at(checkpoint.size), keys, None).is_ok_and(|opened| opened == *checkpoint);
    let there = checkpoint.size <= recovered.checkpoint.size && recovery::root_at(store, checkpoint.size)? == checkpoint.root;
    // Before its keys are in the log, there is nothing that the note could be held against.
    let fresh = checkpoint.size == 0;
    if there && (signed || fresh) { Ok(()) } else { Err(BackupError::OtherHistory { size: checkpoint.size }) }
}

fn published_size(store: &Store, asked: u64) -> Result<(), BackupError> {
    if store.get::<Heads>(&asked)?.is_some() {
        return Ok(());
    }
    let size_of = |row: Option<(Box<[u8]>, _)>| row.map(|(key, _)| index_of(&key, "head")).transpose();
    let below = size_of(store.before::<Heads>(&asked)?)?.unwrap_or(0);
    let above = size_of(store.scan::<Heads>(&asked).next().transpose()?)?;
    Err(BackupError::NoSuchSize { asked, below, above })
}

/// Writes the ledger of `size` leaves again, checkpoint by checkpoint, each as a frame through [`frame::apply`].
fn copy(from: &Store, to: &Store, size: u64) -> Result<(), LedgerError> {
    let mut heads = from.scan_all::<Heads>();
    let mut leaves = from.scan_all::<Leaves>();
    let mut seals = from.scan_all::<Seals>();
    let mut bodies = from.scan_all::<Bodies>().peekable();
    let mut tree = Tree::new();
    let mut at = 0;
    while at <= size {
        let Some(row) = heads.next() else { return Err(LedgerError::broken(at, "the checkpoints end too early".into())) };
        let (key, head) = row?;
        let end = index_of(&key, "head")?;
        if end > size {
            break;
        }
        let mut states = StoredRows::new(to);
        let (mut entries, mut tiles) = (Vec::new(), Vec::new());
        for index in at..end {
            let (Some(leaf), Some(seal)) = (leaves.next().transpose()?, seals.next().transpose()?) else {
                return Err(LedgerError::broken(index, "a leaf or its seal is missing".into()));
            };
            let ((leaf_key, bytes), (seal_key, seal)) = (leaf, seal);
            if *leaf_key != index.to_be_bytes() || *seal_key != index.to_be_bytes() {
                return Err(LedgerError::broken(index, "a leaf or its seal is missing".into()));
            }
            let leaf = Leaf::decode(&bytes).map_err(|error| LedgerError::broken(index, error.to_string()))?;
            let body = match bodies.next_if(|row| !matches!(row, Ok((key, _)) if **key != index.to_be_bytes())) {
                Some(row) => Some(row?.1),
                None => None,
            };
            state::fold(&mut states, index, &leaf, &seal)?;
            tiles.extend(tree.append(merkle::leaf_hash(&bytes)));
            entries.push(Entry { leaf, seal, body });
        }
        let frame = Frame { first_index: at, entries, tiles, note: head.note, root: tree.root(), time_ms: head.time_ms };
        let mut batch = to.batch();
        frame::apply(&frame, states.changed().iter().map(|(id, row)| (*id, row)), &mut batch)?;
        batch.commit(false)?;
        at = end;
        if end == size {
            break;
        }
    }
    if at != size {
        return Err(LedgerError::broken(at, "the checkpoints end too early".into()));
    }
    let mut batch = to.batch();
    batch.put::<Meta>(&recovery::ORIGIN, &from.get::<Meta>(&recovery::ORIGIN)?.unwrap_or_default());
    batch.commit(true)?;
    copy_counts(from, to)?;
    copy_cosigned(from, to, size)?;
    // Neither is in the log, so neither belongs to a size of it.
    copy_table::<Callers>(from, to)?;
    copy_table::<Audit>(from, to)?;
    // Those whose root is given up wait for the next one.
    copy_table::<Answers>(from, to)?;
    copy_table::<AnswerHashes>(from, to)
}

/// Cosignatures are not in the log; they stay with the checkpoints that stay.
fn copy_cosigned(from: &Store, to: &Store, size: u64) -> Result<(), LedgerError> {
    let mut rows = from.scan_all::<Cosigned>().take_while(|row| !matches!(row, Ok((key, _)) if **key > size.to_be_bytes()[..])).peekable();
    while rows.peek().is_some() {
        let mut batch = to.batch();
        for row in rows.by_ref().take(REBUILD_CHUNK) {
            let (key, note) = row?;
            batch.put_as::<Cosigned>(&key, &note);
        }
        batch.commit(true)?;
    }
    Ok(())
}

/// Counts are not in the log; they stay with the invoices that stay.
fn copy_counts(from: &Store, to: &Store) -> Result<(), LedgerError> {
    let mut counts = from.scan_all::<Counts>().peekable();
    while counts.peek().is_some() {
        let mut batch = to.batch();
        for row in counts.by_ref().take(REBUILD_CHUNK) {
            let (key, count) = row?;
            let id = <[u8; InvoiceId::LEN]>::try_from(&*key).ok().and_then(InvoiceId::from_bytes);
            if let Some(id) = id
                && to.get::<Invoices>(&id)?.is_some()
            {
                batch.put::<Counts>(&id, &count);
            }
        }
        batch.commit(true)?;
    }
    Ok(())
}

/// A table that does not follow from the log, row by row as it is.
fn copy_table<T: Table>(from: &Store, to: &Store) -> Result<(), LedgerError> {
    let mut rows = from.scan_all::<T>().peekable();
    while rows.peek().is_some() {
        let mut batch = to.batch();
        for row in rows.by_ref().take(REBUILD_CHUNK) {
            let (key, value) = row?;
            batch.put_as::<T>(&key, &value);
        }
        batch.commit(true)?;
    }
    Ok(())
}
