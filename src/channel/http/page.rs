//! `GET /q/{payload}`: what stands behind a signed QR code, as a page for a person or as JSON for a program.
//!
//! The payload is a verification factor: it is never logged, and the page is not cached, indexed or told to other sites. A page that is only loaded is
//! not counted as a verification, because previews of links load pages too.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY};

use super::operation::Handled;
use super::reply::{HTML, JSON, Reply};
use super::request::Request;
use super::verify::put_off;
use crate::channel::{answer, question};
use crate::engine::Counting;
use crate::verify::answer::Answer;
use crate::verify::verdict::Verdict;

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

pub(super) async fn page(request: &Request) -> Handled {
    let wants_json = request.prefers("application/json", "text/html");
    let counting = if wants_json { Counting::Verification } else { Counting::Nothing };
    let question = question::of_payload(request.site.engine.host(), request.only_step());
    let asked = request.site.engine.ask(&question, &request.asker, counting)?;
    put_off(request, &asked)?;
    request.site.answered(asked.answer.verdict);
    let reply = if wants_json { Reply::new(JSON, answer::to_json_text(&asked.answer)) } else { Reply::new(HTML, html(&asked.answer)) };
    Ok(reply.header(REFERRER_POLICY, "no-referrer").header(ROBOTS, "noindex, nofollow").header(
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ))
}

/// The answer as a page without scripts: what it says first, then what to compare with the paper.
fn html(answer: &Answer) -> String {
    let verdict = answer.verdict;
    let colour = if verdict == Verdict::Genuine { "#0a6b2d" } else { "#a11" };
    let lines: String = answer::to_text(answer).lines().skip(1).map(|line| format!("<p>{}</p>\n", escape(line.trim()))).collect();
    format!(
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>发票查验 invoice verification</title>\n\
         <style>body{{font:1.1rem/1.6 sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem}}h1{{color:{colour}}}p{{margin:.3rem 0}}</style>\n\
         </head>\n<body>\n<main>\n<h1>{}</h1>\n<p lang=\"en\">{}</p>\n{lines}</main>\n</body>\n</html>\n",
        escape(verdict.chinese()),
        escape(verdict.english()),
    )
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
        out
    })
}
