//! Signed submissions: what an issuer with a registered key hands in is signed with it, and the signature stays with the invoice.

use data_encoding::HEXLOWER;
use fapiao::channel::json::{draft_of_signed, parse_draft};
use fapiao::codec::canonical::{self, IssuerSlot};
use fapiao::codec::event::{Algorithm, Role as KeyRole};
use fapiao::crypto::hash;
use fapiao::crypto::sign::{self, SigningKey};
use fapiao::domain::caller::{Caller, Role};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Engine, EngineError, NewCaller, Resubmitted, Submitted, Territory};
use fapiao::ledger::Refusal;
use serde_json::{Value, json};

use crate::second_implementation::python;
use crate::support::{Site, allot_all, fixture, id, issuer, logged, plain, receipt_is_sound, red, refused, seller, signed, submit, submit_as};

const CHECK_CODE: &str = "20930011785541236098";

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A draft that may be signed: it states its check code.
fn complete(kind: Kind, number: u32) -> Value {
    let mut draft = plain(kind, number, Fen(10_000));
    if kind.profile().has_check_code {
        draft["check_code"] = json!(CHECK_CODE);
    }
    draft
}

fn codes(outcome: Result<Submitted, EngineError>) -> Vec<&'static str> {
    match outcome {
        Ok(Submitted::Faulty(faults)) => faults.iter().map(|fault| fault.code).collect(),
        other => panic!("not faulty: {other:?}"),
    }
}

fn slot_of(engine: &Engine, kind: Kind, number: u32) -> Option<IssuerSlot> {
    engine.signed_invoice(id(kind, number)).expect("readable").expect("issued").1
}

#[test]
fn a_signed_draft_is_kept_with_its_signature_in_all_six_types_and_red() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let caller = issuer(&[seller()], Some(&key()));
    for kind in Kind::ALL {
        let original = complete(kind, 1);
        let mut taken_back = red(&original, 2, Fen(10_000), crate::support::tax(kind, Fen(10_000)));
        if kind.profile().has_check_code {
            taken_back["check_code"] = json!(CHECK_CODE);
        }
        for (number, draft) in [(1, original), (2, taken_back)] {
            let draft = signed(&engine, &draft, &key());
            let first = logged(submit_as(&engine, &draft, &caller));
            receipt_is_sound(&engine, &engine.receipt(first.index).expect("readable").expect("published"));
            let slot = slot_of(&engine, kind, number).expect("a signature");
            assert_eq!(slot.key_id, hash::key_id(Algorithm::Ed25519, KeyRole::Issuer, &key().public()));
            assert_eq!(draft["issuer"]["signature"], HEXLOWER.encode(&slot.signature));
            let message = engine.submission_message(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false);
            assert!(sign::verify(&key().public(), &message.expect("readable").expect("without a fault"), &slot.signature));
            let again = logged(submit_as(&engine, &draft, &caller));
            assert_eq!((again.index, again.repeated), (first.index, true));
        }
    }
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

