//! A handler that panics costs its own request, and nothing else.

use std::net::SocketAddr;

use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use serde_json::json;

use crate::support::http::{Client, request};
use crate::support::plain;
use crate::support::server::Server;

fn draft(number: u32) -> String {
    plain(Kind::Electronic, number, Fen(10_000)).to_string()
}

#[test]
fn a_panic_costs_one_request() {
    let server = Server::new();
    let address: SocketAddr = server.running.address;
    let bearer = server.bearer("issuer");
    let own = ("Authorization", bearer.as_str());
    let mut client = Client::connect(address);
    let mut panics = 0;
    for place in ["here", "blocking"] {
        for path in ["/v1/verify", "/v1/invoices", "/v1/invoices/check", "/v1/invoices/033001900111/00000001/void"] {
            // Between two requests that are well, all three sent at once on one connection.
            let mut bytes = request("POST", "/v1/invoices", &[own], draft(1).as_bytes());
            bytes.extend(request("POST", path, &[own, ("X-Planted-Panic", place)], b""));
            bytes.extend(request("POST", "/v1/verify", &[], br#"{"qr":"x"}"#));
            client.send(&bytes);
            let (before, panicked, after) = (client.reply(), client.reply(), client.reply());
            assert!(matches!(before.status, 200 | 201), "{}", before.text());
            assert_eq!((panicked.status, panicked.header("content-type")), (500, "application/problem+json"));
            let problem = panicked.json();
            assert_eq!((&problem["type"], problem.get("detail")), (&json!("urn:fapiao:problem:internal"), None));
            assert!(!panicked.text().contains("planted"), "what went wrong is for the log");
            assert_eq!(after.status, 200);
            panics += 1;
            assert_eq!(server.running.figure("fapiao_http_panics_total"), panics);
        }
    }
    // The thread that panicked gave back what it held: others are as many as before.
    for number in 2..200 {
        let reply = client.ask("POST", "/v1/invoices", &[own], draft(number).as_bytes());
        assert_eq!(reply.status, 201);
    }
    assert_eq!(server.running.figure("fapiao_http_requests_in_flight"), 1);
    let log = std::fs::read_to_string(server.site.file("serve.log")).expect("a log");
    assert_eq!(log.matches("a handler panicked").count(), usize::try_from(panics).expect("few"));
}
