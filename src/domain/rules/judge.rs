//! The judge: the draft, the terms, and the faults found so far.

use super::{AMOUNT_FORM, ImportedState, Mode, OnImport, Rule, STATE_FORM, STATE_ON_ISSUE, Terms};
use crate::domain::draft::fields::Field;
use crate::domain::draft::{At, Draft};
use crate::domain::fault::{Faults, Severity};
use crate::domain::money::Fen;

pub(super) struct Judge<'a> {
    pub(super) draft: &'a Draft,
    pub(super) terms: &'a Terms,
    pub(super) faults: Faults,
    /// A draft is red if its total is negative; where that cannot be read, if it names an original.
    pub(super) red: bool,
    /// Its issuer signs it, so that nothing may be added.
    pub(super) signed: bool,
}

impl From<(Field, usize)> for At {
    fn from((field, row): (Field, usize)) -> At {
        At { field, row }
    }
}

impl<'a> Judge<'a> {
    pub(super) fn new(draft: &'a Draft, terms: &'a Terms) -> Judge<'a> {
        let red = match draft.get(Field::Total).and_then(Fen::parse) {
            Some(total) => total < Fen::ZERO,
            None => draft.get(Field::OriginalCode).is_some() || draft.get(Field::OriginalNumber).is_some(),
        };
        let signed = draft.get(Field::IssuerKeyId).is_some() || draft.get(Field::IssuerSignature).is_some();
        Judge { draft, terms, faults: Faults::default(), red, signed }
    }

    pub(super) fn importing(&self) -> bool {
        self.terms.mode == Mode::Import
    }

    /// Reports a broken rule at a member.
    pub(super) fn report(&mut self, rule: &'static Rule, at: impl Into<At>) {
        self.report_path(rule, self.draft.path(at), None);
    }

    /// Reports a broken rule at a member, with what was found.
    pub(super) fn explain(&mut self, rule: &'static Rule, at: impl Into<At>, zh: String, en: String) {
        self.report_path(rule, self.draft.path(at), Some((zh, en)));
    }

    pub(super) fn report_path(&mut self, rule: &'static Rule, path: String, detail: Option<(String, String)>) {
        let warns = self.importing() && rule.on_import == OnImport::Warns;
        self.faults.push(rule, if warns { Severity::Warning } else { rule.severity }, path, detail);
    }

    /// The text of a member, to keep.
    pub(super) fn text(&self, at: impl Into<At>) -> Option<String> {
        self.draft.get(at).map(str::to_owned)
    }

    /// The value of a member; a text that is none is reported. An absent one is not: that is for the table of members.
    pub(super) fn parse<T>(&mut self, at: impl Into<At>, rule: &'static Rule, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let at = at.into();
        let value = parse(self.draft.get(at)?);
        if value.is_none() {
            self.report(rule, at);
        }
        value
    }

    pub(super) fn amount(&mut self, at: impl Into<At>) -> Option<Fen> {
        self.parse(at, &AMOUNT_FORM, Fen::parse)
    }

    /// Reports a text that is present and not this many digits.
    pub(super) fn digits(&mut self, at: At, rule: &'static Rule, lengths: &[usize]) {
        let well_formed = |text: &str| lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        self.parse(at, rule, |text| well_formed(text).then_some(()));
    }

    /// What became of an imported invoice; `None` if that cannot be read.
    pub(super) fn state(&mut self) -> Option<ImportedState> {
        if self.draft.get(Field::State).is_none() {
            return Some(ImportedState::Normal);
        }
        if !self.importing() {
            self.report(&STATE_ON_ISSUE, Field::State);
            return None;
        }
        self.parse(Field::State, &STATE_FORM, ImportedState::parse)
    }
}
