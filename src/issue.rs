//! Issuing: an accepted invoice becomes signed bytes, ready for the sequencer. Everything here runs in parallel; nothing here knows the log.

use crate::codec::canonical::{self, IssuerSlot};
use crate::codec::event::{Algorithm, Event, EventData, KeyRecord, Role};
use crate::codec::leaf::KeyId;
use crate::codec::reader::DecodeError;
use crate::crypto::keyring::{Enrolled, Keyring, Logged, PublicKeys, SecretKey, SignatureCheck, Signer};
use crate::crypto::note::{Checkpoint, Note};
use crate::crypto::sign::SignError;
use crate::crypto::{body, hash, merkle, sign};
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::number::InvoiceId;
use crate::domain::rules::{Accepted, ImportedState};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::{Day, UnixMillis};
use crate::ledger::{ImportedEvent, Origins, Receipt, Refusal, Sealed, SealedEvent, SealedInvoice, Submission};
use crate::limits::KEY_OVERLAP_MIN_MS;

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// An imported invoice that passed with warnings is more than the signed bytes can hold; nothing was signed.
    #[error("more than the signed bytes can hold: {0}")]
    Unencodable(DecodeError),
    /// The compressor or the cipher, or a rest beyond its limit.
    #[error(transparent)]
    Body(#[from] body::BodyError),
    /// The authority's key did not sign.
    #[error(transparent)]
    Unsigned(#[from] SignError),
}

/// An issuer's signature that was checked against the key that it registered. Only [`endorsement`] makes one of what a draft claims.
#[derive(Clone, Copy, Debug)]
pub struct Endorsement(IssuerSlot);

/// The signature of whoever submits, checked. `key` is the one that it registered: with it every submission is signed, without it none.
pub fn endorsement(accepted: &Accepted, key: Option<&[u8; 32]>) -> Result<Option<Endorsement>, Refusal> {
    let (key, slot) = match (key, claimed_slot(accepted)) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(Refusal::IssuerKeyUnknown),
        (Some(_), None) => return Err(Refusal::Unsigned),
        (Some(key), Some(slot)) => (key, slot),
    };
    if hash::key_id(Algorithm::Ed25519, Role::Issuer, key) != slot.key_id {
        return Err(Refusal::IssuerKeyUnknown);
    }
    if sign::verify(key, &submission_message(accepted), &slot.signature) { Ok(Some(Endorsement(slot))) } else { Err(Refusal::IssuerSignatureWrong) }
}

/// What the issuer of an accepted invoice signs.
pub fn submission_message(accepted: &Accepted) -> Vec<u8> {
    let invoice = &accepted.invoice;
    hash::submit_message(event_of_invoice(accepted), &canonical::encode_face(&invoice.face()), &canonical::encode_rest_without_slot(invoice))
}

fn claimed_slot(accepted: &Accepted) -> Option<IssuerSlot> {
    accepted.issuer.map(|claim| IssuerSlot { key_id: KeyId(claim.key_id), signature: claim.signature })
}

fn event_of_invoice(accepted: &Accepted) -> Event {
    if accepted.invoice.red.is_some() { Event::Red } else { Event::Issue }
}

/// Encodes, hashes, signs and encrypts an accepted invoice; nothing that its draft claims of a signature is kept.
pub fn invoice(accepted: &Accepted, imported: bool, keys: &Keyring, random: &Randomness) -> Result<Submission, SealError> {
    seal(accepted, None, imported, keys, random)
}

/// As [`invoice`], with the issuer's signature where there is one.
pub fn endorsed_invoice(
    accepted: &Accepted,
    endorsement: Option<&Endorsement>,
    imported: bool,
    keys: &Keyring,
    random: &Randomness,
) -> Result<Submission, SealError> {
    seal(accepted, endorsement.map(|endorsement| &endorsement.0), imported, keys, random)
}

