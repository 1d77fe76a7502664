//! What only some of the six types carry. A field that a type requires is not an option here.

use super::money::{Decimal8, Fen, TaxRate};
use super::number::CheckCode;
use super::taxpayer::{TaxpayerId, Vin};

/// How a rate is to be read (零税率标识 and the `免税` / `不征税` cells).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Treatment {
    /// The rate applies as it stands.
    Normal = 0,
    /// 免税, exempt: rate and tax are zero.
    Exempt = 1,
    /// 不征税, outside the tax: rate and tax are zero.
    NotTaxed = 2,
    /// 零税率, zero-rated (普通零税率 or 出口退税): rate and tax are zero.
    Zero = 3,
}

impl Treatment {
    /// Every treatment, by number.
    pub const ALL: [Treatment; 4] = [Treatment::Normal, Treatment::Exempt, Treatment::NotTaxed, Treatment::Zero];

    /// The treatment with this number.
    pub fn from_number(number: u8) -> Option<Treatment> {
        Treatment::ALL.into_iter().find(|treatment| *treatment as u8 == number)
    }
}

/// A tax rate (税率) as charged: the number and how to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The rate; zero unless the treatment is normal.
    pub rate: TaxRate,
    /// Normal, exempt, not taxed or zero-rated.
    pub treatment: Treatment,
}

/// Quantity (数量) and unit price (单价): both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// 数量.
    pub quantity: Decimal8,
    /// 单价, excluding tax but for rolls.
    pub price: Decimal8,
}

/// 发票行性质.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LineNature {
    /// 正常行.
    Normal = 0,
    /// 折扣行: reduces the line right before it.
    Discount = 1,
    /// 被折扣行: followed by its discount.
    Discounted = 2,
    /// 清单红字行: the one line of a red-letter invoice that sums up a whole list.
    RedList = 6,
}

impl LineNature {
    /// Every nature, by number.
    pub const ALL: [LineNature; 4] = [LineNature::Normal, LineNature::Discount, LineNature::Discounted, LineNature::RedList];

    /// The nature with this number.
    pub fn from_number(number: u8) -> Option<LineNature> {
        LineNature::ALL.into_iter().find(|nature| *nature as u8 == number)
    }
}

/// A line (明细) of a special, ordinary or electronic invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 发票行性质.
    pub nature: LineNature,
    /// 货物或应税劳务、服务名称.
    pub name: String,
    /// 规格型号.
    pub specification: Option<String>,
    /// 单位.
    pub unit: Option<String>,
    /// 数量 and 单价.
    pub pricing: Option<Pricing>,
    /// 金额, excluding tax.
    pub amount: Fen,
    /// 税率.
    pub rate: Rate,
    /// 税额.
    pub tax: Fen,
    /// 税收分类编码: 19 digits.
    pub tax_class: Option<String>,
    /// 自行编码.
    pub own_code: Option<String>,
    /// 优惠政策标识 with its 增值税特殊管理 text: present if a preference applies.
    pub preference: Option<String>,
    /// 扣除额 of a margin-taxed line (差额征税).
    pub deduction: Option<Fen>,
}

/// A buyer (购买方) that must be a registered taxpayer: special invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxpayerBuyer {
    /// 名称.
    pub name: String,
    /// 纳税人识别号.
    pub tax_id: TaxpayerId,
    /// 地址、电话.
    pub address_phone: Option<String>,
    /// 开户行及账号.
    pub bank_account: Option<String>,
}

/// A buyer (购买方) that may be a person: ordinary and electronic invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyBuyer {
    /// 名称.
    pub name: String,
    /// 纳税人识别号, absent for persons.
    pub tax_id: Option<TaxpayerId>,
    /// 地址、电话.
    pub address_phone: Option<String>,
    /// 开户行及账号.
    pub bank_account: Option<String>,
}

/// The seller's address block where it is free text (销售方 地址电话, 开户行及账号).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SellerContact {
    /// 地址、电话.
    pub address_phone: Option<String>,
    /// 开户行及账号.
    pub bank_account: Option<String>,
}

/// 主管税务机关 and its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxOffice {
    /// 主管税务机关名称.
    pub name: String,
    /// 主管税务机关代码.
    pub code: String,
}

/// A party of a freight invoice named beside the recipient: consignor (发货人) or consignee (收货人).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedParty {
    /// 名称.
    pub name: String,
    /// 纳税人识别号.
    pub tax_id: Option<TaxpayerId>,
}

/// A fee line (费用项目及金额) of a freight invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// 费用项目.
    pub item: String,
    /// 金额, excluding tax.
    pub amount: Fen,
}

/// What a special invoice (01) carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// 购买方.
    pub buyer: TaxpayerBuyer,
    /// 销售方 address and bank.
    pub seller_contact: SellerContact,
    /// 机器编号: printed only since 2014.
    pub machine_number: Option<String>,
    /// 密码区.
    pub cipher: Option<String>,
    /// 明细, at least one.
    pub lines: Vec<Line>,
}

