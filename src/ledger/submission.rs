//! What is handed to the sequencer: signed and hashed in parallel beforehand, decided one by one. And what it answers.

use crate::codec::event::Event;
use crate::codec::leaf::KeyId;
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::invoice::Face;
use crate::domain::money::Fen;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// Something to be decided and, if it passes, logged.
#[derive(Clone, Debug)]
pub enum Submission {
    /// Issue or red.
    Invoice(Box<SealedInvoice>),
    /// 作废.
    Void {
        /// The invoice to void.
        id: InvoiceId,
        /// Whom the one who asks acts for; the seller must be among them. `None` is the administration.
        callers: Option<Vec<TaxpayerId>>,
        /// The day it is voided.
        day: Day,
        /// Signed event.
        event: SealedEvent,
    },
    /// Lost, stolen, abnormal or lifted, for one issued invoice.
    Status {
        /// The invoice.
        id: InvoiceId,
        /// What is said of it.
        mark: Mark,
        /// Signed event.
        event: SealedEvent,
    },
    /// 发票领用.
    Allot {
        /// Whose numbers from now on.
        allotment: Allotment,
        /// Signed event.
        event: SealedEvent,
    },
    /// Lost, stolen, blank void or lifted, for numbers of an allotment.
    AllotmentStatus {
        /// Which numbers.
        range: NumberRange,
        /// What is said of them.
        mark: Mark,
        /// Signed event.
        event: SealedEvent,
    },
    /// Public keys enter the log, change their windows or are withdrawn, all in one commit.
    Keys {
        /// Signed events, in log order.
        events: Vec<SealedEvent>,
    },
    /// What the ledger says of itself to everybody: a root over signed answers, a revocation list that was published, the policy by which it publishes.
    Announcement {
        /// Which of them.
        of: Event,
        /// Signed event.
        event: SealedEvent,
    },
}

/// An accepted invoice with all that does not depend on its place in the log.
#[derive(Clone, Debug)]
pub struct SealedInvoice {
    /// What any holder of the paper knows.
    pub face: Face,
    /// Its canonical bytes.
    pub face_bytes: Vec<u8>,
    /// Digest that hides the rest.
    pub rest_digest: [u8; 32],
    /// The public commit.
    pub commit: [u8; 32],
    /// The authority's signature over face and rest digest.
    pub signature: [u8; 64],
    /// The authority key.
    pub key_id: KeyId,
    /// For recognising "the same again".
    pub content_digest: [u8; 32],
    /// The check code was drawn by us.
    pub check_code_generated: bool,
    /// Present exactly on red-letter invoices.
    pub original: Option<InvoiceId>,
    /// Sealed body, ready to store.
    pub body: Vec<u8>,
    /// Brought in by `import`; its state then follows as an event of its own.
    pub imported: bool,
    /// State of an imported invoice that was not in force.
    pub imported_state: Option<(ImportedEvent, SealedEvent)>,
}

/// How an imported invoice that is not in force came to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedEvent {
    /// It was void.
    Void,
    /// It was abnormal, or red-flushed without its red-letter invoice being at hand.
    Status,
}

/// An event without an invoice of its own, signed.
#[derive(Clone, Debug)]
pub struct SealedEvent {
    /// Random bytes that make the commit hiding.
    pub salt: [u8; 16],
    /// Its data, as signed.
    pub data: Vec<u8>,
    /// The public commit.
    pub commit: [u8; 32],
    /// The authority's signature.
    pub signature: [u8; 64],
    /// The authority key.
    pub key_id: KeyId,
}

/// What the sequencer decided. A refusal is an answer, not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log, on disk and published.
    Logged {
        /// Its leaf.
        index: u64,
        /// It was there before with the same content.
        repeated: bool,
        /// It passed, but.
        warning: Option<Remark>,
    },
    /// Not in the log, for this reason.
    Refused(Refusal),
}

/// What is worth saying about something that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A motor-vehicle invoice is taken back in part; practice takes back the whole.
    PartialMotorVehicleRed,
}

