//! One look at the replicas of a cluster: every leader is asked for its partitions, all at once. Where leaders cannot tell, the
//! public APIs are asked, and what they lack is said.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::{
    Client, ConfigResource, EligibleReplicas, Error, LedPartition, Metadata, ReplicaLog, Topic,
};
use ottla_types::{BrokerId, TopicName, TopicPartition};
use tokio::task::JoinSet;

use super::state::{Beside, PartitionState};
use super::{check_topic, is_unsupported};
use crate::cluster::explain;

/// What was found.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// By topic and number.
    pub(crate) partitions: Vec<PartitionState>,
    /// Whether leaders told, and not only the metadata.
    pub(crate) told_by_leaders: bool,
    /// What could not be told, and why.
    pub(crate) missing: Vec<String>,
}

/// Asks for the replicas of all topics, or of those named.
pub(crate) async fn gather(client: &Client, topics: Option<&[TopicName]>) -> anyhow::Result<Gathered> {
    // In this order: a leader that is elected in between tells by its epoch that it is newer than these metadata.
    let metadata = match topics {
        None => client.refresh_all().await.map_err(explain)?,
        Some(names) => client.refresh(names).await.map_err(explain)?,
    };
    let shown = chosen(&metadata, topics)?;
    let cluster = client.describe_cluster().await.map_err(explain)?;
    let known: BTreeMap<BrokerId, bool> =
        cluster.brokers.iter().map(|broker| (broker.id, broker.is_fenced == Some(true))).collect();
    let mut told = Told { fenced: fenced(&shown, &known), ..Told::default() };
    told.eligible = match client.eligible_replicas(topics.unwrap_or(&[])).await {
        Ok(eligible) => eligible,
        Err(error) if is_unsupported(&error) => BTreeMap::new(),
        Err(error) => return Err(explain(error)),
    };
    ask_leaders(client, &metadata, topics, &mut told).await;
    if !told.by_leaders {
        ask_publicly(client, &metadata, &shown, &mut told).await;
    }
    let state = |topic: &&Topic| -> Vec<PartitionState> {
        topic.partitions.iter().map(|partition| told.state(&topic.name, partition)).collect()
    };
    let partitions = shown.iter().flat_map(state).collect();
    Ok(Gathered { partitions, told_by_leaders: told.by_leaders, missing: told.missing })
}

/// The topics that are meant.
fn chosen<'a>(metadata: &'a Metadata, topics: Option<&[TopicName]>) -> anyhow::Result<Vec<&'a Topic>> {
    let Some(names) = topics else { return Ok(metadata.topics.values().collect()) };
    let names: BTreeSet<_> = names.iter().collect();
    let mut chosen = Vec::new();
    for name in names {
        let Some(topic) = metadata.topics.get(name) else {
            anyhow::bail!("no broker tells of topic {name}");
        };
        check_topic(topic.error, name)?;
        chosen.push(topic);
    }
    Ok(chosen)
}

/// The brokers that hold replicas and are fenced, or are not known (`true`).
fn fenced(topics: &[&Topic], known: &BTreeMap<BrokerId, bool>) -> BTreeMap<BrokerId, bool> {
    let holders: BTreeSet<BrokerId> = topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .flat_map(|partition| partition.replicas.iter().copied())
        .collect();
    let of = |broker: BrokerId| match known.get(&broker) {
        Some(false) => None,
        Some(true) => Some((broker, false)),
        None => Some((broker, true)),
    };
    holders.into_iter().filter_map(of).collect()
}

/// What brokers told.
#[derive(Debug, Default)]
struct Told {
    fenced: BTreeMap<BrokerId, bool>,
    eligible: BTreeMap<TopicPartition, EligibleReplicas>,
    by_leaders: bool,
    led: BTreeMap<TopicPartition, LedPartition>,
    min_insync: BTreeMap<TopicName, usize>,
    logs: BTreeMap<TopicPartition, BTreeMap<BrokerId, (i64, Option<i64>)>>,
    missing: Vec<String>,
}

