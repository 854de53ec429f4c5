//! When a segment is full: by bytes, by the span of its timestamps, by its indexes, by the reach of relative offsets.

use ottla_records::BatchHeader;
use ottla_types::Offset;

use super::{State, relative};
use crate::LogConfig;
use crate::format::index::{Entry, OffsetEntry, TimeEntry};

/// What decides that a segment is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RollRules<'a> {
    pub(crate) config: &'a LogConfig,
    /// What `segment.jitter.ms` came to for this segment.
    pub(crate) jitter_ms: i64,
    pub(crate) now_ms: i64,
}

/// How full a segment is, or will be with batches that are about to be written to it together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling {
    base: Offset,
    size: u64,
    first_timestamp_ms: Option<i64>,
    created_ms: i64,
    since_index: u64,
    offset_entries: u32,
    time_entries: u32,
}

impl Filling {
    pub(super) fn of(base: Offset, state: &State) -> Self {
        Self {
            base,
            size: state.size,
            first_timestamp_ms: state.first_timestamp_ms,
            created_ms: state.created_ms,
            since_index: state.since_index,
            offset_entries: state.offsets.len(),
            time_entries: state.times.len(),
        }
    }

    /// Whether a batch must go to a new segment. One without a batch takes any: a batch is never cut, and a follower gets
    /// what its leader could still write, whatever `segment.bytes` says by now.
    pub(crate) fn is_full_for(&self, header: &BatchHeader, rules: &RollRules<'_>) -> bool {
        if self.size == 0 {
            return false;
        }
        let config = rules.config;
        let waited_ms = match self.first_timestamp_ms {
            // As Kafka does: by the span of timestamps, so that old records roll as they did when they were new.
            Some(first_ms) if first_ms >= 0 => header.max_timestamp_ms.saturating_sub(first_ms),
            _ => rules.now_ms.saturating_sub(self.created_ms),
        };
        self.size + header.size_bytes() as u64 > config.max_segment_bytes()
            || waited_ms > config.segment_ms.saturating_sub(rules.jitter_ms)
            || self.indexes_are_full(config)
            || relative(self.base, header.last_offset()).is_none()
    }

    fn indexes_are_full(&self, config: &LogConfig) -> bool {
        let max_bytes = config.segment_index_bytes as usize;
        let (offsets, times) = (max_bytes / OffsetEntry::SIZE, max_bytes / TimeEntry::SIZE);
        // The last entry of the time index is kept for sealing.
        self.offset_entries as usize >= offsets.max(1) || self.time_entries as usize >= times.max(2) - 1
    }

    /// Counts a batch that is to be written.
    pub(crate) fn note(&mut self, header: &BatchHeader, config: &LogConfig) {
        if self.size == 0 {
            self.first_timestamp_ms = Some(header.max_timestamp_ms);
        }
        if self.since_index > u64::from(config.index_interval_bytes) {
            // There may be none for the time index: then the next segment begins a little early.
            self.offset_entries = self.offset_entries.saturating_add(1);
            self.time_entries = self.time_entries.saturating_add(1);
            self.since_index = 0;
        }
        self.since_index += header.size_bytes() as u64;
        self.size += header.size_bytes() as u64;
    }
}
