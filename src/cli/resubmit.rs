//! `fapiao resubmit`: receipts of a log that was given up go into the one that goes on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::open::DataOptions;
use super::{Exit, Failure};
use crate::channel::json::parse_draft;
use crate::channel::lines::Drafts;
use crate::channel::receipt::{self, Detail, outcome};
use crate::codec::canonical;
use crate::domain::draft::Draft;
use crate::domain::number::InvoiceId;
use crate::engine::Resubmitted;
use crate::ledger::Sealed;
use crate::limits::{RECEIPT_LINE_BYTES_MAX, RESUBMIT_DRAFTS_MAX};

/// `fapiao resubmit`
#[derive(Args)]
pub(super) struct Resubmit {
    #[command(flatten)]
    data: DataOptions,
    /// Receipts, one JSON object a line, as `fapiao issue` and `fapiao void --json` print them; - is standard input
    #[arg(long, value_name = "FILE")]
    receipts: PathBuf,
    /// The drafts that the invoices among them were issued from, as `fapiao issue` reads them
    #[arg(long, value_name = "FILE")]
    drafts: Option<PathBuf>,
    /// Accepted for symmetry: the output is always JSON lines
    #[arg(long)]
    json: bool,
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

impl Resubmit {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let drafts = match &self.drafts {
            Some(path) => by_id(path)?,
            None => HashMap::new(),
        };
        let engine = self.data.open()?;
        let mut receipts = open(&self.receipts)?;
        let mut out = io::stdout().lock();
        let mut worst = Exit::Fine;
        for line in 1u64.. {
            let mut bytes = Vec::new();
            if io::Read::take(&mut receipts, RECEIPT_LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let (mut value, exit) = match serde_json::from_slice::<Value>(&bytes)
                .map_err(|_| "not JSON".to_owned())
                .and_then(|value| receipt::parse(&value).map_err(|error| error.to_string()))
            {
                Err(reason) => (json!({ "status": "malformed", "en": reason, "zh": "不是回执" }), Exit::Usage),
                Ok(full) => {
                    let draft = match &full.receipt.sealed {
                        Sealed::Invoice { face, .. } => canonical::decode_face(face).ok().and_then(|face| drafts.get(&face.id)),
                        Sealed::Event { .. } => None,
                    };
                    match engine.resubmit(&full, draft)? {
                        Resubmitted::Decided(submitted) => {
                            let (value, gravity) = outcome(&engine, &submitted, Detail::Receipt)?;
                            (value, gravity.into())
                        }
                        Resubmitted::NotOurs(fault) => {
                            (json!({ "status": "not_resubmitted", "en": fault.to_string(), "zh": "回执或草稿与本账本不符" }), Exit::Other)
                        }
                    }
                }
            };
            if let Some(object) = value.as_object_mut() {
                object.insert("line".into(), line.into());
            }
            worst = worst.max(exit);
            writeln!(out, "{value}")?;
        }
        Ok(worst)
    }
}

/// The drafts of a file by code and number; of several with the same, the last.
fn by_id(path: &Path) -> Result<HashMap<InvoiceId, Draft>, Failure> {
    let mut drafts = Drafts::new(open(path)?);
    let mut found = HashMap::new();
    while let Some((line, bytes)) = drafts.next_draft()? {
        let draft = parse_draft(&bytes).map_err(|error| Failure::Usage(format!("{}, line {line}: {error}", path.display())))?;
        let id = draft.id().ok_or_else(|| Failure::Usage(format!("{}, line {line}: no code and number", path.display())))?;
        found.insert(id, draft);
        if found.len() > RESUBMIT_DRAFTS_MAX {
            return Err(Failure::Usage(format!("more than {RESUBMIT_DRAFTS_MAX} drafts; submit them in parts, each with its receipts")));
        }
    }
    Ok(found)
}
