//! What a hostile or broken client can send, and that everybody else is answered meanwhile.

use std::io::Write as _;

use fapiao::channel::json::DEPTH_MAX;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::limits::BULK_OF_ONE_MAX;
use serde_json::{Value, json};

use crate::support::http::{Client, request};
use crate::support::server::{CONFIGURATION, Server};
use crate::support::{logged, plain, submit};

/// Idle connections in the gate.
const IDLE: usize = 1_000;

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let server = Server::new();
    for path in ["/v1/verify", "/v1/invoices", "/v1/allotments"] {
        let name = if path.ends_with("allotments") { "administrator" } else { "issuer" };
        let bearer = server.bearer(name);
        // A gigabyte is announced, and not a byte of it sent.
        let mut client = Client::connect(server.running.address);
        client.send(&request("POST", path, &[("Authorization", &bearer), ("Content-Length", "1073741824")], b""));
        let reply = client.reply();
        assert_eq!((reply.status, &reply.json()["type"]), (413, &json!("urn:fapiao:problem:too-large")), "{path}");
        assert!(client.is_closed(), "{path}");
    }
    // Not announced, and more than there may be.
    let mut client = Client::connect(server.running.address);
    client.send(&request("POST", "/v1/verify", &[("Transfer-Encoding", "chunked")], b""));
    let mut writer = client.writer();
    let flood = std::thread::spawn(move || {
        let piece = [b"400\r\n".as_slice(), &[b' '; 1024], b"\r\n"].concat();
        while writer.write_all(&piece).is_ok() {}
    });
    // Whoever still sends when the connection is closed may lose the reply to a reset.
    assert!(client.try_reply().map_or(true, |reply| reply.status == 413));
    drop(client);
    flood.join().expect("the server hung up");
    assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200);
}

