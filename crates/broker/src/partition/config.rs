//! What a topic's configuration asks of produce requests.

use ottla_records::{Codec, Compression, ProduceRules, TimestampType};
use ottla_types::config::{self, CompressionType, TopicConfig};

/// What a topic's configuration asks of produce requests.
#[derive(Debug)]
pub(crate) struct PartitionConfig {
    pub(crate) rules: ProduceRules,
    pub(crate) min_insync_replicas: usize,
}

impl From<&TopicConfig> for PartitionConfig {
    fn from(config: &TopicConfig) -> Self {
        let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
        let rules = ProduceRules {
            max_message_bytes: size(config.max_message_bytes),
            segment_bytes: size(config.segment_bytes),
            compacted: config.cleanup_policy.compact,
            timestamp_type: match config.message_timestamp_type {
                config::TimestampType::CreateTime => TimestampType::CreateTime,
                config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
            },
            timestamp_before_max_ms: config.message_timestamp_before_max_ms,
            timestamp_after_max_ms: config.message_timestamp_after_max_ms,
            compression: compression(config.compression_type),
            ..ProduceRules::default()
        };
        Self { rules, min_insync_replicas: size(config.min_insync_replicas) }
    }
}

fn compression(of: CompressionType) -> Option<Compression> {
    let compression = match of {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => Compression::NONE,
        CompressionType::Gzip(None) => Compression::new(Codec::Gzip),
        CompressionType::Gzip(Some(level)) => Compression::with_level(Codec::Gzip, level),
        CompressionType::Snappy => Compression::new(Codec::Snappy),
        CompressionType::Lz4(level) => Compression::with_level(Codec::Lz4, level),
        CompressionType::Zstd(level) => Compression::with_level(Codec::Zstd, level),
    };
    Some(compression)
}
