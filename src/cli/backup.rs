//! `fapiao ledger backup`, `backups`, `restore` and `drill`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::fsck::told;
use super::open::{DataOptions, passphrase_from};
use super::{Exit, Failure, print};
use crate::domain::time::UnixMillis;
use crate::engine::{Config, Engine, EngineError, random};
use crate::ledger::{self, Restored};
use crate::limits::BACKUPS_KEPT;

/// `fapiao ledger backup`
#[derive(Args)]
pub(super) struct Backup {
    #[command(flatten)]
    data: DataOptions,
    /// Directory of backups; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How many of the newest backups to keep
    #[arg(long, default_value_t = BACKUPS_KEPT, value_name = "N")]
    keep: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Backups while another command has the ledger open.
#[derive(Args)]
pub(super) struct MeanwhileOptions {
    /// Back up to this directory meanwhile, and once more at the end
    #[arg(long, value_name = "DIR")]
    backup_to: Option<PathBuf>,
    /// Seconds from one of these backups to the next
    #[arg(long, default_value_t = 60, value_name = "SECONDS", requires = "backup_to", value_parser = clap::value_parser!(u64).range(1..))]
    backup_every: u64,
}

impl MeanwhileOptions {
    /// Whether any are wanted.
    pub(super) fn are_wanted(&self) -> bool {
        self.backup_to.is_some()
    }

    /// Runs the command, backing up meanwhile if that is wanted. A backup that fails is said on standard error and does not end the command; the exit
    /// status tells.
    pub(super) fn around(&self, engine: &Engine, run: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
        let Some(to) = &self.backup_to else { return run() };
        let back_up = || match engine.back_up(to, BACKUPS_KEPT) {
            Ok(_) => Exit::Fine,
            Err(error) => {
                eprintln!("fapiao: {}: {error}", to.display());
                Exit::Unavailable
            }
        };
        let (done, is_done) = crossbeam_channel::bounded::<std::convert::Infallible>(0);
        std::thread::scope(|scope| {
            let meanwhile = scope.spawn(move || {
                let mut worst = Exit::Fine;
                while is_done.recv_timeout(Duration::from_secs(self.backup_every)) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                    worst = worst.max(back_up());
                }
                worst.max(back_up())
            });
            let exit = run();
            drop(done);
            let backed_up = meanwhile.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(exit?.max(backed_up))
        })
    }
}

/// `fapiao ledger backups`
#[derive(Args)]
pub(super) struct Backups {
    /// Directory of backups
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which backup, and how much of it.
#[derive(Args)]
struct Which {
    /// Directory of backups
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Number of the backup; default: the newest, or the first that holds --size
    #[arg(long, value_name = "N")]
    backup: Option<u32>,
    /// Only as much as the ledger had at this published size
    #[arg(long, value_name = "LEAVES")]
    size: Option<u64>,
}

/// `fapiao ledger restore`
#[derive(Args)]
pub(super) struct Restore {
    #[command(flatten)]
    which: Which,
    /// Where to restore to: a new or empty directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao ledger drill`
#[derive(Args)]
pub(super) struct Drill {
    #[command(flatten)]
    which: Which,
    /// Scratch directory; default: one under the system's temporary directory. It is removed afterwards
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// File with the passphrase of the key file: without it id tags and bodies are not checked
    #[arg(long, value_name = "FILE", env = "FAPIAO_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn time(backup: &ledger::Backup) -> UnixMillis {
    UnixMillis(u64::try_from(backup.time_s).unwrap_or(0) * 1000)
}

fn backup_json(backup: &ledger::Backup) -> Value {
    json!({
        "backup": backup.number,
        "time": time(backup).to_string(),
        "bytes": backup.bytes,
        "origin": backup.checkpoint.origin.as_str(),
        "size": backup.checkpoint.size,
        "root": data_encoding::HEXLOWER.encode(&backup.checkpoint.root),
    })
}

impl Backup {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        if self.keep == 0 {
            return Err(Failure::Usage("--keep: at least 1".to_owned()));
        }
        let engine = self.data.open_to_read()?;
        let backup = engine.back_up(&self.to, self.keep)?;
        let text =
            format!("已备份 backup {} holds {} leaves, {} bytes, in {}", backup.number, backup.checkpoint.size, backup.bytes, self.to.display());
        print(self.json, &backup_json(&backup), &text)?;
        Ok(Exit::Fine)
    }
}

impl Backups {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let backups = ledger::backups(&self.from).map_err(EngineError::from)?;
        let line = |backup: &ledger::Backup| {
            format!(
                "{:>6}  {}  {:>12} leaves  {:>14} bytes  {}",
                backup.number,
                time(backup),
                backup.checkpoint.size,
                backup.bytes,
                backup.checkpoint.origin
            )
        };
        let text = if backups.is_empty() { "没有备份 no backups".to_owned() } else { backups.iter().map(line).collect::<Vec<_>>().join("\n") };
        print(self.json, &backups.iter().map(backup_json).collect(), &text)?;
        Ok(Exit::Fine)
    }
}

