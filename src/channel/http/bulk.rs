//! `POST /v1/invoices/bulk` and `POST /v1/verify/bulk`: drafts or questions as JSON lines in, one line for each out, in their order, while they are read.
//!
//! The lines go through the same threads as those of `fapiao issue` and `fapiao bulk`; here the socket is bridged to them, a piece at a time in each
//! direction, so that neither a large request nor a slow reader takes memory.

use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use dashmap::DashMap;
use hyper::StatusCode;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Site;
use super::operation::{Handled, text_of};
use super::reply::{LINES, Reply, ReplyBody};
use super::request::{Request, next};
use crate::channel::issuing::{Issuing, Purpose, Room};
use crate::channel::lines::broken_off;
use crate::channel::problem::{self, Kind, Problem};
use crate::channel::receipt::Detail;
use crate::channel::verifying::{Listener, Verifying, VerifyingError};
use crate::domain::caller::CallerId;
use crate::limits::{BULK_BODY_BYTES_MAX, BULK_PIECE_BYTES, BULK_PIECES_MAX, BULK_ROWS_MAX, HTTP_BODY_SECS, HTTP_WRITE_SECS};
use crate::metrics::Named;
use crate::verify::answer::Answer;

/// What bulk requests are sent as.
const TYPES: [&str; 4] = [LINES, "application/jsonl", "application/json", "text/plain"];

pub(super) async fn issue(request: Request) -> Handled {
    has_lines(&request)?;
    // Where nothing can be logged it is said once, not on every line.
    request.site.engine.ledger().may_write().map_err(|error| problem::not_writing(&error))?;
    let under_way = UnderWay::new(&request.site.issuing, request.caller.id)?;
    let detail = if request.prefers_minimal() { Detail::Minimal } else { Detail::Receipt };
    let (site, caller) = (Arc::clone(&request.site), Arc::clone(&request.caller));
    Ok(bridged(request, under_way, move |input, output| {
        let count = |name| {
            site.metrics.submissions.get_or_create(&Named { name }).inc();
        };
        let issuing = Issuing { engine: &site.engine, purpose: Purpose::Issue, caller: &caller, detail, room: Room::REQUEST };
        let ended = issuing.run(input, output, &count).err();
        ended.map(|error| ("输入中断，其后未处理".to_owned(), format!("the input ended early: {error}")))
    }))
}

pub(super) async fn verify(request: Request) -> Handled {
    has_lines(&request)?;
    let wants_proof = request.flag("proof")?;
    if wants_proof {
        // Said before anything is counted, and not where the signature would be.
        request.blocking(|engine, _| engine.may_sign_answers()).await??;
    }
    let under_way = UnderWay::new(&request.site.verifying, request.caller.id)?;
    let (site, asker) = (Arc::clone(&request.site), request.asker);
    Ok(bridged(request, under_way, move |input, output| {
        let verifying = Verifying { engine: &site.engine, asker, wants_proof, rows_max: BULK_ROWS_MAX };
        match verifying.run(input, output, &*site) {
            Ok(_) => None,
            Err(VerifyingError::Engine(error)) => {
                tracing::error!(endpoint = "verify_bulk", %error, "a request failed");
                let problem = problem::failed(&error);
                let (zh, en) = problem.more.detail.unwrap_or_else(|| {
                    let (zh, en) = problem.kind.title();
                    (zh.to_owned(), en.to_owned())
                });
                Some((format!("未能完成，结果未签名：{zh}"), format!("not done, and nothing is signed: {en}")))
            }
            Err(error @ VerifyingError::TooMany(most)) => Some((format!("一次最多查验 {most} 行，其后未处理"), error.to_string())),
            Err(VerifyingError::Stream(error)) => Some(("输入中断，其后未处理".to_owned(), format!("the input ended early: {error}"))),
        }
    }))
}

impl Listener for Site {
    fn answered(&self, answer: &Answer) {
        Site::answered(self, answer.verdict);
        if let Some(throttled) = &answer.throttled {
            self.metrics.throttled.get_or_create(&Named { name: throttled.reason.name() }).inc();
        }
    }

    fn may_wait(&self) -> bool {
        !self.door.is_stopping()
    }
}

/// Whether there is a body, of a type that has lines.
fn has_lines(request: &Request) -> Result<(), Problem> {
    request.refuse_other_types(&TYPES)?;
    if request.body.is_end_stream() {
        return Err(Problem::because(Kind::BadRequest, "没有请求内容", "there is no body"));
    }
    Ok(())
}

