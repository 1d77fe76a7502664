//! Chapter 01: the form of a draft, by the table of members alone.

use super::judge::Judge;
use super::{CONTROL_CHARACTER, DUPLICATE_MEMBER, FAR_TOO_LONG, MISSING, NOT_ALLOWED, TOO_LONG, TOO_MANY, UNKNOWN_MEMBER, WRONG_TYPE};
use crate::domain::draft::fields::{self, Field, Form, Spec, When};
use crate::domain::draft::{At, Oddity, Strangeness};
use crate::domain::kind::Kind;

/// No text is kept beyond this many GBK bytes, not even on import: its UTF-8 length must fit the signed bytes' u16 many times over.
const KEPT_MAX: usize = 2_000;

/// What the channel could not put into the draft.
pub(super) fn oddities(judge: &mut Judge<'_>) {
    let draft = judge.draft;
    for oddity in draft.oddities() {
        let rule = match oddity.what {
            Strangeness::Unknown => &UNKNOWN_MEMBER,
            Strangeness::Duplicate => &DUPLICATE_MEMBER,
            Strangeness::WrongType => &WRONG_TYPE,
            Strangeness::TooMany => &TOO_MANY,
        };
        judge.report_path(rule, oddity.path.clone(), None);
    }
}

/// Every member of the table: present if required, absent if not allowed, neither too long nor with control characters.
///
/// Without a type only what all six agree on is asked for.
pub(super) fn members(judge: &mut Judge<'_>, kind: Option<Kind>) {
    fields::head().iter().for_each(|spec| member(judge, kind, spec, 0));
    for row in 0..judge.draft.lines() {
        fields::line().iter().for_each(|spec| member(judge, kind, spec, row));
    }
    for row in 0..judge.draft.fees() {
        fields::fee().iter().for_each(|spec| member(judge, kind, spec, row));
    }
}

fn member(judge: &mut Judge<'_>, kind: Option<Kind>, spec: &Spec, row: usize) {
    let at = At { field: spec.field, row };
    let (applies, entries) = match (spec.when, spec.field) {
        // Whether a draft must, or may, name an original is chapter 10's.
        (When::Red, _) => (judge.red && super::red::is_stated(judge.draft), 0),
        (When::Always | When::Import, Field::Lines) => (true, judge.draft.lines()),
        (When::Always | When::Import, Field::Fees) => (true, judge.draft.fees()),
        (When::Always | When::Import, _) => (true, 0),
    };
    let text = judge.draft.get(at);
    if text.is_none() && entries == 0 {
        let required = kind.map_or(spec.required.is_all(), |kind| spec.required.has(kind));
        if required && applies && !unreadable(judge, at) {
            judge.explain(&MISSING, at, spec.zh.to_owned(), spec.en.to_owned());
        }
        return;
    }
    if kind.is_some_and(|kind| !spec.allowed.has(kind)) {
        judge.explain(&NOT_ALLOWED, at, spec.zh.to_owned(), spec.en.to_owned());
    }
    let Some(text) = text else { return };
    let limit = if spec.limit == 0 { KEPT_MAX } else { spec.limit };
    if exceeds(text, KEPT_MAX) {
        judge.explain(&FAR_TOO_LONG, at, format!("至多{KEPT_MAX}字节"), format!("at most {KEPT_MAX} GBK bytes"));
    } else if exceeds(text, limit) {
        judge.explain(&TOO_LONG, at, format!("至多{limit}字节（GBK）"), format!("at most {limit} GBK bytes"));
    }
    if has_control_character(text, spec.form == Form::Multiline) {
        judge.report(&CONTROL_CHARACTER, at);
    }
}

/// Whether the member, or what it would stand in, was there as something else: then it is not missing too.
fn unreadable(judge: &Judge<'_>, at: At) -> bool {
    let (path, parent) = (judge.draft.path(at), judge.draft.scope_path(at.field.spec().scope(), at.row));
    let there = |oddity: &Oddity| oddity.path.is_empty() || oddity.path == path || oddity.path == parent;
    judge.draft.oddities().iter().any(|oddity| oddity.what == Strangeness::WrongType && there(oddity))
}

/// Whether a text takes more than `limit` bytes in GBK, where a character below U+0080 takes one and any other two.
fn exceeds(text: &str, limit: usize) -> bool {
    // UTF-8 never takes fewer bytes than GBK.
    text.len() > limit && text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>() > limit
}

/// Whether a text has a character of U+0000-U+001F or U+007F-U+009F, but for newlines where they are allowed.
fn has_control_character(text: &str, newline_allowed: bool) -> bool {
    // C2 leads the two bytes of U+0080-U+009F, and of few others: most texts are cleared by their bytes alone.
    let suspicious = text.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == 0xc2);
    suspicious && text.chars().any(|c| c.is_control() && !(newline_allowed && c == '\n'))
}
