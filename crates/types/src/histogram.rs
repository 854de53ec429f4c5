//! A histogram that any number of threads count into without waiting for each other.
//!
//! Two relaxed additions per value. What is read while others count may miss the newest of them; it never counts one twice.
//! What is not here: where the values come from, and in which unit they are shown.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bounds of times between a tenth of a millisecond and ten seconds, in nanoseconds.
pub const TIME_BOUNDS_NS: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// The bounds of sizes between 64 bytes and 64 MiB, in bytes.
pub const SIZE_BOUNDS_BYTES: &[u64] =
    &[64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20];

/// Counts values by size.
#[derive(Debug)]
pub struct Histogram {
    /// Ascending.
    bounds: &'static [u64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// For each bound how many values are at or below it and above the one before.
    pub buckets: Vec<(u64, u64)>,
    /// How many values there are, those above the last bound included.
    pub count: u64,
    /// The sum of the values. It wraps: nanoseconds do so after 584 years.
    pub sum: u64,
}

impl Histogram {
    /// A histogram with these upper bounds, which ascend and are inclusive.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// A histogram of times: give it nanoseconds, as [`Self::count_time`] does.
    #[must_use]
    pub fn of_times() -> Self {
        Self::new(TIME_BOUNDS_NS)
    }

    /// A histogram of sizes in bytes.
    #[must_use]
    pub fn of_sizes() -> Self {
        Self::new(SIZE_BOUNDS_BYTES)
    }

    /// Counts a value.
    pub fn count(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Counts a time, in nanoseconds.
    pub fn count_time(&self, time: std::time::Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Counted {
            count: counts.iter().sum(),
            buckets: self.bounds.iter().copied().zip(counts).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1000] {
            histogram.count(value);
        }
        let expected = Counted { buckets: vec![(10, 2), (20, 2)], count: 6, sum: 1062 };
        assert_eq!(histogram.counted(), expected);
    }

    #[test]
    fn the_bounds_ascend() {
        for bounds in [TIME_BOUNDS_NS, SIZE_BOUNDS_BYTES] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let histogram = Histogram::of_times();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1000).for_each(|_| histogram.count_time(std::time::Duration::from_micros(200)))
                });
            }
        });
        let counted = histogram.counted();
        assert_eq!((counted.count, counted.sum, counted.buckets[1].1), (4000, 800_000_000, 4000));
    }
}
