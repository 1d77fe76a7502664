//! Files of a ledger damaged in every way there is: whatever is asked of it then ends in a right answer, or in a refusal that names the file. After a
//! refused opening nothing is lost: with the file as it was, everything is as it was.
//!
//! Once on a ledger that was closed, and once on one whose process was killed, with a WAL to be replayed and no inventory of its files.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fapiao::channel::{question, receipt};
use fapiao::codec::canonical;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Config, Engine, EngineError, Submitted};
use fapiao::ledger::{Sealed, StoreSizes};
use fapiao::verify::query::{Question, Typed};
use fapiao::verify::verdict::Verdict;
use serde_json::Value;

use crate::chance::Chance;
use crate::program::copied;
use crate::support::{Site, face, holder_is_told, id, log_everything, logged, plain, receipt_is_sound, signed_qr, submit, typed};

const SEEDS: u64 = 1_000;
const SEEDS_AFTER_A_KILL: u64 = 400;
/// As RocksDB writes and as disks lose them.
const PAGE: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Table,
    Wal,
    Manifest,
    Current,
    Lock,
}

const CLASSES: [Class; 5] = [Class::Table, Class::Wal, Class::Manifest, Class::Current, Class::Lock];

impl Class {
    fn of(file: &str) -> Option<Class> {
        match file {
            "ledger.lock" => Some(Class::Lock),
            "CURRENT" => Some(Class::Current),
            _ if file.ends_with(".sst") => Some(Class::Table),
            _ if file.ends_with(".log") => Some(Class::Wal),
            _ if file.starts_with("MANIFEST-") => Some(Class::Manifest),
            _ => None,
        }
    }
}

