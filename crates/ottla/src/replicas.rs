//! `ottla replicas`: how every replica of a cluster stands with its leader.
//!
//! - [`state`]: what is shown of a partition and its replicas. [`gather`] asks for it: the leaders, or where those cannot tell,
//!   as Apache Kafka's, what the public APIs say.
//! - [`table`]: one look. [`watch`]: look after look; [`changes`]: what happened in between.

mod changes;
pub(crate) mod gather;
pub(crate) mod state;
mod table;
mod watch;

use std::time::Duration;

use clap::Args;
use ottla_client::{Client, Error};
use ottla_types::{ErrorCode, TopicName};
use serde::Serialize;

use crate::cli::topic_name;
use crate::cluster::Cluster;
use crate::output;
use gather::{Gathered, gather};
use state::PartitionState;

/// How long one broker may take. A broker that stands still must not hold up what others tell.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may take to come to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long all of it may take.
const API_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `ottla replicas`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla replicas\n  \
    ottla replicas --topic orders --under-replicated\n  \
    ottla replicas --watch                        # then, elsewhere: ottla dev kill 3\n  \
    ottla replicas --watch --json | jq .what\n\n\
    Each leader is asked what it knows of its followers: where their logs end, how many records they lack, when they last \
    fetched and when they last had all. `in sync` counts the replicas in the ISR, of how many, and how many `acks=all` needs. \
    `out of sync` tells for how long, as far as the present leader knows.\n\n\
    On a terminal --watch draws anew; elsewhere it prints a line for whatever changes, and with --json each as an object. \
    Apache Kafka's brokers do not tell what their leaders know: then the ISR is shown, and of each replica its size and what its \
    own broker takes for its lag.")]
pub(crate) struct Arguments {
    /// Only this topic (may be repeated)
    #[arg(long, short, value_name = "NAME", value_parser = topic_name)]
    topic: Vec<TopicName>,

    /// Only partitions of which a replica is not in sync
    #[arg(long)]
    under_replicated: bool,

    /// Look again and again, and show what changes
    #[arg(long, short)]
    watch: bool,

    /// How long to wait between two looks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, requires = "watch", value_parser = clap::value_parser!(u64).range(50..))]
    interval: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// One look, as JSON.
#[derive(Debug, Serialize)]
struct Look<'a> {
    /// Whether leaders told, and not only the metadata.
    told_by_leaders: bool,
    /// What could not be told, and why.
    missing: &'a [String],
    partitions: Vec<&'a PartitionState>,
}

/// Shows replicas.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = arguments.cluster.options();
    options.api_timeout = API_TIMEOUT;
    options.connection.request_timeout = REQUEST_TIMEOUT;
    options.connection.connect_timeout = CONNECT_TIMEOUT;
    let client = arguments.cluster.connect_with(options).await?;
    if arguments.watch {
        return watch::run(&client, &arguments).await;
    }
    let gathered = arguments.look(&client).await?;
    let shown = arguments.shown(&gathered);
    if arguments.json {
        return output::say_json(&Look {
            told_by_leaders: gathered.told_by_leaders,
            missing: &gathered.missing,
            partitions: shown,
        });
    }
    for missing in &gathered.missing {
        output::remark(missing);
    }
    Ok(output::say(table::text(&gathered.partitions, &shown))?)
}

impl Arguments {
    async fn look(&self, client: &Client) -> anyhow::Result<Gathered> {
        let topics = Some(self.topic.as_slice()).filter(|topics| !topics.is_empty());
        gather(client, topics).await
    }

    fn shown<'a>(&self, gathered: &'a Gathered) -> Vec<&'a PartitionState> {
        let all = gathered.partitions.iter();
        all.filter(|partition| !self.under_replicated || !partition.is_whole()).collect()
    }
}

/// Why a topic that somebody named cannot be shown.
fn check_topic(error: ErrorCode, name: &TopicName) -> anyhow::Result<()> {
    match error {
        ErrorCode::None | ErrorCode::LeaderNotAvailable => Ok(()),
        ErrorCode::UnknownTopicOrPartition => {
            anyhow::bail!("there is no topic {name}: `ottla topic list` shows those there are")
        }
        error => anyhow::bail!("topic {name}: {error}"),
    }
}

/// Whether a broker does not have an API, as Apache Kafka's has not ours, nor old ones the newer.
fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::UnsupportedApi { .. })
}