/// Why something cannot be logged, decided on the very state it would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The number is in no allotment of this seller for this type; said before any look-up, so that nobody probes another's numbers.
    NotAllotted,
    /// The number's range is lost, stolen or blank void, and the number was not used before.
    RangeMarked(Mark),
    /// Same number, different content. Carries the leaf of the first.
    Conflict(u64),
    /// Whoever submits does not act for the draft's seller; said before anything is looked up.
    NotYourSeller,
    /// The original is not in this ledger.
    OriginalNotFound,
    /// The original is of another type.
    OriginalKindDiffers,
    /// The original belongs to another seller.
    OriginalSellerDiffers,
    /// The original is itself a red-letter invoice.
    OriginalIsRed,
    /// The original is void.
    OriginalVoided,
    /// More than what is left of the original.
    ExceedsRemaining {
        /// Amount excluding tax that is left.
        amount: Fen,
        /// Tax that is left.
        tax: Fen,
    },
    /// No such invoice.
    NotFound,
    /// Only the seller voids.
    NotSeller,
    /// An electronic invoice is never voided, only red-flushed.
    ElectronicNeverVoided,
    /// Voiding is for the month of issue.
    OtherMonth,
    /// Voiding an original needs its reds voided first.
    HasLiveReds,
    /// Nothing is suspended that could be lifted.
    NothingToLift,
    /// This mark is not for one invoice, or not for a range.
    MarkNotApplicable(Mark),
    /// Shares numbers with an allotment that exists.
    AllotmentOverlaps(NumberRange),
    /// Not within one allotment.
    RangeNotAllotted,
    /// Blank-void numbers stay void.
    RangeBlankVoid,
    /// Blank-void is for unused numbers; this one was used.
    RangeHasUsedNumber(InvoiceId),
    /// The issuer registered a key, and the draft is not signed.
    Unsigned,
    /// The draft is signed with a key that is not the submitter's registered one.
    IssuerKeyUnknown,
    /// The issuer's signature does not hold for what the draft says.
    IssuerSignatureWrong,
}

impl Refusal {
    /// One of each, for the catalogue: codes and texts, not particulars.
    pub fn examples() -> Vec<Refusal> {
        let number = |ordinal| InvoiceNumber::from_ordinal(ordinal);
        let code = InvoiceCode::parse("033002600104");
        let range = code.zip(number(1).zip(number(100))).and_then(|(code, (first, last))| NumberRange::new(code, first, last));
        let id = code.zip(number(1)).map(|(code, number)| InvoiceId { code, number });
        let plain = [
            Refusal::NotAllotted,
            Refusal::RangeMarked(Mark::Stolen),
            Refusal::Conflict(0),
            Refusal::NotYourSeller,
            Refusal::OriginalNotFound,
            Refusal::OriginalKindDiffers,
            Refusal::OriginalSellerDiffers,
            Refusal::OriginalIsRed,
            Refusal::OriginalVoided,
            Refusal::ExceedsRemaining { amount: Fen::ZERO, tax: Fen::ZERO },
            Refusal::NotFound,
            Refusal::NotSeller,
            Refusal::ElectronicNeverVoided,
            Refusal::OtherMonth,
            Refusal::HasLiveReds,
            Refusal::NothingToLift,
            Refusal::MarkNotApplicable(Mark::Abnormal),
        ];
        let ranged = [
            range.map(Refusal::AllotmentOverlaps),
            Some(Refusal::RangeNotAllotted),
            Some(Refusal::RangeBlankVoid),
            id.map(Refusal::RangeHasUsedNumber),
            Some(Refusal::Unsigned),
            Some(Refusal::IssuerKeyUnknown),
            Some(Refusal::IssuerSignatureWrong),
        ];
        plain.into_iter().chain(ranged.into_iter().flatten()).collect()
    }

