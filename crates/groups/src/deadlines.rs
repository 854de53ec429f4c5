//! What is to happen when: sessions, rebalance timeouts, pending syncs.
//!
//! A heartbeat moves a session's end without touching the queue: the entry stays where it is, and when it comes up, its
//! owner looks at the session's true end and queues it again (`classic::member::Session`). So ten thousand
//! heartbeating members cost one entry each, and one queue operation for each session timeout.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What comes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The session of a member, or of one that was told its id and has not joined yet.
    Session { group: Arc<str>, member: Arc<str> },
    /// The join phase of a group.
    Join { group: Arc<str> },
    /// The sync phase of a group.
    Sync { group: Arc<str> },
}

/// Names an entry of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle {
    pub(crate) at_ms: i64,
    id: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: BTreeMap<Handle, Timer>,
    last_id: u64,
}

impl Deadlines {
    pub(crate) fn schedule(&mut self, at_ms: i64, timer: Timer) -> Handle {
        self.last_id += 1;
        let handle = Handle { at_ms, id: self.last_id };
        self.queue.insert(handle, timer);
        handle
    }

    pub(crate) fn cancel(&mut self, handle: Handle) {
        self.queue.remove(&handle);
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.queue.first_key_value().map(|(handle, _)| handle.at_ms)
    }

    /// Takes the first entry that is due.
    pub(crate) fn pop_due(&mut self, now_ms: i64) -> Option<(Handle, Timer)> {
        let first = self.queue.first_entry()?;
        (first.key().at_ms <= now_ms).then(|| first.remove_entry())
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}
