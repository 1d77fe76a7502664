//! `fsck`: recomputes every hash, signature, state and index from leaf and seal, and compares with what is stored.
//!
//! It shares no function with append: leaves and faces are read at their offsets, hashes are made with the hash function itself, states come from a
//! model of their own. A mistake in append and the same mistake here would have to be made twice.
//!
//! The log is cut into parts, and all cores work on them, in two passes. The first hashes the leaves and gathers the events that concern other leaves
//! than their own: then the tree before each part, the keys, the names of the log and the later fate of each invoice are known. The second checks all
//! of a part, reading each table from one end to the other. Two tables have their keys in another order; they are compared as sums, and row by row
//! only if those differ.
//!
//! Damage never ends a check. A row that does not decode, a block whose checksum is wrong, a file that was changed: each is a finding, and the check
//! goes on with what can be read.

mod answers;
mod entries;
mod findings;
mod heads;
mod history;
mod indexes;
mod layout;
mod leaves;
mod rows;
mod signatures;
mod sums;
mod sweep;
mod tree;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::lock::LockFile;
use super::store::{Access, Home, Store, StoreError, StoreSizes};
use super::tables::{ByTaxpayer, DERIVED, Heads, Invoices, Meta, Table as _, watermark};
use super::{Ledger, LedgerError};
use crate::crypto::keyring::Keyring;
use crate::limits::{FSCK_CHUNK, FSCK_PARTS};
use entries::{Plan, Tally, Worker};
use findings::{At, Findings};
use heads::HeadKeys;
use history::History;
use indexes::Stored;
use layout::Tags;
use leaves::Survey;
use sums::RowHash;
use tree::{TILE, Tree};

/// In place of a table: the files of the database.
const FILES: &str = "files";

/// How a ledger is checked.
pub struct Fsck<'a> {
    /// Tag and data key; without them tags and bodies are skipped.
    pub secrets: Option<&'a Keyring>,
    /// Told of (leaves done, leaves in all), by any thread, one at a time.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Random and new for each check, so that nobody can prepare rows or signatures that cancel each other out.
    pub seed: [u8; 32],
    /// Threads.
    pub workers: NonZero<usize>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Column family, or `files`.
    pub table: &'static str,
    /// Leaf, invoice, tile, size or key; a range of them; a file.
    pub at: String,
    /// What is wrong.
    pub what: &'static str,
    /// In what way, where that is not always the same.
    pub detail: Option<String>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Leaves checked.
    pub leaves: u64,
    /// Rows of `inv` checked.
    pub invoices: u64,
    /// Signed checkpoints checked.
    pub checkpoints: u64,
    /// Bodies opened and compared.
    pub bodies: u64,
    /// Bodies that were erased, by what stands in their place: no fault, as one that is lost is.
    pub erased: u64,
    /// What was not checked, and why.
    pub skipped: Vec<String>,
    /// What is wrong, by table and place; empty if the ledger is sound.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub further: u64,
}

impl Ledger {
    /// Checks an open ledger as of its published size, while writes go on. An error is a database that cannot be asked; everything else is a finding.
    pub fn fsck(&self, how: &Fsck<'_>) -> Result<FsckReport, LedgerError> {
        Run::new(&self.store, how, Some(self.published().size))?.check()
    }

    /// Checks a ledger that nobody has open for writing, up to its newest checkpoint, whether it would open or not. Nothing is written.
    pub fn fsck_at(home: &Home, sizes: StoreSizes, how: &Fsck<'_>) -> Result<FsckReport, LedgerError> {
        let store = Store::open(home, sizes, Access::Examine)?;
        let lock = LockFile::beside(home);
        let before = lock.read()?;
        let run = Run::new(&store, how, None)?;
        for change in store.changes() {
            match change {
                StoreError::Changed { path, how } => {
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                    run.findings.add_with(FILES, At::Named(name), "the file is not as it was when the ledger was closed", format_args!("it {how}"));
                }
                other => run.findings.add_with(FILES, At::Named(String::new()), findings::UNREADABLE, other),
            }
        }
        for table in store.absent() {
            run.findings.add(table, At::Named("all".to_owned()), "the table is not there");
        }
        let report = run.check()?;
        // Somebody was out of sight when it began, and has written.
        if lock.read()? != before { Err(StoreError::InUse(home.directory.clone()).into()) } else { Ok(report) }
    }
}

