//! The half that decides: submissions become entries of the open frame.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Job, Reply, Tools, answer};
use crate::codec::event::{Event, EventData, Role};
use crate::codec::leaf::Leaf;
use crate::crypto::crossfoot::Crossfoot;
use crate::crypto::hash;
use crate::crypto::keyring::{Keyring, Logged, PublicKeys};
use crate::crypto::merkle::{self, FullTile, Tree};
use crate::crypto::note::Checkpoint;
use crate::crypto::sign::SignError;
use crate::domain::allotment::NumberRange;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::ledger::decide::{self, Decision, State, Unplaced};
use crate::ledger::faults::{Bug, planted};
use crate::ledger::frame::{self, Entry, Frame};
use crate::ledger::recovery::{self, Obstacle, Recovered, Standing};
use crate::ledger::state::{self, Rows};
use crate::ledger::submission::{Outcome, SealedEvent, Submission};
use crate::ledger::tables::Invoices;
use crate::ledger::value::{EventSeal, InvRecord, InvoiceSeal, Seal};
use crate::ledger::{Book, LedgerError, SubmitError};
use crate::limits::{CLOCK_BEHIND_MAX_MS, FRAME_ENTRIES_MAX};

/// The state that the log continues from.
pub(in crate::ledger) struct Head {
    pub(in crate::ledger) tree: Tree,
    pub(in crate::ledger) crossfoot: Crossfoot,
    pub(in crate::ledger) book: Book,
    pub(in crate::ledger) time: UnixMillis,
    pub(in crate::ledger) keys: Arc<PublicKeys>,
}

impl Head {
    pub(in crate::ledger) fn of(recovered: Recovered) -> Head {
        let time = recovered.published().time;
        let Recovered { tree, crossfoot, book, keys, .. } = recovered;
        Head { tree, crossfoot, book, time, keys }
    }
}

/// The open frame and who waits for it.
struct Pending {
    number: u64,
    first_index: u64,
    entries: Vec<Entry>,
    tiles: Vec<FullTile>,
    touched: Vec<InvoiceId>,
    waiters: Vec<(oneshot::Sender<Reply>, Outcome)>,
    /// Something of it is about keys.
    rekeyed: bool,
}

impl Pending {
    fn new(number: u64, first_index: u64) -> Pending {
        Pending { number, first_index, entries: Vec::new(), tiles: Vec::new(), touched: Vec::new(), waiters: Vec::new(), rekeyed: false }
    }
}

/// A closed frame on its way to the disk.
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) frame: Frame,
    pub(super) edge: Arc<Vec<merkle::Edge>>,
    /// Each once.
    pub(super) touched: Vec<InvoiceId>,
    pub(super) waiters: Vec<(oneshot::Sender<Reply>, Outcome)>,
    /// The keys from this frame on, if it changes them: those of the log, and the secret ones in use.
    pub(super) keys: Option<(Arc<PublicKeys>, Arc<Keyring>)>,
}

/// Decides on the newest state there is.
pub(in crate::ledger) struct Decider {
    tools: Tools,
    tree: Tree,
    crossfoot: Crossfoot,
    /// With everything decided, published or not.
    book: Book,
    time: UnixMillis,
    /// With everything decided, as the book.
    keys: Arc<PublicKeys>,
    /// In use by these.
    keyring: Arc<Keyring>,
    /// Rows that this submission has read from the database: the published versions for the overlay.
    fetched: RefCell<HashMap<InvoiceId, Option<Arc<InvRecord>>>>,
    pending: Pending,
}

impl Decider {
    pub(in crate::ledger) fn new(tools: Tools, head: Head) -> Decider {
        let Head { tree, crossfoot, book, time, keys } = head;
        let keyring = Arc::clone(&tools.signer.keyring);
        Decider { pending: Pending::new(0, tree.size()), tools, tree, crossfoot, book, time, keys, keyring, fetched: RefCell::default() }
    }

    /// Whether somebody waits for the open frame.
    pub(super) fn has_waiters(&self) -> bool {
        !self.pending.waiters.is_empty()
    }

    /// Whether the disk, or a token, gave trouble that is not over.
    pub(super) fn in_trouble(&self) -> bool {
        self.tools.shared.in_trouble()
    }

    /// How many submissions the open frame can still take.
    pub(super) fn room(&self) -> usize {
        FRAME_ENTRIES_MAX.saturating_sub(self.pending.waiters.len())
    }

