//! Metadata (key 3): the cluster's brokers and controller, and the partitions of topics with their leaders
//! and replicas.
//!
//! Version 1 tells all topics (null) from no topics (empty); 7 brings leader epochs (KIP-320), 8 authorized
//! operations (KIP-430), 10 topic ids (KIP-516), 12 topics asked for by id, 13 an error for the whole answer
//! (KIP-1102).

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks for the cluster's brokers and for topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 3, versions = "0..=13", flexible = "9..")]
pub struct MetadataRequest {
    /// The topics; null for all, and in version 0 empty for all.
    #[wire(nullable = "1..")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether a topic that is missing may be created, if the broker is configured to.
    #[wire(since = 4, default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to say what the client may do to the cluster.
    #[wire(since = 8, until = 10)]
    pub include_cluster_authorized_operations: bool,
    /// Whether to say what the client may do to the topics.
    #[wire(since = 8)]
    pub include_topic_authorized_operations: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataRequestTopic {
    /// The topic's id; zero where it is asked for by name.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// The topic's name; null where it is asked for by id.
    #[wire(nullable = "10..")]
    pub name: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The cluster's brokers, and the topics that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 3, versions = "0..=13", flexible = "9..")]
pub struct MetadataResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers that are alive.
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster's id.
    #[wire(since = 2, nullable, default = null, ignorable)]
    pub cluster_id: Option<Str>,
    /// The broker to send administrative requests to; -1 where none is known.
    #[wire(since = 1, default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// What the client may do to the cluster, a bit for each operation; the lowest number where it did not
    /// ask.
    #[wire(since = 8, until = 10, default = -2147483648)]
    pub cluster_authorized_operations: i32,
    /// An error that concerns the whole answer, or 0.
    #[wire(since = 13, ignorable)]
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A broker, and where clients reach it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseBroker {
    /// The broker's id.
    pub node_id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack it stands in, if one is configured.
    #[wire(since = 1, nullable, default = null, ignorable)]
    pub rack: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseTopic {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The topic's name; null for a topic asked for by an id that does not exist.
    #[wire(nullable = "12..")]
    pub name: Option<Str>,
    /// The topic's id; zero for a topic asked for by a name that does not exist.
    #[wire(since = 10, ignorable)]
    pub topic_id: Uuid,
    /// Whether the topic is one of the cluster's own.
    #[wire(since = 1, ignorable)]
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// What the client may do to the topic, a bit for each operation; the lowest number where it did not ask.
    #[wire(since = 8, default = -2147483648)]
    pub topic_authorized_operations: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A partition: its leader and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponsePartition {
    /// The error's code, or 0.
    pub error_code: i16,
    /// The partition's number in the topic.
    pub partition_index: i32,
    /// The leader's broker id; -1 where there is none.
    pub leader_id: i32,
    /// The epoch of that leader; -1 where it is not known.
    #[wire(since = 7, default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers that hold a replica, the preferred leader first.
    pub replica_nodes: Vec<i32>,
    /// The brokers whose replicas are in sync.
    pub isr_nodes: Vec<i32>,
    /// The brokers whose replicas are offline.
    #[wire(since = 5, ignorable)]
    pub offline_replicas: Vec<i32>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
