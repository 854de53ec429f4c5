//! JoinGroup: who gets in, when a rebalance begins and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{REBALANCE_MS, SESSION_MS, World, join, protocols, rejoin};
use ottla_groups::request::Join;
use ottla_groups::{Generation, GroupConfig, Request};
use ottla_types::ErrorCode;

fn known(new_member_id: &str) -> Join {
    Join { requires_known_member_id: true, ..join(new_member_id) }
}

#[test]
fn a_new_member_is_told_its_id_first_and_joins_with_it() {
    let mut world = World::new();
    let first = world.ask(Request::Join(known("m1")));
    assert_eq!(world.joined(first).error, ErrorCode::MemberIdRequired);
    assert_eq!(world.joined(first).member_id, "m1");
    let second = world.ask(Request::Join(rejoin("m1")));
    assert!(world.is_waiting(second));
    world.advance(3_000);
    let answer = world.joined(second).clone();
    assert_eq!((answer.error, answer.generation), (ErrorCode::None, Generation(1)));
    assert_eq!((answer.leader.as_str(), answer.protocol_name.as_deref()), ("m1", Some("range")));
    assert_eq!(answer.members.len(), 1);
}

#[test]
fn a_member_that_does_not_use_its_id_in_time_is_forgotten() {
    let mut world = World::new();
    world.ask(Request::Join(known("m1")));
    world.advance(i64::from(SESSION_MS));
    let late = world.ask(Request::Join(rejoin("m1")));
    assert_eq!(world.joined(late).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_rebalance_waits_for_members_that_were_told_their_ids() {
    let mut world = World::new();
    world.stable(&["a"]);
    world.ask(Request::Join(known("b")));
    let again = world.ask(Request::Join(rejoin("a")));
    assert!(world.is_waiting(again), "b was told its id and is expected");
    let b = world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(again).generation, Generation(2));
    assert_eq!(world.joined(b).generation, Generation(2));
}

#[test]
fn a_rebalance_goes_on_when_an_expected_member_does_not_come() {
    let mut world = World::new();
    world.stable(&["a"]);
    world.ask(Request::Join(known("b")));
    let again = world.ask(Request::Join(rejoin("a")));
    world.advance(i64::from(SESSION_MS));
    assert_eq!(world.joined(again).generation, Generation(2));
}

#[test]
fn an_id_that_was_not_given_out_is_refused() {
    let mut world = World::new();
    let nowhere = world.ask(Request::Join(rejoin("ghost")));
    assert_eq!(world.joined(nowhere).error, ErrorCode::UnknownMemberId);
    assert_eq!(world.log.len(), 0, "no group comes to be for it");
    world.stable(&["a"]);
    let ghost = world.ask(Request::Join(rejoin("ghost")));
    assert_eq!(world.joined(ghost).error, ErrorCode::UnknownMemberId);
}

#[test]
fn requests_that_cannot_be_right_are_refused() {
    let mut world = World::new();
    let short = world.ask(Request::Join(Join { session_timeout_ms: 5_999, ..join("a") }));
    assert_eq!(world.joined(short).error, ErrorCode::InvalidSessionTimeout);
    let long = world.ask(Request::Join(Join { session_timeout_ms: 1_800_001, ..join("a") }));
    assert_eq!(world.joined(long).error, ErrorCode::InvalidSessionTimeout);
    let nameless = world.ask(Request::Join(Join { group_id: String::new(), ..join("a") }));
    assert_eq!(world.joined(nameless).error, ErrorCode::InvalidGroupId);
    let unrecordable = world.ask(Request::Join(Join { group_id: "g".repeat(32_768), ..join("a") }));
    assert_eq!(world.joined(unrecordable).error, ErrorCode::InvalidGroupId);
    let unrecordable = world.ask(Request::Join(Join { client_id: "c".repeat(32_768), ..join("a") }));
    assert_eq!(world.joined(unrecordable).error, ErrorCode::InvalidRequest);
    let typeless = world.ask(Request::Join(Join { protocol_type: String::new(), ..join("a") }));
    assert_eq!(world.joined(typeless).error, ErrorCode::InconsistentGroupProtocol);
    let mute = world.ask(Request::Join(Join { protocols: Vec::new(), ..join("a") }));
    assert_eq!(world.joined(mute).error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn the_first_rebalance_waits_for_more_members_and_longer_while_they_come() {
    let mut world = World::new();
    let a = world.ask(Request::Join(join("a")));
    world.advance(2_000);
    let b = world.ask(Request::Join(join("b")));
    world.advance(2_000);
    assert!(world.is_waiting(a), "b came during the first step, so there is a second one");
    world.advance(2_000);
    assert_eq!(world.joined(a).members.len(), 2);
    assert_eq!(world.joined(b).members.len(), 0, "only the leader is told the members");
}

#[test]
fn the_first_rebalance_waits_no_longer_than_the_rebalance_timeout() {
    let mut world = World::new();
    let short = |id: &str| Join { rebalance_timeout_ms: 7_000, ..join(id) };
    let first = world.ask(Request::Join(short("m0")));
    for second in 1..=6 {
        world.advance(1_000);
        world.ask(Request::Join(short(&format!("m{second}"))));
    }
    world.advance(999);
    assert!(world.is_waiting(first));
    world.advance(1);
    assert_eq!(world.joined(first).members.len(), 7);
}

#[test]
fn the_protocol_that_all_know_and_most_prefer_is_chosen() {
    let mut world = World::new();
    let with = |id: &str, names: &[&str]| Join { protocols: protocols(names, &["topic"]), ..join(id) };
    let a = world.ask(Request::Join(with("a", &["only-a", "range", "sticky"])));
    let b = world.ask(Request::Join(with("b", &["sticky", "range"])));
    let c = world.ask(Request::Join(with("c", &["sticky", "range"])));
    world.advance(10_000);
    for ticket in [a, b, c] {
        assert_eq!(world.joined(ticket).protocol_name.as_deref(), Some("sticky"));
    }
}

#[test]
fn a_member_that_shares_no_protocol_with_all_is_refused() {
    let mut world = World::new();
    world.stable(&["a"]);
    let other = world.ask(Request::Join(Join { protocols: protocols(&["sticky"], &[]), ..join("b") }));
    assert_eq!(world.joined(other).error, ErrorCode::InconsistentGroupProtocol);
    let connect = world.ask(Request::Join(Join { protocol_type: "connect".to_owned(), ..join("b") }));
    assert_eq!(world.joined(connect).error, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_protocol_named_twice_counts_once() {
    let mut world = World::new();
    let twice = Join { protocols: protocols(&["range", "range"], &["topic"]), ..join("a") };
    let a = world.ask(Request::Join(twice));
    let b = world.ask(Request::Join(join("b")));
    world.advance(10_000);
    assert_eq!(world.joined(a).protocol_name.as_deref(), Some("range"));
    assert_eq!(world.joined(b).error, ErrorCode::None);
}

#[test]
fn a_full_group_takes_nobody_in() {
    let mut world = World::with(GroupConfig { max_size: 2, ..GroupConfig::default() });
    let a = world.ask(Request::Join(join("a")));
    let b = world.ask(Request::Join(join("b")));
    let c = world.ask(Request::Join(join("c")));
    assert_eq!(world.joined(c).error, ErrorCode::GroupMaxSizeReached);
    world.advance(10_000);
    assert_eq!((world.joined(a).error, world.joined(b).error), (ErrorCode::None, ErrorCode::None));
    world.sync_all(&["a", "b"], 1);
    let late = world.ask(Request::Join(join("d")));
    assert_eq!(world.joined(late).error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn who_does_not_rejoin_within_the_rebalance_timeout_is_out() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    let c = world.ask(Request::Join(join("c")));
    let a = world.ask(Request::Join(rejoin("a")));
    for _ in 0..12 {
        // b lives, but does not join.
        assert_eq!(world.heartbeat("b", generation), ErrorCode::RebalanceInProgress);
        assert!(world.is_waiting(c));
        world.advance(i64::from(REBALANCE_MS) / 12);
    }
    assert_eq!(world.joined(a).generation, Generation(generation + 1));
    assert_eq!(world.joined(a).members.len(), 2);
    assert_eq!(world.heartbeat("b", generation), ErrorCode::UnknownMemberId);
}

#[test]
fn a_leader_that_does_not_rejoin_is_replaced() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    assert_eq!(world.leader(&["a"]), "a");
    world.ask(Request::Join(join("c")));
    let b = world.ask(Request::Join(rejoin("b")));
    for _ in 0..12 {
        world.heartbeat("a", generation);
        world.advance(i64::from(REBALANCE_MS) / 12);
    }
    assert_ne!(world.joined(b).leader, "a");
}

#[test]
fn a_follower_that_rejoins_unchanged_is_told_the_generation_again() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    let b = world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(b).generation, Generation(1));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_leader_that_rejoins_and_a_follower_that_changed_cause_a_rebalance() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    let b = world.ask(Request::Join(Join { protocols: protocols(&["range"], &["other"]), ..rejoin("b") }));
    assert!(world.is_waiting(b));
    assert_eq!(world.state(), "PreparingRebalance");
    let a = world.ask(Request::Join(rejoin("a")));
    assert_eq!(world.joined(b).generation, Generation(2));
    world.sync_all(&["a", "b"], 2);
    let a_again = world.ask(Request::Join(rejoin("a")));
    assert!(world.is_waiting(a_again));
    assert_eq!(world.joined(a).leader, "a");
}

#[test]
fn a_join_that_is_repeated_before_the_assignment_is_answered_the_same_again() {
    let mut world = World::new();
    let first = world.ask(Request::Join(join("a")));
    world.advance(3_000);
    let again = world.ask(Request::Join(rejoin("a")));
    assert_eq!(world.joined(again), world.joined(first));
}

#[test]
fn a_join_that_is_repeated_while_the_first_waits_takes_its_place() {
    let mut world = World::new();
    world.stable(&["a", "b"]);
    let first = world.ask(Request::Join(rejoin("a")));
    let second = world.ask(Request::Join(rejoin("a")));
    assert_eq!(world.joined(first).error, ErrorCode::RebalanceInProgress);
    world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(second).generation, Generation(2));
}

#[test]
fn a_new_member_that_goes_silent_while_it_waits_is_dropped_after_five_minutes() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let long = Join { rebalance_timeout_ms: 3_600_000, ..join("b") };
    let b = world.ask(Request::Join(long));
    for _ in 0..59 {
        world.heartbeat("a", generation);
        world.advance(5_000);
    }
    world.heartbeat("a", generation);
    assert!(world.is_waiting(b));
    world.advance(5_000);
    assert_eq!(world.joined(b).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_group_that_could_not_be_recorded_is_gone_and_its_members_are_told() {
    let mut world = World::slow();
    let a = world.ask(Request::Join(join("a")));
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    assert_eq!(world.joined(a).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.shard.next_deadline_ms(), None);
}
