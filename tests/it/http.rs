//! The server as programs use it: good paths, what is said when something is wrong and in which language, repeats, bulk, HTTP/2.

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::time::Instant;

use bytes::Bytes;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::limits::{BULK_AT_ONCE_MAX, BULK_OF_ONE_MAX};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::http::{Client, PATIENCE, Reply, request};
use crate::support::server::{CONFIGURATION, Made, Server};
use crate::support::{face, id, logged, plain, red, seller, submit, tax, text, typed};

/// What a client needs to know is in the demo's file, and comes out as it says there.
#[test]
fn a_client_of_the_standard_library_uses_everything_that_the_demo_made() {
    let demo = Made::served(CONFIGURATION);
    let issuer = demo.bearer("issuer");
    let headers = [("Authorization", issuer.as_str()), ("Content-Type", "application/json; charset=utf-8")];
    let mut client = Client::connect(demo.running.address);
    let samples = demo.made["samples"].as_array().expect("samples");
    assert!(samples.len() > 20);
    for sample in samples {
        let by_amount = ["01", "02", "03"].contains(&text(sample, "kind"));
        let mut asked = json!({ "code": sample["code"], "number": sample["number"], "date": sample["date"] });
        match by_amount {
            true => asked["amount"] = sample["amount"].clone(),
            false => asked["check"] = json!(&text(sample, "check")[14..]),
        }
        let mut questions = vec![asked, json!({ "qr": sample["signed_qr"] })];
        questions.extend(sample["classic_qr"].as_str().map(|text| json!({ "qr": text })));
        for question in questions {
            let reply = client.ask("POST", "/v1/verify", &[], question.to_string().as_bytes());
            let answer = reply.json();
            assert_eq!((reply.status, &answer["verdict"]), (200, &sample["expect"]), "{question}");
            assert!(answer["name"].is_string() && answer["as_of"]["root"].is_string());
        }
        let payload = text(sample, "signed_qr").rsplit('/').next().expect("a payload");
        for path in [format!("/Q/{payload}"), format!("/q/{payload}")] {
            let page = client.ask("GET", &path, &[], b"");
            assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
            assert_eq!(
                ["cache-control", "referrer-policy", "x-robots-tag", "x-content-type-options"].map(|name| page.header(name)),
                ["no-store", "no-referrer", "noindex, nofollow", "nosniff"]
            );
            let answer = client.ask("GET", &path, &[("Accept", "application/json")], b"").json();
            assert_eq!(answer["verdict"], sample["expect"]);
        }
        let again = client.ask("POST", "/v1/invoices", &headers, sample["draft"].to_string().as_bytes());
        assert_eq!((again.status, &again.json()["status"]), (200, &json!("repeated")), "{}", again.text());
        let of_seller = client.ask("GET", &format!("/v1/invoices/{}/{}", text(sample, "code"), text(sample, "number")), &headers, b"").json();
        assert_eq!((&of_seller["receipt"], &of_seller["signed_qr"]), (&again.json()["receipt"], &sample["signed_qr"]));
    }

    let keys = client.ask("GET", "/v1/keys", &[], b"").json();
    assert!(keys["keys"].as_array().is_some_and(|keys| keys.len() >= 3));
    let inclusion = client.ask("GET", "/v1/proofs/inclusion?index=7", &[], b"").json();
    let size = inclusion["size"].as_u64().expect("a size");
    assert!(inclusion["checkpoint"].as_str().is_some_and(|note| note.starts_with(keys["origin"].as_str().expect("an origin"))));
    let nearest = client.ask("GET", &format!("/v1/proofs/consistency?from={}", size + 1), &[], b"");
    assert_eq!((nearest.status, &nearest.json()["size_below"]), (404, &json!(size)));
    let consistency = client.ask("GET", &format!("/v1/proofs/consistency?from={size}&to={size}"), &[], b"").json();
    assert_eq!((&consistency["hashes"], &consistency["older"]), (&json!([]), &inclusion["checkpoint"]));
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        assert_eq!(client.ask("GET", path, &[], b"").text(), body);
        let head = client.ask("HEAD", path, &[], b"");
        assert_eq!((head.status, head.header("content-length")), (200, body.len().to_string().as_str()));
    }
    let proven = client.ask("POST", "/v1/verify", &[], json!({ "qr": samples[0]["signed_qr"], "proof": true }).to_string().as_bytes()).json();
    assert!(proven["proof"].is_object());
    assert!(demo.running.figure("fapiao_verdicts_total{name=\"genuine\"}") > 0);
    assert_eq!(demo.running.figure("fapiao_http_requests_total{endpoint=\"healthz\",status=\"404\"}"), 0);
    assert_eq!(demo.running.figure("fapiao_http_panics_total"), 0);
}

