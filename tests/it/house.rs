//! The house keeps in order: what lies at the top, no drawers, nothing unfinished, no warning
//! silenced without a word.
//!
//! As with the floors, each rule has planted violations that it must report.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What a visitor sees on opening the repository; hidden files and what `.gitignore` names at the
/// top (`/target`) are not seen.
const TOP_LEVEL: [&str; 12] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "Makefile", "README.md", "benches", "deploy", "examples", "fixtures", "schemas", "src", "tests"];

/// Names under which anything could lie. What belongs nowhere lacks a noun.
const DRAWERS: [&str; 7] = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// A file or folder at the top that has no place there.
    Unexpected,
    /// One that should be at the top and is not.
    Missing,
    /// A file or folder that says nothing about what is in it.
    Drawer,
    /// A place holder, a note to self, a test that does not run.
    Unfinished,
    /// A lint put to silence without a reason.
    Silenced,
}

const RULES: [Rule; 5] = [Rule::Unexpected, Rule::Missing, Rule::Drawer, Rule::Unfinished, Rule::Silenced];

/// The rule and the place.
type Fault = (Rule, String);

#[test]
fn the_tree_is_in_order() {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let mut faults = top_level_faults(&list_folder("."), &ignored);
    faults.extend(drawer_faults(&list_tree(&TOP_LEVEL)));
    for extension in ["rs", "py"] {
        for (file, text) in read_tree(&["src", "tests", "benches", "examples"], extension) {
            faults.extend(text_faults(&file, &text));
        }
    }
    let report: Vec<String> = faults.iter().map(|(rule, at)| format!("{rule:?}: {at}")).collect();
    assert!(faults.is_empty(), "\n{}\n", report.join("\n"));
}

/// Rule, where it is reported, file, text; `\n` is a new line.
const PLANTED: &str = r#"
Unexpected | docs | docs |
Unexpected | deny.toml | deny.toml |
Missing | README.md | readme.md |
Drawer | src/utils.rs | src/utils.rs |
Drawer | src/domain/helper.rs | src/domain/helper.rs |
Drawer | tests/it/common/mod.rs | tests/it/common/mod.rs |
Drawer | tests/util.py | tests/util.py |
Drawer | src/channel/http/Manager.rs | src/channel/http/Manager.rs |
Unfinished | src/a.rs:1 | src/a.rs | fn f() { todo!() }
Unfinished | src/a.rs:2 | src/a.rs | fn f() {\n    unimplemented!("later") }
Unfinished | tests/it/a.rs:1 | tests/it/a.rs | // FIXME: wrong in leap years
Unfinished | tests/it/a.rs:2 | tests/it/a.rs | /// Does.\n/// FIXME
Unfinished | tests/it/a.rs:1 | tests/it/a.rs | #[test] #[ignore] fn f() {}
Unfinished | tests/it/a.rs:2 | tests/it/a.rs | #[test]\n#[ ignore = "slow" ]\nfn f() {}
Unfinished | tests/it/a.rs:1 | tests/it/a.rs | #[cfg_attr(unix, ignore)] fn f() {}
Unfinished | tests/second.py:1 | tests/second.py | # FIXME
Silenced | benches/a.rs:1 | benches/a.rs | #[allow(dead_code)] fn f() {}
Silenced | src/a.rs:2 | src/a.rs | //! A.\n#![allow(missing_docs)]
Silenced | src/a.rs:1 | src/a.rs | #[expect(clippy::unwrap_used)] fn f() {}
Silenced | src/a.rs:1 | src/a.rs | #[cfg_attr(test, allow(dead_code))] fn f() {}
Silenced | src/a.rs:1 | src/a.rs | #[allow(\n    dead_code, // reason = "none"\n)] fn f() {}
"#;

