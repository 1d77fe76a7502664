//! The rules of an invoice: one table of stable codes, and [`accept`], which makes an [`Invoice`] of a [`Draft`] or says everything that is wrong.
//!
//! Pure: what day it is, and a check code in case one is needed, are arguments. What only the ledger knows (duplicates, allotments, how much
//! of an original is left) is decided there.

mod form;
mod identity;
mod judge;
mod lines;
mod parties;
mod rates;
mod red;
mod sums;
mod table;
mod vehicle;

pub use table::*;

use super::draft::Draft;
use super::draft::fields::Field;
use super::fault::Fault;
use super::invoice::{Invoice, IssuerSignature, Particulars};
use super::kind::Kind;
use super::number::CheckCode;
use super::particulars::{AnyBuyer, Electronic, Fee, Freight, NamedParty, Ordinary, Roll, SellerContact, Special, TaxOffice, TaxpayerBuyer};
use super::taxpayer::TaxpayerId;
use super::time::Day;
use judge::Judge;

/// How a draft comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new invoice, dated from this many days back to today.
    Issue {
        /// How many days back.
        days_back: u32,
    },
    /// A historic invoice, kept as it was.
    Import,
}

/// What [`accept`] needs to know beside the draft.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Today in UTC+8.
    pub today: Day,
    /// New or historic.
    pub mode: Mode,
    /// Used where the type has a check code (校验码) and a new draft has none: 20 random digits of the caller's.
    pub check_code: CheckCode,
    /// For a red-letter draft, the day of its original ([`Draft::original`]), if the caller knows it: red-letter invoices keep its rates.
    pub original_date: Option<Day>,
}

/// What had become of a historic invoice (作废标志 of the platform).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedState {
    /// 正常.
    Normal,
    /// 作废.
    Voided,
    /// 红冲.
    RedFlushed,
    /// 异常.
    Abnormal,
}

impl ImportedState {
    /// Reads the word or the platform's flag.
    pub fn parse(text: &str) -> Option<ImportedState> {
        match text {
            "normal" | "0" | "N" => Some(ImportedState::Normal),
            "voided" | "Y" | "2" => Some(ImportedState::Voided),
            "red_flushed" | "3" => Some(ImportedState::RedFlushed),
            "abnormal" | "4" => Some(ImportedState::Abnormal),
            _ => None,
        }
    }
}

/// A draft that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The invoice, with the values as submitted.
    pub invoice: Invoice,
    /// Whether the check code is the caller's, not the draft's.
    pub check_code_generated: bool,
    /// What the submitter should look at.
    pub warnings: Vec<Fault>,
    /// What had become of it; [`ImportedState::Normal`] for a new one.
    pub state: ImportedState,
    /// What the draft says is its issuer's signature: a claim, until somebody who knows the issuer's key has checked it.
    pub issuer: Option<IssuerSignature>,
}

/// Judges a draft by every rule. All faults and warnings at once, faults first; at least one of them is a fault if the draft is refused.
pub fn accept(draft: &Draft, terms: &Terms) -> Result<Accepted, Vec<Fault>> {
    accept_by(Judge::new(draft, terms))
}

/// As [`accept`], of a draft that its issuer is about to sign: what a signed one must state, it must state already.
pub fn accept_to_sign(draft: &Draft, terms: &Terms) -> Result<Accepted, Vec<Fault>> {
    accept_by(Judge { signed: true, ..Judge::new(draft, terms) })
}

fn accept_by(mut judge: Judge<'_>) -> Result<Accepted, Vec<Fault>> {
    let judged = judge_all(&mut judge);
    let refused = judge.faults.refuse();
    let faults = judge.faults.into_sorted();
    match judged {
        Some((invoice, check_code_generated, state, issuer)) if !refused => {
            Ok(Accepted { invoice, check_code_generated, warnings: faults, state, issuer })
        }
        _ => {
            debug_assert!(refused, "whatever keeps an invoice from being built is reported as a fault");
            Err(faults)
        }
    }
}

/// Runs every rule, and builds the invoice if each of its parts could be read.
fn judge_all(judge: &mut Judge<'_>) -> Option<(Invoice, bool, ImportedState, Option<IssuerSignature>)> {
    form::oddities(judge);
    let kind = judge.parse(Field::Kind, &KIND_FORM, Kind::from_code);
    form::members(judge, kind);
    let state = judge.state();
    let identity = identity::identity(judge, kind);
    let check_code = identity::check_code(judge, kind);
    let totals = sums::totals(judge);
    let seller_id = parties::tax_id(judge, Field::SellerTaxId);
    let issuer = parties::issuer(judge);
    let red = red::red(judge, kind, identity.id, identity.date);
    let rates_at = if judge.red { judge.terms.original_date } else { identity.date };
    let particulars = particulars(judge, kind?, rates_at, check_code.map(|(code, _)| code));
    let (id, date) = (identity.id?, identity.date?);
    let invoice = Invoice {
        id,
        date,
        totals: totals?,
        seller_name: judge.text(Field::SellerName)?,
        seller_id: seller_id?,
        drawer: judge.text(Field::Drawer)?,
        payee: judge.text(Field::Payee),
        reviewer: judge.text(Field::Reviewer),
        remark: judge.text(Field::Remark),
        red: red?,
        particulars: particulars?,
    };
    let generated = check_code.is_some_and(|(_, generated)| generated);
    Some((invoice, generated, state?, issuer?))
}

