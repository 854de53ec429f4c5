//! ListOffsets (key 2): the offset that belongs to a time, or to a special one: -1 the end, -2 the start, -3
//! the largest timestamp, and those of tiered storage, -4 and below.
//!
//! Version 4 brings leader epochs (KIP-320), 7 the largest timestamp (KIP-734), 8 to 11 the specials of
//! tiered storage (KIP-405, KIP-1005, KIP-1023) and, from 10, a timeout.

use crate::{Message, Str, UnknownTags};

/// Asks for offsets by time.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 2, versions = "1..=11", flexible = "6..")]
pub struct ListOffsetsRequest {
    /// The broker that asks; -1 for a consumer.
    pub replica_id: i32,
    /// 0 takes the high watermark for the end, 1 the last stable offset.
    #[wire(since = 2)]
    pub isolation_level: i8,
    /// The partitions, by topic.
    pub topics: Vec<ListOffsetsTopic>,
    /// How long tiered storage may take, in milliseconds.
    #[wire(since = 10, ignorable)]
    pub timeout_ms: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, and the time whose offset is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The epoch of the leader that the client believes to speak to; -1 where it does not know one.
    #[wire(since = 4, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// A time in milliseconds, or one of the specials.
    pub timestamp: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offsets found.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 2, versions = "1..=11", flexible = "6..")]
pub struct ListOffsetsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// The offsets, by topic.
    pub topics: Vec<ListOffsetsTopicResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offsets found in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The offset found in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartitionResponse {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The timestamp of the record at that offset; -1 where there is none.
    #[wire(default = -1)]
    pub timestamp: i64,
    /// The offset; -1 where there is none.
    #[wire(default = -1)]
    pub offset: i64,
    /// The epoch of the record at that offset; -1 where it is not known.
    #[wire(since = 4, default = -1)]
    pub leader_epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
