//! `ottla topic`: one file per command under it.

mod alter;
mod create;
mod delete;
mod describe;
mod list;

use clap::{Args, Subcommand};

/// Arguments of `ottla topic`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to do with topics.
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

/// The commands on topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create(create::Arguments),
    /// List the topics
    List(list::Arguments),
    /// Show partitions, replicas and configuration of topics
    Describe(describe::Arguments),
    /// Change the number of partitions and the configuration of a topic
    Alter(alter::Arguments),
    /// Delete topics and all their records
    Delete(delete::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        TopicCommand::Create(arguments) => create::run(arguments).await,
        TopicCommand::List(arguments) => list::run(arguments).await,
        TopicCommand::Describe(arguments) => describe::run(arguments).await,
        TopicCommand::Alter(arguments) => alter::run(arguments).await,
        TopicCommand::Delete(arguments) => delete::run(arguments).await,
    }
}
