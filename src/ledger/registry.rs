//! What the log does not say and nobody may lose: who may call, and what was done with a privilege. Private, in no event, and in every backup as it is.
//!
//! The trail is only ever appended to, and an entry is on disk before whoever did the act is answered. Entries that come while another is on its way
//! to the disk share the next write. Numbers ascend; one is left out only where a write failed and it is not known what of it was kept.

use std::sync::{Arc, Mutex, PoisonError};

use super::SubmitError;
use super::erasure::ERASING;
use super::group::Group;
use super::store::{Store, StoreError};
use super::tables::{Audit, Bodies, Callers, Meta, Table as _};
use super::value::{AuditRecord, CallerRecord, ValueError};
use crate::crypto::body::Erasure;
use crate::domain::audit::{Act, Entry};
use crate::domain::caller::{Caller, CallerId, Region, Role};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::UnixMillis;
use crate::limits::PAGE_ROWS_MAX;

/// A caller as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub id: CallerId,
    /// What it is and may, with its id.
    pub caller: Caller,
    /// Hash of its token's secret.
    pub token_hash: [u8; 32],
    /// What an administrator calls it.
    pub label: String,
    /// Since when.
    pub created: UnixMillis,
    /// First instant at which its token counts no more.
    pub expires: Option<UnixMillis>,
    /// When its token was revoked.
    pub revoked: Option<UnixMillis>,
}

