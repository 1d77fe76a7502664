//! Keys and what is older than they are: a copy of the ledger, a key file, a receipt; and keys that are retired, stolen or too many.

use std::fs;

use fapiao::codec::event::{Role, Withdrawal};
use fapiao::crypto::keyfile;
use fapiao::crypto::keyring::{SecretKey, SignatureCheck};
use fapiao::crypto::note::Checkpoint;
use fapiao::crypto::{hash, merkle};
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Engine, EngineError, FullReceipt, Resubmitted, RotationFault, keyring_path};
use fapiao::issue::AgainFault;
use fapiao::ledger::value::{self, HeadRecord};
use fapiao::ledger::{LedgerError, Obstacle, Sealed};
use fapiao::limits::{KEY_OVERLAP_MIN_MS, KEYRING_DATA_KEYS_MAX};
use serde_json::Value;

use crate::support::server::{SILENT, serve};
use crate::support::{Site, allot_all, copy_tree, database, id, logged, plain, submit};

fn ready() -> (Site, Engine) {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(100_000))));
    (site, engine)
}

fn rotate(engine: &Engine, role: Role) -> Result<fapiao::engine::Rotated, EngineError> {
    engine.rotate(role, None, KEY_OVERLAP_MIN_MS, None, &Caller::CONSOLE)
}

fn replace_stolen(engine: &Engine, role: Role) {
    engine.rotate(role, None, KEY_OVERLAP_MIN_MS, Some(Withdrawal::Compromised), &Caller::CONSOLE).expect("rotated");
}

fn pass(site: &Site, ms: u64) {
    site.set_now(UnixMillis(site.now().0 + ms));
}

fn receipt(engine: &Engine, number: u32) -> FullReceipt {
    let index = engine.ledger().look_up(id(Kind::Electronic, number)).expect("readable").1.expect("issued").index;
    engine.receipt(index).expect("readable").expect("published")
}

fn draft(number: u32) -> fapiao::domain::draft::Draft {
    fapiao::channel::json::parse_draft(plain(Kind::Electronic, number, Fen(100_000)).to_string().as_bytes()).expect("JSON")
}

fn fault(engine: &Engine, full: &FullReceipt) -> AgainFault {
    match engine.resubmit(full, Some(&draft(1))).expect("an answer") {
        Resubmitted::NotOurs(fault) => fault,
        other => panic!("{other:?}"),
    }
}

/// The older copy takes the place of the newest, but for its lock record.
fn put_back(site: &Site) {
    fs::remove_dir_all(site.directory()).expect("removed");
    copy_tree(&site.file("copy"), &site.directory());
}

#[test]
fn a_copy_older_than_a_rotation_says_so_and_is_reopened_with_the_newest_keys() {
    let (site, engine) = ready();
    let here = engine.ledger().published().size;
    drop(engine);
    copy_tree(&site.directory(), &site.file("copy"));
    let engine = site.open().expect("opened");
    let stolen = site.keyring().authority().key_id;
    rotate(&engine, Role::Answering).expect("rotated");
    replace_stolen(&engine, Role::Checkpoint);
    // Two of them, so that one was in use only in what is lost.
    rotate(&engine, Role::Authority).expect("rotated");
    logged(submit(&engine, &plain(Kind::Electronic, 2, Fen(100_000))));
    replace_stolen(&engine, Role::Authority);
    logged(submit(&engine, &plain(Kind::Electronic, 3, Fen(100_000))));
    let held = [receipt(&engine, 2), receipt(&engine, 3)];
    let in_use = [engine.ledger().keyring().expect("unlocked").authority().key_id, engine.ledger().keyring().expect("unlocked").checkpoint().key_id];
    let locked = engine.ledger().published().size;
    drop(engine);
    let newest = fs::read(keyring_path(&site.directory())).expect("readable");

    put_back(&site);
    let engine = site.open().expect("opened");
    let path = site.lock_path();
    assert_eq!(engine.ledger().obstacle(), Some(&Obstacle::LockUnnamed { path: path.clone(), here, locked }));
    assert!(engine.ledger().is_behind(), "questions are answered not yet");
    drop(engine);
    let refused = Engine::adopt(&site.config());
    assert!(matches!(refused, Err(EngineError::Ledger(LedgerError::NotAdopted(Obstacle::LockUnnamed { .. })))), "{refused:?}");

    // The newest key file knows who signed.
    fs::write(keyring_path(&site.directory()), &newest).expect("written");
    let engine = site.open().expect("opened");
    assert_eq!(engine.ledger().obstacle(), Some(&Obstacle::LockAhead { path, here, locked }));
    drop(engine);
    let output = site.program(&["ledger", "reopen", "--reason", "the disk was lost"]).output().expect("ran");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("its keys are named again") && said.contains("are lost"), "{output:?}");

    // The program has the system's time.
    site.set_now(fapiao::engine::now());
    let engine = site.open().expect("opened");
    let keyring = engine.ledger().keyring().expect("unlocked");
    assert_eq!([keyring.authority().key_id, keyring.checkpoint().key_id], in_use);
    assert!(!engine.ledger().keys().get(stolen).expect("named").is_in_force(), "nobody goes on with what was replaced");
    for (full, number) in held.iter().zip([2, 3]) {
        let outcome = engine.resubmit(full, Some(&draft(number))).expect("an answer");
        assert!(matches!(outcome, Resubmitted::Decided(fapiao::engine::Submitted::Logged(_))), "{outcome:?}");
    }
    let report = engine.fsck(&|_, _| ()).expect("a report");
    assert_eq!(report.findings, []);
}

