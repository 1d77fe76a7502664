//! The keyring as it lies on disk, encrypted under a passphrase.
//!
//! ```text
//!  0     1            5            9            13         29         53
//!  +-----+------------+------------+------------+----------+----------+------------------------------------------------+
//!  | ver | memory KiB | passes u32 | lanes u32  | salt 16  | nonce 24 | XChaCha20-Poly1305(Argon2id(passphrase, salt), |
//!  | =2  | u32        |            |            |          |          |   nonce, AAD = bytes 0..53, keys)              |
//!  +-----+------------+------------+------------+----------+----------+------------------------------------------------+
//!  key: algorithm u8 | role u8 | key id 8 | 0 | secret 32
//!       algorithm u8 | role u8 | key id 8 | 1 | public key 32 | label of the token: len u8, UTF-8 | CKA_ID: len u8, bytes
//! ```
//!
//! A key of version 1, which is read and no longer written, is `algorithm u8 | role u8 | key id 8 | secret 32`. A witness's key lies in a file of its
//! own, [`COSIGNING_FILE`] and then the same, of version 1, with `seed 32 | name` in place of keys.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::cosignature::CosigningKey;
use super::keyring::{Algorithm, KeyId, Keyring, KeyringError, Material, Role, SecretKey};
use super::sign::{PublicKey, SigningKey, TokenKey};
use crate::codec::reader::{DecodeError, DecodeReason, Reader};
use crate::codec::writer::Writer;
use crate::limits::{KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX, KEYRING_KEYS_MAX, TOKEN_ID_BYTES_MAX, TOKEN_LABEL_BYTES_MAX};

const HEADER_LEN: usize = 1 + 4 + 4 + 4 + 16 + 24;
const VERSION: u8 = 2;
const COSIGNING_VERSION: u8 = 1;
/// A key with the longest label and id.
const KEY_LEN_MAX: usize = 1 + 1 + 8 + 1 + 32 + 1 + TOKEN_LABEL_BYTES_MAX + 1 + TOKEN_ID_BYTES_MAX;
const IN_FILE: u8 = 0;
const IN_TOKEN: u8 = 1;

/// What guessing a passphrase costs (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory, KiB; at least 8 a lane.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes. A quarter of a second on one core, once per start.
    pub const STANDARD: KdfCost = KdfCost { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// Next to nothing: for tests, and for a demo whose passphrase lies beside the file.
    pub const TRIVIAL: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn params(self) -> Option<argon2::Params> {
        let bounded = self.memory_kib <= KDF_MEMORY_KIB_MAX && self.passes <= KDF_PASSES_MAX && self.lanes <= KDF_LANES_MAX;
        argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok().filter(|_| bounded)
    }
}

/// Why a key file does not open, or cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a key file of this version.
    #[error("not a key file of this version: {0}")]
    Layout(DecodeError),
    /// The costs are none, or more than this program is willing to pay.
    #[error("the key file's Argon2id parameters are out of bounds")]
    Cost,
    /// The passphrase is wrong, or the file was altered.
    #[error("the passphrase is wrong, or the key file was altered")]
    Passphrase,
    /// Not a witness's.
    #[error("not a witness's key file of this version")]
    Witness,
    /// The label of a token, or the id of a key in it, is longer than PKCS#11 has them.
    #[error("the token's label or its key's id is too long for a key file: {TOKEN_LABEL_BYTES_MAX} and {TOKEN_ID_BYTES_MAX} bytes")]
    TokenName,
    /// It opens, and its keys are no keyring.
    #[error("the key file's keys: {0}")]
    Keyring(#[from] KeyringError),
}

/// A passphrase as it was worked into the key of one key file: what a process keeps to write the file again, in place of the passphrase itself.
pub struct Passkey {
    cost: KdfCost,
    salt: [u8; 16],
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Passkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passkey(…)")
    }
}

