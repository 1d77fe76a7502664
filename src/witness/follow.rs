//! What a monitor 监察 knows of a log and what it judges by it: every checkpoint that it is shown must be signed, cosigned by the policy, and continue what it
//! saw before, and every leaf must be one that such a log can have.

use crate::codec::event::Event;
use crate::codec::leaf::Leaf;
use crate::codec::reader::DecodeError;
use crate::crypto::cosignature::Seconds;
use crate::crypto::merkle::{self, Hash, Tree};
use crate::crypto::note::{Checkpoint, Note, NoteError, Origin};
use crate::crypto::policy::Policy;
use crate::limits::{CLOCK_BEHIND_MAX_MS, COSIGNATURE_SKEW_SECS};

/// Why somebody has to look at a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// Not a checkpoint.
    #[error("what it serves is no checkpoint: {0}")]
    NotACheckpoint(NoteError),
    /// The log goes by another name.
    #[error("it is of another log, {0}: if this log went on under that name, read its notice and watch it under the new name from now on")]
    OtherOrigin(Origin),
    /// No key of the policy signed it.
    #[error("none of the keys that the policy knows signed the checkpoint of size {size}")]
    NotSigned {
        /// Its size.
        size: u64,
    },
    /// Too few witnesses cosigned it.
    #[error("the checkpoint of size {size} is not cosigned by as many witnesses as the policy asks for")]
    NotCosigned {
        /// Its size.
        size: u64,
    },
    /// Too long ago.
    #[error("it is {age} s ago that enough witnesses saw it: they see nothing of it any more, or what is shown here is not the newest")]
    Stale {
        /// Seconds.
        age: Seconds,
    },
    /// Shorter than it was at the same address before.
    #[error("it went back from size {from} to {to}")]
    WentBack {
        /// Size before.
        from: u64,
        /// Size now.
        to: u64,
    },
    /// Two histories.
    #[error("two histories: the checkpoint of size {one} and the one of size {other} are signed and do not continue each other")]
    TwoHistories {
        /// Size of what was seen before.
        one: u64,
        /// Size of what is shown now.
        other: u64,
    },
    /// The leaves do not make the root.
    #[error("the leaves that it serves do not make the root of its checkpoint of size {size}")]
    OtherLeaves {
        /// Size.
        size: u64,
    },
    /// A leaf that no such log has.
    #[error("leaf {index}: {fault}")]
    Leaf {
        /// Its place.
        index: u64,
        /// What is wrong with it.
        fault: LeafFault,
    },
    /// Who has to cosign what is published is decided anew.
    #[error("leaf {index} changes the policy by which its checkpoints are published: read it at /v1/proofs/policies")]
    Policy {
        /// Its place.
        index: u64,
    },
    /// What it serves is not what its own checkpoint promises.
    #[error("it does not serve what its checkpoint promises: {0}")]
    Withheld(String),
}

impl Alarm {
    /// A name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Alarm::NotACheckpoint(_) => "not_a_checkpoint",
            Alarm::OtherOrigin(_) => "other_origin",
            Alarm::NotSigned { .. } => "not_signed",
            Alarm::NotCosigned { .. } => "not_cosigned",
            Alarm::Stale { .. } => "stale",
            Alarm::WentBack { .. } => "went_back",
            Alarm::TwoHistories { .. } => "two_histories",
            Alarm::OtherLeaves { .. } => "other_leaves",
            Alarm::Leaf { .. } => "leaf",
            Alarm::Policy { .. } => "policy",
            Alarm::Withheld(_) => "withheld",
        }
    }
}

/// What is wrong with a leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafFault {
    /// No leaf.
    #[error("it does not decode: {0}")]
    Layout(DecodeError),
    /// Earlier than the one before it.
    #[error("its time is before that of the leaf before it")]
    EarlierThanBefore,
    /// Not yet.
    #[error("its time has not come yet")]
    OfTomorrow,
    /// Of something that is not before it.
    #[error("it refers to leaf {0}, which is not before it")]
    RefersForward(u64),
}