/// A receipt that a thief of every key made says that its leaf stands before the theft.
#[test]
fn a_receipt_says_nothing_of_its_own_place_after_a_theft() {
    let (site, engine) = ready();
    let thief = site.keyring();
    let genuine = receipt(&engine, 1);
    let mut forged = FullReceipt { receipt: genuine.receipt.clone(), salt: genuine.salt };
    let Sealed::Invoice { face, rest_digest, signature } = &mut forged.receipt.sealed else { panic!("an event") };
    rest_digest[0] ^= 1;
    *signature = thief.authority().key.sign(&hash::invoice_message(face, rest_digest)).expect("signed");
    forged.receipt.leaf.commit = hash::commit(face, rest_digest);
    let root = merkle::leaf_hash(&forged.receipt.leaf.encode());
    (forged.receipt.index, forged.receipt.size, forged.receipt.path) = (0, 1, Vec::new());
    let checkpoint = Checkpoint { origin: engine.ledger().origin().clone(), size: 1, root };
    forged.receipt.note = checkpoint.sign_by(&thief.checkpoint().key).expect("signed").encode();
    assert_eq!(fault(&engine, &forged), AgainFault::OtherDraft, "as good as any before the theft is known");

    pass(&site, 1);
    replace_stolen(&engine, Role::Checkpoint);
    assert!(matches!(fault(&engine, &forged), AgainFault::Checkpoint(_)));
    replace_stolen(&engine, Role::Authority);
    assert_eq!(fault(&engine, &forged), AgainFault::Signature(SignatureCheck::Compromised));
    // What the log has where the receipt says is its own, whatever became of the keys.
    let again = engine.resubmit(&genuine, Some(&draft(1))).expect("an answer");
    assert!(matches!(again, Resubmitted::Decided(fapiao::engine::Submitted::Logged(logged)) if logged.repeated));
}

