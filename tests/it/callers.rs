//! Callers and their tokens: who is let in, for whom and where, and what the directory gives away of a token.

use std::path::Path;

use fapiao::channel::json::parse_draft;
use fapiao::crypto::sign::{PublicKeyError, SigningKey};
use fapiao::domain::caller::{Caller, CallerId, Region, Role};
use fapiao::domain::draft::Draft;
use fapiao::domain::fault::Fault;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::InvoiceCode;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Engine, EngineError, EnrolmentFault, NewCaller, Submitted, Territory};
use fapiao::ledger::{Refusal, StoreError};
use serde_json::{Value, json};

use crate::support::{
    Site, allot_all, allotment, copy_tree, database, id, issuer, logged, other_seller, plain, red, refused, seller, submit, submit_as, tree_bytes,
};

fn new_caller(role: Role) -> NewCaller {
    let regions = Territory::WholeCountry;
    NewCaller { role, taxpayers: vec![seller()], regions, issuer_key: None, label: "branch 3".to_owned(), expires: None }
}

fn enrol(engine: &Engine, new: NewCaller) -> (CallerId, String) {
    let (id, token) = engine.enrol(new, &Caller::CONSOLE).expect("enrolled");
    (id, token.reveal().as_str().to_owned())
}

fn region(digits: &str) -> Region {
    Region::parse(digits).expect("a region")
}

fn role_of(engine: &Engine, token: &str) -> Option<Role> {
    engine.authenticate(token).expect("readable").map(|caller| caller.role)
}

#[test]
fn a_token_is_its_callers_until_it_expires_or_is_revoked() {
    let site = Site::new();
    let engine = site.create();
    let soon = UnixMillis(site.now().0 + 60_000);
    let (short, brief) = enrol(&engine, NewCaller { expires: Some(soon), ..new_caller(Role::Issuer) });
    let (long, lasting) = enrol(&engine, NewCaller { regions: Territory::Regions(vec![region("33")]), ..new_caller(Role::Operator) });
    for _ in 0..2 {
        let caller = engine.authenticate(&brief).expect("readable").expect("in force");
        let expected = Caller { id: Some(short), role: Role::Issuer, taxpayers: vec![seller()], regions: Vec::new(), issuer_key: None };
        assert_eq!(*caller, expected);
    }
    assert_eq!(role_of(&engine, &lasting), Some(Role::Operator));

    // Another's secret, a changed one, none.
    let (_, secret) = lasting.rsplit_once('_').expect("a token");
    let mut changed = brief.clone();
    let other = if changed.as_bytes()[30] == b'a' { "b" } else { "a" };
    changed.replace_range(30..31, other);
    for wrong in [format!("fp1_{short}_{secret}"), changed, brief.to_uppercase(), format!(" {brief}"), String::new()] {
        assert_eq!(role_of(&engine, &wrong), None, "{wrong}");
    }

    site.set_now(soon);
    assert_eq!(role_of(&engine, &brief), None, "expired, although it was remembered");
    engine.revoke_caller(long, &Caller::CONSOLE).expect("revoked");
    assert_eq!(role_of(&engine, &lasting), None, "revoked, although it was remembered");
    engine.revoke_caller(long, &Caller::CONSOLE).expect("revoked again");
    drop(engine);

    let engine = site.open().expect("opened");
    assert_eq!((role_of(&engine, &brief), role_of(&engine, &lasting)), (None, None));
    let listed = engine.callers(None, 10).expect("readable");
    let mut revoked: Vec<_> = listed.iter().map(|one| (one.id, one.revoked, one.label.as_str())).collect();
    revoked.sort_by_key(|(_, revoked, _)| *revoked);
    assert_eq!(revoked, [(short, None, "branch 3"), (long, Some(soon), "branch 3")]);
    assert!(matches!(engine.revoke_caller(CallerId([0; 8]), &Caller::CONSOLE), Err(EngineError::NoSuchCaller(_))));
}

