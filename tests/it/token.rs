//! Signing keys in a token (SoftHSM): what they sign holds like anything else, and a token that is away, broken or not to be opened stops signing and
//! nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use fapiao::channel::{keys, proof, receipt};
use fapiao::codec::event::Role;
use fapiao::crypto::hash;
use fapiao::crypto::keyfile::{self, KdfCost};
use fapiao::crypto::keyring::{KeyId, Keyring, SecretKey};
use fapiao::crypto::note::{Checkpoint, Origin};
use fapiao::crypto::sign::{Key, PublicKey, SignError, SigningKey, Token, TokenKey};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::engine::{Config, Engine, EngineError, TokenConfig};
use fapiao::ledger::SubmitError;
use fapiao::limits::TOKEN_REST_MS;
use serde_json::{Value, json};

use crate::support::server::{SILENT, Server};
use crate::support::{PASSPHRASE, Site, allotment, logged, plain, program, receipt_is_sound, seller, submit};

const SIGNING: [Role; 3] = [Role::Authority, Role::Answering, Role::Checkpoint];
/// Nothing else looks like it.
pub(crate) const PIN: &str = "7306915284";
pub(crate) const LABEL: &str = "fapiao";

/// SoftHSM's library, where Debian and others have it.
pub(crate) fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
    places.map(PathBuf::from).into_iter().find(|path| path.exists()).expect("softhsm2: run .ci/tools test")
}

