//! ListOffsets, in all its versions.

use ottla_records::{BatchBuilder, Codec, Compression};
use ottla_types::ErrorCode;
use ottla_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};

use crate::common::{Client, TestBroker, batch, error};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

fn partition(partition_index: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition { partition_index, timestamp, ..ListOffsetsPartition::default() }
}

fn request(topic: &str, partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
    let topic = ListOffsetsTopic { name: topic.into(), partitions, ..ListOffsetsTopic::default() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() }
}

async fn answers(
    client: &mut Client,
    version: i16,
    request: ListOffsetsRequest,
) -> Vec<ListOffsetsPartitionResponse> {
    client.call(version, request).await.topics.remove(0).partitions
}

async fn answer(client: &mut Client, version: i16, timestamp: i64) -> ListOffsetsPartitionResponse {
    answers(client, version, request("t", vec![partition(0, timestamp)])).await.remove(0)
}

/// The offset and timestamp found.
async fn found(client: &mut Client, version: i16, timestamp: i64) -> (i64, i64) {
    let answer = answer(client, version, timestamp).await;
    assert_eq!(error(answer.error_code), ErrorCode::None);
    (answer.offset, answer.timestamp)
}

#[tokio::test]
async fn every_version_tells_both_ends_of_a_log() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in 1..=11 {
        assert_eq!(found(&mut client, version, EARLIEST).await, (0, -1), "version {version}");
        assert_eq!(found(&mut client, version, LATEST).await, (0, -1), "version {version}");
    }
    client.produce("t", 0, &[10, 20, 30]).await;
    for version in 1..=11 {
        let epoch = if version >= 4 { 0 } else { -1 };
        for (end, offset) in [(EARLIEST, 0), (LATEST, 3)] {
            let answer = answer(&mut client, version, end).await;
            let told = (answer.offset, answer.timestamp, answer.leader_epoch);
            assert_eq!(told, (offset, -1, epoch), "version {version}");
        }
    }
}

#[tokio::test]
async fn readers_of_committed_records_see_up_to_the_last_stable_offset() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[10, 20]).await;
    for (version, replica_id) in [(2, -1), (11, -1), (11, -2), (11, 5)] {
        let wanted =
            ListOffsetsRequest { isolation_level: 1, replica_id, ..request("t", vec![partition(0, LATEST)]) };
        assert_eq!(answers(&mut client, version, wanted).await[0].offset, 2);
    }
}

#[tokio::test]
async fn a_time_finds_the_first_record_of_that_time_or_later() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    // Times need not rise with offsets.
    client.produce("t", 0, &[100, 300, 200]).await;
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let builder = BatchBuilder::new().compression(Compression::new(codec));
        client.produce_batch("t", 0, batch(builder, &[400, 500])).await;
    }
    client.produce("t", 0, &[600]).await;
    let expected =
        [(0, (0, 100)), (100, (0, 100)), (101, (1, 300)), (301, (3, 400)), (401, (4, 500)), (501, (11, 600))];
    for version in [1, 3, 4, 6, 11] {
        for (timestamp, record) in expected {
            assert_eq!(
                found(&mut client, version, timestamp).await,
                record,
                "{timestamp} in version {version}"
            );
        }
        assert_eq!(found(&mut client, version, 601).await, (-1, -1), "nothing is that late");
        assert_eq!(found(&mut client, version, i64::MAX).await, (-1, -1));
    }
    assert_eq!(answer(&mut client, 4, 301).await.leader_epoch, 0);
    assert_eq!(answer(&mut client, 4, 601).await.leader_epoch, -1);
}

#[tokio::test]
async fn the_largest_timestamp_is_found_at_its_first_record() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(found(&mut client, 7, MAX_TIMESTAMP).await, (-1, -1), "an empty log has none");
    client.produce("t", 0, &[100, 300, 300]).await;
    client.produce("t", 0, &[200, 300]).await;
    for version in 7..=11 {
        assert_eq!(found(&mut client, version, MAX_TIMESTAMP).await, (1, 300));
    }
}

#[tokio::test]
async fn a_broker_without_tiered_storage_has_a_local_start_and_nothing_tiered() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100]).await;
    for version in [8, 11] {
        assert_eq!(found(&mut client, version, EARLIEST_LOCAL).await, (0, -1));
    }
    for version in [9, 11] {
        assert_eq!(found(&mut client, version, LATEST_TIERED).await, (-1, -1));
    }
    assert_eq!(found(&mut client, 11, EARLIEST_PENDING_UPLOAD).await, (-1, -1));
}

#[tokio::test]
async fn a_special_time_of_a_later_version_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for (version, timestamp) in
        [(6, MAX_TIMESTAMP), (7, EARLIEST_LOCAL), (8, -5), (10, -6), (11, -7), (11, i64::MIN)]
    {
        let answer = answer(&mut client, version, timestamp).await;
        assert_eq!(
            error(answer.error_code),
            ErrorCode::UnsupportedVersion,
            "{timestamp} in version {version}"
        );
        assert_eq!((answer.offset, answer.timestamp), (-1, -1));
    }
}

#[tokio::test]
async fn a_partition_that_is_asked_for_twice_is_refused_and_the_others_are_answered() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    let wanted = request("t", vec![partition(0, LATEST), partition(1, LATEST), partition(0, EARLIEST)]);
    let answers = answers(&mut client, 11, wanted).await;
    let told: Vec<_> =
        answers.iter().map(|answer| (answer.partition_index, error(answer.error_code))).collect();
    assert_eq!(told, [(0, ErrorCode::InvalidRequest), (1, ErrorCode::None)]);
}

#[tokio::test]
async fn a_client_that_believes_in_another_epoch_is_told_so() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for (current_leader_epoch, expected) in
        [(-1, ErrorCode::None), (0, ErrorCode::None), (1, ErrorCode::UnknownLeaderEpoch)]
    {
        let wanted = ListOffsetsPartition { current_leader_epoch, ..partition(0, LATEST) };
        let answers = answers(&mut client, 4, request("t", vec![wanted])).await;
        assert_eq!(error(answers[0].error_code), expected, "epoch {current_leader_epoch}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_unknown() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for (topic, index) in [("t", 1), ("t", -1), ("u", 0), ("", 0)] {
        for version in [1, 11] {
            let answers = answers(&mut client, version, request(topic, vec![partition(index, LATEST)])).await;
            assert_eq!(error(answers[0].error_code), ErrorCode::UnknownTopicOrPartition, "{topic}-{index}");
        }
    }
}
