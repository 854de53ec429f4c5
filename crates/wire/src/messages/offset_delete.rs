//! OffsetDelete (key 47): forgets how far a group has read partitions (KIP-496).

use crate::{Message, Str, UnknownTags};

/// Offsets to forget.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 47, versions = "0", flexible = "none")]
pub struct OffsetDeleteRequest {
    /// The group's id.
    pub group_id: Str,
    /// The partitions, by topic.
    pub topics: Vec<OffsetDeleteRequestTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition whose offset is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 47, versions = "0", flexible = "none")]
pub struct OffsetDeleteResponse {
    /// An error that concerns the whole group, or 0.
    pub error_code: i16,
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetDeleteResponseTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offsets in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponseTopic {
    /// The topic's name.
    pub name: Str,
    /// The results, by partition.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offset in one partition; GROUP_SUBSCRIBED_TO_TOPIC where the group still reads the topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponsePartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
