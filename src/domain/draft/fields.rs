//! Every member of a draft as one table: its names, its meaning, which types require and allow it, its form and its limit.
//!
//! Reading, the faults of form, the JSON Schema and the member table of the manual all follow this table.

use std::sync::LazyLock;

use crate::domain::kind::Kind;

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    const fn of(kinds: &[Kind]) -> Kinds {
        let (mut set, mut next) = (0, 0);
        while next < kinds.len() {
            set |= Kinds::bit(kinds[next]);
            next += 1;
        }
        Kinds(set)
    }

    const fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Special => 1,
            Kind::Freight => 2,
            Kind::MotorVehicle => 4,
            Kind::Ordinary => 8,
            Kind::Electronic => 16,
            Kind::Roll => 32,
        }
    }

    /// Whether the type is one of these.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & Kinds::bit(kind) != 0
    }

    /// Whether all six are.
    pub fn is_all(self) -> bool {
        self == ALL
    }

    /// Their two-digit codes.
    pub fn codes(self) -> impl Iterator<Item = &'static str> {
        Kind::ALL.into_iter().filter(move |kind| self.has(*kind)).map(|kind| kind.profile().code)
    }
}

use Kind::{Electronic, Freight, MotorVehicle, Ordinary, Roll, Special};

const ALL: Kinds = Kinds::of(&Kind::ALL);
const NO: Kinds = Kinds::of(&[]);
const CHECKED: Kinds = Kinds::of(&[Ordinary, Electronic, Roll]);
const MACHINE: Kinds = Kinds::of(&[Electronic, Roll]);
const CIPHER: Kinds = Kinds::of(&[Special, Freight, MotorVehicle, Ordinary, Electronic]);
const BUYER: Kinds = CIPHER;
const CONTACT: Kinds = Kinds::of(&[Special, Freight, Ordinary, Electronic]);
const VAT: Kinds = Kinds::of(&[Special, Ordinary, Electronic]);
const LINED: Kinds = Kinds::of(&[Special, Ordinary, Electronic, Roll]);
const NOTICE: Kinds = Kinds::of(&[Special, Freight]);
const OFFICE: Kinds = Kinds::of(&[Freight, MotorVehicle]);
const VEHICLE: Kinds = Kinds::of(&[MotorVehicle]);
const FREIGHT: Kinds = Kinds::of(&[Freight]);
const PRINTED: Kinds = Kinds::of(&[MotorVehicle, Roll]);
const ROLL: Kinds = Kinds::of(&[Roll]);

/// When the columns `required` and `allowed` apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// To every draft.
    Always,
    /// To red-letter drafts (红字).
    Red,
    /// To imported drafts.
    Import,
}

/// The form of a member's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text without control characters.
    Text,
    /// Any text; `\n` too.
    Multiline,
    /// A two-digit type.
    Kind,
    /// 10 or 12 digits.
    Code,
    /// 8 digits.
    Number,
    /// `YYYY-MM-DD` or `YYYYMMDD`.
    Date,
    /// 20 digits, spaces anywhere.
    CheckCode,
    /// 12 digits.
    MachineNumber,
    /// 15, 17, 18 or 20 upper-case letters and digits.
    TaxId,
    /// Up to eleven digits of yuan, two decimals.
    Amount,
    /// An amount, or `***`.
    TaxCell,
    /// Capital numerals (大写).
    UpperCase,
    /// Up to ten digits, eight decimals.
    Decimal,
    /// A decimal fraction, per cent, 免税, 不征税 or `***`.
    Rate,
    /// `0` to `3`.
    Treatment,
    /// `0`, `1`, `2` or `6`.
    Nature,
    /// A boolean, or `0` or `1`.
    Flag,
    /// 19 digits.
    TaxClass,
    /// 9 or 11 digits.
    OfficeCode,
    /// 16 to 24 digits.
    NoticeNumber,
    /// `1` to `4`.
    Reason,
    /// 17 letters and digits without I, O, Q.
    Vin,
    /// 16 lower-case hex digits.
    KeyId,
    /// 128 lower-case hex digits.
    Signature,
    /// A word or a flag of the platform.
    State,
    /// An array of objects.
    List,
}