fn seal(accepted: &Accepted, slot: Option<&IssuerSlot>, imported: bool, keys: &Keyring, random: &Randomness) -> Result<Submission, SealError> {
    let face = accepted.invoice.face();
    let face_bytes = canonical::encode_face(&face);
    let original = accepted.invoice.red.as_ref().map(|red| red.original);
    let mut rest = canonical::encode_rest_without_slot(&accepted.invoice);
    let content_digest = canonical::content_digest(event_of_invoice(accepted), &face, &rest);
    canonical::append_slot(&mut rest, slot);
    if imported {
        // Historic invoices keep texts of any length with a warning: what is signed must be readable ever after.
        canonical::decode_rest(&face, &rest).map_err(SealError::Unencodable)?;
    }
    let rest_digest = hash::rest_digest(&random.salt, &rest);
    let commit = hash::commit(&face_bytes, &rest_digest);
    let signature = keys.authority().key.sign(&hash::invoice_message(&face_bytes, &rest_digest))?;
    let body = body::seal(keys.data(), &random.nonce, &commit, &random.salt, &rest)?;

    let state = if imported { accepted.state } else { ImportedState::Normal };
    let imported_state = match state {
        ImportedState::Normal => None,
        ImportedState::Voided => Some((ImportedEvent::Void, EventData::Void { id: face.id, day: face.date })),
        ImportedState::RedFlushed => Some((ImportedEvent::Status, EventData::Status { id: face.id, mark: Mark::RedBeforeImport })),
        ImportedState::Abnormal => Some((ImportedEvent::Status, EventData::Status { id: face.id, mark: Mark::Abnormal })),
    };
    let imported_state = match imported_state {
        Some((how, data)) => Some((how, event_of(&data, random.event_salt, keys)?)),
        None => None,
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
        imported_state,
    })))
}

/// Why a receipt, or the draft beside it, cannot be submitted again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgainFault {
    /// What was signed is not what the leaf commits to.
    #[error("the receipt's leaf commits to something else")]
    Commit,
    /// The authority's signature does not count.
    #[error("the receipt's signature does not hold: {0:?}")]
    Signature(SignatureCheck),
    /// The checkpoint is not one of this log.
    #[error("the receipt's checkpoint is not of this log: {0}")]
    Checkpoint(String),
    /// The path does not lead from the leaf to the checkpoint.
    #[error("the receipt's path does not lead to its checkpoint")]
    Inclusion,
    /// A receipt without salt.
    #[error("the receipt has no salt; ask for it again with the keys at hand")]
    NoSalt,
    /// The draft of an invoice is missing.
    #[error("the draft of the invoice is needed as well")]
    NoDraft,
    /// The draft is not the one that was signed.
    #[error("the draft is not the one that the receipt is of")]
    OtherDraft,
    /// Not something that issuers submit.
    #[error("a receipt of {0} is not submitted again")]
    Event(&'static str),
}

/// Whether this log, under one of its origins, acknowledged what a receipt is of: signature, leaf, path and checkpoint. `logged` is where the leaf is known
/// to stand. What the receipt says of that is worth no more than its checkpoint, which whoever stole all keys makes himself.
pub fn is_acknowledged(receipt: &Receipt, keys: &PublicKeys, origins: &Origins, logged: Logged) -> Result<(), AgainFault> {
    let leaf = &receipt.leaf;
    let (commit, message, signature) = match &receipt.sealed {
        Sealed::Invoice { face, rest_digest, signature } => (hash::commit(face, rest_digest), hash::invoice_message(face, rest_digest), signature),
        Sealed::Event { salt, data, signature } => {
            (hash::event_commit(leaf.event, salt, data), hash::event_message(leaf.event, salt, data), signature)
        }
    };
    if commit != leaf.commit {
        return Err(AgainFault::Commit);
    }
    match keys.check(Role::Authority, leaf.key_id, UnixMillis(leaf.time_ms), logged, &message, signature) {
        SignatureCheck::Valid => {}
        other => return Err(AgainFault::Signature(other)),
    }
    let stated =
        Note::parse(&receipt.note).and_then(|note| Checkpoint::parse(note.text())).map_err(|error| AgainFault::Checkpoint(error.to_string()))?;
    if !origins.contains(&stated.origin) {
        return Err(AgainFault::Checkpoint(format!("{} is another one", stated.origin)));
    }
    let sound = |key: &Enrolled, size| {
        let honest = match logged {
            Logged::At(_) => key.is_sound_of_size(size),
            Logged::Unknown => key.is_sound_at(logged),
        };
        honest && key.lasted_beyond(UnixMillis(leaf.time_ms))
    };
    if keys.open_checkpoint(&receipt.note, &stated.origin, sound).is_err() {
        return Err(AgainFault::Checkpoint("it is not signed by a checkpoint key of this log".into()));
    }
    if !merkle::verify_inclusion(&merkle::leaf_hash(&leaf.encode()), receipt.index, stated.size, &receipt.path, &stated.root) {
        return Err(AgainFault::Inclusion);
    }
    Ok(())
}

