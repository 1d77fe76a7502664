//! The ledger through the engine: what is said twice, what is refused, what is decided on state that is not yet published, what survives a restart,
//! and what a receipt proves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use fapiao::channel::json::parse_draft;
use fapiao::codec::event::Event;
use fapiao::crypto::keyfile::KeyFileError;
use fapiao::crypto::keyring::Role;
use fapiao::crypto::merkle;
use fapiao::crypto::note::Checkpoint;
use fapiao::crypto::sign::SigningKey;
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::draft::fields::Field;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::InvoiceId;
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Config, Engine, EngineError, Submitted};
use fapiao::issue;
use fapiao::ledger::{Ledger, LedgerError, Obstacle, Outcome, Refusal, Remark, Stage, StoreError, Submission, SubmitError};
use fapiao::verify::query::Typed;
use fapiao::verify::verdict::Verdict;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::{
    PASSPHRASE, Site, allot_all, allotment, copy_tree, day, face, fixture, generated, holder_is_told, id, import, issuer, logged, other_seller,
    plain, range, receipt, receipt_is_sound, red, refused, scan, seller, signed, signed_qr, submit, submit_as, today, typed, verdict,
};

const YUAN: i64 = 100;

fn yuan(amount: i64) -> Fen {
    Fen(amount * YUAN)
}

fn with(draft: &Value, member: &str, value: &str) -> Value {
    let mut draft = draft.clone();
    draft[member] = json!(value);
    draft
}

// ---- The same again

#[test]
fn the_same_again_is_the_first_receipt_and_other_content_is_a_conflict() {
    let site = Site::new();
    let mut engine = site.create();
    allot_all(&engine);
    let drafts: Vec<Value> = Kind::ALL.into_iter().map(|kind| plain(kind, 1, yuan(1000))).collect();
    let first: Vec<(u64, String)> = drafts
        .iter()
        .map(|draft| {
            let logged = logged(submit(&engine, draft));
            assert!(!logged.repeated);
            (logged.index, receipt(&engine, logged.index))
        })
        .collect();
    let size = engine.ledger().published().size;
    for reopened in [false, true] {
        if reopened {
            drop(engine);
            engine = site.open().expect("reopened");
        }
        for (draft, (index, before)) in drafts.iter().zip(&first) {
            let again = logged(submit(&engine, draft));
            assert_eq!((again.index, again.repeated), (*index, true));
            assert_eq!(receipt(&engine, again.index), *before);
            let other = with(draft, "drawer", "另一人");
            assert_eq!(refused(submit(&engine, &other)), Refusal::Conflict(*index));
        }
        assert_eq!(engine.ledger().published().size, size);
    }
}

#[test]
fn a_repeat_may_leave_a_generated_check_code_out_or_state_it() {
    let site = Site::new();
    let mut engine = site.create();
    allot_all(&engine);
    for kind in [Kind::Ordinary, Kind::Electronic, Kind::Roll] {
        let (without, stated) = (plain(kind, 1, yuan(10)), with(&plain(kind, 2, yuan(10)), "check_code", "20930011785541236098"));
        let first = logged(submit(&engine, &without));
        let code = face(&engine, id(kind, 1)).check_code.expect("generated").to_string();
        let second = logged(submit(&engine, &stated));
        drop(engine);
        engine = site.open().expect("reopened");
        for repeat in [&without, &with(&without, "check_code", &code)] {
            let again = logged(submit(&engine, repeat));
            assert_eq!((again.index, again.repeated), (first.index, true));
        }
        assert_eq!(refused(submit(&engine, &with(&without, "check_code", "20930011785541236098"))), Refusal::Conflict(first.index));

        assert_eq!(logged(submit(&engine, &stated)).index, second.index);
        // Whoever stated a check code and now states none would be given another one: not the same again.
        assert_eq!(refused(submit(&engine, &plain(kind, 2, yuan(10)))), Refusal::Conflict(second.index));
    }
}

/// Sizes of the frames that were published.
fn frames(site: &mut Site) -> Arc<Mutex<Vec<u64>>> {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&frames);
    site.observer = Some(Arc::new(move |stage, first, size| {
        if stage == Stage::Published {
            seen.lock().expect("frames").push(size - first);
        }
    }));
    frames
}

/// Hands in drafts from several threads, all under way at once.
fn submit_from_threads(engine: &Engine, threads: usize, drafts: &[Value]) -> Vec<Submitted> {
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for share in drafts.chunks(drafts.len().div_ceil(threads)) {
            scope.spawn(|| {
                let begin = |draft: &Value| engine.begin(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false);
                let pending: Vec<_> = share.iter().map(|draft| begin(draft).expect("handed in").expect("without a fault")).collect();
                let answers = pending.into_iter().map(|pending| pending.wait().expect("decided"));
                outcomes.lock().expect("outcomes").extend(answers);
            });
        }
    });
    outcomes.into_inner().expect("outcomes")
}

#[test]
fn ten_thousand_concurrent_duplicates_leave_one_invoice() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let size = engine.ledger().published().size;
    // Without a check code each submission draws one of its own, so that no two are alike in their bytes.
    let draft = generated(Kind::Ordinary, 7, 1);
    let outcomes = submit_from_threads(&engine, 8, &vec![draft; 10_000]);
    assert_eq!(outcomes.len(), 10_000);
    let logged: Vec<_> = outcomes.into_iter().map(|outcome| logged(Ok(outcome))).collect();
    assert!(logged.iter().all(|logged| logged.index == size));
    assert_eq!(logged.iter().filter(|logged| !logged.repeated).count(), 1);
    assert_eq!(engine.ledger().published().size, size + 1);
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 1)), Verdict::Genuine);
}

