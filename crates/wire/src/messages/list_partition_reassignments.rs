//! ListPartitionReassignments (key 46): the partitions that are moving (KIP-455).

use crate::{Message, Str, UnknownTags};

/// Asks which partitions move.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 46, versions = "0", flexible = "0..")]
pub struct ListPartitionReassignmentsRequest {
    /// How long the controller may take, in milliseconds.
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    /// The topics; null for all.
    #[wire(nullable, default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListPartitionReassignmentsTopics {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions that move.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 46, versions = "0", flexible = "0..")]
pub struct ListPartitionReassignmentsResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// The topics.
    pub topics: Vec<OngoingTopicReassignment>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic with partitions that move.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OngoingTopicReassignment {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OngoingPartitionReassignment>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition that moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OngoingPartitionReassignment {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The brokers that hold it now.
    pub replicas: Vec<i32>,
    /// Those of them that are to hold it, and did not before.
    pub adding_replicas: Vec<i32>,
    /// Those of them that are to hold it no longer.
    pub removing_replicas: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
