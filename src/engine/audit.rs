//! The audit trail: every privileged act and every disclosure of a body, written before whoever did it is answered.

use super::{Engine, EngineError};
use crate::domain::audit::{Act, Entry};
use crate::domain::caller::Caller;

/// What came of an act that was done.
pub const DONE: &str = "done";

impl Engine {
    /// Enters an act into the trail and returns its number once it is on disk. Subject and outcome are ids and codes, printable ASCII.
    pub fn record(&self, by: &Caller, act: Act, subject: &str, outcome: &str) -> Result<u64, EngineError> {
        // Without its keys a ledger is only looked at.
        self.keyring()?;
        Ok(self.ledger.registry().record(self.entry(by, act, subject, outcome)?)?)
    }

    /// The trail from number `from` on, with the numbers: at most `limit`, and at most a page.
    pub fn audit_entries(&self, from: u64, limit: usize) -> Result<Vec<(u64, Entry)>, EngineError> {
        Ok(self.ledger.registry().entries(from, limit)?)
    }

    pub(super) fn entry(&self, by: &Caller, act: Act, subject: &str, outcome: &str) -> Result<Entry, EngineError> {
        let entry = Entry { time: self.now(), by: by.id, role: by.role, act, subject: subject.to_owned(), outcome: outcome.to_owned() };
        if entry.is_admissible() { Ok(entry) } else { Err(EngineError::AuditText) }
    }
}
