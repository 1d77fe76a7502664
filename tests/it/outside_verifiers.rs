//! Verifiers that others wrote, on a live server: each accepts the log as it is, and rejects it with any one thing altered on the way.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, HEXLOWER};
use fapiao::crypto::cosignature::CosigningKey;
use fapiao::crypto::keyfile;
use fapiao::crypto::merkle::Hash;
use fapiao::crypto::note::{Checkpoint, Note, NoteSignature, Origin, verifier_key};
use fapiao::crypto::sign::SigningKey;
use serde_json::{Value, json};

use crate::house::root;
use crate::support::PASSPHRASE;
use crate::support::http::Client;
use crate::support::of_file;
use crate::support::server::{Running, Server};
use crate::witness::{Watcher, wait_for, watched};

/// What becomes of a reply's body on its way, by its path.
type Alter = Box<dyn Fn(&str, Vec<u8>) -> Vec<u8> + Send>;

/// Stands between a verifier and the server.
struct Proxy {
    address: SocketAddr,
    alter: Arc<Mutex<Alter>>,
}

impl Proxy {
    fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let alter: Arc<Mutex<Alter>> = Arc::new(Mutex::new(Box::new(|_, body| body)));
        let altering = Arc::clone(&alter);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                pass(stream.expect("a connection"), server, &altering);
            }
        });
        Proxy { address, alter }
    }

    fn alter(&self, alter: Alter) {
        *self.alter.lock().expect("no panic") = alter;
    }
}

/// One request, and its reply; a verifier that has seen enough may be gone by then.
fn pass(stream: TcpStream, server: SocketAddr, alter: &Mutex<Alter>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).expect("a request");
    let Some(path) = first.split(' ').nth(1) else { return };
    let mut line = String::new();
    while reader.read_line(&mut line).expect("a head") > 2 {
        line.clear();
    }
    let reply = Client::connect(server).ask("GET", path, &[], b"");
    let body = (*alter.lock().expect("no panic"))(path, reply.body);
    let head = format!("HTTP/1.1 {} Passed on\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.status, body.len());
    drop(reader.get_mut().write_all(&[head.as_bytes(), &body].concat()));
}

/// A log of two tiles that a witness cosigns, and a checkpoint of it that was kept, with what a liar has to know.
struct Log {
    server: Server,
    witness: String,
    watcher: Watcher,
    _witness: Running,
    proxy: Proxy,
    kept: String,
    newest: Checkpoint,
    key: SigningKey,
}

impl Log {
    fn new() -> Log {
        let watcher = Watcher::new("w1");
        let (server, witness) = watched(&watcher);
        let cosigned = || {
            wait_for("all is cosigned", || {
                let size = server.running.figure("fapiao_ledger_size");
                (server.running.figure("fapiao_cosigned_size") == size).then(|| server.ask_as("", "GET", "/checkpoint", b"").text().to_owned())
            })
        };
        server.issue(1..41);
        let kept = cosigned();
        server.issue(41..291);
        let newest = checkpoint(&cosigned());
        assert!(newest.size > 256);
        let proxy = Proxy::before(server.running.address);
        let key = of_file(&server.site.keyring().checkpoint().key);
        Log { server, witness: watcher.cosigner.encode(), watcher, _witness: witness, proxy, kept, newest, key }
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.address)
    }

    /// The newest checkpoint with this changed, signed as it should be.
    /// The witness has no part in it.
    fn signed(&self, change: impl FnOnce(&mut Checkpoint)) -> String {
        let mut checkpoint = self.newest.clone();
        change(&mut checkpoint);
        checkpoint.sign(&self.key).encode()
    }

    /// The newest checkpoint with this line of a witness in place of its own.
    fn cosigned_as(&self, line: &NoteSignature) -> String {
        let mut note = Note::parse(&self.signed(|_| ())).expect("a note");
        note.add_line(&line.encode()).expect("room");
        note.encode()
    }
}

fn checkpoint(note: &str) -> Checkpoint {
    Checkpoint::parse(Note::parse(note).expect("a note").text()).expect("a checkpoint")
}

fn other_origin() -> Origin {
    Origin::parse("fapiao.example/ffffffffffffffff").expect("an origin")
}

