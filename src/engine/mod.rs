//! The one API of the product: wires the floors and decides nothing. The clock and the source of randomness are read here and nowhere below.

mod answers;
mod asking;
pub mod audit;
mod callers;
mod cosigning;
mod erasing;
mod files;
mod logged;
mod resubmit;
mod revocations;
mod rotation;
mod submitting;
mod token;
mod upkeep;
mod witness;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::codec::canonical::{self, IssuerSlot};
use crate::codec::event::{EventData, KeyRecord, Role};
use crate::codec::leaf::KeyId;
use crate::crypto::body::{self, Erasure, Kept};
use crate::crypto::hash::Salt;
use crate::crypto::keyfile::{self, KdfCost, KeyFileError, Passkey};
use crate::crypto::keyring::{Keyring, KeyringError, SecretKey};
use crate::crypto::note::{Host, Origin};
use crate::crypto::sign::{SignError, Token};
use crate::domain::caller::CallerId;
use crate::domain::invoice::Invoice;
use crate::domain::number::InvoiceId;
use crate::domain::time::{Day, UnixMillis};
use crate::issue;
use crate::ledger::{Creation, Fsck, FsckReport, Home, Ledger, LedgerError, Observer, Opening, Receipt, Sealed, StoreError, StoreSizes, SubmitError};
use crate::limits::{ANSWERS_INTERVAL_MS, ISSUE_DAYS_BACK, KEY_FILE_BYTES_MAX};
use crate::verify::answer::Answer;
use crate::verify::check;
use crate::verify::quota::{Policies, Quota};
use crate::verify::verdict::Verdict;
use token::Hsm;

pub use answers::{AnswerInLog, Inclusion, LoggedAnswer, ResultRows, RootsAround, SignedAnswer, SignedRows};
pub use asking::{Asked, Counting};
pub use callers::{EnrolmentFault, Listed, NewCaller, Territory};
pub use cosigning::{Cosigned, PoliciesInLog};
pub use erasing::Erased;
pub use files::{read_bounded, read_secret, replace_private, replace_public, write_private, write_public};
pub use logged::LoggedEvent;
pub use resubmit::Resubmitted;
pub use rotation::{HeldKey, KeyPlace, Revoked, Rotated, RotationFault};
pub use submitting::{Logged, Pending, Submitted};
pub use token::{KeyInToken, TokenConfig};
pub use upkeep::{Checkup, KeyTrouble};
pub use witness::{Seen, Witness, WitnessFault, Witnessed};

/// Why the engine cannot do what it was asked. Refusals and faults are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger or its files.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The submission was not decided.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The key file.
    #[error("{path}: {error}")]
    Keyring {
        /// Where.
        path: PathBuf,
        /// Why.
        error: KeyFileError,
    },
    /// New keys do not make a keyring.
    #[error(transparent)]
    NewKeys(#[from] KeyringError),
    /// The host does not fit into a QR code or a note name.
    #[error("{0:?} is no host: at most 28 characters of letters, digits, dots, dashes and a port")]
    Host(String),
    /// A file beside the ledger.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something needs keys and the engine was opened without.
    #[error("this needs the secret keys; give the passphrase (--passphrase-file FILE)")]
    Locked,
    /// An accepted draft could not be sealed.
    #[error(transparent)]
    Seal(#[from] issue::SealError),
    /// A stored body does not open.
    #[error("stored body: {0}")]
    Body(#[from] body::BodyError),
    /// A stored body opens and does not decode.
    #[error("stored body: {0}")]
    Decode(#[from] crate::codec::reader::DecodeError),
    /// A question longer than any that makes sense is answered, but not signed.
    #[error("the question is too long to be signed")]
    QuestionTooLong,
    /// A backup cannot be used.
    #[error(transparent)]
    Backup(crate::ledger::BackupError),
    /// The reason for a public notice.
    #[error("a reason is needed: one line of at most 1,024 bytes, free of personal text")]
    Reason,
    /// A key cannot be rotated or revoked in this way.
    #[error(transparent)]
    Rotation(RotationFault),
    /// An answer of a time at which no answering key counted.
    #[error("no answering key counted at the time of this answer; ask again")]
    NoAnsweringKey,
    /// Numbers of answers follow their times.
    #[error("the answer is too old to be signed; ask again")]
    AnswerTooOld,
    /// What the ledger was to say to everybody did not come into the log.
    #[error("what the log was to tell did not come into it")]
    NotAnnounced,
    /// A leaf that should be of an event is none.
    #[error("leaf {0} has no event to show")]
    NoSuchEvent(u64),
    /// Somebody cannot be enrolled as a caller.
    #[error(transparent)]
    Enrolment(EnrolmentFault),
    /// There is no caller with this id.
    #[error("there is no caller {0}")]
    NoSuchCaller(CallerId),
    /// The id that was drawn for a caller is another one's: ask again.
    #[error("the id drawn for the caller, {0}, is taken; ask again")]
    CallerExists(CallerId),
    /// More than ids and codes would have come into the audit trail.
    #[error("the audit trail takes ids and codes, not this")]
    AuditText,
    /// More invoices are revoked than a list holds.
    #[error("more than {} invoices are revoked; a list holds no more", crate::limits::REVOCATIONS_MAX)]
    TooManyRevocations,
    /// It was done, and the audit trail does not have it.
    #[error(
        "done and in force: {done}; do not do it again. It could not be entered into the audit trail: {error}; note it by hand (fapiao keys show)"
    )]
    Unrecorded {
        /// What was done, as the trail would have had it.
        done: String,
        /// Why the trail does not have it.
        error: Box<EngineError>,
    },
    /// A body is not erased.
    #[error(transparent)]
    Erase(crate::ledger::EraseError),
    /// Why a body is to be erased is not said, or not in the manner of the audit trail.
    #[error(
        "a reason for the audit trail is needed: 1 to {} printable ASCII characters, as the number of a file; no names",
        crate::limits::ERASE_REASON_BYTES_MAX
    )]
    ErasureReason,
    /// A key did not sign, or could not be made in the token.
    #[error(transparent)]
    Unsigned(#[from] SignError),
    /// A key is wanted in a token, and nothing says how to reach one.
    #[error(
        "nothing says how to reach a token: give --pkcs11-module, --pkcs11-token and --pin-file, or the server [keys.pkcs11] in its configuration"
    )]
    NoToken,
    /// The threads that hold the sessions could not be started.
    #[error("the threads that ask the token: {0}")]
    TokenThreads(std::io::Error),
    /// The machine has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        EngineError::Ledger(error.into())
    }
}

