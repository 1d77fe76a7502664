//! Hashes, the tree, signatures, notes, keys and sealed bodies. Pure: salts, nonces and seeds are arguments, and so is the time.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod add_checkpoint;
pub mod batch;
pub mod body;
pub mod cosignature;
pub mod crossfoot;
pub mod hash;
pub mod keyfile;
pub mod keyring;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod sign;
pub mod token;
