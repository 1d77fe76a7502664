//! An older copy does not sign and says why; adopted where that is right, or reopened under another origin, it works, foreign consistency checks hold or
//! name the new origin, and what was lost comes back by the receipts that issuers hold.

use std::fs;
use std::path::PathBuf;

use fapiao::channel::json::parse_draft;
use fapiao::codec::event::{Event, EventData, Notice, Role};
use fapiao::codec::leaf::KeyId;
use fapiao::crypto::keyring::SignatureCheck;
use fapiao::crypto::merkle;
use fapiao::crypto::note::{Checkpoint, Origin};
use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Config, Engine, EngineError, FullReceipt, Logged, Resubmitted, Submitted};
use fapiao::issue::AgainFault;
use fapiao::ledger::{LedgerError, Obstacle, Receipt, Sealed};
use fapiao::verify::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::{
    Site, allot_all, allotment, copy_tree, face, generated, holder_is_told, id, import, logged, plain, range, red, refused, scan, seller, signed_qr,
    submit, tax, typed, verdict,
};

const REASON: &str = "the disk was lost; the last backup is of yesterday";

/// What stands beside a restored directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// The record that the lost ledger wrote last.
    Newer,
    /// The record of the moment of the copy, copied along.
    Along,
    /// An older one.
    Older,
    Nothing,
    Foreign,
    Damaged,
}

const BESIDE: [Beside; 6] = [Beside::Newer, Beside::Along, Beside::Older, Beside::Nothing, Beside::Foreign, Beside::Damaged];

/// How the older copy came into place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Copied,
    Restored,
}

/// A ledger of which there are an older copy and a backup, and the checkpoints that were published, also after them.
struct Lost {
    site: Site,
    origin: Origin,
    /// Leaves of copy and backup.
    here: u64,
    /// Every published checkpoint: size and note, oldest first.
    published: Vec<(u64, String)>,
}

impl Lost {
    /// Two invoices, then copy and backup, then as many invoices as said, one commit each.
    fn new(later: u32) -> Lost {
        let site = Site::new();
        let engine = site.create();
        allot_all(&engine);
        logged(submit(&engine, &plain(Kind::Special, 1, Fen(100_000))));
        logged(submit(&engine, &plain(Kind::Ordinary, 1, Fen(100_000))));
        engine.back_up(&site.file("backups"), 1).expect("a backup");
        let origin = engine.ledger().origin().clone();
        let here = engine.ledger().published().size;
        drop(engine);
        copy_tree(&site.directory(), &site.file("copy"));
        let engine = site.open().expect("opened");
        for number in 1..=later {
            logged(submit(&engine, &generated(Kind::Electronic, u64::from(number), number)));
        }
        let published = engine.ledger().checkpoints().collect::<Result<_, _>>().expect("readable");
        drop(engine);
        Lost { site, origin, here, published }
    }

    fn note(&self, size: u64) -> &str {
        self.published.iter().find(|(at, _)| *at == size).map(|(_, note)| note).expect("published")
    }

    fn newest(&self) -> u64 {
        self.published.last().expect("published").0
    }

    /// The newest copy goes; the older one comes, with this beside it.
    fn put_back(&self, method: Method, beside: Beside) {
        fs::remove_dir_all(self.site.directory()).expect("removed");
        match method {
            Method::Copied => copy_tree(&self.site.file("copy"), &self.site.directory()),
            Method::Restored => {
                Engine::restore(&self.site.file("backups"), None, None, &self.site.directory()).expect("restored");
            }
        }
        let lock = self.site.lock_path();
        match beside {
            Beside::Newer => {}
            Beside::Along => fs::write(lock, self.note(self.here)).expect("written"),
            Beside::Older => fs::write(lock, self.note(3)).expect("written"),
            Beside::Nothing => fs::remove_file(lock).expect("removed"),
            Beside::Foreign => {
                let other = Site::new();
                drop(other.create());
                fs::copy(other.lock_path(), lock).expect("copied");
            }
            Beside::Damaged => fs::write(lock, &self.note(self.here)[..60]).expect("written"),
        }
    }

