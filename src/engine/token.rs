//! Keys in a token (密码机, PKCS#11): sessions that a few threads hold, so that a token that hangs holds nobody up for longer than [`TOKEN_ANSWER_MS`].
//!
//! A session that fails, or signs wrongly, is dropped and opened anew, once for each request; if the token cannot be reached at all, its module is loaded
//! afresh, because some find a token that came back only then. Whoever has logged in has reached it: what fails after that says nothing of what others ask.
//! A wrong PIN is tried once and never again by this process: tokens lock after a few.

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
use crate::limits::{
    KEYRING_KEYS_MAX, TOKEN_ANSWER_MS, TOKEN_AT_ONCE_MS, TOKEN_KEYS_MAX, TOKEN_REST_MS, TOKEN_SESSIONS_MAX, TOKEN_SPARED_MS, TOKEN_TURN_MS,
};

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
    /// One thread logs in at a time, so that a wrong PIN is tried once; and one hangs up, since with the last session the token logs out.
    login: Mutex<()>,
    refused: AtomicBool,
    /// Set while the token cannot be reached.
    rest: Mutex<Option<Rest>>,
    /// Keys that did not sign at once, by CKA_ID, and when.
    spared: Mutex<BTreeMap<Vec<u8>, Instant>>,
    /// Requests that came to an end, well or not: where that goes on there is a crowd, and else a token that hangs.
    ended: AtomicU64,
}

/// How much whoever asks depends on the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Answer,
    /// Only if it comes at once.
    AtOnce,
}

/// What keeps everybody from waiting, one after the other, for a token that does not answer.
struct Rest {
    since: Instant,
    trouble: Trouble,
    /// Somebody is finding out whether it is over.
    tried: bool,
}

impl Rest {
    fn lasts(&self) -> bool {
        self.tried || self.since.elapsed() < Duration::from_millis(TOKEN_REST_MS)
    }
}

/// Why the token did not do as it was asked.
#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    of: Fault,
}

/// Whom trouble concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Everybody: the token cannot be reached.
    Token,
    /// Whoever asked for this: the token was reached and did not do it.
    Request,
    /// Nobody: so many ask that the turn of this one did not come.
    Crowd,
}

/// Of what is asked in a session.
impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::request(error.to_string())
    }
}

impl Trouble {
    fn token(reason: impl Into<String>) -> Trouble {
        Trouble { reason: reason.into(), of: Fault::Token }
    }

    fn late(milliseconds: u64) -> Trouble {
        Trouble::token(format!("it has not answered within {} s", milliseconds / 1_000))
    }

    fn request(reason: impl Into<String>) -> Trouble {
        Trouble { reason: reason.into(), of: Fault::Request }
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
            spared: Mutex::default(),
            ended: AtomicU64::new(0),
        });
        // Without room: what is handed in is begun.
        let (jobs, taken) = bounded::<Job>(0);
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

    /// Makes a key for this role that nobody can take out of the token. The id is a new one.
    pub(super) fn generate(&self, role: Role, id: [u8; 16]) -> Result<TokenKey, SignError> {
        let token = self.reach.token.clone();
        let made = self.ask(Need::Answer, move |connection| {
            // What a first try that failed half-way left there would be found beside the key.
            connection.destroy(&id)?;
            let public = connection.generate(role, &id)?;
            // Before anything relies on it, and found as it will be found from then on.
            connection.sign(&id, &public, &id)?;
            Ok(TokenKey { public, token: token.clone(), id: id.to_vec() })
        });
        made.map_err(|trouble| self.reach.told(trouble))
    }

    /// Our private keys in the token, whether a key file names them or not.
    pub(super) fn keys(&self) -> Result<Vec<KeyInToken>, SignError> {
        self.ask(Need::Answer, |connection| connection.keys()).map_err(|trouble| self.reach.told(trouble))
    }

    fn sign_for(&self, need: Need, key: &TokenKey, message: &[u8]) -> Result<[u8; 64], Trouble> {
        let (id, public, message) = (key.id.clone(), key.public, message.to_vec());
        self.ask(need, move |connection| connection.sign(&id, &public, &message))
    }

    /// Has a thread do it, and waits for that no longer than it may take.
    fn ask<T: Send + 'static>(&self, need: Need, work: impl Fn(&mut Connection) -> Result<T, Trouble> + Send + 'static) -> Result<T, Trouble> {
        self.reach.admit()?;
        let (turn_ms, answer_ms) = match need {
            Need::Answer => (TOKEN_TURN_MS, TOKEN_ANSWER_MS),
            Need::AtOnce => (TOKEN_AT_ONCE_MS, TOKEN_AT_ONCE_MS),
        };
        let (begun, ended) = (Instant::now(), self.reach.ended.load(Ordering::Acquire));
        let (reply, answer) = bounded(1);
        let job: Job = Box::new(move |worker| {
            let done = worker.run(&work);
            worker.reach.ended.fetch_add(1, Ordering::AcqRel);
            // Nobody waits for what comes too late.
            drop(reply.send(done));
        });
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.send_deadline(job, begun + Duration::from_millis(turn_ms)).is_ok());
        let done = if taken {
            answer.recv_deadline(begun + Duration::from_millis(answer_ms)).unwrap_or_else(|error| match error {
                RecvTimeoutError::Timeout => Err(Trouble::late(answer_ms)),
                RecvTimeoutError::Disconnected => Err(Trouble::token("its thread has ended; start the program again")),
            })
        } else if self.reach.ended.load(Ordering::Acquire) == ended {
            Err(Trouble::late(turn_ms))
        } else {
            Err(Trouble { reason: "too many ask it at a time".to_owned(), of: Fault::Crowd })
        };
        self.reach.rest_after(need, done.as_ref().err());
        done
    }
}

