//! RocksDB, opened and tuned in one place, behind the typed tables.

use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteOptions,
};

use super::tables::{self, Table};
use super::value::ValueError;

/// Key bytes and value of a row.
pub(super) type Row<T> = (Box<[u8]>, <T as Table>::Value);

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
    /// RocksDB refuses, for instance because a checksum is wrong or the disk is full.
    #[error("RocksDB: {0}")]
    Rocks(#[from] rocksdb::Error),
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
        StoreSizes { block_cache: 256 << 20, wal: 256 << 20 }
    }
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    db: DB,
    directory: PathBuf,
}

impl Store {
    /// Opens the database in `directory/db`; `create` makes a new one and refuses an existing one, and the other way round.
    pub fn open(directory: &Path, sizes: StoreSizes, create: bool) -> Result<Store, StoreError> {
        let path = directory.join("db");
        match (Store::exists(directory), create) {
            (true, true) => return Err(StoreError::Exists(directory.into())),
            (false, false) => return Err(StoreError::Absent(directory.into())),
            _ => {}
        }
        std::fs::create_dir_all(&path).map_err(|error| StoreError::File { path: path.clone(), error })?;
        let cache = Cache::new_lru_cache(sizes.block_cache);
        let mut options = Options::default();
        options.create_if_missing(create);
        options.create_missing_column_families(create);
        options.set_max_total_wal_size(sizes.wal);
        options.set_max_background_jobs(2);
        options.set_max_open_files(-1);
        options.set_keep_log_file_num(4);
        options.set_bytes_per_sync(1 << 20);
        let families = tables::NAMES.iter().map(|name| ColumnFamilyDescriptor::new(*name, family_options(name, &cache)));
        let db = DB::open_cf_descriptors(&options, &path, families).map_err(|error| {
            if error.as_ref().contains("lock") && error.kind() == rocksdb::ErrorKind::IOError {
                StoreError::InUse(directory.into())
            } else {
                StoreError::Rocks(error)
            }
        })?;
        Ok(Store { db, directory: directory.into() })
    }

    /// Whether a database was made in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join("db").join("CURRENT").exists()
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn family<T: Table>(&self) -> &ColumnFamily {
        match self.db.cf_handle(T::NAME) {
            Some(family) => family,
            None => unreachable!("column family {} is opened with the database", T::NAME),
        }
    }

    /// The row under `key`.
    pub fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StoreError> {
        let key = T::key(key);
        match self.db.get_pinned_cf(self.family::<T>(), &key)? {
            Some(bytes) => T::decode(&bytes).map(Some).map_err(|error| value_error::<T>(&key, error)),
            None => Ok(None),
        }
    }

