//! RocksDB's journals, the WAL and the manifest, looked through for what its reader does not get over: at a record of a recycled journal where none
//! was before, it reads the same bytes for ever (RocksDB 11.8, `log::Reader::ReadPhysicalRecord`). We never recycle, but one flipped bit makes such a
//! record of any other.
//!
//! ```text
//! block of 32 KiB = records, then fewer than 7 bytes
//! record          = checksum u32 | length u16 LE | type u8 | bytes
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::StoreError;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// Full, first, middle, last; what says the size of timestamps; what names the journal before.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Refuses a journal that RocksDB would read for ever. Whether it is whole is for RocksDB to say.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    match has_recycled(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::Damaged { path: path.into(), how: "has a record that was never written" }),
        // Gone since it was listed: whoever has the ledger open is done with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::File { path: path.into(), error }),
    }
}

fn has_recycled(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(false);
        }
        if block_has_recycled(&block) {
            return Ok(true);
        }
    }
}

/// RocksDB goes on with the next block where a record is wrong; this looks at least as far.
fn block_has_recycled(block: &[u8]) -> bool {
    let mut rest = block;
    while let Some((&[_, _, _, _, low, high, kind], bytes)) = rest.split_first_chunk::<HEADER>() {
        if RECYCLED.contains(&kind) {
            return true;
        }
        match bytes.split_at_checked(usize::from(u16::from_le_bytes([low, high]))) {
            Some((_, next)) => rest = next,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_record_is_found_at_any_place_and_nothing_else_is() {
        let record = |kind: u8, length: u8| [&[1, 2, 3, 4, length, 0, kind][..], &vec![5; usize::from(length)]].concat();
        let sound = [record(1, 9), record(2, 0), record(3, 200), record(4, 1), record(0, 0)].concat();
        assert!(!block_has_recycled(&sound));
        for kind in RECYCLED {
            assert!(block_has_recycled(&[sound.clone(), record(kind, 3)].concat()), "{kind}");
        }
        let cut = [sound, record(1, 200)].concat();
        assert!((0..cut.len()).all(|length| !block_has_recycled(&cut[..length])), "cut anywhere");
    }
}
