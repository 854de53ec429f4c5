//! SyncGroup, Heartbeat and LeaveGroup: a generation from the leader's assignment to its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{REBALANCE_MS, SESSION_MS, World, join, rejoin, sync};
use ottla_groups::request::{Leave, Sync};
use ottla_groups::{Generation, Request};
use ottla_types::ErrorCode;

/// Members that joined generation 1, of which the first leads, and did not sync yet.
fn joined(members: &[&str]) -> World {
    let mut world = World::slow();
    let tickets: Vec<_> = members.iter().map(|id| world.ask(Request::Join(join(id)))).collect();
    world.commit_log();
    world.advance(10_000);
    assert_eq!(world.joined(tickets[0]).leader, members[0]);
    world
}

#[test]
fn members_get_their_assignments_when_the_leaders_is_committed() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    let a = world.sync("a", 1, &[("a", "0,1"), ("b", "2,3"), ("made-up", "4")]);
    assert!(world.is_waiting(a) && world.is_waiting(b));
    assert_eq!(world.state(), "CompletingRebalance");
    world.commit_log();
    assert_eq!(world.synced(a).assignment, "0,1");
    assert_eq!(world.synced(b).assignment, "2,3");
    assert_eq!(world.synced(b).protocol_name.as_deref(), Some("range"));
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_member_that_the_leader_forgot_gets_nothing() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    world.sync("a", 1, &[("a", "all")]);
    world.commit_log();
    assert_eq!((world.synced(b).error, world.synced(b).assignment.len()), (ErrorCode::None, 0));
}

#[test]
fn an_assignment_that_cannot_be_written_makes_the_members_join_again() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    let a = world.sync("a", 1, &[("a", "0"), ("b", "1")]);
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    assert_eq!(world.synced(a).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.synced(b).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
    let a = world.ask(Request::Join(rejoin("a")));
    world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(a).generation, Generation(2));
}

#[test]
fn an_assignment_that_is_too_large_is_a_fault_of_the_server_to_who_waited_and_a_rebalance_to_who_comes_later()
{
    let mut world = joined(&["a", "b", "c"]);
    let b = world.sync("b", 1, &[]);
    let a = world.sync("a", 1, &[("a", "0")]);
    world.fail_last(1, ErrorCode::MessageTooLarge);
    let c = world.sync("c", 1, &[]);
    let told = [a, b, c].map(|ticket| world.synced(ticket).error);
    let (fault, rebalance) = (ErrorCode::UnknownServerError, ErrorCode::RebalanceInProgress);
    assert_eq!(told, [fault, fault, rebalance]);
}

#[test]
fn an_assignment_that_takes_too_long_to_be_committed_makes_the_members_join_again() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    let a = world.sync("a", 1, &[("a", "0"), ("b", "1")]);
    world.time_out();
    for waited in [a, b] {
        assert_eq!(world.synced(waited).error, ErrorCode::CoordinatorNotAvailable);
    }
    assert_eq!(world.heartbeat("b", 1), ErrorCode::RebalanceInProgress);
    // That it is committed after all changes nothing any more.
    world.commit_log();
    assert_eq!(world.state(), "PreparingRebalance");
    let a = world.ask(Request::Join(rejoin("a")));
    world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(a).generation, Generation(2));
}

#[test]
fn a_generation_has_one_assignment_even_if_its_leader_sends_two() {
    let mut world = joined(&["a"]);
    let first = world.sync("a", 1, &[("a", "one")]);
    let second = world.sync("a", 1, &[("a", "two")]);
    assert_eq!(world.synced(first).error, ErrorCode::RebalanceInProgress, "its client gave up on it");
    world.commit_log();
    assert_eq!(world.synced(second).assignment, "one");
    world.restart();
    let third = world.sync("a", 1, &[]);
    assert_eq!(world.synced(third).assignment, "one");
}

#[test]
fn an_assignment_that_is_committed_after_the_next_rebalance_began_is_not_told() {
    let mut world = joined(&["a", "b"]);
    let a = world.sync("a", 1, &[("a", "0"), ("b", "1")]);
    world.ask(Request::Join(join("c")));
    assert_eq!(world.synced(a).error, ErrorCode::RebalanceInProgress);
    world.commit_log();
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_sync_is_fenced_by_generation_member_and_protocol() {
    let mut world = joined(&["a"]);
    let older = world.sync("a", 0, &[]);
    assert_eq!(world.synced(older).error, ErrorCode::IllegalGeneration);
    let ghost = world.sync("ghost", 1, &[]);
    assert_eq!(world.synced(ghost).error, ErrorCode::UnknownMemberId);
    let other =
        world.ask(Request::Sync(Sync { protocol_name: Some("sticky".to_owned()), ..sync("a", 1, &[]) }));
    assert_eq!(world.synced(other).error, ErrorCode::InconsistentGroupProtocol);
    let other =
        world.ask(Request::Sync(Sync { protocol_type: Some("connect".to_owned()), ..sync("a", 1, &[]) }));
    assert_eq!(world.synced(other).error, ErrorCode::InconsistentGroupProtocol);
    let old_client = Sync { protocol_type: None, protocol_name: None, ..sync("a", 1, &[]) };
    let old_client = world.ask(Request::Sync(old_client));
    world.commit_log();
    assert_eq!(world.synced(old_client).error, ErrorCode::None);
}

#[test]
fn a_group_that_is_not_there_knows_no_members() {
    let mut world = World::new();
    let synced = world.sync("a", 1, &[]);
    assert_eq!(world.synced(synced).error, ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat("a", 1), ErrorCode::UnknownMemberId);
    let left = world.leave(&["a"]);
    assert_eq!(world.left(left).error, ErrorCode::None);
    assert_eq!(world.left(left).members[0].error, ErrorCode::UnknownMemberId);
    let nameless = world.ask(Request::Leave(Leave { group_id: String::new(), members: Vec::new() }));
    assert_eq!(world.left(nameless).error, ErrorCode::InvalidGroupId);
}

#[test]
fn who_joins_and_does_not_sync_is_out_after_the_rebalance_timeout() {
    let mut world = joined(&["a", "b"]);
    world.sync("a", 1, &[("a", "0"), ("b", "1")]);
    world.commit_log();
    for _ in 0..12 {
        // b lives, but does not sync.
        assert_eq!(world.heartbeat("a", 1), ErrorCode::None);
        assert_eq!(world.heartbeat("b", 1), ErrorCode::None);
        world.advance(i64::from(REBALANCE_MS) / 12);
    }
    assert_eq!(world.heartbeat("a", 1), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat("b", 1), ErrorCode::UnknownMemberId);
}

#[test]
fn a_leader_that_does_not_sync_is_out_and_the_others_join_again() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    for _ in 0..12 {
        world.heartbeat("a", 1);
        world.advance(i64::from(REBALANCE_MS) / 12);
    }
    assert_eq!(world.synced(b).error, ErrorCode::RebalanceInProgress);
    let b = world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(b).leader, "b");
}

