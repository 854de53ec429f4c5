//! OffsetDelete: forgets how far a group has read (KIP-496).

use ottla_groups::Request;
use ottla_groups::request::{DeleteOffsets, DeleteTopic};
use ottla_metadata::Image;
use ottla_types::ErrorCode;
use ottla_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::Answer;
use crate::coordinator::Reply;

pub(crate) async fn handle(core: &Core, request: OffsetDeleteRequest) -> Answer {
    let image = core.metadata.image();
    let (checked, topics) = check(&image, request.topics);
    let delete = DeleteOffsets { group_id: request.group_id.into(), topics };
    let group_id = delete.group_id.clone();
    // Also where no partition is left to ask about: whether there is such a group is told in any case.
    let asked = core.groups.ask(&image, &group_id, Request::DeleteOffsets(delete)).await;
    respond(asked, move |reply| checked.response(reply))
}

/// The answer as far as it is known before the coordinator is asked.
struct Checked {
    topics: Vec<OffsetDeleteResponseTopic>,
    /// The places of the partitions that the coordinator is asked about, in their order.
    asked: Vec<(usize, usize)>,
}

fn check(image: &Image, topics: Vec<OffsetDeleteRequestTopic>) -> (Checked, Vec<DeleteTopic>) {
    let mut checked = Checked { topics: Vec::with_capacity(topics.len()), asked: Vec::new() };
    let mut wanted = Vec::new();
    for topic in topics {
        let known = image.topic_by_name(&topic.name);
        let place = checked.topics.len();
        let mut partitions = Vec::new();
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let is_there = known.is_some_and(|known| known.partition(index).is_some());
            let error = if is_there { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            if is_there {
                checked.asked.push((place, answers.len()));
                partitions.push(index);
            }
            answers.push(OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: error.code(),
                ..OffsetDeleteResponsePartition::default()
            });
        }
        if let Some(known) = known.filter(|_| !partitions.is_empty()) {
            wanted.push(DeleteTopic { topic: known.name.clone(), partitions });
        }
        checked.topics.push(OffsetDeleteResponseTopic {
            name: topic.name,
            partitions: answers,
            ..OffsetDeleteResponseTopic::default()
        });
    }
    (checked, wanted)
}

impl Checked {
    fn response(mut self, reply: Reply) -> OffsetDeleteResponse {
        let deleted = match reply_of!(DeleteOffsets, reply) {
            Ok(deleted) if !deleted.error.is_error() => deleted,
            Ok(ottla_groups::answer::DeleteOffsetsAnswer { error, .. }) | Err(error) => {
                return OffsetDeleteResponse { error_code: error.code(), ..OffsetDeleteResponse::default() };
            }
        };
        let errors = deleted.topics.into_iter().flat_map(|(_, partitions)| partitions);
        for ((topic, partition), (_, error)) in self.asked.iter().zip(errors) {
            let topic = self.topics.get_mut(*topic);
            if let Some(answer) = topic.and_then(|topic| topic.partitions.get_mut(*partition)) {
                answer.error_code = error.code();
            }
        }
        OffsetDeleteResponse { topics: self.topics, ..OffsetDeleteResponse::default() }
    }
}
