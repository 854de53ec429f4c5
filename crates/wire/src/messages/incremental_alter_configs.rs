//! IncrementalAlterConfigs (key 44): changes single configuration keys of resources (KIP-339).

use crate::{Message, Str, UnknownTags};

/// Changes to the configuration of resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 44, versions = "0..=1", flexible = "1..")]
pub struct IncrementalAlterConfigsRequest {
    /// The resources.
    pub resources: Vec<AlterConfigsResource>,
    /// Whether only to check and to change nothing.
    pub validate_only: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A resource and the changes to its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResource {
    /// What kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name; a broker's id as text.
    pub resource_name: Str,
    /// The keys.
    pub configs: Vec<AlterableConfig>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A change to one configuration key.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterableConfig {
    /// The key.
    pub name: Str,
    /// What to do: 0 set, 1 delete, 2 append to the list, 3 subtract from the list.
    pub config_operation: i8,
    /// The value; null where the key is deleted.
    #[wire(nullable)]
    pub value: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the changes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 44, versions = "0..=1", flexible = "1..")]
pub struct IncrementalAlterConfigsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The results.
    pub responses: Vec<AlterConfigsResourceResponse>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the changes to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResourceResponse {
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// What kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name; a broker's id as text.
    pub resource_name: Str,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
