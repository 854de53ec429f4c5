//! CreatePartitions (key 37): gives topics more partitions (KIP-195).
//!
//! Version 3 may answer that a quota throttled it (KIP-599) and looks like 2.

use crate::{Message, Str, UnknownTags};

/// Topics to give more partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 37, versions = "0..=3", flexible = "2..")]
pub struct CreatePartitionsRequest {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic>,
    /// How long to wait for it to be done, in milliseconds.
    pub timeout_ms: i32,
    /// Whether only to check and to change nothing.
    pub validate_only: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic, and how many partitions it is to have.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopic {
    /// The topic's name.
    pub name: Str,
    /// How many partitions the topic is to have in all.
    pub count: i32,
    /// The replicas of every new partition, chosen by hand; null to let the cluster choose.
    #[wire(nullable)]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The replicas of one new partition, chosen by hand.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsAssignment {
    /// The brokers that get a replica, the preferred leader first.
    pub broker_ids: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 37, versions = "0..=3", flexible = "2..")]
pub struct CreatePartitionsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The results.
    pub results: Vec<CreatePartitionsTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
