//! Keys that are replaced and revoked: nothing that was signed in time is lost, and nothing that a thief signs counts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use fapiao::channel::keys;
use fapiao::channel::proof::{self, ProofFault};
use fapiao::channel::{qr, question, receipt};
use fapiao::codec::event::{EventData, KeyRecord, Role, Withdrawal};
use fapiao::codec::leaf::KeyId;
use fapiao::crypto::hash;
use fapiao::crypto::keyfile;
use fapiao::crypto::keyring::{Enrolled, PublicKeys, SecretKey, Signer};
use fapiao::crypto::note::{Checkpoint, Note};
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Engine, EngineError, Rotated, RotationFault, keyring_path};
use fapiao::issue::{self, Randomness};
use fapiao::ledger::{Obstacle, Outcome, Sealed, Submission, SubmitError};
use fapiao::limits::{KEY_OVERLAP_MIN_MS, KEY_OVERLAP_MS, KEYRING_KEYS_MAX};
use fapiao::verify::offline::{Checker, Finding};
use fapiao::verify::query::Query;
use fapiao::verify::verdict::Verdict;
use serde_json::{Value, json};

use crate::demo::shell;
use crate::support::server::Server;
use crate::support::{
    PASSPHRASE, Site, allot_all, allotment, generated, holder_is_told, id, logged, plain, receipt_is_sound, scan, seller, signed_qr, submit, typed,
};

const SIGNING: [Role; 3] = [Role::Authority, Role::Answering, Role::Checkpoint];

fn ready() -> (Site, Engine) {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    (site, engine)
}

fn rotate(engine: &Engine, role: Role) -> Rotated {
    engine.rotate(role, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).expect("rotated")
}

fn replace_stolen(engine: &Engine, role: Role) -> Rotated {
    engine.rotate(role, None, KEY_OVERLAP_MS, Some(Withdrawal::Compromised), &Caller::CONSOLE).expect("rotated")
}

