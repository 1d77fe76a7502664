//! Witnesses as processes of their own: a log that is honest is cosigned and published, one that has two histories is caught, and a witness that was
//! restored from a copy does not go back.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use fapiao::channel::{keys, policies};
use fapiao::crypto::add_checkpoint::AddCheckpoint;
use fapiao::crypto::cosignature::Cosigner;
use fapiao::crypto::keyring::PublicKeys;
use fapiao::crypto::merkle::{self, Tree, leaf_hash};
use fapiao::crypto::note::{Checkpoint, Note, NoteSignature, Origin, verifier_key};
use fapiao::crypto::sign::SigningKey;
use fapiao::engine::{Config, Engine, now};
use serde_json::Value;
use tempfile::TempDir;

use crate::integrate::{blocks, run};
use crate::support::http::{PATIENCE, Reply};
use crate::support::server::{Running, SILENT, Server, serve};
use crate::support::{PASSPHRASE, Site, copy_tree, program};

/// A witness in a directory of its own.
pub(crate) struct Watcher {
    root: TempDir,
    pub(crate) cosigner: Cosigner,
    pub(crate) name: String,
}

impl Watcher {
    pub(crate) fn new(name: &str) -> Watcher {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("passphrase"), PASSPHRASE).expect("written");
        fs::write(root.path().join("logs"), "").expect("written");
        let mut watcher = Watcher { root, cosigner: placeholder(), name: name.to_owned() };
        let made = watcher.run(&["create", "--name", &format!("witness.example/{name}"), "--json"]);
        assert!(made.status.success(), "{made:?}");
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        watcher.cosigner = Cosigner::parse(made["key"].as_str().expect("a key")).expect("a witness's key");
        watcher
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_at(&self.file("witness"), arguments)
    }

    fn run_at(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = program(&[&["witness"], arguments].concat());
        command.arg("--data").arg(directory).arg("--passphrase-file").arg(self.file("passphrase"));
        command.output().expect("run")
    }

    /// Lets it know these logs, a line each.
    pub(crate) fn knows(&self, logs: &str) {
        fs::write(self.file("logs"), logs).expect("written");
    }

    pub(crate) fn serve(&self) -> Running {
        let mut command = program(&["witness", "serve", "--listen", "127.0.0.1:0"]);
        command.arg("--data").arg(self.file("witness")).arg("--passphrase-file").arg(self.file("passphrase"));
        command.arg("--logs").arg(self.file("logs"));
        Running::start(command, File::create(self.file("log")).expect("a log"))
    }

    /// What it says when it does not begin.
    fn does_not_begin(&self, directory: &Path) -> String {
        let logs = self.file("logs");
        let output = self.run_at(directory, &["serve", "--listen", "127.0.0.1:0", "--logs", logs.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// What a policy says of it.
    pub(crate) fn line(&self, running: &Running) -> String {
        format!("witness {} {} http://{}\n", self.name, self.cosigner.encode(), running.address)
    }

    /// What it keeps as evidence of this kind.
    fn evidence(&self, kind: &str) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.file("witness/evidence").join(kind)) else { return Vec::new() };
        folder.map(|file| fs::read_to_string(file.expect("a file").path()).expect("readable")).collect()
    }

    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.file("log")).expect("a log")
    }
}

fn placeholder() -> Cosigner {
    let public = SigningKey::from_seed(&[1; 32]).public();
    Cosigner::new("none", fapiao::crypto::sign::PublicKey::parse(&public).expect("a key")).expect("a cosigner")
}