/// A token of its own in this directory; returns SoftHSM's configuration.
pub(crate) fn new_token(directory: &Path) -> PathBuf {
    let (tokens, configuration) = (directory.join("tokens"), directory.join("softhsm2.conf"));
    fs::create_dir(&tokens).expect("made");
    fs::write(&configuration, format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display()))
        .expect("written");
    let mut tool = Command::new("softhsm2-util");
    tool.args(["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN]).env("SOFTHSM2_CONF", &configuration);
    let made = tool.output().expect("softhsm2: run .ci/tools test");
    assert!(made.status.success(), "{made:?}");
    configuration
}

/// A place with a token, of which programs know.
fn place() -> Site {
    let mut site = Site::new();
    let pin_file = site.file("pin");
    fs::write(&pin_file, format!("{PIN}\n")).expect("written");
    let configuration = new_token(pin_file.parent().expect("a directory"));
    site.environment = vec![("SOFTHSM2_CONF", configuration)];
    site
}

fn configuration(site: &Site) -> String {
    reaching_by(&module(), site)
}

fn reaching_by(module: &Path, site: &Site) -> String {
    format!("{SILENT}[keys.pkcs11]\nmodule = {module:?}\ntoken = {LABEL:?}\npin_file = {:?}\n", site.file("pin"))
}

/// Runs the program on this ledger: exit code, what it said, and its errors.
fn run(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = site.program(arguments).output().expect("run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// As [`run`], with the way to the token.
fn run_with_token(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let (module, pin) = (module().display().to_string(), site.file("pin").display().to_string());
    run(site, &[arguments, &["--pkcs11-module", &module, "--pkcs11-token", LABEL, "--pin-file", &pin]].concat())
}

fn move_into_token(site: &Site) {
    for role in SIGNING {
        let (exit, said, error) = run_with_token(site, &["keys", "rotate", "--pkcs11", "--role", role.name()]);
        assert_eq!(exit, Some(0), "{said} {error}");
    }
}

/// A server whose three signing keys are in the token.
fn served() -> Server {
    let site = place();
    let configuration = configuration(&site);
    Server::at(site, &configuration, |_| (), move_into_token)
}

fn issue(server: &Server, number: u32) -> (u16, Value) {
    let reply = server.ask_as("issuer", "POST", "/v1/invoices", plain(Kind::Electronic, number, Fen(900)).to_string().as_bytes());
    (reply.status, reply.json())
}

fn verify(server: &Server, receipt: &Value, proof: bool) -> (u16, Value) {
    let reply = server.ask_as("business", "POST", "/v1/verify", json!({ "qr": receipt["signed_qr"], "proof": proof }).to_string().as_bytes());
    (reply.status, reply.json())
}

fn log_of(site: &Site) -> String {
    fs::read_to_string(site.file("serve.log")).expect("a log")
}

/// Waits, as whoever operates it would, until the server says that it is ready, or that it is not.
fn until_ready(server: &Server, wanted: bool) {
    for _ in 0..1_000 {
        let reply = server.ask_as("", "GET", "/readyz", b"");
        if (reply.status == 200) == wanted {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it does not become ready: {wanted}; {}", log_of(&server.site));
}

/// The check of everything, which needs no token; and each receipt as it was given.
fn is_sound_without_token(site: &Site, receipts: &BTreeMap<u32, Value>) {
    let (exit, said, error) = run(site, &["ledger", "fsck"]);
    assert_eq!(exit, Some(0), "{said} {error}");
    let engine = site.open().expect("opened");
    for receipt in receipts.values() {
        let index = receipt["index"].as_u64().expect("an index");
        receipt_is_sound(&engine, &engine.receipt(index).expect("readable").expect("published"));
    }
}

#[test]
fn what_keys_in_a_token_sign_holds_like_anything_else() {
    let server = served();
    let receipts: BTreeMap<u32, Value> = (1..40)
        .map(|number| {
            let (status, receipt) = issue(&server, number);
            assert_eq!(status, 201, "{receipt}");
            (number, receipt)
        })
        .collect();
    let listed = server.ask_as("", "GET", "/v1/keys", b"").json();
    let known = keys::parse(&listed["keys"]).expect("keys");
    let in_token: Vec<KeyId> = known.iter().filter(|key| key.is_in_force()).map(|key| key.record.key_id()).collect();
    let held = keyfile::open(&fs::read(fapiao::engine::keyring_path(&server.site.directory())).expect("readable"), PASSPHRASE);
    let held = held.expect("the passphrase");
    for key in held.keys() {
        let expected = SIGNING.contains(&key.role()) && in_token.contains(&key.key_id());
        assert_eq!(key.token_key().is_some_and(|at| at.token == LABEL), expected, "{key:?}");
    }
    for receipt in receipts.values() {
        let (status, answer) = verify(&server, receipt, true);
        assert_eq!((status, &answer["verdict"]), (200, &json!(1)), "{answer}");
        let proven = proof::verify(answer["proof"].to_string().as_bytes(), Some(&known));
        assert!(proven.is_ok(), "{proven:?}");
        assert!(in_token.contains(&receipt::parse(receipt).expect("a receipt").receipt.leaf.key_id));
    }
    // The checkpoint, by a reader of notes that is not ours.
    let note = server.ask_as("", "GET", "/checkpoint", b"").text().to_owned();
    let origin = Origin::parse(note.lines().next().expect("an origin")).expect("an origin");
    let checkpoint_key = known.iter().find(|key| key.record.role() == Role::Checkpoint && key.is_in_force()).expect("named");
    assert!(Checkpoint::open(&note, &origin, &checkpoint_key.key).is_ok());
    let verifier = fapiao::crypto::note::verifier_key(origin.as_str(), checkpoint_key.record.public());
    let theirs = signed_note::StandardVerifier::new(&verifier).expect("a verifier");
    let list = signed_note::VerifierList::new(vec![Box::new(theirs)]);
    assert!(signed_note::Note::from_bytes(note.as_bytes()).expect("a note").verify(&list).is_ok());

    let (exit, said, error) = run_with_token(&server.site, &["keys", "show", "--places", "--json"]);
    assert_eq!(exit, Some(3), "the server has it: {said} {error}");
    let Server { running, site, .. } = server;
    drop(running);
    let (exit, said, error) = run_with_token(&site, &["keys", "show", "--places", "--json"]);
    assert_eq!(exit, Some(0), "{error}");
    let places: Value = serde_json::from_str(&said).expect("JSON");
    let in_use_in_token = places["keys"].as_array().expect("keys").iter().filter(|key| key["in_use"] == true && key["token"]["token"] == LABEL);
    assert_eq!((in_use_in_token.count(), &places["unclaimed"]), (3, &json!([])), "{places}");
    is_sound_without_token(&site, &receipts);

    // A backup, its restore and its adoption ask nothing of the token; what comes of it says what it lacks before it signs.
    let (backups, other) = (site.file("backups"), Site::new());
    site.open().expect("opened").back_up(&backups, 3).expect("backed up");
    Engine::restore(&backups, None, None, &other.directory()).expect("restored");
    Engine::adopt(&other.config()).expect("adopted");
    let engine = other.open().expect("opened");
    assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, vec![]);
    let refused = engine.allot(allotment(Kind::Roll, seller(), 200_000, 200_001)).expect_err("no way to the token");
    assert!(refused.to_string().contains("--pkcs11-module, --pkcs11-token and --pin-file"), "{refused}");
}

/// Into the token and back, each role, while invoices are issued without a pause.
#[test]
fn keys_move_into_the_token_and_back_under_load() {
    let site = place();
    let configuration = configuration(&site);
    let server = Server::at(site, &configuration, |_| (), |_| ());
    let (stop, next) = (AtomicBool::new(false), AtomicU32::new(1));
    let mut receipts = BTreeMap::new();
    let rotated: Vec<Value> = thread::scope(|scope| {
        let issuers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        let (status, receipt) = issue(&server, number);
                        assert_eq!(status, 201, "{receipt}");
                        mine.push((number, receipt));
                    }
                    mine
                })
            })
            .collect();
        let some_more = || {
            let until = next.load(Ordering::SeqCst) + 15;
            while next.load(Ordering::SeqCst) < until {
                thread::yield_now();
            }
        };
        let mut rotated = Vec::new();
        for place in ["token", "file"] {
            for role in SIGNING {
                some_more();
                let body = json!({ "role": role.name(), "place": place, "overlap_seconds": 3_600 });
                let reply = server.ask_as("administrator", "POST", "/v1/keys/rotate", body.to_string().as_bytes());
                assert_eq!(reply.status, 200, "{}", reply.text());
                rotated.push(reply.json());
            }
        }
        some_more();
        stop.store(true, Ordering::SeqCst);
        for issuer in issuers {
            receipts.extend(issuer.join().expect("no panic"));
        }
        rotated
    });
    let mut signers = BTreeMap::new();
    for receipt in receipts.values() {
        let (status, answer) = verify(&server, receipt, false);
        assert_eq!((status, &answer["verdict"]), (200, &json!(1)), "{answer}");
        *signers.entry(receipt::parse(receipt).expect("a receipt").receipt.leaf.key_id.to_string()).or_insert(0) += 1;
    }
    assert_eq!(signers.len(), 3, "file, token, file: {signers:?}");
    // A key that has lain in the token is revoked like another.
    let retired = rotated[3]["replaced"].as_str().expect("an id");
    let reply =
        server.ask_as("administrator", "POST", "/v1/keys/revoke", json!({ "key_id": retired, "reason": "superseded" }).to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (body, expected) in [(json!({ "role": "data", "place": "token" }), 409), (json!({ "role": "authority", "place": "drawer" }), 422)] {
        let reply = server.ask_as("administrator", "POST", "/v1/keys/rotate", body.to_string().as_bytes());
        assert_eq!(reply.status, expected, "{}", reply.text());
    }
    // The emergency: by default the successor is where the stolen one was.
    let body = json!({ "role": "authority", "revoke": "compromised" });
    assert_eq!(server.ask_as("administrator", "POST", "/v1/keys/rotate", body.to_string().as_bytes()).status, 200);
    let Server { running, site, .. } = server;
    drop(running);
    assert!(site.keyring().authority().key.sign(b"message").is_ok(), "it is in the file");
    is_sound_without_token(&site, &receipts);
}

