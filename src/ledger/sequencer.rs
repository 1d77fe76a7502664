//! The one writer: two threads, one that decides and one that makes durable.
//!
//! The decider takes submissions one by one and adds what passes to the open frame, deciding on the newest state there is: published, in flight or
//! just decided. As soon as no commit is in flight, the open frame is closed: its root is computed, computed again by a second path, compared and
//! signed. The committer writes it in one synced batch, replaces the lock record, publishes the new size, and only then answers. So a frame holds
//! whatever came in while the one before it was being synced: group commit without a timer.
//!
//! Whatever was decided on unpublished state is answered with the frame that publishes it, refusals too: nobody learns of a state that a power
//! cut could still take back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::decide::{self, Decision, State, Unplaced};
use super::frame::{self, Entry, Frame};
use super::lock::LockFile;
use super::state::{self, Rows};
use super::store::Store;
use super::submission::{Outcome, Submission};
use super::tables::Invoices;
use super::value::InvRecord;
use super::{Book, Clock, Front, LedgerError, Observer, Published, Shared, Signer, Stage, SubmitError};
use crate::codec::leaf::Leaf;
use crate::crypto::crossfoot::Crossfoot;
use crate::crypto::merkle::{self, FullTile, Tree};
use crate::crypto::note::Checkpoint;
use crate::domain::allotment::NumberRange;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::{CLOCK_BEHIND_MAX_MS, FRAME_ENTRIES_MAX, QUEUE_MAX};

/// How long submissions gather while a commit is in flight: a fraction of a fast fsync, so that they are decided by the time it is done.
const HANDFUL: Duration = Duration::from_micros(100);

/// A submission and who waits for its outcome.
pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What a waiter gets.
pub(super) type Reply = Result<Outcome, SubmitError>;

/// The state that the log continues from.
pub(super) struct Head {
    pub(super) tree: Tree,
    pub(super) crossfoot: Crossfoot,
    pub(super) book: Book,
    pub(super) time: UnixMillis,
}

/// Starts both threads. They end when the returned sender is dropped, with everything that was queued done.
pub(super) fn start(
    store: Arc<Store>,
    shared: Arc<Shared>,
    lock: LockFile,
    signer: Signer,
    head: Head,
    clock: Clock,
    observer: Option<Observer>,
) -> std::io::Result<(Sender<Job>, Vec<JoinHandle<()>>)> {
    let (jobs_in, jobs) = bounded(QUEUE_MAX);
    let (work_in, work) = bounded(1);
    let (done_in, done) = bounded(1);
    let committer = Committer { store: Arc::clone(&store), shared: Arc::clone(&shared), lock, observer };
    let decider = Decider {
        pending: Pending::new(0, head.tree.size()),
        store,
        shared,
        signer,
        clock,
        tree: head.tree,
        crossfoot: head.crossfoot,
        book: head.book,
        time: head.time,
        fetched: RefCell::default(),
        in_flight: false,
        work: work_in,
    };
    let threads = vec![
        std::thread::Builder::new().name("decider".into()).spawn(move || decider.run(&jobs, &done))?,
        std::thread::Builder::new().name("committer".into()).spawn(move || committer.run(&work, &done_in))?,
    ];
    Ok((jobs_in, threads))
}

/// The open frame and who waits for it.
struct Pending {
    number: u64,
    first_index: u64,
    entries: Vec<Entry>,
    tiles: Vec<FullTile>,
    touched: Vec<InvoiceId>,
    waiters: Vec<(oneshot::Sender<Reply>, Outcome)>,
}

impl Pending {
    fn new(number: u64, first_index: u64) -> Pending {
        Pending { number, first_index, entries: Vec::new(), tiles: Vec::new(), touched: Vec::new(), waiters: Vec::new() }
    }
}

/// A closed frame on its way to the disk.
struct Work {
    number: u64,
    frame: Frame,
    edge: Arc<Vec<Vec<merkle::Hash>>>,
    touched: Vec<InvoiceId>,
    waiters: Vec<(oneshot::Sender<Reply>, Outcome)>,
}

struct Decider {
    store: Arc<Store>,
    shared: Arc<Shared>,
    signer: Signer,
    clock: Clock,
    tree: Tree,
    crossfoot: Crossfoot,
    /// With everything decided, published or not.
    book: Book,
    time: UnixMillis,
    /// Rows that this submission has read from the database: the published versions for the overlay.
    fetched: RefCell<HashMap<InvoiceId, Option<Arc<InvRecord>>>>,
    pending: Pending,
    in_flight: bool,
    work: Sender<Work>,
}

