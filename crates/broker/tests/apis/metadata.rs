//! Metadata, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use ottla_wire::{Str, Uuid};

use crate::common::{Client, TestBroker, error, framed};

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=13;

/// What is answered where authorized operations are not asked for.
const NOT_ASKED: i32 = i32::MIN;

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() }
}

fn with_id(topic_id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic { topic_id, name: None, ..MetadataRequestTopic::default() }
}

fn all() -> MetadataRequest {
    MetadataRequest { topics: None, ..MetadataRequest::default() }
}

/// Asks for topics without making them, where the version can say so.
fn these(version: i16, topics: Vec<MetadataRequestTopic>) -> MetadataRequest {
    MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: version < 4,
        ..MetadataRequest::default()
    }
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    response.topics.iter().map(|topic| topic.name.as_deref().unwrap_or("null")).collect()
}

async fn topic_in(client: &mut Client, version: i16, name: &str) -> MetadataResponseTopic {
    client.call(version, these(version, vec![named(name)])).await.topics.remove(0)
}

#[tokio::test]
async fn every_version_tells_the_brokers_and_as_much_of_the_cluster_as_it_can() {
    let broker = TestBroker::start_with("broker.rack=r1\n").await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let request = if version == 0 { these(0, Vec::new()) } else { all() };
        let response = client.call(version, request).await;
        assert_eq!((response.throttle_time_ms, response.error_code, response.topics.len()), (0, 0, 0));
        let [node] = &response.brokers[..] else { panic!("{response:?}") };
        assert_eq!((node.node_id, node.host.as_str()), (1, "127.0.0.1"));
        assert_eq!(node.port, i32::from(broker.address().port()));
        assert_eq!(node.rack.as_deref(), if version >= 1 { Some("r1") } else { None });
        assert_eq!(response.controller_id, if version >= 1 { 1 } else { -1 });
        let cluster_id = if version >= 2 { Some(broker.cluster_id()) } else { None };
        assert_eq!(response.cluster_id.as_deref(), cluster_id, "version {version}");
    }
}

#[tokio::test]
async fn every_version_tells_a_topics_partitions() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let created = client.create_topic("t", 3, &[]).await;
    for version in VERSIONS {
        let topic = topic_in(&mut client, version, "t").await;
        assert_eq!((error(topic.error_code), topic.name.as_deref()), (ErrorCode::None, Some("t")));
        assert_eq!(topic.topic_id, if version >= 10 { created.id } else { Uuid::ZERO });
        assert!(!topic.is_internal);
        let indexes: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        assert_eq!(indexes, [0, 1, 2], "version {version}");
        for partition in &topic.partitions {
            assert_eq!((partition.error_code, partition.leader_id), (0, 1));
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
            assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1], &vec![1]));
            assert_eq!(partition.offline_replicas, [0; 0]);
        }
    }
}

#[tokio::test]
async fn each_version_has_its_way_to_ask_for_all_topics_for_some_and_for_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for name in ["c", "a", "b"] {
        client.create_topic(name, 1, &[]).await;
    }
    for version in VERSIONS {
        if version == 0 {
            let response = client.call(0, these(0, Vec::new())).await;
            assert_eq!(names(&response), ["a", "b", "c"], "an empty list means all to version 0");
        } else {
            assert_eq!(names(&client.call(version, all()).await), ["a", "b", "c"], "version {version}");
            let none = client.call(version, these(version, Vec::new())).await;
            assert_eq!((names(&none).len(), none.brokers.len()), (0, 1), "version {version}");
        }
        let some = client.call(version, these(version, vec![named("b"), named("a")])).await;
        let mut names = names(&some);
        names.sort_unstable();
        assert_eq!(names, ["a", "b"], "version {version}");
    }
}

#[tokio::test]
async fn a_topic_is_answered_once_however_often_it_is_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        let request = these(version, vec![named("t"), named("?"), named("t"), named("?")]);
        let response = client.call(version, request).await;
        assert_eq!(names(&response), ["t", "?"], "version {version}");
    }
    for version in [12, 13] {
        let unknown = Uuid([7; 16]);
        let request =
            these(version, vec![with_id(topic.id), with_id(unknown), with_id(topic.id), with_id(unknown)]);
        assert_eq!(names(&client.call(version, request).await), ["t", "null"]);
    }
}

