//! A body is erased for good: no file has it any more, and everything that does not need it goes on as before.

use std::fs;
use std::path::Path;

use fapiao::crypto::body::Kept;
use fapiao::domain::audit::Act;
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Engine, EngineError};
use fapiao::ledger::EraseError;
use fapiao::verify::query::Typed;
use fapiao::verify::verdict::Verdict;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::server::{CONFIGURATION, Server, buyer};
use crate::support::{
    Site, allot_all, allotment, database, face, generated, holder_is_told, id, logged, plain, program, range, red, seller, submit, tax, tree_bytes,
    typed, verdict,
};

const REASON: &str = "PIPL art. 47, file 7";

/// Bytes out of the middle of an invoice's body: random, so nothing else has them.
fn ciphertext(engine: &Engine, kind: Kind, number: u32) -> Vec<u8> {
    let index = engine.ledger().look_up(id(kind, number)).expect("readable").1.expect("issued").index;
    match engine.ledger().body(index).expect("readable") {
        Some(Kept::Sealed(body)) => body[60..92].to_vec(),
        other => panic!("{other:?}"),
    }
}

/// In how many files below a directory these bytes stand.
fn files_with(directory: &Path, bytes: &[u8]) -> usize {
    tree_bytes(directory).values().filter(|file| file.windows(bytes.len()).any(|window| window == bytes)).count()
}

fn receipt_of(engine: &Engine, kind: Kind, number: u32) -> Value {
    let index = engine.ledger().look_up(id(kind, number)).expect("readable").1.expect("issued").index;
    fapiao::channel::receipt::to_json(&engine.receipt(index).expect("readable").expect("published"))
}

#[test]
fn no_file_has_an_erased_body_wherever_it_lay() {
    for lay in ["journal", "fresh table", "bottom", "below newer tables"] {
        let site = Site::new();
        let mut engine = site.create();
        allot_all(&engine);
        for number in 1..=40 {
            logged(submit(&engine, &generated(Kind::Electronic, 5, number)));
        }
        let (gone, kept) = (ciphertext(&engine, Kind::Electronic, 7), ciphertext(&engine, Kind::Electronic, 8));
        match lay {
            "journal" => {}
            "fresh table" => {
                // Closing writes everything out of the journal.
                drop(engine);
                engine = site.open().expect("reopened");
            }
            "bottom" => engine.ledger().compact().expect("compacted"),
            _ => {
                engine.ledger().compact().expect("compacted");
                for number in 41..=50 {
                    logged(submit(&engine, &generated(Kind::Electronic, 5, number)));
                    drop(engine);
                    engine = site.open().expect("reopened");
                }
            }
        }
        let directory = site.directory();
        assert!(files_with(&directory, &gone) > 0, "{lay}: nothing to erase");
        let done = engine.erase(id(Kind::Electronic, 7), REASON, &Caller::CONSOLE).expect("erased").expect("issued");
        assert!(!done.repeated && done.time == site.now());
        assert_eq!(files_with(&directory, &gone), 0, "{lay}");
        assert!(files_with(&directory, &kept) > 0, "{lay}: another body is gone too");
        drop(engine);
        assert_eq!(files_with(&directory, &gone), 0, "{lay}, closed");
    }
}

#[test]
fn everything_that_needs_no_body_goes_on_as_before() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let original = plain(Kind::Ordinary, 1, Fen(100_000));
    logged(submit(&engine, &original));
    logged(submit(&engine, &plain(Kind::Ordinary, 2, Fen(50_000))));
    let (first, second) = (face(&engine, id(Kind::Ordinary, 1)), face(&engine, id(Kind::Ordinary, 2)));
    let before = receipt_of(&engine, Kind::Ordinary, 1);
    for number in [1, 2] {
        engine.erase(id(Kind::Ordinary, number), REASON, &Caller::CONSOLE).expect("erased").expect("issued");
    }
    let everything = |engine: &Engine| {
        assert_eq!(receipt_of(engine, Kind::Ordinary, 1), before);
        let again = logged(submit(engine, &original));
        assert!(again.repeated);
        assert!(engine.signed_invoice(id(Kind::Ordinary, 1)).expect("readable").is_none());
        let (shown, when) = engine.erased(id(Kind::Ordinary, 1)).expect("readable").expect("erased");
        assert_eq!((shown, when), (first.clone(), site.now()));
        let report = engine.fsck(&|_, _| ()).expect("a report");
        assert_eq!((report.findings.as_slice(), report.erased), (&[][..], 2));
    };
    everything(&engine);
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 1)), Verdict::Genuine);
    // Who bought it, nobody can compare any more.
    let question = Typed { buyer_id: Some(seller().to_string()), ..typed(&first) };
    assert_eq!(verdict(&engine, &question.question()), Verdict::Unavailable);
    // It is taken back and voided as ever.
    logged(submit(&engine, &red(&original, 3, Fen(40_000), tax(Kind::Ordinary, Fen(40_000)))));
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 1)), Verdict::PartlyRedFlushed);
    logged(engine.void(id(Kind::Ordinary, 2), Some(seller())));
    assert_eq!(verdict(&engine, &typed(&second).question()), Verdict::Voided);
    everything(&engine);

    // Neither a restart nor rebuilt tables nor a newer backup bring it back.
    drop(engine);
    for table in fapiao::ledger::DERIVED {
        assert!(fapiao::ledger::Ledger::rebuild(&site.directory().into(), Default::default(), table).expect("rebuilt"));
    }
    let engine = site.open().expect("reopened");
    everything(&engine);
    engine.back_up(&site.file("backups"), 1).expect("a backup");
    let size = engine.ledger().published().size;
    drop(engine);
    for size in [None, Some(size)] {
        fs::remove_dir_all(site.directory()).expect("removed");
        fs::remove_file(site.lock_path()).expect("removed");
        Engine::restore(&site.file("backups"), None, size, &site.directory()).expect("restored");
        Engine::reopen(&site.config(), "the disk was lost").expect("reopened");
        everything(&site.open().expect("opened"));
    }
}

