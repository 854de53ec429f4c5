//! DescribeCluster (key 60): the cluster's id, its brokers and its controller (KIP-700).
//!
//! Version 1 can ask for controllers instead of brokers (KIP-919), 2 shows fenced brokers (KIP-1073).

use crate::{Message, Str, UnknownTags};

/// Asks for the cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 60, versions = "0..=2", flexible = "0..")]
pub struct DescribeClusterRequest {
    /// Whether to say what the client may do to the cluster.
    pub include_cluster_authorized_operations: bool,
    /// Which nodes: 1 brokers, 2 controllers.
    #[wire(since = 1, default = 1)]
    pub endpoint_type: i8,
    /// Whether to show fenced brokers too.
    #[wire(since = 2)]
    pub include_fenced_brokers: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 60, versions = "0..=2", flexible = "0..")]
pub struct DescribeClusterResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// Which nodes these are: 1 brokers, 2 controllers.
    #[wire(since = 1, default = 1)]
    pub endpoint_type: i8,
    /// The cluster's id.
    pub cluster_id: Str,
    /// The broker to send administrative requests to, or among controllers the leader; -1 where none is
    /// known.
    #[wire(default = -1)]
    pub controller_id: i32,
    /// The nodes.
    pub brokers: Vec<DescribeClusterBroker>,
    /// What the client may do to the cluster, a bit for each operation; the lowest number where it did not
    /// ask.
    #[wire(default = -2147483648)]
    pub cluster_authorized_operations: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A node, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeClusterBroker {
    /// The node's id.
    pub broker_id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack it stands in, if one is configured.
    #[wire(nullable, default = null)]
    pub rack: Option<Str>,
    /// Whether the broker is fenced: registered, but leading nothing.
    #[wire(since = 2)]
    pub is_fenced: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
