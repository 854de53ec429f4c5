//! The quorum of three brokers: described and changed through any of them and at controllers' listeners, and missed when
//! most of it is gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::cluster::Cluster;
use common::{Client, PATIENCE, error};
use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::add_raft_voter::{self, AddRaftVoterRequest};
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionData, PartitionResponse, TopicData,
};
use ottla_wire::metadata::MetadataRequest;
use ottla_wire::remove_raft_voter::RemoveRaftVoterRequest;
use ottla_wire::update_raft_voter::{self, KRaftVersionFeature, UpdateRaftVoterRequest};

fn asked() -> DescribeQuorumRequest {
    let partition = PartitionData { partition_index: 0, ..PartitionData::default() };
    let topic = TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![partition],
        ..TopicData::default()
    };
    DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() }
}

/// What broker `id` hands on, once somebody leads.
async fn describe(cluster: &Cluster, id: usize) -> (DescribeQuorumResponse, PartitionResponse) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = cluster.connect(id).await.call(2, asked()).await;
        let is_told = told.error_code == 0 && told.topics[0].partitions[0].error_code == 0;
        if is_told {
            let partition = told.topics[0].partitions[0].clone();
            return (told, partition);
        }
        assert!(tokio::time::Instant::now() < patience, "{told:?}");
    }
}

