//! What the log says beside plain issues: the events on invoices that exist, allotments, keys and origins. The only part of a check that is kept in
//! memory as a whole: about 150 bytes for each red, void and status, 250 for each allotment or mark.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Run;
use super::findings::At;
use super::layout::{Answers, Face, Id, Leaf, RED, Said, said};
use crate::codec::event::KeyRecord;
use crate::crypto::keyring::PublicKeys;
use crate::crypto::note::Origin;
use crate::ledger::tables::{Allotments, AnswerRoots, Keys, Leaves, Policies, Reopens, Table as _};
use crate::ledger::value::{InvRecord, InvoiceSeal, Seal};

/// An event on an invoice that exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) id: Id,
    pub(super) index: u64,
    pub(super) time_ms: u64,
    pub(super) what: What,
    /// Which leaf it says is the invoice's, and of which kind that is. A void of a red says so of the red and not of its original.
    pub(super) says: Option<(u64, u8)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Taken back by this much: amount, tax (negative).
    Red(i64, i64),
    /// A red against it was voided, giving this back.
    RedVoided(i64, i64),
    Voided,
    Status(u8),
}

/// A red-letter invoice and what it takes back.
#[derive(Clone, Copy, Debug)]
struct Red {
    id: Id,
    original: Id,
    amount: i64,
    tax: i64,
}

/// The events of some leaves, in their order.
#[derive(Default)]
pub(super) struct Gathered {
    touches: Vec<Touch>,
    reds: Vec<Red>,
    allotments: Vec<(Vec<u8>, Vec<u8>)>,
    keys: Vec<(u64, KeyRecord, Vec<u8>)>,
    reopens: Vec<(u64, Origin, Vec<u8>)>,
    answers: Vec<(u64, Answers, Vec<u8>)>,
    policies: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Gathered {
    /// Takes in a leaf that is no plain issue. What is wrong with it is said when all leaves are checked.
    pub(super) fn take(&mut self, index: u64, leaf: &Leaf, seal: &Seal) {
        let (time_ms, says) = (leaf.time_ms(), Some((leaf.reference(), leaf.kind())));
        match seal {
            Seal::Invoice(invoice) => {
                if let (RED, Some(original), Some(face)) = (leaf.event(), invoice.original, Face::of(&invoice.face)) {
                    let (amount, tax) = (face.amount, face.total.wrapping_sub(face.amount));
                    self.reds.push(Red { id: face.id, original, amount, tax });
                    self.touches.push(Touch { id: original, index, time_ms, what: What::Red(amount, tax), says });
                }
            }
            Seal::Event(event) => match said(leaf.event(), index, &event.data) {
                Some(Said::Void(id)) => self.touches.push(Touch { id, index, time_ms, what: What::Voided, says }),
                Some(Said::Status(id, mark)) => self.touches.push(Touch { id, index, time_ms, what: What::Status(mark), says }),
                Some(Said::Allotment(key, value)) => self.allotments.push((key, value)),
                Some(Said::Key(record)) => self.keys.push((index, record, event.data.clone())),
                Some(Said::Answers(answers)) => self.answers.push((index, answers, event.data.clone())),
                Some(Said::Reopen(origin)) => self.reopens.push((index, origin, event.data.clone())),
                Some(Said::Policy) => self.policies.push((index.to_be_bytes().to_vec(), event.data.clone())),
                Some(Said::Nothing) | None => {}
            },
        }
    }
}

/// The events on one invoice, and whether the invoice itself was met.
struct Group {
    touches: Range<usize>,
    met: AtomicBool,
}

/// All of it, by what it concerns.
pub(super) struct History {
    touches: Vec<Touch>,
    groups: HashMap<Id, Group>,
    originals: HashMap<Id, Id>,
    /// As the log's key events say, not as the table does.
    pub(super) keys: PublicKeys,
    /// Where the log went on under another origin.
    pub(super) origins: Vec<(u64, Origin)>,
    /// The rows of the small tables that follow from the log, in the order of their keys.
    pub(super) allotments: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) key_rows: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) reopen_rows: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) answer_rows: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) policy_rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// The roots over answers and their leaves, in log order.
    pub(super) answers: Vec<(u64, Answers)>,
}

