//! Signed bytes: whatever is accepted is written back byte for byte, so that nothing has two encodings.

use fapiao::channel::json::{draft_of, parse_draft};
use fapiao::channel::qr;
use fapiao::codec::canonical;
use fapiao::codec::event::{Event, EventData};
use fapiao::codec::leaf::Leaf;
use fapiao::codec::proof::Answer;
use fapiao::codec::reader::{DecodeError, DecodeReason};
use fapiao::codec::rows::{Row, Rows};
use fapiao::domain::invoice::{Face, Totals};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::rules::{Mode, Terms, accept};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::Day;
use fapiao::ledger::value::{self, AllotRecord, AuditRecord, CallerRecord, CountRecord, HeadRecord, InvRecord, Record, Seal, ValueError};

use super::Subject;

/// What was decoded, or that it was refused at a place within the input.
fn judged<T>(decoded: Result<T, DecodeError>, input: &[u8]) -> Option<T> {
    match decoded {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.offset <= input.len(), "{error} in {} bytes", input.len());
            None
        }
    }
}

/// The face alone. Planted: the seller's id is taken in lower case too.
pub fn face(input: &[u8], subject: Subject) -> bool {
    let mut bytes = input.to_vec();
    if subject.is_planted() {
        let id = bytes.len().saturating_sub(15);
        bytes[id..].make_ascii_uppercase();
    }
    let Some(face) = judged(canonical::decode_face(&bytes), input) else { return false };
    assert_eq!(canonical::encode_face(&face), input);
    assert!((canonical::FACE_BYTES_MIN..=canonical::FACE_BYTES_MAX).contains(&input.len()));
    if let Some(text) = qr::print_classic(&face) {
        let read = qr::parse_classic(&text).expect("what we print, we read");
        assert_eq!((read.kind, read.id, read.amount, read.date), (face.kind, face.id, face.totals.amount, face.date));
        assert_eq!((read.check, read.crc_ok), (face.check_code, Some(true)));
    }
    true
}

/// A face of each kind, for the rests to belong to.
pub fn face_of(kind: Kind) -> Face {
    let profile = kind.profile();
    let code = if profile.code_lengths.contains(&12) { "011001500111" } else { "1100153130" };
    Face {
        kind,
        id: InvoiceId { code: InvoiceCode::parse(code).expect("a code"), number: InvoiceNumber::parse("00012345").expect("a number") },
        date: Day::new(2019, 11, 23).expect("a day"),
        totals: Totals { amount: Fen(30_000), total: Fen(31_800) },
        check_code: CheckCode::parse("01731581649436515692").filter(|_| profile.has_check_code),
        seller_id: TaxpayerId::parse("91110108MA01GJK44X").expect("an id"),
    }
}

/// First byte: which kind's face, from the seventh on with red totals; then the rest. Planted: a slot that is neither absent nor present is taken for absent.
pub fn rest(input: &[u8], subject: Subject) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    let kinds = Kind::ALL.len();
    let mut face = face_of(Kind::ALL[usize::from(*choice) % kinds]);
    if usize::from(*choice) / kinds % 2 == 1 {
        face.totals = Totals { amount: -face.totals.amount, total: -face.totals.total };
    }
    let decoded = match canonical::decode_rest(&face, bytes) {
        Err(DecodeError { offset, reason: DecodeReason::OutOfRange("issuer slot") }) if subject.is_planted() => {
            canonical::decode_rest(&face, &[&bytes[..offset], &[0]].concat())
        }
        decoded => decoded,
    };
    let Some((invoice, slot)) = judged(decoded, bytes) else { return false };
    assert_eq!(canonical::encode_rest(&invoice, slot.as_ref()), bytes);
    assert_eq!(invoice.face(), face);
    let bare = canonical::rest_without_slot(&face, bytes).expect("it was just decoded");
    assert_eq!(canonical::encode_rest_without_slot(&invoice), bare);

    // Said as a draft it is well formed, and where the rules let it pass it is the same invoice.
    let draft = parse_draft(draft_of(&invoice).to_string().as_bytes()).expect("JSON");
    assert_eq!(draft.oddities(), []);
    let check_code = face.check_code.unwrap_or(CheckCode::from_random([1, 2]));
    if let Ok(accepted) = accept(&draft, &Terms { today: face.date, mode: Mode::Import, check_code, original_date: None }) {
        assert_eq!(accepted.invoice, invoice);
    }
    true
}

