//! The steps of issuing and verifying, one by one, in memory.

use std::cell::Cell;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use fapiao::channel::json::parse_draft;
use fapiao::codec::canonical;
use fapiao::crypto::crossfoot::Crossfoot;
use fapiao::crypto::merkle::{self, Tree};
use fapiao::crypto::sign::{PublicKey, SigningKey};
use fapiao::crypto::{body, hash};
use fapiao::domain::caller::CallerId;
use fapiao::domain::rules;
use fapiao::verify::check::Checked;
use fapiao::verify::query::{Question, Typed};
use fapiao::verify::quota::{Asker, Policies, Policy, Quota};
use fapiao::verify::verdict::Verdict;

use crate::site;

/// Different invoices that a step is repeated over.
const VARIETY: u32 = 600;

fn question(number: u32) -> Question {
    Typed {
        code: "033001900111".into(),
        number: format!("{number:08}"),
        date: Some("2019-11-11".into()),
        check: Some("123456".into()),
        ..Typed::default()
    }
    .question()
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let drafts: Vec<String> = (0..VARIETY).map(site::draft).collect();
    let accepted: Vec<_> = drafts.iter().map(|draft| site::accept(draft)).collect();
    let keyring = site::loose_keyring();
    let data_key = keyring.data();
    let turn = Cell::new(0);
    let next = |len: usize| {
        turn.set((turn.get() + 1) % len);
        turn.get()
    };

    criterion.bench_function("canonical encode", |bench| {
        bench.iter(|| {
            let invoice = &accepted[next(accepted.len())].invoice;
            black_box((canonical::encode_face(&invoice.face()), canonical::encode_rest(invoice, None)))
        });
    });
    criterion.bench_function("draft parse", |bench| bench.iter(|| black_box(parse_draft(drafts[next(drafts.len())].as_bytes()))));
    let terms = site::terms();
    criterion.bench_function("draft parse and accept", |bench| {
        bench.iter(|| black_box(parse_draft(drafts[next(drafts.len())].as_bytes()).map(|draft| rules::accept(&draft, &terms))));
    });
    criterion.bench_function("prepare an accepted invoice", |bench| {
        bench.iter(|| black_box(site::seal(&accepted[next(accepted.len())], &keyring)));
    });

    let key = SigningKey::from_seed(&[7; 32]);
    let public = PublicKey::parse(&key.public()).expect("a sound key");
    let message = hash::invoice_message(&canonical::encode_face(&accepted[0].invoice.face()), &[3; 32]);
    let signature = key.sign(&message);
    criterion.bench_function("sign", |bench| bench.iter(|| key.sign(black_box(&message))));
    criterion.bench_function("verify_strict", |bench| bench.iter(|| public.verify(black_box(&message), &signature)));

    let rests: Vec<Vec<u8>> = accepted.iter().map(|accepted| canonical::encode_rest(&accepted.invoice, None)).collect();
    let seal = |rest: &[u8]| body::seal(data_key, &[1; 24], &[2; 32], &[3; 16], rest).expect("sealed");
    criterion.bench_function("body seal", |bench| bench.iter(|| black_box(seal(&rests[next(rests.len())]))));
    let bodies: Vec<Vec<u8>> = rests.iter().map(|rest| seal(rest)).collect();
    criterion.bench_function("body open", |bench| {
        bench.iter(|| body::open(black_box(&bodies[next(bodies.len())]), |_| Some(data_key.1), &[2; 32]).expect("opened"));
    });

    // All that an asker under a quota costs beside the answer: an API key, questions about different invoices, none of which was guessed at.
    let quota = Quota::new(Policies { key: Policy::new(u32::MAX, u32::MAX), ..Policies::STANDARD }, [5; 16]);
    let asker = Asker::Key(CallerId([1; 8]));
    let questions: Vec<Question> = (1..=VARIETY).map(question).collect();
    criterion.bench_function("quota and guess protection of a key", |bench| {
        bench.iter(|| {
            let question = &questions[next(questions.len())];
            let query = question.query.as_ref().expect("readable");
            let known = quota.known(black_box(&asker)).expect("limited");
            let rate = quota.take(&known, 1, site::noon());
            let verdict = Verdict::Genuine;
            black_box((rate, quota.guarded(&known, query, site::noon(), || Checked { verdict, verified: None }).is_ok()))
        });
    });

    let leaves: Vec<[u8; 96]> = (0..=255).map(|byte| [byte; 96]).collect();
    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Elements(leaves.len() as u64));
    group.bench_function("append", |bench| {
        bench.iter_batched_ref(
            Tree::new,
            |tree| {
                for leaf in &leaves {
                    black_box(tree.append(merkle::leaf_hash(leaf)));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("append and crossfoot", |bench| {
        bench.iter_batched_ref(
            || (Tree::new(), Crossfoot::new()),
            |(tree, crossfoot)| {
                for leaf in &leaves {
                    black_box(tree.append(merkle::leaf_hash(leaf)));
                    crossfoot.push(leaf);
                }
                assert_eq!(tree.root(), crossfoot.root());
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
