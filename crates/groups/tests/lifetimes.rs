//! How long groups and offsets live: retention (KIP-211), deletion, restarts. And how they are shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{GROUP, REBALANCE_MS, SESSION_MS, World, commit, join, rejoin};
use ottla_groups::request::{Commit, Join};
use ottla_groups::{GroupConfig, Loaded, RecordError, Request, Shard, Sweep};
use ottla_types::{ErrorCode, Offset};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn expire(world: &mut World) {
    world.sweep(Sweep::expired());
}

#[test]
fn offsets_from_outside_expire_after_their_own_commits() {
    let mut world = World::new();
    world.commit("", -1, "topic", 0, 1);
    world.advance(DAY_MS);
    world.commit("", -1, "topic", 1, 1);
    world.advance(6 * DAY_MS - 1);
    expire(&mut world);
    assert_eq!(world.fetch_all().len(), 2);
    world.advance(1);
    expire(&mut world);
    assert_eq!(world.fetch_all().into_keys().collect::<Vec<_>>(), [("topic".to_owned(), 1)]);
    world.advance(DAY_MS);
    expire(&mut world);
    assert_eq!(world.state(), "Dead", "a group that holds nothing goes too");
    world.restart();
    assert_eq!((world.state(), world.fetch_all().len()), ("Dead", 0));
}

#[test]
fn offsets_that_members_read_never_expire() {
    let mut world = World::new();
    let long = Join { session_timeout_ms: 1_800_000, ..join("a") };
    let a = world.ask(Request::Join(long));
    world.advance(3_000);
    let generation = world.joined(a).generation.0;
    world.sync_all(&["a"], generation);
    world.commit("a", generation, "topic", 0, 1);
    world.commit("a", generation, "left", 0, 1);
    for _ in 0..(8 * 48 * 2) {
        world.advance(900_000);
        assert_eq!(world.heartbeat("a", generation), ErrorCode::None);
    }
    expire(&mut world);
    assert_eq!(world.fetch_all().into_keys().collect::<Vec<_>>(), [("topic".to_owned(), 0)]);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn offsets_of_a_group_expire_when_it_has_been_empty_for_long() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "topic", 0, 1);
    for _ in 0..100 {
        world.advance(9_000);
        world.heartbeat("a", generation);
    }
    world.leave(&["a"]);
    world.advance(7 * DAY_MS - 1);
    expire(&mut world);
    assert_eq!(world.fetch_all().len(), 1, "the commit is older than that, and does not count");
    // The time is in the log, too.
    world.restart();
    expire(&mut world);
    assert_eq!(world.fetch_all().len(), 1);
    world.advance(1);
    expire(&mut world);
    assert_eq!((world.fetch_all().len(), world.state()), (0, "Dead"));
}

#[test]
fn offsets_do_not_expire_during_a_rebalance() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "left", 0, 1);
    world.ask(Request::Join(join("b")));
    let decision = world.shard.sweep(&mut Sweep::expired(), world.now_ms + 8 * DAY_MS);
    assert_eq!(decision.records, []);
}

#[test]
fn a_commit_may_say_how_long_it_wants_to_be_kept() {
    let mut world = World::new();
    let request = |retention_ms| Request::Commit(Commit { retention_ms, ..commit("", -1, "topic", 0, 1) });
    world.ask(request(Some(1_000)));
    world.restart();
    world.advance(999);
    expire(&mut world);
    assert_eq!(world.fetch_all().len(), 1);
    world.advance(1);
    expire(&mut world);
    assert_eq!(world.fetch_all().len(), 0);
}

#[test]
fn expired_offsets_are_told_until_their_end_is_written() {
    let mut world = World::new();
    world.commit("", -1, "topic", 0, 1);
    world.advance(7 * DAY_MS);
    world.commits_at_once = false;
    expire(&mut world);
    assert_eq!((world.fetch("topic", 0), world.state()), (1, "Empty"));
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    assert_eq!((world.fetch("topic", 0), world.state()), (1, "Empty"));
    expire(&mut world);
    world.commit_log();
    assert_eq!((world.fetch("topic", 0), world.state()), (-1, "Dead"));
}

