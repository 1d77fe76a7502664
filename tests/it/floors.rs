//! The floors of the house hold: who may name whom, and what is named where.
//!
//! Reads `src/**/*.rs` as text. Every path in the code, with `use` trees unfolded and `super`
//! resolved, is held against the rules below; comments, strings and `#[cfg(test)]` items do not
//! count. It is a reader, not a compiler: a macro that pastes a name together passes unseen.
//!
//! A checker that finds nothing may be broken, so each rule has planted violations that it must
//! report, whole and alone.

use std::collections::BTreeSet;
use std::fmt;

use crate::house::{code_of, read_tree, rows};

/// From the ground up. A file may name its own floor or a lower one.
const FLOORS: [&[&str]; 8] = [
    &["limits", "metrics"],
    &["domain"],
    &["codec", "crypto"],
    &["ledger"],
    &["issue", "verify", "witness", "guard", "watch", "lottery"],
    &["engine"],
    &["channel"],
    &["cli"],
];
const LEDGER: usize = 3;
const CHANNEL: usize = 6;
const CLI: usize = 7;

/// Modules above the pure floors that are pure all the same.
const PURE: [[&str; 2]; 2] = [["verify", "check"], ["lottery", "draw"]];

/// What the pure floors do not name, as beginnings of paths.
const IMPURE: [&[&str]; 12] = [
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "time", "UNIX_EPOCH"],
    &["getrandom"],
    &["rand"],
    &["fastrand"],
    &["tracing"],
    &["log"],
];
/// Names that are impure wherever they are imported from, and macros that print.
const IMPURE_NAMES: [&str; 9] = ["SystemTime", "Instant", "OsRng", "SysRng", "ThreadRng", "stdin", "stdout", "stderr", "tokio"];
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

const ROCKSDB: [&str; 2] = ["rocksdb", "librocksdb_sys"];
const WIRE: [&str; 11] =
    ["serde", "serde_json", "serde_with", "schemars", "jsonschema", "hyper", "hyper_util", "http", "axum", "tower_http", "utoipa"];
/// Types whose `now` is the time of day. `Instant` measures durations and is left to floors 3 up.
const CLOCKS: [&str; 7] = ["SystemTime", "Utc", "Local", "OffsetDateTime", "UtcDateTime", "Timestamp", "Zoned"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// A file, or a name in `crate::…`, that belongs to no floor.
    NoFloor,
    /// A file names a floor above its own.
    Upward,
    /// A file takes in the crate's root as a whole, which hides what it names.
    WholeCrate,
    /// I/O, clock, randomness or logging where only values are worked on.
    Impure,
    /// RocksDB outside the ledger.
    Store,
    /// bincode outside the ledger's `value`.
    Bincode,
    /// serde, JSON or HTTP below the channels.
    Wire,
    /// The time of day read anywhere but in the engine.
    Clock,
}

const RULES: [Rule; 8] = [Rule::NoFloor, Rule::Upward, Rule::WholeCrate, Rule::Impure, Rule::Store, Rule::Bincode, Rule::Wire, Rule::Clock];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    file: String,
    line: usize,
    rule: Rule,
    named: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { file, line, rule, named } = self;
        write!(f, "{file}:{line}: {rule:?}: {named}")
    }
}

#[test]
fn the_tree_keeps_to_its_floors() {
    let files = read_tree(&["src"], "rs");
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the tree was not found");
    let faults = faults(&files);
    let report: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "\n{}\n", report.join("\n"));
}

