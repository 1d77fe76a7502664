//! Kept answers: each is signed, kept among the answers of this ledger before it leaves, and told by the log within the hour, so that whoever steals the
//! answering key cannot add to the past.

use std::sync::{Mutex, PoisonError, RwLock};

use super::logged::LoggedEvent;
use super::{Engine, EngineError, random};
use crate::codec::event::{AnswersNotice, EventData};
use crate::codec::leaf::KeyId;
use crate::codec::proof;
use crate::codec::rows::{Row, Rows, row_hash};
use crate::crypto::merkle::{self, Hash, Tree};
use crate::crypto::note::Origin;
use crate::domain::time::UnixMillis;
use crate::ledger::{Answers, Covering, Keeping};
use crate::limits::ANSWERS_PER_ROOT_MAX;
use crate::verify::answer::Answer;
use crate::verify::query::Question;

/// An answer to keep: checked offline against the log's public keys.
#[derive(Clone, Debug)]
pub struct SignedAnswer {
    /// The answer's bytes.
    pub bytes: Vec<u8>,
    /// By the answering key.
    pub signature: [u8; 64],
    /// Which key.
    pub key_id: KeyId,
    /// The signed checkpoint that the answer is about.
    pub checkpoint: Option<String>,
    /// Of the invoice in that checkpoint, where one is shown.
    pub inclusion: Option<Inclusion>,
}

/// The rows of a bulk result so far, as far as they are needed to sign over all of them: a few hashes.
#[derive(Debug)]
pub struct ResultRows {
    tree: Tree,
    newest: UnixMillis,
}

impl Default for ResultRows {
    fn default() -> ResultRows {
        ResultRows { tree: Tree::new(), newest: UnixMillis(0) }
    }
}

impl ResultRows {
    /// The bytes of the next row: this answer, to the question or line with this digest.
    pub fn next(&mut self, answer: &Answer, query_digest: [u8; 32]) -> Result<Vec<u8>, EngineError> {
        let registered = answer.registered.as_ref();
        let bytes = Row {
            salt: random()?,
            verdict: answer.verdict.number(),
            query_digest,
            size: answer.as_of.size,
            time: answer.as_of.time,
            count: answer.count,
            first: answer.first_verified,
            commit: registered.map(|registered| registered.commit),
            remaining: registered.and_then(|registered| registered.remaining),
        }
        .encode();
        self.tree.append(row_hash(&bytes));
        self.newest = self.newest.max(answer.as_of.time);
        Ok(bytes)
    }
}

/// What is signed over the rows of a bulk result: with it and a path each of them is checked offline against the log's public keys.
#[derive(Clone, Debug)]
pub struct SignedRows {
    /// The bytes of [`Rows`].
    pub bytes: Vec<u8>,
    /// By the answering key.
    pub signature: [u8; 64],
    /// Which key.
    pub key_id: KeyId,
    /// The signed checkpoint of the log when they were signed.
    pub checkpoint: String,
}

/// A leaf and its path to a root.
#[derive(Clone, Debug)]
pub struct Inclusion {
    /// Place of the leaf.
    pub index: u64,
    /// The leaf.
    pub leaf: [u8; 96],
    /// RFC 6962 path.
    pub path: Vec<[u8; 32]>,
}

/// What the log has of an answer.
#[derive(Clone, Debug)]
pub enum AnswerInLog {
    /// A root covers it.
    Logged(Box<LoggedAnswer>),
    /// It was signed here, and its root is to come.
    NotYet {
        /// When it will be there.
        due: UnixMillis,
    },
    /// No such answer was ever signed by this copy.
    Never {
        /// The log that this is; one that was reopened from an older copy may have lost what it had under another name.
        origin: Origin,
    },
}

/// An answer below a root in the log.
#[derive(Clone, Debug)]
pub struct LoggedAnswer {
    /// Place among the answers below that root.
    pub place: u64,
    /// Path from it to that root.
    pub path: Vec<Hash>,
    /// The leaf that has the root.
    pub event: LoggedEvent,
    /// The checkpoint that the leaf is shown to be in.
    pub checkpoint: String,
}

/// The roots over answers of one time, and what is below them.
#[derive(Clone, Debug)]
pub struct RootsAround {
    /// Which time.
    pub time: UnixMillis,
    /// In the order of the log, one before and one after it included; with the hashes below those that may cover it.
    pub roots: Vec<(LoggedEvent, Option<Vec<Hash>>)>,
    /// The checkpoint that all of them are shown to be in.
    pub checkpoint: String,
}

