//! CreateTopics, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
    CreateTopicsRequest,
};
use ottla_wire::metadata::MetadataRequest;

use crate::common::configs::{BY_DEFAULT, ON_TOPIC, TOPIC};
use crate::common::records::text;
use crate::common::{Client, TestBroker, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 2..=7;

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..CreatableTopic::default() }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |&(partition_index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
        ..CreatableReplicaAssignment::default()
    };
    CreatableTopic { assignments: assignments.iter().map(assignment).collect(), ..topic(name, -1, -1) }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let config = |&(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: name.into(),
        value: value.map(Into::into),
        ..CreatableTopicConfig::default()
    };
    CreatableTopic { configs: configs.iter().map(config).collect(), ..topic(name, 1, 1) }
}

async fn create(client: &mut Client, version: i16, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest { topics, timeout_ms: 10_000, ..CreateTopicsRequest::default() };
    let response = client.call(version, request).await;
    assert_eq!(response.throttle_time_ms, 0);
    response.topics
}

fn told(results: &[CreatableTopicResult]) -> Vec<(&str, ErrorCode)> {
    results.iter().map(|topic| (topic.name.as_str(), error(topic.error_code))).collect()
}

/// Asks for a topic that is refused. Returns why.
async fn refused(client: &mut Client, topic: CreatableTopic) -> ErrorCode {
    let mut code = None;
    for version in VERSIONS {
        let result = create(client, version, vec![topic.clone()]).await.remove(0);
        assert!(result.error_message.is_some_and(|message| !message.is_empty()), "it says why");
        assert_eq!((result.topic_id, result.num_partitions, result.replication_factor), (Uuid::ZERO, -1, -1));
        assert_eq!(*code.get_or_insert(result.error_code), result.error_code, "all versions agree");
    }
    error(code.unwrap())
}

async fn topic_names(client: &mut Client) -> Vec<String> {
    let response = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
    response.topics.into_iter().map(|topic| topic.name.unwrap().into()).collect()
}

#[tokio::test]
async fn every_version_makes_topics_and_tells_of_them_what_it_can() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let name = format!("t{version}");
        let results = create(&mut client, version, vec![topic(&name, 3, 1)]).await;
        let [made] = &results[..] else { panic!("{results:?}") };
        assert_eq!((made.name.as_str(), error(made.error_code)), (name.as_str(), ErrorCode::None));
        assert_eq!(made.error_message, None);
        let known = client.find_topic(&name).await.unwrap();
        assert_eq!(made.topic_id, if version >= 7 { known.id } else { Uuid::ZERO });
        let numbers = if version >= 5 { (3, 1) } else { (-1, -1) };
        assert_eq!((made.num_partitions, made.replication_factor), numbers);
        assert_eq!(made.configs.as_ref().is_some_and(|configs| !configs.is_empty()), version >= 5);
        let written = client.produce_to(13, -1, &known, 2, text(&["a"])).await;
        assert_eq!(error(written.error_code), ErrorCode::None, "it can be written to at once");
    }
}

#[tokio::test]
async fn numbers_that_are_not_given_are_the_brokers() {
    let broker = TestBroker::start_with("num.partitions=4\ndefault.replication.factor=1\n").await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let made = create(&mut client, version, vec![topic(&format!("t{version}"), -1, -1)]).await.remove(0);
        assert_eq!(error(made.error_code), ErrorCode::None, "version {version}");
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (4, 1));
        }
    }
}

#[tokio::test]
async fn the_answer_has_the_configuration_with_its_sources() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 5..=7 {
        let configs = [("retention.ms", Some("1000")), ("cleanup.policy", Some("compact,delete"))];
        let made =
            create(&mut client, version, vec![configured(&format!("t{version}"), &configs)]).await.remove(0);
        let configs = made.configs.unwrap();
        let found = |name: &str| {
            let config = configs.iter().find(|config| config.name == *name).unwrap();
            (config.value.as_deref().unwrap(), config.config_source)
        };
        assert_eq!(found("retention.ms"), ("1000", ON_TOPIC));
        assert_eq!(found("cleanup.policy"), ("compact,delete", ON_TOPIC));
        assert_eq!(found("segment.bytes"), ("1073741824", BY_DEFAULT));
    }
    assert_eq!(client.config(TOPIC, "t7", "retention.ms").await, Some(("1000".to_owned(), ON_TOPIC)));
}

