//! Trust policies (c2sp.org/tlog-policy): which logs are known, which witnesses, and how many of them must have cosigned a checkpoint before it is
//! believed.
//!
//! ```text
//! log <verifier key> [<url>]
//! witness <name> <verifier key> [<url>]
//! group <name> all|any|<k> <name>…
//! quorum <name>|none
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::cosignature::{Cosigner, Seconds};
use super::note::{KeyType, Note, VerifierKey};
use crate::limits::{COSIGNATURE_SKEW_SECS, POLICY_BYTES_MAX, POLICY_ENTRIES_MAX};

/// A log that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// Its checkpoint key; the name is the log's origin.
    pub key: VerifierKey,
    /// Where it is reached.
    pub url: Option<String>,
}

/// A witness that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWitness {
    /// Its name in the policy.
    pub name: String,
    /// Its key, and its name in notes.
    pub cosigner: Cosigner,
    /// The address under which `/add-checkpoint` is.
    pub url: Option<String>,
}

/// Some of what was named before: so many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Named>,
}

/// What a name in a policy stands for, by its place among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Witness(usize),
    Group(usize),
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<KnownLog>,
    witnesses: Vec<KnownWitness>,
    groups: Vec<Group>,
    /// None: no cosignature is needed.
    quorum: Option<Named>,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Longer than any policy that makes sense.
    #[error("longer than {POLICY_BYTES_MAX} bytes")]
    TooLong,
    /// One line.
    #[error("line {line}: {fault}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        fault: LineFault,
    },
    /// Nothing says what is enough.
    #[error("there is no quorum line; without witnesses it is `quorum none`")]
    NoQuorum,
}

/// What is wrong with a line of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A control character other than a tab.
    #[error("a control character")]
    ControlCharacter,
    /// Not one of the four.
    #[error("no such line; there are log, witness, group and quorum")]
    Unknown,
    /// Too few words or too many.
    #[error("the form is `{0}`")]
    Form(&'static str),
    /// Not a verifier key, or not one that serves here.
    #[error("no verifier key of the right type: a log's has type 1, a witness's type 4")]
    Key,
    /// The same key or name twice.
    #[error("{0} is there before")]
    Twice(String),
    /// Named nowhere before.
    #[error("nothing before this line is called {0}")]
    NotNamed(String),
    /// More or fewer than there are.
    #[error("a threshold is `all`, `any`, or from 1 to the number of members")]
    Threshold,
    /// A second one.
    #[error("a second quorum")]
    SecondQuorum,
    /// More than we are ready for.
    #[error("more than {POLICY_ENTRIES_MAX} of them")]
    TooMany,
}

impl Policy {
    /// The policy that names no witness and needs none.
    pub const NONE: &str = "quorum none\n";

    /// Parses the text of a policy.
    pub fn parse(text: &str) -> Result<Policy, PolicyFault> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyFault::TooLong);
        }
        let mut reading = Reading::default();
        for (at, line) in text.split('\n').enumerate() {
            reading.line(line).map_err(|fault| PolicyFault::Line { line: at + 1, fault })?;
        }
        let Reading { logs, witnesses, groups, quorum, .. } = reading;
        Ok(Policy { logs, witnesses, groups, quorum: quorum.ok_or(PolicyFault::NoQuorum)? })
    }

    /// The logs it knows.
    pub fn logs(&self) -> &[KnownLog] {
        &self.logs
    }

    /// The witnesses it knows.
    pub fn witnesses(&self) -> &[KnownWitness] {
        &self.witnesses
    }

    /// Which of its witnesses cosigned a note, by place, and when. What is dated later than `now` by more than clocks differ is none.
    pub fn cosigned(&self, note: &Note, now: Seconds) -> Vec<(usize, Seconds)> {
        let time_of = |witness: &KnownWitness| {
            let times = note.signatures().iter().filter_map(|line| witness.cosigner.time_of(note.text(), line));
            times.filter(|time| *time <= now.saturating_add(COSIGNATURE_SKEW_SECS)).max()
        };
        self.witnesses.iter().enumerate().filter_map(|(at, witness)| Some((at, time_of(witness)?))).collect()
    }

    /// Whether these witnesses, by place, are enough.
    pub fn is_quorum(&self, witnesses: impl IntoIterator<Item = usize>) -> bool {
        let there: BTreeSet<usize> = witnesses.into_iter().collect();
        // A group names only what stands before it.
        let mut met: Vec<bool> = Vec::with_capacity(self.groups.len());
        let is_met = |named: &Named, met: &[bool]| match named {
            Named::Witness(at) => there.contains(at),
            Named::Group(at) => met.get(*at).copied().unwrap_or(false),
        };
        for group in &self.groups {
            met.push(group.members.iter().filter(|member| is_met(member, &met)).count() >= group.threshold);
        }
        self.quorum.is_none_or(|named| is_met(&named, &met))
    }

    /// Whether no cosignature is needed.
    pub fn asks_for_none(&self) -> bool {
        self.quorum.is_none()
    }
}

