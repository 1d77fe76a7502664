//! Who may do what: every cell of role and endpoint is asked for, and held against a table that is written here a second time.

use std::collections::BTreeSet;

use fapiao::channel::http::ENDPOINTS;
use fapiao::domain::caller::{Caller, Role};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{NewCaller, Territory, now};
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::server::{CONFIGURATION, Server, buyer};
use crate::support::{code, face, generated, id, other_seller, plain, seller, signed_qr, text, typed};

/// Roles that may, and what each is answered; whoever is not listed gets 401 without and 403 with a token.
type Allowed = &'static [(&'static str, u16)];

const ANYBODY: Allowed =
    &[("anonymous", 200), ("issuer", 200), ("business", 200), ("operator", 200), ("department", 200), ("auditor", 200), ("administrator", 200)];

/// Method, path and who may. Written from the design, not from the router's table.
const TABLE: [(&str, &str, Allowed); 34] = [
    ("POST", "/v1/verify", ANYBODY),
    ("POST", "/v1/verify/bulk", &[("business", 200), ("administrator", 200)]),
    ("POST", "/v1/invoices", &[("issuer", 201)]),
    ("POST", "/v1/invoices/bulk", &[("issuer", 200)]),
    ("POST", "/v1/invoices/check", &[("issuer", 200), ("administrator", 200)]),
    ("GET", "/v1/invoices/{code}/{number}", &[("issuer", 200), ("business", 200), ("administrator", 200)]),
    ("GET", "/v1/invoices/{code}/{number}/qr", &[("issuer", 200), ("business", 200), ("administrator", 200)]),
    // An electronic invoice, which nobody can void.
    ("POST", "/v1/invoices/{code}/{number}/void", &[("issuer", 409), ("administrator", 409)]),
    ("POST", "/v1/invoices/{code}/{number}/status", &[("administrator", 201)]),
    ("POST", "/v1/invoices/{code}/{number}/erase", &[("administrator", 200)]),
    ("POST", "/v1/allotments", &[("administrator", 201)]),
    ("POST", "/v1/allotments/status", &[("administrator", 201)]),
    ("GET", "/Q/{payload}", ANYBODY),
    ("GET", "/q/{payload}", ANYBODY),
    ("GET", "/v1/keys", ANYBODY),
    ("POST", "/v1/keys/rotate", &[("administrator", 200)]),
    // A key that there is not.
    ("POST", "/v1/keys/revoke", &[("administrator", 404)]),
    ("GET", "/v1/revocations", ANYBODY),
    ("GET", "/v1/proofs/answer/{hash}", ANYBODY),
    ("GET", "/v1/proofs/answers", ANYBODY),
    ("GET", "/v1/proofs/policies", ANYBODY),
    ("GET", "/v1/proofs/inclusion", ANYBODY),
    ("GET", "/v1/proofs/consistency", ANYBODY),
    ("GET", "/checkpoint", ANYBODY),
    ("GET", "/tile/entries/{+tile}", ANYBODY),
    ("GET", "/tile/{level}/{+tile}", ANYBODY),
    ("GET", "/v1/callers", &[("auditor", 200), ("administrator", 200)]),
    ("POST", "/v1/callers", &[("administrator", 201)]),
    ("POST", "/v1/callers/{id}/revoke", &[("administrator", 200)]),
    ("GET", "/v1/audit", &[("auditor", 200), ("administrator", 200)]),
    ("GET", "/healthz", ANYBODY),
    ("GET", "/readyz", ANYBODY),
    ("GET", "/metrics", ANYBODY),
    ("GET", "/openapi.json", ANYBODY),
];

/// An invoice that its buyer can see.
fn bought(number: u32) -> Value {
    let mut draft = plain(Kind::Electronic, number, Fen(10_000));
    draft["buyer"]["tax_id"] = json!(buyer().as_str());
    draft
}

