//! Those who wait for a partition to change: long-polling fetches, woken by the change that gives them enough.
//!
//! A waiter registers with each of its partitions *before* it looks at them, so that no change slips between.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// One waiting request. It may wait at many partitions, and is woken once for all of them.
#[derive(Debug)]
pub(crate) struct Waiter {
    woken: Notify,
    /// Bytes still missing until it is worth waking up.
    missing: AtomicI64,
}

impl Waiter {
    /// A waiter that is woken after `missing_bytes` came, over all its partitions, or something else changed.
    pub(crate) fn new(missing_bytes: i64) -> Arc<Self> {
        Arc::new(Self { woken: Notify::new(), missing: AtomicI64::new(missing_bytes) })
    }

    /// Counts `bytes` that were there before the waiter began to listen. Returns whether that is enough.
    pub(crate) fn count(&self, bytes: i64) -> bool {
        self.missing.fetch_sub(bytes, Ordering::AcqRel) <= bytes
    }

    /// Completes when enough came, or at once if that happened since the last call.
    pub(crate) async fn wait(&self) {
        self.woken.notified().await;
    }
}

/// What somebody waits for at a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// The end of the log: followers, who copy what is not committed yet.
    End,
    /// The high watermark: consumers, and whoever wants to know what is committed.
    Watermark,
    /// The low watermark: those who delete records.
    LowWatermark,
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Mutex<Vec<(For, Arc<Waiter>)>>,
    /// How many wait for each of the three, so that an append with nobody waiting takes no lock.
    counts: [AtomicUsize; 3],
}

impl Waiters {
    /// Adds a waiter until the returned place is dropped.
    pub(crate) fn register(self: &Arc<Self>, what: For, waiter: &Arc<Waiter>) -> Place {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push((what, Arc::clone(waiter)));
        self.count(what).fetch_add(1, Ordering::Relaxed);
        // The waiter now looks at what there is; a change is first made, and then looks at the count. With a fence
        // between the two steps on both sides, at least one of them sees what the other wrote.
        fence(Ordering::SeqCst);
        Place { waiters: Arc::clone(self), what, waiter: Arc::clone(waiter) }
    }

    /// Tells those who wait for `what` of `bytes` more, and wakes those that now have enough.
    pub(crate) fn came(&self, what: For, bytes: usize) {
        if !self.has(what) {
            return;
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        for (_, waiter) in
            self.list.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|w| w.0 == what)
        {
            if waiter.count(bytes) {
                waiter.woken.notify_one();
            }
        }
    }

    /// Whether somebody waits for `what`. Who changes it asks after the change.
    pub(crate) fn has(&self, what: For) -> bool {
        fence(Ordering::SeqCst);
        self.count(what).load(Ordering::Relaxed) > 0
    }

    /// Wakes all: the partition is gone, or is led elsewhere.
    pub(crate) fn wake_all(&self) {
        for (_, waiter) in self.list.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiter.woken.notify_one();
        }
    }

    fn count(&self, what: For) -> &AtomicUsize {
        let [end, watermark, low] = &self.counts;
        match what {
            For::End => end,
            For::Watermark => watermark,
            For::LowWatermark => low,
        }
    }
}

/// A waiter's place at one partition; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Arc<Waiters>,
    what: For,
    waiter: Arc<Waiter>,
}

impl Place {
    /// Whether it is a place among these waiters.
    pub(crate) fn is_among(&self, waiters: &Arc<Waiters>) -> bool {
        Arc::ptr_eq(&self.waiters, waiters)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = self.waiters.list.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this =
            |(what, waiter): &(For, Arc<Waiter>)| *what == self.what && Arc::ptr_eq(waiter, &self.waiter);
        if let Some(at) = list.iter().position(is_this) {
            list.swap_remove(at);
            self.waiters.count(self.what).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_is_woken_by_the_append_that_completes_its_bytes() {
        let waiters = Arc::new(Waiters::default());
        let waiter = Waiter::new(10);
        let _place = waiters.register(For::Watermark, &waiter);
        let mut wait = Box::pin(waiter.wait());
        waiters.came(For::Watermark, 9);
        assert!(futures_util::poll!(&mut wait).is_pending());
        waiters.came(For::Watermark, 1);
        assert!(futures_util::poll!(&mut wait).is_ready());
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_what_it_waits_for_and_by_nothing_else() {
        let waiters = Arc::new(Waiters::default());
        let (follower, consumer) = (Waiter::new(1), Waiter::new(1));
        let _places = [waiters.register(For::End, &follower), waiters.register(For::Watermark, &consumer)];
        waiters.came(For::End, 5);
        assert!(futures_util::poll!(Box::pin(follower.wait())).is_ready());
        assert!(futures_util::poll!(Box::pin(consumer.wait())).is_pending());
        assert!(waiters.has(For::End) && !waiters.has(For::LowWatermark));
    }

    #[tokio::test]
    async fn bytes_of_all_its_partitions_count_and_an_early_wake_is_kept() {
        let (one, two) = (Arc::new(Waiters::default()), Arc::new(Waiters::default()));
        let waiter = Waiter::new(10);
        let _places = [one.register(For::End, &waiter), two.register(For::End, &waiter)];
        one.came(For::End, 5);
        two.came(For::End, 5);
        assert!(futures_util::poll!(Box::pin(waiter.wait())).is_ready());
    }

    #[test]
    fn a_dropped_place_leaves_nobody_behind() {
        let waiters = Arc::new(Waiters::default());
        let place = waiters.register(For::End, &Waiter::new(1));
        drop(place);
        assert!(!waiters.has(For::End));
        assert!(waiters.list.lock().unwrap().is_empty());
    }

    #[test]
    fn a_place_is_known_to_those_who_gave_it_only() {
        let (one, two) = (Arc::new(Waiters::default()), Arc::new(Waiters::default()));
        let place = one.register(For::End, &Waiter::new(1));
        assert!(place.is_among(&one) && !place.is_among(&two));
    }

    #[tokio::test]
    async fn all_are_woken_when_the_partition_goes() {
        let waiters = Arc::new(Waiters::default());
        let waiter = Waiter::new(i64::MAX);
        let _place = waiters.register(For::Watermark, &waiter);
        waiters.wake_all();
        waiter.wait().await;
    }
}
