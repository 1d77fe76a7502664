//! Days and instants. The country's civil time is UTC+8 without daylight saving; a day or month always means that zone.

use std::fmt;

const MILLIS_PER_DAY: u64 = 86_400_000;
const UTC_PLUS_8_MILLIS: u64 = 8 * 3_600_000;

/// A calendar day in UTC+8, 2000-01-01 to 2999-12-31, kept as `yyyymmdd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day of this year, month (1-12) and day of month, or `None` if the calendar has no such day.
    pub fn new(year: u32, month: u32, day: u32) -> Option<Day> {
        let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        ((2000..3000).contains(&year) && (1..=last).contains(&day)).then_some(Day(year * 10_000 + month * 100 + day))
    }

    /// The day that is written `yyyymmdd` as a number, as signed bytes carry it.
    pub fn from_yyyymmdd(number: u32) -> Option<Day> {
        Day::new(number / 10_000, number / 100 % 100, number % 100)
    }

    /// Parses `YYYY-MM-DD` or `YYYYMMDD`.
    pub fn parse(text: &str) -> Option<Day> {
        let digits = match text.as_bytes() {
            [_, _, _, _, b'-', _, _, b'-', _, _] => text.replace('-', ""),
            _ => text.to_owned(),
        };
        if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Day::from_yyyymmdd(digits.parse().ok()?)
    }

    /// `yyyymmdd` as a number.
    pub fn yyyymmdd(self) -> u32 {
        self.0
    }

    /// Year and month as `yyyymm`: two days with the same one can void each other's paper.
    pub fn month(self) -> u32 {
        self.0 / 100
    }

    /// Days since 1970-01-01 (civil-from-days, Howard Hinnant).
    fn serial(self) -> i64 {
        let (y, m, d) = (i64::from(self.0 / 10_000), i64::from(self.0 / 100 % 100), i64::from(self.0 % 100));
        let y = if m <= 2 { y - 1 } else { y };
        let era = y.div_euclid(400);
        let yoe = y - era * 400;
        let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        era * 146_097 + doe - 719_468
    }

    fn from_serial(serial: i64) -> Option<Day> {
        let z = serial + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z - era * 146_097;
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        Day::new(u32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
    }

    /// Whole days from `earlier` to this day; negative if `earlier` is later.
    pub fn days_since(self, earlier: Day) -> i64 {
        self.serial() - earlier.serial()
    }

    /// The day `days` later (or earlier, if negative), or `None` outside the supported years.
    pub fn plus_days(self, days: i64) -> Option<Day> {
        Day::from_serial(self.serial().checked_add(days)?)
    }

    /// The instant at which this day begins in UTC+8.
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.serial().unsigned_abs() * MILLIS_PER_DAY - UTC_PLUS_8_MILLIS)
    }
}

/// Both digits of a number below 100.
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Text that was put together from ASCII: every answer has several, so it is not formatted piece by piece.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

impl Day {
    fn digits(self) -> [u8; 10] {
        let mut text = *b"0000-00-00";
        for (at, number) in [(0, self.0 / 1_000_000), (2, self.0 / 10_000), (5, self.0 / 100), (8, self.0)] {
            text[at..at + 2].copy_from_slice(&two_digits(number % 100));
        }
        text
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.digits()))
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The day in UTC+8, or `None` outside the supported years.
    pub fn day(self) -> Option<Day> {
        let serial = self.0.checked_add(UTC_PLUS_8_MILLIS)? / MILLIS_PER_DAY;
        Day::from_serial(i64::try_from(serial).ok()?)
    }

    /// Days from 1970-01-01 to the day in UTC+8: as [`UnixMillis::day`], of any year.
    pub fn day_number(self) -> u64 {
        self.0.saturating_add(UTC_PLUS_8_MILLIS) / MILLIS_PER_DAY
    }

    /// The instant at which the next day begins in UTC+8.
    pub fn next_day(self) -> UnixMillis {
        UnixMillis((self.day_number() + 1).saturating_mul(MILLIS_PER_DAY).saturating_sub(UTC_PLUS_8_MILLIS))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC+8 with seconds: `2026-11-23T19:32:01+08:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(day) = self.day() else { return write!(f, "{} ms", self.0) };
        let seconds = (self.0 + UTC_PLUS_8_MILLIS) % MILLIS_PER_DAY / 1000;
        let mut text = *b"0000-00-00T00:00:00+08:00";
        text[..10].copy_from_slice(&day.digits());
        for (at, number) in [(11, seconds / 3600), (14, seconds / 60 % 60), (17, seconds % 60)] {
            text[at..at + 2].copy_from_slice(&two_digits(number as u32));
        }
        f.write_str(ascii(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_agree_at_the_edges() {
        let new_year = Day::new(2020, 1, 1).expect("a day");
        assert_eq!(new_year.start(), UnixMillis(1_577_808_000_000));
        assert_eq!(UnixMillis(1_577_807_999_999).day(), Day::new(2019, 12, 31));
        assert_eq!((UnixMillis(1_577_807_999_999).next_day(), new_year.start().next_day()), (new_year.start(), UnixMillis(1_577_894_400_000)));
        assert_eq!(new_year.start().day_number(), UnixMillis(1_577_807_999_999).day_number() + 1);
        assert_eq!(new_year.plus_days(59), Day::new(2020, 2, 29));
        assert_eq!(new_year.plus_days(60), Day::new(2020, 3, 1));
        assert_eq!(new_year.plus_days(-1), Day::new(2019, 12, 31));
        assert_eq!(Day::new(2019, 3, 1).expect("a day").days_since(Day::new(2019, 2, 28).expect("a day")), 1);
        for impossible in ["2019-02-29", "20191301", "2019-1-01", "20190431", "1999-12-31", "２０１９０１０１"] {
            assert_eq!(Day::parse(impossible), None, "{impossible}");
        }
    }

    #[test]
    fn every_day_survives_the_serial_number() {
        let first = Day::new(2000, 1, 1).expect("a day");
        let mut previous = first;
        for offset in 1..365_242 {
            let day = first.plus_days(offset).expect("within a thousand years");
            assert!(day > previous && day.days_since(previous) == 1);
            previous = day;
        }
    }
}
