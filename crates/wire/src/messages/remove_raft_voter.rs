//! RemoveRaftVoter (key 81): takes a node's vote on the metadata log away (KIP-853).

use crate::{Message, Str, UnknownTags, Uuid};

/// Removes a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 81, versions = "0", flexible = "0..")]
pub struct RemoveRaftVoterRequest {
    /// The cluster that is meant; null for any.
    #[wire(nullable)]
    pub cluster_id: Option<Str>,
    /// The node's id.
    pub voter_id: i32,
    /// The id of its directory.
    pub voter_directory_id: Uuid,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 81, versions = "0", flexible = "0..")]
pub struct RemoveRaftVoterResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, ignorable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
