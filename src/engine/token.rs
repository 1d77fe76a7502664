//! Keys in a token (密码机, PKCS#11): sessions that a few threads hold, so that a token that hangs holds nobody up for longer than [`TOKEN_ANSWER_MS`].
//!
//! A session that fails is dropped and opened anew, once for each request; if the token cannot be reached at all, its module is loaded afresh, because some
//! find a token that came back only then. A wrong PIN is tried once and never again by this process: tokens lock after a few.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::codec::event::Role;
use crate::crypto::sign::{PublicKey, SignError, Token, TokenKey};
use crate::limits::{KEYRING_KEYS_MAX, TOKEN_ANSWER_MS, TOKEN_KEYS_MAX, TOKEN_REST_MS, TOKEN_SESSIONS_MAX};

/// The curve as PKCS#11 3.0 names it: a PrintableString.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

/// Beginning of the label of every key that is made here.
const LABEL: &str = "fapiao ";

/// How a token is reached.
pub struct TokenConfig {
    /// The maker's PKCS#11 library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// The user's PIN.
    pub pin: Zeroizing<String>,
}

/// A private key of ours in the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInToken {
    /// Its label: what it was made for.
    pub label: String,
    /// Its CKA_ID.
    pub id: Vec<u8>,
}

/// A token, reached by threads of its own.
pub(super) struct Hsm {
    reach: Arc<Reach>,
    jobs: Option<Sender<Job>>,
    ended: Receiver<()>,
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// What the threads share.
struct Reach {
    module: PathBuf,
    token: String,
    pin: AuthPin,
    /// The library, once it is loaded. Held for reading while anything is asked of it, since nothing may be while it is loaded afresh.
    loaded: RwLock<Option<Pkcs11>>,
    /// How often it was loaded: a session of an earlier time is none.
    times: AtomicU64,
    /// One thread logs in at a time, so that a wrong PIN is tried once.
    login: Mutex<()>,
    refused: AtomicBool,
    /// Set while the token cannot be reached.
    rest: Mutex<Option<Rest>>,
}

/// What keeps everybody from waiting, one after the other, for a token that does not answer.
struct Rest {
    since: Instant,
    trouble: Trouble,
    /// Somebody is finding out whether it is over.
    tried: bool,
}

/// Why the token did not do as it was asked.
#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    /// It is the way to the token that is at fault, not the one key.
    of_token: bool,
}

impl Trouble {
    fn token(reason: impl Into<String>) -> Trouble {
        Trouble { reason: reason.into(), of_token: true }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::token(error.to_string())
    }
}

/// One thread and its session.
struct Worker {
    reach: Arc<Reach>,
    connection: Option<Connection>,
}

struct Connection {
    session: Session,
    times: u64,
    /// By CKA_ID.
    handles: BTreeMap<Vec<u8>, ObjectHandle>,
}

impl Hsm {
    /// Nothing is asked of the token yet.
    pub(super) fn new(config: &TokenConfig) -> std::io::Result<Hsm> {
        let reach = Arc::new(Reach {
            module: config.module.clone(),
            token: config.token.clone(),
            // As long as it is and no longer: a string that shrinks would leave a copy behind.
            pin: AuthPin::from(config.pin.as_str()),
            loaded: RwLock::new(None),
            times: AtomicU64::new(0),
            login: Mutex::new(()),
            refused: AtomicBool::new(false),
            rest: Mutex::new(None),
        });
        let (jobs, taken) = bounded::<Job>(TOKEN_SESSIONS_MAX);
        let (tell_end, ended) = bounded(TOKEN_SESSIONS_MAX);
        for _ in 0..TOKEN_SESSIONS_MAX {
            let (taken, tell_end, reach) = (taken.clone(), tell_end.clone(), Arc::clone(&reach));
            std::thread::Builder::new().name("token".into()).spawn(move || {
                let mut worker = Worker { reach, connection: None };
                for job in taken {
                    job(&mut worker);
                }
                worker.hang_up();
                // There is room for all of them.
                tell_end.send(()).unwrap_or_default();
            })?;
        }
        Ok(Hsm { reach, jobs: Some(jobs), ended })
    }

    /// Makes a key for this role that nobody can take out of the token.
    pub(super) fn generate(&self, role: Role, id: [u8; 16]) -> Result<TokenKey, SignError> {
        let token = self.reach.token.clone();
        self.ask(move |connection| {
            let public = connection.generate(role, &id)?;
            // Before anything relies on it.
            let signature = connection.sign(&id, &id)?;
            if !public.verify(&id, &signature) {
                return Err(Trouble::token("the key that it made does not sign"));
            }
            Ok(TokenKey { public, token: token.clone(), id: id.to_vec() })
        })
    }