/// A backup from before has the body for as long as it is kept, and no longer.
#[test]
fn backups_from_before_are_purged_with_the_body() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Roll, 5, 1)));
    let (backups, gone) = (site.file("backups"), ciphertext(&engine, Kind::Roll, 1));
    engine.back_up(&backups, 14).expect("a backup");
    engine.erase(id(Kind::Roll, 1), REASON, &Caller::CONSOLE).expect("erased").expect("issued");
    engine.back_up(&backups, 14).expect("a backup");
    assert!(files_with(&backups, &gone) > 0);
    engine.back_up(&backups, 2).expect("a backup");
    assert_eq!(files_with(&backups, &gone), 0);
}

#[test]
fn what_was_not_there_is_not_erased_and_each_act_is_in_the_trail() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Roll, 5, 1)));
    for reason in ["", "  ", "档案 7", &"x".repeat(97), "a\nb"] {
        assert!(matches!(engine.erase(id(Kind::Roll, 1), reason, &Caller::CONSOLE), Err(EngineError::ErasureReason)), "{reason:?}");
    }
    assert!(engine.erase(id(Kind::Roll, 2), REASON, &Caller::CONSOLE).expect("an answer").is_none());
    let first = engine.erase(id(Kind::Roll, 1), REASON, &Caller::CONSOLE).expect("erased").expect("issued");
    site.set_now(fapiao::domain::time::UnixMillis(site.now().0 + 1_000));
    let again = engine.erase(id(Kind::Roll, 1), "file 8", &Caller::CONSOLE).expect("erased").expect("issued");
    assert!(again.repeated && again.time == first.time);
    let said: Vec<_> = engine.audit_entries(0, 100).expect("readable").into_iter().filter(|(_, entry)| entry.act == Act::InvoiceErased).collect();
    let name = format!("{} {}", id(Kind::Roll, 1).code, id(Kind::Roll, 1).number);
    let said: Vec<_> = said.iter().map(|(_, entry)| (entry.subject.clone(), entry.outcome.as_str())).collect();
    assert_eq!(said, [(format!("{name} {REASON}"), "erased"), (format!("{name} file 8"), "repeated")]);

    // One that is lost is no erased one.
    logged(submit(&engine, &generated(Kind::Roll, 5, 3)));
    let lost = engine.ledger().look_up(id(Kind::Roll, 3)).expect("readable").1.expect("issued").index;
    logged(engine.allot(allotment(Kind::Roll, seller(), 100_000, 100_001)));
    drop(engine);
    let db = database(&site.directory());
    db.delete_cf(db.cf_handle("body").expect("body"), lost.to_be_bytes()).expect("deleted");
    drop(db);
    let engine = site.open().expect("reopened");
    let refused = engine.erase(id(Kind::Roll, 3), REASON, &Caller::CONSOLE);
    assert!(matches!(refused, Err(EngineError::Erase(EraseError::Lost(index))) if index == lost), "{refused:?}");
    assert!(engine.erased(id(Kind::Roll, 3)).expect("readable").is_none());
    // Without keys nothing is written.
    drop(engine);
    assert!(matches!(site.open_locked().expect("opened").erase(id(Kind::Roll, 1), REASON, &Caller::CONSOLE), Err(EngineError::Locked)));
}

