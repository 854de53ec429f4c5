//! The keys of a topic, all of Kafka 4.3's (`TopicConfig`), and the broker keys that give their defaults
//! (`ServerTopicConfigSynonyms`).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::key::{Definition, Valid, at_least, keys};

/// Topic values of `cleanup.policy`.
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
/// Values of `compression.type` on topics and brokers.
pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// Values of `message.timestamp.type`.
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

keys! {
    /// Every topic key, sorted by name.
    TOPIC_KEYS;

    /// What happens to old records: `delete` drops whole segments by age and size, `compact` keeps the last record of
    /// each key, both together do both, and an empty list keeps everything.
    CLEANUP_POLICY: Vec<String> = "cleanup.policy",
        Some("delete"), Valid::ListOf(CLEANUP_POLICIES), Medium, ClusterWide;
    /// Level for batches that the broker compresses again with gzip; -1 is gzip's own default.
    COMPRESSION_GZIP_LEVEL: i32 = "compression.gzip.level",
        Some("-1"), Valid::RangeOr(-1, 1, 9), Medium, ClusterWide;
    /// Level for batches that the broker compresses again with lz4.
    COMPRESSION_LZ4_LEVEL: i32 = "compression.lz4.level", Some("9"), Valid::Range(1, 17), Medium, ClusterWide;
    /// How batches are stored: with `producer` as they arrive, else compressed again with the codec named, or not at
    /// all with `uncompressed`.
    COMPRESSION_TYPE: String = "compression.type",
        Some("producer"), Valid::OneOf(COMPRESSION_TYPES), Medium, ClusterWide;
    /// Level for batches that the broker compresses again with zstd.
    COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level",
        Some("3"), Valid::Range(-131_072, 22), Medium, ClusterWide;
    /// How long compaction keeps the marker of a deleted key, so that a consumer that reads from the start within this
    /// time sees the deletion.
    DELETE_RETENTION_MS: i64 = "delete.retention.ms", Some("86400000"), at_least(0), Medium, ClusterWide;
    /// How long files stay on disk, renamed, after they are deleted: the directory of a partition whose topic is deleted,
    /// and segments that retention or DeleteRecords drops.
    FILE_DELETE_DELAY_MS: i64 = "file.delete.delay.ms", Some("60000"), at_least(0), Medium, ClusterWide;
    /// Force the log to disk after this many records. 1 makes every acknowledged record survive a power loss of this
    /// broker alone; the default leaves it to replication and the page cache.
    FLUSH_MESSAGES: i64 = "flush.messages", Some("9223372036854775807"), at_least(1), Medium, ClusterWide;
    /// Force the log to disk when records have waited for this long.
    FLUSH_MS: i64 = "flush.ms", Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
    /// Replicas whose replication is throttled on the side that fetches: `partition:broker` pairs, or `*` for all.
    FOLLOWER_REPLICATION_THROTTLED_REPLICAS: Vec<String> = "follower.replication.throttled.replicas",
        Some(""), Valid::Form(THROTTLED_REPLICAS, is_throttled_replicas), Medium, ClusterWide;
    /// About how many bytes of log lie between two entries of the offset index.
    INDEX_INTERVAL_BYTES: i32 = "index.interval.bytes", Some("4096"), at_least(0), Medium, ClusterWide;
    /// Replicas whose replication is throttled on the side that is fetched from: `partition:broker` pairs, or `*` for
    /// all.
    LEADER_REPLICATION_THROTTLED_REPLICAS: Vec<String> = "leader.replication.throttled.replicas",
        Some(""), Valid::Form(THROTTLED_REPLICAS, is_throttled_replicas), Medium, ClusterWide;
    /// With tiered storage, how many bytes of a partition stay on local disks; -2 means `retention.bytes`.
    LOCAL_RETENTION_BYTES: i64 = "local.retention.bytes", Some("-2"), at_least(-2), Medium, ClusterWide;
    /// With tiered storage, how long segments stay on local disks; -2 means `retention.ms`.
    LOCAL_RETENTION_MS: i64 = "local.retention.ms", Some("-2"), at_least(-2), Medium, ClusterWide;
    /// A record waits for compaction no longer than this.
    MAX_COMPACTION_LAG_MS: i64 = "max.compaction.lag.ms",
        Some("9223372036854775807"), at_least(1), Medium, ClusterWide;
    /// The largest record batch that is accepted, as it is stored (compressed).
    MAX_MESSAGE_BYTES: i32 = "max.message.bytes", Some("1048588"), at_least(0), Medium, ClusterWide;
    /// How far a record's create time may lie ahead of the broker's clock.
    MESSAGE_TIMESTAMP_AFTER_MAX_MS: i64 = "message.timestamp.after.max.ms",
        Some("3600000"), at_least(0), Medium, ClusterWide;
    /// How far a record's create time may lie behind the broker's clock.
    MESSAGE_TIMESTAMP_BEFORE_MAX_MS: i64 = "message.timestamp.before.max.ms",
        Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
    /// Whether a record carries the time at which it was made, or the time at which it was appended.
    MESSAGE_TIMESTAMP_TYPE: String = "message.timestamp.type",
        Some("CreateTime"), Valid::OneOf(TIMESTAMP_TYPES), Medium, ClusterWide;
    /// Compact a log when this share of it has not been compacted yet.
    MIN_CLEANABLE_DIRTY_RATIO: f64 = "min.cleanable.dirty.ratio",
        Some("0.5"), Valid::Between(0.0, 1.0), Medium, ClusterWide;
    /// A record is left alone by compaction for at least this long.
    MIN_COMPACTION_LAG_MS: i64 = "min.compaction.lag.ms", Some("0"), at_least(0), Medium, ClusterWide;
    /// The fewest in-sync replicas, the leader included, with which a write with `acks=all` is accepted. The high
    /// watermark never passes what that many replicas hold.
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas", Some("1"), at_least(1), Medium, ClusterWide;
    /// Reserve a segment's space on disk when it is created.
    PREALLOCATE: bool = "preallocate", Some("false"), Valid::Any, Medium, ClusterWide;
    /// With tiered storage, stop copying to the remote store and only read from it.
    REMOTE_LOG_COPY_DISABLE: bool = "remote.log.copy.disable", Some("false"), Valid::Any, Medium, ClusterWide;
    /// With tiered storage, delete what is in the remote store when it is switched off for the topic.
    REMOTE_LOG_DELETE_ON_DISABLE: bool = "remote.log.delete.on.disable",
        Some("false"), Valid::Any, Medium, ClusterWide;
    /// Keep old segments in a remote store. Not available yet: only `false` is accepted.
    REMOTE_STORAGE_ENABLE: bool = "remote.storage.enable", Some("false"), Valid::Any, Medium, ClusterWide;
    /// With the policy `delete`, how large a partition may grow before its oldest segments are dropped; -1 is no limit.
    RETENTION_BYTES: i64 = "retention.bytes", Some("-1"), Valid::Any, Medium, ClusterWide;
    /// With the policy `delete`, how old a segment's youngest record may grow before the segment is dropped; -1 is no
    /// limit.
    RETENTION_MS: i64 = "retention.ms", Some("604800000"), at_least(-1), Medium, ClusterWide;
    /// The largest segment file. Retention and compaction work on whole segments.
    SEGMENT_BYTES: i32 = "segment.bytes", Some("1073741824"), at_least(1_048_576), Medium, ClusterWide;
    /// The largest offset index file; a segment whose index is full is closed.
    SEGMENT_INDEX_BYTES: i32 = "segment.index.bytes", Some("10485760"), at_least(4), Medium, ClusterWide;
    /// Close segments up to this much before `segment.ms`, at random, so that not all partitions do it at once.
    SEGMENT_JITTER_MS: i64 = "segment.jitter.ms", Some("0"), at_least(0), Medium, ClusterWide;
    /// Close a segment after this time even if it is not full.
    SEGMENT_MS: i64 = "segment.ms", Some("604800000"), at_least(1), Medium, ClusterWide;
    /// Let a replica that is not in sync become leader when no other is left, at the price of acknowledged records.
    UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable",
        Some("false"), Valid::Any, Medium, ClusterWide;
}

