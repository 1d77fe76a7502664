//! `fsck`: a sound ledger is clean, and damage in any table is reported where it is.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fapiao::codec::event::{EventData, KeyRecord, PolicyNotice, Role};
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::policy::Policy;
use fapiao::crypto::sign::SigningKey;
use fapiao::domain::allotment::Mark;
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{InvoiceCode, InvoiceId};
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Engine, EngineError};
use fapiao::issue;
use fapiao::ledger::{Finding, Fsck, FsckReport, Ledger, LedgerError, Opening, Reopening, Sealed, StoreError};
use fapiao::verify::verdict::Verdict;
use rocksdb::{DB, IteratorMode, Options};
use serde_json::json;

use crate::support::{self, Site, allot_all, generated, holder_is_told, id, import, logged, plain, range, red, seller, submit, tax};

/// A leaf of an event on an invoice, early enough that opening the ledger does not already read it: that reads what is beyond the last full tile.
const EARLY: u64 = 13;
/// A late one.
const EVENT: u64 = 255;

/// Everything that can be logged, for all six types, and enough after it to fill a tile.
pub(crate) fn eventful(site: &Site) -> Engine {
    let engine = site.create();
    allot_all(&engine);
    for kind in Kind::ALL {
        let original = plain(kind, 1, Fen(100_000));
        logged(submit(&engine, &original));
        logged(submit(&engine, &generated(kind, 5, 2)));
        logged(submit(&engine, &red(&original, 3, Fen(40_000), tax(kind, Fen(40_000)))));
        logged(submit(&engine, &red(&original, 4, Fen(10_000), tax(kind, Fen(10_000)))));
        logged(engine.status(id(kind, 2), Mark::Abnormal));
        logged(engine.status(id(kind, 3), Mark::Stolen));
        logged(engine.status(id(kind, 3), Mark::Lifted));
        if kind.profile().paper {
            logged(engine.void(id(kind, 2), Some(seller())));
            logged(engine.void(id(kind, 4), None));
        }
        logged(engine.allotment_status(range(kind, 20, 29), Mark::Lost));
        logged(engine.allotment_status(range(kind, 25, 40), Mark::Lifted));
        logged(engine.allotment_status(range(kind, 50, 59), Mark::BlankVoid));
        for (number, state) in [(11, "normal"), (12, "voided"), (13, "red_flushed"), (14, "abnormal")] {
            let mut historic = plain(kind, number, Fen(50_000));
            historic["state"] = json!(state);
            if kind.profile().has_check_code {
                historic["check_code"] = json!("20930011785541236098");
            }
            logged(import(&engine, &historic));
        }
    }
    // Taken back in full.
    let original = plain(Kind::Electronic, 61, Fen(100));
    logged(submit(&engine, &original));
    logged(submit(&engine, &red(&original, 62, Fen(100), Fen(13))));
    fill(site, &engine, 300);
    engine
}

/// Status events until the ledger has `size` leaves.
pub(crate) fn fill(site: &Site, engine: &Engine, size: u64) {
    let keys = site.keyring();
    let events = [Mark::Lost, Mark::Lifted].map(|mark| issue::status(id(Kind::Special, 1), mark, &keys, [9; 16]).expect("signed"));
    let missing = size.saturating_sub(engine.ledger().published().size);
    let pending: Vec<_> = events.iter().cycle().zip(0..missing).map(|(event, _)| engine.ledger().submit(event.clone())).collect();
    for outcome in pending {
        assert!(outcome.blocking_recv().expect("answered").is_ok());
    }
}

fn fsck(engine: &Engine) -> FsckReport {
    engine.fsck(&|_, _| ()).expect("a report")
}

/// A check of the closed ledger.
fn examine(site: &Site) -> FsckReport {
    examine_with(site, 2).expect("a report")
}

fn examine_with(site: &Site, workers: usize) -> Result<FsckReport, LedgerError> {
    let keyring = site.keyring();
    let workers = NonZero::new(workers).expect("one or more");
    let how = Fsck { secrets: Some(&keyring), progress: &|_, _| (), seed: [5; 32], workers };
    Ledger::fsck_at(&site.directory().into(), site.config().sizes, &how)
}

/// The findings without their details, a line each.
fn told(report: &FsckReport) -> Vec<String> {
    report.findings.iter().map(|Finding { table, at, what, .. }| format!("{table} {at}: {what}")).collect()
}