    /// Decides one submission and enters its entries into the open frame.
    pub(super) fn take(&mut self, job: Job) {
        if let Err(error) = self.tools.shared.may_write() {
            return answer(job.reply, Err(error));
        }
        let now = (self.tools.clock)();
        if now.0 + CLOCK_BEHIND_MAX_MS < self.time.0 {
            return answer(job.reply, Err(SubmitError::ClockBehind { now, head: self.time }));
        }
        if let Err(error) = self.may_change_keys(&job.submission, now) {
            return answer(job.reply, Err(error));
        }
        self.fetched.borrow_mut().clear();
        let next_index = self.pending.first_index + self.pending.entries.len() as u64;
        let outcome = match decide::decide(self, job.submission, next_index) {
            Ok(Decision::Answer(outcome)) => outcome,
            Ok(Decision::Log(entries, warning)) => {
                if let Err(error) = self.place(entries, next_index, now) {
                    return answer(job.reply, Err(self.tools.shared.stop(&error)));
                }
                Outcome::Logged { index: next_index, repeated: false, warning }
            }
            // Nothing was entered yet, so a row that cannot be read concerns this submission alone.
            Err(error) if error.is_trouble() => return answer(job.reply, Err(SubmitError::Unavailable(error.to_string()))),
            Err(error) => return answer(job.reply, Err(self.tools.shared.stop(&error))),
        };
        self.pending.waiters.push((job.reply, outcome));
    }

    fn place(&mut self, entries: Vec<Unplaced>, first_index: u64, now: UnixMillis) -> Result<(), LedgerError> {
        self.time = self.time.max(now);
        for (index, Unplaced { leaf, seal, body }) in (first_index..).zip(entries) {
            let leaf = Leaf { time_ms: self.time.0, ..leaf };
            if let (Event::Key, Seal::Event(event)) = (leaf.event, &seal) {
                self.enrol(index, &event.data)?;
            }
            let (leaf, seal) = self.signed_by_key_in_force(index, leaf, seal)?;
            let bytes = leaf.encode();
            state::fold(self, index, &leaf, &seal)?;
            if planted(Bug::ApplyTwice) {
                state::fold(self, index, &leaf, &seal)?;
            }
            frame::enter(&mut self.book, index, &leaf, &seal)?;
            let mut tiles = self.tree.append(merkle::leaf_hash(&bytes));
            if planted(Bug::OffByOneTile) {
                tiles.iter_mut().for_each(|tile| tile.n += 1);
            }
            self.pending.tiles.extend(tiles);
            self.crossfoot.push(&bytes);
            self.pending.entries.push(Entry { leaf, seal, body });
        }
        Ok(())
    }

    /// Whether key events fit the time at which they would be logged.
    fn may_change_keys(&self, submission: &Submission, now: UnixMillis) -> Result<(), SubmitError> {
        let Submission::Keys { events } = submission else { return Ok(()) };
        let time = self.time.max(now);
        for event in events {
            let Ok(EventData::Key(record)) = EventData::decode(Event::Key, &event.data) else { continue };
            // A key that counts only from later on could not sign what follows its leaf.
            if time < record.valid_from() {
                return Err(SubmitError::ClockBehind { now, head: record.valid_from() });
            }
            // What the key signed up to now must go on to count.
            let counts_now = self.keys.get(record.key_id()).is_none_or(|key| key.record.is_valid_at(time));
            if counts_now && !record.is_valid_at(time) {
                return Err(SubmitError::Late);
            }
        }
        Ok(())
    }

    /// Takes in what a key event says: from its own leaf on.
    fn enrol(&mut self, index: u64, data: &[u8]) -> Result<(), LedgerError> {
        let broken = |reason: String| LedgerError::broken(index, reason);
        let EventData::Key(record) = EventData::decode(Event::Key, data).map_err(|error| broken(format!("key event: {error}")))? else {
            return Err(broken("a key event without a key".into()));
        };
        Arc::make_mut(&mut self.keys).enrol(record, index).map_err(|error| broken(format!("key {}: {error}", record.key_id())))?;
        self.keyring = match self.tools.shared.keyring(&self.keys) {
            Some(Ok(keyring)) => keyring,
            Some(Err(role)) => return Err(LedgerError::Stopped(Obstacle::NoKey { role }.to_string())),
            None => return Err(LedgerError::Stopped(Obstacle::KeysLocked.to_string())),
        };
        self.pending.rekeyed = true;
        Ok(())
    }

