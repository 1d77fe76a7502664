//! Durable issue from end to end, and its floor in the same run.
//!
//! The floor is what no ledger of these bytes can do without: as many signer threads sign as many messages of the same lengths, and one writer puts
//! the very rows that the measured run has left in its tables into an empty database, frame by frame as they were committed, each frame one synced
//! batch followed by the replacement of a lock file. Nothing is parsed, hashed, encrypted, decided or answered in it.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use fapiao::channel::json::parse_draft;
use fapiao::crypto::hash;
use fapiao::crypto::sign::Key;
use fapiao::domain::rules::Accepted;
use fapiao::engine::{Engine, Submitted};
use fapiao::ledger::{Outcome, Submission, SubmitError};
use rocksdb::{ColumnFamily, IteratorMode, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use crate::Plan;
use crate::site::{self, Site, median, raw_database};

const SIGNERS: u32 = 2;
/// Submissions under way at once, of all signers.
const IN_FLIGHT: u32 = 4_096;
/// Signatures that the floor hands over at once.
const FLOOR_CHUNK: u32 = 64;

pub(crate) fn measure(plan: &Plan) {
    if plan.wants(&["durable issue"]) {
        let (count, rounds, single) = if plan.smoke { (2_000, 1, 50) } else { (50_000, 5, 2_000) };
        let throughput = throughput(count, rounds);
        println!("durable issue: {throughput}, {}", latency(single));
    }
}

/// What a run took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    wall: Duration,
    /// Of all threads.
    cpu: Duration,
    pub(crate) records: u32,
}

impl Cost {
    pub(crate) fn of(records: u32, run: impl FnOnce()) -> Cost {
        let (cpu, start) = (cpu_time(), Instant::now());
        run();
        Cost { wall: start.elapsed(), cpu: cpu_time() - cpu, records }
    }

    pub(crate) fn rate(self) -> f64 {
        f64::from(self.records) / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_us(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.records)
    }
}

/// Rates, ratios and records per commit: of each round as it is done, and the medians.
fn throughput(count: u32, rounds: u32) -> String {
    let drafts: Vec<String> = (0..count).map(site::draft).collect();
    let accepted: Vec<Accepted> = drafts.iter().map(|draft| site::accept(draft)).collect();
    let [mut rates, mut floors, mut ratios, mut with_parsing, mut by_cpu, mut sizes] = [const { Vec::new() }; 6];
    for round in 1..=rounds {
        let from_drafts = {
            let site = Site::new();
            let engine = site.create();
            Cost::of(count, || issue(count, |nth| begin(&engine, &drafts[nth as usize])))
        };
        let (from_signed, bare_writes) = {
            let site = Site::new();
            let engine = site.create();
            let (keyring, first) = (site.keyring(), engine.ledger().published().size);
            let signed: Vec<Submission> = accepted.iter().map(|accepted| site::seal(accepted, &keyring)).collect();
            let cost = Cost::of(count, || issue(count, |nth| submit(&engine, signed[nth as usize].clone())));
            (cost, write_bare(&frames_of(engine, &site, first, count), None))
        };
        let site = Site::new();
        let engine = site.create();
        let (keyring, first) = (site.keyring(), engine.ledger().published().size);
        let messages: Vec<Vec<u8>> = accepted.iter().map(|accepted| message(&site::seal(accepted, &keyring))).collect();
        let from_accepted = Cost::of(count, || issue(count, |nth| submit(&engine, site::seal(&accepted[nth as usize], &keyring))));
        let frames = frames_of(engine, &site, first, count);
        let floor = write_bare(&frames, Some((&keyring.authority().key, &messages)));

        let per_commit = f64::from(count) / frames.len() as f64;
        println!("round {round} of {rounds}: {count} invoices, {SIGNERS} signers, {IN_FLIGHT} in flight, {per_commit:.0} records per commit");
        for (name, cost, limit) in [
            ("floor", floor, floor),
            ("from accepted invoices", from_accepted, floor),
            ("from JSON drafts", from_drafts, floor),
            ("floor without signing", bare_writes, bare_writes),
            ("from signed submissions", from_signed, bare_writes),
        ] {
            let (rate, ratio, cpu) = (cost.rate(), cost.rate() / limit.rate(), cost.cpu_us());
            println!("  {name:<28} {rate:>8.0}/s   ratio {ratio:.2}   CPU {cpu:>5.1} us a record");
        }
        rates.push(from_accepted.rate());
        floors.push(floor.rate());
        ratios.push(from_accepted.rate() / floor.rate());
        with_parsing.push(from_drafts.rate() / floor.rate());
        by_cpu.push(floor.cpu_us() / from_accepted.cpu_us());
        sizes.push(per_commit);
    }
    let [rate, floor, ratio, with_parsing, by_cpu, per_commit] = [rates, floors, ratios, with_parsing, by_cpu, sizes].map(median);
    format!(
        "{rate:.0}/s, floor: {floor:.0}/s, ratio {ratio:.2} (with draft parsing {with_parsing:.2}, by CPU time {by_cpu:.2}), \
         records per commit {per_commit:.0}"
    )
}

