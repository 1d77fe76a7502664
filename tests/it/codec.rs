//! Signed bytes by chance: what is encoded decodes to itself, what decodes encodes to itself, and no bytes panic.

use fapiao::codec::canonical::{self, IssuerSlot};
use fapiao::codec::event::{AnswersNotice, Event, EventData, KeyRecord, Notice, PolicyNotice, Role, Withdrawal};
use fapiao::codec::leaf::{KeyId, Leaf};
use fapiao::codec::proof::{Answer, ConsistencyProof, LogProof, LogProofError, Query, VERDICTS};
use fapiao::codec::reader::{DecodeError, DecodeReason};
use fapiao::codec::rows::{Row, Rows};
use fapiao::crypto::note::{Host, Origin};
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::invoice::{Face, Invoice, Particulars, RedBasis, RedReason, RedReference, Totals};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::{Decimal8, Fen, TaxRate};
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::particulars::*;
use fapiao::domain::taxpayer::{TaxpayerId, Vin};
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::limits::{LINES_MAX, POLICY_BYTES_MAX, TEXT_BYTES_MAX};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,20}"
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL.to_vec())
}

fn fen() -> impl Strategy<Value = Fen> {
    (-9_999_999_999_999i64..=9_999_999_999_999).prop_map(Fen)
}

fn code(digits: usize) -> impl Strategy<Value = InvoiceCode> {
    proptest::string::string_regex(&format!("[0-9]{{{digits}}}")).expect("a pattern").prop_map(|digits| InvoiceCode::parse(&digits).expect("a code"))
}

fn number() -> impl Strategy<Value = InvoiceNumber> {
    (1u32..=99_999_999).prop_map(|ordinal| InvoiceNumber::from_ordinal(ordinal).expect("a number"))
}

fn id(kind: Kind) -> impl Strategy<Value = InvoiceId> {
    let lengths = kind.profile().code_lengths.to_vec();
    (proptest::sample::select(lengths).prop_flat_map(code), number()).prop_map(|(code, number)| InvoiceId { code, number })
}

fn day() -> impl Strategy<Value = Day> {
    (0i64..365_000).prop_map(|days| Day::new(2000, 1, 1).and_then(|day| day.plus_days(days)).expect("a day"))
}

fn tax_id() -> impl Strategy<Value = TaxpayerId> {
    prop_oneof!["[0-9A-Z]{15}", "[0-9A-Z]{17}", "[0-9A-Z]{18}", "[0-9A-Z]{20}"].prop_map(|id| TaxpayerId::parse(&id).expect("an id"))
}

fn check_code() -> impl Strategy<Value = CheckCode> {
    any::<[u64; 2]>().prop_map(CheckCode::from_random)
}

fn rate() -> impl Strategy<Value = Rate> {
    (0u32..100_000, proptest::sample::select(Treatment::ALL.to_vec())).prop_map(|(rate, treatment)| Rate { rate: TaxRate(rate), treatment })
}

fn dec8() -> impl Strategy<Value = Decimal8> {
    (-999_999_999_999_999_999i64..=999_999_999_999_999_999).prop_map(Decimal8)
}

fn pricing() -> impl Strategy<Value = Option<Pricing>> {
    option::of((dec8(), dec8()).prop_map(|(quantity, price)| Pricing { quantity, price }))
}

fn texts<const N: usize>() -> impl Strategy<Value = [Option<String>; N]> {
    vec(option::of(text()), N).prop_map(|texts| texts.try_into().expect("N of them"))
}

fn named<const N: usize>() -> impl Strategy<Value = [String; N]> {
    vec(text(), N).prop_map(|texts| texts.try_into().expect("N of them"))
}

fn line() -> impl Strategy<Value = Line> {
    let preference = option::of(prop_oneof![Just(String::new()), text()]);
    let numbers = (pricing(), fen(), rate(), fen(), option::of(fen()));
    (proptest::sample::select(LineNature::ALL.to_vec()), text(), texts::<4>(), numbers, preference).prop_map(
        |(nature, name, [specification, unit, tax_class, own_code], (pricing, amount, rate, tax, deduction), preference)| Line {
            nature,
            name,
            specification,
            unit,
            pricing,
            amount,
            rate,
            tax,
            tax_class,
            own_code,
            preference,
            deduction,
        },
    )
}

fn roll_line() -> impl Strategy<Value = RollLine> {
    (text(), pricing(), fen(), fen(), rate(), fen()).prop_map(|(item, pricing, gross, amount, rate, tax)| RollLine {
        item,
        pricing,
        gross,
        amount,
        rate,
        tax,
    })
}

fn any_buyer() -> impl Strategy<Value = AnyBuyer> {
    (text(), option::of(tax_id()), texts::<2>()).prop_map(|(name, tax_id, [address_phone, bank_account])| AnyBuyer {
        name,
        tax_id,
        address_phone,
        bank_account,
    })
}