/// A reply at paths with this beginning, as a text.
fn text(prefix: &'static str, change: impl Fn(String) -> String + Send + 'static) -> Alter {
    Box::new(move |path, body| if path.starts_with(prefix) { change(String::from_utf8(body).expect("UTF-8")).into() } else { body })
}

/// A byte of a tile.
fn byte(prefix: &'static str, at: usize) -> Alter {
    Box::new(move |path, mut body| {
        if path.starts_with(prefix) {
            body[at] ^= 1;
        }
        body
    })
}

/// A member of a proof.
fn member(prefix: &'static str, pointer: &'static str, change: impl Fn(&Value) -> Value + Send + 'static) -> Alter {
    text(prefix, move |body| {
        let mut proof: Value = serde_json::from_str(&body).expect("JSON");
        let member = proof.pointer_mut(pointer).expect("a member");
        let changed = change(member);
        assert_ne!(*member, changed);
        *member = changed;
        proof.to_string()
    })
}

fn flipped_hex(hex: &Value) -> Value {
    let mut bytes = HEXLOWER.decode(hex.as_str().expect("a text").as_bytes()).expect("hex");
    bytes[3] ^= 1;
    json!(HEXLOWER.encode(&bytes))
}

fn with_last_flipped(hashes: &Value) -> Value {
    let (last, before) = hashes.as_array().and_then(|hashes| hashes.split_last()).expect("hashes");
    json!([before, &[flipped_hex(last)]].concat())
}

/// The note with a bit of this signature flipped, by its place among the bytes of the line from behind.
fn flipped(note: &str, line: usize, from_behind: usize) -> String {
    let mut lines: Vec<String> = note.lines().map(str::to_owned).collect();
    let at = lines.iter().enumerate().filter(|(_, text)| text.starts_with('\u{2014}')).nth(line).expect("a signature line").0;
    let (before, signature) = lines[at].rsplit_once(' ').expect("a signature");
    let mut bytes = BASE64.decode(signature.as_bytes()).expect("base64");
    let place = bytes.len() - from_behind;
    bytes[place] ^= 1;
    lines[at] = format!("{before} {}", BASE64.encode(&bytes));
    lines.join("\n") + "\n"
}

/// The note with a bit of the log's signature flipped.
fn other_signature(note: &str) -> String {
    flipped(note, 0, 1)
}

fn other_root(note: &str) -> String {
    let root = checkpoint(note).root;
    note.replacen(&BASE64.encode(&root), &BASE64.encode(&other(root)), 1)
}

fn other(mut root: Hash) -> Hash {
    root[0] ^= 1;
    root
}

const INCLUSION: &str = "/v1/proofs/inclusion?index=7&";
const CONSISTENCY: &str = "/v1/proofs/consistency?";

