//! What a ledger must decide, and what state must follow from a log: the same rules as in `src/ledger`, written down a second time and in the
//! plainest way. It predicts every leaf to the byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use fapiao::codec::canonical;
use fapiao::codec::event::{Event, EventData};
use fapiao::codec::leaf::Leaf;
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::note::Origin;
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::invoice::Face;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{InvoiceId, InvoiceNumber};
use fapiao::domain::time::UnixMillis;
use fapiao::ledger::value::{self, EventSeal, InvRecord, InvoiceSeal, Seal};
use fapiao::ledger::{ImportedEvent, Refusal, Remark, SealedEvent, SealedInvoice, Submission};

use super::tree::{self, Hash};

/// How far a clock may be behind the newest leaf.
const BEHIND_MAX_MS: u64 = 5_000;

/// One leaf and all that is stored of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) leaf: Leaf,
    pub(super) bytes: [u8; 96],
    pub(super) hash: Hash,
    pub(super) seal: Seal,
    /// As stored.
    pub(super) seal_bytes: Vec<u8>,
    pub(super) body: Option<Vec<u8>>,
}

/// What must come of a submission.
#[derive(Debug)]
pub(super) enum Expected {
    Logged(Vec<Arc<Entry>>, Option<Remark>),
    Repeated(u64),
    Refused(Refusal),
    ClockBehind { head: UnixMillis },
}

/// The state that follows from a log.
#[derive(Clone)]
pub(super) struct Model {
    keyring: Arc<Keyring>,
    pub(super) size: u64,
    /// Of the newest leaf, or of the founding.
    pub(super) time: u64,
    pub(super) invoices: BTreeMap<InvoiceId, InvRecord>,
    allotments: Vec<(Allotment, u64)>,
    /// Oldest first: the newest that covers a number counts.
    marks: Vec<(NumberRange, Mark, u64)>,
    /// The smallest size signed under each origin.
    pub(super) origins: Vec<(u64, Origin)>,
    /// Leaves of keys.
    pub(super) keys: Vec<u64>,
}

fn face(row: &InvRecord) -> Face {
    canonical::decode_face(&row.face).expect("a face")
}

fn numbers(range: &NumberRange) -> impl Iterator<Item = InvoiceId> {
    let code = range.code;
    (range.first.ordinal()..=range.last.ordinal()).map(move |n| InvoiceId { code, number: InvoiceNumber::from_ordinal(n).expect("a number") })
}

impl Model {
    pub(super) fn new(keyring: Arc<Keyring>, origin: Origin, founded: UnixMillis) -> Model {
        let origins = vec![(0, origin)];
        Model { keyring, size: 0, time: founded.0, invoices: BTreeMap::new(), allotments: Vec::new(), marks: Vec::new(), origins, keys: Vec::new() }
    }

    pub(super) fn origin_at(&self, size: u64) -> &Origin {
        &self.origins.iter().rev().find(|(from, _)| *from <= size).expect("the first origin").1
    }

    pub(super) fn origin(&self) -> &Origin {
        self.origin_at(u64::MAX)
    }

    pub(super) fn mark(&self, id: InvoiceId) -> Option<(Mark, u64)> {
        let newest = self.marks.iter().rev().find(|(range, ..)| range.contains(id))?;
        (newest.1 != Mark::Lifted).then_some((newest.1, newest.2))
    }

    pub(super) fn allotted(&self, id: InvoiceId) -> Option<(&Allotment, u64)> {
        self.allotments.iter().find(|(allotment, _)| allotment.range.contains(id)).map(|(allotment, index)| (allotment, *index))
    }