/// One check under way.
struct Run<'a> {
    store: &'a Store,
    how: &'a Fsck<'a>,
    /// Leaves that are checked.
    size: u64,
    /// The ledger is open: rows beyond the size were written meanwhile.
    live: bool,
    /// Leaves in a part: a power of two and whole tiles.
    part: u64,
    findings: Findings,
    skipped: Mutex<Vec<String>>,
    progress: Progress<'a>,
    /// Derived tables that are incomplete for a known reason.
    incomplete: Vec<&'static str>,
}

impl<'a> Run<'a> {
    fn new(store: &'a Store, how: &'a Fsck<'a>, published: Option<u64>) -> Result<Run<'a>, LedgerError> {
        let mut run = Run {
            store,
            how,
            size: 0,
            live: published.is_some(),
            part: TILE,
            findings: Findings::default(),
            skipped: Mutex::default(),
            progress: Progress::new(how.progress, 0),
            incomplete: store.absent().to_vec(),
        };
        let (size, signed) = match published {
            Some(size) => (size, true),
            None => heads::newest(&run)?,
        };
        if !signed {
            run.findings.add(Heads::NAME, At::Number(size), "there is no checkpoint of the newest leaves");
        }
        // So many parts for each worker that all end at about the same time.
        let part = size / (FSCK_PARTS * how.workers.get() as u64);
        run.size = size;
        run.part = part.checked_next_power_of_two().unwrap_or(FSCK_CHUNK).clamp(TILE, FSCK_CHUNK);
        run.progress = Progress::new(how.progress, size);
        Ok(run)
    }

    /// Whether a table is compared.
    fn checks(&self, table: &str) -> bool {
        !self.incomplete.contains(&table)
    }

    fn skip(&self, what: String) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn check(mut self) -> Result<FsckReport, LedgerError> {
        if self.how.secrets.is_none() {
            self.skip("id tags and bodies: the secret keys are locked".to_owned());
        }
        for table in DERIVED {
            let pending = watermark(table).map(|name| self.store.get_raw(Meta::NAME, &[name.as_bytes().to_vec()]).pop());
            if matches!(pending, Some(Some(Ok(Some(_))))) {
                self.skip(format!("{table}: it is being rebuilt, which the next opening of the ledger will complete"));
                self.incomplete.push(table);
            }
        }
        let run = &self;
        let mut surveys = on_all_cores(run, run.parts(), || (), |(), part| leaves::survey(run, run.begin(part), run.begin(part + 1)), |()| ())?.0;
        let mut last = 0;
        for (survey, part) in surveys.iter().zip(0..) {
            if let Some((first, newest)) = survey.times {
                if first < last {
                    leaves::report_time(run, run.begin(part));
                }
                last = newest;
            }
        }
        let leaves = surveys.iter().map(|survey| survey.leaves).sum();
        let history = History::new(run, surveys.iter_mut().map(|survey| std::mem::take(&mut survey.gathered)).collect());
        let tree = Tree::settle(run, &mut surveys, tree::stated_root(run, run.size));
        drop::<Vec<Survey>>(surveys);
        if let Some(unknown) = tree.unknown {
            run.skip(format!("roots of the checkpoints beyond size {unknown}: that leaf and the tile above it are missing"));
        }
        let plan = Plan {
            head_keys: HeadKeys::new(run, &history),
            history: &history,
            tree: &tree,
            tags: run.how.secrets.map(|keyring| Tags::new(keyring.tag_key())),
            inv: RowHash::new(&run.how.seed, Invoices::NAME),
            tax: RowHash::new(&run.how.seed, ByTaxpayer::NAME),
        };
        let (tally, inv, tax) = run.entries(&plan)?;
        tree.check_upper(run)?;
        if tally.unread == 0 {
            history.report_orphans(run);
        }
        rows::compare(run, &history)?;
        rows::decode(run)?;
        rows::erasures(run, &tally.erased)?;
        answers::check(run, &history)?;
        if !run.live {
            rows::report_beyond(run)?;
        }
        for (table, stored) in [(Invoices::NAME, &inv), (ByTaxpayer::NAME, &tax)] {
            if run.checks(table) {
                indexes::compare(run, &plan, table, stored, &tally)?;
            }
        }
        self.progress.end();
        let Tally { checkpoints, bodies, ref erased, .. } = tally;
        let erased = erased.len() as u64;
        let (findings, further) = self.findings.into_list();
        let skipped = self.skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(FsckReport { leaves, invoices: inv.sum.rows, checkpoints, bodies, erased, skipped, findings, further })
    }

    /// The second pass over the log, and over the tables in another order.
    fn entries(&self, plan: &Plan<'_>) -> Result<(Tally, Stored, Stored), LedgerError> {
        let [invoices, taxpayers] = indexes::shares(self, 4 * self.how.workers.get())?;
        let mut work: Vec<Work> = (0..self.parts()).map(Work::Part).collect();
        work.extend(invoices.into_iter().map(Work::Invoices));
        work.extend(taxpayers.into_iter().map(Work::Taxpayers));
        let does = |worker: &mut Worker<'_>, at: usize| {
            let (mut inv, mut tax) = (Stored::default(), Stored::default());
            match work.get(at) {
                Some(Work::Part(part)) => worker.check(*part, self.begin(*part), self.begin(part + 1))?,
                Some(Work::Invoices(span)) => inv = indexes::sum_invoices(self, plan, span.clone())?,
                Some(Work::Taxpayers(span)) => tax = indexes::sum_taxpayers(self, plan, span.clone())?,
                None => {}
            }
            Ok((inv, tax))
        };
        let (sums, workers) = on_all_cores(self, work.len(), || Worker::new(self, plan), does, |worker| worker.signatures.check())?;
        let mut tally = Tally::default();
        for worker in &workers {
            tally.merge(&worker.tally);
        }
        let (mut inv, mut tax) = (Stored::default(), Stored::default());
        for (part_of_inv, part_of_tax) in &sums {
            inv.merge(part_of_inv);
            tax.merge(part_of_tax);
        }
        Ok((tally, inv, tax))
    }

