//! Chapters 05 and 09: lines (明细), one by one, against their neighbours, and against the sums.

use super::judge::Judge;
use super::sums::{self, Sum};
use super::{
    AMOUNT_FORM, DECIMAL_FORM, DISCOUNT_ABSENT, DISCOUNT_PLACE, DISCOUNT_SIGN, DISCOUNT_SIZE, DISCOUNT_UNLIKE, FLAG_FORM, LINE_PRICE, LINE_TAX,
    MARGIN_DEDUCTION, MARGIN_REMARK, NATURE_FORM, PREFERENCE_ALONE, PRICE_AND_QUANTITY, RED_LIST, ROLL_GROSS, ROLL_LINES, ROLL_PRICE, ROLL_SUM, Rule,
    SUM_AMOUNT, SUM_TAX, TAX_CLASS_FORM, rates,
};
use crate::domain::draft::fields::Field;
use crate::domain::money::{Decimal8, Fen};
use crate::domain::particulars::{Line, LineNature, Pricing, Rate, RollLine, Treatment};
use crate::domain::time::Day;

/// 0.01 yuan: how far an amount may be from price times quantity.
const PRICE_TOLERANCE: u64 = 1;
/// Rolls are a hand's breadth long.
const ROLL_LINES_MAX: usize = 13;
/// What a remark says of invoices that are taxed on the margin.
const MARGIN: &str = "差额征税";

/// What neighbours and sums need to know of a line; a part that could not be read is `None`.
struct Read {
    nature: Option<LineNature>,
    amount: Option<Fen>,
    rate: Option<Rate>,
}

/// Amount, rate and tax of any line, and the tax computed from them.
struct Taxed {
    amount: Option<Fen>,
    rate: Option<Rate>,
    tax: Option<Fen>,
    computed: Option<Fen>,
}

/// The lines of a special, ordinary or electronic invoice; `None` if one could not be read.
pub(super) fn lines(judge: &mut Judge<'_>, rates_at: Option<Day>) -> Option<Vec<Line>> {
    let count = judge.draft.lines();
    let (mut amounts, mut taxes, mut computed) = (Sum::default(), Sum::default(), Sum::default());
    let mut lines = Some(Vec::with_capacity(count));
    let mut read = Vec::with_capacity(count);
    for row in 0..count {
        let nature = match judge.draft.get((Field::LineNature, row)) {
            None => Some(LineNature::Normal),
            Some(_) => judge.parse((Field::LineNature, row), &NATURE_FORM, nature),
        };
        if nature == Some(LineNature::RedList) && !judge.red {
            judge.report(&RED_LIST, (Field::LineNature, row));
        }
        let deduction = deduction(judge, row);
        let taxed = taxed(judge, row, rates_at, deduction);
        let pricing = pricing(judge, row, Field::LineAmount, &LINE_PRICE);
        judge.digits((Field::LineTaxClass, row).into(), &TAX_CLASS_FORM, &[19]);
        let preference = preference(judge, row);
        amounts.add(taxed.amount);
        taxes.add(taxed.tax);
        computed.add(taxed.computed);
        read.push(Read { nature, amount: taxed.amount, rate: taxed.rate });
        let name = judge.text((Field::LineName, row));
        lines = (|| {
            let mut lines = lines?;
            lines.push(Line {
                nature: nature?,
                name: name?,
                specification: judge.text((Field::LineSpecification, row)),
                unit: judge.text((Field::LineUnit, row)),
                pricing: pricing?,
                amount: taxed.amount?,
                rate: taxed.rate?,
                tax: taxed.tax?,
                tax_class: judge.text((Field::LineTaxClass, row)),
                own_code: judge.text((Field::LineOwnCode, row)),
                preference: preference?,
                deduction: deduction?,
            });
            Some(lines)
        })();
    }
    discounts(judge, &read);
    sums::adds_up(judge, amounts, Field::Amount, &SUM_AMOUNT);
    sums::adds_up(judge, taxes, Field::Tax, &SUM_TAX);
    sums::computed_tax(judge, computed);
    lines.filter(|lines| !lines.is_empty())
}