/// Hands in all of `count` from [`SIGNERS`] threads, each keeping its part of [`IN_FLIGHT`] under way, and waits for every outcome.
fn issue<W: FnOnce()>(count: u32, hand_in: impl Fn(u32) -> W + Sync) {
    std::thread::scope(|scope| {
        for signer in 0..SIGNERS {
            let hand_in = &hand_in;
            scope.spawn(move || {
                let in_flight = (IN_FLIGHT / SIGNERS) as usize;
                let mut waiting: VecDeque<W> = VecDeque::with_capacity(in_flight);
                for nth in (signer..count).step_by(SIGNERS as usize) {
                    if waiting.len() == in_flight
                        && let Some(wait) = waiting.pop_front()
                    {
                        wait();
                    }
                    waiting.push_back(hand_in(nth));
                }
                waiting.into_iter().for_each(|wait| wait());
            });
        }
    });
}

fn begin<'a>(engine: &'a Engine, draft: &str) -> impl FnOnce() + use<'a> {
    let draft = parse_draft(draft.as_bytes()).expect("JSON");
    let pending = engine.begin(&draft, false).expect("a ledger").expect("no fault");
    move || assert!(matches!(pending.wait(), Ok(Submitted::Logged(_))))
}

fn submit<'a>(engine: &'a Engine, submission: Submission) -> impl FnOnce() + use<'a> {
    let receiver: oneshot::Receiver<Result<Outcome, SubmitError>> = engine.ledger().submit(submission);
    move || assert!(matches!(receiver.blocking_recv(), Ok(Ok(Outcome::Logged { repeated: false, .. }))))
}

/// What was signed for an invoice.
fn message(submission: &Submission) -> Vec<u8> {
    match submission {
        Submission::Invoice(sealed) => hash::invoice_message(&sealed.face_bytes, &sealed.rest_digest),
        _ => unreachable!("invoices only"),
    }
}

/// A row as it stands in the database.
struct Row {
    family: &'static str,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

/// What one commit wrote.
struct Frame {
    records: u32,
    rows: Vec<Row>,
    note: String,
}

/// Closes the ledger and reads back what its commits from leaf `first` on wrote, in the order in which they wrote it.
fn frames_of(engine: Engine, site: &Site, first: u64, count: u32) -> Vec<Frame> {
    let notes: Vec<(u64, String)> = engine.ledger().checkpoints().map(|row| row.expect("a checkpoint")).filter(|(size, _)| *size > first).collect();
    let ids = (0..count).map(site::id);
    let places: HashMap<u64, [u8; 10]> =
        ids.map(|id| (engine.ledger().look_up(id).expect("readable").1.expect("issued").index, id.to_bytes())).collect();
    drop(engine);

    let db = raw_database(&site.directory(), true);
    let family = |name| db.cf_handle(name).expect("a table");
    let by_taxpayer: HashMap<u64, Box<[u8]>> = db
        .iterator_cf(family("tax"), IteratorMode::Start)
        .map(|row| row.expect("a row").0)
        .map(|key| (key.last_chunk().copied().map(u64::from_be_bytes).expect("an index"), key))
        .collect();
    let mut tiles: Vec<(u64, Row)> = db
        .iterator_cf(family("tile"), IteratorMode::Start)
        .map(|row| {
            let (key, value) = row.expect("a row");
            let (level, n) = (key[0], key.last_chunk().copied().map(u64::from_be_bytes).expect("a place"));
            ((n + 1) << (8 * (u32::from(level) + 1)), Row { family: "tile", key, value })
        })
        .collect();
    tiles.sort_by_key(|(full_at, _)| *full_at);
    let mut tiles = tiles.into_iter().skip_while(|(full_at, _)| *full_at <= first).peekable();

    let row = |name: &'static str, key: &[u8]| {
        let value = db.get_cf(family(name), key).expect("readable").unwrap_or_else(|| panic!("no row in {name}"));
        Row { family: name, key: key.into(), value: value.into() }
    };
    let mut begin = first;
    notes
        .into_iter()
        .map(|(size, note)| {
            let mut rows = Vec::new();
            for index in begin..size {
                rows.extend(["leaf", "seal", "body"].map(|name| row(name, &index.to_be_bytes())));
                rows.push(Row { family: "tax", key: by_taxpayer[&index].clone(), value: Box::default() });
            }
            // As the ledger does: by code and number.
            let mut ids: Vec<[u8; 10]> = (begin..size).map(|index| places[&index]).collect();
            ids.sort_unstable();
            rows.extend(ids.iter().map(|id| row("inv", id)));
            while let Some((_, tile)) = tiles.next_if(|(full_at, _)| *full_at <= size) {
                rows.push(tile);
            }
            rows.push(row("head", &size.to_be_bytes()));
            let records = u32::try_from(size - begin).expect("a frame");
            begin = size;
            Frame { records, rows, note }
        })
        .collect()
}

