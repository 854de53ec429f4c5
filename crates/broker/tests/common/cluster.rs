//! Three brokers that vote on the metadata log, in this process.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ottla_broker::{Broker, StartError};
use ottla_env::Env;
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};

use super::{Client, PATIENCE};

/// Nodes 1 to 3, over a directory of their own.
pub(crate) struct Cluster {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) voters: String,
    pub(crate) brokers: Vec<Option<Broker>>,
    /// More properties of all of them, in which `{node}` stands for the directory of each.
    more: String,
    /// What they run on.
    envs: Vec<Env>,
}

/// Ports that nobody listens on, and that no other test of this process is given. They are below those that the system gives to
/// connections and to listeners without a port, so that none of them takes one before it is listened on.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = || {
        let nth = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        10_000 + u16::try_from(nth % 22_000).unwrap()
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(next).filter(is_free).take(count).collect()
}

pub(crate) fn voters(ports: &[u16]) -> String {
    let voter = |(id, port): (usize, &u16)| format!("{}@127.0.0.1:{port}", id + 1);
    ports.iter().enumerate().map(voter).collect::<Vec<_>>().join(",")
}

pub(crate) fn settings(dir: &Path, id: usize, voters: &str, more: &str) -> Settings {
    let address = voters.split(',').nth(id - 1).unwrap().split_once('@').unwrap().1;
    let more = more.replace("{node}", &format!("{}/node-{id}", dir.display()));
    let text = format!(
        "node.id={id}\nprocess.roles=broker,controller\nlog.dirs={}/node-{id}\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://{address}\ncontroller.listener.names=CONTROLLER\n\
         controller.quorum.voters={voters}\n{more}",
        dir.display()
    );
    Settings::parse("test.properties", &text).unwrap().0
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with("", vec![Env::real(); 3]).await
    }

    /// The same with more properties, in which `{node}` stands for each node's directory, and on these machines.
    pub(crate) async fn start_with(more: &str, envs: Vec<Env>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let voters = voters(&free_ports(3));
        let mut cluster = Self { dir, voters, brokers: Vec::new(), more: more.to_owned(), envs };
        cluster.brokers.resize_with(3, || None);
        cluster.start_all().await;
        for id in 1..=3 {
            cluster.await_brokers(id, 3).await;
        }
        cluster
    }

    /// One of brokers that were started otherwise.
    pub(crate) fn over(dir: tempfile::TempDir, voters: String, brokers: Vec<Option<Broker>>) -> Self {
        Self { dir, voters, brokers, more: String::new(), envs: vec![Env::real(); 3] }
    }

    /// Starts all three at once.
    pub(crate) async fn start_all(&mut self) {
        let started = join_all((1..=3).map(|id| self.start_one(id))).await;
        self.brokers = started.into_iter().map(Some).collect();
    }

    pub(crate) async fn restart(&mut self, id: usize) {
        let broker = self.start_one(id).await;
        self.brokers[id - 1] = Some(broker);
    }

    async fn start_one(&self, id: usize) -> Broker {
        let begin = std::time::Instant::now();
        loop {
            let settings = settings(self.dir.path(), id, &self.voters, &self.more);
            match Broker::start(self.envs[id - 1].clone(), settings).await {
                Ok(broker) => return broker,
                // What the one before held is let go when its tasks are run next.
                Err(StartError::Bind(_) | StartError::Logs(_) | StartError::Metadata(_))
                    if begin.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Ends a broker without stopping it.
    pub(crate) fn abandon(&mut self, id: usize) {
        drop(self.brokers[id - 1].take().unwrap());
    }

    pub(crate) async fn connect(&self, id: usize) -> Client {
        let listeners = self.brokers[id - 1].as_ref().unwrap().listeners();
        let (_, address) = listeners.iter().find(|(name, _)| name == "PLAINTEXT").unwrap();
        Client::open(*address).await
    }

    /// What a broker says, once that is so.
    pub(crate) async fn await_metadata(
        &self,
        id: usize,
        what: &str,
        is_so: impl Fn(&MetadataResponse) -> bool,
    ) {
        let mut client = self.connect(id).await;
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let told = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
            if is_so(&told) {
                return;
            }
            assert!(tokio::time::Instant::now() < patience, "broker {id} does not come to {what}: {told:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn await_brokers(&self, id: usize, count: usize) {
        self.await_metadata(id, "so many brokers", |told| told.brokers.len() == count).await;
    }

    pub(crate) async fn create(&self, id: usize, name: &str, partitions: i32, replicas: i16) -> ErrorCode {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: replicas,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        let told = self.connect(id).await.call(7, request).await;
        ErrorCode::from_code(told.topics[0].error_code).unwrap()
    }
}

pub(crate) fn leaders(told: &MetadataResponse, topic: &str) -> Vec<i32> {
    let topic = told.topics.iter().find(|known| known.name.as_deref() == Some(topic));
    topic.map_or_else(Vec::new, |topic| topic.partitions.iter().map(|p| p.leader_id).collect())
}