#[test]
fn heads_are_bounded() {
    let server = Server::new();
    let long = "x".repeat(20_000);
    let many: Vec<(String, String)> = (0..70).map(|nth| (format!("X-{nth}"), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (bytes, statuses) in [
        (request("GET", "/healthz", &[("X-Long", &long)], b""), &[431][..]),
        (request("GET", "/healthz", &many, b""), &[431]),
        (request("GET", &format!("/q/{long}"), &[], b""), &[414, 431]),
        (request("GET", "/healthz", &[("X", "a\0b")], b""), &[400]),
        (b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n".to_vec(), &[400]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10), &[400]),
        (b"GET /healthz HTTP/9.9\r\n\r\n".to_vec(), &[400, 505]),
    ] {
        let mut client = Client::connect(server.running.address);
        // It may hang up before it has everything.
        drop(client.try_send(&bytes));
        if let Ok(reply) = client.try_reply() {
            assert!(statuses.contains(&reply.status), "{}: {}", String::from_utf8_lossy(&bytes[..40.min(bytes.len())]), reply.status);
        }
        assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200);
    }
}

/// One request must not be two to a proxy in front: whatever says two things about its length ends with its connection.
#[test]
fn nothing_is_smuggled_in() {
    let server = Server::new();
    let smuggled = "GET /v1/keys HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 4\r\nContent-Length: 5\r\n".to_owned(),
        "Content-Length: +2\r\n".to_owned(),
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
    ] {
        let mut client = Client::connect(server.running.address);
        client.send(format!("POST /v1/verify HTTP/1.1\r\nHost: x\r\n{head}\r\n0\r\n\r\n{smuggled}").as_bytes());
        let mut keys = 0;
        let mut statuses = Vec::new();
        while let Ok(reply) = client.try_reply() {
            keys += usize::from(reply.text().contains("\"keys\""));
            statuses.push(reply.status);
        }
        assert_eq!(keys, 0, "{head}: {statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 400 | 501)), "{head}: {statuses:?}");
    }
    for hosts in ["", "Host: x\r\nHost: y\r\n", "Host: x\r\nHost: x\r\n"] {
        let mut client = Client::connect(server.running.address);
        client.send(format!("GET /healthz HTTP/1.1\r\n{hosts}\r\n").as_bytes());
        assert_eq!(client.reply().status, 400, "{hosts:?}");
    }
}

#[test]
fn requests_may_follow_each_other_without_waiting() {
    let server = Server::new();
    let bearer = server.bearer("issuer");
    let question = br#"{"code":"033001900111","number":"00099999","date":"2019-11-11","check":"000000"}"#;
    let draft = |number| plain(Kind::Electronic, number, Fen(10_000)).to_string();
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for number in 1..=20 {
        bytes.extend(request("POST", "/v1/verify", &[], question));
        bytes.extend(request("POST", "/v1/invoices", &[("Authorization", &bearer)], draft(number).as_bytes()));
        bytes.extend(request("GET", "/nowhere", &[], b""));
        bytes.extend(request("OPTIONS", "/v1/verify", &[], b""));
        // In chunks, with a trailer.
        let chunked = format!("{:x}\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n", question.len(), String::from_utf8_lossy(question));
        bytes.extend(request("POST", "/v1/verify", &[("Transfer-Encoding", "chunked")], b""));
        bytes.extend(chunked.as_bytes());
        expected.extend([200, 201, 404, 204, 200]);
    }
    let mut client = Client::connect(server.running.address);
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || writer.write_all(&bytes).expect("sent"));
    let statuses: Vec<u16> = expected.iter().map(|_| client.reply().status).collect();
    sending.join().expect("sent");
    assert_eq!(statuses, expected);

    // A byte at a time.
    for byte in request("POST", "/v1/verify", &[("Connection", "close")], question) {
        client.send(&[byte]);
    }
    assert_eq!(client.reply().json()["name"], "not_found");
    assert!(client.is_closed());
}

/// Whatever else has come or not, what was asked is answered.
#[test]
fn an_answer_does_not_wait_for_what_follows_its_request() {
    let server = Server::new();
    let question = br#"{"code":"033001900111","number":"00099999","date":"2019-11-11","check":"000000"}"#;
    let health = request("GET", "/healthz", &[], b"");
    let close = request("GET", "/healthz", &[("Connection", "close")], b"");
    let verify = request("POST", "/v1/verify", &[], question);
    for (bytes, closes) in [
        ([&health[..], b"GET /hea"].concat(), false),
        ([&close[..], &health].concat(), true),
        ([&close[..], b"x"].concat(), true),
        ([&verify[..], b"\r\n"].concat(), false),
        ([&verify[..], b" "].concat(), false),
        ([&request("POST", "/v1/verify", &[("Connection", "close")], question)[..], b"\r\n"].concat(), true),
    ] {
        let mut client = Client::connect(server.running.address);
        client.send(&bytes);
        assert_eq!(client.reply().status, 200, "{}", String::from_utf8_lossy(&bytes));
        assert!(!closes || client.is_closed());
    }
    let mut client = Client::connect(server.running.address);
    client.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}

/// Requests by the thousand and not one answer taken: what cannot be sent is not made.
#[test]
fn whoever_does_not_read_takes_no_memory() {
    let server = Server::new();
    let memory = || server.running.figure("fapiao_resident_memory_bytes") >> 20;
    let before = memory();
    let writers: Vec<_> = ["/healthz", "/v1/keys", "/openapi.json", "/healthz"]
        .map(|path| {
            let client = Client::connect(server.running.address);
            let mut writer = client.writer();
            writer.set_write_timeout(Some(std::time::Duration::from_millis(500))).expect("set");
            let many = request("GET", path, &[], b"").repeat(1_000);
            std::thread::spawn(move || {
                let mut sent = 0;
                while sent < 200 << 20 && writer.write_all(&many).is_ok() {
                    sent += many.len();
                }
                (client, sent)
            })
        })
        .into();
    let stuck: Vec<_> = writers.into_iter().map(|writer| writer.join().expect("no panic")).collect();
    let after = memory();
    assert!(stuck.iter().all(|(_, sent)| *sent < 200 << 20), "the server went on reading");
    assert!(after < before + 64, "{before} MiB before, {after} MiB after");
}

/// Whoever comes and asks takes the place of somebody who does nothing.
#[test]
fn those_who_do_nothing_give_way() {
    let server = Server::with(&format!("{CONFIGURATION}[http]\nconnections = 16\n"), |_| ());
    let begun =
        [Vec::new(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_vec()];
    let mut idle = Vec::new();
    for round in 0..4 {
        for nth in 0..16 {
            let mut client = Client::connect(server.running.address);
            drop(client.try_send(&begun[nth % begun.len()]));
            idle.push(client);
        }
        assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200, "round {round}");
    }
    // One that is being served keeps its place.
    let bearer = server.bearer("issuer");
    let mut bulk = Client::connect(server.running.address);
    bulk.send(&request("POST", "/v1/invoices/bulk", &[("Authorization", &bearer), ("Transfer-Encoding", "chunked")], b""));
    let line = |number| {
        let draft = format!("{}\n", plain(Kind::Electronic, number, Fen(10_000)));
        format!("{:x}\r\n{draft}\r\n", draft.len())
    };
    bulk.send(line(1).as_bytes());
    assert_eq!(bulk.head().expect("a head").status, 200);
    assert!(bulk.chunk().expect("a line").is_some());
    for _ in 0..40 {
        idle.push(Client::connect(server.running.address));
    }
    assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200);
    bulk.send(format!("{}0\r\n\r\n", line(2)).as_bytes());
    assert!(bulk.chunk().expect("the other line").is_some());
    assert!(bulk.chunk().expect("the end").is_none());
}

