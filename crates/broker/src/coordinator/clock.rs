//! The time as a shard knows it: that of the wall clock when the shard was made, and from then on as the monotonic clock
//! runs. So commits are dated in the time of day, and a wall clock that is set ends no member's session.

use std::time::Duration;

use ottla_env::Clock;

/// The start of a shard's time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    wall_ms: i64,
    monotonic: Duration,
}

impl Epoch {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { wall_ms: clock.wall_ms(), monotonic: clock.monotonic() }
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn ms(self, clock: &dyn Clock) -> i64 {
        let passed = clock.monotonic().saturating_sub(self.monotonic);
        self.wall_ms.saturating_add(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Clocks {
        wall_ms: AtomicI64,
        monotonic_ms: AtomicI64,
    }

    impl Clock for Clocks {
        fn wall_ms(&self) -> i64 {
            self.wall_ms.load(Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic_ms.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_nothing() {
        let clocks = Clocks::default();
        clocks.wall_ms.store(5_000, Ordering::Relaxed);
        clocks.monotonic_ms.store(100, Ordering::Relaxed);
        let epoch = Epoch::now(&clocks);
        for wall_ms in [1_000_000, 0] {
            clocks.wall_ms.store(wall_ms, Ordering::Relaxed);
            assert_eq!(epoch.ms(&clocks), 5_000);
        }
        clocks.monotonic_ms.store(130, Ordering::Relaxed);
        assert_eq!(epoch.ms(&clocks), 5_030);
    }
}
