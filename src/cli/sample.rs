//! `fapiao sample KIND`: drafts by seed, for trying out, benches and load tests. All names are invented; sums, rates and check digits are right.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Exit, Failure};
use crate::domain::kind::Kind;
use crate::domain::money::{Fen, TaxRate, upper_case};
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::{TaxpayerId, uscc_check_digit};
use crate::domain::time::Day;

/// A generator of numbers that is the same everywhere (splitmix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Seed(pub(super) u64);

impl Seed {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let bound = u32::try_from(choices.len()).unwrap_or(u32::MAX);
        choices[usize::try_from(self.below(bound)).unwrap_or_default()]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| self.pick(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])).collect()
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| self.pick(&['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'R', 'T', 'U', 'W', 'X', 'Y'])).collect()
    }
}

const PLACES: [(&str, &str); 8] = [
    ("北京", "110108"),
    ("上海", "310115"),
    ("杭州", "330106"),
    ("苏州", "320505"),
    ("广州", "440106"),
    ("成都", "510104"),
    ("武汉", "420102"),
    ("西安", "610113"),
];
const FIRST: [&str; 10] = ["晨岭", "青禾", "云桥", "金榛", "长堤", "启明", "澜沧", "松云", "远山", "望湖"];
const TRADES: [&str; 6] = ["科技有限公司", "商贸有限公司", "机电设备有限公司", "信息服务有限公司", "实业有限公司", "食品有限公司"];
const FAMILY: [&str; 12] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "沈", "顾"];
const GIVEN: [&str; 10] = ["立春", "雨水", "清明", "谷雨", "小满", "白露", "秋分", "霜降", "小雪", "冬至"];
const CITIES: [&str; 6] = ["北京", "上海", "广州", "郑州", "南昌", "长沙"];

/// Goods and services: name, unit, tax class, and whether the services' rate applies.
const GOODS: [(&str, &str, &str, bool); 8] = [
    ("*电子计算机*笔记本电脑 Pro 14", "台", "1090511010000000000", false),
    ("*计算机配套产品*USB-C 扩展坞", "个", "1090510010000000000", false),
    ("*纸制品*A4 复印纸", "包", "1060105040000000000", false),
    ("*糕点*点心礼盒", "盒", "1030208990000000000", false),
    ("*金属制品*螺栓 M8×25", "盒", "1080409000000000000", false),
    ("*信息技术服务*云主机租用", "月", "3040203000000000000", true),
    ("*餐饮服务*餐费", "次", "3070401000000000000", true),
    ("*研发和技术服务*技术咨询", "项", "3040603000000000000", true),
];

