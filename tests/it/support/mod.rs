//! The one scaffolding: a ledger in a directory of its own with a clock that the test sets, drafts, and questions about what was issued.

pub(crate) mod http;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fapiao::channel::json::parse_draft;
use fapiao::channel::{qr, question, receipt};
use fapiao::cli::sample;
use fapiao::codec::canonical;
use fapiao::codec::event::Algorithm;
use fapiao::crypto::keyfile::{self, KdfCost};
use fapiao::crypto::keyring::{Enrolled, Keyring, Role};
use fapiao::crypto::sign::{Key, SigningKey};
use fapiao::crypto::{hash, merkle};
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::caller::{Caller, Role as CallerRole};
use fapiao::domain::invoice::Face;
use fapiao::domain::kind::{Factor, Kind};
use fapiao::domain::money::{Fen, TaxRate};
use fapiao::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::engine::{Config, Engine, EngineError, FullReceipt, Logged, SignedAnswer, Submitted, keyring_path};
use fapiao::ledger::{Observer, Refusal, Sealed, StoreSizes};
use fapiao::verify::query::{Question, Typed};
use fapiao::verify::quota::Policies;
use fapiao::verify::verdict::Verdict;
use rocksdb::{DB, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// A place for one ledger: `ledger` and `ledger.lock` in a directory that goes away with this value.
pub(crate) struct Site {
    root: TempDir,
    clock: Arc<AtomicU64>,
    /// How old a new invoice's date may be.
    pub(crate) days_back: u32,
    /// What programs find in their environment.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    /// Told of commits.
    pub(crate) observer: Option<Observer>,
}

impl Site {
    /// An empty place; it is noon of [`today`].
    pub(crate) fn new() -> Site {
        Site::at(tempfile::tempdir().expect("a directory"))
    }

    /// An empty place in this directory.
    pub(crate) fn at(root: TempDir) -> Site {
        let noon = today().start().0 + 12 * 3_600_000;
        Site { root, clock: Arc::new(AtomicU64::new(noon)), days_back: 31, environment: Vec::new(), observer: None }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.root.path().join("ledger.lock")
    }

    /// A file beside the ledger.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The program with these arguments on the ledger that was created here, its keys opened. It has the time from the system.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let passphrase = self.file("passphrase");
        fs::write(&passphrase, PASSPHRASE).expect("writable");
        let mut command = program(arguments);
        command.arg("--data").arg(self.directory()).arg("--passphrase-file").arg(passphrase);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.load(Ordering::SeqCst))
    }

    pub(crate) fn set_now(&self, now: UnixMillis) {
        self.clock.store(now.0, Ordering::SeqCst);
    }

    pub(crate) fn config(&self) -> Config {
        let clock = Arc::clone(&self.clock);
        Config {
            directory: self.directory(),
            passphrase: Some(Zeroizing::new(PASSPHRASE.to_owned())),
            token: None,
            host: "fapiao.example".to_owned(),
            sizes: StoreSizes { block_cache: 8 << 20, wal: 64 << 20 },
            kdf: KdfCost::TRIVIAL,
            days_back: self.days_back,
            answers_interval_ms: 3_600_000,
            quotas: Policies::STANDARD,
            observer: self.observer.clone(),
            clock: Arc::new(move || UnixMillis(clock.load(Ordering::SeqCst))),
        }
    }

    pub(crate) fn create(&self) -> Engine {
        Engine::create(self.config()).expect("a new ledger")
    }

    pub(crate) fn open(&self) -> Result<Engine, EngineError> {
        Engine::open(self.config())
    }

    /// Opens without the secret keys.
    pub(crate) fn open_locked(&self) -> Result<Engine, EngineError> {
        Engine::open(Config { passphrase: None, ..self.config() })
    }

    /// The secret keys of the ledger that was created here.
    pub(crate) fn keyring(&self) -> Keyring {
        keyfile::open(&fs::read(keyring_path(&self.directory())).expect("a key file"), PASSPHRASE).expect("the passphrase")
    }
}

