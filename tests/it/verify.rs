//! Verification through the engine: every verdict, each way to ask, what is compared, what is told, and what is never told.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use data_encoding::BASE32_NOPAD;
use fapiao::channel::{answer as rendered, qr, question};
use fapiao::codec::canonical;
use fapiao::codec::leaf::KeyId;
use fapiao::crypto::hash;
use fapiao::crypto::keyring::Signer;
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::invoice::{Face, Totals};
use fapiao::domain::kind::{Factor, Kind};
use fapiao::domain::money::Fen;
use fapiao::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::engine::Engine;
use fapiao::limits::COUNTS_KEPT_MAX;
use fapiao::verify::answer::Answer;
use fapiao::verify::query::{Typed, Unanswerable};
use fapiao::verify::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::*;

/// A ledger in which [`seller`] may use the numbers 1 to 99,999 of every type.
fn ready() -> (Site, Engine) {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    (site, engine)
}

/// Number 7 of this type, issued.
fn issued(engine: &Engine, kind: Kind) -> Face {
    logged(submit(engine, &generated(kind, 41, 7)));
    face(engine, id(kind, 7))
}

fn ask(engine: &Engine, typed: &Typed) -> Answer {
    engine.verify(&typed.question()).expect("an answer")
}

fn ask_qr(engine: &Engine, text: &str) -> Answer {
    engine.verify(&question::of_qr(text)).expect("an answer")
}

/// A classic text with the right CRC, whether or not anybody prints such a one.
fn classic(kind: &str, id: InvoiceId, amount: Fen, date: Day, check: &str) -> String {
    let text = format!("01,{kind},{},{},{amount},{:08},{check},", id.code, id.number, date.yyyymmdd());
    format!("{text}{:04X},", qr::crc16_umts(text.as_bytes()))
}

fn check_of(face: &Face) -> String {
    face.check_code.map(|check| check.to_string()).unwrap_or_default()
}

fn classic_of(face: &Face, amount: Fen) -> String {
    classic(face.kind.profile().code, face.id, amount, face.date, &check_of(face))
}

fn changed_digit(digits: &str, at: usize) -> String {
    let change = |(place, digit): (usize, char)| if place == at { char::from(b'0' + (digit as u8 - b'0' + 1) % 10) } else { digit };
    digits.chars().enumerate().map(change).collect()
}

#[test]
fn numbers_and_names_of_verdicts_are_frozen() {
    let table: Vec<(u8, &str, bool)> = Verdict::ALL.iter().map(|verdict| (verdict.number(), verdict.name(), verdict.matched())).collect();
    let frozen = [
        (1, "genuine", true),
        (2, "voided", true),
        (3, "red_flushed", true),
        (4, "partly_red_flushed", true),
        (5, "suspended", true),
        (6, "blank_marked", false),
        (7, "red_letter", true),
        (10, "mismatch", false),
        (11, "not_found", false),
        (12, "not_yet", false),
        (13, "forged", false),
        (20, "malformed", false),
        (21, "unsupported", false),
        (30, "throttled", false),
        (40, "unavailable", false),
    ];
    assert_eq!(table, frozen);
    assert!(frozen.iter().all(|(number, _, _)| Verdict::from_number(*number).is_some_and(|verdict| verdict.number() == *number)));
}

#[test]
fn each_type_is_genuine_by_fields_and_by_both_codes() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        assert_eq!(holder_is_told(&engine, face.id), Verdict::Genuine, "{kind:?}");
        assert_eq!(classic_qr(&engine, face.id).is_some(), matches!(kind, Kind::Special | Kind::Ordinary | Kind::Electronic), "{kind:?}");

        let typed = typed(&face);
        let spaced = |text: &str| format!(" {text} ");
        let grouped = |text: &str| text.as_bytes().chunks(5).map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(" ");
        let mut ways = vec![
            Typed { date: typed.date.as_deref().map(|date| date.replace('-', "")), ..typed.clone() },
            Typed { code: spaced(&typed.code), number: spaced(&typed.number), ..typed.clone() },
            // More than is needed is compared too.
            Typed { amount: Some(face.totals.amount.to_string()), ..typed.clone() },
        ];
        match kind.profile().factor {
            Factor::Amount => ways.push(Typed { amount: Some(spaced(&face.totals.amount.to_string())), ..typed }),
            Factor::CheckCode => {
                ways.push(Typed { check: Some(check_of(&face)), ..typed.clone() });
                ways.push(Typed { check: Some(grouped(&check_of(&face))), ..typed });
            }
        }
        for way in ways {
            assert_eq!(ask(&engine, &way).verdict, Verdict::Genuine, "{way:?}");
        }
        // A classic code of a type that seldom has one may state either amount; all others state the amount excluding tax.
        assert_ne!(face.totals.amount, face.totals.total, "{kind:?}");
        let either = matches!(kind, Kind::Freight | Kind::MotorVehicle | Kind::Roll);
        let by_total = if either { Verdict::Genuine } else { Verdict::Mismatch };
        assert_eq!(scan(&engine, &classic_of(&face, face.totals.amount)), Verdict::Genuine, "{kind:?}");
        assert_eq!(scan(&engine, &classic_of(&face, face.totals.total)), by_total, "{kind:?}");
    }
}

