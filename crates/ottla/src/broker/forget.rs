//! `ottla broker forget`.

use clap::Args;
use ottla_client::{Client, Topic};
use ottla_types::BrokerId;

use super::{broker_id, find, remark_if_it_votes};
use crate::cluster::{Cluster, explain};
use crate::output;

/// How many partitions are named.
const NAMED: usize = 3;

/// Arguments of `ottla broker forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla broker forget 3\n  \
    ottla broker forget 3 --force                 # although it is still to hold replicas\n\n\
    A broker that is gone for good stays fenced, and `ottla cluster health` names it, until it is forgotten. It must have been \
    stopped, and must hold no replicas: `ottla broker decommission` moves them away, also from a broker that is dead. A broker \
    that is forgotten while it lives is fenced by that, and comes back when it is started again.")]
pub(super) struct Arguments {
    /// The broker's number
    #[arg(value_name = "ID", value_parser = broker_id)]
    id: BrokerId,

    /// Forget it although it lives, or is to hold replicas
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// Has a broker forgotten.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let cluster = client.describe_cluster().await.map_err(explain)?;
    let id = arguments.id;
    // Clusters that do not tell of fenced brokers name only those that live.
    let tells_fenced = cluster.brokers.iter().all(|broker| broker.is_fenced.is_some());
    let lives = match find(&cluster, id) {
        Ok(broker) => broker.is_fenced != Some(true),
        Err(unknown) if tells_fenced => return Err(unknown),
        Err(_) => false,
    };
    if !arguments.force {
        anyhow::ensure!(!lives, "broker {id} lives: stop it first, or say --force");
        let topics = client.list_topics().await.map_err(explain)?;
        check_empty(id, &topics)?;
    }
    forget(&client, id).await
}

/// Has the cluster forget it, and says so.
pub(super) async fn forget(client: &Client, id: BrokerId) -> anyhow::Result<()> {
    client.unregister_broker(id).await.map_err(explain)?;
    output::say(format_args!("Broker {id} is forgotten."))?;
    remark_if_it_votes(client, id).await;
    Ok(())
}

fn check_empty(id: BrokerId, topics: &[Topic]) -> anyhow::Result<()> {
    let names = |topic: &Topic| -> Vec<String> {
        let held = topic.partitions.iter().filter(|partition| partition.replicas.contains(&id));
        held.map(|partition| format!("{}-{}", topic.name, partition.index)).collect()
    };
    let held: Vec<String> = topics.iter().flat_map(names).collect();
    let first = held.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if held.len() > NAMED { " and others" } else { "" };
    anyhow::ensure!(
        held.is_empty(),
        "broker {id} is to hold replicas of {} partitions ({first}{more}): move them away with `ottla broker decommission {id}`, or \
         say --force",
        held.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use ottla_client::Partition;
    use ottla_types::{ErrorCode, LeaderEpoch, TopicId, TopicName};

    use super::*;

    #[test]
    fn a_broker_that_is_to_hold_replicas_is_not_forgotten() {
        let partition = |index, replicas: &[i32]| Partition {
            index,
            error: ErrorCode::None,
            leader: None,
            leader_epoch: LeaderEpoch(0),
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            isr: Vec::new(),
            offline: Vec::new(),
        };
        let topic = Topic {
            name: TopicName::new("orders").unwrap(),
            id: TopicId([1; 16]),
            error: ErrorCode::None,
            is_internal: false,
            partitions: (0..5)
                .map(|index| partition(index, if index == 4 { &[1] } else { &[1, 3] }))
                .collect(),
        };
        let error = check_empty(BrokerId(3), std::slice::from_ref(&topic)).unwrap_err().to_string();
        assert!(
            error.contains("replicas of 4 partitions (orders-0, orders-1, orders-2 and others)"),
            "{error}"
        );
        assert!(check_empty(BrokerId(2), &[topic]).is_ok());
    }
}