impl Decider {
    fn run(mut self, jobs: &Receiver<Job>, done: &Receiver<()>) {
        let mut open = true;
        while open || self.in_flight || !self.pending.waiters.is_empty() {
            // Whatever is queued already belongs into the open frame, but what comes in during that does not hold it up.
            for job in jobs.try_iter().take(jobs.len().min(self.room())) {
                self.take(job);
            }
            if self.in_flight {
                // Nobody can be answered before the commit in flight is, so it is waited for, and what comes in meanwhile is taken by the
                // handful: to be woken for each submission costs more than to decide it.
                match done.recv_timeout(HANDFUL) {
                    Ok(()) => self.in_flight = false,
                    Err(RecvTimeoutError::Timeout) => {}
                    // The committer never goes before the decider does.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else if !self.pending.waiters.is_empty() {
                self.close_frame();
            } else if open {
                match jobs.recv() {
                    Ok(job) => self.take(job),
                    Err(_) => open = false,
                }
            }
        }
    }

    fn room(&self) -> usize {
        FRAME_ENTRIES_MAX.saturating_sub(self.pending.waiters.len())
    }

    /// Decides one submission and enters its entries into the open frame.
    fn take(&mut self, job: Job) {
        if let Err(error) = self.shared.may_write() {
            return answer(job.reply, Err(error));
        }
        let now = (self.clock)();
        if now.0 + CLOCK_BEHIND_MAX_MS < self.time.0 {
            return answer(job.reply, Err(SubmitError::ClockBehind { now, head: self.time }));
        }
        self.fetched.borrow_mut().clear();
        let next_index = self.pending.first_index + self.pending.entries.len() as u64;
        let outcome = match decide::decide(self, job.submission, next_index) {
            Ok(Decision::Answer(outcome)) => outcome,
            Ok(Decision::Log(entries, warning)) => {
                if let Err(error) = self.place(entries, next_index, now) {
                    return answer(job.reply, Err(self.shared.poison(&error)));
                }
                Outcome::Logged { index: next_index, repeated: false, warning }
            }
            Err(error) => return answer(job.reply, Err(self.shared.poison(&error))),
        };
        self.pending.waiters.push((job.reply, outcome));
    }

    fn place(&mut self, entries: Vec<Unplaced>, first_index: u64, now: UnixMillis) -> Result<(), LedgerError> {
        self.time = self.time.max(now);
        for (index, Unplaced { leaf, seal, body }) in (first_index..).zip(entries) {
            let leaf = Leaf { time_ms: self.time.0, ..leaf };
            let bytes = leaf.encode();
            state::fold(self, index, &leaf, &seal)?;
            frame::enter(&mut self.book, index, &leaf, &seal)?;
            self.pending.tiles.extend(self.tree.append(merkle::leaf_hash(&bytes)));
            self.crossfoot.push(&bytes);
            self.pending.entries.push(Entry { leaf, seal, body });
        }
        Ok(())
    }

    /// Closes the open frame and hands it over; if nothing in it needs a commit, its waiters are answered at once.
    fn close_frame(&mut self) {
        let size = self.pending.first_index + self.pending.entries.len() as u64;
        let next = Pending::new(self.pending.number + 1, size);
        let pending = std::mem::replace(&mut self.pending, next);
        let root = match self.shared.may_write() {
            Ok(()) if pending.entries.is_empty() => {
                for (reply, outcome) in pending.waiters {
                    answer(reply, Ok(outcome));
                }
                return;
            }
            Ok(()) => agreed_root(&self.tree, &self.crossfoot).map_err(|error| self.shared.poison(&error)),
            // The commit before this frame failed, and with it the state that all of this was decided on.
            Err(error) => Err(error),
        };
        let root = match root {
            Ok(root) => root,
            Err(error) => {
                for (reply, _) in pending.waiters {
                    answer(reply, Err(error.clone()));
                }
                return;
            }
        };
        let checkpoint = Checkpoint { origin: self.signer.origin.clone(), size, root };
        let note = checkpoint.sign(&self.signer.keyring.checkpoint().key).encode();
        let frame = Frame { first_index: pending.first_index, entries: pending.entries, tiles: pending.tiles, note, root, time_ms: self.time.0 };
        let edge = Arc::new(self.tree.right_edge());
        let work = Work { number: pending.number, frame, edge, touched: pending.touched, waiters: pending.waiters };
        // The committer takes one frame at a time and outlives this thread.
        self.in_flight = self.work.send(work).is_ok();
    }
}

/// The root by both paths, or the fact that they differ, which must stop the ledger before anything is signed.
fn agreed_root(tree: &Tree, crossfoot: &Crossfoot) -> Result<[u8; 32], LedgerError> {
    let (root, second) = (tree.root(), crossfoot.root());
    if root != second || tree.size() != crossfoot.size() {
        return Err(LedgerError::RootsDiffer { size: tree.size() });
    }
    Ok(root)
}

impl Rows for Decider {
    type Error = LedgerError;

