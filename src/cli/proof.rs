//! `fapiao proof`: checking kept answers and proofs about the log without a network.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::verify::exit;
use super::{Exit, Failure, print};
use crate::channel::log_proof::{self, Continued, Included, LogProofFault};
use crate::channel::proof::ProofFault;
use crate::channel::{keys, proof};
use crate::codec::proof::{ConsistencyProof, LogProof};
use crate::crypto::keyring::PublicKeys;
use crate::crypto::note::Checkpoint;
use crate::engine::read_bounded;
use crate::limits::PROOF_FILE_BYTES_MAX;

/// `fapiao proof …`
#[derive(Subcommand)]
pub(super) enum Proof {
    /// Check a kept answer, or a proof about the log, and say what it proves. 0: it holds, 1: it does not (or another answer), 2: it is none
    Verify(Verify),
}

/// `fapiao proof verify`
#[derive(Args)]
pub(super) struct Verify {
    /// What `fapiao verify --proof FILE`, `fapiao ledger prove` or `fapiao ledger prove-consistency` wrote
    file: PathBuf,
    /// The log's public keys (`fapiao keys show`), from somebody you trust 公钥. Proofs about the log need them; a kept answer brings its own, which
    /// are used without this
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The leaf whose inclusion is to be proved, 96 bytes in hex; default: the one that the proof carries 叶子
    #[arg(long, value_name = "HEX")]
    leaf: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Proof {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Proof::Verify(verify) = self;
        let trusted = verify.keys.as_deref().map(read_public_keys).transpose()?;
        let file = read_bounded(&verify.file, PROOF_FILE_BYTES_MAX)?;
        let begins = |header: &str| file.starts_with(header.split_once('@').map_or(header, |(name, _)| name).as_bytes());
        let (is_inclusion, is_consistency) = (begins(LogProof::HEADER), begins(ConsistencyProof::HEADER));
        if verify.leaf.is_some() && !is_inclusion {
            return Err(Failure::Usage("--leaf goes with a proof of inclusion (c2sp.org/tlog-proof)".to_owned()));
        }
        if !is_inclusion && !is_consistency {
            return verify.answer(&file, trusted.as_ref());
        }
        let keys = trusted.ok_or_else(|| Failure::Usage("a proof about the log carries no keys; give --keys FILE".to_owned()))?;
        let Ok(text) = std::str::from_utf8(&file) else { return verify.does_not_hold("the text is not UTF-8", true) };
        let proven = if is_inclusion { verify.inclusion(text, &keys)? } else { verify.consistency(text, &keys) };
        match proven {
            Ok((value, text)) => {
                print(verify.json, &value, &text)?;
                Ok(Exit::Fine)
            }
            Err(fault) => verify.does_not_hold(&fault.to_string(), fault.is_malformed()),
        }
    }
}

/// Public keys in a file: as `fapiao keys show` prints them, or as a server says them with its origin.
pub(super) fn read_public_keys(path: &Path) -> Result<PublicKeys, Failure> {
    let usage = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let value: Value = serde_json::from_slice(&read_bounded(path, PROOF_FILE_BYTES_MAX)?).map_err(|error| usage(error.to_string()))?;
    keys::parse(value.get("keys").unwrap_or(&value)).map_err(|error| usage(error.to_string()))
}

/// What is said of a proof that holds, as JSON and as text.
type Proven = Result<(Value, String), LogProofFault>;

impl Verify {
    fn inclusion(&self, text: &str, keys: &PublicKeys) -> Result<Proven, Failure> {
        let leaf = match &self.leaf {
            Some(hex) => {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
                Some(bytes.map_err(|error| Failure::Usage(format!("--leaf is not hex: {error}")))?)
            }
            None => None,
        };
        Ok(log_proof::verify_inclusion(text, leaf.as_deref(), keys).map(|Included { checkpoint, index, leaf }| {
            let value = json!({
                "holds": true,
                "proves": "inclusion",
                "index": index,
                "event": leaf.event.name(),
                "commit": data_encoding::HEXLOWER.encode(&leaf.commit),
                "leaf": data_encoding::HEXLOWER.encode(&leaf.encode()),
                "leaf_from": if self.leaf.is_some() { "--leaf" } else { "the proof itself" },
                "checkpoint": checkpoint_json(&checkpoint),
            });
            let text = format!(
                "证明有效 the proof holds: leaf {index} of the log is this one, of event {}\n  {}",
                leaf.event.name(),
                checkpoint_text(&checkpoint)
            );
            (value, text)
        }))
    }

    fn consistency(&self, text: &str, keys: &PublicKeys) -> Proven {
        let Continued { older, newer } = log_proof::verify_consistency(text, keys)?;
        let reopened = older.origin != newer.origin;
        let value = json!({
            "holds": true,
            "proves": "consistency",
            "from": checkpoint_json(&older),
            "to": checkpoint_json(&newer),
            "reopened": reopened,
        });
        let (from, to) = (checkpoint_text(&older), checkpoint_text(&newer));
        let mut text = format!("证明有效 the proof holds: the log only grew, and nothing in it was changed\n  from {from}\n  to   {to}");
        if reopened {
            text.push_str(&format!("\n  账本曾重开 the origins differ: {} continues {}, as a reopened ledger does", newer.origin, older.origin));
        }
        Ok((value, text))
    }

    fn does_not_hold(&self, reason: &str, is_malformed: bool) -> Result<Exit, Failure> {
        print(self.json, &json!({ "holds": false, "reason": reason }), &format!("凭证无效 the proof does not hold: {reason}"))?;
        Ok(if is_malformed { Exit::Usage } else { Exit::Other })
    }

    fn answer(&self, file: &[u8], trusted: Option<&PublicKeys>) -> Result<Exit, Failure> {
        match proof::verify(file, trusted) {
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
                print(self.json, &value, &text)?;
                Ok(exit(proven.verdict))
            }
            Err(fault) => self.does_not_hold(&fault.to_string(), matches!(fault, ProofFault::Malformed(_) | ProofFault::Keys(_))),
        }
    }
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    json!({ "origin": checkpoint.origin.as_str(), "size": checkpoint.size, "root": data_encoding::HEXLOWER.encode(&checkpoint.root) })
}

fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    format!("{} at size {}", checkpoint.origin, checkpoint.size)
}
