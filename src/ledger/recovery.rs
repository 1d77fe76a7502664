//! Opening a ledger: creating an empty one, and continuing one that exists through the same code whether it was closed or killed.
//!
//! The right edge of the tree is rebuilt by both paths and compared with the newest signed checkpoint; then the lock record decides whether this
//! copy may sign. A copy that may not sign still answers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, RwLock};

use super::book::Book;
use super::counts::Counts;
use super::frame;
use super::lock::LockFile;
use super::overlay::Overlay;
use super::sequencer::{self, Head};
use super::store::{Store, StoreError, StoreSizes};
use super::tables::{Allotments, Heads, Keys, Leaves, Meta, Tiles};
use super::value::HeadRecord;
use super::{Clock, Front, Ledger, LedgerError, Observer, Outcome, Published, SealedEvent, Shared, Signer, Submission};
use crate::codec::event::{Event, EventData, Role};
use crate::crypto::crossfoot::Crossfoot;
use crate::crypto::keyring::{Keyring, PublicKeys};
use crate::crypto::merkle::{self, Tree};
use crate::crypto::note::{Checkpoint, Note, Origin};
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;

const ORIGIN: &str = "origin";

/// What a new ledger needs.
pub struct Creation {
    /// Data directory; holds no ledger yet.
    pub directory: PathBuf,
    /// Caches.
    pub sizes: StoreSizes,
    /// Origin and note name.
    pub origin: Origin,
    /// Signs checkpoints and makes tags.
    pub keyring: Arc<Keyring>,
    /// The key events that every log begins with.
    pub keys: Vec<SealedEvent>,
    /// Time.
    pub clock: Clock,
    /// Told of commits.
    pub observer: Option<Observer>,
}

/// What opening a ledger needs.
pub struct Opening {
    /// Data directory.
    pub directory: PathBuf,
    /// Caches.
    pub sizes: StoreSizes,
    /// Without it the ledger is read only.
    pub keyring: Option<Arc<Keyring>>,
    /// Time.
    pub clock: Clock,
    /// Told of commits.
    pub observer: Option<Observer>,
}

impl Ledger {
    /// Whether a ledger may be made in this directory: neither one nor a lock record is there.
    pub fn may_create(directory: &Path) -> Result<(), LedgerError> {
        if Store::exists(directory) {
            return Err(StoreError::Exists(directory.into()).into());
        }
        let lock = LockFile::beside(directory);
        match lock.read()? {
            Some(_) => Err(StoreError::LockExists(lock.path().into()).into()),
            None => Ok(()),
        }
    }

    /// Makes an empty ledger: origin, the signed checkpoint of size 0, the lock record; then logs the public keys.
    pub fn create(creation: Creation) -> Result<Ledger, LedgerError> {
        let Creation { directory, sizes, origin, keyring, keys, clock, observer } = creation;
        Ledger::may_create(&directory)?;
        let lock = LockFile::beside(&directory);
        let store = Store::open(&directory, sizes, true)?;
        let now = clock();
        let checkpoint = Checkpoint { origin: origin.clone(), size: 0, root: merkle::EMPTY_ROOT };
        let note = checkpoint.sign(&keyring.checkpoint().key).encode();
        let mut batch = store.batch();
        batch.put::<Meta>(&ORIGIN, &origin.as_str().as_bytes().to_vec());
        batch.put::<Heads>(&0, &HeadRecord { note: note.clone(), time_ms: now.0 });
        batch.commit(true)?;
        lock.replace(&note)?;
        drop(store);

        let opening = Opening { directory, sizes, keyring: Some(keyring), clock, observer };
        let ledger = Ledger::open(Opening {
            keyring: opening.keyring.clone(),
            clock: Arc::clone(&opening.clock),
            observer: opening.observer.clone(),
            directory: opening.directory.clone(),
            sizes,
        })?;
        for event in keys {
            let answer = ledger.submit(Submission::Key { event }).blocking_recv();
            if !matches!(answer, Ok(Ok(Outcome::Logged { .. }))) {
                return Err(LedgerError::Stopped(format!("a public key could not be logged: {answer:?}")));
            }
        }
        // Opened again, the ledger knows its keys from the log, as it will ever after.
        drop(ledger);
        Ledger::open(opening)
    }