/// The line by which a witness knows the log of a site.
pub(crate) fn log_line(site: &Site) -> String {
    let output = site.program(&["ledger", "checkpoint", "--keys"]).output().expect("run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The configuration of a server that publishes by this policy.
pub(crate) fn by_policy(site: &Site, policy: &str) -> String {
    let path = site.file("policy");
    fs::write(&path, policy).expect("written");
    format!("{SILENT}[witness]\npolicy = {:?}\n", path.to_str().expect("UTF-8"))
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn checkpoint_of(note: &str) -> Checkpoint {
    Checkpoint::parse(Note::parse(note).expect("a note").text()).expect("a checkpoint")
}

/// The published checkpoint once it is of this size.
fn published_at(running: &Running, size: u64) -> String {
    wait_for("the checkpoint is cosigned", || {
        let reply = running.ask("GET", "/checkpoint", &[], b"");
        (reply.status == 200 && checkpoint_of(reply.text()).size == size).then(|| reply.text().to_owned())
    })
}

/// Waits until all that is in the log is cosigned.
#[track_caller]
fn all_is_cosigned(running: &Running) {
    wait_for("all is cosigned", || (running.figure("fapiao_cosigned_size") == running.figure("fapiao_ledger_size")).then_some(()));
}

/// The policies that a log tells of: the leaf and the text of each, the newest first.
fn policies_of(running: &Running, keys: &PublicKeys) -> Vec<(u64, String)> {
    let told = running.ask("GET", "/v1/proofs/policies", &[], b"").json();
    let (policies, _) = policies::verify(&told, keys, None).expect("in the log");
    policies.into_iter().map(|policy| (policy.index, policy.text)).collect()
}

/// Waits until the log tells of the policy by which it is served.
#[track_caller]
pub(crate) fn told_of_policy(site: &Site, running: &Running) {
    let policy = fs::read_to_string(site.file("policy")).expect("a policy");
    let keys = keys_of(running);
    wait_for("the log tells of the policy", || policies_of(running, &keys).first().is_some_and(|(_, text)| *text == policy).then_some(()));
}

fn keys_of(running: &Running) -> PublicKeys {
    keys::parse(&running.ask("GET", "/v1/keys", &[], b"").json()["keys"]).expect("keys")
}

/// A server whose log a witness watches; it is served by its policy.
pub(crate) fn watched(watcher: &Watcher) -> (Server, Running) {
    let Server { running, site, tokens, .. } = Server::with(SILENT, |_| ());
    drop(running);
    watcher.knows(&log_line(&site));
    let witness = watcher.serve();
    let configuration = by_policy(&site, &format!("{}quorum {}\n", watcher.line(&witness), watcher.name));
    let running = serve(&site, &configuration);
    told_of_policy(&site, &running);
    all_is_cosigned(&running);
    (Server { running, site, tokens, configuration }, witness)
}

#[test]
fn what_enough_witnesses_cosigned_is_published_and_nothing_else() {
    let (first, second) = (Watcher::new("w1"), Watcher::new("w2"));
    let server = Server::with(SILENT, |_| ());
    let (site, tokens) = (server.site, server.tokens);
    drop(server.running);
    let line = log_line(&site);
    first.knows(&line);
    second.knows(&line);
    let (one, two) = (first.serve(), second.serve());
    let policy = format!("{line}{}{}group both all w1 w2\nquorum both\n", first.line(&one), second.line(&two));
    let configuration = by_policy(&site, &policy);
    let running = serve(&site, &configuration);
    let server = Server { running, site, tokens, configuration };
    told_of_policy(&server.site, &server.running);
    all_is_cosigned(&server.running);

    let size = checkpoint_of(server.ask_as("", "GET", "/checkpoint", b"").text()).size;
    let note = Note::parse(&published_at(&server.running, size)).expect("a note");
    let seen = now().0 / 1_000;
    for watcher in [&first, &second] {
        let time = watcher.cosigner.newest_time(&note).expect("cosigned");
        assert!(time.abs_diff(seen) < 60, "{time}");
    }
    server.issue(1..4);
    let cosigned = published_at(&server.running, size + 3);
    assert_eq!(Note::parse(&cosigned).expect("a note").signatures().len(), 3);
    assert_eq!(server.running.figure("fapiao_cosigned_size"), size + 3);
    // Receipts and proofs go on at once, with what the log alone signed.
    let proof = server.ask_as("", "GET", &format!("/v1/proofs/inclusion?index={size}"), b"").json();
    assert_eq!(Note::parse(proof["checkpoint"].as_str().expect("a note")).expect("a note").signatures().len(), 1);

    // One of them is not enough.
    let gone = two.address;
    drop(two);
    server.issue(4..5);
    wait_for("one cosigns alone", || {
        let about = one.ask("GET", "/", &[], b"");
        about.text().contains(&format!("\n{}\n", size + 4)).then_some(())
    });
    assert_eq!(server.ask_as("", "GET", "/checkpoint", b"").text(), cosigned);
    let server = server.restart();
    assert_eq!(server.ask_as("", "GET", "/checkpoint", b"").text(), cosigned, "what was published once is not taken back");
    server.issue(5..6);

    let mut command = program(&["witness", "serve", "--listen", &gone.to_string()]);
    command.arg("--data").arg(second.file("witness")).arg("--passphrase-file").arg(second.file("passphrase")).arg("--logs").arg(second.file("logs"));
    let _two = Running::start(command, File::create(second.file("log")).expect("a log"));
    published_at(&server.running, size + 5);

    let Server { running, site, .. } = server;
    drop(running);
    let fsck = site.program(&["ledger", "fsck"]).output().expect("run");
    assert!(fsck.status.success(), "{fsck:?}");
}

#[test]
fn whoever_changes_the_policy_of_a_log_says_so_in_it() {
    let watcher = Watcher::new("w1");
    let (server, witness) = watched(&watcher);
    server.issue(1..4);
    let keys = keys_of(&server.running);
    let strict = fs::read_to_string(server.site.file("policy")).expect("a policy");
    let [(first, text)] = &policies_of(&server.running, &keys)[..] else { panic!("one policy") };
    assert_eq!(*text, strict);
    let own = format!("{}{strict}", log_line_of(&server));
    let url = [format!("http://{}", server.running.address)];
    let (exit, logged) = monitored(&server.site, "monitor", &own, &url);
    assert!(exit == Some(0), "{logged}");

    // The same policy again is no news, and neither is another address of the monitor's.
    let server = server.restart();
    let size = server.running.figure("fapiao_ledger_size");
    server.issue(4..6);
    assert_eq!(policies_of(&server.running, &keys).len(), 1);
    assert_eq!(server.running.figure("fapiao_ledger_size"), size + 2);

    // Without any, the log says that as well; and one that was served without from the beginning says nothing.
    let Server { running, site, tokens, .. } = server;
    drop(running);
    let server = Server { running: serve(&site, SILENT), site, tokens, configuration: SILENT.to_owned() };
    let newest = wait_for("the log tells of it", || policies_of(&server.running, &keys).into_iter().next().filter(|(index, _)| index > first));
    assert_eq!(newest.1, "quorum none\n");
    let told = server.running.ask("GET", "/v1/proofs/policies", &[], b"").json();
    let url = [format!("http://{}", server.running.address)];
    let (exit, logged) = monitored(&server.site, "monitor", &format!("{}quorum none\n", log_line_of(&server)), &url);
    assert!(exit == Some(1) && logged.contains(&format!("leaf {} changes the policy", newest.0)), "{logged}");
    let (exit, logged) = monitored(&server.site, "monitor", &format!("{}quorum none\n", log_line_of(&server)), &url);
    assert!(exit == Some(0), "it is said once: {logged}");
    let silent = Server::with(SILENT, |_| ());
    silent.issue(1..2);
    assert_eq!(policies_of(&silent.running, &keys_of(&silent.running)), []);

    // Whoever has them checks them anywhere, and nothing in them can be changed.
    let (policies, list) = (server.site.file("policies.json"), server.site.file("keys.json"));
    fs::write(&list, server.running.ask("GET", "/v1/keys", &[], b"").text()).expect("written");
    let check = |value: &Value, head: &[&str]| {
        fs::write(&policies, value.to_string()).expect("written");
        let mut command = program(&["proof", "verify"]);
        let output = command.arg(&policies).arg("--keys").arg(&list).args(head).output().expect("run");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (exit, text) = check(&told, &["--head", &url[0]]);
    assert!(exit == Some(0) && text.contains("quorum none") && text.contains("quorum w1") && text.contains("is a prefix"), "{text}");
    let tampered: [(&str, Value, &str); 7] = [
        ("/policies/0/data", told["policies"][1]["data"].clone(), "with this policy"),
        ("/policies/0/index", (newest.0 - 1).into(), "with this policy"),
        ("/policies/0/salt", "0".repeat(32).into(), "with this policy"),
        ("/policies/0/leaf", told["policies"][1]["leaf"].clone(), "with this policy"),
        ("/policies/0/inclusion/0", "0".repeat(64).into(), "with this policy"),
        ("/policies/0", told["policies"][1].clone(), "is not the policy before"),
        ("/checkpoint", told["checkpoint"].as_str().expect("a note").replacen('\n', "\n1", 1).into(), "not signed"),
    ];
    for (place, value, why) in tampered {
        let mut other = told.clone();
        *other.pointer_mut(place).expect("a member") = value;
        let (exit, text) = check(&other, &[]);
        assert!(exit == Some(1) && text.contains(why), "{place}: {text}");
    }
    let mut lacking = told.clone();
    lacking["policies"][0]["salt"].take();
    assert_eq!(check(&lacking, &[]).0, Some(2));

    drop((witness, server.running));
    let fsck = server.site.program(&["ledger", "fsck"]).output().expect("run");
    assert!(fsck.status.success(), "{fsck:?}");
}

#[test]
fn two_histories_from_one_backup_are_caught_and_the_later_one_signs_no_more() {
    let watcher = Watcher::new("w1");
    let (server, witness) = watched(&watcher);
    server.issue(1..6);
    let size = checkpoint_of(server.ask_as("", "GET", "/checkpoint", b"").text()).size;
    all_is_cosigned(&server.running);
    let backups = server.site.file("backups");
    let Server { running, site, tokens, configuration } = server;
    drop(running);
    drop(site.open().expect("opened").back_up(&backups, 3).expect("backed up"));

    // Two copies, each of which an administrator takes for the only one.
    let copies: Vec<Site> = ["a", "b"].map(|_| Site::new()).into();
    for copy in &copies {
        Engine::restore(&backups, None, None, &copy.directory()).expect("restored");
        Engine::adopt(&Config { directory: copy.directory(), ..site.config() }).expect("adopted");
    }
    let [a, b] = <[Site; 2]>::try_from(copies).unwrap_or_else(|_| unreachable!());
    let a = Server { running: serve(&a, &configuration), site: a, tokens: tokens.clone(), configuration: configuration.clone() };
    // The second begins while both are at the size that the witness knows, so that neither is known to be wrong.
    let b = Server { running: serve(&b, &configuration), site: b, tokens, configuration };
    a.issue(10..13);
    wait_for("the first is cosigned", || (a.running.figure("fapiao_cosigned_size") >= size + 3).then_some(()));
    let reply = b.ask_as(
        "issuer",
        "POST",
        "/v1/invoices",
        crate::support::plain(fapiao::domain::kind::Kind::Electronic, 20, fapiao::domain::money::Fen(100)).to_string().as_bytes(),
    );
    // Whatever it still took in, it stops within a round.
    assert!(matches!(reply.status, 201 | 503), "{reply:?}");
    wait_for("the second signs no more", || (b.ask_as("", "GET", "/readyz", b"").status == 503).then_some(()));
    // It refuses before the dispute is on disk, and says so after.
    wait_for("it says so", || (b.logged().contains("nothing more is signed") && b.logged().contains("w1 cosigned")).then_some(()));
    let reply = b.ask_as(
        "issuer",
        "POST",
        "/v1/invoices",
        crate::support::plain(fapiao::domain::kind::Kind::Electronic, 21, fapiao::domain::money::Fen(100)).to_string().as_bytes(),
    );
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(b.ask_as("", "GET", "/checkpoint", b"").status, 503);
    assert_eq!(a.ask_as("", "GET", "/readyz", b"").status, 200);

    // A restart does not forget it, whether the witness is there or not, and who examines it is told.
    drop(witness);
    let b = b.restart();
    let ready = b.ask_as("", "GET", "/readyz", b"");
    assert_eq!((ready.status, &ready.json()["symptom"]), (503, &Value::from("disputed")), "{}", ready.text());
    let Server { running, site, .. } = b;
    drop(running);
    let told = site.program(&["doctor", "--json"]).output().expect("run");
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("\"disputed\"") && told.contains("another copy of this ledger signs") && told.contains("ledger reopen"), "{told}");
    let adopted = site.program(&["ledger", "adopt"]).output().expect("run");
    assert_eq!(adopted.status.code(), Some(3), "{adopted:?}");

    // Given up, it goes on under another name, which nobody has seen anything of.
    let reopened = site.program(&["ledger", "reopen", "--reason", "the other copy is the right one"]).output().expect("run");
    assert!(reopened.status.success(), "{reopened:?}");
    assert!(site.open().expect("opened").ledger().may_write().is_ok());
}

#[test]
fn a_copy_that_is_older_than_what_was_cosigned_signs_nothing_from_the_start() {
    let watcher = Watcher::new("w1");
    let (server, _witness) = watched(&watcher);
    let backups = server.site.file("backups");
    let older = Site::new();
    let before = checkpoint_of(server.ask_as("", "GET", "/checkpoint", b"").text()).size;
    server.issue(1..4);
    all_is_cosigned(&server.running);
    let Server { running, site, configuration, .. } = server;
    drop(running);
    drop(site.open().expect("opened").back_up(&backups, 3).expect("backed up"));
    let size = site.open().expect("opened").ledger().published().size;
    Engine::restore(&backups, None, Some(before), &older.directory()).expect("restored");
    Engine::adopt(&Config { directory: older.directory(), ..site.config() }).expect("adopted");
    let running = serve(&older, &configuration);
    let ready = running.ask("GET", "/readyz", &[], b"");
    assert_eq!(ready.status, 503);
    let logged = fs::read_to_string(older.file("serve.log")).expect("a log");
    assert!(logged.contains(&format!("w1 cosigned size {size}, this copy ends at {before}")), "{logged}");
    drop(running);
    assert_eq!(older.open().expect("opened").ledger().published().size, before, "nothing was signed");
}

/// A monitor of these addresses, by this policy, that looks once: its exit status and what it logged.
fn monitored(site: &Site, state: &str, policy: &str, urls: &[String]) -> (Option<i32>, String) {
    let path = site.file("monitored");
    fs::write(&path, policy).expect("written");
    let mut command = program(&["monitor", "--once", "--policy", path.to_str().expect("UTF-8")]);
    command.arg("--data").arg(site.file(state));
    for url in urls {
        command.args(["--log", url]);
    }
    let output = command.output().expect("run");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn a_monitor_follows_a_log_and_shouts_at_a_second_history() {
    let server = Server::with(SILENT, |_| ());
    server.issue(1..300);
    let line = log_line_of(&server);
    let policy = format!("{line}quorum none\n");
    let url = format!("http://{}", server.running.address);
    let look = |urls: &[String]| monitored(&server.site, "monitor", &policy, urls);
    let (exit, logged) = look(std::slice::from_ref(&url));
    assert!(exit == Some(0) && logged.contains("all is well"), "{logged}");
    // The second time it goes on from what it kept, and a log that did not change is as well as one that grew.
    assert_eq!(look(std::slice::from_ref(&url)).0, Some(0));
    let bundles = "fapiao_http_requests_total{endpoint=\"entries\",status=\"200\"}";
    let before = server.running.figure(bundles);
    server.issue(300..310);
    assert_eq!(look(std::slice::from_ref(&url)).0, Some(0));
    assert_eq!(server.running.figure(bundles), before + 1, "what was read once is not read again");

    // Two copies from one backup, each taken for the only one.
    let backups = server.site.file("backups");
    let Server { running, site, tokens, configuration } = server;
    drop(running);
    drop(site.open().expect("opened").back_up(&backups, 3).expect("backed up"));
    let [a, b] = ["a", "b"].map(|_| {
        let copy = Site::new();
        Engine::restore(&backups, None, None, &copy.directory()).expect("restored");
        Engine::adopt(&Config { directory: copy.directory(), ..site.config() }).expect("adopted");
        Server { running: serve(&copy, &configuration), site: copy, tokens: tokens.clone(), configuration: configuration.clone() }
    });
    let urls = [&a, &b].map(|server| format!("http://{}", server.running.address));
    let look = |state: &str, urls: &[String]| monitored(&site, state, &policy, urls);
    assert_eq!(look("monitor", &urls).0, Some(0), "both are what the one was");
    a.issue(310..313);
    assert_eq!(look("monitor", &urls).0, Some(0), "one is only behind");
    b.issue(320..322);
    let (exit, logged) = look("monitor", &urls);
    assert!(exit == Some(1) && logged.contains("two histories"), "{logged}");
    // One that is silent is no reason to shout at the other, which is only behind.
    let (exit, logged) = look("monitor", &[urls[0].clone(), "http://127.0.0.1:9".to_owned()]);
    assert!(exit == Some(0) && logged.contains("could not be asked"), "{logged}");
    let evidence = fs::read_dir(site.file("monitor/evidence")).expect("a folder").next().expect("a file").expect("a file").path();
    let evidence = fs::read_to_string(evidence).expect("readable");
    let signatures = evidence.matches(&format!("\n\u{2014} {}", line.trim_start_matches("log ").split('+').next().expect("a name"))).count();
    assert!(evidence.starts_with("two histories") && signatures >= 2, "{evidence}");
    // The longer of the two, too, and at one address that changed its mind.
    b.issue(322..330);
    let (exit, logged) = look("monitor", &urls);
    assert!(exit == Some(1) && logged.contains("two histories"), "{logged}");
    let (exit, logged) = look("monitor", &urls[1..]);
    assert!(exit == Some(1) && logged.contains("two histories"), "{logged}");
    // An older copy under the address of the newest.
    let (exit, logged) = look("other", &urls[1..]);
    assert!(exit == Some(0), "{logged}");
    let older = Site::new();
    Engine::restore(&backups, None, None, &older.directory()).expect("restored");
    Engine::adopt(&Config { directory: older.directory(), ..site.config() }).expect("adopted");
    let older = serve(&older, &configuration);
    let (exit, logged) = look("other", &[format!("http://{}", older.address)]);
    assert!(exit == Some(1) && logged.contains("it went back"), "{logged}");
    drop(older);
    assert_eq!(look("other", &["http://127.0.0.1:9".to_owned()]).0, Some(3));
}

#[test]
fn a_monitor_asks_for_the_cosignatures_of_its_own_policy() {
    let watcher = Watcher::new("w1");
    let (server, witness) = watched(&watcher);
    let url = [format!("http://{}", server.running.address)];
    let line = log_line_of(&server);
    let policy = format!("{line}{}quorum w1\n", watcher.line(&witness));
    let (exit, logged) = monitored(&server.site, "monitor", &policy, &url);
    assert_eq!(exit, Some(0), "{logged}");
    let stranger = Watcher::new("w2");
    let other = format!("{line}witness w2 {}\nquorum w2\n", stranger.cosigner.encode());
    let (exit, logged) = monitored(&server.site, "monitor", &other, &url);
    assert!(exit == Some(1) && logged.contains("is not cosigned"), "{logged}");
    let foreign = verifier_key(line.trim_start_matches("log ").split('+').next().expect("a name"), &SigningKey::from_seed(&[3; 32]).public());
    let (exit, logged) = monitored(&server.site, "monitor", &format!("log {foreign}\nquorum none\n"), &url);
    assert!(exit == Some(1) && logged.contains("none of the keys"), "{logged}");
    // What is not shown to witnesses any more is found out by its age.
    drop(witness);
    let mut command = program(&["monitor", "--once", "--freshest", "1", "--log", &url[0], "--policy"]);
    command.arg(server.site.file("policy")).arg("--data").arg(server.site.file("aged"));
    fs::write(server.site.file("policy"), &policy).expect("written");
    std::thread::sleep(Duration::from_secs(3));
    let output = command.output().expect("run");
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("s ago that enough witnesses saw it"), "{output:?}");
}

/// As [`log_line`], of a ledger that is being served.
fn log_line_of(server: &Server) -> String {
    let key = server.site.keyring().checkpoint().key.public();
    let note = wait_for("a checkpoint", || {
        let reply = server.ask_as("", "GET", "/checkpoint", b"");
        (reply.status == 200).then(|| reply.text().to_owned())
    });
    format!("log {}\n", verifier_key(checkpoint_of(&note).origin.as_str(), &key))
}

/// A log in memory that says whatever a test wants it to say.
struct Liar {
    key: SigningKey,
    origin: Origin,
}

impl Liar {
    fn new() -> Liar {
        Liar::at("liar.example/0123456789abcdef", 42)
    }

    fn at(origin: &str, seed: u8) -> Liar {
        Liar { key: SigningKey::from_seed(&[seed; 32]), origin: Origin::parse(origin).expect("an origin") }
    }

    /// A checkpoint of this size that no leaves make.
    fn forked(&self, size: u64) -> String {
        Checkpoint { origin: self.origin.clone(), size, root: [9; 32] }.sign(&self.key).encode()
    }

    fn line(&self) -> String {
        format!("log {}\n", verifier_key(self.origin.as_str(), &self.key.public()))
    }

    fn tree(branch: &str, size: u64) -> Vec<[u8; 32]> {
        (0..size).map(|at| leaf_hash(format!("{}{at}", if at < 3 { "common" } else { branch }).as_bytes())).collect()
    }

    fn note(&self, branch: &str, size: u64) -> String {
        let mut tree = Tree::new();
        Liar::tree(branch, size).into_iter().for_each(|hash| drop(tree.append(hash)));
        Checkpoint { origin: self.origin.clone(), size, root: tree.root() }.sign(&self.key).encode()
    }

    /// A submission whose proof holds within the branch.
    fn body(&self, branch: &str, old: u64, size: u64) -> String {
        let hashes = Liar::tree(branch, size);
        let read = |level: u8, n: u64| {
            let above: Vec<_> = hashes.chunks_exact(256).map(merkle::root_of).collect();
            let row = if level == 0 { &hashes } else { &above };
            let tile = row.chunks(256).nth(usize::try_from(n).expect("small")).expect("a tile");
            Ok::<_, ()>(tile.concat())
        };
        let proof = if old == 0 { Vec::new() } else { merkle::consistency_proof(old, size, read).expect("a proof") };
        AddCheckpoint::encode(old, &proof, &self.note(branch, size))
    }
}

fn add(witness: &Running, body: &str) -> Reply {
    witness.ask("POST", "/add-checkpoint", &[], body.as_bytes())
}

/// Whether a reply is a cosignature of this checkpoint.
fn is_cosigned(watcher: &Watcher, reply: &Reply, note: &str) -> bool {
    let line = NoteSignature::parse(reply.text().trim_end()).unwrap_or_else(|| panic!("{reply:?}"));
    reply.status == 200 && watcher.cosigner.time_of(Note::parse(note).expect("a note").text(), &line).is_some()
}

#[test]
fn submissions_are_answered_as_the_specification_says() {
    let (watcher, liar) = (Watcher::new("w1"), Liar::new());
    watcher.knows(&liar.line());
    let witness = watcher.serve();
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 0, 3)), &liar.note("a", 3)));
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 3, 7)), &liar.note("a", 7)));
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 7, 7)), &liar.note("a", 7)));

    let behind = add(&witness, &liar.body("a", 3, 9));
    assert_eq!((behind.status, behind.header("content-type"), behind.text()), (409, "text/x.tlog.size", "7\n"));
    let unknown = add(&witness, &liar.body("a", 0, 9));
    assert_eq!((unknown.status, unknown.text()), (409, "7\n"));
    let fork = add(&witness, &liar.body("b", 7, 9));
    assert!(fork.status == 422 && fork.text().contains("another copy of this log signs"), "{}", fork.text());
    let same_size = add(&witness, &liar.body("b", 7, 7));
    assert!(same_size.status == 409 && same_size.header("content-type") != "text/x.tlog.size", "{same_size:?}");
    assert_eq!(add(&witness, &liar.body("a", 3, 5).replacen("old 3", "old 6", 1)).status, 400);
    assert_eq!(add(&witness, &liar.body("a", 7, 9).replace("liar.example", "other.example")).status, 404);
    let stranger = Liar { key: SigningKey::from_seed(&[43; 32]), ..Liar::new() };
    assert_eq!(add(&witness, &stranger.body("a", 7, 9)).status, 403);
    assert_eq!(add(&witness, "old 7\n\nnothing").status, 400);
    assert_eq!(add(&witness, &"x".repeat(200_000)).status, 413);
    assert_eq!(witness.ask("GET", "/add-checkpoint", &[], b"").status, 405);
    assert_eq!(witness.ask("GET", "/nowhere", &[], b"").status, 404);
    assert_eq!(witness.ask("GET", "/healthz", &[], b"").status, 200);
    assert!(witness.ask("GET", "/", &[], b"").text().contains(&watcher.cosigner.encode()));
    // None of it changed what it cosigns next, and both forks are kept for whoever has to be shown them.
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 7, 9)), &liar.note("a", 9)));
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 9, 700)), &liar.note("a", 700)));
    for kind in ["roots", "proof"] {
        let evidence = watcher.evidence(kind);
        assert_eq!(evidence.len(), 1, "{kind}");
        assert!(evidence[0].contains(&liar.note("a", 7)) && evidence[0].contains("submitted:"), "{evidence:?}");
    }
    assert!(watcher.logged().contains("a log signed another history"));
}

