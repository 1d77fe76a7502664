//! The lock record: the newest signed checkpoint, kept outside the data directory, so that a restored old copy knows that it is old.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::store::StoreError;
use crate::limits::NOTE_BYTES_MAX;

/// `DIR.lock` beside the directory `DIR`.
#[derive(Clone, Debug)]
pub struct LockFile {
    path: PathBuf,
    temporary: PathBuf,
    parent: PathBuf,
}

impl LockFile {
    /// The lock that belongs to a data directory.
    pub fn beside(directory: &Path) -> LockFile {
        let mut path = directory.as_os_str().to_owned();
        path.push(".lock");
        let mut temporary = path.clone();
        temporary.push(".new");
        let path = PathBuf::from(path);
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
            _ => PathBuf::from("."),
        };
        LockFile { path, temporary: temporary.into(), parent }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The note it holds, or `None` if there is no such file.
    pub fn read(&self) -> Result<Option<String>, StoreError> {
        let mut note = String::new();
        match File::open(&self.path) {
            Ok(file) => file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut note).map(|_| Some(note)).map_err(|error| self.failed(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Replaces the note: temporary file, fsync, rename, fsync of the directory. When this returns, a power cut cannot bring the old one back.
    pub fn replace(&self, note: &str) -> Result<(), StoreError> {
        let write = || -> io::Result<()> {
            let mut file = File::create(&self.temporary)?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            File::open(&self.parent)?.sync_all()
        };
        write().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), error }
    }
}