impl Passkey {
    fn derive(passphrase: &str, salt: [u8; 16], cost: KdfCost) -> Result<Passkey, KeyFileError> {
        let params = cost.params().ok_or(KeyFileError::Cost)?;
        // Its memory is ours, so that it is wiped; a file may ask for more than there is.
        let mut blocks = Zeroizing::new(Vec::new());
        blocks.try_reserve_exact(params.block_count()).map_err(|_| KeyFileError::Cost)?;
        blocks.resize(params.block_count(), argon2::Block::new());
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        let derived = argon2.hash_password_into_with_memory(passphrase.as_bytes(), &salt, key.as_mut(), blocks.as_mut_slice());
        derived.map_err(|_| KeyFileError::Cost)?;
        Ok(Passkey { cost, salt, key })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key: &Key = (&*self.key).into();
        XChaCha20Poly1305::new(key)
    }

    /// The key file under the same passphrase and salt. `nonce` is random and used once.
    pub fn seal(&self, keyring: &Keyring, nonce: &[u8; 24]) -> Result<Vec<u8>, KeyFileError> {
        let mut keys = Zeroizing::new(Vec::with_capacity(keyring.keys().len() * KEY_LEN_MAX));
        for key in keyring.keys() {
            keys.extend_from_slice(&[key.role().algorithm() as u8, key.role() as u8]);
            keys.extend_from_slice(&key.key_id().0);
            match key.material() {
                Material::Bytes(secret) => {
                    keys.push(IN_FILE);
                    keys.extend_from_slice(&**secret);
                }
                Material::Token(at, _) => {
                    keys.push(IN_TOKEN);
                    keys.extend_from_slice(&at.public.to_bytes());
                    for (part, limit) in [(at.token.as_bytes(), TOKEN_LABEL_BYTES_MAX), (&at.id, TOKEN_ID_BYTES_MAX)] {
                        let length = u8::try_from(part.len()).ok().filter(|length| usize::from(*length) <= limit).ok_or(KeyFileError::TokenName)?;
                        keys.push(length);
                        keys.extend_from_slice(part);
                    }
                }
            }
        }
        self.encrypt(VERSION, &keys, nonce)
    }

    /// Header and secret.
    fn encrypt(&self, version: u8, secret: &[u8], nonce: &[u8; 24]) -> Result<Vec<u8>, KeyFileError> {
        let mut writer = Writer::with_capacity(HEADER_LEN);
        writer.u8(version).u32(self.cost.memory_kib).u32(self.cost.passes).u32(self.cost.lanes).bytes(&self.salt).bytes(nonce);
        let mut file = writer.into_bytes();
        let payload = Payload { msg: secret, aad: &file };
        let sealed = self.cipher().encrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyFileError::Passphrase)?;
        file.extend_from_slice(&sealed);
        Ok(file)
    }

    /// The keyring in a key file that was written under the same passphrase and salt.
    pub fn open(&self, file: &[u8]) -> Result<Keyring, KeyFileError> {
        let (version, keys) = self.decrypt(file)?;
        let mut reader = Reader::new(&keys);
        let mut ring = Vec::new();
        while reader.offset() < keys.len() {
            ring.push(read_key(&mut reader, version).map_err(KeyFileError::Layout)?);
        }
        Ok(Keyring::new(ring)?)
    }

    /// Version and secret.
    fn decrypt(&self, file: &[u8]) -> Result<(u8, Zeroizing<Vec<u8>>), KeyFileError> {
        let mut reader = Reader::new(file);
        let Header { version, cost, salt, nonce } = read_header(&mut reader).map_err(KeyFileError::Layout)?;
        if (cost, salt) != (self.cost, self.salt) {
            return Err(KeyFileError::Passphrase);
        }
        let (header, sealed) = file.split_at(reader.offset());
        let opened = self.cipher().decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: header });
        Ok((version, Zeroizing::new(opened.map_err(|_| KeyFileError::Passphrase)?)))
    }
}

/// The key file. `salt` and `nonce` are random and used once.
pub fn seal(keyring: &Keyring, passphrase: &str, salt: &[u8; 16], nonce: &[u8; 24], cost: KdfCost) -> Result<Vec<u8>, KeyFileError> {
    Passkey::derive(passphrase, *salt, cost)?.seal(keyring, nonce)
}

/// The keyring in a key file.
pub fn open(file: &[u8], passphrase: &str) -> Result<Keyring, KeyFileError> {
    unlock(file, passphrase).map(|(keyring, _)| keyring)
}

