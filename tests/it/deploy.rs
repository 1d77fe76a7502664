//! What an operator installs works: the unit, the alerts, the dashboard. The configuration is tested where it is printed.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use fapiao::channel::http::ENDPOINTS;
use serde_json::Value;

use crate::demo::Demo;
use crate::house::root;
use crate::support::program;

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/fapiao.json");
const PAGE: &str = include_str!("../../src/manual/operating.md");
const UNIT: &str = include_str!("../../deploy/fapiao.service");

fn promtool() -> String {
    std::env::var("FAPIAO_PROMTOOL").unwrap_or_else(|_| {
        let found = Command::new(root().join(".ci/tools")).arg("promtool").output().expect("bash runs");
        assert!(found.status.success(), "{found:?}");
        String::from_utf8(found.stdout).expect("a path").trim().to_owned()
    })
}

#[test]
fn each_alert_fires_and_is_silent_when_it_should() {
    let folder = root().join("deploy/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new(promtool()).args(arguments).current_dir(&folder).output().expect("promtool runs");
        assert!(output.status.success(), "{output:?}");
    }
    let tests = include_str!("../../deploy/prometheus/alerts_test.yml");
    for alert in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("- name: {alert} fires")) && tests.contains(&format!("- name: {alert} is silent")), "{alert}");
        assert!(PAGE.contains(&format!("| `{alert}` | ")), "{alert} is in the manual");
    }
}

/// Words of Prometheus queries that begin like our names.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("fapiao_")).collect()
}

/// The names of the series of a family, as Prometheus keeps them.
fn series(metrics: &str) -> BTreeSet<String> {
    let families = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    families
        .flat_map(|(name, sort)| match sort {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
            "gauge" => vec![name.to_owned()],
            other => panic!("{name} is a {other}"),
        })
        .collect()
}

#[test]
fn every_query_is_of_a_figure_that_there_is() {
    let demo = Demo::start();
    // Families without any series are not shown.
    let drafts = demo.file("drafts");
    fs::write(&drafts, demo.new_draft(1).to_string()).expect("written");
    assert!(program(&["issue", "--server", demo.url(), "--token", demo.token("issuer")]).arg(&drafts).status().expect("run").success());
    let metrics = Command::new("curl").args(["-fsS", &format!("{}/metrics", demo.url())]).output().expect("curl runs").stdout;
    let series = series(&String::from_utf8_lossy(&metrics));
    assert!(series.len() > 20, "{series:?}");

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("a query"))
        .collect();
    assert!(queries.len() >= panels.len() && queries.iter().all(|query| !names(query).is_empty()));
    for asked in [names(ALERTS), names(DASHBOARD)] {
        let unknown: Vec<_> = asked.into_iter().filter(|name| !series.contains(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} of {series:?}");
    }
    for text in [ALERTS.to_owned(), queries.join("\n")] {
        for endpoint in text.split("endpoint=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ENDPOINTS.iter().any(|row| row.name == endpoint), "{endpoint}");
        }
    }
    // The manual lists all of them, and no others.
    let families: BTreeSet<&str> =
        series.iter().map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)).collect();
    assert_eq!(names(PAGE), families);
}

#[test]
fn the_unit_is_accepted_and_hardened() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("there is no systemd-analyze here");
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let unit = folder.path().join("fapiao.service");
    let installed = "/usr/bin/fapiao";
    assert!(UNIT.contains(installed));
    fs::write(&unit, UNIT.replace(installed, env!("CARGO_BIN_EXE_fapiao"))).expect("written");
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        output
    };
    let verified = analyze(&["verify"]);
    assert!(!String::from_utf8_lossy(&verified.stderr).contains("fapiao.service"), "{verified:?}");
    // In tenths.
    analyze(&["security", "--offline=true", "--threshold=15"]);
}
