//! Signed answers: every root in the log is that of the answers it says, none is left out between two roots, and each is found by its hash.

use super::Run;
use super::findings::{At, FOREIGN_KEY, MISSING, UNDECODABLE, UNREADABLE};
use super::history::History;
use super::layout::{Answers as Said, Hash};
use super::sums::{RowHash, Sum};
use super::sweep::{Step, Sweep, read_many};
use super::tree::Peaks;
use crate::ledger::store::StoreError;
use crate::ledger::tables::{AnswerHashes, AnswerRoots, Answers, Table as _, parse_answer};
use crate::limits::FSCK_POINT_READS;

pub(super) fn check(run: &Run<'_>, history: &History) -> Result<(), StoreError> {
    let mut end = 0;
    for (index, said) in &history.answers {
        if said.first != end {
            let before = format_args!("it begins with answer {}, and those before answer {end} have one", said.first);
            run.findings.add_with(AnswerRoots::NAME, At::Number(*index), "answers are left out, or have two roots", before);
        }
        end = said.first + said.count;
    }
    let sums = RowHash::new(&run.how.seed, AnswerHashes::NAME);
    let stored = read_answers(run, history, &sums)?;
    let found = read_hashes(run, &sums, stored.end)?;
    if let (Some(answers), Some(hashes)) = (stored.sum, found)
        && answers != hashes
    {
        compare(run, stored.end)?;
    }
    Ok(())
}

/// What the table of answers holds.
struct Stored {
    /// Number after the last answer; of an open ledger, when the check came to it.
    end: u64,
    /// Of the rows that they must have in the table of hashes; `None` if some could not be read.
    sum: Option<Sum>,
}

/// The answers below one root, as they are read.
#[derive(Default)]
struct Hour {
    peaks: Peaks,
    count: u64,
    times: Option<(u64, u64)>,
}

fn read_answers(run: &Run<'_>, history: &History, sums: &RowHash) -> Result<Stored, StoreError> {
    // Those that are signed meanwhile are for the next check.
    let until =
        if run.live { run.store.before_raw(Answers::NAME, None)?.and_then(|(key, _)| number(&key)).map_or(0, |last| last + 1) } else { u64::MAX };
    let mut roots = history.answers.iter().peekable();
    let (mut hour, mut end, mut whole, mut sum) = (Hour::default(), 0, true, Sum::default());
    let mut rows = Sweep::whole(run.store, Answers::NAME);
    while let Some(step) = rows.next()? {
        let (key, row) = match step {
            Step::Row(key, row) => (key, row),
            Step::Gap(gap) => {
                run.findings.add_with(Answers::NAME, At::After(gap.after), UNREADABLE, gap.reason);
                whole = false;
                continue;
            }
        };
        let Some(at) = number(key) else {
            run.findings.add(Answers::NAME, At::Key(key.to_vec()), FOREIGN_KEY);
            continue;
        };
        if at >= until {
            break;
        }
        if at != end && whole {
            run.findings.add(Answers::NAME, At::Span(end, at - 1), MISSING);
        }
        end = at + 1;
        let Some((hash, time)) = parse_answer(row) else {
            run.findings.add_with(Answers::NAME, At::Number(at), UNDECODABLE, format_args!("it holds {} bytes", row.len()));
            whole = false;
            continue;
        };
        sum.add(&sums.of(&hash, &at.to_be_bytes()));
        // Of a root whose answers are not all there, the rest is not asked.
        while let Some((index, said)) = roots.next_if(|(_, said)| said.first + said.count <= at) {
            judge(run, *index, said, &std::mem::take(&mut hour));
        }
        if roots.peek().is_some_and(|(_, said)| (said.first..said.first + said.count).contains(&at)) {
            hour.peaks.push(0, hash);
            hour.count += 1;
            let (earliest, latest) = hour.times.unwrap_or((time, time));
            hour.times = Some((earliest.min(time), latest.max(time)));
        }
    }
    for (index, said) in roots {
        judge(run, *index, said, &std::mem::take(&mut hour));
    }
    Ok(Stored { end, sum: whole.then_some(sum) })
}

