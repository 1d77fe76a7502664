//! What may be logged, decided on the very state it would change. Pure: the rows, the book and the submission go in, a decision comes out.

use super::book::Book;
use super::state::Rows;
use super::submission::{ImportedEvent, Outcome, Refusal, Remark, SealedEvent, SealedInvoice, Submission};
use super::value::{EventSeal, InvRecord, InvoiceSeal, Seal};
use crate::codec::canonical;
use crate::codec::event::Event;
use crate::codec::leaf::{KeyId, Leaf};
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::invoice::Face;
use crate::domain::kind::Kind;
use crate::domain::money::Fen;
use crate::domain::number::InvoiceId;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// What a decision is based on.
pub trait State: Rows {
    /// Allotments and marks.
    fn book(&self) -> &Book;
    /// The first number of the range that was issued.
    fn first_used(&self, range: &NumberRange) -> Result<Option<InvoiceId>, Self::Error>;
    /// The public tag of an invoice.
    fn id_tag(&self, id: InvoiceId) -> [u8; 32];
}

/// What becomes of a submission.
#[derive(Debug)]
pub enum Decision {
    /// These entries, in this order, and perhaps a remark for the submitter.
    Log(Vec<Unplaced>, Option<Remark>),
    /// Nothing to log: it was said before, or it is refused.
    Answer(Outcome),
}

/// An entry that has no time yet.
#[derive(Debug)]
pub struct Unplaced {
    /// All but version, shard and time.
    pub leaf: Leaf,
    /// What was signed.
    pub seal: Seal,
    /// Sealed contents, for invoices.
    pub body: Option<Vec<u8>>,
}

fn refuse(refusal: Refusal) -> Decision {
    Decision::Answer(Outcome::Refused(refusal))
}

fn repeated(index: u64) -> Decision {
    Decision::Answer(Outcome::Logged { index, repeated: true, warning: None })
}

/// Decides one submission; its first entry would get leaf `next_index`.
pub fn decide<S: State>(state: &S, submission: Submission, next_index: u64) -> Result<Decision, S::Error> {
    match submission {
        Submission::Invoice(invoice) => decide_invoice(state, *invoice, next_index),
        Submission::Void { id, callers, day, event } => decide_void(state, id, callers.as_deref(), day, event),
        Submission::Status { id, mark, event } => decide_status(state, id, mark, event),
        Submission::Allot { allotment, event } => Ok(decide_allot(state.book(), &allotment, event)),
        Submission::AllotmentStatus { range, mark, event } => decide_allotment_status(state, &range, mark, event),
        Submission::Keys { events } => {
            Ok(Decision::Log(events.into_iter().map(|event| unplaced(Event::Key, None, None, [0; 32], event)).collect(), None))
        }
        Submission::Announcement { of, event } => Ok(Decision::Log(vec![unplaced(of, None, None, [0; 32], event)], None)),
    }
}

fn decide_invoice<S: State>(state: &S, invoice: SealedInvoice, next_index: u64) -> Result<Decision, S::Error> {
    let id = invoice.face.id;
    let allotted = state.book().allotted(id);
    if !allotted.is_some_and(|found| found.allotment.taxpayer == invoice.face.seller_id && found.allotment.kind == invoice.face.kind) {
        return Ok(refuse(Refusal::NotAllotted));
    }
    if let Some(row) = state.row(id)? {
        return Ok(if same_again(&row, &invoice) { repeated(row.index) } else { refuse(Refusal::Conflict(row.index)) });
    }
    if !invoice.imported
        && let Some(marked) = state.book().mark(id)
    {
        return Ok(refuse(Refusal::RangeMarked(marked.mark)));
    }
    let (reference, warning) = match invoice.original {
        None => (None, None),
        Some(original) => match check_red(state, original, &invoice.face)? {
            Ok((index, warning)) => (Some((original, index)), warning),
            Err(refusal) => return Ok(refuse(refusal)),
        },
    };

    let id_tag = state.id_tag(reference.map_or(id, |(original, _)| original));
    let leaf = Leaf {
        event: if reference.is_some() { Event::Red } else { Event::Issue },
        kind: Some(invoice.face.kind),
        imported: invoice.imported,
        time_ms: 0,
        ref_index: reference.map(|(_, index)| index),
        id_tag,
        commit: invoice.commit,
        key_id: invoice.key_id,
    };
    let seal = Seal::Invoice(InvoiceSeal {
        face: invoice.face_bytes,
        rest_digest: invoice.rest_digest,
        signature: invoice.signature,
        content_digest: invoice.content_digest,
        check_code_generated: invoice.check_code_generated,
        original: reference.map(|(original, _)| original.to_bytes()),
    });
    let mut entries = vec![Unplaced { leaf, seal, body: Some(invoice.body) }];
    if let Some((how, event)) = invoice.imported_state {
        let number = match how {
            ImportedEvent::Void => Event::Void,
            ImportedEvent::Status => Event::Status,
        };
        let mut entry = unplaced(number, Some(invoice.face.kind), Some(next_index), id_tag, event);
        entry.leaf.imported = true;
        entries.push(entry);
    }
    Ok(Decision::Log(entries, warning))
}

