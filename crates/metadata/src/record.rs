//! The records of the metadata log: every change that metadata can undergo.
//!
//! A record says what is so from now on, never how it was decided; replaying it needs no settings, clock or other
//! record's fate. The bytes are this project's own: see [`codec`].
//!
//! What is not here: framing, checksums and offsets, which are the log's.

use std::sync::Arc;

pub use ottla_types::config::listeners::SecurityProtocol;
use ottla_types::{BrokerEpoch, BrokerId, ProducerId, TopicId, TopicName};

mod broker;
pub mod codec;
mod partition;

pub use broker::{
    BrokerChange, BrokerEpochs, BrokerFencing, Endpoint, IncarnationId, LOST_DIRECTORY, LastRun,
    RegisterBroker, SupportedFeature, UNASSIGNED_DIRECTORY, UnregisterBroker, is_reserved_directory,
};
pub use codec::DecodeError;
pub use partition::{
    Assignment, ClearElr, LeaderRecovery, Partition, PartitionChange, PartitionEpoch, PartitionState,
    Reassignment,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A broker has started, or started again; it is fenced. With the epoch that it has, it only amends what it said.
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
    /// A broker begins to shut down, or has other directories online.
    BrokerChange(BrokerChange),
    /// A broker is no part of the cluster any more.
    UnregisterBroker(UnregisterBroker),
    /// The ELR of partitions is void.
    ClearElr(ClearElr),
    /// Broker epochs below this one were given.
    BrokerEpochs(BrokerEpochs),
}

/// A topic is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name, free until now.
    pub name: TopicName,
    /// Its id, never used before.
    pub id: TopicId,
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
