//! A demo that serves, as a process of its own: what an outside check starts from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program;

/// `fapiao demo --json`, until this value goes away.
pub(crate) struct Demo {
    process: Child,
    root: TempDir,
    made: Value,
}

impl Demo {
    pub(crate) fn start() -> Demo {
        let root = tempfile::tempdir().expect("a directory");
        let (json, data) = (root.path().join("demo.json"), root.path().join("demo"));
        let mut command = program(&["demo", "--listen", "127.0.0.1:0", "--json"]);
        command.arg(&json).arg("--data").arg(&data).stdout(Stdio::null());
        let mut process = command.spawn().expect("it runs");
        let made = wait_for("the demo", || {
            assert_eq!(process.try_wait().expect("a child"), None, "the demo ended");
            serde_json::from_slice(&fs::read(&json).ok()?).ok()
        });
        Demo { process, root, made }
    }

    pub(crate) fn url(&self) -> &str {
        self.made["url"].as_str().expect("an address")
    }

    pub(crate) fn token(&self, role: &str) -> &str {
        self.made["tokens"][role].as_str().expect("a token")
    }

    pub(crate) fn samples(&self) -> &[Value] {
        self.made["samples"].as_array().expect("samples")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("demo")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Ends it as an operator does and leaves the ledger closed.
    pub(crate) fn stop(&mut self) {
        terminate(&mut self.process);
    }

    /// A draft that was not issued yet, by the issuer of the demo: an electronic invoice with one of the numbers that its seller has left.
    pub(crate) fn new_draft(&self, nth: u32) -> Value {
        let is_plain = |sample: &&Value| sample["kind"] == "10" && sample["expect"] == 1 && sample["draft"].get("code").is_some();
        let sample = self.samples().iter().find(is_plain).expect("an electronic sample");
        let mut draft = sample["draft"].clone();
        let number: u32 = sample["number"].as_str().expect("a number").parse().expect("digits");
        draft["number"] = format!("{:08}", number / 100 * 100 + 60 + nth).into();
        draft.as_object_mut().expect("an object").remove("check_code");
        draft
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// SIGTERM, and what was begun is done.
pub(crate) fn terminate(process: &mut Child) {
    let kill = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
    assert!(kill.success());
    assert!(process.wait().expect("a child").success());
}

/// Asks until there is something, for a minute.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} is not there after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Commands as a stranger gives them, the program on the path, in a directory of their own.
#[track_caller]
pub(crate) fn shell(directory: &Path, commands: &str, environment: &[(&str, &str)]) -> Output {
    let folder = Path::new(env!("CARGO_BIN_EXE_fapiao")).parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").expect("a path"));
    let mut shell = Command::new("sh");
    shell.args(["-euc", commands]).current_dir(directory).env("PATH", path).env_remove("FAPIAO_TOKEN");
    shell.envs(environment.iter().copied()).output().expect("sh runs")
}
