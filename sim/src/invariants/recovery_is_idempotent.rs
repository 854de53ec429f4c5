//! Invariant 12, second half: recovering twice, or after an interrupted recovery, gives what recovering once gives.

use super::Violation;
use crate::log_crash::{Differ, Observed, Sight};

/// Compares what a second recovery shows with what the first one showed.
///
/// # Errors
/// The violation.
pub fn check(first: &Sight, second: &Sight, how: &str) -> Result<(), Violation> {
    match first.differs_from(second, same) {
        None => Ok(()),
        Some(what) => Err(Violation::new("recovery_is_idempotent", format!("{how}: {what}"))),
    }
}

fn same(first: &Observed, second: &Observed) -> Option<Differ> {
    // How much is durable may be known better the second time. The epoch of a log whose records are all deleted is known
    // to its checkpoint or not, as in Kafka.
    let latest_epoch = if first.batches.is_empty() { first.latest_epoch } else { second.latest_epoch };
    let second = Observed { flushed: first.flushed, latest_epoch, ..second.clone() };
    (*first != second).then(|| Differ::between(first, &second))
}