    fn obstacle(&self, method: Method, beside: Beside, found: &Obstacle) -> Obstacle {
        let path = self.site.lock_path();
        let directory = self.site.directory();
        match (beside, method, found) {
            (Beside::Newer, ..) => Obstacle::LockAhead { path, here: self.here, locked: self.newest() },
            (Beside::Along, Method::Copied, _) => Obstacle::Copied { directory },
            (Beside::Along, Method::Restored, _) => Obstacle::Unsaid { directory },
            (Beside::Older, ..) => Obstacle::LockBehind { path, here: self.here, locked: 3 },
            (Beside::Nothing, ..) => Obstacle::LockMissing { path },
            // Whose it is, and what is wrong with it, is said by what was found.
            (Beside::Foreign, _, Obstacle::LockForeign { origin, .. }) if *origin != self.origin => {
                Obstacle::LockForeign { path, origin: origin.clone() }
            }
            (Beside::Damaged, _, Obstacle::LockUnreadable { reason, .. }) => Obstacle::LockUnreadable { path, reason: reason.clone() },
            (Beside::Foreign | Beside::Damaged, ..) => panic!("{beside:?}: {found:?}"),
        }
    }
}

fn reopen(site: &Site) -> (u64, Notice) {
    Engine::reopen(&site.config(), REASON).expect("reopened")
}

/// The notice as everybody reads it: from the receipt of its leaf.
fn published_notice(engine: &Engine, index: u64) -> Notice {
    let receipt = engine.ledger().receipt(index).expect("readable").expect("published");
    let Sealed::Event { data, .. } = &receipt.sealed else { panic!("an invoice") };
    assert_eq!(receipt.leaf.event, Event::Reopen);
    match EventData::decode(Event::Reopen, data).expect("a notice") {
        EventData::Reopen(notice) => notice,
        other => panic!("no notice: {other:?}"),
    }
}

/// A stranger holds the checkpoints that were published before the loss, and checks the newest one against each of them.
#[track_caller]
fn old_checkpoints_hold(engine: &Engine, lost: &Lost) {
    let ledger = engine.ledger();
    let key = ledger.keys().iter().find(|key| key.record.role() == Role::Checkpoint).expect("a key").key;
    let head = ledger.published();
    let open = |note: &str, origin: &Origin| Checkpoint::open(note, origin, &key).map(|(checkpoint, _)| checkpoint);
    let newest = open(&head.note, ledger.origin()).expect("signed under the newest origin");
    assert_eq!((newest.size, newest.root), (head.size, head.root));
    for (size, note) in lost.published.iter().filter(|(size, _)| *size <= lost.here) {
        let old = open(note, ledger.origins().at(*size)).expect("signed under the origin of its size");
        assert_eq!(old.origin, lost.origin);
        let proof = ledger.consistency(*size, newest.size).expect("a proof");
        assert!(merkle::verify_consistency(old.size, &old.root, newest.size, &newest.root, &proof), "{size}");
    }
    for (size, note) in lost.published.iter().filter(|(size, _)| *size > lost.here) {
        // Whoever holds one of these learns that the log goes on under another origin, rather than that it lied.
        let given_up = open(note, &lost.origin).expect("it was signed all the same");
        if ledger.origins().iter().count() > 1 && *size <= newest.size {
            assert_ne!(*ledger.origins().at(*size), given_up.origin, "{size}");
            assert!(open(note, ledger.origins().at(*size)).is_err(), "{size}");
        }
    }
}

#[test]
fn a_copied_directory_does_not_sign_says_why_and_works_once_it_is_adopted_or_reopened() {
    works_once_it_is_adopted_or_reopened(Method::Copied);
}