/// What a server does whose token is taken away with `away` and brought back with `back`.
fn goes_away_and_comes_back(away: impl FnOnce(&Path), back: impl FnOnce(&Path)) {
    let server = served();
    let tokens = server.site.file("tokens");
    let mut receipts = BTreeMap::new();
    for number in 1..6 {
        let (status, receipt) = issue(&server, number);
        assert_eq!(status, 201, "{receipt}");
        receipts.insert(number, receipt);
    }
    let size = || server.ask_as("", "GET", "/checkpoint", b"").text().lines().nth(1).and_then(|size| size.parse::<u64>().ok()).expect("a size");
    // Whenever the database is opened it begins another manifest.
    let manifest = || fs::read_to_string(server.site.directory().join("db").join("CURRENT")).expect("readable");
    let before = (size(), manifest());
    away(&tokens);
    for number in 6..30 {
        let (status, refused) = issue(&server, number);
        assert_eq!((status, &refused["type"]), (503, &json!("urn:fapiao:problem:unavailable")), "{refused}");
    }
    until_ready(&server, false);
    let ready = server.ask_as("", "GET", "/readyz", b"");
    assert!(ready.text().contains("签名密钥暂不可用"), "{}", ready.text());
    for receipt in receipts.values() {
        let (status, answer) = verify(&server, receipt, false);
        assert_eq!((status, &answer["verdict"]), (200, &json!(1)), "{answer}");
        assert_eq!(verify(&server, receipt, true).0, 503);
    }
    assert_eq!(size(), before.0, "nothing was logged");
    let bulk = server.ask_as("issuer", "POST", "/v1/invoices/bulk", format!("{}\n", plain(Kind::Electronic, 31, Fen(900))).as_bytes());
    assert!(bulk.status == 503 || bulk.text().contains("\"status\":\"unavailable\""), "{} {}", bulk.status, bulk.text());
    back(&tokens);
    until_ready(&server, true);
    // What was refused is issued now, and the first time.
    for number in 6..12 {
        let (status, receipt) = issue(&server, number);
        assert_eq!(status, 201, "{receipt}");
        assert_eq!(verify(&server, &receipt, true).0, 200);
        receipts.insert(number, receipt);
    }
    assert_eq!((size(), manifest()), (before.0 + 6, before.1), "the database is as sound as before, and was left alone");
    let Server { running, site, .. } = server;
    drop(running);
    assert!(!log_of(&site).contains(PIN));
    is_sound_without_token(&site, &receipts);
}

#[test]
fn a_token_that_is_taken_away_and_brought_back() {
    let aside = |tokens: &Path| tokens.with_extension("aside");
    goes_away_and_comes_back(|tokens| fs::rename(tokens, aside(tokens)).expect("moved"), |tokens| fs::rename(aside(tokens), tokens).expect("moved"));
}

