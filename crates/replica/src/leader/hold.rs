//! A short hold of the high watermark for a follower that is about to enter the ISR.
//!
//! An ISR of the leader alone has its watermark at the log's end. A follower that fetches all there is would never reach
//! that while producers go on, since records come while its fetch is under way. So when it has reached the leader's end of
//! its previous fetch, the watermark waits for its next one. (Kafka waits for whoever was caught up within
//! `replica.lag.time.max.ms`; a follower that dies at that moment then stalls all writes for as long.) The hold ends after
//! twice the follower's own rhythm, and the next one may begin ten times as long after.

use std::time::Duration;

/// The shortest hold: less than that is the noise of a busy machine.
const SHORTEST: Duration = Duration::from_millis(20);

/// The rest after a hold that came to nothing, in holds.
const REST: u32 = 10;

/// A hold, or when the next one may begin.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    until: Option<Duration>,
    not_before: Duration,
}

impl Hold {
    /// Begins one for a follower that fetches every `interval`, if none is there, and none was there just now.
    pub(super) fn begin(&mut self, interval: Duration, longest: Duration, now: Duration) {
        if self.until.is_some() || now < self.not_before {
            return;
        }
        let length = interval.saturating_mul(2).max(SHORTEST).min(longest);
        self.until = Some(now.saturating_add(length));
        self.not_before = now.saturating_add(length.saturating_mul(REST + 1));
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.until = None;
    }

    /// Ends it if its time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        self.until = self.until.filter(|until| now < *until);
    }

    /// Until when the watermark waits, if it does.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }
}