/// Rule, file, what is named, the code that names it; `\n` is a new line.
const PLANTED: &str = r#"
NoFloor | src/utils.rs | utils |
NoFloor | src/prelude/mod.rs | prelude |
NoFloor | src/engine.rs | Ledger | use crate::Ledger;
Upward | src/limits.rs | domain::Fen | use crate::domain::Fen;
Upward | src/domain/money.rs | codec | use crate::codec;
Upward | src/domain/money.rs | codec::Reader | use super::super::codec::Reader;
Upward | src/domain/mod.rs | ledger | use super::ledger as store;
Upward | src/domain/mod.rs | engine::go | fn f() { super::engine::go() }
Upward | src/domain/mod.rs | cli | use fapiao::cli;
Upward | src/codec/proof.rs | ledger::Head | use crate::{domain::Fen, ledger::Head};
Upward | src/codec/proof.rs | ledger | use crate::{domain::{self, Fen}, ledger::{self}};
Upward | src/crypto/sign.rs | engine::Engine | fn f(x: Vec<crate::engine::Engine>) {}
Upward | src/crypto/sign.rs | issue::go | mod a { fn f() { super::super::super::issue::go() } }
Upward | src/ledger/apply.rs | engine | pub(in crate::engine) fn f() {}
Upward | src/ledger/mod.rs | issue::go | macro_rules! m { () => { $crate::issue::go() } }
Upward | src/verify/check.rs | engine::Engine | use crate::engine::{Engine};
Upward | src/engine/mod.rs | channel::json | use crate::channel::json;
Upward | src/channel/qr.rs | cli::Args | use crate::cli::Args;
Upward | src/domain/money.rs | engine::Engine | #[cfg(not(test))]\nuse crate::engine::Engine;
Upward | src/domain/money.rs | engine::E | #[cfg(test)]\nmod tests;\nuse crate::engine::E;
Upward | src/domain/money.rs | engine::E | const Q: char = '"'; use crate::engine::E; // "
Upward | src/domain/tests.rs | engine::Engine | use crate::engine::Engine;
WholeCrate | src/engine.rs | crate::* | use crate::*;
WholeCrate | src/engine.rs | super::* | use super::*;
WholeCrate | src/domain/mod.rs | crate | use crate as house;
WholeCrate | src/domain/mod.rs | super::self | use super::{self as house};
Impure | src/limits.rs | std::fs | use std::fs;
Impure | src/metrics.rs | std::net::IpAddr | use std::{fmt, net::{IpAddr}};
Impure | src/domain/time.rs | std::time::Instant | use std::time::{Duration, Instant};
Impure | src/domain/time.rs | std::time::SystemTime | use ::std::time::SystemTime;
Impure | src/domain/time.rs | time::Instant | use std::time; fn f(t: time::Instant) {}
Impure | src/codec/reader.rs | std::env::var | fn f() { std::env::var("X"); }
Impure | src/codec/reader.rs | std::process::exit | fn f() { std::process::exit(1) }
Impure | src/codec/reader.rs | std::io::stdout | use std::io::stdout;
Impure | src/codec/reader.rs | io::stdin | use std::io; fn f() { io::stdin(); }
Impure | src/codec/reader.rs | println! | fn f() { println!(); }
Impure | src/codec/reader.rs | std::dbg! | fn f() { std::dbg!(1); }
Impure | src/crypto/keyring.rs | getrandom::fill | fn f() { getrandom::fill(&mut x); }
Impure | src/crypto/keyring.rs | rand | use rand;
Impure | src/crypto/keyring.rs | ed25519_dalek::OsRng | use ed25519_dalek::OsRng;
Impure | src/crypto/sign.rs | log | extern crate log;
Impure | src/crypto/sign.rs | tracing::info! | fn f() { tracing::info!("x"); }
Impure | src/crypto/sign.rs | tokio::task::yield_now | async fn f() { tokio::task::yield_now().await }
Impure | src/verify/check.rs | std::fs::File | use std::fs::File;
Impure | src/lottery/draw.rs | rand::Rng | use rand::Rng;
Impure | src/lottery/draw/ranks.rs | rand::Rng | use rand::Rng;
Store | src/engine/mod.rs | rocksdb::DB | use rocksdb::DB;
Store | src/codec/mod.rs | librocksdb_sys | use librocksdb_sys as sys;
Store | src/cli/load.rs | rocksdb::DB | fn f(db: &rocksdb::DB) {}
Bincode | src/ledger/apply.rs | bincode::Encode | use bincode::Encode;
Bincode | src/verify/answer.rs | bincode::Decode | #[derive(bincode::Decode)] struct A;
Wire | src/domain/kind.rs | serde::Serialize | use serde::Serialize;
Wire | src/ledger/value.rs | serde_json::to_vec | fn f() { serde_json::to_vec(&x); }
Wire | src/engine.rs | schemars::JsonSchema | use schemars::JsonSchema;
Wire | src/engine.rs | hyper | use hyper;
Clock | src/ledger/sequencer.rs | std::time::SystemTime::now | fn f() { std::time::SystemTime::now(); }
Clock | src/cli/demo.rs | SystemTime::now | fn f() { SystemTime::now(); }
Clock | src/channel/http/mod.rs | std::time::SystemTime as | use std::time::SystemTime as Moment;
Clock | src/channel/http/mod.rs | UNIX_EPOCH.elapsed | fn f() { UNIX_EPOCH.elapsed(); }
Clock | src/channel/sms.rs | chrono::Utc::now | fn f() { chrono::Utc::now(); }
Clock | src/main.rs | std::time::SystemTime::now | fn main() { std::time::SystemTime::now(); }
"#;

