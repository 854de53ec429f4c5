//! How patience grows with mistakes: the back-off of a broker that was suspected wrongly.

use std::time::Duration;

/// How many session timeouts without a mistake halve the tolerance again. A broker whose pauses are longer than anything its
/// rhythm shows is fenced wrongly about once in this time at most.
const DECAY_SESSIONS: u32 = 20;

/// Doublings beyond this change nothing: any tolerance has reached the session timeout long before.
const MOST_DOUBLINGS: u32 = 16;

/// How often a tolerance is doubled.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    doublings: u32,
    /// When the last wrong suspicion was found out, on the attentive clock.
    at: Duration,
    wrong_suspicions: u64,
}

impl Backoff {
    /// Takes note of a wrong suspicion.
    pub(super) fn mistaken(&mut self, now: Duration, session_timeout: Duration) {
        self.doublings = (self.doublings(now, session_timeout) + 1).min(MOST_DOUBLINGS);
        self.at = now;
        self.wrong_suspicions += 1;
    }

    /// How many doublings are in force.
    pub(super) fn doublings(&self, now: Duration, session_timeout: Duration) -> u32 {
        let decay_ms = (session_timeout * DECAY_SESSIONS).as_millis().max(1);
        let periods = now.saturating_sub(self.at).as_millis() / decay_ms;
        self.doublings.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX))
    }

    /// A tolerance with its doublings.
    pub(super) fn apply(&self, tolerance: Duration, now: Duration, session_timeout: Duration) -> Duration {
        tolerance.saturating_mul(1 << self.doublings(now, session_timeout)).min(session_timeout)
    }

    /// All wrong suspicions so far.
    pub(super) fn wrong_suspicions(&self) -> u64 {
        self.wrong_suspicions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(6);

    #[test]
    fn each_mistake_doubles_and_each_twenty_sessions_without_one_halve() {
        let mut backoff = Backoff::default();
        let tolerance = Duration::from_millis(500);
        let at =
            |backoff: &Backoff, s: u64| backoff.apply(tolerance, Duration::from_secs(s), SESSION).as_millis();
        assert_eq!(at(&backoff, 0), 500);
        backoff.mistaken(Duration::from_secs(10), SESSION);
        backoff.mistaken(Duration::from_secs(20), SESSION);
        assert_eq!([20, 139, 140, 260].map(|s| at(&backoff, s)), [2000, 2000, 1000, 500]);
    }

    #[test]
    fn the_session_timeout_is_the_most_however_many_mistakes_there_were() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            backoff.mistaken(Duration::ZERO, SESSION);
        }
        assert_eq!(backoff.apply(Duration::from_millis(500), Duration::ZERO, SESSION), SESSION);
        assert_eq!(backoff.wrong_suspicions(), 1000);
        let decayed = backoff.apply(Duration::from_millis(500), Duration::from_secs(120 * 17), SESSION);
        assert_eq!(decayed.as_millis(), 500);
    }
}
