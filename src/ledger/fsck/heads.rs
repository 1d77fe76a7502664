//! Checkpoints: of the right size and root, signed by a key of the log under the name that the log had then.

use super::Run;
use super::findings::{At, UNDECODABLE};
use super::history::History;
use super::layout::Hash;
use super::signatures::{Signatures, report_head};
use super::sweep::{Step, Sweep};
use crate::codec::event::Role;
use crate::crypto::keyring::Enrolled;
use crate::crypto::note::{Checkpoint, Note, NoteSignature, Origin, key_hash};
use crate::crypto::sign::PublicKey;
use crate::domain::time::UnixMillis;
use crate::ledger::recovery::ORIGIN;
use crate::ledger::store::StoreError;
use crate::ledger::tables::{Heads, Leaves, Meta, Seals, Table as _};
use crate::ledger::value::{self, HeadRecord};

/// An origin, from which size on, and each checkpoint key with its hash in notes of that name.
struct Name {
    from: u64,
    origin: Origin,
    keys: Vec<([u8; 4], HeadKey)>,
}

/// A checkpoint key, and what the log says of it if it names any.
#[derive(Clone, Copy)]
struct HeadKey {
    key: PublicKey,
    said: Option<Enrolled>,
}

impl HeadKey {
    /// Whether it signed the checkpoint of this size and time in its window and, if it was stolen, before that was said.
    fn counts_for(&self, size: u64, time_ms: u64) -> bool {
        self.said.is_none_or(|said| said.record.is_valid_at(UnixMillis(time_ms)) && said.is_sound_of_size(size))
    }
}

/// Under which names and by which keys checkpoints may be signed.
pub(super) struct HeadKeys(Vec<Name>);

impl HeadKeys {
    /// By what the log says, and by `meta` for what it says nothing about: the name that it began under.
    pub(super) fn new(run: &Run<'_>, history: &History) -> HeadKeys {
        let named = history.keys.iter().filter(|key| key.record.role() == Role::Checkpoint);
        let mut keys: Vec<HeadKey> = named.map(|key| HeadKey { key: key.key, said: Some(*key) }).collect();
        if keys.is_empty() {
            // The first checkpoints are signed before the log names its keys.
            let at_hand = run.how.secrets.and_then(|keyring| PublicKey::parse(&keyring.checkpoint().key.public()).ok());
            keys.extend(at_hand.map(|key| HeadKey { key, said: None }));
        }
        let later = history.origins.iter().map(|(notice, origin)| (notice + 1, origin.clone()));
        let names = first_origin(run, &keys).map(|origin| (0, origin)).into_iter().chain(later);
        if keys.is_empty() {
            run.skip("signatures of checkpoints: the log names no checkpoint key and the secret keys are locked".to_owned());
        }
        let named = |(from, origin): (u64, Origin)| {
            let keys = keys.iter().map(|key| (key_hash(origin.as_str(), &key.key.to_bytes()), *key)).collect();
            Name { from, origin, keys }
        };
        HeadKeys(names.map(named).collect())
    }

    /// Checks a checkpoint of this size; its signature with others. Without a `root` the leaves before it are not all known.
    pub(super) fn check<'a>(&'a self, run: &Run<'_>, size: u64, time_ms: u64, root: Option<Hash>, row: &[u8], signatures: &mut Signatures<'a>) {
        let head: HeadRecord = match value::decode(row) {
            Ok(head) => head,
            Err(error) => return run.findings.add_with(Heads::NAME, At::Number(size), UNDECODABLE, error),
        };
        if size > 0 && time_ms != 0 && head.time_ms != time_ms {
            run.findings.add(Heads::NAME, At::Number(size), "its time is not that of the leaf before it");
        }
        let Some(name) = self.0.iter().rfind(|name| name.from <= size) else { return report_head(run, size) };
        let Ok(note) = Note::parse(&head.note) else { return report_head(run, size) };
        let stated = Checkpoint::parse(note.text()).ok();
        let fits = |stated: &Checkpoint| stated.size == size && stated.origin == name.origin && root.is_none_or(|root| stated.root == root);
        if !stated.is_some_and(|stated| fits(&stated)) {
            return report_head(run, size);
        }
        if name.keys.is_empty() {
            return;
        }
        // Several of our keys may have signed, as they do while one takes the place of another. Each signature must fit, and one must count.
        let ours = |line: &&NoteSignature| line.name == name.origin.as_str();
        let mut counted = false;
        for (hash, key) in &name.keys {
            let mut lines = note.signatures().iter().filter(ours).filter(|line| line.key_hash == *hash);
            match (lines.next().map(|line| <[u8; 64]>::try_from(line.signature.as_slice())), lines.next()) {
                (None, _) => {}
                (Some(Ok(signature)), None) => {
                    signatures.of_head(size, note.text(), signature, &key.key);
                    counted |= key.counts_for(size, head.time_ms);
                }
                (Some(_), _) => return report_head(run, size),
            }
        }
        if !counted {
            report_head(run, size);
        }
    }
}

