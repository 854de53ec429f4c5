//! `cargo xtask sim`: whole clusters under faults, from one seed each. `RUST_LOG` shows what they log meanwhile.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ottla_sim::run::campaign::{Campaign, Totals};
use ottla_sim::run::{Failure, Profile, run_seed};
use tracing_subscriber::EnvFilter;

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

/// Has clusters make each mistake, and tells in how many seeds that shows. Whether it does for all of them.
#[cfg(feature = "sabotage")]
fn sabotage(arguments: &Arguments) -> bool {
    use ottla_types::sabotage::Sabotage;
    // That something panics by a mistake is one way to be found, and need not be told at length.
    std::panic::set_hook(Box::new(|_| ()));
    // Without a mistake all of these pass.
    let seeds = arguments.seeds.unwrap_or(300);
    let mut all = true;
    for mistake in Sabotage::ALL {
        let profile = arguments.profile.unwrap_or(Profile::Cluster);
        let campaign = Campaign { seeds, mistake: Some(mistake), ..arguments.campaign(profile) };
        match campaign.run() {
            Ok(_) => {
                eprintln!("{mistake:?}: NOT found in {seeds} seeds");
                all = false;
            }
            Err(failure) => {
                let (seeds, violation) = (failure.seed - arguments.seed + 1, &failure.violation);
                let what: String = violation.what.chars().take(200).collect();
                println!("{mistake:?}: found in {seeds} seeds: {}: {what}", violation.invariant);
            }
        }
    }
    all
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
