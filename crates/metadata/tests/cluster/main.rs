//! A cluster in small: random brokers, logs and faults around the real controller, against what must always hold.
//!
//! Brokers start, die with or without their machine, lose directories and stop; leaders take records, ask for ISRs with
//! requests that arrive late, twice or never; topics come, go, move and are reconfigured; the log commits in its own time,
//! fails, or goes on under another controller. Decisions are cut into small batches.
//!
//! - [`invariants`]: what holds of every image, and of every record's step to the next.
//! - [`data`]: that nothing acknowledged is lost by an election that nobody was told of.
//! - [`world`]: the brokers and the log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(unreachable_pub, reason = "modules of a test")]

mod data;
mod invariants;
mod world;

use std::collections::BTreeMap;

use ottla_metadata::controller::configs::{Changes, ConfigOp};
use ottla_metadata::controller::create_partitions::{CreatePartitions, MorePartitions};
use ottla_metadata::controller::create_topics::{CreateTopics, NewTopic};
use ottla_metadata::controller::delete_topics::TopicRef;
use ottla_metadata::controller::replication::elections::ElectionType;
use ottla_metadata::controller::replication::reassign::{AlterReassignments, WantedReplicas};
use ottla_metadata::record::ConfigResource;
use ottla_types::{BrokerId, TopicId, TopicName};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use world::World;

const BROKERS: i32 = 4;
const TOPICS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Command {
    Start(BrokerId),
    Kill(BrokerId),
    PowerLoss(BrokerId, usize),
    /// A machine fails, and its broker is back before anything else happens.
    Bounce(BrokerId, usize),
    /// The disk is put back to what it was in an earlier run.
    Restore(BrokerId, usize),
    FailDirectory(BrokerId, usize, usize),
    Beat(BrokerId),
    BeatAll,
    Stop(BrokerId),
    Fence(BrokerId),
    Unregister(BrokerId),
    Create(usize, i32, i16),
    Grow(usize, i32),
    Delete(usize),
    Append(usize, i32),
    Join(usize, i32, BrokerId),
    Leave(usize, i32, BrokerId),
    Deliver(usize),
    Elect(bool),
    Balance,
    Leaderless(usize),
    Reassign(usize, i32, Vec<BrokerId>),
    Cancel(usize, i32),
    MinIsr(Option<usize>, i32),
    Unclean(usize, bool),
    Commit(usize),
    Abandon,
    FailOver(bool),
}

fn partition(world: &World, topic: usize, index: i32) -> Option<(TopicId, i32)> {
    let topic = world.image().topic_by_name(TOPICS[topic])?;
    let count = topic.partition_count() as i32;
    Some((topic.id, index % count))
}

fn configure(world: &mut World, topic: Option<usize>, key: &str, value: String) {
    let resource = match topic {
        Some(topic) => ConfigResource::Topic(TopicName::new(TOPICS[topic]).unwrap()),
        None => ConfigResource::ClusterDefault,
    };
    let changes = [Changes { resource, ops: vec![(key.to_owned(), ConfigOp::Set(value))] }];
    let decision = world.controller.incremental_alter_configs(&changes, false);
    drop(world.take(decision));
}

fn reassign(world: &mut World, topic: usize, index: i32, replicas: Option<Vec<BrokerId>>) {
    let index = partition(world, topic, index).map_or(0, |(_, index)| index);
    let wanted = WantedReplicas { topic: TOPICS[topic].to_owned(), index, replicas };
    let request = AlterReassignments { allow_replication_factor_change: true, partitions: vec![wanted] };
    let decision = world.controller.alter_partition_reassignments(&request);
    drop(world.take(decision));
}

/// What brokers, and the failure detector, do.
fn broker_step(world: &mut World, command: &Command) {
    match *command {
        Command::Start(id) => world.start(id),
        Command::Kill(id) => world.kill(id, None),
        Command::PowerLoss(id, kept) => world.kill(id, Some(kept)),
        Command::Bounce(id, kept) => world.bounce(id, kept),
        Command::Restore(id, kept) => world.restore(id, kept),
        Command::FailDirectory(id, nth, kept) => world.fail_directory(id, nth, kept),
        Command::Beat(id) => world.beat(id, false),
        Command::BeatAll => (1..=BROKERS).for_each(|id| world.beat(BrokerId(id), false)),
        Command::Stop(id) => world.beat(id, true),
        Command::Fence(id) => {
            let known = world.controller.speculative().broker(id).map(|b| b.registration.epoch);
            if let Some(epoch) = known {
                let decision = world.controller.set_fenced(id, epoch, true);
                drop(world.take(decision));
            }
        }
        Command::Unregister(id) => {
            let decision = world.controller.unregister_broker(id);
            drop(world.take(decision));
        }
        _ => admin_step(world, command),
    }
}

