//! The ledger: an append-only log of events with a Merkle tree over it, and the state that follows from it, in RocksDB.
//!
//! One sequencer writes; everybody else reads what is published. A size is published only once its entries are on disk and its checkpoint is in
//! the lock record, and nothing above a published size is ever shown. RocksDB and bincode are known on this floor only.

mod answers;
mod backup;
mod book;
mod cosigned;
mod counts;
mod decide;
mod doctor;
mod erasure;
mod faults;
mod files;
mod frame;
mod fsck;
mod group;
mod lock;
mod opening;
mod overlay;
pub mod place;
mod rebuild;
mod receipt;
mod recovery;
mod registry;
mod sequencer;
mod state;
mod store;
mod submission;
mod tables;
mod tile;
mod touched;
pub mod value;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use tokio::sync::oneshot;

pub use answers::{Answers, Covering, Keeping, Uncovered};
pub use backup::{Backup, BackupError, Restored, backups, restore};
pub use book::{Allotted, Book, Marked};
pub use counts::{Counts, Tally};
pub use doctor::{Examination, Symptom, examine};
pub use erasure::EraseError;
#[cfg(feature = "faults")]
pub use faults::{BUGS, Bug, plant, plant_from_environment};
pub use files::{Files, PUBLIC, replace_file};
pub use fsck::{Finding, Fsck, FsckReport};
pub use opening::{Creation, Opening, Reopening, SignKeys};
pub use receipt::{Receipt, Sealed};
pub use recovery::{Obstacle, Origins};
pub use registry::{Enrolled, Registry};
#[cfg(feature = "faults")]
pub use sequencer::{Stepped, Stepper};
#[cfg(feature = "faults")]
pub use store::simulated;
pub use store::{Home, StoreError, StoreSizes};
pub use submission::{ImportedEvent, Outcome, Refusal, Remark, SealedEvent, SealedInvoice, Submission};
pub use tables::DERIVED;
pub use value::InvRecord;

use crate::codec::leaf::Leaf;
use crate::crypto::body::Kept;
use crate::crypto::crossfoot::CrossfootError;
use crate::crypto::keyring::{Keyring, PublicKeys, Role};
use crate::crypto::merkle::{self, TileError};
use crate::crypto::note::Origin;
use crate::crypto::sign::SignError;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use store::Store;
use tables::{Bodies, Heads, Invoices, Leaves, Seals};

/// Where the time comes from. Read in one place above; here it is an argument.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Told of each stage of each commit, with the first index and the size: for metrics, and for tests that hold a commit.
pub type Observer = Arc<dyn Fn(Stage, u64, u64) + Send + Sync>;

/// How far a frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decided and signed, not yet written.
    Closed,
    /// In the synced WAL.
    Durable,
    /// In the lock record.
    Locked,
    /// Visible to readers; its submitters are answered next.
    Published,
}

