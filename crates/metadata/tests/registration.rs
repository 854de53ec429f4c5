//! Claims about registration: who may have an id, and what a broker that comes back still holds (KIP-631, KIP-966).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, dir, registration};
use ottla_metadata::controller::WhyUnclean;
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::record::{
    FeatureLevel, IncarnationId, LastRun, Record, SupportedFeature, UNASSIGNED_DIRECTORY,
};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode};

/// Three brokers, and a topic on all of them with `min.insync.replicas` of 2.
fn three() -> Cluster {
    let mut cluster = Cluster::new("min.insync.replicas=2");
    for id in 1..=3 {
        cluster.start(id, None);
    }
    cluster.topic_on(&[1, 2, 3]);
    cluster
}

fn refused(cluster: &mut Cluster, asked: &Registration, has_session: bool) -> (ErrorCode, String) {
    let decision = cluster.controller.register_broker(asked, has_session);
    assert!(decision.records.is_empty());
    let refused = decision.answer.unwrap_err();
    (refused.error, refused.message)
}

#[test]
fn two_processes_do_not_take_turns_with_one_id() {
    let mut cluster = Cluster::of(1);
    let other = registration(1, 99, None);
    let (error, message) = refused(&mut cluster, &other, true);
    assert_eq!(error, ErrorCode::DuplicateBrokerRegistration);
    assert!(message.contains("Another broker is registered with that broker id"), "{message}");
    let epoch = cluster.epoch(1);
    let decision = cluster.controller.register_broker(&other, false);
    assert!(
        cluster.commit(decision).unwrap() > epoch,
        "whoever has no session any more is followed by the next"
    );
}

#[test]
fn a_fenced_broker_has_no_session_to_defend() {
    let mut cluster = Cluster::of(1);
    cluster.set_fenced(1, true);
    let decision = cluster.controller.register_broker(&registration(1, 99, None), true);
    assert!(cluster.commit(decision).is_ok());
}

#[test]
fn the_same_run_may_say_something_new_and_stays_what_it_is() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1]);
    let known = cluster.image().broker(BrokerId(1)).unwrap().clone();
    let mut asked = registration(1, 0, Some("another"));
    asked.incarnation = known.registration.incarnation;
    let decision = cluster.controller.register_broker(&asked, true);
    assert_eq!(cluster.commit(decision), Ok(known.registration.epoch));
    let broker = cluster.image().broker(BrokerId(1)).unwrap();
    assert_eq!((broker.registration.rack.as_deref(), broker.fenced), (Some("another"), false));
    assert_eq!(cluster.t(0), "1@0 isr 1");
}

#[test]
fn a_directory_belongs_to_one_broker() {
    let mut cluster = Cluster::of(1);
    let with = |directories: &[DirectoryId]| Registration {
        directories: directories.to_vec(),
        ..registration(2, 50, None)
    };
    for (directories, why) in [
        (&[][..], "No directories specified in request".to_owned()),
        (&[UNASSIGNED_DIRECTORY][..], "Reserved directory ID in request".to_owned()),
        (&[dir(2), dir(2)][..], "Duplicate directory ID in request".to_owned()),
        (&[dir(1)][..], format!("Broker 1 is already registered with directory {}", dir(1))),
    ] {
        assert_eq!(refused(&mut cluster, &with(directories), false), (ErrorCode::InvalidRegistration, why));
    }
}

#[test]
fn a_broker_must_be_able_to_work_at_the_level_of_every_feature() {
    let mut cluster = Cluster::of(1);
    let level = Record::FeatureLevel(FeatureLevel { name: "metadata.version".into(), level: 7 });
    cluster.commit(ottla_metadata::Decision::whole(vec![level], ()));
    let with = |min_level, max_level| {
        let features = vec![SupportedFeature { name: "metadata.version".into(), min_level, max_level }];
        Registration { features, ..registration(2, 50, None) }
    };
    let (error, message) = refused(&mut cluster, &with(8, 9), false);
    assert_eq!(error, ErrorCode::UnsupportedVersion);
    assert_eq!(
        message,
        "Unable to register because the broker does not support finalized version 7 of metadata.version. The broker \
         wants a version between 8 and 9, inclusive."
    );
    assert_eq!(refused(&mut cluster, &registration(2, 50, None), false).0, ErrorCode::UnsupportedVersion);
    let fits = cluster.controller.register_broker(&with(7, 7), false);
    assert!(cluster.commit(fits).is_ok());
}

#[test]
fn a_restarted_broker_leaves_the_isr_and_its_leaderships_to_others() {
    let mut cluster = three();
    cluster.restart_clean(1);
    assert_eq!(cluster.t(0), "2@1 isr 2,3");
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "2@1 isr 2,3", "it must catch up first");
}

#[test]
fn a_broker_that_shut_down_cleanly_is_still_eligible() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 2,3");
    cluster.restart_clean(2);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 2,3");
}

#[test]
fn a_process_crash_leaves_the_page_cache_and_so_the_eligibility() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    cluster.try_restart(2, LastRun::ProcessCrash(cluster.epoch(2))).unwrap();
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 2,3");
}

#[test]
fn a_broker_that_stopped_uncleanly_is_a_stranger() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    cluster.restart_unclean(2);
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 3");
    cluster.restart_unclean(1);
    assert_eq!(cluster.t(0), "3@1 isr 3", "the eligible replica leads");
}

