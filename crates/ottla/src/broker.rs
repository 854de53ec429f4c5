//! `ottla broker`: a broker taken out of its cluster, one file per command.

mod decommission;
mod forget;

use clap::{Args, Subcommand};
use ottla_client::{Client, ClusterBroker, ClusterDescription};
use ottla_types::BrokerId;

use crate::output;

/// Arguments of `ottla broker`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: BrokerCommand,
}

/// The commands on brokers.
#[derive(Debug, Subcommand)]
enum BrokerCommand {
    /// Move all replicas of a broker to others, so that it can be stopped for good
    Decommission(decommission::Arguments),
    /// Have the cluster forget a broker that does not come back
    Forget(forget::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        BrokerCommand::Decommission(arguments) => decommission::run(arguments).await,
        BrokerCommand::Forget(arguments) => forget::run(arguments).await,
    }
}

/// The number of a broker.
fn broker_id(text: &str) -> Result<BrokerId, String> {
    let id = text.parse().ok().filter(|id: &i32| *id >= 0);
    id.map(BrokerId).ok_or_else(|| "expected the number of a broker".to_owned())
}

/// A broker of the cluster.
fn find(cluster: &ClusterDescription, id: BrokerId) -> anyhow::Result<&ClusterBroker> {
    let known = || cluster.brokers.iter().map(|broker| broker.id.to_string()).collect::<Vec<_>>().join(", ");
    let found = cluster.brokers.iter().find(|broker| broker.id == id);
    found.ok_or_else(|| anyhow::anyhow!("there is no broker {id}: the cluster has {}", known()))
}

/// Says what else there is to do for a broker that votes on the metadata. Where that cannot be told, nothing is said.
async fn remark_if_it_votes(client: &Client, id: BrokerId) {
    let Ok(quorum) = client.describe_quorum().await else { return };
    if quorum.voters.iter().any(|voter| voter.id == id) {
        output::remark(format!(
            "node {id} also votes on the metadata, and counts as a voter while it is away: Kafka's kafka-metadata-quorum.sh \
             remove-controller takes its vote, and `ottla cluster quorum` shows who votes"
        ));
    }
}
