//! State is a fold of events: how each leaf changes the rows of `inv`. The sequencer, replay and nothing else use it.

use std::collections::BTreeMap;

use super::LedgerError;
use super::store::Store;
use super::tables::Invoices;
use super::value::{InvRecord, InvoiceSeal, Seal};
use crate::codec::canonical;
use crate::codec::event::{Event, EventData};
use crate::codec::leaf::Leaf;
use crate::domain::allotment::Mark;
use crate::domain::number::InvoiceId;

/// Rows of `inv`, wherever they are kept.
pub trait Rows {
    /// Why a row cannot be read.
    type Error: From<Incoherent>;
    /// The row as the events so far have made it.
    fn row(&self, id: InvoiceId) -> Result<Option<InvRecord>, Self::Error>;
    /// Replaces the row.
    fn set(&mut self, id: InvoiceId, row: InvRecord);
}

/// The rows in a store, with what leaves made of them since, not yet written.
pub struct StoredRows<'a> {
    store: &'a Store,
    changed: BTreeMap<InvoiceId, InvRecord>,
}

impl<'a> StoredRows<'a> {
    /// Nothing changed yet.
    pub fn new(store: &'a Store) -> StoredRows<'a> {
        StoredRows { store, changed: BTreeMap::new() }
    }

    /// What is to be written.
    pub fn changed(&self) -> &BTreeMap<InvoiceId, InvRecord> {
        &self.changed
    }
}

impl Rows for StoredRows<'_> {
    type Error = LedgerError;

    fn row(&self, id: InvoiceId) -> Result<Option<InvRecord>, LedgerError> {
        match self.changed.get(&id) {
            Some(row) => Ok(Some(row.clone())),
            None => Ok(self.store.get::<Invoices>(&id)?),
        }
    }

    fn set(&mut self, id: InvoiceId, row: InvRecord) {
        self.changed.insert(id, row);
    }
}

/// A leaf that cannot follow the leaves before it: the ledger is damaged or the program is wrong.
#[derive(Debug, thiserror::Error)]
#[error("leaf {index} does not follow from the leaves before it: {reason}")]
pub struct Incoherent {
    /// The leaf.
    pub index: u64,
    /// What is wrong.
    pub reason: &'static str,
}

/// Applies one leaf to the rows it changes.
pub fn fold<R: Rows>(rows: &mut R, index: u64, leaf: &Leaf, seal: &Seal) -> Result<(), R::Error> {
    let incoherent = |reason| Incoherent { index, reason };
    match (leaf.event, seal) {
        (Event::Issue, Seal::Invoice(invoice)) => {
            let (id, row) = issued(index, leaf, invoice)?;
            rows.set(id, row);
        }
        (Event::Red, Seal::Invoice(invoice)) => {
            let (id, row) = issued(index, leaf, invoice)?;
            let original = row.original.and_then(InvoiceId::from_bytes).ok_or(incoherent("a red without an original"))?;
            let mut of = rows.row(original)?.ok_or(incoherent("the original is missing"))?;
            of.live_reds += 1;
            of.remaining_amount += row.remaining_amount;
            of.remaining_tax += row.remaining_tax;
            of.touch(index, leaf);
            rows.set(original, of);
            rows.set(id, row);
        }
        (Event::Void, Seal::Event(event)) => {
            let Ok(EventData::Void { id, .. }) = EventData::decode(Event::Void, &event.data) else {
                return Err(incoherent("void data does not decode").into());
            };
            let mut row = rows.row(id)?.ok_or(incoherent("the voided invoice is missing"))?;
            row.voided = Some(index);
            row.touch(index, leaf);
            if let Some(original) = row.original.and_then(InvoiceId::from_bytes) {
                let mut of = rows.row(original)?.ok_or(incoherent("the original is missing"))?;
                of.live_reds -= 1;
                of.remaining_amount -= row.remaining_amount;
                of.remaining_tax -= row.remaining_tax;
                of.touch(index, leaf);
                rows.set(original, of);
            }
            rows.set(id, row);
        }
        (Event::Status, Seal::Event(event)) => {
            let Ok(EventData::Status { id, mark }) = EventData::decode(Event::Status, &event.data) else {
                return Err(incoherent("status data does not decode").into());
            };
            let mut row = rows.row(id)?.ok_or(incoherent("the invoice is missing"))?;
            match mark {
                Mark::Lifted => row.suspended = None,
                Mark::Lost | Mark::Stolen | Mark::Abnormal => row.suspended = Some((mark as u8, index)),
                Mark::RedBeforeImport => (row.remaining_amount, row.remaining_tax) = (0, 0),
                Mark::BlankVoid => return Err(incoherent("an issued invoice cannot be blank void").into()),
            }
            row.touch(index, leaf);
            rows.set(id, row);
        }
        (Event::Issue | Event::Red, Seal::Event(_)) | (Event::Void | Event::Status, Seal::Invoice(_)) => {
            return Err(incoherent("seal and leaf are of different events").into());
        }
        // These change no invoice.
        (
            Event::Allot
            | Event::AllotmentStatus
            | Event::Key
            | Event::AnswersRoot
            | Event::LotteryManifest
            | Event::Freeze
            | Event::Result
            | Event::ClaimBatch
            | Event::RevocationList
            | Event::Reopen
            | Event::Policy,
            _,
        ) => {}
    }
    Ok(())
}

/// The row that a fresh issue or red begins with.
fn issued(index: u64, leaf: &Leaf, seal: &InvoiceSeal) -> Result<(InvoiceId, InvRecord), Incoherent> {
    let face = canonical::decode_face(&seal.face).map_err(|_| Incoherent { index, reason: "the face does not decode" })?;
    let row = InvRecord {
        index,
        time_ms: leaf.time_ms,
        face: seal.face.clone(),
        commit: leaf.commit,
        content_digest: seal.content_digest,
        check_code_generated: seal.check_code_generated,
        imported: leaf.is_imported(),
        original: seal.original,
        voided: None,
        suspended: None,
        live_reds: 0,
        remaining_amount: face.totals.amount.0,
        remaining_tax: face.totals.tax().0,
        last_event: index,
        last_event_ms: leaf.time_ms,
    };
    Ok((face.id, row))
}

impl InvRecord {
    fn touch(&mut self, index: u64, leaf: &Leaf) {
        self.last_event = index;
        self.last_event_ms = leaf.time_ms;
    }
}