#[test]
fn concurrent_issues_share_commits() {
    let mut site = Site::new();
    let frames = frames(&mut site);
    let engine = site.create();
    allot_all(&engine);
    frames.lock().expect("frames").clear();
    let drafts: Vec<Value> = (1..=8_000).map(|number| generated(Kind::Special, u64::from(number), number)).collect();
    let indices: BTreeSet<u64> = submit_from_threads(&engine, 4, &drafts).into_iter().map(|outcome| logged(Ok(outcome)).index).collect();
    assert_eq!(indices.len(), drafts.len());
    let mut frames = frames.lock().expect("frames").clone();
    frames.sort_unstable();
    assert_eq!(frames.iter().sum::<u64>(), 8_000);
    let (largest, median) = (frames[frames.len() - 1], frames[frames.len() / 2]);
    println!("records per commit: {} commits, median {median}, mean {}, largest {largest}", frames.len(), 8_000 / frames.len());
    assert!(largest > 1, "no two submissions ever shared a commit");
}

// ---- Deciding on what is not yet published

/// Holds the next commit at one stage.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    hold_at: Option<Stage>,
    held: bool,
    published: Vec<(u64, u64)>,
}

impl Gate {
    fn at(site: &mut Site) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        let observer = Arc::clone(&gate);
        site.observer = Some(Arc::new(move |stage, first, size| observer.observe(stage, first, size)));
        gate
    }

    fn observe(&self, stage: Stage, first: u64, size: u64) {
        let mut state = self.state.lock().expect("gate");
        if stage == Stage::Published {
            state.published.push((first, size));
        }
        if state.hold_at == Some(stage) {
            state.held = true;
            self.changed.notify_all();
            while state.hold_at.is_some() {
                state = self.changed.wait(state).expect("gate");
            }
            state.held = false;
        }
    }

    fn hold(&self, stage: Stage) {
        let mut state = self.state.lock().expect("gate");
        state.hold_at = Some(stage);
        state.published.clear();
    }

    fn wait_until_held(&self) {
        let mut state = self.state.lock().expect("gate");
        while !state.held {
            state = self.changed.wait(state).expect("gate");
        }
    }

    fn release(&self) {
        self.state.lock().expect("gate").hold_at = None;
        self.changed.notify_all();
    }

    /// First index and size of each frame published since [`Gate::hold`].
    fn published(&self) -> Vec<(u64, u64)> {
        self.state.lock().expect("gate").published.clone()
    }
}

/// Whether the database itself has a row for this invoice, past every overlay: it is opened a second time, for reading.
fn is_in_database(site: &Site, id: InvoiceId) -> bool {
    let path = site.directory().join("db");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &path).expect("families");
    let db = rocksdb::DB::open_cf_for_read_only(&options, &path, families, false).expect("the database");
    db.get_cf(db.cf_handle("inv").expect("inv"), id.to_bytes()).expect("readable").is_some()
}

/// What would be answered if the database were all there is to decide on: to a repeat, to a red against it, to a void of it.
fn decided_on_database_alone(is_there: bool, index: u64, next: u64) -> [Outcome; 3] {
    if is_there {
        let logged = |index, repeated| Outcome::Logged { index, repeated, warning: None };
        [logged(index, true), logged(next, false), Outcome::Refused(Refusal::HasLiveReds)]
    } else {
        let logged = Outcome::Logged { index: next, repeated: false, warning: None };
        [logged, Outcome::Refused(Refusal::OriginalNotFound), Outcome::Refused(Refusal::NotFound)]
    }
}

/// Commit n is held at `stage`; what follows is decided on it all the same, goes into the one frame after it, and readers see none of it.
fn while_a_commit_is_held(stage: Stage) {
    let mut site = Site::new();
    let gate = Gate::at(&mut site);
    let engine = site.create();
    allot_all(&engine);
    let keys = site.keyring();
    let before = engine.ledger().published();
    let original = plain(Kind::Ordinary, 1, yuan(1000));
    let (a, r) = (id(Kind::Ordinary, 1), id(Kind::Ordinary, 2));
    let begin = |draft: &Value| engine.begin(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false).expect("begun").expect("no fault");
    let hand_in = |submission: Submission| engine.ledger().submit(submission);
    let void = |id| hand_in(issue::void(id, Some(vec![seller()]), today(), &keys, [1; 16]).expect("signed"));

    gate.hold(stage);
    let issued = begin(&original);
    gate.wait_until_held();

    // All of these are queued before the frame after commit n can be closed.
    let repeat = begin(&original);
    let conflict = begin(&with(&original, "drawer", "另一人"));
    let partial = begin(&red(&original, 2, yuan(400), yuan(52)));
    let void_with_red = void(a);
    let too_much = begin(&red(&original, 3, yuan(700), yuan(91)));
    let void_red = void(r);
    let void_after = void(a);
    let red_after = begin(&red(&original, 4, yuan(100), yuan(13)));
    let blank_void = hand_in(issue::allotment_status(range(Kind::Ordinary, 1, 9), Mark::BlankVoid, &keys, [2; 16]).expect("signed"));
    let new_numbers = hand_in(issue::allot(allotment(Kind::Ordinary, seller(), 200_000, 200_009), &keys, [3; 16]).expect("signed"));
    let on_new_numbers = begin(&plain(Kind::Ordinary, 200_001, yuan(5)));

    // Readers see the size before commit n, and nothing of it.
    assert_eq!(engine.ledger().published(), before);
    let typed = Typed {
        code: a.code.to_string(),
        number: a.number.to_string(),
        date: Some(today().to_string()),
        check: Some("000000".into()),
        ..Typed::default()
    };
    let answer = engine.verify(&typed.question()).expect("an answer");
    assert_eq!((answer.verdict, answer.as_of.size), (Verdict::NotFound, before.size));
    assert_eq!(engine.ledger().look_up_many(&[a, r]).expect("readable").1, [None, None]);
    assert_eq!(engine.ledger().allotted(id(Kind::Ordinary, 200_001)), None);
    assert_eq!(engine.ledger().leaf(before.size).expect("readable"), None);

    let is_there = is_in_database(&site, a);
    assert_eq!(is_there, stage != Stage::Closed);
    assert!(!is_in_database(&site, r));

    gate.release();
    let first = before.size;
    assert_eq!(logged(issued.wait()).index, first);
    let repeat = logged(repeat.wait());
    assert_eq!((repeat.index, repeat.repeated), (first, true));
    assert_eq!(refused(conflict.wait()), Refusal::Conflict(first));
    assert_eq!(logged(partial.wait()).index, first + 1);
    let answered =
        |receiver: tokio::sync::oneshot::Receiver<Result<Outcome, SubmitError>>| receiver.blocking_recv().expect("answered").expect("decided");
    let voided_too_early = answered(void_with_red);
    assert_eq!(voided_too_early, Outcome::Refused(Refusal::HasLiveReds));
    assert_eq!(refused(too_much.wait()), Refusal::ExceedsRemaining { amount: yuan(600), tax: yuan(78) });
    let fresh = |index| Outcome::Logged { index, repeated: false, warning: None };
    assert_eq!(answered(void_red), fresh(first + 2));
    assert_eq!(answered(void_after), fresh(first + 3));
    assert_eq!(refused(red_after.wait()), Refusal::OriginalVoided);
    assert_eq!(answered(blank_void), Outcome::Refused(Refusal::RangeHasUsedNumber(a)));
    assert_eq!(answered(new_numbers), fresh(first + 4));
    assert_eq!(logged(on_new_numbers.wait()).index, first + 5);
    assert_eq!(gate.published(), [(first, first + 1), (first + 1, first + 6)], "one frame held, one with all that came meanwhile");

    // The canary: what the database said at that moment makes other decisions.
    let seen = [Outcome::Logged { index: repeat.index, repeated: repeat.repeated, warning: None }, fresh(first + 1), voided_too_early];
    assert_eq!(decided_on_database_alone(is_there, first, first + 1) == seen, is_there);

    assert_eq!(holder_is_told(&engine, a), Verdict::Voided);
    assert_eq!(holder_is_told(&engine, r), Verdict::Voided);
    assert!(engine.fsck(&|_, _| ()).expect("a report").findings.is_empty());
}

