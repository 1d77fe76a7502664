//! `fapiao demo`: everything that the engine does, on a fresh ledger, with what was expected beside what came out.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::configuration::{Configuration, Format, Level, Log};
use super::open::passphrase_beside;
use super::serve::{Front, commits, start_logging};
use super::{Exit, Failure, sample};
use crate::channel::json::{draft_of, parse_draft};
use crate::channel::{keys, proof, qr, question, receipt};
use crate::crypto::keyfile::KdfCost;
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::caller::{Caller, Role};
use crate::domain::draft::Draft;
use crate::domain::draft::fields::Field;
use crate::domain::invoice::{Face, Totals};
use crate::domain::kind::{Factor, Kind};
use crate::domain::money::Fen;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;
use crate::engine::{Config, Engine, NewCaller, Submitted, Territory, random, write_private};
use crate::ledger::Refusal;
use crate::metrics::Metrics;
use crate::verify::query::{Question, Typed};
use crate::verify::verdict::Verdict;

/// `fapiao demo`
#[derive(Args)]
pub(super) struct Demo {
    /// Data directory, new or empty; default: a fresh one under the system's temporary directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to serve afterwards; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", conflicts_with = "once")]
    listen: SocketAddr,
    /// Write what was made, as JSON, once requests are answered: address, tokens, samples with codes, QR texts, drafts and expected verdicts
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit when done, rather than serve
    #[arg(long)]
    once: bool,
}

/// The drafts that the demo issues, in the English and in the pinyin shape, blue ones before the reds against them.
macro_rules! fixtures {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../fixtures/drafts/", $name, ".json")))),*] };
}

const DRAFTS: [(&str, &str); 20] = fixtures![
    "01-multi-line",
    "01-pinyin",
    "01-discount",
    "01-list",
    "02-multi-fee",
    "02-pinyin",
    "03-domestic",
    "03-imported",
    "03-pinyin",
    "04-discount",
    "04-pinyin",
    "04-mixed-rates",
    "10-multi-line",
    "10-pinyin",
    "10-mixed-text",
    "11-multi-line",
    "11-pinyin",
    "11-single",
    "01-red-full",
    "10-red-partial",
];

/// The published texts of printed QR codes, imported as historic invoices: type, code, number, amount, date, check code, CRC, and what is to be said of it.
const PRINTED: [(&str, Option<bool>); 9] = [
    ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,", Some(true)),
    ("01,01,1200154130,03630024,94339.62,20160621,,9335,", Some(true)),
    ("01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,DBFE,", Some(true)),
    ("01,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,", Some(true)),
    ("01,01,3200204130,09264957,34192.04,20210220,,5878,", Some(true)),
    ("01,01,3100204130,06039254,5015.00,20210315,,D2,", Some(true)),
    ("01,10,011001700112,10113872,32,20180224,17602940807063740560,0819,", Some(true)),
    ("01,10,031002100411,25096213,6.56,20210903,11631437361999467829,F168,", Some(true)),
    ("01,10,033001600211,73843482,28.30,20170628,61180471846138424764,9F5B,", Some(false)),
];

/// One issued invoice and what is to be said of it in the end.
struct Issued {
    name: String,
    face: Face,
    draft: Value,
    signed_qr: String,
    classic_qr: Option<String>,
    expect: Verdict,
}