fn taxpayer_buyer() -> impl Strategy<Value = TaxpayerBuyer> {
    (text(), tax_id(), texts::<2>()).prop_map(|(name, tax_id, [address_phone, bank_account])| TaxpayerBuyer {
        name,
        tax_id,
        address_phone,
        bank_account,
    })
}

fn particulars(kind: Kind) -> BoxedStrategy<Particulars> {
    let lines = || vec(line(), 1..4);
    match kind {
        Kind::Special => (taxpayer_buyer(), texts::<4>(), lines())
            .prop_map(|(buyer, [address_phone, bank_account, machine_number, cipher], lines)| {
                Particulars::Special(Special { buyer, seller_contact: SellerContact { address_phone, bank_account }, machine_number, cipher, lines })
            })
            .boxed(),
        Kind::Freight => {
            let fees = vec((text(), fen()).prop_map(|(item, amount)| Fee { item, amount }), 1..4);
            let party = || (text(), option::of(tax_id())).prop_map(|(name, tax_id)| NamedParty { name, tax_id });
            (taxpayer_buyer(), party(), party(), named::<3>(), texts::<5>(), fees, rate())
                .prop_map(
                    |(
                        recipient,
                        consignor,
                        consignee,
                        [route, office, office_code],
                        [cargo, vehicle, tonnage, machine_number, cipher],
                        fees,
                        rate,
                    )| {
                        let tax_office = TaxOffice { name: office, code: office_code };
                        Particulars::Freight(Freight {
                            recipient,
                            consignor,
                            consignee,
                            route,
                            cargo,
                            vehicle,
                            tonnage,
                            fees,
                            rate,
                            tax_office,
                            machine_number,
                            cipher,
                        })
                    },
                )
                .boxed()
        }
        Kind::MotorVehicle => {
            let identity = prop_oneof![
                text().prop_map(BuyerIdentity::Document),
                tax_id().prop_map(BuyerIdentity::TaxId),
                (text(), tax_id()).prop_map(|(document, tax_id)| BuyerIdentity::Both(document, tax_id)),
            ];
            let papers = prop_oneof![
                text().prop_map(|certificate| VehiclePapers::Domestic { certificate }),
                (text(), text()).prop_map(|(import_certificate, inspection)| VehiclePapers::Imported { import_certificate, inspection }),
            ];
            let vin = "[0-9A-HJ-NPR-Z]{17}".prop_map(|vin| Vin::parse(&vin).expect("a vin"));
            (named::<10>(), identity, papers, vin, texts::<7>(), rate())
                .prop_map(|(names, buyer_identity, papers, vin, options, rate)| {
                    let [buyer_name, vehicle_type, model, origin, seller_phone, seller_address, seller_bank, seller_account, office, office_code] =
                        names;
                    let [engine_number, manufacturer, tonnage, seats, tax_receipt, machine_number, cipher] = options;
                    Particulars::MotorVehicle(Box::new(MotorVehicle {
                        buyer_name,
                        buyer_identity,
                        vehicle_type,
                        model,
                        origin,
                        papers,
                        vin,
                        engine_number,
                        manufacturer,
                        tonnage,
                        seats,
                        tax_receipt,
                        seller_phone,
                        seller_address,
                        seller_bank,
                        seller_account,
                        rate,
                        tax_office: TaxOffice { name: office, code: office_code },
                        machine_number,
                        cipher,
                    }))
                })
                .boxed()
        }
        Kind::Ordinary => (check_code(), any_buyer(), texts::<4>(), lines())
            .prop_map(|(check_code, buyer, [address_phone, bank_account, machine_number, cipher], lines)| {
                let seller_contact = SellerContact { address_phone, bank_account };
                Particulars::Ordinary(Ordinary { check_code, buyer, seller_contact, machine_number, cipher, lines })
            })
            .boxed(),
        Kind::Electronic => (check_code(), any_buyer(), texts::<3>(), text(), lines())
            .prop_map(|(check_code, buyer, [address_phone, bank_account, cipher], machine_number, lines)| {
                let seller_contact = SellerContact { address_phone, bank_account };
                Particulars::Electronic(Electronic { check_code, buyer, seller_contact, machine_number, cipher, lines })
            })
            .boxed(),
        Kind::Roll => (check_code(), option::of(text()), option::of(tax_id()), text(), vec(roll_line(), 1..4))
            .prop_map(|(check_code, buyer_name, buyer_tax_id, machine_number, lines)| {
                Particulars::Roll(Roll { check_code, buyer_name, buyer_tax_id, machine_number, lines })
            })
            .boxed(),
    }
}

