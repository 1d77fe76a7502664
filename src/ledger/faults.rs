//! Bugs that can be planted and points at which a process can be held, for tests that must notice. Without the feature `faults` nothing of it is
//! there: [`planted`] is a constant.

/// A bug, each of a kind that has lost ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// The batch is written without fsync.
    SkipFsync = 1,
    /// The lock record is replaced without fsync.
    SkipLockSync,
    /// Waiters are answered before anything is on disk.
    AnswerBeforeSync,
    /// The lock record is not looked at.
    DropLockCheck,
    /// Full tiles are stored one place to the right.
    OffByOneTile,
    /// What an event does to a row is done twice.
    ApplyTwice,
    /// One waiter of a frame is never answered.
    ForgetWaiter,
    /// Decisions are taken on the database, without what is in flight.
    StaleIndex,
    /// The lock record is replaced before the batch is written.
    Reorder,
    /// An error of the lock record is taken for success.
    SwallowIoError,
    /// The newest frame is believed to be whole.
    TrustTornFrame,
}

#[cfg(feature = "faults")]
mod enabled {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    use super::Bug;
    use crate::ledger::Stage;

    /// Every bug.
    pub const BUGS: [Bug; 11] = [
        Bug::SkipFsync,
        Bug::SkipLockSync,
        Bug::AnswerBeforeSync,
        Bug::DropLockCheck,
        Bug::OffByOneTile,
        Bug::ApplyTwice,
        Bug::ForgetWaiter,
        Bug::StaleIndex,
        Bug::Reorder,
        Bug::SwallowIoError,
        Bug::TrustTornFrame,
    ];

    /// 0: none.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a bug in this process, in place of any other.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
    }

    /// Whether this bug is planted.
    pub(in crate::ledger) fn planted(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }

    /// Names the bug to plant, for a process: `FAPIAO_PLANT=SkipFsync`.
    const PLANT: &str = "FAPIAO_PLANT";
    /// Names a stage and which commit is to be held there, for a process: `FAPIAO_HOLD=Durable:17`.
    const HOLD: &str = "FAPIAO_HOLD";
    /// The file that says that the commit is held.
    const HELD: &str = "FAPIAO_HELD";

    /// Plants what the environment names.
    pub fn plant_from_environment() {
        let named = std::env::var(PLANT).unwrap_or_default();
        plant(BUGS.into_iter().find(|bug| format!("{bug:?}") == named));
    }

    /// Holds this thread for good if the environment names this stage of this commit, and says so in a file: whoever waits for the file kills the
    /// process exactly here.
    pub(in crate::ledger) fn hold(stage: Stage) {
        static COMMITS: AtomicU64 = AtomicU64::new(0);
        let Ok(named) = std::env::var(HOLD) else { return };
        let Some((name, commit)) = named.split_once(':') else { return };
        if format!("{stage:?}") != name || Some(COMMITS.fetch_add(1, Ordering::SeqCst) + 1) != commit.parse().ok() {
            return;
        }
        if let Ok(path) = std::env::var(HELD) {
            // Whoever waits for it gives up in time if it cannot be written.
            drop(std::fs::write(path, name));
        }
        loop {
            std::thread::park();
        }
    }
}

#[cfg(feature = "faults")]
pub use enabled::{BUGS, plant, plant_from_environment};
#[cfg(feature = "faults")]
pub(super) use enabled::{hold, planted};

/// Whether this bug is planted: never.
#[cfg(not(feature = "faults"))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}

/// Does nothing.
#[cfg(not(feature = "faults"))]
pub(super) const fn hold(_: super::Stage) {}
