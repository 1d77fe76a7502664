//! RFC 6962, section 2.1, word for word: slow, and with nothing in common with the ledger's own two trees.

use sha2::{Digest as _, Sha256};

pub(super) type Hash = [u8; 32];

pub(super) fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into()
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The largest power of two smaller than n.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// `MTH(D[n])`.
pub(super) fn root(d: &[Hash]) -> Hash {
    match d {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let k = split(d.len());
            node(root(&d[..k]), root(&d[k..]))
        }
    }
}

/// `PATH(m, D[n])`.
pub(super) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() <= 1 {
        return Vec::new();
    }
    let k = split(d.len());
    let (mut path, sibling) = if m < k { (path(m, &d[..k]), root(&d[k..])) } else { (path(m - k, &d[k..]), root(&d[..k])) };
    path.push(sibling);
    path
}

/// `PROOF(m, D[n])`, and nothing for the empty tree, which begins every other.
pub(super) fn proof(m: usize, d: &[Hash]) -> Vec<Hash> {
    if m == 0 { Vec::new() } else { subproof(m, d, true) }
}

fn subproof(m: usize, d: &[Hash], complete: bool) -> Vec<Hash> {
    if m == d.len() {
        return if complete { Vec::new() } else { vec![root(d)] };
    }
    let k = split(d.len());
    let (mut proof, other) = if m <= k { (subproof(m, &d[..k], complete), root(&d[k..])) } else { (subproof(m - k, &d[k..], false), root(&d[..k])) };
    proof.push(other);
    proof
}
