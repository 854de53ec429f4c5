//! OffsetCommit, OffsetFetch and OffsetDelete.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{GROUP, World, commit, fetch, join, name, protocols};
use ottla_groups::answer::FetchOffsetsAnswer;
use ottla_groups::record::{Key, OffsetValue};
use ottla_groups::request::{Commit, Join};
use ottla_groups::{Answer, GroupConfig, Request, Sweep, Ticket};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId};

fn fetched(world: &World, ticket: Ticket) -> &FetchOffsetsAnswer {
    let Answer::FetchOffsets(answer) = world.answer(ticket) else { panic!("{ticket:?} is no fetch") };
    answer
}

#[test]
fn a_commit_is_answered_and_told_when_it_is_in_the_log() {
    let mut world = World::slow();
    let ticket = world.commit("", -1, "topic", 0, 42);
    assert!(world.is_waiting(ticket));
    assert_eq!(world.fetch("topic", 0), -1);
    world.commit_log();
    assert_eq!(world.commit_error(ticket), ErrorCode::None);
    let asked =
        world.ask(Request::FetchOffsets(fetch(Some(&[("topic", 0), ("topic", 1), ("other", 0)]), false)));
    let partitions: Vec<_> =
        fetched(&world, asked).topics.iter().map(|topic| topic.partitions[0].clone()).collect();
    assert_eq!((partitions[0].offset, partitions[0].leader_epoch), (Offset(42), LeaderEpoch(3)));
    assert_eq!(partitions[0].metadata, "kept");
    for unknown in &partitions[1..] {
        assert_eq!((unknown.offset, unknown.leader_epoch), (Offset(-1), LeaderEpoch::NONE));
        assert_eq!((unknown.metadata.as_str(), unknown.error), ("", ErrorCode::None));
    }
}

#[test]
fn a_commit_is_written_with_its_topic_id() {
    let mut world = World::new();
    let mut request = commit("", -1, "topic", 5, 42);
    request.topics[0].topic_id = TopicId([7; 16]);
    world.ask(Request::Commit(request));
    let record = &world.log[0];
    assert_eq!(Key::decode(&record.key), Ok(Key::Offset { group: GROUP, topic: "topic", partition: 5 }));
    let value = OffsetValue::decode(record.value.as_deref().unwrap()).unwrap();
    assert_eq!((value.topic_id, value.commit_timestamp_ms), (TopicId([7; 16]), world.now_ms));
}

#[test]
fn of_a_partition_that_a_commit_names_twice_the_last_offset_counts() {
    let twice = || {
        let mut request = commit("", -1, "topic", 0, 43);
        let mut last = request.topics[0].partitions[0].clone();
        last.offset = Offset(44);
        request.topics[0].partitions.push(last);
        Request::Commit(request)
    };
    let mut world = World::slow();
    world.commit("", -1, "topic", 0, 42);
    world.ask(twice());
    world.commit("", -1, "topic", 0, 45);
    for offset in [42, 44, 45] {
        world.commit_one();
        assert_eq!(world.fetch("topic", 0), offset);
    }
    world.ask(twice());
    world.fail_last(1, ErrorCode::NotLeaderOrFollower);
    assert_eq!(world.fetch("topic", 0), 45);
    assert_eq!(world.shard.census().offsets, 1);
}

#[test]
fn a_commit_whose_records_would_be_thousands_of_times_its_size_is_refused_before_they_are_made() {
    let mut world = World::new();
    let mut request = commit("", -1, "topic", 0, 42);
    request.group_id = "g".repeat(i16::MAX as usize);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = vec![partition; 4_000];
    let ticket = world.ask(Request::Commit(request));
    assert_eq!(world.commit_error(ticket), ErrorCode::UnknownServerError, "as of a batch that is too large");
    assert_eq!((world.log.len(), world.shard.census().empty), (0, 0));
}