    /// Our private keys in the token, whether a key file names them or not.
    pub(super) fn keys(&self) -> Result<Vec<KeyInToken>, SignError> {
        self.ask(|connection| connection.keys())
    }

    /// Has a thread do it, and waits for that no longer than it may take.
    fn ask<T: Send + 'static>(&self, work: impl Fn(&mut Connection) -> Result<T, Trouble> + Send + 'static) -> Result<T, SignError> {
        self.reach.admit().map_err(|trouble| self.reach.told(trouble))?;
        let deadline = Instant::now() + Duration::from_millis(TOKEN_ANSWER_MS);
        let late = || Trouble::token(format!("it has not answered within {} s", TOKEN_ANSWER_MS / 1_000));
        let (reply, answer) = bounded(1);
        let job: Job = Box::new(move |worker| {
            // Nobody waits for what comes too late.
            if Instant::now() < deadline {
                drop(reply.send(worker.run(&work)));
            }
        });
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.send_deadline(job, deadline).is_ok());
        let done = match answer.recv_deadline(deadline) {
            Ok(done) if taken => done,
            Err(RecvTimeoutError::Disconnected) if taken => Err(Trouble::token("its thread has ended; start the program again")),
            Ok(_) | Err(_) => Err(late()),
        };
        self.reach.rest_after(done.as_ref().err().filter(|trouble| trouble.of_token));
        done.map_err(|trouble| self.reach.told(trouble))
    }
}

impl Token for Hsm {
    fn sign(&self, key: &TokenKey, message: &[u8]) -> Result<[u8; 64], SignError> {
        if key.token != self.reach.token {
            return Err(SignError::Unreachable(key.token.clone()));
        }
        let (id, message) = (key.id.clone(), message.to_vec());
        self.ask(move |connection| connection.sign(&id, &message))
    }
}

impl Drop for Hsm {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let deadline = Instant::now() + Duration::from_secs(1);
        let all_ended = (0..TOKEN_SESSIONS_MAX).all(|_| self.ended.recv_deadline(deadline).is_ok());
        // A thread that hangs in the library must not have it taken away.
        if all_ended && let Some(module) = self.reach.loaded.write().unwrap_or_else(PoisonError::into_inner).take() {
            // It is the end of it either way.
            drop(module.finalize());
        }
    }
}

impl Reach {
    fn told(&self, trouble: Trouble) -> SignError {
        SignError::Token { token: self.token.clone(), reason: trouble.reason }
    }

    /// Lets everybody pass while all is well, and else one at a time, every so often.
    fn admit(&self) -> Result<(), Trouble> {
        match self.rest.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(rest) if rest.tried || rest.since.elapsed() < Duration::from_millis(TOKEN_REST_MS) => Err(rest.trouble.clone()),
            Some(rest) => {
                rest.tried = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn rest_after(&self, trouble: Option<&Trouble>) {
        let rest = trouble.map(|trouble| Rest { since: Instant::now(), trouble: trouble.clone(), tried: false });
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }

    /// Loads the library, or loads it afresh; not while anybody is in it.
    fn load(&self) -> Result<(), Trouble> {
        let busy = || Trouble::token("its module is busy with another request");
        let mut loaded = self.loaded.try_write().map_err(|_| busy())?;
        if let Some(before) = loaded.take() {
            // A library that is in no state to end is loaded again all the same.
            drop(before.finalize());
        }
        let at = self.module.display();
        let module = Pkcs11::new(&self.module).map_err(|error| Trouble::token(format!("the module {at} cannot be loaded: {error}")))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(Trouble::token(format!("the module {at} does not start: {error}"))),
        }
        *loaded = Some(module);
        self.times.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn connect(&self) -> Result<Connection, Trouble> {
        let _turn = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.load()?;
        }
        match self.open() {
            Err(_) if !self.refused.load(Ordering::Acquire) => {
                self.load()?;
                self.open()
            }
            opened => opened,
        }
    }

    fn open(&self) -> Result<Connection, Trouble> {
        let wrong_pin = || Trouble::token("the PIN is wrong, or locked; it is not tried again, lest the token lock: put it right and start again");
        if self.refused.load(Ordering::Acquire) {
            return Err(wrong_pin());
        }
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let module = loaded.as_ref().ok_or_else(|| Trouble::token("its module is not loaded"))?;
        let mut slots = module.get_slots_with_initialized_token()?.into_iter();
        let is_ours = |slot: &cryptoki::slot::Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == self.token);
        let slot = slots.find(is_ours).ok_or_else(|| Trouble::token(format!("{} has no token of this label", self.module.display())))?;
        let session = module.open_rw_session_no_drop(slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinLocked | RvError::PinExpired, _)) => {
                self.refused.store(true, Ordering::Release);
                return Err(wrong_pin());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Connection { session, times: self.times.load(Ordering::Acquire), handles: BTreeMap::new() })
    }
}