#[test]
fn what_is_wrong_is_told_by_status_and_kind() {
    let server = Server::new();
    let mut broken = plain(Kind::Electronic, 1, Fen(10_000));
    broken["total"] = json!("1.00");
    let blue = plain(Kind::Special, 1, Fen(10_000));
    let over = red(&blue, 2, Fen(20_000), tax(Kind::Special, Fen(20_000)));
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", blue.to_string().as_bytes()).status, 201);
    let mut other = blue.clone();
    other["remark"] = json!("another");
    let deep = format!("{{\"qr\":{}1{}}}", "[".repeat(7_000), "]".repeat(7_000));
    let long_qr = json!({ "qr": "1".repeat(20_000) }).to_string();
    for (path, body, status, kind) in [
        ("/v1/verify", "", 400, "bad-request"),
        ("/v1/verify", "{", 400, "bad-request"),
        ("/v1/verify", "{}", 400, "bad-request"),
        ("/v1/verify", "[]", 400, "bad-request"),
        ("/v1/verify", r#"["01,10,033001900111,00000001,,,,"]"#, 400, "bad-request"),
        ("/v1/verify", r#"{"qr":"x","qr":"x"}"#, 400, "bad-request"),
        ("/v1/verify", r#"{"qr":"x","code":"x"}"#, 400, "bad-request"),
        ("/v1/verify", r#"{"qr":"x","more":1}"#, 400, "bad-request"),
        ("/v1/verify", r#"{"code":"1","number":2}"#, 400, "bad-request"),
        ("/v1/verify", deep.as_str(), 400, "bad-request"),
        ("/v1/verify", "{\"qr\":\"\u{0}\"}", 400, "bad-request"),
        ("/v1/verify", long_qr.as_str(), 413, "too-large"),
        ("/v1/invoices", "", 400, "bad-request"),
        ("/v1/invoices", "null", 400, "bad-request"),
        ("/v1/invoices", "[]", 400, "bad-request"),
        ("/v1/invoices", "{}", 422, "faulty"),
        ("/v1/invoices", r#"{"kind":"10","kind":"10"}"#, 422, "faulty"),
        ("/v1/invoices", &format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)), 400, "bad-request"),
        ("/v1/invoices", &broken.to_string(), 422, "faulty"),
        ("/v1/invoices", &other.to_string(), 409, "refused"),
        ("/v1/invoices", &over.to_string(), 409, "refused"),
        ("/v1/invoices/bulk", "", 400, "bad-request"),
        ("/v1/invoices/check", "7", 400, "bad-request"),
    ] {
        let reply = server.ask_as("issuer", "POST", path, body.as_bytes());
        let shown = &body[..body.floor_char_boundary(60)];
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path} {shown}: {}", reply.text());
        let problem = reply.json();
        assert_eq!((reply.status, &problem["type"]), (status, &json!(format!("urn:fapiao:problem:{kind}"))), "{path} {shown}: {problem}");
        assert_eq!(problem["status"], json!(status));
        // The request can be found in the logs by what its reply says.
        assert_eq!(problem["instance"], json!(format!("urn:fapiao:request:{}", reply.header("x-request-id"))));
        assert_eq!(problem["faults"].is_array(), kind == "faulty" && path != "/v1/verify", "{problem}");
    }
    for (path, status) in [
        ("/v1/proofs/inclusion", 400),
        ("/v1/proofs/inclusion?index=x", 400),
        ("/v1/proofs/inclusion?index=-1", 400),
        ("/v1/proofs/inclusion?index=99999999999999999999", 400),
        ("/v1/proofs/inclusion?index=1&index=1", 400),
        ("/v1/proofs/inclusion?index=1&size=1", 404),
        ("/v1/proofs/inclusion?index=18446744073709551615&size=18446744073709551615", 404),
        ("/v1/proofs/consistency?from=3&to=2", 404),
        ("/v1/proofs/consistency?from=0", 200),
        ("/v1/callers?after=zz", 400),
        ("/v1/callers?limit=", 400),
        ("/v1/audit?limit=0", 200),
        ("/v1/audit?limit=18446744073709551615&from=18446744073709551615", 200),
        ("/q/%00", 200),
        ("/q/AE", 200),
    ] {
        let reply = server.ask_as("auditor", "GET", path, b"");
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    let question = br#"{"qr":"x"}"#;
    for (headers, status) in [
        (&[("Content-Type", "text/plain")][..], 415),
        (&[("Content-Type", "application/json"), ("Content-Encoding", "gzip")], 415),
        (&[("Content-Encoding", "identity")], 200),
        (&[("Content-Type", "APPLICATION/JSON;charset=utf-8")], 200),
        (&[("Content-Type", "\u{ff}")], 415),
        (&[], 200),
    ] {
        assert_eq!(server.running.ask("POST", "/v1/verify", headers, question).status, status, "{headers:?}");
    }
}

#[test]
fn problems_are_told_in_the_language_that_is_asked_for() {
    let server = Server::new();
    for (accepted, language, title) in [
        ("", "zh-CN", "未找到"),
        ("en-GB,en;q=0.8", "en", "not found"),
        ("fr, zh;q=0.2, en;q=0.1", "zh-CN", "未找到"),
        ("zh;q=0.1, EN;q=0.2", "en", "not found"),
        (";;;,,q=en", "zh-CN", "未找到"),
    ] {
        let reply = server.running.ask("GET", "/nowhere", &[("Accept-Language", accepted)], b"");
        assert_eq!((reply.header("content-language"), reply.header("vary")), (language, "accept-language"), "{accepted}");
        assert_eq!(reply.json()["title"], title);
        let reply = server.running.ask("POST", "/v1/verify", &[("Accept-Language", accepted)], b"{}");
        let detail = if language == "en" { "give qr, or code and number" } else { "请提供 qr，或 code 与 number" };
        assert_eq!(reply.json()["detail"], detail);
    }
}

#[test]
fn the_same_again_is_answered_with_the_first_receipt() {
    let server = Server::new();
    let draft = plain(Kind::Electronic, 1, Fen(10_000)).to_string();
    let first = server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes());
    assert_eq!((first.status, first.header("location")), (201, "/v1/invoices/033001900111/00000001"));
    let again: Vec<Reply> = (0..3).map(|_| server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes())).collect();
    let receipt = |reply: &Reply| {
        let body = reply.text();
        body[body.find("\"receipt\":").expect("a receipt")..].split_once("},").expect("its end").0.to_owned()
    };
    for reply in &again {
        assert_eq!((reply.status, receipt(reply), &reply.body), (200, receipt(&first), &again[0].body));
    }
    let bearer = server.bearer("issuer");
    for preference in ["return=minimal", "respond-async, RETURN=minimal"] {
        let reply = server.running.ask("POST", "/v1/invoices", &[("Authorization", &bearer), ("Prefer", preference)], draft.as_bytes());
        assert_eq!((reply.status, reply.json().get("receipt")), (200, None));
    }
    let server = server.restart();
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes()).body, again[0].body, "after a kill and a restart");
}

