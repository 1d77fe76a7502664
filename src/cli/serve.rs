//! `fapiao serve`: the engine as a service.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{RecvTimeoutError, TryRecvError};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::configuration::{self, Configuration, Format, Level, Pkcs11, Requests};
use super::open::{PASSPHRASE_FILE, passphrase_from, prompt, reach_token};
use super::{Exit, Failure};
use crate::channel;
use crate::channel::cosigning::Witnesses;
use crate::channel::http::{Host, Listening, RequestLog, Served, Server, Settings, Site, Tls};
use crate::codec::event::Role;
use crate::crypto::policy::{KnownLog, Policy};
use crate::engine::{Config, Engine, EngineError, keyring_path, now, random, read_bounded};
use crate::ledger::{Observer, Stage, StoreSizes};
use crate::limits::{
    ANSWERS_LOOK_MS, HTTP_BLOCKING_THREADS, HTTP_LINGER_MS, POLICY_BYTES_MAX, POLICY_WITNESSES_MAX, REVOCATIONS_LOOK_MS, TLS_LOOK_SECS,
};
use crate::metrics::Metrics;

const AFTER_HELP: &str = "\
The configuration file is TOML; --print-config prints one with every key and what it means, and checks the one that is given.
What is given on the command line counts before what is in the file. With --data alone it serves at 127.0.0.1:8080.
GET /openapi.json describes the interface, GET /metrics has the figures; logs are JSON lines on standard error.
`fapiao runbook ALERT` says what to do about an alert.
SIGTERM or SIGINT: no more connections, what was begun is answered, then the ledger is closed; a second one ends it at once.
SIGHUP: certificate and key are read again.
配置文件为 TOML 格式，--print-config 打印完整配置；命令行优先于文件。收到 SIGTERM 或 SIGINT 后答完已收请求再退出。

Exit status: 0 stopped, 2 usage or configuration, 3 the ledger does not open or the address is taken.";

/// `fapiao serve`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Serve {
    /// Data directory 数据目录
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one 监听地址
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Configuration file 配置文件
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File with the passphrase of the key file; without it DIR/keys/passphrase is used if there is one, else the terminal is asked 口令文件
    #[arg(long, value_name = "FILE", env = "FAPIAO_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    /// Host for signed QR codes, at most 28 characters with its port 二维码中的域名
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Print the configuration that would be used, as a file, and exit 打印生效的配置
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let configuration = self.configuration()?;
        if self.print_config {
            print!("{}", configuration.print()?);
            return Ok(Exit::Fine);
        }
        let directory = configuration.data.clone().ok_or_else(|| Failure::Usage("give --data DIR, or data in the configuration file".to_owned()))?;
        let passphrase = match passphrase_from(configuration.passphrase_file.as_deref(), &directory)? {
            None if keyring_path(&directory).exists() => Some(prompt("Passphrase 口令: ", PASSPHRASE_FILE)?),
            passphrase => passphrase,
        };
        let token = match &configuration.keys.pkcs11 {
            Pkcs11 { module: Some(module), token: Some(token), pin_file } => Some(reach_token(module, token, pin_file.as_deref())?),
            Pkcs11 { .. } => None,
        };
        start_logging(&configuration);
        let front = Front::open(&configuration)?;
        let metrics = Arc::new(Metrics::new());
        let engine = Engine::open(Config {
            token,
            host: configuration.issue.host.as_str().to_owned(),
            days_back: configuration.issue.days_back.get(),
            sizes: StoreSizes {
                block_cache: usize::try_from(configuration.storage.block_cache_mib.get()).unwrap_or(usize::MAX) << 20,
                wal: u64::from(configuration.storage.wal_mib.get()) << 20,
            },
            answers_interval_ms: u64::from(configuration.answers.minutes.get()) * 60_000,
            quotas: configuration.quota.policies(),
            observer: Some(commits(&metrics)),
            ..Config::new(&directory, passphrase)
        })?;
        match engine.try_to_sign() {
            // A rotation that was interrupted left the older list.
            Ok(()) => {
                if let Err(error) = channel::keys::publish(&engine) {
                    tracing::warn!(%error, "the list of public keys could not be written");
                }
            }
            Err(reason) => tracing::warn!(%reason, "questions are answered, and nothing is signed"),
        }
        if let Some(index) = engine.ledger().unfinished_erasure().map_err(EngineError::from)? {
            tracing::warn!(index, "an erased body may still lie in files of the database");
        }
        let origin = engine.ledger().origin().to_string();
        front.serve(engine, &configuration, metrics, |address| {
            let scheme = if configuration.tls.key.is_some() { "https" } else { "http" };
            println!("fapiao serve  {scheme}://{address}  ledger {origin}");
            Ok(())
        })
    }

    /// The file, with what the command line says in place of what it says.
    fn configuration(&self) -> Result<Configuration, Failure> {
        let mut configuration = match &self.config {
            Some(path) => Configuration::read(path)?,
            None => Configuration::default(),
        };
        if let Some(data) = &self.data {
            configuration.data = Some(data.clone());
        }
        if let Some(listen) = self.listen {
            configuration.http.listen = listen;
        }
        if let Some(path) = &self.passphrase_file {
            configuration.passphrase_file = Some(path.clone());
        }
        if let Some(host) = &self.host {
            configuration.issue.host = host.clone().try_into().map_err(|wrong| Failure::Usage(format!("--host: {wrong}")))?;
        }
        Ok(configuration)
    }
}