/// After a crash between the write and the cleaning of the files, the next opening cleans them.
#[test]
fn an_erasure_that_a_crash_interrupted_is_finished() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Roll, 5, 1)));
    logged(engine.allotment_status(range(Kind::Roll, 50, 59), fapiao::domain::allotment::Mark::Lost));
    let index = engine.ledger().look_up(id(Kind::Roll, 1)).expect("readable").1.expect("issued").index;
    let gone = ciphertext(&engine, Kind::Roll, 1);
    engine.ledger().compact().expect("compacted");
    drop(engine);
    let db = database(&site.directory());
    let row = [&[2][..], &site.now().0.to_be_bytes()].concat();
    db.put_cf(db.cf_handle("body").expect("body"), index.to_be_bytes(), row).expect("written");
    db.put_cf(db.cf_handle("meta").expect("meta"), "erasing", index.to_be_bytes()).expect("written");
    drop(db);
    assert!(files_with(&site.directory(), &gone) > 0, "nothing to finish");
    drop(site.open().expect("reopened"));
    assert_eq!(files_with(&site.directory(), &gone), 0);
    let db = database(&site.directory());
    assert!(db.get_cf(db.cf_handle("meta").expect("meta"), "erasing").expect("readable").is_none(), "it is done");
}

#[test]
fn a_server_erases_and_a_kill_right_after_its_answer_brings_nothing_back() {
    let mut gone = Vec::new();
    let server = Server::with(CONFIGURATION, |engine| {
        let mut draft = plain(Kind::Electronic, 1, Fen(10_000));
        draft["buyer"]["tax_id"] = json!(buyer().as_str());
        logged(submit(engine, &draft));
        gone = ciphertext(engine, Kind::Electronic, 1);
    });
    let invoice = id(Kind::Electronic, 1);
    let path = format!("/v1/invoices/{invoice}");
    let erase = format!("{path}/erase");
    let before = server.ask_as("issuer", "GET", &path, b"").json();
    assert_eq!(before.get("erased"), None);
    assert!(files_with(&server.site.directory(), &gone) > 0);

    let body = json!({ "reason": REASON }).to_string();
    for (name, body, status) in [
        ("issuer", body.as_str(), 403),
        ("auditor", &body, 403),
        ("administrator_44", &body, 403),
        ("administrator", "{}", 400),
        ("administrator", r#"{"reason":"因"}"#, 422),
        ("administrator", &body, 200),
    ] {
        let reply = server.ask_as(name, "POST", &erase, body.as_bytes());
        assert_eq!(reply.status, status, "{name} {body}: {}", reply.text());
    }
    server.running.signal(Signal::KILL);
    assert_eq!(files_with(&server.site.directory(), &gone), 0);
    let server = server.restart();
    assert_eq!(files_with(&server.site.directory(), &gone), 0);

    let after = server.ask_as("issuer", "GET", &path, b"").json();
    assert!(after["erased"].is_string());
    assert_eq!((&after["draft"], &before["receipt"]), (&Value::Null, &after["receipt"]));
    for member in ["face", "signed_qr", "state"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(server.ask_as("issuer", "GET", &format!("{path}/qr"), b"").status, 200);
    // Who bought it is not known any more, so nobody is shown it as its buyer.
    assert_eq!(server.ask_as("business", "GET", &path, b"").status, 404);
    let verified = server.ask_as("", "POST", "/v1/verify", json!({ "qr": before["signed_qr"], "details": true }).to_string().as_bytes()).json();
    assert_eq!((&verified["name"], verified.get("details")), (&json!("genuine"), None));
    let again = server.ask_as("administrator", "POST", &erase, body.as_bytes()).json();
    assert_eq!((&again["repeated"], &again["erased"]), (&json!(true), &after["erased"]));
    let other = format!("/v1/invoices/{}/erase", id(Kind::Electronic, 2));
    assert_eq!(server.ask_as("administrator", "POST", &other, body.as_bytes()).status, 404);
}

#[test]
fn the_command_erases_in_a_directory_and_through_a_server() {
    let server = Server::with(CONFIGURATION, |engine| {
        for number in [1, 2] {
            logged(submit(engine, &generated(Kind::Electronic, 5, number)));
        }
    });
    let code = id(Kind::Electronic, 1).code.to_string();
    let url = format!("http://{}", server.running.address);
    let arguments = ["ledger", "erase", "--code", &code, "--number", "00000001", "--reason", REASON, "--json"];
    let mut remote = program(&arguments);
    let done = remote.args(["--server", &url]).env("FAPIAO_TOKEN", &server.tokens["administrator"]).output().expect("ran");
    assert!(done.status.success(), "{done:?}");
    let remote: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(remote["repeated"], false);
    let Server { running, site, .. } = server;
    running.signal(Signal::TERM);
    running.wait();

    let here = site.program(&arguments).output().expect("ran");
    let here: Value = serde_json::from_slice(&here.stdout).expect("JSON");
    assert_eq!((&here["repeated"], &here["erased"]), (&json!(true), &remote["erased"]));
    let said = site.program(&["ledger", "erase", "--code", &code, "--number", "00000002", "--reason", REASON]).output().expect("ran");
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("backups from before have it"), "{said:?}");
    let absent = site.program(&["ledger", "erase", "--code", &code, "--number", "00000003", "--reason", REASON]).output().expect("ran");
    assert_eq!(absent.status.code(), Some(2), "{absent:?}");
    let checked = site.program(&["ledger", "fsck"]).output().expect("ran");
    assert!(checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("erased 2"), "{checked:?}");
}
