//! The lock record: the newest signed checkpoint, kept outside the data directory, so that a restored old copy knows that it is old.

use std::io;
use std::path::{Path, PathBuf};

use super::faults::{Bug, planted};
use super::files::Files;
use super::store::{Home, StoreError};
use crate::limits::NOTE_BYTES_MAX;

/// `DIR.lock` beside the directory `DIR`.
#[derive(Clone, Debug)]
pub struct LockFile {
    path: PathBuf,
    files: Files,
}

impl LockFile {
    /// The lock that belongs to a data directory.
    pub fn beside(home: &Home) -> LockFile {
        let mut path = home.directory.as_os_str().to_owned();
        path.push(".lock");
        LockFile { path: path.into(), files: home.files.clone() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The note it holds, or `None` if there is no such file.
    pub fn read(&self) -> Result<Option<String>, StoreError> {
        // What is longer than any note, or not even text, is no note either; whoever parses it says so.
        match self.files.read(&self.path, NOTE_BYTES_MAX) {
            Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Some(String::new())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Replaces the note durably. When this returns, a power cut cannot bring the old one back.
    pub fn replace(&self, note: &str) -> Result<(), StoreError> {
        let replaced = self.files.replace(&self.path, note.as_bytes(), !planted(Bug::SkipLockSync));
        match replaced {
            Err(_) if planted(Bug::SwallowIoError) => Ok(()),
            replaced => replaced.map_err(|error| self.failed(error)),
        }
    }

    /// Makes durable the note that is there. This needs no space.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.files.sync(&self.path).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), error }
    }
}