#[test]
fn a_planted_violation_of_each_rule_is_reported() {
    let mut seen = BTreeSet::new();
    for [rule, at, file, text] in rows(PLANTED) {
        let rule = RULES.into_iter().find(|known| format!("{known:?}") == rule);
        let rule = rule.unwrap_or_else(|| panic!("{file}: no such rule"));
        let mut top: BTreeSet<String> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
        let found = match rule {
            Rule::Unexpected => {
                top.insert(file.clone());
                top_level_faults(&top, "/target\n")
            }
            Rule::Missing => {
                top.remove(&at);
                top_level_faults(&top, "/target\n")
            }
            Rule::Drawer => drawer_faults(&BTreeSet::from([file.clone()])),
            Rule::Unfinished | Rule::Silenced => text_faults(&file, &text),
        };
        assert_eq!(found, [(rule, at)], "{file}: {text}");
        seen.insert(rule);
    }
    assert_eq!(seen, BTreeSet::from(RULES), "a rule without a planted violation");
}

/// File and text.
const ALLOWED: &str = r#"
src/channel/problem.rs | #[expect(clippy::x, reason = "y")] fn f() {}
src/channel/problem.rs | #![allow(missing_docs, reason = "generated")]
src/commonwealth.rs | const A: &str = "todo!() FIXME #[allow(x)] #[ignore]";
src/utility/model.rs | // todo!() and #[ignore] and #[allow(x)] in prose
tests/it/a.rs | #[derive(Clone)] #[serde(ignore)] struct A; fn ignore() { allow(expect) }
"#;

#[test]
fn what_is_allowed_is_not_reported() {
    for [file, text] in rows(ALLOWED) {
        assert_eq!(text_faults(&file, &text), [], "{text}");
        assert_eq!(drawer_faults(&BTreeSet::from([file])), []);
    }
    let mut top: BTreeSet<String> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
    top.extend([".git", ".ci", ".deny.toml", "target", "demo"].map(str::to_owned));
    assert_eq!(top_level_faults(&top, "# out\n/target\n/demo/\n*.x\n"), []);
}

fn top_level_faults(names: &BTreeSet<String>, gitignore: &str) -> Vec<Fault> {
    let ignored: Vec<&str> = gitignore.lines().filter_map(|line| line.strip_prefix('/')).map(|name| name.trim_end_matches('/')).collect();
    let unexpected = names.iter().filter(|name| {
        let name = name.as_str();
        !name.starts_with('.') && !ignored.contains(&name) && !TOP_LEVEL.contains(&name)
    });
    let missing = TOP_LEVEL.into_iter().filter(|name| !names.contains(*name));
    unexpected.map(|name| (Rule::Unexpected, name.clone())).chain(missing.map(|name| (Rule::Missing, name.to_owned()))).collect()
}

fn drawer_faults(files: &BTreeSet<String>) -> Vec<Fault> {
    let is_drawer = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part).to_lowercase();
        DRAWERS.contains(&stem.as_str())
    };
    files.iter().filter(|file| file.split('/').any(is_drawer)).map(|file| (Rule::Drawer, file.clone())).collect()
}

fn text_faults(file: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut report = |rule: Rule, line: usize| faults.push((rule, format!("{file}:{line}")));
    let is_rust = has_extension(file, "rs");
    let read = if is_rust { code_and_comments_of(text) } else { text.to_owned() };
    for (index, line) in read.lines().enumerate() {
        if line.contains("FIXME") {
            report(Rule::Unfinished, index + 1);
        }
    }
    if !is_rust {
        return faults;
    }
    let code = code_of(text);
    for (index, line) in code.lines().enumerate() {
        if line.contains("todo!") || line.contains("unimplemented!") {
            report(Rule::Unfinished, index + 1);
        }
    }
    for (line, attribute) in attributes(&code) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let words: Vec<&str> = attribute.split(|c| !is_word(c)).filter(|w| !w.is_empty()).collect();
        let says = |word: &str| match words.first() {
            Some(&"cfg_attr") => words.contains(&word),
            first => first == Some(&word),
        };
        if says("ignore") {
            report(Rule::Unfinished, line);
        }
        if (says("allow") || says("expect")) && !words.contains(&"reason") {
            report(Rule::Silenced, line);
        }
    }
    faults
}

