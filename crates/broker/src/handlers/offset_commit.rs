//! OffsetCommit: keeps how far a group has read (KIP-211, KIP-320, KIP-345, KIP-848).
//!
//! Whether there is such a partition is looked up here: the coordinator keeps offsets and knows no topics.

use ottla_groups::request::{Commit, CommitPartition, CommitTopic};
use ottla_groups::{Generation, Request};
use ottla_metadata::Image;
use ottla_metadata::image::TopicImage;
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version that names topics by id (KIP-848).
const TOPIC_IDS_SINCE: i16 = 10;

/// The first version that may be told that there is no such group.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 9;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: OffsetCommitRequest) -> Answer {
    let image = core.metadata.image();
    let (checked, topics) = check(&image, context.version, request.topics);
    if topics.is_empty() {
        return checked.response(Ok(ottla_groups::Answer::Commit(Vec::new()))).into();
    }
    let commit = Commit {
        group_id: request.group_id.into(),
        generation: Generation(request.generation_id_or_member_epoch),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(String::from),
        retention_ms: Some(request.retention_time_ms).filter(|retention_ms| *retention_ms != -1),
        knows_group_id_not_found: context.version >= GROUP_ID_NOT_FOUND_SINCE,
        topics,
    };
    let group_id = commit.group_id.clone();
    let asked = core.groups.ask(&image, &group_id, Request::Commit(commit)).await;
    respond(asked, move |reply| checked.response(reply))
}

/// The answer as far as it is known before the coordinator is asked.
struct Checked {
    topics: Vec<OffsetCommitResponseTopic>,
    /// The places of the partitions that the coordinator is asked about, in their order.
    asked: Vec<(usize, usize)>,
}

/// Tells apart what there is and what there is not.
fn check(image: &Image, version: i16, topics: Vec<OffsetCommitRequestTopic>) -> (Checked, Vec<CommitTopic>) {
    let mut checked = Checked { topics: Vec::with_capacity(topics.len()), asked: Vec::new() };
    let mut commits = Vec::with_capacity(topics.len());
    for topic in topics {
        let (known, unknown) = if version >= TOPIC_IDS_SINCE {
            (image.topic(topic.topic_id.into()), ErrorCode::UnknownTopicId)
        } else {
            (image.topic_by_name(&topic.name), ErrorCode::UnknownTopicOrPartition)
        };
        let place = checked.topics.len();
        let mut answers = Vec::with_capacity(topic.partitions.len());
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let error = match known {
                None => unknown,
                Some(known) if known.partition(partition.partition_index).is_none() => {
                    ErrorCode::UnknownTopicOrPartition
                }
                Some(_) => ErrorCode::None,
            };
            if !error.is_error() {
                checked.asked.push((place, answers.len()));
            }
            answers.push(answer(partition.partition_index, error));
            if !error.is_error() {
                partitions.push(commit(partition));
            }
        }
        if let Some(known) = known.filter(|_| !partitions.is_empty()) {
            commits.push(commit_topic(known, partitions));
        }
        checked.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: answers,
            ..OffsetCommitResponseTopic::default()
        });
    }
    (checked, commits)
}

fn commit_topic(topic: &TopicImage, partitions: Vec<CommitPartition>) -> CommitTopic {
    CommitTopic { topic: topic.name.clone(), topic_id: topic.id, partitions }
}

fn commit(partition: OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        partition: partition.partition_index,
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.map(String::from).unwrap_or_default(),
    }
}

fn answer(partition_index: i32, error: ErrorCode) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition {
        partition_index,
        error_code: error.code(),
        ..OffsetCommitResponsePartition::default()
    }
}

impl Checked {
    fn response(mut self, reply: Reply) -> OffsetCommitResponse {
        let (mut errors, missing) = match reply_of!(Commit, reply) {
            Ok(topics) => {
                let errors = topics.into_iter().flat_map(|topic| topic.partitions);
                (errors.map(|(_, error)| error).collect::<Vec<_>>(), ErrorCode::UnknownServerError)
            }
            Err(error) => (Vec::new(), error),
        };
        errors.resize(self.asked.len(), missing);
        for ((topic, partition), error) in self.asked.iter().zip(errors) {
            let topic = self.topics.get_mut(*topic);
            if let Some(answer) = topic.and_then(|topic| topic.partitions.get_mut(*partition)) {
                answer.error_code = error.code();
            }
        }
        OffsetCommitResponse { topics: self.topics, ..OffsetCommitResponse::default() }
    }
}
