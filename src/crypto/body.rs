//! What is kept of an invoice beyond its face: compressed, then encrypted, erasable without touching tree, QR codes or proofs.
//!
//! ```text
//!  0     1             9           33
//!  +-----+-------------+-----------+---------------------------------------------------+
//!  | ver | data key id | nonce     | XChaCha20-Poly1305(data key, nonce, AAD = commit, |
//!  | =1  | 8 bytes     | 24 bytes  |   zstd(salt 16 || rest))                          |
//!  +-----+-------------+-----------+---------------------------------------------------+
//! ```
//!
//! In the place of a body that was erased (删除) stands when that was, and the salt alone, sealed like a body without a rest; nothing behind the time if
//! the body did not open any more.
//!
//! ```text
//!  0     1         9
//!  +-----+---------+------------------------------+
//!  | ver | time    | stored body of salt and no   |
//!  | =2  | u64, ms | rest, as above; or nothing   |
//!  +-----+---------+------------------------------+
//! ```

use std::cell::RefCell;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::hash::Salt;
use crate::codec::leaf::KeyId;
use crate::codec::reader::{DecodeError, DecodeReason, Reader};
use crate::domain::time::UnixMillis;
use crate::limits::{BODY_BYTES_MAX, REST_BYTES_MAX};

/// Negative levels leave out the Huffman coding of literals, which takes half of the time and saves 3 % of the bytes on the half kilobyte of short
/// texts that a rest is.
const LEVEL: i32 = -1;
const SALT_LEN: usize = 16;

thread_local! {
    // A context is 100 KiB to 1 MiB and costs more to make than one body to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Why a body cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The rest is longer than any draft can make it.
    #[error("the rest is too long")]
    TooLong,
    /// The layout is not this version's.
    #[error("not a stored body: {0}")]
    Layout(DecodeError),
    /// Sealed with a data key that is not at hand, perhaps destroyed in order to erase.
    #[error("no data key {0}")]
    UnknownKey(KeyId),
    /// Altered, or of another invoice.
    #[error("the body was altered, or belongs to another invoice")]
    Altered,
    /// What was sealed is not a compressed salt and rest.
    #[error("the body does not decompress")]
    Compression,
}

/// Salt and rest of an invoice, as they were sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBody {
    /// Salt of the rest digest.
    pub salt: Salt,
    /// Canonical rest, with its slot.
    pub rest: Vec<u8>,
}

/// Seals `salt` and `rest` for the invoice with this commit. `nonce` is random and used once.
pub fn seal((key_id, key): (KeyId, &[u8; 32]), nonce: &[u8; 24], commit: &[u8; 32], salt: &Salt, rest: &[u8]) -> Result<Vec<u8>, BodyError> {
    if rest.len() > REST_BYTES_MAX {
        return Err(BodyError::TooLong);
    }
    let plain = [salt, rest].concat();
    let compressed = COMPRESSOR.with_borrow_mut(|context| {
        let compressor = match context {
            Some(compressor) => compressor,
            None => context.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(&plain)
    });
    let compressed = compressed.map_err(|_: std::io::Error| BodyError::Compression)?;
    let payload = Payload { msg: &compressed, aad: commit };
    let sealed = XChaCha20Poly1305::new(&Key::from(*key)).encrypt(&XNonce::from(*nonce), payload).map_err(|_| BodyError::TooLong)?;
    Ok([&[1][..], &key_id.0, nonce, &sealed].concat())
}

/// Opens the body of the invoice with this commit; `key` looks a data key up by id.
pub fn open<'k>(body: &[u8], key: impl FnOnce(KeyId) -> Option<&'k [u8; 32]>, commit: &[u8; 32]) -> Result<OpenBody, BodyError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyError::Layout(DecodeError { offset: BODY_BYTES_MAX, reason: DecodeReason::TooLong("body") }));
    }
    let mut reader = Reader::new(body);
    let (key_id, nonce) = read_header(&mut reader).map_err(BodyError::Layout)?;
    let (_, sealed) = body.split_at(reader.offset());
    let key = key(key_id).ok_or(BodyError::UnknownKey(key_id))?;
    let opened = XChaCha20Poly1305::new(&Key::from(*key)).decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: commit });
    let plain = decompress(&opened.map_err(|_| BodyError::Altered)?)?;
    let (salt, rest) = plain.split_first_chunk().ok_or(BodyError::Compression)?;
    Ok(OpenBody { salt: *salt, rest: rest.to_vec() })
}

/// First byte of what stands in the place of a body that was erased.
const ERASED: u8 = 2;

/// What is kept in the place of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The body, sealed.
    Sealed(Vec<u8>),
    /// It was erased.
    Erased(Erasure),
}

/// What is left of a body that was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// When.
    pub time: UnixMillis,
    /// The salt, sealed as a body without a rest: with it a receipt is the same as ever. None if the body did not open.
    pub salt: Option<Vec<u8>>,
}

impl Kept {
    /// What these bytes are. A body is looked at only when it is opened.
    pub fn of(bytes: Vec<u8>) -> Result<Kept, BodyError> {
        if bytes.first() != Some(&ERASED) {
            return Ok(Kept::Sealed(bytes));
        }
        let mut reader = Reader::new(&bytes);
        let time = reader.array().and_then(|_: [u8; 1]| reader.u64()).map_err(BodyError::Layout)?;
        let (_, rest) = bytes.split_at(reader.offset());
        Ok(Kept::Erased(Erasure { time: UnixMillis(time), salt: (!rest.is_empty()).then(|| rest.to_vec()) }))
    }
}

impl Erasure {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        [&[ERASED][..], &self.time.0.to_be_bytes(), self.salt.as_deref().unwrap_or_default()].concat()
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<(KeyId, [u8; 24]), DecodeError> {
    reader.version()?;
    Ok((KeyId(reader.array()?), reader.array()?))
}

/// Never more than a salt and the longest rest, whatever the frame claims or holds.
fn decompress(frame: &[u8]) -> Result<Vec<u8>, BodyError> {
    let claimed = get_frame_content_size(frame).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let size = claimed.filter(|size| (SALT_LEN..=SALT_LEN + REST_BYTES_MAX).contains(size)).ok_or(BodyError::Compression)?;
    let plain = DECOMPRESSOR.with_borrow_mut(|context| {
        let decompressor = match context {
            Some(decompressor) => decompressor,
            None => context.insert(Decompressor::new()?),
        };
        decompressor.decompress(frame, size)
    });
    plain.ok().filter(|plain| plain.len() == size).ok_or(BodyError::Compression)
}
