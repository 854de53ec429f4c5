//! Claims about brokers: registration, fencing, leaderships, producer ids.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, ids, registration};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, ProducerId};

#[test]
fn a_broker_starts_fenced_with_an_epoch_above_all_earlier_ones() {
    let mut cluster = Cluster::new("");
    let epochs = [cluster.register(1, None), cluster.register(2, Some("a")), cluster.register(1, None)];
    assert_eq!(epochs.map(|epoch| epoch.0), [0, 1, 2]);
    let broker = cluster.image().broker(BrokerId(1)).unwrap();
    assert!(broker.fenced);
    assert_eq!(broker.registration.epoch, BrokerEpoch(2));
    assert_eq!(&*broker.registration.endpoints[0].host, "localhost");
}

#[test]
fn a_registration_that_is_asked_for_again_gets_the_same_epoch() {
    let mut cluster = Cluster::new("");
    let same = registration(1, 7, None);
    let first = cluster.controller.register_broker(&same, false);
    let first = cluster.commit(first).unwrap();
    let again = cluster.controller.register_broker(&same, false);
    assert!(again.records.is_empty());
    assert_eq!(again.answer, Ok(first));
}

#[test]
fn what_does_not_fit_into_a_record_is_refused() {
    let mut cluster = Cluster::new("");
    for broken in [registration(-1, 1, None), registration(1, 1, Some(&"r".repeat(65_536)))] {
        let refused = cluster.controller.register_broker(&broken, false).answer.unwrap_err();
        assert_eq!(refused.error, ErrorCode::InvalidRequest);
    }
}

#[test]
fn only_the_newest_registration_speaks_for_a_broker() {
    let mut cluster = Cluster::new("");
    let old = cluster.start(1, None);
    let new = cluster.register(1, None);
    let stale = cluster.controller.set_fenced(BrokerId(1), old, false);
    assert_eq!(stale.answer.unwrap_err().error, ErrorCode::StaleBrokerEpoch);
    let unknown = cluster.controller.set_fenced(BrokerId(2), new, false);
    assert_eq!(unknown.answer.unwrap_err().error, ErrorCode::BrokerIdNotRegistered);
    let stale = cluster.controller.allocate_producer_ids(BrokerId(1), old);
    assert_eq!(stale.answer.unwrap_err().error, ErrorCode::StaleBrokerEpoch);
}

#[test]
fn a_fenced_leader_hands_over_to_the_next_replica_in_sync() {
    let mut cluster = Cluster::of(3);
    cluster.created("t", 1, 3);
    cluster.set_fenced(1, true);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, state.leader_epoch.0), (Some(BrokerId(2)), 1));
    assert_eq!(ids(&state.isr), [2, 3]);
    cluster.set_fenced(1, false);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, ids(&state.isr)), (Some(BrokerId(2)), vec![2, 3]), "it must catch up first");
}

#[test]
fn a_fenced_follower_leaves_the_isr_and_the_leader_stays() {
    let mut cluster = Cluster::of(3);
    cluster.created("t", 1, 3);
    cluster.set_fenced(2, true);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, state.leader_epoch.0), (Some(BrokerId(1)), 0));
    assert_eq!((ids(&state.isr), state.partition_epoch.0), (vec![1, 3], 1));
}

#[test]
fn the_last_replica_in_sync_is_eligible_when_it_is_fenced_and_leads_again_when_it_is_back() {
    let mut cluster = Cluster::of(2);
    cluster.created("t", 1, 2);
    cluster.set_fenced(2, true);
    cluster.set_fenced(1, true);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, ids(&state.isr), ids(&state.elr)), (None, vec![], vec![1]));
    cluster.set_fenced(2, false);
    assert_eq!(cluster.partition("t", 0).leader, None, "what is not in sync does not lead");
    cluster.set_fenced(1, false);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, ids(&state.isr), ids(&state.elr)), (Some(BrokerId(1)), vec![1], vec![]));
}

#[test]
fn a_restarted_broker_leads_what_it_alone_holds_under_a_new_leader_epoch() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    let before = cluster.partition("t", 0).leader_epoch;
    cluster.start(1, None);
    let state = cluster.partition("t", 0);
    assert_eq!((state.leader, ids(&state.isr)), (Some(BrokerId(1)), vec![1]));
    assert!(state.leader_epoch > before, "its log may have lost its end, and readers must be able to tell");
}

#[test]
fn fencing_what_is_fenced_changes_nothing() {
    let mut cluster = Cluster::new("");
    let epoch = cluster.register(1, None);
    let decision = cluster.controller.set_fenced(BrokerId(1), epoch, true);
    assert!(decision.records.is_empty() && decision.answer.is_ok());
}

#[test]
fn every_block_of_producer_ids_is_given_once() {
    let mut cluster = Cluster::of(1);
    let epoch = cluster.image().broker(BrokerId(1)).unwrap().registration.epoch;
    let blocks: Vec<_> = (0..3)
        .map(|_| {
            let decision = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
            cluster.commit(decision).unwrap()
        })
        .collect();
    let firsts: Vec<_> = blocks.iter().map(|block| (block.first.0, block.len)).collect();
    assert_eq!(firsts, [(0, 1000), (1000, 1000), (2000, 1000)]);
    assert_eq!(cluster.image().next_producer_id(), ProducerId(3000));
}

#[test]
fn a_block_whose_append_fails_is_given_again() {
    let mut cluster = Cluster::of(1);
    let epoch = cluster.image().broker(BrokerId(1)).unwrap().registration.epoch;
    let lost = cluster.controller.allocate_producer_ids(BrokerId(1), epoch).answer.unwrap();
    cluster.controller.abandon();
    let given = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
    assert_eq!(cluster.commit(given).unwrap(), lost);
}
