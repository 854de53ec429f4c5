//! `ottla topic list`.

use clap::Args;
use ottla_client::Topic;
use serde::Serialize;

use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla topic list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla topic list\n  \
    ottla topic list --internal --json")]
pub(crate) struct Arguments {
    /// Show the cluster's own topics too
    #[arg(long)]
    internal: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    topic: &'a str,
    id: String,
    partitions: usize,
    internal: bool,
}

/// Lists the topics by name, one a line.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let topics = client.list_topics().await.map_err(explain)?;
    let shown: Vec<&Topic> = topics.iter().filter(|topic| arguments.internal || !topic.is_internal).collect();
    if arguments.json {
        let listed: Vec<Listed<'_>> = shown.into_iter().map(Listed::of).collect();
        return output::say_json(&listed);
    }
    for topic in shown {
        output::say(&topic.name)?;
    }
    Ok(())
}

impl<'a> Listed<'a> {
    fn of(topic: &'a Topic) -> Self {
        Self {
            topic: topic.name.as_str(),
            id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            internal: topic.is_internal,
        }
    }
}
