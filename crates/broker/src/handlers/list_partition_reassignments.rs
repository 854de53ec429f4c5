//! ListPartitionReassignments: the partitions that are moving (KIP-455).
//!
//! The active controller is asked, although every broker could tell: who has begun a move through one broker finds it through
//! any other.

use ottla_metadata::Decision;
use ottla_metadata::controller::replication::reassign::OngoingReassignment;
use ottla_types::BrokerId;
use ottla_wire::Str;
use ottla_wire::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, ListPartitionReassignmentsTopics,
    OngoingPartitionReassignment, OngoingTopicReassignment,
};

use crate::broker::Core;

pub(crate) async fn handle(
    core: &Core,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let only: Option<Vec<_>> = request.topics.map(|topics| topics.iter().flat_map(named).collect());
    // Nothing is changed; what is decided by now is committed when this is answered.
    let ongoing = core.change(|controller| {
        let ongoing = controller.speculative().reassignments(only.as_deref());
        Decision::unchanged(ongoing)
    });
    match ongoing.await {
        Ok(ongoing) => ListPartitionReassignmentsResponse {
            error_message: None,
            topics: by_topic(ongoing),
            ..ListPartitionReassignmentsResponse::default()
        },
        Err(refused) => ListPartitionReassignmentsResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..ListPartitionReassignmentsResponse::default()
        },
    }
}

fn named(topic: &ListPartitionReassignmentsTopics) -> impl Iterator<Item = (String, i32)> {
    topic.partition_indexes.iter().map(|index| (topic.name.to_string(), *index))
}

/// The partitions with those of a topic in a row together.
fn by_topic(ongoing: Vec<OngoingReassignment>) -> Vec<OngoingTopicReassignment> {
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for one in ongoing {
        let name = Str::from(one.topic.as_str());
        let partition = partition(&one);
        match topics.last_mut().filter(|last| last.name == name) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(OngoingTopicReassignment {
                name,
                partitions: vec![partition],
                ..OngoingTopicReassignment::default()
            }),
        }
    }
    topics
}

fn partition(ongoing: &OngoingReassignment) -> OngoingPartitionReassignment {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect();
    OngoingPartitionReassignment {
        partition_index: ongoing.index,
        replicas: ids(&ongoing.replicas),
        adding_replicas: ids(&ongoing.reassignment.adding),
        removing_replicas: ids(&ongoing.reassignment.removing),
        ..OngoingPartitionReassignment::default()
    }
}
