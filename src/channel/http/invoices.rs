//! Invoices: issue, check, show, void, mark.

use hyper::StatusCode;
use hyper::header::LOCATION;
use serde::Deserialize;
use serde_json::{Value, json};

use super::administration::{mark, refuse_elsewhere};
use super::operation::{Fault, Handled};
use super::reply::{PNG, Reply, SVG};
use super::request::{Request, no_invoice};
use crate::channel::problem::{self, Kind, Problem};
use crate::channel::{answer, json as drafts, qr_image, receipt};
use crate::codec::canonical::IssuerSlot;
use crate::domain::allotment::Mark;
use crate::domain::audit::Act;
use crate::domain::caller::{Caller, Role};
use crate::domain::draft::Draft;
use crate::domain::fault::Severity;
use crate::domain::invoice::{Face, Invoice};
use crate::domain::number::InvoiceId;
use crate::domain::time::UnixMillis;
use crate::engine::{Engine, EngineError, FullReceipt, Submitted};
use crate::metrics::Named;
use crate::verify::verdict::Verdict;

/// The draft in a request. Whose it is, is settled by the engine before anything about it is looked up or told.
async fn draft(request: &mut Request) -> Result<Draft, Fault> {
    let held = request.read(request.body_limit()).await?;
    if held.bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::because(Kind::BadRequest, "草稿应为一个 JSON 对象", "a draft is a JSON object").into());
    }
    let malformed = |error| Problem::because(Kind::BadRequest, format!("JSON 内容有误：{error}"), format!("the body: {error}"));
    Ok(drafts::parse_draft(&held.bytes).map_err(malformed)?)
}

/// `POST /v1/invoices`.
pub(super) async fn issue(mut request: Request) -> Handled {
    let draft = draft(&mut request).await?;
    let site = &request.site;
    let Ok(_waiting) = site.submissions.try_acquire() else {
        return Err(problem::busy("同时提交过多", "too many submissions at a time").into());
    };
    let begun = if site.engine.signs_by_token() {
        request.blocking(move |engine, by| engine.begin_as(&draft, false, by)).await??
    } else {
        site.engine.begin_as(&draft, false, &request.caller)?
    };
    let done = match begun {
        Ok(pending) => pending.outcome().await?,
        Err(done) => done,
    };
    submitted(&request, done)
}

/// Does what takes a privilege, and enters it into the trail, whatever comes of it, before the caller is told.
pub(super) async fn privileged(
    request: &Request,
    act: Act,
    subject: String,
    what: impl FnOnce(&Engine, &Caller) -> Result<Submitted, EngineError> + Send + 'static,
) -> Handled {
    let done = request.blocking(move |engine, caller| {
        let done = what(engine, caller)?;
        engine.record(caller, act, &subject, done.code())?;
        Ok::<_, EngineError>(done)
    });
    submitted(request, done.await??)
}

/// What became of a submission: 201 for what is new, 200 for the same again, with its receipt unless the caller prefers less.
pub(super) fn submitted(request: &Request, done: Submitted) -> Handled {
    let count = |name| request.site.metrics.submissions.get_or_create(&Named { name }).inc();
    match done {
        Submitted::Logged(logged) => {
            count(if logged.repeated { "repeated" } else { "logged" });
            let detail = if request.prefers_minimal() { receipt::Detail::Minimal } else { receipt::Detail::Receipt };
            let status = if logged.repeated { StatusCode::OK } else { StatusCode::CREATED };
            let (value, location) = receipt::logged(&request.site.engine, &logged, detail)?;
            let reply = Reply::json(&value).status(status);
            Ok(match location {
                Some(id) => reply.header(LOCATION, format!("/v1/invoices/{}/{}", id.code, id.number)),
                None => reply,
            })
        }
        Submitted::Faulty(faults) => {
            count("faulty");
            Err(problem::faulty(&faults).into())
        }
        Submitted::Refused(refusal) => {
            count("refused");
            Err(problem::refused(&refusal).into())
        }
    }
}

/// `POST /v1/invoices/check`.
pub(super) async fn check(mut request: Request) -> Handled {
    let draft = draft(&mut request).await?;
    let engine = &request.site.engine;
    let faults = engine.check_draft_as(&draft, false, &request.caller)?.map_err(|refusal| problem::refused(&refusal))?;
    let acceptable = faults.iter().all(|fault| fault.severity != Severity::Fault);
    let mut value = json!({ "acceptable": acceptable, "faults": drafts::faults(&faults) });
    // Absent while the draft lacks what a signed one must state.
    if acceptable && let (Some(object), Ok(message)) = (value.as_object_mut(), engine.submission_message(&draft, false)?) {
        object.insert("submission_message".into(), data_encoding::HEXLOWER.encode(&message).into());
    }
    Ok(Reply::json(&value))
}

