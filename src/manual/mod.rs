//! The manual, in the order in which it is read.

#[doc = include_str!("architecture.md")]
pub mod _01_architecture {}
#[doc = include_str!("formats.md")]
pub mod _02_formats {}
#[doc = include_str!("decisions.md")]
pub mod _03_decisions {}
#[doc = include_str!("faults.md")]
pub mod _04_faults {}
#[doc = include_str!("runbook.md")]
pub mod _05_runbook {}
#[doc = include_str!("limits.md")]
pub mod _06_limits {}
#[doc = include_str!("access.md")]
pub mod _07_access {}
#[doc = include_str!("integrate.md")]
pub mod _08_integrate {}
#[doc = include_str!("operating.md")]
pub mod _09_operating {}
#[doc = include_str!("keys.md")]
pub mod _10_keys {}
#[doc = include_str!("log.md")]
pub mod _11_log {}
#[doc = include_str!("witness.md")]
pub mod _12_witness {}
#[doc = include_str!("revocations.md")]
pub mod _13_revocations {}
#[doc = include_str!("proofs.md")]
pub mod _14_proofs {}
