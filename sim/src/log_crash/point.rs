//! One crash: what the next process finds, and what becomes of that when it crashes too, stops in the middle of its
//! recovery, loses its indexes, or goes on writing.

use ottla_log::LogDirs;
use ottla_types::Offset;

use super::batches;
use super::layout::{Layout, ROOT};
use super::model::Model;
use super::sight::Sight;
use super::verify;
use crate::disk::{Crash, CrashPoint, SimDisk};
use crate::invariants::{
    Violation, damage_is_never_served, derived_files_are_expendable, recovery_is_idempotent,
};
use crate::rng::SimRng;

/// A crash between two states of the model.
pub(super) struct Case<'a> {
    pub(super) layout: &'a Layout,
    pub(super) before: &'a Model,
    pub(super) after: &'a Model,
    pub(super) now_ms: i64,
}

/// How the disk that is looked at came about, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Crashed {
    /// The change of the disk before the crash.
    pub mutation: u64,
    /// It was a write, and a part of it is done.
    pub mid_write: bool,
    /// How it ended.
    pub crash: Crash,
    /// What the crash drew its losses from.
    pub seed: u64,
    /// What was tried afterwards.
    pub then: &'static str,
}

/// How many changes others may make of the disk between a sync that fails and the note of it, which is the next that the
/// log does: no kill comes in between. Nothing could be noted before the failure, so this is left to chance in life too.
const CHANGES_UNTIL_NOTED: u64 = 6;

fn draw_crash(rng: &mut SimRng) -> Crash {
    if rng.one_in(3) { Crash::Kill } else { Crash::PowerLoss }
}

/// The invariant that an error of opening or reading breaks: everything on an honest disk can be opened and read.
fn unreadable(what: String) -> Violation {
    Violation::new("fsynced_prefix_survives", format!("a log cannot be used: {what}"))
}

