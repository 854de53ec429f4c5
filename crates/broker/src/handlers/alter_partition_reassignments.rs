//! AlterPartitionReassignments: where partitions are to lie, or that they stop moving (KIP-455, KIP-860).
//!
//! What such a change is, and when it is done, is the controller's to say; data are copied by the replicas.

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::replication::reassign::{AlterReassignments, WantedReplicas};
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};

use super::within::within;
use crate::broker::Core;

pub(crate) async fn handle(
    core: &Core,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let wanted = AlterReassignments {
        allow_replication_factor_change: request.allow_replication_factor_change,
        partitions: request.topics.iter().flat_map(wanted_of).collect(),
    };
    let outcomes = if wanted.partitions.is_empty() {
        Ok(Vec::new())
    } else {
        let change = core.change(|controller| controller.alter_partition_reassignments(&wanted));
        within(request.timeout_ms, change).await
    };
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        ..AlterPartitionReassignmentsResponse::default()
    };
    match outcomes {
        Ok(outcomes) => {
            AlterPartitionReassignmentsResponse { responses: responses(request.topics, outcomes), ..response }
        }
        Err(refused) => AlterPartitionReassignmentsResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..response
        },
    }
}

fn wanted_of(topic: &ReassignableTopic) -> impl Iterator<Item = WantedReplicas> {
    topic.partitions.iter().map(|partition| WantedReplicas {
        topic: topic.name.to_string(),
        index: partition.partition_index,
        replicas: partition.replicas.as_ref().map(|ids| ids.iter().copied().map(BrokerId).collect()),
    })
}

/// The outcomes, which are in the order of the request, in its form.
fn responses(
    topics: Vec<ReassignableTopic>,
    outcomes: Vec<Result<(), Refused>>,
) -> Vec<ReassignableTopicResponse> {
    let mut outcomes = outcomes.into_iter();
    let mut response = |partition: ReassignablePartition| {
        let outcome = outcomes.next().unwrap_or_else(|| {
            let message = "The controller gave no answer.".to_owned();
            Err(Refused { error: ErrorCode::UnknownServerError, message })
        });
        let (error_code, error_message) = match outcome {
            Ok(()) => (0, None),
            Err(refused) => (refused.error.code(), Some(refused.message.into())),
        };
        ReassignablePartitionResponse {
            partition_index: partition.partition_index,
            error_code,
            error_message,
            ..ReassignablePartitionResponse::default()
        }
    };
    let of_topic = |topic: ReassignableTopic| ReassignableTopicResponse {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(&mut response).collect(),
        ..ReassignableTopicResponse::default()
    };
    topics.into_iter().map(of_topic).collect()
}