fn be(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// The database past the ledger.
fn database(site: &Site) -> DB {
    support::database(&site.directory())
}

#[test]
fn a_sound_ledger_is_clean_and_an_erased_body_is_no_fault_but_a_lost_one_is() {
    let site = Site::new();
    let engine = eventful(&site);
    let progress = std::sync::Mutex::new(Vec::new());
    let report = engine.fsck(&|done, all| progress.lock().expect("progress").push((done, all))).expect("a report");
    let size = engine.ledger().published().size;
    let invoices = 6 * 8 + 2;
    let checkpoints = engine.ledger().checkpoints().count() as u64;
    let sound = FsckReport { leaves: size, invoices, checkpoints, bodies: invoices, ..FsckReport::default() };
    assert_eq!(report, sound);
    assert_eq!(progress.into_inner().expect("progress").last(), Some(&(size, size)));
    let lost = engine.ledger().look_up(id(Kind::Roll, 1)).expect("readable").1.expect("issued").index;
    engine.erase(id(Kind::Roll, 2), "case 7", &Caller::CONSOLE).expect("erased").expect("issued");
    let erased = FsckReport { bodies: invoices - 1, erased: 1, ..sound.clone() };
    assert_eq!(fsck(&engine), erased);
    drop(engine);

    let locked = site.open_locked().expect("without keys");
    let skipped = vec!["id tags and bodies: the secret keys are locked".to_owned()];
    assert_eq!(fsck(&locked), FsckReport { bodies: 0, skipped, ..sound.clone() });
    drop(locked);

    let db = database(&site);
    db.delete_cf(db.cf_handle("body").expect("body"), lost.to_be_bytes()).expect("deleted");
    drop(db);
    let report = fsck(&site.open().expect("reopened"));
    let whats: Vec<_> = report.findings.iter().map(|finding| (finding.table, finding.at.as_str(), finding.what)).collect();
    assert_eq!(whats, [("body", lost.to_string().as_str(), "the body is missing, and nothing says that it was erased")]);
    assert_eq!((report.bodies, report.erased), (invoices - 2, 1));

    // A row that only looks like an erasure is not enough: the trail has to know of it.
    let db = database(&site);
    let row = [&[2][..], &site.now().0.to_be_bytes()].concat();
    db.put_cf(db.cf_handle("body").expect("body"), lost.to_be_bytes(), row).expect("written");
    drop(db);
    let report = fsck(&site.open().expect("reopened"));
    let whats: Vec<_> = report.findings.iter().map(|finding| (finding.table, finding.at.as_str(), finding.what)).collect();
    assert_eq!(whats, [("body", lost.to_string().as_str(), "the body was erased, and the audit trail does not say by whom")]);
}

/// What is done to a row.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Removed,
    /// The lowest bit of this byte of the value, from its end if negative.
    Flipped(isize),
    Cut,
    /// The lowest bit of this byte of the key.
    Moved(usize),
    /// One character of a checkpoint's signature; it stays well-formed base64.
    Resigned,
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

impl Damage {
    /// The row as it is afterwards.
    fn of(self, key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Damage::Removed => None,
            Damage::Flipped(at) => {
                let at = usize::try_from(at).unwrap_or_else(|_| value.len() - at.unsigned_abs());
                Some((key.to_vec(), flipped(value, at)))
            }
            Damage::Cut => Some((key.to_vec(), value[..value.len() - 1].to_vec())),
            Damage::Moved(at) => Some((flipped(key, at), value.to_vec())),
            Damage::Resigned => {
                let mut value = value.to_vec();
                let at = value.iter().rposition(|byte| *byte == b'\n').expect("a note ends in a new line") - 20;
                value[at] = if value[at] == b'A' { b'B' } else { b'A' };
                Some((key.to_vec(), value))
            }
        }
    }
}

/// The row that is damaged, what is done to it, and all that is then found.
struct Plant<'a> {
    table: &'a str,
    key: Vec<u8>,
    damage: Damage,
    found: Vec<String>,
}

/// Does the damage, checks, and undoes it; says what was found, if it was not that.
fn plant(site: &Site, plant: &Plant<'_>) -> Option<String> {
    let Plant { table, key, damage, found } = plant;
    let db = database(site);
    let family = db.cf_handle(table).expect("a family");
    let value = db.get_cf(family, key).expect("readable").expect("the row is there");
    let damaged = damage.of(key, &value);
    db.delete_cf(family, key).expect("deleted");
    if let Some((key, value)) = &damaged {
        db.put_cf(family, key, value).expect("written");
    }
    drop(db);

    let report = examine(site);
    // The same of an open ledger, if it opens.
    if let Ok(engine) = site.open() {
        assert_eq!(fsck(&engine), report);
    }

    let db = database(site);
    let family = db.cf_handle(table).expect("a family");
    if let Some((key, _)) = damaged {
        db.delete_cf(family, key).expect("deleted");
    }
    db.put_cf(family, key, value).expect("written");
    (told(&report) != *found).then(|| format!("{table} {key:?} {damage:?}: {:#?}", told(&report)))
}

