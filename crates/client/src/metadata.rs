//! What a client knows of a cluster: brokers, topics, leaders. A snapshot, never changed in place.

use std::collections::BTreeMap;

use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicName};
use ottla_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use crate::address::Address;

/// Brokers and topics as some broker described them.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// The cluster's id, where the broker tells it.
    pub cluster_id: Option<String>,
    /// The broker to send administrative requests to.
    pub controller: Option<BrokerId>,
    /// The brokers that are alive.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// The topics that were asked for so far.
    pub topics: BTreeMap<TopicName, Topic>,
}

/// A broker, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Where it is reached.
    pub address: Address,
    /// The rack it stands in.
    pub rack: Option<String>,
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id; [`TopicId::ZERO`] where the broker does not tell (before Kafka 2.8).
    pub id: TopicId,
    /// Why it cannot be used, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Whether it is one of the cluster's own.
    pub is_internal: bool,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// A partition, its leader and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the topic.
    pub index: i32,
    /// Why it cannot be used, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Its leader, if it has one.
    pub leader: Option<BrokerId>,
    /// The leader's epoch; [`LeaderEpoch::NONE`] where the broker does not tell.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that hold a replica, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those that are in sync.
    pub isr: Vec<BrokerId>,
    /// Those that are offline.
    pub offline: Vec<BrokerId>,
}

impl Topic {
    /// The partition with this number.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        let at = self.partitions.binary_search_by_key(&index, |partition| partition.index).ok()?;
        self.partitions.get(at)
    }
}

impl Metadata {
    /// The same with what an answer tells: brokers are replaced, topics are added or replaced. Where the answer is about
    /// all topics, those it does not have are gone.
    ///
    /// # Errors
    /// What in the answer cannot be.
    pub(crate) fn updated(&self, response: MetadataResponse, all_topics: bool) -> Result<Self, String> {
        let mut brokers = BTreeMap::new();
        for broker in &response.brokers {
            let broker = read_broker(broker)?;
            brokers.insert(broker.id, broker);
        }
        let mut topics = if all_topics { BTreeMap::new() } else { self.topics.clone() };
        for topic in response.topics {
            let topic = read_topic(topic)?;
            topics.insert(topic.name.clone(), topic);
        }
        Ok(Self {
            cluster_id: response.cluster_id.map(String::from),
            controller: broker_id(response.controller_id),
            brokers,
            topics,
        })
    }
}

fn read_broker(broker: &MetadataResponseBroker) -> Result<Broker, String> {
    let port = u16::try_from(broker.port)
        .map_err(|_| format!("broker {} claims port {}", broker.node_id, broker.port))?;
    Ok(Broker {
        id: BrokerId(broker.node_id),
        address: Address::new(&broker.host, port),
        rack: broker.rack.as_deref().map(str::to_owned),
    })
}

fn read_topic(topic: MetadataResponseTopic) -> Result<Topic, String> {
    let name = topic.name.as_deref().ok_or("a topic has no name, and was not asked for by id")?;
    let name = TopicName::new(name).map_err(|error| error.to_string())?;
    let mut partitions: Vec<Partition> = topic.partitions.iter().map(read_partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    Ok(Topic {
        name,
        id: topic.topic_id.into(),
        error: error_code(topic.error_code),
        is_internal: topic.is_internal,
        partitions,
    })
}

fn read_partition(partition: &MetadataResponsePartition) -> Partition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    Partition {
        index: partition.partition_index,
        error: error_code(partition.error_code),
        leader: broker_id(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        replicas: ids(&partition.replica_nodes),
        isr: ids(&partition.isr_nodes),
        offline: ids(&partition.offline_replicas),
    }
}

/// -1 stands for none.
fn broker_id(id: i32) -> Option<BrokerId> {
    (id >= 0).then_some(BrokerId(id))
}

fn error_code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}
