//! Texts: notes, proofs, QR codes, what is typed, and the numbers in it.

use fapiao::channel::qr::{self, ClassicQr, Scanned, SignedQr};
use fapiao::channel::question::of_qr;
use fapiao::codec::canonical;
use fapiao::codec::leaf::KeyId;
use fapiao::codec::proof::{ConsistencyProof, LogProof, LogProofError};
use fapiao::crypto::add_checkpoint::AddCheckpoint;
use fapiao::crypto::note::{Checkpoint, Host, Note, NoteError, Origin};
use fapiao::crypto::policy::Policy;
use fapiao::crypto::sign::{PublicKey, SigningKey};
use fapiao::domain::invoice::{Face, Totals};
use fapiao::domain::money::{AMOUNT_MAX, Decimal8, Fen, TaxRate, parse_upper_case, upper_case};
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::taxpayer::{TaxpayerId, Vin};
use fapiao::domain::time::Day;
use fapiao::limits::{QR_TEXT_MAX, QUERY_FIELD_MAX};
use fapiao::verify::query::{BuyerId, CheckDigits, Query, Typed, Unanswerable};

use super::Subject;

/// The log whose key signed the seeds of `note`.
pub const ORIGIN: &str = "fp.example.cn:8443/0123456789abcdef";

/// The key that signed the seeds of `note`.
pub fn log_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A signed note and the checkpoint in it. Planted: a size may have a plus sign.
pub fn note(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(note) = Note::parse(text) else { return false };
    assert_eq!(note.encode(), text);
    let parsed = match Checkpoint::parse(note.text()) {
        Err(NoteError::Checkpoint("size")) if subject.is_planted() => Checkpoint::parse(&note.text().replacen("\n+", "\n", 1)),
        parsed => parsed,
    };
    let Ok(checkpoint) = parsed else { return false };
    assert_eq!(checkpoint.text(), note.text());

    let (key, origin) = (log_key(), Origin::parse(ORIGIN).expect("an origin"));
    let public = PublicKey::parse(&key.public()).expect("a sound key");
    let Ok((opened, kept)) = Checkpoint::open(text, &origin, &public) else { return false };
    // Ed25519 is deterministic: without the key, nobody makes another line than the key would.
    assert_eq!((&opened, kept.encode().as_str()), (&checkpoint, text));
    let ours = opened.sign(&key);
    assert!(kept.signatures().contains(&ours.signatures()[0]), "forged");
    true
}

/// Inclusion in the log, `c2sp.org/tlog-proof`. Planted: an index may have leading zeros.
pub fn proof(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let parsed = match LogProof::parse(text) {
        Err(LogProofError::Line(2)) if subject.is_planted() => LogProof::parse(&text.replacen("\nindex 0", "\nindex ", 1)),
        parsed => parsed,
    };
    let Ok(proof) = parsed else { return false };
    assert_eq!(proof.encode(), text);
    true
}

/// A log that continues another. Planted: a size may have leading zeros.
pub fn consistency(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let parsed = match ConsistencyProof::parse(text) {
        Err(LogProofError::Line(2)) if subject.is_planted() => ConsistencyProof::parse(&text.replacen("\nfrom 0", "\nfrom ", 1)),
        parsed => parsed,
    };
    let Ok(proof) = parsed else { return false };
    assert_eq!(proof.encode(), text);
    true
}

/// What a log sends to a witness. Planted: a size may have leading zeros.
pub fn submission(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let parsed = match AddCheckpoint::parse(input) {
        Err(_) if subject.is_planted() => AddCheckpoint::parse(text.replacen("old 0", "old ", 1).as_bytes()),
        parsed => parsed,
    };
    let Ok(submitted) = parsed else { return false };
    let AddCheckpoint { old_size, proof, note, checkpoint } = submitted;
    assert_eq!(AddCheckpoint::encode(old_size, &proof, &note.encode()), text);
    assert_eq!(checkpoint.text(), note.text());
    true
}

