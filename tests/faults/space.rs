//! A disk that fills to the brim under load and empties again: writing stops and says why, reading goes on, writing goes on by itself, and nothing
//! that was acknowledged is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fapiao::channel::json::parse_draft;
use fapiao::engine::{Config, Engine, EngineError, Submitted};
use fapiao::ledger::{StoreSizes, SubmitError};
use fapiao::verify::verdict::Verdict;

use crate::chance::Chance;
use crate::program::{draft_id, draft_line};
use crate::support::{Site, allot_all, receipt, receipt_is_sound, scan, signed_qr};

const ROUNDS: usize = 3;
/// How long it may take until the disk's state shows in what the ledger does. It tries twice a second; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A small file system in memory; gone with this value.
struct Small(PathBuf);

impl Small {
    /// Mounts it, or says why that is not possible.
    fn mount(at: &Path) -> Result<Small, String> {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(at).output().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(Small(at.into())) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a failed test may still have files open.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// What takes the space away.
struct Ballast {
    path: PathBuf,
    file: File,
}

impl Ballast {
    fn new(at: &Path) -> Ballast {
        let path = at.join("ballast");
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        Ballast { path, file }
    }

    /// Takes every byte there is.
    fn fill(&mut self) {
        for bytes in [1 << 20, 1 << 16, 1 << 12, 1] {
            let chunk = vec![0x55; bytes];
            loop {
                match self.file.write(&chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives this much back.
    fn shrink(&mut self, bytes: u64) {
        let length = self.file.metadata().expect("a length").len();
        self.file.set_len(length.saturating_sub(bytes)).expect("shorter");
    }

    fn remove(self) {
        std::fs::remove_file(self.path).expect("removed");
    }
}

/// An answer: draft, leaf, receipt.
type Acknowledged = (u32, u64, String);

struct Load<'a> {
    engine: &'a Engine,
    acknowledged: Mutex<Vec<Acknowledged>>,
    next: AtomicU32,
    refused: AtomicU64,
    reads: AtomicU64,
    stop: AtomicBool,
}

impl Load<'_> {
    fn acknowledged(&self) -> std::sync::MutexGuard<'_, Vec<Acknowledged>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues one draft after the other, each again and again until it is answered.
    fn write(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let nth = self.next.fetch_add(1, Ordering::SeqCst);
            let draft = parse_draft(draft_line(nth).as_bytes()).expect("JSON");
            loop {
                match self.engine.submit(&draft, false) {
                    Ok(Submitted::Logged(logged)) => {
                        let receipt = receipt(self.engine, logged.index);
                        self.acknowledged().push((nth, logged.index, receipt));
                        break;
                    }
                    Err(EngineError::Submit(SubmitError::Unavailable(reason))) => {
                        assert!(reason.contains("No space left on device"), "the reason names the space: {reason}");
                        self.refused.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(5));
                    }
                    other => panic!("draft {nth}: {other:?}"),
                }
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// Asks about what was acknowledged, and about what never was issued.
    fn read(&self) {
        let mut chance = Chance(3);
        while !self.stop.load(Ordering::SeqCst) {
            let (nth, index, before) = chance.pick(&self.acknowledged()).clone();
            let id = draft_id(nth);
            assert_eq!(receipt(self.engine, index), before, "{id}");
            assert_eq!(scan(self.engine, &signed_qr(self.engine, id)), Verdict::Genuine, "{id}");
            assert_eq!(self.engine.ledger().look_up(draft_id(500_000)).expect("readable").1, None);
            self.reads.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until this counter has moved on by this much.
    #[track_caller]
    fn wait(&self, count: impl Fn(&Self) -> u64, more: u64, what: &str) -> Duration {
        let (begun, before) = (Instant::now(), count(self));
        while count(self) < before + more {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come: {:?}", self.engine.ledger().may_write());
            thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }
}

fn answers(load: &Load<'_>) -> u64 {
    load.acknowledged().len() as u64
}

fn refusals(load: &Load<'_>) -> u64 {
    load.refused.load(Ordering::SeqCst)
}

fn reads(load: &Load<'_>) -> u64 {
    load.reads.load(Ordering::SeqCst)
}

/// Stops the load when the test ends in whatever way, so that the threads do.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_full_disk_stops_writing_until_there_is_space_again() {
    let mount = tempfile::tempdir().expect("a directory");
    let small = match Small::mount(mount.path()) {
        Ok(small) => small,
        Err(reason) => return println!("skipped, because a small file system could not be mounted: {reason}"),
    };
    let site = Site::at(tempfile::tempdir_in(&small.0).expect("a directory"));
    drop(site.create());
    // A small WAL, so that tables are written all the time.
    let config = || Config { sizes: StoreSizes { block_cache: 4 << 20, wal: 128 << 10 }, ..site.config() };
    let engine = Engine::open(config()).expect("opened");
    allot_all(&engine);
    let load = Load {
        engine: &engine,
        acknowledged: Mutex::default(),
        next: AtomicU32::new(0),
        refused: AtomicU64::new(0),
        reads: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut resumed = Vec::new();
    thread::scope(|scope| {
        let _stop = Stop(&load.stop);
        scope.spawn(|| load.write());
        scope.spawn(|| load.write());
        load.wait(answers, 200, "the first answers");
        scope.spawn(|| load.read());
        for _ in 0..ROUNDS {
            let mut ballast = Ballast::new(&small.0);
            ballast.fill();
            load.wait(refusals, 20, "a refusal");
            // Enough to begin again, and not for long.
            for bytes in [3 << 20, 2 << 20, 5 << 20] {
                ballast.shrink(bytes);
                load.wait(answers, 1, "an answer with a little space");
                ballast.fill();
                load.wait(refusals, 20, "a refusal after a little space");
            }
            load.wait(reads, 50, "answers to questions while the disk is full");
            ballast.remove();
            resumed.push(load.wait(answers, 1, "an answer with all the space"));
            load.wait(answers, 300, "answers");
        }
    });
    let acknowledged = std::mem::take(&mut *load.acknowledged());
    let check = |engine: &Engine| {
        let mut leaves: Vec<u64> = acknowledged.iter().map(|(_, index, _)| *index).collect();
        leaves.sort_unstable();
        leaves.dedup();
        assert_eq!(leaves.len(), acknowledged.len(), "each at a leaf of its own");
        for (nth, index, before) in &acknowledged {
            assert_eq!(receipt(engine, *index), *before, "{}", draft_id(*nth));
            receipt_is_sound(engine, &engine.receipt(*index).expect("readable").expect("published"));
        }
        let report = engine.fsck(&|_, _| ()).expect("a report");
        assert_eq!((report.findings, report.invoices), (vec![], acknowledged.len() as u64));
    };
    check(&engine);
    println!(
        "{ROUNDS} rounds, {} receipts, {} refusals, {} reads; writing again {resumed:?} after the space was back",
        acknowledged.len(),
        refusals(&load),
        reads(&load)
    );
    drop(engine);
    check(&Engine::open(config()).expect("reopened"));
}
