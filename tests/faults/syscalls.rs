//! No answer leaves the process before the frame is in the synced WAL and its checkpoint durably in the lock record: read off the system calls of
//! the program under load, as strace writes them down. The same reading finds each planted bug that breaks the order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Running, draft_line, issue};
use crate::support::{Site, allot_all};

/// A system call that succeeded: the lines at which it began and was done, from 0.
struct Call {
    begun: usize,
    done: usize,
    name: String,
    arguments: String,
}

/// What strace wrote, call by call in the order in which they began. Calls of several threads overlap: strace then writes the beginning and the end of
/// one on lines of their own.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap_or_else(|| panic!("line {at}: {line}"));
        let text = text.trim_start();
        if text.starts_with("+++") || text.starts_with("---") {
            continue;
        }
        if let Some(beginning) = text.strip_suffix("<unfinished ...>") {
            open.insert(thread, (at, beginning.trim_end().to_owned()));
            continue;
        }
        let (begun, whole) = match text.strip_prefix("<... ") {
            Some(end) => {
                let (begun, beginning) = open.remove(thread).unwrap_or_else(|| panic!("line {at} resumes nothing"));
                (begun, beginning + end.split_once(" resumed>").expect("resumed").1)
            }
            None => (at, text.to_owned()),
        };
        let (call, result) = whole.rsplit_once(" = ").unwrap_or_else(|| panic!("line {at}: {line}"));
        let (name, arguments) = call.split_once('(').unwrap_or_else(|| panic!("line {at}: {line}"));
        if !result.starts_with(['-', '?']) {
            calls.push(Call { begun, done: at, name: name.to_owned(), arguments: arguments.to_owned() });
        }
    }
    calls.sort_by_key(|call| call.begun);
    calls
}

impl Call {
    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync")
    }

    /// Of a call on a descriptor: its number and what it was opened as.
    fn descriptor(&self) -> Option<(&str, &str)> {
        let (number, rest) = self.arguments.split_once('<')?;
        Some((number, rest.split_once('>')?.0))
    }

    fn is_on(&self, path: &str) -> bool {
        self.descriptor().is_some_and(|(_, opened)| opened == path)
    }

    /// The bytes that were written.
    fn bytes(&self) -> Vec<u8> {
        assert_eq!(self.name, "write", "of all ways to write, the program uses this one");
        let text = self.arguments.split_once('"').expect("a string").1;
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes().peekable();
        loop {
            match rest.next().expect("the string ends") {
                b'"' => break,
                b'\\' => bytes.push(match rest.next().expect("escaped") {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'v' => 0x0b,
                    b'f' => 0x0c,
                    digit @ b'0'..=b'7' => {
                        let mut value = digit - b'0';
                        for _ in 0..2 {
                            if let Some(next) = rest.next_if(|next| matches!(next, b'0'..=b'7')) {
                                value = value * 8 + (next - b'0');
                            }
                        }
                        value
                    }
                    other => other,
                }),
                plain => bytes.push(plain),
            }
        }
        let written = String::from_utf8(rest.collect()).expect("text");
        assert_eq!(written.trim_matches([',', ' ', ')']), bytes.len().to_string(), "strace shows all that is written");
        bytes
    }
}

/// How the order is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Violation {
    /// A checkpoint went into the lock record while bytes of the WAL were not synced.
    WalNotSynced,
    /// A checkpoint went into the lock record whose frame was not in the synced WAL.
    FrameNotInWal,
    /// The lock record was not synced, renamed and its directory synced before the next one.
    LockNotDurable,
    /// A draft was answered with no durable lock record that covers it.
    AnsweredEarly,
}

struct Reading {
    violations: BTreeMap<Violation, usize>,
    answers: usize,
    locks: usize,
    wal_bytes: usize,
}

