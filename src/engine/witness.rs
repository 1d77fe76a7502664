//! A witness 见证人 and its own state: which checkpoint of each log it cosigned last, kept so that it never goes back.
//!
//! ```text
//! DIR/key           encrypted: name and Ed25519 seed
//! DIR/state         the newest cosigned checkpoint of each log, and a serial number that grows with each change
//! DIR/place         names the directory, so that a copy of it is known as one
//! DIR/evidence/     what was submitted that contradicts what was cosigned, two roots of one size apart from proofs that do not fit
//! DIR.lock          the serial number again, outside: never part of a backup
//! ```
//!
//! State and lock are written, synced and renamed into place before a cosignature leaves the process. A witness whose lock is ahead of its state, or
//! missing, or that lies elsewhere, was restored from a copy: it refuses until somebody says up to where it cosigned.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use super::{EngineError, random, random_secret, read_bounded, replace_private, replace_public, write_private};
use crate::crypto::add_checkpoint::AddCheckpoint;
use crate::crypto::cosignature::{Cosigner, CosigningKey, Seconds};
use crate::crypto::hash;
use crate::crypto::keyfile::{self, KdfCost, KeyFileError};
use crate::crypto::note::{Checkpoint, Note, NoteError, NoteSignature, Origin, VerifierKey, parse_decimal};
use crate::crypto::policy::{Policy, PolicyFault};
use crate::domain::time::UnixMillis;
use crate::ledger::place::{self, Place};
use crate::ledger::{Clock, Home};
use crate::limits::{
    CLOCK_BEHIND_MAX_MS, COSIGN_AGAIN_SECS, KEY_FILE_BYTES_MAX, POLICY_BYTES_MAX, WITNESS_EVIDENCE_MAX, WITNESS_LOCK_BYTES_MAX, WITNESS_LOGS_MAX,
    WITNESS_STATE_BYTES_MAX,
};
use crate::witness::{Judgement, judge};

const STATE: &str = "fapiao-witness/1\n";

/// Why a witness does not begin, or does not cosign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFault {
    /// There is none in the directory.
    #[error("{0} holds no witness; `fapiao witness create` makes one")]
    Absent(PathBuf),
    /// There is one already.
    #[error("{0} holds a witness already, or held one: its lock record is there")]
    Exists(PathBuf),
    /// Another process runs it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A name that a key in notes cannot have.
    #[error("{0:?} is no name of a witness: no spaces, no plus, at most 255 bytes; by custom an address without its scheme")]
    Name(String),
    /// The key file.
    #[error("{path}: {error}")]
    Key {
        /// Where.
        path: PathBuf,
        /// Why.
        error: KeyFileError,
    },
    /// The list of logs.
    #[error("{path}: {fault}")]
    Logs {
        /// Where.
        path: PathBuf,
        /// Why.
        fault: PolicyFault,
    },
    /// A line of it that a witness has no use for.
    #[error("{path}: a witness watches logs whose name is <host>/<16 hex digits>, a line `log <verifier key>` for each key; not {line}", path = path.display())]
    NotALog {
        /// Where.
        path: PathBuf,
        /// The line, or the key.
        line: String,
    },
    /// What it is to go on from is less than its lock record knows.
    #[error(
        "its lock record says that it cosigned {origin} up to size {locked}, and what it knows with these checkpoints ends at {known}: give it a checkpoint of \
         that size or more that carries its cosignature (--checkpoint FILE), or make a new witness under a new key"
    )]
    LockedBeyond {
        /// The log.
        origin: String,
        /// Size in the lock record.
        locked: u64,
        /// Size that is known.
        known: u64,
    },
    /// The state is not as it was written.
    #[error("{path} is damaged: {reason}; bring back the newest copy and run `fapiao witness adopt`", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// It is not known that this is all it cosigned.
    #[error(
        "this witness was restored from a copy, or moved: {0}. It cosigns nothing, because it may have cosigned more than it knows. If nothing was lost, \
         or once the newest checkpoints that carry its cosignature are at hand, run `fapiao witness adopt --checkpoint FILE`; otherwise make a new \
         witness under a new key"
    )]
    Restored(&'static str),
    /// The clock is behind what was cosigned before.
    #[error("the clock is {0} s behind the last cosignature; nothing is cosigned until it has caught up")]
    ClockBehind(Seconds),
    /// A checkpoint that has no room for a cosignature.
    #[error("the checkpoint: {0}")]
    Submitted(String),
    /// More logs than one witness watches.
    #[error("more than {WITNESS_LOGS_MAX} logs")]
    TooManyLogs,
    /// What should be a checkpoint with its cosignature is none.
    #[error("{path}: {reason}", path = path.display())]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The newest checkpoint of one log that was cosigned.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it was signed, with our cosignature as its last line.
    pub note: Note,
    /// When it was cosigned.
    pub time: Seconds,
}

