//! DescribeProducers.

use ottla_records::BatchBuilder;
use ottla_types::{ErrorCode, ProducerEpoch, ProducerId};
use ottla_wire::describe_producers::{
    DescribeProducersRequest, PartitionResponse, ProducerState, TopicRequest,
};

use crate::common::{Client, TestBroker, batch, error};

async fn describe(client: &mut Client, topic: &str, index: i32) -> PartitionResponse {
    let topic =
        TopicRequest { name: topic.into(), partition_indexes: vec![index], ..TopicRequest::default() };
    let request = DescribeProducersRequest { topics: vec![topic], ..DescribeProducersRequest::default() };
    client.call(0, request).await.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn idempotent_producers_are_remembered_with_their_last_batch() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 0, &[50]).await;
    assert!(
        describe(&mut client, "t", 0).await.active_producers.is_empty(),
        "a plain producer leaves no trace"
    );
    let producer = |id, sequence| BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(3), sequence);
    for (builder, timestamps) in
        [(producer(7, 0), &[100, 200][..]), (producer(7, 2), &[400, 300]), (producer(5, 0), &[10])]
    {
        let answer = client.produce_batch("t", 0, batch(builder, timestamps)).await;
        assert_eq!(error(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    }
    let state = |producer_id, last_sequence, last_timestamp| ProducerState {
        producer_id,
        producer_epoch: 3,
        last_sequence,
        last_timestamp,
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
        ..ProducerState::default()
    };
    let described = describe(&mut client, "t", 0).await;
    assert_eq!((described.partition_index, error(described.error_code)), (0, ErrorCode::None));
    assert_eq!(described.active_producers, [state(5, 0, 10), state(7, 3, 400)]);
    assert!(
        describe(&mut client, "t", 1).await.active_producers.is_empty(),
        "another partition knows nothing of it"
    );

    let broker = broker.restart().await;
    let described = describe(&mut broker.connect().await, "t", 0).await;
    assert_eq!(described.active_producers, [state(5, 0, 10), state(7, 3, 400)], "a restart forgets nobody");
}

#[tokio::test]
async fn what_does_not_exist_is_unknown_and_what_cannot_exist_is_invalid() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for (topic, index, expected) in [
        ("t", 1, ErrorCode::UnknownTopicOrPartition),
        ("u", 0, ErrorCode::UnknownTopicOrPartition),
        ("no topic", 0, ErrorCode::InvalidTopicException),
    ] {
        let described = describe(&mut client, topic, index).await;
        assert_eq!((described.partition_index, error(described.error_code)), (index, expected), "{topic}");
        assert!(described.error_message.is_some_and(|message| message.contains(topic)));
    }
}