/// Why a stream ended early, in Chinese and in English.
type Ended = Option<(String, String)>;

/// Has `work` read the body and write the reply, on a thread that may wait.
fn bridged(request: Request, under_way: UnderWay, work: impl FnOnce(BufReader<Pieces>, &mut ReplyLines) -> Ended + Send + 'static) -> Reply {
    let (pieces_in, pieces) = mpsc::channel(BULK_PIECES_MAX);
    let (lines_in, lines) = mpsc::channel(BULK_PIECES_MAX);
    let Request { site, endpoint, mut body, .. } = request;

    tokio::spawn(async move {
        let mut total = 0u64;
        loop {
            // A body that stalls, breaks off or is too long ends here as an error of reading, after what came before it.
            let piece = match tokio::time::timeout(Duration::from_secs(HTTP_BODY_SECS), next(&mut body)).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return,
                Ok(Err(_)) => break drop(pieces_in.send(Err(io::ErrorKind::ConnectionAborted)).await),
                Err(_) => break drop(pieces_in.send(Err(io::ErrorKind::TimedOut)).await),
            };
            total += piece.len() as u64;
            if total > BULK_BODY_BYTES_MAX {
                break drop(pieces_in.send(Err(io::ErrorKind::FileTooLarge)).await);
            }
            if pieces_in.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let input = BufReader::with_capacity(BULK_PIECE_BYTES, Pieces { pieces, current: Bytes::new() });
        let mut output = ReplyLines { lines: lines_in, runtime, buffer: Vec::with_capacity(BULK_PIECE_BYTES) };
        let ended = match catch_unwind(AssertUnwindSafe(|| work(input, &mut output))) {
            Ok(ended) => ended,
            Err(panic) => {
                site.metrics.panics.inc();
                tracing::error!(endpoint = endpoint.name, panic = text_of(&*panic), "a handler panicked");
                let en = "an error of the server; what became of the rest is unknown".to_owned();
                Some(("服务器内部错误，其后结果未知".to_owned(), en))
            }
        };
        if let Some((zh, en)) = ended {
            // What was read before it is answered; why no more is, is the last line.
            drop(writeln!(output, "{}", broken_off(&zh, &en)).and_then(|()| output.flush()));
        }
        drop(under_way);
    });
    Reply { status: StatusCode::OK, content_type: LINES, headers: hyper::HeaderMap::new(), body: ReplyBody::Pieces(lines) }
}

/// The places of bulk requests of one sort.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    of_one_max: usize,
    taken: DashMap<Option<CallerId>, usize>,
}

impl Places {
    /// So many in all, and so many of one caller.
    pub(super) fn new(all: usize, of_one_max: usize) -> Places {
        Places { all: Arc::new(Semaphore::new(all)), of_one_max, taken: DashMap::new() }
    }
}

/// One bulk request, of all and of its caller's.
struct UnderWay {
    places: Arc<Places>,
    caller: Option<CallerId>,
    _place: OwnedSemaphorePermit,
}

impl UnderWay {
    /// A problem if there is no room: no caller may fill it alone.
    fn new(places: &Arc<Places>, caller: Option<CallerId>) -> Result<UnderWay, Problem> {
        let full = || problem::busy("同时进行的批量请求过多", "too many bulk requests at a time");
        let place = Arc::clone(&places.all).try_acquire_owned().map_err(|_| full())?;
        let mut own = places.taken.entry(caller).or_insert(0);
        if *own >= places.of_one_max {
            return Err(full());
        }
        *own += 1;
        drop(own);
        Ok(UnderWay { places: Arc::clone(places), caller, _place: place })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let dashmap::Entry::Occupied(mut own) = self.places.taken.entry(self.caller) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

/// A body as something to read from.
struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, io::ErrorKind>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let take = self.current.len().min(into.len());
        self.current.copy_to_slice(into.get_mut(..take).unwrap_or_default());
        Ok(take)
    }
}

/// A reply as something to write to. A reader who takes nothing for too long is given up.
struct ReplyLines {
    lines: mpsc::Sender<Bytes>,
    runtime: tokio::runtime::Handle,
    buffer: Vec<u8>,
}

impl Write for ReplyLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BULK_PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(BULK_PIECE_BYTES)));
        let sending = tokio::time::timeout(Duration::from_secs(HTTP_WRITE_SECS), self.lines.send(piece));
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
