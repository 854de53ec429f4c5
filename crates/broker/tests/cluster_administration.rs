//! Administration of a cluster of three: whichever broker is asked, the active controller decides, and the broker that was
//! asked knows of it when it answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use bytes::Bytes;
use common::Client;
use common::cluster::{Cluster, leaders};
use ottla_types::ErrorCode;
use ottla_wire::alter_configs::{self as legacy, AlterConfigsRequest};
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignableTopic,
};
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData};
use ottla_wire::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use ottla_wire::envelope::{DefaultPrincipalData, EnvelopeRequest};
use ottla_wire::frame::{LENGTH_SIZE, encode_request};
use ottla_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_wire::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};
use ottla_wire::unregister_broker::UnregisterBrokerRequest;
use ottla_wire::update_features::{FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse};
use ottla_wire::{ApiKey, Request, RequestHeader};

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

async fn metadata(client: &mut Client) -> MetadataResponse {
    client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await
}

/// The active controller, and another broker.
async fn controller_and_another(cluster: &Cluster) -> (usize, usize) {
    let log = TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![PartitionData::default()],
        ..TopicData::default()
    };
    let request = DescribeQuorumRequest { topics: vec![log], ..DescribeQuorumRequest::default() };
    let told = cluster.connect(1).await.call(2, request).await;
    let controller = usize::try_from(told.topics[0].partitions[0].leader_id).unwrap();
    (controller, controller % 3 + 1)
}

async fn create_assigned(cluster: &Cluster, id: usize, name: &str, partitions: &[&[i32]]) {
    let assignment = |(index, brokers): (i32, &&[i32])| CreatableReplicaAssignment {
        partition_index: index,
        broker_ids: brokers.to_vec(),
        ..CreatableReplicaAssignment::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: (0..).zip(partitions).map(assignment).collect(),
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
    let told = cluster.connect(id).await.call(7, request).await;
    assert_eq!(error(told.topics[0].error_code), ErrorCode::None, "{:?}", told.topics[0].error_message);
}

/// Where the partitions of a topic lie, as a broker says.
async fn replicas(client: &mut Client, topic: &str) -> Vec<Vec<i32>> {
    let told = metadata(client).await;
    let topic = told.topics.iter().find(|known| known.name.as_deref() == Some(topic)).unwrap();
    topic.partitions.iter().map(|partition| partition.replica_nodes.clone()).collect()
}

fn reassignment(
    topic: &str,
    partition_index: i32,
    replicas: Option<&[i32]>,
) -> AlterPartitionReassignmentsRequest {
    let partition = ReassignablePartition {
        partition_index,
        replicas: replicas.map(<[i32]>::to_vec),
        ..ReassignablePartition::default()
    };
    let topic =
        ReassignableTopic { name: topic.into(), partitions: vec![partition], ..ReassignableTopic::default() };
    AlterPartitionReassignmentsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..AlterPartitionReassignmentsRequest::default()
    }
}

fn outcome(told: &AlterPartitionReassignmentsResponse) -> ErrorCode {
    assert_eq!(error(told.error_code), ErrorCode::None, "{told:?}");
    error(told.responses[0].partitions[0].error_code)
}

async fn ongoing(client: &mut Client) -> ListPartitionReassignmentsResponse {
    client.call(0, ListPartitionReassignmentsRequest::default()).await
}

fn election(election_type: i8, partitions: Option<&[(&str, i32)]>) -> ElectLeadersRequest {
    let one = |(topic, index): &(&str, i32)| TopicPartitions {
        topic: (*topic).into(),
        partitions: vec![*index],
        ..TopicPartitions::default()
    };
    ElectLeadersRequest {
        election_type,
        topic_partitions: partitions.map(|partitions| partitions.iter().map(one).collect()),
        timeout_ms: 10_000,
        ..ElectLeadersRequest::default()
    }
}

