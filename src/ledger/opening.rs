//! Creating a ledger, opening one, and what an administrator says when a copy refuses to sign.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::answers::Answers;
use super::counts::Counts;
use super::erasure;
use super::lock::LockFile;
use super::place;
use super::rebuild;
use super::recovery::{self, LockFault, ORIGIN, Obstacle, Origins, Standing};
use super::registry::Registry;
use super::sequencer::{self, Committer, Decider, Head, Tools};
use super::store::{Access, Home, Store, StoreError, StoreSizes};
use super::tables::{Heads, Meta};
use super::value::HeadRecord;
use super::{Clock, Ledger, LedgerError, Observer, Outcome, SealedEvent, Shared, Signer, Submission};
use crate::codec::event::{EventData, Notice};
use crate::crypto::keyring::{Keyring, PublicKeys};
use crate::crypto::merkle;
use crate::crypto::note::{Checkpoint, Origin};
use crate::crypto::sign::SignError;
use crate::domain::time::UnixMillis;
use crate::limits::REASON_BYTES_MAX;

/// What a new ledger needs.
pub struct Creation {
    /// Where it will live; there is no ledger yet.
    pub home: Home,
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
#[derive(Clone)]
pub struct Opening {
    /// Where it lives.
    pub home: Home,
    /// Caches.
    pub sizes: StoreSizes,
    /// Without it the ledger is read only.
    pub keyring: Option<Arc<Keyring>>,
    /// Time.
    pub clock: Clock,
    /// Told of commits.
    pub observer: Option<Observer>,
}

/// Signs what is to be said of keys, given those at hand, those that the log names, and the time at which it ends.
pub type SignKeys<'a> = dyn Fn(&Keyring, &PublicKeys, UnixMillis) -> Result<Vec<SealedEvent>, SignError> + 'a;

/// What reopening a ledger under another origin needs.
pub struct Reopening<'a> {
    /// The ledger.
    pub opening: Opening,
    /// Makes the new origin, with the host of the old one.
    pub log_id: [u8; Origin::LOG_ID_LEN],
    /// Why, in the administrator's words.
    pub reason: String,
    /// Signs the notice with the authority's key.
    pub sign: &'a dyn Fn(&EventData, &Keyring) -> Result<SealedEvent, SignError>,
    /// Signs what is said anew of keys that the log lost, if anything is: of those at hand, and as of this time the log ends.
    pub keys: &'a SignKeys<'a>,
}

impl Ledger {
    /// Whether a ledger may be made here: neither one nor a lock record is there.
    pub fn may_create(home: &Home) -> Result<(), LedgerError> {
        if Store::exists(home) {
            return Err(StoreError::Exists(home.directory.clone()).into());
        }
        let lock = LockFile::beside(home);
        match lock.read()? {
            Some(_) => Err(StoreError::LockExists(lock.path().into()).into()),
            None => Ok(()),
        }
    }

    /// Makes an empty ledger: origin, the signed checkpoint of size 0, the lock record; then logs the public keys.
    pub fn create(creation: Creation) -> Result<Ledger, LedgerError> {
        let keys = creation.keys.clone();
        let opening = Ledger::found(creation)?;
        let ledger = Ledger::open(opening.clone())?;
        for event in keys {
            let answer = ledger.submit(Submission::Keys { events: vec![event] }).blocking_recv();
            if !matches!(answer, Ok(Ok(Outcome::Logged { .. }))) {
                return Err(LedgerError::Stopped(format!("a public key could not be logged: {answer:?}")));
            }
        }
        // Opened again, the ledger knows its keys from the log, as it will ever after.
        drop(ledger);
        Ledger::open(opening)
    }

    /// Makes an empty ledger without any leaf, closed.
    pub fn found(creation: Creation) -> Result<Opening, LedgerError> {
        let Creation { home, sizes, origin, keyring, keys: _, clock, observer } = creation;
        Ledger::may_create(&home)?;
        let lock = LockFile::beside(&home);
        let store = Store::open(&home, sizes, Access::Create)?;
        let checkpoint = Checkpoint { origin: origin.clone(), size: 0, root: merkle::EMPTY_ROOT };
        let note = checkpoint.sign_by(&keyring.checkpoint().key)?.encode();
        let mut batch = store.batch();
        batch.put::<Meta>(&ORIGIN, &origin.as_str().as_bytes().to_vec());
        batch.put::<Heads>(&0, &HeadRecord { note: note.clone(), time_ms: clock().0 });
        batch.commit(true)?;
        lock.replace(&note)?;
        place::settle(&home)?;
        Ok(Opening { home, sizes, keyring: Some(keyring), clock, observer })
    }

