//! Files beside the ledger: written once, durably, for their owner or for everybody; read within bounds.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::EngineError;

/// Writes a file that only its owner may read, durably, refusing to replace one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    write_new(path, bytes, 0o700, 0o600)
}

/// Writes a file that everybody may read, durably, refusing to replace one.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    write_new(path, bytes, 0o755, 0o644)
}

/// Writes a file that everybody may read in place of the one that is there, durably: whoever reads it finds the old one or the new one.
pub fn replace_public(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    replace(path, |new| write_public(new, bytes))
}

/// As [`replace_public`], for its owner only.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    replace(path, |new| write_private(new, bytes))
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), EngineError>) -> Result<(), EngineError> {
    let failed = |error| EngineError::File { path: path.into(), error };
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        // Nothing was there, or what a crash left behind.
        Ok(()) | Err(_) => {}
    }
    write(&new)?;
    std::fs::rename(&new, path).map_err(failed)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()).map_err(failed)
}

fn write_new(path: &Path, bytes: &[u8], directory_mode: u32, mode: u32) -> Result<(), EngineError> {
    let write = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(directory_mode).create(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| EngineError::File { path: path.into(), error })
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