/// A socket that listens, and the threads that will serve it. Whoever connects before the ledger is open waits.
pub(super) struct Front {
    runtime: tokio::runtime::Runtime,
    listening: Listening,
    address: SocketAddr,
    threads: usize,
    tls: Option<Arc<Tls>>,
}

impl Front {
    pub(super) fn open(configuration: &Configuration) -> Result<Front, Failure> {
        raise_file_limit();
        let tls = match &configuration.tls {
            configuration::Tls { certificate: Some(certificate), key: Some(key) } => {
                Some(Arc::new(Tls::read(certificate.clone(), key.clone()).map_err(|error| Failure::Usage(error.to_string()))?))
            }
            _ => None,
        };
        let threads = match configuration.http.threads.get() {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => usize::try_from(threads).unwrap_or(1),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(HTTP_BLOCKING_THREADS)
            .thread_name("http")
            .enable_io()
            .enable_time()
            .build()?;
        let listening = {
            let _inside = runtime.enter();
            Listening::on(configuration.http.listen).map_err(|error| Failure::Listen(error.to_string()))?
        };
        let address = listening.address()?;
        Ok(Front { runtime, listening, address, threads, tls })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a signal comes. `ready` runs once requests are answered.
    pub(super) fn serve(
        self,
        engine: Engine,
        configuration: &Configuration,
        metrics: Arc<Metrics>,
        ready: impl FnOnce(SocketAddr) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let settings = Settings {
            proxies: configuration.http.proxies.clone(),
            connections: usize::try_from(configuration.http.connections.get()).unwrap_or(usize::MAX),
            drain: Duration::from_secs(u64::from(configuration.http.drain_seconds.get())),
            log: match configuration.log.requests {
                Requests::Failures => RequestLog::Failures,
                Requests::All => RequestLog::All,
            },
        };
        metrics.started.set(i64::try_from(now().0 / 1_000).unwrap_or(i64::MAX));
        let engine = Arc::new(engine);
        watch(&self.runtime, &engine, &configuration.witness)?;
        let site = Arc::new(Site::new(Arc::clone(&engine), metrics, settings, u32::from_be_bytes(random()?)));
        let mut kept_up = None;
        self.host(site, |address, threads| {
            tracing::info!(%address, threads, size = engine.ledger().published().size, "listening");
            kept_up = Some((Regular::lists(&engine, configuration.revocations.minutes.get())?, Regular::announcements(&engine)?));
            ready(address)
        })?;
        drop(kept_up);
        if engine.ledger().may_write().is_ok() {
            log_answers(&engine);
        }
        match Arc::try_unwrap(engine) {
            Ok(engine) => {
                // The ledger finishes what it has taken in.
                drop(engine);
                tracing::info!("the ledger is closed");
            }
            Err(_held) => tracing::warn!("a request still has the ledger, which is left as after a crash"),
        }
        Ok(Exit::Fine)
    }

    /// Answers requests until a signal comes, and lets what was begun come to its end.
    pub(super) fn host<H: Host>(self, host: Arc<H>, ready: impl FnOnce(SocketAddr, usize) -> Result<(), Failure>) -> Result<(), Failure> {
        let Front { runtime, listening, address, threads, tls } = self;
        let stop = {
            let _inside = runtime.enter();
            // Under a supervisor a reload must not be the end, whether there is something to reload or not.
            if tls.is_some() || std::env::var_os(SUPERVISOR).is_some() {
                keep_certificate_fresh(tls.clone())?;
            }
            stop_signal()?
        };
        let serving = runtime.spawn(Server { host, listening, tls }.run(stop));
        ready(address, threads)?;
        tell_supervisor("READY=1");
        let served = runtime.block_on(serving).map_err(|error| Failure::Listen(error.to_string()))?;
        tell_supervisor("STOPPING=1");
        match served {
            Served::Drained => tracing::info!("every request that was begun is answered"),
            Served::Cut(connections) => {
                tracing::warn!(connections, "the time to end was up; what was on its way to the ledger is finished all the same");
            }
        }
        // What is still under way came too late for its answer, and not for the ledger.
        runtime.shutdown_timeout(Duration::from_millis(HTTP_LINGER_MS));
        Ok(())
    }

    /// For what has to go on beside the requests.
    pub(super) fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

/// Has checkpoints cosigned from now on, if there is a policy. Nothing is signed before the witnesses have said whether they saw another history, or
/// have not said anything in time.
fn watch(runtime: &tokio::runtime::Runtime, engine: &Arc<Engine>, configuration: &configuration::Witness) -> Result<(), Failure> {
    let Some(path) = &configuration.policy else { return Ok(()) };
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let text = String::from_utf8(read_bounded(path, POLICY_BYTES_MAX)?).map_err(|_| wrong("not UTF-8".to_owned()))?;
    let policy = Policy::parse(&text).map_err(|fault| wrong(fault.to_string()))?;
    let (origin, keys) = (engine.ledger().origin().as_str(), engine.ledger().keys());
    let is_ours = |log: &KnownLog| log.key.name == origin && keys.iter().any(|key| key.record.role() == Role::Checkpoint && key.key == log.key.key);
    if !policy.logs().is_empty() && !policy.logs().iter().any(is_ours) {
        return Err(wrong(format!("none of its logs is this one, {origin} with a key of it (fapiao ledger checkpoint --keys)")));
    }
    if policy.witnesses().len() > POLICY_WITNESSES_MAX {
        return Err(wrong(format!("more than {POLICY_WITNESSES_MAX} witnesses: a checkpoint has no room for their cosignatures")));
    }
    let asked = policy.witnesses().iter().enumerate().filter(|(_, witness)| witness.url.is_some()).map(|(at, _)| at);
    if !policy.is_quorum(asked) {
        return Err(wrong("the witnesses that have an address are not enough for its quorum: no checkpoint could ever be published".to_owned()));
    }
    let witnesses = Witnesses::of(Arc::clone(engine), &policy, configuration.ca.as_deref()).map_err(wrong)?;
    engine.follow_policy(policy, text)?;
    let every = Duration::from_secs(u64::from(configuration.seconds.get()));
    // Trouble that is over in a moment is no reason not to ask: what signs then has been asked about.
    if witnesses.is_any() && engine.ledger().obstacle().is_none() && runtime.block_on(witnesses.first_round()) {
        runtime.spawn(witnesses.keep_on(every));
    }
    Ok(())
}

/// A thread that does something every so often; it ends with this value.
struct Regular {
    stop: Option<crossbeam_channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Regular {
    /// Makes revocation lists.
    fn lists(engine: &Arc<Engine>, minutes: u32) -> Result<Regular, Failure> {
        let (stop, told) = crossbeam_channel::bounded::<()>(0);
        let (engine, interval_ms) = (Arc::clone(engine), u64::from(minutes) * 60_000);
        let thread = std::thread::Builder::new().name("revocations".into()).spawn(move || {
            let failed = |error: EngineError| tracing::warn!(%error, "no revocation list could be made");
            let mut wait_ms = 0;
            // A restart makes none before it is due.
            engine.take_up_revocations().unwrap_or_else(failed);
            while minutes > 0 && engine.is_unlocked() && told.recv_timeout(Duration::from_millis(wait_ms)) == Err(RecvTimeoutError::Timeout) {
                if engine.revocations_due_in() == 0 {
                    match engine.renew_revocations(interval_ms, &|| told.try_recv() == Err(TryRecvError::Empty)) {
                        Ok(Some(list)) => {
                            tracing::info!(tokens = list.list.tokens().len(), size = list.list.size, "a revocation list was made");
                        }
                        Ok(None) => return,
                        Err(error) => failed(error),
                    }
                }
                // What failed is tried again then, and a list whose key was stolen meanwhile is due at once.
                wait_ms = match engine.revocations_due_in() {
                    0 => REVOCATIONS_LOOK_MS,
                    due_ms => due_ms.min(REVOCATIONS_LOOK_MS),
                };
            }
        })?;
        Ok(Regular { stop: Some(stop), thread: Some(thread) })
    }

    /// Has the log tell of the policy by which it publishes, and of signed answers.
    fn announcements(engine: &Arc<Engine>) -> Result<Regular, Failure> {
        let (stop, told) = crossbeam_channel::bounded::<()>(0);
        let engine = Arc::clone(engine);
        let thread = std::thread::Builder::new().name("announcements".into()).spawn(move || {
            let mut wait_ms = 0;
            while told.recv_timeout(Duration::from_millis(wait_ms)) == Err(RecvTimeoutError::Timeout) {
                if engine.ledger().may_write().is_ok() {
                    log_policy(&engine);
                }
                wait_ms = match engine.answers_due_in() {
                    Ok(Some(0)) if engine.ledger().may_write().is_ok() => {
                        log_answers(&engine);
                        ANSWERS_LOOK_MS
                    }
                    Ok(Some(due_ms)) if due_ms > 0 => due_ms.min(ANSWERS_LOOK_MS),
                    // None, or a ledger that does not write now.
                    Ok(Some(_) | None) => ANSWERS_LOOK_MS,
                    Err(error) => {
                        not_told(&error);
                        ANSWERS_LOOK_MS
                    }
                };
            }
        })?;
        Ok(Regular { stop: Some(stop), thread: Some(thread) })
    }
}

fn log_policy(engine: &Engine) {
    match engine.log_policy() {
        Ok(false) => {}
        Ok(true) => tracing::info!(size = engine.ledger().published().size, "the log tells of the policy by which it publishes"),
        Err(error) => tracing::warn!(%error, "the log could not be told of the policy"),
    }
}

fn log_answers(engine: &Engine) {
    match engine.log_answers() {
        Ok(0) => {}
        Ok(answers) => tracing::info!(answers, size = engine.ledger().published().size, "the log tells of signed answers"),
        Err(error) => not_told(&error),
    }
}

fn not_told(error: &EngineError) {
    tracing::warn!(%error, "the log could not be told of signed answers");
}

impl Drop for Regular {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by its own message.
            drop(thread.join());
        }
    }
}

/// Over at the first SIGTERM or SIGINT; the second ends the process, which a ledger survives.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match tell.take() {
                Some(tell) => drop(tell.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move { drop(told.await) })
}

/// Reads certificate and key again when they change, and at SIGHUP.
fn keep_certificate_fresh(tls: Option<Arc<Tls>>) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                told = hangup.recv() => told.is_some(),
                () = tokio::time::sleep(Duration::from_secs(TLS_LOOK_SECS)), if tls.is_some() => false,
            };
            let Some(tls) = tls.clone() else { continue };
            match tokio::task::spawn_blocking(move || tls.renew(told)).await {
                Ok(Ok(true)) => tracing::info!("the certificate was read again"),
                Ok(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
                // There is none that is new; or the server is at its end.
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    });
    Ok(())
}

