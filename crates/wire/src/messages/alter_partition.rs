//! AlterPartition (key 56): the leader of partitions asks the active controller for other in-sync replicas (KIP-497).
//!
//! Version 2 names topics by id and has errors of its own for replicas that may not enter (KIP-841), 3 tells the broker
//! epochs of the replicas, so that none enters by what an earlier process of it had (KIP-903).

use crate::{Message, UnknownTags, Uuid};

/// Asks for other in-sync replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 56, versions = "2..=3", flexible = "0..")]
pub struct AlterPartitionRequest {
    /// The broker that asks.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    /// The topics.
    pub topics: Vec<TopicData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic whose partitions are to change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic's id.
    #[wire(ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, and what it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The epoch in which the broker leads.
    pub leader_epoch: i32,
    /// The in-sync replicas to be.
    #[wire(until = 2)]
    pub new_isr: Vec<i32>,
    /// The in-sync replicas to be, with their epochs.
    #[wire(since = 3)]
    pub new_isr_with_epochs: Vec<BrokerState>,
    /// 1 while the partition recovers from an unclean election, else 0.
    pub leader_recovery_state: i8,
    /// The epoch of the partition that the change starts from.
    pub partition_epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A replica in sync.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct BrokerState {
    /// The broker's id.
    #[wire(since = 3)]
    pub broker_id: i32,
    /// The epoch of its registration; -1 for any.
    #[wire(since = 3, default = -1)]
    pub broker_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it, for each topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 56, versions = "2..=3", flexible = "0..")]
pub struct AlterPartitionResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<TopicResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "TopicData")]
pub struct TopicResponse {
    /// The topic's id.
    #[wire(ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "PartitionData")]
pub struct PartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The leader's broker id.
    pub leader_id: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// 1 while the partition recovers from an unclean election, else 0.
    #[wire(ignorable)]
    pub leader_recovery_state: i8,
    /// The partition's epoch.
    pub partition_epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