    /// Adds a leaf to the state.
    pub(super) fn fold(&mut self, entry: &Entry) {
        let (index, leaf) = (self.size, &entry.leaf);
        self.size += 1;
        self.time = leaf.time_ms;
        match &entry.seal {
            Seal::Invoice(seal) => {
                let face = canonical::decode_face(&seal.face).expect("a face");
                let (amount, tax) = (face.totals.amount.0, face.totals.tax().0);
                if let Some(original) = seal.original.and_then(InvoiceId::from_bytes) {
                    self.change(original, index, leaf, |row| {
                        row.live_reds += 1;
                        row.remaining_amount += amount;
                        row.remaining_tax += tax;
                    });
                }
                let row = InvRecord {
                    index,
                    time_ms: leaf.time_ms,
                    face: seal.face.clone(),
                    commit: leaf.commit,
                    content_digest: seal.content_digest,
                    check_code_generated: seal.check_code_generated,
                    imported: leaf.imported,
                    original: seal.original,
                    voided: None,
                    suspended: None,
                    live_reds: 0,
                    remaining_amount: amount,
                    remaining_tax: tax,
                    last_event: index,
                    last_event_ms: leaf.time_ms,
                };
                assert!(self.invoices.insert(face.id, row).is_none(), "a number was issued twice");
            }
            Seal::Event(seal) => match EventData::decode(leaf.event, &seal.data).expect("an event") {
                EventData::Void { id, .. } => {
                    let row = self.change(id, index, leaf, |row| row.voided = Some(index));
                    if let Some(original) = row.original.and_then(InvoiceId::from_bytes) {
                        self.change(original, index, leaf, |of| {
                            of.live_reds -= 1;
                            of.remaining_amount -= row.remaining_amount;
                            of.remaining_tax -= row.remaining_tax;
                        });
                    }
                }
                EventData::Status { id, mark } => drop(self.change(id, index, leaf, |row| match mark {
                    Mark::Lifted => row.suspended = None,
                    Mark::RedBeforeImport => (row.remaining_amount, row.remaining_tax) = (0, 0),
                    mark => row.suspended = Some((mark as u8, index)),
                })),
                EventData::Allot(allotment) => self.allotments.push((allotment, index)),
                EventData::AllotmentStatus { range, mark } => self.marks.push((range, mark, index)),
                EventData::Key(_) => self.keys.push(index),
                EventData::Reopen(notice) => self.origins.push((index + 1, notice.origin)),
                // It is about what is logged, and changes none of it.
                EventData::AnswersRoot(_) | EventData::RevocationList(_) | EventData::Policy(_) => {}
            },
        }
    }

    fn change(&mut self, id: InvoiceId, index: u64, leaf: &Leaf, change: impl FnOnce(&mut InvRecord)) -> InvRecord {
        let row = self.invoices.get_mut(&id).expect("issued");
        change(row);
        (row.last_event, row.last_event_ms) = (index, leaf.time_ms);
        row.clone()
    }

    /// What must come of a submission at this time.
    pub(super) fn decide(&self, submission: &Submission, now: UnixMillis) -> Expected {
        if now.0 + BEHIND_MAX_MS < self.time {
            return Expected::ClockBehind { head: UnixMillis(self.time) };
        }
        match self.judge(submission) {
            Ok((event, reference, remark)) => Expected::Logged(self.entries(submission, event, reference, now), remark),
            Err(answer) => answer,
        }
    }

