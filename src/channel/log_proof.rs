//! Proofs about the log as text, and their check without a network: that a leaf is in it, and that it only grew. They carry no keys: whoever checks
//! brings the log's, from somebody they trust.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::keys;
use crate::codec::leaf::Leaf;
use crate::codec::proof::{ConsistencyProof, LogProof, LogProofError};
use crate::crypto::keyring::{CheckpointFault, Enrolled, Logged, PublicKeys};
use crate::crypto::merkle::{self, Hash};
use crate::crypto::note::{Checkpoint, Note, NoteError, Origin};
use crate::domain::time::UnixMillis;
use crate::limits::PROOF_HASHES_MAX;

/// A leaf's place in a published log as JSON.
pub fn inclusion_json(index: u64, size: u64, leaf: &[u8; Leaf::LEN], path: &[Hash], checkpoint: &str) -> Value {
    json!({ "index": index, "size": size, "leaf": HEXLOWER.encode(leaf), "path": hex(path), "checkpoint": checkpoint })
}

/// That a published log continues an earlier one, as JSON.
pub fn consistency_json(from: u64, to: u64, hashes: &[Hash], older: &str, newer: &str) -> Value {
    json!({ "from": from, "to": to, "hashes": hex(hashes), "older": older, "newer": newer })
}

pub(super) fn hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| HEXLOWER.encode(hash)).collect()
}

/// Why a proof about the log does not hold, or is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProofFault {
    /// The text is not what its first line says.
    #[error("not a proof: {0}")]
    Text(#[from] LogProofError),
    /// What should be a signed checkpoint is none.
    #[error("not a checkpoint: {0}")]
    Note(NoteError),
    /// Neither the proof nor whoever checks it says which leaf it is about.
    #[error("the proof does not carry the leaf it is about; give it (--leaf HEX)")]
    NoLeaf,
    /// The leaf is not 96 bytes of this version.
    #[error("the leaf does not decode")]
    Leaf,
    /// Signed by none of the checkpoint keys.
    #[error("the checkpoint of {origin} at size {size} is not signed by a checkpoint key of the list")]
    NotSigned {
        /// As the checkpoint says.
        origin: Origin,
        /// As the checkpoint says.
        size: u64,
    },
    /// Signed by stolen keys of the list only.
    #[error("the checkpoint of {origin} at size {size} is signed by a compromised key only: ask online for one that is not")]
    AskOnline {
        /// As the checkpoint says.
        origin: Origin,
        /// As the checkpoint says.
        size: u64,
    },
    /// Signed by keys only that were retired before something that it covers.
    #[error("the checkpoint of {origin} at size {size} is signed by a key only that was retired before what it covers")]
    Retired {
        /// As the checkpoint says.
        origin: Origin,
        /// As the checkpoint says.
        size: u64,
    },
    /// The proof is about another size than its checkpoint.
    #[error("the proof is about size {stated}, its checkpoint about size {signed}")]
    OtherSize {
        /// In the proof.
        stated: u64,
        /// In the signed checkpoint.
        signed: u64,
    },
    /// The path from the leaf does not end at the root.
    #[error("the path does not lead from the leaf at {index} to the root of size {size}")]
    NotIncluded {
        /// Place of the leaf.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The proof of consistency begins elsewhere.
    #[error("the head is shown to continue size {from}, and what is proven here is about size {size}, or another log")]
    OtherHead {
        /// Where the proof of consistency begins.
        from: u64,
        /// Where it should.
        size: u64,
    },
    /// The hashes do not tie the roots together.
    #[error("the log of size {to} is not shown to continue that of size {from}")]
    NotContinued {
        /// Leaves of the older tree.
        from: u64,
        /// Leaves of the newer tree.
        to: u64,
    },
}

impl LogProofFault {
    /// Whether there was nothing to judge: the file or the leaf is not in its form.
    pub fn is_malformed(&self) -> bool {
        match self {
            LogProofFault::Text(_) | LogProofFault::Note(_) | LogProofFault::NoLeaf | LogProofFault::Leaf => true,
            LogProofFault::NotSigned { .. }
            | LogProofFault::AskOnline { .. }
            | LogProofFault::Retired { .. }
            | LogProofFault::OtherSize { .. }
            | LogProofFault::NotIncluded { .. }
            | LogProofFault::OtherHead { .. }
            | LogProofFault::NotContinued { .. } => false,
        }
    }
}

/// What a proof of inclusion that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The log.
    pub checkpoint: Checkpoint,
    /// Place of the leaf in it.
    pub index: u64,
    /// The leaf.
    pub leaf: Leaf,
}

/// What a proof of consistency that holds says: the older log is the beginning of the newer. Their origins differ if it was reopened in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// The log then.
    pub older: Checkpoint,
    /// The log later.
    pub newer: Checkpoint,
}

/// Checks `c2sp.org/tlog-proof` text for `leaf`, or without one for the leaf on its `extra` line.
pub fn verify_inclusion(text: &str, leaf: Option<&[u8]>, keys: &PublicKeys) -> Result<Included, LogProofFault> {
    verify_inclusion_before(text, leaf, keys, None)
}

