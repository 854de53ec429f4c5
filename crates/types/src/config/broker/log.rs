//! Logs: where they lie, and what their topics do not say for themselves.

use crate::config::broker::unused;
use crate::config::key::{Unused, Valid, at_least, keys};
use crate::config::topic::{CLEANUP_POLICIES, COMPRESSION_TYPES, TIMESTAMP_TYPES};

keys! {
    /// The keys of logs and log directories.
    LOG_KEYS;

    /// The directory of the logs where `log.dirs` is not set.
    LOG_DIR: Vec<String> = "log.dir", Some("./ottla-data"), Valid::Any, High, ReadOnly;
    /// The directories of the logs, separated by commas: one for each disk.
    LOG_DIRS: Option<Vec<String>> = "log.dirs", None, Valid::Any, High, ReadOnly;
    /// How long a broker that lost a log directory may take to tell the controller before it stops itself.
    LOG_DIR_FAILURE_TIMEOUT_MS: i64 = "log.dir.failure.timeout.ms", Some("30000"), at_least(1), Low, ReadOnly,
        unused::CLUSTER;
    /// How many logs of a directory are opened and recovered at the same time.
    NUM_RECOVERY_THREADS_PER_DATA_DIR: i32 = "num.recovery.threads.per.data.dir",
        Some("2"), at_least(1), High, ClusterWide;
    /// The largest segment file.
    LOG_SEGMENT_BYTES: i32 = "log.segment.bytes", Some("1073741824"), at_least(1_048_576), High, ClusterWide;
    /// Close a segment after this time even if it is not full; `log.roll.hours` if it is not set.
    LOG_ROLL_MS: Option<i64> = "log.roll.ms", None, at_least(1), High, ClusterWide;
    /// The same in hours.
    LOG_ROLL_HOURS: i32 = "log.roll.hours", Some("168"), at_least(1), High, ReadOnly;
    /// Close segments up to this much earlier, at random; `log.roll.jitter.hours` if it is not set.
    LOG_ROLL_JITTER_MS: Option<i64> = "log.roll.jitter.ms", None, at_least(0), High, ClusterWide;
    /// The same in hours.
    LOG_ROLL_JITTER_HOURS: i32 = "log.roll.jitter.hours", Some("0"), at_least(0), High, ReadOnly;
    /// How old a segment's youngest record may grow before the segment is dropped; -1 is no limit, and unset means
    /// `log.retention.minutes`.
    LOG_RETENTION_MS: Option<i64> = "log.retention.ms",
        None, Valid::Form("a long of at least 1, or -1", is_retention), High, ClusterWide;
    /// The same in minutes; `log.retention.hours` if it is not set.
    LOG_RETENTION_MINUTES: Option<i32> = "log.retention.minutes",
        None, Valid::Form("an int of at least 1, or -1", is_retention), High, ReadOnly;
    /// The same in hours.
    LOG_RETENTION_HOURS: i32 = "log.retention.hours",
        Some("168"), Valid::Form("an int of at least 1, or -1", is_retention), High, ReadOnly;
    /// How large a partition may grow before its oldest segments are dropped; -1 is no limit.
    LOG_RETENTION_BYTES: i64 = "log.retention.bytes", Some("-1"), Valid::Any, High, ClusterWide;
    /// How often logs are looked at for segments to drop.
    LOG_RETENTION_CHECK_INTERVAL_MS: i64 = "log.retention.check.interval.ms",
        Some("300000"), at_least(1), Medium, ReadOnly;
    /// What happens to old records: `delete`, `compact`, or both.
    LOG_CLEANUP_POLICY: Vec<String> = "log.cleanup.policy",
        Some("delete"), Valid::ListOf(CLEANUP_POLICIES), Medium, ClusterWide;
    /// How long the directory of a deleted topic's partition, and a segment that retention or DeleteRecords drops, stay on
    /// disk, renamed, before they are removed.
    LOG_SEGMENT_DELETE_DELAY_MS: i64 = "log.segment.delete.delay.ms",
        Some("60000"), at_least(0), High, ClusterWide;
    /// The largest offset index file.
    LOG_INDEX_SIZE_MAX_BYTES: i32 = "log.index.size.max.bytes",
        Some("10485760"), at_least(4), Medium, ClusterWide;
    /// About how many bytes of log lie between two entries of the offset index.
    LOG_INDEX_INTERVAL_BYTES: i32 = "log.index.interval.bytes",
        Some("4096"), at_least(0), Medium, ClusterWide;
    /// Force a log to disk after this many records.
    LOG_FLUSH_INTERVAL_MESSAGES: i64 = "log.flush.interval.messages",
        Some("9223372036854775807"), at_least(1), High, ClusterWide;
    /// Force a log to disk when records have waited for this long; `log.flush.scheduler.interval.ms` if it is not set.
    LOG_FLUSH_INTERVAL_MS: Option<i64> = "log.flush.interval.ms", None, at_least(0), High, ClusterWide;
    /// How often logs are looked at for records that have waited long enough.
    LOG_FLUSH_SCHEDULER_INTERVAL_MS: i64 = "log.flush.scheduler.interval.ms",
        Some("9223372036854775807"), at_least(0), High, ReadOnly;
    /// How often the offsets from which recovery starts are written down.
    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS: i32 = "log.flush.offset.checkpoint.interval.ms",
        Some("60000"), at_least(0), High, ReadOnly;
    /// The longest time until the logs' first offsets are written down. They go with the offsets from which recovery
    /// starts, so that the shorter of both intervals counts.
    LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS: i32 = "log.flush.start.offset.checkpoint.interval.ms",
        Some("60000"), at_least(0), High, ReadOnly;
    /// Memory for the records appended last, over all partitions that consumers read at their end: those are given them
    /// without reading a file. 0 keeps none.
    LOG_TAIL_CACHE_BYTES: i64 = "log.tail.cache.bytes", Some("16777216"), at_least(0), Medium, ReadOnly;
    /// Reserve a segment's space on disk when it is created.
    LOG_PREALLOCATE: bool = "log.preallocate", Some("false"), Valid::Any, Medium, ClusterWide,
        Unused::because("segments grow as they are written");
    /// Whether a record carries the time at which it was made, or the time at which it was appended.
    LOG_MESSAGE_TIMESTAMP_TYPE: String = "log.message.timestamp.type",
        Some("CreateTime"), Valid::OneOf(TIMESTAMP_TYPES), Medium, ClusterWide;
    /// How far a record's create time may lie behind the broker's clock.
    LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS: i64 = "log.message.timestamp.before.max.ms",
        Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
    /// How far a record's create time may lie ahead of the broker's clock.
    LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS: i64 = "log.message.timestamp.after.max.ms",
        Some("3600000"), at_least(0), Medium, ClusterWide;
    /// With tiered storage, how many bytes of a partition stay on local disks; -2 means `log.retention.bytes`.
    LOG_LOCAL_RETENTION_BYTES: i64 = "log.local.retention.bytes",
        Some("-2"), at_least(-2), Medium, ClusterWide, unused::TIERED_STORAGE;
    /// With tiered storage, how long segments stay on local disks; -2 means `log.retention.ms`.
    LOG_LOCAL_RETENTION_MS: i64 = "log.local.retention.ms", Some("-2"), at_least(-2), Medium, ClusterWide,
        unused::TIERED_STORAGE;
    /// How batches are stored: with `producer` as they arrive, else compressed again.
    COMPRESSION_TYPE: String = "compression.type",
        Some("producer"), Valid::OneOf(COMPRESSION_TYPES), High, ClusterWide;
    /// Level for batches that the broker compresses again with gzip; -1 is gzip's own default.
    COMPRESSION_GZIP_LEVEL: i32 = "compression.gzip.level",
        Some("-1"), Valid::RangeOr(-1, 1, 9), Medium, ClusterWide;
    /// Level for batches that the broker compresses again with lz4.
    COMPRESSION_LZ4_LEVEL: i32 = "compression.lz4.level", Some("9"), Valid::Range(1, 17), Medium, ClusterWide;
    /// Level for batches that the broker compresses again with zstd.
    COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level",
        Some("3"), Valid::Range(-131_072, 22), Medium, ClusterWide;
    /// Compact the topics whose policy says so.
    LOG_CLEANER_ENABLE: bool = "log.cleaner.enable", Some("true"), Valid::Any, Medium, ReadOnly,
        unused::COMPACTION;
    /// How many logs are compacted at the same time.
    LOG_CLEANER_THREADS: i32 = "log.cleaner.threads", Some("1"), at_least(0), Medium, ClusterWide,
        unused::COMPACTION;
    /// How long compaction rests when no log needs it.
    LOG_CLEANER_BACKOFF_MS: i64 = "log.cleaner.backoff.ms", Some("15000"), at_least(0), Medium, ClusterWide,
        unused::COMPACTION;
    /// Memory for the keys of the log that is compacted, in all.
    LOG_CLEANER_DEDUPE_BUFFER_SIZE: i64 = "log.cleaner.dedupe.buffer.size",
        Some("134217728"), at_least(1_048_576), Medium, ClusterWide, unused::COMPACTION;
    /// Memory for reading and writing while compacting, in all.
    LOG_CLEANER_IO_BUFFER_SIZE: i32 = "log.cleaner.io.buffer.size",
        Some("524288"), at_least(0), Medium, ClusterWide, unused::COMPACTION;
    /// How full the memory for keys may get.
    LOG_CLEANER_IO_BUFFER_LOAD_FACTOR: f64 = "log.cleaner.io.buffer.load.factor",
        Some("0.9"), Valid::Any, Medium, ClusterWide, unused::COMPACTION;
    /// The most that compaction reads and writes in a second.
    LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: f64 = "log.cleaner.io.max.bytes.per.second",
        Some("1.7976931348623157E308"), Valid::Any, Medium, ClusterWide, unused::COMPACTION;
    /// Compact a log when this share of it has not been compacted yet.
    LOG_CLEANER_MIN_CLEANABLE_RATIO: f64 = "log.cleaner.min.cleanable.ratio",
        Some("0.5"), Valid::Between(0.0, 1.0), Medium, ClusterWide, unused::COMPACTION;
    /// How long compaction keeps the marker of a deleted key.
    LOG_CLEANER_DELETE_RETENTION_MS: i64 = "log.cleaner.delete.retention.ms",
        Some("86400000"), at_least(0), Medium, ClusterWide, unused::COMPACTION;
    /// A record is left alone by compaction for at least this long.
    LOG_CLEANER_MIN_COMPACTION_LAG_MS: i64 = "log.cleaner.min.compaction.lag.ms",
        Some("0"), at_least(0), Medium, ClusterWide, unused::COMPACTION;
    /// A record waits for compaction no longer than this.
    LOG_CLEANER_MAX_COMPACTION_LAG_MS: i64 = "log.cleaner.max.compaction.lag.ms",
        Some("9223372036854775807"), at_least(1), Medium, ClusterWide, unused::COMPACTION;
    /// How long the sequence numbers of an idle idempotent producer are remembered.
    PRODUCER_ID_EXPIRATION_MS: i32 = "producer.id.expiration.ms",
        Some("86400000"), at_least(1), Low, ClusterWide;
}

fn is_retention(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|n| n == -1 || n >= 1)
}
