//! Rows in the order of their keys, past what cannot be read.

use super::Run;
use super::findings::{At, FOREIGN_KEY, UNREADABLE};
use crate::ledger::store::{Store, StoreError, Stretch, StretchEnd};
use crate::ledger::tables::{Allotments, AnswerHashes, AnswerRoots, ByTaxpayer, Counts, Invoices, Meta, Table as _, Tiles};
use crate::limits::STRETCH_BYTES;

/// Bytes of the keys of a table: what a place among them is counted in.
fn key_bytes(table: &str) -> usize {
    match table {
        Tiles::NAME => 9,
        Invoices::NAME | Counts::NAME => 10,
        Allotments::NAME => 19,
        AnswerRoots::NAME => 16,
        ByTaxpayer::NAME | Meta::NAME | AnswerHashes::NAME => 32,
        _ => 8,
    }
}

/// The next thing in a table.
pub(super) enum Step<'p> {
    Row(&'p [u8], &'p [u8]),
    Gap(Gap),
}

/// Rows that cannot be read in order. Some of them may be there when read one by one.
pub(super) struct Gap {
    /// The last key before it.
    pub(super) after: Vec<u8>,
    /// The first key from which on it goes on; `None` if not within the sweep.
    pub(super) resume: Option<Vec<u8>>,
    pub(super) reason: String,
}

/// Reads a part of a table from one end to the other.
pub(super) struct Sweep<'a> {
    store: &'a Store,
    table: &'static str,
    until: Option<Vec<u8>>,
    /// Where the next stretch begins; `None` after the last one.
    next: Option<Vec<u8>>,
    stretch: Stretch,
    at: usize,
    broken: Option<(Vec<u8>, String)>,
}

impl<'a> Sweep<'a> {
    /// The rows from the key `from` on and before `until`.
    pub(super) fn new(store: &'a Store, table: &'static str, from: Vec<u8>, until: Option<Vec<u8>>) -> Sweep<'a> {
        Sweep { store, table, until, next: Some(from), stretch: Stretch::new(STRETCH_BYTES), at: 0, broken: None }
    }

    /// All rows.
    pub(super) fn whole(store: &'a Store, table: &'static str) -> Sweep<'a> {
        Sweep::new(store, table, Vec::new(), None)
    }

    /// What comes next; a row stays next until [`Sweep::advance`].
    pub(super) fn peek(&mut self) -> Result<Option<Step<'_>>, StoreError> {
        while self.stretch.row(self.at).is_none() {
            if let Some((after, reason)) = self.broken.take() {
                let resume = self.beyond(&after)?;
                self.next.clone_from(&resume);
                return Ok(Some(Step::Gap(Gap { after, resume, reason })));
            }
            let Some(from) = self.next.take() else { return Ok(None) };
            self.read(from)?;
        }
        Ok(self.stretch.row(self.at).map(|(key, value)| Step::Row(key, value)))
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// The row that was passed last.
    pub(super) fn passed(&self) -> Option<(&[u8], &[u8])> {
        self.stretch.row(self.at.checked_sub(1)?)
    }

    /// What comes next, and goes past it.
    pub(super) fn next(&mut self) -> Result<Option<Step<'_>>, StoreError> {
        let gap = match self.peek()? {
            None => return Ok(None),
            Some(Step::Gap(gap)) => Some(gap),
            Some(Step::Row(..)) => None,
        };
        if let Some(gap) = gap {
            return Ok(Some(Step::Gap(gap)));
        }
        self.advance();
        Ok(self.passed().map(|(key, value)| Step::Row(key, value)))
    }

    fn read(&mut self, from: Vec<u8>) -> Result<(), StoreError> {
        self.store.stretch(self.table, &from, self.until.as_deref(), &mut self.stretch);
        self.at = 0;
        let last = self.stretch.last_key();
        match self.stretch.end() {
            StretchEnd::Last => {}
            // The smallest key after the last one.
            StretchEnd::Full => self.next = last.map(|key| [key, &[0][..]].concat()),
            StretchEnd::Broken(error) => {
                may_go_on(error)?;
                self.broken = Some((last.map_or(from, <[u8]>::to_vec), error.to_string()));
            }
        }
        Ok(())
    }

    /// The first key after `at` from which on rows can be read again, as far as one damaged place can hide it: first in doubling steps, then by halves.
    fn beyond(&self, at: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bad = at.to_vec();
        bad.resize(key_bytes(self.table), 0);
        let readable = |key: &Option<Vec<u8>>| -> Result<bool, StoreError> {
            let Some(key) = key else { return Ok(true) };
            let mut probe = Stretch::new(1);
            self.store.stretch(self.table, key, self.until.as_deref(), &mut probe);
            match probe.end() {
                StretchEnd::Broken(error) => may_go_on(error).map(|()| false),
                StretchEnd::Last | StretchEnd::Full => Ok(true),
            }
        };
        let mut bit = 0;
        while !readable(&plus(&bad, bit))? {
            bit += 1;
        }
        for bit in (0..bit).rev() {
            let probe = plus(&bad, bit);
            if !readable(&probe)?
                && let Some(probe) = probe
            {
                bad = probe;
            }
        }
        Ok(plus(&bad, 0).filter(|key| self.until.as_ref().is_none_or(|until| key < until)))
    }
}

/// Damage is a finding; a database that was closed under the check is not.
fn may_go_on(error: &StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::Closed(reason) => Err(StoreError::Closed(reason.clone())),
        _ => Ok(()),
    }
}