    /// Event, what its leaf refers to, remark; or the answer that needs no leaf.
    fn judge(&self, submission: &Submission) -> Result<Judged, Expected> {
        let refused = |refusal| Err(Expected::Refused(refusal));
        match submission {
            Submission::Invoice(invoice) => self.judge_invoice(invoice),
            Submission::Void { id, callers, day, .. } => {
                let owner = self.allotted(*id).map(|(allotment, _)| &allotment.taxpayer);
                if callers.as_ref().is_some_and(|callers| !owner.is_some_and(|owner| callers.contains(owner))) {
                    return refused(Refusal::NotSeller);
                }
                let Some(row) = self.invoices.get(id) else { return refused(Refusal::NotFound) };
                if let Some(voided) = row.voided {
                    return Err(Expected::Repeated(voided));
                }
                let face = face(row);
                if matches!(face.kind, Kind::Electronic) {
                    return refused(Refusal::ElectronicNeverVoided);
                }
                if face.date.month() != day.month() {
                    return refused(Refusal::OtherMonth);
                }
                if row.live_reds > 0 {
                    return refused(Refusal::HasLiveReds);
                }
                Ok((Event::Void, Some((tagged(*id, row), row.index)), None))
            }
            Submission::Status { id, mark, .. } => {
                let Some(row) = self.invoices.get(id) else { return refused(Refusal::NotFound) };
                match (mark, row.suspended) {
                    (Mark::BlankVoid | Mark::RedBeforeImport, _) => return refused(Refusal::MarkNotApplicable(*mark)),
                    (Mark::Lifted, None) => return refused(Refusal::NothingToLift),
                    (mark, Some((now, index))) if *mark as u8 == now => return Err(Expected::Repeated(index)),
                    _ => {}
                }
                Ok((Event::Status, Some((tagged(*id, row), row.index)), None))
            }
            Submission::Allot { allotment, .. } => {
                let overlapping = self.allotments.iter().filter(|(other, _)| other.range.overlaps(&allotment.range));
                match overlapping.min_by_key(|(other, _)| other.range.last) {
                    Some((other, index)) if other == allotment => Err(Expected::Repeated(*index)),
                    Some((other, _)) => refused(Refusal::AllotmentOverlaps(other.range)),
                    None => Ok((Event::Allot, None, None)),
                }
            }
            Submission::AllotmentStatus { range, mark, .. } => {
                if !self.allotments.iter().any(|(allotment, _)| allotment.range.encloses(range)) {
                    return refused(Refusal::RangeNotAllotted);
                }
                let marks: Vec<_> = numbers(range).map(|id| self.mark(id)).collect();
                if let Some((now, index)) = marks[0]
                    && now == *mark
                    && marks.iter().all(|other| *other == marks[0])
                {
                    return Err(Expected::Repeated(index));
                }
                if marks.iter().flatten().any(|(mark, _)| *mark == Mark::BlankVoid) {
                    return refused(Refusal::RangeBlankVoid);
                }
                match mark {
                    Mark::Abnormal | Mark::RedBeforeImport => return refused(Refusal::MarkNotApplicable(*mark)),
                    Mark::Lifted if marks.iter().all(Option::is_none) => return refused(Refusal::NothingToLift),
                    Mark::BlankVoid => {
                        if let Some(used) = numbers(range).find(|id| self.invoices.contains_key(id)) {
                            return refused(Refusal::RangeHasUsedNumber(used));
                        }
                    }
                    Mark::Lost | Mark::Stolen | Mark::Lifted => {}
                }
                Ok((Event::AllotmentStatus, None, None))
            }
            Submission::Keys { .. } => Ok((Event::Key, None, None)),
            Submission::Announcement { of, .. } => Ok((*of, None, None)),
        }
    }

    fn judge_invoice(&self, invoice: &SealedInvoice) -> Result<Judged, Expected> {
        let refused = |refusal| Err(Expected::Refused(refusal));
        let id = invoice.face.id;
        let owned = |(allotment, _): (&Allotment, u64)| allotment.taxpayer == invoice.face.seller_id && allotment.kind == invoice.face.kind;
        if !self.allotted(id).is_some_and(owned) {
            return refused(Refusal::NotAllotted);
        }
        if let Some(row) = self.invoices.get(&id) {
            let check_code_agrees =
                if invoice.check_code_generated { row.check_code_generated } else { face(row).check_code == invoice.face.check_code };
            let same = row.content_digest == invoice.content_digest && check_code_agrees;
            return if same { Err(Expected::Repeated(row.index)) } else { refused(Refusal::Conflict(row.index)) };
        }
        if let Some((mark, _)) = self.mark(id).filter(|_| !invoice.imported) {
            return refused(Refusal::RangeMarked(mark));
        }
        let Some(original) = invoice.original else { return Ok((Event::Issue, None, None)) };
        let Some(row) = self.invoices.get(&original) else { return refused(Refusal::OriginalNotFound) };
        let of = face(row);
        let (amount, tax) = (Fen(row.remaining_amount), Fen(row.remaining_tax));
        let left = (amount + invoice.face.totals.amount, tax + invoice.face.totals.tax());
        if of.seller_id != invoice.face.seller_id {
            refused(Refusal::OriginalSellerDiffers)
        } else if of.kind != invoice.face.kind {
            refused(Refusal::OriginalKindDiffers)
        } else if row.original.is_some() {
            refused(Refusal::OriginalIsRed)
        } else if row.voided.is_some() {
            refused(Refusal::OriginalVoided)
        } else if left.0 < Fen::ZERO || left.1 < Fen::ZERO {
            refused(Refusal::ExceedsRemaining { amount, tax })
        } else {
            let partial = of.kind == Kind::MotorVehicle && left != (Fen::ZERO, Fen::ZERO);
            Ok((Event::Red, Some((original, row.index)), partial.then_some(Remark::PartialMotorVehicleRed)))
        }
    }

