//! Quotas and guess protection: how much anybody may ask, that nobody guesses an invoice's factors, and that neither hurts who holds the paper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fapiao::channel::{answer as rendered, question};
use fapiao::domain::caller::CallerId;
use fapiao::domain::invoice::Face;
use fapiao::domain::kind::{Factor, Kind};
use fapiao::domain::money::Fen;
use fapiao::domain::number::InvoiceId;
use fapiao::domain::time::UnixMillis;
use fapiao::engine::{Asked, Config, Counting, Engine};
use fapiao::limits::{QUOTA_ADDRESS_BURST, QUOTA_ASKERS_MAX, QUOTA_PHONE_BURST};
use fapiao::verify::answer::Answer;
use fapiao::verify::check::Checked;
use fapiao::verify::query::{Question, Typed};
use fapiao::verify::quota::{Asker, Policies, Policy, Prefix, Quota, Reason};
use fapiao::verify::verdict::Verdict;
use proptest::prelude::*;
use serde_json::json;

use crate::support::*;

const UNLIMITED: Policies = Policies { address: None, phone: None, key: None };
const PHONE: Asker = Asker::Phone([7; 16]);
const KEY: Asker = Asker::Key(CallerId([7; 8]));

/// A ledger on which anybody may ask as fast as they like, so that only guess protection is in their way.
fn unhurried() -> (Site, Engine) {
    let site = Site::new();
    let engine = Engine::create(Config { quotas: UNLIMITED, ..site.config() }).expect("a new ledger");
    allot_all(&engine);
    (site, engine)
}

fn issued(engine: &Engine, kind: Kind, number: u32) -> Face {
    logged(submit(engine, &generated(kind, u64::from(number), number)));
    face(engine, id(kind, number))
}

/// The nth address.
fn address(nth: u32) -> Asker {
    Asker::Anonymous(Prefix::from(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + nth))))
}

fn ask(engine: &Engine, asker: &Asker, question: &Question) -> Answer {
    engine.ask(question, asker, Counting::Verification).expect("an answer").answer
}

fn told(engine: &Engine, asker: &Asker, typed: &Typed) -> Verdict {
    ask(engine, asker, &typed.question()).verdict
}

fn reason(answer: &Answer) -> Option<Reason> {
    assert_eq!(answer.throttled.is_some(), answer.verdict == Verdict::Throttled);
    answer.throttled.map(|throttled| throttled.reason)
}

/// The factor that a guesser varies, by its number of a million; the right one is in it.
fn guess(face: &Face, nth: u32) -> Typed {
    let right = typed(face);
    match face.kind.profile().factor {
        Factor::CheckCode => Typed { check: Some(format!("{:06}", nth % 1_000_000)), ..right },
        Factor::Amount => Typed { amount: Some(Fen(face.totals.amount.0 / 1_000_000 * 1_000_000 + i64::from(nth)).to_string()), ..right },
    }
}

fn right_guess(face: &Face) -> u32 {
    let right = match face.kind.profile().factor {
        Factor::CheckCode => face.check_code.expect("a check code").last_six().parse().expect("digits"),
        Factor::Amount => u32::try_from(face.totals.amount.0 % 1_000_000).expect("a positive amount"),
    };
    assert_eq!(guess(face, right), typed(face));
    right
}

fn wrong(face: &Face) -> Question {
    guess(face, right_guess(face) + 1).question()
}

/// What the paper shows besides.
fn with_amounts(engine: &Engine, face: &Face) -> Typed {
    let buyer = engine.invoice(face.id).expect("readable").expect("there").buyer_id().map_or("无".to_owned(), ToString::to_string);
    Typed { total: Some(face.totals.total.to_string()), seller_id: Some(face.seller_id.to_string()), buyer_id: Some(buyer), ..typed(face) }
}

fn with_all_digits(face: &Face) -> Typed {
    Typed { check: face.check_code.map(|check| check.to_string()), ..typed(face) }
}

fn verifications(engine: &Engine, id: InvoiceId) -> u64 {
    engine.ledger().counts().get(id).expect("readable").count
}

