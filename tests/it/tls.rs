//! TLS: curl speaks it to a live server, certificates change under it, and the program finds a server by certificates that it believes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fapiao::channel::http::Tls;
use fapiao::domain::kind::Kind;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::server::{CONFIGURATION, Server};
use crate::support::{generated, id, logged, program, signed_qr, submit};

/// A server with the first of two identities.
struct Secure {
    server: Server,
    /// The signed code of a genuine invoice.
    code: String,
    identities: TempDir,
}

impl Secure {
    fn start() -> Secure {
        let identities = identities();
        let file = |name: &str| identities.path().join(name).display().to_string();
        let configuration = format!("{CONFIGURATION}[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", file("used.pem"), file("used.key"));
        let mut code = String::new();
        take(identities.path(), "first", &["pem", "key"]);
        let server = Server::with(&configuration, |engine| {
            logged(submit(engine, &generated(Kind::Roll, 41, 7)));
            code = signed_qr(engine, id(Kind::Roll, 7));
        });
        Secure { server, code, identities }
    }

    fn file(&self, name: &str) -> String {
        self.identities.path().join(name).display().to_string()
    }

    fn take(&self, name: &str, endings: &[&str]) {
        take(self.identities.path(), name, endings);
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.server.running.address.port())
    }

    /// What curl says of `/healthz`, believing this authority.
    fn curl(&self, authority: &str, options: &[&str]) -> (bool, String) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}", "--cacert"]);
        let output = curl.arg(self.file(&format!("{authority}-ca.pem"))).args(options).arg(self.url() + "/healthz").output().expect("curl");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits for a line of the log with these words.
    fn await_log(&self, words: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(self.server.site.file("serve.log")).expect("a log").contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain for {words:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Two authorities, each with an identity for localhost.
fn identities() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let mut python = Command::new(std::env::var("FAPIAO_PYTHON").unwrap_or_else(|_| "python3".into()));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates.py")).arg(directory.path()).args(["first", "second"]);
    let made = python.output().expect("Python; FAPIAO_PYTHON names one that has the package cryptography");
    assert!(made.status.success(), "{made:?}");
    directory
}

fn take(directory: &Path, name: &str, endings: &[&str]) {
    for ending in endings {
        fs::copy(directory.join(format!("{name}.{ending}")), directory.join(format!("used.{ending}"))).expect("copied");
    }
}

#[test]
fn curl_speaks_both_versions_of_tls_and_of_http() {
    let secure = Secure::start();
    for (options, http) in [
        (&["--http1.1", "--tlsv1.2", "--tls-max", "1.2"][..], "1.1"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2"),
        (&["--http1.1", "--tlsv1.3"], "1.1"),
        (&["--http2", "--tlsv1.3"], "2"),
        (&["--no-alpn", "--tlsv1.3"], "1.1"),
    ] {
        assert_eq!(secure.curl("first", options), (true, format!("200 {http}")), "{options:?}");
    }
    assert!(!secure.curl("second", &[]).0, "by another authority");
    assert!(!secure.curl("first", &["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]).0, "an old version");
    // Plain HTTP is not answered, and costs nobody else anything.
    let mut plain = TcpStream::connect(secure.server.running.address).expect("connected");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let metrics = Command::new("curl").args(["--silent", "--cacert", &secure.file("first-ca.pem"), &(secure.url() + "/metrics")]).output();
    let metrics = String::from_utf8(metrics.expect("curl").stdout).expect("UTF-8");
    let failed = metrics.lines().find_map(|line| line.strip_prefix("fapiao_tls_handshakes_failed_total ")).expect("a figure");
    assert_eq!(failed, "3");
}

#[test]
fn a_certificate_changes_without_a_restart_and_a_bad_one_changes_nothing() {
    let secure = Secure::start();
    assert!(secure.curl("first", &[]).0);
    // Of a pair that does not belong together nothing is used, as while it is being replaced.
    secure.take("second", &["pem"]);
    secure.server.running.signal(Signal::HUP);
    secure.await_log("the certificate stays as it was");
    assert!(secure.curl("first", &[]).0 && !secure.curl("second", &[]).0);
    secure.take("second", &["key"]);
    secure.server.running.signal(Signal::HUP);
    secure.await_log("the certificate was read again");
    assert!(secure.curl("second", &[]).0 && !secure.curl("first", &[]).0);
    fs::remove_file(secure.file("used.key")).expect("removed");
    secure.server.running.signal(Signal::HUP);
    secure.await_log("No such file");
    assert!(secure.curl("second", &[]).0);
}

#[test]
fn files_that_changed_are_found_without_being_told() {
    let identities = identities();
    let file = |name: &str| identities.path().join(name);
    take(identities.path(), "first", &["pem", "key"]);
    let tls = Tls::read(file("used.pem"), file("used.key")).expect("an identity");
    assert!(!tls.renew(false).expect("as they were"));
    assert!(tls.renew(true).expect("read all the same"));
    take(identities.path(), "second", &["pem"]);
    tls.renew(false).expect_err("half of it");
    assert!(!tls.renew(false).expect("tried once"));
    take(identities.path(), "second", &["key"]);
    assert!(tls.renew(false).expect("all of it"));
    for (name, text, told) in [
        ("used.pem", "", "no certificate in it"),
        ("used.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "used.pem and "),
        ("used.key", "a word", "no private key in it"),
    ] {
        take(identities.path(), "second", &["pem", "key"]);
        fs::write(file(name), text).expect("written");
        let error = Tls::read(file("used.pem"), file("used.key")).expect_err(name).to_string();
        assert!(error.contains(told) && error.contains(name), "{error}");
    }
}

#[test]
fn the_program_believes_what_it_is_told_to_believe() {
    let secure = Secure::start();
    let ask = |options: &[&str]| -> Output {
        let server = secure.url();
        program(&["verify", "--server", &server, "--qr", &secure.code]).args(options).output().expect("run")
    };
    let genuine = ask(&["--ca", &secure.file("first-ca.pem")]);
    assert_eq!(genuine.status.code(), Some(0), "{genuine:?}");
    for (authority, status) in [("second-ca.pem", 3), ("used.key", 2), ("nowhere.pem", 2)] {
        let refused = ask(&["--ca", &secure.file(authority)]);
        assert_eq!(refused.status.code(), Some(status), "{refused:?}");
    }
    let other = ask(&["--ca", &secure.file("second-ca.pem")]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("certificate"), "{other:?}");
}

/// Whoever has connected and says nothing has begun nothing.
#[test]
fn a_handshake_that_does_not_come_holds_nothing_up() {
    let secure = Secure::start();
    let silent = TcpStream::connect(secure.server.running.address).expect("connected");
    assert!(secure.curl("first", &[]).0, "others are served meanwhile");
    secure.server.running.signal(Signal::TERM);
    secure.await_log("every request that was begun is answered");
    drop(silent);
}
