//! Where this copy of the ledger lies. A directory that was copied, restored or unpacked is another directory than the one that signed, even if the
//! lock record was copied along with it, and so it does not sign until somebody says that it is the newest copy.
//!
//! The file `DIR/place` names the directory and itself by inode and time of birth, which no tool that copies can give to its copy.
//!
//! ```text
//! fapiao-place/1\n
//! <inode of DIR> <birth of DIR in ns>\n
//! <inode of the file> <birth of the file in ns>\n
//! ```

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

#[cfg(feature = "faults")]
use super::files::Files;
use super::files::read_bounded;
use super::store::{Home, StoreError};

/// The file has two short lines.
const BYTES_MAX: usize = 256;

/// Whether the directory lies where it was last said to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Same,
    /// It was copied, or restored.
    Copied,
    /// Nothing says where it was.
    Unsaid,
}

fn path(directory: &Path) -> PathBuf {
    directory.join("place")
}

/// Inode and birth; zero where the file system does not know a birth.
fn identity(metadata: &Metadata) -> String {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
    format!("{} {born}", metadata.ino())
}

fn text(directory: &Metadata, file: &Metadata) -> String {
    format!("fapiao-place/1\n{}\n{}\n", identity(directory), identity(file))
}

/// Compares what the file says with what is there.
pub fn check(home: &Home) -> Result<Place, StoreError> {
    #[cfg(feature = "faults")]
    if let Files::Simulated(disk) = &home.files {
        return Ok(disk.settled().map_or(Place::Unsaid, |here| if here { Place::Same } else { Place::Copied }));
    }
    let path = path(&home.directory);
    let read = || -> io::Result<Place> {
        let Some(stated) = read_bounded(&path, BYTES_MAX)? else { return Ok(Place::Unsaid) };
        let here = text(&fs::metadata(&home.directory)?, &fs::metadata(&path)?);
        Ok(if stated == here.as_bytes() { Place::Same } else { Place::Copied })
    };
    read().map_err(|error| StoreError::File { path: path.clone(), error })
}

/// Says that the directory lies here.
pub fn settle(home: &Home) -> Result<(), StoreError> {
    let path = path(&home.directory);
    #[cfg(feature = "faults")]
    if let Files::Simulated(disk) = &home.files {
        return disk.settle().map_err(|error| StoreError::File { path, error });
    }
    let write = || -> io::Result<()> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::create_new(&path)?;
        let text = text(&fs::metadata(&home.directory)?, &file.metadata()?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(&home.directory)?.sync_all()
    };
    write().map_err(|error| StoreError::File { path: path.clone(), error })
}
