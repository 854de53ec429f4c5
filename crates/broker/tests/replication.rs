//! Records on several brokers: whoever leads next has what was acknowledged, who was away catches up, and replicas move.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::cluster::Cluster;
use common::configs::{BROKER, TOPIC};
use common::records::{text, values};
use common::requests::{Topic, from_offset};
use common::{PATIENCE, produce_request};
use ottla_env::Env;
use ottla_types::ErrorCode;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::fetch::{FetchRequest, PartitionData};
use ottla_wire::metadata::{MetadataRequest, MetadataResponse, MetadataResponsePartition};

/// With two of three in sync a record is acknowledged.
const SAFE: &str = "min.insync.replicas=2\n";

fn partition<'a>(told: &'a MetadataResponse, topic: &str) -> Option<&'a MetadataResponsePartition> {
    let topic = told.topics.iter().find(|known| known.name.as_deref() == Some(topic))?;
    topic.partitions.iter().find(|partition| partition.partition_index == 0)
}

async fn told(cluster: &Cluster, id: usize) -> MetadataResponse {
    cluster.connect(id).await.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await
}

/// The brokers that run.
fn running(cluster: &Cluster) -> Vec<usize> {
    (1..=3).filter(|id| cluster.brokers[id - 1].is_some()).collect()
}

