//! The revocation list: what stands on it, its bytes, and what a signed code is worth by it without a network.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use fapiao::channel::question;
use fapiao::codec::event::{Event, EventData};
use fapiao::codec::leaf::KeyId;
use fapiao::codec::revocations::{RevocationList, SignedList};
use fapiao::crypto::hash;
use fapiao::crypto::keyring::{KeyRecord, PublicKeys, Role};
use fapiao::crypto::note::Origin;
use fapiao::crypto::sign::{SignError, SigningKey};
use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Engine, replace_public};
use fapiao::limits::REVOCATIONS_ROUNDS_MAX;
use fapiao::verify::offline::{Checker, Finding};
use fapiao::verify::query::{Query, SignedClaim};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::server::Server;
use crate::support::*;

const HOUR: u64 = 3_600_000;

fn made(engine: &Engine) -> SignedList {
    SignedList::clone(&engine.renew_revocations(HOUR, &|| true).expect("made").expect("not stopped"))
}

/// Whether the code of this invoice is on the list.
fn is_on(list: &SignedList, engine: &Engine, kind: Kind, number: u32) -> bool {
    list.list.has(&claim(engine, kind, number).commit())
}

trait Commit {
    fn commit(&self) -> [u8; 32];
}

impl Commit for SignedClaim {
    fn commit(&self) -> [u8; 32] {
        hash::commit(&self.face_bytes(), &self.rest_digest)
    }
}

fn claim_of(code: &str) -> SignedClaim {
    match question::of_qr(code).query {
        Ok(Query::Signed(claim)) => *claim,
        other => panic!("no signed code: {other:?}"),
    }
}

fn claim(engine: &Engine, kind: Kind, number: u32) -> SignedClaim {
    claim_of(&signed_qr(engine, id(kind, number)))
}

#[test]
fn whatever_is_void_red_or_suspended_is_on_it_and_nothing_else() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for number in 1..=8 {
        logged(submit(&engine, &generated(Kind::Special, 41, number)));
    }
    let empty = made(&engine);
    assert_eq!((empty.list.tokens().len(), empty.list.size), (0, empty.list.size));

    let on = |list: &SignedList| -> Vec<u32> { (1..=8).filter(|number| is_on(list, &engine, Kind::Special, *number)).collect() };
    logged(engine.void(id(Kind::Special, 1), None));
    logged(engine.status(id(Kind::Special, 2), Mark::Abnormal));
    let (amount, tax) = (Fen(1), Fen::ZERO);
    logged(submit(&engine, &red(&generated(Kind::Special, 41, 3), 9, amount, tax)));
    let marked = range(Kind::Special, 4, 5);
    logged(engine.allotment_status(marked, Mark::Stolen));
    let list = made(&engine);
    assert_eq!(on(&list), [1, 2, 3, 4, 5]);
    assert!(!is_on(&list, &engine, Kind::Special, 9), "a red-letter invoice takes back, and is itself in force");

    // What is lifted goes from the list; a void of the red-letter invoice gives back what it took.
    logged(engine.status(id(Kind::Special, 2), Mark::Lifted));
    logged(engine.allotment_status(marked, Mark::Lifted));
    logged(engine.void(id(Kind::Special, 9), None));
    let list = made(&engine);
    assert_eq!(on(&list), [1]);
    assert!(is_on(&list, &engine, Kind::Special, 9));

    // After a restart the one that was kept is gone on from, and without it all is read again: the same comes out.
    let tokens = list.list.tokens().to_vec();
    drop(engine);
    let engine = site.open().expect("the ledger again");
    assert_eq!(engine.revocations(), None);
    engine.take_up_revocations().expect("readable");
    assert_eq!(engine.revocations().expect("kept").as_bytes(), list.as_bytes());
    logged(engine.void(id(Kind::Special, 6), None));
    assert_eq!(made(&engine).list.tokens().len(), tokens.len() + 1);
    drop(engine);
    for damage in [&b""[..], b"fapiao/revocations/1\0"] {
        fs::write(site.directory().join("revocations"), damage).expect("written");
        let engine = site.open().expect("the ledger again");
        engine.take_up_revocations().expect("looked at");
        assert_eq!(engine.revocations(), None, "what is damaged is not served");
        let again = made(&engine);
        assert!(tokens.iter().all(|token| again.list.tokens().contains(token)) && again.list.tokens().len() == tokens.len() + 1);
    }
}

