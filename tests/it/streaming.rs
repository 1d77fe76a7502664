//! `fapiao issue` as a process: a client that waits is answered, answers keep their order, and what the ledger does not decide is said line by line.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use fapiao::domain::kind::Kind;
use serde_json::{Value, json};

use crate::support::{Site, allot_all, generated, id};

/// Longer than any answer takes; a client that is left to wait fails here.
const PATIENCE: Duration = Duration::from_secs(30);

/// `fapiao issue` at the other end of two pipes.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<Value>,
}

impl Client {
    fn connect(site: &Site) -> Client {
        let mut child = issue(site).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in output.lines() {
                let answer = serde_json::from_str(&line.expect("readable")).expect("JSON");
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        Client { input: child.stdin.take(), child, answers }
    }

    fn send(&mut self, text: &str) {
        let input = self.input.as_mut().expect("open");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("taken");
    }

    fn receive(&self) -> Value {
        self.answers.recv_timeout(PATIENCE).expect("an answer")
    }

    /// The exit status after the end of the input.
    fn end(mut self) -> Option<i32> {
        self.input = None;
        exit(&mut self.child)
    }
}

fn issue(site: &Site) -> std::process::Command {
    site.program(&["issue", "--days-back", "36500"])
}

fn exit(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    panic!("the program does not end");
}

fn ready() -> Site {
    let site = Site::new();
    allot_all(&site.create());
    site
}

fn draft(number: u32) -> Value {
    generated(Kind::Electronic, u64::from(number), number)
}

fn lines(drafts: impl IntoIterator<Item = Value>) -> String {
    drafts.into_iter().map(|draft| format!("{draft}\n")).collect()
}

fn status(answer: &Value) -> &str {
    answer["status"].as_str().expect("a status")
}

#[test]
fn a_client_that_waits_gets_each_receipt() {
    let site = ready();
    let mut client = Client::connect(&site);
    client.send(&lines((1..=100).map(draft)));
    for line in 1..=100 {
        let answer = client.receive();
        assert_eq!((status(&answer), &answer["line"]), ("logged", &json!(line)));
        assert!(answer["receipt"]["inclusion"].is_array() && answer["signed_qr"].is_string());
    }
    client.send(&format!("{:#}\n", draft(101)));
    assert_eq!(status(&client.receive()), "logged");
    client.send(&lines([draft(7)]));
    assert_eq!(status(&client.receive()), "repeated");
    client.send("no draft\n");
    assert_eq!(status(&client.receive()), "malformed");
    client.send(&lines([draft(102)]));
    assert_eq!(status(&client.receive()), "logged");
    assert_eq!(client.end(), Some(2));
}

#[test]
fn more_drafts_than_may_be_under_way_are_answered_in_their_order() {
    let site = ready();
    let mut expected = Vec::new();
    let mut text = String::new();
    for number in 1..=3_000 {
        let (line, status) = match number % 10 {
            3 => ("not JSON".to_owned(), "malformed"),
            5 => (json!({ "kind": "10" }).to_string(), "faulty"),
            // Of another taxpayer's numbers.
            7 => (generated(Kind::Electronic, 1, 100_000 + number).to_string(), "refused"),
            _ => (draft(number).to_string(), "logged"),
        };
        text.push_str(&line);
        text.push('\n');
        expected.push((number, status));
    }
    let drafts = site.file("drafts");
    fs::write(&drafts, text).expect("writable");
    let output = issue(&site).arg(drafts).output().expect("run");
    let answers: Vec<Value> =
        BufReader::new(&output.stdout[..]).lines().map(|line| serde_json::from_str(&line.expect("UTF-8")).expect("JSON")).collect();
    let seen: Vec<(u32, &str)> =
        answers.iter().map(|answer| (u32::try_from(answer["line"].as_u64().expect("a line")).expect("short"), status(answer))).collect();
    assert_eq!(seen, expected);
    assert_eq!(output.status.code(), Some(2));
    let indices: BTreeSet<u64> = answers.iter().filter_map(|answer| answer["index"].as_u64()).collect();
    assert_eq!(indices.len(), 2_100);
}

#[test]
fn each_draft_that_a_ledger_refuses_to_sign_is_said_to_be_unavailable() {
    let site = ready();
    fs::remove_file(site.lock_path()).expect("a lock");
    let mut client = Client::connect(&site);
    for line in 1..=3 {
        client.send(&lines([draft(line)]));
        let answer = client.receive();
        assert_eq!((status(&answer), &answer["line"]), ("unavailable", &json!(line)));
        assert!(answer["en"].is_string() && answer["zh"].is_string());
    }
    assert_eq!(client.end(), Some(3));

    assert!(site.program(&["ledger", "adopt"]).output().expect("run").status.success());
    let mut client = Client::connect(&site);
    client.send(&lines((1..=3).map(draft)));
    for _ in 1..=3 {
        assert_eq!(status(&client.receive()), "logged");
    }
    assert_eq!(client.end(), Some(0));
}

#[test]
fn what_was_unavailable_half_way_is_submitted_again() {
    let site = ready();
    let mut client = Client::connect(&site);
    client.send(&lines([draft(1)]));
    assert_eq!(status(&client.receive()), "logged");
    // The database takes the next commit, and the lock record does not.
    let (lock, kept) = (site.lock_path(), site.file("kept"));
    fs::rename(&lock, &kept).expect("moved");
    fs::create_dir_all(lock.join("in the way")).expect("made");
    client.send(&lines((2..=40).map(draft)));
    for line in 2..=40 {
        let answer = client.receive();
        assert_eq!((status(&answer), &answer["line"]), ("unavailable", &json!(line)));
    }
    assert_eq!(client.end(), Some(3));

    fs::remove_dir_all(&lock).expect("removed");
    fs::rename(&kept, &lock).expect("moved back");
    let mut client = Client::connect(&site);
    client.send(&lines((1..=40).map(draft)));
    let again: Vec<Value> = (1..=40).map(|_| client.receive()).collect();
    assert_eq!(client.end(), Some(0));
    assert!(again.iter().all(|answer| ["logged", "repeated"].contains(&status(answer))));
    // The first that was unavailable is in the log all the same.
    assert_eq!((status(&again[0]), status(&again[1])), ("repeated", "repeated"));
}

#[test]
fn a_client_that_goes_away_ends_it() {
    let site = ready();
    let mut child = issue(&site).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(lines((1..=3).map(draft)).as_bytes()).expect("taken");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    for _ in 1..=3 {
        assert!(output.read_line(&mut String::new()).expect("readable") > 0);
    }
    drop(output);
    input.write_all(lines((4..=6).map(draft)).as_bytes()).expect("taken");
    // Its input stays open: only the broken pipe tells it.
    assert_eq!(exit(&mut child), Some(0));
    drop(input);
    let said = child.wait_with_output().expect("ended").stderr;
    assert_eq!(String::from_utf8_lossy(&said), "");
    let engine = site.open().expect("closed cleanly");
    assert!(engine.ledger().look_up(id(Kind::Electronic, 3)).expect("readable").1.is_some());
}
