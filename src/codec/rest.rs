//! The rest: everything of an invoice that the face does not say. Its layout follows the face's kind.
//!
//! ```text
//! +-------------------------------------------------------+---------------------------+-------------------------------------+
//! | seller name, drawer, payee, reviewer, remark, red     | particulars of the kind   | 0, or 1 | key id 8 | issuer sig 64   |
//! +-------------------------------------------------------+---------------------------+-------------------------------------+
//!  <------------------------- rest without the slot -------------------------------->
//! ```

use super::leaf::KeyId;
use super::particulars;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::domain::invoice::{Face, Invoice, RedBasis, RedReason, RedReference};
use crate::domain::kind::Kind;
use crate::domain::number::InvoiceId;
use crate::limits::REST_BYTES_MAX;

/// The issuer's own signature on what it submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerSlot {
    /// The issuer's registered key.
    pub key_id: KeyId,
    /// Ed25519 over [`crate::crypto::hash::submit_message`].
    pub signature: [u8; 64],
}

/// The canonical bytes of the rest, with the issuer slot.
pub fn encode_rest(invoice: &Invoice, slot: Option<&IssuerSlot>) -> Vec<u8> {
    let mut bytes = encode_rest_without_slot(invoice);
    append_slot(&mut bytes, slot);
    bytes
}

/// What the issuer signs a digest of, and what the content digest covers.
pub fn encode_rest_without_slot(invoice: &Invoice) -> Vec<u8> {
    let mut writer = Writer::with_capacity(512);
    writer.text(&invoice.seller_name).text(&invoice.drawer);
    writer.opt_text(invoice.payee.as_deref()).opt_text(invoice.reviewer.as_deref()).opt_text(invoice.remark.as_deref());
    writer.opt(invoice.red.as_ref(), |writer, red| {
        writer.bytes(&red.original.to_bytes());
        match &red.basis {
            RedBasis::Notice(number) => writer.opt_text(Some(number)),
            RedBasis::Original => writer.opt_text(None),
        };
        writer.u8(red.reason.map_or(0, |reason| reason as u8));
    });
    particulars::write(&mut writer, &invoice.particulars);
    writer.into_bytes()
}

/// Completes a rest: appends the slot to the bytes of [`encode_rest_without_slot`].
pub fn append_slot(rest: &mut Vec<u8>, slot: Option<&IssuerSlot>) {
    match slot {
        None => rest.push(0),
        Some(slot) => {
            rest.push(1);
            rest.extend_from_slice(&slot.key_id.0);
            rest.extend_from_slice(&slot.signature);
        }
    }
}

/// The invoice that has this face and this rest, and its issuer's signature.
pub fn decode_rest(face: &Face, bytes: &[u8]) -> Result<(Invoice, Option<IssuerSlot>), DecodeError> {
    if bytes.len() > REST_BYTES_MAX {
        return Err(DecodeError { offset: REST_BYTES_MAX, reason: DecodeReason::TooLong("rest") });
    }
    Reader::all(bytes, |reader| {
        let invoice = read_invoice(face, reader)?;
        let slot = reader.opt("issuer slot", |reader| Ok(IssuerSlot { key_id: KeyId(reader.array()?), signature: reader.array()? }))?;
        Ok((invoice, slot))
    })
}

/// The bytes of a rest before its issuer slot. Only decoding tells where that begins.
pub fn rest_without_slot<'a>(face: &Face, rest: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (_, slot) = decode_rest(face, rest)?;
    let slot_len = if slot.is_some() { 1 + KeyId::LEN + 64 } else { 1 };
    Ok(rest.get(..rest.len() - slot_len).unwrap_or_default())
}

fn read_invoice(face: &Face, reader: &mut Reader<'_>) -> Result<Invoice, DecodeError> {
    Ok(Invoice {
        id: face.id,
        date: face.date,
        totals: face.totals,
        seller_id: face.seller_id.clone(),
        seller_name: reader.string("seller name")?,
        drawer: reader.string("drawer")?,
        payee: reader.opt_string("payee")?,
        reviewer: reader.opt_string("reviewer")?,
        remark: reader.opt_string("remark")?,
        red: reader.opt("red", |reader| read_red(face.kind, reader))?,
        particulars: particulars::read(face, reader)?,
    })
}

fn read_red(kind: Kind, reader: &mut Reader<'_>) -> Result<RedReference, DecodeError> {
    let original = reader.value("original", Reader::array, InvoiceId::from_bytes)?;
    let start = reader.offset();
    let basis = match (kind.profile().red_needs_notice, reader.opt_string("notice number")?) {
        (true, Some(number)) => RedBasis::Notice(number),
        (false, None) => RedBasis::Original,
        (true, None) | (false, Some(_)) => return reader.fault(start, DecodeReason::OutOfRange("notice number")),
    };
    let reason = reader.value("reason", Reader::u8, |number| match number {
        0 => Some(None),
        number => RedReason::from_number(number).map(Some),
    })?;
    Ok(RedReference { original, basis, reason })
}
