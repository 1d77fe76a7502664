//! The small tables, row by row, and rows that nothing in the log explains.

use std::collections::BTreeSet;

use super::Run;
use super::findings::{At, BEYOND, FOREIGN_KEY, MISSING, UNDECODABLE, UNREADABLE};
use super::history::History;
use super::layout::Id;
use super::sweep::{Step, Sweep, read_many};
use crate::crypto::note::Note;
use crate::domain::number::InvoiceId;
use crate::ledger::registry::{self, Enrolled};
use crate::ledger::store::StoreError;
use crate::ledger::tables::{
    Allotments, AnswerRoots, Audit, Bodies, Callers, Cosigned, Counts, DERIVED, Heads, Keys, Leaves, Meta, Policies, Reopens, Seals, Table as _,
    watermark,
};
use crate::ledger::value::{self, AllotRecord, AuditRecord, CallerRecord, CountRecord, HeadRecord, ValueError};
use crate::limits::FSCK_POINT_READS;

/// Number of the act that erases a body, in the trail.
const ERASED_ACT: u8 = 14;

/// `allot`, `key`, `reopen`, `answer_root` and `policy` have the row that each event makes, and no other.
pub(super) fn compare(run: &Run<'_>, history: &History) -> Result<(), StoreError> {
    let counts = [
        (Allotments::NAME, 19, "there are not as many rows as events"),
        (Keys::NAME, 8, "there are not as many rows as key events"),
        (Reopens::NAME, 8, "there are not as many rows as notices"),
        (AnswerRoots::NAME, 16, "there are not as many rows as answers events"),
        (Policies::NAME, 8, "there are not as many rows as policy events"),
    ];
    for (table, key_bytes, count) in counts {
        if run.checks(table) {
            compare_one(run, table, key_bytes, count, history.rows_of(table))?;
        }
    }
    Ok(())
}

fn compare_one(run: &Run<'_>, table: &'static str, key_bytes: usize, count: &'static str, expected: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
    let (mut rows, mut gaps) = (0u64, false);
    // Leaves whose row was there, right or wrong.
    let mut seen = BTreeSet::new();
    let mut unread: BTreeSet<&[u8]> = expected.iter().map(|(key, _)| key.as_slice()).collect();
    let mut stored = Sweep::whole(run.store, table);
    while let Some(step) = stored.next()? {
        let (key, row) = match step {
            Step::Row(key, row) => (key, row),
            Step::Gap(gap) => {
                run.findings.add_with(table, At::After(gap.after), UNREADABLE, gap.reason);
                gaps = true;
                continue;
            }
        };
        let Some(index) = key.last_chunk().copied().map(u64::from_be_bytes).filter(|_| key.len() == key_bytes) else {
            run.findings.add(table, At::Key(key.to_vec()), FOREIGN_KEY);
            continue;
        };
        if run.live && index >= run.size {
            continue;
        }
        rows += 1;
        seen.insert(index);
        unread.remove(key);
        let place = expected.binary_search_by(|(expected, _)| expected.as_slice().cmp(key));
        if place.ok().and_then(|at| expected.get(at)).is_some_and(|(_, value)| value == row) {
            continue;
        }
        match value::decode::<AllotRecord>(row) {
            Err(error) if table == Allotments::NAME => run.findings.add_with(table, At::Number(index), UNDECODABLE, error),
            Ok(_) | Err(_) => run.findings.add(table, At::Number(index), "the row is not what its event says"),
        }
    }
    if rows != expected.len() as u64 && !gaps {
        run.findings.add(table, At::Number(rows), count);
    }
    let unread: Vec<Vec<u8>> = unread.into_iter().map(<[u8]>::to_vec).collect();
    for keys in unread.chunks(FSCK_POINT_READS) {
        for (key, row) in keys.iter().zip(read_many(run.store, table, keys)?) {
            let index = key.last_chunk().copied().map_or(0, u64::from_be_bytes);
            if matches!(row, Some(None)) && !seen.contains(&index) {
                run.findings.add(table, At::Number(index), MISSING);
            }
        }
    }
    Ok(())
}

/// `count`, `meta`, `caller` and `audit` follow from nothing, but they must decode.
pub(super) fn decode(run: &Run<'_>) -> Result<(), StoreError> {
    let mut counts = Sweep::whole(run.store, Counts::NAME);
    while let Some(step) = counts.next()? {
        match step {
            Step::Row(key, row) => match (key.try_into().ok().and_then(InvoiceId::from_bytes), value::decode::<CountRecord>(row)) {
                (Some(_), Ok(_)) => {}
                (None, _) => run.findings.add(Counts::NAME, At::Key(key.to_vec()), FOREIGN_KEY),
                (Some(id), Err(error)) => run.findings.add_with(Counts::NAME, At::Invoice(id.to_bytes()), UNDECODABLE, error),
            },
            Step::Gap(gap) => run.findings.add_with(Counts::NAME, At::After(gap.after), UNREADABLE, gap.reason),
        }
    }
    let mut facts = Sweep::whole(run.store, Meta::NAME);
    while let Some(step) = facts.next()? {
        match step {
            Step::Row(name, row) => {
                let is_watermark = DERIVED.into_iter().filter_map(watermark).any(|known| known.as_bytes() == name);
                if is_watermark && row.len() != 8 {
                    let at = At::Named(String::from_utf8_lossy(name).into_owned());
                    run.findings.add_with(Meta::NAME, at, UNDECODABLE, format_args!("it holds {} bytes", row.len()));
                }
            }
            Step::Gap(gap) => run.findings.add_with(Meta::NAME, At::After(gap.after), UNREADABLE, gap.reason),
        }
    }
    decode_each(run, Callers::NAME, |key, row| {
        let id = registry::caller_id(key)?;
        Some(value::decode::<CallerRecord>(row).and_then(|record| Enrolled::of(id, record)).err())
    })?;
    check_cosigned(run)?;
    decode_each(run, Audit::NAME, |key, row| {
        registry::sequence(key)?;
        Some(value::decode::<AuditRecord>(row).and_then(registry::entry_of).err())
    })
}

