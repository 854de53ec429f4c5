//! Records on several nodes: a cluster whose topics have replicas, with producers of every kind, readers and members of
//! groups, and somebody who moves replicas and leaders about; under faults.
//!
//! - [`topics`]: which topics. [`operator`]: elections, moves, re-creations. [`groups`]: members of groups, and what they committed.
//! - [`disks`]: the logs of all replicas, as they lie on the disks.
//! - [`oracle`]: what is committed, what was lost, and what must hold of that at once.
//!
//! The nodes are [`crate::cluster`]'s, and so is what must hold of their metadata. Writers and readers are
//! [`crate::brokers`]'. What is checked is in [`crate::invariants`].

mod disks;
mod groups;
mod operator;
mod oracle;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::{ReplicaCuts, ReplicaMoved};
use ottla_client::Acks;
use ottla_env::Env;
use ottla_env::process::Task;
use ottla_types::{ErrorCode, TopicPartition};

pub use self::disks::{DiskBatch, DiskLog};
pub use self::oracle::{Committed, Key, Oracle, Replicas};
pub use self::topics::TopicPlan;
use crate::brokers::program::{self, Servers, in_process};
use crate::brokers::writer::Writing;
use crate::brokers::{self, Fate, History, reader, within, writer};
use crate::cluster::{AGAIN, CALM, Cluster, LOOK};
use crate::engine::Timeline;
use crate::faults::{Nemesis, Weights};
use crate::invariants::{
    Violation, acknowledged_records_are_kept, committed_offsets_survive, every_request_is_answered,
    idempotent_records_are_written_once, reads_never_change, replicas_drain,
};
use crate::rng::SimRng;
use crate::world::World;

/// For how long faults happen.
const FAULTY: Duration = Duration::from_secs(12);

/// How often all disks are looked at, in looks at the rest.
const DISKS_EVERY: u32 = 3;

/// What differs from seed to seed, beside the faults.
#[derive(Debug, Clone)]
struct Plan {
    topics: Vec<TopicPlan>,
    writers: Vec<Writing>,
    groups: bool,
    operates: bool,
    lag_ms: u32,
    snapshot_bytes: u32,
    may_lose_power: bool,
    wipes: bool,
    /// Disks fail, now and then.
    disks_fail: bool,
}

impl Plan {
    fn draw(rng: &mut SimRng) -> Self {
        let topics = TopicPlan::draw_all(rng);
        let writers = (0..1 + rng.index(3)).map(|number| {
            let mut writing = Writing::draw_any(rng);
            writing.number = number as u32;
            writing
        });
        let writers = writers.collect();
        Self {
            topics,
            writers,
            groups: rng.one_in(3),
            operates: rng.one_in(2),
            lag_ms: [1_500, 4_000, 30_000][rng.index(3)],
            snapshot_bytes: [4_000, 20 << 20][rng.index(2)],
            may_lose_power: rng.one_in(2),
            wipes: rng.one_in(4),
            disks_fail: rng.one_in(4),
        }
    }

    fn properties(&self) -> String {
        [
            format!("metadata.log.max.record.bytes.between.snapshots={}", self.snapshot_bytes),
            format!("replica.lag.time.max.ms={}", self.lag_ms),
            "offsets.topic.num.partitions=2".to_owned(),
            "group.initial.rebalance.delay.ms=100".to_owned(),
            "leader.imbalance.check.interval.seconds=5".to_owned(),
        ]
        .join("\n")
    }

    /// The partitions whose records clients are held to.
    fn partitions(&self) -> Vec<TopicPartition> {
        let kept = self.topics.iter().filter(|topic| !topic.is_recreated);
        kept.flat_map(TopicPlan::all_partitions).collect()
    }

    fn all_partitions(&self) -> Vec<TopicPartition> {
        self.topics.iter().flat_map(TopicPlan::all_partitions).collect()
    }
}

