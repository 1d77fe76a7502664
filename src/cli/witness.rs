//! `fapiao witness`: watches logs and cosigns their checkpoints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::configuration::Configuration;
use super::open::{PASSPHRASE_FILE, passphrase_from, prompt};
use super::serve::{Front, start_logging};
use super::{Exit, Failure, print};
use crate::channel::http::{Door, WitnessSite};
use crate::crypto::keyfile::KdfCost;
use crate::engine::{Seen, Witness, WitnessFault, now, random};
use crate::limits::TLS_LOOK_SECS;
use crate::metrics::Metrics;

const SERVE_HELP: &str = "\
The file of logs has a line `log <verifier key>` for each key of each log that is watched, as `fapiao keys show --data DIR` prints it; it is read again
when it changes and at SIGHUP. A log that rotates its checkpoint key needs a line for the new one before the old one ends.
POST /add-checkpoint is what logs ask (c2sp.org/tlog-witness), GET / shows its key and what it cosigned last, GET /healthz says that it runs.
日志文件每行 `log <验证密钥>`；文件变更或收到 SIGHUP 时重新读取。

Exit status: 0 stopped, 2 usage, 3 it does not begin.";

/// `fapiao witness`
#[derive(Subcommand)]
pub(super) enum Witnessing {
    /// Make a witness with a new key, and print the key for trust policies. 新建见证人
    Create(Create),
    /// Watch logs and cosign their checkpoints over HTTP. 运行
    #[command(after_help = SERVE_HELP)]
    Serve(Serve),
    /// Print the key and what was cosigned last. 查看
    Show(Show),
    /// Say that a restored or moved witness knows all that it cosigned. 恢复后确认
    Adopt(Adopt),
}

#[derive(Args)]
struct Place {
    /// Directory of the witness; its lock record lies beside it (DIR.lock) and belongs into no backup 见证人目录
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File with the passphrase of its key; without it DIR/keys/passphrase is used if there is one, else the terminal is asked 口令文件
    #[arg(long, value_name = "FILE", env = "FAPIAO_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Place {
    fn passphrase(&self) -> Result<Zeroizing<String>, Failure> {
        match passphrase_from(self.passphrase_file.as_deref(), &self.data)? {
            Some(passphrase) => Ok(passphrase),
            None => prompt("Passphrase 口令: ", PASSPHRASE_FILE),
        }
    }
}

/// `fapiao witness create`
#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: Place,
    /// Name in notes: by custom the address of the witness without its scheme 名称
    #[arg(long)]
    name: String,
    /// Print JSON 输出 JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao witness serve`
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// File with a line `log <verifier key>` for each key that is watched 日志清单
    #[arg(long, value_name = "FILE")]
    logs: PathBuf,
    /// Where to listen; port 0 takes a free one 监听地址
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Certificate chain (PEM) 证书
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM) 私钥
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

/// `fapiao witness show`
#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    place: Place,
    /// Print JSON 输出 JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao witness adopt`
#[derive(Args)]
pub(super) struct Adopt {
    #[command(flatten)]
    place: Place,
    /// A checkpoint that carries this witness's cosignature, as the log serves it at /checkpoint; the newest of each log 带有本见证人联署的检查点
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Print JSON 输出 JSON
    #[arg(long)]
    json: bool,
}

impl Witnessing {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Witnessing::Create(create) => create.run(),
            Witnessing::Serve(serve) => serve.run(),
            Witnessing::Show(show) => {
                let (cosigner, seen) = Witness::look(&show.place.data, &show.place.passphrase()?)?;
                tell(show.json, &cosigner.encode(), &seen)
            }
            Witnessing::Adopt(adopt) => {
                let seen = Witness::adopt(&adopt.place.data, &adopt.place.passphrase()?, &adopt.checkpoints)?;
                let (cosigner, _) = Witness::look(&adopt.place.data, &adopt.place.passphrase()?)?;
                tell(adopt.json, &cosigner.encode(), &seen)
            }
        }
    }
}

