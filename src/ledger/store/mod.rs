//! The typed tables over whatever holds them: RocksDB in a directory, or the simulated disk of the tests.

mod growth;
mod inventory;
mod journal;
mod rocks;
#[cfg(feature = "faults")]
pub mod simulated;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::tables::{self, Table};
use super::value::ValueError;
use crate::limits::{RESUME_PROBE_BYTES, SCAN_PAGE_ROWS};
use rocks::Rocks;

/// Key bytes and value of a row.
pub(super) type Row<T> = (Box<[u8]>, <T as Table>::Value);

/// A row as it is stored.
pub(super) type RawRow = (Box<[u8]>, Box<[u8]>);

/// What can go wrong below the tables.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("{0} is in use by another process; ask its server instead (--server URL)")]
    InUse(PathBuf),
    /// The directory holds no ledger.
    #[error("{0} holds no ledger; create one with `fapiao keys create --data {0}`")]
    Absent(PathBuf),
    /// The directory already holds a ledger.
    #[error("{0} already holds a ledger")]
    Exists(PathBuf),
    /// A lock record lies where a new ledger's would.
    #[error("{0} exists: it is the lock record of a ledger that was here; if that ledger is gone for good, remove it by hand")]
    LockExists(PathBuf),
    /// A file is not as it was when the ledger was closed.
    #[error("{path} {how} since the ledger was closed; restore it, or restore the ledger from a backup")]
    Changed {
        /// Which file.
        path: PathBuf,
        /// In what way.
        how: &'static str,
    },
    /// A file that RocksDB begins with is not what it must be.
    #[error("{path} {how}; restore it, or restore the ledger from a backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What about it.
        how: &'static str,
    },
    /// A table is not there, and cannot or may not be derived from the others now.
    #[error("{manifest} does not know the table {table}; restore it, or restore the ledger from a backup")]
    TableMissing {
        /// What lists the database's tables.
        manifest: PathBuf,
        /// Column family.
        table: &'static str,
    },
    /// RocksDB refuses, for instance because a checksum is wrong or the disk is full.
    #[error("RocksDB: {0}")]
    Rocks(#[from] rocksdb::Error),
    /// RocksDB does not open the database; it does not always say because of which file.
    #[error("the database that {manifest} describes does not open: {error}")]
    Opening {
        /// What lists the database's files.
        manifest: PathBuf,
        /// What RocksDB says.
        error: rocksdb::Error,
    },
    /// RocksDB does not open the database, because of a table that it does not name.
    #[error("{directory}: of the tables {names} one or more cannot be read: {error}")]
    Tables {
        /// The database.
        directory: PathBuf,
        /// Their files.
        names: String,
        /// What RocksDB says.
        error: rocksdb::Error,
    },
    /// The database is being opened again after trouble with the disk, and is not there yet.
    #[error("the database is closed after trouble with the disk: {0}")]
    Closed(String),
    /// The database cannot be opened again yet: that would break off what copies it or cleans its files.
    #[error("the database is being copied or cleaned, and is opened again once that is done")]
    Held,
    /// Files of the database that something reads for long are still there.
    #[error("{0} and perhaps others hold what was erased and are still read; ask again")]
    Lingering(String),
    /// A row is not what its table says.
    #[error("table {table}, key {key}: {error}")]
    Value {
        /// Column family.
        table: &'static str,
        /// Key, in hex.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// A file beside the database.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The simulated disk does what it was told to.
    #[cfg(feature = "faults")]
    #[error("simulated disk: {0}")]
    Simulated(simulated::Fault),
}

impl StoreError {
    /// Whether the disk is to blame, so that the same may succeed once the cause is gone, rather than what is written on it.
    pub fn is_trouble(&self) -> bool {
        match self {
            StoreError::Rocks(_)
            | StoreError::Opening { .. }
            | StoreError::Closed(_)
            | StoreError::Held
            | StoreError::Lingering(_)
            | StoreError::File { .. } => true,
            #[cfg(feature = "faults")]
            StoreError::Simulated(fault) => *fault != simulated::Fault::Checksum,
            StoreError::InUse(_)
            | StoreError::Absent(_)
            | StoreError::Exists(_)
            | StoreError::LockExists(_)
            | StoreError::Changed { .. }
            | StoreError::Damaged { .. }
            | StoreError::Tables { .. }
            | StoreError::TableMissing { .. }
            | StoreError::Value { .. } => false,
        }
    }
}

/// Sizes that an operator may choose. Memory is the sum of these plus what the process itself needs.
#[derive(Clone, Copy, Debug)]
pub struct StoreSizes {
    /// Cache of uncompressed blocks, bytes.
    pub block_cache: usize,
    /// WAL kept at most, bytes: bounds how long a restart replays.
    pub wal: u64,
}

impl Default for StoreSizes {
    fn default() -> Self {
        StoreSizes { block_cache: 256 << 20, wal: 64 << 20 }
    }
}

/// Where a ledger lives.
#[derive(Clone, Debug)]
pub struct Home {
    /// The data directory.
    pub directory: PathBuf,
    /// What holds it: the file system, or the simulated disk of the tests.
    pub files: Files,
}

impl From<PathBuf> for Home {
    fn from(directory: PathBuf) -> Home {
        Home { directory, files: Files::System }
    }
}

impl Home {
    /// Writes, syncs and removes a file in the data directory and one beside the lock record: whether the disk takes anything again.
    pub(super) fn probe(&self, lock: &Path) -> Result<(), StoreError> {
        let mut beside = lock.as_os_str().to_owned();
        beside.push(".probe");
        for path in [self.directory.join("probe"), beside.into()] {
            self.files.probe(&path, RESUME_PROBE_BYTES).map_err(|error| StoreError::File { path, error })?;
        }
        Ok(())
    }
}

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A new one; an existing one is refused.
    Create,
    /// To read and write.
    Write,
    /// To look only: nothing on disk changes, and another process may have it open.
    Look,
    /// To look at what may be damaged: as [`Access::Look`], but a file that was changed or a derived table that is missing is no reason not to open,
    /// and nobody may have it open for writing.
    Examine,
}

