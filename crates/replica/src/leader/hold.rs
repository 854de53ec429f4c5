//! A short hold of the high watermark for a follower that is about to enter the ISR.
//!
//! An ISR of the leader alone has its watermark at the log's end. A follower that fetches all there is would never reach
//! that while producers go on, since records come while its fetch is under way. So when it has reached the leader's end of
//! its previous fetch, the watermark waits for its next one. (Kafka waits for whoever was caught up within
//! `replica.lag.time.max.ms`; a follower that dies at that moment then stalls all writes for as long.) The hold ends after
//! twice the follower's own rhythm, and the next one begins ten times as long after.

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
    /// Begins one for a follower that fetches every `interval`, unless one is there, or was there just now.
    pub(super) fn begin(&mut self, interval: Duration, longest: Duration, now: Duration) {
        if now < self.not_before {
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

    /// Until when the watermark waits, if it does.
    pub(super) fn until(&self, now: Duration) -> Option<Duration> {
        self.until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_hold_lasts_twice_the_rhythm_and_the_next_one_waits_for_ten_times_as_long() {
        let mut hold = Hold::default();
        let held = |hold: &Hold, now| hold.until(ms(now)).is_some();
        hold.begin(ms(50), ms(30_000), ms(1000));
        assert!(held(&hold, 1000) && held(&hold, 1099) && !held(&hold, 1100));
        hold.begin(ms(50), ms(30_000), ms(1050));
        hold.begin(ms(50), ms(30_000), ms(2099));
        assert!(!held(&hold, 2099), "it is not extended, and the follower had its chance");
        hold.begin(ms(50), ms(30_000), ms(2100));
        assert!(held(&hold, 2199) && !held(&hold, 2200));
        hold.end();
        assert!(!held(&hold, 2100));
    }

    #[test]
    fn a_hold_is_neither_shorter_than_noise_nor_longer_than_the_longest_lag() {
        let mut hold = Hold::default();
        hold.begin(ms(0), ms(30_000), ms(0));
        assert_eq!(hold.until(ms(0)), Some(SHORTEST));
        let mut hold = Hold::default();
        hold.begin(ms(60_000), ms(30_000), ms(0));
        assert_eq!(hold.until(ms(0)), Some(ms(30_000)));
    }
}
