//! Submitting: drafts and events on their way to the sequencer, by whom they may be, and what becomes of them.

use tokio::sync::oneshot;

use super::{Engine, EngineError, random};
use crate::codec::canonical;
use crate::codec::event::EventData;
use crate::crypto::keyring::Keyring;
use crate::crypto::sign::SignError;
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::caller::{Caller, Role};
use crate::domain::draft::Draft;
use crate::domain::draft::fields::Field;
use crate::domain::fault::Fault;
use crate::domain::number::{CheckCode, InvoiceId};
use crate::domain::rules::{self, Mode, Terms};
use crate::domain::taxpayer::TaxpayerId;
use crate::issue::{self, Randomness};
use crate::ledger::{Outcome, Refusal, Remark, Submission, SubmitError};

/// What became of a submitted draft.
#[derive(Debug)]
pub enum Submitted {
    /// In the ledger; its warnings.
    Logged(Logged),
    /// Every rule it breaks, and its warnings.
    Faulty(Vec<Fault>),
    /// Well-formed, and not possible on the ledger's state.
    Refused(Refusal),
}

impl Submitted {
    /// In a word: `logged`, `repeated`, `faulty`, or the refusal's code.
    pub fn code(&self) -> &'static str {
        match self {
            Submitted::Logged(Logged { repeated: false, .. }) => "logged",
            Submitted::Logged(Logged { repeated: true, .. }) => "repeated",
            Submitted::Faulty(_) => "faulty",
            Submitted::Refused(refusal) => refusal.code(),
        }
    }
}

/// Something that is in the log.
#[derive(Debug)]
pub struct Logged {
    /// Its leaf.
    pub index: u64,
    /// It was there before.
    pub repeated: bool,
    /// What is doubtful about it.
    pub warnings: Vec<Fault>,
    /// What the ledger has to say about it.
    pub remark: Option<Remark>,
}

/// A draft that was accepted and handed to the sequencer.
#[derive(Debug)]
pub struct Pending {
    pub(super) warnings: Vec<Fault>,
    pub(super) outcome: oneshot::Receiver<Result<Outcome, SubmitError>>,
}

impl Pending {
    /// Blocks until the outcome is durable.
    pub fn wait(self) -> Result<Submitted, EngineError> {
        submitted(self.outcome.blocking_recv(), self.warnings)
    }

    /// As [`Pending::wait`], without a thread that waits.
    pub async fn outcome(self) -> Result<Submitted, EngineError> {
        submitted(self.outcome.await, self.warnings)
    }
}

impl Engine {
    /// What accepting a draft would say, with nothing stored.
    pub fn check_draft(&self, draft: &Draft, import: bool) -> Result<Vec<Fault>, EngineError> {
        let terms = self.terms(draft, import)?;
        Ok(match rules::accept(draft, &terms) {
            Ok(accepted) => accepted.warnings,
            Err(faults) => faults,
        })
    }

    /// As [`Engine::check_draft`], by a caller. Whether the draft is signed as it must be is not asked: it may be about to be.
    pub fn check_draft_as(&self, draft: &Draft, import: bool, caller: &Caller) -> Result<Result<Vec<Fault>, Refusal>, EngineError> {
        if may_submit(caller, draft) { self.check_draft(draft, import).map(Ok) } else { Ok(Err(Refusal::NotYourSeller)) }
    }

    /// The bytes that an issuer signs to submit this draft, or why it cannot be submitted signed. Nothing is stored.
    pub fn submission_message(&self, draft: &Draft, import: bool) -> Result<Result<Vec<u8>, Vec<Fault>>, EngineError> {
        let accepted = rules::accept_to_sign(draft, &self.terms(draft, import)?);
        Ok(accepted.map(|accepted| issue::submission_message(&accepted)))
    }

