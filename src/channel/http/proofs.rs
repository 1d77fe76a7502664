//! Proofs and the revocation list: what lets anybody check the log, and an answer, without us.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG};

use super::log::refuse_unsigned;
use super::operation::{Fault, Handled};
use super::reply::{BYTES, Reply};
use super::request::Request;
use super::verify::charge;
use crate::channel::log_proof::{consistency_json, inclusion_json};
use crate::channel::logged;
use crate::channel::policies;
use crate::channel::problem::{Kind, Problem};
use crate::codec::revocations::SignedList;
use crate::domain::time::UnixMillis;
use crate::ledger::Ledger;
use crate::limits::{REVOCATIONS_CACHED_SECS_MAX, REVOCATIONS_RETRY_SECS};

/// `GET /v1/revocations`: what stands on every other page too may be kept by whoever passes it on, until the next list is due.
pub(super) fn revocations(request: &Request) -> Handled {
    let Some(list) = request.site.engine.revocations() else {
        let problem = Problem::because(Kind::Unavailable, "撤销清单尚未生成".to_owned(), "no revocation list has been made yet".to_owned());
        return Err(problem.after(REVOCATIONS_RETRY_SECS).into());
    };
    let left_ms = list.list.next.0.saturating_sub(request.site.engine.now().0);
    let fresh = (left_ms / 1_000).clamp(REVOCATIONS_RETRY_SECS, REVOCATIONS_CACHED_SECS_MAX);
    let tag = format!("\"{}-{}\"", list.list.made.0, list.list.size);
    let reply = if request.knows(&tag) {
        Reply::new(BYTES, Bytes::new()).status(StatusCode::NOT_MODIFIED)
    } else {
        Reply::new(BYTES, Bytes::from_owner(Shared(list)))
    };
    Ok(reply.header(CACHE_CONTROL, format!("public, max-age={fresh}")).header(ETAG, tag))
}

/// A list that is sent to many at a time and lies in memory once.
struct Shared(Arc<SignedList>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// `GET /v1/proofs/answer/{hash}`: only who holds the answer can make its hash.
pub(super) async fn answer(request: Request) -> Handled {
    charge(&request)?;
    refuse_unsigned(request.site.engine.ledger())?;
    let bad = || Problem::because(Kind::BadRequest, "应为 64 位小写十六进制数字", "the hash of an answer is 64 lower-case hex digits");
    let hash: [u8; 32] = HEXLOWER.decode(request.only_step().as_bytes()).ok().and_then(|hash| hash.try_into().ok()).ok_or_else(bad)?;
    let found = request.blocking(move |engine, _| engine.answer_in_log(&hash)).await??;
    Ok(Reply::json(&logged::to_json(&found)))
}

/// `GET /v1/proofs/answers?time=`.
pub(super) async fn answers(request: Request) -> Handled {
    charge(&request)?;
    refuse_unsigned(request.site.engine.ledger())?;
    let time = UnixMillis(request.required_number("time")?);
    let around = request.blocking(move |engine, _| engine.answer_roots_around(time)).await??;
    Ok(Reply::json(&logged::roots_json(&around)))
}

/// `GET /v1/proofs/policies?before=`.
pub(super) async fn policies(request: Request) -> Handled {
    charge(&request)?;
    refuse_unsigned(request.site.engine.ledger())?;
    let before = request.number("before")?;
    let told = request.blocking(move |engine, _| engine.policies(before)).await??;
    Ok(Reply::json(&policies::to_json(&told)))
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
    refuse_unsigned(ledger)?;
    if let Some(note) = ledger.checkpoint_at(size)? {
        return Ok(note);
    }
    let (below, above) = ledger.sizes_around(size)?;
    let problem = Problem::because(Kind::NotFound, format!("{size} 不是已公布的大小"), format!("{size} is not a published size"));
    Err(problem.with("size_below", below).with("size_above", above).into())
}
