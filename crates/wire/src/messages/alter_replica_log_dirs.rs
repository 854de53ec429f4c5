//! AlterReplicaLogDirs (key 34): moves a broker's replicas to other of its log directories (KIP-113).

use crate::{Message, Str, UnknownTags};

/// Moves replicas to directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 34, versions = "1..=2", flexible = "2..")]
pub struct AlterReplicaLogDirsRequest {
    /// The directories.
    pub dirs: Vec<AlterReplicaLogDir>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A directory, and what is to lie there.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDir {
    /// The directory's absolute path.
    pub path: Str,
    /// The topics.
    pub topics: Vec<AlterReplicaLogDirTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions' numbers.
    pub partitions: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 34, versions = "1..=2", flexible = "2..")]
pub struct AlterReplicaLogDirsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The topics.
    pub results: Vec<AlterReplicaLogDirTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a topic's replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirTopicResult {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirPartitionResult {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
