//! The settings of one partition's log, under Kafka's topic-level names.
//!
//! Where the values come from (topic, broker, default) is not decided here: `types::config` resolves them.

/// How a log is cut into segments, flushed and forgotten. Can be replaced while the log is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment never grows beyond this; no batch may be larger.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment takes records of at most this span of timestamps.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment.ms`, so that many logs do not roll at once.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment whose index grew to this is rolled.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: an index entry for about every so many bytes of records.
    pub index_interval_bytes: u32,
    /// `cleanup.policy` contains `delete`: retention removes old segments.
    pub cleanup_delete: bool,
    /// `cleanup.policy` contains `compact`: a leader's log may lack records in its middle, and so may what it sends.
    pub cleanup_compact: bool,
    /// `retention.ms`: segments whose newest record is older are removed; -1 keeps them.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segments beyond this size are removed; -1 keeps them.
    pub retention_bytes: i64,
    /// `flush.messages`: fsync after so many records. At the default, the operating system decides.
    pub flush_messages: i64,
    /// `flush.ms`: fsync at least this often while there is something to flush.
    pub flush_ms: i64,
    /// `file.delete.delay.ms`: how long a deleted topic's renamed directory stays, and the files of a deleted segment.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`: a producer that is silent for this long is forgotten.
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            cleanup_delete: true,
            cleanup_compact: false,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl LogConfig {
    /// Positions in a segment are 31 bits wide in the index, whatever the setting says.
    pub(crate) fn max_segment_bytes(&self) -> u64 {
        u64::from(self.segment_bytes.min(i32::MAX as u32))
    }
}
