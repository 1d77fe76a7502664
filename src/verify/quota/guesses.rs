//! Failed factors of the day, in memory that nobody can make larger and nobody can make forget: count-min sketches with conservative update.
//!
//! An invoice (or an asker with an invoice) has one cell in each of four rows, at places that only this process can compute. A failure raises those of
//! its cells that hold the least; the least is what is read. No cell falls before midnight, so what is read is never too little: whoever shares all
//! four cells with others waits, or shows more of the paper, too early. Nobody gets another try.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Reason;
use crate::domain::time::UnixMillis;
use crate::limits::{FAILURES_ANONYMOUS_MAX, FAILURES_ASKER_MAX, GUESS_STRIPES, SKETCH_CELLS, SKETCH_ROWS, SKETCH_SEGMENTS};
use crate::verify::check::Checked;
use crate::verify::query::Strength;
use crate::verify::verdict::Verdict;

/// A question by factors, as far as it may be a guess. Digests are of this process' secret.
pub(super) enum Guess {
    /// By somebody without a token.
    Anonymous {
        /// The address prefix.
        tag: [u8; 16],
        /// The invoice.
        invoice: [u8; 32],
        /// The prefix with the invoice.
        own: [u8; 32],
        /// What the question shows.
        strength: Strength,
    },
    /// By a phone or an API key.
    Accountable {
        /// The asker.
        tag: [u8; 16],
        /// The asker with the invoice.
        own: [u8; 32],
    },
}

/// The failures of one day.
#[derive(Debug)]
pub(super) struct Guesses {
    /// One is held from reading a count to adding to it, over one comparison of factors; all of them while the day changes. They keep those who
    /// guess about the same invoice apart, and let all others pass.
    stripes: Box<[Mutex<()>]>,
    /// Which day, as [`UnixMillis::day_number`].
    day: AtomicU64,
    /// By invoice, of everybody without a token.
    anonymous: Sketch,
    /// By address prefix and invoice, of those about which the others were wrong too often. Apart from the next one, because addresses cost nothing.
    by_address: Sketch,
    /// By phone or API key, and invoice.
    by_account: Sketch,
}

impl Guesses {
    pub(super) fn new() -> Guesses {
        Guesses {
            stripes: (0..GUESS_STRIPES).map(|_| Mutex::default()).collect(),
            day: AtomicU64::new(0),
            anonymous: Sketch::new(FAILURES_ANONYMOUS_MAX),
            by_address: Sketch::new(FAILURES_ASKER_MAX),
            by_account: Sketch::new(FAILURES_ASKER_MAX),
        }
    }

    /// Compares, unless that would be one try too many.
    pub(super) fn compared(&self, guess: &Guess, now: UnixMillis, check: impl FnOnce() -> Checked) -> Result<Checked, Reason> {
        let _alone = self.enter(guess, now.day_number());
        let (sketch, cells) = match guess {
            Guess::Accountable { tag, own } => (&self.by_account, Cells::of_asker(tag, own)),
            Guess::Anonymous { tag, invoice, own, strength } => {
                let cells = Cells::of_invoice(invoice);
                match strength {
                    _ if !self.anonymous.is_spent(&cells) => (&self.anonymous, cells),
                    Strength::Plain => return Err(Reason::StrongerFactors),
                    Strength::Amounts => (&self.by_address, Cells::of_asker(tag, own)),
                    // Tries that show all digits need no count: there are 10^20 of them.
                    Strength::Digits => return Ok(check()),
                }
            }
        };
        if sketch.is_spent(&cells) {
            return Err(Reason::WaitOnInvoice);
        }
        let checked = check();
        if checked.verdict == Verdict::Mismatch {
            sketch.add(&cells);
        }
        Ok(checked)
    }

