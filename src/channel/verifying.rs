//! Questions in, one line of JSON out for each, in their order: what `fapiao bulk` and the endpoint for bulk verification share.
//!
//! ```text
//!            lines, parsed
//!  reader ────────────────► asker: a batch as of one ledger state, answered and written
//!            256 questions
//! ```
//!
//! A client that sends one question and waits gets its answer at once. With a proof each answer has its row, and the last line the signature over all
//! of them; what is kept of the rows until then are a few hashes.

use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::{Map, Value, json};

use super::lines::{Lines, next_of};
use super::question::{self, Line};
use super::{answer, proof};
use crate::engine::{Counting, Engine, EngineError, ResultRows};
use crate::limits::{BATCH_IDS_MAX, BULK_PATIENCE_SECS, BULK_QUESTION_BYTES_MAX};
use crate::verify::answer::Answer;
use crate::verify::query::Question;
use crate::verify::quota::{Asker, Reason};
use crate::verify::verdict::Verdict;

/// Why not every question was answered, or the answers not signed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyingError {
    /// The input or the output.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// More than are answered at a time.
    #[error("at most {0} questions are answered at a time; ask the others on their own")]
    TooMany(u64),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How questions are to be asked.
#[derive(Clone, Copy, Debug)]
pub struct Verifying<'a> {
    /// Where.
    pub engine: &'a Engine,
    /// By whom.
    pub asker: Asker,
    /// Whether the rows are signed.
    pub wants_proof: bool,
    /// How many at most.
    pub rows_max: u64,
}

/// Who hears how it goes.
pub trait Listener {
    /// An answer was given.
    fn answered(&self, answer: &Answer);

    /// Whether questions may still wait for their turn in a quota: asked once a second.
    fn may_wait(&self) -> bool;
}

/// How often each verdict was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Verdict::ALL.len()]);

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        let at = Verdict::ALL.iter().position(|known| *known == verdict);
        if let Some(count) = at.and_then(|at| self.0.get_mut(at)) {
            *count += 1;
        }
    }

    /// Those that were given, and how often.
    pub fn given(&self) -> impl Iterator<Item = (Verdict, u64)> {
        Verdict::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// All answers.
    pub fn rows(&self) -> u64 {
        self.0.iter().sum()
    }

    /// By name.
    fn to_json(&self) -> Value {
        self.given().map(|(verdict, count)| (verdict.name().to_owned(), count.into())).collect::<Map<String, Value>>().into()
    }
}

/// A question and its line; or why no more could be read.
type Read = Result<(u64, Line), VerifyingError>;

impl Verifying<'_> {
    /// Asks every question of `input` and writes the answers to `out`, and a last line that says that it is one. An early
    /// end leaves `out` with what was answered before.
    pub fn run(&self, input: impl BufRead + Send + 'static, out: &mut impl Write, listener: &impl Listener) -> Result<Tally, VerifyingError> {
        if self.wants_proof {
            self.engine.may_sign_answers()?;
        }
        let (lines_in, lines) = bounded(BATCH_IDS_MAX);
        let rows_max = self.rows_max;
        // Nothing ends a read of standard input, so nobody waits for this thread.
        thread::Builder::new().name("reader".into()).spawn(move || read_all(input, rows_max, &lines_in))?;
        let (mut tally, mut rows) = (Tally::default(), ResultRows::default());
        while let Some(first) = next_of(&lines, out)? {
            let (mut batch, mut stopped) = (Vec::new(), None);
            let mut next = Some(first);
            while let Some(read) = next.take() {
                match read {
                    Ok(line) => {
                        batch.push(line);
                        if batch.len() < BATCH_IDS_MAX {
                            next = lines.try_recv().ok();
                        }
                    }
                    Err(why) => stopped = Some(why),
                }
            }
            let questions: Vec<Question> = batch.iter().map(|(_, line)| line.question.clone()).collect();
            for ((at, line), answered) in batch.iter().zip(self.ask(&questions, out, listener)?) {
                let row = if self.wants_proof { Some(rows.next(&answered, line.digest)?) } else { None };
                answer::write_line(out, &answered, *at, row.as_deref())?;
                tally.add(answered.verdict);
                listener.answered(&answered);
            }
            if let Some(why) = stopped {
                out.flush()?;
                return Err(why);
            }
        }
        let mut last = json!({ "status": "done", "rows": tally.rows(), "verdicts": tally.to_json() });
        if self.wants_proof {
            let signed = self.engine.sign_rows(&rows)?;
            last["status"] = "rows".into();
            last["proof"] = signed.map_or(Value::Null, |signed| proof::rows_json(&signed, &self.engine.ledger().keys()));
        }
        writeln!(out, "{last}")?;
        out.flush()?;
        Ok(tally)
    }

    /// Asks a batch. What the quota does not let through now waits for its turn, unless that takes too long.
    fn ask(&self, questions: &[Question], out: &mut impl Write, listener: &impl Listener) -> Result<Vec<Answer>, VerifyingError> {
        let ask = |questions: &[Question]| -> Result<Vec<Answer>, EngineError> {
            let asked = self.engine.ask_many(questions, &self.asker, Counting::Verification)?;
            Ok(asked.into_iter().map(|asked| asked.answer).collect())
        };
        let mut answers = ask(questions)?;
        let mut patience = BULK_PATIENCE_SECS;
        loop {
            let turn = |answer: &Answer| answer.throttled.filter(|why| why.reason == Reason::TooManyQuestions).map(|why| why.retry_after.max(1));
            let waiting: Vec<usize> = answers.iter().enumerate().filter(|(_, answer)| turn(answer).is_some()).map(|(at, _)| at).collect();
            let Some(seconds) = answers.iter().filter_map(turn).min().filter(|seconds| *seconds <= patience) else { return Ok(answers) };
            out.flush()?;
            for _ in 0..seconds {
                // A server that is told to stop does not wait for a quota.
                if !listener.may_wait() {
                    return Ok(answers);
                }
                thread::sleep(Duration::from_secs(1));
            }
            patience -= seconds;
            let again: Vec<Question> = waiting.iter().filter_map(|at| questions.get(*at)).cloned().collect();
            for (at, answer) in waiting.iter().zip(ask(&again)?) {
                if let Some(place) = answers.get_mut(*at) {
                    *place = answer;
                }
            }
        }
    }
}

/// Reads and parses until the input ends or fails, or nobody wants more.
fn read_all(input: impl BufRead, rows_max: u64, lines: &Sender<Read>) {
    let mut input = Lines::new(input, BULK_QUESTION_BYTES_MAX);
    for row in 0.. {
        let read = match input.next_line() {
            Ok(Some(_)) if row == rows_max => Err(VerifyingError::TooMany(rows_max)),
            Ok(Some((at, line))) => Ok((at, question::of_line(&line))),
            Ok(None) => return,
            Err(error) => Err(error.into()),
        };
        let is_last = read.is_err();
        if lines.send(read).is_err() || is_last {
            return;
        }
    }
}
