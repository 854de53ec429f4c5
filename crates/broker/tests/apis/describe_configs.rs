//! DescribeConfigs, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};

use crate::common::configs::{BROKER, BY_DEFAULT, IN_FILE, ON_BROKER, ON_CLUSTER, ON_TOPIC, TOPIC};
use crate::common::{Client, TestBroker, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 1..=4;

fn resource(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        ..DescribeConfigsResource::default()
    }
}

async fn describe(
    client: &mut Client,
    version: i16,
    resources: Vec<DescribeConfigsResource>,
) -> Vec<DescribeConfigsResult> {
    let request =
        DescribeConfigsRequest { resources, include_synonyms: true, ..DescribeConfigsRequest::default() };
    client.call(version, request).await.results
}

fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    result.configs.iter().find(|config| config.name == *name).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn every_version_tells_a_topics_values_and_where_each_comes_from() {
    let broker = TestBroker::start_with("log.segment.bytes=2000000\n").await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[("retention.bytes", "1000")]).await;
    client.configure(BROKER, "", "message.max.bytes", "5000").await;
    client.configure(BROKER, "1", "log.flush.interval.messages", "77").await;
    for version in VERSIONS {
        let results = describe(&mut client, version, vec![resource(TOPIC, "t", None)]).await;
        let [result] = &results[..] else { panic!("{results:?}") };
        assert_eq!(error(result.error_code), ErrorCode::None);
        assert_eq!((result.resource_type, result.resource_name.as_str()), (TOPIC, "t"));
        for (key, value, source) in [
            ("retention.bytes", "1000", ON_TOPIC),
            ("flush.messages", "77", ON_BROKER),
            ("max.message.bytes", "5000", ON_CLUSTER),
            ("segment.bytes", "2000000", IN_FILE),
            ("compression.type", "producer", BY_DEFAULT),
        ] {
            let config = find(result, key);
            let told = (config.value.as_deref(), config.config_source, config.is_sensitive, config.read_only);
            assert_eq!(told, (Some(value), source, false, false), "{key} in version {version}");
            assert_eq!(config.config_type != 0, version >= 3, "{key}: its type is told");
            assert_eq!(config.documentation.as_deref().unwrap_or_default(), "", "nobody asked");
        }
        let mut names: Vec<_> = result.configs.iter().map(|config| config.name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), result.configs.len(), "each key once");
    }
}

#[tokio::test]
async fn synonyms_tell_what_a_value_won_against() {
    let broker = TestBroker::start_with("log.retention.bytes=1\n").await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[("retention.bytes", "4")]).await;
    client.configure(BROKER, "", "log.retention.bytes", "2").await;
    client.configure(BROKER, "1", "log.retention.bytes", "3").await;
    for version in VERSIONS {
        let result = describe(&mut client, version, vec![resource(TOPIC, "t", Some(&["retention.bytes"]))])
            .await
            .remove(0);
        let synonyms = &find(&result, "retention.bytes").synonyms;
        let told: Vec<_> =
            synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref().unwrap(), s.source)).collect();
        let expected = [
            ("retention.bytes", "4", ON_TOPIC),
            ("log.retention.bytes", "3", ON_BROKER),
            ("log.retention.bytes", "2", ON_CLUSTER),
            ("log.retention.bytes", "1", IN_FILE),
            ("log.retention.bytes", "-1", BY_DEFAULT),
        ];
        assert_eq!(told, expected, "version {version}");
        let request =
            DescribeConfigsRequest { resources: vec![resource(TOPIC, "t", None)], ..Default::default() };
        let plain = client.call(version, request).await.results.remove(0);
        assert!(plain.configs.iter().all(|config| config.synonyms.is_empty()), "nobody asked");
    }
}