#[test]
fn damage_in_each_table_is_reported_there() {
    let site = Site::new();
    let engine = eventful(&site);
    let ledger = engine.ledger();
    let row_of = |id| ledger.look_up(id).expect("readable").1.expect("issued");
    let invoice = (0..250)
        .find(|index| matches!(ledger.receipt(*index), Ok(Some(receipt)) if *index > EARLY && matches!(receipt.sealed, Sealed::Invoice { .. })));
    let invoice = invoice.expect("an invoice");
    let roll = id(Kind::Roll, 1);
    let roll_index = row_of(roll).index;
    let head = ledger.checkpoints().map(|row| row.expect("readable").0).find(|size| *size > EARLY).expect("a checkpoint");
    let checkpoints = ledger.checkpoints().count();
    drop(engine);
    // Keys as they are stored.
    let db = database(&site);
    let keys = |table: &str| {
        let rows = db.iterator_cf(db.cf_handle(table).expect("a family"), IteratorMode::Start);
        rows.map(|row| row.expect("readable").0.to_vec()).collect::<Vec<_>>()
    };
    let (allots, taxes, invoices) = (keys("allot"), keys("tax"), keys("inv").len());
    drop(db);
    let marked = |mark: u8| allots.iter().find(|key| key[0] == mark).expect("a row").clone();
    let index_in = |key: &[u8]| u64::from_be_bytes(key[key.len() - 8..].try_into().expect("eight bytes"));

    let (allotted, mark) = (marked(0), marked(1));
    let roll_key = roll.to_bytes().to_vec();
    // The same number of the next code.
    let elsewhere = InvoiceId { code: InvoiceCode::parse("051001900106").expect("a code"), number: roll.number };
    let (in_allotted, in_mark, in_tax) = (index_in(&allotted), index_in(&mark), index_in(&taxes[0]));
    let instead = |at: u64| format!("leaf {at}: the leaf is not the one in the signed tree");
    let of_event = |table: &str, at: u64| format!("{table} {at}: the row is not what its event says");
    let missing = |table: &str, at: &dyn std::fmt::Display| format!("{table} {at}: the row is missing");
    let of_seller = format!("tax {in_tax}: the row is not of the invoice's seller and date");
    let fewer = |table: &str, rows: usize, what: &str| format!("{table} {}: there are not as many rows as {what}", rows - 1);
    let wrong_state = |id: InvoiceId| format!("inv {id}: the row is not what the log makes of it");
    let not_signed = |at: u64| format!("seal {at}: the signature is not of a key that was valid then");
    let touched = id(Kind::Special, 2);
    use Damage::{Cut, Flipped, Moved, Removed, Resigned};
    let mut otherwise = Vec::new();
    for (table, key, damage, found) in [
        // A byte of the tag; the time; the reference; the shard; the commit.
        ("leaf", be(EARLY), Flipped(30), vec![format!("leaf {EARLY}: the id tag is not that of the invoice"), instead(EARLY)]),
        (
            "leaf",
            be(EARLY),
            Flipped(10),
            vec![
                format!("leaf {EARLY}: its time is before that of the leaf before"),
                instead(EARLY),
                not_signed(EARLY),
                format!("head {}: its time is not that of the leaf before it", EARLY + 1),
            ],
        ),
        ("leaf", be(EARLY), Flipped(23), vec![format!("leaf {EARLY}: it does not refer to the leaf of its invoice"), instead(EARLY)]),
        ("leaf", be(EARLY), Flipped(5), vec![format!("leaf {EARLY}: the leaf is not laid out as such a leaf must be"), instead(EARLY)]),
        ("leaf", be(EARLY), Flipped(60), vec![instead(EARLY), format!("seal {EARLY}: the commit in the leaf is not that of the event")]),
        ("seal", be(EARLY), Flipped(-1), vec![not_signed(EARLY)]),
        // What the event said, nobody knows any more.
        ("leaf", be(EARLY), Cut, vec![format!("leaf {EARLY}: a leaf is not 96 bytes long"), wrong_state(touched)]),
        ("leaf", be(EARLY), Removed, vec![format!("leaf {EARLY}: a leaf or its seal is missing"), wrong_state(touched)]),
        ("seal", be(EARLY), Removed, vec![format!("seal {EARLY}: a leaf or its seal is missing"), wrong_state(touched)]),
        ("seal", be(EARLY), Cut, vec![format!("seal {EARLY}: the row does not decode"), wrong_state(touched)]),
        // Version, variant and length, then the face.
        (
            "seal",
            be(invoice),
            Flipped(3 + 23),
            vec![
                format!("seal {invoice}: the commit in the leaf is not that of face and rest digest"),
                format!("seal {invoice}: the content digest is not that of face and body"),
                not_signed(invoice),
                wrong_state(id(Kind::Special, 11)),
            ],
        ),
        // After face, rest digest and signature.
        (
            "seal",
            be(roll_index),
            Flipped(-20),
            vec![format!("seal {roll_index}: the content digest is not that of face and body"), wrong_state(roll)],
        ),
        ("seal", be(EVENT), Flipped(5), vec![format!("seal {EVENT}: the commit in the leaf is not that of the event"), not_signed(EVENT)]),
        ("body", be(roll_index), Flipped(-1), vec![format!("body {roll_index}: the body does not open")]),
        ("head", be(head), Resigned, vec![format!("head {head}: the checkpoint is not the signed root of the leaves before it")]),
        ("head", be(head), Flipped(-1), vec![format!("head {head}: its time is not that of the leaf before it")]),
        ("inv", roll_key.clone(), Flipped(-1), vec![wrong_state(roll)]),
        ("inv", roll_key.clone(), Removed, vec![fewer("inv", invoices, "invoices in the log"), missing("inv", &roll)]),
        ("inv", roll_key, Moved(5), vec![format!("inv {elsewhere}: the row has no leaf of its own in the log"), missing("inv", &roll)]),
        // First number; taxpayer; last number.
        ("allot", allotted.clone(), Flipped(3), vec![of_event("allot", in_allotted)]),
        ("allot", allotted.clone(), Flipped(9), vec![of_event("allot", in_allotted)]),
        ("allot", allotted, Moved(10), vec![of_event("allot", in_allotted)]),
        ("allot", mark.clone(), Flipped(4), vec![of_event("allot", in_mark)]),
        ("allot", mark, Removed, vec![fewer("allot", allots.len(), "events"), missing("allot", &in_mark)]),
        // Seller; date.
        ("tax", taxes[0].clone(), Moved(0), vec![of_seller.clone()]),
        ("tax", taxes[0].clone(), Moved(23), vec![of_seller]),
        ("tax", taxes[0].clone(), Removed, vec![missing("tax", &in_tax), fewer("tax", taxes.len(), "invoices")]),
        // Since when the answering key is valid.
        ("key", be(1), Flipped(52), vec![of_event("key", 1)]),
        ("key", be(1), Removed, vec![missing("key", &1), fewer("key", 3, "key events")]),
    ] {
        otherwise.extend(plant(&site, &Plant { table, key, damage, found }));
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));

    let report = fsck(&site.open().expect("reopened"));
    assert_eq!((report.findings, report.checkpoints), (vec![], checkpoints as u64), "all damage was undone");
}