fn refusal(outcome: Result<Rotated, EngineError>) -> RotationFault {
    match outcome {
        Err(EngineError::Rotation(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_sound(engine: &Engine) {
    let report = engine.fsck(&|_, _| ()).expect("a report");
    assert_eq!((report.findings, report.skipped), (vec![], vec![]));
}

fn pass(site: &Site, ms: u64) {
    site.set_now(UnixMillis(site.now().0 + ms));
}

/// The key that a leaf of the log is signed by.
fn signed_by(engine: &Engine, index: u64) -> KeyId {
    engine.ledger().leaf(index).expect("readable").expect("published").key_id
}

/// The receipt of a leaf holds.
fn sound_at(engine: &Engine, index: u64) {
    receipt_is_sound(engine, &engine.receipt(index).expect("readable").expect("published"));
}

/// The list that a verifier has who fetched it now.
fn list(engine: &Engine) -> PublicKeys {
    keys::parse(&serde_json::from_str(&keys::to_json(&engine.ledger().keys()).to_string()).expect("JSON")).expect("keys")
}

fn kept_answer(engine: &Engine, number: u32) -> Vec<u8> {
    let question = typed(&crate::support::face(engine, id(Kind::Electronic, number))).question();
    let answer = engine.verify(&question).expect("an answer");
    proof::to_json(&engine.sign_answer(&question, &answer).expect("signed"), &engine.ledger().keys()).to_string().into_bytes()
}

/// What a checker without a list of revocations says; that the code is signed is then all that is known.
fn offline_says(text: &str, keys: &PublicKeys) -> Finding {
    match question::of_qr(text).query {
        Ok(Query::Signed(claim)) => Checker::new(keys, None).check(&claim, UnixMillis(0), 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_role_rotates_and_everything_before_goes_on_to_count() {
    let (site, engine) = ready();
    let newest = Cell::new(0);
    let issue_one = |engine: &Engine| {
        newest.set(newest.get() + 1);
        logged(submit(engine, &plain(Kind::Electronic, newest.get(), Fen(100_000)))).index
    };
    let mut receipts = vec![issue_one(&engine)];
    let (old_list, old_answer, old_qr) = (list(&engine), kept_answer(&engine, 1), signed_qr(&engine, id(Kind::Electronic, 1)));
    let old_note = engine.ledger().published().note.clone();
    for role in [Role::Authority, Role::Answering, Role::Checkpoint, Role::Data, Role::Authority, Role::Data] {
        pass(&site, 1);
        let rotated = rotate(&engine, role);
        assert_ne!(rotated.key_id, rotated.replaced);
        receipts.push(issue_one(&engine));
        receipts.extend(rotated.index);
        let named = engine.ledger().keys();
        match role {
            Role::Data => assert_eq!((rotated.index, rotated.until), (None, None)),
            _ => {
                let (newer, older) = (named.get(rotated.key_id).expect("named"), named.get(rotated.replaced).expect("named"));
                assert!(newer.is_in_force() && newer.record.valid_from() == site.now());
                assert_eq!(older.record.valid_until(), Some(UnixMillis(site.now().0 + KEY_OVERLAP_MS)));
                assert_eq!((older.record.withdrawn(), rotated.until), (None, older.record.valid_until()));
            }
        }
        is_sound(&engine);
    }
    // Of a later time than every overlap.
    pass(&site, 2 * KEY_OVERLAP_MS);
    receipts.push(issue_one(&engine));
    for index in &receipts {
        sound_at(&engine, *index);
    }
    let number = newest.get();
    assert_eq!(scan(&engine, &old_qr), Verdict::Genuine);
    assert_eq!(holder_is_told(&engine, id(Kind::Electronic, number)), Verdict::Genuine);
    // What was kept holds with the keys of its time and with those of now; what is new needs the new list, and says so.
    let (new_list, new_answer) = (list(&engine), kept_answer(&engine, number));
    for keys in [&old_list, &new_list] {
        assert_eq!(proof::verify(&old_answer, Some(keys)).map(|proven| proven.verdict), Ok(Verdict::Genuine));
        assert_eq!(offline_says(&old_qr, keys), Finding::NoList);
    }
    assert_eq!(proof::verify(&new_answer, Some(&old_list)), Err(ProofFault::UpdateKeys));
    assert_eq!(offline_says(&signed_qr(&engine, id(Kind::Electronic, number)), &old_list), Finding::UpdateKeys);
    assert!(proof::verify(&new_answer, Some(&new_list)).is_ok());
    let origin = engine.ledger().origin().clone();
    let opens = |note: &str, keys: &PublicKeys| keys.open_checkpoint(note, &origin, |_, _| true).is_ok();
    assert!(opens(&old_note, &old_list) && opens(&old_note, &new_list));
    assert!(!opens(&engine.ledger().published().note, &old_list), "after the overlap the former key does not sign along");

    drop(engine);
    let engine = site.open().expect("opened");
    receipts.push(issue_one(&engine));
    for index in receipts {
        sound_at(&engine, index);
    }
    is_sound(&engine);
    let bodies: Vec<bool> = (1..=newest.get()).map(|number| engine.invoice(id(Kind::Electronic, number)).expect("readable").is_some()).collect();
    assert!(bodies.iter().all(|there| *there), "bodies of all three data keys open");
}

#[test]
fn during_the_overlap_a_checkpoint_is_signed_by_both_keys() {
    let (site, engine) = ready();
    let (old_list, lines) = (list(&engine), |engine: &Engine| Note::parse(&engine.ledger().published().note).expect("a note").signatures().len());
    let origin = engine.ledger().origin().clone();
    assert_eq!(lines(&engine), 1);
    rotate(&engine, Role::Checkpoint);
    for _ in 0..2 {
        assert_eq!(lines(&engine), 2, "the frame that says so is signed by both too");
        for keys in [&old_list, &list(&engine)] {
            let key = keys.iter().filter(|key| key.record.role() == Role::Checkpoint).find(|key| key.is_in_force()).expect("a key");
            assert!(Checkpoint::open(&engine.ledger().published().note, &origin, &key.key).is_ok());
        }
        logged(submit(&engine, &plain(Kind::Electronic, 1 + lines(&engine) as u32, Fen(500))));
    }
    pass(&site, KEY_OVERLAP_MS);
    logged(submit(&engine, &plain(Kind::Electronic, 9, Fen(500))));
    assert_eq!(lines(&engine), 1);
    is_sound(&engine);
}

/// A signed code of what the ledger has under this number, or of anything else, made with a stolen key.
fn forged_code(engine: &Engine, thief: &Signer, number: u32, other_content: bool) -> String {
    let index = engine.ledger().look_up(id(Kind::Electronic, number)).expect("readable").1.expect("issued").index;
    let Sealed::Invoice { face, mut rest_digest, .. } = engine.ledger().receipt(index).expect("readable").expect("published").sealed else {
        panic!("an event")
    };
    rest_digest[0] ^= u8::from(other_content);
    let signature = thief.key.sign(&hash::invoice_message(&face, &rest_digest)).expect("signed");
    qr::print_signed(engine.host(), thief.key_id, &face, &rest_digest, &signature)
}

#[test]
fn a_stolen_authority_key_counts_for_what_was_logged_before_and_for_nothing_else() {
    let (site, engine) = ready();
    let thief = site.keyring().authority().clone();
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(100_000))));
    let (old_list, old_qr) = (list(&engine), signed_qr(&engine, id(Kind::Electronic, 1)));
    let never_logged = {
        let (stranger_site, stranger) = ready();
        logged(submit(&stranger, &plain(Kind::Electronic, 77, Fen(77))));
        let forged = forged_code(&stranger, &thief, 77, false);
        drop((stranger, stranger_site));
        forged
    };
    // Before anybody knows, what the thief signs reads as signed; that it is not in the log tells it apart.
    assert_eq!(offline_says(&never_logged, &old_list), Finding::NoList);
    assert_eq!(scan(&engine, &never_logged), Verdict::Forged);

    let rotated = replace_stolen(&engine, Role::Authority);
    assert_eq!(rotated.replaced, thief.key_id);
    let at = engine.ledger().keys().get(thief.key_id).expect("named").compromised_at.expect("stolen");
    assert_eq!(Some(at), rotated.index.map(|index| index + 1), "the leaf after that of the successor");
    assert_eq!(signed_by(&engine, at), rotated.key_id, "the successor says so");
    logged(submit(&engine, &plain(Kind::Electronic, 2, Fen(200_000))));
    let codes = |engine: &Engine| {
        let new_qr = signed_qr(engine, id(Kind::Electronic, 2));
        assert_eq!(scan(engine, &old_qr), Verdict::Genuine, "an old code counts for ever");
        assert_eq!(scan(engine, &new_qr), Verdict::Genuine);
        assert_eq!(scan(engine, &never_logged), Verdict::Forged);
        assert_eq!(scan(engine, &forged_code(engine, &thief, 1, true)), Verdict::Forged);
        assert_eq!(scan(engine, &forged_code(engine, &thief, 2, false)), Verdict::Forged, "of an invoice that was logged after it");
        let keys = list(engine);
        for code in [&old_qr, &never_logged] {
            assert_eq!(offline_says(code, &keys), Finding::AskOnline, "offline nobody can tell them apart");
        }
        assert_eq!(offline_says(&new_qr, &keys), Finding::NoList);
        assert_eq!(offline_says(&new_qr, &old_list), Finding::UpdateKeys);
        let mut wrong = thief.clone();
        wrong.key_id = rotated.key_id;
        assert_eq!(offline_says(&forged_code(engine, &wrong, 2, true), &keys), Finding::Forged);
    };
    codes(&engine);
    pass(&site, 10 * KEY_OVERLAP_MS);
    codes(&engine);
    is_sound(&engine);
    drop(engine);
    let engine = site.open().expect("opened");
    codes(&engine);
    sound_at(&engine, at);
    is_sound(&engine);
}

#[test]
fn stolen_answering_and_checkpoint_keys_are_for_the_log_to_judge() {
    let (site, engine) = ready();
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(100_000))));
    let (old_answer, old_note) = (kept_answer(&engine, 1), engine.ledger().published().note.clone());
    pass(&site, 1);
    replace_stolen(&engine, Role::Answering);
    assert_eq!(proof::verify(&old_answer, Some(&list(&engine))), Err(ProofFault::AskOnline));
    let answer = kept_answer(&engine, 1);
    assert!(proof::verify(&answer, Some(&list(&engine))).is_ok());

    let thief = site.keyring().checkpoint().clone();
    let rotated = replace_stolen(&engine, Role::Checkpoint);
    let note = Note::parse(&engine.ledger().published().note).expect("a note");
    assert_eq!(note.signatures().len(), 1, "a stolen key does not sign along");
    assert_eq!(proof::verify(&answer, Some(&list(&engine))), Err(ProofFault::AskOnline), "its checkpoint is signed by the stolen key");
    // What was published before is the ledger's own, and goes on to open it.
    let at = engine.ledger().keys().get(thief.key_id).expect("named").compromised_at.expect("stolen");
    assert_eq!(rotated.index.map(|index| index + 1), Some(at));
    sound_at(&engine, 0);
    is_sound(&engine);
    let origin = engine.ledger().origin().clone();
    assert!(list(&engine).open_checkpoint(&old_note, &origin, Enrolled::is_sound_of_size).is_ok());

    // A checkpoint that the thief signs now is no head of this log.
    let published = engine.ledger().published();
    let stolen = Checkpoint { origin, size: published.size, root: published.root }.sign_by(&thief.key).expect("signed").encode();
    drop(engine);
    fs::write(site.lock_path(), stolen).expect("written");
    let engine = site.open().expect("opened");
    assert!(matches!(engine.ledger().obstacle(), Some(Obstacle::LockUnreadable { .. })), "{:?}", engine.ledger().obstacle());
}

#[test]
fn what_was_signed_in_time_and_comes_late_is_signed_anew() {
    let (site, engine) = ready();
    let before = site.keyring();
    let sealed = |number| {
        let draft = fapiao::channel::json::parse_draft(plain(Kind::Electronic, number, Fen(900)).to_string().as_bytes()).expect("JSON");
        let terms = fapiao::domain::rules::Terms {
            today: crate::support::today(),
            mode: fapiao::domain::rules::Mode::Issue { days_back: 31 },
            check_code: fapiao::domain::number::CheckCode::from_random([1, 2]),
            original_date: None,
        };
        let accepted = fapiao::domain::rules::accept(&draft, &terms).expect("without a fault");
        issue::invoice(&accepted, false, &before, &Randomness::from_bytes([number as u8; 56])).expect("sealed")
    };
    let log = |submission: Submission| match engine.ledger().submit(submission).blocking_recv().expect("an answer") {
        Ok(Outcome::Logged { index, repeated: false, .. }) => index,
        other => panic!("{other:?}"),
    };
    let rotated = rotate(&engine, Role::Authority);
    assert_eq!(signed_by(&engine, log(sealed(1))), rotated.replaced, "during the overlap it counts as it is");
    pass(&site, KEY_OVERLAP_MS);
    let late = log(sealed(2));
    assert_eq!(signed_by(&engine, late), rotated.key_id);
    sound_at(&engine, late);
    assert_eq!(holder_is_told(&engine, id(Kind::Electronic, 2)), Verdict::Genuine);
    let event = log(issue::allot(allotment(Kind::Electronic, seller(), 200_000, 200_001), &before, [7; 16]).expect("signed"));
    assert_eq!(signed_by(&engine, event), rotated.key_id);
    sound_at(&engine, event);

    // A stolen key ends at once, whatever its window.
    let stolen = replace_stolen(&engine, Role::Authority);
    let again = site.keyring();
    assert_eq!(
        signed_by(&engine, log(issue::allot(allotment(Kind::Electronic, seller(), 200_002, 200_003), &before, [8; 16]).expect("signed"))),
        stolen.key_id
    );
    assert_eq!(again.authority().key_id, stolen.key_id);
    is_sound(&engine);
}

#[test]
fn key_events_that_do_not_fit_their_time_change_nothing() {
    let (site, engine) = ready();
    let keyring = site.keyring();
    let size = engine.ledger().published().size;
    let record = |role, from, until| KeyRecord::new(role, [9; 32], UnixMillis(from), until).expect("a window");
    let in_force = *engine.ledger().keys().get(keyring.answering().key_id).expect("named");
    for (record, late) in [
        (record(Role::Answering, site.now().0 + 1, None), false),
        (in_force.record.closed(site.now()).unwrap_or_else(|| in_force.record.closed(UnixMillis(site.now().0 + 1)).expect("a window")), true),
    ] {
        if late {
            pass(&site, 1);
        }
        let event = issue::event_of(&EventData::Key(record), [1; 16], &keyring).expect("signed");
        let answer = engine.ledger().submit(Submission::Keys { events: vec![event] }).blocking_recv().expect("an answer");
        match answer {
            Err(SubmitError::Late) if late => {}
            Err(SubmitError::ClockBehind { .. }) if !late => {}
            other => panic!("{late}: {other:?}"),
        }
    }
    assert_eq!(engine.ledger().published().size, size);
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900))));
}

