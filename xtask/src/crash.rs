//! `cargo xtask crash`: the crash test of the log, in the build of simulations.
//!
//! Not here: the test itself, which is `sim`'s. With `--sabotage` the log makes mistakes on purpose, and the test must
//! find each.

use std::process::Command;

use anyhow::Result;

use crate::{process, sim, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first workload's seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many workloads at most
    #[arg(long, default_value_t = 10_000)]
    workloads: u64,
    /// How long at most
    #[arg(long)]
    minutes: Option<u64>,
    /// Show instead that the test finds each mistake that the log can be told to make
    #[arg(long)]
    sabotage: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { seed, workloads, minutes, sabotage } = arguments;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root()?);
    if *sabotage {
        cargo.args(["test", "--quiet"]);
        sim::build(&mut cargo).args(["--test", "sabotage", "--", "--nocapture"]);
    } else {
        cargo.args(["run", "--quiet"]);
        sim::build(&mut cargo).args(["--bin", "crash", "--"]);
        cargo.arg(format!("--seed={seed}")).arg(format!("--workloads={workloads}"));
        cargo.args(minutes.map(|minutes| format!("--minutes={minutes}")));
    }
    process::run(&mut cargo, "crash the log", "install Rust")
}
