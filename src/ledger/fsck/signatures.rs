//! Signatures, many by one equation; only if it does not hold are they looked at one by one, strictly, so that the wrong ones are named.

use std::ops::Range;

use super::Run;
use super::findings::At;
use super::history::History;
use super::layout::Leaf;
use crate::codec::event::Role;
use crate::codec::leaf::KeyId;
use crate::crypto::batch::{self, Claim};
use crate::crypto::keyring::{Logged, SignatureCheck};
use crate::crypto::sign::PublicKey;
use crate::domain::time::UnixMillis;
use crate::ledger::tables::{Heads, Seals, Table as _};
use crate::limits::FSCK_BATCH;

/// What a signature is on.
#[derive(Clone, Copy)]
enum Of {
    Leaf { index: u64, key_id: KeyId, time: UnixMillis },
    Head { size: u64 },
}

struct Item<'a> {
    message: Range<usize>,
    signature: [u8; 64],
    key: &'a PublicKey,
    of: Of,
}

/// Signatures that wait to be checked together.
pub(super) struct Signatures<'a> {
    run: &'a Run<'a>,
    history: &'a History,
    messages: Vec<u8>,
    items: Vec<Item<'a>>,
}

impl<'a> Signatures<'a> {
    pub(super) fn new(run: &'a Run<'a>, history: &'a History) -> Signatures<'a> {
        Signatures { run, history, messages: Vec::new(), items: Vec::with_capacity(FSCK_BATCH) }
    }

    /// The authority's on what a leaf commits to; the message in pieces.
    pub(super) fn of_leaf(&mut self, index: u64, leaf: &Leaf, message: &[&[u8]], signature: [u8; 64]) {
        let (key_id, time) = (KeyId(leaf.key_id()), UnixMillis(leaf.time_ms()));
        let enrolled = self.history.keys.get(key_id);
        match enrolled.filter(|enrolled| enrolled.record.role() == Role::Authority && enrolled.counts_at(time, Logged::At(index))) {
            Some(enrolled) => self.add(message, signature, &enrolled.key, Of::Leaf { index, key_id, time }),
            None => self.report(Of::Leaf { index, key_id, time }),
        }
    }

    /// The checkpoint key's on the text of a note.
    pub(super) fn of_head(&mut self, size: u64, text: &str, signature: [u8; 64], key: &'a PublicKey) {
        self.add(&[text.as_bytes()], signature, key, Of::Head { size });
    }

    fn add(&mut self, message: &[&[u8]], signature: [u8; 64], key: &'a PublicKey, of: Of) {
        let begin = self.messages.len();
        message.iter().for_each(|piece| self.messages.extend_from_slice(piece));
        self.items.push(Item { message: begin..self.messages.len(), signature, key, of });
        if self.items.len() == FSCK_BATCH {
            self.check();
        }
    }

    /// Checks what waits.
    pub(super) fn check(&mut self) {
        let message = |item: &Item<'_>| self.messages.get(item.message.clone()).unwrap_or_default();
        let claims = self.items.iter().map(|item| Claim { key: item.key, message: message(item), signature: &item.signature });
        if !batch::all_fit(&self.run.how.seed, claims) {
            for item in &self.items {
                let fits = match item.of {
                    Of::Leaf { index, key_id, time } => {
                        self.history.keys.check(Role::Authority, key_id, time, Logged::At(index), message(item), &item.signature)
                            == SignatureCheck::Valid
                    }
                    Of::Head { .. } => item.key.verify(message(item), &item.signature),
                };
                if !fits {
                    self.report(item.of);
                }
            }
        }
        self.messages.clear();
        self.items.clear();
    }

    fn report(&self, of: Of) {
        match of {
            Of::Leaf { index, .. } => self.run.findings.add(Seals::NAME, At::Number(index), "the signature is not of a key that was valid then"),
            Of::Head { size } => report_head(self.run, size),
        }
    }
}

pub(super) fn report_head(run: &Run<'_>, size: u64) {
    run.findings.add(Heads::NAME, At::Number(size), "the checkpoint is not the signed root of the leaves before it");
}