#[test]
fn the_directory_holds_no_token() {
    let site = Site::new();
    let engine = site.create();
    let (caller, token) = enrol(&engine, new_caller(Role::Issuer));
    let (_, secret) = token.rsplit_once('_').expect("a token");
    let bytes = data_encoding::BASE32_NOPAD.decode(secret.to_uppercase().as_bytes()).expect("base32");
    let is_in = |needle: &[u8]| {
        let files = tree_bytes(&site.directory());
        files.values().any(|file| file.windows(needle.len()).any(|window| window == needle))
    };
    let leaks = || [secret.as_bytes(), bytes.as_slice(), secret.to_uppercase().as_bytes()].into_iter().any(is_in);
    assert!(!leaks(), "in the WAL");
    assert!(is_in(&caller.0), "the search finds what is there");
    assert!(!format!("{:?}", engine.callers(None, 10)).contains(secret));
    drop(engine);
    assert!(!leaks(), "in the tables");
}

#[test]
fn who_cannot_be_enrolled() {
    let site = Site::new();
    let engine = site.create();
    let key = SigningKey::from_seed(&[7; 32]).public();
    let mut small_order = [0; 32];
    small_order[0] = 1;
    let none = Territory::Regions(Vec::new());
    for (fault, new) in [
        (EnrolmentFault::Anonymous, new_caller(Role::Anonymous)),
        (EnrolmentFault::NoTaxpayer, NewCaller { taxpayers: Vec::new(), ..new_caller(Role::Issuer) }),
        (EnrolmentFault::NoRegion, NewCaller { regions: none.clone(), ..new_caller(Role::Operator) }),
        (EnrolmentFault::NoRegion, NewCaller { regions: none.clone(), ..new_caller(Role::Department) }),
        (EnrolmentFault::TooMany, NewCaller { taxpayers: vec![seller(); 501], ..new_caller(Role::Issuer) }),
        (EnrolmentFault::TooMany, NewCaller { regions: Territory::Regions(vec![region("33"); 101]), ..new_caller(Role::Operator) }),
        (EnrolmentFault::Label, NewCaller { label: "x".repeat(201), ..new_caller(Role::Issuer) }),
        (EnrolmentFault::Label, NewCaller { label: "two\nlines".to_owned(), ..new_caller(Role::Issuer) }),
        (EnrolmentFault::KeyOfNoIssuer, NewCaller { issuer_key: Some(key), ..new_caller(Role::Business) }),
        (EnrolmentFault::Key(PublicKeyError::Weak), NewCaller { issuer_key: Some(small_order), ..new_caller(Role::Issuer) }),
        (EnrolmentFault::Key(PublicKeyError::NotCanonical), NewCaller { issuer_key: Some([0xff; 32]), ..new_caller(Role::Issuer) }),
        (EnrolmentFault::Expired, NewCaller { expires: Some(site.now()), ..new_caller(Role::Issuer) }),
    ] {
        match engine.enrol(new, &Caller::CONSOLE) {
            Err(EngineError::Enrolment(found)) => assert_eq!(found, fault),
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    assert_eq!(engine.callers(None, 10).expect("readable"), []);
    assert_eq!(engine.audit_entries(0, 10).expect("readable"), [], "what was not done is not in the trail");

    // The largest that is allowed is stored and read again.
    let largest = NewCaller {
        taxpayers: vec![seller(); 500],
        regions: Territory::Regions(vec![region("330102"); 100]),
        label: "标".repeat(66),
        issuer_key: Some(key),
        ..new_caller(Role::Issuer)
    };
    let (_, token) = enrol(&engine, largest);
    assert_eq!(engine.authenticate(&token).expect("readable").expect("in force").taxpayers.len(), 500);
    enrol(&engine, NewCaller { regions: none, ..new_caller(Role::Administrator) });
    drop(engine);
    let engine = site.open_locked().expect("opened");
    assert!(matches!(engine.enrol(new_caller(Role::Issuer), &Caller::CONSOLE), Err(EngineError::Locked)));
    assert_eq!(role_of(&engine, &token), Some(Role::Issuer), "tokens need no secret keys");
}

#[test]
fn callers_are_listed_by_pages() {
    let site = Site::new();
    let engine = site.create();
    let mut enrolled: Vec<CallerId> = (0..25).map(|_| enrol(&engine, new_caller(Role::Issuer)).0).collect();
    enrolled.sort_unstable();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = engine.callers(after, 7).expect("readable");
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        listed.extend(page.iter().map(|one| one.id));
    }
    assert_eq!(listed, enrolled);
}

fn parse(draft: &Value) -> Draft {
    parse_draft(draft.to_string().as_bytes()).expect("JSON")
}

#[test]
fn a_caller_issues_and_voids_for_those_it_acts_for_only() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(engine.allot(allotment(Kind::Ordinary, other_seller(), 100_000, 100_009)));
    let of_other = |number| {
        let mut draft = plain(Kind::Ordinary, number, Fen(10_000));
        draft["seller"]["tax_id"] = json!(other_seller().as_str());
        draft
    };
    let (one, both) = (issuer(&[seller()], None), issuer(&[seller(), other_seller()], None));
    let size = engine.ledger().published().size;
    assert_eq!(logged(submit_as(&engine, &plain(Kind::Ordinary, 1, Fen(10_000)), &one)).index, size);
    assert_eq!(refused(submit_as(&engine, &of_other(100_000), &one)), Refusal::NotYourSeller);
    // Neither is it told whether a number exists, nor what else is wrong.
    let mut broken = of_other(100_000);
    broken["total"] = json!("1.00");
    assert_eq!(refused(submit_as(&engine, &broken, &one)), Refusal::NotYourSeller);
    assert_eq!(engine.check_draft_as(&parse(&broken), false, &one).expect("readable"), Err(Refusal::NotYourSeller));
    logged(submit_as(&engine, &of_other(100_000), &both));
    logged(submit_as(&engine, &plain(Kind::Ordinary, 2, Fen(10_000)), &both));

    // A seller that is no tax id is a fault like any other.
    let mut nobody = plain(Kind::Ordinary, 3, Fen(10_000));
    nobody["seller"]["tax_id"] = json!("nobody");
    let Ok(Submitted::Faulty(faults)) = submit_as(&engine, &nobody, &one) else { panic!("not faulty") };
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["FP-03-001"]);

    assert_eq!(refused(engine.void_as(id(Kind::Ordinary, 100_000), &one)), Refusal::NotSeller);
    assert_eq!(refused(engine.void_as(id(Kind::Ordinary, 2), &Caller::ANONYMOUS)), Refusal::NotSeller);
    logged(engine.void_as(id(Kind::Ordinary, 100_000), &both));
    logged(engine.void_as(id(Kind::Ordinary, 2), &both));
    logged(engine.void_as(id(Kind::Ordinary, 1), &one));
}