/// Prints each step with its outcome and counts what did not come out as expected.
struct Stage {
    engine: Engine,
    wrong: u32,
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let directory = match self.data {
            Some(directory) => directory,
            None => std::env::temp_dir().join(format!("fapiao-demo-{}", data_encoding::HEXLOWER.encode(&random::<4>()?))),
        };
        let mut configuration = Configuration::default();
        configuration.http.listen = self.listen;
        configuration.log = Log { level: Level::Warn, format: Format::Text, ..configuration.log };
        start_logging(&configuration);
        // Before anything is signed, because the address is in the signed codes.
        let front = if self.once { None } else { Some(Front::open(&configuration)?) };
        let host = front.as_ref().map_or(self.listen, Front::address).to_string();
        let metrics = Arc::new(Metrics::new());
        let passphrase = Zeroizing::new(data_encoding::HEXLOWER.encode(&random::<16>()?));
        // The demo's passphrase lies beside its key, so deriving the key from it need not be slow; its samples are years old.
        let observer = Some(commits(&metrics));
        let config = Config { kdf: KdfCost::TRIVIAL, days_back: 36_500, host, observer, ..Config::new(&directory, Some(passphrase.clone())) };
        let engine = Engine::create(config)?;
        write_private(&passphrase_beside(&directory), passphrase.as_bytes())?;
        keys::publish(&engine)?;
        println!("fapiao demo  ledger {}  in {}", engine.ledger().origin(), directory.display());

        let mut stage = Stage { engine, wrong: 0 };
        let mut issued = stage.issue_samples()?;
        stage.red_states(&mut issued);
        stage.verify_all(&issued)?;
        stage.wrong_factors(&issued)?;
        stage.forgeries(&issued)?;
        issued.push(stage.void()?);
        stage.allotments(&issued)?;
        stage.printed_codes()?;
        stage.proof(&issued)?;
        let tokens = stage.callers(&issued)?;
        stage.fsck()?;

        let Stage { engine, wrong } = stage;
        let ready = |address: Option<SocketAddr>| -> Result<(), Failure> {
            if let Some(path) = &self.json {
                write_for_owner(path, &format!("{:#}\n", made(address, &tokens, &issued)))?;
                println!("\nwrote {}", path.display());
            }
            match address {
                Some(address) => println!("\n服务 serving at http://{address}  (Ctrl-C ends it)\n  curl http://{address}/openapi.json"),
                None => {
                    println!("\nLook further:  fapiao verify --data {0} --qr '…'   fapiao ledger fsck --data {0}", directory.display());
                }
            }
            Ok(())
        };
        if wrong > 0 {
            ready(None)?;
            return Ok(Exit::Other);
        }
        match front {
            Some(front) => front.serve(engine, &configuration, metrics, |address| ready(Some(address))),
            None => ready(None).map(|()| Exit::Fine),
        }
    }
}

/// A token for each role that has one, by the role's name.
type Tokens = BTreeMap<&'static str, Zeroizing<String>>;

/// Writes a file with tokens in it, in place of one that is there: only its owner may read it, and whoever waits for it finds all of it.
fn write_for_owner(path: &Path, text: &str) -> Result<(), Failure> {
    let is_special = std::fs::metadata(path).is_ok_and(|there| !there.is_file());
    let begun = if is_special { path.to_owned() } else { path.with_added_extension("new") };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
    file.write_all(text.as_bytes())?;
    if !is_special {
        std::fs::rename(&begun, path)?;
    }
    Ok(())
}

/// What `--json` writes.
fn made(address: Option<SocketAddr>, tokens: &Tokens, issued: &[Issued]) -> Value {
    let samples: Vec<Value> = issued
        .iter()
        .map(|sample| {
            json!({
                "kind": sample.face.kind.profile().code,
                "code": sample.face.id.code.to_string(),
                "number": sample.face.id.number.to_string(),
                "date": sample.face.date.to_string(),
                "amount": sample.face.totals.amount.to_string(),
                "check": sample.face.check_code.map_or_else(String::new, |check| check.to_string()),
                "signed_qr": sample.signed_qr,
                "classic_qr": sample.classic_qr,
                "expect": sample.expect.number(),
                "draft": sample.draft,
            })
        })
        .collect();
    let tokens: BTreeMap<&str, &str> = tokens.iter().map(|(role, token)| (*role, token.as_str())).collect();
    json!({ "url": address.map(|address| format!("http://{address}")), "sms_url": null, "tokens": tokens, "samples": samples, "draws": [] })
}

