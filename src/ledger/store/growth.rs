//! How far RocksDB's manifest had grown when something was last written. A manifest that a crash, or a bad copy, has cut between two of its records
//! looks whole; RocksDB then takes the tables that it no longer knows for leftovers, and what was in them for never written.
//!
//! `DIR/grown` holds one line: the manifest's name and its length in bytes. It is written when the database is opened and whenever the manifest has
//! grown since, before anybody is answered, and compared when the database is opened without an inventory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::StoreError;
use crate::ledger::files::{PUBLIC, read_bounded, replace_file};

/// A name and a number.
const BYTES_MAX: usize = 128;

fn path(directory: &Path) -> PathBuf {
    directory.join("grown")
}

/// Compares the manifest that is there with what was noted of it, if anything was.
pub(super) fn check(directory: &Path, manifest: &Path) -> Result<(), StoreError> {
    let path = path(directory);
    let noted = read_bounded(&path, BYTES_MAX).map_err(|error| StoreError::File { path: path.clone(), error })?;
    let Some(noted) = noted.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(()) };
    let Some((name, bytes)) = noted.trim_end().split_once(' ') else { return Ok(()) };
    let here = manifest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let length = fs::metadata(manifest).map_err(|error| StoreError::File { path: manifest.into(), error })?.len();
    // Another manifest is another opening's: whether it is the newest copy, the lock record tells.
    if here == name && bytes.parse().is_ok_and(|bytes: u64| length < bytes) {
        return Err(StoreError::Damaged { path: manifest.into(), how: "is shorter than it was" });
    }
    Ok(())
}

/// What was noted last.
#[derive(Debug)]
pub(super) struct Growth {
    path: PathBuf,
    noted: Mutex<(PathBuf, u64)>,
}

impl Growth {
    /// Nothing noted yet of the database in this directory.
    pub(super) fn new(directory: &Path) -> Growth {
        Growth { path: path(directory), noted: Mutex::default() }
    }

    /// Notes the manifest's length if it has grown, or if it is another one; `find` says where it is.
    pub(super) fn note(&self, find: impl Fn() -> Result<PathBuf, StoreError>) -> Result<(), StoreError> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let length = match fs::metadata(&noted.0) {
            Ok(metadata) => metadata.len(),
            // Not looked for yet, or succeeded by another one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *noted = (find()?, 0);
                fs::metadata(&noted.0).map_err(|error| StoreError::File { path: noted.0.clone(), error })?.len()
            }
            Err(error) => return Err(StoreError::File { path: noted.0.clone(), error }),
        };
        if length != noted.1 {
            let name = noted.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let line = format!("{name} {length}\n");
            replace_file(&self.path, line.as_bytes(), PUBLIC, true).map_err(|error| StoreError::File { path: self.path.clone(), error })?;
            noted.1 = length;
        }
        Ok(())
    }
}
