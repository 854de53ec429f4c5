//! OffsetForLeaderEpoch (key 23): where a leader epoch ends in a partition's log (KIP-101, KIP-279).
//!
//! Followers and consumers find with it where their log and the leader's part. Version 3 tells who asks
//! (KIP-392).

use crate::{Message, Str, UnknownTags};

/// Asks where epochs end.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 23, versions = "2..=4", flexible = "4..")]
pub struct OffsetForLeaderEpochRequest {
    /// The broker that follows; -1 for a consumer, -2 for anyone.
    #[wire(since = 3, default = -2, ignorable)]
    pub replica_id: i32,
    /// The partitions, by topic.
    pub topics: Vec<OffsetForLeaderTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopic {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<OffsetForLeaderPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, and the epoch whose end is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderPartition {
    /// The partition's number in the topic.
    pub partition: i32,
    /// The epoch of the leader that the client believes to speak to; -1 where it does not know one.
    #[wire(default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the epochs end.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 23, versions = "2..=4", flexible = "4..")]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetForLeaderTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the epochs end in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopicResult {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<EpochEndOffset>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where an epoch ends in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The partition's number in the topic.
    pub partition: i32,
    /// The largest epoch not above the one asked for; -1 for none.
    #[wire(default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The offset after its last record; -1 for none.
    #[wire(default = -1)]
    pub end_offset: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