#[test]
fn every_cell_of_role_and_endpoint() {
    let listed: BTreeSet<(&str, &str)> = TABLE.iter().map(|(method, path, _)| (*method, *path)).collect();
    let served: BTreeSet<(&str, &str)> = ENDPOINTS.iter().map(|endpoint| (endpoint.method.as_str(), endpoint.path)).collect();
    assert_eq!(listed, served, "an endpoint without a row here, or a row without an endpoint");

    let (mut payload, mut victim, mut question) = (String::new(), String::new(), String::new());
    let server = Server::with(CONFIGURATION, |engine| {
        crate::support::logged(crate::support::submit(engine, &bought(1)));
        let signed = signed_qr(engine, id(Kind::Electronic, 1));
        payload = signed.rsplit('/').next().expect("a payload").to_owned();
        question = json!({ "qr": signed }).to_string();
        let new = NewCaller {
            role: Role::Auditor,
            taxpayers: Vec::new(),
            regions: Territory::WholeCountry,
            issuer_key: None,
            label: "victim".to_owned(),
            expires: None,
        };
        victim = engine.enrol(new, &Caller::CONSOLE).expect("enrolled").0.to_string();
    });
    let electronic = code(Kind::Electronic).to_string();
    let draft = bought(2).to_string();
    let mut cells = 0;
    for (method, path, allowed) in TABLE {
        let target = path
            .replace("{code}", &electronic)
            .replace("{number}", "00000001")
            .replace("{payload}", &payload)
            .replace("{id}", &victim)
            .replace("{hash}", &"00".repeat(32))
            .replace("{level}", "0")
            .replace("{+tile}", "000.p/1")
            + match path {
                "/v1/proofs/answers" => "?time=0",
                "/v1/proofs/inclusion" => "?index=0",
                "/v1/proofs/consistency" => "?from=1",
                _ => "",
            };
        let body = match path {
            "/v1/verify" | "/v1/verify/bulk" => question.clone(),
            "/v1/invoices" | "/v1/invoices/bulk" | "/v1/invoices/check" => draft.clone(),
            "/v1/invoices/{code}/{number}/status" => json!({ "mark": "abnormal" }).to_string(),
            "/v1/invoices/{code}/{number}/erase" => json!({ "reason": "file 7" }).to_string(),
            "/v1/allotments" => {
                json!({ "taxpayer": seller().as_str(), "kind": "04", "code": "032001900204", "first": "00000001", "last": "00000010" }).to_string()
            }
            "/v1/allotments/status" => json!({ "code": electronic, "first": "00090000", "last": "00090001", "mark": "lost" }).to_string(),
            "/v1/keys/rotate" => json!({ "role": "answering" }).to_string(),
            "/v1/keys/revoke" => json!({ "key_id": "0123456789abcdef", "reason": "lost" }).to_string(),
            "/v1/callers" if method == "POST" => json!({ "role": "auditor" }).to_string(),
            _ => String::new(),
        };
        for role in Role::ALL.map(Role::name) {
            let name = if role == "anonymous" { "" } else { role };
            let reply = server.ask_as(name, method, &target, body.as_bytes());
            let expected = match allowed.iter().find(|(known, _)| *known == role) {
                Some((_, status)) => *status,
                None if name.is_empty() => 401,
                None => 403,
            };
            assert_eq!(reply.status, expected, "{role} {method} {path}: {}", String::from_utf8_lossy(&reply.body));
            assert_eq!(reply.header("www-authenticate").is_empty(), reply.status != 401, "{role} {method} {path}");
            cells += 1;
        }
        // A token that counts for nothing opens nothing, not even what is open to everybody.
        let reply = server.running.ask(method, &target, &[("Authorization", "Bearer fp1_00")], body.as_bytes());
        assert_eq!(reply.status, 401, "{method} {path}");
        let reply = server.running.ask(method, &target, &[("Authorization", "Basic YTpi")], body.as_bytes());
        assert_eq!(reply.status, 401, "{method} {path}");
    }
    assert_eq!(cells, ENDPOINTS.len() * Role::ALL.len());
}

