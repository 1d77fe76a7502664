//! `fapiao load` against a server that can be told to lie, to stall, to refuse and to go away. What is under test is the load: that it finds out.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fapiao::channel::json::parse_draft;
use fapiao::channel::{answer, keys, question, receipt};
use fapiao::domain::allotment::{Allotment, NumberRange};
use fapiao::domain::kind::Kind;
use fapiao::domain::number::{InvoiceCode, InvoiceNumber};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::engine::{self, Engine, Submitted};
use fapiao::verify::query::Typed;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::support::{Site, program, text};

/// What the server does to the `nth` request, from 0; `None` answers truly.
type Trick = Box<dyn Fn(u64, &str) -> Option<Prank> + Send + Sync>;

#[derive(Clone, Debug)]
enum Prank {
    /// Replaces a text in the true answer.
    Replace(&'static str, &'static str),
    /// Answers with this status, and wants the request a second later.
    Refuse(u16),
    /// Waits first.
    Stall(Duration),
    /// Answers nothing and goes away for this long, connections and all, after acting or before.
    Vanish { acts: bool, away: Duration },
}

struct Stub {
    engine: Engine,
    trick: Trick,
    requests: AtomicU64,
    /// Until then nobody is listening.
    away: Mutex<Option<Instant>>,
    ended: AtomicBool,
}

/// A server with a ledger of its own, until this value goes away.
struct Server {
    address: SocketAddr,
    stub: Arc<Stub>,
    thread: Option<std::thread::JoinHandle<()>>,
    _site: Site,
}

impl Server {
    fn start(trick: impl Fn(u64, &str) -> Option<Prank> + Send + Sync + 'static) -> Server {
        let site = Site::new();
        site.set_now(engine::now());
        let stub = Arc::new(Stub {
            engine: site.create(),
            trick: Box::new(trick),
            requests: AtomicU64::new(0),
            away: Mutex::new(None),
            ended: AtomicBool::new(false),
        });
        let (told, address) = std::sync::mpsc::channel();
        let served = Arc::clone(&stub);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            let mut listening = "127.0.0.1:0".parse().expect("an address");
            while !served.ended.load(Ordering::SeqCst) {
                runtime.block_on(async {
                    let socket = TcpSocket::new_v4().expect("a socket");
                    socket.set_reuseaddr(true).expect("set");
                    socket.bind(listening).expect("bound");
                    let listener = socket.listen(1_024).expect("listening");
                    listening = listener.local_addr().expect("an address");
                    let _ = told.send(listening);
                    serve(listener, &served).await;
                });
                let away = served.away.lock().expect("no panic").take();
                if let Some(until) = away {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                }
            }
        });
        Server { address: address.recv().expect("an address"), stub, thread: Some(thread), _site: site }
    }

    fn load(&self, arguments: &[&str]) -> Output {
        let url = format!("http://{}", self.address);
        let mut command = program(&["load", "--server", &url, "--admin-token", "a", "--token", "t", "--json"]);
        if !arguments.contains(&"--deadline") {
            command.args(["--deadline", "60"]);
        }
        command.args(arguments).output().expect("run")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stub.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

/// Serves until the stub goes away or ends; then its connections break.
async fn serve(listener: TcpListener, stub: &Arc<Stub>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let gone = stub.ended.load(Ordering::SeqCst) || stub.away.lock().expect("no panic").is_some();
        if gone {
            return;
        }
        let Ok(accepted) = tokio::time::timeout(Duration::from_millis(10), listener.accept()).await else { continue };
        let stream = accepted.expect("a connection").0;
        stream.set_nodelay(true).expect("set");
        let stub = Arc::clone(stub);
        connections.spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&stub), request));
            // A client that goes away is no failure.
            drop(hyper::server::conn::http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn respond(stub: Arc<Stub>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let path = request.uri().path().to_owned();
    let minimal = request.headers().get("prefer").is_some_and(|value| value == "return=minimal");
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let is_work = ["/v1/verify", "/v1/invoices", "/v1/invoices/bulk"].contains(&path.as_str());
    let nth = if is_work { stub.requests.fetch_add(1, Ordering::SeqCst) } else { u64::MAX };
    let prank = if is_work { (stub.trick)(nth, &path) } else { None };
    let acting = {
        let (stub, path) = (Arc::clone(&stub), path.clone());
        move || stub.act(&path, &body, minimal)
    };
    match prank {
        Some(Prank::Refuse(status)) => {
            let response = Response::builder().status(status).header("retry-after", "1").body(Full::new(Bytes::from_static(b"{}")));
            return Ok(response.expect("a response"));
        }
        Some(Prank::Vanish { acts, away }) => {
            if acts {
                tokio::task::spawn_blocking(acting).await.expect("no panic");
            }
            *stub.away.lock().expect("no panic") = Some(Instant::now() + away);
            return Err(std::io::Error::other("gone"));
        }
        Some(Prank::Stall(time)) => tokio::time::sleep(time).await,
        Some(Prank::Replace(..)) | None => {}
    }
    let (status, mut body) = tokio::task::spawn_blocking(acting).await.expect("no panic");
    if let Some(Prank::Replace(from, to)) = prank {
        assert!(body.contains(from), "{from} in {body}");
        body = body.replace(from, to);
    }
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(body))).expect("a response"))
}