/// A log as far as it was seen.
#[derive(Clone, Debug)]
pub struct Followed {
    tree: Tree,
    /// Time of its newest leaf, milliseconds.
    time_ms: u64,
    /// Its newest leaf that tells of a policy.
    policy: Option<u64>,
    /// The newest checkpoint that was seen, as it was signed; none yet at first.
    note: Option<String>,
}

impl Default for Followed {
    fn default() -> Followed {
        Followed::new()
    }
}

impl Followed {
    /// Nothing seen yet.
    pub fn new() -> Followed {
        Followed { tree: Tree::new(), time_ms: 0, policy: None, note: None }
    }

    /// As it was kept: the rows of the tree's right edge, the newest leaf's time, the newest policy's leaf, the checkpoint. `None` if they do not belong
    /// together.
    pub fn kept(size: u64, rows: &[Vec<Hash>], time_ms: u64, policy: Option<u64>, note: String) -> Option<Followed> {
        let tree = Tree::at(size, rows)?;
        let checkpoint = Checkpoint::parse(Note::parse(&note).ok()?.text()).ok()?;
        (checkpoint.size == size && checkpoint.root == tree.root()).then_some(Followed { tree, time_ms, policy, note: Some(note) })
    }

    /// Leaves that were seen.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Root over them.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The rows of the tree's right edge, to be kept.
    pub fn rows(&self) -> Vec<Vec<Hash>> {
        self.tree.right_edge().iter().map(|edge| edge.hashes().to_vec()).collect()
    }

    /// Time of the newest leaf, milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The newest leaf that tells of a policy.
    pub fn policy(&self) -> Option<u64> {
        self.policy
    }

    /// The newest checkpoint that was seen.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Goes on over more leaves, as they follow those that were seen, read at `now_ms`.
    pub fn take(&mut self, leaves: &[[u8; Leaf::LEN]], now_ms: u64) -> Result<(), Alarm> {
        for bytes in leaves {
            let index = self.tree.size();
            let wrong = |fault| Alarm::Leaf { index, fault };
            let leaf = Leaf::decode(bytes).map_err(|error| wrong(LeafFault::Layout(error)))?;
            if leaf.time_ms < self.time_ms {
                return Err(wrong(LeafFault::EarlierThanBefore));
            }
            if leaf.time_ms > now_ms.saturating_add(CLOCK_BEHIND_MAX_MS.max(COSIGNATURE_SKEW_SECS * 1_000)) {
                return Err(wrong(LeafFault::OfTomorrow));
            }
            if let Some(reference) = leaf.ref_index.filter(|reference| *reference >= index) {
                return Err(wrong(LeafFault::RefersForward(reference)));
            }
            self.time_ms = leaf.time_ms;
            if leaf.event == Event::Policy {
                self.policy = Some(index);
            }
            drop(self.tree.append(merkle::leaf_hash(bytes)));
        }
        Ok(())
    }

    /// Keeps a checkpoint that the leaves make.
    pub fn arrive(&mut self, checkpoint: &Checkpoint, note: &str) -> Result<(), Alarm> {
        if (checkpoint.size, checkpoint.root) != (self.tree.size(), self.tree.root()) {
            return Err(Alarm::OtherLeaves { size: checkpoint.size });
        }
        self.note = Some(note.to_owned());
        Ok(())
    }
}