const THROTTLED_REPLICAS: &str = "partition:broker pairs separated by commas, or *";

fn is_throttled_replicas(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_pair = |pair: &str| {
        pair.trim()
            .split_once(':')
            .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    text.is_empty() || text.trim() == "*" || text.split(',').all(is_pair)
}

/// A broker key that gives a topic key its default, and the factor from its unit to the topic key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSynonym {
    /// The broker key's name.
    pub name: &'static str,
    /// Milliseconds per unit of the broker key; 1 where the units agree.
    pub factor: i64,
}

const fn same(name: &'static str) -> BrokerSynonym {
    BrokerSynonym { name, factor: 1 }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// The broker keys behind a topic key, the strongest first; none for the keys that exist on topics only.
#[must_use]
pub fn broker_synonyms(topic_key: &str) -> &'static [BrokerSynonym] {
    const RETENTION: &[BrokerSynonym] = &[
        same("log.retention.ms"),
        BrokerSynonym { name: "log.retention.minutes", factor: MINUTE_MS },
        BrokerSynonym { name: "log.retention.hours", factor: HOUR_MS },
    ];
    const ROLL: &[BrokerSynonym] =
        &[same("log.roll.ms"), BrokerSynonym { name: "log.roll.hours", factor: HOUR_MS }];
    const JITTER: &[BrokerSynonym] =
        &[same("log.roll.jitter.ms"), BrokerSynonym { name: "log.roll.jitter.hours", factor: HOUR_MS }];
    macro_rules! one {
        ($name:literal) => {
            const { &[same($name)] }
        };
    }
    match topic_key {
        "cleanup.policy" => one!("log.cleanup.policy"),
        "compression.gzip.level" => one!("compression.gzip.level"),
        "compression.lz4.level" => one!("compression.lz4.level"),
        "compression.type" => one!("compression.type"),
        "compression.zstd.level" => one!("compression.zstd.level"),
        "delete.retention.ms" => one!("log.cleaner.delete.retention.ms"),
        "file.delete.delay.ms" => one!("log.segment.delete.delay.ms"),
        "flush.messages" => one!("log.flush.interval.messages"),
        "flush.ms" => const { &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")] },
        "index.interval.bytes" => one!("log.index.interval.bytes"),
        "local.retention.bytes" => one!("log.local.retention.bytes"),
        "local.retention.ms" => one!("log.local.retention.ms"),
        "max.compaction.lag.ms" => one!("log.cleaner.max.compaction.lag.ms"),
        "max.message.bytes" => one!("message.max.bytes"),
        "message.timestamp.after.max.ms" => one!("log.message.timestamp.after.max.ms"),
        "message.timestamp.before.max.ms" => one!("log.message.timestamp.before.max.ms"),
        "message.timestamp.type" => one!("log.message.timestamp.type"),
        "min.cleanable.dirty.ratio" => one!("log.cleaner.min.cleanable.ratio"),
        "min.compaction.lag.ms" => one!("log.cleaner.min.compaction.lag.ms"),
        "min.insync.replicas" => one!("min.insync.replicas"),
        "preallocate" => one!("log.preallocate"),
        "retention.bytes" => one!("log.retention.bytes"),
        "retention.ms" => RETENTION,
        "segment.bytes" => one!("log.segment.bytes"),
        "segment.index.bytes" => one!("log.index.size.max.bytes"),
        "segment.jitter.ms" => JITTER,
        "segment.ms" => ROLL,
        "unclean.leader.election.enable" => one!("unclean.leader.election.enable"),
        _ => &[],
    }
}

/// The definition of a topic key.
#[must_use]
pub fn find(name: &str) -> Option<&'static Definition> {
    static BY_NAME: LazyLock<HashMap<&str, &Definition>> =
        LazyLock::new(|| TOPIC_KEYS.iter().map(|d| (d.name, *d)).collect());
    BY_NAME.get(name).copied()
}
