//! ElectLeaders: preferred or unclean elections of some partitions or all (KIP-183, KIP-460).
//!
//! Who may lead is the controller's to say.

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::replication::elections::{ElectionResult, ElectionType};
use ottla_wire::Str;
use ottla_wire::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};

use super::within::within;
use crate::broker::Core;
use crate::context::RequestContext;

/// The first version with an error of the whole request.
const ERROR_SINCE: i16 = 1;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let topics = request.topic_partitions;
    match within(request.timeout_ms, elect(core, request.election_type, topics.as_deref())).await {
        Ok(results) => ElectLeadersResponse {
            replica_election_results: by_topic(results),
            ..ElectLeadersResponse::default()
        },
        Err(refused) => ElectLeadersResponse {
            error_code: if context.version >= ERROR_SINCE { refused.error.code() } else { 0 },
            replica_election_results: match topics.as_deref() {
                Some(topics) => by_topic(all_refused(topics, &refused)),
                None => by_topic(first_refused(&core.metadata.image(), refused)),
            },
            ..ElectLeadersResponse::default()
        },
    }
}

async fn elect(
    core: &Core,
    election_type: i8,
    topics: Option<&[TopicPartitions]>,
) -> Result<Vec<ElectionResult>, Refused> {
    let election = ElectionType::from_code(election_type)?;
    let partitions: Option<Vec<_>> = topics.map(|topics| named(topics).collect());
    // No partitions are none, and not all of them.
    if partitions.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    core.change(|controller| controller.elect_leaders(election, partitions.as_deref())).await
}

fn named(topics: &[TopicPartitions]) -> impl Iterator<Item = (String, i32)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.to_string(), *index)))
}

/// Every partition of the request, with the error of the request: version 0 has no other place for it.
fn all_refused(topics: &[TopicPartitions], refused: &Refused) -> Vec<ElectionResult> {
    named(topics)
        .map(|(topic, index)| ElectionResult { topic, index, result: Err(refused.clone()) })
        .collect()
}

/// The first partition that there is, with the error of a request for all of them: an error of the whole request has no words,
/// and the same words at each of many partitions would be a large answer.
fn first_refused(image: &Image, refused: Refused) -> Vec<ElectionResult> {
    let first = image.topics().next().map(|topic| topic.name.to_string());
    let result = |topic| ElectionResult { topic, index: 0, result: Err(refused) };
    first.map(result).into_iter().collect()
}

/// The results with those of a topic in a row together.
fn by_topic(results: Vec<ElectionResult>) -> Vec<ReplicaElectionResult> {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for result in results {
        let topic = Str::from(&result.topic);
        let partition = partition_result(result);
        match topics.last_mut().filter(|last| last.topic == topic) {
            Some(last) => last.partition_result.push(partition),
            None => topics.push(ReplicaElectionResult {
                topic,
                partition_result: vec![partition],
                ..ReplicaElectionResult::default()
            }),
        }
    }
    topics
}

fn partition_result(result: ElectionResult) -> PartitionResult {
    let (error_code, error_message) = match result.result {
        Ok(()) => (0, None),
        Err(refused) => (refused.error.code(), Some(refused.message.into())),
    };
    PartitionResult { partition_id: result.index, error_code, error_message, ..PartitionResult::default() }
}

#[cfg(test)]
mod tests {
    use ottla_types::ErrorCode;

    use super::*;

    #[test]
    fn a_refused_request_is_answered_for_each_partition_that_it_names() {
        let topic = |topic: &str, partitions: &[i32]| TopicPartitions {
            topic: topic.into(),
            partitions: partitions.to_vec(),
            ..TopicPartitions::default()
        };
        let refused = Refused { error: ErrorCode::NotController, message: "not here".to_owned() };
        let topics = [topic("a", &[2, 0]), topic("b", &[1])];
        let results = by_topic(all_refused(&topics, &refused));
        let codes = |result: &ReplicaElectionResult| {
            result.partition_result.iter().map(|p| (p.partition_id, p.error_code)).collect::<Vec<_>>()
        };
        let code = ErrorCode::NotController.code();
        assert_eq!(results.len(), 2);
        assert_eq!((&*results[0].topic, codes(&results[0])), ("a", vec![(2, code), (0, code)]));
        assert_eq!((&*results[1].topic, codes(&results[1])), ("b", vec![(1, code)]));
        assert_eq!(by_topic(first_refused(&Image::default(), refused)), [], "there is nothing to elect");
    }
}