/// All guesses there are, in an order in which the right one comes last but thousands are beyond the budget: nobody hits, nobody learns.
fn nobody_guesses(kind: Kind, guesses: u32, needed: &serde_json::Value) {
    let (site, engine) = unhurried();
    let face = issued(&engine, kind, 1);
    let other = issued(&engine, kind, 2);
    let right = right_guess(&face);
    // Coprime to a million, so that every guess comes once; from just behind the right one.
    let nth = |turn: u32| u32::try_from((u64::from(right) + u64::from(turn + 1) * 617_231) % 1_000_000).expect("below a million");
    let askers: Vec<(Asker, u32)> = (0..1_000).map(|nth| (address(nth), guesses / 1_000)).chain([(PHONE, 2_000), (KEY, 2_000)]).collect();
    let mut throttled = std::collections::BTreeSet::new();
    let mut hit_beyond_the_budget = 0;
    let (mut anonymous, mut turn) = (0, 0);
    for (asker, guesses) in &askers {
        let mut compared = 0;
        for own in 0..*guesses {
            turn += 1;
            // Each phone and key has the right one too, and each asker at some time beyond the budget.
            let guessed = if own == 997 { right } else { nth(turn) };
            let answer = ask(&engine, asker, &guess(&face, guessed).question());
            match (answer.verdict, &asker) {
                (Verdict::Mismatch, _) => compared += 1,
                (Verdict::Throttled, _) => {
                    assert!(answer.registered.is_none() && answer.count == 0);
                    hit_beyond_the_budget += u32::from(guessed == right);
                    // The same, whether the guess was right or not.
                    throttled.insert((matches!(asker, Asker::Anonymous(_)), rendered::to_json(&answer).to_string(), rendered::to_text(&answer)));
                }
                (verdict, asker) => panic!("{verdict:?} for {guessed:06} by {asker:?}"),
            }
        }
        match asker {
            Asker::Anonymous(_) => anonymous += compared,
            _ => assert_eq!(compared, 10, "{asker:?}"),
        }
    }
    assert_eq!(anonymous, 20);
    assert!(hit_beyond_the_budget > 2, "the right one was among those that were refused");
    assert_eq!(throttled.len(), 2, "one text for strangers and one for phones and keys: {throttled:?}");
    assert_eq!(verifications(&engine, face.id), 0);

    // The owner, at an address that never asked before, is told what helps, and it helps.
    let owner = address(5_000);
    let answer = ask(&engine, &owner, &typed(&face).question());
    assert_eq!(reason(&answer), Some(Reason::StrongerFactors));
    let until_midnight = today().plus_days(1).expect("a day").start().0 - site.now().0;
    let json = rendered::to_json(&answer);
    assert_eq!((&json["throttled"]["reason"], &json["throttled"]["needed"]), (&json!("stronger_factors"), needed));
    assert_eq!(json["throttled"]["retry_after"], json!(until_midnight / 1_000));
    assert_eq!(told(&engine, &owner, &with_amounts(&engine, &face)), Verdict::Genuine);
    assert_eq!(ask(&engine, &owner, &question::of_qr(&signed_qr(&engine, face.id))).verdict, Verdict::Genuine);
    let classic = classic_qr(&engine, face.id).map(|text| ask(&engine, &owner, &question::of_qr(&text)).verdict);
    match face.check_code {
        Some(_) => {
            assert_eq!(told(&engine, &owner, &with_all_digits(&face)), Verdict::Genuine);
            assert_eq!(classic, Some(Verdict::Genuine));
        }
        // It shows an amount and a day, as whoever types does.
        None => assert_eq!(classic, Some(Verdict::Throttled)),
    }
    let asked = verifications(&engine, face.id);
    assert_eq!(asked, if face.check_code.is_some() { 4 } else { 2 });

    // Nobody else is touched, and no other invoice.
    for asker in [Asker::Phone([8; 16]), Asker::Key(CallerId([8; 8])), Asker::Console] {
        assert_eq!(told(&engine, &asker, &typed(&face)), Verdict::Genuine, "{asker:?}");
    }
    for asker in [address(0), PHONE, KEY] {
        assert_eq!(reason(&ask(&engine, &asker, &with_amounts(&engine, &face).question())).is_some(), asker == PHONE || asker == KEY, "{asker:?}");
        assert_eq!(told(&engine, &asker, &typed(&other)), Verdict::Genuine, "{asker:?}");
        assert_eq!(ask(&engine, &asker, &question::of_qr(&signed_qr(&engine, face.id))).verdict, Verdict::Genuine, "{asker:?}");
    }
    site.set_now(UnixMillis(site.now().0 + until_midnight));
    for asker in [owner, PHONE, KEY] {
        assert_eq!(told(&engine, &asker, &typed(&face)), Verdict::Genuine, "{asker:?} the next day");
    }
}

