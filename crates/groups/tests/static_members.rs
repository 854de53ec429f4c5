//! Static members (KIP-345), and leaders that skip the assignment (KIP-814).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{GROUP, SESSION_MS, World, commit, join, join_static, protocols, rejoin, sync};
use ottla_groups::request::{Commit, Join, Leave, Leaver, Sync};
use ottla_groups::{Generation, Request};
use ottla_types::ErrorCode;

/// Two static members, `a` of instance `i-a`, which leads, and `b` of instance `i-b`.
fn stable() -> World {
    let mut world = World::new();
    let a = world.ask(Request::Join(join_static("i-a", "a")));
    world.ask(Request::Join(join_static("i-b", "b")));
    world.advance(10_000);
    assert_eq!(world.joined(a).leader, "a");
    world.sync_all(&["a", "b"], 1);
    world
}

#[test]
fn a_static_member_is_not_asked_to_join_twice() {
    let mut world = World::new();
    let first = Join { requires_known_member_id: true, ..join_static("i", "a") };
    let a = world.ask(Request::Join(first));
    assert!(world.is_waiting(a));
    world.advance(3_000);
    assert_eq!(world.joined(a).members[0].instance_id.as_deref(), Some("i"));
}

#[test]
fn a_static_follower_that_restarts_gets_its_assignment_without_a_rebalance() {
    let mut world = stable();
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    let answer = world.joined(b2).clone();
    assert_eq!((answer.error, answer.generation), (ErrorCode::None, Generation(1)));
    assert_eq!((answer.member_id.as_str(), answer.leader.as_str()), ("b2", "a"));
    assert!(!answer.skip_assignment);
    let synced = world.sync("b2", 1, &[]);
    assert_eq!(world.synced(synced).assignment, "b");
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_static_leader_that_restarts_is_told_to_skip_the_assignment() {
    let mut world = stable();
    let a2 = world.ask(Request::Join(join_static("i-a", "a2")));
    let answer = world.joined(a2);
    assert_eq!(answer.leader, "a2");
    assert!(answer.skip_assignment);
    assert_eq!(answer.members.len(), 2, "it watches the topics of all members");
}

#[test]
fn a_static_leader_that_cannot_skip_is_told_its_old_id_as_the_leaders() {
    let mut world = stable();
    let old = Join { supports_skipping_assignment: false, ..join_static("i-a", "a2") };
    let a2 = world.ask(Request::Join(old));
    let answer = world.joined(a2);
    assert_eq!((answer.leader.as_str(), answer.member_id.as_str()), ("a", "a2"));
    assert!(!answer.skip_assignment && answer.members.is_empty());
}

#[test]
fn the_new_id_of_a_static_member_is_told_only_when_it_is_in_the_log() {
    let mut world = stable();
    world.commits_at_once = false;
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    assert!(world.is_waiting(b2));
    world.commit_log();
    assert_eq!(world.joined(b2).error, ErrorCode::None);
    world.restart();
    assert_eq!(world.heartbeat_as("b2", Some("i-b"), 1), ErrorCode::None);
}

#[test]
fn a_static_member_keeps_its_old_id_when_the_new_one_cannot_be_written() {
    let mut world = stable();
    world.commits_at_once = false;
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    world.fail_last(1, ErrorCode::MessageTooLarge);
    assert_eq!(world.joined(b2).error, ErrorCode::UnknownServerError);
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::None);
    assert_eq!(world.heartbeat("b2", 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_member_keeps_its_old_id_when_the_new_one_takes_too_long_to_be_committed() {
    let mut world = stable();
    world.commits_at_once = false;
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    world.time_out();
    assert_eq!(world.joined(b2).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::None);
    world.commit_log();
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::None);
}

#[test]
fn a_static_member_that_came_back_twice_has_its_first_id_when_neither_return_is_committed_in_time() {
    let mut world = stable();
    world.commits_at_once = false;
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    let b3 = world.ask(Request::Join(join_static("i-b", "b3")));
    world.time_out();
    assert_eq!(world.joined(b2).error, ErrorCode::FencedInstanceId);
    assert_eq!(world.joined(b3).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::None);
}

#[test]
fn the_old_id_of_a_replaced_member_is_fenced_everywhere() {
    let mut world = stable();
    world.ask(Request::Join(join_static("i-b", "b2")));
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::FencedInstanceId);
    let committed = world.ask(Request::Commit(Commit {
        instance_id: Some("i-b".to_owned()),
        ..commit("b", 1, "topic", 0, 5)
    }));
    assert_eq!(world.commit_error(committed), ErrorCode::FencedInstanceId);
    let synced = world.ask(Request::Sync(Sync { instance_id: Some("i-b".to_owned()), ..sync("b", 1, &[]) }));
    assert_eq!(world.synced(synced).error, ErrorCode::FencedInstanceId);
    let joined = world.ask(Request::Join(Join { instance_id: Some("i-b".to_owned()), ..rejoin("b") }));
    assert_eq!(world.joined(joined).error, ErrorCode::FencedInstanceId);
}

#[test]
fn a_request_that_waits_under_the_old_id_is_fenced() {
    let mut world = World::new();
    let first = world.ask(Request::Join(join_static("i", "a")));
    let second = world.ask(Request::Join(join_static("i", "a2")));
    assert_eq!(world.joined(first).error, ErrorCode::FencedInstanceId);
    world.advance(10_000);
    assert_eq!(world.joined(second).member_id, "a2");
    let waits = world.ask(Request::Sync(sync("a2", 1, &[])));
    assert_eq!(world.synced(waits).error, ErrorCode::None);
}

#[test]
fn an_instance_id_that_no_member_has_is_unknown() {
    let mut world = stable();
    assert_eq!(world.heartbeat_as("a", Some("i-c"), 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_member_that_changes_the_chosen_protocol_causes_a_rebalance() {
    let mut world = World::new();
    let with = |names: &[&str], join: Join| Join { protocols: protocols(names, &["topic"]), ..join };
    world.ask(Request::Join(with(&["range", "sticky"], join_static("i", "a"))));
    world.advance(10_000);
    world.sync_all(&["a"], 1);
    let again = world.ask(Request::Join(with(&["sticky", "range"], join_static("i", "a2"))));
    assert_eq!(world.joined(again).generation, Generation(2));
    assert_eq!(world.joined(again).protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn a_static_member_that_restarts_while_the_leader_assigns_causes_a_rebalance() {
    let mut world = World::new();
    world.ask(Request::Join(join_static("i-a", "a")));
    world.ask(Request::Join(join_static("i-b", "b")));
    world.advance(10_000);
    let b2 = world.ask(Request::Join(join_static("i-b", "b2")));
    assert!(world.is_waiting(b2));
    let refused = world.sync("a", 1, &[("a", "all")]);
    assert_eq!(world.synced(refused).error, ErrorCode::RebalanceInProgress);
}

#[test]
fn a_static_member_stays_through_a_rebalance_that_it_does_not_join_until_its_session_ends() {
    let mut world = World::new();
    let patient = |join: Join| Join { session_timeout_ms: 600_000, ..join };
    world.ask(Request::Join(patient(join_static("i-a", "a"))));
    world.ask(Request::Join(patient(join_static("i-b", "b"))));
    world.advance(10_000);
    world.sync_all(&["a", "b"], 1);
    let c = world.ask(Request::Join(join("c")));
    let a = world.ask(Request::Join(Join { instance_id: Some("i-a".to_owned()), ..patient(rejoin("a")) }));
    world.advance(60_000);
    assert_eq!(world.joined(c).generation, Generation(2));
    assert_eq!(world.joined(a).members.len(), 3, "b is still in");
}

#[test]
fn a_static_member_that_is_silent_is_out_after_its_session() {
    let mut world = stable();
    world.advance(i64::from(SESSION_MS) / 2);
    world.heartbeat("a", 1);
    world.advance(i64::from(SESSION_MS) / 2);
    assert_eq!(world.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat_as("b", Some("i-b"), 1), ErrorCode::UnknownMemberId);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut world = stable();
    let leaver =
        |instance_id: &str| Leaver { member_id: String::new(), instance_id: Some(instance_id.to_owned()) };
    let members = vec![leaver("i-b"), leaver("i-z")];
    let ticket = world.ask(Request::Leave(Leave { group_id: GROUP.to_owned(), members }));
    let errors: Vec<ErrorCode> = world.left(ticket).members.iter().map(|member| member.error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(world.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn static_members_that_give_themselves_no_time_to_rejoin_do_not_keep_the_coordinator_busy() {
    let mut world = World::new();
    world.ask(Request::Join(join_static("i-a", "a")));
    world.ask(Request::Join(join_static("i-b", "b")));
    world.advance(10_000);
    world.sync_all(&["a", "b"], 1);
    world.ask(Request::Join(Join { rebalance_timeout_ms: 0, ..join_static("i-a", "a2") }));
    world.ask(Request::Join(Join { rebalance_timeout_ms: 0, ..join_static("i-b", "b2") }));
    assert_eq!(world.state(), "Stable");
    // A rebalance begins, and a2 does not join: each look at it leads to the next.
    let members = vec![Leaver { member_id: String::new(), instance_id: Some("i-b".to_owned()) }];
    world.ask(Request::Leave(Leave { group_id: GROUP.to_owned(), members }));
    assert_eq!(world.shard.next_deadline_ms(), Some(world.now_ms));
    let decision = world.shard.tick(world.now_ms);
    assert!(decision.records.is_empty());
    assert_eq!(world.shard.next_deadline_ms(), Some(world.now_ms + 1_000));
    world.advance(i64::from(SESSION_MS));
    assert_eq!(world.state(), "Empty");
}
