//! The half that commits: a closed frame becomes durable, then locked, then published, then answered.

use std::sync::Arc;

use super::decider::Work;
use super::{Tools, answer};
use crate::domain::time::UnixMillis;
use crate::ledger::faults::{Bug, hold, planted};
use crate::ledger::frame::{self, Frame};
use crate::ledger::{Front, LedgerError, Observer, Published, Shared, Stage};

pub(in crate::ledger) struct Committer {
    store: Arc<crate::ledger::store::Store>,
    shared: Arc<Shared>,
    lock: crate::ledger::lock::LockFile,
    observer: Option<Observer>,
}

impl Committer {
    pub(in crate::ledger) fn new(tools: &Tools) -> Committer {
        let Tools { store, shared, lock, observer, .. } = tools.clone();
        Committer { store, shared, lock, observer }
    }

    /// All of it, in the one order that keeps every promise.
    pub(super) fn commit(&self, mut work: Work) {
        if planted(Bug::AnswerBeforeSync) {
            self.answer(&mut work);
        }
        let done =
            if planted(Bug::Reorder) { self.lock(&work).and_then(|()| self.write(&work)) } else { self.write(&work).and_then(|()| self.lock(&work)) };
        match done.and_then(|()| self.publish(&work)) {
            Ok(()) => self.answer(&mut work),
            Err(error) => self.fail(work, &error),
        }
    }

    /// One synced batch.
    pub(super) fn write(&self, work: &Work) -> Result<(), LedgerError> {
        if let Some(reason) = self.shared.poisoned.get() {
            return Err(LedgerError::Stopped(reason.clone()));
        }
        self.observe(Stage::Closed, &work.frame);
        let overlay = &self.shared.overlay;
        let versions = work.touched.iter().filter_map(|id| overlay.version(*id, work.number).map(|row| (*id, row)));
        let mut batch = self.store.batch();
        frame::apply(&work.frame, versions, &mut batch)?;
        batch.commit(!planted(Bug::SkipFsync))?;
        self.observe(Stage::Durable, &work.frame);
        Ok(())
    }

    /// The lock record, durably.
    pub(super) fn lock(&self, work: &Work) -> Result<(), LedgerError> {
        self.lock.replace(&work.frame.note)?;
        self.observe(Stage::Locked, &work.frame);
        Ok(())
    }

    /// From here on readers see it.
    pub(super) fn publish(&self, work: &Work) -> Result<(), LedgerError> {
        let frame = &work.frame;
        let published = Published { size: frame.size(), root: frame.root, note: frame.note.clone(), time: UnixMillis(frame.time_ms) };
        self.shared.advance(published, |Front { book, edge, keys, keyring, .. }| {
            *edge = Arc::clone(&work.edge);
            if let Some((newer, in_use)) = &work.keys {
                (*keys, *keyring) = (Arc::clone(newer), Some(Arc::clone(in_use)));
            }
            for (index, entry) in (frame.first_index..).zip(&frame.entries) {
                frame::enter(book, index, &entry.leaf, &entry.seal)?;
            }
            Ok(())
        })?;
        for id in &work.touched {
            self.shared.overlay.retire(*id, work.number);
        }
        self.observe(Stage::Published, frame);
        Ok(())
    }

    /// Whoever waited for the frame gets what was decided.
    pub(super) fn answer(&self, work: &mut Work) {
        if planted(Bug::ForgetWaiter) && work.waiters.len() > 1 {
            std::mem::forget(work.waiters.pop());
        }
        for (reply, outcome) in work.waiters.drain(..) {
            answer(reply, Ok(outcome));
        }
    }

    /// Whoever waited for the frame learns that it is not known what became of it.
    pub(super) fn fail(&self, work: Work, error: &LedgerError) {
        let error = self.shared.stop(error);
        for (reply, _) in work.waiters {
            answer(reply, Err(error.clone()));
        }
    }

    fn observe(&self, stage: Stage, frame: &Frame) {
        hold(stage);
        if let Some(observer) = &self.observer {
            observer(stage, frame.first_index, frame.size());
        }
    }
}