impl Stub {
    fn act(&self, path: &str, body: &[u8], minimal: bool) -> (u16, String) {
        match path {
            "/v1/keys" => {
                let ledger = self.engine.ledger();
                (200, json!({ "origin": ledger.origin().to_string(), "keys": keys::to_json(&ledger.keys()) }).to_string())
            }
            "/v1/allotments" => {
                let value: Value = serde_json::from_slice(body).expect("JSON");
                let number = |member| InvoiceNumber::parse(text(&value, member)).expect("a number");
                let code = InvoiceCode::parse(text(&value, "code")).expect("a code");
                let range = NumberRange::new(code, number("first"), number("last")).expect("ordered");
                let kind = Kind::from_code(text(&value, "kind")).expect("a kind");
                let taxpayer = TaxpayerId::parse(text(&value, "taxpayer")).expect("an id");
                let allotted = self.engine.allot(Allotment { taxpayer, kind, range });
                assert!(matches!(allotted, Ok(Submitted::Logged(_))));
                (201, "{}".to_owned())
            }
            "/v1/verify" => {
                let value: Value = serde_json::from_slice(body).expect("JSON");
                let asked = |member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
                let question = match asked("qr") {
                    Some(code) => question::of_qr(&code),
                    None => {
                        let (code, number) = (asked("code").expect("a code"), asked("number").expect("a number"));
                        Typed { code, number, date: asked("date"), amount: asked("amount"), check: asked("check"), ..Typed::default() }.question()
                    }
                };
                (200, answer::to_json(&self.engine.verify(&question).expect("an answer")).to_string())
            }
            "/v1/invoices" => {
                let value = self.issue(body, minimal);
                (if value["status"] == "logged" { 201 } else { 200 }, value.to_string())
            }
            "/v1/invoices/bulk" => {
                let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
                let lines = lines.map(|(at, draft)| {
                    let mut value = self.issue(draft, minimal);
                    value["line"] = json!(at + 1);
                    format!("{value}\n")
                });
                (200, lines.collect())
            }
            _ => (404, "{}".to_owned()),
        }
    }

    fn issue(&self, draft: &[u8], minimal: bool) -> Value {
        let submitted = self.engine.submit(&parse_draft(draft).expect("JSON"), false).expect("an outcome");
        let Submitted::Logged(logged) = submitted else { panic!("{submitted:?}") };
        let mut value = receipt::logged_json(&logged);
        if !minimal {
            let full = self.engine.receipt(logged.index).expect("readable").expect("published");
            let codes = receipt::qr_codes(&full.receipt.leaf, &full.receipt.sealed, self.engine.host()).expect("an invoice");
            value["receipt"] = receipt::to_json(&full);
            value["signed_qr"] = json!(codes.signed);
        }
        value
    }
}

#[track_caller]
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn ms(report: &Value, quantile: &str) -> f64 {
    report["latency_us"][quantile].as_f64().expect("a figure") / 1e3
}