/// What both verifiers look at: the checkpoint, and proofs of inclusion. What was altered, and how.
fn alterations(log: &Log) -> Vec<(&'static str, Alter)> {
    let [size, origin] = [log.newest.size.to_string(), log.newest.origin.to_string()];
    let with_size = move |note: String| note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size.parse::<u64>().expect("a size") - 1), 1);
    let in_text = origin.clone();
    let foreign = log.signed(|checkpoint| checkpoint.origin = other_origin());
    let split = log.signed(|checkpoint| checkpoint.root = other(checkpoint.root));
    let shorter = log.signed(|checkpoint| checkpoint.size -= 1);
    let stranger = log.newest.sign(&SigningKey::from_seed(&[9; 32])).encode();
    let moved = shorter.clone();
    let text_of = log.newest.text();
    let impostor = CosigningKey::new(log.watcher.cosigner.name(), SigningKey::from_seed(&[8; 32])).expect("a key");
    let (now, alone) = (fapiao::engine::now().0 / 1_000, log.signed(|_| ()));
    let by_impostor = log.cosigned_as(&impostor.cosign(&text_of, now));
    let mut claimed = impostor.cosign(&text_of, now);
    claimed.key_hash = Note::parse(&log.kept).expect("a note").signatures()[1].key_hash;
    let by_liar = log.cosigned_as(&claimed);
    let file = fs::read(log.watcher.file("witness/key")).expect("a key file");
    let own = keyfile::open_cosigning(&file, PASSPHRASE).expect("a key");
    let long_ago = log.cosigned_as(&own.cosign(&text_of, now - 2 * 86_400));
    let of_tomorrow = log.cosigned_as(&own.cosign(&text_of, now + 3_600));
    let of_before = log.cosigned_as(&Note::parse(&log.kept).expect("a note").signatures()[1]);
    vec![
        ("the root", text("/checkpoint", |note| other_root(&note))),
        ("the size", text("/checkpoint", with_size)),
        ("the origin in the text", text("/checkpoint", move |note| note.replacen(&in_text, other_origin().as_str(), 1))),
        ("the origin everywhere", text("/checkpoint", move |note| note.replace(&origin, other_origin().as_str()))),
        ("the signature", text("/checkpoint", |note| other_signature(&note))),
        ("signed by a stranger", text("/checkpoint", move |_| stranger.clone())),
        ("signed for another origin", text("/checkpoint", move |_| foreign.clone())),
        ("another root, signed: a second history", text("/checkpoint", move |_| split.clone())),
        ("another size, signed", text("/checkpoint", move |_| shorter.clone())),
        ("the cosignature", text("/checkpoint", |note| flipped(&note, 1, 1))),
        ("the cosignature's time", text("/checkpoint", |note| flipped(&note, 1, 65))),
        ("the cosignature's time by a century", text("/checkpoint", |note| flipped(&note, 1, 69))),
        ("no cosignature", text("/checkpoint", move |_| alone.clone())),
        ("cosigned by somebody of the same name", text("/checkpoint", move |_| by_impostor.clone())),
        ("cosigned by somebody who claims the key", text("/checkpoint", move |_| by_liar.clone())),
        ("cosigned two days ago", text("/checkpoint", move |_| long_ago.clone())),
        ("cosigned in an hour", text("/checkpoint", move |_| of_tomorrow.clone())),
        ("the cosignature of an older checkpoint", text("/checkpoint", move |_| of_before.clone())),
        ("the leaf of a proof", member(INCLUSION, "/leaf", flipped_hex)),
        ("the first hash of a proof", member(INCLUSION, "/path/0", flipped_hex)),
        ("the last hash of a proof", member(INCLUSION, "/path", with_last_flipped)),
        (
            "a hash too many in a proof",
            member(INCLUSION, "/path", |path| {
                let path = path.as_array().expect("a list");
                json!([&path[..], &path[..1]].concat())
            }),
        ),
        ("the index of a proof", member(INCLUSION, "/index", |_| json!(8))),
        ("the signature in a proof", member(INCLUSION, "/checkpoint", |note| json!(other_signature(note.as_str().expect("a note"))))),
        ("the root in a proof", member(INCLUSION, "/checkpoint", |note| json!(other_root(note.as_str().expect("a note"))))),
        ("the size in a proof, signed", member(INCLUSION, "/checkpoint", move |_| json!(moved))),
    ]
}

/// Lets a verifier look at the log as it is, and with each alteration.
fn judge(log: &Log, alterations: Vec<(&'static str, Alter)>, mut verifier: impl FnMut() -> Output) {
    let accepted = format!("all {} leaves hold\n", log.newest.size);
    let told = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let output = verifier();
    assert_eq!((output.status.code(), told(&output)), (Some(0), accepted.clone()));
    for (what, alter) in alterations {
        log.proxy.alter(alter);
        let output = verifier();
        assert_eq!(output.status.code(), Some(1), "{what}: {}", told(&output));
        assert!(!told(&output).contains("Traceback") && !told(&output).contains("panic"), "{what}: {}", told(&output));
    }
    log.proxy.alter(Box::new(|_, body| body));
    assert_eq!(told(&verifier()), accepted);
}

/// A tool of the tests: named by the variable, or what `.ci/tools` has.
fn tool(variable: &str, name: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let found = Command::new(root().join(".ci/tools")).arg(name).output().expect("bash runs");
        assert!(found.status.success(), ".ci/tools {name} installs what {variable} names: {}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).expect("a path").trim().to_owned()
    })
}

