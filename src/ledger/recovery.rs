//! What is on disk becomes the state that the log continues from: the same whether the ledger was closed, killed, restored, or went on after trouble
//! with the disk.
//!
//! Derived tables that are incomplete are rebuilt. The right edge of the tree is rebuilt by both paths and compared with the newest signed
//! checkpoint, and the newest frame, the only one that a crash can have touched, is held against the rows that follow from it. Then the lock record
//! and the place decide whether this copy may sign. A copy that may not sign still answers.

use std::path::PathBuf;
use std::sync::Arc;

use super::book::Book;
use super::cosigned;
use super::faults::{Bug, planted};
use super::frame;
use super::lock::LockFile;
use super::place::{self, Place};
use super::rebuild;
use super::store::{Access, Home, Store, StoreError, StoreSizes};
use super::tables::{self, Allotments, Bodies, Heads, Invoices, Keys, Leaves, Meta, Reopens, Seals, Tiles};
use super::value::{HeadRecord, Seal};
use super::{Front, LedgerError, Published};
use crate::codec::canonical;
use crate::codec::event::{Event, EventData, Role};
use crate::codec::leaf::Leaf;
use crate::crypto::crossfoot::Crossfoot;
use crate::crypto::keyring::{Enrolled, Keyring, PublicKeys};
use crate::crypto::merkle::{self, Tree};
use crate::crypto::note::{Checkpoint, Note, NoteError, Origin};
use crate::crypto::sign::PublicKey;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;

/// Name in `meta` of the origin that the log began under.
pub(super) const ORIGIN: &str = "origin";

/// The origins under which a log was signed. It has one, and one more for each time that it was reopened after a part of it was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    first: Origin,
    /// Leaf of each reopen notice and the origin from there on, oldest first.
    later: Vec<(u64, Origin)>,
}

impl Origins {
    /// Of a log that goes by one name, as far as is known.
    pub fn of(origin: Origin) -> Origins {
        Origins { first: origin, later: Vec::new() }
    }

    /// Under which new checkpoints are signed.
    pub fn current(&self) -> &Origin {
        self.later.last().map_or(&self.first, |(_, origin)| origin)
    }

    /// Under which the checkpoint of this size was signed.
    pub fn at(&self, size: u64) -> &Origin {
        self.later.iter().rev().find(|(notice, _)| *notice < size).map_or(&self.first, |(_, origin)| origin)
    }

    /// Each origin with the size of the smallest checkpoint that can be signed under it, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Origin)> {
        std::iter::once((0, &self.first)).chain(self.later.iter().map(|(notice, origin)| (notice + 1, origin)))
    }

    /// Whether the log was signed under this origin at some time.
    pub fn contains(&self, origin: &Origin) -> bool {
        self.iter().any(|(_, known)| known == origin)
    }

    pub(super) fn read(store: &Store) -> Result<Origins, LedgerError> {
        let first = store.get::<Meta>(&ORIGIN)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| Origin::parse(&text));
        let first = first.ok_or_else(|| {
            LedgerError::Stopped(format!("{} has no origin; it was never completely created: remove it and begin again", store.directory().display()))
        })?;
        let mut later = Vec::new();
        for row in store.scan_all::<Reopens>() {
            let (key, data) = row?;
            let index = index_of(&key, "reopen")?;
            match EventData::decode(Event::Reopen, &data) {
                Ok(EventData::Reopen(notice)) => later.push((index, notice.origin)),
                Ok(_) | Err(_) => return Err(LedgerError::broken(index, "the row of reopen does not decode".into())),
            }
        }
        Ok(Origins { first, later })
    }
}

/// What is on disk, checked.
pub(super) struct Recovered {
    pub(super) origins: Origins,
    pub(super) keys: Arc<PublicKeys>,
    pub(super) head: HeadRecord,
    /// What the newest head says.
    pub(super) checkpoint: Checkpoint,
    /// Leaves of the checkpoint before the newest one.
    pub(super) before: u64,
    pub(super) tree: Tree,
    pub(super) crossfoot: Crossfoot,
    pub(super) book: Book,
}

impl Recovered {
    pub(super) fn published(&self) -> Published {
        let Checkpoint { size, root, .. } = self.checkpoint;
        Published { size, root, note: self.head.note.clone(), time: UnixMillis(self.head.time_ms) }
    }