    /// Opens a ledger.
    pub fn open(opening: Opening) -> Result<Ledger, LedgerError> {
        let failed = |directory: PathBuf| move |error| LedgerError::Store(StoreError::File { path: directory.clone(), error });
        let failed = failed(opening.home.directory.clone());
        let Opened { store, shared, origins, lock, signer, head } = Opened::new(&opening)?;
        let counts = Counts::start(Arc::clone(&store)).map_err(&failed)?;
        let (jobs, threads) = match signer {
            Some(signer) => {
                let Opening { clock, observer, .. } = opening;
                let tools = Tools { store: Arc::clone(&store), shared: Arc::clone(&shared), lock, signer, clock, observer };
                let (jobs, threads) = sequencer::start(tools, head).map_err(&failed)?;
                (Some(jobs), threads)
            }
            None => (None, Vec::new()),
        };
        let registry = Registry::new(Arc::clone(&store));
        let answers = Answers::new(Arc::clone(&store));
        Ok(Ledger { store, shared, origins, counts, registry, answers, backing_up: Mutex::default(), jobs, threads })
    }

    /// Opens a ledger without any thread; what may be written is driven by the stepper.
    #[cfg(feature = "faults")]
    pub fn open_stepped(opening: Opening) -> Result<(Ledger, Option<sequencer::Stepper>), LedgerError> {
        let Opened { store, shared, origins, lock, signer, head } = Opened::new(&opening)?;
        let stepper = signer.map(|signer| {
            let Opening { clock, observer, .. } = opening;
            sequencer::Stepper::new(Tools { store: Arc::clone(&store), shared: Arc::clone(&shared), lock, signer, clock, observer }, head)
        });
        let counts = Counts::without_thread(Arc::clone(&store));
        let registry = Registry::new(Arc::clone(&store));
        let answers = Answers::new(Arc::clone(&store));
        Ok((Ledger { store, shared, origins, counts, registry, answers, backing_up: Mutex::default(), jobs: None, threads: Vec::new() }, stepper))
    }

    /// Says that this copy is the newest and lies here: rewrites a missing or older lock record after checking that this copy continues the same
    /// history. Only for an administrator who knows that no newer copy of this ledger exists; a record that says otherwise is believed.
    pub fn adopt(home: &Home, sizes: StoreSizes, keyring: &Keyring) -> Result<Checkpoint, LedgerError> {
        let lock = LockFile::beside(home);
        let store = recovery::open_store(home, sizes, &lock, Some(keyring))?;
        let recovered = recovery::recover(&store, Some(keyring))?;
        match recovery::lock_obstacle(&store, &lock, &recovered, Some(keyring))? {
            None | Some(Obstacle::LockMissing { .. } | Obstacle::LockBehind { .. }) => {}
            Some(
                obstacle @ (Obstacle::KeysLocked
                | Obstacle::LockUnreadable { .. }
                | Obstacle::LockUnnamed { .. }
                | Obstacle::LockForeign { .. }
                | Obstacle::LockAhead { .. }
                | Obstacle::TwoHistories { .. }
                | Obstacle::NoKey { .. }
                | Obstacle::Disputed { .. }
                | Obstacle::Copied { .. }
                | Obstacle::Unsaid { .. }),
            ) => return Err(LedgerError::NotAdopted(obstacle)),
        }
        lock.replace(&recovered.head.note)?;
        place::settle(home)?;
        Ok(recovered.checkpoint)
    }