/// The inside of each `#[…]` and `#![…]`, with the line it begins on.
fn attributes(code: &str) -> Vec<(usize, &str)> {
    let mut attributes = Vec::new();
    for (at, _) in code.match_indices('#') {
        let (before, behind) = code.split_at(at);
        let opened = behind.trim_start_matches(['#', '!']);
        if let Some(inside) = opened.strip_prefix('[') {
            let mut depth = 1_usize;
            let end = inside.find(|c| {
                match c {
                    '[' => depth += 1,
                    ']' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let inside = end.and_then(|end| inside.get(..end)).unwrap_or(inside);
            attributes.push((before.matches('\n').count() + 1, inside));
        }
    }
    attributes
}

/// The rows of a table of cases: a line each, `N` cells with ` | ` between them, `\n` a new line.
pub(crate) fn rows<const N: usize>(table: &str) -> Vec<[String; N]> {
    let row = |line: &str| {
        let mut cells = line.splitn(N, " |").map(|cell| cell.trim().replace("\\n", "\n"));
        std::array::from_fn(|_| cells.next().unwrap_or_else(|| panic!("too few cells: {line}")))
    };
    table.lines().filter(|line| !line.is_empty()).map(row).collect()
}

/// The code of a Rust file: comments, strings and characters become spaces, lines stay lines.
pub(crate) fn code_of(text: &str) -> String {
    blank(text, true)
}

/// The same with its comments.
pub(crate) fn code_and_comments_of(text: &str) -> String {
    blank(text, false)
}

fn blank(text: &str, comments_too: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let in_word = previous.is_alphanumeric() || previous == '_';
        let (length, blanked) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), comments_too)
        } else if rest.starts_with("/*") {
            (block_comment_len(rest), comments_too)
        } else if let Some(length) = (!in_word).then(|| raw_string_len(rest)).flatten() {
            (length, true)
        } else if first == '"' {
            (quoted_len(rest, '"'), true)
        } else if first == '\'' && is_character(rest) {
            (quoted_len(rest, '\''), true)
        } else {
            (first.len_utf8(), false)
        };
        let (piece, behind) = rest.split_at(length);
        if blanked {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        previous = piece.chars().next_back().unwrap_or(' ');
        rest = behind;
    }
    out
}

/// Block comments nest.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, also with `b` or `c` in front; nothing if the text is no raw string.
fn raw_string_len(text: &str) -> Option<usize> {
    let marked = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let inner = marked.trim_start_matches('#');
    let hashes = marked.len() - inner.len();
    let close = format!("\"{}", "#".repeat(hashes));
    let body = inner.strip_prefix('"')?;
    let end = body.find(&close).map_or(body.len(), |end| end + close.len());
    Some(text.len() - body.len() + end)
}

/// A quoted piece with its quotes; a backslash takes the next character along.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Tells `'a'` from the lifetime in `&'a str`.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (_, Some('\'')))
}

/// Every file with this extension below these folders of the crate, path and text, in order.
/// Hidden folders and build output are passed over.
pub(crate) fn read_tree(folders: &[&str], extension: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for file in list_tree(folders) {
        if has_extension(&file, extension) {
            let text = fs::read_to_string(root().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            files.push((file, text));
        }
    }
    files
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// The paths of all files below these folders, from the crate's root.
pub(crate) fn list_tree(folders: &[&str]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut open: Vec<String> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    while let Some(folder) = open.pop() {
        for name in list_folder(&folder) {
            let path = format!("{folder}/{name}");
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if root().join(&path).is_dir() {
                open.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    files
}

/// The names in one folder of the crate; none if there is no such folder.
pub(crate) fn list_folder(folder: &str) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return BTreeSet::new();
    };
    entries
        .map(|entry| {
            let entry = entry.unwrap_or_else(|error| panic!("{folder}: {error}"));
            entry.file_name().to_string_lossy().into_owned()
        })
        .collect()
}

pub(crate) fn root() -> &'static Path {
    Path::new(option_env!("CARGO_MANIFEST_DIR").unwrap_or("."))
}
