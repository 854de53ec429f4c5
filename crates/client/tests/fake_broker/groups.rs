//! Claims about groups seen from outside: coordinators, descriptions, offsets.

use std::collections::BTreeMap;

use ottla_client::{Address, Client, ClientOptions, CommittedOffset, Error, GroupList};
use ottla_env::Env;
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::consumer_protocol::{ConsumerProtocolAssignment, TopicPartition};
use ottla_wire::delete_groups::{DeletableGroupResult, DeleteGroupsResponse};
use ottla_wire::describe_groups::{DescribeGroupsResponse, DescribedGroup, DescribedGroupMember};
use ottla_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::list_groups::{ListGroupsResponse, ListedGroup};
use ottla_wire::offset_commit::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::offset_delete::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_wire::{ApiKey, Request};

use super::fake::{Bound, FakeBroker, Reply, TOPIC, at, connect, metadata, options, versions};

/// FindCoordinator answered in the terms of both its forms: the coordinator is at this address.
pub(super) fn found(request: &FindCoordinatorRequest, address: &Address) -> FindCoordinatorResponse {
    let (host, port) = (address.host(), i32::from(address.port()));
    if request.coordinator_keys.is_empty() {
        assert_eq!((request.key.as_str(), request.key_type), ("readers", 0));
        return FindCoordinatorResponse { node_id: 1, host: host.into(), port, ..Default::default() };
    }
    assert_eq!(request.coordinator_keys, ["readers"]);
    let coordinator =
        Coordinator { key: "readers".into(), node_id: 1, host: host.into(), port, ..Default::default() };
    FindCoordinatorResponse { coordinators: vec![coordinator], ..Default::default() }
}

/// One broker, which coordinates the group and answers the rest by the script.
async fn coordinating(
    highest: &[(ApiKey, i16)],
    mut script: impl FnMut(i16, Request) -> Reply + Send + 'static,
) -> FakeBroker {
    let bound = Bound::new().await;
    let address = bound.address.clone();
    let brokers = BTreeMap::from([(1, address.clone())]);
    bound.run_with_versions(versions(highest), move |header, request| match request {
        Request::Metadata(_) => metadata(&brokers, &[1, 1]).into(),
        Request::FindCoordinator(request) => found(&request, &address).into(),
        request => script(header.api_version, request),
    })
}

fn assigned(partitions: &[i32]) -> ConsumerProtocolAssignment {
    let topic =
        TopicPartition { topic: TOPIC.into(), partitions: partitions.to_vec(), ..TopicPartition::default() };
    ConsumerProtocolAssignment { assigned_partitions: vec![topic], ..Default::default() }
}

fn described(state: &str) -> DescribeGroupsResponse {
    let member = DescribedGroupMember {
        member_id: "m-1".into(),
        group_instance_id: Some("i-1".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        member_assignment: assigned(&[1, 0]).to_bytes(1).unwrap(),
        ..Default::default()
    };
    let group = DescribedGroup {
        group_id: "readers".into(),
        group_state: state.into(),
        protocol_type: "consumer".into(),
        protocol_data: "range".into(),
        members: vec![member],
        ..Default::default()
    };
    DescribeGroupsResponse { groups: vec![group], ..Default::default() }
}

#[tokio::test]
async fn a_group_is_described_with_what_each_member_has() {
    let broker = coordinating(&[], |_, _| described("Stable").into()).await;
    let group = connect(&broker).await.describe_group("readers").await.unwrap();
    assert_eq!((group.state.as_str(), group.protocol.as_str()), ("Stable", "range"));
    assert_eq!(group.coordinator, broker.address);
    let member = &group.members[0];
    assert_eq!((member.member_id.as_str(), member.instance_id.as_deref()), ("m-1", Some("i-1")));
    assert_eq!((member.client_id.as_str(), member.host.as_str()), ("c", "/127.0.0.1"));
    assert_eq!(member.assignment, [at(0), at(1)]);
}

#[tokio::test]
async fn an_assignment_that_is_none_is_told_and_not_shown_as_empty() {
    let broker = coordinating(&[], |_, _| {
        let mut response = described("Stable");
        response.groups[0].members[0].member_assignment = vec![0, 1, 0, 0].into();
        response.into()
    })
    .await;
    let error = connect(&broker).await.describe_group("readers").await.unwrap_err().to_string();
    assert!(error.contains("the assignment of the member m-1"), "{error}");
}

#[tokio::test]
async fn a_group_that_old_brokers_call_dead_does_not_exist() {
    for (highest, state, code) in [(5, "Dead", ErrorCode::None), (6, "Dead", ErrorCode::GroupIdNotFound)] {
        let broker = coordinating(&[(ApiKey::DescribeGroups, highest)], move |_, _| {
            let mut response = described(state);
            response.groups[0].error_code = code.code();
            response.into()
        })
        .await;
        let error = connect(&broker).await.describe_group("readers").await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::GroupIdNotFound), "version {highest}");
        assert!(error.to_string().contains("group readers"), "{error}");
    }
}