impl Which {
    fn restore(&self, into: &std::path::Path) -> Result<Restored, Failure> {
        Ok(Engine::restore(&self.from, self.backup, self.size, into)?)
    }
}

impl Restore {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Restored { backup, checkpoint } = self.which.restore(&self.data)?;
        let value = json!({
            "backup": backup.number, "size": checkpoint.size, "root": data_encoding::HEXLOWER.encode(&checkpoint.root),
            "origin": checkpoint.origin.as_str(), "data": self.data,
        });
        let text = format!(
            "已恢复 restored {} leaves from backup {} into {}\n  It answers, and does not sign yet: `fapiao doctor --data {2}` says why and what to do",
            checkpoint.size,
            backup.number,
            self.data.display()
        );
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }
}

impl Drill {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let scratch = match &self.scratch {
            Some(scratch) => scratch.clone(),
            None => std::env::temp_dir().join(format!("fapiao-drill-{}", data_encoding::HEXLOWER.encode(&random::<4>()?))),
        };
        let exit = self.rehearse(&scratch);
        // Whatever came of it, the scratch directory was ours alone.
        if !matches!(exit, Err(Failure::Engine(EngineError::Backup(ledger::BackupError::NotEmpty(_))))) && scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        exit
    }

    fn rehearse(&self, scratch: &std::path::Path) -> Result<Exit, Failure> {
        let start = Instant::now();
        let Restored { backup, checkpoint } = self.which.restore(scratch)?;
        let restored = start.elapsed();
        let passphrase = passphrase_from(self.passphrase_file.as_deref(), scratch)?;
        let engine = Engine::open(Config::new(scratch, passphrase))?;
        let opened = start.elapsed() - restored;
        let report = engine.fsck(&|_, _| ())?;
        let checked = start.elapsed() - restored - opened;
        let (fsck, findings) = told(&report, checked);
        let sound = report.findings.is_empty();
        let value = json!({
            "sound": sound, "backup": backup.number, "size": checkpoint.size, "root": data_encoding::HEXLOWER.encode(&checkpoint.root),
            "restore_s": restored.as_secs_f64(), "open_s": opened.as_secs_f64(), "check_s": checked.as_secs_f64(), "fsck": fsck,
        });
        let verdict = if sound { "演练通过 the backup restores and is sound" } else { "演练失败 THE BACKUP IS DAMAGED" };
        let text = format!(
            "{verdict}: backup {}, {} leaves\n  restored in {:.1} s, ready in {:.2} s, checked in {:.1} s\n{findings}",
            backup.number,
            checkpoint.size,
            restored.as_secs_f64(),
            opened.as_secs_f64(),
            checked.as_secs_f64()
        );
        print(self.json, &value, &text)?;
        Ok(if sound { Exit::Fine } else { Exit::Other })
    }
}
