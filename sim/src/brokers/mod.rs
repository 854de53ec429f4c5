//! Brokers with clients: producers that write while everything fails, and readers that look at what is left.
//!
//! - [`program`]: what the machines run.
//! - [`writer`]: the workload: records, with all that their producers were told of them.
//! - [`oracle`]: what was sent, acknowledged and read.
//! - [`reader`]: reads, while the faults go on and after them.
//!
//! Today it is one broker. What is checked of what the oracle knows is in [`crate::invariants`].

mod oracle;
pub(crate) mod program;
pub(crate) mod reader;
pub(crate) mod writer;

use std::sync::Arc;
use std::time::Duration;

use ottla_types::{TopicName, TopicPartition};

pub use self::oracle::{Fate, FateWatcher, History, Oracle, RecordId, Seen};
use self::program::Servers;
use self::writer::Writing;
use crate::engine::NodeId;
use crate::faults::{Nemesis, Weights};
use crate::invariants::{
    Violation, acknowledged_records_are_kept, every_request_is_answered, idempotent_records_are_written_once,
    reads_never_change,
};
use crate::rng::SimRng;
use crate::world::World;

/// For how long faults happen.
const FAULTY: Duration = Duration::from_secs(20);

/// How long everything may take once all is repaired: a client's longest pauses, and its patience.
const CALM: Duration = Duration::from_secs(150);

/// What differs from seed to seed, beside the faults.
#[derive(Debug, Clone)]
struct Plan {
    partitions: i32,
    /// `flush.messages=1`: what is acknowledged is fsynced. Without it no machine loses its power.
    is_durable: bool,
    writers: Vec<Writing>,
}

impl Plan {
    fn draw(rng: &mut SimRng) -> Self {
        let writers = (0..1 + rng.below(3)).map(|_| Writing::draw(rng)).collect();
        Self { partitions: 1 + rng.index(3) as i32, is_durable: rng.one_in(2), writers }
    }

    fn topic() -> TopicName {
        match TopicName::new("events") {
            Ok(topic) => topic,
            Err(error) => panic!("a valid name: {error}"),
        }
    }

    fn all_partitions(&self) -> Vec<TopicPartition> {
        (0..self.partitions).map(|partition| TopicPartition { topic: Self::topic(), partition }).collect()
    }
}

/// Runs a broker and its clients through faults. Returns how many records were sent.
///
/// # Errors
/// The invariant that broke.
pub async fn run(world: &World) -> Result<u64, Violation> {
    let mut rng = world.rng(10);
    let plan = Plan::draw(&mut rng);
    let broker = world.add_node("broker-1", program::broker(""));
    let oracle = Oracle::default();
    world.start(broker);
    let setup = program::in_process(world, "admin", {
        let plan = plan.clone();
        move |env| async move {
            program::create_topic(env, &Servers::one(), &plan.all_partitions(), plan.is_durable).await
        }
    });
    within(CALM, "the topic is created", setup).await?;

    let until_us = world.timeline().now_us() + FAULTY.as_micros() as u64;
    let writing: Vec<_> = plan
        .writers
        .iter()
        .enumerate()
        .map(|(number, writing)| {
            let mut writing = writing.clone();
            writing.number = number as u32;
            let (oracle, partitions) = (oracle.clone(), plan.all_partitions());
            let timeline = world.timeline().clone();
            program::in_process(world, &format!("writer-{number}"), move |env| {
                writer::run(env, Servers::one(), timeline, writing, partitions, oracle, until_us)
            })
        })
        .collect();
    let (reading_oracle, partitions) = (oracle.clone(), plan.all_partitions());
    let timeline = world.timeline().clone();
    let reading = program::in_process(world, "reader", move |env| {
        reader::follow(env, Servers::one(), timeline, partitions, reading_oracle, until_us)
    });

    let faults = nemesis(world, broker, &plan, &mut rng).run(world, FAULTY);
    within(FAULTY + CALM, "every process that is to stop does", faults).await?;
    for (number, writing) in writing.into_iter().enumerate() {
        within(CALM, &format!("writer {number} is told of all its records"), writing).await?;
    }
    within(CALM, "the reader ends", reading).await?;
    let (reading_oracle, partitions) = (oracle.clone(), plan.all_partitions());
    let all = program::in_process(world, "auditor", move |env| {
        reader::all(env, Servers::one(), partitions, reading_oracle)
    });
    within(CALM, "everything can be read", all).await?;

    let oracle = oracle.histories();
    for (partition, history) in &oracle {
        acknowledged_records_are_kept::check(partition, history)?;
        reads_never_change::check(partition, history)?;
        let is_idempotent = |writer: u32| plan.writers.get(writer as usize).is_some_and(|w| w.is_idempotent);
        idempotent_records_are_written_once::check(partition, history, is_idempotent)?;
    }
    Ok(oracle.values().map(|history| history.sent.len() as u64).sum())
}

fn nemesis(world: &World, broker: NodeId, plan: &Plan, rng: &mut SimRng) -> Nemesis {
    let mut weights = Weights { partition: 1, ..Weights::all() };
    if !plan.is_durable {
        weights.power_loss = 0;
    }
    let bystanders = world.nodes().into_iter().filter(|node| *node != broker).collect();
    let ms = |ms| Duration::from_millis(ms);
    Nemesis {
        victims: vec![broker],
        bystanders,
        weights,
        pause: [ms(500), ms(2_000), ms(8_000)][rng.index(3)],
        lasting: [ms(300), ms(3_000), ms(9_000)][rng.index(3)],
        may_wipe: Arc::new(|| true),
        rng: rng.fork(1),
    }
}

/// Waits for something that must come in time.
pub(crate) async fn within<T>(
    time: Duration,
    what: &str,
    something: impl Future<Output = T>,
) -> Result<T, Violation> {
    match tokio::time::timeout(time, something).await {
        Ok(value) => Ok(value),
        Err(_) => Err(every_request_is_answered::violation(what, time)),
    }
}
