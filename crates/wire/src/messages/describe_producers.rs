//! DescribeProducers (key 61): the producers that a partition remembers (KIP-664).

use crate::{Message, Str, UnknownTags};

/// Asks for the producers of partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 61, versions = "0", flexible = "0..")]
pub struct DescribeProducersRequest {
    /// The partitions, by topic.
    pub topics: Vec<TopicRequest>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: Str,
    /// The partitions' numbers.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The producers of the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 61, versions = "0", flexible = "0..")]
pub struct DescribeProducersResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<TopicResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The producers of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The producers of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// The producers.
    pub active_producers: Vec<ProducerState>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A producer, as the partition remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ProducerState {
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record; -1 for none.
    #[wire(default = -1)]
    pub last_sequence: i32,
    /// The timestamp of its last batch, in milliseconds; -1 for none.
    #[wire(default = -1)]
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last transaction marker; -1 for none.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction; -1 for none.
    #[wire(default = -1)]
    pub current_txn_start_offset: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