#[test]
fn a_commit_held_before_its_write_is_decided_on() {
    while_a_commit_is_held(Stage::Closed);
}

#[test]
fn a_commit_held_after_its_fsync_is_decided_on() {
    while_a_commit_is_held(Stage::Durable);
}

#[test]
fn a_commit_held_after_its_lock_is_decided_on() {
    while_a_commit_is_held(Stage::Locked);
}

#[test]
fn a_commit_that_fails_takes_with_it_what_was_decided_on_it_until_the_cause_is_gone() {
    let mut site = Site::new();
    let gate = Gate::at(&mut site);
    let engine = site.create();
    allot_all(&engine);
    let before = engine.ledger().published();
    let draft = parse_draft(plain(Kind::Special, 1, yuan(1000)).to_string().as_bytes()).expect("JSON");
    let begin = || engine.begin(&draft, false).expect("begun").expect("no fault");

    gate.hold(Stage::Durable);
    let issued = begin();
    gate.wait_until_held();
    let repeat = begin();
    // In the way of the lock's temporary file.
    let obstacle = site.lock_path().with_extension("lock.new");
    fs::create_dir(&obstacle).expect("a directory");
    gate.release();
    let stopped = |outcome: Result<Submitted, EngineError>| match outcome {
        Err(EngineError::Submit(error @ SubmitError::Unavailable(_))) => error,
        other => panic!("not stopped: {other:?}"),
    };
    let reason = stopped(issued.wait());
    assert_eq!(stopped(repeat.wait()), reason, "nobody is told of what was not locked");
    assert_eq!(stopped(engine.submit(&draft, false)), reason);
    assert_eq!(engine.ledger().published(), before);
    let code = Typed {
        code: "1100193130".into(),
        number: "00000001".into(),
        date: Some("2019-11-11".into()),
        amount: Some("1000".into()),
        ..Typed::default()
    };
    assert_eq!(verdict(&engine, &code.question()), Verdict::NotFound, "reads go on");

    fs::remove_dir(&obstacle).expect("removed");
    let repeat = loop {
        match engine.submit(&draft, false) {
            Err(EngineError::Submit(SubmitError::Unavailable(_))) => thread::sleep(std::time::Duration::from_millis(20)),
            outcome => break logged(outcome),
        }
    };
    assert_eq!((repeat.index, repeat.repeated), (before.size, true), "the batch was durable, and stands");
    assert_eq!(engine.ledger().published().size, before.size + 1);
}

// ---- What is refused

/// Every refusal has a place; a new one does not compile until it has one and then fails until it has a case.
fn place(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::NotAllotted => 0,
        Refusal::RangeMarked(_) => 1,
        Refusal::Conflict(_) => 2,
        Refusal::OriginalNotFound => 3,
        Refusal::OriginalKindDiffers => 4,
        Refusal::OriginalSellerDiffers => 5,
        Refusal::OriginalIsRed => 6,
        Refusal::OriginalVoided => 7,
        Refusal::ExceedsRemaining { .. } => 8,
        Refusal::NotFound => 9,
        Refusal::NotSeller => 10,
        Refusal::ElectronicNeverVoided => 11,
        Refusal::OtherMonth => 12,
        Refusal::HasLiveReds => 13,
        Refusal::NothingToLift => 14,
        Refusal::MarkNotApplicable(_) => 15,
        Refusal::AllotmentOverlaps(_) => 16,
        Refusal::RangeNotAllotted => 17,
        Refusal::RangeBlankVoid => 18,
        Refusal::RangeHasUsedNumber(_) => 19,
        Refusal::NotYourSeller => 20,
        Refusal::Unsigned => 21,
        Refusal::IssuerKeyUnknown => 22,
        Refusal::IssuerSignatureWrong => 23,
    }
}

const REFUSALS: usize = 24;