/// A trust policy. Planted: the last witness is forgotten.
pub fn policy(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(policy) = Policy::parse(text) else { return false };
    let many = policy.witnesses().len();
    // All that there are is always enough, and nobody only where nobody is asked for; one more never makes it less.
    assert!(policy.is_quorum(0..many.saturating_sub(usize::from(subject.is_planted()))));
    assert_eq!(policy.is_quorum([]), policy.asks_for_none());
    let met: Vec<bool> = (0..=many).map(|first| policy.is_quorum(0..first)).collect();
    assert!(met.is_sorted());
    assert_eq!(Policy::parse(&format!("# a remark\n\t\n{text}")), Ok(policy));
    true
}

/// Our QR code. Planted: base32 may be in lower case.
pub fn qr_signed(input: &[u8], subject: Subject) -> bool {
    let text = String::from_utf8_lossy(input);
    let parsed = match text.split_once("/Q/").filter(|_| subject.is_planted()) {
        Some((address, payload)) => qr::parse_signed(&format!("{address}/Q/{}", payload.to_ascii_uppercase())),
        None => qr::parse_signed(&text),
    };
    let Ok(signed) = parsed else { return false };
    let SignedQr { key_id, face, face_bytes, rest_digest, signature } = &signed;
    assert_eq!(canonical::encode_face(face), *face_bytes);
    let (address, payload) = text.split_once("/Q/").expect("a path");
    assert_eq!(qr::print_payload(*key_id, face_bytes, rest_digest, signature), payload);
    if let Some(host) = address.strip_prefix("HTTPS://") {
        let host = Host::parse(&host.to_ascii_lowercase()).expect("a host");
        assert_eq!(qr::print_signed(&host, *key_id, face_bytes, rest_digest, signature), text);
    }
    assert_eq!(qr::classify(&text), Ok(Scanned::Signed(Box::new(signed))));
    true
}

/// The printed QR code. Planted: the sign of an amount is lost.
pub fn qr_classic(input: &[u8], subject: Subject) -> bool {
    let text = String::from_utf8_lossy(input);
    let Ok(mut read) = qr::parse_classic(&text) else { return false };
    if subject.is_planted() {
        read.amount = read.amount.abs();
    }
    let ClassicQr { kind, id, amount, date, check, crc_ok } = read;
    // Field by field it says what is written.
    let fields: Vec<&str> = text.trim_end_matches(['\0', '\r', '\n', ' ']).split(',').collect();
    let date_text = format!("{:08}", date.yyyymmdd());
    assert_eq!(fields[..4], ["01", kind.profile().code, &id.code.to_string(), &id.number.to_string()]);
    assert_eq!((Fen::parse(fields[4]), fields[5]), (Some(amount), date_text.as_str()));
    assert_eq!(check.map(|check| check.to_string()).as_deref(), fields.get(6).copied().filter(|check| check.len() == 20));
    // Line ends change nothing, and what we print of the same is read as the same.
    if text.len() + 2 <= QR_TEXT_MAX {
        assert_eq!(qr::parse_classic(&format!("{text}\r\n")).map(|again| (again.id, again.crc_ok)), Ok((id, crc_ok)));
    }
    let seller_id = TaxpayerId::parse("91110108MA01GJK44X").expect("an id");
    let face = Face { kind, id, date, totals: Totals { amount, total: amount }, check_code: check, seller_id };
    if let Some(printed) = qr::print_classic(&face) {
        assert_eq!(qr::parse_classic(&printed), Ok(ClassicQr { crc_ok: Some(true), ..read }));
    }
    true
}

/// Whatever a camera reads. Planted: the scheme is cut off at a byte, not at a character.
pub fn question(input: &[u8], subject: Subject) -> bool {
    let text = String::from_utf8_lossy(input);
    if subject.is_planted() && text.len() > 8 {
        let (_scheme, _address) = text.split_at(8);
    }
    let question = of_qr(&text);
    assert_eq!(question, of_qr(text.trim()));
    assert_eq!(question.digest.is_some(), text.trim().len() <= QR_TEXT_MAX);
    match question.query {
        Ok(Query::Signed(claim)) => {
            assert_eq!((claim.face_bytes(), question.crc_ok), (canonical::encode_face(&claim.face), None));
            true
        }
        Ok(Query::Factors(factors)) => {
            assert_eq!(factors.complete(), Ok(()));
            assert!(factors.stated_kind.is_some() && factors.amount.is_some());
            true
        }
        Err(why) => {
            explains(&why);
            false
        }
    }
}

