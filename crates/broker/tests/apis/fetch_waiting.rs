//! Fetches that wait for records: until when, for what, and what else may happen to them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use ottla_types::ErrorCode;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_wire::delete_topics::DeleteTopicsRequest;
use ottla_wire::fetch::{FetchRequest, FetchResponse};

use crate::common::records::{sized, text, values};
use crate::common::requests::{fetch_request, from_offset};
use crate::common::{Client, TestBroker, Topic, error};

/// Longer than any test has patience: who waits for this was not woken.
const FOR_EVER_MS: i32 = i32::MAX;

/// A fetch of one partition from its start that waits until there are `min_bytes`.
fn waiting(topic: &Topic, min_bytes: i32) -> FetchRequest {
    waiting_at(topic, &[0], min_bytes)
}

fn waiting_at(topic: &Topic, partitions: &[i32], min_bytes: i32) -> FetchRequest {
    let partitions = partitions.iter().map(|&index| from_offset(index, 0)).collect();
    FetchRequest { max_wait_ms: FOR_EVER_MS, min_bytes, ..fetch_request(vec![topic.fetch(partitions)]) }
}

/// The values of all records of a response.
fn read(response: &FetchResponse) -> Vec<String> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .flat_map(|partition| {
            assert_eq!(error(partition.error_code), ErrorCode::None);
            values(partition.records.as_ref().unwrap()).into_iter().map(|(_, value)| value)
        })
        .collect()
}

async fn produce(client: &mut Client, topic: &Topic, partition: i32, batch: Bytes) {
    assert_eq!(client.produce_to(13, 1, topic, partition, batch).await.error_code, 0);
}

async fn delete_topic(client: &mut Client, name: &str) {
    let request =
        DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.call(5, request).await.responses[0].error_code, 0);
}

#[tokio::test]
async fn a_record_produced_on_another_connection_wakes_a_fetch_of_every_version() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    for version in 4..=18 {
        let topic = producer.create_topic(&format!("t{version}"), 1, &[]).await;
        let mut consumer = broker.connect().await;
        consumer.send(version, waiting(&topic, 1)).await;
        broker.await_handled(&mut consumer).await;
        produce(&mut producer, &topic, 0, text(&["a"])).await;
        assert_eq!(read(&consumer.receive::<FetchRequest>(version).await), ["a"], "version {version}");
        consumer.receive_barrier().await;
    }
}

#[tokio::test]
async fn a_fetch_whose_time_is_over_is_answered_without_records() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [4, 18] {
        let begin = Instant::now();
        let response = client.call(version, FetchRequest { max_wait_ms: 50, ..waiting(&topic, 1) }).await;
        assert!(begin.elapsed() >= Duration::from_millis(50), "it was answered too early");
        assert_eq!(read(&response), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn too_few_bytes_are_given_when_the_time_is_over() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    produce(&mut client, &topic, 0, text(&["a"])).await;
    let begin = Instant::now();
    let response = client.call(13, FetchRequest { max_wait_ms: 50, ..waiting(&topic, 1_000) }).await;
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert_eq!(read(&response), ["a"]);
}

#[tokio::test]
async fn a_fetch_that_wants_no_bytes_or_no_wait_is_answered_at_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [4, 18] {
        for (max_wait_ms, min_bytes) in [(0, 1), (-1, 1), (FOR_EVER_MS, 0), (FOR_EVER_MS, -1)] {
            let response =
                client.call(version, FetchRequest { max_wait_ms, ..waiting(&topic, min_bytes) }).await;
            assert_eq!(read(&response), [] as [&str; 0]);
        }
    }
}

#[tokio::test]
async fn enough_bytes_that_are_there_are_given_at_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    produce(&mut client, &topic, 0, sized(1000)).await;
    let response = client.call(13, waiting(&topic, 1000)).await;
    assert_eq!(read(&response).len(), 1);
}

#[tokio::test]
async fn a_fetch_waits_until_its_partitions_together_have_enough() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 3, &[]).await;
    produce(&mut producer, &topic, 0, sized(1000)).await;
    let mut consumer = broker.connect().await;
    consumer.send(13, waiting_at(&topic, &[0, 1, 2], 3000)).await;
    broker.await_handled(&mut consumer).await;
    produce(&mut producer, &topic, 1, sized(1000)).await;
    produce(&mut producer, &topic, 2, sized(1000)).await;
    assert_eq!(read(&consumer.receive::<FetchRequest>(13).await).len(), 3, "not answered before the third");
}

#[tokio::test]
async fn more_than_fits_is_not_waited_for() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 1, &[]).await;
    let mut consumer = broker.connect().await;
    consumer.send(13, FetchRequest { max_bytes: 1500, ..waiting(&topic, i32::MAX) }).await;
    broker.await_handled(&mut consumer).await;
    produce(&mut producer, &topic, 0, sized(800)).await;
    produce(&mut producer, &topic, 0, sized(800)).await;
    // Both together pass the limit, so they are enough; what fits is one.
    let response = consumer.receive::<FetchRequest>(13).await;
    assert_eq!(read(&response).len(), 1);
}

