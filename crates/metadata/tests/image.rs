//! Claims about images: replay, differences, snapshots.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "common/arbitrary.rs"]
#[allow(unreachable_pub)]
mod arbitrary;
mod common;

use common::{Cluster, on_topic, replayed};
use ottla_metadata::controller::configs::ConfigOp;
use ottla_metadata::controller::create_partitions::{CreatePartitions, MorePartitions};
use ottla_metadata::controller::delete_topics::TopicRef;
use ottla_metadata::image::ReplayError;
use ottla_metadata::record::{PartitionChange, Record, RemoveTopic, Topic};
use ottla_metadata::{Delta, Image};
use ottla_types::{BrokerId, Offset, TopicId, TopicName};
use proptest::prelude::*;

#[test]
fn offsets_rise_without_a_gap() {
    let mut image = Image::default();
    let topic =
        |name: &str, id| Record::Topic(Topic { name: TopicName::new(name).unwrap(), id: TopicId([id; 16]) });
    let out_of_order = |image: &mut Image, offset, expected| {
        let error = image.replay(Offset(offset), &topic("z", 9)).unwrap_err();
        assert_eq!(error, ReplayError::OutOfOrder { offset: Offset(offset), expected: Offset(expected) });
    };
    out_of_order(&mut image, 1, 0);
    image.replay(Offset(0), &topic("a", 1)).unwrap();
    out_of_order(&mut image, 0, 1);
    out_of_order(&mut image, 2, 1);
    image.replay(Offset(1), &topic("b", 2)).unwrap();
    assert_eq!(image.offset(), Some(Offset(1)));
    let mut image = Image::default();
    image.load(Offset(7), &topic("a", 1)).unwrap();
    out_of_order(&mut image, 9, 8);
    image.replay(Offset(8), &topic("b", 2)).unwrap();
}

#[test]
fn a_counter_from_which_nothing_can_be_counted_on_is_refused() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    let mut next = Image::default();
    for (offset, record) in (0..).zip(&cluster.log) {
        let last = match record.clone() {
            Record::RegisterBroker(mut r) => {
                r.epoch.0 = i64::MAX - 1;
                Record::RegisterBroker(r)
            }
            Record::Partition(mut r) => {
                r.state.leader_epoch.0 = i32::MAX;
                Record::Partition(r)
            }
            other => other,
        };
        if last != *record {
            assert!(
                matches!(next.replay(Offset(offset), &last), Err(ReplayError::TooHigh { .. })),
                "{last:?}"
            );
            assert!(matches!(next.load(Offset(offset), &last), Err(ReplayError::TooHigh { .. })), "{last:?}");
        }
        next.replay(Offset(offset), record).unwrap();
    }
    assert_eq!(&next, cluster.image());
}

#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut cluster = Cluster::of(1);
    let id = cluster.created("t", 1, 1).id;
    let mut image = cluster.image().clone();
    let unknown = TopicId([77; 16]);
    let next = Offset(cluster.log.len() as i64);
    for record in [
        Record::RemoveTopic(RemoveTopic { id: unknown }),
        Record::Topic(Topic { name: TopicName::new("t").unwrap(), id: unknown }),
        Record::Topic(Topic { name: TopicName::new("u").unwrap(), id }),
        Record::PartitionChange(PartitionChange { topic: unknown, ..Default::default() }),
        Record::PartitionChange(PartitionChange { topic: id, index: 1, ..Default::default() }),
        cluster.log.iter().find(|r| matches!(r, Record::Partition(_))).unwrap().clone(),
        cluster.log[0].clone(),
    ] {
        let before = image.clone();
        assert!(image.replay(next, &record).is_err(), "{record:?}");
        assert_eq!(image, before);
    }
}

#[test]
fn topics_are_listed_by_name_also_from_a_name_on() {
    let mut cluster = Cluster::of(1);
    for name in ["c", "a", "b"] {
        cluster.created(name, 1, 1);
    }
    let names: Vec<_> = cluster.image().topics().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let from: Vec<_> =
        cluster.image().topics_from(&TopicName::new("b").unwrap()).map(|t| t.name.to_string()).collect();
    assert_eq!(from, ["b", "c"]);
}

#[test]
fn a_clone_does_not_change_with_what_it_was_cloned_from() {
    let mut cluster = Cluster::of(1);
    cluster.created("a", 1, 1);
    let before = cluster.image().clone();
    cluster.created("b", 1, 1);
    assert_eq!((before.topic_count(), cluster.image().topic_count()), (1, 2));
}