fn explains(why: &Unanswerable) {
    let (place, zh, en) = match why {
        Unanswerable::Malformed { place, zh, en } => (*place, *zh, *en),
        Unanswerable::Unsupported { zh, en } => ("kind", *zh, *en),
    };
    assert!(!place.is_empty() && !zh.is_empty() && !en.is_empty());
}

/// Code, number, date, amount, check digits, total and the two tax ids, a line each. Planted: thousands may be separated by commas.
pub fn typed(input: &[u8], subject: Subject) -> bool {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n').map(str::to_owned);
    let mut next = || lines.next();
    let mut typed = Typed {
        code: next().unwrap_or_default(),
        number: next().unwrap_or_default(),
        date: next(),
        amount: next(),
        check: next(),
        total: next(),
        seller_id: next(),
        buyer_id: next(),
    };
    let stated = typed.amount.clone();
    if subject.is_planted() {
        typed.amount = typed.amount.map(|amount| amount.replace(',', ""));
    }
    let question = typed.question();
    assert_eq!(question.query, typed.parse());
    let optional = [&typed.date, &typed.amount, &typed.check, &typed.total, &typed.seller_id, &typed.buyer_id];
    let fields = [Some(&typed.code), Some(&typed.number)].into_iter().chain(optional.map(Option::as_ref));
    assert_eq!(question.digest.is_some(), fields.flatten().all(|field| field.len() <= QUERY_FIELD_MAX));
    match question.query {
        Ok(Query::Factors(factors)) => {
            assert_eq!(factors.complete(), Ok(()));
            assert_eq!(factors.id.code.to_string(), typed.code.trim());
            assert_eq!(factors.id.number.to_string(), typed.number.trim());
            let date = typed.date.as_deref().unwrap_or_default().trim();
            assert_eq!(factors.date.to_string().replace('-', ""), date.replace('-', ""));
            assert_eq!(factors.amount, stated.and_then(|amount| Fen::parse(amount.trim())));
            let again = Typed {
                code: factors.id.code.to_string(),
                number: factors.id.number.to_string(),
                date: Some(factors.date.to_string()),
                amount: factors.amount.map(|amount| amount.to_string()),
                check: factors.check.as_ref().map(|check| match check {
                    CheckDigits::All(all) => all.to_string(),
                    CheckDigits::LastSix(six) => six.clone(),
                }),
                total: factors.total.map(|total| total.to_string()),
                seller_id: factors.seller_id.as_ref().map(|id| id.to_string()),
                buyer_id: factors.buyer_id.as_ref().map(|buyer| match buyer {
                    BuyerId::Stated(id) => id.to_string(),
                    BuyerId::Absent => BuyerId::NONE_WORDS[0].to_owned(),
                }),
            };
            assert_eq!(again.parse(), Ok(Query::Factors(factors)));
            true
        }
        Ok(Query::Signed(_)) => panic!("nobody types a signature"),
        Err(why) => {
            explains(&why);
            false
        }
    }
}

/// The characters that capital amounts are written in, and two that they are not.
const NUMERALS: [char; 32] = [
    '零', '壹', '贰', '叁', '肆', '伍', '陆', '柒', '捌', '玖', '拾', '佰', '仟', '万', '亿', '圆', '元', '角', '分', '整', '正', '负', '数', '（',
    '）', '(', ')', ' ', '两', '0', '壹', '圆',
];

/// First byte: 0, then an amount of eight bytes; 1, then a numeral per byte; else text. Planted: no zero is written after ten thousands.
pub fn upper(input: &[u8], subject: Subject) -> bool {
    let write = |amount: Fen| {
        let text = upper_case(amount);
        if subject.is_planted() { text.replace("万零", "万") } else { text }
    };
    let text = match input.split_first() {
        None => return false,
        Some((0, bytes)) => {
            let Some(bytes) = bytes.first_chunk() else { return false };
            let amount = Fen(i64::from_be_bytes(*bytes) % (AMOUNT_MAX.0 + 1));
            assert_eq!(parse_upper_case(&write(amount)), Some(amount));
            return true;
        }
        Some((1, numerals)) => numerals.iter().map(|byte| NUMERALS[usize::from(byte % 32)]).collect(),
        Some((_, text)) => String::from_utf8_lossy(text).into_owned(),
    };
    let Some(amount) = parse_upper_case(&text) else { return false };
    assert_eq!(parse_upper_case(&write(amount)), Some(amount));
    true
}

