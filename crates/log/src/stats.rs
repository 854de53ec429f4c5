//! What the logs of a broker count of their own work, for whoever watches it: flushes, reads, recovery.
//!
//! Counting is a relaxed addition or two. What is not here: names and formats of metrics, which are the broker's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_env::Clock;
use ottla_types::Histogram;

use crate::sync::lock;

/// The counts of all logs of all directories together.
pub struct Stats {
    clock: Arc<dyn Clock>,
    flush_times: Histogram,
    memory: Reads,
    disk: Reads,
    recovery: Mutex<Recovery>,
}

#[derive(Debug, Default)]
struct Reads {
    count: AtomicU64,
    bytes: AtomicU64,
}

/// Reads of records from one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Reads that began there.
    pub count: u64,
    /// Bytes that came from there.
    pub bytes: u64,
}

/// What opening the logs took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// From the first log to the last, those that were closed in order included.
    pub time: Duration,
    /// How many logs had not been closed in order.
    pub recovered_logs: u64,
    /// The bytes in them after recovery.
    pub recovered_bytes: u64,
}

impl Stats {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            flush_times: Histogram::of_times(),
            memory: Reads::default(),
            disk: Reads::default(),
            recovery: Mutex::default(),
        })
    }

    /// How long the flushes of logs took, in nanoseconds.
    #[must_use]
    pub fn flush_times(&self) -> &Histogram {
        &self.flush_times
    }

    /// Reads that found their first batch in memory.
    #[must_use]
    pub fn memory_reads(&self) -> ReadCounts {
        self.memory.counts()
    }

    /// Reads that had to look into a file.
    #[must_use]
    pub fn disk_reads(&self) -> ReadCounts {
        self.disk.counts()
    }

    /// What the start took.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        *lock(&self.recovery)
    }

    /// Begins to time something.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Counts a flush that began at `since`.
    pub(crate) fn note_flush(&self, since: Duration) {
        self.flush_times.count_time(self.now().saturating_sub(since));
    }

    pub(crate) fn note_memory_read(&self, bytes: usize) {
        self.memory.note(1, bytes);
    }

    /// Counts a read from a file that may have gone on in memory.
    pub(crate) fn note_disk_read(&self, disk_bytes: usize, memory_bytes: usize) {
        self.disk.note(1, disk_bytes);
        if memory_bytes > 0 {
            self.memory.note(0, memory_bytes);
        }
    }

    pub(crate) fn note_recovery(&self, since: Duration, logs: usize, bytes: u64) {
        let time = self.now().saturating_sub(since);
        let mut recovery = lock(&self.recovery);
        // Logs and the copies that are to take their places are opened one after the other.
        recovery.time += time;
        recovery.recovered_logs += logs as u64;
        recovery.recovered_bytes += bytes;
    }
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stats")
            .field("memory", &self.memory)
            .field("disk", &self.disk)
            .field("recovery", &self.recovery())
            .finish_non_exhaustive()
    }
}

impl Reads {
    fn note(&self, count: u64, bytes: usize) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn counts(&self) -> ReadCounts {
        ReadCounts { count: self.count.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}
