//! RocksDB, opened and tuned in one place.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::Duration;

use rocksdb::backup::{BackupEngine, BackupEngineOptions, RestoreOptions};
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, DBCompressionType, DBRecoveryMode,
    Direction, Env, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::growth::{self, Growth};
use super::inventory::Inventory;
use super::journal;
use super::{Access, RawRow, StoreError, StoreSizes, Stretch};
use crate::ledger::files::read_bounded;
use crate::ledger::tables::{self, Table as _};
use crate::limits::{SCAN_PAGE_ROWS, SCOUR_EVERY_MS, SCOUR_TRIES, STRETCH_BYTES};

/// The open database. It is closed and opened again when the disk gave trouble, and readers wait meanwhile.
pub(super) struct Rocks {
    /// Held for one read or write, or for one page of a scan; for writing only while the database is opened again.
    db: RwLock<Option<DB>>,
    /// Shared for as long as a copy is made or files are cleaned, which may be minutes. Whoever would open the database again asks for it first and does not
    /// wait, because from the moment somebody waits to write `db` nobody reads it.
    held: RwLock<()>,
    directory: PathBuf,
    sizes: StoreSizes,
    access: Access,
    cache: Cache,
    absent: Vec<&'static str>,
    changes: Vec<StoreError>,
    growth: Growth,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks").field("directory", &self.directory).field("access", &self.access).finish_non_exhaustive()
    }
}

/// The database while it is read or written.
struct Open<'a>(RwLockReadGuard<'a, Option<DB>>);

impl Open<'_> {
    fn db(&self) -> &DB {
        match self.0.as_ref() {
            Some(db) => db,
            None => unreachable!("only an open database is handed out"),
        }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        match self.db().cf_handle(name) {
            Some(family) => family,
            None => unreachable!("column family {name} is opened with the database"),
        }
    }
}