#[test]
fn keys_that_are_deleted_from_the_token_and_restored() {
    // A token's folder has a file for each object; `token.object` is the token itself.
    let objects = |from: &Path, to: &Path| {
        let token = fs::read_dir(from).expect("readable").next().expect("a token").expect("readable").path();
        fs::create_dir_all(to.join(token.file_name().expect("a name"))).expect("made");
        for file in fs::read_dir(&token).expect("readable") {
            let path = file.expect("readable").path();
            if path.extension().is_some_and(|extension| extension == "object") && !path.ends_with("token.object") {
                fs::rename(&path, to.join(token.file_name().expect("a name")).join(path.file_name().expect("a name"))).expect("moved");
            }
        }
    };
    let aside = |tokens: &Path| tokens.with_extension("aside");
    goes_away_and_comes_back(
        |tokens| {
            objects(tokens, &aside(tokens));
            touch_generation(tokens);
        },
        |tokens| {
            objects(&aside(tokens), tokens);
            touch_generation(tokens);
        },
    );
}

/// As SoftHSM's own tool leaves it when it deletes an object: whoever has the token open looks again.
fn touch_generation(tokens: &Path) {
    let token = fs::read_dir(tokens).expect("readable").next().expect("a token").expect("readable").path();
    let path = token.join("generation");
    let mut bytes = fs::read(&path).expect("readable");
    let last = bytes.last_mut().expect("a number");
    *last = last.wrapping_add(1);
    fs::write(&path, bytes).expect("written");
}

/// A library with this source.
fn compiled(site: &Site, name: &str, text: &str) -> PathBuf {
    let (source, module) = (site.file(&format!("{name}.c")), site.file(&format!("{name}.so")));
    fs::write(&source, text).expect("written");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&module).arg(&source).output().expect("a compiler");
    assert!(compiled.status.success(), "{compiled:?}");
    module
}

/// One that never comes back from its first call.
fn hanging_module(site: &Site) -> PathBuf {
    compiled(site, "hang", "#include <unistd.h>\nunsigned long C_GetFunctionList(void *list) { (void)list; for (;;) pause(); }\n")
}

/// SoftHSM, but for what a test plants by putting a file beside the token:
///
/// - `hang`: whoever is to sign, and is counted in `asked`, does not while it is there; `slow`: it takes 0.7 s;
/// - `spoilt`: what sessions that are open by then sign is wrong from then on;
/// - `refuse LABEL`: keys with this label do not sign;
/// - `half`: the next pair of keys is made, and said not to be.
const SHIM: &str = r#"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long (*call)();
struct list { unsigned long version; call at[68]; };
enum { OPEN_SESSION = 12, GET_ATTRIBUTE = 24, SIGN_INIT = 42, SIGN = 43, GENERATE_PAIR = 59 };

static struct list *theirs, ours;
static unsigned long newest, spoilt;

static const char *path(const char *name, char *into) { snprintf(into, 4096, "%s/%s", PLACE, name); return into; }
static int is_there(const char *name) { char at[4096]; return access(path(name, at), F_OK) == 0; }
static int once(const char *name) { char at[4096]; return unlink(path(name, at)) == 0; }

static unsigned long open_session(unsigned long slot, unsigned long flags, void *a, void *b, unsigned long *session) {
    unsigned long rv = theirs->at[OPEN_SESSION](slot, flags, a, b, session);
    if (rv == 0 && *session > newest) newest = *session;
    return rv;
}

static unsigned long sign_init(unsigned long session, void *mechanism, unsigned long key) {
    char label[64] = "", name[80];
    struct { unsigned long type; void *value; unsigned long length; } wanted = { 3, label, sizeof label - 1 };
    if (theirs->at[GET_ATTRIBUTE](session, key, &wanted, 1ul) == 0) {
        snprintf(name, sizeof name, "refuse %s", label);
        if (is_there(name)) return 0x68;
    }
    return theirs->at[SIGN_INIT](session, mechanism, key);
}

