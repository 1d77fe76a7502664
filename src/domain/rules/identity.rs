//! Chapter 02: what names an invoice, and what its code says.

use super::judge::Judge;
use super::{
    AREA_UNKNOWN, CHECK_CODE_FORM, CHECK_CODE_MISSING, CHECK_CODE_SIGNED, CODE_FORM, CODE_LENGTH, DATE_FORM, DATE_FUTURE, DATE_PAST,
    ELECTRONIC_EARLY, FREIGHT_LATE, MACHINE_NUMBER_FORM, Mode, NUMBER_FORM, ORDINARY_12_EARLY, PRINTED_DIFFERS, ROLL_EARLY, TYPE_CONFLICT,
    YEAR_IMPLAUSIBLE,
};
use crate::domain::draft::fields::Field;
use crate::domain::kind::{Agreement, Derived, Kind, area};
use crate::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::time::Day;

/// Years that stocks of blank paper were seen to last.
const STOCK_YEARS: u32 = 5;

/// What of the identity could be read.
pub(super) struct Identity {
    pub(super) id: Option<InvoiceId>,
    pub(super) date: Option<Day>,
}

/// Code, number, date and machine number, each by itself and against the others.
pub(super) fn identity(judge: &mut Judge<'_>, kind: Option<Kind>) -> Identity {
    let code = judge.parse(Field::Code, &CODE_FORM, InvoiceCode::parse);
    let number = judge.parse(Field::Number, &NUMBER_FORM, InvoiceNumber::parse);
    let date = judge.parse(Field::Date, &DATE_FORM, Day::parse);
    judge.digits(Field::MachineNumber.into(), &MACHINE_NUMBER_FORM, &[12]);
    for (printed, stated) in [(Field::PrintedCode, Field::Code), (Field::PrintedNumber, Field::Number)] {
        if judge.draft.get(printed).is_some_and(|printed| judge.draft.get(stated).is_some_and(|stated| printed != stated)) {
            judge.report(&PRINTED_DIFFERS, printed);
        }
    }
    if let Some(code) = code {
        code_says(judge, code, kind, date);
    }
    if let Some(date) = date {
        date_suits(judge, date, kind, code);
    }
    Identity { id: code.zip(number).map(|(code, number)| InvoiceId { code, number }), date }
}

fn code_says(judge: &mut Judge<'_>, code: InvoiceCode, kind: Option<Kind>, date: Option<Day>) {
    if let Some(kind) = kind {
        let derived = Derived::of(&code);
        if !kind.profile().code_lengths.contains(&code.digits()) {
            judge.explain(&CODE_LENGTH, Field::Code, format!("{}位", code.digits()), format!("{} digits", code.digits()));
            // Area and year stand elsewhere in a code of the other length.
            return;
        }
        if derived.agreement(kind) == Agreement::Conflict {
            judge.explain(&TYPE_CONFLICT, Field::Code, format!("代码属于{}", derived.code()), format!("the code says {}", derived.code()));
        }
    }
    if area(&code).is_none() {
        judge.report(&AREA_UNKNOWN, Field::Code);
    }
    let digits = code.to_string();
    let printed = if code.digits() == 12 { &digits[5..7] } else { &digits[4..6] };
    if let (Some(date), Ok(printed)) = (date, printed.parse::<u32>()) {
        let (printed, issued) = (2000 + printed, date.month() / 100);
        if printed > issued || printed + STOCK_YEARS < issued {
            judge.explain(&YEAR_IMPLAUSIBLE, Field::Code, format!("{printed}年"), format!("{printed}"));
        }
    }
}

fn date_suits(judge: &mut Judge<'_>, date: Day, kind: Option<Kind>, code: Option<InvoiceCode>) {
    let today = judge.terms.today;
    if date > today {
        judge.report(&DATE_FUTURE, Field::Date);
    }
    match judge.terms.mode {
        Mode::Issue { days_back } if today.days_since(date) > i64::from(days_back) => {
            judge.explain(&DATE_PAST, Field::Date, format!("最多{days_back}天前"), format!("at most {days_back} days"));
        }
        Mode::Issue { .. } | Mode::Import => {}
    }
    let (rule, at) = match kind {
        Some(Kind::Freight) => (&FREIGHT_LATE, Field::Date),
        Some(Kind::Electronic) => (&ELECTRONIC_EARLY, Field::Date),
        Some(Kind::Roll) => (&ROLL_EARLY, Field::Date),
        Some(Kind::Ordinary) if code.is_some_and(|code| code.digits() == 12) => (&ORDINARY_12_EARLY, Field::Code),
        Some(Kind::Special | Kind::MotorVehicle | Kind::Ordinary) | None => return,
    };
    if rule.in_force(date) {
        judge.report(rule, at);
    }
}

/// The check code of a type that has one, and whether it is the caller's.
pub(super) fn check_code(judge: &mut Judge<'_>, kind: Option<Kind>) -> Option<(CheckCode, bool)> {
    if !kind?.profile().has_check_code {
        return None;
    }
    if judge.draft.get(Field::CheckCode).is_some() {
        return judge.parse(Field::CheckCode, &CHECK_CODE_FORM, CheckCode::parse).map(|code| (code, false));
    }
    if judge.importing() {
        judge.report(&CHECK_CODE_MISSING, Field::CheckCode);
        return None;
    }
    if judge.signed {
        judge.report(&CHECK_CODE_SIGNED, Field::CheckCode);
        return None;
    }
    Some((judge.terms.check_code, true))
}