impl Case<'_> {
    /// Crashes at a point, once, and checks what is there afterwards.
    pub(super) async fn check(
        &self,
        point: &CrashPoint,
        rng: &mut SimRng,
    ) -> Result<(), (Crashed, Violation)> {
        let drawn = if point.mid_write { Crash::Kill } else { draw_crash(rng) };
        let crash = match drawn {
            // Between the failure and its note on disk the next process cannot know of it.
            Crash::Kill if point.is_behind_failed_sync(CHANGES_UNTIL_NOTED) && point.mid_write => {
                return Ok(());
            }
            Crash::Kill if point.is_behind_failed_sync(CHANGES_UNTIL_NOTED) => Crash::PowerLoss,
            crash => crash,
        };
        let seed = rng.next_u64();
        let restart = || point.restart(crash, seed);
        let mut crashed =
            Crashed { mutation: point.mutation, mid_write: point.mid_write, crash, seed, then: "recovery" };
        let result = async {
            let interrupted = rng.one_in(4);
            let disk = restart();
            if interrupted {
                disk.collect_crash_points();
            }
            let dirs = self.layout.open(&disk, self.now_ms).await.map_err(unreadable)?;
            let first = Sight::of(&dirs).await.map_err(unreadable)?;
            let left = verify::survivors(self.before, self.after, crash, &first)?;
            if interrupted {
                crashed.then = "a recovery that is interrupted, and another";
                return self.interrupt(&disk, crash, &first, rng).await;
            }
            match rng.below(8) {
                0..=2 => {
                    crashed.then = "recovery, another crash, and recovery";
                    self.crash_again(&disk, crash, (&first, &left), rng).await
                }
                3 | 4 => {
                    crashed.then = "recovery, and another without indexes and checkpoints";
                    self.lose_derived_files(&disk, &first, rng).await
                }
                5 | 6 => {
                    crashed.then = "recovery, more appends, a flush, and a power loss";
                    self.go_on(&disk, dirs, left, rng).await
                }
                _ => {
                    crashed.then = "a bit that turned around, and recovery";
                    self.damage(&restart(), rng).await
                }
            }
        };
        let result = result.await;
        result.map_err(|violation| (crashed, violation))
    }

    async fn reopen(&self, disk: &SimDisk) -> Result<Sight, Violation> {
        let dirs = self.layout.open(disk, self.now_ms).await.map_err(unreadable)?;
        Sight::of(&dirs).await.map_err(unreadable)
    }

    async fn crash_again(
        &self,
        disk: &SimDisk,
        first_crash: Crash,
        (first, left): (&Sight, &Model),
        rng: &mut SimRng,
    ) -> Result<(), Violation> {
        let crash = draw_crash(rng);
        let second = self.reopen(&disk.restart(crash, rng.next_u64())).await?;
        if crash == Crash::Kill || first_crash == Crash::PowerLoss {
            return recovery_is_idempotent::check(first, &second, "after the second crash");
        }
        // What a kill left in the page cache may be lost now, but for what recovery said to be durable.
        let undone = if self.before.shrinks_to(self.after) { self.before } else { left };
        verify::survivors(undone, left, crash, &second).map(drop)
    }

    /// The logs that are left, and those that were deleted, but not durably.
    fn with_deleted(&self, left: &Model) -> Model {
        let mut logs = self.before.logs.clone();
        logs.extend(left.logs.clone());
        Model { logs, ..*left }
    }

    /// Crashes within the recovery that `disk` saw.
    async fn interrupt(
        &self,
        disk: &SimDisk,
        first_crash: Crash,
        first: &Sight,
        rng: &mut SimRng,
    ) -> Result<(), Violation> {
        let points = disk.take_crash_points();
        if points.is_empty() {
            return Ok(());
        }
        let point = &points[rng.index(points.len())];
        let crash = if point.mid_write { Crash::Kill } else { draw_crash(rng) };
        let second = self.reopen(&point.restart(crash, rng.next_u64())).await?;
        // Before recovery has ended, the cache may still lose what a failed sync left in it.
        let is_suspect = self.before.cache_is_suspect || self.after.cache_is_suspect;
        if crash == Crash::Kill && !is_suspect || first_crash == Crash::PowerLoss {
            return recovery_is_idempotent::check(first, &second, "after a recovery that was interrupted");
        }
        verify::survivors(self.before, self.after, crash, &second).map(drop)
    }

    async fn lose_derived_files(
        &self,
        disk: &SimDisk,
        first: &Sight,
        rng: &mut SimRng,
    ) -> Result<(), Violation> {
        let disk = disk.restart(Crash::Kill, rng.next_u64());
        let all = rng.one_in(2);
        for path in disk.contents(ROOT.as_ref()).into_keys() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if derived_files_are_expendable::is_derived(name) && (all || rng.one_in(2)) {
                disk.lose(&path);
            }
        }
        derived_files_are_expendable::check(first, &self.reopen(&disk).await?)
    }

    /// The logs can be written to, and what is flushed then stays.
    async fn go_on(
        &self,
        disk: &SimDisk,
        dirs: LogDirs,
        mut left: Model,
        rng: &mut SimRng,
    ) -> Result<(), Violation> {
        for (partition, model) in &mut left.logs {
            let Some(log) = dirs.get(partition) else { continue };
            let io = |e: ottla_log::Error| unreadable(format!("{partition}: {e}"));
            log.set_topic_id(model.topic_id).await.map_err(io)?;
            for _ in 0..1 + rng.below(3) {
                let batch = batches::draw(&log, self.now_ms, rng);
                let appended = log.append(batch.prepared(), model.epoch, self.now_ms).await.map_err(io)?;
                model.push(batch.at(appended.base_offset.0, model.epoch));
            }
            model.flushed = log.flush().await.map_err(io)?.0;
        }
        let crash = if rng.one_in(4) { Crash::Kill } else { Crash::PowerLoss };
        let second = self.reopen(&disk.restart(crash, rng.next_u64())).await?;
        verify::survivors(&self.with_deleted(&left), &left, crash, &second).map(drop)
    }

    /// Turns a bit around in some file. Whatever cannot be used then: what is served was appended.
    async fn damage(&self, disk: &SimDisk, rng: &mut SimRng) -> Result<(), Violation> {
        let files: Vec<_> =
            disk.contents(ROOT.as_ref()).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let Some((path, bytes)) = files.get(rng.index(files.len())) else { return Ok(()) };
        let bit = rng.below(bytes.len() as u64 * 8);
        if path.extension().is_some_and(|extension| extension == "log") && !is_covered(bytes, bit / 8) {
            return Ok(());
        }
        disk.flip(path, bit);
        let Ok(opened) = self.layout.try_open(disk, self.now_ms).await else { return Ok(()) };
        for log in opened.dirs.list() {
            let mut next = log.start_offset();
            while next < log.end_offset() {
                // What cannot be read is passed over, offset by offset.
                let Ok(read) = log.read(next, 1 << 20, true, Offset(i64::MAX)).await else {
                    next = Offset(next.0 + 1);
                    continue;
                };
                next = Offset(read.next_offset.0.max(next.0 + 1));
                let models = [self.before, self.after];
                damage_is_never_served::check(log.partition(), &read.into_bytes(), &models)?;
            }
        }
        Ok(())
    }
}

/// Whether the byte of a segment is one that a batch's checksum covers.
fn is_covered(segment: &[u8], byte: u64) -> bool {
    let mut at = 0;
    for batch in ottla_records::batches(segment) {
        let Ok(batch) = batch else { return true };
        let len = batch.bytes().len() as u64;
        if byte < at + len {
            return damage_is_never_served::is_covered(byte - at);
        }
        at += len;
    }
    true
}