impl Token for Hsm {
    fn sign(&self, key: &TokenKey, message: &[u8]) -> Result<[u8; 64], SignError> {
        if key.token != self.reach.token {
            return Err(SignError::Unreachable(key.token.clone()));
        }
        self.sign_for(Need::Answer, key, message).map_err(|trouble| self.reach.told(trouble))
    }

    fn sign_at_once(&self, key: &TokenKey, message: &[u8]) -> Option<[u8; 64]> {
        if key.token != self.reach.token || self.reach.is_resting() || self.reach.is_spared(&key.id) {
            return None;
        }
        let signed = self.sign_for(Need::AtOnce, key, message).ok();
        if signed.is_none() {
            self.reach.spare(&key.id);
        }
        signed
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
        let token = self.token.clone();
        match trouble.of {
            Fault::Crowd => SignError::Busy(token),
            Fault::Token | Fault::Request => SignError::Token { token, reason: trouble.reason },
        }
    }

    /// Lets everybody pass while all is well, and else one at a time, every so often.
    fn admit(&self) -> Result<(), Trouble> {
        match self.rest.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(rest) if rest.lasts() => Err(rest.trouble.clone()),
            Some(rest) => {
                rest.tried = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn is_resting(&self) -> bool {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Rest::lasts)
    }

    fn rest_after(&self, need: Need, trouble: Option<&Trouble>) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) if trouble.of == Fault::Token && need == Need::Answer => {
                *rest = Some(Rest { since: Instant::now(), trouble: trouble.clone(), tried: false });
            }
            // It is not known whether it is over, nor that there is anything.
            Some(trouble) if trouble.of != Fault::Request => {
                if let Some(rest) = rest.as_mut() {
                    (rest.since, rest.tried) = (Instant::now(), false);
                }
            }
            Some(_) | None => *rest = None,
        }
    }

    /// Whether this key did not sign at once a moment ago.
    fn is_spared(&self, id: &[u8]) -> bool {
        let spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.get(id).is_some_and(|since| since.elapsed() < Duration::from_millis(TOKEN_SPARED_MS))
    }

    fn spare(&self, id: &[u8]) {
        let mut spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        spared.retain(|_, since| since.elapsed() < Duration::from_millis(TOKEN_SPARED_MS));
        spared.insert(id.to_vec(), Instant::now());
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
        let unreached = |error: Error| Trouble::token(error.to_string());
        let wrong_pin = || Trouble::token("the PIN is wrong, or locked; it is not tried again, lest the token lock: put it right and start again");
        if self.refused.load(Ordering::Acquire) {
            return Err(wrong_pin());
        }
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let module = loaded.as_ref().ok_or_else(|| Trouble::token("its module is not loaded"))?;
        let mut slots = module.get_slots_with_initialized_token().map_err(unreached)?.into_iter();
        let is_ours = |slot: &cryptoki::slot::Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == self.token);
        let slot = slots.find(is_ours).ok_or_else(|| Trouble::token(format!("{} has no token of this label", self.module.display())))?;
        let session = module.open_rw_session_no_drop(slot).map_err(unreached)?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinLocked | RvError::PinExpired, _)) => {
                self.refused.store(true, Ordering::Release);
                return Err(wrong_pin());
            }
            Err(error) => return Err(unreached(error)),
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
        let _turn = self.reach.login.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.reach.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let of_now = |connection: &Connection| loaded.is_some() && connection.times == self.reach.times.load(Ordering::Acquire);
        if let Some(connection) = self.connection.take().filter(of_now) {
            // A session that is broken need not close.
            drop(connection.session.close());
        }
    }
}

impl Connection {
    /// A signature that holds: one that does not says that this session is of no use.
    fn sign(&mut self, id: &[u8], public: &PublicKey, message: &[u8]) -> Result<[u8; 64], Trouble> {
        let key = self.private_key(id)?;
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        let signature = self.session.sign(&mechanism, key, message)?;
        let holds = |signature: &[u8; 64]| public.verify(message, signature);
        <[u8; 64]>::try_from(signature).ok().filter(holds).ok_or_else(|| Trouble::request("its signature does not hold, and was not used"))
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
            return Err(Trouble::request(format!("{reason}; bring the token back as it was, or replace the key: fapiao keys rotate")));
        };
        if self.handles.len() < KEYRING_KEYS_MAX {
            self.handles.insert(id.to_vec(), key);
        }
        Ok(key)
    }

    fn destroy(&mut self, id: &[u8; 16]) -> Result<(), Trouble> {
        for object in self.session.find_objects(&[Attribute::Id(id.to_vec())])? {
            self.session.destroy_object(object)?;
        }
        Ok(())
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
        let (public, _) = self.session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
        let point = self.session.get_attributes(public, &[AttributeType::EcPoint])?.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        // The key as it is, or as an OCTET STRING.
        let point = point.unwrap_or_default();
        let bytes = point.strip_prefix(b"\x04\x20").unwrap_or(&point);
        let key = <[u8; 32]>::try_from(bytes).ok().and_then(|bytes| PublicKey::parse(&bytes).ok());
        key.ok_or_else(|| Trouble::request("the public key that it made is no Ed25519 key"))
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