/// Writes the frames into an empty ledger's database; with a key, each only once as many messages were signed.
fn write_bare(frames: &[Frame], signing: Option<(&Key, &[Vec<u8>])>) -> Cost {
    let site = Site::new();
    drop(site.create());
    let db = raw_database(&site.directory(), false);
    let (lock, parent) = (site.root.path().join("ledger.lock"), site.root.path());
    let count = frames.iter().map(|frame| frame.records).sum();
    let families: HashMap<&str, &ColumnFamily> =
        ["leaf", "seal", "body", "inv", "tax", "tile", "head"].into_iter().map(|name| (name, db.cf_handle(name).expect("a table"))).collect();
    let mut options = WriteOptions::default();
    options.set_sync(true);

    let cost = Cost::of(count, || {
        std::thread::scope(|scope| {
            let (done, signed) = bounded((IN_FLIGHT / FLOOR_CHUNK) as usize);
            if let Some((key, messages)) = signing {
                for signer in 0..SIGNERS as usize {
                    let done = done.clone();
                    scope.spawn(move || {
                        for chunk in messages.chunks(FLOOR_CHUNK as usize).skip(signer).step_by(SIGNERS as usize) {
                            for message in chunk {
                                std::hint::black_box(key.sign(message)).expect("signed");
                            }
                            done.send(chunk.len()).expect("a writer");
                        }
                    });
                }
            }
            let mut ready = if signing.is_some() { 0 } else { count as usize };
            for frame in frames {
                while ready < frame.records as usize {
                    ready += signed.recv().expect("a signer");
                }
                ready -= frame.records as usize;
                let mut batch = WriteBatch::default();
                for row in &frame.rows {
                    batch.put_cf(families[row.family], &row.key, &row.value);
                }
                db.write_opt(batch, &options).expect("written");
                replace(&lock, parent, &frame.note);
            }
        });
    });
    let written = db.iterator_cf(families["leaf"], IteratorMode::Start).count();
    assert!(written >= count as usize, "{written} leaves");
    cost
}

fn replace(path: &Path, parent: &Path, note: &str) {
    let temporary: PathBuf = path.with_extension("lock.new");
    let mut file = File::create(&temporary).expect("a file");
    file.write_all(note.as_bytes()).expect("written");
    file.sync_all().expect("synced");
    fs::rename(&temporary, path).expect("renamed");
    File::open(parent).expect("a directory").sync_all().expect("synced");
}

/// One invoice after the other, each answered before the next is sent, by turns with as many fsyncs of a small file.
fn latency(count: u32) -> String {
    const TURN: u32 = 25;
    let site = Site::new();
    let engine = site.create();
    let mut file = File::create(site.root.path().join("fsync")).expect("a file");
    let (mut issued, mut synced) = (Vec::new(), Vec::new());
    for nth in 0..count {
        let draft = parse_draft(site::draft(nth).as_bytes()).expect("JSON");
        let start = Instant::now();
        assert!(matches!(engine.submit(&draft, false), Ok(Submitted::Logged(_))));
        issued.push(start.elapsed());
        if nth % TURN == TURN - 1 {
            for _ in 0..TURN {
                let start = Instant::now();
                file.write_all(&[0x5a; 2_048]).expect("written");
                file.sync_all().expect("synced");
                synced.push(start.elapsed());
            }
        }
    }
    let ([p50, p99], [sync50, sync99]) = (percentiles(issued), percentiles(synced));
    let [p50, p99, sync50, sync99] = [p50, p99, sync50, sync99].map(|seconds| seconds * 1e3);
    let (ratio50, ratio99) = (p50 / sync50, p99 / sync99);
    format!("single-issue latency p50 {p50:.2} ms, p99 {p99:.2} ms, {ratio50:.1} and {ratio99:.1} fsyncs of p50 {sync50:.2} ms, p99 {sync99:.2} ms")
}

/// p50 and p99, in seconds.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64())
}

/// CPU time of this process so far, in the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("a /proc");
    // Fields 14 and 15; the second field, in parentheses, may hold spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