#[test]
fn a_delta_says_what_a_broker_has_to_do() {
    let mut cluster = Cluster::of(2);
    let (kept, gone) = (cluster.created("kept", 1, 1).id, cluster.created("gone", 1, 1).id);
    cluster.configure(on_topic("gone"), "segment.ms", ConfigOp::Set("1".into())).unwrap();
    let old = cluster.image().clone();
    let from = cluster.log.len();

    let new = cluster.created("new", 2, 1).id;
    let deletion = cluster.controller.delete_topics(&[TopicRef::Id(gone)]);
    let _ = cluster.commit(deletion);
    let topics = vec![MorePartitions { topic: "kept".into(), count: 2, assignments: None }];
    let request = CreatePartitions { topics, ..Default::default() };
    let addition = cluster.controller.create_partitions(&request);
    cluster.commit(addition);
    cluster.configure(on_topic("kept"), "segment.ms", ConfigOp::Set("1".into())).unwrap();
    cluster.set_fenced(2, true);

    let delta = Delta::of(&old, cluster.image(), &cluster.log[from..]);
    let ids = |topics: &[std::sync::Arc<ottla_metadata::image::TopicImage>]| -> Vec<TopicId> {
        topics.iter().map(|t| t.id).collect()
    };
    assert_eq!((ids(&delta.created), ids(&delta.deleted)), (vec![new], vec![gone]));
    let [change] = &delta.changed[..] else { panic!("{:?}", delta.changed) };
    assert_eq!(change.topic.id, kept);
    let added: Vec<_> = change.partitions.iter().filter(|p| p.old.is_none()).map(|p| p.index).collect();
    assert_eq!(added, [1]);
    assert_eq!(delta.configs.iter().collect::<Vec<_>>(), [&on_topic("gone"), &on_topic("kept")]);
    assert_eq!(delta.brokers.iter().collect::<Vec<_>>(), [&BrokerId(2)]);
    assert_eq!(delta, Delta::between(&old, cluster.image()));
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_gone_and_new() {
    let mut cluster = Cluster::of(1);
    let first = cluster.created("t", 1, 1).id;
    let old = cluster.image().clone();
    let deletion = cluster.controller.delete_topics(&[TopicRef::Id(first)]);
    let _ = cluster.commit(deletion);
    let second = cluster.created("t", 1, 1).id;
    let delta = Delta::between(&old, cluster.image());
    assert_eq!((delta.deleted[0].id, delta.created[0].id), (first, second));
    assert!(delta.changed.is_empty());
}

#[test]
fn what_comes_and_goes_between_two_images_leaves_no_difference() {
    let mut cluster = Cluster::of(1);
    let old = cluster.image().clone();
    let from = cluster.log.len();
    let id = cluster.created("t", 1, 1).id;
    let deletion = cluster.controller.delete_topics(&[TopicRef::Id(id)]);
    let _ = cluster.commit(deletion);
    assert!(Delta::of(&old, cluster.image(), &cluster.log[from..]).is_empty());
}

#[test]
fn a_snapshot_leads_to_the_same_image_and_goes_on_from_there() {
    let mut cluster = Cluster::of(3);
    cluster.created("a", 2, 3);
    cluster.configure(on_topic("a"), "segment.ms", ConfigOp::Set("1".into())).unwrap();
    cluster.set_fenced(2, true);
    let epoch = cluster.start(1, Some("rack"));
    let block = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
    cluster.commit(block).unwrap();
    let upto = cluster.image().offset().unwrap();
    let mut restored = Image::default();
    for record in cluster.image().to_records() {
        restored.load(upto, &record).unwrap();
    }
    assert_eq!(&restored, cluster.image());
    assert_eq!(restored, replayed(&cluster.log));
    let from = cluster.log.len();
    cluster.created("b", 1, 1);
    cluster.set_fenced(2, false);
    for (offset, record) in (from as i64..).zip(&cluster.log[from..]) {
        restored.replay(Offset(offset), record).unwrap();
    }
    assert_eq!(&restored, cluster.image());
}

proptest! {
    #[test]
    fn no_record_makes_an_image_panic(records in prop::collection::vec(arbitrary::record(), 0..40)) {
        let mut image = Image::default();
        for (offset, record) in (0..).zip(&records) {
            let before = image.clone();
            if image.replay(Offset(offset), record).is_err() {
                prop_assert_eq!(&image, &before);
            }
        }
    }
}
