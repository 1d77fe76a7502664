//! `fapiao issue` and `fapiao import`: drafts in, one line of JSON out for each, in their order.

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::events::outcome;
use super::open::DataOptions;
use super::{Exit, Failure};
use crate::channel::json::{DRAFT_BYTES_MAX, parse_draft};
use crate::domain::fault::Fault;
use crate::engine::{Engine, EngineError, Pending};

/// Drafts that are under way together: enough to fill a frame while the one before is on its way to the disk.
const BATCH: usize = 1_024;

/// `fapiao issue`
#[derive(Args)]
pub(super) struct Issue {
    #[command(flatten)]
    data: DataOptions,
    /// Only say what is wrong; store nothing
    #[arg(long)]
    dry_run: bool,
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
pub(super) struct Import {
    #[command(flatten)]
    data: DataOptions,
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
        submit_all(&engine, &self.file, false, self.dry_run)
    }
}

impl Import {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        submit_all(&self.data.open()?, &self.file, true, false)
    }
}

/// One draft's way through: read, begun, or already answered.
enum Begun {
    Pending(Pending),
    Done(Value, Exit),
}

fn submit_all(engine: &Engine, file: &PathBuf, import: bool, dry_run: bool) -> Result<Exit, Failure> {
    let input: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        Box::new(BufReader::new(opened))
    };
    let mut drafts = Drafts { input, line: 0, ahead: None };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let progress = indicatif::ProgressBar::new_spinner().with_message(if import { "导入 importing" } else { "开具 issuing" });
    let style = indicatif::ProgressStyle::with_template("{spinner} {msg} {pos} ({per_sec})");
    progress.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner()));
    let mut worst = Exit::Fine;
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Some(draft) = drafts.next_draft()?
        {
            batch.push(draft);
        }
        if batch.is_empty() {
            break;
        }
        for (line, begun) in begin_all(engine, &batch, import, dry_run) {
            let (mut value, exit) = match begun? {
                Begun::Pending(pending) => outcome(engine, &pending.wait()?)?,
                Begun::Done(value, exit) => (value, exit),
            };
            if let Some(object) = value.as_object_mut() {
                object.insert("line".into(), line.into());
            }
            worst = worst.max(exit);
            writeln!(out, "{value}")?;
            progress.inc(1);
        }
        out.flush()?;
    }
    progress.finish_and_clear();
    Ok(worst)
}

/// Parses, checks and signs on all cores; what passes is handed to the ledger without waiting for the disk.
fn begin_all(engine: &Engine, batch: &[(u64, Vec<u8>)], import: bool, dry_run: bool) -> Vec<(u64, Result<Begun, EngineError>)> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let begin = |(line, bytes): &(u64, Vec<u8>)| (*line, begin(engine, bytes, import, dry_run));
        let chunks: Vec<_> = batch.chunks(share).map(|chunk| scope.spawn(move || chunk.iter().map(begin).collect::<Vec<_>>())).collect();
        chunks.into_iter().flat_map(|chunk| chunk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn begin(engine: &Engine, bytes: &[u8], import: bool, dry_run: bool) -> Result<Begun, EngineError> {
    let draft = match parse_draft(bytes) {
        Ok(draft) => draft,
        Err(error) => return Ok(Begun::Done(json!({ "status": "malformed", "en": error.to_string(), "zh": "不是有效的JSON" }), Exit::Usage)),
    };
    let faulty = |faults: Vec<Fault>| {
        let refused = faults.iter().any(|fault| fault.severity == crate::domain::fault::Severity::Fault);
        let status = if refused { "faulty" } else { "acceptable" };
        let exit = if refused { Exit::Other } else { Exit::Fine };
        Begun::Done(json!({ "status": status, "faults": crate::channel::json::faults(&faults) }), exit)
    };
    if dry_run {
        return engine.check_draft(&draft, import).map(faulty);
    }
    match engine.begin(&draft, import) {
        Ok(Ok(pending)) => Ok(Begun::Pending(pending)),
        Ok(Err(faults)) => Ok(faulty(faults)),
        Err(EngineError::Seal(error)) => {
            Ok(Begun::Done(json!({ "status": "malformed", "en": error.to_string(), "zh": "内容超出可签名的范围" }), Exit::Usage))
        }
        Err(error) => Err(error),
    }
}

/// Reads JSON objects that follow each other: one a line, or spread over lines. An object begins at the start of a line, so that one that is not
/// closed costs only itself.
struct Drafts<R> {
    input: R,
    line: u64,
    ahead: Option<(u64, Vec<u8>)>,
}

impl<R: BufRead> Drafts<R> {
    fn next_draft(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
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

    #[test]
    fn objects_are_told_apart_on_one_line_or_many() {
        let input = b"{\"a\":\"}{\"}\n\n{\n  \"b\": \"\\\"{\"\n}\n{\"open\": 1\n{\"c\":2}\nnoise\n";
        let mut drafts = Drafts { input: &input[..], line: 0, ahead: None };
        let mut seen = Vec::new();
        while let Some((line, bytes)) = drafts.next_draft().expect("memory") {
            seen.push((line, String::from_utf8(bytes).expect("UTF-8").replace('\n', "")));
        }
        let expected = [(1, "{\"a\":\"}{\"}"), (3, "{  \"b\": \"\\\"{\"}"), (6, "{\"open\": 1"), (7, "{\"c\":2}"), (8, "noise")];
        assert_eq!(seen, expected.map(|(line, text)| (line, text.to_owned())));
    }
}