/// The bytes of a signing key that lies in the file.
pub(crate) fn of_file(key: &Key) -> SigningKey {
    match key {
        Key::File(key) => key.clone(),
        Key::Token(key, _) => panic!("{key:?} is in a token"),
    }
}

/// The program with these arguments.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fapiao"));
    command.args(arguments).env_remove("FAPIAO_PASSPHRASE_FILE").env_remove("FAPIAO_TOKEN");
    command.env_remove("FAPIAO_PKCS11_MODULE").env_remove("FAPIAO_PKCS11_TOKEN").env_remove("FAPIAO_PIN_FILE");
    command
}

/// The day on which most tests happen.
pub(crate) fn today() -> Day {
    day("2019-11-11")
}

pub(crate) fn day(text: &str) -> Day {
    Day::parse(text).expect("a day")
}

pub(crate) fn seller() -> TaxpayerId {
    TaxpayerId::parse("91310115P12455XH31").expect("a tax id")
}

pub(crate) fn other_seller() -> TaxpayerId {
    TaxpayerId::parse("91330204MA2ADG7N7X").expect("a tax id")
}

/// A code of this type.
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

pub(crate) fn id(kind: Kind, number: u32) -> InvoiceId {
    InvoiceId { code: code(kind), number: InvoiceNumber::from_ordinal(number).expect("a number") }
}

pub(crate) fn range(kind: Kind, first: u32, last: u32) -> NumberRange {
    NumberRange::new(code(kind), id(kind, first).number, id(kind, last).number).expect("ordered")
}

pub(crate) fn allotment(kind: Kind, taxpayer: TaxpayerId, first: u32, last: u32) -> Allotment {
    Allotment { taxpayer, kind, range: range(kind, first, last) }
}

/// Gives [`seller`] the numbers 1 to 99,999 of every type.
pub(crate) fn allot_all(engine: &Engine) {
    for kind in Kind::ALL {
        logged(engine.allot(allotment(kind, seller(), 1, 99_999)));
    }
}

/// Every event that an open ledger can log, in all six types, and a full tile of them. The frozen ledger begins with it.
pub(crate) fn log_everything(engine: &Engine) {
    allot_all(engine);
    for kind in Kind::ALL {
        let original = plain(kind, 1, Fen(100_000));
        logged(submit(engine, &original));
        logged(submit(engine, &generated(kind, 5, 2)));
        logged(submit(engine, &red(&original, 3, Fen(40_000), tax(kind, Fen(40_000)))));
        logged(engine.status(id(kind, 2), Mark::Abnormal));
        logged(submit(engine, &generated(kind, 6, 4)));
        if kind.profile().paper {
            logged(engine.void(id(kind, 4), Some(seller())));
        }
        logged(engine.allotment_status(range(kind, 20, 29), Mark::Lost));
        logged(engine.allotment_status(range(kind, 25, 40), Mark::Lifted));
        logged(engine.allotment_status(range(kind, 50, 59), Mark::BlankVoid));
        for (number, state) in [(11, "normal"), (12, "voided"), (13, "red_flushed"), (14, "abnormal")] {
            let mut historic = plain(kind, number, Fen(50_000));
            historic["state"] = json!(state);
            if kind.profile().has_check_code {
                historic["check_code"] = json!("20930011785541236098");
            }
            logged(import(engine, &historic));
        }
    }
    for number in 100..=300 {
        logged(submit(engine, &plain(Kind::Electronic, number, Fen(i64::from(number)))));
    }
}

/// A generated draft of [`seller`], dated [`today`].
pub(crate) fn generated(kind: Kind, seed: u64, number: u32) -> Value {
    serde_json::from_str(&sample::draft(kind, seed, id(kind, number), today(), &seller())).expect("JSON")
}