#[tokio::test]
async fn topics_are_found_by_id_from_version_12() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    let unknown = Uuid([7; 16]);
    for version in [12, 13] {
        let response = client.call(version, these(version, vec![with_id(topic.id), with_id(unknown)])).await;
        let [found, missing] = &response.topics[..] else { panic!("{response:?}") };
        assert_eq!((found.error_code, found.name.as_deref(), found.topic_id), (0, Some("t"), topic.id));
        assert_eq!(found.partitions.len(), 2);
        assert_eq!(error(missing.error_code), ErrorCode::UnknownTopicId);
        assert_eq!((&missing.name, missing.topic_id, missing.partitions.len()), (&None, unknown, 0));
    }
}

#[tokio::test]
async fn versions_10_and_11_have_a_field_for_ids_and_may_not_use_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let named_with_id = MetadataRequestTopic { topic_id: topic.id, ..named("t") };
    let nameless = with_id(Uuid::ZERO);
    for version in [10, 11] {
        for wrong in [with_id(topic.id), named_with_id.clone(), nameless.clone()] {
            let response = client.call(version, these(version, vec![named("t"), wrong.clone()])).await;
            let told: Vec<_> = response
                .topics
                .iter()
                .map(|topic| {
                    (error(topic.error_code), topic.name.as_deref().unwrap(), topic.partitions.len())
                })
                .collect();
            let name = wrong.name.as_deref().unwrap_or("");
            let refused = ErrorCode::InvalidRequest;
            assert_eq!(told, [(refused, "t", 0), (refused, name, 0)], "version {version}: {wrong:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_unknown_and_what_cannot_be_is_invalid() {
    let broker = TestBroker::start_with("auto.create.topics.enable=false\n").await;
    let mut client = broker.connect().await;
    let too_long = "x".repeat(250);
    for version in VERSIONS {
        let unknown = topic_in(&mut client, version, "u").await;
        assert_eq!(error(unknown.error_code), ErrorCode::UnknownTopicOrPartition, "version {version}");
        assert_eq!((unknown.name.as_deref(), unknown.partitions.len()), (Some("u"), 0));
        for name in ["", ".", "..", "a b", "ä", "a/b", &too_long] {
            let invalid = topic_in(&mut client, version, name).await;
            assert_eq!(error(invalid.error_code), ErrorCode::InvalidTopicException, "{name}");
            assert_eq!(invalid.name, Some(Str::from(name)));
        }
    }
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_made_where_broker_and_client_want_it() {
    let broker = TestBroker::start_with("auto.create.topics.enable=true\nnum.partitions=3\n").await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let name = format!("t{version}");
        let request =
            MetadataRequest { allow_auto_topic_creation: true, ..these(version, vec![named(&name)]) };
        let response = client.call(version, request).await;
        let mut made = response.topics[0].clone();
        // Kafka says so one request later.
        if error(made.error_code) == ErrorCode::UnknownTopicOrPartition {
            made = topic_in(&mut client, version, &name).await;
        }
        assert_eq!(
            (error(made.error_code), made.partitions.len()),
            (ErrorCode::None, 3),
            "version {version}"
        );
        if version >= 4 {
            let unwanted = topic_in(&mut client, version, &format!("u{version}")).await;
            assert_eq!(error(unwanted.error_code), ErrorCode::UnknownTopicOrPartition);
        }
    }
    assert_eq!(client.call(13, all()).await.topics.len(), 14);
}

#[tokio::test]
async fn no_topic_is_made_where_the_broker_does_not_want_it() {
    let broker = TestBroker::start_with("auto.create.topics.enable=false\n").await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let request = MetadataRequest { allow_auto_topic_creation: true, ..these(version, vec![named("t")]) };
        let answer = &client.call(version, request).await.topics[0];
        assert_eq!(error(answer.error_code), ErrorCode::UnknownTopicOrPartition);
    }
    assert_eq!(client.call(13, all()).await.topics.len(), 0);
}

#[tokio::test]
async fn names_that_cannot_be_and_internal_topics_are_not_made() {
    let broker = TestBroker::start_with("auto.create.topics.enable=true\n").await;
    let mut client = broker.connect().await;
    client.create_topic("a.b", 1, &[]).await;
    for (name, expected) in [
        ("a b", ErrorCode::InvalidTopicException),
        // Its metrics would have the name of another topic's.
        ("a_b", ErrorCode::UnknownTopicOrPartition),
        // The brokers' own state needs a configuration of its own.
        ("__consumer_offsets", ErrorCode::UnknownTopicOrPartition),
        ("__transaction_state", ErrorCode::UnknownTopicOrPartition),
    ] {
        let request = MetadataRequest { allow_auto_topic_creation: true, ..these(13, vec![named(name)]) };
        let answer = &client.call(13, request).await.topics[0];
        assert_eq!(error(answer.error_code), expected, "{name}");
    }
    assert_eq!(names(&client.call(13, all()).await), ["a.b"]);
}

#[tokio::test]
async fn internal_topics_are_marked() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("__consumer_offsets", 1, &[]).await;
    client.create_topic("__mine", 1, &[]).await;
    for version in 1..=13 {
        let response = client.call(version, all()).await;
        let marked: Vec<_> = response.topics.iter().map(|topic| topic.is_internal).collect();
        assert_eq!((names(&response), marked), (vec!["__consumer_offsets", "__mine"], vec![true, false]));
    }
}