#[test]
fn a_million_guesses_of_a_check_code_are_twenty() {
    nobody_guesses(Kind::Electronic, 1_000_000, &json!([["check (20 digits)"], ["total", "seller_id", "buyer_id"]]));
}

#[test]
fn guesses_of_an_amount_are_twenty_too() {
    nobody_guesses(Kind::Special, 1_000_000, &json!([["total", "seller_id", "buyer_id"]]));
}

/// Once strangers have failed, each address has ten tries with total and tax ids, and any number with 20 digits.
#[test]
fn an_address_has_ten_tries_with_amounts() {
    let (_site, engine) = unhurried();
    let face = issued(&engine, Kind::Ordinary, 1);
    let right = with_amounts(&engine, &face);
    let wrong_total = Typed { total: Some((face.totals.total + Fen(1)).to_string()), ..right.clone() };
    // While they have not, what is shown besides makes no difference: it is one of the twenty.
    for nth in 0..20 {
        assert_eq!(told(&engine, &address(nth), &wrong_total), Verdict::Mismatch);
    }
    assert_eq!(reason(&ask(&engine, &address(0), &typed(&face).question())), Some(Reason::StrongerFactors));
    // A field that is missing does not count as shown, nor does an empty one.
    for part in
        [Typed { total: None, ..right.clone() }, Typed { seller_id: None, ..right.clone() }, Typed { buyer_id: Some(" ".into()), ..right.clone() }]
    {
        assert_eq!(reason(&ask(&engine, &address(0), &part.question())), Some(Reason::StrongerFactors), "{part:?}");
    }
    for _ in 0..10 {
        assert_eq!(told(&engine, &address(0), &right), Verdict::Genuine);
        assert_eq!(told(&engine, &address(0), &wrong_total), Verdict::Mismatch);
    }
    let count = verifications(&engine, face.id);
    let answer = ask(&engine, &address(0), &right.question());
    assert_eq!(reason(&answer), Some(Reason::WaitOnInvoice));
    assert_eq!(rendered::to_json(&answer)["throttled"]["needed"], json!([["check (20 digits)"]]));
    assert_eq!(verifications(&engine, face.id), count);
    assert_eq!(told(&engine, &address(1), &right), Verdict::Genuine);
    for _ in 0..30 {
        let wrong_day = Typed { date: Some("2019-01-01".into()), ..with_all_digits(&face) };
        assert_eq!(told(&engine, &address(0), &wrong_day), Verdict::Mismatch);
    }
    assert_eq!(told(&engine, &address(0), &with_all_digits(&face)), Verdict::Genuine);
}

/// What is not a failed factor takes no try: no such invoice, a match, a question that cannot be read.
#[test]
fn only_a_mismatch_is_a_failure() {
    let (_site, engine) = unhurried();
    let face = issued(&engine, Kind::Roll, 1);
    for asker in [address(1), PHONE, KEY] {
        for _ in 0..30 {
            assert_eq!(told(&engine, &asker, &Typed { number: "00000777".into(), ..typed(&face) }), Verdict::NotFound);
            assert_eq!(told(&engine, &asker, &Typed { date: None, ..typed(&face) }), Verdict::Malformed);
            assert_eq!(told(&engine, &asker, &typed(&face)), Verdict::Genuine);
        }
    }
    assert_eq!(verifications(&engine, face.id), 90);
}

