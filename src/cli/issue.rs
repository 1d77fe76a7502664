//! `fapiao issue` and `fapiao import`: drafts in, one line of JSON out for each, in their order.
//!
//! ```text
//!              unparsed             begun
//!  reader ──────────────► workers ─────────► finishers
//!     │    64 drafts         │                   │
//!     │                      ▼  one answer each  ▼
//!     └────────────────────► printer, in the order of the input
//!        2,048 places
//! ```
//!
//! A client that sends one draft and waits gets its receipt at once; one that sends a million keeps frames full. Nothing waits for more input.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};
use data_encoding::HEXLOWER;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::backup::MeanwhileOptions;
use super::events::outcome;
use super::open::DataOptions;
use super::{Exit, Failure};
use crate::channel::json::{DRAFT_BYTES_MAX, parse_draft};
use crate::domain::fault::Severity;
use crate::engine::{Engine, EngineError, Pending, Submitted};
use crate::ledger::SubmitError;
use crate::limits::{ISSUE_IN_FLIGHT_MAX, ISSUE_UNPARSED_MAX};

const AFTER_HELP: &str = "\
Each draft is answered with one line of JSON, in the order of the input, as soon as it and all before it are decided and on disk. Its status is \
logged, repeated, faulty, refused, malformed, acceptable (only with --dry-run) or unavailable. After unavailable it is unknown whether the draft was \
logged: submit it again, the same again gets the first receipt.
每份草稿按输入顺序得到一行 JSON，一经落盘即输出。unavailable 表示是否已登记未知：请再次提交，相同内容得到首次的回执。

Exit status: that of the gravest line: 0, 1 faulty or refused, 2 malformed, 3 unavailable.";

/// `fapiao issue`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Issue {
    #[command(flatten)]
    data: DataOptions,
    /// Only say what is wrong; store nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    backups: MeanwhileOptions,
    /// How many days back a date may lie
    #[arg(long, default_value_t = crate::limits::ISSUE_DAYS_BACK, value_name = "DAYS")]
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
        let passphrase = self.data.passphrase_for_writing()?;
        let engine = Engine::open(crate::engine::Config { days_back: self.days_back, ..self.data.config(passphrase) })?;
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

/// What drafts are read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Issue,
    DryRun,
    Import,
}

/// A line of output and what it means for the exit status, or why the command ends there.
type Answer = Result<(String, Exit), Failure>;

/// The place of one draft among the answers; or why no more could be read.
type Place = io::Result<Receiver<Answer>>;

/// A draft as it was read.
struct Unparsed {
    line: u64,
    bytes: Vec<u8>,
    answer: Sender<Answer>,
}

/// A draft that the ledger has and has not yet answered.
struct Begun {
    line: u64,
    pending: Pending,
    answer: Sender<Answer>,
}

fn submit_all(engine: &Engine, file: &Path, purpose: Purpose) -> Result<Exit, Failure> {
    let (places_in, places) = bounded(ISSUE_IN_FLIGHT_MAX);
    let (unparsed_in, unparsed) = bounded(ISSUE_UNPARSED_MAX);
    let (begun_in, begun) = bounded(ISSUE_IN_FLIGHT_MAX);
    let (stop, stopped) = bounded::<Infallible>(0);
    // Not one of the scope's threads: nothing ends a read of standard input, so nobody may have to wait for it.
    let reader = std::thread::Builder::new().name("reader".into());
    if file.as_os_str() == "-" {
        reader.spawn(move || read_all(io::stdin().lock(), &places_in, &unparsed_in))?;
    } else {
        let opened = std::fs::File::open(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        reader.spawn(move || read_all(BufReader::new(opened), &places_in, &unparsed_in))?;
    }
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            let (unparsed, begun, begun_in, stopped) = (unparsed.clone(), begun.clone(), begun_in.clone(), stopped.clone());
            scope.spawn(move || begin_each(engine, purpose, &unparsed, &begun_in, &stopped));
            scope.spawn(move || finish_each(engine, &begun));
        }
        // Workers and finishers end by these: the former when stopped or when all is read, the latter when the former have.
        let (_stop, begun_in) = (stop, begun_in);
        drop(begun_in);
        print_all(&places, &progress(purpose))
    })
}

/// On standard error; hidden where it would mingle with the answers on a terminal.
fn progress(purpose: Purpose) -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {pos} ({per_sec})").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let message = match purpose {
        Purpose::Issue => "开具 issuing",
        Purpose::DryRun => "检查 checking",
        Purpose::Import => "导入 importing",
    };
    ProgressBar::new_spinner().with_style(style).with_message(message)
}