#[test]
fn a_heartbeat_keeps_a_session_and_its_lack_ends_it() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    world.heartbeat("a", generation);
    world.heartbeat("b", generation);
    world.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(world.heartbeat("a", generation), ErrorCode::None);
    assert_eq!(world.shard.census().members, 2);
    world.advance(1);
    assert_eq!(world.shard.census().members, 1);
    assert_eq!(world.heartbeat("a", generation), ErrorCode::RebalanceInProgress);
    assert_eq!(world.heartbeat("b", generation), ErrorCode::UnknownMemberId);
}

#[test]
fn a_heartbeat_of_another_generation_is_illegal() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    assert_eq!(world.heartbeat("a", generation - 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat("a", generation + 1), ErrorCode::IllegalGeneration);
    assert_eq!(world.heartbeat("a", generation), ErrorCode::None);
}

#[test]
fn waiting_for_the_group_is_not_held_against_a_member() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b"]);
    let a = world.ask(Request::Join(rejoin("a")));
    // Longer than a's session, while b holds the rebalance up.
    for _ in 0..8 {
        world.heartbeat("b", generation);
        world.advance(5_000);
    }
    assert!(world.is_waiting(a));
    world.ask(Request::Join(rejoin("b")));
    assert_eq!(world.joined(a).members.len(), 2);
    assert_eq!(world.heartbeat("a", generation + 1), ErrorCode::None, "its session began anew");
}

#[test]
fn members_that_leave_together_cause_one_rebalance() {
    let mut world = World::new();
    let generation = world.stable(&["a", "b", "c"]);
    let left = world.leave(&["b", "c", "ghost"]);
    let errors: Vec<ErrorCode> = world.left(left).members.iter().map(|member| member.error).collect();
    assert_eq!(errors, [ErrorCode::None, ErrorCode::None, ErrorCode::UnknownMemberId]);
    assert_eq!(world.heartbeat("a", generation), ErrorCode::RebalanceInProgress);
    let a = world.ask(Request::Join(rejoin("a")));
    assert_eq!(world.joined(a).generation, Generation(generation + 1));
}

#[test]
fn a_group_whose_last_member_leaves_is_empty_and_says_so_when_that_is_written() {
    let mut world = World::new();
    world.stable(&["a"]);
    world.commits_at_once = false;
    let left = world.leave(&["a"]);
    assert!(world.is_waiting(left));
    world.commit_log();
    assert_eq!(world.left(left).members[0].error, ErrorCode::None);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.shard.next_deadline_ms(), None, "nothing is left in the queue");
}

#[test]
fn a_leave_that_cannot_be_written_is_refused_and_the_group_stays_empty() {
    let mut world = World::new();
    world.stable(&["a"]);
    world.commits_at_once = false;
    let left = world.leave(&["a"]);
    world.fail_last(1, ErrorCode::KafkaStorageError);
    assert_eq!(world.left(left).error, ErrorCode::NotCoordinator);
    assert_eq!(world.state(), "Empty");
    // After a restart the last generation comes back, and times out.
    world.restart();
    assert_eq!(world.state(), "Stable");
    world.advance(i64::from(SESSION_MS));
    assert_eq!(world.state(), "Empty");
}

#[test]
fn whoever_waits_is_told_when_the_member_is_taken_out() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    world.leave(&["b"]);
    assert_eq!(world.synced(b).error, ErrorCode::UnknownMemberId);
    let a = world.ask(Request::Join(rejoin("a")));
    world.ask(Request::Join(join("c")));
    let _ = world.leave(&["a"]);
    assert!(!world.is_waiting(a));
}

#[test]
fn stopping_answers_whoever_waits() {
    let mut world = joined(&["a", "b"]);
    let b = world.sync("b", 1, &[]);
    let a = world.sync("a", 1, &[("a", "0")]);
    let other = Request::Join(ottla_groups::request::Join { group_id: "other".to_owned(), ..join("x") });
    let x = world.ask(other);
    let committed = world.commit("", -1, "topic", 0, 3);
    world.restart();
    assert_eq!(world.synced(a).error, ErrorCode::NotCoordinator);
    assert_eq!(world.synced(b).error, ErrorCode::NotCoordinator);
    assert_eq!(world.joined(x).error, ErrorCode::NotCoordinator);
    assert_eq!(world.commit_error(committed), ErrorCode::UnknownMemberId);
}
