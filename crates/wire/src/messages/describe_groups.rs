//! DescribeGroups (key 15): the state of groups, their members, and what is assigned to them.
//!
//! Version 3 brings authorized operations (KIP-430), 4 static members (KIP-345), and from 6 on a group that does not exist
//! is an error instead of a group in the state `Dead` (KIP-1043).

use bytes::Bytes;

use crate::{Message, Str, UnknownTags};

/// Asks for groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 15, versions = "0..=6", flexible = "5..")]
pub struct DescribeGroupsRequest {
    /// The groups' ids.
    pub groups: Vec<Str>,
    /// Whether to say what the client may do to the groups.
    #[wire(since = 3)]
    pub include_authorized_operations: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 15, versions = "0..=6", flexible = "5..")]
pub struct DescribeGroupsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroup {
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(since = 6, nullable, default = null)]
    pub error_message: Option<Str>,
    /// The group's id.
    pub group_id: Str,
    /// Its state, or empty.
    pub group_state: Str,
    /// What kind of protocol its members speak, or empty.
    pub protocol_type: Str,
    /// The protocol that the coordinator chose, where the group is stable; else empty.
    pub protocol_data: Str,
    /// The members; none where the group is dead.
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do to the group, a bit for each operation; the lowest number where it did not ask.
    #[wire(since = 3, default = -2147483648)]
    pub authorized_operations: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroupMember {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(since = 4, nullable, default = null, ignorable)]
    pub group_instance_id: Option<Str>,
    /// The client id that it joined with.
    pub client_id: Str,
    /// The address that it joined from.
    pub client_host: Str,
    /// What the member said in the chosen protocol, where the group is stable; else empty.
    pub member_metadata: Bytes,
    /// What the leader assigned to it, where the group is stable; else empty.
    pub member_assignment: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
