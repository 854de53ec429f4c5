//! FindCoordinator, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::metadata::MetadataRequest;

use crate::common::configs::{ON_TOPIC, TOPIC};
use crate::common::groups::QUICK;
use crate::common::{TestBroker, error};

const OFFSETS: &str = "__consumer_offsets";

#[tokio::test]
async fn every_version_tells_the_broker_by_the_way_that_the_client_came() {
    let listeners = "listeners=A://127.0.0.1:0,B://127.0.0.1:0\ninter.broker.listener.name=A\n\
        listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\n";
    let broker = TestBroker::start_with(&format!("{listeners}{QUICK}")).await;
    for listener in ["A", "B"] {
        let mut client = broker.connect_to(listener).await;
        let port = i32::from(client.port());
        for version in 0..=3 {
            let found = client.find_coordinator(version, "g").await;
            assert_eq!(
                (error(found.error_code), found.error_message.as_deref()),
                (ErrorCode::None, Some(""))
            );
            assert_eq!((found.node_id, found.host.as_str(), found.port), (1, "127.0.0.1", port));
        }
        for version in 4..=6 {
            let found = client.find_coordinator(version, "g").await;
            let [found] = &found.coordinators[..] else { panic!("{found:?}") };
            assert_eq!(
                (error(found.error_code), found.error_message.as_deref()),
                (ErrorCode::None, Some(""))
            );
            assert_eq!(found.key, "g");
            assert_eq!((found.node_id, found.host.as_str(), found.port), (1, "127.0.0.1", port));
        }
    }
}

#[tokio::test]
async fn the_offsets_topic_is_made_when_somebody_looks_for_a_coordinator_and_not_before() {
    let broker = TestBroker::start_with("offsets.topic.num.partitions=7\n").await;
    let mut client = broker.connect().await;
    assert_eq!(client.find_topic(OFFSETS).await, None);
    client.find_coordinator(6, "g").await;
    let all = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
    let [topic] = &all.topics[..] else { panic!("{all:?}") };
    assert_eq!((topic.name.as_deref(), topic.is_internal, topic.partitions.len()), (Some(OFFSETS), true, 7));
    for (key, value) in
        [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
    {
        assert_eq!(client.config(TOPIC, OFFSETS, key).await, Some((value.to_owned(), ON_TOPIC)));
    }
    let id = topic.topic_id;
    client.find_coordinator(0, "another").await;
    assert_eq!(client.find_topic(OFFSETS).await.unwrap().id, id, "and it is made once");
}

#[tokio::test]
async fn many_keys_are_answered_in_their_order() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["b".into(), "a".into(), "".into()],
        ..FindCoordinatorRequest::default()
    };
    let found = client.call(6, request).await.coordinators;
    let told: Vec<_> = found.iter().map(|one| (one.key.as_str(), one.error_code, one.node_id)).collect();
    assert_eq!(told, [("b", 0, 1), ("a", 0, 1), ("", 0, 1)]);
}

#[tokio::test]
async fn coordinators_of_what_is_not_there_are_refused_for_good() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    for (key_type, word) in [(1, "transactions"), (2, "share groups"), (9, "9")] {
        let request = FindCoordinatorRequest { key_type, key: "k".into(), ..Default::default() };
        let found = client.call(3, request).await;
        assert_eq!(error(found.error_code), ErrorCode::InvalidRequest);
        assert!(found.error_message.unwrap().contains(word));
        assert_eq!((found.node_id, found.host.as_str(), found.port), (-1, "", -1));
        let coordinator_keys = vec!["k".into()];
        let request = FindCoordinatorRequest { key_type, coordinator_keys, ..Default::default() };
        let found = client.call(6, request).await.coordinators.remove(0);
        assert_eq!((error(found.error_code), found.node_id), (ErrorCode::InvalidRequest, -1));
        assert!(found.error_message.unwrap().contains(word));
    }
    assert_eq!(client.find_topic(OFFSETS).await, None);
}

#[tokio::test]
async fn replicas_that_were_asked_for_and_cannot_be_had_leave_groups_without_a_coordinator() {
    let broker = TestBroker::start_with("offsets.topic.replication.factor=3\n").await;
    let mut client = broker.connect().await;
    let found = client.find_coordinator(6, "g").await.coordinators.remove(0);
    assert_eq!((error(found.error_code), found.node_id), (ErrorCode::CoordinatorNotAvailable, -1));
    assert_eq!(client.find_topic(OFFSETS).await, None);
}
