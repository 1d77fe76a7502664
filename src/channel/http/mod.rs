//! The server: every channel of the product that is reached over HTTP.
//!
//! ```text
//!  socket ─► serve: accept, bound, HTTP/1 or 2 ─► route: path, method ─► caller: token, role ─► handler ─► reply
//! ```
//!
//! Questions are answered where they arrive, on the threads that serve the sockets: they take microseconds. What syncs or walks the tree goes to
//! threads of its own. A panic costs the request in which it happens.

mod administration;
mod bulk;
mod callers;
mod components;
mod connections;
mod door;
mod invoices;
mod keys;
mod log;
mod openapi;
mod operation;
mod page;
mod proofs;
mod reply;
mod request;
mod route;
mod serve;
mod tls;
mod verify;
mod witness;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use door::{Door, Host};
pub use openapi::{access_page, description};
pub use reply::ReplyBody;
pub use request::{forwarded, parameter};
pub use route::{Body, ENDPOINTS, Endpoint, Operation, Roles, Route, Steps, find};
pub use serve::{Listening, ServeError, Served, Server};
pub use tls::{Tls, TlsError};
pub use witness::{SIZE, WitnessSite};

use crate::domain::caller::Caller;
use crate::engine::Engine;
use crate::limits::{BULK_AT_ONCE_MAX, BULK_OF_ONE_MAX, BULK_VERIFY_AT_ONCE_MAX, BULK_VERIFY_OF_ONE_MAX, HTTP_BODIES_KIB_MAX, HTTP_SUBMISSIONS_MAX};
use crate::metrics::{Metrics, Named};
use crate::verify::quota::Reason;
use crate::verify::verdict::Verdict;

/// Which requests are written to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// Those that failed through no fault of the caller.
    Failures,
    /// Every one, by endpoint, status and duration.
    All,
}

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpAddr>,
    /// Connections at a time.
    pub connections: usize,
    /// How long requests may take to end once the server was told to stop.
    pub drain: Duration,
    /// What is logged.
    pub log: RequestLog,
}

/// What all requests share.
#[derive(Debug)]
pub struct Site {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    settings: Settings,
    /// Memory for request bodies that come in more than one piece, in KiB.
    bodies: Arc<Semaphore>,
    /// Submissions that wait for their commit.
    submissions: Arc<Semaphore>,
    /// Bulk requests under way: those that issue, and those that verify.
    issuing: Arc<bulk::Places>,
    verifying: Arc<bulk::Places>,
    since: Instant,
    /// The second, since then, of the last line about a forged code.
    alarmed: AtomicU64,
    /// Whoever has no token.
    anonymous: Arc<Caller>,
    door: Door,
}

impl Site {
    /// A site over an engine. `run` is random.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, settings: Settings, run: u32) -> Site {
        engine.expect_strangers();
        // A series that begins with its first event is no increase to Prometheus, and an alert on it would miss that event.
        for verdict in Verdict::ALL {
            drop(metrics.verdicts.get_or_create(&Named { name: verdict.name() }));
        }
        for reason in Reason::ALL {
            drop(metrics.throttled.get_or_create(&Named { name: reason.name() }));
        }
        for name in ["no_token", "other_role", "unknown_token"] {
            drop(metrics.unauthorised.get_or_create(&Named { name }));
        }
        let door = Door::new(Arc::clone(&metrics), settings.connections, settings.drain, run);
        Site {
            engine,
            metrics,
            settings,
            bodies: Arc::new(Semaphore::new(HTTP_BODIES_KIB_MAX)),
            submissions: Arc::new(Semaphore::new(HTTP_SUBMISSIONS_MAX)),
            issuing: Arc::new(bulk::Places::new(BULK_AT_ONCE_MAX, BULK_OF_ONE_MAX)),
            verifying: Arc::new(bulk::Places::new(BULK_VERIFY_AT_ONCE_MAX, BULK_VERIFY_OF_ONE_MAX)),
            since: Instant::now(),
            alarmed: AtomicU64::new(0),
            anonymous: Arc::new(Caller::ANONYMOUS),
            door,
        }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Counts an answer, and says so in the log if nobody should have had what was asked with. Not more than once a second: strangers decide how often
    /// that happens.
    fn answered(&self, verdict: Verdict) {
        self.metrics.verdicts.get_or_create(&Named { name: verdict.name() }).inc();
        if verdict == Verdict::Forged {
            let second = self.since.elapsed().as_secs() + 1;
            if self.alarmed.swap(second, Ordering::Relaxed) != second {
                tracing::warn!(alarm = "forged", "a code was shown that nobody should have");
            }
        }
    }
}
