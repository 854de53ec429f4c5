//! QuorumProbe (key 16003): a node that looks for its quorum asks the listed nodes who they are, which quorum they belong to
//! and who leads it, and tells who asks.
//!
//! What a node tells of itself is durable: it is counted on.

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks who a node is, and tells who asks.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16003, versions = "0", flexible = "0..")]
pub struct QuorumProbeRequest {
    /// The id of the node that asks.
    #[wire(default = -1)]
    pub node_id: i32,
    /// The id of its metadata directory.
    pub directory_id: Uuid,
    /// The voters that its configuration lists; none where it only joins.
    pub listed: Vec<ListedVoter>,
    /// The cluster that it belongs to, or has data of; null where there is none.
    #[wire(nullable, default = null)]
    pub cluster_id: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Who the node is.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16003, versions = "0", flexible = "0..")]
pub struct QuorumProbeResponse {
    /// The error's code, or 0. With an error nothing else is told: the node is to be asked again.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// The id of the node that answers.
    #[wire(default = -1)]
    pub node_id: i32,
    /// The id of its metadata directory.
    pub directory_id: Uuid,
    /// The voters that its configuration lists; none where it only joins.
    pub listed: Vec<ListedVoter>,
    /// The cluster that it belongs to, or has data of; null where there is none.
    #[wire(nullable, default = null)]
    pub cluster_id: Option<Str>,
    /// Who voted at first in the quorum that it belongs to; null where it belongs to none, and has never voted.
    #[wire(nullable, default = null)]
    pub founding: Option<Founding>,
    /// Who votes, as its log has it; none where it has no log.
    pub voters: Vec<Voter>,
    /// The last leader that it knows of, which may have ended; -1 where it knew none.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The epoch of that leadership; -1 where it knew none.
    #[wire(default = -1)]
    pub leader_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A voter as a configuration lists it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListedVoter {
    /// The node's id.
    pub id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A quorum as it was founded.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Founding {
    /// What the cluster is called.
    pub cluster_id: Str,
    /// Who voted at first.
    pub voters: Vec<FoundingVoter>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A directory that votes from the first day.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FoundingVoter {
    /// The node's id.
    pub id: i32,
    /// The name or address to connect to, as it was listed.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// The id of its metadata directory.
    pub directory_id: Uuid,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A voter as the log of the quorum has it (KIP-853).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Voter {
    /// The node's id.
    pub id: i32,
    /// The id of the directory that votes.
    pub directory_id: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where a voter is reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: Str,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