/// What stops the ledger or one read of it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database or a file beside it.
    #[error(transparent)]
    Store(StoreError),
    /// A stored row contradicts the log.
    #[error("leaf {index}: {reason}")]
    Broken {
        /// The leaf.
        index: u64,
        /// What is wrong.
        reason: String,
    },
    /// Events that cannot follow each other.
    #[error(transparent)]
    Incoherent(#[from] state::Incoherent),
    /// The token that has the keys does not sign.
    #[error(transparent)]
    Unsigned(#[from] SignError),
    /// The root by the second path is another one: nothing is signed.
    #[error("the two ways to compute the root of size {size} differ; nothing was signed")]
    RootsDiffer {
        /// Leaves in the tree.
        size: u64,
    },
    /// The newest checkpoint is not of this log, or not signed by its key.
    #[error("checkpoint of size {size}: {reason}")]
    Checkpoint {
        /// Its size.
        size: u64,
        /// What is wrong.
        reason: String,
    },
    /// This copy cannot be said to be the newest.
    #[error("not adopted: {0}")]
    NotAdopted(Obstacle),
    /// The copy may sign as it is.
    #[error("nothing keeps this ledger from signing; it goes on under its origin")]
    NothingToReopen,
    /// The ledger had stopped before.
    #[error("{0}")]
    Stopped(String),
}

impl LedgerError {
    /// Whether the disk, or a token, is to blame, so that the same may succeed once the cause is gone.
    pub fn is_trouble(&self) -> bool {
        match self {
            LedgerError::Store(error) => error.is_trouble(),
            LedgerError::Unsigned(_) => true,
            _ => false,
        }
    }

    /// What whoever submitted is told of trouble.
    fn as_trouble(&self) -> SubmitError {
        match self {
            LedgerError::Unsigned(error) => SubmitError::Unsigned(error.to_string()),
            error => SubmitError::Unavailable(error.to_string()),
        }
    }

    fn broken(index: u64, reason: String) -> LedgerError {
        LedgerError::Broken { index, reason }
    }

    /// A tile that the disk does not give now is the disk's trouble; only one that does not fit contradicts the log.
    fn of_tile(index: u64, error: TileError<LedgerError>) -> LedgerError {
        match error {
            TileError::Read(error) => error,
            TileError::Short { .. } | TileError::Outside => LedgerError::broken(index, error.to_string()),
        }
    }

    fn of_crossfoot(index: u64, error: CrossfootError<LedgerError>) -> LedgerError {
        match error {
            CrossfootError::Read(error) => error,
            CrossfootError::Tile { .. } | CrossfootError::Leaves { .. } => LedgerError::broken(index, error.to_string()),
        }
    }
}

/// Why a submission has no outcome. Whether it was logged is known only where the variant says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// An invariant broke; reads go on, writes need an administrator.
    #[error("the ledger has stopped: {0}")]
    Poisoned(String),
    /// The lock record says that signing here could fork history.
    #[error("the ledger refuses to sign: {0}")]
    ReadOnly(String),
    /// The clock was set back.
    #[error("the clock ({now}) is behind the newest entry ({head}); signing waits until it has caught up")]
    ClockBehind {
        /// What the clock says.
        now: UnixMillis,
        /// Time of the newest leaf.
        head: UnixMillis,
    },
    /// The end of a key's window was past before it could be logged. Nothing was changed.
    #[error("the change of keys waited so long that its time was over; nothing was changed, ask again")]
    Late,
    /// The disk refuses. Whether this was logged is not known: submitted again later, it gets its first receipt if it was.
    #[error("the disk gives trouble, and writing goes on once it no longer does: {0}")]
    Unavailable(String),
    /// The token that has the signing keys does not sign. Whether this was logged is not known, as above.
    #[error("nothing can be signed, and writing goes on once it can: {0}")]
    Unsigned(String),
    /// The ledger is being closed.
    #[error("the ledger is closing")]
    Closing,
}

/// A published state of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Leaves.
    pub size: u64,
    /// Root of the tree over them.
    pub root: [u8; 32],
    /// The signed checkpoint.
    pub note: String,
    /// Time of the newest leaf, or of creation.
    pub time: UnixMillis,
}

/// The keys that the sequencer itself needs.
#[derive(Clone)]
pub struct Signer {
    /// Origin and note name.
    pub origin: Origin,
    /// Signs checkpoints and makes tags.
    pub keyring: Arc<Keyring>,
}

/// The state of an invoice, if it is registered.
pub type FoundRow = Option<Arc<InvRecord>>;

/// What readers see, replaced as a whole when a size is published.
#[derive(Clone, Debug)]
struct Front {
    published: Arc<Published>,
    /// As the log up to there names them.
    keys: Arc<PublicKeys>,
    /// The secret keys at hand, those in use that the log says are.
    keyring: Option<Arc<Keyring>>,
    /// The tiles of the published tree that are not full and therefore not stored: [`merkle::Tree::right_edge`].
    edge: Arc<Vec<merkle::Edge>>,
    book: Book,
}

