//! Signed answers in the log: each is below one root, whatever happens, and nobody can add to the past.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use data_encoding::HEXLOWER;
use fapiao::channel::log_proof::LogProofFault;
use fapiao::channel::logged::{self, LoggedFault, Search};
use fapiao::channel::proof::{self, Evidence, ProofFault, Proven};
use fapiao::channel::{keys, log_proof, receipt};
use fapiao::codec::event::{AnswersNotice, Event, EventData};
use fapiao::codec::event::{Role, Withdrawal};
use fapiao::codec::proof::{Answer, ConsistencyProof, LogProof, answer_hash};
use fapiao::crypto::keyring::PublicKeys;
use fapiao::crypto::merkle::{self, Hash};
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{AnswerInLog, Config, Engine, EngineError, SignedAnswer};
use fapiao::ledger::{self, Keeping, Sealed, Stage, SubmitError};
use fapiao::limits::{ANSWER_DELAY_MAX_MS, ANSWERS_PER_ROOT_MAX, KEY_OVERLAP_MIN_MS, KEY_OVERLAP_MS};
use fapiao::verify::verdict::Verdict;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::demo::shell;
use crate::support::http::Client;
use crate::support::server::{CONFIGURATION, SILENT, Server};
use crate::support::{Site, allot_all, allotment, copy_tree, database, id, kept, logged, plain, program, seller, signed_qr, submit};

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
            let AnswersNotice { count, root, .. } = notice(engine, found.event.index);
            assert!(merkle::verify_inclusion(&hash_of(answer), found.place, u64::from(count), &found.path, &root));
            Some((found.event.index, found.place))
        }
        AnswerInLog::NotYet { .. } => None,
        AnswerInLog::Never { .. } => panic!("it was signed here"),
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
    assert!(matches!(engine.answer_in_log(&[7; 32]).expect("readable"), AnswerInLog::Never { .. }));
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
                    engine.ledger().answers().keep(hash, UnixMillis(1_000), &|| UnixMillis(1_000)).expect("kept");
                    // The same again, as the same question in the same moment may be, is one answer.
                    engine.ledger().answers().keep(hash, UnixMillis(1_000), &|| UnixMillis(1_000)).expect("kept");
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
    let mut codes = Vec::new();
    let server = Server::with(CONFIGURATION, |engine| {
        for number in 1..=8 {
            logged(submit(engine, &plain(Kind::Electronic, number, Fen(100_000))));
            codes.push(signed_qr(engine, id(Kind::Electronic, number)));
        }
    });
    let address = server.running.address;
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = codes
        .into_iter()
        .map(|code| {
            let asked = Arc::clone(&asked);
            thread::spawn(move || {
                let mut heard = Vec::new();
                let mut client = Client::connect(address);
                // Each match counts, so that no two answers are the same.
                let body = json!({ "qr": code, "proof": true }).to_string();
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

/// The list that a verifier has who fetched it now.
fn list(engine: &Engine) -> PublicKeys {
    keys::parse(&serde_json::from_str(&keys::to_json(&engine.ledger().keys()).to_string()).expect("JSON")).expect("keys")
}

/// The file of a kept answer, and with what the log has of it by now.
fn file(engine: &Engine, answer: &SignedAnswer) -> Value {
    proof::to_json(answer, &engine.ledger().keys())
}

fn with_log(engine: &Engine, answer: &SignedAnswer) -> Value {
    let mut file = file(engine, answer);
    file["logged"] = logged::to_json(&engine.answer_in_log(&hash_of(answer)).expect("readable"));
    file
}

fn verified(file: &Value, keys: &PublicKeys) -> Result<Proven, ProofFault> {
    proof::verify(file.to_string().as_bytes(), Some(keys))
}

fn verified_by(file: &Value, keys: &PublicKeys, roots: &Value) -> Result<Proven, ProofFault> {
    proof::verify_with(file.to_string().as_bytes(), Some(keys), Evidence { roots: Some(roots), head: None })
}

/// The roots over answers of this time, as anybody gets them.
fn roots(engine: &Engine, time: UnixMillis) -> Value {
    logged::roots_json(&engine.answer_roots_around(time).expect("readable"))
}

/// An answer that somebody signs who has the answering key from the key file: with another verdict and this time.
fn forged(site: &Site, model: &SignedAnswer, time: UnixMillis) -> SignedAnswer {
    let thief = site.keyring().answering().clone();
    let bytes = Answer { verdict: Verdict::Voided.number(), time, ..Answer::decode(&model.bytes).expect("ours") }.encode();
    SignedAnswer { signature: thief.key.sign(&bytes).expect("signed"), key_id: thief.key_id, bytes, ..model.clone() }
}

/// Three hours with two answers each, the log told of each; the answers and their times.
fn hours(site: &Site, engine: &Engine) -> Vec<(SignedAnswer, UnixMillis)> {
    let mut answers = Vec::new();
    for _ in 0..3 {
        for number in [1, 2] {
            answers.push((ask(engine, number), site.now()));
            pass(site, HOUR / 2);
        }
        engine.log_answers().expect("logged");
    }
    answers
}

#[test]
fn an_answer_with_a_stolen_key_and_a_past_time_is_exposed_by_the_roots() {
    let (site, engine) = ready();
    // The keys are older than the first answer.
    pass(&site, 3 * HOUR);
    let answers = hours(&site, &engine);
    let (honest, then) = &answers[2];
    let (first, _) = in_log(&engine, honest).expect("logged");
    let early = list(&engine);
    // In the middle of what the second hour's root is over.
    let time = UnixMillis(then.0 + 60_000);
    let backdated = forged(&site, honest, time);
    let forged_file = file(&engine, &backdated);
    let proven = verified(&forged_file, &early).expect("the signature is the key's");
    assert_eq!((proven.verdict, proven.logged), (Verdict::Voided, None), "by itself it cannot be told");
    assert!(matches!(engine.answer_in_log(&hash_of(&backdated)).expect("readable"), AnswerInLog::Never { .. }));

    let shown = roots(&engine, time);
    let Err(ProofFault::NotLogged(listed)) = verified_by(&forged_file, &early, &shown) else { panic!("exposed") };
    assert_eq!(listed.iter().map(|root| root.index).collect::<Vec<_>>(), [first - 1, first, first + 1], "with those before and after it");
    let proven = verified_by(&file(&engine, honest), &early, &roots(&engine, *then)).expect("it is there");
    assert_eq!(proven.logged.map(|root| root.index), Some(first));

    // Nobody makes it look otherwise: a root that is left out, hashes with one more or one in the place of another, the place of an honest answer.
    let with = |change: &dyn Fn(&mut Value)| {
        let mut shown = shown.clone();
        change(&mut shown);
        verified_by(&forged_file, &early, &shown).expect_err("no longer what the log says")
    };
    let roots_of = |shown: &mut Value, keep: &[usize]| {
        let all = shown["roots"].as_array().expect("roots").clone();
        shown["roots"] = keep.iter().map(|at| all[*at].clone()).collect();
    };
    assert_eq!(with(&|shown| roots_of(shown, &[0, 2])), ProofFault::Logged(LoggedFault::Gap(first + 1)));
    assert_eq!(with(&|shown| roots_of(shown, &[1, 0, 2])), ProofFault::Logged(LoggedFault::Reach));
    assert_eq!(with(&|shown| roots_of(shown, &[1, 2])), ProofFault::Logged(LoggedFault::Reach));
    assert_eq!(with(&|shown| roots_of(shown, &[0, 1])), ProofFault::NotLoggedYet);
    assert_eq!(with(&|shown| roots_of(shown, &[0, 0, 1, 2])), ProofFault::Logged(LoggedFault::Gap(first - 1)));
    let hashes = |list: &[Hash]| data_encoding::BASE64.encode(list.as_flattened());
    let below = [hash_of(&answers[2].0), hash_of(&answers[3].0)];
    assert_eq!(shown["roots"][1]["hashes"], hashes(&below));
    for other in [vec![below[0]], vec![below[0], hash_of(&backdated)], vec![below[0], below[1], hash_of(&backdated)], vec![below[1], below[0]]] {
        assert_eq!(with(&|shown| shown["roots"][1]["hashes"] = hashes(&other).into()), ProofFault::Logged(LoggedFault::Hashes(first)));
    }
    for member in ["salt", "data", "leaf"] {
        let damaged = with(&|shown| {
            let text = shown["roots"][1][member].as_str().expect("hex").to_owned();
            shown["roots"][1][member] = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' }).into();
        });
        assert_eq!(damaged, ProofFault::Logged(LoggedFault::Root(first)), "{member}");
    }
    let mut borrowed = forged_file.clone();
    borrowed["logged"] = with_log(&engine, honest)["logged"].clone();
    assert_eq!(verified(&borrowed, &early), Err(ProofFault::Logged(LoggedFault::Place(first))));
    let mut other_time = with_log(&engine, honest);
    other_time["logged"] = with_log(&engine, &answers[0].0)["logged"].clone();
    assert!(matches!(verified(&other_time, &early), Err(ProofFault::Logged(LoggedFault::Place(_)))));

    // Of a time that no root goes beyond nothing can be said yet; in a gap between roots it can.
    let fresh = forged(&site, honest, site.now());
    assert_eq!(verified_by(&file(&engine, &fresh), &early, &roots(&engine, site.now())), Err(ProofFault::NotLoggedYet));
    let between = UnixMillis(then.0 + HOUR / 2 + 120_000);
    let idle = forged(&site, honest, between);
    assert!(matches!(verified_by(&file(&engine, &idle), &early, &roots(&engine, between)), Err(ProofFault::NotLogged(_))));
    let before_all = forged(&site, honest, UnixMillis(answers[0].1.0 - HOUR));
    let Err(ProofFault::NotLogged(listed)) = verified_by(&file(&engine, &before_all), &early, &roots(&engine, UnixMillis(answers[0].1.0 - HOUR)))
    else {
        panic!("before the first answer")
    };
    assert_eq!(listed.len(), 1);

    // The theft is noticed within the hour: what was signed up to now is told before it, and counts; nothing else does.
    let last = ask(&engine, 3);
    let before = size(&engine);
    let rotated = engine.rotate(Role::Answering, None, KEY_OVERLAP_MS, Some(Withdrawal::Compromised), &Caller::CONSOLE).expect("rotated");
    assert_eq!((rotated.replaced, rotated.index), (backdated.key_id, Some(before + 1)), "the root is before it");
    let now = list(&engine);
    for (answer, _) in answers.iter().map(|(answer, time)| (answer, Some(time))).chain([(&last, None)]) {
        assert_eq!(verified(&file(&engine, answer), &now), Err(ProofFault::AskOnline), "by itself nobody can tell it from a thief's");
        assert!(verified(&with_log(&engine, answer), &now).is_ok());
        assert!(verified(&with_log(&engine, answer), &early).is_ok());
    }
    assert_eq!(verified(&forged_file, &now), Err(ProofFault::AskOnline));
    assert!(matches!(verified_by(&forged_file, &now, &shown), Err(ProofFault::NotLogged(_))));
    assert_eq!(verified(&borrowed, &now), Err(ProofFault::Logged(LoggedFault::Place(first))));
    // Even one that came below a root after all did so too late.
    engine.ledger().answers().keep(hash_of(&fresh), site.now(), &|| site.now()).expect("kept");
    engine.log_answers().expect("logged");
    let late = size(&engine) - 1;
    assert_eq!(verified(&with_log(&engine, &fresh), &now), Err(ProofFault::LoggedLate { logged: late, told: before + 2 }));
    let again = ask(&engine, 1);
    assert_eq!(again.key_id, rotated.key_id);
    assert!(verified(&file(&engine, &again), &now).is_ok());
    is_sound(&engine);
}

/// What a rotation does while the commit that has it takes longer than the replaced key counts: a test holds it there.
#[test]
fn an_answer_given_while_the_keys_change_counts_for_ever_and_a_late_one_is_not_kept() {
    let (mut site, engine) = ready();
    drop(engine);
    let (hold, held) = crossbeam_channel::bounded(0);
    let (begun, going) = crossbeam_channel::bounded(0);
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    site.observer = Some(Arc::new(move |stage, _, _| {
        if stage == Stage::Closed && is_armed.swap(false, Ordering::SeqCst) {
            begun.send(()).expect("a test");
            held.recv().expect("a test");
        }
    }));
    let engine = site.open().expect("opened");
    let question = crate::support::typed(&crate::support::face(&engine, id(Kind::Electronic, 1))).question();
    let early = engine.verify(&question).expect("an answer");
    let (rotated, during, late) = thread::scope(|scope| {
        armed.store(true, Ordering::SeqCst);
        let rotating = scope.spawn(|| engine.rotate(Role::Answering, None, KEY_OVERLAP_MIN_MS, None, &Caller::CONSOLE).expect("rotated"));
        going.recv().expect("it is being committed");
        let late = scope.spawn(|| engine.sign_answer(&question, &early));
        // Long enough for one that does not wait to be kept.
        thread::sleep(Duration::from_millis(100));
        pass(&site, KEY_OVERLAP_MIN_MS + 1);
        let during = scope.spawn(|| ask(&engine, 2));
        thread::sleep(Duration::from_millis(100));
        hold.send(()).expect("it goes on");
        (rotating.join().expect("no panic"), during.join().expect("no panic"), late.join().expect("no panic"))
    });
    assert_eq!(during.key_id, rotated.key_id);
    assert!(verified(&file(&engine, &during), &list(&engine)).is_ok());
    assert!(matches!(late, Err(EngineError::AnswerTooOld)), "{late:?}");
    assert_eq!(engine.log_answers().expect("logged"), 1);
    is_sound(&engine);
}

#[test]
fn an_answer_whose_turn_comes_too_late_gets_no_number() {
    let (site, engine) = ready();
    let keep = |time| engine.ledger().answers().keep([time as u8; 32], UnixMillis(time), &|| site.now()).expect("the disk takes it");
    let now = site.now().0;
    assert_eq!(keep(now - ANSWER_DELAY_MAX_MS - 1), Keeping::TooOld);
    assert_eq!(engine.answers_due_in().expect("readable"), None);
    assert_eq!(keep(now - ANSWER_DELAY_MAX_MS), Keeping::Kept);
}

/// Among the numbers of later ones it would look backdated.
#[test]
fn a_clock_that_was_put_back_signs_nothing_among_later_answers() {
    let (site, engine) = ready();
    pass(&site, HOUR);
    let ahead = ask(&engine, 1);
    assert_eq!(engine.log_answers().expect("logged"), 1);
    let right = UnixMillis(site.now().0 - HOUR + 30_000);
    site.set_now(right);
    let question = crate::support::typed(&crate::support::face(&engine, id(Kind::Electronic, 2))).question();
    let answer = engine.verify(&question).expect("an answer");
    let refused = |engine: &Engine| match engine.sign_answer(&question, &answer) {
        Err(EngineError::Submit(SubmitError::ClockBehind { head, .. })) => head,
        other => panic!("{other:?}"),
    };
    let time = Answer::decode(&ahead.bytes).expect("ours").time;
    assert_eq!(refused(&engine), time);
    // A restart does not forget it.
    drop(engine);
    let engine = site.open().expect("opened");
    assert_eq!(refused(&engine), time);
    site.set_now(UnixMillis(time.0 - ANSWER_DELAY_MAX_MS));
    ask(&engine, 2);
}

/// A root for each of those that come while roots are logged would be as many leaves.
#[test]
fn what_comes_while_a_root_is_logged_waits_for_the_next_time() {
    let (mut site, engine) = ready();
    drop(engine);
    let answering: Arc<OnceLock<Weak<Engine>>> = Arc::default();
    let (given, now) = (Arc::clone(&answering), site.now());
    let count = AtomicUsize::new(0);
    site.observer = Some(Arc::new(move |stage, _, _| {
        if let (Stage::Durable, Some(engine)) = (stage, given.get().and_then(Weak::upgrade)) {
            let hash = [count.fetch_add(1, Ordering::SeqCst) as u8; 32];
            engine.ledger().answers().keep(hash, now, &|| now).expect("kept");
        }
    }));
    let engine = Arc::new(site.open().expect("opened"));
    ask(&engine, 1);
    answering.set(Arc::downgrade(&engine)).expect("once");
    assert_eq!(engine.log_answers().expect("logged"), 1);
    assert_eq!(engine.log_answers().expect("logged"), 1, "the one that came meanwhile");
}

/// Whoever damages an answer does not keep a stolen key in force.
#[test]
fn answers_that_cannot_be_read_do_not_keep_a_stolen_key_from_being_revoked() {
    let (site, engine) = ready();
    let answer = ask(&engine, 1);
    drop(engine);
    let db = database(&site.directory());
    db.put_cf(db.cf_handle("answer").expect("a family"), 0u64.to_be_bytes(), b"short").expect("written");
    drop(db);
    let engine = site.open().expect("opened");
    let held = site.keyring().keys().len();
    let rotated = engine.rotate(Role::Answering, None, KEY_OVERLAP_MS, Some(Withdrawal::Compromised), &Caller::CONSOLE).expect("rotated");
    assert!(matches!(rotated.untold, Some(EngineError::Ledger(_))), "{rotated:?}");
    assert_eq!((rotated.replaced, site.keyring().keys().len()), (answer.key_id, held + 1));
    assert_eq!(verified(&file(&engine, &answer), &list(&engine)), Err(ProofFault::AskOnline));

    // One that was replaced long ago, too.
    let replaced = engine.rotate(Role::Answering, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).expect("rotated");
    assert!(replaced.untold.is_none(), "nothing was to be told: {replaced:?}");
    assert!(engine.revoke_key(replaced.replaced, Withdrawal::Compromised, &Caller::CONSOLE).expect("revoked").untold.is_some());
}

/// What cannot be told now can be another time: then there is no new key in the file either.
#[test]
fn a_revocation_that_comes_to_nothing_leaves_no_key_in_the_file() {
    let (site, engine) = ready();
    ask(&engine, 1);
    let held = site.keyring().keys().len();
    // The clock is behind the log, which takes nothing then.
    site.set_now(UnixMillis(site.now().0 - 60_000));
    for _ in 0..2 {
        assert!(engine.rotate(Role::Answering, None, KEY_OVERLAP_MS, Some(Withdrawal::Compromised), &Caller::CONSOLE).is_err());
    }
    assert_eq!(site.keyring().keys().len(), held);
}

/// The program, its exit status and what it says.
#[track_caller]
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = program(arguments).output().expect("run");
    (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).expect("UTF-8"))
}

#[test]
fn the_program_exposes_it_too_and_adds_what_the_log_has() {
    let (site, engine) = ready();
    let answers = hours(&site, &engine);
    let (honest, then) = &answers[2];
    let backdated = forged(&site, honest, UnixMillis(then.0 + 60_000));
    let written = |name: &str, value: &Value| {
        let path = site.file(name);
        std::fs::write(&path, value.to_string()).expect("written");
        path.into_os_string().into_string().expect("UTF-8")
    };
    let path = |name: &str| site.file(name).into_os_string().into_string().expect("UTF-8");
    let keys = written("keys.json", &keys::to_json(&engine.ledger().keys()));
    let (honest, backdated) = (written("honest.json", &file(&engine, honest)), written("backdated.json", &file(&engine, &backdated)));
    drop(engine);
    let data = site.directory().into_os_string().into_string().expect("UTF-8");

    let (status, said) = run(&["proof", "verify", &honest, "--keys", &keys]);
    assert!(status == Some(0) && said.contains("fapiao proof log"), "{said}");
    let logged = path("logged.json");
    let (status, said) = run(&["proof", "log", &honest, "--data", &data, "--out", &logged]);
    assert!(status == Some(0) && said.contains("已入账"), "{said}");
    let (status, said) = run(&["proof", "verify", &logged, "--keys", &keys]);
    assert!(status == Some(0) && said.contains("已入账 the answer itself is in the log"), "{said}");

    let (status, said) = run(&["proof", "log", &backdated, "--data", &data, "--out", &path("none.json")]);
    assert!(status == Some(1) && said.contains("未入账 the log never had it") && !site.file("none.json").exists(), "{said}");
    let shown = path("roots.json");
    assert_eq!(run(&["proof", "roots", &backdated, "--data", &data, "--out", &shown]).0, Some(0));
    assert_eq!(run(&["proof", "verify", &honest, "--keys", &keys, "--roots", &shown]).0, Some(0));
    let (status, said) = run(&["proof", "verify", &backdated, "--keys", &keys, "--roots", &shown]);
    assert!(status == Some(1) && said.starts_with("未入账，倒签 not in the log of its time, so backdated: "), "{said}");
    let (status, said) = run(&["proof", "verify", &backdated, "--keys", &keys, "--roots", &shown, "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((status, &said["outcome"], &said["holds"]), (Some(1), &json!("not_logged"), &json!(false)));
    assert_eq!(said["roots"].as_array().map(Vec::len), Some(3));
    for (name, contents, expected) in [("other.json", "{}", Some(1)), ("noise.json", "noise", Some(2))] {
        std::fs::write(site.file(name), contents).expect("written");
        assert_eq!(run(&["proof", "verify", &backdated, "--keys", &keys, "--roots", &path(name)]).0, expected, "{name}");
    }
    for (arguments, status) in [(&[&shown[..], "--keys", &keys][..], 2), (&[&keys, "--keys", &keys, "--roots", &shown], 2)] {
        assert_eq!(run(&[&["proof", "verify"], arguments].concat()).0, Some(status), "{arguments:?}");
    }
}

#[test]
fn over_http_it_is_not_yet_there_then_there_and_the_head_continues_it() {
    let mut code = String::new();
    let server = Server::with(SILENT, |engine| {
        logged(submit(engine, &plain(Kind::Electronic, 1, Fen(100_000))));
        code = signed_qr(engine, id(Kind::Electronic, 1));
    });
    let reply = server.ask_as("", "POST", "/v1/verify", json!({ "qr": code, "proof": true }).to_string().as_bytes()).json();
    let kept = &reply["proof"];
    let stated = proof::stated(kept).expect("an answer");
    let place = format!("/v1/proofs/answer/{}", HEXLOWER.encode(&stated.hash));
    let not_yet = server.ask_as("", "GET", &place, b"").json();
    assert_eq!(not_yet["status"], "not_yet");
    let due = fapiao::domain::time::UnixMillis(stated.said.time().0 + HOUR).to_string();
    assert_eq!(not_yet["due"], due.as_str());
    let never = server.ask_as("", "GET", &place.replace(&place[place.len() - 4..], "0000"), b"").json();
    assert_eq!((&never["status"], never["origin"].as_str().is_some()), (&json!("never"), true));
    for bad in ["/v1/proofs/answer/00", "/v1/proofs/answers", "/v1/proofs/answers?time=x"] {
        assert_eq!(server.ask_as("", "GET", bad, b"").status, 400, "{bad}");
    }
    let around = format!("/v1/proofs/answers?time={}", stated.said.time().0);
    assert_eq!(server.ask_as("", "GET", &around, b"").json()["roots"], json!([]));

    let path = |name: &str| server.site.file(name).into_os_string().into_string().expect("UTF-8");
    let (keys, file, out) = (path("keys.json"), path("kept.json"), path("logged.json"));
    std::fs::write(&file, kept.to_string()).expect("written");
    std::fs::write(&keys, server.ask_as("", "GET", "/v1/keys", b"").text()).expect("written");
    let url = |server: &Server| format!("http://{}", server.running.address);
    let (status, said) = run(&["proof", "log", &file, "--server", &url(&server), "--out", &out]);
    assert!(status == Some(3) && said.contains(&due) && said.contains("尚未入账"), "{said}");

    server.running.signal(Signal::TERM);
    // Its end is waited for by the next start, which cannot have the ledger before.
    let Server { running, site, tokens: _, .. } = server;
    assert_eq!(running.wait(), Some(0));
    let running = crate::support::server::serve(&site, SILENT);
    let url = format!("http://{}", running.address);
    assert_eq!(running.ask("GET", &place, &[], b"").json()["status"], "logged");
    assert_eq!(run(&["proof", "log", &file, "--server", &url, "--out", &out]).0, Some(0));
    for subject in [&file, &out] {
        let (status, said) = run(&["proof", "verify", subject, "--keys", &keys, "--head", &url]);
        assert!(status == Some(0) && said.contains("the log of then is a prefix of the log of now"), "{said}");
    }
    let Ok(Search::Found(root)) =
        logged::search(&running.ask("GET", &around, &[], b"").json(), &stated.hash, stated.said.time(), stated.said.origin(), &parsed(&keys))
    else {
        panic!("found")
    };
    assert_eq!((root.notice.first, root.notice.count), (0, 1));
}

fn parsed(path: &str) -> PublicKeys {
    let value: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
    keys::parse(&value["keys"]).expect("keys")
}

/// Years later: every key was replaced twice, and the checkpoint key of then turns out to have been stolen.
#[test]
fn what_was_kept_before_two_rotations_of_every_key_holds_with_the_keys_of_now() {
    let (site, engine) = ready();
    let old_size = size(&engine);
    let answer = ask(&engine, 1);
    engine.log_answers().expect("logged");
    let kept = with_log(&engine, &answer);
    let old_receipt = engine.receipt(old_size - 1).expect("readable").expect("published").receipt;
    let note = engine.ledger().checkpoint_at(old_size).expect("readable").expect("published");
    let leaf = engine.ledger().leaf(2).expect("readable").expect("published").encode();
    let hashes = engine.ledger().inclusion(2, old_size).expect("a path");
    let inclusion = LogProof { extra: Some(leaf.to_vec()), index: 2, hashes, checkpoint: note.clone() }.encode();
    let old_checkpoint_key = site.keyring().checkpoint().key_id;
    for _ in 0..2 {
        for role in [Role::Authority, Role::Answering, Role::Checkpoint] {
            pass(&site, 400 * 24 * HOUR);
            engine.rotate(role, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).expect("rotated");
            ask(&engine, 2);
            engine.log_answers().expect("logged");
        }
    }
    pass(&site, 400 * 24 * HOUR);
    logged(engine.allot(allotment(Kind::Electronic, seller(), 200_000, 200_001)));
    let head_of = |engine: &Engine, from: u64| {
        let (to, newer) = (size(engine), engine.ledger().published().note.clone());
        let older = engine.ledger().checkpoint_at(from).expect("readable").expect("published");
        ConsistencyProof { from, to, hashes: engine.ledger().consistency(from, to).expect("hashes"), older, newer }.encode()
    };
    let now = list(&engine);
    let head = log_proof::verify_head(&head_of(&engine, old_size), &now).expect("continued");
    let with_head = |keys: &PublicKeys, kept: &Value| {
        proof::verify_with(kept.to_string().as_bytes(), Some(keys), Evidence { roots: None, head: Some(&head) }).map(|proven| proven.verdict)
    };
    for head in [None, Some(&head)] {
        assert!(log_proof::verify_inclusion_before(&inclusion, None, &now, head).is_ok());
        assert!(receipt::verify(&old_receipt, &now, head).is_ok());
    }
    assert_eq!(verified(&kept, &now).map(|proven| proven.verdict), Ok(Verdict::Genuine));
    assert_eq!(with_head(&now, &kept), Ok(Verdict::Genuine));
    let elsewhere = log_proof::verify_head(&head_of(&engine, old_size + 1), &now).expect("continued");
    let other = proof::verify_with(kept.to_string().as_bytes(), Some(&now), Evidence { roots: None, head: Some(&elsewhere) });
    assert_eq!(other.err(), Some(ProofFault::Head(LogProofFault::OtherHead { from: old_size + 1, size: old_size })));

    engine.revoke_key(old_checkpoint_key, Withdrawal::Compromised, &Caller::CONSOLE).expect("revoked");
    let now = list(&engine);
    assert!(matches!(log_proof::verify_inclusion(&inclusion, None, &now), Err(LogProofFault::AskOnline { .. })));
    let head = log_proof::verify_head(&head_of(&engine, old_size), &now).expect("vouched for by the keys of now");
    assert!(log_proof::verify_inclusion_before(&inclusion, None, &now, Some(&head)).is_ok());
    let fresh = with_log(&engine, &answer);
    let proven = proof::verify_with(fresh.to_string().as_bytes(), Some(&now), Evidence { roots: None, head: Some(&head) });
    assert_eq!(proven.map(|proven| proven.verdict), Ok(Verdict::Genuine), "what the log has of it was asked for again");
    let forked = head_of(&engine, old_size).replace(&format!("to {}", size(&engine)), &format!("to {}", size(&engine) - 1));
    assert!(log_proof::verify_head(&forked, &now).is_err());
}

/// Leaves that were lost with their answers are no proof against whoever holds one.
#[test]
fn of_a_reopened_log_it_is_not_said_that_an_answer_is_false() {
    let (site, engine) = ready();
    let answers = hours(&site, &engine);
    let (honest, then) = &answers[2];
    // Not in this copy, as if it had been signed after the copy was made.
    let (time, keys) = (UnixMillis(then.0 + 60_000), list(&engine));
    let lost = forged(&site, honest, time);
    let (lost, honest) = (file(&engine, &lost), file(&engine, honest));
    assert!(matches!(verified_by(&lost, &keys, &roots(&engine, time)), Err(ProofFault::NotLogged(_))));
    drop(engine);
    std::fs::remove_file(site.lock_path()).expect("removed");
    Engine::reopen(&site.config(), "a test").expect("reopened");
    let engine = site.open().expect("opened");
    assert_eq!(verified_by(&lost, &keys, &roots(&engine, time)), Err(ProofFault::Reopened));
    assert!(verified_by(&honest, &keys, &roots(&engine, *then)).is_ok(), "what it has it shows");
    let next = ask(&engine, 1);
    engine.log_answers().expect("logged");
    assert!(in_log(&engine, &next).is_some());
    is_sound(&engine);
    drop(engine);
    let path = site.file("lost.json");
    std::fs::write(&path, lost.to_string()).expect("written");
    let out = site.file("logged.json");
    let [path, out, data] = [&path, &out, &site.directory()].map(|path| path.to_str().expect("UTF-8").to_owned());
    let (exit, text) = run(&["proof", "log", &path, "--data", &data, "--out", &out]);
    assert!(exit == Some(1) && text.contains("reopened") && !text.contains("stolen"), "{text}");
}

#[test]
fn a_receipt_is_checked_by_itself() {
    let (site, engine) = ready();
    let index = size(&engine) - 1;
    let full = engine.receipt(index).expect("readable").expect("published");
    let keys = list(&engine);
    let received = receipt::verify(&full.receipt, &keys, None).expect("ours");
    assert_eq!(received.id, Some(id(Kind::Electronic, 3)));
    let of_event = engine.receipt(0).expect("readable").expect("published");
    assert_eq!(receipt::verify(&of_event.receipt, &keys, None).expect("ours").id, None);
    let line = json!({ "status": "logged", "receipt": receipt::to_json(&full) });
    let written = |name: &str, value: &Value| {
        std::fs::write(site.file(name), value.to_string()).expect("written");
        site.file(name).into_os_string().into_string().expect("UTF-8")
    };
    let list = written("keys.json", &keys::to_json(&engine.ledger().keys()));
    let (status, said) = run(&["proof", "verify", &written("line.json", &line), "--keys", &list]);
    assert!(status == Some(0) && said.starts_with("回执有效 the receipt holds: "), "{said}");
    let (status, said) = run(&["proof", "verify", &written("line.json", &line)]);
    assert!(status == Some(2) && said.contains("--keys FILE"), "{said}");
    let flipped = |text: &str| format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    for member in ["face", "rest_digest", "signature"] {
        let mut damaged = receipt::to_json(&full);
        damaged[member] = flipped(damaged[member].as_str().expect("hex")).into();
        let (status, said) = run(&["proof", "verify", &written("damaged.json", &damaged), "--keys", &list]);
        assert_eq!(status, Some(1), "{member}: {said}");
    }
    let mut elsewhere = receipt::to_json(&full);
    elsewhere["index"] = json!(index - 1);
    assert_eq!(run(&["proof", "verify", &written("elsewhere.json", &elsewhere), "--keys", &list]).0, Some(1));
    // What a server gives as JSON is recognised as well.
    let published = engine.ledger().published();
    let leaf = engine.ledger().leaf(1).expect("readable").expect("published").encode();
    let path = engine.ledger().inclusion(1, published.size).expect("a path");
    let inclusion = log_proof::inclusion_json(1, published.size, &leaf, &path, &published.note);
    let (status, said) = run(&["proof", "verify", &written("inclusion.json", &inclusion), "--keys", &list]);
    assert!(status == Some(0) && said.contains("leaf 1 of the log is this one"), "{said}");
    let older = engine.ledger().checkpoint_at(index).expect("readable").expect("published");
    let hashes = engine.ledger().consistency(index, published.size).expect("hashes");
    let consistency = log_proof::consistency_json(index, published.size, &hashes, &older, &published.note);
    let (status, said) = run(&["proof", "verify", &written("consistency.json", &consistency), "--keys", &list]);
    assert!(status == Some(0) && said.contains("the log only grew"), "{said}");
    let (status, said) =
        run(&["proof", "verify", &written("line.json", &line), "--keys", &list, "--head", &written("consistency.json", &consistency)]);
    assert!(status == Some(1) && said.contains("continue size"), "another checkpoint than the receipt's: {said}");
}

#[test]
fn the_page_about_proofs_runs_as_it_stands() {
    let page = include_str!("../../src/manual/proofs.md");
    let blocks: String = page.split("```sh\n").skip(1).map(|block| block.split_once("```").expect("an end").0).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let ran = shell(directory.path(), &format!("trap 'kill $! 2> /dev/null || true' EXIT\n{blocks}"), &[]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "said: {said}\n{}", String::from_utf8_lossy(&ran.stderr));
    for (text, times) in [
        ("凭证有效 the proof holds: 1", 4),
        ("已入账 the log has it", 2),
        ("已入账 what was signed over the rows is in the log", 1),
        ("已入账 the answer itself is in the log", 2),
        ("当时的日志是现在日志的前缀", 2),
        ("回执有效", 1),
    ] {
        assert_eq!(said.matches(text).count(), times, "{text}: {said}");
    }
}
