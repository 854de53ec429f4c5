//! `cargo xtask sim`: whole clusters under faults, in a build of its own.
//!
//! Not here: the simulation itself, which is `sim`'s. With `--sabotage` clusters make mistakes on purpose, and seeds must find
//! each.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// How simulations are built: optimized, with assertions, and with the mistakes that the code can be told to make, so that
/// one build serves all. In a directory of its own, `target/sim`, for its flags differ from all others.
pub(crate) fn build(cargo: &mut Command) -> &mut Command {
    // By which the order is seeded in which tokio wakes those who wait for the same.
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    cargo.env("RUSTFLAGS", format!("{flags} --cfg tokio_unstable"));
    cargo.args(["--profile", "sim", "-p", "ottla-sim", "--features", "sabotage"])
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which cluster: broker, quorum, cluster or replication; all of them if it is not said
    #[arg(long)]
    profile: Option<String>,
    /// The first seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds at most, of each profile; with neither this nor --minutes it is one, whose trace is printed
    #[arg(long)]
    seeds: Option<u64>,
    /// How long at most, for each profile
    #[arg(long)]
    minutes: Option<u64>,
    /// On how many threads
    #[arg(long)]
    threads: Option<u64>,
    /// Run each seed twice: it must do the same
    #[arg(long)]
    twice: bool,
    /// Show instead that seeds find each mistake that a cluster can be told to make
    #[arg(long)]
    sabotage: bool,
    /// From how many seeds on it is counted how many a mistake needs
    #[arg(long)]
    beginnings: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { profile, seed, seeds, minutes, threads, twice, sabotage, beginnings } = arguments;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root()?);
    cargo.args(["run", "--quiet"]);
    build(&mut cargo).args(["--bin", "sim", "--"]);
    cargo.arg(format!("--seed={seed}"));
    cargo.args(profile.iter().map(|profile| format!("--profile={profile}")));
    cargo.args(seeds.map(|seeds| format!("--seeds={seeds}")));
    cargo.args(minutes.map(|minutes| format!("--minutes={minutes}")));
    cargo.args(threads.map(|threads| format!("--threads={threads}")));
    cargo.args(twice.then_some("--twice"));
    cargo.args(sabotage.then_some("--sabotage"));
    cargo.args(beginnings.map(|count| format!("--beginnings={count}")));
    process::run(&mut cargo, "simulate clusters", "install Rust")
}
