//! Invariant 3: logs agree below the lower of two high watermarks.

use super::Violation;
use crate::engine::NodeId;
use crate::replication::{Committed, DiskBatch, DiskLog};

const NAME: &str = "replicas_agree";

/// Checks the log of a follower whose high watermark is now this.
///
/// # Errors
/// The violation.
pub fn check(
    node: NodeId,
    committed: &Committed,
    log: &DiskLog,
    high_watermark: i64,
) -> Result<(), Violation> {
    // What was forgiven some may have had for committed, and others never.
    let upto = committed.forgiven_from.map_or(high_watermark, |from| from.min(high_watermark));
    let below = log.batches.iter().filter(|batch| batch.end <= upto);
    for batch in below {
        match committed.batches.get(&batch.base) {
            Some(known) if known == batch => {}
            Some(known) => return Err(other(node, committed, known, Some(batch))),
            None => {
                let name = &committed.name;
                let what = format!(
                    "{node} follows {name} and takes {batch:?} for committed, below its high watermark {high_watermark}; \
                     no leader did"
                );
                return Err(Violation::new(NAME, what));
            }
        }
    }
    Ok(())
}

/// The violation: two replicas have something else below their high watermarks.
#[must_use]
pub fn other(node: NodeId, committed: &Committed, known: &DiskBatch, found: Option<&DiskBatch>) -> Violation {
    let name = &committed.name;
    let what = format!(
        "{known:?} of {name} was committed, and {node} has {found:?} there, below its high watermark"
    );
    Violation::new(NAME, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{committed, log};

    #[test]
    fn another_batch_and_one_that_nobody_committed_are_found_below_the_watermark_only() {
        let known = committed(&[(0, 2, 1), (2, 3, 1)], 2);
        let (other, more) = (log(&[(0, 2, 1), (2, 3, 2)]), log(&[(0, 2, 1), (2, 3, 1), (3, 4, 1)]));
        for wrong in [&other, &more] {
            check(NodeId(1), &known, wrong, 2).unwrap();
            assert!(check(NodeId(1), &known, wrong, 4).is_err());
        }
        check(NodeId(1), &known, &more, 3).unwrap();
    }
}
