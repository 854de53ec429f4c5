//! A broker whose log directories do not all work, or not as they did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Client, Home, TestBroker, Topic, batch, produce_request};
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::metadata::{MetadataRequest, MetadataResponseTopic};

const TWO_DIRS: &str = "metadata.log.dir={dir}/data\nlog.dirs={dir}/a,{dir}/b\n";

/// The directory of a partition, under one of the two log directories.
fn place(broker: &TestBroker, partition: i32) -> PathBuf {
    let places = ["a", "b"].map(|dir| broker.dir().join(format!("{dir}/orders-{partition}")));
    places.into_iter().find(|path| path.exists()).expect("the partition has a directory")
}

/// The base offset of one more record, or the error.
async fn produce(client: &mut Client, partition: i32) -> Result<i64, ErrorCode> {
    let records = batch(BatchBuilder::new(), &[1_000]);
    let request = produce_request(-1, vec![Topic::named("orders").records(partition, records)]);
    let response = client.call(9, request).await;
    let answer = &response.responses[0].partition_responses[0];
    match common::error(answer.error_code) {
        ErrorCode::None => Ok(answer.base_offset),
        error => Err(error),
    }
}

#[tokio::test]
async fn partitions_of_a_missing_directory_are_offline_and_never_replaced_by_empty_ones() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 4, &[]).await;
    for partition in 0..4 {
        assert_eq!(produce(&mut client, partition).await, Ok(0));
    }
    let in_b = |broker: &TestBroker| -> Vec<i32> {
        (0..4).filter(|&n| broker.dir().join(format!("b/orders-{n}")).exists()).collect()
    };
    let lost = in_b(&broker);
    assert_eq!(lost.len(), 2);
    let (b, away) = (broker.dir().join("b"), broker.dir().join("away"));

    // A file where the directory was: it cannot be made anew.
    let home = broker.stop().await;
    fs::rename(&b, &away).unwrap();
    fs::write(&b, "").unwrap();
    let broker = home.start().await;
    let mut client = broker.connect().await;
    for partition in 0..4 {
        let expected = if lost.contains(&partition) { Err(ErrorCode::KafkaStorageError) } else { Ok(1) };
        assert_eq!(produce(&mut client, partition).await, expected, "partition {partition}");
        assert!(!lost.contains(&partition) || !broker.dir().join(format!("a/orders-{partition}")).exists());
    }
    let led = |topics: Vec<MetadataResponseTopic>| -> Vec<i32> {
        let partitions = topics.into_iter().find(|t| t.name.as_deref() == Some("orders")).unwrap().partitions;
        partitions.into_iter().filter(|p| p.leader_id == 1).map(|p| p.partition_index).collect()
    };
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let leading = led(client.call(12, all.clone()).await.topics);
    assert!(lost.iter().all(|n| !leading.contains(n)), "clients are told that nobody leads what is lost");
    assert_eq!(leading.len(), 2);
    // What is new goes to the directory that works.
    client.create_topic("new", 1, &[]).await;
    assert!(broker.dir().join("a/new-0").exists());

    let home = broker.stop().await;
    fs::remove_file(&b).unwrap();
    fs::rename(&away, &b).unwrap();
    let broker = home.start().await;
    let mut client = broker.connect().await;
    assert_eq!(led(client.call(12, all).await.topics).len(), 4);
    for partition in 0..4 {
        let end = if lost.contains(&partition) { 1 } else { 2 };
        assert_eq!(produce(&mut client, partition).await, Ok(end), "partition {partition}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_log_that_lost_its_topic_id_is_adopted_by_name() {
    let broker = TestBroker::start_with(TWO_DIRS).await;
    let mut client = broker.connect().await;
    client.create_topic("orders", 1, &[]).await;
    assert_eq!(produce(&mut client, 0).await, Ok(0));
    let metadata = place(&broker, 0).join("partition.metadata");
    let before = fs::read(&metadata).unwrap();
    let home = broker.stop().await;
    fs::remove_file(&metadata).unwrap();
    let broker = home.start().await;
    assert_eq!(produce(&mut broker.connect().await, 0).await, Ok(1));
    assert_eq!(fs::read(&metadata).unwrap(), before);
    broker.stop().await;
}

#[tokio::test]
async fn directories_that_are_missing_are_made_and_one_that_is_in_use_is_refused() {
    let broker = TestBroker::start_with("log.dirs={dir}/deep/down/a,{dir}/b\n").await;
    assert!(broker.dir().join("deep/down/a/meta.properties").exists());
    let Err(error) = broker.home().try_start("").await else { panic!("two brokers work on one directory") };
    let text = error.to_string();
    assert!(text.contains("is held by another process"), "{text}");
    assert!(text.contains(broker.dir().to_str().unwrap()), "{text}");
    broker.stop().await;
}

#[tokio::test]
async fn a_broker_without_any_directory_says_which_and_why() {
    let home = Home::new("log.dirs=/proc/nowhere\nmetadata.log.dir={dir}/data\n");
    let Err(error) = home.try_start("").await else { panic!("it starts without a directory") };
    let text = error.to_string();
    assert!(text.contains("cannot create the directory /proc/nowhere"), "{text}");
}
