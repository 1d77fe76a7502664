//! Drives many connections, closed loop (each sends when it was answered) or open loop (arrivals on a fixed schedule, whoever is free takes the next).
//!
//! In the open loop a latency counts from the moment at which the schedule wanted the request to be sent. A server that stalls for a second is thus
//! charged for all the requests that would have come in that second, and not only for those that happened to be under way: otherwise the load
//! generator would politely wait along with it (coordinated omission). In the closed loop that cannot be had, because nobody knows what would have
//! come; its latencies are those of a client that waits.
//!
//! ```text
//!  pacer: one permit for each arrival ──► connections: take a permit, and with it the next place in the schedule
//! ```

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::tally::{Sort, Tally};
use crate::limits::{LOAD_DRAIN_SECONDS, LOAD_RECONNECT_MS};

/// How often it is looked whether a run is over.
const TICK: Duration = Duration::from_millis(20);

/// How to drive.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections, spread over the threads.
    pub connections: usize,
    /// Threads with a runtime each.
    pub threads: usize,
    /// Requests under way on a connection at once.
    pub pipeline: usize,
    /// Arrivals a second; without it the loop is closed.
    pub rate: Option<f64>,
    /// How long arrivals are sent, warm-up included.
    pub duration: Duration,
    /// Arrivals at most.
    pub requests: u64,
    /// How long it goes on before it counts.
    pub warmup: Duration,
    /// How long a server may be away. `None`: a connection that breaks is an error.
    pub patience: Option<Duration>,
}

/// Why a request has no right answer.
#[derive(Debug)]
pub enum Trouble {
    /// The connection broke; whether the server acted is not known.
    Lost(io::Error),
    /// The server wants it later: status, and when.
    Busy(u16, Duration),
    /// The answer is not true.
    Wrong(String),
    /// Another answer than any that was asked for.
    Failed(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lost(error)
    }
}

/// What one connection does. Its requests are its own affair: what is to be asked, and whether the answer is right.
pub trait Work {
    /// Connects, also again.
    fn connect(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Makes `count` requests at once and says of each right answer in turn, in their order, of which sort and about how many invoices it was. A
    /// request that was [`Trouble::Lost`] or [`Trouble::Busy`] is the first of the next call.
    fn exchange(&mut self, count: usize, answered: &mut dyn FnMut(Sort, u64)) -> impl Future<Output = Result<(), Trouble>>;

    /// Forgets what was lost: it is not asked again.
    fn give_up(&mut self);

    /// The sort of what was not sent.
    fn sort(&self) -> Sort;
}

/// Asks a run to end; the answers so far count.
pub type Stop = Arc<AtomicBool>;

/// How a run ended.
#[derive(Debug)]
pub struct Driven<W> {
    /// All that was seen.
    pub tally: Tally,
    /// The connections' work, as it was left.
    pub work: Vec<W>,
    /// The server could not be reached, or stayed away for longer than patience.
    pub unreachable: bool,
}

/// What the threads of a run share.
struct Run {
    plan: Plan,
    start: Instant,
    /// Arrivals that connections have taken.
    taken: AtomicU64,
    /// Permits to take the next arrival.
    due: Semaphore,
    stop: Stop,
    unreachable: AtomicBool,
}

/// Arrivals that a connection has taken.
struct Turn {
    first: u64,
    count: usize,
}

/// Drives one piece of work per connection; `progress` is told now and then how many arrivals were taken.
pub fn drive<W: Work + Send>(plan: &Plan, work: Vec<W>, stop: &Stop, mut progress: impl FnMut(u64)) -> Driven<W> {
    let run = Run {
        plan: plan.clone(),
        start: Instant::now(),
        taken: AtomicU64::new(0),
        due: Semaphore::new(0),
        stop: Arc::clone(stop),
        unreachable: AtomicBool::new(false),
    };
    let run = &run;
    let threads = plan.threads.clamp(1, work.len().max(1));
    let mut shares: Vec<Vec<W>> = (0..threads).map(|_| Vec::new()).collect();
    for (nth, work) in work.into_iter().enumerate() {
        shares[nth % threads].push(work);
    }
    let mut driven = Driven { tally: run.tally(), work: Vec::new(), unreachable: false };
    thread::scope(|scope| {
        let clients: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| run.client(share))).collect();
        let pacer = plan.rate.map(|rate| scope.spawn(move || run.pace(rate)));
        while !clients.iter().all(|client| client.is_finished()) {
            progress(run.taken.load(Ordering::Relaxed));
            thread::sleep(TICK);
        }
        for client in clients {
            let (tally, share) = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            driven.tally.add(&tally);
            driven.work.extend(share);
        }
        if let Some(given) = pacer.map(|pacer| pacer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))) {
            let (now, sort) = (Instant::now(), driven.work.first().map_or(Sort::Verify, Work::sort));
            for arrival in run.taken.load(Ordering::Relaxed)..given {
                driven.tally.unserved(sort, run.intended(arrival).unwrap_or(now), now);
            }
        }
    });
    driven.unreachable = run.unreachable.load(Ordering::Relaxed);
    driven
}