/// A nested object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(usize);

impl Group {
    const NAMES: [&str; 8] = ["buyer", "seller", "red", "consignor", "consignee", "tax_office", "vehicle", "issuer"];

    /// Every nested object.
    pub fn all() -> impl Iterator<Item = Group> {
        (0..Group::NAMES.len()).map(Group)
    }

    /// The member's name.
    pub fn name(self) -> &'static str {
        Group::NAMES[self.0]
    }

    /// A bit of its own, for sets of groups.
    pub fn bit(self) -> u32 {
        1 << self.0
    }

    fn named(name: &str) -> Option<Group> {
        Group::all().find(|group| group.name() == name)
    }
}

/// The object that a name is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The draft itself.
    Top,
    /// A nested object.
    Group(Group),
    /// A line.
    Line,
    /// A fee.
    Fee,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which member.
    pub field: Field,
    /// Its English name with the names of what it is nested in: `code`, `buyer.name`, `lines[].tax`.
    pub path: &'static str,
    /// Pinyin names that issuing systems emit.
    pub aliases: &'static [&'static str],
    /// Meaning in Chinese.
    pub zh: &'static str,
    /// Meaning in English.
    pub en: &'static str,
    /// Types that require it.
    pub required: Kinds,
    /// Types that allow it.
    pub allowed: Kinds,
    /// When these two apply.
    pub when: When,
    /// The form of its text.
    pub form: Form,
    /// Most GBK bytes (lists: entries), 0 where the form limits it.
    pub limit: usize,
}

impl Spec {
    /// The object it stands in under its own name.
    pub fn scope(&self) -> Scope {
        match self.path.split_once('.') {
            None => Scope::Top,
            Some(("lines[]", _)) => Scope::Line,
            Some(("fees[]", _)) => Scope::Fee,
            Some((group, _)) => Group::named(group).map_or(Scope::Top, Scope::Group),
        }
    }

    /// Its own name within [`Spec::scope`].
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// Its `name`-th name: 0 its own, then the aliases.
    pub fn written_as(&self, name: u8) -> &'static str {
        match name {
            0 => self.name(),
            alias => self.aliases.get(usize::from(alias) - 1).copied().unwrap_or_else(|| self.name()),
        }
    }
}

macro_rules! fields {
    ($($field:ident $path:literal [$($alias:literal)*] $zh:literal $en:literal $required:ident $allowed:ident $when:ident $form:ident $limit:literal;)*) => {
        /// A member of a draft: a row of [`FIELDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $path, "`, ", $zh, ".")] $field,)*
        }

        /// The members of a draft: those of the head, then of a line, then of a fee.
        pub static FIELDS: [Spec; [$(Field::$field),*].len()] = [$(Spec {
            field: Field::$field,
            path: $path,
            aliases: &[$($alias),*],
            zh: $zh,
            en: $en,
            required: $required,
            allowed: $allowed,
            when: When::$when,
            form: Form::$form,
            limit: $limit,
        },)*];
    };
}