#[tokio::test]
async fn documentation_is_told_when_it_is_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in [3, 4] {
        let request = DescribeConfigsRequest {
            resources: vec![resource(TOPIC, "t", None), resource(BROKER, "1", None)],
            include_documentation: true,
            ..DescribeConfigsRequest::default()
        };
        for result in client.call(version, request).await.results {
            for config in result.configs {
                assert!(config.documentation.is_some_and(|text| !text.is_empty()), "{}", config.name);
            }
        }
    }
}

#[tokio::test]
async fn keys_that_are_asked_for_are_told_and_no_others() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        let keys = ["retention.ms", "no.such.key", "cleanup.policy", "retention.ms"];
        let result = describe(&mut client, version, vec![resource(TOPIC, "t", Some(&keys))]).await.remove(0);
        let mut names: Vec<_> = result.configs.iter().map(|config| config.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!((result.error_code, names), (0, vec!["cleanup.policy", "retention.ms"]));
        let all = describe(&mut client, version, vec![resource(TOPIC, "t", Some(&[]))]).await.remove(0);
        assert!(all.configs.len() > 20, "no keys means all");
    }
}

#[tokio::test]
async fn a_broker_tells_its_own_values_and_those_of_all_brokers() {
    let broker = TestBroker::start_with("max.connections.per.ip=500\n").await;
    let mut client = broker.connect().await;
    client.configure(BROKER, "", "max.connections", "1000").await;
    for version in VERSIONS {
        let own = describe(&mut client, version, vec![resource(BROKER, "1", None)]).await.remove(0);
        assert_eq!(error(own.error_code), ErrorCode::None);
        let told = |name: &str| {
            let config = find(&own, name);
            (config.value.as_deref().unwrap(), config.config_source, config.read_only)
        };
        assert_eq!(told("max.connections"), ("1000", ON_CLUSTER, false));
        assert_eq!(told("max.connections.per.ip"), ("500", IN_FILE, false));
        assert_eq!(told("node.id"), ("1", IN_FILE, true));
        assert_eq!(told("num.partitions"), ("1", BY_DEFAULT, true));

        let all = describe(&mut client, version, vec![resource(BROKER, "", None)]).await.remove(0);
        assert_eq!(error(all.error_code), ErrorCode::None);
        let told: Vec<_> = all
            .configs
            .iter()
            .map(|config| (config.name.as_str(), config.value.as_deref().unwrap()))
            .collect();
        // The controller sets min.insync.replicas when it begins, so that all count by the same number (KIP-966).
        let expected = [("max.connections", "1000"), ("min.insync.replicas", "1")];
        assert_eq!(told, expected, "what is set for all brokers, and only that");
    }
}

#[tokio::test]
async fn each_resource_is_answered_for_itself() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        let wanted = [
            (TOPIC, "t", ErrorCode::None),
            (TOPIC, "u", ErrorCode::UnknownTopicOrPartition),
            (TOPIC, "a b", ErrorCode::InvalidTopicException),
            (TOPIC, "", ErrorCode::InvalidTopicException),
            (BROKER, "1", ErrorCode::None),
            (BROKER, "2", ErrorCode::InvalidRequest),
            (BROKER, "one", ErrorCode::InvalidRequest),
            (8, "1", ErrorCode::InvalidRequest),
            (0, "t", ErrorCode::InvalidRequest),
            (99, "t", ErrorCode::InvalidRequest),
        ];
        let resources = wanted.iter().map(|(kind, name, _)| resource(*kind, name, None)).collect();
        let results = describe(&mut client, version, resources).await;
        let told: Vec<_> = results
            .iter()
            .map(|result| (result.resource_type, result.resource_name.as_str(), error(result.error_code)))
            .collect();
        assert_eq!(told, wanted, "version {version}");
        for result in &results {
            let is_told_why = result.error_message.as_ref().is_some_and(|message| !message.is_empty());
            assert_eq!(is_told_why, result.error_code != 0);
            assert_eq!(result.configs.is_empty(), result.error_code != 0);
        }
    }
}
