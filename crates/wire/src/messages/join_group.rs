//! JoinGroup (key 11): makes a client a member of a group, and waits for the group's next generation.
//!
//! Version 1 tells the time for a rebalance from that of a session (KIP-62), from 4 on a new member first gets an id and
//! joins with it (KIP-394), 5 brings static members (KIP-345), 7 names the kind of protocol (KIP-559), 8 a reason (KIP-800),
//! and from 9 on a leader may be told not to assign anew (KIP-814).

use bytes::Bytes;

use crate::{Message, Str, UnknownTags};

/// Asks to be a member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 11, versions = "0..=9", flexible = "6..")]
pub struct JoinGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// After how long without a heartbeat the member counts as gone, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long the member may take to join again when the group rebalances, in milliseconds; in version 0 as long as a
    /// session.
    #[wire(since = 1, default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The id that the coordinator gave the member; empty for one that has none yet.
    pub member_id: Str,
    /// The id of a static member, which outlives its process (KIP-345); null for a dynamic one.
    #[wire(since = 5, nullable, default = null)]
    pub group_instance_id: Option<Str>,
    /// What kind of group it is: `consumer` for consumers.
    pub protocol_type: Str,
    /// The protocols that the member supports, the one it likes best first: for consumers, ways to assign partitions.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins, for people.
    #[wire(since = 8, nullable, default = null, ignorable)]
    pub reason: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A protocol that a member supports.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupRequestProtocol {
    /// The protocol's name, `range` for example.
    pub name: Str,
    /// What the member tells the others in this protocol: for consumers, its subscription.
    pub metadata: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The group's new generation.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 11, versions = "0..=9", flexible = "6..")]
pub struct JoinGroupResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The generation; -1 on an error.
    #[wire(default = -1)]
    pub generation_id: i32,
    /// What kind of group it is.
    #[wire(since = 7, nullable, default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the coordinator chose.
    #[wire(nullable = "7..")]
    pub protocol_name: Option<Str>,
    /// The id of the member that leads the group.
    pub leader: Str,
    /// Whether the leader is to leave the assignment as it is.
    #[wire(since = 9)]
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: Str,
    /// The members, for the leader only.
    pub members: Vec<JoinGroupResponseMember>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A member of the group, for the leader.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupResponseMember {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member; null for a dynamic one.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub group_instance_id: Option<Str>,
    /// What the member said in the chosen protocol.
    pub metadata: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
