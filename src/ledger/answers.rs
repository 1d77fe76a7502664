//! Answers that were signed: each is on disk before it leaves, under the next number, so that the next root over them has it whatever happens.
//!
//! What is kept of an answer is the hash that stands for it in the tree, and its time: neither who asked nor what. Answers that come while others are on
//! their way to the disk share the next write. Numbers have no gaps: what a write that failed may have left on the disk is taken back before anything else
//! is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::Group;
use super::store::{Store, StoreError};
use super::tables::{AnswerHashes, AnswerRoots, Answers as AnswerTable, Table as _, answer_value, parse_answer};
use super::value::ValueError;
use super::{Ledger, LedgerError, SubmitError};
use crate::codec::event::{AnswersNotice, Event, EventData};
use crate::crypto::merkle::Hash;
use crate::domain::time::UnixMillis;
use crate::limits::{ANSWER_DELAY_MAX_MS, ANSWER_ROOTS_MAX};

/// Answers that no root covers yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Time of the first.
    pub since: UnixMillis,
}

/// Root over answers, and the leaf that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covering {
    /// The leaf.
    pub index: u64,
    /// What it says.
    pub notice: AnswersNotice,
}

/// What became of an answer that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is on disk, and may leave.
    Kept,
    /// It waited until it was older than an answer may be that gets the next number, and is not kept.
    TooOld,
}

/// An answer on its way to the disk.
#[derive(Debug)]
struct Waiting {
    hash: Hash,
    time: UnixMillis,
}

#[derive(Debug, Default)]
struct Writing {
    /// The next number; `None` until the first answer.
    next: Option<u64>,
    /// Time of the latest that is kept or below a root; `None` until the first answer.
    newest: Option<UnixMillis>,
    /// What a write that failed may have left on the disk.
    failed: Vec<(u64, Hash)>,
}

/// The signed answers of a ledger.
#[derive(Debug)]
pub struct Answers {
    store: Arc<Store>,
    group: Group<Waiting, Writing, Keeping>,
}

fn unfit(table: &'static str, key: &[u8], what: &'static str) -> StoreError {
    StoreError::Value { table, key: data_encoding::HEXLOWER.encode(key), error: ValueError::OutOfRange(what) }
}

/// The key of a row of `answer`.
fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| unfit(AnswerTable::NAME, key, "number"))
}

impl Answers {
    pub(super) fn new(store: Arc<Store>) -> Answers {
        Answers { store, group: Group::default() }
    }

    /// Whether an answer of this time may get no number any more: whoever looks for it in the log takes it that none got one later.
    pub fn is_too_old(time: UnixMillis, now: UnixMillis) -> bool {
        now.0 > time.0.saturating_add(ANSWER_DELAY_MAX_MS)
    }

    /// Keeps what stands for an answer, unless it is too old by the time its turn comes. The same answer again is kept once.
    pub fn keep(&self, hash: Hash, time: UnixMillis, clock: &dyn Fn() -> UnixMillis) -> Result<Keeping, SubmitError> {
        self.group.submit(Waiting { hash, time }, |writing, waiting| {
            let unavailable = |error: StoreError| SubmitError::Unavailable(error.to_string());
            let (now, newest) = match self.newest(writing) {
                Ok(newest) => (clock(), newest),
                Err(error) => return waiting.iter().map(|_| Err(SubmitError::Unavailable(error.to_string()))).collect(),
            };
            let judge = |one: &Waiting| match one.time {
                time if Answers::is_too_old(time, now) => Ok(Keeping::TooOld),
                // Of a clock that was put back: among later ones it would look as if somebody had backdated it.
                time if Answers::is_too_old(time, newest) => Err(SubmitError::ClockBehind { now: time, head: newest }),
                _ => Ok(Keeping::Kept),
            };
            let judged: Vec<_> = waiting.iter().map(judge).collect();
            let good: Vec<Waiting> =
                waiting.into_iter().zip(&judged).filter(|(_, judged)| **judged == Ok(Keeping::Kept)).map(|(one, _)| one).collect();
            let written = if good.is_empty() { Ok(()) } else { self.write(writing, &good).map_err(unavailable) };
            judged.into_iter().map(|judged| if judged == Ok(Keeping::Kept) { written.clone().map(|()| Keeping::Kept) } else { judged }).collect()
        })
    }

