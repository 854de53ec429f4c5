//! `ottla dev` with more brokers than vote: real processes, killed and paused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::dev::Dev;
use common::{ok, ottla, stderr};
use serde_json::Value;

/// How long is waited for what must come. No test is right because of it; a wrong one ends.
const PATIENCE: Duration = Duration::from_secs(90);

/// From a port for clients to the one for the quorum.
const TO_CONTROLLER: u16 = 1000;

/// A cluster that `ottla dev` runs.
struct Cluster {
    dev: Dev,
    port: u16,
}

/// Between the first ports of two clusters.
const STEP: u16 = 20;

/// The first of so many ports in a row that nobody listens on, nor on those of their quorum, and that no other test of this
/// process is given: a cluster listens long after its ports were looked for. They are below those that the system gives to
/// connections, so that none of them takes one meanwhile.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let nth = std::process::id().wrapping_mul(7).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        // Rows do not meet those of the quorums: each thousand of ports with clients is followed by one with quorums.
        let row = u16::try_from(nth % 500).unwrap();
        let (thousand, within) = (row / (TO_CONTROLLER / STEP), row % (TO_CONTROLLER / STEP));
        let base = 11_000 + thousand * 2 * TO_CONTROLLER + within * STEP;
        if (0..count).all(|n| is_free(base + n) && is_free(base + n + TO_CONTROLLER)) {
            return base;
        }
    }
}

impl Cluster {
    fn start(data: &Path, brokers: u16) -> Self {
        let port = free_ports(brokers);
        let (count, base) = (brokers.to_string(), port.to_string());
        let mut options = vec!["--ephemeral", "--brokers", &count, "--port", &base];
        // A log that is soon replaced by snapshots.
        options.extend(["--override", "metadata.log.max.record.bytes.between.snapshots=2000"]);
        let mut dev = Dev::start(data, &options);
        dev.heard(&format!("{brokers} brokers run"));
        Self { dev, port }
    }

    fn fault(&self, order: &str, id: u16) {
        ok(&self.dev.fault(&format!("{order} {id}")), "");
    }

    /// Runs a command against a broker until it succeeds: what it needs may be on its way.
    fn ok(&self, id: u16, line: &str) -> String {
        let begin = Instant::now();
        loop {
            let output = ottla(&format!("{line} -b 127.0.0.1:{}", self.port + id - 1), &[], "");
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "{line}: {}", stderr(&output));
        }
    }

    fn await_info(&self, id: u16, what: &str, is_so: impl Fn(&Value) -> bool) {
        let begin = Instant::now();
        loop {
            let info: Value = serde_json::from_str(&self.ok(id, "cluster info --json")).unwrap();
            if is_so(&info) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "broker {id} does not come to {what}: {info}");
        }
    }

    fn await_all(&self, brokers: u16) {
        for id in 1..=brokers {
            self.await_info(id, "all brokers", |info| {
                info["brokers"] == brokers
                    && info["fenced_brokers"] == 0
                    && info["leaderless_partitions"] == 0
            });
        }
    }

    fn end(self) {
        assert!(self.dev.end("TERM").success());
    }
}

#[test]
fn brokers_beyond_the_third_are_killed_paused_and_left_without_any_voter_and_come_back() {
    let parent = tempfile::tempdir().unwrap();
    let dev = Cluster::start(&parent.path().join("c"), 5);
    dev.await_all(5);
    dev.ok(5, "topic create t --partitions 10 --replication-factor 5");

    dev.fault("kill", 4);
    for id in [1, 5] {
        dev.await_info(id, "new leaders", |info| {
            info["fenced_brokers"] == 1 && info["partitions"] == 10 && info["leaderless_partitions"] == 0
        });
    }
    dev.fault("restart", 4);
    dev.await_all(5);

    // While it stands still, the log goes on, and its beginning gives way to snapshots.
    dev.fault("pause", 4);
    for topic in 0..20 {
        dev.ok(1, &format!("topic create while-{topic} --partitions 3 --replication-factor 3"));
    }
    dev.fault("resume", 4);
    dev.await_info(4, "what it has missed", |info| info["partitions"] == 70);
    dev.await_all(5);

    for id in 1..=3 {
        dev.fault("kill", id);
    }
    for id in 1..=3 {
        dev.fault("restart", id);
    }
    dev.await_all(5);
    dev.ok(4, "topic create after --partitions 2 --replication-factor 5");
    for id in 1..=5 {
        dev.await_info(id, "the new topic", |info| info["partitions"] == 72);
    }
    dev.end();
}

#[test]
fn the_fourth_broker_of_four_is_listed_and_has_replicas() {
    let parent = tempfile::tempdir().unwrap();
    let dev = Cluster::start(&parent.path().join("c"), 4);
    dev.await_all(4);
    dev.ok(4, "topic create t --partitions 4 --replication-factor 4");
    let listed: Value = serde_json::from_str(&dev.ok(4, "cluster brokers --json")).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(4), "{listed}");
    dev.end();
}
