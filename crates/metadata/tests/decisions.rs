//! Claims about decisions that are too large for one batch: where they may be cut, and what a cut leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, replayed};
use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_metadata::controller::create_topics::CreateTopics;
use ottla_metadata::controller::decision::{Cuts, HANDY_BATCH_BYTES};
use ottla_metadata::{Decision, Image, Record};
use ottla_types::{BrokerId, Offset};

/// Brokers 1 to 3 with 30 partitions of three replicas.
fn many() -> Cluster {
    let mut cluster = Cluster::of(3);
    cluster.created("many", 30, 3);
    cluster
}

/// What must hold of a broker that is fenced or shuts down.
fn check(image: &Image) {
    for broker in image.brokers().filter(|broker| !broker.is_active()) {
        let id = broker.registration.id;
        for topic in image.topics() {
            for (index, state) in topic.partitions() {
                let name = format!("{}-{index} {state:?}", topic.name);
                assert!(state.leader != Some(id), "{id} leads {name}");
                assert!(!state.isr.contains(&id), "{id} is in the ISR of {name}");
            }
        }
    }
}

/// Cuts a decision into small batches, and shows that the rules hold after each; then gives it up after `kept` batches.
fn cut<A>(cluster: &mut Cluster, decision: Decision<A>, kept: usize) -> usize {
    let (batches, ..) = decision.batches(200).unwrap();
    for batch in batches.iter().take(kept) {
        assert!(batch.bytes.iter().map(|record| record.len() + 4).sum::<usize>() <= 200);
        assert_eq!(batch.bytes.len(), batch.records.len());
        let offset = Offset(cluster.log.len() as i64);
        cluster.controller.replay(offset, &batch.records).unwrap();
        cluster.log.extend(batch.records.clone());
        check(cluster.image());
    }
    cluster.controller.abandon();
    assert_eq!(cluster.controller.speculative(), cluster.image());
    batches.len()
}

type Decide = fn(&mut Cluster) -> Decision<()>;

/// All that takes something from broker 1.
const TAKING: [(&str, Decide); 5] = [
    ("fence", |c| {
        let epoch = c.epoch(1);
        c.controller.set_fenced(BrokerId(1), epoch, true).map(|answer| answer.unwrap())
    }),
    ("shut down", |c| {
        let heartbeat = Heartbeat { want_shut_down: true, ..c.heartbeat_of(1) };
        c.controller.heartbeat(&heartbeat).map(|answer| assert!(answer.is_ok()))
    }),
    ("fail the directory", |c| {
        let heartbeat = Heartbeat { offline_directories: vec![common::dir(1)], ..c.heartbeat_of(1) };
        c.controller.heartbeat(&heartbeat).map(|answer| assert!(answer.is_ok()))
    }),
    ("restart", |c| {
        let asked = common::registration(1, 90, None);
        c.controller.register_broker(&asked, false).map(|answer| assert!(answer.is_ok()))
    }),
    ("unregister", |c| c.controller.unregister_broker(BrokerId(1)).map(|answer| answer.unwrap())),
];

#[test]
fn what_takes_something_from_a_broker_can_be_cut_anywhere_and_asked_for_again() {
    for (name, decide) in TAKING {
        let mut whole = many();
        let decision = decide(&mut whole);
        whole.commit(decision);
        let mut kept = 0;
        loop {
            let mut cluster = many();
            let decision = decide(&mut cluster);
            let batches = cut(&mut cluster, decision, kept);
            assert!(batches > 5, "{name}: {batches}");
            let last = cluster.image().broker(BrokerId(1)).cloned();
            if kept < batches {
                assert!(last.unwrap().is_active(), "{name}: the broker comes last");
                let again = decide(&mut cluster);
                cluster.commit(again);
            }
            let shown =
                |c: &Cluster| (0..30).map(|i| common::shown(&c.partition("many", i))).collect::<Vec<_>>();
            assert_eq!(shown(&cluster), shown(&whole), "{name} cut after {kept} of {batches}");
            assert_eq!(&replayed(&cluster.log), cluster.image());
            if kept == batches {
                break;
            }
            kept += 1;
        }
    }
}