/// A draft over `amount` at one rate: what [`red`] can take back in parts.
pub(crate) fn plain(kind: Kind, number: u32, amount: Fen) -> Value {
    with_sums(generated(kind, u64::from(number), number), kind, amount, tax(kind, amount))
}

/// The tax on an amount of a [`plain`] draft.
pub(crate) fn tax(kind: Kind, amount: Fen) -> Fen {
    amount.tax_at(TaxRate::parse(rate(kind)).expect("a rate"))
}

/// A red-letter draft that takes this much of a [`plain`] draft back; both are given as positive amounts.
pub(crate) fn red(original: &Value, number: u32, amount: Fen, tax: Fen) -> Value {
    let kind = Kind::from_code(original["kind"].as_str().expect("a kind")).expect("a kind");
    let mut draft = with_sums(original.clone(), kind, -amount, -tax);
    let (original_code, original_number) = (text(original, "code"), text(original, "number"));
    let of = format!("对应正数发票代码:{original_code}号码:{original_number}");
    let (notice, remark) = match kind {
        Kind::Special => (Some("1101081909031234"), "开具红字增值税专用发票信息表编号1101081909031234"),
        Kind::Freight => (Some("1101081909031234"), "开具红字货物运输业增值税专用发票信息表编号1101081909031234"),
        Kind::MotorVehicle | Kind::Ordinary | Kind::Electronic | Kind::Roll => (None, of.as_str()),
    };
    draft["number"] = json!(id(kind, number).number.to_string());
    draft["remark"] = json!(remark);
    draft["red"] = json!({ "original_code": original_code, "original_number": original_number, "reason": "1" });
    if let Some(notice) = notice {
        draft["red"]["notice_number"] = json!(notice);
    }
    if kind == Kind::MotorVehicle {
        draft["printed_number"] = draft["number"].clone();
    }
    draft.as_object_mut().expect("an object").remove("check_code");
    draft
}

fn rate(kind: Kind) -> &'static str {
    match kind {
        Kind::Freight => "0.09",
        Kind::Special | Kind::MotorVehicle | Kind::Ordinary | Kind::Electronic | Kind::Roll => "0.13",
    }
}

fn with_sums(mut draft: Value, kind: Kind, amount: Fen, tax: Fen) -> Value {
    let [amount, tax, total] = [amount, tax, amount + tax].map(|sum| sum.to_string());
    match kind {
        Kind::Special | Kind::Ordinary | Kind::Electronic => {
            draft["lines"] = json!([{ "name": "*纸制品*A4 复印纸", "amount": amount, "rate": rate(kind), "tax": tax }]);
        }
        Kind::Roll => draft["lines"] = json!([{ "name": "复印纸", "gross": total, "amount": amount, "rate": rate(kind), "tax": tax }]),
        Kind::Freight => draft["fees"] = json!([{ "item": "运费", "amount": amount }]),
        Kind::MotorVehicle => {}
    }
    for (name, sum) in [("amount", amount), ("tax", tax), ("total", total)] {
        draft[name] = json!(sum);
    }
    draft.as_object_mut().expect("an object").remove("total_upper");
    draft
}

/// A member of a draft.
pub(crate) fn text<'a>(draft: &'a Value, member: &str) -> &'a str {
    draft[member].as_str().expect("a text")
}

/// A draft of `fixtures/drafts`, by its file's name without `.json`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/drafts").join(name).with_extension("json");
    serde_json::from_slice(&fs::read(path).expect("a fixture")).expect("JSON")
}

/// Issues a draft.
pub(crate) fn submit(engine: &Engine, draft: &Value) -> Result<Submitted, EngineError> {
    engine.submit(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false)
}

/// Imports a draft.
pub(crate) fn import(engine: &Engine, draft: &Value) -> Result<Submitted, EngineError> {
    engine.submit(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), true)
}

