//! No task of a simulated process panics, whatever peers and disks do, and none goes round in circles.

use std::any::Any;

use super::Violation;
use crate::engine::{NodeId, Stuck};

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

/// The violation: the world itself ended with this panic.
#[must_use]
pub fn ended(panic: &(dyn Any + Send)) -> Violation {
    if let Some(Stuck { at_us, task, polls }) = panic.downcast_ref() {
        let at = *at_us as f64 / 1e6;
        let what = format!("at {at:.6} s tasks were polled {polls} times in a row, the last one was {task}");
        return Violation::new("time_passes", what);
    }
    let words = panic.downcast_ref::<String>().cloned();
    let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
    Violation::new("nothing_panics", words.unwrap_or_default())
}