/// A draft of this type, as JSON: the same for the same arguments, accepted without a fault on its day. The code should be one of the type's.
pub fn draft(kind: Kind, seed: u64, id: InvoiceId, date: Day, seller: &TaxpayerId) -> String {
    let mut seed = Seed(seed);
    let (goods_rate, services_rate) = rates(date);
    let mut draft = Map::new();
    let mut set = |name: &str, value: Value| drop(draft.insert(name.to_owned(), value));
    set("kind", json!(kind.profile().code));
    set("code", json!(id.code.to_string()));
    set("number", json!(id.number.to_string()));
    set("date", json!(date.to_string()));
    set("drawer", json!(person(&mut seed)));
    set("machine_number", json!(format!("6610{}", seed.digits(8))));
    let (seller_name, seller_address) = company(&mut seed);
    let (buyer_name, buyer_address) = company(&mut seed);
    let buyer_id = credit_code(&mut seed);
    match kind {
        Kind::Special | Kind::Ordinary | Kind::Electronic => {
            let to_person = kind != Kind::Special && seed.below(3) == 0;
            let buyer = if to_person {
                json!({ "name": person(&mut seed) })
            } else {
                json!({ "name": buyer_name, "tax_id": buyer_id, "address_phone": buyer_address, "bank_account": bank(&mut seed) })
            };
            set("buyer", buyer);
            set(
                "seller",
                json!({ "name": seller_name, "tax_id": seller.as_str(), "address_phone": seller_address, "bank_account": bank(&mut seed) }),
            );
            set("payee", json!(person(&mut seed)));
            set("reviewer", json!(person(&mut seed)));
            if seed.below(2) == 0 {
                set("remark", json!(format!("订单号 SO-{}", seed.digits(10))));
            }
        }
        Kind::Freight => {
            set("buyer", json!({ "name": buyer_name, "tax_id": buyer_id }));
            set("seller", json!({ "name": seller_name, "tax_id": seller.as_str() }));
            set("consignor", json!({ "name": company(&mut seed).0 }));
            set("consignee", json!({ "name": company(&mut seed).0, "tax_id": credit_code(&mut seed) }));
            set("route", json!(format!("{}—{}", seed.pick(&CITIES), seed.pick(&CITIES))));
            set("cargo", json!(format!("百货 {} 箱", 1 + seed.below(900))));
            set("carriage", json!(format!("厢式货车 粤A·{}", seed.digits(5))));
            set("tax_office", json!({ "name": "广州市黄埔区税务局", "code": "144011200" }));
        }
        Kind::MotorVehicle => {
            set("printed_code", json!(id.code.to_string()));
            set("printed_number", json!(id.number.to_string()));
            set("buyer", json!({ "name": buyer_name, "tax_id": buyer_id }));
            let (phone, account) = (format!("027-8300{}", seed.digits(4)), seed.digits(15));
            set(
                "seller",
                json!({ "name": seller_name, "tax_id": seller.as_str(), "phone": phone, "address": seller_address, "bank": "模拟银行武汉支行", "account": account }),
            );
            set(
                "vehicle",
                json!({
                    "type": "轿车", "model": format!("云雀牌YQ7{}A", seed.digits(3)), "origin": "湖北省武汉市", "vin": vin(&mut seed), "engine_number": seed.letters(4) + &seed.digits(6),
                    "certificate": format!("WAC{}", seed.digits(12)), "manufacturer": "云雀汽车股份有限公司", "seats": "5",
                }),
            );
            set("tax_office", json!({ "name": "武汉市硚口区税务局", "code": "142010400" }));
        }
        Kind::Roll => {
            if seed.below(2) == 0 {
                set("buyer", json!({ "name": buyer_name, "tax_id": buyer_id }));
            }
            set("seller", json!({ "name": seller_name, "tax_id": seller.as_str() }));
        }
    }

    let (mut amount, mut tax) = (Fen::ZERO, Fen::ZERO);
    match kind {
        Kind::Special | Kind::Ordinary | Kind::Electronic | Kind::Roll => {
            let mut lines = Vec::new();
            for _ in 0..1 + seed.below(5) {
                let (name, unit, tax_class, service) = seed.pick(&GOODS);
                let rate = if service { services_rate } else { goods_rate };
                let (quantity, price) = (1 + i64::from(seed.below(20)), Fen(100 + i64::from(seed.below(500_000))));
                let product = Fen(quantity * price.0);
                let (net, line_tax) = match kind {
                    Kind::Roll => {
                        // Prices on a roll include tax: the net amount is gross / (1 + rate), rounded half up.
                        let parts = 100_000 + i64::from(rate.0);
                        let net = Fen((product.0 * 100_000 + parts / 2) / parts);
                        (net, product - net)
                    }
                    Kind::Special | Kind::Freight | Kind::MotorVehicle | Kind::Ordinary | Kind::Electronic => (product, product.tax_at(rate)),
                };
                let mut line = json!({
                    "name": name, "quantity": quantity.to_string(), "price": price.to_string(), "amount": net.to_string(), "rate": rate.to_string(),
                    "tax": line_tax.to_string(),
                });
                if kind == Kind::Roll {
                    line["gross"] = json!(product.to_string());
                } else {
                    line["unit"] = json!(unit);
                    line["tax_class"] = json!(tax_class);
                }
                lines.push(line);
                (amount, tax) = (amount + net, tax + line_tax);
            }
            set("lines", Value::Array(lines));
        }
        Kind::Freight => {
            let fees: Vec<(&str, Fen)> = ["运费", "装卸费", "保价费"]
                .into_iter()
                .take(1 + seed.pick(&[0, 1, 2]))
                .map(|item| (item, Fen(10_000 + i64::from(seed.below(900_000)))))
                .collect();
            amount = fees.iter().map(|(_, amount)| *amount).sum();
            let rate = transport_rate(date);
            tax = amount.tax_at(rate);
            set("rate", json!(rate.to_string()));
            set("fees", fees.iter().map(|(item, amount)| json!({ "item": item, "amount": amount.to_string() })).collect());
        }
        Kind::MotorVehicle => {
            amount = Fen(5_000_000 + i64::from(seed.below(40_000_000)));
            tax = amount.tax_at(goods_rate);
            set("rate", json!(goods_rate.to_string()));
        }
    }
    set("amount", json!(amount.to_string()));
    set("tax", json!(tax.to_string()));
    set("total", json!((amount + tax).to_string()));
    set("total_upper", json!(upper_case(amount + tax)));
    Value::Object(draft).to_string()
}

