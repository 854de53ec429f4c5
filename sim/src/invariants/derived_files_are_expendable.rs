//! Invariant 13: deleting indexes, snapshots and checkpoints changes no committed content.
//!
//! Where the log starts after records were deleted is not derived from anything, so that checkpoint is not one of them.
//! Producers whose records are gone may be forgotten with their snapshot.

use super::Violation;
use crate::log_crash::{Differ, Observed, Sight};

/// Whether a file may be deleted at any time.
#[must_use]
pub fn is_derived(name: &str) -> bool {
    [
        ".index",
        ".timeindex",
        ".snapshot",
        "leader-epoch-checkpoint",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    ]
    .iter()
    .any(|suffix| name.ends_with(suffix))
}

/// Compares what is there without the derived files with what was there.
///
/// # Errors
/// The violation.
pub fn check(with: &Sight, without: &Sight) -> Result<(), Violation> {
    match with.differs_from(without, same_content) {
        None => Ok(()),
        Some(what) => Err(Violation::new("derived_files_are_expendable", what)),
    }
}

fn same_content(with: &Observed, without: &Observed) -> Option<Differ> {
    let forgotten = |id| !without.producers.contains_key(id);
    let written = |id: &&ottla_types::ProducerId| with.wrote(**id);
    if with.producers.keys().filter(written).any(forgotten) {
        return Some(Differ::between(with, without));
    }
    // An epoch without a record is known from its checkpoint only.
    let latest_epoch = if with.batches.is_empty() { with.latest_epoch } else { without.latest_epoch };
    let without = Observed {
        flushed: with.flushed,
        high_watermark: with.high_watermark,
        producers: with.producers.clone(),
        latest_epoch,
        ..without.clone()
    };
    (*with != without).then(|| Differ::between(with, &without))
}
