//! The tree against its vectors, against two other implementations, and against its own second path.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use data_encoding::HEXLOWER;
use fapiao::crypto::crossfoot::{Crossfoot, CrossfootError};
use fapiao::crypto::merkle::{self, FullTile, Hash, TILE_WIDTH, TileError, Tree};
use proptest::prelude::*;
use serde_json::Value;

/// Leaf number `index` of every tree here.
fn leaf(index: u64) -> [u8; 96] {
    let mut leaf = [0x5a; 96];
    leaf[..8].copy_from_slice(&index.to_be_bytes());
    leaf
}

/// What a ledger stores of a tree, and the tree itself.
#[derive(Default)]
struct Log {
    tree: Tree,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl Log {
    fn of(size: u64) -> Log {
        let mut log = Log::default();
        (0..size).for_each(|index| log.append(&leaf(index)));
        log
    }

    fn append(&mut self, leaf: &[u8]) {
        for FullTile { level, n, bytes } in self.tree.append(merkle::leaf_hash(leaf)) {
            assert!(self.tiles.insert((level, n), bytes.to_vec()).is_none(), "tile {level}/{n} was emitted twice");
        }
    }

    /// As a ledger reads: a full tile, or the partial one at the edge.
    fn tile(&self, level: u8, n: u64) -> Result<Vec<u8>, Infallible> {
        Ok(match self.tiles.get(&(level, n)) {
            Some(tile) => tile.clone(),
            None => self.tree.partial_tile(level).concat(),
        })
    }

    fn last_leaves(&self) -> Vec<[u8; 96]> {
        let size = self.tree.size();
        (size - size % TILE_WIDTH..size).map(leaf).collect()
    }
}

fn hash(value: &Value) -> Hash {
    HEXLOWER.decode(value.as_str().expect("hex").as_bytes()).expect("hex").try_into().expect("32 bytes")
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().expect("a list").iter().map(hash).collect()
}

#[test]
fn roots_and_proofs_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../fixtures/vectors/contract.json")).expect("JSON");
    let vectors = &vectors["tree"];
    let leaves: Vec<Vec<u8>> = vectors["leaves"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|leaf| HEXLOWER.decode(leaf.as_str().expect("hex").as_bytes()).expect("hex"))
        .collect();
    let roots = &vectors["roots"];
    let root = |size: u64| hash(&roots[size.to_string()]);
    let number = |value: &Value| value.as_u64().expect("a number");

    let (mut log, mut crossfoot) = (Log::default(), Crossfoot::new());
    for (size, leaf) in (1..).zip(&leaves) {
        log.append(leaf);
        crossfoot.push(leaf);
        assert_eq!(log.tree.root(), root(size), "size {size}");
        assert_eq!(crossfoot.root(), root(size), "size {size}");
    }
    for case in vectors["inclusion"].as_array().expect("a list") {
        let (index, size) = (number(&case["index"]), number(&case["size"]));
        let proof = merkle::inclusion_proof(index, size, |level, n| log.tile(level, n)).expect("a proof");
        assert_eq!(proof, hashes(&case["proof"]), "leaf {index} of {size}");
        let leaf_hash = merkle::leaf_hash(&leaves[usize::try_from(index).expect("small")]);
        assert!(merkle::verify_inclusion(&leaf_hash, index, size, &proof, &root(size)));
    }
    for case in vectors["consistency"].as_array().expect("a list") {
        let (old, new) = (number(&case["old"]), number(&case["new"]));
        let proof = merkle::consistency_proof(old, new, |level, n| log.tile(level, n)).expect("a proof");
        assert_eq!(proof, hashes(&case["proof"]), "{old} to {new}");
        assert!(merkle::verify_consistency(old, &root(old), new, &root(new), &proof));
    }
}

/// tlog_tiles keeps every hash in one list and reads from it.
struct Stored(RefCell<Vec<tlog_tiles::Hash>>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let stored = self.0.borrow();
        Ok(indexes.iter().map(|index| stored[usize::try_from(*index).expect("small")]).collect())
    }
}