#[test]
fn one_of_many_who_send_the_same_at_once_is_the_first() {
    let server = Server::new();
    let bearer = server.bearer("issuer");
    for number in 1..=5 {
        let draft = plain(Kind::Electronic, number, Fen(10_000)).to_string();
        let bytes = request("POST", "/v1/invoices", &[("Authorization", &bearer)], draft.as_bytes());
        let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(server.running.address)).collect();
        for client in &mut clients {
            client.send(&bytes);
        }
        let replies: Vec<Reply> = clients.iter_mut().map(Client::reply).collect();
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 201)), "{statuses:?}");
        let receipts: BTreeSet<String> = replies.iter().map(|reply| reply.json()["receipt"].to_string()).collect();
        assert_eq!(receipts.len(), 1);
    }
}

/// The head of a bulk request whose body comes in chunks.
fn bulk_head(bearer: &str) -> Vec<u8> {
    let headers =
        [("Authorization", bearer), ("Prefer", "return=minimal"), ("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")];
    request("POST", "/v1/invoices/bulk", &headers, b"")
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn lines(reply: &Reply) -> Vec<Value> {
    reply.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn bulk_lines_are_answered_in_their_order_whatever_they_are() {
    let server = Server::new();
    let draft = |number| plain(Kind::Electronic, number, Fen(10_000)).to_string();
    let mut faulty = plain(Kind::Electronic, 3, Fen(10_000));
    faulty["total"] = json!("1.00");
    let body = [draft(1), "{\"half\":".to_owned(), faulty.to_string(), "\n\n7".to_owned(), draft(1), draft(2), "[".repeat(3_000)].join("\n");
    let reply = server.ask_as("issuer", "POST", "/v1/invoices/bulk", body.as_bytes());
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let mut told: Vec<(String, u64)> =
        lines(&reply).iter().map(|line| (text(line, "status").to_owned(), line["line"].as_u64().expect("a line"))).collect();
    // Two that are equal are on their way at the same time, and one of them is first.
    if told[0].0 == "repeated" {
        let other = std::mem::take(&mut told[4].0);
        told[4].0 = std::mem::replace(&mut told[0].0, other);
    }
    let expected = [("logged", 1), ("malformed", 2), ("faulty", 3), ("faulty", 6), ("repeated", 7), ("logged", 8), ("malformed", 9)];
    assert_eq!(told, expected.map(|(status, line)| (status.to_owned(), line)));
}

#[test]
fn a_bulk_body_that_breaks_off_has_logged_what_came_before() {
    let server = Server::new();
    let draft = plain(Kind::Electronic, 1, Fen(10_000)).to_string() + "\n";
    let mut client = Client::connect(server.running.address);
    client.send(&bulk_head(&server.bearer("issuer")));
    client.send(&chunk(draft.as_bytes()));
    let head = client.head().expect("a reply before the end of the request");
    assert_eq!(head.status, 200);
    let line: Value = serde_json::from_slice(&client.chunk().expect("a chunk").expect("an answer")).expect("JSON");
    assert_eq!(line["status"], "logged");
    // The next one is not complete, and never will be.
    client.send(b"1000\r\n{\"kind\":");
    client.writer().shutdown(Shutdown::Write).expect("shut down");
    while let Ok(Some(chunk)) = client.chunk() {
        let line: Value = serde_json::from_slice(&chunk).expect("JSON");
        assert_eq!(line["status"], "broken_off");
    }
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes()).status, 200);
    let begun = Instant::now();
    // Its connection gone, nothing of it is left.
    while server.running.figure("fapiao_http_requests_in_flight") > 1 {
        assert!(begun.elapsed() < PATIENCE, "still under way");
        std::thread::yield_now();
    }
}

