//! What producers that wait for all replicas are answered.

use ottla_replica::AckVerdict;
use ottla_types::{ErrorCode, LeaderEpoch};

use crate::world::World;

/// The same offset may hold something else by then.
pub(crate) fn a_producer_is_not_answered_in_another_epoch_than_it_appended_in() {
    let mut world = World::new(&[1, 2], 2);
    let end = world.append(1, 3);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::Wait);
    world.elect(2);
    assert!(world.changes(1).wake_appends);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::NotLeaderOrFollower);
    world.append(2, 3);
    world.catch_up(1);
    world.elect(1);
    world.catch_up(2);
    world.catch_up(2);
    assert_eq!(world.watermark(1), end);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::NotLeaderOrFollower, "its records are gone");
}

#[test]
fn an_append_is_answered_when_all_in_sync_have_it() {
    let mut world = World::new(&[1, 2, 3], 2);
    let end = world.append(1, 3);
    world.catch_up(2);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::Wait);
    world.catch_up(3);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::Done);
    assert_eq!(AckVerdict::Done.error(), Some(ErrorCode::None));
    assert_eq!(AckVerdict::Wait.error(), None);
}

#[test]
fn a_duplicate_waits_as_the_original_does() {
    let mut world = World::new(&[1, 2], 2);
    let end = world.append(1, 3);
    let epoch = world.replica(1).check_append(true).unwrap();
    assert_eq!(world.replica(1).acknowledged(epoch, ottla_types::Offset(end)), AckVerdict::Wait);
    world.catch_up(2);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::Done);
}

#[test]
fn when_too_few_are_left_in_sync_those_who_wait_are_told_at_once_and_others_before_they_append() {
    let mut world = World::new(&[1, 2], 2);
    let committed = world.append(1, 1);
    world.catch_up(2);
    let end = world.append(1, 3);
    let _ = world.changes(1);
    world.fence(2);
    world.publish(1);
    assert!(world.changes(1).wake_appends);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::NotEnoughReplicasAfterAppend);
    assert_eq!(world.verdict(1, 0, committed), AckVerdict::Done, "what is committed stays so");
    assert_eq!(world.replica(1).check_append(true), Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(world.replica(1).check_append(false), Ok(LeaderEpoch(0)));
}

#[test]
fn a_higher_min_insync_replicas_holds_for_what_waits_too() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.fence(3);
    world.publish_all();
    let end = world.append(1, 3);
    let _ = world.changes(1);
    let settings = world.settings;
    world.call(1, |replica, ends, now| replica.configure(settings, 3, ends, now));
    assert!(world.changes(1).wake_appends);
    assert_eq!(world.verdict(1, 0, end), AckVerdict::NotEnoughReplicasAfterAppend);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 0);
    world.call(1, |replica, ends, now| replica.configure(settings, 2, ends, now));
    assert_eq!((world.watermark(1), world.verdict(1, 0, end)), (3, AckVerdict::Done));
}

#[test]
fn who_does_not_lead_takes_nothing() {
    let mut world = World::new(&[1, 2], 1);
    for all in [false, true] {
        assert_eq!(world.replica(2).check_append(all), Err(ErrorCode::NotLeaderOrFollower));
    }
    assert_eq!(world.verdict(2, 0, 0), AckVerdict::NotLeaderOrFollower);
}
