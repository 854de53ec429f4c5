//! Invariant 4: at the same offset and of the same leader epoch there are the same bytes on every disk, ever; and epochs never
//! decrease along a log. Invariant 20, in part: a log's directory is of the topic that the name has.

use std::collections::BTreeMap;

use ottla_types::TopicPartition;

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{DiskBatch, DiskLog};

const NAME: &str = "batches_are_unique";

/// The batches that were seen on any disk, by topic id, partition, offset and epoch.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<(String, i32, i64, i32), DiskBatch>);

impl Seen {
    /// Checks the logs of all nodes, and remembers them.
    ///
    /// # Errors
    /// The violation.
    pub fn check(
        &mut self,
        logs: &BTreeMap<NodeId, BTreeMap<TopicPartition, DiskLog>>,
    ) -> Result<(), Violation> {
        for (node, logs) in logs {
            for (partition, log) in logs {
                self.check_log(*node, partition, log)?;
            }
        }
        Ok(())
    }

    fn check_log(
        &mut self,
        node: NodeId,
        partition: &TopicPartition,
        log: &DiskLog,
    ) -> Result<(), Violation> {
        let violation = |what: String| Err(Violation::new(NAME, format!("{partition} on {node}: {what}")));
        let mut before = i32::MIN;
        for batch in &log.batches {
            if batch.epoch < before {
                return violation(format!("{batch:?} comes after epoch {before}"));
            }
            before = batch.epoch;
            // Its topic's id is not written yet, or was lost with the power: it may be of any topic of that name.
            if log.topic_id.is_empty() {
                continue;
            }
            let key = (log.topic_id.clone(), partition.partition, batch.base, batch.epoch);
            let known = *self.0.entry(key).or_insert(*batch);
            if known != *batch {
                return violation(format!(
                    "there is {batch:?}, and {known:?} was at that offset in that epoch"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{log, partition};

    #[test]
    fn two_batches_of_one_epoch_and_an_epoch_that_decreases_are_found() {
        let mut seen = Seen::default();
        let mut look =
            |node, log| seen.check(&BTreeMap::from([(NodeId(node), BTreeMap::from([(partition(), log)]))]));
        look(1, log(&[(0, 2, 1), (2, 3, 2)])).unwrap();
        look(2, log(&[(0, 2, 1), (2, 4, 3)])).unwrap();
        assert!(look(2, log(&[(0, 2, 1), (2, 4, 2)])).is_err());
        assert!(look(2, log(&[(0, 2, 4), (2, 4, 3)])).is_err());
    }
}
