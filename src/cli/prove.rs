//! `fapiao ledger prove` and `prove-consistency`: what the log can prove to whoever has its public keys, between any checkpoints it published.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::events::Id;
use super::open::DataOptions;
use super::{Exit, Failure, print};
use crate::channel::log_proof::{consistency_json, inclusion_json};
use crate::codec::proof::{ConsistencyProof, LogProof};
use crate::engine::{EngineError, write_public};
use crate::ledger::Ledger;

/// `fapiao ledger prove`
#[derive(Args)]
pub(super) struct Prove {
    #[command(flatten)]
    data: DataOptions,
    /// Leaf index
    #[arg(long, conflicts_with_all = ["code", "number"])]
    index: Option<u64>,
    #[command(flatten)]
    id: Option<Id>,
    /// Size of the published checkpoint to prove it in; default: the newest 检查点大小
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// `fapiao ledger prove-consistency`
#[derive(Args)]
pub(super) struct ProveConsistency {
    #[command(flatten)]
    data: DataOptions,
    /// Size of the older published checkpoint 较早的检查点大小
    #[arg(long, value_name = "M")]
    from: u64,
    /// Size of the newer one; default: the newest there is 较新的检查点大小
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Output {
    /// Write the proof's text to FILE, which may not exist yet; `fapiao proof verify FILE --keys KEYS` checks it without a network
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Output {
    fn write(&self, value: &Value, text: &str) -> Result<Exit, Failure> {
        match &self.out {
            Some(path) => {
                write_public(path, text.as_bytes())?;
                print(self.json, value, &format!("已写入 wrote {}", path.display()))?;
            }
            None => print(self.json, value, text.trim_end())?,
        }
        Ok(Exit::Fine)
    }
}

impl Prove {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let engine = self.data.open_to_read()?;
        let ledger = engine.ledger();
        let index = match (self.index, &self.id) {
            (Some(index), _) => index,
            (None, Some(id)) => {
                let row = ledger.look_up(id.parse()?).map_err(EngineError::from)?.1;
                row.ok_or_else(|| Failure::Usage("no such invoice".to_owned()))?.index
            }
            (None, None) => return Err(Failure::Usage("give --index, or --code and --number".to_owned())),
        };
        let published = ledger.published();
        let leaf = ledger.leaf(index).map_err(EngineError::from)?;
        let leaf = leaf.ok_or_else(|| Failure::Usage(format!("the log has {} leaves", published.size)))?.encode();
        let size = self.size.unwrap_or(published.size);
        let checkpoint = checkpoint_at(ledger, "--size", size)?;
        if index >= size {
            let first = ledger.first_checkpoint_covering(index).map_err(EngineError::from)?;
            let first = first.map_or_else(String::new, |(first, _)| format!("; the first published size with it is {first}"));
            return Err(Failure::Usage(format!("--size: leaf {index} is not among the first {size}{first}")));
        }
        let hashes = ledger.inclusion(index, size).map_err(EngineError::from)?;
        let value = inclusion_json(index, size, &leaf, &hashes, &checkpoint);
        let proof = LogProof { extra: Some(leaf.to_vec()), index, hashes, checkpoint };
        self.output.write(&value, &proof.encode())
    }
}

impl ProveConsistency {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let engine = self.data.open_to_read()?;
        let ledger = engine.ledger();
        let (from, to) = (self.from, self.to.unwrap_or(ledger.published().size));
        let (older, newer) = (checkpoint_at(ledger, "--from", from)?, checkpoint_at(ledger, "--to", to)?);
        if from > to {
            return Err(Failure::Usage(format!("--from {from} is larger than --to {to}")));
        }
        let hashes = ledger.consistency(from, to).map_err(EngineError::from)?;
        let value = consistency_json(from, to, &hashes, &older, &newer);
        let proof = ConsistencyProof { from, to, hashes, older, newer };
        self.output.write(&value, &proof.encode())
    }
}

/// The signed checkpoint of this size. Only commits publish one, so most sizes have none; then the error says which are nearest.
fn checkpoint_at(ledger: &Ledger, option: &str, size: u64) -> Result<String, Failure> {
    if let Some(note) = ledger.checkpoint_at(size).map_err(EngineError::from)? {
        return Ok(note);
    }
    let (below, above) = ledger.sizes_around(size).map_err(EngineError::from)?;
    let near = |size: Option<u64>| size.map_or_else(|| "none".to_owned(), |size| size.to_string());
    Err(Failure::Usage(format!("{option}: {size} is not a published size; the nearest below is {}, above {}", near(below), near(above))))
}
