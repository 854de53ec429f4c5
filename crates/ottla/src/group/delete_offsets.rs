//! `ottla group delete-offsets`.

use clap::Args;
use serde::Serialize;

use super::all_of;
use super::topics::{Topic, named};
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla group delete-offsets`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla group delete-offsets readers --topic orders\n  \
    ottla group delete-offsets readers --topic orders:0,1 --topic returns\n\n\
    Offsets in a topic that members of the group read now are not deleted.")]
pub(crate) struct Arguments {
    /// The group
    group: String,

    /// A topic, or a topic and some of its partitions as in orders:0,1 (may be repeated)
    #[arg(long = "topic", required = true, value_name = "TOPIC")]
    topics: Vec<Topic>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Deleted {
    topic: String,
    partition: i32,
    error: Option<String>,
}

/// Deletes the group's offsets in the partitions.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let group = &arguments.group;
    let committed = client.committed_offsets(group, None).await.map_err(explain)?;
    let partitions = named(&arguments.topics, committed.into_keys());
    for topic in &arguments.topics {
        anyhow::ensure!(
            partitions.iter().any(|at| at.topic == topic.name),
            "the group {group} has no such offsets in the topic {}: `ottla group describe {group}` shows what it has",
            topic.name
        );
    }
    let results = client.delete_offsets(group, &partitions).await.map_err(explain)?;
    let mut errors = Vec::new();
    let mut deleted = Vec::new();
    for (at, result) in results {
        let error = result.err();
        if error.is_none() && !arguments.json {
            output::say(format_args!("Deleted the offset of {at}."))?;
        }
        let (topic, partition) = (at.topic.to_string(), at.partition);
        deleted.push(Deleted { topic, partition, error: error.as_ref().map(ToString::to_string) });
        errors.extend(error.map(explain));
    }
    if arguments.json {
        output::say_json(&deleted)?;
    }
    all_of(errors)
}