#[test]
fn a_restored_backup_does_not_sign_says_why_and_works_once_it_is_adopted_or_reopened() {
    works_once_it_is_adopted_or_reopened(Method::Restored);
}

fn works_once_it_is_adopted_or_reopened(method: Method) {
    for beside in BESIDE {
        let case = format!("{method:?}, {beside:?}");
        let lost = Lost::new(3);
        let site = &lost.site;
        lost.put_back(method, beside);
        let lock = fs::read(site.lock_path()).ok();

        // It answers, and does not sign.
        let engine = site.open().expect("for reading");
        let found = engine.ledger().obstacle().expect("an obstacle").clone();
        assert_eq!(found, lost.obstacle(method, beside, &found), "{case}");
        match submit(&engine, &plain(Kind::Special, 7, Fen(100))) {
            Err(EngineError::Submit(error)) => assert_eq!(error.to_string(), format!("the ledger refuses to sign: {found}"), "{case}"),
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(engine.ledger().published().size, lost.here, "{case}");
        let behind = beside == Beside::Newer;
        let expected = if behind { Verdict::NotYet } else { Verdict::Genuine };
        assert_eq!(holder_is_told(&engine, id(Kind::Special, 1)), expected, "{case}");
        drop(engine);
        let engine = site.open_locked().expect("for reading");
        assert_eq!(holder_is_told(&engine, id(Kind::Special, 1)), expected, "{case}: without keys too");
        drop(engine);
        assert_eq!(fs::read(site.lock_path()).ok(), lock, "{case}: left as it was");

        // Adopted only where nothing says that more was signed, or that the record is not ours.
        let adopted = Engine::adopt(&site.config());
        if matches!(beside, Beside::Along | Beside::Older | Beside::Nothing) {
            let checkpoint = adopted.expect("adopted");
            assert_eq!((checkpoint.size, &checkpoint.origin), (lost.here, &lost.origin), "{case}");
            let engine = site.open().expect("signs");
            logged(submit(&engine, &plain(Kind::Special, 7, Fen(100))));
            assert_eq!(engine.ledger().origin(), &lost.origin, "{case}");
            old_checkpoints_hold(&engine, &lost);
            assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, [], "{case}");
            drop(engine);
            assert!(
                matches!(Engine::reopen(&site.config(), REASON), Err(EngineError::Ledger(LedgerError::NothingToReopen))),
                "{case}: what signs is not reopened"
            );
            // Once more, to be reopened instead.
            lost.put_back(method, beside);
        } else {
            match adopted {
                Err(EngineError::Ledger(LedgerError::NotAdopted(obstacle))) => assert_eq!(obstacle, found, "{case}"),
                other => panic!("{case}: {other:?}"),
            }
            assert_eq!(fs::read(site.lock_path()).ok(), lock, "{case}: left as it was");
        }

        let (size, notice) = reopen(site);
        let engine = site.open().expect("signs");
        assert_eq!(size, lost.here, "{case}");
        assert_eq!(published_notice(&engine, size), notice, "{case}");
        let key = engine.ledger().keys().iter().find(|key| key.record.role() == Role::Checkpoint).expect("a key").key;
        let root_of = |note: &str| Checkpoint::open(note, &lost.origin, &key).expect("signed").0.root;
        let expected = Notice {
            previous: lost.origin.clone(),
            size: lost.here,
            root: root_of(lost.note(lost.here)),
            lost: behind.then(|| (lost.newest(), root_of(lost.note(lost.newest())))),
            origin: engine.ledger().origin().clone(),
            reason: REASON.to_owned(),
        };
        assert_eq!(notice, expected, "{case}");
        assert!(notice.origin != lost.origin && notice.origin.host() == lost.origin.host(), "{case}");
        let origins: Vec<(u64, &Origin)> = engine.ledger().origins().iter().collect();
        assert_eq!(origins, [(0, &lost.origin), (lost.here + 1, &notice.origin)], "{case}");
        for number in 7..=12 {
            logged(submit(&engine, &plain(Kind::Special, number, Fen(100))));
        }
        old_checkpoints_hold(&engine, &lost);
        assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, [], "{case}");
        assert_eq!(holder_is_told(&engine, id(Kind::Special, 1)), Verdict::Genuine, "{case}");
        drop(engine);
        assert!(site.open().expect("signs").ledger().may_write().is_ok(), "{case}");
    }
}

