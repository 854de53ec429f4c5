//! The crash test of the log: random workloads over a broker's logs, crashed at every change of the disk.
//!
//! A workload of a few dozen operations runs once. With each change of the disk (and in the middle of each write) the disk
//! hands out a crash point; from each of them a next process starts on what a kill or a power loss leaves, recovers, and
//! is checked against the model: what was appended, what was acknowledged as fsynced, what may have been lost. Then the
//! recovered logs are crashed again, or in the middle of their recovery, or lose their indexes, or go on.
//!
//! A failed fsync leaves pages that are clean and not on the device, and whoever starts next may see them or not: no
//! program can tell by reading. Of names alone the next process sees what the device has: a file system that cannot write
//! a directory stops, and is mounted again. And no kill comes between a failed fsync and the note of it on disk.
//!
//! Everything follows from one number. `cargo xtask crash --seed S --workloads 1` repeats a run.

mod at_once;
mod batches;
mod bench;
pub mod campaign;
mod following;
mod layout;
mod model;
mod moving;
mod point;
mod sight;
mod verify;
mod workload;

use std::fmt;

pub use self::model::{LogModel, Model, ModelBatch, Observed};
pub use self::point::Crashed;
pub use self::sight::{Differ, Sight};
pub use self::workload::{Broken, Counts};
use crate::invariants::Violation;

/// A workload that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What repeats it.
    pub seed: u64,
    /// What happened.
    pub broken: Broken,
}

/// Runs the workload of a seed, on a runtime of its own.
///
/// # Errors
/// The invariant that broke, with the last events before it.
pub fn run_workload(seed: u64) -> Result<Counts, Box<Failure>> {
    let failure = match run_once(seed, false) {
        Ok(counts) => return Ok(counts),
        Err(failure) => failure,
    };
    // Once more, now with the events in words.
    Err(run_once(seed, true).err().unwrap_or(failure))
}

fn run_once(seed: u64, keep_events: bool) -> Result<Counts, Box<Failure>> {
    let broken = |broken| Box::new(Failure { seed, broken });
    let run = std::panic::AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        match runtime {
            Ok(runtime) => runtime.block_on(workload::run(seed, keep_events)).map_err(broken),
            Err(error) => Err(broken(Broken::without_run("no_runtime", error.to_string()))),
        }
    });
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Err(broken(Broken::without_run("nothing_panics", words.unwrap_or_default())))
    })
}

impl Broken {
    fn without_run(invariant: &'static str, what: String) -> Self {
        let violation = Violation::new(invariant, what);
        Self { operations: Vec::new(), crashed: None, violation, events: Vec::new() }
    }

    /// What does not hold.
    #[must_use]
    pub fn violation(&self) -> &Violation {
        &self.violation
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { operations, crashed, violation, events } = &self.broken;
        writeln!(f, "seed {}: the invariant {} does not hold", self.seed, violation.invariant)?;
        writeln!(f, "  {}", violation.what)?;
        if let Some(Crashed { mutation, mid_write, crash, seed, then }) = crashed {
            let within = if *mid_write { "within" } else { "after" };
            writeln!(
                f,
                "crash point: {crash:?} {within} change {mutation} of the disk (losses drawn from {seed})"
            )?;
            writeln!(f, "then: {then}")?;
        }
        writeln!(f, "operations: {}", operations.join(", "))?;
        writeln!(f, "last events:")?;
        for event in events {
            writeln!(f, "  {event}")?;
        }
        write!(f, "to repeat it: cargo xtask crash --seed {} --workloads 1", self.seed)
    }
}
