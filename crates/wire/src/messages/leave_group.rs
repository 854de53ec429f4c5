//! LeaveGroup (key 13): members leave their group, or are removed from it.
//!
//! From version 3 on several may leave at once, static ones by their instance's id (KIP-345); 5 brings a reason (KIP-800).

use crate::{Message, Str, UnknownTags};

/// Members that leave.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 13, versions = "0..=5", flexible = "4..")]
pub struct LeaveGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// The member that leaves.
    #[wire(until = 2)]
    pub member_id: Str,
    /// The members that leave.
    #[wire(since = 3)]
    pub members: Vec<MemberIdentity>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberIdentity {
    /// The member's id; may be empty where the instance's is given.
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(nullable, default = null)]
    pub group_instance_id: Option<Str>,
    /// Why it leaves, for people.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub reason: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the members.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 13, versions = "0..=5", flexible = "4..")]
pub struct LeaveGroupResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The results, by member.
    #[wire(since = 3)]
    pub members: Vec<MemberResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberResponse {
    /// The member's id, as it was given.
    pub member_id: Str,
    /// The id of a static member, as it was given.
    #[wire(nullable)]
    pub group_instance_id: Option<Str>,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