/// What a freight invoice (02) carries. Its seller is the carrier (承运人).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freight {
    /// 实际受票方: the buyer, who deducts.
    pub recipient: TaxpayerBuyer,
    /// 发货人.
    pub consignor: NamedParty,
    /// 收货人.
    pub consignee: NamedParty,
    /// 起运地、经由、到达地.
    pub route: String,
    /// 运输货物信息.
    pub cargo: Option<String>,
    /// 车种车号.
    pub vehicle: Option<String>,
    /// 车船吨位.
    pub tonnage: Option<String>,
    /// 费用项目及金额, at least one.
    pub fees: Vec<Fee>,
    /// The one rate of the invoice.
    pub rate: Rate,
    /// 主管税务机关.
    pub tax_office: TaxOffice,
    /// 机器编号.
    pub machine_number: Option<String>,
    /// 税控码 / 密码区.
    pub cipher: Option<String>,
}

/// Who buys a vehicle: at least one of identity document (身份证号码/组织机构代码) and tax id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuyerIdentity {
    /// Identity document only.
    Document(String),
    /// Tax id only.
    TaxId(TaxpayerId),
    /// Both.
    Both(String, TaxpayerId),
}

impl BuyerIdentity {
    /// The identity document, if stated.
    pub fn document(&self) -> Option<&str> {
        match self {
            BuyerIdentity::Document(document) | BuyerIdentity::Both(document, _) => Some(document),
            BuyerIdentity::TaxId(_) => None,
        }
    }

    /// The tax id, if stated.
    pub fn tax_id(&self) -> Option<&TaxpayerId> {
        match self {
            BuyerIdentity::TaxId(tax_id) | BuyerIdentity::Both(_, tax_id) => Some(tax_id),
            BuyerIdentity::Document(_) => None,
        }
    }
}

/// Where a vehicle's papers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VehiclePapers {
    /// Made in the country: 合格证号.
    Domestic {
        /// 合格证号.
        certificate: String,
    },
    /// Imported: 进口证明书号 and 商检单号.
    Imported {
        /// 进口证明书号.
        import_certificate: String,
        /// 商检单号.
        inspection: String,
    },
}

/// What a motor-vehicle invoice (03) carries: one vehicle, no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MotorVehicle {
    /// 购买方名称.
    pub buyer_name: String,
    /// 身份证号码/组织机构代码, 购方纳税人识别号.
    pub buyer_identity: BuyerIdentity,
    /// 车辆类型.
    pub vehicle_type: String,
    /// 厂牌型号.
    pub model: String,
    /// 产地.
    pub origin: String,
    /// 合格证号, or 进口证明书号 and 商检单号.
    pub papers: VehiclePapers,
    /// 车辆识别代号/车架号码.
    pub vin: Vin,
    /// 发动机号码; trailers have none.
    pub engine_number: Option<String>,
    /// 生产企业名称.
    pub manufacturer: Option<String>,
    /// 吨位.
    pub tonnage: Option<String>,
    /// 限乘人数.
    pub seats: Option<String>,
    /// 完税凭证号码.
    pub tax_receipt: Option<String>,
    /// 电话 of the seller.
    pub seller_phone: String,
    /// 地址 of the seller.
    pub seller_address: String,
    /// 开户银行 of the seller.
    pub seller_bank: String,
    /// 账号 of the seller.
    pub seller_account: String,
    /// 增值税税率或征收率.
    pub rate: Rate,
    /// 主管税务机关.
    pub tax_office: TaxOffice,
    /// 机器编号.
    pub machine_number: Option<String>,
    /// 税控码.
    pub cipher: Option<String>,
}

/// What an ordinary invoice (04) carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinary {
    /// 校验码.
    pub check_code: CheckCode,
    /// 购买方.
    pub buyer: AnyBuyer,
    /// 销售方 address and bank.
    pub seller_contact: SellerContact,
    /// 机器编号.
    pub machine_number: Option<String>,
    /// 密码区.
    pub cipher: Option<String>,
    /// 明细, at least one.
    pub lines: Vec<Line>,
}

/// What an electronic ordinary invoice (10) carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electronic {
    /// 校验码.
    pub check_code: CheckCode,
    /// 购买方.
    pub buyer: AnyBuyer,
    /// 销售方 address and bank.
    pub seller_contact: SellerContact,
    /// 机器编号: printed top left.
    pub machine_number: String,
    /// 密码区.
    pub cipher: Option<String>,
    /// 明细, at least one.
    pub lines: Vec<Line>,
}

/// A line of a roll invoice: item, price, quantity and amount include tax; the back end keeps the split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollLine {
    /// 项目.
    pub item: String,
    /// 数量 and 单价 including tax.
    pub pricing: Option<Pricing>,
    /// 金额 including tax, as printed.
    pub gross: Fen,
    /// 金额 excluding tax, kept behind.
    pub amount: Fen,
    /// 税率, kept behind.
    pub rate: Rate,
    /// 税额, kept behind.
    pub tax: Fen,
}

/// What a roll invoice (11) carries. No cipher area, no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// 校验码.
    pub check_code: CheckCode,
    /// 购买方名称.
    pub buyer_name: Option<String>,
    /// 购买方纳税人识别号: optional on a roll.
    pub buyer_tax_id: Option<TaxpayerId>,
    /// 机器编号.
    pub machine_number: String,
    /// 项目, at least one.
    pub lines: Vec<RollLine>,
}
