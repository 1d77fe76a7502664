//! The engine against a model that fits on a page: few numbers, so that everything collides, and every verdict compared after every step.

use std::collections::BTreeMap;

use fapiao::domain::allotment::{Allotment, Mark};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::engine::{Engine, EngineError, Submitted};
use fapiao::verify::query::Typed;
use fapiao::verify::verdict::Verdict;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Site, code, day, face, id, other_seller, plain, range, red, scan, seller, signed_qr, submit, today, typed, verdict};

/// Numbers of each type.
const NUMBERS: u32 = 6;
const KINDS: [Kind; 2] = [Kind::Ordinary, Kind::Electronic];

type Id = (Kind, u32);

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Step {
    Allot { kind: Kind, first: u32, last: u32, taxpayer: usize },
    Issue { id: Id, taxpayer: usize, amount: i64 },
    Red { id: Id, of: Id, taxpayer: usize, amount: i64 },
    Void { id: Id, caller: Option<usize> },
    Status { id: Id, mark: Mark },
    AllotmentStatus { kind: Kind, first: u32, last: u32, mark: Mark },
    NextMonth,
    Reopen,
}

/// What comes of it: a new leaf, an old one, a refusal, or faults of the draft itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Logged,
    Repeated(u64),
    Refused(&'static str),
    Faulty,
}

#[derive(Clone, Debug)]
struct Invoice {
    index: u64,
    content: Value,
    taxpayer: usize,
    amount: i64,
    left: i64,
    original: Option<Id>,
    reds: u32,
    void: Option<u64>,
    suspended: Option<(Mark, u64)>,
}

#[derive(Default)]
struct Model {
    /// Of each number: taxpayer, range, leaf.
    allotted: BTreeMap<Id, (usize, (u32, u32), u64)>,
    marked: BTreeMap<Id, (Mark, u64)>,
    invoices: BTreeMap<Id, Invoice>,
    next_month: bool,
}

fn taxpayer(which: usize) -> TaxpayerId {
    [seller(), other_seller()][which].clone()
}

/// The draft that a step hands in.
fn draft(step: &Step) -> Option<Value> {
    let (mut draft, taxpayer_of) = match step {
        Step::Issue { id, taxpayer, amount } => (plain(id.0, id.1, Fen(*amount)), *taxpayer),
        Step::Red { id, of, taxpayer, amount } => {
            let mut draft = red(&plain(id.0, of.1, Fen(*amount)), id.1, Fen(*amount), Fen(amount * 13 / 100));
            draft["red"]["original_code"] = json!(code(of.0).to_string());
            (draft, *taxpayer)
        }
        _ => return None,
    };
    draft["seller"]["tax_id"] = json!(taxpayer(taxpayer_of).as_str());
    Some(draft)
}

impl Model {
    /// What must come of a step that would get leaf `index`, and what it changes.
    fn take(&mut self, step: &Step, index: u64) -> Came {
        match step {
            Step::Allot { kind, first, last, taxpayer } => {
                let there = (*first..=*last).find_map(|number| self.allotted.get(&(*kind, number)));
                match there {
                    Some((of, range, at)) if (of, range) == (taxpayer, &(*first, *last)) => return Came::Repeated(*at),
                    Some(_) => return Came::Refused("FP-20-030"),
                    None => {}
                }
                self.allotted.extend((*first..=*last).map(|number| ((*kind, number), (*taxpayer, (*first, *last), index))));
            }
            Step::Issue { id, taxpayer, amount } => return self.issue(step, *id, *taxpayer, *amount, None, index),
            Step::Red { id, of, .. } if id == of => return Came::Faulty,
            Step::Red { id, of, taxpayer, amount } => return self.issue(step, *id, *taxpayer, -amount, Some(*of), index),
            Step::Void { id, caller } => {
                let owner = self.allotted.get(id).map(|(taxpayer, ..)| *taxpayer);
                if caller.is_some() && *caller != owner {
                    return Came::Refused("FP-20-021");
                }
                let Some(invoice) = self.invoices.get_mut(id) else { return Came::Refused("FP-20-020") };
                if let Some(at) = invoice.void {
                    return Came::Repeated(at);
                }
                if id.0 == Kind::Electronic {
                    return Came::Refused("FP-20-022");
                }
                if self.next_month {
                    return Came::Refused("FP-20-023");
                }
                if invoice.reds > 0 {
                    return Came::Refused("FP-20-024");
                }
                invoice.void = Some(index);
                let amount = invoice.amount;
                if let Some(original) = invoice.original.and_then(|original| self.invoices.get_mut(&original)) {
                    original.left -= amount;
                    original.reds -= 1;
                }
            }
            Step::Status { id, mark } => {
                let Some(invoice) = self.invoices.get_mut(id) else { return Came::Refused("FP-20-020") };
                invoice.suspended = match (mark, invoice.suspended) {
                    (Mark::BlankVoid | Mark::RedBeforeImport, _) => return Came::Refused("FP-20-026"),
                    (Mark::Lifted, None) => return Came::Refused("FP-20-025"),
                    (Mark::Lifted, Some(_)) => None,
                    (mark, Some((now, at))) if *mark == now => return Came::Repeated(at),
                    (mark, _) => Some((*mark, index)),
                };
            }
            Step::AllotmentStatus { kind, first, last, mark } => {
                let ids = || (*first..=*last).map(|number| (*kind, number));
                let at = |id| self.allotted.get(&id).map(|(.., at)| *at);
                if ids().any(|id| at(id).is_none() || at(id) != at((*kind, *first))) {
                    return Came::Refused("FP-20-031");
                }
                let marks: Vec<_> = ids().map(|id| self.marked.get(&id).copied()).collect();
                if let Some((now, at)) = marks[0]
                    && now == *mark
                    && marks.iter().all(|mark| *mark == marks[0])
                {
                    return Came::Repeated(at);
                }
                if marks.iter().flatten().any(|(mark, _)| *mark == Mark::BlankVoid) {
                    return Came::Refused("FP-20-032");
                }
                match mark {
                    Mark::Abnormal | Mark::RedBeforeImport => return Came::Refused("FP-20-026"),
                    Mark::Lifted if marks.iter().all(Option::is_none) => return Came::Refused("FP-20-025"),
                    Mark::BlankVoid if ids().any(|id| self.invoices.contains_key(&id)) => return Came::Refused("FP-20-033"),
                    Mark::Lifted => self.marked.retain(|marked, _| !ids().any(|id| id == *marked)),
                    Mark::Lost | Mark::Stolen | Mark::BlankVoid => self.marked.extend(ids().map(|id| (id, (*mark, index)))),
                }
            }
            Step::NextMonth | Step::Reopen => {}
        }
        Came::Logged
    }

