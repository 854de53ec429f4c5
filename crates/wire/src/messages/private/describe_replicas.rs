//! DescribeReplicas (key 16005): what a leader knows of the replicas of its partitions.
//!
//! Unlike the other private APIs it is asked by tools, at any broker's listener for clients, and told in ApiVersions: so
//! a tool sees whether a broker has it. Ages are told instead of times, so that nobody's clock matters but the leader's.

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks a broker for the partitions that it leads.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16005, versions = "0", flexible = "0..")]
pub struct DescribeReplicasRequest {
    /// The topics, by name; null for all.
    #[wire(nullable, default = null)]
    pub topics: Option<Vec<Str>>,
    /// Whether only partitions are told of which a replica is not in sync.
    pub only_under_replicated: bool,
    /// How many partitions a page has at most.
    #[wire(default = 2000)]
    pub response_partition_limit: i32,
    /// Where the page starts; null for the first page.
    #[wire(nullable, default = null)]
    pub cursor: Option<ReplicasCursor>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where a page starts: partitions are in the order of the topics' names and of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicasCursor {
    /// The topic to start with.
    pub topic_name: Str,
    /// The partition of that topic to start with.
    pub partition_index: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// One page of the partitions that the broker leads.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16005, versions = "0", flexible = "0..")]
pub struct DescribeReplicasResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// The topics.
    pub topics: Vec<DescribedTopic>,
    /// Where the next page starts; null on the last page.
    #[wire(nullable, default = null)]
    pub next_cursor: Option<ReplicasCursor>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic, and those of its partitions that the broker leads.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedTopic {
    /// The topic's name.
    pub name: Str,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<DescribedPartition>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedPartition {
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The epoch in which the broker leads.
    pub leader_epoch: i32,
    /// The number of the partition's state, as the leader has it.
    pub partition_epoch: i32,
    /// Where the leader's log starts.
    pub log_start_offset: i64,
    /// Everything below is committed.
    pub high_watermark: i64,
    /// Where the leader's log ends.
    pub log_end_offset: i64,
    /// The size of the leader's log in bytes.
    pub size_bytes: i64,
    /// How many replicas must be in sync for a write with `acks=all`: `min.insync.replicas`, or the number of replicas if
    /// that is smaller.
    pub min_insync_replicas: i32,
    /// The replicas, in the partition's order: the preferred leader first.
    pub replicas: Vec<DescribedReplica>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A replica, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedReplica {
    /// The broker.
    pub broker_id: i32,
    /// Whether it is in the ISR in force.
    pub is_in_sync: bool,
    /// What the leader has asked the controller for, which has not decided yet: 0 nothing, 1 that it enters the ISR, 2 that
    /// it leaves it.
    pub asked: i8,
    /// How it stands: 0 not known, 1 leads, 2 is in sync, 3 catches up, 4 has not fetched since this leadership began, 5 its
    /// broker is fenced, 6 its broker is stopping, 7 its directory is offline, 8 its broker is not registered.
    pub standing: i8,
    /// Where its log ends, as far as it has told in this leader epoch; -1 where it has not.
    #[wire(default = -1)]
    pub log_end_offset: i64,
    /// How many records of the leader's it lacks; -1 where it is not known.
    #[wire(default = -1)]
    pub lag_records: i64,
    /// How long ago it fetched last, in milliseconds; -1 where it has not, or leads.
    #[wire(default = -1)]
    pub last_fetch_ms_ago: i64,
    /// How long ago it is known to have had all that the leader had, in milliseconds; -1 where it has not had it in this
    /// leadership, or leads.
    #[wire(default = -1)]
    pub last_caught_up_ms_ago: i64,
    /// For how long it has not been in the ISR, in milliseconds, as far as this leader knows; -1 where it is in the ISR.
    #[wire(default = -1)]
    pub out_of_sync_ms: i64,
    /// Why it lags, by a detector that tells; null where none does.
    #[wire(nullable, default = null)]
    pub explanation: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
