//! IncrementalAlterConfigs, in all its versions: single keys of resources (KIP-339), and that they take effect.

use ottla_types::ErrorCode;
use ottla_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::common::configs::{
    APPEND, BROKER, DELETE, IN_FILE, ON_BROKER, ON_CLUSTER, ON_TOPIC, SET, SUBTRACT, TOPIC, change, changes,
};
use crate::common::records::{headers, sized, text};
use crate::common::{Client, TestBroker, error};

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;

async fn alter(
    client: &mut Client,
    version: i16,
    resources: Vec<AlterConfigsResource>,
    validate_only: bool,
) -> Vec<ErrorCode> {
    let wanted: Vec<_> = resources.iter().map(|r| (r.resource_type, r.resource_name.clone())).collect();
    let request = IncrementalAlterConfigsRequest { resources, validate_only, ..Default::default() };
    let responses = client.call(version, request).await.responses;
    let told: Vec<_> = responses.iter().map(|r| (r.resource_type, r.resource_name.clone())).collect();
    assert_eq!(told, wanted, "in the order of the request");
    for answer in &responses {
        assert_eq!(answer.error_message.is_some(), answer.error_code != 0, "{answer:?}");
    }
    responses.iter().map(|answer| error(answer.error_code)).collect()
}

async fn alter_topic(client: &mut Client, version: i16, configs: Vec<AlterableConfig>) -> ErrorCode {
    alter(client, version, vec![changes(TOPIC, "t", configs)], false).await[0]
}

async fn value(client: &mut Client, key: &str) -> (String, i8) {
    client.config(TOPIC, "t", key).await.unwrap()
}

#[tokio::test]
async fn single_keys_are_set_and_deleted_and_the_others_stay() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[("retention.bytes", "1")]).await;
    for version in VERSIONS {
        let set = vec![change(SET, "flush.messages", Some("10")), change(SET, "segment.ms", Some("1000"))];
        assert_eq!(alter_topic(&mut client, version, set).await, ErrorCode::None);
        assert_eq!(value(&mut client, "flush.messages").await, ("10".to_owned(), ON_TOPIC));
        let delete = vec![change(DELETE, "flush.messages", None), change(DELETE, "flush.ms", None)];
        assert_eq!(alter_topic(&mut client, version, delete).await, ErrorCode::None, "also what is not set");
        assert_ne!(value(&mut client, "flush.messages").await.1, ON_TOPIC);
        assert_eq!(value(&mut client, "segment.ms").await, ("1000".to_owned(), ON_TOPIC));
        assert_eq!(value(&mut client, "retention.bytes").await, ("1".to_owned(), ON_TOPIC));
    }
}

#[tokio::test]
async fn items_are_added_to_lists_and_taken_out() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        let name = format!("t{version}");
        client.create_topic(&name, 1, &[]).await;
        for (operation, item, expected) in [
            (APPEND, "compact", "delete,compact"),
            (APPEND, "compact", "delete,compact"),
            (SUBTRACT, "delete", "compact"),
            (SUBTRACT, "delete", "compact"),
        ] {
            let resource = changes(TOPIC, &name, vec![change(operation, "cleanup.policy", Some(item))]);
            assert_eq!(alter(&mut client, version, vec![resource], false).await, [ErrorCode::None]);
            assert_eq!(client.config(TOPIC, &name, "cleanup.policy").await.unwrap().0, expected);
        }
        let resource = changes(TOPIC, &name, vec![change(APPEND, "retention.ms", Some("1"))]);
        assert_eq!(
            alter(&mut client, version, vec![resource], false).await,
            [ErrorCode::InvalidConfig],
            "no list"
        );
    }
}

