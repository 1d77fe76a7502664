//! How often each invoice was verified (查验次数): exact in memory, durable within a second, off the hot path.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dashmap::DashMap;

use super::store::{Store, StoreError};
use super::tables::Counts as CountTable;
use super::value::CountRecord;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::{COUNT_FLUSH_MS, COUNTS_PENDING_IN_TROUBLE_MAX, COUNTS_PENDING_MAX};

/// Count of matching verifications, this one included, and when the first one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How often, this time included.
    pub count: u64,
    /// The first time before this one, if any.
    pub first: Option<UnixMillis>,
}

#[derive(Debug)]
struct Pending {
    record: CountRecord,
    dirty: bool,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    /// Absolute counts that are not yet, or not yet again, on disk. While a row is here it is the truth.
    pending: DashMap<InvoiceId, Pending>,
    closing: AtomicBool,
    wake: (Mutex<()>, Condvar),
}

/// The counters of a ledger.
#[derive(Debug)]
pub struct Counts {
    inner: Arc<Inner>,
    flusher: Option<JoinHandle<()>>,
}

impl Counts {
    /// Counts in memory only, until [`Counts::close`] writes them.
    #[cfg(feature = "faults")]
    pub(super) fn without_thread(store: Arc<Store>) -> Counts {
        Counts { inner: Counts::inner(store), flusher: None }
    }

    fn inner(store: Arc<Store>) -> Arc<Inner> {
        Arc::new(Inner { store, pending: DashMap::new(), closing: AtomicBool::new(false), wake: Default::default() })
    }

    pub(super) fn start(store: Arc<Store>) -> std::io::Result<Counts> {
        let inner = Counts::inner(store);
        let worker = Arc::clone(&inner);
        let flusher = std::thread::Builder::new().name("counts".into()).spawn(move || worker.run())?;
        Ok(Counts { inner, flusher: Some(flusher) })
    }

    /// Counts one matching verification.
    pub fn add(&self, id: InvoiceId, now: UnixMillis) -> Result<Tally, StoreError> {
        // How many there are is asked of every shard, so only where one more would come.
        if !self.inner.pending.contains_key(&id)
            && self.inner.pending.len() > COUNTS_PENDING_MAX
            && let Err(error) = self.inner.flush()
            && self.inner.pending.len() > COUNTS_PENDING_IN_TROUBLE_MAX
        {
            return Err(error);
        }
        let mut slot = match self.inner.pending.entry(id) {
            dashmap::Entry::Occupied(slot) => slot.into_ref(),
            // The shard stays locked over one point read, so that two first verifications cannot both start from the stored row.
            dashmap::Entry::Vacant(slot) => {
                let record = self.inner.store.get::<CountTable>(&id)?.unwrap_or(CountRecord { count: 0, first_ms: now.0 });
                slot.insert(Pending { record, dirty: false })
            }
        };
        let before = slot.record;
        slot.record.count += 1;
        slot.dirty = true;
        Ok(Tally { count: before.count + 1, first: (before.count > 0).then_some(UnixMillis(before.first_ms)) })
    }

    /// The count without adding to it.
    pub fn get(&self, id: InvoiceId) -> Result<Tally, StoreError> {
        let record = match self.inner.pending.get(&id) {
            Some(pending) => Some(pending.record),
            None => self.inner.store.get::<CountTable>(&id)?,
        };
        Ok(Tally { count: record.map_or(0, |record| record.count), first: record.map(|record| UnixMillis(record.first_ms)) })
    }

    /// Writes what is pending and ends the thread.
    pub(super) fn close(&mut self) {
        self.inner.closing.store(true, Ordering::SeqCst);
        self.inner.wake.1.notify_all();
        if let Some(flusher) = self.flusher.take() {
            drop(flusher.join());
        }
    }
}

impl Inner {
    fn run(&self) {
        let mut guard = self.wake.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.closing.load(Ordering::SeqCst) {
            (guard, _) = self.wake.1.wait_timeout(guard, Duration::from_millis(COUNT_FLUSH_MS)).unwrap_or_else(PoisonError::into_inner);
            // What could not be written stays pending and is tried again; the disk's trouble shows in the sequencer.
            drop(self.flush());
        }
        drop(self.flush());
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut batch = self.store.batch();
        let mut written = Vec::new();
        for mut slot in self.pending.iter_mut() {
            if slot.dirty {
                slot.dirty = false;
                batch.put::<CountTable>(slot.key(), &slot.record);
                written.push(*slot.key());
            }
        }
        if written.is_empty() {
            return Ok(());
        }
        if let Err(error) = batch.commit(true) {
            for id in written {
                if let Some(mut slot) = self.pending.get_mut(&id) {
                    slot.dirty = true;
                }
            }
            return Err(error);
        }
        for id in written {
            self.pending.remove_if(&id, |_, slot| !slot.dirty);
        }
        Ok(())
    }
}
