//! Chapter 03: buyer, seller and the other parties.

use super::judge::Judge;
use super::{BUYER_TAX_ID, ISSUER_HALF, ISSUER_KEY_FORM, ISSUER_SIGNATURE_FORM, TAX_ID_CHECK, TAX_ID_FORM};
use crate::domain::draft::fields::Field;
use crate::domain::invoice::IssuerSignature;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// A party's tax id; one that fails its check digit warns.
pub(super) fn tax_id(judge: &mut Judge<'_>, field: Field) -> Option<TaxpayerId> {
    let id = judge.parse(field, &TAX_ID_FORM, TaxpayerId::parse)?;
    if id.check_digit() == Some(false) {
        judge.report(&TAX_ID_CHECK, field);
    }
    Some(id)
}

/// Warns if a buyer whose name is an enterprise's states no tax id. Names are all there is to go by.
pub(super) fn enterprise_buyer(judge: &mut Judge<'_>) {
    const ENTERPRISES: [&str; 5] = ["公司", "企业", "集团", "合作社", "事务所"];
    let date = judge.draft.get(Field::Date).and_then(Day::parse);
    let name = judge.draft.get(Field::BuyerName).unwrap_or_default();
    let enterprise = ENTERPRISES.iter().any(|word| name.contains(word));
    if enterprise && judge.draft.get(Field::BuyerTaxId).is_none() && date.is_some_and(|date| BUYER_TAX_ID.in_force(date)) {
        judge.report(&BUYER_TAX_ID, Field::BuyerTaxId);
    }
}

/// The issuer's signature, if the draft has one; `None` if it cannot be read. Whether it holds is decided where the issuer's key is known.
pub(super) fn issuer(judge: &mut Judge<'_>) -> Option<Option<IssuerSignature>> {
    let key_id = judge.parse(Field::IssuerKeyId, &ISSUER_KEY_FORM, hex);
    let signature = judge.parse(Field::IssuerSignature, &ISSUER_SIGNATURE_FORM, hex);
    match [Field::IssuerKeyId, Field::IssuerSignature].map(|field| judge.draft.get(field).is_some()) {
        [false, false] => Some(None),
        [true, true] => Some(Some(IssuerSignature { key_id: key_id?, signature: signature? })),
        [has_key_id, _] => {
            judge.report(&ISSUER_HALF, if has_key_id { Field::IssuerSignature } else { Field::IssuerKeyId });
            None
        }
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let exact = text.len() == 2 * N && data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
    exact.then_some(bytes)
}
