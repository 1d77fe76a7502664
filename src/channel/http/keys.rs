//! Keys: the public ones for everybody, and what only the administration does with the secret ones.

use hyper::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::json;

use super::administration::malformed;
use super::operation::Handled;
use super::reply::Reply;
use super::request::Request;
use crate::channel::keys as render;
use crate::channel::problem::{Kind, Problem};
use crate::codec::event::Withdrawal;
use crate::codec::leaf::KeyId;
use crate::engine::{Engine, EngineError, KeyPlace};
use crate::limits::KEY_OVERLAP_MS;

/// `GET /v1/keys`.
pub(super) fn list(request: &Request) -> Reply {
    let ledger = request.site.engine.ledger();
    let value = json!({ "origin": ledger.origin().to_string(), "keys": render::to_json(&ledger.keys()) });
    Reply::json(&value).header(CACHE_CONTROL, "public, max-age=300")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    role: String,
    place: Option<String>,
    overlap_seconds: Option<u32>,
    revoke: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeBody {
    key_id: String,
    reason: String,
}

/// `POST /v1/keys/rotate`.
pub(super) async fn rotate(mut request: Request) -> Handled {
    let body: RotateBody = request.json(request.body_limit()).await?;
    refuse_regional(&request)?;
    let role = render::role(&body.role).ok_or_else(|| {
        malformed("role", "应为 authority、answering、checkpoint、data", "one of authority, answering, checkpoint, data; the tag key never rotates")
    })?;
    let place = match &body.place {
        Some(name) => Some(
            KeyPlace::ALL
                .into_iter()
                .find(|place| place.name() == name)
                .ok_or_else(|| malformed("place", "应为 file、token", "one of file, token"))?,
        ),
        None => None,
    };
    let overlap_ms = body.overlap_seconds.map_or(KEY_OVERLAP_MS, |seconds| u64::from(seconds) * 1_000);
    let revoke = body.revoke.as_deref().map(|name| reason("revoke", name)).transpose()?;
    let rotated = request.blocking(move |engine, by| {
        let rotated = engine.rotate(role, place, overlap_ms, revoke, by)?;
        publish(engine);
        say_untold(rotated.untold.as_ref());
        Ok::<_, EngineError>(rotated)
    });
    Ok(Reply::json(&render::rotated(&rotated.await??)))
}

/// `POST /v1/keys/revoke`.
pub(super) async fn revoke(mut request: Request) -> Handled {
    let body: RevokeBody = request.json(request.body_limit()).await?;
    refuse_regional(&request)?;
    let key_id = KeyId::parse(&body.key_id).ok_or_else(|| malformed("key_id", "应为16位小写十六进制", "a key id has 16 lower-case hex digits"))?;
    let reason = reason("reason", &body.reason)?;
    let revoked = request.blocking(move |engine, by| {
        let revoked = engine.revoke_key(key_id, reason, by)?;
        publish(engine);
        say_untold(revoked.untold.as_ref());
        Ok::<_, EngineError>(revoked)
    });
    Ok(Reply::json(&render::revoked(key_id, reason, revoked.await??.index)))
}

/// What is done is done; a list that was not written is written at the next start.
fn publish(engine: &Engine) {
    if let Err(error) = render::publish(engine) {
        tracing::warn!(%error, "the list of public keys could not be written");
    }
}

fn say_untold(untold: Option<&EngineError>) {
    if let Some(error) = untold {
        tracing::error!(%error, "a stolen answering key is revoked, and the log does not tell of all answers that it signed");
    }
}

fn reason(place: &str, name: &str) -> Result<Withdrawal, Problem> {
    Withdrawal::from_name(name).ok_or_else(|| malformed(place, "应为 compromised、superseded、lost", "one of compromised, superseded, lost"))
}

/// The keys are the whole country's.
fn refuse_regional(request: &Request) -> Result<(), Problem> {
    if request.caller.regions.is_empty() {
        return Ok(());
    }
    Err(Problem::because(
        Kind::Forbidden,
        "密钥不属于任何地区，须由全国管理员办理",
        "keys are of no region; an administrator of the whole country may",
    ))
}
