//! `fapiao allot`: which taxpayer may use which numbers.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::events::finish;
use super::open::DataOptions;
use super::{Exit, Failure, print};
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::audit::Act;
use crate::domain::kind::Kind;
use crate::domain::number::{InvoiceCode, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;

/// `fapiao allot …`
#[derive(Subcommand)]
pub(super) enum Allot {
    /// Allot numbers to a taxpayer. Ranges of a code never overlap
    Add(Add),
    /// Mark numbers lost, stolen or void while blank, or lift a mark. Unused ones can no longer be issued, used ones are suspended
    Mark(MarkRange),
    /// List allotments and marks in force
    List(List),
}

#[derive(Args)]
struct Range {
    /// Invoice code 发票代码
    #[arg(long)]
    code: String,
    /// First number 起始号码
    #[arg(long)]
    first: String,
    /// Last number 终止号码
    #[arg(long)]
    last: String,
}

/// `fapiao allot add`
#[derive(Args)]
pub(super) struct Add {
    #[command(flatten)]
    data: DataOptions,
    /// Taxpayer id 纳税人识别号
    #[arg(long)]
    taxpayer: String,
    /// 01 02 03 04 10 or 11
    #[arg(long)]
    kind: String,
    #[command(flatten)]
    range: Range,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao allot mark`
#[derive(Args)]
pub(super) struct MarkRange {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    range: Range,
    /// What to say of them
    #[arg(long)]
    mark: RangeMark,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao allot list`
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RangeMark {
    Lost,
    Stolen,
    BlankVoid,
    Lifted,
}

impl From<RangeMark> for Mark {
    fn from(mark: RangeMark) -> Mark {
        match mark {
            RangeMark::Lost => Mark::Lost,
            RangeMark::Stolen => Mark::Stolen,
            RangeMark::BlankVoid => Mark::BlankVoid,
            RangeMark::Lifted => Mark::Lifted,
        }
    }
}

impl Range {
    fn parse(&self) -> Result<NumberRange, Failure> {
        let code = InvoiceCode::parse(&self.code).ok_or_else(|| Failure::Usage("--code: an invoice code has 10 or 12 digits".to_owned()))?;
        let number = |name: &str, text: &str| {
            InvoiceNumber::parse(text).ok_or_else(|| Failure::Usage(format!("--{name}: an invoice number has 8 digits, not all zero")))
        };
        NumberRange::new(code, number("first", &self.first)?, number("last", &self.last)?)
            .ok_or_else(|| Failure::Usage("--last comes before --first".to_owned()))
    }
}

/// A range as the audit trail names it.
fn named(range: &NumberRange) -> String {
    format!("{} {}-{}", range.code, range.first, range.last)
}

impl Allot {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Allot::Add(add) => {
                let taxpayer = TaxpayerId::parse(&add.taxpayer)
                    .ok_or_else(|| Failure::Usage("--taxpayer: an id has 15, 17, 18 or 20 digits and upper-case letters".to_owned()))?;
                let kind = Kind::from_code(&add.kind).ok_or_else(|| Failure::Usage("--kind is one of 01 02 03 04 10 11".to_owned()))?;
                let range = add.range.parse()?;
                if !kind.profile().code_lengths.contains(&range.code.digits()) {
                    return Err(Failure::Usage(format!("--code: codes of type {} have another length", add.kind)));
                }
                let engine = add.data.open()?;
                let subject = format!("{} {taxpayer}", named(&range));
                let submitted = engine.allot(Allotment { taxpayer, kind, range })?;
                finish(&engine, Act::Allotted, &subject, submitted, add.json)
            }
            Allot::Mark(mark) => {
                let range = mark.range.parse()?;
                let engine = mark.data.open()?;
                let marked = Mark::from(mark.mark);
                let subject = format!("{} {}", named(&range), marked.name());
                let submitted = engine.allotment_status(range, marked)?;
                finish(&engine, Act::AllotmentMarked, &subject, submitted, mark.json)
            }
            Allot::List(list) => list.run(),
        }
    }
}

impl List {
    fn run(&self) -> Result<Exit, Failure> {
        let engine = self.data.open_to_read()?;
        let book = engine.ledger().book();
        let range = |range: &NumberRange| json!({ "code": range.code.to_string(), "first": range.first.to_string(), "last": range.last.to_string() });
        let mut lines = Vec::new();
        let mut allotments = Vec::new();
        for allotted in book.allotments() {
            let Allotment { taxpayer, kind, range: numbers } = &allotted.allotment;
            let code = kind.profile().code;
            lines.push(format!("{code}  {}  {}-{}  {taxpayer}", numbers.code, numbers.first, numbers.last));
            let mut row = range(numbers);
            if let Some(row) = row.as_object_mut() {
                row.insert("kind".into(), code.into());
                row.insert("taxpayer".into(), taxpayer.as_str().into());
            }
            allotments.push(row);
        }
        let mut marks = Vec::new();
        for marked in book.marks() {
            lines.push(format!("    {}  {}-{}  {}", marked.range.code, marked.range.first, marked.range.last, marked.mark.name()));
            let mut row = range(&marked.range);
            if let Some(row) = row.as_object_mut() {
                row.insert("mark".into(), marked.mark.name().into());
            }
            marks.push(row);
        }
        let value = json!({ "allotments": Value::Array(allotments), "marks": Value::Array(marks) });
        if lines.is_empty() {
            lines.push("no numbers are allotted".to_owned());
        }
        print(self.json, &value, &lines.join("\n"))?;
        Ok(Exit::Fine)
    }
}
