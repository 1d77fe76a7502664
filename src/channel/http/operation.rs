//! From a request to its reply: route, token, role, handler; and what holds for all of them: a deadline, figures, the log, and that a panic is the end
//! of one request only.

use std::any::Any;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HOST, RETRY_AFTER};
use hyper::{Method, Response, StatusCode, Version};

use super::reply::{PLAIN, Reply, ReplyBody};
use super::request::{Request, bearer, language, origin};
use super::route::{Body, Endpoint, Operation, Route, Steps, find};
use super::{Door, Host, RequestLog, Site};
use super::{administration, bulk, callers, invoices, keys, log, openapi, page, proofs, verify};
use crate::channel::problem::{self, Kind, Problem};
use crate::domain::caller::{Caller, Role};
use crate::engine::EngineError;
use crate::limits::HTTP_ANSWER_SECS;
use crate::metrics::{Answered, Named};
use crate::verify::quota::Asker;

/// Why a handler has no reply of its own.
#[derive(Debug)]
pub(super) enum Fault {
    /// Told to the caller as it is.
    Problem(Problem),
    /// Told in general terms; the particulars are for the log.
    Engine(EngineError),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Problem(problem)
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Fault {
        Fault::Engine(error)
    }
}

impl From<crate::ledger::LedgerError> for Fault {
    fn from(error: crate::ledger::LedgerError) -> Fault {
        Fault::Engine(error.into())
    }
}

/// What a handler returns.
pub(super) type Handled = Result<Reply, Fault>;

impl Host for Site {
    fn door(&self) -> &Door {
        &self.door
    }

    async fn answer(self: Arc<Self>, peer: IpAddr, request: hyper::Request<Incoming>, too_many: bool) -> Response<ReplyBody> {
        answer(self, peer, request, too_many).await
    }
}

async fn answer(site: Arc<Site>, peer: IpAddr, request: hyper::Request<Incoming>, too_many: bool) -> Response<ReplyBody> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let request_id = site.door.next_request_id();
    let language = language(&head);
    let (endpoint, handled) = match find(&head.method, head.uri.path()) {
        _ if too_many => ("none", Ok(Reply::new(PLAIN, "").status(StatusCode::SERVICE_UNAVAILABLE).header(RETRY_AFTER, "1"))),
        _ if !has_right_host(&head) => (
            "none",
            Err(Problem::because(Kind::BadRequest, "缺少 Host 或有多个", "there is no Host, or more than one (RFC 9112, section 3.2)").into()),
        ),
        Route::To(endpoint, steps) => {
            let handling = AssertUnwindSafe(handle(Arc::clone(&site), peer, endpoint, steps, head, body)).catch_unwind();
            let handled = match tokio::time::timeout(Duration::from_secs(HTTP_ANSWER_SECS), handling).await {
                Ok(Ok(handled)) => handled,
                Ok(Err(panic)) => {
                    site.metrics.panics.inc();
                    tracing::error!(request = %request_id, endpoint = endpoint.name, panic = text_of(&*panic), "a handler panicked");
                    Err(Problem::new(Kind::Internal).into())
                }
                Err(_) => {
                    let zh = "未能在时限内完成；若为提交，请再次提交，相同内容得到首次的回执";
                    let en = "not done in time; if it was a submission, submit it again: the same again gets the first receipt";
                    Err(Problem::because(Kind::Unavailable, zh, en).after(1).into())
                }
            };
            (endpoint.name, handled)
        }
        Route::OtherMethod(allowed) if head.method == Method::OPTIONS => {
            ("none", Ok(Reply::new(PLAIN, "").status(StatusCode::NO_CONTENT).header(ALLOW, allowed)))
        }
        Route::OtherMethod(allowed) => {
            let mut problem = Problem::new(Kind::MethodNotAllowed);
            problem.more.allow = Some(allowed);
            ("none", Err(problem.into()))
        }
        Route::Nowhere => ("none", Err(Problem::new(Kind::NotFound).into())),
    };
    let reply = match handled {
        Ok(reply) => reply,
        Err(Fault::Problem(problem)) => Reply::problem(&problem, language, &request_id.to_string()),
        Err(Fault::Engine(error)) => {
            tracing::error!(request = %request_id, endpoint, %error, "a request failed");
            Reply::problem(&problem::failed(&error), language, &request_id.to_string())
        }
    };
    let took = begun.elapsed();
    let status = reply.status.as_u16();
    site.metrics.requests.get_or_create(&Answered { endpoint, status }).inc();
    site.metrics.request_seconds.get_or_create(&crate::metrics::Endpoint { endpoint }).observe(took.as_secs_f64());
    if site.settings.log == RequestLog::All {
        tracing::info!(request = %request_id, endpoint, status, micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "answered");
    }
    reply.finish(request_id)
}

