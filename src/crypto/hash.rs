//! Every digest and every signed message, each under its own label, so that no bytes mean two things.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::codec::event::{Algorithm, Event, Role};
use crate::codec::leaf::KeyId;
use crate::domain::number::InvoiceId;

/// Sixteen random bytes, new for each invoice and event: they make every public hash hiding.
pub type Salt = [u8; 16];

const REST_LABEL: &[u8] = b"fapiao/rest/1\0";
const INVOICE_LABEL: &[u8] = b"fapiao/invoice/1\0";
const EVENT_LABEL: &[u8] = b"fapiao/event/1\0";
const SUBMIT_LABEL: &[u8] = b"fapiao/submit/1\0";
const ID_LABEL: &[u8] = b"fapiao/id/1\0";
const KEY_LABEL: &[u8] = b"fapiao/key/1\0";
const QUERY_LABEL: &[u8] = b"fapiao/query/1\0";
const LINE_LABEL: &[u8] = b"fapiao/line/1\0";
const REVOKED_LABEL: &[u8] = b"fapiao/revoked/1\0";
/// Label of the content digest.
pub const CONTENT_LABEL: &[u8] = b"fapiao/content/1\0";
/// Label of a signed revocation list; it stands inside the signed bytes.
pub const REVOCATIONS_LABEL: &[u8; 21] = b"fapiao/revocations/1\0";
/// Label of a signed answer; it stands inside the signed bytes.
pub const ANSWER_LABEL: &[u8; 16] = b"fapiao/answer/1\0";
/// Label of a row of a bulk result; it stands inside the hashed bytes.
pub const ROW_LABEL: &[u8; 13] = b"fapiao/row/1\0";
/// Label of what is signed for all rows of a bulk result; it stands inside the signed bytes.
pub const ROWS_LABEL: &[u8; 14] = b"fapiao/rows/1\0";

/// SHA-256 of the parts, joined.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Digest that hides the rest: SHA-256 of label, salt and rest (with its issuer slot).
pub fn rest_digest(salt: &Salt, rest: &[u8]) -> [u8; 32] {
    sha256(&[REST_LABEL, salt, rest])
}

/// What the authority signs for an invoice; its SHA-256 is [`commit`].
pub fn invoice_message(face: &[u8], rest_digest: &[u8; 32]) -> Vec<u8> {
    [INVOICE_LABEL, face, rest_digest].concat()
}

/// The public commit of an invoice, from what its signed QR code carries.
pub fn commit(face: &[u8], rest_digest: &[u8; 32]) -> [u8; 32] {
    sha256(&[INVOICE_LABEL, face, rest_digest])
}

/// What stands for an invoice in a revocation list: the first eight bytes of the hash of its commit.
pub fn revocation_token(commit: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[REVOKED_LABEL, commit]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// What the authority signs for an event without an invoice of its own; its SHA-256 is [`event_commit`].
pub fn event_message(event: Event, salt: &Salt, data: &[u8]) -> Vec<u8> {
    [EVENT_LABEL, &[event.number()], salt, data].concat()
}

/// The public commit of an event without an invoice of its own.
pub fn event_commit(event: Event, salt: &Salt, data: &[u8]) -> [u8; 32] {
    sha256(&[EVENT_LABEL, &[event.number()], salt, data])
}

/// What an issuer signs; `rest` is the rest without its slot.
pub fn submit_message(event: Event, face: &[u8], rest: &[u8]) -> Vec<u8> {
    [SUBMIT_LABEL, &[event.number()], face, &sha256(&[rest])].concat()
}

/// The tag that links the events of one invoice without showing it: HMAC-SHA-256 under the tag key.
pub fn id_tag(tag_key: &[u8; 32], id: InvoiceId) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(tag_key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(ID_LABEL);
    mac.update(&id.to_bytes());
    mac.finalize().into_bytes().into()
}

/// The id of a public key: first 8 bytes of SHA-256 of label, algorithm, role and key.
pub fn key_id(algorithm: Algorithm, role: Role, public: &[u8; 32]) -> KeyId {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[KEY_LABEL, &[algorithm as u8, role as u8], public]);
    KeyId([a, b, c, d, e, f, g, h])
}

/// Digest of a question, from its encoded bytes.
pub fn query_digest(query: &[u8]) -> [u8; 32] {
    sha256(&[QUERY_LABEL, query])
}

/// Digest of a line in which no question could be read, or one longer than any.
pub fn line_digest(line: &[u8]) -> [u8; 32] {
    sha256(&[LINE_LABEL, line])
}
