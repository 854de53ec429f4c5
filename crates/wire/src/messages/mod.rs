//! The messages, one file per API, and the one list of the APIs that are served.
//!
//! To add an API: write its file from the definition in Kafka's `common/message`, name it below, and add its line to the
//! list. The key, the version tables, the enums and the tests over all messages follow from that line.

use crate::api::{ApiRequest, Codec, apis};
use crate::error::Error;
use crate::reader::Reader;
use crate::schema::{Direction, MessageSchema, Versions};
use crate::value::Message;
use crate::writer::Writer;

pub mod alter_configs;
pub mod api_versions;
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
pub mod describe_topic_partitions;
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
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;

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
    /// Describes a broker's log directories.
    DescribeLogDirs = 35, describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
    /// Gives topics more partitions.
    CreatePartitions = 37, create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
    /// Deletes groups.
    DeleteGroups = 42, delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
    /// Changes single configuration keys.
    IncrementalAlterConfigs = 44,
        incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
    /// Forgets how far a group has read.
    OffsetDelete = 47, offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
    /// Describes the cluster's nodes.
    DescribeCluster = 60, describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
    /// Describes the producers that partitions remember.
    DescribeProducers = 61, describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
    /// Lists the resources that have a configuration.
    ListConfigResources = 74, list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
    /// Describes topics page by page.
    DescribeTopicPartitions = 75,
        describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
}