#[test]
fn an_offset_of_an_earlier_topic_of_the_same_name_is_not_told_to_who_asks_by_id() {
    let mut world = World::new();
    let mut request = commit("", -1, "topic", 0, 42);
    request.topics[0].topic_id = TopicId([1; 16]);
    world.ask(Request::Commit(request));
    world.commit("", -1, "old", 0, 43);
    for (topic, topic_id, offset) in [
        ("topic", TopicId([1; 16]), 42),
        ("topic", TopicId([2; 16]), -1),
        ("topic", TopicId::ZERO, 42),
        ("old", TopicId([2; 16]), 43),
    ] {
        let mut request = fetch(Some(&[(topic, 0)]), false);
        request.topics.as_mut().unwrap()[0].topic_id = topic_id;
        let asked = world.ask(Request::FetchOffsets(request));
        assert_eq!(
            fetched(&world, asked).topics[0].partitions[0].offset,
            Offset(offset),
            "{topic} {topic_id}"
        );
    }
}

#[test]
fn a_commit_that_cannot_be_written_leaves_what_was_committed_before() {
    let mut world = World::slow();
    world.commit("", -1, "topic", 0, 1);
    world.commit_log();
    let second = world.commit("", -1, "topic", 0, 2);
    let third = world.commit("", -1, "topic", 0, 3);
    world.fail_last(2, ErrorCode::NotLeaderOrFollower);
    assert_eq!(world.commit_error(second), ErrorCode::NotCoordinator);
    assert_eq!(world.commit_error(third), ErrorCode::NotCoordinator);
    assert_eq!(world.fetch("topic", 0), 1);
    let fourth = world.commit("", -1, "topic", 0, 4);
    world.commit_log();
    assert_eq!((world.commit_error(fourth), world.fetch("topic", 0)), (ErrorCode::None, 4));
}

#[test]
fn who_waited_is_told_what_kafka_makes_of_the_logs_error() {
    for (logs, told) in [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::UnknownTopicOrPartition, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::RequestTimedOut, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::NetworkException, ErrorCode::CoordinatorLoadInProgress),
        (ErrorCode::NotLeaderOrFollower, ErrorCode::NotCoordinator),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
        (ErrorCode::MessageTooLarge, ErrorCode::UnknownServerError),
        (ErrorCode::RecordListTooLarge, ErrorCode::UnknownServerError),
        (ErrorCode::InvalidFetchSize, ErrorCode::UnknownServerError),
        (ErrorCode::PolicyViolation, ErrorCode::PolicyViolation),
    ] {
        let mut world = World::slow();
        let ticket = world.commit("", -1, "topic", 0, 1);
        world.fail_last(1, logs);
        assert_eq!(world.commit_error(ticket), told);
    }
}

#[test]
fn a_change_that_fails_leaves_those_before_it_on_their_way() {
    let mut world = World::slow();
    let first = world.commit("", -1, "topic", 0, 1);
    let second = world.commit("", -1, "topic", 0, 2);
    world.fail_last(1, ErrorCode::RequestTimedOut);
    assert_eq!(world.commit_error(second), ErrorCode::CoordinatorNotAvailable);
    assert!(world.is_waiting(first));
    world.commit_log();
    assert_eq!((world.commit_error(first), world.fetch("topic", 0)), (ErrorCode::None, 1));
}

#[test]
fn who_asks_for_stable_offsets_waits_for_commits_on_their_way() {
    let mut world = World::slow();
    world.commit("", -1, "topic", 0, 1);
    let asked = world.ask(Request::FetchOffsets(fetch(Some(&[("topic", 0)]), true)));
    assert!(world.is_waiting(asked));
    world.commit_log();
    assert_eq!(fetched(&world, asked).topics[0].partitions[0].offset, Offset(1));
    world.commit("", -1, "topic", 0, 2);
    let asked = world.ask(Request::FetchOffsets(fetch(None, true)));
    world.fail_last(1, ErrorCode::NotEnoughReplicas);
    assert_eq!(fetched(&world, asked).error, ErrorCode::CoordinatorNotAvailable);
}