/// The typed question that the holder of this paper asks.
fn typed(face: &Face) -> Typed {
    let by_amount = face.kind.profile().factor == Factor::Amount;
    Typed {
        code: face.id.code.to_string(),
        number: face.id.number.to_string(),
        date: Some(face.date.to_string()),
        amount: by_amount.then(|| face.totals.amount.to_string()),
        check: face.check_code.filter(|_| !by_amount).map(|check| check.last_six()),
        ..Typed::default()
    }
}

fn section(title: &str) {
    println!("\n== {title}");
}

impl Stage {
    /// Prints one step; `as_expected` decides the mark before it.
    fn step(&mut self, as_expected: bool, text: &str) {
        println!("  {} {text}", if as_expected { "ok" } else { "WRONG" });
        self.wrong += u32::from(!as_expected);
    }

    fn ask(&mut self, what: &str, question: &Question, expect: Verdict) -> Result<(), Failure> {
        let answer = self.engine.verify(question)?;
        let verdict = answer.verdict;
        self.step(verdict == expect, &format!("{what}: {} {} | {}", verdict.number(), verdict.chinese(), verdict.english()));
        Ok(())
    }

    fn issue_samples(&mut self) -> Result<Vec<Issued>, Failure> {
        section("领用与开具 allot and issue: all six types, from the files of issuing systems");
        let drafts: Vec<(&str, Draft, Value)> = DRAFTS
            .iter()
            .map(|(name, text)| {
                let draft = parse_draft(text.as_bytes()).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
                let value = serde_json::from_str(text).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
                Ok((*name, draft, value))
            })
            .collect::<Result<_, Failure>>()?;

        let mut ranges: BTreeMap<InvoiceCode, (Kind, TaxpayerId, u32, u32)> = BTreeMap::new();
        for (name, draft, _) in &drafts {
            let seller = draft.get(Field::SellerTaxId).and_then(TaxpayerId::parse);
            let (Some(kind), Some(id), Some(seller)) = (draft.kind(), draft.id(), seller) else {
                return Err(Failure::Usage(format!("{name} names no kind, number or seller")));
            };
            let number = id.number.ordinal();
            let range = ranges.entry(id.code).or_insert((kind, seller, number, number));
            (range.2, range.3) = (range.2.min(number), range.3.max(number));
        }
        for (code, (kind, taxpayer, first, last)) in ranges {
            self.allot(kind, &taxpayer, code, first / 100 * 100 + 1, last / 100 * 100 + 99)?;
        }

        let mut issued = Vec::new();
        for (name, draft, value) in drafts {
            issued.extend(self.issue(name, &draft, value)?);
        }
        Ok(issued)
    }

    fn allot(&mut self, kind: Kind, taxpayer: &TaxpayerId, code: InvoiceCode, first: u32, last: u32) -> Result<(), Failure> {
        let numbers = InvoiceNumber::from_ordinal(first).zip(InvoiceNumber::from_ordinal(last));
        let range = numbers.and_then(|(first, last)| NumberRange::new(code, first, last));
        let range = range.ok_or_else(|| Failure::Usage(format!("{code} {first}-{last} is no range")))?;
        let submitted = self.engine.allot(Allotment { taxpayer: taxpayer.clone(), kind, range })?;
        if !matches!(submitted, Submitted::Logged(_)) {
            self.step(false, &format!("allot {code} {first}-{last}: {submitted:?}"));
        }
        Ok(())
    }

    fn issue(&mut self, name: &str, draft: &Draft, value: Value) -> Result<Option<Issued>, Failure> {
        let submitted = self.engine.submit(draft, false)?;
        let Submitted::Logged(logged) = &submitted else {
            self.step(false, &format!("{name}: {submitted:?}"));
            return Ok(None);
        };
        let (Some(full), Some(id)) = (self.engine.receipt(logged.index)?, draft.id()) else { return Ok(None) };
        let (Some(codes), Some(invoice)) =
            (receipt::qr_codes(&full.receipt.leaf, &full.receipt.sealed, self.engine.host()), self.engine.invoice(id)?)
        else {
            return Ok(None);
        };
        let face = invoice.face();
        let expect = if face.totals.total < Fen::ZERO { Verdict::RedLetter } else { Verdict::Genuine };
        let profile = face.kind.profile();
        self.step(true, &format!("{} {:<28} {} {}  {}  leaf {}", profile.code, name, face.id.code, face.id.number, face.totals.total, logged.index));
        Ok(Some(Issued { name: name.to_owned(), face, draft: value, signed_qr: codes.signed, classic_qr: codes.classic, expect }))
    }