impl Access {
    /// Whether rows are only read.
    fn reads_only(self) -> bool {
        matches!(self, Access::Look | Access::Examine)
    }
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    medium: Medium,
    home: Home,
}

#[derive(Debug)]
enum Medium {
    Rocks(Box<Rocks>),
    #[cfg(feature = "faults")]
    Simulated(simulated::Disk),
}

/// Runs the same expression on whatever medium there is.
macro_rules! on {
    ($store:expr, $medium:ident => $run:expr) => {
        match &$store.medium {
            Medium::Rocks($medium) => $run,
            #[cfg(feature = "faults")]
            Medium::Simulated($medium) => $run,
        }
    };
}

impl Store {
    /// Opens the database in `home`. Derived tables that are missing are marked to be rebuilt, then made, empty.
    pub fn open(home: &Home, sizes: StoreSizes, access: Access) -> Result<Store, StoreError> {
        match (Store::exists(home), access) {
            (true, Access::Create) => return Err(StoreError::Exists(home.directory.clone())),
            (false, Access::Write | Access::Look | Access::Examine) => return Err(StoreError::Absent(home.directory.clone())),
            _ => {}
        }
        let medium = match &home.files {
            Files::System => Medium::Rocks(Box::new(Rocks::open(&home.directory, sizes, access)?)),
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => Medium::Simulated(disk.opened()?),
        };
        Ok(Store { medium, home: home.clone() })
    }

    /// Whether a database was made in `home`, whatever has become of it.
    pub fn exists(home: &Home) -> bool {
        match &home.files {
            Files::System => Rocks::exists(&home.directory),
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => disk.has_rows(),
        }
    }

    /// Whether the database was closed and is as it was then. If not, RocksDB recovers it when it is opened for writing.
    pub fn was_closed(home: &Home) -> bool {
        match &home.files {
            Files::System => Rocks::was_closed(&home.directory),
            #[cfg(feature = "faults")]
            Files::Simulated(_) => true,
        }
    }

    /// Whether a process, this one or another, has the database open for writing: somebody holds the lock on RocksDB's file `LOCK`.
    pub fn is_in_use(home: &Home) -> bool {
        rocks::is_in_use(&home.directory)
    }

    /// Closes and opens the database, which is how RocksDB gets over an error of the disk. Readers wait meanwhile. If it cannot be opened for
    /// writing it is opened for reading, and the error is returned.
    pub fn reopen(&self) -> Result<(), StoreError> {
        on!(self, medium => medium.reopen())
    }