/// Go's own copy of golang.org/x/mod is in its distribution: nothing is fetched, and nothing of it lies in this repository.
fn go_follower(scratch: &Path) -> PathBuf {
    let go = tool("FAPIAO_GO", "go");
    let run = |arguments: &[&str]| {
        let offline = [("GOPROXY", "off"), ("GOFLAGS", ""), ("GOWORK", "off"), ("GOTOOLCHAIN", "local"), ("GOENV", "off"), ("CGO_ENABLED", "0")];
        let output = Command::new(&go).args(arguments).envs(offline).current_dir(scratch).output();
        let output = output.unwrap_or_else(|error| panic!("{go}: {error}; FAPIAO_GO names it, and .ci/tools go installs it"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    let theirs = Path::new(&run(&["env", "GOROOT"])).join("src/cmd/vendor/golang.org/x/mod/sumdb");
    for package in ["note", "tlog"] {
        crate::support::copy_tree(&theirs.join(package), &scratch.join("mod/sumdb").join(package));
    }
    fs::write(scratch.join("mod/go.mod"), "module golang.org/x/mod\n\ngo 1.23\n").expect("written");
    let module = "module follow\n\ngo 1.23\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ./mod\n";
    fs::write(scratch.join("go.mod"), module).expect("written");
    fs::copy(root().join("tests/follow.go"), scratch.join("follow.go")).expect("copied");
    run(&["build", "-o", "follow", "."]);
    scratch.join("follow")
}

#[test]
fn go_accepts_the_log_and_nothing_else() {
    let log = Log::new();
    let scratch = tempfile::tempdir().expect("a directory");
    let follower = go_follower(scratch.path());
    let key = verifier_key(log.newest.origin.as_str(), &log.key.public());
    let kept = scratch.path().join("kept");
    let follow = || Command::new(&follower).args([&log.url(), &key, &log.witness]).arg(&kept).output().expect("run");

    let mut all = alterations(&log);
    let older = log.kept.clone();
    all.extend([
        ("a leaf", byte("/tile/entries/000", 50)),
        ("the length of a leaf", byte("/tile/entries/000", 1)),
        ("a leaf of the last bundle", byte("/tile/entries/001.p/", 50)),
        ("the hash of a leaf", byte("/tile/0/000", 0)),
        ("the hash of one of the last leaves", byte("/tile/0/001.p/", 40)),
        ("the root of a tile", byte("/tile/1/000.p/1", 31)),
        ("the first hash of a proof of consistency", member(CONSISTENCY, "/hashes/0", flipped_hex)),
        ("the last hash of a proof of consistency", member(CONSISTENCY, "/hashes", with_last_flipped)),
        ("the older size of a proof of consistency", member(CONSISTENCY, "/from", |from| json!(from.as_u64().expect("a size") - 1))),
        ("the newer size of a proof of consistency", member(CONSISTENCY, "/to", |to| json!(to.as_u64().expect("a size") - 1))),
        ("the older note of a proof of consistency", member(CONSISTENCY, "/older", |note| json!(other_root(note.as_str().expect("a note"))))),
        ("the newer note of a proof of consistency", member(CONSISTENCY, "/newer", move |_| json!(older))),
    ]);
    fs::write(&kept, &log.kept).expect("written");
    judge(&log, all, follow);

    // What was kept is of another history, and signed: this is how a rewritten log is found out.
    let mut rewritten = checkpoint(&log.kept);
    rewritten.root = other(rewritten.root);
    for note in [other_root(&log.kept), other_signature(&log.kept), rewritten.sign(&log.key).encode()] {
        fs::write(&kept, note).expect("written");
        let output = follow();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.starts_with("consistency: "), "{said}");
    }
}

#[test]
fn sigstore_accepts_the_log_and_nothing_else() {
    let log = Log::new();
    let python = tool("FAPIAO_SIGSTORE", "sigstore");
    let public = HEXLOWER.encode(&log.key.public());
    let follow = || {
        let mut command = Command::new(&python);
        command.arg(root().join("tests/follow.py")).args([log.url().as_str(), log.newest.origin.as_str(), &public, &log.witness]);
        command.output().unwrap_or_else(|error| panic!("{python}: {error}; FAPIAO_SIGSTORE names it, and .ci/tools sigstore installs it"))
    };
    judge(&log, alterations(&log), follow);
    assert!(log.server.running.figure("fapiao_http_requests_total{endpoint=\"inclusion\",status=\"200\"}") > log.newest.size);
}