/// As [`verify_inclusion`], with a later head that its checkpoint must lead to, which then vouches for it.
pub fn verify_inclusion_before(text: &str, leaf: Option<&[u8]>, keys: &PublicKeys, head: Option<&Continued>) -> Result<Included, LogProofFault> {
    let proof = LogProof::parse(text)?;
    let bytes = leaf.or(proof.extra.as_deref()).ok_or(LogProofFault::NoLeaf)?;
    let leaf = Leaf::decode(bytes).map_err(|_| LogProofFault::Leaf)?;
    let checkpoint = open_before(&proof.checkpoint, keys, head, UnixMillis(leaf.time_ms))?;
    let (index, size) = (proof.index, checkpoint.size);
    if !merkle::verify_inclusion(&merkle::leaf_hash(bytes), index, size, &proof.hashes, &checkpoint.root) {
        return Err(LogProofFault::NotIncluded { index, size });
    }
    Ok(Included { checkpoint, index, leaf })
}

/// Checks `fapiao/consistency` text.
pub fn verify_consistency(text: &str, keys: &PublicKeys) -> Result<Continued, LogProofFault> {
    let proof = ConsistencyProof::parse(text)?;
    let older = open(&proof.older, keys, UnixMillis(0))?;
    continued(&proof, older, keys)
}

/// As [`verify_consistency`], where the older checkpoint may be signed by keys that were compromised since: what the newer one continues is in the log,
/// whoever signed it.
pub fn verify_head(text: &str, keys: &PublicKeys) -> Result<Continued, LogProofFault> {
    let proof = ConsistencyProof::parse(text)?;
    let stated = stated(&proof.older)?;
    let older = keys.open_checkpoint(&proof.older, &stated.origin, |_, _| true);
    continued(&proof, older.map_err(|_| LogProofFault::NotSigned { origin: stated.origin, size: stated.size })?, keys)
}

/// The text of a consistency proof that a server gave as JSON.
pub fn consistency_text(value: &Value) -> Option<String> {
    let number = |member: &str| value.get(member).and_then(Value::as_u64);
    let text = |member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let hashes = hash_list(value.get("hashes")?)?;
    Some(ConsistencyProof { from: number("from")?, to: number("to")?, hashes, older: text("older")?, newer: text("newer")? }.encode())
}

/// The text of a proof of inclusion that a server gave as JSON.
pub fn inclusion_text(value: &Value) -> Option<String> {
    let leaf = keys::bytes::<{ Leaf::LEN }>(value.get("leaf")?.as_str()?)?;
    let (index, hashes) = (value.get("index")?.as_u64()?, hash_list(value.get("path")?)?);
    let checkpoint = value.get("checkpoint")?.as_str()?.to_owned();
    Some(LogProof { extra: Some(leaf.to_vec()), index, hashes, checkpoint }.encode())
}

pub(super) fn hash_list(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().filter(|list| list.len() <= PROOF_HASHES_MAX)?.iter().map(|hash| keys::bytes::<32>(hash.as_str()?)).collect()
}

fn continued(proof: &ConsistencyProof, older: Checkpoint, keys: &PublicKeys) -> Result<Continued, LogProofFault> {
    let newer = open(&proof.newer, keys, UnixMillis(0))?;
    for (stated, checkpoint) in [(proof.from, &older), (proof.to, &newer)] {
        if stated != checkpoint.size {
            return Err(LogProofFault::OtherSize { stated, signed: checkpoint.size });
        }
    }
    if !merkle::verify_consistency(older.size, &older.root, newer.size, &newer.root, &proof.hashes) {
        return Err(LogProofFault::NotContinued { from: older.size, to: newer.size });
    }
    Ok(Continued { older, newer })
}

/// The checkpoint in a note, of whichever log it names: what ties it to ours is that one of our checkpoint keys signed under that name,
/// and was not retired before `covered`, if a time of what it covers is known.
pub(super) fn open(note: &str, keys: &PublicKeys, covered: UnixMillis) -> Result<Checkpoint, LogProofFault> {
    let Checkpoint { origin, size, .. } = stated(note)?;
    let is_sound = |key: &Enrolled, _| key.is_sound_at(Logged::Unknown);
    keys.open_checkpoint(note, &origin, |key, _| is_sound(key, size) && key.lasted_beyond(covered)).map_err(|fault| match fault {
        CheckpointFault::Compromised if keys.open_checkpoint(note, &origin, is_sound).is_ok() => LogProofFault::Retired { origin, size },
        CheckpointFault::Compromised => LogProofFault::AskOnline { origin, size },
        CheckpointFault::NoKey | CheckpointFault::Note(_) => LogProofFault::NotSigned { origin, size },
    })
}

/// As [`open`]; with a head that continues it, a signature by a key that was compromised since does, because the head vouches for it.
pub(super) fn open_before(note: &str, keys: &PublicKeys, head: Option<&Continued>, covered: UnixMillis) -> Result<Checkpoint, LogProofFault> {
    let Some(head) = head else { return open(note, keys, covered) };
    let stated = stated(note)?;
    let other = || LogProofFault::OtherHead { from: head.older.size, size: stated.size };
    if stated == head.older { Ok(stated) } else { Err(other()) }
}

/// What a note says, whoever signed it.
pub(super) fn stated(note: &str) -> Result<Checkpoint, LogProofFault> {
    let parsed = Note::parse(note).map_err(LogProofFault::Note)?;
    Checkpoint::parse(parsed.text()).map_err(LogProofFault::Note)
}