static unsigned long sign(unsigned long session, void *data, unsigned long size, unsigned char *signature, unsigned long *length) {
    if (signature && is_there("hang")) {
        char at[4096];
        int asked = open(path("asked", at), O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (write(asked, ".", 1) == 1) close(asked);
        while (is_there("hang")) usleep(1000);
    }
    if (signature && is_there("slow")) usleep(700000);
    unsigned long rv = theirs->at[SIGN](session, data, size, signature, length);
    if (signature && rv == 0) {
        if (once("spoilt")) spoilt = newest;
        if (session <= spoilt) signature[0] ^= 1;
    }
    return rv;
}

static unsigned long generate(unsigned long session, void *m, void *a, unsigned long an, void *b, unsigned long bn, void *public, void *private) {
    unsigned long rv = theirs->at[GENERATE_PAIR](session, m, a, an, b, bn, public, private);
    return rv == 0 && once("half") ? 0x30 : rv;
}

unsigned long C_GetFunctionList(struct list **list) {
    void *library = dlopen(MODULE, RTLD_NOW);
    unsigned long (*get)(struct list **) = library ? (unsigned long (*)(struct list **))dlsym(library, "C_GetFunctionList") : 0;
    if (!get || get(&theirs) != 0) return 5;
    ours = *theirs;
    ours.at[OPEN_SESSION] = (call)open_session;
    ours.at[SIGN_INIT] = (call)sign_init;
    ours.at[SIGN] = (call)sign;
    ours.at[GENERATE_PAIR] = (call)generate;
    *list = &ours;
    return 0;
}
"#;

fn shim(site: &Site) -> PathBuf {
    let place = site.file("pin");
    let place = place.parent().expect("a directory");
    compiled(site, "shim", &format!("#define PLACE {:?}\n#define MODULE {:?}\n{SHIM}", place.display().to_string(), module().display().to_string()))
}

/// As [`served`], by way of the shim, with what the configuration says beside; each of the threads that ask the token has a session by now.
fn served_by_shim(more: &str, before: impl FnOnce(&Site)) -> Server {
    let site = place();
    let configuration = format!("{more}{}", reaching_by(&shim(&site), &site));
    let server = Server::at(site, &configuration, |_| (), before);
    for number in 1..12 {
        assert_eq!(issue(&server, number).0, 201);
    }
    server
}

fn plant(server: &Server, name: &str) {
    fs::write(server.site.file(name), "").expect("written");
}

#[test]
fn a_session_that_signs_wrongly_is_replaced_by_another() {
    let server = served_by_shim("", move_into_token);
    plant(&server, "spoilt");
    let receipts: Vec<Value> = (12..24)
        .map(|number| {
            let (status, receipt) = issue(&server, number);
            assert_eq!(status, 201, "{receipt}");
            receipt
        })
        .collect();
    assert!(!server.site.file("spoilt").exists());
    assert!(receipts.iter().all(|receipt| verify(&server, receipt, true).0 == 200));
}

/// Each of the three signs after its key was made twice.
#[test]
fn a_key_that_was_made_half_way_leaves_nothing_behind() {
    let server = served_by_shim("", move_into_token);
    for role in SIGNING {
        plant(&server, "half");
        let reply = server.ask_as("administrator", "POST", "/v1/keys/rotate", json!({ "role": role.name() }).to_string().as_bytes());
        assert_eq!((reply.status, server.site.file("half").exists()), (200, false), "{}", reply.text());
    }
    for number in 12..24 {
        let (status, receipt) = issue(&server, number);
        assert_eq!((status, verify(&server, &receipt, true).0), (201, 200), "{receipt}");
    }
    let Server { running, site, .. } = server;
    drop(running);
    let (exit, said, error) = run_with_token(&site, &["keys", "show", "--places", "--json"]);
    assert_eq!(exit, Some(0), "{error}");
    let places: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(places["unclaimed"], json!([]), "{places}");
}

#[test]
fn a_key_that_the_token_refuses_is_the_trouble_of_whoever_needs_it() {
    let server = served_by_shim("", move_into_token);
    let (_, receipt) = issue(&server, 12);
    plant(&server, "refuse fapiao answering");
    for number in 13..20 {
        let (status, refused) = verify(&server, &receipt, true);
        assert_eq!((status, &refused["type"]), (503, &json!("urn:fapiao:problem:unavailable")), "{refused}");
        let (status, issued) = issue(&server, number);
        assert_eq!(status, 201, "{issued}");
    }
    assert_eq!(server.ask_as("", "GET", "/readyz", b"").status, 200);
}

/// More ask for proofs than the token can sign for in time.
#[test]
fn a_crowd_before_the_token_stops_nothing() {
    let server = served_by_shim("", move_into_token);
    let (_, receipt) = issue(&server, 12);
    plant(&server, "slow");
    let told = thread::scope(|scope| {
        let asked: Vec<_> = (0..40).map(|_| scope.spawn(|| verify(&server, &receipt, true).0)).collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(told.contains(&200) && told.contains(&503), "{told:?}");
    assert!(told.iter().all(|status| [200, 503].contains(status)), "{told:?}");
    let (status, issued) = issue(&server, 13);
    assert_eq!(status, 201, "{issued}");
}

/// A replaced key signs along with its successor for a day, where that costs nothing.
#[test]
fn a_replaced_key_in_a_token_that_hangs_holds_no_commit_up() {
    let server = served_by_shim("", |site| {
        for place in ["token", "file"] {
            let (exit, said, error) = run_with_token(site, &["keys", "rotate", "--role", "checkpoint", "--to", place]);
            assert_eq!(exit, Some(0), "{said} {error}");
        }
    });
    let lines = || server.ask_as("", "GET", "/checkpoint", b"").text().lines().filter(|line| line.starts_with('—')).count();
    let signed = lines();
    plant(&server, "hang");
    for number in 12..15 {
        let (status, issued) = issue(&server, number);
        assert_eq!(status, 201, "{issued}");
        assert_eq!(lines(), signed - 1);
        // So long that a token is asked again that did not answer.
        thread::sleep(Duration::from_millis(TOKEN_REST_MS + 50));
    }
    assert_eq!(fs::read_to_string(server.site.file("asked")).expect("it was asked"), ".", "once in a minute");
    fs::remove_file(server.site.file("hang")).expect("removed");
}

/// Who is cut off at the end gets no answer; but what is signed by then is logged before the ledger is said to be closed.
#[test]
fn the_end_waits_for_what_a_token_is_about_to_sign() {
    let server = served_by_shim("[http]\ndrain_seconds = 0\n", move_into_token);
    plant(&server, "hang");
    let Server { running, site, tokens, .. } = server;
    let draft = plain(Kind::Electronic, 12, Fen(900)).to_string();
    let head =
        format!("POST /v1/invoices HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n", tokens["issuer"], draft.len());
    let mut stream = TcpStream::connect(running.address).expect("connected");
    stream.write_all(format!("{head}{draft}").as_bytes()).expect("written");
    while !site.file("asked").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    running.signal(rustix::process::Signal::TERM);
    thread::sleep(Duration::from_millis(1_500));
    fs::remove_file(site.file("hang")).expect("removed");
    assert_eq!(running.wait(), Some(0));
    let log = log_of(&site);
    assert!(log.contains("the time to end was up") && log.contains("the ledger is closed"), "{log}");
    let engine = site.open().expect("opened");
    assert!(engine.standing(crate::support::id(Kind::Electronic, 12)).expect("readable").is_some(), "{log}");
}

#[test]
fn a_token_that_hangs_holds_nobody_up() {
    let site = place();
    let text = reaching_by(&hanging_module(&site), &site);
    let issued = |engine: &Engine| logged(submit(engine, &plain(Kind::Electronic, 1, Fen(900)))).index;
    let mut code = String::new();
    let server = Server::at(
        site,
        &text,
        |engine| {
            issued(engine);
            code = crate::support::signed_qr(engine, crate::support::id(Kind::Electronic, 1));
        },
        move_into_token,
    );
    assert!(log_of(&server.site).contains("it has not answered within 5 s"), "{}", log_of(&server.site));
    let receipt = json!({ "signed_qr": code });
    thread::scope(|scope| {
        for number in 2..18 {
            let server = &server;
            scope.spawn(move || assert_eq!(issue(server, number).0, 503));
        }
        for _ in 0..16 {
            assert_eq!(verify(&server, &receipt, false).0, 200);
        }
    });
    assert_eq!(server.ask_as("", "GET", "/readyz", b"").status, 503);
    server.running.signal(rustix::process::Signal::TERM);
    assert_eq!(server.running.wait(), Some(0), "nor does it hold up the end");
}

/// What is only in a token that is lost can be replaced by whoever has the authority's key.
#[test]
fn keys_of_a_lost_token_are_replaced_with_the_server_stopped() {
    let site = place();
    let engine = site.create();
    crate::support::allot_all(&engine);
    let receipts = BTreeMap::from([(1, json!({ "index": logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900)))).index }))]);
    drop(engine);
    for role in ["answering", "checkpoint"] {
        let (exit, _, error) = run_with_token(&site, &["keys", "rotate", "--pkcs11", "--role", role]);
        assert_eq!(exit, Some(0), "{error}");
    }
    fs::remove_dir_all(site.file("tokens")).expect("removed");
    for role in ["answering", "checkpoint"] {
        let (exit, _, error) = run(&site, &["keys", "rotate", "--role", role]);
        assert!(exit == Some(2) && error.contains("nothing says how to reach a token"), "the successor would lie there too: {exit:?} {error}");
        let (exit, _, error) = run(&site, &["keys", "rotate", "--role", role, "--to", "file", "--revoke", "lost"]);
        assert_eq!(exit, Some(if role == "answering" { 3 } else { 0 }), "{role}: {error}");
    }
    let (exit, _, error) = run(&site, &["keys", "rotate", "--role", "answering", "--to", "file", "--revoke", "lost"]);
    assert_eq!(exit, Some(0), "{error}");
    is_sound_without_token(&site, &receipts);
    let (exit, said, error) = run(&site, &["doctor"]);
    assert_eq!(exit, Some(0), "{said} {error}");
}