#[test]
fn the_date_of_anothers_invoice_is_not_told_by_what_the_rules_say() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let original = plain(Kind::Ordinary, 1, Fen(10_000));
    logged(submit(&engine, &original));
    // Earlier than its original.
    let mut red = red(&original, 2, Fen(10_000), Fen(1_300));
    red["date"] = json!("2019-11-10");
    let codes = |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.code).collect::<Vec<_>>();
    assert_eq!(codes(engine.check_draft(&parse(&red), false).expect("readable")), ["FP-10-008"]);
    red["seller"]["tax_id"] = json!(other_seller().as_str());
    let told = engine.check_draft_as(&parse(&red), false, &issuer(&[other_seller()], None)).expect("readable").expect("its own seller");
    assert_eq!(codes(told), [""; 0]);
}

#[test]
fn an_administrator_acts_in_its_regions_only() {
    let in_regions = |digits: &[&str]| Caller { regions: digits.iter().map(|digits| region(digits)).collect(), ..Caller::CONSOLE };
    let code = |text: &str| InvoiceCode::parse(text).expect("a code");
    let (zhejiang, ningbo, beijing) = (code("033002000111"), code("033021900111"), code("1100193130"));
    let may = |caller: &Caller| [&zhejiang, &ningbo, &beijing].map(|code| Engine::may_act_in(caller, code));
    assert_eq!(may(&Caller::CONSOLE), [true, true, true]);
    assert_eq!(may(&in_regions(&["33"])), [true, true, false]);
    assert_eq!(may(&in_regions(&["3302"])), [false, true, false]);
    assert_eq!(may(&in_regions(&["3300"])), [true, false, false]);
    assert_eq!(may(&in_regions(&["1100", "3302"])), [false, true, true]);
    // Smaller than a bureau: no code says so much.
    assert_eq!(may(&in_regions(&["330106"])), [false, false, false]);
}

fn first_version() -> Site {
    let site = Site::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1");
    copy_tree(&fixture.join("ledger"), &site.directory());
    std::fs::copy(fixture.join("ledger.lock"), site.lock_path()).expect("copied");
    site
}