    /// The latest time of any answer so far.
    fn newest(&self, writing: &mut Writing) -> Result<UnixMillis, StoreError> {
        if let Some(newest) = writing.newest {
            return Ok(newest);
        }
        // No answer after the last is more than a minute earlier, so that one of the two is the latest or nearly so; what cannot be read decides nothing.
        let kept = self.store.last::<AnswerTable>()?.and_then(|(_, row)| parse_answer(&row)).map(|(_, time)| UnixMillis(time));
        let told = self.store.last::<AnswerRoots>()?.and_then(|row| covering(&row).ok()).map(|covering| covering.notice.latest);
        let newest = kept.max(told).unwrap_or(UnixMillis(0));
        writing.newest = Some(newest);
        Ok(newest)
    }

    fn write(&self, writing: &mut Writing, waiting: &[Waiting]) -> Result<(), StoreError> {
        if !writing.failed.is_empty() {
            let mut batch = self.store.batch();
            for (number, hash) in &writing.failed {
                batch.delete::<AnswerTable>(number);
                batch.delete::<AnswerHashes>(hash);
            }
            batch.commit(true)?;
            writing.failed.clear();
        }
        let first = self.next(writing)?;
        let mut new = BTreeMap::new();
        let mut rows = Vec::new();
        let mut batch = self.store.batch();
        for Waiting { hash, time } in waiting {
            if new.contains_key(hash) || self.store.has::<AnswerHashes>(hash)? {
                continue;
            }
            let number = first + rows.len() as u64;
            new.insert(*hash, number);
            rows.push((number, *hash));
            batch.put_raw::<AnswerTable>(&number, &answer_value(hash, time.0));
            batch.put_raw::<AnswerHashes>(hash, &number.to_be_bytes());
        }
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len() as u64;
        if let Err(error) = batch.commit(true) {
            writing.failed = rows;
            return Err(error);
        }
        writing.next = Some(first + count);
        writing.newest = waiting.iter().map(|one| one.time).max().max(writing.newest);
        Ok(())
    }

    fn next(&self, writing: &mut Writing) -> Result<u64, StoreError> {
        let next = match writing.next {
            Some(next) => next,
            None => match self.store.last::<AnswerTable>()? {
                Some((key, _)) => number_of(&key)?.saturating_add(1),
                None => 0,
            },
        };
        writing.next = Some(next);
        Ok(next)
    }

    /// The hashes and times of at most `limit` answers from a number on, as far as they are safe on disk.
    pub fn from(&self, number: u64, limit: usize) -> Result<Vec<(Hash, UnixMillis)>, StoreError> {
        let end = self.next(&mut self.group.writing())?;
        let many = end.saturating_sub(number).min(limit as u64);
        let mut rows = Vec::new();
        for (row, expected) in self.store.scan::<AnswerTable>(&number).zip(number..number + many) {
            let (key, value) = row?;
            let answer = parse_answer(&value).filter(|_| number_of(&key).is_ok_and(|number| number == expected));
            let (hash, time) = answer.ok_or_else(|| unfit(AnswerTable::NAME, &key, "answer"))?;
            rows.push((hash, UnixMillis(time)));
        }
        if rows.len() as u64 == many { Ok(rows) } else { Err(unfit(AnswerTable::NAME, &number.to_be_bytes(), "answer")) }
    }

    /// Number and time of the answer with this hash, if it was signed here.
    pub fn find(&self, hash: &Hash) -> Result<Option<(u64, UnixMillis)>, StoreError> {
        let Some(row) = self.store.get::<AnswerHashes>(hash)? else { return Ok(None) };
        let number = row.as_slice().try_into().map(u64::from_be_bytes).map_err(|_| unfit(AnswerHashes::NAME, hash, "number"))?;
        // One that a write left there that failed has not left.
        if number >= self.next(&mut self.group.writing())? {
            return Ok(None);
        }
        let answer = self.store.get::<AnswerTable>(&number)?.and_then(|row| parse_answer(&row)).filter(|(stored, _)| stored == hash);
        let (_, time) = answer.ok_or_else(|| unfit(AnswerHashes::NAME, hash, "answer"))?;
        Ok(Some((number, UnixMillis(time))))
    }

