//! What is wrong and where, collected by all workers at once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::Finding;
use crate::domain::number::InvoiceId;
use crate::ledger::tables;
use crate::limits::FSCK_FINDINGS_MAX;

/// A row that does not decode.
pub(super) const UNDECODABLE: &str = "the row does not decode";
/// Rows in a damaged block or file.
pub(super) const UNREADABLE: &str = "the database cannot read this";
/// Of the two tables that nothing else can replace.
pub(super) const LEAF_MISSING: &str = "a leaf or its seal is missing";
/// A row that follows from the log and is not there.
pub(super) const MISSING: &str = "the row is missing";
/// A key of another length or form than the table's.
pub(super) const FOREIGN_KEY: &str = "the key is not one of this table";
/// Rows that no signed checkpoint covers.
pub(super) const BEYOND: &str = "there are rows beyond the newest checkpoint";

/// A place in a table, in the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// A leaf, a tree size or a number of rows.
    Number(u64),
    /// From the first to the last, both included.
    Span(u64, u64),
    Tile(u8, u64),
    Invoice([u8; 10]),
    /// A key of no particular form.
    Key(Vec<u8>),
    /// After this key.
    After(Vec<u8>),
    /// A file, a name, the whole table.
    Named(String),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |key: &[u8]| data_encoding::HEXLOWER.encode(key);
        match self {
            At::Number(number) => write!(f, "{number}"),
            At::Span(first, last) if first == last => write!(f, "{first}"),
            At::Span(first, last) => write!(f, "{first}-{last}"),
            At::Tile(level, n) => write!(f, "{level}/{n}"),
            At::Invoice(id) => match InvoiceId::from_bytes(*id) {
                Some(id) => write!(f, "{id}"),
                None => f.write_str(&hex(id)),
            },
            At::Key(key) => f.write_str(&hex(key)),
            At::After(key) => write!(f, "after {}", hex(key)),
            At::Named(name) => f.write_str(name),
        }
    }
}

/// In the order in which they are reported: by table, then by place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// None: the files, which may explain all that follows.
    table: Option<usize>,
    at: At,
    what: &'static str,
    detail: Option<String>,
}

/// What was found so far. The same thing found twice counts once.
#[derive(Default)]
pub(super) struct Findings(Mutex<(BTreeSet<Found>, u64)>);

impl Findings {
    pub(super) fn add(&self, table: &'static str, at: At, what: &'static str) {
        self.enter(table, at, what, None);
    }

    pub(super) fn add_with(&self, table: &'static str, at: At, what: &'static str, detail: impl fmt::Display) {
        self.enter(table, at, what, Some(detail.to_string()));
    }

    fn enter(&self, table: &'static str, at: At, what: &'static str, detail: Option<String>) {
        let table = tables::NAMES.iter().position(|name| *name == table);
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (listed, further) = &mut *found;
        if listed.len() < FSCK_FINDINGS_MAX {
            listed.insert(Found { table, at, what, detail });
        } else {
            *further += 1;
        }
    }

    /// All that are listed, in order, and how many more there are.
    pub(super) fn into_list(self) -> (Vec<Finding>, u64) {
        let (listed, further) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut merged: Vec<Found> = Vec::new();
        for found in listed {
            // What two workers, or two passes, came across is one.
            match merged.last_mut().filter(|one| (one.table, one.what, &one.detail) == (found.table, found.what, &found.detail)) {
                Some(Found { at: At::Span(_, last), .. }) if matches!(found.at, At::Span(first, _) if first <= last.saturating_add(1)) => {
                    if let At::Span(_, end) = found.at {
                        *last = end.max(*last);
                    }
                }
                Some(Found { at: At::After(_), .. }) if matches!(found.at, At::After(_)) => {}
                Some(_) | None => merged.push(found),
            }
        }
        let finding = |Found { table, at, what, detail }: Found| {
            let table = table.and_then(|table| tables::NAMES.get(table)).copied().unwrap_or(super::FILES);
            Finding { table, at: at.to_string(), what, detail }
        };
        (merged.into_iter().map(finding).collect(), further)
    }
}
