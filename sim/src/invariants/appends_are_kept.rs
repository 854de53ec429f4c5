//! Invariant 11, appends: what was acknowledged is in the log, where it was told to be; what was rejected is not; a batch
//! is there as a whole or not at all, and once at most.

use std::collections::BTreeMap;

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
        None => Ok(()),
        Some((number, _)) => violation(format!("append {number} is in the log, and nobody appended it")),
    }
}