/// The key file of the backup knows only keys that are left.
#[test]
fn a_backup_from_before_the_move_into_a_lost_token_is_reopened_with_its_own_key_file() {
    let site = place();
    let engine = site.create();
    crate::support::allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900))));
    let backups = site.file("backups");
    engine.back_up(&backups, 3).expect("backed up");
    drop(engine);
    move_into_token(&site);
    let path = fapiao::engine::keyring_path(&site.directory());
    let newest = fs::read(&path).expect("readable");
    for lost in [site.file("tokens"), site.directory()] {
        fs::remove_dir_all(lost).expect("removed");
    }
    Engine::restore(&backups, None, None, &site.directory()).expect("restored");
    let restored = fs::read(&path).expect("readable");
    let reopen = |keys: &[u8]| {
        fs::write(&path, keys).expect("written");
        run_with_token(&site, &["ledger", "reopen", "--reason", "disk and token were lost"])
    };
    let (exit, _, error) = reopen(&newest);
    assert!(exit == Some(3) && error.contains("does not sign"), "{exit:?} {error}");
    let (exit, said, error) = reopen(&restored);
    assert_eq!(exit, Some(0), "{said} {error}");
    for command in [&["ledger", "fsck"][..], &["doctor"]] {
        let (exit, said, error) = run(&site, command);
        assert_eq!(exit, Some(0), "{said} {error}");
    }
    // The program has the system's time.
    site.set_now(fapiao::engine::now());
    let engine = site.open().expect("opened");
    engine.allot(allotment(Kind::Roll, seller(), 200_000, 200_001)).expect("it signs");
}