    /// Goes on from a copy that is older than what was signed: under another origin, beginning with a signed notice that names both origins, so that
    /// nobody can be shown two histories under one name. What was signed beyond this copy is lost until it is submitted again.
    pub fn reopen(reopening: Reopening<'_>) -> Result<(u64, Notice), LedgerError> {
        let Reopening { opening, log_id, reason, sign, keys } = reopening;
        let Opening { home, sizes, keyring, clock, observer } = opening;
        let keyring = keyring.ok_or_else(|| LedgerError::Stopped(Obstacle::KeysLocked.to_string()))?;
        let store = Arc::new(Store::open(&home, sizes, Access::Write)?);
        let recovered = recovery::recover(&store, Some(&keyring))?;
        let keyring = match keyring.settled(&recovered.keys) {
            Ok(settled) => Arc::new(settled),
            Err(role) => return Err(LedgerError::Stopped(Obstacle::NoKey { role }.to_string())),
        };
        let lock = LockFile::beside(&home);
        let obstacle = match recovery::standing(&store, &lock, &recovered, Some(&keyring))? {
            Standing::Signs => return Err(LedgerError::NothingToReopen),
            Standing::Refuses(obstacle) => obstacle,
        };
        let lost = match lock.read()? {
            Some(note) => match recovery::open_lock(&note, &recovered.origins, &recovered.keys, Some(&keyring)) {
                // What witnesses saw beyond this copy is not in its lock record, which may be ahead of it all the same.
                Ok(locked) if matches!(obstacle, Obstacle::Disputed { .. }) => {
                    (locked.size > recovered.checkpoint.size).then_some((locked.size, locked.root))
                }
                Ok(locked) => obstacle.is_behind().then_some((locked.size, locked.root)),
                Err(LockFault::Foreign(_) | LockFault::Unnamed(_) | LockFault::Unreadable(_)) => None,
            },
            None => None,
        };
        let Checkpoint { size, root, .. } = recovered.checkpoint;
        let reason = match &obstacle {
            // Everybody is to know what they saw that this copy does not have.
            Obstacle::Disputed { said } => {
                let whole = format!("{reason} (witnesses: {said})");
                whole.get(..whole.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or(&reason).to_owned()
            }
            _ => reason,
        };
        let previous = recovered.origins.current().clone();
        let origin = previous.succeeded_by(log_id);
        let notice = Notice { previous, size, root, lost, origin: origin.clone(), reason };
        let event = sign(&EventData::Reopen(notice.clone()), &keyring)?;
        let keys = keys(&keyring, &recovered.keys, UnixMillis(recovered.head.time_ms))?;

        let front = recovered.front(Some(&keyring));
        let shared = Arc::new(Shared::new(front, Some(Arc::clone(&keyring)), None));
        let tools = Tools { store, shared: Arc::clone(&shared), lock, signer: Signer { origin, keyring }, clock, observer };
        let committer = Committer::new(&tools);
        let mut decider = Decider::new(tools, Head::of(recovered));
        sequencer::log_notice(&mut decider, &committer, event, keys)?;
        place::settle(&home)?;
        Ok((size, notice))
    }

    /// Empties a derived table; it is rebuilt when the ledger is opened next, which this does.
    pub fn rebuild(home: &Home, sizes: StoreSizes, table: &str) -> Result<bool, LedgerError> {
        let store = Store::open(home, sizes, Access::Write)?;
        let (size, _) = recovery::newest_head(&store)?;
        let known = rebuild::begin(&store, table)?;
        rebuild::complete(&store, size)?;
        Ok(known)
    }
}

/// A ledger that was recovered, before any thread of it runs.
struct Opened {
    store: Arc<Store>,
    shared: Arc<Shared>,
    origins: Origins,
    lock: LockFile,
    /// If it may sign.
    signer: Option<Signer>,
    head: Head,
}

impl Opened {
    fn new(opening: &Opening) -> Result<Opened, LedgerError> {
        let keyring = opening.keyring.as_deref();
        let lock = LockFile::beside(&opening.home);
        let store = recovery::open_store(&opening.home, opening.sizes, &lock, keyring)?;
        let recovered = recovery::recover(&store, keyring)?;
        let obstacle = match recovery::standing(&store, &lock, &recovered, keyring)? {
            Standing::Signs => {
                recovery::advance_lock(&lock, &recovered)?;
                // A crash may have come before the files were clean. A disk that is too full for it keeps nobody from opening: the note stays.
                drop(erasure::finish(&store));
                None
            }
            // Whoever only asks must learn, too, that this copy is behind.
            Standing::Refuses(Obstacle::KeysLocked) => {
                let known = recovery::lock_obstacle(&store, &lock, &recovered, keyring)?;
                Some(known.filter(Obstacle::is_behind).unwrap_or(Obstacle::KeysLocked))
            }
            Standing::Refuses(obstacle) => Some(obstacle),
        };
        let front = recovered.front(opening.keyring.as_ref());
        let keyring = front.keyring.clone().filter(|_| obstacle.is_none());
        let shared = Arc::new(Shared::new(front, opening.keyring.clone(), obstacle));
        let origins = recovered.origins.clone();
        let signer = keyring.map(|keyring| Signer { origin: origins.current().clone(), keyring });
        Ok(Opened { store: Arc::new(store), shared, origins, lock, signer, head: Head::of(recovered) })
    }
}
