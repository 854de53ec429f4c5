//! Fetch (key 1): reads record batches, for consumers and for following replicas.
//!
//! Version 7 brings fetch sessions (KIP-227), 9 leader epochs (KIP-320), 11 the nearest replica (KIP-392), 12
//! divergence found by the leader (KIP-595), 13 topics by id (KIP-516), 15 the epoch of the following broker
//! (KIP-903), 16 where the new leader is (KIP-951), 17 the follower's directory (KIP-853), 18 the follower's
//! high watermark (KIP-1166). Versions 8, 10 and 14 changed meaning and not shape.

use crate::{Message, Records, Str, UnknownTags, Uuid};

/// Asks for record batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 1, versions = "4..=18", flexible = "12..")]
pub struct FetchRequest {
    /// The cluster that the client believes to speak to.
    #[wire(since = 12, tag = 0, nullable, default = null, ignorable)]
    pub cluster_id: Option<Str>,
    /// The broker that follows; -1 for a consumer.
    #[wire(until = 14, default = -1)]
    pub replica_id: i32,
    /// The broker that follows, and its epoch.
    #[wire(since = 15, tag = 1)]
    pub replica_state: ReplicaState,
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// How many bytes are worth an answer before the wait is over.
    pub min_bytes: i32,
    /// How many bytes to answer at most; the first batch is given whatever its size (KIP-74).
    #[wire(default = 0x7fffffff, ignorable)]
    pub max_bytes: i32,
    /// 0 reads up to the high watermark, 1 up to the last stable offset and without aborted transactions.
    #[wire(ignorable)]
    pub isolation_level: i8,
    /// The fetch session; 0 for none yet.
    #[wire(since = 7, ignorable)]
    pub session_id: i32,
    /// The request's number in the session; 0 asks for a new session, -1 for none.
    #[wire(since = 7, default = -1, ignorable)]
    pub session_epoch: i32,
    /// The partitions to read; in a session, those that are new or changed.
    pub topics: Vec<FetchTopic>,
    /// The partitions to drop from the session.
    #[wire(since = 7)]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's rack; empty for none.
    #[wire(since = 11, ignorable)]
    pub rack_id: Str,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The following broker that asks (KIP-903).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// The broker that follows; -1 for a consumer.
    #[wire(default = -1)]
    pub replica_id: i32,
    /// The epoch of its registration; -1 where it has none.
    #[wire(default = -1)]
    pub replica_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The partitions of one topic to read.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchTopic {
    /// The topic's name.
    #[wire(until = 12, ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Partitions of one topic to drop from the session (KIP-227).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[wire(until = 12, ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The partitions' numbers.
    pub partitions: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition to read, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchPartition {
    /// The partition's number in the topic.
    pub partition: i32,
    /// The epoch of the leader that the client believes to speak to; -1 where it does not know one.
    #[wire(since = 9, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The epoch of the last record that the follower has; -1 for none.
    #[wire(since = 12, default = -1)]
    pub last_fetched_epoch: i32,
    /// The first offset of the follower's log; -1 for a consumer.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// How many bytes to answer at most from this partition; the first batch is given whatever its size
    /// (KIP-74).
    pub partition_max_bytes: i32,
    /// The log directory of the follower's replica.
    #[wire(since = 17, tag = 0, ignorable)]
    pub replica_directory_id: Uuid,
    /// The high watermark that the follower knows; -1 for none, the largest number where it does not tell.
    #[wire(since = 18, tag = 1, default = 9223372036854775807, ignorable)]
    pub high_watermark: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Record batches, by partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 1, versions = "4..=18", flexible = "12..")]
pub struct FetchResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// An error of the whole request, or 0.
    #[wire(since = 7, ignorable)]
    pub error_code: i16,
    /// The fetch session; 0 for none.
    #[wire(since = 7)]
    pub session_id: i32,
    /// The partitions, by topic; in a session, those that have something new.
    pub responses: Vec<FetchableTopicResponse>,
    /// Where to reach the leaders that the partitions name.
    #[wire(since = 16, tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What was read from one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[wire(until = 12, ignorable)]
    pub topic: Str,
    /// The topic's id.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where clients reach a broker that leads one of the partitions (KIP-951).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// The broker's id.
    pub node_id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack it stands in, if one is configured.
    #[wire(nullable, default = null)]
    pub rack: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What was read from one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The high watermark.
    pub high_watermark: i64,
    /// The offset below which no transaction is open; -1 where it is not known.
    #[wire(default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// The first offset of the log; -1 where it is not known.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Set where the follower's log is not the leader's: to where it may be kept at most.
    #[wire(since = 12, tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// The leader to go to, where this broker is not it.
    #[wire(since = 12, tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    /// Set where the follower must read a snapshot first.
    #[wire(since = 12, tag = 2)]
    pub snapshot_id: SnapshotId,
    /// The aborted transactions in what was read, for a reader of committed records.
    #[wire(nullable, ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica that the consumer had better read from; -1 for this one.
    #[wire(since = 11, default = -1)]
    pub preferred_read_replica: i32,
    /// The batches as they lie in the log: the first may begin before the offset asked for.
    #[wire(nullable)]
    pub records: Option<Records>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The latest epoch that the leader and the follower may share, and where it ends (KIP-595).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// The epoch; -1 for none.
    #[wire(default = -1)]
    pub epoch: i32,
    /// The offset after its last record; -1 for none.
    #[wire(default = -1)]
    pub end_offset: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition's leader, as the answering broker knows it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader's broker id; -1 where there is none.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The epoch of that leader; -1 where it is not known.
    #[wire(default = -1)]
    pub leader_epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The snapshot to read where the log no longer reaches back (KIP-630).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotId {
    /// The offset after the last one the snapshot covers; -1 for none.
    #[wire(default = -1)]
    pub end_offset: i64,
    /// The epoch of the last record the snapshot covers; -1 for none.
    #[wire(default = -1)]
    pub epoch: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A transaction that was aborted and whose records a committed reader skips.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AbortedTransaction {
    /// The producer whose transaction it was.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first_offset: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
