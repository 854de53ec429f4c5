//! Invariant 11, votes: the epoch that a voter knew of when it last said something is on its disk. One that forgets it
//! could vote a second time in it.

use ottla_types::LeadershipEpoch;

use super::Violation;
use crate::engine::NodeId;

/// Checks what a voter found on its disk.
///
/// # Errors
/// The violation.
pub fn check(node: NodeId, said: Option<LeadershipEpoch>, found: LeadershipEpoch) -> Result<(), Violation> {
    match said {
        Some(said) if found < said => Err(Violation::new(
            "durable_votes",
            format!("{node} starts with epoch {found}, and had said something in epoch {said}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_epoch_is_found() {
        let check = |said, found| check(NodeId(1), said, LeadershipEpoch(found));
        check(None, 0).unwrap();
        check(Some(LeadershipEpoch(2)), 2).unwrap();
        assert!(check(Some(LeadershipEpoch(2)), 1).is_err());
    }
}
