//! The `fapiao` program; everything is in the library.

/// Answers are put together from many small pieces, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    #[cfg(feature = "faults")]
    fapiao::ledger::plant_from_environment();
    fapiao::cli::run()
}
