//! A cluster: three nodes that are brokers and controllers, from empty disks, with clients and under faults.
//!
//! - [`node`]: what each machine runs: a node as production starts it.
//! - [`admin`]: administrators, who create, change and delete topics; [`changes`]: what they were told.
//! - [`audit`]: what each node tells in the end.
//! - [`oracle`]: what the nodes were handed and told of their metadata, and what must hold of that at once.
//!
//! Records are written and read by [`crate::brokers`]' clients, with one replica each. The oracle is told by the nodes
//! themselves: see [`ottla_env::process::observe`]. What is checked is in [`crate::invariants`].

mod admin;
mod audit;
mod changes;
mod node;
mod oracle;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_broadcast::Delivery;
use ottla_broadcast::raft::observed::Observed;
use ottla_env::Env;
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, TopicName, TopicPartition};

use self::admin::Administering;
pub use self::audit::ToldTopic;
pub use self::changes::{Asked, Call, Changes, Done, Moment, Story, Told};
pub use self::oracle::{MetadataLog, Oracle};
use crate::brokers::program::{self, Servers, in_process};
use crate::brokers::writer::Writing;
use crate::brokers::{self, reader, within, writer};
use crate::engine::NodeId;
use crate::faults::{Nemesis, Weights};
use crate::invariants::{
    Violation, acknowledged_changes_are_kept, acknowledged_records_are_kept, answers_are_current,
    healed_clusters_serve, idempotent_records_are_written_once, reads_never_change,
};
use crate::rng::SimRng;
use crate::world::{World, WorldWatcher};

/// How many nodes.
const NODES: u32 = 3;

/// For how long faults happen.
const FAULTY: Duration = Duration::from_secs(20);

/// How long everything may take once all is repaired. A node that starts while its quorum is away waits for a minute, and
/// then is started again; TCP's own pauses come to as much.
pub(crate) const CALM: Duration = Duration::from_secs(150);

/// How long a client tries.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// How soon a node is started again that could not go on.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether all is well again.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// What differs from seed to seed, beside the faults.
#[derive(Debug, Clone)]
struct Plan {
    administrators: Vec<Administering>,
    snapshot_bytes: u32,
    /// Records are written too; `None`: not in this run.
    data: Option<Data>,
    /// A machine loses its disk.
    wipes: bool,
}

#[derive(Debug, Clone)]
struct Data {
    writing: Writing,
    partitions: Vec<TopicPartition>,
    /// `flush.messages=1`: what is acknowledged is fsynced. Without it no machine loses its power.
    is_durable: bool,
}

impl Plan {
    fn draw(rng: &mut SimRng) -> Self {
        let count = 1 + rng.below(2) as u32;
        let administrators = (0..count).map(|number| Administering::draw(number, rng)).collect();
        let snapshot_bytes = [500, 4_000, 20 << 20][rng.index(3)];
        let wipes = rng.one_in(4) || is(Sabotage::EmptyDirectoryVotes);
        let data = if rng.one_in(2) && !wipes { Some(Data::draw(rng)) } else { None };
        Self { administrators, snapshot_bytes, data, wipes }
    }
}

impl Data {
    fn draw(rng: &mut SimRng) -> Self {
        let topic = match TopicName::new("events") {
            Ok(topic) => topic,
            Err(error) => panic!("a valid name: {error}"),
        };
        let partitions =
            (0..1 + rng.index(3) as i32).map(|partition| TopicPartition { topic: topic.clone(), partition });
        Self {
            partitions: partitions.collect(),
            writing: Writing::draw_short(rng),
            is_durable: rng.one_in(2),
        }
    }
}

/// A cluster with its clients.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) servers: Servers,
    pub(crate) oracle: Oracle,
    changes: Changes,
    pub(crate) records: brokers::Oracle,
}

/// Runs a cluster and its clients through faults. Returns how many changes were asked for, and records sent.
///
/// # Errors
/// The invariant that broke.
pub async fn run(world: &World) -> Result<u64, Violation> {
    let mut rng = world.rng(30);
    let plan = Plan::draw(&mut rng);
    let snapshots = format!("metadata.log.max.record.bytes.between.snapshots={}", plan.snapshot_bytes);
    let cluster = Cluster::start(world, &snapshots, Arc::new(|_, _, _| {}));
    let faults = cluster.through(&plan, &mut rng);
    let outcome = tokio::select! {
        biased;
        outcome = faults => outcome,
        violation = cluster.look_after() => Err(violation),
    };
    // What a node was handed or told says more than what came of it.
    cluster.oracle.check()?;
    outcome
}