/// Whoever revokes while the list is being made, faster than the log is read: what was not read is for the next list, and none is lost.
#[test]
fn what_is_revoked_while_a_list_is_made_is_on_it_or_on_the_next() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let last = u32::try_from(REVOCATIONS_ROUNDS_MAX).expect("few") + 20;
    for number in 1..=last {
        logged(submit(&engine, &generated(Kind::Roll, 41, number)));
    }
    // From the first look on, one more at each, so that every round finds something.
    let (next, revoking) = (AtomicU32::new(1), AtomicBool::new(false));
    let go_on = || {
        // An event is itself a leaf at which it is asked whether to go on.
        let number = next.load(Ordering::SeqCst);
        if number <= last && !revoking.swap(true, Ordering::SeqCst) {
            logged(engine.status(id(Kind::Roll, number), Mark::Abnormal));
            next.store(number + 1, Ordering::SeqCst);
            revoking.store(false, Ordering::SeqCst);
        }
        true
    };
    let first = engine.renew_revocations(HOUR, &go_on).expect("made").expect("not stopped");
    let revoked = next.load(Ordering::SeqCst) - 1;
    // What it says to have taken into account it has.
    for number in 1..=revoked {
        let row = engine.ledger().look_up(id(Kind::Roll, number)).expect("readable").1.expect("issued");
        assert!(row.last_event >= first.list.size || is_on(&first, &engine, Kind::Roll, number), "{number}");
    }
    let second = made(&engine);
    assert!((1..=revoked).all(|number| is_on(&second, &engine, Kind::Roll, number)));
    assert_eq!(second.list.tokens().len(), revoked as usize);
}

#[test]
fn a_list_is_written_where_one_stands() {
    let site = Site::new();
    drop(site.create());
    fs::write(site.file("list.new"), "somebody's").expect("written");
    for name in ["list.bin", "list.bin", "another"] {
        let mut make = site.program(&["revocations", "make", "--out", name]);
        let made = make.current_dir(site.file("")).output().expect("run");
        assert!(made.status.success(), "{made:?}");
        assert!(SignedList::decode(&fs::read(site.file(name)).expect("written")).is_ok());
    }
    assert_eq!(fs::read(site.file("list.new")).expect("still there"), b"somebody's");
}

#[test]
fn each_list_is_told_by_the_log_before_it_is_shown() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Roll, 41, 7)));
    let size = engine.ledger().published().size;
    let list = made(&engine);
    assert_eq!((list.list.size, list.list.origin.clone()), (size, engine.ledger().origin().clone()));
    let receipt = engine.receipt(size).expect("readable").expect("the leaf after");
    assert_eq!(receipt.receipt.leaf.event, Event::RevocationList);
    let fapiao::ledger::Sealed::Event { data, .. } = &receipt.receipt.sealed else { panic!("an event") };
    let Ok(EventData::RevocationList(notice)) = EventData::decode(Event::RevocationList, data) else { panic!("a notice") };
    assert_eq!((notice.made, notice.size, notice.tokens), (list.list.made, size, 0));
    assert_eq!(notice.digest, hash::sha256(&[list.as_bytes()]));
    receipt_is_sound(&engine, &receipt);
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

