//! What can be asked of a [`Shard`](crate::Shard), in the domain's terms: API versions end in the broker's handlers.
//!
//! Authorization, and whether a topic exists, are decided before a request comes here.

use bytes::Bytes;
use ottla_types::{LeaderEpoch, Offset, TopicId, TopicName};

use crate::classic::State;
use crate::group::Group;

/// The number of a rebalance of a group. The first one that completes makes generation 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

impl Generation {
    /// "No generation": who commits offsets without being a member.
    pub const NONE: Self = Self(-1);
}

/// A request to the coordinator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Request {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup, batched (KIP-345).
    Leave(Leave),
    /// OffsetCommit.
    Commit(Commit),
    /// OffsetFetch of one group.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete (KIP-496).
    DeleteOffsets(DeleteOffsets),
    /// ListGroups; of this shard's groups only.
    List(List),
    /// DescribeGroups; of groups that this shard coordinates.
    Describe(Describe),
    /// DeleteGroups; of one group. Each has a turn of its own, since it may hold many offsets.
    Delete(Delete),
}

/// A protocol (for consumers: an assignor) that a member can use, with what it tells the leader under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, such as `range`.
    pub name: String,
    /// The member's metadata under this protocol. A member keeps a copy, so that no frame stays in memory for it.
    pub metadata: Bytes,
}

/// Asks to become, or to stay, a member.
#[derive(Debug, Clone)]
pub struct Join {
    /// The group.
    pub group_id: String,
    /// The member's id; empty if it has none yet.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The id that a member without one gets: `<client id>-<uuid>`, and `<instance id>-<uuid>` for a static one. Drawn
    /// by the shell for every request, as randomness is not at home here.
    pub new_member_id: String,
    /// The client id of the request.
    pub client_id: String,
    /// The host the request came from, as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
    /// After this long without a sign of life the member is removed.
    pub session_timeout_ms: i32,
    /// How long the member may take to rejoin when the group rebalances. Version 0 of the request has none, and means
    /// the session timeout.
    pub rebalance_timeout_ms: i32,
    /// The kind of protocols, such as `consumer`.
    pub protocol_type: String,
    /// The protocols that the member can use, the ones it prefers first.
    pub protocols: Vec<Protocol>,
    /// Whether a dynamic member without an id is to be told one first and join again with it (KIP-394, version 4).
    pub requires_known_member_id: bool,
    /// Whether a static leader understands that it is not to assign anything (KIP-814, version 9).
    pub supports_skipping_assignment: bool,
}

/// Asks for the member's assignment; the leader brings all members' (KIP-345, KIP-559).
#[derive(Debug, Clone)]
pub struct Sync {
    /// The group.
    pub group_id: String,
    /// The generation that the member was told when it joined.
    pub generation: Generation,
    /// The member.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// The protocol type that it believes the group to use; from version 5.
    pub protocol_type: Option<String>,
    /// The protocol that it believes was chosen; from version 5.
    pub protocol_name: Option<String>,
    /// From the leader, an assignment for each member id; from the others nothing.
    pub assignments: Vec<(String, Bytes)>,
}

/// Tells that a member is alive.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The group.
    pub group_id: String,
    /// The generation that the member is in.
    pub generation: Generation,
    /// The member.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
}

/// Takes members out of a group.
#[derive(Debug, Clone)]
pub struct Leave {
    /// The group.
    pub group_id: String,
    /// Who leaves.
    pub members: Vec<Leaver>,
}

/// A member that leaves.
#[derive(Debug, Clone)]
pub struct Leaver {
    /// Its id; empty if it is named by its instance id alone, as an administrator does.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
}

/// Commits offsets.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The group.
    pub group_id: String,
    /// The generation of the member, or [`Generation::NONE`] from who is no member.
    pub generation: Generation,
    /// The member, or empty.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// How long the offsets are to be kept: versions 2 to 4 of the request. `None` leaves it to the broker's setting.
    pub retention_ms: Option<i64>,
    /// Whether GROUP_ID_NOT_FOUND may be answered (from version 9); else it is ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    /// The offsets.
    pub topics: Vec<CommitTopic>,
}

/// The offsets of one topic.
#[derive(Debug, Clone)]
pub struct CommitTopic {
    /// The topic.
    pub topic: TopicName,
    /// Its id, or [`TopicId::ZERO`] where it is not known. It is kept with the offset.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<CommitPartition>,
}

/// The offset of one partition.
#[derive(Debug, Clone)]
pub struct CommitPartition {
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The epoch of the last record read, or [`LeaderEpoch::NONE`].
    pub leader_epoch: LeaderEpoch,
    /// What the consumer wants to keep with it. Null on the wire becomes empty.
    pub metadata: String,
}

/// Asks for committed offsets.
#[derive(Debug, Clone)]
pub struct FetchOffsets {
    /// The group.
    pub group_id: String,
    /// The topics and their partitions; `None` asks for all that have offsets.
    pub topics: Option<Vec<FetchTopic>>,
    /// Whether offsets that a transaction may still change are refused (KIP-447).
    pub require_stable: bool,
}

/// Partitions of one topic, whose offsets are asked for.
#[derive(Debug, Clone)]
pub struct FetchTopic {
    /// The topic.
    pub topic: TopicName,
    /// Its id, or [`TopicId::ZERO`] from who does not know it (before version 10). An offset that was committed for an
    /// earlier topic of the same name is not told to who asks by id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Deletes committed offsets.
#[derive(Debug, Clone)]
pub struct DeleteOffsets {
    /// The group.
    pub group_id: String,
    /// The topics and partitions.
    pub topics: Vec<DeleteTopic>,
}

/// Partitions of one topic, whose offsets are to be deleted.
#[derive(Debug, Clone)]
pub struct DeleteTopic {
    /// The topic.
    pub topic: TopicName,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Asks for the groups there are.
#[derive(Debug, Clone)]
pub struct List {
    /// The states to show, of those that there are.
    pub(crate) states: Vec<&'static str>,
    /// The types to show, of those that there are.
    pub(crate) types: Vec<&'static str>,
}

impl List {
    /// A request for the groups in these states and of these types, in any case; no names let all pass (KIP-518, KIP-848).
    ///
    /// The names may be as many as fit into a request: they are gone through here once, and not for each shard and group.
    pub fn new<'a>(
        states: impl IntoIterator<Item = &'a str>,
        types: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            states: chosen(states, &State::ALL.map(State::name)),
            types: chosen(types, &Group::TYPE_NAMES),
        }
    }
}

/// The names that a filter lets pass.
fn chosen<'a>(filter: impl IntoIterator<Item = &'a str>, names: &[&'static str]) -> Vec<&'static str> {
    let mut filter = filter.into_iter().peekable();
    if filter.peek().is_none() {
        return names.to_vec();
    }
    let mut passing = vec![false; names.len()];
    for wanted in filter {
        for (name, passes) in names.iter().zip(&mut passing) {
            *passes |= wanted.eq_ignore_ascii_case(name);
        }
    }
    names.iter().zip(passing).filter_map(|(name, passes)| passes.then_some(*name)).collect()
}

/// Asks for groups in detail.
#[derive(Debug, Clone)]
pub struct Describe {
    /// The groups.
    pub group_ids: Vec<String>,
}

/// Deletes a group with its offsets.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The group.
    pub group_id: String,
}
