//! What was acknowledged, in a file: a later run, perhaps after the server's machine was restored, asks for all of it again.
//!
//! The first line says what the drafts are made from, each further line is the number of a draft and the leaf of its invoice.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::drafts::Drafts;
use super::drive::Trouble;
use super::work::Acknowledged;
use crate::domain::number::InvoiceCode;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::Day;

/// Writes down what is acknowledged, at once.
#[derive(Debug)]
pub(super) struct Keeper(Mutex<File>);

impl Keeper {
    /// A new file.
    pub(super) fn create(path: &Path, drafts: &Drafts) -> io::Result<Keeper> {
        let mut file = File::create(path)?;
        let head = json!({ "code": drafts.code().to_string(), "date": drafts.date().to_string(), "seller": drafts.seller().as_str() });
        writeln!(file, "{head}")?;
        Ok(Keeper(Mutex::new(file)))
    }

    pub(super) fn keep(&self, acknowledged: &[Acknowledged]) -> Result<(), Trouble> {
        let text: String = acknowledged.iter().map(|(nth, index)| format!("{nth} {index}\n")).collect();
        // The lock is held for one write.
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| Trouble::Failed(format!("what was acknowledged could not be written down: {error}")))
    }
}

/// Reads what a [`Keeper`] wrote; a last line that was cut off does not count.
pub(super) fn read(path: &Path) -> io::Result<(Drafts, Vec<Acknowledged>)> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let mut file = BufReader::new(File::open(path)?);
    let mut head = String::new();
    file.read_line(&mut head)?;
    let head: Value = serde_json::from_str(&head).map_err(|error| malformed(&error.to_string()))?;
    let text = |member: &str| head.get(member).and_then(Value::as_str);
    let code = text("code").and_then(InvoiceCode::parse).ok_or_else(|| malformed("code"))?;
    let date = text("date").and_then(Day::parse).ok_or_else(|| malformed("date"))?;
    let seller = text("seller").and_then(TaxpayerId::parse).ok_or_else(|| malformed("seller"))?;
    let (mut acknowledged, mut line) = (Vec::new(), String::new());
    while file.read_line(&mut line)? > 0 && line.ends_with('\n') {
        let pair = line.trim_end().split_once(' ').and_then(|(nth, index)| Some((nth.parse().ok()?, index.parse().ok()?)));
        acknowledged.push(pair.ok_or_else(|| malformed("a line that is not two numbers"))?);
        line.clear();
    }
    Ok((Drafts::new(code, date, seller), acknowledged))
}