#[test]
fn every_refusal_has_a_case() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(engine.allot(allotment(Kind::Ordinary, other_seller(), 100_000, 100_009)));
    let ordinary = |number| id(Kind::Ordinary, number);
    let blue = |number| plain(Kind::Ordinary, number, yuan(100));
    let of_other = |number| {
        let mut draft = blue(number);
        draft["seller"]["tax_id"] = json!(other_seller().as_str());
        draft
    };
    let red_of = |of: u32, number| red(&blue(of), number, yuan(60), Fen(780));
    let (key, special) = (SigningKey::from_seed(&[1; 32]), plain(Kind::Special, 20, yuan(100)));

    // 1 red-flushed in part by 2; 3 void; 4 as it was issued; 100,000 of another seller; 7 marked lost; 8 and 9 blank void.
    let first = logged(submit(&engine, &blue(1)));
    logged(submit(&engine, &red_of(1, 2)));
    logged(submit(&engine, &blue(3)));
    logged(engine.void(ordinary(3), Some(seller())));
    logged(submit(&engine, &blue(4)));
    logged(submit(&engine, &of_other(100_000)));
    logged(submit(&engine, &plain(Kind::Electronic, 1, yuan(100))));
    logged(submit(&engine, &with(&plain(Kind::Special, 1, yuan(100)), "date", "2019-10-31")));
    logged(engine.allotment_status(range(Kind::Ordinary, 7, 7), Mark::Lost));
    logged(engine.allotment_status(range(Kind::Ordinary, 8, 9), Mark::BlankVoid));
    let size = engine.ledger().published().size;

    let red_of_other_kind = {
        let mut draft = red_of(1, 20);
        draft["red"]["original_code"] = json!(id(Kind::Electronic, 1).code.to_string());
        draft
    };
    let cases: Vec<(Result<Submitted, EngineError>, Refusal)> = vec![
        (submit(&engine, &of_other(5)), Refusal::NotAllotted),
        (submit(&engine, &blue(100_010)), Refusal::NotAllotted),
        // Before any look-up: whether the number was used, and with what content, makes no difference.
        (submit(&engine, &blue(100_000)), Refusal::NotAllotted),
        (submit(&engine, &of_other(1)), Refusal::NotAllotted),
        (submit(&engine, &with(&blue(5), "kind", "10")), Refusal::NotAllotted),
        (submit(&engine, &red_of(100_000, 100_001)), Refusal::NotAllotted),
        (submit(&engine, &blue(7)), Refusal::RangeMarked(Mark::Lost)),
        (submit(&engine, &blue(8)), Refusal::RangeMarked(Mark::BlankVoid)),
        (submit(&engine, &with(&blue(1), "payee", "另一人")), Refusal::Conflict(first.index)),
        (submit(&engine, &red_of(5, 20)), Refusal::OriginalNotFound),
        (submit(&engine, &red_of_other_kind), Refusal::OriginalKindDiffers),
        (submit(&engine, &red_of(100_000, 20)), Refusal::OriginalSellerDiffers),
        (submit(&engine, &red_of(2, 20)), Refusal::OriginalIsRed),
        (submit(&engine, &red_of(3, 20)), Refusal::OriginalVoided),
        (submit(&engine, &red_of(1, 20)), Refusal::ExceedsRemaining { amount: yuan(40), tax: Fen(520) }),
        (engine.void(ordinary(5), None), Refusal::NotFound),
        (engine.void(ordinary(5), Some(seller())), Refusal::NotFound),
        (engine.status(ordinary(5), Mark::Abnormal), Refusal::NotFound),
        (engine.void(ordinary(1), Some(other_seller())), Refusal::NotSeller),
        // Whoever is not the seller does not learn whether it exists.
        (engine.void(ordinary(5), Some(other_seller())), Refusal::NotSeller),
        (engine.void(ordinary(100_005), Some(seller())), Refusal::NotSeller),
        (engine.void(id(Kind::Electronic, 1), Some(seller())), Refusal::ElectronicNeverVoided),
        (engine.void(id(Kind::Electronic, 1), None), Refusal::ElectronicNeverVoided),
        (engine.void(id(Kind::Special, 1), Some(seller())), Refusal::OtherMonth),
        (engine.void(ordinary(1), Some(seller())), Refusal::HasLiveReds),
        (engine.status(ordinary(1), Mark::Lifted), Refusal::NothingToLift),
        (engine.allotment_status(range(Kind::Ordinary, 50, 60), Mark::Lifted), Refusal::NothingToLift),
        (engine.status(ordinary(1), Mark::BlankVoid), Refusal::MarkNotApplicable(Mark::BlankVoid)),
        (engine.status(ordinary(1), Mark::RedBeforeImport), Refusal::MarkNotApplicable(Mark::RedBeforeImport)),
        (engine.allotment_status(range(Kind::Ordinary, 50, 60), Mark::Abnormal), Refusal::MarkNotApplicable(Mark::Abnormal)),
        (engine.allot(allotment(Kind::Ordinary, other_seller(), 99_999, 99_999)), Refusal::AllotmentOverlaps(range(Kind::Ordinary, 1, 99_999))),
        (engine.allot(allotment(Kind::Ordinary, seller(), 1, 99_998)), Refusal::AllotmentOverlaps(range(Kind::Ordinary, 1, 99_999))),
        (engine.allotment_status(range(Kind::Ordinary, 99_999, 100_000), Mark::Lost), Refusal::RangeNotAllotted),
        (engine.allotment_status(range(Kind::Ordinary, 500_000, 500_000), Mark::Lost), Refusal::RangeNotAllotted),
        (engine.allotment_status(range(Kind::Ordinary, 9, 10), Mark::Lost), Refusal::RangeBlankVoid),
        (engine.allotment_status(range(Kind::Ordinary, 8, 8), Mark::Lifted), Refusal::RangeBlankVoid),
        (engine.allotment_status(range(Kind::Ordinary, 4, 6), Mark::BlankVoid), Refusal::RangeHasUsedNumber(ordinary(4))),
        (submit_as(&engine, &special, &issuer(&[other_seller()], None)), Refusal::NotYourSeller),
        (submit_as(&engine, &special, &issuer(&[seller()], Some(&key))), Refusal::Unsigned),
        (submit(&engine, &signed(&engine, &special, &key)), Refusal::IssuerKeyUnknown),
        (
            submit_as(&engine, &with(&signed(&engine, &special, &key), "payee", "另一人"), &issuer(&[seller()], Some(&key))),
            Refusal::IssuerSignatureWrong,
        ),
    ];
    let (mut places, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for (at, (outcome, expected)) in cases.into_iter().enumerate() {
        let refusal = refused(outcome);
        assert_eq!(refusal, expected, "case {at}");
        places.insert(place(&refusal));
        codes.insert(refusal.code());
        assert!(!refusal.chinese().is_empty() && refusal.english().is_ascii(), "case {at}");
    }
    assert_eq!(places, (0..REFUSALS).collect(), "a refusal without a case");
    assert_eq!(codes, Refusal::examples().iter().map(Refusal::code).collect(), "the catalogue names every refusal");
    assert_eq!(codes.len(), REFUSALS, "two refusals with one code");
    assert_eq!(engine.ledger().published().size, size, "a refusal leaves no trace");
}