/// What is told does not tell which factor was wrong: the answers are the same, byte for byte.
#[test]
fn each_wrong_factor_is_a_mismatch_and_none_is_named() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        let right = typed(&face);
        let next_day = face.date.plus_days(1).expect("a day");
        let cent_more = Fen(face.totals.amount.0 + 1);
        let mut wrong = vec![
            Typed { date: Some(next_day.to_string()), ..right.clone() },
            Typed { amount: Some(cent_more.to_string()), ..right.clone() },
            Typed { amount: Some(face.totals.total.to_string()), ..right.clone() },
            Typed { amount: Some((-face.totals.amount).to_string()), ..right.clone() },
            Typed { amount: Some(cent_more.to_string()), date: Some(next_day.to_string()), ..right.clone() },
        ];
        if face.check_code.is_some() {
            let (all, six) = (check_of(&face), check_of(&face).split_off(14));
            wrong.extend((0..6).map(|at| Typed { check: Some(changed_digit(&six, at)), ..right.clone() }));
            wrong.extend((0..20).map(|at| Typed { check: Some(changed_digit(&all, at)), ..right.clone() }));
            wrong.push(Typed { check: Some(all[..6].to_owned()), ..right.clone() });
        } else {
            // A type without a check code has none that could agree.
            wrong.push(Typed { check: Some("123456".into()), ..right.clone() });
            wrong.push(Typed { check: Some("0".repeat(20)), ..right.clone() });
        }
        let mut told = Vec::new();
        for typed in &wrong {
            let answer = ask(&engine, typed);
            assert_eq!(answer.verdict, Verdict::Mismatch, "{typed:?}");
            assert!(answer.registered.is_none() && answer.count == 0 && answer.first_verified.is_none(), "{typed:?}");
            told.push(rendered::to_json(&answer));
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{kind:?}: {told:?}");
        let text = told[0].to_string();
        for secret in [right.date.as_deref(), Some(face.totals.amount.to_string().as_str()), Some(face.seller_id.as_str())].into_iter().flatten() {
            assert!(!text.contains(&format!("\"{secret}\"")), "{kind:?} tells {secret}: {text}");
        }

        let code = kind.profile().code;
        let mut codes = vec![
            classic(code, face.id, cent_more, face.date, &check_of(&face)),
            classic(code, face.id, face.totals.amount, next_day, &check_of(&face)),
        ];
        codes
            .extend((0..check_of(&face).len()).map(|at| classic(code, face.id, face.totals.amount, face.date, &changed_digit(&check_of(&face), at))));
        let told: Vec<Value> = codes
            .iter()
            .map(|text| {
                let answer = ask_qr(&engine, text);
                assert_eq!((answer.verdict, answer.crc_ok, answer.registered.is_none()), (Verdict::Mismatch, Some(true), true), "{text}");
                rendered::to_json(&answer)
            })
            .collect();
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{kind:?}: {told:?}");
        assert_eq!(ask(&engine, &right).count, 1, "{kind:?}: a mismatch is not counted");
    }
}

/// Total, seller and buyer are compared if they are given, each of them; what the paper does not show is said by a word.
#[test]
fn whatever_else_the_paper_shows_is_compared() {
    let (site, engine) = ready();
    let (mut with_buyer, mut without) = (0, 0);
    for (kind, number) in Kind::ALL.into_iter().flat_map(|kind| (1..=6).map(move |number| (kind, number))) {
        logged(submit(&engine, &generated(kind, u64::from(number), number)));
        let face = face(&engine, id(kind, number));
        let buyer = engine.invoice(face.id).expect("readable").expect("there").buyer_id().map(ToString::to_string);
        let plain = typed(&face);
        let (right, wrong_buyers) = match &buyer {
            Some(buyer) => {
                with_buyer += 1;
                assert_ne!(*buyer, other_seller().to_string());
                (buyer.clone(), ["无".to_owned(), other_seller().to_string()])
            }
            None => {
                without += 1;
                ("无".to_owned(), [seller().to_string(), other_seller().to_string()])
            }
        };
        let all = Typed {
            total: Some(face.totals.total.to_string()),
            seller_id: Some(face.seller_id.to_string()),
            buyer_id: Some(right.clone()),
            ..plain.clone()
        };
        for genuine in [
            all.clone(),
            Typed { total: all.total.clone(), ..plain.clone() },
            Typed { seller_id: Some(format!(" {} ", face.seller_id.as_str().to_ascii_lowercase())), ..plain.clone() },
            Typed { buyer_id: Some(right), ..plain.clone() },
            Typed { total: Some(" ".into()), seller_id: Some(String::new()), buyer_id: Some(" ".into()), ..plain.clone() },
        ] {
            assert_eq!(ask(&engine, &genuine).verdict, Verdict::Genuine, "{genuine:?}");
        }
        let mut wrong = vec![
            Typed { total: Some(face.totals.amount.to_string()), ..all.clone() },
            Typed { total: Some(face.totals.amount.to_string()), ..plain.clone() },
            Typed { seller_id: Some(other_seller().to_string()), ..all.clone() },
            Typed { seller_id: Some(other_seller().to_string()), ..plain.clone() },
        ];
        for buyer in wrong_buyers {
            wrong.push(Typed { buyer_id: Some(buyer.clone()), ..all.clone() });
            wrong.push(Typed { buyer_id: Some(buyer), ..plain.clone() });
        }
        for wrong in wrong {
            let answer = ask(&engine, &wrong);
            assert!(answer.verdict == Verdict::Mismatch && answer.registered.is_none(), "{wrong:?}");
        }
        for (place, malformed) in [
            ("total", Typed { total: Some("1,00".into()), ..all.clone() }),
            ("seller_id", Typed { seller_id: Some("无".into()), ..all.clone() }),
            ("buyer_id", Typed { buyer_id: Some("91310115".into()), ..all.clone() }),
        ] {
            let answer = ask(&engine, &malformed);
            assert!(matches!(answer.unanswerable, Some(Unanswerable::Malformed { place: at, .. }) if at == place), "{malformed:?}");
        }
    }
    assert!(with_buyer > 5 && without > 2, "{with_buyer} and {without}");

    // Without the data key the buyer cannot be compared. Whether the rest agrees is not said then.
    drop(engine);
    let engine = site.open_locked().expect("readable");
    let right = Typed { buyer_id: Some("无".into()), ..typed(&face(&engine, id(Kind::Roll, 1))) };
    let wrong = Typed { date: Some("2019-01-01".into()), ..right.clone() };
    let absent = Typed { number: "00099999".into(), ..right.clone() };
    let told = [right, wrong, absent].map(|typed| ask(&engine, &typed));
    assert_eq!(told.each_ref().map(|answer| answer.verdict), [Verdict::Unavailable, Verdict::Unavailable, Verdict::NotFound]);
    assert!(told.iter().all(|answer| answer.registered.is_none() && answer.count == 0));
}