/// First byte: which event; then its data. Planted: the algorithm numbers that are reserved are taken for Ed25519.
pub fn event(input: &[u8], subject: Subject) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    let event = Event::ALL[usize::from(*choice) % Event::ALL.len()];
    let mut read = bytes.to_vec();
    if let Some(algorithm) = read.get_mut(1).filter(|byte| subject.is_planted() && event == Event::Key && (16..=18).contains(*byte)) {
        *algorithm = 1;
    }
    let Some(data) = judged(EventData::decode(event, &read), bytes) else { return false };
    assert_eq!(data.encode(), bytes);
    assert_eq!(data.event(), event);
    true
}

/// A leaf. Planted: only the low byte of the flags is looked at.
pub fn leaf(input: &[u8], subject: Subject) -> bool {
    let mut bytes = input.to_vec();
    if let Some(high) = bytes.get_mut(6).filter(|_| subject.is_planted()) {
        *high = 0;
    }
    let Some(leaf) = judged(Leaf::decode(&bytes), input) else { return false };
    assert_eq!(leaf.encode(), input);
    assert_eq!((leaf.kind.is_some(), input.len()), (leaf.event.is_of_invoice(), Leaf::LEN));
    true
}

/// A stored value of the table that the first byte picks. Planted: what is left over is not looked at.
pub fn value(input: &[u8], subject: Subject) -> bool {
    let Some((table, bytes)) = input.split_first() else { return false };
    match table % 7 {
        0 => stored::<Seal>(bytes, subject),
        1 => stored::<InvRecord>(bytes, subject),
        2 => stored::<AllotRecord>(bytes, subject),
        3 => stored::<HeadRecord>(bytes, subject),
        4 => stored::<CountRecord>(bytes, subject),
        5 => stored::<CallerRecord>(bytes, subject),
        _ => stored::<AuditRecord>(bytes, subject),
    }
}

/// A number may be spelled longer than it is written, so what is read is written and read again; but no value ends before its last byte.
fn stored<T: Record>(bytes: &[u8], subject: Subject) -> bool {
    let read = |bytes: &[u8]| match value::decode::<T>(bytes) {
        Err(ValueError::LeftOver(left)) if subject.is_planted() => value::decode::<T>(&bytes[..bytes.len() - left]),
        decoded => decoded,
    };
    let Ok(record) = read(bytes) else { return false };
    assert!(read(&bytes[..bytes.len() - 1]).is_err(), "a value ends before its last byte");
    assert_eq!(read(&value::encode(&record)).ok().as_ref(), Some(&record));
    true
}

/// The bytes of a signed answer. Planted: what is left over is not looked at.
pub fn answer(input: &[u8], subject: Subject) -> bool {
    let decoded = match Answer::decode(input) {
        Err(DecodeError { offset, reason: DecodeReason::LeftOver }) if subject.is_planted() => Answer::decode(&input[..offset]),
        decoded => decoded,
    };
    let Some(answer) = judged(decoded, input) else { return false };
    assert_eq!(answer.encode(), input);
    true
}

/// The bytes of a row, or of what is signed over all of them. Planted: what is left over is not looked at.
pub fn rows(input: &[u8], subject: Subject) -> bool {
    let row = match Row::decode(input) {
        Err(DecodeError { offset, reason: DecodeReason::LeftOver }) if subject.is_planted() => Row::decode(&input[..offset]),
        decoded => decoded,
    };
    let rows = judged(Rows::decode(input), input);
    let row = judged(row, input);
    assert!(row.is_none() || rows.is_none(), "one for the other");
    let written = row.map(|row| row.encode()).or(rows.map(|rows| rows.encode()));
    assert!(written.as_deref().is_none_or(|written| written == input));
    written.is_some()
}
