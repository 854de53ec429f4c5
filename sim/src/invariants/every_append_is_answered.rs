//! Invariant 21, of the quorum: whoever appended and lives is told what became of it.

use super::Violation;
use crate::engine::NodeId;
use crate::quorum::{AppendFate, Quorum};

/// Checks all appends; `is_alive` tells of a process.
///
/// # Errors
/// The violation.
pub fn check(quorum: &Quorum, is_alive: impl Fn((NodeId, u64)) -> bool) -> Result<(), Violation> {
    // The newest may be on their way still.
    let newest = quorum.appends.last_key_value().map(|(_, append)| (append.process, append.epoch));
    let waiting = quorum.appends.iter().find(|(_, append)| {
        let is_newest = newest == Some((append.process, append.epoch));
        append.fate == AppendFate::Pending && is_alive(append.process) && !is_newest
    });
    match waiting {
        None => Ok(()),
        Some((number, append)) => Err(Violation::new(
            "every_append_is_answered",
            format!("append {number} ({append:?}) has no answer after everything was repaired"),
        )),
    }
}
