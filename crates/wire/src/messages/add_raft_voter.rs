//! AddRaftVoter (key 80): makes a node one of those who vote on the metadata log (KIP-853).
//!
//! Version 1 can ask for an answer before the change is committed (KIP-1186).

use crate::{Message, Str, UnknownTags, Uuid};

/// Adds a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 80, versions = "0..=1", flexible = "0..")]
pub struct AddRaftVoterRequest {
    /// The cluster that is meant; null for any.
    #[wire(nullable)]
    pub cluster_id: Option<Str>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: i32,
    /// The node's id.
    pub voter_id: i32,
    /// The id of its directory.
    pub voter_directory_id: Uuid,
    /// Where the other voters reach it.
    pub listeners: Vec<Listener>,
    /// Whether to answer when the change is committed, and not already when the leader has written it.
    #[wire(since = 1, default = true)]
    pub ack_when_committed: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 80, versions = "0..=1", flexible = "0..")]
pub struct AddRaftVoterResponse {
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
