//! Three brokers, each a process of its own, that vote on the metadata log: any of them may be killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{listening_address, ottla, stderr};
use serde_json::Value;

/// How long is waited for what must come. No test is right because of it; a wrong one ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes 1 to 3.
struct Cluster {
    directory: tempfile::TempDir,
    ports: Vec<u16>,
    nodes: Vec<Node>,
}

struct Node {
    child: Child,
    address: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cluster {
    fn start() -> Self {
        let taken: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(taken);
        let mut cluster = Self { directory: tempfile::tempdir().unwrap(), ports, nodes: Vec::new() };
        cluster.start_all();
        cluster
    }

    /// They wait for each other, so all are begun before one is waited for.
    fn start_all(&mut self) {
        let children: Vec<Child> = (1..=3).map(|id| self.spawn(id)).collect();
        self.nodes = children.into_iter().map(listening).collect();
        for id in 1..=3 {
            self.await_info(id, "three brokers", |info| all_live(info, 3));
        }
    }

    fn spawn(&self, id: usize) -> Child {
        let data: PathBuf = self.directory.path().join(format!("node-{id}"));
        let voters = self.ports.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}"));
        let settings = [
            format!("node.id={id}"),
            "process.roles=broker,controller".to_owned(),
            format!("log.dirs={}", data.display()),
            format!("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{}", self.ports[id - 1]),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("controller.quorum.voters={}", voters.collect::<Vec<_>>().join(",")),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.args(["--log-level", "error", "serve"]);
        for setting in &settings {
            command.args(["--override", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Kills a node as a crash does.
    fn kill(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    fn restart(&mut self, id: usize) {
        self.nodes[id - 1] = listening(self.spawn(id));
    }

    /// Runs a command against a node until it succeeds: what it needs may be on its way.
    fn ok(&self, id: usize, line: &str) -> String {
        let begin = Instant::now();
        loop {
            let output = ottla(&format!("{line} -b {}", self.nodes[id - 1].address), &[], "");
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "{line}: {}", stderr(&output));
        }
    }

    fn await_info(&self, id: usize, what: &str, is_so: impl Fn(&Value) -> bool) {
        let begin = Instant::now();
        loop {
            let info: Value = serde_json::from_str(&self.ok(id, "cluster info --json")).unwrap();
            if is_so(&info) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "node {id} does not come to {what}: {info}");
        }
    }
}

fn all_live(info: &Value, count: u64) -> bool {
    info["brokers"] == count && info["fenced_brokers"] == 0
}

fn listening(mut child: Child) -> Node {
    let address = listening_address(&mut child);
    Node { child, address }
}

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
fn records_for_more_than_one_replica_are_refused_by_name() {
    let cluster = Cluster::start();
    cluster.ok(1, "topic create t --partitions 1 --replication-factor 3");
    cluster.await_info(2, "a leader", |info| info["partitions"] == 1 && info["leaderless_partitions"] == 0);
    let output = ottla(&format!("produce t -b {}", cluster.nodes[1].address), &[], "a record\n");
    assert!(!output.status.success());
    assert!(stderr(&output).contains("3 replicas"), "{}", stderr(&output));
}

#[test]
fn a_voter_does_not_go_on_alone_beside_its_cluster() {
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let data = cluster.directory.path().join("node-3");
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
