//! `fapiao ledger`: checking, proving and looking after the ledger.

use clap::{Args, Subcommand};
use serde_json::json;

use super::open::{DataOptions, prompt};
use super::prove::{Prove, ProveConsistency};
use super::{Exit, Failure, print};
use crate::crypto::keyfile;
use crate::engine::{EngineError, keyring_path, read_bounded};
use crate::ledger::{Finding, Ledger, StoreSizes};
use crate::limits::KEY_FILE_BYTES_MAX;

/// `fapiao ledger …`
#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// Recompute every hash, signature, state and index, and compare with what is stored
    Fsck(Plain),
    /// Print the newest signed checkpoint
    Checkpoint(Plain),
    /// Print the proof that a leaf is in the log, as c2sp.org/tlog-proof text. 包含证明
    Prove(Prove),
    /// Print the proof that the log at one published size continues the log at another. 一致性证明
    ProveConsistency(ProveConsistency),
    /// Say that this copy is the newest and may sign: rewrites a missing or older lock record after checking the history
    Adopt(Plain),
    /// Sizes and counts
    Info(Plain),
}

#[derive(Args)]
pub(super) struct Plain {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl LedgerCommand {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            LedgerCommand::Fsck(plain) => fsck(&plain),
            LedgerCommand::Checkpoint(plain) => {
                let engine = plain.data.open_to_read()?;
                let published = engine.ledger().published();
                let value = json!({ "size": published.size, "root": data_encoding::HEXLOWER.encode(&published.root), "note": published.note });
                print(plain.json, &value, published.note.trim_end())?;
                Ok(Exit::Fine)
            }
            LedgerCommand::Prove(prove) => prove.run(),
            LedgerCommand::ProveConsistency(prove) => prove.run(),
            LedgerCommand::Adopt(plain) => adopt(&plain),
            LedgerCommand::Info(plain) => info(&plain),
        }
    }
}

fn fsck(plain: &Plain) -> Result<Exit, Failure> {
    let engine = plain.data.open_to_read()?;
    let bar = indicatif::ProgressBar::new(0).with_message("核对 checking");
    let style = indicatif::ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} leaves, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    let report = engine.fsck(&|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let finding = |finding: &Finding| json!({ "table": finding.table, "at": finding.at, "what": finding.what });
    let value = json!({
        "sound": report.findings.is_empty(),
        "leaves": report.leaves,
        "invoices": report.invoices,
        "checkpoints": report.checkpoints,
        "bodies": report.bodies,
        "erased": report.erased,
        "skipped": report.skipped,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    let mut lines: Vec<String> = report.findings.iter().map(|finding| format!("{} {}: {}", finding.table, finding.at, finding.what)).collect();
    lines.extend(report.skipped.iter().map(|skipped| format!("not checked: {skipped}")));
    let verdict = if report.findings.is_empty() { "sound" } else { "DAMAGED" };
    lines.push(format!(
        "{verdict}: {} leaves, {} invoices, {} checkpoints, {} bodies ({} erased)",
        report.leaves, report.invoices, report.checkpoints, report.bodies, report.erased
    ));
    print(plain.json, &value, &lines.join("\n"))?;
    Ok(if report.findings.is_empty() { Exit::Fine } else { Exit::Other })
}

fn adopt(plain: &Plain) -> Result<Exit, Failure> {
    let passphrase = match plain.data.passphrase_from_file()? {
        Some(passphrase) => passphrase,
        None => prompt("Passphrase 口令: ")?,
    };
    let path = keyring_path(&plain.data.data);
    let sealed = read_bounded(&path, KEY_FILE_BYTES_MAX)?;
    let keyring = keyfile::open(&sealed, &passphrase).map_err(|error| EngineError::Keyring { path, error })?;
    let checkpoint = Ledger::adopt(&plain.data.data.clone().into(), StoreSizes::default(), &keyring).map_err(EngineError::from)?;
    let value = json!({ "origin": checkpoint.origin.as_str(), "size": checkpoint.size });
    print(plain.json, &value, &format!("adopted {} at size {}: this copy signs from here on", checkpoint.origin, checkpoint.size))?;
    Ok(Exit::Fine)
}

fn info(plain: &Plain) -> Result<Exit, Failure> {
    let engine = plain.data.open_to_read()?;
    let ledger = engine.ledger();
    let published = ledger.published();
    let tables = ledger.table_bytes();
    let value = json!({
        "origin": ledger.origin().as_str(),
        "size": published.size,
        "time": published.time.to_string(),
        "signs": ledger.may_write().err().map_or_else(|| "yes".to_owned(), |error| error.to_string()),
        "tables": tables.iter().map(|(name, bytes)| (name.to_string(), json!(bytes))).collect::<serde_json::Map<_, _>>(),
    });
    let mut lines = vec![format!("{}  size {}  {}", ledger.origin(), published.size, published.time)];
    if let Err(error) = ledger.may_write() {
        lines.push(format!("does not sign: {error}"));
    }
    lines.extend(tables.iter().map(|(name, bytes)| format!("  {name:<6} {bytes:>12} bytes on disk")));
    print(plain.json, &value, &lines.join("\n"))?;
    Ok(Exit::Fine)
}