    /// What readers see of it. Keys of which none may sign still open what was encrypted.
    pub(super) fn front(&self, ring: Option<&Arc<Keyring>>) -> Front {
        let keyring = ring.map(|ring| ring.settled(&self.keys).map_or_else(|_| Arc::clone(ring), Arc::new));
        let (keys, edge) = (Arc::clone(&self.keys), Arc::new(self.tree.right_edge()));
        Front { published: Arc::new(self.published()), keys, keyring, edge, book: self.book.clone() }
    }
}

/// Opens the database to go on with it.
///
/// After a crash RocksDB takes what it finds for all there was: it drops what follows the first unreadable record of the WAL, and removes tables that
/// the manifest does not know. So such a database is looked at first. If it is broken, or is not all that was signed, it is left as it is, readable
/// at most, for whoever can bring back the file that is at fault.
pub(super) fn open_store(home: &Home, sizes: StoreSizes, lock: &LockFile, keyring: Option<&Keyring>) -> Result<Store, LedgerError> {
    if Store::exists(home) && !Store::was_closed(home) {
        let looked = look(home, sizes, lock, keyring);
        // What changes under our eyes looks like any damage.
        if Store::is_in_use(home) {
            return Err(StoreError::InUse(home.directory.clone()).into());
        }
        if let Some(less) = looked? {
            return Ok(less);
        }
    }
    Ok(Store::open(home, sizes, Access::Write)?)
}

/// The database, open for reading, if it is less than what was signed.
fn look(home: &Home, sizes: StoreSizes, lock: &LockFile, keyring: Option<&Keyring>) -> Result<Option<Store>, LedgerError> {
    let store = match Store::open(home, sizes, Access::Look) {
        Ok(store) => store,
        // It is made, or what it lacks is, when the database is opened for writing.
        Err(StoreError::TableMissing { table, .. }) if tables::is_derived(table) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if rebuild::is_pending(&store)? {
        return Ok(None);
    }
    let (size, head) = newest_head(&store)?;
    let recovered = read(&store, size, head, keyring)?;
    let obstacle = lock_obstacle(&store, lock, &recovered, keyring)?;
    Ok(Some(store).filter(|_| obstacle.as_ref().is_some_and(Obstacle::is_behind)))
}

/// Reads and checks what the log continues from. Nothing is written but derived tables that are incomplete.
pub(super) fn recover(store: &Store, keyring: Option<&Keyring>) -> Result<Recovered, LedgerError> {
    let (size, head) = newest_head(store)?;
    rebuild::complete(store, size)?;
    read(store, size, head, keyring)
}

fn read(store: &Store, size: u64, head: HeadRecord, keyring: Option<&Keyring>) -> Result<Recovered, LedgerError> {
    let (origins, keys) = (Origins::read(store)?, Arc::new(public_keys(store)?));
    let broken = |reason: String| LedgerError::Checkpoint { size, reason };
    let checkpoint = open_checkpoint(&head.note, origins.at(size), &keys, keyring).map_err(broken)?;
    let lasting = |key: &Enrolled, size| key.is_sound_of_size(size) && key.lasted_beyond(UnixMillis(head.time_ms));
    if keys.names(Role::Checkpoint) && keys.open_checkpoint(&head.note, origins.at(size), lasting).is_err() {
        return Err(broken("it is signed by a key whose time was over".into()));
    }
    let tree = rebuild_tree(store, size)?;
    let crossfoot = rebuild_crossfoot(store, size)?;
    if !planted(Bug::TrustTornFrame) {
        if checkpoint.size != size || tree.root() != checkpoint.root || crossfoot.root() != checkpoint.root {
            return Err(broken("the root of the stored leaves is not the signed one".into()));
        }
        if store.last::<Leaves>()?.map(|(key, _)| index_of(&key, "leaf")).transpose()?.is_some_and(|last| last >= size) {
            return Err(broken("there are leaves beyond the newest checkpoint".into()));
        }
    }
    let before = match store.before::<Heads>(&size)? {
        Some((key, _)) => index_of(&key, "head")?,
        None => 0,
    };
    if !planted(Bug::TrustTornFrame) {
        newest_frame_is_whole(store, before, size)?;
    }
    let book = read_book(store)?;
    Ok(Recovered { origins, keys, head, checkpoint, before, tree, crossfoot, book })
}

/// Whether a copy may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Signs,
    Refuses(Obstacle),
}

