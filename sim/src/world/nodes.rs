//! A world of machines: each with an address, a disk, clocks, and one process.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_env::Env;
use tokio::sync::watch;

use super::clock::NodeClock;
use super::node::{Node, Program, Running, Started};
use crate::disk::{Crash, Faults, SimDisk};
use crate::engine::{Kind, NodeId, SimProcess, Timeline, Trace, Watcher};
use crate::net::SimNet;
use crate::rng::{RngPort, SimRng};

/// Where a machine's disk is mounted. What programs make below it they have to make durable themselves.
pub(super) const MOUNT: &str = "/data";

/// How long a healthy disk takes to sync a file.
const SYNC: std::ops::Range<Duration> = Duration::from_micros(200)..Duration::from_millis(2);

struct State {
    nodes: BTreeMap<NodeId, Node>,
    rng: SimRng,
    /// Panics of processes that have ended.
    panics: Vec<(NodeId, String)>,
    watcher: Option<WorldWatcher>,
    on_loss: Option<LossWatcher>,
    /// The disks that failed since their process started, and whether they still do.
    failed_disks: BTreeMap<NodeId, bool>,
}

/// Is told of a process or a machine that ended without notice: its disk as it was, and as the next process finds it.
pub type LossWatcher = Arc<dyn Fn(NodeId, Crash, &SimDisk, &SimDisk) + Send + Sync>;

/// Is told what the processes observe: of which machine, and which of its starts.
pub type WorldWatcher = Arc<dyn Fn(NodeId, u64, &dyn Any) + Send + Sync>;

/// Machines, and the network between them. Clones are the same world.
#[derive(Clone)]
pub struct World {
    timeline: Timeline,
    trace: Trace,
    net: SimNet,
    keeps_words: bool,
    state: Arc<Mutex<State>>,
}

impl World {
    /// A world without machines, in which everything follows from the seed.
    #[must_use]
    pub fn new(seed: u64, timeline: Timeline, keeps_words: bool) -> Self {
        let mut rng = SimRng::new(seed);
        let trace = Trace::new(keeps_words);
        let net = SimNet::new(rng.fork(1), timeline.clone(), trace.clone());
        let state = State {
            nodes: BTreeMap::new(),
            rng,
            panics: Vec::new(),
            watcher: None,
            on_loss: None,
            failed_disks: BTreeMap::new(),
        };
        Self { timeline, trace, net, keeps_words, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, and what is to happen.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What has happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &SimNet {
        &self.net
    }

    /// Random numbers for one purpose.
    #[must_use]
    pub fn rng(&self, purpose: u64) -> SimRng {
        self.lock().rng.fork(purpose)
    }

    /// Notes that something happened, in words too if they are kept.
    pub fn note(&self, node: NodeId, kind: Kind, detail: u64, words: impl FnOnce() -> String) {
        let now_us = self.timeline.now_us();
        self.trace.note(now_us, node, kind, detail);
        self.trace.say(now_us, node, words);
    }

    /// Adds a machine, with an empty disk, and does not start its process.
    pub fn add_node(&self, name: &str, program: Program) -> NodeId {
        let mut state = self.lock();
        let id = NodeId(state.nodes.len() as u32 + 1);
        let seed = state.rng.next_u64();
        let node = Node {
            name: name.to_owned(),
            program,
            disk: self.healthy(SimDisk::new(seed).with_dir(Path::new(MOUNT))),
            clock: Arc::new(NodeClock::new(self.timeline.clone())),
            running: None,
            has_power: true,
            starts: 0,
        };
        state.nodes.insert(id, node);
        drop(state);
        self.net.add_host(id, name);
        id
    }

    fn healthy(&self, disk: SimDisk) -> SimDisk {
        let disk = disk.on(self.timeline.clone());
        disk.set_faults(healthy_faults());
        if self.keeps_words {
            disk.keep_events();
        }
        disk
    }

    /// Has somebody told what all processes observe that are started from now on.
    pub fn watch(&self, watcher: WorldWatcher) {
        self.lock().watcher = Some(watcher);
    }

    /// Has somebody told of each crash from now on.
    pub fn watch_losses(&self, watcher: LossWatcher) {
        self.lock().on_loss = Some(watcher);
    }

    /// All machines.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.lock().nodes.keys().copied().collect()
    }

    /// A machine's name.
    #[must_use]
    pub fn name(&self, node: NodeId) -> String {
        self.lock().nodes.get(&node).map(|node| node.name.clone()).unwrap_or_default()
    }

    /// A machine's disk as it is now. After a crash it is another.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> Option<SimDisk> {
        self.lock().nodes.get(&node).map(|node| node.disk.clone())
    }