/// What is left of an invoice, by an answer to its holder.
fn left(engine: &Engine, id: InvoiceId) -> Option<(Fen, Fen)> {
    let answer = engine.verify(&typed(&face(engine, id)).question()).expect("an answer");
    answer.registered.expect("a match").remaining
}

#[test]
fn reds_add_up_amount_and_tax_apart_and_a_voided_red_gives_back() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for kind in Kind::ALL {
        let original = plain(kind, 1, yuan(1000));
        let rate = if kind == Kind::Freight { 9 } else { 13 };
        let taxed = |amount: i64| (yuan(amount), Fen(amount * rate));
        let (blue, [one, two, three]) = (id(kind, 1), [2, 3, 4].map(|number| id(kind, number)));
        let take = |number, (amount, tax)| submit(&engine, &red(&original, number, amount, tax));
        logged(submit(&engine, &original));
        assert_eq!((holder_is_told(&engine, blue), left(&engine, blue)), (Verdict::Genuine, Some(taxed(1000))));

        let remark = logged(take(2, taxed(300))).remark;
        assert_eq!(remark, (kind == Kind::MotorVehicle).then_some(Remark::PartialMotorVehicleRed));
        assert_eq!((holder_is_told(&engine, blue), left(&engine, blue)), (Verdict::PartlyRedFlushed, Some(taxed(700))));
        assert_eq!((holder_is_told(&engine, one), left(&engine, one)), (Verdict::RedLetter, None));
        let (amount, tax) = taxed(700);
        assert_eq!(refused(take(3, taxed(701))), Refusal::ExceedsRemaining { amount, tax });
        // Within the tolerance of the rules, and yet one fen more tax than is left.
        assert_eq!(refused(take(3, (amount, tax + Fen(1)))), Refusal::ExceedsRemaining { amount, tax });
        assert_eq!(refused(take(3, (amount + Fen(1), tax))), Refusal::ExceedsRemaining { amount, tax });
        logged(take(3, (amount, tax - Fen(1))));
        // All of the amount is gone, and a fen of tax is left: not taken back in full.
        assert_eq!((holder_is_told(&engine, blue), left(&engine, blue)), (Verdict::PartlyRedFlushed, Some((Fen(0), Fen(1)))));

        if kind.profile().paper {
            logged(engine.void(two, Some(seller())));
            assert_eq!(left(&engine, blue), Some(taxed(700)));
            assert_eq!(holder_is_told(&engine, two), Verdict::Voided);
            let remark = logged(take(4, taxed(700))).remark;
            assert_eq!(remark, None, "nothing is left: not in part");
            assert_eq!((holder_is_told(&engine, blue), left(&engine, blue)), (Verdict::RedFlushed, Some((Fen(0), Fen(0)))));
            assert_eq!(refused(engine.void(blue, Some(seller()))), Refusal::HasLiveReds);
            for red in [one, three] {
                logged(engine.void(red, None));
            }
            assert_eq!((holder_is_told(&engine, blue), left(&engine, blue)), (Verdict::Genuine, Some(taxed(1000))));
            let index = logged(engine.void(blue, Some(seller()))).index;
            let again = logged(engine.void(blue, None));
            assert_eq!((again.index, again.repeated), (index, true));
            assert_eq!(holder_is_told(&engine, blue), Verdict::Voided);
        }
    }
    assert!(engine.fsck(&|_, _| ()).expect("a report").findings.is_empty());
}

#[test]
fn a_void_is_for_the_month_and_repeats_for_ever() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for number in [1, 2] {
        logged(submit(&engine, &with(&plain(Kind::Roll, number, yuan(100)), "date", "2019-11-01")));
    }
    site.set_now(UnixMillis(day("2019-12-01").start().0 - 1));
    let voided = logged(engine.void(id(Kind::Roll, 1), Some(seller())));
    site.set_now(day("2019-12-01").start());
    assert_eq!(refused(engine.void(id(Kind::Roll, 2), Some(seller()))), Refusal::OtherMonth);
    let again = logged(engine.void(id(Kind::Roll, 1), Some(seller())));
    assert_eq!((again.index, again.repeated), (voided.index, true));
}

/// A question about a number that was never issued.
fn blank(number: u32) -> Typed {
    let id = id(Kind::Ordinary, number);
    Typed {
        code: id.code.to_string(),
        number: id.number.to_string(),
        date: Some(today().to_string()),
        check: Some("123456".into()),
        ..Typed::default()
    }
}

