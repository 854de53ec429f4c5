//! ListConfigResources, in both its versions.

use ottla_types::ErrorCode;
use ottla_wire::list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use crate::common::configs::{BROKER, TOPIC};
use crate::common::{Client, TestBroker, error};

async fn list(client: &mut Client, version: i16, kinds: &[i8]) -> ListConfigResourcesResponse {
    let request = ListConfigResourcesRequest { resource_types: kinds.to_vec(), ..Default::default() };
    client.call(version, request).await
}

fn told(response: &ListConfigResourcesResponse) -> Vec<(i8, &str)> {
    assert_eq!(error(response.error_code), ErrorCode::None);
    response.config_resources.iter().map(|r| (r.resource_type, r.resource_name.as_str())).collect()
}

#[tokio::test]
async fn version_1_lists_what_can_be_configured_by_its_kind() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for name in ["b", "a"] {
        client.create_topic(name, 1, &[]).await;
    }
    let (node, topics) = ((BROKER, "1"), [(TOPIC, "a"), (TOPIC, "b")]);
    assert_eq!(told(&list(&mut client, 1, &[]).await), [node, topics[0], topics[1]], "no kind means all");
    assert_eq!(told(&list(&mut client, 1, &[TOPIC]).await), topics);
    assert_eq!(told(&list(&mut client, 1, &[BROKER, BROKER]).await), [node]);
    for none_of in [8, 16, 32] {
        assert_eq!(told(&list(&mut client, 1, &[none_of]).await), [], "kind {none_of}");
    }
}

#[tokio::test]
async fn version_0_knows_client_metrics_only_and_there_are_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(told(&list(&mut client, 0, &[]).await), []);
}

#[tokio::test]
async fn a_kind_that_kafka_does_not_have_is_not_supported() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for kind in [0, 1, 3, 127, -1] {
        let response = list(&mut client, 1, &[TOPIC, kind]).await;
        assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion, "kind {kind}");
        assert_eq!(response.config_resources.len(), 0);
    }
}
