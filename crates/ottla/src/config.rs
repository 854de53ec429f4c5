//! `ottla config`: one file per command under it.

mod get;
mod list;
mod set;
mod target;

use clap::{Args, Subcommand};

/// Arguments of `ottla config`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to do with configurations.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// The commands on configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the values of a topic, of a broker, or those that all brokers are given at run time
    Get(get::Arguments),
    /// Change values at run time
    Set(set::Arguments),
    /// List all keys that there are, with type, default, allowed values and meaning; needs no broker
    List(list::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        ConfigCommand::Get(arguments) => get::run(arguments).await,
        ConfigCommand::Set(arguments) => set::run(arguments).await,
        ConfigCommand::List(arguments) => list::run(&arguments),
    }
}