/// Keeps answers, and roots over them, in their order.
#[derive(Debug)]
pub(super) struct Answering {
    /// Shared from the choice of a key until the answer is kept, alone while answering keys change: no key signs an answer of a time at which the log, once
    /// it has the change, says that it counts no more; and whatever a key signed before the log says that it was stolen is below a root before the log
    /// says so.
    pub(super) signing: RwLock<()>,
    /// Held while a root is logged.
    rooting: Mutex<()>,
    /// How long an answer waits for its root, milliseconds.
    interval_ms: u64,
}

impl Answering {
    pub(super) fn every(interval_ms: u64) -> Answering {
        Answering { signing: RwLock::default(), rooting: Mutex::default(), interval_ms }
    }
}

impl Engine {
    /// Signs an answer ("keep a proof") that was given a moment ago: the signed bytes, the signature, and the checkpoint and inclusion path that tie them to
    /// the log. It is on disk among the answers that the next root covers; if it cannot be, it is not given.
    pub fn sign_answer(&self, question: &Question, answer: &Answer) -> Result<SignedAnswer, EngineError> {
        self.ledger.may_write()?;
        if Answers::is_too_old(answer.as_of.time, self.now()) {
            return Err(EngineError::AnswerTooOld);
        }
        let query_digest = question.digest.ok_or(EngineError::QuestionTooLong)?;
        let bytes = proof::Answer {
            verdict: answer.verdict.number(),
            query_digest,
            origin: self.ledger.origin().clone(),
            size: answer.as_of.size,
            root: answer.as_of.root,
            time: answer.as_of.time,
            count: answer.count,
            first: answer.first_verified,
            commit: answer.registered.as_ref().map(|registered| registered.commit),
            remaining: answer.registered.as_ref().and_then(|registered| registered.remaining),
        }
        .encode();
        let inclusion = match &answer.registered {
            Some(registered) => {
                let leaf = self.ledger.leaf(registered.index)?.map(|leaf| leaf.encode());
                leaf.map(|leaf| -> Result<_, EngineError> {
                    Ok(Inclusion { index: registered.index, leaf, path: self.ledger.inclusion(registered.index, answer.as_of.size)? })
                })
                .transpose()?
            }
            None => None,
        };
        let checkpoint = self.ledger.checkpoint_at(answer.as_of.size)?;
        let (signature, key_id) = self.sign_and_keep(&bytes, answer.as_of.time)?;
        Ok(SignedAnswer { signature, key_id, bytes, checkpoint, inclusion })
    }

    /// Whether answers can be signed and kept now: asked before much work is done for one signature.
    pub fn may_sign_answers(&self) -> Result<(), EngineError> {
        self.ledger.may_write()?;
        self.keyring()?.answering_at(self.now(), &self.ledger.keys()).map(drop).ok_or(EngineError::NoAnsweringKey)
    }

    /// Signs all rows of a bulk result with one signature, which is kept like that of an answer. None without rows: there is nothing to sign.
    pub fn sign_rows(&self, rows: &ResultRows) -> Result<Option<SignedRows>, EngineError> {
        if rows.tree.size() == 0 {
            return Ok(None);
        }
        self.ledger.may_write()?;
        // Neither is before that of any row: the log only grows, and a clock that was put back meanwhile does not make the rows later.
        let (published, time) = (self.ledger.published(), self.now().max(rows.newest));
        let bytes = Rows {
            origin: self.ledger.origin().clone(),
            size: published.size,
            root: published.root,
            time,
            count: rows.tree.size(),
            rows_root: rows.tree.root(),
        }
        .encode();
        let (signature, key_id) = self.sign_and_keep(&bytes, time)?;
        Ok(Some(SignedRows { bytes, signature, key_id, checkpoint: published.note.clone() }))
    }

    /// The signature of the answering key that counts at this time; what stands for the bytes and it is on disk among the answers.
    fn sign_and_keep(&self, bytes: &[u8], time: UnixMillis) -> Result<([u8; 64], KeyId), EngineError> {
        let _shared = self.answering.signing.read().unwrap_or_else(PoisonError::into_inner);
        let answering = self.keyring()?.answering_at(time, &self.ledger.keys()).ok_or(EngineError::NoAnsweringKey)?;
        // What the log is signed with does not hang on this key, so that nothing but this answer does.
        let signature = answering.key.sign(bytes)?;
        match self.ledger.answers().keep(proof::answer_hash(bytes, &signature), time, &*self.clock)? {
            Keeping::Kept => Ok((signature, answering.key_id)),
            Keeping::TooOld => Err(EngineError::AnswerTooOld),
        }
    }

