//! Clusters in memory: disks that forget, a network that can be cut, processes that can be killed.

#![allow(dead_code, unreachable_pub, reason = "shared: each test file uses a part")]

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable};
use ottla_broadcast::conformance::Cluster;
use ottla_broadcast::quorum::{Voter, VoterEndpoint, VoterKey};
use ottla_broadcast::raft::{Peers, RaftConfig};
use ottla_broadcast::{AtomicBroadcast, BoxFuture, Raft, Single};
use ottla_env::process::{self, Process, Task};
use ottla_env::{Disk, Rng};
use ottla_types::{BrokerId, DirectoryId};

use crate::common::{Dice, FaultyDisk};

/// A process that can be killed: all of its tasks end at once.
#[derive(Default)]
pub struct Killable {
    tasks: Mutex<Vec<AbortHandle>>,
    /// How often any of its tasks was woken.
    polls: AtomicUsize,
}

/// What a task runs in: all that it spawns is of its process too.
struct Within(Arc<Killable>, Task);

impl Future for Within {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.polls.fetch_add(1, Ordering::Relaxed);
        let process: Arc<dyn Process> = Arc::new(Handle(Arc::clone(&self.0)));
        process::within(&process, || self.1.as_mut().poll(cx))
    }
}

/// A process, by which its tasks know it.
struct Handle(Arc<Killable>);

impl Process for Handle {
    fn hold(&self, _: &'static str, task: Task) -> Task {
        let (handle, registration) = AbortHandle::new_pair();
        self.0.tasks.lock().unwrap().push(handle);
        let held = Abortable::new(Within(Arc::clone(&self.0), task), registration);
        Box::pin(async move {
            // Whether it ended by itself or was ended.
            let _ = held.await;
        })
    }
}

impl Killable {
    pub fn kill(&self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }

    /// Runs a future as a part of the process.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let process: Arc<dyn Process> = Arc::new(Handle(Arc::clone(self)));
        process::within(&process, || process::spawn(future)).await.unwrap()
    }
}

/// Random numbers from a seed.
pub struct SeededRng(Mutex<Dice>);

impl SeededRng {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Dice(seed))))
    }
}

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        let mut dice = self.0.lock().unwrap();
        buffer.fill_with(|| dice.roll(256) as u8);
    }
}

/// The network between the nodes.
#[derive(Default)]
pub struct Wires {
    nodes: Mutex<Vec<Option<Arc<Raft>>>>,
    isolated: Mutex<BTreeSet<usize>>,
    /// Links that are cut in one direction.
    pub cut: Mutex<BTreeSet<(usize, usize)>>,
    /// Every message's way takes this long.
    pub latency: Mutex<Duration>,
    pub calls: AtomicUsize,
    pub bytes: AtomicUsize,
    /// The largest request.
    pub largest: AtomicUsize,
}

/// The network as one node sees it.
pub struct Wire {
    wires: Arc<Wires>,
    from: usize,
}

impl Wires {
    fn is_cut(&self, from: usize, to: usize) -> bool {
        let isolated = self.isolated.lock().unwrap();
        isolated.contains(&from) || isolated.contains(&to) || self.cut.lock().unwrap().contains(&(from, to))
    }

    async fn travel(&self, from: usize, to: usize) {
        let latency = *self.latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        if self.is_cut(from, to) {
            // Lost: nobody hears of it.
            std::future::pending::<()>().await;
        }
    }
}

impl Peers for Wire {
    fn call(&self, to: BrokerId, _: &[VoterEndpoint], request: Bytes) -> BoxFuture<'_, io::Result<Bytes>> {
        use Ordering::Relaxed;
        let to = to.0 as usize - 1;
        self.wires.calls.fetch_add(1, Relaxed);
        self.wires.bytes.fetch_add(request.len(), Relaxed);
        self.wires.largest.fetch_max(request.len(), Relaxed);
        Box::pin(async move {
            self.wires.travel(self.from, to).await;
            let node = self.wires.nodes.lock().unwrap()[to].clone();
            let node = node.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let answer = node.handle(request).await;
            self.wires.travel(to, self.from).await;
            Ok(answer)
        })
    }
}

/// A quorum of nodes, or one that has not formed yet.
pub struct Quorum {
    pub disks: Vec<FaultyDisk>,
    pub wires: Arc<Wires>,
    processes: Vec<Arc<Killable>>,
    pub rng: Arc<SeededRng>,
    dice: Dice,
    /// Who votes at first.
    pub voters: usize,
    pub nodes: Vec<Option<Arc<Raft>>>,
}

