//! What a server needs to know of whom it serves for: where its connections are counted, and who answers a request.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::connections::Connections;
use super::reply::ReplyBody;
use crate::metrics::Metrics;

/// Whoever answers the requests that come over a socket.
pub trait Host: Send + Sync + 'static {
    /// Where they come in.
    fn door(&self) -> &Door;

    /// Answers one; if it is one too many, in as few words as can be, so that nothing is held of it.
    fn answer(self: Arc<Self>, peer: IpAddr, request: Request<Incoming>, too_many: bool) -> impl Future<Output = Response<ReplyBody>> + Send;
}

/// Where requests come in.
#[derive(Debug)]
pub struct Door {
    pub(super) metrics: Arc<Metrics>,
    /// Connections at a time.
    pub(super) room: usize,
    /// How long requests may take to end once the server was told to stop.
    pub(super) drain: Duration,
    /// The connections that are open.
    pub(super) open: Arc<Connections>,
    pub(super) stopping: AtomicBool,
    /// Names this process in the ids of its requests.
    run: u32,
    requests: AtomicU64,
}

impl Door {
    /// A door through which nobody has come yet. `run` is random.
    pub fn new(metrics: Arc<Metrics>, room: usize, drain: Duration, run: u32) -> Door {
        let (open, stopping, requests) = (Arc::new(Connections::new()), AtomicBool::new(false), AtomicU64::new(0));
        Door { metrics, room, drain, open, stopping, run, requests }
    }

    pub(super) fn next_request_id(&self) -> RequestId {
        RequestId { run: self.run, number: self.requests.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Names a request: in the logs, and in its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId {
    run: u32,
    number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.run, self.number)
    }
}
