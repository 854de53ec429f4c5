//! The time, of two kinds: the wall clock, which may jump, and a monotonic one, which may not.
//!
//! Waiting is tokio's (`tokio::time`), which a simulation pauses and advances.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as record timestamps count them.
pub type Timestamp = i64;

/// Reads the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock in milliseconds since the Unix epoch. It may be set back: order nothing by it.
    fn wall_ms(&self) -> Timestamp;

    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: record timestamps cannot be negative.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
