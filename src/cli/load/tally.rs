//! What a run has seen: latencies by sort of request, how many a second, what went wrong.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::limits::{LOAD_EXAMPLES_MAX, LOAD_LATENCY_MAX_US};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Whether an invoice is genuine.
    Verify,
    /// One invoice.
    Issue,
    /// Many invoices in one request.
    Bulk,
}

impl Sort {
    /// Each of them.
    pub const ALL: [Sort; 3] = [Sort::Verify, Sort::Issue, Sort::Bulk];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Sort::Verify => "verify",
            Sort::Issue => "issue",
            Sort::Bulk => "bulk",
        }
    }
}

/// Requests of one sort.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Microseconds.
    pub latency: Histogram<u64>,
    /// Those with a right answer.
    pub requests: u64,
    /// Invoices that they were about; more than requests in bulk.
    pub units: u64,
}

/// What one thread, or in the end all of them, have seen.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What comes before it is not counted.
    begin: Instant,
    /// By [`Sort`].
    sorts: [Measured; 3],
    /// Units answered in each second.
    pub series: Vec<u64>,
    /// When the last answer came.
    pub last: Option<Instant>,
    /// Answers that are not true.
    pub wrong: u64,
    /// Requests that were refused, or broke off.
    pub errors: u64,
    /// How often the server went away and the run waited for it.
    pub interruptions: u64,
    /// Arrivals that were due and were never sent.
    pub unserved: u64,
    /// How late arrivals reached a connection that waited for them, in microseconds: what of the latencies is the generator's own.
    pub late: Histogram<u64>,
    /// What the first of the wrong answers and errors were.
    pub examples: Vec<String>,
}

impl Tally {
    /// Nothing seen yet; counts from `begin` on.
    pub fn new(begin: Instant) -> Tally {
        let measured = || Measured { latency: histogram(), requests: 0, units: 0 };
        Tally {
            begin,
            sorts: [measured(), measured(), measured()],
            series: Vec::new(),
            last: None,
            wrong: 0,
            errors: 0,
            interruptions: 0,
            unserved: 0,
            late: histogram(),
            examples: Vec::new(),
        }
    }

    /// Requests of this sort.
    pub fn of(&self, sort: Sort) -> &Measured {
        &self.sorts[sort as usize]
    }

    /// A right answer about `units` to a request that should have been sent at `intended`.
    pub fn answered(&mut self, sort: Sort, intended: Instant, now: Instant, units: u64) {
        if intended < self.begin {
            return;
        }
        let measured = &mut self.sorts[sort as usize];
        measured.latency.saturating_record(micros(now - intended));
        measured.requests += 1;
        measured.units += units;
        let second = usize::try_from((now - self.begin).as_secs()).unwrap_or(usize::MAX).min(1 << 20);
        if self.series.len() <= second {
            self.series.resize(second + 1, 0);
        }
        self.series[second] += units;
        self.last = Some(now);
    }

    /// A connection that waited for an arrival got it this much too late.
    pub fn late(&mut self, by: Duration) {
        self.late.saturating_record(micros(by));
    }

    /// An arrival that was due since `intended` when the run was over.
    pub fn unserved(&mut self, sort: Sort, intended: Instant, now: Instant) {
        if intended >= self.begin {
            self.sorts[sort as usize].latency.saturating_record(micros(now - intended));
        }
        self.unserved += 1;
    }

    /// An answer that is not true.
    pub fn wrong(&mut self, what: String) {
        self.wrong += 1;
        self.example(what);
    }

    /// A request that failed.
    pub fn error(&mut self, what: String) {
        self.errors += 1;
        self.example(what);
    }

    fn example(&mut self, what: String) {
        if self.examples.len() < LOAD_EXAMPLES_MAX && !self.examples.contains(&what) {
            self.examples.push(what);
        }
    }

    /// Takes in what another thread has seen since the same moment.
    pub fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.sorts.iter_mut().zip(&other.sorts) {
            // Both have the same bounds.
            mine.latency.add(&theirs.latency).unwrap_or_else(|_| unreachable!("the same bounds"));
            mine.requests += theirs.requests;
            mine.units += theirs.units;
        }
        self.late.add(&other.late).unwrap_or_else(|_| unreachable!("the same bounds"));
        self.series.resize(self.series.len().max(other.series.len()), 0);
        for (mine, theirs) in self.series.iter_mut().zip(&other.series) {
            *mine += theirs;
        }
        self.last = self.last.max(other.last);
        self.wrong += other.wrong;
        self.errors += other.errors;
        self.interruptions += other.interruptions;
        self.unserved += other.unserved;
        other.examples.iter().for_each(|what| self.example(what.clone()));
    }

    /// Answered requests of all sorts.
    pub fn requests(&self) -> u64 {
        self.sorts.iter().map(|measured| measured.requests).sum()
    }

    /// Invoices of all sorts.
    pub fn units(&self) -> u64 {
        self.sorts.iter().map(|measured| measured.units).sum()
    }

    /// Latencies of all sorts.
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = self.sorts[0].latency.clone();
        for measured in self.sorts.iter().skip(1) {
            all.add(&measured.latency).unwrap_or_else(|_| unreachable!("the same bounds"));
        }
        all
    }

    /// How long it counted: to the last answer.
    pub fn duration(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| last - self.begin)
    }

    /// Invoices a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.duration().as_secs_f64();
        if seconds > 0.0 { self.units() as f64 / seconds } else { 0.0 }
    }
}

fn histogram() -> Histogram<u64> {
    // Right for every build: three digits, and bounds in order.
    Histogram::new_with_bounds(1, LOAD_LATENCY_MAX_US, 3).unwrap_or_else(|_| unreachable!("bounds in order"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}
