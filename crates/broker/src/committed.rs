//! How far the records of a partition may be read, with this broker as its only replica.
//!
//! Where nobody asks for durability that is the end of the log. Where `flush.messages` wants a batch on the device before
//! it is acknowledged, nobody sees the batch before either: the offset moves, and readers are woken, by the flush and not
//! by the append. It never goes back, whatever becomes of the setting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ottla_log::{Appended, Log};
use ottla_types::Offset;

use crate::waiters::Waiters;

/// The offset below which everything is committed.
#[derive(Debug)]
pub(crate) struct Committed {
    offset: AtomicI64,
    /// Ends and sizes of batches that wait for a flush, in the order in which they were noted.
    unflushed: Mutex<VecDeque<(Offset, usize)>>,
    waiters: Arc<Waiters>,
}

impl Committed {
    /// What may be read of a log that was just opened, and from then on with each of its flushes.
    pub(crate) fn of(log: &Arc<Log>, waiters: &Arc<Waiters>) -> Arc<Self> {
        let (flushed, end) = (log.flushed_offset(), log.end_offset());
        let waits_for_flush = log.config().flush_messages != i64::MAX && flushed < end;
        let committed = Arc::new(Self {
            offset: AtomicI64::new(if waits_for_flush { flushed.0 } else { end.0 }),
            unflushed: Mutex::default(),
            waiters: Arc::clone(waiters),
        });
        if waits_for_flush {
            // Whoever waits for what was there before the start is woken by its flush too.
            let size = usize::try_from(log.size_bytes()).unwrap_or(usize::MAX);
            committed.unflushed.lock().unwrap_or_else(PoisonError::into_inner).push_back((end, size));
        }
        let observer = Arc::clone(&committed);
        log.observe_flushes(Arc::new(move |flushed| observer.flushed(flushed)));
        if waits_for_flush {
            log.request_flush();
        }
        committed
    }

    pub(crate) fn offset(&self) -> Offset {
        Offset(self.offset.load(Ordering::Acquire))
    }

    /// Takes note of a batch of `size` bytes.
    pub(crate) fn appended(&self, log: &Log, batch: &Appended, size: usize) {
        let end = batch.end_offset();
        if !batch.flush_due {
            self.offset.fetch_max(end.0, Ordering::AcqRel);
            self.waiters.appended(size);
            return;
        }
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner).push_back((end, size));
        // A flush that ended before the batch was noted here has told nobody of it.
        let flushed = log.flushed_offset();
        if flushed >= end {
            self.flushed(flushed);
        }
    }

    fn flushed(&self, flushed: Offset) {
        self.offset.fetch_max(flushed.0, Ordering::AcqRel);
        let mut size = 0;
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        unflushed.retain(|(end, bytes)| {
            let is_durable = *end <= flushed;
            size += if is_durable { *bytes } else { 0 };
            !is_durable
        });
        drop(unflushed);
        if size > 0 {
            self.waiters.appended(size);
        }
    }
}

#[cfg(test)]
#[path = "committed_tests.rs"]
mod tests;
