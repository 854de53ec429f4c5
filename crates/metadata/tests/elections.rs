//! Claims about elections: who leads when the leader is gone, who is elected on request, and how leaderships come back
//! into balance (KIP-183, KIP-460, KIP-966).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, on_topic, shown};
use ottla_metadata::controller::WhyUnclean;
use ottla_metadata::controller::configs::ConfigOp;
use ottla_metadata::controller::replication::elections::ElectionType;
use ottla_metadata::record::ConfigResource;
use ottla_metadata::{Controller, Decision};
use ottla_types::{BrokerId, ErrorCode};
use std::sync::Arc;

const MIN_ISR: &str = "min.insync.replicas";
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Brokers 1 to 3, and `t` on all of them, led by 1.
fn three(properties: &str) -> Cluster {
    let mut cluster = Cluster::new(properties);
    for id in 1..=3 {
        cluster.start(id, None);
    }
    cluster.topic_on(&[1, 2, 3]);
    cluster
}

fn set(value: &str) -> ConfigOp {
    ConfigOp::Set(value.to_owned())
}

/// What one partition of an ElectLeaders is answered.
fn elect(cluster: &mut Cluster, election: ElectionType, topic: &str, index: i32) -> Result<(), ErrorCode> {
    let decision = cluster.controller.elect_leaders(election, Some(&[(topic.to_owned(), index)]));
    let [result] = &cluster.commit(decision)[..] else { panic!("one partition, one answer") };
    result.result.clone().map_err(|refused| refused.error)
}

#[test]
fn the_eligible_replica_that_comes_back_first_leads_an_empty_isr() {
    let mut cluster = three("min.insync.replicas=2");
    for id in [3, 2, 1] {
        cluster.set_fenced(id, true);
    }
    assert_eq!(cluster.t(0), "-@1 elr 1,2 last 1");
    cluster.set_fenced(3, false);
    assert_eq!(cluster.t(0), "-@1 elr 1,2 last 1", "1 and 2 may have committed without 3");
    cluster.set_fenced(2, false);
    assert_eq!(cluster.t(0), "2@2 isr 2 elr 1");
    cluster.set_isr(0, &[2, 3]);
    assert_eq!(cluster.t(0), "2@2 isr 2,3");
}

#[test]
fn who_is_in_sync_leads_before_who_is_eligible() {
    let mut cluster = three("min.insync.replicas=3");
    cluster.set_fenced(1, true);
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "2@1 isr 2,3 elr 1");
    let preferred = elect(&mut cluster, ElectionType::Preferred, "t", 0);
    assert_eq!(preferred, Err(ErrorCode::PreferredLeaderNotAvailable));
    cluster.set_fenced(2, true);
    assert_eq!(cluster.t(0), "3@2 isr 3 elr 1,2");
}

#[test]
fn without_permission_nobody_leads_who_may_lack_records() {
    let mut cluster = three("");
    cluster.set_isr(0, &[1]);
    cluster.set_fenced(1, true);
    assert_eq!(cluster.t(0), "-@1 elr 1 last 1");
    let decision = cluster.controller.elect_leaderless(usize::MAX);
    assert!(decision.records.is_empty());
}

#[test]
fn a_topic_that_prefers_any_leader_to_none_gets_one_and_everybody_is_told() {
    let mut cluster = three("");
    cluster.configure(on_topic("t"), UNCLEAN, set("true")).unwrap();
    cluster.set_isr(0, &[1]);
    let decision = cluster.controller.set_fenced(BrokerId(1), cluster.epoch(1), true);
    let [told] = decision.unclean[..] else { panic!("{:?}", decision.unclean) };
    assert_eq!((told.index, told.leader, told.why), (0, BrokerId(2), WhyUnclean::Allowed));
    cluster.commit(decision).unwrap();
    assert_eq!(
        cluster.t(0),
        "2@1 isr 2 recovering",
        "who was eligible is not any more: it may know other records"
    );
}

#[test]
fn permission_that_comes_later_counts_for_those_without_a_leader() {
    let mut cluster = three("");
    cluster.set_isr(0, &[1]);
    cluster.set_fenced(1, true);
    cluster.configure(ConfigResource::ClusterDefault, UNCLEAN, set("true")).unwrap();
    let decision = cluster.controller.elect_leaderless(usize::MAX);
    assert!(!cluster.commit(decision), "there is no more to do");
    assert_eq!(cluster.t(0), "2@2 isr 2 recovering");
}

