//! RaftEnvelope (key 16001): carries what one voter's consensus says to another's, in bytes that only that reads.

use bytes::Bytes;

use crate::{Message, Str, UnknownTags};

/// Carries a message to a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16001, versions = "0", flexible = "0..")]
pub struct RaftEnvelopeRequest {
    /// The cluster that the sender belongs to.
    pub cluster_id: Str,
    /// The sender's node id.
    pub from_id: i32,
    /// The node id that the message is for: an address may have come to be another node's.
    pub to_id: i32,
    /// The message.
    pub payload: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Carries the answer.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16001, versions = "0", flexible = "0..")]
pub struct RaftEnvelopeResponse {
    /// The error's code, or 0: one of carrying, and not of the message itself.
    pub error_code: i16,
    /// The answer; empty where there is an error.
    pub payload: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