    /// How many parts the log has: one at least, for the checkpoint of nothing.
    fn parts(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.part)).unwrap_or(usize::MAX).max(1)
    }

    fn begin(&self, part: usize) -> u64 {
        (part as u64 * self.part).min(self.size)
    }
}

/// A piece of the second pass.
enum Work {
    Part(usize),
    Invoices(indexes::Span),
    Taxpayers(indexes::Span),
}

/// Has every piece done by one of the workers, each with a state of its own. The results come in the order of the pieces.
fn on_all_cores<S: Send, R: Send>(
    run: &Run<'_>,
    pieces: usize,
    start: impl Fn() -> S + Sync,
    piece: impl Fn(&mut S, usize) -> Result<R, StoreError> + Sync,
    finish: impl Fn(&mut S) + Sync,
) -> Result<(Vec<R>, Vec<S>), LedgerError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut state, mut done) = (start(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= pieces {
                break;
            }
            match piece(&mut state, at) {
                Ok(result) => done.push((at, result)),
                Err(error) => {
                    // The others need not go on either.
                    next.store(pieces, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        finish(&mut state);
        Ok((state, done))
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..run.how.workers.get().min(pieces)).map(|_| scope.spawn(work)).collect();
        // A panic goes on where it would have gone without threads.
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let (mut results, mut states) = (Vec::new(), Vec::new());
    for end in ended {
        let (state, done) = end?;
        states.push(state);
        results.extend(done);
    }
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok((results.into_iter().map(|(_, result)| result).collect(), states))
}

/// How far a check is, in leaves. The first pass counts a tenth of a leaf, the second the rest: as long as they take.
struct Progress<'a> {
    told: &'a (dyn Fn(u64, u64) + Sync),
    tenths: AtomicU64,
    all: AtomicU64,
    /// What was told last: held while telling, so that nobody is told of less than before.
    last: Mutex<u64>,
}

impl<'a> Progress<'a> {
    const SECOND_PASS: u64 = 9;

    fn new(told: &'a (dyn Fn(u64, u64) + Sync), all: u64) -> Progress<'a> {
        Progress { told, tenths: AtomicU64::new(0), all: AtomicU64::new(all), last: Mutex::new(0) }
    }

    /// Leaves of the first pass.
    fn first(&self, leaves: u64) {
        self.add(leaves);
    }

    /// Leaves of the second pass.
    fn second(&self, leaves: u64) {
        self.add(Progress::SECOND_PASS * leaves);
    }

    /// A third pass, over leaves and two tables.
    fn expect_third(&self, leaves: u64) {
        self.all.fetch_add(leaves, Ordering::Relaxed);
    }

    fn third(&self, leaves: u64) {
        self.add((1 + Progress::SECOND_PASS) * leaves);
    }

    fn add(&self, tenths: u64) {
        let done = (self.tenths.fetch_add(tenths, Ordering::Relaxed) + tenths) / (1 + Progress::SECOND_PASS);
        let all = self.all.load(Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if done > *last && done < all {
            *last = done;
            (self.told)(done, all);
        }
    }

    fn end(&self) {
        let all = self.all.load(Ordering::Relaxed);
        (self.told)(all, all);
    }
}