/// Why a copy of a ledger does not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Opened without them.
    #[error("the secret keys are locked")]
    KeysLocked,
    /// Nothing says how far this log was signed.
    #[error("the lock record {path} is missing; if this is the newest copy, run `fapiao ledger adopt`", path = path.display())]
    LockMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The record is damaged, or signed by another key.
    #[error("the lock record {path} is not a checkpoint of this log: {reason}", path = path.display())]
    LockUnreadable {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The record of this log, signed by a key that neither the log here nor the key file knows.
    #[error(
        "the lock record {path} is at {locked}, signed by a checkpoint key that the log of this copy, which ends at {here}, does not name: the copy is \
         probably older than a rotation of that key; bring back the newest copy, or, if it is lost, run `fapiao ledger reopen`", path = path.display()
    )]
    LockUnnamed {
        /// Where it is.
        path: PathBuf,
        /// Leaves of this copy.
        here: u64,
        /// Leaves that the record says were signed.
        locked: u64,
    },
    /// The record of another log.
    #[error("the lock record {path} belongs to another log, {origin}", path = path.display())]
    LockForeign {
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        origin: Origin,
    },
    /// More was signed than this copy has.
    #[error(
        "this copy ends at size {here}, the lock record {path} is at {locked}: it is older than what was signed; bring back the newest copy, or, if it \
         is lost, run `fapiao ledger reopen`", path = path.display()
    )]
    LockAhead {
        /// Where it is.
        path: PathBuf,
        /// Leaves of this copy.
        here: u64,
        /// Leaves that were signed.
        locked: u64,
    },
    /// The record is older than any crash can leave it.
    #[error(
        "this copy is at size {here}, the lock record {path} only at {locked}: it is an old record and does not say how far this log was signed; if \
         this is the newest copy, run `fapiao ledger adopt`", path = path.display()
    )]
    LockBehind {
        /// Where it is.
        path: PathBuf,
        /// Leaves of this copy.
        here: u64,
        /// Leaves in the record.
        locked: u64,
    },
    /// The same size, or a smaller one, and another root.
    #[error(
        "at size {size} this copy has another root than the lock record {path}: two histories; bring back the copy that signed it, or, if it is \
         lost, run `fapiao ledger reopen`", path = path.display()
    )]
    TwoHistories {
        /// Where it is.
        path: PathBuf,
        /// Leaves in the record.
        size: u64,
    },
    /// The key file has no key of this role that the log names and that is in force.
    #[error(
        "the key file has no {} key that the log says is in force: it is an older copy, or another ledger's; bring back the newest copy of keys/keyring",
        role.name()
    )]
    NoKey {
        /// What is missing.
        role: Role,
    },
    /// Not the directory that signed.
    #[error(
        "{directory} is a copy of the directory that signed ({place}), and a newer one may exist; if this is the newest copy, run `fapiao ledger adopt`",
        directory = directory.display(), place = directory.join("place").display()
    )]
    Copied {
        /// The data directory.
        directory: PathBuf,
    },
    /// Those who watch the log saw another history than this copy has.
    #[error(
        "witnesses cosigned another history than this copy has: {said}; another copy of this ledger signs, or signed later: find it and bring it back, \
         or, if it is lost, run `fapiao ledger reopen`"
    )]
    Disputed {
        /// By whom, and what.
        said: String,
    },
    /// Nothing says that this is the directory that signed.
    #[error("{place} is missing, so this may be an older copy; if it is the newest one, run `fapiao ledger adopt`", place = directory.join("place").display())]
    Unsaid {
        /// The data directory.
        directory: PathBuf,
    },
}

impl Obstacle {
    /// A name for programs, and of the section of the runbook.
    pub fn symptom(&self) -> &'static str {
        match self {
            Obstacle::KeysLocked => "keys_locked",
            Obstacle::NoKey { .. } => "keys_older",
            Obstacle::LockMissing { .. } => "lock_missing",
            Obstacle::LockBehind { .. } => "lock_behind",
            Obstacle::Copied { .. } | Obstacle::Unsaid { .. } => "copied",
            Obstacle::LockForeign { .. } => "lock_foreign",
            Obstacle::LockUnreadable { .. } => "lock_unreadable",
            Obstacle::LockAhead { .. } | Obstacle::LockUnnamed { .. } => "lock_ahead",
            Obstacle::TwoHistories { .. } => "two_histories",
            Obstacle::Disputed { .. } => "disputed",
        }
    }

    /// Whether it is known that more, or something else, was signed than this copy has, so that what it says may be out of date.
    pub fn is_behind(&self) -> bool {
        match self {
            Obstacle::LockAhead { .. } | Obstacle::TwoHistories { .. } | Obstacle::Disputed { .. } => true,
            Obstacle::LockUnnamed { here, locked, .. } => locked > here,
            Obstacle::KeysLocked
            | Obstacle::LockMissing { .. }
            | Obstacle::LockUnreadable { .. }
            | Obstacle::LockForeign { .. }
            | Obstacle::LockBehind { .. }
            | Obstacle::NoKey { .. }
            | Obstacle::Copied { .. }
            | Obstacle::Unsaid { .. } => false,
        }
    }
}