/// Frames and how long they take, from signed to published.
pub(super) fn commits(metrics: &Arc<Metrics>) -> Observer {
    let metrics = Arc::clone(metrics);
    let closed: Mutex<VecDeque<(u64, Instant)>> = Mutex::default();
    Arc::new(move |stage, first, size| {
        let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
        match stage {
            Stage::Closed => closed.push_back((size, Instant::now())),
            Stage::Durable | Stage::Locked => {}
            Stage::Published => {
                metrics.frames.inc();
                metrics.entries.inc_by(size.saturating_sub(first));
                // Frames are published in the order in which they were closed; one that never was is forgotten.
                while let Some((of, since)) = closed.pop_front() {
                    if of == size {
                        metrics.commit_seconds.observe(since.elapsed().as_secs_f64());
                        break;
                    }
                }
            }
        }
    })
}

/// Structured logs on standard error.
pub(super) fn start_logging(configuration: &Configuration) {
    let level = match configuration.log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    // What libraries have to say is about peers, whom we do not write about, and is not in the manual.
    let ours = Targets::new().with_target("fapiao", level);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    let started = match configuration.log.format {
        Format::Json => builder.json().flatten_event(true).finish().with(ours).try_init(),
        Format::Text => builder.with_ansi(false).finish().with(ours).try_init(),
    };
    if started.is_err() {
        unreachable!("logging is started once in a process");
    }
}

/// As many files as the system allows: every connection is one.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Where systemd listens, if it is there.
const SUPERVISOR: &str = "NOTIFY_SOCKET";

/// Tells systemd how far we are, if it is there (sd_notify(3)).
fn tell_supervisor(state: &str) {
    let Some(path) = std::env::var_os(SUPERVISOR) else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(state.as_bytes(), path));
    if let Err(error) = sent {
        tracing::warn!(%error, "the supervisor could not be told");
    }
}
