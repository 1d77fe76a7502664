//! What must be true of a ledger after every step, judged by the model and by what lies on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fapiao::codec::event::{EventData, Role};
use fapiao::crypto::body;
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::merkle;
use fapiao::crypto::note::{Checkpoint, Note};
use fapiao::crypto::sign::PublicKey;
use fapiao::domain::invoice::Face;
use fapiao::domain::number::InvoiceId;
use fapiao::domain::time::UnixMillis;
use fapiao::ledger::simulated::Disk;
use fapiao::ledger::value::{self, HeadRecord, InvRecord, Seal};
use fapiao::ledger::{Ledger, LedgerError, Obstacle, Receipt, Sealed};

use super::model::{Entry, Model};
use super::submissions::SUBMISSIONS;
use super::tree::{self, Hash};
use crate::chance::Chance;

/// Receipts and proofs that are looked at when all is over; their leaves were all compared on the disk.
const SAMPLES: usize = 8;

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(super) struct Violation(pub(super) String);

pub(super) type Kept<T = ()> = Result<T, Violation>;

/// Ends the function with a violation unless the promise was kept.
macro_rules! ensure {
    ($kept:expr, $($why:tt)+) => {
        if !$kept {
            return Err($crate::simulation::auditor::Violation(format!($($why)+)));
        }
    };
}
pub(super) use ensure;

/// What a lock record and the place of a directory permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Signs,
    KeysLocked,
    LockMissing,
    LockUnreadable,
    LockForeign,
    LockAhead,
    LockBehind,
    TwoHistories,
    Copied,
    Unsaid,
}

impl Standing {
    pub(super) const ALL: [Standing; 10] = [
        Standing::Signs,
        Standing::KeysLocked,
        Standing::LockMissing,
        Standing::LockUnreadable,
        Standing::LockForeign,
        Standing::LockAhead,
        Standing::LockBehind,
        Standing::TwoHistories,
        Standing::Copied,
        Standing::Unsaid,
    ];

    pub(super) fn of(obstacle: Option<&Obstacle>) -> Standing {
        match obstacle {
            None => Standing::Signs,
            Some(Obstacle::KeysLocked) => Standing::KeysLocked,
            Some(Obstacle::LockMissing { .. }) => Standing::LockMissing,
            Some(Obstacle::LockUnreadable { .. } | Obstacle::LockUnnamed { .. }) => Standing::LockUnreadable,
            Some(Obstacle::LockForeign { .. }) => Standing::LockForeign,
            Some(Obstacle::LockAhead { .. }) => Standing::LockAhead,
            Some(Obstacle::LockBehind { .. }) => Standing::LockBehind,
            Some(Obstacle::TwoHistories { .. }) => Standing::TwoHistories,
            Some(Obstacle::Copied { .. }) => Standing::Copied,
            Some(Obstacle::Unsaid { .. }) => Standing::Unsaid,
            Some(obstacle @ (Obstacle::NoKey { .. } | Obstacle::Disputed { .. })) => panic!("{obstacle}"),
        }
    }

    /// Whether more, or something else, is known to have been signed.
    pub(super) fn is_behind(self) -> bool {
        matches!(self, Standing::LockAhead | Standing::TwoHistories)
    }
}

/// Knows what was decided, what was published and what was promised.
#[derive(Clone)]
pub(super) struct Auditor {
    keyring: Arc<Keyring>,
    checkpoint_key: PublicKey,
    lock: PathBuf,
    founded: Model,
    /// Everything decided, in log order: published, in flight or just decided.
    entries: Vec<Arc<Entry>>,
    hashes: Vec<Hash>,
    /// The state after all of them.
    pub(super) decided: Model,
    /// The state that readers see.
    pub(super) visible: Model,
    /// Checkpoints that were published, and must be for ever.
    published: BTreeMap<u64, String>,
    /// Notes on the disk that were verified.
    verified: BTreeMap<u64, String>,
    /// Commits of leaves that somebody was told of.
    acknowledged: BTreeMap<u64, [u8; 32]>,
    receipts: BTreeMap<u64, Receipt>,
}

impl Auditor {
    pub(super) fn new(founded: Model, keyring: Arc<Keyring>, lock: PathBuf) -> Auditor {
        let checkpoint_key = PublicKey::parse(&keyring.checkpoint().key.public()).expect("a sound key");
        Auditor {
            keyring,
            checkpoint_key,
            lock,
            entries: Vec::new(),
            hashes: Vec::new(),
            decided: founded.clone(),
            visible: founded.clone(),
            founded,
            published: BTreeMap::new(),
            verified: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            receipts: BTreeMap::new(),
        }
    }

