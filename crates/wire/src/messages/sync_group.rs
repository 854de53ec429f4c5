//! SyncGroup (key 14): the leader tells what it assigned to each member, and each member learns what is its own.
//!
//! Version 3 brings static members (KIP-345), 5 names protocol and kind of protocol, to be compared (KIP-559).

use bytes::Bytes;

use crate::{Message, Str, UnknownTags};

/// Asks for the member's assignment.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 14, versions = "0..=5", flexible = "4..")]
pub struct SyncGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// The generation that the member joined.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(since = 3, nullable, default = null)]
    pub group_instance_id: Option<Str>,
    /// What kind of group it is.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the coordinator chose.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub protocol_name: Option<Str>,
    /// What each member gets; from the leader only.
    pub assignments: Vec<SyncGroupRequestAssignment>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What one member gets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SyncGroupRequestAssignment {
    /// The member's id.
    pub member_id: Str,
    /// The assignment, in the terms of the protocol.
    pub assignment: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The member's assignment.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 14, versions = "0..=5", flexible = "4..")]
pub struct SyncGroupResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What kind of group it is.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the coordinator chose.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub protocol_name: Option<Str>,
    /// The assignment, in the terms of the protocol.
    pub assignment: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
