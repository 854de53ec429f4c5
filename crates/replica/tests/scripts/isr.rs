//! Who enters the ISR (KIP-841, 903; KAFKA-19996), and by what rhythm it is asked for.

use ottla_replica::IsrAnswer;
use ottla_types::{BrokerId, ErrorCode};

use crate::world::{World, ms};

/// Two brokers, of which 2 left the ISR, and is back.
fn with_one_out(min_insync: usize) -> World {
    let mut world = World::new(&[1, 2], min_insync);
    world.fence(2);
    world.publish_all();
    world.restart(2, 0);
    let _ = world.changes(1);
    world
}

/// KIP-841.
pub(crate) fn whoever_is_fenced_does_not_enter() {
    let mut world = with_one_out(1);
    world.append(1, 3);
    world.controller.fence(2);
    world.catch_up(2);
    assert!(world.changes(1).look_at_isr, "by its log it could");
    assert_eq!(world.alter_isr(1), [1]);
    world.controller.register(2, world.nodes[&2].registration);
    assert_eq!(world.alter_isr(1), [1, 2]);
}

/// KIP-903: a follower is named by the registration under which it fetched.
pub(crate) fn a_follower_that_registers_anew_does_not_enter_by_what_it_fetched_before() {
    let mut world = with_one_out(1);
    world.append(1, 3);
    world.catch_up(2);
    // It restarts without its log.
    world.node(2).log.restart_at(0);
    world.restart(2, 0);
    assert_eq!(world.alter_isr(1), [1]);
    world.catch_up(2);
    assert_eq!(world.alter_isr(1), [1, 2]);
    assert_eq!(world.end(2), 3);
}

/// KIP-101: a new leader's watermark may be behind what is committed.
pub(crate) fn a_follower_enters_with_all_that_the_leader_had_when_its_epoch_began() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.fence(3);
    world.publish_all();
    world.append(1, 10);
    let _ = world.fetch(2);
    let sent = world.ask(2).unwrap();
    let _ = world.serve(&sent);
    assert_eq!((world.watermark(1), world.watermark(2)), (10, 0));
    world.restart(3, 0);
    world.elect(2);
    // 2 knows of nothing committed, and 1, which is in sync, has not fetched yet.
    world.most_records = 4;
    let _ = world.fetch(3);
    let _ = world.fetch(3);
    assert_eq!((world.watermark(2), world.end(3)), (0, 8));
    assert_eq!(world.alter_isr(2), [1, 2]);
    world.catch_up(3);
    assert_eq!(world.alter_isr(2), [1, 2, 3]);
}

/// KAFKA-19996.
pub(crate) fn at_a_watermark_that_stands_still_a_follower_does_not_enter_and_leave_and_enter() {
    let mut world = with_one_out(2);
    world.append(1, 10);
    world.most_records = 1;
    // Too few are in sync for the watermark to move, and the follower is slower than the producer.
    for _ in 0..20 {
        let _ = world.fetch(2);
        world.append(1, 2);
        world.pass(ms(5_000));
        assert_eq!((world.watermark(1), world.alter_isr(1)), (0, vec![1]));
    }
    world.most_records = usize::MAX;
    world.catch_up(2);
    assert_eq!(world.alter_isr(1), [1, 2]);
}

#[test]
fn a_follower_enters_under_load_since_the_watermark_waits_for_it() {
    let mut world = with_one_out(1);
    world.append(1, 100);
    let mut fetches = 0;
    // Whenever it has fetched all, there is more.
    while world.controller.isr() == [1] {
        let _ = world.fetch(2);
        fetches += 1;
        world.append(1, 10);
        world.pass(ms(2));
        if world.changes(1).look_at_isr {
            world.alter_isr(1);
        }
        assert!(fetches < 10, "{:?}", world.state(1, 2));
    }
    assert_eq!(world.controller.isr(), [1, 2]);
}

#[test]
fn a_follower_that_dies_when_it_could_enter_stops_the_watermark_for_a_moment() {
    let mut world = with_one_out(1);
    world.append(1, 10);
    world.catch_up(2);
    let _ = world.changes(1);
    world.append(1, 1);
    assert_eq!(world.watermark(1), 10);
    let _ = world.changes(1);
    world.pass(ms(20));
    world.tick(1);
    assert_eq!((world.watermark(1), world.changes(1).high_watermark.map(|offset| offset.0)), (11, Some(11)));
}

