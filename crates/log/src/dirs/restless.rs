//! Which logs of a directory may have something to tend to, so that tending to ten thousand logs at rest costs nothing: those
//! with records that are not durable, with files open, or with deleted segments to remove.
//!
//! A log notes itself with the first thing that it does after it was at rest. All logs are looked at now and then as well, for
//! what comes due without anything being done.

use std::collections::BTreeSet;
use std::sync::Mutex;

use ottla_types::TopicPartition;

use crate::sync::lock;

/// How often all logs are looked at. Silent producers are forgotten then, too: nothing happens when their time is over.
pub(super) const ALL_EVERY_MS: i64 = 60_000;

/// The logs.
#[derive(Debug, Default)]
pub(crate) struct Restless(Mutex<BTreeSet<TopicPartition>>);

impl Restless {
    /// The log does something after it was at rest.
    pub(crate) fn note(&self, partition: &TopicPartition) {
        lock(&self.0).insert(partition.clone());
    }

    pub(super) fn list(&self) -> Vec<TopicPartition> {
        lock(&self.0).iter().cloned().collect()
    }

    /// They are looked at now, and noted again if they are not at rest.
    pub(super) fn take(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut *lock(&self.0)).into_iter().collect()
    }
}
