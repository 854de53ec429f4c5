//! BrokerRegistration (key 62): a broker that starts makes itself known to the active controller (KIP-631).
//!
//! Version 1 knows of the migration from ZooKeeper (KIP-866), 2 names the log directories (KIP-858), 3 the epoch before a
//! clean shutdown (KIP-966), and 4 allows a feature's lowest version to be 0 (KIP-584).

use crate::{Message, Str, UnknownTags, Uuid};

/// Makes a broker known.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 62, versions = "0..=4", flexible = "0..")]
pub struct BrokerRegistrationRequest {
    /// The broker's id.
    pub broker_id: i32,
    /// The cluster that the broker belongs to.
    pub cluster_id: Str,
    /// What tells this process from an earlier one of the same id.
    pub incarnation_id: Uuid,
    /// Where the broker is reached.
    pub listeners: Vec<Listener>,
    /// The features that the broker understands.
    pub features: Vec<Feature>,
    /// The rack that it stands in, if one is configured.
    #[wire(nullable)]
    pub rack: Option<Str>,
    /// Whether the broker is migrating from ZooKeeper.
    #[wire(since = 1)]
    pub is_migrating_zk_broker: bool,
    /// Its log directories that are available, by id.
    #[wire(since = 2, ignorable)]
    pub log_dirs: Vec<Uuid>,
    /// The broker epoch before a clean shutdown; -1 where there was none, or it was not clean.
    #[wire(since = 3, default = -1, ignorable)]
    pub previous_broker_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// An endpoint of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The name or address to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
    /// How it is secured, by Kafka's number: 0 for not at all.
    pub security_protocol: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A feature, and in which versions it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Feature {
    /// The feature's name.
    pub name: Str,
    /// The lowest version.
    pub min_supported_version: i16,
    /// The highest version.
    pub max_supported_version: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the registration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 62, versions = "0..=4", flexible = "0..")]
pub struct BrokerRegistrationResponse {
    /// How long the caller was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The epoch of this registration; -1 where there is none.
    #[wire(default = -1)]
    pub broker_epoch: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
