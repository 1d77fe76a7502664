//! Who may call: enrolling, tokens, and what depends on who asks.

use std::sync::Arc;

use dashmap::{DashMap, Entry};

use super::audit::DONE;
use super::{Engine, EngineError, random};
use crate::crypto::sign::{PublicKey, PublicKeyError};
use crate::crypto::token::Token;
use crate::domain::audit::Act;
use crate::domain::caller::{Caller, CallerId, Region, Role};
use crate::domain::kind::area_code;
use crate::domain::number::InvoiceCode;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::UnixMillis;
use crate::ledger::Enrolled;
use crate::limits::{CALLER_LABEL_BYTES_MAX, CALLER_REGIONS_MAX, CALLER_TAXPAYERS_MAX, CALLERS_CACHED_MAX};

/// Where a caller may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Territory {
    /// Said to be so, not left out.
    WholeCountry,
    /// These regions; none is for roles that are not bound to any.
    Regions(Vec<Region>),
}

/// Somebody to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCaller {
    /// What it is.
    pub role: Role,
    /// Whom it acts for.
    pub taxpayers: Vec<TaxpayerId>,
    /// Where it may act.
    pub regions: Territory,
    /// An issuer's Ed25519 key: with it, each of its submissions must be signed.
    pub issuer_key: Option<[u8; 32]>,
    /// What an administrator calls it; one line.
    pub label: String,
    /// First instant at which its token counts no more.
    pub expires: Option<UnixMillis>,
}

/// Why somebody cannot be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentFault {
    /// Whoever has no token is nobody in particular.
    #[error("the anonymous need no token")]
    Anonymous,
    /// An issuer issues for somebody.
    #[error("an issuer acts for at least one taxpayer")]
    NoTaxpayer,
    /// Operators and departments act somewhere.
    #[error("name the regions, or say that it is the whole country")]
    NoRegion,
    /// More than a row holds.
    #[error("at most {CALLER_TAXPAYERS_MAX} taxpayers and {CALLER_REGIONS_MAX} regions")]
    TooMany,
    /// Not one line, or too long a one.
    #[error("a label is one line of at most {CALLER_LABEL_BYTES_MAX} bytes")]
    Label,
    /// Only issuers sign submissions.
    #[error("only an issuer registers a key")]
    KeyOfNoIssuer,
    /// Not a sound public key.
    #[error("the issuer's key: {0}")]
    Key(PublicKeyError),
    /// It would never count.
    #[error("the token would have expired already")]
    Expired,
}

/// A caller as it is listed: without the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: CallerId,
    /// What it is and may.
    pub caller: Caller,
    /// What an administrator calls it.
    pub label: String,
    /// Since when.
    pub created: UnixMillis,
    /// First instant at which its token counts no more.
    pub expires: Option<UnixMillis>,
    /// When its token was revoked.
    pub revoked: Option<UnixMillis>,
}

/// What is known of a token's caller without asking the disk.
#[derive(Debug)]
pub(super) struct Known {
    caller: Arc<Caller>,
    token_hash: [u8; 32],
    expires: Option<UnixMillis>,
}

/// Callers whose tokens were shown lately, none of them revoked.
pub(super) type KnownCallers = DashMap<CallerId, Arc<Known>>;

impl NewCaller {
    fn check(&self, now: UnixMillis) -> Result<Vec<Region>, EnrolmentFault> {
        let regions = match &self.regions {
            Territory::WholeCountry => Vec::new(),
            Territory::Regions(regions) if regions.is_empty() && matches!(self.role, Role::Operator | Role::Department) => {
                return Err(EnrolmentFault::NoRegion);
            }
            Territory::Regions(regions) => regions.clone(),
        };
        if self.role == Role::Anonymous {
            return Err(EnrolmentFault::Anonymous);
        }
        if self.role == Role::Issuer && self.taxpayers.is_empty() {
            return Err(EnrolmentFault::NoTaxpayer);
        }
        if self.taxpayers.len() > CALLER_TAXPAYERS_MAX || regions.len() > CALLER_REGIONS_MAX {
            return Err(EnrolmentFault::TooMany);
        }
        if self.label.len() > CALLER_LABEL_BYTES_MAX || self.label.chars().any(char::is_control) {
            return Err(EnrolmentFault::Label);
        }
        check_key(self.role, self.issuer_key.as_ref())?;
        if self.expires.is_some_and(|expires| expires <= now) { Err(EnrolmentFault::Expired) } else { Ok(regions) }
    }
}

fn check_key(role: Role, key: Option<&[u8; 32]>) -> Result<(), EnrolmentFault> {
    match key {
        None => Ok(()),
        Some(_) if role != Role::Issuer => Err(EnrolmentFault::KeyOfNoIssuer),
        Some(key) => PublicKey::parse(key).map(drop).map_err(EnrolmentFault::Key),
    }
}

