//! Schemathesis reads the description and holds the server against it, as each role: whatever it finds is wrong, in one or in the other.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use fapiao::domain::caller::Role;
use serde_json::{Value, json};

use crate::support::server::{CONFIGURATION, Made, Running};

/// Examples for an operation, beside those that cover each keyword of its schemas: about 900 requests in all for each role.
const EXAMPLES: &str = "5";

fn start(arguments: &[&str], scratch: &std::path::Path) -> Child {
    let program = std::env::var("FAPIAO_SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".into());
    Command::new(&program)
        .arg("run")
        .args(arguments)
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1", "--no-color", "--generation-database", "none"])
        .current_dir(scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; FAPIAO_SCHEMATHESIS names it, and .ci/tools schemathesis installs it"))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What the server answered to requests for this endpoint, by status.
fn answered(running: &Running, endpoint: &str) -> Vec<(u16, u64)> {
    let reply = running.ask("GET", "/metrics", &[], b"");
    let prefix = format!("fapiao_http_requests_total{{endpoint=\"{endpoint}\",status=\"");
    let lines = reply.text().lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
    lines.map(|(status, count)| (status.parse().expect("a status"), count.parse::<f64>().expect("a count") as u64)).collect()
}

#[test]
fn it_finds_nothing_as_any_role() {
    let demo = Made::served(CONFIGURATION);
    let scratch = tempfile::tempdir().expect("a directory");
    let url = format!("http://{}/openapi.json", demo.running.address);
    // Two at a time: so many cores have the machines that run this.
    for roles in Role::ALL.chunks(2) {
        let running: Vec<(Role, Child)> = roles
            .iter()
            .map(|role| {
                let mut arguments = vec![url.clone()];
                if *role != Role::Anonymous {
                    arguments.extend(["-H".to_owned(), format!("Authorization: {}", demo.bearer(role.name()))]);
                }
                let directory = scratch.path().join(role.name());
                fs::create_dir(&directory).expect("a directory");
                (*role, start(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &directory))
            })
            .collect();
        for (role, child) in running {
            let output = child.wait_with_output().expect("ended");
            assert!(output.status.success(), "as {}:\n{}", role.name(), told(&output));
        }
    }
    // A run that met nothing but closed doors has shown nothing: every operation was answered as it is when it does what it is for, or nearly so.
    for endpoint in &fapiao::channel::http::ENDPOINTS {
        let statuses = answered(&demo.running, endpoint.name);
        let total: u64 = statuses.iter().map(|(_, count)| count).sum();
        let inside: u64 = statuses.iter().filter(|(status, _)| ![401, 403, 405, 429].contains(status)).map(|(_, count)| count).sum();
        assert!(total >= 7 && inside >= 5, "{}: {statuses:?}", endpoint.name);
        assert!(statuses.iter().all(|(status, _)| *status < 500), "{}: {statuses:?}", endpoint.name);
    }
    assert_eq!(demo.running.figure("fapiao_http_panics_total"), 0);
}

/// A description that lies, one lie at a time, is found out.
#[test]
fn it_finds_a_planted_lie() {
    let demo = Made::served(CONFIGURATION);
    let scratch = tempfile::tempdir().expect("a directory");
    let url = format!("http://{}", demo.running.address);
    let description: Value = demo.running.ask("GET", "/openapi.json", &[], b"").json();
    for (nth, (place, lie, check)) in [
        ("/components/schemas/Keys/properties/origin/type", json!("integer"), "Response violates schema"),
        ("/paths/~1v1~1proofs~1inclusion/get/responses/404", Value::Null, "Undocumented status code"),
        ("/components/schemas/Question/anyOf/0/properties/qr/type", json!(["string", "integer"]), "Schema-valid request rejected"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut description = description.clone();
        let (parent, member) = place.rsplit_once('/').expect("a path");
        let parent = description.pointer_mut(parent).and_then(Value::as_object_mut).expect("in the description");
        assert!(parent.remove(member).is_some());
        if !lie.is_null() {
            parent.insert(member.to_owned(), lie);
        }
        let path = scratch.path().join(format!("lie-{nth}.json"));
        fs::write(&path, description.to_string()).expect("written");
        let child = start(&[path.to_str().expect("UTF-8"), "--url", &url, "--include-path-regex", "verify|keys|inclusion"], scratch.path());
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(1), "{place}:\n{}", told(&output));
        assert!(told(&output).contains(check), "{place}:\n{}", told(&output));
    }
}
