//! A kept answer as a file, and its check without a network: signed answer, signed checkpoint, and the path that ties the invoice to it.

use serde_json::{Value, json};

use super::keys::{self, KeysError};
use crate::codec::event::Role;
use crate::codec::leaf::{KeyId, Leaf};
use crate::codec::proof::Answer;
use crate::crypto::keyring::{CheckpointFault, Logged, PublicKeys, SignatureCheck};
use crate::crypto::merkle;
use crate::crypto::note::Checkpoint;
use crate::engine::SignedAnswer;
use crate::limits::PROOF_HASHES_MAX;
use crate::verify::verdict::Verdict;

const FORMAT: &str = "fapiao-proof/1";

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The file is not a proof.
    #[error("not a proof: {0}")]
    Malformed(&'static str),
    /// Its keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The signature over the answer.
    #[error("the answer's signature does not hold: {0}")]
    Signature(&'static str),
    /// The list of keys does not have the key that signed: it is older than the proof, or of another log.
    #[error("it is signed by a key that the list does not have: update your keys")]
    UpdateKeys,
    /// Signed by a key that was stolen: whether it was signed before is for the log to say.
    #[error("it is signed by a key that was compromised: ask online")]
    AskOnline,
    /// The checkpoint.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(&'static str),
    /// The invoice in the log.
    #[error("the invoice is not shown to be in the log: {0}")]
    Inclusion(&'static str),
}

/// What a proof that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The verdict.
    pub verdict: Verdict,
    /// Everything that was signed.
    pub answer: Answer,
    /// Place of the invoice in the log, where one is shown.
    pub index: Option<u64>,
    /// Checked against keys that the file itself brought: then somebody must say that these are the authority's.
    pub own_keys: bool,
}

/// The file of a signed answer, with the public keys of its log.
pub fn to_json(signed: &SignedAnswer, log_keys: &PublicKeys) -> Value {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let inclusion = signed.inclusion.as_ref().map(|inclusion| {
        json!({
            "index": inclusion.index,
            "leaf": hex(&inclusion.leaf),
            "path": inclusion.path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        })
    });
    json!({
        "format": FORMAT,
        "answer": hex(&signed.bytes),
        "signature": hex(&signed.signature),
        "key_id": signed.key_id.to_string(),
        "checkpoint": signed.checkpoint,
        "inclusion": inclusion,
        "keys": keys::to_json(log_keys),
    })
}

/// Checks a proof offline. `trusted` are keys that the reader already has; without them those in the file are used, and that is said.
pub fn verify(file: &[u8], trusted: Option<&PublicKeys>) -> Result<Proven, ProofFault> {
    let value: Value = serde_json::from_slice(file).map_err(|_| ProofFault::Malformed("not JSON"))?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(ProofFault::Malformed("format is not fapiao-proof/1"));
    }
    let own;
    let log_keys = match trusted {
        Some(trusted) => trusted,
        None => {
            own = keys::parse(value.get("keys").unwrap_or(&Value::Null))?;
            &own
        }
    };
    let bytes = text(&value, "answer").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()).ok_or(ProofFault::Malformed("answer"))?;
    let answer = Answer::decode(&bytes).map_err(|_| ProofFault::Malformed("the answer's bytes do not decode"))?;
    let verdict = Verdict::from_number(answer.verdict).ok_or(ProofFault::Malformed("verdict"))?;
    let signature = text(&value, "signature").and_then(keys::bytes::<64>).ok_or(ProofFault::Malformed("signature"))?;
    let key_id = text(&value, "key_id").and_then(KeyId::parse).ok_or(ProofFault::Malformed("key_id"))?;
    match log_keys.check(Role::Answering, key_id, answer.time, Logged::Unknown, &bytes, &signature) {
        SignatureCheck::Valid => {}
        SignatureCheck::UnknownKey => return Err(ProofFault::UpdateKeys),
        SignatureCheck::Compromised => return Err(ProofFault::AskOnline),
        SignatureCheck::OtherRole => return Err(ProofFault::Signature("the key is not an answering key")),
        SignatureCheck::OutsideWindow => return Err(ProofFault::Signature("the key was not valid then")),
        SignatureCheck::WrongSignature => return Err(ProofFault::Signature("wrong signature")),
    }

    let note = text(&value, "checkpoint").ok_or(ProofFault::Malformed("checkpoint"))?;
    let checkpoint = log_keys
        .open_checkpoint(note, &answer.origin, |key, _| key.is_sound_at(Logged::Unknown) && key.lasted_beyond(answer.time))
        .map_err(|fault| match fault {
            CheckpointFault::Compromised => ProofFault::AskOnline,
            CheckpointFault::NoKey | CheckpointFault::Note(_) => ProofFault::Checkpoint("not signed by the log's checkpoint key"),
        })?;
    if (checkpoint.size, checkpoint.root) != (answer.size, answer.root) {
        return Err(ProofFault::Checkpoint("size or root is not the answer's"));
    }

    let index = match (&answer.commit, value.get("inclusion").filter(|inclusion| !inclusion.is_null())) {
        (None, None) => None,
        (Some(_), None) => return Err(ProofFault::Inclusion("the path is missing")),
        (None, Some(_)) => return Err(ProofFault::Inclusion("the answer shows no invoice")),
        (Some(commit), Some(inclusion)) => Some(check_inclusion(inclusion, commit, &checkpoint)?),
    };
    Ok(Proven { verdict, answer, index, own_keys: trusted.is_none() })
}

fn check_inclusion(inclusion: &Value, commit: &[u8; 32], checkpoint: &Checkpoint) -> Result<u64, ProofFault> {
    let index = inclusion.get("index").and_then(Value::as_u64).ok_or(ProofFault::Malformed("inclusion.index"))?;
    let leaf_bytes = text(inclusion, "leaf").and_then(keys::bytes::<96>).ok_or(ProofFault::Malformed("inclusion.leaf"))?;
    let leaf = Leaf::decode(&leaf_bytes).map_err(|_| ProofFault::Malformed("inclusion.leaf"))?;
    let path = inclusion.get("path").and_then(Value::as_array).filter(|path| path.len() <= PROOF_HASHES_MAX);
    let path = path.ok_or(ProofFault::Malformed("inclusion.path"))?.iter().map(|hash| hash.as_str().and_then(keys::bytes::<32>));
    let path = path.collect::<Option<Vec<_>>>().ok_or(ProofFault::Malformed("inclusion.path"))?;
    if leaf.commit != *commit {
        return Err(ProofFault::Inclusion("the leaf commits to another invoice"));
    }
    if !merkle::verify_inclusion(&merkle::leaf_hash(&leaf_bytes), index, checkpoint.size, &path, &checkpoint.root) {
        return Err(ProofFault::Inclusion("the path does not lead to the root"));
    }
    Ok(index)
}

fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member).and_then(Value::as_str)
}
