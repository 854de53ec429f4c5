//! Invariant 7: the high watermark advances only over what every member of the largest ISR that may be in force has, and at least
//! `min.insync.replicas` replicas (KAFKA-15583). With `flush.messages` they have it on their devices.

use std::collections::BTreeMap;

use ottla_types::BrokerId;

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{Committed, DiskBatch, DiskLog};

const NAME: &str = "watermarks_follow_the_isr";

/// Checks the leader's own log.
///
/// # Errors
/// The violation.
pub fn check_own_log(
    node: NodeId,
    committed: &Committed,
    log: &DiskLog,
    high_watermark: i64,
) -> Result<(), Violation> {
    if high_watermark <= log.end() {
        return Ok(());
    }
    let (name, end) = (&committed.name, log.end());
    let what =
        format!("{node} leads {name} with the high watermark {high_watermark}, and its log ends at {end}");
    Err(Violation::new(NAME, what))
}

/// Checks the batches that the watermark passed now. `isr` is the one in force if this leader is the current one; `lost` tells
/// whose disks have lost something since they were in sync, which then had it.
///
/// # Errors
/// The violation.
pub fn check(
    node: NodeId,
    committed: &Committed,
    new: &[DiskBatch],
    isr: &[BrokerId],
    logs: &BTreeMap<BrokerId, DiskLog>,
    lost: impl Fn(BrokerId) -> bool,
) -> Result<(), Violation> {
    let name = &committed.name;
    for batch in new {
        let has = |broker: &BrokerId| {
            lost(*broker) || logs.get(broker).is_some_and(|log| log.at(batch.base) == Some(batch))
        };
        if let Some(member) = isr.iter().find(|member| !has(member)) {
            let found = logs.get(member).map(|log| (log.at(batch.base), log.end()));
            let what = format!(
                "{node} commits {batch:?} of {name}, and broker {member}, which is in the ISR {isr:?}, has {found:?}"
            );
            return Err(Violation::new(NAME, what));
        }
        let copies = logs.keys().filter(|broker| has(broker)).count();
        if copies < committed.plan.min_insync.min(logs.len()) {
            let what = format!(
                "{node} commits {batch:?} of {name}, which {copies} replicas have, with min.insync.replicas {}",
                committed.plan.min_insync
            );
            return Err(Violation::new(NAME, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{committed, log};

    #[test]
    fn a_member_without_the_batch_and_too_few_copies_are_found() {
        let known = committed(&[], 2);
        let whole = log(&[(0, 2, 1)]);
        let ids = [BrokerId(1), BrokerId(2), BrokerId(3)];
        let logs = |with: usize| -> BTreeMap<BrokerId, DiskLog> {
            let log_of = |nth| if nth < with { whole.clone() } else { log(&[]) };
            ids.iter().enumerate().map(|(nth, id)| (*id, log_of(nth))).collect()
        };
        let verdict = |isr: &[BrokerId], with, lost: i32| {
            check(NodeId(1), &known, &whole.batches, isr, &logs(with), |broker| broker.0 == lost)
        };
        verdict(&ids, 3, 0).unwrap();
        verdict(&ids[..2], 2, 0).unwrap();
        assert!(verdict(&ids, 2, 0).is_err());
        verdict(&ids, 2, 3).unwrap();
        assert!(verdict(&ids[..1], 1, 0).unwrap_err().what.contains("1 replicas"));
        assert!(check_own_log(NodeId(1), &known, &whole, 3).is_err());
    }
}
