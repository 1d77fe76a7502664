//! One seed: a machine with a ledger on it, to which everything happens that chance has in store.

mod administration;
mod course;
mod opening;
mod writing;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use fapiao::crypto::note::{Host, Origin};
use fapiao::domain::time::UnixMillis;
use fapiao::ledger::simulated::{Disk, Step};
use fapiao::ledger::{Files, Home, Ledger, LedgerError, Opening, Outcome, Stepper, StoreSizes, SubmitError};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::auditor::{Auditor, Kept, Standing};
use super::model::Model;
use super::submissions::SUBMISSIONS;
use crate::chance::Chance;
use crate::support::today;

const SIZES: StoreSizes = StoreSizes { block_cache: 0, wal: 0 };
/// Leaves of the long log: a few frames before its first tile is full.
const LONG_LOG: u64 = 250;
/// Tries after which an opening must have succeeded, whatever is broken.
const OPENINGS_MAX: u32 = 16;

/// What the ledger was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    Founding,
    Opening,
    Committing,
    Resuming,
    Adopting,
    Reopening,
    Rebuilding,
}

/// Something that a run must have come to, or it has not tried what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sight {
    /// The last step of a machine or a process: during what, and whether it was done.
    Last(Doing, Step, bool),
    /// What an opened ledger was permitted.
    Opened(Standing),
    /// After trouble the ledger went on, with the frame that had failed or without it.
    WentOn { with_the_frame: bool },
    /// After a power cut it was opened, with the frame that was in flight or without it.
    CameBack { with_the_frame: bool },
    /// It went on from less than was published, because the disk had lied of all of it alike.
    Betrayed,
    /// A torn frame was refused.
    Torn,
    /// A tile was filled.
    TileFilled,
    /// Something was not decided, by name of the reason.
    Undecided(&'static str),
}

/// What a machine is like. Only the first keeps what RocksDB and a file system promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    /// It fails, fills up and goes down, and what it says it did it did.
    Honest,
    /// Its disk says it synced what it did not.
    Lying,
    /// Its power cuts tear batches.
    Tearing,
    /// Bits flip on its disk.
    Flipping,
    /// Its administrator restores older copies.
    Restored,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Submit,
    Step,
    Read,
    ClockOn,
    ClockBack,
    ClockFarBack,
    Crash,
    Fail,
    FailRead,
    Fill,
    Relieve,
    PowerCut,
    Close,
    Look,
    Copy,
    Rebuild,
    Dishonest,
}

const ACTS: [(u64, Act); 17] = [
    (300, Act::Submit),
    (340, Act::Step),
    (80, Act::Read),
    (40, Act::ClockOn),
    (20, Act::ClockBack),
    (15, Act::ClockFarBack),
    (45, Act::Crash),
    (45, Act::Fail),
    (30, Act::FailRead),
    (20, Act::Fill),
    (30, Act::Relieve),
    (15, Act::PowerCut),
    (15, Act::Close),
    (8, Act::Look),
    (12, Act::Copy),
    (15, Act::Rebuild),
    (60, Act::Dishonest),
];

/// Somebody who waits for an outcome.
struct Waiting {
    receiver: oneshot::Receiver<Result<Outcome, SubmitError>>,
    expected: Outcome,
}

/// A process.
struct Life {
    ledger: Ledger,
    /// If it may sign.
    stepper: Option<Stepper>,
    /// Of the open frame.
    pending: Vec<Waiting>,
    in_flight: Vec<Waiting>,
}

/// A copy of the machine's disk, and what was known of it.
struct Copied {
    disk: Disk,
    auditor: Auditor,
}

