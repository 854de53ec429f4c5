//! How fast replicas may be copied while partitions move: Kafka's throttles (KIP-73). Rates are set on the brokers that take
//! part, and on the topics which replicas they hold for. Whoever sets them must take them away again.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::{Client, ConfigChange, ConfigResource};
use ottla_types::{BrokerId, TopicName, TopicPartition};

use crate::cluster::explain;

/// The rate at which a broker sends, and that at which it fetches, in bytes a second.
const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];

/// Which replicas of a topic send throttled.
const SENDERS: &str = "leader.replication.throttled.replicas";

/// Which replicas of a topic fetch throttled.
const FETCHERS: &str = "follower.replication.throttled.replicas";

/// A partition that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) at: TopicPartition,
    /// The brokers that have it.
    pub(super) from: Vec<BrokerId>,
    /// The brokers that are to get it.
    pub(super) to: Vec<BrokerId>,
}

/// Sets the rate for all that takes part in these moves.
pub(super) async fn set(client: &Client, moves: &[Move], bytes_per_second: u64) -> anyhow::Result<()> {
    let rates = RATES.map(|key| ConfigChange::Set(key.to_owned(), bytes_per_second.to_string()));
    for broker in brokers(moves) {
        client.alter_configs(&ConfigResource::Broker(broker), &rates, false).await.map_err(explain)?;
    }
    for (topic, [senders, fetchers]) in replicas(moves) {
        let changes = [
            ConfigChange::Set(SENDERS.to_owned(), senders),
            ConfigChange::Set(FETCHERS.to_owned(), fetchers),
        ];
        client.alter_configs(&ConfigResource::Topic(topic), &changes, false).await.map_err(explain)?;
    }
    Ok(())
}

/// Takes throttles away from brokers and topics, whoever set them. Topics that are gone have none.
pub(super) async fn clear(
    client: &Client,
    brokers: impl IntoIterator<Item = BrokerId>,
    topics: impl IntoIterator<Item = TopicName>,
) -> anyhow::Result<()> {
    let rates = RATES.map(|key| ConfigChange::Unset(key.to_owned()));
    for broker in brokers {
        client.alter_configs(&ConfigResource::Broker(broker), &rates, false).await.map_err(explain)?;
    }
    let replicas = [SENDERS, FETCHERS].map(|key| ConfigChange::Unset(key.to_owned()));
    for topic in topics {
        client.alter_configs(&ConfigResource::Topic(topic), &replicas, false).await.map_err(explain)?;
    }
    Ok(())
}

fn brokers(moves: &[Move]) -> BTreeSet<BrokerId> {
    moves
        .iter()
        .filter(|one| !one.to.is_empty())
        .flat_map(|one| one.from.iter().chain(&one.to))
        .copied()
        .collect()
}

/// By topic, the replicas that send and those that fetch, each as `partition:broker`.
fn replicas(moves: &[Move]) -> BTreeMap<TopicName, [String; 2]> {
    let mut topics: BTreeMap<TopicName, [Vec<String>; 2]> = BTreeMap::new();
    for Move { at, from, to } in moves.iter().filter(|one| !one.to.is_empty()) {
        let named = |brokers: &[BrokerId]| {
            brokers.iter().map(|broker| format!("{}:{broker}", at.partition)).collect::<Vec<_>>()
        };
        let [senders, fetchers] = topics.entry(at.topic.clone()).or_default();
        senders.extend(named(from));
        fetchers.extend(named(to));
    }
    topics.into_iter().map(|(topic, both)| (topic, both.map(|names| names.join(",")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_a_partition_send_and_those_that_get_it_fetch() {
        let of = |topic: &str, partition, from: &[i32], to: &[i32]| Move {
            at: TopicPartition { topic: TopicName::new(topic).unwrap(), partition },
            from: from.iter().copied().map(BrokerId).collect(),
            to: to.iter().copied().map(BrokerId).collect(),
        };
        let moves = [of("a", 0, &[1, 2], &[3]), of("a", 1, &[2], &[4, 5]), of("b", 0, &[1, 9], &[])];
        let topics = replicas(&moves);
        assert_eq!(topics[&TopicName::new("a").unwrap()], ["0:1,0:2,1:2", "0:3,1:4,1:5"]);
        assert_eq!(topics.len(), 1, "where nothing is copied nothing is held back");
        let brokers: Vec<i32> = brokers(&moves).into_iter().map(|id| id.0).collect();
        assert_eq!(brokers, [1, 2, 3, 4, 5]);
    }
}
