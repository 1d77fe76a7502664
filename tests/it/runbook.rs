//! The runbook works: every block of it runs as it stands, in the situation that it is for, and leaves a ledger that is sound and signs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fapiao::channel::question;
use fapiao::cli::sample;
use fapiao::crypto::keyfile::KdfCost;
use fapiao::domain::allotment::{Allotment, NumberRange};
use fapiao::domain::kind::Kind;
use fapiao::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{self, Config, Engine};
use fapiao::verify::verdict::Verdict;
use serde_json::Value;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::{PASSPHRASE, copy_tree, database, flip, logged, seller, submit, table_files, tree_bytes};
use crate::token;

const PAGE: &str = include_str!("../../src/manual/runbook.md");

fn invoice(number: u32) -> InvoiceId {
    InvoiceId { code: InvoiceCode::parse("033002600111").expect("a code"), number: InvoiceNumber::from_ordinal(number).expect("a number") }
}

fn draft(number: u32) -> String {
    sample::draft(Kind::Electronic, u64::from(number), invoice(number), engine::today(), &seller())
}

/// Where an operator stands: `ledger`, `ledger.lock`, `backups`, `drafts.jsonl` and `receipts.jsonl` in one directory; `older` is a copy of the
/// ledger that is older by five invoices, `older.lock` its lock record.
struct Desk {
    root: TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { root: tempfile::tempdir().expect("a directory") };
        fs::write(desk.path("passphrase"), PASSPHRASE).expect("writable");
        let engine = Engine::create(desk.config()).expect("a new ledger");
        let range = NumberRange::new(invoice(1).code, invoice(1).number, invoice(1_000).number).expect("ordered");
        logged(engine.allot(Allotment { taxpayer: seller(), kind: Kind::Electronic, range }));
        drop(engine);
        desk.issue(1..=5);
        desk.says("fapiao ledger backup --data ledger --to backups");
        copy_tree(&desk.path("ledger"), &desk.path("older"));
        fs::copy(desk.path("ledger.lock"), desk.path("older.lock")).expect("copied");
        desk.issue(6..=10);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn config(&self) -> Config {
        Config { kdf: KdfCost::TRIVIAL, ..Config::new(&self.path("ledger"), Some(Zeroizing::new(PASSPHRASE.to_owned()))) }
    }

    /// Commands as an operator gives them.
    fn bash(&self, commands: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_fapiao"));
        let path = format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", commands]).current_dir(self.root.path());
        bash.env("PATH", format!("{}:{path}", self.path("bin").display())).env("FAPIAO_PASSPHRASE_FILE", self.path("passphrase"));
        for (name, file) in [("FAPIAO_URL", "url"), ("FAPIAO_TOKEN", "token")] {
            bash.env(name, fs::read_to_string(self.path(file)).unwrap_or_default());
        }
        if self.path("softhsm2.conf").exists() {
            bash.env("SOFTHSM2_CONF", self.path("softhsm2.conf")).env("FAPIAO_PKCS11_MODULE", token::module());
            bash.env("FAPIAO_PKCS11_TOKEN", token::LABEL).env("FAPIAO_PIN_FILE", self.path("pin"));
        }
        bash
    }

    /// What commands print that succeed.
    #[track_caller]
    fn says(&self, commands: &str) -> String {
        let Output { status, stdout, stderr } = self.bash(commands).output().expect("bash runs");
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{commands}\nsaid: {said}\n{}", String::from_utf8_lossy(&stderr));
        said
    }

    /// Issues drafts of today and keeps them with their receipts.
    #[track_caller]
    fn issue(&self, numbers: std::ops::RangeInclusive<u32>) {
        let drafts: String = numbers.map(|number| draft(number) + "\n").collect();
        fs::write(self.path("new.jsonl"), drafts).expect("writable");
        self.says("fapiao issue --data ledger new.jsonl >> receipts.jsonl; cat new.jsonl >> drafts.jsonl");
    }

    /// The codes that `doctor` gives.
    fn doctor(&self) -> BTreeSet<String> {
        let output = self.bash("fapiao doctor --data ledger --json").output().expect("bash runs");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let symptoms = value["symptoms"].as_array().expect("symptoms");
        symptoms.iter().map(|symptom| symptom["code"].as_str().expect("a code").to_owned()).collect()
    }

    /// The older copy takes the place of the ledger.
    fn put_back(&self) {
        fs::remove_dir_all(self.path("ledger")).expect("removed");
        copy_tree(&self.path("older"), &self.path("ledger"));
    }

