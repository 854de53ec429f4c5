//! AlterConfigs, in all its versions: all of a resource's configuration at once.

use ottla_types::ErrorCode;
use ottla_wire::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};

use crate::common::configs::{BROKER, ON_CLUSTER, ON_TOPIC, TOPIC};
use crate::common::{Client, TestBroker, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=2;

fn resource(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    let config = |&(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: name.into(),
        value: value.map(Into::into),
        ..AlterableConfig::default()
    };
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.iter().map(config).collect(),
        ..AlterConfigsResource::default()
    }
}

/// Resource and error of each answer.
async fn alter(
    client: &mut Client,
    version: i16,
    resources: Vec<AlterConfigsResource>,
    validate_only: bool,
) -> Vec<(i8, String, ErrorCode)> {
    let request = AlterConfigsRequest { resources, validate_only, ..AlterConfigsRequest::default() };
    let responses = client.call(version, request).await.responses;
    responses
        .into_iter()
        .map(|answer| {
            assert_eq!(answer.error_message.is_some(), answer.error_code != 0, "{answer:?}");
            (answer.resource_type, answer.resource_name.into(), error(answer.error_code))
        })
        .collect()
}

async fn alter_one(client: &mut Client, version: i16, resource: AlterConfigsResource) -> ErrorCode {
    alter(client, version, vec![resource], false).await[0].2
}

#[tokio::test]
async fn what_is_not_named_goes_back_to_its_default() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[("retention.bytes", "1"), ("flush.messages", "10")]).await;
    for version in VERSIONS {
        let value = format!("{version}000");
        let wanted = resource(
            TOPIC,
            "t",
            &[("flush.messages", Some("20")), ("segment.ms", Some(&format!("1{value}")))],
        );
        assert_eq!(alter_one(&mut client, version, wanted).await, ErrorCode::None);
        assert_eq!(client.config(TOPIC, "t", "flush.messages").await, Some(("20".to_owned(), ON_TOPIC)));
        assert_eq!(client.config(TOPIC, "t", "segment.ms").await, Some((format!("1{value}"), ON_TOPIC)));
        assert_eq!(client.config(TOPIC, "t", "retention.bytes").await.unwrap().0, "-1", "version {version}");
        assert_eq!(alter_one(&mut client, version, resource(TOPIC, "t", &[])).await, ErrorCode::None);
        assert_ne!(client.config(TOPIC, "t", "flush.messages").await.unwrap().1, ON_TOPIC);
    }
}

#[tokio::test]
async fn values_of_brokers_are_replaced_too() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        // min.insync.replicas is set for all brokers from the first start on, and stays (KIP-966).
        let kept = ("min.insync.replicas", Some("1"));
        let wanted = resource(BROKER, "", &[("max.connections", Some("1000")), kept]);
        assert_eq!(alter_one(&mut client, version, wanted).await, ErrorCode::None);
        assert_eq!(
            client.config(BROKER, "1", "max.connections").await,
            Some(("1000".to_owned(), ON_CLUSTER))
        );
        assert_eq!(alter_one(&mut client, version, resource(BROKER, "", &[kept])).await, ErrorCode::None);
        assert_eq!(client.config(BROKER, "1", "max.connections").await.unwrap().0, "2147483647");
    }
}

#[tokio::test]
async fn each_resource_is_answered_for_itself_and_a_refused_one_stays_as_it_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("a", 1, &[]).await;
    client.create_topic("b", 1, &[("retention.bytes", "1")]).await;
    for version in VERSIONS {
        let resources = vec![
            resource(TOPIC, "b", &[("retention.bytes", Some("2")), ("no.such.key", Some("1"))]),
            resource(TOPIC, "u", &[]),
            resource(TOPIC, "a", &[("retention.bytes", Some("3"))]),
            resource(BROKER, "", &[("node.id", Some("7")), ("min.insync.replicas", Some("1"))]),
            resource(BROKER, "2", &[]),
            resource(99, "x", &[]),
        ];
        let expected = [
            (TOPIC, "b", ErrorCode::InvalidConfig),
            (TOPIC, "u", ErrorCode::UnknownTopicOrPartition),
            (TOPIC, "a", ErrorCode::None),
            (BROKER, "", ErrorCode::InvalidRequest),
            (BROKER, "2", ErrorCode::InvalidRequest),
            (99, "x", ErrorCode::InvalidRequest),
        ];
        let told = alter(&mut client, version, resources, false).await;
        let told: Vec<_> = told.iter().map(|(kind, name, error)| (*kind, name.as_str(), *error)).collect();
        assert_eq!(told, expected, "version {version}");
        assert_eq!(client.config(TOPIC, "a", "retention.bytes").await.unwrap().0, "3");
        assert_eq!(client.config(TOPIC, "b", "retention.bytes").await.unwrap().0, "1");
    }
}

#[tokio::test]
async fn nothing_comes_twice_or_without_a_value() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    let (one, two) = (("retention.bytes", Some("1")), ("retention.bytes", Some("2")));
    for version in VERSIONS {
        let invalid = ErrorCode::InvalidRequest;
        assert_eq!(alter_one(&mut client, version, resource(TOPIC, "t", &[one, two])).await, invalid);
        assert_eq!(
            alter_one(&mut client, version, resource(TOPIC, "t", &[("retention.ms", None)])).await,
            invalid
        );
        let twice = vec![resource(TOPIC, "t", &[one]), resource(TOPIC, "t", &[two])];
        let told = alter(&mut client, version, twice, false).await;
        assert!(told.iter().all(|(.., error)| *error == invalid), "{told:?}");
    }
}

#[tokio::test]
async fn what_is_only_checked_is_not_changed() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[("retention.bytes", "1")]).await;
    for version in VERSIONS {
        let good = alter(&mut client, version, vec![resource(TOPIC, "t", &[])], true).await;
        let bad = resource(TOPIC, "t", &[("retention.ms", Some("soon"))]);
        let bad = alter(&mut client, version, vec![bad], true).await;
        assert_eq!((good[0].2, bad[0].2), (ErrorCode::None, ErrorCode::InvalidConfig));
        assert_eq!(client.config(TOPIC, "t", "retention.bytes").await.unwrap().0, "1");
    }
}
