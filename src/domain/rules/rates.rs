//! Chapter 06: rates (税率, 征收率), how to read them, and when they were in force.

use super::judge::Judge;
use super::{RATE_FORM, RATE_NOT_IN_FORCE, Rule, TREATMENT_CONFLICT, TREATMENT_FORM, TREATMENT_RATE, TREATMENT_TAX};
use crate::domain::draft::At;
use crate::domain::draft::fields::Field;
use crate::domain::money::{Fen, TaxRate};
use crate::domain::particulars::{Rate, Treatment};
use crate::domain::time::Day;

/// 0.06 yuan: how far a tax may be from amount times rate.
const TAX_TOLERANCE: u64 = 6;

/// Rates in units of 10⁻⁵ with the first and last day they were in force (`yyyymmdd`; 0: from the beginning, until now).
const RATES: [(u32, u32, u32); 13] = [
    (17_000, 0, 20180430),
    (16_000, 20180501, 20190331),
    (13_000, 0, 20170630),
    (13_000, 20190401, 0),
    (11_000, 0, 20180430),
    (10_000, 20180501, 20190331),
    (9_000, 20190401, 0),
    (6_000, 0, 0),
    // Levy rates (征收率): 5 %, 3 %, house rental by persons, 3 % reduced to 2 %.
    (5_000, 0, 0),
    (3_000, 0, 0),
    (2_000, 0, 0),
    (REDUCED_RENT.0, 0, 0),
    // 3 % reduced to 1 %.
    (1_000, 20200301, 0),
];

/// 1.5 %: 5 % reduced, charged on the amount before tax at 5 %.
const REDUCED_RENT: TaxRate = TaxRate(1_500);

/// Whether a normal rate was in force; without a day, whether it ever was.
fn in_force(rate: TaxRate, day: Option<Day>) -> bool {
    let on_day = |from: u32, until: u32| day.is_none_or(|day| from <= day.yyyymmdd() && (until == 0 || day.yyyymmdd() <= until));
    rate.0 == 0 || RATES.iter().any(|(known, from, until)| *known == rate.0 && on_day(*from, *until))
}

/// Rate cell and treatment together; what contradicts itself, or was not in force, is reported.
pub(super) fn rate(judge: &mut Judge<'_>, rate_at: At, treatment_at: At, day: Option<Day>) -> Option<Rate> {
    let parse_treatment = |text: &str| match text {
        "0" | "3" => Some(Treatment::Zero),
        "1" => Some(Treatment::Exempt),
        "2" => Some(Treatment::NotTaxed),
        _ => None,
    };
    let stated = judge.parse(treatment_at, &TREATMENT_FORM, parse_treatment);
    if stated.is_none() && judge.draft.get(treatment_at).is_some() {
        return None;
    }
    let (rate, treatment) = match judge.draft.get(rate_at)? {
        "免税" => (TaxRate(0), Treatment::Exempt),
        "不征税" => (TaxRate(0), Treatment::NotTaxed),
        // Faces print *** for exempt, too; then the treatment tells.
        "***" => (TaxRate(0), stated.unwrap_or(Treatment::NotTaxed)),
        _ => (judge.parse(rate_at, &RATE_FORM, TaxRate::parse)?, stated.unwrap_or(Treatment::Normal)),
    };
    if stated.is_some_and(|stated| stated != treatment) {
        judge.report(&TREATMENT_CONFLICT, rate_at);
        return None;
    }
    match treatment {
        Treatment::Exempt | Treatment::NotTaxed | Treatment::Zero if rate.0 != 0 => {
            judge.report(&TREATMENT_RATE, rate_at);
            return None;
        }
        Treatment::Exempt | Treatment::NotTaxed | Treatment::Zero | Treatment::Normal => {}
    }
    if !in_force(rate, day) {
        judge.report(&RATE_NOT_IN_FORCE, rate_at);
    }
    Some(Rate { rate, treatment })
}

/// Compares a stated tax with the rate's, and returns the computed one: the one of the two ways to reckon 1.5 % that is nearer.
pub(super) fn tax(judge: &mut Judge<'_>, at: At, base: Fen, rate: Rate, stated: Fen, rule: &'static Rule) -> Fen {
    if rate.treatment != Treatment::Normal && stated != Fen::ZERO {
        judge.report(&TREATMENT_TAX, at);
        return stated;
    }
    let mut computed = base.tax_at(rate.rate);
    if rate.rate == REDUCED_RENT {
        // tax = gross / 1.05 x 1.5 % = gross / 70, rounded half away from zero.
        let gross = i128::from(base.0) + i128::from(stated.0);
        let reduced = (gross.abs() + 35) / 70 * gross.signum();
        let reduced = Fen(i64::try_from(reduced).unwrap_or(computed.0));
        if reduced.0.abs_diff(stated.0) < computed.0.abs_diff(stated.0) {
            computed = reduced;
        }
    }
    if computed.0.abs_diff(stated.0) > TAX_TOLERANCE {
        judge.explain(rule, at, format!("应为{computed}左右"), format!("computed {computed}"));
    }
    computed
}

/// The one rate of a freight or motor-vehicle invoice, and that its tax follows from it.
pub(super) fn invoice_rate(judge: &mut Judge<'_>, day: Option<Day>, rule: &'static Rule) -> Option<Rate> {
    let rate = rate(judge, Field::Rate.into(), Field::Treatment.into(), day)?;
    let [amount, stated] = [Field::Amount, Field::Tax].map(|field| judge.draft.get(field).and_then(Fen::parse));
    if let (Some(amount), Some(stated)) = (amount, stated) {
        tax(judge, Field::Tax.into(), amount, rate, stated, rule);
    }
    Some(rate)
}
