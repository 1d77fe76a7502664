//! `fapiao bulk`: questions in, one line of JSON out for each, in their order, and a signature over all of them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;

use super::issue::{opened, progress};
use super::open::{Place, PlaceOptions};
use super::verify::exit;
use super::{Exit, Failure};
use crate::channel::lines::broken_off;
use crate::channel::verifying::{Listener, Tally, Verifying, VerifyingError};
use crate::limits::BULK_ROWS_MAX;
use crate::verify::answer::Answer;
use crate::verify::quota::Asker;

const AFTER_HELP: &str = "\
A line of input is a question as POST /v1/verify takes it: {\"qr\": TEXT}, or {\"code\": …, \"number\": …, \"date\": …} with \"amount\" or \"check\" and, if \
wanted, \"total\", \"seller_id\", \"buyer_id\". Each is answered with one line, in the order of the input, that has the answer and its line; the last line \
says how many there were, and with --proof has the signature over all of them. A result that ends otherwise is not whole.
每行一个查验问题，按输入顺序逐行应答；最后一行为汇总。--proof 时整体签名，以后可对任一行单独出具证明（fapiao proof row）。

Exit status: 0 all genuine, 1 another answer, 2 usage or malformed, 3 unavailable; that of the gravest line.";

/// `fapiao bulk`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Bulk {
    #[command(flatten)]
    place: PlaceOptions,
    /// Questions as JSON lines; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Write the answers to FILE, which may not exist yet
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign over all answers: `fapiao proof row` takes the proof of any of them out of the result 整体签名
    #[arg(long)]
    proof: bool,
}

impl Bulk {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Bulk { place, file, out, proof } = self;
        let input = opened(&file)?;
        let progress = progress("查验 verifying", out.is_none() && io::stdout().is_terminal());
        let tally = match place.place()? {
            Place::Data(data) => {
                let engine = if proof { data.open()? } else { data.open_to_read()? };
                let mut out = Out::to(out.as_deref())?;
                let verifying = Verifying { engine: &engine, asker: Asker::Console, wants_proof: proof, rows_max: BULK_ROWS_MAX };
                let ran = verifying.run(input, &mut out, &Bar(&progress)).map_err(Failure::from);
                let tally = out.end(ran);
                if proof {
                    // Nobody else will for as long as nobody opens the ledger.
                    engine.log_answers()?;
                }
                tally
            }
            Place::Server(remote) => {
                let mut out = Out::to(out.as_deref())?;
                let ran = remote.verify_all(input, proof, &mut out, &|| progress.inc(1));
                out.end(ran)
            }
        };
        progress.finish_and_clear();
        let tally = tally?;
        let mut summary = format!("查验 {} 行 | {} answers", tally.rows(), tally.rows());
        for (verdict, count) in tally.given() {
            summary.push_str(&format!("\n  {count} {} {} | {}", verdict.number(), verdict.chinese(), verdict.english()));
        }
        // Without a standard error there is nobody to tell.
        drop(writeln!(io::stderr(), "{summary}"));
        Ok(tally.given().map(|(verdict, _)| exit(verdict)).max().unwrap_or(Exit::Fine))
    }
}

/// Shows how far it is. At the console there is no quota.
struct Bar<'a>(&'a ProgressBar);

impl Listener for Bar<'_> {
    fn answered(&self, _: &Answer) {
        self.0.inc(1);
    }

    fn may_wait(&self) -> bool {
        true
    }
}

/// Where the answers go.
enum Out {
    Standard(BufWriter<io::StdoutLock<'static>>),
    File(BufWriter<File>),
}

impl Out {
    /// A new file, for its owner only: what somebody bought is nobody's business; or standard output.
    fn to(path: Option<&Path>) -> Result<Out, Failure> {
        let Some(path) = path else { return Ok(Out::Standard(BufWriter::new(io::stdout().lock()))) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        Ok(Out::File(BufWriter::new(file.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?)))
    }

    /// Has all of it on disk; of a result that broke off, the last line says so.
    fn end(mut self, ran: Result<Tally, Failure>) -> Result<Tally, Failure> {
        if let Err(failure) = &ran {
            // Whoever reads it no more is the reason, and is not told.
            drop(writeln!(self, "{}", broken_off("未能完成，其后未处理", &failure.to_string())).and_then(|()| self.flush()));
            return ran;
        }
        self.flush()?;
        if let Out::File(file) = &self {
            file.get_ref().sync_all()?;
        }
        ran
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Standard(out) => out.write(bytes),
            Out::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Standard(out) => out.flush(),
            Out::File(out) => out.flush(),
        }
    }
}

impl From<VerifyingError> for Failure {
    fn from(error: VerifyingError) -> Failure {
        match error {
            VerifyingError::Stream(error) => Failure::Stream(error),
            VerifyingError::TooMany(_) => Failure::Usage(error.to_string()),
            VerifyingError::Engine(error) => Failure::Engine(error),
        }
    }
}