fn particulars(judge: &mut Judge<'_>, kind: Kind, rates_at: Option<Day>, check_code: Option<CheckCode>) -> Option<Particulars> {
    let buyer_id = parties::tax_id(judge, Field::BuyerTaxId);
    let (machine_number, cipher) = (judge.text(Field::MachineNumber), judge.text(Field::Cipher));
    match kind {
        Kind::Special => {
            let lines = lines::lines(judge, rates_at);
            Some(Particulars::Special(Special {
                buyer: taxpayer_buyer(judge, buyer_id)?,
                seller_contact: seller_contact(judge),
                machine_number,
                cipher,
                lines: lines?,
            }))
        }
        Kind::Ordinary | Kind::Electronic => {
            parties::enterprise_buyer(judge);
            let lines = lines::lines(judge, rates_at);
            let buyer = AnyBuyer {
                name: judge.text(Field::BuyerName)?,
                tax_id: buyer_id,
                address_phone: judge.text(Field::BuyerAddressPhone),
                bank_account: judge.text(Field::BuyerBankAccount),
            };
            let (check_code, seller_contact, lines) = (check_code?, seller_contact(judge), lines?);
            if kind == Kind::Ordinary {
                return Some(Particulars::Ordinary(Ordinary { check_code, buyer, seller_contact, machine_number, cipher, lines }));
            }
            Some(Particulars::Electronic(Electronic { check_code, buyer, seller_contact, machine_number: machine_number?, cipher, lines }))
        }
        Kind::Freight => {
            let consignor_id = parties::tax_id(judge, Field::ConsignorTaxId);
            let consignee_id = parties::tax_id(judge, Field::ConsigneeTaxId);
            let rate = rates::invoice_rate(judge, rates_at, &FREIGHT_TAX);
            let fees = fees(judge);
            Some(Particulars::Freight(Freight {
                recipient: taxpayer_buyer(judge, buyer_id)?,
                consignor: NamedParty { name: judge.text(Field::ConsignorName)?, tax_id: consignor_id },
                consignee: NamedParty { name: judge.text(Field::ConsigneeName)?, tax_id: consignee_id },
                route: judge.text(Field::Route)?,
                cargo: judge.text(Field::Cargo),
                vehicle: judge.text(Field::Carriage),
                tonnage: judge.text(Field::Tonnage),
                fees: fees?,
                rate: rate?,
                tax_office: tax_office(judge)?,
                machine_number,
                cipher,
            }))
        }
        Kind::MotorVehicle => {
            let rate = rates::invoice_rate(judge, rates_at, &VEHICLE_TAX);
            let tax_office = tax_office(judge);
            let vehicle = vehicle::vehicle(judge, buyer_id, rate, tax_office)?;
            Some(Particulars::MotorVehicle(Box::new(vehicle)))
        }
        Kind::Roll => Some(Particulars::Roll(Roll {
            lines: lines::roll_lines(judge, rates_at)?,
            check_code: check_code?,
            buyer_name: judge.text(Field::BuyerName),
            buyer_tax_id: buyer_id,
            machine_number: machine_number?,
        })),
    }
}

fn taxpayer_buyer(judge: &Judge<'_>, tax_id: Option<TaxpayerId>) -> Option<TaxpayerBuyer> {
    Some(TaxpayerBuyer {
        name: judge.text(Field::BuyerName)?,
        tax_id: tax_id?,
        address_phone: judge.text(Field::BuyerAddressPhone),
        bank_account: judge.text(Field::BuyerBankAccount),
    })
}

fn seller_contact(judge: &Judge<'_>) -> SellerContact {
    SellerContact { address_phone: judge.text(Field::SellerAddressPhone), bank_account: judge.text(Field::SellerBankAccount) }
}

fn tax_office(judge: &mut Judge<'_>) -> Option<TaxOffice> {
    judge.digits(Field::OfficeCode.into(), &OFFICE_CODE_FORM, &[9, 11]);
    Some(TaxOffice { name: judge.text(Field::OfficeName)?, code: judge.text(Field::OfficeCode)? })
}

/// The fees (费用项目及金额) of a freight invoice, which add up to its amount.
fn fees(judge: &mut Judge<'_>) -> Option<Vec<Fee>> {
    let mut amounts = sums::Sum::default();
    let mut fees = Some(Vec::with_capacity(judge.draft.fees()));
    for row in 0..judge.draft.fees() {
        let amount = judge.amount((Field::FeeAmount, row));
        let item = judge.text((Field::FeeItem, row));
        amounts.add(amount);
        match (item, amount, &mut fees) {
            (Some(item), Some(amount), Some(fees)) => fees.push(Fee { item, amount }),
            _ => fees = None,
        }
    }
    sums::adds_up(judge, amounts, Field::Amount, &FEE_SUM);
    fees.filter(|fees| !fees.is_empty())
}