#[test]
fn a_wrong_checksum_is_told_and_changes_nothing() {
    let (_site, engine) = ready();
    for kind in [Kind::Special, Kind::Ordinary, Kind::Electronic] {
        let face = issued(&engine, kind);
        let text = classic_qr(&engine, face.id).expect("printed");
        let (body, crc) = text.trim_end_matches(',').rsplit_once(',').expect("a checksum");
        let wrong = format!("{body},{:04X},", u16::from_str_radix(crc, 16).expect("hex") ^ 1);
        for (text, crc_ok) in [(text.as_str(), Some(true)), (wrong.as_str(), Some(false)), (format!("{body},").as_str(), None)] {
            let answer = ask_qr(&engine, text);
            assert_eq!((answer.verdict, answer.crc_ok), (Verdict::Genuine, crc_ok), "{text}");
            assert_eq!(rendered::to_json(&answer).get("crc_ok"), crc_ok.map(Value::Bool).as_ref(), "{text}");
        }
    }
}

fn place(answer: &Answer) -> &'static str {
    match &answer.unanswerable {
        Some(Unanswerable::Malformed { place, .. }) if answer.verdict == Verdict::Malformed => place,
        other => panic!("{:?}: {other:?}", answer.verdict),
    }
}

#[test]
fn what_is_missing_or_misspelt_is_named() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let right = typed(&issued(&engine, kind));
        let without = Typed { amount: None, check: None, ..right.clone() };
        let (needed, other) = match kind.profile().factor {
            Factor::Amount => ("amount", Typed { check: Some("123456".into()), ..without.clone() }),
            Factor::CheckCode => ("check", Typed { amount: Some("1.00".into()), ..without.clone() }),
        };
        for (expected, typed) in [
            (needed, without),
            // The other type's factor does not do.
            (needed, other),
            ("code", Typed { code: String::new(), ..right.clone() }),
            ("code", Typed { code: right.code[1..].to_owned(), ..right.clone() }),
            ("code", Typed { code: right.code.replace('0', "O"), ..right.clone() }),
            ("number", Typed { number: "00000000".into(), ..right.clone() }),
            ("number", Typed { number: "7".into(), ..right.clone() }),
            ("date", Typed { date: None, ..right.clone() }),
            ("date", Typed { date: Some(" ".into()), ..right.clone() }),
            ("date", Typed { date: Some("2019-02-29".into()), ..right.clone() }),
            ("date", Typed { date: Some("11/11/2019".into()), ..right.clone() }),
            ("amount", Typed { amount: Some("1,000.00".into()), ..right.clone() }),
            ("amount", Typed { amount: Some("1e3".into()), ..right.clone() }),
            ("check", Typed { check: Some("12345".into()), ..right.clone() }),
            ("check", Typed { check: Some("12345a".into()), ..right.clone() }),
        ] {
            let answer = ask(&engine, &typed);
            assert_eq!(place(&answer), expected, "{typed:?}");
            assert_eq!(rendered::to_json(&answer)["malformed"]["place"], expected, "{typed:?}");
        }
    }
    // Classic codes are malformed where they cannot be read, and where what their type needs is missing.
    let special = id(Kind::Special, 7);
    let electronic = id(Kind::Electronic, 7);
    for (expected, text) in [
        ("check", classic("10", electronic, Fen(100), today(), "")),
        ("check", classic("10", electronic, Fen(100), today(), "123456")),
        ("date", classic("01", special, Fen(100), today(), "").replace("20191111", "20191131")),
        ("amount", classic("01", special, Fen(100), today(), "").replace("1.00", "1.000")),
        ("type", classic("99", special, Fen(100), today(), "")),
        ("text", "https://example.com/".to_owned()),
        ("text", "hello".to_owned()),
        ("text", "x".repeat(5_000)),
        ("text", String::new()),
    ] {
        assert_eq!(place(&ask_qr(&engine, &text)), expected, "{text}");
    }
}

fn elsewhere(code: &str, number: &str) -> InvoiceId {
    InvoiceId { code: InvoiceCode::parse(code).expect("a code"), number: InvoiceNumber::parse(number).expect("a number") }
}

/// Gives [`seller`] this one number.
fn allot_one(engine: &Engine, kind: Kind, id: InvoiceId) {
    let range = NumberRange::new(id.code, id.number, id.number).expect("one number");
    logged(engine.allot(Allotment { taxpayer: seller(), kind, range }));
}

/// An electronic invoice under a code that is somebody else's, or nobody's.
fn odd_electronic(engine: &Engine, odd: InvoiceId) -> Face {
    allot_one(engine, Kind::Electronic, odd);
    let mut draft = generated(Kind::Electronic, 5, 1);
    draft["code"] = json!(odd.code.to_string());
    draft["number"] = json!(odd.number.to_string());
    logged(submit(engine, &draft));
    face(engine, odd)
}

#[test]
fn a_code_that_does_not_tell_its_type_needs_either_factor() {
    let (_site, engine) = ready();
    let unknown = Typed { code: "144031909110".into(), number: "00012345".into(), date: Some("2019-11-11".into()), ..Typed::default() };
    assert_eq!(place(&ask(&engine, &unknown)), "check");
    for typed in [Typed { amount: Some("1.00".into()), ..unknown.clone() }, Typed { check: Some("123456".into()), ..unknown }] {
        assert_eq!(ask(&engine, &typed).verdict, Verdict::NotFound, "{typed:?}");
    }
    // Registered, its type decides: the amount alone is not enough for a type with a check code, and nothing says so.
    let face = odd_electronic(&engine, elsewhere("050003523456", "00000321"));
    let right = typed(&face);
    assert_eq!(ask(&engine, &right).verdict, Verdict::Genuine);
    let by_amount = ask(&engine, &Typed { amount: Some(face.totals.amount.to_string()), check: None, ..right });
    assert_eq!((by_amount.verdict, by_amount.registered.is_none()), (Verdict::Mismatch, true));
    // The stated type says what is needed where the code does not.
    assert_eq!(scan(&engine, &classic_of(&face, face.totals.amount)), Verdict::Genuine);
    assert_eq!(place(&ask_qr(&engine, &classic("10", face.id, face.totals.amount, face.date, ""))), "check");
}