    /// Files that are not as they were when the database was closed; only of one that was opened to be examined.
    pub fn changes(&self) -> &[StoreError] {
        match &self.medium {
            Medium::Rocks(rocks) => rocks.changes(),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => &[],
        }
    }

    /// Tables that are not there; only of a database that was opened to be examined.
    pub fn absent(&self) -> &[&'static str] {
        match &self.medium {
            Medium::Rocks(rocks) => rocks.absent(),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => &[],
        }
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.home.directory
    }

    /// Where it lives.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The row under `key`.
    pub fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StoreError> {
        let key = T::key(key);
        let decoded = on!(self, medium => medium.get(T::NAME, &key, T::decode))?;
        decoded.transpose().map_err(|error| value_error::<T>(&key, error))
    }

    /// The rows under `keys`, in their order. `keys` should be sorted: rows that share a block are then read once.
    pub fn get_many<T: Table>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, StoreError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(T::key).collect();
        let rows = on!(self, medium => medium.get_many(T::NAME, &keys, T::decode))?;
        keys.iter().zip(rows).map(|(key, row)| row.transpose().map_err(|error| value_error::<T>(key, error))).collect()
    }

    /// Whether there is a row under `key`.
    pub fn has<T: Table>(&self, key: &T::Key) -> Result<bool, StoreError> {
        Ok(on!(self, medium => medium.get(T::NAME, &T::key(key), |_| ()))?.is_some())
    }

    /// The rows from `key` on, in key order. Reads ahead; does not fill the cache. Rows written meanwhile may or may not be among them.
    pub fn scan<T: Table>(&self, from: &T::Key) -> Scan<'_, T> {
        Scan::new(self, T::key(from))
    }

    /// As [`Store::scan`], from the first row.
    pub fn scan_all<T: Table>(&self) -> Scan<'_, T> {
        Scan::new(self, Vec::new())
    }

    /// The rows of a table from the key `from` on and before `until`, undecoded, as many as fit: into `stretch`, in place of what was there.
    /// Those before a row that cannot be read are there, and the error is in it.
    pub fn stretch(&self, table: &'static str, from: &[u8], until: Option<&[u8]>, stretch: &mut Stretch) {
        stretch.clear();
        if until.is_some_and(|until| until <= from) {
            return;
        }
        if let Err(error) = on!(self, medium => medium.stretch(table, from, until, stretch)) {
            stretch.end = StretchEnd::Broken(error);
        }
    }

    /// The rows under `keys`, undecoded, in their order; each may be unreadable by itself. `keys` should be sorted.
    pub fn get_raw(&self, table: &'static str, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, StoreError>> {
        on!(self, medium => medium.get_raw(table, keys))
    }

    /// The last row.
    pub fn last<T: Table>(&self) -> Result<Option<Row<T>>, StoreError> {
        self.read_row::<T>(on!(self, medium => medium.before(T::NAME, None))?)
    }

    /// The last row before `key`.
    pub fn before<T: Table>(&self, key: &T::Key) -> Result<Option<Row<T>>, StoreError> {
        let key = T::key(key);
        self.read_row::<T>(on!(self, medium => medium.before(T::NAME, Some(&key)))?)
    }

    /// The last row, or the last one before `key`, undecoded.
    pub fn before_raw(&self, table: &'static str, key: Option<&[u8]>) -> Result<Option<RawRow>, StoreError> {
        on!(self, medium => medium.before(table, key))
    }

    fn read_row<T: Table>(&self, row: Option<RawRow>) -> Result<Option<Row<T>>, StoreError> {
        let Some((key, bytes)) = row else { return Ok(None) };
        let value = T::decode(&bytes).map_err(|error| value_error::<T>(&key, error))?;
        Ok(Some((key, value)))
    }

    /// A write that is not yet anything.
    pub fn batch(&self) -> Batch<'_> {
        let writes = match &self.medium {
            Medium::Rocks(_) => Writes::Rocks(rocksdb::WriteBatch::default()),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => Writes::Simulated(Vec::new()),
        };
        Batch { store: self, writes, broken: None }
    }

    /// Bytes of live SST files per table, for measuring.
    pub fn table_bytes(&self) -> Vec<(&'static str, u64)> {
        let bytes = |name: &'static str| match &self.medium {
            Medium::Rocks(rocks) => rocks.table_bytes(name),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => 0,
        };
        tables::NAMES.iter().map(|name| (*name, bytes(name))).collect()
    }

    /// Writes memtables out and compacts everything: before measuring sizes, never needed for correctness.
    pub fn compact(&self) -> Result<(), StoreError> {
        match &self.medium {
            Medium::Rocks(rocks) => rocks.compact(),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => Ok(()),
        }
    }

    /// Has no file of the database hold any longer what stood under `key` before its row was last written: neither the WAL nor a table.
    pub fn scour<T: Table>(&self, key: &T::Key) -> Result<(), StoreError> {
        match &self.medium {
            Medium::Rocks(rocks) => rocks.scour(T::NAME, &T::key(key)),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => Ok(()),
        }
    }

    /// Copies what is new into a directory of backups, consistent as of one moment, while reads and writes go on. Returns the backup's number.
    pub fn back_up(&self, to: &Path) -> Result<u32, StoreError> {
        match &self.medium {
            Medium::Rocks(rocks) => rocks.back_up(to),
            #[cfg(feature = "faults")]
            Medium::Simulated(_) => Err(StoreError::Simulated(simulated::Fault::Unsupported)),
        }
    }
}

