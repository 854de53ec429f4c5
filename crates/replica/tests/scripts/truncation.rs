//! Where a follower's log parts from its leader's, and what is done then (KIP-101, 279, 595; KAFKA-14704, 9491).

use ottla_replica::{Step, Truncation};
use ottla_types::Offset;

use crate::world::World;

/// The records of both, offset by offset.
fn assert_same_logs(world: &World, one: i32, other: i32) {
    assert_eq!(world.nodes[&one].log.records, world.nodes[&other].log.records);
}

/// KIP-101, its first story.
pub(crate) fn a_follower_cuts_its_log_where_the_logs_part_not_at_its_watermark() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 1);
    let _ = world.fetch(2);
    let sent = world.ask(2).unwrap();
    // The leader knows that 2 has the record, which is committed by that; and 2 has not heard of it when it restarts.
    let _lost = world.serve(&sent);
    assert_eq!((world.watermark(1), world.watermark(2)), (1, 0));
    world.restart(2, 0);
    let _ = world.fetch(2);
    assert_eq!(world.end(2), 1, "it does not know that this is committed, and it is");
    // So it can lead.
    world.fence(1);
    world.publish(2);
    assert_eq!((world.controller.leader(), world.end(2), world.watermark(2)), (Some(2), 1, 1));
}

/// KIP-101, its second story: the ends are the same.
pub(crate) fn records_of_an_epoch_that_the_leader_has_not_are_cut_though_it_is_as_long() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 3);
    world.catch_up(2);
    // 1 appends what nobody copies; 2 leads, and appends as much.
    world.append(1, 2);
    world.elect(2);
    world.append(2, 2);
    let step = world.fetch(1);
    assert_eq!(step, Step::Truncate(Truncation { to: Offset(3), loses_committed: false }));
    world.catch_up(1);
    assert_same_logs(&world, 1, 2);
    assert_eq!(world.watermark(2), 5);
}

/// KIP-279: leaders change faster than followers copy.
pub(crate) fn after_fast_elections_the_log_is_cut_by_epochs_until_they_agree() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 5);
    world.catch_up(2);
    world.elect(2);
    world.append(2, 7);
    world.elect(1);
    world.append(1, 10);
    world.elect(2);
    world.append(2, 1);
    // 1 has epoch 0 up to 5 and epoch 2 up to 15; its leader has epoch 0 up to 5, epoch 1 up to 12, then epoch 3.
    assert_eq!((world.end(1), world.end(2)), (15, 13));
    world.catch_up(1);
    assert_same_logs(&world, 1, 2);
    assert_eq!(world.nodes[&1].log.epochs, [(0, 0), (1, 5), (3, 12)]);
}

/// KIP-595: before the logs are known to agree, an offset says nothing of what is below it.
pub(crate) fn a_fetch_that_diverges_acknowledges_nothing() {
    let mut world = World::new(&[1, 2], 2);
    world.append(1, 5);
    world.catch_up(2);
    world.append(1, 5);
    world.elect(2);
    world.append(2, 5);
    assert!(matches!(world.fetch(1), Step::Truncate(_)));
    assert_eq!((world.state(2, 1).end, world.watermark(2)), (None, 5));
    world.catch_up(1);
    assert_eq!((world.watermark(2), world.watermark(1)), (10, 10));
    assert_same_logs(&world, 1, 2);
}

/// KAFKA-14704: the answer that tells of the divergence also brings a watermark.
pub(crate) fn an_ex_leader_does_not_take_the_new_watermark_before_it_has_cut_its_log() {
    let mut world = World::new(&[1, 2, 3], 2);
    world.append(1, 3);
    world.catch_up(2);
    world.catch_up(3);
    world.catch_up(2);
    assert_eq!(world.watermark(1), 3);
    world.append(1, 5);
    // 1 is believed dead: 2 leads, and commits something else with 3.
    world.fence(1);
    world.publish(2);
    world.publish(3);
    world.append(2, 5);
    world.catch_up(3);
    assert_eq!(world.watermark(2), 8);
    world.publish(1);
    assert!(matches!(world.fetch(1), Step::Truncate(_)));
    assert_eq!((world.end(1), world.watermark(1)), (3, 3), "what is committed there was not in its log");
    world.catch_up(1);
    assert_eq!(world.watermark(1), 8);
}

/// KAFKA-9491: it leads before anybody told it of a watermark.
pub(crate) fn a_replica_that_begins_at_the_leaders_start_has_its_watermark_there() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 100);
    world.catch_up(2);
    world.fence(2);
    world.publish_all();
    world.node(1).log.delete_below(60);
    // 2 comes back without its log.
    world.node(2).log.restart_at(0);
    world.restart(2, 0);
    assert_eq!(world.fetch(2), Step::RestartAt(Offset(60)));
    assert_eq!(world.watermark(2), 60);
    world.controller.elect_uncleanly(2);
    world.publish_all();
    assert_eq!((world.end(2), world.watermark(2)), (60, 60));
}

#[test]
fn an_epoch_that_began_without_a_record_is_cut_too() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 3);
    world.catch_up(2);
    world.catch_up(3);
    world.elect(2);
    world.elect(3);
    // 2 has noted epoch 1 at the end of its log, and 3 never heard a record of it.
    assert_eq!(world.fetch(2), Step::Truncate(Truncation { to: Offset(3), loses_committed: false }));
    assert_eq!(world.nodes[&2].log.epochs, [(0, 0)]);
    world.append(3, 1);
    world.catch_up(2);
    assert_same_logs(&world, 2, 3);
}

#[test]
fn a_follower_whose_epochs_are_all_newer_than_the_leaders_keeps_nothing_of_them() {
    let mut world = World::new(&[1, 2], 1);
    world.elect(2);
    world.append(2, 4);
    world.elect(1);
    world.append(1, 2);
    world.catch_up(2);
    assert_same_logs(&world, 1, 2);
    assert_eq!(world.nodes[&2].log.epochs, [(2, 0)]);
}

#[test]
fn after_an_unclean_election_it_is_said_that_committed_records_go() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 5);
    world.catch_up(2);
    world.fence(2);
    world.publish_all();
    world.append(1, 5);
    assert_eq!(world.watermark(1), 10);
    world.controller.elect_uncleanly(2);
    world.publish_all();
    world.append(2, 1);
    let step = world.fetch(1);
    assert_eq!(step, Step::Truncate(Truncation { to: Offset(5), loses_committed: true }));
    assert_eq!(world.watermark(1), 5, "the watermark goes with what was below it");
    assert_eq!(world.changes(1).high_watermark, Some(Offset(5)));
    world.catch_up(1);
    assert_same_logs(&world, 1, 2);
}

#[test]
fn a_follower_deletes_what_its_leader_deleted_as_far_as_it_is_committed() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 10);
    world.catch_up(2);
    world.node(1).log.delete_below(4);
    let _ = world.fetch(2);
    assert_eq!(world.nodes[&2].log.start, 4);
    assert_eq!(world.end(2), 10);
}

#[test]
fn a_follower_that_is_empty_above_its_leaders_end_begins_at_the_leaders_start() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 3);
    world.node(2).log.restart_at(50);
    assert_eq!(world.fetch(2), Step::RestartAt(Offset(0)));
    world.catch_up(2);
    assert_same_logs(&world, 1, 2);
}