/// What witnesses cosigned is what was published.
fn check_cosigned(run: &Run<'_>) -> Result<(), StoreError> {
    let mut cosigned = Sweep::whole(run.store, Cosigned::NAME);
    while let Some(step) = cosigned.next()? {
        match step {
            Step::Row(key, row) => {
                let Ok(size) = key.try_into().map(u64::from_be_bytes) else {
                    run.findings.add(Cosigned::NAME, At::Key(key.to_vec()), FOREIGN_KEY);
                    continue;
                };
                let at = || At::Number(size);
                let note = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| Note::parse(text).ok());
                // One that cannot be read is reported where heads are.
                let Some(head) = read_many(run.store, Heads::NAME, &[key.to_vec()])?.pop().flatten() else { continue };
                let published = head.and_then(|head| note(value::decode::<HeadRecord>(&head).ok()?.note.as_bytes()));
                match (note(row), published) {
                    (None, _) => run.findings.add(Cosigned::NAME, at(), UNDECODABLE),
                    (Some(cosigned), Some(published)) if cosigned.text() == published.text() => {}
                    (Some(_), _) => run.findings.add(Cosigned::NAME, at(), "it is not the checkpoint of this size"),
                }
            }
            Step::Gap(gap) => run.findings.add_with(Cosigned::NAME, At::After(gap.after), UNREADABLE, gap.reason),
        }
    }
    Ok(())
}

/// Of every body that was erased the audit trail knows: who could only write a row in its place would leave no trace otherwise.
pub(super) fn erasures(run: &Run<'_>, erased: &[(u64, Id)]) -> Result<(), StoreError> {
    if erased.is_empty() {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    let mut trail = Sweep::whole(run.store, Audit::NAME);
    while let Some(step) = trail.next()? {
        // What cannot be read was reported already.
        let Step::Row(_, row) = step else { continue };
        if let Ok(record) = value::decode::<AuditRecord>(row)
            && record.act == ERASED_ACT
            && let Some((code, rest)) = record.subject.split_once(' ')
        {
            known.insert(format!("{code} {}", rest.split(' ').next().unwrap_or_default()));
        }
    }
    for (index, id) in erased {
        let named = InvoiceId::from_bytes(*id).map(|id| format!("{} {}", id.code, id.number));
        if !named.is_some_and(|named| known.contains(&named)) {
            run.findings.add(Bodies::NAME, At::Number(*index), "the body was erased, and the audit trail does not say by whom");
        }
    }
    Ok(())
}

/// Reads every row of a table; `fault` says what is wrong with one, or `None` if its key is no key of the table.
fn decode_each(run: &Run<'_>, table: &'static str, fault: impl Fn(&[u8], &[u8]) -> Option<Option<ValueError>>) -> Result<(), StoreError> {
    let mut rows = Sweep::whole(run.store, table);
    while let Some(step) = rows.next()? {
        match step {
            Step::Row(key, row) => match fault(key, row) {
                Some(None) => {}
                Some(Some(error)) => run.findings.add_with(table, At::Key(key.to_vec()), UNDECODABLE, error),
                None => run.findings.add(table, At::Key(key.to_vec()), FOREIGN_KEY),
            },
            Step::Gap(gap) => run.findings.add_with(table, At::After(gap.after), UNREADABLE, gap.reason),
        }
    }
    Ok(())
}

/// Nothing is stored beyond the newest checkpoint.
pub(super) fn report_beyond(run: &Run<'_>) -> Result<(), StoreError> {
    for (table, from) in [(Leaves::NAME, run.size), (Seals::NAME, run.size), (Bodies::NAME, run.size), (Heads::NAME, run.size + 1)] {
        let mut rows = Sweep::new(run.store, table, from.to_be_bytes().to_vec(), None);
        while let Some(step) = rows.next()? {
            match step {
                Step::Row(key, _) => {
                    let number = key.try_into().map(u64::from_be_bytes);
                    run.findings.add(table, number.map_or_else(|_| At::Key(key.to_vec()), At::Number), BEYOND);
                    break;
                }
                Step::Gap(gap) => run.findings.add_with(table, At::Number(from), UNREADABLE, gap.reason),
            }
        }
    }
    Ok(())
}
