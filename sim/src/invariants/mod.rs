//! What must hold, one file each. The numbers are the design's.
//!
//! Each is a pure function of what was done and what is seen; the error says what was expected and what is there.

pub mod acknowledged_changes_are_kept;
pub mod acknowledged_records_are_kept;
pub mod answers_are_current;
pub mod appends_are_kept;
pub mod batches_are_unique;
pub mod clean_marker_is_true;
pub mod committed_is_never_cut;
pub mod committed_offsets_survive;
pub mod committed_records_survive;
pub mod damage_is_never_served;
pub mod derived_files_are_expendable;
pub mod durable_votes;
pub mod election_safety;
pub mod epochs_follow_the_records;
pub mod epochs_never_decrease;
pub mod every_append_is_answered;
pub mod every_request_is_answered;
pub mod failed_fsync_ends_acknowledgement;
pub mod fenced_brokers_lead_nothing;
pub mod fsynced_prefix_survives;
pub mod healed_clusters_serve;
pub mod idempotent_records_are_written_once;
pub mod image_equals_replay;
pub mod isr_members_hold_the_committed;
pub mod logs_agree;
pub mod nothing_panics;
pub mod one_leader_per_epoch;
pub mod producers_follow_the_records;
pub mod reads_never_change;
pub mod recovery_is_idempotent;
pub mod replicas_agree;
pub mod replicas_drain;
pub mod strangers_are_not_in_sync;
#[cfg(test)]
pub(crate) mod testing;
pub mod watermarks_are_committed;
pub mod watermarks_follow_the_isr;

use crate::disk::Crash;
use crate::log_crash::LogModel;

/// A claim that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one: the name of its file.
    pub invariant: &'static str,
    /// What was expected and what is there.
    pub what: String,
}

impl Violation {
    /// A violation of an invariant.
    #[must_use]
    pub fn new(invariant: &'static str, what: String) -> Self {
        Self { invariant, what }
    }

    /// The same, with what happened before it.
    #[must_use]
    pub fn after(self, events: &[String]) -> Self {
        let what = format!("{}\n  after\n    {}", self.what, events.join("\n    "));
        Self { what, ..self }
    }
}

/// What one log may be after a crash in the middle of an operation: anything between what it was before and what it would
/// have been after it. `None`: there is no log.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    /// The log before the operation.
    pub before: Option<&'a LogModel>,
    /// The log as the operation would have left it.
    pub after: Option<&'a LogModel>,
    /// How it was crashed.
    pub crash: Crash,
    /// A sync failed before, so that not even a kill leaves everything.
    pub cache_is_suspect: bool,
}

impl<'a> Between<'a> {
    /// The two histories, where they exist.
    pub fn histories(&self) -> impl Iterator<Item = &'a LogModel> + use<'a> {
        self.before.into_iter().chain(self.after)
    }

    /// The end that the log must have at least.
    #[must_use]
    pub fn required_end(&self) -> i64 {
        let all = self.crash == Crash::Kill && !self.cache_is_suspect;
        let required = |log: &LogModel| if all { log.passing_end.unwrap_or(log.end) } else { log.flushed };
        match (self.before, self.after) {
            (Some(before), Some(after)) => required(before).min(required(after)),
            _ => 0,
        }
    }
}
