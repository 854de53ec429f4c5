//! Claims about describing and changing configurations.

use std::collections::BTreeMap;

use ottla_client::{Client, ConfigChange, ConfigResource};
use ottla_env::Env;
use ottla_types::config::Source;
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::create_partitions::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use ottla_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use ottla_wire::incremental_alter_configs::{AlterConfigsResourceResponse, IncrementalAlterConfigsResponse};
use ottla_wire::{ApiKey, Request};

use super::fake::{Bound, FakeBroker, Reply, alone, connect, metadata, options, topic};

/// Each resource with one key, whose value is the name of the broker that answers.
fn described(request: &DescribeConfigsRequest, by: &str) -> Reply {
    let synonym = DescribeConfigsSynonym {
        name: "log.retention.ms".into(),
        value: Some(by.into()),
        source: 4,
        ..DescribeConfigsSynonym::default()
    };
    let results = request.resources.iter().map(|resource| DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: vec![DescribeConfigsResourceResult {
            name: "retention.ms".into(),
            value: Some(by.into()),
            config_source: 4,
            synonyms: vec![synonym.clone()],
            ..DescribeConfigsResourceResult::default()
        }],
        ..DescribeConfigsResult::default()
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }.into()
}

/// Two brokers that say who they are.
async fn two_brokers() -> (FakeBroker, FakeBroker, Client) {
    let (one, two) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, one.address.clone()), (2, two.address.clone())]);
    let run = |bound: Bound, name: &'static str| {
        let brokers = brokers.clone();
        bound.run(move |_, request| match request {
            Request::Metadata(_) => metadata(&brokers, &[1]).into(),
            Request::DescribeConfigs(request) => described(&request, name),
            _ => Reply::HangUp,
        })
    };
    let (one, two) = (run(one, "one"), run(two, "two"));
    let client = Client::connect(Env::real(), options(vec![one.address.clone()])).await.unwrap();
    (one, two, client)
}

#[tokio::test]
async fn each_broker_is_asked_for_its_own_configuration_and_any_for_that_of_topics() {
    let (one, two, client) = two_brokers().await;
    let resources = [
        ConfigResource::Topic(topic()),
        ConfigResource::AllBrokers,
        ConfigResource::Broker(BrokerId(2)),
        ConfigResource::Broker(BrokerId(1)),
    ];
    let configs = client.configs(&resources).await.unwrap();
    let by: Vec<_> = configs[1..].iter().map(|entries| entries[0].value.as_deref().unwrap()).collect();
    assert_eq!(by, ["one", "two", "one"]);
    let asked = one.count(ApiKey::DescribeConfigs) + two.count(ApiKey::DescribeConfigs);
    assert_eq!(asked, 3, "what one broker tells is one request");
    let entry = &configs[0][0];
    assert_eq!((entry.name.as_str(), entry.source), ("retention.ms", Some(Source::StaticBrokerConfig)));
    assert_eq!(entry.synonyms[0].name, "log.retention.ms");
}

fn altered(code: ErrorCode, message: Option<&str>) -> Reply {
    IncrementalAlterConfigsResponse {
        responses: vec![AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: message.map(Into::into),
            ..AlterConfigsResourceResponse::default()
        }],
        ..IncrementalAlterConfigsResponse::default()
    }
    .into()
}

#[tokio::test]
async fn keys_are_set_and_deleted_in_one_request() {
    let broker = alone(1, |_, _| altered(ErrorCode::None, None)).await;
    let client = connect(&broker).await;
    let changes = [ConfigChange::Set("a".into(), "1".into()), ConfigChange::Unset("b".into())];
    client.alter_configs(&ConfigResource::Broker(BrokerId(1)), &changes, true).await.unwrap();
    let Some((_, Request::IncrementalAlterConfigs(request))) = broker.seen().pop() else { panic!() };
    assert!(request.validate_only);
    let resource = &request.resources[0];
    assert_eq!((resource.resource_type, resource.resource_name.as_str()), (4, "1"));
    let sent: Vec<_> = resource
        .configs
        .iter()
        .map(|c| (c.name.as_str(), c.config_operation, c.value.as_ref().map(|value| value.as_str())))
        .collect();
    assert_eq!(sent, [("a", 0, Some("1")), ("b", 1, None)]);
}

#[tokio::test]
async fn a_change_that_is_refused_is_told_with_the_resource_and_the_brokers_words() {
    let broker = alone(1, |_, _| altered(ErrorCode::InvalidConfig, Some("no such key"))).await;
    let client = connect(&broker).await;
    let changes = [ConfigChange::Unset("b".into())];
    let error = client.alter_configs(&ConfigResource::AllBrokers, &changes, false).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("INVALID_CONFIG") && text.contains("the default of all brokers: no such key"),
        "{text}"
    );
}

#[tokio::test]
async fn partitions_are_added_up_to_a_count_and_a_refusal_names_the_topic() {
    let mut codes = [ErrorCode::NotController, ErrorCode::None, ErrorCode::InvalidPartitions].into_iter();
    let broker = alone(1, move |_, _| {
        let result = CreatePartitionsTopicResult {
            name: topic().as_str().into(),
            error_code: codes.next().unwrap().code(),
            error_message: Some("has that many".into()),
            ..CreatePartitionsTopicResult::default()
        };
        CreatePartitionsResponse { results: vec![result], ..CreatePartitionsResponse::default() }.into()
    })
    .await;
    let client = connect(&broker).await;
    client.create_partitions(&topic(), 6, false).await.unwrap();
    assert_eq!(broker.count(ApiKey::CreatePartitions), 2, "after NOT_CONTROLLER it is asked again");
    let error = client.create_partitions(&topic(), 6, false).await.unwrap_err().to_string();
    assert!(error.contains("INVALID_PARTITIONS") && error.contains("topic orders: has that many"), "{error}");
}
