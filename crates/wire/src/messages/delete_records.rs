//! DeleteRecords (key 21): moves the start of partitions' logs forward (KIP-107).

use crate::{Message, Str, UnknownTags};

/// Partitions whose first records to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 21, versions = "0..=2", flexible = "2..")]
pub struct DeleteRecordsRequest {
    /// The partitions, by topic.
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long to wait for it to be done, in milliseconds.
    pub timeout_ms: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, and up to where to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The first offset to keep; -1 keeps what lies above the high watermark.
    pub offset: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the logs start now.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 21, versions = "0..=2", flexible = "2..")]
pub struct DeleteRecordsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The results, by topic.
    pub topics: Vec<DeleteRecordsTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the logs of one topic start now.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the log of one partition starts now.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartitionResult {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The lowest of the replicas' log starts; -1 on an error.
    pub low_watermark: i64,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