#[test]
fn as_many_leaders_are_looked_for_at_once_as_are_asked_for() {
    let mut cluster = Cluster::of(2);
    cluster.created("many", 10, 1);
    cluster.set_fenced(1, true);
    cluster.set_fenced(2, true);
    let fenced = cluster.image().clone();
    assert_eq!(fenced.leaderless().len(), 10);
    // As if the unfencing had been cut off after its first record.
    let epoch = cluster.epoch(1);
    let cut = cluster.controller.set_fenced(BrokerId(1), epoch, false);
    let first = cut.records[..1].to_vec();
    cluster.controller.abandon();
    cluster.commit(Decision::whole(first, ()));
    let decision = cluster.controller.elect_leaderless(2);
    assert_eq!(decision.records.len(), 2);
    assert!(cluster.commit(decision), "there is more to do");
    let decision = cluster.controller.elect_leaderless(3);
    assert_eq!(decision.records.len(), 3);
    assert!(!cluster.commit(decision));
    assert_eq!(cluster.image().leaderless().len(), 5, "the others are of broker 2");
}

#[test]
fn who_is_preferred_and_in_sync_leads_again_when_asked_for() {
    let mut cluster = three("");
    cluster.set_fenced(1, true);
    cluster.set_fenced(1, false);
    let preferred = ElectionType::Preferred;
    assert_eq!(elect(&mut cluster, preferred, "t", 0), Err(ErrorCode::PreferredLeaderNotAvailable));
    cluster.set_isr(0, &[2, 3, 1]);
    assert_eq!(elect(&mut cluster, preferred, "t", 0), Ok(()));
    assert_eq!(cluster.t(0), "1@2 isr 2,3,1");
    assert_eq!(elect(&mut cluster, preferred, "t", 0), Err(ErrorCode::ElectionNotNeeded));
}

#[test]
fn an_operator_may_have_anybody_lead_what_nobody_leads() {
    let mut cluster = three("");
    let unclean = ElectionType::Unclean;
    assert_eq!(elect(&mut cluster, unclean, "t", 0), Err(ErrorCode::ElectionNotNeeded));
    cluster.set_isr(0, &[1]);
    for id in [1, 2, 3] {
        cluster.set_fenced(id, true);
    }
    assert_eq!(elect(&mut cluster, unclean, "t", 0), Err(ErrorCode::EligibleLeadersNotAvailable));
    cluster.set_fenced(3, false);
    assert_eq!(elect(&mut cluster, unclean, "t", 0), Ok(()));
    assert_eq!(cluster.t(0), "3@2 isr 3 recovering");
}

#[test]
fn what_is_not_there_is_not_elected() {
    let mut cluster = three("");
    for (topic, index) in [("u", 0), ("t", 1), ("t", -1)] {
        let found = elect(&mut cluster, ElectionType::Preferred, topic, index);
        assert_eq!(found, Err(ErrorCode::UnknownTopicOrPartition), "{topic}-{index}");
    }
    assert_eq!(ElectionType::from_code(2).unwrap_err().error, ErrorCode::InvalidRequest);
}

#[test]
fn all_partitions_are_meant_where_none_is_named_and_only_those_in_need_are_answered() {
    let mut cluster = Cluster::of(3);
    cluster.created("a", 3, 2);
    cluster.created("t", 3, 2);
    cluster.set_fenced(1, true);
    cluster.set_fenced(1, false);
    let decision = cluster.controller.elect_leaders(ElectionType::Preferred, None);
    let results = cluster.commit(decision);
    let found: Vec<_> =
        results.iter().map(|r| (&*r.topic, r.index, r.result.as_ref().unwrap_err().error)).collect();
    let error = ErrorCode::PreferredLeaderNotAvailable;
    assert_eq!(found, [("a", 0, error), ("t", 0, error)]);
    let decision = cluster.controller.elect_leaders(ElectionType::Unclean, None);
    assert_eq!(cluster.commit(decision), []);
}

/// `t` with ten partitions, of which brokers 1 and 2 are preferred by five each; the first `misled` of broker 1 are led
/// by 2, and broker 1 is in sync again.
fn imbalanced(properties: &str, misled: usize) -> Cluster {
    let mut cluster = Cluster::new(properties);
    cluster.start(1, None);
    cluster.start(2, None);
    cluster.created("t", 10, 2);
    let led_by_1: Vec<_> = (0..10).filter(|index| cluster.t(*index).starts_with("1@")).collect();
    assert_eq!(led_by_1.len(), 5);
    cluster.set_fenced(1, true);
    cluster.set_fenced(1, false);
    for index in 0..10 {
        cluster.set_isr(index, &[2, 1]);
    }
    for index in &led_by_1[misled..] {
        elect(&mut cluster, ElectionType::Preferred, "t", *index).unwrap();
    }
    assert_eq!(cluster.image().not_led_by_preferred().len(), misled);
    cluster
}

