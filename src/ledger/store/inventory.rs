//! What lay in the database's directory when it was closed, so that a file that was changed, cut or taken away since is named before RocksDB draws
//! its own conclusions from it: a shortened manifest, for one, would make it delete the tables that it no longer knows.
//!
//! There is an inventory only between a clean close and the next opening; after a crash RocksDB's checksums and the lock record have to do.
//!
//! ```text
//! fapiao-inventory/1\n
//! <bytes> <SHA-256 in hex, or - for a table> <name>\n          one a file, by name
//! <SHA-256 of the lines above>\n
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::StoreError;
use crate::crypto::hash::sha256;
use crate::ledger::files::{PUBLIC, replace_file};
use crate::limits::INVENTORY_BYTES_MAX;

const FORMAT: &str = "fapiao-inventory/1";
/// Tables are immutable and every block of them carries a checksum that is compared when it is read.
const TABLE: &str = ".sst";

/// The files that matter, by name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inventory(BTreeMap<String, (u64, Option<[u8; 32]>)>);

impl Inventory {
    fn path(directory: &Path) -> PathBuf {
        directory.join("closed")
    }

    pub(super) fn exists(directory: &Path) -> bool {
        Inventory::path(directory).exists()
    }

    /// Compares the files with the inventory, if there is one.
    pub(super) fn check(directory: &Path) -> Result<(), StoreError> {
        Inventory::changes(directory)?.into_iter().next().map_or(Ok(()), Err)
    }

    /// Every file that is not as the inventory says, if there is one.
    pub(super) fn changes(directory: &Path) -> Result<Vec<StoreError>, StoreError> {
        let path = Inventory::path(directory);
        let failed = |error| StoreError::File { path: path.clone(), error };
        let text = match crate::ledger::files::read_bounded(&path, INVENTORY_BYTES_MAX).map_err(failed)? {
            Some(bytes) => bytes,
            None => return Ok(Vec::new()),
        };
        let Some(Inventory(stated)) = Inventory::parse(&text) else {
            return Ok(vec![StoreError::Changed { path, how: "was damaged" }]);
        };
        let Inventory(there) = Inventory::take(directory)?;
        let changed = |name: &String, how| StoreError::Changed { path: directory.join("db").join(name), how };
        let mut changes = Vec::new();
        for (name, (size, digest)) in &stated {
            match there.get(name) {
                None => changes.push(changed(name, "has disappeared")),
                Some((now, _)) if now != size => changes.push(changed(name, "has another length")),
                Some((_, now)) if now != digest => changes.push(changed(name, "was changed")),
                Some(_) => {}
            }
        }
        let appeared = there.keys().filter(|name| !stated.contains_key(*name));
        changes.extend(appeared.map(|name| changed(name, "has appeared")));
        Ok(changes)
    }

    /// Takes the inventory away, durably: from now on the files change.
    pub(super) fn remove(directory: &Path) -> Result<(), StoreError> {
        let path = Inventory::path(directory);
        let removed = match fs::remove_file(&path) {
            Ok(()) => fs::File::open(directory).and_then(|directory| directory.sync_all()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|error| StoreError::File { path, error })
    }

    /// Writes the inventory of a database that was just closed.
    pub(super) fn write(directory: &Path) -> Result<(), StoreError> {
        let path = Inventory::path(directory);
        let text = Inventory::take(directory)?.encode();
        replace_file(&path, text.as_bytes(), PUBLIC, true).map_err(|error| StoreError::File { path, error })
    }

    fn take(directory: &Path) -> Result<Inventory, StoreError> {
        let db = directory.join("db");
        let mut files = BTreeMap::new();
        let mut read = || -> io::Result<()> {
            for entry in fs::read_dir(&db)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // RocksDB's own diary and its mutex say nothing about the data.
                if name.starts_with("LOG") || name == "LOCK" || !entry.file_type()?.is_file() {
                    continue;
                }
                let size = entry.metadata()?.len();
                let digest = if name.ends_with(TABLE) { None } else { Some(sha256(&[&fs::read(entry.path())?])) };
                files.insert(name, (size, digest));
            }
            Ok(())
        };
        read().map_err(|error| StoreError::File { path: db.clone(), error })?;
        Ok(Inventory(files))
    }

    fn encode(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        for (name, (size, digest)) in &self.0 {
            let digest = digest.map_or_else(|| "-".to_owned(), |digest| HEXLOWER.encode(&digest));
            text.push_str(&format!("{size} {digest} {name}\n"));
        }
        let sum = HEXLOWER.encode(&sha256(&[text.as_bytes()]));
        text + &sum + "\n"
    }

    fn parse(bytes: &[u8]) -> Option<Inventory> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
        if lines.first() != Some(&FORMAT) {
            return None;
        }
        lines.remove(0);
        lines.pop()?;
        let file = |line: &str| {
            let (size, rest) = line.split_once(' ')?;
            let (digest, name) = rest.split_once(' ')?;
            let digest = match digest {
                "-" => None,
                hex => Some(HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?),
            };
            Some((name.to_owned(), (size.parse().ok()?, digest)))
        };
        let inventory = Inventory(lines.into_iter().map(file).collect::<Option<_>>()?);
        // The sum, and whatever else is not as it would be written, in one comparison.
        (inventory.encode() == text).then_some(inventory)
    }
}