impl Stored {
    fn push(&self, index: u64) {
        let more = tlog_tiles::stored_hashes(index, &leaf(index), self).expect("hashes");
        self.0.borrow_mut().extend(more);
    }
}

fn is_worth_a_look(size: u64) -> bool {
    size <= 70 || [255, 256, 257, 511, 512, 513, 1000, 4095, 4097, 65_279, 65_535, 65_536, 65_537, 66_000].contains(&size)
}

/// Grown to just beyond a tile of tiles: at each size that is worth a look, all paths to the root agree, rebuilding from what is stored continues
/// with the same state, and proofs agree with tlog_tiles in both directions.
#[test]
fn tlog_tiles_and_the_crossfoot_agree_across_tile_borders() {
    let (mut log, mut crossfoot, stored) = (Log::default(), Crossfoot::new(), Stored(RefCell::default()));
    assert_eq!((log.tree.root(), crossfoot.root()), (merkle::EMPTY_ROOT, merkle::EMPTY_ROOT));
    let mut roots = vec![merkle::EMPTY_ROOT];
    for size in 1..=66_000u64 {
        log.append(&leaf(size - 1));
        crossfoot.push(&leaf(size - 1));
        stored.push(size - 1);
        let root = log.tree.root();
        roots.push(root);
        assert_eq!((crossfoot.root(), crossfoot.size()), (root, size));
        if !is_worth_a_look(size) {
            continue;
        }
        assert_eq!(tlog_tiles::tree_hash(size, &stored).expect("a root").0, root, "size {size}");
        assert_eq!(merkle::root_at(size, |level, n| log.tile(level, n)), Ok(root), "size {size}");

        let last = log.last_leaves();
        let last_hashes: Vec<Hash> = last.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
        let full = |level, n| Ok::<_, Infallible>(log.tiles[&(level, n)].clone());
        let mut again = Tree::rebuild(size, &last_hashes, full).expect("a tree");
        let mut sums = Crossfoot::from_right_edge(size, &last, full).expect("sums");
        assert_eq!((again.size(), again.root(), sums.size(), sums.root()), (size, root, size, root));
        again.append(merkle::leaf_hash(&leaf(size)));
        sums.push(&leaf(size));
        assert_eq!(again.root(), sums.root(), "size {size} and one more");

        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let proof = merkle::inclusion_proof(index, size, |level, n| log.tile(level, n)).expect("a proof");
            let theirs = tlog_tiles::prove_record(size, index, &stored).expect("a proof");
            assert_eq!(proof, theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), "leaf {index} of {size}");
            assert!(merkle::verify_inclusion(&merkle::leaf_hash(&leaf(index)), index, size, &proof, &root));
        }
        for old in [1, 2, size / 3, size / 2, size.saturating_sub(1), size].into_iter().filter(|old| (1..=size).contains(old)) {
            let old_root = &roots[usize::try_from(old).expect("small")];
            let proof = merkle::consistency_proof(old, size, |level, n| log.tile(level, n)).expect("a proof");
            let theirs = tlog_tiles::prove_tree(size, old, &stored).expect("a proof");
            assert_eq!(proof, theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), "{old} to {size}");
            assert!(merkle::verify_consistency(old, old_root, size, &root, &proof));
        }
    }
}