#[test]
fn a_damaged_tile_is_reported_or_keeps_the_ledger_from_opening() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, Fen(100_000))));
    // A full tile on the second level, so that opening reads none of the first 256 on the lowest.
    fill(&site, &engine, 65_536 + 300);
    drop(engine);
    let tile = |level: u8, n: u64| [&[level][..], &n.to_be_bytes()].concat();
    for damage in [Damage::Flipped(8_000), Damage::Removed] {
        let found = vec!["tile 0/5: the tile is not that of the leaves".to_owned()];
        assert_eq!(plant(&site, &Plant { table: "tile", key: tile(0, 5), damage, found }), None);
    }
    for (level, n) in [(0, 256), (1, 0)] {
        let db = database(&site);
        let family = db.cf_handle("tile").expect("tile");
        let row = db.get_cf(family, tile(level, n)).expect("readable").expect("the tile is there");
        db.put_cf(family, tile(level, n), flipped(&row, 100)).expect("written");
        drop(db);
        match site.open() {
            Err(EngineError::Ledger(LedgerError::Checkpoint { size, reason })) => {
                assert_eq!((size, reason.as_str()), (65_836, "the root of the stored leaves is not the signed one"));
            }
            other => panic!("opened: {other:?}"),
        }
        assert!(Ledger::adopt(&site.directory().into(), site.config().sizes, &site.keyring()).is_err());
        assert_eq!(told(&examine(&site)), [format!("tile {level}/{n}: the tile is not that of the leaves")]);
        let db = database(&site);
        db.put_cf(db.cf_handle("tile").expect("tile"), tile(level, n), row).expect("written");
    }
    assert!(site.open().is_ok());
}