#[test]
fn right_answers_in_every_mode() {
    let server = Server::start(|_, _| None);
    for (arguments, requests, invoices) in [
        (&["--mode", "verify", "--requests", "500", "--prefill", "600", "--batch", "100", "--qr-share", "30"][..], 500, 500),
        (&["--mode", "verify", "--requests", "480", "--prefill", "50", "--pipeline", "8", "--threads", "2"], 480, 480),
        (&["--mode", "issue", "--requests", "300", "--connections", "16"], 300, 300),
        (&["--mode", "issue", "--requests", "300", "--connections", "2", "--pipeline", "4"], 300, 300),
        (&["--mode", "bulk", "--requests", "20", "--batch", "50", "--connections", "2"], 20, 1_000),
        (&["--mode", "mixed", "--requests", "400", "--prefill", "40", "--issue-share", "30"], 400, 400),
        (&["--mode", "mixed", "--requests", "400", "--prefill", "0", "--rate", "2000"], 400, 400),
    ] {
        let output = server.load(arguments);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {report:#}");
        assert_eq!((&report["requests"], &report["invoices"]), (&json!(requests), &json!(invoices)), "{arguments:?}");
        assert_eq!(report["rechecked"]["asked"], report["rechecked"]["right"]);
        let issues = !arguments.contains(&"verify");
        assert!(!issues || report["receipts_verified"].as_u64() > Some(0), "{arguments:?}: {report:#}");
        assert!(ms(&report, "p50") > 0.0 && ms(&report, "p50") <= ms(&report, "p99"));
    }
}

#[test]
fn a_lie_is_found_whatever_it_is_about() {
    type Lie = (&'static str, &'static str, &'static str, &'static str);
    let lies: [Lie; 9] = [
        ("verify", "\"verdict\":1,", "\"verdict\":2,", "verdict 2 instead of 1"),
        ("verify", "\"amount\":\"", "\"amount\":\"9", "another amount"),
        ("verify", "\"total\":\"", "\"total\":\"9", "another total"),
        ("verify", "\"size\":", "\"size\":0,\"was\":", "another size of the ledger"),
        ("verify", "\"seller_id\":\"9", "\"seller_id\":\"8", "another seller"),
        ("verify", "\"index\":", "\"index\":9", "another index"),
        ("issue", "\"status\":\"logged\"", "\"status\":\"repeated\"", "status repeated"),
        ("issue", "\"rest_digest\":\"", "\"rest_digest\":\"00\",\"x\":\"", "rest_digest"),
        ("bulk", "\"line\":2", "\"line\":3", "another line"),
    ];
    for (mode, from, to, told) in lies {
        // The first requests issue what is asked about; receipts are in the first answer of each kind.
        let path = match mode {
            "verify" => "/v1/verify",
            "issue" => "/v1/invoices",
            _ => "/v1/invoices/bulk",
        };
        let lied = AtomicBool::new(false);
        let server = Server::start(move |_, asked| (asked == path && !lied.swap(true, Ordering::SeqCst)).then_some(Prank::Replace(from, to)));
        let prefill = if mode == "verify" { "20" } else { "0" };
        let output = server.load(&["--mode", mode, "--requests", "30", "--prefill", prefill, "--batch", "10", "--connections", "1"]);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(1), "{to}: {report:#}");
        assert_eq!((&report["wrong"], &report["fine"]), (&json!(1), &json!(false)), "{to}");
        let example = report["examples"][0].as_str().expect("an example");
        assert!(example.contains(told), "{told}: {example}");
    }
}

#[test]
fn a_stall_is_charged_for_all_that_would_have_come() {
    for rate in [None, Some("400")] {
        let started = Mutex::new(None::<Instant>);
        // From the first second on nobody is answered for a second.
        let server = Server::start(move |_, path| {
            if path != "/v1/verify" {
                return None;
            }
            let since = started.lock().expect("no panic").get_or_insert_with(Instant::now).elapsed();
            let end = Duration::from_millis(2_000);
            (since >= Duration::from_millis(1_000)).then(|| Prank::Stall(end.saturating_sub(since)))
        });
        let mut arguments = vec!["--mode", "verify", "--prefill", "20", "--connections", "8", "--duration", "4"];
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate]));
        let output = server.load(&arguments);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert!(ms(&report, "max") > 900.0, "{report:#}");
        if rate.is_none() {
            // Each connection waited once: 8 slow ones among thousands.
            assert!(ms(&report, "p90") < 300.0, "{report:#}");
        } else {
            // A quarter of the 1,600 arrivals fell into that second; the median of those waited for half of it.
            assert_eq!(report["requests"], json!(1_600), "{report:#}");
            assert!(ms(&report, "p90") > 450.0 && ms(&report, "p50") < 300.0, "{report:#}");
        }
    }
}

#[test]
fn arrivals_that_a_server_never_takes_are_counted() {
    let server = Server::start(|_, path| (path == "/v1/verify").then_some(Prank::Stall(Duration::from_millis(2_000))));
    let output = server.load(&["--mode", "verify", "--prefill", "5", "--connections", "1", "--rate", "100", "--duration", "1", "--recheck", "0"]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert!(report["unserved"].as_u64() > Some(80), "{report:#}");
    assert!(ms(&report, "p50") > 5_000.0, "{report:#}");
}

#[test]
fn a_refusal_is_an_error_unless_it_is_to_be_survived() {
    for (extra, exit) in [(None, 1), (Some("--survive-restarts"), 0)] {
        let server = Server::start(|nth, _| (nth == 5).then_some(Prank::Refuse(503)));
        let mut arguments = vec!["--mode", "issue", "--requests", "20", "--connections", "1"];
        arguments.extend(extra);
        let output = server.load(&arguments);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(exit), "{report:#}");
        assert_eq!(report["errors"], json!(1 - u32::from(extra.is_some())), "{report:#}");
    }
}