/// Reads until the input ends or fails, or nobody wants more. The place goes first, so that the printer never misses one.
fn read_all(input: impl BufRead, places: &Sender<Place>, unparsed: &Sender<Unparsed>) {
    let mut drafts = Drafts::new(input);
    loop {
        let (line, bytes) = match drafts.next_draft() {
            Ok(Some(draft)) => draft,
            Ok(None) => return,
            Err(error) => {
                // With the printer gone the command is over, and says why itself.
                drop(places.send(Err(error)));
                return;
            }
        };
        let (answer, place) = bounded(1);
        if places.send(Ok(place)).is_err() || unparsed.send(Unparsed { line, bytes, answer }).is_err() {
            return;
        }
    }
}

/// Parses, checks and signs; what passes is handed to the ledger without waiting for the disk.
fn begin_each(engine: &Engine, purpose: Purpose, unparsed: &Receiver<Unparsed>, begun: &Sender<Begun>, stopped: &Receiver<Infallible>) {
    loop {
        let Unparsed { line, bytes, answer } = select! {
            recv(stopped) -> _ => return,
            recv(unparsed) -> draft => match draft {
                Ok(draft) => draft,
                Err(_) => return,
            },
        };
        let answered = match begin(engine, &bytes, purpose) {
            Ok(Step::Begun(pending)) => {
                // Finishers stay for as long as there are workers.
                drop(begun.send(Begun { line, pending, answer }));
                continue;
            }
            Ok(Step::Decided(submitted)) => outcome(engine, &submitted),
            Ok(Step::Answered(value, exit)) => Ok((value, exit)),
            Err(error) => unless_unavailable(error),
        };
        // A printer that is gone has ended the command.
        drop(answer.send(answered.map(|(value, exit)| (numbered(value, line), exit))));
    }
}

/// Waits for what was begun and renders its receipt: several, because that costs as much as signing.
fn finish_each(engine: &Engine, begun: &Receiver<Begun>) {
    for Begun { line, pending, answer } in begun {
        let answered = match pending.wait() {
            Ok(submitted) => outcome(engine, &submitted),
            Err(error) => unless_unavailable(error),
        };
        // As above.
        drop(answer.send(answered.map(|(value, exit)| (numbered(value, line), exit))));
    }
}

/// Prints the answers in the order of their places. An early end drops `out`, which writes what was answered before.
fn print_all(places: &Receiver<Place>, progress: &ProgressBar) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut worst = Exit::Fine;
    while let Some(place) = next(places, &mut out)? {
        // A place without an answer is that of a worker that panicked; the scope will say so.
        let Some(answer) = next(&place?, &mut out)? else { break };
        let (line, exit) = answer?;
        writeln!(out, "{line}")?;
        worst = worst.max(exit);
        progress.inc(1);
    }
    out.flush()?;
    progress.finish_and_clear();
    Ok(worst)
}

/// The next of a queue; before it has to be waited for, whoever reads us gets all there is.
fn next<T>(queue: &Receiver<T>, out: &mut impl Write) -> io::Result<Option<T>> {
    match queue.try_recv() {
        Ok(next) => Ok(Some(next)),
        Err(TryRecvError::Disconnected) => Ok(None),
        Err(TryRecvError::Empty) => {
            out.flush()?;
            Ok(queue.recv().ok())
        }
    }
}

/// How far a draft came without waiting.
enum Step {
    Begun(Pending),
    Decided(Submitted),
    Answered(Value, Exit),
}

fn begin(engine: &Engine, bytes: &[u8], purpose: Purpose) -> Result<Step, EngineError> {
    let draft = match parse_draft(bytes) {
        Ok(draft) => draft,
        Err(error) => return Ok(Step::Answered(json!({ "status": "malformed", "en": error.to_string(), "zh": "不是有效的JSON" }), Exit::Usage)),
    };
    if purpose == Purpose::DryRun {
        let faults = engine.check_draft(&draft, false)?;
        let refused = faults.iter().any(|fault| fault.severity == Severity::Fault);
        let (status, exit) = if refused { ("faulty", Exit::Other) } else { ("acceptable", Exit::Fine) };
        let mut value = json!({ "status": status, "faults": crate::channel::json::faults(&faults) });
        // What the issuer would sign; absent while the draft lacks what a signed one must state.
        if let (Some(object), Ok(message)) = (value.as_object_mut(), engine.submission_message(&draft, false)?) {
            object.insert("submission_message".into(), HEXLOWER.encode(&message).into());
        }
        return Ok(Step::Answered(value, exit));
    }
    match engine.begin(&draft, purpose == Purpose::Import) {
        Ok(Ok(pending)) => Ok(Step::Begun(pending)),
        Ok(Err(decided)) => Ok(Step::Decided(decided)),
        Err(EngineError::Seal(error)) => {
            Ok(Step::Answered(json!({ "status": "malformed", "en": error.to_string(), "zh": "内容超出可签名的范围" }), Exit::Usage))
        }
        Err(error) => Err(error),
    }
}