impl Run {
    fn tally(&self) -> Tally {
        Tally::new(self.start + self.plan.warmup)
    }

    fn is_given_up(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.unreachable.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_given_up() || self.start.elapsed() >= self.plan.duration
    }

    /// When the schedule wanted this arrival to be sent; `None` in the closed loop.
    fn intended(&self, arrival: u64) -> Option<Instant> {
        self.plan.rate.map(|rate| self.start + Duration::from_secs_f64(arrival as f64 / rate))
    }

    /// Hands out a permit for each arrival when it is due; returns how many there were. What is not taken soon after the end is not sent any more.
    fn pace(&self, rate: f64) -> u64 {
        let mut given = 0_u64;
        while !self.is_over() && given < self.plan.requests {
            // Arrival 0 is due at once.
            let due = (self.start.elapsed().as_secs_f64() * rate) as u64 + 1;
            let due = due.min(self.plan.requests);
            if due > given {
                self.due.add_permits(usize::try_from(due - given).unwrap_or(usize::MAX));
                given = due;
            }
            let next = self.intended(given).map_or(TICK, |next| next.saturating_duration_since(Instant::now()));
            thread::sleep(next.min(TICK));
        }
        let end = Instant::now();
        let drain = Duration::from_secs(LOAD_DRAIN_SECONDS);
        // Until all are taken: a permit that has been handed to a waiting connection is gone before it is used.
        while self.taken.load(Ordering::Relaxed) < given && end.elapsed() < drain && !self.is_given_up() {
            thread::sleep(Duration::from_millis(1));
        }
        self.due.close();
        given
    }

