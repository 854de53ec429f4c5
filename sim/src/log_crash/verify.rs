//! The checks after a crash: what is seen, against what was done.

use ottla_types::TopicPartition;

use super::model::Model;
use super::sight::Sight;
use crate::disk::Crash;
use crate::invariants::{
    Between, Violation, clean_marker_is_true, epochs_follow_the_records, fsynced_prefix_survives,
    producers_follow_the_records, watermarks_are_committed,
};

/// Checks all logs after a crash in the middle of an operation, and returns what is left: the model of how it goes on.
pub(super) fn survivors(
    before: &Model,
    after: &Model,
    crash: Crash,
    seen: &Sight,
) -> Result<Model, Violation> {
    let cache_is_suspect = crash == Crash::Kill && (before.cache_is_suspect || after.cache_is_suspect);
    let mut left = Model::default();
    let mut partitions: Vec<&TopicPartition> =
        before.logs.keys().chain(after.logs.keys()).chain(seen.logs.keys()).collect();
    partitions.sort();
    partitions.dedup();
    for partition in partitions {
        let between = Between {
            before: before.logs.get(partition),
            after: after.logs.get(partition),
            crash,
            cache_is_suspect,
        };
        let observed = seen.logs.get(partition);
        let named = |violation: Violation| Violation {
            what: format!("{partition}: {}", violation.what),
            ..violation
        };
        if seen.clean.is_some() {
            clean_marker_is_true::check(&between, observed).map_err(named)?;
        }
        let history = fsynced_prefix_survives::check(&between, observed).map_err(named)?;
        if let (Some(mut log), Some(observed)) = (history, observed) {
            epochs_follow_the_records::check(observed).map_err(named)?;
            producers_follow_the_records::check(&log, observed).map_err(named)?;
            watermarks_are_committed::check(&between, observed).map_err(named)?;
            // What the operation would have promised at its end, it has not promised.
            log.flushed = between.histories().map(|log| log.flushed).min().unwrap_or(0);
            log.durable_start = between.histories().map(|log| log.durable_start).min().unwrap_or(0);
            log.committed = between.histories().map(|log| log.committed).max().unwrap_or(0);
            log.forgotten_below = between.histories().map(|log| log.forgotten_below).max().unwrap_or(0);
            log.survive(observed.start, observed.end, observed.flushed);
            left.logs.insert(partition.clone(), log);
        }
    }
    Ok(left)
}
