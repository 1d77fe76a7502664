//! Money is integer fen (分); rates and quantities are integers with a fixed exponent. Nothing here is a float.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};

/// An amount in fen, one hundredth of a yuan. Negative on red-letter invoices and discount lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fen(pub i64);

/// The largest magnitude a draft can state: eleven digits of yuan, as the public platform's own pattern has it.
#[expect(clippy::inconsistent_digit_grouping, reason = "yuan, then fen")]
pub const AMOUNT_MAX: Fen = Fen(99_999_999_999_99);

impl Fen {
    /// Nothing to pay.
    pub const ZERO: Fen = Fen(0);

    /// Parses `-?\d{1,11}(\.\d{1,2})?`: `32`, `64.9` and `300.00` are all amounts, `1,000` and `1e3` are not.
    pub fn parse(text: &str) -> Option<Fen> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let scaled = parse_scaled(digits, 11, 2)?;
        Some(Fen(if negative { -scaled } else { scaled }))
    }

    /// Magnitude in fen.
    pub fn abs(self) -> Fen {
        Fen(self.0.abs())
    }

    /// Adds, or `None` on overflow; for sums over what strangers sent.
    pub fn checked_add(self, other: Fen) -> Option<Fen> {
        self.0.checked_add(other.0).map(Fen)
    }

    /// The tax on this amount at `rate`, rounded half up (away from zero) to the fen.
    pub fn tax_at(self, rate: TaxRate) -> Fen {
        Fen(round_half_up(i128::from(self.0) * i128::from(rate.0), 100_000))
    }
}

impl Add for Fen {
    type Output = Fen;
    fn add(self, other: Fen) -> Fen {
        Fen(self.0 + other.0)
    }
}

impl Sub for Fen {
    type Output = Fen;
    fn sub(self, other: Fen) -> Fen {
        Fen(self.0 - other.0)
    }
}

impl Neg for Fen {
    type Output = Fen;
    fn neg(self) -> Fen {
        Fen(-self.0)
    }
}

impl Sum for Fen {
    fn sum<I: Iterator<Item = Fen>>(amounts: I) -> Fen {
        amounts.fold(Fen::ZERO, Add::add)
    }
}

impl fmt::Display for Fen {
    /// Yuan with two decimals: `-1234.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From the end, in one piece: every answer has several of these. A sign, 17 digits of yuan, the point and two more are 21.
        let mut text = *b"000000000000000000.00";
        let magnitude = self.0.unsigned_abs();
        text[19..].copy_from_slice(&[b'0' + (magnitude / 10 % 10) as u8, b'0' + (magnitude % 10) as u8]);
        let (mut at, mut yuan) = (17, magnitude / 100);
        while yuan > 9 {
            text[at] = b'0' + (yuan % 10) as u8;
            (at, yuan) = (at - 1, yuan / 10);
        }
        text[at] = b'0' + yuan as u8;
        if self.0 < 0 {
            at -= 1;
            text[at] = b'-';
        }
        f.write_str(std::str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

/// 税率 or 征收率 in units of 10⁻⁵: 13 % is 13 000, 1.5 % is 1 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxRate(pub u32);

impl TaxRate {
    /// Parses a decimal fraction as issuing interfaces write it (`0.13`, `0.015`, `0`), below 1, at most five decimals; `13%` and `1.5%` too.
    pub fn parse(text: &str) -> Option<TaxRate> {
        let scaled = match text.strip_suffix('%') {
            Some(percent) => parse_scaled(percent, 2, 3)?,
            None => parse_scaled(text, 1, 5)?,
        };
        u32::try_from(scaled).ok().filter(|rate| *rate < 100_000).map(TaxRate)
    }
}

impl fmt::Display for TaxRate {
    /// The decimal fraction with no trailing zeros: `0.13`, `0.015`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, i64::from(self.0), 5)
    }
}

/// A quantity (数量) or unit price (单价) in units of 10⁻⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal8(pub i64);

impl Decimal8 {
    /// Parses `-?\d{1,10}(\.\d{1,8})?`.
    pub fn parse(text: &str) -> Option<Decimal8> {
        match text.strip_prefix('-') {
            Some(digits) => parse_scaled(digits, 10, 8).map(|scaled| Decimal8(-scaled)),
            None => parse_scaled(text, 10, 8).map(Decimal8),
        }
    }

