//! The ledger on a simulated disk, by seed: every write lost, torn, refused or lied about, every step the last one, older copies restored, bits flipped,
//! clocks set back. After every step it is compared with a model.
//!
//! A seed is one thread and nothing but its number: it can be run again alone. What fails prints `seed=` and all that happened in it.

mod auditor;
mod damage;
mod model;
mod submissions;
mod tree;
mod world;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;

use fapiao::ledger::simulated::Step;
use fapiao::ledger::{BUGS, plant};

use auditor::{Standing, Violation};
use world::{Came, Doing, Sight, World};

/// Seeds of the gate.
const SEEDS: Range<u64> = 0..2_400;
/// Seeds within which each planted bug must be found.
const SEEDS_PER_BUG: u64 = 1_000;
/// Seeds that broke a promise once, and which.
const FOUND: [(u64, &str); 6] = [
    (0, "a checkpoint was shown that was not yet locked"),
    (4, "a body was shown whose leaf was not yet published"),
    (5, "a proof that could not be read for trouble with the disk was called a broken log"),
    (16, "a lock record that was renamed and never synced was taken for durable"),
    (70, "the first used number of a range was the first on disk, not in flight"),
    (615, "a torn frame without a body was taken for whole"),
];
/// Threads among which seeds are divided.
const THREADS: u64 = 2;

/// Held for writing while a bug is planted, which every thread of a process would have.
static PLANTING: RwLock<()> = RwLock::new(());

/// A seed whose ledger broke a promise.
struct Failure {
    seed: u64,
    violation: Violation,
    trace: Vec<String>,
}

impl Failure {
    fn print(&self) {
        eprintln!("seed={}: {}", self.seed, self.violation.0);
        self.trace.iter().for_each(|line| eprintln!("{line}"));
        eprintln!("seed={}: {}", self.seed, self.violation.0);
    }
}

fn run(seed: u64) -> Result<(Came, BTreeSet<Sight>), Failure> {
    let mut world = World::of_seed(seed);
    match world.run() {
        Ok(came) => Ok((came, std::mem::take(&mut world.sights))),
        Err(violation) => Err(Failure { seed, violation, trace: std::mem::take(&mut world.trace) }),
    }
}

/// Runs every seed, and returns what they came to.
fn run_all(seeds: Range<u64>) -> BTreeSet<Sight> {
    let _no_bug = PLANTING.read().unwrap_or_else(PoisonError::into_inner);
    world::prepare();
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut sights = BTreeSet::new();
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failures.len() > 3 {
                return (sights, failures);
            }
            match run(seed) {
                Ok((_, seen)) => sights.extend(seen),
                Err(failure) => failures.push(failure),
            }
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let failures: Vec<&Failure> = done.iter().flat_map(|(_, failures)| failures).collect();
    if let Some(first) = failures.iter().min_by_key(|failure| failure.trace.len()) {
        first.print();
        let all: Vec<_> = failures.iter().map(|failure| format!("seed={}: {}", failure.seed, failure.violation.0)).collect();
        panic!("promises were broken:\n{}", all.join("\n"));
    }
    done.into_iter().flat_map(|(sights, _)| sights).collect()
}

/// What each thing that a ledger does asks of the disk.
const STEPS: [(Doing, &[Step]); 7] = [
    (
        Doing::Founding,
        &[Step::Flush, Step::Append, Step::Sync, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync, Step::Settle],
    ),
    (Doing::Opening, &[Step::Flush, Step::FileSync, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync]),
    (Doing::Committing, &[Step::Append, Step::Sync, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync]),
    (Doing::Resuming, &[Step::Probe, Step::Flush, Step::FileSync, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync]),
    (Doing::Adopting, &[Step::Flush, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync, Step::Settle]),
    (
        Doing::Reopening,
        &[Step::Flush, Step::Append, Step::Sync, Step::Temporary, Step::TemporarySync, Step::Rename, Step::DirectorySync, Step::Settle],
    ),
    (Doing::Rebuilding, &[Step::Flush, Step::Append, Step::Sync]),
];

/// Other seeds than the gate's, to look at one again or to try new ones: `FAPIAO_SEEDS=17..18`.
fn seeds_asked_for() -> Option<Range<u64>> {
    let asked = std::env::var("FAPIAO_SEEDS").ok()?;
    let (start, end) = asked.split_once("..").expect("FAPIAO_SEEDS=17..18");
    Some(start.parse().expect("a seed")..end.parse().expect("a seed"))
}

/// What a run has not tried if it has not come to it.
fn possible() -> impl Iterator<Item = Sight> {
    let last = STEPS.iter().flat_map(|(doing, steps)| steps.iter().flat_map(|step| [false, true].map(|done| Sight::Last(*doing, *step, done))));
    let frames = [false, true].into_iter().flat_map(|with_the_frame| [Sight::WentOn { with_the_frame }, Sight::CameBack { with_the_frame }]);
    let undecided = ["poisoned", "read only", "clock behind", "unavailable"].map(Sight::Undecided);
    last.chain(frames).chain(undecided).chain(Standing::ALL.map(Sight::Opened)).chain([Sight::Betrayed, Sight::Torn, Sight::TileFilled])
}

#[test]
fn two_thousand_seeds_keep_every_promise_and_end_at_every_step() {
    if let Some(seeds) = seeds_asked_for() {
        run_all(seeds);
        return;
    }
    let sights = run_all(SEEDS);
    let missing: Vec<Sight> = possible().filter(|sight| !sights.contains(sight)).collect();
    assert_eq!(missing, [], "not tried by any seed");
}

#[test]
fn each_planted_bug_is_found() {
    let _planting = PLANTING.write().unwrap_or_else(PoisonError::into_inner);
    world::prepare();
    for bug in BUGS {
        plant(Some(bug));
        let found = (0..SEEDS_PER_BUG).find_map(|seed| run(seed).err());
        plant(None);
        let failure = found.unwrap_or_else(|| panic!("{bug:?} was not found in {SEEDS_PER_BUG} seeds"));
        println!("{bug:?}: found in seed {}: {}", failure.seed, failure.violation.0);
    }
}

#[test]
fn same_seed_same_bytes() {
    let _no_bug = PLANTING.read().unwrap_or_else(PoisonError::into_inner);
    for seed in SEEDS.step_by(24).chain(FOUND.map(|(seed, _)| seed)) {
        let [first, second] = [(); 2].map(|()| match run(seed) {
            Ok((came, _)) => came,
            Err(failure) => {
                failure.print();
                panic!("seed={seed}");
            }
        });
        assert_eq!(first, second, "seed={seed}");
    }
}