#[rustfmt::skip]
fields! {
    // field              path                     aliases                       Chinese                    English                        required allowed  when    form           limit
    Kind                  "kind"                   ["fplx"]                      "发票类型"                 "invoice type"                 ALL      ALL      Always  Kind           0;
    Code                  "code"                   ["fpdm"]                      "发票代码"                 "invoice code"                 ALL      ALL      Always  Code           0;
    Number                "number"                 ["fphm"]                      "发票号码"                 "invoice number"               ALL      ALL      Always  Number         0;
    Date                  "date"                   ["kprq"]                      "开票日期"                 "date of issue"                ALL      ALL      Always  Date           0;
    CheckCode             "check_code"             ["jym"]                       "校验码"                   "check code"                   NO       CHECKED  Always  CheckCode      0;
    MachineNumber         "machine_number"         ["jqbh" "sbbh" "skph" "jqbm"] "机器编号"                 "machine number"               MACHINE  ALL      Always  MachineNumber  0;
    Cipher                "cipher"                 ["mw"]                        "密码区"                   "cipher area"                  NO       CIPHER   Always  Multiline      200;
    BuyerName             "buyer.name"             ["gfmc" "spfmc" "ghdw"]       "购买方名称"               "buyer's name"                 BUYER    ALL      Always  Text           100;
    BuyerTaxId            "buyer.tax_id"           ["gfsbh" "spfsbh"]            "购买方纳税人识别号"       "buyer's tax id"               NOTICE   ALL      Always  TaxId          0;
    BuyerIdCard           "buyer.id_card"          ["sfzhm"]                     "身份证号码/组织机构代码"  "buyer's identity document"    NO       VEHICLE  Always  Text           30;
    BuyerAddressPhone     "buyer.address_phone"    ["gfdzdh"]                    "购买方地址、电话"         "buyer's address and phone"    NO       CONTACT  Always  Text           100;
    BuyerBankAccount      "buyer.bank_account"     ["gfyhzh"]                    "购买方开户行及账号"       "buyer's bank and account"     NO       CONTACT  Always  Text           100;
    SellerName            "seller.name"            ["xfmc" "cyrmc" "xhdwmc"]     "销售方名称"               "seller's name"                ALL      ALL      Always  Text           100;
    SellerTaxId           "seller.tax_id"          ["xfsbh" "cyrsbh" "nsrsbh"]   "销售方纳税人识别号"       "seller's tax id"              ALL      ALL      Always  TaxId          0;
    SellerAddressPhone    "seller.address_phone"   ["xfdzdh"]                    "销售方地址、电话"         "seller's address and phone"   NO       VAT      Always  Text           100;
    SellerBankAccount     "seller.bank_account"    ["xfyhzh"]                    "销售方开户行及账号"       "seller's bank and account"    NO       VAT      Always  Text           100;
    SellerPhone           "seller.phone"           ["dh"]                        "销货单位电话"             "seller's phone"               VEHICLE  VEHICLE  Always  Text           40;
    SellerAddress         "seller.address"         ["dz"]                        "销货单位地址"             "seller's address"             VEHICLE  VEHICLE  Always  Text           100;
    SellerBank            "seller.bank"            ["khyh"]                      "开户银行"                 "seller's bank"                VEHICLE  VEHICLE  Always  Text           100;
    SellerAccount         "seller.account"         ["zh"]                        "账号"                     "seller's account"             VEHICLE  VEHICLE  Always  Text           50;
    Amount                "amount"                 ["je" "hjje" "bhsj"]          "合计金额"                 "amount excluding tax"         ALL      ALL      Always  Amount         0;
    Tax                   "tax"                    ["se" "hjse"]                 "合计税额"                 "tax"                          ALL      ALL      Always  Amount         0;
    Total                 "total"                  ["jshj"]                      "价税合计"                 "total including tax"          ALL      ALL      Always  Amount         0;
    TotalUpper            "total_upper"            ["jshjdx"]                    "价税合计（大写）"         "total in capital numerals"    NO       ALL      Always  UpperCase      100;
    Rate                  "rate"                   ["slv"]                       "税率"                     "tax rate of the invoice"      OFFICE   OFFICE   Always  Rate           0;
    Treatment             "treatment"              ["lslbs"]                     "零税率标识"               "treatment of the rate"        NO       OFFICE   Always  Treatment      0;
    Remark                "remark"                 ["bz"]                        "备注"                     "remark"                       NO       ALL      Always  Multiline      230;
    Payee                 "payee"                  ["skr"]                       "收款人"                   "payee"                        NO       ALL      Always  Text           16;
    Reviewer              "reviewer"               ["fhr"]                       "复核"                     "reviewer"                     NO       ALL      Always  Text           16;
    Drawer                "drawer"                 ["kpr"]                       "开票人"                   "drawer"                       ALL      ALL      Always  Text           16;
    OriginalCode          "red.original_code"      ["yfpdm"]                     "原发票代码"               "original's code"              ALL      ALL      Red     Code           0;
    OriginalNumber        "red.original_number"    ["yfphm"]                     "原发票号码"               "original's number"            ALL      ALL      Red     Number         0;
    NoticeNumber          "red.notice_number"      ["xxbbh"]                     "信息表编号"               "information sheet's number"   NOTICE   NOTICE   Red     NoticeNumber   0;
    RedReason             "red.reason"             ["chyy"]                      "冲红原因"                 "reason of the red letter"     NO       ALL      Red     Reason         0;
    ConsignorName         "consignor.name"         ["fhrmc"]                     "发货人"                   "consignor's name"             FREIGHT  FREIGHT  Always  Text           100;
    ConsignorTaxId        "consignor.tax_id"       ["fhrsbh"]                    "发货人纳税人识别号"       "consignor's tax id"           NO       FREIGHT  Always  TaxId          0;
    ConsigneeName         "consignee.name"         ["shrmc"]                     "收货人"                   "consignee's name"             FREIGHT  FREIGHT  Always  Text           100;
    ConsigneeTaxId        "consignee.tax_id"       ["shrsbh"]                    "收货人纳税人识别号"       "consignee's tax id"           NO       FREIGHT  Always  TaxId          0;
    Route                 "route"                  ["qyd"]                       "起运地、经由、到达地"     "route"                        FREIGHT  FREIGHT  Always  Text           100;
    Cargo                 "cargo"                  ["yshwxx"]                    "运输货物信息"             "cargo"                        NO       FREIGHT  Always  Text           200;
    Carriage              "carriage"               ["czch"]                      "车种车号"                 "kind and plate of vehicle"    NO       FREIGHT  Always  Text           60;
    Tonnage               "tonnage"                ["ccdw" "dw"]                 "吨位"                     "tonnage"                      NO       OFFICE   Always  Text           20;
    OfficeName            "tax_office.name"        ["swjg_mc" "swjgmc"]          "主管税务机关"             "tax office"                   OFFICE   OFFICE   Always  Text           100;
    OfficeCode            "tax_office.code"        ["swjg_dm" "swjgdm"]          "主管税务机关代码"         "tax office's code"            OFFICE   OFFICE   Always  OfficeCode     0;
    Fees                  "fees"                   ["fyxm_list"]                 "费用项目及金额"           "fees"                         FREIGHT  FREIGHT  Always  List           100;
    PrintedCode           "printed_code"           ["jddm"]                      "机打代码"                 "printed code"                 VEHICLE  PRINTED  Always  Code           0;
    PrintedNumber         "printed_number"         ["jdhm"]                      "机打号码"                 "printed number"               VEHICLE  PRINTED  Always  Number         0;
    VehicleType           "vehicle.type"           ["cllx"]                      "车辆类型"                 "vehicle type"                 VEHICLE  VEHICLE  Always  Text           40;
    VehicleModel          "vehicle.model"          ["cpxh"]                      "厂牌型号"                 "make and model"               VEHICLE  VEHICLE  Always  Text           60;
    VehicleOrigin         "vehicle.origin"         ["cd"]                        "产地"                     "origin"                       VEHICLE  VEHICLE  Always  Text           40;
    Vin                   "vehicle.vin"            ["clsbdh" "cjhm"]             "车辆识别代号/车架号码"    "vehicle identification number" VEHICLE VEHICLE  Always  Vin            0;
    EngineNumber          "vehicle.engine_number"  ["fdjhm"]                     "发动机号码"               "engine number"                NO       VEHICLE  Always  Text           50;
    Certificate           "vehicle.certificate"    ["hgzh"]                      "合格证号"                 "certificate of conformity"    NO       VEHICLE  Always  Text           50;
    ImportCertificate     "vehicle.import_certificate" ["jkzmsh"]                "进口证明书号"             "import certificate"           NO       VEHICLE  Always  Text           50;
    Inspection            "vehicle.inspection"     ["sjdh"]                      "商检单号"                 "inspection sheet"             NO       VEHICLE  Always  Text           50;
    Manufacturer          "vehicle.manufacturer"   ["sccjmc"]                    "生产企业名称"             "manufacturer"                 NO       VEHICLE  Always  Text           100;
    Seats                 "vehicle.seats"          ["xcrs"]                      "限乘人数"                 "seats"                        NO       VEHICLE  Always  Text           12;
    TaxReceipt            "vehicle.tax_receipt"    ["wspzh"]                     "完税凭证号码"             "tax receipt"                  NO       VEHICLE  Always  Text           50;
    Lines                 "lines"                  ["mxxx" "fyxm_mx"]            "明细"                     "lines"                        LINED    LINED    Always  List           2000;
    IssuerKeyId           "issuer.key_id"          []                            "开票方密钥编号"           "issuer's key id"              NO       ALL      Always  KeyId          0;
    IssuerSignature       "issuer.signature"       []                            "开票方签名"               "issuer's signature"           NO       ALL      Always  Signature      0;
    State                 "state"                  ["zfbz"]                      "作废标志"                 "state"                        NO       ALL      Import  State          0;

    LineNature            "lines[].nature"         ["fphxz"]                     "发票行性质"               "nature of the line"           NO       VAT      Always  Nature         0;
    LineName              "lines[].name"           ["hwmc" "spmc" "xm"]          "货物或应税劳务、服务名称" "goods or services"            LINED    LINED    Always  Text           100;
    LineSpecification     "lines[].specification"  ["ggxh"]                      "规格型号"                 "specification"                NO       VAT      Always  Text           40;
    LineUnit              "lines[].unit"           ["dw"]                        "单位"                     "unit"                         NO       VAT      Always  Text           20;
    LineQuantity          "lines[].quantity"       ["sl"]                        "数量"                     "quantity"                     NO       LINED    Always  Decimal        0;
    LinePrice             "lines[].price"          ["dj"]                        "单价"                     "unit price"                   NO       LINED    Always  Decimal        0;
    LineAmount            "lines[].amount"         ["je"]                        "金额"                     "amount excluding tax"         LINED    LINED    Always  Amount         0;
    LineGross             "lines[].gross"          ["hsje"]                      "含税金额"                 "amount including tax"         ROLL     ROLL     Always  Amount         0;
    LineRate              "lines[].rate"           ["slv"]                       "税率"                     "tax rate"                     LINED    LINED    Always  Rate           0;
    LineTreatment         "lines[].treatment"      ["lslbs"]                     "零税率标识"               "treatment of the rate"        NO       LINED    Always  Treatment      0;
    LineTax               "lines[].tax"            ["se"]                        "税额"                     "tax"                          LINED    LINED    Always  TaxCell        0;
    LineTaxClass          "lines[].tax_class"      ["spbm"]                      "税收分类编码"             "tax class"                    NO       VAT      Always  TaxClass       0;
    LineOwnCode           "lines[].own_code"       ["zxbm"]                      "自行编码"                 "seller's own code"            NO       VAT      Always  Text           32;
    LinePreferential      "lines[].preferential"   ["yhzcbs"]                    "优惠政策标识"             "whether a preference applies" NO       VAT      Always  Flag           0;
    LinePreference        "lines[].preference"     ["zzstsgl"]                   "增值税特殊管理"           "text of the preference"       NO       VAT      Always  Text           60;
    LineDeduction         "lines[].deduction"      ["kce"]                       "扣除额"                   "deduction"                    NO       VAT      Always  Amount         0;

    FeeItem               "fees[].item"            ["fyxm"]                      "费用项目"                 "fee item"                     FREIGHT  FREIGHT  Always  Text           40;
    FeeAmount             "fees[].amount"          ["je"]                        "金额"                     "amount excluding tax"         FREIGHT  FREIGHT  Always  Amount         0;
}

