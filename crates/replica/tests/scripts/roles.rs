//! How a replica comes to its part: elections, reassignments, news that come late.

use ottla_replica::{NextFetch, Step, Turn};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};

use crate::world::World;

#[test]
fn news_of_an_earlier_state_change_nothing() {
    let mut world = World::new(&[1, 2], 1);
    world.controller.elect(2);
    world.controller.elect(1);
    world.publish_all();
    assert_eq!(world.replica(1).leader_epoch(), LeaderEpoch(2));
    let _ = world.changes(1);
    world.deliver(1, 1);
    assert_eq!(world.changes(1), Default::default());
    assert!(world.replica(1).is_leader());
}

#[test]
fn the_same_leader_in_another_epoch_turns_all_replicas() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 2);
    world.catch_up(2);
    let _ = (world.changes(1), world.changes(2));
    world.elect(1);
    let epoch = LeaderEpoch(1);
    assert_eq!(world.changes(1).turn, Some(Turn::Leads { epoch, start: Offset(2) }));
    assert_eq!(world.changes(2).turn, Some(Turn::Follows { leader: BrokerId(1), epoch }));
}

#[test]
fn a_change_of_the_isr_turns_nobody_and_keeps_what_the_leader_knows() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 2);
    world.catch_up(2);
    let _ = world.changes(1);
    world.fence(3);
    world.publish_all();
    let change = world.changes(1);
    assert_eq!((change.turn, change.high_watermark), (None, Some(Offset(2))), "3 is not waited for any more");
    assert_eq!(world.state(1, 2).end, Some(Offset(2)));
}

#[test]
fn an_answer_from_an_earlier_epoch_or_to_an_earlier_question_is_left_alone() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 3);
    let sent = world.ask(2).unwrap();
    let answer = world.serve(&sent);
    world.elect(3);
    assert_eq!(world.take(&answer), Step::Nothing);
    assert_eq!(world.end(2), 0);
    world.elect(1);
    let sent = world.ask(2).unwrap();
    let answer = world.serve(&sent);
    let _ = world.take(&answer);
    assert_eq!(world.take(&answer), Step::Nothing, "its records are there already");
    assert_eq!(world.end(2), 3);
}

#[test]
fn fetches_in_another_epoch_than_the_leaders_are_refused_and_say_who_is_behind() {
    let mut world = World::new(&[1, 2], 1);
    let sent = world.ask(2).unwrap();
    world.controller.elect(1);
    world.publish(1);
    let answer = world.serve(&sent);
    assert_eq!(answer.answer.error, ErrorCode::FencedLeaderEpoch);
    assert_eq!(world.take(&answer), Step::WaitForMetadata);
    // The other way round, the leader has to catch up.
    world.publish(2);
    world.controller.elect(1);
    world.publish(2);
    let sent = world.ask(2).unwrap();
    let answer = world.serve(&sent);
    assert_eq!(answer.answer.error, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(world.take(&answer), Step::Retry);
    // And an ex-leader says so.
    world.controller.elect(2);
    world.publish(1);
    let answer = world.serve(&sent);
    assert_eq!(answer.answer.error, ErrorCode::NotLeaderOrFollower);
}

#[test]
fn a_replica_that_is_added_copies_all_and_is_not_waited_for_before_it_is_in_sync() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 3);
    world.catch_up(2);
    world.add_node(3);
    world.controller.change(|state| state.replicas = [1, 2, 3].map(BrokerId).into());
    world.publish(3);
    // The leader has not heard of it.
    let sent = world.ask(3).unwrap();
    let answer = world.serve(&sent);
    assert_eq!(answer.answer.error, ErrorCode::UnknownLeaderEpoch);
    world.publish_all();
    world.append(1, 1);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 4, "an empty replica holds nothing up");
    world.catch_up(3);
    assert_eq!(world.alter_isr(1), [1, 2, 3]);
    assert_eq!(world.end(3), 4);
}

#[test]
fn a_replica_that_is_taken_away_stops_and_its_leader_forgets_it() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 0);
    world.controller.change(|state| {
        state.replicas = [1, 2].map(BrokerId).into();
        state.isr = [1, 2].map(BrokerId).into();
    });
    let sent = world.ask(3).unwrap();
    world.publish_all();
    assert_eq!(world.changes(3).turn, Some(Turn::Stops));
    let node = &world.nodes[&3];
    assert_eq!(node.replica.next_fetch(node.log.ends(), None), NextFetch::Nothing);
    assert_eq!(world.watermark(1), 3);
    assert_eq!(world.serve(&sent).answer.error, ErrorCode::UnknownLeaderEpoch);
}

#[test]
fn a_leader_that_is_taken_away_stops() {
    let mut world = World::new(&[1, 2], 1);
    let end = world.append(1, 1);
    world.controller.change(|state| {
        state.replicas = [BrokerId(2)].into();
        state.isr = [BrokerId(2)].into();
        state.leader = Some(BrokerId(2));
    });
    world.publish_all();
    assert_eq!(world.changes(1).turn, Some(Turn::Stops));
    assert!(!world.replica(1).is_leader() && world.replica(2).is_leader());
    assert!(world.verdict(1, 0, end).error().is_some());
}

#[test]
fn without_a_leader_a_replica_waits() {
    let mut world = World::new(&[1, 2], 1);
    world.fence(2);
    world.fence(1);
    world.publish_all();
    assert_eq!(world.changes(2).turn, Some(Turn::Waits));
    assert_eq!(world.ask(2).map(|_| ()), None);
    assert_eq!(world.replica(1).check_append(false), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn a_replica_that_was_noted_with_a_watermark_has_it_after_a_start_as_far_as_its_log_reaches() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 5);
    world.catch_up(2);
    world.restart(2, 4);
    assert_eq!(world.watermark(2), 4);
    world.node(2).log.truncate(3);
    world.restart(2, 4);
    assert_eq!(world.watermark(2), 3);
}
