//! The settings of one topic as the log and the produce path need them.

use super::key::InvalidValue;
use super::layers::{Layers, Overrides};
use super::throttled::ThrottledReplicas;
use super::topic;

/// What happens to old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments are dropped by age and size.
    pub delete: bool,
    /// The last record of each key is kept.
    pub compact: bool,
}

/// How batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As they arrive.
    Producer,
    /// Without compression.
    Uncompressed,
    /// With gzip; `None` is gzip's own level.
    Gzip(Option<i32>),
    /// With snappy.
    Snappy,
    /// With lz4 at this level.
    Lz4(i32),
    /// With zstd at this level.
    Zstd(i32),
}

/// Which time a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// When it was made, says its producer.
    CreateTime,
    /// When it was appended, says the broker.
    LogAppendTime,
}

/// The settings of one topic, resolved from all layers. Named as the topic keys are.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is the topic key of the same name, documented in config::topic")]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: CompressionType,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    /// `None` where `flush.messages` is so large that it never is reached.
    pub flush_messages: Option<i64>,
    /// `None` where `flush.ms` is so large that it never is reached.
    pub flush_ms: Option<i64>,
    pub follower_replication_throttled_replicas: ThrottledReplicas,
    pub index_interval_bytes: i32,
    pub leader_replication_throttled_replicas: ThrottledReplicas,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    /// `None` is no limit.
    pub retention_bytes: Option<i64>,
    /// `None` is no limit.
    pub retention_ms: Option<i64>,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// Resolves a topic's settings: its own, then the layers of the broker.
    #[must_use]
    pub fn resolve(overrides: &dyn Overrides, layers: &Layers<'_>) -> Self {
        macro_rules! get {
            ($key:ident) => {
                layers.topic_value(overrides, &topic::$key)
            };
        }
        let policies: Vec<String> = get!(CLEANUP_POLICY);
        let has = |policy: &str| policies.iter().any(|p| p == policy);
        let compression: String = get!(COMPRESSION_TYPE);
        let timestamp: String = get!(MESSAGE_TIMESTAMP_TYPE);
        let limit = |value: i64| (value >= 0).then_some(value);
        let reachable = |value: i64| (value != i64::MAX).then_some(value);
        let replicas = |items: Vec<String>| ThrottledReplicas::from_items(items.iter().map(String::as_str));
        Self {
            cleanup_policy: CleanupPolicy { delete: has("delete"), compact: has("compact") },
            compression_type: match compression.as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => {
                    CompressionType::Gzip(Some(get!(COMPRESSION_GZIP_LEVEL)).filter(|level| *level != -1))
                }
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4(get!(COMPRESSION_LZ4_LEVEL)),
                "zstd" => CompressionType::Zstd(get!(COMPRESSION_ZSTD_LEVEL)),
                _ => CompressionType::Producer,
            },
            delete_retention_ms: get!(DELETE_RETENTION_MS),
            file_delete_delay_ms: get!(FILE_DELETE_DELAY_MS),
            flush_messages: reachable(get!(FLUSH_MESSAGES)),
            flush_ms: reachable(get!(FLUSH_MS)),
            follower_replication_throttled_replicas: replicas(get!(FOLLOWER_REPLICATION_THROTTLED_REPLICAS)),
            index_interval_bytes: get!(INDEX_INTERVAL_BYTES),
            leader_replication_throttled_replicas: replicas(get!(LEADER_REPLICATION_THROTTLED_REPLICAS)),
            max_compaction_lag_ms: get!(MAX_COMPACTION_LAG_MS),
            max_message_bytes: get!(MAX_MESSAGE_BYTES),
            message_timestamp_after_max_ms: get!(MESSAGE_TIMESTAMP_AFTER_MAX_MS),
            message_timestamp_before_max_ms: get!(MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
            message_timestamp_type: match timestamp.as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: get!(MIN_CLEANABLE_DIRTY_RATIO),
            min_compaction_lag_ms: get!(MIN_COMPACTION_LAG_MS),
            min_insync_replicas: get!(MIN_INSYNC_REPLICAS),
            preallocate: get!(PREALLOCATE),
            retention_bytes: limit(get!(RETENTION_BYTES)),
            retention_ms: limit(get!(RETENTION_MS)),
            segment_bytes: get!(SEGMENT_BYTES),
            segment_index_bytes: get!(SEGMENT_INDEX_BYTES),
            segment_jitter_ms: get!(SEGMENT_JITTER_MS),
            segment_ms: get!(SEGMENT_MS),
            unclean_leader_election_enable: get!(UNCLEAN_LEADER_ELECTION_ENABLE),
        }
    }
}

/// Why a topic cannot have a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicConfig {
    /// No topic key has this name.
    #[error("Unknown topic config name: {0}")]
    UnknownKey(String),
    /// A value that its key does not allow.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Values that do not go together, or a feature that is not there.
    #[error("{0}")]
    Together(String),
}

/// Checks the configuration that a topic would have, all of it: each value, and those that depend on each other.
///
/// # Errors
/// The first rule that is broken, in the order of the keys.
pub fn validate<'a>(
    overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    layers: &Layers<'_>,
) -> Result<(), InvalidTopicConfig> {
    let mut set = std::collections::BTreeMap::new();
    for (key, value) in overrides {
        let definition = topic::find(key).ok_or_else(|| InvalidTopicConfig::UnknownKey(key.to_owned()))?;
        set.insert(key.to_owned(), definition.canonical(value)?);
    }
    check_together(&set, layers)
}

fn check_together(overrides: &dyn Overrides, layers: &Layers<'_>) -> Result<(), InvalidTopicConfig> {
    let refuse = |message: String| Err(InvalidTopicConfig::Together(message));
    let min: i64 = layers.topic_value(overrides, &topic::MIN_COMPACTION_LAG_MS);
    let max: i64 = layers.topic_value(overrides, &topic::MAX_COMPACTION_LAG_MS);
    if min > max {
        return refuse(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    if layers.topic_value(overrides, &topic::REMOTE_STORAGE_ENABLE) {
        return refuse(
            "Tiered storage functionality is disabled in the broker: remote.storage.enable cannot be true"
                .into(),
        );
    }
    Ok(())
}
