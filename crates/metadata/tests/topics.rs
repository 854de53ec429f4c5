//! Claims about topics: creating, deleting, adding partitions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, ids, on_topic};
use ottla_metadata::controller::MAX_PARTITIONS_PER_REQUEST;
use ottla_metadata::controller::configs::ConfigOp;
use ottla_metadata::controller::create_partitions::{CreatePartitions, MorePartitions};
use ottla_metadata::controller::create_topics::{CreateTopics, NewTopic};
use ottla_metadata::controller::delete_topics::TopicRef;
use ottla_types::{BrokerId, ErrorCode, TopicId};

fn refused(cluster: &mut Cluster, topic: NewTopic) -> (ErrorCode, String) {
    let before = cluster.log.len();
    let refused = cluster.create(topic).unwrap_err();
    assert_eq!(cluster.log.len(), before, "a refused topic leaves no record");
    (refused.error, refused.message)
}

fn assignments(lists: &[(i32, &[i32])]) -> Vec<(i32, Vec<BrokerId>)> {
    lists.iter().map(|(index, ids)| (*index, ids.iter().copied().map(BrokerId).collect())).collect()
}

#[test]
fn a_topic_gets_the_partitions_and_replicas_asked_for() {
    let mut cluster = Cluster::of(3);
    let created = cluster.created("orders", 6, 2);
    assert_eq!((created.partitions, created.replication_factor), (6, 2));
    assert_eq!(
        cluster.replicas("orders"),
        [[1, 2], [2, 3], [3, 1], [1, 2], [2, 3], [3, 1]],
        "each broker leads and follows equally often"
    );
    let first = cluster.partition("orders", 0);
    assert_eq!((first.leader, ids(&first.isr)), (Some(BrokerId(1)), vec![1, 2]));
    assert_eq!((first.leader_epoch.0, first.partition_epoch.0, first.directories.len()), (0, 0, 2));
}

#[test]
fn minus_one_means_the_brokers_defaults() {
    let mut cluster = Cluster::new("num.partitions=4\ndefault.replication.factor=2");
    cluster.start(1, None);
    cluster.start(2, None);
    let created = cluster.created("orders", -1, -1);
    assert_eq!((created.partitions, created.replication_factor), (4, 2));
}

#[test]
fn another_seed_starts_elsewhere() {
    let mut cluster = Cluster::of(3);
    let topic = cluster.topic("orders", 1, 1);
    let request = CreateTopics { topics: vec![topic], validate_only: true, seed: 1 << 32 };
    let decision = cluster.controller.create_topics(&request);
    assert!(decision.answer[0].is_ok() && decision.records.is_empty());
    let request = CreateTopics { validate_only: false, ..request };
    let decision = cluster.controller.create_topics(&request);
    cluster.commit(decision)[0].clone().unwrap();
    assert_ne!(cluster.replicas("orders"), [[1]]);
}

#[test]
fn the_topics_of_one_request_do_not_all_start_at_one_broker() {
    let mut cluster = Cluster::of(3);
    let topics: Vec<_> = ('a'..='l').map(|name| cluster.topic(&name.to_string(), 1, 1)).collect();
    let decision = cluster.controller.create_topics(&CreateTopics { topics, ..Default::default() });
    cluster.commit(decision);
    for broker in 1..=3 {
        let led =
            cluster.image().topics().filter(|t| t.partition(0).unwrap().leader == Some(BrokerId(broker)));
        assert!(led.count() >= 2, "broker {broker}");
    }
}

#[test]
fn one_broker_cannot_hold_two_replicas() {
    let mut cluster = Cluster::of(1);
    let topic = cluster.topic("orders", 1, 3);
    assert_eq!(
        refused(&mut cluster, topic),
        (
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered."
                .to_owned()
        )
    );
}

