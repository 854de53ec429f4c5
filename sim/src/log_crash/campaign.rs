//! Many workloads, on a few threads, for a number of seeds or a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Counts, Failure, run_workload};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first workload's seed; each next one has the next number.
    pub seed: u64,
    /// How many workloads at most.
    pub workloads: u64,
    /// How long at most.
    pub time: Option<Duration>,
    /// On how many threads.
    pub threads: usize,
}

/// What was run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Workloads.
    pub workloads: u64,
    /// Operations in them.
    pub operations: u64,
    /// Crashes of them.
    pub crashes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// Runs the workloads until one fails.
    ///
    /// # Errors
    /// The failure with the lowest seed among those that came about.
    pub fn run(&self) -> Result<Totals, Box<Failure>> {
        let start = Instant::now();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let work = || {
            let mut totals = Totals::default();
            let is_late = || self.time.is_some_and(|time| start.elapsed() >= time);
            while !stop.load(Ordering::Relaxed) && !is_late() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.workloads {
                    break;
                }
                match run_workload(self.seed.wrapping_add(number)) {
                    Ok(counts) => totals.add(&counts),
                    Err(failure) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(failure);
                    }
                }
            }
            Ok(totals)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut totals = Totals::default();
        let mut first: Option<Box<Failure>> = None;
        for result in results {
            match result {
                Ok(part) => totals.merge(&part),
                Err(failure) if first.as_ref().is_none_or(|first| failure.seed < first.seed) => {
                    first = Some(failure);
                }
                Err(_) => {}
            }
        }
        totals.elapsed = start.elapsed();
        first.map_or(Ok(totals), Err)
    }
}

impl Totals {
    fn add(&mut self, counts: &Counts) {
        self.workloads += 1;
        self.operations += counts.operations;
        self.crashes += counts.crashes;
    }

    fn merge(&mut self, other: &Self) {
        self.workloads += other.workloads;
        self.operations += other.operations;
        self.crashes += other.crashes;
    }
}