/// What the sequencer and the readers share.
#[derive(Debug)]
struct Shared {
    overlay: overlay::Overlay,
    /// Held for as long as it takes to copy an Arc or to look a number up.
    front: RwLock<Front>,
    /// Every secret key at hand, in use or not.
    ring: RwLock<Option<Arc<Keyring>>>,
    /// Why nothing may be signed, if so: since the start, or since witnesses said so.
    obstacle: OnceLock<Obstacle>,
    /// What the disk, or a token, said, until it is over. Held for as long as it takes to copy a text.
    trouble: RwLock<Option<SubmitError>>,
    /// Why nothing is signed any more, since an invariant broke.
    poisoned: OnceLock<String>,
}

impl Shared {
    fn new(front: Front, ring: Option<Arc<Keyring>>, obstacle: Option<Obstacle>) -> Shared {
        Shared {
            overlay: overlay::Overlay::default(),
            front: RwLock::new(front),
            ring: RwLock::new(ring),
            obstacle: obstacle.map_or_else(OnceLock::new, OnceLock::from),
            trouble: RwLock::new(None),
            poisoned: OnceLock::new(),
        }
    }

    fn front(&self) -> std::sync::RwLockReadGuard<'_, Front> {
        self.front.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.front().published)
    }

    fn advance(&self, published: Published, enter: impl FnOnce(&mut Front) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let mut front = self.front.write().unwrap_or_else(PoisonError::into_inner);
        enter(&mut front)?;
        front.published = Arc::new(published);
        Ok(())
    }

    fn replace_front(&self, newer: Front) {
        *self.front.write().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    /// The secret keys at hand, those in use that `keys` say are. The error is a role without any.
    fn keyring(&self, keys: &PublicKeys) -> Option<Result<Arc<Keyring>, Role>> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(ring.settled(keys).map(Arc::new))
    }

    /// Takes a key file's keys in place of those it had before. What is in use changes with the log only, except for what the log does not name.
    fn hold(&self, ring: Keyring) {
        let ring = Arc::new(ring);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        let mut front = self.front.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(keyring) = ring.settled(&front.keys) {
            front.keyring = Some(Arc::new(keyring));
        }
    }

    fn may_write(&self) -> Result<(), SubmitError> {
        if let Some(reason) = self.poisoned.get() {
            return Err(SubmitError::Poisoned(reason.clone()));
        }
        if let Some(obstacle) = self.obstacle.get() {
            return Err(SubmitError::ReadOnly(obstacle.to_string()));
        }
        match self.trouble.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }

    fn in_trouble(&self) -> bool {
        self.poisoned.get().is_none() && self.trouble.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether it is the disk that gave trouble, and not only a key that did not sign.
    fn distrusts_disk(&self) -> bool {
        matches!(*self.trouble.read().unwrap_or_else(PoisonError::into_inner), Some(SubmitError::Unavailable(_)))
    }

    fn end_trouble(&self) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Stops all writing: until disk or token is well again if one of them is to blame, for good otherwise. The first reason is the one that counts; but the
    /// disk's outranks a token's, since it takes more to go on after it.
    fn stop(&self, error: &LedgerError) -> SubmitError {
        if error.is_trouble() {
            let mut trouble = self.trouble.write().unwrap_or_else(PoisonError::into_inner);
            match (&*trouble, error.as_trouble()) {
                (Some(SubmitError::Unsigned(_)) | None, newer) => trouble.insert(newer).clone(),
                (Some(first), _) => first.clone(),
            }
        } else {
            SubmitError::Poisoned(self.poisoned.get_or_init(|| error.to_string()).clone())
        }
    }
}

/// An open ledger. Cheap to share behind an `Arc`; dropping it finishes what is queued.
pub struct Ledger {
    store: Arc<Store>,
    shared: Arc<Shared>,
    origins: Origins,
    counts: Counts,
    registry: Registry,
    answers: Answers,
    /// Held for the whole of a backup, as two into one directory would be in each other's way, and of an erasure, as a backup keeps files alive.
    backing_up: Mutex<()>,
    jobs: Option<Sender<sequencer::Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("origin", self.origin()).field("directory", &self.store.directory()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Where the data is.
    pub fn directory(&self) -> &Path {
        self.store.directory()
    }

    /// The file that must not be copied with the data.
    pub fn lock_path(&self) -> PathBuf {
        lock::LockFile::beside(self.store.home()).path().into()
    }

    /// Note name of this log, now.
    pub fn origin(&self) -> &Origin {
        self.origins.current()
    }

    /// Every origin under which this log was signed, and from where.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Whether leaves that were signed are known to be lost, because the log was reopened from an older copy.
    pub fn has_lost_leaves(&self) -> bool {
        self.origins.iter().count() > 1
    }

    /// Why this copy does not sign, if it could be told at the start, or witnesses said it since.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        self.shared.obstacle.get()
    }