#[test]
fn a_planted_violation_of_each_rule_is_reported() {
    let mut seen = BTreeSet::new();
    for [rule, file, named, text] in rows(PLANTED) {
        let rule = RULES.into_iter().find(|known| format!("{known:?}") == rule);
        let rule = rule.unwrap_or_else(|| panic!("{file}: no such rule"));
        // The named thing stands on the last line; a file without a floor is one as a whole.
        let line = if text.is_empty() { 1 } else { text.lines().count() };
        let found = faults(&[(file.clone(), text.clone())]);
        assert_eq!(found, [Fault { file, line, rule, named }], "{text}");
        seen.insert(rule);
    }
    assert_eq!(seen, BTreeSet::from(RULES), "a rule without a planted violation");
}

/// File and code.
const ALLOWED: &str = r##"
src/lib.rs | pub mod domain; pub mod cli; pub use engine::Engine;
src/main.rs | fn main() { println!("{}", fapiao::cli::run()); }
src/manual/mod.rs | use crate::engine::Engine; use serde::Serialize;
src/limits.rs | pub(crate) const A: u8 = 1; pub(super) fn f() {} pub(in crate::limits) fn g() {}
src/metrics.rs | use crate::limits::*; use std::sync::atomic::AtomicU64;
src/domain/time.rs | use std::time::Duration; use super::money::Fen; use self::x::Y;
src/domain/time.rs | #[cfg(test)]\nmod tests { use std::fs; use crate::engine::E; }\nuse crate::limits;
src/domain/time.rs | #[cfg(test)] use std::{fs, env}; #[cfg(all(test, unix))] fn f<A, B>() { rand::x() }
src/domain/time.rs | struct S { #[cfg(test)] clock: std::time::Instant, day: u8 }
src/domain/time.rs | // use std::fs;\n/* crate::engine /* rand::x */ log::y */ /// [crate::engine::Engine]
src/domain/time.rs | //! tracing::info\n#![doc = "std::fs::read"]
src/domain/time.rs | const A: &str = r#"use std::fs; "crate::cli" "#; const B: &[u8] = b"\"log::x";
src/domain/time.rs | fn f<'a>(log: &'a str, rand: u8) -> char { let _ = log; '"' }
src/domain/time.rs | fn f(p: &std::path::Path) -> std::io::Error { debug_assert!(true); env!("X") }
src/codec/proof.rs | use crate::{crypto::hash, domain::{self, Fen}, limits};
src/codec/mod.rs | mod a { mod b { use super::super::super::domain; } }
src/ledger/value.rs | use bincode::{Decode, Encode}; use rocksdb::DB;
src/ledger/store.rs | use std::{fs, time::Instant}; fn f() { Instant::now(); tracing::info!("x"); }
src/issue.rs | use crate::{verify::check, guard, ledger::Ledger};
src/verify/check.rs | use crate::{ledger::Entry, crypto::sign, verify::verdict};
src/verify/bulk.rs | use std::fs;
src/engine/clock.rs | use std::time::{SystemTime as Moment, UNIX_EPOCH}; fn f() { SystemTime::now(); }
src/channel/json.rs | use serde::Serialize; use crate::engine::Engine; fn f(t: SystemTime) {}
src/cli/mod.rs | use crate::*; use serde_json::Value;
"##;