#[test]
fn a_group_whose_first_member_is_about_to_join_is_not_swept_away() {
    let mut world = World::new();
    world.ask(Request::Join(Join { requires_known_member_id: true, ..join("a") }));
    expire(&mut world);
    let a = world.ask(Request::Join(rejoin("a")));
    assert!(world.is_waiting(a));
}

#[test]
fn a_group_is_deleted_with_its_offsets_if_it_has_no_members() {
    let mut world = World::new();
    let missing = world.delete_group();
    assert_eq!(world.deleted(missing), ErrorCode::GroupIdNotFound);
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "topic", 0, 1);
    let early = world.delete_group();
    assert_eq!(world.deleted(early), ErrorCode::NonEmptyGroup);
    world.leave(&["a"]);
    let done = world.delete_group();
    assert_eq!(world.deleted(done), ErrorCode::None);
    assert_eq!((world.state(), world.fetch_all().len()), ("Dead", 0));
    world.restart();
    assert_eq!((world.state(), world.fetch_all().len()), ("Dead", 0));
}

#[test]
fn a_deletion_that_cannot_be_written_brings_the_group_back() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "topic", 0, 1);
    world.leave(&["a"]);
    world.commits_at_once = false;
    let deleted = world.delete_group();
    // Both build on the deletion, and fall with it.
    let joined = world.ask(Request::Join(join("b")));
    let committed = world.commit("", -1, "topic", 0, 2);
    assert_eq!((world.state(), world.fetch("topic", 0)), ("PreparingRebalance", 1));
    world.fail_last(2, ErrorCode::NotEnoughReplicas);
    assert_eq!(world.deleted(deleted), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.joined(joined).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.commit_error(committed), ErrorCode::UnknownMemberId, "it was not Empty then");
    assert_eq!((world.state(), world.fetch("topic", 0)), ("Empty", 1));
    assert_eq!(world.describe().protocol_type, "consumer");
}

#[test]
fn members_that_were_told_their_ids_survive_a_deletion_that_failed() {
    let mut world = World::new();
    world.ask(Request::Join(Join { requires_known_member_id: true, ..join("a") }));
    world.commits_at_once = false;
    world.delete_group();
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    world.advance(i64::from(SESSION_MS) - 1);
    let a = world.ask(Request::Join(rejoin("a")));
    assert!(world.is_waiting(a));
}

#[test]
fn members_keep_their_places_through_a_restart_of_the_coordinator() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    world.commit("a", generation, "topic", 0, 7);
    let before = world.describe();
    world.advance(5_000);
    world.restart();
    assert_eq!(world.describe(), before);
    assert_eq!(world.fetch("topic", 0), 7);
    let again = world.sync("b", generation, &[]);
    assert_eq!(world.synced(again).assignment, "b");
    world.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(world.heartbeat("a", generation), ErrorCode::None, "sessions begin when loading ends");
    world.advance(1);
    assert_eq!(world.heartbeat("b", generation), ErrorCode::UnknownMemberId);
}

#[test]
fn a_loaded_group_that_is_larger_than_the_limit_rebalances() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b", "c"]);
    world.config = GroupConfig { max_size: 2, ..world.config };
    world.restart();
    assert_eq!(world.heartbeat("a", generation), ErrorCode::RebalanceInProgress);
    let a = world.ask(Request::Join(rejoin("a")));
    let b = world.ask(Request::Join(rejoin("b")));
    let c = world.ask(Request::Join(rejoin("c")));
    assert_eq!(world.joined(c).error, ErrorCode::GroupMaxSizeReached);
    world.advance(i64::from(REBALANCE_MS));
    assert_eq!((world.joined(a).error, world.joined(b).error), (ErrorCode::None, ErrorCode::None));
}

