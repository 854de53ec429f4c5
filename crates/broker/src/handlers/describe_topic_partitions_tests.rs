//! Pages of partitions: where they end, where the next one starts, and what is on them.

use ottla_metadata::record::{Partition, PartitionEpoch, Record, Topic};
use ottla_types::{DirectoryId, LeaderEpoch, TopicId};

use super::*;

/// `a` with 3 partitions, `b` with 2, `c` with 1.
fn image() -> Image {
    let mut image = Image::default();
    for (name, id, partitions) in [("b", 2, 2), ("c", 3, 1), ("a", 1, 3)] {
        let topic = TopicId([id; 16]);
        let name = TopicName::new(name).unwrap();
        image.apply(&Record::Topic(Topic { name, id: topic })).unwrap();
        for index in 0..partitions {
            let state = PartitionState {
                replicas: [BrokerId(1), BrokerId(2)].into(),
                directories: [DirectoryId::ZERO; 2].into(),
                isr: [BrokerId(1)].into(),
                elr: [BrokerId(2)].into(),
                leader: Some(BrokerId(1)),
                leader_epoch: LeaderEpoch(4),
                partition_epoch: PartitionEpoch(0),
                ..PartitionState::default()
            };
            image.apply(&Record::Partition(Partition { topic, index, state })).unwrap();
        }
    }
    image
}

fn ask(topics: &[&str], cursor: Option<(&str, i32)>, limit: i32) -> DescribeTopicPartitionsResponse {
    let request = DescribeTopicPartitionsRequest {
        topics: topics
            .iter()
            .map(|name| TopicRequest { name: (*name).into(), ..Default::default() })
            .collect(),
        cursor: cursor.map(|(topic, index)| super::cursor(topic.into(), index)),
        ..DescribeTopicPartitionsRequest::default()
    };
    describe(&image(), request, limit)
}

/// A response in short: `a 0 1 | b 0 -> b 1`, an error by its name.
fn page(topics: &[&str], cursor: Option<(&str, i32)>, limit: i32) -> String {
    let response = ask(topics, cursor, limit);
    let topic = |topic: &DescribeTopicPartitionsResponseTopic| {
        let mut words = vec![topic.name.as_deref().unwrap().to_owned()];
        words.extend(topic.partitions.iter().map(|partition| partition.partition_index.to_string()));
        if topic.error_code != 0 {
            words.push(ErrorCode::from_code(topic.error_code).unwrap().name().to_owned());
        }
        words.join(" ")
    };
    let topics = response.topics.iter().map(topic).collect::<Vec<_>>().join(" | ");
    match response.next_cursor {
        Some(next) => format!("{topics} -> {} {}", next.topic_name, next.partition_index),
        None => topics,
    }
}

#[test]
fn no_topics_are_all_topics_in_the_order_of_their_names() {
    assert_eq!(page(&[], None, 100), "a 0 1 2 | b 0 1 | c 0");
}

#[test]
fn a_page_ends_at_the_limit_and_says_where_the_next_one_starts() {
    assert_eq!(page(&[], None, 2), "a 0 1 -> a 2");
    assert_eq!(page(&[], Some(("a", 2)), 2), "a 2 | b 0 -> b 1");
    assert_eq!(page(&[], Some(("b", 1)), 2), "b 1 | c 0");
}

#[test]
fn a_page_that_ends_with_a_topic_goes_on_with_the_next_one() {
    assert_eq!(page(&[], None, 3), "a 0 1 2 -> b 0");
    assert_eq!(page(&[], None, 6), "a 0 1 2 | b 0 1 | c 0");
    assert_eq!(page(&["a", "nowhere"], None, 3), "a 0 1 2 -> nowhere 0");
}

#[test]
fn topics_are_answered_once_and_sorted_whatever_the_request_does() {
    assert_eq!(page(&["c", "a", "c"], None, 100), "a 0 1 2 | c 0");
}

#[test]
fn a_cursor_at_a_topic_that_is_gone_goes_on_after_it() {
    assert_eq!(page(&[], Some(("aa", 7)), 100), "b 0 1 | c 0");
    assert_eq!(page(&[], Some(("a b", 7)), 100), "b 0 1 | c 0");
    assert_eq!(page(&[], Some(("a", 3)), 100), "a | b 0 1 | c 0");
}

#[test]
fn unknown_and_impossible_topics_say_so_and_take_no_room() {
    let expected = "a 0 1 2 | b/ INVALID_TOPIC_EXCEPTION | bb UNKNOWN_TOPIC_OR_PARTITION | c 0";
    assert_eq!(page(&["c", "bb", "b/", "a"], None, 4), expected);
}

#[test]
fn a_cursor_that_does_not_belong_to_the_request_is_refused() {
    assert_eq!(page(&["a", "b"], Some(("c", 0)), 100), "a INVALID_REQUEST | b INVALID_REQUEST");
    assert_eq!(page(&["a"], Some(("a", -1)), 100), "a INVALID_REQUEST");
}

#[test]
fn a_partition_shows_its_leader_its_replicas_and_those_that_may_be_elected() {
    let topic = ask(&["c"], None, 100).topics.remove(0);
    assert_eq!(
        (topic.topic_id, topic.topic_authorized_operations),
        (TopicId([3; 16]).into(), TOPIC_OPERATIONS)
    );
    let partition = &topic.partitions[0];
    assert_eq!((partition.leader_id, partition.leader_epoch), (1, 4));
    assert_eq!(partition.replica_nodes, [1, 2]);
    assert_eq!(partition.isr_nodes, [1]);
    assert_eq!(partition.eligible_leader_replicas, Some(vec![2]));
    assert_eq!(partition.last_known_elr, Some(vec![]));
    assert_eq!(partition.offline_replicas, [1, 2], "neither broker is registered");
}
