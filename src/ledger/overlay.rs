//! State that is decided but not yet published: the sequencer decides on its newest versions, readers see the version their ledger size has.

use std::sync::Arc;

use dashmap::DashMap;

use super::value::InvRecord;
use crate::domain::number::InvoiceId;

/// Rows of `inv` touched by frames that are open or in flight. Small: it holds what a few frames touch.
#[derive(Debug, Default)]
pub struct Overlay {
    slots: DashMap<InvoiceId, Slot>,
}

#[derive(Debug)]
struct Slot {
    /// The row as published before any of the versions; `None` if there was none.
    published: Option<Arc<InvRecord>>,
    /// Frame number and row, oldest first.
    versions: Vec<(u64, Arc<InvRecord>)>,
}

/// What the overlay knows of a row.
#[derive(Debug)]
pub enum Seen {
    /// Nothing: the database has it.
    Elsewhere,
    /// The row at the asked size, or its absence.
    Here(Option<Arc<InvRecord>>),
}

impl Overlay {
    /// The row as the newest decision left it.
    pub fn newest(&self, id: InvoiceId) -> Option<Arc<InvRecord>> {
        let slot = self.slots.get(&id)?;
        slot.versions.last().map(|(_, row)| Arc::clone(row))
    }

    /// The row as a ledger of `size` leaves has it.
    pub fn at(&self, id: InvoiceId, size: u64) -> Seen {
        let Some(slot) = self.slots.get(&id) else { return Seen::Elsewhere };
        let version = slot.versions.iter().rev().map(|(_, row)| row).find(|row| row.last_event < size);
        match version.or(slot.published.as_ref()) {
            // Published since the reader took its size: the database has this row too, and shows the reader that a newer size is out.
            Some(row) if row.last_event >= size => Seen::Elsewhere,
            row => Seen::Here(row.cloned()),
        }
    }

    /// Enters what frame `frame` makes of the row. `published` is asked for the row in the database if nothing newer is known.
    pub fn set(&self, id: InvoiceId, frame: u64, row: InvRecord, published: impl FnOnce() -> Option<Arc<InvRecord>>) {
        let row = Arc::new(row);
        let mut slot = self.slots.entry(id).or_insert_with(|| Slot { published: published(), versions: Vec::with_capacity(1) });
        match slot.versions.last_mut() {
            Some((newest, version)) if *newest == frame => *version = row,
            _ => slot.versions.push((frame, row)),
        }
    }

    /// The row as frame `frame` leaves it, if the frame touches it.
    pub fn version(&self, id: InvoiceId, frame: u64) -> Option<Arc<InvRecord>> {
        let slot = self.slots.get(&id)?;
        slot.versions.iter().find(|(version, _)| *version == frame).map(|(_, row)| Arc::clone(row))
    }

    /// Every invoice that is touched.
    pub fn ids(&self) -> Vec<InvoiceId> {
        self.slots.iter().map(|slot| *slot.key()).collect()
    }

    /// Forgets everything: the database was opened anew and has all there is.
    pub fn clear(&self) {
        self.slots.clear();
    }

    /// Forgets what frame `frame` touched, now that it is published: the database has it.
    pub fn retire(&self, id: InvoiceId, frame: u64) {
        let emptied = self.slots.get_mut(&id).is_some_and(|mut slot| {
            while slot.versions.first().is_some_and(|(version, _)| *version <= frame) {
                let (_, row) = slot.versions.remove(0);
                slot.published = Some(row);
            }
            slot.versions.is_empty()
        });
        if emptied {
            self.slots.remove_if(&id, |_, slot| slot.versions.is_empty());
        }
    }
}
