//! DescribeProducers: the idempotent and transactional producers that partitions remember (KIP-664).

use std::collections::BTreeSet;

use ottla_log::ActiveProducer;
use ottla_types::{ErrorCode, TopicName};
use ottla_wire::Str;
use ottla_wire::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use crate::broker::Core;
use crate::partitions::TopicRef;

pub(crate) fn handle(core: &Core, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let mut seen = BTreeSet::new();
    let topics = request.topics.into_iter().map(|topic| TopicResponse {
        partitions: topic
            .partition_indexes
            .iter()
            // One that is asked for again is not answered again: a partition may remember many producers.
            .filter(|&&index| seen.insert((topic.name.clone(), index)))
            .map(|&index| partition(core, &topic.name, index))
            .collect(),
        name: topic.name,
        ..TopicResponse::default()
    });
    DescribeProducersResponse { topics: topics.collect(), ..DescribeProducersResponse::default() }
}

fn partition(core: &Core, topic: &str, partition_index: i32) -> PartitionResponse {
    let response = PartitionResponse { partition_index, ..PartitionResponse::default() };
    match producers(core, topic, partition_index) {
        Ok(active_producers) => PartitionResponse { active_producers, ..response },
        Err((error, message)) => {
            PartitionResponse { error_code: error.code(), error_message: Some(message), ..response }
        }
    }
}

/// A follower answers too: it remembers the same producers as its leader.
fn producers(core: &Core, topic: &str, index: i32) -> Result<Vec<ProducerState>, (ErrorCode, Str)> {
    TopicName::new(topic).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string().into()))?;
    let partition = core
        .find_partition(TopicRef::Name(topic), index)
        .map_err(|error| (error, format!("{topic}-{index} cannot be described here: {error}").into()))?;
    Ok(partition.log.producers().into_iter().map(state).collect())
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.producer_epoch.0),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.current_txn_start_offset.map_or(-1, |offset| offset.0),
        ..ProducerState::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::{Offset, ProducerEpoch, ProducerId};

    use super::*;

    #[test]
    fn a_producer_without_an_open_transaction_has_no_start_of_one() {
        let producer = ActiveProducer {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(2),
            last_sequence: 41,
            last_timestamp_ms: 1000,
            coordinator_epoch: -1,
            current_txn_start_offset: None,
        };
        assert_eq!(state(producer).current_txn_start_offset, -1);
        let open = ActiveProducer { current_txn_start_offset: Some(Offset(5)), ..producer };
        let expected = ProducerState {
            producer_id: 7,
            producer_epoch: 2,
            last_sequence: 41,
            last_timestamp: 1000,
            coordinator_epoch: -1,
            current_txn_start_offset: 5,
            ..ProducerState::default()
        };
        assert_eq!(state(open), expected);
    }
}