/// How many members the head has: they come first in [`FIELDS`].
pub const HEAD_FIELDS: usize = Field::LineNature.index();
/// How many members a line has: they come second.
pub const LINE_FIELDS: usize = Field::FeeItem.index() - HEAD_FIELDS;
/// How many members a fee has: they come last.
pub const FEE_FIELDS: usize = Field::FeeAmount.index() + 1 - HEAD_FIELDS - LINE_FIELDS;

impl Field {
    /// Its place in [`FIELDS`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its row in the table.
    pub fn spec(self) -> &'static Spec {
        &FIELDS[self.index()]
    }
}

/// Members of the head.
pub fn head() -> &'static [Spec] {
    &FIELDS[..HEAD_FIELDS]
}

/// Members of a line.
pub fn line() -> &'static [Spec] {
    &FIELDS[HEAD_FIELDS..HEAD_FIELDS + LINE_FIELDS]
}

/// Members of a fee.
pub fn fee() -> &'static [Spec] {
    &FIELDS[HEAD_FIELDS + LINE_FIELDS..]
}

/// What a name means in its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A member of the table, and which of its names this is ([`Spec::written_as`]).
    Field(Field, u8),
    /// A nested object.
    Group(Group),
}

/// What `name` means in an object of this scope, or `None`.
pub fn resolve(scope: Scope, name: &str) -> Option<Member> {
    let names = match scope {
        Scope::Top => &NAMES.top,
        Scope::Line => &NAMES.line,
        Scope::Fee => &NAMES.fee,
        Scope::Group(group) => NAMES.groups.get(group.0)?,
    };
    let found = names.binary_search_by_key(&name, |(known, _)| known).ok()?;
    names.get(found).map(|(_, member)| *member)
}