/// The lines of a roll; `None` if one could not be read.
pub(super) fn roll_lines(judge: &mut Judge<'_>, rates_at: Option<Day>) -> Option<Vec<RollLine>> {
    let count = judge.draft.lines();
    let (mut amounts, mut taxes, mut computed, mut grosses) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    let mut lines = Some(Vec::with_capacity(count));
    if count > ROLL_LINES_MAX {
        judge.explain(&ROLL_LINES, Field::Lines, format!("{count}行"), format!("{count} lines"));
    }
    for row in 0..count {
        let taxed = taxed(judge, row, rates_at, Some(None));
        let pricing = pricing(judge, row, Field::LineGross, &ROLL_PRICE);
        let gross = judge.amount((Field::LineGross, row));
        if let (Some(amount), Some(tax), Some(gross)) = (taxed.amount, taxed.tax, gross)
            && amount.checked_add(tax) != Some(gross)
        {
            judge.explain(&ROLL_GROSS, (Field::LineGross, row), format!("{amount} + {tax} ≠ {gross}"), format!("{amount} + {tax} is not {gross}"));
        }
        amounts.add(taxed.amount);
        taxes.add(taxed.tax);
        computed.add(taxed.computed);
        grosses.add(gross);
        let item = judge.text((Field::LineName, row));
        lines = (|| {
            let mut lines = lines?;
            lines.push(RollLine { item: item?, pricing: pricing?, gross: gross?, amount: taxed.amount?, rate: taxed.rate?, tax: taxed.tax? });
            Some(lines)
        })();
    }
    sums::adds_up(judge, amounts, Field::Amount, &SUM_AMOUNT);
    sums::adds_up(judge, taxes, Field::Tax, &SUM_TAX);
    sums::adds_up(judge, grosses, Field::Total, &ROLL_SUM);
    sums::computed_tax(judge, computed);
    lines.filter(|lines| !lines.is_empty())
}

fn nature(text: &str) -> Option<LineNature> {
    match text {
        "0" => Some(LineNature::Normal),
        "1" => Some(LineNature::Discount),
        "2" => Some(LineNature::Discounted),
        "6" => Some(LineNature::RedList),
        _ => None,
    }
}

/// Amount, rate and tax of a line and how they hang together; the rate applies to the amount less the deduction.
fn taxed(judge: &mut Judge<'_>, row: usize, rates_at: Option<Day>, deduction: Option<Option<Fen>>) -> Taxed {
    let amount = judge.amount((Field::LineAmount, row));
    let rate = rates::rate(judge, (Field::LineRate, row).into(), (Field::LineTreatment, row).into(), rates_at);
    // A rate that could not be read has its own fault.
    let untaxed = rate.is_none_or(|rate| matches!(rate.treatment, Treatment::Exempt | Treatment::NotTaxed));
    let tax = judge.parse((Field::LineTax, row), &AMOUNT_FORM, |text| if untaxed && text == "***" { Some(Fen::ZERO) } else { Fen::parse(text) });
    let on_margin = deduction == Some(None) && judge.draft.get(Field::Remark).is_some_and(|remark| remark.contains(MARGIN));
    let computed = match (amount, rate, tax, deduction) {
        (Some(_), Some(rate), Some(tax), Some(None)) if on_margin && rate.treatment == Treatment::Normal && rate.rate.0 != 0 => {
            judge.report(&MARGIN_DEDUCTION, (Field::LineTax, row));
            Some(tax)
        }
        (Some(amount), Some(rate), Some(tax), Some(deduction)) => {
            let base = Fen(amount.0 - deduction.unwrap_or(Fen::ZERO).0);
            Some(rates::tax(judge, (Field::LineTax, row).into(), base, rate, tax, &LINE_TAX))
        }
        _ => None,
    };
    Taxed { amount, rate, tax, computed }
}

/// 扣除额; the outer `None` if it could not be read.
fn deduction(judge: &mut Judge<'_>, row: usize) -> Option<Option<Fen>> {
    if judge.draft.get((Field::LineDeduction, row)).is_none() {
        return Some(None);
    }
    if !judge.draft.get(Field::Remark).is_some_and(|remark| remark.contains(MARGIN)) {
        judge.report(&MARGIN_REMARK, (Field::LineDeduction, row));
    }
    judge.amount((Field::LineDeduction, row)).map(Some)
}

