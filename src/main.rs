//! The `fapiao` program; everything is in the library.

fn main() -> std::process::ExitCode {
    fapiao::cli::run()
}
