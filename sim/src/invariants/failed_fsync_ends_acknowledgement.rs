//! Invariant 14: after a failed fsync nothing is acknowledged as durable until a restart has verified what is there.

use super::Violation;

/// To be called with each acknowledgement: of an append, or of a flush up to an offset.
///
/// # Errors
/// The violation.
pub fn check(failed: Option<&str>, acknowledged: &str) -> Result<(), Violation> {
    match failed {
        None => Ok(()),
        Some(failure) => Err(Violation::new(
            "failed_fsync_ends_acknowledgement",
            format!("{acknowledged} was acknowledged after this: {failure}"),
        )),
    }
}
