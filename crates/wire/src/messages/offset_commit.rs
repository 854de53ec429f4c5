//! OffsetCommit (key 8): keeps for a group how far it has read partitions.
//!
//! Version 5 drops the time to keep the offsets (KIP-211), 6 brings leader epochs (KIP-320), 7 static members (KIP-345), 9 the
//! member epochs of the newer group protocol, 10 names topics by id (KIP-848).

use crate::{Message, Str, UnknownTags, Uuid};

/// Offsets to keep.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 8, versions = "2..=10", flexible = "8..")]
pub struct OffsetCommitRequest {
    /// The group's id.
    pub group_id: Str,
    /// The generation that the member joined, or its epoch in the newer protocol; -1 from who is no member.
    #[wire(default = -1, ignorable)]
    pub generation_id_or_member_epoch: i32,
    /// The member's id; empty from who is no member.
    #[wire(ignorable)]
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(since = 7, nullable, default = null)]
    pub group_instance_id: Option<Str>,
    /// How long to keep the offsets, in milliseconds; -1 for as long as the broker is configured to.
    #[wire(until = 4, default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The offsets, by topic.
    pub topics: Vec<OffsetCommitRequestTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Offsets in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestTopic {
    /// The topic's name.
    #[wire(until = 9, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The offsets, by partition.
    pub partitions: Vec<OffsetCommitRequestPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// An offset in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The offset of the record that is to be read next.
    pub committed_offset: i64,
    /// The epoch of the leader that the last record read came from; -1 where it is not known.
    #[wire(since = 6, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client wants to keep beside the offset.
    #[wire(nullable)]
    pub committed_metadata: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 8, versions = "2..=10", flexible = "8..")]
pub struct OffsetCommitResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<OffsetCommitResponseTopic>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offsets in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitResponseTopic {
    /// The topic's name.
    #[wire(until = 9, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The results, by partition.
    pub partitions: Vec<OffsetCommitResponsePartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the offset in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitResponsePartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
