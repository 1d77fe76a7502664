//! `fapiao ledger fsck`: everything recomputed, of a ledger that nobody has open, whether it would open or not.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::open::DataOptions;
use super::{Exit, Failure, print};
use crate::engine::{fsck_at, keyring_path, open_keyring};
use crate::ledger::{Finding, FsckReport};

pub(super) fn run(data: &DataOptions, json: bool) -> Result<Exit, Failure> {
    let secrets = match data.passphrase_from_file()? {
        Some(passphrase) if keyring_path(&data.data).exists() => Some(open_keyring(&data.data, &passphrase)?),
        Some(_) | None => None,
    };
    let bar = ProgressBar::new(0).with_message("核对 checking");
    let style = ProgressStyle::with_template("{msg} {bar:40} {human_pos}/{human_len} 叶 leaves, {per_sec}, 剩余 {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let start = Instant::now();
    let report = fsck_at(&data.data, secrets.as_ref(), &|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let (report, took) = (report?, start.elapsed());
    let (value, text) = told(&report, took);
    print(json, &value, &text)?;
    Ok(if report.findings.is_empty() { Exit::Fine } else { Exit::Other })
}

/// A check's report, as JSON and as text.
pub(super) fn told(report: &FsckReport, took: Duration) -> (Value, String) {
    (to_json(report, took), to_text(report, took))
}

fn rate(report: &FsckReport, took: Duration) -> f64 {
    // A billion leaves are far below what a float holds exactly.
    report.leaves as f64 / took.as_secs_f64().max(1e-9)
}

fn to_json(report: &FsckReport, took: Duration) -> Value {
    let finding = |finding: &Finding| json!({ "table": finding.table, "at": finding.at, "what": finding.what, "detail": finding.detail });
    json!({
        "sound": report.findings.is_empty(),
        "leaves": report.leaves,
        "invoices": report.invoices,
        "checkpoints": report.checkpoints,
        "bodies": report.bodies,
        "erased": report.erased,
        "skipped": report.skipped,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "further_findings": report.further,
        "seconds": took.as_secs_f64(),
        "leaves_per_second": rate(report, took),
    })
}

fn to_text(report: &FsckReport, took: Duration) -> String {
    let found = |Finding { table, at, what, detail }: &Finding| match detail {
        Some(detail) => format!("{table} {at}: {what}: {detail}"),
        None => format!("{table} {at}: {what}"),
    };
    let mut lines: Vec<String> = report.findings.iter().map(found).collect();
    if report.further > 0 {
        lines.push(format!("另有 and further: {}", report.further));
    }
    lines.extend(report.skipped.iter().map(|skipped| format!("未核对 not checked: {skipped}")));
    lines.push(if report.findings.is_empty() { "账本完好 sound".to_owned() } else { "账本有损 DAMAGED".to_owned() });
    lines.push(format!("叶 leaves {}, 发票 invoices {}, 检查点 checkpoints {}", report.leaves, report.invoices, report.checkpoints));
    lines.push(format!("正文 bodies {}, 已删 erased {}", report.bodies, report.erased));
    lines.push(format!("问题 findings {}", report.findings.len() as u64 + report.further));
    lines.push(format!("用时 took {:.1} s, 每秒 per second {:.0} 叶 leaves", took.as_secs_f64(), rate(report, took)));
    lines.join("\n")
}