    /// Something was decided to be logged.
    pub(super) fn enter(&mut self, entries: Vec<Arc<Entry>>) {
        for entry in entries {
            self.decided.fold(&entry);
            self.hashes.push(entry.hash);
            self.entries.push(entry);
        }
    }

    /// What was decided beyond this size has not come to be.
    pub(super) fn truncate(&mut self, size: u64) {
        if size < self.decided.size {
            self.entries.truncate(index(size));
            self.hashes.truncate(index(size));
            self.decided = self.founded.clone();
            self.entries.iter().for_each(|entry| self.decided.fold(entry));
        }
        if size < self.visible.size {
            self.visible = self.decided.clone();
        }
        self.published.split_off(&(size + 1));
        self.verified.split_off(&(size + 1));
        self.acknowledged.split_off(&size);
        self.receipts.split_off(&size);
    }

    pub(super) fn acknowledge(&mut self, index: u64) -> Kept {
        ensure!(index < self.visible.size, "leaf {index} was acknowledged before it was published at {}", self.visible.size);
        self.acknowledged.insert(index, self.entry(index).leaf.commit);
        Ok(())
    }

    fn entry(&self, at: u64) -> &Entry {
        &self.entries[index(at)]
    }

    pub(super) fn root(&self, size: u64) -> Hash {
        tree::root(&self.hashes[..index(size)])
    }

    /// Whether the log names a key of this role, so that what it signed can be checked without the keyring.
    pub(super) fn names(&self, role: Role) -> bool {
        self.visible.keys.iter().map(|index| self.entry(*index)).any(|entry| match &entry.seal {
            Seal::Event(seal) => matches!(EventData::decode(entry.leaf.event, &seal.data), Ok(EventData::Key(key)) if key.role() == role),
            Seal::Invoice(_) => false,
        })
    }

    /// The state at a size.
    fn model_at(&self, size: u64) -> Model {
        let mut model = if size < self.visible.size { self.founded.clone() } else { self.visible.clone() };
        self.entries[index(model.size)..index(size)].iter().for_each(|entry| model.fold(entry));
        model
    }

    // ---- What lies on the disk

    /// Holds every row against the log as far as it is on the disk: the tables are exactly what follows from it, and it is what was decided.
    pub(super) fn check_disk(&mut self, disk: &Disk) -> Kept<u64> {
        let leaves = disk.rows("leaf");
        let size = leaves.len() as u64;
        ensure!(size <= self.decided.size, "{size} leaves on the disk, only {} were decided", self.decided.size);
        for (at, (key, leaf)) in (0u64..).zip(&leaves) {
            ensure!(key[..] == at.to_be_bytes(), "leaf {at} is missing on the disk");
            ensure!(leaf[..] == self.entry(at).bytes, "leaf {at} on the disk is not what was decided");
        }
        if let Some((index, _)) = self.acknowledged.iter().find(|(index, commit)| **index >= size || self.entry(**index).leaf.commit != **commit) {
            return Err(Violation(format!("leaf {index} was acknowledged and is not on the disk")));
        }
        let entries = &self.entries[..index(size)];
        let indexed = || (0u64..).map(|at| at.to_be_bytes().to_vec()).zip(entries);
        let seals = indexed().map(|(key, entry)| (key, entry.seal_bytes.clone()));
        same_rows("seal", disk, seals)?;
        same_rows("body", disk, indexed().filter_map(|(key, entry)| Some((key, entry.body.clone()?))))?;
        let tiles = self.hashes[..index(size)].as_chunks::<256>().0.iter();
        same_rows("tile", disk, (0u64..).zip(tiles).map(|(n, tile)| ([&[0][..], &n.to_be_bytes()].concat(), tile.as_flattened().to_vec())))?;

        let older;
        let model = if size == self.decided.size {
            &self.decided
        } else {
            older = self.model_at(size);
            &older
        };
        same_rows("inv", disk, model.invoices.iter().map(|(id, row)| (id.to_bytes().to_vec(), value::encode(row))))?;
        let mut by_taxpayer = BTreeSet::new();
        for row in model.invoices.values() {
            let Face { seller_id, date, .. } = fapiao::codec::canonical::decode_face(&row.face).expect("a face");
            let mut key = seller_id.as_str().as_bytes().to_vec();
            key.resize(20, 0);
            by_taxpayer.insert([&key[..], &date.yyyymmdd().to_be_bytes(), &row.index.to_be_bytes()].concat());
        }
        same_rows("tax", disk, by_taxpayer.into_iter().map(|key| (key, Vec::new())))?;
        // Their rows are read back into the book, which readers are compared by; here that each event has its row and no other is there.
        for table in ["allot", "key", "reopen"] {
            let rows = disk.rows(table).into_iter().map(|(key, _)| key[key.len() - 8..].to_vec()).collect::<BTreeSet<_>>();
            let expected = indexed().filter(|(_, entry)| table_of(entry) == Some(table)).map(|(key, _)| key).collect::<BTreeSet<_>>();
            ensure!(rows == expected, "the rows of {table} on the disk are not those of the log");
        }
        ensure!(!disk.rows("meta").iter().any(|(key, _)| key.starts_with(b"rebuilt/")), "a table on the disk is still being rebuilt");
        self.check_heads(disk, size)?;
        Ok(size)
    }