#[tokio::test]
async fn what_is_only_checked_is_not_made() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let topics = vec![topic("t", 2, 1), topic("?", 2, 1)];
        let request = CreateTopicsRequest { topics, validate_only: true, ..CreateTopicsRequest::default() };
        let response = client.call(version, request).await;
        assert_eq!(told(&response.topics), [("t", ErrorCode::None), ("?", ErrorCode::InvalidTopicException)]);
        if version >= 5 {
            assert_eq!((response.topics[0].num_partitions, response.topics[0].replication_factor), (2, 1));
        }
    }
    assert_eq!(topic_names(&mut client).await, [""; 0]);
}

#[tokio::test]
async fn a_topic_that_is_refused_keeps_no_other_from_being_made() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let (first, last) = (format!("a{version}"), format!("b{version}"));
        let topics = vec![topic(&first, 1, 1), topic("a b", 1, 1), topic(&last, 1, 1)];
        let results = create(&mut client, version, topics).await;
        let expected = [
            (first.as_str(), ErrorCode::None),
            ("a b", ErrorCode::InvalidTopicException),
            (last.as_str(), ErrorCode::None),
        ];
        assert_eq!(told(&results), expected);
    }
}

#[tokio::test]
async fn a_name_that_is_given_twice_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let results = create(&mut client, version, vec![topic("t", 1, 1), topic("t", 2, 1)]).await;
        assert_eq!(told(&results), [("t", ErrorCode::InvalidRequest)]);
    }
    assert_eq!(topic_names(&mut client).await, [""; 0]);
}

#[tokio::test]
async fn names_that_are_taken_or_cannot_be_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    create(&mut client, 7, vec![topic("a.b", 1, 1)]).await;
    let too_long = "x".repeat(250);
    for (name, expected) in [
        ("a.b", ErrorCode::TopicAlreadyExists),
        ("a_b", ErrorCode::InvalidTopicException),
        ("", ErrorCode::InvalidTopicException),
        ("..", ErrorCode::InvalidTopicException),
        ("a/b", ErrorCode::InvalidTopicException),
        (&too_long, ErrorCode::InvalidTopicException),
        ("__cluster_metadata", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(refused(&mut client, topic(name, 1, 1)).await, expected, "{name}");
    }
    let longest = "x".repeat(249);
    assert_eq!(
        told(&create(&mut client, 7, vec![topic(&longest, 1, 1)]).await),
        [(longest.as_str(), ErrorCode::None)]
    );
    let written = client.produce(&longest, 0, &[1]).await;
    assert_eq!(written, 0);
}

#[tokio::test]
async fn numbers_that_cannot_be_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for (partitions, replicas, expected) in [
        (0, 1, ErrorCode::InvalidPartitions),
        (-2, 1, ErrorCode::InvalidPartitions),
        (1, 0, ErrorCode::InvalidReplicationFactor),
        (1, -2, ErrorCode::InvalidReplicationFactor),
        (1, 2, ErrorCode::InvalidReplicationFactor),
        (10_001, 1, ErrorCode::PolicyViolation),
        (i32::MAX, 1, ErrorCode::PolicyViolation),
    ] {
        let error = refused(&mut client, topic("t", partitions, replicas)).await;
        assert_eq!(error, expected, "{partitions} partitions, {replicas} replicas");
    }
}

#[tokio::test]
async fn replicas_may_be_chosen_and_are_checked() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let name = format!("t{version}");
        let chosen = assigned(&name, &[(1, &[1]), (0, &[1])]);
        assert_eq!(
            told(&create(&mut client, version, vec![chosen]).await),
            [(name.as_str(), ErrorCode::None)]
        );
    }
    let wrong = ErrorCode::InvalidReplicaAssignment;
    for assignments in [
        &[(0, &[2][..])][..],
        &[(0, &[1, 1])],
        &[(0, &[])],
        &[(1, &[1])],
        &[(0, &[1]), (0, &[1])],
        &[(0, &[1]), (2, &[1])],
    ] {
        assert_eq!(refused(&mut client, assigned("u", assignments)).await, wrong, "{assignments:?}");
    }
    for (num_partitions, replication_factor) in [(1, -1), (-1, 1)] {
        let both = CreatableTopic { num_partitions, replication_factor, ..assigned("u", &[(0, &[1])]) };
        assert_eq!(refused(&mut client, both).await, ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn configurations_are_checked() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for configs in [
        [("no.such.key", Some("1"))],
        [("retention.ms", Some("soon"))],
        [("retention.ms", Some("-2"))],
        [("retention.ms", None)],
        [("cleanup.policy", Some("shred"))],
        [("compression.type", Some("best"))],
        [("segment.bytes", Some("1"))],
    ] {
        assert_eq!(
            refused(&mut client, configured("t", &configs)).await,
            ErrorCode::InvalidConfig,
            "{configs:?}"
        );
    }
    assert_eq!(topic_names(&mut client).await, [""; 0]);
}