/// What people ask for.
fn admin_step(world: &mut World, command: &Command) {
    match command.clone() {
        Command::Create(topic, partitions, replication_factor) => {
            let drawn = world.draw();
            let mut id = [0; 16];
            id[..8].copy_from_slice(&drawn.to_be_bytes());
            let topic =
                NewTopic { partitions, replication_factor, ..NewTopic::named(TOPICS[topic], TopicId(id)) };
            let seed = drawn << 32 | drawn;
            let request = CreateTopics { topics: vec![topic], validate_only: false, seed };
            let decision = world.controller.create_topics(&request);
            drop(world.take(decision));
        }
        Command::Grow(topic, count) => {
            let topics = vec![MorePartitions { topic: TOPICS[topic].into(), count, assignments: None }];
            let request = CreatePartitions { topics, validate_only: false, seed: world.draw() };
            let decision = world.controller.create_partitions(&request);
            drop(world.take(decision));
        }
        Command::Delete(topic) => {
            let decision = world.controller.delete_topics(&[TopicRef::Name(TOPICS[topic].into())]);
            drop(world.take(decision));
        }
        Command::Elect(unclean) => {
            let election = if unclean { ElectionType::Unclean } else { ElectionType::Preferred };
            let decision = world.controller.elect_leaders(election, None);
            drop(world.take(decision));
        }
        Command::Balance => {
            let decision = world.controller.balance_leaders(3);
            world.take(decision);
        }
        Command::Leaderless(most) => {
            let decision = world.controller.elect_leaderless(most);
            world.take(decision);
        }
        Command::Reassign(topic, index, replicas) => reassign(world, topic, index, Some(replicas)),
        Command::Cancel(topic, index) => reassign(world, topic, index, None),
        Command::MinIsr(topic, value) => configure(world, topic, "min.insync.replicas", value.to_string()),
        Command::Unclean(topic, is) => {
            configure(world, Some(topic), "unclean.leader.election.enable", is.to_string());
        }
        _ => data_step(world, command),
    }
}

/// What leaders and the log do.
fn data_step(world: &mut World, command: &Command) {
    match *command {
        Command::Append(topic, index) => {
            if let Some((topic, index)) = partition(world, topic, index) {
                world.append(topic, index);
            }
        }
        Command::Join(topic, index, id) | Command::Leave(topic, index, id) => {
            if let Some((topic, index)) = partition(world, topic, index) {
                world.ask(topic, index, id, matches!(command, Command::Join(..)));
            }
        }
        Command::Deliver(nth) => world.deliver(nth),
        Command::Commit(batches) => (0..batches).for_each(|_| world.commit()),
        Command::Abandon => world.abandon(),
        Command::FailOver(by_snapshot) => world.fail_over(by_snapshot),
        _ => unreachable!("{command:?} is taken care of before"),
    }
}

fn command() -> impl Strategy<Value = Command> {
    let id = (1..=BROKERS).prop_map(BrokerId);
    let at = (0..TOPICS.len(), 0..3i32);
    let replicas =
        proptest::sample::subsequence((1..=BROKERS).map(BrokerId).collect::<Vec<_>>(), 1..=3).prop_shuffle();
    let brokers = prop_oneof![
        6 => id.clone().prop_map(Command::Start),
        2 => id.clone().prop_map(Command::Kill),
        2 => (id.clone(), 0..6usize).prop_map(|(id, kept)| Command::PowerLoss(id, kept)),
        4 => (id.clone(), 0..6usize).prop_map(|(id, kept)| Command::Bounce(id, kept)),
        1 => (id.clone(), 0..6usize).prop_map(|(id, kept)| Command::Restore(id, kept)),
        1 => (id.clone(), 0..2usize, 0..4usize).prop_map(|(id, nth, kept)| Command::FailDirectory(id, nth, kept)),
        8 => id.clone().prop_map(Command::Beat),
        20 => Just(Command::BeatAll),
        2 => id.clone().prop_map(Command::Stop),
        3 => id.clone().prop_map(Command::Fence),
        1 => id.clone().prop_map(Command::Unregister),
    ];
    let admin = prop_oneof![
        3 => (0..TOPICS.len(), 1..4i32, 1..4i16).prop_map(|(t, p, r)| Command::Create(t, p, r)),
        1 => (0..TOPICS.len(), 1..5i32).prop_map(|(t, count)| Command::Grow(t, count)),
        1 => (0..TOPICS.len()).prop_map(Command::Delete),
        1 => proptest::bool::weighted(0.2).prop_map(Command::Elect),
        1 => Just(Command::Balance),
        1 => (0..4usize).prop_map(Command::Leaderless),
        3 => (at.clone(), replicas).prop_map(|((t, i), replicas)| Command::Reassign(t, i, replicas)),
        1 => at.clone().prop_map(|(t, i)| Command::Cancel(t, i)),
        2 => (proptest::option::of(0..TOPICS.len()), 1..4i32).prop_map(|(t, v)| Command::MinIsr(t, v)),
        1 => (0..TOPICS.len(), proptest::bool::weighted(0.2)).prop_map(|(t, is)| Command::Unclean(t, is)),
    ];
    let data = prop_oneof![
        20 => at.clone().prop_map(|(t, i)| Command::Append(t, i)),
        16 => (at.clone(), id.clone()).prop_map(|((t, i), id)| Command::Join(t, i, id)),
        4 => (at, id).prop_map(|((t, i), id)| Command::Leave(t, i, id)),
        16 => (0..5usize).prop_map(Command::Deliver),
        30 => (1..12usize).prop_map(Command::Commit),
        1 => Just(Command::Abandon),
        2 => any::<bool>().prop_map(Command::FailOver),
    ];
    prop_oneof![3 => brokers, 2 => admin, 6 => data]
}

