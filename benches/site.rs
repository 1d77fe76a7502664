//! A ledger in a directory of its own, and invoices to put into it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fapiao::channel::json::parse_draft;
use fapiao::cli::sample;
use fapiao::crypto::keyfile::{self, KdfCost};
use fapiao::crypto::keyring::{KeyId, Keyring};
use fapiao::domain::allotment::{Allotment, NumberRange};
use fapiao::domain::kind::Kind;
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::rules::{self, Accepted, Mode, Terms};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::engine::{Config, Engine, KeyPlace, Submitted, TokenConfig, keyring_path, random};
use fapiao::issue::{self, Randomness};
use fapiao::ledger::Submission;
use rocksdb::{Cache, DB, Env, Options};
use tempfile::TempDir;
use zeroize::Zeroizing;

const PASSPHRASE: &str = "for measuring only";

/// What of it a measurement keeps: `ledger` and `ledger.lock` below a directory that goes away with this value.
pub(crate) struct Site {
    pub(crate) root: TempDir,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site { root: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    pub(crate) fn create(&self) -> Engine {
        create(&self.directory())
    }

    /// The secret keys of the ledger that was created here.
    pub(crate) fn keyring(&self) -> Keyring {
        keyfile::open(&fs::read(keyring_path(&self.directory())).expect("a key file"), PASSPHRASE).expect("the passphrase")
    }
}

pub(crate) fn noon() -> UnixMillis {
    UnixMillis(today().start().0 + 12 * 3_600_000)
}

/// The clock stands still, so that every run has the same data.
fn config(directory: &Path) -> Config {
    let noon = noon().0;
    let passphrase = Some(Zeroizing::new(PASSPHRASE.to_owned()));
    Config { kdf: KdfCost::TRIVIAL, clock: Arc::new(move || UnixMillis(noon)), ..Config::new(directory, passphrase) }
}

/// A new ledger in which [`seller`] may use every number of each kind's code.
pub(crate) fn create(directory: &Path) -> Engine {
    create_in(directory, KeyPlace::File, None)
}

/// The same with its signing keys in the file or in the token.
pub(crate) fn create_in(directory: &Path, place: KeyPlace, token: Option<TokenConfig>) -> Engine {
    let engine = Engine::create_in(place, Config { token, ..config(directory) }).expect("a new ledger");
    for kind in Kind::ALL {
        let number = |ordinal| InvoiceNumber::from_ordinal(ordinal).expect("a number");
        let range = NumberRange::new(code(kind), number(1), number(99_999_999)).expect("ordered");
        let allotted = engine.allot(Allotment { taxpayer: seller(), kind, range }).expect("an answer");
        assert!(matches!(allotted, Submitted::Logged(_)), "{allotted:?}");
    }
    engine
}

/// A ledger that was made before.
pub(crate) fn open(directory: &Path) -> Engine {
    Engine::open(config(directory)).expect("a ledger")
}

/// Issues the invoices `first..end` from two threads, many under way at once.
pub(crate) fn fill(engine: &Engine, first: u32, end: u32) {
    fill_with(engine, first, end, |nth| draft(nth).into_bytes());
}

/// The same with these drafts.
pub(crate) fn fill_with(engine: &Engine, first: u32, end: u32, draft: impl Fn(u32) -> Vec<u8> + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let draft = &draft;
            scope.spawn(move || {
                let mut waiting = VecDeque::new();
                for nth in (first + thread..end).step_by(2) {
                    let draft = parse_draft(&draft(nth)).expect("JSON");
                    waiting.push_back(engine.begin(&draft, false).expect("begun").expect("no fault"));
                    if waiting.len() > 1_024
                        && let Some(pending) = waiting.pop_front()
                    {
                        assert!(matches!(pending.wait(), Ok(Submitted::Logged(_))));
                    }
                }
                waiting.into_iter().for_each(|pending| assert!(matches!(pending.wait(), Ok(Submitted::Logged(_)))));
            });
        }
    });
}

/// Keys of no ledger.
pub(crate) fn loose_keyring() -> Keyring {
    Keyring::found([[1; 32], [2; 32], [3; 32]], (KeyId([4; 8]), [5; 32]), (KeyId([6; 8]), [7; 32])).expect("keys")
}

pub(crate) fn today() -> Day {
    Day::parse("2019-11-11").expect("a day")
}

pub(crate) fn seller() -> TaxpayerId {
    TaxpayerId::parse("91310115P12455XH31").expect("a tax id")
}

pub(crate) fn code(kind: Kind) -> InvoiceCode {
    let code = match kind {
        Kind::Special => "1100193130",
        Kind::Freight => "4400151720",
        Kind::MotorVehicle => "142001923001",
        Kind::Ordinary => "032001900104",
        Kind::Electronic => "033001900111",
        Kind::Roll => "051001900107",
    };
    InvoiceCode::parse(code).expect("a code")
}

/// Code and number of the `nth` invoice, from 0: the six kinds in turn, numbers ascending.
pub(crate) fn id(nth: u32) -> InvoiceId {
    let kinds = u32::try_from(Kind::ALL.len()).expect("six");
    let number = InvoiceNumber::from_ordinal(1 + nth / kinds).expect("a number");
    InvoiceId { code: code(kind(nth)), number }
}

pub(crate) fn kind(nth: u32) -> Kind {
    Kind::ALL[nth as usize % Kind::ALL.len()]
}

/// The `nth` invoice as an issuing system sends it.
pub(crate) fn draft(nth: u32) -> String {
    sample::draft(kind(nth), u64::from(nth), id(nth), today(), &seller())
}

/// A draft that passed every rule.
pub(crate) fn accept(draft: &str) -> Accepted {
    let draft = parse_draft(draft.as_bytes()).expect("JSON");
    rules::accept(&draft, &terms()).expect("no fault")
}

pub(crate) fn terms() -> Terms {
    Terms { today: today(), mode: Mode::Issue { days_back: 31 }, check_code: CheckCode::from_random([1, 2]), original_date: None }
}

/// An accepted invoice, encoded, hashed, signed and encrypted.
pub(crate) fn seal(accepted: &Accepted, keyring: &Keyring) -> Submission {
    issue::invoice(accepted, false, keyring, &Randomness::from_bytes(random().expect("random"))).expect("sealed")
}

/// The database of a ledger, opened as the ledger opens it, but without the ledger.
pub(crate) fn raw_database(directory: &Path, read_only: bool) -> DB {
    let path = directory.join("db");
    let env = Env::new().expect("an environment");
    let (options, families) = Options::load_latest(&path, env, false, Cache::new_lru_cache(256 << 20)).expect("options");
    let opened = if read_only {
        DB::open_cf_descriptors_read_only(&options, &path, families, false)
    } else {
        DB::open_cf_descriptors(&options, &path, families)
    };
    opened.expect("a database")
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
