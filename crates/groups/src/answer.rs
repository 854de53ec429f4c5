//! What a [`Shard`](crate::Shard) answers.

use bytes::Bytes;
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicName};

use crate::request::Generation;

/// The answer to a request, of the variant of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// To JoinGroup.
    Join(JoinAnswer),
    /// To SyncGroup.
    Sync(SyncAnswer),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To LeaveGroup.
    Leave(LeaveAnswer),
    /// To OffsetCommit: each partition of the request, in its order.
    Commit(Vec<CommittedTopic>),
    /// To OffsetFetch.
    FetchOffsets(FetchOffsetsAnswer),
    /// To OffsetDelete.
    DeleteOffsets(DeleteOffsetsAnswer),
    /// To ListGroups.
    List(Vec<ListedGroup>),
    /// To DescribeGroups: each group of the request, in its order.
    Describe(Vec<DescribedGroup>),
    /// To DeleteGroups.
    Delete(ErrorCode),
}

/// To a member that joined, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    /// Why not.
    pub error: ErrorCode,
    /// The generation, or [`Generation::NONE`] with an error.
    pub generation: Generation,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen. Versions before 7 of the answer have no null, and say empty.
    pub protocol_name: Option<String>,
    /// The member that assigns; empty with an error.
    pub leader: String,
    /// Whether the leader is to leave the assignment as it is (KIP-814).
    pub skip_assignment: bool,
    /// The member's id, new or as it was.
    pub member_id: String,
    /// To the leader: all members. To the others: none.
    pub members: Vec<JoinedMember>,
}

/// A member, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
}

/// To a member that synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Why not.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol_name: Option<String>,
    /// What the leader assigned to this member; empty with an error.
    pub assignment: Bytes,
}

/// To LeaveGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveAnswer {
    /// Of the request as a whole.
    pub error: ErrorCode,
    /// Each leaver of the request, in its order; none with an error of the whole.
    pub members: Vec<LeftMember>,
}

/// How one leaver fared. Versions before 3 have one leaver, and its error is the answer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftMember {
    /// The member, as in the request.
    pub member_id: String,
    /// Its instance id, as in the request.
    pub instance_id: Option<String>,
    /// Why it did not leave.
    pub error: ErrorCode,
}

/// How the commits of one topic fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedTopic {
    /// The topic.
    pub topic: TopicName,
    /// Its id, as in the request.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<(i32, ErrorCode)>,
}

/// To OffsetFetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOffsetsAnswer {
    /// Of the group as a whole.
    pub error: ErrorCode,
    /// Each partition asked for, in order; or all that have offsets.
    pub topics: Vec<FetchedTopic>,
}

/// Committed offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic.
    pub topic: TopicName,
    /// The partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// The committed offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: i32,
    /// The id of the topic that it was committed for; [`TopicId::ZERO`] where that is not known, or nothing is committed.
    pub topic_id: TopicId,
    /// The offset, or `Offset(-1)` where nothing is committed.
    pub offset: Offset,
    /// The epoch it was committed with, or [`LeaderEpoch::NONE`].
    pub leader_epoch: LeaderEpoch,
    /// What was committed with it.
    pub metadata: String,
    /// Why it is not told.
    pub error: ErrorCode,
}

/// To OffsetDelete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOffsetsAnswer {
    /// Of the request as a whole.
    pub error: ErrorCode,
    /// Each partition of the request; none with an error of the whole.
    pub topics: Vec<(TopicName, Vec<(i32, ErrorCode)>)>,
}

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// Its protocol type; empty for a group that only holds offsets.
    pub protocol_type: String,
    /// Its state, as Kafka names it: `Stable`.
    pub state: &'static str,
    /// Its type, as Kafka names it: `classic`.
    pub group_type: &'static str,
}

/// A group in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// GROUP_ID_NOT_FOUND for a group that is not there, whose state is `Dead`. Versions before 6 say no error.
    pub error: ErrorCode,
    /// The reason in words, from version 6.
    pub error_message: Option<String>,
    /// The group.
    pub group_id: String,
    /// Its state, as Kafka names it.
    pub state: &'static str,
    /// Its protocol type.
    pub protocol_type: String,
    /// The chosen protocol; told of a stable group only.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// The member.
    pub member_id: String,
    /// Its instance id.
    pub instance_id: Option<String>,
    /// The client id that it joined with.
    pub client_id: String,
    /// The host that it joined from.
    pub client_host: String,
    /// Its metadata under the chosen protocol; of a stable group only.
    pub metadata: Bytes,
    /// Its assignment; of a stable group only.
    pub assignment: Bytes,
}

impl JoinAnswer {
    /// The answer to a member that may not join, or not yet.
    #[must_use]
    pub fn refused(error: ErrorCode, member_id: &str) -> Self {
        Self {
            error,
            generation: Generation::NONE,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        }
    }
}

impl LeaveAnswer {
    /// The answer to a request that is refused as a whole.
    #[must_use]
    pub fn refused(error: ErrorCode) -> Self {
        Self { error, members: Vec::new() }
    }
}

impl Answer {
    pub(crate) fn refused_sync(error: ErrorCode) -> Self {
        let assignment = Bytes::new();
        Self::Sync(SyncAnswer { error, protocol_type: None, protocol_name: None, assignment })
    }

    /// What becomes of an answer when the records that it waited for cannot be written, or the shard stops.
    pub(crate) fn into_failed(self, error: ErrorCode) -> Self {
        let failed =
            |(partition, own): (i32, ErrorCode)| (partition, if own.is_error() { own } else { error });
        match self {
            Self::Join(answer) => Self::Join(JoinAnswer::refused(error, &answer.member_id)),
            Self::Sync(_) => Self::refused_sync(error),
            Self::Heartbeat(_) => Self::Heartbeat(error),
            Self::Leave(_) => Self::Leave(LeaveAnswer::refused(error)),
            Self::Commit(mut topics) => {
                for topic in &mut topics {
                    topic.partitions =
                        std::mem::take(&mut topic.partitions).into_iter().map(failed).collect();
                }
                Self::Commit(topics)
            }
            Self::FetchOffsets(_) => Self::FetchOffsets(FetchOffsetsAnswer { error, topics: Vec::new() }),
            Self::DeleteOffsets(_) => Self::DeleteOffsets(DeleteOffsetsAnswer { error, topics: Vec::new() }),
            Self::Delete(_) => Self::Delete(error),
            // Read from what is committed, so they never wait.
            answer @ (Self::List(_) | Self::Describe(_)) => answer,
        }
    }
}
