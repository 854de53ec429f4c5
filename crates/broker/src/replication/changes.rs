//! What a change of the metadata touches, kept until a task looks at it: partitions once each, however often they change.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use ottla_types::BrokerId;

use super::Key;

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) partitions: BTreeSet<Key>,
    /// All partitions that these brokers hold.
    pub(super) brokers: BTreeSet<BrokerId>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.partitions.is_empty() && self.brokers.is_empty()
    }
}

/// What one task is to look at. Bounded by what there is.
#[derive(Default)]
pub(super) struct Changes {
    touched: Mutex<Touched>,
    added: Notify,
}

impl Changes {
    pub(super) fn add(
        &self,
        partitions: impl IntoIterator<Item = Key>,
        brokers: impl IntoIterator<Item = BrokerId>,
    ) {
        let mut touched = self.lock();
        touched.partitions.extend(partitions);
        touched.brokers.extend(brokers);
        let is_some = !touched.is_empty();
        drop(touched);
        if is_some {
            self.added.notify_one();
        }
    }

    /// Waits for something to look at, and takes all of it. For one task. Safe to cancel.
    pub(super) async fn take(&self) -> Touched {
        loop {
            let touched = std::mem::take(&mut *self.lock());
            if !touched.is_empty() {
                return touched;
            }
            self.added.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
