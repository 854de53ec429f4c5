//! The client side of the protocol: connections, routing by metadata, a producer, a consumer, and administration.
//!
//! - [`Connection`]: one broker; requests pipelined, answers matched in order.
//! - [`Client`]: a cluster: bootstrap servers, cached metadata, a connection for each broker, retries with back-off.
//! - [`Producer`]: batches by partition, acknowledgements, optional idempotence (KIP-98).
//! - [`Consumer`]: reads partitions that it is assigned.
//! - [`GroupConsumer`]: reads the partitions that its group gives it, and commits how far it is.
//! - [`groups`]: consumer groups listed, described and deleted, and their offsets read and set, as methods of [`Client`].
//! - [`admin`]: creating, changing, deleting and listing topics, as methods of [`Client`].
//! - [`elections`]: leaders elected. [`configs`]: configuration described and changed, likewise. [`cluster`]: the cluster
//!   and its brokers described, and brokers forgotten; [`quorum`]: who votes on its metadata; [`log_dirs`]: where brokers keep
//!   their logs.
//! - [`replicas`]: how replicas stand with their leaders. [`eligible`]: who may lead. [`reassignments`]: replicas moved.
//!
//! Used by the command line, and meant for brokers, simulation and benchmarks too: there is no global state, connections
//! come from [`ottla_env::Net`], wall-clock time and randomness from [`ottla_env::Env`], and waiting is tokio's.
//!
//! What is not here: printing, reading of configuration files, and any decision of a broker.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod address;
pub mod admin;
mod by_topic;
pub mod client;
pub mod cluster;
pub mod configs;
pub mod connection;
pub mod consumer;
pub mod elections;
pub mod eligible;
pub mod error;
pub mod group_consumer;
pub mod groups;
pub mod log_dirs;
pub mod metadata;
mod offsets;
pub mod producer;
pub mod quorum;
pub mod reassignments;
pub mod replicas;
mod retry;
mod stale;

pub use address::Address;
pub use admin::{CreatedTopic, NewTopic};
pub use client::{Client, ClientOptions};
pub use cluster::{ClusterBroker, ClusterDescription};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSynonym};
pub use connection::{Connection, ConnectionOptions, Pending};
pub use consumer::{ConsumedRecord, Consumer, ConsumerOptions, Start};
pub use elections::{ElectedPartition, Election};
pub use eligible::EligibleReplicas;
pub use error::Error;
pub use group_consumer::{Assignor, GroupConsumer, GroupConsumerOptions};
pub use groups::{CommittedOffset, DescribedGroup, GroupList, GroupMember, ListedGroup};
pub use log_dirs::{LogDir, ReplicaLog};
pub use metadata::{Broker, Metadata, Partition, Topic};
pub use offsets::OffsetSpec;
pub use producer::{Acks, Delivered, Delivery, DeliveryError, Producer, ProducerOptions, ProducerRecord};
pub use quorum::{QuorumDescription, QuorumReplica};
pub use reassignments::{OngoingReassignment, Reassignment, ReassignmentResults};
pub use replicas::{IsrWish, LedPartition, ReplicaDescription, ReplicaStanding};
pub use retry::AsksAgain;