#[test]
fn rows_that_do_not_decode_are_found_in_every_table_and_the_rest_is_checked() {
    let site = Site::new();
    let engine = eventful(&site);
    let size = engine.ledger().published().size;
    let checkpoints = engine.ledger().checkpoints().count() as u64;
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 1)), Verdict::PartlyRedFlushed);
    drop(engine);
    let db = database(&site);
    let cut = |table: &str, nth: usize| {
        let family = db.cf_handle(table).expect("a family");
        let (key, value) = db.iterator_cf(family, IteratorMode::Start).nth(nth).expect("a row").expect("readable");
        db.put_cf(family, &key, &value[..value.len().min(1)]).expect("written");
        key.to_vec()
    };
    let last = |key: Vec<u8>| u64::from_be_bytes(*key.last_chunk().expect("eight bytes"));
    let [leaf, seal, body, head] = [("leaf", 20), ("seal", 30), ("body", 3), ("head", 17)].map(|(table, nth)| last(cut(table, nth)));
    let [allot, key] = [("allot", 2), ("key", 1)].map(|(table, nth)| last(cut(table, nth)));
    let inv = InvoiceId::from_bytes(cut("inv", 5).try_into().expect("ten bytes")).expect("an id");
    cut("count", 0);
    cut("meta", 0);
    let (tax, watermark) = (db.cf_handle("tax").expect("tax"), db.cf_handle("meta").expect("meta"));
    let (in_tax, _) = db.iterator_cf(tax, IteratorMode::Start).next().expect("a row").expect("readable");
    db.put_cf(tax, &in_tax, b"x").expect("written");
    db.put_cf(watermark, "rebuilt/tile", b"x").expect("written");
    for (table, key) in [("leaf", vec![0, 0]), ("inv", vec![1]), ("count", vec![2]), ("tile", vec![0, 9]), ("allot", vec![3]), ("reopen", vec![4])] {
        db.put_cf(db.cf_handle(table).expect("a family"), key, b"x").expect("written");
    }
    drop(db);

    let report = examine(&site);
    assert_eq!((report.leaves, report.checkpoints), (size - 1, checkpoints), "all others were looked at");
    let row = |table: &str, at: &dyn std::fmt::Display| format!("{table} {at}: the row does not decode");
    let foreign = |table: &str, key: &str| format!("{table} {key}: the key is not one of this table");
    let found = told(&report);
    for expected in [
        format!("leaf {leaf}: a leaf is not 96 bytes long"),
        row("seal", &seal),
        format!("body {body}: the body does not open"),
        row("head", &head),
        row("inv", &inv),
        row("allot", &allot),
        row("tax", &last(in_tax.to_vec())),
        format!("key {key}: the row is not what its event says"),
        row("count", &id(Kind::Ordinary, 1)),
        row("meta", &"rebuilt/tile"),
        "meta origin: the name of the log is missing or damaged".to_owned(),
        foreign("leaf", "0000"),
        foreign("inv", "01"),
        foreign("tile", "0009"),
        foreign("allot", "03"),
        foreign("count", "02"),
        foreign("reopen", "04"),
    ] {
        assert!(found.contains(&expected), "{expected} is not among {found:#?}");
    }
    let undecodable = report.findings.iter().filter(|finding| finding.what == "the row does not decode");
    assert!(undecodable.clone().count() >= 6 && undecodable.clone().all(|finding| finding.detail.is_some()));
    assert_eq!(examine_with(&site, 1).expect("a report"), report, "by one thread");
    assert_eq!(report.skipped, ["tile: it is being rebuilt, which the next opening of the ledger will complete"]);
}

