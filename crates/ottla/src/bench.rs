//! `ottla bench`: one file per measurement, and what they share.
//!
//! - [`load`]: how much is written and how fast: the arguments, and the pacer that says when each record is due.
//! - [`place`]: the topic to measure with, made for the occasion unless one is named.
//! - [`payload`]: what records hold.
//! - [`writer`]: writes records when they are due, and waits for each of them.
//! - [`report`]: what was counted, and how it is told.
//!
//! Latency is counted from when a record was due by the schedule, not from when there was time to send it: a broker that
//! stalls for a second delays all that was due in this second, and all of it is counted (no coordinated omission).

mod consume;
mod e2e;
mod load;
mod payload;
mod place;
mod produce;
mod report;
mod stop;
mod writer;

use clap::{Args, Subcommand};

/// Arguments of `ottla bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    command: BenchCommand,
}

/// The measurements.
#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Write records: throughput, and the time until each is acknowledged
    Produce(produce::Arguments),
    /// Read records that are there: throughput
    Consume(consume::Arguments),
    /// Write and read at once: the time from when a record is due until a consumer has it
    #[command(name = "e2e")]
    EndToEnd(e2e::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        BenchCommand::Produce(arguments) => produce::run(arguments).await,
        BenchCommand::Consume(arguments) => consume::run(arguments).await,
        BenchCommand::EndToEnd(arguments) => e2e::run(arguments).await,
    }
}
