//! ListConfigResources (key 74): the resources that have a configuration of their own.
//!
//! Version 0 was named ListClientMetricsResources and lists those only (KIP-714); version 1 lists any type
//! (KIP-1142).

use crate::{Message, Str, UnknownTags};

/// Asks for the resources that have a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 74, versions = "0..=1", flexible = "0..")]
pub struct ListConfigResourcesRequest {
    /// The kinds of resources; empty for all.
    #[wire(since = 1)]
    pub resource_types: Vec<i8>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The resources that have a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 74, versions = "0..=1", flexible = "0..")]
pub struct ListConfigResourcesResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The error's code, or 0.
    pub error_code: i16,
    /// The resources.
    pub config_resources: Vec<ConfigResource>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A resource that has a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ConfigResource {
    /// The resource's name; a broker's id as text.
    pub resource_name: Str,
    /// What kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[wire(since = 1, default = 16, ignorable)]
    pub resource_type: i8,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