#[test]
fn without_an_unfenced_broker_nothing_is_created() {
    let mut cluster = Cluster::new("");
    cluster.register(1, None);
    let topic = cluster.topic("orders", 1, 1);
    let (error, message) = refused(&mut cluster, topic);
    assert_eq!(error, ErrorCode::InvalidReplicationFactor);
    assert!(message.ends_with("All brokers are currently fenced."), "{message}");
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let mut cluster = Cluster::of(1);
    for (partitions, replicas, error) in [
        (0, 1, ErrorCode::InvalidPartitions),
        (-2, 1, ErrorCode::InvalidPartitions),
        (1, 0, ErrorCode::InvalidReplicationFactor),
        (1, -2, ErrorCode::InvalidReplicationFactor),
        (MAX_PARTITIONS_PER_REQUEST as i32 + 1, 1, ErrorCode::PolicyViolation),
        (i32::MAX, 1, ErrorCode::PolicyViolation),
    ] {
        let topic = cluster.topic("orders", partitions, replicas);
        assert_eq!(refused(&mut cluster, topic).0, error, "{partitions} x {replicas}");
    }
}

#[test]
fn the_bound_on_partitions_holds_for_all_topics_of_a_request_together() {
    let mut cluster = Cluster::of(1);
    let half = MAX_PARTITIONS_PER_REQUEST as i32 / 2;
    let topics = vec![cluster.topic("a", half, 1), cluster.topic("b", half, 1), cluster.topic("c", 1, 1)];
    let decision = cluster.controller.create_topics(&CreateTopics { topics, ..Default::default() });
    let answers = cluster.commit(decision);
    assert!(answers[0].is_ok() && answers[1].is_ok());
    assert_eq!(answers[2].as_ref().unwrap_err().error, ErrorCode::PolicyViolation);
    assert_eq!(cluster.image().partition_count(), MAX_PARTITIONS_PER_REQUEST);
}

#[test]
fn names_are_checked_for_form_existence_and_collision() {
    let mut cluster = Cluster::of(1);
    cluster.created("a.b", 1, 1);
    for (name, error, message) in [
        ("", ErrorCode::InvalidTopicException, "the topic name is empty"),
        ("a/b", ErrorCode::InvalidTopicException, "the topic name \"a/b\" contains"),
        ("a.b", ErrorCode::TopicAlreadyExists, "Topic 'a.b' already exists."),
        ("a_b", ErrorCode::InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"),
    ] {
        let topic = cluster.topic(name, 1, 1);
        let (found, text) = refused(&mut cluster, topic);
        assert_eq!(found, error, "{name}");
        assert!(text.starts_with(message), "{text}");
    }
}

#[test]
fn topics_of_one_request_collide_with_each_other_too() {
    let mut cluster = Cluster::of(1);
    let topics = vec![cluster.topic("a.b", 1, 1), cluster.topic("a_b", 1, 1)];
    let decision = cluster.controller.create_topics(&CreateTopics { topics, ..Default::default() });
    let answers = cluster.commit(decision);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().error, ErrorCode::InvalidTopicException);
}

#[test]
fn a_refused_topic_does_not_keep_the_others_from_being_made() {
    let mut cluster = Cluster::of(1);
    let topics = vec![cluster.topic("a", 0, 1), cluster.topic("b", 2, 1)];
    let decision = cluster.controller.create_topics(&CreateTopics { topics, ..Default::default() });
    let answers = cluster.commit(decision);
    assert!(answers[0].is_err() && answers[1].is_ok());
    assert_eq!(cluster.image().topic_count(), 1);
}

#[test]
fn replicas_can_be_assigned_by_hand() {
    let mut cluster = Cluster::of(3);
    cluster.set_fenced(3, true);
    let topic = NewTopic {
        assignments: assignments(&[(1, &[2, 1]), (0, &[3, 1])]),
        ..cluster.topic("orders", -1, -1)
    };
    let created = cluster.create(topic).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
    assert_eq!(cluster.replicas("orders"), [[3, 1], [2, 1]]);
    let first = cluster.partition("orders", 0);
    assert_eq!(
        (first.leader, ids(&first.isr)),
        (Some(BrokerId(1)), vec![1]),
        "a fenced replica is not in sync"
    );
}

/// Assignments, partitions, replicas, and how they are refused.
type AssignedCase = (&'static [(i32, &'static [i32])], i32, i16, ErrorCode, &'static str);