    /// The log's public keys with their validity, as published.
    pub fn keys(&self) -> Arc<PublicKeys> {
        Arc::clone(&self.shared.front().keys)
    }

    /// The secret keys, if they are at hand; those in use that the log, as published, says are.
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        self.shared.front().keyring.clone()
    }

    /// Takes the keys of a key file that has one more. It is in use once the log names it; a data key is at once.
    pub fn hold(&self, ring: Keyring) {
        self.shared.hold(ring);
    }

    /// Whether it is known that more, or something else, was signed than this copy has.
    pub fn is_behind(&self) -> bool {
        self.shared.obstacle.get().is_some_and(Obstacle::is_behind)
    }

    /// How often invoices were verified.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Who may call, and the audit trail.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers that were signed.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The newest published state.
    pub fn published(&self) -> Arc<Published> {
        self.shared.published()
    }

    /// Takes note that the key of an invoice or event did not sign: nothing more is decided until the keys do. Returns what to tell whoever submitted.
    pub fn cannot_sign(&self, error: SignError) -> SubmitError {
        self.shared.stop(&error.into())
    }

    /// Whether submissions are decided at all, or why not.
    pub fn may_write(&self) -> Result<(), SubmitError> {
        self.shared.may_write()
    }

    /// Hands a submission to the sequencer; the receiver yields once the outcome is durable and published. Blocks while the queue is full.
    pub fn submit(&self, submission: Submission) -> oneshot::Receiver<Result<Outcome, SubmitError>> {
        let (reply, receiver) = oneshot::channel();
        let job = sequencer::Job { submission, reply };
        match &self.jobs {
            Some(jobs) => {
                if let Err(refused) = jobs.send(job) {
                    drop(refused.0.reply.send(Err(SubmitError::Closing)));
                }
            }
            None => {
                let error = self.shared.may_write().err().unwrap_or(SubmitError::Closing);
                drop(job.reply.send(Err(error)));
            }
        }
        receiver
    }

    /// The state of one invoice, exact as of the published state that comes with it.
    pub fn look_up(&self, id: InvoiceId) -> Result<(Arc<Published>, Option<Arc<InvRecord>>), LedgerError> {
        loop {
            let published = self.shared.published();
            if let overlay::Seen::Here(row) = self.shared.overlay.at(id, published.size) {
                return Ok((published, row));
            }
            match self.store.get::<Invoices>(&id)? {
                Some(row) if row.last_event >= published.size => self.await_newer(id, &row, published.size)?,
                row => return Ok((published, row.map(Arc::new))),
            }
        }
    }

    /// The state of many invoices, exact as of one published state. Sorted ids share reads.
    pub fn look_up_many(&self, ids: &[InvoiceId]) -> Result<(Arc<Published>, Vec<FoundRow>), LedgerError> {
        'newer: loop {
            let published = self.shared.published();
            let seen: Vec<_> = ids.iter().map(|id| self.shared.overlay.at(*id, published.size)).collect();
            let mut rows = Vec::with_capacity(ids.len());
            for ((id, stored), seen) in ids.iter().zip(self.store.get_many::<Invoices>(ids)?).zip(seen) {
                rows.push(match (seen, stored) {
                    (overlay::Seen::Here(row), _) => row,
                    (overlay::Seen::Elsewhere, Some(row)) if row.last_event >= published.size => {
                        self.await_newer(*id, &row, published.size)?;
                        continue 'newer;
                    }
                    (overlay::Seen::Elsewhere, row) => row.map(Arc::new),
                });
            }
            return Ok((published, rows));
        }
    }

    /// The stored row is newer than `size`: a commit wrote it since, and its row is in the overlay until a newer size is published. Where neither is
    /// so, the state is ahead of its log, and waiting would never end.
    fn await_newer(&self, id: InvoiceId, row: &InvRecord, size: u64) -> Result<(), LedgerError> {
        let elsewhere = matches!(self.shared.overlay.at(id, size), overlay::Seen::Elsewhere);
        // Asked in this order: the overlay forgets a row only once the newer size is out.
        if elsewhere && self.shared.published().size == size {
            return Err(LedgerError::broken(row.last_event, format!("the state of {id} is ahead of the log, which ends at {size}")));
        }
        std::thread::yield_now();
        Ok(())
    }

    /// The mark in force on a number, issued or not.
    pub fn mark(&self, id: InvoiceId) -> Option<Marked> {
        self.shared.front().book.mark(id).copied()
    }

    /// The allotment that has this number.
    pub fn allotted(&self, id: InvoiceId) -> Option<Allotted> {
        self.shared.front().book.allotted(id).cloned()
    }

    /// Every allotment and every mark in force.
    pub fn book(&self) -> Book {
        self.shared.front().book.clone()
    }

    /// The leaf at `index`, if published.
    pub fn leaf(&self, index: u64) -> Result<Option<Leaf>, LedgerError> {
        if index >= self.shared.published().size {
            return Ok(None);
        }
        let Some(bytes) = self.store.get::<Leaves>(&index)? else { return Err(LedgerError::broken(index, "the leaf is missing".into())) };
        Leaf::decode(&bytes).map(Some).map_err(|error| LedgerError::broken(index, error.to_string()))
    }

    fn seal(&self, index: u64) -> Result<value::Seal, LedgerError> {
        self.store.get::<Seals>(&index)?.ok_or_else(|| LedgerError::broken(index, "the seal is missing".into()))
    }

    /// The body of the invoice at `index`, or what is left of one that was erased, if published; `None` if it is lost.
    pub fn body(&self, index: u64) -> Result<Option<Kept>, LedgerError> {
        if index >= self.shared.published().size {
            return Ok(None);
        }
        let kept = self.store.get::<Bodies>(&index)?.map(Kept::of).transpose();
        kept.map_err(|error| LedgerError::broken(index, format!("body: {error}")))
    }

    /// The smallest checkpoint that covers the leaf at `index`.
    pub fn first_checkpoint_covering(&self, index: u64) -> Result<Option<(u64, String)>, LedgerError> {
        let size = index.checked_add(1);
        let Some(row) = size.and_then(|size| self.store.scan::<Heads>(&size).next()) else { return Ok(None) };
        let (key, head) = row?;
        let size = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| LedgerError::broken(index, "key of head".into()))?;
        Ok((size <= self.shared.published().size).then_some((size, head.note)))
    }

    /// The signed checkpoint of exactly this size, if one was published.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<String>, LedgerError> {
        Ok(self.store.get::<Heads>(&size)?.filter(|_| size <= self.published().size).map(|head| head.note))
    }

    /// Every published checkpoint, oldest first, as (size, note).
    pub fn checkpoints(&self) -> impl Iterator<Item = Result<(u64, String), LedgerError>> + '_ {
        // The newest one is stored a moment before it is published, and not to be seen before.
        let published = self.published().size;
        let rows = self.store.scan_all::<Heads>().map(|row| {
            let (key, head) = row?;
            let size = key.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| LedgerError::broken(0, "key of head".into()))?;
            Ok((size, head.note))
        });
        rows.take_while(move |row| !matches!(row, Ok((size, _)) if *size > published))
    }

    /// Bytes on disk per table, for measuring.
    pub fn table_bytes(&self) -> Vec<(&'static str, u64)> {
        self.store.table_bytes()
    }

    /// Writes memtables out and compacts: before measuring sizes.
    pub fn compact(&self) -> Result<(), LedgerError> {
        Ok(self.store.compact()?)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic in a sequencer thread was already reported by its own message; there is nothing left to save here.
            drop(thread.join());
        }
        self.counts.close();
    }
}