/// A policy as far as it was read.
#[derive(Default)]
struct Reading {
    logs: Vec<KnownLog>,
    witnesses: Vec<KnownWitness>,
    groups: Vec<Group>,
    names: BTreeMap<String, Named>,
    /// Names that are members of a group already: each counts in one way only.
    taken: BTreeSet<String>,
    quorum: Option<Option<Named>>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), LineFault> {
        if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Err(LineFault::ControlCharacter);
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", rest @ ..] => self.log(rest),
            ["witness", rest @ ..] => self.witness(rest),
            ["group", rest @ ..] => self.group(rest),
            ["quorum", rest @ ..] => self.quorum(rest),
            _ => Err(LineFault::Unknown),
        }
    }

    fn log(&mut self, words: &[&str]) -> Result<(), LineFault> {
        let (key, url) = match words {
            [key] => (key, None),
            [key, url] => (key, Some((*url).to_owned())),
            _ => return Err(LineFault::Form("log <verifier key> [<url>]")),
        };
        let key = VerifierKey::parse(key).filter(|key| key.key_type == KeyType::Note).ok_or(LineFault::Key)?;
        if self.logs.iter().any(|known| known.key.key == key.key) {
            return Err(LineFault::Twice(key.encode()));
        }
        self.logs.push(KnownLog { key, url });
        bounded(self.logs.len())
    }

    fn witness(&mut self, words: &[&str]) -> Result<(), LineFault> {
        let (name, key, url) = match words {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some((*url).to_owned())),
            _ => return Err(LineFault::Form("witness <name> <verifier key> [<url>]")),
        };
        let cosigner = Cosigner::parse(key).ok_or(LineFault::Key)?;
        if self.witnesses.iter().any(|known| known.cosigner.key() == cosigner.key()) {
            return Err(LineFault::Twice(cosigner.encode()));
        }
        self.name(name, Named::Witness(self.witnesses.len()))?;
        self.witnesses.push(KnownWitness { name: (*name).to_owned(), cosigner, url });
        bounded(self.witnesses.len())
    }

    fn group(&mut self, words: &[&str]) -> Result<(), LineFault> {
        let [name, threshold, members @ ..] = words else { return Err(LineFault::Form("group <name> all|any|<k> <name>…")) };
        let mut named = Vec::with_capacity(members.len());
        for member in members {
            named.push(*self.names.get(*member).ok_or_else(|| LineFault::NotNamed((*member).to_owned()))?);
            if !self.taken.insert((*member).to_owned()) {
                return Err(LineFault::Twice((*member).to_owned()));
            }
        }
        let threshold = match *threshold {
            "all" => named.len(),
            "any" => 1,
            number => super::note::parse_decimal(number).and_then(|number| usize::try_from(number).ok()).ok_or(LineFault::Threshold)?,
        };
        if !(1..=named.len()).contains(&threshold) {
            return Err(LineFault::Threshold);
        }
        self.name(name, Named::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members: named });
        bounded(self.groups.len())
    }

    fn quorum(&mut self, words: &[&str]) -> Result<(), LineFault> {
        let [name] = words else { return Err(LineFault::Form("quorum <name>|none")) };
        let named = match *name {
            "none" => None,
            name => Some(*self.names.get(name).ok_or_else(|| LineFault::NotNamed(name.to_owned()))?),
        };
        match self.quorum.replace(named) {
            None => Ok(()),
            Some(_) => Err(LineFault::SecondQuorum),
        }
    }

    fn name(&mut self, name: &str, named: Named) -> Result<(), LineFault> {
        if name == "none" || self.names.insert(name.to_owned(), named).is_some() {
            return Err(LineFault::Twice(name.to_owned()));
        }
        Ok(())
    }
}