#[test]
fn assignments_by_hand_are_checked() {
    let mut cluster = Cluster::of(3);
    cluster.set_fenced(3, true);
    let cases: &[AssignedCase] = &[
        (&[(0, &[1])], 1, -1, ErrorCode::InvalidRequest, "numPartitions was not set to -1"),
        (&[(0, &[1])], -1, 1, ErrorCode::InvalidRequest, "replication factor was not set to -1"),
        (&[(0, &[])], -1, -1, ErrorCode::InvalidReplicaAssignment, "empty replica list"),
        (&[(0, &[4])], -1, -1, ErrorCode::InvalidReplicaAssignment, "broker 4, but no such broker"),
        (&[(0, &[1, 1])], -1, -1, ErrorCode::InvalidReplicaAssignment, "broker 1 more than once"),
        (&[(0, &[1]), (0, &[2])], -1, -1, ErrorCode::InvalidReplicaAssignment, "multiple manual partition"),
        (&[(0, &[1]), (2, &[2])], -1, -1, ErrorCode::InvalidReplicaAssignment, "consecutive 0-based"),
        (&[(1, &[1])], -1, -1, ErrorCode::InvalidReplicaAssignment, "consecutive 0-based"),
        (&[(-1, &[1])], -1, -1, ErrorCode::InvalidReplicaAssignment, "partition -1"),
        (&[(0, &[1]), (1, &[1, 2])], -1, -1, ErrorCode::InvalidReplicaAssignment, "not consistent"),
        (&[(0, &[3])], -1, -1, ErrorCode::InvalidReplicaAssignment, "are fenced"),
    ];
    for (lists, partitions, factor, error, why) in cases {
        let topic =
            NewTopic { assignments: assignments(lists), ..cluster.topic("orders", *partitions, *factor) };
        let (found, message) = refused(&mut cluster, topic);
        assert_eq!(found, *error, "{lists:?}");
        assert!(message.contains(why), "{lists:?}: {message}");
    }
}

#[test]
fn a_topics_configuration_comes_with_it_and_is_checked() {
    let mut cluster = Cluster::of(1);
    let config = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    let topic = NewTopic {
        configs: vec![config("retention.ms", Some("60000")), config("segment.ms", None)],
        ..cluster.topic("orders", 1, 1)
    };
    let created = cluster.create(topic).unwrap();
    assert_eq!(created.configs, [("retention.ms".to_owned(), "60000".to_owned())]);
    let set = cluster.image().configs(&on_topic("orders")).unwrap();
    assert_eq!(set.iter().collect::<Vec<_>>(), [("retention.ms", "60000")]);
    for (configs, error) in [
        (vec![config("retention.ms", Some("soon"))], ErrorCode::InvalidConfig),
        (vec![config("no.such.key", Some("1"))], ErrorCode::InvalidConfig),
        (vec![config("segment.ms", Some("1")), config("segment.ms", Some("2"))], ErrorCode::InvalidRequest),
    ] {
        let topic = NewTopic { configs, ..cluster.topic("other", 1, 1) };
        assert_eq!(refused(&mut cluster, topic).0, error);
    }
}

#[test]
fn a_deleted_topic_takes_its_partitions_and_its_configuration_with_it() {
    let mut cluster = Cluster::of(1);
    let first = cluster.created("orders", 3, 1);
    cluster.configure(on_topic("orders"), "retention.ms", ConfigOp::Set("1".into())).unwrap();
    let decision = cluster.controller.delete_topics(&[TopicRef::Name("orders".into())]);
    let deleted = cluster.commit(decision).remove(0).unwrap();
    assert_eq!((deleted.name.as_str(), deleted.id), ("orders", first.id));
    assert_eq!((cluster.image().topic_count(), cluster.image().partition_count()), (0, 0));
    let second = cluster.created("orders", 1, 1);
    assert_ne!(first.id, second.id);
    assert_eq!(cluster.image().configs(&on_topic("orders")), None, "the new topic starts without");
}

