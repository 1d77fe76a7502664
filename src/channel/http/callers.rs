//! Callers: who has a token. The token is in the reply that makes it, and nowhere else.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::administration::malformed;
use super::operation::Handled;
use super::reply::Reply;
use super::request::Request;
use crate::channel::caller as render;
use crate::channel::problem::{Kind, Problem};
use crate::domain::caller::{CallerId, Region, Role};
use crate::domain::taxpayer::TaxpayerId;
use crate::engine::{EngineError, NewCaller, Territory};
use crate::limits::PAGE_ROWS_MAX;

/// `GET /v1/callers?after=&limit=`.
pub(super) async fn list(request: Request) -> Handled {
    let after = match request.parameter("after")? {
        Some(text) => {
            Some(CallerId::parse(text).ok_or_else(|| Problem::because(Kind::BadRequest, "after 应为16位十六进制", "after is not 16 hex digits"))?)
        }
        None => None,
    };
    let limit = usize::try_from(request.number("limit")?.unwrap_or(100)).unwrap_or(usize::MAX).clamp(1, PAGE_ROWS_MAX);
    let callers = request.blocking(move |engine, _| engine.callers(after, limit)).await??;
    let next = (callers.len() == limit).then(|| callers.last().map(|caller| caller.id.to_string())).flatten();
    Ok(Reply::json(&json!({ "callers": callers.iter().map(render::to_json).collect::<Vec<Value>>(), "next": next })))
}

/// A caller as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    role: String,
    #[serde(default)]
    taxpayers: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    whole_country: bool,
    #[serde(default)]
    issuer_key: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    expires: Option<String>,
}

impl Body {
    fn parse(self) -> Result<NewCaller, Problem> {
        let role = Role::from_name(&self.role).filter(|role| *role != Role::Anonymous);
        let role = role.ok_or_else(|| malformed("role", "没有这种角色", "there is no such role"))?;
        let taxpayers = self.taxpayers.iter().map(|id| TaxpayerId::parse(id)).collect::<Option<Vec<_>>>();
        let regions = self.regions.iter().map(|digits| Region::parse(digits)).collect::<Option<Vec<_>>>();
        let issuer_key = match self.issuer_key.as_deref() {
            Some(hex) => Some(render::key(hex).ok_or_else(|| malformed("issuer_key", "应为64位十六进制", "an Ed25519 public key is 64 hex digits"))?),
            None => None,
        };
        let expires = match self.expires.as_deref() {
            // The last day on which the token counts.
            Some(day) => Some(
                render::end_of(day).filter(|_| day.contains('-')).ok_or_else(|| malformed("expires", "应为YYYY-MM-DD", "a date is YYYY-MM-DD"))?,
            ),
            None => None,
        };
        Ok(NewCaller {
            role,
            taxpayers: taxpayers.ok_or_else(|| malformed("taxpayers", "纳税人识别号有误", "not a taxpayer id"))?,
            regions: match regions {
                Some(regions) if self.whole_country && regions.is_empty() => Territory::WholeCountry,
                Some(regions) => Territory::Regions(regions),
                None => return Err(malformed("regions", "地区代码应为2、4或6位数字", "a region has 2, 4 or 6 digits")),
            },
            issuer_key,
            label: self.label.unwrap_or_default(),
            expires,
        })
    }
}

/// `POST /v1/callers`.
pub(super) async fn add(mut request: Request) -> Handled {
    let body: Body = request.json(request.body_limit()).await?;
    let new = body.parse()?;
    let (id, token) = request.blocking(move |engine, by| engine.enrol(new, by)).await??;
    let value = json!({ "id": id.to_string(), "token": token.reveal().as_str() });
    Ok(Reply::json(&value).status(StatusCode::CREATED))
}

/// `POST /v1/callers/{id}/revoke`.
pub(super) async fn revoke(request: Request) -> Handled {
    let unknown = || Problem::because(Kind::NotFound, "没有此调用方", "there is no such caller");
    let id = CallerId::parse(request.only_step()).ok_or_else(unknown)?;
    match request.blocking(move |engine, by| engine.revoke_caller(id, by)).await? {
        Ok(()) => {}
        Err(EngineError::NoSuchCaller(_)) => return Err(unknown().into()),
        Err(error) => return Err(error.into()),
    }
    Ok(Reply::json(&json!({ "id": id.to_string(), "revoked": true })))
}
