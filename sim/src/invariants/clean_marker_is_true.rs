//! A clean-shutdown marker is believed without looking, so where there is one, everything must be there (KAFKA-15375).

use super::{Between, Violation};
use crate::log_crash::Observed;

/// Checks one log in a directory whose marker was found.
///
/// # Errors
/// The violation.
pub fn check(between: &Between<'_>, seen: Option<&Observed>) -> Result<(), Violation> {
    let Some(before) = between.before else { return Ok(()) };
    let end = seen.map_or(0, |seen| seen.end);
    if end >= before.end {
        return Ok(());
    }
    Err(Violation::new(
        "clean_marker_is_true",
        format!(
            "the marker of a clean stop is there, and the log ends at offset {end}, not at {}",
            before.end
        ),
    ))
}
