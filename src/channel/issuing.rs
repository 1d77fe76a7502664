//! Drafts in, one line of JSON out for each, in their order: what `fapiao issue`, `fapiao import` and the bulk endpoint share.
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
use std::io::{self, BufRead, Write};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde_json::{Value, json};

use super::json::{faults, parse_draft};
use super::lines::{Drafts, next_of};
use super::problem::undecided;
use super::receipt::{Detail, Gravity, outcome};
use crate::domain::caller::Caller;
use crate::domain::draft::Draft;
use crate::domain::fault::Severity;
use crate::engine::{Engine, EngineError, Pending};
use crate::limits::{BULK_IN_FLIGHT_MAX, BULK_UNPARSED_MAX, ISSUE_IN_FLIGHT_MAX, ISSUE_UNPARSED_MAX};

/// What drafts are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// 开具.
    Issue,
    /// Only to say what is wrong.
    DryRun,
    /// 导入.
    Import,
}

/// Why not every draft was answered.
#[derive(Debug, thiserror::Error)]
pub enum IssuingError {
    /// The input or the output.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// The engine, for another reason than that it did not decide one draft.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How drafts are to be submitted.
#[derive(Clone, Copy, Debug)]
pub struct Issuing<'a> {
    /// Where to.
    pub engine: &'a Engine,
    /// What for.
    pub purpose: Purpose,
    /// By whom.
    pub caller: &'a Caller,
    /// How much is said of what was logged.
    pub detail: Detail,
    /// How much may be under way.
    pub room: Room,
}

/// How much of its input an issuing may have in memory.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Drafts that are read and not yet looked at.
    pub unparsed: usize,
    /// Drafts that wait for the disk, or for their places among the answers.
    pub in_flight: usize,
}

impl Room {
    /// Of a command, which has the ledger to itself.
    pub const COMMAND: Room = Room { unparsed: ISSUE_UNPARSED_MAX, in_flight: ISSUE_IN_FLIGHT_MAX };
    /// Of one bulk request among others.
    pub const REQUEST: Room = Room { unparsed: BULK_UNPARSED_MAX, in_flight: BULK_IN_FLIGHT_MAX };
}

/// A line of output with its status, and what it means for the whole; or why everything ends there.
type Answer = Result<(Value, Gravity), EngineError>;

/// The place of one draft among the answers; or why no more could be read.
type Place = io::Result<Receiver<Answered>>;

struct Answered {
    line: u64,
    answer: Answer,
}

/// A draft as it was read.
struct Unparsed {
    line: u64,
    bytes: Vec<u8>,
    answer: Sender<Answered>,
}

/// A draft that the ledger has and has not yet answered.
struct Begun {
    line: u64,
    pending: Pending,
    answer: Sender<Answered>,
}