    fn check_heads(&mut self, disk: &Disk, size: u64) -> Kept {
        let heads = self.heads(disk)?;
        ensure!(heads.keys().next_back() == Some(&size), "the newest checkpoint on the disk is not of its {size} leaves");
        for (at, head) in &heads {
            let time = at.checked_sub(1).map_or(self.founded.time, |last| self.entry(last).leaf.time_ms);
            ensure!(head.time_ms == time, "the checkpoint of {at} has another time than its newest leaf");
            if self.verified.get(at) != Some(&head.note) {
                self.verify(*at, &head.note)?;
                self.verified.insert(*at, head.note.clone());
            }
        }
        for (at, note) in &self.published {
            ensure!(heads.get(at).is_some_and(|head| head.note == *note), "the published checkpoint of {at} is not on the disk");
        }
        Ok(())
    }

    fn heads(&self, disk: &Disk) -> Kept<BTreeMap<u64, HeadRecord>> {
        let rows = disk.rows("head").into_iter().map(|(key, head)| {
            let size = key.try_into().map(u64::from_be_bytes).map_err(|_| Violation("a key of head".into()))?;
            Ok((size, value::decode(&head).map_err(|error| Violation(format!("the checkpoint of {size} on the disk: {error}")))?))
        });
        rows.collect()
    }

    /// A checkpoint says what the leaves say, under the origin of its time.
    fn verify(&self, size: u64, note: &str) -> Kept {
        let origin = self.decided.origin_at(size);
        let opened = Checkpoint::open(note, origin, &self.checkpoint_key).map_err(|error| Violation(format!("the checkpoint of {size}: {error}")))?;
        ensure!(opened.0.size == size && opened.0.root == self.root(size), "the checkpoint of {size} has another root than its leaves");
        Ok(())
    }

    /// What the lock record permits, and what the place does.
    pub(super) fn standing(&self, disk: &Disk) -> Kept<Standing> {
        Ok(match (self.lock_standing(disk)?.0, disk.settled()) {
            (Standing::Signs, Some(true)) => Standing::Signs,
            (Standing::Signs, Some(false)) => Standing::Copied,
            (Standing::Signs, None) => Standing::Unsaid,
            (refuses, _) => refuses,
        })
    }

    /// What the lock record permits, and what it says.
    pub(super) fn lock_standing(&self, disk: &Disk) -> Kept<(Standing, Option<Checkpoint>)> {
        let Some(bytes) = disk.file(&self.lock) else { return Ok((Standing::LockMissing, None)) };
        let note = String::from_utf8_lossy(&bytes).into_owned();
        let Some(locked) = Note::parse(&note).ok().and_then(|note| Checkpoint::parse(note.text()).ok()) else {
            return Ok((Standing::LockUnreadable, None));
        };
        let sizes: Vec<u64> = self.heads(disk)?.into_keys().collect();
        let here = *sizes.last().ok_or_else(|| Violation("no checkpoint on the disk".into()))?;
        ensure!(here <= self.decided.size, "a checkpoint of {here} on the disk, only {} leaves were decided", self.decided.size);
        let origins: Vec<_> = self.decided.origins.iter().filter(|(from, _)| *from <= here).collect();
        if !origins.iter().any(|(_, origin)| *origin == locked.origin) {
            return Ok((Standing::LockForeign, None));
        }
        let verified = self.verified.get(&locked.size) == Some(&note);
        if !verified && Checkpoint::open(&note, &locked.origin, &self.checkpoint_key).is_err() {
            return Ok((Standing::LockUnreadable, None));
        }
        let standing = if locked.size > here {
            Standing::LockAhead
        } else if origins.iter().rfind(|(from, _)| *from <= locked.size).is_none_or(|(_, origin)| *origin != locked.origin)
            || self.root(locked.size) != locked.root
        {
            Standing::TwoHistories
        } else if sizes.iter().rev().take(2).any(|size| *size == locked.size) {
            Standing::Signs
        } else {
            Standing::LockBehind
        };
        Ok((standing, Some(locked)))
    }