impl Rocks {
    /// Whether there is anything of a database. One that has lost the file it is opened by is no empty directory, in which a new one could be made.
    pub(super) fn exists(directory: &Path) -> bool {
        let Ok(entries) = std::fs::read_dir(directory.join("db")) else { return false };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name == CURRENT || name.starts_with(MANIFEST) || name.ends_with(".sst")
        })
    }

    pub(super) fn was_closed(directory: &Path) -> bool {
        Inventory::exists(directory)
    }

    pub(super) fn open(directory: &Path, sizes: StoreSizes, access: Access) -> Result<Rocks, StoreError> {
        let path = directory.join("db");
        let (mut there, mut missing, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        if access == Access::Create {
            std::fs::create_dir_all(&path).map_err(|error| StoreError::File { path: path.clone(), error })?;
        } else {
            if access == Access::Examine {
                if is_in_use(directory) {
                    return Err(StoreError::InUse(directory.into()));
                }
                changes = Inventory::changes(directory)?;
            } else {
                // While another process opens it, its files change under our eyes, which is no damage.
                Inventory::check(directory).map_err(|error| if is_in_use(directory) { StoreError::InUse(directory.into()) } else { error })?;
            }
            let manifest = manifest(&path)?;
            if !Inventory::exists(directory) {
                growth::check(directory, &manifest)?;
            }
            if !Inventory::exists(directory) || !changes.is_empty() {
                journal::check(&manifest)?;
                for log in logs(&path)? {
                    journal::check(&log)?;
                }
            }
            there = DB::list_cf(&Options::default(), &path).map_err(|error| StoreError::Opening { manifest: manifest.clone(), error })?;
            for name in tables::NAMES.iter().filter(|name| !there.iter().any(|family| family == *name)) {
                let dispensable = tables::is_derived(name) && access == Access::Write || tables::made(name).is_some();
                if access != Access::Examine && !dispensable {
                    return Err(StoreError::TableMissing { manifest, table: name });
                }
                missing.push(*name);
            }
        }
        if access == Access::Write {
            // From here on the files change.
            Inventory::remove(directory)?;
        }
        let cache = Cache::new_hyper_clock_cache(sizes.block_cache, 0);
        if !missing.is_empty() && access == Access::Write {
            let db = open(directory, sizes, access, &cache, &there)?;
            let underived: Vec<&str> = missing.iter().copied().filter(|name| !tables::is_derived(name)).collect();
            not_lost(&db, &path, &underived)?;
            mark_to_be_rebuilt(&db, &std::mem::take(&mut missing))?;
        }
        let present: Vec<&str> = tables::NAMES.into_iter().filter(|name| !missing.contains(name)).collect();
        let db = match open(directory, sizes, access, &cache, &present) {
            // A file that was changed is the likelier cause, and the message names it.
            Err(_) if !changes.is_empty() => return Err(changes.swap_remove(0)),
            opened => opened?,
        };
        if access == Access::Write {
            // Whoever closed it a moment ago may have written one since.
            Inventory::remove(directory)?;
        }
        let growth = Growth::new(directory);
        match access {
            Access::Create | Access::Write => {
                mark_as_made(&db)?;
                growth.note(|| manifest(&path))?;
            }
            Access::Look => not_lost(&db, &path, &missing)?,
            // One that an older program did not make is nothing to report.
            Access::Examine => missing.retain(|name| tables::made(name).is_none() || is_made(&db, name)),
        }
        Ok(Rocks {
            db: RwLock::new(Some(db)),
            held: RwLock::default(),
            directory: directory.into(),
            sizes,
            access,
            cache,
            absent: missing,
            changes,
            growth,
        })
    }

    fn read(&self) -> Result<Open<'_>, StoreError> {
        let guard = self.db.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() { Ok(Open(guard)) } else { Err(StoreError::Closed("it could not be opened again yet".into())) }
    }

    /// The database for a read that may take minutes.
    fn read_for_long(&self) -> Result<(RwLockReadGuard<'_, ()>, Open<'_>), StoreError> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        Ok((held, self.read()?))
    }

    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let _alone = match self.held.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Held),
        };
        let mut guard = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Two handles on one directory are not possible, so the old one goes first.
        *guard = None;
        match open(&self.directory, self.sizes, self.access, &self.cache, &tables::NAMES) {
            Ok(db) => {
                *guard = Some(db);
                Ok(())
            }
            Err(error) => {
                // Reads go on from what is there.
                *guard = open(&self.directory, self.sizes, Access::Look, &self.cache, &tables::NAMES).ok();
                Err(error)
            }
        }
    }

    pub(super) fn absent(&self) -> &[&'static str] {
        &self.absent
    }

    pub(super) fn changes(&self) -> &[StoreError] {
        &self.changes
    }

    pub(super) fn get<R>(&self, table: &str, key: &[u8], decode: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, StoreError> {
        let open = self.read()?;
        let Some(family) = open.db().cf_handle(table) else { return Ok(None) };
        Ok(open.db().get_pinned_cf(family, key)?.map(|bytes| decode(&bytes)))
    }

    pub(super) fn get_many<R>(&self, table: &str, keys: &[Vec<u8>], decode: impl Fn(&[u8]) -> R) -> Result<Vec<Option<R>>, StoreError> {
        let open = self.read()?;
        let rows = open.db().batched_multi_get_cf(open.family(table), keys, false);
        rows.into_iter().map(|row| Ok(row?.map(|bytes| decode(&bytes)))).collect()
    }

    /// At most [`SCAN_PAGE_ROWS`] rows from `from` on; none of a table that is missing.
    pub(super) fn page(&self, table: &str, from: &[u8]) -> Result<Vec<RawRow>, StoreError> {
        let open = self.read()?;
        let Some(family) = open.db().cf_handle(table) else { return Ok(Vec::new()) };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        let rows = open.db().iterator_cf_opt(family, options, IteratorMode::From(from, Direction::Forward));
        Ok(rows.take(SCAN_PAGE_ROWS).collect::<Result<_, _>>()?)
    }

    /// The rows from `from` on and before `until`, as many as fit; none of a table that is missing.
    pub(super) fn stretch(&self, table: &str, from: &[u8], until: Option<&[u8]>, stretch: &mut Stretch) -> Result<(), StoreError> {
        let open = self.read()?;
        let Some(family) = open.db().cf_handle(table) else { return Ok(()) };
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(STRETCH_BYTES);
        if let Some(until) = until {
            options.set_iterate_upper_bound(until);
        }
        let mut rows = open.db().raw_iterator_cf_opt(family, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if !stretch.push(key, value) {
                return Ok(());
            }
            rows.next();
        }
        Ok(rows.status()?)
    }

    pub(super) fn get_raw(&self, table: &str, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, StoreError>> {
        let open = match self.read() {
            Ok(open) => open,
            Err(error) => {
                let reason = error.to_string();
                return keys.iter().map(|_| Err(StoreError::Closed(reason.clone()))).collect();
            }
        };
        let Some(family) = open.db().cf_handle(table) else { return keys.iter().map(|_| Ok(None)).collect() };
        let rows = open.db().batched_multi_get_cf(family, keys, true);
        // One file that cannot be opened fails all keys of a batch, whether they are in it or not.
        let alone = |key: &Vec<u8>| open.db().get_pinned_cf(family, key);
        let rows = rows.into_iter().zip(keys).map(|(row, key)| row.or_else(|_| alone(key)));
        rows.map(|row| Ok(row?.map(|bytes| bytes.to_vec()))).collect()
    }

    /// The last row, or the last one before `key`.
    pub(super) fn before(&self, table: &str, key: Option<&[u8]>) -> Result<Option<RawRow>, StoreError> {
        let open = self.read()?;
        let Some(family) = open.db().cf_handle(table) else { return Ok(None) };
        let mode = key.map_or(IteratorMode::End, |key| IteratorMode::From(key, Direction::Reverse));
        let mut rows = open.db().iterator_cf(family, mode);
        Ok(rows.find(|row| !matches!((row, key), (Ok((at, _)), Some(key)) if **at == *key)).transpose()?)
    }

    pub(super) fn put(&self, batch: &mut WriteBatch, table: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        batch.put_cf(self.read()?.family(table), key, value);
        Ok(())
    }

    pub(super) fn delete(&self, batch: &mut WriteBatch, table: &str, key: &[u8]) -> Result<(), StoreError> {
        batch.delete_cf(self.read()?.family(table), key);
        Ok(())
    }

    pub(super) fn clear(&self, batch: &mut WriteBatch, table: &str) -> Result<(), StoreError> {
        // No key is longer than 32 bytes.
        batch.delete_range_cf(self.read()?.family(table), &[][..], &[0xff; 33][..]);
        Ok(())
    }

    pub(super) fn write(&self, batch: WriteBatch, durable: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        self.read()?.db().write_opt(batch, &options)?;
        if durable { self.growth.note(|| manifest(&self.directory.join("db"))) } else { Ok(()) }
    }

    pub(super) fn table_bytes(&self, table: &str) -> u64 {
        let bytes = |open: &Open<'_>| open.db().property_int_value_cf(open.db().cf_handle(table)?, "rocksdb.total-sst-files-size").ok().flatten();
        self.read().ok().as_ref().and_then(bytes).unwrap_or(0)
    }

    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let (_held, open) = self.read_for_long()?;
        for name in tables::NAMES {
            open.db().flush_cf(open.family(name))?;
            open.db().compact_range_cf::<&[u8], &[u8]>(open.family(name), None, None);
        }
        Ok(())
    }

    pub(super) fn scour(&self, table: &str, key: &[u8]) -> Result<(), StoreError> {
        let (_held, open) = self.read_for_long()?;
        let path = self.directory.join("db");
        // A journal is removed once every family has written out what is in it, so all have to, whether they knew the row or not.
        let journals = logs(&path)?;
        for name in tables::NAMES {
            open.db().flush_cf(open.family(name))?;
        }
        let covers = |file: &rocksdb::LiveFile| {
            let bounds = file.start_key.as_deref().zip(file.end_key.as_deref());
            file.column_family_name == table && bounds.is_some_and(|(first, last)| first <= key && key <= last)
        };
        let files = open.db().live_files()?;
        let tables: Vec<PathBuf> = files.iter().filter(|file| covers(file)).map(|file| path.join(file.name.trim_start_matches('/'))).collect();
        let mut options = CompactOptions::default();
        // Otherwise a table at the bottom that nothing newer lies over any more would stay as it is.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        open.db().compact_range_cf_opt(open.family(table), Some(key), Some(key), &options);
        self.growth.note(|| manifest(&path))?;
        // Whoever was reading when the tables were replaced keeps the old ones for as long as a page or a stretch takes.
        for _ in 0..SCOUR_TRIES {
            if !journals.iter().chain(&tables).any(|file| file.exists()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(SCOUR_EVERY_MS));
        }
        match journals.iter().chain(&tables).find(|file| file.exists()) {
            Some(file) => Err(StoreError::Lingering(file.display().to_string())),
            None => Ok(()),
        }
    }

    pub(super) fn back_up(&self, to: &Path) -> Result<u32, StoreError> {
        let (_held, open) = self.read_for_long()?;
        let mut engine = backup_engine(to)?;
        engine.create_new_backup_flush(open.db(), true)?;
        let newest = engine.get_backup_info().into_iter().map(|info| info.backup_id).max();
        let number = newest.ok_or_else(|| StoreError::Closed("the backup is not there after it was made".into()))?;
        engine.verify_backup(number)?;
        Ok(number)
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        let guard = self.db.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = guard.take() else { return };
        if self.access.reads_only() {
            return;
        }
        // With nothing left in the WAL, what is in the files is all there is, and any change to them can be told.
        let flushed = tables::NAMES.iter().filter_map(|name| db.cf_handle(name)).try_for_each(|family| db.flush_cf(family));
        drop(db);
        if flushed.is_ok() {
            // Without an inventory the next start does what it does after a crash: it relies on RocksDB's own checksums and the lock record.
            drop(Inventory::write(&self.directory));
        }
        if is_in_use(&self.directory) {
            // Whoever opened it since changes the files, and after a crash of theirs this inventory would speak of damage where there is none.
            drop(Inventory::remove(&self.directory));
        }
    }
}