#[test]
fn who_registered_a_key_signs_and_nobody_else_does() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let (draft, other) = (complete(Kind::Special, 1), SigningKey::from_seed(&[8; 32]));
    let (with_key, without) = (issuer(&[seller()], Some(&key())), issuer(&[seller()], None));
    let size = engine.ledger().published().size;
    let with = |draft: &Value, pointer: &str, value: &str| {
        let mut draft = draft.clone();
        *draft.pointer_mut(pointer).expect("a member") = json!(value);
        draft
    };
    let good = signed(&engine, &draft, &key());
    let of_other = signed(&engine, &draft, &other);
    let mut flipped = HEXLOWER.decode(good["issuer"]["signature"].as_str().expect("text").as_bytes()).expect("hex");
    flipped[63] ^= 1;
    for (case, draft, caller, refusal) in [
        ("unsigned", draft.clone(), &with_key, Refusal::Unsigned),
        ("another key", of_other.clone(), &with_key, Refusal::IssuerKeyUnknown),
        ("another key's id", with(&good, "/issuer/key_id", "0011223344556677"), &with_key, Refusal::IssuerKeyUnknown),
        (
            "another key's signature",
            with(&of_other, "/issuer/key_id", good["issuer"]["key_id"].as_str().expect("text")),
            &with_key,
            Refusal::IssuerSignatureWrong,
        ),
        ("a flipped bit", with(&good, "/issuer/signature", &HEXLOWER.encode(&flipped)), &with_key, Refusal::IssuerSignatureWrong),
        ("another drawer", with(&good, "/drawer", "另一人"), &with_key, Refusal::IssuerSignatureWrong),
        ("another number", with(&good, "/number", "00000002"), &with_key, Refusal::IssuerSignatureWrong),
        ("no key is registered", good.clone(), &without, Refusal::IssuerKeyUnknown),
    ] {
        assert_eq!(refused(submit_as(&engine, &draft, caller)), refusal, "{case}");
    }
    assert_eq!(refused(submit(&engine, &good)), Refusal::IssuerKeyUnknown, "the console");
    assert_eq!(engine.ledger().published().size, size);

    // What is malformed is a fault, beside all others.
    for (issuer, expected) in [
        (json!({ "key_id": "0011" }), &["FP-03-005", "FP-03-007"][..]),
        (json!({ "key_id": "001122334455667A", "signature": "00".repeat(64) }), &["FP-03-005"]),
        (json!({ "key_id": "0011223344556677", "signature": "00".repeat(63) }), &["FP-03-006"]),
        (json!({ "signature": "00".repeat(64) }), &["FP-03-007"]),
        (json!({ "key_id": "0011223344556677", "signature": "00".repeat(64), "x": "y" }), &["FP-01-001"]),
    ] {
        let mut draft = draft.clone();
        draft["issuer"] = issuer;
        assert_eq!(codes(submit_as(&engine, &draft, &with_key)), expected);
    }
    // Nothing may be added to what is signed.
    let mut unchecked = plain(Kind::Electronic, 1, Fen(10_000));
    unchecked["issuer"] = good["issuer"].clone();
    assert_eq!(codes(submit_as(&engine, &unchecked, &with_key)), ["FP-02-018"]);
    let unsigned = parse_draft(plain(Kind::Electronic, 1, Fen(10_000)).to_string().as_bytes()).expect("JSON");
    let faults = engine.submission_message(&unsigned, false).expect("readable").expect_err("it lacks its check code");
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["FP-02-018"]);
}

#[test]
fn the_same_under_another_key_is_the_same_again() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let new = NewCaller {
        role: Role::Issuer,
        taxpayers: vec![seller()],
        regions: Territory::WholeCountry,
        issuer_key: Some(key().public()),
        label: String::new(),
        expires: None,
    };
    let (caller, token) = engine.enrol(new, &Caller::CONSOLE).expect("enrolled");
    let token = token.reveal();
    let asks = || engine.authenticate(&token).expect("readable").expect("in force");
    let draft = complete(Kind::Electronic, 1);
    let first = logged(submit_as(&engine, &signed(&engine, &draft, &key()), &asks()));
    let slot = slot_of(&engine, Kind::Electronic, 1);

    let successor = SigningKey::from_seed(&[9; 32]);
    engine.set_issuer_key(caller, Some(successor.public()), &Caller::CONSOLE).expect("registered");
    assert_eq!(refused(submit_as(&engine, &signed(&engine, &draft, &key()), &asks())), Refusal::IssuerKeyUnknown, "at once");
    let again = logged(submit_as(&engine, &signed(&engine, &draft, &successor), &asks()));
    assert_eq!((again.index, again.repeated), (first.index, true));
    engine.set_issuer_key(caller, None, &Caller::CONSOLE).expect("taken away");
    let unsigned = logged(submit_as(&engine, &draft, &asks()));
    assert_eq!((unsigned.index, unsigned.repeated), (first.index, true));
    assert_eq!(slot_of(&engine, Kind::Electronic, 1), slot, "the first signature stays");
    assert!(matches!(engine.set_issuer_key(caller, Some([0xff; 32]), &Caller::CONSOLE), Err(EngineError::Enrolment(_))));
}