#[test]
fn a_reason_is_one_line_that_everybody_may_read() {
    let lost = Lost::new(1);
    lost.put_back(Method::Copied, Beside::Newer);
    for reason in ["", "  ", "two\nlines", "a\u{7}bell", &"x".repeat(1_025)] {
        assert!(matches!(Engine::reopen(&lost.site.config(), reason), Err(EngineError::Reason)), "{reason:?}");
    }
    let keyless = Config { passphrase: None, ..lost.site.config() };
    assert!(matches!(Engine::reopen(&keyless, REASON), Err(EngineError::Locked)));
    assert_eq!(lost.site.open().expect("for reading").ledger().origins().iter().count(), 1, "nothing was logged");
}

/// The notice reached the database, and the lock record is still that of the lost copy.
#[test]
fn a_crash_inside_reopening_leaves_a_ledger_that_is_reopened_again() {
    // The lost copy was ahead by more than the notice, or by as much.
    for later in [3, 1] {
        let lost = Lost::new(later);
        lost.put_back(Method::Copied, Beside::Newer);
        let lock = fs::read(lost.site.lock_path()).expect("a lock");
        let (_, first) = reopen(&lost.site);
        fs::write(lost.site.lock_path(), lock).expect("written");

        let engine = lost.site.open().expect("for reading");
        let (path, here) = (lost.site.lock_path(), lost.here + 1);
        let expected = match later {
            1 => Obstacle::TwoHistories { path, size: here },
            _ => Obstacle::LockAhead { path, here, locked: lost.newest() },
        };
        assert_eq!(engine.ledger().obstacle(), Some(&expected));
        assert!(engine.ledger().may_write().is_err() && engine.ledger().is_behind());
        drop(engine);
        assert!(Engine::adopt(&lost.site.config()).is_err());

        let (size, second) = reopen(&lost.site);
        assert_eq!((size, &second.previous, second.lost), (here, &first.origin, first.lost));
        let engine = lost.site.open().expect("signs");
        assert_eq!(engine.ledger().origins().iter().count(), 3);
        logged(submit(&engine, &plain(Kind::Special, 7, Fen(100))));
        old_checkpoints_hold(&engine, &lost);
        assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
    }
}

/// Backups from before the loss lie in the same directory as those from after it.
#[test]
fn by_size_the_history_that_went_on_is_restored() {
    let lost = Lost::new(3);
    let site = &lost.site;
    let backups = site.file("backups");
    site.open().expect("signs").back_up(&backups, 9).expect("a backup");
    lost.put_back(Method::Copied, Beside::Newer);
    reopen(site);
    let engine = site.open().expect("signs");
    for number in 7..=9 {
        logged(submit(&engine, &plain(Kind::Special, number, Fen(100))));
    }
    engine.back_up(&backups, 9).expect("a backup");
    let (size, root) = (lost.here + 2, engine.ledger().checkpoint_at(lost.here + 2).expect("readable"));
    let into = site.file("restored");
    Engine::restore(&backups, None, Some(size), &into).expect("restored");
    let restored = Engine::open(Config { directory: into, ..site.config() }).expect("for reading");
    assert_eq!((Some(restored.ledger().published().note.clone()), restored.ledger().origin()), (root, engine.ledger().origin()));
    assert_eq!(restored.fsck(&|_, _| ()).expect("a report").findings, []);
}