#[test]
fn topics_are_deleted_by_name_or_by_id_each_by_itself() {
    let mut cluster = Cluster::of(1);
    let id = cluster.created("a", 1, 1).id;
    let request = [
        TopicRef::Name("none".into()),
        TopicRef::Id(TopicId([99; 16])),
        TopicRef::Id(id),
        TopicRef::Name("a".into()),
    ];
    let decision = cluster.controller.delete_topics(&request);
    assert_eq!(decision.records.len(), 1, "a topic named twice is deleted once");
    let answers = cluster.commit(decision);
    assert_eq!(answers[0].as_ref().unwrap_err().error, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(answers[1].as_ref().unwrap_err().error, ErrorCode::UnknownTopicId);
    assert!(answers[2].is_ok() && answers[3].is_ok());
}

#[test]
fn deletion_can_be_switched_off() {
    let mut cluster = Cluster::new("delete.topic.enable=false");
    cluster.start(1, None);
    cluster.created("a", 1, 1);
    let decision = cluster.controller.delete_topics(&[TopicRef::Name("a".into())]);
    let answer = cluster.commit(decision).remove(0);
    assert_eq!(answer.unwrap_err().error, ErrorCode::TopicDeletionDisabled);
    assert_eq!(cluster.image().topic_count(), 1);
}

fn more(cluster: &mut Cluster, count: i32, lists: Option<&[&[i32]]>) -> Result<(), (ErrorCode, String)> {
    let assignments =
        lists.map(|lists| lists.iter().map(|ids| ids.iter().copied().map(BrokerId).collect()).collect());
    let topics = vec![MorePartitions { topic: "orders".into(), count, assignments }];
    let request = CreatePartitions { topics, validate_only: false, seed: 0 };
    let decision = cluster.controller.create_partitions(&request);
    cluster.commit(decision).remove(0).map_err(|refused| (refused.error, refused.message))
}

#[test]
fn partitions_can_be_added() {
    let mut cluster = Cluster::of(3);
    cluster.created("orders", 2, 2);
    more(&mut cluster, 3, None).unwrap();
    assert_eq!(cluster.replicas("orders").len(), 3);
    assert_eq!(cluster.replicas("orders")[2].len(), 2, "with as many replicas as the others");
    more(&mut cluster, 5, Some(&[&[3, 1], &[2, 1]])).unwrap();
    assert_eq!(cluster.replicas("orders")[3..], [[3, 1], [2, 1]]);
    assert_eq!(cluster.image().partition_count(), 5);
}

/// Partitions in all, assignments, and how they are refused.
type AddedCase = (i32, Option<&'static [&'static [i32]]>, ErrorCode, &'static str);

#[test]
fn added_partitions_are_checked() {
    let mut cluster = Cluster::of(3);
    let missing = more(&mut cluster, 3, None).unwrap_err();
    assert_eq!(missing.0, ErrorCode::UnknownTopicOrPartition);
    cluster.created("orders", 2, 2);
    let cases: &[AddedCase] = &[
        (2, None, ErrorCode::InvalidPartitions, "Topic already has 2 partition(s)."),
        (1, None, ErrorCode::InvalidPartitions, "would not be an increase"),
        (-1, None, ErrorCode::InvalidPartitions, "would not be an increase"),
        (i32::MAX, None, ErrorCode::PolicyViolation, "Excessively large"),
        (4, Some(&[&[1, 2]]), ErrorCode::InvalidReplicaAssignment, "only 1 assignment(s)"),
        (3, Some(&[&[1]]), ErrorCode::InvalidReplicaAssignment, "not consistent"),
        (3, Some(&[&[1, 9]]), ErrorCode::InvalidReplicaAssignment, "no such broker"),
    ];
    for (count, lists, error, why) in cases {
        let (found, message) = more(&mut cluster, *count, *lists).unwrap_err();
        assert_eq!(found, *error, "{count}");
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(cluster.image().partition_count(), 2);
}

#[test]
fn validate_only_says_the_same_and_changes_nothing() {
    let mut cluster = Cluster::of(1);
    let topics = vec![cluster.topic("orders", 2, 1), cluster.topic("bad", 0, 1)];
    let request = CreateTopics { topics, validate_only: true, seed: 0 };
    let dry = cluster.controller.create_topics(&request);
    assert!(dry.records.is_empty());
    assert_eq!(cluster.controller.speculative().topic_count(), 0);
    let wet = cluster.controller.create_topics(&CreateTopics { validate_only: false, ..request });
    assert_eq!(dry.answer, wet.answer);
}