/// What was cosigned, log by log.
#[derive(Clone, Debug, Default)]
struct State {
    serial: u64,
    logs: BTreeMap<String, Seen>,
}

impl State {
    fn seen(&self) -> Arc<Vec<Seen>> {
        Arc::new(self.logs.values().cloned().collect())
    }

    fn encode(&self) -> String {
        let mut text = format!("{STATE}serial {}\n", self.serial);
        for seen in self.logs.values() {
            let note = seen.note.encode();
            text.push_str(&format!("note {}\n{note}", note.len()));
        }
        text
    }

    fn decode(text: &str, cosigner: &Cosigner) -> Option<State> {
        let (serial, mut rest) = text.strip_prefix(STATE)?.strip_prefix("serial ")?.split_once('\n')?;
        let mut state = State { serial: parse_decimal(serial)?, logs: BTreeMap::new() };
        while !rest.is_empty() {
            let (length, after) = rest.strip_prefix("note ")?.split_once('\n')?;
            let (note, after) = after.split_at_checked(parse_decimal(length).and_then(|length| usize::try_from(length).ok())?)?;
            let seen = Seen::read(note, cosigner)?;
            state.logs.insert(seen.checkpoint.origin.to_string(), seen);
            rest = after;
        }
        Some(state)
    }
}

impl Seen {
    /// [`Seen::time`] as other times are written.
    pub fn when(&self) -> UnixMillis {
        UnixMillis(self.time.saturating_mul(1_000))
    }

    /// A note that carries our cosignature.
    fn read(note: &str, cosigner: &Cosigner) -> Option<Seen> {
        let note = Note::parse(note).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        let time = cosigner.newest_time(&note)?;
        Some(Seen { checkpoint, note, time })
    }
}

/// What becomes of a submission.
#[derive(Debug)]
pub enum Witnessed {
    /// It is cosigned, durably.
    Cosigned(NoteSignature),
    /// It is not.
    Refused {
        /// Why.
        judgement: Judgement,
        /// Where what was submitted is kept, if it is worth keeping and was not kept before; or why it could not be.
        evidence: Option<Result<PathBuf, EngineError>>,
    },
}

/// A witness in a directory that nobody else has open.
pub struct Witness {
    directory: PathBuf,
    key: CosigningKey,
    logs_path: PathBuf,
    /// Keys that logs are known by. Held for as long as it takes to copy them.
    logs: RwLock<Vec<VerifierKey>>,
    /// Held for the whole of a submission: comparing and keeping are one act.
    state: Mutex<State>,
    /// What is in there, for whoever only asks. Held for as long as it takes to copy an Arc.
    seen: RwLock<Arc<Vec<Seen>>>,
    clock: Clock,
    /// Locked for as long as the witness runs.
    _alone: File,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn key_path(directory: &Path) -> PathBuf {
    directory.join("key")
}

fn state_path(directory: &Path) -> PathBuf {
    directory.join("state")
}

fn lock_path(directory: &Path) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// What a lock record says: how often it was written, and how much was cosigned by then, log by log.
struct Locked {
    serial: u64,
    sizes: Vec<(String, u64)>,
}

impl Locked {
    fn encode(state: &State) -> String {
        let sizes = state.logs.iter().map(|(origin, seen)| format!("log {origin} {}\n", seen.checkpoint.size));
        std::iter::once(format!("{STATE}serial {}\n", state.serial)).chain(sizes).collect()
    }

    fn decode(text: &str) -> Option<Locked> {
        let mut lines = text.strip_prefix(STATE)?.strip_suffix('\n')?.split('\n');
        let serial = parse_decimal(lines.next()?.strip_prefix("serial ")?)?;
        let size = |line: &str| {
            let (origin, size) = line.strip_prefix("log ")?.split_once(' ')?;
            Some((origin.to_owned(), parse_decimal(size)?))
        };
        Some(Locked { serial, sizes: lines.map(size).collect::<Option<Vec<_>>>()? })
    }