impl Worker {
    /// Does it in this thread's session; once more in a new one if that fails.
    fn run<T>(&mut self, work: &impl Fn(&mut Connection) -> Result<T, Trouble>) -> Result<T, Trouble> {
        loop {
            let (mut connection, is_new) = match self.connection.take() {
                Some(connection) => (connection, false),
                None => (self.reach.connect()?, true),
            };
            let loaded = self.reach.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if connection.times != self.reach.times.load(Ordering::Acquire) {
                continue;
            }
            let done = work(&mut connection);
            drop(loaded);
            match done {
                Ok(done) => {
                    self.connection = Some(connection);
                    return Ok(done);
                }
                Err(trouble) => {
                    self.connection = Some(connection);
                    self.hang_up();
                    if is_new {
                        return Err(trouble);
                    }
                }
            }
        }
    }

    fn hang_up(&mut self) {
        let loaded = self.reach.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let of_now = |connection: &Connection| loaded.is_some() && connection.times == self.reach.times.load(Ordering::Acquire);
        if let Some(connection) = self.connection.take().filter(of_now) {
            // A session that is broken need not close.
            drop(connection.session.close());
        }
    }
}

impl Connection {
    fn sign(&mut self, id: &[u8], message: &[u8]) -> Result<[u8; 64], Trouble> {
        let key = self.private_key(id)?;
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        let signature = self.session.sign(&mechanism, key, message)?;
        <[u8; 64]>::try_from(signature).map_err(|other| Trouble::token(format!("its signature has {} bytes in place of 64", other.len())))
    }

    fn private_key(&mut self, id: &[u8]) -> Result<ObjectHandle, Trouble> {
        if let Some(known) = self.handles.get(id) {
            return Ok(*known);
        }
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(KeyType::EC_EDWARDS), Attribute::Id(id.to_vec())];
        let found = self.session.find_objects(&wanted)?;
        let hex = data_encoding::HEXLOWER.encode(id);
        let [key] = found[..] else {
            let reason = if found.is_empty() { format!("it has no key {hex}") } else { format!("it has several keys {hex}") };
            return Err(Trouble {
                reason: format!("{reason}; bring the token back as it was, or replace the key: fapiao keys rotate"),
                of_token: false,
            });
        };
        if self.handles.len() < KEYRING_KEYS_MAX {
            self.handles.insert(id.to_vec(), key);
        }
        Ok(key)
    }

    fn generate(&mut self, role: Role, id: &[u8; 16]) -> Result<PublicKey, Trouble> {
        let label = format!("{LABEL}{}", role.name()).into_bytes();
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(EDWARDS25519.to_vec()),
            Attribute::Label(label.clone()),
            Attribute::Id(id.to_vec()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Label(label),
            Attribute::Id(id.to_vec()),
        ];
        let (public, private) = self.session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
        let point = self.session.get_attributes(public, &[AttributeType::EcPoint])?.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        // The key as it is, or as an OCTET STRING.
        let point = point.unwrap_or_default();
        let bytes = point.strip_prefix(b"\x04\x20").unwrap_or(&point);
        let key = <[u8; 32]>::try_from(bytes).ok().and_then(|bytes| PublicKey::parse(&bytes).ok());
        let key = key.ok_or_else(|| Trouble::token("the public key that it made is no Ed25519 key"))?;
        self.handles.insert(id.to_vec(), private);
        Ok(key)
    }

    fn keys(&mut self) -> Result<Vec<KeyInToken>, Trouble> {
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(KeyType::EC_EDWARDS)];
        let mut keys = Vec::new();
        for object in self.session.find_objects(&wanted)?.into_iter().take(TOKEN_KEYS_MAX) {
            let mut key = KeyInToken { label: String::new(), id: Vec::new() };
            for attribute in self.session.get_attributes(object, &[AttributeType::Label, AttributeType::Id])? {
                match attribute {
                    Attribute::Label(label) => key.label = String::from_utf8_lossy(&label).into_owned(),
                    Attribute::Id(id) => key.id = id,
                    _ => {}
                }
            }
            if key.label.starts_with(LABEL) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}
