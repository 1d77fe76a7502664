//! The paths of C2SP tlog-tiles (c2sp.org/tlog-tiles), and its bundles of entries.
//!
//! ```text
//! <level>/<n>          256 hashes of the row at this level      entries/<n>          256 entries
//! <level>/<n>.p/<w>    the first w of them, 1 to 255            entries/<n>.p/<w>    the first w of them
//! ```
//!
//! `n` is written in threes, all but the last with an x before them: 1234067 is `x001/x234/067`.

use std::fmt;

use super::leaf::Leaf;
use crate::crypto::merkle::TILE_WIDTH;
use crate::crypto::note::parse_decimal;

/// Levels have two digits at most in the specification. Of a log that fits an index of 64 bits, eight have anything in them.
const LEVEL_MAX: u8 = 63;
/// As it stands before each leaf of a bundle.
const LEAF_LEN: u16 = 96;
const _: () = assert!(LEAF_LEN as usize == Leaf::LEN);

/// What stands in a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Hashes of the tree: at level 0 those of the leaves, at each above the roots of the full tiles below.
    Hashes(u8),
    /// The leaves themselves.
    Entries,
}

/// Which tile, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileName {
    /// What stands in it.
    pub row: Row,
    /// Place in the row, in whole tiles.
    pub n: u64,
    /// How many from its beginning: 1 to 256, which is all.
    pub width: u16,
}

impl TileName {
    /// Parses what follows `/tile/` in a path. Only the one spelling that each tile has is one.
    pub fn parse(path: &str) -> Option<TileName> {
        let (row, place) = path.split_once('/')?;
        let row = match row {
            "entries" => Row::Entries,
            level => Row::Hashes(level.parse().ok().filter(|level| *level <= LEVEL_MAX)?),
        };
        let (number, width) = match place.split_once(".p/") {
            Some((number, width)) => (number, parse_decimal(width).filter(|width| (1..TILE_WIDTH).contains(width))?),
            None => (place, TILE_WIDTH),
        };
        let mut n = 0u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            n = n.checked_mul(1_000)?.checked_add(digits.parse().ok().filter(|three| *three < 1_000)?)?;
        }
        let name = TileName { row, n, width: u16::try_from(width).ok()? };
        (name.to_string() == path).then_some(name)
    }
}

impl fmt::Display for TileName {
    /// As in a path after `/tile/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Row::Hashes(level) => write!(f, "{level}/")?,
            Row::Entries => f.write_str("entries/")?,
        }
        let mut above = self.n / 1_000;
        let mut groups = Vec::new();
        while above > 0 {
            groups.push(above % 1_000);
            above /= 1_000;
        }
        groups.iter().rev().try_for_each(|group| write!(f, "x{group:03}/"))?;
        write!(f, "{:03}", self.n % 1_000)?;
        if u64::from(self.width) == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// A bundle of entries: each leaf after its length, a big-endian u16.
pub fn bundle(leaves: &[[u8; Leaf::LEN]]) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| LEAF_LEN.to_be_bytes().into_iter().chain(*leaf)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (path, row, n, width) in [
            ("0/x001/x234/067", Row::Hashes(0), 1_234_067, 256),
            ("0/000", Row::Hashes(0), 0, 256),
            ("3/000.p/1", Row::Hashes(3), 0, 1),
            ("63/999", Row::Hashes(63), 999, 256),
            ("entries/x001/000.p/255", Row::Entries, 1_000, 255),
            ("entries/x018/x446/x744/x073/x709/x551/615", Row::Entries, u64::MAX, 256),
        ] {
            assert_eq!(TileName::parse(path), Some(TileName { row, n, width }), "{path}");
        }
    }

    #[test]
    fn another_spelling_is_no_path() {
        for path in [
            "",
            "0",
            "0/",
            "/000",
            "00/000",
            "+0/000",
            "-1/000",
            "64/000",
            "256/000",
            "a/000",
            "0x0/000",
            "Entries/000",
            "entries",
            "entries/",
            "0/0",
            "0/00",
            "0/0000",
            "0/1000",
            "0/x000",
            "0/x000/000",
            "0/000/000",
            "0/001/000",
            "0/x001/x000",
            "0/x01/000",
            "0/x1000/000",
            "0/X001/000",
            "0/xx01/000",
            "0/x001//000",
            "0/x001/000/",
            "0//000",
            "0/+01",
            "0/ 01",
            "0/٠٠١",
            "0/%30%30%30",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/x001/x000/x000/x000/x000/x000/x000/000",
            "0/000.p",
            "0/000.p/",
            "0/000.p/0",
            "0/000.p/00",
            "0/000.p/01",
            "0/000.p/256",
            "0/000.p/300",
            "0/000.p/+1",
            "0/000.p/-1",
            "0/000.p/1/",
            "0/000.p/1.p/1",
            "0/000.p/99999999999999999999",
            "0/.p/1",
            "0/000.P/1",
            "entries/0/000",
        ] {
            assert_eq!(TileName::parse(path), None, "{path}");
        }
    }
}
