//! Backups: taken while invoices are issued, incremental, checked, and restored whole or as the ledger was at a size.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::InvoiceId;
use fapiao::engine::{Config, Engine, EngineError};
use fapiao::ledger::{self, BackupError, LedgerError, Obstacle, Restored, StoreError};
use fapiao::verify::verdict::Verdict;
use serde_json::json;

use crate::support::{
    Site, allot_all, flip, generated, holder_is_told, id, import, logged, plain, program, red, seller, submit, tax, tree_bytes, typed,
};

fn open(site: &Site, directory: &Path) -> Engine {
    Engine::open(Config { directory: directory.into(), ..site.config() }).expect("a restored ledger")
}

fn is_sound(engine: &Engine) {
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

fn bytes_of(files: &Path) -> u64 {
    tree_bytes(files).values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn backups_under_load_hold_all_that_was_acknowledged_before_them() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let backups = site.file("backups");
    let acknowledged: Mutex<Vec<(u64, InvoiceId)>> = Mutex::new(Vec::new());
    let enough = AtomicBool::new(false);
    let mut made = Vec::new();
    thread::scope(|scope| {
        for worker in 0..3u32 {
            let (engine, acknowledged, enough) = (&engine, &acknowledged, &enough);
            scope.spawn(move || {
                for number in (1..99_999).skip_while(move |number| number % 3 != worker).step_by(3) {
                    if enough.load(Ordering::SeqCst) {
                        return;
                    }
                    let index = logged(submit(engine, &generated(Kind::Ordinary, u64::from(number), number))).index;
                    acknowledged.lock().expect("invoices").push((index, id(Kind::Ordinary, number)));
                }
            });
        }
        for round in 1..=4 {
            while acknowledged.lock().expect("invoices").len() < round * 100 {
                thread::sleep(Duration::from_millis(1));
            }
            let before = acknowledged.lock().expect("invoices").clone();
            let backup = engine.back_up(&backups, 10).expect("a backup");
            assert!(before.iter().all(|(index, _)| *index < backup.checkpoint.size), "backup {}", backup.number);
            made.push(backup);
        }
        enough.store(true, Ordering::SeqCst);
    });
    made.push(engine.back_up(&backups, 10).expect("a backup"));
    assert_eq!(ledger::backups(&backups).expect("backups"), made);

    let acknowledged = acknowledged.into_inner().expect("invoices");
    let mut sizes = BTreeSet::new();
    for backup in &made {
        let into = site.file(&format!("restored {}", backup.number));
        let Restored { checkpoint, .. } = Engine::restore(&backups, Some(backup.number), None, &into).expect("restored");
        let restored = open(&site, &into);
        let size = restored.ledger().published().size;
        assert!(size >= backup.checkpoint.size && size == checkpoint.size);
        let root = restored.ledger().checkpoint_at(backup.checkpoint.size).expect("readable");
        assert_eq!(root.as_ref(), Some(&backup.note), "the checkpoint that it was said to hold");
        for (index, id) in acknowledged.iter().filter(|(index, _)| *index < backup.checkpoint.size) {
            assert_eq!(restored.ledger().look_up(*id).expect("readable").1.map(|row| row.index), Some(*index));
        }
        is_sound(&restored);
        sizes.insert(size);
    }
    assert!(sizes.len() == made.len(), "the load went on: {sizes:?}");
    let last = open(&site, &site.file(&format!("restored {}", made.len())));
    assert_eq!(last.ledger().published(), engine.ledger().published());
    assert_eq!(last.fsck(&|_, _| ()).expect("a report"), engine.fsck(&|_, _| ()).expect("a report"));
}

#[test]
fn what_an_earlier_backup_holds_is_not_copied_again() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let issue = |numbers: std::ops::RangeInclusive<u32>| {
        for number in numbers {
            logged(submit(&engine, &generated(Kind::Special, u64::from(number), number)));
        }
    };
    issue(1..=800);
    engine.ledger().compact().expect("compacted");
    let backups = site.file("backups");
    engine.back_up(&backups, 9).expect("a backup");
    let tables = backups.join("db/shared_checksum");
    let (first, whole) = (tree_bytes(&tables), bytes_of(&backups));
    issue(801..=801);
    engine.back_up(&backups, 9).expect("a backup");
    let (second, grown) = (tree_bytes(&tables), bytes_of(&backups) - whole);
    assert!(first.iter().all(|(name, bytes)| second.get(name) == Some(bytes)), "a table is there once");
    println!("the first backup takes {whole} bytes, the second {grown} more");
    assert!(grown < whole / 5, "{grown} of {whole}");
}

