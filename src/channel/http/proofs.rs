//! Keys and proofs: what lets anybody check the log, and an answer, without us.

use hyper::header::CACHE_CONTROL;
use serde_json::json;

use super::operation::{Fault, Handled};
use super::reply::Reply;
use super::request::Request;
use super::verify::charge;
use crate::channel::keys as public_keys;
use crate::channel::log_proof::{consistency_json, inclusion_json};
use crate::channel::problem::{Kind, Problem};
use crate::ledger::Ledger;

/// `GET /v1/keys`.
pub(super) fn keys(request: &Request) -> Reply {
    let ledger = request.site.engine.ledger();
    let value = json!({ "origin": ledger.origin().to_string(), "keys": public_keys::to_json(ledger.keys()) });
    Reply::json(&value).header(CACHE_CONTROL, "public, max-age=300")
}

/// `GET /v1/proofs/inclusion?index=&size=`.
pub(super) async fn inclusion(request: Request) -> Handled {
    charge(&request)?;
    let (index, size) = (request.required_number("index")?, request.number("size")?);
    let value = request
        .blocking(move |engine, _| {
            let ledger = engine.ledger();
            let size = size.unwrap_or(ledger.published().size);
            let checkpoint = checkpoint_at(ledger, size)?;
            let absent = || {
                Problem::because(
                    Kind::NotFound,
                    format!("大小 {size} 的账本中没有第 {index} 条"),
                    format!("the log of size {size} has no leaf {index}"),
                )
            };
            if index >= size {
                return Err(Fault::from(absent()));
            }
            let leaf = ledger.leaf(index)?.ok_or_else(absent)?.encode();
            Ok(inclusion_json(index, size, &leaf, &ledger.inclusion(index, size)?, &checkpoint))
        })
        .await??;
    Ok(Reply::json(&value))
}

/// `GET /v1/proofs/consistency?from=&to=`.
pub(super) async fn consistency(request: Request) -> Handled {
    charge(&request)?;
    let (from, to) = (request.required_number("from")?, request.number("to")?);
    let value = request
        .blocking(move |engine, _| {
            let ledger = engine.ledger();
            let to = to.unwrap_or(ledger.published().size);
            let (older, newer) = (checkpoint_at(ledger, from)?, checkpoint_at(ledger, to)?);
            if from > to {
                let en = format!("{from} is larger than {to}");
                return Err(Fault::from(Problem::because(Kind::NotFound, format!("{from} 大于 {to}"), en)));
            }
            Ok(consistency_json(from, to, &ledger.consistency(from, to)?, &older, &newer))
        })
        .await??;
    Ok(Reply::json(&value))
}

/// The signed checkpoint of this size; only commits publish one, so otherwise it is said which are nearest.
fn checkpoint_at(ledger: &Ledger, size: u64) -> Result<String, Fault> {
    if let Some(note) = ledger.checkpoint_at(size)? {
        return Ok(note);
    }
    let (below, above) = ledger.sizes_around(size)?;
    let problem = Problem::because(Kind::NotFound, format!("{size} 不是已公布的大小"), format!("{size} is not a published size"));
    Err(problem.with("size_below", below).with("size_above", above).into())
}
