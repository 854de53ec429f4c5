//! Invariant 11, elections: an epoch has one leader at most, and whoever leads was handed before all that had been
//! acknowledged under earlier epochs.

use ottla_types::LeadershipEpoch;

use super::Violation;
use crate::engine::NodeId;

const NAME: &str = "election_safety";

/// Checks that nobody led an epoch before. A process is a node and which of its starts.
///
/// # Errors
/// The violation.
pub fn check(
    epoch: LeadershipEpoch,
    leader: (NodeId, u64),
    before: Option<(NodeId, u64)>,
) -> Result<(), Violation> {
    match before {
        None => Ok(()),
        Some((node, start)) => Err(Violation::new(
            NAME,
            format!(
                "epoch {epoch} was led by {node} (start {start}), and is led by {} (start {})",
                leader.0, leader.1
            ),
        )),
    }
}

/// Checks that a leader has what was acknowledged.
///
/// # Errors
/// The violation.
pub fn check_has_all(
    epoch: LeadershipEpoch,
    leader: (NodeId, u64),
    end: i64,
    acknowledged: i64,
) -> Result<(), Violation> {
    if end >= acknowledged {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!(
            "{} leads epoch {epoch} and was handed the log up to {end}; all below {acknowledged} was acknowledged before",
            leader.0
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_leader_and_one_that_lacks_records_are_found() {
        let (epoch, one, other) = (LeadershipEpoch(3), (NodeId(1), 1), (NodeId(2), 1));
        check(epoch, one, None).unwrap();
        assert!(check(epoch, one, Some(other)).is_err());
        assert!(check(epoch, one, Some(one)).is_err(), "not even the same one twice");
        check_has_all(epoch, one, 5, 5).unwrap();
        assert!(check_has_all(epoch, one, 4, 5).is_err());
    }
}