/// The name that the log began under: as `meta` has it or, if that is damaged, as its first checkpoint says.
fn first_origin(run: &Run<'_>, keys: &[HeadKey]) -> Option<Origin> {
    let stored = |table, key: &[u8]| run.store.get_raw(table, &[key.to_vec()]).pop().and_then(Result::ok).flatten();
    let in_meta = stored(Meta::NAME, ORIGIN.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| Origin::parse(&text));
    let first = stored(Heads::NAME, &0u64.to_be_bytes()).and_then(|bytes| value::decode::<HeadRecord>(&bytes).ok());
    let in_first = first.and_then(|head| {
        let stated = Checkpoint::parse(Note::parse(&head.note).ok()?.text()).ok()?.origin;
        keys.iter().any(|key| Checkpoint::open(&head.note, &stated, &key.key).is_ok()).then_some(stated)
    });
    let at = || At::Named(ORIGIN.to_owned());
    match (&in_meta, &in_first) {
        (None, _) => run.findings.add(Meta::NAME, at(), "the name of the log is missing or damaged"),
        (Some(meta), Some(first)) if meta != first => {
            run.findings.add_with(Meta::NAME, at(), "the first checkpoint is of a log of another name", first);
        }
        (Some(_), _) => {}
    }
    in_first.or(in_meta)
}

/// The newest checkpoint of a ledger that nobody writes to: the largest one whose last leaf is there. Without any, how many leaves there are.
pub(super) fn newest(run: &Run<'_>) -> Result<(u64, bool), StoreError> {
    let mut before: Option<Vec<u8>> = None;
    loop {
        let key = match run.store.before_raw(Heads::NAME, before.as_deref()) {
            Ok(Some((key, _))) => key,
            Ok(None) => break,
            Err(StoreError::Closed(reason)) => return Err(StoreError::Closed(reason)),
            // Backwards there is no way past it; forwards there is.
            Err(_) => return newest_forwards(run),
        };
        if let Some(size) = size_of_leaves(run, &key) {
            return Ok((size, true));
        }
        before = Some(key.into());
    }
    Ok((leaves(run), false))
}

fn newest_forwards(run: &Run<'_>) -> Result<(u64, bool), StoreError> {
    let mut heads = Sweep::whole(run.store, Heads::NAME);
    let mut newest = None;
    while let Some(step) = heads.next()? {
        if let Step::Row(key, _) = step {
            newest = size_of_leaves(run, key).or(newest);
        }
    }
    Ok(newest.map_or_else(|| (leaves(run), false), |size| (size, true)))
}

/// The size that a checkpoint stands under, if its last leaf is there, or was: its seal is.
fn size_of_leaves(run: &Run<'_>, key: &[u8]) -> Option<u64> {
    let size = u64::from_be_bytes(key.try_into().ok()?);
    let Some(last) = size.checked_sub(1) else { return Some(0) };
    let there = |table| matches!(run.store.get_raw(table, &[last.to_be_bytes().to_vec()]).pop(), Some(Ok(Some(_)) | Err(_)));
    (there(Leaves::NAME) || there(Seals::NAME)).then_some(size)
}

fn leaves(run: &Run<'_>) -> u64 {
    let last = |table| match run.store.before_raw(table, None) {
        Ok(Some((key, _))) => <[u8; 8]>::try_from(&*key).map_or(0, |key| u64::from_be_bytes(key).saturating_add(1)),
        Ok(None) | Err(_) => 0,
    };
    last(Leaves::NAME).max(last(Seals::NAME))
}