/// Only a lock record of this very history, at its end or one frame before it, permits signing, and only in the directory that signed.
pub(super) fn standing(store: &Store, lock: &LockFile, recovered: &Recovered, keyring: Option<&Keyring>) -> Result<Standing, LedgerError> {
    if keyring.is_none() {
        return Ok(Standing::Refuses(Obstacle::KeysLocked));
    }
    if planted(Bug::DropLockCheck) {
        return Ok(Standing::Signs);
    }
    if let Some(obstacle) = lock_obstacle(store, lock, recovered, keyring)? {
        return Ok(Standing::Refuses(obstacle));
    }
    if let Some(Err(role)) = keyring.map(|keyring| keyring.settled(&recovered.keys)) {
        return Ok(Standing::Refuses(Obstacle::NoKey { role }));
    }
    let directory = store.directory().to_owned();
    Ok(match place::check(store.home())? {
        Place::Same => Standing::Signs,
        Place::Copied => Standing::Refuses(Obstacle::Copied { directory }),
        Place::Unsaid => Standing::Refuses(Obstacle::Unsaid { directory }),
    })
}

pub(super) fn lock_obstacle(
    store: &Store,
    lock: &LockFile,
    recovered: &Recovered,
    keyring: Option<&Keyring>,
) -> Result<Option<Obstacle>, LedgerError> {
    let Recovered { origins, keys, checkpoint: head, before, .. } = recovered;
    let path = lock.path().to_owned();
    if let Some(said) = cosigned::dispute(store.home(), origins.current())? {
        return Ok(Some(Obstacle::Disputed { said }));
    }
    let Some(note) = lock.read()? else { return Ok(Some(Obstacle::LockMissing { path })) };
    let locked = match open_lock(&note, origins, keys, keyring) {
        Ok(locked) => locked,
        Err(LockFault::Foreign(origin)) => return Ok(Some(Obstacle::LockForeign { path, origin })),
        Err(LockFault::Unnamed(locked)) => return Ok(Some(Obstacle::LockUnnamed { path, here: head.size, locked })),
        Err(LockFault::Unreadable(reason)) => return Ok(Some(Obstacle::LockUnreadable { path, reason })),
    };
    let (here, size) = (head.size, locked.size);
    if size > here {
        return Ok(Some(Obstacle::LockAhead { path, here, locked: size }));
    }
    if locked.origin != *origins.at(size) {
        // Signed under an origin that this log had given up by then: another branch of it.
        return Ok(Some(Obstacle::TwoHistories { path, size }));
    }
    if root_at(store, size)? != locked.root {
        return Ok(Some(Obstacle::TwoHistories { path, size }));
    }
    // A crash between batch and lock leaves the record one frame behind, and nobody was answered.
    Ok((size != here && size != *before).then_some(Obstacle::LockBehind { path, here, locked: size }))
}

/// Why a lock record cannot be used.
pub(super) enum LockFault {
    Foreign(Origin),
    /// Signed by keys that nobody here knows; the size that it states.
    Unnamed(u64),
    Unreadable(String),
}

/// The checkpoint in a lock record, under any origin that this log ever had.
pub(super) fn open_lock(note: &str, origins: &Origins, keys: &PublicKeys, keyring: Option<&Keyring>) -> Result<Checkpoint, LockFault> {
    let stated = Note::parse(note).and_then(|note| Checkpoint::parse(note.text())).map_err(|error| LockFault::Unreadable(error.to_string()))?;
    if !origins.contains(&stated.origin) {
        return Err(LockFault::Foreign(stated.origin));
    }
    let origin = &stated.origin;
    let reason = match open_checkpoint(note, origin, keys, keyring) {
        Ok(locked) => return Ok(locked),
        Err(reason) => reason,
    };
    let signed_by = |public: &[u8; 32]| PublicKey::parse(public).map(|key| Checkpoint::open(note, origin, &key));
    let named = keys.iter().filter(|key| key.record.role() == Role::Checkpoint);
    if named.into_iter().any(|key| !matches!(Checkpoint::open(note, origin, &key.key), Err(NoteError::NotSignedBy(_)))) {
        return Err(LockFault::Unreadable(reason));
    }
    // A log that was put back may be older than a rotation; the key file is not, and what it has signed is ours.
    let ours = keyring.into_iter().flat_map(Keyring::keys).filter(|key| key.role() == Role::Checkpoint && keys.get(key.key_id()).is_none());
    match ours.filter_map(|key| signed_by(&key.public()?).ok()?.ok()).next() {
        Some((locked, _)) => Ok(locked),
        None => Err(LockFault::Unnamed(stated.size)),
    }
}

