//! AlterPartitionReassignments (key 45): moves partitions to other brokers, or stops moving them (KIP-455).
//!
//! Version 1 can insist on the number of replicas (KIP-860).

use crate::{Message, Str, UnknownTags};

/// Moves partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 45, versions = "0..=1", flexible = "0..")]
pub struct AlterPartitionReassignmentsRequest {
    /// How long the controller may take, in milliseconds.
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    /// Whether a partition may get more or fewer replicas.
    #[wire(since = 1, default = true)]
    pub allow_replication_factor_change: bool,
    /// The topics.
    pub topics: Vec<ReassignableTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic whose partitions move.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignableTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ReassignablePartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where a partition moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignablePartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The brokers that are to hold it; null to stop moving it.
    #[wire(nullable, default = null)]
    pub replicas: Option<Vec<i32>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 45, versions = "0..=1", flexible = "0..")]
pub struct AlterPartitionReassignmentsResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// Whether a partition might get more or fewer replicas.
    #[wire(since = 1, default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// The topics.
    pub responses: Vec<ReassignableTopicResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of a topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignableTopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ReassignablePartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignablePartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