#[test]
fn what_strangers_make_up_for_a_public_checkpoint_does_no_harm() {
    let (watcher, liar, other) = (Watcher::new("w1"), Liar::new(), Liar::at("other.example/0123456789abcdef", 44));
    watcher.knows(&(liar.line() + &other.line()));
    let witness = watcher.serve();
    assert_eq!(add(&witness, &liar.body("a", 0, 3)).status, 200);
    // Proofs out of thin air are refused, and fill nothing; what the log itself signed is kept all the same.
    for seed in 0..150u8 {
        let body = AddCheckpoint::encode(3, &[[seed; 32]], &liar.note("a", 9));
        assert_eq!(add(&witness, &body).status, 422);
        assert_eq!(add(&witness, &AddCheckpoint::encode(3, &[[seed; 32]], &liar.note("a", 3))).status, 422);
    }
    assert_eq!(watcher.evidence("proof").len(), 1);
    assert_eq!(add(&witness, &AddCheckpoint::encode(3, &[], &liar.forked(3))).status, 409);
    assert_eq!(watcher.evidence("roots").len(), 1);
    // A line in the name of another log that it knows, as long as a note may have it.
    let public = Note::parse(&other.note("a", 1)).expect("a note").signatures()[0].clone();
    let line = NoteSignature { signature: vec![7; 90_000], ..public };
    let note = liar.note("a", 5) + &line.encode();
    let proof = AddCheckpoint::parse(liar.body("a", 3, 5).as_bytes()).expect("a body").proof;
    assert!(is_cosigned(&watcher, &add(&witness, &AddCheckpoint::encode(3, &proof, &note)), &liar.note("a", 5)));
    drop(witness);
    let witness = watcher.serve();
    assert!(is_cosigned(&watcher, &add(&witness, &liar.body("a", 5, 6)), &liar.note("a", 6)));
}

