//! FindCoordinator (key 10): which broker coordinates a group, a transactional producer or a share group's partition.
//!
//! Version 1 brings transactional ids, 4 asks for several keys at once (KIP-699). Versions 5 and 6 look like 4: they say
//! which errors and which kinds of keys (share groups, KIP-932) the client knows.

use crate::{Message, Str, UnknownTags};

/// Asks for coordinators.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 10, versions = "0..=6", flexible = "3..")]
pub struct FindCoordinatorRequest {
    /// The group's id or the transactional id.
    #[wire(until = 3)]
    pub key: Str,
    /// What the keys name: 0 groups, 1 transactional ids, 2 partitions of share groups.
    #[wire(since = 1)]
    pub key_type: i8,
    /// The ids.
    #[wire(since = 4)]
    pub coordinator_keys: Vec<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the coordinators are.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 10, versions = "0..=6", flexible = "3..")]
pub struct FindCoordinatorResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    #[wire(until = 3)]
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(since = 1, until = 3, nullable, ignorable)]
    pub error_message: Option<Str>,
    /// The coordinator's broker id; -1 where there is none.
    #[wire(until = 3)]
    pub node_id: i32,
    /// The name or address to connect to.
    #[wire(until = 3)]
    pub host: Str,
    /// The port to connect to.
    #[wire(until = 3)]
    pub port: i32,
    /// The coordinators, one for each key.
    #[wire(since = 4)]
    pub coordinators: Vec<Coordinator>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Where the coordinator of one key is.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Coordinator {
    /// The group's id or the transactional id.
    pub key: Str,
    /// The coordinator's broker id; -1 where there is none.
    pub node_id: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, ignorable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
