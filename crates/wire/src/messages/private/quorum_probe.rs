//! QuorumProbe (key 16003): before a voter with an empty directory votes, it asks all listed voters who they are and what
//! they hold, and tells the same of itself.

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks who a node is, and tells who asks.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16003, versions = "0", flexible = "0..")]
pub struct QuorumProbeRequest {
    /// Who asks.
    pub asking: NodeState,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Who the node is.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16003, versions = "0", flexible = "0..")]
pub struct QuorumProbeResponse {
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// Who answers.
    pub answering: NodeState,
    /// Who leads as far as that node knows; -1 where it does not.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The epoch of the leadership; -1 where it is not known.
    #[wire(default = -1)]
    pub leader_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A node, and what its metadata directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeState {
    /// The cluster's id where the node knows it, or what it would propose; empty where it would wait for another's.
    pub cluster_id: Str,
    /// The node's id.
    #[wire(default = -1)]
    pub node_id: i32,
    /// The id of its metadata directory.
    pub directory_id: Uuid,
    /// The voters that its configuration lists.
    pub voters: Vec<Voter>,
    /// What its directory holds: 0 nothing, 1 who it is but no vote and no record, 2 votes or records.
    pub state: i8,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A voter as a configuration lists it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Voter {
    /// The node's id.
    pub id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
