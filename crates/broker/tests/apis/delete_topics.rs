//! DeleteTopics, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::delete_topics::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::{Str, Uuid};

use crate::common::records::{text, values};
use crate::common::{Client, TestBroker, error};

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() }
}

fn by_id(topic_id: Uuid) -> DeleteTopicState {
    DeleteTopicState { topic_id, ..DeleteTopicState::default() }
}

/// Deletes topics by name, in any version's way.
async fn delete(client: &mut Client, version: i16, names: &[&str]) -> Vec<DeletableTopicResult> {
    let request = if version >= 6 {
        DeleteTopicsRequest { topics: names.iter().copied().map(by_name).collect(), ..Default::default() }
    } else {
        DeleteTopicsRequest {
            topic_names: names.iter().copied().map(Str::from).collect(),
            ..Default::default()
        }
    };
    client.call(version, DeleteTopicsRequest { timeout_ms: 10_000, ..request }).await.responses
}

async fn delete_these(
    client: &mut Client,
    topics: Vec<DeleteTopicState>,
) -> Vec<(Option<Str>, Uuid, ErrorCode)> {
    let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() };
    let responses = client.call(6, request).await.responses;
    responses.into_iter().map(|topic| (topic.name, topic.topic_id, error(topic.error_code))).collect()
}

fn told(results: &[DeletableTopicResult]) -> Vec<(&str, ErrorCode)> {
    results.iter().map(|topic| (topic.name.as_deref().unwrap(), error(topic.error_code))).collect()
}

#[tokio::test]
async fn every_version_deletes_by_name() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 1..=6 {
        let (a, b) = (format!("a{version}"), format!("b{version}"));
        let topic = client.create_topic(&a, 2, &[]).await;
        client.create_topic(&b, 1, &[]).await;
        client.produce(&a, 0, &[1]).await;
        let results = delete(&mut client, version, &[&b, "u", &a]).await;
        let unknown = ("u", ErrorCode::UnknownTopicOrPartition);
        assert_eq!(told(&results), [(b.as_str(), ErrorCode::None), unknown, (a.as_str(), ErrorCode::None)]);
        assert_eq!(results[1].error_message.is_some(), version >= 5);
        assert_eq!(results[2].topic_id, if version >= 6 { topic.id } else { Uuid::ZERO });
        assert_eq!(client.find_topic(&a).await, None, "it is gone at once");
        let written = client.produce_to(12, 1, &topic, 0, text(&["a"])).await;
        assert_eq!(error(written.error_code), ErrorCode::UnknownTopicOrPartition);
        let written = client.produce_to(13, 1, &topic, 0, text(&["a"])).await;
        assert_eq!(error(written.error_code), ErrorCode::UnknownTopicId);
    }
}

#[tokio::test]
async fn version_6_deletes_by_id() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let unknown = Uuid([7; 16]);
    let told = delete_these(&mut client, vec![by_id(topic.id), by_id(unknown)]).await;
    let expected =
        [(Some("t".into()), topic.id, ErrorCode::None), (None, unknown, ErrorCode::UnknownTopicId)];
    assert_eq!(told, expected);
    assert_eq!(client.find_topic("t").await, None);
}

#[tokio::test]
async fn a_topic_that_is_named_twice_is_not_deleted() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in 1..=6 {
        let results = delete(&mut client, version, &["t", "t"]).await;
        assert_eq!(told(&results), [("t", ErrorCode::InvalidRequest)], "version {version}");
    }
    for topics in [
        vec![by_id(topic.id), by_id(topic.id)],
        vec![by_name("t"), by_id(topic.id)],
        vec![DeleteTopicState { name: Some("t".into()), ..by_id(topic.id) }],
        vec![DeleteTopicState::default()],
    ] {
        let told = delete_these(&mut client, topics).await;
        assert!(
            !told.is_empty() && told.iter().all(|(.., error)| *error == ErrorCode::InvalidRequest),
            "{told:?}"
        );
    }
    assert_eq!(client.find_topic("t").await, Some(topic));
}

#[tokio::test]
async fn where_deletion_is_disabled_nothing_is_deleted() {
    let broker = TestBroker::start_with("delete.topic.enable=false\n").await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in 1..=6 {
        let expected =
            if version >= 3 { ErrorCode::TopicDeletionDisabled } else { ErrorCode::InvalidRequest };
        assert_eq!(told(&delete(&mut client, version, &["t"]).await), [("t", expected)], "version {version}");
    }
    assert!(client.find_topic("t").await.is_some());
}

#[tokio::test]
async fn a_topic_that_is_made_again_is_empty_and_another_one() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let old = client.create_topic("t", 1, &[("retention.bytes", "1000")]).await;
    client.produce_to(13, 1, &old, 0, text(&["old"])).await;
    delete(&mut client, 6, &["t"]).await;
    let new = client.create_topic("t", 1, &[]).await;
    assert_ne!(new.id, old.id);
    assert_eq!(client.fetch_from(12, &new, 0).await.high_watermark, 0);
    let retention = client.config(crate::common::configs::TOPIC, "t", "retention.bytes").await.unwrap();
    assert_eq!(retention.0, "-1", "its configuration went with the old one");
    let stale = client.produce_to(13, 1, &old, 0, text(&["for the old one"])).await;
    assert_eq!(error(stale.error_code), ErrorCode::UnknownTopicId);
    client.produce_to(13, 1, &new, 0, text(&["new"])).await;

    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(client.find_topic("t").await, Some(new.clone()));
    let stored = client.fetch_from(13, &new, 0).await;
    assert_eq!(values(&stored.records.unwrap()), [(0, "new".to_owned())]);
}
