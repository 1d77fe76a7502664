//! `fapiao verify` and `fapiao issue` against a server: they say what they say of a data directory, and a server that falters is waited for.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Output, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::support::program;

/// Exit status, standard output without what counts verifications and the time of reading, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let out = text(&output.stdout);
    let lines = out.lines().filter(|line| !line.contains("查验次数")).map(|line| line.split(" @ ").next().unwrap_or(line));
    (output.status.code(), lines.collect::<Vec<_>>().join("\n"), text(&output.stderr))
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The question as options.
fn options(sample: &Value) -> Vec<String> {
    let text = |member: &str| sample[member].as_str().unwrap_or_default().to_owned();
    let mut options = vec!["--code".to_owned(), text("code"), "--number".into(), text("number"), "--date".into(), text("date")];
    match text("check") {
        check if check.is_empty() => options.extend(["--amount".to_owned(), text("amount")]),
        check => options.extend(["--check".to_owned(), check[14..].to_owned()]),
    }
    options
}

#[test]
fn a_server_says_what_its_data_directory_says() {
    let mut demo = Demo::start();
    let url = demo.url().to_owned();
    let mut questions: Vec<Vec<String>> =
        vec![vec!["--qr".into(), "HTTPS://NOWHERE.EXAMPLE/Q/AE".into()], vec!["--code".into(), "1".into(), "--number".into(), "2".into()]];
    for sample in demo.samples() {
        questions.push(options(sample));
        questions.push(vec!["--qr".into(), sample["signed_qr"].as_str().expect("a code").into()]);
        questions.push([options(sample), vec!["--total".into(), "0.01".into()]].concat());
    }
    let there: Vec<_> =
        questions.iter().map(|question| said(&program(&["verify", "--server", &url]).args(question).output().expect("run"))).collect();
    let proof = demo.file("kept.proof");
    let genuine = options(demo.samples().iter().find(|sample| sample["expect"] == 1).expect("a genuine one"));
    let kept = program(&["verify", "--json", "--server", &url, "--proof"]).arg(&proof).args(&genuine).output().expect("run");
    assert_eq!(kept.status.code(), Some(0), "{kept:?}");
    assert_eq!(lines(&kept)[0]["name"], "genuine");
    assert_eq!(lines(&kept)[0].get("proof"), None);
    let checked = program(&["proof", "verify"]).arg(&proof).output().expect("run");
    assert!(checked.status.success(), "{checked:?}");

    demo.stop();
    // At its end the server told the log of the answer that was kept, so that one leaf more is there.
    let without_size = |(exit, text, error): (Option<i32>, String, String)| (exit, text.split("账本 ledger ").next().map(str::to_owned), error);
    for (question, there) in questions.iter().zip(there) {
        let here = said(&program(&["verify"]).arg("--data").arg(demo.data()).args(question).output().expect("run"));
        assert_eq!(without_size(there), without_size(here), "{question:?}");
    }
}

#[test]
fn drafts_are_issued_through_a_server_in_their_order() {
    let demo = Demo::start();
    let drafts = demo.file("drafts");
    let mut faulty = demo.new_draft(2);
    faulty["total"] = json!("1.00");
    let (new, old) = (demo.new_draft(1), &demo.samples()[0]["draft"]);
    fs::write(&drafts, format!("{new:#}\n\n{faulty}\nnoise\n{old}\n{}\n", demo.new_draft(3))).expect("written");
    let issue = |token: &str| {
        let mut command = program(&["issue", "--server", demo.url()]);
        command.arg(&drafts).env("FAPIAO_TOKEN", token).output().expect("run")
    };
    let output = issue(demo.token("issuer"));
    let answered = lines(&output);
    let statuses: Vec<&str> = answered.iter().map(|line| line["status"].as_str().expect("a status")).collect();
    assert_eq!(statuses, ["logged", "faulty", "malformed", "repeated", "logged"], "{output:?}");
    let first = format!("{new:#}\n").lines().count() as u64 + 2;
    let at: Vec<u64> = answered.iter().map(|line| line["line"].as_u64().expect("a line")).collect();
    assert_eq!(at, [1, first, first + 1, first + 2, first + 3]);
    assert_eq!(output.status.code(), Some(2));
    let qr = answered[0]["signed_qr"].as_str().expect("a code");
    assert!(program(&["verify", "--server", demo.url(), "--qr", qr]).status().expect("run").success());

    // The same again gets the first receipt.
    let again = lines(&issue(demo.token("issuer")));
    assert_eq!(again[0]["status"], "repeated");
    assert_eq!(again[0]["receipt"], answered[0]["receipt"]);

    for (token, told) in [("nobody", "HTTP 401"), (demo.token("business"), "HTTP 403")] {
        let (exit, out, error) = said(&issue(token));
        assert_eq!((exit, out.as_str()), (Some(2), ""), "{error}");
        assert!(error.starts_with(&format!("fapiao: {}: {told}", demo.url())), "{error}");
        assert!(!error.contains(token));
    }
}

