//! Heartbeat (key 12): a member says that it is alive, and learns whether the group rebalances.
//!
//! Version 3 brings static members (KIP-345).

use crate::{Message, Str, UnknownTags};

/// A member's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 12, versions = "0..=4", flexible = "4..")]
pub struct HeartbeatRequest {
    /// The group's id.
    pub group_id: Str,
    /// The generation that the member joined.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(since = 3, nullable, default = null)]
    pub group_instance_id: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Whether the member is still one; REBALANCE_IN_PROGRESS asks it to join again.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 12, versions = "0..=4", flexible = "4..")]
pub struct HeartbeatResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
