//! The second pass over a part of the log: everything that a leaf, its seal and its body say, every checkpoint, and what the tables that are in another
//! order must hold.

use super::Run;
use super::findings::{At, LEAF_MISSING, UNDECODABLE};
use super::heads::HeadKeys;
use super::history::{FaceSums, History};
use super::layout::{Erased, FACE_BYTES_MIN, Face, ISSUE, Id, Leaf, RED, Said, content_digests, said, sha256};
use super::signatures::Signatures;
use super::sums::{RowHash, Sum};
use super::sweep::{Cell, Column};
use super::tree::{Tree, leaf_hash};
use crate::crypto::body;
use crate::ledger::store::StoreError;
use crate::ledger::tables::{Bodies, Heads, Leaves, Seals, Table as _};
use crate::ledger::value::{self, EventSeal, InvoiceSeal, Seal};

/// What the second pass over any part needs to know of the whole log.
pub(super) struct Plan<'a> {
    pub(super) history: &'a History,
    pub(super) tree: &'a Tree,
    pub(super) head_keys: HeadKeys,
    pub(super) tags: Option<super::layout::Tags>,
    pub(super) inv: RowHash,
    pub(super) tax: RowHash,
}

/// What the second pass counts and adds up.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) checkpoints: u64,
    pub(super) bodies: u64,
    /// Leaf and invoice of each body in whose place something says that it was erased.
    pub(super) erased: Vec<(u64, Id)>,
    /// Rows that `inv` and `tax` must hold by the log.
    pub(super) inv: Sum,
    pub(super) tax: Sum,
    /// Leaves of which nothing can be said about other tables.
    pub(super) unread: u64,
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Tally) {
        self.checkpoints += other.checkpoints;
        self.bodies += other.bodies;
        self.erased.extend_from_slice(&other.erased);
        self.inv.merge(&other.inv);
        self.tax.merge(&other.tax);
        self.unread += other.unread;
    }
}

/// One worker: signatures of several parts are checked together.
pub(super) struct Worker<'a> {
    run: &'a Run<'a>,
    plan: &'a Plan<'a>,
    pub(super) signatures: Signatures<'a>,
    pub(super) tally: Tally,
}