#[test]
fn what_cannot_be_rotated_or_revoked_is_refused_with_a_reason() {
    let (site, engine) = ready();
    let by = &Caller::CONSOLE;
    let ring = site.keyring();
    let file = fs::read(keyring_path(&site.directory())).expect("readable");
    let size = engine.ledger().published().size;
    assert_eq!(refusal(engine.rotate(Role::Tag, None, KEY_OVERLAP_MS, None, by)), RotationFault::TagKey);
    assert_eq!(refusal(engine.rotate(Role::Issuer, None, KEY_OVERLAP_MS, None, by)), RotationFault::IssuerKey);
    assert_eq!(refusal(engine.rotate(Role::Data, None, KEY_OVERLAP_MS, Some(Withdrawal::Lost), by)), RotationFault::DataKey);
    for overlap in [0, KEY_OVERLAP_MIN_MS - 1, 367 * 24 * 3_600_000] {
        assert_eq!(refusal(engine.rotate(Role::Authority, None, overlap, None, by)), RotationFault::Overlap);
    }
    let revoked = |key_id, reason| match engine.revoke_key(key_id, reason, by) {
        Ok(revoked) => Ok(revoked.index),
        Err(EngineError::Rotation(fault)) => Err(fault),
        Err(other) => panic!("{other}"),
    };
    let authority = ring.authority().key_id;
    assert_eq!(revoked(authority, Withdrawal::Compromised), Err(RotationFault::InUse(authority, Role::Authority)));
    assert_eq!(revoked(KeyId([7; 8]), Withdrawal::Lost), Err(RotationFault::NoSuchKey(KeyId([7; 8]))));
    assert_eq!((engine.ledger().published().size, fs::read(keyring_path(&site.directory())).expect("readable")), (size, file));

    // One that was replaced can be revoked at any time, and that it was stolen may turn out last.
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900))));
    let qr = signed_qr(&engine, id(Kind::Electronic, 1));
    rotate(&engine, Role::Authority);
    pass(&site, 3 * KEY_OVERLAP_MS);
    revoked(authority, Withdrawal::Superseded).expect("revoked");
    assert_eq!(revoked(authority, Withdrawal::Lost), Err(RotationFault::Revoked(authority)));
    assert_eq!(offline_says(&qr, &list(&engine)), Finding::NoList);
    let at = revoked(authority, Withdrawal::Compromised).expect("revoked");
    assert_eq!(engine.ledger().keys().get(authority).expect("named").compromised_at, Some(at));
    assert_eq!(revoked(authority, Withdrawal::Compromised), Err(RotationFault::Revoked(authority)));
    assert_eq!((offline_says(&qr, &list(&engine)), scan(&engine, &qr)), (Finding::AskOnline, Verdict::Genuine));
    is_sound(&engine);
    let trail: Vec<String> =
        engine.audit_entries(0, 100).expect("readable").into_iter().map(|(_, entry)| format!("{} {}", entry.subject, entry.outcome)).collect();
    let newer = engine.ledger().keyring().expect("unlocked").authority().key_id;
    let expected = [
        format!("rotate authority {authority} {newer} done"),
        format!("revoke authority {authority} superseded"),
        format!("revoke authority {authority} compromised"),
    ];
    assert_eq!(trail, expected);
}

