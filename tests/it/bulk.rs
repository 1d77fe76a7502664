//! Many questions at a time: each is answered as if it had been asked alone, one signature is over all rows, and any row is proved without the others.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Cursor, Write as _};
use std::net::{IpAddr, Shutdown};
use std::process::Stdio;

use data_encoding::HEXLOWER;
use fapiao::channel::proof::{Evidence, ProofFault, ProvenRow, Statement};
use fapiao::channel::rows::{self, ResultFault};
use fapiao::channel::verifying::{Listener, Tally, Verifying, VerifyingError};
use fapiao::channel::{keys, logged, proof};
use fapiao::codec::event::{Role, Withdrawal};
use fapiao::codec::proof::answer_hash;
use fapiao::codec::rows::{Row, Rows, row_hash};
use fapiao::crypto::hash;
use fapiao::crypto::keyring::PublicKeys;
use fapiao::crypto::merkle;
use fapiao::domain::allotment::Mark;
use fapiao::domain::caller::Caller;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::Engine;
use fapiao::limits::{BULK_QUESTION_BYTES_MAX, BULK_VERIFY_OF_ONE_MAX, KEY_OVERLAP_MS, QUOTA_ADDRESS_BURST};
use fapiao::verify::answer::Answer;
use fapiao::verify::quota::Asker;
use fapiao::verify::verdict::Verdict;
use serde_json::{Value, json};

use crate::second_implementation::python;
use crate::support::http::{Client, Reply, request};
use crate::support::server::{CONFIGURATION, SILENT, Server};
use crate::support::{
    Site, allot_all, classic_qr, face, id, logged as in_log, plain, program, range, red, seller, signed_qr, submit, tax, text, typed,
};

const HOUR: u64 = 3_600_000;

