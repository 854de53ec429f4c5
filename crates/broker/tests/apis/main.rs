//! Requests to a running broker, over a connection: one file per API.

#[path = "../common/mod.rs"]
mod common;

mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_replicas;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod fetch_races;
mod fetch_sessions;
mod fetch_waiting;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod produce_batches;
mod produce_idempotence;
mod sync_group;
mod unregister_broker;
mod update_features;
