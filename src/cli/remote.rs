//! A server in place of a data directory: `--server URL` of `fapiao verify`, `fapiao bulk` and `fapiao issue`.
//!
//! What may succeed later is tried again a bounded number of times, as late as the server says. A reply that was lost is no reason to stop either: the
//! same again gets the first receipt.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use crossbeam_channel::bounded;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Exit, Failure};
use crate::channel::json::parse_draft;
use crate::channel::lines::Drafts;
use crate::channel::peer::Peer;
use crate::channel::verifying::Tally;
use crate::limits::{
    BULK_PIECES_MAX, REMOTE_ANSWER_BYTES_MAX, REMOTE_BATCH_BYTES, REMOTE_BATCH_MAX, REMOTE_CONNECT_SECS, REMOTE_LINE_BYTES_MAX, REMOTE_SILENCE_SECS,
    REMOTE_TRIES_MAX, REMOTE_WAIT_SECS_MAX,
};
use crate::verify::verdict::Verdict;

/// A server, and what lets us in.
#[derive(Args)]
pub(super) struct ServerOptions {
    /// Ask this server rather than a data directory: https://HOST:PORT or http://HOST:PORT 服务器地址
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    server: Option<String>,
    /// Believe the certificates in this file (PEM) in place of the system's 信任的证书
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Token for the server; in the environment other users of the machine do not see it 访问令牌
    #[arg(long, value_name = "TOKEN", env = "FAPIAO_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ServerOptions {
    /// The server, if one is named.
    pub(super) fn remote(self) -> Result<Option<Remote>, Failure> {
        let Some(url) = self.server else { return Ok(None) };
        let token = match self.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => {
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                let mut value = value.map_err(|_| Failure::Usage("the token has characters that no token has".to_owned()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Some(Remote { token, ..Remote::at("--server", &url, self.ca.as_deref())? }))
    }
}

/// A server that is asked.
pub(super) struct Remote {
    runtime: tokio::runtime::Runtime,
    peer: Peer,
    token: Option<HeaderValue>,
}

/// Why a request has no result.
struct Setback {
    exit: Exit,
    text: String,
    /// After how many seconds the same may succeed; none if it never will.
    again_after: Option<u64>,
}

impl Setback {
    /// The reply never came, or broke off.
    fn lost(why: impl std::fmt::Display) -> Setback {
        Setback { exit: Exit::Unavailable, text: why.to_string(), again_after: Some(1) }
    }

    /// The server said why.
    fn told(status: StatusCode, retry_after: Option<u64>, body: &[u8]) -> Setback {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |name: &str| problem.get(name).and_then(Value::as_str);
        let said: Vec<&str> = [member("title"), member("detail")].into_iter().flatten().collect();
        let text = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {}: {}", status.as_u16(), said.join(": ")) };
        let (exit, again_after) = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                (Exit::Unavailable, Some(retry_after.unwrap_or(1)))
            }
            status if status.is_server_error() => (Exit::Unavailable, None),
            _ => (Exit::Usage, None),
        };
        Setback { exit, text, again_after }
    }
}

/// How often the same may still be tried.
struct Tries(u32);

impl Tries {
    fn new() -> Tries {
        Tries(REMOTE_TRIES_MAX - 1)
    }

    /// Waits until the same may be tried again, or says that this was the last time.
    fn wait(&mut self, remote: &Remote, setback: &Setback) -> Result<(), Failure> {
        match setback.again_after {
            Some(seconds) if seconds <= REMOTE_WAIT_SECS_MAX && self.0 > 0 => {
                self.0 -= 1;
                std::thread::sleep(Duration::from_secs(seconds));
                Ok(())
            }
            Some(_) | None => Err(Failure::Server { exit: setback.exit, text: format!("{}: {}", remote.peer.url(), setback.text) }),
        }
    }
}

/// What is looked at of a line of a bulk result.
#[derive(Deserialize)]
struct Told {
    verdict: Option<u8>,
    status: Option<String>,
    en: Option<String>,
}