#[test]
fn leaderships_come_back_to_those_who_are_preferred() {
    let mut cluster = imbalanced("", 5);
    let decision = cluster.controller.balance_leaders(2);
    assert!(cluster.commit(decision), "there is more to do");
    assert_eq!(cluster.image().not_led_by_preferred().len(), 3);
    let decision = cluster.controller.balance_leaders(100);
    assert!(!cluster.commit(decision));
    assert_eq!(cluster.image().not_led_by_preferred().len(), 0);
}

#[test]
fn a_small_imbalance_is_left_alone() {
    for (percentage, moved) in [(20, 0), (19, 1), (0, 1)] {
        let properties = format!("leader.imbalance.per.broker.percentage={percentage}");
        let mut cluster = imbalanced(&properties, 1);
        let decision = cluster.controller.balance_leaders(100);
        assert_eq!(decision.records.len(), moved, "one of five is 20 %, and {percentage} % are allowed");
    }
}

#[test]
fn balance_can_be_switched_off() {
    let mut cluster = imbalanced("auto.leader.rebalance.enable=false", 5);
    assert!(cluster.controller.balance_leaders(100).records.is_empty());
}

#[test]
fn another_min_isr_voids_the_eligibility_of_the_topic_or_of_all() {
    let mut cluster = three("");
    cluster.created("other", 1, 3);
    for topic in ["t", "other"] {
        cluster.configure(on_topic(topic), MIN_ISR, set("3")).unwrap();
    }
    cluster.set_fenced(3, true);
    let elr = |cluster: &Cluster| ["t", "other"].map(|topic| common::ids(&cluster.partition(topic, 0).elr));
    assert_eq!(elr(&cluster), [[3], [3]]);
    let epoch = cluster.partition("t", 0).partition_epoch;
    cluster.configure(on_topic("t"), "retention.ms", set("1")).unwrap();
    cluster.configure(on_topic("t"), MIN_ISR, set("3")).unwrap();
    assert_eq!(elr(&cluster), [[3], [3]], "it is what it was");
    cluster.configure(on_topic("t"), MIN_ISR, set("2")).unwrap();
    assert_eq!(elr(&cluster), [vec![], vec![3]], "two commit without 3 now");
    assert_eq!(cluster.partition("t", 0).partition_epoch.0, epoch.0 + 1);
    cluster.configure(ConfigResource::ClusterDefault, MIN_ISR, set("2")).unwrap();
    assert_eq!(elr(&cluster), [vec![], vec![]]);
}

#[test]
fn a_voided_eligibility_leaves_the_last_known_leader() {
    let mut cluster = three("min.insync.replicas=2");
    for id in [2, 3, 1] {
        cluster.set_fenced(id, true);
    }
    assert_eq!(cluster.t(0), "-@1 elr 1,3 last 1");
    cluster.configure(ConfigResource::ClusterDefault, MIN_ISR, set("1")).unwrap();
    assert_eq!(cluster.t(0), "-@1 last 1");
    cluster.set_fenced(3, false);
    assert_eq!(cluster.t(0), "-@1 last 1");
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "1@2 isr 1 recovering");
}

#[test]
fn min_isr_is_one_value_for_all_brokers_that_stays() {
    let mut cluster = three("min.insync.replicas=2");
    let refused = cluster.configure(ConfigResource::Broker(BrokerId(1)), MIN_ISR, set("1")).unwrap_err();
    assert_eq!(refused.message, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
    let decision = cluster.controller.activate();
    cluster.commit(decision);
    let pinned = cluster.image().configs(&ConfigResource::ClusterDefault).unwrap();
    assert_eq!(pinned.get(MIN_ISR), Some("2"), "a replicated value, not one of a node's file");
    let refused = cluster.configure(ConfigResource::ClusterDefault, MIN_ISR, ConfigOp::Delete).unwrap_err();
    assert_eq!(refused.error, ErrorCode::InvalidConfig);
    let next = Arc::new(ottla_types::config::Settings::default());
    cluster.controller = Controller::new(cluster.image().clone(), next);
    assert!(
        cluster.controller.activate().records.is_empty(),
        "another node's file says 1, and does not count"
    );
}

#[test]
fn a_new_controller_finishes_an_unfencing_that_was_cut_off() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 3, 1);
    cluster.set_fenced(1, true);
    let epoch = cluster.epoch(1);
    let decision = cluster.controller.set_fenced(BrokerId(1), epoch, false);
    let first = decision.records[..1].to_vec();
    cluster.controller.abandon();
    cluster.commit(Decision::whole(first, ()));
    assert_eq!(cluster.image().leaderless().len(), 3);
    cluster.controller = Controller::new(cluster.image().clone(), Arc::default());
    let decision = cluster.controller.activate();
    cluster.commit(decision);
    assert!((0..3).all(|index| shown(&cluster.partition("t", index)) == "1@2 isr 1"));
}
