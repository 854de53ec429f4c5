//! Invariant 11, appends: what was acknowledged is in the log, where it was told to be; what was rejected is not; a batch
//! is there as a whole or not at all, and once at most. Of what a leader appended in an epoch the log has a beginning: the
//! later ones were decided on the earlier ones.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::quorum::{AppendFate, Quorum};

const NAME: &str = "appends_are_kept";

/// Checks the log, as everybody was handed it.
///
/// # Errors
/// The violation.
pub fn check(quorum: &Quorum) -> Result<(), Violation> {
    let violation = |what| Err(Violation::new(NAME, what));
    let mut places: BTreeMap<u64, Vec<(i64, u32)>> = BTreeMap::new();
    for (offset, record) in (0..).zip(&quorum.log) {
        match Quorum::append_of(record) {
            Some((number, nth)) => places.entry(number).or_default().push((offset, nth)),
            None => return violation(format!("at offset {offset} is {record:?}, which nobody appended")),
        }
    }
    let in_log: BTreeSet<u64> = places.keys().copied().collect();
    for (number, append) in &quorum.appends {
        let found = places.remove(number).unwrap_or_default();
        let first = found.first().map(|(offset, _)| *offset);
        let whole: Vec<(i64, u32)> =
            (0..append.records).map(|nth| (first.unwrap_or(0) + i64::from(nth), nth)).collect();
        if !found.is_empty() && found != whole {
            return violation(format!("append {number} ({append:?}) is in the log as {found:?}"));
        }
        match append.fate {
            AppendFate::Committed(offset) if first != Some(offset) => {
                return violation(format!("append {number} ({append:?}) is at {first:?} in the log"));
            }
            AppendFate::Rejected if first.is_some() => {
                return violation(format!("append {number} ({append:?}) is at {first:?} in the log"));
            }
            _ => {}
        }
    }
    match places.first_key_value() {
        None => check_beginnings(quorum, &in_log),
        Some((number, _)) => violation(format!("append {number} is in the log, and nobody appended it")),
    }
}

/// Checks that nothing is in the log behind something of the same leader and epoch that is not.
fn check_beginnings(quorum: &Quorum, in_log: &BTreeSet<u64>) -> Result<(), Violation> {
    let mut missing = BTreeMap::new();
    for (number, append) in &quorum.appends {
        let leadership = (append.process, append.epoch);
        if !in_log.contains(number) {
            missing.entry(leadership).or_insert(*number);
        } else if let Some(before) = missing.get(&leadership) {
            let what =
                format!("append {number} ({append:?}) is in the log, and append {before} before it is not");
            return Err(Violation::new(NAME, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NodeId;
    use crate::quorum::Append;
    use ottla_types::LeadershipEpoch;

    #[test]
    fn an_append_without_the_one_before_it_is_found() {
        let append = |epoch| Append {
            process: (NodeId(1), 1),
            epoch: LeadershipEpoch(epoch),
            records: 1,
            fate: AppendFate::Unknown,
        };
        let mut quorum = Quorum::default();
        quorum.appends.extend([(0, append(1)), (1, append(1)), (2, append(2))]);
        check_beginnings(&quorum, &BTreeSet::from([0, 2])).unwrap();
        assert!(check_beginnings(&quorum, &BTreeSet::from([1, 2])).is_err());
    }
}
