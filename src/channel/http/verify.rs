//! `POST /v1/verify`: a question, an answer.

use super::operation::Handled;
use super::reply::{JSON, Reply};
use super::request::Request;
use crate::channel::problem::{Kind, Problem};
use crate::channel::{answer, proof, question};
use crate::engine::{Asked, Counting, EngineError};
use crate::metrics::Named;
use crate::verify::quota::{Rate, Throttled};

pub(super) async fn verify(mut request: Request) -> Handled {
    let asked: question::Asked = request.json(request.body_limit()).await?;
    let (wants_proof, wants_details) = (asked.proof, asked.details);
    let question = asked.question().map_err(|why| Problem::because(Kind::BadRequest, why.chinese(), why.to_string()))?;
    let asked = request.site.engine.ask(&question, &request.asker, Counting::Verification)?;
    request.site.answered(asked.answer.verdict);
    put_off(&request, &asked)?;
    let Asked { answer: answered, rate } = asked;
    let value = if wants_proof || wants_details {
        request
            .blocking(move |engine, _| {
                let answered = if wants_details { engine.with_details(answered)? } else { answered };
                let mut value = answer::to_json(&answered);
                if wants_proof && let Some(object) = value.as_object_mut() {
                    let signed = engine.sign_answer(&question, &answered)?;
                    object.insert("proof".into(), proof::to_json(&signed, &engine.ledger().keys()));
                }
                Ok::<_, EngineError>(value.to_string().into_bytes())
            })
            .await??
    } else {
        answer::to_json_text(&answered)
    };
    Ok(Reply::new(JSON, value).rate(&rate))
}

/// A question that is not answered now: the answer says so, in the clothes of a problem, because that is what clients wait for.
pub(super) fn put_off(request: &Request, asked: &Asked) -> Result<(), Problem> {
    let Some(throttled) = &asked.answer.throttled else { return Ok(()) };
    let mut problem = throttled_problem(request, throttled, asked.rate);
    if let serde_json::Value::Object(members) = answer::to_json(&asked.answer) {
        problem.more.members = members;
    }
    Err(problem)
}

/// Takes what one question costs, for what is asked of the log and not of an invoice.
pub(super) fn charge(request: &Request) -> Result<(), Problem> {
    match request.site.engine.charge(&request.asker) {
        (rate, Some(throttled)) => Err(throttled_problem(request, &throttled, rate)),
        (_, None) => Ok(()),
    }
}

fn throttled_problem(request: &Request, throttled: &Throttled, rate: Option<Rate>) -> Problem {
    request.site.metrics.throttled.get_or_create(&Named { name: throttled.reason.name() }).inc();
    let mut problem = Problem::because(Kind::Throttled, throttled.chinese(), throttled.english()).after(throttled.retry_after);
    problem.more.rate = rate;
    problem
}
