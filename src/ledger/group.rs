//! Group commit of what is written beside the log: whatever comes while something is being written is written together, next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::SubmitError;

/// Items on their way to the disk.
#[derive(Debug)]
pub(super) struct Group<T, S, R> {
    /// Held for as long as it takes to push or to take a list. As long as there are threads that submit.
    waiting: Mutex<Vec<Waiting<T, R>>>,
    /// What whoever writes has to know; held while items are written.
    writing: Mutex<S>,
}

type Waiting<T, R> = (T, oneshot::Sender<Result<R, SubmitError>>);

impl<T, S: Default, R> Default for Group<T, S, R> {
    fn default() -> Group<T, S, R> {
        Group { waiting: Mutex::default(), writing: Mutex::default() }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, S, R> Group<T, S, R> {
    /// What whoever writes has to know, while nobody writes.
    pub(super) fn writing(&self) -> MutexGuard<'_, S> {
        held(&self.writing)
    }

    /// Has an item written, by `write` or by that of somebody else: it gets all that wait, and says of each in their order what became of it.
    pub(super) fn submit(&self, item: T, write: impl FnOnce(&mut S, Vec<T>) -> Vec<Result<R, SubmitError>>) -> Result<R, SubmitError> {
        let (reply, mut done) = oneshot::channel();
        held(&self.waiting).push((item, reply));
        let mut writing = held(&self.writing);
        // Whoever gets here first writes for all who wait; the others find that it is done.
        let (items, replies): (Vec<T>, Vec<_>) = std::mem::take(&mut *held(&self.waiting)).into_iter().unzip();
        if !items.is_empty() {
            for (reply, outcome) in replies.into_iter().zip(write(&mut writing, items)) {
                // Nobody stops waiting: all are in this function.
                drop(reply.send(outcome));
            }
        }
        done.try_recv().unwrap_or(Err(SubmitError::Closing))
    }
}
