//! What only the administration does: allotments, marks, and reading who did what.

use serde::Deserialize;
use serde_json::{Value, json};

use super::invoices::privileged;
use super::operation::Handled;
use super::reply::Reply;
use super::request::Request;
use crate::channel::problem::{Kind, Problem};
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::audit::Act;
use crate::domain::kind::Kind as InvoiceKind;
use crate::domain::number::{InvoiceCode, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::engine::Engine;

/// Numbers as they are sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllotBody {
    taxpayer: String,
    kind: String,
    code: String,
    first: String,
    last: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkBody {
    code: String,
    first: String,
    last: String,
    mark: String,
}

pub(super) fn malformed(place: &str, zh: &str, en: &str) -> Problem {
    Problem::because(Kind::Faulty, format!("{place}：{zh}"), format!("{place}: {en}")).with("place", place)
}

fn range(code: &str, first: &str, last: &str) -> Result<NumberRange, Problem> {
    let code = InvoiceCode::parse(code).ok_or_else(|| malformed("code", "发票代码应为10位或12位数字", "an invoice code has 10 or 12 digits"))?;
    let number = |place, text| {
        InvoiceNumber::parse(text).ok_or_else(|| malformed(place, "发票号码应为8位数字", "an invoice number has 8 digits, not all zero"))
    };
    let (first, last) = (number("first", first)?, number("last", last)?);
    NumberRange::new(code, first, last)
        .ok_or_else(|| Problem::because(Kind::Refused, "号段的末号在首号之前", "the last number comes before the first"))
}

/// Who acts outside its regions is told so before anything is looked up.
pub(super) fn refuse_elsewhere(request: &Request, code: &InvoiceCode) -> Result<(), Problem> {
    if Engine::may_act_in(&request.caller, code) {
        return Ok(());
    }
    Err(Problem::because(Kind::Forbidden, "该发票代码不在管辖地区", "the invoice code is not of this caller's regions"))
}

/// `POST /v1/allotments`.
pub(super) async fn allot(mut request: Request) -> Handled {
    let body: AllotBody = request.json(request.body_limit()).await?;
    let taxpayer = TaxpayerId::parse(&body.taxpayer)
        .ok_or_else(|| malformed("taxpayer", "纳税人识别号应为15、17、18或20位", "an id has 15, 17, 18 or 20 digits and upper-case letters"))?;
    let kind =
        InvoiceKind::from_code(&body.kind).ok_or_else(|| malformed("kind", "票种应为01 02 03 04 10 11", "a kind is 01, 02, 03, 04, 10 or 11"))?;
    let range = range(&body.code, &body.first, &body.last)?;
    if !kind.profile().code_lengths.contains(&range.code.digits()) {
        return Err(Problem::because(Kind::Refused, "该票种的发票代码长度不同", "codes of this kind have another length").into());
    }
    refuse_elsewhere(&request, &range.code)?;
    let subject = format!("{} {}-{} {taxpayer}", range.code, range.first, range.last);
    privileged(&request, Act::Allotted, subject, move |engine, _| engine.allot(Allotment { taxpayer, kind, range })).await
}

/// `POST /v1/allotments/status`.
pub(super) async fn allotment_status(mut request: Request) -> Handled {
    let body: MarkBody = request.json(request.body_limit()).await?;
    let range = range(&body.code, &body.first, &body.last)?;
    let mark = mark(&body.mark, &[Mark::Lost, Mark::Stolen, Mark::BlankVoid, Mark::Lifted])?;
    refuse_elsewhere(&request, &range.code)?;
    let subject = format!("{} {}-{} {}", range.code, range.first, range.last, mark.name());
    privileged(&request, Act::AllotmentMarked, subject, move |engine, _| engine.allotment_status(range, mark)).await
}

/// One of the marks that can be set here.
pub(super) fn mark(name: &str, known: &[Mark]) -> Result<Mark, Problem> {
    let names: Vec<&str> = known.iter().map(|mark| mark.name()).collect();
    let found = Mark::from_name(name).filter(|mark| known.contains(mark));
    found.ok_or_else(|| malformed("mark", &format!("应为 {}", names.join("、")), &format!("one of {}", names.join(", "))))
}

/// `GET /v1/audit?from=&limit=`.
pub(super) async fn audit(request: Request) -> Handled {
    let (from, limit) = (request.number("from")?.unwrap_or(0), request.number("limit")?.unwrap_or(100));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, crate::limits::PAGE_ROWS_MAX);
    let entries = request.blocking(move |engine, _| engine.audit_entries(from, limit)).await??;
    let next = entries.last().map(|(number, _)| number + 1);
    let entries: Vec<Value> = entries.iter().map(|(number, entry)| crate::channel::caller::entry_json(*number, entry)).collect();
    Ok(Reply::json(&json!({ "entries": entries, "next": next })))
}
