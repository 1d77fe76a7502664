//! Which connections are open and what they are about: when there is no room, those that do nothing give way; those that get nowhere are ended.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::reply::ReplyBody;
use crate::limits::{HTTP_HEAD_SECS, HTTP_REQUESTS_MAX, HTTP_SLICE_BYTES, HTTP_STALL_SECS};

/// Every open connection.
#[derive(Debug)]
pub(super) struct Connections {
    since: Instant,
    /// Held for as long as it takes to enter or leave, or to copy the list.
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    /// Requests under way on all of them.
    under_way: Arc<AtomicUsize>,
}

/// What one connection is about.
#[derive(Debug)]
pub(super) struct Activity {
    since: Instant,
    /// When something last came of it, in milliseconds since then.
    last_ms: AtomicU64,
    /// Requests that have begun and whose answers are not handed over to the last byte.
    under_way: AtomicUsize,
    under_way_everywhere: Arc<AtomicUsize>,
    give_way: Notify,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has been idle for long enough: it may end in good order.
    Idle,
    /// It gets nowhere, or somebody else needs its place.
    Cut,
}

impl Connections {
    pub(super) fn new() -> Connections {
        Connections { since: Instant::now(), open: Mutex::default(), next: AtomicU64::new(0), under_way: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection, until the value is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        let activity = Arc::new(Activity {
            since: self.since,
            last_ms: AtomicU64::new(millis(self.since)),
            under_way: AtomicUsize::new(0),
            under_way_everywhere: Arc::clone(&self.under_way),
            give_way: Notify::new(),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, Arc::clone(&activity));
        Entered { connections: Arc::clone(self), id, activity }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// Requests under way on all of them, those included whose answers are on their way.
    pub(super) fn requests(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Ends as many of those that do nothing, the longest idle first.
    pub(super) fn make_room(&self, wanted: usize) {
        let mut idle: Vec<(u64, Arc<Activity>)> = {
            let open = self.open();
            let idle = open.values().filter(|activity| activity.under_way.load(Ordering::Relaxed) == 0);
            idle.map(|activity| (activity.last_ms.load(Ordering::Relaxed), Arc::clone(activity))).collect()
        };
        idle.sort_unstable_by_key(|(last_ms, _)| *last_ms);
        idle.truncate(wanted);
        idle.iter().for_each(|(_, activity)| activity.give_way.notify_one());
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A connection in the list.
pub(super) struct Entered {
    connections: Arc<Connections>,
    id: u64,
    activity: Arc<Activity>,
}

impl Entered {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.open().remove(&self.id);
    }
}

impl Activity {
    fn touch(&self) {
        self.last_ms.store(millis(self.since), Ordering::Relaxed);
    }

    /// A request begins; it ends when the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.under_way_everywhere.fetch_add(1, Ordering::Relaxed);
        self.touch();
        UnderWay(Arc::clone(self))
    }

    /// Waits until this connection is to end; one that was told to go is not told again that it is idle.
    pub(super) async fn fate(&self, told_to_go: bool) -> Fate {
        loop {
            let quiet = millis(self.since).saturating_sub(self.last_ms.load(Ordering::Relaxed)) / 1_000;
            let is_idle = !told_to_go && self.under_way.load(Ordering::Relaxed) == 0;
            if quiet >= HTTP_STALL_SECS {
                return Fate::Cut;
            }
            if is_idle && quiet >= HTTP_HEAD_SECS {
                return Fate::Idle;
            }
            // It is not looked at before something can have become of it, however many others there are. What is under way may be over at any time.
            let wait = match (told_to_go, is_idle) {
                (false, true) => HTTP_HEAD_SECS - quiet,
                (false, false) => (HTTP_STALL_SECS - quiet).min(HTTP_HEAD_SECS),
                (true, _) => HTTP_STALL_SECS - quiet,
            };
            tokio::select! {
                // Chosen while it was idle, it may have begun something since.
                () = self.give_way.notified() => if self.under_way.load(Ordering::Relaxed) == 0 { return Fate::Cut },
                () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            }
        }
    }
}

/// A request between its first byte and the last of its answer.
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    /// Whether there are more requests under way than there may be. The only one of a connection never is: however many others hold, who has one is served.
    pub(super) fn is_one_too_many(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) > 1 && self.0.under_way_everywhere.load(Ordering::Relaxed) > HTTP_REQUESTS_MAX
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.touch();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.under_way_everywhere.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer on its way: what is taken of it is taken in slices, each of them a sign of life, and its request is under way to the end of it.
pub(super) struct Sent {
    body: ReplyBody,
    under_way: Option<UnderWay>,
}

impl Sent {
    /// With nothing in it, the request is over.
    pub(super) fn new(body: ReplyBody, under_way: UnderWay) -> Sent {
        let under_way = (!body.is_end_stream()).then_some(under_way);
        Sent { body, under_way }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let sent = self.get_mut();
        let polled = match &mut sent.body {
            ReplyBody::Whole(Some(bytes)) if bytes.len() > HTTP_SLICE_BYTES => Poll::Ready(Some(Ok(Frame::data(bytes.split_to(HTTP_SLICE_BYTES))))),
            body => Pin::new(body).poll_frame(context),
        };
        // The last is a sign of life in that the request is over.
        if polled.is_ready()
            && !sent.body.is_end_stream()
            && let Some(under_way) = &sent.under_way
        {
            under_way.0.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
