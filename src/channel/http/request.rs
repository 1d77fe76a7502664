//! One request on its way through a handler: who asks, what was matched, and its body within bounds.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_NONE_MATCH};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::Site;
use super::route::{Endpoint, Steps};
use crate::channel::problem::{self, Kind, Language, Problem};
use crate::domain::caller::Caller;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::limits::HTTP_BODY_SECS;
use crate::verify::quota::Asker;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request that is allowed and not yet answered.
pub(super) struct Request {
    pub(super) site: Arc<Site>,
    pub(super) caller: Arc<Caller>,
    pub(super) asker: Asker,
    pub(super) endpoint: &'static Endpoint,
    pub(super) head: Parts,
    pub(super) body: Incoming,
    pub(super) steps: Steps,
}

/// A body in memory, and its share of the memory for bodies.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// The token of a request, if it brings one; an error if it brings something else.
pub(super) fn bearer(head: &Parts) -> Result<Option<&str>, Problem> {
    let Some(value) = head.headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let zh = "Authorization 应为 Bearer 加令牌";
    token.map(Some).ok_or_else(|| Problem::because(Kind::Unauthorised, zh, "Authorization is not Bearer and a token"))
}

/// Where a request comes from, by its peer and its `X-Forwarded-For`.
pub(super) fn origin(head: &Parts, peer: IpAddr, proxies: &[IpAddr]) -> IpAddr {
    if !proxies.contains(&peer.to_canonical()) {
        return peer.to_canonical();
    }
    let lists: Vec<_> = head.headers.get_all(FORWARDED_FOR).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    forwarded(peer, &lists.iter().map(AsRef::as_ref).collect::<Vec<_>>(), proxies)
}

/// The peer or, if that is a proxy whose word is taken, the last address before it that is not one. What a client wrote itself is further in front.
/// Where a proxy's word is no address, it is `::`, which all of those share and nobody is at.
pub fn forwarded(peer: IpAddr, lists: &[&str], proxies: &[IpAddr]) -> IpAddr {
    let mut origin = peer.to_canonical();
    for hop in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !proxies.contains(&origin) {
            break;
        }
        let Some(address) = address(hop.trim()) else { return Ipv6Addr::UNSPECIFIED.into() };
        origin = address.to_canonical();
    }
    origin
}

/// The address in a hop, as proxies write it: bare, or with a port, and then in brackets if it is of version 6.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop).parse().ok();
    bare().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// A parameter of a query as it is written, an error if it is there twice. None of ours has anything in it that would have to be escaped.
pub fn parameter<'a>(query: &'a str, name: &str) -> Result<Option<&'a str>, Problem> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = values.next();
    match values.next() {
        Some(_) => Err(Problem::because(Kind::BadRequest, format!("参数 {name} 重复"), format!("the parameter {name} is there twice"))),
        None => Ok(first),
    }
}

impl Request {
    fn step(&self, at: usize) -> &str {
        self.steps.get(self.head.uri.path(), at)
    }

    /// The step of the path that stands for the only brace, as written.
    pub(super) fn only_step(&self) -> &str {
        self.step(0)
    }

    /// Code and number in the path. What cannot be an invoice is not found.
    pub(super) fn id(&self) -> Result<InvoiceId, Problem> {
        let id = InvoiceCode::parse(self.step(0)).zip(InvoiceNumber::parse(self.step(1)));
        id.map(|(code, number)| InvoiceId { code, number }).ok_or_else(no_invoice)
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Result<Option<&str>, Problem> {
        parameter(self.head.uri.query().unwrap_or_default(), name)
    }

    /// A parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.parameter(name)? else { return Ok(None) };
        let is_plain = text.bytes().all(|b| b.is_ascii_digit());
        let bad = || Problem::because(Kind::BadRequest, format!("参数 {name} 应为非负整数"), format!("the parameter {name} is not a whole number"));
        if is_plain { text.parse().map(Some).map_err(|_| bad()) } else { Err(bad()) }
    }

