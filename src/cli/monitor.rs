//! `fapiao monitor`: follows a log from outside and shouts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::configuration::Configuration;
use super::serve::start_logging;
use super::{Exit, Failure};
use crate::channel::monitor::{Found, Monitor};
use crate::crypto::hash;
use crate::crypto::note::{Origin, decode_base64, parse_decimal};
use crate::crypto::policy::Policy;
use crate::engine::{EngineError, now, read_bounded, replace_public};
use crate::limits::{MONITOR_ALARM_SECS, MONITOR_EVIDENCE_MAX, MONITOR_STATE_BYTES_MAX, POLICY_BYTES_MAX};
use crate::witness::follow::{Alarm, Followed};

const AFTER_HELP: &str = "\
The policy (c2sp.org/tlog-policy) has a line `log <verifier key>` for each checkpoint key of the log, and, if witnesses must have cosigned what is shown,
their lines and a quorum. The first look reads the whole log; what was seen is kept in DIR/state, so later ones read only what is new.
What is shouted: an ERROR line, the evidence in DIR/evidence, the program of --alarm with the alarm as JSON on its standard input, and exit status 1.
监察日志：首次读取全部记录，以后只读新增；每个检查点须有策略所列密钥的签名和足够的联署，并延续此前所见。未签名、联署不足或过期、分叉、
回退、缺失、见证策略变更即报警：ERROR 日志、DIR/evidence 中的证据、--alarm 程序、退出码 1。

Exit status: 0 all is well, 1 an alarm, 2 usage, 3 no address could be asked, or one that shows a signed checkpoint could not be read.
退出码：0 正常，1 报警，2 用法错误，3 无法询问或读取。";

/// `fapiao monitor`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Watch {
    /// Address of the log; several times if it is reached at several: all must show one history 日志地址
    #[arg(long = "log", value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Trust policy: the log's keys, witnesses, quorum 见证策略文件
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Directory for what was seen and for evidence 状态目录
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Look once and exit 只检查一次
    #[arg(long)]
    once: bool,
    /// Seconds from one look to the next 间隔（秒）
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// How old the cosignatures that are enough may be, in seconds, where the policy asks for any 联署最长时效（秒）
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    freshest: u64,
    /// Program to run on each alarm 报警程序
    #[arg(long, value_name = "PROGRAM")]
    alarm: Option<PathBuf>,
    /// Believe the certificates in this file (PEM) in place of the system's 信任的证书
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

const STATE: &str = "fapiao-monitor/1";

impl Watch {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        start_logging(&Configuration::default());
        let wrong = |why: String| Failure::Usage(format!("{}: {why}", self.policy.display()));
        let text = String::from_utf8(read_bounded(&self.policy, POLICY_BYTES_MAX)?).map_err(|_| wrong("not UTF-8".to_owned()))?;
        let policy = Policy::parse(&text).map_err(|fault| wrong(fault.to_string()))?;
        let mut names = policy.logs().iter().map(|log| log.key.name.as_str());
        let origin = names.next().and_then(Origin::parse).ok_or_else(|| wrong("it names no log of this kind".to_owned()))?;
        if names.any(|name| name != origin.as_str()) {
            return Err(wrong("it names several logs; a monitor follows one".to_owned()));
        }
        let state = self.data.join("state");
        let followed = match state.exists() {
            true => read(&state, &origin)?,
            false => Followed::new(),
        };
        let mut monitor = Monitor::of(origin, policy, self.freshest, followed, &self.urls, self.ca.as_deref()).map_err(Failure::Usage)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(self.watch(&mut monitor, &state))
    }

    async fn watch(&self, monitor: &mut Monitor, state: &Path) -> Result<Exit, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut worst = Exit::Fine;
        loop {
            let before = monitor.followed().size();
            let progress = |read: u64, of: u64| {
                // A log that is new to us is long; whoever waits sees that it goes on.
                if read.is_multiple_of(256 * 256) && read > before {
                    tracing::info!(read, of, "the log is being read");
                }
            };
            let mut answered = false;
            for (at, url) in monitor.addresses().into_iter().enumerate() {
                let size = monitor.followed().size();
                let found = tokio::select! {
                    found = monitor.look(at, &now, &progress) => found,
                    _ = terminate.recv() => return Ok(worst),
                    _ = interrupt.recv() => return Ok(worst),
                };
                answered |= !matches!(found, Found::Silent(_));
                match found {
                    Found::Well(size) => tracing::info!(url, size, "all is well"),
                    Found::Silent(why) => tracing::warn!(url, why, "the log could not be asked"),
                    Found::Unread { why, .. } => {
                        tracing::warn!(url, why, "the log could not be read");
                        worst = if worst == Exit::Other { worst } else { Exit::Unavailable };
                    }
                    Found::Alarm { alarm, served } => {
                        worst = Exit::Other;
                        self.shout(&url, &alarm, &served, monitor.followed().note().unwrap_or_default()).await;
                    }
                }
                if monitor.followed().size() > size || !state.exists() {
                    // Whoever cannot keep what was seen sees on, and compares with what is in memory.
                    if let Err(error) = keep(state, monitor.followed()) {
                        tracing::error!(%error, "what was seen of the log could not be kept");
                        worst = if worst == Exit::Other { worst } else { Exit::Unavailable };
                    }
                }
            }
            if self.once {
                return Ok(if answered { worst } else { Exit::Unavailable });
            }
            tokio::select! {
                _ = terminate.recv() => return Ok(worst),
                _ = interrupt.recv() => return Ok(worst),
                () = tokio::time::sleep(Duration::from_secs(self.every)) => {}
            }
        }
    }

    /// Tells everybody who is to know: what was served, and what was seen before, both as they were signed. Nothing that fails keeps it from the rest.
    async fn shout(&self, url: &str, alarm: &Alarm, served: &str, seen: &str) {
        let (name, text) = (alarm.name(), alarm.to_string());
        // The same again is kept once, however its figures grow.
        let [a, b, c, d, ..] = hash::sha256(&[name.as_bytes(), url.as_bytes(), served.as_bytes(), seen.as_bytes()]);
        let folder = self.data.join("evidence");
        let path = folder.join(format!("{name}-{:08x}.txt", u32::from_be_bytes([a, b, c, d])));
        let of_this_name = |entry: &std::io::Result<std::fs::DirEntry>| {
            entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-")))
        };
        let kept = std::fs::read_dir(&folder).map_or(0, |entries| entries.filter(of_this_name).count());
        let evidence = if path.exists() {
            path.display().to_string()
        } else if kept >= MONITOR_EVIDENCE_MAX {
            format!("none: there are {kept} of this kind")
        } else {
            match replace_public(&path, format!("{text}\n\nserved at {url}:\n\n{served}\nseen before:\n\n{seen}").as_bytes()) {
                Ok(()) => path.display().to_string(),
                Err(error) => format!("none: {error}"),
            }
        };
        tracing::error!(url, name, alarm = text, evidence, "the log is not as it should be");
        if let Some(program) = self.alarm.clone() {
            let told = json!({ "url": url, "name": name, "alarm": text, "evidence": evidence });
            let shown = program.display().to_string();
            match tokio::task::spawn_blocking(move || tell(&program, &told)).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::error!(%error, program = shown, "the alarm could not be passed on"),
            }
        }
    }
}