/// How to open an engine.
pub struct Config {
    /// Data directory.
    pub directory: PathBuf,
    /// Opens the secret keys; without it the engine verifies, but neither signs nor shows what is encrypted.
    pub passphrase: Option<Zeroizing<String>>,
    /// How to reach the token that has signing keys, if one has.
    pub token: Option<TokenConfig>,
    /// Written into signed QR codes; at most 28 characters, not signed.
    pub host: String,
    /// Caches.
    pub sizes: StoreSizes,
    /// What deriving the key from the passphrase costs.
    pub kdf: KdfCost,
    /// How old a new invoice's date may be, days.
    pub days_back: u32,
    /// How long a signed answer waits for the root that the log tells of it, milliseconds.
    pub answers_interval_ms: u64,
    /// How much anybody may ask.
    pub quotas: Policies,
    /// Told of commits.
    pub observer: Option<Observer>,
    /// Where the time comes from: the system, but for tests.
    pub clock: crate::ledger::Clock,
}

impl Config {
    /// Sensible values for `directory`.
    pub fn new(directory: &Path, passphrase: Option<Zeroizing<String>>) -> Config {
        Config {
            directory: directory.into(),
            passphrase,
            token: None,
            host: "127.0.0.1:8080".into(),
            sizes: StoreSizes::default(),
            kdf: KdfCost::STANDARD,
            days_back: ISSUE_DAYS_BACK,
            answers_interval_ms: ANSWERS_INTERVAL_MS,
            quotas: Policies::STANDARD,
            observer: None,
            clock: Arc::new(now),
        }
    }
}

/// A receipt with the salt that opens its commit, where the body is still there and the data key at hand.
#[derive(Debug)]
pub struct FullReceipt {
    /// Everything that is not encrypted.
    pub receipt: Receipt,
    /// Random bytes of rest digest or event commit.
    pub salt: Option<[u8; 16]>,
}

/// What opens the secret keys of a ledger, as far as they are open.
struct Unlocked {
    passkey: Option<Passkey>,
    token: Option<Arc<Hsm>>,
}

/// What a stored body holds.
struct Contents {
    invoice: Invoice,
    issuer: Option<IssuerSlot>,
}

