//! A random workload, crashed at every change of the disk that it makes.

use super::bench::{Bench, Outcome};
use super::layout::Layout;
use super::model::Model;
use super::point::{Case, Crashed};
use crate::disk::{Crash, CrashPoint, Faults, SimDisk};
use crate::invariants::Violation;
use crate::rng::SimRng;
use crate::world::EPOCH_MS;

/// What a run looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations.
    pub operations: u64,
    /// Crashes, each with its recovery.
    pub crashes: u64,
    /// Hash of all that the disk did.
    pub trace_hash: u64,
}

/// A run that broke an invariant.
#[derive(Debug, Clone)]
pub struct Broken {
    pub(super) operations: Vec<&'static str>,
    pub(super) crashed: Option<Crashed>,
    pub(super) violation: Violation,
    pub(super) events: Vec<String>,
}

/// The operations, and how likely each is.
const OPERATIONS: [(&str, u32); 24] = [
    ("append", 32),
    ("append at once", 6),
    ("repeat", 3),
    ("flush", 12),
    ("begin epoch", 5),
    ("truncate", 4),
    ("replicate", 16),
    ("send damaged", 2),
    ("truncate by epoch", 4),
    ("restart at", 3),
    ("commit", 4),
    ("move", 8),
    ("delete records", 4),
    ("retention", 5),
    ("checkpoint", 6),
    ("create", 4),
    ("delete", 2),
    ("remove deleted", 2),
    ("tend", 4),
    ("restart", 4),
    ("kill", 3),
    ("power loss", 3),
    ("look", 4),
    ("faults", 2),
];

/// Runs one workload. Every choice follows from the seed.
pub(super) async fn run(seed: u64, keep_events: bool) -> Result<Counts, Broken> {
    let mut rng = SimRng::new(seed);
    let layout = Layout::draw(&mut rng);
    let disk = SimDisk::new(rng.next_u64());
    disk.collect_crash_points();
    if keep_events {
        disk.keep_events();
    }
    let steps = 8 + rng.below(16);
    let mut run = Run {
        bench: Bench::new(disk, layout, rng.fork(1), EPOCH_MS),
        rng,
        counts: Counts::default(),
        operations: Vec::new(),
        crashed: None,
        events: Vec::new(),
        keep_events,
    };
    match run.run(steps).await {
        Ok(()) => {
            run.counts.trace_hash ^= run.bench.disk.trace_hash();
            Ok(run.counts)
        }
        Err(violation) => {
            if run.crashed.is_none() {
                run.events.extend(run.bench.disk.events());
            }
            Err(Broken { operations: run.operations, crashed: run.crashed, violation, events: run.events })
        }
    }
}

struct Run {
    bench: Bench,
    rng: SimRng,
    counts: Counts,
    operations: Vec<&'static str>,
    crashed: Option<Crashed>,
    events: Vec<String>,
    keep_events: bool,
}

impl Run {
    async fn run(&mut self, steps: u64) -> Result<(), Violation> {
        let nothing = Model::default();
        self.operations.push("start");
        self.bench.open(&nothing, &nothing, Crash::Kill).await?;
        self.crash_at_all_points(&nothing).await?;
        for partition in self.bench.layout.partitions.clone() {
            self.operations.push("create");
            let before = self.bench.model.clone();
            self.bench.create(&partition).await?;
            self.crash_at_all_points(&before).await?;
        }
        for _ in 0..steps {
            self.step().await?;
        }
        self.restart().await
    }

    async fn step(&mut self) -> Result<(), Violation> {
        let weights = OPERATIONS.map(|(_, weight)| weight);
        let name = OPERATIONS[self.rng.weighted(&weights)].0;
        self.operations.push(name);
        self.counts.operations += 1;
        self.bench.now_ms += 1 + self.rng.below(500) as i64;
        match name {
            "restart" => return self.restart().await,
            "kill" => return self.crash(Crash::Kill, None).await,
            "power loss" => return self.crash(Crash::PowerLoss, None).await,
            "faults" => {
                self.begin_faults();
                return Ok(());
            }
            "look" if self.bench.is_faulty() => return Ok(()),
            "look" => return self.bench.look().await,
            _ => {}
        }
        self.bench.model.logs.values_mut().for_each(|log| log.passing_end = None);
        let before = self.bench.model.clone();
        let outcome = self.operate(name).await?;
        self.settle(before, outcome).await
    }

