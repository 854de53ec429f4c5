//! AllocateProducerIds (key 67): a broker gets a block of producer ids to give away (KIP-730).

use crate::{Message, UnknownTags};

/// Asks for a block of producer ids.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 67, versions = "0", flexible = "0..")]
pub struct AllocateProducerIdsRequest {
    /// The broker that asks.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 67, versions = "0", flexible = "0..")]
pub struct AllocateProducerIdsResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The first id of the block.
    pub producer_id_start: i64,
    /// How many ids it has.
    pub producer_id_len: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
