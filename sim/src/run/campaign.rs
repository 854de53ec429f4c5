//! Many seeds, on a few threads, for a number of seeds or a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Failure, Profile, run_seed};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// Which cluster.
    pub profile: Profile,
    /// The first seed; each next one has the next number.
    pub seed: u64,
    /// How many at most.
    pub seeds: u64,
    /// How long at most.
    pub time: Option<Duration>,
    /// On how many threads.
    pub threads: usize,
}

/// What was run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// Events in them.
    pub events: u64,
    /// Operations of clients in them.
    pub operations: u64,
    /// The time that passed in their worlds, in microseconds.
    pub simulated_us: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// Runs the seeds until one fails.
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
                if number >= self.seeds {
                    break;
                }
                let report = run_seed(self.profile, self.seed.wrapping_add(number))
                    .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                totals.seeds += 1;
                totals.events += report.events;
                totals.operations += report.operations;
                totals.simulated_us += report.simulated_us;
            }
            Ok(totals)
        };
        let results: Vec<Result<Totals, Box<Failure>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut totals = Totals::default();
        let mut first: Option<Box<Failure>> = None;
        for result in results {
            match result {
                Ok(part) => {
                    totals.seeds += part.seeds;
                    totals.events += part.events;
                    totals.operations += part.operations;
                    totals.simulated_us += part.simulated_us;
                }
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
