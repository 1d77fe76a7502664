//! What is handed in: few numbers, so that everything collides. Sealed once a process, because sealing is the slow part.

use std::sync::{Arc, LazyLock};

use fapiao::channel::json::parse_draft;
use fapiao::codec::event::{EventData, KeyRecord, ListNotice, PolicyNotice, Role};
use fapiao::codec::leaf::KeyId;
use fapiao::crypto::keyring::Keyring;
use fapiao::domain::allotment::Mark;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{CheckCode, InvoiceId};
use fapiao::domain::rules::{self, Mode, Terms};
use fapiao::issue::{self, Randomness};
use fapiao::ledger::Submission;
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::support::{allotment, code, day, id, other_seller, plain, range, red, seller, tax, today};

/// A paper type, an electronic one, one without check codes, and the one of which a partial red is remarked upon.
const KINDS: [Kind; 4] = [Kind::Ordinary, Kind::Electronic, Kind::Special, Kind::MotorVehicle];
/// Numbers of each type that everybody wants.
const NUMBERS: u32 = 6;
/// Numbers of the long book that fills the first tile.
const LONG: std::ops::RangeInclusive<u32> = 101..=360;
const AMOUNTS: [Fen; 2] = [Fen(10_000), Fen(20_000)];

pub(super) struct Submissions {
    pub(super) keyring: Arc<Keyring>,
    /// With these every log begins.
    pub(super) keys: Vec<Submission>,
    /// With these most seeds begin, so that something passes.
    pub(super) allotments: Vec<Submission>,
    /// One for each number of the long book.
    pub(super) long: Vec<Submission>,
    issues: Vec<Submission>,
    reds: Vec<Submission>,
    imports: Vec<Submission>,
    voids: Vec<Submission>,
    statuses: Vec<Submission>,
    range_marks: Vec<Submission>,
    odd_allotments: Vec<Submission>,
    /// What the ledger says of itself.
    announcements: Vec<Submission>,
    /// Numbers that may be there, and one that never is.
    pub(super) ids: Vec<InvoiceId>,
}

pub(super) static SUBMISSIONS: LazyLock<Submissions> = LazyLock::new(Submissions::seal);

impl Submissions {
    pub(super) fn pick(&self, chance: &mut Chance) -> Submission {
        let of = chance.weighted(&[
            (40, &self.issues),
            (16, &self.reds),
            (12, &self.voids),
            (6, &self.imports),
            (6, &self.statuses),
            (5, &self.range_marks),
            (3, &self.odd_allotments),
            (3, &self.allotments),
            (6, &self.long),
            (1, &self.keys),
            (2, &self.announcements),
        ]);
        chance.pick(of).clone()
    }

    /// An invoice, and one that takes it back.
    pub(super) fn original_and_red(&self) -> Vec<Submission> {
        let of = |submissions: &[Submission], wanted: InvoiceId| {
            let found = submissions.iter().find(|submission| matches!(submission, Submission::Invoice(invoice) if invoice.face.id == wanted));
            found.expect("one of these").clone()
        };
        vec![of(&self.issues, id(Kind::Ordinary, 1)), of(&self.reds, id(Kind::Ordinary, 2))]
    }

    /// Every event, on a ledger that has the original and the red.
    pub(super) fn one_of_each(&self) -> Vec<Submission> {
        let red = id(Kind::Ordinary, 2);
        let void = self.voids.iter().find(|submission| matches!(submission, Submission::Void { id, callers: None, .. } if *id == red));
        let status = self.statuses.iter().find(|submission| matches!(submission, Submission::Status { id, .. } if *id == red));
        let special = |submission: &&Submission| matches!(submission, Submission::Invoice(invoice) if invoice.face.id.code == code(Kind::Special));
        let issue = self.issues.iter().find(special);
        let red = self.reds.iter().find(|submission| matches!(submission, Submission::Invoice(red) if Some(red.original) == issue.map(id_of)));
        let import = self.imports.iter().find(|submission| {
            matches!(submission, Submission::Invoice(invoice) if invoice.imported_state.is_some() && invoice.face.id.number == id(Kind::Ordinary, 4).number)
        });
        let found = [void, status, issue, red, import, self.odd_allotments.get(3), self.range_marks.first(), self.keys.first()];
        found.into_iter().map(|submission| submission.expect("one of these")).chain(&self.announcements).cloned().collect()
    }

