//! `inv` and `tax`, whose keys are in another order than the log: first by sums over all rows, and only if those differ row by row.

use std::collections::BTreeSet;

use super::Run;
use super::entries::{Plan, Tally};
use super::findings::{At, FOREIGN_KEY, MISSING, UNDECODABLE, UNREADABLE};
use super::history::FaceSums;
use super::layout::{Face, Id, Leaf};
use super::sums::Sum;
use super::sweep::{Cell, Column, Read, Step, Sweep, read_many};
use crate::ledger::store::StoreError;
use crate::ledger::tables::{ByTaxpayer, Invoices, Leaves, Seals, Table as _};
use crate::ledger::value::{self, InvRecord, InvoiceSeal, Seal};
use crate::limits::{FSCK_POINT_READS, FSCK_SAMPLES};

/// A part of one of the two tables: its keys from the first on and before the second.
pub(super) type Span = (Vec<u8>, Option<Vec<u8>>);

/// Parts of about equal size of both tables, by the invoices at regular distances in the log.
pub(super) fn shares(run: &Run<'_>, parts: usize) -> Result<[Vec<Span>; 2], StoreError> {
    let step = run.size.div_ceil(FSCK_SAMPLES).max(1);
    let keys: Vec<_> = (0..run.size).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(|index| index.to_be_bytes().to_vec()).collect();
    let [mut ids, mut places] = [const { Vec::new() }; 2];
    for (key, seal) in keys.iter().zip(read_many(run.store, Seals::NAME, &keys)?) {
        if let Some(Ok(Seal::Invoice(invoice))) = seal.flatten().map(|bytes| value::decode(&bytes))
            && let Some(face) = Face::of(&invoice.face)
        {
            ids.push(face.id.to_vec());
            places.push(face.tax_key(key.as_slice().try_into().map_or(0, u64::from_be_bytes)).to_vec());
        }
    }
    Ok([ids, places].map(|mut samples| {
        samples.sort_unstable();
        let distance = samples.len().div_ceil(parts).max(1);
        let mut bounds: Vec<Vec<u8>> = samples.into_iter().skip(distance).step_by(distance).collect();
        bounds.dedup();
        let begins = std::iter::once(Vec::new()).chain(bounds.iter().cloned());
        let ends = bounds.iter().cloned().map(Some).chain([None]);
        begins.zip(ends).collect()
    }))
}

/// What is stored of a table, added up.
#[derive(Clone, Copy, Default)]
pub(super) struct Stored {
    pub(super) sum: Sum,
    /// Whether some of it cannot be read.
    pub(super) gaps: bool,
}

impl Stored {
    pub(super) fn merge(&mut self, other: &Stored) {
        self.sum.merge(&other.sum);
        self.gaps |= other.gaps;
    }
}

/// Adds up the stored rows of a part of `inv`.
pub(super) fn sum_invoices(run: &Run<'_>, plan: &Plan<'_>, (from, until): Span) -> Result<Stored, StoreError> {
    let Stored { mut sum, mut gaps } = Stored::default();
    let mut rows = Sweep::new(run.store, Invoices::NAME, from, until);
    let mut changed = Vec::new();
    while let Some(step) = rows.next()? {
        let (key, row) = match step {
            Step::Row(key, row) => (key, row),
            Step::Gap(gap) => {
                run.findings.add_with(Invoices::NAME, At::After(gap.after), UNREADABLE, gap.reason);
                gaps = true;
                continue;
            }
        };
        // Of a ledger that is written to, a row may be newer than what is checked.
        if run.live
            && let Ok(record) = value::decode::<InvRecord>(row)
            && record.last_event >= run.size
        {
            if record.index < run.size {
                changed.push((key.to_vec(), record));
            }
            if changed.len() == FSCK_POINT_READS {
                sum_changed(run, plan, &mut changed, &mut sum)?;
            }
            continue;
        }
        sum.add(&plan.inv.of(key, row));
    }
    sum_changed(run, plan, &mut changed, &mut sum)?;
    Ok(Stored { sum, gaps })
}

