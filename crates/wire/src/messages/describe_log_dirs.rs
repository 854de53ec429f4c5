//! DescribeLogDirs (key 35): a broker's log directories and the replicas in them (KIP-113).
//!
//! Version 3 brings an error for the whole answer, 4 the space on the volume (KIP-827), 5 whether a directory
//! is cordoned (KIP-1066).

use crate::{Message, Str, UnknownTags};

/// Asks for the broker's log directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 35, versions = "1..=5", flexible = "2..")]
pub struct DescribeLogDirsRequest {
    /// The partitions, by topic; null for all.
    #[wire(nullable)]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribableLogDirTopic {
    /// The topic's name.
    pub topic: Str,
    /// The partitions' numbers.
    pub partitions: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The broker's log directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 35, versions = "1..=5", flexible = "2..")]
pub struct DescribeLogDirsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// An error of the whole request, or 0.
    #[wire(since = 3, ignorable)]
    pub error_code: i16,
    /// The directories.
    pub results: Vec<DescribeLogDirsResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A log directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsResult {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The directory's absolute path.
    pub log_dir: Str,
    /// The replicas, by topic.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// The size of the volume; -1 where it is not known.
    #[wire(since = 4, default = -1, ignorable)]
    pub total_bytes: i64,
    /// The space left on the volume; -1 where it is not known.
    #[wire(since = 4, default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether the directory takes no new replicas (KIP-1066).
    #[wire(since = 5, ignorable)]
    pub is_cordoned: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The replicas of one topic in a log directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DescribeLogDirsPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A replica in a log directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The size of the replica's segments in bytes.
    pub partition_size: i64,
    /// How far the log's end is behind: of the high watermark, or for a future log of the current one.
    pub offset_lag: i64,
    /// Whether the log is being moved here and will replace the current one.
    pub is_future_key: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