    /// Whatever is published, a power cut at this moment leaves a record of it.
    pub(super) fn check_lock(&self, disk: &Disk) -> Kept {
        let published = self.visible.size;
        for left in disk.left_by_power_cut(&self.lock) {
            let note = left.and_then(|bytes| String::from_utf8(bytes).ok());
            let locked = note.as_ref().and_then(|note| Note::parse(note).ok()).and_then(|note| Checkpoint::parse(note.text()).ok());
            let size = locked.map(|locked| locked.size);
            ensure!(size >= Some(published), "{published} leaves are published, and a power cut may leave a lock record of {size:?}");
            let same = size > Some(published) || note.as_ref() == self.published.get(&published);
            ensure!(same, "a power cut may leave a lock record of {published} leaves that is not the published one");
        }
        Ok(())
    }

    // ---- What readers see

    /// A new size is published: it must be on the disk, right, and go on from all the others.
    pub(super) fn publish(&mut self, ledger: &Ledger, damaged: bool) -> Kept {
        let published = ledger.published();
        let size = published.size;
        ensure!(size <= self.decided.size, "published {size} of {} leaves that were decided", self.decided.size);
        ensure!(size >= self.visible.size, "the published size fell from {} to {size}", self.visible.size);
        if self.verified.get(&size) != Some(&published.note) {
            self.verify(size, &published.note)?;
            self.verified.insert(size, published.note.clone());
        }
        ensure!(published.root == self.root(size), "the published root of {size} is not that of the leaves");
        let time = size.checked_sub(1).map_or(self.founded.time, |last| self.entry(last).leaf.time_ms);
        ensure!(published.time == UnixMillis(time), "the published time of {size} is not that of its newest leaf");
        if let Some(note) = self.published.insert(size, published.note.clone()) {
            ensure!(note == published.note, "two checkpoints of {size} were published");
        }
        let from = index(self.visible.size);
        for entry in &self.entries[from..index(size)] {
            self.visible.fold(entry);
        }
        self.check_checkpoints(ledger, damaged)
    }

    /// Readers are shown every checkpoint that was published and none that was not.
    pub(super) fn check_checkpoints(&self, ledger: &Ledger, damaged: bool) -> Kept {
        let mut shown = BTreeMap::new();
        for row in ledger.checkpoints() {
            match row {
                Ok((size, note)) => shown.insert(size, note),
                Err(error) if damaged && !error.is_trouble() => return Ok(()),
                Err(error) => return Err(Violation(format!("checkpoints: {error}"))),
            };
        }
        let published = self.visible.size;
        ensure!(shown.keys().all(|size| *size <= published), "a checkpoint is shown beyond the published {published}");
        for (size, note) in &self.published {
            ensure!(shown.get(size) == Some(note), "the published checkpoint of {size} is not shown");
        }
        Ok(())
    }

    /// Asks about some invoice, leaf and proof and compares. Where a row is known to be damaged, a refusal that says so is right too.
    pub(super) fn check_reads(&mut self, ledger: &Ledger, chance: &mut Chance, damaged: bool) -> Kept {
        let readable = |read: Result<(), ReadFault>| match read {
            Ok(()) => Ok(()),
            Err(ReadFault::Refused(error)) if damaged && !error.is_trouble() => Ok(()),
            Err(ReadFault::Refused(error)) => Err(Violation(format!("a read: {error}"))),
            Err(ReadFault::Wrong(violation)) => Err(violation),
        };
        readable(self.read(ledger, chance))
    }