    fn seal() -> Submissions {
        let mut sealer = Sealer::new();
        let keyring = Arc::clone(&sealer.keyring);
        let keys = [(Role::Authority, keyring.authority()), (Role::Answering, keyring.answering()), (Role::Checkpoint, keyring.checkpoint())];
        let keys = keys.map(|(role, signer)| KeyRecord::new(role, signer.key.public(), today().start(), None).expect("a key"));
        let keys = keys
            .into_iter()
            .map(|key| Submission::Keys { events: vec![issue::event_of(&EventData::Key(key), sealer.salt(), &keyring).expect("signed")] })
            .collect();

        let mut allotments: Vec<_> =
            KINDS.map(|kind| issue::allot(allotment(kind, seller(), 1, NUMBERS - 1), &keyring, sealer.salt()).expect("signed")).into();
        allotments.push(issue::allot(allotment(Kind::Ordinary, other_seller(), NUMBERS, NUMBERS), &keyring, sealer.salt()).expect("signed"));
        allotments.push(issue::allot(allotment(Kind::Ordinary, seller(), *LONG.start(), *LONG.end()), &keyring, sealer.salt()).expect("signed"));
        // Overlapping ones, the same again, and one of a type that the code is not of.
        let odd = [
            (Kind::Ordinary, seller(), 3, 9),
            (Kind::Ordinary, seller(), 1, NUMBERS - 1),
            (Kind::Electronic, other_seller(), 1, 3),
            (Kind::Special, other_seller(), NUMBERS, NUMBERS),
            (Kind::Electronic, other_seller(), NUMBERS, NUMBERS + 2),
        ];
        let odd_allotments =
            odd.map(|(kind, to, first, last)| issue::allot(allotment(kind, to, first, last), &keyring, sealer.salt()).expect("signed")).into();

        let (mut issues, mut reds, mut voids, mut statuses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for kind in KINDS {
            for number in 1..=NUMBERS {
                for amount in AMOUNTS {
                    let draft = plain(kind, number, amount);
                    // Two hands with the same content: only what is drawn at random differs.
                    issues.extend([sealer.issue(&draft), sealer.issue(&draft)]);
                    for red_number in [number % NUMBERS + 1, (number + 2) % NUMBERS + 1] {
                        let part = if red_number == number % NUMBERS + 1 { amount } else { Fen(amount.0 / 2) };
                        reds.push(sealer.issue(&red(&draft, red_number, part, tax(kind, part))));
                    }
                }
                let mut foreign = plain(kind, number, AMOUNTS[0]);
                foreign["seller"]["tax_id"] = json!(other_seller().as_str());
                issues.push(sealer.issue(&foreign));
                let number = id(kind, number);
                for (caller, on) in [(Some(seller()), today()), (None, today()), (Some(other_seller()), today()), (None, day("2019-12-02"))] {
                    voids.push(issue::void(number, caller.map(|seller| vec![seller]), on, &keyring, sealer.salt()).expect("signed"));
                }
                for mark in [Mark::Lost, Mark::Stolen, Mark::Abnormal, Mark::Lifted] {
                    statuses.push(issue::status(number, mark, &keyring, sealer.salt()).expect("signed"));
                }
            }
        }
        let mut stated = plain(Kind::Ordinary, 1, AMOUNTS[0]);
        stated["check_code"] = json!("20930011785541236098");
        issues.push(sealer.issue(&stated));
        let mut imports = Vec::new();
        for number in 1..=NUMBERS {
            for state in ["normal", "voided", "red_flushed", "abnormal"] {
                let mut historic = stated.clone();
                historic["number"] = json!(id(Kind::Ordinary, number).number.to_string());
                historic["state"] = json!(state);
                imports.push(sealer.import(&historic));
            }
        }
        let mut range_marks = Vec::new();
        for (kind, first, last) in
            [(Kind::Ordinary, 1, 2), (Kind::Ordinary, 2, 4), (Kind::Ordinary, 5, 6), (Kind::Special, 4, 5), (Kind::Electronic, 1, 5)]
        {
            for mark in [Mark::Lost, Mark::Stolen, Mark::BlankVoid, Mark::Lifted] {
                range_marks.push(issue::allotment_status(range(kind, first, last), mark, &keyring, sealer.salt()).expect("signed"));
            }
        }
        // A root over answers is of answers that there are not here.
        let policy = |text: &str| EventData::Policy(PolicyNotice { previous: None, text: text.to_owned() });
        let list = EventData::RevocationList(ListNotice { made: today().start(), size: 7, tokens: 1, digest: [7; 32] });
        let announcements = [policy("quorum none\n"), policy("# another\nquorum none\n"), list]
            .map(|said| issue::announcement(&said, &keyring, sealer.salt()).expect("signed"))
            .into();
        let long = LONG.map(|number| sealer.issue(&plain(Kind::Ordinary, number, AMOUNTS[0]))).collect();
        let mut ids: Vec<_> = KINDS.into_iter().flat_map(|kind| (1..=NUMBERS).map(move |number| id(kind, number))).collect();
        ids.extend([LONG.start() + 3, LONG.end() - 9, LONG.end() + 1].map(|number| id(Kind::Ordinary, number)));
        Submissions { keyring, keys, allotments, long, issues, reds, imports, voids, statuses, range_marks, odd_allotments, announcements, ids }
    }
}

fn id_of(submission: &Submission) -> Option<InvoiceId> {
    match submission {
        Submission::Invoice(invoice) => Some(invoice.face.id),
        _ => None,
    }
}

struct Sealer {
    keyring: Arc<Keyring>,
    chance: Chance,
}

impl Sealer {
    fn new() -> Sealer {
        let keyring = Keyring::found([[1; 32], [2; 32], [3; 32]], (KeyId([4; 8]), [4; 32]), (KeyId([5; 8]), [5; 32])).expect("five keys");
        Sealer { keyring: Arc::new(keyring), chance: Chance(0) }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.chance.next().to_be_bytes()[7])
    }

    fn salt(&mut self) -> [u8; 16] {
        self.bytes()
    }

    fn issue(&mut self, draft: &Value) -> Submission {
        self.invoice(draft, Mode::Issue { days_back: 31 })
    }

    fn import(&mut self, draft: &Value) -> Submission {
        self.invoice(draft, Mode::Import)
    }

    fn invoice(&mut self, draft: &Value, mode: Mode) -> Submission {
        let check_code = CheckCode::from_random([self.chance.next(), self.chance.next()]);
        let terms = Terms { today: today(), mode, check_code, original_date: Some(today()) };
        let draft = parse_draft(draft.to_string().as_bytes()).expect("JSON");
        let accepted = rules::accept(&draft, &terms).unwrap_or_else(|faults| panic!("{draft:?}: {faults:?}"));
        let random = Randomness::from_bytes(self.bytes());
        issue::invoice(&accepted, mode == Mode::Import, &self.keyring, &random).expect("sealed")
    }
}
