//! Groups in a cluster: their offsets have several replicas, outlive the broker that coordinated them, and are taken only where
//! enough replicas are in sync.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::cluster::Cluster;
use common::groups::{QUICK, fetch_request, simple};
use common::{Client, PATIENCE, Topic, error};
use ottla_env::Env;
use ottla_types::ErrorCode;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_wire::metadata::MetadataResponse;

const GROUP: &str = "g";

/// A cluster with a topic, and a connection to the coordinator of the group, which is that broker.
async fn coordinated(more: &str) -> (Cluster, Topic, usize, Client) {
    coordinated_with(more, 3).await
}

/// The same, with so many replicas of the offsets.
async fn coordinated_with(more: &str, replicas: usize) -> (Cluster, Topic, usize, Client) {
    let cluster = Cluster::start_with(&format!("{QUICK}{more}"), vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
    let (id, mut client) = coordinator(&cluster, &[1, 2, 3]).await;
    await_offsets_topic(&cluster, id, replicas).await;
    let topic = loop {
        match client.find_topic("t").await {
            Some(topic) => break topic,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    (cluster, topic, id, client)
}

/// The broker that says of itself that it coordinates the group and has loaded it, among those that live.
async fn coordinator(cluster: &Cluster, live: &[usize]) -> (usize, Client) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        for id in live {
            let mut client = cluster.connect(*id).await;
            let found = client.find_coordinator(4, GROUP).await.coordinators.remove(0);
            let is_this = found.error_code == 0 && usize::try_from(found.node_id) == Ok(*id);
            if is_this {
                let told = client.call(8, fetch_request(8, GROUP, None, &[])).await;
                if told.groups[0].error_code == 0 {
                    return (*id, client);
                }
            }
        }
        assert!(tokio::time::Instant::now() < patience, "nobody coordinates the group");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a broker knows that all partitions of the offsets topic have so many in sync.
async fn await_offsets_topic(cluster: &Cluster, id: usize, in_sync: usize) {
    let is_so = |told: &MetadataResponse| {
        let mut topics = told.topics.iter();
        topics.find(|topic| topic.name.as_deref() == Some("__consumer_offsets")).is_some_and(|topic| {
            topic.partitions.iter().all(|partition| partition.isr_nodes.len() == in_sync)
        })
    };
    cluster.await_metadata(id, "so many in sync", is_so).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_has_committed_outlives_its_coordinator() {
    let (mut cluster, topic, first, mut client) = coordinated("min.insync.replicas=2\n").await;
    let member = simple(GROUP);
    let mut live = vec![1, 2, 3];
    assert_eq!(client.commit(8, &member, &topic, &[(0, 5)]).await, [(0, ErrorCode::None)]);
    assert_eq!(client.commit(8, &member, &topic, &[(0, 7)]).await, [(0, ErrorCode::None)]);
    cluster.abandon(first);
    live.retain(|id| *id != first);
    let (second, mut client) = coordinator(&cluster, &live).await;
    let committed = client.committed(8, GROUP, &topic, &[0]).await;
    assert_eq!(committed, [(0, Ok((7, -1, "0 at 7".to_owned())))]);
    assert_eq!(client.commit(8, &member, &topic, &[(0, 8)]).await, [(0, ErrorCode::None)]);

    // And one that stops in order, when the first is back.
    cluster.restart(first).await;
    await_offsets_topic(&cluster, second, 3).await;
    cluster.brokers[second - 1].take().unwrap().stop().await.unwrap();
    let live: Vec<usize> = (1..=3).filter(|id| *id != second).collect();
    let (_, mut client) = coordinator(&cluster, &live).await;
    let committed = client.committed(8, GROUP, &topic, &[0]).await;
    assert_eq!(committed, [(0, Ok((8, -1, "0 at 8".to_owned())))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_too_few_would_have_is_not_taken() {
    let (mut cluster, topic, id, mut client) = coordinated("min.insync.replicas=3\n").await;
    let member = simple(GROUP);
    assert_eq!(client.commit(8, &member, &topic, &[(0, 5)]).await, [(0, ErrorCode::None)]);
    let dead = (1..=3).find(|other| *other != id).unwrap();
    cluster.abandon(dead);
    await_offsets_topic(&cluster, id, 2).await;
    let refused = client.commit(8, &member, &topic, &[(0, 6)]).await;
    assert_eq!(refused, [(0, ErrorCode::CoordinatorNotAvailable)]);
    cluster.restart(dead).await;
    await_offsets_topic(&cluster, id, 3).await;
    let patience = tokio::time::Instant::now() + PATIENCE;
    // Another one may coordinate it by then.
    loop {
        let (_, mut client) = coordinator(&cluster, &[1, 2, 3]).await;
        let told = client.commit(8, &member, &topic, &[(0, 6)]).await;
        if told == [(0, ErrorCode::None)] {
            let committed = client.committed(8, GROUP, &topic, &[0]).await;
            assert_eq!(committed, [(0, Ok((6, -1, "0 at 6".to_owned())))]);
            return;
        }
        assert!(tokio::time::Instant::now() < patience, "{told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_copied_in_time_is_told_so() {
    let (mut cluster, topic, id, mut client) = coordinated("offsets.commit.timeout.ms=50\n").await;
    // With both others the quorum is gone, and nobody takes them out of the ISR.
    for dead in (1..=3).filter(|other| *other != id) {
        cluster.abandon(dead);
    }
    let told = client.commit(8, &simple(GROUP), &topic, &[(0, 5)]).await;
    assert_eq!(told, [(0, ErrorCode::CoordinatorNotAvailable)]);
    let told = client.call(8, fetch_request(8, GROUP, Some(&topic), &[0])).await;
    assert_eq!(error(told.groups[0].error_code), ErrorCode::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_offsets_that_moves_takes_its_groups_along() {
    let more = "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n";
    let (cluster, topic, first, mut client) = coordinated_with(more, 1).await;
    assert_eq!(client.commit(8, &simple(GROUP), &topic, &[(0, 5)]).await, [(0, ErrorCode::None)]);
    let second = first % 3 + 1;
    let replicas = Some(vec![i32::try_from(second).unwrap()]);
    let partition = ReassignablePartition { replicas, ..ReassignablePartition::default() };
    let offsets = ReassignableTopic {
        name: "__consumer_offsets".into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![offsets],
        timeout_ms: 10_000,
        ..AlterPartitionReassignmentsRequest::default()
    };
    let told = client.call(0, request).await;
    assert_eq!((told.error_code, told.responses[0].partitions[0].error_code), (0, 0), "{told:?}");
    let (found, mut other) = coordinator(&cluster, &[second]).await;
    assert_eq!(found, second);
    let committed = other.committed(8, GROUP, &topic, &[0]).await;
    assert_eq!(committed, [(0, Ok((5, -1, "0 at 5".to_owned())))]);
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = client.call(8, fetch_request(8, GROUP, Some(&topic), &[0])).await;
        match error(told.groups[0].error_code) {
            ErrorCode::NotCoordinator => return,
            error => assert!(tokio::time::Instant::now() < patience, "{first} still answers: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