    /// Whether its process runs, or is paused.
    #[must_use]
    pub fn is_running(&self, node: NodeId) -> bool {
        let state = self.lock();
        let running = state.nodes.get(&node).and_then(|node| node.running.as_ref());
        running.is_some_and(|running| !*running.ended.borrow())
    }

    /// Whether its process is paused.
    #[must_use]
    pub fn is_paused(&self, node: NodeId) -> bool {
        let state = self.lock();
        let running = state.nodes.get(&node).and_then(|node| node.running.as_ref());
        running.is_some_and(|running| running.process.is_paused())
    }

    /// Starts a machine's process, and the machine if it has no power. Nothing happens if it runs.
    pub fn start(&self, node: NodeId) {
        if self.is_running(node) {
            return;
        }
        self.collect_panics(node);
        let (process, main) = {
            let mut state = self.lock();
            let State { nodes, rng, watcher, failed_disks, .. } = &mut *state;
            failed_disks.retain(|failed, fails| *failed != node || *fails);
            let Some(found) = nodes.get_mut(&node) else { return };
            found.starts += 1;
            let start = found.starts;
            let watcher = watcher
                .clone()
                .map(|watcher| -> Watcher { Arc::new(move |event| watcher(node, start, event)) });
            found.has_power = true;
            let env = Env {
                clock: Arc::clone(&found.clock) as _,
                rng: Arc::new(RngPort::new(rng.fork(found.starts))),
                disk: found.disk.port(),
                net: self.net.port(node),
            };
            let (stop, stopped) = watch::channel(false);
            let (end, ended) = watch::channel(false);
            let process = SimProcess::watched(node, self.timeline.clone(), self.trace.clone(), watcher);
            let program = Arc::clone(&found.program);
            found.running = Some(Running { process: Arc::clone(&process), stop, ended });
            let world = self.clone();
            let main = async move {
                program(Started { env, stop: stopped }).await;
                world.note(node, Kind::Process, 7, || "ends by itself".to_owned());
                end.send_replace(true);
            };
            (process, main)
        };
        self.net.power_on(node);
        self.note(node, Kind::Process, 1, || "starts".to_owned());
        let ending = Arc::downgrade(&process);
        process.spawn(async move {
            main.await;
            // What a process leaves running ends with it.
            if let Some(process) = ending.upgrade() {
                process.end();
            }
        });
    }

    /// Asks a process to stop in order, and waits until it has.
    pub async fn stop(&self, node: NodeId) {
        let ended = {
            let state = self.lock();
            let running = state.nodes.get(&node).and_then(|node| node.running.as_ref());
            running.map(|running| {
                running.stop.send_replace(true);
                running.ended.clone()
            })
        };
        self.note(node, Kind::Process, 2, || "is asked to stop".to_owned());
        if let Some(mut ended) = ended {
            // An error: the process was killed meanwhile.
            drop(ended.wait_for(|ended| *ended).await);
        }
    }

    /// Ends a process at once. The page cache survives.
    pub fn kill(&self, node: NodeId) {
        self.note(node, Kind::Process, 3, || "is killed".to_owned());
        self.crash(node, Crash::Kill);
    }

    /// Ends a machine at once: what was not synced is kept, lost or torn, and nobody is told.
    pub fn cut_power(&self, node: NodeId) {
        self.note(node, Kind::Process, 4, || "loses its power".to_owned());
        self.net.power_off(node);
        self.crash(node, Crash::PowerLoss);
    }

    /// Ends a machine at once, and empties its disk.
    pub fn wipe(&self, node: NodeId) {
        self.note(node, Kind::Process, 8, || "loses its power and its disk".to_owned());
        self.net.power_off(node);
        self.crash(node, Crash::PowerLoss);
        let seed = self.lock().rng.next_u64();
        let disk = self.healthy(SimDisk::new(seed).with_dir(Path::new(MOUNT)));
        let before = match self.lock().nodes.get_mut(&node) {
            Some(found) => std::mem::replace(&mut found.disk, disk.clone()),
            None => return,
        };
        self.tell_loss(node, Crash::PowerLoss, &before, &disk);
    }

    /// Whether its process ended by itself, and not because it was asked to.
    #[must_use]
    pub fn has_given_up(&self, node: NodeId) -> bool {
        let state = self.lock();
        let running = state.nodes.get(&node).and_then(|node| node.running.as_ref());
        running.is_some_and(|running| *running.ended.borrow() && !*running.stop.borrow())
    }

