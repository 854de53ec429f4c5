//! `ottla replicas` on three brokers, each a process of its own: what is shown when one of them dies and comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use common::cluster::{Cluster, PATIENCE};
use common::{ottla, stderr};
use serde_json::Value;

/// `ottla replicas --watch`, and what it prints.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(cluster: &Cluster, options: &str) -> Self {
        let address = cluster.address(1).to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["replicas", "--watch", "--interval", "50", "-b", &address])
            .args(options.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line that has this in it.
    fn sees(&self, part: &str) -> String {
        let begin = Instant::now();
        let mut seen = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else { panic!("no {part} in {seen:#?}") };
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It never ends by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until what is told of replicas is so.
fn await_replicas(cluster: &Cluster, options: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let told = serde_json::from_str(&cluster.ok(1, &format!("replicas --json {options}"))).unwrap();
        if is_so(&told) {
            return told;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not come to that: {told:#}");
    }
}

#[test]
fn a_broker_that_dies_and_comes_back_shows_from_the_loss_until_all_is_whole_again() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create orders --partitions 3 --replication-factor 3");
    let all_in_sync = |told: &Value| {
        let whole = |partition: &Value| partition["isr"].as_array().is_some_and(|isr| isr.len() == 3);
        told["told_by_leaders"] == true
            && told["partitions"].as_array().is_some_and(|all| all.len() == 3 && all.iter().all(whole))
    };
    await_replicas(&cluster, "", all_in_sync);
    let watch = Watch::start(&cluster, "");
    watch.sees("3 partitions: all replicas are in sync");

    cluster.kill(3);
    let lost = watch.sees("replica 3 is out of sync in orders-0, orders-1, orders-2");
    assert!(lost.contains("its broker is fenced"), "{lost}");
    let output = ottla(&format!("produce orders --acks all -b {}", cluster.address(1)), &[], "a\nb\nc\n");
    assert!(output.status.success(), "{}", stderr(&output));

    let told = await_replicas(&cluster, "--under-replicated", |told| {
        told["partitions"].as_array().is_some_and(|all| all.len() == 3)
    });
    for partition in told["partitions"].as_array().unwrap() {
        assert_eq!(partition["health"], "under_replicated", "min.insync.replicas is 1: {partition}");
        let (leader, end) = (&partition["leader"], &partition["log_end_offset"]);
        assert!(leader == 1 || leader == 2, "{partition}");
        for replica in partition["replicas"].as_array().unwrap() {
            match &replica["broker"] {
                broker if broker == leader => assert_eq!(replica["state"], "leads"),
                broker if broker == 3 => {
                    assert_eq!((&replica["state"], &replica["in_sync"]), (&"fenced".into(), &false.into()));
                    assert!(replica["out_of_sync_ms"].is_u64(), "{replica}");
                }
                _ => {
                    assert_eq!(replica["state"], "in_sync");
                    assert!(replica["last_fetch_ms_ago"].is_u64(), "{replica}");
                    assert!(replica["log_end_offset"].as_i64() <= end.as_i64(), "{partition}");
                }
            }
        }
    }
    let table = cluster.ok(1, "replicas --topic orders");
    assert!(table.contains("broker fenced") && table.contains("3 partitions: 3 under-replicated"), "{table}");
    let health = ottla(&format!("cluster health -b {}", cluster.address(1)), &[], "");
    assert!(String::from_utf8_lossy(&health.stdout).contains("3 partitions with fewer replicas in sync"));

    cluster.restart(3);
    watch.sees("replica 3 is in sync in orders-");
    watch.sees("3 partitions: all replicas are in sync again, after ");
    await_replicas(&cluster, "", all_in_sync);
    let none = cluster.ok(1, "replicas --under-replicated");
    assert_eq!(none.trim(), "3 partitions: all replicas are in sync");
}

#[test]
fn changes_are_objects_for_programs_and_unknown_topics_errors() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create orders --partitions 1 --replication-factor 3");
    let watch = Watch::start(&cluster, "--json --topic orders");
    let output = ottla(&format!("replicas --topic nowhere -b {}", cluster.address(2)), &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no topic nowhere"), "{}", stderr(&output));
    // What the first look found is no event: so it has looked before the broker dies, or tells nothing of it.
    await_replicas(&cluster, "", |told| {
        told["partitions"][0]["isr"].as_array().is_some_and(|isr| isr.len() == 3)
    });
    cluster.ok(1, "topic alter orders --partitions 2");
    let created: Value = serde_json::from_str(&watch.sees("created")).unwrap();
    assert_eq!(created["partitions"], serde_json::json!(["orders-1"]));
    await_replicas(&cluster, "", |told| {
        let all = told["partitions"].as_array().unwrap();
        all.len() == 2 && all.iter().all(|one| one["health"] == "whole")
    });
    cluster.kill(2);
    let left: Value = serde_json::from_str(&watch.sees("left_isr")).unwrap();
    assert_eq!(left["broker"], 2);
    assert!(left["under_replicated"].as_u64().is_some_and(|count| count > 0), "{left}");
}
