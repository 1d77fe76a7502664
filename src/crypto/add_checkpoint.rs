//! What a log sends to a witness (c2sp.org/tlog-witness, `add-checkpoint`).
//!
//! ```text
//! old <size in decimal>\n
//! <hash of the consistency proof, base64>\n      none to 63
//! \n
//! <signed checkpoint>
//! ```

use data_encoding::BASE64;

use super::merkle::Hash;
use super::note::{Checkpoint, Note, NoteError, decode_base64, parse_decimal};
use crate::limits::ADD_CHECKPOINT_HASHES_MAX;

/// A checkpoint that is submitted, and the proof that it continues the one the witness cosigned last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the proof begins at.
    pub old_size: u64,
    /// RFC 6962 consistency proof; empty if that size is zero.
    pub proof: Vec<Hash>,
    /// The checkpoint with its signatures, none of which is verified yet.
    pub note: Note,
    /// What the note says.
    pub checkpoint: Checkpoint,
}

/// Why bytes are no submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointFault {
    /// The text before the checkpoint.
    #[error("the body is `old <size>`, the hashes of the proof, an empty line, the checkpoint: {0}")]
    Form(&'static str),
    /// The checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl AddCheckpoint {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<AddCheckpoint, AddCheckpointFault> {
        use AddCheckpointFault::Form;
        let text = std::str::from_utf8(body).map_err(|_| Form("not UTF-8"))?;
        let (proof, note) = text.split_once("\n\n").ok_or(Form("no empty line"))?;
        let mut lines = proof.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(parse_decimal).ok_or(Form("the first line"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == ADD_CHECKPOINT_HASHES_MAX {
                return Err(Form("more than 63 hashes"));
            }
            hashes.push(decode_base64(line).and_then(|hash| hash.try_into().ok()).ok_or(Form("a hash"))?);
        }
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(AddCheckpoint { old_size: old, proof: hashes, note, checkpoint })
    }

    /// The body of a submission.
    pub fn encode(old_size: u64, proof: &[Hash], note: &str) -> String {
        let mut body = format!("old {old_size}\n");
        for hash in proof {
            body.extend([&BASE64.encode(hash), "\n"]);
        }
        body.extend(["\n", note]);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::Origin;
    use super::super::sign::SigningKey;
    use super::*;

    fn note() -> String {
        let origin = Origin::parse("log.example/0123456789abcdef").expect("an origin");
        Checkpoint { origin, size: 9, root: [3; 32] }.sign(&SigningKey::from_seed(&[1; 32])).encode()
    }

    #[test]
    fn what_is_written_is_read() {
        for proof in [vec![], vec![[1; 32], [2; 32]], vec![[0; 32]; 63]] {
            let body = AddCheckpoint::encode(7, &proof, &note());
            let parsed = AddCheckpoint::parse(body.as_bytes()).expect("a body");
            assert_eq!((parsed.old_size, &parsed.proof, parsed.checkpoint.size), (7, &proof, 9));
            assert_eq!(parsed.note.encode(), note());
        }
    }

    #[test]
    fn nothing_else_is() {
        let good = AddCheckpoint::encode(7, &[[1; 32]], &note());
        for bad in [
            String::new(),
            good.replacen("old 7", "old 07", 1),
            good.replacen("old 7", "old  7", 1),
            good.replacen("old 7", "Old 7", 1),
            good.replacen("old 7", "old -7", 1),
            good.replacen("AQEB", "AQE", 1),
            good.replacen("\n\n", "\n", 1),
            AddCheckpoint::encode(7, &[[1; 32]; 64], &note()),
            good.trim_end().to_owned(),
            good.replacen("\n9\n", "\n09\n", 1),
        ] {
            assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(AddCheckpoint::parse(b"old 7\n\n\xff").is_err());
    }
}
