//! The rules as one table: stable code, severity, what import makes of it, since when and until when, the law, and a title in two languages.
//!
//! Chapters: 01 form · 02 identity and code · 03 parties · 04 sums · 05 lines · 06 rates · 07 freight · 08 motor vehicle · 09 roll · 10 red.
//! Codes never change their meaning and are never used again.

use crate::domain::fault::Severity;
use crate::domain::time::Day;

/// What becomes of a fault when a historic invoice is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnImport {
    /// It refuses the draft: without what it protects there is no invoice to keep.
    Stays,
    /// It warns: history is kept as it was.
    Warns,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// `FP-`, chapter, number within the chapter.
    pub code: &'static str,
    /// Fault, or warning where public sources leave it in doubt or genuine invoices break it.
    pub severity: Severity,
    /// Whether a fault stays one on import.
    pub on_import: OnImport,
    /// First day of issue it applies to, `yyyymmdd`; 0: always did.
    pub from: u32,
    /// Last day of issue it applies to, `yyyymmdd`; 0: still does.
    pub until: u32,
    /// Law, announcement, standard, or interface that it is taken from.
    pub source: &'static str,
    /// Title in Chinese.
    pub zh: &'static str,
    /// Title in English.
    pub en: &'static str,
}

impl Rule {
    /// Whether the rule applies to invoices of this day.
    pub fn in_force(&self, day: Day) -> bool {
        self.from <= day.yyyymmdd() && (self.until == 0 || day.yyyymmdd() <= self.until)
    }
}

macro_rules! rules {
    ($($name:ident $code:literal $severity:ident $import:ident $from:literal $until:literal $source:literal $zh:literal $en:literal;)*) => {
        $(#[doc = concat!($code, ", ", $zh, ": ", $en, ".")]
        pub static $name: Rule = Rule {
            code: $code,
            severity: Severity::$severity,
            on_import: OnImport::$import,
            from: $from,
            until: $until,
            source: $source,
            zh: $zh,
            en: $en,
        };)*

        /// Every rule, in order of code.
        pub static RULES: [&Rule; [$($code),*].len()] = [$(&$name),*];
    };
}

