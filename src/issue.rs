//! Issuing: an accepted invoice becomes signed bytes, ready for the sequencer. Everything here runs in parallel; nothing here knows the log.

use crate::codec::canonical;
use crate::codec::event::{Event, EventData};
use crate::codec::reader::DecodeError;
use crate::crypto::keyring::Keyring;
use crate::crypto::{body, hash};
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::number::InvoiceId;
use crate::domain::rules::{Accepted, ImportedState};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;
use crate::ledger::{ImportedEvent, SealedEvent, SealedInvoice, Submission};

/// Random bytes for one invoice: drawn above, so that the same input gives the same bytes.
#[derive(Clone, Copy)]
pub struct Randomness {
    /// Hides the rest in all public hashes.
    pub salt: [u8; 16],
    /// For the stored body.
    pub nonce: [u8; 24],
    /// Salt of the event that carries an imported invoice's state.
    pub event_salt: [u8; 16],
}

impl Randomness {
    /// Random bytes, divided.
    pub fn from_bytes(bytes: [u8; 56]) -> Randomness {
        let mut random = Randomness { salt: [0; 16], nonce: [0; 24], event_salt: [0; 16] };
        let (salt, rest) = bytes.split_at(random.salt.len());
        let (nonce, event_salt) = rest.split_at(random.nonce.len());
        random.salt.copy_from_slice(salt);
        random.nonce.copy_from_slice(nonce);
        random.event_salt.copy_from_slice(event_salt);
        random
    }
}

/// Why an accepted invoice could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// An imported invoice that passed with warnings is more than the signed bytes can hold; nothing was signed.
    #[error("more than the signed bytes can hold: {0}")]
    Unencodable(DecodeError),
    /// The compressor or the cipher, or a rest beyond its limit.
    #[error(transparent)]
    Body(#[from] body::BodyError),
}

/// Encodes, hashes, signs and encrypts an accepted invoice.
pub fn invoice(accepted: &Accepted, imported: bool, keys: &Keyring, random: &Randomness) -> Result<Submission, SealError> {
    let face = accepted.invoice.face();
    let face_bytes = canonical::encode_face(&face);
    let original = accepted.invoice.red.as_ref().map(|red| red.original);
    let event = if original.is_some() { Event::Red } else { Event::Issue };
    let mut rest = canonical::encode_rest_without_slot(&accepted.invoice);
    let content_digest = canonical::content_digest(event, &face, &rest);
    canonical::append_slot(&mut rest, None);
    if imported {
        // Historic invoices keep texts of any length with a warning: what is signed must be readable ever after.
        canonical::decode_rest(&face, &rest).map_err(SealError::Unencodable)?;
    }
    let rest_digest = hash::rest_digest(&random.salt, &rest);
    let commit = hash::commit(&face_bytes, &rest_digest);
    let signature = keys.authority().key.sign(&hash::invoice_message(&face_bytes, &rest_digest));
    let body = body::seal(keys.data(), &random.nonce, &commit, &random.salt, &rest)?;

    let state = if imported { accepted.state } else { ImportedState::Normal };
    let imported_state = match state {
        ImportedState::Normal => None,
        ImportedState::Voided => Some((ImportedEvent::Void, EventData::Void { id: face.id, day: face.date })),
        ImportedState::RedFlushed => Some((ImportedEvent::Status, EventData::Status { id: face.id, mark: Mark::RedBeforeImport })),
        ImportedState::Abnormal => Some((ImportedEvent::Status, EventData::Status { id: face.id, mark: Mark::Abnormal })),
    };
    Ok(Submission::Invoice(Box::new(SealedInvoice {
        face,
        face_bytes,
        rest_digest,
        commit,
        signature,
        key_id: keys.authority().key_id,
        content_digest,
        check_code_generated: accepted.check_code_generated,
        original,
        body,
        imported,
        imported_state: imported_state.map(|(how, data)| (how, event_of(&data, random.event_salt, keys))),
    })))
}

/// Voids an invoice on `day`; `caller` must be the seller, `None` is the administration.
pub fn void(id: InvoiceId, caller: Option<TaxpayerId>, day: Day, keys: &Keyring, salt: [u8; 16]) -> Submission {
    Submission::Void { id, caller, day, event: event_of(&EventData::Void { id, day }, salt, keys) }
}

/// Marks one issued invoice, or lifts its mark.
pub fn status(id: InvoiceId, mark: Mark, keys: &Keyring, salt: [u8; 16]) -> Submission {
    Submission::Status { id, mark, event: event_of(&EventData::Status { id, mark }, salt, keys) }
}

/// Allots numbers.
pub fn allot(allotment: Allotment, keys: &Keyring, salt: [u8; 16]) -> Submission {
    let event = event_of(&EventData::Allot(allotment.clone()), salt, keys);
    Submission::Allot { allotment, event }
}

/// Marks numbers of an allotment, or lifts marks.
pub fn allotment_status(range: NumberRange, mark: Mark, keys: &Keyring, salt: [u8; 16]) -> Submission {
    Submission::AllotmentStatus { range, mark, event: event_of(&EventData::AllotmentStatus { range, mark }, salt, keys) }
}

/// Signs an event without an invoice of its own.
pub fn event_of(data: &EventData, salt: [u8; 16], keys: &Keyring) -> SealedEvent {
    let (event, data) = (data.event(), data.encode());
    SealedEvent {
        salt,
        commit: hash::event_commit(event, &salt, &data),
        signature: keys.authority().key.sign(&hash::event_message(event, &salt, &data)),
        key_id: keys.authority().key_id,
        data,
    }
}
