//! Those who wait for a partition to change: long-polling fetches, woken by the append that gives them enough.
//!
//! A waiter registers with each of its partitions *before* it looks at them, so that no change slips between.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// One waiting fetch. It may wait at many partitions.
#[derive(Debug)]
pub(crate) struct Waiter {
    woken: Notify,
    /// Bytes still missing until it is worth waking up.
    missing: AtomicI64,
}

impl Waiter {
    /// A waiter that is woken after `missing_bytes` were appended, over all its partitions, or something else changed.
    pub(crate) fn new(missing_bytes: i64) -> Arc<Self> {
        Arc::new(Self { woken: Notify::new(), missing: AtomicI64::new(missing_bytes) })
    }

    /// Counts `bytes` that were there before the waiter began to listen. Returns whether that is enough.
    pub(crate) fn count(&self, bytes: i64) -> bool {
        self.missing.fetch_sub(bytes, Ordering::AcqRel) <= bytes
    }

    /// Completes when enough was appended, or at once if that happened since the last call.
    pub(crate) async fn wait(&self) {
        self.woken.notified().await;
    }
}

/// The waiters of one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    list: Mutex<Vec<Arc<Waiter>>>,
    /// The length of the list, so that an append with nobody waiting takes no lock.
    len: AtomicUsize,
}

impl Waiters {
    /// Adds a waiter until the returned place is dropped.
    pub(crate) fn register(self: &Arc<Self>, waiter: &Arc<Waiter>) -> Place {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(Arc::clone(waiter));
        self.len.store(list.len(), Ordering::Relaxed);
        // The waiter now looks at what there is; an append first writes that, and then looks at the length. With a fence
        // between the two steps on both sides, at least one of them sees what the other wrote.
        fence(Ordering::SeqCst);
        Place { waiters: Arc::clone(self), waiter: Arc::clone(waiter) }
    }

    /// Tells all of `bytes` appended, and wakes those that now have enough.
    pub(crate) fn appended(&self, bytes: usize) {
        fence(Ordering::SeqCst);
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        for waiter in self.list.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if waiter.count(bytes) {
                waiter.woken.notify_one();
            }
        }
    }

    /// Wakes all: the partition is gone, or is led elsewhere.
    pub(crate) fn wake_all(&self) {
        for waiter in self.list.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiter.woken.notify_one();
        }
    }
}

/// A waiter's place at one partition; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiters: Arc<Waiters>,
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
        if let Some(at) = list.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) {
            list.swap_remove(at);
        }
        self.waiters.len.store(list.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_is_woken_by_the_append_that_completes_its_bytes() {
        let waiters = Arc::new(Waiters::default());
        let waiter = Waiter::new(10);
        let _place = waiters.register(&waiter);
        let mut wait = Box::pin(waiter.wait());
        waiters.appended(9);
        assert!(futures_util::poll!(&mut wait).is_pending());
        waiters.appended(1);
        assert!(futures_util::poll!(&mut wait).is_ready());
    }

    #[tokio::test]
    async fn bytes_of_all_its_partitions_count_and_an_early_wake_is_kept() {
        let (one, two) = (Arc::new(Waiters::default()), Arc::new(Waiters::default()));
        let waiter = Waiter::new(10);
        let _places = [one.register(&waiter), two.register(&waiter)];
        one.appended(5);
        two.appended(5);
        assert!(futures_util::poll!(Box::pin(waiter.wait())).is_ready());
    }

    #[test]
    fn a_dropped_place_leaves_nobody_behind() {
        let waiters = Arc::new(Waiters::default());
        let place = waiters.register(&Waiter::new(1));
        drop(place);
        assert_eq!(waiters.len.load(Ordering::Relaxed), 0);
        assert!(waiters.list.lock().unwrap().is_empty());
    }

    #[test]
    fn a_place_is_known_to_those_who_gave_it_only() {
        let (one, two) = (Arc::new(Waiters::default()), Arc::new(Waiters::default()));
        let place = one.register(&Waiter::new(1));
        assert!(place.is_among(&one) && !place.is_among(&two));
    }

    #[tokio::test]
    async fn all_are_woken_when_the_partition_goes() {
        let waiters = Arc::new(Waiters::default());
        let waiter = Waiter::new(i64::MAX);
        let _place = waiters.register(&waiter);
        waiters.wake_all();
        waiter.wait().await;
    }
}
