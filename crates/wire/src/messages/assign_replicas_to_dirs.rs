//! AssignReplicasToDirs (key 73): a broker tells the active controller in which of its directories replicas lie (KIP-858).

use crate::{Message, UnknownTags, Uuid};

/// Tells where replicas lie.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 73, versions = "0", flexible = "0..")]
pub struct AssignReplicasToDirsRequest {
    /// The broker that tells.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    /// The directories.
    pub directories: Vec<DirectoryData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A directory, and what lies there.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DirectoryData {
    /// The directory's id.
    pub id: Uuid,
    /// The topics.
    pub topics: Vec<TopicData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 73, versions = "0", flexible = "0..")]
pub struct AssignReplicasToDirsResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// The directories.
    pub directories: Vec<DirectoryResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a directory's replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "DirectoryData")]
pub struct DirectoryResponse {
    /// The directory's id.
    pub id: Uuid,
    /// The topics.
    pub topics: Vec<TopicResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a topic's replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "TopicData")]
pub struct TopicResponse {
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "PartitionData")]
pub struct PartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
