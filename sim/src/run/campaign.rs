//! Many seeds, on a few threads, for a number of seeds or a time. A seed that does not end ends the program, by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Failure, Profile, Report, a_seed_says_all, run_seed};

/// How long one seed may take before it counts as one that never ends. The engine ends those whose tasks go round in circles
/// by itself; this is for a task that does not even return.
const MOST_TIME: Duration = Duration::from_secs(300);

/// The seeds that run, and since when.
#[derive(Default)]
struct Running(Mutex<BTreeMap<u64, Instant>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until all is done, and ends the program for a seed that does not end.
    #[allow(clippy::print_stderr)]
    fn watch(&self, profile: Profile, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_secs(1));
            let late =
                self.lock().iter().find(|(_, since)| since.elapsed() > MOST_TIME).map(|(seed, _)| *seed);
            if let Some(seed) = late {
                eprintln!("seed {seed}: the invariant time_passes does not hold");
                eprintln!("  it did not end within {} s: a task does not return", MOST_TIME.as_secs());
                eprintln!("to repeat it: cargo xtask sim --profile {profile} --seed {seed}");
                std::process::exit(1);
            }
        }
    }
}

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
    /// Whether each seed is run twice, and must do the same.
    pub twice: bool,
    /// The mistake that the clusters make.
    #[cfg(feature = "sabotage")]
    pub mistake: Option<ottla_types::sabotage::Sabotage>,
}

/// What was run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// Runs of them: one each, or two.
    pub runs: u64,
    /// Events in them.
    pub events: u64,
    /// Operations of clients in them.
    pub operations: u64,
    /// The time that passed in their worlds, in microseconds.
    pub simulated_us: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How long processors were busy with it; zero where the system does not tell.
    pub cpu: Duration,
}

impl Campaign {
    fn run_seed(&self, seed: u64) -> Result<Report, Box<Failure>> {
        let report = run_seed(self.profile, seed)?;
        if self.twice {
            a_seed_says_all(self.profile, seed, report)?;
        }
        Ok(report)
    }

    /// Runs the seeds until one fails.
    ///
    /// # Errors
    /// The failure with the lowest seed among those that came about.
    pub fn run(&self) -> Result<Totals, Box<Failure>> {
        let (start, cpu_before) = (Instant::now(), cpu_time());
        let (next, stop, done) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let running = Running::default();
        let work = || {
            #[cfg(feature = "sabotage")]
            ottla_types::sabotage::Sabotage::set(self.mistake);
            let mut totals = Totals::default();
            let is_late = || self.time.is_some_and(|time| start.elapsed() >= time);
            while !stop.load(Ordering::Relaxed) && !is_late() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.seeds {
                    break;
                }
                let seed = self.seed.wrapping_add(number);
                running.lock().insert(seed, Instant::now());
                let report = self.run_seed(seed).inspect_err(|_| stop.store(true, Ordering::Relaxed));
                running.lock().remove(&seed);
                let report = report?;
                totals.seeds += 1;
                totals.runs += 1 + u64::from(self.twice);
                totals.events += report.events;
                totals.operations += report.operations;
                totals.simulated_us += report.simulated_us;
            }
            Ok(totals)
        };
        let results: Vec<Result<Totals, Box<Failure>>> = std::thread::scope(|scope| {
            let watch = scope.spawn(|| running.watch(self.profile, &done));
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let results = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
            done.store(true, Ordering::Relaxed);
            watch.thread().unpark();
            results
        });
        let mut totals = Totals::default();
        let mut first: Option<Box<Failure>> = None;
        for result in results {
            match result {
                Ok(part) => {
                    totals.seeds += part.seeds;
                    totals.runs += part.runs;
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
        totals.cpu = cpu_time().saturating_sub(cpu_before);
        first.map_or(Ok(totals), Err)
    }
}

/// The processor time of this process so far.
fn cpu_time() -> Duration {
    // Linux counts in hundredths of a second for whoever asks.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is in parentheses, and may have spaces in it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}
