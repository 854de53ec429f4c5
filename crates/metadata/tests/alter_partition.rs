//! Claims about AlterPartition: who may change an ISR, from which state, to what (KIP-497, KIP-841, KIP-903, KIP-966).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::Cluster;
use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_metadata::record::{LeaderRecovery, PartitionEpoch};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, TopicId};

/// Three brokers, and `t` on all of them, led by 1.
fn three(properties: &str) -> Cluster {
    let mut cluster = Cluster::new(properties);
    for id in 1..=3 {
        cluster.start(id, None);
    }
    cluster.topic_on(&[1, 2, 3]);
    cluster
}

/// Refuses a request that is otherwise right, changed by `change`, and shows that nothing was written.
fn refused(cluster: &mut Cluster, isr: &[i32], change: impl FnOnce(&mut PartitionUpdate)) -> ErrorCode {
    let mut request = cluster.update(0, isr);
    change(&mut request.partitions[0]);
    let before = cluster.log.len();
    let (error, message) = cluster.alter(&request).unwrap_err();
    assert_eq!(cluster.log.len(), before);
    assert!(!message.is_empty());
    error
}

#[test]
fn a_leader_shrinks_and_expands_its_isr_without_a_new_leader_epoch() {
    let mut cluster = three("");
    let request = cluster.update(0, &[1, 3]);
    let state = cluster.alter(&request).unwrap();
    assert_eq!((state.leader_epoch.0, state.partition_epoch.0), (0, 1));
    assert_eq!(cluster.t(0), "1@0 isr 1,3");
    cluster.set_isr(0, &[1, 3, 2]);
    assert_eq!(cluster.t(0), "1@0 isr 1,3,2");
    assert_eq!(cluster.partition("t", 0).partition_epoch, PartitionEpoch(2));
}

#[test]
fn asking_for_what_is_so_writes_nothing_and_is_answered() {
    let mut cluster = three("");
    let request = cluster.update(0, &[1, 2, 3]);
    let decision = cluster.controller.alter_partition(&request);
    assert!(decision.records.is_empty());
    assert_eq!(decision.answer.unwrap()[0].as_ref().unwrap().state.partition_epoch, PartitionEpoch(0));
}

#[test]
fn a_request_from_another_state_than_the_present_one_is_refused() {
    let mut cluster = three("");
    cluster.set_isr(0, &[1, 2]);
    cluster.set_fenced(1, true);
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "2@1 isr 2");
    for (leader_epoch, partition_epoch, error) in [
        (2, 2, ErrorCode::NotController),
        (1, 3, ErrorCode::NotController),
        (0, 2, ErrorCode::FencedLeaderEpoch),
        (1, 1, ErrorCode::InvalidUpdateVersion),
    ] {
        let found = refused(&mut cluster, &[2, 3], |update| {
            update.leader_epoch = LeaderEpoch(leader_epoch);
            update.partition_epoch = PartitionEpoch(partition_epoch);
        });
        assert_eq!(found, error, "{leader_epoch} {partition_epoch}");
    }
    cluster.set_isr(0, &[2, 3]);
}

#[test]
fn the_same_change_is_made_once() {
    let mut cluster = three("");
    let request = cluster.update(0, &[1, 2]);
    cluster.alter(&request).unwrap();
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::InvalidUpdateVersion);
    let twice = cluster.update(0, &[1]);
    let request = AlterPartition {
        partitions: [twice.partitions.clone(), twice.partitions].concat(),
        ..cluster.update(0, &[1])
    };
    let decision = cluster.controller.alter_partition(&request);
    let answers = cluster.commit(decision).unwrap();
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().error, ErrorCode::InvalidUpdateVersion);
}

#[test]
fn an_earlier_run_of_the_leader_changes_nothing() {
    let mut cluster = three("");
    let request = cluster.update(0, &[1, 2]);
    let stale = AlterPartition { epoch: BrokerEpoch(request.epoch.0 + 50), ..request.clone() };
    assert_eq!(cluster.alter(&stale).unwrap_err().0, ErrorCode::StaleBrokerEpoch);
    let unknown = AlterPartition { broker: BrokerId(9), ..request };
    assert_eq!(cluster.alter(&unknown).unwrap_err().0, ErrorCode::BrokerIdNotRegistered);
}

#[test]
fn only_the_leader_changes_the_isr() {
    let mut cluster = three("");
    let request =
        AlterPartition { broker: BrokerId(2), epoch: cluster.epoch(2), ..cluster.update(0, &[1, 2]) };
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::InvalidRequest);
}

