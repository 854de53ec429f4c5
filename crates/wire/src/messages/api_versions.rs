//! ApiVersions (key 18): which APIs a broker serves, and in which versions.
//!
//! The first request of a connection, so its two sides may not agree on a version yet: a broker answers a
//! request of a version it does not know in version 0, with UNSUPPORTED_VERSION and its table (KIP-511).
//! Version 3 names the client's software and brings the cluster's features (KIP-584); version 4 may tell of
//! features whose minimum is 0.

use crate::{Message, Str, UnknownTags};

/// Asks which APIs the broker serves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 18, versions = "0..=4", flexible = "3..")]
pub struct ApiVersionsRequest {
    /// The name of the client's library.
    #[wire(since = 3, ignorable)]
    pub client_software_name: Str,
    /// The version of the client's library.
    #[wire(since = 3, ignorable)]
    pub client_software_version: Str,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The APIs that the broker serves, and the cluster's features.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 18, versions = "0..=4", flexible = "3..")]
pub struct ApiVersionsResponse {
    /// 0, or UNSUPPORTED_VERSION beside the table in version 0.
    pub error_code: i16,
    /// The APIs, each with the versions served.
    pub api_keys: Vec<ApiVersion>,
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    /// The features that this broker supports.
    #[wire(since = 3, tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Counts the changes of the finalized features; -1 where they are not known.
    #[wire(since = 3, tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// The features that the cluster has agreed on; void while their epoch is -1.
    #[wire(since = 3, tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Whether a controller is ready for a migration from ZooKeeper; a relic of Kafka 3.
    #[wire(since = 3, tag = 3, ignorable)]
    pub zk_migration_ready: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// One API and its versions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ApiVersion {
    /// The API's key.
    pub api_key: i16,
    /// The lowest version served.
    pub min_version: i16,
    /// The highest version served.
    pub max_version: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A feature that the broker supports, and the levels of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SupportedFeatureKey {
    /// The feature's name, such as `metadata.version`.
    pub name: Str,
    /// The lowest level supported.
    pub min_version: i16,
    /// The highest level supported.
    pub max_version: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A feature that the cluster has agreed on, and the levels of it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FinalizedFeatureKey {
    /// The feature's name, such as `metadata.version`.
    pub name: Str,
    /// The highest level agreed on.
    pub max_version_level: i16,
    /// The lowest level agreed on.
    pub min_version_level: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