/// Runs a cluster, its replicas and their clients through faults. Returns how many records were sent.
///
/// # Errors
/// The invariant that broke.
pub async fn run(world: &World) -> Result<u64, Violation> {
    let mut rng = world.rng(40);
    let plan = Plan::draw(&mut rng);
    world.note(crate::engine::NodeId::WORLD, crate::engine::Kind::Fault, 4, || format!("{plan:?}"));
    let replicas = Oracle::new(world, &plan.topics);
    let watching = replicas.clone();
    let mut cluster = Cluster::start(
        world,
        &plan.properties(),
        Arc::new(move |node, _, event| {
            if let Some(moved) = event.downcast_ref::<ReplicaMoved>() {
                watching.with(|replicas| replicas.moved(node, moved));
            }
            if let Some(cuts) = event.downcast_ref::<ReplicaCuts>() {
                watching.with(|replicas| replicas.cuts(node, cuts));
            }
        }),
    );
    cluster.records = brokers::Oracle::watched(replicas.told_of(&plan.writers));
    let watching = replicas.clone();
    cluster.oracle.with(|log| {
        log.watcher = Some(Arc::new(move |offset, record, after| {
            watching.with(|replicas| replicas.recorded(offset, record, after));
        }));
    });
    let watching = replicas.clone();
    world.watch_losses(Arc::new(move |node, crash, before, after| {
        watching.with(|replicas| replicas.crashed(node, crash, before, after));
    }));
    let replicated = Replicated { cluster, replicas, plan };
    let outcome = tokio::select! {
        biased;
        outcome = replicated.through(&mut rng) => outcome,
        violation = replicated.cluster.look_after() => Err(violation),
        violation = replicated.look_at_disks() => Err(violation),
    };
    // What was seen when it happened says more than what came of it.
    replicated.cluster.oracle.check()?;
    replicated.replicas.check()?;
    outcome
}

struct Replicated {
    cluster: Cluster,
    replicas: Oracle,
    plan: Plan,
}

impl Replicated {
    /// Looks at the disks again and again, until something does not hold.
    async fn look_at_disks(&self) -> Violation {
        loop {
            tokio::time::sleep(LOOK * DISKS_EVERY).await;
            self.replicas.with(|replicas| replicas.look(&self.cluster.nodes));
            if let Err(violation) = self.replicas.check() {
                return violation;
            }
        }
    }

    async fn through(&self, rng: &mut SimRng) -> Result<u64, Violation> {
        let (world, plan) = (&self.cluster.world, &self.plan);
        self.create_topics().await?;
        let until_us = world.timeline().now_us() + FAULTY.as_micros() as u64;
        let writing: Vec<_> = plan.writers.iter().map(|writing| self.writer(writing, until_us)).collect();
        let (partitions, records) = (plan.partitions(), self.cluster.records.clone());
        let reading = self.client("reader", move |env, servers, timeline| {
            Box::pin(reader::follow(env, servers, timeline, partitions, records, until_us))
        });
        let commits = groups::Commits::default();
        let members: Vec<_> = (0..if plan.groups { 2 } else { 0 })
            .map(|_| {
                let (topics, commits) = (plan.topics.clone(), commits.clone());
                self.client("member", move |env, servers, timeline| {
                    Box::pin(groups::run(env, servers, timeline, topics, commits, until_us))
                })
            })
            .collect();
        let operating = plan.operates.then(|| {
            let (topics, seed) = (plan.topics.clone(), rng.next_u64());
            self.client("operator", move |env, servers, timeline| {
                Box::pin(operator::run(env, servers, timeline, topics, seed, until_us))
            })
        });
        let faults = self.nemesis(rng).run(world, FAULTY);
        within(FAULTY + CALM, "every process that is to stop does", faults).await?;
        // A log that the disk failed is out of use until its broker is started again, as the broker says.
        for node in self.cluster.nodes.iter().filter(|node| world.has_disk_failed(**node)) {
            world.kill(*node);
            world.start(*node);
        }
        for writing in writing {
            within(CALM, "producers are told of all their records", writing).await?;
        }
        within(CALM, "the reader ends", reading).await?;
        for member in members {
            within(CALM, "members of groups end", member).await?;
        }
        if let Some(operating) = operating {
            within(CALM, "the operator is answered", operating).await?;
        }
        self.cluster.settle().await?;
        self.drain().await?;
        if plan.groups {
            self.check_groups(&commits).await?;
        }
        self.check_records().await
    }