#[test]
fn marks_suspend_what_was_used_and_close_what_was_not() {
    let site = Site::new();
    let mut engine = site.create();
    allot_all(&engine);
    let used = id(Kind::Ordinary, 15);
    logged(submit(&engine, &plain(Kind::Ordinary, 15, yuan(100))));
    let mark = |engine: &Engine, first, last, mark| logged(engine.allotment_status(range(Kind::Ordinary, first, last), mark));
    let told = |engine: &Engine, number| verdict(engine, &blank(number).question());

    let lost = mark(&engine, 10, 19, Mark::Lost);
    let again = mark(&engine, 12, 13, Mark::Lost);
    assert_eq!((again.index, again.repeated), (lost.index, true), "part of a marked range is marked");
    assert_eq!(
        [9, 10, 19, 20].map(|number| told(&engine, number)),
        [Verdict::NotFound, Verdict::BlankMarked, Verdict::BlankMarked, Verdict::NotFound]
    );
    assert_eq!(engine.verify(&blank(10).question()).expect("an answer").mark, Some(Mark::Lost));
    assert_eq!(holder_is_told(&engine, used), Verdict::Suspended);
    let wrong = Typed { check: Some("000000".into()), ..typed(&face(&engine, used)) };
    assert_eq!(verdict(&engine, &wrong.question()), Verdict::Mismatch, "the number exists: its factors are compared");
    // An invoice that was there before its range was marked can still be repeated.
    assert!(logged(submit(&engine, &plain(Kind::Ordinary, 15, yuan(100)))).repeated);

    mark(&engine, 14, 16, Mark::Lifted);
    mark(&engine, 18, 21, Mark::Stolen);
    mark(&engine, 30, 39, Mark::BlankVoid);
    for reopened in [false, true] {
        if reopened {
            drop(engine);
            engine = site.open().expect("reopened");
        }
        let marks: Vec<_> =
            engine.ledger().book().marks().map(|marked| (marked.range.first.ordinal(), marked.range.last.ordinal(), marked.mark)).collect();
        assert_eq!(marks, [(10, 13, Mark::Lost), (17, 17, Mark::Lost), (18, 21, Mark::Stolen), (30, 39, Mark::BlankVoid)]);
        assert_eq!(holder_is_told(&engine, used), Verdict::Genuine);
        assert_eq!(refused(submit(&engine, &plain(Kind::Ordinary, 18, yuan(100)))), Refusal::RangeMarked(Mark::Stolen));
        assert_eq!(
            [13, 14, 17, 20, 35].map(|number| told(&engine, number)),
            [Verdict::BlankMarked, Verdict::NotFound, Verdict::BlankMarked, Verdict::BlankMarked, Verdict::BlankMarked]
        );
    }
    logged(submit(&engine, &plain(Kind::Ordinary, 14, yuan(100))));
    assert!(logged(engine.allotment_status(range(Kind::Ordinary, 32, 33), Mark::BlankVoid)).repeated);
}

#[test]
fn the_administration_suspends_single_invoices() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for kind in Kind::ALL {
        let id = id(kind, 1);
        logged(submit(&engine, &plain(kind, 1, yuan(100))));
        for mark in [Mark::Lost, Mark::Stolen, Mark::Abnormal] {
            let first = logged(engine.status(id, mark));
            let again = logged(engine.status(id, mark));
            assert_eq!((again.index, again.repeated, first.repeated), (first.index, true, false));
            assert_eq!(holder_is_told(&engine, id), Verdict::Suspended);
        }
        logged(engine.status(id, Mark::Lifted));
        assert_eq!(holder_is_told(&engine, id), Verdict::Genuine);
        assert_eq!(refused(engine.status(id, Mark::Lifted)), Refusal::NothingToLift);
    }
}

#[test]
fn historic_invoices_are_imported_with_their_state() {
    let site = Site::new();
    let mut engine = site.create();
    let numbers = allotment(Kind::Ordinary, seller(), 1, 99);
    let allotted = logged(engine.allot(numbers.clone()));
    assert_eq!(logged(engine.allot(numbers)).index, allotted.index, "the same again");
    logged(engine.allotment_status(range(Kind::Ordinary, 1, 9), Mark::Lost));
    logged(engine.allotment_status(range(Kind::Ordinary, 1, 9), Mark::Lifted));
    logged(engine.allotment_status(range(Kind::Ordinary, 9, 9), Mark::Lost));
    let historic = |number, state: &str| {
        let draft = with(&plain(Kind::Ordinary, number, yuan(100)), "date", "2018-12-27");
        with(&with(&draft, "check_code", "20930011785541236098"), "state", state)
    };
    assert!(
        matches!(submit(&engine, &with(&plain(Kind::Ordinary, 1, yuan(100)), "date", "2018-12-27")), Ok(Submitted::Faulty(_))),
        "too old to issue"
    );
    assert!(matches!(import(&engine, &plain(Kind::Ordinary, 1, yuan(100))), Ok(Submitted::Faulty(_))), "no check code");
    for (number, state, expected, leaves) in [
        (1, "normal", Verdict::Genuine, 1),
        (2, "voided", Verdict::Voided, 2),
        (3, "red_flushed", Verdict::RedFlushed, 2),
        (4, "abnormal", Verdict::Suspended, 2),
        // Used before its range was lost.
        (9, "normal", Verdict::Suspended, 1),
    ] {
        let size = engine.ledger().published().size;
        let draft = historic(number, state);
        let first = logged(import(&engine, &draft));
        assert_eq!((first.index, engine.ledger().published().size), (size, size + leaves), "{state}");
        for index in size..size + leaves {
            let leaf = engine.ledger().leaf(index).expect("readable").expect("published");
            assert!(leaf.is_imported() && leaf.ref_index == (index > size).then_some(size), "{state}");
        }
        let before = receipt(&engine, first.index);
        let again = logged(import(&engine, &draft));
        assert_eq!((again.index, again.repeated), (first.index, true), "{state}");
        drop(engine);
        engine = site.open().expect("reopened");
        assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, number)), expected, "{state}");
        assert_eq!(receipt(&engine, first.index), before, "{state}");
    }
    assert_eq!(refused(import(&engine, &historic(100, "normal"))), Refusal::NotAllotted);
    assert_eq!(refused(import(&engine, &with(&historic(1, "normal"), "drawer", "另一人"))), Refusal::Conflict(4 + 3));
    assert!(engine.fsck(&|_, _| ()).expect("a report").findings.is_empty());
}

// ---- Restart

/// Puts an earlier copy of the data directory back.
fn restore(site: &Site, copied: &Path) {
    fs::remove_dir_all(site.directory()).expect("removed");
    copy_tree(copied, &site.directory());
}

#[track_caller]
fn why_not(outcome: Result<Submitted, EngineError>) -> SubmitError {
    match outcome {
        Err(EngineError::Submit(error)) => error,
        other => panic!("decided: {other:?}"),
    }
}

fn adopt(site: &Site) -> Result<Checkpoint, LedgerError> {
    Ledger::adopt(&site.directory().into(), site.config().sizes, &site.keyring())
}

