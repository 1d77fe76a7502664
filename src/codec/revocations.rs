//! The revocation list (撤销清单): which invoices were void, red-flushed (partly too) or suspended when the log had some size. Whoever holds it and the
//! public keys tells offline what a signed QR code is worth.
//!
//! ```text
//! +------------------------+--------+----------+---------+---------+---------+-----------+----------+------------------+-----------+
//! | fapiao/revocations/1\0 | origin | size u64 | root 32 | made ms | next ms | tokens    | low bits | gaps, as bits,   | key id 8, |
//! | 21 bytes               | text   |          |         | u64     | u64     | u32       | u8       | to a whole byte  | signature |
//! +------------------------+--------+----------+---------+---------+---------+-----------+----------+------------------+-----------+
//! ```
//!
//! A token is a number of 64 bits ([`crate::crypto::hash::revocation_token`]). They are in ascending order, each once, and written as gaps: the first
//! token, then of each what it exceeds the one before by, less one. Of a gap the quotient by 2^low is written as that many ones and a zero, then its `low`
//! lower bits, most significant first (Golomb-Rice). `low` is 63 less the binary logarithm of the number of tokens, rounded down; 0 without any. The last
//! byte is filled with zeros.

use super::leaf::KeyId;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::crypto::hash::{self, revocation_token};
use crate::crypto::merkle::Hash;
use crate::crypto::note::Origin;
use crate::domain::time::UnixMillis;
use crate::limits::REVOCATIONS_MAX;

/// Key id and signature, at the end.
const SEAL_BYTES: usize = 8 + 64;

/// A revocation list, as it was or is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// The log whose invoices these are.
    pub origin: Origin,
    /// Leaves of the log then: every event before is taken into account.
    pub size: u64,
    /// Root of the log then.
    pub root: Hash,
    /// When it was made.
    pub made: UnixMillis,
    /// When the next one is due.
    pub next: UnixMillis,
    /// In ascending order, each once.
    tokens: Vec<u64>,
}

/// A list with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedList {
    /// What is signed.
    pub list: RevocationList,
    /// The authority key that signed it.
    pub key_id: KeyId,
    /// Over [`SignedList::message`].
    pub signature: [u8; 64],
    bytes: Vec<u8>,
}

impl RevocationList {
    /// A list of these tokens, in any order; `None` if there are more than [`REVOCATIONS_MAX`].
    pub fn new(origin: Origin, size: u64, root: Hash, made: UnixMillis, next: UnixMillis, mut tokens: Vec<u64>) -> Option<RevocationList> {
        tokens.sort_unstable();
        tokens.dedup();
        (tokens.len() <= REVOCATIONS_MAX).then_some(RevocationList { origin, size, root, made, next, tokens })
    }

    /// The tokens, in ascending order.
    pub fn tokens(&self) -> &[u64] {
        &self.tokens
    }

    /// Whether the invoice with this commit is on the list. Of those that are not, one in 2^64 for each token is said to be.
    pub fn has(&self, commit: &[u8; 32]) -> bool {
        self.tokens.binary_search(&revocation_token(commit)).is_ok()
    }

    /// What is signed when this key signs.
    pub fn message(&self, key_id: KeyId) -> Vec<u8> {
        let low = low_bits(self.tokens.len());
        let mut writer = Writer::with_capacity(160 + self.tokens.len() * (usize::from(low) + 3) / 8);
        writer.bytes(hash::REVOCATIONS_LABEL).text(self.origin.as_str()).u64(self.size).bytes(&self.root).u64(self.made.0).u64(self.next.0);
        // No more than REVOCATIONS_MAX.
        writer.u32(u32::try_from(self.tokens.len()).unwrap_or(u32::MAX)).u8(low);
        let mut bits = BitWriter::default();
        let mut previous = None;
        for token in &self.tokens {
            let gap = previous.map_or(*token, |previous| token - previous - 1);
            (0..gap >> low).for_each(|_| bits.push(true));
            bits.push(false);
            (0..low).rev().for_each(|at| bits.push(gap >> at & 1 == 1));
            previous = Some(*token);
        }
        writer.bytes(&bits.bytes).bytes(&key_id.0);
        writer.into_bytes()
    }

    /// With the signature that `key_id` makes of [`RevocationList::message`].
    pub fn signed<E>(self, key_id: KeyId, sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>) -> Result<SignedList, E> {
        let mut bytes = self.message(key_id);
        let signature = sign(&bytes)?;
        bytes.extend_from_slice(&signature);
        Ok(SignedList { list: self, key_id, signature, bytes })
    }
}

