//! Produce (key 0): appends record batches to partitions.
//!
//! Version 8 names the records at fault (KIP-467), 10 tells where the new leader is (KIP-951), 13 names
//! topics by id (KIP-516). Versions 11 and 12 look like 10: they say what a transactional producer may rely
//! on (KIP-890). Below version 3 there are only the old message formats, which are not served (KIP-896).

use crate::{Message, Records, Str, UnknownTags, Uuid};

/// Record batches to append.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 0, versions = "3..=13", flexible = "9..")]
pub struct ProduceRequest {
    /// The transactional id; null for a producer without transactions.
    #[wire(nullable, default = null)]
    pub transactional_id: Option<Str>,
    /// Which replicas must have the records before the answer: 0 none (and no answer), 1 the leader, -1 all
    /// in sync.
    pub acks: i16,
    /// How long to wait for those replicas, in milliseconds.
    pub timeout_ms: i32,
    /// The batches, by topic.
    pub topic_data: Vec<TopicProduceData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The batches for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceData {
    /// The topic's name.
    #[wire(until = 12, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The batches, by partition.
    pub partition_data: Vec<PartitionProduceData>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The batches for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceData {
    /// The partition's number in the topic.
    pub index: i32,
    /// The batches as the producer made them.
    #[wire(nullable)]
    pub records: Option<Records>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 0, versions = "3..=13", flexible = "9..")]
pub struct ProduceResponse {
    /// The results, by topic.
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// Where to reach the leaders that the partitions name.
    #[wire(since = 10, tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the batches for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[wire(until = 12, ignorable)]
    pub name: Str,
    /// The topic's id.
    #[wire(since = 13, ignorable)]
    pub topic_id: Uuid,
    /// The results, by partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
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

/// What became of the batches for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceResponse {
    /// The partition's number in the topic.
    pub index: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The offset of the first record appended; -1 on an error.
    pub base_offset: i64,
    /// The broker's time, in milliseconds, where the topic stamps records with it; else -1.
    #[wire(default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// The first offset of the log; -1 where it is not known.
    #[wire(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records at fault.
    #[wire(since = 8, ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// What was wrong with the batch, in words.
    #[wire(since = 8, nullable, default = null, ignorable)]
    pub error_message: Option<Str>,
    /// The leader to go to, where this broker is not it.
    #[wire(since = 10, tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A record for whose sake its batch was refused (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// The record's position in the batch.
    pub batch_index: i32,
    /// What was wrong with the record, in words.
    #[wire(nullable, default = null)]
    pub batch_index_error_message: Option<Str>,
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
