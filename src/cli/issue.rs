//! `fapiao issue` and `fapiao import`: drafts in, one line of JSON out for each, in their order.

use std::io::{self, BufReader, BufWriter, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::backup::MeanwhileOptions;
use super::open::{DataOptions, Place, PlaceOptions};
use super::remote::Remote;
use super::{Exit, Failure};
use crate::channel::issuing::{Issuing, Purpose, Room};
use crate::channel::receipt::Detail;
use crate::domain::caller::Caller;
use crate::engine::Engine;

const AFTER_HELP: &str = "\
Each draft is answered with one line of JSON, in the order of the input, as soon as it and all before it are decided and on disk. Its status is \
logged, repeated, faulty, refused, malformed, acceptable (only with --dry-run) or unavailable. After unavailable it is unknown whether the draft was \
logged: submit it again, the same again gets the first receipt.
每份草稿按输入顺序得到一行 JSON，一经落盘即输出。unavailable 表示是否已登记未知：请再次提交，相同内容得到首次的回执。

With --server the drafts go to the bulk endpoint of a server, with an issuer's token; what was sent and not answered is sent again, a few times.
加 --server 时提交给服务器，需要开票方令牌。

Exit status: that of the gravest line: 0, 1 faulty or refused, 2 malformed, 3 unavailable.";

/// `fapiao issue`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Issue {
    #[command(flatten)]
    place: PlaceOptions,
    /// Only say what is wrong; store nothing
    #[arg(long, conflicts_with = "server")]
    dry_run: bool,
    #[command(flatten)]
    backups: MeanwhileOptions,
    /// How many days back a date may lie
    #[arg(long, default_value_t = crate::limits::ISSUE_DAYS_BACK, value_name = "DAYS", conflicts_with = "server")]
    days_back: u32,
    /// JSON drafts, one after the other; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Accepted for symmetry: the output is always JSON lines
    #[arg(long)]
    json: bool,
}

/// `fapiao import`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Import {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    backups: MeanwhileOptions,
    /// JSON drafts with check code and, if not in force, state; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Accepted for symmetry: the output is always JSON lines
    #[arg(long)]
    json: bool,
}

impl Issue {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let data = match self.place.place()? {
            Place::Data(data) => data,
            Place::Server(_) if self.backups.are_wanted() => {
                return Err(Failure::Usage("a server's ledger is backed up where it lies: --backup-to goes with --data".to_owned()));
            }
            Place::Server(remote) => return submit_to(&remote, &self.file),
        };
        let passphrase = data.passphrase_for_writing()?;
        let engine = Engine::open(crate::engine::Config { days_back: self.days_back, ..data.config_to_sign(passphrase)? })?;
        let purpose = if self.dry_run { Purpose::DryRun } else { Purpose::Issue };
        self.backups.around(&engine, || submit_all(&engine, &self.file, purpose))
    }
}

impl Import {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let engine = self.data.open()?;
        self.backups.around(&engine, || submit_all(&engine, &self.file, Purpose::Import))
    }
}

fn submit_all(engine: &Engine, file: &Path, purpose: Purpose) -> Result<Exit, Failure> {
    let progress = progress(message(purpose), io::stdout().is_terminal());
    let issuing = Issuing { engine, purpose, caller: &Caller::CONSOLE, detail: Detail::Receipt, room: Room::COMMAND };
    let mut out = BufWriter::new(io::stdout().lock());
    let count = |_| progress.inc(1);
    let worst = issuing.run(opened(file)?, &mut out, &count);
    progress.finish_and_clear();
    Ok(worst?.into())
}

fn submit_to(remote: &Remote, file: &Path) -> Result<Exit, Failure> {
    let progress = progress(message(Purpose::Issue), io::stdout().is_terminal());
    let exit = remote.issue(opened(file)?, &mut BufWriter::new(io::stdout().lock()), &|| progress.inc(1));
    progress.finish_and_clear();
    exit
}

/// What a command reads: a file, or standard input.
pub(super) fn opened(file: &Path) -> Result<BufReader<Box<dyn Read + Send>>, Failure> {
    let input: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?)
    };
    Ok(BufReader::new(input))
}

fn message(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Issue => "开具 issuing",
        Purpose::DryRun => "检查 checking",
        Purpose::Import => "导入 importing",
    }
}

/// On standard error; hidden where it would mingle with the answers on a terminal.
pub(super) fn progress(message: &'static str, would_mingle: bool) -> ProgressBar {
    if would_mingle {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {pos} ({per_sec})").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style).with_message(message)
}