#[test]
fn a_bulk_client_that_reads_late_gets_every_line() {
    const DRAFTS: u32 = 3_000;
    let server = Server::new();
    let mut client = Client::connect(server.running.address);
    let (mut writer, head) = (client.writer(), bulk_head(&server.bearer("issuer")));
    let sending = std::thread::spawn(move || {
        use std::io::Write as _;
        writer.write_all(&head).expect("sent");
        for number in 1..=DRAFTS {
            let line = plain(Kind::Electronic, number, Fen(10_000)).to_string() + "\n";
            writer.write_all(&chunk(line.as_bytes())).expect("sent");
        }
        writer.write_all(b"0\r\n\r\n").expect("sent");
    });
    // Long enough for all that lies between to be full, if it can be.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200);
    let reply = client.reply();
    sending.join().expect("sent");
    let told: Vec<Option<u64>> = lines(&reply).iter().map(|line| line["line"].as_u64().filter(|_| line["status"] == "logged")).collect();
    assert_eq!(told, (1..=u64::from(DRAFTS)).map(Some).collect::<Vec<_>>());
}

#[test]
fn bulk_requests_beyond_those_that_fit_are_told_to_come_again() {
    let server = Server::new();
    let mut held: Vec<Client> = (0..BULK_AT_ONCE_MAX).map(|_| Client::connect(server.running.address)).collect();
    // As many callers as it takes, each with as many requests as it may have.
    let enrol = |_| {
        let new = json!({ "role": "issuer", "taxpayers": [seller().as_str()] }).to_string();
        let enrolled = server.ask_as("administrator", "POST", "/v1/callers", new.as_bytes());
        format!("Bearer {}", enrolled.json()["token"].as_str().expect("a token"))
    };
    let bearers: Vec<String> = (0..BULK_AT_ONCE_MAX / BULK_OF_ONE_MAX).map(enrol).collect();
    for ((client, number), bearer) in held.iter_mut().zip(1..).zip(bearers.iter().cycle()) {
        client.send(&bulk_head(bearer));
        client.send(&chunk((plain(Kind::Electronic, number, Fen(10_000)).to_string() + "\n").as_bytes()));
        assert_eq!(client.head().expect("a reply").status, 200);
    }
    let refused = server.ask_as("issuer", "POST", "/v1/invoices/bulk", b"{}");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", plain(Kind::Electronic, 99, Fen(1)).to_string().as_bytes()).status, 201);
    for client in &mut held {
        client.send(b"0\r\n\r\n");
        while client.chunk().expect("whole").is_some() {}
    }
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices/bulk", b"{}").status, 200);
}

