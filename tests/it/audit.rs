//! The audit trail: what is in it stays, in its order, over restarts, crashes and backups.

use std::thread;

use fapiao::domain::audit::Act;
use fapiao::domain::caller::{Caller, CallerId, Role};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Config, Engine, EngineError, NewCaller, Territory};
use fapiao::ledger::{self, DERIVED};

use crate::support::{Site, allot_all, copy_tree, database, logged, plain, seller, submit};

fn auditor() -> Caller {
    Caller { id: Some(CallerId([9; 8])), role: Role::Auditor, ..Caller::CONSOLE }
}

/// Numbers and subjects.
fn trail(engine: &Engine) -> Vec<(u64, String)> {
    engine.audit_entries(0, 1_000).expect("readable").into_iter().map(|(number, entry)| (number, entry.subject)).collect()
}

fn record(engine: &Engine, subject: &str) -> u64 {
    engine.record(&auditor(), Act::InvoiceDisclosed, subject, "done").expect("recorded")
}

#[test]
fn an_entry_says_who_did_what_when() {
    let site = Site::new();
    let engine = site.create();
    assert_eq!(record(&engine, "033001900111/00000001"), 0);
    assert_eq!(engine.record(&Caller::CONSOLE, Act::Allotted, "x", "FP-20-030").expect("recorded"), 1);
    let entries = engine.audit_entries(0, 10).expect("readable");
    let told: Vec<_> = entries.iter().map(|(_, entry)| (entry.time, entry.by, entry.role, entry.act, entry.outcome.as_str())).collect();
    assert_eq!(
        told,
        [
            (site.now(), Some(CallerId([9; 8])), Role::Auditor, Act::InvoiceDisclosed, "done"),
            (site.now(), None, Role::Administrator, Act::Allotted, "FP-20-030"),
        ]
    );
    assert_eq!(engine.audit_entries(1, 10).expect("readable"), entries[1..]);
    assert_eq!(engine.audit_entries(0, 1).expect("readable"), entries[..1]);
    assert_eq!(engine.audit_entries(2, 10).expect("readable"), []);
    for (subject, outcome) in [("张三", "done"), ("two\nlines", "done"), (&"x".repeat(129)[..], "done"), ("x", &"x".repeat(33)[..]), ("x", "完")] {
        assert!(matches!(engine.record(&auditor(), Act::Allotted, subject, outcome), Err(EngineError::AuditText)), "{subject:?} {outcome:?}");
    }
    assert_eq!(trail(&engine).len(), 2);
}

#[test]
fn it_goes_on_after_a_restart_and_after_a_crash() {
    let site = Site::new();
    let engine = site.create();
    let first: Vec<(u64, String)> = (0..5).map(|number| (number, number.to_string())).collect();
    for (number, subject) in &first[..3] {
        assert_eq!(record(&engine, subject), *number);
    }
    drop(engine);
    let engine = site.open().expect("opened");
    for (number, subject) in &first[3..] {
        assert_eq!(record(&engine, subject), *number);
    }

    // What is on the disk now is what a process leaves behind that is killed now.
    let killed = site.file("killed");
    copy_tree(&site.directory(), &killed);
    drop(engine);
    let engine = Engine::open(Config { directory: killed, ..site.config() }).expect("opened");
    assert_eq!(trail(&engine), first);
    assert_eq!(record(&engine, "after"), 5);
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

#[test]
fn entries_of_many_at_once_are_all_there_once() {
    let site = Site::new();
    let engine = site.create();
    let (threads, each) = (8, 40);
    thread::scope(|scope| {
        for thread in 0..threads {
            let engine = &engine;
            scope.spawn(move || {
                let mut last = None;
                for number in 0..each {
                    let at = record(engine, &format!("{thread}.{number:02}"));
                    assert!(last.is_none_or(|last| last < at), "numbers of one caller ascend");
                    // It is on the disk as what was said of it.
                    let entries = engine.audit_entries(at, 1).expect("readable");
                    assert_eq!((entries[0].0, entries[0].1.subject.as_str()), (at, format!("{thread}.{number:02}").as_str()));
                    last = Some(at);
                }
            });
        }
    });
    let trail = trail(&engine);
    assert_eq!(trail.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..threads * each).collect::<Vec<u64>>());
    let mut subjects: Vec<_> = trail.into_iter().map(|(_, subject)| subject).collect();
    subjects.sort_unstable();
    let expected: Vec<_> = (0..threads).flat_map(|thread| (0..each).map(move |number| format!("{thread}.{number:02}"))).collect();
    assert_eq!(subjects, expected);
}

#[test]
fn a_backup_keeps_callers_and_trail_whole_or_at_a_size() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let half = engine.ledger().published().size;
    logged(submit(&engine, &plain(Kind::Roll, 1, Fen(100))));
    let new = NewCaller {
        role: Role::Business,
        taxpayers: vec![seller()],
        regions: Territory::WholeCountry,
        issuer_key: None,
        label: String::new(),
        expires: None,
    };
    let (caller, token) = engine.enrol(new, &Caller::CONSOLE).expect("enrolled");
    record(&engine, "x");
    let (backups, expected) = (site.file("backups"), trail(&engine));
    engine.ledger().back_up(&backups, 3).expect("backed up");
    drop(engine);
    for (name, size) in [("whole", None), ("half", Some(half))] {
        let directory = site.file(name);
        ledger::restore(&backups, None, size, &directory.clone().into(), site.config().sizes).expect("restored");
        copy_tree(&site.directory().join("keys"), &directory.join("keys"));
        let engine = Engine::open(Config { directory, ..site.config() }).expect("opened");
        assert_eq!(trail(&engine), expected, "{name}");
        assert_eq!(engine.authenticate(&token.reveal()).expect("readable").expect("in force").id, Some(caller), "{name}");
        assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, [], "{name}");
    }
}

#[test]
fn rows_that_say_nothing_are_found_and_no_rebuilding_touches_the_others() {
    let site = Site::new();
    let engine = site.create();
    for subject in ["a", "b", "c"] {
        record(&engine, subject);
    }
    drop(engine);
    assert!(!DERIVED.contains(&"audit") && !DERIVED.contains(&"caller"));
    let db = database(&site.directory());
    let put = |table: &str, key: &[u8], value: &[u8]| db.put_cf(db.cf_handle(table).expect("a family"), key, value).expect("written");
    put("audit", &1u64.to_be_bytes(), b"\x01broken");
    put("audit", b"short", b"x");
    put("caller", &[3; 8], b"\x01");
    put("caller", &[3; 7], b"x");
    drop(db);
    let engine = site.open().expect("opened");
    let report = engine.fsck(&|_, _| ()).expect("a report");
    let found: Vec<String> = report.findings.iter().map(|finding| format!("{} {}: {}", finding.table, finding.at, finding.what)).collect();
    assert_eq!(
        found,
        [
            "caller 03030303030303: the key is not one of this table",
            "caller 0303030303030303: the row does not decode",
            "audit 0000000000000001: the row does not decode",
            "audit 73686f7274: the key is not one of this table",
        ]
    );
    assert!(engine.audit_entries(0, 10).is_err(), "a broken trail is not passed for a shorter one");
}
