//! OffsetFetch (key 9): how far groups have read partitions, as they committed it.
//!
//! From version 2 on null asks for all topics, 5 brings leader epochs (KIP-320), 7 may insist on offsets that no open
//! transaction can change (KIP-447), 8 asks for several groups at once (KIP-709), 9 brings members of the newer group
//! protocol, 10 names topics by id (KIP-848).

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks for committed offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 9, versions = "1..=10", flexible = "6..")]
pub struct OffsetFetchRequest {
    /// The group's id.
    #[wire(until = 7)]
    pub group_id: Str,
    /// The topics; null for all that the group has offsets in.
    #[wire(until = 7, nullable = "2..=7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups.
    #[wire(since = 8)]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether to answer with an error for a partition in which an open transaction has offsets for the group.
    #[wire(since = 7)]
    pub require_stable: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of a topic that are asked for, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A group whose offsets are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group's id.
    pub group_id: Str,
    /// The id of the member that asks, in the newer group protocol; else null.
    #[wire(since = 9, nullable, default = null, ignorable)]
    pub member_id: Option<Str>,
    /// The epoch of that member; -1 for none.
    #[wire(since = 9, default = -1, ignorable)]
    pub member_epoch: i32,
    /// The topics; null for all that the group has offsets in.
    #[wire(nullable)]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of a topic that are asked for, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopics {
    /// The topic's name.
    #[wire(until = 9, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Committed offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 9, versions = "1..=10", flexible = "6..")]
pub struct OffsetFetchResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// The offsets, by topic.
    #[wire(until = 7)]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// An error that concerns the whole group, or 0.
    #[wire(since = 2, until = 7, ignorable)]
    pub error_code: i16,
    /// The offsets, by group.
    #[wire(since = 8)]
    pub groups: Vec<OffsetFetchResponseGroup>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offsets in one topic, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopic {
    /// The topic's name.
    pub name: Str,
    /// The offsets, by partition.
    pub partitions: Vec<OffsetFetchResponsePartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offset in one partition, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The offset of the record that is to be read next; -1 where none was committed.
    pub committed_offset: i64,
    /// The epoch that was committed with it; -1 for none.
    #[wire(since = 5, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client kept beside the offset.
    #[wire(nullable)]
    pub metadata: Option<Str>,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offsets of one group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group's id.
    pub group_id: Str,
    /// The offsets, by topic.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// An error that concerns the whole group, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offsets in one topic, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopics {
    /// The topic's name.
    #[wire(until = 9, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The offsets, by partition.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offset in one partition, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartitions {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The offset of the record that is to be read next; -1 where none was committed.
    pub committed_offset: i64,
    /// The epoch that was committed with it; -1 for none.
    #[wire(default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client kept beside the offset.
    #[wire(nullable)]
    pub metadata: Option<Str>,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
