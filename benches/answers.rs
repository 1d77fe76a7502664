//! Kept answers: what a signature costs beside the answer alone, one by one and many at a time; the root over an hour of them; and what is shown of one.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use fapiao::codec::canonical;
use fapiao::codec::proof::answer_hash;
use fapiao::engine::Engine;
use fapiao::limits::ANSWERS_PER_ROOT_MAX;
use fapiao::verify::query::{Question, Typed};

use crate::Plan;
use crate::site::{self, Site, median};

const ROUNDS: usize = 5;
const THREADS: usize = 16;

/// Everything that is printed on an invoice.
fn question(engine: &Engine, nth: u32) -> Question {
    let (_, row) = engine.ledger().look_up(site::id(nth)).expect("readable");
    let face = canonical::decode_face(&row.expect("an invoice").face).expect("a face");
    let (code, number) = (face.id.code.to_string(), face.id.number.to_string());
    let check = face.check_code.map(|check| check.to_string());
    Typed { code, number, date: Some(face.date.to_string()), amount: Some(face.totals.amount.to_string()), check, ..Typed::default() }.question()
}

/// The signature and its hash, as they would leave.
fn kept(engine: &Engine, question: &Question) -> [u8; 32] {
    let answer = engine.verify(question).expect("an answer");
    let signed = engine.sign_answer(question, &answer).expect("signed");
    answer_hash(&signed.bytes, &signed.signature)
}

/// Microseconds each.
fn each(count: usize, run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64() * 1e6 / count as f64
}

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["answers"]) {
        return;
    }
    let site = Site::new();
    let engine = site.create();
    let invoices: u32 = if plan.smoke { 64 } else { 1_024 };
    site::fill(&engine, 0, invoices);
    let questions: Vec<Question> = (0..invoices).map(|nth| question(&engine, nth)).collect();
    let count = questions.len();
    let (mut plain, mut alone, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(each(count, || questions.iter().for_each(|question| drop(black_box(engine.verify(question).expect("an answer"))))));
        alone.push(each(count, || {
            questions.iter().for_each(|question| {
                black_box(kept(&engine, question));
            })
        }));
        many.push(each(count, || {
            thread::scope(|scope| {
                for part in questions.chunks(count.div_ceil(THREADS)) {
                    scope.spawn(|| {
                        part.iter().for_each(|question| {
                            black_box(kept(&engine, question));
                        })
                    });
                }
            });
        }));
    }
    engine.log_answers().expect("logged");
    let full = if plan.smoke { count } else { ANSWERS_PER_ROOT_MAX };
    let mut last = [0; 32];
    for _ in 0..full.div_ceil(count) {
        thread::scope(|scope| {
            let threads: Vec<_> = questions
                .chunks(count.div_ceil(THREADS))
                .map(|part| scope.spawn(|| part.iter().map(|question| kept(&engine, question)).last().expect("one")))
                .collect();
            last = threads.into_iter().map(|thread| thread.join().expect("no panic")).last().expect("one");
        });
    }
    let root = each(1, || {
        black_box(engine.log_answers().expect("logged"));
    });
    let shown = median((0..ROUNDS).map(|_| each(1, || drop(black_box(engine.answer_in_log(&last).expect("readable"))))).collect());
    println!("answers: medians of {ROUNDS} rounds of {count}, asked by what is printed");
    println!("  answer alone, one by one          {:>10.1} us", median(plain));
    println!("  kept (signed and on disk), alone  {:>10.1} us", median(alone));
    println!("  kept, {THREADS} threads                   {:>10.1} us", median(many));
    println!("  a root over {full:>6} of them         {root:>10.1} us, once");
    println!("  what the log has of one of them   {shown:>10.1} us");
}
