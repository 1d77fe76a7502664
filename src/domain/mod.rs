//! The six invoice types as values that cannot be wrong: what an invoice *is*, before anything is signed or stored.
//!
//! Pure: no I/O, no clock, no randomness. Facts and their sources are cited where they are used; what public sources leave
//! in doubt is a warning, never a rejection.

pub mod allotment;
pub mod audit;
pub mod caller;
pub mod draft;
pub mod fault;
pub mod invoice;
pub mod kind;
pub mod money;
pub mod number;
pub mod particulars;
pub mod rules;
pub mod taxpayer;
pub mod time;
