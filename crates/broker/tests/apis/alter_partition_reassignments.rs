//! AlterPartitionReassignments on one node, in all its versions, where nothing can move. What three brokers make of it is in
//! `cluster_administration.rs`.

use ottla_types::ErrorCode;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};

use crate::common::{TestBroker, error};

fn moved(partition_index: i32, replicas: Option<&[i32]>) -> ReassignablePartition {
    ReassignablePartition {
        partition_index,
        replicas: replicas.map(<[i32]>::to_vec),
        ..ReassignablePartition::default()
    }
}

fn topic(name: &str, partitions: Vec<ReassignablePartition>) -> ReassignableTopic {
    ReassignableTopic { name: name.into(), partitions, ..ReassignableTopic::default() }
}

#[tokio::test]
async fn every_version_answers_for_each_partition_in_the_order_of_the_request() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    for version in 0..=1 {
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![
                topic(
                    "t",
                    vec![
                        moved(1, Some(&[1])),
                        moved(0, Some(&[1, 2])),
                        moved(0, Some(&[1, 1])),
                        moved(0, Some(&[])),
                        moved(0, None),
                        moved(2, None),
                    ],
                ),
                topic("u", vec![moved(0, Some(&[1]))]),
            ],
            ..AlterPartitionReassignmentsRequest::default()
        };
        let response = client.call(version, request).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        let told: Vec<_> = response
            .responses
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|p| (&*topic.name, p.partition_index, error(p.error_code)))
            })
            .collect();
        let expected = [
            ("t", 1, ErrorCode::None),
            ("t", 0, ErrorCode::InvalidReplicaAssignment),
            ("t", 0, ErrorCode::InvalidReplicaAssignment),
            ("t", 0, ErrorCode::InvalidReplicaAssignment),
            ("t", 0, ErrorCode::NoReassignmentInProgress),
            ("t", 2, ErrorCode::UnknownTopicOrPartition),
            ("u", 0, ErrorCode::UnknownTopicOrPartition),
        ];
        assert_eq!(told, expected, "version {version}");
    }
}

#[tokio::test]
async fn no_topics_are_nothing_to_do() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=1 {
        let response = client.call(version, AlterPartitionReassignmentsRequest::default()).await;
        assert_eq!((error(response.error_code), response.error_message), (ErrorCode::None, None));
        assert_eq!(response.responses, []);
    }
}
