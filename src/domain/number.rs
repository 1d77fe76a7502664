//! Invoice codes, numbers and check codes: digit strings kept as BCD, in the order of the ledger's keys.
//!
//! They are never integers: `011001500111` keeps its leading zero.

use std::fmt;

/// A string of decimal digits packed two to a byte, most significant first.
fn pack<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut packed = [0; N];
    for (byte, pair) in packed.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (pair[0] - b'0') << 4 | (pair[1] - b'0');
    }
    Some(packed)
}

fn is_bcd(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte >> 4 <= 9 && byte & 0x0f <= 9)
}

fn write_digits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    // In one piece: every answer has several of these.
    let mut text = [0; 20];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[b'0' + (byte >> 4), b'0' + (byte & 0x0f)]);
    }
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len()]).unwrap_or_default())
}

/// 发票代码: 10 or 12 digits. Ordered as the ledger's keys are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvoiceCode([u8; 6]);

impl InvoiceCode {
    /// Marks the unused last byte of a 10-digit code; no BCD byte has this value.
    const PAD: u8 = 0xff;

    /// Parses 10 or 12 ASCII digits.
    pub fn parse(text: &str) -> Option<InvoiceCode> {
        if let Some(bytes) = pack::<6>(text) {
            return Some(InvoiceCode(bytes));
        }
        let [a, b, c, d, e] = pack::<5>(text)?;
        Some(InvoiceCode([a, b, c, d, e, Self::PAD]))
    }

    /// The 6 bytes that are signed and keyed: 12 BCD digits, or 10 and `FF`.
    pub fn to_bytes(self) -> [u8; 6] {
        self.0
    }

    /// The code with these bytes, or `None` if they are not one.
    pub fn from_bytes(bytes: [u8; 6]) -> Option<InvoiceCode> {
        let used = if bytes[5] == Self::PAD { &bytes[..5] } else { &bytes[..] };
        is_bcd(used).then_some(InvoiceCode(bytes))
    }

    /// 10 or 12.
    pub fn digits(self) -> usize {
        if self.0[5] == Self::PAD { 10 } else { 12 }
    }
}

impl fmt::Display for InvoiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0[..self.digits() / 2])
    }
}

impl fmt::Debug for InvoiceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 发票号码: 8 digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvoiceNumber([u8; 4]);

impl InvoiceNumber {
    /// Parses 8 ASCII digits; `00000000` is no number.
    pub fn parse(text: &str) -> Option<InvoiceNumber> {
        pack(text).and_then(InvoiceNumber::from_bytes)
    }

    /// The 4 BCD bytes that are signed and keyed.
    pub fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// The number with these BCD bytes, or `None` if they are not one.
    pub fn from_bytes(bytes: [u8; 4]) -> Option<InvoiceNumber> {
        (is_bcd(&bytes) && bytes != [0; 4]).then_some(InvoiceNumber(bytes))
    }

    /// The place of this number in its book, 1 to 99,999,999: for counting a range, never for storing.
    pub fn ordinal(self) -> u32 {
        self.0.iter().fold(0, |sum, byte| sum * 100 + u32::from(byte >> 4) * 10 + u32::from(byte & 0x0f))
    }

    /// The number at this place, or `None` outside 1 to 99,999,999.
    pub fn from_ordinal(ordinal: u32) -> Option<InvoiceNumber> {
        if ordinal > 99_999_999 {
            return None;
        }
        InvoiceNumber::parse(&format!("{ordinal:08}"))
    }
}

impl fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Debug for InvoiceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What names one invoice in the country: code and number. Ordered as the ledger's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvoiceId {
    /// 发票代码.
    pub code: InvoiceCode,
    /// 发票号码.
    pub number: InvoiceNumber,
}

impl InvoiceId {
    /// Length of [`InvoiceId::to_bytes`].
    pub const LEN: usize = 10;

    /// Code and number: signed, hashed and used as the ledger's key.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..6].copy_from_slice(&self.code.to_bytes());
        bytes[6..].copy_from_slice(&self.number.to_bytes());
        bytes
    }

    /// The inverse of [`InvoiceId::to_bytes`]; `None` for anything it cannot have made.
    pub fn from_bytes(bytes: [u8; 10]) -> Option<InvoiceId> {
        let [a, b, c, d, e, f, number @ ..] = bytes;
        Some(InvoiceId { code: InvoiceCode::from_bytes([a, b, c, d, e, f])?, number: InvoiceNumber::from_bytes(number)? })
    }
}

impl fmt::Display for InvoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code, self.number)
    }
}

/// 校验码: 20 digits made by the issuing device. It has no public checksum and is opaque.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckCode([u8; 10]);

impl CheckCode {
    /// Parses 20 ASCII digits; spaces, as printed in groups of five, are dropped.
    pub fn parse(text: &str) -> Option<CheckCode> {
        if text.contains(' ') { pack(&text.replace(' ', "")) } else { pack(text) }.map(CheckCode)
    }

    /// The 10 BCD bytes that are signed.
    pub fn to_bytes(self) -> [u8; 10] {
        self.0
    }

    /// The check code with these BCD bytes, or `None` if a nibble is no digit.
    pub fn from_bytes(bytes: [u8; 10]) -> Option<CheckCode> {
        is_bcd(&bytes).then_some(CheckCode(bytes))
    }

    /// A check code with the low 64 bits of two independent random numbers as its halves: uniform to within 2⁻³⁰.
    pub fn from_random(halves: [u64; 2]) -> CheckCode {
        let text: String = halves.iter().map(|half| format!("{:010}", half % 10_000_000_000)).collect();
        CheckCode::parse(&text).unwrap_or_else(|| unreachable!("two times ten digits are twenty"))
    }

    /// The last six digits: what a person types.
    pub fn last_six(self) -> String {
        self.to_string().split_off(14)
    }
}

impl fmt::Display for CheckCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, &self.0)
    }
}

impl fmt::Debug for CheckCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
