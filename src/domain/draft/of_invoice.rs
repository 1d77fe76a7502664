//! The draft that says what an invoice says, under the fields' own names: accepted again, it gives the same invoice.

use super::fields::Field;
use super::{At, Draft};
use crate::domain::invoice::{Invoice, Particulars, RedBasis};
use crate::domain::particulars::{
    AnyBuyer, Line, LineNature, MotorVehicle, Pricing, Rate, RollLine, SellerContact, TaxOffice, Treatment, VehiclePapers,
};

impl Draft {
    /// The draft of this invoice. What is checked and not kept (capital total, printed code and number) is not in it.
    pub fn of(invoice: &Invoice) -> Draft {
        let mut draft = Draft::with_capacity(1024);
        let kind = invoice.kind();
        draft.say(Field::Kind, kind.profile().code);
        draft.say(Field::Code, &invoice.id.code.to_string());
        draft.say(Field::Number, &invoice.id.number.to_string());
        draft.say(Field::Date, &invoice.date.to_string());
        draft.say_if(Field::CheckCode, invoice.check_code().map(|code| code.to_string()).as_deref());
        draft.say_if(Field::BuyerName, invoice.buyer_name());
        draft.say_if(Field::BuyerTaxId, invoice.buyer_id().map(|id| id.as_str()));
        draft.say(Field::SellerName, &invoice.seller_name);
        draft.say(Field::SellerTaxId, invoice.seller_id.as_str());
        draft.say(Field::Amount, &invoice.totals.amount.to_string());
        draft.say(Field::Tax, &invoice.totals.tax().to_string());
        draft.say(Field::Total, &invoice.totals.total.to_string());
        draft.say_if(Field::Remark, invoice.remark.as_deref());
        draft.say_if(Field::Payee, invoice.payee.as_deref());
        draft.say_if(Field::Reviewer, invoice.reviewer.as_deref());
        draft.say(Field::Drawer, &invoice.drawer);
        if let Some(red) = &invoice.red {
            draft.say(Field::OriginalCode, &red.original.code.to_string());
            draft.say(Field::OriginalNumber, &red.original.number.to_string());
            match &red.basis {
                RedBasis::Notice(number) => draft.say(Field::NoticeNumber, number),
                RedBasis::Original => {}
            }
            draft.say_if(Field::RedReason, red.reason.map(|reason| (reason as u8).to_string()).as_deref());
        }
        match &invoice.particulars {
            Particulars::Special(special) => {
                draft.say_if(Field::BuyerAddressPhone, special.buyer.address_phone.as_deref());
                draft.say_if(Field::BuyerBankAccount, special.buyer.bank_account.as_deref());
                draft.say_contact(&special.seller_contact);
                draft.say_device(special.machine_number.as_deref(), special.cipher.as_deref());
                special.lines.iter().for_each(|line| draft.say_line(line));
            }
            Particulars::Freight(freight) => {
                draft.say_if(Field::BuyerAddressPhone, freight.recipient.address_phone.as_deref());
                draft.say_if(Field::BuyerBankAccount, freight.recipient.bank_account.as_deref());
                draft.say(Field::ConsignorName, &freight.consignor.name);
                draft.say_if(Field::ConsignorTaxId, freight.consignor.tax_id.as_ref().map(|id| id.as_str()));
                draft.say(Field::ConsigneeName, &freight.consignee.name);
                draft.say_if(Field::ConsigneeTaxId, freight.consignee.tax_id.as_ref().map(|id| id.as_str()));
                draft.say(Field::Route, &freight.route);
                draft.say_if(Field::Cargo, freight.cargo.as_deref());
                draft.say_if(Field::Carriage, freight.vehicle.as_deref());
                draft.say_if(Field::Tonnage, freight.tonnage.as_deref());
                draft.say_rate(Field::Rate, Field::Treatment, 0, freight.rate);
                draft.say_office(&freight.tax_office);
                draft.say_device(freight.machine_number.as_deref(), freight.cipher.as_deref());
                for fee in &freight.fees {
                    let Some(row) = draft.begin_fee() else { break };
                    draft.put(At { field: Field::FeeItem, row }, 0, &fee.item);
                    draft.put(At { field: Field::FeeAmount, row }, 0, &fee.amount.to_string());
                }
            }
            Particulars::MotorVehicle(vehicle) => draft.say_vehicle(vehicle, invoice),
            Particulars::Ordinary(ordinary) => {
                draft.say_buyer(&ordinary.buyer);
                draft.say_contact(&ordinary.seller_contact);
                draft.say_device(ordinary.machine_number.as_deref(), ordinary.cipher.as_deref());
                ordinary.lines.iter().for_each(|line| draft.say_line(line));
            }
            Particulars::Electronic(electronic) => {
                draft.say_buyer(&electronic.buyer);
                draft.say_contact(&electronic.seller_contact);
                draft.say_device(Some(&electronic.machine_number), electronic.cipher.as_deref());
                electronic.lines.iter().for_each(|line| draft.say_line(line));
            }
            Particulars::Roll(roll) => {
                draft.say_device(Some(&roll.machine_number), None);
                roll.lines.iter().for_each(|line| draft.say_roll_line(line));
            }
        }
        draft
    }

    fn say(&mut self, field: Field, text: &str) {
        self.put(field.into(), 0, text);
    }

