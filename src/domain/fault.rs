//! Faults: every rule that a draft breaks, with the place in the submitter's own JSON.

use super::rules::Rule;

/// Whether a broken rule refuses the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The draft is refused.
    Fault,
    /// The draft may pass; the submitter should look.
    Warning,
}

impl Severity {
    /// `fault` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Fault => "fault",
            Severity::Warning => "warning",
        }
    }
}

/// A rule that a draft breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule's stable code, `FP-04-002`.
    pub code: &'static str,
    /// Fault or warning, as judged here: what would be a fault may be a warning on import.
    pub severity: Severity,
    /// JSON Pointer (RFC 6901) as the submitter wrote it; empty for the whole draft.
    pub path: String,
    /// What is wrong, in Chinese. Never repeats the text of a party or a person.
    pub zh: String,
    /// What is wrong, in English.
    pub en: String,
}

/// The faults and warnings of one draft.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a broken rule; `detail` (Chinese, English) is appended to its title.
    pub fn push(&mut self, rule: &'static Rule, severity: Severity, path: String, detail: Option<(String, String)>) {
        let (zh, en) = match detail {
            Some((zh, en)) => (format!("{}：{zh}", rule.zh), format!("{}: {en}", rule.en)),
            None => (rule.zh.to_owned(), rule.en.to_owned()),
        };
        self.0.push(Fault { code: rule.code, severity, path, zh, en });
    }

    /// Whether any of them refuses the draft.
    pub fn refuse(&self) -> bool {
        self.0.iter().any(|fault| fault.severity == Severity::Fault)
    }

    /// Faults before warnings, each by code, those of one code in the order of the members.
    pub fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| (fault.severity, fault.code));
        self.0
    }
}