/// The invoice of an acknowledged receipt again, under the signature that it already has. `random` carries the receipt's salt.
pub fn invoice_again(
    receipt: &Receipt,
    accepted: &Accepted,
    imported: bool,
    keys: &Keyring,
    random: &Randomness,
) -> Result<Result<Submission, AgainFault>, SealError> {
    // Whether the issuer's signature holds was decided when the receipt was given: with another one the commit is another.
    let submission = seal(accepted, claimed_slot(accepted).as_ref(), imported, keys, random)?;
    let (Submission::Invoice(mut sealed), Sealed::Invoice { signature, .. }) = (submission, &receipt.sealed) else {
        return Ok(Err(AgainFault::Event(receipt.leaf.event.name())));
    };
    // The commit covers face and rest, so an equal one means an equal invoice.
    if sealed.commit != receipt.leaf.commit {
        return Ok(Err(AgainFault::OtherDraft));
    }
    (sealed.signature, sealed.key_id) = (*signature, receipt.leaf.key_id);
    Ok(Ok(Submission::Invoice(sealed)))
}

/// The event of an acknowledged receipt again, under the signature that it already has.
pub fn event_again(receipt: &Receipt, salt: [u8; 16]) -> Result<Submission, AgainFault> {
    let leaf = &receipt.leaf;
    let other = || AgainFault::Event(leaf.event.name());
    let Sealed::Event { data, signature, .. } = &receipt.sealed else { return Err(other()) };
    let event = SealedEvent { salt, data: data.clone(), commit: leaf.commit, signature: *signature, key_id: leaf.key_id };
    match EventData::decode(leaf.event, data) {
        Ok(EventData::Void { id, day }) => Ok(Submission::Void { id, callers: None, day, event }),
        Ok(EventData::Status { id, mark }) => Ok(Submission::Status { id, mark, event }),
        Ok(EventData::Allot(allotment)) => Ok(Submission::Allot { allotment, event }),
        Ok(EventData::AllotmentStatus { range, mark }) => Ok(Submission::AllotmentStatus { range, mark, event }),
        Ok(EventData::Key(_) | EventData::AnswersRoot(_) | EventData::RevocationList(_) | EventData::Reopen(_) | EventData::Policy(_)) | Err(_) => {
            Err(other())
        }
    }
}

/// Voids an invoice on `day`; the seller must be among the `callers`, `None` is the administration.
pub fn void(id: InvoiceId, callers: Option<Vec<TaxpayerId>>, day: Day, keys: &Keyring, salt: [u8; 16]) -> Result<Submission, SignError> {
    Ok(Submission::Void { id, callers, day, event: event_of(&EventData::Void { id, day }, salt, keys)? })
}

/// Marks one issued invoice, or lifts its mark.
pub fn status(id: InvoiceId, mark: Mark, keys: &Keyring, salt: [u8; 16]) -> Result<Submission, SignError> {
    Ok(Submission::Status { id, mark, event: event_of(&EventData::Status { id, mark }, salt, keys)? })
}