impl Issuing<'_> {
    /// Submits every draft of `input` and writes the answers to `out`. `count` is told the status of each. The gravest is returned.
    pub fn run(&self, input: impl BufRead + Send + 'static, out: &mut impl Write, count: &dyn Fn(&'static str)) -> Result<Gravity, IssuingError> {
        let Room { unparsed, in_flight } = self.room;
        let (places_in, places) = bounded(in_flight);
        let (unparsed_in, unparsed) = bounded(unparsed);
        let (begun_in, begun) = bounded(in_flight);
        let (stop, stopped) = bounded::<Infallible>(0);
        // Not one of the scope's threads: nothing ends a read of standard input, so nobody may have to wait for it.
        std::thread::Builder::new().name("reader".into()).spawn(move || read_all(input, &places_in, &unparsed_in))?;
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
                let (unparsed, begun, begun_in, stopped) = (unparsed.clone(), begun.clone(), begun_in.clone(), stopped.clone());
                scope.spawn(move || self.begin_each(&unparsed, &begun_in, &stopped));
                scope.spawn(move || self.finish_each(&begun));
            }
            // Workers and finishers end by these: the former when stopped or when all is read, the latter when the former have.
            let (_stop, begun_in) = (stop, begun_in);
            drop(begun_in);
            print_all(&places, out, count)
        })
    }

    /// Parses, checks and signs; what passes is handed to the ledger without waiting for the disk.
    fn begin_each(&self, unparsed: &Receiver<Unparsed>, begun: &Sender<Begun>, stopped: &Receiver<Infallible>) {
        loop {
            let Unparsed { line, bytes, answer } = select! {
                recv(stopped) -> _ => return,
                recv(unparsed) -> draft => match draft {
                    Ok(draft) => draft,
                    Err(_) => return,
                },
            };
            let answered = match self.begin(&bytes) {
                Ok(Step::Begun(pending)) => {
                    // Finishers stay for as long as there are workers.
                    drop(begun.send(Begun { line, pending, answer }));
                    continue;
                }
                Ok(Step::Answered(value, gravity)) => Ok((value, gravity)),
                Err(error) => unless_unavailable(error, self.caller.id.is_none()),
            };
            // A printer that is gone has ended everything.
            drop(answer.send(Answered { line, answer: answered }));
        }
    }

    /// Waits for what was begun and renders its receipt: several, because that costs as much as signing.
    fn finish_each(&self, begun: &Receiver<Begun>) {
        for Begun { line, pending, answer } in begun {
            let answered = match pending.wait() {
                Ok(submitted) => outcome(self.engine, &submitted, self.detail),
                Err(error) => unless_unavailable(error, self.caller.id.is_none()),
            };
            // As above.
            drop(answer.send(Answered { line, answer: answered }));
        }
    }

    fn begin(&self, bytes: &[u8]) -> Result<Step, EngineError> {
        let malformed = |en: String, zh| Step::Answered(json!({ "status": "malformed", "en": en, "zh": zh }), Gravity::Malformed);
        let draft = match parse_draft(bytes) {
            Ok(draft) => draft,
            Err(error) => return Ok(malformed(error.to_string(), "不是有效的JSON")),
        };
        if self.purpose == Purpose::DryRun {
            return self.dry_run(&draft);
        }
        match self.engine.begin_as(&draft, self.purpose == Purpose::Import, self.caller) {
            Ok(Ok(pending)) => Ok(Step::Begun(pending)),
            Ok(Err(decided)) => outcome(self.engine, &decided, self.detail).map(|(value, gravity)| Step::Answered(value, gravity)),
            Err(EngineError::Seal(error)) => Ok(malformed(error.to_string(), "内容超出可签名的范围")),
            Err(error) => Err(error),
        }
    }

    fn dry_run(&self, draft: &Draft) -> Result<Step, EngineError> {
        let found = self.engine.check_draft(draft, false)?;
        let refused = found.iter().any(|fault| fault.severity == Severity::Fault);
        let (status, gravity) = if refused { ("faulty", Gravity::Other) } else { ("acceptable", Gravity::Fine) };
        let mut value = json!({ "status": status, "faults": faults(&found) });
        // What the issuer would sign; absent while the draft lacks what a signed one must state.
        if let (Some(object), Ok(message)) = (value.as_object_mut(), self.engine.submission_message(draft, false)?) {
            object.insert("submission_message".into(), data_encoding::HEXLOWER.encode(&message).into());
        }
        Ok(Step::Answered(value, gravity))
    }
}

/// Reads until the input ends or fails, or nobody wants more. The place goes first, so that the printer never misses one.
fn read_all(input: impl BufRead, places: &Sender<Place>, unparsed: &Sender<Unparsed>) {
    let mut drafts = Drafts::new(input);
    loop {
        let (line, bytes) = match drafts.next_draft() {
            Ok(Some(draft)) => draft,
            Ok(None) => return,
            Err(error) => {
                // With the printer gone everything is over, and says why itself.
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

/// Writes the answers in the order of their places. An early end leaves `out` with what was answered before.
fn print_all(places: &Receiver<Place>, out: &mut impl Write, count: &dyn Fn(&'static str)) -> Result<Gravity, IssuingError> {
    let mut worst = Gravity::Fine;
    while let Some(place) = next_of(places, out)? {
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                out.flush()?;
                return Err(error.into());
            }
        };
        // A place without an answer is that of a worker that panicked; the scope will say so.
        let Some(Answered { line, answer }) = next_of(&place, out)? else { break };
        let (mut value, gravity) = answer?;
        count(status_of(&value));
        if let Some(object) = value.as_object_mut() {
            // With the line on which its draft began.
            object.insert("line".into(), line.into());
        }
        writeln!(out, "{value}")?;
        worst = worst.max(gravity);
    }
    out.flush()?;
    Ok(worst)
}

/// Every status that a line can have.
const STATUSES: [&str; 7] = ["logged", "repeated", "faulty", "refused", "malformed", "acceptable", "unavailable"];

fn status_of(value: &Value) -> &'static str {
    let status = value.get("status").and_then(Value::as_str).unwrap_or_default();
    STATUSES.into_iter().find(|known| *known == status).unwrap_or("other")
}

/// How far a draft came without waiting.
enum Step {
    Begun(Pending),
    Answered(Value, Gravity),
}

/// What the ledger did not decide is the answer to one draft; any other error is the end of everything.
fn unless_unavailable(error: EngineError, is_console: bool) -> Answer {
    let EngineError::Submit(error) = error else { return Err(error) };
    let (zh, en) = undecided(&error);
    // Paths and reasons of the machine are for whoever sits at it.
    let en = if is_console { format!("{error}: {en}") } else { en };
    Ok((json!({ "status": "unavailable", "en": en, "zh": zh }), Gravity::Unavailable))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

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
}