/// Reads the trace of a run on the ledger in `directory`, which had this many leaves before.
fn read(trace: &str, directory: &Path, before: u64) -> Reading {
    let calls = calls(trace);
    let (wal, lock) = (format!("{}/db/", directory.display()), format!("{}.lock", directory.display()));
    let (new, parent) = (format!("{lock}.new"), directory.parent().expect("a parent").display().to_string());
    let of_wal = |call: &&Call| call.descriptor().is_some_and(|(_, path)| path.starts_with(&wal) && path.ends_with(".log"));
    let logs: Vec<&Call> = calls.iter().filter(of_wal).collect();
    let (writes, syncs): (Vec<&Call>, Vec<&Call>) = logs.into_iter().partition(|call| !call.is_sync() && call.name != "sync_file_range");
    let mut violations = BTreeMap::new();
    let mut found = |violation| *violations.entry(violation).or_insert(0) += 1;

    // When each size was durably in the lock record.
    let mut locked: Vec<(u64, usize)> = Vec::new();
    let locks: Vec<&Call> = calls.iter().filter(|call| call.is_on(&new) && call.name == "write").collect();
    for (nth, call) in locks.iter().enumerate() {
        let note = String::from_utf8(call.bytes()).expect("a note");
        let mut lines = note.lines().skip(1);
        let size: u64 = lines.next().and_then(|size| size.parse().ok()).expect("a size");
        let root = lines.next().expect("a root").as_bytes();

        let mut in_wal: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for write in writes.iter().filter(|write| write.begun <= call.begun) {
            let synced = syncs
                .iter()
                .any(|sync| sync.is_sync() && sync.descriptor() == write.descriptor() && write.done <= sync.begun && sync.done <= call.begun);
            if synced {
                in_wal.entry(write.descriptor().expect("a path").1).or_default().extend(write.bytes());
            } else {
                found(Violation::WalNotSynced);
            }
        }
        // Once in a long while the root lies across a block of the WAL, and then the signature below it does not.
        let signature = note.lines().last().and_then(|line| line.rsplit_once(' ')).expect("a signature").1.as_bytes();
        let holds = |bytes: &Vec<u8>, text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        // What was there before is in tables.
        if size > before && !in_wal.values().any(|bytes| holds(bytes, root) || holds(bytes, signature)) {
            found(Violation::FrameNotInWal);
        }

        let until = locks.get(nth + 1).map_or(usize::MAX, |next| next.begun);
        let then = |after: usize, is: &dyn Fn(&Call) -> bool| {
            calls.iter().find(|next| next.begun >= after && next.done <= until && is(next)).map(|next| next.done)
        };
        let renames = |next: &Call| {
            next.name.starts_with("rename") && next.arguments.contains(&format!("\"{new}\"")) && next.arguments.contains(&format!("\"{lock}\""))
        };
        let durable = then(call.done, &|next| next.is_sync() && next.is_on(&new))
            .and_then(|synced| then(synced, &renames))
            .and_then(|renamed| then(renamed, &|next| next.is_sync() && next.is_on(&parent)));
        match durable {
            Some(done) => locked.push((size, done)),
            None => found(Violation::LockNotDurable),
        }
    }

    // Each line of output with the call that wrote its first byte.
    let mut lines: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut begins = true;
    for call in calls.iter().filter(|call| call.name == "write" && call.descriptor().is_some_and(|(number, _)| number == "1")) {
        for byte in call.bytes() {
            if begins {
                lines.push((call.begun, Vec::new()));
            }
            begins = byte == b'\n';
            lines.last_mut().expect("a line").1.push(byte);
        }
    }
    for (begun, line) in &lines {
        let answer: Value = serde_json::from_slice(line).expect("JSON");
        let index = answer["index"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        let stated = answer["receipt"]["checkpoint"].as_str().and_then(|note| note.lines().nth(1)).and_then(|size| size.parse().ok());
        let needed = stated.unwrap_or(0).max(index + 1);
        if !locked.iter().any(|(size, done)| *size >= needed && done < begun) {
            found(Violation::AnsweredEarly);
        }
    }
    let wal_bytes = writes.iter().map(|write| write.bytes().len()).sum();
    Reading { violations, answers: lines.len(), locks: locks.len(), wal_bytes }
}

/// Issues drafts under strace with a bug planted, or none, and reads what it wrote.
fn run(bug: Option<&str>, drafts: u32) -> Reading {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let before = engine.ledger().published().size;
    drop(engine);
    let trace = site.file("trace");
    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,rename,renameat,renameat2";
    let program = issue(&site);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "16777216", "-e", calls, "-o"]).arg(&trace);
    if let Some(bug) = bug {
        // Whoever does not wait for the sync of the WAL is a long way ahead of it.
        strace.args(["-e", "inject=fdatasync:delay_enter=50000"]).env("FAPIAO_PLANT", bug);
    }
    strace.arg(program.get_program()).args(program.get_args());
    let (running, mut output) = Running::start(strace, (0..drafts).map(draft_line));
    let mut answers = String::new();
    output.read_to_string(&mut answers).expect("readable");
    assert_eq!(running.given(), drafts as usize);
    let trace = fs::read_to_string(trace).expect("strace has written: .ci/tools installs it");
    let reading = read(&trace, &site.directory().canonicalize().expect("a path"), before);
    assert_eq!((reading.answers, answers.lines().count()), (drafts as usize, drafts as usize));
    reading
}

#[test]
fn nobody_is_answered_before_wal_and_lock_are_synced() {
    let reading = run(None, 3_000);
    assert_eq!(reading.violations, BTreeMap::new());
    println!("{} answers, {} lock records, {} bytes of WAL: each synced before what rests on it", reading.answers, reading.locks, reading.wal_bytes);
    assert!(reading.locks > 3 && reading.wal_bytes > 3_000 * 400);
}

#[test]
fn a_missing_sync_or_another_order_is_seen() {
    for (bug, violation) in [
        ("SkipFsync", Violation::WalNotSynced),
        ("SkipLockSync", Violation::LockNotDurable),
        ("AnswerBeforeSync", Violation::AnsweredEarly),
        ("Reorder", Violation::FrameNotInWal),
    ] {
        let reading = run(Some(bug), 300);
        println!("{bug}: {:?}", reading.violations);
        assert!(reading.violations.keys().copied().collect::<BTreeSet<_>>().contains(&violation), "{bug} was not seen");
    }
}
