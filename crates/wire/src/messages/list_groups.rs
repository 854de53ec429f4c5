//! ListGroups (key 16): the groups that a broker coordinates.
//!
//! Version 4 brings the groups' states (KIP-518), 5 their types (KIP-848).

use crate::{Message, Str, UnknownTags};

/// Asks for the broker's groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16, versions = "0..=5", flexible = "3..")]
pub struct ListGroupsRequest {
    /// Only groups in one of these states, `Stable` for example; empty for all.
    #[wire(since = 4)]
    pub states_filter: Vec<Str>,
    /// Only groups of one of these types, `classic` for example; empty for all.
    #[wire(since = 5)]
    pub types_filter: Vec<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The broker's groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16, versions = "0..=5", flexible = "3..")]
pub struct ListGroupsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListedGroup {
    /// The group's id.
    pub group_id: Str,
    /// What kind of protocol its members speak: `consumer` for consumers, empty for a group that only has offsets.
    pub protocol_type: Str,
    /// Its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`, and those of newer types.
    #[wire(since = 4, ignorable)]
    pub group_state: Str,
    /// Its type: `classic`, `consumer` or `share`, and newer ones.
    #[wire(since = 5, ignorable)]
    pub group_type: Str,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