async fn elect(
    client: &mut Client,
    election_type: i8,
    partitions: Option<&[(&str, i32)]>,
) -> Vec<(String, i32, ErrorCode)> {
    let told = client.call(2, election(election_type, partitions)).await;
    assert_eq!(error(told.error_code), ErrorCode::None);
    let of_topic = |topic: &ottla_wire::elect_leaders::ReplicaElectionResult| {
        let name = topic.topic.to_string();
        let of_partition = |p: &ottla_wire::elect_leaders::PartitionResult| {
            (name.clone(), p.partition_id, error(p.error_code))
        };
        topic.partition_result.iter().map(of_partition).collect::<Vec<_>>()
    };
    told.replica_election_results.iter().flat_map(of_topic).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_something_through_a_broker_sees_it_there_at_once() {
    let cluster = Cluster::start().await;
    for round in 0..5 {
        for id in 1..=3 {
            let name = format!("t-{id}-{round}");
            assert_eq!(cluster.create(id, &name, 3, 3).await, ErrorCode::None);
            let mut client = cluster.connect(id).await;
            assert_eq!(leaders(&metadata(&mut client).await, &name).len(), 3, "through broker {id}");
            let value = format!("{}", 1_000 + round);
            let set = changes(vec![resource(2, &name, &value)]);
            assert_eq!(error(client.call(1, set).await.responses[0].error_code), ErrorCode::None);
            assert_eq!(described(&mut client, 2, &name, "retention.ms").await, value);
        }
    }
}

fn resource(kind: i8, name: &str, value: &str) -> AlterConfigsResource {
    let key = if kind == 2 { "retention.ms" } else { "log.retention.ms" };
    let config = AlterableConfig {
        name: key.into(),
        config_operation: 0,
        value: Some(value.into()),
        ..AlterableConfig::default()
    };
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: vec![config],
        ..AlterConfigsResource::default()
    }
}

fn changes(resources: Vec<AlterConfigsResource>) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest { resources, ..IncrementalAlterConfigsRequest::default() }
}

