//! Nothing private gets into a log, at any level, whatever is asked; and every line is one that the manual lists.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use fapiao::channel::http::ENDPOINTS;
use serde_json::{Value, json};

use crate::demo::{terminate, wait_for};
use crate::support::program;

const PAGE: &str = include_str!("../../src/manual/operating.md");
const LABEL: &str = "虚构标签 of a caller";
const PHONE: &str = "13800138000";
const ADDRESS: &str = "203.0.113.77";

fn request(address: &str, method: &str, path: &str, token: Option<&str>, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("connected");
    let token = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: {ADDRESS}\r\n{token}");
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).expect("written");
    let mut reply = Vec::new();
    // A body that nobody reads may end in a reset, after the answer.
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// Every text of a draft that tells something: names, amounts, tax ids, accounts. Codes and numbers may be logged, days and short words are everywhere.
fn telling(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() >= 6 && !text.starts_with("20") => drop(into.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| telling(value, into)),
        Value::Object(members) => {
            let members =
                members.iter().filter(|(name, _)| !["code", "number", "fpdm", "fphm", "original_code", "original_number"].contains(&name.as_str()));
            members.for_each(|(_, value)| telling(value, into));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn nothing_private_is_logged_and_every_line_is_in_the_manual() {
    let root = tempfile::tempdir().expect("a directory");
    let path = |name: &str| root.path().join(name);
    let mut demo = program(&["demo", "--once", "--json"]);
    assert!(demo.arg(path("demo.json")).arg("--data").arg(path("demo")).stdout(Stdio::null()).status().expect("run").success());
    let made: Value = serde_json::from_slice(&fs::read(path("demo.json")).expect("written")).expect("JSON");
    let configuration =
        "[issue]\ndays_back = 36500\n[http]\nlisten = \"127.0.0.1:0\"\nproxies = [\"127.0.0.1\"]\n[log]\nlevel = \"debug\"\nrequests = \"all\"\n";
    fs::write(path("fapiao.toml"), configuration).expect("written");
    let mut server = program(&["serve", "--config"]);
    server.arg(path("fapiao.toml")).arg("--data").arg(path("demo"));
    let log = fs::File::create(path("log")).expect("made");
    let mut server = server.stdout(Stdio::null()).stderr(log).spawn().expect("run");
    let lines = || -> Vec<Value> {
        let log = fs::read_to_string(path("log")).expect("readable");
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    };
    let address = wait_for("the server", || lines().first().and_then(|line| line["address"].as_str().map(str::to_owned)));

    let samples = made["samples"].as_array().expect("samples");
    let sample = &samples[12];
    let text = |member: &str| sample[member].as_str().expect("a text");
    let payload = |code: &str| code.rsplit('/').next().expect("a payload").to_owned();
    let qr = text("signed_qr");
    let forged: String = qr.split_at(qr.len() - 20).0.chars().chain("AAAAAAAAAAAAAAAAAAAA".chars()).collect();
    let mut draft = sample["draft"].clone();
    draft["number"] = json!("61010188");
    draft.as_object_mut().expect("an object").remove("check_code");
    let mut faulty = draft.clone();
    faulty["total"] = json!("31415926.53");
    let bodies: Vec<String> = [
        json!({ "qr": qr }),
        json!({ "qr": forged }),
        json!({ "qr": text("classic_qr"), "details": true, "proof": true }),
        json!({ "code": text("code"), "number": text("number"), "date": text("date"), "check": "271828" }),
        json!({ "code": text("code"), "number": text("number"), "date": text("date"), "total": "31415926.53", "buyer_id": PHONE }),
        draft,
        faulty,
        json!({ "mark": "abnormal" }),
        json!({ "role": "operator", "label": LABEL, "whole_country": true, "regions": [] }),
        json!({ "taxpayer": "91330106MA27QH5C5E", "kind": "10", "code": "033001900111", "first": "90000001", "last": "90000100" }),
        json!({ "code": "033001900111", "first": "90000001", "last": "90000100", "mark": "lost" }),
        json!({ PHONE: LABEL }),
    ]
    .map(|body| body.to_string())
    .into_iter()
    .chain([format!("{{\"qr\": \"{qr}"), format!("{PHONE} {LABEL}")])
    .collect();
    let tokens = made["tokens"].as_object().expect("tokens");
    let bad = format!("no-token-{PHONE}");
    let callers: Vec<Option<&str>> = tokens.values().map(Value::as_str).chain([None, Some(bad.as_str())]).collect();

    let mut statuses = BTreeSet::new();
    let mut asked = 0;
    let mut ask = |method: &str, path: &str, token: Option<&str>, body: &str| {
        statuses.insert(request(&address, method, path, token, body));
        asked += 1;
    };
    for endpoint in &ENDPOINTS {
        let path = endpoint
            .path
            .replace("{code}", text("code"))
            .replace("{number}", text("number"))
            .replace("{payload}", &payload(qr))
            .replace("{id}", PHONE);
        for token in &callers {
            if endpoint.method == "GET" {
                ask("GET", &path, *token, "");
                ask("GET", &format!("{path}?index=1&from=1&x={PHONE}"), *token, "");
            } else {
                bodies.iter().for_each(|body| ask(endpoint.method.as_str(), &path, *token, body));
            }
        }
    }
    for (method, path) in [("GET", format!("/q/{}", payload(&forged))), ("GET", format!("/{PHONE}")), ("DELETE", format!("/q/{}", payload(qr)))] {
        ask(method, &path, None, "");
    }
    assert!([200, 201, 401, 403, 404, 405, 422].iter().all(|status| statuses.contains(status)), "{statuses:?}");
    terminate(&mut server);

    let lines = lines();
    assert!(lines.len() > asked, "{} lines of {asked} requests", lines.len());
    let mut secrets: BTreeSet<String> = tokens.values().map(|token| token.as_str().expect("a token").to_owned()).collect();
    secrets.extend([LABEL, PHONE, ADDRESS, "271828", "31415926.53", text("check")].map(str::to_owned));
    for sample in samples {
        telling(&sample["draft"], &mut secrets);
        secrets.insert(payload(sample["signed_qr"].as_str().expect("a code")));
        secrets.extend(sample["classic_qr"].as_str().map(str::to_owned));
    }
    assert!(secrets.len() > 100);
    let log = fs::read_to_string(path("log")).expect("readable");
    let told: Vec<&String> = secrets.iter().filter(|secret| log.contains(secret.as_str())).collect();
    assert!(told.is_empty(), "{told:?}");

    let messages: BTreeSet<&str> = lines.iter().map(|line| line["message"].as_str().expect("a message")).collect();
    let unlisted: Vec<&&str> = messages.iter().filter(|message| !PAGE.contains(&format!("| `{message}` |"))).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    assert_eq!(lines.last().expect("a line")["message"], "the ledger is closed");
    assert!(messages.contains("a code was shown that nobody should have"), "{messages:?}");
}
