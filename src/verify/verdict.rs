//! The verdicts. Their numbers never change; a forged invoice is an answer, not an error.

/// What is said about the invoice that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verdict {
    /// 一致: registered, every factor given matches, in force.
    Genuine = 1,
    /// 作废: factors match; void.
    Voided = 2,
    /// 红冲: factors match; taken back in full.
    RedFlushed = 3,
    /// 部分红冲: factors match; taken back in part.
    PartlyRedFlushed = 4,
    /// 异常: factors match; lost, stolen or abnormal.
    Suspended = 5,
    /// 空白票挂失作废: never issued, and its range is reported lost, stolen or void; said without a factor check.
    BlankMarked = 6,
    /// 红字发票: factors match; negative, nothing to pay.
    RedLetter = 7,
    /// 不一致: the number exists and a factor differs; never says which.
    Mismatch = 10,
    /// 查无此票: no such invoice at this ledger size.
    NotFound = 11,
    /// 暂未同步: this replica is behind.
    NotYet = 12,
    /// 伪造: a signed QR that is not ours, or not in the ledger.
    Forged = 13,
    /// 格式有误: the question cannot be read.
    Malformed = 20,
    /// 不支持: a document that is not one of the six types.
    Unsupported = 21,
    /// 查询受限: asked too much, or was wrong about it too often; what helps is said.
    Throttled = 30,
    /// The ledger cannot be asked now.
    Unavailable = 40,
}

impl Verdict {
    /// Every verdict, by number.
    pub const ALL: [Verdict; 15] = [
        Verdict::Genuine,
        Verdict::Voided,
        Verdict::RedFlushed,
        Verdict::PartlyRedFlushed,
        Verdict::Suspended,
        Verdict::BlankMarked,
        Verdict::RedLetter,
        Verdict::Mismatch,
        Verdict::NotFound,
        Verdict::NotYet,
        Verdict::Forged,
        Verdict::Malformed,
        Verdict::Unsupported,
        Verdict::Throttled,
        Verdict::Unavailable,
    ];

    /// The stable number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The verdict with this number.
    pub fn from_number(number: u8) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.number() == number)
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Genuine => "genuine",
            Verdict::Voided => "voided",
            Verdict::RedFlushed => "red_flushed",
            Verdict::PartlyRedFlushed => "partly_red_flushed",
            Verdict::Suspended => "suspended",
            Verdict::BlankMarked => "blank_marked",
            Verdict::RedLetter => "red_letter",
            Verdict::Mismatch => "mismatch",
            Verdict::NotFound => "not_found",
            Verdict::NotYet => "not_yet",
            Verdict::Forged => "forged",
            Verdict::Malformed => "malformed",
            Verdict::Unsupported => "unsupported",
            Verdict::Throttled => "throttled",
            Verdict::Unavailable => "unavailable",
        }
    }

    /// What it means to the person who asked, in Chinese.
    pub const fn chinese(self) -> &'static str {
        match self {
            Verdict::Genuine => "一致：已登记，有效",
            Verdict::Voided => "已作废",
            Verdict::RedFlushed => "已全额红冲",
            Verdict::PartlyRedFlushed => "已部分红冲",
            Verdict::Suspended => "异常：遗失、被盗或失控",
            Verdict::BlankMarked => "空白发票，所在号段已挂失或作废",
            Verdict::RedLetter => "红字发票，无须付款",
            Verdict::Mismatch => "不一致：至少一项与登记信息不符",
            Verdict::NotFound => "查无此票",
            Verdict::NotYet => "暂未同步，请稍后再查",
            Verdict::Forged => "伪造：签名无效或未登记",
            Verdict::Malformed => "格式有误",
            Verdict::Unsupported => "不支持的票据",
            Verdict::Throttled => "查询受限，原因和办法见说明",
            Verdict::Unavailable => "暂时无法查询",
        }
    }

    /// What it means to the person who asked, in English.
    pub const fn english(self) -> &'static str {
        match self {
            Verdict::Genuine => "genuine: registered and in force",
            Verdict::Voided => "void",
            Verdict::RedFlushed => "taken back in full by red-letter invoices",
            Verdict::PartlyRedFlushed => "taken back in part by red-letter invoices",
            Verdict::Suspended => "suspended: lost, stolen or abnormal",
            Verdict::BlankMarked => "a blank number whose range is reported lost, stolen or void",
            Verdict::RedLetter => "a red-letter invoice: nothing to pay",
            Verdict::Mismatch => "mismatch: something differs from what is registered",
            Verdict::NotFound => "not found",
            Verdict::NotYet => "not yet known here; ask again",
            Verdict::Forged => "forged: not signed by the authority, or not registered",
            Verdict::Malformed => "malformed",
            Verdict::Unsupported => "not a supported kind of document",
            Verdict::Throttled => "not answered: asked or failed too often; see what helps",
            Verdict::Unavailable => "cannot be asked now",
        }
    }

    /// The invoice is registered and every factor that was given agrees.
    pub const fn matched(self) -> bool {
        matches!(self, Verdict::Genuine | Verdict::Voided | Verdict::RedFlushed | Verdict::PartlyRedFlushed | Verdict::Suspended | Verdict::RedLetter)
    }
}