impl SignedList {
    /// The whole file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the signature is over.
    pub fn message(&self) -> &[u8] {
        self.bytes.get(..self.bytes.len().saturating_sub(64)).unwrap_or_default()
    }

    /// The list in these bytes, all of them. Nothing is verified yet.
    pub fn decode(bytes: &[u8]) -> Result<SignedList, DecodeError> {
        let (list, key_id, signature) = Reader::all(bytes, |reader| {
            if reader.array::<21>()? != *hash::REVOCATIONS_LABEL {
                return reader.fault(0, DecodeReason::Version);
            }
            let origin = reader.value("origin", |reader| reader.text("origin"), Origin::parse)?;
            let (size, root, made) = (reader.u64()?, reader.array()?, UnixMillis(reader.u64()?));
            let next = reader.value("next", Reader::u64, |next| (next >= made.0).then_some(UnixMillis(next)))?;
            let start = reader.offset();
            let count = reader.u32()? as usize;
            if count > REVOCATIONS_MAX {
                return reader.fault(start, DecodeReason::TooLong("tokens"));
            }
            let low = reader.value("low bits", Reader::u8, |low| (low == low_bits(count)).then_some(low))?;
            let start = reader.offset();
            let gaps = reader.take((bytes.len() - start).saturating_sub(SEAL_BYTES))?;
            let Some(tokens) = read_gaps(gaps, count, low) else { return reader.fault(start, DecodeReason::OutOfRange("gaps")) };
            let list = RevocationList { origin, size, root, made, next, tokens };
            Ok((list, KeyId(reader.array()?), reader.array()?))
        })?;
        Ok(SignedList { list, key_id, signature, bytes: bytes.to_vec() })
    }
}

/// Bits of a gap that are written as they are: about its length, so that the quotient is mostly 0, 1 or 2.
fn low_bits(count: usize) -> u8 {
    match count.checked_ilog2() {
        // At most 63.
        Some(log) => u8::try_from(63u32.saturating_sub(log)).unwrap_or(0),
        None => 0,
    }
}

/// As many tokens as `count`, or `None` if these bits are not those of so many.
fn read_gaps(bytes: &[u8], count: usize, low: u8) -> Option<Vec<u64>> {
    // Each takes a bit at least, so nothing is reserved that the input does not pay for.
    if bytes.len().saturating_mul(8) < count.saturating_mul(usize::from(low) + 1) {
        return None;
    }
    let mut bits = BitReader { bytes, at: 0 };
    let mut tokens = Vec::with_capacity(count);
    let mut previous: Option<u64> = None;
    for _ in 0..count {
        let quotient = bits.ones()?;
        if quotient > u64::MAX >> low {
            return None;
        }
        let gap = quotient << low | bits.take(low)?;
        let token = match previous {
            None => gap,
            Some(previous) => previous.checked_add(gap)?.checked_add(1)?,
        };
        tokens.push(token);
        previous = Some(token);
    }
    bits.is_filled().then_some(tokens)
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u8,
}

impl BitWriter {
    fn push(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.used);
        }
        self.used = (self.used + 1) % 8;
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// Of the next bit.
    at: usize,
}

impl BitReader<'_> {
    /// The next 64 bits, the first on top, zeros behind the end.
    fn window(&self) -> u64 {
        let mut window = [0; 9];
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        for (to, byte) in window.iter_mut().zip(rest) {
            *to = *byte;
        }
        let [top @ .., last] = window;
        let shift = self.at % 8;
        u64::from_be_bytes(top) << shift | u64::from(last) >> (8 - shift)
    }

    fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// How many ones come before the next zero, which is passed as well.
    fn ones(&mut self) -> Option<u64> {
        let mut ones = 0;
        loop {
            let run = (self.window().leading_ones() as usize).min(self.left());
            self.at += run;
            ones += run as u64;
            if self.left() == 0 {
                return None;
            }
            if run < 64 {
                self.at += 1;
                return Some(ones);
            }
        }
    }

    /// A number of `count` bits, below 64.
    fn take(&mut self, count: u8) -> Option<u64> {
        if self.left() < usize::from(count) {
            return None;
        }
        let number = self.window().checked_shr(64 - u32::from(count)).unwrap_or(0);
        self.at += usize::from(count);
        Some(number)
    }

    /// Whether what is left is less than a byte, and zeros.
    fn is_filled(&self) -> bool {
        self.left() < 8 && self.window() == 0
    }
}