#[test]
fn whoever_cannot_reach_the_token_is_told_what_to_do() {
    let site = place();
    drop(site.create());
    move_into_token(&site);
    let (module, pin, wrong) = (module().display().to_string(), site.file("pin").display().to_string(), site.file("wrong"));
    fs::write(&wrong, "0000\n").expect("written");
    let wrong = wrong.display().to_string();
    let nowhere = site.file("nowhere.so").display().to_string();
    let add =
        ["allot", "add", "--taxpayer", "91310115P12455XH31", "--kind", "10", "--code", "033001900111", "--first", "00000001", "--last", "00000009"];
    for (options, expected) in [
        (&[][..], "give --pkcs11-module, --pkcs11-token and --pin-file, or the server [keys.pkcs11]"),
        (&["--pkcs11-module", &nowhere, "--pkcs11-token", LABEL, "--pin-file", &pin], "nowhere.so cannot be loaded"),
        (&["--pkcs11-module", &module, "--pkcs11-token", "another", "--pin-file", &pin], "a signing key is in the token \"fapiao\""),
        (&["--pkcs11-module", &module, "--pkcs11-token", LABEL, "--pin-file", &wrong], "the PIN is wrong"),
        (&["--pkcs11-module", &module, "--pkcs11-token", LABEL], "no terminal to ask for the PIN; give --pin-file FILE"),
        (&["--pkcs11-module", &module], "--pkcs11-token"),
    ] {
        let (exit, said, error) = run(&site, &[&add[..], options].concat());
        assert!(exit.is_some_and(|exit| exit > 1) && error.contains(expected), "{options:?}: {exit:?} {said} {error}");
        assert!(!error.contains(PIN) && !error.contains("0000\n"));
    }
    let (exit, _, error) = run_with_token(&site, &add);
    assert_eq!(exit, Some(0), "the PIN is not locked, and all is well: {error}");
    let (exit, _, error) = run(&site, &["keys", "rotate", "--role", "answering", "--to", "token"]);
    assert!(exit == Some(2) && error.contains("nothing says how to reach a token"), "{exit:?} {error}");
    let (exit, _, error) = run(&Site::new(), &["keys", "create", "--pkcs11"]);
    assert!(exit == Some(2) && error.contains("nothing says how to reach a token"), "{exit:?} {error}");

    // A server starts all the same, answers, and says what it lacks; a wrong PIN is tried once.
    for (pin_file, token, expected) in [(&wrong, LABEL, "the PIN is wrong"), (&pin, "another", "a signing key is in the token")] {
        let text = format!("{SILENT}[keys.pkcs11]\nmodule = {module:?}\ntoken = {token:?}\npin_file = {pin_file:?}\n");
        let running = crate::support::server::serve(&site, &text);
        for _ in 0..3 {
            assert_eq!(running.ask("GET", "/readyz", &[], b"").status, 503);
            assert_eq!(running.ask("GET", "/v1/keys", &[], b"").status, 200);
            thread::sleep(Duration::from_millis(600));
        }
        drop(running);
        assert!(log_of(&site).contains(expected), "{}", log_of(&site));
    }
    let (exit, _, error) = run_with_token(&site, &["keys", "rotate", "--role", "answering"]);
    assert_eq!(exit, Some(0), "three wrong PINs would have locked it: {error}");
    let (_, said, _) = run_with_token(&site, &["keys", "show", "--places"]);
    assert_eq!(said.lines().filter(|line| line.starts_with("answering") && line.contains("in use") && line.contains("token")).count(), 1, "{said}");
    assert!(program(&["keys", "create", "--help"]).output().is_ok_and(|output| !String::from_utf8_lossy(&output.stdout).contains("--pin ")));
}

/// Says whatever it was told to.
struct Liar(fn(&SigningKey, &[u8]) -> Result<[u8; 64], SignError>);

impl Token for Liar {
    fn sign(&self, _: &TokenKey, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.0(&SigningKey::from_seed(&[1; 32]), message)
    }

    fn sign_at_once(&self, key: &TokenKey, message: &[u8]) -> Option<[u8; 64]> {
        self.sign(key, message).ok()
    }
}

fn ring_in_token() -> Keyring {
    let public = PublicKey::parse(&SigningKey::from_seed(&[1; 32]).public()).expect("a key");
    let in_token = |role| SecretKey::in_token(role, TokenKey { public, token: "虚构".into(), id: vec![7; 16] });
    let keys = [
        in_token(Role::Authority),
        in_token(Role::Answering),
        in_token(Role::Checkpoint),
        SecretKey::symmetric(Role::Tag, KeyId([4; 8]), [4; 32]),
        SecretKey::symmetric(Role::Data, KeyId([5; 8]), [5; 32]),
    ];
    Keyring::new(keys.into_iter().flatten().collect()).expect("five keys")
}

