//! Which replicas are in sync: after brokers died, stopped, lost power or a directory, all of them are again, and lead what
//! they should.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
/// The same disk as in the tests of the log.
#[allow(dead_code, unreachable_pub)]
#[path = "../../log/tests/common/disk.rs"]
mod disk;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use common::cluster::Cluster;
use common::{Client, PATIENCE, Topic, batch, produce_request};
use disk::{Call, Fault, FaultDisk};
use ottla_env::Env;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_wire::alter_partition::AlterPartitionRequest;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_wire::assign_replicas_to_dirs::AssignReplicasToDirsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::metadata::{MetadataRequest, MetadataResponse, MetadataResponsePartition};

/// Leaderships go back soon.
const BALANCED: &str = "leader.imbalance.check.interval.seconds=1\n";

const PARTITIONS: usize = 12;

/// The partitions of a topic, by index.
fn partitions<'a>(told: &'a MetadataResponse, topic: &str) -> Vec<&'a MetadataResponsePartition> {
    let topic = told.topics.iter().find(|known| known.name.as_deref() == Some(topic));
    let mut partitions: Vec<_> = topic.map_or_else(Vec::new, |topic| topic.partitions.iter().collect());
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions
}

/// Whether all replicas of a topic are in sync, and their first ones lead.
fn is_whole(told: &MetadataResponse, topic: &str, count: usize) -> bool {
    let partitions = partitions(told, topic);
    let whole = |partition: &&&MetadataResponsePartition| {
        partition.isr_nodes.len() == partition.replica_nodes.len()
            && Some(&partition.leader_id) == partition.replica_nodes.first()
    };
    partitions.len() == count && partitions.iter().filter(whole).count() == count
}

async fn await_whole(cluster: &Cluster, topic: &str) {
    for id in 1..=3 {
        let what = format!("{topic} in sync and balanced");
        cluster.await_metadata(id, &what, |told| is_whole(told, topic, PARTITIONS)).await;
    }
}

async fn metadata(cluster: &Cluster, id: usize) -> MetadataResponse {
    cluster.connect(id).await.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await
}

/// Produces a record to a partition where it is led, once that is known there.
async fn produce(cluster: &Cluster, topic: &str, index: i32) -> ErrorCode {
    let nth = usize::try_from(index).unwrap();
    let leader = partitions(&metadata(cluster, 1).await, topic)[nth].leader_id;
    let leader = usize::try_from(leader).unwrap();
    let knows = |told: &MetadataResponse| partitions(told, topic).len() > nth;
    cluster.await_metadata(leader, "its own topic", knows).await;
    let data = vec![Topic::named(topic).records(index, batch(BatchBuilder::new(), &[1_000]))];
    let told = cluster.connect(leader).await.call(9, produce_request(-1, data)).await;
    ErrorCode::from_code(told.responses[0].partition_responses[0].error_code).unwrap()
}

