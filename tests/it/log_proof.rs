//! Proofs about the log as strangers check them: any leaf in any published checkpoint, any checkpoint continuing any earlier one, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use fapiao::channel::log_proof::{Continued, Included, LogProofFault, verify_consistency, verify_inclusion};
use fapiao::channel::{keys, proof};
use fapiao::codec::proof::{ConsistencyProof, LogProof};
use fapiao::crypto::keyring::{KeyRecord, PublicKeys, Role};
use fapiao::crypto::merkle;
use fapiao::crypto::note::{Checkpoint, Host, Note, Origin};
use fapiao::crypto::sign::SigningKey;
use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::Engine;
use serde_json::{Value, json};

use crate::support::{Site, allot_all, face, generated, id, import, logged, program, range, submit, typed};

/// A ledger of some forty leaves, most of them with a checkpoint of their own.
fn grown(site: &Site) -> Engine {
    let engine = site.create();
    allot_all(&engine);
    for number in 1..=15 {
        logged(submit(&engine, &generated(Kind::Electronic, u64::from(number), number)));
        let mark = if number % 2 == 1 { Mark::Lost } else { Mark::Lifted };
        logged(engine.allotment_status(range(Kind::Roll, 1, 1 + number / 2), mark));
    }
    engine
}

fn sizes(engine: &Engine) -> Vec<u64> {
    engine.ledger().checkpoints().map(|row| row.expect("readable").0).collect()
}

fn note(engine: &Engine, size: u64) -> String {
    engine.ledger().checkpoint_at(size).expect("readable").expect("published")
}

fn inclusion(engine: &Engine, index: u64, size: u64) -> LogProof {
    let leaf = engine.ledger().leaf(index).expect("readable").expect("published").encode();
    let hashes = engine.ledger().inclusion(index, size).expect("a path");
    LogProof { extra: Some(leaf.to_vec()), index, hashes, checkpoint: note(engine, size) }
}

fn consistency(engine: &Engine, from: u64, to: u64) -> ConsistencyProof {
    let hashes = engine.ledger().consistency(from, to).expect("a proof");
    ConsistencyProof { from, to, hashes, older: note(engine, from), newer: note(engine, to) }
}

#[test]
fn any_leaf_in_any_checkpoint_and_any_two_checkpoints() {
    let site = Site::new();
    let engine = grown(&site);
    let keys = &engine.ledger().keys();
    let sizes = sizes(&engine);
    assert!(sizes.len() > 30 && sizes[0] == 0, "{sizes:?}");
    for to in &sizes {
        for index in 0..*to {
            let proof = inclusion(&engine, index, *to);
            let Included { checkpoint, index: at, leaf } = verify_inclusion(&proof.encode(), None, keys).expect("it holds");
            assert_eq!((checkpoint.size, at, Some(leaf.encode().to_vec())), (*to, index, proof.extra));
        }
        for from in sizes.iter().filter(|from| *from <= to) {
            let Continued { older, newer } = verify_consistency(&consistency(&engine, *from, *to).encode(), keys).expect("it holds");
            assert_eq!((older.size, newer.size, older.origin), (*from, *to, newer.origin));
        }
    }
}

fn checkpoint(note: &str) -> Checkpoint {
    Checkpoint::parse(Note::parse(note).expect("a note").text()).expect("a checkpoint")
}

/// The same note under another root.
fn with_root(note: &str, root: [u8; 32]) -> String {
    let base64 = |root: &[u8; 32]| data_encoding::BASE64.encode(root);
    note.replacen(&base64(&checkpoint(note).root), &base64(&root), 1)
}

/// The same note with another signature.
fn with_signature(note: &str) -> String {
    let (text, line) = note.trim_end().rsplit_once(' ').expect("a signature line");
    let mut bytes = data_encoding::BASE64.decode(line.as_bytes()).expect("base64");
    *bytes.last_mut().expect("a signature") ^= 1;
    format!("{text} {}\n", data_encoding::BASE64.encode(&bytes))
}