    fn crash(&self, node: NodeId, crash: Crash) {
        let running = self.lock().nodes.get_mut(&node).and_then(|node| node.running.take());
        if let Some(running) = running {
            running.process.end();
            let panics = running.process.take_panics();
            self.lock().panics.extend(panics.into_iter().map(|panic| (node, panic)));
        }
        let mut state = self.lock();
        let seed = state.rng.next_u64();
        let Some(found) = state.nodes.get_mut(&node) else { return };
        self.trace.note(self.timeline.now_us(), node, Kind::Disk, found.disk.trace_hash());
        let next = self.healthy(found.disk.restart(crash, seed));
        let before = std::mem::replace(&mut found.disk, next.clone());
        found.has_power &= crash == Crash::Kill;
        if let Some(fails) = state.failed_disks.get_mut(&node) {
            *fails = false;
        }
        drop(state);
        self.tell_loss(node, crash, &before, &next);
    }

    fn tell_loss(&self, node: NodeId, crash: Crash, before: &SimDisk, after: &SimDisk) {
        let watcher = self.lock().on_loss.clone();
        if let Some(watcher) = watcher {
            watcher(node, crash, before, after);
        }
    }

    /// A process is not scheduled any more. Its machine goes on.
    pub fn pause(&self, node: NodeId) {
        self.note(node, Kind::Process, 5, || "is paused".to_owned());
        if let Some(process) = self.process(node) {
            process.pause();
        }
    }

    /// A paused process goes on.
    pub fn resume(&self, node: NodeId) {
        self.note(node, Kind::Process, 6, || "goes on".to_owned());
        if let Some(process) = self.process(node) {
            process.resume();
        }
    }

    fn process(&self, node: NodeId) -> Option<Arc<SimProcess>> {
        let state = self.lock();
        let running = state.nodes.get(&node).and_then(|node| node.running.as_ref());
        running.map(|running| Arc::clone(&running.process))
    }

    /// What the tasks of a machine's process run.
    #[must_use]
    pub fn tasks(&self, node: NodeId) -> Vec<&'static str> {
        self.process(node).map(|process| process.tasks()).unwrap_or_default()
    }

    /// What goes wrong with a machine's disk from now on, until it crashes.
    pub fn set_disk_faults(&self, node: NodeId, change: impl FnOnce(&mut Faults)) {
        let mut faults = healthy_faults();
        change(&mut faults);
        if let Some(disk) = self.disk(node) {
            disk.set_faults(faults);
        }
        if let Some(fails) = self.lock().failed_disks.get_mut(&node) {
            *fails = false;
        }
    }

    /// A machine's disk fails from now on, until [`Self::set_disk_faults`] or a crash. `change` is told how many bytes are used.
    pub fn fail_disk(&self, node: NodeId, change: impl FnOnce(&mut Faults, u64)) {
        let Some(disk) = self.disk(node) else { return };
        let used_bytes = disk.used_bytes();
        self.set_disk_faults(node, |faults| change(faults, used_bytes));
        self.lock().failed_disks.insert(node, true);
    }

    /// Whether a machine's disk failed since its process started.
    #[must_use]
    pub fn has_disk_failed(&self, node: NodeId) -> bool {
        self.lock().failed_disks.contains_key(&node)
    }

    /// How far a machine's wall clock is ahead from now on; behind, if negative.
    pub fn set_clock_ahead_ms(&self, node: NodeId, ahead_ms: i64) {
        if let Some(node) = self.lock().nodes.get(&node) {
            node.clock.set_ahead_ms(ahead_ms);
        }
    }

    fn collect_panics(&self, node: NodeId) {
        let panics = self.process(node).map(|process| process.take_panics());
        self.lock().panics.extend(panics.into_iter().flatten().map(|panic| (node, panic)));
    }

    /// All panics so far.
    #[must_use]
    pub fn panics(&self) -> Vec<(NodeId, String)> {
        self.nodes().into_iter().for_each(|node| self.collect_panics(node));
        self.lock().panics.clone()
    }

    /// Ends all processes, and notes what is on the disks.
    pub fn end(&self) {
        for node in self.nodes() {
            let running = self.lock().nodes.get_mut(&node).and_then(|node| node.running.take());
            if let Some(running) = running {
                running.process.end();
            }
            if let Some(disk) = self.disk(node) {
                self.trace.note(self.timeline.now_us(), node, Kind::Disk, disk.trace_hash());
            }
        }
    }
}

fn healthy_faults() -> Faults {
    Faults { sync_latency: Some(SYNC), ..Faults::default() }
}