/// A request of HTTP/1.1 says for which host it is, and none says so twice: a proxy before us might have read the other one.
fn has_right_host(head: &hyper::http::request::Parts) -> bool {
    let hosts = head.headers.get_all(HOST).iter().count();
    match head.version {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    }
}

pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

async fn handle(
    site: Arc<Site>,
    peer: IpAddr,
    endpoint: &'static Endpoint,
    steps: Steps,
    head: hyper::http::request::Parts,
    body: Incoming,
) -> Handled {
    let caller = match bearer(&head)? {
        Some(token) => site.engine.authenticate(token)?.ok_or_else(|| {
            site.metrics.unauthorised.get_or_create(&Named { name: "unknown_token" }).inc();
            Problem::because(Kind::Unauthorised, "令牌未知、已过期或已撤销", "the token is unknown, expired or revoked")
        })?,
        None => Arc::clone(&site.anonymous),
    };
    if !endpoint.roles.has(caller.role) {
        let (kind, name) = match caller.role {
            Role::Anonymous => (Kind::Unauthorised, "no_token"),
            _ => (Kind::Forbidden, "other_role"),
        };
        site.metrics.unauthorised.get_or_create(&Named { name }).inc();
        return Err(Problem::new(kind).into());
    }
    let asker = match caller.id {
        Some(id) => Asker::Key(id),
        None => Asker::Anonymous(origin(&head, peer, &site.settings.proxies).into()),
    };
    let request = Request { site, caller, asker, endpoint, head, body, steps };
    #[cfg(feature = "faults")]
    request.panic_if_planted().await?;
    match endpoint.operation {
        Operation::Verify => verify::verify(request).await,
        Operation::VerifyBulk => bulk::verify(request).await,
        Operation::Page => page::page(&request).await,
        Operation::Issue => invoices::issue(request).await,
        Operation::IssueBulk => bulk::issue(request).await,
        Operation::CheckDraft => invoices::check(request).await,
        Operation::Invoice => invoices::invoice(request).await,
        Operation::InvoiceQr => invoices::picture(request).await,
        Operation::Void => invoices::void(request).await,
        Operation::Status => invoices::status(request).await,
        Operation::Erase => invoices::erase(request).await,
        Operation::Allot => administration::allot(request).await,
        Operation::AllotmentStatus => administration::allotment_status(request).await,
        Operation::Keys => Ok(keys::list(&request)),
        Operation::RotateKey => keys::rotate(request).await,
        Operation::RevokeKey => keys::revoke(request).await,
        Operation::Revocations => proofs::revocations(&request),
        Operation::AnswerProof => proofs::answer(request).await,
        Operation::AnswerRoots => proofs::answers(request).await,
        Operation::Policies => proofs::policies(request).await,
        Operation::Inclusion => proofs::inclusion(request).await,
        Operation::Consistency => proofs::consistency(request).await,
        Operation::Checkpoint => log::checkpoint(&request),
        Operation::Entries | Operation::Tile => log::tile(request).await,
        Operation::Callers => callers::list(request).await,
        Operation::AddCaller => callers::add(request).await,
        Operation::RevokeCaller => callers::revoke(request).await,
        Operation::Audit => administration::audit(request).await,
        Operation::Health => Ok(Reply::new(PLAIN, "ok\n")),
        Operation::Ready => ready(&request.site),
        Operation::Metrics => metrics(request).await,
        Operation::OpenApi => Ok(openapi::reply()),
    }
}

