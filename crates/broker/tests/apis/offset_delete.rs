//! OffsetDelete, in its one version.

use ottla_types::ErrorCode;
use ottla_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use crate::common::groups::{QUICK, simple};
use crate::common::{Client, TestBroker, error};

/// Deletes offsets, and tells the error of the whole and those of the partitions.
async fn delete(
    client: &mut Client,
    group: &str,
    topics: &[(&str, &[i32])],
) -> (ErrorCode, Vec<(String, Vec<(i32, ErrorCode)>)>) {
    let partition = |&partition_index: &i32| OffsetDeleteRequestPartition {
        partition_index,
        ..OffsetDeleteRequestPartition::default()
    };
    let topic = |&(name, partitions): &(&str, &[i32])| OffsetDeleteRequestTopic {
        name: name.into(),
        partitions: partitions.iter().map(partition).collect(),
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: topics.iter().map(topic).collect(),
        ..OffsetDeleteRequest::default()
    };
    let response = client.call(0, request).await;
    let partitions = |topic: &ottla_wire::offset_delete::OffsetDeleteResponseTopic| {
        let partitions = topic.partitions.iter();
        let told = partitions.map(|p| (p.partition_index, error(p.error_code))).collect();
        (topic.name.as_str().to_owned(), told)
    };
    (error(response.error_code), response.topics.iter().map(partitions).collect())
}

#[tokio::test]
async fn offsets_of_a_group_are_forgotten_and_what_is_not_there_is_told() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 3, &[]).await;
    client.commit(9, &simple("g"), &topic, &[(0, 5), (1, 6)]).await;
    let (whole, told) = delete(&mut client, "g", &[("u", &[0]), ("t", &[7, 0, 2])]).await;
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(whole, ErrorCode::None);
    let of_topic = vec![(7, unknown), (0, ErrorCode::None), (2, ErrorCode::None)];
    assert_eq!(told, [("u".to_owned(), vec![(0, unknown)]), ("t".to_owned(), of_topic)]);
    let committed = client.committed(9, "g", &topic, &[0, 1]).await;
    assert_eq!(committed, [(0, Ok((-1, -1, String::new()))), (1, Ok((6, -1, "1 at 6".to_owned())))]);
}

#[tokio::test]
async fn errors_of_the_whole_group_name_no_partitions() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(delete(&mut client, "g", &[("t", &[0])]).await, (ErrorCode::NotCoordinator, vec![]));
    client.find_coordinator(6, "g").await;
    assert_eq!(delete(&mut client, "g", &[("t", &[0])]).await, (ErrorCode::GroupIdNotFound, vec![]));
    assert_eq!(delete(&mut client, "g", &[("u", &[0])]).await, (ErrorCode::GroupIdNotFound, vec![]));
    assert_eq!(delete(&mut client, "", &[("t", &[0])]).await, (ErrorCode::InvalidGroupId, vec![]));
}
