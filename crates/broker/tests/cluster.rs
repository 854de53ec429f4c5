//! Several brokers that vote on the metadata log: they elect, register, forward and survive each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::cluster::{Cluster, free_ports, leaders, settings, voters};
use common::{Topic, batch, produce_request};
use ottla_broker::Broker;
use ottla_env::Env;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_elect_and_each_of_them_takes_what_is_the_controllers() {
    let mut cluster = Cluster::start().await;
    let ids: BTreeSet<_> =
        cluster.brokers.iter().flatten().map(|broker| broker.cluster_id().to_owned()).collect();
    assert_eq!(ids.len(), 1, "they agree what the cluster is called: {ids:?}");
    for id in 1..=3 {
        assert_eq!(cluster.create(id, &format!("by-{id}"), 2, 3).await, ErrorCode::None);
        assert_eq!(cluster.create(id, "by-1", 2, 3).await, ErrorCode::TopicAlreadyExists);
    }
    for id in 1..=3 {
        cluster
            .await_metadata(id, "all topics with leaders", |told| {
                (1..=3).all(|topic| {
                    let leaders = leaders(told, &format!("by-{topic}"));
                    leaders.len() == 2 && leaders.iter().all(|leader| *leader > 0)
                })
            })
            .await;
    }
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some("by-2".into()), ..DeleteTopicState::default() }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let told = cluster.connect(3).await.call(6, delete).await;
    assert_eq!(told.responses[0].error_code, 0);
    for id in 1..=3 {
        cluster.await_metadata(id, "by-2 gone", |told| leaders(told, "by-2").is_empty()).await;
    }
    let mut given = BTreeSet::new();
    for id in 1..=3 {
        for _ in 0..2 {
            let request =
                InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
            let told = cluster.connect(id).await.call(4, request).await;
            assert_eq!(told.error_code, 0, "broker {id}");
            assert!(given.insert(told.producer_id), "{} is given twice", told.producer_id);
        }
    }
    for broker in std::mem::take(&mut cluster.brokers).into_iter().flatten() {
        broker.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_taken_with_one_replica_and_with_three() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "one", 1, 1).await, ErrorCode::None);
    assert_eq!(cluster.create(1, "three", 1, 3).await, ErrorCode::None);
    for name in ["one", "three"] {
        let has_leader =
            |told: &MetadataResponse| leaders(told, name).first().is_some_and(|leader| *leader > 0);
        cluster.await_metadata(1, "a leader", has_leader).await;
        let told = cluster
            .connect(1)
            .await
            .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
            .await;
        let leader = usize::try_from(leaders(&told, name)[0]).unwrap();
        cluster.await_metadata(leader, "its own topic", has_leader).await;
        let data = vec![Topic::named(name).records(0, batch(BatchBuilder::new(), &[1_000]))];
        let told = cluster.connect(leader).await.call(9, produce_request(-1, data)).await;
        let partition = &told.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, 0), "{name}: {partition:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_broker_may_die_and_come_back() {
    let mut cluster = Cluster::start().await;
    for dead in 1..=3 {
        // A new one each time: those from before are led by others for a while.
        let topic = format!("before-{dead}");
        assert_eq!(cluster.create(1, &topic, 6, 3).await, ErrorCode::None);
        let survivors: Vec<usize> = (1..=3).filter(|id| *id != dead).collect();
        cluster.abandon(dead);
        for id in &survivors {
            cluster
                .await_metadata(*id, "leaders among the survivors", |told| {
                    let leaders = leaders(told, &topic);
                    told.brokers.len() == 2
                        && leaders.len() == 6
                        && leaders
                            .iter()
                            .all(|leader| survivors.contains(&usize::try_from(*leader).unwrap_or(0)))
                })
                .await;
        }
        assert_eq!(cluster.create(survivors[0], &format!("without-{dead}"), 1, 2).await, ErrorCode::None);
        cluster.restart(dead).await;
        for id in 1..=3 {
            cluster.await_brokers(id, 3).await;
        }
    }
}

#[tokio::test]
async fn voter_lists_that_disagree_are_told_with_both_lists() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports(4);
    let (three, two) = (voters(&ports[..3]), voters(&ports[..2]));
    let first = Broker::start(Env::real(), settings(dir.path(), 1, &three, ""));
    let second = Broker::start(Env::real(), settings(dir.path(), 2, &two, ""));
    let error = tokio::select! {
        error = first => error.err().unwrap(),
        error = second => error.err().unwrap(),
    };
    let error = error.to_string();
    assert!(error.contains("controller.quorum.voters"), "{error}");
    assert!(error.contains(&three) && error.contains(&two), "{error}");
}

#[tokio::test]
async fn a_quorum_that_cannot_be_reached_is_told_after_the_time_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let more = "initial.broker.registration.timeout.ms=200\n";
    let error = Broker::start(Env::real(), settings(dir.path(), 1, &voters(&free_ports(3)), more)).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains("200 ms") && error.contains("controller.quorum.voters"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_in_order_gives_away_what_it_leads_before_it_ends() {
    let mut cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "t", 6, 3).await, ErrorCode::None);
    cluster.await_metadata(2, "leaders", |told| leaders(told, "t").iter().all(|leader| *leader > 0)).await;
    cluster.brokers[0].take().unwrap().stop().await.unwrap();
    // No time passes between: the leaders were there before the broker was gone.
    let told = cluster
        .connect(2)
        .await
        .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
        .await;
    let leaders = leaders(&told, "t");
    assert!(leaders.iter().all(|leader| [2, 3].contains(leader)), "{leaders:?}");
    cluster.restart(1).await;
    cluster.await_brokers(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_does_not_join_and_says_whose_it_is() {
    let mut one = Cluster::start().await;
    let other = Cluster::start().await;
    let ids: Vec<_> = [&one, &other]
        .map(|cluster| cluster.brokers[1].as_ref().unwrap().cluster_id().to_owned())
        .into_iter()
        .collect();
    one.brokers[0].take().unwrap().stop().await.unwrap();
    // Node 1 of the one comes back with the voters of the other, but for its own address.
    let address = |voters: &str, id: usize| voters.split(',').nth(id - 1).unwrap().to_owned();
    let mixed = [address(&one.voters, 1), address(&other.voters, 2), address(&other.voters, 3)].join(",");
    let error = Broker::start(Env::real(), settings(one.dir.path(), 1, &mixed, "")).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains(&ids[0]) && error.contains(&ids[1]), "{error}");
}
