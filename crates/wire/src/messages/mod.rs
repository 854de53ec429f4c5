//! The messages, one file per API, and the one list of the APIs.
//!
//! To add an API: write its file from the definition in Kafka's `common/message`, name it below, and add its line to the
//! list. The key, the version tables, the enums and the tests over all messages follow from that line. What only nodes of the
//! cluster may ask for ends in `for Nodes`; what has messages and no handler yet, in `for Nobody`.

use crate::api::{ApiRequest, Audience, Codec, apis};
use crate::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::error::Error;
use crate::reader::Reader;
use crate::schema::{Direction, MessageSchema, Versions};
use crate::value::Message;
use crate::writer::Writer;

pub mod add_raft_voter;
pub mod allocate_producer_ids;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod assign_replicas_to_dirs;
pub mod broker_heartbeat;
pub mod broker_registration;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod envelope;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod private;
pub mod produce;
pub mod remove_raft_voter;
pub mod sync_group;
pub mod unregister_broker;
pub mod update_features;
pub mod update_raft_voter;

use private::{describe_replicas, pull_metadata, quorum_probe, raft_envelope, rejoin_quorum};

/// What is in the bytes of other messages, without its type: for the tests that go over all messages.
pub static DATA: &[Codec] = &[
    Codec::of::<ConsumerProtocolSubscription>(),
    Codec::of::<ConsumerProtocolAssignment>(),
    Codec::of::<envelope::DefaultPrincipalData>(),
];

apis! {
    /// Appends record batches.
    // Older librdkafka takes a broker without Produce v0 for one that knows no compression (KAFKA-18659).
    Produce = 0, produce::{ProduceRequest, ProduceResponse}, advertised from 0;
    /// Reads record batches.
    Fetch = 1, fetch::{FetchRequest, FetchResponse};
    /// Finds offsets by time.
    ListOffsets = 2, list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
    /// Describes brokers and topics.
    Metadata = 3, metadata::{MetadataRequest, MetadataResponse};
    /// Keeps how far a group has read.
    OffsetCommit = 8, offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
    /// Tells how far groups have read.
    OffsetFetch = 9, offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
    /// Finds the coordinators of groups and transactional producers.
    FindCoordinator = 10, find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
    /// Makes a client a member of a group.
    JoinGroup = 11, join_group::{JoinGroupRequest, JoinGroupResponse};
    /// Keeps a member alive.
    Heartbeat = 12, heartbeat::{HeartbeatRequest, HeartbeatResponse};
    /// Takes members out of a group.
    LeaveGroup = 13, leave_group::{LeaveGroupRequest, LeaveGroupResponse};
    /// Hands out what the leader of a group assigned.
    SyncGroup = 14, sync_group::{SyncGroupRequest, SyncGroupResponse};
    /// Describes groups.
    DescribeGroups = 15, describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
    /// Lists a broker's groups.
    ListGroups = 16, list_groups::{ListGroupsRequest, ListGroupsResponse};
    /// Tells which APIs are served.
    ApiVersions = 18, api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    /// Creates topics.
    CreateTopics = 19, create_topics::{CreateTopicsRequest, CreateTopicsResponse};
    /// Deletes topics.
    DeleteTopics = 20, delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
    /// Moves the start of logs forward.
    DeleteRecords = 21, delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
    /// Gives a producer its id.
    InitProducerId = 22, init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
    /// Tells where leader epochs end.
    OffsetForLeaderEpoch = 23,
        offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
    /// Describes configurations.
    DescribeConfigs = 32, describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
    /// Replaces configurations.
    AlterConfigs = 33, alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
    /// Moves replicas to other log directories.
    AlterReplicaLogDirs = 34, alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
    /// Describes a broker's log directories.
    DescribeLogDirs = 35, describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
    /// Gives topics more partitions.
    CreatePartitions = 37, create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
    /// Deletes groups.
    DeleteGroups = 42, delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
    /// Elects leaders of partitions.
    ElectLeaders = 43, elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
    /// Changes single configuration keys.
    IncrementalAlterConfigs = 44,
        incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
    /// Moves partitions to other brokers.
    AlterPartitionReassignments = 45,
        alter_partition_reassignments::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
    /// Tells which partitions move.
    ListPartitionReassignments = 46,
        list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
    /// Forgets how far a group has read.
    OffsetDelete = 47, offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
    /// Tells who votes on the metadata log.
    DescribeQuorum = 55, describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
    /// Changes the in-sync replicas of partitions.
    AlterPartition = 56, alter_partition::{AlterPartitionRequest, AlterPartitionResponse}, for Nodes;
    /// Changes the versions of features.
    UpdateFeatures = 57, update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};
    /// Hands a client's request on to the active controller.
    Envelope = 58, envelope::{EnvelopeRequest, EnvelopeResponse}, for Nodes;
    /// Describes the cluster's nodes.
    DescribeCluster = 60, describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
    /// Describes the producers that partitions remember.
    DescribeProducers = 61, describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
    /// Makes a broker known to the active controller.
    BrokerRegistration = 62, broker_registration::{BrokerRegistrationRequest, BrokerRegistrationResponse}, for Nodes;
    /// Tells the active controller that a broker lives.
    BrokerHeartbeat = 63, broker_heartbeat::{BrokerHeartbeatRequest, BrokerHeartbeatResponse}, for Nodes;
    /// Forgets a broker.
    UnregisterBroker = 64, unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};
    /// Gives a broker a block of producer ids.
    AllocateProducerIds = 67,
        allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse}, for Nodes;
    /// Tells in which directories replicas lie.
    AssignReplicasToDirs = 73,
        assign_replicas_to_dirs::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse}, for Nodes;
    /// Lists the resources that have a configuration.
    ListConfigResources = 74, list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
    /// Describes topics page by page.
    DescribeTopicPartitions = 75,
        describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
    /// Adds a voter to the quorum.
    AddRaftVoter = 80, add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};
    /// Removes a voter from the quorum.
    RemoveRaftVoter = 81, remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
    /// Tells where a voter is reached.
    UpdateRaftVoter = 82, update_raft_voter::{UpdateRaftVoterRequest, UpdateRaftVoterResponse}, for Nodes;
    /// Carries what voters say to each other.
    RaftEnvelope = 16001, raft_envelope::{RaftEnvelopeRequest, RaftEnvelopeResponse}, for Nodes;
    /// Reads the committed records of the metadata log.
    PullMetadata = 16002, pull_metadata::{PullMetadataRequest, PullMetadataResponse}, for Nodes;
    /// Asks a node who it is, and which quorum it belongs to.
    QuorumProbe = 16003, quorum_probe::{QuorumProbeRequest, QuorumProbeResponse}, for Nodes;
    /// Asks the quorum's leader to let a new directory vote instead of one that was lost.
    RejoinQuorum = 16004, rejoin_quorum::{RejoinQuorumRequest, RejoinQuorumResponse}, for Nodes;
    /// Tells what leaders know of the replicas of their partitions.
    DescribeReplicas = 16005, describe_replicas::{DescribeReplicasRequest, DescribeReplicasResponse};
}
