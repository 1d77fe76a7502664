//! kill -9 under load, again and again on one ledger: whatever was answered is there for ever, and nothing is there twice.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use fapiao::codec::event::{Event, Role};
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::number::InvoiceId;
use fapiao::engine::{self, Engine};
use fapiao::ledger::Obstacle;
use fapiao::limits::KEY_OVERLAP_MS;
use fapiao::verify::verdict::Verdict;
use serde_json::Value;

use crate::chance::Chance;
use crate::program::{Running, copied, draft_id, draft_line, issue};
use crate::support::{Site, allot_all, generated, holder_is_told, id, logged, receipt, receipt_is_sound, submit};

const KILLS: usize = 50;
/// Requests that are unanswered at nearly each kill, at least. Between counting them and the kill the process goes on answering.
const UNANSWERED: usize = 32;
/// Answers that may lie in the pipe (64 KiB) and in the reader's buffer (8 KiB) when the process is killed, of 2.7 KiB each: they are heard afterwards.
const IN_THE_PIPE: usize = 32;
/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// When the process is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so many answers, and so long after the last of them.
    Answered(usize, Duration),
    /// With this commit synced and not yet in the lock record, or in the lock record and not yet published.
    Held(&'static str, usize),
}

/// Of each three kills one is between sync and reply.
fn moment(chance: &mut Chance, kill: usize) -> Moment {
    match kill % 6 {
        1 => Moment::Held("Durable", 1 + chance.below(5)),
        4 => Moment::Held("Locked", 1 + chance.below(5)),
        _ => Moment::Answered(UNANSWERED + chance.below(300), Duration::from_micros(chance.next() % 3_000)),
    }
}

/// What a client has in its hands: the place in the log and the line that said so.
struct Answer {
    index: u64,
    receipt: String,
}

#[derive(Default)]
struct Client {
    answers: HashMap<u32, Answer>,
    /// Sent and not answered, oldest first.
    unanswered: Vec<u32>,
    /// The first draft that was never sent.
    fresh: u32,
    repeated: usize,
    /// Answered for the first time since this was last looked at.
    news: Vec<u32>,
}

impl Client {
    /// What is sent next: a few that were answered long ago, all that were not, then new ones for ever.
    fn to_send(&self, chance: &mut Chance) -> (Vec<u32>, u32) {
        let mut answered: Vec<u32> = self.answers.keys().copied().collect();
        answered.sort_unstable();
        let again = (0..answered.len().min(10)).map(|_| *chance.pick(&answered));
        (again.chain(self.unanswered.iter().copied()).collect(), self.fresh)
    }

    /// Takes the answer to a draft.
    fn hear(&mut self, nth: u32, line: &str) {
        let value: Value = serde_json::from_str(line).expect("a whole line of JSON");
        let status = value["status"].as_str().expect("a status");
        let index = value["index"].as_u64().unwrap_or_else(|| panic!("draft {nth}: {line}"));
        let receipt = value["receipt"].to_string();
        assert!(line.contains(&receipt), "the receipt as it was sent");
        match self.answers.get(&nth) {
            Some(before) => assert!((status, index) == ("repeated", before.index) && receipt == before.receipt, "draft {nth}: {line}"),
            None => {
                assert!(matches!(status, "logged" | "repeated"), "draft {nth}: {line}");
                self.news.push(nth);
            }
        }
        self.repeated += usize::from(status == "repeated");
        self.answers.insert(nth, Answer { index, receipt });
    }
}

