//! Invariant 15: a batch that is torn, or has a bit turned around, is never served.
//!
//! Base offset and leader epoch lie outside the CRC of a batch, so that brokers can set them; a bit that turns around there
//! is not found out, and is not turned around here.

use super::Violation;
use crate::log_crash::Model;
use ottla_records::{Batch, batches};
use ottla_types::TopicPartition;

/// The bytes of a batch's header that its checksum does not cover: base offset (8), and behind the length leader epoch (4).
#[must_use]
pub fn is_covered(byte_in_batch: u64) -> bool {
    byte_in_batch >= 16 || (8..12).contains(&byte_in_batch)
}

/// Checks bytes that were served against all that was ever appended.
///
/// # Errors
/// The violation.
pub fn check(partition: &TopicPartition, served: &[u8], models: &[&Model]) -> Result<(), Violation> {
    let violation = |what| Err(Violation::new("damage_is_never_served", what));
    for batch in batches(served) {
        let batch: Batch<'_> = match batch {
            Ok(batch) => batch,
            Err(error) => return violation(format!("{partition}: {error}")),
        };
        let logs = models.iter().filter_map(|model| model.logs.get(partition));
        // A batch whose append failed may be there as a whole.
        let appended = logs.flat_map(|log| log.batches.iter().chain(&log.doubtful));
        let known = appended.into_iter().any(|appended| appended.bytes == batch.bytes());
        if !known {
            let offset = batch.header().base_offset;
            return violation(format!("{partition}: the batch served at offset {offset} was never appended"));
        }
    }
    Ok(())
}
