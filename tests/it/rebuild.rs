//! Derived tables are made anew from leaves and seals, however they were lost, row for row.

use std::collections::BTreeMap;
use std::fs;

use fapiao::crypto::policy::Policy;
use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::Engine;
use fapiao::ledger::{DERIVED, Ledger};
use fapiao::limits::POLICY_BYTES_MAX;
use rocksdb::{DB, IteratorMode, Options};

use crate::fsck::{eventful, fill};
use crate::support::{Site, database, id, kept, logged, plain, range, submit};

/// Past the first chunk of leaves that a table is rebuilt from.
const SIZE: u64 = 4_400;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(db: &DB, table: &str) -> Rows {
    let family = db.cf_handle(table).expect("a family");
    db.iterator_cf(family, IteratorMode::Start).map(|row| row.expect("readable")).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Every table but `meta`, of a closed ledger, which stays as it is.
fn tables(site: &Site) -> BTreeMap<String, Rows> {
    let path = site.directory().join("db");
    let families = DB::list_cf(&Options::default(), &path).expect("families");
    let db = DB::open_cf_for_read_only(&Options::default(), &path, &families, false).expect("the database");
    let named = families.into_iter().filter(|name| !["default", "meta"].contains(&name.as_str()));
    named.map(|name| (name.clone(), rows(&db, &name))).collect()
}

/// The ledger goes on under another origin, so that there is a row of `reopen`.
fn reopen(site: &Site) {
    fs::remove_file(site.lock_path()).expect("removed");
    Engine::reopen(&site.config(), "a test").expect("reopened");
}

/// The log tells of a signed answer, and of this policy.
fn tell_of(engine: &Engine, policy: &str) {
    kept(engine, id(Kind::Special, 1));
    assert_eq!(engine.log_answers().expect("logged"), 1);
    engine.follow_policy(Policy::parse(policy).expect("a policy"), policy.to_owned()).expect("followed");
    assert!(engine.log_policy().expect("logged"));
}

/// Everything that can be logged, with a notice early and late.
struct Full {
    site: Site,
    /// A size in the middle, and the tables as they were then.
    half: (u64, BTreeMap<String, Rows>),
    /// As they are now.
    whole: BTreeMap<String, Rows>,
}

fn full() -> Full {
    let site = Site::new();
    let engine = eventful(&site);
    tell_of(&engine, "quorum none\n");
    drop(engine);
    reopen(&site);
    let engine = site.open().expect("opened");
    let size = engine.ledger().published().size;
    drop(engine);
    let half = (size, tables(&site));
    let engine = site.open().expect("opened");
    for number in 70..80 {
        logged(submit(&engine, &plain(Kind::Roll, number, Fen(1_000))));
    }
    logged(engine.allotment_status(range(Kind::Roll, 90, 95), Mark::Lost));
    // As long as one may be.
    tell_of(&engine, &format!("#{}\nquorum none\n", " ".repeat(POLICY_BYTES_MAX - 14)));
    fill(&site, &engine, SIZE);
    drop(engine);
    reopen(&site);
    let whole = tables(&site);
    // A log begins with its keys.
    let grows = |table: &str| table == "key" || whole[table] != half.1[table];
    assert!(DERIVED.iter().all(|table| !whole[*table].is_empty() && grows(table)), "each table has something to lose");
    Full { site, half, whole }
}

/// Opened and closed, the ledger is as it was, and nothing is left to be rebuilt.
#[track_caller]
fn is_whole(full: &Full, what: &str) {
    let engine = full.site.open().expect("opened");
    assert!(engine.ledger().may_write().is_ok(), "{what}");
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, [], "{what}");
    drop(engine);
    for (table, rows) in tables(&full.site) {
        assert!(rows == full.whole[&table], "{what}: {table} is another one");
    }
    let db = database(&full.site.directory());
    let facts: Vec<String> = rows(&db, "meta").into_keys().map(|name| String::from_utf8(name).expect("a name")).collect();
    assert_eq!(
        facts,
        ["origin", "table/answer", "table/answer_hash", "table/answer_root", "table/audit", "table/caller", "table/cosigned", "table/policy"],
        "{what}"
    );
}

#[test]
fn a_derived_table_comes_back_row_for_row() {
    let full = full();
    let directory = full.site.directory();
    for table in DERIVED {
        assert!(Ledger::rebuild(&directory.clone().into(), full.site.config().sizes, table).expect("rebuilt"));
        is_whole(&full, &format!("{table}, on request"));

        let db = database(&directory);
        for key in rows(&db, table).into_keys() {
            db.delete_cf(db.cf_handle(table).expect("a family"), key).expect("deleted");
        }
        drop(db);
        assert!(Ledger::rebuild(&directory.clone().into(), full.site.config().sizes, table).expect("rebuilt"));
        is_whole(&full, &format!("{table}, emptied"));

        database(&directory).drop_cf(table).expect("dropped");
        is_whole(&full, &format!("{table}, dropped"));

        // As after a crash half way: the rows of the first half, and how far that is.
        let half_way = |db: &DB| {
            let family = db.cf_handle(table).expect("a family");
            for key in rows(db, table).into_keys() {
                db.delete_cf(family, key).expect("deleted");
            }
            for (key, value) in &full.half.1[table] {
                db.put_cf(family, key, value).expect("written");
            }
            db.put_cf(db.cf_handle("meta").expect("meta"), format!("rebuilt/{table}"), full.half.0.to_be_bytes()).expect("written");
        };
        half_way(&database(&directory));
        is_whole(&full, &format!("{table}, half rebuilt"));

        let mut db = database(&directory);
        half_way(&db);
        db.drop_cf(table).expect("dropped");
        drop(db);
        is_whole(&full, &format!("{table}, half rebuilt and dropped"));
    }
}

#[test]
fn all_derived_tables_at_once_come_back() {
    let full = full();
    let mut db = database(&full.site.directory());
    for table in DERIVED {
        db.drop_cf(table).expect("dropped");
    }
    drop(db);
    is_whole(&full, "all of them");
}

#[test]
fn what_is_not_derived_is_not_rebuilt() {
    let site = Site::new();
    drop(site.create());
    let before = tables(&site);
    for table in ["leaf", "seal", "body", "head", "count", "meta", "nothing"] {
        assert!(!Ledger::rebuild(&site.directory().into(), site.config().sizes, table).expect("refused"), "{table}");
    }
    assert_eq!(tables(&site), before);
    let output = site.program(&["ledger", "rebuild", "--table", "inv,leaf"]).output().expect("run");
    let said = "fapiao: leaf is no derived table; these can be rebuilt: tile, inv, allot, tax, key, reopen, answer_root, policy\n";
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(2), said));
}