/// An issuer without a token, which the engine need not know.
pub(crate) fn issuer(taxpayers: &[TaxpayerId], key: Option<&SigningKey>) -> Caller {
    Caller { id: None, role: CallerRole::Issuer, taxpayers: taxpayers.to_vec(), regions: Vec::new(), issuer_key: key.map(SigningKey::public) }
}

/// Issues a draft as this caller.
pub(crate) fn submit_as(engine: &Engine, draft: &Value, caller: &Caller) -> Result<Submitted, EngineError> {
    match engine.begin_as(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false, caller)? {
        Ok(pending) => pending.wait(),
        Err(answered) => Ok(answered),
    }
}

/// The draft with its issuer's signature.
pub(crate) fn signed(engine: &Engine, draft: &Value, key: &SigningKey) -> Value {
    let message = engine.submission_message(&parse_draft(draft.to_string().as_bytes()).expect("JSON"), false);
    let signature = key.sign(&message.expect("readable").expect("without a fault"));
    let key_id = hash::key_id(Algorithm::Ed25519, Role::Issuer, &key.public());
    let mut draft = draft.clone();
    draft["issuer"] = json!({ "key_id": key_id.to_string(), "signature": data_encoding::HEXLOWER.encode(&signature) });
    draft
}

/// What is in the log now.
#[track_caller]
pub(crate) fn logged(outcome: Result<Submitted, EngineError>) -> Logged {
    match outcome {
        Ok(Submitted::Logged(logged)) => logged,
        other => panic!("not logged: {other:?}"),
    }
}

/// Why it is not in the log.
#[track_caller]
pub(crate) fn refused(outcome: Result<Submitted, EngineError>) -> Refusal {
    match outcome {
        Ok(Submitted::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The receipt as it is handed out.
pub(crate) fn receipt(engine: &Engine, index: u64) -> String {
    receipt::to_json(&engine.receipt(index).expect("readable").expect("published")).to_string()
}

/// The registered face.
pub(crate) fn face(engine: &Engine, id: InvoiceId) -> Face {
    canonical::decode_face(&engine.ledger().look_up(id).expect("readable").1.expect("issued").face).expect("a face")
}

/// What a person types who holds the paper: code, number, date and the factor of its type.
pub(crate) fn typed(face: &Face) -> Typed {
    let (amount, check) = match face.kind.profile().factor {
        Factor::Amount => (Some(face.totals.amount.to_string()), None),
        Factor::CheckCode => (None, face.check_code.map(|check| check.last_six())),
    };
    Typed { code: face.id.code.to_string(), number: face.id.number.to_string(), date: Some(face.date.to_string()), amount, check, ..Typed::default() }
}

/// The text of the signed QR code of a registered invoice.
pub(crate) fn signed_qr(engine: &Engine, id: InvoiceId) -> String {
    let index = engine.ledger().look_up(id).expect("readable").1.expect("issued").index;
    let receipt = engine.ledger().receipt(index).expect("readable").expect("published");
    match receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => qr::print_signed(engine.host(), receipt.leaf.key_id, &face, &rest_digest, &signature),
        Sealed::Event { .. } => panic!("{id} is an event"),
    }
}

/// The text of the classic QR code of a registered invoice, if its type prints one.
pub(crate) fn classic_qr(engine: &Engine, id: InvoiceId) -> Option<String> {
    qr::print_classic(&face(engine, id))
}

/// What the ledger says to a question.
pub(crate) fn verdict(engine: &Engine, question: &Question) -> Verdict {
    engine.verify(question).expect("an answer").verdict
}

/// What the ledger says to the text of a QR code.
pub(crate) fn scan(engine: &Engine, text: &str) -> Verdict {
    verdict(engine, &question::of_qr(text))
}

/// What the ledger says to whoever holds the paper: typed, by the signed and by the classic QR code, all of which must agree.
#[track_caller]
pub(crate) fn holder_is_told(engine: &Engine, id: InvoiceId) -> Verdict {
    let by_fields = verdict(engine, &typed(&face(engine, id)).question());
    assert_eq!(scan(engine, &signed_qr(engine, id)), by_fields, "signed QR of {id}");
    if let Some(classic) = classic_qr(engine, id) {
        assert_eq!(scan(engine, &classic), by_fields, "classic QR of {id}");
    }
    by_fields
}

/// A signed answer about an invoice that is there.
pub(crate) fn kept(engine: &Engine, id: InvoiceId) -> SignedAnswer {
    let question = typed(&face(engine, id)).question();
    let answer = engine.verify(&question).expect("an answer");
    engine.sign_answer(&question, &answer).expect("signed")
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("written");
}

/// The database of a closed ledger, past the ledger.
pub(crate) fn database(directory: &Path) -> DB {
    let path = directory.join("db");
    // What is changed behind its back is to be found by looking at the rows.
    if directory.join("closed").exists() {
        fs::remove_file(directory.join("closed")).expect("removed");
    }
    let families = DB::list_cf(&Options::default(), &path).expect("families");
    DB::open_cf(&Options::default(), &path, families).expect("the database")
}

/// The files that hold a table's rows, in a closed ledger, which stays as it is.
pub(crate) fn table_files(directory: &Path, table: &str) -> Vec<PathBuf> {
    let path = directory.join("db");
    let families = DB::list_cf(&Options::default(), &path).expect("families");
    let db = DB::open_cf_for_read_only(&Options::default(), &path, families, false).expect("the database");
    let files = db.live_files().expect("files").into_iter().filter(|file| file.column_family_name == table);
    files.map(|file| path.join(file.name.trim_start_matches('/'))).collect()
}

/// Every file below a directory, by its path, but RocksDB's empty `LOCK`: to close it would give the lock of this process up.
pub(crate) fn tree_bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            files.append(&mut tree_bytes(&entry.path()));
        } else if entry.file_name() != "LOCK" {
            match fs::read(entry.path()) {
                Ok(bytes) => drop(files.insert(entry.path(), bytes)),
                // A running program removes files of its own.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", entry.path().display()),
            }
        }
    }
    files
}