    fn say_if(&mut self, field: Field, text: Option<&str>) {
        if let Some(text) = text {
            self.say(field, text);
        }
    }

    fn say_rate(&mut self, rate: Field, treatment: Field, row: usize, value: Rate) {
        self.put(At { field: rate, row }, 0, &value.rate.to_string());
        if value.treatment != Treatment::Normal {
            self.put(At { field: treatment, row }, 0, &(value.treatment as u8).to_string());
        }
    }

    fn say_contact(&mut self, contact: &SellerContact) {
        self.say_if(Field::SellerAddressPhone, contact.address_phone.as_deref());
        self.say_if(Field::SellerBankAccount, contact.bank_account.as_deref());
    }

    fn say_buyer(&mut self, buyer: &AnyBuyer) {
        self.say_if(Field::BuyerAddressPhone, buyer.address_phone.as_deref());
        self.say_if(Field::BuyerBankAccount, buyer.bank_account.as_deref());
    }

    fn say_office(&mut self, office: &TaxOffice) {
        self.say(Field::OfficeName, &office.name);
        self.say(Field::OfficeCode, &office.code);
    }

    fn say_device(&mut self, machine_number: Option<&str>, cipher: Option<&str>) {
        self.say_if(Field::MachineNumber, machine_number);
        self.say_if(Field::Cipher, cipher);
    }

    fn say_vehicle(&mut self, vehicle: &MotorVehicle, invoice: &Invoice) {
        // A motor-vehicle draft must repeat what its printer printed; accepted, they were equal.
        self.say(Field::PrintedCode, &invoice.id.code.to_string());
        self.say(Field::PrintedNumber, &invoice.id.number.to_string());
        self.say_if(Field::BuyerIdCard, vehicle.buyer_identity.document());
        self.say(Field::VehicleType, &vehicle.vehicle_type);
        self.say(Field::VehicleModel, &vehicle.model);
        self.say(Field::VehicleOrigin, &vehicle.origin);
        match &vehicle.papers {
            VehiclePapers::Domestic { certificate } => self.say(Field::Certificate, certificate),
            VehiclePapers::Imported { import_certificate, inspection } => {
                self.say(Field::ImportCertificate, import_certificate);
                self.say(Field::Inspection, inspection);
            }
        }
        self.say(Field::Vin, vehicle.vin.as_str());
        self.say_if(Field::EngineNumber, vehicle.engine_number.as_deref());
        self.say_if(Field::Manufacturer, vehicle.manufacturer.as_deref());
        self.say_if(Field::Tonnage, vehicle.tonnage.as_deref());
        self.say_if(Field::Seats, vehicle.seats.as_deref());
        self.say_if(Field::TaxReceipt, vehicle.tax_receipt.as_deref());
        self.say(Field::SellerPhone, &vehicle.seller_phone);
        self.say(Field::SellerAddress, &vehicle.seller_address);
        self.say(Field::SellerBank, &vehicle.seller_bank);
        self.say(Field::SellerAccount, &vehicle.seller_account);
        self.say_rate(Field::Rate, Field::Treatment, 0, vehicle.rate);
        self.say_office(&vehicle.tax_office);
        self.say_device(vehicle.machine_number.as_deref(), vehicle.cipher.as_deref());
    }

    fn say_line(&mut self, line: &Line) {
        let Some(row) = self.begin_line() else { return };
        let mut say = |field, text: &str| self.put(At { field, row }, 0, text);
        if line.nature != LineNature::Normal {
            say(Field::LineNature, &(line.nature as u8).to_string());
        }
        say(Field::LineName, &line.name);
        say(Field::LineSpecification, line.specification.as_deref().unwrap_or_default());
        say(Field::LineUnit, line.unit.as_deref().unwrap_or_default());
        say(Field::LineAmount, &line.amount.to_string());
        say(Field::LineTax, &line.tax.to_string());
        say(Field::LineTaxClass, line.tax_class.as_deref().unwrap_or_default());
        say(Field::LineOwnCode, line.own_code.as_deref().unwrap_or_default());
        if let Some(preference) = &line.preference {
            say(Field::LinePreferential, "true");
            say(Field::LinePreference, preference);
        }
        if let Some(deduction) = line.deduction {
            say(Field::LineDeduction, &deduction.to_string());
        }
        self.say_pricing(row, line.pricing);
        self.say_rate(Field::LineRate, Field::LineTreatment, row, line.rate);
    }

    fn say_roll_line(&mut self, line: &RollLine) {
        let Some(row) = self.begin_line() else { return };
        let mut say = |field, text: &str| self.put(At { field, row }, 0, text);
        say(Field::LineName, &line.item);
        say(Field::LineGross, &line.gross.to_string());
        say(Field::LineAmount, &line.amount.to_string());
        say(Field::LineTax, &line.tax.to_string());
        self.say_pricing(row, line.pricing);
        self.say_rate(Field::LineRate, Field::LineTreatment, row, line.rate);
    }

    fn say_pricing(&mut self, row: usize, pricing: Option<Pricing>) {
        if let Some(Pricing { quantity, price }) = pricing {
            self.put(At { field: Field::LineQuantity, row }, 0, &quantity.to_string());
            self.put(At { field: Field::LinePrice, row }, 0, &price.to_string());
        }
    }
}