#[test]
fn an_unknown_number_is_not_found() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        for number in [8, 99_999, 99_999_999] {
            let absent = id(kind, number);
            let answer = ask(&engine, &Typed { number: absent.number.to_string(), ..typed(&face) });
            assert_eq!((answer.verdict, answer.id), (Verdict::NotFound, Some(absent)), "{kind:?}");
            assert!(answer.registered.is_none() && answer.count == 0, "{kind:?}");
            let text = classic(kind.profile().code, absent, face.totals.amount, face.date, &check_of(&face));
            assert_eq!(scan(&engine, &text), Verdict::NotFound, "{kind:?}");
        }
    }
}

/// A signed code with this key id and these parts, signed by `signer`.
fn forge(engine: &Engine, key_id: KeyId, face: &[u8], rest_digest: &[u8; 32], signer: &Signer) -> String {
    let signature = signer.key.sign(&hash::invoice_message(face, rest_digest)).expect("signed");
    qr::print_signed(engine.host(), key_id, face, rest_digest, &signature)
}

#[test]
fn forged_codes_are_caught() {
    let (site, engine) = ready();
    let stranger_site = Site::new();
    let stranger = stranger_site.create();
    let (ours, theirs) = (site.keyring(), stranger_site.keyring());
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        let text = signed_qr(&engine, face.id);
        assert_eq!(scan(&engine, &text), Verdict::Genuine, "{kind:?}");
        assert_eq!(scan(&engine, &text.replacen("HTTPS://", "HTTP://", 1)), Verdict::Genuine, "{kind:?}");
        assert_eq!(scan(&engine, &text.replacen("FAPIAO.EXAMPLE", "MIRROR.EXAMPLE:81", 1)), Verdict::Genuine, "the host is not signed");
        assert_eq!(scan(&stranger, &text), Verdict::Forged, "{kind:?}");

        // Every bit: what still reads is forged, and every part has bits that still read.
        let (address, payload) = text.rsplit_once('/').expect("a path");
        let bytes = BASE32_NOPAD.decode(payload.as_bytes()).expect("base32");
        let parts = [("version", 1), ("key id", 8), ("face", bytes.len() - 105), ("rest digest", 32), ("signature", 64)];
        let mut start = 0;
        for (part, length) in parts {
            let mut forged = 0;
            for bit in start * 8..(start + length) * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                match ask_qr(&engine, &format!("{address}/{}", BASE32_NOPAD.encode(&changed))) {
                    Answer { verdict: Verdict::Forged, registered: None, count: 0, .. } => forged += 1,
                    Answer { verdict: Verdict::Malformed, .. } if matches!(part, "version" | "face") => {}
                    other => panic!("{kind:?}: bit {bit} in {part}: {other:?}"),
                }
            }
            let least = match part {
                "version" => 0,
                "face" => 100,
                _ => length * 8,
            };
            assert!(forged >= least, "{kind:?}: {part}: {forged}");
            start += length;
        }

        let face_bytes = canonical::encode_face(&face);
        let rest_digest: [u8; 32] = bytes[bytes.len() - 96..bytes.len() - 64].try_into().expect("32 bytes");
        let unissued = canonical::encode_face(&Face { id: id(kind, 8), ..face.clone() });
        let cheaper = canonical::encode_face(&Face { totals: Totals { amount: Fen(1), total: Fen(1) }, ..face.clone() });
        let authority = ours.authority();
        assert_eq!(forge(&engine, authority.key_id, &face_bytes, &rest_digest, authority), text, "the recipe is right");
        for (what, forged) in [
            ("another key under our id", forge(&engine, authority.key_id, &face_bytes, &rest_digest, theirs.authority())),
            ("another ledger's key", forge(&engine, theirs.authority().key_id, &face_bytes, &rest_digest, theirs.authority())),
            ("an unknown key", forge(&engine, KeyId([7; 8]), &face_bytes, &rest_digest, authority)),
            ("a key of ours for something else", forge(&engine, ours.answering().key_id, &face_bytes, &rest_digest, ours.answering())),
            ("our key, never issued", forge(&engine, authority.key_id, &unissued, &rest_digest, authority)),
            ("another's key, never issued", forge(&engine, theirs.authority().key_id, &unissued, &rest_digest, theirs.authority())),
            ("our key, other content under an issued number", forge(&engine, authority.key_id, &cheaper, &rest_digest, authority)),
            ("our key, another rest", forge(&engine, authority.key_id, &face_bytes, &[9; 32], authority)),
        ] {
            let answer = ask_qr(&engine, &forged);
            assert_eq!((answer.verdict, answer.registered.is_none()), (Verdict::Forged, true), "{kind:?}: {what}");
        }
    }
}

#[test]
fn other_spellings_of_a_signed_code_are_malformed() {
    let (_site, engine) = ready();
    let face = issued(&engine, Kind::Special);
    let text = signed_qr(&engine, face.id);
    let (address, payload) = text.rsplit_once('/').expect("a path");
    let bytes = BASE32_NOPAD.decode(payload.as_bytes()).expect("base32");
    let with = |bytes: &[u8]| format!("{address}/{}", BASE32_NOPAD.encode(bytes));
    assert_ne!(bytes.len() % 5, 0, "there are trailing bits");
    let last = payload.chars().last().expect("a character");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let trailing = alphabet.chars().nth(alphabet.find(last).expect("base32") + 1).expect("an even one");
    assert_eq!(scan(&engine, &format!(" {text}\n")), Verdict::Genuine, "blanks around it");
    for (what, spelling) in [
        ("lower case", text.to_ascii_lowercase()),
        ("lower-case scheme", text.replacen("HTTPS", "https", 1)),
        ("lower-case host", text.replacen("FAPIAO.EXAMPLE", "fapiao.example", 1)),
        ("lower-case path", text.replacen("/Q/", "/q/", 1)),
        ("lower-case payload", format!("{address}/{}", payload.to_ascii_lowercase())),
        ("padding", format!("{text}==")),
        ("a trailing bit", format!("{address}/{}{trailing}", &payload[..payload.len() - 1])),
        ("a byte left over", with(&[&bytes[..], &[0]].concat())),
        ("a byte less", with(&bytes[..bytes.len() - 1])),
        ("nothing", format!("{address}/")),
        ("a blank inside", format!("{address}/{} {}", &payload[..9], &payload[9..])),
        ("no host", text.replacen("FAPIAO.EXAMPLE", "", 1)),
        ("a long host", text.replacen("FAPIAO.EXAMPLE", &"X".repeat(29), 1)),
        ("a query", format!("{text}?A=B")),
    ] {
        assert_eq!(ask_qr(&engine, &spelling).verdict, Verdict::Malformed, "{what}: {spelling}");
    }
}

