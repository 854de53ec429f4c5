//! CreatePartitions, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::common::records::text;
use crate::common::{Client, TestBroker, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=3;

fn grow(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic { name: name.into(), count, assignments: None, ..CreatePartitionsTopic::default() }
}

fn assigned(name: &str, count: i32, assignments: &[&[i32]]) -> CreatePartitionsTopic {
    let assignment = |brokers: &&[i32]| CreatePartitionsAssignment {
        broker_ids: brokers.to_vec(),
        ..CreatePartitionsAssignment::default()
    };
    CreatePartitionsTopic {
        assignments: Some(assignments.iter().map(assignment).collect()),
        ..grow(name, count)
    }
}

async fn ask(
    client: &mut Client,
    version: i16,
    topics: Vec<CreatePartitionsTopic>,
    validate_only: bool,
) -> Vec<CreatePartitionsTopicResult> {
    let request = CreatePartitionsRequest { topics, timeout_ms: 10_000, validate_only, ..Default::default() };
    client.call(version, request).await.results
}

fn told(results: &[CreatePartitionsTopicResult]) -> Vec<(&str, ErrorCode)> {
    results
        .iter()
        .map(|topic| {
            assert_eq!(topic.error_message.is_some(), topic.error_code != 0, "{topic:?}");
            (topic.name.as_str(), error(topic.error_code))
        })
        .collect()
}

async fn partitions(client: &mut Client, name: &str) -> usize {
    let wanted = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..MetadataRequest::default() };
    client.call(12, request).await.topics[0].partitions.len()
}

#[tokio::test]
async fn every_version_adds_partitions_that_can_be_written_at_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1]).await;
    for version in VERSIONS {
        let count = i32::from(version) * 2 + 3;
        assert_eq!(
            told(&ask(&mut client, version, vec![grow("t", count)], false).await),
            [("t", ErrorCode::None)]
        );
        assert_eq!(partitions(&mut client, "t").await, usize::try_from(count).unwrap());
        let written = client.produce_to(13, -1, &topic, count - 1, text(&["a"])).await;
        assert_eq!((error(written.error_code), written.base_offset), (ErrorCode::None, 0));
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 1, "those that were there stay as they are");
    let broker = broker.restart().await;
    assert_eq!(partitions(&mut broker.connect().await, "t").await, 9);
}

#[tokio::test]
async fn a_count_that_is_no_increase_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 3, &[]).await;
    for version in VERSIONS {
        for count in [3, 2, 0, -1, i32::MIN] {
            let results = ask(&mut client, version, vec![grow("t", count)], false).await;
            assert_eq!(told(&results), [("t", ErrorCode::InvalidPartitions)], "{count}");
        }
        let results = ask(&mut client, version, vec![grow("t", i32::MAX)], false).await;
        assert_eq!(told(&results), [("t", ErrorCode::PolicyViolation)], "more than a request may make");
    }
    assert_eq!(partitions(&mut client, "t").await, 3);
}

#[tokio::test]
async fn each_topic_is_answered_for_itself_and_one_that_comes_twice_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for name in ["a", "b"] {
        client.create_topic(name, 1, &[]).await;
    }
    for version in VERSIONS {
        let count = i32::from(version) + 2;
        let topics = vec![grow("a", count), grow("u", 2), grow("b", count), grow("b", count + 1)];
        let expected = [
            ("a", ErrorCode::None),
            ("u", ErrorCode::UnknownTopicOrPartition),
            ("b", ErrorCode::InvalidRequest),
        ];
        assert_eq!(told(&ask(&mut client, version, topics, false).await), expected);
    }
    assert_eq!((partitions(&mut client, "a").await, partitions(&mut client, "b").await), (5, 1));
}

#[tokio::test]
async fn what_is_only_checked_is_not_made() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        assert_eq!(
            told(&ask(&mut client, version, vec![grow("t", 2)], true).await),
            [("t", ErrorCode::None)]
        );
        let refused = ask(&mut client, version, vec![grow("t", 1)], true).await;
        assert_eq!(told(&refused), [("t", ErrorCode::InvalidPartitions)]);
    }
    assert_eq!(partitions(&mut client, "t").await, 1);
}

#[tokio::test]
async fn replicas_may_be_chosen_and_are_checked() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        for assignments in [&[&[1][..]][..], &[&[1], &[2]], &[&[1], &[1, 1]], &[&[1], &[]], &[]] {
            let results = ask(&mut client, version, vec![assigned("t", 3, assignments)], true).await;
            assert_eq!(told(&results), [("t", ErrorCode::InvalidReplicaAssignment)], "{assignments:?}");
        }
    }
    let results = ask(&mut client, 3, vec![assigned("t", 3, &[&[1], &[1]])], false).await;
    assert_eq!(told(&results), [("t", ErrorCode::None)]);
    assert_eq!(partitions(&mut client, "t").await, 3);
}
