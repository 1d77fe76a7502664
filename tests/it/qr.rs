//! QR texts: ours, the classic ones as they are found printed, and what is neither.

use fapiao::channel::qr::{self, ClassicQr, QrFault, Scanned, SignedQr};
use fapiao::codec::canonical;
use fapiao::codec::leaf::KeyId;
use fapiao::crypto::note::Host;
use fapiao::domain::kind::{Kind, Unsupported};
use fapiao::domain::money::Fen;
use fapiao::domain::number::CheckCode;
use fapiao::limits::QR_TEXT_MAX;
use proptest::prelude::*;
use serde_json::Value;

use crate::codec::invoice;

fn classic(text: &str) -> ClassicQr {
    match qr::classify(text) {
        Ok(Scanned::Classic(classic)) => classic,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn every_printed_variant_of_the_vectors_is_read() {
    let vectors: Value = serde_json::from_str(include_str!("../../fixtures/vectors/contract.json")).expect("JSON");
    for case in vectors["classic_qr"].as_array().expect("a list") {
        let text = case["text"].as_str().expect("a text");
        let read = classic(text);
        assert_eq!(read.kind.profile().code, case["kind"], "{text}");
        assert_eq!(read.amount.0, case["amount_fen"], "{text}");
        assert_eq!(read.check.map(|check| check.to_string()).unwrap_or_default(), case["check"], "{text}");
        assert_eq!(read.crc_ok, case["crc_ok"].as_bool(), "{text}");
    }
}

/// The vectors of the domain reference, section 3, with and without what may be missing; CRC over the text with (A) or without (B) the comma.
#[test]
fn published_samples_are_read() {
    for (text, crc_ok) in [
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,", Some(true)),
        ("01,01,1200154130,03630024,94339.62,20160621,,9335,", Some(true)),
        ("01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,DBFE,", Some(true)),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,", Some(true)),
        ("01,01,3200204130,09264957,34192.04,20210220,,5878,", Some(true)),
        ("01,01,3100204130,06039254,5015.00,20210315,,D2,", Some(true)),
        ("01,01,3100204130,06039254,5015.00,20210315,,00D2", Some(true)),
        ("01,10,011001700112,10113872,32,20180224,17602940807063740560,0819", Some(true)),
        ("01,10,031002100411,25096213,6.56,20210903,11631437361999467829,F168,", Some(true)),
        ("01,10,033001600211,73843482,28.30,20170628,61180471846138424764,9F5B,", Some(false)),
        // The empty check code swallowed, as some decoders do, and the terminator left behind.
        ("01,01,1200154130,03630024,94339.62,20160621,9335,\0", Some(true)),
        ("01,01,1200154130,03630024,94339.62,20160621,9335", Some(true)),
        ("01,01,1200154130,03630024,94339.62,20160621,9336,", Some(false)),
        // No CRC at all, with and without the commas around it.
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,,", None),
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,", None),
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932\r\n", None),
        ("01,01,1200154130,03630024,94339.62,20160621,,", None),
        ("01,01,1200154130,03630024,94339.62,20160621", None),
    ] {
        assert_eq!(classic(text).crc_ok, crc_ok, "{text:?}");
    }
    let read = classic("01,10,011001900311,21010038,64.9,20200407,01731581649436515692,");
    assert_eq!((read.kind, read.amount, read.date.yyyymmdd()), (Kind::Electronic, Fen(6490), 20_200_407));
    assert_eq!((read.id.to_string().as_str(), read.check), ("011001900311/21010038", CheckCode::parse("01731581649436515692")));
}

#[test]
fn what_is_something_else_is_named() {
    let hash = "5f".repeat(32);
    let blockchain = format!("01,10,144031909110,00012345,91440300MA5EXWHW6F,100.00,20190801,{hash}");
    for (text, what) in [
        (blockchain.as_str(), Unsupported::Blockchain),
        ("https://bcfp.shenzhen.chinatax.gov.cn/verify/scan?hash=0a1b&bill_num=00012345&total_amount=10000", Unsupported::Blockchain),
        ("01,31,,24112000000012345678,100.00,20240105,,C1B2", Unsupported::FullyDigital),
        ("01,32,,24112000000012345678,100.00,20240105,,C1B2,", Unsupported::FullyDigital),
        ("01,10,,24112000000012345678,100.00,20240105,,C1B2,", Unsupported::FullyDigital),
        ("01,14,011001900312,21010038,300,20200407,01731581649436515692,53F1,", Unsupported::Toll),
        ("01,15,011001900317,21010038,300,20200407,,53F1,", Unsupported::UsedCar),
        ("01,08,011001900313,21010038,300,20200407,01731581649436515692,53F1,", Unsupported::ElectronicSpecial),
        ("01,20,011001900313,21010038,300,20200407,01731581649436515692,53F1,", Unsupported::ElectronicSpecial),
        ("$015b0h3L2YX</>91110108MA01GJK44X</>$", Unsupported::TitleCard),
    ] {
        assert_eq!(qr::classify(text), Err(QrFault::Unsupported(what)), "{text}");
    }
}

#[test]
fn what_is_malformed_is_told_where() {
    let long = format!("01,10,{}", "1".repeat(QR_TEXT_MAX));
    for (text, wrong) in [
        ("", "text"),
        ("hello", "text"),
        ("https://example.com/", "text"),
        (long.as_str(), "text"),
        ("01,10,011001900311,21010038,300", "text"),
        ("02,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,", "text"),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,,", "text"),
        ("０1,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,", "text"),
        ("01,99,011001900311,21010038,300,20200407,01731581649436515692,53F1,", "type"),
        ("01,1,011001900311,21010038,300,20200407,01731581649436515692,53F1,", "type"),
        ("01,10,11001900311,21010038,300,20200407,01731581649436515692,53F1,", "code"),
        ("01,10,011001900311,2101003,300,20200407,01731581649436515692,53F1,", "number"),
        ("01,10,011001900311,00000000,300,20200407,01731581649436515692,53F1,", "number"),
        ("01,10,011001900311,21010038,,20200407,01731581649436515692,53F1,", "amount"),
        ("01,10,011001900311,21010038,1e3,20200407,01731581649436515692,53F1,", "amount"),
        ("01,10,011001900311,21010038,300.001,20200407,01731581649436515692,53F1,", "amount"),
        ("01,10,011001900311,21010038,+300,20200407,01731581649436515692,53F1,", "amount"),
        ("01,10,011001900311,21010038,300,20200431,01731581649436515692,53F1,", "date"),
        ("01,10,011001900311,21010038,300,2020-04-07,01731581649436515692,53F1,", "date"),
        ("01,10,011001900311,21010038,300,20200407,0173158164943651569,53F1,", "check"),
        ("01,10,011001900311,21010038,300,20200407,0173158164943651 569,53F1,", "check"),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,053F1,", "crc"),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,+3F1,", "crc"),
    ] {
        assert!(matches!(qr::classify(text), Err(QrFault::Malformed { place, .. }) if place == wrong), "{text:?}: {:?}", qr::classify(text));
    }
}

fn signed() -> impl Strategy<Value = SignedQr> {
    (invoice(), any::<[u8; 8]>(), any::<[u8; 32]>(), any::<[[u8; 32]; 2]>()).prop_map(|(invoice, key_id, rest_digest, halves)| {
        let face = invoice.face();
        let face_bytes = canonical::encode_face(&face);
        SignedQr { key_id: KeyId(key_id), face, face_bytes, rest_digest, signature: halves.concat().try_into().expect("64 bytes") }
    })
}

fn print(host: &str, signed: &SignedQr) -> String {
    let host = Host::parse(host).expect("a host");
    qr::print_signed(&host, signed.key_id, &signed.face_bytes, &signed.rest_digest, &signed.signature)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn signed_codes_are_read_in_one_spelling_only(signed in signed(), host in "[a-z0-9.:-]{1,28}", at in any::<prop::sample::Index>(), to in any::<char>()) {
        let text = print(&host, &signed);
        prop_assert!(text.len() <= 310);
        prop_assert!(text.bytes().all(|b| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".contains(&b)), "{} is not alphanumeric", text);
        let read = qr::classify(&text);
        prop_assert_eq!(&read, &Ok(Scanned::Signed(Box::new(signed.clone()))));
        prop_assert_eq!(qr::parse_signed(&text.replacen("HTTPS", "HTTP", 1)), Ok(signed.clone()));

        let payload = text.split("/Q/").last().expect("a payload");
        for other in [text.to_ascii_lowercase(), format!("{text}="), format!("{text}A"), format!("{text} "), text.replacen("/Q/", "/q/", 1), text.replacen("HTTPS", "https", 1)] {
            prop_assert!(matches!(qr::classify(&other), Err(QrFault::Malformed { .. })), "{}", other);
        }
        let mut chars: Vec<char> = payload.chars().collect();
        *at.get_mut(&mut chars) = to;
        let other: String = chars.into_iter().collect();
        if let Ok(read) = qr::parse_payload(&other) {
            prop_assert_eq!(qr::print_payload(read.key_id, &read.face_bytes, &read.rest_digest, &read.signature), other);
            prop_assert_eq!(canonical::encode_face(&read.face), read.face_bytes);
        }
    }

    #[test]
    fn printed_classic_codes_are_read(invoice in invoice(), without_comma in any::<bool>()) {
        let face = invoice.face();
        let prints = matches!(face.kind, Kind::Special | Kind::Ordinary | Kind::Electronic);
        let printed = qr::print_classic(&face);
        prop_assert_eq!(printed.is_some(), prints);
        let Some(printed) = printed else { return Ok(()) };
        let expected = ClassicQr { kind: face.kind, id: face.id, amount: face.totals.amount, date: face.date, check: face.check_code, crc_ok: Some(true) };
        let text = if without_comma { printed.trim_end_matches(',') } else { &printed };
        prop_assert_eq!(qr::classify(text), Ok(Scanned::Classic(expected)));
    }

    #[test]
    fn no_text_panics(text in any::<String>(), fields in prop::collection::vec("[0-9A-Fa-f.\\-]{0,20}", 0..10)) {
        let _ = (qr::classify(&text), qr::parse_signed(&text), qr::parse_payload(&text), qr::parse_classic(&text));
        let _ = (qr::classify(&format!("01,{}", fields.join(","))), qr::classify(&format!("HTTPS://A/Q/{text}")), qr::classify(&format!("$01{text}")));
    }
}

#[test]
fn the_crc_is_umts() {
    // The check value of the catalogue of parametrised CRC algorithms.
    assert_eq!(qr::crc16_umts(b"123456789"), 0xfee8);
}
