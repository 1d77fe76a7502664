//! A filled ledger: what it weighs, what a commit, a lookup and a proof cost.

use std::cell::Cell;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use fapiao::channel::qr;
use fapiao::codec::canonical;
use fapiao::crypto::body::Kept;
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::merkle;
use fapiao::crypto::note::{Checkpoint, Note};
use fapiao::domain::kind::{Factor, Kind};
use fapiao::domain::number::InvoiceId;
use fapiao::engine::Engine;
use fapiao::ledger::{InvRecord, Outcome, Sealed, StoreSizes, Submission};
use fapiao::limits::BATCH_IDS_MAX;
use fapiao::verify::check::{self, Buyer, Registered};
use fapiao::verify::query::{CheckDigits, Factors, Query};
use fapiao::verify::verdict::Verdict;
use qrcode::{EcLevel, QrCode};

use crate::Plan;
use crate::durable::percentiles;
use crate::site::{self, Site, median, raw_database};

/// Leaves of the filled ledger: of all sizes near 200,000 the one whose right edge has the most hashes that are in no full tile.
const LEAVES: u32 = 3 * 65_536 - 1;
/// Invoices in the larger of the two frames that are measured.
const FRAME: u32 = 256;

pub(crate) fn measure(criterion: &mut Criterion, plan: &Plan) {
    if !plan.wants(&["sizes", "inclusion proof", "frame commit/fsync", "point lookup and check", "batched lookup, random"]) {
        return;
    }
    let before = resident();
    let filled = Filled::new(plan.scaled(LEAVES));
    if plan.wants(&["sizes"]) {
        filled.print_memory(before);
    }
    filled.engine.ledger().compact().expect("compacted");
    if plan.wants(&["sizes"]) {
        filled.print_sizes();
    }
    filled.proofs(criterion, plan);
    filled.lookups(criterion, plan);
    filled.commits(criterion);
}

struct Filled {
    engine: Engine,
    keyring: Keyring,
    /// Invoices, numbered from 0.
    count: u32,
    site: Site,
}

impl Filled {
    fn new(leaves: u32) -> Filled {
        let site = Site::new();
        let engine = site.create();
        let keyring = site.keyring();
        let count = leaves - u32::try_from(engine.ledger().published().size).expect("a few");
        let start = Instant::now();
        site::fill(&engine, 0, count);
        println!("filled a ledger with {count} invoices of all six kinds in {:.1} s, generating them", start.elapsed().as_secs_f64());
        Filled { engine, keyring, count, site }
    }

    /// The `nth` of a fixed sequence of invoices all over the ledger.
    fn anywhere(&self, nth: u32) -> InvoiceId {
        site::id(nth.wrapping_mul(2_654_435_761) % self.count)
    }

    fn print_memory(&self, before: u64) {
        let (after, StoreSizes { block_cache, wal }) = (resident(), StoreSizes::default());
        println!(
            "sizes: resident memory {} MiB before, {} MiB after issuing {} invoices; configured: block cache {} MiB, WAL and with it memtables {} MiB",
            before >> 20,
            after >> 20,
            self.count,
            block_cache >> 20,
            wal >> 20
        );
    }

    fn print_sizes(&self) {
        let ledger = self.engine.ledger();
        for (nth, kind) in (0u32..).zip(Kind::ALL) {
            let (mut drafts, mut bodies, mut rows, mut characters, mut version) = (0, 0, 0, 0, 0);
            for nth in (nth..self.count).step_by(Kind::ALL.len()).take(1_000) {
                let index = ledger.look_up(site::id(nth)).expect("readable").1.expect("issued").index;
                let receipt = ledger.receipt(index).expect("readable").expect("published");
                let Sealed::Invoice { face, rest_digest, signature } = receipt.sealed else { panic!("leaf {index} is no invoice") };
                let text = qr::print_signed(self.engine.host(), receipt.leaf.key_id, &face, &rest_digest, &signature);
                characters = characters.max(text.len());
                if rows == 0 {
                    let code = QrCode::with_error_correction_level(&text, EcLevel::M).expect("a code");
                    version = match code.version() {
                        qrcode::Version::Normal(version) | qrcode::Version::Micro(version) => version,
                    };
                }
                drafts += site::draft(nth).len();
                let Some(Kept::Sealed(body)) = ledger.body(index).expect("readable") else { panic!("not kept") };
                bodies += body.len();
                rows += 1;
            }
            println!(
                "sizes: kind {}: draft {} bytes, stored body {} bytes, signed QR at most {characters} characters, version {version}-M",
                kind.profile().code,
                drafts / rows,
                bodies / rows
            );
        }
        let mut total = 0;
        for (table, bytes) in ledger.table_bytes() {
            total += bytes;
            println!("sizes: table {table:<6} {bytes:>11} bytes, {:>7.1} an invoice", bytes as f64 / f64::from(self.count));
        }
        println!("sizes: all tables {total:>9} bytes, {:>7.1} an invoice", total as f64 / f64::from(self.count));
    }

