//! Signed answers in the log: each is below one root, whatever happens, and nobody can add to the past.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use data_encoding::HEXLOWER;
use fapiao::codec::event::{AnswersNotice, Event, EventData};
use fapiao::codec::proof::answer_hash;
use fapiao::crypto::merkle::{self, Hash};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{AnswerInLog, Config, Engine, SignedAnswer};
use fapiao::ledger::{self, Sealed};
use fapiao::limits::ANSWERS_PER_ROOT_MAX;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::http::Client;
use crate::support::server::{CONFIGURATION, Server};
use crate::support::{Site, allot_all, copy_tree, database, id, kept, logged, plain, submit};

const HOUR: u64 = 3_600_000;

fn ready() -> (Site, Engine) {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for number in 1..=3 {
        logged(submit(&engine, &plain(Kind::Electronic, number, Fen(100_000))));
    }
    (site, engine)
}

fn pass(site: &Site, ms: u64) {
    site.set_now(UnixMillis(site.now().0 + ms));
}

fn ask(engine: &Engine, number: u32) -> SignedAnswer {
    kept(engine, id(Kind::Electronic, number))
}

fn hash_of(answer: &SignedAnswer) -> Hash {
    answer_hash(&answer.bytes, &answer.signature)
}

fn size(engine: &Engine) -> u64 {
    engine.ledger().published().size
}

/// What the leaf says.
fn notice(engine: &Engine, index: u64) -> AnswersNotice {
    let (leaf, sealed) = engine.ledger().sealed(index).expect("readable").expect("published");
    let Sealed::Event { data, .. } = sealed else { panic!("an invoice") };
    match EventData::decode(leaf.event, &data) {
        Ok(EventData::AnswersRoot(notice)) => notice,
        other => panic!("leaf {index} is another event: {other:?}"),
    }
}

/// Leaf and place below it, if the log has the answer; the path from one to the other holds.
fn in_log(engine: &Engine, answer: &SignedAnswer) -> Option<(u64, u64)> {
    match engine.answer_in_log(&hash_of(answer)).expect("readable") {
        AnswerInLog::Logged(found) => {
            let AnswersNotice { count, root, .. } = found.event.covering.notice;
            assert!(merkle::verify_inclusion(&hash_of(answer), found.place, u64::from(count), &found.path, &root));
            assert_eq!(notice(engine, found.event.covering.index), found.event.covering.notice);
            Some((found.event.covering.index, found.place))
        }
        AnswerInLog::NotYet { .. } => None,
        AnswerInLog::Never => panic!("it was signed here"),
    }
}

