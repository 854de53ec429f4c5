//! `cargo xtask sim`: whole clusters under faults, in an optimized build.
//!
//! Not here: the simulation itself, which is `sim`'s.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which cluster; `--help` of the simulation names them
    #[arg(long)]
    profile: Option<String>,
    /// The first seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds at most; with neither this nor --minutes it is one, whose trace is printed
    #[arg(long)]
    seeds: Option<u64>,
    /// How long at most
    #[arg(long)]
    minutes: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { profile, seed, seeds, minutes } = arguments;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::root()?);
    cargo.args(["run", "--quiet", "--release", "-p", "ottla-sim", "--bin", "sim", "--"]);
    cargo.arg(format!("--seed={seed}"));
    cargo.args(profile.iter().map(|profile| format!("--profile={profile}")));
    cargo.args(seeds.map(|seeds| format!("--seeds={seeds}")));
    cargo.args(minutes.map(|minutes| format!("--minutes={minutes}")));
    process::run(&mut cargo, "simulate clusters", "install Rust")
}