    /// Originals of the reds among the samples are expected to be taken back, in full or in part.
    fn red_states(&mut self, issued: &mut [Issued]) {
        for (original, verdict) in [("01-multi-line", Verdict::RedFlushed), ("10-mixed-text", Verdict::PartlyRedFlushed)] {
            for sample in issued.iter_mut().filter(|sample| sample.name == original) {
                sample.expect = verdict;
            }
        }
    }

    fn verify_all(&mut self, issued: &[Issued]) -> Result<(), Failure> {
        section("查验 verify each by fields, by signed QR, by classic QR where the type prints one");
        for sample in issued {
            let kind = sample.face.kind.profile().code;
            let name = &sample.name;
            self.ask(&format!("{kind} {name} by fields"), &typed(&sample.face).question(), sample.expect)?;
            self.ask(&format!("{kind} {name} by signed QR"), &question::of_qr(&sample.signed_qr), sample.expect)?;
            if let Some(classic) = &sample.classic_qr {
                self.ask(&format!("{kind} {name} by classic QR"), &question::of_qr(classic), sample.expect)?;
            }
        }
        Ok(())
    }

    fn wrong_factors(&mut self, issued: &[Issued]) -> Result<(), Failure> {
        section("不一致 one wrong factor at a time; nobody is told which");
        for kind in Kind::ALL {
            let Some(sample) = issued.iter().find(|sample| sample.face.kind == kind && sample.expect == Verdict::Genuine) else { continue };
            let (code, right) = (kind.profile().code, typed(&sample.face));
            let other_day = sample.face.date.plus_days(1).map(|day| day.to_string());
            self.ask(&format!("{code} another date"), &Typed { date: other_day, ..right.clone() }.question(), Verdict::Mismatch)?;
            let other_amount = Some((sample.face.totals.amount + Fen(1)).to_string());
            self.ask(&format!("{code} another amount"), &Typed { amount: other_amount, ..right.clone() }.question(), Verdict::Mismatch)?;
            if let Some(check) = sample.face.check_code {
                let other: String = check.last_six().chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect();
                self.ask(&format!("{code} another check code"), &Typed { check: Some(other), ..right.clone() }.question(), Verdict::Mismatch)?;
            }
            let totals = Totals { amount: sample.face.totals.amount + Fen(100), ..sample.face.totals };
            if let Some(changed) = qr::print_classic(&Face { totals, ..sample.face.clone() }) {
                self.ask(&format!("{code} classic QR, amount changed, CRC right again"), &question::of_qr(&changed), Verdict::Mismatch)?;
            }
            let unknown = InvoiceNumber::from_ordinal(sample.face.id.number.ordinal() / 100 * 100 + 98);
            if let Some(number) = unknown {
                self.ask(&format!("{code} unknown number {number}"), &Typed { number: number.to_string(), ..right }.question(), Verdict::NotFound)?;
            }
        }
        Ok(())
    }