fn red(kind: Kind) -> impl Strategy<Value = RedReference> {
    let reason = proptest::sample::select(vec![
        None,
        Some(RedReason::Returned),
        Some(RedReason::Mistake),
        Some(RedReason::ServiceEnded),
        Some(RedReason::Allowance),
    ]);
    (id(kind), "[0-9]{16,24}", reason).prop_map(move |(original, notice, reason)| {
        let basis = if kind.profile().red_needs_notice { RedBasis::Notice(notice) } else { RedBasis::Original };
        RedReference { original, basis, reason }
    })
}

/// Any invoice that the types allow, whether or not the rules would.
pub(crate) fn invoice() -> impl Strategy<Value = Invoice> {
    kind().prop_flat_map(|kind| {
        (id(kind), day(), (fen(), fen()), (named::<2>(), texts::<3>()), tax_id(), option::of(red(kind)), particulars(kind)).prop_map(
            |(id, date, (amount, total), ([seller_name, drawer], [payee, reviewer, remark]), seller_id, red, particulars)| Invoice {
                id,
                date,
                totals: Totals { amount, total },
                seller_name,
                seller_id,
                drawer,
                payee,
                reviewer,
                remark,
                red,
                particulars,
            },
        )
    })
}

fn slot() -> impl Strategy<Value = Option<IssuerSlot>> {
    let slot = (any::<[u8; 8]>(), any::<[u8; 32]>(), any::<[u8; 32]>())
        .prop_map(|(key_id, r, s)| IssuerSlot { key_id: KeyId(key_id), signature: [r, s].concat().try_into().expect("64 bytes") });
    option::of(slot)
}

fn event_data() -> impl Strategy<Value = EventData> {
    let range = || {
        (prop_oneof![code(10), code(12)], number(), number()).prop_map(|(code, a, b)| NumberRange::new(code, a.min(b), a.max(b)).expect("ordered"))
    };
    let of_invoice = vec![Mark::Lost, Mark::Stolen, Mark::Abnormal, Mark::Lifted, Mark::RedBeforeImport];
    let of_range = vec![Mark::Lost, Mark::Stolen, Mark::BlankVoid, Mark::Lifted];
    let role = proptest::sample::select(vec![Role::Authority, Role::Answering, Role::Checkpoint, Role::Issuer]);
    prop_oneof![
        (kind().prop_flat_map(id), day()).prop_map(|(id, day)| EventData::Void { id, day }),
        (kind().prop_flat_map(id), proptest::sample::select(of_invoice)).prop_map(|(id, mark)| EventData::Status { id, mark }),
        (tax_id(), kind(), range()).prop_map(|(taxpayer, kind, range)| EventData::Allot(Allotment { taxpayer, kind, range })),
        (range(), proptest::sample::select(of_range)).prop_map(|(range, mark)| EventData::AllotmentStatus { range, mark }),
        (role, any::<[u8; 32]>(), 0u64..1 << 48, option::of(1u64..1 << 48)).prop_map(|(role, public, from, length)| {
            let until = length.map(|length| UnixMillis(from + length));
            EventData::Key(KeyRecord::new(role, public, UnixMillis(from), until).expect("a window"))
        }),
        (any::<[u8; 32]>(), 0u64..1 << 48, 1u64..1 << 48, proptest::sample::select(Withdrawal::ALL.to_vec())).prop_map(
            |(public, from, length, reason)| {
                let record = KeyRecord::new(Role::Authority, public, UnixMillis(from), Some(UnixMillis(from + length)));
                EventData::Key(record.and_then(|record| record.withdrawn_for(reason)).expect("a window"))
            }
        ),
        (0u64..1 << 63, 1u32.., any::<[u8; 32]>(), any::<[u64; 2]>()).prop_map(|(first, count, root, [a, b])| {
            let times = (UnixMillis(a.min(b)), UnixMillis(a.max(b)));
            EventData::AnswersRoot(AnswersNotice::new(first, count, root, times).expect("answers"))
        }),
        prop_oneof!["(?s).{1,200}".boxed(), Just("a".repeat(POLICY_BYTES_MAX)).boxed()].prop_flat_map(|text| option::of(any::<u64>()).prop_map(move |previous| EventData::Policy(PolicyNotice { previous, text: text.clone() }))),
        (any::<(u64, [u8; 32])>(), option::of(any::<(u64, [u8; 32])>()), any::<[u8; 8]>(), "[^\\p{Cc}]{1,40}").prop_map(
            |((size, root), lost, log_id, reason)| {
                let host = Host::parse("fapiao.example:443").expect("a host");
                let [previous, origin] = [[0; 8], log_id].map(|log_id| Origin::new(&host, log_id));
                EventData::Reopen(Notice { previous, size, root, lost, origin, reason })
            }
        ),
    ]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let event = proptest::sample::select(Event::ALL.to_vec());
    let digests = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 8]>());
    (event, kind(), any::<bool>(), any::<u64>(), 0..u64::MAX, digests).prop_map(
        |(event, kind, imported, time_ms, index, (id_tag, commit, key_id))| Leaf {
            event,
            kind: event.is_of_invoice().then_some(kind),
            imported,
            time_ms,
            ref_index: matches!(event, Event::Red | Event::Void | Event::Status | Event::Result).then_some(index),
            id_tag: if event.is_of_invoice() { id_tag } else { [0; 32] },
            commit,
            key_id: KeyId(key_id),
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    let digests = (any::<[u8; 32]>(), any::<[u8; 32]>(), option::of(any::<[u8; 32]>()));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), option::of(0..u64::MAX));
    let origin = ("[a-z0-9.:-]{1,28}", "[0-9a-f]{16}");
    (proptest::sample::select(VERDICTS.to_vec()), digests, numbers, origin, option::of(any::<(i64, i64)>())).prop_map(
        |(verdict, (query_digest, root, commit), (size, time, count, first), (host, log_id), remaining)| Answer {
            verdict,
            query_digest,
            origin: Origin::parse(&format!("{host}/{log_id}")).expect("an origin"),
            size,
            root,
            time: UnixMillis(time),
            count,
            first: first.map(UnixMillis),
            commit,
            remaining: remaining.map(|(amount, tax)| (Fen(amount), Fen(tax))),
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    (answer(), any::<[u8; 16]>()).prop_map(|(answer, salt)| {
        let Answer { verdict, query_digest, size, time, count, first, commit, remaining, .. } = answer;
        Row { salt, verdict, query_digest, size, time, count, first, commit, remaining }
    })
}

fn rows() -> impl Strategy<Value = Rows> {
    (answer(), 1..=u64::MAX, any::<[u8; 32]>()).prop_map(|(Answer { origin, size, root, time, .. }, count, rows_root)| Rows {
        origin,
        size,
        root,
        time,
        count,
        rows_root,
    })
}

/// A change to valid bytes: one byte set, cut short, or something appended.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => any::<u8>().prop_map(Damage::Append),
    ]
}

