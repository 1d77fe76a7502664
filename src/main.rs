//! The `fapiao` program; everything is in the library.

fn main() -> std::process::ExitCode {
    #[cfg(feature = "faults")]
    fapiao::ledger::plant_from_environment();
    fapiao::cli::run()
}
