//! OffsetCommit.

use ottla_types::{ErrorCode, Offset};

use crate::answer::{Answer, CommittedTopic};
use crate::effect::Ticket;
use crate::group::Group;
use crate::groups::Groups;
use crate::record::{OffsetValue, fits};
use crate::request::{Commit, CommitPartition, CommitTopic, Generation};
use crate::shard::response_error;
use crate::turn::Turn;

/// The most bytes that the keys of one commit may take. Each partition of the request, of which it may name one many
/// times in a few bytes, has the group's and the topic's name in its key: what a small frame asks for must not fill the
/// memory before the log finds it too large. As long as the longest request by default.
const MAX_KEYS_BYTES: usize = 100 * 1024 * 1024;

/// What a key takes besides the names.
const KEY_BYTES: usize = 10;

impl Groups {
    /// Decides a commit. Its answer waits until it is in the log.
    pub(crate) fn commit(&mut self, ticket: Ticket, request: Commit, turn: &mut Turn<'_>) {
        let checked = check_size(&request).and_then(|()| self.check_commit(&request, turn));
        if let Err(error) = checked {
            return turn.answer(ticket, Answer::Commit(commit_errors(&request, error)));
        }
        let expire_timestamp_ms =
            request.retention_ms.map(|retention_ms| turn.now_ms.saturating_add(retention_ms));
        let mut answer = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for CommitPartition { partition, offset, leader_epoch, metadata } in topic.partitions {
                if is_too_long(&metadata, turn.config.offset_metadata_max_bytes) {
                    partitions.push((partition, ErrorCode::OffsetMetadataTooLarge));
                    continue;
                }
                let value = OffsetValue {
                    offset,
                    leader_epoch,
                    metadata: metadata.into_boxed_str(),
                    commit_timestamp_ms: turn.now_ms,
                    expire_timestamp_ms,
                    topic_id: topic.topic_id,
                };
                self.set_offset(&request.group_id, &topic.topic, partition, value, turn);
                partitions.push((partition, ErrorCode::None));
            }
            answer.push(CommittedTopic { topic: topic.topic, topic_id: topic.topic_id, partitions });
        }
        turn.answer_when_committed(ticket, Answer::Commit(answer));
    }

    fn check_commit(&mut self, request: &Commit, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        match self.group_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                group.check_commit(request)?;
                group.committing(&request.member_id, turn);
                Ok(())
            }
            // A consumer without a group, or an administrator: the group comes to be with the offsets.
            None if request.generation < Generation(0) => {
                if fits(&request.group_id) {
                    Ok(())
                } else {
                    Err(ErrorCode::InvalidGroupId)
                }
            }
            None if request.knows_group_id_not_found => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }
}

/// Refuses what is too large, as one whose records do not fit into a batch.
fn check_size(request: &Commit) -> Result<(), ErrorCode> {
    let of_topic = |topic: &CommitTopic| {
        let of_partition = KEY_BYTES + request.group_id.len() + topic.topic.as_str().len();
        of_partition.saturating_mul(topic.partitions.len())
    };
    let keys_bytes = request.topics.iter().map(of_topic).fold(0, usize::saturating_add);
    if keys_bytes > MAX_KEYS_BYTES { Err(response_error(ErrorCode::MessageTooLarge)) } else { Ok(()) }
}

/// Whether metadata is longer than `offset.metadata.max.bytes`, which Kafka counts in UTF-16 units despite its name; or
/// than a record can hold.
fn is_too_long(metadata: &str, max: usize) -> bool {
    !fits(metadata) || (metadata.len() > max && metadata.encode_utf16().count() > max)
}

/// The same error for each partition of a commit.
fn commit_errors(request: &Commit, error: ErrorCode) -> Vec<CommittedTopic> {
    let topics = request.topics.iter().map(|topic| CommittedTopic {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(|partition| (partition.partition, error)).collect(),
    });
    topics.collect()
}

/// What stands for "nothing is committed".
pub(super) const NO_OFFSET: Offset = Offset(-1);