    fn forgeries(&mut self, issued: &[Issued]) -> Result<(), Failure> {
        section("伪造 forged codes");
        let Some(sample) = issued.iter().find(|sample| sample.expect == Verdict::Genuine) else { return Ok(()) };
        if let Ok(signed) = qr::parse_signed(&sample.signed_qr) {
            let totals = Totals { amount: signed.face.totals.amount + Fen(1), ..signed.face.totals };
            let face = crate::codec::canonical::encode_face(&Face { totals, ..signed.face.clone() });
            let forged = qr::print_signed(self.engine.host(), signed.key_id, &face, &signed.rest_digest, &signed.signature);
            self.ask("signed QR, amount raised by one fen", &question::of_qr(&forged), Verdict::Forged)?;
            let mut signature = signed.signature;
            signature[0] ^= 1;
            let forged = qr::print_signed(self.engine.host(), signed.key_id, &signed.face_bytes, &signed.rest_digest, &signature);
            self.ask("signed QR, one bit of the signature flipped", &question::of_qr(&forged), Verdict::Forged)?;
        }
        self.ask("signed QR in lower case", &question::of_qr(&sample.signed_qr.to_lowercase()), Verdict::Malformed)
    }

    /// An invoice of this month, voided.
    fn void(&mut self) -> Result<Issued, Failure> {
        section("作废 void");
        let (seller, code) = (demo_seller()?, sample::default_code(Kind::Ordinary));
        let code = InvoiceCode::parse(code).ok_or_else(|| Failure::Usage("default code".to_owned()))?;
        self.allot(Kind::Ordinary, &seller, code, 1, 99)?;
        let number = InvoiceNumber::from_ordinal(7).ok_or_else(|| Failure::Usage("default number".to_owned()))?;
        let text = sample::draft(Kind::Ordinary, 7, InvoiceId { code, number }, self.engine.today(), &seller);
        let draft = parse_draft(text.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
        let value = serde_json::from_str(&text).map_err(|error| Failure::Usage(error.to_string()))?;
        let mut issued = self.issue("04 of today", &draft, value)?.ok_or_else(|| Failure::Usage("the sample of today was refused".to_owned()))?;
        self.ask("before", &typed(&issued.face).question(), Verdict::Genuine)?;
        let submitted = self.engine.void(issued.face.id, Some(seller))?;
        self.step(matches!(submitted, Submitted::Logged(_)), "the seller voids it");
        issued.expect = Verdict::Voided;
        self.ask("after", &typed(&issued.face).question(), Verdict::Voided)?;
        self.ask("after, by signed QR", &question::of_qr(&issued.signed_qr), Verdict::Voided)?;
        Ok(issued)
    }

    fn allotments(&mut self, issued: &[Issued]) -> Result<(), Failure> {
        section("领用 numbers outside an allotment, a stolen range, a repeated and a contradicting submission");
        let seller = demo_seller()?;
        let code = InvoiceCode::parse("033002600105").ok_or_else(|| Failure::Usage("code".to_owned()))?;
        let id = |ordinal| InvoiceNumber::from_ordinal(ordinal).map(|number| InvoiceId { code, number });
        let (Some(outside), Some(stolen), Some(last)) = (id(5_000), id(810), id(899)) else { return Ok(()) };
        self.allot(Kind::Ordinary, &seller, code, 1, 999)?;

        let submitted = self.issue_text(&sample::draft(Kind::Ordinary, 1, outside, self.engine.today(), &seller))?;
        self.step(
            matches!(submitted, Submitted::Refused(Refusal::NotAllotted)),
            &format!("{outside} is outside the allotment: {}", told(&submitted)),
        );

        let range = NumberRange::new(code, stolen.number, last.number).ok_or_else(|| Failure::Usage("range".to_owned()))?;
        let submitted = self.engine.allotment_status(range, Mark::Stolen)?;
        self.step(matches!(submitted, Submitted::Logged(_)), &format!("blank numbers {}-{} are reported stolen", range.first, range.last));
        let asked = Typed {
            code: code.to_string(),
            number: stolen.number.to_string(),
            date: Some(self.engine.today().to_string()),
            check: Some("123456".to_owned()),
            ..Typed::default()
        };
        self.ask("somebody shows one of them", &asked.question(), Verdict::BlankMarked)?;
        let submitted = self.issue_text(&sample::draft(Kind::Ordinary, 2, stolen, self.engine.today(), &seller))?;
        self.step(matches!(submitted, Submitted::Refused(Refusal::RangeMarked(Mark::Stolen))), &format!("issuing one of them: {}", told(&submitted)));

        let Some(sample) = issued.iter().find(|sample| sample.face.kind == Kind::Electronic && sample.expect == Verdict::Genuine) else {
            return Ok(());
        };
        let submitted = self.issue_text(&sample.draft.to_string())?;
        self.step(matches!(&submitted, Submitted::Logged(logged) if logged.repeated), "the same draft again gives the first receipt");
        let changed = self.engine.invoice(sample.face.id)?.map(|invoice| {
            let mut value = draft_of(&invoice);
            if let Some(object) = value.as_object_mut() {
                object.insert("remark".into(), "another remark".into());
            }
            value.to_string()
        });
        let submitted = self.issue_text(&changed.unwrap_or_default())?;
        self.step(matches!(submitted, Submitted::Refused(Refusal::Conflict(_))), &format!("other content under its number: {}", told(&submitted)));
        let submitted = self.engine.void(sample.face.id, None)?;
        self.step(matches!(submitted, Submitted::Refused(Refusal::ElectronicNeverVoided)), &format!("voiding it: {}", told(&submitted)));
        Ok(())
    }

    /// One caller of each role that has a token. The issuer acts for every seller of the samples, so that each can be sent again.
    fn callers(&mut self, issued: &[Issued]) -> Result<Tokens, Failure> {
        section("调用方 callers and their tokens");
        let mut sellers: Vec<TaxpayerId> = issued.iter().map(|sample| sample.face.seller_id.clone()).chain([demo_seller()?]).collect();
        sellers.sort_unstable();
        sellers.dedup();
        let mut buyers = Vec::new();
        for sample in issued {
            buyers.extend(self.engine.invoice(sample.face.id)?.and_then(|invoice| invoice.buyer_id().cloned()));
        }
        buyers.sort_unstable();
        buyers.dedup();
        let mut tokens = Tokens::new();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Anonymous) {
            let taxpayers = match role {
                Role::Issuer => sellers.clone(),
                Role::Business => buyers.clone(),
                Role::Anonymous | Role::Operator | Role::Department | Role::Auditor | Role::Administrator => Vec::new(),
            };
            let new = NewCaller {
                role,
                taxpayers,
                regions: Territory::WholeCountry,
                issuer_key: None,
                label: format!("demo {}", role.name()),
                expires: None,
            };
            let (id, token) = self.engine.enrol(new, &Caller::CONSOLE)?;
            self.step(true, &format!("{:<13} {id}", role.name()));
            tokens.insert(role.name(), token.reveal());
        }
        Ok(tokens)
    }