#[test]
fn ct_merkle_accepts_our_proofs_and_we_its() {
    use sha2::Sha256;
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, [u8; 96]>::new();
    let mut roots = vec![theirs.root()];
    for index in 0..600 {
        theirs.push(leaf(index));
        roots.push(theirs.root());
    }
    let log = Log::of(600);
    for size in [1, 2, 3, 7, 8, 100, 255, 256, 257, 300, 511, 512, 513, 600u64] {
        let root = &roots[usize::try_from(size).expect("small")];
        let ours = merkle::root_at(size, |level, n| log.tile(level, n)).expect("a root");
        assert_eq!(ours.as_slice(), root.as_bytes().as_slice(), "size {size}");
        for index in (0..size).step_by(13) {
            let proof = merkle::inclusion_proof(index, size, |level, n| log.tile(level, n)).expect("a proof");
            let proof = ct_merkle::InclusionProof::<Sha256>::from_bytes(proof.concat());
            root.verify_inclusion(&leaf(index), index, &proof).expect("included");
        }
        for old in (1..=size).step_by(13) {
            let proof = merkle::consistency_proof(old, size, |level, n| log.tile(level, n)).expect("a proof");
            let proof = ct_merkle::ConsistencyProof::<Sha256>::try_from_bytes(proof.concat()).expect("whole hashes");
            root.verify_consistency(&roots[usize::try_from(old).expect("small")], &proof).expect("consistent");
        }
    }
    let last = theirs.prove_inclusion(599);
    let (proof, []) = last.as_bytes().as_chunks::<32>() else { panic!("whole hashes") };
    assert!(merkle::verify_inclusion(&merkle::leaf_hash(&leaf(599)), 599, 600, proof, &log.tree.root()));
}

/// The second path is worth something only if a slip in either is seen: a wrong hash, a swapped pair, a lost leaf, a flipped bit in a stored tile.
#[test]
fn a_slip_in_either_path_makes_them_differ() {
    for planted in [0, 1, 100, 255, 256, 600] {
        let (mut tree, mut crossfoot) = (Tree::new(), Crossfoot::new());
        let (mut wrong_tree, mut wrong_crossfoot) = (Tree::new(), Crossfoot::new());
        for index in 0..=600 {
            let mut bytes = leaf(index);
            tree.append(merkle::leaf_hash(&bytes));
            crossfoot.push(&bytes);
            if index == planted {
                bytes[95] ^= 1;
            }
            wrong_tree.append(merkle::leaf_hash(&bytes));
            wrong_crossfoot.push(&bytes);
        }
        assert_eq!(tree.root(), crossfoot.root());
        assert_eq!(wrong_tree.root(), wrong_crossfoot.root());
        assert_ne!(wrong_tree.root(), crossfoot.root(), "leaf {planted} slipped in the tree");
        assert_ne!(tree.root(), wrong_crossfoot.root(), "leaf {planted} slipped in the crossfoot");
    }

    let log = Log::of(66_000);
    let last = log.last_leaves();
    let last_hashes: Vec<Hash> = last.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    // Only tiles whose roots stand at the right edge are read again: those of the last row of 256.
    for (level, n, byte) in [(0, 256, 0), (0, 256, 8191), (1, 0, 4000)] {
        let tampered = |at: u8, m: u64| {
            let mut tile = log.tiles[&(at, m)].clone();
            if (at, m) == (level, n) {
                tile[byte] ^= 0x80;
            }
            Ok::<_, Infallible>(tile)
        };
        let tree = Tree::rebuild(66_000, &last_hashes, tampered).expect("a tree");
        let sums = Crossfoot::from_right_edge(66_000, &last, tampered).expect("sums");
        assert_ne!(tree.root(), log.tree.root(), "bit of tile {level}/{n}");
        assert_ne!(sums.root(), log.tree.root(), "bit of tile {level}/{n}");
    }
}

