//! `fapiao void` and `fapiao status`, and how the outcome of any event is told.

use clap::{Args, ValueEnum};

use super::open::DataOptions;
use super::{Exit, Failure, print};
use crate::channel::receipt::{Detail, outcome};
use crate::domain::allotment::Mark;
use crate::domain::audit::Act;
use crate::domain::caller::Caller;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::engine::{Engine, Submitted};

/// Code and number of one invoice.
#[derive(Args)]
pub(super) struct Id {
    /// Invoice code 发票代码
    #[arg(long)]
    code: String,
    /// Invoice number 发票号码
    #[arg(long)]
    number: String,
}

impl Id {
    pub(super) fn parse(&self) -> Result<InvoiceId, Failure> {
        let code = InvoiceCode::parse(&self.code).ok_or_else(|| Failure::Usage("--code: an invoice code has 10 or 12 digits".to_owned()))?;
        let number =
            InvoiceNumber::parse(&self.number).ok_or_else(|| Failure::Usage("--number: an invoice number has 8 digits, not all zero".to_owned()))?;
        Ok(InvoiceId { code, number })
    }
}

/// `fapiao void`
#[derive(Args)]
pub(super) struct Void {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    id: Id,
    /// Taxpayer id of the seller who asks; without it the administration does
    #[arg(long, value_name = "ID")]
    seller: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao status`
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    id: Id,
    /// What to say of it
    #[arg(long)]
    mark: InvoiceMark,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum InvoiceMark {
    Lost,
    Stolen,
    Abnormal,
    Lifted,
}

impl Void {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let id = self.id.parse()?;
        let seller = match &self.seller {
            Some(text) => Some(TaxpayerId::parse(text).ok_or_else(|| Failure::Usage("--seller is no taxpayer id".to_owned()))?),
            None => None,
        };
        let engine = self.data.open()?;
        let submitted = engine.void(id, seller)?;
        finish(&engine, Act::InvoiceVoided, &id.to_string(), submitted, self.json)
    }
}

impl Status {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mark = match self.mark {
            InvoiceMark::Lost => Mark::Lost,
            InvoiceMark::Stolen => Mark::Stolen,
            InvoiceMark::Abnormal => Mark::Abnormal,
            InvoiceMark::Lifted => Mark::Lifted,
        };
        let id = self.id.parse()?;
        let engine = self.data.open()?;
        let submitted = engine.status(id, mark)?;
        finish(&engine, Act::InvoiceMarked, &format!("{id} {}", mark.name()), submitted, self.json)
    }
}

/// Enters a decided act of the console into the audit trail, and prints what became of it.
pub(super) fn finish(engine: &Engine, act: Act, subject: &str, submitted: Submitted, json: bool) -> Result<Exit, Failure> {
    engine.record(&Caller::CONSOLE, act, subject, submitted.code())?;
    let (value, gravity) = outcome(engine, &submitted, Detail::Receipt)?;
    let text = match &submitted {
        Submitted::Logged(logged) if logged.repeated => format!("已登记 already logged at leaf {}", logged.index),
        Submitted::Logged(logged) => format!("已登记 logged at leaf {}", logged.index),
        Submitted::Faulty(faults) => {
            faults.iter().map(|fault| format!("{} {} {} | {}", fault.code, fault.path, fault.zh, fault.en)).collect::<Vec<_>>().join("\n")
        }
        Submitted::Refused(refusal) => format!("拒绝 refused {}: {} | {}", refusal.code(), refusal.chinese(), refusal.english()),
    };
    print(json, &value, &text)?;
    Ok(gravity.into())
}
