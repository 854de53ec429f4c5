//! The clocks of one machine, which may be wrong.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ottla_env::{Clock, Timestamp};

use super::EPOCH_MS;
use crate::engine::Timeline;

/// A machine's clocks. The monotonic one is right; the wall clock may be ahead or behind, and may jump.
#[derive(Debug)]
pub(super) struct NodeClock {
    timeline: Timeline,
    ahead_ms: AtomicI64,
}

impl NodeClock {
    pub(super) fn new(timeline: Timeline) -> Self {
        Self { timeline, ahead_ms: AtomicI64::new(0) }
    }

    /// How far the wall clock is ahead of the true time from now on; behind, if negative.
    pub(super) fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn wall_ms(&self) -> Timestamp {
        let passed_ms = (self.timeline.now_us() / 1_000) as i64;
        EPOCH_MS + passed_ms + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.timeline.now_us())
    }
}
