//! The six invoice types (票种) as one table, and what an invoice code says about the type.

use super::number::InvoiceCode;

/// One of the six VAT invoice types of the 2015 "Internet + tax" plan. The discriminant is field 2 of the printed QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// 增值税专用发票, VAT special invoice.
    Special = 1,
    /// 货物运输业增值税专用发票, freight special invoice (stopped on 2016-07-01).
    Freight = 2,
    /// 机动车销售统一发票, motor-vehicle sales invoice.
    MotorVehicle = 3,
    /// 增值税普通发票, VAT ordinary invoice on paper.
    Ordinary = 4,
    /// 增值税电子普通发票, VAT electronic ordinary invoice.
    Electronic = 10,
    /// 增值税普通发票（卷票）, VAT ordinary invoice on a roll.
    Roll = 11,
}

/// What must be known of an invoice, beyond code, number and date, to ask about it by typed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// 开具金额: the amount excluding tax.
    Amount,
    /// 校验码后六位: the last six digits of the check code.
    CheckCode,
}

/// What a type has and lacks. One row of [`Kind::profile`].
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Two digits, as printed in the QR code.
    pub code: &'static str,
    /// Official Chinese name.
    pub chinese: &'static str,
    /// English name.
    pub english: &'static str,
    /// Paper can be voided within the month of issue; an electronic invoice never can.
    pub paper: bool,
    /// The verification factor of section 6 of the design.
    pub factor: Factor,
    /// A 20-digit check code (校验码) is part of the face.
    pub has_check_code: bool,
    /// A red-letter invoice needs the number of its information sheet (信息表编号).
    pub red_needs_notice: bool,
    /// A classic QR code is printed on the face, as far as samples show.
    pub prints_classic_qr: bool,
    /// Lengths an invoice code of this type may have.
    pub code_lengths: &'static [usize],
}

impl Kind {
    /// Every type, in the order of the QR code.
    pub const ALL: [Kind; 6] = [Kind::Special, Kind::Freight, Kind::MotorVehicle, Kind::Ordinary, Kind::Electronic, Kind::Roll];

    /// The row of this type.
    pub const fn profile(self) -> Profile {
        match self {
            Kind::Special => Profile {
                code: "01",
                chinese: "增值税专用发票",
                english: "VAT special invoice",
                paper: true,
                factor: Factor::Amount,
                has_check_code: false,
                red_needs_notice: true,
                prints_classic_qr: true,
                code_lengths: &[10],
            },
            Kind::Freight => Profile {
                code: "02",
                chinese: "货物运输业增值税专用发票",
                english: "freight special invoice",
                paper: true,
                factor: Factor::Amount,
                has_check_code: false,
                red_needs_notice: true,
                prints_classic_qr: false,
                code_lengths: &[10],
            },
            Kind::MotorVehicle => Profile {
                code: "03",
                chinese: "机动车销售统一发票",
                english: "motor-vehicle sales invoice",
                paper: true,
                factor: Factor::Amount,
                has_check_code: false,
                red_needs_notice: false,
                prints_classic_qr: false,
                code_lengths: &[12],
            },
            Kind::Ordinary => Profile {
                code: "04",
                chinese: "增值税普通发票",
                english: "VAT ordinary invoice",
                paper: true,
                factor: Factor::CheckCode,
                has_check_code: true,
                red_needs_notice: false,
                prints_classic_qr: true,
                code_lengths: &[10, 12],
            },
            Kind::Electronic => Profile {
                code: "10",
                chinese: "增值税电子普通发票",
                english: "VAT electronic ordinary invoice",
                paper: false,
                factor: Factor::CheckCode,
                has_check_code: true,
                red_needs_notice: false,
                prints_classic_qr: true,
                code_lengths: &[12],
            },
            Kind::Roll => Profile {
                code: "11",
                chinese: "增值税普通发票（卷票）",
                english: "VAT ordinary invoice on a roll",
                paper: true,
                factor: Factor::CheckCode,
                has_check_code: true,
                red_needs_notice: false,
                prints_classic_qr: false,
                code_lengths: &[12],
            },
        }
    }

    /// The type with this two-digit code (`"01"` … `"11"`), or `None`.
    pub fn from_code(code: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.profile().code == code)
    }

    /// The type with this number (1, 2, 3, 4, 10, 11), or `None`.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The number that is signed: field 2 of the QR code without its leading zero.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What an invoice code says about the type it belongs to, by the rules of the national platform's own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// One of the six.
    Kind(Kind),
    /// 08, 增值税电子专用发票: known, not supported.
    ElectronicSpecial,
    /// 14, 通行费电子普通发票: known, not supported as such; a QR code that says 10 is believed.
    Toll,
    /// 15, 二手车销售统一发票: known, not supported.
    UsedCar,
    /// 99: the code alone does not say (block chain, general machine-printed and others).
    Unknown,
}

/// What else people scan or type: documents that are none of the six types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// 区块链电子发票.
    Blockchain,
    /// 数电发票: types 31 and 32, numbers of 20 digits.
    FullyDigital,
    /// 通行费电子普通发票, type 14.
    Toll,
    /// 二手车销售统一发票, type 15.
    UsedCar,
    /// 增值税电子专用发票, types 08 and 20.
    ElectronicSpecial,
    /// 开票抬头名片, `$01…$`: who wants an invoice, not an invoice.
    TitleCard,
}

