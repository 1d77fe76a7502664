//! `fsck`: recomputes every hash, signature, state and index from leaf and seal, and compares with what is stored.
//!
//! It shares no function with append: leaves and faces are read at their offsets, hashes are made with the hash function itself, states come from a
//! model of their own. A mistake in append and the same mistake here would have to be made twice.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::tables::{Allotments, Bodies, ByTaxpayer, Heads, Invoices, Keys, Leaves, Reopens, Seals, Tiles};
use super::value::{EventSeal, InvRecord, InvoiceSeal, Seal};
use super::{Ledger, LedgerError};
use crate::codec::event::Role;
use crate::codec::leaf::KeyId;
use crate::crypto::body;
use crate::crypto::crossfoot::Crossfoot;
use crate::crypto::keyring::{Keyring, SignatureCheck};
use crate::crypto::note::Checkpoint;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::limits::FSCK_CHUNK;

/// A check of the whole ledger.
pub struct Fsck<'a> {
    /// What is checked, up to its published size.
    pub ledger: &'a Ledger,
    /// Tag and data key; without them tags and bodies are skipped.
    pub secrets: Option<&'a Keyring>,
    /// Told of (leaves done, leaves in all).
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Column family.
    pub table: &'static str,
    /// Leaf, invoice, tile or size.
    pub at: String,
    /// What is wrong.
    pub what: &'static str,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Leaves checked.
    pub leaves: u64,
    /// Rows of `inv` checked.
    pub invoices: u64,
    /// Signed checkpoints checked.
    pub checkpoints: u64,
    /// Bodies opened and compared.
    pub bodies: u64,
    /// Bodies that were erased: no fault.
    pub erased: u64,
    /// What was not checked, and why.
    pub skipped: Vec<&'static str>,
    /// What is wrong; empty if the ledger is sound.
    pub findings: Vec<Finding>,
}

/// An event on an invoice that exists: (leaf, time, what).
#[derive(Clone, Copy, Debug)]
struct Later {
    index: u64,
    time_ms: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Taken back by this much: amount, tax (negative).
    Red(i64, i64),
    /// A red against it was voided, giving this back.
    RedVoided(i64, i64),
    Voided,
    Status(u8),
}

/// What the log says, collected leaf by leaf.
#[derive(Default)]
struct Model {
    later: BTreeMap<[u8; 10], Vec<Later>>,
    invoices: u64,
    allotment_rows: u64,
    keys: u64,
    reopens: u64,
    /// Of each red: original and what it takes back.
    reds: BTreeMap<[u8; 10], ([u8; 10], i64, i64)>,
    time_ms: u64,
}

struct Signed {
    index: u64,
    key_id: [u8; 8],
    time_ms: u64,
    message: Vec<u8>,
    signature: [u8; 64],
}

