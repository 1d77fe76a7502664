//! A check of the whole ledger, against what checking its signatures alone must cost.
//!
//! The limit is the equation over 256 signatures as ed25519-dalek's `verify_batch` has it, with a term for each R and one for each A, over signatures
//! of the very ledger that is checked, by as many threads. The check adds up the terms of equal keys and takes larger batches, which leaves it time
//! for everything else.

use std::num::NonZero;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use fapiao::crypto::batch::{self, Claim};
use fapiao::crypto::hash;
use fapiao::crypto::sign::PublicKey;
use fapiao::engine;
use fapiao::ledger::Sealed;
use fapiao::limits::FSCK_BATCH;
use sha2::{Digest as _, Sha512};

use crate::Plan;
use crate::durable::Cost;
use crate::site::{self, Site, median};

const INVOICES: u32 = 200_000;
/// Signatures that the limit is measured over.
const SIGNATURES: u32 = 8_192;
/// Signatures to an equation, in the limit.
const BATCH: usize = 256;

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["fsck"]) {
        return;
    }
    let site = Site::new();
    let engine = site.create();
    let count = plan.scaled(INVOICES);
    site::fill(&engine, 0, count);
    let signed = Signed::of(&engine, plan.scaled(SIGNATURES));
    drop(engine);
    let keyring = site.keyring();
    let cores = u32::try_from(std::thread::available_parallelism().map_or(1, NonZero::get)).expect("few");

    let [mut rates, mut limits, mut ratios, mut by_cpu, mut own] = [const { Vec::new() }; 5];
    for round in 1..=if plan.smoke { 1 } else { 5 } {
        let limit = signed.on_all(cores, BATCH, Signed::textbook);
        let joined = signed.on_all(cores, FSCK_BATCH, Signed::joined);
        let mut leaves = 0;
        let mut cost = Cost::of(count, || {
            let report = engine::fsck_at(&site.directory(), Some(&keyring), &|_, _| ()).expect("a report");
            assert_eq!(report.findings, []);
            leaves = u32::try_from(report.leaves).expect("few");
        });
        cost.records = leaves;
        println!("round {round}: {leaves} leaves with their bodies, {cores} threads");
        for (name, cost) in [("limit, batches of 256", limit), ("terms of a key joined", joined), ("fsck", cost)] {
            let (rate, cpu) = (cost.rate(), cost.cpu_us());
            println!("  {name:<24} {rate:>8.0}/s   ratio {:.2}   CPU {cpu:>5.1} us", rate / limit.rate());
        }
        rates.push(cost.rate());
        limits.push(limit.rate());
        own.push(joined.rate());
        ratios.push(cost.rate() / limit.rate());
        by_cpu.push(limit.cpu_us() / cost.cpu_us());
    }
    let [rate, limit, own, ratio, by_cpu] = [rates, limits, own, ratios, by_cpu].map(median);
    println!(
        "fsck: {rate:.0} leaves/s, limit of batches of 256: {limit:.0}/s, ratio {ratio:.2} (by CPU time {by_cpu:.2}), with the terms of a key joined: \
         {own:.0}/s"
    );
}

/// A message and the signature on it.
type Message = (Vec<u8>, [u8; 64]);

/// Signatures of the authority.
struct Signed {
    key: PublicKey,
    signed: Vec<Message>,
}

impl Signed {
    fn of(engine: &engine::Engine, count: u32) -> Signed {
        let ledger = engine.ledger();
        let size = ledger.published().size;
        let (mut keys, mut signed) = (Vec::new(), Vec::new());
        for nth in 0..u64::from(count) {
            let receipt = ledger.receipt(size - 1 - nth * (size / 2) / u64::from(count)).expect("readable").expect("published");
            keys.push(ledger.keys().get(receipt.leaf.key_id).expect("a key").key);
            match receipt.sealed {
                Sealed::Invoice { face, rest_digest, signature } => signed.push((hash::invoice_message(&face, &rest_digest), signature)),
                Sealed::Event { .. } => panic!("an event"),
            }
        }
        Signed { key: keys[0], signed }
    }

    /// Each of so many threads checks all of them.
    fn on_all(&self, threads: u32, batch: usize, check: fn(&Signed, &[Message]) -> bool) -> Cost {
        Cost::of(threads * u32::try_from(self.signed.len()).expect("few"), || {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(move || assert!(self.signed.chunks(batch).all(|batch| check(self, batch))));
                }
            });
        })
    }

    fn joined(&self, signed: &[Message]) -> bool {
        batch::all_fit(&[7; 32], signed.iter().map(|(message, signature)| Claim { key: &self.key, message, signature }))
    }

    /// Twice as many terms as signatures, and one.
    fn textbook(&self, signed: &[Message]) -> bool {
        let key = self.key.to_bytes();
        let halves = |signature: &[u8; 64]| -> ([u8; 32], [u8; 32]) {
            (signature[..32].try_into().expect("32 bytes"), signature[32..].try_into().expect("32 bytes"))
        };
        let digests: Vec<[u8; 64]> = signed
            .iter()
            .map(|(message, signature)| Sha512::new().chain_update(&signature[..32]).chain_update(key).chain_update(message).finalize().into())
            .collect();
        let mut transcript = Sha512::new();
        digests.iter().for_each(|digest| transcript.update(digest));
        signed.iter().for_each(|(_, signature)| transcript.update(&signature[32..]));
        // Four to a digest: where they come from is to cost next to nothing.
        let digests_of = (0..signed.len().div_ceil(4) as u64).map(|nth| transcript.clone().chain_update(nth.to_le_bytes()).finalize());
        let factors: Vec<Scalar> = digests_of
            .flat_map(|digest| <[u8; 64]>::from(digest).as_chunks::<16>().0.to_vec())
            .map(|bytes| Scalar::from(u128::from_le_bytes(bytes)))
            .take(signed.len())
            .collect();
        let scalar = |signature: &[u8; 64]| Scalar::from_canonical_bytes(halves(signature).1).expect("canonical");
        let of_base: Scalar = signed.iter().zip(&factors).map(|((_, signature), factor)| scalar(signature) * factor).sum();
        let of_keys = digests.iter().zip(&factors).map(|(digest, factor)| Scalar::from_bytes_mod_order_wide(digest) * factor);
        let commitments = signed.iter().map(|(_, signature)| CompressedEdwardsY(halves(signature).0).decompress());
        let point = CompressedEdwardsY(key).decompress();
        let sum = EdwardsPoint::optional_multiscalar_mul(
            std::iter::once(-of_base).chain(factors.iter().copied()).chain(of_keys),
            std::iter::once(Some(ED25519_BASEPOINT_POINT)).chain(commitments).chain(signed.iter().map(|_| point)),
        );
        sum.is_some_and(|sum| sum.is_identity())
    }
}
