//! Small files beside the database: read within a bound, replaced as a whole. On the file system, or on the simulated disk of the tests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

#[cfg(feature = "faults")]
use super::store::simulated::Disk;

/// What holds the files of a ledger.
#[derive(Clone, Debug)]
pub enum Files {
    /// The file system.
    System,
    /// A disk in memory that breaks as it is told to.
    #[cfg(feature = "faults")]
    Simulated(Disk),
}

impl Files {
    /// The file's bytes, at most `limit` of them, or `None` if there is no such file.
    pub(super) fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self {
            Files::System => read_bounded(path, limit),
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => disk.read_file(path),
        }
    }

    /// Replaces the file as [`replace_file`] does.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        match self {
            Files::System => replace_file(path, bytes, PUBLIC, sync),
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => disk.replace_file(path, bytes, sync),
        }
    }

    /// Makes durable what was renamed to this name.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        match self {
            Files::System => {
                File::open(path)?.sync_all()?;
                File::open(folder_of(path))?.sync_all()
            }
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => disk.sync_file(path),
        }
    }

    /// Writes, syncs and removes a file of this many bytes.
    pub(super) fn probe(&self, path: &Path, bytes: usize) -> io::Result<()> {
        match self {
            Files::System => {
                let written = fs::write(path, vec![0x5a; bytes]).and_then(|()| File::open(path)?.sync_all());
                // Half a probe must not take the space that is missing.
                let removed = fs::remove_file(path);
                written.and(removed)
            }
            #[cfg(feature = "faults")]
            Files::Simulated(disk) => disk.probe(),
        }
    }
}

/// The file's bytes, or `None` if there is no such file. One that is longer than `limit` is not read.
pub(super) fn read_bounded(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes"))) } else { Ok(Some(bytes)) }
}

/// Mode of files that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// Replaces a file by one that has this mode: temporary file, fsync, rename, fsync of the directory. When this returns, a power cut cannot bring the old
/// one back. Without `sync` neither is synced: for tests that must notice.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let create = || OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let mut file = match create() {
        // A crash left it behind, perhaps with another mode.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&temporary).and_then(|()| create())?,
        created => created?,
    };
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    if sync {
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

/// The folder that a file is in, to be synced after a rename.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
