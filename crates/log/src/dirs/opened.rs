//! Counts the files that appends open, so that idle logs are looked for before their files are too many.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// After so many it is time to look for idle logs.
const MANY: usize = 1000;

/// Shared by all directories: descriptors are the process's.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    since_look: AtomicUsize,
    many: Notify,
}

impl Opened {
    /// An append opened the file that it wrote to.
    pub(crate) fn note(&self) {
        if self.since_look.fetch_add(1, Ordering::Relaxed) + 1 == MANY {
            self.many.notify_one();
        }
    }

    /// Idle logs are looked for.
    pub(super) fn looked(&self) {
        self.since_look.store(0, Ordering::Relaxed);
    }

    /// Waits until there were many since the last look.
    pub(super) async fn many(&self) {
        self.many.notified().await;
    }
}
