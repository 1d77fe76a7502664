//! The ways in and out: what strangers send becomes questions and drafts, what the engine says becomes JSON and text.

pub mod answer;
pub mod caller;
pub mod cosigning;
mod event;
pub mod http;
pub mod issuing;
pub mod json;
pub mod keys;
pub mod lines;
pub mod log_proof;
pub mod logged;
pub mod monitor;
pub mod peer;
pub mod policies;
pub mod problem;
pub mod proof;
pub mod qr;
pub mod qr_image;
pub mod question;
pub mod receipt;
pub mod rows;
pub mod schema;
pub mod verifying;
