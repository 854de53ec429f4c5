//! CreatePartitions: more partitions for topics that exist (KIP-195).
//!
//! Unlike by Kafka, `__consumer_offsets` gets none: which partition has a group's offsets follows from how many there are.
//! Kafka takes the partitions, counts them at its next start, and finds no group's offsets again.

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::create_partitions::{CreatePartitions, MorePartitions};
use ottla_types::BrokerId;
use ottla_types::topic::CONSUMER_OFFSETS;
use ottla_wire::Str;
use ottla_wire::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::each::{decide_each, invalid_request, once_by_name};
use crate::broker::Core;

/// Not INVALID_PARTITIONS, which is for a count that another would better.
const GROUPS_WOULD_MOVE: &str = "The number of partitions of __consumer_offsets cannot be changed: it says which of them has \
    the offsets of a group, and with another number the groups would lose theirs. Set offsets.topic.num.partitions before the \
    topic is created, which the first group does.";

pub(crate) async fn handle(core: &Core, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let (names, checked): (Vec<_>, Vec<_>) = check(request.topics).into_iter().unzip();
    let (validate_only, seed) = (request.validate_only, core.env.rng.next_u64());
    let outcomes = decide_each(core, checked, |controller, topics| {
        controller.create_partitions(&CreatePartitions { topics, validate_only, seed })
    })
    .await;
    CreatePartitionsResponse {
        results: names.into_iter().zip(outcomes).map(|(name, outcome)| result(name, outcome)).collect(),
        ..CreatePartitionsResponse::default()
    }
}

fn check(topics: Vec<CreatePartitionsTopic>) -> Vec<(Str, Result<MorePartitions, Refused>)> {
    once_by_name(
        topics,
        |topic| &topic.name,
        |topic| {
            if topic.name.as_str() == CONSUMER_OFFSETS {
                return Err(invalid_request(GROUPS_WOULD_MOVE));
            }
            Ok(more_partitions(topic))
        },
    )
}

fn more_partitions(topic: CreatePartitionsTopic) -> MorePartitions {
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    MorePartitions {
        topic: topic.name.into(),
        count: topic.count,
        assignments: topic
            .assignments
            .map(|assignments| assignments.into_iter().map(|a| brokers(a.broker_ids)).collect()),
    }
}

fn result(name: Str, outcome: Result<(), Refused>) -> CreatePartitionsTopicResult {
    match outcome {
        Ok(()) => CreatePartitionsTopicResult { name, ..CreatePartitionsTopicResult::default() },
        Err(refused) => CreatePartitionsTopicResult {
            name,
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..CreatePartitionsTopicResult::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::ErrorCode;
    use ottla_wire::create_partitions::CreatePartitionsAssignment;

    use super::*;

    fn topic(name: &str, count: i32) -> CreatePartitionsTopic {
        CreatePartitionsTopic {
            name: name.into(),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        }
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused_once() {
        let checked = check(vec![topic("a", 2), topic("b", 3), topic("a", 4)]);
        assert_eq!(checked.len(), 2);
        assert_eq!(checked[0], ("a".into(), Err(invalid_request("Duplicate topic name."))));
        assert_eq!(checked[1].1.as_ref().unwrap().count, 3);
    }

    #[test]
    fn the_groups_offsets_stay_in_the_partitions_where_they_are() {
        let checked = check(vec![topic("__consumer_offsets", 60), topic("a", 2)]);
        let refused = checked[0].1.as_ref().unwrap_err();
        assert_eq!(refused.error, ErrorCode::InvalidRequest);
        assert!(refused.message.contains("offsets.topic.num.partitions"), "{}", refused.message);
        assert!(checked[1].1.is_ok());
    }

    #[test]
    fn no_assignment_leaves_the_choice_to_the_controller_and_an_empty_one_does_not() {
        let assignment = CreatePartitionsAssignment { broker_ids: vec![1, 2], ..Default::default() };
        let chosen = CreatePartitionsTopic { assignments: Some(vec![assignment]), ..topic("a", 2) };
        assert_eq!(more_partitions(topic("a", 2)).assignments, None);
        assert_eq!(more_partitions(chosen).assignments, Some(vec![vec![BrokerId(1), BrokerId(2)]]));
    }
}
