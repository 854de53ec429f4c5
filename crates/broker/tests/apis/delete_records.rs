//! DeleteRecords, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use crate::common::{Client, TestBroker, error};

/// Deletes below `offset`. Returns the error and the low watermark.
async fn delete(
    client: &mut Client,
    version: i16,
    topic: &str,
    partition_index: i32,
    offset: i64,
) -> (ErrorCode, i64) {
    let partition = DeleteRecordsPartition { partition_index, offset, ..DeleteRecordsPartition::default() };
    let topic = DeleteRecordsTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let response = client.call(version, request).await;
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.partition_index, partition_index);
    (error(partition.error_code), partition.low_watermark)
}

async fn offset_of(client: &mut Client, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client.call(1, request).await.topics[0].partitions[0].offset
}

async fn fetch_error(client: &mut Client, fetch_offset: i64) -> ErrorCode {
    let partition =
        FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    let request =
        FetchRequest { replica_id: -1, max_bytes: 1 << 20, topics: vec![topic], ..FetchRequest::default() };
    error(client.call(11, request).await.responses[0].partitions[0].error_code)
}

#[tokio::test]
async fn the_log_starts_where_it_was_told_to() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100, 200, 300, 400, 500]).await;
    for version in 0..=2 {
        let offset = i64::from(version) + 1;
        assert_eq!(delete(&mut client, version, "t", 0, offset).await, (ErrorCode::None, offset));
        assert_eq!(offset_of(&mut client, -2).await, offset, "the earliest offset");
        assert_eq!(
            offset_of(&mut client, 0).await,
            offset,
            "a record that is deleted is not found by its time"
        );
        assert_eq!(fetch_error(&mut client, offset - 1).await, ErrorCode::OffsetOutOfRange);
        assert_eq!(fetch_error(&mut client, offset).await, ErrorCode::None);
    }
    assert_eq!(delete(&mut client, 2, "t", 0, 1).await, (ErrorCode::None, 3), "the start never moves back");
}

#[tokio::test]
async fn the_start_outlives_the_broker() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100, 200, 300]).await;
    assert_eq!(delete(&mut client, 2, "t", 0, 2).await, (ErrorCode::None, 2));
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(offset_of(&mut client, -2).await, 2);
    assert_eq!(offset_of(&mut client, -1).await, 3);
}

#[tokio::test]
async fn minus_one_deletes_all_that_is_committed() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100, 200, 300]).await;
    assert_eq!(delete(&mut client, 2, "t", 0, -1).await, (ErrorCode::None, 3));
    assert_eq!((offset_of(&mut client, -2).await, offset_of(&mut client, -1).await), (3, 3));
    assert_eq!(client.produce("t", 0, &[400]).await, 3, "the log goes on at its end");
}

#[tokio::test]
async fn nothing_is_deleted_beyond_the_high_watermark() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100, 200]).await;
    for offset in [3, i64::MAX, -2, i64::MIN] {
        assert_eq!(
            delete(&mut client, 2, "t", 0, offset).await,
            (ErrorCode::OffsetOutOfRange, -1),
            "{offset}"
        );
    }
    assert_eq!(offset_of(&mut client, -2).await, 0);
}

#[tokio::test]
async fn topics_that_are_only_compacted_keep_their_records() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    client.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    for topic in ["compacted", "both"] {
        client.produce(topic, 0, &[100, 200]).await;
    }
    assert_eq!(delete(&mut client, 2, "compacted", 0, 1).await, (ErrorCode::PolicyViolation, -1));
    assert_eq!(delete(&mut client, 2, "both", 0, 1).await, (ErrorCode::None, 1));
}

#[tokio::test]
async fn internal_and_unknown_topics_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("__consumer_offsets", 1, &[]).await;
    client.create_topic("t", 1, &[]).await;
    let internal = delete(&mut client, 2, "__consumer_offsets", 0, 0).await;
    assert_eq!(internal, (ErrorCode::InvalidTopicException, -1));
    for (topic, index) in [("t", 1), ("u", 0)] {
        let unknown = delete(&mut client, 2, topic, index, 0).await;
        assert_eq!(unknown, (ErrorCode::UnknownTopicOrPartition, -1), "{topic}-{index}");
    }
}
