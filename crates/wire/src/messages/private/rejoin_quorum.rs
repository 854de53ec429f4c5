//! RejoinQuorum (key 16004): a voter that lost its metadata directory asks the quorum's leader to let its new directory vote in
//! the place of the lost one. (KIP-853: a voter is a directory, and the lost one has to be removed first.)

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks the leader to let a directory vote.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16004, versions = "0", flexible = "0..")]
pub struct RejoinQuorumRequest {
    /// The cluster that the node belongs to.
    pub cluster_id: Str,
    /// The node's id.
    #[wire(default = -1)]
    pub node_id: i32,
    /// The id of its new metadata directory.
    pub directory_id: Uuid,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Whether it votes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16004, versions = "0", flexible = "0..")]
pub struct RejoinQuorumResponse {
    /// The error's code; 0 where the directory votes.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// Who leads, as far as the node knows that was asked; -1 where it does not.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
