//! Answers as JSON and as text for a terminal: the same content, in the order a person asks for it.

use std::fmt::Display;
use std::io::{self, Write};

use data_encoding::HEXLOWER;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::json;
use crate::domain::invoice::Face;
use crate::domain::kind;
use crate::domain::money::{Fen, upper_case};
use crate::verify::answer::{Answer, AsOf};
use crate::verify::mask;
use crate::verify::query::Unanswerable;
use crate::verify::quota::Throttled;

/// The answer as JSON: `verdict` (number), `name`, `as_of` and what belongs to the verdict.
pub fn to_json(answer: &Answer) -> Value {
    value_of(&Rendered(answer))
}

/// As [`to_json`], as text and without building it first: what a busy server sends.
pub fn to_json_text(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::with_capacity(ANSWER_BYTES_USUAL);
    match serde_json::to_writer(&mut text, &Rendered(answer)) {
        Ok(()) => text,
        Err(error) => unreachable!("writing JSON to memory failed: {error}"),
    }
}

/// Writes the answer as one line of a result: with the line that it answers, and its row where that is signed for.
pub fn write_line(out: &mut impl Write, answer: &Answer, line: u64, row: Option<&[u8]>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &RenderedLine { answer, line, row })?;
    out.write_all(b"\n")
}

/// An answer that shows an invoice, in bytes of JSON.
const ANSWER_BYTES_USUAL: usize = 1_024;

/// What any holder of the paper knows. The check code is a factor and is not repeated.
pub fn face_json(face: &Face) -> Value {
    value_of(&RenderedFace(face))
}

fn value_of(rendered: &impl Serialize) -> Value {
    match serde_json::to_value(rendered) {
        Ok(value) => value,
        Err(error) => unreachable!("what has only text for keys is JSON: {error}"),
    }
}

/// Something that is shown as it is printed.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// 32 bytes in hex.
struct Hex<'a>(&'a [u8; 32]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0; 64];
        HEXLOWER.encode_mut(self.0, &mut digits);
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

struct Rendered<'a>(&'a Answer);

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.members(&mut object)?;
        object.end()
    }
}

struct RenderedLine<'a> {
    answer: &'a Answer,
    line: u64,
    row: Option<&'a [u8]>,
}

impl Serialize for RenderedLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        Rendered(self.answer).members(&mut object)?;
        object.serialize_entry("line", &self.line)?;
        if let Some(row) = self.row {
            object.serialize_entry("row", &HEXLOWER.encode(row))?;
        }
        object.end()
    }
}

impl Rendered<'_> {
    fn members<M: SerializeMap>(&self, object: &mut M) -> Result<(), M::Error> {
        let answer = self.0;
        object.serialize_entry("verdict", &answer.verdict.number())?;
        object.serialize_entry("name", answer.verdict.name())?;
        object.serialize_entry("zh", answer.verdict.chinese())?;
        object.serialize_entry("en", answer.verdict.english())?;
        if let Some(id) = answer.id {
            object.serialize_entry("code", &Shown(id.code))?;
            object.serialize_entry("number", &Shown(id.number))?;
            if let Some((_, name)) = kind::area(&id.code) {
                object.serialize_entry("area", name)?;
            }
        }
        object.serialize_entry("as_of", &RenderedAsOf(&answer.as_of))?;
        match &answer.unanswerable {
            Some(Unanswerable::Malformed { place, zh, en }) => {
                object.serialize_entry("malformed", &json!({ "place": place, "zh": zh, "en": en }))?;
            }
            Some(Unanswerable::Unsupported { zh, en }) => object.serialize_entry("unsupported", &json!({ "zh": zh, "en": en }))?,
            None => {}
        }
        if let Some(throttled) = &answer.throttled {
            object.serialize_entry("throttled", &throttled_json(throttled))?;
        }
        if answer.verdict.matched() {
            object.serialize_entry("count", &answer.count)?;
            object.serialize_entry("first_verified", &answer.first_verified.map(Shown))?;
            object.serialize_entry("compare_with_paper", &answer.compare_with_paper())?;
        }
        if let Some(crc_ok) = answer.crc_ok {
            object.serialize_entry("crc_ok", &crc_ok)?;
        }
        if answer.type_conflict {
            object.serialize_entry("warnings", &["type_conflict"])?;
        }
        if let Some(mark) = answer.mark {
            object.serialize_entry("mark", mark.name())?;
        }
        if let Some(registered) = &answer.registered {
            object.serialize_entry("face", &RenderedFace(registered.verified.face()))?;
            object.serialize_entry("index", &registered.index)?;
            object.serialize_entry("commit", &Hex(&registered.commit))?;
            if let Some((amount, tax)) = registered.remaining {
                object.serialize_entry("remaining", &RenderedRemaining(amount, tax))?;
            }
            if let Some(changed) = registered.changed {
                object.serialize_entry("changed", &Shown(changed))?;
            }
            if registered.imported {
                object.serialize_entry("imported", &true)?;
            }
            if let Some(invoice) = &registered.invoice {
                object.serialize_entry("details", &masked(json::draft_of(invoice)))?;
            }
        }
        Ok(())
    }
}