#[test]
fn nobody_fills_the_bulk_requests_alone() {
    let server = Server::new();
    let open = |name: &str| {
        let mut client = Client::connect(server.running.address);
        let headers = [("Authorization", &*server.bearer(name)), ("Transfer-Encoding", "chunked")];
        client.send(&request("POST", "/v1/invoices/bulk", &headers, b""));
        client.send(b"1\r\n \r\n");
        let status = client.head().expect("a head").status;
        (client, status)
    };
    let held: Vec<_> = (0..BULK_OF_ONE_MAX).map(|_| open("issuer")).collect();
    assert!(held.iter().all(|(_, status)| *status == 200));
    assert_eq!(open("issuer").1, 503);
    assert_eq!(open("issuer_other").1, 200);
    drop(held);
    let begun = std::time::Instant::now();
    while open("issuer").1 != 200 {
        assert!(begun.elapsed().as_secs() < 20, "the places are not given back");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_is_registered_is_the_same_again_however_old_it_is() {
    let old = plain(Kind::Electronic, 1, Fen(10_000));
    let server = Server::with(&CONFIGURATION.replace("36500", "31"), |engine| {
        logged(submit(engine, &old));
    });
    let post = |draft: &Value| server.ask_as("issuer", "POST", "/v1/invoices", draft.to_string().as_bytes()).status;
    assert_eq!(post(&old), 200);
    assert_eq!(post(&plain(Kind::Electronic, 1, Fen(20_000))), 409);
    assert_eq!(post(&plain(Kind::Electronic, 2, Fen(10_000))), 422);
}

#[test]
fn a_body_is_sent_for_when_it_is_waited_for() {
    let server = Server::new();
    let mut client = Client::connect(server.running.address);
    client.send(&request("POST", "/v1/verify", &[("Expect", "100-continue"), ("Content-Length", "10")], b""));
    assert_eq!(client.reply().status, 100);
    client.send(br#"{"qr":"x"}"#);
    assert_eq!(client.reply().status, 200);
    // What would not be read is not sent for.
    client.send(&request("POST", "/v1/verify", &[("Expect", "100-continue"), ("Content-Length", "1000000")], b""));
    assert_eq!(client.reply().status, 413);
    let mut client = Client::connect(server.running.address);
    client.send(&request("POST", "/v1/invoices", &[("Expect", "100-continue"), ("Content-Length", "10")], b""));
    assert_eq!(client.reply().status, 401);
}

#[test]
fn many_who_say_nothing_keep_nobody_waiting() {
    raise_file_limit();
    let server = Server::new();
    let begun = [
        Vec::new(),
        b"P".to_vec(),
        b"PRI * HTTP/2.0\r\n".to_vec(),
        b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_vec(),
        request("POST", "/v1/verify", &[("Content-Length", "1000")], b""),
        [request("POST", "/v1/verify", &[("Transfer-Encoding", "chunked")], b""), b"5\r\n{\"qr".to_vec()].concat(),
    ];
    let mut idle: Vec<Client> = (0..IDLE)
        .map(|nth| {
            let mut client = Client::connect(server.running.address);
            client.send(&begun[nth % begun.len()]);
            client
        })
        .collect();
    let open = server.running.figure("fapiao_http_connections");
    assert!(open >= IDLE as u64, "{open}");
    let mut client = Client::connect(server.running.address);
    for number in 1..=100 {
        let draft = plain(Kind::Electronic, number, Fen(10_000)).to_string();
        assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes()).status, 201);
        assert_eq!(client.ask("POST", "/v1/verify", &[], br#"{"qr":"x"}"#).status, 200);
        // One of the slow ones goes on a little.
        drop(idle[number as usize * 3].try_send(b"x"));
    }
    // Each of them costs a small part of what the process has anyway.
    let memory = server.running.figure("fapiao_resident_memory_bytes");
    assert!(memory < 600 << 20, "{memory}");
    drop(idle);
    assert_eq!(server.running.ask("GET", "/readyz", &[], b"").status, 200);
}

/// Nested as deep as a body is long, in every endpoint that reads JSON.
#[test]
fn depth_is_bounded_everywhere() {
    let server = Server::new();
    let deep = "[".repeat(16_000);
    let member = format!("{{\"x\":{}", "{\"x\":".repeat(3_000));
    for (name, path) in [
        ("", "/v1/verify"),
        ("issuer", "/v1/invoices"),
        ("issuer", "/v1/invoices/check"),
        ("administrator", "/v1/allotments"),
        ("administrator", "/v1/allotments/status"),
        ("administrator", "/v1/callers"),
        ("administrator", "/v1/invoices/033001900111/00000001/status"),
    ] {
        for body in [&deep, &member] {
            let reply = server.ask_as(name, "POST", path, body.as_bytes());
            assert_eq!((reply.status, reply.json()["status"].clone()), (400, Value::from(400)), "{path}");
        }
    }
    // Closed again, and what is nested is nothing that anybody looks at.
    for (depth, status) in [(DEPTH_MAX - 1, 200), (DEPTH_MAX, 400), (30_000, 400)] {
        let body = format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let reply = server.ask_as("issuer", "POST", "/v1/invoices/check", body.as_bytes());
        assert_eq!(reply.status, status, "{depth}");
    }
}

fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("as many files as the system allows");
}
