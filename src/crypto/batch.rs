//! Many Ed25519 signatures by one equation: several times cheaper than one by one, and nothing for a verdict.
//!
//! Of each signature (R, S) on M under A the equation is S·B = R + h·A with h = SHA-512(R || A || M). All of them are added up, each times a factor z
//! of 128 random bits:
//!
//! ```text
//! Σ z·R  +  Σ over the keys of (Σ z·h)·A  -  (Σ z·S)·B  =  0
//! ```
//!
//! If one of them does not hold, the sum is zero with a chance of 2^-127 at most. A and R are not looked at for small or mixed order here: a signature
//! on which this and [`PublicKey::verify`] differ can only be made by whoever holds the secret key.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::sign::PublicKey;

/// A signature with what it is said to be on, and whose.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who is said to have signed.
    pub key: &'a PublicKey,
    /// What.
    pub message: &'a [u8],
    /// R and S.
    pub signature: &'a [u8; 64],
}

/// Whether all of these signatures fit. `seed` is random and unknown to whoever could have chosen the signatures; from it come the factors.
pub fn all_fit<'a>(seed: &[u8; 32], claims: impl IntoIterator<Item = Claim<'a>>) -> bool {
    let factors = Sha256::new_with_prefix(seed);
    let mut scalars = Vec::new();
    let mut commitments = Vec::new();
    let mut of_base = Scalar::ZERO;
    // Of few keys: one, almost always.
    let mut of_keys: Vec<(&PublicKey, Scalar)> = Vec::new();
    for Claim { key, message, signature } in claims {
        let (r, s) = halves(signature);
        let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
        let digest: [u8; 64] = Sha512::new().chain_update(r).chain_update(key.to_bytes()).chain_update(message).finalize().into();
        // Over all that the equation depends on, so that equal seeds do no harm.
        let factor = factor(&factors.clone().chain_update(digest).chain_update(s.as_bytes()).finalize().into());
        let of_key = factor * Scalar::from_bytes_mod_order_wide(&digest);
        match of_keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum += of_key,
            None => of_keys.push((key, of_key)),
        }
        of_base += factor * s;
        scalars.push(factor);
        commitments.push(CompressedEdwardsY(r));
    }
    scalars.extend(of_keys.iter().map(|(_, sum)| sum));
    scalars.push(-of_base);
    let keys = of_keys.iter().map(|(key, _)| Some(key.point()));
    let points = commitments.iter().map(CompressedEdwardsY::decompress).chain(keys).chain([Some(ED25519_BASEPOINT_POINT)]);
    EdwardsPoint::optional_multiscalar_mul(scalars, points).is_some_and(|sum| sum.is_identity())
}

fn halves(signature: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    match signature.as_chunks::<32>() {
        ([r, s], []) => (*r, *s),
        _ => unreachable!("64 bytes are twice 32"),
    }
}

/// 128 bits, odd, so that no multiple of a point of small order is zero that should not be.
fn factor(digest: &[u8; 32]) -> Scalar {
    let low = digest.first_chunk().copied().unwrap_or_default();
    Scalar::from(u128::from_le_bytes(low) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sign::SigningKey;

    type Signed = Vec<(Vec<u8>, [u8; 64])>;

    /// Signatures of two keys, by turns.
    fn signed(count: u8) -> (Vec<PublicKey>, Signed) {
        let keys = [SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[8; 32])];
        let public = keys.iter().map(|key| PublicKey::parse(&key.public()).expect("a key")).collect();
        let message = |nth: u8| vec![nth; usize::from(nth)];
        (public, (0..count).map(|nth| (message(nth), keys[usize::from(nth % 2)].sign(&message(nth)))).collect())
    }

    fn fit(keys: &[PublicKey], signed: &[(Vec<u8>, [u8; 64])]) -> bool {
        let claims = signed.iter().enumerate().map(|(nth, (message, signature))| Claim { key: &keys[nth % 2], message, signature });
        all_fit(&[9; 32], claims)
    }

    #[test]
    fn sound_batches_of_any_size_fit() {
        for count in [0, 1, 2, 3, 100, 255] {
            let (keys, signed) = signed(count);
            assert!(fit(&keys, &signed), "{count}");
        }
    }

    #[test]
    fn one_wrong_bit_anywhere_is_noticed() {
        let (keys, signed) = signed(40);
        for nth in [0, 17, 39] {
            for bit in 0..512 {
                let mut wrong = signed.clone();
                wrong[nth].1[bit / 8] ^= 1 << (bit % 8);
                assert!(!fit(&keys, &wrong), "bit {bit} of signature {nth}");
            }
            let mut wrong = signed.clone();
            wrong[nth].0.push(0);
            assert!(!fit(&keys, &wrong), "message {nth}");
            let mut wrong = signed.clone();
            wrong.swap(nth, (nth + 2) % 40);
            assert!(fit(&keys, &wrong), "order does not matter");
            wrong.swap(nth, (nth + 1) % 40);
            assert!(!fit(&keys, &wrong), "the other key");
        }
    }

    #[test]
    fn errors_do_not_cancel_each_other() {
        // The sum of both halves of S stays as it was.
        let (keys, mut signed) = signed(4);
        signed[0].1[32] = signed[0].1[32].wrapping_add(1);
        signed[2].1[32] = signed[2].1[32].wrapping_sub(1);
        assert!(!fit(&keys, &signed));
    }
}