    /// One read of some kind, compared.
    pub(super) fn read(&mut self, ledger: &Ledger, chance: &mut Chance) -> Result<(), ReadFault> {
        let size = self.visible.size;
        let ids = &SUBMISSIONS.ids;
        match chance.under(8) {
            0 | 1 => {
                let id = *chance.pick(ids);
                let (as_of, row) = ledger.look_up(id)?;
                self.compare(as_of.size, id, row.as_deref())?;
            }
            2 => {
                let from = chance.below(ids.len() - 5);
                let ids = &ids[from..from + 5];
                let (as_of, rows) = ledger.look_up_many(ids)?;
                for (id, row) in ids.iter().zip(rows) {
                    self.compare(as_of.size, *id, row.as_deref())?;
                }
            }
            3 => {
                let id = *chance.pick(ids);
                let mark = ledger.mark(id).map(|marked| (marked.mark, marked.index));
                wrong(mark == self.visible.mark(id), || format!("the mark on {id} is {mark:?}"))?;
                let allotted = ledger.allotted(id);
                let shown = allotted.as_ref().map(|allotted| (&allotted.allotment, allotted.index));
                wrong(shown == self.visible.allotted(id), || format!("{id} is allotted: {allotted:?}"))?;
            }
            4 => {
                let at = chance.under(size + 3);
                let leaf = ledger.leaf(at)?;
                wrong(leaf.as_ref() == self.shown(at).map(|entry| &entry.leaf), || format!("leaf {at} is {leaf:?}"))?;
                let body = ledger.body(at)?;
                let expected = self.shown(at).and_then(|entry| entry.body.clone()).map(body::Kept::Sealed);
                wrong(body == expected, || format!("the body of {at} is another"))?;
            }
            5 if size > 0 => {
                let of = 1 + chance.under(size);
                let at = chance.under(of);
                let path = ledger.inclusion(at, of)?;
                wrong(path == tree::path(index(at), &self.hashes[..index(of)]), || format!("the path of {at} in {of} is another"))?;
            }
            6 => {
                let new = chance.under(size + 1);
                let old = chance.under(new + 1);
                let proof = ledger.consistency(old, new)?;
                wrong(proof == tree::proof(index(old), &self.hashes[..index(new)]), || format!("the proof from {old} to {new} is another"))?;
                let at = chance.under(size + 3);
                let note = ledger.checkpoint_at(at)?;
                let known = self.verified.get(&at).filter(|_| at <= size);
                wrong(note.as_ref() == known, || format!("the checkpoint of {at} is {note:?}"))?;
            }
            _ => self.read_receipt(ledger, chance.under(size + 3))?,
        }
        Ok(())
    }

    fn shown(&self, at: u64) -> Option<&Entry> {
        (at < self.visible.size).then(|| self.entry(at))
    }

    fn compare(&self, as_of: u64, id: InvoiceId, row: Option<&InvRecord>) -> Result<(), ReadFault> {
        wrong(as_of == self.visible.size, || format!("an answer as of {as_of}, published is {}", self.visible.size))?;
        let expected = self.visible.invoices.get(&id);
        wrong(row == expected, || format!("{id} is {row:?}, and must be {expected:?}"))
    }

    /// A receipt proves its leaf to anybody, and is the same every time.
    fn read_receipt(&mut self, ledger: &Ledger, at: u64) -> Result<(), ReadFault> {
        let Some(receipt) = ledger.receipt(at)? else {
            return wrong(at >= self.visible.size, || format!("no receipt of {at}"));
        };
        wrong(at < self.visible.size, || format!("a receipt of {at}, which is not published"))?;
        let entry = self.entry(at);
        let sealed = match &receipt.sealed {
            Sealed::Invoice { face, rest_digest, signature } => {
                matches!(&entry.seal, Seal::Invoice(seal) if (&seal.face, &seal.rest_digest, &seal.signature) == (face, rest_digest, signature))
            }
            Sealed::Event { salt, data, signature } => {
                matches!(&entry.seal, Seal::Event(seal) if (&seal.salt, &seal.data, &seal.signature) == (salt, data, signature))
            }
        };
        wrong(sealed && receipt.leaf == entry.leaf && receipt.index == at, || format!("the receipt of {at} is of something else"))?;
        let covering = self.verified.range(at + 1..).next().map(|(size, note)| (*size, note.as_str()));
        wrong(covering == Some((receipt.size, &receipt.note)), || format!("the receipt of {at} has not the first checkpoint that covers it"))?;
        let root = self.root(receipt.size);
        wrong(merkle::verify_inclusion(&entry.hash, at, receipt.size, &receipt.path, &root), || format!("the receipt of {at} proves nothing"))?;
        let first = self.receipts.entry(at).or_insert_with(|| receipt.clone());
        wrong(*first == receipt, || format!("the receipt of {at} is another than before"))
    }

