//! Starts and stops of a broker: what outlives them, and what keeps a broker from starting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::configs::{BROKER, ON_BROKER, ON_TOPIC, TOPIC};
use common::records::{text, values};
use common::{Client, Home, TestBroker, error};
use ottla_types::ErrorCode;
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::metadata::MetadataRequest;

async fn producer_id(client: &mut Client) -> i64 {
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 0, ..Default::default() };
    let response = client.call(5, request).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    response.producer_id
}

#[tokio::test]
async fn a_restart_keeps_topics_configurations_records_and_the_clusters_id() {
    let mut broker = TestBroker::start().await;
    let cluster_id = broker.cluster_id().to_owned();
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 3, &[("retention.bytes", "12345")]).await;
    client.create_topic("empty", 2, &[]).await;
    client.configure(BROKER, "1", "max.connections", "777").await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let value = format!("round {round}");
        client.produce_to(13, -1, &topic, 0, text(&[&value])).await;
        expected.push((round, value));
        broker = broker.restart().await;
        client = broker.connect().await;
        assert_eq!(broker.cluster_id(), cluster_id);
        let all = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
        let told: Vec<_> =
            all.topics.iter().map(|t| (t.name.as_deref().unwrap(), t.topic_id, t.partitions.len())).collect();
        assert_eq!((told.len(), told[0].0, told[1]), (2, "empty", ("t", topic.id, 3)));
        let stored = client.fetch_from(13, &topic, 0).await;
        assert_eq!(values(&stored.records.unwrap()), expected);
        let retention = client.config(TOPIC, "t", "retention.bytes").await;
        assert_eq!(retention, Some(("12345".to_owned(), ON_TOPIC)));
        let connections = client.config(BROKER, "1", "max.connections").await;
        assert_eq!(connections, Some(("777".to_owned(), ON_BROKER)));
    }
}

#[tokio::test]
async fn a_broker_that_was_not_stopped_finds_everything_again() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for value in ["a", "b", "c"] {
        client.produce_to(13, -1, &topic, 0, text(&[value])).await;
    }
    let broker = broker.abandon_and_start().await;
    let mut client = broker.connect().await;
    assert_eq!(client.find_topic("t").await, Some(topic.clone()));
    let stored = client.fetch_from(13, &topic, 0).await;
    assert_eq!(values(&stored.records.unwrap()).len(), 3);
    assert_eq!(client.produce("t", 0, &[1]).await, 3);
}

#[tokio::test]
async fn producer_ids_are_never_given_out_twice() {
    let mut broker = TestBroker::start().await;
    let mut given = BTreeSet::new();
    for round in 0..4 {
        let mut client = broker.connect().await;
        for _ in 0..5 {
            assert!(given.insert(producer_id(&mut client).await));
        }
        broker = if round % 2 == 0 { broker.restart().await } else { broker.abandon_and_start().await };
    }
}

#[tokio::test]
async fn a_topic_that_was_deleted_stays_so() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 1, &[1]).await;
    let request = ottla_wire::delete_topics::DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    client.call(5, request).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(client.find_topic("t").await, None);
    client.create_topic("t", 2, &[]).await;
    assert_eq!(client.produce("t", 1, &[1]).await, 0);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_fails_its_partition_and_no_other() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    client.produce("t", 0, &[1]).await;
    client.produce("t", 1, &[1]).await;
    let file = broker.dir().join("data/t-0/partition.metadata");
    let home = broker.stop().await;
    std::fs::write(file, "not what was written").unwrap();
    let broker = home.start().await;
    let mut client = broker.connect().await;
    for version in [3, 13] {
        let written = client.produce_to(version, 1, &topic, 0, text(&["a"])).await;
        assert_eq!(error(written.error_code), ErrorCode::KafkaStorageError);
    }
    for version in 4..=18 {
        let read = client.fetch_from(version, &topic, 0).await;
        assert_eq!(error(read.error_code), ErrorCode::KafkaStorageError, "version {version}");
    }
    assert_eq!(client.produce("t", 1, &[1]).await, 1);
}

#[tokio::test]
async fn a_directory_that_a_broker_works_on_is_not_for_another() {
    let broker = TestBroker::start().await;
    let error = broker.home().try_start("").await.err().expect("two brokers on one directory");
    let directory = broker.dir().join("data");
    let message = error.to_string();
    assert!(
        message.contains(directory.to_str().unwrap()) && message.contains("another process"),
        "{message}"
    );
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(client.produce("t", 0, &[1]).await, 0, "the first one goes on");
}

#[tokio::test]
async fn the_directory_of_another_node_is_not_taken() {
    let broker = TestBroker::start().await;
    broker.connect().await.create_topic("t", 1, &[]).await;
    let error = broker.stop().await.try_start("node.id=2\n").await.err().expect("another node's directory");
    let message = error.to_string();
    assert!(message.contains("meta.properties") && message.contains("node.id"), "{message}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Home::new(&format!("listeners=PLAINTEXT://{address}\n")).try_start("").await;
    let message = error.err().expect("the port is taken").to_string();
    assert!(message.contains(&address.to_string()) && message.starts_with("listeners"), "{message}");
}

#[tokio::test]
async fn what_is_not_there_yet_is_named_with_its_key() {
    for (properties, expected) in [
        ("listeners=SSL://127.0.0.1:0\n", &["listener SSL", "PLAINTEXT"][..]),
        (
            "listeners=CLIENTS://127.0.0.1:0\nlistener.security.protocol.map=CLIENTS:SASL_PLAINTEXT\n",
            &["listener CLIENTS", "SASL_PLAINTEXT"],
        ),
        (
            "controller.quorum.voters=1@127.0.0.1:9093,2@127.0.0.1:9094\n",
            &["no listener for the other nodes", "controller.listener.names"],
        ),
        (
            "process.roles=controller\ncontroller.listener.names=CONTROLLER\n",
            &["process.roles is controller", "controller.quorum.voters"],
        ),
        ("process.roles=broker\n", &["process.roles is broker", "controller.quorum.bootstrap.servers"]),
        (
            "controller.quorum.bootstrap.servers=a:1,b:1\n",
            &["controller.quorum.bootstrap.servers names other nodes (a:1, b:1)"],
        ),
    ] {
        let message = Home::new(properties).refusal().await;
        for word in expected {
            assert!(message.contains(word), "{properties:?} gives {message:?}, without {word:?}");
        }
    }
}

#[tokio::test]
async fn a_broker_that_could_not_start_leaves_nothing_locked() {
    let home = TestBroker::start().await.stop().await;
    let failed = home.try_start("metadata.log.dir={dir}/data/meta.properties\n").await;
    assert!(failed.is_err(), "a file is no directory");
    let broker = home.start().await;
    assert!(broker.connect().await.is_served().await);
}