#[test]
fn whoever_issues_on_a_pipe_gets_each_receipt_before_the_next_draft() {
    use std::io::{BufRead as _, BufReader};
    let demo = Demo::start();
    let mut command = program(&["issue", "--server", demo.url(), "--token", demo.token("issuer")]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run");
    let mut drafts = process.stdin.take().expect("a pipe");
    let mut receipts = BufReader::new(process.stdout.take().expect("a pipe"));
    for nth in 1..=3 {
        writeln!(drafts, "{}", demo.new_draft(nth)).expect("written");
        let mut line = String::new();
        receipts.read_line(&mut line).expect("read");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["status"], "logged", "{line}");
    }
    drop(drafts);
    assert!(process.wait().expect("a child").success());
}

/// A server that gives these replies, one to each connection, and returns the bodies that it was sent.
pub(crate) fn canned(replies: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for reply in replies {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            let body = loop {
                let mut piece = [0; 4_096];
                let read = stream.read(&mut piece).expect("readable");
                assert!(read > 0, "the request broke off");
                request.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                if body.len() == length.expect("a length").parse::<usize>().expect("digits") {
                    break body.to_owned();
                }
            };
            bodies.push(body);
            stream.write_all(reply.as_bytes()).expect("written");
        }
        bodies
    });
    (address, thread)
}

/// A reply as it is sent.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_server_that_falters_is_waited_for_and_asked_only_for_what_is_missing() {
    let line = |status: &str, n: u32| format!("{}\n", json!({ "status": status, "n": n, "line": 1 }));
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", line("logged", 1));
    let (address, thread) = canned(vec![
        reply("503 Service Unavailable", "retry-after: 1\r\n", "{\"title\":\"busy\"}"),
        cut,
        reply("200 OK", "", &(line("repeated", 2) + &line("refused", 3))),
    ]);
    let mut process = program(&["issue", "--server", &format!("http://{address}")]);
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run");
    process.stdin.take().expect("a pipe").write_all(b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n").expect("written");
    let output = process.wait_with_output().expect("a child");
    let answered: Vec<Value> = lines(&output).iter().map(|line| json!([line["n"], line["line"], line["status"]])).collect();
    assert_eq!(answered, [json!([1, 1, "logged"]), json!([2, 2, "repeated"]), json!([3, 3, "refused"])]);
    assert_eq!(output.status.code(), Some(1));
    let bodies = thread.join().expect("no panic");
    // The first request may have left before all of it was there.
    assert_eq!(bodies.last().map(String::as_str), Some("{\"a\":2}\n{\"a\":3}\n"));
}

#[test]
fn what_a_server_refuses_for_long_is_not_waited_for() {
    let problem = json!({ "title": "too many requests", "detail": "wait", "retry_after": 3_600 }).to_string();
    let (address, thread) = canned(vec![reply("429 Too Many Requests", "retry-after: 3600\r\n", &problem)]);
    let url = format!("http://{address}");
    let output = program(&["verify", "--server", &url, "--code", "1", "--number", "2"]).output().expect("run");
    let expected = format!("fapiao: {url}: HTTP 429: too many requests: wait\n");
    assert_eq!(said(&output), (Some(3), String::new(), expected));
    thread.join().expect("no panic");
}

#[test]
fn where_no_server_is_the_drafts_are_unavailable() {
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut process = program(&["issue", "--server", &format!("http://{address}")]);
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run");
    process.stdin.take().expect("a pipe").write_all(b"{\"a\":1}\n").expect("written");
    let output = process.wait_with_output().expect("a child");
    assert_eq!((output.status.code(), lines(&output)[0]["status"].as_str()), (Some(3), Some("unavailable")));
}

#[test]
fn addresses_that_are_none_are_refused() {
    for (url, why) in [
        ("ftp://127.0.0.1:1", "no address; https://HOST:PORT or http://HOST:PORT"),
        ("127.0.0.1:1", "no address; https://HOST:PORT or http://HOST:PORT"),
        ("https://a@127.0.0.1:1", "no address; https://HOST:PORT or http://HOST:PORT"),
        ("http://127.0.0.1:1/v1", "nothing may follow HOST:PORT"),
    ] {
        let output = program(&["verify", "--server", url, "--qr", "x"]).output().expect("run");
        assert_eq!(said(&output), (Some(2), String::new(), format!("fapiao: --server {url}: {why}\n")));
    }
    let both = program(&["verify", "--server", "http://127.0.0.1:1", "--data", "x", "--qr", "x"]).output().expect("run");
    assert_eq!(both.status.code(), Some(2));
}