fn damaged(bytes: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match damage {
        Damage::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Append(byte) => bytes.push(*byte),
    }
    bytes
}

/// A decoder and its encoder, joined: what the decoder accepts, written again.
type Rewrite<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Whatever is accepted is written back byte for byte; cutting and appending is never accepted.
fn holds_canonical(bytes: &[u8], damage: &Damage, rewrite: Rewrite<'_>) -> Result<(), TestCaseError> {
    let written = rewrite(bytes);
    prop_assert_eq!(written.as_deref(), Ok(bytes));
    let other = damaged(bytes, damage);
    match rewrite(&other) {
        Ok(written) => {
            prop_assert_eq!(written, other);
            prop_assert!(matches!(damage, Damage::Set(..)), "{:?} was accepted", damage);
        }
        Err(error) => prop_assert!(error.offset <= other.len(), "{}", error),
    }
    Ok(())
}

fn rewrite_face(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    canonical::decode_face(bytes).map(|face| canonical::encode_face(&face))
}

fn rewrite_rest(face: &Face, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    canonical::decode_rest(face, bytes).map(|(invoice, slot)| canonical::encode_rest(&invoice, slot.as_ref()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invoices_survive_their_bytes(invoice in invoice(), slot in slot(), damages in vec(damage(), 8)) {
        let face = invoice.face();
        let face_bytes = canonical::encode_face(&face);
        prop_assert!((canonical::FACE_BYTES_MIN..=canonical::FACE_BYTES_MAX).contains(&face_bytes.len()));
        prop_assert_eq!(canonical::decode_face(&face_bytes), Ok(face.clone()));

        let rest = canonical::encode_rest(&invoice, slot.as_ref());
        prop_assert_eq!(canonical::decode_rest(&face, &rest), Ok((invoice.clone(), slot)));
        let bare = canonical::encode_rest_without_slot(&invoice);
        prop_assert_eq!(canonical::rest_without_slot(&face, &rest), Ok(&bare[..]));
        for damage in &damages {
            holds_canonical(&face_bytes, damage, &rewrite_face)?;
            holds_canonical(&rest, damage, &|bytes| rewrite_rest(&face, bytes))?;
        }
    }

    #[test]
    fn events_leaves_and_answers_survive_their_bytes(data in event_data(), leaf in leaf(), answer in answer(), damages in vec(damage(), 8)) {
        prop_assert_eq!(EventData::decode(data.event(), &data.encode()), Ok(data.clone()));
        prop_assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf.clone()));
        prop_assert_eq!(Answer::decode(&answer.encode()), Ok(answer.clone()));
        for damage in &damages {
            holds_canonical(&data.encode(), damage, &|bytes| EventData::decode(data.event(), bytes).map(|data| data.encode()))?;
            holds_canonical(&leaf.encode(), damage, &|bytes| Leaf::decode(bytes).map(|leaf| leaf.encode().to_vec()))?;
            holds_canonical(&answer.encode(), damage, &|bytes| Answer::decode(bytes).map(|answer| answer.encode()))?;
        }
    }

    #[test]
    fn rows_survive_their_bytes(row in row(), rows in rows(), damages in vec(damage(), 8)) {
        prop_assert_eq!(Row::decode(&row.encode()), Ok(row.clone()));
        prop_assert_eq!(Rows::decode(&rows.encode()), Ok(rows.clone()));
        let of_none = Rows { count: 0, ..rows.clone() }.encode();
        prop_assert!(Rows::decode(&of_none).is_err());
        for damage in &damages {
            holds_canonical(&row.encode(), damage, &|bytes| Row::decode(bytes).map(|row| row.encode()))?;
            holds_canonical(&rows.encode(), damage, &|bytes| Rows::decode(bytes).map(|rows| rows.encode()))?;
        }
        // None of the three is taken for another.
        prop_assert!(Row::decode(&rows.encode()).is_err() && Answer::decode(&row.encode()).is_err() && Answer::decode(&rows.encode()).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), face in invoice().prop_map(|invoice| invoice.face())) {
        if let Ok(written) = rewrite_face(&bytes) {
            prop_assert_eq!(&written, &bytes);
        }
        if let Ok(written) = rewrite_rest(&face, &bytes) {
            prop_assert_eq!(&written, &bytes);
        }
        for event in Event::ALL {
            if let Ok(data) = EventData::decode(event, &bytes) {
                prop_assert_eq!(&data.encode(), &bytes);
            }
        }
        let _ = (Leaf::decode(&bytes), Answer::decode(&bytes));
    }

    #[test]
    fn log_proofs_survive_their_text(
        extra in option::of(vec(any::<u8>(), 1..80)),
        index in any::<u64>(),
        hashes in vec(any::<[u8; 32]>(), 0..40),
        damages in vec((any::<prop::sample::Index>(), any::<char>()), 8),
    ) {
        let proof = LogProof { extra, index, hashes, checkpoint: "a.example/0\n0\n\n\n— a.example x\n".into() };
        let text = proof.encode();
        prop_assert_eq!(LogProof::parse(&text), Ok(proof));
        for (at, replacement) in damages {
            let mut chars: Vec<char> = text.chars().collect();
            *at.get_mut(&mut chars) = replacement;
            let other: String = chars.into_iter().collect();
            if let Ok(parsed) = LogProof::parse(&other) {
                prop_assert_eq!(parsed.encode(), other);
            }
        }
    }

    #[test]
    fn consistency_proofs_survive_their_text(
        from in any::<u64>(),
        to in any::<u64>(),
        hashes in vec(any::<[u8; 32]>(), 0..40),
        notes in vec("[a-z\u{2014} ]{1,9}\n([a-z]{1,9}\n)?\n[a-z\u{2014} ]{1,9}\n", 2),
        damages in vec((any::<prop::sample::Index>(), prop_oneof![any::<char>(), Just('\n')]), 16),
        anything in ".{0,40}",
    ) {
        let proof = ConsistencyProof { from, to, hashes, older: notes[0].clone(), newer: notes[1].clone() };
        let text = proof.encode();
        prop_assert_eq!(ConsistencyProof::parse(&text), Ok(proof));
        for (at, replacement) in damages {
            let mut chars: Vec<char> = text.chars().collect();
            *at.get_mut(&mut chars) = replacement;
            let other: String = chars.into_iter().collect();
            if let Ok(parsed) = ConsistencyProof::parse(&other) {
                prop_assert_eq!(parsed.encode(), other);
            }
        }
        let _ = (ConsistencyProof::parse(&anything), LogProof::parse(&anything));
    }
}