/// Name and bytes of every file of a ledger that can change: its database, the inventory, the lock record.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn of(site: &Site) -> Files {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(site.directory().join("db")).expect("a directory") {
            let entry = entry.expect("an entry");
            files.insert(entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("readable"));
        }
        for beside in ["closed", "ledger.lock"] {
            if let Ok(bytes) = fs::read(Files::path(site, beside)) {
                files.insert(beside.to_owned(), bytes);
            }
        }
        Files(files)
    }

    fn path(site: &Site, file: &str) -> std::path::PathBuf {
        match file {
            "ledger.lock" => site.lock_path(),
            "closed" => site.directory().join(file),
            _ => site.directory().join("db").join(file),
        }
    }

    /// Makes the ledger of the site this one. The directory stays the one that it is, and so the ledger goes on signing.
    fn put(&self, site: &Site) {
        let db = site.directory().join("db");
        fs::remove_dir_all(&db).expect("removed");
        fs::create_dir(&db).expect("a directory");
        for beside in ["closed", "ledger.lock"] {
            let path = Files::path(site, beside);
            if path.exists() {
                fs::remove_file(path).expect("removed");
            }
        }
        for (file, bytes) in &self.0 {
            fs::write(Files::path(site, file), bytes).expect("written");
        }
    }

    fn class(&self, class: Class) -> Vec<&String> {
        self.0.keys().filter(|file| Class::of(file) == Some(class)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    FlipBit,
    FlipBytes,
    ZeroPage,
    Truncate,
    Append,
    Delete,
    /// What it, or another file of its class, held at an earlier time.
    Older,
    /// What another file of its class holds.
    Other,
    DuplicatePage,
}

const DAMAGES: [Damage; 9] = [
    Damage::FlipBit,
    Damage::FlipBytes,
    Damage::ZeroPage,
    Damage::Truncate,
    Damage::Append,
    Damage::Delete,
    Damage::Older,
    Damage::Other,
    Damage::DuplicatePage,
];

/// What becomes of a file; `None` if it is gone. The same again if this damage changes nothing about it.
fn damaged(chance: &mut Chance, damage: Damage, file: &str, now: &Files, earlier: &[Files]) -> Option<Vec<u8>> {
    let mut bytes = now.0[file].clone();
    if bytes.is_empty() && !matches!(damage, Damage::Append | Damage::Delete | Damage::Older | Damage::Other) {
        return Some(bytes);
    }
    let length = bytes.len();
    match damage {
        Damage::FlipBit => bytes[chance.below(length)] ^= 1 << chance.below(8),
        Damage::FlipBytes => {
            let from = chance.below(length);
            let to = length.min(from + 1 + chance.below(64));
            bytes[from..to].iter_mut().for_each(|byte| *byte = !*byte);
        }
        Damage::ZeroPage => {
            let from = chance.below(length) / PAGE * PAGE;
            bytes[from..length.min(from + PAGE)].fill(0);
        }
        Damage::Truncate => bytes.truncate(chance.below(length)),
        Damage::Append => bytes.extend((0..1 + chance.below(200)).map(|_| chance.next().to_be_bytes()[0])),
        Damage::Delete => return None,
        Damage::Older | Damage::Other => {
            let class = Class::of(file).expect("of a class");
            let here = [now.clone()];
            let from = if damage == Damage::Other { &here[..] } else { earlier };
            let others: Vec<&Vec<u8>> = from
                .iter()
                .flat_map(|files| files.class(class).into_iter().map(|other| (other, &files.0[other])))
                .filter(|(other, held)| (damage == Damage::Older || *other != file) && **held != bytes)
                .map(|(_, held)| held)
                .collect();
            if !others.is_empty() {
                return Some((*chance.pick(&others)).clone());
            }
        }
        Damage::DuplicatePage => {
            let from = chance.below(length) / PAGE * PAGE;
            let page = bytes[from..length.min(from + PAGE)].to_vec();
            // Over the page that follows, or, where none does, behind the last one.
            let to = length.min(from + PAGE);
            let end = length.min(to + page.len());
            bytes.splice(to..end, page);
        }
    }
    Some(bytes)
}

/// Everything that can be asked, and the right answers.
struct Right {
    size: u64,
    questions: Vec<(Question, String)>,
    receipts: Vec<String>,
    roots: Vec<(u64, String)>,
    /// Of the oldest and the newest checkpoint with leaves.
    consistency: Vec<[u8; 32]>,
    fsck: String,
    /// A draft that is in the log and where.
    known: (Value, u64),
}

/// About every invoice in the log, as its holder asks and as a guesser does, and about numbers that were never issued.
fn questions(engine: &Engine) -> Vec<Question> {
    let mut questions = Vec::new();
    for index in 0..engine.ledger().published().size {
        if let Sealed::Invoice { face, .. } = engine.ledger().receipt(index).expect("readable").expect("published").sealed {
            let face = canonical::decode_face(&face).expect("a face");
            questions.push(typed(&face).question());
            if index.is_multiple_of(4) {
                questions.push(question::of_qr(&signed_qr(engine, face.id)));
            }
            let another_day = Typed { date: Some("2019-01-01".to_owned()), ..typed(&face) };
            questions.push(another_day.question());
        }
    }
    // Never issued, lost, void as a blank.
    for number in [90_000, 21, 52] {
        let mut blank = typed(&face(engine, id(Kind::Ordinary, 1)));
        blank.number = id(Kind::Ordinary, number).number.to_string();
        questions.push(blank.question());
    }
    questions
}

fn known(number: u32) -> Value {
    plain(Kind::Electronic, number, Fen(i64::from(number)))
}

impl Right {
    /// Remembers what a sound ledger says.
    fn of(site: &Site) -> Right {
        let engine = open(site).expect("sound");
        let published = engine.ledger().published();
        let questions = questions(&engine);
        drop(engine);
        let engine = open(site).expect("sound");
        let answers = questions.into_iter().map(|question| {
            let answer = format!("{:?}", engine.verify(&question).expect("an answer"));
            (question, answer)
        });
        let questions = answers.collect();
        let receipts =
            (0..published.size).map(|index| receipt::to_json(&engine.receipt(index).expect("readable").expect("published")).to_string()).collect();
        let roots: Vec<(u64, String)> = engine.ledger().checkpoints().collect::<Result<_, _>>().expect("readable");
        let consistency = engine.ledger().consistency(roots[1].0, published.size).expect("a proof");
        let fsck = engine.fsck(&|_, _| ()).expect("a report");
        assert_eq!(fsck.findings, []);
        let index = logged(submit(&engine, &known(150))).index;
        Right { size: published.size, questions, receipts, roots, consistency, fsck: format!("{fsck:?}"), known: (known(150), index) }
    }
}

fn open(site: &Site) -> Result<Engine, EngineError> {
    Engine::open(Config { sizes: StoreSizes { block_cache: 4 << 20, wal: 16 << 20 }, ..site.config() })
}

/// How a trial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    RefusedToOpen,
    /// Some of them.
    RefusedAnswers,
    RefusedToSign,
    AllRight,
}

/// Asks a ledger with a damaged file.
struct Trial<'a> {
    right: &'a Right,
    file: &'a str,
    behind: bool,
    refused: usize,
}

