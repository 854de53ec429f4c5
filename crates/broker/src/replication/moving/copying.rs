//! One step of a copy: it is cut where it parts from its log, takes what comes next, or takes the log's place.

use ottla_log::{Error, Log, LogDirs, Result};
use ottla_types::Offset;

/// How much is copied in one step.
const STEP_BYTES: usize = 1 << 20;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes were copied, and there may be more.
    Copied(usize),
    /// The copy is the log now.
    InPlace,
    /// The log was cut or emptied meanwhile: the next step begins with that.
    Parted,
}

/// Does the next step.
pub(super) async fn step(dirs: &LogDirs, log: &Log, copy: &Log, now_ms: i64) -> Result<Step> {
    match copy_or_replace(dirs, log, copy, now_ms).await {
        Err(Error::OutOfRange { .. } | Error::NotNext { .. } | Error::StaleLeaderEpoch { .. }) => {
            Ok(Step::Parted)
        }
        result => result,
    }
}

async fn copy_or_replace(dirs: &LogDirs, log: &Log, copy: &Log, now_ms: i64) -> Result<Step> {
    settle(log, copy, now_ms).await?;
    let end = copy.end_offset();
    if end < log.end_offset() {
        // All that is there, committed or not: what is cut off the log later is cut off the copy too.
        let read = log.read(end, STEP_BYTES, true, Offset(i64::MAX)).await?;
        let bytes = read.into_bytes();
        let size_bytes = bytes.len();
        copy.append_replicated(bytes, now_ms).await?;
        return Ok(Step::Copied(size_bytes));
    }
    match dirs.replace_with_future(log.partition(), now_ms).await? {
        true => Ok(Step::InPlace),
        // Something was appended meanwhile.
        false => Ok(Step::Copied(0)),
    }
}

/// Cuts the copy where the logs part (KIP-101): it may hold records that a follower's log has lost since, or that a power
/// loss took off the log alone.
async fn settle(log: &Log, copy: &Log, now_ms: i64) -> Result<()> {
    while let Some(epoch) = copy.latest_epoch() {
        let ends = (log.epoch_end_offset(epoch), copy.epoch_end_offset(epoch));
        match ends {
            (Some((found, end)), _) if found == epoch => {
                if end < copy.end_offset() {
                    copy.truncate_to(end, now_ms).await?;
                }
                break;
            }
            // The log has an earlier epoch there: the copy keeps of that one what both have.
            (Some((found, end)), _) => {
                let own = copy.epoch_end_offset(found).map_or(end, |(_, own)| own.min(end));
                copy.truncate_to(own, now_ms).await?;
                if copy.latest_epoch() == Some(epoch) {
                    break;
                }
            }
            // The log has nothing as new as that.
            (None, _) => {
                let begins = copy.epochs().last().map_or(Offset(0), |entry| entry.start_offset);
                copy.truncate_to(begins, now_ms).await?;
                if copy.latest_epoch() == Some(epoch) {
                    break;
                }
            }
        }
    }
    let range = log.start_offset()..=log.end_offset();
    if !range.contains(&copy.end_offset()) {
        copy.restart_at(log.start_offset(), now_ms).await?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "copying_tests.rs"]
mod tests;