    /// Everybody who holds a receipt is told that the invoice is genuine, the ledger is sound, and it signs.
    #[track_caller]
    fn is_well(&self, heading: &str) {
        assert_eq!(self.doctor(), BTreeSet::new(), "{heading}");
        self.issue(900..=900);
        let engine = Engine::open(self.config()).expect("a ledger");
        let receipts = fs::read_to_string(self.path("receipts.jsonl")).expect("receipts");
        let codes: Vec<String> =
            receipts.lines().filter_map(|line| serde_json::from_str::<Value>(line).expect("JSON")["signed_qr"].as_str().map(str::to_owned)).collect();
        assert!(codes.len() >= 10, "{heading}");
        for code in codes {
            assert_eq!(engine.verify(&question::of_qr(&code)).expect("an answer").verdict, Verdict::Genuine, "{heading}");
        }
        assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, [], "{heading}");
    }
}

/// A section of the page.
struct Section {
    heading: &'static str,
    /// What `doctor` says in it.
    codes: BTreeSet<&'static str>,
    /// The alerts that lead to it.
    alerts: BTreeSet<&'static str>,
    blocks: Vec<&'static str>,
}

fn sections() -> Vec<Section> {
    let section = |text: &'static str| {
        let (heading, text) = text.split_once('\n').expect("a heading");
        let named = |prefix| -> BTreeSet<&'static str> {
            let line = text.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default();
            line.split('`').skip(1).step_by(2).collect()
        };
        let (codes, alerts) = (named("Doctor: "), named("Alert: "));
        let blocks = text.split("```sh\n").skip(1).map(|block| block.split_once("```").expect("an end").0).collect();
        Section { heading, codes, alerts, blocks }
    };
    PAGE.split("\n## ").skip(1).map(section).collect()
}

/// The English part of a heading, what `doctor` says, and what was done.
type Situation = (&'static str, Option<&'static str>, fn(&Desk));

/// Copies, restored and moved directories, lock records.
const COPIES: [Situation; 12] = [
    ("The lock record is missing", Some("lock_missing"), |desk| fs::remove_file(desk.path("ledger.lock")).expect("removed")),
    ("The directory was copied or moved to another machine", Some("copied"), |desk| {
        desk.says("cp -a ledger copy; rm -r ledger; mv copy ledger");
    }),
    ("An older copy was put back, and the newest one is still there", Some("lock_ahead"), |desk| {
        desk.says("mv ledger ledger.newest; mv older ledger");
    }),
    ("An older copy was put back, and the newest one is lost", Some("lock_ahead"), Desk::put_back),
    ("An older copy was put back, and the newest one is lost", Some("lock_ahead"), |desk| {
        desk.says("rm -r ledger; fapiao ledger restore --from backups --data ledger");
    }),
    ("An older copy was put back together with its old lock record", Some("copied"), |desk| {
        desk.put_back();
        fs::copy(desk.path("older.lock"), desk.path("ledger.lock")).expect("copied");
    }),
    ("The lock record is damaged, old, or of another log", Some("lock_unreadable"), |desk| {
        flip(&desk.path("ledger.lock"), 60);
    }),
    ("The lock record is damaged, old, or of another log", Some("lock_foreign"), |desk| {
        desk.says("fapiao keys create --data other; cp other.lock ledger.lock");
    }),
    ("The lock record is damaged, old, or of another log", Some("lock_behind"), |desk| {
        desk.issue(11..=11);
        fs::copy(desk.path("older.lock"), desk.path("ledger.lock")).expect("copied");
    }),
    ("Two copies have signed", Some("two_histories"), |desk| {
        let newest = fs::read(desk.path("ledger.lock")).expect("the lock");
        desk.put_back();
        fs::remove_file(desk.path("ledger.lock")).expect("removed");
        desk.says("fapiao ledger adopt --data ledger");
        desk.issue(11..=15);
        fs::write(desk.path("ledger.lock"), newest).expect("written");
    }),
    ("Witnesses saw another history", Some("disputed"), |desk| {
        let lock = fs::read_to_string(desk.path("ledger.lock")).expect("a lock record");
        let origin = lock.lines().next().expect("an origin");
        fs::write(desk.path("ledger/disputed"), format!("{origin}\nw1 cosigned size 20, this copy ends at 14\n")).expect("written");
    }),
    ("Moving a ledger to another machine", None, |_| ()),
];

