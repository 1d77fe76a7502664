//! `fapiao proof`: checking kept answers without a network.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::verify::exit;
use super::{Exit, Failure, print};
use crate::channel::{keys, proof};
use crate::engine::read_bounded;
use crate::limits::PROOF_FILE_BYTES_MAX;

/// `fapiao proof …`
#[derive(Subcommand)]
pub(super) enum Proof {
    /// Check a kept answer: its signature, its checkpoint, and that the invoice is in the log
    Verify(Verify),
}

/// `fapiao proof verify`
#[derive(Args)]
pub(super) struct Verify {
    /// What `fapiao verify --proof FILE` wrote
    file: PathBuf,
    /// The log's public keys (`fapiao keys show`), from somebody you trust; without it the keys in the file are used
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Proof {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Proof::Verify(verify) = self;
        let trusted = match &verify.keys {
            Some(path) => {
                let usage = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
                let value = serde_json::from_slice(&read_bounded(path, PROOF_FILE_BYTES_MAX)?).map_err(|error| usage(error.to_string()))?;
                Some(keys::parse(&value).map_err(|error| usage(error.to_string()))?)
            }
            None => None,
        };
        match proof::verify(&read_bounded(&verify.file, PROOF_FILE_BYTES_MAX)?, trusted.as_ref()) {
            Ok(proven) => {
                let answer = &proven.answer;
                let value = json!({
                    "holds": true,
                    "verdict": proven.verdict.number(),
                    "name": proven.verdict.name(),
                    "origin": answer.origin.as_str(),
                    "size": answer.size,
                    "time": answer.time.to_string(),
                    "count": answer.count,
                    "index": proven.index,
                    "keys": if proven.own_keys { "from the file itself" } else { "trusted" },
                });
                let mut text = format!(
                    "凭证有效 the proof holds: {} {} | {}\n  {} at size {}, {}",
                    proven.verdict.number(),
                    proven.verdict.chinese(),
                    proven.verdict.english(),
                    answer.origin,
                    answer.size,
                    answer.time
                );
                if let Some(index) = proven.index {
                    text.push_str(&format!("\n  the invoice is leaf {index} of that log"));
                }
                if proven.own_keys {
                    text.push_str("\n  checked against the keys in the file; compare them with the authority's (--keys FILE)");
                }
                print(verify.json, &value, &text)?;
                Ok(exit(proven.verdict))
            }
            Err(fault) => {
                let text = format!("凭证无效 the proof does not hold: {fault}");
                print(verify.json, &json!({ "holds": false, "reason": fault.to_string() }), &text)?;
                Ok(Exit::Other)
            }
        }
    }
}
