//! fapiao (发票): a national e-invoice verification engine.
//!
//! It signs, stores and verifies all six Chinese VAT invoice types on an embedded ledger. Start with the manual:
//! [architecture](manual::_01_architecture), [formats](manual::_02_formats), [decisions](manual::_03_decisions). Whoever
//! keeps a ledger running needs the [runbook](manual::_05_runbook), whoever asks much the [limits](manual::_06_limits), who
//! holds its keys the [ceremony](manual::_10_keys), who watches its log the page on [witnesses](manual::_12_witness), whoever
//! checks what it said the [proofs](manual::_14_proofs).
//!
//! The modules are floors; a file names its own floor or a lower one, and a test holds that.

// 0
pub mod limits;
pub mod metrics;
// 1: what an invoice is
pub mod domain;
// 2: bytes and keys, pure
pub mod codec;
pub mod crypto;
// 3: what is stored
pub mod ledger;
// 4: what is decided
pub mod issue;
pub mod verify;
pub mod witness;
// 5: the one API
pub mod engine;
// 6: the ways in and out
pub mod channel;
// 7: the program
pub mod cli;

/// The manual, as pages of this documentation.
pub mod manual;
