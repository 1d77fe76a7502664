//! How often each invoice was verified (查验次数): exact in memory, durable within a second, off the hot path.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dashmap::DashMap;

use super::store::{Store, StoreError};
use super::tables::Counts as CountTable;
use super::value::CountRecord;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::{COUNT_BATCH_ROWS, COUNT_FLUSH_MS, COUNTS_KEPT_MAX, COUNTS_PENDING_IN_TROUBLE_MAX, COUNTS_PENDING_MAX};

/// Count of matching verifications, this one included, and when the first one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How often, this time included.
    pub count: u64,
    /// The first time before this one, if any.
    pub first: Option<UnixMillis>,
}

#[derive(Debug)]
struct Row {
    record: CountRecord,
    /// Not, or not yet again, on disk.
    dirty: bool,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    /// While a row is here it is the truth. Clean ones stay for those who ask again, until there are too many.
    rows: DashMap<InvoiceId, Row>,
    /// Which rows are dirty and are not being written, each once.
    dirty: Mutex<Vec<InvoiceId>>,
    /// How many are dirty, or are being written and not yet safe.
    waiting: AtomicUsize,
    /// How many times clean rows were dropped. Grows after what they say is in the store and before they go.
    dropped: AtomicU64,
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
        Arc::new(Inner {
            store,
            rows: DashMap::new(),
            dirty: Mutex::default(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            wake: Default::default(),
        })
    }

    pub(super) fn start(store: Arc<Store>) -> std::io::Result<Counts> {
        let inner = Counts::inner(store);
        let worker = Arc::clone(&inner);
        let flusher = std::thread::Builder::new().name("counts".into()).spawn(move || worker.run())?;
        Ok(Counts { inner, flusher: Some(flusher) })
    }

    /// Counts one matching verification.
    pub fn add(&self, id: InvoiceId, now: UnixMillis) -> Result<Tally, StoreError> {
        match self.inner.rows.get_mut(&id) {
            Some(mut row) => Ok(self.inner.count(id, &mut row)),
            None => self.add_to_stored(id, now),
        }
    }

    fn add_to_stored(&self, id: InvoiceId, now: UnixMillis) -> Result<Tally, StoreError> {
        let inner = &self.inner;
        // Trying again is for the thread that writes, which does so every so often.
        if inner.waiting.load(Ordering::Relaxed) > COUNTS_PENDING_IN_TROUBLE_MAX {
            return Err(StoreError::Closed("too many verifications wait to be counted on disk".into()));
        }
        let stored = || Ok::<_, StoreError>(inner.store.get::<CountTable>(&id)?.unwrap_or(CountRecord { count: 0, first_ms: now.0 }));
        let dropped = inner.dropped.load(Ordering::SeqCst);
        let read = stored()?;
        let mut row = match inner.rows.entry(id) {
            // Somebody else was first, and has counted since.
            dashmap::Entry::Occupied(row) => row.into_ref(),
            dashmap::Entry::Vacant(row) => {
                // Unless rows were dropped since, nobody counted between the reading and now, or it would be here.
                let record = if inner.dropped.load(Ordering::SeqCst) == dropped { read } else { stored()? };
                row.insert(Row { record, dirty: false })
            }
        };
        Ok(inner.count(id, &mut row))
    }

    /// The count without adding to it.
    pub fn get(&self, id: InvoiceId) -> Result<Tally, StoreError> {
        let record = match self.inner.rows.get(&id) {
            Some(row) => Some(row.record),
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

    fn count(&self, id: InvoiceId, row: &mut Row) -> Tally {
        let before = row.record;
        row.record.count += 1;
        if !std::mem::replace(&mut row.dirty, true) {
            // Before it can be written, and be taken off again.
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
            self.dirty().push(id);
            if waiting == COUNTS_PENDING_MAX {
                self.wake.1.notify_all();
            }
        }
        Tally { count: before.count + 1, first: (before.count > 0).then_some(UnixMillis(before.first_ms)) }
    }

    fn dirty(&self) -> MutexGuard<'_, Vec<InvoiceId>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut written = std::mem::take(&mut *self.dirty());
        // In order, each finds its place in the memtable near the one before it.
        written.sort_unstable();
        if let Err((error, tried)) = self.write(&written) {
            // Those that became dirty again meanwhile are already on the list.
            let cleaned = |id| self.rows.get_mut(id).is_some_and(|mut row| !std::mem::replace(&mut row.dirty, true));
            let again: Vec<_> = written.iter().enumerate().filter(|(at, id)| *at >= tried || cleaned(id)).map(|(_, id)| *id).collect();
            self.waiting.fetch_sub(written.len() - again.len(), Ordering::Relaxed);
            self.dirty().extend(again);
            return Err(error);
        }
        self.waiting.fetch_sub(written.len(), Ordering::Relaxed);
        if self.rows.len() > COUNTS_KEPT_MAX {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            self.rows.retain(|_, row| row.dirty);
        }
        Ok(())
    }

    /// A chunk at a time, so that an invoice that is being issued does not wait for all of them, and all of them safe at the end. An error comes with
    /// how many were tried and may not be safe.
    fn write(&self, ids: &[InvoiceId]) -> Result<(), (StoreError, usize)> {
        let mut tried = 0;
        for chunk in ids.chunks(COUNT_BATCH_ROWS) {
            let mut batch = self.store.batch();
            for id in chunk {
                if let Some(mut row) = self.rows.get_mut(id) {
                    row.dirty = false;
                    batch.put::<CountTable>(id, &row.record);
                }
            }
            tried += chunk.len();
            batch.commit(tried == ids.len()).map_err(|error| (error, tried))?;
        }
        Ok(())
    }
}