pub(super) fn is_in_use(directory: &Path) -> bool {
    let Ok(lock) = std::fs::metadata(directory.join("db").join("LOCK")) else { return false };
    let inode = format!(":{}", std::os::unix::fs::MetadataExt::ino(&lock));
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| line.contains("POSIX") && line.split_whitespace().any(|word| word.ends_with(&inode)))
}

/// Whether a table of [`tables::LATER`] was made in this database once.
fn is_made(db: &DB, table: &str) -> bool {
    let (Some(meta), Some(mark)) = (db.cf_handle(tables::Meta::NAME), tables::made(table)) else { return false };
    db.get_pinned_cf(meta, tables::Meta::key(&mark)).is_ok_and(|row| row.is_some())
}

/// Whether none of the tables that are missing was there before: an empty one must never pass for one that was lost.
fn not_lost(db: &DB, path: &Path, missing: &[&'static str]) -> Result<(), StoreError> {
    match missing.iter().find(|name| is_made(db, name)) {
        Some(table) => Err(StoreError::TableMissing { manifest: manifest(path)?, table }),
        None => Ok(()),
    }
}

/// Says of the tables of [`tables::LATER`] that they are there now.
fn mark_as_made(db: &DB) -> Result<(), StoreError> {
    let Some(meta) = db.cf_handle(tables::Meta::NAME) else { unreachable!("a database without the table meta is not opened") };
    let mut batch = WriteBatch::default();
    for mark in tables::LATER.into_iter().filter(|table| !is_made(db, table)).filter_map(tables::made) {
        batch.put_cf(meta, tables::Meta::key(&mark), []);
    }
    if batch.is_empty() {
        return Ok(());
    }
    let mut options = WriteOptions::default();
    options.set_sync(true);
    Ok(db.write_opt(batch, &options)?)
}

/// Says that these tables are to be rebuilt, before they are made: an empty table must never pass for a complete one.
fn mark_to_be_rebuilt(db: &DB, missing: &[&str]) -> Result<(), StoreError> {
    let Some(meta) = db.cf_handle(tables::Meta::NAME) else { unreachable!("a database without the table meta is not opened") };
    let mut batch = WriteBatch::default();
    // One that an older program did not make has nothing to be rebuilt from.
    let lost = missing.iter().filter(|name| tables::made(name).is_none() || is_made(db, name));
    for watermark in lost.filter_map(|name| tables::watermark(name)) {
        batch.put_cf(meta, tables::Meta::key(&watermark), 0u64.to_be_bytes());
    }
    let mut options = WriteOptions::default();
    options.set_sync(true);
    Ok(db.write_opt(batch, &options)?)
}

fn open(directory: &Path, sizes: StoreSizes, access: Access, cache: &Cache, names: &[impl AsRef<str>]) -> Result<DB, StoreError> {
    let path = directory.join("db");
    let mut options = Options::default();
    options.create_if_missing(access == Access::Create);
    options.create_missing_column_families(!access.reads_only());
    options.set_max_total_wal_size(sizes.wal);
    // What was synced before the first unreadable record is kept; whether that is all that was acknowledged, the lock record tells.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_background_jobs(2);
    options.set_max_open_files(-1);
    options.set_keep_log_file_num(4);
    options.set_bytes_per_sync(1 << 20);
    // A table whose own index is damaged is then found to be so when it is read, and the others can be read.
    options.set_paranoid_checks(access != Access::Examine);
    let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name.as_ref(), family_options(name.as_ref(), cache)));
    let opened = match access {
        Access::Look | Access::Examine => DB::open_cf_descriptors_read_only(&options, &path, families, false),
        Access::Create | Access::Write => DB::open_cf_descriptors(&options, &path, families),
    };
    opened.map_err(|error| {
        if error.kind() == rocksdb::ErrorKind::IOError && LOCKED.iter().any(|words| error.as_ref().contains(words)) {
            return StoreError::InUse(directory.into());
        }
        let suspects = if error.kind() == rocksdb::ErrorKind::Corruption && !error.as_ref().contains(TABLE) { suspects(&path) } else { Vec::new() };
        match (manifest(&path), suspects.is_empty()) {
            (Ok(manifest), true) => StoreError::Opening { manifest, error },
            (Ok(_), false) => StoreError::Tables { names: suspects.join(", "), directory: path.clone(), error },
            (Err(_), _) => StoreError::Rocks(error),
        }
    })
}