pub use rocks::{BackupFiles, backups, purge, restore};

/// Rows of a table that lie next to each other, in one piece of memory.
pub(super) struct Stretch {
    bytes: Vec<u8>,
    /// Where each key and each value ends in `bytes`.
    ends: Vec<(usize, usize)>,
    /// At least one row, and then as many as fit into so many bytes.
    room: usize,
    end: StretchEnd,
}

/// Why a stretch ends where it does.
pub(super) enum StretchEnd {
    /// There is no further row.
    Last,
    /// No further row fits.
    Full,
    /// The next row cannot be read.
    Broken(StoreError),
}

impl Stretch {
    /// Without rows, and with room for so many bytes of them.
    pub(super) fn new(room: usize) -> Stretch {
        Stretch { bytes: Vec::new(), ends: Vec::new(), room, end: StretchEnd::Last }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.end = StretchEnd::Last;
    }

    /// Adds a row; `false` once nothing more fits.
    fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.bytes.extend_from_slice(key);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((end, self.bytes.len()));
        let more = self.bytes.len() < self.room;
        self.end = if more { StretchEnd::Last } else { StretchEnd::Full };
        more
    }

    /// Key and value of a row, by its place from 0.
    pub(super) fn row(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let (key_end, end) = *self.ends.get(at)?;
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| *end);
        Some((self.bytes.get(begin..key_end)?, self.bytes.get(key_end..end)?))
    }

    /// Key of the last row.
    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.row(self.ends.len().checked_sub(1)?).map(|(key, _)| key)
    }

    /// Why it ends.
    pub(super) fn end(&self) -> &StretchEnd {
        &self.end
    }
}

/// The rows of a table in key order, read a page at a time, so that the database is never held for longer than a page.
pub struct Scan<'a, T: Table> {
    store: &'a Store,
    /// Where the next page begins; `None` after the last one.
    next: Option<Vec<u8>>,
    page: VecDeque<RawRow>,
    table: std::marker::PhantomData<fn() -> T>,
}

impl<'a, T: Table> Scan<'a, T> {
    fn new(store: &'a Store, from: Vec<u8>) -> Scan<'a, T> {
        Scan { store, next: Some(from), page: VecDeque::new(), table: std::marker::PhantomData }
    }

    /// The next row as it is stored, undecoded.
    pub fn next_raw(&mut self) -> Option<Result<RawRow, StoreError>> {
        if self.page.is_empty() {
            let from = self.next.take()?;
            match on!(self.store, medium => medium.page(T::NAME, &from)) {
                Ok(page) => self.page = page.into(),
                Err(error) => return Some(Err(error)),
            }
            if self.page.len() == SCAN_PAGE_ROWS
                && let Some((key, _)) = self.page.back()
            {
                // The smallest key after the last one.
                self.next = Some([key, &[0][..]].concat());
            }
        }
        self.page.pop_front().map(Ok)
    }
}

impl<T: Table> Iterator for Scan<'_, T> {
    type Item = Result<Row<T>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next_raw()?;
        Some(row.and_then(|(key, bytes)| match T::decode(&bytes) {
            Ok(value) => Ok((key, value)),
            Err(error) => Err(value_error::<T>(&key, error)),
        }))
    }
}

