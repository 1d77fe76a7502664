//! Chapter 08: one motor vehicle, its papers and its buyer.

use super::judge::Judge;
use super::{BUYER_IDENTITY, PAPERS_BOTH, PAPERS_HALF, PAPERS_NONE, VIN_CHECK, VIN_FORM};
use crate::domain::draft::fields::Field;
use crate::domain::particulars::{BuyerIdentity, MotorVehicle, Rate, TaxOffice, VehiclePapers};
use crate::domain::taxpayer::{TaxpayerId, Vin};

/// Everything a motor-vehicle invoice carries; `None` if a part could not be read.
pub(super) fn vehicle(
    judge: &mut Judge<'_>,
    buyer_id: Option<TaxpayerId>,
    rate: Option<Rate>,
    tax_office: Option<TaxOffice>,
) -> Option<MotorVehicle> {
    let vin = judge.parse(Field::Vin, &VIN_FORM, Vin::parse);
    if vin.as_ref().is_some_and(|vin| !vin.check_digit()) {
        judge.report(&VIN_CHECK, Field::Vin);
    }
    let papers = papers(judge);
    let identity = match (judge.text(Field::BuyerIdCard), buyer_id) {
        (Some(document), Some(tax_id)) => Some(BuyerIdentity::Both(document, tax_id)),
        (None, Some(tax_id)) => Some(BuyerIdentity::TaxId(tax_id)),
        // A tax id that could not be read has its own fault.
        (Some(document), None) => Some(BuyerIdentity::Document(document)),
        (None, None) => {
            if judge.draft.get(Field::BuyerTaxId).is_none() {
                judge.report(&BUYER_IDENTITY, Field::BuyerIdCard);
            }
            None
        }
    };
    Some(MotorVehicle {
        buyer_name: judge.text(Field::BuyerName)?,
        buyer_identity: identity?,
        vehicle_type: judge.text(Field::VehicleType)?,
        model: judge.text(Field::VehicleModel)?,
        origin: judge.text(Field::VehicleOrigin)?,
        papers: papers?,
        vin: vin?,
        engine_number: judge.text(Field::EngineNumber),
        manufacturer: judge.text(Field::Manufacturer),
        tonnage: judge.text(Field::Tonnage),
        seats: judge.text(Field::Seats),
        tax_receipt: judge.text(Field::TaxReceipt),
        seller_phone: judge.text(Field::SellerPhone)?,
        seller_address: judge.text(Field::SellerAddress)?,
        seller_bank: judge.text(Field::SellerBank)?,
        seller_account: judge.text(Field::SellerAccount)?,
        rate: rate?,
        tax_office: tax_office?,
        machine_number: judge.text(Field::MachineNumber),
        cipher: judge.text(Field::Cipher),
    })
}

/// 合格证号, or 进口证明书号 and 商检单号: one or the other.
fn papers(judge: &mut Judge<'_>) -> Option<VehiclePapers> {
    let (certificate, import, inspection) = (judge.text(Field::Certificate), judge.text(Field::ImportCertificate), judge.text(Field::Inspection));
    let (rule, at) = match (certificate, import, inspection) {
        (Some(certificate), None, None) => return Some(VehiclePapers::Domestic { certificate }),
        (None, Some(import_certificate), Some(inspection)) => return Some(VehiclePapers::Imported { import_certificate, inspection }),
        (None, None, None) => (&PAPERS_NONE, Field::Certificate),
        (None, Some(_), None) => (&PAPERS_HALF, Field::Inspection),
        (None, None, Some(_)) => (&PAPERS_HALF, Field::ImportCertificate),
        (Some(_), _, _) => (&PAPERS_BOTH, Field::Certificate),
    };
    judge.report(rule, at);
    None
}