    /// Waits for others who guess about the same, and for the day to be `today`.
    fn enter(&self, guess: &Guess, today: u64) -> MutexGuard<'_, ()> {
        let (Guess::Anonymous { invoice: place, .. } | Guess::Accountable { own: place, .. }) = guess;
        let stripe = &self.stripes[usize::from(u16::from_be_bytes([place[30], place[31]])) % GUESS_STRIPES];
        loop {
            let alone = lock(stripe);
            if !self.is_over(today) {
                return alone;
            }
            drop(alone);
            self.begin(today);
        }
    }

    /// The clock has been read before the stripe was entered, so it may still be yesterday for somebody: their failures then count for today. A clock
    /// that was set back by more is believed.
    fn is_over(&self, today: u64) -> bool {
        let day = self.day.load(Ordering::Relaxed);
        today > day || day - today > 1
    }

    fn begin(&self, today: u64) {
        // Everybody takes them in this order, and whoever holds one takes no other.
        let _alone: Vec<MutexGuard<'_, ()>> = self.stripes.iter().map(lock).collect();
        if self.is_over(today) {
            // What was set back keeps its counts: more failures than there were hurt less than fewer.
            if today > self.day.load(Ordering::Relaxed) {
                self.anonymous.clear();
                self.by_address.clear();
                self.by_account.clear();
            }
            self.day.store(today, Ordering::Relaxed);
        }
    }
}

fn lock(stripe: &Mutex<()>) -> MutexGuard<'_, ()> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where something is counted: a cell in each row.
struct Cells([usize; SKETCH_ROWS]);

impl Cells {
    fn of_invoice(digest: &[u8; 32]) -> Cells {
        Cells(std::array::from_fn(|row| word(digest, row) % SKETCH_CELLS))
    }

    /// An asker has one segment of each row for all of its invoices: whoever fills theirs reaches nobody whose four segments are not all full.
    fn of_asker(tag: &[u8; 16], digest: &[u8; 32]) -> Cells {
        const SEGMENT: usize = SKETCH_CELLS / SKETCH_SEGMENTS;
        Cells(std::array::from_fn(|row| word(tag, row) % SKETCH_SEGMENTS * SEGMENT + word(digest, row) % SEGMENT))
    }
}

fn word(bytes: &[u8], nth: usize) -> usize {
    bytes.iter().skip(4 * nth).take(4).fold(0, |word, byte| word << 8 | usize::from(*byte))
}

/// Counts up to 255, a byte each, eight to a word.
#[derive(Debug)]
struct Sketch {
    /// The count that is too much.
    max: u8,
    rows: [Box<[AtomicU64]>; SKETCH_ROWS],
}

impl Sketch {
    fn new(max: u8) -> Sketch {
        Sketch { max, rows: std::array::from_fn(|_| (0..SKETCH_CELLS / 8).map(|_| AtomicU64::new(0)).collect()) }
    }

    fn least(&self, Cells(cells): &Cells) -> u8 {
        let counts = self.rows.iter().zip(cells).map(|(row, cell)| byte(row[cell / 8].load(Ordering::Relaxed), cell % 8));
        counts.min().unwrap_or(u8::MAX)
    }

    fn is_spent(&self, cells: &Cells) -> bool {
        self.least(cells) >= self.max
    }

    /// Whoever counts the same is alone; others may raise a shared cell at the same time, and it keeps the larger count.
    fn add(&self, cells: &Cells) {
        let raised = self.least(cells).saturating_add(1);
        for (row, cell) in self.rows.iter().zip(cells.0) {
            let shift = cell % 8 * 8;
            let raise = |word: u64| (byte(word, cell % 8) < raised).then(|| (word & !(0xff << shift)) | u64::from(raised) << shift);
            // Nothing is wrong if there is nothing to raise.
            let _: Result<u64, u64> = row[cell / 8].fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise);
        }
    }

    fn clear(&self) {
        for word in self.rows.iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
    }
}

fn byte(word: u64, at: usize) -> u8 {
    word.to_le_bytes()[at]
}