#[test]
fn damage_at_the_right_edge_is_found_although_the_ledger_does_not_open() {
    let site = Site::new();
    let engine = eventful(&site);
    let heads: Vec<(u64, String)> = engine.ledger().checkpoints().map(|row| row.expect("readable")).collect();
    let (size, checkpoints) = (engine.ledger().published().size, heads.len() as u64);
    drop(engine);
    let db = database(&site);
    let stored = |table: &str, key: &[u8]| db.get_cf(db.cf_handle(table).expect("a family"), key).expect("readable");
    let (newest, before) = (stored("head", &be(size)).expect("the newest"), stored("head", &be(heads[heads.len() - 2].0)).expect("the one before"));
    drop(db);
    let not_signed = |size: u64| format!("head {size}: the checkpoint is not the signed root of the leaves before it");
    let beyond = |table: &str, at: u64| format!("{table} {at}: there are rows beyond the newest checkpoint");
    let (last, previous) = (size - 1, heads[heads.len() - 2].0);
    type Change = (&'static str, Vec<u8>, Option<Vec<u8>>);
    let cases: [(Change, Vec<String>); 8] = [
        (("leaf", be(last), None), vec![format!("leaf {last}: a leaf or its seal is missing")]),
        (("seal", be(last), None), vec![format!("seal {last}: a leaf or its seal is missing")]),
        (("leaf", be(size), Some(vec![0; 96])), vec![beyond("leaf", size)]),
        (("head", be(size), Some(before)), vec![not_signed(size)]),
        (("head", be(size), Some(vec![1, 2])), vec![format!("head {size}: the row does not decode")]),
        (("head", be(size + 7), Some(newest)), vec![beyond("head", size + 7)]),
        (("head", be(0), None), vec!["head 0: the checkpoint is missing".to_owned()]),
        (("head", be(size), None), vec![beyond("leaf", previous), beyond("seal", previous)]),
    ];
    let mut otherwise = Vec::new();
    for ((table, key, value), expected) in cases {
        let db = database(&site);
        let family = db.cf_handle(table).expect("a family");
        let was = db.get_cf(family, &key).expect("readable");
        let put = |value: Option<&Vec<u8>>| match value {
            Some(value) => db.put_cf(family, &key, value),
            None => db.delete_cf(family, &key),
        };
        put(value.as_ref()).expect("written");
        drop(db);
        let opens = site.open().is_ok();
        let report = examine(&site);
        let found = told(&report);
        if opens != (table == "head" && key == be(0)) || !expected.iter().all(|line| found.contains(line)) || report.checkpoints + 1 < checkpoints {
            otherwise.push(format!("{table} {key:?}: opens {opens}, {} checkpoints, {found:#?}", report.checkpoints));
        }
        let db = database(&site);
        let family = db.cf_handle(table).expect("a family");
        match was {
            Some(was) => db.put_cf(family, &key, was).expect("written"),
            None => db.delete_cf(family, &key).expect("written"),
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert_eq!(told(&examine(&site)), [""; 0], "all damage was undone");
}

#[test]
fn a_damaged_block_is_named_by_its_file_and_the_rest_is_checked() {
    let site = Site::new();
    let engine = eventful(&site);
    for number in 100..400 {
        logged(submit(&engine, &generated(Kind::Ordinary, u64::from(number), number)));
    }
    fill(&site, &engine, 3_000);
    let size = engine.ledger().published().size;
    drop(engine);
    let path = site.directory().join("db");
    let files = {
        let families = DB::list_cf(&Options::default(), &path).expect("families");
        DB::open_cf_for_read_only(&Options::default(), &path, families, false).expect("the database").live_files().expect("files")
    };
    let mut otherwise = Vec::new();
    for table in ["leaf", "seal", "body", "tile", "head", "inv", "tax", "allot", "key", "count"] {
        let Some(file) = files.iter().find(|file| file.column_family_name == table) else { continue };
        let name = file.name.trim_start_matches('/').to_owned();
        let path = path.join(&name);
        let sound = fs::read(&path).expect("readable");
        let mut damaged = sound.clone();
        // In its first block, or the next ones where it has several.
        let at = if sound.len() > 40_000 { sound.len() / 3 } else { 20 };
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("written");
        let report = examine_with(&site, 2).expect("a report");
        let of_file = |finding: &Finding| finding.detail.as_ref().is_some_and(|detail| detail.contains(&name));
        let alone =
            report.findings.iter().all(|finding| finding.table == table && finding.what == "the database cannot read this" && of_file(finding));
        let checked = if table == "leaf" { report.leaves < size } else { report.leaves == size };
        if report.findings.is_empty() || !alone || !checked {
            otherwise.push(format!("{table} in {name}: {report:#?}"));
        }
        assert_eq!(examine_with(&site, 1).expect("a report").findings, report.findings, "by one thread");
        fs::write(&path, &sound).expect("written");
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert_eq!(told(&examine(&site)), [""; 0], "all damage was undone");
}

#[test]
fn changed_files_and_missing_tables_are_findings() {
    let site = Site::new();
    drop(eventful(&site));
    let beside = site.directory().join("db").join("stray");
    fs::write(&beside, b"?").expect("written");
    assert!(site.open().is_err());
    assert_eq!(told(&examine(&site)), ["files stray: the file is not as it was when the ledger was closed"]);
    fs::remove_file(&beside).expect("removed");

    let mut db = database(&site);
    for table in ["tax", "inv"] {
        db.drop_cf(table).expect("dropped");
    }
    drop(db);
    let report = examine(&site);
    assert_eq!(told(&report), ["inv all: the table is not there", "tax all: the table is not there"]);
    assert_eq!((report.invoices, report.bodies), (0, 6 * 8 + 2));
    drop(site.open().expect("rebuilt"));
    assert_eq!(told(&examine(&site)), [""; 0]);
}

#[test]
fn wrong_signatures_in_a_batch_are_named_one_by_one() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, Fen(100_000))));
    fill(&site, &engine, 5_000);
    drop(engine);
    let wrong = [0, 700, 701, 4_096, 4_999];
    let db = database(&site);
    let family = db.cf_handle("seal").expect("seal");
    for index in wrong {
        let row = db.get_cf(family, be(index)).expect("readable").expect("a seal");
        // In R, but once in S.
        let at = if index == 701 { row.len() - 5 } else { row.len() - 40 };
        db.put_cf(family, be(index), flipped(&row, at)).expect("written");
    }
    drop(db);
    let expected = wrong.map(|index| format!("seal {index}: the signature is not of a key that was valid then"));
    for workers in [1, 2, 7] {
        let report = examine_with(&site, workers).expect("a report");
        assert_eq!((told(&report), report.leaves), (expected.to_vec(), 5_000));
    }
}

