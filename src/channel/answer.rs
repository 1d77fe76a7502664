//! Answers as JSON and as text for a terminal: the same content, in the order a person asks for it.

use serde_json::{Map, Value, json};

use super::json;
use crate::domain::invoice::Face;
use crate::domain::kind;
use crate::domain::money::upper_case;
use crate::verify::answer::{Answer, Registered};
use crate::verify::mask;
use crate::verify::query::Unanswerable;
use crate::verify::quota::Throttled;

/// The answer as JSON: `verdict` (number), `name`, `as_of` and what belongs to the verdict.
pub fn to_json(answer: &Answer) -> Value {
    let mut object = Map::new();
    object.insert("verdict".into(), answer.verdict.number().into());
    object.insert("name".into(), answer.verdict.name().into());
    object.insert("zh".into(), answer.verdict.chinese().into());
    object.insert("en".into(), answer.verdict.english().into());
    if let Some(id) = answer.id {
        object.insert("code".into(), id.code.to_string().into());
        object.insert("number".into(), id.number.to_string().into());
        if let Some((_, name)) = kind::area(&id.code) {
            object.insert("area".into(), name.into());
        }
    }
    object.insert(
        "as_of".into(),
        json!({
            "size": answer.as_of.size,
            "root": data_encoding::HEXLOWER.encode(&answer.as_of.root),
            "time": answer.as_of.time.to_string(),
            "time_ms": answer.as_of.time.0,
        }),
    );
    match &answer.unanswerable {
        Some(Unanswerable::Malformed { place, zh, en }) => {
            object.insert("malformed".into(), json!({ "place": place, "zh": zh, "en": en }));
        }
        Some(Unanswerable::Unsupported { zh, en }) => {
            object.insert("unsupported".into(), json!({ "zh": zh, "en": en }));
        }
        None => {}
    }
    if let Some(throttled) = &answer.throttled {
        object.insert("throttled".into(), throttled_json(throttled));
    }
    if answer.verdict.matched() {
        object.insert("count".into(), answer.count.into());
        object.insert("first_verified".into(), answer.first_verified.map(|time| time.to_string()).into());
        object.insert("compare_with_paper".into(), answer.compare_with_paper().into());
    }
    if let Some(crc_ok) = answer.crc_ok {
        object.insert("crc_ok".into(), crc_ok.into());
    }
    if answer.type_conflict {
        object.insert("warnings".into(), json!(["type_conflict"]));
    }
    if let Some(mark) = answer.mark {
        object.insert("mark".into(), mark.name().into());
    }
    if let Some(registered) = &answer.registered {
        insert_registered(&mut object, registered);
    }
    Value::Object(object)
}

fn throttled_json(throttled: &Throttled) -> Value {
    json!({
        "reason": throttled.reason.name(),
        "retry_after": throttled.retry_after,
        "needed": throttled.needed,
        "zh": throttled.chinese(),
        "en": throttled.english(),
    })
}

fn insert_registered(object: &mut Map<String, Value>, registered: &Registered) {
    object.insert("face".into(), face_json(registered.verified.face()));
    object.insert("index".into(), registered.index.into());
    object.insert("commit".into(), data_encoding::HEXLOWER.encode(&registered.commit).into());
    if let Some((amount, tax)) = registered.remaining {
        object.insert("remaining".into(), json!({ "amount": amount.to_string(), "tax": tax.to_string() }));
    }
    if let Some(changed) = registered.changed {
        object.insert("changed".into(), changed.to_string().into());
    }
    if registered.imported {
        object.insert("imported".into(), true.into());
    }
    if let Some(invoice) = &registered.invoice {
        object.insert("details".into(), masked(json::draft_of(invoice)));
    }
}

/// What any holder of the paper knows. The check code is a factor and is not repeated.
pub fn face_json(face: &Face) -> Value {
    let profile = face.kind.profile();
    json!({
        "kind": profile.code,
        "kind_zh": profile.chinese,
        "kind_en": profile.english,
        "code": face.id.code.to_string(),
        "number": face.id.number.to_string(),
        "date": face.date.to_string(),
        "amount": face.totals.amount.to_string(),
        "tax": face.totals.tax().to_string(),
        "total": face.totals.total.to_string(),
        "total_upper": upper_case(face.totals.total),
        "seller_id": face.seller_id.as_str(),
    })
}