/// Rows to be written together or not at all.
pub struct Batch<'a> {
    store: &'a Store,
    writes: Writes,
    /// Why a row could not even be put in: said when it is committed.
    broken: Option<StoreError>,
}

enum Writes {
    Rocks(rocksdb::WriteBatch),
    #[cfg(feature = "faults")]
    Simulated(Vec<simulated::Write>),
}

impl Batch<'_> {
    /// Adds or replaces a row.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        self.put_bytes(T::NAME, T::key(key), &T::encode(value));
    }

    /// Adds or replaces a row whose value has a layout of its own, without copying it first.
    pub fn put_raw<T: Table<Value = Vec<u8>>>(&mut self, key: &T::Key, value: &[u8]) {
        self.put_bytes(T::NAME, T::key(key), value);
    }

    /// Adds or replaces a row under the bytes of its key.
    pub fn put_as<T: Table>(&mut self, key: &[u8], value: &T::Value) {
        self.put_bytes(T::NAME, key.to_vec(), &T::encode(value));
    }

    fn put_bytes(&mut self, table: &'static str, key: Vec<u8>, value: &[u8]) {
        match (&mut self.writes, &self.store.medium) {
            (Writes::Rocks(writes), Medium::Rocks(rocks)) => {
                if let Err(error) = rocks.put(writes, table, &key, value) {
                    self.broken.get_or_insert(error);
                }
            }
            #[cfg(feature = "faults")]
            (Writes::Simulated(writes), _) => writes.push(simulated::Write::Put(table, key, value.to_vec())),
            #[cfg(feature = "faults")]
            (Writes::Rocks(_), Medium::Simulated(_)) => unreachable!("a batch is made for its store"),
        }
    }

    /// Removes a row, if it is there.
    pub fn delete<T: Table>(&mut self, key: &T::Key) {
        let key = T::key(key);
        match (&mut self.writes, &self.store.medium) {
            (Writes::Rocks(writes), Medium::Rocks(rocks)) => {
                if let Err(error) = rocks.delete(writes, T::NAME, &key) {
                    self.broken.get_or_insert(error);
                }
            }
            #[cfg(feature = "faults")]
            (Writes::Simulated(writes), _) => writes.push(simulated::Write::Delete(T::NAME, key)),
            #[cfg(feature = "faults")]
            (Writes::Rocks(_), Medium::Simulated(_)) => unreachable!("a batch is made for its store"),
        }
    }

    /// Removes every row of a table.
    pub fn clear(&mut self, table: &'static str) {
        match (&mut self.writes, &self.store.medium) {
            (Writes::Rocks(writes), Medium::Rocks(rocks)) => {
                if let Err(error) = rocks.clear(writes, table) {
                    self.broken.get_or_insert(error);
                }
            }
            #[cfg(feature = "faults")]
            (Writes::Simulated(writes), _) => writes.push(simulated::Write::Clear(table)),
            #[cfg(feature = "faults")]
            (Writes::Rocks(_), Medium::Simulated(_)) => unreachable!("a batch is made for its store"),
        }
    }

    /// Writes all rows; with `durable`, returns only after the WAL is on disk.
    pub fn commit(self, durable: bool) -> Result<(), StoreError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        match (self.writes, &self.store.medium) {
            (Writes::Rocks(writes), Medium::Rocks(rocks)) => rocks.write(writes, durable),
            #[cfg(feature = "faults")]
            (Writes::Simulated(writes), Medium::Simulated(disk)) => disk.write(writes, durable),
            #[cfg(feature = "faults")]
            (Writes::Rocks(_) | Writes::Simulated(_), _) => unreachable!("a batch is made for its store"),
        }
    }
}

fn value_error<T: Table>(key: &[u8], error: ValueError) -> StoreError {
    StoreError::Value { table: T::NAME, key: data_encoding::HEXLOWER.encode(key), error }
}
