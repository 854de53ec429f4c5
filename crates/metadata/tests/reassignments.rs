//! Claims about moving replicas (KIP-455, KIP-860).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, dir, ids, on_topic};
use ottla_metadata::controller::configs::ConfigOp;
use ottla_metadata::controller::replication::reassign::{AlterReassignments, WantedReplicas};
use ottla_types::{BrokerId, ErrorCode};

/// Brokers 1 to 4, and `t` on 1, 2 and 3.
fn four() -> Cluster {
    let mut cluster = Cluster::of(4);
    cluster.topic_on(&[1, 2, 3]);
    cluster
}

fn request(replicas: Option<&[i32]>, allow: bool) -> AlterReassignments {
    let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
    AlterReassignments {
        allow_replication_factor_change: allow,
        partitions: vec![WantedReplicas { topic: "t".into(), index: 0, replicas }],
    }
}

fn ask(cluster: &mut Cluster, request: &AlterReassignments) -> Result<(), (ErrorCode, String)> {
    let decision = cluster.controller.alter_partition_reassignments(request);
    cluster.commit(decision).remove(0).map_err(|refused| (refused.error, refused.message))
}

fn reassign(cluster: &mut Cluster, replicas: &[i32]) {
    ask(cluster, &request(Some(replicas), true)).unwrap();
}

fn replicas(cluster: &Cluster) -> Vec<i32> {
    ids(&cluster.partition("t", 0).replicas)
}

#[test]
fn replicas_move_when_all_that_come_are_in_sync() {
    let mut cluster = four();
    reassign(&mut cluster, &[4, 2, 3]);
    assert_eq!(
        (cluster.t(0).as_str(), replicas(&cluster)),
        ("1@0 isr 1,2,3 adding 4 removing 1", vec![4, 2, 3, 1])
    );
    assert_eq!(cluster.partition("t", 0).directories.last(), Some(&dir(1)));
    let ongoing = cluster.image().reassignments(None);
    assert_eq!((ongoing.len(), ids(&ongoing[0].replicas)), (1, vec![4, 2, 3, 1]));
    let named = |name: &str, index| cluster.image().reassignments(Some(&[(name.to_owned(), index)]));
    assert_eq!((named("t", 0).len(), named("t", 1).len(), named("u", 0).len()), (1, 0, 0));
    let request = cluster.update(0, &[1, 2, 3, 4]);
    let (error, _) = cluster.alter(&request).unwrap_err();
    assert_eq!(error, ErrorCode::NewLeaderElected, "the leader that asked is no replica any more");
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("4@1 isr 2,3,4", vec![4, 2, 3]));
    assert_eq!(cluster.partition("t", 0).directories[0], dir(4));
    assert!(cluster.image().reassignments(None).is_empty());
    assert!(cluster.image().hosted(BrokerId(1)).is_none());
}

#[test]
fn a_leader_that_stays_leads_on_under_a_new_epoch_so_that_who_left_is_told() {
    let mut cluster = four();
    reassign(&mut cluster, &[1, 2, 4]);
    let request = cluster.update(0, &[1, 2, 3, 4]);
    let state = cluster.alter(&request).unwrap();
    assert_eq!(state.leader_epoch.0, 1);
    assert_eq!(cluster.t(0), "1@1 isr 1,2,4");
}

#[test]
fn a_target_that_is_not_in_sync_yet_keeps_those_that_go() {
    let mut cluster = four();
    reassign(&mut cluster, &[4, 2, 3]);
    cluster.set_isr(0, &[1, 2, 4]);
    assert_eq!(cluster.t(0), "1@0 isr 1,2,4 adding 4 removing 1", "3 stays, and is not in sync");
    cluster.set_fenced(1, true);
    assert_eq!(cluster.t(0), "4@1 isr 2,4 adding 4 removing 1");
}

#[test]
fn another_order_is_had_at_once() {
    let mut cluster = four();
    reassign(&mut cluster, &[3, 2, 1]);
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("1@0 isr 1,2,3", vec![3, 2, 1]));
    assert_eq!(cluster.partition("t", 0).directories[..], [dir(3), dir(2), dir(1)]);
    assert_eq!(cluster.image().not_led_by_preferred().len(), 1);
}

#[test]
fn fewer_replicas_are_had_at_once_and_the_leader_moves_if_it_goes() {
    let mut cluster = four();
    reassign(&mut cluster, &[3, 2]);
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("3@1 isr 2,3", vec![3, 2]));
}

#[test]
fn the_number_of_replicas_changes_only_where_that_is_allowed() {
    let mut cluster = four();
    let (error, message) = ask(&mut cluster, &request(Some(&[1, 2]), false)).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicationFactor, "{message}");
    assert!(ask(&mut cluster, &request(Some(&[4, 3, 2]), false)).is_ok());
    let again = ask(&mut cluster, &request(Some(&[1, 2, 3]), false));
    assert!(again.is_ok(), "those that are only to come do not count: {again:?}");
}

