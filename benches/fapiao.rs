//! All measurements in one binary: `cargo bench -- NAME` picks by name, `-- --test` runs each once on little data.
//!
//! What a figure means depends on the machine and on what else runs on it, so wherever there is a limit to compare with, it is measured beside the
//! figure and the ratio is printed.

mod answers;
mod book;
mod durable;
mod fsck;
mod hostile;
mod ledger;
mod restart;
mod revocations;
mod site;
mod steps;
mod token;

use criterion::Criterion;

/// How much to measure, and what.
pub(crate) struct Plan {
    /// Only that everything runs.
    pub(crate) smoke: bool,
    /// Part of the names of what is to be measured.
    filter: Option<String>,
}

impl Plan {
    fn from_args() -> Plan {
        let args: Vec<String> = std::env::args().skip(1).collect();
        // The first bare word, as for criterion; values of its options must be written with an equals sign.
        let filter = args.iter().find(|arg| !arg.starts_with('-')).cloned();
        Plan { smoke: args.iter().any(|arg| arg == "--test"), filter }
    }

    /// Whether one of these names was asked for.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        self.filter.as_ref().is_none_or(|filter| names.iter().any(|name| name.contains(filter.as_str())))
    }

    /// `full`, or so much of it as shows that it runs.
    pub(crate) fn scaled(&self, full: u32) -> u32 {
        if self.smoke { full.min(2_000) } else { full }
    }
}

fn main() {
    if restart::is_child() || book::is_child() || token::is_child() {
        return;
    }
    let plan = Plan::from_args();
    let mut criterion = Criterion::default().configure_from_args();
    // Memory is measured first, before other measurements leave theirs behind.
    ledger::measure(&mut criterion, &plan);
    durable::measure(&plan);
    fsck::measure(&plan);
    restart::measure(&plan);
    book::measure(&plan);
    hostile::measure(&plan);
    answers::measure(&plan);
    revocations::measure(&plan);
    token::measure(&plan);
    steps::measure(&mut criterion);
    criterion.final_summary();
}