    fn issue(&mut self, step: &Step, id: Id, taxpayer: usize, amount: i64, original: Option<Id>, index: u64) -> Came {
        let content = draft(step).expect("a draft");
        if self.allotted.get(&id).is_none_or(|(owner, ..)| *owner != taxpayer) {
            return Came::Refused("FP-20-001");
        }
        if let Some(there) = self.invoices.get(&id) {
            return if there.content == content { Came::Repeated(there.index) } else { Came::Refused("FP-20-003") };
        }
        if self.marked.contains_key(&id) {
            return Came::Refused("FP-20-002");
        }
        if let Some(of) = original {
            let Some(there) = self.invoices.get_mut(&of) else { return Came::Refused("FP-20-010") };
            if there.taxpayer != taxpayer {
                return Came::Refused("FP-20-012");
            }
            if of.0 != id.0 {
                return Came::Refused("FP-20-011");
            }
            if there.original.is_some() {
                return Came::Refused("FP-20-013");
            }
            if there.void.is_some() {
                return Came::Refused("FP-20-014");
            }
            if there.left + amount < 0 {
                return Came::Refused("FP-20-015");
            }
            there.left += amount;
            there.reds += 1;
        }
        self.invoices.insert(id, Invoice { index, content, taxpayer, amount, left: amount, original, reds: 0, void: None, suspended: None });
        Came::Logged
    }

    /// What whoever holds the paper must be told; of a number that was not issued, whoever asks.
    fn verdict(&self, id: Id) -> Verdict {
        let mark = self.marked.get(&id).map(|(mark, _)| *mark);
        let Some(invoice) = self.invoices.get(&id) else { return if mark.is_some() { Verdict::BlankMarked } else { Verdict::NotFound } };
        match invoice {
            invoice if invoice.suspended.is_some() || mark.is_some() => Verdict::Suspended,
            invoice if invoice.void.is_some() => Verdict::Voided,
            invoice if invoice.original.is_some() => Verdict::RedLetter,
            invoice if invoice.left == 0 => Verdict::RedFlushed,
            invoice if invoice.reds > 0 => Verdict::PartlyRedFlushed,
            _ => Verdict::Genuine,
        }
    }
}

fn run(engine: &Engine, step: &Step) -> Result<Submitted, EngineError> {
    match step {
        Step::Allot { kind, first, last, taxpayer: to } => {
            engine.allot(Allotment { taxpayer: taxpayer(*to), kind: *kind, range: range(*kind, *first, *last) })
        }
        Step::Issue { .. } | Step::Red { .. } => submit(engine, &draft(step).expect("a draft")),
        Step::Void { id: (kind, number), caller } => engine.void(id(*kind, *number), caller.map(taxpayer)),
        Step::Status { id: (kind, number), mark } => engine.status(id(*kind, *number), *mark),
        Step::AllotmentStatus { kind, first, last, mark } => engine.allotment_status(range(*kind, *first, *last), *mark),
        Step::NextMonth | Step::Reopen => unreachable!("done by the test itself"),
    }
}

fn came(outcome: Result<Submitted, EngineError>, next: u64) -> Came {
    match outcome.expect("decided") {
        Submitted::Logged(logged) if logged.repeated => Came::Repeated(logged.index),
        Submitted::Logged(logged) => {
            assert_eq!(logged.index, next);
            Came::Logged
        }
        Submitted::Refused(refusal) => Came::Refused(refusal.code()),
        Submitted::Faulty(_) => Came::Faulty,
    }
}

