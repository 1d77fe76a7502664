//! The drafts in `fixtures/drafts`: each is accepted without a fault, says what it says in both directions, and warns of exactly what is listed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fapiao::channel::json::{draft_of, parse_draft};
use fapiao::domain::allotment::{Allotment, NumberRange};
use fapiao::domain::draft::Draft;
use fapiao::domain::draft::fields::Field;
use fapiao::domain::kind::Kind;
use fapiao::domain::number::{CheckCode, InvoiceId};
use fapiao::domain::rules::{Accepted, Mode, Terms, accept};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::Day;
use fapiao::engine::{Config, Engine};

use crate::support::{Site, logged};

/// What these warn of; all others warn of nothing.
const WARNINGS: [(&str, &[&str]); 1] = [("03-imported", &["FP-08-002 /vehicle/vin"])];

/// Every draft by its file's name.
pub fn drafts() -> BTreeMap<String, Draft> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/drafts");
    let files = fs::read_dir(&folder).expect("fixtures/drafts").map(|file| file.expect("a file").path());
    files
        .map(|file| {
            let name = file.file_stem().expect("a name").to_str().expect("ASCII").to_owned();
            (name, parse_draft(&fs::read(&file).expect("readable")).expect("JSON"))
        })
        .collect()
}

/// The day a draft states.
pub fn date(draft: &Draft) -> Day {
    Day::parse(draft.get(Field::Date).expect("a date")).expect("a day")
}

fn judge(draft: &Draft, dates: &BTreeMap<InvoiceId, Day>) -> Accepted {
    judge_with(draft, dates, CheckCode::from_random([1, 2]))
}

/// The draft as it is accepted on its own day, with this check code where it needs one.
pub fn judge_with(draft: &Draft, dates: &BTreeMap<InvoiceId, Day>, check_code: CheckCode) -> Accepted {
    let terms = Terms {
        today: date(draft),
        mode: Mode::Issue { days_back: 31 },
        check_code,
        original_date: draft.original().map(|original| *dates.get(&original).expect("the original is a fixture")),
    };
    accept(draft, &terms).unwrap_or_else(|faults| panic!("{:?}: {faults:#?}", draft.id()))
}

/// A ledger with every fixture issued, the originals first: each in an allotment of its own seller, on a day after all of theirs.
pub fn issue_all(site: &Site, create: impl FnOnce(Config) -> Engine) -> (Engine, Vec<(String, InvoiceId)>) {
    let drafts = drafts();
    let latest = drafts.values().map(date).max().expect("fixtures");
    site.set_now(latest.plus_days(1).expect("a day").start());
    let engine = create(Config { days_back: 10_000, ..site.config() });
    let (red, blue): (Vec<_>, Vec<_>) = drafts.into_iter().partition(|(_, draft)| draft.original().is_some());
    let mut issued = Vec::new();
    for (name, draft) in blue.into_iter().chain(red) {
        let (id, kind) = (draft.id().expect("an id"), draft.kind().expect("a kind"));
        let taxpayer = TaxpayerId::parse(draft.get(Field::SellerTaxId).expect("a seller")).expect("a tax id");
        let range = NumberRange::new(id.code, id.number, id.number).expect("one number");
        logged(engine.allot(Allotment { taxpayer, kind, range }));
        logged(engine.submit(&draft, false));
        issued.push((name, id));
    }
    (engine, issued)
}

#[test]
fn every_draft_is_accepted_and_warns_of_what_is_listed() {
    let drafts = drafts();
    let dates: BTreeMap<InvoiceId, Day> = drafts.values().map(|draft| (draft.id().expect("an id"), date(draft))).collect();
    assert_eq!(dates.len(), drafts.len(), "every fixture has a number of its own");
    let listed: BTreeMap<&str, &[&str]> = WARNINGS.into_iter().collect();
    for (name, draft) in &drafts {
        let accepted = judge(draft, &dates);
        let warnings: Vec<String> = accepted.warnings.iter().map(|fault| format!("{} {}", fault.code, fault.path)).collect();
        assert_eq!(warnings, *listed.get(name.as_str()).unwrap_or(&[].as_slice()), "{name}");
        assert_eq!(accepted.invoice.kind().profile().code, &name[..2], "{name}");
        let has_own = draft.get(Field::CheckCode).is_some();
        assert_eq!(accepted.check_code_generated, accepted.invoice.check_code().is_some() && !has_own, "{name}");

        let again = parse_draft(draft_of(&accepted.invoice).to_string().as_bytes()).expect("JSON");
        assert_eq!(judge(&again, &dates).invoice, accepted.invoice, "{name}");
    }
}

#[test]
fn the_fixtures_show_what_invoices_can_be() {
    let drafts = drafts();
    for kind in Kind::ALL {
        let code = kind.profile().code;
        let of_kind: Vec<_> = drafts.keys().filter(|name| name.starts_with(code)).collect();
        assert!(of_kind.len() >= 4, "{code}: {of_kind:?}");
        assert!(
            of_kind.iter().any(|name| name.contains("pinyin")) && of_kind.iter().any(|name| name.contains("red-full")) || code == "04",
            "{code}: {of_kind:?}"
        );
    }
    for (name, draft) in &drafts {
        if let Some(original) = draft.original() {
            let of = drafts.values().find(|other| other.id() == Some(original)).expect("the original is a fixture");
            assert_eq!(of.kind(), draft.kind(), "{name}");
        }
    }
}