/// Rows that events after the checked ones have changed: what no event changes is compared, and each counts as the log had it before.
fn sum_changed(run: &Run<'_>, plan: &Plan<'_>, changed: &mut Vec<(Vec<u8>, InvRecord)>, sum: &mut Sum) -> Result<(), StoreError> {
    changed.sort_unstable_by_key(|(_, record)| record.index);
    let indexes: Vec<u64> = changed.iter().map(|(_, record)| record.index).collect();
    for ((key, stored), entry) in changed.drain(..).zip(read_invoices(run, &indexes)?) {
        let Some(Some((leaf, invoice))) = entry else { continue };
        let Some(sums) = Face::of(&invoice.face).map(|face| FaceSums::from(&face)).filter(|sums| sums.id == *key) else { continue };
        let row = plan.history.row(stored.index, &leaf, invoice, &sums);
        if is_later(&stored, &row) {
            sum.add(&plan.inv.of(&key, &value::encode(&row)));
        }
    }
    Ok(())
}

/// Adds up the stored rows of a part of `tax`.
pub(super) fn sum_taxpayers(run: &Run<'_>, plan: &Plan<'_>, (from, until): Span) -> Result<Stored, StoreError> {
    let Stored { mut sum, mut gaps } = Stored::default();
    let mut rows = Sweep::new(run.store, ByTaxpayer::NAME, from, until);
    while let Some(step) = rows.next()? {
        match step {
            Step::Row(key, _) if run.live && leaf_of(key).is_some_and(|index| index >= run.size) => {}
            Step::Row(key, row) => sum.add(&plan.tax.of(key, row)),
            Step::Gap(gap) => {
                run.findings.add_with(ByTaxpayer::NAME, At::After(gap.after), UNREADABLE, gap.reason);
                gaps = true;
            }
        }
    }
    Ok(Stored { sum, gaps })
}

/// The leaf that a key of `tax` ends in.
fn leaf_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes).filter(|_| key.len() == 32)
}

type Entry = (Leaf, InvoiceSeal);

/// Leaves and seals of invoices: `None` for what cannot be read, and in it `None` for what is no invoice.
fn read_invoices(run: &Run<'_>, indexes: &[u64]) -> Result<Vec<Option<Option<Entry>>>, StoreError> {
    let keys: Vec<_> = indexes.iter().map(|index| index.to_be_bytes().to_vec()).collect();
    let (leaves, seals) = (read_many(run.store, Leaves::NAME, &keys)?, read_many(run.store, Seals::NAME, &keys)?);
    let entry = |(leaf, seal): (Read, Read)| {
        let leaf = leaf?.and_then(|leaf| Leaf::of(&leaf));
        let seal = match seal?.map(|seal| value::decode::<Seal>(&seal)) {
            // Said already, and nothing can be concluded from it.
            Some(Err(_)) => return None,
            Some(Ok(Seal::Invoice(invoice))) => Some(invoice),
            Some(Ok(Seal::Event(_))) | None => None,
        };
        Some(leaf.zip(seal))
    };
    Ok(leaves.into_iter().zip(seals).map(entry).collect())
}

/// Names every wrong, missing and superfluous row of the table, if what is stored does not add up to what the log says.
pub(super) fn compare(run: &Run<'_>, plan: &Plan<'_>, table: &'static str, stored: &Stored, tally: &Tally) -> Result<(), StoreError> {
    let of_invoices = table == Invoices::NAME;
    let expected = if of_invoices { &tally.inv } else { &tally.tax };
    if *expected == stored.sum && !stored.gaps {
        return Ok(());
    }
    run.progress.expect_third(run.size);
    let stored_rows = stored.sum.rows;
    if expected.rows != stored_rows && tally.unread == 0 && !stored.gaps {
        let what = if of_invoices { "there are not as many rows as invoices in the log" } else { "there are not as many rows as invoices" };
        run.findings.add(table, At::Number(stored_rows), what);
    }
    let wrong = if of_invoices { stored_invoices(run)? } else { stored_taxpayers(run)? };
    let mut seals = Column::new(run, Seals::NAME, &[], 0, run.size);
    let mut leaves = Column::new(run, Leaves::NAME, &[], 0, run.size);
    let mut entries = Vec::new();
    for index in 0..run.size {
        let leaf = match leaves.row(index)? {
            Cell::Row(bytes) => Leaf::of(bytes),
            Cell::Absent | Cell::Unreadable => None,
        };
        if let (Some(leaf), Cell::Row(seal)) = (leaf, seals.row(index)?)
            && let Ok(Seal::Invoice(invoice)) = value::decode(seal)
        {
            entries.push((index, leaf, invoice));
        }
        if entries.len() == FSCK_POINT_READS || index + 1 == run.size {
            run.progress.third(entries.len() as u64);
            if of_invoices {
                expected_invoices(run, plan, &mut entries, &wrong, tally.unread > 0)?;
            } else {
                expected_taxpayers(run, &mut entries, &wrong)?;
            }
        }
    }
    Ok(())
}

