//! The other direction of [`super::reader`]: appends to a vector, one encoding per value.

use crate::domain::money::{Decimal8, Fen};

/// Bytes being written.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing yet, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer(Vec::with_capacity(capacity))
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Writer {
        self.bytes(&[value])
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Writer {
        self.bytes(&value.to_be_bytes())
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Writer {
        self.bytes(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Writer {
        self.bytes(&value.to_be_bytes())
    }

    /// An amount in fen.
    pub fn fen(&mut self, value: Fen) -> &mut Writer {
        self.bytes(&value.0.to_be_bytes())
    }

    /// A quantity or price, value × 10⁸.
    pub fn dec8(&mut self, value: Decimal8) -> &mut Writer {
        self.bytes(&value.0.to_be_bytes())
    }

    /// u16 length and UTF-8.
    ///
    /// # Panics
    /// If the text is longer than 65,535 bytes: 64 times what any rule lets pass, and a cut text must never be signed.
    pub fn text(&mut self, text: &str) -> &mut Writer {
        self.length(text.len()).bytes(text.as_bytes())
    }

    /// 0, or 1 and what `write` writes.
    pub fn opt<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Writer, T)) -> &mut Writer {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
                self
            }
        }
    }

    /// An optional text.
    pub fn opt_text(&mut self, text: Option<&str>) -> &mut Writer {
        self.opt(text, |writer, text| {
            writer.text(text);
        })
    }

    /// u16 count and that many values.
    ///
    /// # Panics
    /// If there are more than 65,535: as for [`Writer::text`].
    pub fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Writer, &T)) -> &mut Writer {
        self.length(values.len());
        for value in values {
            write(self, value);
        }
        self
    }

    fn length(&mut self, length: usize) -> &mut Writer {
        let length = u16::try_from(length).unwrap_or_else(|_| panic!("a text or list of {length} was let through by the rules"));
        self.u16(length)
    }
}
