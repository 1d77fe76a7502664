//! QR texts: our signed one, the classic one that is printed on every invoice, and the others that people scan by mistake.
//!
//! Signed: `HTTPS://<HOST>/Q/<base32(payload)>`, which an ordinary phone camera opens as a page.
//!
//! ```text
//!  payload:
//!  0     1         9
//!  +-----+---------+---------------+--------------+------------+
//!  | ver | key id  | face          | rest_digest  | signature  |
//!  | =1  | 8 bytes | 49-64 bytes   | 32 bytes     | 64 bytes   |
//!  +-----+---------+---------------+--------------+------------+
//! ```
//!
//! Classic: `01,<type>,<code>,<number>,<amount>,<yyyymmdd>,<check code>,<CRC>,`, read in every way it is found in the wild.

use data_encoding::BASE32_NOPAD;

use crate::codec::canonical;
use crate::codec::leaf::KeyId;
use crate::codec::reader::Reader;
use crate::crypto::hash;
use crate::crypto::note::Host;
use crate::domain::invoice::Face;
use crate::domain::kind::{Kind, Unsupported};
use crate::domain::money::Fen;
use crate::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;
use crate::limits::{QR_PAYLOAD_BYTES_MAX, QR_TEXT_MAX};

/// Why a text is not a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrFault {
    /// It is meant to be one of ours or a classic one, and is not.
    #[error("{place}: {reason}")]
    Malformed {
        /// Which part.
        place: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is something else, and we know what.
    #[error("unsupported: {}", .0.english())]
    Unsupported(Unsupported),
}

const fn malformed(place: &'static str, reason: &'static str) -> QrFault {
    QrFault::Malformed { place, reason }
}

/// What a scanned text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// One of ours.
    Signed(Box<SignedQr>),
    /// The printed one.
    Classic(ClassicQr),
}

/// Tells what a scanned text is, and reads it.
pub fn classify(text: &str) -> Result<Scanned, QrFault> {
    if text.len() > QR_TEXT_MAX {
        return Err(malformed("text", "longer than any invoice's"));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(address) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) {
        // Whether it has our spelling is for `parse_signed` to say. An address found in a code is never fetched.
        return match address.split_once('/') {
            Some(("bcfp.shenzhen.chinatax.gov.cn", _)) => Err(QrFault::Unsupported(Unsupported::Blockchain)),
            Some((_, path)) if path.starts_with("q/") => parse_signed(text).map(|signed| Scanned::Signed(Box::new(signed))),
            _ => Err(malformed("text", "a web address, not an invoice's")),
        };
    }
    if text.starts_with("$01") {
        return Err(QrFault::Unsupported(Unsupported::TitleCard));
    }
    parse_classic(text).map(Scanned::Classic)
}

/// A signed QR code, read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedQr {
    /// Authority key it names.
    pub key_id: KeyId,
    /// What any holder of the paper knows.
    pub face: Face,
    /// The same as it is signed.
    pub face_bytes: Vec<u8>,
    /// Digest that hides the rest.
    pub rest_digest: [u8; 32],
    /// Ed25519 over [`SignedQr::message`].
    pub signature: [u8; 64],
}

impl SignedQr {
    /// What the authority signed.
    pub fn message(&self) -> Vec<u8> {
        hash::invoice_message(&self.face_bytes, &self.rest_digest)
    }

    /// The public commit: the code alone proves inclusion in the log.
    pub fn commit(&self) -> [u8; 32] {
        hash::commit(&self.face_bytes, &self.rest_digest)
    }
}

/// The base32 payload: what stands behind `/Q/`.
pub fn print_payload(key_id: KeyId, face: &[u8], rest_digest: &[u8; 32], signature: &[u8; 64]) -> String {
    BASE32_NOPAD.encode(&[&[1][..], &key_id.0, face, rest_digest, signature].concat())
}

/// The text of a signed QR code; `face` is canonical. Upper case throughout, so that it fits QR version 10-M in alphanumeric mode.
pub fn print_signed(host: &Host, key_id: KeyId, face: &[u8], rest_digest: &[u8; 32], signature: &[u8; 64]) -> String {
    print_address(host, &print_payload(key_id, face, rest_digest, signature))
}

/// The address of the page behind a payload.
pub fn print_address(host: &Host, payload: &str) -> String {
    format!("HTTPS://{}/Q/{payload}", host.as_str().to_ascii_uppercase())
}

/// Reads the text of a signed QR code: exactly as we print it, or with `HTTP://`. The host is not signed and not looked at.
pub fn parse_signed(text: &str) -> Result<SignedQr, QrFault> {
    let address = text.strip_prefix("HTTPS://").or_else(|| text.strip_prefix("HTTP://")).ok_or(malformed("scheme", "not HTTPS:// in upper case"))?;
    let (host, payload) = address.split_once("/Q/").ok_or(malformed("path", "not /Q/ in upper case"))?;
    if host.bytes().any(|b| b.is_ascii_lowercase()) || Host::parse(&host.to_ascii_lowercase()).is_none() {
        return Err(malformed("host", "not 1 to 28 upper-case letters, digits, '.', '-', ':'"));
    }
    parse_payload(payload)
}

/// Reads what stands behind `/Q/`.
pub fn parse_payload(payload: &str) -> Result<SignedQr, QrFault> {
    if payload.len() > BASE32_NOPAD.encode_len(QR_PAYLOAD_BYTES_MAX) {
        return Err(malformed("payload", "too long"));
    }
    let bytes = BASE32_NOPAD
        .decode(payload.as_bytes())
        .map_err(|_| malformed("payload", "not upper-case base32 without padding and with zero trailing bits"))?;
    Reader::all(&bytes, |reader| {
        reader.version()?;
        let key_id = KeyId(reader.array()?);
        let start = reader.offset();
        let face = canonical::read_face(reader)?;
        let face_bytes = reader.since(start).to_vec();
        Ok(SignedQr { key_id, face, face_bytes, rest_digest: reader.array()?, signature: reader.array()? })
    })
    .map_err(|_| malformed("payload", "not version, key id, face, digest and signature"))
}

