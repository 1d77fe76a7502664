//! Problems (RFC 9457): the one mapping of what went wrong to HTTP. Outcomes of a question are answers and not problems, but for the two that say
//! "ask again later".

use serde_json::{Map, Value, json};

use super::json;
use crate::domain::fault::Fault;
use crate::engine::{EngineError, RotationFault};
use crate::ledger::{EraseError, LedgerError, Refusal, SubmitError};
use crate::verify::quota::Rate;

/// In which language a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// 中文.
    Chinese,
    /// English.
    English,
}

impl Language {
    /// Of an `Accept-Language` header: whichever of the two is wanted more; Chinese without one (RFC 9110, section 12.5.4).
    pub fn accepted(header: Option<&str>) -> Language {
        let mut best = (0.0, Language::Chinese);
        for range in header.unwrap_or_default().split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let quality = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok()).unwrap_or(0.0);
            let language = match tag.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
                Some("zh") => Language::Chinese,
                Some("en") => Language::English,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }

    /// For `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Language::Chinese => "zh-CN",
            Language::English => "en",
        }
    }

    /// The text in this language.
    pub fn pick<T>(self, zh: T, en: T) -> T {
        match self {
            Language::Chinese => zh,
            Language::English => en,
        }
    }
}

/// The kinds of problems: stable names, the status of each, and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request as a whole cannot be read.
    BadRequest,
    /// No token, or one that does not count.
    Unauthorised,
    /// The token is good for other things.
    Forbidden,
    /// Nothing is there, or nothing that this caller may see.
    NotFound,
    /// The path is served by another method.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// Well-formed, and not possible on the ledger's state.
    Refused,
    /// Longer than anything that makes sense.
    TooLarge,
    /// The body is of another type, or compressed.
    UnsupportedMediaType,
    /// A draft that breaks rules: all of them are listed.
    Faulty,
    /// Too many questions.
    Throttled,
    /// A defect of ours.
    Internal,
    /// Cannot be done now; the same may succeed later.
    Unavailable,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 13] = [
        Kind::BadRequest,
        Kind::Unauthorised,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::RequestTimeout,
        Kind::Refused,
        Kind::TooLarge,
        Kind::UnsupportedMediaType,
        Kind::Faulty,
        Kind::Throttled,
        Kind::Internal,
        Kind::Unavailable,
    ];

    /// HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Kind::BadRequest => 400,
            Kind::Unauthorised => 401,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::MethodNotAllowed => 405,
            Kind::RequestTimeout => 408,
            Kind::Refused => 409,
            Kind::TooLarge => 413,
            Kind::UnsupportedMediaType => 415,
            Kind::Faulty => 422,
            Kind::Throttled => 429,
            Kind::Internal => 500,
            Kind::Unavailable => 503,
        }
    }

    /// Stable name: the last part of the problem's `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::BadRequest => "bad-request",
            Kind::Unauthorised => "unauthorised",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not-found",
            Kind::MethodNotAllowed => "method-not-allowed",
            Kind::RequestTimeout => "request-timeout",
            Kind::Refused => "refused",
            Kind::TooLarge => "too-large",
            Kind::UnsupportedMediaType => "unsupported-media-type",
            Kind::Faulty => "faulty",
            Kind::Throttled => "throttled",
            Kind::Internal => "internal",
            Kind::Unavailable => "unavailable",
        }
    }

    /// Title in Chinese and English.
    pub const fn title(self) -> (&'static str, &'static str) {
        match self {
            Kind::BadRequest => ("请求无法识别", "the request cannot be read"),
            Kind::Unauthorised => ("需要有效的访问令牌", "a valid token is needed"),
            Kind::Forbidden => ("该令牌无权进行此操作", "this token may not do that"),
            Kind::NotFound => ("未找到", "not found"),
            Kind::MethodNotAllowed => ("不支持该请求方法", "this method is not served here"),
            Kind::RequestTimeout => ("请求未在时限内到达", "the request did not arrive in time"),
            Kind::Refused => ("与账本状态不符，未登记", "not possible on the ledger's state; nothing was logged"),
            Kind::TooLarge => ("请求过大", "the request is too large"),
            Kind::UnsupportedMediaType => ("不支持该内容类型", "this type of content is not read here"),
            Kind::Faulty => ("内容不符合规则，未登记", "the content breaks rules; nothing was logged"),
            Kind::Throttled => ("请求过于频繁", "too many requests"),
            Kind::Internal => ("服务器内部错误", "an error of the server"),
            Kind::Unavailable => ("暂时无法处理", "not possible now"),
        }
    }
}

/// What is said to a caller whose request has no result.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which kind.
    pub kind: Kind,
    /// Everything else; most requests have no problem and should not carry room for one.
    pub more: Box<More>,
}