fn bounded(entries: usize) -> Result<(), LineFault> {
    if entries > POLICY_ENTRIES_MAX { Err(LineFault::TooMany) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::cosignature::CosigningKey;
    use super::super::sign::SigningKey;
    use super::*;

    fn key(seed: u8) -> CosigningKey {
        CosigningKey::new(&format!("w{seed}"), SigningKey::from_seed(&[seed; 32])).expect("a key")
    }

    fn witnesses(many: u8) -> String {
        (1..=many).map(|seed| format!("witness W{seed} {}\n", key(seed).cosigner().encode())).collect()
    }

    #[test]
    fn the_example_of_the_specification_counts_as_it_says() {
        let text = witnesses(6) + "group X 2 W1 W2 W3\n# a remark\n\n group\tY any W4 W5 W6\ngroup both all X Y\nquorum both\n";
        let policy = Policy::parse(&text).expect("a policy");
        for (set, expected) in [
            (&[0, 1, 3][..], true),
            (&[0, 2, 5], true),
            (&[0, 1, 2, 3, 4, 5], true),
            (&[0, 3, 4, 5], false),
            (&[0, 1, 2], false),
            (&[], false),
            (&[0, 0, 3], false),
        ] {
            assert_eq!(policy.is_quorum(set.iter().copied()), expected, "{set:?}");
        }
    }

    #[test]
    fn one_witness_is_enough_where_it_is_named_and_none_where_none_is_asked_for() {
        let policy = Policy::parse(&(witnesses(2) + "quorum W2")).expect("a policy");
        assert!(policy.is_quorum([1]) && !policy.is_quorum([0]) && !policy.asks_for_none());
        let none = Policy::parse("quorum none\n").expect("a policy");
        assert!(none.is_quorum([]) && none.asks_for_none());
    }

    #[test]
    fn a_note_is_judged_by_the_lines_that_fit_and_are_not_of_tomorrow() {
        let policy = Policy::parse(&(witnesses(2) + "group all all W1 W2\nquorum all\n")).expect("a policy");
        let text = "log.example/0123456789abcdef\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let mut note = Note::sign(text.to_owned(), "log.example/0123456789abcdef", &SigningKey::from_seed(&[9; 32]));
        note.add_line(&key(1).cosign(text, 100).encode()).expect("room");
        note.add_line(&key(3).cosign(text, 100).encode()).expect("room");
        let is_met = |note: &Note, now| policy.is_quorum(policy.cosigned(note, now).into_iter().map(|(at, _)| at));
        assert_eq!(policy.cosigned(&note, 100), [(0, 100)]);
        assert!(!is_met(&note, 100));
        note.add_line(&key(2).cosign(text, 1_000).encode()).expect("room");
        assert!(!is_met(&note, 100), "of tomorrow");
        assert!(is_met(&note, 1_000));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let one = witnesses(1);
        let log = super::super::note::verifier_key("l", &SigningKey::from_seed(&[1; 32]).public());
        for (text, line, fault) in [
            ("quorum none\nquorum none".to_owned(), 2, LineFault::SecondQuorum),
            ("quorum W1".to_owned(), 1, LineFault::NotNamed("W1".into())),
            (one.clone() + &one, 2, LineFault::Twice(key(1).cosigner().encode())),
            (one.clone() + "group G 2 W1", 2, LineFault::Threshold),
            (one.clone() + "group G 0 W1", 2, LineFault::Threshold),
            (one.clone() + "group G 01 W1", 2, LineFault::Threshold),
            (one.clone() + "group G any", 2, LineFault::Threshold),
            (one.clone() + "group G any W1\ngroup H any W1", 3, LineFault::Twice("W1".into())),
            (one.clone() + "group W1 any W1", 2, LineFault::Twice("W1".into())),
            (one.clone() + "group none any W1", 2, LineFault::Twice("none".into())),
            (format!("witness A {log}"), 1, LineFault::Key),
            (format!("log {}", key(1).cosigner().encode()), 1, LineFault::Key),
            (format!("log {log}\nlog {log}"), 2, LineFault::Twice(log.clone())),
            ("log".to_owned(), 1, LineFault::Form("log <verifier key> [<url>]")),
            ("quorum none\r".to_owned(), 1, LineFault::ControlCharacter),
            ("Quorum none".to_owned(), 1, LineFault::Unknown),
        ] {
            assert_eq!(Policy::parse(&text), Err(PolicyFault::Line { line, fault }), "{text}");
        }
        assert_eq!(Policy::parse(""), Err(PolicyFault::NoQuorum));
        assert_eq!(Policy::parse(&" ".repeat(POLICY_BYTES_MAX + 1)), Err(PolicyFault::TooLong));
    }
}
