//! What breaks, and what must hold all the same: the process killed, the syscalls watched, files damaged, the disk full, and all of
//! it at once by seed. Needs the feature `faults`.

mod chance;
mod files;
mod kill;
mod panic;
mod program;
mod simulation;
mod space;
#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod syscalls;
