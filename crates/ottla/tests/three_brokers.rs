//! Three brokers, each a process of its own, that vote on the metadata log: any of them may be killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use common::cluster::{Cluster, all_live};
use common::{ottla, stderr};

#[test]
fn any_of_three_brokers_may_be_killed_and_all_at_once_come_back() {
    let mut cluster = Cluster::start();
    for dead in 1..=3 {
        // A new topic each time: who was killed may lack records, and comes into an ISR again only by replication.
        let topic = format!("t{dead}");
        cluster.ok(dead, &format!("topic create {topic} --partitions 6 --replication-factor 3"));
        cluster.kill(dead);
        for survivor in (1..=3).filter(|id| *id != dead) {
            cluster.await_info(survivor, "leaders of all partitions", |info| {
                info["fenced_brokers"] == 1 && info["leaderless_partitions"] == 0
            });
        }
        let survivor = dead % 3 + 1;
        cluster.ok(survivor, &format!("topic delete {topic}"));
        cluster.restart(dead);
        for id in 1..=3 {
            cluster.await_info(id, "three brokers", |info| all_live(info, 3));
        }
    }
    cluster.ok(1, "topic create kept --partitions 6 --replication-factor 3");
    for id in 1..=3 {
        cluster.kill(id);
    }
    cluster.start_all();
    for id in 1..=3 {
        cluster.await_info(id, "its topic with leaders", |info| {
            info["partitions"] == 6 && info["leaderless_partitions"] == 0
        });
    }
}

#[test]
fn what_all_replicas_acknowledged_is_read_when_a_broker_is_dead() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create t --partitions 3 --replication-factor 3");
    cluster.await_info(2, "leaders", |info| info["partitions"] == 3 && info["leaderless_partitions"] == 0);
    let produce = format!("produce t --acks all -b {}", cluster.address(2));
    let output = ottla(&produce, &[], &"a record\n".repeat(30));
    assert!(output.status.success(), "{}", stderr(&output));
    cluster.kill(2);
    cluster.await_info(1, "leaders without broker 2", |info| {
        info["fenced_brokers"] == 1 && info["leaderless_partitions"] == 0
    });
    assert_eq!(cluster.ok(1, "consume t").lines().count(), 30);
}

#[test]
fn a_voter_does_not_go_on_alone_beside_its_cluster() {
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let data = cluster.data(3);
    let alone = format!(
        "serve --override node.id=3 --override log.dirs={} --override listeners=PLAINTEXT://127.0.0.1:0",
        data.display()
    );
    let output = ottla(&alone, &[], "");
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("controller.quorum.voters") && said.contains("ottla-metadata"), "{said}");
    cluster.restart(3);
    cluster.await_info(1, "three brokers", |info| all_live(info, 3));
}
