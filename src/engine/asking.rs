//! Asking: who asks is held to a quota, what is asked is looked up, compared and counted.

use std::sync::Arc;

use super::{Engine, EngineError};
use crate::codec::canonical;
use crate::domain::invoice::Invoice;
use crate::domain::number::InvoiceId;
use crate::ledger::InvRecord;
use crate::limits::BATCH_IDS_MAX;
use crate::verify::answer::{Answer, AsOf};
use crate::verify::check::{self, Buyer, Registered};
use crate::verify::query::{Factors, Query, Question};
use crate::verify::quota::{Admission, Asker, Known, Rate, Throttled};

/// An answer, and what is left of the asker's quota.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The answer.
    pub answer: Answer,
    /// For the headers that tell of quotas; none where nothing was taken from one.
    pub rate: Option<Rate>,
}

/// Whether a match counts as a verification (查验次数).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Somebody asked.
    Verification,
    /// Nobody may have: a page that a preview of a link loads. The count is that of the earlier ones.
    Nothing,
}

impl Engine {
    /// Makes ready for askers who are held to quotas, whose first would otherwise wait for the memory that this takes.
    pub fn expect_strangers(&self) {
        self.quota.make_ready();
    }

    /// Answers a question at the console. A match is counted.
    pub fn verify(&self, question: &Question) -> Result<Answer, EngineError> {
        Ok(self.ask(question, &Asker::Console, Counting::Verification)?.answer)
    }

    /// Answers questions at the console, in their order, each batch as of one ledger state.
    pub fn verify_many(&self, questions: &[Question]) -> Result<Vec<Answer>, EngineError> {
        let asked = self.ask_many(questions, &Asker::Console, Counting::Verification)?;
        Ok(asked.into_iter().map(|asked| asked.answer).collect())
    }

    /// Answers a question, or says why not and when.
    pub fn ask(&self, question: &Question, asker: &Asker, counting: Counting) -> Result<Asked, EngineError> {
        let known = self.quota.known(asker);
        let (rate, refused) = match &known {
            Some(known) => self.quota.admit_one(known, question, (self.clock)()),
            None => (None, None),
        };
        let (published, row) = match (&question.query, refused) {
            (Ok(query), None) => self.ledger.look_up(query.id())?,
            (Ok(_), Some(_)) | (Err(_), _) => (self.ledger.published(), None),
        };
        let as_of = AsOf::new(&published, (self.clock)());
        let answer = match refused {
            Some(why) => Answer::throttled(question, why, as_of),
            None => self.answer(question, row.as_ref(), known.as_ref(), counting, as_of)?,
        };
        Ok(Asked { answer, rate })
    }

    /// Answers questions in their order, as far as the asker's quota goes; the others are throttled. At most [`BATCH_IDS_MAX`] are charged and read at a
    /// time, those as of one ledger state.
    pub fn ask_many(&self, questions: &[Question], asker: &Asker, counting: Counting) -> Result<Vec<Asked>, EngineError> {
        let known = self.quota.known(asker);
        let mut asked = Vec::with_capacity(questions.len());
        for questions in questions.chunks(BATCH_IDS_MAX) {
            let admission = match &known {
                Some(asker) => self.quota.admit(asker, questions, (self.clock)()),
                None => Admission::of_all(questions),
            };
            let ids: Vec<Option<InvoiceId>> = (questions.iter().zip(&admission.refused))
                .map(|(question, refused)| question.query.as_ref().ok().filter(|_| refused.is_none()).map(Query::id))
                .collect();
            // Keys that share blocks are read once if they come in order.
            let mut sorted: Vec<InvoiceId> = ids.iter().flatten().copied().collect();
            sorted.sort_unstable();
            sorted.dedup();
            let (published, rows) = match sorted.as_slice() {
                [id] => self.ledger.look_up(*id).map(|(published, row)| (published, vec![row]))?,
                many => self.ledger.look_up_many(many)?,
            };
            let now = (self.clock)();
            for ((question, refused), id) in questions.iter().zip(admission.refused).zip(ids) {
                let row = id.and_then(|id| sorted.binary_search(&id).ok()).and_then(|at| rows.get(at)).and_then(Option::as_ref);
                let as_of = AsOf::new(&published, now);
                let answer = match refused {
                    Some(why) => Answer::throttled(question, why, as_of),
                    None => self.answer(question, row, known.as_ref(), counting, as_of)?,
                };
                asked.push(Asked { answer, rate: admission.rate });
            }
        }
        Ok(asked)
    }

    /// Takes what one question costs from the asker's quota, for what is asked of the log and not of an invoice.
    pub fn charge(&self, asker: &Asker) -> (Option<Rate>, Option<Throttled>) {
        match self.quota.known(asker) {
            Some(known) => self.quota.charge(&known, (self.clock)()),
            None => (None, None),
        }
    }

    fn answer(
        &self,
        question: &Question,
        row: Option<&Arc<InvRecord>>,
        asker: Option<&Known>,
        counting: Counting,
        as_of: AsOf,
    ) -> Result<Answer, EngineError> {
        let query = match &question.query {
            Ok(query) => query,
            Err(why) => return Ok(Answer::unanswerable(why.clone(), as_of)),
        };
        let mark = self.ledger.mark(query.id()).map(|marked| marked.mark);
        let row = row.map(Arc::as_ref);
        let now = as_of.time;
        let body = self.body_to_compare(query, row)?;
        let buyer = match body.as_ref().map(Invoice::buyer_id) {
            Some(Some(buyer)) => Buyer::Stated(buyer),
            Some(None) => Buyer::Absent,
            None => Buyer::Unread,
        };
        let registered = Registered { row, mark, behind: self.ledger.is_behind(), incomplete: self.ledger.has_lost_leaves(), buyer };
        let compare = || check::check(query, registered, &self.ledger.keys());
        let checked = match asker {
            Some(asker) => match self.quota.guarded(asker, query, now, compare) {
                Ok(checked) => checked,
                Err(why) => return Ok(Answer::throttled(question, why, as_of)),
            },
            None => compare(),
        };
        let mut answer = Answer::checked(query, checked, row, mark, as_of);
        answer.crc_ok = question.crc_ok;
        if answer.verdict.matched() {
            let tally = match counting {
                Counting::Verification => self.ledger.counts().add(query.id(), now)?,
                Counting::Nothing => self.ledger.counts().get(query.id())?,
            };
            (answer.count, answer.first_verified) = (tally.count, tally.first);
        }
        Ok(answer)
    }

    /// The invoice in full, where a question says something of it that is not on its face.
    fn body_to_compare(&self, query: &Query, row: Option<&InvRecord>) -> Result<Option<Invoice>, EngineError> {
        match (query, row) {
            (Query::Factors(Factors { buyer_id: Some(_), .. }), Some(row)) if self.is_unlocked() => {
                let Ok(face) = canonical::decode_face(&row.face) else { return Ok(None) };
                Ok(self.contents(row.index, &row.commit, &face)?.map(|contents| contents.invoice))
            }
            (Query::Factors(_) | Query::Signed(_), _) => Ok(None),
        }
    }
}
