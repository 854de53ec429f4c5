//! Replicas moved between three brokers, each a process of its own, and brokers taken out of the cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::path::{Path, PathBuf};

use common::cluster::Cluster;
use common::{ok, ottla, stderr};
use serde_json::{Value, json};

/// The replicas of a topic's partitions, sorted.
fn replicas(cluster: &Cluster, topic: &str) -> Vec<Vec<i64>> {
    let told: Value =
        serde_json::from_str(&cluster.ok(1, &format!("topic describe {topic} --json"))).unwrap();
    let of = |partition: &Value| {
        let mut ids: Vec<i64> =
            partition["replicas"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    told[0]["partitions"].as_array().unwrap().iter().map(of).collect()
}

/// A file with this in it.
fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn fails(cluster: &Cluster, line: &str) -> String {
    let output = ottla(&format!("{line} -b {}", cluster.address(1)), &[], "");
    assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    stderr(&output)
}

#[test]
fn a_topic_gets_more_replicas_by_a_plan_and_goes_back_by_what_execute_printed() {
    let cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    cluster.ok(1, "topic create orders --partitions 3 --replication-factor 1");
    let produce = format!("produce orders -b {}", cluster.address(1));
    ok(&produce, &"a record of some length\n".repeat(200));
    let before = replicas(&cluster, "orders");

    let plan = cluster.ok(2, "cluster reassign plan --topic orders --replication-factor 3");
    let planned: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((&planned["version"], planned["partitions"].as_array().map(Vec::len)), (&json!(1), Some(3)));
    let moves = file(directory.path(), "moves.json", &plan);

    let execute = format!("cluster reassign execute {} --throttle 50000000", moves.display());
    let told = cluster.ok(2, &execute);
    let back = told.lines().find(|line| line.starts_with('{')).expect("where they lay");
    // Until all are complete it fails, and then it takes the throttle away.
    let verified = cluster.ok(3, &format!("cluster reassign verify {} --json", moves.display()));
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert!(verified.as_array().unwrap().iter().all(|one| one["outcome"] == "complete"), "{verified}");
    assert_eq!(replicas(&cluster, "orders"), vec![vec![1, 2, 3]; 3]);
    assert_eq!(cluster.ok(1, "cluster reassign progress").trim(), "Nothing moves.");
    let config = cluster.ok(1, "config get --topic orders --json");
    assert!(!config.contains("throttled"), "{config}");
    let rest = cluster.ok(1, "cluster reassign plan --topic orders");
    assert_eq!(
        serde_json::from_str::<Value>(&rest).unwrap()["partitions"],
        json!([]),
        "a second plan moves nothing"
    );

    let back = file(directory.path(), "back.json", back);
    cluster.ok(1, &format!("cluster reassign execute {}", back.display()));
    cluster.ok(1, &format!("cluster reassign verify {}", back.display()));
    assert_eq!(replicas(&cluster, "orders"), before);
    let records = cluster.ok(1, "consume orders");
    assert_eq!(records.lines().count(), 200, "all that was written is there");
}

#[test]
fn moves_to_a_broker_that_is_away_are_shown_and_can_be_cancelled() {
    let mut cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    cluster.ok(1, "topic create orders --partitions 1 --replication-factor 2");
    let before = replicas(&cluster, "orders");
    // A voter that is away keeps nobody from anything but its replicas.
    cluster.kill(3);
    cluster.await_info(1, "a fenced broker", |info| info["fenced_brokers"] == 1);
    let text =
        json!({"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [1, 2, 3]}]});
    let moves = file(directory.path(), "moves.json", &text.to_string());
    cluster.ok(1, &format!("cluster reassign execute {}", moves.display()));
    let progress: Value = serde_json::from_str(&cluster.ok(2, "cluster reassign progress --json")).unwrap();
    if before[0].contains(&3) {
        // It waits for nothing but the broker that was there before.
        assert!(progress.as_array().is_some(), "{progress}");
    } else {
        assert_eq!((&progress[0]["to"], &progress[0]["in_sync"]), (&json!(3), &json!(false)), "{progress}");
        let refused = fails(&cluster, &format!("cluster reassign execute {}", moves.display()));
        assert!(refused.contains("1 partitions are moving already"), "{refused}");
        let open = fails(&cluster, &format!("cluster reassign verify {}", moves.display()));
        assert!(open.contains("1 of 1 partition"), "{open}");
    }
    cluster.ok(1, "cluster reassign cancel --all");
    assert_eq!(cluster.ok(2, "cluster reassign progress").trim(), "Nothing moves.");
}

#[test]
fn files_that_cannot_be_meant_move_nothing() {
    let cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    cluster.ok(1, "topic create orders --partitions 1");
    for (partition, told) in [
        (json!({"topic": "nowhere", "partition": 0, "replicas": [1]}), "there is no partition nowhere-0"),
        (json!({"topic": "orders", "partition": 0, "replicas": [9]}), "orders-0 is not moved"),
        (json!({"topic": "orders", "partition": 0, "replicas": [1, 1]}), "a broker twice"),
    ] {
        let text = json!({"version": 1, "partitions": [partition]}).to_string();
        let moves = file(directory.path(), "moves.json", &text);
        let said = fails(&cluster, &format!("cluster reassign execute {}", moves.display()));
        assert!(said.contains(told), "{said}");
    }
    let missing = fails(&cluster, "cluster reassign verify /nowhere/moves.json");
    assert!(missing.contains("/nowhere/moves.json"), "{missing}");
    let unknown = fails(&cluster, "cluster reassign plan --broker-list 1,7");
    assert!(unknown.contains("there is no broker 7"), "{unknown}");
}

#[test]
fn a_broker_leaves_the_cluster_with_nothing_left_on_it() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create wide --partitions 2 --replication-factor 3");
    cluster.ok(1, "topic create orders --partitions 6 --replication-factor 2");
    let produce = format!("produce orders -b {}", cluster.address(1));
    ok(&produce, &"a record\n".repeat(100));
    let few = fails(&cluster, "broker decommission 3");
    assert!(few.contains("not enough brokers for wide with 3 replicas"), "{few}");
    let unknown = fails(&cluster, "broker decommission 9");
    assert!(unknown.contains("there is no broker 9: the cluster has 1, 2, 3"), "{unknown}");
    cluster.ok(1, "topic delete wide");

    let would = cluster.ok(1, "broker decommission 3 --dry-run");
    assert!(would.contains("orders-") && replicas(&cluster, "orders").iter().any(|ids| ids.contains(&3)));
    let said = cluster.ok(1, "broker decommission 3");
    assert!(said.contains("Broker 3 holds no replicas. Stop it by SIGTERM"), "{said}");
    assert_eq!(replicas(&cluster, "orders"), vec![vec![1, 2]; 6]);
    assert_eq!(cluster.ok(1, "consume orders").lines().count(), 100);

    let lives = fails(&cluster, "broker forget 3");
    assert!(lives.contains("broker 3 lives"), "{lives}");
    cluster.stop(3);
    cluster.await_info(1, "a fenced broker", |info| info["fenced_brokers"] == 1);
    let forgotten = cluster.ok(1, "broker forget 3");
    assert_eq!(forgotten.trim(), "Broker 3 is forgotten.");
    cluster.await_info(2, "two brokers", |info| info["brokers"] == 2);
}

#[test]
fn a_broker_that_is_dead_is_emptied_and_forgotten_at_once() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create orders --partitions 6 --replication-factor 2");
    let produce = format!("produce orders --acks all -b {}", cluster.address(1));
    ok(&produce, &"a record\n".repeat(100));
    cluster.kill(3);
    cluster.await_info(1, "leaders without it", |info| {
        info["fenced_brokers"] == 1 && info["leaderless_partitions"] == 0
    });
    let held = fails(&cluster, "broker forget 3");
    assert!(held.contains("broker 3 is to hold replicas of"), "{held}");
    let said = cluster.ok(1, "broker decommission 3");
    assert!(said.contains("Broker 3 is forgotten."), "{said}");
    assert_eq!(replicas(&cluster, "orders"), vec![vec![1, 2]; 6]);
    assert_eq!(cluster.ok(1, "consume orders").lines().count(), 100, "nothing that was acknowledged is lost");
}
