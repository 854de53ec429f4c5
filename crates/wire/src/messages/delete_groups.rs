//! DeleteGroups (key 42): forgets groups without members, and their offsets (KIP-229).

use crate::{Message, Str, UnknownTags};

/// Groups to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 42, versions = "0..=2", flexible = "2..")]
pub struct DeleteGroupsRequest {
    /// The groups' ids.
    pub groups_names: Vec<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 42, versions = "0..=2", flexible = "2..")]
pub struct DeleteGroupsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The results, by group.
    pub results: Vec<DeletableGroupResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableGroupResult {
    /// The group's id.
    pub group_id: Str,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
