//! Asking witnesses for their cosignatures, round after round (c2sp.org/tlog-witness): the newest checkpoint goes to all of them at once, and once enough
//! have cosigned it by the policy, it is the one that is published.
//!
//! A witness that was shown another history says so. If as many say it as the policy asks for, nothing more is signed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::StatusCode;
use tokio::sync::Mutex;

use super::http::SIZE;
use super::peer::Conversation;
use crate::crypto::cosignature::Seconds;
use crate::crypto::note::{Note, NoteSignature, parse_decimal};
use crate::crypto::policy::{KnownWitness, Policy};
use crate::engine::{Cosigned, Engine, EngineError};
use crate::ledger::{Obstacle, Published};
use crate::limits::{
    COSIGN_QUIET_SECS, COSIGNATURE_SKEW_SECS, NOTE_BYTES_MAX, WITNESS_PATIENCE_SECS, WITNESS_ROUND_SECS, WITNESS_SAID_CHARS_MAX, WITNESS_SAID_SECS,
    WITNESS_TRIES_MAX,
};

/// The witnesses of a policy, and what is known of each.
#[derive(Debug)]
pub struct Witnesses {
    engine: Arc<Engine>,
    each: Vec<Mutex<One>>,
}

/// One of them.
#[derive(Debug)]
struct One {
    known: KnownWitness,
    conversation: Option<Conversation>,
    /// Size of the checkpoint that it cosigned last, as far as we know.
    seen: u64,
    /// What was said of it last and when, so that it is not said again and again.
    said: Option<(String, Instant)>,
}

/// What one witness did with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Cosigned(NoteSignature),
    /// It saw another history.
    Disputed(String),
    /// Nothing came of it.
    Failed(String),
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// Enough cosigned.
    Met(Arc<Cosigned>),
    /// So many cosigned, which is not enough.
    Short(usize),
    /// Enough of them saw another history, and nothing more is signed: what they say.
    Disputed(String),
}

impl Witnesses {
    /// Those of a policy; a witness without an address is asked by nobody. The error says which address cannot be one.
    pub fn of(engine: Arc<Engine>, policy: &Policy, authorities: Option<&std::path::Path>) -> Result<Witnesses, String> {
        let one = |known: &KnownWitness| {
            let conversation = known.url.as_deref().map(|url| Conversation::with(url, authorities)).transpose();
            let conversation = conversation.map_err(|why| format!("witness {}: {why}", known.name))?;
            Ok(Mutex::new(One { known: known.clone(), conversation, seen: 0, said: None }))
        };
        let each = policy.witnesses().iter().map(one).collect::<Result<Vec<_>, String>>()?;
        Ok(Witnesses { engine, each })
    }

    /// Whether there is anybody to ask.
    pub fn is_any(&self) -> bool {
        self.each.iter().any(|one| one.try_lock().is_ok_and(|one| one.conversation.is_some()))
    }

    /// The round before anything is signed. Whether there is reason to go on.
    pub async fn first_round(&self) -> bool {
        told(&self.round().await).is_some()
    }

    /// Round after round, until witnesses dispute what this copy signs. What does not change is cosigned anew now and then: by the time in its
    /// cosignatures everybody sees that it is still the newest.
    pub async fn keep_on(self, every: Duration) {
        let mut met: Option<(u64, Instant)> = None;
        loop {
            tokio::time::sleep(every).await;
            let size = self.engine.ledger().published().size;
            let is_quiet = met.is_some_and(|(of, at)| of == size && at.elapsed().as_secs() < COSIGN_QUIET_SECS);
            match self.engine.ledger().obstacle() {
                // What could not be kept when it was said would be forgotten at a restart.
                Some(Obstacle::Disputed { said }) => match self.engine.ledger().dispute(said) {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "a round of cosigning failed"),
                },
                // What is there goes on to be shown, whatever keeps it from growing.
                None if !is_quiet => {}
                Some(_) | None => continue,
            }
            match told(&self.round().await) {
                Some(Some(size)) => met = Some((size, Instant::now())),
                Some(None) => {}
                None => return,
            }
        }
    }

    /// Has the newest checkpoint cosigned.
    pub async fn round(&self) -> Result<Round, EngineError> {
        let published = self.engine.ledger().published();
        let now = self.engine.now().0 / 1_000;
        // One that takes long takes nothing from what the others say.
        let asked = self.each.iter().map(|one| async {
            let asked = async { one.lock().await.submit(&self.engine, &published, now).await };
            let in_time = tokio::time::timeout(Duration::from_secs(WITNESS_ROUND_SECS), asked).await;
            in_time.unwrap_or_else(|_| Did::Failed(format!("it did not answer within {WITNESS_ROUND_SECS} s")))
        });
        let mut did = join_all(asked).await;
        for (did, one) in did.iter_mut().zip(&self.each) {
            one.lock().await.tell(did);
        }
        let mut note = Note::parse(&published.note).map_err(|error| broken(published.size, error.to_string()))?;
        let (mut disputing, mut said, mut cosigned) = (Vec::new(), Vec::new(), 0);
        for (at, did) in did.into_iter().enumerate() {
            match did {
                Did::Cosigned(line) => {
                    // A policy has no more witnesses than a note has room for.
                    cosigned += usize::from(note.add_line(&line.encode()).is_ok());
                }
                Did::Disputed(words) => {
                    disputing.push(at);
                    said.push(words);
                }
                Did::Failed(_) => {}
            }
        }
        let said = said.join("; ");
        let engine = Arc::clone(&self.engine);
        let kept = tokio::task::spawn_blocking(move || {
            if engine.take_dispute(&disputing, &said)? {
                return Ok(Round::Disputed(said));
            }
            Ok(engine.take_cosigned(published.size, &note)?.map_or(Round::Short(cosigned), Round::Met))
        });
        kept.await.unwrap_or(Ok(Round::Short(0)))
    }
}

