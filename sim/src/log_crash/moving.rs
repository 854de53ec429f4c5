//! Moving a log to another directory: a copy that catches up, and takes the log's place (KIP-113). What the log holds is the
//! same before, meanwhile and after.

use std::sync::Arc;

use ottla_log::{Error, Log, LogDirs};
use ottla_types::{Offset, TopicPartition};

use super::bench::{Bench, Outcome};
use crate::invariants::Violation;

type Result<T, E = Violation> = std::result::Result<T, E>;

/// Copies what the log has and the copy has not.
async fn catch_up(log: &Log, copy: &Log, now_ms: i64) -> Result<(), Error> {
    if copy.end_offset() < log.start_offset() || copy.end_offset() > log.end_offset() {
        copy.restart_at(log.start_offset(), now_ms).await?;
    }
    if let Some((_, end)) = copy.latest_epoch().and_then(|epoch| log.epoch_end_offset(epoch)) {
        copy.truncate_to(end, now_ms).await?;
    }
    while copy.end_offset() < log.end_offset() {
        let read = log.read(copy.end_offset(), 600, true, Offset(i64::MAX)).await?;
        copy.append_replicated(read.into_bytes(), now_ms).await?;
    }
    Ok(())
}

impl Bench {
    /// Begins a copy, or goes on with the one that is there, and has it take the log's place; or gives it up.
    pub(super) async fn move_log(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let Some(other) = self.directory_beside(&log).await? else { return Ok(Outcome::Done) };
        let (steps, now_ms) = (self.rng.weighted(&[1, 1, 1, 5]), self.now_ms);
        let result = move_in_steps(self.dirs()?, &log, other, steps, now_ms).await;
        match result {
            Ok(moved) if moved == (steps == 3) => {}
            Ok(moved) => {
                let what = format!("{partition}: in place after {steps} steps of moving it: {moved}");
                return Err(Violation::new("log_does_what_it_says", what));
            }
            Err(error) => {
                self.expected("moving a log", &error)?;
                self.note_failures().await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Another directory than that of the log, if there is one that works.
    async fn directory_beside(&self, log: &Arc<Log>) -> Result<Option<ottla_types::DirectoryId>> {
        let dirs = self.dirs()?.dirs().await;
        let beside = dirs.iter().find(|dir| dir.id != log.directory_id() && dir.failure.is_none());
        Ok(beside.map(|dir| dir.id))
    }
}

/// Returns whether the log was moved.
async fn move_in_steps(
    dirs: &LogDirs,
    log: &Log,
    to: ottla_types::DirectoryId,
    steps: usize,
    now_ms: i64,
) -> Result<bool, Error> {
    if steps == 0 {
        dirs.remove_future(log.partition(), now_ms).await?;
        return Ok(false);
    }
    let copy = dirs.create_future(log.partition(), to, now_ms).await?;
    if steps == 1 {
        return Ok(false);
    }
    catch_up(log, &copy, now_ms).await?;
    if steps == 2 {
        return Ok(false);
    }
    dirs.replace_with_future(log.partition(), now_ms).await
}