    pub(super) fn terms(&self, draft: &Draft, import: bool) -> Result<Terms, EngineError> {
        // Whatever was registered once is the same again however old it has become since.
        let is_registered = match draft.id().zip(seller_of(draft)) {
            Some((id, seller)) if !import => {
                let face = self.ledger.look_up(id)?.1.and_then(|row| canonical::decode_face(&row.face).ok());
                face.is_some_and(|face| face.seller_id == seller)
            }
            Some(_) | None => false,
        };
        let original_date = match draft.original().zip(seller_of(draft)) {
            Some((original, seller)) => {
                let face = self.ledger.look_up(original)?.1.and_then(|row| canonical::decode_face(&row.face).ok());
                // What rules say of a date would tell when somebody else's invoice was issued.
                face.filter(|face| face.seller_id == seller).map(|face| face.date)
            }
            None => None,
        };
        let halves: [u8; 16] = random()?;
        let (low, high) = halves.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Terms {
            today: self.today(),
            mode: match (import, is_registered) {
                (true, _) => Mode::Import,
                (false, true) => Mode::Issue { days_back: u32::MAX },
                (false, false) => Mode::Issue { days_back: self.days_back },
            },
            check_code: CheckCode::from_random([half(low), half(high)]),
            original_date,
        })
    }

    /// Checks, signs and hands in a draft at the console, without waiting for the disk: many can be under way. Faults and what needs no look-up to be
    /// refused come back at once.
    pub fn begin(&self, draft: &Draft, import: bool) -> Result<Result<Pending, Submitted>, EngineError> {
        self.begin_as(draft, import, &Caller::CONSOLE)
    }

    /// As [`Engine::begin`], by a caller: the seller is one it acts for, and with a registered key the draft is signed with it.
    pub fn begin_as(&self, draft: &Draft, import: bool, caller: &Caller) -> Result<Result<Pending, Submitted>, EngineError> {
        let keyring = self.keyring()?;
        self.ledger.may_write()?;
        if !may_submit(caller, draft) {
            return Ok(Err(Submitted::Refused(Refusal::NotYourSeller)));
        }
        let accepted = match rules::accept(draft, &self.terms(draft, import)?) {
            Ok(accepted) => accepted,
            Err(faults) => return Ok(Err(Submitted::Faulty(faults))),
        };
        let endorsement = match issue::endorsement(&accepted, caller.issuer_key.as_ref()) {
            Ok(endorsement) => endorsement,
            Err(refusal) => return Ok(Err(Submitted::Refused(refusal))),
        };
        let submission =
            self.sealed(issue::endorsed_invoice(&accepted, endorsement.as_ref(), import, &keyring, &Randomness::from_bytes(random()?)))?;
        Ok(Ok(Pending { warnings: accepted.warnings, outcome: self.ledger.submit(submission) }))
    }

    /// Issues one draft, or imports it: checked, signed, stored; returns once it is durable.
    pub fn submit(&self, draft: &Draft, import: bool) -> Result<Submitted, EngineError> {
        match self.begin(draft, import)? {
            Ok(pending) => pending.wait(),
            Err(answered) => Ok(answered),
        }
    }

    /// Voids an invoice today; `caller` must be its seller, `None` is the administration.
    pub fn void(&self, id: InvoiceId, caller: Option<TaxpayerId>) -> Result<Submitted, EngineError> {
        self.decide_signed(|keys, salt| issue::void(id, caller.map(|seller| vec![seller]), self.today(), keys, salt))
    }

    /// As [`Engine::void`], by a caller: the seller is one it acts for; the administration voids for everybody.
    pub fn void_as(&self, id: InvoiceId, caller: &Caller) -> Result<Submitted, EngineError> {
        let sellers = (caller.role != Role::Administrator).then(|| caller.taxpayers.clone());
        self.decide_signed(|keys, salt| issue::void(id, sellers, self.today(), keys, salt))
    }

    /// Marks one issued invoice, or lifts its mark.
    pub fn status(&self, id: InvoiceId, mark: Mark) -> Result<Submitted, EngineError> {
        self.decide_signed(|keys, salt| issue::status(id, mark, keys, salt))
    }

    /// Allots numbers to a taxpayer.
    pub fn allot(&self, allotment: Allotment) -> Result<Submitted, EngineError> {
        self.decide_signed(|keys, salt| issue::allot(allotment, keys, salt))
    }

    /// Marks allotted numbers, or lifts marks.
    pub fn allotment_status(&self, range: NumberRange, mark: Mark) -> Result<Submitted, EngineError> {
        self.decide_signed(|keys, salt| issue::allotment_status(range, mark, keys, salt))
    }

    /// Signs an event and has it decided.
    fn decide_signed(&self, sign: impl FnOnce(&Keyring, [u8; 16]) -> Result<Submission, SignError>) -> Result<Submitted, EngineError> {
        let keyring = self.keyring()?;
        self.ledger.may_write()?;
        self.decide(self.signed(sign(&keyring, random()?))?)
    }

    /// Says something of the ledger itself to everybody.
    pub(super) fn announce(&self, data: &EventData) -> Result<(), EngineError> {
        match self.decide_signed(|keys, salt| issue::announcement(data, keys, salt))? {
            Submitted::Logged(_) => Ok(()),
            Submitted::Faulty(_) | Submitted::Refused(_) => Err(EngineError::NotAnnounced),
        }
    }

    pub(super) fn decide(&self, submission: Submission) -> Result<Submitted, EngineError> {
        Pending { warnings: Vec::new(), outcome: self.ledger.submit(submission) }.wait()
    }
}

/// Whether a caller acts for a draft's seller; the administration does for everybody's. A seller that is not one is for the rules to name; it opens
/// nothing.
fn may_submit(caller: &Caller, draft: &Draft) -> bool {
    caller.role == Role::Administrator || seller_of(draft).is_none_or(|seller| caller.acts_for(&seller))
}

/// Whom a draft says it is issued by, if that is well formed.
fn seller_of(draft: &Draft) -> Option<TaxpayerId> {
    draft.get(Field::SellerTaxId).and_then(TaxpayerId::parse)
}

/// What the sequencer answered; one that is gone without an answer was being closed.
fn submitted(answer: Result<Result<Outcome, SubmitError>, oneshot::error::RecvError>, warnings: Vec<Fault>) -> Result<Submitted, EngineError> {
    Ok(match answer.unwrap_or(Err(SubmitError::Closing))? {
        Outcome::Logged { index, repeated, warning } => Submitted::Logged(Logged { index, repeated, warnings, remark: warning }),
        Outcome::Refused(refusal) => Submitted::Refused(refusal),
    })
}
