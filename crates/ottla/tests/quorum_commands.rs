//! `ottla cluster quorum` and `health`, and what other commands say without a quorum, against three brokers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::time::Instant;

use common::cluster::{Cluster, PATIENCE};
use common::{Server, ottla, stderr};
use serde_json::Value;

#[test]
fn a_broker_alone_is_its_own_quorum_and_healthy() {
    let server = Server::start(&["node.id=7"]);
    server.ok("topic create orders --partitions 3", "");
    let quorum: Value = serde_json::from_str(&server.ok("cluster quorum --json", "")).unwrap();
    assert_eq!((&quorum["leader"], &quorum["replicas"][0]["role"]), (&7.into(), &"leader".into()));
    assert_eq!((&quorum["replicas"][0]["lag"], quorum["replicas"].as_array().unwrap().len()), (&0.into(), 1));
    assert!(server.ok("cluster quorum", "").starts_with("leader          node 7\n"));
    assert_eq!(server.ok("cluster health", ""), "healthy: 1 voter, 1 broker, 3 partitions\n");
    let health: Value = serde_json::from_str(&server.ok("cluster health --json", "")).unwrap();
    assert_eq!(health, serde_json::json!({ "healthy": true, "problems": [] }));
}

#[test]
fn what_is_wrong_with_three_brokers_is_told_first_with_and_then_without_a_quorum() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create orders --partitions 6 --replication-factor 3");
    cluster.await_info(1, "leaders", |info| info["leaderless_partitions"] == 0);
    cluster.ok(1, "cluster health");
    let quorum: Value = serde_json::from_str(&cluster.ok(2, "cluster quorum --json")).unwrap();
    let leader = quorum["leader"].as_i64().unwrap();
    for id in 1..=3 {
        cluster.await_info(id, "the real controller", |info| info["controller"] == leader);
    }

    let dead: Vec<usize> = (1..=3).filter(|id| i64::try_from(*id).unwrap() != leader).collect();
    cluster.kill(dead[0]);
    let survivor = usize::try_from(leader).unwrap();
    // A voter is told to be silent before its session as a broker is over.
    await_problems(&cluster, survivor, &["voter_silent", "broker_fenced", "partitions_under_replicated"]);
    cluster.ok(survivor, "topic create more --partitions 1 --replication-factor 1");

    cluster.kill(dead[1]);
    let kinds = await_problems(&cluster, survivor, &["quorum_without_leader"]);
    assert!(!kinds.contains(&"voter_silent".to_owned()), "nobody can say so any more: {kinds:?}");
    let address = cluster.address(survivor);
    let output = ottla(&format!("topic create lost -b {address}"), &[], "");
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("the metadata quorum has no leader: 1 of 3 voters"),
        "{}",
        stderr(&output)
    );
    let info = cluster.ok(survivor, "cluster info");
    assert!(info.contains("controller  unknown: the metadata quorum has no leader"), "{info}");
    let output = ottla(&format!("cluster brokers -b {address}"), &[], "");
    assert!(stderr(&output).contains("what is shown may be old"), "{}", stderr(&output));
}

/// The kinds of what is wrong, once all of these are among them.
fn await_problems(cluster: &Cluster, id: usize, wanted: &[&str]) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let output = ottla(&format!("cluster health --json -b {}", cluster.address(id)), &[], "");
        let health: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let problems = health["problems"].as_array().cloned().unwrap_or_default();
        let kinds: Vec<String> =
            problems.iter().map(|problem| problem["kind"].as_str().unwrap().to_owned()).collect();
        if wanted.iter().all(|wanted| kinds.iter().any(|kind| kind == wanted)) {
            assert_eq!((output.status.code(), &health["healthy"]), (Some(1), &false.into()));
            return kinds;
        }
        assert!(begin.elapsed() < PATIENCE, "{health} {}", stderr(&output));
    }
}