#[tokio::test]
async fn authorized_operations_are_told_when_they_are_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    // Bits by Kafka's numbers: all that can be done to a topic, and to a cluster.
    let (topic_operations, cluster_operations) = (0b1101_1111_1000, 0b1_1111_1010_0000);
    for version in 8..=13 {
        let request = MetadataRequest {
            include_topic_authorized_operations: true,
            include_cluster_authorized_operations: version <= 10,
            ..these(version, vec![named("t")])
        };
        let response = client.call(version, request).await;
        assert_eq!(response.topics[0].topic_authorized_operations, topic_operations);
        let expected = if version <= 10 { cluster_operations } else { NOT_ASKED };
        assert_eq!(response.cluster_authorized_operations, expected, "version {version}");
        let names = MetadataRequest {
            include_topic_authorized_operations: true,
            allow_auto_topic_creation: false,
            ..these(version, vec![named("u"), named("a b")])
        };
        for topic in client.call(version, names).await.topics {
            assert_ne!(topic.error_code, 0);
            assert_eq!(topic.topic_authorized_operations, topic_operations, "also where there is no topic");
        }
        let response = client.call(version, these(version, vec![named("t")])).await;
        assert_eq!(response.topics[0].topic_authorized_operations, NOT_ASKED);
        assert_eq!(response.cluster_authorized_operations, NOT_ASKED);
    }
}

#[tokio::test]
async fn bytes_that_follow_a_request_are_passed_over() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in [0, 4, 9, 12, 13] {
        // librdkafka sends some.
        let frame = client.frame(version, these(version, vec![named("t")]));
        let longer = framed(&[&frame[4..], &[0, 1, 2, 3][..]].concat());
        client.send_bytes(&longer).await;
        let plain = broker.connect().await.call(version, these(version, vec![named("t")])).await;
        assert_eq!(plain.topics[0].error_code, 0);
        let answer = client.read_frame().await;
        let (_, mut body) =
            ottla_wire::header::parse_response(answer, ottla_wire::ApiKey::Metadata, version).unwrap();
        let response: MetadataResponse = ottla_wire::Message::decode(&mut body, version).unwrap();
        assert_eq!(response, plain);
    }
}

#[tokio::test]
async fn a_client_is_told_the_listener_that_it_came_by() {
    let properties = "listeners=A://127.0.0.1:0,B://127.0.0.1:0\n\
        listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\ninter.broker.listener.name=A\n\
        advertised.listeners=A://127.0.0.1:1111,B://example.org:2222\n";
    let broker = TestBroker::start_with(properties).await;
    for (listener, expected) in [("A", ("127.0.0.1", 1111)), ("B", ("example.org", 2222))] {
        let mut client = broker.connect_to(listener).await;
        let node = &client.call(13, all()).await.brokers[0];
        assert_eq!((node.host.as_str(), node.port), expected);
    }
}
