//! Invariant 12, first half: after recovery everything that was acknowledged as fsynced is there, a prefix of what was
//! appended, in order, with its bytes; after a kill, everything that was appended. Deleted logs and deleted records stay
//! deleted, and no record crosses topic ids (invariant 20).

use super::{Between, Violation};
use crate::log_crash::{LogModel, Observed};

const NAME: &str = "fsynced_prefix_survives";

/// Checks one log. Returns the history that it continues.
///
/// # Errors
/// The violation.
pub fn check(between: &Between<'_>, seen: Option<&Observed>) -> Result<Option<LogModel>, Violation> {
    let violation = |what| Err(Violation::new(NAME, what));
    let required = between.required_end();
    let Some(seen) = seen else {
        return match (between.before, between.after) {
            (Some(_), Some(_)) if required > 0 => {
                violation(format!("the log is gone, and everything below offset {required} was durable"))
            }
            _ => Ok(None),
        };
    };
    if between.histories().next().is_none() {
        return violation(format!("a deleted log is there again: {}..{}", seen.start, seen.end));
    }
    if seen.end < required {
        let end = seen.end;
        return violation(format!(
            "the log ends at offset {end}, and everything below {required} was durable"
        ));
    }
    let lowest = between.histories().map(|log| log.durable_start).min().unwrap_or(0);
    let highest = between.histories().map(|log| log.start).max().unwrap_or(0);
    if !(lowest..=highest).contains(&seen.start) {
        let start = seen.start;
        return violation(format!(
            "the log starts at offset {start}, and {lowest} to {highest} was expected"
        ));
    }
    let is_flushed = between.histories().all(|log| log.flushed > 0);
    let mut reasons = Vec::new();
    for log in between.histories() {
        match continues(log, seen, is_flushed) {
            Ok(history) => return Ok(Some(history)),
            Err(reason) => reasons.push(reason),
        }
    }
    reasons.dedup();
    violation(reasons.join("; or "))
}

/// Whether what is seen is the beginning of this history, from the start on. An append that failed may have come to be
/// nonetheless: then the history goes on with it.
fn continues(log: &LogModel, seen: &Observed, is_flushed: bool) -> Result<LogModel, String> {
    match seen.topic_id {
        Some(id) if id != log.topic_id => {
            return Err(format!("it has topic id {id}, and {} was expected", log.topic_id));
        }
        None if is_flushed => return Err("its topic id is lost".to_owned()),
        _ => {}
    }
    let mut log = log.clone();
    let first = log.batches.partition_point(|batch| batch.last < seen.start);
    let mut next = seen.start;
    for (i, (bytes, _)) in seen.batches.iter().enumerate() {
        let expected = log.batches.get(first + i);
        if let Some(batch) = expected.filter(|batch| batch.bytes == bytes) {
            next = batch.last + 1;
            continue;
        }
        let may_follow = |base| (base == next || i == 0) && base >= log.flushed;
        let doubtful = log.doubtful.iter().find(|batch| may_follow(batch.base) && batch.bytes == bytes);
        // Nothing of this history comes behind it, but what the same write would have appended.
        if let Some(doubtful) = doubtful.cloned() {
            next = doubtful.last + 1;
            log.batches.truncate(first + i);
            log.batches.push(doubtful);
            log.end = log.end.max(next);
            continue;
        }
        return Err(match expected {
            Some(batch) => format!(
                "where the batch of offsets {}..={} in epoch {} was appended, there is {}",
                batch.base,
                batch.last,
                batch.epoch,
                name(bytes)
            ),
            None => format!("there is {}, which was never appended", name(bytes)),
        });
    }
    if seen.end > log.end {
        return Err(format!("it ends at offset {}, and no more than {} was appended", seen.end, log.end));
    }
    if next == seen.end {
        Ok(log)
    } else {
        Err(format!("its batches end at offset {next}, and the log says {}", seen.end))
    }
}

fn name(bytes: &[u8]) -> String {
    ottla_records::BatchHeader::parse(bytes).map_or_else(
        |error| error.to_string(),
        |header| {
            let (base, last) = (header.base_offset, header.last_offset());
            format!("a batch of offsets {base}..={last} in epoch {}", header.leader_epoch)
        },
    )
}