#[test]
fn a_cancelled_move_leaves_what_was_there_before() {
    let mut cluster = four();
    reassign(&mut cluster, &[4, 2, 3]);
    cluster.set_isr(0, &[1, 2, 4]);
    ask(&mut cluster, &request(None, false)).unwrap();
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("1@1 isr 1,2", vec![2, 3, 1]));
    let (error, _) = ask(&mut cluster, &request(None, false)).unwrap_err();
    assert_eq!(error, ErrorCode::NoReassignmentInProgress);
}

#[test]
fn who_is_no_replica_any_more_is_not_eligible() {
    let mut cluster = four();
    cluster.configure(on_topic("t"), "min.insync.replicas", ConfigOp::Set("2".into())).unwrap();
    reassign(&mut cluster, &[4, 2, 3]);
    cluster.set_isr(0, &[1, 4]);
    cluster.set_isr(0, &[1]);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 4 adding 4 removing 1");
    ask(&mut cluster, &request(None, false)).unwrap();
    assert_eq!(cluster.t(0), "1@1 isr 1");
}

#[test]
fn a_move_is_not_cancelled_if_only_the_new_replica_holds_everything() {
    let mut cluster = four();
    reassign(&mut cluster, &[4]);
    // 2 and 3 fall behind, and 4 catches up: it would be alone if 1 were not there.
    cluster.set_fenced(2, true);
    cluster.set_fenced(3, true);
    let request_of = |cluster: &Cluster| cluster.update(0, &[1, 4]);
    let asked = request_of(&cluster);
    let _ = cluster.alter(&asked);
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("4@1 isr 4", vec![4]));

    let mut cluster = four();
    reassign(&mut cluster, &[4, 3, 2]);
    cluster.set_fenced(2, true);
    cluster.set_fenced(3, true);
    cluster.set_isr(0, &[1, 4]);
    cluster.set_fenced(1, true);
    assert_eq!(cluster.t(0), "4@1 isr 4 adding 4 removing 1");
    let (error, message) = ask(&mut cluster, &request(None, false)).unwrap_err();
    assert_eq!(error, ErrorCode::InvalidReplicaAssignment);
    assert!(message.contains("it would require an unclean leader election"), "{message}");
    cluster.configure(on_topic("t"), "unclean.leader.election.enable", ConfigOp::Set("true".into())).unwrap();
    ask(&mut cluster, &request(None, false)).unwrap();
    assert_eq!(cluster.t(0), "-@2 last 3", "somebody must be waited for");
    cluster.set_fenced(3, false);
    assert_eq!(cluster.t(0), "3@3 isr 3 recovering");
}

#[test]
fn a_move_can_change_its_mind() {
    let mut cluster = four();
    cluster.start(5, None);
    reassign(&mut cluster, &[4, 2, 3]);
    reassign(&mut cluster, &[5, 2, 3]);
    assert_eq!(
        (cluster.t(0).as_str(), replicas(&cluster)),
        ("1@0 isr 1,2,3 adding 5 removing 1,4", vec![5, 2, 3, 1, 4])
    );
    reassign(&mut cluster, &[1, 2, 3]);
    assert_eq!((cluster.t(0).as_str(), replicas(&cluster)), ("1@1 isr 1,2,3", vec![1, 2, 3]));
}

#[test]
fn targets_are_checked() {
    let mut cluster = four();
    for (replicas, why) in [
        (&[][..], "includes an empty replica list"),
        (&[1, 1, 2][..], "includes the broker 1 more than once"),
        (&[1, 2, 9][..], "includes broker 9, but no such broker is registered"),
    ] {
        let (error, message) = ask(&mut cluster, &request(Some(replicas), true)).unwrap_err();
        assert_eq!(error, ErrorCode::InvalidReplicaAssignment);
        assert!(message.contains(why), "{message}");
    }
    cluster.set_fenced(4, true);
    reassign(&mut cluster, &[4, 2, 3]);
    assert_eq!(cluster.t(0), "1@0 isr 1,2,3 adding 4 removing 1", "who is fenced may come back");
    let unknown = AlterReassignments {
        partitions: vec![WantedReplicas { topic: "u".into(), index: 0, replicas: None }],
        ..request(None, true)
    };
    assert_eq!(ask(&mut cluster, &unknown).unwrap_err().0, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_deleted_topic_moves_no_more() {
    let mut cluster = four();
    reassign(&mut cluster, &[4, 2, 3]);
    let request = [ottla_metadata::controller::delete_topics::TopicRef::Name("t".into())];
    let decision = cluster.controller.delete_topics(&request);
    cluster.commit(decision)[0].clone().unwrap();
    assert!(cluster.image().reassignments(None).is_empty());
    assert!((1..=4).all(|id| cluster.image().hosted(BrokerId(id)).is_none()));
}
