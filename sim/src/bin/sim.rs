//! `cargo xtask sim`: whole clusters under faults, from one seed each. `RUST_LOG` shows what they log meanwhile.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ottla_sim::run::campaign::Campaign;
use ottla_sim::run::{Profile, run_seed};
use tracing_subscriber::EnvFilter;

/// Runs clusters under faults, each from one seed.
#[derive(Parser)]
struct Arguments {
    /// Which cluster
    #[arg(long, value_enum, default_value_t = Profile::Broker)]
    profile: Profile,
    /// The first seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds at most
    #[arg(long)]
    seeds: Option<u64>,
    /// How long at most
    #[arg(long)]
    minutes: Option<u64>,
    /// On how many threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off")))
        .with_writer(std::io::stderr)
        .init();
    let Arguments { profile, seed, seeds, minutes, threads } = Arguments::parse();
    let outcome = match (seeds, minutes) {
        (None, None) => run_seed(profile, seed).map(|report| {
            println!(
                "seed {seed}: all invariants hold; {} operations and {} events in {:.1} simulated s; trace {:016x}",
                report.operations,
                report.events,
                report.simulated_us as f64 / 1e6,
                report.hash
            );
        }),
        _ => {
            let time = minutes.map(|minutes| Duration::from_secs(60 * minutes));
            let seeds = seeds.unwrap_or(u64::MAX);
            (Campaign { profile, seed, seeds, time, threads }).run().map(|totals| {
                println!(
                    "{} seeds, {} operations and {} events in {:.0} simulated s, in {:.1} s: all invariants hold",
                    totals.seeds,
                    totals.operations,
                    totals.events,
                    totals.simulated_us as f64 / 1e6,
                    totals.elapsed.as_secs_f64()
                );
            })
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
