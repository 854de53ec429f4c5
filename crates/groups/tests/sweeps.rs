//! What goes over all offsets goes in parts: each fits into a batch, and others are asked for between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{GROUP, World, commit, join, name};
use ottla_groups::request::{Commit, CommitPartition, Join};
use ottla_groups::{Record, Request, Sweep};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// `max.message.bytes` of `__consumer_offsets`, unless it is set.
const BATCH_BYTES: usize = 1_048_588;

/// One request that commits for the partitions from 0 up to `count`.
fn commit_many(count: i32) -> Request {
    let mut request: Commit = commit("", -1, "topic", 0, 1);
    request.topics[0].partitions = (0..count)
        .map(|partition| CommitPartition {
            partition,
            offset: Offset(1),
            leader_epoch: LeaderEpoch::NONE,
            metadata: String::new(),
        })
        .collect();
    Request::Commit(request)
}

fn bytes(records: &[Record]) -> usize {
    // Lengths, deltas and attributes of a record take no more than 24 bytes.
    records.iter().map(|record| record.key.len() + record.value.as_ref().map_or(0, Vec::len) + 24).sum()
}

/// Sweeps to the end, and tells the largest part in records and in bytes, and how many records there were.
fn largest_part(world: &mut World, mut sweep: Sweep) -> (usize, usize, usize) {
    let (mut largest, mut largest_bytes, mut all) = (0, 0, 0);
    while !sweep.is_done() {
        let decision = world.shard.sweep(&mut sweep, world.now_ms);
        largest = largest.max(decision.records.len());
        largest_bytes = largest_bytes.max(bytes(&decision.records));
        all += decision.records.len();
        world.carry_out(decision);
    }
    (largest, largest_bytes, all)
}

#[test]
fn a_hundred_thousand_expired_offsets_of_a_group_go_in_parts_that_fit_into_a_batch() {
    let mut world = World::new();
    world.ask(commit_many(100_000));
    world.advance(7 * DAY_MS);
    let (largest, largest_bytes, all) = largest_part(&mut world, Sweep::expired());
    assert_eq!(all, 100_001, "the offsets, and the group");
    assert!(largest <= 10_000 && largest_bytes <= BATCH_BYTES, "{largest} records of {largest_bytes} bytes");
    assert_eq!((world.state(), world.shard.census().offsets), ("Dead", 0));
}

#[test]
fn many_empty_groups_go_in_parts() {
    let mut world = World::new();
    for n in 0..30_000 {
        let group_id = format!("{GROUP}-{n}");
        world.ask(Request::Commit(Commit { group_id, ..commit("", -1, "topic", 0, 1) }));
    }
    world.advance(7 * DAY_MS);
    let (largest, largest_bytes, all) = largest_part(&mut world, Sweep::expired());
    assert_eq!(all, 60_000, "an offset and a group each");
    assert!(largest <= 20_000 && largest_bytes <= BATCH_BYTES, "{largest} records of {largest_bytes} bytes");
    assert_eq!(world.list(&[], &[]), Vec::<String>::new());
}

#[test]
fn offsets_of_a_deleted_topic_go_in_parts_and_each_is_found() {
    let mut world = World::new();
    world.ask(commit_many(35_000));
    world.commit("", -1, "stays", 0, 1);
    let gone =
        [("another", 1), ("topic", 1), ("topic", 2)].map(|(topic, id)| (name(topic), TopicId([id; 16])));
    let parts = world.sweep(Sweep::topics(gone));
    assert!(parts.len() > 3 && parts.iter().all(|&records| records <= 10_000), "{parts:?}");
    assert_eq!(parts.iter().sum::<usize>(), 35_000);
    assert_eq!(world.fetch_all().into_keys().collect::<Vec<_>>(), [("stays".to_owned(), 0)]);
}

#[test]
fn a_group_that_is_used_while_it_is_swept_stays() {
    let mut world = World::new();
    world.ask(commit_many(20_000));
    world.advance(7 * DAY_MS);
    let mut sweep = Sweep::expired();
    let decision = world.shard.sweep(&mut sweep, world.now_ms);
    world.carry_out(decision);
    assert!(!sweep.is_done());
    // Behind where the sweep is.
    world.commit("", -1, "topic", 0, 9);
    world.sweep(sweep);
    assert_eq!(world.fetch_all().into_iter().collect::<Vec<_>>(), [(("topic".to_owned(), 0), 9)]);
    world.restart();
    assert_eq!(world.fetch("topic", 0), 9);
}

