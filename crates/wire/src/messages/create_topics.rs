//! CreateTopics (key 19): creates topics, or checks whether it could.
//!
//! Version 4 lets the cluster's defaults decide on partitions and replicas (KIP-464), 5 answers with the
//! configuration (KIP-525), 6 may answer that a quota throttled it (KIP-599), 7 brings topic ids (KIP-516).

use crate::{Message, Str, UnknownTags, Uuid};

/// Topics to create.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 19, versions = "2..=7", flexible = "5..")]
pub struct CreateTopicsRequest {
    /// The topics.
    pub topics: Vec<CreatableTopic>,
    /// How long to wait for it to be done, in milliseconds.
    #[wire(name = "timeoutMs", default = 60000)]
    pub timeout_ms: i32,
    /// Whether only to check and to create nothing.
    #[wire(name = "validateOnly")]
    pub validate_only: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopic {
    /// The topic's name.
    pub name: Str,
    /// How many partitions; -1 for the default, or where they are assigned by hand.
    pub num_partitions: i32,
    /// How many replicas of each; -1 for the default, or where they are assigned by hand.
    pub replication_factor: i16,
    /// The replicas of every partition, chosen by hand; empty to let the cluster choose.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// The configuration that differs from the default.
    pub configs: Vec<CreatableTopicConfig>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The replicas of one partition, chosen by hand.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableReplicaAssignment {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The brokers that get a replica, the preferred leader first.
    pub broker_ids: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A configuration key to set on the new topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfig {
    /// The key.
    pub name: Str,
    /// The value.
    #[wire(nullable)]
    pub value: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 19, versions = "2..=7", flexible = "5..")]
pub struct CreateTopicsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The results.
    pub topics: Vec<CreatableTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The topic's id.
    #[wire(since = 7, ignorable)]
    pub topic_id: Uuid,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, ignorable)]
    pub error_message: Option<Str>,
    /// Why the configuration is not told, or 0.
    #[wire(since = 5, tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    /// How many partitions it has; -1 where that is not told.
    #[wire(since = 5, default = -1, ignorable)]
    pub num_partitions: i32,
    /// How many replicas each has; -1 where that is not told.
    #[wire(since = 5, default = -1, ignorable)]
    pub replication_factor: i16,
    /// The configuration in force; null where that is not told.
    #[wire(since = 5, nullable, ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A configuration key of the new topic, and its value in force.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfigs {
    /// The key.
    pub name: Str,
    /// The value; null where it is sensitive.
    #[wire(nullable)]
    pub value: Option<Str>,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Where the value comes from, as Kafka numbers its sources; -1 where that is not told.
    #[wire(default = -1, ignorable)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
