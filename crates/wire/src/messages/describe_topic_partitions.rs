//! DescribeTopicPartitions (key 75): the partitions of topics, page by page, with their eligible leader
//! replicas (KIP-966).

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks for the partitions of topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 75, versions = "0", flexible = "0..")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics; empty for all.
    pub topics: Vec<TopicRequest>,
    /// How many partitions a page has at most.
    #[wire(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the page starts; null for the first page.
    #[wire(nullable, default = null)]
    pub cursor: Option<Cursor>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: Str,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where a page starts: topics are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Cursor {
    /// The topic to start with.
    pub topic_name: Str,
    /// The partition of that topic to start with.
    pub partition_index: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// One page of partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 75, versions = "0", flexible = "0..")]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page starts; null on the last page.
    #[wire(nullable, default = null)]
    pub next_cursor: Option<Cursor>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic and those of its partitions that are on this page.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The topic's name.
    #[wire(nullable)]
    pub name: Option<Str>,
    /// The topic's id.
    #[wire(ignorable)]
    pub topic_id: Uuid,
    /// Whether the topic is one of the cluster's own.
    #[wire(ignorable)]
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do to the topic, a bit for each operation; the lowest number where it did not ask.
    #[wire(default = -2147483648)]
    pub topic_authorized_operations: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition: its leader and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The leader's broker id; -1 where there is none.
    pub leader_id: i32,
    /// The epoch of that leader; -1 where it is not known.
    #[wire(default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers that hold a replica, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// The brokers whose replicas are in sync.
    pub isr_nodes: Vec<i32>,
    /// The brokers that may be elected although they are not in sync (KIP-966); null where that is not told.
    #[wire(nullable, default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The brokers that were eligible last (KIP-966); null where that is not told.
    #[wire(nullable, default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    /// The brokers whose replicas are offline.
    #[wire(ignorable)]
    pub offline_replicas: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
