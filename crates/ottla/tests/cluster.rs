//! `ottla cluster` against a real broker.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use common::Server;
use serde_json::Value;

#[test]
fn a_cluster_and_its_brokers_are_described() {
    let server = Server::start(&["broker.rack=a", "node.id=7"]);
    server.ok("topic create orders --partitions 3", "");
    let json = |line: &str| -> Value { serde_json::from_str(&server.ok(line, "")).unwrap() };

    let info = json("cluster info --json");
    assert_eq!(
        (&info["controller"], &info["brokers"], &info["fenced_brokers"]),
        (&7.into(), &1.into(), &0.into())
    );
    assert_eq!((&info["topics"], &info["partitions"]), (&1.into(), &3.into()));
    assert_eq!(
        (&info["leaderless_partitions"], &info["under_replicated_partitions"]),
        (&0.into(), &0.into())
    );
    let text = server.ok("cluster info", "");
    assert!(text.starts_with(&format!("cluster     {}\n", info["cluster_id"].as_str().unwrap())), "{text}");

    let address = server.address().to_string();
    let broker = &json("cluster brokers --json")[0];
    let expected = serde_json::json!({
        "broker": 7, "address": address, "rack": "a", "controller": true, "fenced": false,
        "leads": 3, "keeps": 3, "behind": 0,
    });
    assert_eq!(broker, &expected);
    let text = server.ok("cluster brokers", "");
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["7", &address, "a", "live", "yes", "3", "3", "0"]);
}
