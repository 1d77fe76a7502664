//! `fixtures/ledger-v1`: a ledger as the first version wrote it, which every later version must open, read and go on from. It is never made again:
//! what another version writes differently gets a fixture of its own.

use std::fs;
use std::path::{Path, PathBuf};

use fapiao::channel::question;
use fapiao::codec::event::Event;
use fapiao::crypto::hash::sha256;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::Engine;
use fapiao::ledger::Obstacle;
use serde_json::{Value, json};

use crate::support::{Site, copy_tree, id, log_everything, logged, plain, receipt, signed_qr, submit};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1")
}

/// Everything that this version can log, and a log that was reopened.
fn write_everything(site: &Site) {
    let engine = site.create();
    log_everything(&engine);
    drop(engine);
    // The lock record is lost, and somebody is not sure that this is the newest copy.
    fs::remove_file(site.lock_path()).expect("removed");
    Engine::reopen(&site.config(), "frozen for later versions").expect("reopened");
    let engine = site.open().expect("opened");
    logged(submit(&engine, &plain(Kind::Roll, 70, Fen(700))));
    for kind in Kind::ALL {
        for _ in 0..3 {
            let answer = engine.verify(&question::of_qr(&signed_qr(&engine, id(kind, 1)))).expect("an answer");
            assert!(answer.verdict.matched());
        }
    }
}

fn invoices() -> Vec<(Kind, u32)> {
    let of_kind = |kind| [1, 2, 3, 4, 11, 12, 13, 14].map(|number| (kind, number));
    let mut invoices: Vec<(Kind, u32)> = Kind::ALL.into_iter().flat_map(of_kind).collect();
    invoices.extend((100..=300).map(|number| (Kind::Electronic, number)));
    invoices.push((Kind::Roll, 70));
    invoices
}

/// What the ledger says now, about everything that is in it.
fn told(engine: &Engine) -> Value {
    let ledger = engine.ledger();
    let published = ledger.published();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let answers: Vec<Value> = invoices()
        .into_iter()
        .map(|(kind, number)| {
            let count = ledger.counts().get(id(kind, number)).expect("readable").count;
            let qr = signed_qr(engine, id(kind, number));
            let answer = engine.verify(&question::of_qr(&qr)).expect("an answer");
            json!({ "qr": qr, "verdict": answer.verdict.number(), "count_before": count })
        })
        .collect();
    let receipts: Vec<String> = (0..published.size).map(|index| hex(&sha256(&[receipt(engine, index).as_bytes()]))).collect();
    let origins: Vec<Value> = ledger.origins().iter().map(|(size, origin)| json!([size, origin.as_str()])).collect();
    json!({ "origins": origins, "size": published.size, "root": hex(&published.root), "note": published.note, "answers": answers, "receipts": receipts })
}

#[test]
fn the_first_versions_ledger_opens_for_ever() {
    let expected = fixture().join("expected.json");
    if std::env::var_os("FAPIAO_FREEZE").is_some() && !fixture().exists() {
        freeze(&expected);
    }

    let site = Site::new();
    copy_tree(&fixture().join("ledger"), &site.directory());
    fs::copy(fixture().join("ledger.lock"), site.lock_path()).expect("copied");
    let engine = site.open().expect("a ledger of the first version");
    let expected: Value = serde_json::from_slice(&fs::read(&expected).expect("what it said")).expect("JSON");
    let told = told(&engine);
    for member in ["origins", "size", "root", "note", "answers", "receipts"] {
        assert_eq!(told[member], expected[member], "{member}");
    }
    assert_eq!(engine.ledger().obstacle(), Some(&Obstacle::Copied { directory: site.directory() }));
    let leaf = |index| engine.ledger().leaf(index).expect("readable").expect("published").event;
    let mut events: Vec<Event> = (0..engine.ledger().published().size).map(leaf).collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), 8, "one of each event that the first version writes: {events:?}");
    drop(engine);

    Engine::adopt(&site.config()).expect("adopted");
    let engine = site.open().expect("opened");
    assert!(engine.fsck(&|_, _| ()).expect("a report").findings.is_empty());
    let size = engine.ledger().published().size;
    assert_eq!(logged(submit(&engine, &plain(Kind::Roll, 71, Fen(710)))).index, size);
    assert!(logged(submit(&engine, &plain(Kind::Roll, 70, Fen(700)))).repeated);
}

/// Writes the fixture; never over one that is there.
fn freeze(expected: &Path) {
    let site = Site::new();
    write_everything(&site);
    copy_tree(&site.directory(), &fixture().join("ledger"));
    fs::copy(site.lock_path(), fixture().join("ledger.lock")).expect("copied");
    let engine = site.open().expect("opened");
    fs::write(expected, format!("{:#}\n", told(&engine))).expect("written");
    for entry in fs::read_dir(fixture().join("ledger/db")).expect("a directory") {
        let entry = entry.expect("an entry");
        // RocksDB's diary is no part of the ledger.
        if entry.file_name().to_string_lossy().starts_with("LOG") {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
}