#[tokio::test]
async fn the_coordinator_is_looked_up_once_and_again_when_it_has_moved() {
    let mut codes = vec![
        ErrorCode::None,
        ErrorCode::None,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
        ErrorCode::None,
    ]
    .into_iter();
    let broker = coordinating(&[(ApiKey::FindCoordinator, 3)], move |_, _| {
        let result = DeletableGroupResult {
            group_id: "readers".into(),
            error_code: codes.next().unwrap().code(),
            ..Default::default()
        };
        DeleteGroupsResponse { results: vec![result], ..Default::default() }.into()
    })
    .await;
    let client = connect(&broker).await;
    client.delete_group("readers").await.unwrap();
    client.delete_group("readers").await.unwrap();
    assert_eq!(broker.count(ApiKey::FindCoordinator), 1);
    // Still loading is waited for at the same broker; only who is not it sends back to the lookup.
    client.delete_group("readers").await.unwrap();
    assert_eq!((broker.count(ApiKey::DeleteGroups), broker.count(ApiKey::FindCoordinator)), (5, 2));
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_names_the_group() {
    let broker = coordinating(&[], |_, _| {
        let result = DeletableGroupResult {
            group_id: "readers".into(),
            error_code: ErrorCode::NonEmptyGroup.code(),
            ..Default::default()
        };
        DeleteGroupsResponse { results: vec![result], ..Default::default() }.into()
    })
    .await;
    let error = connect(&broker).await.delete_group("readers").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NonEmptyGroup));
    assert!(error.to_string().contains("group readers"), "{error}");
    assert_eq!(broker.count(ApiKey::DeleteGroups), 1);
}