/// Hides most of a text.
type Mask = fn(&str) -> String;

/// Members of a draft that speak of people (object, member), and how each is masked.
const MASKED: [(&str, &str, Mask); 12] = [
    ("buyer", "name", mask::name),
    ("buyer", "tax_id", mask::id),
    ("buyer", "id_card", mask::id),
    ("buyer", "address_phone", mask::account),
    ("buyer", "bank_account", mask::account),
    ("consignor", "name", mask::name),
    ("consignor", "tax_id", mask::id),
    ("consignee", "name", mask::name),
    ("consignee", "tax_id", mask::id),
    ("", "payee", mask::name),
    ("", "reviewer", mask::name),
    ("", "drawer", mask::name),
];

/// A draft as somebody who is not a party may see it. The check code and the remark, which may say anything, are left out.
pub fn masked(mut draft: Value) -> Value {
    for (parent, member, mask) in MASKED {
        let place = if parent.is_empty() { Some(&mut draft) } else { draft.get_mut(parent) };
        if let Some(value) = place.and_then(|object| object.get_mut(member))
            && let Some(text) = value.as_str()
        {
            *value = mask(text).into();
        }
    }
    if let Some(object) = draft.as_object_mut() {
        for private in ["check_code", "remark", "cipher"] {
            object.remove(private);
        }
    }
    draft
}

/// The answer for a terminal, Chinese first, English beside it.
pub fn to_text(answer: &Answer) -> String {
    let mut lines = vec![format!("{} {} | {}", answer.verdict.number(), answer.verdict.chinese(), answer.verdict.english())];
    match &answer.unanswerable {
        Some(Unanswerable::Malformed { place, zh, en }) => lines.push(format!("  {place}: {zh} | {en}")),
        Some(Unanswerable::Unsupported { zh, en }) => lines.push(format!("  {zh} | {en}")),
        None => {}
    }
    if let Some(throttled) = &answer.throttled {
        lines.push(format!("  {} | {}", throttled.chinese(), throttled.english()));
        lines.push(format!("  {} 秒后可再查 | again in {} s", throttled.retry_after, throttled.retry_after));
    }
    if let Some(registered) = &answer.registered {
        let face = registered.verified.face();
        let profile = face.kind.profile();
        lines.push(format!("  {} {} | {}", profile.code, profile.chinese, profile.english));
        lines.push(format!("  {} {}  {}", face.id.code, face.id.number, face.date));
        lines.push(format!(
            "  金额 amount {}  税额 tax {}  价税合计 total {} {}",
            face.totals.amount,
            face.totals.tax(),
            face.totals.total,
            upper_case(face.totals.total)
        ));
        let seller = registered.invoice.as_ref().map_or_else(String::new, |invoice| format!("{} ", invoice.seller_name));
        lines.push(format!("  销售方 seller {seller}{}", face.seller_id));
        if let Some((amount, tax)) = registered.remaining.filter(|(amount, _)| *amount != face.totals.amount) {
            lines.push(format!("  剩余 remaining {amount} + {tax}"));
        }
        let first = answer.first_verified.map_or_else(|| "首次 first time".to_owned(), |time| format!("首次 first {time}"));
        lines.push(format!("  查验次数 verified {} ({first})", answer.count));
        lines.push("  请核对票面金额、销售方和日期 | compare amount, seller and date with the paper".to_owned());
    }
    if answer.crc_ok == Some(false) {
        lines.push("  二维码校验位不符 | the QR code's checksum is wrong (no influence on the verdict)".to_owned());
    }
    if answer.type_conflict {
        lines.push("  发票代码与票种不符 | code and stated type disagree".to_owned());
    }
    if let Some(mark) = answer.mark {
        lines.push(format!("  号段状态 range {}", mark.name()));
    }
    lines.push(format!("  账本 ledger {} @ {}", answer.as_of.size, answer.as_of.time));
    lines.join("\n")
}