#[test]
fn offline_it_is_told_what_can_be_told() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for number in [1, 2] {
        logged(submit(&engine, &generated(Kind::Electronic, 41, number)));
    }
    logged(engine.status(id(Kind::Electronic, 2), Mark::Abnormal));
    let list = made(&engine);
    let keys = &engine.ledger().keys();
    let (good, bad) = (claim(&engine, Kind::Electronic, 1), claim(&engine, Kind::Electronic, 2));
    let as_of = list.list.made;
    let at = |ms: u64| UnixMillis(as_of.0 + ms);
    let judge = |claim: &SignedClaim, now| Checker::new(keys, Some(&list)).check(claim, now, 48 * HOUR);
    assert_eq!(judge(&good, at(0)), Finding::Genuine { as_of });
    assert_eq!(judge(&good, at(48 * HOUR)), Finding::Genuine { as_of });
    assert_eq!(judge(&good, at(48 * HOUR + 1)), Finding::ListTooOld { as_of });
    assert_eq!(judge(&good, UnixMillis(as_of.0 - 60_000)), Finding::ClockBehind { as_of });
    assert_eq!(judge(&bad, at(0)), Finding::Revoked { as_of });
    assert_eq!(judge(&bad, at(1_000 * HOUR)), Finding::Revoked { as_of }, "however old the list is");
    assert_eq!(Checker::new(keys, None).check(&good, at(0), HOUR), Finding::NoList);

    let tampered = |change: fn(&mut SignedClaim)| {
        let mut claim = good.clone();
        change(&mut claim);
        judge(&claim, at(0))
    };
    assert_eq!(tampered(|claim| claim.rest_digest[0] ^= 1), Finding::Forged);
    assert_eq!(tampered(|claim| claim.signature[40] ^= 1), Finding::Forged);
    assert_eq!(tampered(|claim| claim.face.totals.total.0 += 1), Finding::Forged);
    assert_eq!(tampered(|claim| claim.key_id = KeyId([7; 8])), Finding::UpdateKeys, "an unknown key is never forgery");
    let answering = keys.iter().find(|key| key.record.role() == Role::Answering).expect("one").record.key_id();
    let mut other_role = good.clone();
    other_role.key_id = answering;
    assert_eq!(judge(&other_role, at(0)), Finding::Forged);

    // A list by somebody else, and one of which a bit was changed.
    let stranger = SigningKey::from_seed(&[9; 32]);
    let record = KeyRecord::new(Role::Authority, stranger.public(), UnixMillis(0), None).expect("a key");
    let theirs = list.list.clone().signed(record.key_id(), |message| Ok::<_, SignError>(stranger.sign(message))).expect("signed");
    assert_eq!(Checker::new(keys, Some(&theirs)).check(&good, at(0), HOUR), Finding::UpdateKeys);
    let claimed = list.list.clone().signed(list.key_id, |message| Ok::<_, SignError>(stranger.sign(message))).expect("signed");
    assert_eq!(Checker::new(keys, Some(&claimed)).check(&good, at(0), HOUR), Finding::ListForged);
    assert_eq!(Checker::new(&PublicKeys::new(), Some(&list)).check(&good, at(0), HOUR), Finding::UpdateKeys);
}

fn origin() -> Origin {
    Origin::parse("fp.example.cn/0123456789abcdef").expect("an origin")
}

fn list_of(tokens: Vec<u64>) -> SignedList {
    let list = RevocationList::new(origin(), 77, [5; 32], UnixMillis(1_000), UnixMillis(2_000), tokens).expect("few");
    list.signed(KeyId([3; 8]), |message| {
        let digest = hash::sha256(&[message]);
        Ok::<_, SignError>([digest, digest].concat().try_into().expect("64 bytes"))
    })
    .expect("signed")
}

/// Tokens as hashes make them, and in heaps, at both ends, next to each other.
fn tokens() -> impl Strategy<Value = Vec<u64>> {
    let edge = prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), 0..50u64];
    prop_oneof![prop::collection::vec(any::<u64>(), 0..300), prop::collection::vec(prop_oneof![edge, any::<u64>()], 0..80)]
}