    fn proofs(&self, criterion: &mut Criterion, plan: &Plan) {
        let ledger = self.engine.ledger();
        let size = ledger.published().size;
        let turn = Cell::new(0u64);
        let prove = || {
            turn.set(turn.get() + 1);
            ledger.inclusion(turn.get().wrapping_mul(2_654_435_761) % size, size).expect("a proof")
        };
        self.proofs_hold();
        criterion.bench_function("inclusion proof", |bench| bench.iter(|| black_box(prove())));
        if plan.wants(&["inclusion proof"]) {
            let times = (0..plan.scaled(2_000))
                .map(|_| {
                    let start = Instant::now();
                    black_box(prove());
                    start.elapsed()
                })
                .collect();
            let [p50, p99] = percentiles(times);
            println!("inclusion proof at {size} leaves: p50 {:.0} us, p99 {:.0} us", p50 * 1e6, p99 * 1e6);
        }
    }

    /// What is measured is right: leaves in checkpoints of all ages, and those checkpoints in the newest.
    fn proofs_hold(&self) {
        let ledger = self.engine.ledger();
        let newest = ledger.published();
        let notes: Vec<(u64, String)> = ledger.checkpoints().map(|row| row.expect("a checkpoint")).filter(|(size, _)| *size > 0).collect();
        for (size, note) in notes.iter().rev().step_by(notes.len().div_ceil(12)) {
            let root = Note::parse(note).and_then(|note| Checkpoint::parse(note.text())).expect("a checkpoint").root;
            for index in [0, size / 3, size - 1] {
                let leaf = ledger.leaf(index).expect("readable").expect("published").encode();
                let path = ledger.inclusion(index, *size).expect("a proof");
                assert!(merkle::verify_inclusion(&merkle::leaf_hash(&leaf), index, *size, &path, &root), "leaf {index} of {size}");
            }
            let path = ledger.consistency(*size, newest.size).expect("a proof");
            assert!(merkle::verify_consistency(*size, &root, newest.size, &newest.root, &path), "{size} of {}", newest.size);
        }
    }

    /// What a holder of the paper asks about this invoice.
    fn question(&self, id: InvoiceId) -> Query {
        let row = self.engine.ledger().look_up(id).expect("readable").1.expect("issued");
        let face = canonical::decode_face(&row.face).expect("a face");
        let (amount, check) = match face.kind.profile().factor {
            Factor::Amount => (Some(face.totals.amount), None),
            Factor::CheckCode => (None, face.check_code.map(|check| CheckDigits::LastSix(check.last_six()))),
        };
        Query::Factors(Factors {
            id,
            date: face.date,
            amount,
            amount_may_include_tax: false,
            check,
            total: None,
            seller_id: None,
            buyer_id: None,
            stated_kind: None,
        })
    }

    fn verdict(&self, query: &Query, row: Option<&InvRecord>) -> Verdict {
        let ledger = self.engine.ledger();
        let mark = ledger.mark(query.id()).map(|marked| marked.mark);
        check::check(query, Registered { row, mark, behind: false, incomplete: false, buyer: Buyer::Unread }, &ledger.keys()).verdict
    }

    fn lookups(&self, criterion: &mut Criterion, plan: &Plan) {
        let ledger = self.engine.ledger();
        let questions: Vec<Query> = (0..16_384).map(|nth| self.question(self.anywhere(nth))).collect();
        let turn = Cell::new(0);
        let next = || {
            turn.set((turn.get() + 1) % questions.len());
            &questions[turn.get()]
        };
        criterion.bench_function("point lookup", |bench| bench.iter(|| black_box(ledger.look_up(next().id()).expect("readable"))));
        criterion.bench_function("point lookup and check", |bench| {
            bench.iter(|| {
                let query = next();
                let row = ledger.look_up(query.id()).expect("readable").1;
                assert_eq!(self.verdict(query, row.as_deref()), Verdict::Genuine);
            });
        });
        let absent = site::id(self.count + 60_000);
        criterion.bench_function("point lookup, absent", |bench| bench.iter(|| black_box(ledger.look_up(absent).expect("readable"))));

        let random: Vec<&Query> = questions.iter().collect();
        let mut clustered = Vec::new();
        for first in 0..64 {
            // Consecutive numbers of one code.
            let first = first * 2_999 % (self.count / 2).max(1);
            clustered.extend((0..BATCH_IDS_MAX).map(|nth| self.question(site::id((first + 6 * u32::try_from(nth).expect("few")) % self.count))));
        }
        for (name, queries) in [("batched lookup, random", random), ("batched lookup, clustered", clustered.iter().collect())] {
            let batches: Vec<Vec<&Query>> = queries
                .chunks(BATCH_IDS_MAX)
                .map(|chunk| {
                    let mut batch = chunk.to_vec();
                    batch.sort_by_key(|query| query.id());
                    batch
                })
                .collect();
            self.batched(name, &batches, criterion, plan);
        }
    }

