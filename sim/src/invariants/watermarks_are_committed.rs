//! Invariant 7, as far as one log can break it: the high watermark that is known after a restart was one before, and does not
//! reach over records that took the place of others.

use super::{Between, Violation};
use crate::log_crash::Observed;

const NAME: &str = "watermarks_are_committed";

/// Checks one log: what is known of the watermark lies within the log, and above its start it was committed.
///
/// # Errors
/// The violation.
pub fn check(between: &Between<'_>, seen: &Observed) -> Result<(), Violation> {
    let committed = between.histories().map(|log| log.committed).max().unwrap_or(0);
    if (seen.start..=committed.max(seen.start)).contains(&seen.high_watermark) {
        return Ok(());
    }
    Err(Violation::new(
        NAME,
        format!(
            "the high watermark is said to be {}, and no more than {committed} was committed of {}..{}",
            seen.high_watermark, seen.start, seen.end
        ),
    ))
}
