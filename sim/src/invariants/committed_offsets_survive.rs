//! Invariant 19, in part: an offset that a group was told is committed is not forgotten, whoever coordinates the group then.
//! Commits of one partition only ever rise here, for members begin where the group is.

use std::collections::BTreeMap;

use ottla_types::TopicPartition;

use super::Violation;

/// Checks what is committed in the end against what was told.
///
/// # Errors
/// The violation.
pub fn check(
    told: &BTreeMap<TopicPartition, i64>,
    found: &BTreeMap<TopicPartition, i64>,
) -> Result<(), Violation> {
    for (partition, offset) in told {
        let found = found.get(partition).copied();
        if found.is_none_or(|found| found < *offset) {
            let what =
                format!("the offset {offset} was committed for {partition}, and in the end it is {found:?}");
            return Err(Violation::new("committed_offsets_survive", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::partition;

    #[test]
    fn an_offset_that_is_forgotten_or_older_is_found() {
        let at = |offset| BTreeMap::from([(partition(), offset)]);
        check(&at(4), &at(4)).unwrap();
        check(&at(4), &at(9)).unwrap();
        assert!(check(&at(4), &at(3)).is_err());
        assert!(check(&at(4), &BTreeMap::new()).is_err());
    }
}
