//! The face: what any holder of the paper knows, in the 49 to 64 bytes that are signed.
//!
//! ```text
//!  0     1      2             12          16               24              32
//!  +-----+------+-------------+-----------+----------------+---------------+-----+------------+-----+----------------+
//!  | ver | kind | InvoiceId   | date u32  | amount i64 fen | total i64 fen | n   | check code | m   | seller id      |
//!  | =1  |      | 10 bytes    | yyyymmdd  | excluding tax  | including tax | u8  | n bytes    | u8  | m ASCII bytes  |
//!  +-----+------+-------------+-----------+----------------+---------------+-----+------------+-----+----------------+
//! ```

use super::event::Event;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::crypto::hash;
use crate::domain::invoice::{Face, Totals};
use crate::domain::kind::Kind;
use crate::domain::number::{CheckCode, InvoiceId};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

pub use super::rest::{IssuerSlot, append_slot, decode_rest, encode_rest, encode_rest_without_slot, rest_without_slot};

/// The shortest face, in bytes.
pub const FACE_BYTES_MIN: usize = 49;
/// The longest face, in bytes.
pub const FACE_BYTES_MAX: usize = 64;

/// The canonical bytes of a face.
pub fn encode_face(face: &Face) -> Vec<u8> {
    write_face(face, face.check_code)
}

fn write_face(face: &Face, check_code: Option<CheckCode>) -> Vec<u8> {
    let mut writer = Writer::with_capacity(FACE_BYTES_MAX);
    writer.u8(1).u8(face.kind.number()).bytes(&face.id.to_bytes()).u32(face.date.yyyymmdd());
    writer.fen(face.totals.amount).fen(face.totals.total);
    match check_code {
        Some(check_code) => writer.u8(10).bytes(&check_code.to_bytes()),
        None => writer.u8(0),
    };
    let seller = face.seller_id.as_str();
    #[expect(clippy::cast_possible_truncation, reason = "a taxpayer id has at most 20 bytes")]
    writer.u8(seller.len() as u8).bytes(seller.as_bytes());
    writer.into_bytes()
}

/// The face in these bytes, all of them.
pub fn decode_face(bytes: &[u8]) -> Result<Face, DecodeError> {
    Reader::all(bytes, read_face)
}

/// Reads a face from where it begins; it ends by itself.
pub fn read_face(reader: &mut Reader<'_>) -> Result<Face, DecodeError> {
    reader.version()?;
    let kind = reader.value("kind", Reader::u8, Kind::from_number)?;
    let start = reader.offset();
    let id = reader.value("invoice id", Reader::array, InvoiceId::from_bytes)?;
    if !kind.profile().code_lengths.contains(&id.code.digits()) {
        return reader.fault(start, DecodeReason::OutOfRange("code length"));
    }
    let date = reader.value("date", Reader::u32, Day::from_yyyymmdd)?;
    let totals = Totals { amount: reader.fen("amount")?, total: reader.fen("total")? };
    let has_check_code = reader.value("n", Reader::u8, |n| match n {
        0 => Some(false),
        10 => Some(true),
        _ => None,
    })?;
    if has_check_code != kind.profile().has_check_code {
        return reader.fault(reader.offset() - 1, DecodeReason::OutOfRange("n"));
    }
    let check_code = if has_check_code { Some(reader.value("check code", Reader::array, CheckCode::from_bytes)?) } else { None };
    let seller_id = reader.value(
        "seller id",
        |reader| {
            let length = reader.u8()?;
            reader.take(usize::from(length))
        },
        |bytes| std::str::from_utf8(bytes).ok().and_then(TaxpayerId::parse),
    )?;
    Ok(Face { kind, id, date, totals, check_code, seller_id })
}

/// Whether two submissions under one number say the same: SHA-256 of the content without what we generate and without the issuer slot.
/// `rest` is the rest without its slot. Private: it would let anybody who knows an invoice recognise it.
pub fn content_digest(event: Event, face: &Face, rest: &[u8]) -> [u8; 32] {
    hash::sha256(&[hash::CONTENT_LABEL, &[event.number()], &write_face(face, None), rest])
}
