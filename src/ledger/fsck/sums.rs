//! Whether two large tables are the same, whatever their order, without keeping or sorting either: sums over keyed hashes of their rows.
//!
//! The key is new for each run, so that nobody can choose rows whose hashes cancel out; two sums over different rows are then equal with a chance of
//! 2^-256.

use sha2::{Digest as _, Sha256};

use crate::crypto::hash::sha256;

/// Hashes rows; the key is already worked in.
#[derive(Clone)]
pub(super) struct RowHash(Sha256);

impl RowHash {
    /// Of one table in one run.
    pub(super) fn new(seed: &[u8; 32], table: &str) -> RowHash {
        // Two halves fill a block of the hash, so that the rows begin with one of their own.
        let halves = [0u8, 1].map(|half| sha256(&[b"fapiao/fsck/1\0", seed, &[half], table.as_bytes()]));
        RowHash(Sha256::new_with_prefix(halves.as_flattened()))
    }

    /// Keys of a table are all of one length.
    pub(super) fn of(&self, key: &[u8], value: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(key).chain_update(value).finalize().into()
    }
}

/// A sum modulo 2^256, and of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    words: [u64; 4],
    pub(super) rows: u64,
}

impl Sum {
    pub(super) fn add(&mut self, hash: &[u8; 32]) {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        self.merge(&Sum { words, rows: 1 });
    }

    pub(super) fn merge(&mut self, other: &Sum) {
        let mut carry = false;
        for (word, addend) in self.words.iter_mut().zip(other.words) {
            let (sum, first) = word.overflowing_add(addend);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first || second);
        }
        self.rows += other.rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[(&[u8], &[u8])]) -> Sum {
        let hash = RowHash::new(&[1; 32], "inv");
        let mut sum = Sum::default();
        rows.iter().for_each(|(key, value)| sum.add(&hash.of(key, value)));
        sum
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let rows: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"2"), (b"c", b"")];
        let [a, b, c] = rows;
        let all = sum(&rows);
        assert_eq!(sum(&[c, a, b]), all);
        for other in [&[a, b][..], &[a, b, c, c], &[(b"a", b"2"), (b"b", b"1"), c], &[(b"a", b"1"), (b"b", b"2"), (b"c", b"\0")]] {
            assert_ne!(sum(other), all);
        }
        assert_ne!(RowHash::new(&[1; 32], "inv").of(b"a", b"1"), RowHash::new(&[2; 32], "inv").of(b"a", b"1"));
        assert_ne!(RowHash::new(&[1; 32], "inv").of(b"a", b"1"), RowHash::new(&[1; 32], "tax").of(b"a", b"1"));
    }

    #[test]
    fn carries_go_all_the_way() {
        let mut sum = Sum::default();
        sum.add(&[0xff; 32]);
        sum.add(&{
            let mut one = [0; 32];
            one[0] = 1;
            one
        });
        assert_eq!(sum, Sum { words: [0; 4], rows: 2 });
    }
}
