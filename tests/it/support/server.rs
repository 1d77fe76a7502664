//! `fapiao serve` as a process of its own, with a token for each role.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use fapiao::domain::caller::{Caller, Region, Role};
use fapiao::domain::kind::Kind;
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::engine::{Engine, NewCaller, Territory};
use serde_json::Value;
use tempfile::TempDir;

use super::http::{Client, Reply};
use super::{Site, allot_all, generated, other_seller, program, seller};

/// What is configured for most tests: the drafts are years old, and nobody waits for a quota that is not what the test is about.
pub(crate) const CONFIGURATION: &str = "[issue]\ndays_back = 36500\n[quota]\naddress_per_minute = 0\nkey_per_minute = 0\n";

/// The same, of a server that logs nothing by itself: no revocation lists.
pub(crate) const SILENT: &str = "[issue]\ndays_back = 36500\n[quota]\naddress_per_minute = 0\nkey_per_minute = 0\n[revocations]\nminutes = 0\n";

/// A process that serves, on a port of its own; it is killed with this value.
pub(crate) struct Running {
    child: Child,
    // It says more after its address, and is not to find that nobody listens.
    _said: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a program and waits until it says where it serves.
    pub(crate) fn start(mut command: Command, log: File) -> Running {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("started");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while said.read_line(&mut line).expect("UTF-8") > 0 {
            if let Some((_, address)) = line.split_once("://").filter(|_| line.contains("serv")) {
                let address = address.split_whitespace().next().and_then(|address| address.parse().ok());
                return Running { child, _said: said, address: address.expect("an address") };
            }
            line.clear();
        }
        panic!("it ended: {:?}", child.wait());
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it this signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("a process"), signal).expect("signalled");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("ended").code()
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Client::connect(self.address).ask(method, path, headers, body)
    }

    /// A figure of `/metrics`, by its whole name with labels; 0 where it is not there.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let reply = self.ask("GET", "/metrics", &[], b"");
        let value = reply.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.map_or(0, |value| value as u64)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A ledger whose numbers are allotted, served with a token for each role. Some have two: `issuer` acts for [`seller`], `issuer_other` for
/// [`other_seller`]; `administrator` acts everywhere, `administrator_44` in Guangdong.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) site: Site,
    pub(crate) tokens: BTreeMap<&'static str, String>,
    pub(crate) configuration: String,
}

impl Server {
    /// With the usual configuration.
    pub(crate) fn new() -> Server {
        Server::with(CONFIGURATION, |_| ())
    }

    /// With this configuration, after the ledger was prepared.
    pub(crate) fn with(configuration: &str, prepare: impl FnOnce(&Engine)) -> Server {
        Server::at(Site::new(), configuration, prepare, |_| ())
    }

    /// At this place; `before` is the last thing that happens before it is served.
    pub(crate) fn at(site: Site, configuration: &str, prepare: impl FnOnce(&Engine), before: impl FnOnce(&Site)) -> Server {
        let engine = site.create();
        allot_all(&engine);
        let mut tokens = BTreeMap::new();
        let regions = |digits: &str| Territory::Regions(vec![Region::parse(digits).expect("a region")]);
        let taxpayers = |name: &str| match name {
            "issuer" => vec![seller()],
            "issuer_other" => vec![other_seller()],
            "business" => vec![buyer()],
            _ => Vec::new(),
        };
        for (name, role) in [
            ("issuer", Role::Issuer),
            ("issuer_other", Role::Issuer),
            ("business", Role::Business),
            ("operator", Role::Operator),
            ("department", Role::Department),
            ("auditor", Role::Auditor),
            ("administrator", Role::Administrator),
            ("administrator_44", Role::Administrator),
        ] {
            let territory = if name.ends_with("44") { regions("44") } else { Territory::WholeCountry };
            let new = NewCaller { role, taxpayers: taxpayers(name), regions: territory, issuer_key: None, label: name.to_owned(), expires: None };
            let (_, token) = engine.enrol(new, &Caller::CONSOLE).expect("enrolled");
            tokens.insert(name, token.reveal().as_str().to_owned());
        }
        prepare(&engine);
        drop(engine);
        before(&site);
        let running = serve(&site, configuration);
        Server { running, site, tokens, configuration: configuration.to_owned() }
    }

    /// The same ledger served again, once the process before is gone.
    pub(crate) fn restart(mut self) -> Server {
        drop(self.running.child.kill());
        drop(self.running.child.wait());
        self.running = serve(&self.site, &self.configuration);
        self
    }

    /// What it wrote to its log since it was started.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.site.file("serve.log")).expect("a log")
    }

    /// The header with this caller's token.
    pub(crate) fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.tokens[name])
    }

    /// Issues invoices with these numbers, in one request.
    pub(crate) fn issue(&self, numbers: std::ops::Range<u32>) {
        let drafts: String = numbers.clone().map(|number| generated(Kind::Electronic, u64::from(number), number).to_string() + "\n").collect();
        let reply = self.ask_as("issuer", "POST", "/v1/invoices/bulk", drafts.as_bytes());
        let issued = reply.text().lines().filter(|line| line.contains("\"status\":\"logged\"")).count();
        assert_eq!((reply.status, issued), (200, numbers.len()), "{}", reply.text().lines().next().unwrap_or_default());
    }

    /// Asks on a connection of its own; `name` is empty for nobody in particular.
    pub(crate) fn ask_as(&self, name: &str, method: &str, path: &str, body: &[u8]) -> Reply {
        let bearer = if name.is_empty() { String::new() } else { self.bearer(name) };
        let headers = [("Authorization", bearer.as_str())];
        self.running.ask(method, path, if name.is_empty() { &[] } else { &headers }, body)
    }
}

/// The buyer of the drafts that are issued in these tests.
pub(crate) fn buyer() -> TaxpayerId {
    TaxpayerId::parse("91440300MA5DQMX182").expect("a tax id")
}

/// The ledger of a site, served.
pub(crate) fn serve(site: &Site, configuration: &str) -> Running {
    let path = site.file("serve.toml");
    fs::write(&path, configuration).expect("written");
    let log = File::create(site.file("serve.log")).expect("a log");
    Running::start(site.program(&["serve", "--listen", "127.0.0.1:0", "--config", path.to_str().expect("UTF-8")]), log)
}

/// The ledger that a demo made, served with another configuration than a demo has.
pub(crate) struct Made {
    pub(crate) running: Running,
    /// What `--json` wrote; its address is not the one that is served.
    pub(crate) made: Value,
    _root: TempDir,
}

impl Made {
    pub(crate) fn served(configuration: &str) -> Made {
        let root = tempfile::tempdir().expect("a directory");
        let path = |name: &str| root.path().join(name).into_os_string().into_string().expect("UTF-8");
        let made = program(&["demo", "--once", "--data", &path("ledger"), "--json", &path("made.json")]).output().expect("run");
        assert!(made.status.success(), "{made:?}");
        fs::write(path("serve.toml"), configuration).expect("written");
        let log = File::create(path("log")).expect("a log");
        let serve = program(&["serve", "--listen", "127.0.0.1:0", "--data", &path("ledger"), "--config", &path("serve.toml")]);
        let running = Running::start(serve, log);
        let made = serde_json::from_slice(&fs::read(path("made.json")).expect("readable")).expect("JSON");
        Made { running, made, _root: root }
    }

    /// The header with the token of this role.
    pub(crate) fn bearer(&self, role: &str) -> String {
        format!("Bearer {}", self.made["tokens"][role].as_str().expect("a token"))
    }
}
