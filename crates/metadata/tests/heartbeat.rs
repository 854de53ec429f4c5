//! Claims about heartbeats: when a broker is unfenced, and when it may stop (KIP-631, KIP-841).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::Cluster;
use ottla_metadata::Controller;
use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, Offset};
use std::sync::Arc;

#[test]
fn a_broker_is_unfenced_when_it_has_replayed_its_own_registration() {
    let mut cluster = Cluster::of(1);
    cluster.register(2, None);
    let registered_at = cluster.image().offset().unwrap();
    cluster.created("later", 1, 1);
    let behind = Heartbeat { metadata_offset: Offset(registered_at.0 - 1), ..cluster.heartbeat_of(2) };
    let answer = cluster.heartbeat(&behind);
    assert_eq!((answer.is_caught_up, answer.is_fenced), (false, true));
    let there = Heartbeat { metadata_offset: registered_at, ..cluster.heartbeat_of(2) };
    let answer = cluster.heartbeat(&there);
    assert_eq!((answer.is_caught_up, answer.is_fenced), (true, false));
}

#[test]
fn a_registration_that_is_not_committed_is_replayed_by_nobody() {
    let mut cluster = Cluster::of(1);
    let decision = cluster.controller.register_broker(&common::registration(2, 50, None), false);
    let heartbeat = Heartbeat {
        id: BrokerId(2),
        epoch: *decision.answer.as_ref().unwrap(),
        metadata_offset: Offset(i64::MAX),
        want_fence: false,
        want_shut_down: false,
        offline_directories: Vec::new(),
    };
    let early = cluster.controller.heartbeat(&heartbeat);
    assert!(early.records.is_empty());
    assert!(early.answer.unwrap().is_fenced);
    cluster.commit(decision).unwrap();
    assert!(!cluster.heartbeat(&heartbeat).is_fenced);
}

#[test]
fn a_new_controller_unfences_nobody_who_is_behind_what_it_started_from() {
    let mut cluster = Cluster::of(1);
    cluster.register(2, None);
    let registered_at = cluster.image().offset().unwrap();
    cluster.created("later", 1, 1);
    cluster.controller = Controller::new(cluster.image().clone(), Arc::default());
    let heartbeat = Heartbeat { metadata_offset: registered_at, ..cluster.heartbeat_of(2) };
    assert!(cluster.heartbeat(&heartbeat).is_fenced);
    let heartbeat = cluster.heartbeat_of(2);
    assert!(!cluster.heartbeat(&heartbeat).is_fenced);
}

#[test]
fn a_heartbeat_of_another_registration_is_refused() {
    let mut cluster = Cluster::of(1);
    for (id, epoch, error) in [
        (1, BrokerEpoch(99), ErrorCode::StaleBrokerEpoch),
        (2, BrokerEpoch(0), ErrorCode::BrokerIdNotRegistered),
    ] {
        let heartbeat = Heartbeat { id: BrokerId(id), epoch, ..cluster.heartbeat_of(1) };
        assert_eq!(cluster.controller.heartbeat(&heartbeat).answer.unwrap_err().error, error);
    }
}

#[test]
fn a_broker_that_wants_to_be_fenced_is() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2]);
    let heartbeat = Heartbeat { want_fence: true, ..cluster.heartbeat_of(1) };
    assert!(cluster.heartbeat(&heartbeat).is_fenced);
    assert_eq!(cluster.t(0), "2@1 isr 2");
    assert!(cluster.heartbeat(&heartbeat).is_fenced, "and stays it");
}

#[test]
fn a_leader_stops_when_every_active_broker_knows_who_leads_instead() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3]);
    for id in [1, 2, 3] {
        let heartbeat = cluster.heartbeat_of(id);
        cluster.heartbeat(&heartbeat);
    }
    let stopping = |cluster: &Cluster| Heartbeat { want_shut_down: true, ..cluster.heartbeat_of(1) };
    let heartbeat = stopping(&cluster);
    let answer = cluster.heartbeat(&heartbeat);
    assert_eq!((answer.in_controlled_shutdown, answer.should_shut_down), (true, false));
    assert_eq!(cluster.t(0), "2@1 isr 2,3");
    let heartbeat = stopping(&cluster);
    assert!(!cluster.heartbeat(&heartbeat).should_shut_down, "2 and 3 may still send clients to it");
    let heartbeat = cluster.heartbeat_of(2);
    cluster.heartbeat(&heartbeat);
    let heartbeat = stopping(&cluster);
    assert!(!cluster.heartbeat(&heartbeat).should_shut_down, "and so may 3");
    let heartbeat = cluster.heartbeat_of(3);
    cluster.heartbeat(&heartbeat);
    let heartbeat = stopping(&cluster);
    let answer = cluster.heartbeat(&heartbeat);
    assert_eq!((answer.should_shut_down, answer.is_fenced), (true, true));
    let heartbeat = cluster.heartbeat_of(1);
    assert!(cluster.heartbeat(&heartbeat).is_fenced, "it comes back with a new registration only");
    cluster.restart_clean(1);
    let heartbeat = cluster.heartbeat_of(1);
    assert!(!cluster.heartbeat(&heartbeat).is_fenced);
    assert!(!cluster.image().broker(BrokerId(1)).unwrap().in_controlled_shutdown);
}

#[test]
fn who_leads_nothing_stops_at_once() {
    let mut cluster = Cluster::of(2);
    cluster.topic_on(&[1, 2]);
    let heartbeat = Heartbeat { want_shut_down: true, ..cluster.heartbeat_of(2) };
    let answer = cluster.heartbeat(&heartbeat);
    assert_eq!((answer.should_shut_down, answer.is_fenced), (true, true));
    assert_eq!(cluster.t(0), "1@0 isr 1");
}

#[test]
fn a_fenced_broker_stops_at_once() {
    let mut cluster = Cluster::of(1);
    cluster.set_fenced(1, true);
    let heartbeat = Heartbeat { want_shut_down: true, ..cluster.heartbeat_of(1) };
    assert!(cluster.heartbeat(&heartbeat).should_shut_down);
}

#[test]
fn a_broker_that_shuts_down_joins_no_isr_and_gets_replicas_only_where_others_are_too_few() {
    let mut cluster = Cluster::of(3);
    cluster.topic_on(&[1, 2, 3]);
    let heartbeat = Heartbeat { want_shut_down: true, ..cluster.heartbeat_of(1) };
    cluster.heartbeat(&heartbeat);
    let request = cluster.update(0, &[2, 3, 1]);
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::IneligibleReplica);
    cluster.created("u", 4, 2);
    assert!(cluster.replicas("u").iter().all(|replicas| !replicas.contains(&1)));
    // A cluster of as many brokers as a topic has replicas takes new topics while one of them is restarted.
    cluster.created("v", 4, 3);
    for index in 0..4 {
        let state = cluster.partition("v", index);
        assert_eq!(state.replicas.last(), Some(&BrokerId(1)));
        assert_eq!(*state.isr, state.replicas[..2]);
        assert_eq!(state.leader, Some(state.replicas[0]));
    }
}