#[test]
fn a_marker_of_another_run_says_nothing_of_the_last_one() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    let stale = BrokerEpoch(cluster.epoch(2).0 - 1);
    cluster.try_restart(2, LastRun::Clean(stale)).unwrap();
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 3");
}

#[test]
fn a_marker_also_speaks_for_later_runs_that_took_no_records() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    let marked = LastRun::ProcessCrash(cluster.epoch(2));
    for _ in 0..3 {
        cluster.try_restart(2, marked).unwrap();
        assert_eq!(cluster.t(0), "1@0 isr 1 elr 2,3", "it was never unfenced");
    }
    cluster.set_fenced(2, false);
    cluster.set_fenced(2, true);
    cluster.try_restart(2, marked).unwrap();
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 3", "it was unfenced, and may have written and lost");
}

#[test]
fn a_single_replica_comes_back_after_an_unclean_stop_and_everybody_is_told() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1]);
    cluster.restart_unclean(1);
    assert_eq!(cluster.t(0), "-@1 last 1");
    let decision = cluster.controller.set_fenced(BrokerId(1), cluster.epoch(1), false);
    let [told] = decision.unclean[..] else { panic!("{:?}", decision.unclean) };
    assert_eq!((told.leader, told.why), (BrokerId(1), WhyUnclean::LastKnownLeader));
    cluster.commit(decision).unwrap();
    assert_eq!(cluster.t(0), "1@2 isr 1 recovering");
}

#[test]
fn a_single_replica_comes_back_after_a_process_crash_with_nothing_to_tell() {
    let mut cluster = Cluster::of(1);
    cluster.topic_on(&[1]);
    cluster.try_restart(1, LastRun::ProcessCrash(cluster.epoch(1))).unwrap();
    assert_eq!(cluster.t(0), "-@1 elr 1 last 1");
    let decision = cluster.controller.set_fenced(BrokerId(1), cluster.epoch(1), false);
    assert!(decision.unclean.is_empty());
    cluster.commit(decision).unwrap();
    assert_eq!(cluster.t(0), "1@2 isr 1");
}

#[test]
fn all_brokers_killed_at_once_come_back_by_themselves() {
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let mut cluster = three();
        for id in order {
            cluster.try_restart(id, LastRun::ProcessCrash(cluster.epoch(id))).unwrap();
        }
        for id in order {
            cluster.set_fenced(id, false);
        }
        let state = cluster.partition("t", 0);
        assert!(state.leader.is_some(), "{order:?}: {state:?}");
        let first = state.leader.unwrap();
        assert_eq!(
            cluster.t(0),
            format!("{first}@{} isr {first} elr {}", state.leader_epoch, {
                common::ids(&state.elr).iter().map(i32::to_string).collect::<Vec<_>>().join(",")
            })
        );
    }
}

#[test]
fn all_machines_that_lose_power_at_once_come_back_with_the_last_known_leader_only() {
    let mut cluster = three();
    for id in [1, 2, 3] {
        cluster.restart_unclean(id);
    }
    assert_eq!(cluster.t(0), "-@3 last 3");
    cluster.set_fenced(1, false);
    assert_eq!(cluster.t(0), "-@3 last 3", "others may lack more than it does");
    cluster.set_fenced(3, false);
    assert_eq!(cluster.t(0), "3@4 isr 3 recovering");
}

#[test]
fn a_broker_that_comes_back_without_a_directory_has_lost_what_lay_there() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    let registration = Registration {
        directories: vec![DirectoryId([0x99; 16])],
        last_run: LastRun::Clean(cluster.epoch(2)),
        ..registration(2, 77, None)
    };
    let decision = cluster.controller.register_broker(&registration, false);
    cluster.commit(decision).unwrap();
    assert_eq!(cluster.t(0), "1@0 isr 1 elr 3");
}

#[test]
fn an_unregistered_broker_is_a_stranger_and_its_epoch_is_never_given_again() {
    let mut cluster = three();
    cluster.set_isr(0, &[1]);
    let last = cluster.epoch(3);
    for id in [3, 1] {
        let decision = cluster.controller.unregister_broker(BrokerId(id));
        cluster.commit(decision).unwrap();
    }
    assert_eq!(cluster.t(0), "2@1 isr 2");
    assert_eq!(cluster.image().brokers().count(), 1);
    let again = cluster.controller.unregister_broker(BrokerId(3));
    assert_eq!(again.answer.unwrap_err().error, ErrorCode::BrokerIdNotRegistered);
    let mut restored = ottla_metadata::Image::default();
    for record in cluster.image().to_records() {
        restored.load(cluster.image().offset().unwrap(), &record).unwrap();
    }
    assert_eq!(&restored, cluster.image(), "also by way of a snapshot");
    assert!(cluster.register(3, None) > last);
}

#[test]
fn an_append_that_fails_leaves_the_old_registration() {
    let mut cluster = three();
    let before = cluster.image().clone();
    let decision = cluster.controller.register_broker(
        &Registration { incarnation: IncarnationId([88; 16]), ..registration(1, 0, None) },
        false,
    );
    assert!(decision.answer.is_ok());
    cluster.controller.abandon();
    assert_eq!(cluster.controller.speculative(), &before);
}
