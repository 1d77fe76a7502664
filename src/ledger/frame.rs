//! A frame: the entries of one commit, and the one function that turns them into rows.

use super::store::{Batch, Store, StoreError};
use super::tables::{
    AllotKey, Allotments, AnswerRoots, Bodies, ByTaxpayer, Heads, Invoices, Keys, Leaves, Policies, Reopens, Seals, Table as _, TaxKey, Tiles,
};
use super::value::{AllotRecord, HeadRecord, InvRecord, Seal};
use super::{Book, LedgerError};
use crate::codec::canonical;
use crate::codec::event::{Event, EventData};
use crate::codec::leaf::Leaf;
use crate::crypto::merkle::FullTile;
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::kind::Kind;
use crate::domain::number::{InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;

/// One leaf with what belongs to it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As logged.
    pub leaf: Leaf,
    /// What was signed.
    pub seal: Seal,
    /// Sealed contents, for invoices.
    pub body: Option<Vec<u8>>,
}

/// The unit of commit: entries, where they begin, and the checkpoint that covers them.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Leaf index of the first entry.
    pub first_index: u64,
    /// In log order.
    pub entries: Vec<Entry>,
    /// Tiles that these entries fill.
    pub tiles: Vec<FullTile>,
    /// The signed note for `first_index + entries.len()` leaves.
    pub note: String,
    /// Root of that tree.
    pub root: [u8; 32],
    /// Time of the last leaf, ms since 1970.
    pub time_ms: u64,
}

impl Frame {
    /// Leaves in the log once this frame is in it.
    pub fn size(&self) -> u64 {
        self.first_index + self.entries.len() as u64
    }
}

/// Writes a frame into `batch`: the only code that writes ledger tables. Deterministic: neither clock, randomness nor configuration.
/// `rows` are the rows of `inv` as the entries leave them.
pub fn apply(
    frame: &Frame,
    rows: impl IntoIterator<Item = (InvoiceId, impl std::ops::Deref<Target = InvRecord>)>,
    batch: &mut Batch<'_>,
) -> Result<(), LedgerError> {
    for (index, entry) in (frame.first_index..).zip(&frame.entries) {
        batch.put_raw::<Leaves>(&index, &entry.leaf.encode());
        batch.put::<Seals>(&index, &entry.seal);
        if let Some(body) = &entry.body {
            batch.put_raw::<Bodies>(&index, body);
        }
        if let Some(row) = derived_row(index, &entry.leaf, &entry.seal)? {
            row.put(index, batch);
        }
    }
    for (id, row) in rows {
        batch.put::<Invoices>(&id, &row);
    }
    for tile in &frame.tiles {
        batch.put_raw::<Tiles>(&(tile.level, tile.n), tile.bytes.as_slice());
    }
    batch.put::<Heads>(&frame.size(), &HeadRecord { note: frame.note.clone(), time_ms: frame.time_ms });
    Ok(())
}

/// The one row, beside the states of invoices, that follows from a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DerivedRow {
    /// Of `tax`.
    ByTaxpayer(TaxKey),
    /// Of `allot`.
    Allotment(AllotKey, AllotRecord),
    /// Of `key`.
    Key(Vec<u8>),
    /// Of `reopen`.
    Reopen(Vec<u8>),
    /// Of `answer_root`.
    AnswersRoot((u64, u64), Vec<u8>),
    /// Of `policy`.
    Policy(Vec<u8>),
}

impl DerivedRow {
    /// The table that it is of.
    pub fn table(&self) -> &'static str {
        match self {
            DerivedRow::ByTaxpayer(_) => ByTaxpayer::NAME,
            DerivedRow::Allotment(..) => Allotments::NAME,
            DerivedRow::Key(_) => Keys::NAME,
            DerivedRow::Reopen(_) => Reopens::NAME,
            DerivedRow::AnswersRoot(..) => AnswerRoots::NAME,
            DerivedRow::Policy(_) => Policies::NAME,
        }
    }

    /// Puts it into a batch; `index` is its leaf.
    pub fn put(&self, index: u64, batch: &mut Batch<'_>) {
        match self {
            DerivedRow::ByTaxpayer(key) => batch.put_raw::<ByTaxpayer>(key, &[]),
            DerivedRow::Allotment(key, record) => batch.put::<Allotments>(key, record),
            DerivedRow::Key(data) => batch.put_raw::<Keys>(&index, data),
            DerivedRow::Reopen(data) => batch.put_raw::<Reopens>(&index, data),
            DerivedRow::AnswersRoot(key, data) => batch.put_raw::<AnswerRoots>(key, data),
            DerivedRow::Policy(data) => batch.put_raw::<Policies>(&index, data),
        }
    }

    fn is_in(&self, index: u64, store: &Store) -> Result<bool, StoreError> {
        Ok(match self {
            DerivedRow::ByTaxpayer(key) => store.get::<ByTaxpayer>(key)?.is_some(),
            DerivedRow::Allotment(key, record) => store.get::<Allotments>(key)?.as_ref() == Some(record),
            DerivedRow::Key(data) => store.get::<Keys>(&index)?.as_ref() == Some(data),
            DerivedRow::Reopen(data) => store.get::<Reopens>(&index)?.as_ref() == Some(data),
            DerivedRow::AnswersRoot(key, data) => store.get::<AnswerRoots>(key)?.as_ref() == Some(data),
            DerivedRow::Policy(data) => store.get::<Policies>(&index)?.as_ref() == Some(data),
        })
    }
}