/// Allots numbers.
pub fn allot(allotment: Allotment, keys: &Keyring, salt: [u8; 16]) -> Result<Submission, SignError> {
    let event = event_of(&EventData::Allot(allotment.clone()), salt, keys)?;
    Ok(Submission::Allot { allotment, event })
}

/// Marks numbers of an allotment, or lifts marks.
pub fn allotment_status(range: NumberRange, mark: Mark, keys: &Keyring, salt: [u8; 16]) -> Result<Submission, SignError> {
    Ok(Submission::AllotmentStatus { range, mark, event: event_of(&EventData::AllotmentStatus { range, mark }, salt, keys)? })
}

/// What a log that lost its end has to say again of the keys that the key file has and it does not name: all but the newest of a role were replaced in
/// what is lost, and the newest is in use, in place of those that the log still believes to be. They count from where the log ends, so that receipts of
/// what is lost hold. That a key was revoked there, the key file does not say. Each salt comes from `seed`.
pub fn lost_keys(keyring: &Keyring, log: &PublicKeys, end: UnixMillis, now: UnixMillis, seed: &[u8; 32]) -> Result<Vec<SealedEvent>, SignError> {
    let salt = |nth: usize| {
        let mut salt = [0; 16];
        salt.copy_from_slice(hash::sha256(&[seed, &nth.to_be_bytes()]).split_at(16).0);
        salt
    };
    let (mut named, mut closed, mut authority) = (Vec::new(), Vec::new(), keyring.authority().clone());
    // A window that is over by now would not let the log go on if the clock stood still.
    let (from, until) = (end, UnixMillis(now.0.max(end.0) + KEY_OVERLAP_MIN_MS));
    for role in [Role::Authority, Role::Answering, Role::Checkpoint] {
        let unknown: Vec<&SecretKey> = keyring.keys().iter().filter(|key| key.role() == role && log.get(key.key_id()).is_none()).collect();
        let Some((newest, replaced)) = unknown.split_last().filter(|_| log.names(role)) else { continue };
        let public = |key: &SecretKey, until| key.public().and_then(|public| KeyRecord::new(role, public, from, until));
        named.extend(replaced.iter().filter_map(|key| public(key, Some(until))));
        named.extend(public(newest, None));
        let believed = log.iter().filter(|key| key.record.role() == role && key.is_in_force());
        closed.extend(believed.filter_map(|key| key.record.closed(UnixMillis(until.0.max(key.record.valid_from().0 + 1)))));
        if role == Role::Authority {
            authority = newest.signer();
        }
    }
    // As in a rotation: the old authority vouches for its successor, which says of the others that they are replaced.
    let said = named.into_iter().map(|record| (record, keyring.authority())).chain(closed.into_iter().map(|record| (record, &authority)));
    said.enumerate().map(|(nth, (record, by))| event_by(&EventData::Key(record), salt(nth), by)).collect()
}

/// Says something of the ledger itself to everybody.
pub fn announcement(data: &EventData, keys: &Keyring, salt: [u8; 16]) -> Result<Submission, SignError> {
    Ok(Submission::Announcement { of: data.event(), event: event_of(data, salt, keys)? })
}

/// Signs an event without an invoice of its own.
pub fn event_of(data: &EventData, salt: [u8; 16], keys: &Keyring) -> Result<SealedEvent, SignError> {
    event_by(data, salt, keys.authority())
}

/// As [`event_of`], by an authority key that need not be the one in use.
pub fn event_by(data: &EventData, salt: [u8; 16], authority: &Signer) -> Result<SealedEvent, SignError> {
    let (event, data) = (data.event(), data.encode());
    Ok(SealedEvent {
        salt,
        commit: hash::event_commit(event, &salt, &data),
        signature: authority.key.sign(&hash::event_message(event, &salt, &data))?,
        key_id: authority.key_id,
        data,
    })
}