    /// The rows under `keys`, in their order. `keys` should be sorted: rows that share a block are then read once.
    pub fn get_many<T: Table>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, StoreError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(T::key).collect();
        let rows = self.db.batched_multi_get_cf(self.family::<T>(), &keys, false);
        keys.iter()
            .zip(rows)
            .map(|(key, row)| row?.map(|bytes| T::decode(&bytes).map_err(|error| value_error::<T>(key, error))).transpose())
            .collect()
    }

    /// The rows from `key` on, in key order. Reads ahead; does not fill the cache.
    pub fn scan<'a, T: Table + 'a>(&'a self, from: &T::Key) -> impl Iterator<Item = Result<Row<T>, StoreError>> + use<'a, T> {
        self.scan_bytes::<T>(&T::key(from))
    }

    /// As [`Store::scan`], from the first row.
    pub fn scan_all<'a, T: Table + 'a>(&'a self) -> impl Iterator<Item = Result<Row<T>, StoreError>> + 'a {
        self.scan_bytes::<T>(&[])
    }

    fn scan_bytes<'a, T: Table + 'a>(&'a self, from: &[u8]) -> impl Iterator<Item = Result<Row<T>, StoreError>> + use<'a, T> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        self.db.iterator_cf_opt(self.family::<T>(), options, IteratorMode::From(from, rocksdb::Direction::Forward)).map(|row| {
            let (key, bytes) = row?;
            let value = T::decode(&bytes).map_err(|error| value_error::<T>(&key, error))?;
            Ok((key, value))
        })
    }

    /// The last row.
    pub fn last<T: Table>(&self) -> Result<Option<Row<T>>, StoreError> {
        let Some(row) = self.db.iterator_cf(self.family::<T>(), IteratorMode::End).next() else { return Ok(None) };
        let (key, bytes) = row?;
        let value = T::decode(&bytes).map_err(|error| value_error::<T>(&key, error))?;
        Ok(Some((key, value)))
    }

    /// The last row before `key`.
    pub fn before<T: Table>(&self, key: &T::Key) -> Result<Option<Row<T>>, StoreError> {
        // Backwards from the key, which is itself the first row if it is there.
        let key = T::key(key);
        let rows = self.db.iterator_cf(self.family::<T>(), IteratorMode::From(&key, rocksdb::Direction::Reverse));
        for row in rows.take(2) {
            let (at, bytes) = row?;
            if *at < *key {
                let value = T::decode(&bytes).map_err(|error| value_error::<T>(&at, error))?;
                return Ok(Some((at, value)));
            }
        }
        Ok(None)
    }

    /// A write that is not yet anything.
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, writes: WriteBatch::default() }
    }

    /// Bytes of live SST files and memtables per table, for measuring.
    pub fn table_bytes(&self) -> Vec<(&'static str, u64)> {
        tables::NAMES
            .iter()
            .map(|name| {
                let bytes =
                    self.db.cf_handle(name).and_then(|family| self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size").ok().flatten());
                (*name, bytes.unwrap_or(0))
            })
            .collect()
    }

    /// Writes memtables out and compacts everything: before measuring sizes, never needed for correctness.
    pub fn compact(&self) -> Result<(), StoreError> {
        for name in tables::NAMES {
            if let Some(family) = self.db.cf_handle(name) {
                self.db.flush_cf(family)?;
                self.db.compact_range_cf::<&[u8], &[u8]>(family, None, None);
            }
        }
        Ok(())
    }
}

/// Rows to be written together or not at all.
pub struct Batch<'a> {
    store: &'a Store,
    writes: WriteBatch,
}

impl Batch<'_> {
    /// Adds or replaces a row.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        self.writes.put_cf(self.store.family::<T>(), T::key(key), T::encode(value));
    }

    /// Adds or replaces a row whose value has a layout of its own, without copying it first.
    pub fn put_raw<T: Table<Value = Vec<u8>>>(&mut self, key: &T::Key, value: &[u8]) {
        self.writes.put_cf(self.store.family::<T>(), T::key(key), value);
    }

    /// Writes all rows; with `durable`, returns only after the WAL is on disk.
    pub fn commit(self, durable: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        self.store.db.write_opt(self.writes, &options)?;
        Ok(())
    }
}

fn value_error<T: Table>(key: &[u8], error: ValueError) -> StoreError {
    StoreError::Value { table: T::NAME, key: data_encoding::HEXLOWER.encode(key), error }
}

/// Point-read tables get a bloom filter (worth four times on absent keys); log tables are appended in order and get larger blocks.
fn family_options(name: &str, cache: &Cache) -> Options {
    let point_read = [tables::Invoices::NAME, tables::Counts::NAME].contains(&name);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_format_version(5);
    blocks.set_block_size(if point_read { 4 << 10 } else { 16 << 10 });
    if point_read {
        blocks.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Bodies are ciphertext and tiles are hashes: neither compresses.
    let incompressible = [tables::Bodies::NAME, tables::Tiles::NAME].contains(&name);
    options.set_compression_type(if incompressible { DBCompressionType::None } else { DBCompressionType::Lz4 });
    options.set_write_buffer_size(64 << 20);
    options.set_max_write_buffer_number(3);
    options
}
