//! The quorum in DescribeQuorum's terms: pure, from what its leader says to the answer.

use std::time::Duration;

use ottla_broadcast::quorum::{QuorumState, ReplicaState, VoterEndpoint};
use ottla_types::{ErrorCode, LeadershipEpoch};
use ottla_wire::Uuid;
use ottla_wire::describe_quorum::{
    self, DescribeQuorumRequest, DescribeQuorumResponse, PartitionResponse, TopicResponse,
};

/// The metadata log's name as a topic; it is partition 0.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// The first version that tells directories and endpoints.
const FIRST_WITH_DIRECTORIES: i16 = 2;

/// Leaves out what a version cannot say.
pub(super) fn leave_out(version: i16, response: &mut DescribeQuorumResponse) {
    if version < FIRST_WITH_DIRECTORIES {
        response.nodes.clear();
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for partition in partitions {
            let replicas = partition.current_voters.iter_mut().chain(&mut partition.observers);
            replicas.for_each(|replica| replica.replica_directory_id = Uuid::default());
        }
    }
}

/// Whether nothing else is asked for than the metadata log.
pub(super) fn is_about_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &request.topics[..] else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name.as_str() == METADATA_TOPIC && partition.partition_index == 0
}

/// The same error for all that was asked for.
pub(super) fn with_errors(request: &DescribeQuorumRequest, error: ErrorCode) -> DescribeQuorumResponse {
    let partition = |partition: &describe_quorum::PartitionData| PartitionResponse {
        partition_index: partition.partition_index,
        error_code: error.code(),
        error_message: Some(error.to_string().into()),
        leader_id: -1,
        leader_epoch: -1,
        high_watermark: -1,
        ..PartitionResponse::default()
    };
    let topic = |topic: &describe_quorum::TopicData| TopicResponse {
        topic_name: topic.topic_name.clone(),
        partitions: topic.partitions.iter().map(partition).collect(),
        ..TopicResponse::default()
    };
    DescribeQuorumResponse {
        topics: request.topics.iter().map(topic).collect(),
        ..DescribeQuorumResponse::default()
    }
}

pub(super) fn described(state: &QuorumState, now_ms: i64) -> DescribeQuorumResponse {
    let replica = |replica: &ReplicaState| described_replica(replica, now_ms);
    let partition = PartitionResponse {
        partition_index: 0,
        leader_id: state.leader.0,
        leader_epoch: epoch(state.epoch),
        high_watermark: state.high_watermark.0,
        current_voters: state.voters.iter().map(replica).collect(),
        observers: state.observers.iter().map(replica).collect(),
        ..PartitionResponse::default()
    };
    let topic = TopicResponse {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition],
        ..TopicResponse::default()
    };
    let listener = |endpoint: &VoterEndpoint| describe_quorum::Listener {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..describe_quorum::Listener::default()
    };
    let node = |replica: &ReplicaState| describe_quorum::Node {
        node_id: replica.voter.key.id.0,
        listeners: replica.voter.endpoints.iter().map(listener).collect(),
        ..describe_quorum::Node::default()
    };
    DescribeQuorumResponse {
        topics: vec![topic],
        nodes: state.voters.iter().map(node).collect(),
        ..DescribeQuorumResponse::default()
    }
}

fn described_replica(replica: &ReplicaState, now_ms: i64) -> describe_quorum::ReplicaState {
    let at = |ago: Option<Duration>| {
        ago.map_or(-1, |ago| now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
    };
    describe_quorum::ReplicaState {
        replica_id: replica.voter.key.id.0,
        replica_directory_id: Uuid(replica.voter.key.directory.0),
        log_end_offset: replica.log_end.map_or(-1, |end| end.0),
        last_fetch_timestamp: at(replica.last_answer),
        last_caught_up_timestamp: at(replica.last_caught_up),
        ..describe_quorum::ReplicaState::default()
    }
}

/// Kafka's epochs are shorter.
pub(super) fn epoch(epoch: LeadershipEpoch) -> i32 {
    i32::try_from(epoch.0).unwrap_or(i32::MAX)
}