/// What was found wrong of stored rows, so that it is not said twice: keys of `inv`, leaves of `tax`.
type Wrong = BTreeSet<Vec<u8>>;

/// Rows of `inv` that have no leaf of their own.
fn stored_invoices(run: &Run<'_>) -> Result<Wrong, StoreError> {
    let mut wrong = Wrong::new();
    let mut rows = Sweep::whole(run.store, Invoices::NAME);
    let mut waiting: Vec<(Id, u64)> = Vec::new();
    loop {
        let step = rows.next()?;
        let ends = step.is_none();
        if let Some(Step::Row(key, row)) = step {
            match (Id::try_from(key), value::decode::<InvRecord>(row)) {
                (Err(_), _) => run.findings.add(Invoices::NAME, At::Key(key.to_vec()), FOREIGN_KEY),
                (Ok(id), Err(error)) => {
                    run.findings.add_with(Invoices::NAME, At::Invoice(id), UNDECODABLE, error);
                    wrong.insert(id.to_vec());
                }
                (Ok(id), Ok(record)) if record.index < run.size => waiting.push((id, record.index)),
                (Ok(_), Ok(_)) if run.live => {}
                (Ok(id), Ok(_)) => without_leaf(run, id, &mut wrong),
            }
        }
        if waiting.len() == FSCK_POINT_READS || ends {
            waiting.sort_unstable_by_key(|(_, index)| *index);
            let indexes: Vec<u64> = waiting.iter().map(|(_, index)| *index).collect();
            for ((id, _), entry) in waiting.drain(..).zip(read_invoices(run, &indexes)?) {
                let Some(entry) = entry else { continue };
                if entry.and_then(|(_, invoice)| Face::of(&invoice.face).map(|face| face.id)) != Some(id) {
                    without_leaf(run, id, &mut wrong);
                }
            }
        }
        if ends {
            return Ok(wrong);
        }
    }
}

fn without_leaf(run: &Run<'_>, id: Id, wrong: &mut Wrong) {
    run.findings.add(Invoices::NAME, At::Invoice(id), "the row has no leaf of its own in the log");
    wrong.insert(id.to_vec());
}

const NOT_BY_LOG: &str = "the row is not what the log makes of it";

/// Each invoice of the log has its row.
fn expected_invoices(
    run: &Run<'_>,
    plan: &Plan<'_>,
    entries: &mut Vec<(u64, Leaf, InvoiceSeal)>,
    wrong: &Wrong,
    events_are_unread: bool,
) -> Result<(), StoreError> {
    let mut expected = Vec::with_capacity(entries.len());
    for (index, leaf, invoice) in entries.drain(..) {
        let Some(sums) = Face::of(&invoice.face).map(|face| FaceSums::from(&face)) else { continue };
        expected.push((sums.id, plan.history.row(index, &leaf, invoice, &sums)));
    }
    expected.sort_unstable_by_key(|(id, _)| *id);
    let keys: Vec<_> = expected.iter().map(|(id, _)| id.to_vec()).collect();
    for ((id, row), stored) in expected.into_iter().zip(read_many(run.store, Invoices::NAME, &keys)?) {
        if wrong.contains(id.as_slice()) {
            continue;
        }
        match stored {
            None => {}
            Some(None) => run.findings.add(Invoices::NAME, At::Invoice(id), MISSING),
            Some(Some(bytes)) if bytes == value::encode(&row) => {}
            Some(Some(bytes)) => match value::decode::<InvRecord>(&bytes) {
                Ok(stored) if stored.index != row.index => {
                    let both = format_args!("leaves {} and {}", stored.index.min(row.index), stored.index.max(row.index)).to_string();
                    run.findings.add_with(Invoices::NAME, At::Invoice(id), "the number is in the log twice", both);
                }
                Ok(stored) if run.live && stored.last_event >= run.size && is_later(&stored, &row) => {}
                Ok(_) | Err(_) if events_are_unread => {
                    run.findings.add_with(Invoices::NAME, At::Invoice(id), NOT_BY_LOG, "unless a leaf that cannot be read has changed it");
                }
                Ok(_) | Err(_) => run.findings.add(Invoices::NAME, At::Invoice(id), NOT_BY_LOG),
            },
        }
    }
    Ok(())
}