#[tokio::test]
async fn each_resource_is_answered_for_itself_and_a_refused_one_stays_as_it_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.create_topic("other", 1, &[]).await;
    let set = |key: &str, value: &str| vec![change(SET, key, Some(value))];
    for version in VERSIONS {
        let both = vec![change(SET, "retention.bytes", Some("9")), change(SET, "retention.ms", Some("soon"))];
        let resources = vec![
            changes(TOPIC, "t", both),
            changes(TOPIC, "other", set("retention.bytes", "5")),
            changes(TOPIC, "u", set("retention.bytes", "5")),
            changes(TOPIC, "a b", set("retention.bytes", "5")),
            changes(TOPIC, "", set("retention.bytes", "5")),
            changes(BROKER, "", set("log.dirs", "/tmp")),
            changes(BROKER, "1", set("no.such.key", "1")),
            changes(BROKER, "2", set("max.connections", "5")),
            changes(8, "1", set("kafka", "DEBUG")),
            changes(99, "x", set("a", "b")),
        ];
        let expected = [
            ErrorCode::InvalidConfig,
            ErrorCode::None,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidTopicException,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
        ];
        assert_eq!(alter(&mut client, version, resources, false).await, expected, "version {version}");
        assert_eq!(value(&mut client, "retention.bytes").await.0, "-1");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_invalid() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    let invalid = ErrorCode::InvalidRequest;
    for version in VERSIONS {
        let set = change(SET, "retention.bytes", Some("1"));
        assert_eq!(alter_topic(&mut client, version, vec![set.clone(), set.clone()]).await, invalid, "twice");
        assert_eq!(alter_topic(&mut client, version, vec![change(SET, "retention.ms", None)]).await, invalid);
        assert_eq!(
            alter_topic(&mut client, version, vec![change(4, "retention.ms", Some("1"))]).await,
            invalid
        );
        let twice = vec![changes(TOPIC, "t", vec![set.clone()]), changes(TOPIC, "t", vec![set])];
        assert_eq!(alter(&mut client, version, twice, false).await, [invalid, invalid]);
    }
    assert_eq!(value(&mut client, "retention.bytes").await.0, "-1");
}

#[tokio::test]
async fn what_is_only_checked_is_not_changed() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        let resource = |value| changes(TOPIC, "t", vec![change(SET, "retention.bytes", Some(value))]);
        assert_eq!(alter(&mut client, version, vec![resource("1")], true).await, [ErrorCode::None]);
        assert_eq!(
            alter(&mut client, version, vec![resource("one")], true).await,
            [ErrorCode::InvalidConfig]
        );
    }
    assert_eq!(value(&mut client, "retention.bytes").await.0, "-1");
}

#[tokio::test]
async fn a_topics_value_wins_over_this_brokers_over_all_brokers_over_the_file() {
    let broker = TestBroker::start_with("message.max.bytes=1000\n").await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    let key = "max.message.bytes";
    assert_eq!(value(&mut client, key).await, ("1000".to_owned(), IN_FILE));
    client.configure(BROKER, "", "message.max.bytes", "2000").await;
    assert_eq!(value(&mut client, key).await, ("2000".to_owned(), ON_CLUSTER));
    client.configure(BROKER, "1", "message.max.bytes", "3000").await;
    assert_eq!(value(&mut client, key).await, ("3000".to_owned(), ON_BROKER));
    client.configure(TOPIC, "t", key, "4000").await;
    assert_eq!(value(&mut client, key).await, ("4000".to_owned(), ON_TOPIC));
}

#[tokio::test]
async fn the_next_batch_is_judged_by_what_was_changed() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for (kind, name, key) in [
        (BROKER, "", "message.max.bytes"),
        (BROKER, "1", "message.max.bytes"),
        (TOPIC, "t", "max.message.bytes"),
    ] {
        client.configure(kind, name, key, "500").await;
        let refused = client.produce_to(13, 1, &topic, 0, sized(501)).await;
        assert_eq!(error(refused.error_code), ErrorCode::MessageTooLarge, "{key} of {name:?}");
        client.configure(kind, name, key, "600").await;
        assert_eq!(client.produce_to(13, 1, &topic, 0, sized(501)).await.error_code, 0);
    }
    client.configure(TOPIC, "t", "compression.type", "gzip").await;
    let written = client.produce_to(13, 1, &topic, 0, text(&["a"])).await;
    let records = client.fetch_from(13, &topic, written.base_offset).await.records.unwrap();
    assert_eq!(headers(&records)[0].attributes.codec(), Ok(ottla_records::Codec::Gzip));
}

#[tokio::test]
async fn what_was_changed_outlives_the_broker() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.configure(TOPIC, "t", "retention.bytes", "12345").await;
    client.configure(BROKER, "1", "message.max.bytes", "500").await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(value(&mut client, "retention.bytes").await, ("12345".to_owned(), ON_TOPIC));
    let refused = client.produce_to(13, 1, &topic, 0, sized(501)).await;
    assert_eq!(error(refused.error_code), ErrorCode::MessageTooLarge);
}
