//! DescribeQuorum (key 55): who votes on the metadata log, and how far each is (KIP-595).
//!
//! Version 1 tells when a replica fetched last (KIP-836), 2 the directories and endpoints of the voters (KIP-853).

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks about the quorum of a partition; the metadata log is partition 0 of `__cluster_metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 55, versions = "0..=2", flexible = "0..")]
pub struct DescribeQuorumRequest {
    /// The topics.
    pub topics: Vec<TopicData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The quorum.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 55, versions = "0..=2", flexible = "0..")]
pub struct DescribeQuorumResponse {
    /// The error's code where it is one of the whole request, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(since = 2, nullable, ignorable)]
    pub error_message: Option<Str>,
    /// The topics.
    pub topics: Vec<TopicResponse>,
    /// Where the voters are reached.
    #[wire(since = 2)]
    pub nodes: Vec<Node>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "TopicData")]
pub struct TopicResponse {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, and who votes on it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(name = "PartitionData")]
pub struct PartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(since = 2, nullable, ignorable)]
    pub error_message: Option<Str>,
    /// The leader's node id; -1 where it is not known.
    pub leader_id: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The end of what is committed.
    pub high_watermark: i64,
    /// Those who vote.
    pub current_voters: Vec<ReplicaState>,
    /// Those who follow without a vote.
    pub observers: Vec<ReplicaState>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// How far a replica of the log is.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// The node's id.
    pub replica_id: i32,
    /// The id of its directory.
    #[wire(since = 2)]
    pub replica_directory_id: Uuid,
    /// The end of its log; -1 where it is not known.
    pub log_end_offset: i64,
    /// When it fetched last, by the leader's clock, in milliseconds of the epoch; -1 for the leader, or unknown.
    #[wire(since = 1, default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// When the leader had no more than it has, in milliseconds of the epoch; -1 where it is not known.
    #[wire(since = 1, default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A voter's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Node {
    /// The node's id.
    #[wire(since = 2)]
    pub node_id: i32,
    /// The endpoints.
    #[wire(since = 2)]
    pub listeners: Vec<Listener>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    #[wire(since = 2)]
    pub name: Str,
    /// The name or address to connect to.
    #[wire(since = 2)]
    pub host: Str,
    /// The port to connect to.
    #[wire(since = 2)]
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
