//! Published and independently computed vectors: identifiers, capital amounts, invoice codes.

use std::fs;
use std::path::Path;

use fapiao::domain::kind::{Agreement, Derived, Kind, area_code};
use fapiao::domain::money::{Fen, parse_upper_case, upper_case};
use fapiao::domain::number::InvoiceCode;
use fapiao::domain::taxpayer::{TaxpayerId, Vin, uscc_check_digit};
use serde_json::Value;

fn contract(part: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/contract.json");
    let all: Value = serde_json::from_slice(&fs::read(file).expect("fixtures/vectors/contract.json")).expect("JSON");
    all[part].as_array().unwrap_or_else(|| panic!("{part}")).clone()
}

fn text<'v>(row: &'v Value, member: &str) -> &'v str {
    row[member].as_str().unwrap_or_else(|| panic!("{member} of {row}"))
}

fn code(digits: &str) -> InvoiceCode {
    InvoiceCode::parse(digits).unwrap_or_else(|| panic!("{digits}"))
}

#[test]
fn credit_codes_and_vins_of_the_contract() {
    for row in contract("uscc") {
        let id = TaxpayerId::parse(text(&row, "id")).expect("a tax id");
        assert_eq!(id.check_digit(), row["check_ok"].as_bool(), "{row}");
    }
    for row in contract("vin") {
        let vin = Vin::parse(text(&row, "vin")).expect("a VIN");
        assert_eq!(Some(vin.check_digit()), row["check_ok"].as_bool(), "{row}");
    }
}

#[test]
fn capital_amounts_of_the_contract() {
    for row in contract("upper_amount") {
        let fen = Fen(row["fen"].as_i64().expect("fen"));
        assert_eq!(upper_case(fen), text(&row, "text"), "{row}");
        assert_eq!(parse_upper_case(text(&row, "text")), Some(fen), "{row}");
    }
}

#[test]
fn codes_of_the_contract() {
    for row in contract("code") {
        let code = code(text(&row, "code"));
        assert_eq!(Derived::of(&code).code(), text(&row, "kind"), "{row}");
        assert_eq!(area_code(&code), text(&row, "area"), "{row}");
    }
}

#[test]
fn published_credit_codes() {
    for good in [
        "91310000580583950X",
        "91310114MA1GW61J6U",
        "91310000X07256148A",
        "91330100552660066F",
        "91310115768225450T",
        "91440101MA5CJQ4N59",
        "91350200776049653A",
        "91350200MA2YJ1XR9G",
        "91110108MA01KPGK0L",
        "92530828MA6P3AA16R",
    ] {
        assert_eq!(TaxpayerId::parse(good).expect("a tax id").check_digit(), Some(true), "{good}");
    }
    // Genuine, early Fujian and Xiamen: they compute to another digit, so a failing one only warns.
    for (genuine, computed) in [
        ("91350100M0001TGQXM", '1'),
        ("91350211M0000XUF46", 'R'),
        ("91350203M0001FUE2P", 'J'),
        ("91350203M0001QAY9B", '9'),
        ("91530828MA6P3AA16R", 'W'),
    ] {
        assert_eq!(uscc_check_digit(&genuine[..17]), Some(computed), "{genuine}");
        assert_eq!(TaxpayerId::parse(genuine).expect("a tax id").check_digit(), Some(false), "{genuine}");
    }
}

#[test]
fn published_vins() {
    for good in ["LFV3B28R1C3023336", "1M8GDM9AXKP042788", "11111111111111111"] {
        assert!(Vin::parse(good).expect("a VIN").check_digit(), "{good}");
    }
    for bad in ["LFV3B28R1C302333", "LFV3B28R1C302333O", "lfv3b28r1c3023336", "IFV3B28R1C3023336"] {
        assert_eq!(Vin::parse(bad), None, "{bad}");
    }
}

