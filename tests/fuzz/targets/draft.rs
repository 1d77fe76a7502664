//! A draft from JSON to signed bytes and back.

use fapiao::channel::json::{draft_of, parse_draft};
use fapiao::codec::canonical;
use fapiao::domain::draft::Draft;
use fapiao::domain::draft::fields::Field;
use fapiao::domain::fault::Severity;
use fapiao::domain::invoice::Invoice;
use fapiao::domain::number::CheckCode;
use fapiao::domain::rules::{Mode, Terms, accept};
use fapiao::domain::time::Day;

use super::Subject;

/// A draft as JSON, judged both as a new invoice and as a historic one.
pub fn draft(input: &[u8], subject: Subject) -> bool {
    let Ok(draft) = parse_draft(input) else { return false };
    let accepted = [Mode::Issue { days_back: 31 }, Mode::Import].map(|mode| accepted(&draft, mode, subject));
    accepted.contains(&true)
}

fn accepted(draft: &Draft, mode: Mode, subject: Subject) -> bool {
    let stated = draft.get(Field::Date).and_then(Day::parse);
    let today = stated.unwrap_or(Day::new(2019, 11, 23).expect("a day"));
    let terms = Terms { today, mode, check_code: CheckCode::from_random([1, 2]), original_date: draft.original().and(stated) };
    let accepted = match accept(draft, &terms) {
        Ok(accepted) => accepted,
        Err(faults) => {
            assert!(faults.iter().any(|fault| fault.severity == Severity::Fault), "refused without a fault");
            assert!(faults.iter().all(|fault| fault.path.is_empty() || fault.path.starts_with('/')), "{faults:?}");
            assert!(faults.is_sorted_by_key(|fault| (fault.severity, fault.code)));
            return false;
        }
    };
    assert!(accepted.warnings.iter().all(|fault| fault.severity == Severity::Warning), "{:?}", accepted.warnings);

    let invoice = accepted.invoice;
    assert_eq!(read_back(&invoice, subject), invoice);

    let again = parse_draft(draft_of(&invoice).to_string().as_bytes()).expect("JSON");
    let again = accept(&again, &terms).unwrap_or_else(|faults| panic!("refused the second time: {faults:?}"));
    assert_eq!(again.invoice, invoice);
    true
}

/// The invoice that its signed bytes say. Planted: the head's texts are trimmed.
fn read_back(invoice: &Invoice, subject: Subject) -> Invoice {
    let face = canonical::decode_face(&canonical::encode_face(&invoice.face())).expect("what we write, we read");
    assert_eq!(face, invoice.face());
    let (mut read, slot) = canonical::decode_rest(&face, &canonical::encode_rest(invoice, None)).expect("what we write, we read");
    assert_eq!(slot, None);
    if subject.is_planted() {
        let trimmed = |text: &mut String| *text = text.trim().to_owned();
        [&mut read.seller_name, &mut read.drawer].into_iter().for_each(trimmed);
        [&mut read.payee, &mut read.reviewer, &mut read.remark].into_iter().flatten().for_each(trimmed);
    }
    read
}
