//! Whose standing a stretch of the log may have changed: what keeps a revocation list, without looking at every invoice.

use std::collections::BTreeSet;

use super::tables::{Invoices, Leaves};
use super::value::Seal;
use super::{Ledger, LedgerError};
use crate::codec::event::{Event, EventData};
use crate::codec::leaf::Leaf;
use crate::domain::number::InvoiceId;

impl Ledger {
    /// Invoices that the leaves from `from` on and before `to` may have made void, red-flushed or suspended, or have taken that from them. `to` is at most
    /// the published size. `None` if it was not to `go_on`.
    pub fn touched(&self, from: u64, to: u64, go_on: &dyn Fn() -> bool) -> Result<Option<BTreeSet<InvoiceId>>, LedgerError> {
        let mut ids = BTreeSet::new();
        for row in self.store.scan::<Leaves>(&from) {
            let (key, bytes) = row?;
            let index = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| LedgerError::broken(from, "key of leaf".into()))?;
            if index >= to {
                break;
            }
            if !go_on() {
                return Ok(None);
            }
            let leaf = Leaf::decode(&bytes).map_err(|error| LedgerError::broken(index, error.to_string()))?;
            let is_plain = leaf.event == Event::Issue && !leaf.imported;
            if !is_plain && (leaf.event.is_of_invoice() || leaf.event == Event::AllotmentStatus) {
                self.touched_by(index, leaf.event, &mut ids, go_on)?;
            }
        }
        // It may have been the last leaf that was not read to its end.
        Ok(go_on().then_some(ids))
    }

    fn touched_by(&self, index: u64, event: Event, ids: &mut BTreeSet<InvoiceId>, go_on: &dyn Fn() -> bool) -> Result<(), LedgerError> {
        match self.seal(index)? {
            // Brought in, it may lie in a range that was marked before.
            Seal::Invoice(seal) => {
                let face = crate::codec::canonical::decode_face(&seal.face).map_err(|error| LedgerError::broken(index, error.to_string()))?;
                ids.insert(face.id);
                ids.extend(seal.original.and_then(InvoiceId::from_bytes));
            }
            Seal::Event(seal) => match EventData::decode(event, &seal.data).map_err(|error| LedgerError::broken(index, error.to_string()))? {
                EventData::Void { id, .. } | EventData::Status { id, .. } => {
                    ids.insert(id);
                    // A red-letter invoice that is void gives back to its original what it took.
                    let row = self.store.get::<Invoices>(&id)?;
                    ids.extend(row.and_then(|row| row.original).and_then(InvoiceId::from_bytes));
                }
                EventData::AllotmentStatus { range, .. } => {
                    let first = InvoiceId { code: range.code, number: range.first };
                    for row in self.store.scan::<Invoices>(&first) {
                        let (key, _) = row?;
                        // Whoever asked sees it at the next leaf.
                        if !go_on() {
                            break;
                        }
                        match <[u8; InvoiceId::LEN]>::try_from(&*key).ok().and_then(InvoiceId::from_bytes).filter(|id| range.contains(*id)) {
                            Some(id) => ids.insert(id),
                            None => break,
                        };
                    }
                }
                EventData::Allot(_)
                | EventData::Key(_)
                | EventData::AnswersRoot(_)
                | EventData::RevocationList(_)
                | EventData::Reopen(_)
                | EventData::Policy(_) => {}
            },
        }
        Ok(())
    }
}