    fn row(&self, id: InvoiceId) -> Result<Option<InvRecord>, LedgerError> {
        if let Some(row) = self.shared.overlay.newest(id) {
            return Ok(Some(InvRecord::clone(&row)));
        }
        let row = self.store.get::<Invoices>(&id)?;
        self.fetched.borrow_mut().insert(id, row.clone().map(Arc::new));
        Ok(row)
    }

    fn set(&mut self, id: InvoiceId, row: InvRecord) {
        let fetched = self.fetched.get_mut();
        self.shared.overlay.set(id, self.pending.number, row, || fetched.get(&id).cloned().flatten());
        self.pending.touched.push(id);
    }
}

impl State for Decider {
    fn book(&self) -> &Book {
        &self.book
    }

    fn first_used(&self, range: &NumberRange) -> Result<Option<InvoiceId>, LedgerError> {
        let from = InvoiceId { code: range.code, number: range.first };
        let stored = match self.store.scan::<Invoices>(&from).next() {
            Some(row) => <[u8; InvoiceId::LEN]>::try_from(&*row?.0).ok().and_then(InvoiceId::from_bytes).filter(|id| range.contains(*id)),
            None => None,
        };
        Ok(stored.or_else(|| self.shared.overlay.ids().into_iter().filter(|id| range.contains(*id)).min()))
    }

    fn id_tag(&self, id: InvoiceId) -> [u8; 32] {
        self.signer.keyring.id_tag(id)
    }
}

struct Committer {
    store: Arc<Store>,
    shared: Arc<Shared>,
    lock: LockFile,
    observer: Option<Observer>,
}

impl Committer {
    fn run(self, work: &Receiver<Work>, done: &Sender<()>) {
        for work in work {
            match self.commit(&work) {
                Ok(()) => {
                    self.observe(Stage::Published, &work.frame);
                    for (reply, outcome) in work.waiters {
                        answer(reply, Ok(outcome));
                    }
                }
                Err(error) => {
                    let error = self.shared.poison(&error);
                    for (reply, _) in work.waiters {
                        answer(reply, Err(error.clone()));
                    }
                }
            }
            // The decider is gone only when the ledger is being dropped, with nothing left to do.
            if done.send(()).is_err() {
                return;
            }
        }
    }

    fn commit(&self, work: &Work) -> Result<(), LedgerError> {
        if let Err(error) = self.shared.may_write() {
            return Err(LedgerError::Stopped(error.to_string()));
        }
        let frame = &work.frame;
        self.observe(Stage::Closed, frame);
        let mut rows: Vec<InvoiceId> = work.touched.clone();
        rows.sort_unstable();
        rows.dedup();
        let overlay = &self.shared.overlay;
        let versions = rows.iter().filter_map(|id| overlay.version(*id, work.number).map(|row| (*id, row)));
        let mut batch = self.store.batch();
        frame::apply(frame, versions, &mut batch)?;
        batch.commit(true)?;
        self.observe(Stage::Durable, frame);
        self.lock.replace(&frame.note)?;
        self.observe(Stage::Locked, frame);

        let published = Published { size: frame.size(), root: frame.root, note: frame.note.clone(), time: UnixMillis(frame.time_ms) };
        self.shared.advance(published, |Front { book, edge, .. }| {
            *edge = Arc::clone(&work.edge);
            for (index, entry) in (frame.first_index..).zip(&frame.entries) {
                frame::enter(book, index, &entry.leaf, &entry.seal)?;
            }
            Ok(())
        })?;
        for id in rows {
            overlay.retire(id, work.number);
        }
        Ok(())
    }

    fn observe(&self, stage: Stage, frame: &Frame) {
        if let Some(observer) = &self.observer {
            observer(stage, frame.first_index, frame.size());
        }
    }
}

/// A waiter that has gone away has lost interest; what was logged stays logged.
fn answer(reply: oneshot::Sender<Reply>, outcome: Reply) {
    drop(reply.send(outcome));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_hash_in_either_path_is_caught_before_signing() {
        let leaves: Vec<[u8; 96]> = (0..300u16).map(|i| [i.to_be_bytes()[1]; 96]).collect();
        let build = |wrong_in_tree: bool, wrong_in_crossfoot: bool| {
            let (mut tree, mut crossfoot) = (Tree::default(), Crossfoot::default());
            for (i, leaf) in leaves.iter().enumerate() {
                let planted = |wrong: bool| if wrong && i == 128 { [0xaa; 96] } else { *leaf };
                tree.append(merkle::leaf_hash(&planted(wrong_in_tree)));
                crossfoot.push(&planted(wrong_in_crossfoot));
            }
            agreed_root(&tree, &crossfoot)
        };
        assert!(build(false, false).is_ok());
        assert!(matches!(build(true, false), Err(LedgerError::RootsDiffer { size: 300 })));
        assert!(matches!(build(false, true), Err(LedgerError::RootsDiffer { size: 300 })));
    }
}