impl Cluster {
    /// Starts the nodes, with more properties than their own. `watch` is told what they observe, after the oracle.
    pub(crate) fn start(world: &World, properties: &str, watch: WorldWatcher) -> Self {
        let oracle = Oracle::default();
        let (watching, trace, timeline) = (oracle.clone(), world.trace().clone(), world.timeline().clone());
        let failing = world.clone();
        world.watch(Arc::new(move |node, start, event| {
            if let Some(Observed::Delivers(
                delivery @ (Delivery::Leading { .. } | Delivery::NotLeading { .. }),
            )) = event.downcast_ref()
            {
                trace.say(timeline.now_us(), node, || format!("{delivery:?}"));
            }
            let is_failure =
                matches!(event.downcast_ref(), Some(Observed::Delivers(Delivery::Failed { .. })));
            if !is_failure || !failing.has_disk_failed(node) {
                watching.with(|log| log.observe(node, start, event));
            }
            watch(node, start, event);
        }));
        let nodes: Vec<NodeId> = (1..=NODES)
            .map(|id| {
                let program = node::program(world.clone(), oracle.clone(), id, NODES, properties);
                world.add_node(&node::name(id), program)
            })
            .collect();
        nodes.iter().for_each(|node| world.start(*node));
        let servers = Servers { addresses: (1..=NODES).map(node::address).collect(), patience: PATIENCE };
        let changes = oracle.with(|log| log.changes.clone());
        let records = brokers::Oracle::default();
        Self { world: world.clone(), nodes, servers, oracle, changes, records }
    }

