//! Erasing what only the encrypted body of an invoice knows (删除个人信息), by legal duty.

use super::{Engine, EngineError, random};
use crate::codec::canonical;
use crate::crypto::body::{self, Erasure, Kept};
use crate::domain::audit::Act;
use crate::domain::caller::Caller;
use crate::domain::invoice::Face;
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::ledger::{EraseError, InvRecord};
use crate::limits::ERASE_REASON_BYTES_MAX;

/// What came of erasing a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Leaf of the invoice.
    pub index: u64,
    /// When its body was erased.
    pub time: UnixMillis,
    /// That had been done before.
    pub repeated: bool,
}

impl Engine {
    /// Erases the body of an issued invoice for good: buyer, lines, remarks, whatever is not on its face. The salt stays, sealed as before, so that its
    /// receipt stays the same. `None` if there is no such invoice. When this returns, no file of the database has the body any more.
    pub fn erase(&self, id: InvoiceId, reason: &str, by: &Caller) -> Result<Option<Erased>, EngineError> {
        let reason = reason.trim();
        let admissible = reason.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !admissible || reason.is_empty() || reason.len() > ERASE_REASON_BYTES_MAX {
            return Err(EngineError::ErasureReason);
        }
        let keyring = self.keyring()?;
        let (data, nonce) = (keyring.data(), random()?);
        let Some(InvRecord { index, commit, .. }) = self.ledger.look_up(id)?.1.as_deref().cloned() else { return Ok(None) };
        let subject = format!("{} {} {reason}", id.code, id.number);
        let entry = self.entry(by, Act::InvoiceErased, &subject, "erased")?;
        let time = entry.time;
        let left = |sealed: &[u8]| {
            // A body that does not open is erased all the same; its receipt then lacks the salt.
            let opened = body::open(sealed, |key_id| keyring.data_key(key_id), &commit).ok();
            Erasure { time, salt: opened.and_then(|opened| body::seal(data, &nonce, &commit, &opened.salt, &[]).ok()) }
        };
        let (erasure, repeated) = match self.ledger.erase(index, entry, left) {
            Ok(erased) => erased,
            Err(EraseError::Ledger(error)) => return Err(error.into()),
            Err(EraseError::Submit(error)) => return Err(error.into()),
            Err(error @ (EraseError::Busy | EraseError::Lost(_))) => return Err(EngineError::Erase(error)),
        };
        if repeated {
            self.record(by, Act::InvoiceErased, &subject, "repeated")?;
        }
        Ok(Some(Erased { index, time: erasure.time, repeated }))
    }

    /// Face of an issued invoice and when its body was erased, if it was.
    pub fn erased(&self, id: InvoiceId) -> Result<Option<(Face, UnixMillis)>, EngineError> {
        let Some(row) = self.ledger.look_up(id)?.1 else { return Ok(None) };
        let Some(Kept::Erased(erasure)) = self.ledger.body(row.index)? else { return Ok(None) };
        Ok(Some((canonical::decode_face(&row.face)?, erasure.time)))
    }
}