/// An open ledger with its keys.
pub struct Engine {
    ledger: Ledger,
    /// Writes the key file again; not there without the keys.
    passkey: Option<Passkey>,
    token: Option<Arc<Hsm>>,
    /// Held for the whole of a rotation: key file and log change one after the other.
    rotating: Mutex<()>,
    host: Host,
    days_back: u32,
    quota: Quota,
    clock: crate::ledger::Clock,
    known_callers: callers::KnownCallers,
    revocations: revocations::Revocations,
    cosigning: cosigning::Cosigning,
    answering: answers::Answering,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// The system's time.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The day it is by the system's time, in UTC+8.
pub fn today() -> Day {
    now().day().unwrap_or_else(|| unreachable!("the clock shows a year after 2999"))
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(EngineError::Randomness)?;
    Ok(bytes)
}

/// A secret from the operating system, wiped when it is dropped.
fn random_secret() -> Result<Zeroizing<[u8; 32]>, EngineError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(EngineError::Randomness)?;
    Ok(secret)
}

/// The encrypted key file of a data directory.
pub fn keyring_path(directory: &Path) -> PathBuf {
    directory.join("keys").join("keyring")
}

impl Engine {
    /// Makes keys and an empty ledger in `config.directory`, which may exist but may hold neither.
    pub fn create(config: Config) -> Result<Engine, EngineError> {
        Engine::create_in(KeyPlace::File, config)
    }

    /// As [`Engine::create`], with the three signing keys in the file or in the token.
    pub fn create_in(place: KeyPlace, config: Config) -> Result<Engine, EngineError> {
        let passphrase = config.passphrase.as_ref().ok_or(EngineError::Locked)?;
        let path = keyring_path(&config.directory);
        let home = Home::from(config.directory.clone());
        Ledger::may_create(&home)?;
        if path.exists() {
            return Err(StoreError::Exists(config.directory.clone()).into());
        }
        let host = parse_host(&config.host)?;
        let token = reach(config.token.as_ref())?;
        let mut keys = Vec::new();
        for role in [Role::Authority, Role::Answering, Role::Checkpoint] {
            keys.push(new_key(role, place, token.as_ref())?);
        }
        for role in [Role::Tag, Role::Data] {
            keys.push(new_key(role, KeyPlace::File, None)?);
        }
        let keyring = Keyring::new(keys)?;
        let broken = |error| EngineError::Keyring { path: path.clone(), error };
        let sealed = keyfile::seal(&keyring, passphrase, &random()?, &random()?, config.kdf).map_err(broken)?;
        write_private(&path, &sealed)?;
        let (keyring, passkey) = keyfile::unlock(&sealed, passphrase).map_err(broken)?;
        let keyring = reaching(keyring, token.as_ref())?;

        let valid_from = (config.clock)();
        let mut keys = Vec::new();
        for (role, signer) in
            [(Role::Authority, keyring.authority()), (Role::Answering, keyring.answering()), (Role::Checkpoint, keyring.checkpoint())]
        {
            if let Some(record) = KeyRecord::new(role, signer.key.public(), valid_from, None) {
                keys.push(issue::event_of(&EventData::Key(record), random()?, &keyring)?);
            }
        }
        let origin = Origin::new(&host, random()?);
        let keyring = Arc::new(keyring);
        let ledger = Ledger::create(Creation {
            home,
            sizes: config.sizes,
            origin,
            keyring,
            keys,
            clock: Arc::clone(&config.clock),
            observer: config.observer.clone(),
        })?;
        let quota = Quota::new(config.quotas, random()?);
        let answering = answers::Answering::every(config.answers_interval_ms);
        Ok(Engine::new(ledger, Unlocked { passkey: Some(passkey), token }, host, config.days_back, quota, answering, config.clock))
    }

    /// Opens what [`Engine::create`] made.
    pub fn open(config: Config) -> Result<Engine, EngineError> {
        let token = reach(config.token.as_ref())?;
        let (keyring, passkey) = match &config.passphrase {
            Some(passphrase) => {
                let (keyring, passkey) = unlock(&config.directory, passphrase)?;
                (Some(Arc::new(reaching(keyring, token.as_ref())?)), Some(passkey))
            }
            None => (None, None),
        };
        let ledger = Ledger::open(Opening {
            home: config.directory.into(),
            sizes: config.sizes,
            keyring,
            clock: Arc::clone(&config.clock),
            observer: config.observer,
        })?;
        let quota = Quota::new(config.quotas, random()?);
        let answering = answers::Answering::every(config.answers_interval_ms);
        Ok(Engine::new(ledger, Unlocked { passkey, token }, parse_host(&config.host)?, config.days_back, quota, answering, config.clock))
    }