#[test]
fn as_many_as_asked_for_are_kept_and_an_interrupted_one_does_not_count() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let backups = site.file("backups");
    let back_up = |keep| engine.back_up(&backups, keep).expect("a backup").number;
    let numbers = || ledger::backups(&backups).expect("backups").iter().map(|backup| backup.number).collect::<Vec<_>>();
    let notes = || tree_bytes(&backups.join("checkpoints")).len();
    for number in 1..=4 {
        logged(submit(&engine, &plain(Kind::Special, number, Fen(100))));
        assert_eq!(back_up(2), number);
    }
    assert_eq!((numbers(), notes()), (vec![3, 4], 2));

    // As after a crash before the checkpoint was written beside it.
    fs::remove_file(backups.join("checkpoints/4")).expect("removed");
    assert_eq!(numbers(), [3]);
    let into = site.file("restored");
    assert_eq!(Engine::restore(&backups, None, None, &into).expect("restored").backup.number, 3);
    assert!(matches!(Engine::restore(&backups, Some(4), None, &site.file("interrupted")), Err(EngineError::Backup(BackupError::Absent(_)))));
    assert_eq!(back_up(2), 5);
    assert_eq!(numbers(), [3, 5], "the older of two that count was not pushed out");
    assert_eq!(back_up(1), 6);
    assert_eq!((numbers(), notes()), (vec![6], 1));
    is_sound(&open(&site, &into));

    let nothing = site.file("nothing");
    assert!(matches!(ledger::backups(&nothing), Err(BackupError::Absent(_))));
    assert!(matches!(Engine::restore(&backups, None, None, &into), Err(EngineError::Backup(BackupError::NotEmpty(_)))));
}

#[test]
fn the_ledger_comes_back_as_it_was_at_any_published_size() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let (blue, taken_back) = (id(Kind::Ordinary, 1), id(Kind::Ordinary, 2));
    let original = plain(Kind::Ordinary, 1, Fen(100_000));
    let (amount, tax) = (Fen(40_000), tax(Kind::Ordinary, Fen(40_000)));
    let mut historic = plain(Kind::Ordinary, 9, Fen(500));
    historic["state"] = json!("voided");
    historic["check_code"] = json!("20930011785541236098");
    let steps: [&dyn Fn() -> u64; 7] = [
        &|| logged(submit(&engine, &original)).index,
        &|| logged(submit(&engine, &red(&original, 2, amount, tax))).index,
        &|| logged(engine.status(blue, Mark::Abnormal)).index,
        &|| logged(engine.status(blue, Mark::Lifted)).index,
        &|| logged(engine.void(taken_back, Some(seller()))).index,
        // Two leaves in one commit: there is no checkpoint between them.
        &|| logged(import(&engine, &historic)).index,
        &|| logged(engine.void(blue, Some(seller()))).index,
    ];
    let mut states = Vec::new();
    for step in steps {
        step();
        let row = |id| engine.ledger().look_up(id).expect("readable").1;
        states.push((engine.ledger().published(), [blue, taken_back, id(Kind::Ordinary, 9)].map(row)));
    }
    for _ in 0..3 {
        engine.verify(&typed(&crate::support::face(&engine, blue)).question()).expect("an answer");
    }
    engine.verify(&typed(&crate::support::face(&engine, taken_back)).question()).expect("an answer");
    thread::sleep(Duration::from_millis(1_000));
    let backups = site.file("backups");
    let newest = engine.back_up(&backups, 2).expect("a backup").checkpoint;

    for (at, (published, rows)) in states.iter().enumerate() {
        let into = site.file(&format!("restored {at}"));
        let Restored { checkpoint, .. } = Engine::restore(&backups, None, Some(published.size), &into).expect("restored");
        assert_eq!((checkpoint.size, checkpoint.root), (published.size, published.root));
        let restored = open(&site, &into);
        assert_eq!(restored.ledger().published(), *published);
        for (id, row) in [blue, taken_back, id(Kind::Ordinary, 9)].into_iter().zip(rows) {
            assert_eq!(restored.ledger().look_up(id).expect("readable").1, *row, "{id} at {}", published.size);
        }
        let counted = |id| restored.ledger().counts().get(id).expect("readable").count;
        assert_eq!(counted(blue), 3, "counts stay with the invoices that stay");
        assert_eq!(counted(taken_back), u64::from(rows[1].is_some()));
        is_sound(&restored);
        let lock = restored.ledger().lock_path();
        assert_eq!(restored.ledger().obstacle(), Some(&Obstacle::LockMissing { path: lock.clone() }));
        assert!(restored.ledger().may_write().is_err() && !lock.exists());
        drop(restored);

        let config = || Config { directory: into.clone(), ..site.config() };
        if at % 2 == 0 {
            assert_eq!(Engine::adopt(&config()).expect("adopted").size, published.size);
        } else {
            assert_eq!(Engine::reopen(&config(), "a test").expect("reopened").0, published.size);
        }
        let engine = Engine::open(config()).expect("signs");
        logged(submit(&engine, &plain(Kind::Special, 50, Fen(100))));
        assert_eq!(holder_is_told(&engine, id(Kind::Special, 50)), Verdict::Genuine);
        is_sound(&engine);
    }

    // Its own two leaves, and beyond the end.
    let between = states[4].0.size + 1;
    for (asked, below, above) in [(between, between - 1, Some(between + 1)), (10_000, newest.size, None)] {
        let into = site.file("unpublished");
        match Engine::restore(&backups, None, Some(asked), &into) {
            Err(EngineError::Backup(BackupError::NoSuchSize { asked: said, below: under, above: over })) => {
                assert_eq!((said, under, over), (asked, below, above));
            }
            other => panic!("restored: {other:?}"),
        }
        assert_eq!(tree_bytes(&into).len(), 0, "nothing is left behind");
    }
}

