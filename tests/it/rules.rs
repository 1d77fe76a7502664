//! Every rule, twice: a draft that breaks it and one that does not, alike but for one member; the whole list of faults and warnings compared.
//!
//! A row is (rule, base draft, member, value that breaks the rule, value that does not, what is then reported, what is reported otherwise).
//! `null` leaves the member out. In the lists `w` marks a warning.

use fapiao::channel::json::{self, MalformedJson, draft_of, parse_draft};
use fapiao::cli::sample;
use fapiao::domain::draft::{Draft, FEES_MAX, LINES_MAX};
use fapiao::domain::fault::{Fault, Severity};
use fapiao::domain::kind::Kind;
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::rules::{Accepted, ImportedState, Mode, RULES, Terms, accept};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::Day;
use proptest::prelude::*;
use serde_json::{Value, json};

type Row = (&'static str, &'static str, &'static str, Value, Value, &'static [&'static str], &'static [&'static str]);

/// A valid draft; `-import` is the same, imported.
fn base(name: &str) -> Value {
    match name.trim_end_matches("-import") {
        "special" => json!({
            "kind": "01", "code": "1100193130", "number": "20481101", "date": "2019-08-14", "machine_number": "661000234501", "cipher": "03*3-<85>+65\n/4-+7962>0/",
            "buyer": { "name": "宁波东港进出口有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "北京晨岭信息技术有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "1200.00", "tax": "156.00", "total": "1356.00", "drawer": "顾晓霜",
            "lines": [{ "name": "*软件*许可", "amount": "1200.00", "rate": "0.13", "tax": "156.00" }],
        }),
        "special-red" => json!({
            "kind": "01", "code": "1100193130", "number": "20481102", "date": "2019-09-03",
            "buyer": { "name": "宁波东港进出口有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "北京晨岭信息技术有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "-900.00", "tax": "-117.00", "total": "-1017.00", "drawer": "顾晓霜", "remark": "开具红字增值税专用发票信息表编号1101081909031234",
            "red": { "original_code": "1100193130", "original_number": "20481101", "notice_number": "1101081909031234", "reason": "1" },
            "lines": [
                { "nature": "2", "name": "*软件*许可", "amount": "-1000.00", "rate": "0.13", "tax": "-130.00" },
                { "nature": "1", "name": "*软件*许可", "amount": "100.00", "rate": "0.13", "tax": "13.00" },
            ],
        }),
        "freight" => json!({
            "kind": "02", "code": "4400151720", "number": "00330101", "date": "2016-06-20",
            "buyer": { "name": "宁波东港进出口有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "广州云桥物流有限公司", "tax_id": "91310115P12455XH31" },
            "consignor": { "name": "苏州金榛食品有限公司" }, "consignee": { "name": "广州白云南货批发部" }, "route": "苏州—南昌—广州",
            "tax_office": { "name": "广州市黄埔区国家税务局", "code": "144011200" }, "fees": [{ "item": "运费", "amount": "900.00" }, { "item": "装卸费", "amount": "100.00" }],
            "amount": "1000.00", "rate": "0.11", "tax": "110.00", "total": "1110.00", "drawer": "顾晓霜",
        }),
        "freight-red" => json!({
            "kind": "02", "code": "4400151720", "number": "00330102", "date": "2016-06-25", "remark": "开具红字货物运输业增值税专用发票信息表编号4401121511020009",
            "buyer": { "name": "宁波东港进出口有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "广州云桥物流有限公司", "tax_id": "91310115P12455XH31" },
            "consignor": { "name": "苏州金榛食品有限公司" }, "consignee": { "name": "广州白云南货批发部" }, "route": "苏州—南昌—广州",
            "tax_office": { "name": "广州市黄埔区国家税务局", "code": "144011200" }, "fees": [{ "item": "运费", "amount": "-1000.00" }],
            "amount": "-1000.00", "rate": "0.11", "tax": "-110.00", "total": "-1110.00", "drawer": "顾晓霜",
            "red": { "original_code": "4400151720", "original_number": "00330101", "notice_number": "4401121511020009" },
        }),
        "vehicle" => json!({
            "kind": "03", "code": "142001723001", "number": "00050011", "printed_code": "142001723001", "printed_number": "00050011", "date": "2018-05-06",
            "buyer": { "name": "周立春", "id_card": "420104199002300017" },
            "seller": { "name": "武汉长堤汽车销售服务有限公司", "tax_id": "91310115P12455XH31", "phone": "027-83000017", "address": "武汉市古田四路17号", "bank": "模拟银行", "account": "4201" },
            "vehicle": { "type": "两轮摩托车", "model": "云雀牌YQ125", "origin": "湖北省武汉市", "vin": "LFV3B28R1C3023336", "certificate": "WAC2017YQ000123" },
            "tax_office": { "name": "武汉市硚口区税务局", "code": "142010400" }, "amount": "1000.00", "rate": "0.16", "tax": "160.00", "total": "1160.00", "drawer": "程雨水",
        }),
        "ordinary" => json!({
            "kind": "04", "code": "032001900104", "number": "20930011", "date": "2019-09-06", "check_code": "20930011785541236098",
            "buyer": { "name": "北京朗润科贸有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "苏州金榛食品有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "1200.00", "tax": "130.00", "total": "1330.00", "total_upper": "壹仟叁佰叁拾圆整", "drawer": "顾晓霜",
            "lines": [
                { "name": "*糕点*礼盒", "quantity": "10", "price": "100", "amount": "1000.00", "rate": "0.13", "tax": "130.00", "tax_class": "1030208990000000000" },
                { "name": "*蔬菜*生菜", "amount": "200.00", "rate": "0", "treatment": "1", "tax": "0.00", "preferential": true, "preference": "免税" },
            ],
        }),
        "ordinary-red" => json!({
            "kind": "04", "code": "032001900104", "number": "20930031", "date": "2019-09-17", "remark": "对应正数发票代码:032001900104号码:20930011", "check_code": "20930031667788990011",
            "buyer": { "name": "北京朗润科贸有限公司", "tax_id": "91330106B7M7QEY928" }, "seller": { "name": "苏州金榛食品有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "-100.00", "tax": "-13.00", "total": "-113.00", "drawer": "顾晓霜", "red": { "original_code": "032001900104", "original_number": "20930011" },
            "lines": [{ "name": "*糕点*礼盒", "quantity": "-1", "price": "100", "amount": "-100.00", "rate": "0.13", "tax": "-13.00" }],
        }),
        "discount" => json!({
            "kind": "04", "code": "032001900104", "number": "20930012", "date": "2019-09-06", "check_code": "20930011785541236098",
            "buyer": { "name": "郑小寒" }, "seller": { "name": "苏州金榛食品有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "1000.00", "tax": "130.00", "total": "1130.00", "drawer": "顾晓霜",
            "lines": [
                { "nature": "2", "name": "*糕点*礼盒", "amount": "1000.00", "rate": "0.13", "tax": "130.00" },
                { "nature": "1", "name": "*糕点*礼盒", "amount": "-100.00", "rate": "0.13", "tax": "-13.00" },
                { "nature": "0", "name": "*糕点*礼盒", "amount": "100.00", "rate": "0.13", "tax": "13.00" },
            ],
        }),
        "margin" => json!({
            "kind": "04", "code": "032001900104", "number": "20930013", "date": "2019-09-06", "check_code": "20930011785541236098", "remark": "差额征税：0.10",
            "buyer": { "name": "郑小寒" }, "seller": { "name": "厦门海沧旅行社有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "1000.00", "tax": "130.00", "total": "1130.00", "drawer": "顾晓霜",
            "lines": [{ "name": "*旅游服务*二日游", "amount": "1000.00", "rate": "0.13", "tax": "130.00", "deduction": "0.10" }],
        }),
        // 22 lines: 21 of them 0.06 away from what their rate makes of them, the last 0.01.
        "many" => {
            let mut lines =
                vec![json!({ "name": "*旅游服务*二日游", "amount": "1000.00", "rate": "0.13", "tax": "130.00", "deduction": "0.46" }); 22];
            lines[21]["deduction"] = json!("0.08");
            json!({
                "kind": "04", "code": "032001900104", "number": "20930014", "date": "2019-09-06", "check_code": "20930011785541236098", "remark": "差额征税",
                "buyer": { "name": "郑小寒" }, "seller": { "name": "厦门海沧旅行社有限公司", "tax_id": "91310115P12455XH31" },
                "amount": "22000.00", "tax": "2860.00", "total": "24860.00", "drawer": "顾晓霜", "lines": lines,
            })
        }
        "rent" => json!({
            "kind": "04", "code": "032001900104", "number": "20930015", "date": "2019-09-06", "check_code": "20930011785541236098",
            "buyer": { "name": "郑小寒" }, "seller": { "name": "苏州金榛食品有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "20700.00", "tax": "300.00", "total": "21000.00", "drawer": "顾晓霜",
            "lines": [{ "name": "*经营租赁*住房租金", "amount": "20700.00", "rate": "0.015", "tax": "300.00" }],
        }),
        "electronic" => json!({
            "kind": "10", "code": "033001500111", "number": "61010101", "date": "2015-12-20", "machine_number": "661000330200", "buyer": { "name": "郑小寒" },
            "seller": { "name": "杭州青禾软件有限公司", "tax_id": "91310115P12455XH31" }, "amount": "100.00", "tax": "6.00", "total": "106.00", "drawer": "顾晓霜",
            "lines": [{ "name": "*软件*年度会员", "amount": "100.00", "rate": "0.06", "tax": "6.00" }],
        }),
        "pinyin" => json!({
            "fplx": "10", "fpdm": "033002000111", "fphm": "61010102", "kprq": "20200316", "jqbh": "661000330200", "jym": "61010 10277 77666 65555", "mw": "",
            "gfmc": "魏秋分", "gfsbh": "", "xfmc": "杭州青禾软件有限公司", "xfsbh": "91310115P12455XH31", "hjje": "100.00", "hjse": "1.00", "jshj": "101.00",
            "jshjdx": "壹佰零壹元整", "bz": "", "kpr": "顾晓霜",
            "mxxx": [{ "fphxz": "0", "hwmc": "*软件*年度会员", "sl": "", "dj": "", "je": "100.00", "slv": "1%", "se": "1.00", "yhzcbs": "0", "lslbs": "", "kce": null }],
        }),
        "roll" => json!({
            "kind": "11", "code": "051001800107", "number": "00600001", "printed_number": "00600001", "date": "2019-04-15", "machine_number": "669900011011",
            "check_code": "60000118273645546372", "seller": { "name": "成都锦里餐饮管理有限公司", "tax_id": "91310115P12455XH31" },
            "amount": "300.00", "tax": "26.00", "total": "326.00", "drawer": "陆小满",
            "lines": [
                { "name": "饮料 Cola", "quantity": "2", "price": "113.00", "gross": "226.00", "amount": "200.00", "rate": "0.13", "tax": "26.00" },
                { "name": "鲜玉米", "gross": "100.00", "amount": "100.00", "rate": "免税", "tax": "***" },
            ],
        }),
        other => panic!("no base {other}"),
    }
}

fn day(text: &str) -> Day {
    Day::parse(text).expect("a day")
}

/// Today is three days after the base's date; the original of a red-letter base is of 2019-09-01, of freight 2016-06-01.
fn terms(name: &str) -> Terms {
    let base = base(name);
    let date = day(base["date"].as_str().or(base["kprq"].as_str()).expect("a date"));
    let mode = if name.ends_with("-import") { Mode::Import } else { Mode::Issue { days_back: 31 } };
    let original = if name.starts_with("freight") { "2016-06-01" } else { "2019-09-01" };
    let original_date = name.contains("-red").then(|| day(original));
    Terms { today: date.plus_days(3).expect("a day"), mode, check_code: CheckCode::from_random([7, 8]), original_date }
}

fn with(mut draft: Value, member: &str, value: &Value) -> Value {
    let (parent, name) = member.rsplit_once('/').expect("a pointer");
    match draft.pointer_mut(parent).expect("the base has the parent") {
        Value::Object(object) if value.is_null() => drop(object.remove(name)),
        Value::Object(object) => drop(object.insert(name.to_owned(), value.clone())),
        Value::Array(rows) => rows[name.parse::<usize>().expect("a row")] = value.clone(),
        other => panic!("{member} is in {other}"),
    }
    draft
}

fn judge(draft: &str, terms: &Terms) -> Result<Accepted, Vec<Fault>> {
    accept(&parse_draft(draft.as_bytes()).expect("JSON"), terms)
}

fn listed(outcome: &Result<Accepted, Vec<Fault>>) -> Vec<String> {
    let faults = match outcome {
        Ok(accepted) => &accepted.warnings,
        Err(faults) => faults,
    };
    assert_eq!(outcome.is_err(), faults.iter().any(|fault| fault.severity == Severity::Fault));
    faults.iter().map(|fault| format!("{}{} {}", fault.code, if fault.severity == Severity::Warning { "w" } else { "" }, fault.path)).collect()
}

/// What is wrong with a row.
fn check((code, name, member, breaking, keeping, broken, kept): &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    for (value, expected) in [(breaking, broken), (keeping, kept)] {
        let draft = with(base(name), member, value);
        let found = listed(&judge(&draft.to_string(), &terms(name)));
        if found != *expected {
            wrong.push(format!("{code}: {name} with {member} = {value}: {found:?}, not {expected:?}"));
        }
    }
    let names = |list: &[&str]| list.iter().any(|entry| entry.starts_with(code));
    if !names(broken) || names(kept) {
        wrong.push(format!("{code} is not what the row of {name} with {member} shows"));
    }
    wrong
}

/// Codes that no row shows.
fn unshown(rows: &[Row]) -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.code).filter(|code| !rows.iter().any(|row| row.0 == *code)).collect()
}

fn long(text: &str, count: usize) -> Value {
    Value::from(text.repeat(count))
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let no = Value::Null;
    let issuer = |key_id: &str, bytes: usize| json!({ "key_id": key_id, "signature": "5a".repeat(bytes) });
    let fee = json!({ "item": "运费", "amount": "0.00" });
    let fees = |count: usize| { let mut fees = vec![fee.clone(); count]; fees[0]["amount"] = json!("1000.00"); Value::from(fees) };
    let roll_line = |count: usize| {
        let mut lines = vec![json!({ "name": "小面", "gross": "0.00", "amount": "0.00", "rate": "0.13", "tax": "0.00" }); count];
        lines[0] = json!({ "name": "小面", "gross": "326.00", "amount": "300.00", "rate": "免税", "tax": "***" });
        lines[1] = json!({ "name": "饮料", "gross": "226.00", "amount": "200.00", "rate": "0.13", "tax": "26.00" });
        lines[0]["amount"] = json!("100.00"); lines[0]["gross"] = json!("100.00");
        Value::from(lines)
    };
    vec![
        // 01 form
        ("FP-01-001", "special", "/colour", json!("red"), no.clone(), &["FP-01-001 /colour"], &[]),
        ("FP-01-001", "special", "/buyer/a~b", json!("x"), no.clone(), &["FP-01-001 /buyer/a~0b"], &[]),
        ("FP-01-001", "special", "/lines/0/je税", json!([1, {}]), no.clone(), &["FP-01-001 /lines/0/je税"], &[]),
        ("FP-01-001", "ordinary-import", "/colour", json!("red"), no.clone(), &["FP-01-001w /colour"], &[]),
        ("FP-01-002", "special", "/fpdm", json!("1100193130"), no.clone(), &["FP-01-002 /fpdm"], &[]),
        ("FP-01-002", "special", "/gfmc", json!("宁波东港进出口有限公司"), no.clone(), &["FP-01-002 /gfmc"], &[]),
        ("FP-01-002", "special", "/mxxx", json!([]), no.clone(), &["FP-01-002 /mxxx"], &[]),
        ("FP-01-002", "pinyin", "/mxxx/0/spmc", json!("年度会员"), no.clone(), &["FP-01-002 /mxxx/0/spmc"], &[]),
        ("FP-01-003", "special", "/amount", json!(1200.00), json!("1200.00"), &["FP-01-003 /amount"], &[]),
        ("FP-01-003", "special", "/code", json!({ "x": 1 }), json!("1100193130"), &["FP-01-003 /code"], &[]),
        ("FP-01-003", "special", "/remark", json!(true), json!(""), &["FP-01-003 /remark"], &[]),
        ("FP-01-003", "special", "/red", json!([1]), json!(""), &["FP-01-003 /red"], &[]),
        ("FP-01-003", "special", "/fees", json!({}), json!([]), &["FP-01-003 /fees"], &[]),
        ("FP-01-003", "pinyin", "/hjje", json!(100), json!("100.00"), &["FP-01-003 /hjje"], &[]),
        ("FP-01-004", "freight", "/fees", fees(FEES_MAX + 1), fees(FEES_MAX), &["FP-01-004 /fees"], &[]),
        ("FP-01-005", "special", "/drawer", no.clone(), json!("顾晓霜"), &["FP-01-005 /drawer"], &[]),
        ("FP-01-005", "special", "/buyer/tax_id", json!(""), json!("91330106B7M7QEY928"), &["FP-01-005 /buyer/tax_id"], &[]),
        ("FP-01-005", "special", "/lines", json!([]), json!([{ "name": "*软件*许可", "amount": "1200.00", "rate": "0.13", "tax": "156.00" }]), &["FP-01-005 /lines"], &[]),
        ("FP-01-005", "special-red", "/red/notice_number", no.clone(), json!("1101081909031234"), &["FP-01-005 /red/notice_number"], &[]),
        ("FP-01-005", "ordinary-red", "/red/original_number", no.clone(), json!("20930011"), &["FP-01-005 /red/original_number"], &[]),
        ("FP-01-005", "electronic", "/machine_number", no.clone(), json!("661000330200"), &["FP-01-005 /machine_number"], &[]),
        ("FP-01-005", "roll", "/lines/1/gross", no.clone(), json!("100.00"), &["FP-01-005 /lines/1/gross"], &[]),
        ("FP-01-005", "pinyin", "/mxxx/0/slv", json!(""), json!("1%"), &["FP-01-005 /mxxx/0/slv"], &[]),
        ("FP-01-005", "ordinary-import", "/buyer/name", no.clone(), json!("郑小寒"), &["FP-01-005 /buyer/name"], &[]),
        ("FP-01-006", "special", "/route", json!("北京—上海"), no.clone(), &["FP-01-006 /route"], &[]),
        ("FP-01-006", "special", "/check_code", json!("20930011785541236098"), no.clone(), &["FP-01-006 /check_code"], &[]),
        ("FP-01-006", "freight", "/lines", json!([{ "name": "x", "amount": "1.00", "rate": "0.11", "tax": "0.11" }]), json!([]),
            &["FP-01-006 /lines", "FP-01-006 /lines/0/name", "FP-01-006 /lines/0/amount", "FP-01-006 /lines/0/rate", "FP-01-006 /lines/0/tax"], &[]),
        ("FP-01-006", "roll", "/lines/0/unit", json!("瓶"), json!(""), &["FP-01-006 /lines/0/unit"], &[]),
        ("FP-01-006", "ordinary-red", "/red/notice_number", json!("1101081909031234"), no.clone(), &["FP-01-006 /red/notice_number"], &[]),
        ("FP-01-006", "ordinary-import", "/route", json!("北京—上海"), no.clone(), &["FP-01-006w /route"], &[]),
        ("FP-01-007", "special", "/payee", long("满", 9), long("满", 8), &["FP-01-007 /payee"], &[]),
        ("FP-01-007", "special", "/payee", long("L", 17), long("L", 16), &["FP-01-007 /payee"], &[]),
        ("FP-01-007", "special", "/lines/0/unit", long("台", 11), long("台", 10), &["FP-01-007 /lines/0/unit"], &[]),
        ("FP-01-007", "ordinary-import", "/remark", long("注", 116), long("注", 115), &["FP-01-007w /remark"], &[]),
        ("FP-01-008", "ordinary-import", "/remark", long("注", 1001), long("注", 1000), &["FP-01-008 /remark"], &["FP-01-007w /remark"]),
        ("FP-01-009", "special", "/remark", json!("a\u{0}b"), json!("a\nb"), &["FP-01-009 /remark"], &[]),
        ("FP-01-009", "special", "/drawer", json!("顾\n晓霜"), json!("顾 晓霜"), &["FP-01-009 /drawer"], &[]),
        ("FP-01-009", "special", "/remark", json!("a\u{85}"), json!("a\u{a0}"), &["FP-01-009 /remark"], &[]),
        ("FP-01-010", "special", "/state", json!("normal"), json!(""), &["FP-01-010 /state"], &[]),
        ("FP-01-010", "pinyin", "/zfbz", json!("N"), json!(""), &["FP-01-010 /zfbz"], &[]),
        ("FP-01-011", "ordinary-import", "/state", json!("void"), json!("voided"), &["FP-01-011 /state"], &[]),
        // 02 identity and code
        ("FP-02-001", "special", "/kind", json!("08"), json!("01"), &["FP-02-001 /kind"], &[]),
        ("FP-02-002", "special", "/code", json!("11001931301"), json!("1100193130"), &["FP-02-002 /code"], &[]),
        ("FP-02-002", "pinyin", "/fpdm", json!("03300200011x"), json!("033002000111"), &["FP-02-002 /fpdm"], &[]),
        ("FP-02-003", "electronic", "/code", json!("3300151320"), json!("033001500111"), &["FP-02-003 /code"], &[]),
        ("FP-02-004", "special", "/number", json!("00000000"), json!("00000001"), &["FP-02-004 /number"], &[]),
        ("FP-02-005", "special", "/date", json!("2019-02-29"), json!("20190814"), &["FP-02-005 /date"], &[]),
        ("FP-02-006", "special", "/date", json!("2019-08-18"), json!("2019-08-17"), &["FP-02-006 /date"], &[]),
        ("FP-02-006", "ordinary-import", "/date", json!("2019-09-10"), json!("2019-09-09"), &["FP-02-006w /date"], &[]),
        ("FP-02-007", "special", "/date", json!("2019-07-16"), json!("2019-07-17"), &["FP-02-007 /date"], &[]),
        ("FP-02-008", "special", "/code", json!("1100193630"), json!("1100193530"), &["FP-02-008w /code"], &[]),
        ("FP-02-008", "electronic", "/code", json!("033001500117"), json!("033001500112"), &["FP-02-008w /code"], &[]),
        ("FP-02-008", "electronic", "/code", json!("033001500113"), json!("033001500156"), &["FP-02-008w /code"], &[]),
        ("FP-02-009", "special", "/code", json!("7100193130"), json!("6512193130"), &["FP-02-009w /code"], &[]),
        ("FP-02-010", "special", "/code", json!("1100203130"), json!("1100193130"), &["FP-02-010w /code"], &[]),
        ("FP-02-010", "special", "/code", json!("1100133130"), json!("1100143130"), &["FP-02-010w /code"], &[]),
        ("FP-02-011", "ordinary", "/check_code", json!("2093001178554123609"), json!("20930 01178 55412 36098"), &["FP-02-011 /check_code"], &[]),
        ("FP-02-012", "ordinary-import", "/check_code", json!(""), json!("20930011785541236098"), &["FP-02-012 /check_code"], &[]),
        ("FP-02-013", "special", "/machine_number", json!("66100023450"), json!("661000234501"), &["FP-02-013 /machine_number"], &[]),
        ("FP-02-014", "vehicle", "/printed_number", json!("00050012"), json!("00050011"), &["FP-02-014 /printed_number"], &[]),
        ("FP-02-014", "roll", "/printed_number", json!("00600002"), json!(""), &["FP-02-014 /printed_number"], &[]),
        ("FP-02-015", "electronic", "/date", json!("2015-11-30"), json!("2015-12-01"), &["FP-02-015w /date"], &[]),
        ("FP-02-016", "roll-import", "/date", json!("2016-12-31"), json!("2019-01-01"), &["FP-02-010w /code", "FP-02-016w /date"], &["FP-06-003w /lines/0/rate"]),
        ("FP-02-017", "ordinary-import", "/date", json!("2017-12-31"), json!("2018-01-01"), &["FP-02-010w /code", "FP-02-017w /code", "FP-06-003w /lines/0/rate"], &["FP-02-010w /code", "FP-06-003w /lines/0/rate"]),
        // 03 parties
        ("FP-02-018", "electronic", "/issuer", issuer("0011223344556677", 64), json!({ "key_id": "", "signature": null }), &["FP-02-018 /check_code"], &[]),
        ("FP-03-001", "special", "/seller/tax_id", json!("91310115p12455xh31"), json!("91310115P12455XH31"), &["FP-03-001 /seller/tax_id"], &[]),
        ("FP-03-001", "ordinary", "/buyer/tax_id", json!("1234567890123456"), json!("123456789012345"), &["FP-03-001 /buyer/tax_id"], &[]),
        ("FP-03-002", "special", "/buyer/tax_id", json!("91350100M0001TGQXM"), json!("91330106B7M7QEY928"), &["FP-03-002w /buyer/tax_id"], &[]),
        ("FP-03-002", "freight", "/consignor/tax_id", json!("92110108F7PRCDM57C"), json!("92110108F7PRCDM57Q"), &["FP-03-002w /consignor/tax_id"], &[]),
        ("FP-03-003", "ordinary", "/buyer/tax_id", no.clone(), json!("123456789012345"), &["FP-03-003w /buyer/tax_id"], &[]),
        ("FP-03-003", "discount", "/buyer/name", json!("郑小寒事务所"), json!("郑小寒"), &["FP-03-003w /buyer/tax_id"], &[]),
        ("FP-03-004", "freight", "/tax_office/code", json!("1440112000"), json!("14401120000"), &["FP-03-004 /tax_office/code"], &[]),
        ("FP-03-005", "special", "/issuer", issuer("00112233445566AA", 64), issuer("00112233445566aa", 64), &["FP-03-005 /issuer/key_id"], &[]),
        ("FP-03-006", "ordinary-import", "/issuer", issuer("00112233445566aa", 63), issuer("00112233445566aa", 64), &["FP-03-006 /issuer/signature"], &[]),
        ("FP-03-007", "freight", "/issuer", json!({ "key_id": "00112233445566aa" }), json!({}), &["FP-03-007 /issuer/signature"], &[]),
        // 04 sums
        ("FP-04-001", "special", "/amount", json!("1,200.00"), json!("1200"), &["FP-04-001 /amount"], &[]),
        ("FP-04-001", "ordinary", "/lines/0/tax", json!("***"), json!("130.0"), &["FP-04-001 /lines/0/tax"], &[]),
        ("FP-04-002", "freight", "/total", json!("1110.01"), json!("1110"), &["FP-04-002 /total"], &[]),
        ("FP-04-002", "ordinary-import", "/tax", json!("130.01"), json!("130.00"), &["FP-04-002 /total", "FP-04-004w /tax"], &[]),
        ("FP-04-003", "special", "/lines/0/amount", json!("1200.01"), json!("1200.00"), &["FP-04-003 /amount"], &[]),
        ("FP-04-003", "ordinary-import", "/lines/1/amount", json!("200.01"), json!("200"), &["FP-04-003w /amount"], &[]),
        ("FP-04-004", "special", "/lines/0/tax", json!("156.01"), json!("156"), &["FP-04-004 /tax"], &[]),
        ("FP-04-005", "many", "/lines/21/deduction", json!("0.15"), json!("0.08"), &["FP-04-005 /tax"], &[]),
        ("FP-04-005", "many-import", "/lines/21/deduction", json!("0.15"), json!("0.08"), &["FP-04-005w /tax"], &[]),
        ("FP-04-006", "ordinary", "/total_upper", json!("一千三百三十元"), json!("壹仟叁佰叁拾元正"), &["FP-04-006 /total_upper"], &[]),
        ("FP-04-007", "ordinary", "/total_upper", json!("壹仟叁佰叁拾圆零壹分"), json!("壹仟叁佰叁拾圆整"), &["FP-04-007 /total_upper"], &[]),
        ("FP-04-007", "pinyin", "/jshjdx", json!("壹佰壹拾元整"), json!("壹佰零壹圆整"), &["FP-04-007 /jshjdx"], &[]),
        ("FP-04-008", "electronic", "/total", json!("0.00"), json!("106.00"), &["FP-04-002 /total", "FP-04-008 /total"], &[]),
        ("FP-04-009", "ordinary-red", "/tax", json!("13.00"), json!("-13.00"), &["FP-04-002 /total", "FP-04-004 /tax", "FP-04-005 /tax", "FP-04-009 /tax"], &[]),
        // 05 lines
        ("FP-05-001", "margin", "/lines/0/deduction", json!("0.54"), json!("0.46"), &["FP-05-001 /lines/0/tax"], &[]),
        ("FP-05-001", "margin", "/lines/0/deduction", json!("-0.54"), json!("-0.46"), &["FP-05-001 /lines/0/tax"], &[]),
        ("FP-05-001", "margin-import", "/lines/0/deduction", json!("0.54"), json!("0.46"), &["FP-05-001w /lines/0/tax"], &[]),
        ("FP-05-001", "roll", "/lines/0/rate", json!("0.12965"), json!("0.12970"), &["FP-05-001 /lines/0/tax", "FP-06-003w /lines/0/rate"], &["FP-06-003w /lines/0/rate"]),
        ("FP-05-001", "rent", "/lines/0/rate", json!("0.02"), json!("1.5%"), &["FP-04-005 /tax", "FP-05-001 /lines/0/tax"], &[]),
        ("FP-05-002", "ordinary", "/lines/0/price", json!("100.002"), json!("100.001"), &["FP-05-002 /lines/0/amount"], &[]),
        ("FP-05-002", "ordinary", "/lines/0/price", json!("99.998"), json!("99.999"), &["FP-05-002 /lines/0/amount"], &[]),
        ("FP-05-002", "ordinary", "/lines/0/price", json!("9999999999.99999999"), json!("100.00000001"), &["FP-05-002 /lines/0/amount"], &[]),
        ("FP-05-003", "ordinary", "/lines/0/price", no.clone(), json!("100"), &["FP-05-003 /lines/0/price"], &[]),
        ("FP-05-003", "ordinary", "/lines/0/quantity", json!(""), json!("10.0"), &["FP-05-003 /lines/0/quantity"], &[]),
        ("FP-05-004", "ordinary", "/lines/0/quantity", json!("10.000000001"), json!("10.00000000"), &["FP-05-004 /lines/0/quantity"], &[]),
        ("FP-05-005", "ordinary", "/lines/0/nature", json!("3"), json!("0"), &["FP-05-005 /lines/0/nature"], &[]),
        ("FP-05-006", "discount", "/lines/2/nature", json!("1"), json!("0"), &["FP-05-006 /lines/2/nature", "FP-05-009 /lines/2/amount"], &[]),
        ("FP-05-006", "discount", "/lines/0/nature", json!("0"), json!("2"), &["FP-05-006 /lines/1/nature"], &[]),
        ("FP-05-006", "discount", "/lines/0/nature", json!("1"), json!("2"), &["FP-05-006 /lines/0/nature", "FP-05-006 /lines/1/nature", "FP-05-009 /lines/0/amount"], &[]),
        ("FP-05-007", "discount", "/lines/2/nature", json!("2"), json!("0"), &["FP-05-007 /lines/2/nature"], &[]),
        ("FP-05-007", "discount", "/lines/1/nature", json!("0"), json!("1"), &["FP-05-007 /lines/0/nature"], &[]),
        ("FP-05-008", "discount", "/lines/1/name", json!("*糕点*点心"), json!("*糕点*礼盒"), &["FP-05-008 /lines/1/name"], &[]),
        ("FP-05-008", "discount", "/lines/1/tax_class", json!("1030208990000000000"), no.clone(), &["FP-05-008 /lines/1/tax_class"], &[]),
        ("FP-05-008", "discount", "/lines/1/rate", json!("0.09"), json!("13%"), &["FP-04-005 /tax", "FP-05-001 /lines/1/tax", "FP-05-008 /lines/1/rate"], &[]),
        ("FP-05-009", "discount", "/lines/1/amount", json!("100.00"), json!("-100.00"), &["FP-04-003 /amount", "FP-04-005 /tax", "FP-05-001 /lines/1/tax", "FP-05-009 /lines/1/amount"], &[]),
        ("FP-05-009", "special-red", "/lines/1/amount", json!("-100.00"), json!("100.00"), &["FP-04-003 /amount", "FP-04-005 /tax", "FP-05-001 /lines/1/tax", "FP-05-009 /lines/1/amount"], &[]),
        ("FP-05-010", "discount", "/lines/1/amount", json!("-1000.01"), json!("-100.00"), &["FP-04-003 /amount", "FP-04-005 /tax", "FP-05-001 /lines/1/tax", "FP-05-010 /lines/1/amount"], &[]),
        ("FP-05-010", "discount-import", "/lines/1/amount", json!("-1000.01"), json!("-1000.00"), &["FP-04-003w /amount", "FP-04-005w /tax", "FP-05-001w /lines/1/tax", "FP-05-010w /lines/1/amount"], &["FP-04-003w /amount", "FP-04-005w /tax", "FP-05-001w /lines/1/tax"]),
        ("FP-05-011", "ordinary", "/lines/0/tax_class", json!("103020899"), json!(""), &["FP-05-011 /lines/0/tax_class"], &[]),
        ("FP-05-012", "ordinary", "/lines/1/preferential", json!("yes"), json!("1"), &["FP-05-012 /lines/1/preferential"], &[]),
        ("FP-05-013", "ordinary", "/lines/1/preferential", json!(false), json!(true), &["FP-05-013 /lines/1/preference"], &[]),
        ("FP-05-014", "margin", "/remark", json!("差额"), json!("本票差额征税：0.10"), &["FP-05-014w /lines/0/deduction"], &[]),
        ("FP-05-015", "special", "/remark", json!("差额征税：80.00"), json!("全额"), &["FP-05-015w /lines/0/tax"], &[]),
        ("FP-05-016", "ordinary", "/lines/0/nature", json!("6"), json!("0"), &["FP-05-016w /lines/0/nature"], &[]),
        // 06 rates
        ("FP-06-001", "special", "/lines/0/rate", json!("13"), json!("13%"), &["FP-06-001 /lines/0/rate"], &[]),
        ("FP-06-001", "vehicle", "/rate", json!("100%"), json!("16.0%"), &["FP-06-001 /rate"], &[]),
        ("FP-06-002", "ordinary", "/lines/1/treatment", json!("4"), json!("0"), &["FP-06-002 /lines/1/treatment"], &[]),
        ("FP-06-003", "vehicle", "/date", json!("2018-04-30"), json!("2018-05-01"), &["FP-06-003w /rate"], &[]),
        ("FP-06-003", "roll", "/date", json!("2019-03-31"), json!("2019-04-01"), &["FP-06-003w /lines/0/rate"], &[]),
        ("FP-06-003", "pinyin", "/kprq", json!("20200229"), json!("20200301"), &["FP-06-003w /mxxx/0/slv"], &[]),
        ("FP-06-003", "ordinary-red", "/lines/0/rate", json!("0.13001"), json!("0.13"), &["FP-06-003w /lines/0/rate"], &[]),
        ("FP-06-004", "ordinary", "/lines/1/rate", json!("0.13"), json!("0.00"), &["FP-06-004 /lines/1/rate"], &[]),
        ("FP-06-005", "ordinary", "/lines/1/tax", json!("0.01"), json!("***"), &["FP-04-004 /tax", "FP-06-005 /lines/1/tax"], &[]),
        ("FP-06-005", "ordinary-import", "/lines/1/tax", json!("0.01"), json!("0"), &["FP-04-004w /tax", "FP-06-005w /lines/1/tax"], &[]),
        ("FP-06-006", "ordinary", "/lines/1/rate", json!("不征税"), json!("***"), &["FP-06-006 /lines/1/rate"], &[]),
        // 07 freight
        ("FP-07-001", "freight-import", "/date", json!("2016-07-01"), json!("2016-06-30"), &["FP-02-006w /date", "FP-07-001w /date"], &["FP-02-006w /date"]),
        ("FP-07-002", "freight", "/fees/1/amount", json!("100.01"), json!("100"), &["FP-07-002 /amount"], &[]),
        ("FP-07-003", "freight", "/rate", json!("0.11007"), json!("0.11006"), &["FP-07-003 /tax", "FP-06-003w /rate"], &["FP-06-003w /rate"]),
        // 08 motor vehicle
        ("FP-08-001", "vehicle", "/vehicle/vin", json!("LFV3B28R1C302333O"), json!("LFV3B28R1C3023336"), &["FP-08-001 /vehicle/vin"], &[]),
        ("FP-08-002", "vehicle", "/vehicle/vin", json!("LFV3B28R2C3023336"), json!("1M8GDM9AXKP042788"), &["FP-08-002w /vehicle/vin"], &[]),
        ("FP-08-003", "vehicle", "/vehicle/inspection", json!("K18-0420"), json!(""), &["FP-08-003 /vehicle/certificate"], &[]),
        ("FP-08-004", "vehicle", "/vehicle/certificate", json!(""), json!("WAC2017YQ000123"), &["FP-08-004 /vehicle/certificate"], &[]),
        ("FP-08-005", "vehicle", "/vehicle", json!({ "type": "轿车", "model": "N", "origin": "挪威", "vin": "LFV3B28R1C3023336", "import_certificate": "H1" }),
            json!({ "type": "轿车", "model": "N", "origin": "挪威", "vin": "LFV3B28R1C3023336", "import_certificate": "H1", "inspection": "K1" }), &["FP-08-005 /vehicle/inspection"], &[]),
        ("FP-08-006", "vehicle", "/buyer/id_card", no.clone(), json!("420104199002300017"), &["FP-08-006 /buyer/id_card"], &[]),
        ("FP-08-006", "vehicle", "/buyer", json!({ "name": "周立春" }), json!({ "name": "周立春", "tax_id": "91330106B7M7QEY928" }), &["FP-08-006 /buyer/id_card"], &[]),
        ("FP-08-007", "vehicle", "/rate", json!("0.16007"), json!("0.16006"), &["FP-08-007 /tax", "FP-06-003w /rate"], &["FP-06-003w /rate"]),
        // 09 roll
        ("FP-09-001", "roll", "/lines/0/gross", json!("226.01"), json!("226.00"), &["FP-09-001 /lines/0/gross", "FP-09-003 /total"], &[]),
        ("FP-09-002", "roll", "/lines/0/price", json!("113.01"), json!("113.005"), &["FP-09-002 /lines/0/gross"], &[]),
        ("FP-09-003", "roll-import", "/lines/1/gross", json!("100.01"), json!("100.00"), &["FP-09-001w /lines/1/gross", "FP-09-003w /total"], &[]),
        ("FP-09-004", "roll", "/lines", roll_line(14), roll_line(13), &["FP-09-004w /lines"], &[]),
        // 10 red
        ("FP-10-001", "ordinary-red", "/red", no.clone(), json!({ "original_code": "032001900104", "original_number": "20930011" }), &["FP-10-001 /red"], &[]),
        ("FP-10-001", "ordinary-red", "/red", json!({}), json!({ "original_code": "032001900104", "original_number": "20930011", "reason": "4" }), &["FP-10-001 /red"], &[]),
        ("FP-10-002", "ordinary", "/red", json!({ "original_code": "032001900104" }), json!({ "original_code": "" }), &["FP-10-002 /red/original_code"], &[]),
        ("FP-10-002", "pinyin", "/yfphm", json!("61010101"), json!(""), &["FP-10-002 /yfphm"], &[]),
        ("FP-10-003", "ordinary-red", "/red/original_number", json!("2093001"), json!("20930011"), &["FP-10-003 /red/original_number"], &[]),
        ("FP-10-004", "ordinary-red", "/number", json!("20930011"), json!("20930031"), &["FP-10-004 /red/original_number"], &[]),
        ("FP-10-005", "special-red", "/red", json!({ "original_code": "1100193130", "original_number": "20481101", "notice_number": "110108190903123" }),
            json!({ "original_code": "1100193130", "original_number": "20481101", "notice_number": "1101081909031234" }), &["FP-10-005 /red/notice_number"], &[]),
        ("FP-10-006", "special-red", "/red/reason", json!("5"), json!("2"), &["FP-10-006 /red/reason"], &[]),
        ("FP-10-007", "ordinary-red", "/remark", json!("退货"), json!("退货；对应正数发票代码：032001900104号码：20930011"), &["FP-10-007w /remark"], &[]),
        ("FP-10-007", "freight-red", "/remark", no.clone(), json!("开具红字货物运输业增值税专用发票信息表编号4401121511020009"), &["FP-10-007w /remark"], &[]),
        ("FP-10-008", "ordinary-red", "/date", json!("2019-08-31"), json!("2019-09-01"), &["FP-10-008 /date"], &[]),
    ]
}

#[test]
fn every_row() {
    let wrong: Vec<String> = rows().iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_row() {
    assert_eq!(unshown(&rows()), [""; 0]);
    // The canary: without a rule's rows, its code is missed.
    let without: Vec<Row> = rows().into_iter().filter(|row| row.0 != "FP-04-005").collect();
    assert_eq!(unshown(&without), ["FP-04-005"]);
}

#[test]
fn everything_wrong_is_said_at_once_and_in_two_languages() {
    let draft = json!({
        "fplx": "10", "fpdm": "0330020001", "fphm": "61010102", "kprq": "2020-02-30", "jqbh": 661000330200u64, "gfmc": "魏秋分", "xfsbh": "x",
        "hjje": "100.00", "hjse": "1.01", "jshj": "101.00", "kpr": "顾晓霜", "zfbz": "Y", "更多/?": {}, "route": "杭州",
        "mxxx": [{ "hwmc": "会员", "sl": "1", "je": "100.00", "slv": "1%", "se": "1.01" }, 5],
    });
    let outcome = judge(&draft.to_string(), &terms("pinyin"));
    let expected = [
        "FP-01-001 /更多~1?",
        "FP-01-003 /jqbh",
        "FP-01-003 /mxxx/1",
        "FP-01-005 /seller/name",
        "FP-01-006 /route",
        "FP-01-010 /zfbz",
        "FP-02-003 /fpdm",
        "FP-02-005 /kprq",
        "FP-03-001 /xfsbh",
        "FP-04-002 /jshj",
        "FP-05-003 /mxxx/0/price",
    ];
    assert_eq!(listed(&outcome), expected);
    let faults = outcome.expect_err("refused");
    assert_eq!(
        json::fault(&faults[9]),
        json!({
            "code": "FP-04-002", "severity": "fault", "path": "/jshj", "zh": "价税合计不等于金额加税额：100.00 + 1.01 ≠ 101.00",
            "en": "amount and tax do not add up to the total: 100.00 + 1.01 is not 101.00",
        })
    );
    assert_eq!(json::faults(&faults).as_array().map(Vec::len), Some(expected.len()));
}

#[test]
fn an_empty_draft_lacks_what_every_type_has() {
    let expected = ["kind", "code", "number", "date", "seller/name", "seller/tax_id", "amount", "tax", "total", "drawer"]
        .map(|member| format!("FP-01-005 /{member}"));
    assert_eq!(listed(&judge("{}", &terms("special"))), expected);
    for no_object in ["null", "[]", "[{}]", "1", "\"\"", "true"] {
        assert_eq!(listed(&judge(no_object, &terms("special"))), ["FP-01-003 "], "{no_object}");
    }
}

#[test]
fn what_is_not_json_is_not_judged() {
    let syntax = |bytes: &[u8]| match parse_draft(bytes) {
        Err(MalformedJson::Syntax { line, column, .. }) => (line, column),
        other => panic!("{other:?}"),
    };
    assert_eq!(syntax(b""), (1, 0));
    assert_eq!(syntax(b"{\"kind\": \"01\",\n \"code\" 1}"), (2, 9));
    assert_eq!(syntax(b"{} {}"), (1, 4));
    assert_eq!(syntax(br#"{"kind": "\ud800"}"#).0, 1);
    assert_eq!(parse_draft(b"{\"kind\": \"\xff\"}"), Err(MalformedJson::NotUtf8 { valid_up_to: 10 }));
    assert_eq!(parse_draft(&vec![b' '; json::DRAFT_BYTES_MAX + 1]), Err(MalformedJson::TooLarge { bytes: json::DRAFT_BYTES_MAX + 1 }));
    // Nesting is bounded, also of what nobody looks at.
    let deep = |depth: usize| parse_draft(format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
    assert!(deep(json::DEPTH_MAX - 1).is_ok_and(|draft| draft.oddities().len() == 1));
    for depth in [json::DEPTH_MAX, 1_000_000] {
        assert!(matches!(deep(depth), Err(MalformedJson::Syntax { .. })), "{depth}");
    }
}

#[test]
fn no_more_lines_than_a_draft_may_have() {
    let lines =
        |count| with(base("special"), "/lines", &Value::from(vec![json!({ "name": "x", "amount": "0.00", "rate": "0.13", "tax": "0.00" }); count]));
    let sums = ["FP-04-003 /amount", "FP-04-004 /tax", "FP-04-005 /tax"];
    assert_eq!(listed(&judge(&lines(LINES_MAX).to_string(), &terms("special"))), sums);
    let too_many = listed(&judge(&lines(LINES_MAX + 2).to_string(), &terms("special")));
    assert_eq!(too_many[0], "FP-01-004 /lines");
    assert_eq!(too_many[1..], sums);
}

#[test]
fn a_check_code_is_generated_where_a_new_draft_has_none() {
    let accepted = judge(&base("electronic").to_string(), &terms("electronic")).expect("accepted");
    assert_eq!((accepted.check_code_generated, accepted.invoice.check_code()), (true, Some(CheckCode::from_random([7, 8]))));
    let accepted = judge(&base("ordinary").to_string(), &terms("ordinary")).expect("accepted");
    assert_eq!((accepted.check_code_generated, accepted.invoice.check_code()), (false, CheckCode::parse("20930011785541236098")));
    let accepted = judge(&base("special").to_string(), &terms("special")).expect("accepted");
    assert_eq!((accepted.check_code_generated, accepted.invoice.check_code()), (false, None));
}

#[test]
fn an_imported_invoice_has_its_state() {
    for (text, state) in [
        ("", ImportedState::Normal),
        ("N", ImportedState::Normal),
        ("voided", ImportedState::Voided),
        ("2", ImportedState::Voided),
        ("red_flushed", ImportedState::RedFlushed),
        ("3", ImportedState::RedFlushed),
        ("abnormal", ImportedState::Abnormal),
    ] {
        let draft = with(base("ordinary"), "/zfbz", &json!(text));
        assert_eq!(judge(&draft.to_string(), &terms("ordinary-import")).expect("accepted").state, state, "{text}");
    }
}

#[test]
fn callers_learn_which_invoices_a_draft_is_about() {
    let id = |code: &str, number: &str| {
        Some(InvoiceId { code: InvoiceCode::parse(code).expect("a code"), number: InvoiceNumber::parse(number).expect("a number") })
    };
    let draft = parse_draft(base("ordinary-red").to_string().as_bytes()).expect("JSON");
    assert_eq!((draft.kind(), draft.id(), draft.original()), (Some(Kind::Ordinary), id("032001900104", "20930031"), id("032001900104", "20930011")));
    assert_eq!(parse_draft(b"{}").map(|draft| (draft.kind(), draft.id(), draft.original())), Ok((None, None, None)));
}

/// An id whose code is of this type, area and year.
fn id_of(kind: Kind, number: u32) -> InvoiceId {
    let code = match kind {
        Kind::Special => "1100193130",
        Kind::Freight => "4400151720",
        Kind::MotorVehicle => "142001923001",
        Kind::Ordinary => "032001900104",
        Kind::Electronic => "033001900111",
        Kind::Roll => "051001900107",
    };
    InvoiceId { code: InvoiceCode::parse(code).expect("a code"), number: InvoiceNumber::from_ordinal(number).expect("a number") }
}

fn sample(kind: Kind, seed: u64, number: u32) -> (String, Terms) {
    let date = day(if kind == Kind::Freight { "2016-03-08" } else { "2019-11-11" });
    let seller = TaxpayerId::parse("91310115P12455XH31").expect("a tax id");
    let terms = Terms { today: date, mode: Mode::Issue { days_back: 0 }, check_code: CheckCode::from_random([seed, 1]), original_date: None };
    (sample::draft(kind, seed, id_of(kind, number), date, &seller), terms)
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

/// Texts that are nearly right, and some that are anything.
fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![
        "-?[0-9]{0,14}(\\.[0-9]{0,9})?".prop_map(Value::from),
        prop::sample::select(
            &["", "***", "免税", "0", "1", "2", "6", "-99999999999.99", "99999999999.99", "-9999999999.99999999", "20991231", "零圆整"][..]
        )
        .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([{}])),
        Just(json!({ "a": [] })),
    ]
}

/// Pointers to every member of a draft.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut visit = |step: &str, inner: &Value| {
        let pointer = format!("{at}/{step}");
        found.push(pointer.clone());
        pointers(inner, &pointer, found);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, inner)| visit(name, inner)),
        Value::Array(rows) => rows.iter().enumerate().for_each(|(row, inner)| visit(&row.to_string(), inner)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn samples_are_accepted_and_survive_being_written_again(kind in kinds(), seed: u64, number in 1u32..100_000_000) {
        let (text, terms) = sample(kind, seed, number);
        let accepted = judge(&text, &terms);
        prop_assert_eq!(listed(&accepted), [""; 0]);
        let accepted = accepted.expect("accepted");
        let written = draft_of(&accepted.invoice);
        prop_assert_eq!(&judge(&written.to_string(), &terms).expect("accepted").invoice, &accepted.invoice);
        prop_assert_eq!(parse_draft(written.to_string().as_bytes()).expect("JSON").path(fapiao::domain::draft::fields::Field::Date), "/date");
        prop_assert_eq!(sample(kind, seed, number).0, text);
    }

    #[test]
    fn a_broken_draft_is_refused_with_a_fault_or_kept_as_it_is(kind in kinds(), seed: u64, import: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), texts()), 1..4)) {
        let (text, mut terms) = sample(kind, seed, 7);
        if import {
            terms.mode = Mode::Import;
        }
        let mut draft: Value = serde_json::from_str(&text).expect("JSON");
        for (place, value) in changes {
            let mut found = Vec::new();
            pointers(&draft, "", &mut found);
            if let Some(member) = draft.pointer_mut(&found[place.index(found.len())]) {
                *member = value;
            }
        }
        let outcome = judge(&draft.to_string(), &terms);
        listed(&outcome);
        if let Ok(accepted) = outcome {
            let again = parse_draft(draft_of(&accepted.invoice).to_string().as_bytes()).expect("JSON");
            prop_assert_eq!(accept(&again, &terms).expect("accepted").invoice, accepted.invoice);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}:,\"a-z0-9. ]{0,80}") {
        let read: [Result<Draft, MalformedJson>; 2] = [parse_draft(&bytes), parse_draft(text.as_bytes())];
        for draft in read.into_iter().flatten() {
            prop_assert!(accept(&draft, &terms("special")).is_err());
        }
    }
}