    /// Opens the ledger in a directory.
    pub fn open(opening: Opening) -> Result<Ledger, LedgerError> {
        let Opening { directory, sizes, keyring, clock, observer } = opening;
        let store = Store::open(&directory, sizes, false)?;
        let origin = store.get::<Meta>(&ORIGIN)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| Origin::parse(&text));
        let origin = origin.ok_or_else(|| LedgerError::Stopped("the ledger has no origin; it was never completely created".into()))?;
        let keys = public_keys(&store)?;

        let (size, head) = newest_head(&store)?;
        let broken = |reason: String| LedgerError::Checkpoint { size, reason };
        let checkpoint = open_checkpoint(&head.note, &origin, &keys, keyring.as_deref()).map_err(broken)?;
        let tree = rebuild_tree(&store, size)?;
        let crossfoot = rebuild_crossfoot(&store, size)?;
        if checkpoint.size != size || tree.root() != checkpoint.root || crossfoot.root() != checkpoint.root {
            return Err(broken("the root of the stored leaves is not the signed one".into()));
        }
        if store.get::<Leaves>(&size)?.is_some() {
            return Err(broken("there are leaves beyond the newest checkpoint".into()));
        }

        let lock = LockFile::beside(&directory);
        let read_only = match &keyring {
            None => Some("the secret keys are locked".to_owned()),
            Some(_) => why_not_sign(&store, &lock, &origin, &keys, keyring.as_deref(), &checkpoint)?,
        };
        if read_only.is_none() && lock.read()?.as_deref() != Some(head.note.as_str()) {
            // A crash between the synced batch and the lock: nobody was answered, and the batch stands.
            lock.replace(&head.note)?;
        }

        let book = read_book(&store)?;
        let published = Published { size, root: checkpoint.root, note: head.note, time: UnixMillis(head.time_ms) };
        let shared = Arc::new(Shared {
            overlay: Overlay::default(),
            front: RwLock::new(Front { published: Arc::new(published), edge: Arc::new(tree.right_edge()), book: book.clone() }),
            read_only,
            poisoned: OnceLock::new(),
        });
        let store = Arc::new(store);
        let failed = |error| LedgerError::Store(StoreError::File { path: directory.clone(), error });
        let counts = Counts::start(Arc::clone(&store)).map_err(failed)?;
        let (jobs, threads) = match keyring.filter(|_| shared.read_only.is_none()) {
            Some(keyring) => {
                let signer = Signer { origin: origin.clone(), keyring };
                let head = Head { tree, crossfoot, book, time: UnixMillis(head.time_ms) };
                let (jobs, threads) =
                    sequencer::start(Arc::clone(&store), Arc::clone(&shared), lock, signer, head, clock, observer).map_err(failed)?;
                (Some(jobs), threads)
            }
            None => (None, Vec::new()),
        };
        Ok(Ledger { store, shared, keys, origin, counts, jobs, threads })
    }

    /// Rewrites a missing or older lock record after checking that this copy continues the same history: the newest checkpoint is signed by the
    /// log's key and its root is that of the leaves. Only for an administrator who knows that no newer copy of this ledger exists.
    pub fn adopt(directory: PathBuf, sizes: StoreSizes, keyring: &Keyring) -> Result<Checkpoint, LedgerError> {
        let store = Store::open(&directory, sizes, false)?;
        let origin = store.get::<Meta>(&ORIGIN)?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| Origin::parse(&text));
        let origin = origin.ok_or_else(|| LedgerError::Stopped("the ledger has no origin; it was never completely created".into()))?;
        let keys = public_keys(&store)?;
        let (size, head) = newest_head(&store)?;
        let broken = |reason: String| LedgerError::Checkpoint { size, reason };
        let checkpoint = open_checkpoint(&head.note, &origin, &keys, Some(keyring)).map_err(broken)?;
        if checkpoint.size != size || rebuild_tree(&store, size)?.root() != checkpoint.root {
            return Err(broken("the root of the stored leaves is not the signed one".into()));
        }
        let lock = LockFile::beside(&directory);
        if let Some(locked) = lock.read()? {
            let locked = open_checkpoint(&locked, &origin, &keys, Some(keyring)).map_err(broken)?;
            if locked.size > size || root_at(&store, locked.size)? != locked.root {
                return Err(broken(format!(
                    "the lock record is ahead (size {}): a newer copy was signing; adopting would fork its history",
                    locked.size
                )));
            }
        }
        lock.replace(&head.note)?;
        Ok(checkpoint)
    }
}

