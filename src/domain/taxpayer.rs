//! Taxpayer ids (纳税人识别号) and vehicle identification numbers: strings with check digits that real ones do not always respect.

use std::fmt;

/// 纳税人识别号: 15 to 20 upper-case letters and digits. Check digits are advice, not law: see [`TaxpayerId::check_digit`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxpayerId(Box<str>);

impl TaxpayerId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 20;

    /// Parses 15, 17, 18 or 20 upper-case ASCII letters and digits.
    pub fn parse(text: &str) -> Option<TaxpayerId> {
        let shape = matches!(text.len(), 15 | 17 | 18 | 20);
        let charset = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        (shape && charset).then(|| TaxpayerId(text.into()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For an 18-character unified social credit code (统一社会信用代码, GB 32100-2015): whether its last character is the check digit of the
    /// others. `None` for other lengths. Early Fujian registrations are genuine and fail, so a `false` is a warning.
    pub fn check_digit(&self) -> Option<bool> {
        (self.0.len() == 18).then(|| uscc_check_digit(&self.0[..17]) == self.0.chars().last())
    }
}

impl fmt::Display for TaxpayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaxpayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The 18th character of a unified social credit code, from its first 17 (GB 32100-2015: modulus 31 without I, O, S, V, Z).
pub fn uscc_check_digit(body: &str) -> Option<char> {
    const CHARSET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    const WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
    if body.len() != WEIGHTS.len() {
        return None;
    }
    let mut sum = 0;
    for (byte, weight) in body.bytes().zip(WEIGHTS) {
        sum += CHARSET.iter().position(|c| *c == byte)? * weight;
    }
    Some(char::from(CHARSET[(31 - sum % 31) % 31]))
}

/// 车辆识别代号: 17 letters and digits without I, O, Q (GB 16735, ISO 3779).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Vin(Box<str>);

impl Vin {
    /// Parses 17 upper-case letters and digits without I, O and Q.
    pub fn parse(text: &str) -> Option<Vin> {
        let charset = text.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !matches!(b, b'I' | b'O' | b'Q')));
        (text.len() == 17 && charset).then(|| Vin(text.into()))
    }

    /// The number as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether position 9 is the check digit of the others (GB 16735). Some imported vehicles do not use it, so `false` is a warning.
    pub fn check_digit(&self) -> bool {
        const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
        let value = |byte: u8| match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'H' => u32::from(byte - b'A') + 1,
            b'J'..=b'R' => u32::from(byte - b'J') + 1,
            _ => u32::from(byte - b'S') + 2,
        };
        let sum: u32 = self.0.bytes().zip(WEIGHTS).map(|(byte, weight)| value(byte) * weight).sum();
        let expected = match sum % 11 {
            10 => b'X',
            digit => b'0' + digit as u8,
        };
        self.0.as_bytes()[8] == expected
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
