//! `ottla cluster`: one file per command under it.

mod brokers;
mod elect;
mod health;
mod info;
mod quorum;
pub(crate) mod reassign;

use std::time::Duration;

use clap::{Args, Subcommand};
use ottla_client::{Client, ClusterDescription, Error, Partition, Topic};
use ottla_types::BrokerId;

use crate::cluster::explain;

/// How long the question for the active controller may take, where it is not what the command is about. A broker answers it
/// within seconds, also where there is none.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Show who votes on the metadata and who leads, and how far each node is
    Quorum(quorum::Arguments),
    /// Say whether anything is wrong, and what; exit with 1 if so
    Health(health::Arguments),
    /// Elect leaders of partitions: the preferred ones, or where nobody leads any
    Elect(elect::Arguments),
    /// Move replicas from broker to broker: plan, execute, verify, cancel, progress
    Reassign(reassign::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        ClusterCommand::Info(arguments) => info::run(arguments).await,
        ClusterCommand::Brokers(arguments) => brokers::run(arguments).await,
        ClusterCommand::Quorum(arguments) => quorum::run(arguments).await,
        ClusterCommand::Health(arguments) => health::run(arguments).await,
        ClusterCommand::Elect(arguments) => elect::run(arguments).await,
        ClusterCommand::Reassign(arguments) => reassign::run(arguments).await,
    }
}

/// What there is, and who decides on it.
struct Overview {
    cluster: ClusterDescription,
    topics: Vec<Topic>,
    controller: Controller,
}

impl Overview {
    async fn of(client: &Client) -> anyhow::Result<Self> {
        let cluster = client.describe_cluster().await.map_err(explain)?;
        let topics = client.list_topics().await.map_err(explain)?;
        let controller = Controller::of(client, &cluster).await;
        Ok(Self { cluster, topics, controller })
    }
}

/// All partitions of the topics.
fn partitions(topics: &[Topic]) -> impl Iterator<Item = &Partition> {
    topics.iter().flat_map(|topic| &topic.partitions)
}

/// What a broker said of an error, if it said something.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::Answered { message: Some(message), .. } => message.clone(),
        error => error.to_string(),
    }
}

/// The active controller, or why it is not known: then everything else that is told may be old, for nothing changes.
struct Controller {
    id: Option<BrokerId>,
    why_unknown: Option<String>,
}

impl Controller {
    /// Asks for it. Clusters without DescribeQuorum name one as they please.
    async fn of(client: &Client, cluster: &ClusterDescription) -> Self {
        let why_unknown = match tokio::time::timeout(CONTROLLER_TIMEOUT, client.describe_quorum()).await {
            Ok(Ok(quorum)) => return Self { id: Some(quorum.leader), why_unknown: None },
            Ok(Err(Error::UnsupportedApi { .. })) => {
                return Self { id: cluster.controller, why_unknown: None };
            }
            Ok(Err(error)) => said(&error),
            Err(_) => format!("no broker named it within {} s", CONTROLLER_TIMEOUT.as_secs()),
        };
        Self { id: None, why_unknown: Some(why_unknown) }
    }
}