/// One of each state that there is, and questions with every verdict that a whole ledger gives.
fn questions(engine: &Engine) -> Vec<String> {
    let kind = Kind::Ordinary;
    let drafts: Vec<Value> = (1..=6).map(|number| plain(kind, number, Fen(100_000))).collect();
    for draft in &drafts {
        in_log(submit(engine, draft));
    }
    in_log(engine.void(id(kind, 2), Some(seller())));
    in_log(submit(engine, &red(&drafts[2], 7, Fen(100_000), tax(kind, Fen(100_000)))));
    in_log(submit(engine, &red(&drafts[3], 8, Fen(40_000), tax(kind, Fen(40_000)))));
    in_log(engine.status(id(kind, 5), Mark::Abnormal));
    in_log(engine.allotment_status(range(kind, 90, 99), Mark::Stolen));
    let by_fields = |number: u32| {
        let typed = typed(&face(engine, id(kind, number)));
        json!({ "code": typed.code, "number": typed.number, "date": typed.date, "check": typed.check })
    };
    let mut asked: Vec<Value> = (1..=5).map(by_fields).collect();
    asked.push(by_fields(7));
    let mut other = by_fields(1);
    other["date"] = json!("2019-11-10");
    let mut absent = by_fields(1);
    absent["number"] = json!("00000077");
    let mut marked = by_fields(1);
    marked["number"] = json!("00000095");
    let signed = signed_qr(engine, id(kind, 6));
    // A letter of the face: what is signed is no longer what is said.
    let forged: String =
        signed.char_indices().map(|(at, letter)| if at + 200 == signed.len() { if letter == 'A' { 'B' } else { 'A' } } else { letter }).collect();
    asked.extend([
        other,
        absent,
        marked,
        json!({ "qr": signed }),
        json!({ "qr": forged }),
        json!({ "qr": classic_qr(engine, id(kind, 6)) }),
        json!({ "qr": "nothing of ours" }),
        json!({ "code": "1", "number": "2" }),
        json!({ "code": "", "number": "12345678901234567890" }),
        json!({ "code": "9".repeat(100), "number": "1" }),
    ]);
    asked.iter().map(Value::to_string).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// An answer without what differs between two askings.
fn timeless(mut answer: Value) -> Value {
    for member in ["as_of", "count", "first_verified", "line", "row"] {
        answer.as_object_mut().expect("an object").remove(member);
    }
    answer
}

fn bulk(server: &Server, query: &str, body: &str) -> Reply {
    server.ask_as("business", "POST", &format!("/v1/verify/bulk{query}"), body.as_bytes())
}

#[test]
fn each_line_is_answered_as_if_it_were_asked_alone_and_in_its_order() {
    let mut asked = Vec::new();
    let server = Server::with(CONFIGURATION, |engine| asked = questions(engine));
    let reply = bulk(&server, "", &asked.join("\n\n"));
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let mut answers = lines(reply.text());
    let last = answers.pop().expect("a last line");
    assert_eq!(
        answers.iter().map(|answer| answer["line"].as_u64()).collect::<Vec<_>>(),
        (0..asked.len() as u64).map(|at| Some(2 * at + 1)).collect::<Vec<_>>()
    );
    let mut given = BTreeSet::new();
    for (question, answer) in asked.iter().zip(&answers) {
        let alone = server.ask_as("business", "POST", "/v1/verify", question.as_bytes()).json();
        assert_eq!(timeless(answer.clone()), timeless(alone), "{question}");
        assert_eq!(answer.get("row"), None);
        given.insert(answer["verdict"].as_u64().expect("a verdict"));
    }
    assert_eq!(given, [1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 20, 21].into());
    assert_eq!((text(&last, "status"), &last["rows"], last.get("proof")), ("done", &json!(asked.len()), None));
    let counted: u64 = last["verdicts"].as_object().expect("verdicts").values().filter_map(Value::as_u64).sum();
    assert_eq!((counted, &last["verdicts"]["voided"]), (asked.len() as u64, &json!(1)));
    assert_eq!(server.running.figure("fapiao_verdicts_total{name=\"voided\"}"), 2);
}

#[test]
fn what_is_no_question_is_answered_in_its_place() {
    let server = Server::new();
    let question = json!({ "qr": "x" }).to_string();
    let long = format!("{{\"qr\":\"{}\"}}", "x".repeat(BULK_QUESTION_BYTES_MAX));
    let padded = format!("{question}{}garbage", " ".repeat(BULK_QUESTION_BYTES_MAX));
    let bad = ["7", "[]", "{", "{\"qr\":", "{\"qr\":1}", "{\"qr\":\"x\",\"code\":\"1\"}", "{}", "{\"other\":1}", "\u{7f}", &long, &padded];
    let with = ["{\"qr\":\"x\",\"proof\":true}", "{\"qr\":\"x\",\"details\":true}"];
    let body: String = bad.iter().chain(&with).map(|line| format!("{line}\n{question}\r\n")).collect();
    let mut answers = lines(bulk(&server, "?proof=true", &body).text());
    let last = answers.pop().expect("a last line");
    assert_eq!((answers.len(), &last["rows"]), (26, &json!(26)));
    for (line, pair) in bad.iter().chain(&with).zip(answers.chunks(2)) {
        let said = (&pair[0]["verdict"], &pair[0]["malformed"]["place"], &pair[1]["malformed"]["place"]);
        assert_eq!(said, (&json!(20), &json!("line"), &json!("text")), "{}", &line[..line.floor_char_boundary(60)]);
        // What was asked is in the row, even if nobody can tell what it asks.
        let kept = line.as_bytes().get(..BULK_QUESTION_BYTES_MAX).unwrap_or(line.as_bytes()).trim_ascii();
        let row = Row::decode(&HEXLOWER.decode(text(&pair[0], "row").as_bytes()).expect("hex")).expect("a row");
        assert_eq!((row.query_digest, row.verdict), (hash::line_digest(kept), 20));
    }
    for (query, status) in [("?proof=yes", 400), ("?proof=true&proof=true", 400), ("?proof=false", 200)] {
        assert_eq!(bulk(&server, query, &question).status, status, "{query}");
    }
    assert_eq!(bulk(&server, "", "").status, 400);
    let empty = lines(bulk(&server, "?proof=true", "\n \n").text());
    assert_eq!(empty, [json!({ "status": "rows", "rows": 0, "verdicts": {}, "proof": null })], "nothing is signed");
}

/// The head of a request whose body comes in chunks.
fn head(server: &Server) -> Vec<u8> {
    let headers = [("Authorization", &*server.bearer("business")), ("Transfer-Encoding", "chunked")];
    request("POST", "/v1/verify/bulk?proof=true", &headers, b"")
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[test]
fn whoever_waits_is_answered_and_a_body_that_breaks_off_is_not_signed() {
    let server = Server::new();
    let mut client = Client::connect(server.running.address);
    client.send(&head(&server));
    assert_eq!(client.head().expect("a head").status, 200);
    for line in 1..=3 {
        client.send(&chunk("{\"qr\":\"x\"}\n"));
        let answer: Value = serde_json::from_slice(&client.chunk().expect("a chunk").expect("an answer")).expect("JSON");
        assert_eq!((&answer["verdict"], &answer["line"]), (&json!(20), &json!(line)));
    }
    client.send(b"1000\r\n{\"qr\":");
    client.writer().shutdown(Shutdown::Write).expect("shut down");
    while let Ok(Some(chunk)) = client.chunk() {
        let line: Value = serde_json::from_slice(&chunk).expect("JSON");
        assert_eq!((text(&line, "status"), line.get("proof")), ("broken_off", None));
    }
    assert_eq!(server.running.ask("GET", "/healthz", &[], b"").status, 200);
}

/// Ten thousand rows with their proofs are more than all that lies between can hold.
#[test]
fn whoever_reads_late_gets_all_and_keeps_nobody_else_waiting() {
    let server = Server::new();
    let body = "{\"code\":\"033001900111\",\"number\":\"00000001\",\"date\":\"2019-11-11\",\"check\":\"000000\"}\n".repeat(10_000);
    let open = || {
        let mut client = Client::connect(server.running.address);
        client.send(&head(&server));
        client.send(&chunk("\n"));
        let status = client.head().expect("a head").status;
        (client, status)
    };
    let mut late: Vec<_> = (0..BULK_VERIFY_OF_ONE_MAX).map(|_| open()).collect();
    assert!(late.iter().all(|(_, status)| *status == 200));
    assert_eq!(open().1, 503, "nobody fills the places alone");
    let (mut writer, whole) = (late[0].0.writer(), [chunk(&body), b"0\r\n\r\n".to_vec()].concat());
    let sending = std::thread::spawn(move || writer.write_all(&whole).expect("sent"));
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices/bulk", b"7").status, 200, "who issues has places of its own");
    assert_eq!(server.ask_as("administrator", "POST", "/v1/verify/bulk", b"7").status, 200);
    let mut got = Vec::new();
    while let Some(piece) = late[0].0.chunk().expect("a piece") {
        got.extend_from_slice(&piece);
    }
    sending.join().expect("no panic");
    let last = got[..got.len() - 1].rsplit(|byte| *byte == b'\n').next().expect("a line");
    assert_eq!(serde_json::from_slice::<Value>(last).expect("JSON")["rows"], json!(10_000));
    assert!(rows::prove(&got[..], 9_999).is_ok());
}

#[test]
fn a_question_over_the_quota_waits_for_its_turn_or_is_throttled() {
    let question = "{\"code\":\"033001900111\",\"number\":\"00000001\",\"date\":\"2019-11-11\",\"check\":\"000000\"}\n";
    let quota = |per_minute: u32| {
        let configuration = CONFIGURATION.replace("key_per_minute = 0", &format!("key_per_minute = {per_minute}\nkey_burst = 3"));
        let server = Server::with(&configuration, |_| ());
        let answers = lines(bulk(&server, "", &question.repeat(5)).text());
        answers.iter().filter_map(|answer| answer["verdict"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(quota(600), [11; 5], "a second later there is room");
    assert_eq!(quota(1), [11, 11, 11, 30, 30], "a minute is too long");
}

#[test]
fn no_more_than_so_many_are_answered_and_then_nothing_is_signed() {
    let (_site, engine) = ready();
    let limited = |count: usize| {
        let verifying = Verifying { engine: &engine, asker: Asker::Console, wants_proof: true, rows_max: 3 };
        let mut out = Vec::new();
        let ran = verifying.run(Cursor::new("{}\n".repeat(count)), &mut out, &Nobody);
        (ran.map(|tally: Tally| tally.rows()), lines(&String::from_utf8(out).expect("UTF-8")))
    };
    let (ran, out) = limited(3);
    assert_eq!((ran.expect("done"), out.len(), text(&out[3], "status")), (3, 4, "rows"));
    let (ran, out) = limited(4);
    assert!(matches!(ran, Err(VerifyingError::TooMany(3))));
    assert!(out.len() == 3 && out.iter().all(|line| line["verdict"] == 20), "{out:?}");
}

/// Time stands still, so that nothing comes anew.
#[test]
fn a_server_that_is_told_to_stop_does_not_wait_for_a_quota() {
    struct Stopping;
    impl Listener for Stopping {
        fn answered(&self, _: &Answer) {}

        fn may_wait(&self) -> bool {
            false
        }
    }
    let (_site, engine) = ready();
    let asker = Asker::Anonymous(IpAddr::from([20, 0, 0, 1]).into());
    let verifying = Verifying { engine: &engine, asker, wants_proof: false, rows_max: 1_000 };
    let tally = verifying.run(Cursor::new("7\n".repeat(400)), &mut Vec::new(), &Stopping).expect("answered");
    let burst = u64::from(QUOTA_ADDRESS_BURST);
    assert_eq!(tally.given().collect::<Vec<_>>(), [(Verdict::Malformed, burst), (Verdict::Throttled, 400 - burst)]);
}

struct Nobody;

impl Listener for Nobody {
    fn answered(&self, _: &Answer) {}

    fn may_wait(&self) -> bool {
        true
    }
}

fn ready() -> (Site, Engine) {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for number in 1..=3 {
        in_log(submit(&engine, &plain(Kind::Electronic, number, Fen(100_000))));
    }
    (site, engine)
}

fn pass(site: &Site, ms: u64) {
    site.set_now(UnixMillis(site.now().0 + ms));
}

/// The result of asking about these numbers, with its proof.
fn result(engine: &Engine, numbers: &[u32]) -> String {
    let question = |number: &u32| {
        let typed = typed(&face(engine, id(Kind::Electronic, *number)));
        json!({ "code": typed.code, "number": typed.number, "date": typed.date, "check": typed.check }).to_string() + "\n"
    };
    let asked: String = numbers.iter().map(question).collect();
    let verifying = Verifying { engine, asker: Asker::Console, wants_proof: true, rows_max: 100 };
    let mut out = Vec::new();
    verifying.run(Cursor::new(asked), &mut out, &Nobody).expect("answered");
    String::from_utf8(out).expect("UTF-8")
}

fn row(result: &str, line: u64) -> Value {
    rows::prove(result.as_bytes(), line).expect("a whole result")
}

fn list(engine: &Engine) -> PublicKeys {
    keys::parse(&keys::to_json(&engine.ledger().keys())).expect("keys")
}

fn verified(file: &Value, keys: &PublicKeys) -> Result<ProvenRow, ProofFault> {
    proof::verify_row(file.to_string().as_bytes(), Some(keys), Evidence::default())
}

fn verified_by(file: &Value, keys: &PublicKeys, roots: &Value) -> Result<ProvenRow, ProofFault> {
    proof::verify_row(file.to_string().as_bytes(), Some(keys), Evidence { roots: Some(roots), head: None })
}

fn with_log(engine: &Engine, file: &Value) -> Value {
    let mut file = file.clone();
    let hash = proof::stated(&file).expect("a row").hash;
    file["logged"] = logged::to_json(&engine.answer_in_log(&hash).expect("readable"));
    file
}

fn rows_of(file: &Value) -> Rows {
    match proof::stated(file).expect("a row").said {
        Statement::Rows(rows) => rows,
        Statement::Answer(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn each_row_is_proved_and_the_other_implementation_agrees() {
    let mut asked = Vec::new();
    let server = Server::with(SILENT, |engine| asked = questions(engine));
    let reply = bulk(&server, "?proof=true", &asked.join("\n"));
    let keys_said = server.running.ask("GET", "/v1/keys", &[], b"").json();
    let keys = keys::parse(&keys_said["keys"]).expect("keys");
    let public = |role: &str| {
        let of_role = keys_said["keys"].as_array().expect("keys").iter().find(|key| key["role"] == role);
        of_role.expect("a key")["public_key"].clone()
    };
    let answers = lines(reply.text());
    let files: Vec<Value> = (1..=asked.len() as u64).map(|line| row(reply.text(), line)).collect();
    let asked_of = |file: &Value| {
        json!({
            "op": "verify_row", "file": file, "origin": keys_said["origin"],
            "answering_key": public("answering"), "checkpoint_key": public("checkpoint"),
        })
    };
    let mut requests: Vec<Value> = files.iter().map(asked_of).collect();
    let mut moved = files[0].clone();
    moved["place"] = json!(1);
    requests.push(asked_of(&moved));
    let mut replies = python(&requests);
    assert_eq!(replies.pop(), Some(json!({ "error": true })));
    for ((file, answer), (place, other)) in files.iter().zip(&answers).zip((0u64..).zip(replies)) {
        let proven = verified(file, &keys).expect("a row of the result");
        assert_eq!((json!(proven.verdict.number()), proven.place, proven.own_keys), (answer["verdict"].clone(), place, false));
        assert_eq!(proven.row.commit.map(|commit| json!(HEXLOWER.encode(&commit))), answer.get("commit").cloned());
        assert_eq!((json!(proven.row.size), json!(proven.row.time.0)), (answer["as_of"]["size"].clone(), answer["as_of"]["time_ms"].clone()));
        let expected = json!({
            "verdict": proven.verdict.number(), "query_digest": HEXLOWER.encode(&proven.row.query_digest), "size": proven.row.size,
            "time": proven.row.time.0, "place": place, "count": asked.len(),
        });
        assert_eq!(other, expected);
    }
    let salts: BTreeSet<[u8; 16]> = files.iter().map(|file| verified(file, &keys).expect("a row").row.salt).collect();
    assert_eq!(salts.len(), files.len(), "equal rows do not look it");
}

/// The last digit is another one.
fn flipped(text: &Value) -> Value {
    let text = text.as_str().expect("hex");
    format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' }).into()
}

#[test]
fn whatever_is_changed_is_found() {
    let (site, engine) = ready();
    let whole = result(&engine, &[1, 2, 3, 1, 2]);
    in_log(submit(&engine, &plain(Kind::Electronic, 4, Fen(100_000))));
    pass(&site, 1_000);
    let other = row(&result(&engine, &[3, 2, 1]), 2);
    let keys = list(&engine);
    let good = row(&whole, 2);
    assert_eq!(verified(&good, &keys).map(|proven| (proven.verdict, proven.place)), Ok((Verdict::Genuine, 1)));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut file = good.clone();
        change(&mut file);
        verified(&file, &keys).expect_err("changed")
    };
    let path = ProofFault::Row("the path does not lead to the root");
    let signature = ProofFault::Signature("wrong signature");
    assert_eq!(with(&|file| file["row"] = flipped(&file["row"])), path);
    assert_eq!(with(&|file| file["row"] = row(&whole, 3)["row"].clone()), path, "another row of the same result");
    assert_eq!(with(&|file| file["place"] = json!(2)), path);
    assert_eq!(with(&|file| file["place"] = json!(5)), path);
    assert_eq!(with(&|file| drop(file["path"].as_array_mut().expect("a path").pop())), path);
    assert_eq!(with(&|file| file["path"].as_array_mut().expect("a path").swap(0, 1)), path);
    assert_eq!(with(&|file| file["path"][0] = flipped(&file["path"][0])), path);
    assert_eq!(with(&|file| file["rows"] = flipped(&file["rows"])), signature);
    for change in [
        |rows: &mut Rows| rows.count -= 1,
        |rows: &mut Rows| rows.size += 1,
        |rows: &mut Rows| rows.root = [1; 32],
        |rows: &mut Rows| rows.time.0 += 1,
        |rows: &mut Rows| rows.rows_root = [1; 32],
    ] {
        let mut rows = rows_of(&good);
        change(&mut rows);
        assert_eq!(with(&|file| file["rows"] = HEXLOWER.encode(&rows.encode()).into()), signature);
    }
    assert_eq!(with(&|file| file["signature"] = flipped(&file["signature"])), signature);
    assert_eq!(with(&|file| file["key_id"] = json!("0123456789abcdef")), ProofFault::UpdateKeys);
    let checkpoint_key = site.keyring().checkpoint().key_id.to_string();
    assert_eq!(with(&|file| file["key_id"] = json!(checkpoint_key)), ProofFault::Signature("the key is not an answering key"));
    let checkpoint = ProofFault::Checkpoint("size or root is not what was signed");
    assert_eq!(with(&|file| file["checkpoint"] = other["checkpoint"].clone()), checkpoint);
    assert!(matches!(with(&|file| file["checkpoint"] = json!("no note")), ProofFault::Checkpoint(_)));
    // What was signed over another result does not have this row.
    let borrowed = with(&|file| {
        for member in ["rows", "signature", "key_id", "checkpoint"] {
            file[member] = other[member].clone();
        }
    });
    assert_eq!(borrowed, path);
    for member in ["row", "place", "path", "rows", "signature", "key_id", "checkpoint", "format"] {
        let missing = with(&|file| drop(file.as_object_mut().expect("an object").remove(member)));
        assert!(matches!(missing, ProofFault::Malformed(_)), "{member}: {missing:?}");
    }
    // Neither is taken for the other.
    assert!(matches!(proof::verify(good.to_string().as_bytes(), Some(&keys)), Err(ProofFault::Malformed(_))));
    assert!(matches!(with(&|file| file["format"] = json!("fapiao-proof/1")), ProofFault::Malformed(_)));

    // The key itself signs no row of the future of what it signed.
    let thief = site.keyring().answering().clone();
    for later in [|row: &mut Row, rows: &Rows| row.size = rows.size + 1, |row: &mut Row, rows: &Rows| row.time.0 = rows.time.0 + 1] {
        let mut rows = rows_of(&good);
        let mut row = Row::decode(&HEXLOWER.decode(text(&good, "row").as_bytes()).expect("hex")).expect("a row");
        later(&mut row, &rows);
        (rows.count, rows.rows_root) = (1, row_hash(&row.encode()));
        let mut file = good.clone();
        file["row"] = HEXLOWER.encode(&row.encode()).into();
        file["rows"] = HEXLOWER.encode(&rows.encode()).into();
        file["signature"] = HEXLOWER.encode(&thief.key.sign(&rows.encode()).expect("signed")).into();
        (file["place"], file["path"]) = (json!(0), json!([]));
        assert_eq!(verified(&file, &keys), Err(ProofFault::Row("it is about a later log than they are")));
    }
}

#[test]
fn a_row_is_taken_only_out_of_a_whole_result() {
    let (_site, engine) = ready();
    let whole = result(&engine, &[1, 2, 3]);
    let all: Vec<&str> = whole.lines().collect();
    let prove = |lines: &[&str]| rows::prove(lines.join("\n").as_bytes(), 2).map(drop).map_err(|fault| std::mem::discriminant(&fault));
    let fault = |fault: ResultFault| Err(std::mem::discriminant(&fault));
    assert_eq!(prove(&all), Ok(()));
    assert_eq!(prove(&[all[0], all[2], all[3]]), fault(ResultFault::Rows), "one is missing");
    assert_eq!(prove(&[all[1], all[0], all[2], all[3]]), fault(ResultFault::Rows), "one was moved");
    assert_eq!(prove(&[all[0], all[1], all[1], all[2], all[3]]), fault(ResultFault::Rows), "one is there twice");
    assert_eq!(prove(&all[..3]), fault(ResultFault::Unsigned));
    assert_eq!(prove(&[all[0], all[3], all[1]]), fault(ResultFault::Line(3)));
    assert_eq!(prove(&[all[0], "noise", all[3]]), fault(ResultFault::Line(2)));
    assert_eq!(prove(&[all[0], "{\"status\":\"broken_off\"}"]), fault(ResultFault::Unsigned));
    assert_eq!(prove(&[all[0], "{\"verdict\":1,\"line\":2}", all[3]]), fault(ResultFault::Line(2)), "an answer without a row");
    let told_otherwise = all[1].replacen("\"verdict\":1,", "\"verdict\":2,", 1);
    assert_eq!(prove(&[all[0], &told_otherwise, all[2], all[3]]), fault(ResultFault::Answer(2)));
    assert!(matches!(rows::prove(whole.as_bytes(), 4), Err(ResultFault::NoSuchLine(4))));
}

#[test]
fn old_rows_hold_with_the_keys_of_now_and_those_of_a_thief_do_not() {
    let (site, engine) = ready();
    pass(&site, 3 * HOUR);
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push((row(&result(&engine, &[1, 2, 3]), 3), site.now()));
        engine.log_answers().expect("logged");
        pass(&site, HOUR);
    }
    let (honest, then) = &kept[1];
    let early = list(&engine);
    let roots = |time: UnixMillis| logged::roots_json(&engine.answer_roots_around(time).expect("readable"));
    let proven = verified(&with_log(&engine, honest), &early).expect("logged");
    assert!(proven.logged.is_some());
    assert_eq!(verified_by(honest, &early, &roots(*then)).map(|proven| proven.logged.is_some()), Ok(true));

    // Whoever has the key says what he likes of then, but the log did not have it.
    let thief = site.keyring().answering().clone();
    let forged = |time: UnixMillis| {
        let mut file = honest.clone();
        let mut row = Row::decode(&HEXLOWER.decode(text(honest, "row").as_bytes()).expect("hex")).expect("a row");
        (row.verdict, row.time) = (Verdict::Voided.number(), time);
        let rows = Rows { time, count: 1, rows_root: merkle::leaf_hash(&row.encode()), ..rows_of(honest) };
        let signature = thief.key.sign(&rows.encode()).expect("signed");
        file["row"] = HEXLOWER.encode(&row.encode()).into();
        file["rows"] = HEXLOWER.encode(&rows.encode()).into();
        file["signature"] = HEXLOWER.encode(&signature).into();
        (file["place"], file["path"]) = (json!(0), json!([]));
        assert_eq!(proof::stated(&file).expect("a row").hash, answer_hash(&rows.encode(), &signature));
        file
    };
    let time = UnixMillis(then.0 + 60_000);
    let backdated = forged(time);
    assert_eq!(verified(&backdated, &early).map(|proven| proven.verdict), Ok(Verdict::Voided), "by itself it cannot be told");
    assert!(matches!(verified_by(&backdated, &early, &roots(time)), Err(ProofFault::NotLogged(_))));
    let mut borrowed = backdated.clone();
    borrowed["logged"] = with_log(&engine, honest)["logged"].clone();
    assert!(matches!(verified(&borrowed, &early), Err(ProofFault::Logged(_))));

    // Replaced, the key goes on to count for what it signed.
    engine.rotate(Role::Answering, None, KEY_OVERLAP_MS, None, &Caller::CONSOLE).expect("rotated");
    pass(&site, 400 * 24 * HOUR);
    let now = list(&engine);
    for (file, _) in &kept {
        assert_eq!(verified(file, &now).map(|proven| proven.verdict), Ok(Verdict::Genuine));
    }
    assert_eq!(verified(&forged(site.now()), &now), Err(ProofFault::Signature("the key was not valid then")));
    let after = row(&result(&engine, &[1]), 1);
    assert!(after["key_id"] != honest["key_id"] && verified(&after, &now).is_ok());
    assert_eq!(verified(&after, &early), Err(ProofFault::UpdateKeys));

    // Stolen, it counts for what was in the log before.
    engine.revoke_key(thief.key_id, Withdrawal::Compromised, &Caller::CONSOLE).expect("revoked");
    let now = list(&engine);
    assert_eq!(verified(honest, &now), Err(ProofFault::AskOnline));
    assert!(verified(&with_log(&engine, honest), &now).is_ok());
    assert!(verified_by(honest, &now, &logged::roots_json(&engine.answer_roots_around(*then).expect("readable"))).is_ok());
    assert_eq!(verified(&backdated, &now), Err(ProofFault::AskOnline));
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, []);
}

/// The program, its exit status and what it says.
#[track_caller]
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = program(arguments).output().expect("run");
    (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).expect("UTF-8"))
}

#[test]
fn the_program_asks_proves_and_says_how_it_went() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let asked = questions(&engine);
    let listed = keys::to_json(&engine.ledger().keys());
    drop(engine);
    let path = |name: &str| site.file(name).into_os_string().into_string().expect("UTF-8");
    let written = |name: &str, text: &str| {
        fs::write(site.file(name), text).expect("written");
        path(name)
    };
    let keys = written("keys.json", &listed.to_string());
    let (data, passphrase) = (site.directory().into_os_string().into_string().expect("UTF-8"), written("passphrase", crate::support::PASSPHRASE));
    let mut ran = site.program(&["bulk", &written("asked", &asked.join("\n")), "--out", &path("result"), "--proof"]);
    let ran = ran.output().expect("run");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains(&format!("查验 {} 行 | {} answers", asked.len(), asked.len())) && said.contains("1 2 已作废"), "{said}");
    let answers = lines(&fs::read_to_string(site.file("result")).expect("written"));
    assert_eq!(answers.len(), asked.len() + 1);

    // From standard input, and the exit status is that of the gravest.
    for (line, status) in [(0, 0), (1, 1), (13, 2)] {
        let mut child = site.program(&["bulk"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        child.stdin.take().expect("piped").write_all(format!("{}\n{}\n", asked[0], asked[line]).as_bytes()).expect("taken");
        let ran = child.wait_with_output().expect("ended");
        let told = lines(&String::from_utf8_lossy(&ran.stdout));
        assert_eq!((ran.status.code(), told.len(), text(&told[2], "status")), (Some(status), 3, "done"), "{told:?}");
        assert_eq!(timeless(told[1].clone()), timeless(answers[line].clone()));
    }
    let (status, said) = run(&["bulk", "--data", &data, "--passphrase-file", &passphrase, &path("asked"), "-o", &path("result")]);
    assert!(status == Some(2) && said.contains("exists"), "{said}");

    // The proof of one, by itself and with what the log has of all.
    let result = path("result");
    let (status, said) = run(&["proof", "row", &result, "2", "--out", &path("row")]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&["proof", "verify", &path("row"), "--keys", &keys]);
    assert!(status == Some(1) && said.contains("凭证有效 the proof holds: 2") && said.contains("row 2 of 16"), "{said}");
    let (status, said) = run(&["proof", "verify", &path("row"), "--json"]);
    let value: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((status, &value["holds"], &value["place"], &value["keys"]), (Some(1), &json!(true), &json!(1), &json!("from the file itself")));
    let log = |what: &str, out: &str| run(&["proof", "log", &path(what), "--data", &data, "--out", &path(out)]);
    assert_eq!(log("row", "row logged").0, Some(0));
    assert_eq!(log("result", "result logged").0, Some(0));
    assert_eq!(run(&["proof", "row", &path("result logged"), "2", "-o", &path("row of logged")]).0, Some(0));
    for file in ["row logged", "row of logged"] {
        let (status, said) = run(&["proof", "verify", &path(file), "--keys", &keys]);
        assert!(status == Some(1) && said.contains("已入账 what was signed over the rows is in the log"), "{said}");
    }
    assert_eq!(run(&["proof", "roots", &result, "--data", &data, "--out", &path("roots")]).0, Some(0));
    assert_eq!(run(&["proof", "verify", &path("row"), "--keys", &keys, "--roots", &path("roots")]).0, Some(1));
    let row: Value = serde_json::from_slice(&fs::read(path("row")).expect("written")).expect("JSON");
    let mut changed = row.clone();
    changed["place"] = json!(0);
    let (status, said) = run(&["proof", "verify", &written("changed", &changed.to_string()), "--keys", &keys]);
    assert!(status == Some(1) && said.contains("the path does not lead to the root"), "{said}");
    for (file, line, why) in
        [("asked", "1", "line 1 of the file is none"), ("result", "99", "no answer is to line 99"), ("row", "1", "none of a bulk")]
    {
        let (status, said) = run(&["proof", "row", &path(file), line]);
        assert!(status == Some(2) && said.contains(why), "{said}");
    }
}

#[test]
fn a_server_says_what_its_data_directory_says() {
    let mut asked = Vec::new();
    let server = Server::with(SILENT, |engine| asked = questions(engine));
    let path = |name: &str| server.site.file(name).into_os_string().into_string().expect("UTF-8");
    fs::write(path("asked"), asked.join("\n")).expect("written");
    fs::write(path("keys"), server.running.ask("GET", "/v1/keys", &[], b"").text()).expect("written");
    let url = format!("http://{}", server.running.address);
    let ask = |token: &str, arguments: &[&str]| {
        let mut command = program(&["bulk", "--server", &url, &path("asked")]);
        let ran = command.args(arguments).env("FAPIAO_TOKEN", token).output().expect("run");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (status, out, said) = ask(&server.tokens["business"], &["--proof", "-o", &path("result")]);
    assert_eq!((status, out.as_str()), (Some(2), ""), "{said}");
    assert!(said.contains("1 2 已作废"), "{said}");
    let result = fs::File::open(path("result")).expect("written");
    let file = rows::prove(BufReader::new(result), 1).expect("a whole result");
    fs::write(path("row"), file.to_string()).expect("written");
    let (status, said) = run(&["proof", "verify", &path("row"), "--keys", &path("keys"), "--head", &url]);
    assert!(status == Some(0) && said.contains("the log of then is a prefix of the log of now"), "{said}");
    let (status, said) = run(&["proof", "log", &path("row"), "--server", &url, "--out", &path("logged")]);
    assert!(status == Some(3) && said.contains("尚未入账"), "{said}");

    let (status, there, _) = ask(&server.tokens["business"], &[]);
    assert_eq!((status, lines(&there).len()), (Some(2), asked.len() + 1));
    for (token, told) in [("nobody", "HTTP 401"), (&server.tokens["issuer"], "HTTP 403")] {
        let (status, out, said) = ask(token, &[]);
        assert!(status == Some(2) && said.contains(told) && text(&lines(&out)[0], "status") == "broken_off", "{said}");
    }
    let Server { running, site, .. } = server;
    drop(running);
    let asked = site.file("asked").into_os_string().into_string().expect("UTF-8");
    let here = site.program(&["bulk", &asked]).output().expect("run");
    let (here, there) = (lines(&String::from_utf8_lossy(&here.stdout)), lines(&there));
    assert!(here.len() == there.len() && here.into_iter().zip(there).all(|(here, there)| timeless(here) == timeless(there)));
}
