//! The allotment book: who may use which numbers, and which numbers are marked, kept in memory in full.

use std::collections::BTreeMap;

use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};

/// All allotments and the marks in force.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// By code and last number; ranges never overlap.
    allotments: BTreeMap<(InvoiceCode, InvoiceNumber), Allotted>,
    /// By code and last number; intervals are disjoint, a newer mark having cut away what it covers.
    marks: BTreeMap<(InvoiceCode, InvoiceNumber), Marked>,
}

/// An allotment and the leaf it was logged at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allotted {
    /// Whose numbers.
    pub allotment: Allotment,
    /// Leaf of the allot event.
    pub index: u64,
}

/// A mark in force and the leaf it was logged at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The numbers it covers now.
    pub range: NumberRange,
    /// Lost, stolen or blank void.
    pub mark: Mark,
    /// Leaf of the allotment-status event.
    pub index: u64,
}

impl Book {
    /// The allotment that has this number.
    pub fn allotted(&self, id: InvoiceId) -> Option<&Allotted> {
        let (_, found) = self.allotments.range((id.code, id.number)..).next()?;
        found.allotment.range.contains(id).then_some(found)
    }

    /// The mark in force on this number.
    pub fn mark(&self, id: InvoiceId) -> Option<&Marked> {
        let (_, found) = self.marks.range((id.code, id.number)..).next()?;
        found.range.contains(id).then_some(found)
    }

    /// An allotment that shares a number with `range`.
    pub fn overlapping(&self, range: &NumberRange) -> Option<&Allotted> {
        let (_, found) = self.allotments.range((range.code, range.first)..).next()?;
        found.allotment.range.overlaps(range).then_some(found)
    }

    /// The marks in force that share a number with `range`, in order.
    pub fn marks_in<'a>(&'a self, range: &'a NumberRange) -> impl Iterator<Item = &'a Marked> {
        self.marks.range((range.code, range.first)..).map(|(_, marked)| marked).take_while(|marked| marked.range.overlaps(range))
    }

    /// Every allotment, by code and number.
    pub fn allotments(&self) -> impl Iterator<Item = &Allotted> {
        self.allotments.values()
    }

    /// Every mark in force, by code and number.
    pub fn marks(&self) -> impl Iterator<Item = &Marked> {
        self.marks.values()
    }

    /// Enters an allotment that was decided to pass.
    pub fn allot(&mut self, allotment: Allotment, index: u64) {
        let range = allotment.range;
        self.allotments.insert((range.code, range.last), Allotted { allotment, index });
    }

    /// Enters a mark, or takes marks back if it is [`Mark::Lifted`]. What it covers of older marks is cut away.
    pub fn set_mark(&mut self, range: NumberRange, mark: Mark, index: u64) {
        let covered: Vec<Marked> = self.marks_in(&range).copied().collect();
        for old in covered {
            self.marks.remove(&(old.range.code, old.range.last));
            let before = InvoiceNumber::from_ordinal(range.first.ordinal() - 1).and_then(|last| NumberRange::new(range.code, old.range.first, last));
            let after = InvoiceNumber::from_ordinal(range.last.ordinal() + 1).and_then(|first| NumberRange::new(range.code, first, old.range.last));
            for remnant in [before, after].into_iter().flatten() {
                self.marks.insert((remnant.code, remnant.last), Marked { range: remnant, ..old });
            }
        }
        if mark != Mark::Lifted {
            self.marks.insert((range.code, range.last), Marked { range, mark, index });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> NumberRange {
        let number = |n| InvoiceNumber::from_ordinal(n).expect("a number");
        NumberRange::new(InvoiceCode::parse("011001500111").expect("a code"), number(first), number(last)).expect("ordered")
    }

    #[test]
    fn newer_marks_cut_older_ones() {
        let mut book = Book::default();
        book.set_mark(range(10, 99), Mark::Lost, 1);
        book.set_mark(range(20, 29), Mark::Stolen, 2);
        book.set_mark(range(90, 120), Mark::Lifted, 3);
        book.set_mark(range(1, 12), Mark::BlankVoid, 4);
        let rows: Vec<_> = book.marks().map(|m| (m.range.first.ordinal(), m.range.last.ordinal(), m.mark, m.index)).collect();
        assert_eq!(rows, [(1, 12, Mark::BlankVoid, 4), (13, 19, Mark::Lost, 1), (20, 29, Mark::Stolen, 2), (30, 89, Mark::Lost, 1)]);
    }
}