/// What was logged after the copy, as those who submitted it hold it.
struct Held {
    full: FullReceipt,
    draft: Option<Value>,
    /// Of an invoice.
    qr: Option<String>,
}

fn hold(engine: &Engine, logged: &Logged, draft: Option<Value>) -> Held {
    let full = engine.receipt(logged.index).expect("readable").expect("published");
    let qr = draft.as_ref().map(|draft| {
        let id = parse_draft(draft.to_string().as_bytes()).expect("JSON").id().expect("an id");
        signed_qr(engine, id)
    });
    Held { full, draft, qr }
}

fn resubmit(engine: &Engine, full: &FullReceipt, draft: Option<&Value>) -> Resubmitted {
    let draft = draft.map(|draft| parse_draft(draft.to_string().as_bytes()).expect("JSON"));
    engine.resubmit(full, draft.as_ref()).expect("an answer")
}

#[track_caller]
fn again(engine: &Engine, held: &Held) -> Logged {
    match resubmit(engine, &held.full, held.draft.as_ref()) {
        Resubmitted::Decided(submitted) => logged(Ok(submitted)),
        other => panic!("not decided: {other:?}"),
    }
}

#[test]
fn what_was_lost_comes_back_by_its_receipts_as_it_was() {
    let lost = Lost::new(0);
    let site = &lost.site;
    let engine = site.open().expect("signs");
    let early = engine.ledger().look_up(id(Kind::Special, 1)).expect("readable").1.expect("issued").index;
    let not_lost = Held {
        full: engine.receipt(early).expect("readable").expect("published"),
        draft: Some(plain(Kind::Special, 1, Fen(100_000))),
        qr: Some(signed_qr(&engine, id(Kind::Special, 1))),
    };
    let mut held = Vec::new();
    let mut keep = |outcome: Result<Submitted, EngineError>, draft: Option<Value>| {
        let logged = logged(outcome);
        held.push(hold(&engine, &logged, draft));
    };
    keep(engine.allot(allotment(Kind::Ordinary, seller(), 100_000, 100_099)), None);
    // A generated check code, a stated one, none, a number that was allotted in the lost part; a red; a void and a status of what was not lost.
    let drafts =
        [generated(Kind::Electronic, 1, 1), generated(Kind::Roll, 2, 2), generated(Kind::Freight, 3, 3), plain(Kind::Ordinary, 100_001, Fen(700))];
    for draft in drafts {
        keep(submit(&engine, &draft), Some(draft.clone()));
    }
    let taken_back = red(&plain(Kind::Ordinary, 1, Fen(100_000)), 2, Fen(30_000), tax(Kind::Ordinary, Fen(30_000)));
    keep(submit(&engine, &taken_back), Some(taken_back.clone()));
    keep(engine.void(id(Kind::Special, 1), Some(seller())), None);
    keep(engine.status(id(Kind::Electronic, 1), Mark::Abnormal), None);
    keep(engine.allotment_status(range(Kind::Roll, 50, 59), Mark::Lost), None);
    let mut historic = plain(Kind::Ordinary, 9, Fen(500));
    historic["state"] = json!("voided");
    historic["check_code"] = json!("20930011785541236098");
    keep(import(&engine, &historic), Some(historic.clone()));
    let faces = |engine: &Engine| held.iter().filter_map(|held| held.draft.as_ref()).map(|draft| face_of(engine, draft)).collect::<Vec<_>>();
    let before = faces(&engine);
    let told: Vec<Option<Verdict>> = held.iter().map(|held| held.qr.as_ref().map(|qr| scan(&engine, qr))).collect();
    let suspended = scan(&engine, not_lost.qr.as_ref().expect("a code"));
    let size = engine.ledger().published().size;
    drop(engine);

    lost.put_back(Method::Restored, Beside::Newer);
    let (notice, _) = reopen(site);
    let engine = site.open().expect("signs");
    assert!(size > notice + 1);

    // Before: ours and unknown is not yet there, and what only looks like ours is forged.
    let stranger = Site::new();
    let foreign = stranger.create();
    allot_all(&foreign);
    logged(submit(&foreign, &generated(Kind::Electronic, 1, 1)));
    let forged = signed_qr(&foreign, id(Kind::Electronic, 1));
    for held in &held {
        if let Some(qr) = &held.qr {
            assert_eq!(scan(&engine, qr), Verdict::NotYet);
            let at = qr.len() - 30;
            let other = if qr.as_bytes()[at] == b'A' { "B" } else { "A" };
            assert_eq!(scan(&engine, &format!("{}{other}{}", &qr[..at], &qr[at + 1..])), Verdict::Forged);
        }
    }
    assert_eq!(scan(&engine, &forged), Verdict::Forged);
    assert_eq!(verdict(&engine, &typed(&before[0]).question()), Verdict::NotFound, "by its fields nobody can tell");
    assert_eq!(scan(&engine, not_lost.qr.as_ref().expect("a code")), Verdict::Genuine, "its void is lost");

    for one in &held {
        let logged = again(&engine, one);
        assert!(!logged.repeated && logged.index > notice, "{:?}", one.full.receipt.leaf.event);
        let full = engine.receipt(logged.index).expect("readable").expect("published");
        assert_eq!(signed(&full.receipt), signed(&one.full.receipt), "what was signed is the same");
        assert_eq!(
            (full.salt, full.receipt.leaf.commit, full.receipt.leaf.key_id),
            (one.full.salt, one.full.receipt.leaf.commit, one.full.receipt.leaf.key_id)
        );
    }
    let after: Vec<Option<Verdict>> = held.iter().map(|held| held.qr.as_ref().map(|qr| scan(&engine, qr))).collect();
    assert_eq!(after, told, "the code that is already printed says what it said");
    assert_eq!(faces(&engine), before, "number, date, sums and check code");
    assert_eq!(scan(&engine, not_lost.qr.as_ref().expect("a code")), suspended);
    for one in held.iter().chain([&not_lost]) {
        assert!(again(&engine, one).repeated);
    }
    assert_eq!(again(&engine, &not_lost).index, early);
    // The same draft again is still the same again, and another one under its number a conflict.
    assert!(logged(submit(&engine, held[1].draft.as_ref().expect("a draft"))).repeated);
    refused(submit(&engine, &generated(Kind::Electronic, 99, 1)));
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

fn face_of(engine: &Engine, draft: &Value) -> fapiao::domain::invoice::Face {
    face(engine, parse_draft(draft.to_string().as_bytes()).expect("JSON").id().expect("an id"))
}

fn signed(receipt: &Receipt) -> (&[u8], Option<[u8; 32]>, [u8; 64]) {
    match &receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => (face, Some(*rest_digest), *signature),
        Sealed::Event { data, signature, .. } => (data, None, *signature),
    }
}

