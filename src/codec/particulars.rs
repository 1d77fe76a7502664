//! The part of the rest that only some kinds carry, field by field in the manual's order. Writer and reader of a kind stand side by side.

use super::canonical::FACE_BYTES_MAX;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::domain::invoice::{Face, Particulars};
use crate::domain::kind::Kind;
use crate::domain::money::TaxRate;
use crate::domain::number::CheckCode;
use crate::domain::particulars::{
    AnyBuyer, BuyerIdentity, Electronic, Fee, Freight, Line, LineNature, MotorVehicle, NamedParty, Ordinary, Pricing, Rate, Roll, RollLine,
    SellerContact, Special, TaxOffice, TaxpayerBuyer, Treatment, VehiclePapers,
};
use crate::domain::taxpayer::{TaxpayerId, Vin};
use crate::limits::{FEES_MAX, LINES_MAX};

/// Writes what only this kind carries; the check code is on the face.
pub(super) fn write(writer: &mut Writer, particulars: &Particulars) {
    match particulars {
        Particulars::Special(special) => write_special(writer, special),
        Particulars::Freight(freight) => write_freight(writer, freight),
        Particulars::MotorVehicle(vehicle) => write_motor_vehicle(writer, vehicle),
        Particulars::Ordinary(ordinary) => {
            write_any_buyer(writer, &ordinary.buyer);
            write_contact(writer, &ordinary.seller_contact);
            writer.opt_text(ordinary.machine_number.as_deref()).opt_text(ordinary.cipher.as_deref()).list(&ordinary.lines, write_line);
        }
        Particulars::Electronic(electronic) => {
            write_any_buyer(writer, &electronic.buyer);
            write_contact(writer, &electronic.seller_contact);
            writer.text(&electronic.machine_number).opt_text(electronic.cipher.as_deref()).list(&electronic.lines, write_line);
        }
        Particulars::Roll(roll) => {
            writer.opt_text(roll.buyer_name.as_deref()).opt_text(roll.buyer_tax_id.as_ref().map(TaxpayerId::as_str));
            writer.text(&roll.machine_number).list(&roll.lines, write_roll_line);
        }
    }
}

/// Reads what only the face's kind carries.
pub(super) fn read(face: &Face, reader: &mut Reader<'_>) -> Result<Particulars, DecodeError> {
    Ok(match face.kind {
        Kind::Special => Particulars::Special(read_special(reader)?),
        Kind::Freight => Particulars::Freight(read_freight(reader)?),
        Kind::MotorVehicle => Particulars::MotorVehicle(Box::new(read_motor_vehicle(reader)?)),
        Kind::Ordinary => Particulars::Ordinary(Ordinary {
            check_code: check_code(face)?,
            buyer: read_any_buyer(reader)?,
            seller_contact: read_contact(reader)?,
            machine_number: reader.opt_string("machine number")?,
            cipher: reader.opt_string("cipher")?,
            lines: reader.list("lines", LINES_MAX, read_line)?,
        }),
        Kind::Electronic => Particulars::Electronic(Electronic {
            check_code: check_code(face)?,
            buyer: read_any_buyer(reader)?,
            seller_contact: read_contact(reader)?,
            machine_number: reader.string("machine number")?,
            cipher: reader.opt_string("cipher")?,
            lines: reader.list("lines", LINES_MAX, read_line)?,
        }),
        Kind::Roll => Particulars::Roll(Roll {
            check_code: check_code(face)?,
            buyer_name: reader.opt_string("buyer name")?,
            buyer_tax_id: reader.opt("buyer tax id", read_tax_id)?,
            machine_number: reader.string("machine number")?,
            lines: reader.list("lines", LINES_MAX, read_roll_line)?,
        }),
    })
}

/// A face that was decoded has the check code its kind needs; one made by hand may lack it.
fn check_code(face: &Face) -> Result<CheckCode, DecodeError> {
    face.check_code.ok_or(DecodeError { offset: FACE_BYTES_MAX, reason: DecodeReason::OutOfRange("check code of the face") })
}

fn read_tax_id(reader: &mut Reader<'_>) -> Result<TaxpayerId, DecodeError> {
    reader.value("tax id", |reader| reader.text("tax id"), TaxpayerId::parse)
}

fn write_special(writer: &mut Writer, special: &Special) {
    write_taxpayer_buyer(writer, &special.buyer);
    write_contact(writer, &special.seller_contact);
    writer.opt_text(special.machine_number.as_deref()).opt_text(special.cipher.as_deref()).list(&special.lines, write_line);
}

fn read_special(reader: &mut Reader<'_>) -> Result<Special, DecodeError> {
    Ok(Special {
        buyer: read_taxpayer_buyer(reader)?,
        seller_contact: read_contact(reader)?,
        machine_number: reader.opt_string("machine number")?,
        cipher: reader.opt_string("cipher")?,
        lines: reader.list("lines", LINES_MAX, read_line)?,
    })
}