/// The leader of partition 0, once every broker that runs knows it and it runs.
async fn leader(cluster: &Cluster, topic: &str) -> usize {
    let patience = tokio::time::Instant::now() + PATIENCE;
    let running = running(cluster);
    loop {
        let mut leaders = Vec::new();
        for id in &running {
            let told = told(cluster, *id).await;
            leaders.push(partition(&told, topic).map_or(-1, |partition| partition.leader_id));
        }
        leaders.dedup();
        if let [leader] = leaders[..]
            && let Ok(leader) = usize::try_from(leader)
            && running.contains(&leader)
        {
            return leader;
        }
        assert!(tokio::time::Instant::now() < patience, "nobody leads {topic}: {leaders:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Produces with `acks=all` until it is acknowledged: leaders change. Each value is produced once as a rule, and tests look
/// only whether it is there.
async fn produce(cluster: &Cluster, topic: &str, value: &str) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leader = leader(cluster, topic).await;
        let data = vec![Topic::named(topic).records(0, text(&[value]))];
        let told = cluster.connect(leader).await.call(9, produce_request(-1, data)).await;
        let code = ErrorCode::from_code(told.responses[0].partition_responses[0].error_code).unwrap();
        if code == ErrorCode::None {
            return;
        }
        assert!(tokio::time::Instant::now() < patience, "{value} is not taken: {code}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a consumer reads of partition 0 from its leader, once that is so much.
async fn read(cluster: &Cluster, topic: &str, count: usize) -> Vec<(i64, String)> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leader = leader(cluster, topic).await;
        let topic = Topic::named(topic);
        let request = FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![topic.fetch(vec![from_offset(0, 0)])],
            ..FetchRequest::default()
        };
        let told = cluster.connect(leader).await.call(12, request).await;
        let data = &told.responses[0].partitions[0];
        let found = data.records.as_ref().map(values).unwrap_or_default();
        if data.error_code == 0 && found.len() >= count {
            return found;
        }
        assert!(tokio::time::Instant::now() < patience, "only {found:?} is read, error {}", data.error_code);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn await_in_sync(cluster: &Cluster, topic: &str, replicas: usize) {
    for id in running(cluster) {
        let is_so = |told: &MetadataResponse| {
            partition(told, topic).is_some_and(|partition| partition.isr_nodes.len() == replicas)
        };
        cluster.await_metadata(id, "so many in sync", is_so).await;
    }
}

/// The directories of partition 0 of a topic on a broker.
fn logs(cluster: &Cluster, id: usize, topic: &str) -> Vec<String> {
    let dir = cluster.dir.path().join(format!("node-{id}"));
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(dir).unwrap().map(name).filter(|name| *name == format!("{topic}-0")).collect()
}

async fn reassign(cluster: &Cluster, topic: &str, replicas: &[usize]) {
    reassign_by(cluster, 1, topic, replicas).await;
}

/// Asks broker `id`.
async fn reassign_by(cluster: &Cluster, id: usize, topic: &str, replicas: &[usize]) {
    let replicas = replicas.iter().map(|id| i32::try_from(*id).unwrap()).collect();
    let partition = ReassignablePartition { replicas: Some(replicas), ..ReassignablePartition::default() };
    let topic = ReassignableTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..AlterPartitionReassignmentsRequest::default()
    };
    let told = cluster.connect(id).await.call(0, request).await;
    assert_eq!((told.error_code, told.responses[0].partitions[0].error_code), (0, 0), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leads_next_has_every_record_that_was_acknowledged() {
    let mut cluster = Cluster::start_with(SAFE, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        for nth in 0..5 {
            let value = format!("{round}.{nth}");
            produce(&cluster, "t", &value).await;
            acknowledged.push(value);
        }
        let dead = leader(&cluster, "t").await;
        cluster.abandon(dead);
        let read: Vec<String> =
            read(&cluster, "t", acknowledged.len()).await.into_iter().map(|(_, value)| value).collect();
        assert!(acknowledged.iter().all(|value| read.contains(value)), "{acknowledged:?}, and read {read:?}");
        cluster.restart(dead).await;
        await_in_sync(&cluster, "t", 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_away_copies_what_it_missed() {
    let mut cluster = Cluster::start_with(SAFE, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
    produce(&cluster, "t", "before").await;
    let leader = leader(&cluster, "t").await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    cluster.brokers[away - 1].take().unwrap().stop().await.unwrap();
    for nth in 0..20 {
        produce(&cluster, "t", &format!("missed {nth}")).await;
    }
    cluster.restart(away).await;
    await_in_sync(&cluster, "t", 3).await;
    // It is the only one that is left of those who have them.
    reassign(&cluster, "t", &[away]).await;
    let only = i32::try_from(away).unwrap();
    for id in 1..=3 {
        let is_moved = |told: &MetadataResponse| {
            partition(told, "t").is_some_and(|p| p.replica_nodes == [only] && p.leader_id == only)
        };
        cluster.await_metadata(id, "the move", is_moved).await;
    }
    assert_eq!(read(&cluster, "t", 21).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_moves_takes_its_records_along_and_leaves_no_log() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "t", 1, 1).await, ErrorCode::None);
    for nth in 0..3 {
        produce(&cluster, "t", &nth.to_string()).await;
    }
    let from = leader(&cluster, "t").await;
    let to = from % 3 + 1;
    reassign(&cluster, "t", &[to]).await;
    let only = i32::try_from(to).unwrap();
    for id in 1..=3 {
        let is_moved = |told: &MetadataResponse| {
            partition(told, "t").is_some_and(|p| p.replica_nodes == [only] && p.leader_id == only)
        };
        cluster.await_metadata(id, "the move", is_moved).await;
    }
    let expected: Vec<_> = (0..3).map(|nth| (nth, nth.to_string())).collect();
    assert_eq!(read(&cluster, "t", 3).await, expected);
    let patience = tokio::time::Instant::now() + PATIENCE;
    while !logs(&cluster, from, "t").is_empty() {
        assert!(tokio::time::Instant::now() < patience, "the log stays where it was");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(logs(&cluster, to, "t"), ["t-0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_again_has_nothing_of_the_old_one_on_any_broker() {
    let mut cluster = Cluster::start_with(SAFE, vec![Env::real(); 3]).await;
    for round in 0..3 {
        assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
        for nth in 0..3 {
            produce(&cluster, "t", &format!("{round}.{nth}")).await;
        }
        if round < 2 {
            let topic = DeleteTopicState { name: Some("t".into()), ..DeleteTopicState::default() };
            let request =
                DeleteTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
            assert_eq!(cluster.connect(1).await.call(6, request).await.responses[0].error_code, 0);
        }
    }
    let expected: Vec<_> = (0..3).map(|nth| (nth, format!("2.{nth}"))).collect();
    assert_eq!(read(&cluster, "t", 3).await, expected);
    await_in_sync(&cluster, "t", 3).await;
    let dead = leader(&cluster, "t").await;
    cluster.abandon(dead);
    assert_eq!(read(&cluster, "t", 3).await, expected);
}

/// What a broker answers a consumer that is in `rack` and asks for partition 0 from its start.
async fn fetch_in(cluster: &Cluster, id: usize, version: i16, rack: &str) -> PartitionData {
    let request = FetchRequest {
        max_bytes: 1 << 20,
        rack_id: rack.into(),
        topics: vec![Topic::named("t").fetch(vec![from_offset(0, 0)])],
        ..FetchRequest::default()
    };
    let mut told = cluster.connect(id).await.call(version, request).await;
    told.responses.remove(0).partitions.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_sent_to_the_follower_in_its_rack_which_serves_it() {
    let selector = "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\n";
    let more = format!("{selector}broker.rack={{node}}\n{SAFE}");
    let cluster = Cluster::start_with(&more, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", 1, 3).await, ErrorCode::None);
    await_in_sync(&cluster, "t", 3).await;
    for nth in 0..3 {
        produce(&cluster, "t", &nth.to_string()).await;
    }
    let leader = leader(&cluster, "t").await;
    let near = leader % 3 + 1;
    let rack = |id: usize| format!("{}/node-{id}", cluster.dir.path().display());
    // A follower is named when the leader knows that it has what is asked for: it may just have come.
    let patience = tokio::time::Instant::now() + PATIENCE;
    let told = loop {
        let told = fetch_in(&cluster, leader, 12, &rack(near)).await;
        if told.preferred_read_replica >= 0 {
            break told;
        }
        assert!(tokio::time::Instant::now() < patience, "nobody is nearer: {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(usize::try_from(told.preferred_read_replica), Ok(near));
    assert!(told.records.is_none_or(|records| records.is_empty()));
    for elsewhere in [rack(leader), "nowhere".to_owned(), String::new()] {
        let told = fetch_in(&cluster, leader, 12, &elsewhere).await;
        assert_eq!((told.preferred_read_replica, values(&told.records.unwrap()).len()), (-1, 3));
    }
    // It hears of the watermark with its next fetch.
    let expected: Vec<_> = (0..3).map(|nth| (nth, nth.to_string())).collect();
    loop {
        let told = fetch_in(&cluster, near, 12, &rack(near)).await;
        assert_eq!((told.error_code, told.preferred_read_replica), (0, -1));
        let read = told.records.as_ref().map(values).unwrap_or_default();
        if read == expected {
            break;
        }
        assert!(expected.starts_with(&read) && tokio::time::Instant::now() < patience, "{read:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Before version 11 nobody expects records from a follower.
    let told = fetch_in(&cluster, near, 10, "").await;
    assert_eq!(ErrorCode::from_code(told.error_code), Some(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_keeps_a_new_replica_out_and_no_acknowledgement_waiting() {
    for side in ["leader", "follower"] {
        let cluster = Cluster::start_with(SAFE, vec![Env::real(); 3]).await;
        assert_eq!(cluster.create(1, "t", 1, 2).await, ErrorCode::None);
        await_in_sync(&cluster, "t", 2).await;
        produce(&cluster, "t", "before").await;
        let told = told(&cluster, 1).await;
        let replicas = &partition(&told, "t").unwrap().replica_nodes;
        let mut all: Vec<usize> = replicas.iter().map(|id| usize::try_from(*id).unwrap()).collect();
        let added = (1..=3).find(|id| !all.contains(id)).unwrap();
        all.push(added);
        let mut client = cluster.connect(1).await;
        let rate = format!("{side}.replication.throttled.rate");
        client.configure(BROKER, "", &rate, "0").await;
        client.configure(TOPIC, "t", &format!("{side}.replication.throttled.replicas"), "*").await;
        reassign(&cluster, "t", &all).await;
        for nth in 0..20 {
            produce(&cluster, "t", &nth.to_string()).await;
        }
        for id in 1..=3 {
            let told = self::told(&cluster, id).await;
            assert_eq!(partition(&told, "t").unwrap().isr_nodes.len(), 2, "{side}");
        }
        client.configure(BROKER, "", &rate, "1000000").await;
        await_in_sync(&cluster, "t", 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_copied_on_when_there_are_more_fetchers() {
    let cluster = Cluster::start_with(SAFE, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", 8, 3).await, ErrorCode::None);
    for fetchers in ["4", "2"] {
        cluster.connect(1).await.configure(BROKER, "", "num.replica.fetchers", fetchers).await;
        produce(&cluster, "t", fetchers).await;
    }
    await_in_sync(&cluster, "t", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_replica_that_moved_away_meanwhile_is_set_aside_at_the_start() {
    let mut cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "t", 1, 2).await, ErrorCode::None);
    await_in_sync(&cluster, "t", 2).await;
    produce(&cluster, "t", "v").await;
    let stays = leader(&cluster, "t").await;
    let told = told(&cluster, stays).await;
    let replicas = &partition(&told, "t").unwrap().replica_nodes;
    let away = replicas.iter().map(|id| usize::try_from(*id).unwrap()).find(|id| *id != stays).unwrap();
    cluster.brokers[away - 1].take().unwrap().stop().await.unwrap();
    assert_eq!(logs(&cluster, away, "t"), ["t-0"]);
    let asked = if away == 1 { 2 } else { 1 };
    reassign_by(&cluster, asked, "t", &[stays]).await;
    let only = i32::try_from(stays).unwrap();
    let is_moved = |told: &MetadataResponse| partition(told, "t").is_some_and(|p| p.replica_nodes == [only]);
    cluster.await_metadata(stays, "the move", is_moved).await;
    cluster.restart(away).await;
    assert_eq!(logs(&cluster, away, "t"), Vec::<String>::new());
    assert_eq!(read(&cluster, "t", 1).await, [(0, "v".to_owned())]);
}