#[test]
fn a_tampered_proof_of_inclusion_does_not_hold() {
    let site = Site::new();
    let engine = grown(&site);
    let newest = engine.ledger().published().size;
    let (size, other_size) = (newest - 3, newest);
    let good = inclusion(&engine, 9, size);
    let other_leaf = inclusion(&engine, 10, size).extra.expect("a leaf");
    let keyring = site.keyring();
    let signed = checkpoint(&good.checkpoint);

    let path = LogProofFault::NotIncluded { index: 9, size };
    let unsigned = LogProofFault::NotSigned { origin: signed.origin.clone(), size };
    let mut flipped = good.hashes.clone();
    flipped[1][0] ^= 1;
    let mut swapped = good.hashes.clone();
    swapped.swap(0, 1);
    for (what, proof, fault) in [
        ("index", LogProof { index: 8, ..good.clone() }, LogProofFault::NotIncluded { index: 8, size }),
        ("index beyond", LogProof { index: size, ..good.clone() }, LogProofFault::NotIncluded { index: size, size }),
        ("size", LogProof { checkpoint: note(&engine, other_size), ..good.clone() }, LogProofFault::NotIncluded { index: 9, size: other_size }),
        ("hash flipped", LogProof { hashes: flipped, ..good.clone() }, path.clone()),
        ("hash dropped", LogProof { hashes: good.hashes[1..].to_vec(), ..good.clone() }, path.clone()),
        ("last hash dropped", LogProof { hashes: good.hashes[..good.hashes.len() - 1].to_vec(), ..good.clone() }, path.clone()),
        ("hash added", LogProof { hashes: [&good.hashes[..], &[[0; 32]]].concat(), ..good.clone() }, path.clone()),
        ("hashes swapped", LogProof { hashes: swapped, ..good.clone() }, path.clone()),
        ("leaf", LogProof { extra: Some(other_leaf.clone()), ..good.clone() }, path.clone()),
        ("no leaf", LogProof { extra: None, ..good.clone() }, LogProofFault::NoLeaf),
        ("leaf cut", LogProof { extra: Some(other_leaf[1..].to_vec()), ..good.clone() }, LogProofFault::Leaf),
        ("note root", LogProof { checkpoint: with_root(&good.checkpoint, [1; 32]), ..good.clone() }, unsigned.clone()),
        ("note signature", LogProof { checkpoint: with_signature(&good.checkpoint), ..good.clone() }, unsigned.clone()),
        (
            "key of another role",
            LogProof { checkpoint: signed.sign_by(&keyring.answering().key).expect("signed").encode(), ..good.clone() },
            unsigned,
        ),
    ] {
        assert_eq!(verify_inclusion(&proof.encode(), None, &engine.ledger().keys()), Err(fault), "{what}");
    }
    // The leaf that is asked for counts, not the one that the proof brings.
    let keys = &engine.ledger().keys();
    assert_eq!(verify_inclusion(&good.encode(), Some(&other_leaf), keys), Err(path));
    let bare = LogProof { extra: None, ..good.clone() };
    assert!(verify_inclusion(&bare.encode(), good.extra.as_deref(), keys).is_ok());
}

#[test]
fn a_tampered_proof_of_consistency_does_not_hold() {
    let site = Site::new();
    let engine = grown(&site);
    let to = engine.ledger().published().size;
    let from = to - 10;
    let good = consistency(&engine, from, to);
    let origin = engine.ledger().origin().clone();

    let broken = LogProofFault::NotContinued { from, to };
    let unsigned = |size| LogProofFault::NotSigned { origin: origin.clone(), size };
    let mut flipped = good.hashes.clone();
    flipped[1][31] ^= 0x80;
    for (what, proof, fault) in [
        ("from", ConsistencyProof { from: from - 1, ..good.clone() }, LogProofFault::OtherSize { stated: from - 1, signed: from }),
        ("to", ConsistencyProof { to: to + 1, ..good.clone() }, LogProofFault::OtherSize { stated: to + 1, signed: to }),
        (
            "other older checkpoint",
            ConsistencyProof { from: from - 1, older: note(&engine, from - 1), ..good.clone() },
            LogProofFault::NotContinued { from: from - 1, to },
        ),
        (
            "other newer checkpoint",
            ConsistencyProof { to: to - 1, newer: note(&engine, to - 1), ..good.clone() },
            LogProofFault::NotContinued { from, to: to - 1 },
        ),
        ("hash flipped", ConsistencyProof { hashes: flipped, ..good.clone() }, broken.clone()),
        ("hash dropped", ConsistencyProof { hashes: good.hashes[1..].to_vec(), ..good.clone() }, broken.clone()),
        ("last hash dropped", ConsistencyProof { hashes: good.hashes[..good.hashes.len() - 1].to_vec(), ..good.clone() }, broken.clone()),
        ("hash added", ConsistencyProof { hashes: [&good.hashes[..], &[[0; 32]]].concat(), ..good.clone() }, broken),
        (
            "notes swapped",
            ConsistencyProof { older: good.newer.clone(), newer: good.older.clone(), ..good.clone() },
            LogProofFault::OtherSize { stated: from, signed: to },
        ),
        (
            "all swapped",
            ConsistencyProof { from: to, to: from, older: good.newer.clone(), newer: good.older.clone(), ..good.clone() },
            LogProofFault::NotContinued { from: to, to: from },
        ),
        ("older root", ConsistencyProof { older: with_root(&good.older, [1; 32]), ..good.clone() }, unsigned(from)),
        ("newer root", ConsistencyProof { newer: with_root(&good.newer, [1; 32]), ..good.clone() }, unsigned(to)),
        ("older signature", ConsistencyProof { older: with_signature(&good.older), ..good.clone() }, unsigned(from)),
        ("newer signature", ConsistencyProof { newer: with_signature(&good.newer), ..good.clone() }, unsigned(to)),
    ] {
        assert_eq!(verify_consistency(&proof.encode(), &engine.ledger().keys()), Err(fault), "{what}");
    }
}