#[test]
fn a_reopened_ledger_is_where_it_was() {
    let site = Site::new();
    let engine = site.create();
    assert!(matches!(Engine::create(site.config()), Err(EngineError::Ledger(LedgerError::Store(StoreError::Exists(_))))));
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Special, 1, 1)));
    let qr = signed_qr(&engine, id(Kind::Special, 1));
    let published = engine.ledger().published();
    assert_eq!(fs::read_to_string(site.lock_path()).expect("the lock"), published.note);

    match site.open() {
        Err(EngineError::Ledger(LedgerError::Store(StoreError::InUse(directory)))) => assert_eq!(directory, site.directory()),
        other => panic!("opened twice: {other:?}"),
    }
    drop(engine);
    let wrong = Config { passphrase: Some(Zeroizing::new(format!("{PASSPHRASE}!"))), ..site.config() };
    assert!(matches!(Engine::open(wrong), Err(EngineError::Keyring { error: KeyFileError::Passphrase, .. })));

    let engine = site.open_locked().expect("without keys");
    assert_eq!((engine.ledger().published(), engine.is_unlocked()), (Arc::clone(&published), false));
    assert_eq!(scan(&engine, &qr), Verdict::Genuine);
    assert!(matches!(submit(&engine, &generated(Kind::Special, 1, 2)), Err(EngineError::Locked)));
    assert_eq!(engine.ledger().may_write(), Err(SubmitError::ReadOnly("the secret keys are locked".into())));
    drop(engine);

    let engine = site.open().expect("reopened");
    assert_eq!(engine.ledger().published(), published);
    assert_eq!(scan(&engine, &qr), Verdict::Genuine);
    assert_eq!(logged(submit(&engine, &generated(Kind::Special, 1, 2))).index, published.size);
}

#[test]
fn a_missing_lock_stops_signing_until_it_is_adopted() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, yuan(100))));
    drop(engine);
    let note = fs::read_to_string(site.lock_path()).expect("the lock");
    fs::remove_file(site.lock_path()).expect("removed");

    let engine = site.open().expect("for reading");
    let path = site.lock_path();
    let reason = format!("the lock record {} is missing; if this is the newest copy, run `fapiao ledger adopt`", path.display());
    assert_eq!(why_not(submit(&engine, &plain(Kind::Special, 2, yuan(100)))), SubmitError::ReadOnly(reason.clone()));
    assert_eq!(why_not(engine.void(id(Kind::Special, 1), None)), SubmitError::ReadOnly(reason));
    assert_eq!(holder_is_told(&engine, id(Kind::Special, 1)), Verdict::Genuine);
    assert!(!path.exists(), "reading writes no lock");
    drop(engine);

    let adopted = adopt(&site).expect("adopted");
    assert_eq!(fs::read_to_string(&path).expect("the lock"), note);
    let engine = site.open().expect("reopened");
    assert_eq!(engine.ledger().published().size, adopted.size);
    logged(submit(&engine, &plain(Kind::Special, 2, yuan(100))));
}

#[test]
fn a_restored_copy_does_not_sign() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    drop(engine);
    let backup = tempfile::tempdir().expect("a directory");
    copy_tree(&site.directory(), backup.path());
    let old_lock = fs::read(site.lock_path()).expect("the lock");
    let size = {
        let engine = site.open().expect("reopened");
        logged(submit(&engine, &plain(Kind::Special, 1, yuan(100))));
        engine.ledger().published().size
    };
    let path = site.lock_path();
    let new_lock = fs::read(&path).expect("the lock");

    // The lock is ahead of the restored copy.
    restore(&site, backup.path());
    let refuses = |expected: String| {
        let engine = site.open().expect("for reading");
        assert_eq!(why_not(submit(&engine, &plain(Kind::Special, 2, yuan(100)))), SubmitError::ReadOnly(expected));
        assert_eq!(engine.ledger().published().size, size - 1);
    };
    let here = size - 1;
    let ahead = Obstacle::LockAhead { path: path.clone(), here, locked: size };
    refuses(ahead.to_string());
    assert!(ahead.to_string().starts_with(&format!("this copy ends at size {here}, the lock record {} is at {size}: it is older", path.display())));
    match adopt(&site) {
        Err(LedgerError::NotAdopted(obstacle)) => assert_eq!(obstacle, ahead),
        other => panic!("adopted: {other:?}"),
    }
    // It is known to be behind, so it does not say what it cannot know.
    let engine = site.open().expect("for reading");
    assert_eq!(verdict(&engine, &blank(1).question()), Verdict::NotYet);
    drop(engine);
    assert_eq!(fs::read(&path).expect("the lock"), new_lock, "left as it was");

    // A lock that is damaged, or of another log.
    fs::write(&path, "nothing").expect("written");
    let engine = site.open().expect("for reading");
    assert!(matches!(engine.ledger().may_write(), Err(SubmitError::ReadOnly(_))));
    drop(engine);
    let other = Site::new();
    let origin = other.create().ledger().origin().clone();
    fs::copy(other.lock_path(), &path).expect("copied");
    refuses(format!("the lock record {} belongs to another log, {origin}", path.display()));
    assert!(adopt(&site).is_err());

    // The lock record was copied along: the directory is still not the one that signed.
    fs::write(&path, &old_lock).expect("written");
    refuses(Obstacle::Copied { directory: site.directory() }.to_string());

    // Two histories of the same length: somebody said that the copy was the newest, and it was not.
    adopt(&site).expect("adopted");
    let engine = site.open().expect("reopened");
    logged(submit(&engine, &plain(Kind::Special, 3, yuan(100))));
    assert_eq!(engine.ledger().published().size, size);
    drop(engine);
    fs::write(&path, &new_lock).expect("written");
    let engine = site.open().expect("for reading");
    assert_eq!(engine.ledger().obstacle(), Some(&Obstacle::TwoHistories { path, size }));
    assert!(matches!(engine.ledger().may_write(), Err(SubmitError::ReadOnly(_))));
    drop(engine);
    assert!(adopt(&site).is_err());
}

