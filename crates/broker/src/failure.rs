//! What ends a broker that nobody stopped. Kafka halts in the same cases.
//!
//! What is not here: a directory that failed while others work. The broker goes on with those.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::broker::Core;

/// Why a broker cannot go on: it is to be stopped, and started again when the disk is well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No log directory takes records any more.
    #[error("all log directories have failed: {0}")]
    LogDirs(FailedDirs),
    /// The metadata log takes no changes any more.
    #[error("the metadata log has failed: {0}")]
    MetadataLog(Arc<str>),
}

/// Directories, each with why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDirs(pub Vec<(PathBuf, Arc<str>)>);

impl fmt::Display for FailedDirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (path, reason)) in self.0.iter().enumerate() {
            let separator = if nth > 0 { "; " } else { "" };
            write!(f, "{separator}{} ({reason})", path.display())?;
        }
        Ok(())
    }
}

/// Waits until the broker cannot go on. Safe to cancel.
pub(crate) async fn of(core: &Core) -> Failure {
    tokio::select! {
        biased;
        dirs = core.logs.none_left() => Failure::LogDirs(FailedDirs(dirs)),
        reason = core.metadata.failed() => Failure::MetadataLog(reason),
    }
}
