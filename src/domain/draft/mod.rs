//! The draft (发票草稿): an invoice as submitted, every value still text, with the name each member was written under.
//!
//! A channel fills it member by member through [`fields::resolve`] and [`Draft::put`]; [`super::rules::accept`] judges it. What could not
//! be put anywhere is remembered as an [`Oddity`], so that it is reported together with everything else that is wrong.

pub mod fields;
mod of_invoice;

use super::kind::Kind;
use super::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use fields::{FEE_FIELDS, Field, HEAD_FIELDS, LINE_FIELDS, Scope};

/// Most lines (明细) of a draft: eighty printed list pages.
pub const LINES_MAX: usize = 2_000;
/// Most fees (费用项目) of a draft.
pub const FEES_MAX: usize = 100;
/// Oddities beyond this many are not remembered: the draft is refused anyway, and a hostile one shall not be answered with megabytes.
const ODDITIES_MAX: usize = 1_000;

/// One member of a draft: a field, and the line or fee it stands in (0 for the head).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Which member.
    pub field: Field,
    /// Which line or fee, from 0.
    pub row: usize,
}

impl From<Field> for At {
    fn from(field: Field) -> At {
        At { field, row: 0 }
    }
}

/// What a member may be besides well placed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangeness {
    /// No field has this name here.
    Unknown,
    /// The member was written before, under this name or another.
    Duplicate,
    /// Neither text nor what else the member may be.
    WrongType,
    /// More lines or fees than a draft may have.
    TooMany,
}

/// A member that was not put into the draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// What is odd.
    pub what: Strangeness,
    /// JSON Pointer, as written.
    pub path: String,
}

/// Where a member's text lies in [`Draft::text`], and under which of its names it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    len: usize,
    name: u8,
}

impl Span {
    /// No name: the member was not written.
    const UNWRITTEN: u8 = u8::MAX;
    const NONE: Span = Span { start: 0, len: 0, name: Self::UNWRITTEN };
}

/// An invoice as submitted. Empty text counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// All texts, one after the other: a draft costs one allocation, not one per member.
    text: String,
    head: [Span; HEAD_FIELDS],
    lines: Vec<[Span; LINE_FIELDS]>,
    fees: Vec<[Span; FEE_FIELDS]>,
    oddities: Vec<Oddity>,
}

impl Draft {
    /// An empty draft with room for this many bytes of text.
    pub fn with_capacity(bytes: usize) -> Draft {
        Draft { text: String::with_capacity(bytes), head: [Span::NONE; HEAD_FIELDS], lines: Vec::new(), fees: Vec::new(), oddities: Vec::new() }
    }

    /// Writes a member under its `name`-th name (0: its own, 1…: its aliases). A member that was written before keeps its first value
    /// and is remembered as a duplicate.
    ///
    /// # Panics
    /// If `at` names a row that was not begun.
    pub fn put(&mut self, at: At, name: u8, text: &str) {
        let span = Span { start: self.text.len(), len: text.len(), name };
        let slot = self.slot_mut(at);
        if slot.name == Span::UNWRITTEN {
            *slot = span;
            self.text.push_str(text);
        } else {
            let path = self.path_as(at, name);
            self.odd(Strangeness::Duplicate, path);
        }
    }

    /// Begins the next line and returns its row, or `None` if there are [`LINES_MAX`] already.
    pub fn begin_line(&mut self) -> Option<usize> {
        (self.lines.len() < LINES_MAX).then(|| self.lines.push([Span::NONE; LINE_FIELDS]))?;
        Some(self.lines.len() - 1)
    }

    /// Begins the next fee and returns its row, or `None` if there are [`FEES_MAX`] already.
    pub fn begin_fee(&mut self) -> Option<usize> {
        (self.fees.len() < FEES_MAX).then(|| self.fees.push([Span::NONE; FEE_FIELDS]))?;
        Some(self.fees.len() - 1)
    }

    /// Remembers a member that could not be put.
    pub fn odd(&mut self, what: Strangeness, path: String) {
        if self.oddities.len() < ODDITIES_MAX {
            self.oddities.push(Oddity { what, path });
        }
    }

    /// What could not be put, in the order it was met.
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    /// The text of a member; `None` if it is absent or empty.
    pub fn get(&self, at: impl Into<At>) -> Option<&str> {
        let span = self.slot(at.into());
        (span.len > 0).then(|| &self.text[span.start..span.start + span.len])
    }

    /// Whether the member was written at all, be it with an empty value.
    pub fn is_written(&self, at: impl Into<At>) -> bool {
        self.slot(at.into()).name != Span::UNWRITTEN
    }

    /// How many lines (明细).
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// How many fees (费用项目).
    pub fn fees(&self) -> usize {
        self.fees.len()
    }

    /// JSON Pointer (RFC 6901) to the member, by the name it was written under; by its own name if it was not.
    pub fn path(&self, at: impl Into<At>) -> String {
        let at = at.into();
        let name = self.slot(at).name;
        self.path_as(at, if name == Span::UNWRITTEN { 0 } else { name })
    }

    /// JSON Pointer to the object of this scope; `row` counts lines or fees.
    pub fn scope_path(&self, scope: Scope, row: usize) -> String {
        match scope {
            Scope::Top => String::new(),
            Scope::Group(group) => format!("/{}", group.name()),
            Scope::Line => format!("{}/{row}", self.path(Field::Lines)),
            Scope::Fee => format!("{}/{row}", self.path(Field::Fees)),
        }
    }

    fn path_as(&self, at: At, name: u8) -> String {
        let spec = at.field.spec();
        let base = match spec.scope() {
            // An alias of a nested member stands at the top.
            Scope::Group(_) if name > 0 => String::new(),
            scope => self.scope_path(scope, at.row),
        };
        format!("{base}/{}", spec.written_as(name))
    }

    fn slot(&self, At { field, row }: At) -> Span {
        let index = field.index();
        if index < HEAD_FIELDS {
            self.head[index]
        } else if index < HEAD_FIELDS + LINE_FIELDS {
            self.lines[row][index - HEAD_FIELDS]
        } else {
            self.fees[row][index - HEAD_FIELDS - LINE_FIELDS]
        }
    }

    fn slot_mut(&mut self, At { field, row }: At) -> &mut Span {
        let index = field.index();
        if index < HEAD_FIELDS {
            &mut self.head[index]
        } else if index < HEAD_FIELDS + LINE_FIELDS {
            &mut self.lines[row][index - HEAD_FIELDS]
        } else {
            &mut self.fees[row][index - HEAD_FIELDS - LINE_FIELDS]
        }
    }

    /// The type, if it is one of the six.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.get(Field::Kind)?)
    }

    /// Code and number, if both are well formed: what the caller looks up before anything else is judged.
    pub fn id(&self) -> Option<InvoiceId> {
        self.id_of(Field::Code, Field::Number)
    }

    /// The original (原发票) of a red-letter draft, if both its code and number are well formed: its date decides which rates are in force.
    pub fn original(&self) -> Option<InvoiceId> {
        self.id_of(Field::OriginalCode, Field::OriginalNumber)
    }

    fn id_of(&self, code: Field, number: Field) -> Option<InvoiceId> {
        Some(InvoiceId { code: InvoiceCode::parse(self.get(code)?)?, number: InvoiceNumber::parse(self.get(number)?)? })
    }
}

/// A name as one step of a JSON Pointer.
pub fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
