//! Idempotent producers: sequence numbers, duplicates, epochs (KIP-98, KIP-360).

use ottla_types::ErrorCode;
use ottla_wire::init_producer_id::InitProducerIdRequest;

use crate::common::records::{headers, sequenced};
use crate::common::{Client, TestBroker, Topic, error, produce_request};

async fn new_producer_id(client: &mut Client) -> i64 {
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 0, ..Default::default() };
    client.call(5, request).await.producer_id
}

/// Produces `count` records from `sequence` on. Returns the error and the base offset.
async fn produce(
    client: &mut Client,
    topic: &Topic,
    (producer_id, epoch): (i64, i16),
    sequence: i32,
    count: usize,
) -> (ErrorCode, i64) {
    let batch = sequenced(producer_id, epoch, sequence, count);
    let answer = client.produce_to(13, -1, topic, 0, batch).await;
    (error(answer.error_code), answer.base_offset)
}

#[tokio::test]
async fn each_of_the_last_five_batches_is_answered_again_and_not_written_again() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 0);
    for nth in 0..6 {
        let written = produce(&mut client, &topic, producer, nth * 2, 2).await;
        assert_eq!(written, (ErrorCode::None, i64::from(nth) * 2));
    }
    for nth in 1..6 {
        for version in [3, 13] {
            let batch = sequenced(producer.0, 0, nth * 2, 2);
            let again = client.produce_to(version, -1, &topic, 0, batch).await;
            assert_eq!((error(again.error_code), again.base_offset), (ErrorCode::None, i64::from(nth) * 2));
        }
    }
    let forgotten = produce(&mut client, &topic, producer, 0, 2).await;
    assert_eq!(forgotten, (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(client.produce("t", 0, &[1]).await, 12, "nothing was written twice");
}

#[tokio::test]
async fn a_duplicate_in_flight_behind_its_original_is_answered_alike() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("flush.messages", "1")]).await;
    let producer = new_producer_id(&mut client).await;
    for _ in 0..3 {
        client.send(13, produce_request(-1, vec![topic.records(0, sequenced(producer, 0, 0, 3))])).await;
    }
    for _ in 0..3 {
        let response = client.receive::<ottla_wire::produce::ProduceRequest>(13).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((error(answer.error_code), answer.base_offset), (ErrorCode::None, 0));
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 3);
}

#[tokio::test]
async fn a_gap_or_an_overlap_is_out_of_order_and_what_follows_the_last_batch_is_taken() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 0);
    assert_eq!(produce(&mut client, &topic, producer, 0, 3).await, (ErrorCode::None, 0));
    for (sequence, count) in [(4, 1), (2, 1), (0, 2), (0, 4), (1, 3), (i32::MAX, 1)] {
        let refused = produce(&mut client, &topic, producer, sequence, count).await;
        assert_eq!(refused, (ErrorCode::OutOfOrderSequenceNumber, -1), "{count} from {sequence}");
    }
    assert_eq!(produce(&mut client, &topic, producer, 3, 1).await, (ErrorCode::None, 3));
}

#[tokio::test]
async fn a_refusal_tells_why_and_where_the_log_starts() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 0);
    produce(&mut client, &topic, producer, 0, 1).await;
    let answer = client.produce_to(13, -1, &topic, 0, sequenced(producer.0, 0, 5, 1)).await;
    let message = answer.error_message.unwrap();
    assert!(
        message.contains(&format!("producer {}", producer.0)) && message.contains("sequence 5"),
        "{message}"
    );
    assert_eq!(answer.log_start_offset, 0);
}

#[tokio::test]
async fn a_producer_that_is_not_known_begins_at_any_sequence() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 0);
    assert_eq!(produce(&mut client, &topic, producer, 17, 1).await, (ErrorCode::None, 0));
    assert_eq!(produce(&mut client, &topic, producer, 18, 1).await, (ErrorCode::None, 1));
}

#[tokio::test]
async fn sequence_numbers_wrap_to_zero() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 0);
    assert_eq!(produce(&mut client, &topic, producer, i32::MAX - 1, 4).await, (ErrorCode::None, 0));
    assert_eq!(produce(&mut client, &topic, producer, i32::MAX - 1, 4).await, (ErrorCode::None, 0));
    assert_eq!(produce(&mut client, &topic, producer, 2, 1).await, (ErrorCode::None, 4));
}

#[tokio::test]
async fn a_new_epoch_begins_at_zero_and_shuts_out_the_one_before() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let id = new_producer_id(&mut client).await;
    assert_eq!(produce(&mut client, &topic, (id, 0), 0, 2).await, (ErrorCode::None, 0));
    let not_zero = produce(&mut client, &topic, (id, 1), 2, 1).await;
    assert_eq!(not_zero, (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(produce(&mut client, &topic, (id, 0), 2, 1).await, (ErrorCode::None, 2), "not begun yet");
    assert_eq!(produce(&mut client, &topic, (id, 1), 0, 1).await, (ErrorCode::None, 3));
    for sequence in [0, 2, 3] {
        let fenced = produce(&mut client, &topic, (id, 0), sequence, 1).await;
        assert_eq!(fenced, (ErrorCode::InvalidProducerEpoch, -1));
    }
    assert_eq!(produce(&mut client, &topic, (id, 1), 1, 1).await, (ErrorCode::None, 4));
}

#[tokio::test]
async fn a_producer_id_needs_an_epoch_and_a_sequence() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for (epoch, sequence) in [(-1, 0), (0, -1)] {
        let refused = produce(&mut client, &topic, (7, epoch), sequence, 1).await;
        assert_eq!(refused, (ErrorCode::InvalidRecord, -1));
    }
}

#[tokio::test]
async fn partitions_count_for_themselves() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    let id = new_producer_id(&mut client).await;
    for partition in [0, 1] {
        let data =
            topic.all_records(vec![(partition, sequenced(id, 0, 0, 1)), (partition, sequenced(id, 0, 1, 1))]);
        let response = client.call(13, produce_request(-1, vec![data])).await;
        let offsets: Vec<_> =
            response.responses[0].partition_responses.iter().map(|answer| answer.base_offset).collect();
        assert_eq!(offsets, [0, 1]);
    }
}

#[tokio::test]
async fn what_is_known_of_producers_outlives_the_broker() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = (new_producer_id(&mut client).await, 3);
    produce(&mut client, &topic, producer, 0, 2).await;
    produce(&mut client, &topic, producer, 2, 2).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(produce(&mut client, &topic, producer, 2, 2).await, (ErrorCode::None, 2), "a duplicate");
    assert_eq!(produce(&mut client, &topic, producer, 5, 1).await.0, ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(produce(&mut client, &topic, (producer.0, 2), 0, 1).await.0, ErrorCode::InvalidProducerEpoch);
    assert_eq!(produce(&mut client, &topic, producer, 4, 1).await, (ErrorCode::None, 4));
    let stored = headers(&client.fetch_from(13, &topic, 0).await.records.unwrap());
    let sequences: Vec<_> =
        stored.iter().map(|header| (header.producer_id.0, header.base_sequence)).collect();
    assert_eq!(sequences, [(producer.0, 0), (producer.0, 2), (producer.0, 4)]);
}
