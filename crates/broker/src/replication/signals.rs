//! What the machines of partitions tell the tasks: which of them are to be looked at, and when their time has come. And what
//! became of ISRs, counted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Key;
use super::changes::Changes;

/// Between the partitions and the tasks of replication.
#[derive(Default)]
pub(crate) struct Signals {
    /// Partitions that this broker leads or led, whose ISR is to be looked at.
    pub(super) led: Changes,
    due: Mutex<BTreeSet<(Duration, Key)>>,
    earlier: Notify,
    isr: IsrCounts,
}

/// How often ISRs of partitions that are led here changed.
#[derive(Debug, Default)]
pub(crate) struct IsrCounts {
    shrinks: AtomicU64,
    expands: AtomicU64,
    failed: AtomicU64,
}

impl IsrCounts {
    pub(crate) fn shrinks(&self) -> u64 {
        self.shrinks.load(Ordering::Relaxed)
    }

    pub(crate) fn expands(&self) -> u64 {
        self.expands.load(Ordering::Relaxed)
    }

    /// Changes that the active controller refused.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Signals {
    /// A leader may want another ISR.
    pub(crate) fn look(&self, key: Key) {
        self.led.add([key], []);
    }

    /// The machine of a partition is to be told when this time has come, on the monotonic clock.
    pub(crate) fn wake_at(&self, key: Key, at: Duration) {
        let mut due = self.lock();
        due.insert((at, key));
        let is_first = due.first() == Some(&(at, key));
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Those whose time has come at `now`.
    pub(super) fn take_due(&self, now: Duration) -> Vec<Key> {
        let mut due = self.lock();
        let mut keys = Vec::new();
        while due.first().is_some_and(|(at, _)| *at <= now) {
            keys.extend(due.pop_first().map(|(_, key)| key));
        }
        keys
    }

    /// When the next one's comes.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.lock().first().map(|(at, _)| *at)
    }

    /// Completes when the next time has become an earlier one. For one task. Safe to cancel.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// The ISR of a partition that is led here went from so many to so many.
    pub(crate) fn note_isr_change(&self, from: usize, to: usize) {
        let counter = if to < from { &self.isr.shrinks } else { &self.isr.expands };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The active controller refused a change.
    pub(crate) fn note_isr_refused(&self) {
        self.isr.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn isr_counts(&self) -> &IsrCounts {
        &self.isr
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Duration, Key)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicId;

    use super::*;

    const fn key(index: i32) -> Key {
        (TopicId([1; 16]), index)
    }

    #[tokio::test]
    async fn what_is_due_comes_once_and_in_its_time_and_an_earlier_time_is_told() {
        let signals = Signals::default();
        let ms = Duration::from_millis;
        signals.wake_at(key(0), ms(20));
        signals.earlier().await;
        signals.wake_at(key(1), ms(30));
        assert!(futures_util::poll!(Box::pin(signals.earlier())).is_pending());
        signals.wake_at(key(2), ms(10));
        signals.earlier().await;
        assert_eq!(signals.next_due(), Some(ms(10)));
        assert_eq!(signals.take_due(ms(20)), [key(2), key(0)]);
        assert_eq!((signals.take_due(ms(20)), signals.next_due()), (vec![], Some(ms(30))));
    }
}