struct RenderedAsOf<'a>(&'a AsOf);

impl Serialize for RenderedAsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(4))?;
        object.serialize_entry("size", &self.0.size)?;
        object.serialize_entry("root", &Hex(&self.0.root))?;
        object.serialize_entry("time", &Shown(self.0.time))?;
        object.serialize_entry("time_ms", &self.0.time.0)?;
        object.end()
    }
}

struct RenderedRemaining(Fen, Fen);

impl Serialize for RenderedRemaining {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("amount", &Shown(self.0))?;
        object.serialize_entry("tax", &Shown(self.1))?;
        object.end()
    }
}

struct RenderedFace<'a>(&'a Face);

impl Serialize for RenderedFace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let face = self.0;
        let profile = face.kind.profile();
        let mut object = serializer.serialize_map(Some(11))?;
        object.serialize_entry("kind", profile.code)?;
        object.serialize_entry("kind_zh", profile.chinese)?;
        object.serialize_entry("kind_en", profile.english)?;
        object.serialize_entry("code", &Shown(face.id.code))?;
        object.serialize_entry("number", &Shown(face.id.number))?;
        object.serialize_entry("date", &Shown(face.date))?;
        object.serialize_entry("amount", &Shown(face.totals.amount))?;
        object.serialize_entry("tax", &Shown(face.totals.tax()))?;
        object.serialize_entry("total", &Shown(face.totals.total))?;
        object.serialize_entry("total_upper", &upper_case(face.totals.total))?;
        object.serialize_entry("seller_id", face.seller_id.as_str())?;
        object.end()
    }
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
    text_of(&to_json(answer))
}

/// As [`to_text`], of an answer as [`to_json`] says it: a server's answer reads like one that was found here.
pub fn text_of(answer: &Value) -> String {
    fn text<'a>(object: &'a Value, member: &str) -> &'a str {
        object.get(member).and_then(Value::as_str).unwrap_or_default()
    }
    let whole = |object: &Value, member: &str| object.get(member).and_then(Value::as_u64).unwrap_or_default();
    let mut lines = vec![format!("{} {} | {}", whole(answer, "verdict"), text(answer, "zh"), text(answer, "en"))];
    if let Some(said) = answer.get("malformed") {
        lines.push(format!("  {}: {} | {}", text(said, "place"), text(said, "zh"), text(said, "en")));
    }
    if let Some(said) = answer.get("unsupported") {
        lines.push(format!("  {} | {}", text(said, "zh"), text(said, "en")));
    }
    if let Some(throttled) = answer.get("throttled") {
        let seconds = whole(throttled, "retry_after");
        lines.push(format!("  {} | {}", text(throttled, "zh"), text(throttled, "en")));
        lines.push(format!("  {seconds} 秒后可再查 | again in {seconds} s"));
    }
    if let Some(face) = answer.get("face") {
        let of = |member| text(face, member);
        lines.push(format!("  {} {} | {}", of("kind"), of("kind_zh"), of("kind_en")));
        lines.push(format!("  {} {}  {}", of("code"), of("number"), of("date")));
        let (amount, tax, total) = (of("amount"), of("tax"), of("total"));
        lines.push(format!("  金额 amount {amount}  税额 tax {tax}  价税合计 total {total} {}", of("total_upper")));
        let seller = answer.pointer("/details/seller/name").and_then(Value::as_str).map_or_else(String::new, |name| format!("{name} "));
        lines.push(format!("  销售方 seller {seller}{}", of("seller_id")));
        if let Some(remaining) = answer.get("remaining").filter(|remaining| text(remaining, "amount") != amount) {
            lines.push(format!("  剩余 remaining {} + {}", text(remaining, "amount"), text(remaining, "tax")));
        }
        let first = answer.get("first_verified").and_then(Value::as_str);
        let first = first.map_or_else(|| "首次 first time".to_owned(), |time| format!("首次 first {time}"));
        lines.push(format!("  查验次数 verified {} ({first})", whole(answer, "count")));
        lines.push("  请核对票面金额、销售方和日期 | compare amount, seller and date with the paper".to_owned());
    }
    if answer.get("crc_ok") == Some(&Value::Bool(false)) {
        lines.push("  二维码校验位不符 | the QR code's checksum is wrong (no influence on the verdict)".to_owned());
    }
    if answer.get("warnings").is_some() {
        lines.push("  发票代码与票种不符 | code and stated type disagree".to_owned());
    }
    if let Some(mark) = answer.get("mark").and_then(Value::as_str) {
        lines.push(format!("  号段状态 range {mark}"));
    }
    if let Some(as_of) = answer.get("as_of") {
        lines.push(format!("  账本 ledger {} @ {}", whole(as_of, "size"), text(as_of, "time")));
    }
    lines.join("\n")
}
