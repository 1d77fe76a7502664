//! A borrowed cursor over bytes that somebody else wrote. It never panics, never allocates by a stated length, and never skips.

use crate::domain::money::{AMOUNT_MAX, Decimal8, Fen};
use crate::limits::TEXT_BYTES_MAX;

/// Why bytes are not the value they should be, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct DecodeError {
    /// Offset of the first byte that cannot be, from the start of the input.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: DecodeReason,
}

/// What can be wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// The input ends in the middle of a value.
    #[error("the input ends too early")]
    Truncated,
    /// The value is complete and bytes follow.
    #[error("bytes are left over")]
    LeftOver,
    /// Another version than this program knows.
    #[error("unknown version")]
    Version,
    /// A field has a value that it cannot have.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// A text or list is longer than a draft can be.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// A text or list is empty where it cannot be.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A layout that is reserved.
    #[error("events of this number have no data yet")]
    Reserved,
}

/// The cursor.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Decodes a whole input: `read` must consume all of it.
    pub fn all<T>(bytes: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The bytes from `start`, an earlier offset, up to the next byte.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// An error at an earlier offset.
    pub fn fault<T>(&self, offset: usize, reason: DecodeReason) -> Result<T, DecodeError> {
        Err(DecodeError { offset, reason })
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(n);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => self.fault(self.bytes.len(), DecodeReason::Truncated),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => self.fault(self.bytes.len(), DecodeReason::Truncated),
        }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes, big-endian, two's complement.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Whatever `read` reads, if `convert` takes it; else `field` is out of range.
    pub fn value<R, T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<R, DecodeError>,
        convert: impl FnOnce(R) -> Option<T>,
    ) -> Result<T, DecodeError> {
        let start = self.at;
        let raw = read(self)?;
        convert(raw).map_or_else(|| self.fault(start, DecodeReason::OutOfRange(field)), Ok)
    }

    /// A version byte of 1.
    pub fn version(&mut self) -> Result<(), DecodeError> {
        self.version_up_to(1).map(|_| ())
    }

    /// A version byte of 1 to `newest`.
    pub fn version_up_to(&mut self, newest: u8) -> Result<u8, DecodeError> {
        let start = self.at;
        match self.u8()? {
            version if (1..=newest).contains(&version) => Ok(version),
            _ => self.fault(start, DecodeReason::Version),
        }
    }

    /// An amount that a draft can state: magnitude at most [`AMOUNT_MAX`].
    pub fn fen(&mut self, field: &'static str) -> Result<Fen, DecodeError> {
        self.value(field, Self::i64, |fen| (fen.unsigned_abs() <= AMOUNT_MAX.0.unsigned_abs()).then_some(Fen(fen)))
    }

    /// A quantity or price that a draft can state: ten digits before the point, eight behind it.
    pub fn dec8(&mut self, field: &'static str) -> Result<Decimal8, DecodeError> {
        self.value(field, Self::i64, |value| (value.unsigned_abs() < 10u64.pow(18)).then_some(Decimal8(value)))
    }

    /// A text that may be empty.
    pub fn text_or_empty(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        self.text_within(field, TEXT_BYTES_MAX)
    }

    /// A text of at most so many bytes, that may be empty.
    pub fn text_within(&mut self, field: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let length = usize::from(self.u16()?);
        if length > limit {
            return self.fault(start, DecodeReason::TooLong(field));
        }
        std::str::from_utf8(self.take(length)?).or_else(|_| self.fault(start, DecodeReason::NotUtf8(field)))
    }

    /// A text that is not empty.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let text = self.text_or_empty(field)?;
        if text.is_empty() { self.fault(start, DecodeReason::Empty(field)) } else { Ok(text) }
    }

    /// [`Reader::text`], owned.
    pub fn string(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.text(field).map(str::to_owned)
    }

    /// 0, or 1 and a value.
    pub fn opt<T>(&mut self, field: &'static str, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<Option<T>, DecodeError> {
        let start = self.at;
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => self.fault(start, DecodeReason::OutOfRange(field)),
        }
    }

    /// An optional text, owned; absent is not the same as empty, and empty cannot be.
    pub fn opt_string(&mut self, field: &'static str) -> Result<Option<String>, DecodeError> {
        self.opt(field, |reader| reader.string(field))
    }

    /// 1 to `max` values.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let start = self.at;
        let count = usize::from(self.u16()?);
        if count == 0 {
            return self.fault(start, DecodeReason::Empty(field));
        }
        if count > max {
            return self.fault(start, DecodeReason::TooLong(field));
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { self.fault(self.at, DecodeReason::LeftOver) }
    }
}
