//! The program: subcommands in the order in which an operator meets them.

mod allot;
mod backup;
mod bulk;
mod callers;
mod configuration;
mod demo;
mod doctor;
mod events;
mod fsck;
mod issue;
mod keys;
mod ledger;
pub mod load;
mod monitor;
mod open;
mod proof;
mod prove;
mod remote;
mod resubmit;
mod revocations;
mod runbook;
pub mod sample;
mod serve;
mod verify;
mod witness;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::channel::issuing::IssuingError;
use crate::channel::receipt::Gravity;
use crate::engine::EngineError;
use crate::ledger::{BackupError, LedgerError, StoreError, SubmitError};

const AFTER_HELP: &str = "\
A first tour:
  fapiao demo                                     everything at once, in a fresh directory
  fapiao keys create --data DIR                   keys and an empty ledger
  fapiao allot add --data DIR --taxpayer ID --kind 04 --code 033001900104 --first 00000001 --last 00001000
  fapiao sample 04 --code 033001900104 --first 00000001 --seller ID | fapiao issue --data DIR
  fapiao verify --data DIR --qr TEXT              or --code --number --date and --amount or --check
  fapiao ledger fsck --data DIR

When something is the matter:
  fapiao doctor --data DIR                        what it is
  fapiao runbook [CODE]                           what to do, step by step

Exit status: 0 all well (verify, bulk: genuine), 1 another answer, refused or faulty, 2 usage or malformed, 3 unavailable.
退出码：0 成功（查验一致），1 其他结论、拒绝或有误，2 用法或格式有误，3 无法进行。";

/// National e-invoice verification engine: issues, stores and verifies all six VAT invoice types. 发票签发、存储与查验引擎。
#[derive(Parser)]
#[command(name = "fapiao", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show everything on a fresh ledger: issue all six types, verify, void, red-flush, catch forgeries. 演示
    Demo(demo::Demo),
    /// Make keys and an empty ledger, show its public keys, replace and revoke them. 密钥
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Allot numbers to taxpayers, mark ranges, list both. 发票领用
    #[command(subcommand)]
    Allot(allot::Allot),
    /// Enrol those who may ask a server, list and revoke them. 调用方
    #[command(subcommand)]
    Callers(callers::Callers),
    /// Show what was done with a privilege. 审计
    Audit(callers::Audit),
    /// Issue drafts: JSON lines in, receipts as JSON lines out. 开具
    Issue(issue::Issue),
    /// Serve the engine over HTTP. 服务
    Serve(serve::Serve),
    /// Bring in historic invoices: complete drafts, kept as they are. 导入
    Import(issue::Import),
    /// Submit receipts of a log that was given up again, with their drafts. 重新提交
    Resubmit(resubmit::Resubmit),
    /// Void an invoice of this month. 作废
    Void(events::Void),
    /// Mark one invoice lost, stolen or abnormal, or lift the mark. 状态
    Status(events::Status),
    /// Ask whether an invoice is genuine. 查验
    Verify(verify::Verify),
    /// Ask about many invoices: JSON lines in, answers as JSON lines out, signed as a whole if wanted. 批量查验
    Bulk(bulk::Bulk),
    /// Print sample drafts by seed. 样例
    Sample(sample::Sample),
    /// Check, prove and look after the ledger. 账本
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Examine a data directory and say what to do. 诊断
    Doctor(doctor::Doctor),
    /// Print what to do when something is the matter, step by step. 手册
    Runbook(runbook::Runbook),
    /// Put a server under load and check every answer. 压测
    Load(Box<load::Load>),
    /// Make the list of what is no longer in force, or judge a signed code by it, without a network. 撤销清单
    #[command(subcommand)]
    Revocations(revocations::Revocations),
    /// Watch logs and cosign their checkpoints. 见证
    #[command(subcommand)]
    Witness(witness::Witnessing),
    /// Follow a log from outside, and shout when it is not as it should be. 监察
    Monitor(monitor::Watch),
    /// Check a kept answer, or a proof about the log, without a network. 查验凭证
    #[command(subcommand)]
    Proof(proof::Proof),
}

/// How a command ended, apart from failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All well; of verifying: genuine.
    Fine,
    /// Another answer, a refusal, a fault.
    Other,
    /// The input was not understood.
    Usage,
    /// The ledger could not be asked.
    Unavailable,
}

