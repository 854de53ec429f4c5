//! Set-ups that cannot work, by real processes: each ends in one error that names what is wrong and says what to do. And a voter
//! that lost its directory, which is not one of them as long as a majority is left.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::cluster::{Cluster, PATIENCE, all_live, free_port};

/// Three nodes as a test wants them: set up wrong, or one by one.
struct SetUp {
    directory: tempfile::TempDir,
    /// Of the nodes' controllers.
    ports: [u16; 3],
}

/// A node that is expected to end by itself.
struct Node {
    child: Child,
    /// What it says, and logs.
    says: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SetUp {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), ports: [(); 3].map(|()| free_port()) }
    }

    fn voters(&self) -> String {
        self.voters_with(|_| "127.0.0.1")
    }

    fn voters_with(&self, host: impl Fn(usize) -> &'static str) -> String {
        voters(&self.ports, host)
    }

    /// A node in a directory of its own, by the same settings as the others but for `more`.
    fn start(&self, id: usize, more: &[&str]) -> Node {
        self.start_in(&self.directory.path().join(format!("node-{id}")), id, more)
    }

    fn start_in(&self, data: &Path, id: usize, more: &[&str]) -> Node {
        start(
            data,
            &self.directory.path().join(format!("said-{id}")),
            id,
            self.ports[id - 1],
            &self.voters(),
            more,
        )
    }
}

fn voters(ports: &[u16], host: impl Fn(usize) -> &'static str) -> String {
    let voter = |(id, port): (usize, &u16)| format!("{id}@{}:{port}", host(id));
    (1..).zip(ports).map(voter).collect::<Vec<_>>().join(",")
}