/// The key file is written before the log is: both ends of a crash in between, and a file that is older than the log.
#[test]
fn a_crash_between_key_file_and_log_loses_nothing() {
    for role in SIGNING {
        let (site, engine) = ready();
        let older = fs::read(keyring_path(&site.directory())).expect("readable");
        let in_use = site.keyring();
        drop(engine);
        // The file has a key that the log does not name, and a half-written one lies beside it.
        let left = SecretKey::signing(role, [42; 32]).expect("a signing key");
        let (ring, passkey) = keyfile::unlock(&older, PASSPHRASE).expect("the passphrase");
        let ring = ring.with(left.clone(), &PublicKeys::new(), UnixMillis(0)).expect("a keyring");
        fs::write(keyring_path(&site.directory()), passkey.seal(&ring, &[7; 24]).expect("sealed")).expect("written");
        fs::write(keyring_path(&site.directory()).with_extension("new"), b"half").expect("written");
        let engine = site.open().expect("opened");
        let index = logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900)))).index;
        assert_eq!(signed_by(&engine, index), in_use.authority().key_id, "{role:?}: what the log does not name signs nothing");
        sound_at(&engine, index);
        let note = Note::parse(&engine.ledger().published().note).expect("a note");
        note.verify(engine.ledger().origin().as_str(), &engine.ledger().keys().get(in_use.checkpoint().key_id).expect("named").key)
            .expect("the key in use");
        // The next rotation of the role takes the key that is there.
        let rotated = rotate(&engine, role);
        assert_eq!(rotated.key_id, left.key_id(), "{role:?}");
        logged(submit(&engine, &plain(Kind::Electronic, 2, Fen(900))));
        is_sound(&engine);
        drop(engine);

        // The log names a key that the file does not have: an older copy of the file was brought back.
        let newer = fs::read(keyring_path(&site.directory())).expect("readable");
        fs::write(keyring_path(&site.directory()), &older).expect("written");
        let engine = site.open().expect("it answers");
        assert_eq!(engine.ledger().obstacle(), Some(&Obstacle::NoKey { role }));
        assert_eq!(holder_is_told(&engine, id(Kind::Electronic, 1)), Verdict::Genuine);
        assert!(engine.invoice(id(Kind::Electronic, 1)).expect("readable").is_some());
        assert!(submit(&engine, &plain(Kind::Electronic, 3, Fen(900))).is_err());
        assert!(engine.rotate(role, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).is_err());
        drop(engine);
        let output = site.program(&["doctor", "--json"]).output().expect("run");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let codes: Vec<&str> = said["symptoms"].as_array().expect("symptoms").iter().filter_map(|symptom| symptom["code"].as_str()).collect();
        assert!(codes.contains(&"keys_older"), "{said}");
        fs::write(keyring_path(&site.directory()), &newer).expect("written");
        let engine = site.open().expect("opened");
        logged(submit(&engine, &plain(Kind::Electronic, 3, Fen(900))));
        is_sound(&engine);
    }
}

