//! Receipts of a log that was given up, submitted again to the one that goes on: an invoice keeps its number, its check code, its signature and with
//! them the QR code that is already printed.

use super::{Engine, EngineError, FullReceipt, Pending, Submitted, random};
use crate::codec::canonical;
use crate::crypto::keyring::Logged;
use crate::domain::draft::Draft;
use crate::domain::number::CheckCode;
use crate::domain::rules::{self, Mode, Terms};
use crate::issue::{self, AgainFault, Randomness};
use crate::ledger::{Receipt, Sealed};

/// A receipt's invoice may be as old as invoices are; its date was judged when it was issued.
const DAYS_BACK: u32 = 100 * 366;

/// What became of a receipt.
#[derive(Debug)]
pub enum Resubmitted {
    /// Decided like any other submission; the same again if it was never lost.
    Decided(Submitted),
    /// It is not a receipt of this log, or the draft is not the one that it is of.
    NotOurs(AgainFault),
}

impl Engine {
    /// Submits what a receipt is of again, after checking that this log acknowledged it under one of its origins. An invoice needs its draft: the
    /// receipt holds only hashes of what stands in it.
    pub fn resubmit(&self, receipt: &FullReceipt, draft: Option<&Draft>) -> Result<Resubmitted, EngineError> {
        let keyring = self.keyring()?;
        self.ledger.may_write()?;
        let Receipt { index, leaf, .. } = &receipt.receipt;
        let logged = if self.ledger.leaf(*index)?.as_ref() == Some(leaf) { Logged::At(*index) } else { Logged::Unknown };
        if let Err(fault) = issue::is_acknowledged(&receipt.receipt, &self.ledger.keys(), self.ledger.origins(), logged) {
            return Ok(Resubmitted::NotOurs(fault));
        }
        let salt = match receipt.salt {
            Some(salt) => salt,
            None => return Ok(Resubmitted::NotOurs(AgainFault::NoSalt)),
        };
        let (submission, warnings) = match &receipt.receipt.sealed {
            Sealed::Event { .. } => (issue::event_again(&receipt.receipt, salt), Vec::new()),
            Sealed::Invoice { face, .. } => {
                let Some(draft) = draft else { return Ok(Resubmitted::NotOurs(AgainFault::NoDraft)) };
                let import = receipt.receipt.leaf.is_imported();
                let face = canonical::decode_face(face)?;
                let terms = Terms {
                    today: self.today(),
                    mode: if import { Mode::Import } else { Mode::Issue { days_back: DAYS_BACK } },
                    check_code: face.check_code.unwrap_or_else(|| CheckCode::from_random([0, 0])),
                    ..self.terms(draft, import)?
                };
                let accepted = match rules::accept(draft, &terms) {
                    Ok(accepted) => accepted,
                    Err(faults) => return Ok(Resubmitted::Decided(Submitted::Faulty(faults))),
                };
                let random = Randomness { salt, ..Randomness::from_bytes(random()?) };
                let submission = self.sealed(issue::invoice_again(&receipt.receipt, &accepted, import, &keyring, &random))?;
                (submission, accepted.warnings)
            }
        };
        match submission {
            Ok(submission) => Ok(Resubmitted::Decided(Pending { warnings, outcome: self.ledger.submit(submission) }.wait()?)),
            Err(fault) => Ok(Resubmitted::NotOurs(fault)),
        }
    }
}