fn start(data: &Path, says: &Path, id: usize, port: u16, voters: &str, more: &[&str]) -> Node {
    let settings = [
        format!("node.id={id}"),
        "process.roles=broker,controller".to_owned(),
        format!("log.dirs={}", data.display()),
        format!("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("controller.quorum.voters={voters}"),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.env_remove("RUST_LOG").args(["--log-level", "warn", "serve"]);
    for setting in settings.iter().map(String::as_str).chain(more.iter().copied()) {
        command.args(["--override", setting]);
    }
    let file = std::fs::File::create(says).unwrap();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    Node { child, says: says.to_owned() }
}

impl Node {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.says).unwrap()
    }

    /// Waits until it has ended, and returns its error: the only one, behind whatever it logged.
    fn error(mut self) -> String {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on, and said: {}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let said = self.said();
        assert!(!status.success(), "{said}");
        let begins = said.match_indices("ottla: ").filter(|(at, _)| *at == 0 || said[..*at].ends_with('\n'));
        let begins: Vec<usize> = begins.map(|(at, _)| at).collect();
        assert_eq!(begins.len(), 1, "{said}");
        said[begins[0]..].to_owned()
    }

    /// Waits until it has said something.
    fn says(&self, what: &str) {
        let begin = Instant::now();
        while !self.said().contains(what) {
            assert!(begin.elapsed() < PATIENCE, "`{what}` is not in: {}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn mistakes_in_the_list_of_voters_name_the_entry() {
    let set_up = SetUp::new();
    let refused = |list: &str| set_up.start(1, &[&format!("controller.quorum.voters={list}")]).error();
    assert_says(&refused("1@a:9093,1@b:9093,2@c:9093"), &["lists node 1 twice", "\"1@b:9093\""]);
    assert_says(&refused("1@a:9093,2@a:9093"), &["lists the address of \"2@a:9093\" twice"]);
    assert_says(&refused("1@a:9093,x@:9"), &["\"x@:9\"", "no number", "id@host:port"]);
    assert_says(&refused("1@a:9093,2@b:0"), &["\"2@b:0\"", "port 0"]);
}

#[test]
fn an_entry_that_does_not_fit_the_nodes_own_listener_is_named_at_the_start() {
    let set_up = SetUp::new();
    let other = set_up.ports[1];
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{other}");
    let error = set_up.start(1, &[&listeners]).error();
    let entry = format!("this node, 1, is at 127.0.0.1:{}", set_up.ports[0]);
    assert_says(&error, &[&entry, &format!("CONTROLLER://127.0.0.1:{other}"), "advertised.listeners"]);
}

#[test]
fn lists_that_disagree_end_every_node_also_the_odd_one() {
    let set_up = SetUp::new();
    let odd = set_up.voters_with(|id| if id == 3 { "localhost" } else { "127.0.0.1" });
    let nodes = [
        set_up.start(1, &[]),
        set_up.start(2, &[&format!("controller.quorum.voters={odd}")]),
        set_up.start(3, &[]),
    ];
    for node in nodes {
        let error = node.error();
        assert_says(&error, &["controller.quorum.voters disagree", &odd, &set_up.voters(), "same list"]);
    }
}

#[test]
fn a_quorum_that_is_not_reached_is_told_with_who_is_not_there_and_why() {
    let set_up = SetUp::new();
    let error = set_up.start(1, &["initial.broker.registration.timeout.ms=1500"]).error();
    for id in [2, 3] {
        assert_says(&error, &[&format!("node {id} at 127.0.0.1:{} has not answered", set_up.ports[id - 1])]);
    }
    assert_says(&error, &["cannot connect", "initial.broker.registration.timeout.ms", "start them"]);
}

#[test]
fn a_second_node_with_an_id_that_is_taken_ends_and_the_first_goes_on() {
    let cluster = Cluster::start();
    let empty = cluster.data(2).with_file_name("second");
    let ports = cluster.controllers();
    let list = voters(&ports, |_| "127.0.0.1");
    // At another address of this machine, with the same port.
    let listeners = format!("listeners=PLAINTEXT://127.0.0.2:0,CONTROLLER://127.0.0.2:{}", ports[1]);
    let said = cluster.data(2).with_file_name("said");
    let error = start(&empty, &said, 2, ports[1], &list, &[&listeners]).error();
    let place = format!("127.0.0.1:{}", ports[1]);
    assert_says(&error, &["two nodes have node.id 2", &place, "another node.id"]);
    cluster.ok(2, "topic create t --partitions 1 --replication-factor 1");
}

#[test]
fn a_node_with_the_data_of_another_cluster_ends_and_both_clusters_are_named() {
    let mut other = Cluster::start();
    let mut cluster = Cluster::start();
    (1..=3).for_each(|id| other.kill(id));
    cluster.kill(3);
    let ports = cluster.controllers();
    let list = voters(&ports, |_| "127.0.0.1");
    let said = cluster.data(3).with_file_name("said");
    let error = start(&other.data(3), &said, 3, ports[2], &list, &[]).error();
    let ids = [&other, &cluster].map(|cluster| {
        let meta = std::fs::read_to_string(cluster.data(1).join("meta.properties")).unwrap();
        meta.lines().find_map(|line| line.strip_prefix("cluster.id=")).unwrap().to_owned()
    });
    assert_says(&error, &[&format!("data of cluster {}", ids[0]), &format!("belongs to cluster {}", ids[1])]);
    assert_says(&error, &["log.dirs", "controller.quorum.voters"]);
    cluster.restart(3);
    cluster.await_info(1, "three brokers", |info| all_live(info, 3));
}

#[test]
fn a_voter_that_is_started_with_another_list_is_told_what_differs_and_runs() {
    let mut cluster = Cluster::start();
    cluster.kill(3);
    let ports = cluster.controllers();
    let list = voters(&ports, |id| if id == 1 { "localhost" } else { "127.0.0.1" });
    let said = cluster.data(3).with_file_name("said");
    let node = start(&cluster.data(3), &said, 3, ports[2], &list, &[]);
    let at = ports[0];
    node.says(&format!("node 1 is listed at localhost:{at}, and known at 127.0.0.1:{at}"));
    cluster.await_info(1, "three brokers", |info| all_live(info, 3));
}

#[test]
fn a_voter_whose_directory_was_wiped_votes_again_whichever_it_is() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create kept --partitions 1 --replication-factor 3");
    // The founder, the leader, and one that is neither: all in turn.
    for id in 1..=3 {
        cluster.kill(id);
        std::fs::remove_dir_all(cluster.data(id)).unwrap();
        cluster.restart(id);
        for id in 1..=3 {
            cluster.await_info(id, "three brokers", |info| all_live(info, 3));
        }
        // Now its vote is needed.
        let other = id % 3 + 1;
        cluster.kill(other);
        cluster.ok(id, &format!("topic create t{id} --partitions 1 --replication-factor 1"));
        cluster.restart(other);
        for id in 1..=3 {
            cluster.await_info(id, "three brokers", |info| all_live(info, 3));
        }
    }
    for id in 1..=3 {
        cluster.await_info(id, "its topics", |info| info["topics"] == 4);
    }
}

#[test]
fn with_two_of_three_directories_wiped_no_empty_quorum_is_founded_and_the_lost_ones_are_named() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create kept --partitions 1 --replication-factor 3");
    let (ports, list) = (cluster.controllers(), voters(&cluster.controllers(), |_| "127.0.0.1"));
    let said = |id: usize| cluster.data(id).with_file_name(format!("said-{id}"));
    let [first, second] = [said(1), said(2)];
    for id in [1, 2] {
        cluster.kill(id);
        std::fs::remove_dir_all(cluster.data(id)).unwrap();
    }
    let nodes = [
        start(&cluster.data(1), &first, 1, ports[0], &list, &[]),
        start(&cluster.data(2), &second, 2, ports[1], &list, &[]),
    ];
    for node in nodes {
        let error = node.error();
        assert_says(&error, &["3 voters, and 2 lost their metadata directories", "node 1's", "node 2's"]);
        assert_says(&error, &["no new quorum is founded", "Bring back"]);
    }
}

#[test]
fn data_without_the_metadata_log_of_any_voter_found_no_quorum_that_does_not_know_them() {
    let mut cluster = Cluster::start();
    cluster.ok(1, "topic create kept --partitions 1 --replication-factor 3");
    let (ports, list) = (cluster.controllers(), voters(&cluster.controllers(), |_| "127.0.0.1"));
    for id in 1..=3 {
        cluster.await_info(id, "its topic", |info| info["topics"] == 1);
    }
    (1..=3).for_each(|id| cluster.kill(id));
    for id in 1..=3 {
        std::fs::remove_dir_all(cluster.data(id).join("ottla-metadata")).unwrap();
    }
    let said = |id: usize| cluster.data(id).with_file_name(format!("said-{id}"));
    let nodes = [1, 2, 3].map(|id| start(&cluster.data(id), &said(id), id, ports[id - 1], &list, &[]));
    for node in nodes {
        let error = node.error();
        assert_says(&error, &["log.dirs hold logs", "kept-0", "a new quorum would know none of them"]);
    }
}