/// The WAL, file by file.
fn logs(db: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> std::io::Result<Vec<PathBuf>> { std::fs::read_dir(db)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = list().map_err(|error| StoreError::File { path: db.into(), error })?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    Ok(paths)
}

/// What names of tables end with.
const TABLE: &str = ".sst";

/// Tables that cannot be read, found by opening the database with every check put off that can be. RocksDB blames the manifest for them.
fn suspects(path: &Path) -> Vec<String> {
    let mut options = Options::default();
    options.set_paranoid_checks(false);
    // As few as there can be, so that tables are opened when they are read.
    options.set_max_open_files(1);
    let Ok(families) = DB::list_cf(&options, path) else { return Vec::new() };
    let families = families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let Ok(db) = DB::open_cf_descriptors_read_only(&options, path, families, false) else { return Vec::new() };
    let unreadable = |file: &rocksdb::LiveFile| {
        let family = db.cf_handle(&file.column_family_name);
        family.zip(file.start_key.as_ref()).is_some_and(|(family, key)| db.get_pinned_cf(family, key).is_err())
    };
    db.live_files().unwrap_or_default().iter().filter(|file| unreadable(file)).map(|file| file.name.trim_start_matches('/').to_owned()).collect()
}

/// Names the manifest.
const CURRENT: &str = "CURRENT";
/// What names of manifests begin with; a number follows.
const MANIFEST: &str = "MANIFEST-";
/// [`CURRENT`] holds one name.
const CURRENT_BYTES_MAX: usize = 64;

/// The file that lists all others. RocksDB names a wrong [`CURRENT`] by what is not found behind it, if at all.
fn manifest(db: &Path) -> Result<PathBuf, StoreError> {
    let current = db.join(CURRENT);
    let damaged = |how| StoreError::Damaged { path: current.clone(), how };
    let bytes = read_bounded(&current, CURRENT_BYTES_MAX).map_err(|error| StoreError::File { path: current.clone(), error })?;
    let text = String::from_utf8(bytes.ok_or(damaged("has disappeared"))?).unwrap_or_default();
    let is_manifest = |name: &&str| name.strip_prefix(MANIFEST).is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
    let manifest = db.join(text.strip_suffix('\n').filter(is_manifest).ok_or(damaged("names no manifest"))?);
    if manifest.exists() {
        Ok(manifest)
    } else {
        Err(StoreError::Damaged { path: manifest, how: "has disappeared, or CURRENT beside it is not the newest one" })
    }
}

/// How RocksDB says that this process, or another one, has the database open.
const LOCKED: [&str; 2] = ["lock hold by current process", "While lock file"];

/// Point-read tables get a bloom filter (worth four times on absent keys); log tables are appended in order and get larger blocks.
fn family_options(name: &str, cache: &Cache) -> Options {
    let point_read = [tables::Invoices::NAME, tables::Counts::NAME, tables::Callers::NAME, tables::AnswerHashes::NAME].contains(&name);
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
    if point_read {
        // Most of what is asked for is not among the newest rows, and searching those for it costs as much as a block: 0.6 MiB, about 25 bits a row.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.01);
    }
    options.set_max_write_buffer_number(3);
    options
}

/// One backup, as RocksDB keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupFiles {
    /// Its number, ascending.
    pub number: u32,
    /// When it was made, seconds since 1970.
    pub time_s: i64,
    /// What restoring it takes, bytes.
    pub bytes: u64,
}

