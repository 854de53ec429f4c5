//! BrokerHeartbeat (key 63): a registered broker tells the active controller that it lives, and what it wants (KIP-631).
//!
//! Version 1 names the log directories that failed (KIP-858), 2 those that are cordoned (KIP-1066).

use crate::{Message, UnknownTags, Uuid};

/// Tells that a broker lives.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 63, versions = "0..=2", flexible = "0..")]
pub struct BrokerHeartbeatRequest {
    /// The broker's id.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    /// How far the broker has replayed the metadata log.
    pub current_metadata_offset: i64,
    /// Whether it wants to be fenced.
    pub want_fence: bool,
    /// Whether it wants to shut down.
    pub want_shut_down: bool,
    /// The log directories that failed, by id.
    #[wire(since = 1, tag = 0)]
    pub offline_log_dirs: Vec<Uuid>,
    /// The log directories that get no new replicas, by id; null where the broker does not know yet.
    #[wire(since = 2, tag = 1, nullable, default = null)]
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What the controller makes of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 63, versions = "0..=2", flexible = "0..")]
pub struct BrokerHeartbeatResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Whether the broker has nearly all of the metadata log.
    pub is_caught_up: bool,
    /// Whether the broker is fenced.
    #[wire(default = true)]
    pub is_fenced: bool,
    /// Whether the broker may shut down now.
    pub should_shut_down: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