    fn new(
        ledger: Ledger,
        unlocked: Unlocked,
        host: Host,
        days_back: u32,
        quota: Quota,
        answering: answers::Answering,
        clock: crate::ledger::Clock,
    ) -> Engine {
        let Unlocked { passkey, token } = unlocked;
        Engine {
            ledger,
            passkey,
            token,
            rotating: Mutex::default(),
            host,
            days_back,
            quota,
            clock,
            known_callers: callers::KnownCallers::default(),
            revocations: revocations::Revocations::default(),
            cosigning: cosigning::Cosigning::default(),
            answering,
        }
    }

    /// The ledger, for reading.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Written into signed QR codes.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The time it is.
    pub fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// The day it is now, in UTC+8.
    pub fn today(&self) -> Day {
        self.now().day().unwrap_or_else(|| unreachable!("the clock shows a year after 2999"))
    }

    fn keyring(&self) -> Result<Arc<Keyring>, EngineError> {
        self.ledger.keyring().ok_or(EngineError::Locked)
    }

    /// Has the token, if one has the keys that the log is signed with, sign something that means nothing: whoever serves knows at once, and not at the
    /// first invoice, that nothing can be signed. It is tried again by itself.
    pub fn try_to_sign(&self) -> Result<(), SubmitError> {
        self.ledger.may_write()?;
        let tried = self.ledger.keyring().map_or(Ok(()), |keyring| keyring.try_to_sign());
        tried.map_err(|error| self.ledger.cannot_sign(error))
    }

    /// What was signed for the log; if it could not be, nothing more is until the keys sign again. That so many ask the token at a time concerns nobody else.
    fn signed<T>(&self, signed: Result<T, SignError>) -> Result<T, EngineError> {
        signed.map_err(|error| match error {
            SignError::Busy(_) => error.into(),
            SignError::Unreachable(_) | SignError::Token { .. } | SignError::Wrong(_) => self.ledger.cannot_sign(error).into(),
        })
    }

    /// As [`Engine::signed`], of an invoice.
    fn sealed<T>(&self, sealed: Result<T, issue::SealError>) -> Result<T, EngineError> {
        match sealed {
            Err(issue::SealError::Unsigned(error)) => self.signed(Err(error)),
            other => Ok(other?),
        }
    }

    /// Whether invoices, or the checkpoints that the next of them wait for, are signed by a token, which takes longer than whoever serves sockets has time for.
    pub fn signs_by_token(&self) -> bool {
        self.token.is_some() && self.ledger.keyring().is_some_and(|keyring| keyring.signs_by_token())
    }

    /// Whether secret keys are at hand.
    pub fn is_unlocked(&self) -> bool {
        self.passkey.is_some()
    }

    /// Adds what only the encrypted body knows to an answer that matched: to be masked before it is shown.
    pub fn with_details(&self, mut answer: Answer) -> Result<Answer, EngineError> {
        if self.is_unlocked()
            && let Some(registered) = &mut answer.registered
        {
            registered.invoice =
                self.contents(registered.index, &registered.commit, registered.verified.face())?.map(|contents| Arc::new(contents.invoice));
        }
        Ok(answer)
    }

    fn contents(&self, index: u64, commit: &[u8; 32], face: &crate::domain::invoice::Face) -> Result<Option<Contents>, EngineError> {
        let keyring = self.keyring()?;
        let Some(Kept::Sealed(sealed)) = self.ledger.body(index)? else { return Ok(None) };
        let opened = body::open(&sealed, |key_id| keyring.data_key(key_id), commit)?;
        let (invoice, issuer) = canonical::decode_rest(face, &opened.rest)?;
        Ok(Some(Contents { invoice, issuer }))
    }

    /// An issued invoice in full, for those entitled to it.
    pub fn invoice(&self, id: InvoiceId) -> Result<Option<Invoice>, EngineError> {
        Ok(self.signed_invoice(id)?.map(|(invoice, _)| invoice))
    }

    /// As [`Engine::invoice`], with its issuer's signature if it was submitted with one: what a draft must say to be the same again, slot and all.
    pub fn signed_invoice(&self, id: InvoiceId) -> Result<Option<(Invoice, Option<IssuerSlot>)>, EngineError> {
        let Some(row) = self.ledger.look_up(id)?.1 else { return Ok(None) };
        let face = canonical::decode_face(&row.face)?;
        Ok(self.contents(row.index, &row.commit, &face)?.map(|Contents { invoice, issuer }| (invoice, issuer)))
    }

    /// Leaf and state of an issued invoice, for those entitled to it.
    pub fn standing(&self, id: InvoiceId) -> Result<Option<(u64, Verdict)>, EngineError> {
        let mark = self.ledger.mark(id).map(|marked| marked.mark);
        Ok(self.ledger.look_up(id)?.1.map(|row| (row.index, check::state(&row, mark))))
    }

