//! `POST /v1/invoices/bulk`: drafts as JSON lines in, one line for each out, in their order, while they are read.
//!
//! The lines go through the same threads as those of `fapiao issue`; here the socket is bridged to them, a piece at a time in each direction, so that
//! neither a large request nor a slow reader takes memory.

use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::StatusCode;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Site;
use super::operation::{Handled, text_of};
use super::reply::{LINES, Reply, ReplyBody};
use super::request::{Request, next};
use crate::channel::issuing::{Issuing, Purpose, Room};
use crate::channel::problem::{self, Kind, Problem};
use crate::channel::receipt::Detail;
use crate::domain::caller::CallerId;
use crate::limits::{BULK_BODY_BYTES_MAX, BULK_OF_ONE_MAX, BULK_PIECE_BYTES, BULK_PIECES_MAX, HTTP_BODY_SECS, HTTP_WRITE_SECS};
use crate::metrics::Named;

pub(super) async fn issue(request: Request) -> Handled {
    request.refuse_other_types(&["application/x-ndjson", "application/jsonl", "application/json", "text/plain"])?;
    if request.body.is_end_stream() {
        return Err(Problem::because(Kind::BadRequest, "没有请求内容", "there is no body").into());
    }
    // Where nothing can be logged it is said once, not on every line.
    request.site.engine.ledger().may_write().map_err(|error| problem::not_writing(&error))?;
    let Some(under_way) = UnderWay::new(&request.site, request.caller.id) else {
        return Err(problem::busy("同时进行的批量请求过多", "too many bulk requests at a time").into());
    };
    let detail = if request.prefers_minimal() { Detail::Minimal } else { Detail::Receipt };
    let (pieces_in, pieces) = mpsc::channel(BULK_PIECES_MAX);
    let (lines_in, lines) = mpsc::channel(BULK_PIECES_MAX);
    let Request { site, caller, mut body, .. } = request;

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
        let mut output = Lines { lines: lines_in, runtime, buffer: Vec::with_capacity(BULK_PIECE_BYTES) };
        let count = |name| {
            site.metrics.submissions.get_or_create(&Named { name }).inc();
        };
        let issuing = Issuing { engine: &site.engine, purpose: Purpose::Issue, caller: &caller, detail, room: Room::REQUEST };
        // A stream that ends without a word would pass for a whole one.
        let ended = match catch_unwind(AssertUnwindSafe(|| issuing.run(input, &mut output, &count))) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(("输入中断，其后未处理", format!("the input ended early: {error}"))),
            Err(panic) => {
                site.metrics.panics.inc();
                tracing::error!(endpoint = "issue_bulk", panic = text_of(&*panic), "a handler panicked");
                Some(("服务器内部错误，其后结果未知", "an error of the server; what became of the rest is unknown".to_owned()))
            }
        };
        if let Some((zh, en)) = ended {
            // What was read before it is answered; why no more is, is the last line.
            let line = serde_json::json!({ "status": "broken_off", "zh": zh, "en": en });
            drop(writeln!(output, "{line}").and_then(|()| output.flush()));
        }
        drop(under_way);
    });
    Ok(Reply { status: StatusCode::OK, content_type: LINES, headers: hyper::HeaderMap::new(), body: ReplyBody::Pieces(lines) })
}

/// One bulk request, of all and of its caller's.
struct UnderWay {
    site: Arc<Site>,
    caller: Option<CallerId>,
    _slot: OwnedSemaphorePermit,
}

impl UnderWay {
    /// `None` if there is no room: no caller may fill it alone.
    fn new(site: &Arc<Site>, caller: Option<CallerId>) -> Option<UnderWay> {
        let slot = Arc::clone(&site.bulk).try_acquire_owned().ok()?;
        let mut own = site.bulk_of.entry(caller).or_insert(0);
        if *own >= BULK_OF_ONE_MAX {
            return None;
        }
        *own += 1;
        drop(own);
        Some(UnderWay { site: Arc::clone(site), caller, _slot: slot })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let dashmap::Entry::Occupied(mut own) = self.site.bulk_of.entry(self.caller) {
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
struct Lines {
    lines: mpsc::Sender<Bytes>,
    runtime: tokio::runtime::Handle,
    buffer: Vec<u8>,
}

impl Write for Lines {
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
