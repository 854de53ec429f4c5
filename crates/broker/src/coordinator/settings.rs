//! The configuration keys that the coordinator's host reads.

use std::time::Duration;

use ottla_groups::GroupConfig;
use ottla_records::{Codec, Compression};
use ottla_types::config::Settings;
use ottla_types::config::broker::coordinators::{
    GROUP_INITIAL_REBALANCE_DELAY_MS, GROUP_MAX_SESSION_TIMEOUT_MS, GROUP_MAX_SIZE,
    GROUP_MIN_SESSION_TIMEOUT_MS, OFFSET_METADATA_MAX_BYTES, OFFSETS_COMMIT_TIMEOUT_MS,
    OFFSETS_LOAD_BUFFER_SIZE, OFFSETS_RETENTION_CHECK_INTERVAL_MS, OFFSETS_RETENTION_MINUTES,
    OFFSETS_TOPIC_COMPRESSION_CODEC,
};

const MINUTE_MS: i64 = 60_000;

/// Longer than any broker runs, and short enough for every clock to add.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What a shard's host keeps to.
#[derive(Debug, Clone)]
pub(super) struct HostSettings {
    pub(super) groups: GroupConfig,
    /// How long a request may wait until what it wrote is committed.
    pub(super) commit_timeout: Duration,
    /// How many bytes of the log are read at once.
    pub(super) load_buffer_bytes: usize,
    /// How records are compressed.
    pub(super) compression: Compression,
    /// How often expired offsets are looked for.
    pub(super) expiry_interval: Duration,
}

impl From<&Settings> for HostSettings {
    fn from(settings: &Settings) -> Self {
        let count = |n: i32| usize::try_from(n).unwrap_or(0);
        Self {
            groups: GroupConfig {
                min_session_timeout_ms: settings.get(&GROUP_MIN_SESSION_TIMEOUT_MS),
                max_session_timeout_ms: settings.get(&GROUP_MAX_SESSION_TIMEOUT_MS),
                initial_rebalance_delay_ms: settings.get(&GROUP_INITIAL_REBALANCE_DELAY_MS),
                max_size: count(settings.get(&GROUP_MAX_SIZE)),
                offset_metadata_max_bytes: count(settings.get(&OFFSET_METADATA_MAX_BYTES)),
                offsets_retention_ms: i64::from(settings.get(&OFFSETS_RETENTION_MINUTES)) * MINUTE_MS,
                ..GroupConfig::default()
            },
            commit_timeout: duration_ms(settings.get(&OFFSETS_COMMIT_TIMEOUT_MS).into()),
            load_buffer_bytes: count(settings.get(&OFFSETS_LOAD_BUFFER_SIZE)),
            compression: compression(settings.get(&OFFSETS_TOPIC_COMPRESSION_CODEC)),
            expiry_interval: duration_ms(settings.get(&OFFSETS_RETENTION_CHECK_INTERVAL_MS)),
        }
    }
}

/// A time of the configuration or of a shard; one that is over is 0.
pub(super) fn duration_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(NEVER)
}

/// The codec of a number; the key allows those that there are.
fn compression(codec: i32) -> Compression {
    match codec {
        1 => Compression::new(Codec::Gzip),
        2 => Compression::new(Codec::Snappy),
        3 => Compression::new(Codec::Lz4),
        4 => Compression::new(Codec::Zstd),
        _ => Compression::NONE,
    }
}