/// However many guess at once, not one more is compared; and however many ask rightly at once, nobody is refused.
#[test]
fn guesses_at_the_same_time_share_the_budget() {
    const THREADS: u32 = 8;
    let (_site, engine) = unhurried();
    let faces: Vec<Face> = (1..=12).map(|number| issued(&engine, Kind::Electronic, number)).collect();
    for face in &faces {
        let (right, wrong) = (typed(face).question(), wrong(face));
        let (anonymous, keyed, genuine) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for nth in 0..THREADS {
                let (engine, start, right, wrong, anonymous, keyed, genuine) = (&engine, &start, &right, &wrong, &anonymous, &keyed, &genuine);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..200 {
                        genuine.fetch_add(usize::from(ask(engine, &address(nth), right).verdict == Verdict::Genuine), Ordering::SeqCst);
                    }
                    start.wait();
                    for _ in 0..50 {
                        anonymous.fetch_add(usize::from(ask(engine, &address(nth), wrong).verdict == Verdict::Mismatch), Ordering::SeqCst);
                        keyed.fetch_add(usize::from(ask(engine, &KEY, wrong).verdict == Verdict::Mismatch), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!([genuine, anonymous, keyed].map(AtomicUsize::into_inner), [1_600, 20, 10], "{}", face.id);
    }
}

/// Failures of one list count from one line to the next.
#[test]
fn a_list_is_no_way_around() {
    let (_site, engine) = unhurried();
    let face = issued(&engine, Kind::Electronic, 1);
    let mut questions = vec![wrong(&face); 300];
    questions.push(typed(&face).question());
    let verdicts = |asker: &Asker| -> Vec<Verdict> {
        engine.ask_many(&questions, asker, Counting::Verification).expect("answers").into_iter().map(|asked| asked.answer.verdict).collect()
    };
    for (asker, budget) in [(KEY, 10), (address(1), 20)] {
        let verdicts = verdicts(&asker);
        assert!(verdicts[..budget].iter().all(|verdict| *verdict == Verdict::Mismatch), "{asker:?}");
        assert!(verdicts[budget..].iter().all(|verdict| *verdict == Verdict::Throttled), "{asker:?}");
    }
    assert_eq!(verdicts(&Asker::Console)[300], Verdict::Genuine);
}

#[test]
fn failures_are_forgotten_at_midnight_in_china() {
    let (site, engine) = unhurried();
    let face = issued(&engine, Kind::Electronic, 1);
    let midnight = today().plus_days(1).expect("a day").start();
    site.set_now(UnixMillis(midnight.0 - 1));
    for _ in 0..20 {
        ask(&engine, &address(1), &wrong(&face));
        ask(&engine, &KEY, &wrong(&face));
    }
    for (asker, why) in [(address(2), Reason::StrongerFactors), (KEY, Reason::WaitOnInvoice)] {
        let throttled = ask(&engine, &asker, &typed(&face).question()).throttled.expect("throttled");
        assert_eq!((throttled.reason, throttled.retry_after), (why, 1));
    }
    site.set_now(midnight);
    assert_eq!(told(&engine, &address(2), &typed(&face)), Verdict::Genuine);
    for _ in 0..10 {
        assert_eq!(ask(&engine, &KEY, &wrong(&face)).verdict, Verdict::Mismatch);
    }
    // Somebody who read the clock before midnight is counted for today, and a clock that is set back gives no tries.
    for earlier in [1, 5 * 86_400_000] {
        site.set_now(UnixMillis(midnight.0 - earlier));
        assert_eq!(told(&engine, &KEY, &typed(&face)), Verdict::Throttled);
    }
    site.set_now(midnight);
    assert_eq!(told(&engine, &KEY, &typed(&face)), Verdict::Genuine);
}

/// While many guess, the day changes: those who are on their way count for the new day, and each day has its twenty.
#[test]
fn midnight_gives_no_extra_tries() {
    let (site, engine) = unhurried();
    let face = issued(&engine, Kind::Electronic, 1);
    let (wrong, compared, done) = (wrong(&face), AtomicUsize::new(0), AtomicUsize::new(0));
    for day in 1..=5 {
        thread::scope(|scope| {
            for nth in 0..8 {
                let (engine, wrong, compared, done) = (&engine, &wrong, &compared, &done);
                scope.spawn(move || {
                    while done.load(Ordering::SeqCst) < day {
                        compared.fetch_add(usize::from(ask(engine, &address(nth), wrong).verdict == Verdict::Mismatch), Ordering::SeqCst);
                    }
                    // On the new day.
                    for _ in 0..30 {
                        compared.fetch_add(usize::from(ask(engine, &address(nth), wrong).verdict == Verdict::Mismatch), Ordering::SeqCst);
                    }
                });
            }
            while compared.load(Ordering::SeqCst) < 20 * day {
                thread::yield_now();
            }
            site.set_now(site.now().next_day());
            done.store(day, Ordering::SeqCst);
        });
        assert_eq!(compared.load(Ordering::SeqCst), 20 * (day + 1));
    }
}

/// A pure quota, and what a comparison of factors comes to.
fn guarded(quota: &Quota, asker: &Asker, question: &Question, verdict: Verdict) -> bool {
    let known = quota.known(asker).expect("under a quota");
    quota.guarded(&known, question.query.as_ref().expect("readable"), noon(), || Checked { verdict, verified: None }).is_ok()
}

fn noon() -> UnixMillis {
    UnixMillis(today().start().0 + 12 * 3_600_000)
}

fn about(number: u32) -> Question {
    Typed {
        code: "033001900111".into(),
        number: format!("{number:08}"),
        date: Some("2019-11-11".into()),
        check: Some("123456".into()),
        ..Typed::default()
    }
    .question()
}

/// One key that fails on a hundred thousand invoices, as often as it may, makes no other key, phone or stranger wait.
#[test]
fn whoever_fails_everywhere_hurts_nobody_else() {
    let quota = Quota::new(Policies::STANDARD, [3; 16]);
    let mut early = 0;
    for number in 1..=100_000 {
        let question = about(number);
        let compared = (0..12).filter(|_| guarded(&quota, &KEY, &question, Verdict::Mismatch)).count();
        // Its own segments fill up, so that it has fewer tries in the end. It never has more.
        assert!(compared <= 10, "{compared} tries on {number}");
        early += if number <= 5_000 { compared } else { 0 };
    }
    assert!(early > 49_900, "{early} of 50,000");
    assert!(!guarded(&quota, &KEY, &about(5), Verdict::Genuine));
    for nth in 0..200 {
        for number in 1..=50 {
            let asker = if nth < 100 { Asker::Key(CallerId([nth; 8])) } else { Asker::Phone([nth; 16]) };
            assert!(asker == KEY || guarded(&quota, &asker, &about(number), Verdict::Genuine), "{asker:?} {number}");
            assert!(guarded(&quota, &address(u32::from(nth)), &about(number), Verdict::Genuine), "{nth} {number}");
        }
    }
}

#[test]
fn addresses_are_told_apart_by_prefix() {
    let v6 = |text: &str| Prefix::from(IpAddr::V6(text.parse::<Ipv6Addr>().expect("an address")));
    let v4 = |text: &str| Prefix::from(IpAddr::V4(text.parse::<Ipv4Addr>().expect("an address")));
    assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
    assert_eq!(v6("::ffff:192.0.2.1"), v4("192.0.2.1"));
    assert_ne!(v4("192.0.2.1"), v4("192.0.2.2"));
    assert_ne!(v6("::1"), v4("0.0.0.0"));
    assert!(!format!("{:?}", Asker::Anonymous(v4("192.0.2.1"))).contains("192"));

    let quota = Quota::new(Policies::STANDARD, [1; 16]);
    let take = |text: &str, wanted| {
        let known = quota.known(&Asker::Anonymous(v6(text))).expect("under a quota");
        quota.take(&known, wanted, noon()).expect("a quota").granted
    };
    assert_eq!([take("2001:db8::1", 299), take("2001:db8::2", 2), take("2001:db8::3", 1), take("2001:db8:0:1::", 1)], [299, 1, 0, 1]);
}

/// A million fresh addresses take no more memory than there is, and nobody gets a bucket back by them.
#[test]
fn a_flood_of_addresses_resets_nobody() {
    let quota = Quota::new(Policies::STANDARD, [2; 16]);
    let take = |asker: &Asker, wanted, now| quota.take(&quota.known(asker).expect("limited"), wanted, now).expect("a quota");
    let (early, phone) = (address(0), Asker::Phone([1; 16]));
    assert_eq!(take(&early, 1_000, noon()).granted, QUOTA_ADDRESS_BURST);
    assert_eq!(take(&phone, 1_000, noon()).granted, QUOTA_PHONE_BURST);
    let granted = (1..=1_000_000).map(|nth| take(&address(nth), 1, noon()).granted).sum::<u32>();
    assert!(quota.askers() <= QUOTA_ASKERS_MAX && quota.askers() > QUOTA_ASKERS_MAX * 9 / 10, "{}", quota.askers());
    // Those for whom there was no room shared one bucket of their class.
    assert_eq!(granted as usize, quota.askers() - 2 + QUOTA_ADDRESS_BURST as usize);
    let late = take(&address(2_000_000), 1, noon());
    assert_eq!((late.granted, late.retry_after), (0, Some(1)));
    assert_eq!((take(&early, 1, noon()).granted, take(&phone, 1, noon()).granted), (0, 0));
    assert_eq!(take(&Asker::Phone([2; 16]), 1, noon()).granted, 1);

    let later = UnixMillis(noon().0 + 200);
    assert_eq!((take(&early, 5, later).granted, take(&address(3_000_000), 1, later).granted), (2, 1));
    // Who has not asked for long takes no room.
    let much_later = UnixMillis(noon().0 + 60_000);
    for nth in 4_000_000..4_500_000 {
        take(&address(nth), 1, UnixMillis(much_later.0 + u64::from(nth % 1_000)));
    }
    assert!(quota.askers() <= QUOTA_ASKERS_MAX);
    assert_eq!(take(&early, 1_000, much_later).granted, QUOTA_ADDRESS_BURST);
}

/// The simplest bucket that is right: parts of a question, so that nothing is ever rounded.
struct Reference {
    policy: Policy,
    parts: u128,
    at: u64,
}

impl Reference {
    const PARTS: u128 = 60_000;

    fn full(policy: Policy) -> Reference {
        Reference { policy, parts: u128::from(policy.burst.get()) * Reference::PARTS, at: 0 }
    }

    fn take(&mut self, wanted: u32, now: u64) -> u32 {
        let new = u128::from(now - self.at) * u128::from(self.policy.per_minute.get());
        self.parts = (self.parts + new).min(u128::from(self.policy.burst.get()) * Reference::PARTS);
        self.at = now;
        let granted = wanted.min((self.parts / Reference::PARTS) as u32);
        self.parts -= u128::from(granted) * Reference::PARTS;
        granted
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    /// As the reference, exactly where a question takes whole microseconds to come anew, never more than it elsewhere; and what is told of it is true.
    #[test]
    fn a_bucket_is_as_the_reference(
        burst in 1_u32..500,
        per_minute in prop_oneof![Just(1_u32), Just(60), Just(600), Just(6_000), Just(600_000), Just(60_000_000), 1_u32..5_000_000],
        asks in prop::collection::vec((0_u64..5_000, 0_u32..300), 1..80),
    ) {
        let policy = Policy::new(burst, per_minute).expect("not nothing");
        let quota = Quota::new(Policies { phone: Some(policy), ..UNLIMITED }, [9; 16]);
        let known = quota.known(&PHONE).expect("limited");
        let mut reference = Reference::full(policy);
        let whole = 60_000_000 % per_minute == 0;
        let mut now = noon();
        reference.at = now.0;
        for (pause, wanted) in asks {
            now = UnixMillis(now.0 + pause);
            let rate = quota.take(&known, wanted, now).expect("a quota");
            prop_assert!(rate.granted <= wanted && rate.limit == burst && rate.granted + rate.remaining <= burst);
            prop_assert_eq!(rate.retry_after.is_some(), rate.granted < wanted);
            if whole {
                prop_assert_eq!(rate.granted, reference.take(wanted, now.0));
                prop_assert_eq!(u128::from(rate.remaining), reference.parts / Reference::PARTS);
            } else {
                // Taken as granted, or the two would drift apart.
                prop_assert_eq!(reference.take(rate.granted, now.0), rate.granted);
            }
            if let Some(seconds) = rate.retry_after {
                let then = UnixMillis(now.0 + seconds * 1_000);
                let missing = (wanted - rate.granted).min(burst);
                let again = quota.take(&known, missing, then).expect("a quota");
                prop_assert_eq!(again.granted, missing);
                reference.take(missing, then.0);
                now = then;
            }
        }
        now = UnixMillis(now.0 + quota.take(&known, 0, now).expect("a quota").reset_seconds * 1_000);
        prop_assert_eq!(quota.take(&known, burst, now).expect("a quota").granted, burst);
        // A clock that is set back keeps nobody waiting for longer than an empty bucket does.
        let earlier = UnixMillis(now.0 - 86_400_000);
        let rate = quota.take(&known, 1, earlier).expect("a quota");
        prop_assert!(rate.granted == 0 && rate.reset_seconds <= rate.window_seconds);
    }
}

/// Through the engine: each class has its own, a signed code is free for strangers, and nothing is looked up for those who asked too much.
#[test]
fn a_quota_ends_and_a_signed_code_is_free() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    let face = issued(&engine, Kind::Electronic, 1);
    let signed = question::of_qr(&signed_qr(&engine, face.id));
    let question = typed(&face).question();
    let asked = |asker: &Asker, question: &Question| engine.ask(question, asker, Counting::Verification).expect("an answer");
    for (asker, burst, signed_is) in [(address(1), QUOTA_ADDRESS_BURST, Verdict::Genuine), (PHONE, QUOTA_PHONE_BURST, Verdict::Throttled)] {
        let before = verifications(&engine, face.id);
        for nth in 1..=burst {
            let Asked { answer, rate } = asked(&asker, &question);
            let rate = rate.expect("limited");
            assert_eq!((answer.verdict, rate.limit, rate.remaining, rate.retry_after), (Verdict::Genuine, burst, burst - nth, None), "{asker:?}");
        }
        let Asked { answer, rate } = asked(&asker, &question);
        let rate = rate.expect("limited");
        assert_eq!((reason(&answer), rate.retry_after), (Some(Reason::TooManyQuestions), Some(1)));
        assert_eq!(rendered::to_json(&answer)["throttled"]["reason"], json!("too_many_questions"));
        assert!(answer.registered.is_none() && answer.count == 0);
        assert_eq!(verifications(&engine, face.id), before + u64::from(burst));
        let by_code = asked(&asker, &signed);
        assert_eq!((by_code.answer.verdict, by_code.rate.is_none()), (signed_is, signed_is == Verdict::Genuine), "{asker:?}");
        // A question that cannot be read takes from it too.
        assert_eq!(reason(&asked(&asker, &Typed::default().question()).answer), Some(Reason::TooManyQuestions));
    }
    // In a list the first are answered as far as it goes, and signed codes between them.
    let list = [&question, &signed, &question, &question, &signed].map(Clone::clone);
    let asker = address(2);
    for _ in 0..QUOTA_ADDRESS_BURST - 2 {
        asked(&asker, &question);
    }
    let answers = engine.ask_many(&list, &asker, Counting::Verification).expect("answers");
    let verdicts: Vec<Verdict> = answers.iter().map(|asked| asked.answer.verdict).collect();
    assert_eq!(verdicts, [Verdict::Genuine, Verdict::Genuine, Verdict::Genuine, Verdict::Throttled, Verdict::Genuine]);
    // A second later there is more.
    site.set_now(UnixMillis(site.now().0 + 1_000));
    assert_eq!(asked(&asker, &question).rate.map(|rate| rate.remaining), Some(9));
    assert!(asked(&Asker::Console, &question).rate.is_none());
}

/// What a preview of a link loads shows the count and does not add to it; its guesses are guesses.
#[test]
fn a_preview_counts_no_verification() {
    let (_site, engine) = unhurried();
    let face = issued(&engine, Kind::Electronic, 1);
    let look = |question: &Question| engine.ask(question, &address(1), Counting::Nothing).expect("an answer").answer;
    let right = typed(&face).question();
    assert_eq!((look(&right).verdict, look(&right).count, look(&right).first_verified), (Verdict::Genuine, 0, None));
    let first = ask(&engine, &KEY, &right);
    assert_eq!((first.count, first.first_verified), (1, None));
    assert_eq!((look(&right).count, look(&right).first_verified.is_some()), (1, true));
    for _ in 0..20 {
        assert_eq!(look(&wrong(&face)).verdict, Verdict::Mismatch);
    }
    assert_eq!(look(&right).verdict, Verdict::Throttled);
}