#[test]
fn all_offsets_of_a_group_are_told_when_no_topics_are_named() {
    let mut world = World::new();
    for (topic, partition, offset) in [("b", 1, 1), ("a", 2, 2), ("b", 0, 3)] {
        world.commit("", -1, topic, partition, offset);
    }
    let asked = world.ask(Request::FetchOffsets(fetch(None, false)));
    let told: Vec<_> = fetched(&world, asked)
        .topics
        .iter()
        .map(|topic| (topic.topic.as_str(), topic.partitions.iter().map(|p| p.offset.0).collect::<Vec<_>>()))
        .collect();
    assert_eq!(told, [("a", vec![2]), ("b", vec![3, 1])]);
}

#[test]
fn metadata_is_limited_in_utf_16_units_and_by_what_a_record_holds() {
    let mut world = World::with(GroupConfig { offset_metadata_max_bytes: 4, ..GroupConfig::default() });
    let with = |metadata: &str| {
        let mut request = commit("", -1, "topic", 0, 1);
        request.topics[0].partitions[0].metadata = metadata.to_owned();
        let mut other = request.topics[0].clone();
        other.partitions[0].partition = 1;
        other.partitions[0].metadata = String::new();
        request.topics.push(other);
        Request::Commit(request)
    };
    let fits = world.ask(with("ääää"));
    assert_eq!(world.commit_error(fits), ErrorCode::None);
    let long = world.ask(with("abcde"));
    assert_eq!(world.commit_error(long), ErrorCode::OffsetMetadataTooLarge);
    let Answer::Commit(topics) = world.answer(long) else { panic!() };
    assert_eq!(topics[1].partitions, [(1, ErrorCode::None)], "the others are committed");
    let mut world = World::with(GroupConfig { offset_metadata_max_bytes: 100_000, ..GroupConfig::default() });
    let unrecordable = world.ask(with(&"x".repeat(32_768)));
    assert_eq!(world.commit_error(unrecordable), ErrorCode::OffsetMetadataTooLarge);
}

#[test]
fn a_commit_of_nothing_waits_for_those_before_it() {
    let mut world = World::slow();
    world.commit("", -1, "topic", 0, 1);
    let nothing = world.ask(Request::Commit(Commit { topics: Vec::new(), ..commit("", -1, "topic", 0, 1) }));
    assert!(world.is_waiting(nothing));
    world.commit_log();
    assert_eq!(*world.answer(nothing), Answer::Commit(Vec::new()));
}

#[test]
fn members_commit_in_their_generation_only() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    let good = world.commit("a", generation, "topic", 0, 1);
    assert_eq!(world.commit_error(good), ErrorCode::None);
    let old = world.commit("a", generation - 1, "topic", 0, 2);
    assert_eq!(world.commit_error(old), ErrorCode::IllegalGeneration);
    let ghost = world.commit("ghost", generation, "topic", 0, 2);
    assert_eq!(world.commit_error(ghost), ErrorCode::UnknownMemberId);
    let outside = world.commit("", -1, "topic", 0, 2);
    assert_eq!(world.commit_error(outside), ErrorCode::UnknownMemberId);
    assert_eq!(world.fetch("topic", 0), 1);
}

#[test]
fn members_may_commit_before_they_rejoin_but_not_before_they_are_assigned_to() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.ask(Request::Join(join("b")));
    let preparing = world.commit("a", generation, "topic", 0, 1);
    assert_eq!(world.commit_error(preparing), ErrorCode::None);
    world.ask(Request::Join(common::rejoin("a")));
    let completing = world.commit("a", generation + 1, "topic", 0, 2);
    assert_eq!(world.commit_error(completing), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_commit_keeps_a_session() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    for offset in 0..5 {
        world.advance(9_000);
        let ticket = world.commit("a", generation, "topic", 0, offset);
        assert_eq!(world.commit_error(ticket), ErrorCode::None);
    }
}

