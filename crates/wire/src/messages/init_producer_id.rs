//! InitProducerId (key 22): gives an idempotent or transactional producer its id and epoch (KIP-98).
//!
//! Version 3 lets a producer keep its id and raise its epoch (KIP-360); 4 and 5 look like it and allow more
//! errors. Version 6 (two-phase commit, KIP-939) is not stable in Kafka 4.3 and left out.

use crate::{Message, Str, UnknownTags};

/// Asks for a producer id and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 22, versions = "0..=5", flexible = "2..")]
pub struct InitProducerIdRequest {
    /// The transactional id; null for a producer that is idempotent only.
    #[wire(nullable)]
    pub transactional_id: Option<Str>,
    /// How long a transaction may stay open, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// The id the producer has; -1 for none.
    #[wire(since = 3, default = -1)]
    pub producer_id: i64,
    /// The epoch the producer has; -1 for none.
    #[wire(since = 3, default = -1)]
    pub producer_epoch: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The producer's id and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 22, versions = "0..=5", flexible = "2..")]
pub struct InitProducerIdResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The producer's id; -1 on an error.
    #[wire(default = -1)]
    pub producer_id: i64,
    /// The producer's epoch; -1 on an error.
    pub producer_epoch: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
