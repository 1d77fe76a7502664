//! Guessing a check code over HTTP, from many addresses behind a proxy and with a key, and that its owner is answered all the same.

use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use serde_json::{Value, json};

use crate::support::http::{Client, request};
use crate::support::server::Server;
use crate::support::{face, id, logged, plain, submit, typed};

/// The day's budget of all strangers together, and of one key, for one invoice: what the documentation says.
const STRANGERS: usize = 20;
const KEY: usize = 10;

#[test]
fn guessing_stays_within_its_budget_and_the_owner_is_answered() {
    const ADDRESSES: u32 = 200;
    const GUESSES: u32 = 20;
    let mut asked = Value::Null;
    let mut full = String::new();
    // The quotas that are served by default, behind a proxy on this machine.
    let server = Server::with("[issue]\ndays_back = 36500\n[http]\nproxies = [\"127.0.0.1\"]\n", |engine| {
        logged(submit(engine, &plain(Kind::Electronic, 1, Fen(10_000))));
        let face = face(engine, id(Kind::Electronic, 1));
        full = face.check_code.expect("a check code").to_string();
        let typed = typed(&face);
        asked = json!({ "code": typed.code, "number": typed.number, "date": typed.date, "check": typed.check });
    });
    let right = asked["check"].as_str().expect("a check code").to_owned();
    let mut client = Client::connect(server.running.address);
    let mut ask = |headers: &[(&str, &str)], checks: &[String]| -> Vec<(u16, Value)> {
        let mut bytes = Vec::new();
        for check in checks {
            let mut asked = asked.clone();
            asked["check"] = json!(check);
            bytes.extend(request("POST", "/v1/verify", headers, asked.to_string().as_bytes()));
        }
        client.send(&bytes);
        checks.iter().map(|_| client.reply()).map(|reply| (reply.status, reply.json())).collect()
    };
    let owner = [("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(ask(&owner, std::slice::from_ref(&right))[0].1["name"], "genuine");

    // Every address guesses others of the possible codes, the right one left out so that chance does not decide the test.
    let codes: Vec<String> =
        (0..1_000_000).map(|code| format!("{code:06}")).filter(|code| *code != right).take((ADDRESSES * GUESSES) as usize).collect();
    let mut compared = 0;
    for (guesses, nth) in codes.chunks(GUESSES as usize).zip(0..ADDRESSES) {
        // What a client says of itself is before what the proxy says of it.
        let from = format!("198.51.100.7, 10.{}.{}.1", nth / 100, nth % 100);
        for (status, answer) in ask(&[("X-Forwarded-For", &from)], guesses) {
            compared += usize::from(answer["name"] == "mismatch");
            assert!(answer["name"] == "mismatch" || status == 429 && answer["name"] == "throttled", "{answer}");
        }
    }
    assert!((1..=STRANGERS).contains(&compared), "{compared} guesses were compared");
    let bearer = server.bearer("business");
    let key = [("Authorization", bearer.as_str())];
    let by_key = ask(&key, &codes[..100]);
    let compared = by_key.iter().filter(|(_, answer)| answer["name"] == "mismatch").count();
    assert!((1..=KEY).contains(&compared), "{compared} guesses of a key were compared");

    // Now not even the right six digits tell anything: neither the key, nor a stranger.
    for headers in [&key, &[("X-Forwarded-For", "10.0.0.1")], &owner] {
        let (status, answer) = &ask(headers, std::slice::from_ref(&right))[0];
        assert_eq!((*status, &answer["name"], answer.get("face")), (429, &json!("throttled"), None));
        assert!(answer["retry_after"].as_u64().is_some_and(|seconds| seconds > 0));
    }
    // The owner is told what to show beyond them, and showing it from an address that was never seen is answered.
    let (_, told) = &ask(&owner, std::slice::from_ref(&right))[0];
    assert!(told.to_string().contains("stronger_factors"), "{told}");
    assert_eq!(ask(&[("X-Forwarded-For", "203.0.113.77")], std::slice::from_ref(&full))[0].1["name"], "genuine");
    // Whoever does not come through the proxy cannot say where from, and other invoices are answered to everybody.
    assert_eq!(ask(&[("X-Forwarded-For", "10.0.0.1")], &["x".to_owned()])[0].1["name"], "malformed");
    assert!(server.running.figure("fapiao_throttled_total{name=\"stronger_factors\"}") > 0);
}

#[test]
fn an_address_that_asks_too_much_waits_and_others_do_not() {
    let server = Server::with(
        "[http]\nproxies = [\"127.0.0.1\"]\n[quota]\naddress_per_minute = 60\naddress_burst = 5\nkey_per_minute = 60\nkey_burst = 3\n",
        |_| (),
    );
    let asked = br#"{"code":"033001900111","number":"00000007","date":"2019-11-11","check":"000000"}"#;
    let mut client = Client::connect(server.running.address);
    let mut statuses = |headers: &[(&str, &str)]| (0..8).map(|_| client.ask("POST", "/v1/verify", headers, asked)).collect::<Vec<_>>();
    let bearer = server.bearer("business");
    for (headers, burst) in [(("X-Forwarded-For", "10.0.0.1"), 5), (("X-Forwarded-For", "10.9.0.1"), 5), (("Authorization", bearer.as_str()), 3)] {
        let replies = statuses(&[headers]);
        let answered = replies.iter().filter(|reply| reply.status == 200).count();
        // A second may pass meanwhile, and give one back.
        assert!((burst..8).contains(&answered), "{headers:?}: {answered}");
        assert!(replies[0].header("ratelimit-policy").starts_with(&format!("\"questions\";q={burst};w=")), "{:?}", replies[0].headers);
        let late = replies.last().expect("eight");
        assert_eq!((late.status, late.json()["name"].clone()), (429, json!("throttled")));
        assert!(late.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{:?}", late.headers);
    }
}