fn batched(partitions: &[(i32, i64, ErrorCode)]) -> OffsetFetchResponse {
    let partition = |&(index, offset, code): &(i32, i64, ErrorCode)| OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: 3,
        metadata: Some("note".into()),
        error_code: code.code(),
        ..Default::default()
    };
    let topic = OffsetFetchResponseTopics {
        name: TOPIC.into(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    let group =
        OffsetFetchResponseGroup { group_id: "readers".into(), topics: vec![topic], ..Default::default() };
    OffsetFetchResponse { groups: vec![group], ..Default::default() }
}

fn unbatched() -> OffsetFetchResponse {
    let partition = |index, offset| OffsetFetchResponsePartition {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: 3,
        metadata: Some("note".into()),
        ..Default::default()
    };
    let topic = OffsetFetchResponseTopic {
        name: TOPIC.into(),
        partitions: vec![partition(0, 7), partition(1, -1)],
        ..Default::default()
    };
    OffsetFetchResponse { topics: vec![topic], ..Default::default() }
}

#[tokio::test]
async fn committed_offsets_are_read_in_the_words_of_every_version() {
    for highest in [2, 5, 7, 8, 10] {
        let broker = coordinating(&[(ApiKey::OffsetFetch, highest)], move |version, request| {
            assert_eq!(version, highest.min(9), "names topics by name");
            let Request::OffsetFetch(request) = request else { panic!("{request:?}") };
            if version < 8 {
                assert!(request.topics.is_none());
                return unbatched().into();
            }
            assert!(request.groups[0].topics.is_none());
            batched(&[(0, 7, ErrorCode::None), (1, -1, ErrorCode::None)]).into()
        })
        .await;
        let committed = connect(&broker).await.committed_offsets("readers", None).await.unwrap();
        let epoch = LeaderEpoch(if highest < 5 { -1 } else { 3 });
        let expected = CommittedOffset { offset: Offset(7), leader_epoch: epoch, metadata: "note".into() };
        assert_eq!(committed, BTreeMap::from([(at(0), expected)]), "version {highest}");
    }
}

#[tokio::test]
async fn the_error_of_one_offset_names_its_partition() {
    let broker = coordinating(&[], |_, _| {
        batched(&[(0, 7, ErrorCode::None), (1, -1, ErrorCode::TopicAuthorizationFailed)]).into()
    })
    .await;
    let client = connect(&broker).await;
    let error = client.committed_offsets("readers", Some(&[at(0), at(1)])).await.unwrap_err().to_string();
    assert!(error.contains("orders-1 in group readers"), "{error}");
}

fn committed(codes: &[ErrorCode]) -> OffsetCommitResponse {
    let partition = |(index, code): (usize, &ErrorCode)| OffsetCommitResponsePartition {
        partition_index: index as i32,
        error_code: code.code(),
        ..Default::default()
    };
    let topic = OffsetCommitResponseTopic {
        name: TOPIC.into(),
        partitions: codes.iter().enumerate().map(partition).collect(),
        ..Default::default()
    };
    OffsetCommitResponse { topics: vec![topic], ..Default::default() }
}

#[tokio::test]
async fn offsets_are_set_by_who_is_no_member() {
    let broker = coordinating(&[], |_, request| {
        let Request::OffsetCommit(request) = request else { panic!("{request:?}") };
        assert_eq!((request.generation_id_or_member_epoch, request.member_id.as_str()), (-1, ""));
        let partition = &request.topics[0].partitions[0];
        assert_eq!((partition.committed_offset, partition.committed_leader_epoch), (5, -1));
        committed(&[ErrorCode::None]).into()
    })
    .await;
    let offsets = BTreeMap::from([(at(0), Offset(5).into())]);
    connect(&broker).await.commit_offsets("readers", &offsets).await.unwrap();
}

#[tokio::test]
async fn an_offset_that_is_refused_or_left_out_of_the_answer_is_an_error() {
    for (codes, expected) in [
        (&[ErrorCode::None, ErrorCode::UnknownMemberId][..], "orders-1 in group readers"),
        (&[ErrorCode::None], "about 1 partitions, and 2 were asked for"),
    ] {
        let broker = coordinating(&[], move |_, _| committed(codes).into()).await;
        let offsets = BTreeMap::from([(at(0), Offset(5).into()), (at(1), Offset(6).into())]);
        let error = connect(&broker).await.commit_offsets("readers", &offsets).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn deleted_offsets_are_told_partition_by_partition() {
    let broker = coordinating(&[], |_, _| {
        let partition = |index, code: ErrorCode| OffsetDeleteResponsePartition {
            partition_index: index,
            error_code: code.code(),
            ..Default::default()
        };
        let topic = OffsetDeleteResponseTopic {
            name: TOPIC.into(),
            partitions: vec![partition(0, ErrorCode::None), partition(1, ErrorCode::GroupSubscribedToTopic)],
            ..Default::default()
        };
        OffsetDeleteResponse { topics: vec![topic], ..Default::default() }.into()
    })
    .await;
    let results = connect(&broker).await.delete_offsets("readers", &[at(0), at(1)]).await.unwrap();
    assert!(results[&at(0)].is_ok());
    let code = results[&at(1)].as_ref().unwrap_err().code();
    assert_eq!(code, Some(ErrorCode::GroupSubscribedToTopic));
}

#[tokio::test]
async fn every_broker_is_asked_for_its_groups() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let listing = |group: &'static str| {
        let brokers = brokers.clone();
        move |_: &_, request| match request {
            Request::Metadata(_) => metadata(&brokers, &[1]).into(),
            Request::ListGroups(request) => {
                assert_eq!(request.states_filter, ["Stable"]);
                let group = ListedGroup {
                    group_id: group.into(),
                    protocol_type: "consumer".into(),
                    group_state: "Stable".into(),
                    group_type: "classic".into(),
                    ..Default::default()
                };
                ListGroupsResponse { groups: vec![group], ..Default::default() }.into()
            }
            other => panic!("{other:?}"),
        }
    };
    let _second = second.run(listing("b"));
    let first = first.run(listing("a"));
    let client = Client::connect(Env::real(), options(vec![first.address.clone()])).await.unwrap();
    let GroupList { groups, gaps } = client.list_groups(&["Stable".to_owned()], &[]).await.unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    let names: Vec<&str> = groups.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(groups[0].group_type.as_deref(), Some("classic"));
}

#[tokio::test]
async fn a_filter_that_the_broker_does_not_know_is_an_error_and_not_ignored() {
    let broker = coordinating(&[(ApiKey::ListGroups, 4)], |_, _| ListGroupsResponse::default().into()).await;
    let client = connect(&broker).await;
    let error = client.list_groups(&[], &["classic".to_owned()]).await.unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    assert_eq!(client.list_groups(&["Stable".to_owned()], &[]).await.unwrap().groups, []);
}

/// A client that tries nothing again.
async fn connect_briefly(broker: &FakeBroker) -> Client {
    let options =
        ClientOptions { api_timeout: std::time::Duration::ZERO, ..options(vec![broker.address.clone()]) };
    Client::connect(Env::real(), options).await.unwrap()
}

#[tokio::test]
async fn groups_that_one_coordinator_cannot_tell_keep_no_others_from_being_listed() {
    let listing = |groups: &'static [&'static str]| {
        let group = |name: &&str| ListedGroup { group_id: (*name).into(), ..Default::default() };
        move |_, _: Request| -> Reply {
            let groups = groups.iter().map(group).collect();
            let error_code = ErrorCode::CoordinatorNotAvailable.code();
            ListGroupsResponse { groups, error_code, ..Default::default() }.into()
        }
    };
    let broker = coordinating(&[(ApiKey::ListGroups, 5)], listing(&["a", "b"])).await;
    let GroupList { groups, gaps } = connect_briefly(&broker).await.list_groups(&[], &[]).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(matches!(&gaps[..], [gap] if gap.code() == Some(ErrorCode::CoordinatorNotAvailable)), "{gaps:?}");
    let broker = coordinating(&[(ApiKey::ListGroups, 5)], listing(&[])).await;
    let error = connect_briefly(&broker).await.list_groups(&[], &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CoordinatorNotAvailable), "there is nothing else to tell");
}

