//! Runs one target on one input, for the binaries in `fuzz_targets`. What the targets do is in `targets`, which the crate's own tests include too.

#![forbid(unsafe_code)]

pub mod targets;

use targets::{Subject, TARGETS};

const SUBJECT: Subject = if cfg!(feature = "planted") { Subject::Planted } else { Subject::Sound };

/// Runs the target with this name; it panics if a property does not hold.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no target {name}"));
    target(input, SUBJECT);
}