    /// The lock record of a directory, if there is one.
    fn read(directory: &Path) -> Result<Option<Locked>, WitnessFault> {
        let path = lock_path(directory);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, WITNESS_LOCK_BYTES_MAX)?;
        let locked = std::str::from_utf8(&bytes).ok().and_then(Locked::decode);
        locked.map(Some).ok_or(WitnessFault::Damaged { path, reason: "not a lock record" })
    }
}

/// Keys in a file of `log` lines, as in a trust policy.
fn read_logs(path: &Path) -> Result<Vec<VerifierKey>, WitnessFault> {
    let bytes = read_bounded(path, POLICY_BYTES_MAX)?;
    // What a policy needs besides is not a witness's affair.
    let text = String::from_utf8_lossy(&bytes) + "\nquorum none\n";
    let policy = Policy::parse(&text).map_err(|fault| WitnessFault::Logs { path: path.into(), fault })?;
    if !policy.witnesses().is_empty() {
        return Err(WitnessFault::NotALog { path: path.into(), line: "witness …".to_owned() });
    }
    match policy.logs().iter().find(|log| Origin::parse(&log.key.name).is_none()) {
        Some(other) => Err(WitnessFault::NotALog { path: path.into(), line: other.key.encode() }),
        None => Ok(policy.logs().iter().map(|log| log.key.clone()).collect()),
    }
}

impl Witness {
    /// Makes a witness with a new key in a directory that holds none.
    pub fn create(directory: &Path, name: &str, passphrase: &str, cost: KdfCost) -> Result<Cosigner, WitnessFault> {
        if key_path(directory).exists() || lock_path(directory).exists() {
            return Err(WitnessFault::Exists(directory.into()));
        }
        let seed: Zeroizing<[u8; 32]> = random_secret()?;
        let key = CosigningKey::new(name, crate::crypto::sign::SigningKey::from_seed(&seed)).ok_or_else(|| WitnessFault::Name(name.to_owned()))?;
        let failed = |error| WitnessFault::Key { path: key_path(directory), error };
        let sealed = keyfile::seal_cosigning(name, &seed, passphrase, &random()?, &random()?, cost).map_err(failed)?;
        write_private(&key_path(directory), &sealed)?;
        replace_private(&state_path(directory), State::default().encode().as_bytes())?;
        settle(directory)?;
        replace_public(&lock_path(directory), Locked::encode(&State::default()).as_bytes())?;
        Ok(key.cosigner().clone())
    }

    /// Opens a witness to cosign. `logs` is a file of `log` lines.
    pub fn open(directory: &Path, passphrase: &str, logs: &Path, clock: Clock) -> Result<Witness, WitnessFault> {
        let (key, alone) = Witness::unlock(directory, passphrase)?;
        let state = Witness::read_state(directory, key.cosigner())?;
        match Locked::read(directory)?.map(|locked| locked.serial) {
            None => return Err(WitnessFault::Restored("its lock record is missing")),
            Some(locked) if locked > state.serial => return Err(WitnessFault::Restored("its lock record is ahead of its state")),
            // A crash between the two leaves the lock one behind, and nobody was answered.
            Some(locked) if locked + 1 < state.serial => return Err(WitnessFault::Restored("its lock record is older than its state")),
            Some(_) => {}
        }
        match place::check(&Home::from(directory.to_owned())).map_err(EngineError::from)? {
            Place::Same => {}
            Place::Copied => return Err(WitnessFault::Restored("its directory is a copy")),
            Place::Unsaid => return Err(WitnessFault::Restored("nothing says where its directory lay")),
        }
        let known = read_logs(logs)?;
        replace_public(&lock_path(directory), Locked::encode(&state).as_bytes())?;
        Ok(Witness {
            directory: directory.into(),
            key,
            logs_path: logs.into(),
            logs: RwLock::new(known),
            seen: RwLock::new(state.seen()),
            state: Mutex::new(state),
            clock,
            _alone: alone,
        })
    }