#[test]
fn the_example_of_the_manual_is_a_proof() {
    let key = SigningKey::from_seed(&[7; 32]);
    let origin = Origin::parse("fp.example.cn/0123456789abcdef").expect("an origin");
    let leaves = [0, 1, 2, 3].map(|byte| merkle::leaf_hash(&[byte; 96]));
    let mut tree = merkle::Tree::new();
    let notes = leaves.map(|leaf| {
        tree.append(leaf);
        Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() }.sign(&key).encode()
    });
    let hashes = merkle::consistency_proof(3, 4, |_, _| Ok::<_, ()>(leaves.as_flattened())).expect("a proof");
    let [_, _, older, newer] = notes;
    let text = ConsistencyProof { from: 3, to: 4, hashes, older, newer }.encode();
    let manual = include_str!("../../src/manual/formats.md");
    assert!(manual.contains(&format!("```text\n{text}```\n")), "{text}");
    let public = data_encoding::HEXLOWER.encode(&key.public());
    assert!(manual.contains(&public), "{public}");

    let mut keys = PublicKeys::new();
    keys.enrol(KeyRecord::new(Role::Checkpoint, key.public(), UnixMillis(0), None).expect("a record"), 0).expect("a sound key");
    assert!(verify_consistency(&text, &keys).is_ok());
}

/// Exit status, and what was said: on standard output, or else on standard error.
fn ran(output: &Output) -> (Option<i32>, String) {
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    (output.status.code(), String::from_utf8(said.clone()).expect("UTF-8"))
}

fn check(file: &Path, keys: Option<&Path>, more: &[&str]) -> (Option<i32>, String) {
    let mut command = program(&["proof", "verify"]);
    command.arg(file).args(more);
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    ran(&command.output().expect("run"))
}

fn written(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.file(name);
    fs::write(&path, text).expect("writable");
    path
}

#[test]
fn the_program_proves_and_checks() {
    let site = Site::new();
    let engine = grown(&site);
    let before = engine.ledger().published().size;
    // Voided before it was brought in: two leaves at once, and no checkpoint between them.
    let mut historic = generated(Kind::Ordinary, 1, 1);
    (historic["check_code"], historic["state"]) = (json!("20930011785541236098"), json!("voided"));
    logged(import(&engine, &historic));
    let newest = engine.ledger().published().size;
    let [inclusion, to_30, to_newest] =
        [inclusion(&engine, 5, 20).encode(), consistency(&engine, 20, 30).encode(), consistency(&engine, 20, newest).encode()];
    let keys = written(&site, "keys.json", &keys::to_json(&engine.ledger().keys()).to_string());
    drop(engine);
    let run = |arguments: &[&str]| ran(&site.program(arguments).output().expect("run"));

    let (out, out_text) = (site.file("proof"), site.file("proof").display().to_string());
    for (arguments, expected) in [
        (&["ledger", "prove", "--index", "5", "--size", "20"][..], inclusion),
        (&["ledger", "prove-consistency", "--from", "20", "--to", "30"], to_30),
        (&["ledger", "prove-consistency", "--from", "20"], to_newest),
    ] {
        assert_eq!(run(arguments), (Some(0), expected.clone()));
        let to_file = [arguments, &["--json", "--out", &out_text]].concat();
        let (status, json) = run(&to_file);
        assert!(status == Some(0) && serde_json::from_str::<Value>(&json).is_ok(), "{json}");
        assert_eq!(fs::read_to_string(&out).expect("written"), expected);
        // A proof that is there is not written over, and needs keys to be checked.
        assert_ne!(run(&to_file).0, Some(0));
        assert_eq!(check(&out, None, &[]).0, Some(2));
        assert_eq!(check(&out, Some(&keys), &[]).0, Some(0));
        let (status, said) = check(&written(&site, "tampered", &expected.replacen("\n20\n", "\n21\n", 1)), Some(&keys), &["--json"]);
        assert_eq!((status, &serde_json::from_str::<Value>(&said).expect("JSON")["holds"]), (Some(1), &json!(false)));
        assert_eq!(check(&written(&site, "cut", &expected[..expected.len() - 1]), Some(&keys), &[]).0, Some(2));
        assert_eq!(check(&written(&site, "next", &expected.replacen("@v1", "@v2", 1)), Some(&keys), &[]).0, Some(2));
        fs::remove_file(&out).expect("removed");
    }

    let between = (before + 1).to_string();
    for (arguments, expected) in [
        (
            &["ledger", "prove", "--index", "0", "--size", &between][..],
            format!("--size: {between} is not a published size; the nearest below is {before}, above {newest}"),
        ),
        (
            &["ledger", "prove", "--index", "5", "--size", "5"],
            "--size: leaf 5 is not among the first 5; the first published size with it is 6".to_owned(),
        ),
        (&["ledger", "prove", "--index", "9999"], format!("the log has {newest} leaves")),
        (
            &["ledger", "prove-consistency", "--from", "3", "--to", "9999"],
            format!("--to: 9999 is not a published size; the nearest below is {newest}, above none"),
        ),
        (&["ledger", "prove-consistency", "--from", "30", "--to", "20"], "--from 30 is larger than --to 20".to_owned()),
    ] {
        assert_eq!(run(arguments), (Some(2), format!("fapiao: {expected}\n")));
    }
}