async fn reassign(cluster: &Cluster, topic: &str, replicas: &[i32]) {
    let partition = ReassignablePartition {
        partition_index: 0,
        replicas: Some(replicas.to_vec()),
        ..ReassignablePartition::default()
    };
    let topic = ReassignableTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        ..AlterPartitionReassignmentsRequest::default()
    };
    let told = cluster.connect(1).await.call(0, request).await;
    assert_eq!((told.error_code, told.responses[0].partitions[0].error_code), (0, 0), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_killed_is_in_sync_again_and_leads_what_it_led() {
    let mut cluster = Cluster::start_with(BALANCED, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", PARTITIONS as i32, 3).await, ErrorCode::None);
    await_whole(&cluster, "t").await;
    for dead in 1..=3_i32 {
        let nth = usize::try_from(dead).unwrap();
        cluster.abandon(nth);
        for id in (1..=3).filter(|id| *id != nth) {
            let is_out = |told: &MetadataResponse| {
                let partitions = partitions(told, "t");
                partitions.iter().all(|p| p.leader_id > 0 && !p.isr_nodes.contains(&dead))
            };
            cluster.await_metadata(id, "the dead out of all ISRs", is_out).await;
        }
        cluster.restart(nth).await;
        await_whole(&cluster, "t").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_rolling_restart_no_partition_is_ever_without_a_leader() {
    let mut cluster = Cluster::start_with(BALANCED, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", PARTITIONS as i32, 3).await, ErrorCode::None);
    await_whole(&cluster, "t").await;
    for id in 1..=3 {
        cluster.brokers[id - 1].take().unwrap().stop().await.unwrap();
        for other in (1..=3).filter(|other| *other != id) {
            let told = metadata(&cluster, other).await;
            let stopped = i32::try_from(id).unwrap();
            let leaders: Vec<_> = partitions(&told, "t").iter().map(|p| p.leader_id).collect();
            assert!(leaders.iter().all(|leader| *leader > 0 && *leader != stopped), "{leaders:?}");
        }
        cluster.restart(id).await;
        await_whole(&cluster, "t").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_brokers_that_are_killed_at_once_come_back_with_every_isr_leader_and_record() {
    let mut cluster = Cluster::start_with(BALANCED, vec![Env::real(); 3]).await;
    assert_eq!(cluster.create(1, "t", PARTITIONS as i32, 3).await, ErrorCode::None);
    assert_eq!(cluster.create(1, "one", 3, 1).await, ErrorCode::None);
    await_whole(&cluster, "t").await;
    for index in 0..3 {
        assert_eq!(produce(&cluster, "one", index).await, ErrorCode::None);
    }
    for id in 1..=3 {
        cluster.abandon(id);
    }
    cluster.start_all().await;
    await_whole(&cluster, "t").await;
    cluster.await_metadata(1, "leaders of one", |told| is_whole(told, "one", 3)).await;
    for index in 0..3 {
        assert_eq!(produce(&cluster, "one", index).await, ErrorCode::None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_may_lack_records_after_a_loss_of_power_say_that_they_have_recovered() {
    let disks = [FaultDisk::new(), FaultDisk::new(), FaultDisk::new()];
    disks.iter().for_each(|disk| disk.set_page_cache("boot=1"));
    let mut cluster = Cluster::start_with(BALANCED, disks.iter().map(FaultDisk::env).collect()).await;
    assert_eq!(cluster.create(1, "t", PARTITIONS as i32, 3).await, ErrorCode::None);
    await_whole(&cluster, "t").await;
    for id in 1..=3 {
        cluster.abandon(id);
    }
    disks.iter().for_each(|disk| disk.set_page_cache("boot=2"));
    cluster.start_all().await;
    // Nobody joins the ISR of a leader that is still recovering.
    await_whole(&cluster, "t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_added_are_in_sync_when_they_have_copied_what_there_is() {
    let mut cluster = Cluster::start_with(BALANCED, vec![Env::real(); 3]).await;
    for name in ["data", "empty"] {
        assert_eq!(cluster.create(1, name, 1, 1).await, ErrorCode::None);
        cluster.await_metadata(1, "a leader", |told| is_whole(told, name, 1)).await;
    }
    assert_eq!(produce(&cluster, "data", 0).await, ErrorCode::None);
    for name in ["data", "empty"] {
        let leader = partitions(&metadata(&cluster, 1).await, name)[0].leader_id;
        let others = (1..=3).filter(|id| *id != leader);
        let replicas: Vec<i32> = std::iter::once(leader).chain(others).collect();
        reassign(&cluster, name, &replicas).await;
    }
    let is_copied = |told: &MetadataResponse| {
        ["data", "empty"]
            .iter()
            .all(|name| is_whole(told, name, 1) && partitions(told, name)[0].replica_nodes.len() == 3)
    };
    for id in 1..=3 {
        cluster.await_metadata(id, "both on all brokers", is_copied).await;
    }
    assert_eq!(produce(&cluster, "data", 0).await, ErrorCode::None);
    for id in 1..=3_usize {
        cluster.abandon(id);
        cluster.restart(id).await;
        for id in 1..=3 {
            cluster.await_metadata(id, "the same again", is_copied).await;
        }
    }
    assert_eq!(produce(&cluster, "data", 0).await, ErrorCode::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_log_directory_fails_others_lead_its_partitions_and_the_rest_stay() {
    let disk = FaultDisk::new();
    let more = format!("{BALANCED}log.dirs={{node}}/a,{{node}}/b\n");
    let mut cluster = Cluster::start_with(&more, vec![disk.env(), Env::real(), Env::real()]).await;
    assert_eq!(cluster.create(1, "t", PARTITIONS as i32, 3).await, ErrorCode::None);
    create_flushed(&cluster, "one", 12).await;
    await_whole(&cluster, "t").await;
    cluster.await_metadata(1, "leaders", |told| is_whole(told, "one", 12)).await;

    let lies_in_a =
        |topic: &str, index: i32| cluster.dir.path().join(format!("node-1/a/{topic}-{index}")).exists();
    let in_a: BTreeSet<i32> = (0..PARTITIONS as i32).filter(|index| lies_in_a("t", *index)).collect();
    assert!(!in_a.is_empty() && in_a.len() < PARTITIONS, "{in_a:?}");
    let led = partitions(&metadata(&cluster, 1).await, "one")
        .iter()
        .find(|partition| partition.leader_id == 1 && lies_in_a("one", partition.partition_index))
        .map(|partition| partition.partition_index)
        .unwrap();
    disk.fault(Call::Sync, "/node-1/a/one", || Fault::Fails(io::ErrorKind::Other));
    assert_eq!(produce(&cluster, "one", led).await, ErrorCode::KafkaStorageError);

    let is_out = |told: &MetadataResponse| {
        let partitions = partitions(told, "t");
        partitions.len() == PARTITIONS
            && partitions.iter().all(|partition| {
                let is_lost = in_a.contains(&partition.partition_index);
                partition.leader_id > 0
                    && (partition.leader_id != 1 || !is_lost)
                    && partition.isr_nodes.len() == if is_lost { 2 } else { 3 }
            })
    };
    for id in 1..=3 {
        cluster.await_metadata(id, "others leading what was in the directory", is_out).await;
    }
    // With the directory back, all is as before.
    disk.heal();
    cluster.abandon(1);
    cluster.restart(1).await;
    await_whole(&cluster, "t").await;
}

/// A broker epoch that nobody has: nothing changes by such a request.
const STALE: i64 = 1 << 40;

/// Waits until one of the controllers answers as the active one, and the others as what they are.
async fn await_one_that_decides(cluster: &Cluster, ask: impl AsyncFn(Client) -> i16) {
    let address = |voter: &str| -> SocketAddr { voter.split_once('@').unwrap().1.parse().unwrap() };
    let addresses: Vec<_> = cluster.voters.split(',').map(address).collect();
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut answers = Vec::new();
        for address in &addresses {
            answers.push(ErrorCode::from_code(ask(Client::open(*address).await).await).unwrap());
        }
        let count = |error| answers.iter().filter(|answer| **answer == error).count();
        if (count(ErrorCode::StaleBrokerEpoch), count(ErrorCode::NotController)) == (1, 2) {
            return;
        }
        assert!(tokio::time::Instant::now() < patience, "{answers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaders_and_holders_of_replicas_ask_is_decided_by_the_active_controller_and_served_to_nodes_alone()
 {
    let cluster = Cluster::start().await;
    let alter = || AlterPartitionRequest { broker_id: 1, broker_epoch: STALE, ..Default::default() };
    let assign = || AssignReplicasToDirsRequest { broker_id: 1, broker_epoch: STALE, ..Default::default() };
    for version in 2..=3 {
        await_one_that_decides(&cluster, async |mut client| client.call(version, alter()).await.error_code)
            .await;
    }
    await_one_that_decides(&cluster, async |mut client| client.call(0, assign()).await.error_code).await;

    let mut client = cluster.connect(1).await;
    client.send(3, alter()).await;
    client.expect_closed().await;
    let mut client = cluster.connect(1).await;
    client.send(0, assign()).await;
    client.expect_closed().await;
}

/// Creates a topic of one replica, all of whose records are flushed.
async fn create_flushed(cluster: &Cluster, name: &str, partitions: i32) {
    let config = CreatableTopicConfig {
        name: "flush.messages".into(),
        value: Some("1".into()),
        ..CreatableTopicConfig::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: vec![config],
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
    let told = cluster.connect(1).await.call(7, request).await;
    assert_eq!(told.topics[0].error_code, 0, "{told:?}");
}
