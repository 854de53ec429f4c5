//! ElectLeaders (key 43): elects the preferred replicas of partitions, or any live one (KIP-183, KIP-460).
//!
//! Version 1 knows the unclean election, and an error of the whole request.

use crate::{Message, Str, UnknownTags};

/// Asks for elections.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 43, versions = "0..=2", flexible = "2..")]
pub struct ElectLeadersRequest {
    /// Which election: 0 of the preferred replica, 1 of the first live one where none is in sync.
    #[wire(since = 1)]
    pub election_type: i8,
    /// The partitions; null for all.
    #[wire(nullable)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// How long the elections may take, in milliseconds.
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the elections.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 43, versions = "0..=2", flexible = "2..")]
pub struct ElectLeadersResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code where it is one of the whole request, or 0.
    #[wire(since = 1)]
    pub error_code: i16,
    /// The topics.
    pub replica_election_results: Vec<ReplicaElectionResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the elections in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaElectionResult {
    /// The topic's name.
    pub topic: Str,
    /// Its partitions.
    pub partition_result: Vec<PartitionResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one election.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionResult {
    /// The partition's number in the topic.
    pub partition_id: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