/// Same content, and a check code that is either not stated or the registered one.
fn same_again(row: &InvRecord, invoice: &SealedInvoice) -> bool {
    let check_code_agrees = if invoice.check_code_generated {
        row.check_code_generated
    } else {
        canonical::decode_face(&row.face).is_ok_and(|face| face.check_code == invoice.face.check_code)
    };
    row.content_digest == invoice.content_digest && check_code_agrees
}

type RedChecked = Result<(u64, Option<Remark>), Refusal>;

fn check_red<S: State>(state: &S, original: InvoiceId, red: &Face) -> Result<RedChecked, S::Error> {
    let Some(row) = state.row(original)? else { return Ok(Err(Refusal::OriginalNotFound)) };
    let Ok(face) = canonical::decode_face(&row.face) else { return Ok(Err(Refusal::OriginalNotFound)) };
    let (amount, tax) = (Fen(row.remaining_amount), Fen(row.remaining_tax));
    let (left_amount, left_tax) = (amount + red.totals.amount, tax + red.totals.tax());
    let refusal = if face.seller_id != red.seller_id {
        Refusal::OriginalSellerDiffers
    } else if face.kind != red.kind {
        Refusal::OriginalKindDiffers
    } else if row.original.is_some() {
        Refusal::OriginalIsRed
    } else if row.voided.is_some() {
        Refusal::OriginalVoided
    } else if left_amount < Fen::ZERO || left_tax < Fen::ZERO {
        Refusal::ExceedsRemaining { amount, tax }
    } else {
        let partial = left_amount != Fen::ZERO || left_tax != Fen::ZERO;
        let warning = (partial && red.kind == Kind::MotorVehicle).then_some(Remark::PartialMotorVehicleRed);
        return Ok(Ok((row.index, warning)));
    };
    Ok(Err(refusal))
}

fn decide_void<S: State>(state: &S, id: InvoiceId, callers: Option<&[TaxpayerId]>, day: Day, event: SealedEvent) -> Result<Decision, S::Error> {
    // Whoever is not the seller learns nothing about the number, not even whether it exists.
    let owner = state.book().allotted(id).map(|found| &found.allotment.taxpayer);
    if callers.is_some_and(|callers| !owner.is_some_and(|owner| callers.contains(owner))) {
        return Ok(refuse(Refusal::NotSeller));
    }
    let Some(row) = state.row(id)? else { return Ok(refuse(Refusal::NotFound)) };
    let Ok(face) = canonical::decode_face(&row.face) else { return Ok(refuse(Refusal::NotFound)) };
    if let Some(index) = row.voided {
        return Ok(repeated(index));
    }
    if !face.kind.profile().paper {
        return Ok(refuse(Refusal::ElectronicNeverVoided));
    }
    if face.date.month() != day.month() {
        return Ok(refuse(Refusal::OtherMonth));
    }
    if row.live_reds > 0 {
        return Ok(refuse(Refusal::HasLiveReds));
    }
    let tag = tag_of(state, id, &row);
    Ok(Decision::Log(vec![unplaced(Event::Void, Some(face.kind), Some(row.index), tag, event)], None))
}