fn write_freight(writer: &mut Writer, freight: &Freight) {
    write_taxpayer_buyer(writer, &freight.recipient);
    for party in [&freight.consignor, &freight.consignee] {
        writer.text(&party.name).opt_text(party.tax_id.as_ref().map(TaxpayerId::as_str));
    }
    writer.text(&freight.route).opt_text(freight.cargo.as_deref()).opt_text(freight.vehicle.as_deref()).opt_text(freight.tonnage.as_deref());
    writer.list(&freight.fees, |writer, fee| {
        writer.text(&fee.item).fen(fee.amount);
    });
    write_rate(writer, freight.rate);
    writer.text(&freight.tax_office.name).text(&freight.tax_office.code);
    writer.opt_text(freight.machine_number.as_deref()).opt_text(freight.cipher.as_deref());
}

fn read_freight(reader: &mut Reader<'_>) -> Result<Freight, DecodeError> {
    Ok(Freight {
        recipient: read_taxpayer_buyer(reader)?,
        consignor: NamedParty { name: reader.string("consignor name")?, tax_id: reader.opt("consignor tax id", read_tax_id)? },
        consignee: NamedParty { name: reader.string("consignee name")?, tax_id: reader.opt("consignee tax id", read_tax_id)? },
        route: reader.string("route")?,
        cargo: reader.opt_string("cargo")?,
        vehicle: reader.opt_string("carriage")?,
        tonnage: reader.opt_string("tonnage")?,
        fees: reader.list("fees", FEES_MAX, |reader| Ok(Fee { item: reader.string("fee item")?, amount: reader.fen("fee amount")? }))?,
        rate: read_rate(reader)?,
        tax_office: read_tax_office(reader)?,
        machine_number: reader.opt_string("machine number")?,
        cipher: reader.opt_string("cipher")?,
    })
}

fn write_motor_vehicle(writer: &mut Writer, vehicle: &MotorVehicle) {
    writer.text(&vehicle.buyer_name);
    writer.opt_text(vehicle.buyer_identity.document()).opt_text(vehicle.buyer_identity.tax_id().map(TaxpayerId::as_str));
    writer.text(&vehicle.vehicle_type).text(&vehicle.model).text(&vehicle.origin);
    match &vehicle.papers {
        VehiclePapers::Domestic { certificate } => writer.u8(1).text(certificate),
        VehiclePapers::Imported { import_certificate, inspection } => writer.u8(2).text(import_certificate).text(inspection),
    };
    writer.text(vehicle.vin.as_str()).opt_text(vehicle.engine_number.as_deref()).opt_text(vehicle.manufacturer.as_deref());
    writer.opt_text(vehicle.tonnage.as_deref()).opt_text(vehicle.seats.as_deref()).opt_text(vehicle.tax_receipt.as_deref());
    writer.text(&vehicle.seller_phone).text(&vehicle.seller_address).text(&vehicle.seller_bank).text(&vehicle.seller_account);
    write_rate(writer, vehicle.rate);
    writer.text(&vehicle.tax_office.name).text(&vehicle.tax_office.code);
    writer.opt_text(vehicle.machine_number.as_deref()).opt_text(vehicle.cipher.as_deref());
}

fn read_motor_vehicle(reader: &mut Reader<'_>) -> Result<MotorVehicle, DecodeError> {
    let buyer_name = reader.string("buyer name")?;
    let start = reader.offset();
    let buyer_identity = match (reader.opt_string("identity document")?, reader.opt("buyer tax id", read_tax_id)?) {
        (Some(document), None) => BuyerIdentity::Document(document),
        (None, Some(tax_id)) => BuyerIdentity::TaxId(tax_id),
        (Some(document), Some(tax_id)) => BuyerIdentity::Both(document, tax_id),
        (None, None) => return reader.fault(start, DecodeReason::Empty("buyer identity")),
    };
    Ok(MotorVehicle {
        buyer_name,
        buyer_identity,
        vehicle_type: reader.string("vehicle type")?,
        model: reader.string("model")?,
        origin: reader.string("origin")?,
        papers: match reader.value("papers", Reader::u8, |papers| matches!(papers, 1 | 2).then_some(papers))? {
            1 => VehiclePapers::Domestic { certificate: reader.string("certificate")? },
            _ => VehiclePapers::Imported { import_certificate: reader.string("import certificate")?, inspection: reader.string("inspection")? },
        },
        vin: reader.value("vin", |reader| reader.text("vin"), Vin::parse)?,
        engine_number: reader.opt_string("engine number")?,
        manufacturer: reader.opt_string("manufacturer")?,
        tonnage: reader.opt_string("tonnage")?,
        seats: reader.opt_string("seats")?,
        tax_receipt: reader.opt_string("tax receipt")?,
        seller_phone: reader.string("seller phone")?,
        seller_address: reader.string("seller address")?,
        seller_bank: reader.string("seller bank")?,
        seller_account: reader.string("seller account")?,
        rate: read_rate(reader)?,
        tax_office: read_tax_office(reader)?,
        machine_number: reader.opt_string("machine number")?,
        cipher: reader.opt_string("cipher")?,
    })
}

