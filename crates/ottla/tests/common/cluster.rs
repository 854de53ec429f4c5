//! Three brokers for a test, each a process of its own, that vote on the metadata log.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{listening_address, ottla, stderr};

/// How long is waited for what must come. No test is right because of it; a wrong one ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes 1 to 3.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    /// Of each node, for clients and for the other nodes. They stay when it is restarted.
    ports: Vec<(u16, u16)>,
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
    pub(crate) fn start() -> Self {
        let ports = (0..3).map(|_| (free_port(), free_port())).collect();
        let mut cluster = Self { directory: tempfile::tempdir().unwrap(), ports, nodes: Vec::new() };
        cluster.start_all();
        cluster
    }

    /// They wait for each other, so all are begun before one is waited for.
    pub(crate) fn start_all(&mut self) {
        let children: Vec<Child> = (1..=3).map(|id| self.spawn(id)).collect();
        self.nodes = children.into_iter().map(listening).collect();
        for id in 1..=3 {
            self.await_info(id, "three brokers", |info| all_live(info, 3));
        }
    }

    fn spawn(&self, id: usize) -> Child {
        let data = self.data(id);
        let voters = self.ports.iter().zip(1..).map(|((_, port), id)| format!("{id}@127.0.0.1:{port}"));
        let (clients, controllers) = self.ports[id - 1];
        let settings = [
            format!("node.id={id}"),
            "process.roles=broker,controller".to_owned(),
            format!("log.dirs={}", data.display()),
            format!("listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controllers}"),
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

    /// Where a node keeps its data.
    pub(crate) fn data(&self, id: usize) -> PathBuf {
        self.directory.path().join(format!("node-{id}"))
    }

    /// The ports of the nodes' controllers.
    pub(crate) fn controllers(&self) -> Vec<u16> {
        self.ports.iter().map(|(_, controllers)| *controllers).collect()
    }

    /// Where clients find a node.
    pub(crate) fn address(&self, id: usize) -> SocketAddr {
        self.nodes[id - 1].address
    }

    /// Stops a node as an operator does, by SIGTERM, and waits for its end.
    pub(crate) fn stop(&mut self, id: usize) {
        let child = &mut self.nodes[id - 1].child;
        let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let status = child.wait().unwrap();
        assert!(status.success(), "SIGTERM ends node {id} with {status}");
    }

    /// Kills a node as a crash does.
    pub(crate) fn kill(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self, id: usize) {
        self.nodes[id - 1] = listening(self.spawn(id));
    }

    /// Runs a command against a node until it succeeds: what it needs may be on its way.
    pub(crate) fn ok(&self, id: usize, line: &str) -> String {
        let begin = Instant::now();
        loop {
            let output = ottla(&format!("{line} -b {}", self.nodes[id - 1].address), &[], "");
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "{line}: {}", stderr(&output));
        }
    }

    pub(crate) fn await_info(&self, id: usize, what: &str, is_so: impl Fn(&Value) -> bool) {
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

/// A port that nobody listens on, and that no other test of this process is given. It is below those that the system gives to
/// connections, so that none of them takes it before it is listened on.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(97).wrapping_add(nth) % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether all of so many brokers are unfenced, by what `cluster info` says.
pub(crate) fn all_live(info: &Value, count: u64) -> bool {
    info["brokers"] == count && info["fenced_brokers"] == 0
}

fn listening(mut child: Child) -> Node {
    let address = listening_address(&mut child);
    Node { child, address }
}