#[rustfmt::skip]
rules! {
    UNKNOWN_MEMBER      "FP-01-001" Fault   Warns 0 0 "fapiao: drafts"                   "未知字段" "no field has this name here";
    DUPLICATE_MEMBER    "FP-01-002" Fault   Stays 0 0 "fapiao: drafts"                   "字段重复" "the field is written twice";
    WRONG_TYPE          "FP-01-003" Fault   Stays 0 0 "fapiao: drafts"                   "字段类型不符：值应为字符串" "wrong JSON type; values are strings";
    TOO_MANY            "FP-01-004" Fault   Stays 0 0 "fapiao: limits"                   "行数超过上限" "more rows than a draft may have";
    MISSING             "FP-01-005" Fault   Stays 0 0 "issuing interfaces"               "缺少必填项" "a required field is missing";
    NOT_ALLOWED         "FP-01-006" Fault   Warns 0 0 "issuing interfaces"               "该票种没有此项" "this type of invoice does not have the field";
    TOO_LONG            "FP-01-007" Fault   Warns 0 0 "issuing interfaces (GBK bytes)"   "内容超长" "the text is too long";
    FAR_TOO_LONG        "FP-01-008" Fault   Stays 0 0 "fapiao: limits"                   "内容过长，无法保存" "the text is too long to be kept";
    CONTROL_CHARACTER   "FP-01-009" Fault   Warns 0 0 "fapiao: drafts"                   "含有控制字符" "the text has a control character";
    STATE_ON_ISSUE      "FP-01-010" Fault   Stays 0 0 "fapiao: import"                   "开具时不得填写作废标志" "the state is stated on import only";
    STATE_FORM          "FP-01-011" Fault   Stays 0 0 "platform: zfbz"                   "作废标志不正确" "the state is not one of normal, voided, red_flushed, abnormal";

    KIND_FORM           "FP-02-001" Fault   Stays 0 0 "platform: invoice types"          "不是本系统支持的票种" "not one of the six invoice types";
    CODE_FORM           "FP-02-002" Fault   Stays 0 0 "platform: fpdm"                   "发票代码应为10位或12位数字" "an invoice code is 10 or 12 digits";
    CODE_LENGTH         "FP-02-003" Fault   Stays 0 0 "platform: invoice types"          "发票代码位数与票种不符" "the code's length does not suit the type";
    NUMBER_FORM         "FP-02-004" Fault   Stays 0 0 "platform: fphm"                   "发票号码应为8位数字且不全为零" "an invoice number is 8 digits, not all zero";
    DATE_FORM           "FP-02-005" Fault   Stays 0 0 "platform: kprq"                   "开票日期不正确" "not a date";
    DATE_FUTURE         "FP-02-006" Fault   Warns 0 0 "fapiao: issue"                    "开票日期晚于今天" "the date of issue is after today";
    DATE_PAST           "FP-02-007" Fault   Warns 0 0 "fapiao: issue"                    "开票日期过早" "the date of issue is too far back";
    TYPE_CONFLICT       "FP-02-008" Warning Warns 0 0 "platform: code structure"         "发票代码与票种不一致" "type_conflict: the code belongs to another type";
    AREA_UNKNOWN        "FP-02-009" Warning Warns 0 0 "platform: 36 bureaus"             "发票代码中的地区不存在" "the code names none of the 36 tax bureaus";
    YEAR_IMPLAUSIBLE    "FP-02-010" Warning Warns 0 0 "platform: code structure"         "发票代码中的年份与开票日期不符" "the code's year does not suit the date of issue";
    CHECK_CODE_FORM     "FP-02-011" Fault   Stays 0 0 "platform: jym"                    "校验码应为20位数字" "a check code is 20 digits";
    CHECK_CODE_MISSING  "FP-02-012" Fault   Stays 0 0 "fapiao: import"                   "导入的发票须带校验码" "an imported invoice of this type carries its check code";
    MACHINE_NUMBER_FORM "FP-02-013" Fault   Warns 0 0 "issuing interfaces: jqbh"         "机器编号应为12位数字" "a machine number is 12 digits";
    PRINTED_DIFFERS     "FP-02-014" Fault   Warns 0 0 "motor-vehicle and roll forms"     "机打代码、机打号码与发票代码、发票号码不一致" "printed code and number must equal code and number";
    ELECTRONIC_EARLY    "FP-02-015" Warning Warns 0 20151130 "国家税务总局公告2015年第84号" "2015年12月1日之前没有电子普通发票" "there were no electronic ordinary invoices before 2015-12-01";
    ROLL_EARLY          "FP-02-016" Warning Warns 0 20161231 "国家税务总局公告2016年第82号" "2017年1月1日之前没有卷票" "there were no roll invoices before 2017-01-01";
    ORDINARY_12_EARLY   "FP-02-017" Warning Warns 0 20171231 "国家税务总局公告2017年第44号" "2018年1月1日之前普通发票代码为10位" "ordinary invoices had 10-digit codes before 2018";
    CHECK_CODE_SIGNED   "FP-02-018" Fault   Stays 0 0 "fapiao: signed submissions"       "带开票方签名的发票须填写校验码" "a draft that its issuer signs states its check code";

    TAX_ID_FORM         "FP-03-001" Fault   Stays 0 0 "issuing interfaces"               "纳税人识别号应为15、17、18或20位大写字母和数字" "a tax id is 15, 17, 18 or 20 upper-case letters and digits";
    TAX_ID_CHECK        "FP-03-002" Warning Warns 0 0 "GB 32100-2015"                    "统一社会信用代码校验位不符" "the unified social credit code fails its check digit";
    BUYER_TAX_ID        "FP-03-003" Warning Warns 20170701 0 "国家税务总局公告2017年第16号" "购买方为企业的，应填写纳税人识别号" "an enterprise that buys should state its tax id";
    OFFICE_CODE_FORM    "FP-03-004" Fault   Warns 0 0 "issuing interfaces"               "主管税务机关代码应为9位或11位数字" "a tax office's code is 9 or 11 digits";
    ISSUER_KEY_FORM     "FP-03-005" Fault   Stays 0 0 "fapiao: signed submissions"       "开票方密钥编号应为16位小写十六进制数字" "an issuer's key id is 16 lower-case hex digits";
    ISSUER_SIGNATURE_FORM "FP-03-006" Fault Stays 0 0 "fapiao: signed submissions"       "开票方签名应为128位小写十六进制数字" "an issuer's signature is 128 lower-case hex digits";
    ISSUER_HALF         "FP-03-007" Fault   Stays 0 0 "fapiao: signed submissions"       "开票方密钥编号和签名应同时填写" "an issuer's key id and signature come together";

    AMOUNT_FORM         "FP-04-001" Fault   Stays 0 0 "platform: je"                     "金额格式不正确" "not an amount";
    TOTAL_DIFFERS       "FP-04-002" Fault   Stays 0 0 "issuing interfaces"               "价税合计不等于金额加税额" "amount and tax do not add up to the total";
    SUM_AMOUNT          "FP-04-003" Fault   Warns 0 0 "issuing interfaces"               "各行金额之和不等于合计金额" "the lines' amounts do not add up";
    SUM_TAX             "FP-04-004" Fault   Warns 0 0 "issuing interfaces"               "各行税额之和不等于合计税额" "the lines' taxes do not add up";
    SUM_COMPUTED_TAX    "FP-04-005" Fault   Warns 0 0 "issuing interfaces"               "按税率计算的税额之和与合计税额相差超过1.27" "the tax computed from the lines is more than 1.27 from the total tax";
    UPPER_FORM          "FP-04-006" Fault   Warns 0 0 "VAT invoice forms"                "大写金额不正确" "not an amount in capital numerals";
    UPPER_DIFFERS       "FP-04-007" Fault   Warns 0 0 "VAT invoice forms"                "大写金额与价税合计不一致" "the capital numerals do not say the total";
    BLUE_SIGN           "FP-04-008" Fault   Warns 0 0 "issuing interfaces"               "蓝字发票的合计应为正数" "the sums of a blue invoice are positive";
    RED_SIGN            "FP-04-009" Fault   Warns 0 0 "issuing interfaces"               "红字发票的合计应为负数" "the sums of a red-letter invoice are negative";

    LINE_TAX            "FP-05-001" Fault   Warns 0 0 "issuing interfaces"               "税额与金额乘税率相差超过0.06" "the tax is more than 0.06 from amount times rate";
    LINE_PRICE          "FP-05-002" Fault   Warns 0 0 "issuing interfaces"               "金额与单价乘数量相差超过0.01" "the amount is more than 0.01 from price times quantity";
    PRICE_AND_QUANTITY  "FP-05-003" Fault   Stays 0 0 "issuing interfaces"               "数量和单价应同时填写或同时不填" "quantity and price come together or not at all";
    DECIMAL_FORM        "FP-05-004" Fault   Stays 0 0 "issuing interfaces"               "数量或单价格式不正确" "not a quantity or price";
    NATURE_FORM         "FP-05-005" Fault   Stays 0 0 "issuing interfaces: fphxz"        "发票行性质不正确" "the line's nature is not one of 0, 1, 2, 6";
    DISCOUNT_PLACE      "FP-05-006" Fault   Warns 0 0 "issuing interfaces"               "折扣行应紧跟被折扣行" "a discount immediately follows the line it reduces";
    DISCOUNT_ABSENT     "FP-05-007" Fault   Warns 0 0 "issuing interfaces"               "被折扣行之后缺少折扣行" "a discounted line is followed by its discount";
    DISCOUNT_UNLIKE     "FP-05-008" Fault   Warns 0 0 "issuing interfaces"               "折扣行与被折扣行的名称、编码、税率应一致" "a discount has the name, tax class and rate of its line";
    DISCOUNT_SIGN       "FP-05-009" Fault   Warns 0 0 "issuing interfaces"               "折扣金额的正负号不正确" "a discount is negative, in a red-letter invoice positive";
    DISCOUNT_SIZE       "FP-05-010" Fault   Warns 0 0 "issuing interfaces"               "折扣金额大于被折扣行金额" "a discount is no more than its line";
    TAX_CLASS_FORM      "FP-05-011" Fault   Warns 0 0 "国家税务总局公告2017年第45号"     "税收分类编码应为19位数字" "a tax class is 19 digits";
    FLAG_FORM           "FP-05-012" Fault   Stays 0 0 "issuing interfaces: yhzcbs"       "优惠政策标识不正确" "not a flag";
    PREFERENCE_ALONE    "FP-05-013" Fault   Stays 0 0 "issuing interfaces: zzstsgl"      "未享受优惠政策，不得填写增值税特殊管理" "a preference is named where none applies";
    MARGIN_REMARK       "FP-05-014" Warning Warns 0 0 "国家税务总局公告2016年第23号"     "差额征税的，备注应注明“差额征税”" "a deduction calls for the remark 差额征税";
    MARGIN_DEDUCTION    "FP-05-015" Warning Warns 0 0 "国家税务总局公告2016年第23号"     "备注差额征税而未填扣除额，税额未核对" "taxed on the margin without a deduction; the tax is not checked";
    RED_LIST            "FP-05-016" Warning Warns 0 0 "issuing interfaces: fphxz"        "清单红字行只出现在红字发票中" "only a red-letter invoice has a line that sums up a list";

    RATE_FORM           "FP-06-001" Fault   Stays 0 0 "issuing interfaces: slv"          "税率格式不正确" "not a rate";
    TREATMENT_FORM      "FP-06-002" Fault   Stays 0 0 "issuing interfaces: lslbs"        "零税率标识不正确" "the treatment is not one of 0, 1, 2, 3";
    RATE_NOT_IN_FORCE   "FP-06-003" Warning Warns 0 0 "增值税暂行条例; 财税〔2017〕37号; 财税〔2018〕32号; 公告2019年第39号" "当时没有此税率" "no such rate was in force";
    TREATMENT_RATE      "FP-06-004" Fault   Stays 0 0 "issuing interfaces: lslbs"        "免税、不征税、零税率的税率应为0" "exempt, not taxed and zero-rated mean rate 0";
    TREATMENT_TAX       "FP-06-005" Fault   Warns 0 0 "issuing interfaces: lslbs"        "免税、不征税、零税率的税额应为0" "exempt, not taxed and zero-rated mean tax 0";
    TREATMENT_CONFLICT  "FP-06-006" Fault   Stays 0 0 "issuing interfaces: lslbs"        "税率栏与零税率标识不一致" "rate and treatment contradict each other";

    FREIGHT_LATE        "FP-07-001" Warning Warns 20160701 0 "国家税务总局公告2015年第99号" "2016年7月1日起停止使用货运专票" "freight special invoices ended on 2016-07-01";
    FEE_SUM             "FP-07-002" Fault   Warns 0 0 "issuing interfaces"               "各费用项目之和不等于合计金额" "the fees do not add up to the amount";
    FREIGHT_TAX         "FP-07-003" Fault   Warns 0 0 "issuing interfaces"               "税额与金额乘税率相差超过0.06" "the tax is more than 0.06 from amount times rate";

    VIN_FORM            "FP-08-001" Fault   Stays 0 0 "GB 16735"                         "车辆识别代号应为17位字母和数字，不含I、O、Q" "a VIN is 17 letters and digits without I, O, Q";
    VIN_CHECK           "FP-08-002" Warning Warns 0 0 "GB 16735"                         "车辆识别代号校验位不符" "the VIN fails its check digit";
    PAPERS_BOTH         "FP-08-003" Fault   Stays 0 0 "motor-vehicle form"               "合格证号与进口证明书号、商检单号不能同时填写" "a vehicle is made in the country or imported, not both";
    PAPERS_NONE         "FP-08-004" Fault   Stays 0 0 "motor-vehicle form"               "缺少合格证号，或进口证明书号和商检单号" "certificate of conformity, or import certificate and inspection sheet";
    PAPERS_HALF         "FP-08-005" Fault   Stays 0 0 "motor-vehicle form"               "进口证明书号和商检单号应同时填写" "import certificate and inspection sheet come together";
    BUYER_IDENTITY      "FP-08-006" Fault   Stays 0 0 "motor-vehicle form"               "购买方身份证号码/组织机构代码与纳税人识别号至少填一项" "the buyer states an identity document or a tax id";
    VEHICLE_TAX         "FP-08-007" Fault   Warns 0 0 "issuing interfaces"               "税额与不含税价乘税率相差超过0.06" "the tax is more than 0.06 from price times rate";

    ROLL_GROSS          "FP-09-001" Fault   Warns 0 0 "国家税务总局公告2016年第82号"     "含税金额不等于金额加税额" "amount and tax do not add up to the line's gross";
    ROLL_PRICE          "FP-09-002" Fault   Warns 0 0 "国家税务总局公告2016年第82号"     "含税金额与单价乘数量相差超过0.01" "the gross is more than 0.01 from price times quantity";
    ROLL_SUM            "FP-09-003" Fault   Warns 0 0 "国家税务总局公告2016年第82号"     "各行含税金额之和不等于价税合计" "the lines' gross amounts do not add up";
    ROLL_LINES          "FP-09-004" Warning Warns 0 0 "issuing interfaces"               "卷票超过13行" "a roll invoice has no more than 13 lines";

    RED_REFERENCE       "FP-10-001" Fault   Stays 0 0 "国家税务总局公告2016年第47号"     "红字发票应注明原发票" "a red-letter invoice names its original";
    RED_ON_BLUE         "FP-10-002" Fault   Stays 0 0 "issuing interfaces"               "蓝字发票不得填写原发票信息" "a blue invoice has no original";
    ORIGINAL_FORM       "FP-10-003" Fault   Stays 0 0 "issuing interfaces"               "原发票代码或号码不正确" "the original's code or number is not one";
    ORIGINAL_ITSELF     "FP-10-004" Fault   Stays 0 0 "issuing interfaces"               "原发票不能是本发票" "an invoice cannot take back itself";
    NOTICE_FORM         "FP-10-005" Fault   Warns 0 0 "国家税务总局公告2016年第47号"     "信息表编号应为16至24位数字" "an information sheet's number is 16 to 24 digits";
    REASON_FORM         "FP-10-006" Fault   Stays 0 0 "issuing interfaces"               "冲红原因不正确" "the reason is not one of 1, 2, 3, 4";
    RED_REMARK          "FP-10-007" Warning Warns 0 0 "国税发〔2006〕156号; issuing interfaces" "备注应注明信息表编号或对应正数发票" "the remark names the information sheet or the original";
    RED_EARLY           "FP-10-008" Fault   Warns 0 0 "issuing interfaces"               "红字发票日期早于原发票" "a red-letter invoice is not older than its original";
}
