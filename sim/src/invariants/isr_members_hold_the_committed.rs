//! Invariant 2: every member of an ISR that runs holds everything that was committed.

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{Committed, DiskLog};

/// Checks the log of a member, whose process runs since it was put into the ISR.
///
/// # Errors
/// The violation.
pub fn check(member: NodeId, committed: &Committed, log: &DiskLog) -> Result<(), Violation> {
    let Some(missing) = committed.first_missing(log) else { return Ok(()) };
    if committed.lost.len() >= committed.plan.min_insync {
        return Ok(());
    }
    let what = format!(
        "{member} is in the ISR of {}, has {:?} where {missing:?} was committed, and ends at offset {}",
        committed.name,
        log.at(missing.base),
        log.end()
    );
    Err(Violation::new("isr_members_hold_the_committed", what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{committed, log};

    #[test]
    fn a_member_that_lacks_or_has_otherwise_what_was_committed_is_found() {
        let known = committed(&[(0, 2, 1), (2, 3, 1)], 2);
        check(NodeId(1), &known, &log(&[(0, 2, 1), (2, 3, 1)])).unwrap();
        assert!(check(NodeId(1), &known, &log(&[(0, 2, 1)])).is_err());
        assert!(check(NodeId(1), &known, &log(&[(0, 2, 1), (2, 3, 2)])).is_err());
    }
}