fn backup_engine(directory: &Path) -> Result<BackupEngine, StoreError> {
    Ok(BackupEngine::open(&BackupEngineOptions::new(directory)?, &Env::new()?)?)
}

/// The backups in a directory, oldest first.
pub fn backups(directory: &Path) -> Result<Vec<BackupFiles>, StoreError> {
    let engine = backup_engine(directory)?;
    let mut backups: Vec<BackupFiles> =
        engine.get_backup_info().into_iter().map(|info| BackupFiles { number: info.backup_id, time_s: info.timestamp, bytes: info.size }).collect();
    backups.sort_by_key(|backup| backup.number);
    Ok(backups)
}

/// Removes all backups but the newest `keep`, and the files that only they have.
pub fn purge(directory: &Path, keep: usize) -> Result<(), StoreError> {
    Ok(backup_engine(directory)?.purge_old_backups(keep)?)
}

/// Puts the database of a backup into `directory/db`, which must be empty. Every file's checksum is compared on the way.
pub fn restore(from: &Path, number: u32, directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("db");
    std::fs::create_dir_all(&path).map_err(|error| StoreError::File { path: path.clone(), error })?;
    let options = RestoreOptions::default();
    Ok(backup_engine(from)?.restore_from_backup(&path, &path, &options, number)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_it_is_copied_it_is_not_opened_again_and_whoever_reads_does_not_wait() {
        let root = tempfile::tempdir().expect("a directory");
        let sizes = StoreSizes { block_cache: 1 << 20, wal: 1 << 20 };
        let rocks = Rocks::open(root.path(), sizes, Access::Create).expect("opened");
        let copying = rocks.read_for_long().expect("open");
        let error = rocks.reopen().expect_err("it is held");
        assert!(matches!(error, StoreError::Held) && error.is_trouble(), "tried again later: {error}");
        assert!(rocks.get(tables::Meta::NAME, b"any", <[u8]>::to_vec).expect("readable").is_none());
        drop(copying);
        rocks.reopen().expect("opened again");
    }
}