/// A classic QR code as printed. Only what it says; nothing in it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicQr {
    /// Field 2; never a factor.
    pub kind: Kind,
    /// Fields 3 and 4.
    pub id: InvoiceId,
    /// Field 5: excluding tax on 01, 04 and 10.
    pub amount: Fen,
    /// Field 6.
    pub date: Day,
    /// Field 7; none on 01.
    pub check: Option<CheckCode>,
    /// Whether field 8 fits; none if it is absent. Never changes a verdict.
    pub crc_ok: Option<bool>,
}

/// The classic text of an invoice, for the types that print one (01, 04, 10).
pub fn print_classic(face: &Face) -> Option<String> {
    if !face.kind.profile().prints_classic_qr {
        return None;
    }
    let check = face.check_code.map(|check| check.to_string()).unwrap_or_default();
    let InvoiceId { code, number } = face.id;
    let text = format!("01,{},{code},{number},{},{:08},{check},", face.kind.profile().code, face.totals.amount, face.date.yyyymmdd());
    let crc = crc16_umts(text.as_bytes());
    Some(format!("{text}{crc:04X},"))
}

/// Reads a classic text in every way it is found printed: amounts unpadded, CRC with or without the comma before it, short, or absent, with or without
/// the last comma, and the empty check code swallowed.
pub fn parse_classic(text: &str) -> Result<ClassicQr, QrFault> {
    if text.len() > QR_TEXT_MAX || !text.is_ascii() {
        return Err(malformed("text", "not the text of an invoice's QR code"));
    }
    // Some decoders leave the terminator or a line end behind.
    let text = text.trim_end_matches(['\0', '\r', '\n', ' ']);
    let fields: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').collect();
    let (&["01", kind, code, number, amount, date, ref tail @ ..], true) = (&fields[..], fields.len() <= 8) else {
        return Err(malformed("text", "neither 01, type, code, number, amount, date, check code, CRC nor a signed address"));
    };
    if let Some(what) = unsupported(kind, number, amount, tail) {
        return Err(QrFault::Unsupported(what));
    }
    let (check, crc) = match *tail {
        [] => ("", ""),
        // The empty check code of a special invoice, lost on the way.
        [crc] if is_crc(crc) => ("", crc),
        [check] => (check, ""),
        [check, crc, ..] => (check, crc),
    };
    let check = match check {
        "" => None,
        check if check.len() == 20 => Some(CheckCode::parse(check).ok_or(malformed("check", "not 20 digits"))?),
        _ => return Err(malformed("check", "not 20 digits")),
    };
    Ok(ClassicQr {
        kind: Kind::from_code(kind).ok_or(malformed("type", "not 01, 02, 03, 04, 10 or 11"))?,
        id: InvoiceId {
            code: InvoiceCode::parse(code).ok_or(malformed("code", "not 10 or 12 digits"))?,
            number: InvoiceNumber::parse(number).ok_or(malformed("number", "not 8 digits"))?,
        },
        amount: Fen::parse(amount).ok_or(malformed("amount", "not an amount"))?,
        date: Some(date).filter(|date| date.len() == 8).and_then(Day::parse).ok_or(malformed("date", "not a day written yyyymmdd"))?,
        check,
        crc_ok: check_crc(text, crc, tail.len() == 1)?,
    })
}

fn unsupported(kind: &str, number: &str, amount: &str, tail: &[&str]) -> Option<Unsupported> {
    // 01,10,code,number,seller's tax id,amount,date,SHA-256 in hex
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if tail.last().is_some_and(|last| is_hash(last)) && TaxpayerId::parse(amount).is_some() {
        return Some(Unsupported::Blockchain);
    }
    match kind {
        "08" | "20" => Some(Unsupported::ElectronicSpecial),
        "14" => Some(Unsupported::Toll),
        "15" => Some(Unsupported::UsedCar),
        "31" | "32" => Some(Unsupported::FullyDigital),
        _ if number.len() == 20 && number.bytes().all(|b| b.is_ascii_digit()) => Some(Unsupported::FullyDigital),
        _ => None,
    }
}

fn is_crc(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `crc`, which ends the text, is over what stands before it, with or without the comma; `swallowed` if the empty field before it is missing.
fn check_crc(text: &str, crc: &str, swallowed: bool) -> Result<Option<bool>, QrFault> {
    if crc.is_empty() {
        return Ok(None);
    }
    if !is_crc(crc) {
        return Err(malformed("crc", "not 1 to 4 hex digits"));
    }
    let stated = u16::from_str_radix(crc, 16).map_err(|_| malformed("crc", "not 1 to 4 hex digits"))?;
    let whole = text.strip_suffix(',').unwrap_or(text);
    let before = whole.strip_suffix(crc).unwrap_or(whole);
    let without_comma = before.strip_suffix(',').unwrap_or(before);
    let restored = format!("{before},");
    let fits = |covered: &str| crc16_umts(covered.as_bytes()) == stated;
    Ok(Some(fits(before) || fits(without_comma) || (swallowed && fits(&restored))))
}

/// CRC-16/UMTS: polynomial 0x8005, initial value 0, not reflected, no final xor.
pub fn crc16_umts(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mixed = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(mixed, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x8005 })
    })
}