impl Told {
    fn state(&self, topic: &TopicName, partition: &ottla_client::Partition) -> PartitionState {
        let at = TopicPartition { topic: topic.clone(), partition: partition.index };
        let beside = Beside {
            fenced: self.fenced.clone(),
            eligible: self.eligible.get(&at).cloned(),
            min_insync: self.min_insync.get(topic).copied(),
            logs: self.logs.get(&at).cloned().unwrap_or_default(),
        };
        match self.led.get(&at).filter(|led| led.leader_epoch >= partition.leader_epoch) {
            Some(led) => PartitionState::of_leader(led, &beside),
            None => PartitionState::of_metadata(topic, partition, &beside),
        }
    }

    /// Takes what a leader tells, unless a newer one of the same partition did.
    fn takes(&mut self, led: Vec<LedPartition>) {
        self.by_leaders = true;
        for one in led {
            match self.led.get(&one.partition) {
                Some(other) if other.leader_epoch > one.leader_epoch => {}
                _ => drop(self.led.insert(one.partition.clone(), one)),
            }
        }
    }
}

/// Asks all brokers that live what they know of the partitions that they lead.
async fn ask_leaders(client: &Client, metadata: &Metadata, topics: Option<&[TopicName]>, told: &mut Told) {
    let mut asked = JoinSet::new();
    for broker in metadata.brokers.keys().copied() {
        let (client, topics) = (client.clone(), topics.map(<[TopicName]>::to_vec));
        asked.spawn(async move { (broker, client.led_partitions(broker, topics.as_deref(), false).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(broker, _)| *broker);
    let mut failures: Vec<(BrokerId, Error)> = Vec::new();
    for (broker, answer) in answers {
        match answer {
            Ok(led) => told.takes(led),
            Err(error) => failures.push((broker, error)),
        }
    }
    if !told.by_leaders && failures.iter().all(|(_, error)| is_unsupported(error)) {
        told.missing.push(
            "these brokers do not tell what leaders know of their followers: watermarks, ends and times of replicas are not shown, \
             and a replica's lag is what its own broker takes it for"
                .to_owned(),
        );
        return;
    }
    let said = failures
        .into_iter()
        .map(|(broker, error)| format!("broker {broker} does not tell of what it leads: {error}"));
    told.missing.extend(said);
}

/// Asks for what every broker tells: `min.insync.replicas` of topics, and the logs of replicas.
async fn ask_publicly(client: &Client, metadata: &Metadata, topics: &[&Topic], told: &mut Told) {
    let names: Vec<&TopicName> = topics.iter().map(|topic| &topic.name).collect();
    match min_insync(client, &names).await {
        Ok(found) => told.min_insync = found,
        Err(error) => told.missing.push(format!("min.insync.replicas cannot be read: {error}")),
    }
    let of_topic = |topic: &&Topic| -> Vec<TopicPartition> {
        let at = |index: i32| TopicPartition { topic: topic.name.clone(), partition: index };
        topic.partitions.iter().map(|partition| at(partition.index)).collect()
    };
    let partitions: Vec<TopicPartition> = topics.iter().flat_map(of_topic).collect();
    let mut asked = JoinSet::new();
    for broker in metadata.brokers.keys().copied() {
        let (client, partitions) = (client.clone(), partitions.clone());
        asked.spawn(async move { (broker, client.replica_logs(broker, Some(&partitions)).await) });
    }
    for (broker, logs) in asked.join_all().await {
        match logs {
            Ok(logs) => logs.into_iter().filter(|log| !log.is_future).for_each(|log| {
                let ReplicaLog { partition, size_bytes, lag_records, .. } = log;
                let lag = Some(lag_records).filter(|lag| *lag >= 0);
                told.logs.entry(partition).or_default().insert(broker, (size_bytes, lag));
            }),
            Err(error) => told.missing.push(format!("broker {broker} does not tell of its logs: {error}")),
        }
    }
}

/// `min.insync.replicas` of topics. One that cannot be read as a number is left out.
pub(crate) async fn min_insync(
    client: &Client,
    topics: &[&TopicName],
) -> Result<BTreeMap<TopicName, usize>, Error> {
    let resources: Vec<_> = topics.iter().map(|name| ConfigResource::Topic((*name).clone())).collect();
    let configs = client.configs(&resources).await?;
    let least = topics.iter().zip(configs).filter_map(|(name, entries)| {
        let entry = entries.iter().find(|entry| entry.name == "min.insync.replicas")?;
        Some(((*name).clone(), entry.value.as_deref()?.parse().ok()?))
    });
    Ok(least.collect())
}
