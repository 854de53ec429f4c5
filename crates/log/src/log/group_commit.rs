//! Asking for a flush and waiting for it, many at a time. Who flushes is `dirs/flushes.rs`.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use ottla_types::Offset;
use tokio::sync::Notify;

use super::Log;
use crate::Result;
use crate::sync::lock;

/// Called with the flushed offset after each flush.
pub type FlushObserver = Arc<dyn Fn(Offset) + Send + Sync>;

/// Where a log stands in its directory's queue.
#[derive(Default)]
pub(super) struct Turn {
    state: AtomicU8,
    ended: Notify,
    observer: Mutex<Option<FlushObserver>>,
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const FLUSHING: u8 = 2;
/// Asked for again while it is flushed.
const AGAIN: u8 = 3;

impl Turn {
    /// Notes that somebody asks. Returns whether the log is to be queued.
    fn request(&self) -> bool {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            FLUSHING => Some(AGAIN),
            _ => None,
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    fn begin(&self) {
        self.state.store(FLUSHING, Ordering::Release);
    }

    /// Returns whether the log is to be queued again.
    fn end(&self) -> bool {
        let next = |state| Some(if state == AGAIN { QUEUED } else { IDLE });
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(AGAIN)
    }

    /// Tells those who wait that a flush ended, well or not.
    pub(super) fn tell(&self, flushed: Option<Offset>) {
        if let Some(offset) = flushed {
            let observer = lock(&self.observer).clone();
            if let Some(observer) = observer {
                observer(offset);
            }
        }
        self.ended.notify_waiters();
    }
}

impl Log {
    /// Has the log flushed as soon as it is its turn in its directory, with all that is appended until then. The caller
    /// does not wait, and may go away.
    pub fn request_flush(self: &Arc<Self>) {
        if self.turn.request() {
            self.home().flushes().push(Arc::clone(self));
        }
    }

    /// Waits until everything below `offset` is durable, for a flush that is shared with all who wait. Returns the end of
    /// what is durable: less than `offset` only if a truncation took away what is waited for.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn flushed_to(self: &Arc<Self>, offset: Offset) -> Result<Offset> {
        loop {
            // Before the look, so that a flush that ends in between is not missed.
            let ended = self.turn.ended.notified();
            let flushed = self.flushed_offset();
            if flushed >= offset.min(self.end_offset()) {
                return Ok(flushed);
            }
            self.check_open()?;
            self.request_flush();
            ended.await;
        }
    }

    /// Calls `observer` after each flush with what is durable then. It replaces the one before, and must not block.
    pub fn observe_flushes(&self, observer: FlushObserver) {
        *lock(&self.turn.observer) = Some(observer);
    }

    /// What a worker of the directory's queue does for this log.
    pub(crate) async fn flush_in_turn(self: &Arc<Self>) {
        self.turn.begin();
        let before = self.flushed_offset();
        let result = self.flush().await;
        if !result.is_ok_and(|flushed| flushed > before) {
            // The directory is offline, the log closed or truncated: those who wait find out.
            self.turn.tell(None);
        }
        if self.turn.end() {
            self.home().flushes().push(Arc::clone(self));
        }
    }
}