#[test]
fn what_is_stored_must_have_the_right_shape() {
    let log = Log::of(600);
    let last = log.last_leaves();
    let last_hashes: Vec<Hash> = last.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    let full = |level, n| Ok::<_, Infallible>(log.tiles[&(level, n)].clone());
    let short = |_: u8, _: u64| Ok::<_, Infallible>(vec![0; 8191]);
    let lost = |_: u8, _: u64| Err::<Vec<u8>, _>("lost");

    assert_eq!(Tree::rebuild(601, &last_hashes, full).map(|_| ()), Err(TileError::Outside));
    assert_eq!(Tree::rebuild(600, &last_hashes, short).map(|_| ()), Err(TileError::Short { level: 0, n: 0 }));
    assert_eq!(Tree::rebuild(600, &last_hashes, lost).map(|_| ()), Err(TileError::Read("lost")));
    assert_eq!(Crossfoot::from_right_edge(601, &last, full).map(|_| ()), Err(CrossfootError::Leaves { given: 88, expected: 89 }));
    assert_eq!(Crossfoot::from_right_edge(600, &last, short).map(|_| ()), Err(CrossfootError::Tile { level: 0, n: 0, bytes: 8191 }));
    assert_eq!(Crossfoot::from_right_edge(600, &last, lost).map(|_| ()), Err(CrossfootError::Read("lost")));
    assert_eq!(merkle::inclusion_proof(600, 600, full), Err(TileError::Outside));
    assert_eq!(merkle::consistency_proof(601, 600, full), Err(TileError::Outside));
    assert_eq!(merkle::inclusion_proof(3, 600, |_, _| Ok::<_, Infallible>(vec![0; 32])), Err(TileError::Short { level: 0, n: 2 }));
    assert_eq!(merkle::root_at(600, lost), Err(TileError::Read("lost")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Any index, any two sizes: proofs verify, and do not once a hash, the index, a size or their length is changed.
    #[test]
    fn proofs_prove_one_thing_only(new in 2u64..1200, old in any::<prop::sample::Index>(), index in any::<prop::sample::Index>(), bit in 0usize..256) {
        let log = Log::of(new);
        let root = log.tree.root();
        let size = usize::try_from(new).expect("small");
        let (old, index) = (old.index(size) as u64, index.index(size) as u64);
        let old_root = merkle::root_at(old, |level, n| log.tile(level, n)).expect("a root");
        let leaf_hash = merkle::leaf_hash(&leaf(index));

        let path = merkle::inclusion_proof(index, new, |level, n| log.tile(level, n)).expect("a proof");
        prop_assert!(merkle::verify_inclusion(&leaf_hash, index, new, &path, &root));
        prop_assert!(!merkle::verify_inclusion(&leaf_hash, index ^ 1, new, &path, &root));
        prop_assert!(!merkle::verify_inclusion(&leaf_hash, new, new, &path, &root));
        let proof = merkle::consistency_proof(old, new, |level, n| log.tile(level, n)).expect("a proof");
        prop_assert!(merkle::verify_consistency(old, &old_root, new, &root, &proof));
        prop_assert!(!merkle::verify_consistency(new, &root, old, &old_root, &proof));
        prop_assert!(!merkle::verify_consistency(old, &root, new, &root, &proof));

        let flipped = |proof: &[Hash], at: usize| {
            let mut proof = proof.to_vec();
            proof[at][bit / 8] ^= 1 << (bit % 8);
            proof
        };
        for at in 0..path.len() {
            prop_assert!(!merkle::verify_inclusion(&leaf_hash, index, new, &flipped(&path, at), &root));
        }
        for at in 0..proof.len() {
            prop_assert!(!merkle::verify_consistency(old, &old_root, new, &root, &flipped(&proof, at)));
        }
        let longer = |proof: &[Hash]| [proof, &[root]].concat();
        prop_assert!(!merkle::verify_inclusion(&leaf_hash, index, new, &longer(&path), &root));
        prop_assert!(!merkle::verify_consistency(old, &old_root, new, &root, &longer(&proof)));
        prop_assert!(!merkle::verify_inclusion(&leaf_hash, index, new, &path[1..], &root));
    }

    /// Hostile sizes and proofs: an answer, not a panic.
    #[test]
    fn verification_never_panics(index in any::<u64>(), size in any::<u64>(), proof in prop::collection::vec(any::<[u8; 32]>(), 0..70), root in any::<[u8; 32]>()) {
        prop_assert!(!merkle::verify_inclusion(&root, index, size, &proof, &root) || size == 1);
        prop_assert!(!merkle::verify_consistency(index, &root, size, &root, &proof) || index == size);
    }
}