#[test]
fn nothing_is_cosigned_that_the_lock_record_does_not_know() {
    let (watcher, liar) = (Watcher::new("w1"), Liar::new());
    watcher.knows(&liar.line());
    let witness = watcher.serve();
    assert_eq!(add(&witness, &liar.body("a", 0, 3)).status, 200);
    let in_the_way = watcher.file("witness.lock.new");
    fs::create_dir(&in_the_way).expect("made");
    for _ in 0..3 {
        let failed = add(&witness, &liar.body("a", 3, 5));
        assert!(failed.status == 503 && NoteSignature::parse(failed.text().trim_end()).is_none(), "{failed:?}");
        assert!(!witness.ask("GET", "/", &[], b"").text().contains("\n5\n"));
    }
    fs::remove_dir(&in_the_way).expect("removed");
    drop(witness);
    // It begins, whatever was half written, and goes on.
    let witness = watcher.serve();
    let next = add(&witness, &liar.body("a", 5, 6));
    let next = if next.status == 409 { add(&witness, &liar.body("a", 3, 6)) } else { next };
    assert!(is_cosigned(&watcher, &next, &liar.note("a", 6)));
}

/// Something at the address of a witness that says whatever a test wants it to say. It ends with the process.
fn pretender(answer: impl Fn(&AddCheckpoint) -> Option<(u16, &'static str, String)> + Send + 'static) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(stated) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = stated.trim().parse().expect("a length");
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let submitted = AddCheckpoint::parse(&body).expect("a submission");
            match answer(&submitted) {
                None => std::mem::forget(reader),
                Some((status, content_type, text)) => {
                    let head = format!(
                        "HTTP/1.1 {status} So\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        text.len()
                    );
                    drop(reader.get_mut().write_all((head + &text).as_bytes()));
                }
            }
        }
    });
    address
}