impl History {
    pub(super) fn new(run: &Run<'_>, parts: Vec<Gathered>) -> History {
        let mut all = Gathered::default();
        for mut part in parts {
            all.touches.append(&mut part.touches);
            all.reds.append(&mut part.reds);
            all.allotments.append(&mut part.allotments);
            all.keys.append(&mut part.keys);
            all.reopens.append(&mut part.reopens);
            all.answers.append(&mut part.answers);
            all.policies.append(&mut part.policies);
        }
        let Gathered { mut touches, reds, mut allotments, keys, reopens, answers, policies } = all;
        let reds: HashMap<Id, Red> = reds.into_iter().map(|red| (red.id, red)).collect();
        let given_back = touches.iter().filter(|touch| matches!(touch.what, What::Voided)).filter_map(|touch| {
            let Red { original, amount, tax, .. } = *reds.get(&touch.id)?;
            Some(Touch { id: original, what: What::RedVoided(amount, tax), says: None, ..*touch })
        });
        touches.extend(given_back.collect::<Vec<_>>());
        touches.sort_unstable_by_key(|touch| (touch.id, touch.index));
        let mut groups = HashMap::new();
        let mut begin = 0;
        for group in touches.chunk_by(|one, next| one.id == next.id) {
            let end = begin + group.len();
            groups.insert(group[0].id, Group { touches: begin..end, met: AtomicBool::new(false) });
            begin = end;
        }
        allotments.sort_unstable();

        let mut public = PublicKeys::new();
        for (index, record, _) in &keys {
            if let Err(error) = public.enrol(*record, *index) {
                run.findings.add_with(Keys::NAME, At::Number(*index), "the log names a key that is none", error);
            }
        }
        let mut answer_rows: Vec<(Vec<u8>, Vec<u8>)> =
            answers.iter().map(|(index, said, data)| ([said.first.to_be_bytes(), index.to_be_bytes()].concat(), data.clone())).collect();
        answer_rows.sort_unstable();
        let row = |index: u64, data: &Vec<u8>| (index.to_be_bytes().to_vec(), data.clone());
        History {
            originals: reds.into_iter().map(|(id, red)| (id, red.original)).collect(),
            touches,
            groups,
            keys: public,
            allotments,
            key_rows: keys.iter().map(|(index, _, data)| row(*index, data)).collect(),
            reopen_rows: reopens.iter().map(|(index, _, data)| row(*index, data)).collect(),
            answer_rows,
            policy_rows: policies,
            answers: answers.into_iter().map(|(index, said, _)| (index, said)).collect(),
            origins: reopens.into_iter().map(|(index, origin, _)| (index, origin)).collect(),
        }
    }

    /// The original, if this is a red-letter invoice.
    pub(super) fn original_of(&self, id: &Id) -> Option<Id> {
        self.originals.get(id).copied()
    }

    /// The row of `inv` that the log makes of the invoice at `index`.
    pub(super) fn row(&self, index: u64, leaf: &Leaf, seal: InvoiceSeal, face: &FaceSums) -> InvRecord {
        let mut row = InvRecord {
            index,
            time_ms: leaf.time_ms(),
            commit: leaf.commit(),
            content_digest: seal.content_digest,
            check_code_generated: seal.check_code_generated,
            imported: leaf.is_imported(),
            original: seal.original,
            voided: None,
            suspended: None,
            live_reds: 0,
            remaining_amount: face.amount,
            remaining_tax: face.tax,
            last_event: index,
            last_event_ms: leaf.time_ms(),
            face: seal.face,
        };
        for touch in self.touches_of(&face.id) {
            match touch.what {
                What::Red(amount, tax) => {
                    row.live_reds += 1;
                    row.remaining_amount = row.remaining_amount.wrapping_add(amount);
                    row.remaining_tax = row.remaining_tax.wrapping_add(tax);
                }
                What::RedVoided(amount, tax) => {
                    row.live_reds = row.live_reds.saturating_sub(1);
                    row.remaining_amount = row.remaining_amount.wrapping_sub(amount);
                    row.remaining_tax = row.remaining_tax.wrapping_sub(tax);
                }
                What::Voided => row.voided = Some(touch.index),
                What::Status(5) => row.suspended = None,
                What::Status(6) => (row.remaining_amount, row.remaining_tax) = (0, 0),
                What::Status(mark) => row.suspended = Some((mark, touch.index)),
            }
            row.last_event = touch.index;
            row.last_event_ms = touch.time_ms;
        }
        row
    }

    fn touches_of(&self, id: &Id) -> &[Touch] {
        self.groups.get(id).and_then(|group| self.touches.get(group.touches.clone())).unwrap_or_default()
    }

    /// The leaf of an invoice was met: whatever refers to the invoice must refer to this leaf.
    pub(super) fn meet(&self, run: &Run<'_>, id: &Id, index: u64, kind: u8) {
        let Some(group) = self.groups.get(id) else { return };
        group.met.store(true, Ordering::Relaxed);
        for Touch { index: event, says, .. } in self.touches_of(id) {
            if let Some((reference, of_kind)) = says {
                if *reference != index {
                    run.findings.add_with(
                        Leaves::NAME,
                        At::Number(*event),
                        "it does not refer to the leaf of its invoice",
                        format_args!("leaf {index}"),
                    );
                }
                if *of_kind != kind {
                    run.findings.add(Leaves::NAME, At::Number(*event), "it is of another kind than its invoice");
                }
            }
        }
    }

    /// Events on invoices that the log does not have, once all leaves were met.
    pub(super) fn report_orphans(&self, run: &Run<'_>) {
        for group in self.groups.values().filter(|group| !group.met.load(Ordering::Relaxed)) {
            for touch in self.touches.get(group.touches.clone()).unwrap_or_default().iter().filter(|touch| touch.says.is_some()) {
                run.findings.add(Leaves::NAME, At::Number(touch.index), "its invoice is not in the log");
            }
        }
    }

    /// Rows of a small table.
    pub(super) fn rows_of(&self, table: &str) -> &[(Vec<u8>, Vec<u8>)] {
        match table {
            Allotments::NAME => &self.allotments,
            Keys::NAME => &self.key_rows,
            Reopens::NAME => &self.reopen_rows,
            AnswerRoots::NAME => &self.answer_rows,
            Policies::NAME => &self.policy_rows,
            _ => &[],
        }
    }
}

/// What of a face a row of `inv` begins with.
pub(super) struct FaceSums {
    pub(super) id: Id,
    pub(super) amount: i64,
    pub(super) tax: i64,
}

impl From<&Face<'_>> for FaceSums {
    fn from(face: &Face<'_>) -> FaceSums {
        FaceSums { id: face.id, amount: face.amount, tax: face.total.wrapping_sub(face.amount) }
    }
}