#[track_caller]
fn is_sound(engine: &Engine) {
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

fn told(engine: &Engine) -> Vec<String> {
    let report = engine.fsck(&|_, _| ()).expect("a report");
    report.findings.iter().map(|finding| format!("{} {}: {}", finding.table, finding.at, finding.what)).collect()
}

#[test]
fn each_answer_is_below_one_root_in_the_order_of_signing() {
    let (site, engine) = ready();
    let before = size(&engine);
    assert_eq!(engine.answers_due_in().expect("readable"), None);
    assert_eq!(engine.log_answers().expect("nothing to do"), 0);
    assert_eq!(size(&engine), before, "an hour without answers leaves nothing in the log");

    let mut answers = Vec::new();
    for number in [1, 2, 3, 1, 1] {
        pass(&site, 60_000);
        answers.push(ask(&engine, number));
    }
    let first_time = UnixMillis(site.now().0 - 4 * 60_000);
    assert_eq!(engine.answers_due_in().expect("readable"), Some(HOUR - 4 * 60_000), "an hour after the first of them");
    let AnswerInLog::NotYet { due } = engine.answer_in_log(&hash_of(&answers[4])).expect("readable") else { panic!("not yet") };
    assert_eq!(due, UnixMillis(site.now().0 + HOUR), "the latest that it can be");
    assert!(matches!(engine.answer_in_log(&[7; 32]).expect("readable"), AnswerInLog::Never));
    assert_eq!(size(&engine), before);
    pass(&site, HOUR);
    assert_eq!(engine.answers_due_in().expect("readable"), Some(0));

    assert_eq!(engine.log_answers().expect("logged"), 5);
    assert_eq!((engine.log_answers().expect("nothing left"), engine.answers_due_in().expect("readable")), (0, None));
    let hashes: Vec<Hash> = answers.iter().map(hash_of).collect();
    let told = notice(&engine, before);
    assert_eq!(told.root, merkle::root_of(&hashes));
    assert_eq!((told.first, told.count, told.earliest, told.latest), (0, 5, first_time, UnixMillis(first_time.0 + 4 * 60_000)));
    for (answer, place) in answers.iter().zip(0..) {
        assert_eq!(in_log(&engine, answer), Some((before, place)));
    }
    let leaf = engine.ledger().leaf(before).expect("readable").expect("published");
    assert_eq!((leaf.event, leaf.ref_index, leaf.id_tag), (Event::AnswersRoot, None, [0; 32]));

    // After a restart it goes on where it was; one that was not told of yet is, and with the next ones.
    let late = ask(&engine, 2);
    drop(engine);
    let engine = site.open().expect("opened");
    let later = ask(&engine, 3);
    assert_eq!(engine.log_answers().expect("logged"), 2);
    let told = notice(&engine, before + 1);
    assert_eq!((told.first, told.count, told.root), (5, 2, merkle::root_of(&[hash_of(&late), hash_of(&later)])));
    assert_eq!((in_log(&engine, &late), in_log(&engine, &later)), (Some((before + 1, 0)), Some((before + 1, 1))));
    is_sound(&engine);
}

/// As long as the disk takes them, they come in any order and from any thread, and no root is over more than it may be.
#[test]
fn many_at_a_time_are_below_as_many_roots_as_they_need() {
    let (_site, engine) = ready();
    let (engine, threads) = (Arc::new(engine), 64);
    let each = ANSWERS_PER_ROOT_MAX / threads + 1;
    thread::scope(|scope| {
        for thread in 0..threads {
            let engine = &engine;
            scope.spawn(move || {
                for at in 0..each {
                    let hash = answer_hash(&[thread as u8, (at % 256) as u8, (at / 256) as u8], &[0; 64]);
                    engine.ledger().answers().keep(hash, UnixMillis(1_000)).expect("kept");
                    // The same again, as the same question in the same moment may be, is one answer.
                    engine.ledger().answers().keep(hash, UnixMillis(1_000)).expect("kept");
                }
            });
        }
    });
    let (all, before) = (threads * each, size(&engine));
    assert_eq!(engine.answers_due_in().expect("readable"), Some(0), "so many do not wait for the hour");
    assert_eq!(engine.log_answers().expect("logged"), all as u64);
    assert_eq!(size(&engine), before + 2);
    assert_eq!([before, before + 1].map(|index| notice(&engine, index).count as usize), [ANSWERS_PER_ROOT_MAX, all - ANSWERS_PER_ROOT_MAX]);
    is_sound(&engine);
}

/// A server that is killed while it signs answers: each that left is in the log after the next start.
#[test]
fn a_crash_leaves_no_answer_out() {
    let server = Server::with(CONFIGURATION, |engine| {
        for number in 1..=8 {
            logged(submit(engine, &plain(Kind::Electronic, number, Fen(100_000))));
        }
    });
    let address = server.running.address;
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (1..=8)
        .map(|number| {
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                let mut heard = Vec::new();
                let mut client = Client::connect(address);
                let body = format!(r#"{{"code":"033001900111","number":"{number:08}","date":"2019-11-11","check":"000000","proof":true}}"#);
                let request = crate::support::http::request("POST", "/v1/verify", &[("Content-Type", "application/json")], body.as_bytes());
                while client.try_send(&request).is_ok() {
                    let Ok(reply) = client.try_reply() else { break };
                    heard.push(reply.json()["proof"].clone());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                heard
            })
        })
        .collect();
    while asked.load(Ordering::Relaxed) < 400 && clients.iter().all(|client| !client.is_finished()) {
        thread::yield_now();
    }
    server.running.signal(Signal::KILL);
    let heard: Vec<Value> = clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    assert!(heard.len() >= 100, "{}", heard.len());
    let Server { running, site, .. } = server;
    drop(running);

    site.set_now(fapiao::engine::now());
    let engine = site.open().expect("opened");
    let before = size(&engine);
    let logged = engine.log_answers().expect("logged");
    assert!(logged >= heard.len() as u64, "{logged} of {}", heard.len());
    assert_eq!((size(&engine), notice(&engine, before).first), (before + 1, 0), "nothing was in the log before");
    for proof in &heard {
        let bytes = HEXLOWER.decode(proof["answer"].as_str().expect("hex").as_bytes()).expect("hex");
        let signature = HEXLOWER.decode(proof["signature"].as_str().expect("hex").as_bytes()).expect("hex");
        let hash = answer_hash(&bytes, &signature.try_into().expect("64 bytes"));
        assert!(matches!(engine.answer_in_log(&hash).expect("readable"), AnswerInLog::Logged(_)));
    }
    is_sound(&engine);
}

#[test]
fn a_server_tells_of_its_answers_before_it_ends_and_the_console_at_once() {
    let server = Server::with(CONFIGURATION, |engine| {
        logged(submit(engine, &plain(Kind::Electronic, 1, Fen(100_000))));
    });
    let asked = br#"{"code":"033001900111","number":"00000001","date":"2019-11-11","check":"000000","proof":true}"#;
    assert_eq!(server.ask_as("", "POST", "/v1/verify", asked).status, 200);
    server.running.signal(Signal::TERM);
    let Server { running, site, .. } = server;
    assert_eq!(running.wait(), Some(0));
    let newest = |site: &Site| {
        let engine = site.open_locked().expect("opened");
        (size(&engine) - 1, notice(&engine, size(&engine) - 1))
    };
    let (index, told) = newest(&site);
    assert_eq!((told.first, told.count), (0, 1));
    let kept = site.file("kept.json");
    let kept = kept.to_str().expect("UTF-8");
    let asked = site
        .program(&["verify", "--code", "033001900111", "--number", "00000001", "--date", "2019-11-11", "--check", "000000", "--proof", kept])
        .output()
        .expect("run");
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert_eq!(newest(&site).0, index + 1);
    assert_eq!(newest(&site).1.first, 1);
}

#[test]
fn what_cannot_be_kept_is_not_given() {
    let (site, engine) = ready();
    ask(&engine, 1);
    drop(engine);
    std::fs::remove_file(site.lock_path()).expect("removed");
    let engine = site.open().expect("opened");
    let question = crate::support::typed(&crate::support::face(&engine, id(Kind::Electronic, 1))).question();
    let answer = engine.verify(&question).expect("an answer");
    let refused = engine.sign_answer(&question, &answer).expect_err("a copy that logs nothing").to_string();
    assert!(refused.contains("fapiao ledger adopt"), "{refused}");
    assert!(engine.log_answers().is_err());
}

#[test]
fn a_backup_has_the_answers_and_at_a_size_they_wait_again() {
    let (site, engine) = ready();
    let answers: Vec<SignedAnswer> = [1, 2].map(|number| ask(&engine, number)).into();
    let half = size(&engine);
    engine.log_answers().expect("logged");
    let last = ask(&engine, 3);
    let backups = site.file("backups");
    engine.ledger().back_up(&backups, 3).expect("backed up");
    drop(engine);
    for (name, at, waiting) in [("whole", None, 1), ("half", Some(half), 3)] {
        let directory = site.file(name);
        ledger::restore(&backups, None, at, &directory.clone().into(), site.config().sizes).expect("restored");
        copy_tree(&site.directory().join("keys"), &directory.join("keys"));
        let config = || Config { directory: directory.clone(), ..site.config() };
        Engine::adopt(&config()).expect("adopted");
        let engine = Engine::open(config()).expect("opened");
        assert_eq!(engine.log_answers().expect("logged"), waiting, "{name}");
        assert!(answers.iter().chain([&last]).all(|answer| in_log(&engine, answer).is_some()), "{name}");
        is_sound(&engine);
    }
}

#[test]
fn a_check_says_which_answers_are_not_as_the_log_has_them() {
    let (site, engine) = ready();
    let hashes: Vec<Hash> = [1, 2, 3, 1].map(|number| hash_of(&ask(&engine, number))).into();
    engine.log_answers().expect("logged");
    let root = size(&engine) - 1;
    let last = hash_of(&ask(&engine, 2));
    is_sound(&engine);
    drop(engine);
    let be = |number: u64| number.to_be_bytes();
    let row = |hash: &Hash, time: UnixMillis| [&hash[..], &time.0.to_be_bytes()].concat();
    let hex = |hash: &Hash| HEXLOWER.encode(hash);
    let now = site.now();
    type Change<'a> = (&'a str, Vec<u8>, Option<Vec<u8>>);
    let cases: Vec<(Vec<Change<'_>>, Vec<String>)> = vec![
        (
            vec![("answer", be(1).to_vec(), Some(row(&[9; 32], now)))],
            vec![
                "answer 1: it is not found by its hash".into(),
                format!("answer_hash {}: it is the hash of no answer", hex(&hashes[1])),
                format!("answer_root {root}: the root in the log is not that of the answers"),
            ],
        ),
        (
            vec![("answer", be(1).to_vec(), Some(row(&hashes[1], UnixMillis(now.0 + 1))))],
            vec![format!("answer_root {root}: the times in the log are not those of the answers")],
        ),
        (
            vec![("answer", be(3).to_vec(), None)],
            vec![
                "answer 3: the row is missing".into(),
                format!("answer_hash {}: it is the hash of no answer", hex(&hashes[3])),
                format!("answer_root {root}: answers that it is the root of are missing"),
            ],
        ),
        (vec![("answer_hash", last.to_vec(), None)], vec!["answer 4: it is not found by its hash".into()]),
        (
            vec![("answer_hash", last.to_vec(), Some(b"short".to_vec())), ("answer_hash", b"x".to_vec(), Some(be(4).to_vec()))],
            vec![
                "answer 4: it is not found by its hash".into(),
                "answer_hash 78: the key is not one of this table".into(),
                format!("answer_hash {}: the row does not decode", hex(&last)),
            ],
        ),
        (vec![("answer", be(4).to_vec(), Some(b"short".to_vec()))], vec!["answer 4: the row does not decode".into()]),
    ];
    for (changes, expected) in cases {
        let db = database(&site.directory());
        let family = |table: &str| db.cf_handle(table).expect("a family");
        let mut before = Vec::new();
        for (table, key, value) in &changes {
            before.push((*table, key.clone(), db.get_cf(family(table), key).expect("readable")));
            match value {
                Some(value) => db.put_cf(family(table), key, value).expect("written"),
                None => db.delete_cf(family(table), key).expect("deleted"),
            }
        }
        drop(db);
        let engine = site.open().expect("opened");
        let mut expected = expected;
        let mut found = told(&engine);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{changes:?}");
        drop(engine);
        let db = database(&site.directory());
        for (table, key, value) in before {
            match value {
                Some(value) => db.put_cf(db.cf_handle(table).expect("a family"), key, value).expect("written"),
                None => db.delete_cf(db.cf_handle(table).expect("a family"), key).expect("deleted"),
            }
        }
    }
    is_sound(&site.open().expect("opened"));
}
