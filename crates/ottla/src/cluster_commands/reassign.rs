//! `ottla cluster reassign`: replicas moved from broker to broker, one file per command under it.
//!
//! - [`plan`] decides where replicas are to lie; [`propose`] is the command that asks it.
//! - [`execute`] begins moves, [`verify`] tells whether they are done, [`cancel`] ends and undoes them, [`progress`] shows
//!   how far they are.
//! - [`file`]: the JSON of Kafka's `kafka-reassign-partitions.sh`. [`throttle`]: how fast replicas may be copied.

mod cancel;
mod execute;
mod file;
pub(crate) mod plan;
pub(crate) mod progress;
mod propose;
mod throttle;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use ottla_client::{Client, ClusterDescription, OngoingReassignment, Topic};
use ottla_types::{BrokerId, TopicPartition};

pub(crate) use execute::begin;
use plan::Placed;

use crate::cluster::explain;

/// Arguments of `ottla cluster reassign`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign plan > moves.json\n  \
    ottla cluster reassign execute moves.json --throttle 50000000\n  \
    ottla cluster reassign progress --watch\n  \
    ottla cluster reassign verify moves.json      # also takes the throttle away when all is done\n  \
    ottla cluster reassign cancel moves.json      # instead, while it goes on\n\n\
    The files are those of kafka-reassign-partitions.sh, and may be given to either.")]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: ReassignCommand,
}

/// The commands on moves.
#[derive(Debug, Subcommand)]
enum ReassignCommand {
    /// Print where replicas should lie: balanced, over racks, with as little moved as that takes
    Plan(propose::Arguments),
    /// Begin to move partitions to where a file says
    Execute(execute::Arguments),
    /// Say whether partitions are where a file says; exit with 1 if not
    Verify(verify::Arguments),
    /// End moves that are going on, and undo them
    Cancel(cancel::Arguments),
    /// Show the moves that are going on, and how much is still to be copied
    Progress(progress::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        ReassignCommand::Plan(arguments) => propose::run(arguments).await,
        ReassignCommand::Execute(arguments) => execute::run(arguments).await,
        ReassignCommand::Verify(arguments) => verify::run(arguments).await,
        ReassignCommand::Cancel(arguments) => cancel::run(arguments).await,
        ReassignCommand::Progress(arguments) => progress::run(arguments).await,
    }
}

/// Where the partitions of topics lie. Of those that move, where they lie when that is over.
pub(crate) fn placed(topics: &[Topic], ongoing: &[OngoingReassignment]) -> Vec<Placed> {
    let targets: BTreeMap<&TopicPartition, Vec<BrokerId>> =
        ongoing.iter().map(|one| (&one.partition, one.target())).collect();
    let of_topic = |topic: &Topic| -> Vec<Placed> {
        let partition = |partition: &ottla_client::Partition| {
            let at = TopicPartition { topic: topic.name.clone(), partition: partition.index };
            let replicas = targets.get(&at).cloned().unwrap_or_else(|| partition.replicas.clone());
            Placed { at, replicas }
        };
        topic.partitions.iter().map(partition).collect()
    };
    topics.iter().flat_map(of_topic).collect()
}

/// The brokers that can be told something now: those that are not fenced, where the cluster tells.
fn live(cluster: &ClusterDescription) -> BTreeSet<BrokerId> {
    cluster.brokers.iter().filter(|broker| broker.is_fenced != Some(true)).map(|broker| broker.id).collect()
}

/// Takes the throttles of moves away where nothing moves any more, and says so.
pub(crate) async fn clear_throttles(
    client: &Client,
    partitions: impl IntoIterator<Item = &TopicPartition>,
) -> anyhow::Result<bool> {
    if !client.reassignments(None).await.map_err(explain)?.is_empty() {
        return Ok(false);
    }
    let cluster = client.describe_cluster().await.map_err(explain)?;
    let there: BTreeSet<_> =
        client.list_topics().await.map_err(explain)?.into_iter().map(|topic| topic.name).collect();
    let topics: BTreeSet<_> = partitions.into_iter().map(|at| at.topic.clone()).collect();
    throttle::clear(client, live(&cluster), topics.intersection(&there).cloned()).await?;
    Ok(true)
}

/// Broker ids as a list.
fn list(ids: &[BrokerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