#[test]
fn a_long_log_with_events_far_from_their_invoices_is_clean_and_threads_agree() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let originals = Kind::ALL.map(|kind| plain(kind, 1, Fen(100_000)));
    for original in &originals {
        logged(submit(&engine, original));
    }
    for number in 2..40 {
        logged(submit(&engine, &generated(Kind::Roll, u64::from(number), number)));
    }
    fill(&site, &engine, 33_000);
    for (kind, original) in Kind::ALL.into_iter().zip(&originals) {
        logged(submit(&engine, &red(original, 50, Fen(40_000), tax(kind, Fen(40_000)))));
    }
    fill(&site, &engine, 66_000);
    for kind in Kind::ALL.into_iter().filter(|kind| kind.profile().paper) {
        logged(engine.void(id(kind, 50), Some(seller())));
    }
    logged(engine.void(id(Kind::Roll, 2), None));
    fill(&site, &engine, 70_000);
    assert_eq!(fsck(&engine).findings, []);
    drop(engine);
    let sequential = examine_with(&site, 1).expect("a report");
    assert_eq!((sequential.findings.as_slice(), sequential.leaves, sequential.invoices), (&[][..], 70_000, 6 + 38 + 6));

    // Events that say what their invoices do not: each is found, by any number of threads.
    let db = database(&site);
    let family = db.cf_handle("inv").expect("inv");
    for number in [2, 50] {
        let key = id(Kind::Roll, number).to_bytes();
        let row = db.get_cf(family, key).expect("readable").expect("a row");
        db.put_cf(family, key, flipped(&row, row.len() - 1)).expect("written");
    }
    db.delete_cf(family, id(Kind::Roll, 7).to_bytes()).expect("deleted");
    drop(db);
    let damaged = examine_with(&site, 1).expect("a report");
    assert_eq!(damaged.findings.len(), 4);
    for workers in [2, 3, 16] {
        assert_eq!(examine_with(&site, workers).expect("a report"), damaged, "{workers} threads");
    }
}

#[test]
fn a_ledger_is_clean_while_it_is_written_to() {
    let site = Site::new();
    let engine = eventful(&site);
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // New invoices, and events on old ones and new ones.
            let old = plain(Kind::Special, 9, Fen(10_000_000));
            logged(submit(&engine, &old));
            for number in 1_000..20_000 {
                if !running.load(Ordering::Relaxed) {
                    break;
                }
                logged(submit(&engine, &generated(Kind::Ordinary, u64::from(number), number)));
                logged(submit(&engine, &red(&old, number, Fen(100), tax(Kind::Special, Fen(100)))));
                logged(engine.void(id(Kind::Special, number), None));
                logged(engine.status(id(Kind::Roll, 1), if number % 2 == 0 { Mark::Lost } else { Mark::Lifted }));
            }
        });
        for _ in 0..40 {
            let report = fsck(&engine);
            assert_eq!(report.findings, []);
        }
        running.store(false, Ordering::Relaxed);
    });
    assert_eq!(fsck(&engine).findings, []);
    assert!(matches!(examine_with(&site, 2), Err(LedgerError::Store(StoreError::InUse(_)))));
    drop(engine);
    assert_eq!(examine(&site).findings, []);
}