    fn batched(&self, name: &str, batches: &[Vec<&Query>], criterion: &mut Criterion, plan: &Plan) {
        let ledger = self.engine.ledger();
        let ids: Vec<Vec<InvoiceId>> = batches.iter().map(|batch| batch.iter().map(|query| query.id()).collect()).collect();
        let keys: Vec<Vec<[u8; 10]>> = ids.iter().map(|ids| ids.iter().map(|id| id.to_bytes()).collect()).collect();
        let turn = Cell::new(0);
        let mut group = criterion.benchmark_group("batches of 256");
        group.throughput(Throughput::Elements(BATCH_IDS_MAX as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                turn.set((turn.get() + 1) % ids.len());
                black_box(ledger.look_up_many(&ids[turn.get()]).expect("readable"))
            });
        });
        group.finish();
        if !plan.wants(&[name]) {
            return;
        }

        let db = raw_database(&self.site.directory(), true);
        let family = db.cf_handle("inv").expect("a table");
        let (mut raw, mut looked_up, mut checked) = (Vec::new(), Vec::new(), Vec::new());
        // Rounds in turn, so that what else runs on the machine hits all three alike. The first warms the caches.
        for round in 0..if plan.smoke { 2 } else { 40 } {
            let times = [
                time(|| {
                    for keys in &keys {
                        for row in db.batched_multi_get_cf(family, keys, false) {
                            assert!(black_box(row).expect("readable").is_some());
                        }
                    }
                }),
                time(|| {
                    for ids in &ids {
                        assert!(black_box(ledger.look_up_many(ids)).expect("readable").1.iter().all(Option::is_some));
                    }
                }),
                time(|| {
                    for (ids, batch) in ids.iter().zip(batches) {
                        let (_, rows) = ledger.look_up_many(ids).expect("readable");
                        for (query, row) in batch.iter().zip(&rows) {
                            assert_eq!(self.verdict(query, row.as_deref()), Verdict::Genuine);
                        }
                    }
                }),
            ];
            if round > 0 {
                let per_key = times.map(|time| time.as_secs_f64() * 1e6 / (batches.len() * BATCH_IDS_MAX) as f64);
                [&mut raw, &mut looked_up, &mut checked].into_iter().zip(per_key).for_each(|(all, one)| all.push(one));
            }
        }
        let [raw, looked_up, checked] = [raw, looked_up, checked].map(median);
        println!(
            "{name}: raw multi_get {raw:.2} us a key, look_up_many {looked_up:.2} (ratio {:.2}), with check {checked:.2} (ratio {:.2})",
            raw / looked_up,
            raw / checked
        );
    }

    fn commits(&self, criterion: &mut Criterion) {
        let next = Cell::new(self.count);
        let prepare = |count: u32| -> Vec<Submission> {
            let first = next.replace(next.get() + count);
            (first..first + count).map(|nth| site::seal(&site::accept(&site::draft(nth)), &self.keyring)).collect()
        };
        let commit = |submissions: Vec<Submission>| {
            let waiting: Vec<_> = submissions.into_iter().map(|submission| self.engine.ledger().submit(submission)).collect();
            for receiver in waiting {
                assert!(matches!(receiver.blocking_recv(), Ok(Ok(Outcome::Logged { repeated: false, .. }))));
            }
        };
        let mut group = criterion.benchmark_group("frame commit");
        group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
        let mut file = File::create(self.site.root.path().join("fsync")).expect("a file");
        group.bench_function("fsync", |bench| {
            bench.iter(|| {
                file.write_all(&[0x5a; 2_048]).expect("written");
                file.sync_all().expect("synced");
            });
        });
        // One frame of one, and what 256 at once become: a frame of the first few while the queue fills, and one of the rest.
        for count in [1, FRAME] {
            group.throughput(Throughput::Elements(u64::from(count)));
            group.bench_function(count.to_string(), |bench| bench.iter_batched(|| prepare(count), commit, BatchSize::PerIteration));
        }
        group.finish();
    }
}

fn time(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") << 10
}
