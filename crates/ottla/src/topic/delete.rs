//! `ottla topic delete`.

use clap::Args;
use ottla_types::TopicName;

use crate::cli::topic_name;
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla topic delete`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla topic delete orders\n\n\
    There is no question before it, and no way back.")]
pub(crate) struct Arguments {
    /// The topics' names
    #[arg(required = true, value_name = "NAME", value_parser = topic_name)]
    names: Vec<TopicName>,

    #[command(flatten)]
    cluster: Cluster,
}

/// Deletes topics, one after another; stops at the first that cannot be deleted.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    for name in &arguments.names {
        client.delete_topic(name).await.map_err(explain)?;
        output::say(format_args!("Deleted topic {name}."))?;
    }
    Ok(())
}
