//! Invariant 16, as far as one log can break it: what is known of a producer is what its surviving records say, so that
//! duplicates and gaps are told as they would have been without the crash, and a batch that was lost can be sent again.

use super::Violation;
use crate::log_crash::{LogModel, Observed};

const NAME: &str = "producers_follow_the_records";

/// Checks one log against the history that it continues.
///
/// # Errors
/// The violation.
pub fn check(log: &LogModel, seen: &Observed) -> Result<(), Violation> {
    let violation = |what| Err(Violation::new(NAME, what));
    let last_of_each = log.last_of_each(seen.end);
    for (id, batch) in &last_of_each {
        let expected = batch.producer.zip(batch.last_sequence()).map(|((_, epoch, _), last)| (epoch, last));
        let must_be_known = batch.last >= seen.start && batch.last >= log.forgotten_below;
        match seen.producers.get(id) {
            None if must_be_known => {
                return violation(format!(
                    "producer {id} wrote offsets {}..={} and is not known",
                    batch.base, batch.last
                ));
            }
            Some(known) if must_be_known && Some(*known) != expected => {
                return violation(format!(
                    "the last records of producer {id} have (epoch, sequence) {expected:?}, and {known:?} is known"
                ));
            }
            _ => {}
        }
    }
    for (id, known) in &seen.producers {
        let mut wrote = log.batches.iter().filter(|batch| batch.last < seen.end);
        let agrees = wrote.any(|batch| {
            batch.producer.is_some_and(|(producer, epoch, _)| {
                producer == *id && Some(*known) == batch.last_sequence().map(|last| (epoch, last))
            })
        });
        if !agrees {
            return violation(format!(
                "{known:?} (epoch, sequence) is known of producer {id}, and no batch below offset {} says so",
                seen.end
            ));
        }
    }
    Ok(())
}
