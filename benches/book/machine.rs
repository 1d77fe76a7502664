//! What everything was measured on.

use std::fs;

use super::servers::{postgres_program, says};

/// The machine, and the versions of what runs on it.
pub(crate) struct Machine {
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
            line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let postgres = postgres_program("postgres").and_then(|program| says(program, &["--version"]));
        let missing = || "not installed".to_owned();
        let facts = vec![
            ("processor", format!("{}, {cores} cores", value(&text("/proc/cpuinfo"), "model name"))),
            ("memory", value(&text("/proc/meminfo"), "MemTotal")),
            ("kernel", text("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("fapiao", env!("CARGO_PKG_VERSION").to_owned()),
            ("PostgreSQL", postgres.unwrap_or_else(missing)),
            ("Redis", says("redis-server", &["--version"]).unwrap_or_else(missing)),
        ];
        Machine { facts }
    }
}

/// Processes that want to run, over one, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