    async fn create_topics(&self) -> Result<(), Violation> {
        let topics = self.plan.topics.clone();
        let creating = self.client("founder", move |env, servers, _| {
            Box::pin(async move {
                let client = program::client(env, &servers).await;
                for topic in topics {
                    while let Err(error) = client.create_topic(&topic.to_create()).await {
                        if error.code() == Some(ErrorCode::TopicAlreadyExists) {
                            break;
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            })
        });
        within(CALM, "the topics are created", creating).await
    }

    /// Runs a client on a machine of its own.
    fn client(&self, name: &str, run: impl FnOnce(Env, Servers, Timeline) -> Task + Send + 'static) -> Task {
        let (servers, timeline) = (self.cluster.servers.clone(), self.cluster.world.timeline().clone());
        in_process(&self.cluster.world, name, move |env| run(env, servers, timeline))
    }

    fn writer(&self, writing: &Writing, until_us: u64) -> Task {
        let (writing, partitions) = (writing.clone(), self.plan.all_partitions());
        let records = self.cluster.records.clone();
        self.client("writer", move |env, servers, timeline| {
            Box::pin(writer::run(env, servers, timeline, writing, partitions, records, until_us))
        })
    }

    fn nemesis(&self, rng: &mut SimRng) -> Nemesis {
        let (ms, cluster) = (Duration::from_millis, &self.cluster);
        let mut weights = Weights { partition: 5, cut: 4, ..Weights::all() };
        if !self.plan.may_lose_power {
            weights.power_loss = 0;
        } else if self.plan.wipes {
            weights.wipe = 4;
        }
        if self.plan.disks_fail {
            weights.bad_disk = 3;
        }
        let bystanders =
            cluster.world.nodes().into_iter().filter(|node| !cluster.nodes.contains(node)).collect();
        let oracle = cluster.oracle.clone();
        Nemesis {
            victims: cluster.nodes.clone(),
            bystanders,
            weights,
            pause: [ms(400), ms(1_500), ms(5_000)][rng.index(3)],
            lasting: [ms(300), ms(2_000), ms(7_000)][rng.index(3)],
            may_wipe: Arc::new(move || oracle.with(|log| !log.is_empty())),
            rng: rng.fork(1),
        }
    }

    /// Waits until every ISR is whole, and every replica has what its leader has.
    async fn drain(&self) -> Result<(), Violation> {
        let world = &self.cluster.world;
        let deadline = world.timeline().now_us() + CALM.as_micros() as u64;
        let lacking = || {
            let image = self.cluster.oracle.with(|log| log.image());
            self.replicas.with(|replicas| replicas_drain::lacking(world, replicas, &image))
        };
        while let Some(what) = lacking() {
            self.replicas.check()?;
            if world.timeline().now_us() >= deadline {
                return Err(every_request_is_answered::violation(&what, CALM));
            }
            tokio::time::sleep(LOOK).await;
        }
        self.replicas.with(|replicas| replicas.look(&self.cluster.nodes));
        self.replicas.check()
    }

    async fn check_groups(&self, commits: &groups::Commits) -> Result<(), Violation> {
        let found = groups::Commits::default();
        let into = found.clone();
        let reading = self.client("auditor-of-groups", move |env, servers, _| {
            Box::pin(async move { groups::read_committed(env, &servers, &into).await })
        });
        within(CALM, "committed offsets are told", reading).await?;
        // The topic of offsets has min.insync.replicas 1: one disk that is lost takes what was committed with it.
        if self.plan.may_lose_power || self.plan.disks_fail {
            return Ok(());
        }
        committed_offsets_survive::check(&commits.all(), &found.all())
    }

    async fn check_records(&self) -> Result<u64, Violation> {
        let (partitions, records) = (self.plan.partitions(), self.cluster.records.clone());
        let reading = self.client("auditor-of-records", move |env, servers, _| {
            Box::pin(reader::all(env, servers, partitions, records))
        });
        within(CALM, "everything can be read", reading).await?;
        let histories = self.cluster.records.histories();
        let writers: BTreeMap<u32, Writing> =
            self.plan.writers.iter().map(|writing| (writing.number, writing.clone())).collect();
        for partition in self.plan.partitions() {
            let Some(history) = histories.get(&partition) else { continue };
            let forgiven_from = self.replicas.with(|replicas| replicas.forgiven_from(&partition));
            let history = held_to(history, &writers, forgiven_from);
            acknowledged_records_are_kept::check(&partition, &history)?;
            reads_never_change::check(&partition, &history)?;
            let is_idempotent =
                |number: u32| writers.get(&number).is_some_and(|writing| writing.is_idempotent);
            idempotent_records_are_written_once::check(&partition, &history, is_idempotent)?;
        }
        Ok(histories.values().map(|history| history.sent.len() as u64).sum())
    }
}

/// The part of a history that the replicas are held to: what only the leader had acknowledged, or nobody, may be gone; and so
/// may be what is forgiven.
fn held_to(history: &History, writers: &BTreeMap<u32, Writing>, forgiven_from: Option<i64>) -> History {
    let mut held = history.clone();
    let is_forgiven = |offset: i64| forgiven_from.is_some_and(|from| offset >= from);
    for (id, fate) in &mut held.sent {
        let is_for_all = writers.get(&id.writer).is_some_and(|writing| writing.acks == Acks::All);
        if let Fate::Acknowledged(offset) = fate
            && (!is_for_all || offset.map_or(forgiven_from.is_some(), is_forgiven))
        {
            *fate = Fate::Unknown;
        }
    }
    held.seen.retain(|offset, _| !is_forgiven(*offset));
    held.changed.retain(|(offset, _, _)| !is_forgiven(*offset));
    held
}
