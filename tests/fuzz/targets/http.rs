//! What strangers say to the server beside questions: paths, queries, and the headers that decide for whom and in which words it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fapiao::channel::http::{ENDPOINTS, Route, find, forwarded, parameter};
use fapiao::channel::problem::Language;
use fapiao::channel::question::Asked;
use fapiao::codec::tile::{Row, TileName};
use serde_json::Value;

use super::Subject;

/// The proxies whose word is taken.
const PROXIES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))];

/// Lines: path, query, `Accept-Language`, two `X-Forwarded-For`; what follows is a body. Planted: the first address of a list is believed.
pub fn request(input: &[u8], subject: Subject) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let mut lines = text.splitn(6, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let found = path(next());
    query(next());
    language(next());
    addresses(&[next(), next()], subject);
    found && question(next())
}

/// A path leads to an endpoint if, step by step, it is one's pattern; and then by that endpoint's method.
fn path(path: &str) -> bool {
    // A brace with a plus is the last step, and has all that is left.
    let steps_for = |pattern: &str| -> Vec<&str> {
        let most = if pattern.contains("{+") { pattern.split('/').count() } else { usize::MAX };
        path.splitn(most, '/').collect()
    };
    let fits = |pattern: &str| {
        let (steps, pattern): (Vec<&str>, Vec<&str>) = (steps_for(pattern), pattern.split('/').collect());
        let is_some = |step: &str| !step.is_empty() && !step.starts_with('/');
        let step = |(step, pattern): (&&str, &&str)| if pattern.starts_with('{') { is_some(step) } else { step == pattern };
        steps.len() == pattern.len() && steps.iter().zip(&pattern).all(step)
    };
    if let Some(name) = path.strip_prefix("/tile/").and_then(TileName::parse) {
        tile(path, name);
    }
    for endpoint in &ENDPOINTS {
        let expected = ENDPOINTS.iter().find(|other| other.method == endpoint.method && fits(other.path));
        match find(&endpoint.method, path) {
            Route::To(to, steps) => {
                assert_eq!(Some(to.name), expected.map(|expected| expected.name));
                let braces = to.path.split('/').zip(steps_for(to.path)).filter(|(pattern, _)| pattern.starts_with('{'));
                assert!(braces.enumerate().all(|(at, (_, step))| steps.get(path, at) == step));
            }
            Route::OtherMethod(allowed) => {
                assert!(expected.is_none() && ENDPOINTS.iter().any(|other| fits(other.path)));
                assert!(!allowed.split(", ").any(|method| method == endpoint.method.as_str()));
            }
            Route::Nowhere => assert!(!ENDPOINTS.iter().any(|other| fits(other.path))),
        }
    }
    ENDPOINTS.iter().any(|endpoint| fits(endpoint.path))
}

/// A tile leads to the endpoint of its row; its place is read again, digit by digit.
fn tile(path: &str, name: TileName) {
    let (row, place) = path.trim_start_matches("/tile/").split_once('/').expect("a row and a place");
    let wanted = if row == "entries" { "entries" } else { "tile" };
    let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.name == wanted).expect("listed");
    assert!(matches!(find(&endpoint.method, path), Route::To(found, _) if found.name == wanted));
    assert_eq!(name.row == Row::Entries, row == "entries");
    let (number, width) = place.split_once(".p/").unwrap_or((place, "256"));
    let digits = number.bytes().filter(u8::is_ascii_digit).fold(0u128, |n, digit| n * 10 + u128::from(digit - b'0'));
    assert_eq!((u128::from(name.n), name.width.to_string().as_str()), (digits, width));
}

/// A parameter is what stands behind its name, where that is once.
fn query(query: &str) {
    for name in ["index", "size", "from", "to", "limit", "after"] {
        let mut values = Vec::new();
        for pair in query.split('&') {
            match pair.strip_prefix(name) {
                Some("") => values.push(""),
                Some(rest) => values.extend(rest.strip_prefix('=')),
                None => {}
            }
        }
        match parameter(query, name) {
            Ok(value) => assert!(value.as_slice() == values && values.len() < 2),
            Err(problem) => assert!(values.len() > 1 && problem.kind.status() == 400),
        }
    }
}

/// Nobody is told in English who did not ask for it.
fn language(header: &str) {
    if Language::accepted(Some(header)) == Language::English {
        assert!(header.split(',').any(|range| range.trim().to_ascii_lowercase().starts_with("en")));
    }
}

/// Read from the end, the first address that no proxy has.
fn addresses(lists: &[&str], subject: Subject) {
    let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    assert_eq!(forwarded(stranger, lists, &PROXIES), stranger, "the word of somebody who is no proxy was taken");
    let told = match lists.concat().split_once(',').and_then(|(first, _)| first.trim().parse::<IpAddr>().ok()) {
        Some(first) if subject.is_planted() => first.to_canonical(),
        _ => forwarded(PROXIES[0], lists, &PROXIES),
    };
    let joined = lists.join(",");
    let mut expected = PROXIES[0];
    for hop in joined.split(',').rev().map(str::trim).filter(|_| !lists.is_empty()) {
        let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
        let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
        let address = bare.parse::<IpAddr>().ok().or_else(with_port);
        // Where a proxy's word is no address, nobody's.
        expected = address.unwrap_or(Ipv6Addr::UNSPECIFIED.into()).to_canonical();
        if address.is_none() || !PROXIES.contains(&expected) {
            break;
        }
    }
    assert_eq!(told, expected);
}

/// A body is a question if it says what is asked, in one way only.
fn question(body: &str) -> bool {
    let Ok(read) = serde_json::from_str::<Asked>(body) else { return false };
    let value: Value = serde_json::from_str(body).expect("read before");
    let told = |name: &str| value.get(name).is_some_and(|member| !member.is_null());
    let by_fields = ["code", "number", "date", "amount", "check", "total", "seller_id", "buyer_id"].into_iter().any(told);
    let complete = if told("qr") { !by_fields } else { told("code") && told("number") };
    // An array is read as well, by the order of the members; whether it is complete is not said here.
    let asked = read.question();
    assert!(asked.is_ok() == complete || value.is_array());
    asked.is_ok()
}
