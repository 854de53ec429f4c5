//! What is committed: acknowledged in this epoch by all who may be in sync, and by enough (KIP-101, 497, 903, 966;
//! KAFKA-15583).

use ottla_replica::{IsrAnswer, NextFetch};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch};

use crate::world::World;

/// KIP-101, KIP-320: who leads again cannot know what became of the logs meanwhile.
pub(crate) fn what_was_acknowledged_in_an_earlier_epoch_does_not_count() {
    let mut world = World::new(&[1, 2], 2);
    world.append(1, 4);
    let _ = world.fetch(2);
    let late = world.ask(2).unwrap();
    // 2 leads and cuts nothing; but it would, had 1 led in between somewhere else: only its fetches in the new epoch count.
    world.elect(1);
    assert_eq!(
        world.changes(1).turn.map(|_| ()),
        Some(()),
        "the same leader in another epoch is another leadership"
    );
    assert_eq!(world.serve(&late).answer.error, ErrorCode::FencedLeaderEpoch);
    world.node(2).log.truncate(0);
    world.append(1, 1);
    assert_eq!((world.state(1, 2).end, world.watermark(1)), (None, 0));
    world.catch_up(2);
    assert_eq!(world.watermark(1), 5);
}

/// KIP-497: the controller may have decided already.
pub(crate) fn a_member_that_was_asked_for_counts_before_it_is_replayed() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 3);
    world.fence(3);
    world.publish_all();
    world.restart(3, 0);
    world.catch_up(2);
    world.catch_up(3);
    let wanted = world.ask_isr(1).unwrap();
    let answer = world.controller.alter(1, &wanted);
    assert!(matches!(answer, IsrAnswer::Altered(_)));
    // Neither the answer nor the change have come to the leader.
    world.append(1, 1);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3, "3 may be in sync, and has not the record");
    world.fence(1);
    world.fence(2);
    assert_eq!(world.controller.leader(), Some(3));
    world.publish(3);
    assert_eq!(world.end(3), 3);
}

/// KIP-497: nobody knows whether it arrives.
pub(crate) fn a_request_without_an_answer_counts_until_the_partition_changes() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 3);
    world.fence(2);
    world.publish_all();
    world.restart(2, 0);
    world.catch_up(2);
    let wanted = world.ask_isr(1).unwrap();
    let epoch = wanted.partition_epoch;
    world.call(1, |replica, _, now| replica.isr_answered(epoch, IsrAnswer::Unknown, now));
    world.append(1, 1);
    assert_eq!(world.watermark(1), 3);
    // A refusal of another copy says nothing of this one.
    let refused = IsrAnswer::Refused(ErrorCode::IneligibleReplica);
    world.call(1, |replica, _, now| replica.isr_answered(epoch, refused, now));
    world.append(1, 1);
    assert_eq!(world.watermark(1), 3);
    assert!(matches!(world.controller.alter(1, &wanted), IsrAnswer::Altered(_)));
    world.publish_all();
    assert_eq!(world.watermark(1), 3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 5);
}

/// KAFKA-15583: so that who left an ISR that became too small still holds all that is committed, and may lead (KIP-966).
pub(crate) fn nothing_is_committed_while_too_few_are_in_sync() {
    let mut world = World::new(&[1, 2], 2);
    world.append(1, 3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3);
    world.fence(2);
    world.publish_all();
    world.append(1, 2);
    assert_eq!((world.controller.isr(), world.watermark(1)), (vec![1], 3));
    world.restart(2, 0);
    world.controller.make_stranger(1);
    world.publish_all();
    assert_eq!((world.controller.leader(), world.end(2)), (Some(2), 3));
}

/// KIP-903: its log may be shorter than it was.
pub(crate) fn what_a_follower_had_before_it_registered_anew_does_not_count() {
    let mut world = World::new(&[1, 2, 3], 2);
    world.append(1, 3);
    world.catch_up(2);
    // 2 restarts with an empty log, which the leader learns by its fetch, before it hears that 2 left the ISR.
    world.node(2).log.restart_at(0);
    world.node(2).registration += 1;
    let sent = world.ask(2).unwrap();
    let _ = world.serve(&sent);
    world.catch_up(3);
    assert_eq!(world.watermark(1), 0, "one of those that have the records is not enough");
    // And a fetch from before the restart says nothing any more.
    let mut late = sent;
    late.broker_epoch -= 1;
    late.from.offset.0 = 3;
    assert_eq!(world.serve(&late).answer.error, ErrorCode::NotLeaderOrFollower);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3);
}