    /// What anybody was told is there, and what was published is the beginning of what is.
    pub(super) fn check_all(&mut self, ledger: &Ledger, chance: &mut Chance) -> Kept {
        let refused = |at: &str, fault: ReadFault| match fault {
            ReadFault::Refused(error) => Violation(format!("{at}: {error}")),
            ReadFault::Wrong(violation) => violation,
        };
        let acknowledged: Vec<u64> = self.acknowledged.keys().copied().collect();
        for _ in 0..acknowledged.len().min(SAMPLES) {
            self.read_receipt(ledger, *chance.pick(&acknowledged)).map_err(|fault| refused("receipt", fault))?;
        }
        for id in &SUBMISSIONS.ids {
            let (as_of, row) = ledger.look_up(*id).map_err(|error| Violation(format!("{id}: {error}")))?;
            self.compare(as_of.size, *id, row.as_deref()).map_err(|fault| refused("look-up", fault))?;
        }
        let (size, root) = (self.visible.size, self.root(self.visible.size));
        let published: Vec<_> = self.published.iter().collect();
        for _ in 0..published.len().min(SAMPLES) {
            let (old, note) = *chance.pick(&published);
            let parsed = Note::parse(note).and_then(|note| Checkpoint::parse(note.text())).map_err(|error| Violation(error.to_string()))?;
            let proof = ledger.consistency(*old, size).map_err(|error| Violation(format!("consistency of {old}: {error}")))?;
            let consistent = merkle::verify_consistency(*old, &parsed.root, size, &root, &proof);
            ensure!(consistent, "the published checkpoint of {old} is not the beginning of that of {size}");
        }
        self.check_checkpoints(ledger, false)
    }

    /// What an opened ledger says of itself.
    pub(super) fn check_opened(&self, ledger: &Ledger, standing: Standing) -> Kept {
        let said = Standing::of(ledger.obstacle());
        ensure!(said == standing, "it says {said:?}, and its lock record and its place say {standing:?}");
        // A record by a key that the copy does not know cannot be held against it, and is believed in that there may be more.
        let by_a_stranger = matches!(ledger.obstacle(), Some(Obstacle::LockUnnamed { .. }));
        ensure!(by_a_stranger || ledger.is_behind() == standing.is_behind(), "it is {standing:?}, and behind: {}", ledger.is_behind());
        let origins: Vec<_> = ledger.origins().iter().map(|(from, origin)| (from, origin.clone())).collect();
        ensure!(origins == self.visible.origins, "its origins are {origins:?}");
        ensure!(ledger.origin() == self.visible.origin(), "its origin is {}", ledger.origin());
        Ok(())
    }

    pub(super) fn lock_path(&self) -> &Path {
        &self.lock
    }

    pub(super) fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }
}

/// What became of a read that did not give the right answer.
pub(super) enum ReadFault {
    Refused(LedgerError),
    Wrong(Violation),
}

impl From<LedgerError> for ReadFault {
    fn from(error: LedgerError) -> ReadFault {
        ReadFault::Refused(error)
    }
}

fn wrong(right: bool, why: impl FnOnce() -> String) -> Result<(), ReadFault> {
    if right { Ok(()) } else { Err(ReadFault::Wrong(Violation(why()))) }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("an index")
}

/// The derived table, beside `inv`, `tax` and `tile`, that has a row for this leaf.
fn table_of(entry: &Entry) -> Option<&'static str> {
    use fapiao::codec::event::Event;
    match entry.leaf.event {
        Event::Allot | Event::AllotmentStatus => Some("allot"),
        Event::Key => Some("key"),
        Event::Reopen => Some("reopen"),
        Event::AnswersRoot => Some("answer_root"),
        Event::Policy => Some("policy"),
        _ => None,
    }
}

fn same_rows(table: &'static str, disk: &Disk, expected: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Kept {
    let mut rows = disk.rows(table).into_iter();
    for (key, bytes) in expected {
        let row = rows.next();
        ensure!(
            row.as_ref().is_some_and(|(at, _)| *at == key),
            "{table}: the row {key:?} is missing on the disk, or there is one too many before it"
        );
        ensure!(row.is_some_and(|(_, row)| row == bytes), "{table}: the row {key:?} on the disk is not what follows from the log");
    }
    match rows.next() {
        Some((key, _)) => Err(Violation(format!("{table}: the row {key:?} on the disk does not follow from the log"))),
        None => Ok(()),
    }
}
