//! DeleteTopics (key 20): deletes topics.
//!
//! Version 5 brings error messages (KIP-599), 6 names topics by id as well (KIP-516).

use crate::{Message, Str, UnknownTags, Uuid};

/// Topics to delete.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 20, versions = "1..=6", flexible = "4..")]
pub struct DeleteTopicsRequest {
    /// The topics, by name or by id.
    #[wire(since = 6)]
    pub topics: Vec<DeleteTopicState>,
    /// The topics' names.
    #[wire(until = 5, ignorable)]
    pub topic_names: Vec<Str>,
    /// How long to wait for it to be done, in milliseconds.
    pub timeout_ms: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A topic to delete, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteTopicState {
    /// The topic's name; null where it is named by id.
    #[wire(nullable, default = null)]
    pub name: Option<Str>,
    /// The topic's id; zero where it is named by name.
    pub topic_id: Uuid,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of the topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 20, versions = "1..=6", flexible = "4..")]
pub struct DeleteTopicsResponse {
    /// How long the client was or is to be held back for a quota, in milliseconds; 0 for not at all.
    #[wire(ignorable)]
    pub throttle_time_ms: i32,
    /// The results.
    pub responses: Vec<DeletableTopicResult>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableTopicResult {
    /// The topic's name; null where it was named by id and that id is not known.
    #[wire(nullable = "6..")]
    pub name: Option<Str>,
    /// The topic's id.
    #[wire(since = 6, ignorable)]
    pub topic_id: Uuid,
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(since = 5, nullable, default = null, ignorable)]
    pub error_message: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