/// A draft on its way, and the line on which it began.
struct Place {
    line: u64,
    /// Answered here already, because it is no draft: the server is not asked.
    answered: Option<Value>,
    bytes: Vec<u8>,
}

impl Remote {
    /// The server at the address that an option gives, asked without a token.
    pub(super) fn at(option: &str, url: &str, ca: Option<&Path>) -> Result<Remote, Failure> {
        let peer = Peer::parse(url, ca).map_err(|why| Failure::Usage(format!("{option} {url}: {why}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Remote { runtime, peer, token: None })
    }

    /// What the server has at a path.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.fetch(Tries::new(), Method::GET, path, &Bytes::new())
    }

    /// What the server says to a question or a single draft.
    pub(super) fn ask(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask_up_to(Tries::new(), path, body)
    }

    /// What the server says to what would be done twice if it were asked twice.
    pub(super) fn ask_once(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask_up_to(Tries(0), path, body)
    }

    fn ask_up_to(&self, tries: Tries, path: &str, body: &Value) -> Result<Value, Failure> {
        self.fetch(tries, Method::POST, path, &Bytes::from(body.to_string()))
    }

    fn fetch(&self, mut tries: Tries, method: Method, path: &str, body: &Bytes) -> Result<Value, Failure> {
        loop {
            let asked = self.runtime.block_on(async {
                let reply = self.send(method.clone(), path, "application/json", Full::new(body.clone())).await?;
                let whole = Limited::new(reply.into_body(), REMOTE_ANSWER_BYTES_MAX).collect();
                let whole = within(REMOTE_SILENCE_SECS, whole).await?.map_err(Setback::lost)?;
                serde_json::from_slice(&whole.to_bytes()).map_err(|error| Setback::lost(format!("the reply is not JSON: {error}")))
            });
            match asked {
                Ok(value) => return Ok(value),
                Err(setback) => tries.wait(self, &setback)?,
            }
        }
    }

    /// Sends drafts as they come, several at a time where they come faster than they are answered, and writes one line for each, in their order.
    pub(super) fn issue(&self, input: impl BufRead + Send + 'static, out: &mut impl Write, count: &dyn Fn()) -> Result<Exit, Failure> {
        let (drafts_in, drafts) = bounded(REMOTE_BATCH_MAX);
        // Nothing ends a read of standard input, so nobody waits for this thread.
        std::thread::Builder::new().name("reader".into()).spawn(move || {
            let mut input = Drafts::new(input);
            loop {
                let (draft, is_last) = match input.next_draft() {
                    Ok(Some(draft)) => (Ok(draft), false),
                    Ok(None) => return,
                    Err(error) => (Err(error), true),
                };
                if drafts_in.send(draft).is_err() || is_last {
                    return;
                }
            }
        })?;
        let mut worst = Exit::Fine;
        while let Ok(first) = drafts.recv() {
            let (mut batch, mut size, mut broken) = (VecDeque::new(), 0, None);
            let mut next = Some(first);
            while let Some(read) = next.take() {
                match read {
                    Err(error) => broken = Some(error),
                    Ok((line, bytes)) => {
                        size += bytes.len();
                        let answered =
                            parse_draft(&bytes).err().map(|error| json!({ "status": "malformed", "en": error.to_string(), "zh": "不是有效的JSON" }));
                        batch.push_back(Place { line, answered, bytes });
                        if batch.len() < REMOTE_BATCH_MAX && size < REMOTE_BATCH_BYTES {
                            next = drafts.try_recv().ok();
                        }
                    }
                }
            }
            let mut tell = |place: Place, mut value: Value| -> Result<(), Failure> {
                worst = worst.max(exit_of(&value));
                if let Some(object) = value.as_object_mut() {
                    object.insert("line".into(), place.line.into());
                }
                writeln!(out, "{value}")?;
                out.flush()?;
                count();
                Ok(())
            };
            let mut tries = Tries::new();
            while let Err(setback) = self.submit(&mut batch, &mut tell)? {
                if let Err(failure) = tries.wait(self, &setback) {
                    // Refused as a whole, none was read; otherwise nobody knows what was.
                    if setback.exit == Exit::Unavailable {
                        for place in batch.drain(..) {
                            let value = place.answered.clone().unwrap_or_else(|| unavailable(&setback.text));
                            tell(place, value)?;
                        }
                    }
                    return Err(failure);
                }
            }
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
        Ok(worst)
    }

    /// Submits what is left of a batch and takes from it what was answered.
    fn submit(
        &self,
        batch: &mut VecDeque<Place>,
        tell: &mut impl FnMut(Place, Value) -> Result<(), Failure>,
    ) -> Result<Result<(), Setback>, Failure> {
        let mut body = BytesMut::new();
        for place in batch.iter().filter(|place| place.answered.is_none()) {
            body.extend_from_slice(place.bytes.trim_ascii());
            body.extend_from_slice(b"\n");
        }
        let answer_here = |batch: &mut VecDeque<Place>, tell: &mut dyn FnMut(Place, Value) -> Result<(), Failure>| {
            while let Some(mut place) = batch.pop_front_if(|place| place.answered.is_some()) {
                let value = place.answered.take().unwrap_or_default();
                tell(place, value)?;
            }
            Ok::<(), Failure>(())
        };
        answer_here(batch, tell)?;
        if batch.is_empty() {
            return Ok(Ok(()));
        }
        self.runtime.block_on(async {
            let mut reply = match self.send(Method::POST, "/v1/invoices/bulk", "application/x-ndjson", Full::new(body.freeze())).await {
                Ok(reply) => reply.into_body(),
                Err(setback) => return Ok(Err(setback)),
            };
            let mut buffer = BytesMut::new();
            loop {
                let piece = match within(REMOTE_SILENCE_SECS, reply.frame()).await {
                    Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                    Ok(None) if batch.is_empty() => return Ok(Ok(())),
                    Ok(None) => return Ok(Err(Setback::lost("the reply ended early"))),
                    Ok(Some(Err(error))) => return Ok(Err(Setback::lost(error))),
                    Err(setback) => return Ok(Err(setback)),
                };
                buffer.extend_from_slice(&piece);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line = buffer.split_to(end + 1);
                    let value: Value = match serde_json::from_slice(&line) {
                        Ok(value) => value,
                        Err(error) => return Ok(Err(Setback::lost(format!("a line of the reply is not JSON: {error}")))),
                    };
                    if value.get("status").and_then(Value::as_str) == Some("broken_off") {
                        return Ok(Err(Setback::lost("the server did not read to the end")));
                    }
                    let Some(place) = batch.pop_front() else { return Ok(Ok(())) };
                    tell(place, value)?;
                    answer_here(batch, tell)?;
                }
                if buffer.len() > REMOTE_LINE_BYTES_MAX {
                    return Ok(Err(Setback::lost("a line of the reply is too long")));
                }
            }
        })
    }

    /// Sends questions as they come, in one request, as one signature is over all answers, and writes these as they come. What broke off is not asked
    /// again: it would be counted twice.
    pub(super) fn verify_all(
        &self,
        mut input: impl BufRead + Send + 'static,
        wants_proof: bool,
        out: &mut impl Write,
        count: &dyn Fn(),
    ) -> Result<Tally, Failure> {
        let (pieces_in, mut pieces) = mpsc::channel::<io::Result<Frame<Bytes>>>(BULK_PIECES_MAX);
        // Nothing ends a read of standard input, so nobody waits for this thread.
        std::thread::Builder::new().name("reader".into()).spawn(move || {
            loop {
                let read = input.fill_buf().map(Bytes::copy_from_slice);
                let taken = read.as_ref().map_or(0, Bytes::len);
                input.consume(taken);
                let is_last = read.is_err();
                if matches!(&read, Ok(piece) if piece.is_empty()) || pieces_in.blocking_send(read.map(Frame::data)).is_err() || is_last {
                    return;
                }
            }
        })?;
        let body = StreamBody::new(futures_util::stream::poll_fn(move |context| pieces.poll_recv(context)));
        let path = if wants_proof { "/v1/verify/bulk?proof=true" } else { "/v1/verify/bulk" };
        let failed = |Setback { exit, text, .. }| Failure::Server { exit, text: format!("{}: {text}", self.peer.url()) };
        self.runtime.block_on(async {
            let mut reply = self.send(Method::POST, path, "application/x-ndjson", body).await.map_err(failed)?.into_body();
            let (mut tally, mut buffer, mut is_whole) = (Tally::default(), BytesMut::new(), false);
            loop {
                let piece = match within(REMOTE_SILENCE_SECS, reply.frame()).await {
                    Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                    Ok(None) if is_whole => return Ok(tally),
                    Ok(None) => return Err(failed(Setback::lost("the reply ended early"))),
                    Ok(Some(Err(error))) => return Err(failed(Setback::lost(error))),
                    Err(setback) => return Err(failed(setback)),
                };
                // Only what is new can have the end of a line.
                let mut searched = buffer.len();
                buffer.extend_from_slice(&piece);
                while let Some(end) = buffer.iter().skip(searched).position(|byte| *byte == b'\n') {
                    let line = buffer.split_to(searched + end + 1);
                    searched = 0;
                    let said: Told =
                        serde_json::from_slice(&line).map_err(|error| failed(Setback::lost(format!("a line of the reply is not JSON: {error}"))))?;
                    match (said.verdict.and_then(Verdict::from_number), said.status.as_deref()) {
                        (Some(verdict), _) => {
                            tally.add(verdict);
                            count();
                        }
                        (None, Some("done" | "rows")) => is_whole = true,
                        (None, status) => {
                            let why = said.en.or(status.map(str::to_owned)).unwrap_or_else(|| "a line of the reply is no answer".to_owned());
                            return Err(failed(Setback { again_after: None, ..Setback::lost(why) }));
                        }
                    }
                    out.write_all(&line)?;
                }
                if buffer.len() > REMOTE_LINE_BYTES_MAX {
                    return Err(failed(Setback::lost("a line of the reply is too long")));
                }
                out.flush()?;
            }
        })
    }

    /// Sends a request on a connection of its own. A reply that is no success is a setback.
    async fn send<B>(&self, method: Method, path: &str, content_type: &'static str, body: B) -> Result<Response<Incoming>, Setback>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        // What is not believed now will not be believed in a second.
        let refused = |error: io::Error| Setback { again_after: (error.kind() != ErrorKind::InvalidData).then_some(1), ..Setback::lost(error) };
        let stream = within(REMOTE_CONNECT_SECS, self.peer.connect()).await?.map_err(refused)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Setback::lost)?;
        // How the connection ends is seen by whoever reads the reply.
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(Setback::lost)?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.peer.host().clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let reply = within(REMOTE_SILENCE_SECS, sender.send_request(request)).await?.map_err(Setback::lost)?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let status = reply.status();
        let retry_after = reply.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let told = within(REMOTE_SILENCE_SECS, Limited::new(reply.into_body(), REMOTE_LINE_BYTES_MAX).collect()).await?;
        let told = told.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(Setback::told(status, retry_after, &told))
    }
}

async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> Result<T, Setback> {
    let silent = |_| Setback::lost(format!("nothing was heard for {seconds} s"));
    tokio::time::timeout(Duration::from_secs(seconds), work).await.map_err(silent)
}

/// As the server says it of a draft that it did not decide.
fn unavailable(why: &str) -> Value {
    json!({
        "status": "unavailable",
        "en": format!("{why}; whether it was logged is unknown: submit it again, the same again gets the first receipt"),
        "zh": "服务器未答复；是否已登记未知：请再次提交，相同内容得到首次的回执",
    })
}

fn exit_of(line: &Value) -> Exit {
    match line.get("status").and_then(Value::as_str) {
        Some("logged" | "repeated" | "acceptable") => Exit::Fine,
        Some("faulty" | "refused") => Exit::Other,
        Some("malformed") => Exit::Usage,
        Some(_) | None => Exit::Unavailable,
    }
}