pub(super) struct World {
    seed: u64,
    chance: Chance,
    machine: Machine,
    disk: Disk,
    clock: Arc<AtomicU64>,
    auditor: Auditor,
    life: Option<Life>,
    copies: Vec<Copied>,
    /// Leaves of the frame that was given to the disk and may or may not be there.
    attempted: Option<u64>,
    /// Whether this copy was the newest and signed when it was last looked at, so that it must again.
    signing: bool,
    /// Whether something was made to fail since all was last well.
    troubled: bool,
    full: bool,
    lying: bool,
    tearing: bool,
    /// Whether the last power cut may have taken what the disk had said was synced.
    betrayed: bool,
    /// Whether the last power cut may have torn a batch.
    tore: bool,
    /// The table of which a row was flipped.
    damaged: Option<&'static str>,
    lock_damaged: bool,
    over: bool,
    doing: Doing,
    pub(super) sights: BTreeSet<Sight>,
    pub(super) trace: Vec<String>,
}

/// A panic is a failure of its seed as well.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed={}\n{}", self.seed, self.trace.join("\n"));
        }
    }
}

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) disk: [u8; 32],
    pub(super) trace: [u8; 32],
    pub(super) leaves: u64,
}

/// A ledger with a long log, made once a process.
struct LongLog {
    disk: Disk,
    auditor: Auditor,
    now: u64,
}

static LONG: LazyLock<LongLog> = LazyLock::new(|| {
    let mut world = World::new(0, Machine::Honest);
    world.make_long_log().unwrap_or_else(|violation| panic!("{violation:?}\n{}", world.trace.join("\n")));
    LongLog { disk: world.disk.image(0), auditor: world.auditor.clone(), now: world.now().0 }
});

/// Makes the long log and what is submitted, before anything is planted.
pub(super) fn prepare() {
    LazyLock::force(&LONG);
}

/// The disk of a ledger that is a few leaves short of a full tile.
pub(super) fn long_log(seed: u64) -> Disk {
    LONG.disk.image(seed)
}

fn directory() -> PathBuf {
    PathBuf::from("/ledger")
}

impl World {
    pub(super) fn of_seed(seed: u64) -> World {
        let mut chance = Chance(seed);
        let machine =
            chance.weighted(&[(45, Machine::Honest), (10, Machine::Lying), (15, Machine::Tearing), (15, Machine::Flipping), (15, Machine::Restored)]);
        let long = chance.one_in(10);
        let mut world = World::new(seed, machine);
        if long {
            world.disk = LONG.disk.image(chance.next());
            world.auditor = LONG.auditor.clone();
            world.set_now(LONG.now);
            world.signing = true;
        }
        world
    }

    fn new(seed: u64, machine: Machine) -> World {
        let mut chance = Chance(!seed);
        let now = today().start().0 + 43_200_000;
        let disk = Disk::new(chance.next());
        let keyring = Arc::clone(&SUBMISSIONS.keyring);
        let origin = Origin::new(&host(), chance.next().to_be_bytes());
        let founded = Model::new(Arc::clone(&keyring), origin, UnixMillis(now));
        let mut world = World {
            seed,
            chance,
            machine,
            disk,
            clock: Arc::new(AtomicU64::new(now)),
            auditor: Auditor::new(founded, keyring, PathBuf::from("/ledger.lock")),
            life: None,
            copies: Vec::new(),
            attempted: None,
            signing: false,
            troubled: false,
            full: false,
            lying: false,
            tearing: false,
            betrayed: false,
            tore: false,
            damaged: None,
            lock_damaged: false,
            over: false,
            doing: Doing::Founding,
            sights: BTreeSet::new(),
            trace: Vec::new(),
        };
        world.say(|| format!("{machine:?}"));
        world
    }