impl Trial<'_> {
    fn refusal(&mut self, what: &str, reason: &dyn Display) -> Result<(), String> {
        self.refused += 1;
        let reason = reason.to_string();
        if reason.contains(self.file) { Ok(()) } else { Err(format!("UNNAMED {what}: {reason}")) }
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, got: Result<T, impl Display>, right: &T) -> Result<(), String> {
        match got {
            Ok(got) if got == *right => Ok(()),
            Ok(got) => Err(format!("WRONG {what}: {got:?} for {right:?}").chars().take(600).collect()),
            Err(error) => self.refusal(what, &error),
        }
    }

    fn ask(&mut self, engine: &Engine) -> Result<(), String> {
        let right = self.right;
        for (question, answer) in &right.questions {
            match engine.verify(question) {
                Ok(got) if got.verdict == Verdict::NotYet && self.behind => {}
                got => self.compare("answer", got.map(|got| format!("{got:?}")), answer)?,
            }
        }
        let size = engine.ledger().published().size;
        if size != right.size && !self.behind {
            return Err(format!("WRONG size: {size} for {}", right.size));
        }
        for (index, receipt) in (0..size).zip(&right.receipts).step_by(2) {
            let got = engine.receipt(index).map(|full| full.map(|full| receipt::to_json(&full).to_string()));
            self.compare("receipt", got, &Some(receipt.clone()))?;
        }
        for (at, note) in right.roots.iter().filter(|(at, _)| *at <= size) {
            self.compare("checkpoint", engine.ledger().checkpoint_at(*at), &Some(note.clone()))?;
        }
        if size == right.size {
            self.compare("consistency", engine.ledger().consistency(right.roots[1].0, size), &right.consistency)?;
        }
        match engine.fsck(&|_, _| ()) {
            // What it finds is what it is for.
            Ok(report) if !report.findings.is_empty() => {
                self.refused += 1;
                Ok(())
            }
            Ok(_) if self.behind => Ok(()),
            got => self.compare("fsck", got.map(|report| format!("{report:?}")), &right.fsck),
        }
    }

    /// Whether it signs, on what it knows.
    fn sign(&mut self, engine: &Engine) -> Result<bool, String> {
        let (draft, index) = &self.right.known;
        match submit(engine, draft) {
            Ok(Submitted::Logged(again)) if (again.index, again.repeated) == (*index, true) => {}
            Ok(other) => return Err(format!("WRONG repeat: {other:?}")),
            Err(error) => self.refusal("repeat", &error)?,
        }
        let fresh = id(Kind::Freight, 900);
        match submit(engine, &plain(Kind::Freight, 900, Fen(90_000))) {
            Ok(Submitted::Logged(logged)) if !self.behind && (logged.index, logged.repeated) == (self.right.size, false) => {
                match engine.receipt(logged.index) {
                    Ok(Some(full)) => {
                        receipt_is_sound(engine, &full);
                        if holder_is_told(engine, fresh) != Verdict::Genuine {
                            return Err("WRONG: what was just issued is not genuine".to_owned());
                        }
                    }
                    Ok(None) => return Err("WRONG: what was just issued has no receipt".to_owned()),
                    Err(error) => self.refusal("new receipt", &error)?,
                }
                Ok(true)
            }
            Ok(other) => Err(format!("WRONG: signed: {other:?}")),
            Err(error) => self.refusal("signing", &error).map(|()| false),
        }
    }
}

/// With the file as it was, the ledger is as it was.
fn put_back(site: &Site, files: &Files, right: &Right, file: &str, thorough: bool) -> Result<(), String> {
    fs::write(Files::path(site, file), &files.0[file]).expect("written");
    let engine = open(site).map_err(|error| format!("DESTROYED: with the file put back: {error}"))?;
    let (published, newest) = (engine.ledger().published(), right.roots.last().expect("a checkpoint"));
    if (published.size, &published.note) != (newest.0, &newest.1) || engine.ledger().obstacle().is_some() {
        return Err(format!("DESTROYED: {published:?}, {:?}", engine.ledger().obstacle()));
    }
    if thorough {
        let mut trial = Trial { right, file: "no file", behind: false, refused: 0 };
        trial.ask(&engine).map_err(|wrong| format!("DESTROYED: {wrong}"))?;
    }
    Ok(())
}

/// Damages one file of the ledger and asks it everything.
fn try_one(site: &Site, files: &Files, right: &Right, file: &str, to: Option<&[u8]>, thorough: bool) -> Result<Outcome, String> {
    files.put(site);
    let path = Files::path(site, file);
    match to {
        Some(bytes) => fs::write(&path, bytes).expect("written"),
        None => fs::remove_file(&path).expect("removed"),
    }
    let mut trial = Trial { right, file, behind: false, refused: 0 };
    let engine = match open(site) {
        Ok(engine) => engine,
        Err(error) => {
            trial.refusal("opening", &error)?;
            put_back(site, files, right, file, thorough)?;
            return Ok(Outcome::RefusedToOpen);
        }
    };
    trial.behind = engine.ledger().is_behind();
    if trial.behind {
        // The lock record is what tells.
        trial.file = "ledger.lock";
    }
    trial.ask(&engine)?;
    let answers = trial.refused;
    let signs = trial.sign(&engine)?;
    if trial.behind {
        drop(engine);
        put_back(site, files, right, file, thorough)?;
    }
    Ok(match (answers, signs) {
        (0, true) => Outcome::AllRight,
        (0, false) => Outcome::RefusedToSign,
        (_, _) => Outcome::RefusedAnswers,
    })
}