    /// What was signed before its key was replaced, and comes after the end of that key, is signed anew: its submitter has no part in rotations.
    fn signed_by_key_in_force(&self, index: u64, leaf: Leaf, seal: Seal) -> Result<(Leaf, Seal), LedgerError> {
        let counts = self.keys.get(leaf.key_id).is_some_and(|key| key.counts_at(UnixMillis(leaf.time_ms), Logged::At(index)));
        if counts || !self.keys.names(Role::Authority) {
            return Ok((leaf, seal));
        }
        let authority = self.keyring.authority();
        let seal = match seal {
            Seal::Invoice(invoice) => {
                let signature = authority.key.sign(&hash::invoice_message(&invoice.face, &invoice.rest_digest))?;
                Seal::Invoice(InvoiceSeal { signature, ..invoice })
            }
            Seal::Event(event) => {
                let signature = authority.key.sign(&hash::event_message(leaf.event, &event.salt, &event.data))?;
                Seal::Event(EventSeal { signature, ..event })
            }
        };
        Ok((Leaf { key_id: authority.key_id, ..leaf }, seal))
    }

    /// Closes the open frame and gives it to be committed; if nothing in it needs a commit, its waiters are answered at once.
    pub(super) fn close(&mut self) -> Option<Work> {
        let size = self.pending.first_index + self.pending.entries.len() as u64;
        let next = Pending::new(self.pending.number + 1, size);
        let mut pending = std::mem::replace(&mut self.pending, next);
        pending.touched.sort_unstable();
        pending.touched.dedup();
        let signed = match self.tools.shared.may_write() {
            Ok(()) if pending.entries.is_empty() => {
                for (reply, outcome) in pending.waiters {
                    answer(reply, Ok(outcome));
                }
                return None;
            }
            Ok(()) => agreed_root(&self.tree, &self.crossfoot).and_then(|root| self.sign(size, root)).map_err(|error| self.tools.shared.stop(&error)),
            // The commit before this frame failed, and with it the state that all of this was decided on.
            Err(error) => Err(error),
        };
        match signed {
            Ok((note, root)) => Some(self.work(pending, note, root)),
            Err(error) => {
                for (reply, _) in pending.waiters {
                    answer(reply, Err(error.clone()));
                }
                None
            }
        }
    }

    /// A frame that holds nothing but the notice of a reopened ledger.
    pub(super) fn close_notice(&mut self, notice: SealedEvent, keys: Vec<SealedEvent>) -> Result<Work, LedgerError> {
        let index = self.pending.first_index;
        let mut entries = vec![decide::unplaced(Event::Reopen, None, None, [0; 32], notice)];
        entries.extend(keys.into_iter().map(|event| decide::unplaced(Event::Key, None, None, [0; 32], event)));
        let size = index + entries.len() as u64;
        self.place(entries, index, (self.tools.clock)())?;
        let (note, root) = self.sign(size, agreed_root(&self.tree, &self.crossfoot)?)?;
        let pending = std::mem::replace(&mut self.pending, Pending::new(1, size));
        Ok(self.work(pending, note, root))
    }

    fn sign(&self, size: u64, root: merkle::Hash) -> Result<(String, merkle::Hash), LedgerError> {
        let checkpoint = Checkpoint { origin: self.tools.signer.origin.clone(), size, root };
        let sign = || self.keyring.sign_checkpoint(&checkpoint, &self.keys, self.time);
        // Everybody waits for this one: it gets another turn where others are told to come again.
        let note = match sign() {
            Err(SignError::Busy(_)) => sign(),
            signed => signed,
        };
        Ok((note?.encode(), root))
    }

    fn work(&self, pending: Pending, note: String, root: merkle::Hash) -> Work {
        let keys = pending.rekeyed.then(|| (Arc::clone(&self.keys), Arc::clone(&self.keyring)));
        let frame = Frame { first_index: pending.first_index, entries: pending.entries, tiles: pending.tiles, note, root, time_ms: self.time.0 };
        let edge = Arc::new(self.tree.right_edge());
        Work { number: pending.number, frame, edge, touched: pending.touched, waiters: pending.waiters, keys }
    }

    /// Tries to go on after trouble with the disk or a token. If that fails because of it, it is tried again later.
    pub(super) fn try_resume(&mut self) {
        if let Err(error) = self.resume() {
            // Trouble keeps its first reason until it is over; anything else is a broken invariant and stops the ledger for good.
            self.tools.shared.stop(&error);
        }
    }

