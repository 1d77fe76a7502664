//! Questions per minute: a token bucket for each asker, kept as the instant at which it will be full again (GCRA). A bucket that is full needs no memory.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Class, Known};
use crate::domain::time::UnixMillis;
use crate::limits::{
    QUOTA_ADDRESS_BURST, QUOTA_ADDRESS_PER_MINUTE, QUOTA_ASKERS_MAX, QUOTA_KEY_BURST, QUOTA_KEY_PER_MINUTE, QUOTA_PHONE_BURST,
    QUOTA_PHONE_PER_MINUTE, QUOTA_PURGE_EVERY_MS, QUOTA_SHARDS,
};

/// How much one asker may ask: `burst` questions at once, and as they are used up `per_minute` new ones, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Questions at once.
    pub burst: NonZeroU32,
    /// Questions a minute.
    pub per_minute: NonZeroU32,
}

/// The policy of each class of askers; none is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Of an address prefix.
    pub address: Option<Policy>,
    /// Of a phone number.
    pub phone: Option<Policy>,
    /// Of an API key.
    pub key: Option<Policy>,
}

/// What was granted, and what the headers of the answer say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Of the questions asked, how many may be answered: the first ones.
    pub granted: u32,
    /// Questions at once.
    pub limit: u32,
    /// In how many seconds as many come anew; rounded up.
    pub window_seconds: u64,
    /// Questions that are left.
    pub remaining: u32,
    /// In how many seconds all are there again; rounded up.
    pub reset_seconds: u64,
    /// Unless all were granted: in how many seconds the others, or as many of them as fit at once, will be; at least 1.
    pub retry_after: Option<u64>,
}

const MICROS_PER_MINUTE: u64 = 60_000_000;

impl Policy {
    /// Neither is nothing: to let nobody ask is no quota.
    pub const fn new(burst: u32, per_minute: u32) -> Option<Policy> {
        match (NonZeroU32::new(burst), NonZeroU32::new(per_minute)) {
            (Some(burst), Some(per_minute)) => Some(Policy { burst, per_minute }),
            _ => None,
        }
    }

    /// How long this many questions take to come anew, in microseconds. Rounded up, so that rounding never adds to a quota.
    fn micros(self, questions: u32) -> u64 {
        (u64::from(questions) * MICROS_PER_MINUTE).div_ceil(u64::from(self.per_minute.get()))
    }

    /// How many questions come anew in this long.
    fn questions(self, micros: u64) -> u32 {
        let questions = u128::from(micros) * u128::from(self.per_minute.get()) / u128::from(MICROS_PER_MINUTE);
        u32::try_from(questions).map_or(self.burst.get(), |questions| questions.min(self.burst.get()))
    }
}

impl Policies {
    /// What is published.
    pub const STANDARD: Policies = Policies {
        address: Policy::new(QUOTA_ADDRESS_BURST, QUOTA_ADDRESS_PER_MINUTE),
        phone: Policy::new(QUOTA_PHONE_BURST, QUOTA_PHONE_PER_MINUTE),
        key: Policy::new(QUOTA_KEY_BURST, QUOTA_KEY_PER_MINUTE),
    };

    pub(super) fn of(&self, class: Class) -> Option<Policy> {
        match class {
            Class::Address => self.address,
            Class::Phone => self.phone,
            Class::Key => self.key,
        }
    }
}

/// When a bucket will be full again, in microseconds since 1970.
type FullAt = u64;

/// The buckets that are not full.
#[derive(Debug)]
pub(super) struct Buckets {
    /// By the first byte of the tag, which is random. Each is locked for one look-up, or for one sweep of [`QUOTA_ASKERS_MAX`] / [`QUOTA_SHARDS`] rows.
    shards: Box<[Mutex<Shard>]>,
    /// Shared, by class, by all who come while there is no room.
    overflow: [Mutex<FullAt>; 3],
}

#[derive(Debug, Default)]
struct Shard {
    full_at: HashMap<[u8; 16], FullAt>,
    swept_ms: u64,
}

const SHARD_MAX: usize = QUOTA_ASKERS_MAX / QUOTA_SHARDS;

impl Buckets {
    pub(super) fn new() -> Buckets {
        Buckets { shards: (0..QUOTA_SHARDS).map(|_| Mutex::default()).collect(), overflow: Default::default() }
    }

    pub(super) fn take(&self, known: &Known, policy: Policy, wanted: u32, now: UnixMillis) -> Rate {
        let mut shard = lock(&self.shards[usize::from(known.tag[0]) % QUOTA_SHARDS]);
        if let Some(full_at) = shard.full_at.get_mut(&known.tag) {
            return take(full_at, policy, wanted, now);
        }
        if shard.full_at.len() >= SHARD_MAX && shard.swept_ms.abs_diff(now.0) >= QUOTA_PURGE_EVERY_MS {
            shard.full_at.retain(|_, full_at| *full_at > micros(now));
            shard.swept_ms = now.0;
        }
        if shard.full_at.len() >= SHARD_MAX {
            drop(shard);
            return take(&mut lock(&self.overflow[known.class as usize]), policy, wanted, now);
        }
        let mut full_at = 0;
        let rate = take(&mut full_at, policy, wanted, now);
        if full_at > micros(now) {
            shard.full_at.insert(known.tag, full_at);
        }
        rate
    }

    /// How many askers are remembered.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).full_at.len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(now: UnixMillis) -> u64 {
    now.0.saturating_mul(1_000)
}

fn take(full_at: &mut FullAt, policy: Policy, wanted: u32, now: UnixMillis) -> Rate {
    let now = micros(now);
    let capacity = policy.micros(policy.burst.get());
    // No bucket is emptier than empty: after the clock was set back nobody waits for longer than for that.
    let used = full_at.saturating_sub(now).min(capacity);
    let granted = wanted.min(policy.questions(capacity - used));
    let used = (used + policy.micros(granted)).min(capacity);
    *full_at = now.saturating_add(used);
    let retry_after = (granted < wanted).then(|| {
        let next = policy.micros((wanted - granted).min(policy.burst.get()));
        (next + used).saturating_sub(capacity).div_ceil(1_000_000).max(1)
    });
    Rate {
        granted,
        limit: policy.burst.get(),
        window_seconds: capacity.div_ceil(1_000_000),
        remaining: policy.questions(capacity - used),
        reset_seconds: used.div_ceil(1_000_000),
        retry_after,
    }
}