#[test]
fn a_server_that_goes_away_loses_nothing_that_it_acknowledged() {
    // It goes away twice: once before it has acted, once after, unheard.
    let server = Server::start(|nth, _| match nth {
        40 => Some(Prank::Vanish { acts: false, away: Duration::from_millis(300) }),
        80 => Some(Prank::Vanish { acts: true, away: Duration::from_millis(300) }),
        _ => None,
    });
    let kept = server._site.file("kept");
    let kept = kept.to_str().expect("UTF-8");
    let output = server.load(&["--mode", "issue", "--requests", "200", "--connections", "4", "--survive-restarts", "--keep", kept]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(report["interruptions"].as_u64() >= Some(2), "{report:#}");
    assert_eq!(report["rechecked"], json!({ "acknowledged": 200, "asked": 200, "right": 200 }));

    // Another run, on what was written down.
    let again = server.load(&["--mode", "recheck", "--keep", kept]);
    let again_report = self::report(&again);
    assert_eq!((again.status.code(), &again_report["requests"]), (Some(0), &json!(200)), "{again_report:#}");
    // What was never acknowledged is not there.
    let text = std::fs::read_to_string(kept).expect("readable");
    std::fs::write(kept, format!("{text}5000 7\n12")).expect("written");
    let again = server.load(&["--mode", "recheck", "--keep", kept]);
    let again_report = self::report(&again);
    assert_eq!((again.status.code(), &again_report["wrong"]), (Some(1), &json!(1)), "{again_report:#}");
}

#[test]
fn goals_decide_the_exit() {
    let server = Server::start(|_, path| (path == "/v1/verify").then_some(Prank::Stall(Duration::from_millis(20))));
    for (goal, value, exit) in [("--goal-p99", "10", 1), ("--goal-p99", "5000", 0), ("--goal-rate", "1", 0), ("--goal-rate", "1000000", 1)] {
        let output = server.load(&["--mode", "verify", "--prefill", "5", "--requests", "40", "--connections", "2", goal, value]);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(exit), "{goal} {value}: {report:#}");
        assert_eq!(report["goals"][0]["met"], json!(exit == 0));
    }
}

#[test]
fn a_deadline_ends_it() {
    let server = Server::start(|_, _| None);
    let started = Instant::now();
    let output = server.load(&["--mode", "issue", "--duration", "600", "--deadline", "1"]);
    let report = report(&output);
    assert_eq!((output.status.code(), &report["cut_short"]), (Some(1), &json!("the deadline has passed")));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn nobody_there_is_told_apart_from_wrong_usage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let exit = |arguments: &[&str]| program(&["load"]).args(arguments).output().expect("run").status.code();
    assert_eq!(exit(&["--server", &url, "--code", "3300261130"]), Some(3));
    assert_eq!(exit(&["--server", "https://127.0.0.1:1"]), Some(2));
    assert_eq!(exit(&["--mode", "verify"]), Some(2));
    // Gone in the middle, and not to be waited for.
    let server = Server::start(|nth, _| (nth == 30).then_some(Prank::Vanish { acts: false, away: Duration::from_secs(2) }));
    let output = server.load(&["--mode", "issue", "--requests", "100", "--connections", "1"]);
    let report = report(&output);
    assert_eq!((output.status.code(), &report["cut_short"]), (Some(3), &json!("the server cannot be reached")), "{report:#}");
}

#[test]
fn samples_of_a_demo_are_asked_about() {
    let server = Server::start(|_, _| None);
    let site = Site::new();
    let (made, svg) = (site.file("demo.json"), site.file("load.svg"));
    let url = format!("http://{}", server.address);
    for (expect, exit) in [(11, 0), (1, 1)] {
        // Nothing is registered there, so the truth is that there is no such invoice.
        let sample = json!({ "code": "3300261130", "number": "00000007", "date": "2026-01-01", "amount": "10.00", "check": "", "expect": expect });
        std::fs::write(&made, json!({ "url": url, "tokens": { "business": "b" }, "samples": [sample] }).to_string()).expect("written");
        let mut command = program(&["load", "--json", "--requests", "50", "--samples"]);
        let output = command.arg(&made).arg("--svg").arg(&svg).output().expect("run");
        assert_eq!(output.status.code(), Some(exit), "{:#}", report(&output));
    }
    let picture = std::fs::read_to_string(svg).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
}
