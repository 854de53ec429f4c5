//! `ottla log`: segments on disk, without a broker. One file per command under it.
//!
//! The work is done by `ottla_log::inspect`; what is here is how it is asked for and shown.

mod dump;
mod recover;
mod verify;

use clap::{Args, Subcommand};

/// Arguments of `ottla log`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to do with the files.
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

/// The commands on files of logs.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Print what segments, indexes, snapshots and checkpoints hold
    Dump(dump::Arguments),
    /// Check every batch of logs, and the files beside it; exit with 1 if anything is wrong
    Verify(verify::Arguments),
    /// Show what a start of the broker would do to recover logs
    Recover(recover::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        LogCommand::Dump(arguments) => dump::run(arguments).await,
        LogCommand::Verify(arguments) => verify::run(arguments).await,
        LogCommand::Recover(arguments) => recover::run(arguments).await,
    }
}