/// The checkpoint in a note of this log, if it is one to believe by the policy at `now`. Enough of its cosignatures must not be older than `freshest` seconds.
pub fn judge_note(text: &str, origin: &Origin, policy: &Policy, now: Seconds, freshest: Seconds) -> Result<Checkpoint, Alarm> {
    let note = Note::parse(text).map_err(Alarm::NotACheckpoint)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(Alarm::NotACheckpoint)?;
    if checkpoint.origin != *origin {
        return Err(Alarm::OtherOrigin(checkpoint.origin));
    }
    let size = checkpoint.size;
    let mut keys = policy.logs().iter().filter(|log| log.key.name == origin.as_str());
    if !keys.any(|log| note.verify(origin.as_str(), &log.key.key).is_ok()) {
        return Err(Alarm::NotSigned { size });
    }
    if policy.asks_for_none() {
        return Ok(checkpoint);
    }
    let cosigned = policy.cosigned(&note, now);
    if !policy.is_quorum(cosigned.iter().map(|(at, _)| *at)) {
        return Err(Alarm::NotCosigned { size });
    }
    // As many as are enough saw it within that time: one alone may cosign what is old again and again.
    let mut ages: Vec<(Seconds, usize)> = cosigned.iter().map(|(at, time)| (now.saturating_sub(*time), *at)).collect();
    ages.sort_unstable();
    let enough = (1..=ages.len()).find(|count| policy.is_quorum(ages.iter().take(*count).map(|(_, at)| *at)));
    let age = enough.and_then(|count| ages.get(count - 1)).map_or(Seconds::MAX, |(age, _)| *age);
    if age > freshest { Err(Alarm::Stale { age }) } else { Ok(checkpoint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::leaf::KeyId;
    use crate::domain::kind::Kind;

    fn leaf(time_ms: u64, ref_index: Option<u64>) -> [u8; Leaf::LEN] {
        let (event, kind, id_tag) = match ref_index {
            None => (Event::Key, None, [0; 32]),
            Some(_) => (Event::Void, Some(Kind::Special), [1; 32]),
        };
        Leaf { event, kind, imported: false, time_ms, ref_index, id_tag, commit: [7; 32], key_id: KeyId([1; 8]) }.encode()
    }

    #[test]
    fn what_is_kept_goes_on_where_it_was() {
        let origin = Origin::parse("log.example/0123456789abcdef").expect("an origin");
        let key = crate::crypto::sign::SigningKey::from_seed(&[1; 32]);
        let note = |followed: &Followed| Checkpoint { origin: origin.clone(), size: followed.size(), root: followed.root() }.sign(&key).encode();
        for before in [0u64, 1, 255, 256, 257, 600] {
            let mut followed = Followed::new();
            followed.take(&(0..before).map(|at| leaf(at, None)).collect::<Vec<_>>(), 1_000).expect("leaves");
            let text = note(&followed);
            let mut again = Followed::kept(before, &followed.rows(), followed.time_ms(), None, text.clone()).expect("as it was");
            for taken in [&mut followed, &mut again] {
                taken.take(&[leaf(700, None), leaf(701, Some(0))], 1_000).expect("leaves");
            }
            assert_eq!(followed.root(), again.root(), "{before}");
            assert!(Followed::kept(before, &again.rows(), 0, None, text.clone()).is_none());
            let mut other = again.rows();
            other[0].pop();
            assert!(Followed::kept(before + 2, &other, 0, None, note(&again)).is_none());
        }
    }

    #[test]
    fn a_leaf_that_cannot_be_is_named() {
        let judged = |leaves: &[[u8; Leaf::LEN]]| Followed::new().take(leaves, 1_000);
        let wrong = |index, fault| Err(Alarm::Leaf { index, fault });
        assert_eq!(judged(&[leaf(5, None), leaf(4, None)]), wrong(1, LeafFault::EarlierThanBefore));
        assert_eq!(judged(&[leaf(10_000_000, None)]), wrong(0, LeafFault::OfTomorrow));
        assert_eq!(judged(&[leaf(5, None), leaf(5, Some(1))]), wrong(1, LeafFault::RefersForward(1)));
        let mut broken = leaf(5, None);
        broken[0] = 9;
        assert!(matches!(judged(&[broken]), Err(Alarm::Leaf { index: 0, fault: LeafFault::Layout(_) })));
    }
}