impl<'a> Worker<'a> {
    pub(super) fn new(run: &'a Run<'a>, plan: &'a Plan<'a>) -> Worker<'a> {
        Worker { run, plan, signatures: Signatures::new(run, plan.history), tally: Tally::default() }
    }

    /// Checks a part of the log, by its number from 0.
    pub(super) fn check(&mut self, part: usize, from: u64, until: u64) -> Result<(), StoreError> {
        let run = self.run;
        let mut leaves = Column::new(run, Leaves::NAME, &[], from, until);
        let mut seals = Column::new(run, Seals::NAME, &[], from, until);
        let mut bodies = run.how.secrets.map(|_| Column::new(run, Bodies::NAME, &[], from, until));
        let mut heads = Column::new(run, Heads::NAME, &[], if from == 0 { 0 } else { from + 1 }, until + 1);
        let mut peaks = self.plan.tree.before(part);
        if from == 0 {
            let first = heads.row(0)?;
            if matches!(first, Cell::Absent) {
                run.findings.add(Heads::NAME, At::Number(0), "the checkpoint is missing");
            }
            self.head(0, 0, first, &peaks);
        }
        for index in from..until {
            let leaf = match leaves.row(index)? {
                Cell::Row(bytes) => Leaf::of(bytes),
                // Said in the first pass.
                Cell::Absent | Cell::Unreadable => None,
            };
            let seal = match seals.row(index)? {
                Cell::Row(bytes) => match value::decode::<Seal>(bytes) {
                    Ok(seal) => Some(seal),
                    Err(error) => {
                        run.findings.add_with(Seals::NAME, At::Number(index), UNDECODABLE, error);
                        None
                    }
                },
                Cell::Absent => {
                    run.findings.add(Seals::NAME, At::Number(index), LEAF_MISSING);
                    None
                }
                Cell::Unreadable => None,
            };
            let body = match &mut bodies {
                Some(bodies) => bodies.row(index)?,
                None => Cell::Unreadable,
            };
            let time_ms = leaf.as_ref().map_or(0, Leaf::time_ms);
            let stored = leaf.as_ref().map(|leaf| leaf_hash(&leaf.0));
            peaks.push(0, self.plan.tree.instead_of(index).or(stored).unwrap_or_default());
            match (leaf, seal) {
                (Some(leaf), Some(seal)) => self.entry(index, &leaf, seal, body),
                _ => self.tally.unread += 1,
            }
            self.head(index + 1, time_ms, heads.row(index + 1)?, &peaks);
            if (index + 1).is_multiple_of(256) {
                run.progress.second(256);
            }
        }
        run.progress.second(until % 256);
        Ok(())
    }

    fn entry(&mut self, index: u64, leaf: &Leaf, seal: Seal, body: Cell<'_>) {
        let run = self.run;
        if !leaf.is_well_formed(index) {
            run.findings.add(Leaves::NAME, At::Number(index), "the leaf is not laid out as such a leaf must be");
        }
        let tagged = match seal {
            Seal::Invoice(invoice) => self.invoice(index, leaf, invoice, body),
            Seal::Event(event) => {
                if matches!(body, Cell::Row(_)) {
                    run.findings.add(Bodies::NAME, At::Number(index), "the body is of no invoice");
                }
                self.event(index, leaf, &event)
            }
        };
        if let (Some(tags), Ok(tagged)) = (&self.plan.tags, tagged)
            && tagged.map_or([0; 32], |id| tags.of(&id)) != leaf.tag()
        {
            run.findings.add(Leaves::NAME, At::Number(index), "the id tag is not that of the invoice");
        }
    }

    /// Gives the id that the leaf's tag stands for, if it can be known.
    fn invoice(&mut self, index: u64, leaf: &Leaf, invoice: InvoiceSeal, body: Cell<'_>) -> Result<Option<Id>, ()> {
        let run = self.run;
        let message: [&[u8]; 3] = [b"fapiao/invoice/1\0", &invoice.face, &invoice.rest_digest];
        if sha256(&message) != leaf.commit() {
            run.findings.add(Seals::NAME, At::Number(index), "the commit in the leaf is not that of face and rest digest");
        }
        self.signatures.of_leaf(index, leaf, &message, invoice.signature);
        self.body(index, leaf, &invoice, body);
        let Some(face) = Face::of(&invoice.face) else {
            let short = invoice.face.len() < FACE_BYTES_MIN;
            let what = if short { "the face is too short" } else { "the face is not laid out as a face must be" };
            run.findings.add(Seals::NAME, At::Number(index), what);
            self.tally.unread += 1;
            return Err(());
        };
        if !matches!((leaf.event(), invoice.original), (ISSUE, None) | (RED, Some(_))) || face.kind != leaf.kind() {
            run.findings.add(Seals::NAME, At::Number(index), "leaf and seal are of different events or kinds");
        }
        self.plan.history.meet(run, &face.id, index, leaf.kind());
        self.tally.tax.add(&self.plan.tax.of(&face.tax_key(index), &[]));
        let (sums, tagged) = (FaceSums::from(&face), invoice.original.unwrap_or(face.id));
        let row = self.plan.history.row(index, leaf, invoice, &sums);
        self.tally.inv.add(&self.plan.inv.of(&sums.id, &value::encode(&row)));
        Ok(Some(tagged))
    }

    fn body(&mut self, index: u64, leaf: &Leaf, invoice: &InvoiceSeal, body: Cell<'_>) {
        let Some(keyring) = self.run.how.secrets else { return };
        let findings = &self.run.findings;
        let sealed = match body {
            Cell::Row(sealed) => sealed,
            Cell::Absent => {
                findings.add(Bodies::NAME, At::Number(index), "the body is missing, and nothing says that it was erased");
                return;
            }
            Cell::Unreadable => return,
        };
        if let Some(erasure) = Erased::of(sealed) {
            self.erased(index, leaf, invoice, &erasure);
            return;
        }
        match body::open(sealed, |key_id| keyring.data_key(key_id), &leaf.commit()) {
            Ok(opened) if sha256(&[b"fapiao/rest/1\0", &opened.salt, &opened.rest]) == invoice.rest_digest => {
                self.tally.bodies += 1;
                if !content_digests(leaf.event(), &invoice.face, &opened.rest).contains(&Some(invoice.content_digest)) {
                    findings.add(Seals::NAME, At::Number(index), "the content digest is not that of face and body");
                }
            }
            Ok(_) => findings.add(Bodies::NAME, At::Number(index), "the body is not what was signed"),
            Err(error) => findings.add_with(Bodies::NAME, At::Number(index), "the body does not open", error),
        }
    }

    /// What stands in the place of a body that was erased; whether the audit trail knows of it is asked at the end.
    fn erased(&mut self, index: u64, leaf: &Leaf, invoice: &InvoiceSeal, erasure: &Erased<'_>) {
        let Some(keyring) = self.run.how.secrets else { return };
        let findings = &self.run.findings;
        if erasure.time_ms < leaf.time_ms() {
            findings.add(Bodies::NAME, At::Number(index), "the body was erased before it was there");
        }
        if let Some(salt) = erasure.salt {
            match body::open(salt, |key_id| keyring.data_key(key_id), &leaf.commit()) {
                Ok(opened) if opened.rest.is_empty() => {}
                Ok(_) => findings.add(Bodies::NAME, At::Number(index), "the body is not erased, although it says so"),
                Err(error) => findings.add_with(Bodies::NAME, At::Number(index), "the salt of the erased body does not open", error),
            }
        }
        if let Some(face) = Face::of(&invoice.face) {
            self.tally.erased.push((index, face.id));
        }
    }

    fn event(&mut self, index: u64, leaf: &Leaf, sealed: &EventSeal) -> Result<Option<Id>, ()> {
        let run = self.run;
        let message: [&[u8]; 4] = [b"fapiao/event/1\0", &[leaf.event()], &sealed.salt, &sealed.data];
        if sha256(&message) != leaf.commit() {
            run.findings.add(Seals::NAME, At::Number(index), "the commit in the leaf is not that of the event");
        }
        self.signatures.of_leaf(index, leaf, &message, sealed.signature);
        if matches!(leaf.event(), ISSUE | RED) {
            run.findings.add(Seals::NAME, At::Number(index), "leaf and seal are of different events or kinds");
            return Err(());
        }
        match said(leaf.event(), index, &sealed.data) {
            Some(Said::Void(id) | Said::Status(id, _)) => Ok(Some(self.plan.history.original_of(&id).unwrap_or(id))),
            Some(Said::Allotment(..) | Said::Key(_) | Said::Answers(_) | Said::Reopen(_) | Said::Policy | Said::Nothing) => Ok(None),
            None => {
                run.findings.add(Seals::NAME, At::Number(index), "the event's data is not laid out as such an event's must be");
                Err(())
            }
        }
    }

    /// The checkpoint of the first `size` leaves, if one was signed; the last of them has this time.
    fn head(&mut self, size: u64, time_ms: u64, row: Cell<'_>, peaks: &super::tree::Peaks) {
        let Cell::Row(row) = row else { return };
        self.tally.checkpoints += 1;
        let root = self.plan.tree.unknown.is_none_or(|unknown| size <= unknown).then(|| peaks.root());
        self.plan.head_keys.check(self.run, size, time_ms, root, row, &mut self.signatures);
    }
}
