//! DescribeTopicPartitions: topics in the order of their names, page by page.

use ottla_types::ErrorCode;
use ottla_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};

use crate::common::{Client, TestBroker, error};

fn request(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let topic = |name: &&str| TopicRequest { name: (*name).into(), ..TopicRequest::default() };
    let cursor = cursor.map(|(name, partition_index)| Cursor {
        topic_name: name.into(),
        partition_index,
        ..Cursor::default()
    });
    DescribeTopicPartitionsRequest {
        topics: names.iter().map(topic).collect(),
        response_partition_limit: limit,
        cursor,
        ..DescribeTopicPartitionsRequest::default()
    }
}

/// Each topic with its error and the indexes of its partitions.
fn told(response: &DescribeTopicPartitionsResponse) -> Vec<(&str, ErrorCode, Vec<i32>)> {
    let topic = |topic: &'_ ottla_wire::describe_topic_partitions::DescribeTopicPartitionsResponseTopic| {
        topic.partitions.iter().map(|partition| partition.partition_index).collect()
    };
    response.topics.iter().map(|t| (t.name.as_deref().unwrap(), error(t.error_code), topic(t))).collect()
}

fn next(response: &DescribeTopicPartitionsResponse) -> Option<(&str, i32)> {
    response.next_cursor.as_ref().map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index))
}

async fn three_topics(broker: &TestBroker) -> Client {
    let mut client = broker.connect().await;
    for (name, partitions) in [("b", 3), ("c", 1), ("a", 2)] {
        client.create_topic(name, partitions, &[]).await;
    }
    client
}

#[tokio::test]
async fn a_topic_is_described_in_full() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let created = client.create_topic("t", 1, &[]).await;
    let response = client.call(0, request(&["t"], 2000, None)).await;
    let topic = &response.topics[0];
    assert_eq!((topic.name.as_deref(), topic.topic_id, topic.is_internal), (Some("t"), created.id, false));
    assert_eq!(topic.topic_authorized_operations, 0b1101_1111_1000);
    let partition = &topic.partitions[0];
    assert_eq!((partition.error_code, partition.leader_id, partition.leader_epoch), (0, 1, 0));
    assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1], &vec![1]));
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(partition.offline_replicas, [0; 0]);
    assert_eq!(response.next_cursor, None);
}

#[tokio::test]
async fn without_names_all_topics_are_described_and_with_names_those() {
    let broker = TestBroker::start().await;
    let mut client = three_topics(&broker).await;
    let all = client.call(0, request(&[], 2000, None)).await;
    let none = ErrorCode::None;
    assert_eq!(told(&all), [("a", none, vec![0, 1]), ("b", none, vec![0, 1, 2]), ("c", none, vec![0])]);
    let some = client.call(0, request(&["c", "a b", "u", "a", "c"], 2000, None)).await;
    let expected = [
        ("a", none, vec![0, 1]),
        ("a b", ErrorCode::InvalidTopicException, vec![]),
        ("c", none, vec![0]),
        ("u", ErrorCode::UnknownTopicOrPartition, vec![]),
    ];
    assert_eq!(told(&some), expected, "in the order of the names, each once");
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let broker = TestBroker::start().await;
    let mut client = three_topics(&broker).await;
    for names in [&[][..], &["b", "a", "c"]] {
        for limit in 1..=7 {
            let mut found = Vec::new();
            let mut cursor: Option<(String, i32)> = None;
            loop {
                let from = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
                let page = client.call(0, request(names, limit, from)).await;
                let on_page: Vec<_> = told(&page)
                    .into_iter()
                    .flat_map(|(name, _, indexes)| {
                        indexes.into_iter().map(move |index| (name.to_owned(), index))
                    })
                    .collect();
                assert!(on_page.len() <= usize::try_from(limit).unwrap());
                found.extend(on_page);
                cursor = next(&page).map(|(name, index)| (name.to_owned(), index));
                if cursor.is_none() {
                    break;
                }
            }
            let expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0)];
            assert_eq!(found, expected.map(|(name, index)| (name.to_owned(), index)), "limit {limit}");
        }
    }
}

#[tokio::test]
async fn the_brokers_limit_holds_whatever_the_client_asks_for() {
    let broker = TestBroker::start_with("max.request.partition.size.limit=2\n").await;
    let mut client = three_topics(&broker).await;
    let page = client.call(0, request(&[], i32::MAX, None)).await;
    assert_eq!((told(&page).len(), next(&page)), (1, Some(("b", 0))));
    let page = client.call(0, request(&[], 0, None)).await;
    assert_eq!((told(&page), next(&page)), (vec![("a", ErrorCode::None, vec![0])], Some(("a", 1))));
}

#[tokio::test]
async fn a_cursor_that_cannot_have_come_from_here_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = three_topics(&broker).await;
    for cursor in [("c", 0), ("a", -1)] {
        let response = client.call(0, request(&["a", "b"], 10, Some(cursor))).await;
        let refused = ErrorCode::InvalidRequest;
        assert_eq!(told(&response), [("a", refused, vec![]), ("b", refused, vec![])]);
    }
    // A topic that is gone since the last page is passed over.
    let rest = client.call(0, request(&[], 10, Some(("bb", 0)))).await;
    assert_eq!(told(&rest), [("c", ErrorCode::None, vec![0])]);
}