impl Engine {
    /// Enrols a caller. The token is in no file and cannot be shown again.
    pub fn enrol(&self, new: NewCaller, by: &Caller) -> Result<(CallerId, Token), EngineError> {
        self.keyring()?;
        let created = self.now();
        let regions = new.check(created).map_err(EngineError::Enrolment)?;
        let id = CallerId(random()?);
        let token = Token::new(id, random()?);
        let NewCaller { role, taxpayers, issuer_key, label, expires, .. } = new;
        let caller = Caller { id: Some(id), role, taxpayers, regions, issuer_key };
        let enrolled = Enrolled { id, caller, token_hash: token.hash(), label, created, expires, revoked: None };
        let entry = self.entry(by, Act::CallerAdded, &id.to_string(), DONE)?;
        self.ledger.registry().change(id, entry, |there| match there {
            None => Ok(enrolled),
            // Drawn before, by one chance in 2^64 for each caller there is.
            Some(_) => Err(EngineError::CallerExists(id)),
        })?;
        Ok((id, token))
    }

    /// Whose token this is, if it counts now.
    pub fn authenticate(&self, token: &str) -> Result<Option<Arc<Caller>>, EngineError> {
        let Some(token) = Token::parse(token) else { return Ok(None) };
        let Some(known) = self.known(token.id())? else { return Ok(None) };
        let counts = token.has_hash(&known.token_hash) && known.expires.is_none_or(|expires| self.now() < expires);
        Ok(counts.then(|| Arc::clone(&known.caller)))
    }

    fn known(&self, id: CallerId) -> Result<Option<Arc<Known>>, EngineError> {
        if let Some(known) = self.known_callers.get(&id) {
            return Ok(Some(Arc::clone(&known)));
        }
        if self.known_callers.len() >= CALLERS_CACHED_MAX {
            self.known_callers.clear();
        }
        match self.known_callers.entry(id) {
            Entry::Occupied(known) => Ok(Some(Arc::clone(known.get()))),
            // The shard stays locked over one point read: a caller that is revoked meanwhile is forgotten after it was remembered, not before.
            Entry::Vacant(slot) => {
                let Some(Enrolled { caller, token_hash, expires, revoked: None, .. }) = self.ledger.registry().caller(id)? else { return Ok(None) };
                let known = Arc::new(Known { caller: Arc::new(caller), token_hash, expires });
                slot.insert(Arc::clone(&known));
                Ok(Some(known))
            }
        }
    }

    /// Callers after `after`, by id: at most `limit`, and at most a page. Revoked and expired ones are among them.
    pub fn callers(&self, after: Option<CallerId>, limit: usize) -> Result<Vec<Listed>, EngineError> {
        let listed =
            |Enrolled { id, caller, token_hash: _, label, created, expires, revoked }| Listed { id, caller, label, created, expires, revoked };
        Ok(self.ledger.registry().callers(after, limit)?.into_iter().map(listed).collect())
    }

    /// A caller's token counts no more, from now on and for ever. Revoked again, it stays revoked since the first time.
    pub fn revoke_caller(&self, id: CallerId, by: &Caller) -> Result<(), EngineError> {
        let now = self.now();
        self.change_caller(id, by, Act::CallerRevoked, |enrolled| {
            enrolled.revoked.get_or_insert(now);
            Ok(())
        })
    }

    /// Registers an issuer's key in place of the one it had, or takes it away: from then on its submissions must be signed, or must not be.
    pub fn set_issuer_key(&self, id: CallerId, key: Option<[u8; 32]>, by: &Caller) -> Result<(), EngineError> {
        self.change_caller(id, by, Act::IssuerKeySet, |enrolled| {
            check_key(enrolled.caller.role, key.as_ref()).map_err(EngineError::Enrolment)?;
            enrolled.caller.issuer_key = key;
            Ok(())
        })
    }

    fn change_caller(
        &self,
        id: CallerId,
        by: &Caller,
        act: Act,
        change: impl FnOnce(&mut Enrolled) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.keyring()?;
        let entry = self.entry(by, act, &id.to_string(), DONE)?;
        let changed = self.ledger.registry().change(id, entry, |there| {
            let mut enrolled = there.ok_or(EngineError::NoSuchCaller(id))?;
            change(&mut enrolled)?;
            Ok(enrolled)
        });
        // Whatever came of it: a write that failed may be found on the disk later.
        self.known_callers.remove(&id);
        changed
    }

    /// Whether a caller may act on numbers of this code: its regions have the code's area.
    pub fn may_act_in(caller: &Caller, code: &InvoiceCode) -> bool {
        caller.acts_in(&area_code(code))
    }
}
