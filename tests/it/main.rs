//! One test binary: behaviour at the boundary that users touch, with one scaffolding for all.

mod body;
mod codec;
mod ed25519;
mod fixtures;
mod floors;
mod house;
mod merkle;
mod note;
mod qr;
mod rules;
mod schemas;
mod vectors;