impl Fsck<'_> {
    /// Runs the check. An error is a ledger that cannot even be read; everything else is a finding.
    pub fn run(&self) -> Result<FsckReport, LedgerError> {
        let mut report = FsckReport::default();
        if self.secrets.is_none() {
            report.skipped.push("id tags and bodies: the secret keys are locked");
        }
        let mut model = Model::default();
        self.log(&mut report, &mut model)?;
        self.invoices(&mut report, &model)?;
        self.derived(&mut report, &model)?;
        Ok(report)
    }

    fn log(&self, report: &mut FsckReport, model: &mut Model) -> Result<(), LedgerError> {
        let store = &self.ledger.store;
        let published = self.ledger.published();
        let mut crossfoot = Crossfoot::default();
        let mut tiles = TileCheck::default();
        let mut heads = store.scan_all::<Heads>().peekable();
        let mut seals = store.scan_all::<Seals>();
        let mut leaves = store.scan_all::<Leaves>();
        let mut signed = Vec::with_capacity(FSCK_CHUNK);

        let mut index = 0u64;
        loop {
            // Every checkpoint is the root of the leaves before it.
            while let Some(Ok((key, _))) = heads.peek() {
                if key.as_ref() > index.to_be_bytes().as_slice() {
                    break;
                }
                let Some(row) = heads.next() else { break };
                let (key, head) = row?;
                let mut keys = self.ledger.keys().iter().filter(|key| key.record.role() == Role::Checkpoint);
                let origin = self.ledger.origins().at(index);
                let opened = keys.find_map(|key| Checkpoint::open(&head.note, origin, &key.key).ok());
                let sound = opened.is_some_and(|(checkpoint, _)| checkpoint.size == index && checkpoint.root == crossfoot.root());
                if !sound || key.as_ref() != index.to_be_bytes() {
                    report.find("head", index, "the checkpoint is not the signed root of the leaves before it");
                }
                report.checkpoints += 1;
            }
            if index == published.size {
                break;
            }
            let (Some(leaf), Some(seal)) = (leaves.next(), seals.next()) else {
                report.find("leaf", index, "the log ends before its checkpoint");
                break;
            };
            let ((leaf_key, leaf), (seal_key, seal)) = (leaf?, seal?);
            if leaf_key.as_ref() != index.to_be_bytes() || seal_key.as_ref() != index.to_be_bytes() {
                report.find("leaf", index, "a leaf or its seal is missing");
                break;
            }
            let Ok(leaf) = <[u8; 96]>::try_from(leaf.as_slice()) else {
                report.find("leaf", index, "a leaf is not 96 bytes long");
                break;
            };
            crossfoot.push(&leaf);
            tiles.push(self.ledger, report, sha256(&[&[0], &leaf]))?;
            self.entry(index, &leaf, &seal, model, report, &mut signed)?;
            index += 1;
            if signed.len() >= FSCK_CHUNK {
                self.signatures(report, &signed);
                signed.clear();
                (self.progress)(index, published.size);
            }
        }
        self.signatures(report, &signed);
        if crossfoot.root() != published.root {
            report.find("head", published.size, "the newest root is not the root of the leaves");
        }
        if leaves.next().is_some() || heads.next().is_some() {
            report.find("leaf", index, "there are rows beyond the newest checkpoint");
        }
        report.leaves = index;
        (self.progress)(index, published.size);
        Ok(())
    }

    fn entry(
        &self,
        index: u64,
        leaf: &[u8; 96],
        seal: &Seal,
        model: &mut Model,
        report: &mut FsckReport,
        signed: &mut Vec<Signed>,
    ) -> Result<(), LedgerError> {
        let event = leaf[2];
        let time_ms = u64_at(leaf, 8);
        let (tag, commit, key_id) = (&leaf[24..56], &leaf[56..88], &leaf[88..96]);
        if time_ms < model.time_ms {
            report.find("leaf", index, "its time is before that of the leaf before");
        }
        model.time_ms = time_ms;

        let (message, signature, tagged) = match seal {
            Seal::Invoice(invoice) => {
                let Some(id) = invoice.face.get(2..12).and_then(|id| <[u8; 10]>::try_from(id).ok()).filter(|_| invoice.face.len() >= 49) else {
                    report.find("seal", index, "the face is too short");
                    return Ok(());
                };
                if sha256(&[b"fapiao/invoice/1\0", &invoice.face, &invoice.rest_digest]) != *commit {
                    report.find("seal", index, "the commit in the leaf is not that of face and rest digest");
                }
                if !matches!((event, invoice.original), (1, None) | (2, Some(_))) || invoice.face[1] != leaf[3] {
                    report.find("seal", index, "leaf and seal are of different events or kinds");
                }
                model.invoices += 1;
                let (amount, total) = (i64_at(&invoice.face, 16), i64_at(&invoice.face, 24));
                if let Some(original) = invoice.original {
                    model.reds.insert(id, (original, amount, total - amount));
                    model.later.entry(original).or_default().push(Later { index, time_ms, what: What::Red(amount, total - amount) });
                }
                self.body(index, commit, invoice, report)?;
                let message = [b"fapiao/invoice/1\0".as_slice(), &invoice.face, &invoice.rest_digest].concat();
                (message, invoice.signature, Some(invoice.original.unwrap_or(id)))
            }
            Seal::Event(sealed) => {
                let message = [b"fapiao/event/1\0".as_slice(), &[event], &sealed.salt, &sealed.data].concat();
                if sha256(&[&message]) != *commit {
                    report.find("seal", index, "the commit in the leaf is not that of the event");
                }
                let tagged = self.event(index, event, time_ms, sealed, model, report)?;
                (message, sealed.signature, tagged)
            }
        };
        if let Some(keyring) = self.secrets {
            let expected = tagged.map_or([0; 32], |id| hmac(keyring.tag_key(), &[b"fapiao/id/1\0", &id]));
            if expected != *tag {
                report.find("leaf", index, "the id tag is not that of the invoice");
            }
        }
        let mut key = [0; 8];
        key.copy_from_slice(key_id);
        signed.push(Signed { index, key_id: key, time_ms, message, signature });
        Ok(())
    }

    /// Enters an event on an invoice into the model; gives the id that its tag stands for.
    fn event(
        &self,
        index: u64,
        event: u8,
        time_ms: u64,
        sealed: &EventSeal,
        model: &mut Model,
        report: &mut FsckReport,
    ) -> Result<Option<[u8; 10]>, LedgerError> {
        let data = &sealed.data;
        model.allotment_rows += u64::from(event == 5 || event == 6);
        model.keys += u64::from(event == 7);
        model.reopens += u64::from(event == 14);
        if event == 7 && self.ledger.store.get::<Keys>(&index)?.as_ref() != Some(data) {
            report.find("key", index, "the row is not what its event says");
        }
        if event == 14 && self.ledger.store.get::<Reopens>(&index)?.as_ref() != Some(data) {
            report.find("reopen", index, "the row is not what its event says");
        }
        if !matches!(event, 3 | 4) {
            return Ok(None);
        }
        let Some(id) = data.get(1..11).and_then(|id| <[u8; 10]>::try_from(id).ok()).filter(|_| data.len() >= 12) else {
            report.find("seal", index, "the event's data is too short");
            return Ok(None);
        };
        let what = if event == 3 { What::Voided } else { What::Status(data[11]) };
        model.later.entry(id).or_default().push(Later { index, time_ms, what });
        let original = model.reds.get(&id).copied();
        if let (3, Some((original, amount, tax))) = (event, original) {
            model.later.entry(original).or_default().push(Later { index, time_ms, what: What::RedVoided(amount, tax) });
        }
        Ok(Some(original.map_or(id, |(original, ..)| original)))
    }

    fn body(&self, index: u64, commit: &[u8], invoice: &InvoiceSeal, report: &mut FsckReport) -> Result<(), LedgerError> {
        let Some(keyring) = self.secrets else { return Ok(()) };
        let Some(sealed) = self.ledger.store.get::<Bodies>(&index)? else {
            report.erased += 1;
            return Ok(());
        };
        let commit: [u8; 32] = commit.try_into().unwrap_or_default();
        match body::open(&sealed, |key_id| keyring.data_key(key_id), &commit) {
            Ok(opened) if sha256(&[b"fapiao/rest/1\0", &opened.salt, &opened.rest]) == invoice.rest_digest => report.bodies += 1,
            Ok(_) => report.find("body", index, "the body is not what was signed"),
            Err(_) => report.find("body", index, "the body does not open"),
        }
        Ok(())
    }

    /// Checks signatures on all cores.
    fn signatures(&self, report: &mut FsckReport, signed: &[Signed]) {
        let keys = self.ledger.keys();
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = signed.len().div_ceil(workers).max(1);
        let bad: Vec<u64> = std::thread::scope(|scope| {
            let checks: Vec<_> = signed
                .chunks(share)
                .map(|chunk| {
                    scope.spawn(move || {
                        let bad = chunk.iter().filter(|signed| {
                            let time = UnixMillis(signed.time_ms);
                            keys.check(Role::Authority, KeyId(signed.key_id), time, &signed.message, &signed.signature) != SignatureCheck::Valid
                        });
                        bad.map(|signed| signed.index).collect::<Vec<_>>()
                    })
                })
                .collect();
            checks.into_iter().flat_map(|check| check.join().unwrap_or_default()).collect()
        });
        for index in bad {
            report.find("seal", index, "the signature is not of a key that was valid then");
        }
    }

    /// Every row of `inv` is what the log makes of it, and there is one for every issue and red.
    fn invoices(&self, report: &mut FsckReport, model: &Model) -> Result<(), LedgerError> {
        let size = self.ledger.published().size;
        for row in self.ledger.store.scan_all::<Invoices>() {
            let (key, stored) = row?;
            report.invoices += 1;
            let Ok(id) = <[u8; 10]>::try_from(key.as_ref()) else {
                report.find("inv", report.invoices, "the key is not an invoice id");
                continue;
            };
            let what = match self.expected(id, &stored, model, size)? {
                Some(expected) if expected == stored => continue,
                Some(_) => "the row is not what the log makes of it",
                None => "the row has no leaf of its own in the log",
            };
            report.findings.push(Finding { table: "inv", at: id_text(id), what });
        }
        if report.invoices != model.invoices {
            report.find("inv", report.invoices, "there are not as many rows as invoices in the log");
        }
        Ok(())
    }

    fn expected(&self, id: [u8; 10], stored: &InvRecord, model: &Model, size: u64) -> Result<Option<InvRecord>, LedgerError> {
        if stored.index >= size {
            return Ok(None);
        }
        let (Some(leaf), Some(Seal::Invoice(seal))) =
            (self.ledger.store.get::<Leaves>(&stored.index)?, self.ledger.store.get::<Seals>(&stored.index)?)
        else {
            return Ok(None);
        };
        if leaf.len() != 96 || seal.face.get(2..12) != Some(id.as_slice()) || seal.face.len() < 49 {
            return Ok(None);
        }
        let (amount, total) = (i64_at(&seal.face, 16), i64_at(&seal.face, 24));
        let mut row = InvRecord {
            index: stored.index,
            time_ms: u64_at(&leaf, 8),
            commit: leaf[56..88].try_into().unwrap_or_default(),
            content_digest: seal.content_digest,
            check_code_generated: seal.check_code_generated,
            imported: leaf[7] & 1 == 1,
            original: seal.original,
            voided: None,
            suspended: None,
            live_reds: 0,
            remaining_amount: amount,
            remaining_tax: total - amount,
            last_event: stored.index,
            last_event_ms: u64_at(&leaf, 8),
            face: seal.face,
        };
        for later in model.later.get(&id).into_iter().flatten() {
            match later.what {
                What::Red(amount, tax) => {
                    row.live_reds += 1;
                    row.remaining_amount += amount;
                    row.remaining_tax += tax;
                }
                What::RedVoided(amount, tax) => {
                    row.live_reds = row.live_reds.saturating_sub(1);
                    row.remaining_amount -= amount;
                    row.remaining_tax -= tax;
                }
                What::Voided => row.voided = Some(later.index),
                What::Status(5) => row.suspended = None,
                What::Status(6) => (row.remaining_amount, row.remaining_tax) = (0, 0),
                What::Status(mark) => row.suspended = Some((mark, later.index)),
            }
            row.last_event = later.index;
            row.last_event_ms = later.time_ms;
        }
        Ok(Some(row))
    }

    /// Allotments, keys and the index by seller have the row that each event makes, and no other.
    fn derived(&self, report: &mut FsckReport, model: &Model) -> Result<(), LedgerError> {
        let store = &self.ledger.store;
        let mut allotment_rows = 0;
        for row in store.scan_all::<Allotments>() {
            let (key, record) = row?;
            allotment_rows += 1;
            let sound = match store.get::<Seals>(&record.index)? {
                // An allotment: version, length u16, taxpayer, kind, range. A mark: version, range, mark. A range: code, first, last.
                Some(Seal::Event(event)) => {
                    let taxpayer = record.taxpayer.as_bytes();
                    let range = [key.get(1..7).unwrap_or_default(), &record.first, key.get(7..11).unwrap_or_default()].concat();
                    let data = match record.mark {
                        0 => [&[1, 0, u8::try_from(taxpayer.len()).unwrap_or(u8::MAX)], taxpayer, &[record.kind], &range].concat(),
                        mark => [&[1][..], &range, &[mark]].concat(),
                    };
                    let place = [&[u8::from(record.mark != 0)][..], &range[..6], &range[10..], &record.index.to_be_bytes()].concat();
                    event.data == data && *key == *place
                }
                Some(Seal::Invoice(_)) | None => false,
            };
            if !sound {
                report.find("allot", record.index, "the row is not what its event says");
            }
        }
        if allotment_rows != model.allotment_rows {
            report.find("allot", allotment_rows, "there are not as many rows as events");
        }
        let keys = store.scan_all::<Keys>().try_fold(0u64, |count, row| row.map(|_| count + 1))?;
        if keys != model.keys {
            report.find("key", keys, "there are not as many rows as key events");
        }
        let reopens = store.scan_all::<Reopens>().try_fold(0u64, |count, row| row.map(|_| count + 1))?;
        if reopens != model.reopens {
            report.find("reopen", reopens, "there are not as many rows as notices");
        }
        let mut by_taxpayer = 0;
        for row in store.scan_all::<ByTaxpayer>() {
            let (key, _) = row?;
            by_taxpayer += 1;
            let index = u64_at(&key, 24);
            // A face ends in length u8 and seller; a key is the seller in 20 bytes, the date and the index.
            let expected = store.get::<Seals>(&index)?.and_then(|seal| match seal {
                Seal::Invoice(invoice) => {
                    let check_digits = usize::from(*invoice.face.get(32)?);
                    let mut expected = invoice.face.get(34 + check_digits..)?.to_vec();
                    expected.resize(20, 0);
                    Some([&expected, invoice.face.get(12..16)?, &index.to_be_bytes()].concat())
                }
                Seal::Event(_) => None,
            });
            if expected.as_deref() != Some(&*key) {
                report.find("tax", index, "the row is not of the invoice's seller and date");
            }
        }
        if by_taxpayer != model.invoices {
            report.find("tax", by_taxpayer, "there are not as many rows as invoices");
        }
        Ok(())
    }
}

