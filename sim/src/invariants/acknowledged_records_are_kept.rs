//! Invariant 1: what was acknowledged is there, where it was told to be. And what is there was sent, and not refused.
//!
//! To be checked where losses are exempt that the settings allow: without `flush.messages` a loss of power may take what
//! was acknowledged.

use ottla_types::TopicPartition;

use super::Violation;
use crate::brokers::{Fate, History};

const NAME: &str = "acknowledged_records_are_kept";

/// Checks one partition.
///
/// # Errors
/// The violation.
pub fn check(partition: &TopicPartition, history: &History) -> Result<(), Violation> {
    let violation = |what| Err(Violation::new(NAME, format!("{partition}: {what}")));
    let mut left = std::collections::BTreeSet::new();
    for (offset, record) in &history.left {
        match record.and_then(|id| history.sent.get(&id).map(|fate| (id, fate))) {
            None => return violation(format!("at offset {offset} is {record:?}, which nobody sent there")),
            Some((id, Fate::Refused)) => {
                return violation(format!("{id:?} was refused for good, and is at offset {offset}"));
            }
            Some((id, _)) => left.insert(id),
        };
    }
    for (id, fate) in &history.sent {
        match fate {
            Fate::Acknowledged(Some(offset)) if history.left.get(offset) != Some(&Some(*id)) => {
                let there = history.left.get(offset);
                let its_fate = there.copied().flatten().and_then(|there| history.sent.get(&there));
                let found = history.left.iter().filter(|(_, left)| **left == Some(*id));
                let found: Vec<i64> = found.map(|(offset, _)| *offset).collect();
                return violation(format!(
                    "{id:?} was acknowledged at offset {offset}, where {there:?} is, whose fate is {its_fate:?}; \
                     it is at {found:?}, and the log ends behind {:?}",
                    history.left.last_key_value()
                ));
            }
            Fate::Acknowledged(None) if !left.contains(id) => {
                return violation(format!("{id:?} was acknowledged, and is nowhere"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::RecordId;

    fn partition() -> TopicPartition {
        TopicPartition { topic: ottla_types::TopicName::new("t").unwrap(), partition: 0 }
    }

    #[test]
    fn a_lost_a_moved_a_refused_and_an_unsent_record_are_each_found() {
        let id = |number| RecordId { writer: 0, number };
        let mut history = History::default();
        history.sent.insert(id(0), Fate::Acknowledged(Some(0)));
        history.sent.insert(id(1), Fate::Refused);
        history.left.insert(0, Some(id(0)));
        check(&partition(), &history).unwrap();
        let mut lost = history.clone();
        lost.left.clear();
        let mut moved = lost.clone();
        moved.left.insert(1, Some(id(0)));
        let mut refused = history.clone();
        refused.left.insert(1, Some(id(1)));
        let mut unsent = history.clone();
        unsent.left.insert(1, None);
        for history in [lost, moved, refused, unsent] {
            assert!(check(&partition(), &history).is_err(), "{history:?}");
        }
    }
}