    /// Quantity times price, rounded half up to the fen; saturates far outside [`AMOUNT_MAX`].
    pub fn times(self, price: Decimal8) -> Fen {
        Fen(round_half_up(i128::from(self.0) * i128::from(price.0), 100_000_000_000_000))
    }
}

impl fmt::Display for Decimal8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 8)
    }
}

/// `value / divisor` rounded half away from zero, as HALF_UP does; clamped to an `i64`.
fn round_half_up(value: i128, divisor: i128) -> i64 {
    let magnitude = (value.abs() + divisor / 2) / divisor;
    let signed = if value < 0 { -magnitude } else { magnitude };
    i64::try_from(signed).unwrap_or(if signed < 0 { i64::MIN } else { i64::MAX })
}

/// Unsigned decimal text as an integer of units of 10^-decimals.
fn parse_scaled(text: &str, whole_max: usize, decimals: usize) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    if whole.is_empty() || whole.len() > whole_max || fraction.len() > decimals {
        return None;
    }
    let mut scaled = 0i64;
    for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', decimals - fraction.len())) {
        if !digit.is_ascii_digit() {
            return None;
        }
        scaled = scaled.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(scaled)
}

fn write_scaled(f: &mut fmt::Formatter<'_>, value: i64, decimals: u32) -> fmt::Result {
    let unit = 10u64.pow(decimals);
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let fraction = format!("{:0width$}", magnitude % unit, width = decimals as usize);
    match fraction.trim_end_matches('0') {
        "" => write!(f, "{sign}{}", magnitude / unit),
        digits => write!(f, "{sign}{}.{digits}", magnitude / unit),
    }
}

const DIGITS: [char; 10] = ['零', '壹', '贰', '叁', '肆', '伍', '陆', '柒', '捌', '玖'];
const NEGATIVE: &str = "（负数）";

/// 价税合计（大写）: the amount in the capital numerals of VAT faces, e.g. `壹拾圆零伍分`; red amounts carry `（负数）`.
pub fn upper_case(amount: Fen) -> String {
    let magnitude = amount.0.unsigned_abs();
    let (yuan, jiao, fen) = (magnitude / 100, (magnitude / 10 % 10) as usize, (magnitude % 10) as usize);
    let mut text = String::from(if amount.0 < 0 { NEGATIVE } else { "" });
    if yuan > 0 {
        push_whole(&mut text, yuan);
        text.push('圆');
    }
    match (jiao, fen) {
        (0, 0) => text.push_str(if yuan > 0 { "整" } else { "零圆整" }),
        (jiao, 0) => text.extend([DIGITS[jiao], '角', '整']),
        (0, fen) if yuan > 0 => text.extend(['零', DIGITS[fen], '分']),
        (0, fen) => text.extend([DIGITS[fen], '分']),
        (jiao, fen) => text.extend([DIGITS[jiao], '角', DIGITS[fen], '分']),
    }
    text
}

/// Appends `number` (> 0): the largest unit it reaches, then the rest, with one 零 where the rest does not reach the next lower place.
fn push_whole(text: &mut String, number: u64) {
    const UNITS: [(u64, char); 5] = [(100_000_000, '亿'), (10_000, '万'), (1_000, '仟'), (100, '佰'), (10, '拾')];
    match UNITS.into_iter().find(|(unit, _)| number >= *unit) {
        None => text.push(DIGITS[number as usize]),
        Some((unit, name)) => {
            push_whole(text, number / unit);
            text.push(name);
            let rest = number % unit;
            if rest > 0 {
                if rest < unit / 10 {
                    text.push('零');
                }
                push_whole(text, rest);
            }
        }
    }
}

