//! Invariant 5: no replica truncates its log below the true high watermark: what was committed and is on it stays on it.

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{Committed, DiskLog};

/// Checks a log that is about to be cut.
///
/// # Errors
/// The violation.
pub fn check(node: NodeId, committed: &Committed, log: &DiskLog, to: i64) -> Result<(), Violation> {
    let cut = log.batches.iter().filter(|batch| batch.end > to);
    let known = |base: i64| committed.batches.get(&base);
    match cut.into_iter().find(|batch| known(batch.base) == Some(*batch)) {
        Some(batch) if committed.lost.len() < committed.plan.min_insync => {
            let Committed { name, high_watermark, .. } = committed;
            let what = format!(
                "{node} cuts its log of {name} to {to}, and with it {batch:?}, which is committed; the high watermark is \
                 {high_watermark}"
            );
            Err(Violation::new("committed_is_never_cut", what))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{committed, log};

    #[test]
    fn a_cut_through_what_is_committed_is_found_and_one_of_other_records_is_none() {
        let known = committed(&[(0, 2, 1), (2, 3, 1)], 2);
        let own = log(&[(0, 2, 1), (2, 3, 1), (3, 4, 1)]);
        check(NodeId(1), &known, &own, 3).unwrap();
        assert!(check(NodeId(1), &known, &own, 2).is_err());
        check(NodeId(1), &known, &log(&[(0, 2, 1), (2, 5, 2)]), 2).unwrap();
    }
}