/// A key as a number, plus 2^bit; `None` where no key is so large.
fn plus(key: &[u8], bit: usize) -> Option<Vec<u8>> {
    let mut sum = key.to_vec();
    let at = sum.len().checked_sub(1 + bit / 8)?;
    let mut carry = 1u8 << (bit % 8);
    for byte in sum[..=at].iter_mut().rev() {
        let (digit, overflow) = byte.overflowing_add(carry);
        *byte = digit;
        if !overflow {
            return Some(sum);
        }
        carry = 1;
    }
    None
}

/// A place in a table that is read by number.
pub(super) enum Cell<'p> {
    Row(&'p [u8]),
    Absent,
    Unreadable,
}

/// The rows of a table whose keys end in a number, asked for in ascending order. Rows that nobody asks for are passed over.
pub(super) struct Column<'a> {
    run: &'a Run<'a>,
    table: &'static str,
    /// What the keys begin with: of `tile` the level.
    prefix: &'static [u8],
    sweep: Sweep<'a>,
    /// Up to here rows are read one by one.
    gap: Option<u64>,
    held: Vec<u8>,
    /// First and last of the rows that could not be read, and why.
    unreadable: Option<(u64, u64, String)>,
}

impl<'a> Column<'a> {
    /// The rows from number `from` on and before `until`.
    pub(super) fn new(run: &'a Run<'a>, table: &'static str, prefix: &'static [u8], from: u64, until: u64) -> Column<'a> {
        // Keys that are too short come before the first.
        let from = if from == 0 { prefix.to_vec() } else { [prefix, &from.to_be_bytes()].concat() };
        let until = [prefix, &until.to_be_bytes()].concat();
        let sweep = Sweep::new(run.store, table, from, Some(until));
        Column { run, table, prefix, sweep, gap: None, held: Vec::new(), unreadable: None }
    }

    /// The row with this number.
    pub(super) fn row(&mut self, number: u64) -> Result<Cell<'_>, StoreError> {
        loop {
            if self.gap.is_some_and(|end| number < end) {
                return self.read_one(number);
            }
            self.gap = None;
            let key = match self.sweep.peek()? {
                None => return Ok(Cell::Absent),
                Some(Step::Gap(gap)) => {
                    let resume = gap.resume.map(|key| number_in(&key, self.prefix));
                    self.gap = Some(resume.flatten().unwrap_or(u64::MAX));
                    continue;
                }
                Some(Step::Row(key, _)) => match number_in(key, self.prefix) {
                    Some(key) => key,
                    None => {
                        let at = At::Key(key.to_vec());
                        self.run.findings.add(self.table, at, FOREIGN_KEY);
                        self.sweep.advance();
                        continue;
                    }
                },
            };
            if key > number {
                return Ok(Cell::Absent);
            }
            self.sweep.advance();
            if key == number {
                break;
            }
        }
        Ok(self.sweep.passed().map_or(Cell::Absent, |(_, value)| Cell::Row(value)))
    }

    /// Within a gap: other blocks of the same stretch of keys may be sound.
    fn read_one(&mut self, number: u64) -> Result<Cell<'_>, StoreError> {
        let key = [self.prefix, &number.to_be_bytes()].concat();
        match self.run.store.get_raw(self.table, &[key]).pop() {
            Some(Ok(Some(value))) => {
                self.held = value;
                Ok(Cell::Row(&self.held))
            }
            Some(Ok(None)) | None => Ok(Cell::Absent),
            Some(Err(error)) => {
                may_go_on(&error)?;
                match &mut self.unreadable {
                    Some((_, last, _)) if *last + 1 == number => *last = number,
                    _ => {
                        self.report();
                        self.unreadable = Some((number, number, error.to_string()));
                    }
                }
                Ok(Cell::Unreadable)
            }
        }
    }

    fn report(&mut self) {
        if let Some((first, last, reason)) = self.unreadable.take() {
            self.run.findings.add_with(self.table, At::Span(first, last), UNREADABLE, reason);
        }
    }
}

impl Drop for Column<'_> {
    fn drop(&mut self) {
        self.report();
    }
}

fn number_in(key: &[u8], prefix: &[u8]) -> Option<u64> {
    key.strip_prefix(prefix)?.try_into().ok().map(u64::from_be_bytes)
}

/// What reading one row gave: `None` if it cannot be read, and in it `None` if it is not there.
pub(super) type Read = Option<Option<Vec<u8>>>;

/// The rows under `keys`, in their order.
pub(super) fn read_many(store: &Store, table: &'static str, keys: &[Vec<u8>]) -> Result<Vec<Read>, StoreError> {
    let readable = |row: Result<Option<Vec<u8>>, StoreError>| match row {
        Ok(row) => Ok(Some(row)),
        Err(error) => may_go_on(&error).map(|()| None),
    };
    store.get_raw(table, keys).into_iter().map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbers() {
        assert_eq!(plus(&[0, 255], 0), Some(vec![1, 0]));
        assert_eq!(plus(&[0, 254], 0), Some(vec![0, 255]));
        assert_eq!(plus(&[1, 255], 9), Some(vec![3, 255]));
        assert_eq!(plus(&[255, 255], 0), None);
        assert_eq!(plus(&[128, 0], 15), None);
        assert_eq!(plus(&[0, 0], 16), None);
    }
}