fn judge(run: &Run<'_>, index: u64, said: &Said, hour: &Hour) {
    let at = At::Number(index);
    if hour.count != said.count {
        let detail = format_args!("of answers {} to {} there are {}", said.first, said.first + said.count - 1, hour.count);
        run.findings.add_with(AnswerRoots::NAME, at, "answers that it is the root of are missing", detail);
    } else if hour.peaks.root() != said.root {
        run.findings.add(AnswerRoots::NAME, at, "the root in the log is not that of the answers");
    } else if hour.times != Some(said.times) {
        run.findings.add(AnswerRoots::NAME, at, "the times in the log are not those of the answers");
    }
}

/// Sum over the table of hashes, of answers before `end`; `None` if some could not be read.
fn read_hashes(run: &Run<'_>, sums: &RowHash, end: u64) -> Result<Option<Sum>, StoreError> {
    let (mut sum, mut whole) = (Sum::default(), true);
    let mut rows = Sweep::whole(run.store, AnswerHashes::NAME);
    while let Some(step) = rows.next()? {
        match step {
            Step::Row(key, row) => match (key.len(), number(row)) {
                (32, Some(at)) if run.live && at >= end => {}
                (32, Some(_)) => sum.add(&sums.of(key, row)),
                (32, None) => {
                    run.findings.add_with(AnswerHashes::NAME, At::Key(key.to_vec()), UNDECODABLE, format_args!("it holds {} bytes", row.len()));
                }
                _ => run.findings.add(AnswerHashes::NAME, At::Key(key.to_vec()), FOREIGN_KEY),
            },
            Step::Gap(gap) => {
                run.findings.add_with(AnswerHashes::NAME, At::After(gap.after), UNREADABLE, gap.reason);
                whole = false;
            }
        }
    }
    Ok(whole.then_some(sum))
}

/// Row by row, from either side: which answers are not found by their hash, and which hashes are of no answer.
fn compare(run: &Run<'_>, end: u64) -> Result<(), StoreError> {
    let mut answers: Vec<(u64, Hash)> = Vec::new();
    let look_up = |answers: &mut Vec<(u64, Hash)>| -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = answers.iter().map(|(_, hash)| hash.to_vec()).collect();
        for ((at, _), row) in answers.drain(..).zip(read_many(run.store, AnswerHashes::NAME, &keys)?) {
            if row.is_some_and(|row| row.as_deref().and_then(number) != Some(at)) {
                run.findings.add(Answers::NAME, At::Number(at), "it is not found by its hash");
            }
        }
        Ok(())
    };
    let mut rows = Sweep::new(run.store, Answers::NAME, Vec::new(), Some(end.to_be_bytes().to_vec()));
    while let Some(step) = rows.next()? {
        if let Step::Row(key, row) = step {
            answers.extend(number(key).zip(parse_answer(row)).map(|(at, (hash, _))| (at, hash)));
            if answers.len() >= FSCK_POINT_READS {
                look_up(&mut answers)?;
            }
        }
    }
    look_up(&mut answers)?;

    let mut hashes: Vec<(u64, Vec<u8>)> = Vec::new();
    let look_back = |hashes: &mut Vec<(u64, Vec<u8>)>| -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = hashes.iter().map(|(at, _)| at.to_be_bytes().to_vec()).collect();
        for ((_, hash), row) in hashes.drain(..).zip(read_many(run.store, Answers::NAME, &keys)?) {
            if row.is_some_and(|row| row.as_deref().and_then(parse_answer).is_none_or(|(stored, _)| stored[..] != hash[..])) {
                run.findings.add(AnswerHashes::NAME, At::Key(hash), "it is the hash of no answer");
            }
        }
        Ok(())
    };
    let mut rows = Sweep::whole(run.store, AnswerHashes::NAME);
    while let Some(step) = rows.next()? {
        if let Step::Row(key, row) = step {
            let is_one = |at: &u64| key.len() == 32 && (!run.live || *at < end);
            hashes.extend(number(row).filter(is_one).map(|at| (at, key.to_vec())));
            if hashes.len() >= FSCK_POINT_READS {
                look_back(&mut hashes)?;
            }
        }
    }
    look_back(&mut hashes)
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