    /// One thread with its connections. They are polled in place, so that what they have done is there however they end.
    fn client<W: Work>(&self, mut share: Vec<W>) -> (Tally, Vec<W>) {
        let tally = RefCell::new(self.tally());
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tally.borrow_mut().error(format!("no runtime: {error}"));
                return (tally.into_inner(), share);
            }
        };
        let under_way: Vec<Cell<Option<Instant>>> = share.iter().map(|_| Cell::new(None)).collect();
        runtime.block_on(async {
            let connections = join_all(share.iter_mut().zip(&under_way).map(|(work, since)| self.connection(work, &tally, since)));
            tokio::select! {
                _ = connections => {}
                () = self.too_late() => {}
            }
        });
        let now = Instant::now();
        for (work, since) in share.iter_mut().zip(under_way) {
            if let Some(since) = since.get() {
                work.give_up();
                let mut tally = tally.borrow_mut();
                tally.unserved(work.sort(), since, now);
                tally.error(format!("no answer for {LOAD_DRAIN_SECONDS} s after the end"));
            }
        }
        (tally.into_inner(), share)
    }

    /// Comes when nobody is waited for any longer.
    async fn too_late(&self) {
        while !self.is_over() {
            tokio::time::sleep(TICK).await;
        }
        // The pacer waits as long for what is due; what it hands out last is waited for as well.
        tokio::time::sleep(Duration::from_secs(2 * LOAD_DRAIN_SECONDS)).await;
    }

    async fn connection<W: Work>(&self, work: &mut W, tally: &RefCell<Tally>, under_way: &Cell<Option<Instant>>) {
        if !self.reach(work).await {
            return;
        }
        while let Some(turn) = self.take(tally).await {
            let start = Instant::now();
            let mut done = 0;
            while done < turn.count {
                under_way.set(Some(self.intended(turn.first + done as u64).unwrap_or(start)));
                let left = turn.count - done;
                let mut answered = |sort, units| {
                    let intended = self.intended(turn.first + done as u64).unwrap_or(start);
                    done += 1;
                    tally.borrow_mut().answered(sort, intended, Instant::now(), units);
                };
                let outcome = work.exchange(left, &mut answered).await;
                match outcome {
                    Ok(()) => break,
                    Err(Trouble::Wrong(what)) => {
                        tally.borrow_mut().wrong(what);
                        done += 1;
                    }
                    Err(Trouble::Failed(what)) => {
                        tally.borrow_mut().error(what);
                        done += 1;
                    }
                    Err(Trouble::Lost(_) | Trouble::Busy(..)) if self.plan.patience.is_some() && !self.stop.load(Ordering::Relaxed) => {
                        tally.borrow_mut().interruptions += 1;
                        if let Err(Trouble::Busy(_, wait)) = outcome {
                            tokio::time::sleep(wait).await;
                        }
                    }
                    Err(Trouble::Lost(error)) => {
                        tally.borrow_mut().error(format!("the connection broke: {error}"));
                        work.give_up();
                        done = turn.count;
                    }
                    Err(Trouble::Busy(status, wait)) => {
                        tally.borrow_mut().error(format!("status {status}, try again in {} s", wait.as_secs()));
                        work.give_up();
                        done = turn.count;
                    }
                }
                // Whatever else was under way is still to come on the old connection.
                if !self.reach(work).await {
                    under_way.set(None);
                    return;
                }
            }
            under_way.set(None);
        }
    }

    /// Connects, with patience if there is any.
    async fn reach<W: Work>(&self, work: &mut W) -> bool {
        let since = Instant::now();
        loop {
            let patience = self.plan.patience.unwrap_or(Duration::ZERO);
            match work.connect().await {
                Ok(()) => return true,
                Err(_) if since.elapsed() < patience && !self.stop.load(Ordering::Relaxed) => {
                    tokio::time::sleep(Duration::from_millis(LOAD_RECONNECT_MS)).await;
                }
                Err(_) => {
                    self.unreachable.store(true, Ordering::Relaxed);
                    return false;
                }
            }
        }
    }

    /// The next arrivals, once they are due; `None` when there are no more.
    async fn take(&self, tally: &RefCell<Tally>) -> Option<Turn> {
        let (mut count, mut waited) = (self.plan.pipeline.max(1), false);
        if self.plan.rate.is_some() {
            let due = match self.due.try_acquire() {
                Ok(due) => due,
                Err(_) => {
                    waited = true;
                    self.due.acquire().await.ok()?
                }
            };
            due.forget();
            let mut more = 1;
            while more < count
                && let Ok(due) = self.due.try_acquire()
            {
                due.forget();
                more += 1;
            }
            count = more;
        } else if self.is_over() {
            return None;
        }
        let first = self.taken.fetch_add(count as u64, Ordering::Relaxed);
        let left = self.plan.requests.saturating_sub(first);
        if waited && let Some(intended) = self.intended(first) {
            tally.borrow_mut().late(Instant::now().saturating_duration_since(intended));
        }
        match usize::try_from(left).unwrap_or(usize::MAX).min(count) {
            0 => None,
            count => Some(Turn { first, count }),
        }
    }
}
