//! Invariant 1: what was committed is on every later leader, while fewer than `min.insync.replicas` disks are lost; the power
//! loss of writes that were not fsynced counts as one. Unclean elections are exempt, where the topic allows them.
//!
//! And invariant 10, in part: what a leader commits when another one has been elected is on that one already.

use ottla_types::BrokerId;

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{Committed, DiskBatch, DiskLog};

pub(crate) const NAME: &str = "committed_records_survive";

/// Checks the log of who was elected. Returns from which offset on records may be gone, if they are.
///
/// # Errors
/// What is gone, and must not be.
pub fn check(committed: &Committed, log: &DiskLog, is_unclean: bool) -> Result<Option<i64>, String> {
    let Some(missing) = committed.first_missing(log) else { return Ok(None) };
    if is_unclean || committed.lost.len() >= committed.plan.min_insync {
        return Ok(Some(missing.base));
    }
    let Committed { name, lost, plan, .. } = committed;
    Err(format!(
        "its log of {name} has {:?} where {missing:?} was committed, and ends at offset {}; disks lost {lost:?}, and \
         min.insync.replicas is {}",
        log.at(missing.base),
        log.end(),
        plan.min_insync
    ))
}

/// Checks what a leader of an earlier epoch commits, when `leader` has been elected, whose log this is.
///
/// # Errors
/// The violation.
pub fn check_late(
    node: NodeId,
    committed: &Committed,
    new: &[DiskBatch],
    leader: BrokerId,
    log: &DiskLog,
) -> Result<(), Violation> {
    let missing = new.iter().find(|batch| log.at(batch.base) != Some(batch));
    match missing {
        Some(batch) if committed.lost.len() < committed.plan.min_insync => {
            let (name, found) = (&committed.name, log.at(batch.base));
            let what = format!(
                "{node} commits {batch:?} of {name} when broker {leader} leads already, which has {found:?} there"
            );
            Err(Violation::new(NAME, what))
        }
        _ => Ok(()),
    }
}

/// Checks a record that was acknowledged with `acks=all`: it is committed by then.
///
/// # Errors
/// The violation.
pub fn check_acknowledged(committed: &Committed, offset: i64) -> Result<(), Violation> {
    let Committed { name, high_watermark, .. } = committed;
    if offset < *high_watermark {
        return Ok(());
    }
    let what = format!(
        "offset {offset} of {name} was acknowledged by all, and {high_watermark} is the high watermark"
    );
    Err(Violation::new(NAME, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{committed, log};

    #[test]
    fn a_leader_without_what_was_committed_is_found_unless_the_disks_are_lost() {
        let mut known = committed(&[(0, 2, 1), (2, 3, 1)], 2);
        assert_eq!(check(&known, &log(&[(0, 2, 1), (2, 3, 1), (3, 4, 2)]), false), Ok(None));
        for wrong in [log(&[(0, 2, 1)]), log(&[(0, 2, 1), (2, 3, 2)])] {
            assert!(check(&known, &wrong, false).is_err());
            assert_eq!(check(&known, &wrong, true), Ok(Some(2)));
        }
        known.lost.insert(NodeId(1), 2);
        assert!(check(&known, &log(&[(0, 2, 1)]), false).is_err(), "one of two");
        known.lost.insert(NodeId(2), 0);
        assert_eq!(check(&known, &log(&[(0, 2, 1)]), false), Ok(Some(2)));
    }

    #[test]
    fn what_a_former_leader_commits_alone_is_found() {
        let known = committed(&[(0, 2, 1)], 2);
        let new = log(&[(2, 3, 1)]).batches;
        check_late(NodeId(1), &known, &new, BrokerId(2), &log(&[(0, 2, 1), (2, 3, 1)])).unwrap();
        assert!(check_late(NodeId(1), &known, &new, BrokerId(2), &log(&[(0, 2, 1), (2, 3, 2)])).is_err());
    }
}
