//! One test binary: behaviour at the boundary that users touch, with one scaffolding for all.

mod body;
mod codec;
mod corpus;
mod ed25519;
mod fixtures;
mod floors;
mod fsck;
mod house;
mod ledger;
mod log_proof;
mod merkle;
mod model;
mod note;
mod qr;
mod qr_image;
mod rules;
mod runbook;
mod schemas;
mod second_implementation;
mod streaming;
mod support;
mod vectors;
mod verify;