/// An invoice that the caller may see in full: as its seller, its buyer, or as the administration of its region. To anybody else it is not there.
/// Recorded before anything is shown: a disclosure that cannot be recorded does not happen.
fn disclose(engine: &Engine, caller: &Caller, id: InvoiceId) -> Result<Option<Disclosed>, EngineError> {
    let shown = match engine.signed_invoice(id)? {
        Some((invoice, slot)) => Shown::Whole(Box::new(invoice), slot),
        None => match engine.erased(id)? {
            Some((face, when)) => Shown::Erased(face, when),
            None => return Ok(None),
        },
    };
    let is_party = match &shown {
        Shown::Whole(invoice, _) => [Some(&invoice.seller_id), invoice.buyer_id()].into_iter().flatten().any(|party| caller.acts_for(party)),
        // Who bought it was erased with the rest.
        Shown::Erased(face, _) => caller.acts_for(&face.seller_id),
    };
    let is_in_charge = caller.role == Role::Administrator && Engine::may_act_in(caller, &id.code);
    if !is_party && !is_in_charge {
        return Ok(None);
    }
    let Some((index, verdict)) = engine.standing(id)? else { return Ok(None) };
    engine.record(caller, Act::InvoiceDisclosed, &format!("{} {}", id.code, id.number), "shown")?;
    Ok(Some(Disclosed { shown, verdict, receipt: engine.receipt(index)? }))
}

/// What a party sees.
struct Disclosed {
    shown: Shown,
    verdict: Verdict,
    receipt: Option<FullReceipt>,
}

/// What there is of an invoice.
enum Shown {
    /// All, with its issuer's signature.
    Whole(Box<Invoice>, Option<IssuerSlot>),
    /// Its face, since the rest was erased.
    Erased(Face, UnixMillis),
}

/// `GET /v1/invoices/{code}/{number}`.
pub(super) async fn invoice(request: Request) -> Handled {
    let id = request.id()?;
    let shown = request.blocking(move |engine, caller| {
        let Some(Disclosed { shown, verdict, receipt }) = disclose(engine, caller, id)? else { return Ok(None) };
        let codes = receipt.as_ref().and_then(|full| receipt::qr_codes(&full.receipt.leaf, &full.receipt.sealed, engine.host()));
        let (face, draft, erased) = match &shown {
            Shown::Whole(invoice, slot) => (answer::face_json(&invoice.face()), drafts::draft_of_signed(invoice, slot.as_ref()), None),
            Shown::Erased(face, when) => (answer::face_json(face), Value::Null, Some(when.to_string())),
        };
        let mut value = json!({
            "state": { "verdict": verdict.number(), "name": verdict.name(), "zh": verdict.chinese(), "en": verdict.english() },
            "face": face,
            "draft": draft,
            "receipt": receipt.as_ref().map(receipt::to_json),
            "signed_qr": codes.as_ref().map(|codes| codes.signed.clone()),
            "classic_qr": codes.and_then(|codes| codes.classic),
        });
        if let (Some(object), Some(when)) = (value.as_object_mut(), erased) {
            object.insert("erased".into(), when.into());
        }
        Ok::<_, EngineError>(Some(value))
    });
    let shown: Option<Value> = shown.await??;
    Ok(Reply::json(&shown.ok_or_else(no_invoice)?))
}

/// `GET /v1/invoices/{code}/{number}/qr`.
pub(super) async fn picture(request: Request) -> Handled {
    let id = request.id()?;
    let as_svg = request.prefers("image/svg+xml", "image/png");
    let drawn = request.blocking(move |engine, caller| {
        let receipt = disclose(engine, caller, id)?.and_then(|disclosed| disclosed.receipt);
        let codes = receipt.and_then(|full| receipt::qr_codes(&full.receipt.leaf, &full.receipt.sealed, engine.host()));
        Ok::<_, EngineError>(
            codes.map(|codes| if as_svg { qr_image::svg(&codes.signed).map(String::into_bytes) } else { qr_image::png(&codes.signed) }),
        )
    });
    match drawn.await??.ok_or_else(no_invoice)? {
        Ok(bytes) => Ok(Reply::new(if as_svg { SVG } else { PNG }, bytes)),
        // Every signed code fits by its limits.
        Err(error) => {
            tracing::error!(%error, "a signed code could not be drawn");
            Err(Problem::new(Kind::Internal).into())
        }
    }
}

/// `POST /v1/invoices/{code}/{number}/void`.
pub(super) async fn void(request: Request) -> Handled {
    let id = request.id()?;
    // A seller voids its own, wherever the numbers are from.
    if request.caller.role == Role::Administrator {
        refuse_elsewhere(&request, &id.code)?;
    }
    privileged(&request, Act::InvoiceVoided, format!("{} {}", id.code, id.number), move |engine, caller| engine.void_as(id, caller)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusBody {
    mark: String,
}

/// `POST /v1/invoices/{code}/{number}/status`.
pub(super) async fn status(mut request: Request) -> Handled {
    let id = request.id()?;
    let body: StatusBody = request.json(request.body_limit()).await?;
    let mark = mark(&body.mark, &[Mark::Lost, Mark::Stolen, Mark::Abnormal, Mark::Lifted])?;
    refuse_elsewhere(&request, &id.code)?;
    let subject = format!("{} {} {}", id.code, id.number, mark.name());
    privileged(&request, Act::InvoiceMarked, subject, move |engine, _| engine.status(id, mark)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseBody {
    reason: String,
}

/// `POST /v1/invoices/{code}/{number}/erase`.
pub(super) async fn erase(mut request: Request) -> Handled {
    let id = request.id()?;
    let body: EraseBody = request.json(request.body_limit()).await?;
    refuse_elsewhere(&request, &id.code)?;
    let erased = request.blocking(move |engine, by| engine.erase(id, &body.reason, by)).await??;
    Ok(Reply::json(&receipt::erased(&erased.ok_or_else(no_invoice)?)))
}