/// Says what has to be said of a round. The size that was cosigned, or nothing, or none at all if there is no use in another round.
fn told(round: &Result<Round, EngineError>) -> Option<Option<u64>> {
    match round {
        Ok(Round::Met(cosigned)) => Some(Some(cosigned.size)),
        Ok(Round::Short(_)) => Some(None),
        Ok(Round::Disputed(said)) => {
            tracing::error!(%said, look = "fapiao runbook disputed", "nothing more is signed: witnesses saw another history than this copy has");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "a round of cosigning failed");
            Some(None)
        }
    }
}

/// The beginning of what somebody else said, fit to be written down.
fn quoted(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(WITNESS_SAID_CHARS_MAX).collect()
}

fn broken(size: u64, reason: String) -> EngineError {
    EngineError::Ledger(crate::ledger::LedgerError::Checkpoint { size, reason })
}

impl One {
    /// Submits a checkpoint, from the size that the witness says it knows.
    async fn submit(&mut self, engine: &Arc<Engine>, published: &Arc<Published>, now: Seconds) -> Did {
        let Some(conversation) = &mut self.conversation else { return Did::Failed("the policy gives no address".to_owned()) };
        for _ in 0..WITNESS_TRIES_MAX {
            if self.seen > published.size {
                // Of a restart, or of a copy that is older than what was cosigned: the witness is asked anew.
                self.seen = published.size;
            }
            let (submitting, newest, old_size) = (Arc::clone(engine), Arc::clone(published), self.seen);
            let body = match tokio::task::spawn_blocking(move || submitting.submission(&newest, old_size)).await {
                Ok(Ok(body)) => Bytes::from(body),
                Ok(Err(error)) => return Did::Failed(error.to_string()),
                Err(_) => return Did::Failed("the server is stopping".to_owned()),
            };
            let patience = Duration::from_secs(WITNESS_PATIENCE_SECS);
            let said = match conversation.ask("/add-checkpoint", Some(body), NOTE_BYTES_MAX, patience).await {
                Ok(said) => said,
                Err(why) => return Did::Failed(why),
            };
            let text = String::from_utf8_lossy(&said.body).into_owned();
            match said.status {
                StatusCode::OK => {
                    let of_checkpoint = Note::parse(&published.note).map(|note| note.text().to_owned()).unwrap_or_default();
                    let mut lines = text.split_terminator('\n').filter_map(NoteSignature::parse);
                    let fits = |line: &NoteSignature| {
                        let time = self.known.cosigner.time_of(&of_checkpoint, line);
                        time.is_some_and(|time| time.abs_diff(now) <= COSIGNATURE_SKEW_SECS)
                    };
                    return match lines.find(fits) {
                        Some(line) => {
                            self.seen = published.size;
                            Did::Cosigned(line)
                        }
                        None => Did::Failed("what it says is no cosignature of this checkpoint by its key, of now".to_owned()),
                    };
                }
                StatusCode::CONFLICT if said.content_type == SIZE => match parse_decimal(text.trim_end_matches('\n')) {
                    Some(size) if size > published.size => {
                        // Anybody may have shown it what was published since the round began; what is longer than all there is, nobody can have from us.
                        let here = engine.ledger().published().size;
                        if size > here {
                            return Did::Disputed(format!("{} cosigned size {size}, this copy ends at {here}", self.known.name));
                        }
                        return Did::Failed("somebody showed it a newer checkpoint of this log; the next round goes on from there".to_owned());
                    }
                    Some(size) if size != self.seen => self.seen = size,
                    Some(size) if size == published.size => return Did::Disputed(self.other_history()),
                    Some(_) | None => return Did::Failed("its answer about the size makes no sense".to_owned()),
                },
                // It has a checkpoint of the very size that is submitted; without that, a proxy may have spoken.
                StatusCode::CONFLICT if self.seen == published.size => return Did::Disputed(self.other_history()),
                StatusCode::UNPROCESSABLE_ENTITY => return Did::Disputed(self.other_history()),
                status => return Did::Failed(format!("HTTP {}: {}", status.as_u16(), quoted(&text))),
            }
        }
        Did::Failed("its size changes faster than it can be asked: somebody else submits for this log".to_owned())
    }

    fn other_history(&self) -> String {
        format!("{} cosigned another history up to size {}", self.known.name, self.seen)
    }

    /// Says what changed since the last round.
    fn tell(&mut self, did: &Did) {
        let said = match did {
            Did::Cosigned(_) => None,
            Did::Disputed(words) | Did::Failed(words) => Some(words.clone()),
        };
        // What differs in its figures only is the same trouble, and each time would fill the log.
        let is_known = match (&self.said, &said) {
            (None, None) => true,
            (Some((before, at)), Some(said)) => {
                let kind = |words: &str| words.split(|c: char| c == ':' || c.is_ascii_digit()).next().map(str::to_owned);
                said == before || (kind(said) == kind(before) && at.elapsed() < Duration::from_secs(WITNESS_SAID_SECS))
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_known {
            return;
        }
        let witness = self.known.name.as_str();
        match did {
            Did::Cosigned(_) => tracing::info!(witness, "the witness cosigns"),
            Did::Disputed(words) => tracing::error!(witness, said = %words, "the witness saw another history"),
            Did::Failed(words) => tracing::warn!(witness, said = %words, "the witness does not cosign"),
        }
        self.said = said.map(|said| (said, Instant::now()));
    }
}
