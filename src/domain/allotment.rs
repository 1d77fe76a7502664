//! Allotments (发票领用): which taxpayer may use which numbers of a code, and marks on parts of a range.

use super::kind::Kind;
use super::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use super::taxpayer::TaxpayerId;

/// Numbers `first` to `last`, both included, of one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// 发票代码.
    pub code: InvoiceCode,
    /// First number.
    pub first: InvoiceNumber,
    /// Last number, not before the first.
    pub last: InvoiceNumber,
}

impl NumberRange {
    /// `None` if `last` comes before `first`.
    pub fn new(code: InvoiceCode, first: InvoiceNumber, last: InvoiceNumber) -> Option<NumberRange> {
        (first <= last).then_some(NumberRange { code, first, last })
    }

    /// Whether `id` is one of these numbers.
    pub fn contains(&self, id: InvoiceId) -> bool {
        self.code == id.code && self.first <= id.number && id.number <= self.last
    }

    /// Whether both name a number.
    pub fn overlaps(&self, other: &NumberRange) -> bool {
        self.code == other.code && self.first <= other.last && other.first <= self.last
    }

    /// Whether every number of `other` is one of these.
    pub fn encloses(&self, other: &NumberRange) -> bool {
        self.code == other.code && self.first <= other.first && other.last <= self.last
    }

    /// How many numbers.
    pub fn count(&self) -> u32 {
        self.last.ordinal() - self.first.ordinal() + 1
    }
}

/// Numbers allotted to a taxpayer for one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// Who may use them.
    pub taxpayer: TaxpayerId,
    /// For which type.
    pub kind: Kind,
    /// Which numbers.
    pub range: NumberRange,
}

/// What the administration says of a range, or of one invoice ([`Mark::Abnormal`] only of an invoice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mark {
    /// 遗失, lost.
    Lost = 1,
    /// 被盗, stolen.
    Stolen = 2,
    /// 异常（失控）, abnormal: only an issued invoice.
    Abnormal = 3,
    /// 空白作废, void while blank: only a range without used numbers.
    BlankVoid = 4,
    /// 解除, lifted: takes back lost, stolen or abnormal.
    Lifted = 5,
    /// 导入前已冲红: an imported invoice that was red-flushed before, its red-letter invoice not being at hand.
    RedBeforeImport = 6,
}

impl Mark {
    /// Every mark, by number.
    pub const ALL: [Mark; 6] = [Mark::Lost, Mark::Stolen, Mark::Abnormal, Mark::BlankVoid, Mark::Lifted, Mark::RedBeforeImport];

    /// The mark with this number.
    pub fn from_number(number: u8) -> Option<Mark> {
        Mark::ALL.into_iter().find(|mark| *mark as u8 == number)
    }

    /// The word of the interfaces: `lost`, `stolen`, `abnormal`, `blank_void`, `lifted`, `red_before_import`.
    pub fn name(self) -> &'static str {
        match self {
            Mark::Lost => "lost",
            Mark::Stolen => "stolen",
            Mark::Abnormal => "abnormal",
            Mark::BlankVoid => "blank_void",
            Mark::Lifted => "lifted",
            Mark::RedBeforeImport => "red_before_import",
        }
    }

    /// The mark with this name.
    pub fn from_name(name: &str) -> Option<Mark> {
        Mark::ALL.into_iter().find(|mark| mark.name() == name)
    }
}
