//! Checkpoints as witnesses cosigned them, and what witnesses say against this copy. Neither follows from the log.

use super::recovery::{self, Obstacle};
use super::store::{Home, Store, StoreError};
use super::tables::{Cosigned, Policies};
use super::{Ledger, LedgerError};
use crate::codec::event::{Event, EventData};
use crate::crypto::note::{Checkpoint, Note, Origin};
use crate::limits::DISPUTE_BYTES_MAX;

/// `DIR/disputed`: a quorum of witnesses saw another history than this copy has of the log that the first line names.
const DISPUTED: &str = "disputed";

/// What witnesses said against the copy in a directory under this name, if they did. Of a copy that went on under another one they have seen nothing.
pub(super) fn dispute(home: &Home, origin: &Origin) -> Result<Option<String>, StoreError> {
    let path = home.directory.join(DISPUTED);
    let read = home.files.read(&path, DISPUTE_BYTES_MAX).map_err(|error| StoreError::File { path, error })?;
    let text = read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(text.and_then(|text| match text.split_once('\n') {
        Some((named, said)) if Origin::parse(named).is_some() => (named == origin.as_str()).then(|| said.trim_end().to_owned()),
        // Whatever does not say of which is heeded.
        Some(_) | None => Some(text.trim_end().to_owned()),
    }))
}

impl Ledger {
    /// Keeps a checkpoint with its cosignatures. One that is not the published checkpoint of its size is refused.
    pub fn keep_cosigned(&self, size: u64, note: &Note) -> Result<(), LedgerError> {
        let ours = self.checkpoint_at(size)?.and_then(|own| Note::parse(&own).ok());
        if ours.is_none_or(|own| own.text() != note.text()) {
            return Err(LedgerError::Checkpoint { size, reason: "what was cosigned is not what was published".to_owned() });
        }
        let mut batch = self.store.batch();
        batch.put_raw::<Cosigned>(&size, note.encode().as_bytes());
        // It is shown next, and what was shown once must not be taken back by a power cut.
        Ok(batch.commit(true)?)
    }

    /// The newest checkpoint that was kept with its cosignatures, if it is one of this name.
    pub fn newest_cosigned(&self) -> Result<Option<(u64, Note)>, LedgerError> {
        Ok(newest(&self.store)?.filter(|(_, note)| Checkpoint::parse(note.text()).is_ok_and(|stated| stated.origin == *self.origin())))
    }

    /// The newest policy by which checkpoints are published that the log tells of before a leaf: its leaf, and its text.
    pub fn policy_before(&self, index: u64) -> Result<Option<(u64, String)>, LedgerError> {
        let Some((key, data)) = self.store.before::<Policies>(&index)? else { return Ok(None) };
        let index = recovery::index_of(&key, "policy")?;
        match EventData::decode(Event::Policy, &data) {
            Ok(EventData::Policy(policy)) => Ok(Some((index, policy.text))),
            Ok(_) | Err(_) => Err(LedgerError::broken(index, "the row of policy does not decode".into())),
        }
    }

    /// Signs nothing from now on, and after a restart neither: a quorum of witnesses saw another history, in these words.
    pub fn dispute(&self, said: &str) -> Result<(), LedgerError> {
        // Whatever kept it from signing before goes on to do so.
        let _ = self.shared.obstacle.set(Obstacle::Disputed { said: said.to_owned() });
        let home = self.store.home();
        let path = home.directory.join(DISPUTED);
        Ok(home.files.replace(&path, format!("{}\n{said}\n", self.origin()).as_bytes(), true).map_err(|error| StoreError::File { path, error })?)
    }
}

fn newest(store: &Store) -> Result<Option<(u64, Note)>, LedgerError> {
    let Some((key, bytes)) = store.last::<Cosigned>()? else { return Ok(None) };
    let size = recovery::index_of(&key, "cosigned")?;
    let note = std::str::from_utf8(&bytes).ok().and_then(|text| Note::parse(text).ok());
    note.map(|note| Some((size, note))).ok_or_else(|| LedgerError::Checkpoint { size, reason: "its cosigned note does not parse".to_owned() })
}