/// What breaks.
const DAMAGE: [Situation; 13] = [
    ("A file of the database was changed or is damaged", Some("unreadable"), |desk| {
        desk.says("fapiao ledger backup --data ledger --to backups");
        let manifest = file_of(&desk.path("ledger/db"), "MANIFEST-");
        flip(&manifest, 200);
    }),
    ("A file of the database was changed or is damaged", Some("unreadable"), |desk| {
        desk.says("fapiao ledger backup --data ledger --to backups");
        for file in table_files(&desk.path("ledger"), "leaf") {
            flip(&file, 30);
        }
    }),
    ("A file of the database was changed or is damaged", None, |desk| {
        desk.says("fapiao ledger backup --data ledger --to backups");
        for file in table_files(&desk.path("ledger"), "body") {
            flip(&file, 30);
        }
        assert_eq!(desk.bash("fapiao ledger fsck --data ledger").status().expect("bash runs").code(), Some(1));
    }),
    ("After a crash the newest entries are missing", Some("lock_ahead"), |desk| {
        let engine = Engine::open(desk.config()).expect("a ledger");
        for number in 901..=903 {
            logged(submit(&engine, &serde_json::from_str(&draft(number)).expect("JSON")));
        }
        copy_tree(&desk.path("ledger/db"), &desk.path("crashed"));
        drop(engine);
        desk.says("rm -r ledger/db ledger/closed; mv crashed ledger/db");
        let log = file_of(&desk.path("ledger/db"), ".log");
        let length = usize::try_from(fs::metadata(&log).expect("a file").len()).expect("short");
        flip(&log, length / 2);
    }),
    ("The disk is full, or gives errors", None, |desk| {
        // The database takes the next commit, and the lock record does not.
        fs::create_dir(desk.path("ledger.lock.new")).expect("made");
        fs::write(desk.path("new.jsonl"), draft(20) + "\n").expect("writable");
        let output = desk.bash("cat new.jsonl >> drafts.jsonl; fapiao issue --data ledger new.jsonl").output().expect("bash runs");
        assert_eq!(output.status.code(), Some(3));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["status"], "unavailable");
        assert!(answer["en"].as_str().is_some_and(|text| text.starts_with("the disk gives trouble, and writing goes on once it no longer does")));
        fs::remove_dir(desk.path("ledger.lock.new")).expect("removed");
    }),
    ("The clock was set back", Some("clock_behind"), |desk| {
        let ahead = UnixMillis(engine::now().0 + 9_000);
        let engine = Engine::open(Config { clock: Arc::new(move || ahead), ..desk.config() }).expect("a ledger");
        logged(submit(&engine, &serde_json::from_str(&draft(901)).expect("JSON")));
    }),
    ("The key file is an older copy", Some("keys_older"), |desk| {
        desk.says(
            "cp ledger/keys/keyring older.keys; fapiao keys rotate --data ledger --role authority; fapiao ledger backup --data ledger --to backups",
        );
        desk.says("cp older.keys ledger/keys/keyring");
    }),
    ("The token with the signing keys does not sign", Some("token_away"), |desk| {
        token::new_token(desk.root.path());
        fs::write(desk.path("pin"), token::PIN).expect("writable");
        desk.says("for role in authority checkpoint; do fapiao keys rotate --data ledger --pkcs11 --role $role; done; mv tokens tokens.aside");
    }),
    ("The key file or its passphrase is lost", Some("keys_missing"), |desk| {
        fs::remove_file(desk.path("ledger/keys/keyring")).expect("removed");
    }),
    ("The key file or its passphrase is lost", Some("keys_unreadable"), |desk| flip(&desk.path("ledger/keys/keyring"), 100)),
    ("A derived table is damaged or missing", None, |desk| {
        let db = database(&desk.path("ledger"));
        let (family, key) = (db.cf_handle("inv").expect("inv"), invoice(1).to_bytes());
        let mut row = db.get_cf(family, key).expect("readable").expect("a row");
        *row.last_mut().expect("bytes") ^= 1;
        db.put_cf(family, key, row).expect("written");
        drop(db);
        assert_eq!(desk.bash("fapiao ledger fsck --data ledger").status().expect("bash runs").code(), Some(1));
    }),
    ("A derived table is damaged or missing", Some("rebuild_pending"), |desk| {
        database(&desk.path("ledger")).drop_cf("inv").expect("dropped");
    }),
    ("The directory is gone", Some("no_ledger"), |desk| {
        desk.says("rm -r ledger ledger.lock");
    }),
];

