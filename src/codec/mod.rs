//! The bytes that are signed, hashed and logged: hand-encoded, versioned, big-endian, one encoding per value.
//!
//! The manual's page "Formats" is the contract. Every decoder is canonical: what it accepts, the encoder writes back byte for byte; anything else,
//! bytes left over included, is a [`reader::DecodeError`] that says where. Pure: no I/O, no clock, no randomness.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod canonical;
pub mod event;
pub mod leaf;
pub mod particulars;
pub mod proof;
pub mod reader;
pub mod rest;
pub mod revocations;
pub mod rows;
pub mod tile;
pub mod writer;
