//! The invoice (发票) as a value that has passed every rule, and its face: what any holder of the paper knows.

use super::kind::Kind;
use super::money::Fen;
use super::number::{CheckCode, InvoiceId};
use super::particulars::{Electronic, Freight, MotorVehicle, Ordinary, Roll, Special};
use super::taxpayer::TaxpayerId;
use super::time::Day;

/// An invoice that [`super::rules::accept`] let pass. Amounts are what was stated; nothing is ever corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Code and number.
    pub id: InvoiceId,
    /// 开票日期.
    pub date: Day,
    /// 合计金额, 价税合计.
    pub totals: Totals,
    /// 销售方名称 (02: 承运人).
    pub seller_name: String,
    /// 销售方纳税人识别号.
    pub seller_id: TaxpayerId,
    /// 开票人.
    pub drawer: String,
    /// 收款人 (roll: 收款员).
    pub payee: Option<String>,
    /// 复核.
    pub reviewer: Option<String>,
    /// 备注.
    pub remark: Option<String>,
    /// Present exactly on red-letter invoices (红字发票).
    pub red: Option<RedReference>,
    /// What only this type carries.
    pub particulars: Particulars,
}

/// The sums on the face. Tax is their difference, so that the three always agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// 合计金额, excluding tax.
    pub amount: Fen,
    /// 价税合计, including tax.
    pub total: Fen,
}

impl Totals {
    /// 合计税额.
    pub fn tax(self) -> Fen {
        self.total - self.amount
    }
}

/// Type and what only this type carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Particulars {
    /// 01.
    Special(Special),
    /// 02.
    Freight(Freight),
    /// 03.
    MotorVehicle(Box<MotorVehicle>),
    /// 04.
    Ordinary(Ordinary),
    /// 10.
    Electronic(Electronic),
    /// 11.
    Roll(Roll),
}

/// 红字发票: the invoice that is taken back, and by which authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedReference {
    /// The original (对应正数发票).
    pub original: InvoiceId,
    /// Information sheet for 01 and 02, none for the other types.
    pub basis: RedBasis,
    /// Why, if stated.
    pub reason: Option<RedReason>,
}

/// What entitles a seller to a red-letter invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedBasis {
    /// 01, 02: the information sheet's number (信息表编号), 16 to 24 digits.
    Notice(String),
    /// Other types: naming the original suffices.
    Original,
}

/// Reasons (冲红原因) of the issuing interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RedReason {
    /// 销货退回.
    Returned = 1,
    /// 开票有误.
    Mistake = 2,
    /// 服务中止.
    ServiceEnded = 3,
    /// 销售折让.
    Allowance = 4,
}

impl RedReason {
    /// The reason with this number (1 to 4).
    pub fn from_number(number: u8) -> Option<RedReason> {
        [RedReason::Returned, RedReason::Mistake, RedReason::ServiceEnded, RedReason::Allowance].into_iter().find(|reason| *reason as u8 == number)
    }
}

/// What any holder of the paper knows; signed, in the signed QR, and in the ledger's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// Type.
    pub kind: Kind,
    /// Code and number.
    pub id: InvoiceId,
    /// 开票日期.
    pub date: Day,
    /// Amount excluding tax, total including tax.
    pub totals: Totals,
    /// 校验码: present exactly where the type has one.
    pub check_code: Option<CheckCode>,
    /// 销售方纳税人识别号.
    pub seller_id: TaxpayerId,
}

impl Invoice {
    /// The type, from what the invoice carries.
    pub fn kind(&self) -> Kind {
        match &self.particulars {
            Particulars::Special(_) => Kind::Special,
            Particulars::Freight(_) => Kind::Freight,
            Particulars::MotorVehicle(_) => Kind::MotorVehicle,
            Particulars::Ordinary(_) => Kind::Ordinary,
            Particulars::Electronic(_) => Kind::Electronic,
            Particulars::Roll(_) => Kind::Roll,
        }
    }

    /// 校验码, for the types that have one.
    pub fn check_code(&self) -> Option<CheckCode> {
        match &self.particulars {
            Particulars::Special(_) | Particulars::Freight(_) | Particulars::MotorVehicle(_) => None,
            Particulars::Ordinary(ordinary) => Some(ordinary.check_code),
            Particulars::Electronic(electronic) => Some(electronic.check_code),
            Particulars::Roll(roll) => Some(roll.check_code),
        }
    }

    /// The buyer's tax id, if stated.
    pub fn buyer_id(&self) -> Option<&TaxpayerId> {
        match &self.particulars {
            Particulars::Special(special) => Some(&special.buyer.tax_id),
            Particulars::Freight(freight) => Some(&freight.recipient.tax_id),
            Particulars::MotorVehicle(vehicle) => vehicle.buyer_identity.tax_id(),
            Particulars::Ordinary(ordinary) => ordinary.buyer.tax_id.as_ref(),
            Particulars::Electronic(electronic) => electronic.buyer.tax_id.as_ref(),
            Particulars::Roll(roll) => roll.buyer_tax_id.as_ref(),
        }
    }

    /// The buyer's name, if stated.
    pub fn buyer_name(&self) -> Option<&str> {
        match &self.particulars {
            Particulars::Special(special) => Some(&special.buyer.name),
            Particulars::Freight(freight) => Some(&freight.recipient.name),
            Particulars::MotorVehicle(vehicle) => Some(&vehicle.buyer_name),
            Particulars::Ordinary(ordinary) => Some(&ordinary.buyer.name),
            Particulars::Electronic(electronic) => Some(&electronic.buyer.name),
            Particulars::Roll(roll) => roll.buyer_name.as_deref(),
        }
    }

    /// What any holder of the paper knows.
    pub fn face(&self) -> Face {
        Face {
            kind: self.kind(),
            id: self.id,
            date: self.date,
            totals: self.totals,
            check_code: self.check_code(),
            seller_id: self.seller_id.clone(),
        }
    }
}

/// What a draft says is its issuer's own signature on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuerSignature {
    /// Of the issuer's registered key.
    pub key_id: [u8; 8],
    /// Ed25519, over the submission's message.
    pub signature: [u8; 64],
}