proptest! {
    #[test]
    fn a_list_is_read_as_it_was_written(tokens in tokens()) {
        let wanted: BTreeSet<u64> = tokens.iter().copied().collect();
        let signed = list_of(tokens);
        let read = SignedList::decode(signed.as_bytes()).expect("its own bytes");
        prop_assert_eq!(&read, &signed);
        prop_assert!(read.list.tokens().iter().copied().eq(wanted));
        prop_assert_eq!(read.message().len() + 64, read.as_bytes().len());
        prop_assert_eq!(read.list.message(read.key_id), read.message(), "one spelling");
    }

    /// Whatever is read has the one spelling that its bytes have; everything else is refused.
    #[test]
    fn changed_bytes_are_another_list_or_none(tokens in tokens(), at in any::<prop::sample::Index>(), flip in 1..=255u8, cut in 0..40usize) {
        let bytes = list_of(tokens).as_bytes().to_vec();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= flip;
        for bytes in [&changed[..], &bytes[..bytes.len() - cut.min(bytes.len())], &[&bytes[..], &[0][..]].concat()] {
            if let Ok(read) = SignedList::decode(bytes) {
                let again = [read.list.message(read.key_id), read.signature.to_vec()].concat();
                prop_assert_eq!(&again[..], bytes);
            }
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(SignedList::decode(&bytes));
        drop(SignedList::decode(&[hash::REVOCATIONS_LABEL, &bytes[..]].concat()));
    }
}

#[test]
fn a_list_of_few_is_small_and_one_that_lies_about_its_length_costs_nothing() {
    let sizes: Vec<usize> = [0u64, 1, 1_000, 100_000]
        .map(|count| list_of((0..count).map(|n| hash::revocation_token(&hash::sha256(&[&n.to_be_bytes()]))).collect()).as_bytes().len())
        .to_vec();
    // Head, key id and signature are 186 bytes; a token is 64 bits less the logarithm of how many there are, and two.
    assert_eq!(sizes[0], 186);
    assert!(sizes[1] <= 200 && (6_900..7_000).contains(&(sizes[2] - 186)) && (610_000..612_000).contains(&(sizes[3] - 186)), "{sizes:?}");
    let mut lying = list_of(Vec::new()).as_bytes().to_vec();
    let count_at = lying.len() - 64 - 8 - 1 - 4;
    lying[count_at..count_at + 4].copy_from_slice(&40_000_000u32.to_be_bytes());
    lying[count_at + 4] = 38;
    SignedList::decode(&lying).expect_err("no tokens follow");
}

fn fetch(server: &Server, known: Option<&str>) -> (u16, Vec<u8>, String) {
    let headers: Vec<(&str, &str)> = known.map(|tag| ("If-None-Match", tag)).into_iter().collect();
    let reply = server.running.ask("GET", "/v1/revocations", &headers, b"");
    let tag = reply.header("etag").to_owned();
    (reply.status, reply.body.clone(), tag)
}

#[test]
fn a_server_makes_one_serves_it_and_the_program_judges_by_it() {
    let mut codes = Vec::new();
    let server = Server::with(&format!("{}[revocations]\nminutes = 60\n", crate::support::server::CONFIGURATION), |engine| {
        for number in [1, 2] {
            logged(submit(engine, &generated(Kind::Roll, 41, number)));
            codes.push(signed_qr(engine, id(Kind::Roll, number)));
        }
        logged(engine.status(id(Kind::Roll, 2), Mark::Stolen));
    });
    let (mut status, mut list, mut tag) = fetch(&server, None);
    while status == 503 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        (status, list, tag) = fetch(&server, None);
    }
    assert_eq!(status, 200);
    assert_eq!(fetch(&server, Some(&tag)), (304, Vec::new(), tag.clone()));
    assert_eq!(fetch(&server, Some("\"another\"")).1, list);
    let (file, keys) = (server.site.file("list"), server.site.file("keys.json"));
    fs::write(&file, &list).expect("written");
    fs::write(&keys, server.running.ask("GET", "/v1/keys", &[], b"").body).expect("written");
    let run = |arguments: &[&str]| -> (Option<i32>, Value) {
        let output = program(&["revocations"]).args(arguments).args(["--json", "--keys"]).arg(&keys).output().expect("run");
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
    };
    let list_path = file.to_str().expect("UTF-8");
    let shown = run(&["show", list_path]);
    assert_eq!((shown.0, shown.1["tokens"].as_u64(), shown.1["holds"].as_bool()), (Some(0), Some(1), Some(true)));
    for (code, status, finding) in [(&codes[0], 0, "genuine"), (&codes[1], 1, "revoked")] {
        let judged = run(&["check", "--qr", code, "--list", list_path]);
        assert_eq!((judged.0, judged.1["finding"].as_str()), (Some(status), Some(finding)));
    }
    let judged = run(&["check", "--qr", &codes[0]]);
    assert_eq!((judged.0, judged.1["finding"].as_str()), (Some(3), Some("no_list")));
    assert_eq!(run(&["check", "--qr", "01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,"]).0, Some(2));
    replace_public(&file, b"something else").expect("written");
    assert_eq!(run(&["check", "--qr", &codes[0], "--list", list_path]).0, Some(2));
}