/// Changes one thing in a receipt.
fn altered(full: &FullReceipt, change: impl FnOnce(&mut Receipt, &mut Option<[u8; 16]>)) -> FullReceipt {
    let (mut receipt, mut salt) = (full.receipt.clone(), full.salt);
    change(&mut receipt, &mut salt);
    FullReceipt { receipt, salt }
}

/// The signature, and face or data.
fn parts(sealed: &mut Sealed) -> (&mut [u8; 64], &mut Vec<u8>) {
    match sealed {
        Sealed::Invoice { face, signature, .. } => (signature, face),
        Sealed::Event { data, signature, .. } => (signature, data),
    }
}

#[test]
fn a_receipt_that_was_tampered_with_or_is_of_elsewhere_is_refused_with_its_reason() {
    let lost = Lost::new(0);
    let site = &lost.site;
    let engine = site.open().expect("signs");
    let draft = generated(Kind::Special, 5, 5);
    let invoice = hold(&engine, &logged(submit(&engine, &draft)), Some(draft.clone()));
    let event = hold(&engine, &logged(engine.status(id(Kind::Special, 1), Mark::Stolen)), None);
    let size = engine.ledger().published().size;
    drop(engine);
    lost.put_back(Method::Copied, Beside::Newer);
    let (notice, _) = reopen(site);
    let engine = site.open().expect("signs");
    let after = engine.ledger().published().size;

    let not_ours = |full: &FullReceipt, draft: Option<&Value>| match resubmit(&engine, full, draft) {
        Resubmitted::NotOurs(fault) => fault,
        other => panic!("decided: {other:?}"),
    };
    type Change = fn(&mut Receipt, &mut Option<[u8; 16]>);
    let of_both: [(Change, AgainFault); 8] = [
        (|receipt, _| receipt.leaf.commit[0] ^= 1, AgainFault::Commit),
        (|receipt, _| parts(&mut receipt.sealed).1[5] ^= 1, AgainFault::Commit),
        (|receipt, _| parts(&mut receipt.sealed).0[5] ^= 1, AgainFault::Signature(SignatureCheck::WrongSignature)),
        (|receipt, _| receipt.leaf.key_id = KeyId([7; 8]), AgainFault::Signature(SignatureCheck::UnknownKey)),
        (|receipt, _| receipt.leaf.time_ms = 1, AgainFault::Signature(SignatureCheck::OutsideWindow)),
        (|receipt, _| receipt.leaf.time_ms += 1, AgainFault::Inclusion),
        (|receipt, _| receipt.index -= 1, AgainFault::Inclusion),
        (|receipt, _| receipt.path[0][0] ^= 1, AgainFault::Inclusion),
    ];
    for held in [&invoice, &event] {
        for (at, (change, expected)) in of_both.iter().enumerate() {
            assert_eq!(not_ours(&altered(&held.full, change), held.draft.as_ref()), *expected, "change {at}");
        }
        let shorter = altered(&held.full, |receipt, _| {
            receipt.path.pop();
        });
        assert_eq!(not_ours(&shorter, held.draft.as_ref()), AgainFault::Inclusion);
        // The checkpoint: another size or root under the same signature, another name, no note at all.
        let root = held.full.receipt.note.lines().nth(2).expect("a root").to_owned();
        let notes: [(&str, &str); 4] = [("\n1", "\n2"), (&root, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), ("/", "/f"), ("\n\n", "\n")];
        for (part, other) in notes {
            let forged = altered(&held.full, |receipt, _| receipt.note = receipt.note.replacen(part, other, 1));
            assert_ne!(forged.receipt.note, held.full.receipt.note);
            assert!(matches!(not_ours(&forged, held.draft.as_ref()), AgainFault::Checkpoint(_)), "{part:?}");
        }
        // Signed, and of another tree of this log: the path does not lead there.
        let elsewhere = altered(&held.full, |receipt, _| receipt.note = lost.note(lost.here).to_owned());
        assert_eq!(not_ours(&elsewhere, held.draft.as_ref()), AgainFault::Inclusion);
        // What is said beside the note counts for nothing.
        let beside = altered(&held.full, |receipt, _| receipt.size += 1);
        assert!(matches!(resubmit(&engine, &beside, None), Resubmitted::NotOurs(AgainFault::NoDraft) | Resubmitted::Decided(_)));
    }
    let without_salt = altered(&invoice.full, |_, salt| *salt = None);
    assert_eq!(not_ours(&without_salt, Some(&draft)), AgainFault::NoSalt);
    let other_salt = altered(&invoice.full, |_, salt| *salt = Some([7; 16]));
    assert_eq!(not_ours(&other_salt, Some(&draft)), AgainFault::OtherDraft);
    let other_rest = altered(&invoice.full, |receipt, _| match &mut receipt.sealed {
        Sealed::Invoice { rest_digest, .. } => rest_digest[0] ^= 1,
        Sealed::Event { .. } => panic!("an event"),
    });
    assert_eq!(not_ours(&other_rest, Some(&draft)), AgainFault::Commit);

    assert_eq!(not_ours(&invoice.full, None), AgainFault::NoDraft);
    let mut other = draft.clone();
    other["drawer"] = json!("另一人");
    assert_eq!(not_ours(&invoice.full, Some(&other)), AgainFault::OtherDraft);
    assert_eq!(not_ours(&invoice.full, Some(&generated(Kind::Special, 5, 6))), AgainFault::OtherDraft);
    other["amount"] = json!("1");
    assert!(matches!(resubmit(&engine, &invoice.full, Some(&other)), Resubmitted::Decided(Submitted::Faulty(_))));

    // Nothing that issuers submit: a key, the notice itself.
    let of_leaf = |index| engine.receipt(index).expect("readable").expect("published");
    assert_eq!(not_ours(&of_leaf(0), None), AgainFault::Event("key"));
    assert_eq!(not_ours(&of_leaf(notice), None), AgainFault::Event("reopen"));

    // Of another log.
    let stranger = Site::new();
    let foreign = stranger.create();
    allot_all(&foreign);
    let receipt = hold(&foreign, &logged(submit(&foreign, &draft)), Some(draft.clone()));
    assert_eq!(not_ours(&receipt.full, Some(&draft)), AgainFault::Signature(SignatureCheck::UnknownKey));

    // The status was submitted again above, beside a wrong size; nothing else left a trace.
    assert!(size > after && engine.ledger().published().size == after + 1);
    assert!(!again(&engine, &invoice).repeated);
    assert!(again(&engine, &event).repeated);
}