#[test]
fn an_isr_is_of_replicas_each_once_with_the_leader_among_them() {
    let mut cluster = three("");
    cluster.start(4, None);
    for isr in [&[2, 3][..], &[], &[1, 4], &[1, 2, 2]] {
        assert_eq!(refused(&mut cluster, isr, |_| ()), ErrorCode::InvalidRequest, "{isr:?}");
    }
}

#[test]
fn who_is_not_there_has_no_isr() {
    let mut cluster = three("");
    let topic = refused(&mut cluster, &[1], |update| update.topic = TopicId([0x77; 16]));
    assert_eq!(topic, ErrorCode::UnknownTopicId);
    let index = refused(&mut cluster, &[1], |update| update.index = 5);
    assert_eq!(index, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_fenced_broker_is_ineligible() {
    let mut cluster = three("");
    cluster.set_fenced(3, true);
    assert_eq!(refused(&mut cluster, &[1, 2, 3], |_| ()), ErrorCode::IneligibleReplica);
}

#[test]
fn a_follower_that_restarted_since_the_leader_saw_it_is_ineligible() {
    let mut cluster = three("");
    cluster.set_isr(0, &[1, 2]);
    let request = cluster.update(0, &[1, 2, 3]);
    cluster.restart_unclean(3);
    cluster.set_fenced(3, false);
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::IneligibleReplica);
    let unchecked = |update: &mut PartitionUpdate| update.isr.iter_mut().for_each(|(_, epoch)| *epoch = None);
    let mut request = request;
    unchecked(&mut request.partitions[0]);
    assert!(cluster.alter(&request).is_ok(), "old requests cannot tell");
}

#[test]
fn an_unregistered_broker_is_ineligible() {
    let mut cluster = three("");
    let request = cluster.update(0, &[1, 2, 3]);
    let decision = cluster.controller.unregister_broker(BrokerId(3));
    cluster.commit(decision).unwrap();
    let mut request = AlterPartition { partitions: cluster.update(0, &[1, 2]).partitions, ..request };
    request.partitions[0].isr.push((BrokerId(3), None));
    assert_eq!(cluster.alter(&request).unwrap_err().0, ErrorCode::IneligibleReplica);
}

#[test]
fn replicas_that_leave_too_small_an_isr_stay_eligible_until_it_is_large_enough() {
    let mut cluster = three("min.insync.replicas=2");
    cluster.set_isr(0, &[1, 2]);
    assert_eq!(cluster.t(0), "1@0 isr 1,2", "two are enough, so 3 may miss what they commit");
    cluster.set_isr(0, &[1]);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 2");
    cluster.set_isr(0, &[1, 3]);
    assert_eq!(cluster.t(0), "1@0 isr 1,3", "now 2 may miss what they commit");
}

#[test]
fn more_than_the_replicas_cannot_be_in_sync() {
    let mut cluster = Cluster::new("min.insync.replicas=3");
    cluster.start(1, None);
    cluster.start(2, None);
    cluster.topic_on(&[1, 2]);
    cluster.set_isr(0, &[1]);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 2");
    cluster.set_isr(0, &[1, 2]);
    assert_eq!(cluster.t(0), "1@0 isr 1,2");
}

/// One that leads `t` uncleanly, and is recovering.
fn recovering() -> Cluster {
    let mut cluster = three("");
    cluster.set_isr(0, &[1]);
    cluster.restart_unclean(1);
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "1@2 isr 1 recovering");
    cluster
}

#[test]
fn nobody_joins_a_leader_that_is_recovering() {
    let mut cluster = recovering();
    let recovering = |update: &mut PartitionUpdate| update.recovery = LeaderRecovery::Recovering;
    assert_eq!(refused(&mut cluster, &[1, 2], recovering), ErrorCode::InvalidRequest);
    cluster.set_isr(0, &[1]);
    assert_eq!(cluster.t(0), "1@2 isr 1");
    assert_eq!(refused(&mut cluster, &[1], recovering), ErrorCode::InvalidRequest, "it has recovered");
    cluster.set_isr(0, &[1, 2]);
}

#[test]
fn a_recovering_leader_says_that_it_has_and_takes_others_in_at_once() {
    let mut cluster = recovering();
    cluster.set_isr(0, &[1, 2]);
    assert_eq!(cluster.t(0), "1@2 isr 1,2");
}
