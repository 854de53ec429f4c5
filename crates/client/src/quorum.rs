//! DescribeQuorum: who votes on the metadata log, and how far each is (KIP-595, KIP-836, KIP-853).

use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch, Offset};
use ottla_wire::ApiKey;
use ottla_wire::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Node, PartitionData, PartitionResponse, ReplicaState,
    TopicData,
};

use crate::address::Address;
use crate::admin::{bad_answer, one};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// The metadata log's name as a topic.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// The quorum, as its leader describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader: the active controller.
    pub leader: BrokerId,
    /// Its epoch.
    pub epoch: LeadershipEpoch,
    /// The end of what is committed.
    pub high_watermark: Offset,
    /// The nodes that vote, by id.
    pub voters: Vec<QuorumReplica>,
    /// The nodes that follow without a vote, by id.
    pub observers: Vec<QuorumReplica>,
}

/// A node that has a replica of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub id: BrokerId,
    /// The directory that its log is in; `None` where it is not told.
    pub directory: Option<DirectoryId>,
    /// Where it is reached, with the listeners' names; empty where it is not told.
    pub endpoints: Vec<(String, Address)>,
    /// The end of its log, as far as the leader knows.
    pub log_end: Option<Offset>,
    /// When the leader heard from it last, in milliseconds since the Unix epoch by the leader's clock.
    pub last_fetch_ms: Option<i64>,
    /// When it is known to have had all that the leader had, likewise.
    pub last_caught_up_ms: Option<i64>,
}

impl Client {
    /// The quorum that agrees on the cluster's metadata.
    ///
    /// # Errors
    /// If no broker answers; [`Error::Answered`] with REQUEST_TIMED_OUT where the quorum has no leader.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, Error> {
        let mut retry = self.retry("describing the quorum".to_owned());
        loop {
            match self.describe_quorum_once().await {
                Ok(description) => return Ok(description),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn describe_quorum_once(&self) -> Result<QuorumDescription, Error> {
        let connection = self.any_broker().await?;
        let api = ApiKey::DescribeQuorum;
        let partition = PartitionData { partition_index: 0, ..PartitionData::default() };
        let topic = TopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![partition],
            ..TopicData::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() };
        let DescribeQuorumResponse { error_code, error_message, topics, nodes, .. } =
            connection.call(request).await?;
        check(connection.broker(), api, "", error_code, error_message.as_deref())?;
        let topic = one(&connection, api, topics)?;
        let partition = one(&connection, api, topic.partitions)?;
        let message = partition.error_message.as_deref();
        check(connection.broker(), api, "", partition.error_code, message)?;
        read(&connection, &partition, &nodes)
    }
}

fn read(
    connection: &Connection,
    partition: &PartitionResponse,
    nodes: &[Node],
) -> Result<QuorumDescription, Error> {
    if partition.leader_id < 0 {
        return Err(bad_answer(connection, ApiKey::DescribeQuorum, "it names no leader".to_owned()));
    }
    let replicas = |states: &[ReplicaState]| {
        let mut replicas: Vec<_> = states.iter().map(|state| replica(state, nodes)).collect();
        replicas.sort_by_key(|replica| replica.id);
        replicas
    };
    Ok(QuorumDescription {
        leader: BrokerId(partition.leader_id),
        epoch: LeadershipEpoch(i64::from(partition.leader_epoch)),
        high_watermark: Offset(partition.high_watermark),
        voters: replicas(&partition.current_voters),
        observers: replicas(&partition.observers),
    })
}

fn replica(state: &ReplicaState, nodes: &[Node]) -> QuorumReplica {
    let node = nodes.iter().find(|node| node.node_id == state.replica_id);
    let listeners = node.map(|node| node.listeners.as_slice()).unwrap_or_default();
    let told = |number: i64| Some(number).filter(|number| *number >= 0);
    QuorumReplica {
        id: BrokerId(state.replica_id),
        directory: Some(DirectoryId(state.replica_directory_id.0)).filter(|id| *id != DirectoryId::ZERO),
        endpoints: listeners
            .iter()
            .map(|listener| (listener.name.to_string(), Address::new(&listener.host, listener.port)))
            .collect(),
        log_end: told(state.log_end_offset).map(Offset),
        last_fetch_ms: told(state.last_fetch_timestamp),
        last_caught_up_ms: told(state.last_caught_up_timestamp),
    }
}
