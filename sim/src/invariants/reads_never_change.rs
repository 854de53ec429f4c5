//! Invariant 6: what a consumer was given at an offset is what every consumer is given there, ever.

use ottla_types::TopicPartition;

use super::Violation;
use crate::brokers::History;

const NAME: &str = "reads_never_change";

/// Checks one partition.
///
/// # Errors
/// The violation.
pub fn check(partition: &TopicPartition, history: &History) -> Result<(), Violation> {
    if let Some((offset, first, then)) = history.changed.first() {
        return Err(Violation::new(
            NAME,
            format!("{partition}: at offset {offset} was read {first:?}, and then {then:?}"),
        ));
    }
    for (offset, seen) in &history.seen {
        let left = history.left.get(offset);
        if left != Some(&seen.record) {
            return Err(Violation::new(
                NAME,
                format!(
                    "{partition}: at offset {offset} was read {seen:?}, and in the end {left:?} is there"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::{RecordId, Seen};

    #[test]
    fn a_read_that_changed_and_one_that_vanished_are_found() {
        let partition = TopicPartition { topic: ottla_types::TopicName::new("t").unwrap(), partition: 0 };
        let seen = |number| Seen { record: Some(RecordId { writer: 0, number }), at_us: 0 };
        let mut history = History::default();
        history.seen.insert(3, seen(0));
        assert!(check(&partition, &history).is_err());
        history.left.insert(3, seen(0).record);
        check(&partition, &history).unwrap();
        history.changed.push((3, seen(0), seen(1)));
        assert!(check(&partition, &history).is_err());
    }
}
