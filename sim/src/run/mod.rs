//! Runs of seeds: one, or many for a number or a time.
//!
//! - [`Profile`]: which cluster is run, and what befalls it.
//! - [`run_seed`]: one run, twice if it fails: the second time with the last events in words.
//! - [`campaign`]: many runs, on a few threads.
//!
//! A profile is made of parts that know nothing of each other: machines and their programs ([`crate::world`]), faults
//! ([`crate::faults`]), a workload with what it was told, and invariants ([`crate::invariants`]) over that.

pub mod campaign;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{self, NodeId};
use crate::invariants::Violation;
use crate::world::World;
use crate::{brokers, cluster, quorum, replication};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// One broker with producers and a consumer; kills, losses of power, pauses, bad links.
    Broker,
    /// Three or five voters of the metadata log; the same, and partitions.
    Quorum,
    /// Three nodes that are brokers and controllers, with administrators, a producer and a consumer.
    Cluster,
    /// The same nodes with topics of several replicas, and clients and operators that are at work on them.
    Replication,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broker, Self::Quorum, Self::Cluster, Self::Replication];
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Quorum => "quorum",
            Self::Cluster => "cluster",
            Self::Replication => "replication",
        })
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Two runs share it only if they did the same.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much time passed in the world, in microseconds.
    pub simulated_us: u64,
    /// How many operations of clients there were: records, appends.
    pub operations: u64,
}

/// A run that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was run,
    pub profile: Profile,
    /// from which seed.
    pub seed: u64,
    /// What does not hold.
    pub violation: Violation,
    /// The last events of each machine.
    pub events: Vec<(NodeId, Vec<String>)>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, seed, violation, events } = self;
        writeln!(f, "seed {seed}: the invariant {} does not hold", violation.invariant)?;
        writeln!(f, "  {}", violation.what)?;
        for (node, words) in events {
            writeln!(f, "last events of {node}:")?;
            for event in words {
                writeln!(f, "  {event}")?;
            }
        }
        writeln!(f, "seed {seed}: the invariant {} does not hold: see the first lines", violation.invariant)?;
        write!(f, "to repeat it: cargo xtask sim --profile {profile} --seed {seed}")
    }
}

/// Runs a seed, in a world of its own.
///
/// # Errors
/// The invariant that broke, with the last events.
pub fn run_seed(profile: Profile, seed: u64) -> Result<Report, Box<Failure>> {
    match run_once(profile, seed, false) {
        Ok(report) => Ok(report),
        // The same again, now with words.
        Err(failure) => Err(run_once(profile, seed, true).err().unwrap_or(failure)),
    }
}

/// Runs a seed again, with words, and compares.
///
/// # Errors
/// It did something else.
pub fn a_seed_says_all(profile: Profile, seed: u64, report: Report) -> Result<(), Box<Failure>> {
    let again = run_once(profile, seed, true)?;
    if again == report {
        return Ok(());
    }
    let what = format!("the first run came to {report:?}, and the second one to {again:?}");
    let violation = Violation::new("a_seed_says_all", what);
    Err(Box::new(Failure { profile, seed, violation, events: Vec::new() }))
}

/// Runs a seed once.
///
/// # Errors
/// The invariant that broke; with the last events if words are kept.
pub fn run_once(profile: Profile, seed: u64, keeps_words: bool) -> Result<Report, Box<Failure>> {
    let place: Arc<Mutex<Option<World>>> = Arc::default();
    let made = Arc::clone(&place);
    let run = move || {
        engine::run(move |timeline| async move {
            let world = World::new(seed, timeline, keeps_words);
            *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(world.clone());
            let outcome = match profile {
                Profile::Broker => brokers::run(&world).await,
                Profile::Quorum => quorum::run(&world).await,
                Profile::Cluster => cluster::run(&world).await,
                Profile::Replication => replication::run(&world).await,
            };
            let outcome = outcome.and_then(|operations| {
                crate::invariants::nothing_panics::check(&world.panics())?;
                Ok(operations)
            });
            let simulated_us = world.timeline().now_us();
            let events = words_of(&world);
            world.end();
            let (hash, count) = (world.trace().hash(), world.trace().events());
            match outcome {
                Ok(operations) => Ok(Report { hash, events: count, simulated_us, operations }),
                Err(violation) => Err(Box::new(Failure { profile, seed, violation, events })),
            }
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let world = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = world.as_ref().map(words_of).unwrap_or_default();
        let violation = crate::invariants::nothing_panics::ended(&*panic);
        Err(Box::new(Failure { profile, seed, violation, events }))
    })
}

fn words_of(world: &World) -> Vec<(NodeId, Vec<String>)> {
    let mut events = world.trace().words();
    for (node, words) in &mut events {
        let disk = world.disk(*node).map(|disk| disk.events()).unwrap_or_default();
        words.push(format!("tasks: {}", world.tasks(*node).join(", ")));
        words.extend(disk.into_iter().rev().take(15).rev().map(|event| format!("disk: {event}")));
    }
    events
}