#[test]
fn a_manifest_that_lost_its_end_is_named() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Special, 1, yuan(100))));
    drop(engine);
    // As after a crash: without an inventory, which would tell as well.
    fs::remove_file(site.directory().join("closed")).expect("removed");
    let noted = fs::read_to_string(site.directory().join("grown")).expect("what was noted");
    let (name, bytes) = noted.trim_end().split_once(' ').expect("name and length");
    let manifest = site.directory().join("db").join(name);
    let whole = fs::read(&manifest).expect("the manifest");
    let noted_bytes: usize = bytes.parse().expect("a number");
    assert!(noted_bytes <= whole.len());
    fs::write(&manifest, &whole[..noted_bytes - 1]).expect("cut");
    match site.open() {
        Err(EngineError::Ledger(LedgerError::Store(StoreError::Damaged { path, how }))) => {
            assert_eq!((path, how), (manifest.clone(), "is shorter than it was"));
        }
        other => panic!("opened: {other:?}"),
    }
    fs::write(&manifest, &whole).expect("put back");
    let engine = site.open().expect("reopened");
    assert_eq!(holder_is_told(&engine, id(Kind::Special, 1)), Verdict::Genuine);
}

#[test]
fn a_lock_that_is_behind_is_advanced() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let old_lock = fs::read(site.lock_path()).expect("the lock");
    logged(submit(&engine, &plain(Kind::Special, 1, yuan(100))));
    let published = engine.ledger().published();
    drop(engine);
    // As after a power cut between the batch and the lock.
    fs::write(site.lock_path(), old_lock).expect("written");
    let engine = site.open().expect("reopened");
    assert_eq!(engine.ledger().published(), published);
    assert_eq!(fs::read_to_string(site.lock_path()).expect("the lock"), published.note);
    assert!(logged(submit(&engine, &plain(Kind::Special, 1, yuan(100)))).repeated);
}

#[test]
fn a_clock_that_was_set_back_stops_signing() {
    let site = Site::new();
    let mut engine = site.create();
    allot_all(&engine);
    let head = site.now();
    for reopened in [false, true] {
        if reopened {
            drop(engine);
            engine = site.open().expect("reopened");
        }
        let (within, beyond) = (UnixMillis(head.0 - 5_000), UnixMillis(head.0 - 5_001));
        site.set_now(beyond);
        assert_eq!(why_not(submit(&engine, &plain(Kind::Special, 9, yuan(100)))), SubmitError::ClockBehind { now: beyond, head });
        site.set_now(within);
        let index = logged(submit(&engine, &plain(Kind::Special, 1 + u32::from(reopened), yuan(100)))).index;
        let leaf = engine.ledger().leaf(index).expect("readable").expect("published");
        assert_eq!(leaf.time_ms, head.0, "time never runs backwards");
    }
}

// ---- What a receipt proves

#[test]
fn receipts_prove_themselves() {
    let mut site = Site::new();
    site.days_back = 6_000;
    site.set_now(day("2020-12-31").start());
    let engine = site.create();
    for draft in ["01-pinyin", "02-multi-fee", "03-domestic", "04-list", "10-pinyin", "11-exempt"].map(fixture) {
        let read = parse_draft(draft.to_string().as_bytes()).expect("JSON");
        let (id, kind) = (read.id().expect("an id"), read.kind().expect("a kind"));
        let taxpayer = read.get(Field::SellerTaxId).and_then(TaxpayerId::parse).expect("a seller");
        let range = NumberRange::new(id.code, id.number, id.number).expect("one number");
        logged(engine.allot(Allotment { taxpayer, kind, range }));
        logged(submit(&engine, &draft));
        assert_eq!(holder_is_told(&engine, id), Verdict::Genuine);
    }
    let size = engine.ledger().published().size;
    let mut events = BTreeSet::new();
    for index in 0..size {
        let full = engine.receipt(index).expect("readable").expect("published");
        receipt_is_sound(&engine, &full);
        events.insert(full.receipt.leaf.event.number());
        assert_eq!(receipt(&engine, index), receipt(&engine, index));
    }
    assert_eq!(events, [Event::Issue, Event::Allot, Event::Key].map(Event::number).into());
    assert!(engine.receipt(size).expect("readable").is_none());
}

#[test]
fn any_leaf_is_in_any_later_tree_and_any_tree_continues_any_earlier_one() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    // Past the first full tile, one commit each.
    for number in 1..=290 {
        let mark = if number % 2 == 1 { Mark::Lost } else { Mark::Lifted };
        logged(engine.allotment_status(range(Kind::Roll, 1, 1 + number / 2), mark));
    }
    let ledger = engine.ledger();
    let key = ledger.keys().iter().find(|key| key.record.role() == Role::Checkpoint).expect("a checkpoint key").key;
    let open = |note: &str| Checkpoint::open(note, ledger.origin(), &key).expect("signed").0;
    let checkpoints: Vec<Checkpoint> = ledger.checkpoints().map(|row| open(&row.expect("readable").1)).collect();
    let size = ledger.published().size;
    assert!(size > 290 && checkpoints.last().map(|checkpoint| checkpoint.size) == Some(size));
    let near_tile =
        |checkpoint: &&Checkpoint| (254..=258).contains(&checkpoint.size) || checkpoint.size.is_multiple_of(37) || checkpoint.size == size;
    let sampled: Vec<&Checkpoint> = checkpoints.iter().filter(near_tile).collect();
    for new in &sampled {
        for index in (0..new.size).step_by(11).chain(new.size.checked_sub(1)) {
            let leaf = ledger.leaf(index).expect("readable").expect("published").encode();
            let path = ledger.inclusion(index, new.size).expect("a path");
            assert!(merkle::verify_inclusion(&merkle::leaf_hash(&leaf), index, new.size, &path, &new.root), "{index} in {}", new.size);
            let other = merkle::leaf_hash(&[0; 96]);
            assert!(!merkle::verify_inclusion(&other, index, new.size, &path, &new.root));
        }
        for old in sampled.iter().filter(|old| old.size <= new.size) {
            let path = ledger.consistency(old.size, new.size).expect("a proof");
            assert!(merkle::verify_consistency(old.size, &old.root, new.size, &new.root, &path), "{} to {}", old.size, new.size);
        }
    }
}
