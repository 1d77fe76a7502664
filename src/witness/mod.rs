//! Those who watch a log from outside. What a witness 见证人 decides: whether it cosigns a checkpoint that a log submits (c2sp.org/tlog-witness). It never
//! cosigns two histories of one log, and never one that is shorter than what it cosigned before.

pub mod follow;

use crate::crypto::add_checkpoint::AddCheckpoint;
use crate::crypto::merkle;
use crate::crypto::note::{Checkpoint, VerifierKey};

/// What becomes of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It continues what was seen, or is the same again.
    Cosign,
    /// No log of this name is watched.
    UnknownLog,
    /// None of the keys that the log is known by signed it.
    NotSigned,
    /// The proof begins beyond the checkpoint.
    Backwards,
    /// The proof does not begin at the checkpoint that was cosigned last, which has this size.
    OtherSize(u64),
    /// Of the size that was cosigned last, and with another root: two histories.
    TwoRoots,
    /// The proof does not show that it continues what was cosigned last: two histories, or a proof that is wrong.
    Inconsistent,
    /// The same checkpoint again, with a proof where there is nothing to prove.
    NeedlessProof,
}

impl Judgement {
    /// Whether what was submitted is worth keeping: of two roots the log's own signatures are the proof; where a proof does not fit, anybody may have
    /// made it up for a checkpoint of the log.
    pub fn is_evidence(self) -> bool {
        matches!(self, Judgement::TwoRoots | Judgement::Inconsistent)
    }
}

/// Judges a submission by the checkpoint of this log that was cosigned last, if any was, and the keys that logs are known by.
pub fn judge(last: Option<&Checkpoint>, known: &[VerifierKey], submitted: &AddCheckpoint) -> Judgement {
    let AddCheckpoint { old_size, proof, note, checkpoint } = submitted;
    let origin = checkpoint.origin.as_str();
    let mut of_log = known.iter().filter(|key| key.name == origin).peekable();
    if of_log.peek().is_none() {
        return Judgement::UnknownLog;
    }
    if !of_log.any(|key| note.verify(origin, &key.key).is_ok()) {
        return Judgement::NotSigned;
    }
    if *old_size > checkpoint.size {
        return Judgement::Backwards;
    }
    let (size, root) = last.map_or((0, merkle::EMPTY_ROOT), |last| (last.size, last.root));
    if *old_size != size {
        return Judgement::OtherSize(size);
    }
    // By now the checkpoint is at least as long as what was seen.
    if checkpoint.size == size && checkpoint.root != root {
        return Judgement::TwoRoots;
    }
    if checkpoint.size == size && !proof.is_empty() {
        return Judgement::NeedlessProof;
    }
    if merkle::verify_consistency(size, &root, checkpoint.size, &checkpoint.root, proof) { Judgement::Cosign } else { Judgement::Inconsistent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::merkle::{Tree, leaf_hash};
    use crate::crypto::note::{KeyType, Origin};
    use crate::crypto::sign::{Key, PublicKey, SigningKey};

    fn origin(id: &str) -> Origin {
        Origin::parse(&format!("log.example/{id}")).expect("an origin")
    }

    fn key(origin: &Origin, seed: u8) -> (SigningKey, VerifierKey) {
        let key = SigningKey::from_seed(&[seed; 32]);
        let public = PublicKey::parse(&key.public()).expect("a key");
        (key, VerifierKey { name: origin.to_string(), key_type: KeyType::Note, key: public })
    }

    /// Root over leaves of these texts.
    fn root(leaves: &[&str]) -> [u8; 32] {
        let mut tree = Tree::new();
        leaves.iter().for_each(|leaf| drop(tree.append(leaf_hash(leaf.as_bytes()))));
        tree.root()
    }

    fn submitted(old_size: u64, proof: Vec<[u8; 32]>, checkpoint: &Checkpoint, key: &SigningKey) -> AddCheckpoint {
        AddCheckpoint { old_size, proof, note: checkpoint.sign(key), checkpoint: checkpoint.clone() }
    }

    #[test]
    fn each_submission_is_judged_as_the_specification_says() {
        let (log, other) = (origin("0123456789abcdef"), origin("fedcba9876543210"));
        let (secret, public) = key(&log, 1);
        let known = [public];
        let at = |size, root| Checkpoint { origin: log.clone(), size, root };
        let (one, two, fork) = (at(1, root(&["a"])), at(2, root(&["a", "b"])), at(2, root(&["x", "b"])));
        let step = vec![leaf_hash(b"b")];
        let judged = |last: Option<&Checkpoint>, submitted: AddCheckpoint| judge(last, &known, &submitted);

        assert_eq!(judged(None, submitted(0, vec![], &one, &secret)), Judgement::Cosign);
        assert_eq!(judged(None, submitted(0, step.clone(), &one, &secret)), Judgement::Inconsistent);
        assert_eq!(judged(Some(&one), submitted(1, step.clone(), &two, &secret)), Judgement::Cosign);
        assert_eq!(judged(Some(&one), submitted(1, vec![], &one, &secret)), Judgement::Cosign);
        assert_eq!(judged(Some(&one), submitted(1, step.clone(), &fork, &secret)), Judgement::Inconsistent);
        assert_eq!(judged(Some(&one), submitted(1, vec![], &two, &secret)), Judgement::Inconsistent);
        assert_eq!(judged(Some(&two), submitted(2, vec![], &fork, &secret)), Judgement::TwoRoots);
        assert_eq!(judged(Some(&two), submitted(2, step.clone(), &two, &secret)), Judgement::NeedlessProof);
        assert_eq!(judged(Some(&one), submitted(0, vec![], &two, &secret)), Judgement::OtherSize(1));
        assert_eq!(judged(Some(&two), submitted(1, vec![], &one, &secret)), Judgement::OtherSize(2));
        assert_eq!(judged(Some(&two), submitted(2, vec![], &one, &secret)), Judgement::Backwards);
        assert_eq!(judged(None, submitted(0, vec![], &Checkpoint { origin: other, ..one.clone() }, &secret)), Judgement::UnknownLog);
        let (stranger, _) = key(&log, 2);
        assert_eq!(judged(None, submitted(0, vec![], &one, &stranger)), Judgement::NotSigned);
    }

    #[test]
    fn one_known_key_is_enough_and_a_line_of_a_stranger_is_no_harm() {
        let log = origin("0123456789abcdef");
        let ((old, old_public), (new, new_public), (stranger, _)) = (key(&log, 1), key(&log, 2), key(&log, 3));
        let one = Checkpoint { origin: log.clone(), size: 1, root: root(&["a"]) };
        let mut note = one.sign(&old);
        for key in [new, stranger] {
            note.cosign(log.as_str(), &Key::File(key));
        }
        let both = AddCheckpoint { old_size: 0, proof: vec![], note, checkpoint: one };
        assert_eq!(judge(None, std::slice::from_ref(&old_public), &both), Judgement::Cosign);
        assert_eq!(judge(None, std::slice::from_ref(&new_public), &both), Judgement::Cosign);
        assert_eq!(judge(None, &[old_public, new_public], &both), Judgement::Cosign);
    }
}
