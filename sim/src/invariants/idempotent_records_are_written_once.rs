//! Invariant 16, as far as it can be read: of an idempotent producer no record is there twice, and those that it was told of
//! keep the order in which they were sent. One that it has given up may come late: its request may be on its way for as long as
//! a connection lasts, and is carried out if the broker has heard nothing newer from the producer id that it has.

use std::collections::BTreeMap;

use ottla_types::TopicPartition;

use super::Violation;
use crate::brokers::{Fate, History, RecordId};

const NAME: &str = "idempotent_records_are_written_once";

/// Checks one partition; `is_idempotent` tells of a writer.
///
/// # Errors
/// The violation.
pub fn check(
    partition: &TopicPartition,
    history: &History,
    is_idempotent: impl Fn(u32) -> bool,
) -> Result<(), Violation> {
    let mut last: BTreeMap<u32, (u64, i64)> = BTreeMap::new();
    let mut all: BTreeMap<RecordId, i64> = BTreeMap::new();
    for (offset, record) in &history.left {
        let Some(id) = record.filter(|id| is_idempotent(id.writer)) else { continue };
        if let Some(at) = all.insert(id, *offset) {
            let what = format!("{partition}: {id:?} is at offset {at}, and again at {offset}");
            return Err(Violation::new(NAME, what));
        }
        if history.sent.get(&id) == Some(&Fate::Unknown) {
            continue;
        }
        if let Some((before, at)) = last.insert(id.writer, (id.number, *offset))
            && before >= id.number
        {
            return Err(Violation::new(
                NAME,
                format!(
                    "{partition}: record {before} of writer {} is at offset {at}, and {} behind it at {offset}",
                    id.writer, id.number
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_and_a_swap_are_found_and_a_gap_is_none() {
        let partition = TopicPartition { topic: ottla_types::TopicName::new("t").unwrap(), partition: 0 };
        let history = |numbers: &[u64]| {
            let ids = numbers.iter().map(|number| Some(RecordId { writer: 0, number: *number }));
            History { left: (0..).zip(ids).collect(), ..History::default() }
        };
        check(&partition, &history(&[0, 1, 5]), |_| true).unwrap();
        let mut late = history(&[0, 2, 1]);
        late.sent.insert(RecordId { writer: 0, number: 1 }, Fate::Unknown);
        check(&partition, &late, |_| true).unwrap();
        for numbers in [[0, 1, 1], [0, 2, 1]] {
            assert!(check(&partition, &history(&numbers), |_| true).is_err());
            check(&partition, &history(&numbers), |_| false).unwrap();
        }
    }
}