    async fn operate(&mut self, name: &str) -> Result<Outcome, Violation> {
        let bench = &mut self.bench;
        match name {
            "checkpoint" => return bench.write_checkpoints().await,
            "remove deleted" => return bench.remove_deleted().await,
            "tend" => return bench.tend().await,
            "commit" => return bench.commit().await,
            "create" => {
                let missing =
                    bench.layout.partitions.iter().find(|p| !bench.model.logs.contains_key(p)).cloned();
                return match missing {
                    Some(partition) => bench.create(&partition).await,
                    None => Ok(Outcome::Done),
                };
            }
            _ => {}
        }
        let partitions = bench.partitions();
        let Some(partition) = partitions.get(self.rng.index(partitions.len())) else {
            return Ok(Outcome::Done);
        };
        match name {
            "append" => bench.append(partition).await,
            "append at once" => bench.append_at_once(partition).await,
            "repeat" => bench.repeat(partition).await,
            "flush" => bench.flush(partition).await,
            "begin epoch" => bench.begin_epoch(partition).await,
            "truncate" => bench.truncate(partition).await,
            "replicate" => bench.replicate(partition).await,
            "send damaged" => bench.send_damaged(partition).await,
            "truncate by epoch" => bench.truncate_by_epoch(partition).await,
            "move" => bench.move_log(partition).await,
            "restart at" => bench.restart_at(partition).await,
            "delete records" => bench.advance_start(partition).await,
            "retention" => bench.apply_retention(partition).await,
            "delete" => bench.delete(partition).await,
            _ => unreachable!("there is no operation {name}"),
        }
    }

    /// Crashes at the points of an operation; where the disk failed in its middle, for good.
    async fn settle(&mut self, before: Model, outcome: Outcome) -> Result<(), Violation> {
        match outcome {
            Outcome::Done => self.crash_at_all_points(&before).await,
            Outcome::Stages(stages) => {
                self.crash_at_points(|point| {
                    // In the middle of a write, what was told after it was not told yet.
                    let done = point.mutation - u64::from(point.mid_write);
                    stages.iter().rfind(|(at, _)| *at <= done).map_or(&before, |(_, model)| model)
                })
                .await
            }
            Outcome::Between(after) => {
                // What a kill leaves of a deletion or truncation may be undone by the next power loss.
                let may_return = before.shrinks_to(&after);
                let kill = !may_return && self.rng.one_in(2);
                let crash = if kill { Crash::Kill } else { Crash::PowerLoss };
                self.crash(crash, Some(after)).await
            }
        }
    }

    fn begin_faults(&mut self) {
        let rate = 20 + self.rng.below(300) as u32;
        let mut faults = Faults::default();
        match self.rng.below(4) {
            0 => faults.sync_errors_per_mille = rate,
            1 => faults.write_errors_per_mille = rate,
            2 => faults.name_errors_per_mille = rate,
            _ => faults.capacity_bytes = Some(500 + self.rng.below(6000)),
        }
        self.bench.begin_faults(faults);
    }

    /// A stop in order and a start.
    async fn restart(&mut self) -> Result<(), Violation> {
        let before = self.bench.model.clone();
        let outcome = self.bench.close().await?;
        self.settle(before, outcome).await?;
        if self.bench.is_faulty() {
            return self.crash(Crash::PowerLoss, None).await;
        }
        self.bench.drop_dirs();
        self.start(Crash::Kill, None).await
    }

    /// A crash for good, after which the workload goes on with what is left. The logs are something between the model
    /// and `after`.
    async fn crash(&mut self, crash: Crash, after: Option<Model>) -> Result<(), Violation> {
        self.events = self.bench.disk.events();
        self.events.push(format!("      {crash:?}, and a new process"));
        self.bench.crash(crash);
        self.bench.disk.collect_crash_points();
        if self.keep_events {
            self.bench.disk.keep_events();
        }
        self.start(crash, after).await
    }

    async fn start(&mut self, crash: Crash, after: Option<Model>) -> Result<(), Violation> {
        let before = self.bench.model.clone();
        let after = after.unwrap_or_else(|| before.clone());
        self.bench.open(&before, &after, crash).await?;
        let left = self.bench.model.clone();
        // A crash within the recovery leaves what the recovery found, but for what only the page cache had.
        let is_suspect = before.cache_is_suspect || after.cache_is_suspect;
        let mut found = left.clone();
        found.cache_is_suspect = crash == Crash::Kill && is_suspect;
        self.crash_at_all_points(&found).await?;
        // A log that is half made, or half deleted, is made again.
        let mut wanted = after;
        wanted.logs.extend(left.logs.clone());
        self.bench.create_missing(&wanted).await?;
        self.crash_at_all_points(&left).await
    }

    /// Crashes at each point that the disk went through since the last call: something between `before` and now.
    async fn crash_at_all_points(&mut self, before: &Model) -> Result<(), Violation> {
        self.crash_at_points(|_| before).await
    }

    /// The same, where more was promised from point to point.
    async fn crash_at_points<'a>(
        &mut self,
        before: impl Fn(&CrashPoint) -> &'a Model,
    ) -> Result<(), Violation> {
        let points = self.bench.disk.take_crash_points();
        self.counts.trace_hash = self.counts.trace_hash.rotate_left(1) ^ self.bench.disk.trace_hash();
        let Bench { layout, model, now_ms, .. } = &self.bench;
        for point in &points {
            self.counts.crashes += 1;
            let case = Case { layout, before: before(point), after: model, now_ms: *now_ms };
            if let Err((crashed, violation)) = case.check(point, &mut self.rng).await {
                self.crashed = Some(crashed);
                self.events.extend(point.events());
                return Err(violation);
            }
        }
        Ok(())
    }
}