    /// Stable code, in the catalogue next to the rules: chapter 20, decided on the ledger's state.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NotAllotted => "FP-20-001",
            Refusal::RangeMarked(_) => "FP-20-002",
            Refusal::Conflict(_) => "FP-20-003",
            Refusal::NotYourSeller => "FP-20-004",
            Refusal::OriginalNotFound => "FP-20-010",
            Refusal::OriginalKindDiffers => "FP-20-011",
            Refusal::OriginalSellerDiffers => "FP-20-012",
            Refusal::OriginalIsRed => "FP-20-013",
            Refusal::OriginalVoided => "FP-20-014",
            Refusal::ExceedsRemaining { .. } => "FP-20-015",
            Refusal::NotFound => "FP-20-020",
            Refusal::NotSeller => "FP-20-021",
            Refusal::ElectronicNeverVoided => "FP-20-022",
            Refusal::OtherMonth => "FP-20-023",
            Refusal::HasLiveReds => "FP-20-024",
            Refusal::NothingToLift => "FP-20-025",
            Refusal::MarkNotApplicable(_) => "FP-20-026",
            Refusal::AllotmentOverlaps(_) => "FP-20-030",
            Refusal::RangeNotAllotted => "FP-20-031",
            Refusal::RangeBlankVoid => "FP-20-032",
            Refusal::RangeHasUsedNumber(_) => "FP-20-033",
            Refusal::Unsigned => "FP-20-040",
            Refusal::IssuerKeyUnknown => "FP-20-041",
            Refusal::IssuerSignatureWrong => "FP-20-042",
        }
    }

    /// What it means, in Chinese.
    pub fn chinese(&self) -> String {
        match self {
            Refusal::NotAllotted => "该号码不在销售方此票种的领用范围内".into(),
            Refusal::RangeMarked(mark) => format!("该号码所在号段已标记为 {}，不能开具", mark.name()),
            Refusal::Conflict(_) => "同一代码和号码已登记为内容不同的发票".into(),
            Refusal::NotYourSeller => "调用方不代表该销售方".into(),
            Refusal::OriginalNotFound => "未找到对应的蓝字发票".into(),
            Refusal::OriginalKindDiffers => "对应的蓝字发票票种不同".into(),
            Refusal::OriginalSellerDiffers => "对应的蓝字发票属于其他销售方".into(),
            Refusal::OriginalIsRed => "红字发票不能再次冲红".into(),
            Refusal::OriginalVoided => "对应的蓝字发票已作废".into(),
            Refusal::ExceedsRemaining { amount, tax } => format!("超出蓝字发票剩余可冲红金额：金额 {amount}，税额 {tax}"),
            Refusal::NotFound => "查无此票".into(),
            Refusal::NotSeller => "只有销售方可以作废".into(),
            Refusal::ElectronicNeverVoided => "电子发票不能作废，只能冲红".into(),
            Refusal::OtherMonth => "只能在开具当月作废".into(),
            Refusal::HasLiveReds => "存在有效的红字发票，请先作废红字发票".into(),
            Refusal::NothingToLift => "没有可解除的状态".into(),
            Refusal::MarkNotApplicable(mark) => format!("状态 {} 不适用于此对象", mark.name()),
            Refusal::AllotmentOverlaps(range) => format!("与已有领用号段 {} {}-{} 重叠", range.code, range.first, range.last),
            Refusal::RangeNotAllotted => "号段不在同一领用范围内".into(),
            Refusal::RangeBlankVoid => "空白作废的号段不能变更".into(),
            Refusal::RangeHasUsedNumber(id) => format!("号段中 {} 已开具", id.number),
            Refusal::Unsigned => "开票方已登记密钥，提交的发票须带签名".into(),
            Refusal::IssuerKeyUnknown => "签名所用密钥不是提交方登记的密钥".into(),
            Refusal::IssuerSignatureWrong => "开票方签名与发票内容不符".into(),
        }
    }

    /// What it means, in English.
    pub fn english(&self) -> String {
        match self {
            Refusal::NotAllotted => "the number is not in an allotment of this seller for this type".into(),
            Refusal::RangeMarked(mark) => format!("the number's range is marked {}; its unused numbers can no longer be issued", mark.name()),
            Refusal::Conflict(_) => "the number is already registered with different content".into(),
            Refusal::NotYourSeller => "the caller does not act for this seller".into(),
            Refusal::OriginalNotFound => "the original invoice is not in this ledger".into(),
            Refusal::OriginalKindDiffers => "the original invoice is of another type".into(),
            Refusal::OriginalSellerDiffers => "the original invoice belongs to another seller".into(),
            Refusal::OriginalIsRed => "a red-letter invoice cannot itself be red-flushed".into(),
            Refusal::OriginalVoided => "the original invoice is void".into(),
            Refusal::ExceedsRemaining { amount, tax } => format!("more than what is left of the original: amount {amount}, tax {tax}"),
            Refusal::NotFound => "no such invoice".into(),
            Refusal::NotSeller => "only the seller can void an invoice".into(),
            Refusal::ElectronicNeverVoided => "an electronic invoice cannot be voided, only red-flushed".into(),
            Refusal::OtherMonth => "an invoice can be voided only in the month of issue".into(),
            Refusal::HasLiveReds => "red-letter invoices against it are in force; void them first".into(),
            Refusal::NothingToLift => "nothing is suspended that could be lifted".into(),
            Refusal::MarkNotApplicable(mark) => format!("{} does not apply here", mark.name()),
            Refusal::AllotmentOverlaps(range) => format!("overlaps the allotment {} {}-{}", range.code, range.first, range.last),
            Refusal::RangeNotAllotted => "the range is not within one allotment".into(),
            Refusal::RangeBlankVoid => "blank-void numbers stay void".into(),
            Refusal::RangeHasUsedNumber(id) => format!("number {} of the range was used", id.number),
            Refusal::Unsigned => "the issuer has registered a key, so each submission must be signed with it".into(),
            Refusal::IssuerKeyUnknown => "signed with a key that is not the submitter's registered one".into(),
            Refusal::IssuerSignatureWrong => "the issuer's signature does not hold for this content".into(),
        }
    }
}