fn electronic_face() -> Face {
    Face {
        kind: Kind::Electronic,
        id: InvoiceId { code: InvoiceCode::parse("011001500111").expect("a code"), number: InvoiceNumber::parse("00012345").expect("a number") },
        date: Day::new(2019, 11, 23).expect("a day"),
        totals: Totals { amount: Fen(30_000), total: Fen(31_800) },
        check_code: CheckCode::parse("01731581649436515692"),
        seller_id: TaxpayerId::parse("91110108MA01GJK44X").expect("an id"),
    }
}

/// The face of the manual's example, byte by byte; then each field set to what it cannot be.
#[test]
fn a_face_rejects_what_it_cannot_say() {
    let bytes = canonical::encode_face(&electronic_face());
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let expected = [
        "01",
        "0a",
        "011001500111",
        "00012345",
        "01341793",
        "0000000000007530",
        "0000000000007c38",
        "0a",
        "01731581649436515692",
        "12",
        "39313131303130384d413031474a4b343458",
    ];
    assert_eq!(hex, expected.concat());

    for (offset, value, reason) in [
        (0, 2, DecodeReason::Version),
        (1, 9, DecodeReason::OutOfRange("kind")),
        // A 12-digit code, and kind 01 has 10.
        (1, 1, DecodeReason::OutOfRange("code length")),
        (2, 0x1a, DecodeReason::OutOfRange("invoice id")),
        (12, 0xff, DecodeReason::OutOfRange("date")),
        (16, 0x01, DecodeReason::OutOfRange("amount")),
        (24, 0x80, DecodeReason::OutOfRange("total")),
        (32, 0, DecodeReason::OutOfRange("n")),
        (32, 9, DecodeReason::OutOfRange("n")),
        (33, 0xa0, DecodeReason::OutOfRange("check code")),
        (43, 19, DecodeReason::Truncated),
        (43, 17, DecodeReason::LeftOver),
        (44, b'a', DecodeReason::OutOfRange("seller id")),
        (44, 0xff, DecodeReason::OutOfRange("seller id")),
    ] {
        let mut other = bytes.clone();
        other[offset] = value;
        assert_eq!(canonical::decode_face(&other).map_err(|error| error.reason), Err(reason), "byte {offset} = {value}");
    }
}