/// A server whose only witness is a pretender.
fn served_for(answer: impl Fn(&AddCheckpoint) -> Option<(u16, &'static str, String)> + Send + 'static) -> (Server, impl Fn(&Server, u32) -> u16) {
    let Server { running, site, tokens, .. } = Server::with(SILENT, |_| ());
    drop(running);
    let address = pretender(answer);
    let configuration = by_policy(&site, &format!("witness w1 {} http://{address}\nquorum w1\n", placeholder().encode()));
    let server = Server { running: serve(&site, &configuration), site, tokens, configuration };
    let issue = |server: &Server, number: u32| {
        let draft = crate::support::plain(fapiao::domain::kind::Kind::Electronic, number, fapiao::domain::money::Fen(100)).to_string();
        server.ask_as("issuer", "POST", "/v1/invoices", draft.as_bytes()).status
    };
    (server, issue)
}

const SIZE: &str = "text/x.tlog.size";

#[test]
fn a_witness_that_was_shown_a_newer_checkpoint_meanwhile_disputes_nothing() {
    // Whoever holds a receipt can show it to a witness before the log does. The pretender has the log grow before it answers, as if that had happened.
    let (tell, told) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let rounds = std::sync::atomic::AtomicU64::new(0);
    let (server, issue) = served_for(move |submitted| {
        if rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return Some((404, "text/plain", "not yet".to_owned()));
        }
        tell.send(submitted.checkpoint.size).expect("the test listens");
        wait.recv().expect("the log has grown");
        Some((409, SIZE, format!("{}\n", submitted.checkpoint.size + 1)))
    });
    for number in 1..4 {
        told.recv_timeout(PATIENCE).expect("asked");
        assert_eq!(issue(&server, number), 201);
        done.send(()).expect("it waits");
    }
    told.recv_timeout(PATIENCE).expect("asked again");
    assert_eq!(server.ask_as("", "GET", "/readyz", b"").status, 200);
    assert!(!server.site.directory().join("disputed").exists());
    assert!(server.logged().contains("somebody showed it a newer checkpoint"), "{}", server.logged());
}

