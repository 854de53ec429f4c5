//! Claims about log directories: where replicas lie, and what fails with a directory (KIP-858).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;

use common::{Cluster, dir, registration};
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_metadata::controller::replication::directories::AssignReplicasToDirs;
use ottla_metadata::record::{LOST_DIRECTORY, UNASSIGNED_DIRECTORY};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, TopicId};

const A: DirectoryId = DirectoryId([0xa0; 16]);
const B: DirectoryId = DirectoryId([0xb0; 16]);

/// Broker 1 with the directories A and B, broker 2 with one, and `t` with two partitions on both, led by 1 and by 2.
fn two() -> Cluster {
    let mut cluster = Cluster::new("");
    let first = Registration { directories: vec![A, B], ..registration(1, 60, None) };
    let decision = cluster.controller.register_broker(&first, false);
    cluster.commit(decision).unwrap();
    cluster.set_fenced(1, false);
    cluster.start(2, None);
    cluster.created("t", 2, 2);
    assert_eq!([cluster.t(0), cluster.t(1)], ["1@0 isr 1,2", "2@0 isr 2,1"]);
    cluster
}

fn assign(cluster: &mut Cluster, replicas: &[(DirectoryId, i32)]) -> Vec<Result<(), ErrorCode>> {
    let topic = cluster.image().topic_by_name("t").unwrap().id;
    let request = AssignReplicasToDirs {
        broker: BrokerId(1),
        epoch: cluster.epoch(1),
        replicas: replicas.iter().map(|(directory, index)| (*directory, topic, *index)).collect(),
    };
    let decision = cluster.controller.assign_replicas_to_dirs(&request);
    let answers = cluster.commit(decision).unwrap();
    answers.into_iter().map(|answer| answer.map_err(|refused| refused.error)).collect()
}

fn heartbeat_without(cluster: &mut Cluster, offline: &[DirectoryId]) {
    let heartbeat = Heartbeat { offline_directories: offline.to_vec(), ..cluster.heartbeat_of(1) };
    cluster.heartbeat(&heartbeat);
}

fn directory(cluster: &Cluster, index: i32, broker: i32) -> DirectoryId {
    cluster.partition("t", index).directory(BrokerId(broker)).unwrap()
}

#[test]
fn a_new_replica_lies_in_the_only_directory_or_is_not_assigned_yet() {
    let cluster = two();
    assert_eq!(directory(&cluster, 0, 1), UNASSIGNED_DIRECTORY);
    assert_eq!(directory(&cluster, 0, 2), dir(2));
}

#[test]
fn a_broker_says_where_its_replicas_lie() {
    let mut cluster = two();
    assert_eq!(assign(&mut cluster, &[(A, 0), (B, 1)]), [Ok(()), Ok(())]);
    assert_eq!((directory(&cluster, 0, 1), directory(&cluster, 1, 1)), (A, B));
    assert_eq!([cluster.t(0), cluster.t(1)], ["1@0 isr 1,2", "2@0 isr 2,1"], "nothing else changes");
    let before = cluster.log.len();
    assert_eq!(assign(&mut cluster, &[(A, 0)]), [Ok(())]);
    assert_eq!(cluster.log.len(), before);
}

#[test]
fn what_cannot_lie_there_is_refused_by_itself() {
    let mut cluster = two();
    cluster.topic_on_named("only2", &[2]);
    let only2 = cluster.image().topic_by_name("only2").unwrap().id;
    let t = cluster.image().topic_by_name("t").unwrap().id;
    let request = AssignReplicasToDirs {
        broker: BrokerId(1),
        epoch: cluster.epoch(1),
        replicas: vec![(A, TopicId([0x66; 16]), 0), (A, t, 7), (A, only2, 0), (A, t, 0)],
    };
    let decision = cluster.controller.assign_replicas_to_dirs(&request);
    let answers = cluster.commit(decision).unwrap();
    let errors: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|r| r.error)).collect();
    assert_eq!(
        errors,
        [
            Err(ErrorCode::UnknownTopicId),
            Err(ErrorCode::UnknownTopicOrPartition),
            Err(ErrorCode::NotLeaderOrFollower),
            Ok(())
        ]
    );
    let stale = AssignReplicasToDirs { epoch: BrokerEpoch(99), ..request };
    let refused = cluster.controller.assign_replicas_to_dirs(&stale).answer.unwrap_err();
    assert_eq!(refused.error, ErrorCode::StaleBrokerEpoch);
}

#[test]
fn a_failed_directory_takes_its_replicas_offline_and_no_others() {
    let mut cluster = two();
    assign(&mut cluster, &[(A, 0), (B, 1)]);
    heartbeat_without(&mut cluster, &[A]);
    assert_eq!([cluster.t(0), cluster.t(1)], ["2@1 isr 2", "2@0 isr 2,1"]);
    let broker = cluster.image().broker(BrokerId(1)).unwrap();
    assert_eq!((broker.registration.directories.as_slice(), broker.fenced), (&[B][..], false));
    let before = cluster.log.len();
    heartbeat_without(&mut cluster, &[A]);
    assert_eq!(cluster.log.len(), before, "it is known");
    let request = cluster.update(0, &[2, 1]);
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::IneligibleReplica);
}

