//! `cargo xtask crash`: the crash test of the log, for many seeds. `RUST_LOG` shows what the log reports meanwhile.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ottla_sim::log_crash::campaign::Campaign;
use tracing_subscriber::EnvFilter;

/// Runs random workloads over the log and crashes each at every change of the disk.
#[derive(Parser)]
struct Arguments {
    /// The first workload's seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many workloads at most
    #[arg(long, default_value_t = 10_000)]
    workloads: u64,
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
    let Arguments { seed, workloads, minutes, threads } = Arguments::parse();
    let time = minutes.map(|minutes| Duration::from_secs(60 * minutes));
    match (Campaign { seed, workloads, time, threads }).run() {
        Ok(totals) => {
            println!(
                "{} workloads of {} operations, {} crashes, in {:.1} s: all invariants hold",
                totals.workloads,
                totals.operations,
                totals.crashes,
                totals.elapsed.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