#[test]
fn a_member_of_a_group_that_is_not_there_is_told_so_in_its_versions_words() {
    let mut world = World::new();
    let new = world.commit("a", 1, "topic", 0, 1);
    assert_eq!(world.commit_error(new), ErrorCode::GroupIdNotFound);
    let request = Commit { knows_group_id_not_found: false, ..commit("a", 1, "topic", 0, 1) };
    let old = world.ask(Request::Commit(request));
    assert_eq!(world.commit_error(old), ErrorCode::IllegalGeneration);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn a_commit_from_outside_makes_a_group_that_is_listed_once_it_is_written() {
    let mut world = World::slow();
    world.commit("", -1, "topic", 0, 1);
    assert_eq!((world.state(), world.list(&[], &[]).len()), ("Dead", 0));
    world.commit_log();
    assert_eq!((world.state(), world.list(&[], &[]).len()), ("Empty", 1));
    let described = world.describe();
    assert_eq!((described.protocol_type.as_str(), described.error), ("", ErrorCode::None));
}

#[test]
fn the_nameless_group_of_very_old_clients_holds_offsets() {
    let mut world = World::new();
    let request = Commit { group_id: String::new(), ..commit("", -1, "topic", 0, 1) };
    let ticket = world.ask(Request::Commit(request));
    assert_eq!(world.commit_error(ticket), ErrorCode::None);
}

#[test]
fn offsets_are_deleted_unless_members_read_the_topic() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "topic", 0, 1);
    world.commit("a", generation, "left", 0, 1);
    assert_eq!(world.delete_offset("topic", 0), Ok(ErrorCode::GroupSubscribedToTopic));
    assert_eq!(world.delete_offset("left", 0), Ok(ErrorCode::None));
    assert_eq!(world.delete_offset("left", 9), Ok(ErrorCode::None), "there is none, which is as good");
    assert_eq!(world.fetch_all().len(), 1);
    world.leave(&["a"]);
    assert_eq!(world.delete_offset("topic", 0), Ok(ErrorCode::None));
    assert_eq!(world.fetch_all().len(), 0);
    world.restart();
    assert_eq!(world.fetch_all().len(), 0);
}

#[test]
fn offsets_of_groups_whose_topics_are_not_known_are_not_deleted() {
    let mut world = World::new();
    let mut opaque = protocols(&["range"], &[]);
    opaque[0].metadata = "not a subscription".into();
    let a = world.ask(Request::Join(Join { protocols: opaque, ..join("a") }));
    world.advance(3_000);
    let generation = world.joined(a).generation.0;
    world.sync_all(&["a"], generation);
    world.commit("a", generation, "topic", 0, 1);
    assert_eq!(world.delete_offset("topic", 0), Ok(ErrorCode::GroupSubscribedToTopic));
}

#[test]
fn offsets_of_groups_of_other_kinds_are_not_deleted_while_they_have_members() {
    let mut world = World::new();
    let a = world.ask(Request::Join(Join { protocol_type: "connect".to_owned(), ..join("a") }));
    world.advance(3_000);
    assert_eq!(world.joined(a).error, ErrorCode::None);
    assert_eq!(world.delete_offset("topic", 0), Err(ErrorCode::NonEmptyGroup));
}

#[test]
fn offsets_of_no_group_cannot_be_deleted() {
    assert_eq!(World::new().delete_offset("topic", 0), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it_whoever_reads_it() {
    let mut world = World::new();
    let generation = world.stable(&["a"]);
    world.commit("a", generation, "topic", 0, 1);
    world.commit("a", generation, "topic", 1, 1);
    world.commit("a", generation, "stays", 0, 1);
    let deleted = ["topic", "never-there"].map(|topic| (name(topic), TopicId([7; 16])));
    assert_eq!(world.sweep(Sweep::topics(deleted)), [2]);
    assert_eq!(world.fetch_all().into_keys().collect::<Vec<_>>(), [("stays".to_owned(), 0)]);
    assert_eq!(world.shard.census().offsets, 1);
}

#[test]
fn offsets_of_a_deleted_topic_go_and_those_of_its_successor_stay() {
    let mut world = World::new();
    let [old, new] = [TopicId([1; 16]), TopicId([2; 16])];
    for (partition, id) in [(0, old), (1, new), (2, TopicId::ZERO)] {
        let mut request = commit("", -1, "topic", partition, 5);
        request.topics[0].topic_id = id;
        world.ask(Request::Commit(request));
    }
    world.sweep(Sweep::topics([(name("topic"), old)]));
    assert_eq!(world.fetch_all().into_keys().collect::<Vec<_>>(), [("topic".to_owned(), 1)]);
}