    /// Everything that happens in a seed.
    pub(super) fn run(&mut self) -> Kept<Came> {
        self.begin()?;
        let acts = 30 + self.chance.under(60);
        for _ in 0..acts {
            if !self.over {
                self.act()?;
            }
        }
        if !self.over {
            self.end()?;
        }
        let trace = self.trace.iter().fold(Sha256::new(), |digest, line| digest.chain_update(line).chain_update([0]));
        Ok(Came { disk: self.disk.digest(), trace: trace.finalize().into(), leaves: self.auditor.visible.size })
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        let size = self.auditor.visible.size;
        self.trace.push(format!("{size:>4} {}", line()));
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.load(Ordering::Relaxed))
    }

    fn set_now(&self, now: u64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    fn home(&self) -> Home {
        Home { directory: directory(), files: Files::Simulated(self.disk.clone()) }
    }

    fn opening(&self) -> Opening {
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || UnixMillis(clock.load(Ordering::Relaxed)));
        Opening { home: self.home(), sizes: SIZES, keyring: Some(Arc::clone(self.auditor.keyring())), clock, observer: None }
    }

    /// Something may break in what comes next.
    fn threaten(&mut self, cases: u64) {
        if self.chance.one_in(cases) {
            let at = 1 + self.chance.under(8);
            self.troubled = true;
            match self.chance.under(8) {
                0 => {
                    self.full = true;
                    self.disk.set_full(true);
                    self.say(|| "the disk is full".into());
                }
                1 | 2 => {
                    self.disk.fail_in(at);
                    self.say(|| format!("step {at} from now fails"));
                }
                _ => {
                    self.disk.crash_in(at);
                    self.say(|| format!("step {at} from now is the last"));
                }
            }
        }
    }

    fn act(&mut self) -> Kept {
        if self.life.as_ref().is_some_and(|life| life.stepper.is_none()) {
            return self.administer();
        }
        if (self.damaged.is_some() || self.lock_damaged || self.is_poisoned()) && self.chance.one_in(4) {
            return self.repair();
        }
        match self.chance.weighted(&ACTS) {
            Act::Submit => {
                for _ in 0..=self.chance.under(3) {
                    let submission = SUBMISSIONS.pick(&mut self.chance);
                    self.submit(submission)?;
                }
            }
            Act::Step => {
                for _ in 0..=self.chance.under(4) {
                    if !self.disk.is_down() {
                        self.step()?;
                    }
                }
            }
            Act::Read => self.read()?,
            Act::ClockOn => {
                let on = if self.chance.one_in(20) { 40 * 86_400_000 } else { self.chance.under(10_000) };
                self.set_now(self.now().0 + on);
                self.say(|| format!("{on} ms go by"));
            }
            Act::ClockBack => {
                let back = self.chance.under(5_001);
                self.set_now(self.now().0 - back);
                self.say(|| format!("the clock is set back by {back} ms"));
            }
            Act::ClockFarBack => {
                let now = self.now().0;
                let back = 5_001 + self.chance.under(100_000);
                self.set_now(now - back);
                self.say(|| format!("the clock is set back by {back} ms"));
                let submission = SUBMISSIONS.pick(&mut self.chance);
                self.submit(submission)?;
                self.step()?;
                self.set_now(now.max(self.auditor.decided.time));
            }
            Act::Crash => {
                let at = 1 + self.chance.under(12);
                self.troubled = true;
                self.disk.crash_in(at);
                self.say(|| format!("step {at} from now is the last"));
            }
            Act::Fail => {
                let at = 1 + self.chance.under(8);
                self.troubled = true;
                self.disk.fail_in(at);
                self.say(|| format!("step {at} from now fails"));
            }
            Act::FailRead => self.fail_read()?,
            Act::Fill => {
                self.full = !self.full;
                self.troubled = true;
                self.disk.set_full(self.full);
                let full = self.full;
                self.say(|| format!("full: {full}"));
            }
            Act::Relieve => self.relieve()?,
            Act::PowerCut => {
                self.say(|| "power cut".into());
                self.power_cut();
                self.open()?;
            }
            Act::Close => {
                self.say(|| "the process ends".into());
                self.life = None;
                self.open()?;
            }
            Act::Look => self.look()?,
            Act::Copy => self.copy(),
            Act::Rebuild => self.rebuild()?,
            Act::Dishonest => self.dishonest()?,
        }
        if self.disk.is_down() {
            self.power_cut();
            self.open()?;
        }
        self.audit()
    }
}

fn host() -> Host {
    Host::parse("fapiao.example").expect("a host")
}

fn said<T>(result: &Result<T, LedgerError>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(error) => error.to_string(),
    }
}