/// Runs the program until it is killed. Says how many requests were unanswered then that it surely had.
fn run_and_kill(site: &Site, client: &mut Client, chance: &mut Chance, moment: Moment) -> usize {
    let (again, fresh) = client.to_send(chance);
    let mut program = issue(site);
    let held = site.file("held");
    if let Moment::Held(stage, commit) = moment {
        program.env("FAPIAO_HOLD", format!("{stage}:{commit}")).env("FAPIAO_HELD", &held);
    }
    let order = again.clone();
    let (running, output) = Running::start(program, order.into_iter().chain(fresh..).map(draft_line));
    let running = Mutex::new(running);
    let heard = Mutex::new(0);
    let surely_unanswered = || {
        let read = running.lock().expect("no panic").read();
        read.saturating_sub(*heard.lock().expect("no panic"))
    };
    let kill = || {
        wait_for(|| surely_unanswered() >= UNANSWERED + IN_THE_PIPE, "enough requests under way");
        running.lock().expect("no panic").kill();
    };
    let sent = |place: usize| again.get(place).copied().unwrap_or_else(|| fresh + u32::try_from(place - again.len()).expect("few"));
    let mut output = BufReader::new(output);
    thread::scope(|scope| {
        if let Moment::Held(..) = moment {
            scope.spawn(|| {
                wait_for(|| held.exists(), "the commit to be held");
                kill();
            });
        }
        loop {
            let count = *heard.lock().expect("no panic");
            if let Moment::Answered(answers, pause) = moment
                && count == answers
            {
                thread::sleep(pause);
                kill();
            }
            // What it had said when it was killed is heard to the end, but for a line that it could not finish.
            let mut line = String::new();
            if output.read_line(&mut line).is_err() || !line.ends_with('\n') {
                break;
            }
            client.hear(sent(count), line.trim_end());
            *heard.lock().expect("no panic") += 1;
        }
    });
    let unanswered = surely_unanswered();
    let (running, heard) = (running.into_inner().expect("no panic"), heard.into_inner().expect("no panic"));
    let given = running.given();
    // What was to be sent again and was not for lack of time is still unanswered.
    client.unanswered = (heard..given.max(again.len())).map(sent).filter(|nth| !client.answers.contains_key(nth)).collect();
    client.fresh = fresh.max((0..given).map(|place| sent(place) + 1).max().unwrap_or(0));
    if held.exists() {
        fs::remove_file(held).expect("removed");
    }
    unanswered
}