#[test]
fn a_rest_rejects_what_it_cannot_say() {
    let face = electronic_face();
    let text = |text: &str| [&u16::try_from(text.len()).expect("short").to_be_bytes()[..], text.as_bytes()].concat();
    // Seller, drawer; no payee, reviewer, remark, red; buyer; no tax id, addresses, banks; machine; no cipher; one line; no slot.
    let head = [text("某公司"), text("张三"), vec![0; 4], text("李四"), vec![0; 5], text("499099123456"), vec![0]].concat();
    let line_end = [&[0; 3][..], &30_000i64.to_be_bytes(), &6_000u32.to_be_bytes(), &[0], &1_800i64.to_be_bytes(), &[0; 4]].concat();
    let line = [vec![0], text("服务"), line_end].concat();
    let rest = |lines: u16, line: &[u8], slot: &[u8]| [&head[..], &lines.to_be_bytes(), line, slot].concat();
    let reason = |bytes: &[u8]| canonical::decode_rest(&face, bytes).map(|_| ()).map_err(|error| error.reason);

    assert_eq!(reason(&rest(1, &line, &[0])), Ok(()));
    assert_eq!(reason(&rest(0, &[], &[0])), Err(DecodeReason::Empty("lines")));
    assert_eq!(reason(&rest(LINES_MAX as u16 + 1, &line, &[0])), Err(DecodeReason::TooLong("lines")));
    assert_eq!(reason(&rest(1, &line, &[0, 0])), Err(DecodeReason::LeftOver));
    assert_eq!(reason(&rest(1, &line, &[])), Err(DecodeReason::Truncated));
    assert_eq!(reason(&rest(1, &line, &[2])), Err(DecodeReason::OutOfRange("issuer slot")));
    let nature = [&[3], &line[1..]].concat();
    assert_eq!(reason(&rest(1, &nature, &[0])), Err(DecodeReason::OutOfRange("nature")));

    let name = |name: &[u8]| {
        let name = [&u16::try_from(name.len()).expect("short").to_be_bytes()[..], name].concat();
        reason(&[&name[..], &rest(1, &line, &[0])[text("某公司").len()..]].concat())
    };
    assert_eq!(name(b""), Err(DecodeReason::Empty("seller name")));
    assert_eq!(name(&[0xff]), Err(DecodeReason::NotUtf8("seller name")));
    assert_eq!(name(&vec![b'a'; TEXT_BYTES_MAX]), Ok(()));
    assert_eq!(name(&vec![b'a'; TEXT_BYTES_MAX + 1]), Err(DecodeReason::TooLong("seller name")));

    // Optional text: present and empty is not a way to say absent.
    let payee = [&text("某公司")[..], &text("张三"), &[1, 0, 0]].concat();
    assert_eq!(reason(&payee), Err(DecodeReason::Empty("payee")));
    // A red of type 10 names no information sheet.
    let red = [&text("某公司")[..], &text("张三"), &[0, 0, 0, 1], &face.id.to_bytes(), &[1], &text("1101081911012345")].concat();
    assert_eq!(reason(&red), Err(DecodeReason::OutOfRange("notice number")));

    // Of all texts only the preference may be empty.
    let treatment = line.len() - 4 - 8 - 1;
    let with_treatment = |treatment_byte: u8| {
        let mut line = line.clone();
        line[treatment] = treatment_byte;
        reason(&rest(1, &line, &[0]))
    };
    assert_eq!((with_treatment(3), with_treatment(4)), (Ok(()), Err(DecodeReason::OutOfRange("treatment"))));
    let with_end = |end: &[u8]| reason(&rest(1, &[&line[..line.len() - 4], end].concat(), &[0]));
    assert_eq!(with_end(&[0, 0, 1, 0, 0, 0]), Ok(()));
    assert_eq!(with_end(&[0, 1, 0, 0, 0, 0]), Err(DecodeReason::Empty("own code")));
}