#[test]
fn blank_numbers_of_a_marked_range_are_told_without_a_factor() {
    let (site, engine) = ready();
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        for (first, mark) in [(100, Mark::Lost), (200, Mark::Stolen), (300, Mark::BlankVoid)] {
            logged(engine.allotment_status(range(kind, first, first + 9), mark));
            let blank = Typed { number: id(kind, first + 9).number.to_string(), ..typed(&face) };
            let answer = ask(&engine, &blank);
            assert_eq!((answer.verdict, answer.mark), (Verdict::BlankMarked, Some(mark)), "{kind:?}");
            assert!(answer.registered.is_none() && answer.count == 0);
            assert_eq!(rendered::to_json(&answer)["mark"], mark.name());
            let other_day = Typed { date: Some("2019-01-01".into()), ..blank };
            assert_eq!(ask(&engine, &other_day).verdict, Verdict::BlankMarked, "{kind:?}: no factor is compared");
            let beyond = Typed { number: id(kind, first + 10).number.to_string(), ..typed(&face) };
            assert_eq!(ask(&engine, &beyond).verdict, Verdict::NotFound, "{kind:?}");
            // Signed, but never issued.
            let bytes = canonical::encode_face(&Face { id: id(kind, first), ..face.clone() });
            let authority = site.keyring().authority().clone();
            assert_eq!(scan(&engine, &forge(&engine, authority.key_id, &bytes, &[1; 32], &authority)), Verdict::Forged, "{kind:?}");
        }
        logged(engine.allotment_status(range(kind, 100, 109), Mark::Lifted));
        let lifted = Typed { number: id(kind, 100).number.to_string(), ..typed(&face) };
        assert_eq!(ask(&engine, &lifted).verdict, Verdict::NotFound, "{kind:?}");
    }
}

#[test]
fn suspension_comes_and_goes() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let face = issued(&engine, kind);
        for mark in [Mark::Lost, Mark::Stolen] {
            logged(engine.allotment_status(range(kind, 1, 10), mark));
            assert_eq!(holder_is_told(&engine, face.id), Verdict::Suspended, "{kind:?}");
            logged(engine.allotment_status(range(kind, 1, 10), Mark::Lifted));
            assert_eq!(holder_is_told(&engine, face.id), Verdict::Genuine, "{kind:?}");
        }
        for mark in [Mark::Lost, Mark::Stolen, Mark::Abnormal] {
            logged(engine.status(face.id, mark));
            assert_eq!(holder_is_told(&engine, face.id), Verdict::Suspended, "{kind:?}");
            logged(engine.status(face.id, Mark::Lifted));
            assert_eq!(holder_is_told(&engine, face.id), Verdict::Genuine, "{kind:?}");
        }
    }
}

fn remaining(engine: &Engine, id: InvoiceId) -> Option<(Fen, Fen)> {
    ask(engine, &typed(&face(engine, id))).registered.expect("a match").remaining
}

#[test]
fn void_and_red_are_reflected() {
    let (_site, engine) = ready();
    for kind in Kind::ALL {
        let (whole, tax) = (Fen(1_000_000), face_tax(kind, 1_000_000));
        let [original, first, second] = [1, 2, 3].map(|number| id(kind, number));
        let draft = plain(kind, 1, whole);
        logged(submit(&engine, &draft));
        assert_eq!(remaining(&engine, original), Some((whole, tax)), "{kind:?}");

        let (part, part_tax) = (Fen(400_000), face_tax(kind, 400_000));
        logged(submit(&engine, &red(&draft, 2, part, part_tax)));
        assert_eq!(holder_is_told(&engine, original), Verdict::PartlyRedFlushed, "{kind:?}");
        assert_eq!(holder_is_told(&engine, first), Verdict::RedLetter, "{kind:?}");
        assert_eq!(remaining(&engine, original), Some((whole - part, tax - part_tax)), "{kind:?}");
        assert_eq!(remaining(&engine, first), None, "{kind:?}: nothing is left of a red-letter invoice");

        logged(submit(&engine, &red(&draft, 3, whole - part, tax - part_tax)));
        assert_eq!(holder_is_told(&engine, original), Verdict::RedFlushed, "{kind:?}");
        assert_eq!(remaining(&engine, original), Some((Fen::ZERO, Fen::ZERO)), "{kind:?}");

        // The amount is gone, a cent of tax is not: still partly.
        let draft = plain(kind, 11, whole);
        logged(submit(&engine, &draft));
        logged(submit(&engine, &red(&draft, 12, whole, Fen(tax.0 - 1))));
        assert_eq!(holder_is_told(&engine, id(kind, 11)), Verdict::PartlyRedFlushed, "{kind:?}");
        assert_eq!(remaining(&engine, id(kind, 11)), Some((Fen::ZERO, Fen(1))), "{kind:?}");

        if kind == Kind::Electronic {
            refused(engine.void(second, Some(seller())));
            continue;
        }
        logged(engine.void(second, Some(seller())));
        assert_eq!(holder_is_told(&engine, second), Verdict::Voided, "{kind:?}: void comes before red");
        assert_eq!(holder_is_told(&engine, original), Verdict::PartlyRedFlushed, "{kind:?}");
        logged(engine.void(first, Some(seller())));
        assert_eq!(holder_is_told(&engine, original), Verdict::Genuine, "{kind:?}");
        assert_eq!(remaining(&engine, original), Some((whole, tax)), "{kind:?}");
        logged(engine.void(original, Some(seller())));
        assert_eq!(holder_is_told(&engine, original), Verdict::Voided, "{kind:?}");
        let answer = ask(&engine, &typed(&face(&engine, original)));
        assert!(answer.registered.expect("a match").changed.is_some(), "{kind:?}");
    }
}

