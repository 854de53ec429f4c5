//! UnregisterBroker (key 64): forgets a broker that will not come back (KIP-631).

use crate::{Message, Str, UnknownTags};

/// Forgets a broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 64, versions = "0", flexible = "0..")]
pub struct UnregisterBrokerRequest {
    /// The broker's id.
    pub broker_id: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 64, versions = "0", flexible = "0..")]
pub struct UnregisterBrokerResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
