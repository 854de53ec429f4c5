//! OffsetFetch, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};

use crate::common::groups::{QUICK, fetch_request, simple};
use crate::common::{Client, TestBroker, Topic, error};

async fn ready() -> (TestBroker, Client, Topic) {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 3, &[]).await;
    client.commit(9, &simple("g"), &topic, &[(0, 5), (2, 7)]).await;
    (broker, client, topic)
}

#[tokio::test]
async fn every_version_tells_what_was_committed_in_the_order_in_which_it_is_asked() {
    let (_broker, mut client, topic) = ready().await;
    for version in 1..=10 {
        let told = client.committed(version, "g", &topic, &[2, 1, 0, 2, 9]).await;
        let none = |index| (index, Ok((-1, -1, String::new())));
        let at = |index: i32, offset: i64| (index, Ok((offset, -1, format!("{index} at {offset}"))));
        assert_eq!(told, [at(2, 7), none(1), at(0, 5), none(9)], "version {version}: each once");
        assert_eq!(client.committed(version, "unknown", &topic, &[0]).await, [none(0)]);
    }
}

#[tokio::test]
async fn from_2_on_all_offsets_of_a_group_are_told_to_who_names_none() {
    let (_broker, mut client, topic) = ready().await;
    for version in 2..=10 {
        let response = client.call(version, fetch_request(version, "g", None, &[])).await;
        let told: Vec<_> = if version >= 8 {
            let topics = response.groups[0].topics.iter();
            let tell = |t: &ottla_wire::offset_fetch::OffsetFetchResponseTopics| {
                let offsets: Vec<_> =
                    t.partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect();
                (t.name.clone(), t.topic_id, offsets)
            };
            topics.map(tell).collect()
        } else {
            let topics = response.topics.iter();
            let tell = |t: &ottla_wire::offset_fetch::OffsetFetchResponseTopic| {
                let offsets: Vec<_> =
                    t.partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect();
                (t.name.clone(), Uuid::ZERO, offsets)
            };
            topics.map(tell).collect()
        };
        let (name, id) = if version >= 10 { ("", topic.id) } else { ("t", Uuid::ZERO) };
        assert_eq!(told, [(name.into(), id, vec![(0, 5), (2, 7)])], "version {version}");
    }
}

#[tokio::test]
async fn from_8_on_several_groups_are_told_of_each_once_and_in_their_order() {
    let (_broker, mut client, topic) = ready().await;
    client.commit(9, &simple("h"), &topic, &[(1, 1)]).await;
    for version in 8..=10 {
        let group =
            |id: &str| OffsetFetchRequestGroup { group_id: id.into(), topics: None, ..Default::default() };
        let groups = vec![group("h"), group("g"), group("none"), group("h")];
        let response = client
            .call(version, OffsetFetchRequest { groups, require_stable: true, ..Default::default() })
            .await;
        let told: Vec<_> = response.groups.iter().map(|g| (g.group_id.as_str(), g.topics.len())).collect();
        assert_eq!(told, [("h", 1), ("g", 1), ("none", 0)]);
        assert!(response.groups.iter().all(|group| group.error_code == 0));
    }
}

#[tokio::test]
async fn an_id_that_is_no_topics_is_refused_and_a_name_that_cannot_be_one_has_no_offset() {
    let (_broker, mut client, _) = ready().await;
    let unknown = Topic { name: "u".into(), id: Uuid([9; 16]) };
    let told = client.committed(10, "g", &unknown, &[0]).await;
    assert_eq!(told, [(0, Err(ErrorCode::UnknownTopicId))]);
    let impossible = Topic::named("no topic: has spaces");
    for version in 1..=9 {
        let told = client.committed(version, "g", &impossible, &[0]).await;
        assert_eq!(told, [(0, Ok((-1, -1, String::new())))]);
    }
}

#[tokio::test]
async fn an_error_of_the_group_is_told_with_each_partition_before_there_is_a_place_for_it() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let expected = ErrorCode::NotCoordinator;
    let response = client.call(1, fetch_request(1, "g", Some(&topic), &[0])).await;
    let partition = &response.topics[0].partitions[0];
    assert_eq!((error(partition.error_code), partition.committed_offset), (expected, -1));
    for version in 2..=7 {
        let response = client.call(version, fetch_request(version, "g", Some(&topic), &[0])).await;
        assert_eq!((error(response.error_code), response.topics.len()), (expected, 0));
    }
    for version in 8..=10 {
        let response = client.call(version, fetch_request(version, "g", Some(&topic), &[0])).await;
        let [group] = &response.groups[..] else { panic!("{response:?}") };
        assert_eq!((error(group.error_code), group.topics.len()), (expected, 0));
    }
}
