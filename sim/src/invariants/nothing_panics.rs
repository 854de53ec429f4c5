//! No task of a simulated process panics, whatever peers and disks do.

use super::Violation;
use crate::engine::NodeId;

/// Checks the panics of a world.
///
/// # Errors
/// The violation.
pub fn check(panics: &[(NodeId, String)]) -> Result<(), Violation> {
    match panics.first() {
        None => Ok(()),
        Some((node, words)) => {
            Err(Violation::new("nothing_panics", format!("a task of {node} panicked: {words}")))
        }
    }
}
