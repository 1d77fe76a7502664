//! Files beside the ledger: written once, durably, for their owner or for everybody; read within bounds.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::EngineError;
use crate::ledger::{PUBLIC, replace_file};

/// Who may read a file and the folder that is made for it: its owner.
const PRIVATE: (u32, u32) = (0o700, 0o600);
/// Everybody.
const OPEN: (u32, u32) = (0o755, PUBLIC);

/// Writes a file that only its owner may read, durably, refusing to replace one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    write_new(path, bytes, PRIVATE).map_err(|error| EngineError::File { path: path.into(), error })
}

/// Writes a file that everybody may read, durably, refusing to replace one.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    write_new(path, bytes, OPEN).map_err(|error| EngineError::File { path: path.into(), error })
}

/// Writes a file that everybody may read in place of the one that is there, durably: whoever reads it finds the old one or the new one.
pub fn replace_public(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    replace(path, bytes, OPEN).map_err(|error| EngineError::File { path: path.into(), error })
}

/// As [`replace_public`], for its owner only.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    replace(path, bytes, PRIVATE).map_err(|error| EngineError::File { path: path.into(), error })
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(mode).create(folder))
}

fn replace(path: &Path, bytes: &[u8], (folder_mode, mode): (u32, u32)) -> io::Result<()> {
    make_folder(path, folder_mode)?;
    replace_file(path, bytes, mode, true)
}

fn write_new(path: &Path, bytes: &[u8], (folder_mode, mode): (u32, u32)) -> io::Result<()> {
    make_folder(path, folder_mode)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a secret of at most `limit` bytes, of which nothing stays in memory: a buffer that grew would leave what it held behind.
pub fn read_secret(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let failed = |error| EngineError::File { path: path.into(), error };
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut file = File::open(path).map_err(failed)?;
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if length > limit {
        return Err(failed(io::Error::other(format!("larger than {limit} bytes"))));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads a file of at most `limit` bytes.
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    let failed = |error| EngineError::File { path: path.into(), error };
    File::open(path).map_err(failed)?.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(failed(io::Error::other(format!("larger than {limit} bytes"))));
    }
    Ok(bytes)
}