    /// The receipt of the leaf at `index`: the same bytes every time.
    pub fn receipt(&self, index: u64) -> Result<Option<FullReceipt>, EngineError> {
        let Some(receipt) = self.ledger.receipt(index)? else { return Ok(None) };
        let salt = match &receipt.sealed {
            Sealed::Event { salt, .. } => Some(*salt),
            Sealed::Invoice { .. } if self.is_unlocked() => self.salt(index, &receipt.leaf.commit)?,
            Sealed::Invoice { .. } => None,
        };
        Ok(Some(FullReceipt { receipt, salt }))
    }

    /// The salt in the body of the invoice at `index`, or in what is left of one that was erased.
    fn salt(&self, index: u64, commit: &[u8; 32]) -> Result<Option<Salt>, EngineError> {
        let keyring = self.keyring()?;
        let sealed = match self.ledger.body(index)? {
            Some(Kept::Sealed(body)) => body,
            Some(Kept::Erased(Erasure { salt: Some(salt), .. })) => salt,
            Some(Kept::Erased(Erasure { salt: None, .. })) | None => return Ok(None),
        };
        Ok(Some(body::open(&sealed, |key_id| keyring.data_key(key_id), commit)?.salt))
    }

    /// Recomputes everything that the ledger says; what needs secret keys is skipped and said to be.
    pub fn fsck(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<FsckReport, EngineError> {
        Ok(self.ledger.fsck(&thorough(self.ledger.keyring().as_deref(), progress)?)?)
    }
}

/// The secret keys of a data directory, if there is a passphrase.
fn read_keyring(config: &Config) -> Result<Option<Keyring>, EngineError> {
    config.passphrase.as_ref().map(|passphrase| open_keyring(&config.directory, passphrase)).transpose()
}

/// The token, if there is one to reach. Nothing is asked of it yet.
fn reach(config: Option<&TokenConfig>) -> Result<Option<Arc<Hsm>>, EngineError> {
    config.map(|config| Hsm::new(config).map(Arc::new)).transpose().map_err(EngineError::TokenThreads)
}

fn reaching(keyring: Keyring, token: Option<&Arc<Hsm>>) -> Result<Keyring, EngineError> {
    let Some(token) = token else { return Ok(keyring) };
    let token: Arc<dyn Token> = Arc::<Hsm>::clone(token);
    Ok(keyring.reaching(&token)?)
}

/// A new key of this role. One that is made in the token and then not named by a key file stays there and does no harm.
fn new_key(role: Role, place: KeyPlace, token: Option<&Arc<Hsm>>) -> Result<SecretKey, EngineError> {
    let key = match place {
        KeyPlace::Token => SecretKey::in_token(role, token.ok_or(EngineError::NoToken)?.generate(role, random()?)?),
        KeyPlace::File => match SecretKey::signing(role, random_secret()?) {
            Some(key) => Some(key),
            None => SecretKey::symmetric(role, KeyId(random()?), random_secret()?),
        },
    };
    key.ok_or(EngineError::Rotation(RotationFault::NotInToken(role)))
}

/// As [`Engine::fsck`], of a ledger that is not open, whether it would open or not. Nothing is written.
pub fn fsck_at(directory: &Path, secrets: Option<&Keyring>, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<FsckReport, EngineError> {
    Ok(Ledger::fsck_at(&directory.to_owned().into(), StoreSizes::default(), &thorough(secrets, progress)?)?)
}

/// A check on all cores.
fn thorough<'a>(secrets: Option<&'a Keyring>, progress: &'a (dyn Fn(u64, u64) + Sync)) -> Result<Fsck<'a>, EngineError> {
    let workers = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    Ok(Fsck { secrets, progress, seed: random()?, workers })
}

fn parse_host(text: &str) -> Result<Host, EngineError> {
    Host::parse(text).ok_or_else(|| EngineError::Host(text.to_owned()))
}

/// The secret keys of a data directory.
pub fn open_keyring(directory: &Path, passphrase: &str) -> Result<Keyring, EngineError> {
    unlock(directory, passphrase).map(|(keyring, _)| keyring)
}

fn unlock(directory: &Path, passphrase: &str) -> Result<(Keyring, Passkey), EngineError> {
    let path = keyring_path(directory);
    let sealed = read_bounded(&path, KEY_FILE_BYTES_MAX)?;
    keyfile::unlock(&sealed, passphrase).map_err(|error| EngineError::Keyring { path, error })
}
