//! Trying again: how long to pause, and when to give up.

use std::sync::Arc;
use std::time::Duration;

use ottla_env::{Rng, process};
use tokio::time::Instant;

use crate::error::Error;

/// Pauses that double from the first to the longest, each drawn a fifth around its middle (KIP-580), so that clients that
/// failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after `failures` failures in a row.
    pub(crate) fn pause(&self, failures: u32, rng: &dyn Rng) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let middle = doubled.min(self.longest);
        let thousandths = 800 + u32::try_from(rng.next_u64() % 401).unwrap_or(0);
        middle.saturating_mul(thousandths) / 1000
    }
}

/// Failures in a row that pass by themselves every day, as while a group rebalances.
const TELLS_AFTER: u32 = 4;

/// By then pauses are at their longest, a second.
const TELLS_EVERY: u32 = 30;

/// What a simulation is told when a call is made again: its first request may yet arrive. See [`process::observe`].
#[derive(Debug, Clone)]
pub struct AsksAgain {
    /// What for.
    pub what: String,
}

/// One call that may be made more than once.
pub(crate) struct Retry {
    what: String,
    started: Instant,
    within: Duration,
    backoff: Backoff,
    rng: Arc<dyn Rng>,
    failures: u32,
}

impl Retry {
    pub(crate) fn new(what: String, within: Duration, backoff: Backoff, rng: Arc<dyn Rng>) -> Self {
        Self { what, started: Instant::now(), within, backoff, rng, failures: 0 }
    }

    /// From here on time counts anew. Pauses go on as they were.
    pub(crate) fn counts_anew(&mut self) {
        self.started = Instant::now();
    }

    /// Whether the operator should hear of the failure that comes next: one that goes on for more than a second, and then
    /// about twice a minute.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.failures >= TELLS_AFTER && (self.failures - TELLS_AFTER).is_multiple_of(TELLS_EVERY)
    }

    /// Pauses after a failure, or gives up: at once after an error that will not go away, otherwise when no time is left.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        if error.is_retriable() { self.pause(error).await } else { Err(error) }
    }

    /// The same after an error that does go away, whatever it is called.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let pause = self.backoff.pause(self.failures, &*self.rng);
        if self.started.elapsed() + pause >= self.within {
            let what = self.what.clone();
            return Err(Error::GaveUp { what, after: self.within, last: Box::new(error) });
        }
        tracing::debug!(what = self.what, %error, pause_ms = pause.as_millis(), "trying again after a pause");
        process::observe(|| AsksAgain { what: self.what.clone() });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u64);

    impl Rng for Always {
        fn fill(&self, buffer: &mut [u8]) {
            let bytes = self.0.to_le_bytes();
            buffer.copy_from_slice(&bytes[..buffer.len()]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_go_on_are_told_rarely_and_tried_again_slowly_however_often_time_counts_anew() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_millis(1000) };
        let rng = Arc::new(Always(200));
        let mut retry = Retry::new("joining".to_owned(), Duration::from_secs(30), backoff, rng);
        let begin = Instant::now();
        let mut told = Vec::new();
        for _ in 0..100 {
            retry.counts_anew();
            if retry.is_worth_telling() {
                told.push(begin.elapsed().as_secs());
            }
            retry.pause(Error::LeftOut { group: "g".to_owned() }).await.unwrap();
        }
        assert_eq!(told, [1, 31, 61, 91]);
        assert_eq!(begin.elapsed(), Duration::from_millis(97_500));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_stay_within_a_fifth() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_millis(1000) };
        let low: Vec<u128> = (1..7).map(|n| backoff.pause(n, &Always(0)).as_millis()).collect();
        assert_eq!(low, [80, 160, 320, 640, 800, 800]);
        assert_eq!(backoff.pause(1, &Always(400)).as_millis(), 120);
        assert_eq!(backoff.pause(u32::MAX, &Always(400)).as_millis(), 1200);
    }
}
