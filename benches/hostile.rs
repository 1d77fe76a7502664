//! What people with bad intentions cost everybody else: the latency of legitimate questions in calm and under each attack, and the memory of the server.
//!
//! The server and the load that checks every answer are the real programs; attackers are threads of this process, each at a bounded pace, because on the
//! same two cores an attack without bounds measures the cores and not the server. `cargo bench -- hostile`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::Plan;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fapiao");

/// One way to be a nuisance.
struct Attack {
    name: &'static str,
    /// Threads of attackers.
    threads: usize,
    /// Connections that all of them hold, those that hold any.
    hold: usize,
    /// What one of them does until it is told to stop.
    run: fn(&Enemy),
}

/// An attacker's view of the world.
struct Enemy {
    address: SocketAddr,
    token: String,
    /// Connections to hold, for those who do.
    hold: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Enemy {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.set_write_timeout(Some(Duration::from_secs(2))).ok()?;
        Some(stream)
    }

    /// Sends, reads what comes, and counts. What becomes of it is not the enemy's concern.
    fn send(&self, bytes: &[u8]) {
        if let Some(mut stream) = self.connect() {
            let mut reply = [0; 4_096];
            drop(stream.write_all(bytes).and_then(|()| stream.read(&mut reply)));
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Twice as often as any person, and as often as a machine that is held back.
    fn pause(&self) {
        thread::sleep(Duration::from_millis(5));
    }

    /// Holds connections open, each begun with `head`, and gives each a `drip` every second.
    fn hold(&self, head: &[u8], drip: &[u8]) {
        let mut held = Vec::new();
        while !self.is_over() {
            while held.len() < self.hold && !self.is_over() {
                let Some(mut stream) = self.connect() else { break };
                drop(stream.write_all(head));
                held.push(stream);
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            if drip.is_empty() {
                thread::sleep(Duration::from_millis(1_000));
                continue;
            }
            // Spread over the second. Those that were cut off are opened again.
            let every = Duration::from_secs(1) / u32::try_from(held.len().max(1)).unwrap_or(u32::MAX);
            held.retain_mut(|stream| {
                thread::sleep(every);
                stream.write_all(drip).is_ok()
            });
        }
    }
}

fn question_head(extra: &str) -> Vec<u8> {
    format!("POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{extra}").into_bytes()
}

/// How HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const ATTACKS: [Attack; 13] = [
    Attack { name: "10,000 idle connections", threads: 2, hold: 10_000, run: |enemy| enemy.hold(b"", b"") },
    Attack {
        name: "slow heads: 2,000 connections, a byte a second",
        threads: 2,
        hold: 2_000,
        run: |enemy| enemy.hold(b"POST /v1/verify HTTP/1.1\r\nX-A: ", b"a"),
    },
    Attack {
        name: "slow bodies: 2,000 connections, a byte a second",
        threads: 2,
        hold: 2_000,
        run: |enemy| enemy.hold(&question_head("Content-Length: 9000\r\n\r\n{"), b" "),
    },
    Attack {
        name: "bodies of 1 GB, announced",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            while !enemy.is_over() {
                enemy.send(&[question_head("Content-Length: 1073741824\r\n\r\n"), vec![b' '; 64 << 10]].concat());
                enemy.pause();
            }
        },
    },
    Attack {
        name: "bodies without end, chunked",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            let piece = [&b"10000\r\n"[..], &[b' '; 64 << 10], b"\r\n"].concat();
            while !enemy.is_over() {
                if let Some(mut stream) = enemy.connect() {
                    drop(stream.write_all(&question_head("Transfer-Encoding: chunked\r\n\r\n")));
                    while !enemy.is_over() && stream.write_all(&piece).is_ok() {}
                }
                enemy.done.fetch_add(1, Ordering::Relaxed);
                enemy.pause();
            }
        },
    },
    Attack {
        name: "deep JSON",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            let question = [question_head("Content-Length: 16000\r\nConnection: close\r\n\r\n"), vec![b'['; 16_000]].concat();
            let head = format!(
                "POST /v1/invoices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100009\r\nConnection: close\r\n\r\n",
                enemy.token
            );
            let draft = [head.into_bytes(), b"{\"lines\":".to_vec(), vec![b'['; 100_000]].concat();
            while !enemy.is_over() {
                enemy.send(&question);
                enemy.send(&draft);
                enemy.pause();
            }
        },
    },
    Attack {
        name: "floods of header fields",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            let many = [question_head(""), b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(2_000)].concat();
            while !enemy.is_over() {
                enemy.send(&many);
                enemy.pause();
            }
        },
    },
    Attack {
        name: "compressed bodies",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            let bomb = [question_head("Content-Encoding: gzip\r\nContent-Length: 10000\r\nConnection: close\r\n\r\n"), vec![0; 10_000]].concat();
            while !enemy.is_over() {
                enemy.send(&bomb);
                enemy.pause();
            }
        },
    },
    Attack {
        name: "connections opened and closed",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            while !enemy.is_over() {
                for _ in 0..4 {
                    drop(enemy.connect());
                    enemy.done.fetch_add(1, Ordering::Relaxed);
                }
                enemy.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                enemy.pause();
            }
        },
    },
    Attack {
        name: "pipelines that nobody reads: 500 connections",
        threads: 2,
        hold: 500,
        run: |enemy| {
            let many = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
            enemy.hold(&many, &many);
        },
    },
    Attack {
        name: "16,400 idle HTTP/2 connections: every place taken",
        threads: 2,
        hold: 16_400,
        run: |enemy| enemy.hold(&[PREFACE, &http2_frame(4, 0, 0, b"")].concat(), b""),
    },
    Attack {
        name: "HTTP/2: 400 connections of 100 requests whose bodies do not come",
        threads: 2,
        hold: 400,
        run: |enemy| {
            let long = "z".repeat(120);
            let mut head = Vec::new();
            let fixed = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/verify")];
            for (name, value) in fixed.into_iter().chain(std::iter::repeat_n(("x-long", long.as_str()), 55)) {
                // Literals that are never indexed, each shorter than 127 (RFC 7541, section 6.2.2).
                for text in [name, value] {
                    head.extend(if text == name { &[0][..] } else { &[] });
                    head.push(u8::try_from(text.len()).unwrap_or(0));
                    head.extend(text.as_bytes());
                }
            }
            let requests: Vec<u8> = (0..100).flat_map(|nth| http2_frame(1, 4, 2 * nth + 1, &head)).collect();
            enemy.hold(&[PREFACE, &http2_frame(4, 0, 0, b""), &requests].concat(), b"");
        },
    },
    Attack {
        name: "forged signed codes",
        threads: 4,
        hold: 2_000,
        run: |enemy| {
            let path = "A".repeat(271);
            let request = format!("GET /Q/{path} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
            while !enemy.is_over() {
                enemy.send(request.as_bytes());
                enemy.pause();
            }
        },
    },
];

