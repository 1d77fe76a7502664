//! The log's side of witnessing: what is submitted to witnesses, what they sign, and which checkpoint may be published by the trust policy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::{Engine, EngineError, LoggedEvent};
use crate::codec::event::{EventData, PolicyNotice};
use crate::crypto::add_checkpoint::AddCheckpoint;
use crate::crypto::cosignature::Seconds;
use crate::crypto::note::Note;
use crate::crypto::policy::Policy;
use crate::ledger::Published;
use crate::limits::POLICIES_SHOWN_MAX;

/// The policy, and the newest checkpoint that meets it.
#[derive(Debug, Default)]
pub(super) struct Cosigning {
    /// With its text.
    policy: OnceLock<(Policy, String)>,
    /// The log tells of it.
    told: AtomicBool,
    /// Held for as long as it takes to copy an Arc.
    newest: RwLock<Option<Arc<Cosigned>>>,
}

/// A checkpoint that enough witnesses cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Leaves.
    pub size: u64,
    /// The note with their lines.
    pub note: String,
    /// When the first of them saw it, by its own clock: by then the log was that long.
    pub time: Seconds,
}

/// The policies by which checkpoints were published, as the log tells of them.
#[derive(Clone, Debug)]
pub struct PoliciesInLog {
    /// The newest first.
    pub policies: Vec<LoggedEvent>,
    /// The checkpoint that all of them are shown to be in.
    pub checkpoint: String,
}

impl Engine {
    /// Publishes by this policy, of this text, from now on. It is given once.
    pub fn follow_policy(&self, policy: Policy, text: String) -> Result<(), EngineError> {
        let kept = self.ledger.newest_cosigned()?.and_then(|(size, note)| self.by(&policy, size, &note));
        if self.cosigning.policy.set((policy, text)).is_ok() {
            *self.cosigning.newest.write().unwrap_or_else(PoisonError::into_inner) = kept.map(Arc::new);
        }
        Ok(())
    }

    /// Has the log tell of the policy by which this ledger publishes, unless that is what it told last; of none only after one. Whether it had to.
    pub fn log_policy(&self) -> Result<bool, EngineError> {
        if self.cosigning.told.load(Ordering::Acquire) {
            return Ok(false);
        }
        self.ledger.may_write()?;
        let told = self.ledger.policy_before(u64::MAX)?;
        let text = match self.cosigning.policy.get() {
            Some((_, text)) => text,
            None if told.is_some() => Policy::NONE,
            None => return Ok(false),
        };
        let news = told.as_ref().is_none_or(|(_, before)| before != text);
        if news {
            let policy = PolicyNotice { previous: told.map(|(index, _)| index), text: text.to_owned() };
            self.announce(&EventData::Policy(policy))?;
        }
        self.cosigning.told.store(true, Ordering::Release);
        Ok(news)
    }

    /// The policies that the log tells of before a leaf, or of all, the newest first and at most [`POLICIES_SHOWN_MAX`], in the published checkpoint.
    pub fn policies(&self, before: Option<u64>) -> Result<PoliciesInLog, EngineError> {
        let published = self.ledger.published();
        let (mut policies, mut before) = (Vec::new(), before.unwrap_or(published.size).min(published.size));
        while policies.len() < POLICIES_SHOWN_MAX
            && let Some((index, _)) = self.ledger.policy_before(before)?
        {
            policies.push(self.logged_event(index, published.size)?);
            before = index;
        }
        Ok(PoliciesInLog { policies, checkpoint: published.note.clone() })
    }

    /// The policy by which it publishes, if it has one.
    pub fn policy(&self) -> Option<&Policy> {
        self.cosigning.policy.get().map(|(policy, _)| policy)
    }

    /// The newest checkpoint that meets the policy.
    pub fn cosigned(&self) -> Option<Arc<Cosigned>> {
        self.cosigning.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The checkpoint that everybody is shown: the newest one or, where a policy asks for witnesses, the newest one that enough of them cosigned.
    pub fn checkpoint(&self) -> Option<String> {
        let published = self.ledger.published();
        let cosigned = self.cosigned();
        match self.policy() {
            Some(policy) if !policy.asks_for_none() => cosigned.map(|cosigned| cosigned.note.clone()),
            Some(_) | None => Some(
                cosigned.filter(|cosigned| cosigned.size == published.size).map_or_else(|| published.note.clone(), |cosigned| cosigned.note.clone()),
            ),
        }
    }

    fn by(&self, policy: &Policy, size: u64, note: &Note) -> Option<Cosigned> {
        let times = policy.cosigned(note, self.now().0 / 1_000);
        let is_met = policy.is_quorum(times.iter().map(|(at, _)| *at));
        let time = times.iter().map(|(_, time)| *time).min();
        is_met.then(|| Cosigned { size, note: note.encode(), time: time.unwrap_or_default() })
    }

    /// What a witness that cosigned a checkpoint of `old_size` last is sent with a published checkpoint.
    pub fn submission(&self, published: &Published, old_size: u64) -> Result<String, EngineError> {
        let proof = if old_size == 0 { Vec::new() } else { self.ledger.consistency(old_size, published.size)? };
        Ok(AddCheckpoint::encode(old_size, &proof, &published.note))
    }

    /// Takes in what witnesses cosigned. `None` if it is not enough by the policy, and is then not kept.
    pub fn take_cosigned(&self, size: u64, note: &Note) -> Result<Option<Arc<Cosigned>>, EngineError> {
        let Some(cosigned) = self.policy().and_then(|policy| self.by(policy, size, note)).map(Arc::new) else { return Ok(None) };
        self.ledger.keep_cosigned(size, note)?;
        let mut newest = self.cosigning.newest.write().unwrap_or_else(PoisonError::into_inner);
        // Never an older one after a newer.
        if newest.as_ref().is_none_or(|newest| newest.size <= size) {
            *newest = Some(Arc::clone(&cosigned));
        }
        Ok(Some(cosigned))
    }

    /// Stops signing because of what witnesses say, if they are as many as the policy asks for. Whether they are.
    pub fn take_dispute(&self, witnesses: &[usize], said: &str) -> Result<bool, EngineError> {
        let decisive = self.policy().is_some_and(|policy| !policy.asks_for_none() && policy.is_quorum(witnesses.iter().copied()));
        if decisive {
            self.ledger.dispute(said)?;
        }
        Ok(decisive)
    }
}