    /// Goes on from what is on disk, as after a crash: of what was decided meanwhile nothing was signed. The database is opened anew if it was the disk that
    /// gave trouble; where only a key did not sign it is sound, and whoever copies or cleans it goes on.
    fn resume(&mut self) -> Result<(), LedgerError> {
        let Tools { store, shared, lock, .. } = &self.tools;
        // First, so that the database is left alone while a token is away; by the keys of what is published, since nothing newer came of the others.
        if let Some(Ok(in_use)) = shared.keyring(&Arc::clone(&shared.front().keys)) {
            in_use.try_to_sign()?;
        }
        store.home().probe(lock.path())?;
        if shared.distrusts_disk() {
            store.reopen()?;
        }
        let recovered = recovery::recover(store, Some(&self.keyring))?;
        let (size, published) = (recovered.checkpoint.size, shared.published());
        if size < published.size || recovery::root_at(store, published.size)? != published.root {
            return Err(LedgerError::broken(published.size, "after trouble with the disk, published leaves are gone".into()));
        }
        if let Standing::Refuses(obstacle) = recovery::standing(store, lock, &recovered, Some(&self.keyring))? {
            return Err(LedgerError::Stopped(obstacle.to_string()));
        }
        recovery::advance_lock(lock, &recovered)?;
        // A rotation may have been under way: the log on disk says which keys are in use.
        self.keyring = match shared.keyring(&recovered.keys) {
            Some(Ok(keyring)) => keyring,
            Some(Err(role)) => return Err(LedgerError::Stopped(Obstacle::NoKey { role }.to_string())),
            None => return Err(LedgerError::Stopped(Obstacle::KeysLocked.to_string())),
        };
        self.take_over(recovered);
        Ok(())
    }

    fn take_over(&mut self, recovered: Recovered) {
        self.pending = Pending::new(self.pending.number + 1, recovered.tree.size());
        let shared = &self.tools.shared;
        // Readers see the new size before the overlay forgets what they would have seen at the old one.
        shared.replace_front(recovered.front(Some(&self.keyring)));
        shared.overlay.clear();
        shared.end_trouble();
        Head { tree: self.tree, crossfoot: self.crossfoot, book: self.book, time: self.time, keys: self.keys } = Head::of(recovered);
    }
}

/// The root by both paths, or the fact that they differ, which must stop the ledger before anything is signed.
fn agreed_root(tree: &Tree, crossfoot: &Crossfoot) -> Result<[u8; 32], LedgerError> {
    let (root, second) = (tree.root(), crossfoot.root());
    if root != second || tree.size() != crossfoot.size() {
        return Err(LedgerError::RootsDiffer { size: tree.size() });
    }
    Ok(root)
}

impl Rows for Decider {
    type Error = LedgerError;

    fn row(&self, id: InvoiceId) -> Result<Option<InvRecord>, LedgerError> {
        let newest = self.tools.shared.overlay.newest(id);
        if let Some(row) = newest.filter(|_| !planted(Bug::StaleIndex)) {
            return Ok(Some(InvRecord::clone(&row)));
        }
        let row = self.tools.store.get::<Invoices>(&id)?;
        self.fetched.borrow_mut().insert(id, row.clone().map(Arc::new));
        Ok(row)
    }

    fn set(&mut self, id: InvoiceId, row: InvRecord) {
        let fetched = self.fetched.get_mut();
        self.tools.shared.overlay.set(id, self.pending.number, row, || fetched.get(&id).cloned().flatten());
        self.pending.touched.push(id);
    }
}

impl State for Decider {
    fn book(&self) -> &Book {
        &self.book
    }

    fn first_used(&self, range: &NumberRange) -> Result<Option<InvoiceId>, LedgerError> {
        let from = InvoiceId { code: range.code, number: range.first };
        let stored = match self.tools.store.scan::<Invoices>(&from).next_raw() {
            Some(row) => <[u8; InvoiceId::LEN]>::try_from(&*row?.0).ok().and_then(InvoiceId::from_bytes).filter(|id| range.contains(*id)),
            None => None,
        };
        // The first of both: what is said must not depend on what happens to be on disk already.
        let unpublished = self.tools.shared.overlay.ids().into_iter().filter(|id| range.contains(*id));
        Ok(unpublished.chain(stored).min())
    }

    fn id_tag(&self, id: InvoiceId) -> [u8; 32] {
        self.keyring.id_tag(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_hash_in_either_path_is_caught_before_signing() {
        let leaves: Vec<[u8; 96]> = (0..300u16).map(|i| [i.to_be_bytes()[1]; 96]).collect();
        let build = |wrong_in_tree: bool, wrong_in_crossfoot: bool| {
            let (mut tree, mut crossfoot) = (Tree::default(), Crossfoot::default());
            for (i, leaf) in leaves.iter().enumerate() {
                let planted = |wrong: bool| if wrong && i == 128 { [0xaa; 96] } else { *leaf };
                tree.append(merkle::leaf_hash(&planted(wrong_in_tree)));
                crossfoot.push(&planted(wrong_in_crossfoot));
            }
            agreed_root(&tree, &crossfoot)
        };
        assert!(build(false, false).is_ok());
        assert!(matches!(build(true, false), Err(LedgerError::RootsDiffer { size: 300 })));
        assert!(matches!(build(false, true), Err(LedgerError::RootsDiffer { size: 300 })));
    }
}
