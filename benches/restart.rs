//! A ledger that is killed under load: from start to ready, and what proofs cost on it.
//!
//! A child process fills the ledger and goes on issuing; it is killed with SIGKILL, and the ledger is opened here.
//! `FAPIAO_BENCH_INVOICES=5000000 cargo bench -- restart` measures at that size.

use std::env;
use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fapiao::crypto::merkle;
use fapiao::crypto::note::{Checkpoint, Note};
use fapiao::engine::Engine;

use crate::Plan;
use crate::durable::percentiles;
use crate::site::{self, Site};

/// Tells the child what to fill and with how many invoices.
const CHILD: &str = "FAPIAO_BENCH_CHILD";
/// How many invoices to measure with.
const INVOICES: &str = "FAPIAO_BENCH_INVOICES";
const FILLED: &str = "filled";
/// How often it is killed and opened again.
const KILLS: u32 = 5;

/// Runs the child if this process is one; it ends only by being killed.
pub(crate) fn is_child() -> bool {
    let Ok(told) = env::var(CHILD) else { return false };
    let (count, directory) = told.split_once(':').expect("count and directory");
    let directory = PathBuf::from(directory);
    let first = if directory.exists() { site::open(&directory) } else { site::create(&directory) };
    let mut next = issued(&first);
    let count = next.max(count.parse().expect("a number"));
    site::fill(&first, next, count);
    println!("{FILLED}");
    next = count;
    loop {
        site::fill(&first, next, next + 10_000);
        next += 10_000;
    }
}

/// Invoices so far: the log holds them after three keys and six allotments.
fn issued(engine: &Engine) -> u32 {
    u32::try_from(engine.ledger().published().size - 9).expect("a few million")
}

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["restart"]) {
        return;
    }
    let count = env::var(INVOICES).ok().and_then(|count| count.parse().ok()).unwrap_or_else(|| plan.scaled(200_000));
    let site = Site::new();
    let directory = site.directory();
    let mut ready = Vec::new();
    for kill in 1..=if plan.smoke { 1 } else { KILLS } {
        let start = Instant::now();
        let mut child = Command::new(env::current_exe().expect("this program"))
            .env(CHILD, format!("{count}:{}", directory.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), FILLED);
        let filled = start.elapsed();
        // Into the middle of what it goes on with.
        std::thread::sleep(Duration::from_millis(if plan.smoke { 50 } else { 2_000 }));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let wal = wal_bytes(&directory);
        let start = Instant::now();
        let engine = site::open(&directory);
        let opened = start.elapsed();
        println!(
            "restart: kill {kill}: {} leaves, {} MiB of WAL, ready in {:.3} s (filled in {:.0} s)",
            engine.ledger().published().size,
            wal >> 20,
            opened.as_secs_f64(),
            filled.as_secs_f64()
        );
        ready.push(opened);
        if kill == 1 {
            proofs(&engine, plan);
        }
        drop(engine);
    }
    let [p50, p99] = percentiles(ready);
    println!("restart: start to ready after kill -9 with {count} invoices and more: median {p50:.3} s, worst {p99:.3} s");
}

fn wal_bytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory.join("db")).expect("a directory").map(|entry| entry.expect("an entry"));
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log")).map(|file| file.metadata().expect("a file").len()).sum()
}

/// Every proof is checked.
fn proofs(engine: &Engine, plan: &Plan) {
    let ledger = engine.ledger();
    let newest = ledger.published();
    let step = usize::try_from(newest.size / 4_000).expect("small").max(1);
    let checkpoints: Vec<Checkpoint> = ledger
        .checkpoints()
        .map(|row| Note::parse(&row.expect("a checkpoint").1).and_then(|note| Checkpoint::parse(note.text())).expect("a checkpoint"))
        .filter(|checkpoint| checkpoint.size > 0)
        .collect();
    let (mut inclusion, mut consistency) = (Vec::new(), Vec::new());
    for (turn, checkpoint) in (0..plan.scaled(4_000)).zip(checkpoints.iter().cycle().step_by(step.min(checkpoints.len()))) {
        let index = u64::from(turn).wrapping_mul(2_654_435_761) % checkpoint.size;
        let start = Instant::now();
        let path = black_box(ledger.inclusion(index, checkpoint.size).expect("a proof"));
        inclusion.push(start.elapsed());
        let leaf = ledger.leaf(index).expect("readable").expect("published").encode();
        assert!(merkle::verify_inclusion(&merkle::leaf_hash(&leaf), index, checkpoint.size, &path, &checkpoint.root));
        let start = Instant::now();
        let path = black_box(ledger.consistency(checkpoint.size, newest.size).expect("a proof"));
        consistency.push(start.elapsed());
        assert!(merkle::verify_consistency(checkpoint.size, &checkpoint.root, newest.size, &newest.root, &path));
    }
    for (name, times) in [("inclusion", inclusion), ("consistency", consistency)] {
        let [p50, p99] = percentiles(times);
        println!("restart: {name} proof at {} leaves: p50 {:.0} us, p99 {:.0} us", newest.size, p50 * 1e6, p99 * 1e6);
    }
}