/// Whoever stole the file with a key has the one that an interrupted rotation left there, too.
#[test]
fn what_a_crash_left_in_a_stolen_file_takes_no_stolen_keys_place() {
    for role in SIGNING {
        let (site, engine) = ready();
        drop(engine);
        let (ring, passkey) = keyfile::unlock(&fs::read(keyring_path(&site.directory())).expect("readable"), PASSPHRASE).expect("the passphrase");
        let left = SecretKey::signing(role, [42; 32]).expect("a signing key");
        let ring = ring.with(left.clone(), &PublicKeys::new(), UnixMillis(0)).expect("a keyring");
        fs::write(keyring_path(&site.directory()), passkey.seal(&ring, &[7; 24]).expect("sealed")).expect("written");
        let engine = site.open().expect("opened");
        let rotated = replace_stolen(&engine, role);
        assert_ne!(rotated.key_id, left.key_id(), "{role:?}");
        assert_eq!(rotated.until, None, "it counts no more from the leaf that says so");
        assert_ne!(rotate(&engine, role).key_id, left.key_id(), "{role:?}");
        is_sound(&engine);
    }
}

#[test]
fn a_full_key_file_gives_up_the_oldest_key_that_counts_no_more() {
    let (site, engine) = ready();
    let rotations = KEYRING_KEYS_MAX - site.keyring().keys().len();
    for _ in 0..rotations {
        engine.rotate(Role::Answering, None, KEY_OVERLAP_MIN_MS, None, &Caller::CONSOLE).expect("rotated");
        pass(&site, 1);
    }
    assert!(
        matches!(engine.rotate(Role::Answering, None, KEY_OVERLAP_MIN_MS, None, &Caller::CONSOLE), Err(EngineError::NewKeys(_))),
        "all count still"
    );
    pass(&site, KEY_OVERLAP_MIN_MS);
    let first = site.keyring().keys()[1].key_id();
    engine.rotate(Role::Answering, None, KEY_OVERLAP_MIN_MS, None, &Caller::CONSOLE).expect("rotated");
    let ring = site.keyring();
    assert_eq!(ring.keys().len(), KEYRING_KEYS_MAX);
    assert!(ring.keys().iter().all(|key| key.key_id() != first));
    is_sound(&engine);
}

fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } = site.program(arguments).output().expect("run");
    (status.code(), serde_json::from_slice(&stdout).unwrap_or_default(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn the_commands_rotate_revoke_and_show() {
    let (site, engine) = ready();
    drop(engine);
    let show = || run(&site, &["keys", "show"]).1;
    let of = |list: &Value, key_id: &Value| list.as_array().expect("keys").iter().find(|key| key["key_id"] == *key_id).expect("there").clone();
    let (exit, rotated, said) = run(&site, &["keys", "rotate", "--role", "authority", "--overlap", "2h", "--json"]);
    assert_eq!(exit, Some(0), "{said}");
    let replaced = of(&show(), &rotated["replaced"]);
    assert_eq!((&replaced["revoked"], replaced["valid_until"].is_u64()), (&Value::Null, true));
    let published: Value = serde_json::from_slice(&fs::read(site.directory().join("keys/public.json")).expect("readable")).expect("JSON");
    assert_eq!(published, show());
    let key_id = rotated["replaced"].as_str().expect("an id");
    let (exit, revoked, said) = run(&site, &["keys", "revoke", "--key-id", key_id, "--reason", "compromised", "--json"]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(of(&show(), &rotated["replaced"])["revoked"], json!({ "reason": "compromised", "counts_before": revoked["index"] }));
    let (exit, emergency, said) = run(&site, &["keys", "rotate", "--role", "checkpoint", "--revoke", "lost", "--json"]);
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(of(&show(), &emergency["replaced"])["revoked"], json!({ "reason": "lost" }));
    for (arguments, expected) in [
        (&["keys", "rotate", "--role", "tag"][..], "invalid value 'tag'"),
        (&["keys", "rotate", "--role", "data", "--overlap", "1"], "--overlap: a number and s, m, h or d"),
        (&["keys", "rotate", "--role", "data", "--overlap", "1s"], "an overlap is 60 s to 366 days"),
        (&["keys", "rotate", "--role", "data", "--revoke", "lost"], "a data key is not revoked"),
        (&["keys", "revoke", "--key-id", "12", "--reason", "lost"], "16 lower-case hex digits"),
        (
            &["keys", "revoke", "--key-id", rotated["key_id"].as_str().expect("an id"), "--reason", "lost"],
            "fapiao keys rotate --role authority --revoke REASON",
        ),
    ] {
        let (exit, _, said) = run(&site, arguments);
        assert!(exit != Some(0) && said.contains(expected), "{arguments:?}: {exit:?} {said}");
    }
    assert_eq!(run(&site, &["ledger", "fsck"]).0, Some(0));
}

/// Rotation and revocation of every role while invoices are issued without a pause: each is acknowledged, none is lost, and every receipt and code holds.
#[test]
fn under_load_nothing_is_lost() {
    let mut server = Server::new();
    let (stop, next) = (AtomicBool::new(false), AtomicU32::new(1));
    let mut receipts: BTreeMap<u32, Value> = BTreeMap::new();
    let rotated: Vec<Value> = thread::scope(|scope| {
        let issuers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        let reply = server.ask_as("issuer", "POST", "/v1/invoices", plain(Kind::Electronic, number, Fen(900)).to_string().as_bytes());
                        assert_eq!(reply.status, 201, "{}", reply.text());
                        mine.push((number, reply.json()));
                    }
                    mine
                })
            })
            .collect();
        let mut rotated = Vec::new();
        for body in [
            json!({ "role": "authority" }),
            json!({ "role": "checkpoint", "overlap_seconds": 60 }),
            json!({ "role": "data" }),
            json!({ "role": "answering", "revoke": "superseded" }),
            json!({ "role": "authority", "revoke": "compromised" }),
            json!({ "role": "checkpoint", "revoke": "compromised" }),
        ] {
            // So that there are invoices under each key.
            let until = next.load(Ordering::SeqCst) + 20;
            while next.load(Ordering::SeqCst) < until {
                thread::yield_now();
            }
            let reply = server.ask_as("administrator", "POST", "/v1/keys/rotate", body.to_string().as_bytes());
            assert_eq!(reply.status, 200, "{}", reply.text());
            rotated.push(reply.json());
        }
        let until = next.load(Ordering::SeqCst) + 20;
        while next.load(Ordering::SeqCst) < until {
            thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        for issuer in issuers {
            receipts.extend(issuer.join().expect("no panic"));
        }
        rotated
    });
    let listed = |server: &Server| server.ask_as("", "GET", "/v1/keys", b"").json();
    let before = listed(&server);
    let public = fs::read(server.site.directory().join("keys/public.json")).expect("readable");
    assert_eq!(serde_json::from_slice::<Value>(&public).expect("JSON"), before["keys"]);
    let known = keys::parse(&before["keys"]).expect("keys");
    assert_eq!(known.len(), 3 + 5, "{before}");
    let ask = |server: &Server, code: &Value| {
        server.ask_as("business", "POST", "/v1/verify", json!({ "qr": code, "proof": true }).to_string().as_bytes()).json()
    };
    let mut signers = BTreeMap::new();
    for (number, receipt) in &receipts {
        let code = &receipt["signed_qr"];
        let answer = ask(&server, code);
        assert_eq!(answer["verdict"], 1, "{number}: {answer}");
        assert!(proof::verify(answer["proof"].to_string().as_bytes(), Some(&known)).is_ok());
        let leaf = receipt::parse(receipt).expect("a receipt").receipt.leaf;
        *signers.entry(leaf.key_id.to_string()).or_insert(0) += 1;
    }
    assert_eq!(signers.len(), 3, "invoices under each authority: {signers:?}");
    // The whole once more, by the process after it and by the check of everything.
    server = server.restart();
    assert_eq!(listed(&server), before);
    for receipt in receipts.values().step_by(7) {
        assert_eq!(ask(&server, &receipt["signed_qr"])["verdict"], 1);
    }
    let stolen = rotated[4]["replaced"].clone();
    let refused = server.ask_as("administrator", "POST", "/v1/keys/revoke", json!({ "key_id": stolen, "reason": "lost" }).to_string().as_bytes());
    assert_eq!(refused.status, 409, "{}", refused.text());
    let Server { running, site, .. } = server;
    drop(running);
    let engine = site.open().expect("opened");
    for receipt in receipts.values() {
        sound_at(&engine, receipt["index"].as_u64().expect("an index"));
    }
    is_sound(&engine);
}

