//! What moves with the records of a partition, under one lock: the machine of this replica, and who waits for it.
//!
//! Whatever changes is first noted here, and told when the lock is let go: [`Wakes`].

use std::collections::VecDeque;

use ottla_replica::{Change, Ends, Replica};
use ottla_types::Offset;

use super::acks::{AwaitedBatches, Settled};

/// How many batches above the high watermark are remembered one by one.
const MOST_UNREAD: usize = 128;

/// The machine of this replica, and what waits for it.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) replica: Replica,
    /// How far this replica's own log counts towards the high watermark: its end, or what of it is durable where
    /// `flush.messages` wants a batch on the device before it is acknowledged. See [`Self::ends`].
    pub(super) share: Offset,
    /// Ends and sizes of batches that consumers may not read yet: waiters count bytes.
    unread: VecDeque<(Offset, usize)>,
    pub(super) awaited: AwaitedBatches,
}

/// Whom to tell of a change, without the lock.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Wakes {
    pub(super) settled: Settled,
    /// Consumers may read so many bytes more.
    pub(super) readable_bytes: usize,
    /// The high watermark, if it moved.
    pub(super) high_watermark: Option<Offset>,
}

impl Progress {
    pub(super) fn new(replica: Replica, share: Offset) -> Self {
        Self { replica, share, unread: VecDeque::new(), awaited: AwaitedBatches::default() }
    }

    /// Notes a batch that is in the log. The high watermark may have passed it already.
    pub(super) fn note_batch(&mut self, end: Offset, size_bytes: usize) {
        let is_full = self.unread.len() >= MOST_UNREAD;
        match self.unread.back_mut() {
            // Counted with one that can be read earlier: who waits is woken too early then, and not too late.
            Some(last) if is_full && last.0 <= end => last.1 = last.1.saturating_add(size_bytes),
            Some(last) if last.0 > end => {
                let at = self.unread.partition_point(|(unread, _)| *unread < end);
                self.unread.insert(at, (end, size_bytes));
            }
            _ => self.unread.push_back((end, size_bytes)),
        }
    }

    /// Takes what a call of the machine changed to those who wait for it.
    pub(super) fn carry(&mut self, change: &Change) -> Wakes {
        let mut wakes = Wakes { high_watermark: change.high_watermark, ..Wakes::default() };
        let high_watermark = self.replica.high_watermark();
        while let Some((end, size_bytes)) = self.unread.front().copied()
            && end <= high_watermark
        {
            wakes.readable_bytes = wakes.readable_bytes.saturating_add(size_bytes);
            self.unread.pop_front();
        }
        if change.wake_appends {
            let replica = &self.replica;
            self.awaited.review(|epoch, end| replica.acknowledged(epoch, end).error(), &mut wakes.settled);
        } else if change.high_watermark.is_some() {
            self.awaited.committed(high_watermark, &mut wakes.settled);
        }
        wakes
    }

    /// The log was cut at its end: what lay behind is not waited for.
    pub(super) fn cut(&mut self, end: Offset) {
        self.share = self.share.min(end);
        self.unread.retain(|(unread, _)| *unread <= end);
    }

    /// The ends of the log, of which this replica's share reaches to [`Self::share`].
    pub(super) fn ends(&self, start: Offset, end: Offset) -> Ends {
        Ends { start, end, durable: self.share.min(end).max(start) }
    }
}