/// The tax of a [`plain`] draft over this amount.
fn face_tax(kind: Kind, amount: i64) -> Fen {
    let draft = plain(kind, 1, Fen(amount));
    Fen::parse(text(&draft, "tax")).expect("an amount")
}

/// Mismatch before suspended before void before red-flushed before red-letter before partly before genuine.
#[test]
fn the_gravest_is_told_first() {
    let (_site, engine) = ready();
    let kind = Kind::Special;
    let mismatch = |id: InvoiceId| {
        let right = typed(&face(&engine, id));
        assert_eq!(ask(&engine, &Typed { date: Some("2019-11-10".into()), ..right }).verdict, Verdict::Mismatch, "{id}");
    };
    // 10, 5, 2: suspended and void.
    let both = id(kind, 1);
    logged(submit(&engine, &plain(kind, 1, Fen(100_000))));
    logged(engine.void(both, Some(seller())));
    logged(engine.status(both, Mark::Abnormal));
    assert_eq!(holder_is_told(&engine, both), Verdict::Suspended);
    mismatch(both);
    logged(engine.status(both, Mark::Lifted));
    assert_eq!(holder_is_told(&engine, both), Verdict::Voided);
    mismatch(both);
    // 5, 3 and 5, 4: suspended and red-flushed, in whole and in part; 5, 7: a suspended red-letter invoice.
    for (number, part, told) in [(10, Fen(100_000), Verdict::RedFlushed), (20, Fen(50_000), Verdict::PartlyRedFlushed)] {
        let draft = plain(kind, number, Fen(100_000));
        logged(submit(&engine, &draft));
        logged(submit(&engine, &red(&draft, number + 1, part, face_tax(kind, part.0))));
        for (id, told) in [(id(kind, number), told), (id(kind, number + 1), Verdict::RedLetter)] {
            assert_eq!(holder_is_told(&engine, id), told);
            logged(engine.status(id, Mark::Stolen));
            assert_eq!(holder_is_told(&engine, id), Verdict::Suspended);
            mismatch(id);
            logged(engine.status(id, Mark::Lifted));
            assert_eq!(holder_is_told(&engine, id), told);
            mismatch(id);
        }
    }
    // A range that is reported stolen after it was used suspends what is void or red, too.
    logged(engine.allotment_status(range(kind, 1, 30), Mark::Stolen));
    for number in [1, 10, 11, 20, 21] {
        assert_eq!(holder_is_told(&engine, id(kind, number)), Verdict::Suspended, "{number}");
    }
    assert_eq!(ask(&engine, &Typed { number: id(kind, 30).number.to_string(), ..typed(&face(&engine, id(kind, 1))) }).verdict, Verdict::BlankMarked);
    // 2, 3: red-flushed before it was imported, then void.
    let mut draft = plain(Kind::Ordinary, 50, Fen(100_000));
    draft["state"] = json!("red_flushed");
    draft["check_code"] = json!("12345678901234567890");
    logged(import(&engine, &draft));
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 50)), Verdict::RedFlushed);
    logged(engine.void(id(Kind::Ordinary, 50), None));
    assert_eq!(holder_is_told(&engine, id(Kind::Ordinary, 50)), Verdict::Voided);
}

#[test]
fn documents_of_other_kinds_are_named() {
    let (_site, engine) = ready();
    let named = |answer: Answer| match answer.unanswerable {
        Some(Unanswerable::Unsupported { en, .. }) if answer.verdict == Verdict::Unsupported => en,
        other => panic!("{:?}: {other:?}", answer.verdict),
    };
    for (code, name) in
        [("011001900312", "electronic toll invoice"), ("031001900117", "used-car sales invoice"), ("031001900113", "electronic special invoice")]
    {
        for check in [None, Some("123456".to_owned())] {
            let amount = check.clone().map(|_| "1.00".to_owned());
            let typed = Typed { code: code.into(), number: "00012345".into(), date: Some("2019-11-11".into()), amount, check, ..Typed::default() };
            assert_eq!(named(ask(&engine, &typed)), name, "{typed:?}");
        }
    }
    let digital = Typed { number: "24112000000012345678".into(), ..Typed::default() };
    assert_eq!(named(ask(&engine, &digital)), "fully digital invoice with a 20-digit number");
    let hash = "5f".repeat(32);
    let blockchain = format!("01,10,144031909110,00012345,91440300MA5EXWHW6F,100.00,20190801,{hash}");
    for (text, name) in [
        ("01,14,011001900312,21010038,300,20200407,01731581649436515692,53F1,", "electronic toll invoice"),
        ("01,15,011001900317,21010038,300,20200407,,53F1,", "used-car sales invoice"),
        ("01,08,011001900313,21010038,300,20200407,01731581649436515692,53F1,", "electronic special invoice"),
        ("01,20,011001900313,21010038,300,20200407,01731581649436515692,53F1,", "electronic special invoice"),
        (&blockchain, "blockchain invoice"),
        ("https://bcfp.shenzhen.chinatax.gov.cn/verify/scan?hash=0a1b&bill_num=00012345&total_amount=10000", "blockchain invoice"),
        ("01,31,,24112000000012345678,100.00,20240105,,C1B2", "fully digital invoice with a 20-digit number"),
        ("01,32,,24112000000012345678,100.00,20240105,,C1B2,", "fully digital invoice with a 20-digit number"),
        ("$01abcDEF/123=$", "invoice title card"),
    ] {
        assert_eq!(named(ask_qr(&engine, text)), name, "{text}");
    }
    // A toll code circulates with type 10, and is answered as that.
    let face = odd_electronic(&engine, elsewhere("011001900312", "00054321"));
    assert_eq!(holder_is_told(&engine, face.id), Verdict::Genuine);
    let answer = ask_qr(&engine, &classic_of(&face, face.totals.amount));
    assert_eq!((answer.verdict, answer.type_conflict), (Verdict::Genuine, false));
    let unknown = classic("10", elsewhere("011001900312", "00054322"), Fen(100), today(), &check_of(&face));
    assert_eq!(scan(&engine, &unknown), Verdict::NotFound);
}

