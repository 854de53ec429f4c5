//! Requests to a running broker, over a connection: one file per API.

#[path = "../common/mod.rs"]
mod common;

mod api_versions;
mod delete_records;
mod describe_log_dirs;
mod describe_producers;
mod fetch;
mod fetch_sessions;
mod fetch_waiting;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod produce;
mod produce_batches;
mod produce_idempotence;
