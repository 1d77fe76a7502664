//! `fsck`: a sound ledger is clean, and damage in any table is reported where it is.

use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{InvoiceCode, InvoiceId};
use fapiao::engine::{Engine, EngineError};
use fapiao::issue;
use fapiao::ledger::{Finding, FsckReport, Ledger, LedgerError, Sealed};
use rocksdb::{DB, IteratorMode};
use serde_json::json;

use crate::support::{self, Site, allot_all, generated, id, import, logged, plain, range, red, seller, submit, tax};

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
    let events = [Mark::Lost, Mark::Lifted].map(|mark| issue::status(id(Kind::Special, 1), mark, &keys, [9; 16]));
    let missing = size.saturating_sub(engine.ledger().published().size);
    let pending: Vec<_> = events.iter().cycle().zip(0..missing).map(|(event, _)| engine.ledger().submit(event.clone())).collect();
    for outcome in pending {
        assert!(outcome.blocking_recv().expect("answered").is_ok());
    }
}

fn fsck(engine: &Engine) -> FsckReport {
    engine.fsck(&|_, _| ()).expect("a report")
}

/// The database past the ledger.
fn database(site: &Site) -> DB {
    support::database(&site.directory())
}

#[test]
fn a_sound_ledger_is_clean_and_an_erased_body_is_no_fault() {
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
    let erased = engine.ledger().look_up(id(Kind::Roll, 1)).expect("readable").1.expect("issued").index;
    drop(engine);

    let locked = site.open_locked().expect("without keys");
    let skipped = vec!["id tags and bodies: the secret keys are locked"];
    assert_eq!(fsck(&locked), FsckReport { bodies: 0, skipped, ..sound.clone() });
    drop(locked);

    let db = database(&site);
    db.delete_cf(db.cf_handle("body").expect("body"), erased.to_be_bytes()).expect("deleted");
    drop(db);
    assert_eq!(fsck(&site.open().expect("reopened")), FsckReport { bodies: invoices - 1, erased: 1, ..sound });
}

/// What is done to a row.
#[derive(Clone, Copy)]
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

/// The row that is damaged, what is done to it, and what is then found in its table.
struct Plant {
    table: &'static str,
    key: Vec<u8>,
    damage: Damage,
    at: String,
    what: &'static str,
    /// Nothing else is found.
    alone: bool,
}

/// Does the damage, checks, and undoes it.
fn plant(site: &Site, plant: &Plant) {
    let Plant { table, key, damage, at, what, alone } = plant;
    let db = database(site);
    let family = db.cf_handle(table).expect("a family");
    let value = db.get_cf(family, key).expect("readable").expect("the row is there");
    let damaged = damage.of(key, &value);
    db.delete_cf(family, key).expect("deleted");
    if let Some((key, value)) = &damaged {
        db.put_cf(family, key, value).expect("written");
    }
    drop(db);

    let report = fsck(&site.open().expect("reopened"));
    let expected = Finding { table, at: at.clone(), what };
    assert!(report.findings.contains(&expected), "{table}: {expected:?} is not among {:#?}", report.findings);
    if *alone {
        assert_eq!(report.findings, [expected], "{table}");
    }

    let db = database(site);
    let family = db.cf_handle(table).expect("a family");
    if let Some((key, _)) = damaged {
        db.delete_cf(family, key).expect("deleted");
    }
    db.put_cf(family, key, value).expect("written");
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
    let be = |index: u64| index.to_be_bytes().to_vec();

    let (allotted, mark) = (marked(0), marked(1));
    let text = |index: u64| index.to_string();
    let roll_key = roll.to_bytes().to_vec();
    // The same number of the next code.
    let elsewhere = InvoiceId { code: InvoiceCode::parse("051001900106").expect("a code"), number: roll.number };
    let (in_allotted, in_mark, in_tax) = (text(index_in(&allotted)), text(index_in(&mark)), text(index_in(&taxes[0])));
    let one_less = |rows: usize| text(rows as u64 - 1);
    let of_seller = "the row is not of the invoice's seller and date";
    let of_event = "the row is not what its event says";
    use Damage::{Cut, Flipped, Moved, Removed, Resigned};
    for (table, key, damage, at, what, alone) in [
        // A byte of the tag; the time; the commit.
        ("leaf", be(EARLY), Flipped(30), text(EARLY), "the id tag is not that of the invoice", false),
        ("leaf", be(EARLY), Flipped(10), text(EARLY), "its time is before that of the leaf before", false),
        ("seal", be(EARLY), Flipped(-1), text(EARLY), "the signature is not of a key that was valid then", true),
        ("leaf", be(EARLY), Cut, text(EARLY), "a leaf is not 96 bytes long", false),
        ("leaf", be(EARLY), Removed, text(EARLY), "a leaf or its seal is missing", false),
        // Version, variant and length, then the face.
        ("seal", be(invoice), Flipped(3 + 23), text(invoice), "the commit in the leaf is not that of face and rest digest", false),
        ("seal", be(EVENT), Flipped(5), text(EVENT), "the commit in the leaf is not that of the event", false),
        ("body", be(roll_index), Flipped(-1), text(roll_index), "the body does not open", true),
        ("head", be(head), Resigned, text(head), "the checkpoint is not the signed root of the leaves before it", true),
        ("inv", roll_key.clone(), Flipped(-1), roll.to_string(), "the row is not what the log makes of it", true),
        ("inv", roll_key.clone(), Removed, one_less(invoices), "there are not as many rows as invoices in the log", true),
        ("inv", roll_key, Moved(5), elsewhere.to_string(), "the row has no leaf of its own in the log", true),
        // First number; taxpayer; last number.
        ("allot", allotted.clone(), Flipped(3), in_allotted.clone(), of_event, true),
        ("allot", allotted.clone(), Flipped(9), in_allotted.clone(), of_event, true),
        ("allot", allotted, Moved(10), in_allotted, of_event, true),
        ("allot", mark.clone(), Flipped(4), in_mark, of_event, true),
        ("allot", mark, Removed, one_less(allots.len()), "there are not as many rows as events", true),
        // Seller; date.
        ("tax", taxes[0].clone(), Moved(0), in_tax.clone(), of_seller, true),
        ("tax", taxes[0].clone(), Moved(23), in_tax, of_seller, true),
        ("tax", taxes[0].clone(), Removed, one_less(taxes.len()), "there are not as many rows as invoices", true),
        // Since when the answering key is valid.
        ("key", be(1), Flipped(52), text(1), of_event, true),
        ("key", be(1), Removed, text(1), of_event, false),
    ] {
        plant(&site, &Plant { table, key, damage, at, what, alone });
    }

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
        let what = "the tile is not that of the leaves";
        plant(&site, &Plant { table: "tile", key: tile(0, 5), damage, at: "0/5".to_owned(), what, alone: true });
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
        let db = database(&site);
        db.put_cf(db.cf_handle("tile").expect("tile"), tile(level, n), row).expect("written");
    }
    assert!(site.open().is_ok());
}