/// The keyring in a key file, and what it takes to write the file again.
pub fn unlock(file: &[u8], passphrase: &str) -> Result<(Keyring, Passkey), KeyFileError> {
    let Header { cost, salt, .. } = read_header(&mut Reader::new(file)).map_err(KeyFileError::Layout)?;
    let passkey = Passkey::derive(passphrase, salt, cost)?;
    Ok((passkey.open(file)?, passkey))
}

/// What a witness's key file begins with.
pub const COSIGNING_FILE: &str = "fapiao-witness-key/1\n";

/// A witness's key file. `salt` and `nonce` are random and used once.
pub fn seal_cosigning(
    name: &str,
    seed: &[u8; 32],
    passphrase: &str,
    salt: &[u8; 16],
    nonce: &[u8; 24],
    cost: KdfCost,
) -> Result<Vec<u8>, KeyFileError> {
    let mut secret = Zeroizing::new(Vec::with_capacity(seed.len() + name.len()));
    secret.extend_from_slice(seed);
    secret.extend_from_slice(name.as_bytes());
    let sealed = Passkey::derive(passphrase, *salt, cost)?.encrypt(COSIGNING_VERSION, &secret, nonce)?;
    Ok([COSIGNING_FILE.as_bytes(), &sealed].concat())
}

/// The key in a witness's key file.
pub fn open_cosigning(file: &[u8], passphrase: &str) -> Result<CosigningKey, KeyFileError> {
    let sealed = file.strip_prefix(COSIGNING_FILE.as_bytes()).ok_or(KeyFileError::Witness)?;
    let Header { version, cost, salt, .. } = read_header(&mut Reader::new(sealed)).map_err(KeyFileError::Layout)?;
    if version != COSIGNING_VERSION {
        return Err(KeyFileError::Witness);
    }
    let (_, secret) = Passkey::derive(passphrase, salt, cost)?.decrypt(sealed)?;
    let (seed, name) = secret.split_first_chunk().ok_or(KeyFileError::Witness)?;
    let name = std::str::from_utf8(name).map_err(|_| KeyFileError::Witness)?;
    CosigningKey::new(name, SigningKey::from_seed(seed)).ok_or(KeyFileError::Witness)
}

/// What stands before what is sealed.
struct Header {
    version: u8,
    cost: KdfCost,
    salt: [u8; 16],
    nonce: [u8; 24],
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header, DecodeError> {
    let version = reader.version_up_to(VERSION)?;
    let cost = KdfCost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
    Ok(Header { version, cost, salt: reader.array()?, nonce: reader.array()? })
}

fn read_key(reader: &mut Reader<'_>, version: u8) -> Result<SecretKey, DecodeError> {
    let start = reader.offset();
    let algorithm = reader.value("algorithm", Reader::u8, Algorithm::from_number)?;
    let role = reader.value("role", Reader::u8, |number| Role::from_number(number).filter(|role| role.algorithm() == algorithm))?;
    let key_id = KeyId(reader.array()?);
    let place =
        if version == 1 { IN_FILE } else { reader.value("place", Reader::u8, |place| [IN_FILE, IN_TOKEN].contains(&place).then_some(place))? };
    let key = if place == IN_TOKEN {
        let public = reader.value("public key", Reader::array, |public| PublicKey::parse(&public).ok())?;
        let token = reader
            .value("label of the token", read_part, |label| String::from_utf8(label).ok().filter(|label| label.len() <= TOKEN_LABEL_BYTES_MAX))?;
        let id = reader.value("CKA_ID", read_part, |id| (id.len() <= TOKEN_ID_BYTES_MAX).then_some(id))?;
        SecretKey::in_token(role, TokenKey { public, token, id })
    } else {
        let secret = Zeroizing::new(reader.array()?);
        SecretKey::signing(role, secret.clone()).or_else(|| SecretKey::symmetric(role, key_id, secret))
    };
    match key.filter(|key| key.key_id() == key_id) {
        Some(key) => Ok(key),
        None => reader.fault(start + 2, DecodeReason::OutOfRange("key id")),
    }
}

/// Bytes behind their length.
fn read_part(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let length = reader.u8()?;
    reader.take(usize::from(length)).map(<[u8]>::to_vec)
}

// A file with as many keys as there may be, all of them in tokens, and its seal.
const _: () = assert!(HEADER_LEN + KEYRING_KEYS_MAX * KEY_LEN_MAX + 16 <= crate::limits::KEY_FILE_BYTES_MAX);