#[test]
fn a_ledger_that_never_had_the_tables_gets_them() {
    let site = first_version();
    let keyring = site.keyring();
    let examined = || fapiao::engine::fsck_at(&site.directory(), Some(&keyring), &|_, _| ()).expect("a report").findings;
    assert_eq!(examined(), [], "what an older program did not make is not missing");
    let engine = site.open().expect("opened");
    assert_eq!((engine.callers(None, 10).expect("readable"), engine.audit_entries(0, 10).expect("readable")), (Vec::new(), Vec::new()));
    let (_, token) = enrol(&engine, new_caller(Role::Issuer));
    drop(engine);
    assert_eq!(role_of(&site.open().expect("opened"), &token), Some(Role::Issuer));
    assert_eq!(examined(), []);
}

#[test]
fn a_table_that_was_there_and_is_gone_is_lost_and_not_new() {
    for table in ["caller", "audit"] {
        let site = Site::new();
        enrol(&site.create(), new_caller(Role::Issuer));
        database(&site.directory()).drop_cf(table).expect("dropped");
        match site.open() {
            Err(EngineError::Ledger(fapiao::ledger::LedgerError::Store(StoreError::TableMissing { table: missing, .. }))) => {
                assert_eq!(missing, table)
            }
            other => panic!("{table}: {other:?}"),
        }
        let keyring = site.keyring();
        let report = fapiao::engine::fsck_at(&site.directory(), Some(&keyring), &|_, _| ()).expect("a report");
        let found: Vec<String> = report.findings.iter().map(|finding| format!("{}: {}", finding.table, finding.what)).collect();
        assert_eq!(found, [format!("{table}: the table is not there")]);
    }
}

#[test]
fn the_console_enrols_lists_and_revokes() {
    let site = Site::new();
    drop(site.create());
    let run = |arguments: &[&str]| {
        let output = site.program(arguments).output().expect("run");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let key = data_encoding::HEXLOWER.encode(&SigningKey::from_seed(&[7; 32]).public());
    let (exit, added) =
        run(&["callers", "add", "--role", "issuer", "--taxpayer", seller().as_str(), "--issuer-key", &key, "--expires", "2999-01-01", "--json"]);
    let added = json(&added);
    let (caller, token) = (added["id"].as_str().expect("an id"), added["token"].as_str().expect("a token"));
    assert_eq!((exit, role_of(&site.open().expect("opened"), token)), (Some(0), Some(Role::Issuer)));

    let (exit, listed) = run(&["callers", "list", "--json"]);
    let listed = json(&listed);
    assert_eq!((exit, &listed["id"], &listed["revoked"]), (Some(0), &added["id"], &Value::Null));
    assert_eq!(listed["expires"], "2999-01-02T00:00:00+08:00", "the last day counts");
    assert_eq!((&listed["issuer_key_id"], &listed["taxpayers"]), (&added["issuer_key_id"], &json!([seller().as_str()])));

    assert_eq!(run(&["callers", "revoke", caller]).0, Some(0));
    assert_eq!(role_of(&site.open().expect("opened"), token), None);
    for wrong in [
        &["callers", "revoke", "0000000000000000"][..],
        &["callers", "revoke", "x"],
        &["callers", "add", "--role", "operator"],
        &["callers", "add", "--role", "issuer", "--taxpayer", "x"],
        &["callers", "add", "--role", "anonymous"],
    ] {
        assert_eq!(run(wrong).0, Some(2), "{wrong:?}");
    }

    let taxpayer = seller();
    let allot =
        ["allot", "add", "--taxpayer", taxpayer.as_str(), "--kind", "04", "--code", "032001900104", "--first", "00000001", "--last", "00000010"];
    assert_eq!(run(&allot).0, Some(0));
    let (_, trail) = run(&["audit", "--json"]);
    let told: Vec<Value> =
        trail.lines().map(json).map(|entry| json!([entry["number"], entry["by"], entry["act"], entry["subject"], entry["outcome"]])).collect();
    let range = format!("032001900104 00000001-00000010 {}", seller());
    assert_eq!(
        told,
        [
            json!([0, null, "caller_added", caller, "done"]),
            json!([1, null, "caller_revoked", caller, "done"]),
            json!([2, null, "allotted", range, "logged"]),
        ]
    );
    let (_, rest) = run(&["audit", "--from", "1", "--limit", "1", "--json"]);
    assert_eq!(json(&rest)["act"], "caller_revoked");
}