/// As a program: line by line, with the draft that has the same code and number.
#[test]
fn receipts_are_resubmitted_by_the_line() {
    let lost = Lost::new(0);
    let site = &lost.site;
    let mut receipts = String::new();
    let drafts: PathBuf = site.file("drafts");
    let two = [generated(Kind::Special, 5, 5), generated(Kind::Special, 6, 6)];
    fs::write(&drafts, two.iter().map(|draft| format!("{draft}\n")).collect::<String>()).expect("written");
    let output = site.program(&["issue", "--days-back", "36500"]).arg(&drafts).output().expect("run");
    assert!(output.status.success());
    receipts.push_str(std::str::from_utf8(&output.stdout).expect("UTF-8"));
    receipts.push_str("\nno receipt\n{\"index\":1}\n");
    let file = site.file("receipts");
    fs::write(&file, receipts).expect("written");
    lost.put_back(Method::Copied, Beside::Newer);
    let run = |arguments: &[&str]| {
        let output = site.program(arguments).output().expect("run");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let answers: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told = answers.iter().map(|answer| (answer["line"].as_u64().expect("a line"), answer["status"].as_str().expect("a status").to_owned()));
        (output.status.code(), told.collect::<Vec<_>>())
    };
    let (file, drafts) = (file.to_str().expect("UTF-8"), drafts.to_str().expect("UTF-8"));
    let all: [&str; 5] = ["resubmit", "--receipts", file, "--drafts", drafts];
    assert_eq!(run(&all), (Some(3), vec![]), "a copy that is behind decides nothing");
    assert!(site.program(&["ledger", "reopen", "--reason", REASON]).status().expect("run").success());
    let said = |statuses: [&str; 4]| [1, 2, 4, 5].into_iter().zip(statuses.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(run(&all[..3]), (Some(2), said(["not_resubmitted", "not_resubmitted", "malformed", "malformed"])));
    assert_eq!(run(&all), (Some(2), said(["logged", "logged", "malformed", "malformed"])));
    assert_eq!(run(&all), (Some(2), said(["repeated", "repeated", "malformed", "malformed"])));
}
