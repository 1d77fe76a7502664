//! Signing keys in the key file beside signing keys in a token (SoftHSM): one signature, and issuing as a whole.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fapiao::engine::{Engine, KeyPlace, TokenConfig};
use zeroize::Zeroizing;

use crate::Plan;
use crate::site::{self, Site, median};

/// Tells the child where to measure, and how many invoices; SoftHSM takes its configuration from the environment of a process.
const CHILD: &str = "FAPIAO_BENCH_TOKEN";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const LABEL: &str = "bench";
const PIN: &str = "471100";
const ROUNDS: u32 = 5;

/// Measures if this process is the child.
pub(crate) fn is_child() -> bool {
    let Ok(told) = env::var(CHILD) else { return false };
    let (count, directory) = told.split_once(':').expect("count and directory");
    let (count, directory) = (count.parse::<u32>().expect("a number"), PathBuf::from(directory));
    let token = TokenConfig { module: MODULE.into(), token: LABEL.into(), pin: Zeroizing::new(PIN.to_owned()) };
    let ledgers = [site::create(&directory.join("file")), site::create_in(&directory.join("token"), KeyPlace::Token, Some(token))]
        .map(|engine| Measured { engine, signature: Vec::new(), issued: Vec::new() });
    report(measured(ledgers, count), count);
    true
}

struct Measured {
    engine: Engine,
    /// Microseconds each, one after the other.
    signature: Vec<f64>,
    /// Invoices a second.
    issued: Vec<f64>,
}

fn measured(mut ledgers: [Measured; 2], count: u32) -> [Measured; 2] {
    for round in 0..ROUNDS {
        for Measured { engine, signature, issued } in &mut ledgers {
            let keyring = engine.ledger().keyring().expect("keys");
            let started = Instant::now();
            for nth in 0..count {
                black_box(keyring.authority().key.sign(&nth.to_be_bytes())).expect("signed");
            }
            signature.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(count));
            let started = Instant::now();
            site::fill(engine, round * count, (round + 1) * count);
            issued.push(f64::from(count) / started.elapsed().as_secs_f64());
        }
    }
    ledgers
}

fn report(ledgers: [Measured; 2], count: u32) {
    let [file, token] = ledgers.map(|Measured { signature, issued, .. }| (median(signature), median(issued)));
    println!("token: medians of {ROUNDS} rounds of {count}, in turn");
    println!("  signature, one by one   file {:>8.1} us   token, checked {:>8.1} us   x {:.1}", file.0, token.0, token.0 / file.0);
    println!("  issued, many under way  file {:>8.0} /s   token          {:>8.0} /s   x {:.2}", file.1, token.1, token.1 / file.1);
}

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["token"]) {
        return;
    }
    if !Path::new(MODULE).exists() {
        println!("token: not measured, there is no {MODULE} (Debian's softhsm2)");
        return;
    }
    let site = Site::new();
    let root = site.root.path();
    let configuration = root.join("softhsm2.conf");
    fs::create_dir(root.join("tokens")).expect("made");
    fs::write(&configuration, format!("directories.tokendir = {}\n", root.join("tokens").display())).expect("written");
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .expect("run");
    assert!(made.status.success(), "{made:?}");
    let told = format!("{}:{}", if plan.smoke { 100 } else { 5_000 }, root.display());
    let child = Command::new(env::current_exe().expect("a program")).env(CHILD, told).env("SOFTHSM2_CONF", &configuration).status();
    assert!(child.expect("run").success());
}