pub fn key(nth: usize) -> VoterKey {
    VoterKey { id: BrokerId(nth as i32 + 1), directory: DirectoryId([nth as u8 + 1; 16]) }
}

pub fn voter(nth: usize) -> Voter {
    let endpoint = VoterEndpoint { listener: "CONTROLLER".into(), host: format!("node{nth}"), port: 9093 };
    Voter { key: key(nth), endpoints: vec![endpoint] }
}

pub fn dir() -> PathBuf {
    PathBuf::from("/data/ottla-metadata")
}

impl Quorum {
    /// `size` nodes, of which the first `voters` vote from the beginning.
    pub fn new(size: usize, voters: usize, seed: u64) -> Self {
        let wires = Wires { nodes: Mutex::new(vec![None; size]), ..Wires::default() };
        *wires.latency.lock().unwrap() = Duration::from_millis(1);
        Self {
            disks: (0..size).map(|_| FaultyDisk::default()).collect(),
            wires: Arc::new(wires),
            processes: (0..size).map(|_| Arc::default()).collect(),
            rng: SeededRng::new(seed),
            dice: Dice(seed),
            voters,
            nodes: vec![None; size],
        }
    }

    pub async fn start_node(&mut self, nth: usize) -> Arc<Raft> {
        let disk: Arc<dyn Disk> = Arc::new(self.disks[nth].clone());
        let rng: Arc<dyn Rng> = self.rng.clone();
        let peers: Arc<dyn Peers> = Arc::new(Wire { wires: Arc::clone(&self.wires), from: nth });
        let config = RaftConfig {
            me: key(nth),
            election_timeout: Duration::from_millis(300),
            fetch_timeout: Duration::from_millis(500),
        };
        let voters: Vec<Voter> = (0..self.voters).map(voter).collect();
        let is_voter = nth < self.voters;
        let opened = self.processes[nth].run(async move {
            let opened = Raft::open(disk, rng, &dir(), config, peers).await.unwrap();
            assert_eq!(opened.warnings.iter().filter(|warning| !warning.contains("cut off")).count(), 0);
            if is_voter && opened.raft.is_empty() {
                opened.raft.initialise(voters).await.unwrap();
            }
            opened.raft
        });
        let raft = opened.await;
        self.wires.nodes.lock().unwrap()[nth] = Some(Arc::clone(&raft));
        self.nodes[nth] = Some(Arc::clone(&raft));
        raft
    }

    /// How often the tasks of a node were woken since it was started.
    pub fn polls(&self, nth: usize) -> usize {
        self.processes[nth].polls.load(Ordering::Relaxed)
    }

    fn stop(&mut self, nth: usize) {
        self.processes[nth].kill();
        self.processes[nth] = Arc::default();
        self.wires.nodes.lock().unwrap()[nth] = None;
        self.nodes[nth] = None;
    }
}

impl Cluster for Quorum {
    fn size(&self) -> usize {
        self.disks.len()
    }

    fn start(&mut self, node: usize) -> BoxFuture<'_, Arc<dyn AtomicBroadcast>> {
        Box::pin(async move { self.start_node(node).await as Arc<dyn AtomicBroadcast> })
    }

    fn kill(&mut self, node: usize) {
        self.stop(node);
    }

    fn cut_power(&mut self, node: usize) {
        self.stop(node);
        self.disks[node].cut_power(&mut self.dice);
    }

    fn isolate(&mut self, node: usize) {
        self.wires.isolated.lock().unwrap().insert(node);
    }

    fn heal(&mut self) {
        self.wires.isolated.lock().unwrap().clear();
        self.wires.cut.lock().unwrap().clear();
    }
}

/// The broadcast of one node.
pub struct Alone {
    pub disk: FaultyDisk,
    process: Arc<Killable>,
    dice: Dice,
}

impl Alone {
    pub fn new(seed: u64) -> Self {
        Self { disk: FaultyDisk::default(), process: Arc::default(), dice: Dice(seed) }
    }
}

impl Cluster for Alone {
    fn size(&self) -> usize {
        1
    }

    fn start(&mut self, _: usize) -> BoxFuture<'_, Arc<dyn AtomicBroadcast>> {
        Box::pin(async move {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            let opened =
                self.process.run(async move { Single::open(disk, &dir(), BrokerId(1)).await.unwrap() });
            opened.await.broadcast as Arc<dyn AtomicBroadcast>
        })
    }

    fn kill(&mut self, _: usize) {
        self.process.kill();
        self.process = Arc::default();
    }

    fn cut_power(&mut self, node: usize) {
        self.kill(node);
        self.disk.cut_power(&mut self.dice);
    }

    fn isolate(&mut self, _: usize) {}

    fn heal(&mut self) {}
}