#[test]
fn leaves_and_events_reject_what_they_cannot_say() {
    let leaf = Leaf {
        event: Event::Void,
        kind: Some(Kind::Special),
        imported: false,
        time_ms: 1_577_808_000_000,
        ref_index: Some(7),
        id_tag: [1; 32],
        commit: [2; 32],
        key_id: KeyId([3; 8]),
    };
    let bytes = leaf.encode();
    for (offset, value, reason) in [
        (1, 2, DecodeReason::Version),
        (2, 0, DecodeReason::OutOfRange("event")),
        (2, 16, DecodeReason::OutOfRange("event")),
        // An issue refers to nothing, an allotment has no kind.
        (2, 1, DecodeReason::OutOfRange("ref_index")),
        (2, 5, DecodeReason::OutOfRange("kind")),
        (3, 0, DecodeReason::OutOfRange("kind")),
        (5, 1, DecodeReason::OutOfRange("shard")),
        (7, 2, DecodeReason::OutOfRange("flags")),
    ] {
        let mut other = bytes;
        other[offset] = value;
        assert_eq!(Leaf::decode(&other).map_err(|error| error.reason), Err(reason), "byte {offset} = {value}");
    }

    let id = electronic_face().id;
    let status = EventData::Status { id, mark: Mark::Lost }.encode();
    let marked = |mark: u8| EventData::decode(Event::Status, &[&status[..11], &[mark]].concat()).is_ok();
    assert_eq!((0..9).filter(|mark| marked(*mark)).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
    let range = NumberRange::new(id.code, id.number, id.number).expect("one number");
    let lost = EventData::AllotmentStatus { range, mark: Mark::Lost }.encode();
    let policy = |length: usize| {
        EventData::decode(Event::Policy, &EventData::Policy(PolicyNotice { previous: None, text: "a".repeat(length) }).encode()).is_ok()
    };
    assert_eq!([0, 1, POLICY_BYTES_MAX, POLICY_BYTES_MAX + 1].map(policy), [false, true, true, false]);
    let marked = |mark: u8| EventData::decode(Event::AllotmentStatus, &[&lost[..15], &[mark]].concat()).is_ok();
    assert_eq!((0..9).filter(|mark| marked(*mark)).collect::<Vec<_>>(), [1, 2, 4, 5]);

    // A key's id is the hash of the key.
    let key = KeyRecord::new(Role::Authority, [9; 32], UnixMillis(0), None).expect("a record");
    let mut bytes = EventData::Key(key).encode();
    bytes[3] ^= 1;
    assert_eq!(EventData::decode(Event::Key, &bytes).map_err(|error| error.reason), Err(DecodeReason::OutOfRange("key id")));
    // What is withdrawn has a window that ends, one of three reasons, and a version of its own; nothing may follow.
    assert_eq!(key.withdrawn_for(Withdrawal::Lost), None);
    let closed = key.closed(UnixMillis(7)).expect("a window");
    assert_eq!(closed.closed(UnixMillis(0)), None);
    let plain = EventData::Key(closed).encode();
    let withdrawn = EventData::Key(closed.withdrawn_for(Withdrawal::Compromised).expect("withdrawn")).encode();
    assert_eq!((withdrawn[0], &withdrawn[1..61], withdrawn[61]), (2, &plain[1..], 1));
    let fault = |bytes: &[u8]| EventData::decode(Event::Key, bytes).map_err(|error| (error.offset, error.reason));
    let with = |at: usize, value: u8| withdrawn.iter().enumerate().map(|(i, byte)| if i == at { value } else { *byte }).collect::<Vec<u8>>();
    assert_eq!((0..9).filter(|reason| fault(&with(61, *reason)).is_ok()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(fault(&with(0, 3)), Err((0, DecodeReason::Version)));
    assert!(fault(&withdrawn[..61]).is_err() && fault(&with(0, 1)).is_err() && fault(&[&plain[..53], &[0xff; 8]].concat()).is_ok());
    assert!(fault(&[&withdrawn[..53], &[0xff; 8], &[1]].concat()).is_err(), "an open window");
    assert_eq!(KeyRecord::new(Role::Tag, [9; 32], UnixMillis(0), None), None);
    assert_eq!(KeyRecord::new(Role::Issuer, [9; 32], UnixMillis(5), Some(UnixMillis(5))), None);
}

#[test]
fn the_content_digest_ignores_check_code_and_slot_only() {
    let face = electronic_face();
    let other_check = Face { check_code: CheckCode::parse("99999999999999999999"), ..face.clone() };
    let other_day = Face { date: Day::new(2019, 11, 24).expect("a day"), ..face.clone() };
    let digest = |event, face, rest| canonical::content_digest(event, face, rest);
    let first = digest(Event::Issue, &face, b"rest");
    assert_eq!(first, digest(Event::Issue, &other_check, b"rest"));
    for other in [digest(Event::Red, &face, b"rest"), digest(Event::Issue, &other_day, b"rest"), digest(Event::Issue, &face, b"resT")] {
        assert_ne!(first, other);
    }
}

#[test]
fn questions_are_told_apart() {
    let stronger = |date, amount, total, seller_id, buyer_id| Query::Typed {
        code: "011001500111",
        number: "00012345",
        date,
        amount,
        check: None,
        total,
        seller_id,
        buyer_id,
    };
    let typed = |date, amount| stronger(date, amount, None, None, None);
    let id = Some("91310115P12455XH31");
    let questions = [
        typed(None, None),
        typed(Some("20191123"), None),
        typed(None, Some("20191123")),
        stronger(None, None, Some("20191123"), None, None),
        stronger(None, None, None, id, None),
        stronger(None, None, None, None, id),
        stronger(None, None, None, id, id),
        Query::Qr("011001500111"),
    ];
    let digests: std::collections::BTreeSet<_> = questions.iter().map(|query| query.digest().expect("short")).collect();
    assert_eq!(digests.len(), questions.len());
    assert!(Query::Qr(&"1".repeat(1025)).digest().is_err());
    let long = "1".repeat(65);
    assert!(typed(Some(&long), None).digest().is_err());
    assert!(stronger(None, None, None, None, Some(&long)).digest().is_err());
}

#[test]
fn log_proofs_are_read_strictly() {
    let hash = data_encoding::BASE64.encode(&[7; 32]);
    let good = format!("c2sp.org/tlog-proof@v1\nindex 5\n{hash}\n\ncheckpoint");
    assert!(LogProof::parse(&good).is_ok());
    for (from, to, error) in [
        ("@v1", "@v2", LogProofError::Header("c2sp.org/tlog-proof@v1")),
        ("index 5", "index 05", LogProofError::Line(2)),
        ("index 5", "index +5", LogProofError::Line(2)),
        ("index 5", "index 18446744073709551616", LogProofError::Line(2)),
        ("index 5", "extra \nindex 5", LogProofError::Line(2)),
        ("BwcHBw", "BwcHB", LogProofError::Line(3)),
        ("BwcHBwcH", "BwcHBwc=", LogProofError::Line(3)),
        ("\n\ncheckpoint", "\n", LogProofError::NoCheckpoint),
    ] {
        assert_eq!(LogProof::parse(&good.replacen(from, to, 1)), Err(error), "{to:?}");
    }
}

#[test]
fn consistency_proofs_are_read_strictly() {
    let hash = data_encoding::BASE64.encode(&[7; 32]);
    let good = format!("fapiao/consistency@v1\nfrom 5\nto 9\n{hash}\n\nolder\n\nsigned\n\nnewer\n\nSigned\n");
    let read = ConsistencyProof::parse(&good).expect("a proof");
    assert_eq!((read.older.as_str(), read.newer.as_str()), ("older\n\nsigned\n", "newer\n\nSigned\n"));
    let many = format!("{hash}\n").repeat(66);
    for (from, to, error) in [
        ("@v1", "@v2", LogProofError::Header("fapiao/consistency@v1")),
        ("from 5", "from 05", LogProofError::Line(2)),
        ("from 5\n", "", LogProofError::Line(2)),
        ("to 9", "to -9", LogProofError::Line(3)),
        ("to 9", "to 18446744073709551616", LogProofError::Line(3)),
        ("BwcHBw", "BwcHB", LogProofError::Line(4)),
        ("to 9\n", &format!("to 9\n{many}"), LogProofError::TooLong),
        ("Signed\n", "Signed", LogProofError::NotTwoCheckpoints),
        ("Signed\n", "Signed\n\n", LogProofError::NotTwoCheckpoints),
        ("Signed\n", "Signed\n\nmore\n", LogProofError::NotTwoCheckpoints),
        ("\n\nnewer\n\nSigned\n", "\n", LogProofError::NotTwoCheckpoints),
        ("\n\nnewer", "\n\n\nnewer", LogProofError::NotTwoCheckpoints),
        ("\n\nsigned", "\n\n\nsigned", LogProofError::NotTwoCheckpoints),
    ] {
        assert_eq!(ConsistencyProof::parse(&good.replacen(from, to, 1)), Err(error), "{to:?}");
    }
}