impl Unsupported {
    /// Its name in Chinese.
    pub const fn chinese(self) -> &'static str {
        match self {
            Unsupported::Blockchain => "区块链电子发票",
            Unsupported::FullyDigital => "全面数字化的电子发票（数电票）",
            Unsupported::Toll => "收费公路通行费电子普通发票",
            Unsupported::UsedCar => "二手车销售统一发票",
            Unsupported::ElectronicSpecial => "增值税电子专用发票",
            Unsupported::TitleCard => "开票抬头二维码",
        }
    }

    /// Its name in English.
    pub const fn english(self) -> &'static str {
        match self {
            Unsupported::Blockchain => "blockchain invoice",
            Unsupported::FullyDigital => "fully digital invoice with a 20-digit number",
            Unsupported::Toll => "electronic toll invoice",
            Unsupported::UsedCar => "used-car sales invoice",
            Unsupported::ElectronicSpecial => "electronic special invoice",
            Unsupported::TitleCard => "invoice title card",
        }
    }
}

/// How the type that somebody states relates to the one the code implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Same type, or the code does not say.
    Agrees,
    /// Another type: a `type_conflict` warning, never a rejection.
    Conflict,
}

impl Derived {
    /// Derives the type from the digits of `code` (12 digits: suffix and position 8; 10 digits: position 8).
    pub fn of(code: &InvoiceCode) -> Derived {
        // Four codes that the platform's script lists by hand.
        const ELECTRONIC_EXCEPTIONS: [&str; 4] = ["144031539110", "131001570151", "133011501118", "111001571071"];
        let digits = code.to_string();
        if ELECTRONIC_EXCEPTIONS.contains(&digits.as_str()) {
            return Derived::Kind(Kind::Electronic);
        }
        if digits.len() == 10 {
            return match &digits[7..8] {
                "1" | "5" => Derived::Kind(Kind::Special),
                "2" | "7" => Derived::Kind(Kind::Freight),
                "3" | "6" => Derived::Kind(Kind::Ordinary),
                _ => Derived::Unknown,
            };
        }
        match (&digits[..1], &digits[10..]) {
            ("0", "04" | "05") => Derived::Kind(Kind::Ordinary),
            ("0", "06" | "07") => Derived::Kind(Kind::Roll),
            ("0", "11") => Derived::Kind(Kind::Electronic),
            ("0", "12") => Derived::Toll,
            ("0", "13") => Derived::ElectronicSpecial,
            ("0", "17") => Derived::UsedCar,
            ("1", _) if &digits[7..8] == "2" => Derived::Kind(Kind::MotorVehicle),
            _ => Derived::Unknown,
        }
    }

    /// The two-digit code: one of the six, `08`, `14`, `15`, or `99` where the digits do not say.
    pub fn code(self) -> &'static str {
        match self {
            Derived::Kind(kind) => kind.profile().code,
            Derived::ElectronicSpecial => "08",
            Derived::Toll => "14",
            Derived::UsedCar => "15",
            Derived::Unknown => "99",
        }
    }

    /// Compares with the type that a draft or a QR code states. Toll invoices (14) circulate with QR type 10 and count as that family.
    pub fn agreement(self, stated: Kind) -> Agreement {
        match self {
            Derived::Kind(kind) if kind == stated => Agreement::Agrees,
            Derived::Unknown => Agreement::Agrees,
            Derived::Toll if stated == Kind::Electronic => Agreement::Agrees,
            Derived::Kind(_) | Derived::Toll | Derived::UsedCar | Derived::ElectronicSpecial => Agreement::Conflict,
        }
    }
}

/// The 36 tax bureaus (four-digit area code, Chinese name): 31 provinces and the five cities that report on their own.
pub const AREAS: [(&str, &str); 36] = [
    ("1100", "北京"),
    ("1200", "天津"),
    ("1300", "河北"),
    ("1400", "山西"),
    ("1500", "内蒙古"),
    ("2100", "辽宁"),
    ("2102", "大连"),
    ("2200", "吉林"),
    ("2300", "黑龙江"),
    ("3100", "上海"),
    ("3200", "江苏"),
    ("3300", "浙江"),
    ("3302", "宁波"),
    ("3400", "安徽"),
    ("3500", "福建"),
    ("3502", "厦门"),
    ("3600", "江西"),
    ("3700", "山东"),
    ("3702", "青岛"),
    ("4100", "河南"),
    ("4200", "湖北"),
    ("4300", "湖南"),
    ("4400", "广东"),
    ("4403", "深圳"),
    ("4500", "广西"),
    ("4600", "海南"),
    ("5000", "重庆"),
    ("5100", "四川"),
    ("5200", "贵州"),
    ("5300", "云南"),
    ("5400", "西藏"),
    ("6100", "陕西"),
    ("6200", "甘肃"),
    ("6300", "青海"),
    ("6400", "宁夏"),
    ("6500", "新疆"),
];

/// The bureau that a code names: its four-digit area code and Chinese name. City-level codes fall back to their province.
pub fn area(code: &InvoiceCode) -> Option<(&'static str, &'static str)> {
    let area = area_code(code);
    AREAS.into_iter().find(|(known, _)| *known == area)
}

/// The four-digit area of a code, whether or not it is one of the 36: the five separate cities keep theirs, all others end in `00`.
pub fn area_code(code: &InvoiceCode) -> String {
    let digits = code.to_string();
    let area = if digits.len() == 12 { &digits[1..5] } else { &digits[..4] };
    match area {
        "2102" | "3302" | "3502" | "3702" | "4403" => area.to_owned(),
        other => format!("{}00", &other[..2]),
    }
}