/// The row of `allot`, `key`, `reopen`, `answer_root`, `policy` or `tax` that follows from one leaf, if one does.
pub fn derived_row(index: u64, leaf: &Leaf, seal: &Seal) -> Result<Option<DerivedRow>, LedgerError> {
    Ok(match (leaf.event, seal) {
        (Event::Issue | Event::Red, Seal::Invoice(invoice)) => {
            let face = canonical::decode_face(&invoice.face).map_err(|error| LedgerError::broken(index, format!("face: {error}")))?;
            Some(DerivedRow::ByTaxpayer(TaxKey { taxpayer: face.seller_id, date: face.date, index }))
        }
        (Event::Allot | Event::AllotmentStatus, Seal::Event(event)) => match decode_event(index, leaf.event, &event.data)? {
            EventData::Allot(allotment) => {
                let record = AllotRecord {
                    first: allotment.range.first.to_bytes(),
                    taxpayer: allotment.taxpayer.as_str().to_owned(),
                    kind: allotment.kind.number(),
                    mark: 0,
                    index,
                };
                let last = InvoiceId { code: allotment.range.code, number: allotment.range.last };
                Some(DerivedRow::Allotment(AllotKey { mark: false, last, index }, record))
            }
            EventData::AllotmentStatus { range, mark } => {
                let record = AllotRecord { first: range.first.to_bytes(), taxpayer: String::new(), kind: 0, mark: mark as u8, index };
                let last = InvoiceId { code: range.code, number: range.last };
                Some(DerivedRow::Allotment(AllotKey { mark: true, last, index }, record))
            }
            EventData::Void { .. }
            | EventData::Status { .. }
            | EventData::Key(_)
            | EventData::AnswersRoot(_)
            | EventData::RevocationList(_)
            | EventData::Reopen(_)
            | EventData::Policy(_) => None,
        },
        (Event::Key, Seal::Event(event)) => Some(DerivedRow::Key(event.data.clone())),
        (Event::Reopen, Seal::Event(event)) => Some(DerivedRow::Reopen(event.data.clone())),
        (Event::Policy, Seal::Event(event)) => Some(DerivedRow::Policy(event.data.clone())),
        (Event::AnswersRoot, Seal::Event(event)) => match decode_event(index, leaf.event, &event.data)? {
            EventData::AnswersRoot(answers) => Some(DerivedRow::AnswersRoot((answers.first, index), event.data.clone())),
            _ => None,
        },
        _ => None,
    })
}

/// Whether the row that follows from a leaf is stored.
pub fn derived_rows_are_there(store: &Store, index: u64, leaf: &Leaf, seal: &Seal) -> Result<(), LedgerError> {
    match derived_row(index, leaf, seal)? {
        Some(row) if !row.is_in(index, store)? => Err(LedgerError::broken(index, format!("its row of {} is missing", row.table()))),
        Some(_) | None => Ok(()),
    }
}

/// Enters into `book` what one leaf says about allotments.
pub fn enter(book: &mut Book, index: u64, leaf: &Leaf, seal: &Seal) -> Result<(), LedgerError> {
    if let (Event::Allot | Event::AllotmentStatus, Seal::Event(event)) = (leaf.event, seal) {
        match decode_event(index, leaf.event, &event.data)? {
            EventData::Allot(allotment) => book.allot(allotment, index),
            EventData::AllotmentStatus { range, mark } => book.set_mark(range, mark, index),
            _ => {}
        }
    }
    Ok(())
}

/// Enters a stored row of `allot` into `book`; marks must come in the order of their index.
pub fn enter_row(book: &mut Book, last: InvoiceId, record: &AllotRecord) -> Result<(), LedgerError> {
    let broken = || LedgerError::broken(record.index, "row of allot".into());
    let first = InvoiceNumber::from_bytes(record.first).ok_or_else(broken)?;
    let range = NumberRange::new(last.code, first, last.number).ok_or_else(broken)?;
    if record.mark == 0 {
        let taxpayer = TaxpayerId::parse(&record.taxpayer).ok_or_else(broken)?;
        let kind = Kind::from_number(record.kind).ok_or_else(broken)?;
        book.allot(Allotment { taxpayer, kind, range }, record.index);
    } else {
        book.set_mark(range, Mark::from_number(record.mark).ok_or_else(broken)?, record.index);
    }
    Ok(())
}

fn decode_event(index: u64, event: Event, data: &[u8]) -> Result<EventData, LedgerError> {
    EventData::decode(event, data).map_err(|error| LedgerError::broken(index, format!("event data: {error}")))
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        LedgerError::Store(error)
    }
}
