//! A bulk result as a file: what was signed over its rows is found at its end, and a single row is taken out of it.

use std::io::{self, BufRead};

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::lines::Lines;
use super::proof::{self, Statement};
use crate::codec::rows::{Row, row_hash};
use crate::crypto::merkle::{self, Hash};
use crate::limits::{BULK_ROWS_MAX, PROOF_FILE_BYTES_MAX};

/// Why a file is no result that could be proved.
#[derive(Debug, thiserror::Error)]
pub enum ResultFault {
    /// Reading it.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A line is not one of a result.
    #[error("line {0} of the file is none of a bulk result with a proof")]
    Line(u64),
    /// There is no last line with a proof.
    #[error("the last line has no proof: the result was made without one, or broke off")]
    Unsigned,
    /// A row and the answer beside it.
    #[error("line {0} of the file: the answer is not that of its row")]
    Answer(u64),
    /// The rows are not those that were signed.
    #[error("the rows of the file are not those that were signed: one is missing, was changed or moved")]
    Rows,
    /// Nothing was asked there.
    #[error("no answer is to line {0} of what was asked")]
    NoSuchLine(u64),
}

/// Whether a file begins as a bulk result does, and not as a single proof.
pub fn is_result(first_line: &[u8]) -> bool {
    let value = serde_json::from_slice::<Value>(first_line).unwrap_or(Value::Null);
    value.get("line").is_some() && value.get("verdict").is_some() || value.get("status").is_some() && value.get("verdicts").is_some()
}

/// The last line of a result: where it begins, and all of it, with the proof as member.
pub fn last_line(mut input: impl BufRead) -> Result<(u64, Value), ResultFault> {
    let (mut at, mut begin, mut last) = (0u64, 0, Vec::new());
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut input, PROOF_FILE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        (begin, last) = (at, line);
        at += read as u64;
    }
    let value: Value = serde_json::from_slice(&last).map_err(|_| ResultFault::Unsigned)?;
    if value.get("proof").is_some_and(Value::is_object) { Ok((begin, value)) } else { Err(ResultFault::Unsigned) }
}

/// Takes the proof of the answer to this line of what was asked out of a result, all rows of which must be there and as they were signed.
pub fn prove(input: impl BufRead, line: u64) -> Result<Value, ResultFault> {
    let mut lines = Lines::new(input, PROOF_FILE_BYTES_MAX);
    let (mut hashes, mut wanted, mut signed) = (Vec::<Hash>::new(), None, None);
    while let Some((at, bytes)) = lines.next_line()? {
        let none = ResultFault::Line(at);
        if signed.is_some() || hashes.len() as u64 > BULK_ROWS_MAX {
            return Err(none);
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else { return Err(none) };
        let Some(row) = value.get("row") else {
            // Of a result that was made without a proof, or broke off, the last line says so.
            let fault = if value.get("status").is_some() { ResultFault::Unsigned } else { none };
            signed = Some(value.get_mut("proof").map(Value::take).filter(Value::is_object).ok_or(fault)?);
            continue;
        };
        let Some(row) = row.as_str().and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok()) else { return Err(none) };
        let said = Row::decode(&row).map_err(|_| ResultFault::Line(at))?;
        if value.get("verdict").and_then(Value::as_u64) != Some(u64::from(said.verdict)) {
            return Err(ResultFault::Answer(at));
        }
        if value.get("line").and_then(Value::as_u64) == Some(line) {
            wanted = Some((hashes.len(), row.clone()));
        }
        hashes.push(row_hash(&row));
    }
    let signed = signed.ok_or(ResultFault::Unsigned)?;
    match proof::stated(&signed) {
        Ok(stated) => match stated.said {
            Statement::Rows(rows) if rows.count == hashes.len() as u64 && rows.rows_root == merkle::root_of(&hashes) => {}
            Statement::Rows(_) => return Err(ResultFault::Rows),
            Statement::Answer(_) => return Err(ResultFault::Unsigned),
        },
        Err(_) => return Err(ResultFault::Unsigned),
    }
    let (place, row) = wanted.ok_or(ResultFault::NoSuchLine(line))?;
    let path = merkle::path_of(place, &hashes).ok_or(ResultFault::Rows)?;
    Ok(proof::row_json(&signed, &row, place as u64, &path))
}