/// What is done when nothing is the matter, or will not be in a moment.
const CARE: [Situation; 7] = [
    ("Another process has the ledger open", Some("in_use"), |desk| {
        let command = "sleep 3 | fapiao issue --data ledger";
        drop(desk.bash(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bash runs"));
        while desk.doctor().is_empty() {
            thread::sleep(Duration::from_millis(20));
        }
    }),
    ("The directory is gone", Some("no_ledger"), |desk| {
        desk.says("rm -r ledger");
    }),
    ("Backing up", None, |_| ()),
    ("Erasing what a person may have erased", None, |_| ()),
    ("Rehearsing a restore", None, |_| ()),
    ("The ledger as it was at a size", None, |_| ()),
    ("A witness does not begin", None, |desk| {
        desk.says("fapiao witness create --data made --name witness.example/w1; cp -r made witness; cp made.lock witness.lock; fapiao ledger checkpoint --data ledger --keys > logs");
        let refused = desk.bash("fapiao witness serve --data witness --logs logs --listen 127.0.0.1:0").output().expect("bash runs");
        assert_eq!(refused.status.code(), Some(3));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("this witness was restored from a copy, or moved"), "{told}");
        assert!(desk.says("fapiao runbook witness").contains("## A witness does not begin"));
    }),
];

/// What an operator of a server is called for. There are stand-ins for `systemctl` and `journalctl`.
const SERVICE: [Situation; 9] = [
    ("The server is down, or starts again and again", None, |desk| {
        fs::write(desk.path("journal"), "fapiao: fapiao.toml:1:1: unknown field\n").expect("written");
    }),
    ("The server answers and does not sign", None, |desk| {
        fs::remove_file(desk.path("ledger.lock")).expect("removed");
        desk.serve();
        assert_eq!(desk.bash("curl -fsS $FAPIAO_URL/readyz").status().expect("bash runs").code(), Some(22));
    }),
    ("Checkpoints are not cosigned", None, Desk::serve),
    ("Answers or commits are slow", None, Desk::serve),
    ("Requests fail", None, Desk::serve),
    ("Forged codes are shown", None, |desk| {
        desk.serve();
        // A forged code: one of ours with its signature changed.
        let receipts = fs::read_to_string(desk.path("receipts.jsonl")).expect("receipts");
        let receipt: Value = serde_json::from_str(receipts.lines().next().expect("a receipt")).expect("JSON");
        let code = receipt["signed_qr"].as_str().expect("a code");
        let (kept, last) = code.split_at(code.len() - 20);
        let swapped: String = last.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
        let said = desk.says(&format!("fapiao verify --server $FAPIAO_URL --qr {kept}{} || true", swapped));
        assert!(said.starts_with("13 ") || said.starts_with("20 "), "{said}");
    }),
    ("Somebody asks too much, or with wrong tokens", None, Desk::serve),
    ("Too many files are open", None, Desk::serve),
    ("Nothing is issued", None, Desk::serve),
];

/// What stands in for systemd: it starts and stops one server, and keeps what it says.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$1" in
start)
    fapiao serve --config fapiao.toml --data ledger > served 2>> journal < /dev/null &
    echo $! > pid ;;
stop)
    test -e pid || exit 0
    pid=$(cat pid)
    kill "$pid"
    while grep -q '^State:.[^Z]' "/proc/$pid/status" 2> /dev/null; do sleep 0.05; done
    rm pid ;;
esac
"#;

impl Desk {
    /// Room for a server: its configuration, an administrator's token, and the stand-ins.
    fn prepare_service(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        fs::write(self.path("fapiao.toml"), format!("[http]\nlisten = \"127.0.0.1:{port}\"\n")).expect("written");
        fs::write(self.path("url"), format!("http://127.0.0.1:{port}")).expect("written");
        fs::create_dir(self.path("bin")).expect("made");
        for (name, text) in [("systemctl", SYSTEMCTL), ("journalctl", "#!/bin/sh\ncat journal\n")] {
            fs::write(self.path("bin").join(name), text).expect("written");
            fs::set_permissions(self.path("bin").join(name), fs::Permissions::from_mode(0o755)).expect("set");
        }
        let enrolled = self.says("fapiao callers add --data ledger --role administrator --whole-country --json");
        let enrolled: Value = serde_json::from_str(&enrolled).expect("JSON");
        fs::write(self.path("token"), enrolled["token"].as_str().expect("a token")).expect("written");
    }