#[test]
fn only_what_the_specification_says_is_a_dispute() {
    for (status, content_type, text) in [
        (409, "text/plain", "a proxy says so"),
        (409, SIZE, "nothing"),
        (409, SIZE, "-1\n"),
        (403, "text/plain", "no"),
        (500, "text/plain", "no"),
        (200, "text/plain", "no cosignature"),
    ] {
        let (server, issue) = served_for(move |submitted| {
            // A proxy's word at the size that was asked about is as good as the witness's.
            (submitted.old_size != submitted.checkpoint.size).then(|| (status, content_type, text.to_owned()))
        });
        assert_eq!((server.ask_as("", "GET", "/readyz", b"").status, issue(&server, 1)), (200, 201), "{status} {text}");
    }
    for (status, content_type) in [(422, "text/plain"), (409, "text/plain"), (409, SIZE)] {
        let (server, issue) = served_for(move |submitted| {
            let size = submitted.checkpoint.size;
            Some(match submitted.old_size {
                0 => (409, SIZE, format!("{size}\n")),
                _ => (status, content_type, format!("{size}\n")),
            })
        });
        assert_eq!((server.ask_as("", "GET", "/readyz", b"").status, issue(&server, 1)), (503, 503), "{status} {content_type}");
    }
}

#[test]
fn one_that_does_not_answer_takes_nothing_from_what_the_others_say() {
    let Server { running, site, tokens, .. } = Server::with(SILENT, |_| ());
    drop(running);
    let further = |_: &AddCheckpoint| Some((409, SIZE, "1000\n".to_owned()));
    let policy = [pretender(further), pretender(further), pretender(|_| None)].map(|address| format!("http://{address}"));
    let key = |seed: u8| {
        let public = fapiao::crypto::sign::PublicKey::parse(&SigningKey::from_seed(&[seed; 32]).public()).expect("a key");
        Cosigner::new("w", public).expect("a cosigner").encode()
    };
    let lines: String = policy.iter().zip(1..).map(|(url, seed)| format!("witness w{seed} {} {url}\n", key(seed))).collect();
    let configuration = by_policy(&site, &format!("{lines}group two 2 w1 w2 w3\nquorum two\n"));
    let server = Server { running: serve(&site, &configuration), site, tokens, configuration };
    assert_eq!(server.ask_as("", "GET", "/readyz", b"").status, 503);
    assert!(server.site.directory().join("disputed").exists());
}

