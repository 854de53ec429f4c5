//! `ottla cluster`: one file per command under it.

mod brokers;
mod info;

use clap::{Args, Subcommand};
use ottla_client::{Partition, Topic};

/// Arguments of `ottla cluster`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to show.
    #[command(subcommand)]
    command: ClusterCommand,
}

/// The commands on clusters.
#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the cluster's id and controller, and how many brokers, topics and partitions it has
    Info(info::Arguments),
    /// Show the brokers: where each is reached, whether it is fenced, and what it leads and keeps
    Brokers(brokers::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        ClusterCommand::Info(arguments) => info::run(arguments).await,
        ClusterCommand::Brokers(arguments) => brokers::run(arguments).await,
    }
}

/// All partitions of the topics.
fn partitions(topics: &[Topic]) -> impl Iterator<Item = &Partition> {
    topics.iter().flat_map(|topic| &topic.partitions)
}