/// A key's value, as a broker says.
async fn described(client: &mut Client, kind: i8, name: &str, key: &str) -> String {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let told = client.call(4, request).await;
    assert_eq!(error(told.results[0].error_code), ErrorCode::None, "{:?}", told.results[0].error_message);
    told.results[0].configs[0].value.as_deref().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broker_changes_its_own_values_and_nobody_elses() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "orders", 1, 3).await, ErrorCode::None);
    for id in 1..=3 {
        let (own, other) = (id.to_string(), (id % 3 + 1).to_string());
        cluster.await_metadata(id, "the topic", |told| !leaders(told, "orders").is_empty()).await;
        let mut client = cluster.connect(id).await;
        let value = format!("{id}000000");
        let request = changes(vec![
            resource(2, "orders", &value),
            resource(4, &other, &value),
            resource(4, &own, &value),
        ]);
        let told = client.call(1, request).await.responses;
        let codes: Vec<_> = told.iter().map(|r| (&*r.resource_name, error(r.error_code))).collect();
        let expected =
            [("orders", ErrorCode::None), (&*other, ErrorCode::InvalidRequest), (&*own, ErrorCode::None)];
        assert_eq!(codes, expected, "through broker {id}");
        let message = told[1].error_message.as_deref().unwrap();
        assert_eq!(message, format!("Unexpected broker id, expected {own}, but received {other}"));
        assert_eq!(described(&mut client, 4, &own, "log.retention.ms").await, value);
        assert_eq!(described(&mut client, 2, "orders", "retention.ms").await, value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_request_replaces_a_brokers_values_through_that_broker_only() {
    let cluster = Cluster::start().await;
    for id in 1..=3 {
        let legacy = |name: String| legacy::AlterConfigsResource {
            resource_type: 4,
            resource_name: name.as_str().into(),
            configs: vec![legacy::AlterableConfig {
                name: "log.retention.ms".into(),
                value: Some("5000000".into()),
                ..legacy::AlterableConfig::default()
            }],
            ..legacy::AlterConfigsResource::default()
        };
        let request = AlterConfigsRequest {
            resources: vec![legacy((id % 3 + 1).to_string()), legacy(id.to_string())],
            ..AlterConfigsRequest::default()
        };
        let mut client = cluster.connect(id).await;
        let told = client.call(2, request).await.responses;
        let codes: Vec<_> = told.iter().map(|r| error(r.error_code)).collect();
        assert_eq!(codes, [ErrorCode::InvalidRequest, ErrorCode::None], "through broker {id}");
        assert_eq!(described(&mut client, 4, &id.to_string(), "log.retention.ms").await, "5000000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_in_another_order_are_taken_at_once_and_the_new_preferred_leader_can_be_elected() {
    let cluster = Cluster::start().await;
    let (_, asked) = controller_and_another(&cluster).await;
    create_assigned(&cluster, asked, "t", &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]).await;
    let mut client = cluster.connect(asked).await;
    assert_eq!(leaders(&metadata(&mut client).await, "t"), [1, 2, 3]);
    assert_eq!(elect(&mut client, 0, None).await, [], "every leader is the preferred one");
    for (index, order) in [(0, [2, 1, 3]), (1, [3, 2, 1])] {
        let told = client.call(1, reassignment("t", index, Some(&order))).await;
        assert_eq!(outcome(&told), ErrorCode::None);
    }
    assert!(ongoing(&mut client).await.topics.is_empty(), "there is nothing to wait for");
    assert_eq!(replicas(&mut client, "t").await, [[2, 1, 3], [3, 2, 1], [3, 1, 2]]);
    assert_eq!(leaders(&metadata(&mut client).await, "t"), [1, 2, 3], "who leads goes on to lead");

    let named = elect(&mut client, 0, Some(&[("t", 0), ("t", 2), ("t", 7), ("u", 0)])).await;
    let expected = [
        ("t", 0, ErrorCode::None),
        ("t", 2, ErrorCode::ElectionNotNeeded),
        ("t", 7, ErrorCode::UnknownTopicOrPartition),
        ("u", 0, ErrorCode::UnknownTopicOrPartition),
    ];
    assert_eq!(named, expected.map(|(topic, index, error)| (topic.to_owned(), index, error)));
    assert_eq!(leaders(&metadata(&mut client).await, "t"), [2, 2, 3]);
    assert_eq!(elect(&mut client, 0, None).await, [("t".to_owned(), 1, ErrorCode::None)]);
    assert_eq!(leaders(&metadata(&mut client).await, "t"), [2, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_only_replica_is_away_gets_no_leader_of_any_kind() {
    let mut cluster = Cluster::start().await;
    create_assigned(&cluster, 1, "t", &[&[3], &[1]]).await;
    cluster.abandon(3);
    cluster.await_metadata(1, "no leader of t-0", |told| leaders(told, "t") == [-1, 1]).await;
    let mut client = cluster.connect(1).await;
    for (kind, expected) in
        [(0, ErrorCode::PreferredLeaderNotAvailable), (1, ErrorCode::EligibleLeadersNotAvailable)]
    {
        let expected = [("t".to_owned(), 0, expected)];
        assert_eq!(elect(&mut client, kind, Some(&[("t", 0)])).await, expected);
        assert_eq!(elect(&mut client, kind, None).await, expected, "the other one needs none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_go_go_at_once_unless_their_number_is_to_stay() {
    let cluster = Cluster::start().await;
    let (_, asked) = controller_and_another(&cluster).await;
    create_assigned(&cluster, asked, "t", &[&[1, 2, 3]]).await;
    let mut client = cluster.connect(asked).await;
    let fewer = reassignment("t", 0, Some(&[2, 3]));
    let strict =
        AlterPartitionReassignmentsRequest { allow_replication_factor_change: false, ..fewer.clone() };
    let told = client.call(1, strict).await;
    assert!(!told.allow_replication_factor_change, "the answer says what was asked");
    assert_eq!(outcome(&told), ErrorCode::InvalidReplicationFactor);
    assert_eq!(outcome(&client.call(0, fewer).await), ErrorCode::None);
    assert_eq!(replicas(&mut client, "t").await, [[2, 3]]);
    assert!(ongoing(&mut client).await.topics.is_empty());
    let leader = leaders(&metadata(&mut client).await, "t")[0];
    assert!([2, 3].contains(&leader), "{leader} leads, and has no replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_to_come_is_listed_everywhere_until_it_is_there_or_given_up() {
    let mut cluster = Cluster::start().await;
    create_assigned(&cluster, 1, "t", &[&[1], &[2]]).await;
    // It cannot come as long as its broker is away.
    cluster.abandon(3);
    cluster.await_brokers(1, 2).await;
    let mut client = cluster.connect(2).await;
    assert_eq!(outcome(&client.call(1, reassignment("t", 0, Some(&[3]))).await), ErrorCode::None);
    for id in 1..=2 {
        let told = ongoing(&mut cluster.connect(id).await).await;
        assert_eq!(told.topics.len(), 1, "through broker {id}: {told:?}");
        let partition = &told.topics[0].partitions[0];
        assert_eq!((&*told.topics[0].name, partition.partition_index), ("t", 0));
        let moving = (&*partition.replicas, &*partition.adding_replicas, &*partition.removing_replicas);
        assert_eq!(moving, (&[3, 1][..], &[3][..], &[1][..]));
    }
    assert_eq!(
        outcome(&client.call(1, reassignment("t", 1, None)).await),
        ErrorCode::NoReassignmentInProgress
    );
    assert_eq!(
        outcome(&client.call(1, reassignment("t", 1, Some(&[4]))).await),
        ErrorCode::InvalidReplicaAssignment
    );
    assert_eq!(outcome(&client.call(1, reassignment("t", 0, None)).await), ErrorCode::None);
    assert!(ongoing(&mut client).await.topics.is_empty());
    assert_eq!(replicas(&mut client, "t").await, [[1], [2]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_died_can_be_forgotten_and_comes_back_when_it_is_started() {
    let mut cluster = Cluster::start().await;
    cluster.abandon(3);
    cluster.await_brokers(1, 2).await;
    let mut client = cluster.connect(1).await;
    let all = DescribeClusterRequest { include_fenced_brokers: true, ..DescribeClusterRequest::default() };
    let known = |told: ottla_wire::describe_cluster::DescribeClusterResponse| {
        let mut ids: Vec<_> = told.brokers.iter().map(|broker| broker.broker_id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(known(client.call(2, all.clone()).await), [1, 2, 3]);
    let request = UnregisterBrokerRequest { broker_id: 3, ..UnregisterBrokerRequest::default() };
    let told = client.call(0, request.clone()).await;
    assert_eq!((error(told.error_code), told.error_message), (ErrorCode::None, None));
    assert_eq!(known(client.call(2, all).await), [1, 2], "the broker that was asked knows");
    let told = client.call(0, request).await;
    assert_eq!(error(told.error_code), ErrorCode::BrokerIdNotRegistered);
    cluster.restart(3).await;
    for id in 1..=3 {
        cluster.await_brokers(id, 3).await;
    }
}

const FEATURE: &str = "ottla.metadata.version";

async fn update(client: &mut Client, level: i16, kind: i8, validate_only: bool) -> UpdateFeaturesResponse {
    let update = FeatureUpdateKey {
        feature: FEATURE.into(),
        max_version_level: level,
        upgrade_type: kind,
        ..FeatureUpdateKey::default()
    };
    let request = UpdateFeaturesRequest {
        feature_updates: vec![update],
        validate_only,
        ..UpdateFeaturesRequest::default()
    };
    client.call(2, request).await
}

async fn features(client: &mut Client) -> ApiVersionsResponse {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    client.call(4, request).await
}

async fn level(client: &mut Client) -> Option<i16> {
    let told = features(client).await;
    let feature = told.finalized_features.iter().find(|feature| &*feature.name == FEATURE)?;
    assert_eq!(feature.min_version_level, feature.max_version_level);
    Some(feature.max_version_level)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_a_feature_is_raised_and_lowered_where_all_brokers_know_it() {
    let cluster = Cluster::start().await;
    let (controller, another) = controller_and_another(&cluster).await;
    for asked in [controller, another] {
        let mut client = cluster.connect(asked).await;
        let told = features(&mut client).await;
        let supported = told.supported_features.iter().find(|feature| &*feature.name == FEATURE).unwrap();
        assert_eq!((supported.min_version, supported.max_version), (0, 1));
        assert_eq!(error(update(&mut client, 1, 1, true).await.error_code), ErrorCode::None);
        assert_eq!(level(&mut client).await, None, "it was only tried");
        assert_eq!(error(update(&mut client, 1, 1, false).await.error_code), ErrorCode::None);
        assert_eq!(level(&mut client).await, Some(1));
        let raised = features(&mut client).await.finalized_features_epoch;
        assert!(raised > told.finalized_features_epoch);
        for (level, kind, why) in
            [(0, 1, "setting the upgrade type"), (2, 1, "only supports versions 0-1"), (1, 9, "upgrade type")]
        {
            let told = update(&mut client, level, kind, false).await;
            assert_eq!(error(told.error_code), ErrorCode::InvalidUpdateVersion);
            let message = told.error_message.unwrap();
            assert!(message.contains(why), "{message}");
        }
        assert_eq!(error(update(&mut client, 0, 2, false).await.error_code), ErrorCode::None);
        assert_eq!(level(&mut client).await, None);
    }
}

/// A request as it is in an Envelope.
fn enveloped(request: impl Into<Request>, api: ApiKey, version: i16) -> EnvelopeRequest {
    let header = RequestHeader { client_id: Some("test".into()), ..RequestHeader::new(api, version, 7) };
    let frame = encode_request(&header, &request.into()).unwrap().into_bytes();
    let principal =
        DefaultPrincipalData { kind: "User".into(), name: "alice".into(), ..DefaultPrincipalData::default() };
    EnvelopeRequest {
        request_data: frame.slice(LENGTH_SIZE..),
        request_principal: Some(principal.to_bytes().unwrap()),
        client_host_address: Bytes::from_static(&[192, 0, 2, 1]),
        ..EnvelopeRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_is_opened_if_it_says_who_asked_for_something_that_is_the_controllers() {
    let cluster = Cluster::start().await;
    let (controller, another) = controller_and_another(&cluster).await;
    let address = |id: usize| {
        let voter = cluster.voters.split(',').nth(id - 1).unwrap();
        voter.split_once('@').unwrap().1.parse().unwrap()
    };
    let good = enveloped(ListPartitionReassignmentsRequest::default(), ApiKey::ListPartitionReassignments, 0);
    let mut client = Client::open(address(controller)).await;
    let told = client.call(0, good.clone()).await;
    assert_eq!(error(told.error_code), ErrorCode::None);
    assert!(told.response_data.is_some() && told.metadata_end().is_some());

    let told = Client::open(address(another)).await.call(0, good.clone()).await;
    assert_eq!(error(told.error_code), ErrorCode::NotController);
    assert_eq!(told.response_data, None);

    let refused = [
        (
            EnvelopeRequest { request_principal: None, ..good.clone() },
            ErrorCode::PrincipalDeserializationFailure,
        ),
        (
            EnvelopeRequest { client_host_address: Bytes::from_static(b"abc"), ..good.clone() },
            ErrorCode::InvalidRequest,
        ),
        (
            EnvelopeRequest { request_data: Bytes::from_static(b"\0"), ..good.clone() },
            ErrorCode::UnsupportedVersion,
        ),
        (enveloped(MetadataRequest::default(), ApiKey::Metadata, 12), ErrorCode::InvalidRequest),
    ];
    for (envelope, expected) in refused {
        let told = client.call(0, envelope).await;
        assert_eq!((error(told.error_code), told.response_data), (expected, None));
    }
}
