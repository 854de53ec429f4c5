//! Commands that change a cluster of three, each a process of its own, through whichever broker is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use common::cluster::Cluster;
use common::{ottla, stderr};
use serde_json::{Value, json};

#[test]
fn the_values_of_each_broker_are_set_and_shown_through_any_of_them() {
    let mut cluster = Cluster::start();
    for asked in 1..=3 {
        for broker in 1..=3 {
            let value = format!("{asked}{broker}00000");
            let set = format!("config set --broker {broker} log.retention.ms={value}");
            let output = ottla(&format!("{set} -b {}", cluster.address(asked)), &[], "");
            assert!(output.status.success(), "{set} by broker {asked}: {}", stderr(&output));
            let get = format!("config get --broker {broker} log.retention.ms --json");
            let shown: Value = serde_json::from_str(&cluster.ok(asked, &get)).unwrap();
            let (value_shown, source) = (&shown[0]["value"], &shown[0]["source"]);
            assert_eq!((value_shown, source), (&json!(value), &json!("DYNAMIC_BROKER_CONFIG")));
        }
    }
    // One that is dead, whether the others still name it or not: what is wrong is not where the command asked first.
    cluster.kill(3);
    let output = ottla(&format!("config get --broker 3 -b {}", cluster.address(1)), &[], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("broker 3") && !said.contains("ottla serve"), "{said}");
}

#[test]
fn leaders_are_elected_where_they_can_be_and_the_exit_code_says_where_not() {
    let mut cluster = Cluster::start();
    // A replica of one partition is on broker 3, and nowhere else.
    cluster.ok(1, "topic create t --partitions 3 --replication-factor 1");
    cluster.await_info(1, "leaders", |info| info["partitions"] == 3 && info["leaderless_partitions"] == 0);
    assert_eq!(cluster.ok(2, "cluster elect").trim(), "No partition needs an election.");
    let named: Value =
        serde_json::from_str(&cluster.ok(3, "cluster elect --topic t --partition 1 --json")).unwrap();
    let expected = json!({"topic": "t", "partition": 1, "elected": false, "error": "ELECTION_NOT_NEEDED"});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&named[0][field], value, "{named}");
    }
    assert!(named.as_array().unwrap().len() == 1);

    cluster.kill(3);
    cluster.await_info(1, "a partition without a leader", |info| info["leaderless_partitions"] == 1);
    for (line, why) in [
        ("cluster elect --json", "PREFERRED_LEADER_NOT_AVAILABLE"),
        ("cluster elect --unclean --records-may-be-lost --json", "ELIGIBLE_LEADERS_NOT_AVAILABLE"),
    ] {
        let output = ottla(&format!("{line} -b {}", cluster.address(1)), &[], "");
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(stderr(&output).contains("1 of 1 partitions"), "{}", stderr(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told[0]["error"], why, "{told}");
    }
}
