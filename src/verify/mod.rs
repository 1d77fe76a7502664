//! Verification: a question, the registered state, and a verdict that is the same on every channel.

pub mod answer;
pub mod check;
pub mod mask;
pub mod offline;
pub mod query;
pub mod quota;
pub mod verdict;