#[test]
fn a_damaged_backup_is_refused() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, Fen(100))));
    let backups = site.file("backups");
    let backup = engine.back_up(&backups, 2).expect("a backup");
    let drill = || program(&["ledger", "drill", "--from"]).arg(&backups).output().expect("run").status.code();
    assert_eq!(drill(), Some(0));
    let table: PathBuf = tree_bytes(&backups.join("db/shared_checksum")).into_keys().next().expect("a table");
    let into = site.file("restored");
    flip(&table, 20);
    match Engine::restore(&backups, None, None, &into) {
        Err(EngineError::Ledger(LedgerError::Store(StoreError::Rocks(error)))) => assert!(error.as_ref().contains("hecksum"), "{error}"),
        other => panic!("restored: {other:?}"),
    }
    assert_eq!(tree_bytes(&into).len(), 0);
    assert_eq!(drill(), Some(3));
    flip(&table, 20);
    // The checkpoint beside it: another signature, another root.
    let note = backups.join("checkpoints").join(backup.number.to_string());
    for at in [backup.note.len() - 30, backup.note.find('\n').expect("lines") + 10] {
        let sound = fs::read(&note).expect("a note");
        let mut bytes = sound.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        fs::write(&note, bytes).expect("written");
        assert!(
            matches!(
                Engine::restore(&backups, None, None, &into),
                Err(EngineError::Backup(BackupError::OtherHistory { .. } | BackupError::Checkpoint { .. }))
            ),
            "byte {at}"
        );
        assert_eq!((tree_bytes(&into).len(), drill()), (0, Some(3)));
        fs::write(&note, sound).expect("written");
    }
    assert_eq!(drill(), Some(0));
}

#[test]
fn keys_are_in_a_backup_and_passphrase_lock_and_place_are_not() {
    let site = Site::new();
    let data = site.file("demo");
    let run = |arguments: &[&str]| {
        let output = program(arguments).arg("--data").arg(&data).output().expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["demo", "--once"]);
    let backups = site.file("backups");
    let to = backups.to_str().expect("UTF-8");
    run(&["ledger", "backup", "--to", to]);
    for name in ["keyring", "public.json"] {
        assert_eq!(fs::read(backups.join("keys").join(name)).expect("kept"), fs::read(data.join("keys").join(name)).expect("there"), "{name}");
    }
    assert!(data.join("keys/passphrase").exists() && data.join("place").exists());
    let passphrase = fs::read(data.join("keys/passphrase")).expect("a passphrase");
    let lock = fs::read(site.file("demo.lock")).expect("a lock");
    let kept = tree_bytes(&backups);
    let names: BTreeSet<&str> = kept.keys().filter_map(|path| path.file_name()?.to_str()).collect();
    assert!(["passphrase", "place", "closed", "lock", "demo.lock"].iter().all(|name| !names.contains(name)), "{names:?}");
    assert!(kept.values().all(|bytes| !bytes.windows(passphrase.len()).any(|window| window == passphrase)));
    // The newest checkpoint is there as one, and not as a lock record.
    assert_eq!(kept.values().filter(|bytes| **bytes == lock).count(), 1);
    let restored = site.file("restored");
    assert!(program(&["ledger", "restore", "--from", to, "--data"]).arg(&restored).status().expect("run").success());
    assert!(!restored.join("place").exists() && !restored.join("keys/passphrase").exists() && !site.file("restored.lock").exists());
}

#[test]
fn backups_of_another_log_are_left_alone() {
    let (site, other) = (Site::new(), Site::new());
    let (engine, stranger) = (site.create(), other.create());
    let backups = site.file("backups");
    engine.back_up(&backups, 1).expect("a backup");
    let before = tree_bytes(&backups);
    match stranger.back_up(&backups, 1) {
        Err(EngineError::Backup(BackupError::OtherLog { origin, .. })) => assert_eq!(origin, *engine.ledger().origin()),
        outcome => panic!("backed up: {outcome:?}"),
    }
    assert_eq!(tree_bytes(&backups), before);
}