#[test]
fn an_unfencing_can_be_cut_anywhere_and_finished_by_the_next_controller() {
    for kept in 0..10 {
        let mut cluster = many();
        for id in [2, 3, 1] {
            cluster.set_fenced(id, true);
        }
        assert_eq!(cluster.image().leaderless().len(), 30);
        let epoch = cluster.epoch(1);
        let decision = cluster.controller.set_fenced(BrokerId(1), epoch, false);
        cut(&mut cluster, decision, kept);
        if cluster.image().broker(BrokerId(1)).unwrap().fenced {
            continue;
        }
        let decision = cluster.controller.activate();
        cluster.commit(decision);
        assert_eq!(cluster.image().leaderless().len(), 0, "cut after {kept}");
        assert!(kept > 0);
    }
}

#[test]
fn topics_are_cut_from_each_other_and_never_from_their_partitions() {
    let mut cluster = Cluster::of(1);
    let topics = vec![cluster.topic("a", 3, 1), cluster.topic("b", 3, 1), cluster.topic("c", 1, 1)];
    let request = CreateTopics { topics, ..Default::default() };
    let decision = cluster.controller.create_topics(&request);
    let size = |records: &[Record]| records.iter().map(|record| record.to_bytes().len() + 4).sum::<usize>();
    let of_a_topic = size(&decision.records[..4]);
    let (batches, ..) = decision.clone().batches(of_a_topic).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [4, 4, 2]);
    let (batches, ..) = decision.clone().batches(usize::MAX).unwrap();
    assert_eq!(batches.len(), 1);
    let too_large = decision.batches(of_a_topic - 1).unwrap_err();
    assert_eq!((too_large.bytes, too_large.most), (of_a_topic, of_a_topic - 1));
}

#[test]
fn a_decision_without_records_makes_no_batch() {
    let (batches, _, answer) = Decision::whole(Vec::new(), 7).batches(10).unwrap();
    assert_eq!((batches.len(), answer), (0, 7));
}

#[test]
fn fencing_a_broker_looks_at_its_own_partitions_only() {
    let mut cluster = Cluster::of(3);
    cluster.created("many", 90, 1);
    let hosted = cluster.image().hosted(BrokerId(1)).unwrap();
    assert_eq!((hosted.replicas.len(), hosted.leads.len(), hosted.preferred), (30, 30, 30));
    let epoch = cluster.epoch(1);
    let decision = cluster.controller.set_fenced(BrokerId(1), epoch, true);
    assert_eq!(decision.records.len(), 31);
    cluster.commit(decision).unwrap();
    let hosted = cluster.image().hosted(BrokerId(1)).unwrap();
    assert_eq!((hosted.replicas.len(), hosted.leads.len(), hosted.preferred), (30, 0, 30));
    assert_eq!(cluster.image().leaderless().iter().count(), 30);
}

#[test]
fn what_may_be_cut_anywhere_is_cut_into_handy_batches() {
    let record = |nth: usize| {
        let (resource, key) =
            (ottla_metadata::record::ConfigResource::ClusterDefault, nth.to_string().into());
        let value = Some("x".repeat(30_000).into());
        Record::Config(ottla_metadata::record::Config { resource, key, value })
    };
    let whole = Decision::whole((0..20).map(record).collect(), ());
    assert_eq!(whole.clone().batches(usize::MAX).unwrap().0.len(), 1, "what must not be cut is not");
    let loose = Decision { cuts: Cuts::Anywhere, ..whole };
    let (batches, ..) = loose.clone().batches(usize::MAX).unwrap();
    let sizes: Vec<usize> =
        batches.iter().map(|batch| batch.bytes.iter().map(|bytes| bytes.len()).sum()).collect();
    assert!(sizes.iter().all(|size| *size <= HANDY_BATCH_BYTES), "{sizes:?}");
    assert_eq!(batches.into_iter().flat_map(|batch| batch.records).collect::<Vec<_>>(), loose.records);
}
