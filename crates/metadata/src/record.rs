//! The records of the metadata log: every change that metadata can undergo.
//!
//! A record says what is so from now on, never how it was decided; replaying it needs no settings, clock or other
//! record's fate. The bytes are this project's own: see [`codec`].
//!
//! What is not here: framing, checksums and offsets, which are the log's.

use std::sync::Arc;

pub use ottla_types::config::listeners::SecurityProtocol;
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, ProducerId, TopicId, TopicName};

pub mod codec;

pub use codec::DecodeError;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A broker has started, or started again; it is fenced.
    RegisterBroker(RegisterBroker),
    /// A broker is fenced or unfenced.
    BrokerFencing(BrokerFencing),
    /// A topic is created, without partitions yet.
    Topic(Topic),
    /// A partition is created.
    Partition(Partition),
    /// A partition's replicas or leadership change.
    PartitionChange(PartitionChange),
    /// A topic is deleted, with its partitions and its configuration.
    RemoveTopic(RemoveTopic),
    /// A configuration key is set or unset.
    Config(Config),
    /// A block of producer ids is given to a broker.
    ProducerIdsBlock(ProducerIdsBlock),
    /// A feature of the cluster has a level from now on.
    FeatureLevel(FeatureLevel),
}

/// A broker registers (KIP-631).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Its `node.id`.
    pub id: BrokerId,
    /// The number of this registration, above that of every earlier one of any broker.
    pub epoch: BrokerEpoch,
    /// Drawn by the broker at each start.
    pub incarnation: IncarnationId,
    /// Where it can be reached, one for each listener.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// Its log directories (KIP-858).
    pub directories: Vec<DirectoryId>,
}

/// Names one run of a broker process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncarnationId(pub [u8; 16]);

/// An address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: Arc<str>,
    /// What to connect to.
    pub host: Arc<str>,
    /// What to connect to.
    pub port: u16,
    /// How to speak there.
    pub security_protocol: SecurityProtocol,
}

/// A broker stops or starts being eligible for leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFencing {
    /// The broker.
    pub id: BrokerId,
    /// The registration that this is about; a broker that has registered again is not touched.
    pub epoch: BrokerEpoch,
    /// Whether it is fenced from now on.
    pub fenced: bool,
}

/// A topic is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name, free until now.
    pub name: TopicName,
    /// Its id, never used before.
    pub id: TopicId,
}

/// A partition is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic: TopicId,
    /// Its index.
    pub index: i32,
    /// Its state.
    pub state: PartitionState,
}

/// Where a partition lies and who leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The log directory of each replica (KIP-858); as many as replicas. All zeros: the broker has not said yet.
    pub directories: Arc<[DirectoryId]>,
    /// The replicas that are in sync.
    pub isr: Arc<[BrokerId]>,
    /// Replicas that left the ISR and still hold everything committed (KIP-966).
    pub elr: Arc<[BrokerId]>,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Raised by one at each election.
    pub leader_epoch: LeaderEpoch,
    /// Raised by one at each change of this partition (KIP-497).
    pub partition_epoch: PartitionEpoch,
}

/// The number of a partition's state: raised by one at each change of it (KIP-497).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionEpoch(pub i32);

/// A partition's state changes. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub index: i32,
    /// New replicas.
    pub assignment: Option<Assignment>,
    /// A new ISR.
    pub isr: Option<Arc<[BrokerId]>>,
    /// A new ELR.
    pub elr: Option<Arc<[BrokerId]>>,
    /// A new leader or, as `Some(None)`, none. Either way the leader epoch rises by one.
    pub leader: Option<Option<BrokerId>>,
}

/// Where the replicas of a partition lie: as many directories as replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The brokers, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The log directory of each (KIP-858).
    pub directories: Arc<[DirectoryId]>,
}

/// A topic is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveTopic {
    /// Its id.
    pub id: TopicId,
}

/// What a configuration key is set on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic, by name: a topic that is created again starts without configuration.
    Topic(TopicName),
    /// One broker.
    Broker(BrokerId),
    /// All brokers, where one has no value of its own: the broker "" of Kafka's tools.
    ClusterDefault,
}

/// A configuration key is set or unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// On what.
    pub resource: ConfigResource,
    /// The key.
    pub key: Arc<str>,
    /// Its value from now on; `None` unsets it.
    pub value: Option<Arc<str>>,
}

/// A block of producer ids belongs to a broker: those from the highest `next` so far, up to this one (KIP-730).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerIdsBlock {
    /// The broker.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// The first producer id that nobody has.
    pub next: ProducerId,
}

/// A feature has a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureLevel {
    /// The feature, as Kafka names it: `metadata.version`.
    pub name: Arc<str>,
    /// Its level; 0 switches it off.
    pub level: i16,
}
