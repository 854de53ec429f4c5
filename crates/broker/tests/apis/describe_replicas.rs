//! DescribeReplicas: what a leader knows of the replicas of its partitions. That of followers is in the tests of three brokers.

use ottla_types::ErrorCode;
use ottla_wire::private::describe_replicas::{
    DescribeReplicasRequest, DescribeReplicasResponse, ReplicasCursor,
};

use crate::common::{Client, TestBroker, error};

async fn ask(client: &mut Client, request: DescribeReplicasRequest) -> DescribeReplicasResponse {
    let response = client.call(0, request).await;
    assert_eq!(error(response.error_code), ErrorCode::None, "{:?}", response.error_message);
    response
}

/// The partitions of an answer.
fn names(response: &DescribeReplicasResponse) -> Vec<String> {
    let topics = response.topics.iter();
    topics
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(move |partition| format!("{}-{}", topic.name, partition.partition_index))
        })
        .collect()
}

#[tokio::test]
async fn a_leader_tells_its_ends_its_epochs_and_that_it_is_in_sync() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", 1, &[50, 60, 70]).await;
    let told = ask(&mut client, DescribeReplicasRequest::default()).await;
    assert_eq!(names(&told), ["t-0", "t-1"]);
    let partition = &told.topics[0].partitions[1];
    assert_eq!((partition.log_start_offset, partition.high_watermark, partition.log_end_offset), (0, 3, 3));
    assert_eq!((partition.min_insync_replicas, partition.leader_epoch), (1, 0));
    assert!(partition.size_bytes > 0);
    let [replica] = &*partition.replicas else { panic!("{partition:?}") };
    assert_eq!(
        (replica.standing, replica.is_in_sync, replica.log_end_offset, replica.lag_records),
        (1, true, 3, 0)
    );
    assert_eq!((replica.last_fetch_ms_ago, replica.out_of_sync_ms, replica.asked), (-1, -1, 0));
}

#[tokio::test]
async fn partitions_are_chosen_by_topic_and_by_what_they_lack() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for topic in ["a", "b", "c"] {
        client.create_topic(topic, 1, &[]).await;
    }
    let topics = Some(vec!["b".into(), "nowhere".into()]);
    let told =
        ask(&mut client, DescribeReplicasRequest { topics, ..DescribeReplicasRequest::default() }).await;
    assert_eq!(names(&told), ["b-0"]);
    let none = DescribeReplicasRequest { topics: Some(Vec::new()), ..DescribeReplicasRequest::default() };
    assert!(names(&ask(&mut client, none).await).is_empty());
    let lacking =
        DescribeReplicasRequest { only_under_replicated: true, ..DescribeReplicasRequest::default() };
    assert!(names(&ask(&mut client, lacking).await).is_empty(), "one replica of one is in sync");
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("a", 3, &[]).await;
    client.create_topic("b", 2, &[]).await;
    let (mut cursor, mut all): (Option<ReplicasCursor>, Vec<String>) = (None, Vec::new());
    let mut pages = 0;
    loop {
        let request = DescribeReplicasRequest {
            response_partition_limit: 2,
            cursor,
            ..DescribeReplicasRequest::default()
        };
        let told = ask(&mut client, request).await;
        assert!(names(&told).len() <= 2);
        all.extend(names(&told));
        pages += 1;
        cursor = told.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((all, pages), (["a-0", "a-1", "a-2", "b-0", "b-1"].map(str::to_owned).to_vec(), 3));
}