fn run(commands: &[Command]) -> World {
    let mut world = World::new(BROKERS);
    world.draw();
    for (topic, min_isr) in [(0, 2), (1, 1)] {
        admin_step(&mut world, &Command::Create(topic, 2, 3));
        admin_step(&mut world, &Command::MinIsr(Some(topic), min_isr));
    }
    world.commit_all();
    for command in commands {
        broker_step(&mut world, command);
    }
    world.commit_all();
    assert_eq!(world.controller.speculative(), world.image(), "nothing is left outstanding");
    world.fail_over(false);
    world
}

/// When all is well again, everything has a leader, and everybody who follows is in sync.
fn heal(world: &mut World) {
    world.commit_all();
    for id in (1..=BROKERS).map(BrokerId) {
        world.start(id);
        world.commit_all();
        world.beat(id, false);
        world.commit_all();
        world.beat(id, false);
        world.commit_all();
    }
    let decision = world.controller.elect_leaderless(usize::MAX);
    world.take(decision);
    world.commit_all();
    world.asked.clear();
    let partitions: Vec<_> = world
        .image()
        .topics()
        .flat_map(|topic| topic.partitions().map(|(index, _)| (topic.id, index)).collect::<Vec<_>>())
        .collect();
    for (topic, index) in partitions {
        for _ in 0..2 {
            for id in (1..=BROKERS).map(BrokerId) {
                let is_in = world.image().partition(topic, index).unwrap().isr.contains(&id);
                if !is_in {
                    world.ask(topic, index, id, true);
                    world.deliver(0);
                    world.commit_all();
                    world.asked.clear();
                }
            }
        }
        let state = world.image().partition(topic, index).unwrap();
        assert!(state.leader.is_some(), "{state:?}");
        assert_eq!(state.isr.len(), state.replicas.len(), "{state:?}");
        assert_eq!(state.reassignment, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_all_heals(commands in prop::collection::vec(command(), 1..150)) {
        let mut world = run(&commands);
        heal(&mut world);
    }
}

/// A model in which nothing happens proves nothing.
#[test]
fn the_model_gets_somewhere() {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(command(), 150);
    let (mut acknowledged, mut given_up) = (0, 0);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..60 {
        let world = run(&strategy.new_tree(&mut runner).unwrap().current());
        acknowledged += world.data.acknowledged;
        given_up += world.data.given_up;
        for record in &world.log {
            if let ottla_metadata::Record::PartitionChange(change) = record {
                let mut note = |name, is: bool| *seen.entry(name).or_default() += usize::from(is);
                note("shrunk or grown ISR", change.isr.is_some());
                note("ELR", change.elr.as_ref().is_some_and(|elr| !elr.is_empty()));
                note("last known leader", matches!(change.last_known_leader, Some(Some(_))));
                note("reassignment begun", matches!(change.reassignment, Some(Some(_))));
                note("reassignment ended", matches!(change.reassignment, Some(None)));
                note("leader lost", change.leader == Some(None));
                note("recovering", change.recovery.is_some());
            }
            if matches!(record, ottla_metadata::Record::ClearElr(_)) {
                *seen.entry("cleared ELR").or_default() += 1;
            }
        }
    }
    assert!(acknowledged > 300, "{acknowledged} records were acknowledged");
    assert!(given_up > 3, "{given_up} acknowledged records were given up by unclean elections");
    assert!(seen.len() == 8 && seen.values().all(|times| *times > 5), "{seen:?}");
}
