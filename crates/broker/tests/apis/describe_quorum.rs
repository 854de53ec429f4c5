//! DescribeQuorum, AddRaftVoter and RemoveRaftVoter on a node that is its own quorum.

use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::add_raft_voter::AddRaftVoterRequest;
use ottla_wire::describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData};
use ottla_wire::remove_raft_voter::RemoveRaftVoterRequest;

use crate::common::{TestBroker, error};

fn asked(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
    let partition = |index: &i32| PartitionData { partition_index: *index, ..PartitionData::default() };
    let topic = TopicData {
        topic_name: topic.into(),
        partitions: partitions.iter().map(partition).collect(),
        ..TopicData::default()
    };
    DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() }
}

#[tokio::test]
async fn a_node_alone_is_a_quorum_of_one_that_has_all() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let told = client.call(version, asked("__cluster_metadata", &[0])).await;
        assert_eq!(error(told.error_code), ErrorCode::None);
        assert_eq!(told.error_message.as_deref(), Some(""), "as by Kafka, which has no null there");
        let partition = &told.topics[0].partitions[0];
        assert_eq!(error(partition.error_code), ErrorCode::None);
        assert_eq!((partition.leader_id, partition.observers.len()), (1, 0));
        assert!(partition.leader_epoch > 0 && partition.high_watermark > 0, "{partition:?}");
        let [voter] = &partition.current_voters[..] else { panic!("{partition:?}") };
        assert_eq!((voter.replica_id, voter.log_end_offset), (1, partition.high_watermark));
        assert_eq!(voter.last_fetch_timestamp > 0, version >= 1, "version 0 does not tell");
        assert_eq!(voter.last_fetch_timestamp, voter.last_caught_up_timestamp);
        assert_eq!(told.nodes.len(), usize::from(version >= 2));
    }
}

#[tokio::test]
async fn there_is_a_quorum_of_the_metadata_log_only() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for request in
        [asked("orders", &[0]), asked("__cluster_metadata", &[1]), asked("__cluster_metadata", &[0, 1])]
    {
        let told = client.call(2, request).await;
        assert_eq!(error(told.error_code), ErrorCode::None);
        for partition in &told.topics[0].partitions {
            assert_eq!(error(partition.error_code), ErrorCode::UnknownTopicOrPartition);
        }
    }
}

#[tokio::test]
async fn a_node_alone_refuses_other_voters_with_a_reason() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let add = AddRaftVoterRequest {
        timeout_ms: 1_000,
        voter_id: 2,
        voter_directory_id: Uuid([1; 16]),
        ..AddRaftVoterRequest::default()
    };
    for version in [0, 1] {
        let told = client.call(version, add.clone()).await;
        assert_eq!(error(told.error_code), ErrorCode::UnsupportedVersion);
        assert!(told.error_message.unwrap().contains("controller.quorum.voters"));
    }
    let remove = RemoveRaftVoterRequest { voter_id: 1, ..RemoveRaftVoterRequest::default() };
    assert_eq!(error(client.call(0, remove).await.error_code), ErrorCode::UnsupportedVersion);
}