struct Served {
    child: Child,
    address: SocketAddr,
    samples: String,
    token: String,
    _root: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    fn start() -> Served {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name).to_str().expect("UTF-8").to_owned();
        let samples = at("demo.json");
        let child = Command::new(PROGRAM)
            .args(["demo", "--listen", "127.0.0.1:0", "--data", &at("ledger"), "--json", &samples])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let begun = Instant::now();
        let made = loop {
            match fs::read(&samples).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
                Some(made) => break made,
                None => assert!(begun.elapsed() < Duration::from_secs(60), "the demo did not begin to serve"),
            }
            thread::sleep(Duration::from_millis(50));
        };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let address = text(&made["url"]).trim_start_matches("http://").parse().expect("an address");
        Served { child, address, samples, token: text(&made["tokens"]["issuer"]), _root: root }
    }

    /// Resident memory, MiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status")).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    /// Legitimate questions on a fixed schedule: their p99 in milliseconds and how many were not answered right.
    fn questions(&self, seconds: &str) -> (f64, f64, u64) {
        let output = Command::new(PROGRAM)
            .args(["load", "--samples", &self.samples, "--mode", "verify", "--connections", "16", "--rate", "500", "--duration", seconds, "--json"])
            .output()
            .expect("the load");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let count = |name: &str| told[name].as_u64().unwrap_or(u64::MAX);
        let ms = |name: &str| told["latency_us"][name].as_f64().unwrap_or(f64::MAX) / 1e3;
        (ms("p50"), ms("p99"), count("wrong").saturating_add(count("errors")).saturating_add(count("unserved")))
    }
}

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["hostile"]) {
        return;
    }
    let served = Served::start();
    let seconds = if plan.smoke { "1" } else { "10" };
    println!("\nhostile: 500 legitimate questions a second on 16 connections, {seconds} s each; one process serves, all on the same cores");
    println!("| attack | attempts | p50 ms | p99 ms | x calm before it | not right | memory MiB |\n|---|---|---|---|---|---|---|");
    for attack in &ATTACKS {
        let (_, calm, calm_bad) = served.questions(seconds);
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let per_thread = |all: usize| if plan.smoke { 50 } else { all / attack.threads };
        let hold = per_thread(attack.hold);
        let enemies: Vec<JoinHandle<()>> = (0..attack.threads)
            .map(|_| {
                let enemy = Enemy { address: served.address, token: served.token.clone(), hold, stop: Arc::clone(&stop), done: Arc::clone(&done) };
                let run = attack.run;
                thread::spawn(move || run(&enemy))
            })
            .collect();
        // Until those who hold connections hold them all.
        thread::sleep(Duration::from_secs(if plan.smoke { 0 } else { 4 }));
        let (p50, p99, bad) = served.questions(seconds);
        let memory = served.memory();
        stop.store(true, Ordering::Relaxed);
        enemies.into_iter().for_each(|enemy| enemy.join().expect("an enemy"));
        println!(
            "| {} | {} | {p50:.2} | {p99:.2} (calm {calm:.2}) | {:.1} | {} | {memory:.0} |",
            attack.name,
            done.load(Ordering::Relaxed),
            p99 / calm,
            bad + calm_bad
        );
    }
    println!("memory after all of it: {:.0} MiB", served.memory());
}