    /// Says that a restored witness knows, with these checkpoints, all that it cosigned. Each file is a checkpoint that carries its cosignature; one that
    /// is older than what the witness knows changes nothing. Returns what it knows now.
    pub fn adopt(directory: &Path, passphrase: &str, checkpoints: &[PathBuf]) -> Result<Vec<Seen>, WitnessFault> {
        let (key, _alone) = Witness::unlock(directory, passphrase)?;
        let mut state = Witness::read_state(directory, key.cosigner())?;
        for path in checkpoints {
            let fault = |reason: &str| WitnessFault::Checkpoint { path: path.clone(), reason: reason.to_owned() };
            let bytes = read_bounded(path, crate::limits::NOTE_BYTES_MAX)?;
            let text = String::from_utf8(bytes).map_err(|_| fault("not UTF-8"))?;
            Note::parse(&text).and_then(|note| Checkpoint::parse(note.text())).map_err(|error: NoteError| fault(&error.to_string()))?;
            let seen = Seen::read(&text, key.cosigner()).ok_or_else(|| fault("it carries no cosignature of this witness"))?;
            let known = state.logs.get(seen.checkpoint.origin.as_str());
            match known {
                Some(known) if known.checkpoint.size == seen.checkpoint.size && known.checkpoint.root != seen.checkpoint.root => {
                    return Err(fault("this witness cosigned another root of the same size: its key was used by two; make a new one"));
                }
                Some(known) if (known.checkpoint.size, known.time) >= (seen.checkpoint.size, seen.time) => {}
                Some(_) | None => drop(state.logs.insert(seen.checkpoint.origin.to_string(), seen)),
            }
        }
        let locked = Locked::read(directory)?;
        for (origin, size) in locked.iter().flat_map(|locked| &locked.sizes) {
            let known = state.logs.get(origin).map_or(0, |seen| seen.checkpoint.size);
            if known < *size {
                return Err(WitnessFault::LockedBeyond { origin: origin.clone(), locked: *size, known });
            }
        }
        // Beyond both, so that neither a lock nor a state of before fits any more.
        state.serial = state.serial.max(locked.map_or(0, |locked| locked.serial)).saturating_add(1);
        replace_private(&state_path(directory), state.encode().as_bytes())?;
        replace_public(&lock_path(directory), Locked::encode(&state).as_bytes())?;
        settle(directory)?;
        Ok(state.logs.into_values().collect())
    }

    /// What a witness is called and what it cosigned, without opening it to cosign.
    pub fn look(directory: &Path, passphrase: &str) -> Result<(Cosigner, Vec<Seen>), WitnessFault> {
        let key = Witness::read_key(directory, passphrase)?;
        let state = Witness::read_state(directory, key.cosigner())?;
        Ok((key.cosigner().clone(), state.logs.into_values().collect()))
    }

    fn unlock(directory: &Path, passphrase: &str) -> Result<(CosigningKey, File), WitnessFault> {
        let key = Witness::read_key(directory, passphrase)?;
        let path = key_path(directory);
        let alone = File::open(&path).map_err(|error| EngineError::File { path, error })?;
        flock(&alone, FlockOperation::NonBlockingLockExclusive).map_err(|_| WitnessFault::InUse(directory.into()))?;
        Ok((key, alone))
    }

    fn read_key(directory: &Path, passphrase: &str) -> Result<CosigningKey, WitnessFault> {
        let path = key_path(directory);
        if !path.exists() {
            return Err(WitnessFault::Absent(directory.into()));
        }
        let file = read_bounded(&path, KEY_FILE_BYTES_MAX)?;
        keyfile::open_cosigning(&file, passphrase).map_err(|error| WitnessFault::Key { path, error })
    }

    fn read_state(directory: &Path, cosigner: &Cosigner) -> Result<State, WitnessFault> {
        let path = state_path(directory);
        let bytes = read_bounded(&path, WITNESS_STATE_BYTES_MAX)?;
        let state = std::str::from_utf8(&bytes).ok().and_then(|text| State::decode(text, cosigner));
        state.ok_or(WitnessFault::Damaged { path, reason: "not a list of checkpoints that this witness cosigned" })
    }

    /// Its public half.
    pub fn cosigner(&self) -> &Cosigner {
        self.key.cosigner()
    }