#[test]
fn what_is_allowed_is_not_reported() {
    for [file, text] in rows(ALLOWED) {
        assert_eq!(faults(&[(file, text.clone())]), [], "{text}");
    }
}

/// A module declared under `#[cfg(test)]` lies in a file of its own, which is then a test too.
#[test]
fn a_file_declared_for_tests_is_exempt() {
    for (parent, child) in [
        ("src/domain/mod.rs", "src/domain/tests.rs"),
        ("src/domain/money.rs", "src/domain/money/tests.rs"),
        ("src/domain/mod.rs", "src/domain/tests/mod.rs"),
        ("src/domain/mod.rs", "src/domain/tests/money.rs"),
    ] {
        let declared = (parent.to_owned(), "#[cfg(test)]\nmod tests;".to_owned());
        let test = (child.to_owned(), "use crate::engine::Engine;".to_owned());
        assert_eq!(faults(&[declared, test]), [], "{parent} declares {child}");
    }
}

/// All that is wrong with these files, given as path and text.
fn faults(files: &[(String, String)]) -> Vec<Fault> {
    let production: Vec<_> = files.iter().map(|(file, text)| (file, production(&tokens(text)))).collect();
    let test_modules: BTreeSet<Vec<String>> = production
        .iter()
        .flat_map(|(file, (_, tests))| {
            tests.iter().map(|name| {
                let mut module = module_of(file);
                module.push(name.clone());
                module
            })
        })
        .collect();
    let mut faults = Vec::new();
    for (file, (code, _)) in &production {
        let module = module_of(file);
        if !test_modules.iter().any(|tests| module.starts_with(tests)) {
            check_file(file, &module, code, &mut faults);
        }
    }
    faults
}