fn write_taxpayer_buyer(writer: &mut Writer, buyer: &TaxpayerBuyer) {
    writer.text(&buyer.name).text(buyer.tax_id.as_str()).opt_text(buyer.address_phone.as_deref()).opt_text(buyer.bank_account.as_deref());
}

fn read_taxpayer_buyer(reader: &mut Reader<'_>) -> Result<TaxpayerBuyer, DecodeError> {
    Ok(TaxpayerBuyer {
        name: reader.string("buyer name")?,
        tax_id: read_tax_id(reader)?,
        address_phone: reader.opt_string("buyer address and phone")?,
        bank_account: reader.opt_string("buyer bank and account")?,
    })
}

fn write_any_buyer(writer: &mut Writer, buyer: &AnyBuyer) {
    writer.text(&buyer.name).opt_text(buyer.tax_id.as_ref().map(TaxpayerId::as_str));
    writer.opt_text(buyer.address_phone.as_deref()).opt_text(buyer.bank_account.as_deref());
}

fn read_any_buyer(reader: &mut Reader<'_>) -> Result<AnyBuyer, DecodeError> {
    Ok(AnyBuyer {
        name: reader.string("buyer name")?,
        tax_id: reader.opt("buyer tax id", read_tax_id)?,
        address_phone: reader.opt_string("buyer address and phone")?,
        bank_account: reader.opt_string("buyer bank and account")?,
    })
}

fn write_contact(writer: &mut Writer, contact: &SellerContact) {
    writer.opt_text(contact.address_phone.as_deref()).opt_text(contact.bank_account.as_deref());
}

fn read_contact(reader: &mut Reader<'_>) -> Result<SellerContact, DecodeError> {
    Ok(SellerContact { address_phone: reader.opt_string("seller address and phone")?, bank_account: reader.opt_string("seller bank and account")? })
}

fn read_tax_office(reader: &mut Reader<'_>) -> Result<TaxOffice, DecodeError> {
    Ok(TaxOffice { name: reader.string("tax office name")?, code: reader.string("tax office code")? })
}

fn write_rate(writer: &mut Writer, rate: Rate) {
    writer.u32(rate.rate.0).u8(rate.treatment as u8);
}

fn read_rate(reader: &mut Reader<'_>) -> Result<Rate, DecodeError> {
    Ok(Rate {
        rate: reader.value("rate", Reader::u32, |rate| (rate < 100_000).then_some(TaxRate(rate)))?,
        treatment: reader.value("treatment", Reader::u8, Treatment::from_number)?,
    })
}

fn write_pricing(writer: &mut Writer, pricing: Option<Pricing>) {
    writer.opt(pricing, |writer, pricing| {
        writer.dec8(pricing.quantity).dec8(pricing.price);
    });
}

fn read_pricing(reader: &mut Reader<'_>) -> Result<Option<Pricing>, DecodeError> {
    reader.opt("pricing", |reader| Ok(Pricing { quantity: reader.dec8("quantity")?, price: reader.dec8("price")? }))
}

fn write_line(writer: &mut Writer, line: &Line) {
    writer.u8(line.nature as u8).text(&line.name).opt_text(line.specification.as_deref()).opt_text(line.unit.as_deref());
    write_pricing(writer, line.pricing);
    writer.fen(line.amount);
    write_rate(writer, line.rate);
    writer.fen(line.tax).opt_text(line.tax_class.as_deref()).opt_text(line.own_code.as_deref()).opt_text(line.preference.as_deref());
    writer.opt(line.deduction, |writer, deduction| {
        writer.fen(deduction);
    });
}

fn read_line(reader: &mut Reader<'_>) -> Result<Line, DecodeError> {
    Ok(Line {
        nature: reader.value("nature", Reader::u8, LineNature::from_number)?,
        name: reader.string("line name")?,
        specification: reader.opt_string("specification")?,
        unit: reader.opt_string("unit")?,
        pricing: read_pricing(reader)?,
        amount: reader.fen("line amount")?,
        rate: read_rate(reader)?,
        tax: reader.fen("line tax")?,
        tax_class: reader.opt_string("tax class")?,
        own_code: reader.opt_string("own code")?,
        // The one text that may be empty: the preference applies and nothing more is said of it.
        preference: reader.opt("preference", |reader| reader.text_or_empty("preference").map(str::to_owned))?,
        deduction: reader.opt("deduction", |reader| reader.fen("deduction"))?,
    })
}

fn write_roll_line(writer: &mut Writer, line: &RollLine) {
    writer.text(&line.item);
    write_pricing(writer, line.pricing);
    writer.fen(line.gross).fen(line.amount);
    write_rate(writer, line.rate);
    writer.fen(line.tax);
}

fn read_roll_line(reader: &mut Reader<'_>) -> Result<RollLine, DecodeError> {
    Ok(RollLine {
        item: reader.string("item")?,
        pricing: read_pricing(reader)?,
        gross: reader.fen("gross")?,
        amount: reader.fen("line amount")?,
        rate: read_rate(reader)?,
        tax: reader.fen("line tax")?,
    })
}
