//! OffsetForLeaderEpoch, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::common::{Client, TestBroker, error};

/// Asks where `leader_epoch` ends. Returns the error, the epoch and its end.
async fn end_of(client: &mut Client, version: i16, topic: &str, leader_epoch: i32) -> (ErrorCode, i32, i64) {
    ask(client, version, topic, OffsetForLeaderPartition { leader_epoch, ..Default::default() }).await
}

async fn ask(
    client: &mut Client,
    version: i16,
    topic: &str,
    partition: OffsetForLeaderPartition,
) -> (ErrorCode, i32, i64) {
    let topic =
        OffsetForLeaderTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let response = client.call(version, request).await;
    let end = &response.topics[0].partitions[0];
    (error(end.error_code), end.leader_epoch, end.end_offset)
}

#[tokio::test]
async fn the_epoch_of_the_leader_ends_with_the_log() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    let empty = end_of(&mut client, 4, "t", 0).await;
    assert_eq!(empty, (ErrorCode::None, 0, 0), "an epoch is known before its first record");
    client.produce("t", 0, &[100, 200, 300]).await;
    for version in 2..=4 {
        assert_eq!(end_of(&mut client, version, "t", 0).await, (ErrorCode::None, 0, 3));
    }
}

#[tokio::test]
async fn an_epoch_that_is_not_known_has_no_end() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100]).await;
    for version in 2..=4 {
        for epoch in [1, i32::MAX, -1, i32::MIN] {
            assert_eq!(
                end_of(&mut client, version, "t", epoch).await,
                (ErrorCode::None, -1, -1),
                "epoch {epoch}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_believes_in_an_epoch_to_come_is_told_so() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    let wanted = OffsetForLeaderPartition { current_leader_epoch: 1, ..Default::default() };
    assert_eq!(ask(&mut client, 4, "t", wanted).await, (ErrorCode::UnknownLeaderEpoch, -1, -1));
}

#[tokio::test]
async fn what_does_not_exist_is_unknown() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(end_of(&mut client, 3, "u", 0).await, (ErrorCode::UnknownTopicOrPartition, -1, -1));
    let wanted = OffsetForLeaderPartition { partition: 1, ..Default::default() };
    assert_eq!(ask(&mut client, 2, "t", wanted).await, (ErrorCode::UnknownTopicOrPartition, -1, -1));
}

#[tokio::test]
async fn the_epoch_that_list_offsets_tells_is_known_also_after_a_restart() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[100, 200]).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    let partition = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let epoch = client.call(4, request).await.topics[0].partitions[0].leader_epoch;
    assert!(epoch > 0, "a start begins an epoch");
    assert_eq!(end_of(&mut client, 4, "t", epoch).await, (ErrorCode::None, epoch, 2));
    assert_eq!(end_of(&mut client, 4, "t", 0).await, (ErrorCode::None, 0, 2));
    let stale = OffsetForLeaderPartition { current_leader_epoch: epoch - 1, ..Default::default() };
    assert_eq!(ask(&mut client, 4, "t", stale).await, (ErrorCode::FencedLeaderEpoch, -1, -1));
    client.produce("t", 0, &[300]).await;
    assert_eq!(end_of(&mut client, 4, "t", epoch).await, (ErrorCode::None, epoch, 3));
}