fn check_file(file: &str, module: &[String], code: &[Token], faults: &mut Vec<Fault>) {
    let top = module.first().map(String::as_str);
    // Documentation: it names everything and runs nothing.
    if top == Some("manual") {
        return;
    }
    let mut report = |line: usize, rule: Rule, named: &str| {
        faults.push(Fault { file: file.to_owned(), line, rule, named: named.to_owned() });
    };
    // `lib.rs` lists the modules and `main.rs` starts the program: both are at the top.
    let Some(floor) = top.map_or(Some(CLI), floor_of) else {
        return report(1, Rule::NoFloor, top.unwrap_or_default());
    };
    let begins = |other: &[&str]| module.len() >= other.len() && module.iter().zip(other).all(|(a, b)| a == b);
    let pure = floor < LEDGER || PURE.iter().any(|other| begins(other));

    for name in names(code) {
        let mut segments: Vec<&str> = name.segments.iter().map(String::as_str).collect();
        let written = segments.join("::") + if name.called_as_macro { "!" } else { "" };
        let line = name.line;

        if let Some(inside) = inside_crate(&segments, module, &name.inline) {
            let inside: Vec<&str> = inside.iter().map(String::as_str).filter(|s| !["self", "*"].contains(s)).collect();
            match inside.first() {
                _ if floor == CLI => {}
                None => report(line, Rule::WholeCrate, &written),
                Some(top) => match floor_of(top) {
                    None => report(line, Rule::NoFloor, &inside.join("::")),
                    Some(named) if named > floor => {
                        report(line, Rule::Upward, &inside.join("::"));
                    }
                    Some(_) => {}
                },
            }
            continue;
        }

        segments.retain(|segment| *segment != "self");
        // A lone word is a crate only where it is brought in; elsewhere it is somebody's variable.
        let is_path = segments.len() > 1 || name.brought_in;
        let first = segments.first().copied().filter(|_| is_path).unwrap_or_default();
        let last = segments.last().copied().unwrap_or_default();
        let next_to_last = segments.iter().rev().nth(1).copied().unwrap_or_default();

        let impure = is_path && IMPURE.iter().any(|start| segments.starts_with(start))
            || segments.iter().any(|segment| IMPURE_NAMES.contains(segment))
            || name.called_as_macro && PRINTS.contains(&last);
        if pure && impure {
            report(line, Rule::Impure, &written);
            continue;
        }
        if floor != LEDGER && ROCKSDB.contains(&first) {
            report(line, Rule::Store, &written);
        }
        if first == "bincode" && !begins(&["ledger", "value"]) {
            report(line, Rule::Bincode, &written);
        }
        if floor < CHANNEL && WIRE.contains(&first) {
            report(line, Rule::Wire, &written);
        }
        if top != Some("engine") {
            if CLOCKS.contains(&next_to_last) && last.starts_with("now") {
                report(line, Rule::Clock, &written);
            }
            if CLOCKS.contains(&last) && name.renamed {
                report(line, Rule::Clock, &(written + " as"));
            } else if last == "UNIX_EPOCH" && name.method == "elapsed" {
                report(line, Rule::Clock, &(written + ".elapsed"));
            }
        }
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// `src/ledger/apply.rs` is `ledger::apply`; the crate's root has no segments.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

/// Where in this crate a path leads, or `None` if it leads elsewhere.
fn inside_crate(path: &[&str], module: &[String], inline: &[String]) -> Option<Vec<String>> {
    let mut at: Vec<String> = module.iter().chain(inline).cloned().collect();
    let mut rest = path;
    match rest {
        ["crate" | "fapiao", tail @ ..] => {
            at.clear();
            rest = tail;
        }
        ["self", tail @ ..] if !tail.is_empty() => rest = tail,
        ["super", ..] => {
            while let ["super", tail @ ..] = rest {
                at.pop();
                rest = tail;
            }
        }
        _ => return None,
    }
    at.extend(rest.iter().map(|segment| (*segment).to_owned()));
    Some(at)
}

/// A path as the code writes it, `use` trees unfolded.
struct Name {
    segments: Vec<String>,
    line: usize,
    /// The modules of this file around it, outermost first.
    inline: Vec<String>,
    /// In a `use` or an `extern crate`.
    brought_in: bool,
    renamed: bool,
    called_as_macro: bool,
    /// What is called on it: `elapsed` in `UNIX_EPOCH.elapsed()`.
    method: String,
}

fn names(code: &[Token]) -> Vec<Name> {
    let mut names = Vec::new();
    let mut modules: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < code.len() {
        let known = names.len();
        match word(code, at) {
            "{" => {
                depth += 1;
                at += 1;
            }
            "}" => {
                depth = usize::saturating_sub(depth, 1);
                modules.retain(|(_, opened)| *opened <= depth);
                at += 1;
            }
            "mod" if word(code, at + 2) == "{" => {
                modules.push((word(code, at + 1).to_owned(), depth + 1));
                at += 2;
            }
            // A visibility names no one: `pub(crate)`, `pub(super)`.
            "pub" if word(code, at + 1) == "(" && word(code, at + 3) == ")" => at += 4,
            "use" => {
                at += 1;
                unfold(code, &mut at, &[], true, &mut names);
            }
            "extern" if word(code, at + 1) == "crate" => {
                at += 2;
                unfold(code, &mut at, &[], true, &mut names);
            }
            other if starts_path(other) => unfold(code, &mut at, &[], false, &mut names),
            _ => at += 1,
        }
        for name in names.iter_mut().skip(known) {
            name.inline = modules.iter().map(|(name, _)| name.clone()).collect();
        }
    }
    names
}

fn starts_path(word: &str) -> bool {
    word == "::" || word.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Reads one path, or one tree of them, that starts at `at`; leaves `at` behind it.
fn unfold(code: &[Token], at: &mut usize, before: &[String], brought_in: bool, names: &mut Vec<Name>) {
    let line = code.get(*at).map_or(0, |token| token.line);
    let mut segments = before.to_vec();
    if word(code, *at) == "::" {
        *at += 1;
    }
    loop {
        match word(code, *at) {
            "{" => {
                *at += 1;
                while !["}", ""].contains(&word(code, *at)) {
                    match word(code, *at) {
                        "as" => *at += 2,
                        "*" => unfold(code, at, &segments, brought_in, names),
                        other if starts_path(other) => {
                            unfold(code, at, &segments, brought_in, names);
                        }
                        _ => *at += 1,
                    }
                }
                *at += 1;
                return;
            }
            other => segments.push(other.to_owned()),
        }
        *at += 1;
        let next = word(code, *at + 1);
        if word(code, *at) != "::" || !(starts_path(next) || ["{", "*"].contains(&next)) {
            break;
        }
        *at += 1;
    }
    names.push(Name {
        segments,
        line,
        inline: Vec::new(),
        brought_in,
        renamed: brought_in && word(code, *at) == "as",
        called_as_macro: word(code, *at) == "!" && word(code, *at + 1) != "=",
        method: if word(code, *at) == "." { word(code, *at + 1).to_owned() } else { String::new() },
    });
}

/// What is compiled outside tests, and the names of the modules that are declared for tests only.
fn production(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let mut code = Vec::new();
    let mut test_modules = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let attribute: Vec<&str> = (at..at + 6).map(|i| word(tokens, i)).collect();
        let for_tests = match attribute[..] {
            ["#", "[", "cfg", "(", "test", ")"] => true,
            ["#", "[", "cfg", "(", "all", "("] => word(tokens, at + 6) == "test",
            _ => false,
        };
        if !for_tests {
            code.push(token.clone());
            at += 1;
            continue;
        }
        while word(tokens, at) == "#" {
            at = after_group(tokens, at + 1);
        }
        let item = after_visibility(tokens, at);
        if word(tokens, item) == "mod" && word(tokens, item + 2) == ";" {
            test_modules.push(word(tokens, item + 1).to_owned());
        }
        at = after_item(tokens, item);
    }
    (code, test_modules)
}

fn after_visibility(tokens: &[Token], at: usize) -> usize {
    match (word(tokens, at), word(tokens, at + 1)) {
        ("pub", "(") => after_group(tokens, at + 1),
        ("pub", _) => at + 1,
        _ => at,
    }
}

/// Behind the item, field, variant or arm that starts at `at`.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    let is_item =
        ["async", "const", "enum", "extern", "fn", "impl", "let", "macro_rules", "mod", "static", "struct", "trait", "type", "unsafe", "use"]
            .contains(&word(tokens, at));
    loop {
        match word(tokens, at) {
            "" | "}" | ")" | "]" => return at,
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "{" => return after_group(tokens, at),
            "(" | "[" => at = after_group(tokens, at),
            _ => at += 1,
        }
    }
}

/// Behind the bracket that closes the one at `at`.
fn after_group(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < tokens.len() {
        match word(tokens, at) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

#[derive(Clone)]
struct Token {
    word: String,
    line: usize,
}

/// The token at `at`, or nothing behind the end.
fn word(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.word.as_str())
}

/// Words, `::`, and every other sign by itself.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (index, line) in code_of(text).lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let in_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match rest.find(|c| !in_word(c)) {
                Some(0) if rest.starts_with("::") => 2,
                Some(0) => rest.chars().next().map_or(1, char::len_utf8),
                Some(length) => length,
                None => rest.len(),
            };
            let (word, behind) = rest.split_at(length);
            tokens.push(Token { word: word.to_owned(), line: index + 1 });
            rest = behind.trim_start();
        }
    }
    tokens
}