/// What there is to say beyond the kind of a problem.
#[derive(Clone, Debug, Default)]
pub struct More {
    /// What about it, in Chinese and English.
    pub detail: Option<(String, String)>,
    /// Further members.
    pub members: Map<String, Value>,
    /// After how many seconds the same may succeed.
    pub retry_after: Option<u64>,
    /// Methods that are served instead.
    pub allow: Option<String>,
    /// What is left of the caller's quota.
    pub rate: Option<Rate>,
}

impl Problem {
    /// A problem of this kind, with nothing more to say.
    pub fn new(kind: Kind) -> Problem {
        Problem { kind, more: Box::default() }
    }

    /// With what is the matter, in Chinese and English.
    pub fn because(kind: Kind, zh: impl Into<String>, en: impl Into<String>) -> Problem {
        let mut problem = Problem::new(kind);
        problem.more.detail = Some((zh.into(), en.into()));
        problem
    }

    /// With a further member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.more.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same may succeed after so many seconds.
    pub fn after(mut self, seconds: u64) -> Problem {
        self.more.retry_after = Some(seconds);
        self
    }

    /// The problem in one language. `instance` names the request in the logs.
    pub fn to_json(&self, language: Language, instance: &str) -> Value {
        let (zh, en) = self.kind.title();
        let mut object = self.more.members.clone();
        object.insert("type".into(), format!("urn:fapiao:problem:{}", self.kind.name()).into());
        object.insert("title".into(), language.pick(zh, en).into());
        object.insert("status".into(), self.kind.status().into());
        if let Some((zh, en)) = &self.more.detail {
            object.insert("detail".into(), language.pick(zh, en).as_str().into());
        }
        object.insert("instance".into(), format!("urn:fapiao:request:{instance}").into());
        if let Some(seconds) = self.more.retry_after {
            object.insert("retry_after".into(), seconds.into());
        }
        Value::Object(object)
    }
}

/// A draft that breaks rules.
pub fn faulty(faults: &[Fault]) -> Problem {
    Problem::because(Kind::Faulty, format!("共 {} 处", faults.len()), format!("{} in all", faults.len())).with("faults", json::faults(faults))
}

/// A submission that is not possible on the ledger's state. Whose number it is, is told to nobody but its owner, so those answers come first.
pub fn refused(refusal: &Refusal) -> Problem {
    let kind = match refusal {
        Refusal::NotAllotted | Refusal::NotYourSeller | Refusal::NotSeller => Kind::Forbidden,
        Refusal::NotFound => Kind::NotFound,
        Refusal::Unsigned | Refusal::IssuerKeyUnknown | Refusal::IssuerSignatureWrong => Kind::Faulty,
        Refusal::RangeMarked(_)
        | Refusal::Conflict(_)
        | Refusal::OriginalNotFound
        | Refusal::OriginalKindDiffers
        | Refusal::OriginalSellerDiffers
        | Refusal::OriginalIsRed
        | Refusal::OriginalVoided
        | Refusal::ExceedsRemaining { .. }
        | Refusal::ElectronicNeverVoided
        | Refusal::OtherMonth
        | Refusal::HasLiveReds
        | Refusal::NothingToLift
        | Refusal::MarkNotApplicable(_)
        | Refusal::AllotmentOverlaps(_)
        | Refusal::RangeNotAllotted
        | Refusal::RangeBlankVoid
        | Refusal::RangeHasUsedNumber(_) => Kind::Refused,
    };
    Problem::because(kind, refusal.chinese(), refusal.english()).with("code", refusal.code())
}

/// What the engine could not do. The public text says what the caller can do about it; the particulars are for the log.
pub fn failed(error: &EngineError) -> Problem {
    match error {
        EngineError::Submit(error) => not_decided(error),
        EngineError::Ledger(LedgerError::NotAdopted(_)) => {
            Problem::because(Kind::Unavailable, "本副本不签名，请联系管理员", "this copy does not sign; its administrator knows").after(60)
        }
        EngineError::Ledger(error) if error.is_trouble() => {
            Problem::because(Kind::Unavailable, "存储暂时不可用", "the storage gives trouble").after(5)
        }
        EngineError::Locked => Problem::because(Kind::Unavailable, "服务器未加载密钥", "the server runs without its secret keys").after(60),
        EngineError::Rotation(fault @ RotationFault::NoSuchKey(_)) => Problem::because(Kind::NotFound, "没有这把密钥", fault.to_string()),
        EngineError::Rotation(fault) => Problem::because(Kind::Refused, format!("密钥不能变更：{fault}"), fault.to_string()),
        EngineError::Unrecorded { done, .. } => {
            let en = format!("done and in force, but not in the audit trail: {done}; do not do it again");
            Problem::because(Kind::Internal, format!("已生效，但未能写入审计记录：{done}；请勿重复"), en)
        }
        EngineError::NewKeys(error) => Problem::because(Kind::Refused, format!("密钥不能变更：{error}"), error.to_string()),
        EngineError::Unsigned(_) => Problem::because(Kind::Unavailable, "签名密钥暂不可用", "the key that signs this does not sign now").after(5),
        EngineError::NoToken => {
            Problem::because(Kind::Refused, "服务器未配置密码机（[keys.pkcs11]）", "the server has no token: [keys.pkcs11] in its configuration")
        }
        EngineError::NoAnsweringKey => Problem::because(Kind::Unavailable, "应答密钥刚刚轮换，请重试", error.to_string()).after(1),
        EngineError::AnswerTooOld => Problem::because(Kind::Unavailable, "等待过久，请重试", error.to_string()).after(1),
        EngineError::Enrolment(fault) => Problem::because(Kind::Refused, format!("不能登记：{fault}"), fault.to_string()),
        EngineError::Erase(error @ EraseError::Busy) => {
            Problem::because(Kind::Unavailable, "正在备份或删除，请稍后重试", error.to_string()).after(30)
        }
        EngineError::Erase(error) => Problem::because(Kind::Refused, "该发票没有正文，且并非删除所致", error.to_string()),
        EngineError::ErasureReason => {
            Problem::because(Kind::Faulty, "reason：须为1至96个可打印ASCII字符，不含姓名", error.to_string()).with("place", "reason")
        }
        EngineError::QuestionTooLong => Problem::because(Kind::TooLarge, "问题过长，无法签名", "the question is too long to be signed"),
        EngineError::Seal(error) => Problem::because(Kind::TooLarge, "内容超出可签名的范围", format!("more than the signed bytes can hold: {error}")),
        _ => Problem::new(Kind::Internal),
    }
}