fn tell(json: bool, key: &str, seen: &[Seen]) -> Result<Exit, Failure> {
    let logs: Vec<Value> = seen
        .iter()
        .map(|seen| {
            let root = data_encoding::BASE64.encode(&seen.checkpoint.root);
            json!({ "origin": seen.checkpoint.origin.as_str(), "size": seen.checkpoint.size, "root": root, "time": seen.time })
        })
        .collect();
    let lines: String =
        seen.iter().map(|seen| format!("\n{}  size {}  cosigned {}", seen.checkpoint.origin, seen.checkpoint.size, seen.when())).collect();
    print(json, &json!({ "key": key, "logs": logs }), &format!("witness {key}{lines}"))?;
    Ok(Exit::Fine)
}

impl Create {
    fn run(self) -> Result<Exit, Failure> {
        let cosigner = Witness::create(&self.place.data, &self.name, &self.place.passphrase()?, KdfCost::STANDARD)?;
        tell(self.json, &cosigner.encode(), &[])
    }
}

impl Serve {
    fn run(self) -> Result<Exit, Failure> {
        let mut configuration = Configuration::default();
        configuration.http.listen = self.listen;
        configuration.tls.certificate = self.certificate;
        configuration.tls.key = self.key;
        start_logging(&configuration);
        let front = Front::open(&configuration)?;
        let witness = Arc::new(Witness::open(&self.place.data, &self.place.passphrase()?, &self.logs, Arc::new(now))?);
        {
            let _inside = front.runtime().enter();
            keep_logs_fresh(Arc::clone(&witness))?;
        }
        let room = usize::try_from(configuration.http.connections.get()).unwrap_or(usize::MAX);
        let drain = Duration::from_secs(u64::from(configuration.http.drain_seconds.get()));
        let door = Door::new(Arc::new(Metrics::new()), room, drain, u32::from_be_bytes(random()?));
        let scheme = if configuration.tls.key.is_some() { "https" } else { "http" };
        let (key, keys) = (witness.cosigner().encode(), witness.logs());
        front.host(Arc::new(WitnessSite::new(witness, door)), |address, _| {
            tracing::info!(%address, keys, "listening");
            println!("fapiao witness serve  {scheme}://{address}  {key}");
            Ok(())
        })?;
        Ok(Exit::Fine)
    }
}

/// Reads the file of logs again when it changes, and at SIGHUP.
fn keep_logs_fresh(witness: Arc<Witness>) -> Result<(), Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = tokio::time::sleep(Duration::from_secs(TLS_LOOK_SECS)) => {}
            }
            let again = Arc::clone(&witness);
            match tokio::task::spawn_blocking(move || again.read_logs_again().map(|changed| (changed, again.logs()))).await {
                Ok(Ok((true, keys))) => tracing::info!(keys, "the logs were read again"),
                Ok(Err(error)) => tracing::error!(%error, "the logs stay as they were"),
                // Nothing is new; or the server is at its end.
                Ok(Ok((false, _))) | Err(_) => {}
            }
        }
    });
    Ok(())
}

impl From<WitnessFault> for Failure {
    fn from(fault: WitnessFault) -> Failure {
        match fault {
            WitnessFault::Engine(error) => Failure::Engine(error),
            WitnessFault::Absent(_)
            | WitnessFault::Exists(_)
            | WitnessFault::Name(_)
            | WitnessFault::Key { .. }
            | WitnessFault::Logs { .. }
            | WitnessFault::NotALog { .. }
            | WitnessFault::Checkpoint { .. }
            | WitnessFault::Submitted(_)
            | WitnessFault::TooManyLogs => Failure::Usage(fault.to_string()),
            WitnessFault::InUse(_)
            | WitnessFault::Damaged { .. }
            | WitnessFault::Restored(_)
            | WitnessFault::LockedBeyond { .. }
            | WitnessFault::ClockBehind(_) => Failure::Server { exit: Exit::Unavailable, text: fault.to_string() },
        }
    }
}