impl From<Gravity> for Exit {
    fn from(gravity: Gravity) -> Exit {
        match gravity {
            Gravity::Fine => Exit::Fine,
            Gravity::Other => Exit::Other,
            Gravity::Malformed => Exit::Usage,
            Gravity::Unavailable => Exit::Unavailable,
        }
    }
}

impl From<IssuingError> for Failure {
    fn from(error: IssuingError) -> Failure {
        match error {
            IssuingError::Stream(error) => Failure::Stream(error),
            IssuingError::Engine(error) => Failure::Engine(error),
        }
    }
}

/// What a command could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Something about the arguments that only the command can know.
    #[error("{0}")]
    Usage(String),
    /// An address that cannot be listened on.
    #[error("{0}")]
    Listen(String),
    /// What a server said, or that it says nothing.
    #[error("{text}")]
    Server {
        /// What that means for whoever asked.
        exit: Exit,
        /// Whom, and what.
        text: String,
    },
    /// Standard input or output.
    #[error("{0}")]
    Stream(#[from] io::Error),
}

impl Failure {
    /// Whether the state of the ledger is the cause, rather than what was asked of it.
    fn is_of_ledger(&self) -> bool {
        matches!(self, Failure::Engine(EngineError::Ledger(_) | EngineError::Keyring { .. } | EngineError::Submit(SubmitError::ReadOnly(_))))
            && self.exit() == Exit::Unavailable
    }

    fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Server { exit, .. } => *exit,
            Failure::Engine(
                EngineError::Locked
                | EngineError::NoToken
                | EngineError::Host(_)
                | EngineError::Reason
                | EngineError::Enrolment(_)
                | EngineError::NoSuchCaller(_),
            ) => Exit::Usage,
            // Nothing is overwritten that somebody keeps.
            Failure::Engine(EngineError::File { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => Exit::Usage,
            Failure::Engine(EngineError::Backup(
                BackupError::Absent(_) | BackupError::NotEmpty(_) | BackupError::OtherLog { .. } | BackupError::NoSuchSize { .. },
            )) => Exit::Usage,
            Failure::Engine(EngineError::Ledger(LedgerError::NothingToReopen)) => Exit::Usage,
            Failure::Engine(EngineError::Ledger(LedgerError::Store(StoreError::Absent(_) | StoreError::Exists(_) | StoreError::LockExists(_)))) => {
                Exit::Usage
            }
            Failure::Engine(EngineError::Submit(SubmitError::ClockBehind { .. })) | Failure::Engine(_) | Failure::Listen(_) | Failure::Stream(_) => {
                Exit::Unavailable
            }
        }
    }
}

/// Runs the program on the process's arguments.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = keep_out_of_core_dumps().and_then(|()| match cli.command {
        Command::Demo(command) => command.run(),
        Command::Keys(command) => command.run(),
        Command::Allot(command) => command.run(),
        Command::Callers(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Issue(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Resubmit(command) => command.run(),
        Command::Revocations(revocations) => revocations.run(),
        Command::Doctor(command) => command.run(),
        Command::Runbook(command) => command.run(),
        Command::Void(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Bulk(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Ledger(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Witness(command) => command.run(),
        Command::Monitor(command) => command.run(),
        Command::Proof(command) => command.run(),
    });
    let exit = match outcome {
        Ok(exit) => exit,
        // Whoever reads us has read enough: `fapiao … | head` is no failure.
        Err(Failure::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(failure) => {
            // Without a standard error there is nobody to tell.
            drop(writeln!(io::stderr(), "fapiao: {failure}"));
            if failure.is_of_ledger() {
                drop(writeln!(io::stderr(), "fapiao: `fapiao doctor --data DIR` says what is the matter and what to do"));
            }
            failure.exit()
        }
    };
    ExitCode::from(exit as u8)
}

/// Keys and passphrases lie in memory: no dump of it is written, neither to a file nor to a program that collects them, and other processes of the same
/// user cannot look into it.
fn keep_out_of_core_dumps() -> Result<(), Failure> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)).map_err(|error| Failure::Stream(error.into()))
}

/// Prints a line of text, or its JSON with `--json`.
fn print(json: bool, value: &Value, text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{value}")?
    } else {
        writeln!(out, "{text}")?
    }
    Ok(())
}