#[track_caller]
fn wait_for(mut come: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !come() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Every answer that any client ever got has its leaf where it was, those in `fully` are what the ledger says now to the byte and prove themselves; no
/// number is at two leaves; fsck finds nothing. Returns how many invoices are in the ledger.
fn check(engine: &Engine, client: &Client, fully: &[u32]) -> usize {
    let ledger = engine.ledger();
    for (nth, answer) in &client.answers {
        let leaf = ledger.leaf(answer.index).expect("readable").unwrap_or_else(|| panic!("draft {nth} was answered and is not there"));
        assert!(answer.receipt.contains(&HEXLOWER.encode(&leaf.encode())), "draft {nth}");
    }
    for nth in fully {
        let answer = &client.answers[nth];
        assert_eq!(receipt(engine, answer.index), answer.receipt, "draft {nth}");
        receipt_is_sound(engine, &engine.receipt(answer.index).expect("readable").expect("published"));
    }
    let leaf = |index| ledger.leaf(index).expect("readable").expect("published");
    let logged = (0..ledger.published().size).filter(|index| leaf(*index).event == Event::Issue).count();
    let sent: Vec<InvoiceId> = (0..client.fresh).map(draft_id).collect();
    let numbers = sent.iter().filter(|id| ledger.look_up(**id).expect("readable").1.is_some()).count();
    assert_eq!(logged, numbers, "as many leaves as numbers");
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
    numbers
}

#[test]
fn what_was_answered_survives_fifty_kills() {
    let site = Site::new();
    allot_all(&site.create());
    let (mut client, mut chance) = (Client::default(), Chance(9));
    let (mut between, mut beyond, mut busy) = (0, 0, 0);
    for kill in 0..KILLS {
        let moment = moment(&mut chance, kill);
        let unanswered = run_and_kill(&site, &mut client, &mut chance, moment);
        busy += usize::from(unanswered >= UNANSWERED);
        between += usize::from(matches!(moment, Moment::Held(..)));

        let news = std::mem::take(&mut client.news);
        site.set_now(engine::now());
        // Half of the time the next process finds the directory as the killed one left it, and a copy is looked at.
        let copy = kill.is_multiple_of(2).then(|| copied(&site));
        let at = copy.as_ref().unwrap_or(&site);
        let engine = at.open().expect("opened after the kill");
        let expected = copy.as_ref().map(|copy| Obstacle::Copied { directory: copy.directory() });
        assert_eq!(engine.ledger().obstacle(), expected.as_ref(), "kill {kill}: the lock record goes with the ledger");
        let invoices = check(&engine, &client, &news);
        beyond += usize::from(invoices > client.answers.len());
    }
    // One run to the end: whatever is still unanswered gets its receipt.
    let (again, _) = client.to_send(&mut chance);
    let (running, output) = Running::start(issue(&site), again.clone().into_iter().map(draft_line));
    for (nth, line) in again.iter().zip(BufReader::new(output).lines()) {
        client.hear(*nth, &line.expect("readable"));
    }
    assert_eq!(running.given(), again.len());
    let engine = site.open().expect("reopened");
    let all: Vec<u32> = client.answers.keys().copied().collect();
    let invoices = check(&engine, &client, &all);
    assert_eq!((invoices, all.len()), (client.answers.len(), usize::try_from(client.fresh).expect("few")), "everything sent, once");
    println!(
        "{KILLS} kills, {between} of them held between sync and reply; after {beyond} the ledger had more than was answered; \
         at {busy} of them {UNANSWERED} requests or more unanswered; {} receipts, {} answered again; nothing lost, nothing twice",
        all.len(),
        client.repeated
    );
    assert!(between >= 10 && busy >= KILLS * 4 / 5, "{between} between sync and reply, {busy} busy");
}

/// A process that is killed while it opens the ledger has not begun anything, and the next one is none the wiser.
#[test]
fn kills_while_the_ledger_is_opened_leave_nothing_behind() {
    let site = Site::new();
    allot_all(&site.create());
    let (mut client, mut chance) = (Client::default(), Chance(10));
    // A log to be replayed, left by a killed process.
    run_and_kill(&site, &mut client, &mut chance, Moment::Answered(600, Duration::ZERO));
    let before = client.answers.len();
    for kill in 0..20u64 {
        let (mut running, output) = Running::start(issue(&site), std::iter::empty());
        thread::sleep(Duration::from_millis(4 * kill));
        running.kill();
        drop(output);
        running.given();
    }
    site.set_now(engine::now());
    let engine = site.open().expect("opened");
    let all: Vec<u32> = client.answers.keys().copied().collect();
    check(&engine, &client, &all);
    assert_eq!((engine.ledger().obstacle(), all.len()), (None, before));
}

/// A rotation that is killed on its way to the disk has happened or it has not; what it left in the key file is taken by the next one.
#[test]
fn rotations_that_are_killed_have_happened_or_not() {
    for (role, name) in [(Role::Authority, "authority"), (Role::Checkpoint, "checkpoint"), (Role::Answering, "answering")] {
        for (stage, is_logged) in [("Closed", false), ("Durable", true), ("Locked", true), ("Published", true)] {
            let mut site = Site::new();
            site.days_back = 36_500;
            let engine = site.create();
            allot_all(&engine);
            logged(submit(&engine, &generated(Kind::Electronic, 1, 1)));
            let named = engine.ledger().keys().len();
            drop(engine);
            let held = site.file("held");
            let mut rotation = site.program(&["keys", "rotate", "--role", name]);
            let mut process = rotation.env("FAPIAO_HOLD", format!("{stage}:1")).env("FAPIAO_HELD", &held).spawn().expect("started");
            wait_for(|| held.exists(), "the rotation to be held");
            process.kill().expect("killed");
            process.wait().expect("ended");

            site.set_now(engine::now());
            let left = site.keyring().keys().last().expect("keys").key_id();
            let engine = site.open().expect("opened");
            assert_eq!(engine.ledger().obstacle(), None, "{name} {stage}");
            assert_eq!(engine.ledger().keys().len(), named + usize::from(is_logged), "{name} {stage}");
            logged(submit(&engine, &generated(Kind::Electronic, 2, 2)));
            let rotated = engine.rotate(role, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).expect("rotated");
            assert_eq!((rotated.key_id == left, rotated.replaced == left), (!is_logged, is_logged), "{name} {stage}");
            logged(submit(&engine, &generated(Kind::Electronic, 3, 3)));
            for number in 1..=3 {
                assert_eq!(holder_is_told(&engine, id(Kind::Electronic, number)), Verdict::Genuine, "{name} {stage}");
            }
            assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
        }
    }
}