/// Another method than those that are served is answered with those that are, whoever asks.
#[test]
fn every_other_method_is_told_the_right_ones() {
    let server = Server::new();
    let paths: BTreeSet<&str> = TABLE.iter().map(|(_, path, _)| *path).collect();
    for path in paths {
        let target = path.replace("{level}", "0").replace("{+tile}", "000.p/1").replace(['{', '}'], "");
        let mut allowed: BTreeSet<&str> = TABLE.iter().filter(|(_, known, _)| *known == path).map(|(method, ..)| *method).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD");
        }
        allowed.insert("OPTIONS");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW"] {
            let reply = server.ask_as("", method, &target, b"");
            if allowed.contains(method) && method != "OPTIONS" {
                assert!(![404, 405].contains(&reply.status) || target.contains("payload"), "{method} {target}: {}", reply.status);
                continue;
            }
            let told: BTreeSet<&str> = reply.header("allow").split(", ").collect();
            assert_eq!((reply.status, told), (if method == "OPTIONS" { 204 } else { 405 }, allowed.clone()), "{method} {target}");
        }
    }
    for path in ["/", "/v1", "/v1/verify/", "/v2/verify", "//healthz", "/q/", "/v1/invoices/1", "/%76erify", "/../etc/passwd"] {
        let reply = server.ask_as("administrator", "GET", path, b"");
        assert_eq!((reply.status, reply.json()["type"].as_str()), (404, Some("urn:fapiao:problem:not-found")), "{path}");
    }
}

fn path_of(kind: Kind, number: u32) -> String {
    let id = id(kind, number);
    format!("/v1/invoices/{}/{}", id.code, id.number)
}

#[track_caller]
fn kind_of(reply: &Reply) -> String {
    reply.json()["type"].as_str().expect("a problem").trim_start_matches("urn:fapiao:problem:").to_owned()
}