    /// A server that answers.
    fn serve(&self) {
        self.says("systemctl start fapiao; curl -fsS --retry 30 --retry-delay 1 --retry-connrefused $FAPIAO_URL/healthz");
    }
}

#[test]
fn a_service_in_trouble() {
    let sections = sections();
    for (heading, _, happen) in &SERVICE {
        let section = sections.iter().find(|section| section.heading.starts_with(heading)).expect("a section");
        let desk = Desk::new();
        desk.prepare_service();
        happen(&desk);
        for block in &section.blocks {
            println!("## {heading}\n{}", desk.says(block));
        }
        desk.says("systemctl stop fapiao");
        desk.is_well(heading);
    }
}

#[test]
fn every_alert_has_its_section() {
    let alerts = include_str!("../../deploy/prometheus/alerts.yml");
    let values = |key: &str| -> BTreeSet<String> {
        alerts.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)).map(|value| value.trim().to_owned()).collect()
    };
    let named = values("alert:");
    assert!(named.len() >= 13, "{named:?}");
    assert_eq!(values("runbook: fapiao runbook"), named, "each alert names its section");
    let sections = sections();
    let about: BTreeSet<String> = sections.iter().flat_map(|section| &section.alerts).map(|name| (*name).to_owned()).collect();
    assert_eq!(about, named, "each section about an alert is of one that there is");
    let desk = Desk { root: tempfile::tempdir().expect("a directory") };
    for section in &sections {
        for alert in &section.alerts {
            assert!(desk.says(&format!("fapiao runbook {alert}")).contains(&format!("## {}\n", section.heading)), "{alert}");
        }
    }
}

/// The only file in a folder whose name has this in it.
fn file_of(folder: &Path, part: &str) -> PathBuf {
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part));
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).filter(named).collect();
    files.sort();
    files.pop().expect("a file")
}

fn work_through(situations: &[Situation]) {
    let sections = sections();
    for (heading, code, happen) in situations {
        let section = sections.iter().find(|section| section.heading.starts_with(heading)).expect("a section");
        let desk = Desk::new();
        happen(&desk);
        let before = tree_bytes(desk.root.path());
        let codes = desk.doctor();
        // What else has it open may write.
        assert!(*code == Some("in_use") || tree_bytes(desk.root.path()) == before, "{heading}: doctor changes nothing");
        assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), code.iter().copied().collect::<Vec<_>>(), "{heading}");
        if let Some(code) = code {
            assert!(desk.says(&format!("fapiao runbook {code}")).contains(&format!("## {}\n", section.heading)), "{code}");
        }
        for block in &section.blocks {
            println!("## {heading}\n{}", desk.says(block));
        }
        desk.is_well(heading);
    }
}

#[test]
fn copies_and_lock_records() {
    work_through(&COPIES);
}

#[test]
fn damage_and_loss() {
    work_through(&DAMAGE);
}

#[test]
fn care_and_patience() {
    work_through(&CARE);
}

#[test]
fn every_section_has_its_situations_and_every_situation_its_section() {
    let situations = || COPIES.iter().chain(&DAMAGE).chain(&CARE).chain(&SERVICE);
    let mut prepared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (heading, code, _) in situations() {
        prepared.entry(*heading).or_default().extend(code);
    }
    let sections = sections();
    for Section { heading, codes, blocks, .. } in &sections {
        let english = heading.split(|c: char| !c.is_ascii()).next().expect("a part").trim();
        assert_eq!(prepared.remove(english).as_ref(), Some(codes), "{heading}: what is prepared, and what the page says");
        assert_eq!(blocks.len(), 1, "{heading}");
    }
    assert!(prepared.is_empty(), "without a section: {prepared:?}");
}

/// What an operator may only ask.
#[test]
fn a_code_that_nobody_gives_is_refused_with_those_there_are() {
    let desk = Desk { root: tempfile::tempdir().expect("a directory") };
    assert_eq!(desk.says("fapiao runbook"), PAGE);
    let output = desk.bash("fapiao runbook nonsense").output().expect("bash runs");
    assert_eq!(output.status.code(), Some(2));
    let codes: BTreeSet<&str> = sections().iter().flat_map(|section| section.codes.union(&section.alerts).copied().collect::<Vec<_>>()).collect();
    let known = codes.into_iter().collect::<Vec<_>>().join(", ");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, format!("fapiao: nothing is known of it by that name; there are: {known}\n"));
}