/// `flush.messages` on the leader.
pub(crate) fn a_leader_counts_itself_where_it_is_flushed() {
    let mut world = World::new(&[1, 2], 1);
    world.node(1).log.flushed = Some(0);
    world.append(1, 3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 0);
    world.node(1).log.flushed = Some(2);
    world.call(1, |replica, ends, now| replica.flushed(ends.durable, now));
    assert_eq!(world.watermark(1), 2);
}

/// `flush.messages` on a follower: each fetch acknowledges what lies before it.
pub(crate) fn a_follower_does_not_acknowledge_before_it_has_flushed() {
    let mut world = World::new(&[1, 2], 1);
    world.node(2).log.flushed = Some(0);
    world.append(1, 3);
    let _ = world.fetch(2);
    let node = &world.nodes[&2];
    assert_eq!(node.replica.next_fetch(node.log.ends(), node.log.latest_epoch()), NextFetch::Flush);
    world.node(2).log.flushed = Some(3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3);
}

#[test]
fn a_leader_alone_among_three_replicas_commits_by_itself_where_one_is_enough() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.fence(2);
    world.fence(3);
    world.publish_all();
    world.append(1, 3);
    assert_eq!((world.controller.isr(), world.watermark(1)), (vec![1], 3));
}

#[test]
fn one_replica_commits_what_it_appends() {
    let mut world = World::new(&[1], 1);
    let end = world.append(1, 3);
    assert_eq!(world.watermark(1), end);
    assert_eq!(world.changes(1).high_watermark.map(|offset| offset.0), Some(3));
    assert_eq!(world.changes(1).wake_at, None, "there is nobody to wait for");
}

#[test]
fn a_new_leader_knows_nobodys_end_and_keeps_its_watermark_until_it_does() {
    let mut world = World::new(&[1, 2, 3], 2);
    world.append(1, 5);
    for follower in [2, 3, 2, 3] {
        world.catch_up(follower);
    }
    assert_eq!(world.watermark(2), 5);
    world.elect(2);
    assert_eq!(world.replica(2).epoch_start().map(|start| start.0), Some(5));
    world.append(2, 1);
    world.catch_up(3);
    assert_eq!(world.watermark(2), 5, "1 is in sync, too");
    world.catch_up(1);
    assert_eq!(world.watermark(2), 6);
}

#[test]
fn a_fetch_that_comes_late_takes_nothing_back() {
    let mut world = World::new(&[1, 2], 1);
    let early = world.ask(2).unwrap();
    world.append(1, 3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3);
    let _ = world.serve(&early);
    assert_eq!((world.watermark(1), world.state(1, 2).end.map(|end| end.0)), (3, Some(3)));
}

#[test]
fn an_isr_that_is_asked_for_twice_counts_all_of_both() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.fence(2);
    world.fence(3);
    world.publish_all();
    world.restart(2, 0);
    world.restart(3, 0);
    world.catch_up(2);
    let epoch = world.ask_isr(1).unwrap().partition_epoch;
    world.call(1, |replica, _, now| replica.isr_answered(epoch, IsrAnswer::Unknown, now));
    world.catch_up(3);
    let second = world.ask_isr(1).unwrap();
    assert_eq!(second.members.len(), 3);
    world.append(1, 1);
    world.catch_up(3);
    assert_eq!(world.watermark(1), 0);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 1);
}

#[test]
fn who_no_longer_holds_all_that_is_committed_may_not_be_asked_for() {
    let mut world = World::new(&[1, 2], 1);
    world.fence(2);
    world.publish_all();
    world.restart(2, 0);
    world.catch_up(2);
    let (now, controller) = (world.now, world.controller.clone());
    let wanted = world.replica(1).wanted_isr(|broker| controller.eligible(broker), now).unwrap();
    // The watermark waited for it a while.
    world.pass(std::time::Duration::from_secs(5));
    world.append(1, 1);
    assert_eq!(world.watermark(1), 1);
    let members = wanted.members.iter().map(|(broker, _)| *broker);
    assert!(!world.replica(1).isr_asked(wanted.partition_epoch, members));
    assert!(!world.replica(1).isr_asked(wanted.partition_epoch, [BrokerId(1), BrokerId(7)]));
    assert_eq!(world.replica(1).leader_epoch(), LeaderEpoch(0));
}