#[test]
fn a_log_of_several_names_is_checked_under_each() {
    let site = Site::new();
    drop(eventful(&site));
    fs::remove_file(site.lock_path()).expect("removed");
    let keyring = Arc::new(site.keyring());
    let sign = |data: &EventData, keyring: &Keyring| issue::event_of(data, [3; 16], keyring);
    let now = site.now();
    let opening = || Opening {
        home: site.directory().into(),
        sizes: site.config().sizes,
        keyring: Some(Arc::clone(&keyring)),
        clock: Arc::new(move || now),
        observer: None,
    };
    for name in [1, 2] {
        Ledger::reopen(Reopening { opening: opening(), log_id: [name; 8], reason: "lost".to_owned(), sign: &sign, keys: &|_, _, _| Ok(Vec::new()) })
            .expect("reopened");
        let engine = site.open().expect("open");
        logged(submit(&engine, &generated(Kind::Special, 70, 70 + u32::from(name))));
        drop(engine);
        assert_eq!(told(&examine(&site)), [""; 0]);
        fs::remove_file(site.lock_path()).expect("removed");
    }
    // With the notice taken for another one, what follows is signed under a name that is not the log's.
    let db = database(&site);
    let reopen = db.cf_handle("reopen").expect("reopen");
    let (key, _) = db.iterator_cf(reopen, IteratorMode::Start).next().expect("a notice").expect("readable");
    let notice = u64::from_be_bytes(*key.last_chunk().expect("eight bytes"));
    db.delete_cf(reopen, &key).expect("deleted");
    drop(db);
    assert_eq!(told(&examine(&site)), ["reopen 1: there are not as many rows as notices".to_owned(), format!("reopen {notice}: the row is missing")]);
}

#[test]
fn policies_are_those_that_the_log_tells_of() {
    let site = Site::new();
    let engine = eventful(&site);
    let text = "quorum none\n";
    engine.follow_policy(Policy::parse(text).expect("a policy"), text.to_owned()).expect("followed");
    assert!(engine.log_policy().expect("logged"));
    let leaf = engine.ledger().published().size - 1;
    drop(engine);
    assert_eq!(told(&examine(&site)), [""; 0]);
    let db = database(&site);
    let family = db.cf_handle("policy").expect("a table");
    let row = db.get_cf(family, leaf.to_be_bytes()).expect("readable").expect("a row");
    db.put_cf(family, leaf.to_be_bytes(), EventData::Policy(PolicyNotice { previous: None, text: "quorum w1\n".to_owned() }).encode())
        .expect("written");
    drop(db);
    assert_eq!(told(&examine(&site)), [format!("policy {leaf}: the row is not what its event says")]);
    let db = database(&site);
    let family = db.cf_handle("policy").expect("a table");
    db.put_cf(family, leaf.to_be_bytes(), &row).expect("written");
    db.put_cf(family, 0u64.to_be_bytes(), &row).expect("written");
    drop(db);
    assert_eq!(
        told(&examine(&site)),
        ["policy 0: the row is not what its event says".to_owned(), "policy 2: there are not as many rows as policy events".to_owned()]
    );
}

#[test]
fn keys_count_as_the_log_says_and_not_as_the_table_does() {
    let site = Site::new();
    let engine = eventful(&site);
    let leaves = engine.ledger().published().size;
    drop(engine);
    // Another authority in the table alone: nothing that the log's authority signed becomes wrong, and nothing that another one signed right.
    let other = KeyRecord::new(Role::Authority, SigningKey::from_seed(&[77; 32]).public(), UnixMillis(0), None).expect("a key");
    let db = database(&site);
    db.put_cf(db.cf_handle("key").expect("key"), be(0), EventData::Key(other).encode()).expect("written");
    drop(db);
    let report = examine(&site);
    assert_eq!((told(&report), report.leaves), (vec!["key 0: the row is not what its event says".to_owned()], leaves));
}

#[test]
fn the_command_says_what_it_found() {
    let site = Site::new();
    let engine = eventful(&site);
    let size = engine.ledger().published().size;
    fs::write(site.directory().join("keys/passphrase"), support::PASSPHRASE).expect("written");
    let run = |arguments: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_fapiao")).args(["ledger", "fsck", "--data"]).arg(site.directory()).args(arguments).output();
        let output = command.expect("ran");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    assert_eq!(run(&[]).0, Some(3), "the ledger is open");
    drop(engine);
    let (exit, text) = run(&[]);
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.starts_with("账本完好 sound\n"), "{text}");
    let db = database(&site);
    db.delete_cf(db.cf_handle("body").expect("body"), be(9)).expect("deleted");
    let seal = db.cf_handle("seal").expect("seal");
    let row = db.get_cf(seal, be(EVENT)).expect("readable").expect("a seal");
    db.put_cf(seal, be(EVENT), &row[..40]).expect("written");
    drop(db);
    let (exit, text) = run(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((exit, &report["sound"], &report["leaves"]), (Some(1), &json!(false), &json!(size)));
    let found = &report["findings"][0];
    assert_eq!((&found["table"], &found["at"], &found["what"]), (&json!("seal"), &json!(EVENT.to_string()), &json!("the row does not decode")));
    assert!(found["detail"].is_string() && report["seconds"].is_f64() && report["leaves_per_second"].is_f64());
}