#[test]
fn the_page_about_keys_runs_as_it_stands() {
    let page = include_str!("../../src/manual/keys.md");
    let blocks: String = page.split("```sh\n").skip(1).map(|block| block.split_once("```").expect("an end").0).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let Output { status, stdout, stderr } = shell(directory.path(), &format!("trap 'kill $! 2> /dev/null || true' EXIT\n{blocks}"), &[]);
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "said: {said}\n{}", String::from_utf8_lossy(&stderr));
    for (text, times) in
        [("已轮换 rotated: the ", 6), ("已吊销 is revoked: compromised", 1), ("已吊销 revoked: what ", 1), ("keys_older", 1), ("账本完好 sound", 1)]
    {
        assert_eq!(said.matches(text).count(), times, "{text}: {said}");
    }
    let announced: Value = serde_json::from_slice(&fs::read(directory.path().join("announced.json")).expect("written")).expect("JSON");
    assert_eq!(keys::parse(&announced["keys"]).expect("keys").len(), 3 + 6);
    assert!(said.contains("密码机 token \"fapiao\", CKA_ID "), "{said}");
}

#[test]
fn a_backup_from_before_a_rotation_restores_with_its_keys() {
    let (site, engine) = ready();
    let backups = site.file("backups");
    engine.back_up(&backups, 3).expect("backed up");
    rotate(&engine, Role::Authority);
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900))));
    drop(engine);
    let newest = fs::read(keyring_path(&site.directory())).expect("readable");
    let other = Site::new();
    other.set_now(site.now());
    Engine::restore(&backups, None, None, &other.directory()).expect("restored");
    Engine::adopt(&other.config()).expect("adopted");
    let engine = other.open().expect("opened");
    logged(submit(&engine, &generated(Kind::Electronic, 1, 2)));
    is_sound(&engine);
    drop(engine);
    // The newest key file has the older keys too.
    fs::write(keyring_path(&other.directory()), newest).expect("written");
    let engine = other.open().expect("opened");
    logged(submit(&engine, &generated(Kind::Electronic, 2, 3)));
    is_sound(&engine);
}

#[test]
fn secrets_are_not_printed_and_not_dumped() {
    // Each byte of a secret is one that nothing else has, in hex and in decimal.
    let (secret, site) = ([0xdb; 32], Site::new());
    drop(site.create());
    let ring = site.keyring();
    let key = SecretKey::signing(Role::Authority, secret).expect("a signing key");
    let ring = ring.with(key.clone(), &PublicKeys::new(), UnixMillis(0)).expect("a keyring");
    let (_, passkey) = keyfile::unlock(&fs::read(keyring_path(&site.directory())).expect("readable"), PASSPHRASE).expect("the passphrase");
    for printed in
        [format!("{key:?}"), format!("{:?}", key.signer()), format!("{ring:?}"), format!("{:?}", ring.authority().key), format!("{passkey:?}")]
    {
        assert!(!printed.contains("dbdb") && !printed.contains("219, 219") && !printed.contains(PASSPHRASE), "{printed}");
    }
    assert_eq!(format!("{passkey:?} {:?}", ring.authority().key), "Passkey(…) SigningKey(…)");

    let server = Server::new();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.running.id())).expect("readable");
    let core: Vec<&str> = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a row").split_whitespace().skip(4).collect();
    assert_eq!(core, ["0", "0", "bytes"]);
}