/// A connection to the controller's listener of a node.
async fn controller(cluster: &Cluster, id: i32) -> Client {
    let voter = cluster.voters.split(',').find_map(|voter| voter.strip_prefix(&format!("{id}@"))).unwrap();
    Client::open(voter.parse::<SocketAddr>().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quorum_is_described_by_any_broker_and_only_by_the_controller_that_leads_it() {
    let cluster = Cluster::start().await;
    let mut leaders = Vec::new();
    for id in 1..=3 {
        let (told, partition) = describe(&cluster, id).await;
        leaders.push(partition.leader_id);
        let voters: Vec<i32> = partition.current_voters.iter().map(|voter| voter.replica_id).collect();
        assert_eq!(voters, [1, 2, 3]);
        for (voter, node) in partition.current_voters.iter().zip(&told.nodes) {
            assert_ne!(voter.replica_directory_id, Uuid([0; 16]));
            assert!(voter.last_fetch_timestamp > 0, "{voter:?}");
            assert_eq!(node.node_id, voter.replica_id);
            let at = format!("{}@{}:{}", node.node_id, node.listeners[0].host, node.listeners[0].port);
            assert!(cluster.voters.contains(&at), "{at}");
        }
    }
    let leader = leaders[0];
    for id in 1..=3 {
        let mut client = controller(&cluster, id).await;
        let served = client.call(3, ApiVersionsRequest::default()).await;
        assert!(
            served.api_keys.iter().any(|api| api.api_key == 55),
            "Kafka's tools look whether it is there"
        );
        let request = DescribeClusterRequest { endpoint_type: 2, ..DescribeClusterRequest::default() };
        let told = client.call(1, request).await;
        assert_eq!((error(told.error_code), told.controller_id), (ErrorCode::None, leader));
        assert_eq!(told.brokers.len(), 3);
        let wrong = client.call(1, DescribeClusterRequest::default()).await;
        assert_eq!(error(wrong.error_code), ErrorCode::MismatchedEndpointType);
        let partition = &client.call(2, asked()).await.topics[0].partitions[0];
        let expected = if id == leader { ErrorCode::None } else { ErrorCode::NotLeaderOrFollower };
        assert_eq!(error(partition.error_code), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_removed_is_one_no_more_and_what_makes_no_sense_is_refused() {
    let cluster = Cluster::start().await;
    let (_, quorum) = describe(&cluster, 1).await;
    // Who leads stays, and so the others can be asked at once.
    let gone =
        quorum.current_voters.iter().find(|voter| voter.replica_id != quorum.leader_id).unwrap().clone();
    let mut client = cluster.connect(usize::try_from(gone.replica_id).unwrap()).await;
    let remove = |directory| RemoveRaftVoterRequest {
        cluster_id: None,
        voter_id: gone.replica_id,
        voter_directory_id: directory,
        ..RemoveRaftVoterRequest::default()
    };
    let add = |id, listener: &str| AddRaftVoterRequest {
        cluster_id: None,
        timeout_ms: 10_000,
        voter_id: id,
        voter_directory_id: gone.replica_directory_id,
        listeners: vec![add_raft_voter::Listener {
            name: listener.into(),
            host: "127.0.0.1".into(),
            port: 9,
            ..add_raft_voter::Listener::default()
        }],
        ..AddRaftVoterRequest::default()
    };
    let elsewhere =
        RemoveRaftVoterRequest { cluster_id: Some("another".into()), ..remove(gone.replica_directory_id) };
    for (request, expected) in [
        (elsewhere, ErrorCode::InconsistentClusterId),
        (remove(Uuid([0; 16])), ErrorCode::InvalidRequest),
        (remove(Uuid([99; 16])), ErrorCode::VoterNotFound),
    ] {
        let told = client.call(0, request).await;
        assert_eq!(error(told.error_code), expected, "{told:?}");
        assert!(told.error_message.is_some());
    }
    for (request, expected) in [
        (add(gone.replica_id, "CONTROLLER"), ErrorCode::DuplicateVoter),
        (add(4, "ELSEWHERE"), ErrorCode::InvalidRequest),
        (add(-1, "CONTROLLER"), ErrorCode::InvalidRequest),
    ] {
        let told = client.call(1, request).await;
        assert_eq!(error(told.error_code), expected, "{told:?}");
    }
    assert_eq!(error(client.call(0, remove(gone.replica_directory_id)).await.error_code), ErrorCode::None);
    for id in 1..=3 {
        let (_, partition) = describe(&cluster, id).await;
        assert_eq!(partition.current_voters.len(), 2, "{partition:?}");
    }
    // It is a broker as before, and follows the metadata.
    let leader = usize::try_from(quorum.leader_id).unwrap();
    assert_eq!(cluster.create(leader, "after", 1, 1).await, ErrorCode::None);
    let follows = async {
        loop {
            let told = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
            if told.topics.iter().any(|topic| topic.name.as_deref() == Some("after")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, follows).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_tells_the_controller_that_leads_where_it_is() {
    let cluster = Cluster::start().await;
    let (_, quorum) = describe(&cluster, 1).await;
    let mut client = controller(&cluster, quorum.leader_id).await;
    let voter = quorum.current_voters.iter().find(|voter| voter.replica_id != quorum.leader_id).unwrap();
    let update = |epoch, max_supported_version| UpdateRaftVoterRequest {
        cluster_id: None,
        current_leader_epoch: epoch,
        voter_id: voter.replica_id,
        voter_directory_id: voter.replica_directory_id,
        // The settings of the others say where it is, so nobody looks for it there.
        listeners: ["EXTRA", "CONTROLLER"]
            .map(|name| update_raft_voter::Listener {
                name: name.into(),
                host: "example.invalid".into(),
                port: 9,
                ..update_raft_voter::Listener::default()
            })
            .into(),
        kraft_version_feature: KRaftVersionFeature {
            max_supported_version,
            ..KRaftVersionFeature::default()
        },
        ..UpdateRaftVoterRequest::default()
    };
    for (request, expected) in [
        (update(quorum.leader_epoch - 1, 1), ErrorCode::FencedLeaderEpoch),
        (update(quorum.leader_epoch + 1, 1), ErrorCode::UnknownLeaderEpoch),
        (update(quorum.leader_epoch, 0), ErrorCode::InvalidRequest),
        (update(quorum.leader_epoch, 1), ErrorCode::None),
    ] {
        let told = client.call(0, request).await;
        assert_eq!(error(told.error_code), expected);
        assert_eq!(told.current_leader.leader_id, quorum.leader_id);
        assert_eq!(told.current_leader.leader_epoch, quorum.leader_epoch);
    }
    let (told, _) = describe(&cluster, 1).await;
    let node = told.nodes.iter().find(|node| node.node_id == voter.replica_id).unwrap();
    let names: Vec<&str> = node.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["CONTROLLER", "EXTRA"], "the one that voters use is first");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_change_is_refused_with_how_many_voters_are_left() {
    let mut cluster = Cluster::start().await;
    cluster.abandon(2);
    cluster.abandon(3);
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..CreateTopicsRequest::default() };
    let mut client = cluster.connect(1).await;
    // While this node leads yet, nobody knows whether a change will be made.
    let patience = tokio::time::Instant::now() + PATIENCE;
    let told = loop {
        let told = client.call(7, request.clone()).await.topics.remove(0);
        if error(told.error_code) == ErrorCode::RequestTimedOut {
            break told;
        }
        assert!(tokio::time::Instant::now() < patience, "{told:?}");
    };
    let message = told.error_message.unwrap();
    assert!(message.contains("has no leader: 1 of 3 voters can be reached (node 2: "), "{message}");
    let told = client.call(2, asked()).await;
    assert_eq!(error(told.error_code), ErrorCode::RequestTimedOut);
    assert_eq!(told.error_message.unwrap(), message);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_loses_with_its_leadership_is_asked_of_the_next_one_and_not_of_the_client() {
    let mut cluster = Cluster::start().await;
    let (_, quorum) = describe(&cluster, 1).await;
    let leader = usize::try_from(quorum.leader_id).unwrap();
    let mut client = cluster.connect(leader).await;
    let others: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    others.iter().for_each(|id| cluster.abandon(*id));
    // It is decided, and there is nobody to commit it.
    let topic = CreatableTopic {
        name: "orders".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..CreateTopicsRequest::default() };
    let created = tokio::spawn(async move { client.call(7, request).await });
    let mut itself = controller(&cluster, quorum.leader_id).await;
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = itself.call(2, asked()).await;
        let code =
            if told.error_code == 0 { told.topics[0].partitions[0].error_code } else { told.error_code };
        if code != 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < patience, "it leads for ever: {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for id in others {
        cluster.restart(id).await;
    }
    let told = created.await.unwrap();
    // The first try may have been committed after all.
    let code = error(told.topics[0].error_code);
    assert!(matches!(code, ErrorCode::None | ErrorCode::TopicAlreadyExists), "{told:?}");
}