impl Enrolled {
    /// Whether its token counts at `now`.
    pub fn is_in_force(&self, now: UnixMillis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    fn record(&self) -> CallerRecord {
        CallerRecord {
            role: self.caller.role.number(),
            taxpayers: self.caller.taxpayers.iter().map(|id| id.as_str().to_owned()).collect(),
            regions: self.caller.regions.iter().map(|region| region.as_str().to_owned()).collect(),
            issuer_key: self.caller.issuer_key,
            token_hash: self.token_hash,
            label: self.label.clone(),
            created_ms: self.created.0,
            expires_ms: self.expires.map(|expires| expires.0),
            revoked_ms: self.revoked.map(|revoked| revoked.0),
        }
    }

    /// What a row says; an error if it says nothing that this program knows.
    pub(super) fn of(id: CallerId, record: CallerRecord) -> Result<Enrolled, ValueError> {
        let taxpayers = record.taxpayers.iter().map(|text| TaxpayerId::parse(text)).collect::<Option<_>>();
        let regions = record.regions.iter().map(|text| Region::parse(text)).collect::<Option<_>>();
        let caller = Caller {
            id: Some(id),
            role: Role::from_number(record.role).ok_or(ValueError::OutOfRange("role"))?,
            taxpayers: taxpayers.ok_or(ValueError::OutOfRange("taxpayer"))?,
            regions: regions.ok_or(ValueError::OutOfRange("region"))?,
            issuer_key: record.issuer_key,
        };
        Ok(Enrolled {
            id,
            caller,
            token_hash: record.token_hash,
            label: record.label,
            created: UnixMillis(record.created_ms),
            expires: record.expires_ms.map(UnixMillis),
            revoked: record.revoked_ms.map(UnixMillis),
        })
    }
}

/// What a row of the trail says.
pub(super) fn entry_of(record: AuditRecord) -> Result<Entry, ValueError> {
    let entry = Entry {
        time: UnixMillis(record.time_ms),
        by: record.caller.map(CallerId),
        role: Role::from_number(record.role).ok_or(ValueError::OutOfRange("role"))?,
        act: Act::from_number(record.act).ok_or(ValueError::OutOfRange("act"))?,
        subject: record.subject,
        outcome: record.outcome,
    };
    if entry.is_admissible() { Ok(entry) } else { Err(ValueError::OutOfRange("text")) }
}

/// The key of a row of `caller`.
pub(super) fn caller_id(key: &[u8]) -> Option<CallerId> {
    key.try_into().ok().map(CallerId)
}

/// The key of a row of `audit`.
pub(super) fn sequence(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn unfit(table: &'static str, key: &[u8], error: ValueError) -> StoreError {
    StoreError::Value { table, key: data_encoding::HEXLOWER.encode(key), error }
}

/// What must be on the disk with an entry, or not at all.
#[derive(Debug)]
enum Beside {
    Nothing,
    Caller(Enrolled),
    /// What stands in the place of the body of this leaf.
    Erasure(u64, Erasure),
}

/// An entry on its way to the disk, and the row that must be there with it or not at all.
#[derive(Debug)]
struct Waiting {
    entry: Entry,
    beside: Beside,
}

/// Callers and audit trail of a ledger.
#[derive(Debug)]
pub struct Registry {
    store: Arc<Store>,
    /// Held from reading a caller's row until its successor is on disk, so that no change undoes another.
    changing: Mutex<()>,
    /// Knows the next number; `None` until the first one.
    entries: Group<Waiting, Option<u64>, u64>,
}

impl Registry {
    pub(super) fn new(store: Arc<Store>) -> Registry {
        Registry { store, changing: Mutex::default(), entries: Group::default() }
    }

    /// The caller with this id: one point read.
    pub fn caller(&self, id: CallerId) -> Result<Option<Enrolled>, StoreError> {
        let Some(record) = self.store.get::<Callers>(&id)? else { return Ok(None) };
        Enrolled::of(id, record).map(Some).map_err(|error| unfit(Callers::NAME, &id.0, error))
    }

    /// Callers after `after`, in the order of their ids: at most `limit`, and at most [`PAGE_ROWS_MAX`].
    pub fn callers(&self, after: Option<CallerId>, limit: usize) -> Result<Vec<Enrolled>, StoreError> {
        let rows = self.store.scan::<Callers>(&after.unwrap_or(CallerId([0; 8])));
        let mut page = Vec::new();
        for row in rows {
            let (key, record) = row?;
            if page.len() >= limit.min(PAGE_ROWS_MAX) {
                break;
            }
            let id = caller_id(&key).ok_or_else(|| unfit(Callers::NAME, &key, ValueError::OutOfRange("id")))?;
            if after.is_none_or(|after| after < id) {
                page.push(Enrolled::of(id, record).map_err(|error| unfit(Callers::NAME, &key, error))?);
            }
        }
        Ok(page)
    }

    /// Changes the caller with this id as `change` says, with an entry in the trail; both are on disk when this returns, or neither is.
    /// What `change` refuses stays as it is and is said to be so.
    pub fn change<E: From<StoreError> + From<SubmitError>>(
        &self,
        id: CallerId,
        entry: Entry,
        change: impl FnOnce(Option<Enrolled>) -> Result<Enrolled, E>,
    ) -> Result<(), E> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = change(self.caller(id)?)?;
        self.append(entry, Beside::Caller(caller))?;
        Ok(())
    }

    /// Appends an entry to the trail and returns its number once it is on disk.
    pub fn record(&self, entry: Entry) -> Result<u64, SubmitError> {
        self.append(entry, Beside::Nothing)
    }

    /// Puts this in the place of a body, with an entry in the trail; both are on disk when this returns, or neither is. The bytes of the body may still
    /// lie in files of the database.
    pub(super) fn erase(&self, entry: Entry, index: u64, erasure: Erasure) -> Result<u64, SubmitError> {
        self.append(entry, Beside::Erasure(index, erasure))
    }

    fn append(&self, entry: Entry, beside: Beside) -> Result<u64, SubmitError> {
        self.entries.submit(Waiting { entry, beside }, |next, waiting| {
            let first = self.write(next, &waiting).map_err(|error| SubmitError::Unavailable(error.to_string()));
            (0..).zip(waiting).map(|(place, _)| first.clone().map(|first| first + place)).collect()
        })
    }

    /// Writes these entries under numbers that follow each other and returns the first.
    fn write(&self, next: &mut Option<u64>, waiting: &[Waiting]) -> Result<u64, StoreError> {
        let first = match *next {
            Some(next) => next,
            None => match self.store.last::<Audit>()? {
                Some((key, _)) => sequence(&key).map_or(0, |last| last + 1),
                None => 0,
            },
        };
        // Used up whatever comes of it: a write that failed may be found on the disk later.
        *next = Some(first + waiting.len() as u64);
        let mut batch = self.store.batch();
        for (sequence, Waiting { entry, beside }) in (first..).zip(waiting) {
            let Entry { time, by, role, act, subject, outcome } = entry;
            let record = AuditRecord {
                time_ms: time.0,
                caller: by.map(|id| id.0),
                role: role.number(),
                act: act.number(),
                subject: subject.clone(),
                outcome: outcome.clone(),
            };
            batch.put::<Audit>(&sequence, &record);
            match beside {
                Beside::Nothing => {}
                Beside::Caller(caller) => batch.put::<Callers>(&caller.id, &caller.record()),
                Beside::Erasure(index, erasure) => {
                    batch.put_raw::<Bodies>(index, &erasure.encode());
                    batch.put::<Meta>(&ERASING, &index.to_be_bytes().to_vec());
                }
            }
        }
        batch.commit(true)?;
        Ok(first)
    }

    /// Entries from number `from` on, with their numbers: at most `limit`, and at most [`PAGE_ROWS_MAX`].
    pub fn entries(&self, from: u64, limit: usize) -> Result<Vec<(u64, Entry)>, StoreError> {
        let mut page = Vec::new();
        for row in self.store.scan::<Audit>(&from).take(limit.min(PAGE_ROWS_MAX)) {
            let (key, record) = row?;
            let number = sequence(&key).ok_or_else(|| unfit(Audit::NAME, &key, ValueError::OutOfRange("number")))?;
            page.push((number, entry_of(record).map_err(|error| unfit(Audit::NAME, &key, error))?));
        }
        Ok(page)
    }
}