/// What the ledger did not decide is the answer to one draft; any other error is the end of the command.
fn unless_unavailable(error: EngineError) -> Result<(Value, Exit), Failure> {
    let EngineError::Submit(error) = error else { return Err(error.into()) };
    let zh = match &error {
        SubmitError::Poisoned(_) => "账本已停止写入",
        SubmitError::ReadOnly(_) => "账本拒绝签名",
        SubmitError::ClockBehind { .. } => "系统时钟落后于账本",
        SubmitError::Unavailable(_) => "磁盘故障，恢复后自动继续",
        SubmitError::Closing => "账本正在关闭",
    };
    let value = json!({
        "status": "unavailable",
        "en": format!("{error}; whether it was logged is unknown: submit it again, the same again gets the first receipt"),
        "zh": format!("{zh}；是否已登记未知：请再次提交，相同内容得到首次的回执"),
    });
    Ok((value, Exit::Unavailable))
}

/// The answer as it is printed, with the line on which its draft began.
fn numbered(mut value: Value, line: u64) -> String {
    if let Some(object) = value.as_object_mut() {
        object.insert("line".into(), line.into());
    }
    value.to_string()
}

/// Reads JSON objects that follow each other: one a line, or spread over lines. An object begins at the start of a line, so that one that is not
/// closed costs only itself.
pub(super) struct Drafts<R> {
    input: R,
    line: u64,
    ahead: Option<(u64, Vec<u8>)>,
}

impl<R: BufRead> Drafts<R> {
    pub(super) fn new(input: R) -> Drafts<R> {
        Drafts { input, line: 0, ahead: None }
    }

    /// The bytes of the next draft and the line on which it begins.
    pub(super) fn next_draft(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some((first, mut bytes)) = self.next_line()? else { return Ok(None) };
        while !is_closed(&bytes) && bytes.len() <= DRAFT_BYTES_MAX {
            match self.next_line()? {
                Some((at, line)) if line.starts_with(b"{") => {
                    self.ahead = Some((at, line));
                    break;
                }
                Some((_, line)) => bytes.extend_from_slice(&line),
                None => break,
            }
        }
        Ok(Some((first, bytes)))
    }

    /// The next line that is not blank, with its number. A line longer than any draft is cut, and then is no JSON.
    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            let mut line = Vec::new();
            let read = io::Read::take(&mut self.input, DRAFT_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.line, line)));
            }
        }
    }
}

/// Whether every brace that was opened outside of strings is closed again.
fn is_closed(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0i64, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    depth <= 0 && !in_string
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One draft, and then a disk that fails.
    struct Failing(&'static [u8]);

    impl io::Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::other("broken disk")) } else { self.0.read(into) }
        }
    }

    #[test]
    fn a_reading_error_comes_after_what_was_read() {
        let (places_in, places) = bounded(8);
        let (unparsed_in, unparsed) = bounded(8);
        read_all(BufReader::new(Failing(b"{\"a\":1}\n{\"half\":")), &places_in, &unparsed_in);
        drop((places_in, unparsed_in));
        let read: Vec<_> = unparsed.iter().map(|draft| (draft.line, draft.bytes)).collect();
        assert_eq!(read, [(1, b"{\"a\":1}\n".to_vec())]);
        let places: Vec<Result<(), String>> = places.iter().map(|place| place.map(drop).map_err(|error| error.to_string())).collect();
        assert_eq!(places, [Ok(()), Err("broken disk".to_owned())]);
    }

    #[test]
    fn objects_are_told_apart_on_one_line_or_many() {
        let input = b"{\"a\":\"}{\"}\n\n{\n  \"b\": \"\\\"{\"\n}\n{\"open\": 1\n{\"c\":2}\nnoise\n";
        let mut drafts = Drafts::new(&input[..]);
        let mut seen = Vec::new();
        while let Some((line, bytes)) = drafts.next_draft().expect("memory") {
            seen.push((line, String::from_utf8(bytes).expect("UTF-8").replace('\n', "")));
        }
        let expected = [(1, "{\"a\":\"}{\"}"), (3, "{  \"b\": \"\\\"{\"}"), (6, "{\"open\": 1"), (7, "{\"c\":2}"), (8, "noise")];
        assert_eq!(seen, expected.map(|(line, text)| (line, text.to_owned())));
    }
}