    /// A parameter that is true or false; false without it.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => {
                Err(Problem::because(Kind::BadRequest, format!("参数 {name} 应为 true 或 false"), format!("the parameter {name} is true or false")))
            }
        }
    }

    /// As [`Request::number`], and it must be there.
    pub(super) fn required_number(&self, name: &str) -> Result<u64, Problem> {
        let missing = || Problem::because(Kind::BadRequest, format!("缺少参数 {name}"), format!("the parameter {name} is missing"));
        self.number(name)?.ok_or_else(missing)
    }

    /// Whether the caller has the version with this `ETag` already (RFC 9110, section 13.1.2).
    pub(super) fn knows(&self, tag: &str) -> bool {
        let lists = self.head.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    }

    /// Whether the caller prefers a reply without its larger parts (RFC 7240).
    pub(super) fn prefers_minimal(&self) -> bool {
        let prefers = self.head.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        prefers.flat_map(|value| value.split([',', ';'])).any(|preference| preference.trim().eq_ignore_ascii_case("return=minimal"))
    }

    /// Whether a reply of the first type is named before one of the second by `Accept`.
    pub(super) fn prefers(&self, one: &str, other: &str) -> bool {
        let accept = self.head.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let place = |wanted: &str| accept.find(wanted).unwrap_or(usize::MAX);
        place(one) < place(other)
    }

    /// The body as JSON of this shape.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, Problem> {
        let held = self.read(limit).await?;
        // A list would be read as well, by the order of the members, which nobody was promised.
        if held.bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::because(Kind::BadRequest, "请求内容应为一个 JSON 对象", "the body is not a JSON object"));
        }
        serde_json::from_slice(&held.bytes).map_err(|error| {
            let place = format!("{error}");
            Problem::because(Kind::BadRequest, format!("JSON 内容有误：{place}"), format!("the body: {place}"))
        })
    }

    /// The body, of a request that says it is JSON or says nothing.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Held, Problem> {
        self.refuse_other_types(&["application/json"])?;
        read(&mut self.body, limit, &self.site).await
    }

    /// Only plain bytes of these types are read: nothing is ever decompressed.
    pub(super) fn refuse_other_types(&self, types: &[&str]) -> Result<(), Problem> {
        if self.head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::because(Kind::UnsupportedMediaType, "不接受压缩的请求内容", "a compressed body is not read"));
        }
        let Some(stated) = self.head.headers.get(CONTENT_TYPE) else { return Ok(()) };
        let stated = stated.to_str().unwrap_or_default();
        let bare = stated.split(';').next().unwrap_or_default().trim();
        if types.iter().any(|known| bare.eq_ignore_ascii_case(known)) {
            return Ok(());
        }
        let wanted = types.first().copied().unwrap_or_default();
        Err(Problem::because(Kind::UnsupportedMediaType, format!("请使用 Content-Type: {wanted}"), format!("use Content-Type: {wanted}")))
    }
}

/// In which language whoever asks is told.
pub(super) fn language(head: &Parts) -> Language {
    Language::accepted(head.headers.get(hyper::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
}

/// Said of what is not there and of what this caller may not see alike.
pub(super) fn no_invoice() -> Problem {
    Problem::because(Kind::NotFound, "没有此发票，或无权查看", "no such invoice, or not one that this caller may see")
}

async fn read(body: &mut Incoming, limit: usize, site: &Site) -> Result<Held, Problem> {
    let too_large = || {
        let en = format!("at most {limit} bytes are read here");
        Problem::because(Kind::TooLarge, format!("最多 {limit} 字节"), en)
    };
    // Before any of it is read: whoever announces a gigabyte is told at once.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let reading = async {
        let Some(first) = next(body).await? else { return Ok(Held { bytes: Bytes::new(), _share: None }) };
        if first.len() > limit {
            return Err(too_large());
        }
        // Nearly every body comes in one piece, which is then neither copied nor counted: its connection's buffer bounds it.
        if body.is_end_stream() {
            return Ok(Held { bytes: first, _share: None });
        }
        let mut whole = BytesMut::from(first);
        let mut share = site.hold(whole.len())?;
        while let Some(piece) = next(body).await? {
            if whole.len() + piece.len() > limit {
                return Err(too_large());
            }
            share.merge(site.hold(piece.len())?);
            whole.extend_from_slice(&piece);
        }
        Ok(Held { bytes: whole.freeze(), _share: Some(share) })
    };
    let late = || Problem::because(Kind::RequestTimeout, format!("{HTTP_BODY_SECS} 秒内未收完"), format!("not complete within {HTTP_BODY_SECS} s"));
    tokio::time::timeout(Duration::from_secs(HTTP_BODY_SECS), reading).await.map_err(|_| late())?
}

/// The next piece of a body's data.
pub(super) async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let en = format!("the body broke off: {error}");
            Problem::because(Kind::BadRequest, "请求内容中断", en)
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

impl Site {
    /// A share of the memory for bodies, in whole KiB.
    fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).try_acquire_many_owned(kib).map_err(|_| problem::busy("同时到达的请求过多", "too many large requests at a time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_and_only_it() {
        let proxy: IpAddr = [127, 0, 0, 1].into();
        let told = |lines: &[&[u8]]| {
            let mut request = hyper::Request::new(());
            for line in lines {
                request.headers_mut().append(FORWARDED_FOR, line.to_vec().try_into().expect("a header"));
            }
            origin(&request.into_parts().0, proxy, &[proxy]).to_string()
        };
        assert_eq!(told(&[]), "127.0.0.1");
        for (lines, origin) in [
            (&[&b"6.6.6.6, 20.0.9.1"[..]][..], "20.0.9.1"),
            (&[b"6.6.6.6", b"20.0.9.1"], "20.0.9.1"),
            // One byte that is no text hides nothing that stands behind it.
            (&[b"6.6.6.6", b"\xff, 20.0.9.1"], "20.0.9.1"),
            (&[b"6.6.6.6, \xff"], "::"),
            (&[b"6.6.6.6, unknown"], "::"),
            (&[b"6.6.6.6, "], "::"),
            (&[b"20.0.9.1:1234"], "20.0.9.1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"[2001:db8::1]:1234"], "2001:db8::1"),
            (&[b"::ffff:20.0.9.1"], "20.0.9.1"),
        ] {
            assert_eq!(told(lines), origin, "{lines:?}");
        }
    }
}