#[cfg(feature = "faults")]
impl Request {
    /// A defect that a test asks for by a header: on the thread that serves the socket, or on one that may wait.
    async fn panic_if_planted(&self) -> Result<(), Fault> {
        match self.head.headers.get("x-planted-panic").map(|place| place.as_bytes()) {
            None => Ok(()),
            Some(b"blocking") => self.blocking(|_, _| panic!("planted")).await,
            Some(_) => panic!("planted"),
        }
    }
}

impl Request {
    /// Runs what syncs, walks the tree or decrypts on a thread that may wait.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&crate::engine::Engine, &Caller) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (site, caller) = (Arc::clone(&self.site), Arc::clone(&self.caller));
        match tokio::task::spawn_blocking(move || work(&site.engine, &caller)).await {
            Ok(done) => Ok(done),
            // Carried on, so that it is counted and logged where all panics are.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(problem::busy("服务器正在停止", "the server is stopping").into()),
            },
        }
    }

    /// How many bytes of JSON the endpoint reads.
    pub(super) fn body_limit(&self) -> usize {
        match self.endpoint.body {
            Body::Json(limit) => limit,
            Body::None | Body::Lines => 0,
        }
    }
}

/// Ready is a server that answers and signs. One that only answers says why it does not sign.
fn ready(site: &Site) -> Handled {
    if site.door.is_stopping() {
        return Err(problem::busy("服务器正在停止", "the server is stopping").into());
    }
    match site.engine.ledger().may_write() {
        Ok(()) if site.engine.is_unlocked() => Ok(Reply::new(PLAIN, "ready\n")),
        Ok(()) => Err(EngineError::Locked.into()),
        Err(error) => {
            let problem = problem::not_writing(&error);
            // The section of the runbook: whoever has to do something about it sees it where they look first.
            Err(match site.engine.ledger().obstacle() {
                Some(obstacle) => problem.with("symptom", obstacle.symptom()).into(),
                None => problem.into(),
            })
        }
    }
}

async fn metrics(request: Request) -> Handled {
    verify::charge(&request)?;
    let site = Arc::clone(&request.site);
    // Reads files of the operating system.
    let text = request.blocking(move |engine, _| site.gauge(engine)).await?;
    Ok(Reply::new(super::reply::OPENMETRICS, text))
}

impl Site {
    /// Every figure, those included that are only read when somebody asks.
    fn gauge(&self, engine: &crate::engine::Engine) -> String {
        let metrics = &self.metrics;
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let published = engine.ledger().published();
        metrics.connections.set(whole(self.door.open.count() as u64));
        metrics.in_flight.set(whole(self.door.open.requests() as u64));
        metrics.ledger_size.set(whole(published.size));
        metrics.ledger_time.set(whole(published.time.0 / 1_000));
        metrics.ledger_writable.set(i64::from(engine.ledger().may_write().is_ok()));
        metrics.ledger_behind.set(i64::from(engine.ledger().is_behind()));
        if let Some(cosigned) = engine.cosigned() {
            metrics.cosigned_size.set(whole(cosigned.size));
            metrics.cosigned_time.set(whole(cosigned.time));
        } else if engine.policy().is_some_and(|policy| !policy.asks_for_none()) {
            // Never, by this policy: it has been due since the start.
            metrics.cosigned_time.set(metrics.started.get());
        }
        let held_kib = crate::limits::HTTP_BODIES_KIB_MAX.saturating_sub(self.bodies.available_permits());
        metrics.body_bytes.set(whole(held_kib as u64) << 10);
        if let Some(pages) = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()) {
            metrics.resident_memory.set(whole(pages * rustix::param::page_size() as u64));
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            metrics.open_files.set(whole(files.count() as u64));
        }
        if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            metrics.open_files_limit.set(whole(limit));
        }
        if let Ok(space) = rustix::fs::statvfs(engine.ledger().directory()) {
            metrics.disk_size.set(whole(space.f_blocks.saturating_mul(space.f_frsize)));
            metrics.disk_free.set(whole(space.f_bavail.saturating_mul(space.f_frsize)));
        }
        metrics.render()
    }
}