/// Compares stored tiles with hashes made here, level by level.
#[derive(Default)]
struct TileCheck {
    /// Hashes of the tile being filled, per level, and how many tiles of that level are complete.
    levels: Vec<(Vec<[u8; 32]>, u64)>,
}

impl TileCheck {
    fn push(&mut self, ledger: &Ledger, report: &mut FsckReport, leaf_hash: [u8; 32]) -> Result<(), LedgerError> {
        let mut carry = leaf_hash;
        for level in 0u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push((Vec::with_capacity(256), 0));
            }
            let Some((hashes, complete)) = self.levels.get_mut(at) else { break };
            hashes.push(carry);
            if hashes.len() < 256 {
                break;
            }
            if ledger.store.get::<Tiles>(&(level, *complete))?.is_none_or(|tile| tile != hashes.concat()) {
                report.findings.push(Finding { table: "tile", at: format!("{level}/{complete}"), what: "the tile is not that of the leaves" });
            }
            let mut row = std::mem::take(hashes);
            while row.len() > 1 {
                row = row.chunks_exact(2).map(|pair| sha256(&[&[1], &pair[0], &pair[1]])).collect();
            }
            *complete += 1;
            carry = row.first().copied().unwrap_or_default();
        }
        Ok(())
    }
}

impl FsckReport {
    fn find(&mut self, table: &'static str, at: u64, what: &'static str) {
        self.findings.push(Finding { table, at: at.to_string(), what });
    }
}

fn id_text(id: [u8; 10]) -> String {
    InvoiceId::from_bytes(id).map_or_else(|| data_encoding::HEXLOWER.encode(&id), |id| id.to_string())
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes)
}
