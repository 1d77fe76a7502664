//! Chapter 10: red-letter invoices (红字发票) and the original they take back.

use super::judge::Judge;
use super::{NOTICE_FORM, ORIGINAL_FORM, ORIGINAL_ITSELF, REASON_FORM, RED_EARLY, RED_ON_BLUE, RED_REFERENCE, RED_REMARK};
use crate::domain::draft::Draft;
use crate::domain::draft::fields::Field;
use crate::domain::invoice::{RedBasis, RedReason, RedReference};
use crate::domain::kind::Kind;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::time::Day;

const STATED: [Field; 4] = [Field::OriginalCode, Field::OriginalNumber, Field::NoticeNumber, Field::RedReason];

/// Whether the draft says anything about an original.
pub(super) fn is_stated(draft: &Draft) -> bool {
    STATED.iter().any(|field| draft.get(*field).is_some())
}

/// The reference of a red-letter draft; the outer `None` if it could not be read.
pub(super) fn red(judge: &mut Judge<'_>, kind: Option<Kind>, id: Option<InvoiceId>, date: Option<Day>) -> Option<Option<RedReference>> {
    let first_stated = STATED.into_iter().find(|field| judge.draft.get(*field).is_some());
    match (judge.red, first_stated) {
        (false, None) => return Some(None),
        (false, Some(field)) => {
            judge.report(&RED_ON_BLUE, field);
            return None;
        }
        (true, None) => {
            judge.report_path(&RED_REFERENCE, "/red".to_owned(), None);
            return None;
        }
        (true, Some(_)) => {}
    }
    let code = judge.parse(Field::OriginalCode, &ORIGINAL_FORM, InvoiceCode::parse);
    let number = judge.parse(Field::OriginalNumber, &ORIGINAL_FORM, InvoiceNumber::parse);
    judge
        .parse(Field::NoticeNumber, &NOTICE_FORM, |text| ((16..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then_some(()));
    let reason = match judge.draft.get(Field::RedReason) {
        None => Some(None),
        Some(_) => judge.parse(Field::RedReason, &REASON_FORM, reason).map(Some),
    };
    let original = code.zip(number).map(|(code, number)| InvoiceId { code, number });
    if original.is_some() && original == id {
        judge.report(&ORIGINAL_ITSELF, Field::OriginalNumber);
    }
    if let (Some(original_date), Some(date)) = (judge.terms.original_date, date)
        && date < original_date
    {
        judge.explain(&RED_EARLY, Field::Date, original_date.to_string(), original_date.to_string());
    }
    let (original, kind) = (original?, kind?);
    remark(judge, kind, original);
    let basis = if kind.profile().red_needs_notice { RedBasis::Notice(judge.text(Field::NoticeNumber)?) } else { RedBasis::Original };
    Some(Some(RedReference { original, basis, reason: reason? }))
}

fn reason(text: &str) -> Option<RedReason> {
    match text {
        "1" => Some(RedReason::Returned),
        "2" => Some(RedReason::Mistake),
        "3" => Some(RedReason::ServiceEnded),
        "4" => Some(RedReason::Allowance),
        _ => None,
    }
}

/// What the remark (备注) says by convention: the information sheet's number, or the original's code and number.
fn remark(judge: &mut Judge<'_>, kind: Kind, original: InvoiceId) {
    let notice = judge.draft.get(Field::NoticeNumber).unwrap_or_default();
    let expected = match kind {
        Kind::Special => format!("开具红字增值税专用发票信息表编号{notice}"),
        Kind::Freight => format!("开具红字货物运输业增值税专用发票信息表编号{notice}"),
        Kind::MotorVehicle | Kind::Ordinary | Kind::Electronic | Kind::Roll => format!("对应正数发票代码:{}号码:{}", original.code, original.number),
    };
    let remark = judge.draft.get(Field::Remark).unwrap_or_default().replace('：', ":");
    if !remark.contains(&expected) {
        judge.explain(&RED_REMARK, Field::Remark, expected.clone(), expected);
    }
}
