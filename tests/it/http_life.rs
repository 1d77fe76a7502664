//! How a server begins and ends: configuration, an address that is taken, signals, kills; and one whose ledger does not sign.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::{Client, PATIENCE, request};
use crate::support::server::{CONFIGURATION, Server};
use crate::support::{Site, plain, receipt};

const CLIENTS: u32 = 8;

/// Issues from several connections until the server is gone; `stop` is called once, after so many answers. What was acknowledged: number, place
/// and receipt.
fn issue_until_gone(server: &Server, answers: usize, stop: impl FnOnce() + Send) -> BTreeMap<u32, (u64, String)> {
    let acknowledged = Mutex::new(BTreeMap::new());
    let answered = AtomicUsize::new(0);
    let bearer = server.bearer("issuer");
    std::thread::scope(|scope| {
        for nth in 0..CLIENTS {
            let (acknowledged, answered, bearer) = (&acknowledged, &answered, &bearer);
            scope.spawn(move || {
                let Ok(mut client) = Client::try_connect(server.running.address) else { return };
                for number in (1 + nth..90_000).step_by(CLIENTS as usize) {
                    let draft = plain(Kind::Electronic, number, Fen(i64::from(number)));
                    if client.try_send(&request("POST", "/v1/invoices", &[("Authorization", bearer)], draft.to_string().as_bytes())).is_err() {
                        return;
                    }
                    let Ok(reply) = client.try_reply() else { return };
                    assert_eq!(reply.status, 201, "{}", reply.text());
                    let told = reply.json();
                    let place = told["index"].as_u64().expect("an index");
                    acknowledged.lock().expect("no panic").insert(number, (place, told["receipt"].to_string()));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let begun = Instant::now();
        while answered.load(Ordering::SeqCst) < answers {
            assert!(begun.elapsed() < PATIENCE, "{answered:?} answers");
            std::thread::yield_now();
        }
        stop();
    });
    acknowledged.into_inner().expect("no panic")
}

/// Everything that was acknowledged is where it was said to be, with the receipt that was handed out, and the ledger is sound.
fn nothing_is_lost(site: &Site, acknowledged: &BTreeMap<u32, (u64, String)>) {
    let engine = site.open().expect("opened");
    for (number, (index, told)) in acknowledged {
        let again: Value = serde_json::from_str(&receipt(&engine, *index)).expect("JSON");
        assert_eq!(again.to_string(), *told, "number {number}");
    }
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let server = Server::new();
    let acknowledged = issue_until_gone(&server, 250, || server.running.signal(Signal::KILL));
    assert!(acknowledged.len() >= 250);
    let server = server.restart();
    // Whoever had no reply sends the same again; whoever had one gets it again.
    for (number, (index, told)) in acknowledged.iter().take(30) {
        let draft = plain(Kind::Electronic, *number, Fen(i64::from(*number)));
        let reply = server.ask_as("issuer", "POST", "/v1/invoices", draft.to_string().as_bytes());
        assert_eq!((reply.status, &reply.json()["index"], reply.json()["receipt"].to_string()), (200, &json!(index), told.clone()));
    }
    let Server { running, site, .. } = server;
    running.signal(Signal::TERM);
    assert_eq!(running.wait(), Some(0));
    nothing_is_lost(&site, &acknowledged);
}

#[test]
fn a_server_that_is_told_to_stop_answers_what_was_begun() {
    let server = Server::new();
    let bearer = server.bearer("issuer");
    let line = |number: u32| {
        let line = plain(Kind::Ordinary, number, Fen(10_000)).to_string() + "\n";
        format!("{:x}\r\n{line}\r\n", line.len())
    };
    let mut bulk = Client::connect(server.running.address);
    bulk.send(&request("POST", "/v1/invoices/bulk", &[("Authorization", &bearer), ("Transfer-Encoding", "chunked")], b""));
    bulk.send(line(1).as_bytes());
    assert_eq!(bulk.head().expect("a reply").status, 200);
    // A body that is still on its way, one connection without a word, and one between two requests.
    let mut slow = Client::connect(server.running.address);
    let draft = plain(Kind::Roll, 1, Fen(10_000)).to_string();
    let bytes = request("POST", "/v1/invoices", &[("Authorization", &bearer)], draft.as_bytes());
    let (begun, rest) = bytes.split_at(bytes.len() - 1);
    slow.send(begun);
    let mut silent = Client::connect(server.running.address);
    let mut idle = Client::connect(server.running.address);
    assert_eq!(idle.ask("GET", "/readyz", &[], b"").status, 200);
    while server.running.figure("fapiao_http_requests_in_flight") < 2 {
        std::thread::yield_now();
    }

    let acknowledged = issue_until_gone(&server, 200, || server.running.signal(Signal::TERM));
    assert!(silent.is_closed() && idle.is_closed());
    assert!(Client::try_connect(server.running.address).is_err(), "nobody new is let in");
    slow.send(rest);
    let last = slow.reply();
    assert_eq!((last.status, slow.is_closed()), (201, true));
    for number in 2..=50 {
        bulk.send(line(number).as_bytes());
    }
    bulk.send(b"0\r\n\r\n");
    let mut told = String::new();
    while let Some(chunk) = bulk.chunk().expect("whole") {
        told += std::str::from_utf8(&chunk).expect("UTF-8");
    }
    assert_eq!(told.lines().filter(|line| line.contains("\"status\":\"logged\"")).count(), 50, "{told}");

    let Server { running, site, .. } = server;
    assert_eq!(running.wait(), Some(0));
    let log = fs::read_to_string(site.file("serve.log")).expect("a log");
    assert!(log.contains("every request that was begun is answered") && log.contains("the ledger is closed"), "{log}");
    nothing_is_lost(&site, &acknowledged);
    let bearer = bearer.trim_start_matches("Bearer ");
    assert!(!log.contains(bearer) && !log.contains("Authorization"), "no token is in the log");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::with(&format!("{CONFIGURATION}[http]\ndrain_seconds = 3600\n"), |_| ());
    let bearer = server.bearer("issuer");
    let mut bulk = Client::connect(server.running.address);
    bulk.send(&request("POST", "/v1/invoices/bulk", &[("Authorization", &bearer), ("Transfer-Encoding", "chunked")], b""));
    assert_eq!(bulk.head().expect("a reply").status, 200);
    server.running.signal(Signal::TERM);
    while Client::try_connect(server.running.address).is_ok() {
        std::thread::yield_now();
    }
    let Server { running, site, .. } = server;
    running.signal(Signal::TERM);
    assert_eq!(running.wait(), Some(130));
    nothing_is_lost(&site, &BTreeMap::new());
}

#[test]
fn a_server_cuts_what_does_not_end() {
    let server = Server::with(&format!("{CONFIGURATION}[http]\ndrain_seconds = 0\n"), |_| ());
    let bearer = server.bearer("issuer");
    let mut bulk = Client::connect(server.running.address);
    bulk.send(&request("POST", "/v1/invoices/bulk", &[("Authorization", &bearer), ("Transfer-Encoding", "chunked")], b""));
    assert_eq!(bulk.head().expect("a reply").status, 200);
    server.running.signal(Signal::TERM);
    let Server { running, site, .. } = server;
    assert_eq!(running.wait(), Some(0));
    assert!(bulk.chunk().is_err(), "not the end of a whole reply");
    nothing_is_lost(&site, &BTreeMap::new());
}

#[test]
fn a_ledger_that_does_not_sign_answers_questions_and_says_why_it_does_no_more() {
    let server = Server::new();
    let draft = plain(Kind::Electronic, 1, Fen(10_000)).to_string();
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes()).status, 201);
    fs::remove_file(server.site.lock_path()).expect("removed");
    let server = server.restart();
    let asked = br#"{"code":"033001900111","number":"00000001","date":"2019-11-11","check":"000000"}"#;
    assert_eq!(server.ask_as("", "POST", "/v1/verify", asked).json()["name"], "mismatch");
    assert_eq!(server.ask_as("", "GET", "/healthz", b"").status, 200);
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices/check", draft.as_bytes()).status, 200);
    for (name, method, path, body) in [
        ("", "GET", "/readyz", ""),
        ("", "POST", "/v1/verify", r#"{"code":"033001900111","number":"00000001","date":"2019-11-11","check":"000000","proof":true}"#),
        ("issuer", "POST", "/v1/invoices", draft.as_str()),
        ("issuer", "POST", "/v1/invoices/bulk", draft.as_str()),
        ("issuer", "POST", "/v1/invoices/033001900111/00000001/void", ""),
        ("administrator", "POST", "/v1/invoices/033001900111/00000001/status", r#"{"mark":"lost"}"#),
    ] {
        let bearer = if name.is_empty() { String::new() } else { server.bearer(name) };
        let headers = [("Accept-Language", "en"), ("Authorization", bearer.as_str())];
        let reply = server.running.ask(method, path, &headers[..if name.is_empty() { 1 } else { 2 }], body.as_bytes());
        let problem = reply.json();
        assert_eq!((reply.status, &problem["type"]), (503, &json!("urn:fapiao:problem:unavailable")), "{path}: {problem}");
        assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("sign")), "{path}: {problem}");
    }
    assert_eq!(server.running.figure("fapiao_ledger_writable"), 0);
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_keeps_it_from_serving_is_said_with_its_own_exit_status() {
    let site = Site::new();
    drop(site.create());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (exit, told) = said(&site.program(&["serve", "--listen", &address]).output().expect("run"));
    assert_eq!(exit, Some(3), "{told}");
    assert!(told.contains(&address), "{told}");

    let path = site.file("wrong.toml");
    let path = path.to_str().expect("UTF-8");
    for (text, expected) in [
        ("[http]\nlsten = \"127.0.0.1:0\"\n", ":2:1: unknown field `lsten`"),
        ("[quota]\nkey_burst = -1\n", ":2:13: "),
        ("[http]\nconnections = 1\n", ":2:15: 1 is not between 16 and"),
        ("[http\n", ":1:"),
    ] {
        fs::write(path, text).expect("written");
        let (exit, told) = said(&site.program(&["serve", "--config", path]).output().expect("run"));
        assert_eq!(exit, Some(2), "{told}");
        assert!(told.contains(&format!("{path}{expected}")), "{told}");
    }
    fs::write(path, "[http]\nlsten = \"\"\n").expect("written");
    assert!(said(&site.program(&["serve", "--config", path]).output().expect("run")).1.contains("did you mean `listen`?"));
    let (exit, told) = said(&site.program(&["serve", "--config", "/nowhere.toml"]).output().expect("run"));
    assert_eq!(exit, Some(2), "{told}");
}

#[test]
fn the_configuration_that_is_printed_is_the_one_that_is_used() {
    let site = Site::new();
    let path = site.file("own.toml");
    fs::write(&path, "[http]\nproxies = [\"10.0.0.1\", \"::1\"]\nconnections = 500\n[quota]\nkey_burst = 7\n[log]\nrequests = \"all\"\n")
        .expect("written");
    let print = |arguments: &[&str]| {
        let output = site.program(&[&["serve", "--print-config"], arguments].concat()).output().expect("run");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let first = print(&["--config", path.to_str().expect("UTF-8"), "--listen", "127.0.0.1:9", "--host", "fp.example"]);
    for stated in ["listen = \"127.0.0.1:9\"", "host = \"fp.example\"", "connections = 500", "key_burst = 7", "requests = \"all\"", "\"10.0.0.1\""] {
        assert!(first.contains(stated), "{stated}: {first}");
    }
    fs::write(&path, &first).expect("written");
    assert_eq!(print(&["--config", path.to_str().expect("UTF-8")]), first);
}