#[test]
fn an_invoice_is_shown_to_its_parties_and_is_not_there_for_anybody_else() {
    let mut size = 0;
    let server = Server::with(CONFIGURATION, |engine| {
        crate::support::logged(crate::support::submit(engine, &bought(1)));
        size = engine.audit_entries(0, 1_000).expect("readable").len();
    });
    let path = path_of(Kind::Electronic, 1);
    for name in ["issuer", "business", "administrator"] {
        let reply = server.ask_as(name, "GET", &path, b"");
        assert_eq!(reply.status, 200, "{name}");
        let shown = reply.json();
        assert_eq!((&shown["state"]["name"], &shown["draft"]["buyer"]["tax_id"]), (&json!("genuine"), &json!(buyer().as_str())), "{name}");
        assert_eq!(shown["receipt"]["event"], "issue");
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    // To a stranger and to another region's administrator it is not there, in the very words of one that is not.
    let body = |reply: Reply| {
        let mut value = reply.json();
        value["instance"] = Value::Null;
        (reply.status, value)
    };
    for name in ["issuer_other", "administrator_44"] {
        let hidden = body(server.ask_as(name, "GET", &path, b""));
        assert_eq!(hidden.0, 404);
        for absent in [path_of(Kind::Electronic, 2), "/v1/invoices/x/y".to_owned(), "/v1/invoices/033001900111/00000000".to_owned()] {
            assert_eq!(body(server.ask_as(name, "GET", &absent, b"")), hidden, "{name} {absent}");
        }
        let (void, absent) = (path.clone() + "/void", path_of(Kind::Electronic, 2) + "/void");
        let hidden = body(server.ask_as(name, "POST", &void, b""));
        assert_eq!((hidden.0, body(server.ask_as(name, "POST", &absent, b""))), (403, hidden.clone()));
    }
    // Each look is recorded, and none that was refused; so is each try to void it, which its own seller has to answer for.
    let trail = server.ask_as("auditor", "GET", &format!("/v1/audit?from={size}"), b"").json();
    let entries: Vec<_> = trail["entries"].as_array().expect("entries").iter().map(|entry| (entry["role"].clone(), entry["act"].clone())).collect();
    let disclosed = ["issuer", "business", "administrator"].map(|role| (json!(role), json!("invoice_disclosed")));
    assert_eq!(entries, [disclosed.as_slice(), &[(); 2].map(|()| (json!("issuer"), json!("invoice_voided")))].concat());
}

#[test]
fn an_administrator_acts_in_its_regions_only() {
    let server = Server::new();
    let allot =
        |code: &str| json!({ "taxpayer": other_seller().as_str(), "kind": "10", "code": code, "first": "00000001", "last": "00000009" }).to_string();
    let (zhejiang, guangdong) = (allot("033001900211"), allot("044001900211"));
    assert_eq!(kind_of(&server.ask_as("administrator_44", "POST", "/v1/allotments", zhejiang.as_bytes())), "forbidden");
    assert_eq!(server.ask_as("administrator_44", "POST", "/v1/allotments", guangdong.as_bytes()).status, 201);
    assert_eq!(server.ask_as("administrator_44", "POST", "/v1/allotments", guangdong.as_bytes()).status, 200, "the same again");
    assert_eq!(server.ask_as("administrator", "POST", "/v1/allotments", zhejiang.as_bytes()).status, 201);
    let rotate = json!({ "role": "data" }).to_string();
    assert_eq!(
        kind_of(&server.ask_as("administrator_44", "POST", "/v1/keys/rotate", rotate.as_bytes())),
        "forbidden",
        "keys are the whole country's"
    );
    let mark = |code: &str| json!({ "code": code, "first": "00000005", "last": "00000009", "mark": "stolen" }).to_string();
    assert_eq!(kind_of(&server.ask_as("administrator_44", "POST", "/v1/allotments/status", mark("033001900211").as_bytes())), "forbidden");
    assert_eq!(server.ask_as("administrator_44", "POST", "/v1/allotments/status", mark("044001900211").as_bytes()).status, 201);
    let status = path_of(Kind::Electronic, 1) + "/status";
    assert_eq!(kind_of(&server.ask_as("administrator_44", "POST", &status, br#"{"mark":"lost"}"#)), "forbidden");
    // What is marked is not issued any more, and whoever shows it is told.
    let asked = json!({ "code": "044001900211", "number": "00000006", "date": "2019-11-11", "check": "000000" }).to_string();
    assert_eq!(server.ask_as("", "POST", "/v1/verify", asked.as_bytes()).json()["name"], "blank_marked");
}

#[test]
fn tokens_are_handed_out_once_and_end() {
    let server = Server::new();
    let new = json!({ "role": "issuer", "taxpayers": [seller().as_str()], "label": "till 7", "expires": "2999-12-31" }).to_string();
    let reply = server.ask_as("administrator", "POST", "/v1/callers", new.as_bytes());
    assert_eq!((reply.status, reply.header("cache-control")), (201, "no-store"));
    let enrolled = reply.json();
    let (caller, token) = (enrolled["id"].as_str().expect("an id"), enrolled["token"].as_str().expect("a token"));
    let bearer = format!("bearer {token}");
    let with = |draft: &Value| server.running.ask("POST", "/v1/invoices", &[("Authorization", bearer.as_str())], draft.to_string().as_bytes());
    assert_eq!(with(&bought(1)).status, 201, "the scheme's case is no matter");

    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.ask_as("auditor", "GET", &format!("/v1/callers?limit=4{after}"), b"").json();
        listed.extend(page["callers"].as_array().expect("callers").clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(listed.len(), 9);
    assert!(!json!(listed).to_string().contains(token));
    let found = listed.iter().find(|one| one["id"] == caller).expect("listed");
    assert_eq!((&found["label"], &found["revoked"]), (&json!("till 7"), &Value::Null));

    let revoke = format!("/v1/callers/{caller}/revoke");
    assert_eq!(server.ask_as("administrator", "POST", &revoke, b"").status, 200);
    assert_eq!((with(&bought(1)).status, with(&bought(2)).status), (401, 401), "at once, and even for what it had");
    assert_eq!(server.ask_as("administrator", "POST", &revoke, b"").status, 200, "again");
    assert_eq!(server.ask_as("administrator", "POST", "/v1/callers/0000000000000000/revoke", b"").status, 404);
    for wrong in [
        json!({ "role": "anonymous" }),
        json!({ "role": "issuer", "taxpayers": ["x"] }),
        json!({ "role": "issuer", "taxpayers": [seller().as_str()], "issuer_key": "00" }),
        json!({ "role": "auditor", "expires": "tomorrow" }),
        json!({ "role": "operator", "regions": ["ABC"] }),
    ] {
        assert_eq!(server.ask_as("administrator", "POST", "/v1/callers", wrong.to_string().as_bytes()).status, 422, "{wrong}");
    }
    for impossible in [json!({ "role": "issuer" }), json!({ "role": "operator" }), json!({ "role": "auditor", "expires": "2001-01-01" })] {
        assert_eq!(server.ask_as("administrator", "POST", "/v1/callers", impossible.to_string().as_bytes()).status, 409, "{impossible}");
    }
    assert_eq!(server.running.figure("fapiao_unauthorised_total{name=\"unknown_token\"}"), 2);
}

#[test]
fn privileged_acts_are_in_the_trail_whatever_came_of_them() {
    let server = Server::new();
    let today = now().day().expect("a day");
    // Issued and voided this month, by its seller.
    let mut draft: Value =
        serde_json::from_str(&fapiao::cli::sample::draft(Kind::Ordinary, 7, id(Kind::Ordinary, 7), today, &seller())).expect("JSON");
    draft["buyer"]["tax_id"] = json!(buyer().as_str());
    assert_eq!(server.ask_as("issuer", "POST", "/v1/invoices", draft.to_string().as_bytes()).status, 201);
    let void = path_of(Kind::Ordinary, 7) + "/void";
    assert_eq!(server.ask_as("issuer", "POST", &void, b"").status, 201);
    assert_eq!(server.ask_as("issuer", "POST", &void, b"").status, 200);
    assert_eq!(server.ask_as("issuer_other", "POST", &void, b"").status, 403);
    assert_eq!(server.ask_as("issuer", "POST", &(path_of(Kind::Ordinary, 8) + "/void"), b"").status, 404);
    let status = path_of(Kind::Ordinary, 7) + "/status";
    assert_eq!(server.ask_as("administrator", "POST", &status, br#"{"mark":"lifted"}"#).status, 409);
    assert_eq!(server.ask_as("administrator", "POST", &status, br#"{"mark":"blank_void"}"#).status, 422);
    assert_eq!(server.ask_as("administrator", "POST", &status, br#"["abnormal"]"#).status, 400);
    let all = server.ask_as("auditor", "GET", "/v1/audit?limit=1000", b"").json();
    let entries: Vec<(&str, &str)> = all["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter(|entry| entry["act"] != "caller_added")
        .map(|entry| (text(entry, "act"), text(entry, "outcome")))
        .collect();
    let codes: Vec<&str> = entries.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(
        entries.iter().map(|(act, _)| *act).collect::<Vec<_>>(),
        [["invoice_voided"; 4].as_slice(), &["invoice_marked"]].concat(),
        "{entries:?}"
    );
    assert_eq!(codes[..2], ["logged", "repeated"]);
    assert!(codes[2..].iter().all(|code| code.starts_with("FP-20-")), "{codes:?}");
    let page = server.ask_as("auditor", "GET", "/v1/audit?from=8&limit=2", b"").json();
    assert_eq!((page["entries"].as_array().expect("entries").len(), &page["next"]), (2, &json!(10)));
}

#[test]
fn an_issuer_issues_for_those_it_acts_for() {
    let server = Server::new();
    let mut of_other = generated(Kind::Electronic, 1, 1);
    of_other["seller"]["tax_id"] = json!(other_seller().as_str());
    for path in ["/v1/invoices", "/v1/invoices/check"] {
        let reply = server.ask_as("issuer", "POST", path, of_other.to_string().as_bytes());
        assert_eq!((reply.status, kind_of(&reply).as_str()), (403, "forbidden"), "{path}");
        // Numbers that are another's: whether they exist is not told.
        assert_eq!(
            server.ask_as("issuer_other", "POST", path, of_other.to_string().as_bytes()).status,
            if path.ends_with("check") { 200 } else { 403 }
        );
    }
    let mut line = server.ask_as("issuer", "POST", "/v1/invoices/bulk", of_other.to_string().as_bytes()).json();
    assert_eq!((line["status"].take(), line["line"].take()), (json!("refused"), json!(1)));
}

/// What is typed by whoever holds the paper is answered the same to everybody; only what may be seen beyond it differs.
#[test]
fn the_face_is_shown_to_whoever_knows_the_factors() {
    let mut asked = Value::Null;
    let server = Server::with(CONFIGURATION, |engine| {
        crate::support::logged(crate::support::submit(engine, &bought(1)));
        let typed = typed(&face(engine, id(Kind::Electronic, 1)));
        asked = json!({ "code": typed.code, "number": typed.number, "date": typed.date, "check": typed.check, "details": true });
    });
    let full = buyer();
    for name in ["", "issuer", "business", "issuer_other"] {
        let answer = server.ask_as(name, "POST", "/v1/verify", asked.to_string().as_bytes()).json();
        assert_eq!((&answer["verdict"], &answer["name"]), (&json!(1), &json!("genuine")), "{name}");
        let shows = answer.to_string().contains(full.as_str());
        assert!(!shows || name == "issuer" || name == "business", "{name} sees the buyer: {answer}");
    }
}