/// All that is known of what was issued: signed QR texts stay what they are.
type QrTexts = BTreeMap<Id, String>;

/// Asks about every number by fields and by signed QR, rightly and wrongly.
fn compare(engine: &Engine, model: &Model, qr_texts: &QrTexts) -> Result<(), TestCaseError> {
    for kind in KINDS {
        for number in 1..=NUMBERS {
            let expected = model.verdict((kind, number));
            let invoice = id(kind, number);
            let Some(text) = qr_texts.get(&(kind, number)) else {
                let (code, number) = (invoice.code.to_string(), invoice.number.to_string());
                let question = Typed { code, number, date: Some(today().to_string()), check: Some("123456".into()), ..Typed::default() };
                prop_assert_eq!(verdict(engine, &question.question()), expected);
                continue;
            };
            let face = face(engine, invoice);
            let held = typed(&face);
            prop_assert_eq!(verdict(engine, &held.question()), expected, "{}", invoice);
            prop_assert_eq!(scan(engine, text), expected, "{}", invoice);
            let wrong = Typed { date: Some("2019-11-10".into()), ..held.clone() };
            prop_assert_eq!(verdict(engine, &wrong.question()), Verdict::Mismatch);
            let also_amount = Typed { amount: Some((face.totals.amount + Fen(1)).to_string()), ..held };
            prop_assert_eq!(verdict(engine, &also_amount.question()), Verdict::Mismatch);
        }
    }
    Ok(())
}

fn kind() -> impl Strategy<Value = Kind> + Clone {
    prop::sample::select(&KINDS[..])
}

fn ids() -> impl Strategy<Value = Id> + Clone {
    (prop_oneof![3 => Just(Kind::Ordinary), 1 => Just(Kind::Electronic)], 1..=NUMBERS)
}

fn span() -> impl Strategy<Value = (u32, u32)> {
    (1..=NUMBERS, 1..=NUMBERS).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly the first taxpayer, so that something passes.
    let who = prop_oneof![5 => Just(0usize), 1 => Just(1)];
    let amount = prop::sample::select(&[10_000i64, 20_000][..]);
    let mark = prop::sample::select(&Mark::ALL[..]);
    prop_oneof![
        2 => (kind(), span(), who.clone()).prop_map(|(kind, (first, last), taxpayer)| Step::Allot { kind, first, last, taxpayer }),
        6 => (ids(), who.clone(), amount.clone()).prop_map(|(id, taxpayer, amount)| Step::Issue { id, taxpayer, amount }),
        6 => (ids(), ids(), who.clone(), amount, any::<bool>())
            .prop_map(|(id, of, taxpayer, amount, cross)| Step::Red { id, of: if cross { of } else { (id.0, of.1) }, taxpayer, amount }),
        4 => (ids(), prop_oneof![2 => who.prop_map(Some), 1 => Just(None)]).prop_map(|(id, caller)| Step::Void { id, caller }),
        2 => (ids(), mark.clone()).prop_map(|(id, mark)| Step::Status { id, mark }),
        2 => (kind(), span(), mark).prop_map(|(kind, (first, last), mark)| Step::AllotmentStatus { kind, first, last, mark }),
        1 => prop_oneof![Just(Step::Reopen), Just(Step::NextMonth)],
    ]
}

/// A ledger in which most steps pass at first: the first taxpayer has most numbers.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let allotments = [(Kind::Ordinary, 1, 5, 0), (Kind::Electronic, 1, 4, 0), (Kind::Ordinary, 6, 6, 1)];
    let first = allotments.map(|(kind, first, last, taxpayer)| Step::Allot { kind, first, last, taxpayer });
    (prop_oneof![4 => Just(first.to_vec()), 1 => Just(Vec::new())], vec(step(), 40)).prop_map(|(mut first, rest)| {
        first.extend(rest);
        first
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_does_what_the_model_says(steps in steps()) {
        let site = Site::new();
        let mut engine = site.create();
        let (mut model, mut qr_texts) = (Model::default(), QrTexts::new());
        for step in &steps {
            match step {
                Step::NextMonth => {
                    model.next_month = true;
                    let december: Day = day("2019-12-02");
                    site.set_now(UnixMillis(december.start().0));
                }
                Step::Reopen => {
                    drop(engine);
                    engine = site.open().expect("reopened");
                }
                step => {
                    let next = engine.ledger().published().size;
                    let expected = model.take(step, next);
                    prop_assert_eq!(came(run(&engine, step), next), expected.clone(), "{:?}", step);
                    prop_assert_eq!(engine.ledger().published().size, next + u64::from(expected == Came::Logged));
                    if let (Step::Issue { id: (kind, number), .. } | Step::Red { id: (kind, number), .. }, Came::Logged) = (step, &expected) {
                        qr_texts.insert((*kind, *number), signed_qr(&engine, id(*kind, *number)));
                    }
                }
            }
            compare(&engine, &model, &qr_texts)?;
        }
        prop_assert_eq!(engine.fsck(&|_, _| ()).expect("a report").findings, vec![]);
        drop(engine);
        compare(&site.open().expect("reopened"), &model, &qr_texts)?;
    }
}