#[test]
fn a_retired_checkpoint_key_covers_nothing_that_came_after_it() {
    let (site, engine) = ready();
    let retired = site.keyring().checkpoint().clone();
    pass(&site, 1);
    rotate(&engine, Role::Checkpoint).expect("rotated");
    pass(&site, KEY_OVERLAP_MIN_MS);
    logged(submit(&engine, &plain(Kind::Electronic, 2, Fen(100_000))));
    let origin = engine.ledger().origin().clone();
    let made_up = |number: u32| {
        let FullReceipt { mut receipt, salt } = receipt(&engine, number);
        let root = merkle::leaf_hash(&receipt.leaf.encode());
        receipt.note = Checkpoint { origin: origin.clone(), size: 1, root }.sign_by(&retired.key).expect("signed").encode();
        (receipt.index, receipt.size, receipt.path) = (0, 1, Vec::new());
        FullReceipt { receipt, salt }
    };
    assert!(matches!(fault(&engine, &made_up(2)), AgainFault::Checkpoint(_)), "of a leaf from after its time");
    assert!(matches!(engine.resubmit(&made_up(1), Some(&draft(1))).expect("an answer"), Resubmitted::Decided(_)), "of one in its time");

    // Nor is it a head of the log.
    let head = engine.ledger().published();
    let (size, time_ms) = (head.size, head.time.0);
    let note = Checkpoint { origin, size, root: head.root }.sign_by(&retired.key).expect("signed").encode();
    drop(engine);
    let db = database(&site.directory());
    db.put_cf(db.cf_handle("head").expect("head"), size.to_be_bytes(), value::encode(&HeadRecord { note, time_ms })).expect("written");
    drop(db);
    let opened = site.open().map(|_| ());
    assert!(matches!(&opened, Err(EngineError::Ledger(LedgerError::Checkpoint { reason, .. })) if reason.contains("time was over")), "{opened:?}");
}

#[test]
fn an_older_key_file_that_was_put_back_loses_no_key() {
    let (site, engine) = ready();
    let path = keyring_path(&site.directory());
    let older = fs::read(&path).expect("readable");
    let newer = rotate(&engine, Role::Answering).expect("rotated").key_id;
    let newest = fs::read(&path).expect("readable");
    fs::write(&path, &older).expect("written");
    for role in [Role::Answering, Role::Data] {
        let refused = rotate(&engine, role);
        assert!(matches!(refused, Err(EngineError::Rotation(RotationFault::OlderFile(key_id))) if key_id == newer), "{refused:?}");
        assert_eq!(fs::read(&path).expect("readable"), older, "nothing is written over");
    }
    fs::write(&path, &newest).expect("written");
    rotate(&engine, Role::Answering).expect("rotated");
    assert!(site.keyring().keys().iter().any(|key| key.key_id() == newer));
}

#[test]
fn data_keys_leave_room_for_an_emergency() {
    let (site, engine) = ready();
    for _ in 1..KEYRING_DATA_KEYS_MAX {
        rotate(&engine, Role::Data).expect("rotated");
    }
    let refused = rotate(&engine, Role::Data);
    assert!(matches!(refused, Err(EngineError::Rotation(RotationFault::DataKeysFull))), "{refused:?}");
    for role in [Role::Authority, Role::Answering, Role::Checkpoint] {
        replace_stolen(&engine, role);
    }
    assert_eq!(site.keyring().keys().iter().map(SecretKey::role).filter(|role| *role == Role::Data).count(), KEYRING_DATA_KEYS_MAX);
    assert!(keyfile::open(&fs::read(keyring_path(&site.directory())).expect("readable"), crate::support::PASSPHRASE).is_ok());
}

#[test]
fn a_rotation_that_is_done_says_so_although_its_list_could_not_be_written() {
    let (site, engine) = ready();
    drop(engine);
    let public = site.directory().join("keys/public.json");
    drop(fs::remove_file(&public));
    fs::create_dir_all(public.join("in the way")).expect("made");
    let output = site.program(&["keys", "rotate", "--role", "answering", "--json"]).output().expect("ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("do not do it again") && said.contains("fapiao keys show --data"), "{output:?}");
    let rotated: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let in_force = site.keyring().keys().last().expect("keys").key_id().to_string();
    assert_eq!(rotated["key_id"], in_force.as_str());
}

#[test]
fn a_copy_that_does_not_sign_proves_nothing_by_checkpoints_that_nobody_was_told() {
    let (site, engine) = ready();
    drop(engine);
    fs::remove_file(site.lock_path()).expect("removed");
    let running = serve(&site, SILENT);
    for path in ["/v1/proofs/inclusion?index=0", "/v1/proofs/consistency?from=1"] {
        let reply = running.ask("GET", path, &[], b"");
        assert_eq!((reply.status, reply.header("retry-after")), (503, "60"), "{path}: {}", reply.text());
    }
}
