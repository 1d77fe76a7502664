//! Ed25519 (RFC 8032), strictly: canonical S, canonical A and R, neither of small order, no cofactor. Plain verification accepts an all-zero key on
//! any message, so only [`PublicKey`] verifies, and a weak or non-canonical key never becomes one.

use std::sync::Arc;

use curve25519_dalek::edwards::EdwardsPoint;
use ed25519_dalek::Signer;
use zeroize::Zeroizing;

/// A signing key; its bytes are wiped when it is dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key with this RFC 8032 seed.
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for the key file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key's 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Deterministic signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A signing key that lies in a token (PKCS#11), and how it is found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// What its signatures are checked with.
    pub public: PublicKey,
    /// Label of the token.
    pub token: String,
    /// Its CKA_ID in the token.
    pub id: Vec<u8>,
}

/// Signs with keys whose bytes nobody has. What it does takes time, and may fail.
pub trait Token: Send + Sync {
    /// What the token says is the signature of this key over `message`.
    fn sign(&self, key: &TokenKey, message: &[u8]) -> Result<[u8; 64], SignError>;

    /// As [`Token::sign`], for whoever does without it rather than wait.
    fn sign_at_once(&self, key: &TokenKey, message: &[u8]) -> Option<[u8; 64]>;
}

/// Why there is no signature. Files always sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Nobody said how to reach the token.
    #[error(
        "a signing key is in the token {0:?}, and nothing says how to reach it: give --pkcs11-module, --pkcs11-token and --pin-file, or the server [keys.pkcs11] in its configuration"
    )]
    Unreachable(String),
    /// The token, its module or the way there.
    #[error("the token {token:?} does not sign: {reason}")]
    Token {
        /// Its label.
        token: String,
        /// What it or its module said, and what to do.
        reason: String,
    },
    /// So many ask the token that there was no turn for this. It works.
    #[error("too many ask the token {0:?} to sign at a time")]
    Busy(String),
    /// What the token made is no signature of the key.
    #[error("the token {0:?} made a signature that does not hold; it was not used")]
    Wrong(String),
}

/// A signing key in use: its bytes are at hand, or a token has them.
#[derive(Clone)]
pub enum Key {
    /// Out of the key file.
    File(SigningKey),
    /// In a token, with the way there if it is known.
    Token(Arc<TokenKey>, Option<Arc<dyn Token>>),
}

impl Key {
    /// The public key's 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        match self {
            Key::File(key) => key.public(),
            Key::Token(key, _) => key.public.to_bytes(),
        }
    }

    /// Signature over `message`. One that a token made is checked before anybody sees it.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        match self {
            Key::File(key) => Ok(key.sign(message)),
            Key::Token(key, None) => Err(SignError::Unreachable(key.token.clone())),
            Key::Token(key, Some(token)) => {
                let signature = token.sign(key, message)?;
                if key.public.verify(message, &signature) { Ok(signature) } else { Err(SignError::Wrong(key.token.clone())) }
            }
        }
    }

    /// As [`Key::sign`], where nothing depends on it: `None` if it would take long, too.
    pub fn sign_at_once(&self, message: &[u8]) -> Option<[u8; 64]> {
        match self {
            Key::File(key) => Some(key.sign(message)),
            Key::Token(_, None) => None,
            Key::Token(key, Some(token)) => token.sign_at_once(key, message).filter(|signature| key.public.verify(message, signature)),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::File(key) => key.fmt(f),
            Key::Token(key, _) => key.fmt(f),
        }
    }
}

/// Why 32 bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not the canonical encoding of a point of the curve.
    #[error("not the canonical encoding of a curve point")]
    NotCanonical,
    /// A point of small order: signatures under it prove nothing.
    #[error("a weak key: the point has small order")]
    Weak,
}

/// A public key, decoded once and known to be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key with these RFC 8032 bytes.
    pub fn parse(bytes: &[u8; 32]) -> Result<PublicKey, PublicKeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::NotCanonical)?;
        if key.to_edwards().compress().to_bytes() != *bytes {
            return Err(PublicKeyError::NotCanonical);
        }
        if key.is_weak() { Err(PublicKeyError::Weak) } else { Ok(PublicKey(key)) }
    }

    /// Its 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The point it is, for the equation over many signatures.
    pub(super) fn point(&self) -> EdwardsPoint {
        self.0.to_edwards()
    }

    /// Whether `signature` is this key's on `message`, strictly.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

/// Whether `signature` is on `message` under the key with these bytes; false for bytes that are no sound key. Decodes the key each time.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    PublicKey::parse(public).is_ok_and(|key| key.verify(message, signature))
}