#[test]
fn published_capital_amounts() {
    for (fen, texts) in [
        (676, ["陆圆柒角陆分", "陆元柒角陆分"]),
        (6700, ["陆拾柒圆整", "陆拾柒元正"]),
        (19900, ["壹佰玖拾玖圆整", "壹佰玖拾玖元整"]),
        (60000, ["陆佰圆整", "陆佰圆正"]),
        (8000000, ["捌万圆整", "捌万元整"]),
        (140950, ["壹仟肆佰零玖圆伍角整", "壹仟肆佰零玖圆伍角"]),
        (600714, ["陆仟零柒圆壹角肆分", "陆仟零柒元壹角肆分"]),
        (168032, ["壹仟陆佰捌拾圆叁角贰分", "壹仟陆佰捌拾圆零叁角贰分"]),
        (10700053, ["壹拾万柒仟圆伍角叁分", "壹拾万柒仟圆零伍角叁分"]),
        (1, ["壹分", "壹分"]),
        (10, ["壹角整", "壹角"]),
        (101, ["壹圆零壹分", "壹元零壹分"]),
        (1005, ["壹拾圆零伍分", "壹拾元零伍分"]),
        (100100, ["壹仟零壹圆整", "壹仟零壹元整"]),
        (101000, ["壹仟零壹拾圆整", "壹仟零壹拾元整"]),
        (10001000, ["壹拾万零壹拾圆整", "壹拾万零壹拾元整"]),
        (1000000000, ["壹仟万圆整", "壹仟万元整"]),
        (10000000001, ["壹亿圆零壹分", "壹亿元零壹分"]),
        (10010010001, ["壹亿零壹拾万零壹佰圆零壹分", "壹亿零壹拾万零壹佰元零壹分"]),
        (12345678901, ["壹亿贰仟叁佰肆拾伍万陆仟柒佰捌拾玖圆零壹分", "壹亿贰仟叁佰肆拾伍万陆仟柒佰捌拾玖元零壹分"]),
        (0, ["零圆整", "零元整"]),
        (-1005, ["（负数）壹拾圆零伍分", "负壹拾圆零伍分"]),
    ] {
        assert_eq!(upper_case(Fen(fen)), texts[0]);
        for text in texts {
            assert_eq!(parse_upper_case(text), Some(Fen(fen)), "{text}");
        }
    }
    for no_numeral in ["", "圆", "拾圆整", "壹拾贰", "十圆整", "壹圆贰", "壹分角", "壹仟零圆整", "-5", "仟仟仟仟仟仟仟仟亿亿亿亿圆"]
    {
        assert_eq!(parse_upper_case(no_numeral), None, "{no_numeral}");
    }
}

#[test]
fn published_codes() {
    for (digits, derived, stated, agreement) in [
        ("1200154130", "01", Kind::Special, Agreement::Agrees),
        ("3200204130", "01", Kind::Special, Agreement::Agrees),
        ("4200161350", "04", Kind::Ordinary, Agreement::Agrees),
        ("033001600211", "10", Kind::Electronic, Agreement::Agrees),
        ("121001121071", "03", Kind::MotorVehicle, Agreement::Agrees),
        ("144031539110", "10", Kind::Electronic, Agreement::Agrees),
        ("131001570151", "10", Kind::Electronic, Agreement::Agrees),
        ("133011501118", "10", Kind::Electronic, Agreement::Agrees),
        ("111001571071", "10", Kind::Electronic, Agreement::Agrees),
        ("144031909110", "99", Kind::Electronic, Agreement::Agrees),
        ("144002009010", "99", Kind::Roll, Agreement::Agrees),
        ("050003523456", "99", Kind::Electronic, Agreement::Agrees),
        ("011001700112", "14", Kind::Electronic, Agreement::Agrees),
        ("011001700112", "14", Kind::Ordinary, Agreement::Conflict),
        ("011002000113", "08", Kind::Electronic, Agreement::Conflict),
        ("011002000117", "15", Kind::Ordinary, Agreement::Conflict),
        ("1200154130", "01", Kind::Ordinary, Agreement::Conflict),
    ] {
        let of = Derived::of(&code(digits));
        assert_eq!((of.code(), of.agreement(stated)), (derived, agreement), "{digits}");
    }
}