/// Why nothing is written now, without its particulars, and after how many seconds it may be otherwise.
fn obstacle(error: &SubmitError) -> (&'static str, &'static str, u64) {
    match error {
        SubmitError::Poisoned(_) => ("账本已停止写入，请联系管理员", "the ledger has stopped writing; its administrator knows", 60),
        SubmitError::ReadOnly(_) => ("账本拒绝签名，请联系管理员", "the ledger refuses to sign; its administrator knows", 60),
        SubmitError::ClockBehind { .. } => ("系统时钟落后于账本", "the clock is behind the ledger", 5),
        SubmitError::Late => ("密钥变更等待过久，未变更，请重试", "the change of keys waited too long; nothing was changed, ask again", 1),
        SubmitError::Unavailable(_) => ("磁盘故障，恢复后自动继续", "the disk gives trouble; writing goes on once it no longer does", 5),
        SubmitError::Unsigned(_) => ("签名密钥暂不可用，恢复后自动继续", "the keys do not sign now; writing goes on once they do", 5),
        SubmitError::Closing => ("服务器正在停止", "the server is stopping", 5),
    }
}

/// What whoever submitted is told of a submission that was not decided, in Chinese and English: why, and what is known of it.
pub fn undecided(error: &SubmitError) -> (String, String) {
    let (zh, en, _) = obstacle(error);
    (
        format!("{zh}；是否已登记未知：请再次提交，相同内容得到首次的回执"),
        format!("{en}; whether it was logged is unknown: submit it again, the same again gets the first receipt"),
    )
}

/// A submission that was not decided.
pub fn not_decided(error: &SubmitError) -> Problem {
    let (zh, en) = undecided(error);
    Problem::because(Kind::Unavailable, zh, en).after(obstacle(error).2)
}

/// Nothing would be decided now, and nothing was submitted.
pub fn not_writing(error: &SubmitError) -> Problem {
    let (zh, en, seconds) = obstacle(error);
    Problem::because(Kind::Unavailable, zh, en).after(seconds)
}

/// Too many of something, told to whoever counts itself.
pub fn busy(zh: &str, en: &str) -> Problem {
    Problem::because(Kind::Unavailable, zh, en).after(1)
}

/// The members of a problem as a JSON Schema.
pub fn schema() -> Value {
    let kinds: Vec<String> = Kind::ALL.iter().map(|kind| format!("urn:fapiao:problem:{}", kind.name())).collect();
    json!({
        "type": "object",
        "description": "RFC 9457. `type` is stable; `title` and `detail` are in Chinese or English by Accept-Language.",
        "required": ["type", "title", "status", "instance"],
        "properties": {
            "type": { "enum": kinds },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "instance": { "type": "string", "description": "Names the request in the server's logs" },
            "retry_after": { "type": "integer", "description": "Seconds; the same as Retry-After" },
            "code": { "type": "string", "description": "Code of the ledger's refusal (schemas/faults.json)" },
            "faults": { "type": "array", "items": { "$ref": "#/components/schemas/Fault" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_that_is_wanted_more() {
        for (header, expected) in [
            (None, Language::Chinese),
            (Some("en"), Language::English),
            (Some("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese),
            (Some("en-GB,en;q=0.9,zh;q=0.8"), Language::English),
            (Some("fr, en;q=0.1"), Language::English),
            (Some("fr"), Language::Chinese),
            (Some("EN-us"), Language::English),
            (Some("en;q=0, zh;q=0.1"), Language::Chinese),
            (Some("e"), Language::Chinese),
            (Some("数,en;q=x"), Language::Chinese),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header:?}");
        }
    }
}