    fn entries(&self, submission: &Submission, event: Event, reference: Option<(InvoiceId, u64)>, now: UnixMillis) -> Vec<Arc<Entry>> {
        let time_ms = self.time.max(now.0);
        let ref_index = reference.map(|(_, index)| index);
        match submission {
            Submission::Invoice(invoice) => {
                let id_tag = self.keyring.id_tag(reference.map_or(invoice.face.id, |(original, _)| original));
                let (kind, imported) = (Some(invoice.face.kind), invoice.imported);
                let leaf = Leaf { event, kind, imported, time_ms, ref_index, id_tag, commit: invoice.commit, key_id: invoice.key_id };
                let seal = Seal::Invoice(InvoiceSeal {
                    face: invoice.face_bytes.clone(),
                    rest_digest: invoice.rest_digest,
                    signature: invoice.signature,
                    content_digest: invoice.content_digest,
                    check_code_generated: invoice.check_code_generated,
                    original: invoice.original.map(InvoiceId::to_bytes),
                });
                let mut entries = vec![Entry::new(leaf, seal, Some(invoice.body.clone()))];
                if let Some((how, sealed)) = &invoice.imported_state {
                    let event = match how {
                        ImportedEvent::Void => Event::Void,
                        ImportedEvent::Status => Event::Status,
                    };
                    entries.push(Entry::of_event(event, kind, imported, time_ms, Some(self.size), id_tag, sealed));
                }
                entries
            }
            Submission::Void { event: sealed, .. }
            | Submission::Status { event: sealed, .. }
            | Submission::Allot { event: sealed, .. }
            | Submission::AllotmentStatus { event: sealed, .. }
            | Submission::Announcement { event: sealed, .. } => {
                let kind = ref_index.and_then(|index| self.invoices.values().find(|row| row.index == index)).map(|row| face(row).kind);
                let id_tag = reference.map_or([0; 32], |(tagged, _)| self.keyring.id_tag(tagged));
                vec![Entry::of_event(event, kind, false, time_ms, ref_index, id_tag, sealed)]
            }
            Submission::Keys { events } => events.iter().map(|sealed| Entry::of_event(event, None, false, time_ms, None, [0; 32], sealed)).collect(),
        }
    }

    /// The leaf that says that the log goes on under another origin.
    pub(super) fn notice(&self, sealed: &SealedEvent, now: UnixMillis) -> Arc<Entry> {
        Entry::of_event(Event::Reopen, None, false, self.time.max(now.0), None, [0; 32], sealed)
    }
}

type Judged = (Event, Option<(InvoiceId, u64)>, Option<Remark>);

/// Under whose tag events on an invoice go.
fn tagged(id: InvoiceId, row: &InvRecord) -> InvoiceId {
    row.original.and_then(InvoiceId::from_bytes).unwrap_or(id)
}

impl Entry {
    fn new(leaf: Leaf, seal: Seal, body: Option<Vec<u8>>) -> Arc<Entry> {
        let bytes = leaf.encode();
        Arc::new(Entry { leaf, bytes, hash: tree::leaf_hash(&bytes), seal_bytes: value::encode(&seal), seal, body })
    }

    fn of_event(
        event: Event,
        kind: Option<Kind>,
        imported: bool,
        time_ms: u64,
        ref_index: Option<u64>,
        id_tag: [u8; 32],
        sealed: &SealedEvent,
    ) -> Arc<Entry> {
        let leaf = Leaf { event, kind, imported, time_ms, ref_index, id_tag, commit: sealed.commit, key_id: sealed.key_id };
        let seal = Seal::Event(EventSeal { salt: sealed.salt, data: sealed.data.clone(), signature: sealed.signature });
        Entry::new(leaf, seal, None)
    }
}