#[test]
fn a_type_that_contradicts_the_code_warns_and_is_no_factor() {
    let (_site, engine) = ready();
    for (kind, stated) in [(Kind::Electronic, "04"), (Kind::Ordinary, "10"), (Kind::Roll, "10"), (Kind::Special, "02")] {
        let face = issued(&engine, kind);
        let right = ask_qr(&engine, &classic_of(&face, face.totals.amount));
        assert_eq!((right.verdict, right.type_conflict), (Verdict::Genuine, false), "{kind:?}");
        let conflicting = ask_qr(&engine, &classic(stated, face.id, face.totals.amount, face.date, &check_of(&face)));
        assert_eq!((conflicting.verdict, conflicting.type_conflict), (Verdict::Genuine, true), "{kind:?} as {stated}");
        assert_eq!(rendered::to_json(&conflicting)["warnings"], json!(["type_conflict"]));
        assert_eq!(rendered::to_json(&right).get("warnings"), None);
    }
}

#[test]
fn matches_are_counted_and_counts_survive() {
    let (site, engine) = ready();
    let face = issued(&engine, Kind::Electronic);
    let other = face_of(&engine, Kind::Special, 9);
    let (right, first) = (typed(&face), site.now());
    let wrong = Typed { check: Some(changed_digit(&check_of(&face), 3)), ..right.clone() };
    let counted = |engine: &Engine, typed: &Typed| {
        let answer = ask(engine, typed);
        (answer.count, answer.first_verified)
    };
    assert_eq!(counted(&engine, &right), (1, None));
    site.set_now(UnixMillis(first.0 + 60_000));
    assert_eq!(counted(&engine, &wrong), (0, None));
    assert_eq!(counted(&engine, &Typed { number: "00099999".into(), ..right.clone() }), (0, None));
    assert_eq!(counted(&engine, &Typed { date: None, ..right.clone() }), (0, None));
    assert_eq!(counted(&engine, &right), (2, Some(first)));
    assert_eq!(ask_qr(&engine, &signed_qr(&engine, face.id)).count, 3);
    assert_eq!(ask_qr(&engine, &classic_qr(&engine, face.id).expect("printed")).count, 4);
    assert_eq!(counted(&engine, &typed(&other)), (1, None), "each invoice has its own count");
    logged(engine.status(face.id, Mark::Abnormal));
    assert_eq!(ask(&engine, &right).count, 5, "whatever is told of a match, it counts");
    let questions = vec![right.question(), wrong.question(), right.question()];
    let counts: Vec<u64> = engine.verify_many(&questions).expect("answers").iter().map(|answer| answer.count).collect();
    assert_eq!(counts, [6, 0, 7]);
    drop(engine);
    let engine = site.open().expect("the ledger again");
    assert_eq!(counted(&engine, &right), (8, Some(first)));
    assert_eq!(counted(&engine, &typed(&other)).0, 2);
}

/// More than are kept in memory, so that those counted first are dropped from it and read again while others are counted.
#[test]
fn counts_are_exact_for_many_who_ask_at_once_about_more_than_are_kept() {
    const ASKERS: u32 = 4;
    let rows = u32::try_from(COUNTS_KEPT_MAX).expect("few") + 20_000;
    let (site, engine) = ready();
    let of = |n| InvoiceId { number: InvoiceNumber::from_ordinal(n + 1).expect("eight digits"), ..id(Kind::Roll, 1) };
    let heard: Vec<AtomicU8> = (0..rows).map(|_| AtomicU8::new(0)).collect();
    thread::scope(|scope| {
        for asker in 0..ASKERS {
            let (counts, heard, from) = (engine.ledger().counts(), &heard, asker * (rows / ASKERS));
            scope.spawn(move || {
                for n in (from..rows).chain(0..from) {
                    let tally = counts.add(of(n), UnixMillis(1)).expect("counted");
                    let before = heard[n as usize].fetch_or(1 << (tally.count - 1), Ordering::Relaxed);
                    assert_eq!(before & (1 << (tally.count - 1)), 0, "{n} was told {} twice", tally.count);
                }
            });
        }
    });
    assert!(heard.iter().all(|heard| heard.load(Ordering::Relaxed) == 0b1111));
    drop(engine);
    let engine = site.open().expect("the ledger again");
    for n in 0..rows {
        assert_eq!(engine.ledger().counts().get(of(n)).expect("readable").count, u64::from(ASKERS), "{n}");
    }
}

fn face_of(engine: &Engine, kind: Kind, number: u32) -> Face {
    logged(submit(engine, &generated(kind, 77, number)));
    face(engine, id(kind, number))
}

#[test]
fn answers_name_the_state_they_are_about() {
    let (site, engine) = ready();
    let face = issued(&engine, Kind::Special);
    let mut sizes = Vec::new();
    for number in 20..24 {
        logged(submit(&engine, &generated(Kind::Roll, 3, number)));
        let published = engine.ledger().published();
        let absent = Typed { number: "00099998".into(), ..typed(&face) };
        for answer in [ask(&engine, &typed(&face)), ask(&engine, &absent), ask_qr(&engine, "hello")] {
            assert_eq!((answer.as_of.size, answer.as_of.root, answer.as_of.time), (published.size, published.root, site.now()));
            assert_eq!(rendered::to_json(&answer)["as_of"]["size"], published.size);
        }
        sizes.push(published.size);
    }
    assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}");
}