    fn issue_text(&mut self, text: &str) -> Result<Submitted, Failure> {
        let draft = parse_draft(text.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(self.engine.submit(&draft, false)?)
    }

    fn printed_codes(&mut self) -> Result<(), Failure> {
        section("导入 printed QR codes as published, imported as historic invoices");
        for (text, crc_ok) in PRINTED {
            let Ok(classic) = qr::parse_classic(text) else {
                self.step(false, text);
                continue;
            };
            let seller = demo_seller()?;
            let ordinal = classic.id.number.ordinal();
            self.allot(classic.kind, &seller, classic.id.code, ordinal, ordinal)?;
            let draft = historic_draft(&classic, &seller);
            let draft = parse_draft(draft.to_string().as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
            let submitted = self.engine.submit(&draft, true)?;
            if !matches!(submitted, Submitted::Logged(_)) {
                self.step(false, &format!("{text}: {}", told(&submitted)));
            }
            let question = question::of_qr(text);
            let answer = self.engine.verify(&question)?;
            let as_expected = answer.verdict == Verdict::Genuine && answer.crc_ok == crc_ok;
            let crc = if crc_ok == Some(true) { "CRC right" } else { "CRC wrong, which changes nothing" };
            self.step(as_expected, &format!("{text}  {} {}, {crc}", answer.verdict.number(), answer.verdict.chinese()));
        }
        Ok(())
    }

    fn proof(&mut self, issued: &[Issued]) -> Result<(), Failure> {
        section("凭证 a signed answer, checked without the ledger");
        let Some(sample) = issued.iter().find(|sample| sample.expect == Verdict::Genuine) else { return Ok(()) };
        let question = question::of_qr(&sample.signed_qr);
        let answer = self.engine.verify(&question)?;
        let signed = self.engine.sign_answer(&question, &answer)?;
        let file = proof::to_json(&signed, &self.engine.ledger().keys()).to_string();
        let proven = proof::verify(file.as_bytes(), Some(&self.engine.ledger().keys()));
        let text = match &proven {
            Ok(proven) => format!("{} is leaf {:?} of {} at size {}", proven.verdict.name(), proven.index, proven.answer.origin, proven.answer.size),
            Err(fault) => fault.to_string(),
        };
        self.step(proven.is_ok_and(|proven| proven.verdict == Verdict::Genuine), &text);
        let verdict_byte = 2 * "fapiao/answer/1 ".len();
        let mut forged = file;
        if let Some(at) = forged.find("\"answer\":\"").map(|at| at + "\"answer\":\"".len() + verdict_byte) {
            forged.replace_range(at..at + 2, "02");
        }
        let refused = proof::verify(forged.as_bytes(), Some(&self.engine.ledger().keys()));
        self.step(
            refused.is_err(),
            &format!("with another verdict written into it: {}", refused.err().map_or_else(String::new, |fault| fault.to_string())),
        );
        Ok(())
    }

    fn fsck(&mut self) -> Result<(), Failure> {
        section("核对 everything recomputed from the log");
        let report = self.engine.fsck(&|_, _| {})?;
        let text = format!("{} leaves, {} invoices, {} checkpoints, {} bodies", report.leaves, report.invoices, report.checkpoints, report.bodies);
        self.step(report.findings.is_empty(), &text);
        println!("\n{}", self.engine.ledger().published().note.trim_end());
        Ok(())
    }
}

/// What came of a submission, in a few words.
fn told(submitted: &Submitted) -> String {
    match submitted {
        Submitted::Logged(logged) => format!("logged at leaf {}", logged.index),
        Submitted::Faulty(faults) => faults.iter().map(|fault| format!("{} {}", fault.code, fault.path)).collect::<Vec<_>>().join(", "),
        Submitted::Refused(refusal) => format!("{} {} | {}", refusal.code(), refusal.chinese(), refusal.english()),
    }
}

/// An invented company.
fn demo_seller() -> Result<TaxpayerId, Failure> {
    TaxpayerId::parse("91330106MA27QH5C5E").ok_or_else(|| Failure::Usage("the demo's seller has no id".to_owned()))
}

/// A complete historic draft around what a printed code says; names are invented.
fn historic_draft(classic: &qr::ClassicQr, seller: &TaxpayerId) -> Value {
    let tax = classic.amount.tax_at(crate::domain::money::TaxRate(6_000));
    let date: Day = classic.date;
    let mut draft = json!({
        "kind": classic.kind.profile().code,
        "code": classic.id.code.to_string(),
        "number": classic.id.number.to_string(),
        "date": date.to_string(),
        "machine_number": "661000000001",
        "buyer": { "name": "虚构采购有限公司", "tax_id": "91440300MA5DQMX182" },
        "seller": { "name": "虚构服务有限公司", "tax_id": seller.as_str() },
        "amount": classic.amount.to_string(),
        "tax": tax.to_string(),
        "total": (classic.amount + tax).to_string(),
        "drawer": "虚构",
        "lines": [{
            "name": "*信息技术服务*历史发票",
            "amount": classic.amount.to_string(),
            "rate": "0.06",
            "tax": tax.to_string(),
        }],
    });
    if let (Some(object), Some(check)) = (draft.as_object_mut(), classic.check) {
        object.insert("check_code".into(), check.to_string().into());
    }
    draft
}