#[test]
fn a_signed_invoice_is_submitted_again_to_a_reopened_log_with_its_signature() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let caller = issuer(&[seller()], Some(&key()));
    let backups = site.file("backups");
    engine.ledger().back_up(&backups, 1).expect("backed up");
    let index = logged(submit_as(&engine, &signed(&engine, &complete(Kind::Roll, 1), &key()), &caller)).index;
    let receipt = engine.receipt(index).expect("readable").expect("published");
    let (invoice, slot) = engine.signed_invoice(id(Kind::Roll, 1)).expect("readable").expect("issued");
    drop(engine);

    let keys = site.file("keys");
    crate::support::copy_tree(&site.directory().join("keys"), &keys);
    std::fs::remove_dir_all(site.directory()).expect("removed");
    fapiao::ledger::restore(&backups, None, None, &site.directory().into(), site.config().sizes).expect("restored");
    crate::support::copy_tree(&keys, &site.directory().join("keys"));
    Engine::reopen(&site.config(), "a test").expect("reopened");
    let engine = site.open().expect("opened");
    let resubmit = |draft: &Value| engine.resubmit(&receipt, Some(&parse_draft(draft.to_string().as_bytes()).expect("JSON"))).expect("decided");
    let without = resubmit(&draft_of_signed(&invoice, None));
    assert!(matches!(without, Resubmitted::NotOurs(_)), "without its signature it is another one: {without:?}");
    let Resubmitted::Decided(submitted) = resubmit(&draft_of_signed(&invoice, slot.as_ref())) else { panic!("not ours") };
    assert!(!logged(Ok(submitted)).repeated);
    assert_eq!(slot_of(&engine, Kind::Roll, 1), slot);
}

/// The Python program knows the manual and an issuer's seed; it makes the message and the signature by itself.
#[test]
fn a_second_implementation_signs_what_is_accepted() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let caller = issuer(&[seller()], Some(&key()));
    let drafts: Vec<(Kind, Value)> = Kind::ALL.into_iter().map(|kind| (kind, complete(kind, 1))).collect();
    let zeros = "00".repeat(32);
    let request = |draft: &Value| {
        json!({
            "op": "encode", "draft": draft, "check_code": CHECK_CODE, "salt": "00".repeat(16), "authority_seed": zeros, "tag_key": zeros,
            "host": "fapiao.example",
        })
    };
    let mut requests: Vec<Value> = drafts.iter().map(|(_, draft)| request(draft)).collect();
    requests.iter_mut().for_each(|request| request["issuer_seed"] = json!("07".repeat(32)));
    let mut signed = Vec::new();
    for ((kind, mut draft), reply) in drafts.into_iter().zip(python(&requests)) {
        let rest = HEXLOWER.decode(reply["rest"].as_str().expect("a rest").as_bytes()).expect("hex");
        let (key_id, signature) = rest.last_chunk::<72>().expect("a slot").split_at(8);
        draft["issuer"] = json!({ "key_id": HEXLOWER.encode(key_id), "signature": HEXLOWER.encode(signature) });
        logged(submit_as(&engine, &draft, &caller));
        let (invoice, slot) = engine.signed_invoice(id(kind, 1)).expect("readable").expect("issued");
        assert_eq!(HEXLOWER.encode(&canonical::encode_rest(&invoice, slot.as_ref())), HEXLOWER.encode(&rest));
        signed.push((request(&draft), reply));
    }
    // And it reads a draft that is signed already as we do.
    let requests: Vec<Value> = signed.iter().map(|(request, _)| request.clone()).collect();
    for ((_, expected), reply) in signed.iter().zip(python(&requests)) {
        assert_eq!(&reply, expected);
    }
}

#[test]
fn a_dry_run_prints_what_is_to_be_signed() {
    let site = Site::new();
    drop(site.create());
    let mut draft = fixture("11-multi-line");
    draft["check_code"] = json!(CHECK_CODE);
    draft["date"] = json!(fapiao::engine::today().to_string());
    let file = site.file("draft.json");
    std::fs::write(&file, draft.to_string()).expect("written");
    let output = site.program(&["issue", "--dry-run", file.to_str().expect("UTF-8")]).output().expect("run");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let engine = Engine::open(fapiao::engine::Config { clock: std::sync::Arc::new(fapiao::engine::now), ..site.config() }).expect("opened");
    let message = engine.submission_message(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false).expect("readable");
    assert_eq!(told["submission_message"], HEXLOWER.encode(&message.expect("without a fault")));
    assert!(told["submission_message"].as_str().expect("hex").starts_with(&HEXLOWER.encode(b"fapiao/submit/1\0\x01")));
}