/// Reads capital numerals back. Accepts what is printed in the wild: 元 for 圆, 正 for 整, an optional 零 before 角 or 分, an optional 整 after
/// 角, and `负` for `（负数）`. `None` if the text is not the capital form of any amount.
pub fn parse_upper_case(text: &str) -> Option<Fen> {
    let text: String = text.trim().replace('元', "圆").replace('正', "整").replace("(负数)", NEGATIVE);
    let (negative, body) = match text.strip_prefix(NEGATIVE).or_else(|| text.strip_prefix('负')) {
        Some(body) => (true, body),
        None => (false, text.as_str()),
    };
    let magnitude = parse_units(body)?;
    let amount = Fen(if negative { magnitude.checked_neg()? } else { magnitude });
    // Reading is lenient number by number; comparing with the one way to write it rejects everything that is not a numeral at all.
    (loosened(&upper_case(Fen(magnitude))) == loosened(body)).then_some(amount)
}

/// Drops what may or may not be written: 整, and 零 right after 圆.
fn loosened(text: &str) -> String {
    text.replace('整', "").replace("圆零", "圆")
}

fn parse_units(text: &str) -> Option<i64> {
    let (mut total, mut section, mut digit) = (0i64, 0i64, 0i64);
    let mut fen = 0i64;
    for c in text.chars() {
        match c {
            '拾' | '佰' | '仟' => {
                let unit = match c {
                    '拾' => 10,
                    '佰' => 100,
                    _ => 1_000,
                };
                section = section.checked_add(digit.checked_mul(unit)?)?;
                digit = 0;
            }
            '万' => {
                total = total.checked_add((section + digit).checked_mul(10_000)?)?;
                (section, digit) = (0, 0);
            }
            '亿' => {
                total = total.checked_add(section)?.checked_add(digit)?.checked_mul(100_000_000)?;
                (section, digit) = (0, 0);
            }
            '圆' => {
                total = total.checked_add(section)?.checked_add(digit)?;
                fen = total.checked_mul(100)?;
                (total, section, digit) = (0, 0, 0);
            }
            '角' => {
                fen = fen.checked_add(digit * 10)?;
                digit = 0;
            }
            '分' => {
                fen = fen.checked_add(digit)?;
                digit = 0;
            }
            '整' => {}
            numeral => digit = DIGITS.iter().position(|known| *known == numeral)? as i64,
        }
    }
    Some(fen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fen_are_written_with_their_two_decimals() {
        for fen in [0, 1, -1, 9, 10, 99, 100, -100, 101, 999, 1_000, 123_456, -1_000_050, 99_999_999_999, i64::MAX, i64::MIN, i64::MIN + 1] {
            let (sign, magnitude) = (if fen < 0 { "-" } else { "" }, fen.unsigned_abs());
            assert_eq!(Fen(fen).to_string(), format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100));
        }
    }

    #[test]
    #[expect(clippy::inconsistent_digit_grouping, reason = "yuan, then fen")]
    fn upper_case_around_wan_and_yi() {
        for (fen, text) in [
            (10_000_000_000_00, "壹佰亿圆整"),
            (1_000_000_000_000_00, "壹万亿圆整"),
            (1_000_100_000_000_00, "壹万零壹亿圆整"),
            (99_999_999_999_99, "玖佰玖拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖圆玖角玖分"),
            (-100, "（负数）壹圆整"),
            (-10_05, "（负数）壹拾圆零伍分"),
        ] {
            assert_eq!(upper_case(Fen(fen)), text, "{fen}");
            assert_eq!(parse_upper_case(text), Some(Fen(fen)), "{text}");
        }
    }
}