#[test]
fn more_witnesses_than_a_checkpoint_has_room_for_are_refused() {
    let site = Site::new();
    drop(site.create());
    let lines: String = (1..=14u8)
        .map(|seed| {
            let public = fapiao::crypto::sign::PublicKey::parse(&SigningKey::from_seed(&[seed; 32]).public()).expect("a key");
            format!("witness w{seed} {}\n", Cosigner::new("w", public).expect("a cosigner").encode())
        })
        .collect();
    fs::write(site.file("serve.toml"), by_policy(&site, &format!("{lines}quorum w1\n"))).expect("written");
    let path = site.file("serve.toml");
    let output = site.program(&["serve", "--listen", "127.0.0.1:0", "--config", path.to_str().expect("UTF-8")]).output().expect("run");
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("more than 13 witnesses"), "{output:?}");
}

#[test]
fn a_monitor_reads_on_where_it_was_told_to_wait() {
    let server = Server::with(
        "[issue]\ndays_back = 36500\n[quota]\naddress_per_minute = 120\naddress_burst = 1\nkey_per_minute = 0\n[revocations]\nminutes = 0\n",
        |_| (),
    );
    server.issue(1..900);
    let policy = format!("{}quorum none\n", log_line_of(&server));
    let (exit, logged) = monitored(&server.site, "monitor", &policy, &[format!("http://{}", server.running.address)]);
    assert!(exit == Some(0) && logged.contains("all is well"), "{logged}");
    let throttled = "fapiao_http_requests_total{endpoint=\"entries\",status=\"429\"}";
    let figures = wait_for("figures", || {
        let reply = server.running.ask("GET", "/metrics", &[], b"");
        (reply.status == 200).then(|| reply.text().to_owned())
    });
    assert!(figures.lines().any(|line| line.starts_with(throttled)), "nothing was throttled");
}

