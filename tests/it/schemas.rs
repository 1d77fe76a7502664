//! Generated files are fresh, and the schema and the manual say what the code does. `FAPIAO_BLESS=1` rewrites the generated ones.

use std::fs;
use std::path::{Path, PathBuf};

use fapiao::channel::http;
use fapiao::channel::json::parse_draft;
use fapiao::channel::schema::{draft_schema, fault_catalogue, fault_page};
use fapiao::domain::draft::fields::{FIELDS, When};
use fapiao::domain::rules::RULES;
use serde_json::{Value, json};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn is_fresh(path: &str, generated: &str) {
    if std::env::var_os("FAPIAO_BLESS").is_some() {
        fs::write(root(path), generated).expect("writable");
    }
    let committed = fs::read_to_string(root(path)).unwrap_or_default();
    assert!(committed == generated, "{path} is not what the code says: FAPIAO_BLESS=1 rewrites it");
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON") + "\n"
}

#[test]
fn the_draft_schema_is_fresh() {
    is_fresh("schemas/draft.json", &pretty(&draft_schema()));
}

#[test]
fn the_catalogue_of_faults_is_fresh() {
    is_fresh("schemas/faults.json", &pretty(&fault_catalogue()));
    is_fresh("src/manual/faults.md", &fault_page());
}

#[test]
fn the_description_of_the_interface_is_fresh() {
    is_fresh("schemas/openapi.json", &pretty(&http::description()));
    is_fresh("src/manual/access.md", &http::access_page());
}

#[test]
fn codes_are_in_order_and_said_once() {
    let codes: Vec<&str> = RULES.iter().map(|rule| rule.code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    assert!(codes.iter().all(|code| code.len() == 9 && code.starts_with("FP-")));
}

#[test]
fn fixtures_are_valid_by_the_schema_and_broken_ones_are_not() {
    let schema = jsonschema::validator_for(&draft_schema()).expect("a schema");
    let read = |name: &str| -> Value {
        let bytes = fs::read(root("fixtures/drafts").join(name)).expect("readable");
        assert!(parse_draft(&bytes).is_ok());
        serde_json::from_slice(&bytes).expect("JSON")
    };
    for file in fs::read_dir(root("fixtures/drafts")).expect("fixtures/drafts") {
        let name = file.expect("a file").file_name().into_string().expect("ASCII");
        let errors: Vec<String> = schema.iter_errors(&read(&name)).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(errors, [""; 0], "{name}");
    }
    for (name, path, broken) in [
        ("01-multi-line.json", "/code", json!("110019313")),
        ("01-multi-line.json", "/code", json!(1100193130)),
        ("01-multi-line.json", "/buyer/tax_id", json!("lower")),
        ("01-multi-line.json", "/buyer", json!({})),
        ("01-multi-line.json", "/route", json!("北京—上海")),
        ("01-multi-line.json", "/unknown", json!("x")),
        ("01-multi-line.json", "/lines/0/gross", json!("1.00")),
        ("01-multi-line.json", "/lines/0/amount", json!("1,00")),
        ("01-multi-line.json", "/lines/0", json!({})),
        ("10-pinyin.json", "/kpr", Value::Null),
        ("10-pinyin.json", "/mxxx/0/fphxz", json!("7")),
        ("03-domestic.json", "/vehicle/vin", json!("LFV3B28R1C302333O")),
    ] {
        let mut draft = read(name);
        let (parent, member) = path.rsplit_once('/').expect("a path");
        let parent = draft.pointer_mut(parent).expect("in the fixture");
        match (parent, broken.clone()) {
            (Value::Object(object), Value::Null) => drop(object.remove(member)),
            (Value::Object(object), value) => drop(object.insert(member.to_owned(), value)),
            (Value::Array(rows), value) => rows[0] = value,
            (other, _) => panic!("{other}"),
        }
        assert!(!schema.is_valid(&draft), "{name} with {path} = {broken}");
    }
}

/// The manual's table of members is written by hand, for its prose; what it states of each is what the code does.
#[test]
fn the_manual_lists_every_member_as_it_is() {
    let page = fs::read_to_string(root("src/manual/formats.md")).expect("the manual");
    let section = page.split("\n## ").find(|section| section.starts_with("Drafts")).expect("a section on drafts");
    // A row may tell of several members at once: names and aliases then correspond by place.
    let rows: Vec<Vec<&str>> = section.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').map(str::trim).collect()).collect();
    let ticked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    for spec in &FIELDS {
        let row = rows
            .iter()
            .find(|row| ticked(row[1]).iter().any(|name| name == spec.path))
            .unwrap_or_else(|| panic!("{} is not in the manual", spec.path));
        let names = ticked(row[1]);
        let place = names.iter().position(|name| name == spec.path).expect("found");
        let aliases: Vec<String> = if names.len() == 1 { ticked(row[2]) } else { vec![ticked(row[2])[place].clone()] };
        assert_eq!(aliases, spec.aliases, "{}", spec.path);
        if spec.limit > 0 {
            let limit: String = row[6].chars().filter(char::is_ascii_digit).collect();
            assert_eq!(limit, spec.limit.to_string(), "{}", spec.path);
        }
        let codes: Vec<&str> = spec.allowed.codes().collect();
        let allowed = match (row[5], spec.when) {
            ("all" | "red" | "import", _) => vec!["01", "02", "03", "04", "10", "11"],
            (cell, When::Red) => cell.split(' ').filter(|word| *word != "red").collect(),
            ("all but 11", _) => vec!["01", "02", "03", "04", "10"],
            (cell, _) => cell.split(' ').collect(),
        };
        assert_eq!(codes, allowed, "{}", spec.path);
    }
}