/// 数量 and 单价, and that they make the amount in `product`; the outer `None` if they could not be read.
fn pricing(judge: &mut Judge<'_>, row: usize, product: Field, rule: &'static Rule) -> Option<Option<Pricing>> {
    let given = [Field::LineQuantity, Field::LinePrice].map(|field| judge.draft.get((field, row)).is_some());
    let [quantity, price] = [Field::LineQuantity, Field::LinePrice].map(|field| judge.parse((field, row), &DECIMAL_FORM, Decimal8::parse));
    match given {
        [false, false] => return Some(None),
        [true, true] => {}
        [true, false] => {
            judge.report(&PRICE_AND_QUANTITY, (Field::LinePrice, row));
            return None;
        }
        [false, true] => {
            judge.report(&PRICE_AND_QUANTITY, (Field::LineQuantity, row));
            return None;
        }
    }
    let (quantity, price) = (quantity?, price?);
    let made = quantity.times(price);
    if let Some(stated) = judge.draft.get((product, row)).and_then(Fen::parse)
        && made.0.abs_diff(stated.0) > PRICE_TOLERANCE
    {
        judge.explain(rule, (product, row), format!("单价乘数量为{made}"), format!("price times quantity is {made}"));
    }
    Some(Some(Pricing { quantity, price }))
}

/// 优惠政策标识 and its text; the outer `None` if they could not be read.
fn preference(judge: &mut Judge<'_>, row: usize) -> Option<Option<String>> {
    let flag = match judge.draft.get((Field::LinePreferential, row)) {
        None => false,
        Some(_) => judge.parse((Field::LinePreferential, row), &FLAG_FORM, |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })?,
    };
    let text = judge.text((Field::LinePreference, row));
    if !flag && text.is_some() {
        judge.report(&PREFERENCE_ALONE, (Field::LinePreference, row));
        return None;
    }
    Some(flag.then(|| text.unwrap_or_default()))
}

/// 折扣行: right after the line it reduces, alike in name, tax class and rate, of the opposite sign, and not larger.
fn discounts(judge: &mut Judge<'_>, read: &[Read]) {
    for (row, line) in read.iter().enumerate() {
        match line.nature {
            Some(LineNature::Discounted) => {
                // A next line of unreadable nature has its own fault.
                let next = read.get(row + 1).map(|next| next.nature);
                if !matches!(next, Some(Some(LineNature::Discount) | None)) {
                    judge.report(&DISCOUNT_ABSENT, (Field::LineNature, row));
                }
            }
            Some(LineNature::Discount) => discount(judge, read, row, line),
            Some(LineNature::Normal | LineNature::RedList) | None => {}
        }
    }
}

fn discount(judge: &mut Judge<'_>, read: &[Read], row: usize, line: &Read) {
    let positive_expected = judge.red;
    if line.amount.is_some_and(|amount| amount == Fen::ZERO || (amount > Fen::ZERO) != positive_expected) {
        judge.report(&DISCOUNT_SIGN, (Field::LineAmount, row));
    }
    let before = match row.checked_sub(1).map(|before| (before, &read[before])) {
        Some((_, Read { nature: None, .. })) => return,
        Some((before, Read { nature: Some(LineNature::Discounted), .. })) => before,
        Some(_) | None => {
            judge.report(&DISCOUNT_PLACE, (Field::LineNature, row));
            return;
        }
    };
    for field in [Field::LineName, Field::LineTaxClass] {
        if judge.draft.get((field, row)) != judge.draft.get((field, before)) {
            judge.report(&DISCOUNT_UNLIKE, (field, row));
        }
    }
    if let (Some(rate), Some(other)) = (line.rate, read[before].rate)
        && rate != other
    {
        judge.report(&DISCOUNT_UNLIKE, (Field::LineRate, row));
    }
    if let (Some(discount), Some(reduced)) = (line.amount, read[before].amount)
        && discount.abs() > reduced.abs()
    {
        judge.report(&DISCOUNT_SIZE, (Field::LineAmount, row));
    }
}