/// Checks a receipt as a stranger would, with the public keys alone; the content too, if it is at hand.
pub(crate) fn receipt_is_sound(engine: &Engine, full: &FullReceipt) {
    let FullReceipt { receipt, salt } = full;
    let keys = engine.ledger().keys();
    let sound = Enrolled::is_sound_of_size;
    let checkpoint = keys.open_checkpoint(&receipt.note, engine.ledger().origin(), sound).expect("signed");
    assert_eq!(checkpoint.size, receipt.size);
    let leaf_hash = merkle::leaf_hash(&receipt.leaf.encode());
    assert!(merkle::verify_inclusion(&leaf_hash, receipt.index, checkpoint.size, &receipt.path, &checkpoint.root));

    let salt = salt.expect("the data key is at hand");
    let (message, commit, signature) = match &receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => {
            let id = canonical::decode_face(face).expect("a face").id;
            let (invoice, issuer) = engine.signed_invoice(id).expect("readable").expect("not erased");
            let rest = canonical::encode_rest(&invoice, issuer.as_ref());
            assert_eq!(hash::rest_digest(&salt, &rest), *rest_digest);
            (hash::invoice_message(face, rest_digest), hash::commit(face, rest_digest), signature)
        }
        Sealed::Event { salt, data, signature } => {
            let event = receipt.leaf.event;
            (hash::event_message(event, salt, data), hash::event_commit(event, salt, data), signature)
        }
    };
    assert_eq!(receipt.leaf.commit, commit);
    let signer = keys.get(receipt.leaf.key_id).expect("a key of the log");
    assert!(signer.record.role() == Role::Authority && signer.key.verify(&message, signature));
}