#[test]
fn the_program_checks_the_leaf_that_is_asked_for() {
    let site = Site::new();
    let engine = grown(&site);
    let keys = written(&site, "keys.json", &keys::to_json(&engine.ledger().keys()).to_string());
    let good = inclusion(&engine, 9, 30);
    let hex = |index| data_encoding::HEXLOWER.encode(&inclusion(&engine, index, 30).extra.expect("a leaf"));
    let file = written(&site, "proof", &LogProof { extra: None, ..good }.encode());
    for (leaf, status) in [(hex(9), 0), (hex(9).to_uppercase(), 0), (hex(10), 1), (hex(9)[2..].to_owned(), 2), ("leaf".to_owned(), 2)] {
        assert_eq!(check(&file, Some(&keys), &["--leaf", &leaf]).0, Some(status), "{leaf}");
    }
    assert_eq!(check(&file, Some(&keys), &[]).0, Some(2));
    let other = written(&site, "consistency", &consistency(&engine, 20, 30).encode());
    assert_eq!(check(&other, Some(&keys), &["--leaf", &hex(9)]).0, Some(2));
}

#[test]
fn a_reopened_log_continues_another_origin_and_both_are_named() {
    let site = Site::new();
    let engine = grown(&site);
    let keys = written(&site, "keys.json", &keys::to_json(&engine.ledger().keys()).to_string());
    let good = consistency(&engine, 20, 30);
    let reopened = Origin::new(&Host::parse("fapiao.example").expect("a host"), [9; 8]);
    let newer =
        Checkpoint { origin: reopened.clone(), ..checkpoint(&good.newer) }.sign_by(&site.keyring().checkpoint().key).expect("signed").encode();
    let file = written(&site, "proof", &ConsistencyProof { newer, ..good }.encode());
    let (status, said) = check(&file, Some(&keys), &[]);
    let named = format!("the origins differ: {reopened} continues {}", engine.ledger().origin());
    assert!(status == Some(0) && said.contains(&named), "{said}");
    let (_, said) = check(&file, Some(&keys), &["--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said["reopened"], &said["from"]["origin"], &said["to"]["origin"]),
        (&json!(true), &json!(engine.ledger().origin().as_str()), &json!(reopened.as_str()))
    );
}

#[test]
fn kept_answers_are_still_checked() {
    let site = Site::new();
    let engine = grown(&site);
    let keys = written(&site, "keys.json", &keys::to_json(&engine.ledger().keys()).to_string());
    let question = typed(&face(&engine, id(Kind::Electronic, 1))).question();
    let answer = engine.verify(&question).expect("an answer");
    let mut kept = proof::to_json(&engine.sign_answer(&question, &answer).expect("signed"), &engine.ledger().keys());
    let file = written(&site, "answer.json", &format!("{kept:#}\n"));
    assert_eq!(check(&file, None, &[]).0, Some(0));
    assert_eq!(check(&file, Some(&keys), &[]).0, Some(0));
    kept["inclusion"]["index"] = json!(1);
    assert_eq!(check(&written(&site, "tampered.json", &kept.to_string()), Some(&keys), &[]).0, Some(1));
    for (name, text) in [("none.json", "{}"), ("noise", "noise"), ("empty", "")] {
        assert_eq!(check(&written(&site, name, text), Some(&keys), &[]).0, Some(2), "{name}");
    }
}