    /// In how many milliseconds a root over the answers so far is due; `None` while there are none without.
    pub fn answers_due_in(&self) -> Result<Option<u64>, EngineError> {
        let Some(uncovered) = self.ledger.answers().uncovered()? else { return Ok(None) };
        if uncovered.count >= ANSWERS_PER_ROOT_MAX as u64 {
            return Ok(Some(0));
        }
        Ok(Some(self.root_due(uncovered.since).0.saturating_sub(self.now().0)))
    }

    fn root_due(&self, since: UnixMillis) -> UnixMillis {
        UnixMillis(since.0.saturating_add(self.answering.interval_ms))
    }

    /// Logs roots over all answers that have none: as many as they need, none without answers. Returns how many answers that were.
    pub fn log_answers(&self) -> Result<u64, EngineError> {
        let _alone = self.answering.rooting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut logged = 0;
        // What comes meanwhile waits for the next time: a root for each few would be as many leaves.
        let end = self.ledger.answers().uncovered()?.map_or(0, |uncovered| uncovered.first.saturating_add(uncovered.count));
        while let Some(uncovered) = self.ledger.answers().uncovered()?.filter(|uncovered| uncovered.first < end) {
            let many = usize::try_from(end - uncovered.first).unwrap_or(usize::MAX).min(ANSWERS_PER_ROOT_MAX);
            let answers = self.ledger.answers().from(uncovered.first, many)?;
            let hashes: Vec<Hash> = answers.iter().map(|(hash, _)| *hash).collect();
            let times = answers.iter().map(|(_, time)| *time);
            let times = times.clone().min().zip(times.max()).unwrap_or((uncovered.since, uncovered.since));
            let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
            let notice = AnswersNotice::new(uncovered.first, count, merkle::root_of(&hashes), times).ok_or(EngineError::NotAnnounced)?;
            self.announce(&EventData::AnswersRoot(notice))?;
            logged += u64::from(count);
        }
        Ok(logged)
    }

    /// What the log has of the signed answer with this hash.
    pub fn answer_in_log(&self, hash: &Hash) -> Result<AnswerInLog, EngineError> {
        let Some((number, time)) = self.ledger.answers().find(hash)? else {
            return Ok(AnswerInLog::Never { origin: self.ledger.origin().clone() });
        };
        let published = self.ledger.published();
        let Some(covering) = self.ledger.answers_root(number)?.filter(|covering| covering.index < published.size) else {
            return Ok(AnswerInLog::NotYet { due: self.root_due(time).max(self.now()) });
        };
        let place = number - covering.notice.first;
        let hashes = self.hashes_below(&covering)?;
        let path = usize::try_from(place).ok().and_then(|place| merkle::path_of(place, &hashes)).unwrap_or_default();
        let event = self.logged_event(covering.index, published.size)?;
        Ok(AnswerInLog::Logged(Box::new(LoggedAnswer { place, path, event, checkpoint: published.note.clone() })))
    }

    /// The roots that an answer of this time would be below, with the hashes that are; and those next to them.
    pub fn answer_roots_around(&self, time: UnixMillis) -> Result<RootsAround, EngineError> {
        let published = self.ledger.published();
        let mut roots = Vec::new();
        for covering in self.ledger.answers_roots_around(time)?.into_iter().filter(|covering| covering.index < published.size) {
            let hashes = if covering.notice.spans(time) { Some(self.hashes_below(&covering)?) } else { None };
            roots.push((self.logged_event(covering.index, published.size)?, hashes));
        }
        Ok(RootsAround { time, roots, checkpoint: published.note.clone() })
    }

    fn hashes_below(&self, covering: &Covering) -> Result<Vec<Hash>, EngineError> {
        let count = usize::try_from(covering.notice.count).unwrap_or(usize::MAX).min(ANSWERS_PER_ROOT_MAX);
        Ok(self.ledger.answers().from(covering.notice.first, count)?.into_iter().map(|(hash, _)| hash).collect())
    }
}