#[test]
fn a_directory_that_the_same_run_does_not_name_any_more_has_failed_too() {
    let mut cluster = two();
    assign(&mut cluster, &[(A, 0), (B, 1)]);
    let again = Registration { directories: vec![B], ..registration(1, 60, None) };
    let decision = cluster.controller.register_broker(&again, true);
    assert_eq!(cluster.commit(decision), Ok(cluster.epoch(1)));
    assert_eq!([cluster.t(0), cluster.t(1)], ["2@1 isr 2", "2@0 isr 2,1"]);
    assert_eq!(cluster.image().broker(BrokerId(1)).unwrap().registration.directories, [B]);
}

#[test]
fn what_lay_in_a_failed_directory_is_lost_and_not_eligible() {
    let mut cluster = two();
    assign(&mut cluster, &[(A, 0)]);
    cluster.set_isr(0, &[1]);
    heartbeat_without(&mut cluster, &[A]);
    assert_eq!(cluster.t(0), "-@1 last 1", "the only one in sync");
    assert!(
        cluster.controller.elect_leaderless(usize::MAX).records.is_empty(),
        "1 is alive, its replica is not"
    );
}

#[test]
fn a_replica_that_is_said_to_lie_in_a_failed_directory_is_offline() {
    let mut cluster = two();
    assert_eq!(assign(&mut cluster, &[(LOST_DIRECTORY, 0)]), [Ok(())]);
    assert_eq!(cluster.t(0), "2@1 isr 2");
    assert_eq!(assign(&mut cluster, &[(B, 0)]), [Ok(())]);
    cluster.set_isr(0, &[2, 1]);
    assert_eq!(cluster.t(0), "2@1 isr 2,1", "it was made anew in another one");
}

#[test]
fn a_replica_that_cannot_be_opened_is_not_led_by_its_broker_until_it_starts_again() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 2, 1);
    let topic = cluster.image().topic_by_name("t").unwrap().id;
    let lost = BTreeSet::from([(topic, 0), (TopicId([0x55; 16]), 0)]);
    let decision = cluster.controller.take_offline(BrokerId(1), cluster.epoch(1), &lost);
    cluster.commit(decision).unwrap();
    assert_eq!([cluster.t(0), cluster.t(1)], ["-@1 last 1", "1@0 isr 1"]);
    assert!(cluster.controller.elect_leaderless(usize::MAX).records.is_empty());
    let stale = cluster.controller.take_offline(BrokerId(1), BrokerEpoch(77), &lost);
    assert_eq!(stale.answer.unwrap_err().error, ErrorCode::StaleBrokerEpoch);
    cluster.restart_clean(1);
    cluster.set_fenced(1, false);
    assert_eq!([cluster.t(0), cluster.t(1)], ["1@2 isr 1 recovering", "1@2 isr 1"]);
}

#[test]
fn who_led_last_and_lost_its_disk_gives_way_to_who_has_a_log() {
    const NEW: DirectoryId = DirectoryId([0xc0; 16]);
    let mut cluster = two();
    assign(&mut cluster, &[(A, 0)]);
    cluster.restart_unclean(2);
    cluster.set_fenced(2, false);
    let replaced = Registration {
        directories: vec![NEW],
        last_run: ottla_metadata::record::LastRun::Unclean,
        ..registration(1, 61, None)
    };
    let decision = cluster.controller.register_broker(&replaced, false);
    cluster.commit(decision).unwrap();
    cluster.set_fenced(1, false);
    assert!(cluster.t(0).starts_with("-@"), "nobody is known to hold everything: {}", cluster.t(0));
    assert!(cluster.t(0).ends_with("last 1"), "{}", cluster.t(0));
    assert_eq!(assign(&mut cluster, &[(NEW, 0)]), [Ok(())]);
    assert!(cluster.t(0).starts_with("2@"), "broker 1 has nothing: {}", cluster.t(0));
}

#[test]
fn who_led_last_and_is_the_only_replica_leads_again_even_with_a_new_disk() {
    const NEW: DirectoryId = DirectoryId([0xc0; 16]);
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    assign(&mut cluster, &[(dir(1), 0)]);
    let replaced = Registration {
        directories: vec![NEW],
        last_run: ottla_metadata::record::LastRun::Unclean,
        ..registration(1, 61, None)
    };
    let decision = cluster.controller.register_broker(&replaced, false);
    cluster.commit(decision).unwrap();
    cluster.set_fenced(1, false);
    assert_eq!(assign(&mut cluster, &[(NEW, 0)]), [Ok(())]);
    assert!(cluster.t(0).starts_with("1@"), "{}", cluster.t(0));
}