#[test]
fn a_witness_that_is_killed_again_and_again_never_goes_back() {
    let (watcher, liar) = (Watcher::new("w1"), Liar::new());
    watcher.knows(&liar.line());
    let (mut size, mut times) = (0, Vec::new());
    for round in 0..8u64 {
        let witness = watcher.serve();
        let about = witness.ask("GET", "/", &[], b"");
        let known = about.text().lines().find_map(|line| line.parse::<u64>().ok()).unwrap_or(0);
        // What left it, it knows; one more it may have written before it could say so.
        assert!(known == size || known == size + 1, "{known} after {size}");
        size = known;
        // A branch of its own in each life: only the first that was cosigned can go on.
        let killer = {
            let id = rustix::process::Pid::from_raw(i32::try_from(witness.id()).expect("an id")).expect("a process");
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20 + 13 * round));
                rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("killed");
            })
        };
        loop {
            let body = liar.body("a", size, size + 1);
            let Ok(mut client) = crate::support::http::Client::try_connect(witness.address) else { break };
            if client.try_send(&crate::support::http::request("POST", "/add-checkpoint", &[], body.as_bytes())).is_err() {
                break;
            }
            let Ok(reply) = client.try_reply() else { break };
            assert!(is_cosigned(&watcher, &reply, &liar.note("a", size + 1)), "{reply:?}");
            let line = NoteSignature::parse(reply.text().trim_end()).expect("a line");
            times.push(u64::from_be_bytes(*line.signature.first_chunk().expect("a time")));
            size += 1;
        }
        killer.join().expect("no panic");
    }
    assert!(size > 8, "it got nowhere: {size}");
    assert!(times.is_sorted());
}

#[test]
fn a_witness_restored_from_a_copy_does_not_cosign_until_it_knows_what_it_cosigned() {
    let (watcher, liar) = (Watcher::new("w1"), Liar::new());
    watcher.knows(&liar.line());
    let witness = watcher.serve();
    assert_eq!(add(&witness, &liar.body("a", 0, 3)).status, 200);
    copy_tree(&watcher.file("witness"), &watcher.file("backup"));
    let cosigned = add(&witness, &liar.body("a", 3, 9));
    assert_eq!(cosigned.status, 200);
    let full = liar.note("a", 9) + cosigned.text();
    witness.signal(rustix::process::Signal::TERM);
    assert_eq!(witness.wait(), Some(0));

    // In place: the files of the backup over those that are there.
    fs::copy(watcher.file("backup/state"), watcher.file("witness/state")).expect("restored");
    let told = watcher.does_not_begin(&watcher.file("witness"));
    assert!(told.contains("its lock record is ahead of its state") && told.contains("witness adopt"), "{told}");
    // Elsewhere, without the record and with it.
    copy_tree(&watcher.file("backup"), &watcher.file("elsewhere"));
    assert!(watcher.does_not_begin(&watcher.file("elsewhere")).contains("its lock record is missing"));
    let serial = fs::read_to_string(watcher.file("backup/state")).expect("a state");
    let serial: String = serial.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(watcher.file("elsewhere.lock"), serial).expect("written");
    assert!(watcher.does_not_begin(&watcher.file("elsewhere")).contains("its directory is a copy"));
    fs::remove_file(watcher.file("elsewhere.lock")).expect("removed");

    // A checkpoint without its cosignature says nothing about it, one with it does.
    fs::write(watcher.file("bare"), liar.note("a", 9)).expect("written");
    fs::write(watcher.file("full"), &full).expect("written");
    let bare = watcher.file("bare");
    let refused = watcher.run(&["adopt", "--checkpoint", bare.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let newest = watcher.file("full");
    let adopted = watcher.run(&["adopt", "--checkpoint", newest.to_str().expect("UTF-8"), "--json"]);
    assert!(adopted.status.success(), "{adopted:?}");
    let adopted: Value = serde_json::from_slice(&adopted.stdout).expect("JSON");
    assert_eq!(adopted["logs"][0]["size"], 9);

    let witness = watcher.serve();
    for branch in ["a", "b"] {
        let back = add(&witness, &liar.body(branch, 3, 6));
        assert_eq!((back.status, back.text()), (409, "9\n"), "{branch}");
    }
    assert_eq!(add(&witness, &liar.body("b", 9, 12)).status, 422);
    assert_eq!(add(&witness, &liar.body("a", 9, 12)).status, 200);
    // Nobody else runs it meanwhile.
    assert!(watcher.does_not_begin(&watcher.file("witness")).contains("in use"));
}

#[test]
fn the_page_on_witnesses_runs_as_it_stands() {
    let said = run(&(blocks(include_str!("../../src/manual/witness.md")).collect::<String>() + "cat monitor/state\n"));
    assert!(said.contains("witness witness.example/w1+") && said.contains("fapiao-monitor/1"), "{said}");
}
