//! `fapiao doctor` names what is the matter and touches nothing. The situations of the runbook are in `runbook.rs`; here is what one symptom hides,
//! and every way in which a file can have changed.

use std::fs;
use std::path::Path;

use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::EngineError;
use fapiao::ledger::{LedgerError, StoreError};
use serde_json::Value;

use crate::support::{Site, allot_all, database, flip, logged, plain, program, submit, tree_bytes};

/// A closed ledger with one invoice.
fn ready() -> Site {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, Fen(100))));
    site
}

/// What doctor says; it has changed nothing.
#[track_caller]
fn examined(site: &Site, passphrase: bool) -> (Option<i32>, Value) {
    let mut doctor = if passphrase {
        site.program(&["doctor", "--json"])
    } else {
        let mut doctor = program(&["doctor", "--json", "--data"]);
        doctor.arg(site.directory());
        doctor
    };
    let root = site.file("");
    let before = tree_bytes(&root);
    let output = doctor.output().expect("run");
    assert_eq!(tree_bytes(&root), before, "doctor changes nothing");
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[track_caller]
fn codes(site: &Site, passphrase: bool) -> Vec<String> {
    let (status, value) = examined(site, passphrase);
    let symptoms = value["symptoms"].as_array().expect("symptoms");
    assert_eq!(value["healthy"], symptoms.is_empty());
    assert_eq!(status, Some(i32::from(!symptoms.is_empty())));
    for symptom in symptoms {
        assert!(["what", "zh", "en"].iter().all(|text| symptom[text].as_str().is_some_and(|text| !text.is_empty())), "{symptom}");
        assert!(symptom["runbook"].as_array().is_some_and(|headings| !headings.is_empty()), "{symptom} is in no section of the runbook");
    }
    symptoms.iter().map(|symptom| symptom["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn a_healthy_ledger_is_healthy_with_and_without_its_passphrase() {
    let site = ready();
    // The system's clock is years ahead of that of the test, which is no matter.
    for passphrase in [false, true] {
        let (status, value) = examined(&site, passphrase);
        assert_eq!((status, &value["healthy"], &value["size"], &value["locked"]), (Some(0), &true.into(), &10.into(), &10.into()));
    }
    let engine = site.open().expect("opened");
    assert_eq!(codes(&site, false), ["in_use"]);
    assert!(engine.ledger().may_write().is_ok());
}

#[test]
fn of_several_things_the_keys_are_said_beside_the_ledger() {
    let site = ready();
    fs::remove_file(site.lock_path()).expect("removed");
    fs::write(site.directory().join("keys/keyring"), "nothing").expect("written");
    assert_eq!(codes(&site, false), ["lock_missing"], "without a passphrase nobody can tell");
    assert_eq!(codes(&site, true), ["lock_missing", "keys_unreadable"]);
    fs::remove_file(site.directory().join("keys/keyring")).expect("removed");
    assert_eq!(codes(&site, true), ["lock_missing", "keys_missing"]);
}

#[test]
fn a_directory_without_a_ledger_is_one_and_its_keys_are_no_matter() {
    let site = Site::new();
    let (status, value) = examined(&site, true);
    assert_eq!((status, &value["symptoms"][0]["code"], value["symptoms"].as_array().map(Vec::len)), (Some(2), &"no_ledger".into(), Some(1)));
}

#[test]
fn a_place_that_is_not_said_is_a_copy() {
    let site = ready();
    fs::remove_file(site.directory().join("place")).expect("removed");
    assert_eq!(codes(&site, true), ["copied"]);
}

/// A lock record that is longer than any is as damaged as one that is no text: the ledger answers, and does not sign.
#[test]
fn a_lock_record_of_any_length_is_only_unreadable() {
    let site = ready();
    for record in [vec![], vec![0xff; 100], vec![b'a'; 1 << 20]] {
        fs::write(site.lock_path(), record).expect("written");
        assert_eq!(codes(&site, true), ["lock_unreadable"]);
        let engine = site.open().expect("for reading");
        assert!(engine.ledger().may_write().is_err());
    }
}

/// Of which file, how that is said, and what is done to it.
type Change = (&'static str, &'static str, fn(&Path));

#[test]
fn each_way_in_which_a_file_changes_is_named() {
    let file = |site: &Site, part: &str| {
        let files = tree_bytes(&site.directory().join("db")).into_keys();
        files.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))).expect("a file")
    };
    let changes: [Change; 7] = [
        ("MANIFEST", "was changed", |path| flip(path, 100)),
        ("CURRENT", "was changed", |path| flip(path, 10)),
        ("OPTIONS", "was changed", |path| flip(path, 10)),
        (".sst", "has disappeared", |path| fs::remove_file(path).expect("removed")),
        (".sst", "has another length", |path| fs::write(path, "short").expect("written")),
        ("MANIFEST", "has another length", |path| {
            let bytes = fs::read(path).expect("readable");
            fs::write(path, &bytes[..bytes.len() - 30]).expect("written");
        }),
        (".sst", "has appeared", |path| fs::write(path.with_file_name("999999.sst"), "new").expect("written")),
    ];
    for (part, how, change) in changes {
        let site = ready();
        change(&file(&site, part));
        assert_eq!(codes(&site, true), ["unreadable"], "{part} {how}");
        let what = examined(&site, true).1["symptoms"][0]["what"].as_str().expect("a text").to_owned();
        assert!(what.contains(&format!("{how} since the ledger was closed")), "{what}");
        assert!(site.open().is_err(), "{part} {how}");
    }
    // The inventory itself.
    let site = ready();
    flip(&site.directory().join("closed"), 40);
    assert_eq!(codes(&site, true), ["unreadable"]);
    fs::remove_file(site.directory().join("closed")).expect("removed");
    assert_eq!(codes(&site, true), Vec::<String>::new());
}

#[test]
fn of_tables_that_nothing_else_has_a_missing_one_is_fatal_and_of_others_it_is_rebuilt() {
    for table in ["leaf", "seal", "body", "head", "count", "meta"] {
        let site = ready();
        database(&site.directory()).drop_cf(table).expect("dropped");
        assert_eq!(codes(&site, true), ["unreadable"], "{table}");
        assert!(site.open().is_err());
    }
    for table in fapiao::ledger::DERIVED {
        let site = ready();
        database(&site.directory()).drop_cf(table).expect("dropped");
        assert_eq!(codes(&site, true), ["rebuild_pending"], "{table}");
    }
}

/// Each that closes leaves an inventory, and each that opens takes it away: with several at it, none is left that speaks of the files of another.
#[test]
fn whoever_opens_while_another_closes_is_not_called_damaged() {
    let site = ready();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let one = |_| {
            scope.spawn(|| {
                let mut opened = 0;
                while opened < 15 {
                    match site.open() {
                        Ok(engine) => {
                            opened += 1;
                            // As it is while the ledger is open; a crash now would leave it so.
                            assert!(!site.directory().join("closed").exists() || !settles(&site), "an inventory beside an open database");
                            drop(engine);
                        }
                        Err(EngineError::Ledger(LedgerError::Store(StoreError::InUse(_)))) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        };
        (0..3).map(one).collect::<Vec<_>>().into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    assert!(ends.iter().all(Result::is_ok));
    assert_eq!(codes(&site, true), Vec::<String>::new());
}

/// Whether the inventory of the one that closed last stays, rather than being taken away by it in a moment.
fn settles(site: &Site) -> bool {
    let gone = || !site.directory().join("closed").exists();
    !(0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        gone()
    })
}