    /// How many keys of logs it knows.
    pub fn logs(&self) -> usize {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What it cosigned last, log by log.
    pub fn seen(&self) -> Arc<Vec<Seen>> {
        Arc::clone(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it cosigned last of one log.
    pub fn seen_of(&self, origin: &Origin) -> Option<Seen> {
        self.seen().iter().find(|seen| seen.checkpoint.origin == *origin).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file of logs again. Whether it says something else; on an error the logs stay as they were.
    pub fn read_logs_again(&self) -> Result<bool, WitnessFault> {
        let read = read_logs(&self.logs_path)?;
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *logs != read;
        *logs = read;
        Ok(changed)
    }

    /// Judges a submission and cosigns it if it continues what was cosigned before. The cosignature is made only once it is durable that it was.
    pub fn add(&self, submitted: &AddCheckpoint) -> Result<Witnessed, WitnessFault> {
        let known = self.logs.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut state = self.state();
        let origin = submitted.checkpoint.origin.as_str();
        let last = state.logs.get(origin);
        let judgement = judge(last.map(|seen| &seen.checkpoint), &known, submitted);
        if judgement != Judgement::Cosign {
            let evidence = if judgement.is_evidence() { self.keep_evidence(judgement, last, submitted).transpose() } else { None };
            return Ok(Witnessed::Refused { judgement, evidence });
        }
        let clock = (self.clock)().0 / 1_000;
        // A clock that was put right by a moment does not take a time back that was signed.
        let now = last.map_or(clock, |last| clock.max(last.time));
        if let Some(last) = last {
            if last.time - last.time.min(clock) > CLOCK_BEHIND_MAX_MS / 1_000 {
                return Err(WitnessFault::ClockBehind(last.time - clock));
            }
            // Anybody may submit a checkpoint that is public: the same again within a moment costs no sync.
            let is_again = last.checkpoint == submitted.checkpoint && now < last.time + COSIGN_AGAIN_SECS;
            let ours = |line: &&NoteSignature| self.cosigner().time_of(last.note.text(), line) == Some(last.time);
            if let Some(line) = last.note.signatures().iter().find(ours).filter(|_| is_again) {
                return Ok(Witnessed::Cosigned(line.clone()));
            }
        } else if state.logs.len() >= WITNESS_LOGS_MAX {
            return Err(WitnessFault::TooManyLogs);
        }
        let line = self.key.cosign(submitted.note.text(), now);
        // Only what was verified is kept: anybody may add lines to a note.
        let text = submitted.note.text();
        let fits = |line: &NoteSignature, key: &VerifierKey| {
            let signature = line.signature.as_slice().try_into();
            (key.name.as_str(), key.hash()) == (origin, line.key_hash) && signature.is_ok_and(|signature| key.key.verify(text.as_bytes(), signature))
        };
        let mut note = submitted.note.clone();
        note.retain(|line| line.name == origin && known.iter().any(|key| fits(line, key)));
        note.add_line(&line.encode()).map_err(|error| WitnessFault::Submitted(error.to_string()))?;
        let mut next = state.clone();
        next.serial += 1;
        next.logs.insert(origin.to_owned(), Seen { checkpoint: submitted.checkpoint.clone(), note, time: now });
        // What fails between the two has not left, and is written over under the same number.
        replace_private(&state_path(&self.directory), next.encode().as_bytes())?;
        replace_public(&lock_path(&self.directory), Locked::encode(&next).as_bytes())?;
        *state = next;
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = state.seen();
        Ok(Witnessed::Cosigned(line))
    }

    /// Keeps what a log signed beside what it had signed before. Each pair of checkpoints is kept once, however often somebody submits it, and those that
    /// are proofs by themselves have a room of their own.
    fn keep_evidence(&self, judgement: Judgement, last: Option<&Seen>, submitted: &AddCheckpoint) -> Result<Option<PathBuf>, EngineError> {
        let kind = if judgement == Judgement::TwoRoots { "roots" } else { "proof" };
        let folder = self.directory.join("evidence").join(kind);
        let cosigned = last.map(|seen| seen.note.encode()).unwrap_or_default();
        let [a, b, c, d, ..] = hash::sha256(&[last.map_or("", |seen| seen.note.text()).as_bytes(), submitted.note.text().as_bytes()]);
        let path = folder.join(format!("{}-{:08x}.txt", submitted.checkpoint.size, u32::from_be_bytes([a, b, c, d])));
        let kept = fs::read_dir(&folder).map_or(0, Iterator::count);
        if path.exists() || kept >= WITNESS_EVIDENCE_MAX {
            return Ok(None);
        }
        let body = AddCheckpoint::encode(submitted.old_size, &submitted.proof, &submitted.note.encode());
        replace_public(&path, format!("cosigned:\n\n{cosigned}\nsubmitted:\n\n{body}").as_bytes())?;
        Ok(Some(path))
    }
}

fn settle(directory: &Path) -> Result<(), WitnessFault> {
    place::settle(&Home::from(directory.to_owned())).map_err(|error| WitnessFault::Engine(error.into()))
}
