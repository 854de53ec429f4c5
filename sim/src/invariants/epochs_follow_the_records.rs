//! Invariant 4, as far as one log can break it: the leader epoch known for an offset is that of the batch there, and the
//! latest one is not below that of the last batch. KAFKA-16541 was a log that forgot epochs below its recovery point.

use super::Violation;
use crate::log_crash::Observed;

const NAME: &str = "epochs_follow_the_records";

/// Checks one log.
///
/// # Errors
/// The violation.
pub fn check(seen: &Observed) -> Result<(), Violation> {
    let mut latest = None;
    for (bytes, known) in &seen.batches {
        let Ok(header) = ottla_records::BatchHeader::parse(bytes) else { continue };
        if *known != Some(header.leader_epoch) {
            return Err(Violation::new(
                NAME,
                format!(
                    "offset {} was written in epoch {}, and the epoch known for it is {known:?}",
                    header.base_offset, header.leader_epoch
                ),
            ));
        }
        latest = Some(header.leader_epoch);
    }
    match (latest, seen.latest_epoch) {
        // A leader may have begun an epoch and not written in it yet.
        (Some(written), known) if known < Some(written) => Err(Violation::new(
            NAME,
            format!("the last batch was written in epoch {written}, and the latest known one is {known:?}"),
        )),
        _ => Ok(()),
    }
}
