//! DescribeConfigs (key 32): the configuration of topics, brokers and other resources (KIP-133).
//!
//! Version 1 tells where a value comes from (KIP-226), 3 its type and documentation (KIP-569).

use crate::{Message, Str, UnknownTags};

/// Asks for the configuration of resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 32, versions = "1..=4", flexible = "4..")]
pub struct DescribeConfigsRequest {
    /// The resources.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to tell every place where a key is set.
    pub include_synonyms: bool,
    /// Whether to tell what the keys mean.
    #[wire(since = 3)]
    pub include_documentation: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A resource, and the keys of it that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResource {
    /// What kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name; a broker's id as text.
    pub resource_name: Str,
    /// The keys asked for; null for all.
    #[wire(nullable)]
    pub configuration_keys: Option<Vec<Str>>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The configuration of the resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 32, versions = "1..=4", flexible = "4..")]
pub struct DescribeConfigsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    pub throttle_time_ms: i32,
    /// The resources.
    pub results: Vec<DescribeConfigsResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The configuration of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResult {
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable)]
    pub error_message: Option<Str>,
    /// What kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name; a broker's id as text.
    pub resource_name: Str,
    /// The keys and values.
    pub configs: Vec<DescribeConfigsResourceResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A configuration key and its value in force.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResourceResult {
    /// The key.
    pub name: Str,
    /// The value; null where it is sensitive or not set.
    #[wire(nullable)]
    pub value: Option<Str>,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Where the value comes from, as Kafka numbers its sources; -1 where that is not told.
    #[wire(default = -1, ignorable)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
    /// Every place where the key is set, the one in force first.
    #[wire(ignorable)]
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// The type of the value, as Kafka numbers its types; 0 where that is not told.
    #[wire(since = 3, ignorable)]
    pub config_type: i8,
    /// What the key means; null where that was not asked for.
    #[wire(since = 3, nullable, ignorable)]
    pub documentation: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A place where the key, or the one it falls back on, is set.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsSynonym {
    /// The key under which it is set there.
    pub name: Str,
    /// The value it has there; null where it is sensitive.
    #[wire(nullable)]
    pub value: Option<Str>,
    /// Which place that is, as Kafka numbers its sources.
    pub source: i8,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
