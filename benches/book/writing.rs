//! The book as it is read: one page, and its pictures.

use std::fmt::Write as _;
use std::fs;

use fapiao::cli::load::picture::{Axis, Line, Scale, chart};

use super::machine::load_average;
use super::{Book, Row, Sample};

/// Ours over a peer's in this discipline, and how much it is to be.
const GOALS: [(&str, &str, f64); 5] = [
    ("verify", "bare hyper", 0.5),
    ("verify", "Redis", 0.7),
    ("verify", "PostgreSQL", 3.0),
    ("issue", "PostgreSQL", 3.0),
    ("bulk", "in process", 0.6),
];

const HOW: &str = "\
All servers listen on the loopback of this machine and run from the beginning to the end; only one is asked at a time, by turns, each round beginning
with another. Clients are processes of their own with the loop of `fapiao load`: closed, as many connections and threads for each, uniformly random
keys, every answer compared with what was put in. Peers look up the bytes that our ledger keeps of an invoice's state, under its code and number, and
insert the bytes that issuing one writes; they check, sign, encrypt and prove nothing.

- **fapiao**: `fapiao serve`, quotas off; `POST /v1/verify` with code, number, date and amount; `POST /v1/invoices`, durable when it answers, and
  `POST /v1/invoices/bulk` with 1,000 drafts in a request, both with `Prefer: return=minimal`.
- **bare hyper**: the same requests, one thread, a fixed answer of the same length. It looks nothing up.
- **raw RocksDB get**: the same table of the same ledger, opened for reading in one thread, without a server.
- **Redis**: `GET`; everything in memory, append-only file synced every second, so a crash loses the last second.
- **PostgreSQL**: `fsync`, `synchronous_commit` and `full_page_writes` on, 1 GB of `shared_buffers`, a prepared statement by primary key on a
  connection that is kept; `INSERT` is one transaction each.
- **in process**: JSON drafts through the engine from two threads, without a server.

Ratios are medians over the rounds of the ratio within a round; figures are medians, with the smallest and largest round in parentheses.
";

/// Writes it, and returns what became of the goals.
pub(super) fn write(book: &Book) -> String {
    fs::create_dir_all(&book.out).expect("a directory");
    let goals = goals(book);
    let pinning = match book.cores {
        [Some(server), Some(client)] => format!("verify: servers on core {server}, clients on core {client}; issue and bulk: all on any core"),
        _ => "nothing is kept to a core".to_owned(),
    };
    let mut page = String::from("# Bench book\n\n");
    for (name, value) in &book.machine.facts {
        let _ = writeln!(page, "- {name}: {value}");
    }
    let _ = writeln!(page, "- load average when it ended: {}", load_average());
    let _ = writeln!(
        page,
        "- {} invoices; {} rounds of {} s each, of which {} s do not count; {} connections to verify, 64 to issue, 4 in bulk; one client thread",
        book.count, book.rounds, book.seconds, book.warmup, book.connections
    );
    let _ = writeln!(page, "- {pinning}");
    if !book.skipped.is_empty() {
        let _ = writeln!(page, "- **not installed and skipped: {}**", book.skipped.join(", "));
    }
    let _ = writeln!(page, "- command: `make bench ARGS=book` (`FAPIAO_BENCH_INVOICES` says how many)\n\n{HOW}\n## Goals\n\n{goals}");
    let _ =
        writeln!(page, "## Figures\n\n| what | who | a second | p50 ms | p99 ms | p99.9 ms | server CPU, us each |\n|---|---|---|---|---|---|---|");
    for row in &book.rows {
        let spread = |of: &dyn Fn(&Sample) -> f64| {
            let values = row.samples.iter().map(of);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (low, high) = spread(&|sample| sample.rate);
        let ms = |of: &dyn Fn(&Sample) -> f64| figure(row.median(of) / 1e3, 2);
        let cpu = figure(row.median(|sample| sample.cpu_us.unwrap_or(f64::NAN)), 1);
        let _ = writeln!(
            page,
            "| {} | {} | {:.0} ({low:.0}-{high:.0}) | {} | {} | {} | {cpu} |",
            row.discipline,
            row.peer,
            row.median(|sample| sample.rate),
            ms(&|sample| sample.p50_us),
            ms(&|sample| sample.p99_us),
            ms(&|sample| sample.p999_us)
        );
    }
    for discipline in ["verify", "issue"] {
        let rows: Vec<&Row> = book.rows.iter().filter(|row| row.discipline == discipline).collect();
        let (latency, course) = (format!("{discipline}-latency.svg"), format!("{discipline}-throughput.svg"));
        fs::write(book.out.join(&latency), distribution(discipline, &rows)).expect("written");
        fs::write(book.out.join(&course), throughput(discipline, &rows)).expect("written");
        let _ = writeln!(page, "\n![Latency, {discipline}]({latency})\n\n![Throughput, {discipline}]({course})");
    }
    fs::write(book.out.join("book.md"), page).expect("written");
    goals
}

fn figure(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// Each ratio beside its goal.
fn goals(book: &Book) -> String {
    let mut text = String::from("| what | ratio | by server CPU | goal | |\n|---|---|---|---|---|\n");
    let row = |discipline: &str, peer: &str| book.rows.iter().find(|row| row.discipline == discipline && row.peer == peer);
    for (discipline, peer, goal) in GOALS {
        let (Some(ours), Some(theirs)) = (row(discipline, "fapiao"), row(discipline, peer)) else {
            let _ = writeln!(text, "| {discipline} over {peer} | - | - | {goal} | not measured |");
            continue;
        };
        let ratios =
            |of: &dyn Fn(&Sample, &Sample) -> f64| crate::site::median(ours.samples.iter().zip(&theirs.samples).map(|(a, b)| of(a, b)).collect());
        let ratio = ratios(&|ours, theirs| ours.rate / theirs.rate);
        let by_cpu = ratios(&|ours, theirs| theirs.cpu_us.unwrap_or(f64::NAN) / ours.cpu_us.unwrap_or(f64::NAN));
        let met = match () {
            () if !ratio.is_finite() => "not measured",
            () if ratio >= goal => "met",
            () => "**not met**",
        };
        let _ = writeln!(text, "| {discipline} over {peer} | {} | {} | {goal} | {met} |", figure(ratio, 2), figure(by_cpu, 2));
    }
    text
}

/// Of the last round of each.
fn distribution(discipline: &str, rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let points = row.samples.last().map_or_else(Vec::new, |sample| sample.distribution.iter().map(|(us, part)| (us / 1e3, *part)).collect());
        Line { name: row.peer.to_owned(), points }
    };
    chart(
        &format!("Latency distribution: {discipline}"),
        Axis { label: "milliseconds", scale: Scale::Log },
        Axis { label: "part of the requests", scale: Scale::Linear },
        &rows.iter().map(line).collect::<Vec<_>>(),
    )
}

/// Whole seconds of all rounds, one after the other.
fn throughput(discipline: &str, rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let whole = row.samples.iter().flat_map(|sample| &sample.course[..sample.course.len().saturating_sub(1)]);
        Line { name: row.peer.to_owned(), points: whole.enumerate().map(|(second, rate)| (second as f64, *rate)).collect() }
    };
    chart(
        &format!("Throughput: {discipline}, the rounds one after the other"),
        Axis { label: "seconds of each peer's own turns", scale: Scale::Linear },
        Axis { label: "answers a second", scale: Scale::Linear },
        &rows.iter().map(line).collect::<Vec<_>>(),
    )
}