#[test]
fn a_follower_that_is_not_taken_is_not_told_of_at_each_fetch() {
    let mut world = with_one_out(1);
    world.append(1, 3);
    world.controller.fence(2);
    let mut told = 0;
    for _ in 0..300 {
        let _ = world.fetch(2);
        told += u32::from(world.changes(1).look_at_isr);
        world.pass(ms(10));
    }
    assert!((3..=30).contains(&told), "{told}");
}

#[test]
fn after_a_refusal_the_isr_is_looked_at_again_a_second_later() {
    let mut world = with_one_out(1);
    world.append(1, 3);
    world.catch_up(2);
    let wanted = world.ask_isr(1).unwrap();
    let _ = world.changes(1);
    let refused = IsrAnswer::Refused(ErrorCode::IneligibleReplica);
    let epoch = wanted.partition_epoch;
    world.call(1, |replica, _, now| replica.isr_answered(epoch, refused, now));
    let look_at = world.now + ms(1000);
    world.pass(ms(20));
    world.tick(1);
    let change = world.changes(1);
    assert_eq!((change.look_at_isr, change.wake_at), (false, Some(look_at)), "after the end of the hold");
    world.pass(ms(980));
    world.tick(1);
    assert!(world.changes(1).look_at_isr);
    assert_eq!(world.alter_isr(1), [1, 2]);
}

#[test]
fn a_state_that_the_controller_says_is_over_is_left_alone_until_it_is_replayed() {
    for error in [ErrorCode::InvalidUpdateVersion, ErrorCode::FencedLeaderEpoch, ErrorCode::NewLeaderElected]
    {
        let mut world = with_one_out(1);
        world.append(1, 3);
        world.catch_up(2);
        let epoch = world.ask_isr(1).unwrap().partition_epoch;
        world.call(1, |replica, _, now| replica.isr_answered(epoch, IsrAnswer::Refused(error), now));
        assert_eq!(world.ask_isr(1), None, "{error}");
        world.append(1, 1);
        assert_eq!(world.watermark(1), 3, "{error}: who was asked for may be in sync");
        world.controller.change(|_| ());
        world.publish_all();
        assert_eq!(world.watermark(1), 4, "{error}: it is not");
        world.catch_up(2);
        assert!(world.ask_isr(1).is_some(), "{error}");
    }
}

#[test]
fn an_answer_that_changed_nothing_is_certain() {
    let mut world = with_one_out(1);
    world.append(1, 3);
    world.catch_up(2);
    let epoch = world.ask_isr(1).unwrap().partition_epoch;
    world.append(1, 1);
    assert_eq!(world.watermark(1), 3);
    world.call(1, |replica, _, now| replica.isr_answered(epoch, IsrAnswer::Altered(epoch), now));
    assert_eq!(world.watermark(1), 4);
}

#[test]
fn a_leader_that_may_lack_records_says_that_it_came_to_terms_whoever_is_in_sync() {
    let mut world = World::new(&[1, 2], 1);
    world.controller.elect_uncleanly(2);
    world.publish_all();
    let wanted = world.ask_isr(2).unwrap();
    assert_eq!(wanted.members.iter().map(|(broker, _)| broker.0).collect::<Vec<_>>(), [2]);
    assert!(matches!(world.controller.alter(2, &wanted), IsrAnswer::Altered(_)));
    world.publish_all();
    assert_eq!(world.ask_isr(2), None);
}

#[test]
fn a_member_whose_broker_is_on_its_way_out_is_not_named() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.catch_up(2);
    // The leader's image says that 3 is fenced, and the partition's state does not say it yet.
    let (now, known) = (world.now, world.controller.clone());
    let eligible = |broker: BrokerId| known.eligible(broker).filter(|_| broker.0 != 3);
    let wanted = world.replica(1).wanted_isr(eligible, now).unwrap();
    assert_eq!(wanted.members.iter().map(|(broker, _)| broker.0).collect::<Vec<_>>(), [1, 2]);
    let stops = |broker: BrokerId| known.eligible(broker).filter(|_| broker.0 != 1);
    assert_eq!(world.replica(1).wanted_isr(stops, now), None, "who stops asks for nothing");
}

#[test]
fn a_fetch_without_a_registration_never_brings_anybody_in() {
    let mut world = with_one_out(1);
    let sent = world.ask(2).unwrap();
    let now = world.now;
    let fetch = ottla_replica::FollowerFetch {
        follower: BrokerId(2),
        broker_epoch: None,
        leader_epoch: sent.from.leader_epoch,
        offset: sent.from.offset,
        last_fetched_epoch: None,
        log_start: sent.from.log_start,
    };
    let node = world.node(1);
    assert!(node.replica.fetched(&fetch, node.log.ends(), |_| None, now).is_ok());
    assert_eq!(world.ask_isr(1), None);
}