#[test]
fn records_of_unknown_kinds_are_passed_over_and_damaged_ones_are_not() {
    let mut shard = Shard::new(GroupConfig::default());
    assert_eq!(shard.load(&[0, 3, 0, 1, 0x67], None, Offset(0)), Ok(Loaded::Skipped { version: 3 }));
    assert_eq!(shard.load(&[0], None, Offset(1)), Err(RecordError::Short { what: "key", field: "version" }));
    let nameless_topic = [0, 1, 0, 1, 0x67, 0, 0, 0, 0, 0, 0];
    let value = common::commit_value();
    assert!(matches!(shard.load(&nameless_topic, Some(&value), Offset(2)), Err(RecordError::Invalid { .. })));
    shard.loaded(0);
    assert_eq!(shard.census(), ottla_groups::Census::default());
}

#[test]
fn the_last_record_of_a_key_counts_when_loading() {
    let mut world = World::new();
    world.commit("", -1, "topic", 0, 1);
    world.commit("", -1, "topic", 0, 2);
    world.commit("", -1, "topic", 1, 3);
    world.delete_offset("topic", 1).unwrap();
    world.restart();
    assert_eq!(world.fetch_all().into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(world.shard.census().offsets, 1);
}

#[test]
fn lists_are_filtered_by_state_and_type_in_any_case() {
    let mut world = World::new();
    world.stable(&["a"]);
    world.ask(Request::Commit(Commit { group_id: "simple".to_owned(), ..commit("", -1, "topic", 0, 1) }));
    assert_eq!(world.list(&[], &[]), [GROUP, "simple"]);
    assert_eq!(world.list(&["stable"], &[]), [GROUP]);
    assert_eq!(world.list(&["EMPTY", "Dead"], &["Classic"]), ["simple"]);
    assert_eq!(world.list(&["Dead"], &[]), [""; 0]);
    assert_eq!(world.list(&[], &["consumer"]), [""; 0]);
    world.ask(Request::Join(join("b")));
    assert_eq!(world.list(&["preparingrebalance"], &[]), [GROUP]);
    world.ask(Request::Join(Join { member_id: "a".to_owned(), ..join("") }));
    assert_eq!(world.list(&["CompletingRebalance"], &[]), [GROUP]);
}

#[test]
fn descriptions_show_subscriptions_and_assignments_of_stable_groups_only() {
    let mut world = World::new();
    world.stable(&["a"]);
    let stable = world.describe();
    assert_eq!((stable.protocol.as_str(), stable.protocol_type.as_str()), ("range", "consumer"));
    assert_eq!(stable.members[0].assignment, "a");
    assert_eq!(stable.members[0].metadata, common::subscription(&["topic"]));
    assert_eq!(stable.members[0].client_host, "/127.0.0.1");
    world.ask(Request::Join(join("b")));
    let preparing = world.describe();
    assert_eq!((preparing.state, preparing.protocol.as_str()), ("PreparingRebalance", ""));
    assert!(
        preparing.members.iter().all(|member| member.metadata.is_empty() && member.assignment.is_empty())
    );
    assert_eq!(preparing.members.len(), 2);
}

#[test]
fn a_group_that_is_not_there_is_described_as_dead() {
    let described = World::new().describe();
    assert_eq!((described.state, described.error), ("Dead", ErrorCode::GroupIdNotFound));
}

#[test]
fn the_census_counts_groups_by_state() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    world.ask(Request::Commit(Commit { group_id: "simple".to_owned(), ..commit("", -1, "topic", 0, 1) }));
    world.ask(Request::Join(Join { group_id: "young".to_owned(), ..join("x") }));
    let census = world.shard.census();
    assert_eq!((census.stable, census.empty, census.preparing_rebalance), (1, 1, 1));
    assert_eq!((census.members, census.offsets), (3, 1));
}