    /// Answers that no root covers, if there are any.
    pub fn uncovered(&self) -> Result<Option<Uncovered>, LedgerError> {
        let first = self.newest_root()?.map_or(0, |covering| covering.notice.end());
        let end = self.next(&mut self.group.writing())?;
        let Some((_, since)) = self.from(first, 1)?.first().copied() else { return Ok(None) };
        Ok(Some(Uncovered { first, count: end.saturating_sub(first), since }))
    }

    fn newest_root(&self) -> Result<Option<Covering>, LedgerError> {
        self.store.last::<AnswerRoots>()?.map(|row| covering(&row)).transpose()
    }

    /// The root that covers the answer of this number, published or about to be.
    fn covering(&self, number: u64) -> Result<Option<Covering>, LedgerError> {
        let row = self.store.before::<AnswerRoots>(&(number.saturating_add(1), 0))?;
        let newest = row.map(|row| covering(&row)).transpose()?;
        Ok(newest.filter(|covering| number < covering.notice.end()))
    }

    /// Roots in the order of the log, from the one that covers the answer of this number on.
    fn roots_from(&self, number: u64) -> impl Iterator<Item = Result<Covering, LedgerError>> + '_ {
        self.store.scan::<AnswerRoots>(&(number, 0)).map(|row| covering(&row?))
    }
}

fn covering(row: &(Box<[u8]>, Vec<u8>)) -> Result<Covering, LedgerError> {
    let (key, data) = row;
    let index = key.last_chunk().copied().map_or(0, u64::from_be_bytes);
    match EventData::decode(Event::AnswersRoot, data) {
        Ok(EventData::AnswersRoot(notice)) => Ok(Covering { index, notice }),
        Ok(_) | Err(_) => Err(LedgerError::broken(index, "row of answer_root".into())),
    }
}

impl Ledger {
    /// The published root that covers the answer of this number.
    pub fn answers_root(&self, number: u64) -> Result<Option<Covering>, LedgerError> {
        let size = self.published().size;
        Ok(self.answers().covering(number)?.filter(|covering| covering.index < size))
    }

    /// The published roots that may be over answers of this time, from the last that is over earlier ones only to the first that is over later ones only:
    /// at most [`ANSWER_ROOTS_MAX`]. Earlier and later by more than [`ANSWER_DELAY_MAX_MS`], as numbers are given when answers are signed.
    pub fn answers_roots_around(&self, time: UnixMillis) -> Result<Vec<Covering>, LedgerError> {
        let size = self.published().size;
        let answers = self.answers();
        let Some(newest) = answers.newest_root()? else { return Ok(Vec::new()) };
        // The first number whose root is not over earlier answers only.
        let (mut low, mut high) = (0, newest.notice.end());
        while low < high {
            let middle = low + (high - low) / 2;
            match answers.covering(middle)? {
                Some(covering) if covering.notice.latest.0.saturating_add(ANSWER_DELAY_MAX_MS) < time.0 => low = covering.notice.end(),
                Some(covering) => high = covering.notice.first.min(middle),
                None => return Err(LedgerError::broken(newest.index, format!("no root covers answer {middle}"))),
            }
        }
        let before = match low.checked_sub(1) {
            Some(last) => answers.covering(last)?,
            None => None,
        };
        let mut roots: Vec<Covering> = before.into_iter().collect();
        for covering in answers.roots_from(low).take(ANSWER_ROOTS_MAX - 1) {
            let covering = covering?;
            roots.push(covering);
            if covering.notice.earliest.0 > time.0.saturating_add(ANSWER_DELAY_MAX_MS) {
                break;
            }
        }
        roots.retain(|covering| covering.index < size);
        Ok(roots)
    }
}