/// The keys that the log names, in log order.
fn public_keys(store: &Store) -> Result<PublicKeys, LedgerError> {
    let mut keys = PublicKeys::new();
    for row in store.scan_all::<Keys>() {
        let (_, data) = row?;
        let broken = |reason: String| LedgerError::broken(0, reason);
        if let EventData::Key(record) = EventData::decode(Event::Key, &data).map_err(|error| broken(format!("key event: {error}")))? {
            keys.enrol(record).map_err(|error| broken(format!("key {}: {error}", record.key_id())))?;
        }
    }
    Ok(keys)
}

fn newest_head(store: &Store) -> Result<(u64, HeadRecord), LedgerError> {
    let (key, head) =
        store.last::<Heads>()?.ok_or_else(|| LedgerError::Stopped("the ledger has no checkpoint; it was never completely created".into()))?;
    let size = <[u8; 8]>::try_from(key.as_ref()).map(u64::from_be_bytes).map_err(|_| LedgerError::broken(0, "key of head".into()))?;
    Ok((size, head))
}

/// The checkpoint in a note of this log: signed by a checkpoint key that the log names or, before it names any, by the key at hand.
fn open_checkpoint(note: &str, origin: &Origin, keys: &PublicKeys, keyring: Option<&Keyring>) -> Result<Checkpoint, String> {
    let mut known: Vec<_> = keys.iter().filter(|key| key.record.role() == Role::Checkpoint).map(|key| key.key).collect();
    if known.is_empty() {
        known.extend(keyring.and_then(|keyring| crate::crypto::sign::PublicKey::parse(&keyring.checkpoint().key.public()).ok()));
    }
    let mut failure = "the log names no checkpoint key".to_owned();
    for key in known {
        match Checkpoint::open(note, origin, &key) {
            Ok((checkpoint, _)) => return Ok(checkpoint),
            Err(error) => failure = error.to_string(),
        }
    }
    Err(failure)
}

/// Why this copy must not sign, if so: only a lock record of this very history, not ahead of it, permits signing.
fn why_not_sign(
    store: &Store,
    lock: &LockFile,
    origin: &Origin,
    keys: &PublicKeys,
    keyring: Option<&Keyring>,
    head: &Checkpoint,
) -> Result<Option<String>, LedgerError> {
    let path = lock.path().display();
    let Some(note) = lock.read()? else {
        return Ok(Some(format!("the lock record {path} is missing; if this is the newest copy, run `fapiao ledger adopt`")));
    };
    let stated = Note::parse(&note).and_then(|note| Checkpoint::parse(note.text()));
    if let Ok(stated) = &stated
        && stated.origin != *origin
    {
        return Ok(Some(format!("the lock record {path} belongs to another log, {}", stated.origin)));
    }
    let locked = match open_checkpoint(&note, origin, keys, keyring) {
        Ok(locked) => locked,
        Err(reason) => return Ok(Some(format!("the lock record {path} is not a checkpoint of this log: {reason}"))),
    };
    if locked.size > head.size {
        let (locked, here) = (locked.size, head.size);
        return Ok(Some(format!("this copy ends at size {here}, the lock record {path} is at {locked}: it is older than what was signed")));
    }
    if root_at(store, locked.size)? != locked.root {
        return Ok(Some(format!("at size {} this copy has another root than the lock record {path}: two histories", locked.size)));
    }
    Ok(None)
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
    merkle::root_at(size, |level, n| tile_at(store, size, level, n)).map_err(|error| LedgerError::broken(size, error.to_string()))
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

fn rebuild_tree(store: &Store, size: u64) -> Result<Tree, LedgerError> {
    let last: Vec<_> = last_leaves(store, size)?.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    Tree::rebuild(size, &last, |level, n| full_tile(store, level, n)).map_err(|error| LedgerError::broken(size, error.to_string()))
}

fn rebuild_crossfoot(store: &Store, size: u64) -> Result<Crossfoot, LedgerError> {
    let last = last_leaves(store, size)?;
    Crossfoot::from_right_edge(size, &last, |level, n| full_tile(store, level, n)).map_err(|error| LedgerError::broken(size, error.to_string()))
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