#[test]
fn a_signature_that_does_not_hold_is_never_used() {
    let file = SigningKey::from_seed(&[1; 32]);
    let ring = ring_in_token();
    let told = |ring: &Keyring| ring.authority().key.sign(b"message");
    assert!(matches!(told(&ring), Err(SignError::Unreachable(_))));
    let with = |liar: Liar| ring.clone().reaching(&(Arc::new(liar) as Arc<dyn Token>)).expect("the same keys");
    assert_eq!(told(&with(Liar(|key, message| Ok(key.sign(message))))), Ok(file.sign(b"message")));
    let away = SignError::Token { token: "虚构".into(), reason: "away".into() };
    assert_eq!(told(&with(Liar(|_, _| Err(SignError::Token { token: "虚构".into(), reason: "away".into() })))), Err(away));
    for lie in
        [Liar(|_, _| Ok([0; 64])), Liar(|key, _| Ok(key.sign(b"another"))), Liar(|_, message| Ok(SigningKey::from_seed(&[2; 32]).sign(message)))]
    {
        let ring = with(lie);
        assert!(matches!(told(&ring), Err(SignError::Wrong(_))));
        assert!(ring.try_to_sign().is_err());
        assert_eq!(ring.checkpoint().key.sign_at_once(b"message"), None);
    }
    assert!(matches!(ring.authority().key, Key::Token(..)));
}

#[test]
fn a_key_file_says_which_keys_are_in_a_token() {
    let file = keyfile::seal(&ring_in_token(), "correct horse", &[6; 16], &[7; 24], KdfCost::TRIVIAL).expect("sealed");
    let opened = keyfile::open(&file, "correct horse").expect("opened");
    assert_eq!((file[0], opened.authority().key_id), (2, ring_in_token().authority().key_id));
    let at = opened.keys()[0].token_key().expect("in a token");
    assert_eq!((at.token.as_str(), &at.id[..], at.public.to_bytes()), ("虚构", &[7; 16][..], SigningKey::from_seed(&[1; 32]).public()));
    assert_eq!(opened.id_tag(crate::support::id(Kind::Roll, 1)), hash::id_tag(&[4; 32], crate::support::id(Kind::Roll, 1)));
    assert!(SecretKey::in_token(Role::Data, at.clone()).is_none() && SecretKey::in_token(Role::Tag, at.clone()).is_none());
    let long = TokenKey { token: "x".repeat(33), ..at.clone() };
    let mut keys = opened.keys().to_vec();
    keys.push(SecretKey::in_token(Role::Answering, long).expect("a signing role"));
    keys.remove(1);
    let ring = Keyring::new(keys).expect("five keys");
    assert!(keyfile::seal(&ring, "correct horse", &[6; 16], &[7; 24], KdfCost::TRIVIAL).is_err(), "no file that could not be read again");
}

/// A file from before there were keys in tokens opens, and signs.
#[test]
fn a_key_file_of_version_1_is_read() {
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger-v1/ledger/keys/keyring")).expect("a key file");
    let ring = keyfile::open(&file, PASSPHRASE).expect("opened");
    assert_eq!((file[0], ring.keys().len()), (1, 5));
    assert!(ring.try_to_sign().is_ok() && ring.keys().iter().all(|key| key.token_key().is_none()));
}

/// What is only for answers is signed on threads that have time for it anyway.
#[test]
fn whatever_the_log_waits_for_in_a_token_is_kept_from_threads_that_serve_sockets() {
    let site = place();
    drop(site.create());
    let rotate = |role: &str, place: &str| {
        let (exit, said, error) = run_with_token(&site, &["keys", "rotate", "--role", role, "--to", place]);
        assert_eq!(exit, Some(0), "{said} {error}");
    };
    let signs_by_token = || {
        let reach = TokenConfig { module: module(), token: LABEL.to_owned(), pin: PIN.to_owned().into() };
        Engine::open(Config { token: Some(reach), ..site.config() }).expect("opened").signs_by_token()
    };
    for (role, place, expected) in
        [("answering", "token", false), ("checkpoint", "token", true), ("checkpoint", "file", true), ("authority", "token", true)]
    {
        rotate(role, place);
        assert_eq!(signs_by_token(), expected, "{role} {place}");
    }
}

#[test]
fn an_engine_without_its_token_refuses_and_reads() {
    let site = place();
    let engine = site.create();
    crate::support::allot_all(&engine);
    logged(submit(&engine, &plain(Kind::Electronic, 1, Fen(900))));
    drop(engine);
    move_into_token(&site);
    let engine = site.open().expect("opened");
    let size = engine.ledger().published().size;
    for number in [200_000, 200_001] {
        let refused = engine.allot(allotment(Kind::Roll, seller(), number, number));
        assert!(matches!(refused, Err(EngineError::Submit(SubmitError::Unsigned(_)))), "{refused:?}");
    }
    assert_eq!(engine.ledger().published().size, size);
    assert!(engine.ledger().may_write().is_err());
    assert!(engine.invoice(crate::support::id(Kind::Electronic, 1)).expect("readable").is_some());
}