/// Tries seed after seed on two threads, each with a directory of its own in which the ledger may sign. Prints how often what came out.
fn try_all(site: &Site, files: &Files, earlier: &[Files], right: &Right, seeds: u64, classes: &[Class]) {
    let (next, counts, failures) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let here = copied(site);
                Engine::adopt(&here.config()).expect("adopted");
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds {
                        return;
                    }
                    let mut chance = Chance(seed);
                    let class = classes[usize::try_from(seed).expect("few") % classes.len()];
                    let (file, damage, to) = loop {
                        let (file, damage) = (*chance.pick(&files.class(class)), *chance.pick(&DAMAGES));
                        let to = damaged(&mut chance, damage, file, files, earlier);
                        if to.as_deref() != Some(&files.0[file]) {
                            break (file, damage, to);
                        }
                    };
                    let what = format!("seed {seed}: {damage:?} of {file}");
                    // A process that aborts dies with this as its last words.
                    println!("{what}");
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        try_one(&here, files, right, file, to.as_deref(), seed.is_multiple_of(4))
                    }));
                    match outcome.unwrap_or_else(|_| Err("PANIC".to_owned())) {
                        Ok(outcome) => *counts.lock().expect("no panic").entry((class, outcome)).or_insert(0u32) += 1,
                        Err(failure) => failures.lock().expect("no panic").push(format!("{what}: {failure}")),
                    }
                }
            });
        }
    });
    for ((class, outcome), count) in counts.into_inner().expect("no panic") {
        println!("{class:?} {outcome:?}: {count}");
    }
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{} of {seeds}:\n{}", failures.len(), failures.join("\n"));
}

/// A ledger with everything there is, several tables and full tiles. Says what its files held at earlier times.
fn build(site: &Site) -> (Engine, Vec<Files>) {
    log_everything(&site.create());
    let mut earlier = vec![Files::of(site)];
    let mut numbers = 301..;
    let mut engine = open(site).expect("opened");
    for (round, count) in [(0, 20), (1, 10), (2, 10), (3, 10)] {
        for number in numbers.by_ref().take(count) {
            logged(submit(&engine, &known(number)));
        }
        logged(submit(&engine, &plain(Kind::Roll, 80 + round, Fen(800))));
        logged(engine.void(id(Kind::Roll, 80 + round), None));
        for kind in Kind::ALL {
            engine.verify(&question::of_qr(&signed_qr(&engine, id(kind, 1)))).expect("an answer");
        }
        if round == 1 {
            engine.ledger().compact().expect("compacted");
        }
        drop(engine);
        earlier.push(Files::of(site));
        engine = open(site).expect("reopened");
    }
    (engine, earlier)
}

#[test]
fn a_damaged_file_of_a_closed_ledger_is_named_or_does_no_harm() {
    let site = Site::new();
    let (engine, mut earlier) = build(&site);
    drop(engine);
    let files = Files::of(&site);
    let right = Right::of(&site);
    files.put(&site);
    assert!(right.size > 256 && files.class(Class::Table).len() > 20, "{} leaves, {} tables", right.size, files.class(Class::Table).len());
    earlier.pop();
    try_all(&site, &files, &earlier, &right, SEEDS, &CLASSES);
}

#[test]
fn a_damaged_file_of_a_killed_ledger_is_named_or_does_no_harm() {
    let site = Site::new();
    let (engine, _) = build(&site);
    let mut earlier = Vec::new();
    for number in 700..760 {
        logged(submit(&engine, &known(number)));
        if number % 20 == 10 {
            earlier.push(Files::of(&site));
            if number == 710 {
                // From here on the manifest has more than it began with.
                engine.ledger().compact().expect("compacted");
            }
        }
    }
    // What a kill leaves is what is there now: everything was written, and nothing was closed.
    let files = Files::of(&site);
    drop(engine);
    files.put(&site);
    let right = Right::of(&site);
    files.put(&site);
    assert!(!files.0.contains_key("closed") && files.class(Class::Wal).iter().any(|file| files.0[*file].len() > 30_000));
    try_all(&site, &files, &earlier, &right, SEEDS_AFTER_A_KILL, &[Class::Wal, Class::Manifest, Class::Current, Class::Lock]);
}
