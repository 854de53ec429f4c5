//! The clock of a simulation: tokio's, which is paused there and moves only when everything waits.

use std::time::Duration;

use ottla_env::{Clock, Timestamp};
use tokio::time::Instant;

/// A clock on tokio's time. The wall clock begins at a fixed moment.
#[derive(Debug)]
pub struct SimClock {
    start: Instant,
    wall_start_ms: Timestamp,
}

impl SimClock {
    /// A clock that shows `wall_start_ms` now. To be made inside a runtime whose time is paused.
    #[must_use]
    pub fn new(wall_start_ms: Timestamp) -> Self {
        Self { start: Instant::now(), wall_start_ms }
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> Timestamp {
        self.wall_start_ms + i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