/// Brings a lock record that is one frame behind up to the newest head, durably. One that reads as if it were there already is synced all the same:
/// whoever wrote it may have been stopped before the directory was synced, and a power cut would bring the one before back.
pub(super) fn advance_lock(lock: &LockFile, recovered: &Recovered) -> Result<(), LedgerError> {
    if lock.read()?.as_deref() == Some(recovered.head.note.as_str()) {
        return Ok(lock.sync()?);
    }
    Ok(lock.replace(&recovered.head.note)?)
}

/// The keys that the log names, in log order.
pub(super) fn public_keys(store: &Store) -> Result<PublicKeys, LedgerError> {
    let mut keys = PublicKeys::new();
    for row in store.scan_all::<Keys>() {
        let (key, data) = row?;
        let index = index_of(&key, "key")?;
        let broken = |reason: String| LedgerError::broken(index, reason);
        if let EventData::Key(record) = EventData::decode(Event::Key, &data).map_err(|error| broken(format!("key event: {error}")))? {
            keys.enrol(record, index).map_err(|error| broken(format!("key {}: {error}", record.key_id())))?;
        }
    }
    Ok(keys)
}

pub(super) fn newest_head(store: &Store) -> Result<(u64, HeadRecord), LedgerError> {
    let (key, head) = store.last::<Heads>()?.ok_or_else(|| {
        LedgerError::Stopped(format!("{} has no checkpoint; it was never completely created: remove it and begin again", store.directory().display()))
    })?;
    Ok((index_of(&key, "head")?, head))
}

/// The number that a key is.
pub(super) fn index_of(key: &[u8], table: &str) -> Result<u64, LedgerError> {
    <[u8; 8]>::try_from(key).map(u64::from_be_bytes).map_err(|_| LedgerError::broken(0, format!("key of {table}")))
}

/// The checkpoint in a note of this log: signed by a checkpoint key that the log names or, before it names any, by the key at hand.
pub(super) fn open_checkpoint(note: &str, origin: &Origin, keys: &PublicKeys, keyring: Option<&Keyring>) -> Result<Checkpoint, String> {
    if let Some(at_hand) = keyring.filter(|_| !keys.names(Role::Checkpoint))
        && let Ok(key) = PublicKey::parse(&at_hand.checkpoint().key.public())
    {
        return Checkpoint::open(note, origin, &key).map(|(checkpoint, _)| checkpoint).map_err(|error| error.to_string());
    }
    // A checkpoint of n leaves was signed before leaf n was logged.
    keys.open_checkpoint(note, origin, Enrolled::is_sound_of_size).map_err(|fault| fault.to_string())
}

/// Every leaf of the newest frame has its seal and the rows that follow from it. RocksDB writes a batch whole or not at all; this is for the day on
/// which a disk, or a restore, does not.
fn newest_frame_is_whole(store: &Store, from: u64, size: u64) -> Result<(), LedgerError> {
    for index in from..size {
        let broken = |reason: String| LedgerError::broken(index, reason);
        let leaf = Leaf::decode(&leaf_bytes(store, index)?).map_err(|error| broken(error.to_string()))?;
        let seal = store.get::<Seals>(&index)?.ok_or_else(|| broken("the seal is missing".into()))?;
        let mut touched = match (&seal, leaf.event) {
            (Seal::Invoice(invoice), _) => {
                let face = canonical::decode_face(&invoice.face).map_err(|error| broken(format!("face: {error}")))?;
                // In the place of one that was erased something stands that says so. One that is there and cannot be read is no torn frame: whoever asks
                // for it is told.
                if matches!(store.has::<Bodies>(&index), Ok(false)) {
                    return Err(broken("the body is missing".into()));
                }
                [Some(face.id), invoice.original.and_then(InvoiceId::from_bytes)].into_iter().flatten().collect()
            }
            (Seal::Event(event), Event::Void | Event::Status) => match EventData::decode(leaf.event, &event.data) {
                Ok(EventData::Void { id, .. } | EventData::Status { id, .. }) => vec![id],
                Ok(_) | Err(_) => return Err(broken("the event does not decode".into())),
            },
            (Seal::Event(_), _) => Vec::new(),
        };
        while let Some(id) = touched.pop() {
            let row = store.get::<Invoices>(&id)?.ok_or_else(|| broken(format!("the state of {id} is missing")))?;
            if row.last_event < index || row.last_event >= size {
                return Err(broken(format!("the state of {id} is not of the newest checkpoint")));
            }
            // A red that is voided gives its original back what it took.
            touched.extend(row.original.and_then(InvoiceId::from_bytes).filter(|_| leaf.event == Event::Void));
        }
        frame::derived_rows_are_there(store, index, &leaf, &seal)?;
    }
    Ok(())
}

