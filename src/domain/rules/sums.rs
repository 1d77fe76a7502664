//! Chapter 04: the sums on the face, and that rows add up to them.

use super::judge::Judge;
use super::{BLUE_SIGN, RED_SIGN, Rule, SUM_COMPUTED_TAX, TOTAL_DIFFERS, UPPER_DIFFERS, UPPER_FORM};
use crate::domain::draft::fields::Field;
use crate::domain::invoice::Totals;
use crate::domain::money::{Fen, parse_upper_case};

/// 1.27 yuan: how far the computed taxes of all lines may be from the total tax.
const COMPUTED_TAX_TOLERANCE: u64 = 127;

/// A sum over rows, if there are any (none at all is a fault of its own); unknown as soon as one of them is, so that one fault does not cause another.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    sum: Option<Fen>,
    rows: usize,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { sum: Some(Fen::ZERO), rows: 0 }
    }
}

impl Sum {
    pub(super) fn add(&mut self, amount: Option<Fen>) {
        self.sum = self.sum.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
        self.rows += 1;
    }
}

/// 合计金额, 合计税额 and 价税合计: signs, that they agree, and that the capital numerals say the same.
pub(super) fn totals(judge: &mut Judge<'_>) -> Option<Totals> {
    let [amount, tax, total] = [Field::Amount, Field::Tax, Field::Total].map(|field| judge.amount(field));
    for (field, value, may_be_zero) in [(Field::Amount, amount, false), (Field::Tax, tax, true), (Field::Total, total, false)] {
        let Some(value) = value else { continue };
        let wrong = if judge.red { value > Fen::ZERO } else { value < Fen::ZERO };
        if wrong || (value == Fen::ZERO && !may_be_zero) {
            judge.report(if judge.red { &RED_SIGN } else { &BLUE_SIGN }, field);
        }
    }
    if let Some(upper) = judge.parse(Field::TotalUpper, &UPPER_FORM, parse_upper_case)
        && total.is_some_and(|total| total != upper)
    {
        judge.explain(&UPPER_DIFFERS, Field::TotalUpper, upper.to_string(), upper.to_string());
    }
    let (amount, tax, total) = (amount?, tax?, total?);
    if amount.checked_add(tax) != Some(total) {
        judge.explain(&TOTAL_DIFFERS, Field::Total, format!("{amount} + {tax} ≠ {total}"), format!("{amount} + {tax} is not {total}"));
        return None;
    }
    Some(Totals { amount, total })
}

/// Compares a sum over rows with what the head states.
pub(super) fn adds_up(judge: &mut Judge<'_>, sum: Sum, stated: Field, rule: &'static Rule) {
    let (Some(made), Some(value)) = (sum.sum, judge.draft.get(stated).and_then(Fen::parse)) else { return };
    if sum.rows > 0 && made != value {
        judge.explain(rule, stated, format!("各行合计{made}"), format!("the rows make {made}"));
    }
}

/// Compares the taxes computed row by row with the total tax.
pub(super) fn computed_tax(judge: &mut Judge<'_>, computed: Sum) {
    let (Some(made), Some(tax)) = (computed.sum, judge.draft.get(Field::Tax).and_then(Fen::parse)) else { return };
    if computed.rows > 0 && made.0.abs_diff(tax.0) > COMPUTED_TAX_TOLERANCE {
        judge.explain(&SUM_COMPUTED_TAX, Field::Tax, format!("应为{made}左右"), format!("computed {made}"));
    }
}