#[test]
fn what_a_sweep_could_not_write_is_found_by_the_next_one() {
    let mut world = World::slow();
    world.ask(commit_many(20_000));
    world.commit_log();
    world.advance(7 * DAY_MS);
    let mut sweep = Sweep::expired();
    let decision = world.shard.sweep(&mut sweep, world.now_ms);
    world.carry_out(decision);
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    while !sweep.is_done() {
        let decision = world.shard.sweep(&mut sweep, world.now_ms);
        world.carry_out(decision);
    }
    world.commit_log();
    assert!(!world.fetch_all().is_empty(), "a group with offsets is not deleted");
    world.commits_at_once = true;
    world.sweep(Sweep::expired());
    assert_eq!((world.fetch_all().len(), world.state()), (0, "Dead"));
}

#[test]
fn a_group_with_more_offsets_than_fit_into_a_batch_can_be_deleted() {
    let mut world = World::slow();
    world.ask(commit_many(100_000));
    world.commit_log();
    let ticket = world.ask(Request::Delete(ottla_groups::request::Delete { group_id: GROUP.to_owned() }));
    assert!(bytes(&world.appended[0].1) > BATCH_BYTES);
    let last = &world.appended[0].1.last().unwrap().key;
    assert_eq!(last[..2], [0, 2], "the group goes after its offsets");
    assert!(world.is_waiting(ticket));
    world.commit_log();
    assert_eq!((world.deleted(ticket), world.state()), (ErrorCode::None, "Dead"));
}

/// All offsets of the group, as another coordinator reads them from the log.
fn reloaded(world: &World) -> usize {
    world.reloaded().committed_offsets().count()
}

#[test]
fn what_is_written_of_a_deletion_that_fails_half_way_is_deleted_and_the_rest_is_not() {
    let mut world = World::slow();
    world.ask(commit_many(10));
    world.commit_log();
    let delete = || Request::Delete(ottla_groups::request::Delete { group_id: GROUP.to_owned() });
    let ticket = world.ask(delete());
    assert_eq!(world.appended[0].1.len(), 11, "the offsets, and the group");
    world.fail_last_in_part(7, ErrorCode::KafkaStorageError);
    assert_eq!(world.deleted(ticket), ErrorCode::NotCoordinator);
    assert_eq!(world.fetch_all().len(), 10, "what is not committed does not show");
    world.commit_log();
    assert_eq!((world.fetch_all().len(), reloaded(&world), world.shard.census().offsets), (3, 3, 3));
    assert_eq!(world.state(), "Empty", "the group goes after its offsets");
    // Who asks again finds the rest.
    let ticket = world.ask(delete());
    assert_eq!(world.appended[0].1.len(), 4);
    world.commit_log();
    assert_eq!((world.deleted(ticket), world.state(), reloaded(&world)), (ErrorCode::None, "Dead", 0));
}

#[test]
fn a_group_that_was_written_to_be_gone_before_a_sweep_failed_is_gone() {
    let mut world = World::slow();
    let another = || Commit { group_id: format!("{GROUP}-2"), ..commit("", -1, "topic", 0, 1) };
    world.ask(commit_many(2));
    world.ask(Request::Commit(another()));
    world.commit_log();
    world.advance(7 * DAY_MS);
    let mut sweep = Sweep::expired();
    let decision = world.shard.sweep(&mut sweep, world.now_ms);
    assert!(decision.may_split);
    world.carry_out(decision);
    assert_eq!(world.appended[0].1.len(), 5, "three offsets and two groups");
    world.fail_last_in_part(4, ErrorCode::KafkaStorageError);
    world.commit_log();
    assert_eq!((world.state(), reloaded(&world)), ("Dead", 0));
    assert_eq!(world.list(&[], &[]), [another().group_id], "its own record is not written");
}

#[test]
fn ids_that_nobody_comes_back_with_take_a_bounded_amount_of_memory() {
    let mut world = World::new();
    let asks = |n: u32| Join { requires_known_member_id: true, ..join(&format!("client-{n:060}")) };
    for n in 0..20_000 {
        let ticket = world.ask(Request::Join(asks(n)));
        assert_eq!(world.joined(ticket).error, ErrorCode::MemberIdRequired);
    }
    let comes = |world: &mut World, n| {
        world.ask(Request::Join(Join { member_id: asks(n).new_member_id, ..join("not-needed") }))
    };
    let first = comes(&mut world, 0);
    assert_eq!(world.joined(first).error, ErrorCode::UnknownMemberId, "it was forgotten for the others");
    let last = comes(&mut world, 19_999);
    assert!(world.is_waiting(last), "it is expected");
}

#[test]
fn a_member_whose_protocols_would_fill_the_memory_is_refused() {
    let mut world = World::new();
    let mut request = join("a");
    request.protocols[0].metadata = vec![7; 8 << 20].into();
    let ticket = world.ask(Request::Join(request));
    assert_eq!(world.joined(ticket).error, ErrorCode::UnknownServerError);
    assert_eq!(world.state(), "Dead");
}