/// Runs the program of an alarm, for so long and no longer.
fn tell(program: &Path, alarm: &Value) -> std::io::Result<()> {
    let mut child = std::process::Command::new(program).stdin(Stdio::piped()).spawn()?;
    // One that does not read it may have had enough by its name.
    let written = child.stdin.take().map(|mut input| writeln!(input, "{alarm}"));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if begun.elapsed() < Duration::from_secs(MONITOR_ALARM_SECS) => std::thread::sleep(Duration::from_millis(50)),
            None => {
                child.kill()?;
                child.wait()?;
                return Err(std::io::Error::other(format!("it did not end within {MONITOR_ALARM_SECS} s")));
            }
        }
    };
    match written {
        _ if !status.success() => Err(std::io::Error::other(status.to_string())),
        Some(Err(error)) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// What was seen: the newest leaf's time, the newest policy's leaf, the rows of the tree's right edge, the checkpoint.
fn keep(path: &Path, followed: &Followed) -> Result<(), EngineError> {
    let Some(note) = followed.note() else { return Ok(()) };
    let mut text = format!("{STATE}\nsize {}\ntime {}\n", followed.size(), followed.time_ms());
    if let Some(index) = followed.policy() {
        text.push_str(&format!("policy {index}\n"));
    }
    for row in followed.rows() {
        text.push_str("row");
        for hash in row {
            text.extend([" ", &BASE64.encode(&hash)]);
        }
        text.push('\n');
    }
    text.push_str("checkpoint\n");
    text.push_str(note);
    replace_public(path, text.as_bytes())
}

fn read(path: &Path, origin: &Origin) -> Result<Followed, Failure> {
    let damaged = || {
        let text = format!("{} is damaged, or of another log than {origin}: put it aside, and the log is read from its beginning", path.display());
        Failure::Server { exit: Exit::Unavailable, text }
    };
    let text = String::from_utf8(read_bounded(path, MONITOR_STATE_BYTES_MAX)?).map_err(|_| damaged())?;
    parse(&text).filter(|followed| followed.note().is_some_and(|note| note.starts_with(&format!("{origin}\n")))).ok_or_else(damaged)
}

fn parse(text: &str) -> Option<Followed> {
    let (head, note) = text.split_once("checkpoint\n")?;
    let mut lines = head.strip_prefix(STATE)?.strip_prefix('\n')?.lines().peekable();
    let size = parse_decimal(lines.next()?.strip_prefix("size ")?)?;
    let time_ms = parse_decimal(lines.next()?.strip_prefix("time ")?)?;
    let policy = match lines.next_if(|line| line.starts_with("policy ")) {
        Some(line) => Some(parse_decimal(line.strip_prefix("policy ")?)?),
        None => None,
    };
    let hash = |text: &str| decode_base64(text)?.try_into().ok();
    let row = |line: &str| line.strip_prefix("row")?.split(' ').skip(1).map(hash).collect::<Option<Vec<[u8; 32]>>>();
    Followed::kept(size, &lines.map(row).collect::<Option<Vec<_>>>()?, time_ms, policy, note.to_owned())
}
