//! What integrators read works as it stands: the page of the manual, the example, and the README's check from outside.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::demo::{Demo, shell};
use crate::house::root;
use crate::remote::{canned, reply};

/// The blocks of shell on a page.
pub(crate) fn blocks(page: &'static str) -> impl Iterator<Item = &'static str> {
    page.split("```sh\n").skip(1).map(|block| block.split_once("```").expect("an end").0)
}

/// Runs commands that leave a server behind if they fail.
#[track_caller]
pub(crate) fn run(commands: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let examples = root().join("examples").display().to_string();
    let commands = format!("trap 'kill $! 2> /dev/null || true' EXIT\n{commands}");
    let Output { status, stdout, stderr } = shell(directory.path(), &commands, &[("EXAMPLES", &examples)]);
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "said: {said}\n{}", String::from_utf8_lossy(&stderr));
    said
}

#[test]
fn the_page_for_integrators_runs_as_it_stands() {
    let said = run(&blocks(include_str!("../../src/manual/integrate.md")).collect::<String>());
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..5], ["ready", "1", "genuine", "200", "repeated"], "{said}");
    assert!(lines[5].starts_with("HTTPS://"), "{said}");
    assert_eq!(lines[6], "422", "{said}");
    assert!(lines[7].starts_with("FP-"), "{said}");
    assert_eq!(lines[9], "repeated", "{said}");
    assert_eq!(lines[10..12], ["{\"genuine\": 2, \"partly_red_flushed\": 1}", "1 genuine"], "{said}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("repeated ")).count(), 3, "{said}");
}

#[test]
fn the_readme_s_check_from_outside_runs_as_it_stands() {
    let mut checks = blocks(include_str!("../../README.md")).filter(|block| block.contains("demo.json"));
    let said = run(checks.next().expect("a block"));
    assert!(said.trim().ends_with(" right") && said.lines().count() == 1, "{said}");
    assert_eq!(checks.next(), None);
}

fn client(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    use std::io::Write as _;
    let interpreter = std::env::var("FAPIAO_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(interpreter);
    // Neither the environment nor installed packages: the standard library is all it needs.
    command.args(["-I", "-S"]).arg(root().join("examples/client.py")).args(arguments);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
    process.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = process.wait_with_output().expect("a child");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_example_issues_verifies_and_shows_faults() {
    let demo = Demo::start();
    let (new, mut faulty) = (demo.new_draft(1), demo.new_draft(2));
    faulty["total"] = json!("1.00");
    let (exit, said) = client(&[demo.url(), "issue", demo.token("issuer")], &format!("{new}\n\n{new}\n{faulty}\n"));
    assert_eq!(exit, Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("logged ") && lines[1].starts_with("repeated ") && lines[2].starts_with("refused 422 "), "{said}");
    assert!(lines[3].trim_start().starts_with("FP-"), "{said}");
    let qr = lines[0].rsplit(' ').next().expect("a code");
    assert_eq!(client(&[demo.url(), "verify", qr], ""), (Some(0), "1 genuine\n".to_owned()));

    let text = |sample: &Value, member: &str| sample[member].as_str().expect("a text").to_owned();
    for sample in demo.samples() {
        let check = text(sample, "check");
        let factor = if check.is_empty() { text(sample, "amount") } else { check };
        let [code, number, date] = ["code", "number", "date"].map(|member| text(sample, member));
        let (exit, said) = client(&[demo.url(), "verify", &code, &number, &date, &factor], "");
        let expect = sample["expect"].as_u64().expect("a number");
        assert!(said.starts_with(&format!("{expect} ")), "{said}");
        assert_eq!(exit, Some(i32::from(expect != 1)));
    }
}

#[test]
fn the_example_waits_and_sends_the_same_again() {
    let logged = json!({ "status": "repeated", "index": 7, "signed_qr": "HTTPS://X" }).to_string();
    let (address, thread) = canned(vec![
        reply("503 Service Unavailable", "retry-after: 1\r\n", "{\"title\":\"busy\"}"),
        "HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"status\":".to_owned(),
        reply("200 OK", "", &logged),
        reply("429 Too Many Requests", "retry-after: 3600\r\n", "{\"title\":\"too many\"}"),
    ]);
    let url = format!("http://{address}");
    assert_eq!(client(&[&url, "issue", "t"], "{\"a\": 1}\n"), (Some(0), "repeated 7 HTTPS://X\n".to_owned()));
    assert_eq!(client(&[&url, "verify", "x"], "").0, Some(3));
    assert_eq!(thread.join().expect("no panic")[..3], ["{\"a\": 1}", "{\"a\": 1}", "{\"a\": 1}"]);
}
