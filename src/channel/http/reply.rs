//! What goes back: a status, a few headers, and bytes that are there or come as they are made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::problem::{Kind, Language, Problem};
use super::door::RequestId;
use crate::verify::quota::Rate;

/// JSON.
pub(super) const JSON: &str = "application/json";
/// JSON lines.
pub(super) const LINES: &str = "application/x-ndjson";
/// RFC 9457.
pub(super) const PROBLEM: &str = "application/problem+json";
/// A page.
pub(super) const HTML: &str = "text/html; charset=utf-8";
/// A picture.
pub(super) const PNG: &str = "image/png";
/// A picture that scales.
pub(super) const SVG: &str = "image/svg+xml";
/// A text.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
/// Bytes with a layout of their own.
pub(super) const BYTES: &str = "application/octet-stream";
/// What Prometheus reads.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names the request in the logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The bytes of a reply.
#[derive(Debug)]
pub enum ReplyBody {
    /// All at once.
    Whole(Option<Bytes>),
    /// As they are made; the sender's end is the end.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Pieces(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ReplyBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            ReplyBody::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A reply before it is put together.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: ReplyBody,
}

impl Reply {
    /// Bytes of this type.
    pub(super) fn new(content_type: &'static str, bytes: impl Into<Bytes>) -> Reply {
        Reply {
            status: StatusCode::OK,
            content_type,
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty())),
        }
    }

    /// JSON.
    pub(super) fn json(value: &Value) -> Reply {
        Reply::new(JSON, value.to_string())
    }

    pub(super) fn status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    /// With a header whose value is ours. One that is no header value is left out.
    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Reply {
        if let Ok(value) = HeaderValue::try_from(value.into()) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With what is left of the caller's quota (draft-ietf-httpapi-ratelimit-headers).
    pub(super) fn rate(self, rate: &Option<Rate>) -> Reply {
        let Some(rate) = rate else { return self };
        let policy = format!("\"questions\";q={};w={}", rate.limit, rate.window_seconds);
        let left = format!("\"questions\";r={};t={}", rate.remaining, rate.reset_seconds);
        self.header(RATE_LIMIT_POLICY, policy).header(RATE_LIMIT, left)
    }

    /// A problem, in the caller's language.
    pub(super) fn problem(problem: &Problem, language: Language, instance: &str) -> Reply {
        let status = StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Reply::new(PROBLEM, problem.to_json(language, instance).to_string()).status(status);
        reply.headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        reply.headers.insert(VARY, HeaderValue::from_static("accept-language"));
        if let Some(seconds) = problem.more.retry_after {
            reply = reply.header(RETRY_AFTER, seconds.to_string());
        }
        if let Some(allow) = &problem.more.allow {
            reply = reply.header(ALLOW, allow.as_str());
        }
        if problem.kind == Kind::Unauthorised {
            reply.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fapiao\""));
        }
        reply.rate(&problem.more.rate)
    }

    /// The whole of it. What a reply does not say itself is not to be cached, guessed at or indexed.
    pub(super) fn finish(self, request_id: RequestId) -> Response<ReplyBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }
}