#[tokio::test]
async fn a_gap_that_closes_is_waited_for_also_beside_one_that_does_not() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let listing = |mut codes: Vec<ErrorCode>| {
        let brokers = brokers.clone();
        move |_: &_, request| match request {
            Request::Metadata(_) => metadata(&brokers, &[1]).into(),
            Request::ListGroups(_) => {
                let code = if codes.len() > 1 { codes.remove(0) } else { codes[0] };
                let loaded = (code == ErrorCode::None)
                    .then(|| ListedGroup { group_id: "loaded".into(), ..Default::default() });
                let groups = loaded.into_iter().collect();
                ListGroupsResponse { groups, error_code: code.code(), ..Default::default() }.into()
            }
            other => panic!("{other:?}"),
        }
    };
    let loading =
        vec![ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable, ErrorCode::None];
    let first = first.run(listing(loading));
    let second = second.run(listing(vec![ErrorCode::ClusterAuthorizationFailed]));
    let GroupList { groups, gaps } = connect(&first).await.list_groups(&[], &[]).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["loaded"]);
    assert!(
        matches!(&gaps[..], [gap] if gap.code() == Some(ErrorCode::ClusterAuthorizationFailed)),
        "{gaps:?}"
    );
    assert_eq!((first.count(ApiKey::ListGroups), second.count(ApiKey::ListGroups)), (3, 3));
}
