//! UpdateRaftVoter (key 82): a voter tells the leader where it is reached now, and what it understands (KIP-853).

use crate::{Message, Str, UnknownTags, Uuid};

/// Changes what is known of a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 82, versions = "0", flexible = "0..")]
pub struct UpdateRaftVoterRequest {
    /// The cluster that is meant; null for any.
    #[wire(nullable)]
    pub cluster_id: Option<Str>,
    /// The leader's epoch as the voter knows it; -1 where it does not.
    pub current_leader_epoch: i32,
    /// The node's id.
    pub voter_id: i32,
    /// The id of its directory.
    pub voter_directory_id: Uuid,
    /// Where the other voters reach it.
    pub listeners: Vec<Listener>,
    /// The versions of the quorum's protocol that it understands.
    #[wire(name = "KRaftVersionFeature")]
    pub kraft_version_feature: KRaftVersionFeature,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Versions of the quorum's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct KRaftVersionFeature {
    /// The lowest version.
    pub min_supported_version: i16,
    /// The highest version.
    pub max_supported_version: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 82, versions = "0", flexible = "0..")]
pub struct UpdateRaftVoterResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// Who leads.
    #[wire(tag = 0)]
    pub current_leader: CurrentLeader,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The leader, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CurrentLeader {
    /// The leader's node id; -1 where it is not known.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The leader's epoch.
    #[wire(default = -1)]
    pub leader_epoch: i32,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
