//! `cargo xtask sim`: whole clusters under faults, from one seed each. `RUST_LOG` shows what they log meanwhile.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ottla_sim::run::campaign::{Campaign, Totals};
use ottla_sim::run::{Failure, Profile, run_seed};
use tracing_subscriber::EnvFilter;

/// How far the seeds lie apart from which on it is counted how many a mistake needs.
#[cfg(feature = "sabotage")]
const APART: u64 = 1_000;

/// Runs clusters under faults, each from one seed.
#[derive(Parser)]
struct Arguments {
    /// Which cluster; all of them, one after another, if it is not said
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// The first seed; the next ones have the next numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds at most, of each profile
    #[arg(long)]
    seeds: Option<u64>,
    /// How long at most, for each profile
    #[arg(long)]
    minutes: Option<u64>,
    /// On how many threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Run each seed twice: it must do the same
    #[arg(long)]
    twice: bool,
    /// Show instead that seeds find each mistake that a cluster can be told to make
    #[cfg(feature = "sabotage")]
    #[arg(long)]
    sabotage: bool,
    /// From how many seeds on it is counted how many a mistake needs
    #[cfg(feature = "sabotage")]
    #[arg(long, default_value_t = 1)]
    beginnings: u64,
}

impl Arguments {
    fn campaign(&self, profile: Profile) -> Campaign {
        Campaign {
            profile,
            seed: self.seed,
            seeds: self.seeds.unwrap_or(u64::MAX),
            time: self.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
            threads: self.threads,
            twice: self.twice,
            #[cfg(feature = "sabotage")]
            mistake: None,
        }
    }

    fn run(&self) -> Result<(), Box<Failure>> {
        let profiles = self.profile.map_or_else(|| Profile::ALL.to_vec(), |profile| vec![profile]);
        for profile in profiles {
            if self.seeds.is_none() && self.minutes.is_none() && !self.twice {
                one(profile, self.seed)?;
                continue;
            }
            let mut campaign = self.campaign(profile);
            if self.seeds.is_none() && self.minutes.is_none() {
                campaign.seeds = 1;
            }
            tell(profile, &campaign.run()?);
        }
        Ok(())
    }
}

fn one(profile: Profile, seed: u64) -> Result<(), Box<Failure>> {
    let report = run_seed(profile, seed)?;
    println!(
        "{profile}, seed {seed}: all invariants hold; {} operations and {} events in {:.1} simulated s; trace {:016x}",
        report.operations,
        report.events,
        report.simulated_us as f64 / 1e6,
        report.hash
    );
    Ok(())
}

fn tell(profile: Profile, totals: &Totals) {
    println!(
        "{profile}: {} seeds, {} operations and {} events in {:.0} simulated s, in {:.1} s ({:.2} CPU-s a run): all \
         invariants hold",
        totals.seeds,
        totals.operations,
        totals.events,
        totals.simulated_us as f64 / 1e6,
        totals.elapsed.as_secs_f64(),
        totals.cpu.as_secs_f64() / totals.runs.max(1) as f64
    );
}

/// Has clusters make each mistake, and tells in how many seeds that shows, from several beginnings. Whether it does for all
/// of them.
#[cfg(feature = "sabotage")]
fn sabotage(arguments: &Arguments) -> bool {
    use ottla_types::sabotage::Sabotage;
    // That something panics by a mistake is one way to be found, and need not be told at length.
    std::panic::set_hook(Box::new(|_| ()));
    let profiles =
        [(Profile::Cluster, &Sabotage::METADATA[..]), (Profile::Replication, &Sabotage::REPLICATION)];
    let profiles =
        profiles.into_iter().filter(|(profile, _)| arguments.profile.is_none_or(|only| only == *profile));
    let mut worst = Vec::new();
    let mut all = true;
    for (profile, mistakes) in profiles {
        for mistake in mistakes {
            match needed(arguments, profile, *mistake) {
                Ok((needed, failure)) => {
                    let what: String = failure.violation.what.chars().take(200).collect();
                    println!(
                        "{mistake:?}: found in {needed:?} seeds: {}: {what}",
                        failure.violation.invariant
                    );
                    worst.extend(needed);
                }
                Err(seeds) => {
                    eprintln!("{mistake:?}: NOT found in {seeds} seeds");
                    all = false;
                }
            }
        }
    }
    worst.sort_unstable();
    if let (Some(median), Some(worst)) = (worst.get(worst.len() / 2), worst.last()) {
        println!("seeds needed: {median} in the median, {worst} at worst");
    }
    all
}

/// How many seeds a mistake needs from each beginning, and how it is found from the first; or in how many it is not.
#[cfg(feature = "sabotage")]
fn needed(
    arguments: &Arguments,
    profile: Profile,
    mistake: ottla_types::sabotage::Sabotage,
) -> Result<(Vec<u64>, Box<Failure>), u64> {
    // Without a mistake all of these pass.
    let seeds = arguments.seeds.unwrap_or(300);
    let mut counts = Vec::new();
    let mut first = None;
    for beginning in 0..arguments.beginnings.max(1) {
        let seed = arguments.seed + beginning * APART;
        let campaign = Campaign { seed, seeds, mistake: Some(mistake), ..arguments.campaign(profile) };
        let Err(failure) = campaign.run() else { return Err(seeds) };
        counts.push(failure.seed - seed + 1);
        first.get_or_insert(failure);
    }
    first.map(|failure| (counts, failure)).ok_or(seeds)
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off")))
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    #[cfg(feature = "sabotage")]
    if arguments.sabotage {
        return if sabotage(&arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