fn decide_status<S: State>(state: &S, id: InvoiceId, mark: Mark, event: SealedEvent) -> Result<Decision, S::Error> {
    let Some(row) = state.row(id)? else { return Ok(refuse(Refusal::NotFound)) };
    let Ok(face) = canonical::decode_face(&row.face) else { return Ok(refuse(Refusal::NotFound)) };
    match (mark, row.suspended) {
        (Mark::BlankVoid | Mark::RedBeforeImport, _) => return Ok(refuse(Refusal::MarkNotApplicable(mark))),
        (Mark::Lifted, None) => return Ok(refuse(Refusal::NothingToLift)),
        (Mark::Lifted, Some(_)) => {}
        (Mark::Lost | Mark::Stolen | Mark::Abnormal, Some((now, index))) if now == mark as u8 => return Ok(repeated(index)),
        (Mark::Lost | Mark::Stolen | Mark::Abnormal, _) => {}
    }
    let tag = tag_of(state, id, &row);
    Ok(Decision::Log(vec![unplaced(Event::Status, Some(face.kind), Some(row.index), tag, event)], None))
}

fn decide_allot(book: &Book, allotment: &Allotment, event: SealedEvent) -> Decision {
    match book.overlapping(&allotment.range) {
        Some(found) if found.allotment == *allotment => repeated(found.index),
        Some(found) => refuse(Refusal::AllotmentOverlaps(found.allotment.range)),
        None => Decision::Log(vec![unplaced(Event::Allot, None, None, [0; 32], event)], None),
    }
}

fn decide_allotment_status<S: State>(state: &S, range: &NumberRange, mark: Mark, event: SealedEvent) -> Result<Decision, S::Error> {
    let book = state.book();
    if !book.overlapping(range).is_some_and(|found| found.allotment.range.encloses(range)) {
        return Ok(refuse(Refusal::RangeNotAllotted));
    }
    let mut marks = book.marks_in(range).peekable();
    if let Some(same) = marks.peek().filter(|marked| marked.mark == mark && marked.range.encloses(range)) {
        return Ok(repeated(same.index));
    }
    let lifts_nothing = marks.peek().is_none();
    if marks.any(|marked| marked.mark == Mark::BlankVoid) {
        return Ok(refuse(Refusal::RangeBlankVoid));
    }
    match mark {
        Mark::Abnormal | Mark::RedBeforeImport => return Ok(refuse(Refusal::MarkNotApplicable(mark))),
        Mark::Lifted if lifts_nothing => return Ok(refuse(Refusal::NothingToLift)),
        Mark::BlankVoid => {
            if let Some(used) = state.first_used(range)? {
                return Ok(refuse(Refusal::RangeHasUsedNumber(used)));
            }
        }
        Mark::Lost | Mark::Stolen | Mark::Lifted => {}
    }
    Ok(Decision::Log(vec![unplaced(Event::AllotmentStatus, None, None, [0; 32], event)], None))
}

/// Events on a red-letter invoice go under the tag of its original.
fn tag_of<S: State>(state: &S, id: InvoiceId, row: &InvRecord) -> [u8; 32] {
    state.id_tag(row.original.and_then(InvoiceId::from_bytes).unwrap_or(id))
}

/// An entry for an event without an invoice of its own.
pub(super) fn unplaced(event: Event, kind: Option<Kind>, ref_index: Option<u64>, id_tag: [u8; 32], sealed: SealedEvent) -> Unplaced {
    let key_id: KeyId = sealed.key_id;
    Unplaced {
        leaf: Leaf { event, kind, imported: false, time_ms: 0, ref_index, id_tag, commit: sealed.commit, key_id },
        seal: Seal::Event(EventSeal { salt: sealed.salt, data: sealed.data, signature: sealed.signature }),
        body: None,
    }
}