/// Whether later events can have made the one of the other.
fn is_later(stored: &InvRecord, row: &InvRecord) -> bool {
    let InvRecord { voided, suspended, live_reds, remaining_amount, remaining_tax, last_event, last_event_ms, .. } = *stored;
    *stored == InvRecord { voided, suspended, live_reds, remaining_amount, remaining_tax, last_event, last_event_ms, ..row.clone() }
}

/// Rows of `tax` that are not of their invoice.
fn stored_taxpayers(run: &Run<'_>) -> Result<Wrong, StoreError> {
    let mut wrong = Wrong::new();
    let mut rows = Sweep::whole(run.store, ByTaxpayer::NAME);
    let mut waiting: Vec<(u64, Vec<u8>)> = Vec::new();
    loop {
        let step = rows.next()?;
        let ends = step.is_none();
        if let Some(Step::Row(key, row)) = step {
            match leaf_of(key) {
                None => run.findings.add(ByTaxpayer::NAME, At::Key(key.to_vec()), FOREIGN_KEY),
                Some(index) if index >= run.size && run.live => {}
                Some(index) if !row.is_empty() => {
                    run.findings.add_with(ByTaxpayer::NAME, At::Number(index), UNDECODABLE, format_args!("it holds {} bytes", row.len()));
                    wrong.insert(index.to_be_bytes().to_vec());
                }
                Some(index) => waiting.push((index, key.to_vec())),
            }
        }
        if waiting.len() == FSCK_POINT_READS || ends {
            waiting.sort_unstable();
            let indexes: Vec<u64> = waiting.iter().map(|(index, _)| *index).collect();
            for ((index, key), entry) in waiting.drain(..).zip(read_invoices(run, &indexes)?) {
                let Some(entry) = entry.map(|entry| entry.filter(|_| index < run.size)) else { continue };
                let expected = entry.and_then(|(_, invoice)| Face::of(&invoice.face).map(|face| face.tax_key(index)));
                if expected.as_ref().map(<[u8; 32]>::as_slice) != Some(&*key) {
                    run.findings.add(ByTaxpayer::NAME, At::Number(index), "the row is not of the invoice's seller and date");
                    wrong.insert(index.to_be_bytes().to_vec());
                }
            }
        }
        if ends {
            return Ok(wrong);
        }
    }
}

/// Each invoice of the log has its row, or a wrong one that was named.
fn expected_taxpayers(run: &Run<'_>, entries: &mut Vec<(u64, Leaf, InvoiceSeal)>, wrong: &Wrong) -> Result<(), StoreError> {
    let mut expected: Vec<(Vec<u8>, u64)> =
        entries.drain(..).filter_map(|(index, _, invoice)| Some((Face::of(&invoice.face)?.tax_key(index).to_vec(), index))).collect();
    expected.sort_unstable();
    let keys: Vec<_> = expected.iter().map(|(key, _)| key.clone()).collect();
    for ((_, index), stored) in expected.into_iter().zip(read_many(run.store, ByTaxpayer::NAME, &keys)?) {
        if matches!(stored, Some(None)) && !wrong.contains(index.to_be_bytes().as_slice()) {
            run.findings.add(ByTaxpayer::NAME, At::Number(index), MISSING);
        }
    }
    Ok(())
}