/// The table by name, each list in order of name.
struct Names {
    top: Vec<(&'static str, Member)>,
    line: Vec<(&'static str, Member)>,
    fee: Vec<(&'static str, Member)>,
    groups: Vec<Vec<(&'static str, Member)>>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names { top: Vec::new(), line: Vec::new(), fee: Vec::new(), groups: vec![Vec::new(); Group::NAMES.len()] };
    names.top.extend(Group::all().map(|group| (group.name(), Member::Group(group))));
    for spec in &FIELDS {
        for (name, index) in std::iter::once(&spec.name()).chain(spec.aliases).zip(0..) {
            let list = match spec.scope() {
                Scope::Top => &mut names.top,
                Scope::Line => &mut names.line,
                Scope::Fee => &mut names.fee,
                Scope::Group(group) if index == 0 => &mut names.groups[group.0],
                Scope::Group(_) => &mut names.top,
            };
            list.push((*name, Member::Field(spec.field, index)));
        }
    }
    for list in [&mut names.top, &mut names.line, &mut names.fee].into_iter().chain(&mut names.groups) {
        list.sort_unstable_by_key(|(name, _)| *name);
    }
    names
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_thing_in_its_object() {
        for list in [&NAMES.top, &NAMES.line, &NAMES.fee].into_iter().chain(&NAMES.groups) {
            for pair in list.windows(2) {
                assert_ne!(pair[0].0, pair[1].0);
            }
        }
        assert_eq!(FIELDS.len(), HEAD_FIELDS + LINE_FIELDS + FEE_FIELDS);
        assert!(
            FIELDS.iter().all(|spec| Kind::ALL.into_iter().all(|kind| !spec.required.has(kind) || spec.allowed.has(kind))),
            "required, so allowed"
        );
        assert!(head().iter().all(|spec| !matches!(spec.scope(), Scope::Line | Scope::Fee)));
        assert!(line().iter().all(|spec| spec.scope() == Scope::Line) && fee().iter().all(|spec| spec.scope() == Scope::Fee));
    }
}
