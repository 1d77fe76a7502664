//! The servers of the bench book: each a child process in a directory of its own, set up as a careful user would, kept to one core where that can be
//! done, ended with the book.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};

/// Where Debian has PostgreSQL's programs; elsewhere they are on the path.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// A server that runs.
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    /// How it is asked to end.
    end: Signal,
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = kill_process(self.pid(), self.end);
        drop(self.child.wait());
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// CPU time so far of the process and its children, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let pid = self.pid().as_raw_nonzero().get();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ticks: u64 = processes
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
            .filter_map(|stat| {
                let (head, fields) = stat.rsplit_once(')')?;
                let fields: Vec<&str> = fields.split_whitespace().collect();
                let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
                let own: i32 = head.split(' ').next()?.parse().ok()?;
                // Field 4 is the parent; 14 and 15 are its own time, 16 and 17 that of children that are gone.
                let fields = match () {
                    () if own == pid => 11..15,
                    () if number(1)? == u64::try_from(pid).ok()? => 11..13,
                    () => return None,
                };
                Some(fields.filter_map(number).sum::<u64>())
            })
            .sum();
        ticks as f64 / 100.0
    }
}

/// Whether programs can be kept to a core, and there are two to tell apart.
pub(crate) fn can_pin() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2) && works(Command::new("taskset").arg("--version"))
}

/// The program, kept to this core.
pub(crate) fn pinned(core: Option<u32>, program: impl AsRef<Path>) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string()]).arg(program.as_ref());
            command
        }
        None => Command::new(program.as_ref()),
    }
}

/// Lets a process with all its threads and children run on any core again.
pub(crate) fn unpin(running: &Running) {
    let pid = running.pid().as_raw_nonzero().to_string();
    let children = Command::new("pgrep").args(["-P", &pid]).output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let children = children.unwrap_or_default();
    for pid in children.split_whitespace().chain([pid.as_str()]) {
        drop(Command::new("taskset").args(["-a", "-p", "-c", "0-1023", pid]).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The first line of what a program prints.
pub(crate) fn says(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

fn answers(address: SocketAddr) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if std::net::TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Starts a program that prints its address as `http://ADDRESS` on its first line.
fn announced(name: &'static str, mut command: Command) -> Running {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).and_then(|address| address.parse().ok());
    // Whatever else it prints is read, so that it never waits for a reader.
    std::thread::spawn(move || drop(std::io::copy(&mut out, &mut std::io::sink())));
    Running { name, address: address.unwrap_or_else(|| panic!("{name} printed {line:?}")), child, end: Signal::TERM }
}

/// `fapiao serve` on this directory.
pub(crate) fn fapiao(core: Option<u32>, directory: &Path, passphrase: &Path, configuration: &Path) -> Running {
    let mut command = pinned(core, env!("CARGO_BIN_EXE_fapiao"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory).arg("--passphrase-file").arg(passphrase);
    command.arg("--config").arg(configuration);
    announced("fapiao", command)
}

/// A server on hyper that says the same to everybody, in a process of this program.
pub(crate) fn bare(core: Option<u32>, variable: &str, answer_bytes: usize) -> Running {
    let mut command = pinned(core, std::env::current_exe().expect("this program"));
    command.env(variable, answer_bytes.to_string());
    announced("bare hyper", command)
}

/// That server.
pub(crate) fn serve_static(answer_bytes: usize) {
    let answer = Bytes::from(vec![b'x'; answer_bytes]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("http://{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("set");
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        request.into_body().collect().await?;
                        let response = Response::builder().header("content-type", "application/json").header("cache-control", "no-store");
                        Ok::<_, hyper::Error>(response.body(Full::new(answer)).expect("a response"))
                    }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                // A client that goes away is no failure.
                drop(http.pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
}

/// Redis with an append-only file that is synced every second; `None` if it is not installed.
pub(crate) fn redis(core: Option<u32>, directory: &Path) -> Option<Running> {
    says("redis-server", &["--version"])?;
    let address = free_port();
    let port = address.port().to_string();
    let mut command = pinned(core, "redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]);
    command.arg("--dir").arg(directory).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().ok()?;
    let running = Running { name: "Redis", address, child, end: Signal::TERM };
    answers(address).then_some(running)
}

/// PostgreSQL's programs, if they are installed.
pub(crate) fn postgres_program(name: &str) -> Option<PathBuf> {
    let debian = Path::new(POSTGRES).join(name);
    let program = if debian.exists() { debian } else { PathBuf::from(name) };
    says(&program, &["--version"]).map(|_| program)
}

/// PostgreSQL in a new cluster, durable: `fsync` and `synchronous_commit` are on; `None` if it is not installed. It refuses to run as root.
pub(crate) fn postgres(core: Option<u32>, directory: &Path) -> Option<Running> {
    let (initdb, postgres) = (postgres_program("initdb")?, postgres_program("postgres")?);
    let is_root = rustix::process::geteuid().is_root();
    let as_user = |core: Option<u32>, program: &Path| {
        if !is_root {
            return pinned(core, program);
        }
        let mut command = pinned(core, "setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    };
    if is_root && !works(Command::new("chown").arg("postgres:postgres").arg(directory)) {
        return None;
    }
    let data = directory.join("data");
    let made = works(as_user(None, &initdb).arg("-D").arg(&data).args(["-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C"]).current_dir("/"));
    if !made {
        return None;
    }
    let address = free_port();
    let mut command = as_user(core, &postgres);
    command.arg("-D").arg(&data).args(["-p", &address.port().to_string(), "-k", ""]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "max_connections=200",
        "shared_buffers=1GB",
        "max_wal_size=4GB",
        "log_min_messages=fatal",
    ] {
        command.args(["-c", setting]);
    }
    let child = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let running = Running { name: "PostgreSQL", address, child, end: Signal::INT };
    answers(address).then_some(running)
}
