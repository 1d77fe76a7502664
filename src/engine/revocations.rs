//! The revocation list (撤销清单): kept up with the log, signed, told to everybody by an event of the log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Engine, EngineError, read_bounded, replace_public};
use crate::codec::event::{EventData, ListNotice};
use crate::codec::revocations::{RevocationList, SignedList};
use crate::crypto::hash;
use crate::crypto::keyring::Logged;
use crate::crypto::note::{Checkpoint, Note};
use crate::domain::time::UnixMillis;
use crate::ledger::Published;
use crate::limits::{REVOCATIONS_BYTES_MAX, REVOCATIONS_ROUNDS_MAX};
use crate::verify::{check, offline};

/// The newest list, and whoever makes the next one.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    /// Held for as long as it takes to copy an Arc.
    newest: RwLock<Option<Arc<SignedList>>>,
    making: Mutex<()>,
}

impl Engine {
    /// The newest list, if one was made or found since the start.
    pub fn revocations(&self) -> Option<Arc<SignedList>> {
        self.revocations.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a list of everything up to now, signs it, logs its digest and keeps it in `DIR/revocations`. The next one is said to be due after
    /// `interval_ms`. Only what was logged since the list before is looked at. `None` if it was not to `go_on`.
    pub fn renew_revocations(&self, interval_ms: u64, go_on: &dyn Fn() -> bool) -> Result<Option<Arc<SignedList>>, EngineError> {
        let _alone = self.revocations.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.may_write()?;
        let keyring = self.keyring()?;
        let authority = keyring.authority();
        let before = match self.revocations() {
            Some(list) => Some(list),
            None => self.kept_revocations()?.map(Arc::new),
        };
        let (mut size, mut tokens) = before.as_ref().map_or((0, Vec::new()), |before| (before.list.size, before.list.tokens().to_vec()));
        let Some(published) = self.catch_up(&mut size, &mut tokens, go_on)? else { return Ok(None) };
        let (made, origin) = (self.now(), self.ledger.origin().clone());
        let next = UnixMillis(made.0.saturating_add(interval_ms));
        let list = RevocationList::new(origin, published.size, published.root, made, next, tokens).ok_or(EngineError::TooManyRevocations)?;
        let count = u32::try_from(list.tokens().len()).unwrap_or(u32::MAX);
        let signed = Arc::new(self.signed(list.signed(authority.key_id, |message| authority.key.sign(message)))?);
        // Logged before anybody sees it, so that there is none that the log does not know.
        let notice = ListNotice { made, size: published.size, tokens: count, digest: hash::sha256(&[signed.as_bytes()]) };
        self.announce(&EventData::RevocationList(notice))?;
        replace_public(&self.revocations_path(), signed.as_bytes())?;
        *self.revocations.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&signed));
        Ok(Some(signed))
    }

    /// Brings tokens up to a published state and returns it.
    fn catch_up(&self, size: &mut u64, tokens: &mut Vec<u64>, go_on: &dyn Fn() -> bool) -> Result<Option<Arc<Published>>, EngineError> {
        let mut read = None;
        for _ in 0..REVOCATIONS_ROUNDS_MAX {
            let published = self.ledger.published();
            let Some(touched) = self.ledger.touched(*size, published.size, go_on)? else { return Ok(None) };
            *size = published.size;
            if touched.is_empty() {
                return Ok(Some(published));
            }
            // What was found may be newer than the state it is found for, so another round follows until nothing has happened in one.
            let mut changes = BTreeMap::new();
            for id in touched {
                let mark = self.ledger.mark(id).map(|marked| marked.mark);
                if let Some(row) = self.ledger.look_up(id)?.1 {
                    changes.insert(hash::revocation_token(&row.commit), offline::is_revoked(check::state(&row, mark)));
                }
            }
            tokens.retain(|token| !changes.contains_key(token));
            tokens.extend(changes.into_iter().filter(|(_, revoked)| *revoked).map(|(token, _)| token));
            read = Some(published);
        }
        // Somebody revokes faster than it can be read: what is on the list is true or newer, and the rest comes with the next one.
        Ok(read)
    }

    fn revocations_path(&self) -> PathBuf {
        self.ledger.directory().join("revocations")
    }

    /// The list that was kept, if it is ours and of this very log: a restored copy may be older than it.
    fn kept_revocations(&self) -> Result<Option<SignedList>, EngineError> {
        // One that cannot be read costs nothing but the time to make another.
        let Ok(bytes) = read_bounded(&self.revocations_path(), REVOCATIONS_BYTES_MAX) else { return Ok(None) };
        let Ok(signed) = SignedList::decode(&bytes) else { return Ok(None) };
        let list = &signed.list;
        let ours = offline::judge_list(&signed, &self.ledger.keys()).is_none();
        let root = self
            .ledger
            .checkpoint_at(list.size)?
            .and_then(|note| Checkpoint::parse(Note::parse(&note).ok()?.text()).ok())
            .map(|checkpoint| checkpoint.root);
        Ok((ours && root == Some(list.root)).then_some(signed))
    }

    /// In how many milliseconds the next list is due: at once without one, or if the key that signed it was stolen.
    pub fn revocations_due_in(&self) -> u64 {
        let (list, keys) = (self.revocations(), self.ledger.keys());
        let sound = list.filter(|list| keys.get(list.key_id).is_some_and(|key| key.is_sound_at(Logged::Unknown)));
        sound.map_or(0, |list| list.list.next.0.saturating_sub(self.now().0))
    }

    /// Serves the list that was kept until the next one is made.
    pub fn take_up_revocations(&self) -> Result<(), EngineError> {
        if let Some(kept) = self.kept_revocations()? {
            self.revocations.newest.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(Arc::new(kept));
        }
        Ok(())
    }
}