#[tokio::test]
async fn all_that_wait_are_woken() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 2, &[]).await;
    let mut consumers = Vec::new();
    for _ in 0..20 {
        let mut consumer = broker.connect().await;
        consumer.send(13, waiting_at(&topic, &[0, 1], 1)).await;
        broker.await_handled(&mut consumer).await;
        consumers.push(consumer);
    }
    produce(&mut producer, &topic, 1, text(&["a"])).await;
    for mut consumer in consumers {
        assert_eq!(read(&consumer.receive::<FetchRequest>(13).await), ["a"]);
    }
}

#[tokio::test]
async fn a_partition_at_fault_is_told_at_once_beside_one_that_is_empty() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [4, 12, 13, 18] {
        let response = client.call(version, waiting_at(&topic, &[0, 1], 1)).await;
        let partitions = &response.responses[0].partitions;
        let errors: Vec<_> = partitions.iter().map(|partition| error(partition.error_code)).collect();
        assert_eq!(errors, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition], "version {version}");
    }
}

#[tokio::test]
async fn later_requests_of_a_connection_take_effect_while_its_fetch_waits_and_are_answered_after_it() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 1, &[]).await;
    let other = producer.create_topic("u", 1, &[]).await;
    let mut client = broker.connect().await;
    client.send(13, waiting(&topic, 1)).await;
    client.send(0, ApiVersionsRequest::default()).await;
    client.send(4, FetchRequest { max_wait_ms: 0, ..waiting(&topic, 1) }).await;
    client.send(13, crate::common::produce_request(1, vec![other.records(0, text(&["b"]))])).await;
    client.send(18, waiting(&other, 1)).await;
    broker.await_handled(&mut client).await;
    let written = producer.fetch_from(13, &other, 0).await;
    assert_eq!(values(&written.records.unwrap()), [(0, "b".to_owned())], "written while the fetch waits");
    produce(&mut producer, &topic, 0, text(&["a"])).await;
    assert_eq!(read(&client.receive::<FetchRequest>(13).await), ["a"]);
    assert_eq!(client.receive::<ApiVersionsRequest>(0).await.error_code, 0);
    assert_eq!(read(&client.receive::<FetchRequest>(4).await), [] as [&str; 0]);
    let produced = client.receive::<ottla_wire::produce::ProduceRequest>(13).await;
    assert_eq!(produced.responses[0].partition_responses[0].base_offset, 0);
    assert_eq!(read(&client.receive::<FetchRequest>(18).await), ["b"]);
    client.receive_barrier().await;
}

#[tokio::test]
async fn a_fetch_is_woken_by_a_later_request_of_its_own_connection() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.send(13, waiting(&topic, 1)).await;
    client.send(13, crate::common::produce_request(1, vec![topic.records(0, text(&["a"]))])).await;
    assert_eq!(read(&client.receive::<FetchRequest>(13).await), ["a"]);
    client.receive::<ottla_wire::produce::ProduceRequest>(13).await;
}

#[tokio::test]
async fn any_number_of_fetches_may_wait_on_a_connection() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 1, &[]).await;
    let mut consumer = broker.connect().await;
    for _ in 0..300 {
        consumer.send(13, waiting(&topic, 1)).await;
    }
    produce(&mut producer, &topic, 0, text(&["a"])).await;
    for _ in 0..300 {
        assert_eq!(read(&consumer.receive::<FetchRequest>(13).await), ["a"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_ends_the_wait_for_it() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    // Many partitions, so that their deletion takes a while, and the answer may fall into it.
    for (version, partitions) in [(4, 1), (12, 20), (13, 20), (18, 1)] {
        let topic = admin.create_topic("t", partitions, &[]).await;
        let indexes: Vec<_> = (0..partitions).collect();
        let mut consumer = broker.connect().await;
        consumer.send(version, waiting_at(&topic, &indexes, 1)).await;
        broker.await_handled(&mut consumer).await;
        delete_topic(&mut admin, "t").await;
        let response = consumer.receive::<FetchRequest>(version).await;
        let unknown =
            if version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        for partition in &response.responses[0].partitions {
            let error = error(partition.error_code);
            assert!(error == unknown || error == ErrorCode::None, "version {version}: {error}");
        }
        let ended = response.responses[0].partitions.iter().filter(|partition| partition.error_code != 0);
        assert!(ended.count() > 0, "version {version}");
    }
}

#[tokio::test]
async fn a_topic_that_grows_leaves_the_wait_for_it_alone() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 1, &[]).await;
    let mut consumer = broker.connect().await;
    consumer.send(13, waiting(&topic, 1)).await;
    broker.await_handled(&mut consumer).await;
    let more = CreatePartitionsTopic {
        name: "t".into(),
        count: 3,
        assignments: None,
        ..CreatePartitionsTopic::default()
    };
    let request = CreatePartitionsRequest { topics: vec![more], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(producer.call(3, request).await.results[0].error_code, 0);
    produce(&mut producer, &topic, 0, text(&["a"])).await;
    assert_eq!(read(&consumer.receive::<FetchRequest>(13).await), ["a"]);
}