/// The normal rates of goods and of services on this day.
fn rates(date: Day) -> (TaxRate, TaxRate) {
    let goods = match date.yyyymmdd() {
        ..20180501 => 17_000,
        20180501..20190401 => 16_000,
        20190401.. => 13_000,
    };
    (TaxRate(goods), TaxRate(6_000))
}

/// The rate of transport on this day.
fn transport_rate(date: Day) -> TaxRate {
    TaxRate(match date.yyyymmdd() {
        ..20180501 => 11_000,
        20180501..20190401 => 10_000,
        20190401.. => 9_000,
    })
}

fn person(seed: &mut Seed) -> String {
    format!("{}{}", seed.pick(&FAMILY), seed.pick(&GIVEN))
}

/// A company's name, and its address with a phone number.
fn company(seed: &mut Seed) -> (String, String) {
    let place = seed.pick(&PLACES).0;
    let name = format!("{place}{}{}", seed.pick(&FIRST), seed.pick(&TRADES));
    (name, format!("{place}市{}路{}号 0{}-{}", seed.pick(&FIRST), 1 + seed.below(300), 20 + seed.below(9), seed.digits(8)))
}

fn bank(seed: &mut Seed) -> String {
    format!("模拟银行{}支行 {}", seed.pick(&FIRST), seed.digits(15))
}

/// A unified social credit code of an invented company, check digit included.
fn credit_code(seed: &mut Seed) -> String {
    let body = format!("91{}MA{}{}", seed.pick(&PLACES).1, seed.digits(4), seed.letters(3));
    let check = uscc_check_digit(&body).unwrap_or_default();
    format!("{body}{check}")
}

/// A VIN with its check digit, found by trying the eleven.
fn vin(seed: &mut Seed) -> String {
    let (head, tail) = (format!("LYK{}{}", seed.letters(2), seed.digits(3)), format!("J{}{}", seed.letters(1), seed.digits(6)));
    let candidates = "0123456789X".chars().map(|check| format!("{head}{check}{tail}"));
    candidates.into_iter().find(|vin| crate::domain::taxpayer::Vin::parse(vin).is_some_and(|vin| vin.check_digit())).unwrap_or_default()
}

/// `fapiao sample`
#[derive(Args)]
pub(super) struct Sample {
    /// 01 02 03 04 10 or 11
    kind: String,
    /// Seed: the same seed gives the same drafts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many, with consecutive numbers
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Invoice code; should be one of the type's. Default: one that is
    #[arg(long)]
    code: Option<String>,
    /// First number
    #[arg(long, default_value = "00000001")]
    first: String,
    /// Date of issue; default: today
    #[arg(long)]
    date: Option<String>,
    /// Seller's taxpayer id
    #[arg(long, default_value = DEFAULT_SELLER)]
    seller: String,
}

/// An invented company with a right check digit.
pub(super) const DEFAULT_SELLER: &str = "91330106MA27QH5C5E";

impl Sample {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let usage = |what: &str| Failure::Usage(what.to_owned());
        let kind = Kind::from_code(&self.kind).ok_or_else(|| usage("KIND is one of 01 02 03 04 10 11"))?;
        let code = self.code.as_deref().unwrap_or_else(|| default_code(kind));
        let code = InvoiceCode::parse(code).ok_or_else(|| usage("--code: an invoice code has 10 or 12 digits"))?;
        let first = InvoiceNumber::parse(&self.first).ok_or_else(|| usage("--first: an invoice number has 8 digits, not all zero"))?;
        let seller = TaxpayerId::parse(&self.seller).ok_or_else(|| usage("--seller is no taxpayer id"))?;
        let date = match &self.date {
            Some(text) => Day::parse(text).ok_or_else(|| usage("--date is YYYY-MM-DD or YYYYMMDD"))?,
            None => crate::engine::today(),
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        for offset in 0..self.count {
            let number = first.ordinal().checked_add(offset).and_then(InvoiceNumber::from_ordinal);
            let number = number.ok_or_else(|| usage("--count goes beyond the last number"))?;
            let seed = self.seed.wrapping_add(u64::from(offset));
            writeln!(out, "{}", draft(kind, seed, InvoiceId { code, number }, date, &seller))?;
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// A code of this type, of Zhejiang.
pub(super) fn default_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Special => "3300261130",
        Kind::Freight => "3300151720",
        Kind::MotorVehicle => "133002622001",
        Kind::Ordinary => "033002600104",
        Kind::Electronic => "033002600111",
        Kind::Roll => "033002600106",
    }
}
