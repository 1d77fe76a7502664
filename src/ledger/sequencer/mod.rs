//! The one writer, in two threads: the decider decides while the committer commits.
//!
//! The decider takes submissions one by one and adds what passes to the open frame, deciding on the newest state there is: published, in flight or
//! just decided. As soon as no commit is in flight, the open frame is closed: its root is computed, computed again by a second path, compared and
//! signed. The committer writes it in one synced batch, replaces the lock record, publishes the new size, and only then answers. So a frame holds
//! whatever came in while the one before it was being synced: group commit without a timer.
//!
//! Whatever was decided on unpublished state is answered with the frame that publishes it, refusals too: nobody learns of a state that a power
//! cut could still take back.
//!
//! When the disk, or a token that signs, gives trouble, everybody under way is told so, nothing more is decided, and the decider tries again and again, after trouble
//! with the disk with the database opened anew. Once that works it goes on from what is on disk, through the same recovery as after a crash.

mod committer;
mod decider;
#[cfg(feature = "faults")]
mod stepper;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::submission::{Outcome, Submission};
use super::{Clock, Observer, Shared, Signer, SubmitError};
use crate::limits::{QUEUE_MAX, RESUME_EVERY_MS};
pub(super) use committer::Committer;
pub(super) use decider::{Decider, Head};
#[cfg(feature = "faults")]
pub use stepper::{Stepped, Stepper};

/// How long submissions gather while a commit is in flight: a fraction of a fast fsync, so that they are decided by the time it is done.
const HANDFUL: Duration = Duration::from_micros(100);

/// How long after one attempt to go on after trouble the next is made.
const RESUME_EVERY: Duration = Duration::from_millis(RESUME_EVERY_MS);

/// A submission and who waits for its outcome.
pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What a waiter gets.
pub(super) type Reply = Result<Outcome, SubmitError>;

/// What both halves of the sequencer work with.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) store: Arc<super::store::Store>,
    pub(super) shared: Arc<Shared>,
    pub(super) lock: super::lock::LockFile,
    pub(super) signer: Signer,
    pub(super) clock: Clock,
    pub(super) observer: Option<Observer>,
}

/// Starts both threads. They end when the returned sender is dropped, with everything that was queued done.
pub(super) fn start(tools: Tools, head: Head) -> std::io::Result<(Sender<Job>, Vec<JoinHandle<()>>)> {
    let (jobs_in, jobs) = bounded(QUEUE_MAX);
    let (work_in, work) = bounded(1);
    let (done_in, done) = bounded(1);
    let committer = Committer::new(&tools);
    let decider = Decider::new(tools, head);
    let threads = vec![
        std::thread::Builder::new().name("decider".into()).spawn(move || decide(decider, &jobs, &work_in, &done))?,
        std::thread::Builder::new().name("committer".into()).spawn(move || commit(&committer, &work, &done_in))?,
    ];
    Ok((jobs_in, threads))
}

/// Logs the notice of a reopened ledger as a frame of its own, without threads.
pub(super) fn log_notice(
    decider: &mut Decider,
    committer: &Committer,
    notice: super::SealedEvent,
    keys: Vec<super::SealedEvent>,
) -> Result<(), super::LedgerError> {
    let work = decider.close_notice(notice, keys)?;
    committer.write(&work)?;
    committer.lock(&work)
}

fn decide(mut decider: Decider, jobs: &Receiver<Job>, work: &Sender<decider::Work>, done: &Receiver<()>) {
    let (mut open, mut in_flight) = (true, false);
    let mut next_attempt = Instant::now();
    while open || in_flight || decider.has_waiters() {
        // Whatever is queued already belongs into the open frame, but what comes in during that does not hold it up.
        for job in jobs.try_iter().take(jobs.len().min(decider.room())) {
            decider.take(job);
        }
        if in_flight {
            // Nobody can be answered before the commit in flight is, so it is waited for, and what comes in meanwhile is taken by the
            // handful: to be woken for each submission costs more than to decide it.
            match done.recv_timeout(HANDFUL) {
                Ok(()) => in_flight = false,
                Err(RecvTimeoutError::Timeout) => {}
                // The committer never goes before the decider does.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else if decider.has_waiters() {
            // The committer takes one frame at a time and outlives this thread.
            in_flight = decider.close().is_some_and(|closed| work.send(closed).is_ok());
        } else if decider.in_trouble() {
            // However many submissions there are to refuse, the disk is tried again in time.
            if Instant::now() >= next_attempt {
                decider.try_resume();
                next_attempt = Instant::now() + RESUME_EVERY;
                continue;
            }
            match jobs.recv_deadline(next_attempt) {
                Ok(job) => decider.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else if open {
            // Trouble with a token is found where invoices are signed, above, and then nobody submits anything.
            match jobs.recv_timeout(RESUME_EVERY) {
                Ok(job) => decider.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        }
    }
}

fn commit(committer: &Committer, work: &Receiver<decider::Work>, done: &Sender<()>) {
    for work in work {
        committer.commit(work);
        // The decider is gone only when the ledger is being dropped, with nothing left to do.
        if done.send(()).is_err() {
            return;
        }
    }
}

/// A waiter that has gone away has lost interest; what was logged stays logged.
fn answer(reply: oneshot::Sender<Reply>, outcome: Reply) {
    drop(reply.send(outcome));
}