    /// Starts nodes again that ended by themselves, a while later, until something does not hold.
    pub(crate) async fn look_after(&self) -> Violation {
        let mut ended = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(violation) = self.oracle.check() {
                return violation;
            }
            let now_us = self.world.timeline().now_us();
            for node in &self.nodes {
                if !self.world.has_given_up(*node) {
                    ended.remove(node);
                } else if now_us >= *ended.entry(*node).or_insert(now_us) + AGAIN.as_micros() as u64 {
                    self.world.start(*node);
                }
            }
        }
    }

    async fn through(&self, plan: &Plan, rng: &mut SimRng) -> Result<u64, Violation> {
        let world = &self.world;
        if let Some(data) = plan.data.clone() {
            let servers = self.servers.clone();
            let creating = in_process(world, "founder", move |env| async move {
                program::create_topic(env, &servers, &data.partitions, data.is_durable).await;
            });
            within(CALM, "the topic is created", creating).await?;
        }
        let until_us = world.timeline().now_us() + FAULTY.as_micros() as u64;
        let administrators: Vec<_> =
            plan.administrators.iter().map(|plan| self.administrator(plan, until_us)).collect();
        let data = plan.data.as_ref().map(|data| self.data(data, until_us));
        let faults = self.nemesis(plan, rng).run(world, FAULTY);
        within(FAULTY + CALM, "every process that is to stop does", faults).await?;
        self.oracle.check()?;
        let mut operations = 0;
        for administrator in administrators {
            operations += within(CALM, "administrators are answered", administrator).await?;
        }
        if let Some((writing, reading)) = data {
            within(CALM, "producers are told of all their records", writing).await?;
            within(CALM, "the reader ends", reading).await?;
        }
        self.settle().await?;
        self.check_changes().await?;
        if let Some(data) = &plan.data {
            operations += self.check_records(data).await?;
        }
        Ok(operations)
    }

    fn administrator(&self, plan: &Administering, until_us: u64) -> impl Future<Output = u64> + use<> {
        let (plan, servers) = (plan.clone(), self.servers.clone());
        let told = (self.oracle.clone(), self.changes.clone());
        let timeline = self.world.timeline().clone();
        in_process(&self.world, "administrator", move |env| {
            admin::run(env, servers, timeline, plan, told, until_us)
        })
    }

    fn data(
        &self,
        data: &Data,
        until_us: u64,
    ) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        let in_one =
            |name, run: fn(Env, Servers, Data, crate::engine::Timeline, brokers::Oracle, u64) -> _| {
                let (data, servers, records) = (data.clone(), self.servers.clone(), self.records.clone());
                let timeline = self.world.timeline().clone();
                in_process(&self.world, name, move |env| -> ottla_env::process::Task {
                    run(env, servers, data, timeline, records, until_us)
                })
            };
        let writing = in_one("writer", |env, servers, data, timeline, records, until_us| {
            Box::pin(writer::run(env, servers, timeline, data.writing, data.partitions, records, until_us))
        });
        let reading = in_one("reader", |env, servers, data, timeline, records, until_us| {
            Box::pin(reader::follow(env, servers, timeline, data.partitions, records, until_us))
        });
        (writing, reading)
    }

    fn nemesis(&self, plan: &Plan, rng: &mut SimRng) -> Nemesis {
        let ms = Duration::from_millis;
        let mut weights = Weights { partition: 5, cut: 4, ..Weights::all() };
        if plan.data.as_ref().is_some_and(|data| !data.is_durable) {
            weights.power_loss = 0;
        }
        if plan.wipes {
            weights.wipe = 6;
        }
        let bystanders = self.world.nodes().into_iter().filter(|node| !self.nodes.contains(node)).collect();
        let oracle = self.oracle.clone();
        Nemesis {
            victims: self.nodes.clone(),
            bystanders,
            weights,
            pause: [ms(400), ms(1_500), ms(5_000)][rng.index(3)],
            lasting: [ms(300), ms(2_000), ms(7_000)][rng.index(3)],
            may_wipe: Arc::new(move || oracle.with(|log| !log.is_empty())),
            rng: rng.fork(1),
        }
    }

    /// Waits until all is well again, everywhere.
    pub(crate) async fn settle(&self) -> Result<(), Violation> {
        let live: Vec<BrokerId> = self.nodes.iter().map(|node| BrokerId(node.0 as i32)).collect();
        let lacking = || {
            self.oracle.with(|log| {
                let lacking = healed_clusters_serve::lacking(&log.image(), &live);
                lacking.or_else(|| {
                    let behind = self.nodes.iter().find(|node| !log.has_replayed(**node, log.len()))?;
                    let (all, progress) = (log.len(), log.progress_of(*behind));
                    Some(format!("{behind} has replayed all {all} records: {progress}"))
                })
            })
        };
        let deadline = self.world.timeline().now_us() + CALM.as_micros() as u64;
        while let Some(what) = lacking() {
            self.oracle.check()?;
            if self.world.timeline().now_us() >= deadline {
                return Err(crate::invariants::every_request_is_answered::violation(&what, CALM));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What administrators were told is what the metadata log says, of which every node has the same image by now; and every
    /// node tells clients the same.
    pub(crate) async fn check_changes(&self) -> Result<(), Violation> {
        let image = self.oracle.with(|log| log.image());
        let (stories, handed_on_again) = self.changes.all();
        for (name, story) in &stories {
            acknowledged_changes_are_kept::check(name, story, handed_on_again, &image)?;
        }
        for node in &self.nodes {
            let (servers, broker, oracle) =
                (self.servers.clone(), BrokerId(node.0 as i32), self.oracle.clone());
            let node = *node;
            let wrong = Arc::new(Mutex::new(None));
            let last = Arc::clone(&wrong);
            let asking = in_process(&self.world, "auditor", move |env| async move {
                let is_current =
                    |told| answers_are_current::check(node, &told, &oracle.with(|log| log.image()));
                loop {
                    // A node tells of what it has carried out, which is a little behind what it has replayed.
                    match audit::topics_of(env.clone(), &servers, broker).await.map(is_current) {
                        Ok(Ok(())) => return,
                        Ok(Err(violation)) => {
                            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(violation)
                        }
                        Err(_) => {}
                    }
                    tokio::time::sleep(LOOK).await;
                }
            });
            let told = within(CALM, "a node tells of its topics", asking).await;
            told.map_err(|silent| {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(silent)
            })?;
        }
        Ok(())
    }

    async fn check_records(&self, data: &Data) -> Result<u64, Violation> {
        let (servers, records, partitions) =
            (self.servers.clone(), self.records.clone(), data.partitions.clone());
        let reading = in_process(&self.world, "auditor-of-records", move |env| {
            reader::all(env, servers, partitions, records)
        });
        within(CALM, "everything can be read", reading).await?;
        let histories = self.records.histories();
        for (partition, history) in &histories {
            acknowledged_records_are_kept::check(partition, history)?;
            reads_never_change::check(partition, history)?;
            let is_idempotent = data.writing.is_idempotent;
            idempotent_records_are_written_once::check(partition, history, |_| is_idempotent)?;
        }
        Ok(histories.values().map(|history| history.sent.len() as u64).sum())
    }
}