/// Every number, code, date and name in text, each parser on the same text. Planted: every year has a 29 February.
pub fn scalar(input: &[u8], subject: Subject) -> bool {
    let text = &*String::from_utf8_lossy(input);
    let digits = |max: usize| move |part: &str| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let decimal = |text: &str, whole: usize, fraction: usize| match text.split_once('.') {
        Some((before, behind)) => digits(whole)(before) && digits(fraction)(behind),
        None => digits(whole)(text),
    };
    let unsigned = text.strip_prefix('-').unwrap_or(text);

    let fen = Fen::parse(text);
    assert_eq!(fen.is_some(), decimal(unsigned, 11, 2));
    if let Some(fen) = fen {
        assert_eq!(Fen::parse(&fen.to_string()), Some(fen));
        assert_eq!(scaled(unsigned, 2), fen.0.unsigned_abs());
        assert!(fen.abs() <= AMOUNT_MAX && (fen.0 >= 0 || text.starts_with('-')));
    }
    let dec8 = Decimal8::parse(text);
    assert_eq!(dec8.is_some(), decimal(unsigned, 10, 8));
    if let Some(dec8) = dec8 {
        assert_eq!(Decimal8::parse(&dec8.to_string()), Some(dec8));
        assert_eq!(scaled(unsigned, 8), dec8.0.unsigned_abs());
        let _ = dec8.times(dec8);
    }
    let rate = TaxRate::parse(text);
    if let Some(rate) = rate {
        assert_eq!(TaxRate::parse(&rate.to_string()), Some(rate));
        assert_eq!(text.strip_suffix('%').map_or_else(|| scaled(text, 5), |percent| scaled(percent, 3)), u64::from(rate.0));
    }

    let day = match Day::parse(text) {
        None if subject.is_planted() => text.strip_suffix("0229").and_then(|year| Day::parse(&format!("{year}0301"))),
        day => day,
    };
    if let Some(day) = day {
        assert_eq!(day.to_string().replace('-', ""), text.replace('-', ""));
        assert_eq!((Day::from_yyyymmdd(day.yyyymmdd()), day.plus_days(0), day.start().day()), (Some(day), Some(day), Some(day)));
    }

    let code = InvoiceCode::parse(text);
    if let Some(code) = code {
        assert_eq!((code.to_string().as_str(), InvoiceCode::from_bytes(code.to_bytes())), (text, Some(code)));
    }
    let number = InvoiceNumber::parse(text);
    if let Some(number) = number {
        assert_eq!((number.to_string().as_str(), InvoiceNumber::from_ordinal(number.ordinal())), (text, Some(number)));
        let id = InvoiceId { code: InvoiceCode::parse("011001500111").expect("a code"), number };
        assert_eq!(InvoiceId::from_bytes(id.to_bytes()), Some(id));
    }
    let check = CheckCode::parse(text);
    if let Some(check) = check {
        assert_eq!((check.to_string(), CheckCode::from_bytes(check.to_bytes())), (text.replace(' ', ""), Some(check)));
        assert!(text.trim().ends_with(&check.last_six()[5..]));
    }
    let taxpayer = TaxpayerId::parse(text);
    if let Some(taxpayer) = &taxpayer {
        assert_eq!((taxpayer.as_str(), taxpayer.check_digit().is_some()), (text, text.len() == 18));
    }
    let vin = Vin::parse(text);
    if let Some(vin) = &vin {
        let _ = vin.check_digit();
        assert_eq!(vin.as_str(), text);
    }
    let key_id = KeyId::parse(text);
    if let Some(key_id) = key_id {
        assert_eq!(key_id.to_string(), text);
    }
    let origin = Origin::parse(text);
    if let Some(origin) = &origin {
        assert_eq!((origin.as_str(), Host::parse(origin.host()).is_some()), (text, true));
    }
    fen.is_some()
        || dec8.is_some()
        || rate.is_some()
        || day.is_some()
        || code.is_some()
        || check.is_some()
        || taxpayer.is_some()
        || vin.is_some()
        || number.is_some()
        || key_id.is_some()
        || origin.is_some()
}

/// Decimal text without its point, in units of its last place.
fn scaled(text: &str, places: usize) -> u64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<places$}").parse().expect("digits")
}