/// Hashes of the stored tile, or of what there is of it in a tree of `size` leaves.
fn tile_at(store: &Store, size: u64, level: u8, n: u64) -> Result<Vec<u8>, LedgerError> {
    if let Some(tile) = store.get::<Tiles>(&(level, n))? {
        return Ok(tile);
    }
    // The right edge of a row: leaf hashes, or roots of the full tiles of the row below.
    let first = n * merkle::TILE_WIDTH;
    let shift = merkle::TILE_HEIGHT * u32::from(level);
    let end = size.checked_shr(shift).unwrap_or(0).min(first + merkle::TILE_WIDTH);
    let mut hashes = Vec::with_capacity(merkle::TILE_BYTES);
    for at in first..end {
        let hash = match level.checked_sub(1) {
            None => merkle::leaf_hash(&leaf_bytes(store, at)?),
            Some(below) => {
                let tile = tile_at(store, size, below, at)?;
                merkle::root_of_full_tile(&tile).ok_or_else(|| LedgerError::broken(at, "a full tile is missing".into()))?
            }
        };
        hashes.extend_from_slice(&hash);
    }
    Ok(hashes)
}

/// Root of the first `size` leaves.
pub(super) fn root_at(store: &Store, size: u64) -> Result<[u8; 32], LedgerError> {
    merkle::root_at(size, |level, n| tile_at(store, size, level, n)).map_err(|error| LedgerError::of_tile(size, error))
}

fn leaf_bytes(store: &Store, index: u64) -> Result<Vec<u8>, LedgerError> {
    store.get::<Leaves>(&index)?.ok_or_else(|| LedgerError::broken(index, "the leaf is missing".into()))
}

fn last_leaves(store: &Store, size: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
    (size - size % merkle::TILE_WIDTH..size).map(|index| leaf_bytes(store, index)).collect()
}

fn full_tile(store: &Store, level: u8, n: u64) -> Result<Vec<u8>, LedgerError> {
    store.get::<Tiles>(&(level, n))?.ok_or_else(|| LedgerError::broken(n, format!("tile {level}/{n} is missing")))
}

pub(super) fn rebuild_tree(store: &Store, size: u64) -> Result<Tree, LedgerError> {
    let last: Vec<_> = last_leaves(store, size)?.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    Tree::rebuild(size, &last, |level, n| full_tile(store, level, n)).map_err(|error| LedgerError::of_tile(size, error))
}

fn rebuild_crossfoot(store: &Store, size: u64) -> Result<Crossfoot, LedgerError> {
    let last = last_leaves(store, size)?;
    Crossfoot::from_right_edge(size, &last, |level, n| full_tile(store, level, n)).map_err(|error| LedgerError::of_crossfoot(size, error))
}

fn read_book(store: &Store) -> Result<Book, LedgerError> {
    let mut rows = Vec::new();
    for row in store.scan_all::<Allotments>() {
        let (key, record) = row?;
        let last = key.get(1..11).and_then(|id| <[u8; 10]>::try_from(id).ok()).and_then(InvoiceId::from_bytes);
        rows.push((last.ok_or_else(|| LedgerError::broken(record.index, "key of allot".into()))?, record));
    }
    // Newer marks cut older ones.
    rows.sort_by_key(|(_, record)| record.index);
    let mut book = Book::default();
    for (last, record) in rows {
        frame::enter_row(&mut book, last, &record)?;
    }
    Ok(book)
}