/// A matching stranger sees the seller and the sums, but neither who bought nor the check code.
#[test]
fn details_are_masked() {
    let (site, engine) = ready();
    let people = json!({ "payee": "欧阳收款", "reviewer": "司马复核", "drawer": "诸葛开票" });
    for kind in Kind::ALL {
        let mut draft = generated(kind, 41, 7);
        for (member, name) in people.as_object().expect("an object") {
            draft[member] = name.clone();
        }
        draft["remark"] = json!("备注里的秘密 13812345678");
        draft["buyer"]["name"] = json!("张三丰");
        let mut secrets = vec!["张三丰", "三丰", "欧阳收款", "司马复核", "诸葛开票", "秘密", "13812345678"];
        match kind {
            Kind::MotorVehicle => {
                draft["buyer"] = json!({ "name": "张三丰", "id_card": "420106198811220028", "tax_id": "91420100MA4KCD3R3P" });
                secrets.extend(["420106198811220028", "91420100MA4KCD3R3P"]);
            }
            Kind::Roll => {
                draft["buyer"]["tax_id"] = json!("91420100MA4KCD3R3P");
                secrets.push("91420100MA4KCD3R3P");
            }
            Kind::Special | Kind::Freight | Kind::Ordinary | Kind::Electronic => {
                draft["buyer"] = json!({
                    "name": "张三丰", "tax_id": "91420100MA4KCD3R3P", "address_phone": "武汉市解放大道1号 13987654321",
                    "bank_account": "示例银行武汉支行 6222000012345678",
                });
                secrets.extend(["91420100MA4KCD3R3P", "解放大道", "13987654321", "6222000012345678"]);
            }
        }
        if kind == Kind::Freight {
            draft["consignor"] = json!({ "name": "李四光", "tax_id": "91330106MA27QH5C5E" });
            draft["consignee"] = json!({ "name": "王五常", "tax_id": "91510104MA61JL9T49" });
            secrets.extend(["四光", "五常", "91330106MA27QH5C5E", "91510104MA61JL9T49"]);
        }
        if kind != Kind::MotorVehicle && kind != Kind::Roll && kind != Kind::Freight {
            draft["cipher"] = json!("03*3-<85>+65");
            secrets.push("03*3-<85>+65");
        }
        logged(submit(&engine, &draft));
        let face = face(&engine, id(kind, 7));
        let answer = engine.with_details(ask(&engine, &typed(&face))).expect("an answer");
        let told = rendered::to_json(&answer);
        assert_eq!(told["details"]["buyer"]["name"], "张**", "{kind:?}");
        assert_eq!(told["details"]["seller"]["name"], draft["seller"]["name"], "{kind:?}: the seller is not masked");
        assert_eq!(told["face"]["total"], draft["total"], "{kind:?}");
        assert_eq!(told["details"]["buyer"]["tax_id"], "9142**********3R3P", "{kind:?}");
        let check = check_of(&face);
        let six = check.get(14..).unwrap_or_default();
        for text in [told.to_string(), rendered::to_text(&answer)] {
            for secret in secrets.iter().copied().chain([check.as_str(), six].into_iter().filter(|secret| !secret.is_empty())) {
                assert!(!text.contains(secret), "{kind:?} tells {secret}: {text}");
            }
        }
    }
    // Without the secret keys nothing encrypted is shown, and the verdict is the same.
    let known: Vec<Face> = Kind::ALL.map(|kind| face(&engine, id(kind, 7))).into();
    drop(engine);
    let engine = site.open_locked().expect("the ledger without its keys");
    for face in known {
        let answer = engine.with_details(ask(&engine, &typed(&face))).expect("an answer");
        assert_eq!(answer.verdict, Verdict::Genuine);
        assert_eq!(rendered::to_json(&answer).get("details"), None);
    }
}

#[test]
fn imported_invoices_keep_their_state() {
    let (_site, engine) = ready();
    for (kind, number) in Kind::ALL.into_iter().zip(1..) {
        for (state, told, offset) in [
            ("normal", Verdict::Genuine, 0),
            ("voided", Verdict::Voided, 10),
            ("red_flushed", Verdict::RedFlushed, 20),
            ("abnormal", Verdict::Suspended, 30),
            ("Y", Verdict::Voided, 40),
            ("3", Verdict::RedFlushed, 50),
        ] {
            let number = number + offset;
            let mut draft = plain(kind, number, Fen(100_000));
            draft["state"] = json!(state);
            if kind.profile().has_check_code {
                draft["check_code"] = json!("12345678901234567890");
            }
            logged(import(&engine, &draft));
            assert_eq!(holder_is_told(&engine, id(kind, number)), told, "{kind:?} {state}");
            let answer = ask(&engine, &typed(&face(&engine, id(kind, number))));
            assert_eq!(rendered::to_json(&answer)["imported"], true, "{kind:?} {state}");
            if told == Verdict::RedFlushed {
                assert_eq!(answer.registered.expect("a match").remaining, Some((Fen::ZERO, Fen::ZERO)), "{kind:?} {state}");
            }
        }
    }
}

/// The published printed codes of the domain reference, section 3: imported as historic invoices, they answer by the text that is printed.
#[test]
fn published_printed_codes_answer() {
    let (_site, engine) = ready();
    for (text, crc_ok) in [
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,", true),
        ("01,01,1200154130,03630024,94339.62,20160621,,9335,", true),
        ("01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,DBFE,", true),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,", true),
        ("01,01,3200204130,09264957,34192.04,20210220,,5878,", true),
        ("01,01,3100204130,06039254,5015.00,20210315,,D2,", true),
        ("01,10,011001700112,10113872,32,20180224,17602940807063740560,0819", true),
        ("01,10,031002100411,25096213,6.56,20210903,11631437361999467829,F168,", true),
        ("01,10,033001600211,73843482,28.30,20170628,61180471846138424764,9F5B,", false),
    ] {
        let read = qr::parse_classic(text).expect("readable");
        allot_one(&engine, read.kind, read.id);
        let tax = Fen(read.amount.0 * 6 / 100);
        let mut draft = plain(read.kind, 1, read.amount);
        let (tax, total) = (tax.to_string(), (read.amount + tax).to_string());
        draft["code"] = json!(read.id.code.to_string());
        draft["number"] = json!(read.id.number.to_string());
        draft["date"] = json!(read.date.to_string());
        draft["lines"][0]["rate"] = json!("0.06");
        draft["lines"][0]["tax"] = json!(tax);
        draft["tax"] = json!(tax);
        draft["total"] = json!(total);
        if let Some(check) = read.check {
            draft["check_code"] = json!(check.to_string());
        }
        logged(import(&engine, &draft));
        let answer = ask_qr(&engine, text);
        assert_eq!((answer.verdict, answer.crc_ok), (Verdict::Genuine, Some(crc_ok)), "{text}");
        assert_eq!(holder_is_told(&engine, read.id), Verdict::Genuine, "{text}");
        let dearer = text.replacen(&format!(",{},", text.split(',').nth(4).expect("an amount")), ",1.00,", 1);
        assert_eq!(scan(&engine, &dearer), Verdict::Mismatch, "{dearer}");
    }
}