#[test]
fn http_2_is_spoken_on_the_same_port() {
    let mut asked = Value::Null;
    let server = Server::with(CONFIGURATION, |engine| {
        logged(submit(engine, &plain(Kind::Electronic, 1, Fen(10_000))));
        let typed = typed(&face(engine, id(Kind::Electronic, 1)));
        asked = json!({ "code": typed.code, "number": typed.number, "date": typed.date, "check": typed.check });
    });
    let (address, bearer) = (server.running.address, server.bearer("issuer"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let (sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        // A hundred at a time on one connection.
        let asking = (0..100u32).map(|nth| {
            let mut sender = sender.clone();
            let (path, body, expected) = match nth % 4 {
                0 => ("/v1/verify", asked.to_string(), 200),
                1 => ("/v1/invoices", plain(Kind::Electronic, 100 + nth, Fen(10_000)).to_string(), 201),
                2 => ("/nowhere", String::new(), 404),
                _ => ("/v1/verify", "x".repeat(100_000), 413),
            };
            let request = hyper::Request::post(format!("http://{address}{path}")).header("authorization", &bearer);
            let request = request.body(Full::from(body)).expect("a request");
            async move {
                let reply = sender.send_request(request).await.expect("a reply");
                assert_eq!(reply.status().as_u16(), expected, "{path}");
                let bytes = reply.into_body().collect().await.expect("a body").to_bytes();
                serde_json::from_slice::<Value>(&bytes).expect("JSON")
            }
        });
        let replies = futures_util::future::join_all(asking).await;
        assert!(replies.iter().step_by(4).all(|answer| answer["name"] == "genuine"));
        drop(sender);
        driver.await.expect("no panic").expect("a clean end");
    });
}
