//! Invariant 21, in part: once everything is repaired, whatever was asked for comes.

use std::time::Duration;

use super::Violation;

/// The violation: something did not come within a time.
#[must_use]
pub fn violation(what: &str, time: Duration) -> Violation {
    let what = format!("not within {} s after everything was repaired: {what}", time.as_secs());
    Violation::new("every_request_is_answered", what)
}
